"""Counts of a session around events."""

from fractions import Fraction
from math import floor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sessions import N, few, open_written, plain_mask

from neuropile.errors import BinWidthError, StoreError
from neuropile.types import Recording, Trains

# Aligned counts


events = st.lists(st.floats(-3, 43) | st.sampled_from([float("nan"), 0.0, 10.0, 40.0]), max_size=6)


@few
@given(events, st.integers(-8, 8), st.integers(1, 12), st.sampled_from([0.02, 0.1, 0.5]), st.lists(st.integers(0, N - 1), unique=True, min_size=1))
def test_aligned_counts_are_those_around_each_event_and_so_is_their_mask(made, events, first, n_bins, width, units):
    times = made.start_s + np.array(events, float)
    window = (float(Fraction(str(width)) * first), float(Fraction(str(width)) * (first + n_bins)))
    aligned = made.ses.align(times, window, width, units=units)
    kept = np.flatnonzero(~np.isnan(times))
    per_bin = round(width * 100_000)
    starts = np.floor(times[kept] * 100_000 + 1e-3).astype(np.int64)[:, None] + (first + np.arange(n_bins)) * per_bin
    expected = np.zeros((len(kept), len(units), n_bins), int)
    masks = np.zeros((len(kept), len(units), n_bins), bool)
    for i, unit in enumerate(units):
        own = made.ticks[unit]
        expected[:, i] = ((own >= starts[..., None]) & (own < starts[..., None] + per_bin)).sum(axis=-1)
        masks[:, i] = plain_mask(made.spans[unit], starts, per_bin)
    assert aligned.dims == ("trial", "unit", "time")
    assert np.array_equal(aligned.values, expected)
    assert aligned.trial.values.tolist() == kept.tolist()
    assert np.array_equal(aligned.event_s.values, times[kept])
    assert np.allclose(aligned.time.values, (first + np.arange(n_bins) + 0.5) * width)
    assert np.array_equal(aligned.observed.values, masks.any(axis=1))
    if "unit_observed" in aligned.coords:
        assert np.array_equal(aligned.unit_observed.values, masks)
    else:
        assert np.array_equal(np.repeat(aligned.observed.values[:, None], len(units), axis=1), masks)


def test_trials_without_the_event_are_left_out_by_their_number(made):
    aligned = made.ses.align("trials.stim_on_s", (-0.5, 1.0))
    stim = made.recording.intervals["trials"].column("stim_on_s").to_pylist()
    assert None in stim
    assert aligned.trial.values.tolist() == [i for i, s in enumerate(stim) if s is not None]
    assert aligned.event_s.values.tolist() == [s for s in stim if s is not None]
    assert aligned.shape == (len(stim) - stim.count(None), N, 75)


def test_aligned_counts_agree_with_counts_where_the_event_begins_a_bin(made):
    event = floor(made.start_s) + 12.0
    aligned = made.ses.align(np.array([event]), (-0.4, 0.6), 0.02)
    window = made.ses.counts(0.02, event - 0.4, event + 0.6)
    assert np.array_equal(aligned.values[0], window.values)
    assert np.array_equal(aligned.observed.values[0], window.observed.values)


def test_responses_stand_out_after_the_stimulus(made):
    aligned = made.ses.align("trials.stim_on_s", (-0.25, 0.25), 0.05)
    responsive = aligned.values[:, ::2].mean(axis=(0, 1))
    assert responsive[6:].mean() > 2 * responsive[:5].mean()


def test_the_moments_of_some_trials_keep_their_numbers(made):
    some = made.ses.trials[made.ses.trials.correct]
    aligned = made.ses.align(some.stim_on_s, (0.0, 0.1))
    assert aligned.trial.values.tolist() == some.index[some.stim_on_s.notna()].tolist()
    assert aligned.attrs == {"bin_width_s": 0.02, "session": "test/session-4", "events": "stim_on_s"}
    assert np.array_equal(aligned.values, made.ses.align(some.stim_on_s.to_numpy(), (0.0, 0.1)).values)


def test_units_are_asked_for_by_rows_of_their_table_too(made):
    some = made.ses.units[made.ses.units.n_spikes > 100]
    assert made.ses.rows_of(some).tolist() == some.index.tolist()


def test_a_row_that_is_another_units_id_is_refused(tmp_path):
    trains = [np.array([1.0]), np.array([2.0]), np.array([3.0])]
    ses = open_written(Recording("s", pa.table({"unit_id": ["0", "2", "a"]}), Trains(3, trains.__getitem__)), tmp_path / "s")
    assert ses.rows_of([0, 1]).tolist() == [0, 1]
    assert ses.rows_of(["2"]).tolist() == [1]
    with pytest.raises(StoreError, match="test/s: 2 is a row and the id of another unit too; pass '2' for the id, or a mask for rows"):
        ses.rows_of([2])


def test_the_sources_own_columns_are_found_without_their_prefix(made):
    assert np.array_equal(made.ses.align("trials.block", (0.0, 0.1)).event_s.values, made.ses.trials.src_block.to_numpy(float))


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ("trials.lick_s", "no column 'lick_s' in trials; there are start_s, stop_s"),
        ("trials.correct", r"trials\.correct holds bool, not times in seconds"),
        ("licks.start_s", "no intervals 'licks'; there are observed, trials"),
    ],
)
def test_events_that_are_not_there_are_named(made, events, message):
    with pytest.raises(StoreError, match=message):
        made.ses.align(events, (-0.5, 1.0))


@pytest.mark.parametrize("window", [(0.0, 0.0), (1.0, -0.5), (-0.51, 1.0), (0.0, 0.03), ("x", 1.0), (0.0, float("nan"))])
def test_a_window_must_be_whole_bins(made, window):
    with pytest.raises(BinWidthError, match=r"window .* must run from a start to a later stop, both whole numbers of 0\.02 s bins"):
        made.ses.align("trials.stim_on_s", window)


def test_more_spikes_around_an_event_than_a_byte_holds_are_counted(bursts):
    aligned = bursts.align(np.array([4.7, 1.0]), (-0.1, 0.1), 0.1)
    assert aligned.values[:, 1].tolist() == [[0, 300], [0, 0]]


def test_counts_around_no_event_or_no_unit_are_empty(made):
    assert made.ses.align(np.array([]), (0.0, 0.1)).shape == (0, N, 5)
    assert made.ses.align(np.array([made.start_s + 1.0]), (0.0, 0.1), units=[]).shape == (1, 0, 5)
