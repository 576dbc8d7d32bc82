"""Piles as lists of segments: saving, opening, and what happens when a store moved or changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuropile import Store, make_pile, open_pile, parquet, testing
from neuropile.errors import CountOverflow, PileError
from neuropile.pilefile import SEGMENT_SCHEMA


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return testing.store(tmp_path / "data" / "store", [testing.recording(i, observed=o) for i, o in enumerate(["whole", "each", "gaps"])])


def test_a_saved_pile_opens_equal_from_anywhere(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pile = make_pile(store, max_tokens=7000, quality="good", test=0.4)
    pile.save(tmp_path / "data" / "pile.parquet")
    shutil.move(tmp_path / "data", tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    opened = open_pile("pile.parquet")
    assert [repr(s) for s in opened] == [repr(s) for s in pile]
    assert opened.meta["quality"] == "good"
    again = make_pile(testing.store(tmp_path / "again", [testing.recording(0)]), max_tokens=7000, quality="good")
    np.testing.assert_array_equal(opened[0].counts().values, again[0].counts().values)


def test_a_pile_file_has_the_designed_columns_for_any_parquet_reader(store: Store, tmp_path: Path) -> None:
    make_pile(store).save(tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == SEGMENT_SCHEMA.names
    assert set(table.column("store").to_pylist()) == {"data/store"}


def test_indexing_slicing_and_splits_agree(store: Store) -> None:
    pile = make_pile(store, max_tokens=3000, val=0.3, test=0.3, split_by="segment")
    assert len(pile) == len(list(pile)) == len(pile.train) + len(pile.val) + len(pile.test)
    assert repr(pile[-1]) == repr(list(pile)[-1])
    assert [s.row for s in pile[2:5]] == [2, 3, 4]
    assert {s.split for s in pile.val} == {"val"}
    np.testing.assert_array_equal(pile.val[0].counts().values, next(s for s in pile if s.split == "val").counts().values)
    with pytest.raises(IndexError):
        pile[len(pile)]


def test_summary_shares_add_up(store: Store) -> None:
    pile = make_pile(store, max_tokens=3000, val=0.3, test=0.3, split_by="segment")
    assert sum(r["tokens"] for r in pile.summary()) == pile.n_tokens == sum(s.n_units * s.n_bins for s in pile)
    assert sum(r["share"] for r in pile.summary()) == pytest.approx(1)


def test_counts_fill_a_buffer_flat_or_shaped(store: Store) -> None:
    s = make_pile(store)[0]
    flat = np.full(s.n_tokens + 5, 9, np.uint8)
    shaped = np.full((s.n_units, s.n_bins), 9, np.uint16)
    np.testing.assert_array_equal(s.counts(out=flat), s.counts().values)
    np.testing.assert_array_equal(s.counts(out=shaped), s.counts().values)
    assert (flat[s.n_tokens :] == 9).all()


@pytest.mark.parametrize("out", [np.zeros((3, 3), np.uint8), np.zeros(10, np.uint8), np.zeros((20, 3000), np.int64)])
def test_a_buffer_of_another_shape_or_type_is_refused(store: Store, out: np.ndarray) -> None:
    with pytest.raises(PileError, match=r"contiguous unsigned array of shape \(\d+, \d+\)"):
        make_pile(store, quality="all")[0].counts(out=out)


def test_a_count_too_large_for_the_buffer_names_the_way_out(store: Store) -> None:
    wide = make_pile(store, bin_width=60, quality="all")[0]
    with pytest.raises(CountOverflow, match=r"test/session-0: unit .* more than uint8 holds; pass dtype=np\.uint16"):
        wide.counts(out=np.zeros((wide.n_units, wide.n_bins), np.uint8))
    assert wide.counts().dtype == np.uint16
    assert int(wide.counts().sum()) == 2 * 0 + store[wide.key].n_spikes


def test_a_lost_store_is_named(store: Store, tmp_path: Path) -> None:
    make_pile(store).save(tmp_path / "p.parquet")
    shutil.rmtree(store.root)
    with pytest.raises(PileError, match=r"the pile's store .*store is not there; put it back"):
        open_pile(tmp_path / "p.parquet")[0].counts()


def test_a_changed_session_is_noticed(store: Store, tmp_path: Path) -> None:
    make_pile(store).save(tmp_path / "p.parquet")
    shutil.rmtree(store.root)
    testing.store(store.root, [replace(testing.recording(7), session_id="session-0")])
    with pytest.raises(PileError, match="its content changed"):
        open_pile(tmp_path / "p.parquet")[0].counts()


def test_selections_of_another_pile_are_refused(store: Store, tmp_path: Path) -> None:
    make_pile(store, quality="good").save(tmp_path / "a.parquet")
    make_pile(store, quality="all").save(tmp_path / "b.parquet")
    shutil.copy(tmp_path / "b.units.parquet", tmp_path / "a.units.parquet")
    with pytest.raises(PileError, match=r"does not belong to a\.parquet"):
        open_pile(tmp_path / "a.parquet")
    (tmp_path / "a.units.parquet").unlink()
    with pytest.raises(PileError, match="lost its unit selections"):
        open_pile(tmp_path / "a.parquet")


def test_what_is_no_pile_says_so(tmp_path: Path) -> None:
    with pytest.raises(PileError, match="no such pile; make one with: neuropile pile"):
        open_pile(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(PileError, match="is not a pile"):
        open_pile(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(PileError, match="is not a pile"):
        open_pile(tmp_path / "other.parquet")
    with pytest.raises(PileError, match=r"not a published pile \(no pile.json"):
        open_pile(tmp_path)


def test_a_pile_of_a_newer_format_asks_for_an_upgrade(store: Store, tmp_path: Path) -> None:
    make_pile(store).save(tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    parquet.write(table, tmp_path / "p.parquet", metadata={"neuropile": '{"format": "neuropile pile", "version": 2}'})
    with pytest.raises(PileError, match="format 2; this neuropile reads format 1: upgrade"):
        open_pile(tmp_path / "p.parquet")
