"""Clocks of samples: the first sample at a time, found without reading the time stamps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.errors import UnreadableFile
from neuropile.voltage import clocks


class Watched:
    """Time stamps that count how many of them were read."""

    def __init__(self, values: Any) -> None:
        self.values, self.n_read = np.asarray(values, np.float64), 0
        self.shape = self.values.shape

    def __getitem__(self, key: slice) -> np.ndarray:
        found = self.values[key]
        self.n_read += len(found)
        return found


def first_at(times: np.ndarray, time_s: float) -> int:
    """The definition: the first sample that has a time at or after it."""
    with np.errstate(invalid="ignore"):
        found = np.flatnonzero(times >= time_s)
    return int(found[0]) if found.size else len(times)


@given(
    steps=st.lists(st.floats(1e-6, 0.01), min_size=1, max_size=60),
    gap=st.floats(0, 100),
    at=st.integers(0, 4000),
    missing=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 2500)), max_size=3),
    asked=st.floats(-0.1, 1.1),
)
def test_the_first_sample_at_a_time_is_what_a_full_search_finds(steps: list[float], gap: float, at: int, missing: list[tuple[int, int]], asked: float) -> None:
    times = 7 + np.cumsum(np.resize(steps, 4000))
    times[at:] += gap
    for start, n in missing:
        times[start : start + n] = np.nan
    if np.isnan(times).all():
        times[0] = 7.0
    clock = clocks.Stamped(times)
    low, high = np.nanmin(times), np.nanmax(times)
    for t in (low + asked * (high - low), low, high, times[at] if at < len(times) and np.isfinite(times[at]) else high):
        assert clock.first_at(t) == first_at(times, t)


def test_a_search_of_ten_million_stamps_reads_a_few_blocks() -> None:
    rate = 1249.9986
    stamps = Watched(12.5 + np.arange(10_000_000) / rate)
    clock = clocks.Stamped(stamps)
    assert clock.first_at(4000.0) == first_at(stamps.values, 4000.0)
    assert stamps.n_read <= 10 * clocks.BLOCK
    assert clock.rate_hz == pytest.approx(rate, rel=1e-10)
    assert (clock.start_s, clock.stop_s) == (12.5, pytest.approx(12.5 + 10_000_000 / rate, abs=1e-9))
    assert clock.notes == ()


def test_a_gap_costs_a_search_no_more_than_halving() -> None:
    times = np.arange(2_000_000) / 1000
    times[7:] += 1e6
    stamps = Watched(times)
    assert clocks.Stamped(stamps).first_at(1e6 + 500) == first_at(times, 1e6 + 500)
    assert stamps.n_read <= 60 * clocks.BLOCK


def test_the_rate_leaves_gaps_out_and_they_are_told() -> None:
    times = np.arange(100_000) / 1250
    times[50_000:] += 30
    clock = clocks.Stamped(times)
    assert clock.rate_hz == pytest.approx(1250, rel=1e-9)
    assert "30 s more than their samples fill: there are gaps" in clock.notes[0]


@given(seed=st.integers(0, 1000), jitter=st.floats(0, 0.1))
def test_stamps_that_jitter_or_drift_are_no_gaps(seed: int, jitter: float) -> None:
    rng = np.random.default_rng(seed)
    steps = 1 + 1e-5 * np.sin(np.arange(20_000) / 4000) + jitter * rng.uniform(-1, 1, 20_000)
    clock = clocks.Stamped(np.cumsum(steps) / 1250)
    assert clock.rate_hz == pytest.approx(1250, rel=1e-2)
    assert clock.notes == ()
    assert not clocks.after_gap(clock.times(0, 20_000), np.nan, clock.rate_hz).any()


def test_samples_without_a_time_at_either_end_are_told() -> None:
    times = np.arange(5000) / 1000
    times[:3] = times[-4:] = np.nan
    clock = clocks.Stamped(times)
    assert (clock.start_s, clock.stop_s) == (pytest.approx(0.003), pytest.approx(4.996))
    assert "3 samples before 0.003 s and 4 after 4.995 s have no time" in clock.notes[0]


@pytest.mark.parametrize("rate", [1250.0, 2500.0, 30000.0, 1249.9986, 29999.967, 30000.390639])
def test_an_even_clock_starts_whole_seconds_at_whole_rates(rate: float) -> None:
    clock = clocks.Even(10**7, rate)
    times = np.arange(10**5) / rate
    np.testing.assert_array_equal(clock.times(0, 10**5), times)
    for t in (0, 1, 2, 1.5, times[777], -3):
        assert clock.first_at(t) == first_at(times, t)
    assert clock.rate_hz == rate


@given(
    points=st.lists(st.tuples(st.floats(1, 1000), st.floats(0.001, 10)), min_size=2, max_size=10),
    asked=st.floats(-20, 120),
)
def test_points_are_joined_by_straight_lines_and_the_outer_ones_go_on(points: list[tuple[float, float]], asked: float) -> None:
    rows = np.cumsum(np.array(points), axis=0)
    clock = clocks.Straight(3000, rows)
    samples = np.arange(3000.0)
    inner = (samples >= rows[0, 0]) & (samples <= rows[-1, 0])
    times = clock.times(0, 3000)
    np.testing.assert_allclose(times[inner], np.interp(samples, rows[:, 0], rows[:, 1])[inner], rtol=1e-9, atol=1e-9)
    for outer, (a, b) in ((samples < rows[0, 0], rows[:2]), (samples > rows[-1, 0], rows[-2:])):
        slope = (b[1] - a[1]) / (b[0] - a[0])
        np.testing.assert_allclose(times[outer], a[1] + (samples[outer] - a[0]) * slope, rtol=1e-6, atol=1e-6)
    assert clock.first_at(asked) == first_at(times, asked)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([[0, 0]], "at least two"),
        ([[0, 0], [1, 0]], "rising"),
        ([[0, 0], [np.nan, 1]], "finite"),
        ([[0, 0], [1, 1e-320]], "finite"),
        ([1, 2], "rows of a sample"),
    ],
)
def test_points_that_make_no_clock_are_refused(points: Any, told: str) -> None:
    with pytest.raises(UnreadableFile, match=told):
        clocks.Straight(10, points)


def test_stamps_that_make_no_clock_are_refused() -> None:
    with pytest.raises(UnreadableFile, match="none of 10 time stamps is a number"):
        clocks.Stamped(np.full(10, np.nan))
    with pytest.raises(UnreadableFile, match="is before the first"):
        clocks.Stamped(np.arange(10.0)[::-1])
    with pytest.raises(UnreadableFile, match="no clock"):
        clocks.Even(10, 0.0)


def test_a_sample_after_a_gap_or_back_in_time_is_marked() -> None:
    times = np.array([0, 1, 2, 3.4, 5.0, np.nan, 7.0, 6.5, 7.5])
    #               ok ok ok ok   gap  -     gap  back ok
    np.testing.assert_array_equal(clocks.after_gap(times, -1.0, 1.0), [0, 0, 0, 0, 1, 0, 1, 1, 0])
    assert clocks.after_gap(times, -2.0, 1.0)[0]
    assert not clocks.after_gap(times, np.nan, 1.0)[0]
