from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuropile.spans import Observed, covered_bins, merge, runs_of, stretches, subtract

LOW, HIGH = -40, 60
spans = st.lists(st.tuples(st.integers(LOW, HIGH), st.integers(LOW, HIGH)).map(sorted), max_size=8).map(lambda s: np.array(s, np.int64).reshape(-1, 2))


def ticks_in(spans) -> set[int]:
    return {t for start, stop in np.asarray(spans).tolist() for t in range(start, stop)}


def is_merged(spans) -> bool:
    flat = spans.reshape(-1)
    return spans.dtype == np.int64 and bool(np.all(np.diff(flat) > 0))  # also: touching ones are joined, empty ones gone


@given(spans)
def test_merging_keeps_every_tick_and_adds_none(spans):
    merged = merge(spans)
    assert is_merged(merged)
    assert ticks_in(merged) == ticks_in(spans)


@given(spans)
def test_merging_again_changes_nothing(spans):
    assert np.array_equal(merge(merge(spans)), merge(spans))


@given(spans, spans)
def test_subtracting_leaves_the_ticks_of_the_one_that_are_not_in_the_other(spans, holes):
    left = subtract(spans, holes)
    assert is_merged(left)
    assert ticks_in(left) == ticks_in(spans) - ticks_in(holes)


@given(spans, st.integers(1, 13), st.integers(-10, 10), st.integers(0, 20))
def test_a_bin_is_covered_if_all_its_ticks_are(spans, per_bin, first_bin, n_bins):
    inside = ticks_in(spans)
    expected = [all(t in inside for t in range(k * per_bin, (k + 1) * per_bin)) for k in range(first_bin, first_bin + n_bins)]
    assert covered_bins(merge(spans), per_bin, first_bin, n_bins).tolist() == expected


@given(spans, st.integers(1, 13), st.none() | st.integers(0, 30))
def test_stretches_hold_every_touched_bin_and_break_at_the_gaps(spans, per_bin, max_gap):
    merged = merge(spans)
    found = stretches(merged, per_bin, max_gap)
    touched = {t // per_bin for t in ticks_in(spans)}
    assert touched <= ticks_in(found)
    assert np.all(found[1:, 0] >= found[:-1, 1])  # ascending, and no bin in two
    breaks = 0
    for (_, stop), (start, _) in pairwise(merged):
        shares_a_bin = (stop - 1) // per_bin == start // per_bin
        breaks += max_gap is not None and start - stop >= max_gap and not shares_a_bin
    assert len(found) == (breaks + 1 if len(merged) else 0)
    for first, last in found.tolist():
        assert {first, last - 1} <= touched


def test_a_gap_of_just_that_many_ticks_ends_a_stretch():
    spans = np.array([[0, 20], [30, 50]])
    assert stretches(spans, 10, 11).tolist() == [[0, 5]]
    assert stretches(spans, 10, 10).tolist() == [[0, 2], [3, 5]]
    assert stretches(spans, 100, 10).tolist() == [[0, 1]]  # they share a bin
    assert stretches(spans, 10, None).tolist() == [[0, 5]]


@given(st.lists(st.booleans(), max_size=30))
def test_runs_are_the_true_stretches_of_a_mask(mask):
    runs = runs_of(np.array(mask, bool))
    rebuilt = np.zeros(len(mask), bool)
    for start, stop in runs.tolist():
        assert start < stop
        rebuilt[start:stop] = True
    assert rebuilt.tolist() == mask
    assert np.all(runs[1:, 0] > runs[:-1, 1])


def test_units_that_are_alike_share_their_spans():
    observed = Observed.of_each([np.array([[5, 9], [0, 5]]), np.array([[0, 9]])])
    assert not observed.differs
    assert observed.of(0).tolist() == observed.of(1).tolist() == [[0, 9]]


each = st.lists(spans, min_size=1, max_size=4)


@given(each)
def test_each_unit_keeps_its_own_spans(each):
    observed = Observed.of_each(each)
    for unit, spans in enumerate(each):
        assert observed.of(unit).tolist() == merge(spans).tolist()
    assert observed.differs == (len({tuple(map(tuple, merge(s).tolist())) for s in each}) > 1)


@given(each, st.integers(1, 13), st.integers(-10, 10), st.integers(0, 20), st.data())
def test_masks_of_units_agree_with_each_unit_alone(each, per_bin, first_bin, n_bins, data):
    units = np.array(data.draw(st.lists(st.integers(0, len(each) - 1), unique=True, min_size=1)), np.int64)
    observed = Observed.of_each(each)
    alone = [covered_bins(merge(each[u]), per_bin, first_bin, n_bins) for u in units.tolist()]
    assert observed.unit_mask(units, per_bin, first_bin, n_bins).tolist() == [a.tolist() for a in alone]
    assert observed.mask(units, per_bin, first_bin, n_bins).tolist() == np.any(alone, axis=0).tolist()
    assert ticks_in(observed.of_any(units)) == set().union(*(ticks_in(each[u]) for u in units.tolist()))
    assert ticks_in(observed.of_any()) == set().union(*map(ticks_in, each))
