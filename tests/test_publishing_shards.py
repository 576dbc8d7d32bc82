"""Which segments go into which file: all of them once, in order, in files of about equal size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.common import synthetic
from neuropile import make_pile, published, testing
from neuropile.publishing import shards

WEIGHTS = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=60)


@given(WEIGHTS, st.integers(1, 5), st.floats(1.0, 3e6))
def test_pieces_are_consecutive_whole_groups_and_hold_every_item_once(weights: list[float], per_group: int, largest: float) -> None:
    groups = np.arange(len(weights)) // per_group
    pieces = shards.cut(np.array(weights), groups, largest)
    assert [i for a, b in pieces for i in range(a, b)] == list(range(len(weights)))
    assert all(a % per_group == 0 and b > a for a, b in pieces)


@given(WEIGHTS, st.floats(1.0, 3e6))
def test_no_piece_is_far_from_an_equal_share(weights: list[float], largest: float) -> None:
    pieces = shards.cut(np.array(weights), np.arange(len(weights)), largest)
    total, most = sum(weights), max(weights)
    n = min(max(int(np.ceil(total / largest)), 1), len(weights))
    assert len(pieces) <= n
    slack = most * (1 + 1e-6) + 1e-6 * total
    if len(pieces) == n:  # else items heavier than a share have files of their own
        assert all(abs(sum(weights[a:b]) - total / n) <= slack for a, b in pieces)


def test_nothing_makes_no_piece() -> None:
    assert shards.cut(np.empty(0), np.empty(0, np.int64), 10.0) == []


@pytest.mark.parametrize("layout", published.LAYOUTS)
def test_the_size_foreseen_is_near_the_files(tmp_path: Path, layout: str) -> None:
    made = testing.store(tmp_path / "store", [synthetic(100, 600.0)])
    pile = make_pile(made, max_tokens=300_000)
    shard = shards.plan(pile, pile.source.tables(pile)[1], layout)[0]
    totals, _ = shards.write(shard, tmp_path / "x.parquet")
    size = (tmp_path / "x.parquet").stat().st_size
    foreseen = shards.BYTES_PER_EVENT[layout] * totals["test"]["spikes"] + shards.BYTES_PER_LABEL[layout] * pile.table.column("n_units").to_numpy().sum()
    assert 0.6 < foreseen / size < 1.5


def test_row_groups_hold_32_sparse_segments_or_at_most_64_megabytes_of_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = testing.store(tmp_path / "store", [testing.recording(0, n_units=5, duration_s=200)])
    pile = make_pile(made, max_tokens=1_000, quality="all")
    assert len(pile) == 50
    units = pile.source.tables(pile)[1]
    shards.write(shards.plan(pile, units, "sparse")[0], tmp_path / "sparse")
    meta = pq.read_metadata(tmp_path / "sparse")
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [32, 18]
    assert meta.row_group(0).column(0).compression == "ZSTD"
    assert meta.row_group(0).column(0).has_offset_index
    monkeypatch.setattr(published, "DENSE_BYTES_PER_GROUP", 20_000)
    shards.write(shards.plan(pile, units, "dense")[0], tmp_path / "dense")
    meta = pq.read_metadata(tmp_path / "dense")
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [20, 20, 10]
