"""Crops of a segment's events, compiled: which units, their counts, and which of these are data."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def draw_units(n_units, key, rows):
    """Fill `rows` with as many different units of 0 .. n_units-1, ascending; any such set is as likely (Floyd's sampling).

    key : uint64; the random numbers are those of splitmix64 from there
    """
    chosen = np.zeros(n_units, np.uint8)
    state = np.uint64(key)
    for last in range(n_units - len(rows), n_units):
        state += np.uint64(0x9E3779B97F4A7C15)
        z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        unit = np.int64(z % np.uint64(last + 1))
        chosen[last if chosen[unit] else unit] = 1
    n = 0
    for unit in range(n_units):
        if chosen[unit]:
            rows[n] = unit
            n += 1


@njit(cache=True)
def pack(offsets, bins, n_bins):
    """Events in a form that windows are cut out of fast: a byte each, within blocks of 256 bins that are found without a search.

    offsets, bins : unit u's events lie in bins[offsets[u]:offsets[u + 1]], ascending, in 0 .. n_bins-1; fewer than 2**31
    Returns places (event,) uint8, its bin within its block; starts (unit, block + 1) int32, where in `places` each
    block's events begin; and -1, or a unit whose bins are not as they should be.
    """
    n_units, n_blocks = len(offsets) - 1, (n_bins + 255) >> 8
    places = np.empty(len(bins), np.uint8)
    starts = np.empty((n_units, n_blocks + 1), np.int32)
    for u in range(n_units):
        begun, last = 0, 0
        for k in range(offsets[u], offsets[u + 1]):
            if bins[k] < last or bins[k] >= n_bins:
                return places, starts, u
            last = bins[k]
            while begun <= last >> 8:
                starts[u, begun] = k
                begun += 1
            places[k] = last & 255
        starts[u, begun:] = offsets[u + 1]
    return places, starts, -1


@njit(cache=True)
def cut(places, starts, rows, first_bin, n_bins, out):
    """Fill out[i, :n_bins] with the counts of unit rows[i] in the bins from `first_bin`, and the rest of `out` with zeros.

    places, starts : from `pack`
    rows : (row,) units that are there; first_bin, n_bins : bins that are there; out : (at least row, at least n_bins) uint8
    Returns -1, or a unit of which a bin holds more than 255 events.
    """
    out[len(rows) :] = 0
    first_block = first_bin >> 8
    n_blocks = ((first_bin + n_bins + 255) >> 8) - first_block
    skipped = first_bin & 255
    spans, touched = _spans(places, starts, rows, first_block, n_blocks)
    bad = np.int64(-1 if touched >= 0 else 0)  # it is never below 0
    # whole blocks are counted and the window copied: no branch depends on an event, and the rest is cheap
    whole = np.zeros(n_blocks << 8, out.dtype)
    for i in range(len(rows)):
        for block in range(n_blocks):
            shift = np.uint64(block << 8)  # unsigned indexes need no test for counting from the end
            for k in range(np.uint64(spans[i, block]), np.uint64(spans[i, block + 1])):
                whole[shift + np.uint64(places[k])] += np.uint8(1)
        for b in range(n_bins):
            out[i, b] = whole[skipped + b]
        out[i, n_bins:] = 0
        if spans[i, n_blocks] - spans[i, 0] > 255:  # else no bin can hold more
            went_round = np.int64(spans[i, n_blocks] - spans[i, 0])
            for b in range(len(whole)):
                went_round -= whole[b]
            if went_round and _most_in_a_bin(places, spans[i], skipped, n_bins) > 255:
                bad = rows[i]
        whole[:] = 0
    return bad


@njit(cache=True)
def _spans(places, starts, rows, first_block, n_blocks):
    """Where the blocks of a window begin in `places`, (row, block + 1), and a sum of some of what lies there.

    The sum is for nothing but to have read it: memory answers many rows at once here, one after another where they are
    counted; that halves the time of a crop that is not in the processor's caches.
    """
    spans = np.empty((len(rows), n_blocks + 1), np.int32)
    for i in range(len(rows)):
        for j in range(n_blocks + 1):
            spans[i, j] = starts[rows[i], first_block + j]
    touched, last = np.int64(0), np.int64(len(places) - 1)
    if last >= 0:
        for i in range(len(rows)):
            k = np.int64(spans[i, 0])
            touched += np.int64(places[min(k, last)]) + np.int64(places[min(k + 64, last)])  # 64 bytes on: the next line
    return spans, touched


@njit(cache=True)
def _most_in_a_bin(places, start, skipped, n_bins):
    """The most events of any bin of a window that begins `skipped` bins into its first block."""
    counts = np.zeros((len(start) - 1) << 8, np.int64)
    for block in range(len(start) - 1):
        for k in range(start[block], start[block + 1]):
            counts[(block << 8) + places[k]] += 1
    return counts[skipped : skipped + n_bins].max()


@njit(cache=True)
def mark_observed(runs, rows, first_bin, n_bins, out):
    """Fill `out` with which cells of a crop are data: inside of it, and observed.

    runs : (run, 3) unit (-1 all), first bin, bin after the last; ascending by unit
    rows, first_bin, n_bins, out : as in `cut`; out is bool
    """
    out[len(rows) :] = False
    units = runs[:, 0]
    n_all = np.searchsorted(units, 0)
    of_all = np.zeros(out.shape[1], out.dtype)
    for k in range(n_all):
        _mark(runs[k], first_bin, n_bins, of_all)
    for i in range(len(rows)):
        for b in range(len(of_all)):
            out[i, b] = of_all[b]
        k = np.searchsorted(units, rows[i]) if n_all < len(runs) else len(runs)
        while k < len(runs) and units[k] == rows[i]:
            _mark(runs[k], first_bin, n_bins, out[i])
            k += 1


@njit(cache=True)
def _mark(run, first_bin, n_bins, row):
    start, stop = max(run[1] - first_bin, 0), min(run[2] - first_bin, n_bins)
    if start < stop:
        row[start:stop] = True
