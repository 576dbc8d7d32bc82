"""When each sample of a recording was taken: at an even rate, along a probe's synchronisation, or by a time stamp a sample."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile

#: Time stamps are looked at in blocks of so many; a search ends when it is down to one.
BLOCK = 1024
#: Longer than so many sample intervals from one sample to the next is a gap.
GAP_INTERVALS = 1.5
#: The rate is measured in so many blocks, spread evenly.
_RATE_BLOCKS = 5


class Clock:
    """The time of each of `n_samples` samples, in seconds; `rate_hz` samples a second, NaN where one sample is all there is."""

    n_samples: int

    @property
    def rate_hz(self) -> float:
        """Samples a second, by this clock."""
        raise NotImplementedError

    @property
    def start_s(self) -> float:
        """When the first sample was taken."""
        return float(self.times(0, 1)[0])

    @property
    def stop_s(self) -> float:
        """One sample interval after the last sample."""
        return float(self.times(self.n_samples - 1, self.n_samples)[0]) + 1 / self.rate_hz

    def times(self, first: int, last: int) -> np.ndarray:
        """The times of the samples [first, last): (sample,) float64."""
        raise NotImplementedError

    def first_at(self, time_s: float) -> int:
        """The first sample taken at or after a time; `n_samples` where there is none."""
        raise NotImplementedError

    def _near(self, guess: float, time_s: float) -> int:
        """`first_at` from a guess that rounding may have moved: exact in terms of `times`."""
        low, high = (int(np.clip(guess + d, 0, self.n_samples)) for d in (-2, 3))
        return low + int(np.searchsorted(self.times(low, high), time_s, "left"))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about these times, a sentence each."""
        return ()

    def points(self) -> np.ndarray:
        """(n, 2) of sample and time between which the times run straight; a row a sample where each has its own stamp."""
        raise NotImplementedError


class Even(Clock):
    """One sample every 1 / rate_hz seconds from `start_s` on."""

    def __init__(self, n_samples: int, rate_hz: float, start_s: float = 0.0, name: str = "the clock") -> None:
        if not (np.isfinite(rate_hz) and rate_hz > 0 and np.isfinite(start_s)):
            raise UnreadableFile(f"{name}: {rate_hz} samples a second from {start_s} s is no clock")
        self.n_samples, self._rate, self._start = n_samples, float(rate_hz), float(start_s)

    @property
    def rate_hz(self) -> float:
        """See Clock."""
        return self._rate

    def times(self, first: int, last: int) -> np.ndarray:
        """See Clock; by division, so that whole seconds of whole rates are whole."""
        return self._start + np.arange(first, last, dtype=np.float64) / self._rate

    def first_at(self, time_s: float) -> int:
        """See Clock."""
        return self._near((time_s - self._start) * self._rate, time_s)

    def points(self) -> np.ndarray:
        """See Clock."""
        return np.array([[0.0, self._start], [self.n_samples, self._start + self.n_samples / self._rate]])


class Straight(Clock):
    """Times that run straight between points, and beyond the first and the last as between the two nearest.

    points : (point, 2) sample numbers and seconds, at least two, both rising
    """

    def __init__(self, n_samples: int, points: Any, name: str = "the clock") -> None:
        self.n_samples = n_samples
        self._points = np.array(points, np.float64)
        if self._points.ndim != 2 or self._points.shape[1:] != (2,):
            raise UnreadableFile(f"{name}: points of a clock are rows of a sample number and its time, found an array of shape {self._points.shape}")
        steps = np.diff(self._points, axis=0)
        with np.errstate(all="ignore"):
            slopes = np.array([steps[:, 0] / steps[:, 1], steps[:, 1] / steps[:, 0]])
        if len(self._points) < 2 or not np.isfinite(self._points).all() or not (steps > 0).all() or not np.isfinite(slopes).all():
            raise UnreadableFile(f"{name}: sample numbers and times must be at least two, finite and rising; pass sync= with points that are")

    @property
    def rate_hz(self) -> float:
        """See Clock; between the first and the last point."""
        samples, seconds = self._points[-1] - self._points[0]
        return float(samples / seconds)

    def _along(self, x: np.ndarray, column: int) -> np.ndarray:
        """From one column to the other."""
        of, to = self._points[:, column], self._points[:, 1 - column]
        piece = np.clip(np.searchsorted(of, x, "right") - 1, 0, len(of) - 2)
        return to[piece] + (x - of[piece]) * ((to[piece + 1] - to[piece]) / (of[piece + 1] - of[piece]))

    def times(self, first: int, last: int) -> np.ndarray:
        """See Clock."""
        return self._along(np.arange(first, last, dtype=np.float64), 0)

    def first_at(self, time_s: float) -> int:
        """See Clock."""
        return self._near(float(self._along(np.array([time_s]), 1)[0]), time_s)

    def points(self) -> np.ndarray:
        """See Clock."""
        return self._points.copy()


