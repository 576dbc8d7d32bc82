"""The commands on piles as lists, and what they hold: what is printed, what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from neuropile import corpus, make_pile, open_pile, open_store, testing
from neuropile.cli import app
from neuropile.errors import NeuropileError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for i, name in enumerate(["mice", "rats"]):
        store = testing.store(folder / f"{name}-store", [testing.recording(10 * i + j, n_units=4 + j) for j in range(3)], dataset=name)
        make_pile(store, max_tokens=3000, test=0).save(folder / f"{name}.parquet")
    return folder


def run(*arguments: object) -> dict:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_merge_tells_what_the_new_pile_holds(folder: Path, tmp_path: Path) -> None:
    told = run("merge", folder / "mice.parquet", folder / "rats.parquet", "--out", tmp_path / "all.parquet", "--test", 0.4, "--weight", "rats=2", "--shuffle")
    pile = open_pile(tmp_path / "all.parquet")
    assert told["segments"] == len(pile) == len(open_pile(folder / "mice.parquet")) + len(open_pile(folder / "rats.parquet"))
    assert told["tokens"] == pile.n_tokens
    assert {s.weight for s in pile if s.dataset == "rats"} == {2.0}
    assert pile.meta["test"] == 0.4
    assert [s.key for s in pile] != sorted(s.key for s in pile)


@pytest.mark.parametrize(
    ("command", "options"),
    [("shuffle", ["--seed", 3]), ("split", ["--val", 0.3, "--test", 0.3, "--split-by", "segment"]), ("subset", ["--where", "n_units > 4", "--share", 0.9])],
)
def test_each_command_writes_a_pile_and_does_not_overwrite_one(folder: Path, tmp_path: Path, command: str, options: list) -> None:
    told = run(command, folder / "mice.parquet", "--out", tmp_path / "out.parquet", *options)
    assert told["segments"] == len(open_pile(tmp_path / "out.parquet")) > 0
    again = CliRunner().invoke(app, [command, str(folder / "mice.parquet"), "--out", str(tmp_path / "out.parquet"), *map(str, options)])
    assert isinstance(again.exception, NeuropileError)
    assert "--replace" in str(again.exception)
    run(command, folder / "mice.parquet", "--out", tmp_path / "out.parquet", *options, "--replace")


def test_a_weight_that_is_no_number_is_told(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["merge", str(folder / "mice.parquet"), "--out", str(tmp_path / "a.parquet"), "--weight", "mice:2"])
    assert "--weight mice:2: not DATASET=NUMBER" in str(done.exception)


def test_stats_tells_totals_and_draws_them(folder: Path, tmp_path: Path) -> None:
    told = run("stats", folder / "mice.parquet", "--by", "region", "--out", tmp_path / "s.parquet", "--figure", tmp_path / "s.png")
    pile = open_pile(folder / "mice.parquet")
    assert told["all"]["tokens"] == pile.n_tokens == sum(g["tokens"] for g in told["groups"])
    assert told["all"]["spikes"] == sum(int(s.counts().sum()) for s in pile)
    assert sum(n * c for c, n in zip(told["histogram"]["count"], told["histogram"]["bins"], strict=True)) == told["all"]["spikes"]
    assert (tmp_path / "s.png").stat().st_size > 10_000
    plain = CliRunner().invoke(app, ["stats", str(folder / "mice.parquet")])
    assert "unit_entropy_bits" in plain.stdout
    assert "all" in plain.stdout


def test_a_corpus_of_dense_rows_comes_back_in_as_sessions(tmp_path: Path) -> None:
    """Two datasets, cut into rows and shuffled over splits: every count is where it was."""
    store = testing.store(tmp_path / "store", [testing.recording(i, n_units=4 + i) for i in range(3)], dataset="mice")
    testing.store(tmp_path / "store", [testing.recording(5, n_units=3)], dataset="rats")
    pile = make_pile(store.root, max_tokens=2500, quality="all", test=0.4, split_by="segment")
    corpus.shuffle(pile, 1).publish(tmp_path / "rows", layout="dense")
    told = run("ingest", tmp_path / "rows", "--store", tmp_path / "again")
    assert {s["session"] for s in told["sessions"]} == set(store)
    again = open_store(tmp_path / "again")
    for key, session in again.items():
        assert (session.quantity, session.ticks_per_s) == ("counts", 50)
        whole = np.concatenate([s.counts().values for s in pile if s.key == key], axis=1)
        np.testing.assert_array_equal(session.counts(0.02).values, whole)
        assert set(session.intervals["segments"]["src_split"]) <= {"train", "test"}
    assert {s["status"] for s in run("ingest", tmp_path / "rows", "--store", tmp_path / "again")["sessions"]} == {"present"}


def test_info_tells_what_every_table_of_ours_is(folder: Path, tmp_path: Path) -> None:
    pile = folder / "mice.parquet"
    names = {n: tmp_path / f"{n}.parquet" for n in ("stats", "motifs", "vocabulary", "ids")}
    run("stats", pile, "--out", names["stats"])
    run("motifs", pile, "--shape", 1, 5, "--split", "train", "--out", names["motifs"])
    run("tokens", "fit", names["motifs"], "--size", 5, "--out", names["vocabulary"])
    run("tokens", "encode", pile, "--vocab", names["vocabulary"], "--out", names["ids"])
    kinds = {name: run("info", path)["kind"] for name, path in names.items()}
    assert kinds["stats"] == "stats"
    assert kinds["motifs"] == "motifs"
    assert len(set(kinds.values())) == 4
    assert run("info", names["motifs"])["shape"] == [1, 5]
    assert run("info", pile)["kind"] == "pile"
