"""The motifs command: a table, a figure, totals for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from neuropile import make_pile, motifs, testing
from neuropile.cli.motifs import motifs as command
from neuropile.errors import PileError, RunError

app = typer.Typer()
app.command()(command)


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motifs")
    store = testing.store(folder / "store", [testing.recording(i, observed=o, duration_s=30.0) for i, o in enumerate(["whole", "gaps", "each"])])
    make_pile(store, test=0.5, seed=1).save(folder / "pile.parquet")
    return folder / "pile.parquet"


def run(*args: object) -> Any:
    done = CliRunner().invoke(app, [str(a) for a in args])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_json_tells_what_the_table_holds(pile: Path, tmp_path: Path) -> None:
    told = json.loads(run(pile, "--out", tmp_path / "m.parquet", "--shape", 2, 5, "--split", "train", "--pad", "--clip", "--json").stdout)
    table = motifs.open_table(tmp_path / "m.parquet")
    assert told == told | table.meta | {"table": str(tmp_path / "m.parquet"), "figure": None, "silent_share": table.silent_share}
    assert (told["shape"], told["splits"], told["pad"], told["clip"]) == ([2, 5], ["train"], True, True)
    assert told["coverage"] == {str(k): share for k, share in table.coverage().items()}


def test_people_see_the_top_the_totals_and_what_was_left_out(pile: Path, tmp_path: Path) -> None:
    done = run(pile, "--out", tmp_path / "m.parquet")
    table = motifs.open_table(tmp_path / "m.parquet")
    assert f"{table.n_patches:,} patches, {table.silent_share:.1%} silent; {table.n_unique:,} motifs; splits: test, train" in done.stdout
    assert f"10: {table.coverage()[10]:.2%}" in done.stdout
    assert f"left out: {table.meta['n_unobserved']:,} patches that touch unobserved time, {table.meta['n_edge_cells']:,} cells" in done.stdout
    first = done.stdout.splitlines()[3].split()
    assert first == ["1", "..........", f"{table.meta['n_silent']:,}", f"{table.silent_share:.3%}"]


@pytest.mark.parametrize("shape", [(1, 10), (8, 8), (1, 64), (12, 1)])
def test_the_figure_is_drawn_for_any_shape(pile: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    run(pile, "--out", tmp_path / "m.parquet", "--shape", *shape, "--pad", "--figure", tmp_path / "m.png", "--replace", "--json")
    assert (tmp_path / "m.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        (("--split", "dev"), PileError, "no split 'dev'; choose one of train, val, test"),
        (("--split", "val"), PileError, "no segments"),
        (("--figure", "m.txt"), PileError, "does not say what to draw"),
        (("--engine", "threads"), RunError, "must be one of serial, processes, dask"),
        (("--shape", "65", "1"), PileError, "at most 64 cells"),
    ],
)
def test_bad_requests_end_before_anything_is_written(pile: Path, tmp_path: Path, args: tuple[str, ...], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        run(pile, "--out", tmp_path / "m.parquet", *args)
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_only_replaced_when_asked(pile: Path, tmp_path: Path) -> None:
    run(pile, "--out", tmp_path / "m.parquet")
    with pytest.raises(PileError, match="exists; give another name, or --replace"):
        run(pile, "--out", tmp_path / "m.parquet", "--shape", 1, 5)
    run(pile, "--out", tmp_path / "m.parquet", "--shape", 1, 5, "--replace")
    assert motifs.open_table(tmp_path / "m.parquet").shape == (1, 5)


def test_overflow_names_the_way_out_and_clip_takes_it(tmp_path: Path) -> None:
    store = testing.store(tmp_path / "store", [testing.recording(0, duration_s=600.0)])
    make_pile(store, bin_width=60, test=0).save(tmp_path / "pile.parquet")
    with pytest.raises(RunError, match=r"fires \d+ times in bin \d+ .*clip it \(--clip"):
        run(tmp_path / "pile.parquet", "--shape", 1, 2, "--out", tmp_path / "m.parquet")
    told = json.loads(run(tmp_path / "pile.parquet", "--shape", 1, 2, "--out", tmp_path / "m.parquet", "--clip", "--json").stdout)
    assert told["n_clipped"] > 0
