"""The documentation runs as it stands, and shows what is printed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Pages of docs/explain that hold code.
RUN = (
    *("format", "corpus", "publishing", "motifs", "tokens", "order", "training", "object-storage", "building"),
    *("regions", "ibl", "one", "allen", "voltage-and-video"),
)
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the demo's output in it, and what the demo printed."""
    folder = tmp_path_factory.mktemp("docs")
    done = subprocess.run([sys.executable, "-m", "neuropile", "demo"], cwd=folder, capture_output=True, text=True, check=True)
    return folder, done.stdout


def cells(text: str) -> dict[str, list[str]]:
    """The rows of a printed table: the first cell, and the others."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip() and "──" not in line]
    return {row[0]: row[1:] for row in rows}


def test_readme_shows_what_the_demo_prints(demo: tuple[Path, str]) -> None:
    shown = cells(next(body for _, body in BLOCK.findall((ROOT / "README.md").read_text()) if "bits a token" in body))
    printed = cells(demo[1])
    assert set(shown) <= set(printed)
    assert {"source files", "figures", "Look at:", "Try next:"} <= set(shown)
    for name, row in shown.items():
        if not row:
            continue
        assert len(row) == len(printed[name]), name
        for a, b in list(zip(row, printed[name], strict=True))[: -1 if name[:5] in ("store", "publi", "figur") else None]:  # the last is seconds
            if re.fullmatch(r"[\d,.]+", a):
                assert float(a.replace(",", "")) == pytest.approx(float(b.replace(",", "")), rel=0.05), name
            else:
                assert a == b


def run_page(text: str, folder: Path) -> int:
    """Run a page's Python in one process, its shell commands in between; how many blocks there were."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    parts = ["import subprocess"]
    blocks = [(kind, body) for kind, body in BLOCK.findall(text) if kind in ("python", "sh")]
    for kind, body in blocks:
        parts.append(body if kind == "python" else f"subprocess.run({body!r}, shell=True, check=True, executable='/bin/bash')")
    done = subprocess.run([sys.executable, "-c", "\n".join(parts)], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return len(blocks)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/tour.md",
        "docs/explain/format.md",
        "docs/explain/corpus.md",
        "docs/explain/motifs.md",
        "docs/explain/order.md",
        "docs/explain/publishing.md",
        "docs/explain/training.md",
        "docs/explain/building.md",
        "docs/explain/regions.md",
        "docs/explain/ibl.md",
        "docs/explain/one.md",
        "docs/explain/allen.md",
        "docs/explain/voltage-and-video.md",
    ],
)
def test_the_page_runs_as_it_stands(page: str, demo: tuple[Path, str], tmp_path: Path) -> None:
    if page.endswith("training.md"):
        pytest.importorskip("torch", reason="the page trains, which needs PyTorch: make test TORCH=torch")
    shutil.copytree(demo[0] / "demo", tmp_path / "demo")
    assert run_page((ROOT / page).read_text(), tmp_path) >= 1


def test_every_command_is_documented_as_its_help_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs" / "commands.md").read_text() == generate.render(), "run: make docs"


def test_every_file_of_the_package_stands_in_readmes_reading_order() -> None:
    text = (ROOT / "README.md").read_text()
    package = ROOT / "src" / "neuropile"
    missing = [p.name for p in package.iterdir() if (p.suffix == ".py" and not p.name.startswith("__")) or (p / "__init__.py").exists()]
    assert not [n for n in missing if f"`{n}`" not in text and f"`{n}/`" not in text]


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"


def test_bundled_recordings_carry_source_and_licence() -> None:
    for folder in (ROOT / "src" / "neuropile" / "data" / "demo").iterdir():
        assert (folder / "source.json").stat().st_size > 200
        assert (folder / "LICENSE.txt").stat().st_size > 1000
