"""The inner loops, compiled by numba and cached on disk: binning, gap bytes and putting events in unit order."""

from __future__ import annotations

import numpy as np
from numba import njit

from neuropile.errors import StoreError

_NOT_SORTED = "spikes that are not in time order: the file is damaged; restore it from a copy or build the session again"
_NO_SUCH_UNIT = "spikes of units that are not there: the file is damaged; restore it from a copy or build the session again"


def divider(divisor: int) -> tuple[int, int]:
    """A multiplier and shift with `(x * multiplier) >> shift == x // divisor` for every 0 <= x < 2**31.

    The round-up method of Granlund and Montgomery (1994), "Division by invariant integers using
    multiplication", section 4: with shift = 31 + ceil(log2 d) the multiplier is below 2**32, so the product fits
    64 bits. A run-time integer division would cost more than all the rest of the loop.
    """
    shift = 31 + (divisor - 1).bit_length()
    return -(-(1 << shift) // divisor), shift


@njit(cache=True)
def scatter_near(units, ticks, row_of_unit, first_tick, span, division, out):
    """Add one to `out[row, bin]` for each event whose tick lies in [first_tick, first_tick + span); span < 2**31 ticks, all bins of `out`.

    units, ticks : (event,) integers; row_of_unit : (unit,) row of `out`, or -1 to leave the unit out
    Returns the flat index of the first cell that overflowed, or -1. Events outside `out` are not counted.
    Units come from files: one that is not there would be a write outside of `out`, so each is checked.
    """
    n_units = np.uint64(len(row_of_unit))
    n_bins = np.uint64(out.shape[1])
    flat = out.reshape(-1)
    m = np.uint64(division[0])
    s = np.uint64(division[1])
    bad = np.int64(-1)
    for i in range(len(ticks)):
        if np.uint64(units[i]) >= n_units:  # so is one below zero
            raise StoreError(_NO_SUCH_UNIT)
        row = row_of_unit[units[i]]
        delta = np.int64(ticks[i]) - first_tick
        if row < 0 or delta < 0 or delta >= span:
            continue
        b = (np.uint64(delta) * m) >> s
        cell = np.uint64(row) * n_bins + b
        flat[cell] += 1
        if flat[cell] == 0 and bad < 0:
            bad = np.int64(cell)
    return bad


@njit(cache=True)
def bin_trains(ticks, offsets, span, division, out):
    """Count each unit's events, ticks[offsets[u]:offsets[u + 1]], in the bins of its row of `out`, which cover [0, span).

    Returns a unit one of whose counts overflowed, or -1. A row of counts stays in the cache while it is filled, and
    nothing in the loop waits for a comparison: that makes it half as fast again as `scatter_near`.
    """
    m = np.uint64(division[0])
    s = np.uint64(division[1])
    end = np.uint64(span)
    bad = -1
    for u in range(len(offsets) - 1):
        row = out[u]
        wrapped = False
        for i in range(offsets[u], offsets[u + 1]):
            tick = np.uint64(ticks[i])  # so is one below zero: far beyond the end
            if tick < end:
                b = (tick * m) >> s
                row[b] += 1
                wrapped |= row[b] == 0
        if wrapped:
            bad = u
    return bad


@njit(cache=True)
def scatter_far(units, ticks, row_of_unit, first_tick, ticks_per_bin, out):
    """As `scatter_near` for spans of 2**31 ticks and more, with an ordinary division."""
    n_units = np.uint64(len(row_of_unit))
    n_bins = out.shape[1]
    bad = np.int64(-1)
    for i in range(len(ticks)):
        if np.uint64(units[i]) >= n_units:
            raise StoreError(_NO_SUCH_UNIT)
        row = row_of_unit[units[i]]
        delta = np.int64(ticks[i]) - first_tick
        if row < 0 or delta < 0:
            continue
        b = delta // ticks_per_bin
        if b >= n_bins:
            continue
        out[row, b] += 1
        if out[row, b] == 0 and bad < 0:
            bad = row * n_bins + b
    return bad


@njit(cache=True)
def scatter_aligned(ticks, offsets, rows, event_ticks, ticks_before, ticks_per_bin, out):
    """Count each unit's events around each moment: out[event, row, bin], bins counted from `ticks_before` it.

    ticks : (event,) ascending within a unit; unit u owns ticks[offsets[u]:offsets[u + 1]]
    rows : (row,) the units to count. Returns the flat index of the first cell that overflowed, or -1.
    """
    n_bins = out.shape[2]
    bad = np.int64(-1)
    for e in range(len(event_ticks)):
        first = event_ticks[e] - ticks_before
        stop = first + n_bins * ticks_per_bin
        for r in range(len(rows)):
            train = ticks[offsets[rows[r]] : offsets[rows[r] + 1]]
            i = np.searchsorted(train, first)
            while i < len(train) and train[i] < stop:
                b = (train[i] - first) // ticks_per_bin
                if b < 0:
                    raise StoreError(_NOT_SORTED)
                out[e, r, b] += 1
                if out[e, r, b] == 0 and bad < 0:
                    bad = (e * len(rows) + r) * n_bins + b
                i += 1
    return bad


@njit(cache=True)
def group_by_unit(units, ticks, n_units):
    """Events in unit order, time order kept within a unit: (unit + 1,) offsets and (event,) int64 ticks."""
    offsets = np.zeros(n_units + 1, np.int64)
    for u in units:
        if np.uint64(u) >= np.uint64(n_units):
            raise StoreError(_NO_SUCH_UNIT)
        offsets[u + 1] += 1
    for u in range(n_units):
        offsets[u + 1] += offsets[u]
    place = offsets[:-1].copy()
    out = np.empty(len(ticks), np.int64)
    for i in range(len(ticks)):
        u = units[i]
        out[place[u]] = ticks[i]
        place[u] += 1
    return offsets, out


@njit(cache=True)
def gaps_length(bins, offsets):
    """How many gap bytes the bins of all units take."""
    total = 0
    for u in range(len(offsets) - 1):
        last = np.int64(0)
        for i in range(offsets[u], offsets[u + 1]):
            total += (bins[i] - last) // 255 + 1
            last = bins[i]
    return total


@njit(cache=True)
def write_gaps(bins, offsets, out, out_offsets):
    """Each unit's bins as gap bytes: the bins since the previous event, 255 = go on 255 bins with no event.

    bins : (event,) ascending within a unit, from 0; unit u owns bins[offsets[u]:offsets[u + 1]]
    out, out_offsets : filled; unit u's bytes are out[out_offsets[u]:out_offsets[u + 1]]
    """
    n = 0
    for u in range(len(offsets) - 1):
        out_offsets[u] = n
        last = np.int64(0)
        for i in range(offsets[u], offsets[u + 1]):
            gap = bins[i] - last
            while gap >= 255:
                out[n] = 255
                n += 1
                gap -= 255
            out[n] = gap
            n += 1
            last = bins[i]
    out_offsets[len(offsets) - 1] = n


@njit(cache=True)
def read_gaps(data, offsets, row_of_item, n_bins, out):
    """Scatter gap bytes into counts; the inverse of `write_gaps`.

    data : (byte,) uint8; item i owns data[offsets[i]:offsets[i + 1]] and fills out[row_of_item[i]]
    out : (row, bin) counts, zero where it will be filled
    Returns -1, or the item whose bytes run past `n_bins` (nothing of it is written), or -2 - item where a
    count overflows `out`.
    """
    largest = 255 if out.itemsize == 1 else 65535 if out.itemsize == 2 else 2147483647
    for item in range(len(offsets) - 1):
        start, stop = offsets[item], offsets[item + 1]
        total = np.int64(0)
        zeros = 0
        for i in range(start, stop):  # checked before anything is written: the loop below then needs no bounds
            total += data[i]
            zeros += data[i] == 0
        if stop > start and (total >= n_bins or data[stop - 1] == 255):
            return item
        row = out[row_of_item[item]]
        b = np.int64(0)
        if zeros < largest:  # no bin can hold more events than there are zero bytes, plus one
            for i in range(start, stop):
                g = data[i]
                b += g
                row[b] += g != 255
        else:
            for i in range(start, stop):
                g = data[i]
                b += g
                if g != 255:
                    if row[b] == largest:
                        return -2 - item
                    row[b] += 1
    return -1


@njit(cache=True)
def bins_by_row(units, ticks, row_of_unit, n_rows, first_tick, ticks_per_bin, n_bins):
    """The bin of each event of each row, in its order of time: (row + 1,) offsets and (event,) int32 bins from 0.

    units, ticks : (event,), a unit's in order of time; row_of_unit : (unit,) row, or -1 to leave the unit out
    Events outside of the `n_bins` bins from `first_tick` are left out.
    """
    stop = first_tick + n_bins * ticks_per_bin
    offsets = np.zeros(n_rows + 1, np.int64)
    for i in range(len(ticks)):
        if np.uint64(units[i]) >= np.uint64(len(row_of_unit)):
            raise StoreError(_NO_SUCH_UNIT)
        row = row_of_unit[units[i]]
        if row >= 0 and first_tick <= ticks[i] < stop:
            offsets[row + 1] += 1
    for row in range(n_rows):
        offsets[row + 1] += offsets[row]
    place = offsets[:-1].copy()
    bins = np.empty(offsets[-1], np.int32)
    for i in range(len(ticks)):
        row = row_of_unit[units[i]]
        if row >= 0 and first_tick <= ticks[i] < stop:
            bins[place[row]] = (ticks[i] - first_tick) // ticks_per_bin
            place[row] += 1
    return offsets, bins


@njit(cache=True)
def bins_of_gaps(data, starts, item_of_row, n_bins):
    """Gap bytes as bins; the inverse of `write_gaps`.

    data : (byte,) uint8; item i owns data[starts[i]:starts[i + 1]]; item_of_row : (row,) which item a row is
    Returns (row + 1,) offsets, (event,) int32 bins, and -1 or the item whose bytes run past `n_bins`.
    """
    n_rows = len(item_of_row)
    offsets = np.zeros(n_rows + 1, np.int64)
    for row in range(n_rows):
        n = 0
        for i in range(starts[item_of_row[row]], starts[item_of_row[row] + 1]):
            n += data[i] != 255
        offsets[row + 1] = offsets[row] + n
    bins = np.empty(offsets[n_rows], np.int32)
    for row in range(n_rows):
        item = item_of_row[row]
        k = offsets[row]
        b = np.int64(0)
        for i in range(starts[item], starts[item + 1]):
            b += data[i]
            if data[i] != 255:
                bins[k] = b
                k += 1
        if starts[item + 1] > starts[item] and (b >= n_bins or data[starts[item + 1] - 1] == 255):
            return offsets, bins, item
    return offsets, bins, -1
