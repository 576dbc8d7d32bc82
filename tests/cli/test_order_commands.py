"""`neuropile order`: orders that are kept, a table and a figure of what they gain, and what is said when it cannot be done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from neuropile import make_pile, open_pile, open_store, ordering, testing
from neuropile.cli.order import order
from neuropile.errors import NeuropileError, PileError, RunError

app = typer.Typer()
app.command()(order)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`store` with three sessions, one of them observed unit by unit, and `pile.parquet` of it."""
    path = tmp_path_factory.mktemp("order")
    store = testing.store(path / "store", [testing.recording(0), testing.recording(1, n_units=25, observed="each"), testing.recording(2, n_units=4)])
    make_pile(store, quality="all", test=0).save(path / "pile.parquet")
    return path


def run(*args: object) -> Any:
    """What the command prints on standard output; its errors are raised."""
    done = CliRunner().invoke(app, [*map(str, args)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_the_order_is_kept_told_and_drawn(folder: Path, tmp_path: Path) -> None:
    done = run(folder / "pile.parquet", "--out", tmp_path / "ordered.parquet", "--figure", tmp_path / "order.png", "--json")
    result = json.loads(done.stdout)
    assert [(s["session"], s["units"]) for s in result["sessions"]] == [("test/session-0", 20), ("test/session-1", 25), ("test/session-2", 4)]
    assert all(s["after"] >= s["leaf"] >= s["ward"] for s in result["sessions"])
    assert (tmp_path / "order.png").stat().st_size > 20_000
    expected = ordering.orders(open_pile(folder / "pile.parquet"))
    for segment in open_pile(result["pile"]):
        np.testing.assert_array_equal(segment.order, next(p for k, p in expected.items() if k.session == segment.key))


def test_without_out_the_table_is_printed_and_nothing_is_kept(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    before = sorted(tmp_path.rglob("*"))
    done = run(tmp_path / "data" / "pile.parquet")
    assert "test/session-1" in done.stdout
    assert "--out ordered.parquet" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_published_folder_is_ordered_too(folder: Path, tmp_path: Path) -> None:
    open_pile(folder / "pile.parquet").publish(tmp_path / "published")
    told = {s["session"]: s["after"] for s in json.loads(run(tmp_path / "published", "--json").stdout)["sessions"]}
    here = {s["session"]: s["after"] for s in json.loads(run(folder / "pile.parquet", "--json").stdout)["sessions"]}
    assert told == here


def test_of_a_store_the_default_pile_is_made_and_must_be_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PileError, match="name the file of the pile"):
        run(folder / "store")
    run(folder / "store", "--out", tmp_path / "ordered.parquet")
    opened, default = open_pile(tmp_path / "ordered.parquet"), make_pile(open_store(folder / "store"))
    assert [s.segment_id for s in opened] == [s.segment_id for s in default]
    assert all(s.order is not None for s in opened)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["pile.parquet", "--out", "pile.parquet"], "exists; give another name, or --replace"),
        (["pile.parquet", "--out", "pile.pq"], "NAME.parquet"),
        (["pile.parquet", "--figure", "order.gif"], "end the name in"),
        (["none.parquet"], "no such pile"),
        (["pile.parquet", "--engine", "threads"], "must be one of serial, processes, dask"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: str) -> None:
    def worked(*args: object, **options: object) -> None:
        raise AssertionError("it began to work")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(ordering, "fit", worked)
    with pytest.raises(NeuropileError, match=words):
        run(*args)


def test_a_lost_session_is_one_error_line_and_exit_1_and_the_others_are_kept(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "store" / "test" / "session-1")
    done = run(tmp_path / "data" / "pile.parquet", "--out", tmp_path / "ordered.parquet", "--json")
    assert done.exit_code == 1
    assert [line.split(" ")[1] for line in done.stderr.splitlines() if line.startswith("error:")] == ["test/session-1"]
    result = json.loads(done.stdout)
    assert [f["session"] for f in result["failed"]] == ["test/session-1"]
    assert [s.session_id for s in open_pile(tmp_path / "ordered.parquet") if s.order is None] == ["session-1"]
    shutil.rmtree(tmp_path / "data" / "store" / "test")
    with pytest.raises(RunError, match="3 parts failed"):
        run(tmp_path / "data" / "pile.parquet", "--out", tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()
