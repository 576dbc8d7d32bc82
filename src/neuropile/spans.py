"""Arithmetic on half-open spans of ticks: merging, subtracting, the bins they cover and the stretches they form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuropile.types import ALL_UNITS


def merge(spans: np.ndarray) -> np.ndarray:
    """Sorted spans with overlapping and touching ones joined, empty ones dropped.

    spans : (span, 2) int64, half-open. Returns the same kind.

    >>> merge(np.array([[5, 9], [0, 3], [3, 6], [12, 12]]))
    array([[0, 9]])
    """
    spans = np.asarray(spans, np.int64).reshape(-1, 2)
    spans = spans[spans[:, 1] > spans[:, 0]]
    if len(spans) < 2:
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    stops = np.maximum.accumulate(spans[:, 1])
    first = np.r_[True, spans[1:, 0] > stops[:-1]]
    return np.stack([spans[first, 0], stops[np.r_[first[1:], True]]], axis=1)


def subtract(spans: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """What is left of merged spans when the holes are taken out.

    >>> subtract(np.array([[0, 10]]), np.array([[2, 4], [9, 20]]))
    array([[0, 2],
           [4, 9]])
    """
    spans, holes = merge(spans), merge(holes)
    left: list[tuple[int, int]] = []
    for start, stop in spans.tolist():
        overlapping = holes[(holes[:, 0] < stop) & (holes[:, 1] > start)]
        for hole_start, hole_stop in overlapping.tolist():
            left.append((start, hole_start))
            start = hole_stop
        left.append((start, stop))
    return merge(np.array(left, np.int64))


def covered_bins(spans: np.ndarray, ticks_per_bin: int, first_bin: int, n_bins: int) -> np.ndarray:
    """Which bins merged spans cover wholly: (bin,) bool. Bin k is [k * ticks_per_bin, (k + 1) * ticks_per_bin).

    >>> covered_bins(np.array([[5, 30]]), ticks_per_bin=10, first_bin=0, n_bins=4)
    array([False,  True,  True, False])
    """
    mask = np.zeros(n_bins, bool)
    starts = -(-spans[:, 0] // ticks_per_bin) - first_bin
    stops = spans[:, 1] // ticks_per_bin - first_bin
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        mask[max(start, 0) : max(stop, 0)] = True
    return mask


def stretches(spans: np.ndarray, ticks_per_bin: int, max_gap: int | None) -> np.ndarray:
    """The runs of bins that merged spans touch, partly covered edge bins included: (stretch, 2) half-open bins.

    max_gap : a gap of this many ticks ends a stretch, unless both sides share a bin; None never ends one.
    """
    runs: list[list[int]] = []
    last_stop = 0
    for start, stop in spans.tolist():
        first, end = start // ticks_per_bin, -(-stop // ticks_per_bin)
        joined = runs and (max_gap is None or start - last_stop < max_gap or first < runs[-1][1])
        if joined:
            runs[-1][1] = max(end, runs[-1][1])
        else:
            runs.append([first, end])
        last_stop = stop
    return np.array(runs, np.int64).reshape(-1, 2)


def runs_of(mask: np.ndarray) -> np.ndarray:
    """The half-open runs of True: (run, 2).

    >>> runs_of(np.array([True, True, False, True]))
    array([[0, 2],
           [3, 4]])
    """
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return edges.reshape(-1, 2)


@dataclass(frozen=True)
class Observed:
    """When silence is data: merged half-open tick spans, for every unit alike or for each unit on its own.

    unit : (span,) int32, all ALL_UNITS or none; ascending. start, stop : (span,) int64 ticks
    """

    unit: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def __repr__(self) -> str:
        who = "each unit's own" if self.differs else "all units alike"
        shown = ", ".join(f"[{a}, {b})" for a, b in zip(self.start[:3].tolist(), self.stop[:3].tolist(), strict=True))
        return f"<Observed: {len(self.start)} spans of ticks, {who}: {shown}{', ...' if len(self.start) > 3 else ''}>"

    @classmethod
    def of_all(cls, spans: np.ndarray) -> Observed:
        """From (span, 2) ticks that hold for every unit."""
        spans = merge(spans)
        return cls(np.full(len(spans), ALL_UNITS, np.int32), spans[:, 0], spans[:, 1])

    @classmethod
    def of_each(cls, spans: list[np.ndarray]) -> Observed:
        """From one (span, 2) array a unit; where all are alike they become one."""
        merged = [merge(s) for s in spans]
        if merged and all(np.array_equal(m, merged[0]) for m in merged[1:]):
            return cls.of_all(merged[0])
        unit = np.repeat(np.arange(len(merged), dtype=np.int32), [len(m) for m in merged])
        flat = np.concatenate(merged) if merged else np.empty((0, 2), np.int64)
        return cls(unit, flat[:, 0], flat[:, 1])

    @property
    def differs(self) -> bool:
        """Whether units were observed at different times."""
        return bool(len(self.unit)) and int(self.unit[0]) != ALL_UNITS

    def of(self, unit: int) -> np.ndarray:
        """One unit's spans, (span, 2) ticks."""
        if not self.differs:
            return np.stack([self.start, self.stop], axis=1)
        low, high = np.searchsorted(self.unit, [unit, unit + 1])
        return np.stack([self.start[low:high], self.stop[low:high]], axis=1)

    def of_any(self, units: np.ndarray | None = None) -> np.ndarray:
        """The spans in which at least one of the units (default: all) was observed."""
        keep = slice(None) if units is None or not self.differs else np.isin(self.unit, units)
        return merge(np.stack([self.start[keep], self.stop[keep]], axis=1))

    def unit_mask(self, units: np.ndarray, ticks_per_bin: int, first_bin: int, n_bins: int) -> np.ndarray:
        """Which bins each of the units was observed in: (unit, bin) bool."""
        out = np.empty((len(units), n_bins), bool)
        for row, unit in enumerate(units.tolist()):
            out[row] = covered_bins(self.of(unit), ticks_per_bin, first_bin, n_bins)
        return out

    def mask(self, units: np.ndarray, ticks_per_bin: int, first_bin: int, n_bins: int) -> np.ndarray:
        """Which bins at least one of the units was observed in: (bin,) bool."""
        if not self.differs:
            return covered_bins(self.of(ALL_UNITS), ticks_per_bin, first_bin, n_bins)
        out = np.zeros(n_bins, bool)
        for unit in units.tolist():
            out |= covered_bins(self.of(unit), ticks_per_bin, first_bin, n_bins)
        return out
