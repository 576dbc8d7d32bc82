"""The inner loops of finding units that fire together: events in observed bins, and their pairs within bins."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def keep_observed(offsets, bins, runs, n_bins):
    """The events that lie in observed bins: (unit + 1,) offsets and (event,) int32 bins.

    offsets, bins : unit u owns bins[offsets[u]:offsets[u + 1]], each in [0, n_bins)
    runs : (run, 3) int64, ascending by unit: unit (-1 all units), first bin, bin after the last
    """
    n_units = len(offsets) - 1
    everywhere = np.zeros(n_bins, np.bool_)
    for r in range(len(runs)):
        if runs[r, 0] < 0:
            everywhere[max(runs[r, 1], 0) : min(runs[r, 2], n_bins)] = True
    r = np.searchsorted(runs[:, 0], 0)
    kept = np.zeros(n_units + 1, np.int64)
    out = np.empty(len(bins), np.int32)
    n = 0
    for u in range(n_units):
        seen = everywhere
        if r < len(runs) and runs[r, 0] == u:
            seen = everywhere.copy()
            while r < len(runs) and runs[r, 0] == u:
                seen[max(runs[r, 1], 0) : min(runs[r, 2], n_bins)] = True
                r += 1
        for i in range(offsets[u], offsets[u + 1]):
            if seen[bins[i]]:
                out[n] = bins[i]
                n += 1
        kept[u + 1] = n
    return kept, out[:n].copy()


@njit(cache=True)
def events_by_bin(offsets, bins, n_bins):
    """The unit of each event in the order of bins, ascending in a bin: (bin + 1,) starts and (event,) int32 units."""
    starts = np.zeros(n_bins + 1, np.int64)
    for b in bins:
        starts[b + 1] += 1
    for b in range(n_bins):
        starts[b + 1] += starts[b]
    place = starts[:-1].copy()
    units = np.empty(len(bins), np.int32)
    for u in range(len(offsets) - 1):
        for i in range(offsets[u], offsets[u + 1]):
            units[place[bins[i]]] = u
            place[bins[i]] += 1
    return starts, units


@njit(cache=True)
def add_pairs(offsets, bins, starts, units, out):
    """Add, for units i <= j, the pairs of an event of i and one of j in the same bin to out[i, j], (unit, unit) int64.

    offsets, bins : ascending within a unit; starts, units : the same events as `events_by_bin` gives them. The row
    that is added to stays in the cache while one unit's events pass.
    """
    head = starts[:-1].copy()  # of each bin, its first event of a unit that has not passed
    for i in range(len(offsets) - 1):
        row = out[i]
        e, stop = offsets[i], offsets[i + 1]
        while e < stop:
            b = bins[e]
            n = 1
            while e + n < stop and bins[e + n] == b:
                n += 1
            for q in range(head[b], starts[b + 1]):
                row[units[q]] += n
            head[b] += n
            e += n


@njit(cache=True)
def dense_counts(offsets, bins, place, first, out):
    """Count the events of bins [first, first + n) into out, (unit, n) zeros.

    place : (unit,) where each unit's events from `first` on begin; moved on to where the next block's begin
    """
    stop = first + out.shape[1]
    for u in range(len(offsets) - 1):
        i = place[u]
        while i < offsets[u + 1] and bins[i] < stop:
            out[u, bins[i] - first] += 1
            i += 1
        place[u] = i
