"""The small store that version 0.2 wrote, kept as it was: every later version reads the same values from it."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from data.make_format_1 import facts_of, write

import neuropile
from neuropile import open_pile, open_store
from neuropile.verifying import verify

FOLDER = Path(__file__).parent / "data" / "format-1"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def test_every_session_reads_as_it_did_when_it_was_written():
    assert facts_of(open_store(FOLDER / "store")) == EXPECTED["sessions"]
    assert open_store(FOLDER / "store").failed["error"].to_dict() == EXPECTED["failed"]


@pytest.mark.parametrize("name", ["store", "pile.parquet", "sparse", "dense"])
def test_all_of_it_is_still_as_it_was_written(name):
    assert not verify(FOLDER / name)


@pytest.mark.parametrize("name", ["pile.parquet", "sparse", "dense"])
def test_every_segment_reads_as_it_did(name):
    for segment, expected in zip(sorted(open_pile(FOLDER / name), key=_place), sorted(EXPECTED["segments"], key=_place), strict=True):
        facts = segment if isinstance(segment, dict) else {n: getattr(segment, n) for n in ("key", "segment_id", "split", "start_s")}
        assert {n: facts[n] for n in ("key", "segment_id", "split")} == {n: expected[n] for n in ("key", "segment_id", "split")}
        assert facts["start_s"] == pytest.approx(expected["start_s"])
        assert segment.counts().to_numpy().tolist() == expected["counts"]


def _place(segment):
    return (segment["key"], segment["segment_id"]) if isinstance(segment, dict) else (segment.key, segment.segment_id)


def test_other_tools_read_the_same_spikes():
    for key, expected in EXPECTED["sessions"].items():
        path = FOLDER / "store" / key / "spikes.parquet"
        rows = sorted((u, t) for u, ticks in enumerate(expected["ticks"]) for t in ticks)
        assert sorted(map(tuple, pd.read_parquet(path).to_numpy().tolist())) == rows
        assert sorted(duckdb.execute(f"select unit, tick from '{path}'").fetchall()) == rows


def test_the_same_recordings_written_today_hold_the_same(tmp_path):
    """A change here makes every stored session look changed: that takes a new format version."""
    store = neuropile.create_store(tmp_path / "store")
    write(store)
    old = open_store(FOLDER / "store")
    for key in old:
        now, then = store[key], old[key]
        assert now.record["content_digest"] == then.record["content_digest"]
        assert set(now.record) >= set(then.record)
        assert set(now.record["files"]) == set(then.record["files"])
        if now.record["versions"] == then.record["versions"]:
            for name in now.record["files"]:
                assert (now.root / name).read_bytes() == (then.root / name).read_bytes(), name
    assert np.array_equal(old.sessions["n_spikes"], store.sessions["n_spikes"])


def test_a_version_that_is_not_known_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "neuropile.json").write_text('{"format": "neuropile", "version": 2}')
    with pytest.raises(neuropile.NeuropileError, match="was written in format 2; this neuropile reads format 1: upgrade neuropile"):
        open_store(tmp_path)
