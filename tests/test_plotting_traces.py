"""Voltage drawn: no excursion is lost, and no line where nothing was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from neuropile import plotting
from neuropile.errors import NeuropileError
from neuropile.plotting.traces import Traces, envelope, runs, voltage_traces


def drawn(volts: np.ndarray, **more: Any) -> Figure:
    n, n_channels = volts.shape
    facts = {"time_s": np.arange(n) / 1000, "valid": np.ones(n, bool), "names": [str(i) for i in range(n_channels)], "regions": [None] * n_channels}
    return voltage_traces(Traces("a probe", "x", volts=volts, **{**facts, **more}))


@given(st.integers(1, 500), st.integers(1, 60), st.integers(0, 99))
def test_the_envelope_keeps_the_least_and_the_largest_of_every_stretch(n: int, each: int, seed: int) -> None:
    lines = np.random.default_rng(seed).normal(size=(n, 2))
    times, found = envelope(np.arange(n, dtype=float), lines, each)
    assert len(times) == len(found) <= max(2 * -(-n // each), n if each <= 2 else 0, each)
    for a in range(0, n, each):
        own = found[(times >= a) & (times < a + each)]
        np.testing.assert_array_equal([own.min(axis=0), own.max(axis=0)], [lines[a : a + each].min(axis=0), lines[a : a + each].max(axis=0)])


@given(st.lists(st.booleans(), max_size=30))
def test_runs_cover_exactly_the_valid_samples(valid: list[bool]) -> None:
    covered = np.zeros(len(valid), bool)
    for a, b in runs(np.array(valid, bool)):
        assert not covered[a:b].any()
        assert a == 0 or not valid[a - 1]
        assert b == len(valid) or not valid[b]
        covered[a:b] = True
    assert covered.tolist() == valid


def test_one_sample_that_stands_out_is_seen_among_a_hundred_thousand() -> None:
    volts = np.zeros((100_000, 2))
    volts[54_321, 1] = 1e-3
    volts[:, 0] = 1e-5 * np.random.default_rng(0).normal(size=100_000)
    lines = drawn(volts).axes[0].lines
    peak = max(float(np.nanmax(line.get_ydata())) for line in lines)
    assert peak > 10


def test_no_line_is_drawn_over_a_gap_which_is_grey() -> None:
    valid = np.ones(1000, bool)
    valid[400] = False
    times = np.arange(1000) / 1000
    times[400:] += 5
    figure = drawn(np.random.default_rng(0).normal(0, 1e-4, (1000, 3)), valid=valid, time_s=times)
    spans = [line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert all(np.max(x) < 0.41 or np.min(x) > 5.39 for x in spans)
    grey = [p.get_extents().transformed(figure.axes[0].transData.inverted()) for p in figure.axes[0].patches]
    assert max(g.width for g in grey) == pytest.approx(5.002)


def test_the_figure_is_written_the_same_twice(tmp_path: Path) -> None:
    volts = np.random.default_rng(0).normal(0, 1e-4, (5000, 40))
    for name in ("a.png", "b.png"):
        plotting.save(drawn(volts, regions=["VISp5"] * 40), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("volts", [np.zeros((10, 2)), np.full((10, 2), np.nan), np.zeros((1, 1))])
def test_flat_missing_and_single_values_are_drawn(volts: np.ndarray) -> None:
    assert drawn(volts).axes
    assert drawn(volts, valid=np.zeros(len(volts), bool)).axes


@pytest.mark.parametrize(
    ("volts", "more", "told"),
    [
        (np.zeros((0, 2)), {}, "nothing to draw, 0 samples of 2 channels"),
        (np.zeros((3, 2)), {"names": ["a"]}, "do not fit"),
        (np.zeros((3, 2)), {"time_s": np.full(3, np.nan)}, "no sample has a time"),
    ],
)
def test_what_cannot_be_drawn_is_told(volts: np.ndarray, more: dict[str, Any], told: str) -> None:
    with pytest.raises(NeuropileError, match=told):
        drawn(volts, **more)
