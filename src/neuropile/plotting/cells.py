"""Spikes and observed time into the cells that a page has room for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fold(array: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Sum neighbours into cells, `sizes` elements along each axis; the last cells take what remains.

    >>> fold(np.array([[1, 0, 2], [0, 0, 1]], np.uint8), (2, 2))
    array([[1, 3]])
    """
    for axis, size in enumerate(sizes):
        if size > 1:
            array = np.add.reduceat(array, np.arange(0, array.shape[axis], size), axis=axis, dtype=np.int64)
    return array.astype(np.int64, copy=False)


def mostly_unobserved(observed: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Which cells of `fold` lie for more than half outside `observed`, (bin,) or (unit, bin) bool: (row or 1, column) bool."""
    mask = np.atleast_2d(observed)
    return fold(~mask, sizes) > fold(mask, sizes)


def bin_spikes(spike_row: np.ndarray, spike_s: np.ndarray, shape: tuple[int, int], start_s: float, stop_s: float) -> np.ndarray:
    """Count spikes in equal cells of time from start_s to stop_s, the last moment included: `shape` (row, column) int64."""
    column = np.floor((spike_s - start_s) * (shape[1] / (stop_s - start_s))).astype(np.int64)
    cell = spike_row.astype(np.int64) * shape[1] + np.minimum(column, shape[1] - 1)
    return np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)


def observed_seconds(row: np.ndarray, spans_s: np.ndarray, n_rows: int, edges_s: np.ndarray) -> np.ndarray:
    """How much of each bin between ascending edges a row's spans cover: (row, bin) seconds, summed over the row's spans.

    row : (span,) int, the row each span belongs to; spans_s : (span, 2) seconds, in any order

    >>> observed_seconds(np.array([0, 1]), np.array([[0.5, 2.0], [1.0, 1.5]]), 2, np.arange(3.0))
    array([[0.5, 1. ],
           [0. , 0.5]])
    """
    n_bins = len(edges_s) - 1
    at = np.interp(spans_s, edges_s, np.arange(n_bins + 1.0))
    whole = np.minimum(at.astype(np.int64), n_bins - 1)
    # From a start on, all is covered, and from its stop on, nothing more: steps whose running sum is the share covered.
    cell, part = row.astype(np.int64)[:, None] * (n_bins + 1) + whole, at - whole
    n_steps, sign = n_rows * (n_bins + 1), np.array([1.0, -1.0])
    steps = np.bincount(cell.ravel(), (sign * (1 - part)).ravel(), n_steps) + np.bincount(cell.ravel() + 1, (sign * part).ravel(), n_steps)
    return np.cumsum(steps.reshape(n_rows, n_bins + 1), axis=1)[:, :n_bins] * np.diff(edges_s)


def lie_in(spike_s: np.ndarray, spike_unit: np.ndarray, spans_s: np.ndarray, span_unit: np.ndarray) -> np.ndarray:
    """Which spikes lie in a half-open span of their own unit, or in one of every unit's (-1): (event,) bool.

    spans_s, span_unit : ascending by unit and merged within it, as `SessionOverview` holds them
    """
    if not len(spans_s):
        return np.zeros(len(spike_s), bool)
    unit = spike_unit.astype(np.int64) if span_unit[0] >= 0 else np.full(len(spike_s), -1)
    moments = np.unique(spans_s[:, 0])
    # Whole numbers that order (unit, time) pairs, so that one search finds the last span of a unit to start by a spike.
    started, asked = (
        u * (len(moments) + 1) + np.searchsorted(moments, t, side="right") for u, t in ((span_unit.astype(np.int64), spans_s[:, 0]), (unit, spike_s))
    )
    span = np.searchsorted(started, asked, side="right") - 1
    return (span >= 0) & (span_unit[span] == unit) & (spike_s < spans_s[span, 1])


def population_rate(
    spike_s: np.ndarray, spike_unit: np.ndarray, *, spans_s: np.ndarray, span_unit: np.ndarray, n_units: int, edges_s: np.ndarray
) -> np.ndarray:
    """Spikes that lie in their own unit's spans, over the unit-seconds observed, in bins between ascending edges: (bin,) Hz.

    A unit that was not observed counts neither above nor below the line. NaN where less than half of a bin lies in time
    in which any unit was observed; -1 in span_unit means every one of n_units.
    """
    n = np.histogram(spike_s[lie_in(spike_s, spike_unit, spans_s, span_unit)], edges_s)[0]
    unit_s, any_s = (observed_seconds(np.zeros(len(s), np.int64), s, 1, edges_s)[0] for s in (spans_s, merged(spans_s)))
    if (span_unit < 0).any():
        unit_s = unit_s * n_units
    enough = (unit_s > 0) & (any_s >= (0.5 - 1e-9) * np.diff(edges_s))
    return np.divide(n, unit_s, out=np.full(len(n), np.nan), where=enough)


def merged(spans_s: np.ndarray) -> np.ndarray:
    """Spans in any order, overlapping and touching ones joined: (span, 2) seconds, ascending.

    >>> merged(np.array([[4.0, 6.0], [0.0, 1.0], [5.0, 9.0]]))
    array([[0., 1.],
           [4., 9.]])
    """
    spans_s = spans_s[np.argsort(spans_s[:, 0], kind="stable")]
    stops = np.maximum.accumulate(spans_s[:, 1])
    first = np.r_[True, spans_s[1:, 0] > stops[:-1]][: len(stops)]
    return np.stack([spans_s[first, 0], stops[np.r_[first[1:], True][: len(stops)]]], axis=1)


def gaps(spans_s: np.ndarray, start_s: float, stop_s: float) -> np.ndarray:
    """What merged spans leave out of [start_s, stop_s): (gap, 2) seconds."""
    between = np.r_[start_s, np.clip(spans_s, start_s, stop_s).ravel(), stop_s].reshape(-1, 2)
    return between[between[:, 1] > between[:, 0]]
