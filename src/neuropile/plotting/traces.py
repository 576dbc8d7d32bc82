"""Voltage over time, a line a channel, with no excursion lost to the width of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from neuropile.errors import NeuropileError
from neuropile.plotting import pages

_LEFT, _WIDTH, _TOP, _LOW = 1.1, 7.6, 0.95, 0.75
#: Names and regions are written where a line has at least so many inches.
_READABLE = 0.11


@dataclass(frozen=True)
class Traces:
    """A stretch of voltage as `voltage_traces` draws it.

    time_s : (time,) seconds, NaN where unknown; valid : (time,) whether the sample is to be used
    volts : (time, channel), the first channel drawn at the bottom
    names, regions : (channel,) what stands left and right of each line
    """

    title: str
    subtitle: str
    time_s: np.ndarray
    volts: np.ndarray
    valid: np.ndarray
    names: Sequence[str]
    regions: Sequence[str | None]

    def __post_init__(self) -> None:
        n_times, n_channels = self.volts.shape
        if not n_times or not n_channels:
            raise NeuropileError(f"{self.title}: nothing to draw, {n_times} samples of {n_channels} channels")
        if len(self.time_s) != n_times or len(self.valid) != n_times or not len(self.names) == len(self.regions) == n_channels:
            raise NeuropileError(f"{self.title}: volts are (time, channel) = {self.volts.shape}; time_s, valid, names and regions do not fit")
        if not np.isfinite(self.time_s).any():
            raise NeuropileError(f"{self.title}: nothing to draw, no sample has a time")


def voltage_traces(traces: Traces) -> Figure:
    """Lines one above the other, on one scale; where samples are not valid there is no line but grey.

    Where there are more samples than a line has pixels each pixel shows the least and the largest of its own.
    """
    n_channels = traces.volts.shape[1]
    height = float(np.clip(0.35 * n_channels, 1.6, 7.0))
    page = pages.Page(_LEFT + _WIDTH + 1.0, _TOP + height + _LOW)
    microvolts = np.where(traces.valid[:, None], traces.volts * 1e6, np.nan)
    known = np.isfinite(microvolts).any(axis=0)
    centred = microvolts.copy()
    centred[:, known] -= np.nanmedian(microvolts[:, known], axis=0)
    spread = np.nanpercentile(np.abs(centred), 99.5) if np.isfinite(centred).any() else 0.0
    step = _round_up(2 * float(spread)) or 1.0
    stretches = runs(traces.valid)
    pixel = max(len(traces.time_s) // int(_WIDTH * pages.DPI), 1)
    with style.context(["default", pages.STYLE]):
        page.text(_LEFT, 0.36, traces.title, size=12, weight="bold")
        page.text(_LEFT, 0.60, traces.subtitle, size=8.5, color=pages.MUTED)
        ax = page.axes(_LEFT, _TOP, _WIDTH, height)
        first, last = float(np.nanmin(traces.time_s)), float(np.nanmax(traces.time_s))
        clock = (first, last if last > first else first + 1e-3)
        ends = [clock[0], *traces.time_s[stretches[:, [0, 1]] - [0, 1]].ravel(), clock[1]]
        for start, stop in zip(ends[::2], ends[1::2], strict=True):
            ax.axvspan(start, stop, color=pages.UNOBSERVED, linewidth=0)
        for a, b in stretches.tolist():
            ax.plot(*envelope(traces.time_s[a:b], centred[a:b] / step + np.arange(n_channels), pixel), color=pages.INK, linewidth=0.5)
        ax.set(xlim=clock, ylim=(-1, n_channels), xlabel=pages.TIME)
        pages.number_axis(ax.xaxis, 6)
        each = max(int(np.ceil(_READABLE * n_channels / height)), 1)
        ax.set_yticks(np.arange(0, n_channels, each), [traces.names[i] for i in range(0, n_channels, each)])
        for i in range(0, n_channels, each):
            ax.annotate(traces.regions[i] or "", (1.01, i), xycoords=("axes fraction", "data"), va="center", size=pages.LABEL, color=pages.MUTED)
        ax.plot([0.995, 0.995], [-0.9, 0.1], transform=ax.get_yaxis_transform(), color=pages.BLUE, linewidth=1.5, clip_on=False)
        ax.annotate(f"{pages.number_text(step)} µV", (1.01, -0.4), xycoords=("axes fraction", "data"), va="center", size=pages.LABEL, color=pages.BLUE)
    return page.figure


def runs(valid: np.ndarray) -> np.ndarray:
    """Where stretches of valid samples begin, and where they end: (stretch, 2)."""
    edges = np.flatnonzero(np.diff(np.r_[False, valid, False]))
    return edges.reshape(-1, 2)


def envelope(time_s: np.ndarray, lines: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest of every so many samples, in turn; the samples themselves where they are no more than two.

    time_s : (time,); lines : (time, channel)
    """
    if each <= 2 or len(time_s) <= each:
        return time_s, lines
    starts = np.arange(0, len(time_s), each)
    least, largest = (f.reduceat(lines, starts, axis=0) for f in (np.minimum, np.maximum))
    return np.repeat(time_s[starts], 2), np.stack([least, largest], axis=1).reshape(2 * len(starts), -1)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... ; 0 of 0."""
    if not value > 0:
        return 0.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(f for f in (1, 2, 5, 10) if f * power >= value * (1 - 1e-9)))
