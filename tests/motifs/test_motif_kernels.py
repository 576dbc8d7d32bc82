"""Counting patches straight from events: equal to a dictionary over the dense array, whatever the counts, shapes and masks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from motif_oracle import held, mask, ours, plain

from neuropile.errors import CountOverflow, StoreError
from neuropile.motifs import counting as motif_counting
from neuropile.motifs import kernels as motif_kernels
from neuropile.motifs.counting import Tiling, clipped
from neuropile.motifs.kernels import Events

SHAPES = [(1, 5), (1, 10), (1, 15), (5, 5), (64, 1), (8, 8), (1, 1), (1, 64), (3, 7), (2, 1)]


@st.composite
def segments(draw: st.DrawFn) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Counts of a few segments, silent to crowded, and runs of observed bins: shared, of each unit, or both, overlapping or not."""
    counts, observed = [], []
    for _ in range(draw(st.integers(1, 3))):
        n_units, n_bins = draw(st.integers(1, 70)), draw(st.integers(1, 140))
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        found = rng.poisson(draw(st.sampled_from([0, 0.01, 0.1, 0.5, 3])), (n_units, n_bins))
        crowded = rng.random(found.shape) < draw(st.sampled_from([0, 0.01, 0.1]))
        counts.append(np.where(crowded, rng.integers(0, 256, found.shape), found))
        runs = [[-1, 0, n_bins]] if draw(st.booleans()) else []
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, n_bins))
            runs.append([draw(st.sampled_from([-1, 0, n_units - 1])), start, draw(st.integers(start, n_bins))])
        if draw(st.booleans()):
            runs += [[u, 0, n_bins] for u in range(n_units)]
        observed.append(np.array(runs, np.int64).reshape(-1, 3))
    return counts, observed


@given(segments(), st.sampled_from(SHAPES), st.booleans(), st.booleans())
@example(([np.full((3, 20), 255)], [np.array([[-1, 0, 20]])]), (1, 10), False, False)
@example(([np.eye(20, dtype=int)], [np.array([[-1, 3, 20], [-1, 0, 3]])]), (1, 10), True, True)
def test_patches_are_counted_as_a_dictionary_counts_them(made: Any, shape: tuple[int, int], pad: bool, tiny: bool) -> None:
    counts, observed = made
    pile = held(counts, observed)
    expected, unobserved = plain([(c, mask(s, c.shape)) for c, s in zip(counts, pile, strict=True)], shape, pad)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if tiny:  # tables that must grow or be written out all the time
            patch.setattr(motif_counting, "_FEW_SLOTS", 8)
            patch.setattr(motif_counting, "MAX_TABLE_BYTES", 32 * 16)
        found, totals = ours(pile, Tiling(shape, pad=pad), Path(folder))
    assert +found == expected
    assert sum(t.n_patches for t in totals) == expected.total()
    assert sum(t.n_unobserved for t in totals) == unobserved
    cells = (expected.total() + unobserved) * shape[0] * shape[1]
    assert sum(t.n_padded_cells - t.n_edge_cells for t in totals) == cells - pile.n_tokens


@given(st.integers(0, 2**32), st.booleans())
def test_cells_above_255_are_clipped_and_counted_where_a_patch_holds_them(seed: int, pad: bool) -> None:
    rng = np.random.default_rng(seed)
    counts = np.where(rng.random((5, 43)) < 0.05, rng.integers(200, 600, (5, 43)), rng.poisson(0.3, (5, 43)))
    runs = np.array([[u, *sorted(rng.integers(0, 44, 2))] for u in range(5)])
    pile = held([counts], [runs])
    seen = mask(pile[0], counts.shape)
    patches = np.zeros(counts.shape, bool)
    for i in range(0, 5 if pad else 4, 2):
        for j in range(0, 43 if pad else 40, 5):
            patches[i : i + 2, j : j + 5] = seen[i : i + 2, j : j + 5].all()
    n = int((patches & (counts > 255)).sum())
    with tempfile.TemporaryDirectory() as folder:
        found, totals = ours(pile, Tiling((2, 5), pad=pad, clip=True), Path(folder))
        assert +found == plain([(counts, seen)], (2, 5), pad)[0]
        assert totals[0].n_clipped == n
        if n:
            with pytest.raises(CountOverflow, match=r"made/s0: unit unit-\d fires \d+ times in bin \d+ of segment_0 .*--clip"):
                ours(pile, Tiling((2, 5), pad=pad), Path(folder))
        else:
            assert ours(pile, Tiling((2, 5), pad=pad), Path(folder))[0] == found


@given(st.lists(st.lists(st.integers(0, 3), max_size=40), min_size=1, max_size=5), st.integers(1, 5))
def test_crowded_cells_and_clipping_agree_with_counting_by_hand(trains: list[list[int]], limit: int) -> None:
    offsets = np.cumsum([0, *map(len, trains)])
    events = Events(offsets, np.array([k for t in trains for k in sorted(t)], np.int32))
    crowded = {(u, k): t.count(k) for u, t in enumerate(trains) for k in range(4) if t.count(k) > limit}
    assert {(u, k): n for u, k, n in motif_kernels.crowded_cells(events, limit).tolist()} == crowded
    less = clipped(events, limit)
    for u, train in enumerate(trains):
        assert less.bins[less.offsets[u] : less.offsets[u + 1]].tolist() == [k for k in range(4) for _ in range(min(train.count(k), limit))]


@pytest.mark.parametrize(
    ("offsets", "bins"),
    [([0, 2], [5, 4]), ([0, 2], [-1, 4]), ([0, 1], [10]), ([0, 3], [1, 2]), ([1, 2], [1, 2]), ([0, 2, 1, 2], [1, 2]), ([], []), ([0, 2], [3, -(2**31)])],
)
def test_events_that_no_sound_file_holds_are_refused(offsets: list[int], bins: list[int]) -> None:
    with pytest.raises(StoreError, match="out of order or outside of the segment"):
        motif_kernels.check_events(Events(np.array(offsets, np.int64), np.array(bins, np.int32)), 10)


def test_events_in_order_are_taken() -> None:
    motif_kernels.check_events(Events(np.array([0, 0, 3, 4]), np.array([0, 0, 9, 3], np.int32)), 10)


@given(st.integers(1, 9), st.integers(1, 30), st.integers(0, 2**32))
def test_growing_a_table_keeps_every_key_and_count(words: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.unique(rng.integers(1, 2**63, (n, words), dtype=np.uint64), axis=0)
    slots = np.zeros((64, words + 1), np.uint64)
    slots[rng.permutation(64)[: len(keys)]] = np.column_stack([keys, rng.integers(1, 99, len(keys), dtype=np.uint64)])
    more = motif_kernels.grown(slots, 256)
    assert more.shape == (256, words + 1)
    assert sorted(more[more[:, -1] > 0].tolist()) == sorted(slots[slots[:, -1] > 0].tolist())