class Stamped(Clock):
    """A time stamp a sample, read in blocks where they are needed and never whole; stamps that are NaN are passed over.

    stamps : (sample,) array-like of seconds, read by slices; rising but for NaN
    """

    def __init__(self, stamps: Any, name: str = "the time stamps") -> None:
        self.n_samples = int(stamps.shape[0])
        self._stamps = stamps
        samples, times = self._known(0, self.n_samples)
        if not samples.size:
            raise UnreadableFile(f"{name}: none of {self.n_samples} time stamps is a number; sought seconds, rising")
        self._first, self._last = (int(samples[0]), float(times[0])), self._last_known()
        if not self._first[1] <= self._last[1]:
            raise UnreadableFile(f"{name}: the last time stamp, {self._last[1]} s, is before the first, {self._first[1]} s")

    def times(self, first: int, last: int) -> np.ndarray:
        """See Clock; NaN where the source has no time."""
        return np.asarray(self._stamps[first:last], np.float64)

    def _known(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """The samples that have a time in the first block of [low, high) with any, and their times; none where there is none."""
        for a in range(low, high, BLOCK):
            times = self.times(a, min(a + BLOCK, high))
            known = np.flatnonzero(np.isfinite(times))
            if known.size:
                return a + known, times[known]
        return np.empty(0, np.int64), np.empty(0)

    def _last_known(self) -> tuple[int, float]:
        for b in range(self.n_samples, 0, -BLOCK):
            samples, times = self._known(max(b - BLOCK, 0), b)
            if samples.size:
                return int(samples[-1]), float(times[-1])
        raise AssertionError

    @property
    def start_s(self) -> float:
        """See Clock; of the first sample that has a time."""
        return self._first[1]

    @property
    def stop_s(self) -> float:
        """See Clock; of the last sample that has a time."""
        return self._last[1] + (1 / self.rate_hz if self.rate_hz > 0 else 0.0)

    @cached_property
    def _rates(self) -> np.ndarray:
        """Samples a second in a few blocks, gaps left out."""
        at = np.unique(np.linspace(0, max(self.n_samples - BLOCK, 0), _RATE_BLOCKS).astype(np.int64))
        rates = np.array([_rate(self.times(a, min(a + BLOCK, self.n_samples))) for a in at.tolist()])
        return rates[rates > 0]

    @property
    def rate_hz(self) -> float:
        """See Clock: the median over a few blocks, in each over the intervals that are no gap."""
        return float(np.median(self._rates)) if self._rates.size else float("nan")

    def first_at(self, time_s: float) -> int:
        """See Clock: by interpolation between samples whose times are known and by halves, in turn."""
        (low, low_s), (found, found_s) = self._first, self._last
        if time_s <= low_s:
            return low
        if time_s > found_s:
            return self.n_samples
        end, halve = found, False
        while end - low > 1:  # low is before time_s, found is not, and no sample of [end, found) has a time
            guess = (low + end) // 2 if halve else low + int((found - low) * ((time_s - low_s) / (found_s - low_s)))
            a = int(np.clip(guess - BLOCK // 2, low + 1, max(end - BLOCK, low + 1)))
            samples, times = self._known(a, end)
            early = times < time_s
            if not samples.size:
                end = a
            elif not early.all():
                k = int(np.argmin(early))
                end, found, found_s = int(samples[k]), int(samples[k]), float(times[k])
                samples, times = samples[:k], times[:k]
            if samples.size:
                low, low_s = int(samples[-1]), float(times[-1])
            halve = not halve
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """See Clock: that stamps lack, or that samples do."""
        (first, first_s), (last, last_s) = self._first, self._last
        said = []
        if first or last < self.n_samples - 1:
            said.append(f"{first} samples before {first_s:.6g} s and {self.n_samples - 1 - last} after {last_s:.6g} s have no time")
        empty_s = (last_s - first_s) - (last - first) / self.rate_hz
        uncertain_s = (last_s - first_s) * np.ptp(self._rates) / self.rate_hz if self._rates.size else np.nan
        if empty_s > max(GAP_INTERVALS / self.rate_hz, uncertain_s):
            said.append(f"the time stamps span {empty_s:.6g} s more than their samples fill: there are gaps, and `valid` tells where")
        return tuple(said)

    def points(self) -> np.ndarray:
        """See Clock."""
        return np.column_stack([np.arange(self.n_samples, dtype=np.float64), self.times(0, self.n_samples)])


def _rate(times: np.ndarray) -> float:
    """Samples a second of one block, gaps left out; 0 where it cannot be told."""
    steps = np.diff(times)
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if not steps.size:
        return 0.0
    steps = steps[steps <= GAP_INTERVALS * np.median(steps)]
    return float(steps.size / steps.sum())


def after_gap(times: np.ndarray, before: float, rate_hz: float) -> np.ndarray:
    """Which samples follow a gap, or go back in time: (sample,) bool.

    times : (sample,) seconds; NaN is neither
    before : the time of the sample before the first one, NaN where there is none
    """
    known = np.isfinite(times)
    own = np.r_[before if np.isfinite(before) else np.nan, times[known]]
    steps = np.diff(own)
    found = np.zeros(len(times), bool)
    found[known] = (steps > GAP_INTERVALS / rate_hz) | (steps <= 0)
    return found
