"""Files that stand for recordings, and how builds of them are run and looked at."""

import json
import multiprocessing
from dataclasses import dataclass, replace
from pathlib import Path

from neuropile import testing
from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.types import Reader, Recording
from neuropile.writing import Provenance

PROVENANCE = Provenance("d", (), "testing")
SECRET = "a reader that raises what no one foresaw"


@dataclass(frozen=True)
class Seeds(Reader):
    """Reads a recording from the arguments of `testing.recording` that a JSON file holds."""

    def __call__(self, path: Path) -> Recording:
        arguments = json.loads(path.read_text())
        if arguments.get("raises"):
            raise ArithmeticError(SECRET)
        return replace(testing.recording(**arguments), session_id=safe_name(path.stem))


def reader_of(path: Path) -> Seeds:
    if path.suffix != ".seed":
        raise UnreadableFile(f"{path}: not a seed")
    return Seeds()


def make_files(folder: Path, n: int = 4) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"s{i}.seed" for i in range(n)]
    for i, path in enumerate(paths):
        path.write_text(json.dumps({"seed": i, "n_units": 4 + i, "duration_s": 10.0, "observed": ["whole", "gaps", "each", None][i % 4]}))
    return paths


def tree(root: Path) -> dict[str, bytes]:
    """Every file of every session folder, by its name in the store."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.glob("*/*/**/*")) if p.is_file() and p.relative_to(root).parts[0] != "index"}


def statuses(outcomes) -> list[str]:
    return [o.status for o in outcomes]


def start(target, *args, **kwargs):
    process = multiprocessing.get_context("forkserver").Process(target=target, args=args, kwargs=kwargs)
    process.start()
    return process
