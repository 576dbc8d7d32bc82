"""The small store that version 0.2 wrote, kept as it was: every later version reads the same values from it."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from data.make_format_1 import facts_of, write

import neuropile
from neuropile import building, corpus, open_pile, open_store, parquet, testing
from neuropile.types import Asset
from neuropile.verifying import verify
from neuropile.writing import Provenance

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


def test_what_was_not_written_yet_is_null_before_and_after_the_index_is_made_anew(tmp_path):
    shutil.copytree(FOLDER / "store", tmp_path / "store")
    store = open_store(tmp_path / "store")
    for _ in range(2):
        assert store.sessions["set_aside"].isna().all()
        files = [f for sources in store.sessions["sources"] for f in sources]
        assert [f["digest"] for f in files] == [None] * 3
        assert all(f["sha256"] for f in files)
        assert all(store.lists(store[key].record) for key in store)
        assert not store.rebuild_index()
    assert open_store(tmp_path / "store").failed["error"].to_dict() == EXPECTED["failed"]


def test_a_pile_of_old_and_new_together_is_published(tmp_path):
    new = testing.store(tmp_path / "store", [])
    asset = Asset("new.nwb", 5, None, "https://host/new.nwb", "draft", "md5:900150983cd24fb0d6963f7d28e17f72")
    building.add_recording(new, testing.recording(9, n_units=3, duration_s=5), Provenance("new", (asset,), "testing"))
    made = neuropile.make_pile(new, bin_width=0.1, max_tokens=200, test=0.0)
    merged = corpus.merge([open_pile(FOLDER / "sparse"), made])
    merged.publish(tmp_path / "published")
    sources = pd.read_parquet(tmp_path / "published" / "sources.parquet").set_index("path")
    assert set(sources.index) == {"each.nwb", "trials.nwb", "whole.nwb", "new.nwb"}
    assert sources.digest.dropna().to_dict() == {"new.nwb": asset.digest}
    assert not verify(tmp_path / "published")


def test_an_index_with_a_column_too_few_is_no_index(tmp_path):
    shutil.copytree(FOLDER / "store", tmp_path / "store")
    file = tmp_path / "store" / "index" / "sessions.parquet"
    table = parquet.read(file)
    for broken in (table.drop_columns("species"), table.select(["dataset"]), table.append_column("more", table.column("dataset"))):
        parquet.write(broken, file)
        with pytest.raises(neuropile.NeuropileError, match=r"cannot be read .*; run: neuropile index"):
            len(open_store(tmp_path / "store"))
