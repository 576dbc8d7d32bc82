"""The tokens commands: from a motif table to ids and back, told to people and to programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from token_tables import table_of_pile
from typer.testing import CliRunner

from neuropile import make_pile, open_pile, testing, tokens
from neuropile.cli.tokens import app
from neuropile.errors import PileError, RunError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    store = testing.store(folder / "store", [testing.recording(i, observed=o, duration_s=30.0) for i, o in enumerate(["whole", "gaps", "each"])])
    pile = make_pile(store, test=0.5, seed=1)
    pile.save(folder / "pile.parquet")
    table_of_pile(folder / "motifs.parquet", pile.train)
    table_of_pile(folder / "all.parquet", pile, splits=["test", "train"])
    run("fit", folder / "motifs.parquet", "--size", 50, "--out", folder / "vocab.parquet")
    return folder


def run(*args: object) -> Any:
    done = CliRunner().invoke(app, [str(a) for a in args])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def answer(*args: object) -> Any:
    return json.loads(run(*args, "--json").stdout)


def test_fit_tells_how_much_its_motifs_cover(folder: Path, tmp_path: Path) -> None:
    told = answer("fit", folder / "motifs.parquet", "--size", 50, "--out", tmp_path / "v.parquet", "--distance", "cosine")
    made = tokens.open_vocabulary(tmp_path / "v.parquet")
    assert (told["vocab_size"], told["digest"], told["distance"], told["splits"]) == (55, made.digest, "cosine", ["train"])
    counts = pq.read_table(folder / "motifs.parquet").column("count").to_numpy()
    shown = run("fit", folder / "motifs.parquet", "--size", 50, "--out", tmp_path / "w.parquet")
    assert f"55 ids: 50 motifs, which are {counts[:50].sum() / counts.sum():.2%} of the patches counted, and 5 reserved" in shown.stdout


def test_fit_asks_before_it_looks_at_the_test_split_or_writes_over_a_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PileError, match="--any-split"):
        run("fit", folder / "all.parquet", "--size", 50, "--out", tmp_path / "v.parquet")
    run("fit", folder / "all.parquet", "--size", 50, "--out", tmp_path / "v.parquet", "--any-split")
    with pytest.raises(PileError, match="exists; give another name, or --replace"):
        run("fit", folder / "all.parquet", "--size", 50, "--out", tmp_path / "v.parquet", "--any-split")
    run("fit", folder / "all.parquet", "--size", 50, "--out", tmp_path / "v.parquet", "--any-split", "--replace")


def test_encode_decode_and_report_tell_what_the_library_tells(folder: Path, tmp_path: Path) -> None:
    vocabulary, pile = tokens.open_vocabulary(folder / "vocab.parquet"), open_pile(folder / "pile.parquet")
    expected = tokens.report(pile, vocabulary)
    encoded = answer("encode", folder / "pile.parquet", "--vocab", folder / "vocab.parquet", "--out", tmp_path / "t.parquet")
    reported = answer("report", folder / "pile.parquet", "--vocab", folder / "vocab.parquet")
    for told in (encoded, reported):
        assert told["all"] == expected[""].row()
        assert told["datasets"] == {"test": expected["test"].row()}
    assert encoded["bytes"] == (tmp_path / "t.parquet").stat().st_size
    decoded = answer("decode", tmp_path / "t.parquet", "--vocab", folder / "vocab.parquet", "--out", tmp_path / "d.parquet")
    assert decoded["segments"] == len(pile) == pq.read_metadata(tmp_path / "d.parquet").num_rows


def test_people_see_shares_and_what_was_left_out(folder: Path) -> None:
    shown = run("report", folder / "pile.parquet", "--vocab", folder / "vocab.parquet")
    total = tokens.report(open_pile(folder / "pile.parquet"), tokens.open_vocabulary(folder / "vocab.parquet"))[""].row()
    for name in ("exact_share", "spikes_exact_share", "silent_share"):
        assert f"{total[name]:.3%}" in shown.stdout
    assert f"{total['patches']:,}" in shown.stdout


def test_a_scheduler_that_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="engine is 'threads'; it must be one of serial, processes, dask"):
        run("encode", folder / "pile.parquet", "--vocab", folder / "vocab.parquet", "--out", tmp_path / "t.parquet", "--engine", "threads")


@pytest.mark.parametrize("command", ["fit", "encode", "decode", "report"])
def test_each_command_teaches_with_an_example(command: str) -> None:
    shown = " ".join(run(command, "--help").stdout.split())
    assert f"Example: neuropile tokens {command}" in shown
    assert "--json" in shown
