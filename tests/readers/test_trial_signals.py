"""Signals over trials laid end to end, against arrays put together by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.errors import UnreadableFile
from neuropile.readers.layouts.trial_signals import Rows, Trials

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=12)


def over(n_samples, rate_hz=50.0, start_s=None):
    n_samples = np.array(n_samples)
    starts = np.zeros(len(n_samples)) if start_s is None else np.array(start_s, float)
    return Trials(n_samples=n_samples, rate_hz=rate_hz, start_s=starts, columns={}, times={"stim_on_s": np.zeros(len(n_samples))})


@given(LENGTHS, st.integers(1, 5), st.data())
def test_any_slice_is_the_slice_of_all_trials_end_to_end(lengths, at_once, data):
    trials = [np.arange(n * 2.0).reshape(n, 2) + 100 * i for i, n in enumerate(lengths)]
    whole = np.concatenate(trials)
    rows = Rows(np.cumsum(lengths), 2, np.float64, lambda a, b: np.concatenate(trials[a:b]), at_once)
    assert rows.shape == whole.shape
    for _ in range(4):
        key = slice(*(data.draw(st.integers(-50, 50) | st.none()) for _ in range(2)), data.draw(st.sampled_from([None, 1, 3])))
        np.testing.assert_array_equal(rows[key], whole[key])


@given(LENGTHS, st.integers(1, 5))
def test_reading_in_order_reads_no_group_of_trials_twice(lengths, at_once):
    asked = []

    def read(a, b):
        asked.append((a, b))
        return np.zeros((sum(lengths[a:b]), 1))

    rows = Rows(np.cumsum(lengths), 1, np.float64, read, at_once)
    for row in range(rows.shape[0]):
        rows[row : row + 1]
    assert asked == [(a, min(a + at_once, len(lengths))) for a in range(0, len(lengths), at_once)]


@given(LENGTHS, st.sampled_from([20.0, 50.0, 1000.0]), st.floats(-2, 2))
def test_trials_begin_at_whole_seconds_a_second_or_more_after_the_one_before(lengths, rate_hz, start):
    trials = over(lengths, rate_hz, [start] * len(lengths))
    table = trials.table()
    begins, ends = (table.column(c).to_numpy() for c in ("start_s", "stop_s"))
    np.testing.assert_allclose(begins, np.round(begins), atol=1e-9)
    assert np.all(begins[1:] - ends[:-1] >= 1 - 1e-9)
    np.testing.assert_allclose(ends - begins, np.array(lengths) / rate_hz, atol=1e-9)
    np.testing.assert_allclose(table.column("stim_on_s").to_numpy(), table.column("offset_s").to_numpy(), atol=1e-9)
    times = np.split(trials.row_times(), np.cumsum(lengths)[:-1])
    for begin, n, own in zip(begins, lengths, times, strict=True):
        np.testing.assert_allclose(own, begin + np.arange(n) / rate_hz, atol=1e-9)


def test_no_trials_or_an_empty_one_are_an_error_of_one_line():
    for lengths in ([], [3, 0]):
        with pytest.raises(UnreadableFile, match="sought trials with samples"):
            over(lengths)
