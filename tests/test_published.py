"""Published rows: gap bytes and dense lists give back the same counts, read with pyarrow and numpy alone too."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile import published
from neuropile.errors import CountOverflow
from neuropile.published import Row


def row_of(counts: np.ndarray, order: list[int], observed: np.ndarray | None = None) -> Row:
    unit, k = np.nonzero(counts)
    n = counts[unit, k]
    per_unit = counts.sum(axis=1).astype(np.int64)
    facts = {
        "source_dataset": "lab",
        "species": None,
        "quantity": "spikes",
        "subject_id": "m",
        "session_id": "s",
        "recording_id": "lab/s",
        "segment_id": "segment_0",
        "start_s": 0.0,
        "bin_width_s": 0.02,
        "n_units": counts.shape[0],
        "n_bins": counts.shape[1],
    }
    runs = np.array([(-1, 0, counts.shape[1])]) if observed is None else observed
    ids = [f"u{i}" for i in range(len(counts))]
    offsets = np.concatenate([[0], np.cumsum(per_unit)])
    return Row(facts, ids, [None] * len(ids), runs, offsets, np.repeat(k, n).astype(np.int64), np.array(order, np.int64))


def densify(row: dict) -> np.ndarray:
    """The reading that the data card gives, in numpy alone."""
    gaps = [np.frombuffer(g, np.uint8) for g in row["gaps"]]
    return np.stack([np.bincount(np.cumsum(g, dtype=np.int32)[g < 255], minlength=row["n_bins"]).astype(np.uint8) for g in gaps])


@st.composite
def counts_and_order(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    n_units, n_bins = draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 254, 255, 256, 257, 511, 1021]))
    cells = draw(st.lists(st.tuples(st.integers(0, n_units - 1), st.integers(0, n_bins - 1), st.integers(1, 255)), max_size=12))
    counts = np.zeros((n_units, n_bins), np.uint8)
    for u, k, n in cells:
        counts[u, k] = n
    return counts, draw(st.permutations(range(n_units)))


@given(counts_and_order())
def test_a_sparse_row_read_with_numpy_alone_is_the_counts(made: tuple[np.ndarray, list[int]]) -> None:
    counts, order = made
    row = published.sparse_table([row_of(counts, order)]).to_pylist()[0]
    stored = densify(row)
    np.testing.assert_array_equal(stored, counts[order])
    np.testing.assert_array_equal(stored[row["order"]], counts)
    assert [row["unit_ids"][i] for i in row["order"]] == [f"u{i}" for i in range(len(counts))]


@given(counts_and_order())
def test_a_dense_row_is_the_counts(made: tuple[np.ndarray, list[int]]) -> None:
    counts, order = made
    row = published.dense_table([row_of(counts, order)]).to_pylist()[0]
    np.testing.assert_array_equal(np.array(row["spike_counts"], np.uint8), counts)


def test_observed_units_are_numbered_as_stored() -> None:
    runs = np.array([(0, 0, 2), (1, 1, 3)])
    row = published.sparse_table([row_of(np.zeros((2, 3), np.uint8), [1, 0], runs)]).to_pylist()[0]
    assert [(r["unit"], r["start_bin"], r["stop_bin"]) for r in row["observed"]] == [(1, 0, 2), (0, 1, 3)]


def test_a_count_above_255_is_exact_when_sparse_and_refused_when_dense() -> None:
    counts = np.zeros((2, 4), np.uint16)
    counts[1, 2] = 300
    row = row_of(counts, [0, 1])
    gaps = np.frombuffer(published.sparse_table([row]).to_pylist()[0]["gaps"][1], np.uint8)
    assert np.bincount(np.cumsum(gaps, dtype=np.int32)[gaps < 255], minlength=4)[2] == 300
    with pytest.raises(CountOverflow, match=r"unit u1 fires 300 times in bin 2 of segment_0.*sparse"):
        published.dense_table([row])


def test_no_rows_make_an_empty_table_of_the_same_columns() -> None:
    assert published.sparse_table([]).schema.equals(published.SPARSE_SCHEMA)
    assert published.dense_table([]).schema.equals(published.DENSE_SCHEMA)


def test_the_columns_are_those_that_readers_rely_on() -> None:
    assert published.SPARSE_SCHEMA.names == [
        *("source_dataset", "species", "quantity", "subject_id", "session_id", "recording_id", "segment_id", "start_s", "bin_width_s", "n_units", "n_bins"),
        *("unit_ids", "regions", "observed", "gaps", "order"),
    ]
    assert published.DENSE_SCHEMA.names == ["spike_counts", "subject_id", "session_id", "segment_id", "source_dataset"]
    assert published.SPARSE_SCHEMA.field("gaps").type == pa.list_(pa.binary())
