"""The inner loops of motif counting, compiled by numba: events into patch keys, and keys into a table of counts.

A patch's key holds its cells in unit-major order, the first in the lowest bits. A narrow key is one 64-bit word with
floor(64 / cells) bits a cell, at most 8; a wide key has 8 bits a cell in as many words as that takes. Rows of patches
whose cells all fit take narrow keys, the others wide ones: both are exact, and become the same bytes in `as_bytes`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from neuropile.errors import StoreError

MAX_CELLS = 64
#: The most events a cell may hold: a cell of a wide key, and of the table's bytes, has 8 bits.
MAX_COUNT = 255
WIDE_BITS = 8
_NOT_IN_ORDER = "spikes out of order or outside of the segment: the file is damaged; restore it from a copy or make it again"


class Events(NamedTuple):
    """Events of a segment: unit u owns bins[offsets[u]:offsets[u + 1]], ascending; checked (see `check_events`)."""

    offsets: np.ndarray
    bins: np.ndarray


class Tiles(NamedTuple):
    """How patches lie in a segment: `n_rows` rows of `n_columns` patches of (p_n, p_t) cells.

    run_offsets, runs : of row r of patches, the runs of observed ones, runs[run_offsets[r]:run_offsets[r + 1]], each
        the first patch and the patch after the last
    """

    p_n: int
    p_t: int
    n_rows: int
    n_columns: int
    run_offsets: np.ndarray
    runs: np.ndarray


class Tables(NamedTuple):
    """Two open-addressing hash tables, of narrow and of wide keys.

    narrow, wide : (slot, words + 1) uint64, a power of two slots: the words of a key and, last, its count, 0 = a free slot
    used : (2,) int64 how many slots of each are taken; no more than half of them ever are
    """

    narrow: np.ndarray
    wide: np.ndarray
    used: np.ndarray


class Place(NamedTuple):
    """Where counting stopped: at row `row` of patches, `done` of its keys counted, as table `full` is (-1 neither: all is done).

    n_fired : how many patches that are not silent were counted since it started
    """

    row: int
    done: int
    full: int
    n_fired: int


START = Place(0, 0, -1, 0)


@njit(cache=True)
def check_events(events, n_bins):
    """Raise StoreError unless all events are in order and within the segment; the other kernels trust that."""
    offsets, bins = events
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(bins):
        raise StoreError(_NOT_IN_ORDER)
    for u in range(len(offsets) - 1):
        start, stop = offsets[u], offsets[u + 1]
        if not 0 <= start <= stop <= len(bins):
            raise StoreError(_NOT_IN_ORDER)
        train = bins[start:stop]
        if len(train) > 0 and (train[0] < 0 or train[-1] >= n_bins):
            raise StoreError(_NOT_IN_ORDER)
        signs = np.int32(0)
        for i in range(1, len(train)):  # 32 bits hold the difference of what is not below zero
            signs |= train[i] | np.int32(train[i] - train[i - 1])
        if signs < 0:
            raise StoreError(_NOT_IN_ORDER)


@njit(cache=True)
def _is_crowded(train, limit):
    """Whether a bin of one unit's events holds more than `limit`. Without an early end it is a vector loop, which costs next to nothing."""
    later = train[limit:]
    n = 0
    for i in range(len(later)):
        n += np.int32(later[i] == train[i])
    return n > 0


@njit(cache=True)
def crowded_cells(events, limit):
    """The cells with more than `limit` events: (cell, 3) int64 unit, bin, count."""
    offsets, bins = events
    found = np.empty((len(bins) // (limit + 1), 3), np.int64)
    n = 0
    for u in range(len(offsets) - 1):
        start, stop = offsets[u], offsets[u + 1]
        if not _is_crowded(bins[start:stop], limit):
            continue
        first = start
        for i in range(start, stop):
            if i + 1 == stop or bins[i + 1] != bins[i]:
                if i + 1 - first > limit:
                    found[n, 0], found[n, 1], found[n, 2] = u, bins[i], i + 1 - first
                    n += 1
                first = i + 1
    return found[:n]


@njit(cache=True)
def patch_runs(observed, grid, n_units, n_bins, shape):
    """The observed patches of each row of patches, as runs: an offset a row and one more, and (run, 2) first patch, patch after the last.

    observed : (run, 3) int64 unit, first bin, bin after the last: of each unit from 0, in order of unit, then of first bin
    grid : rows and columns of patches; shape : (p_n, p_t)
    A patch is observed if all of its cells that lie within the segment are.
    """
    n_rows, n_columns = grid
    p_n, p_t = shape
    offsets = np.zeros(n_rows + 1, np.int64)
    runs = np.empty((len(observed) + n_units + n_rows, 2), np.int64)  # no more than gaps between runs, and one a row
    edges = np.zeros(n_columns + 1, np.int64)  # +1 where a gap's patches begin, -1 after they end
    k = n = 0
    for row in range(n_rows):
        edges[:] = 0
        for unit in range(row * p_n, min((row + 1) * p_n, n_units)):
            seen = np.int64(0)
            while k < len(observed) and observed[k, 0] <= unit:
                if observed[k, 0] == unit:
                    _add_gap(edges, seen, min(observed[k, 1], n_bins), p_t)
                    seen = max(seen, observed[k, 2])
                k += 1
            _add_gap(edges, seen, n_bins, p_t)
        depth = np.int64(0)
        was = False
        for column in range(n_columns):
            depth += edges[column]
            if depth == 0 and not was:
                runs[n, 0] = column
            elif depth != 0 and was:
                runs[n, 1] = column
                n += 1
            was = depth == 0
        if was:
            runs[n, 1] = n_columns
            n += 1
        offsets[row + 1] = n
    return offsets, runs[:n]


@njit(cache=True)
def _add_gap(edges, start, stop, p_t):
    """Mark the patches that the unobserved bins [start, stop) touch."""
    n_columns = len(edges) - 1
    if start < stop and start // p_t < n_columns:
        edges[start // p_t] += 1
        edges[min((stop - 1) // p_t + 1, n_columns)] -= 1


@njit(cache=True)
def tally(events, tiles, bits, tables, place):
    """Count the patches that are observed and not silent, from `place` on; see Place for what comes back.

    bits : of a cell in a narrow key. Where a table is full, nothing is lost: grow or empty it and go on from there.
    """
    p_n = tiles.p_n
    narrow_keys = np.zeros(tiles.n_columns + 1, np.uint64)
    wide_keys = np.zeros((0, 0), np.uint64)
    n_units = len(events.offsets) - 1
    limit = (1 << bits) - 1
    n_fired = 0
    for row in range(place.row, tiles.n_rows):
        first_unit, stop_unit = row * p_n, min((row + 1) * p_n, n_units)
        crowded = False
        for u in range(first_unit, stop_unit):
            crowded |= _is_crowded(events.bins[events.offsets[u] : events.offsets[u + 1]], limit)
        done = place.done if row == place.row else 0
        if crowded and limit < MAX_COUNT:
            if len(wide_keys) == 0:
                wide_keys = np.zeros((tiles.n_columns, tables.wide.shape[1] - 1), np.uint64)
            _scatter(events, tiles, row, WIDE_BITS, wide_keys)
            n = _observed_and_fired(wide_keys, tiles, row)
            stopped = _count_wide(wide_keys, done, n, tables)
            full = 1
        else:
            if p_n == 1:
                n = _walk(events, tiles, row, bits, narrow_keys)
            else:
                as_words = narrow_keys.reshape(-1, 1)
                _scatter(events, tiles, row, bits, as_words)
                n = _observed_and_fired(as_words, tiles, row)
            stopped = _count_narrow(narrow_keys, done, n, tables)
            full = 0
        n_fired += stopped - done
        if stopped < n:
            return Place(row, stopped, full, n_fired)
    return Place(tiles.n_rows, 0, -1, n_fired)


@njit(cache=True)
def _divider(divisor):
    """As `kernels.divider`, which see: x // divisor is (x * m) >> s for 0 <= x < 2**31."""
    s = 31
    while (1 << (s - 31)) < divisor:
        s += 1
    return np.uint64(((1 << s) + divisor - 1) // divisor), np.uint64(s)


@njit(cache=True)
def _walk(events, tiles, row, bits, keys):
    """The narrow keys of one unit's observed patches that fired, in order, into `keys`; how many.

    The loop has no branch that depends on the data (whether an event lies in the patch of the one before is anybody's
    guess, and a wrong guess costs more than all the rest): the key of the patch at hand is written after every event,
    and its place moves on when a new patch begins. Silent patches cost nothing.
    """
    m, s = _divider(tiles.p_t)
    p_t = np.uint64(tiles.p_t)
    width = np.uint64(bits)
    train = events.bins[events.offsets[row] : events.offsets[row + 1]]
    n = np.int64(-1)
    for r in range(tiles.run_offsets[row], tiles.run_offsets[row + 1]):
        first, stop = tiles.runs[r, 0] * tiles.p_t, tiles.runs[r, 1] * tiles.p_t
        start = np.searchsorted(train, first) if first > 0 else 0
        before = np.uint64(0xFFFFFFFF)
        key = np.uint64(0)
        for i in range(start, np.searchsorted(train, stop)):
            b = np.uint64(train[i])
            patch = (b * m) >> s
            new = patch != before
            n += np.int64(new)
            key = (np.uint64(0) if new else key) + (np.uint64(1) << ((b - patch * p_t) * width))
            keys[n] = key
            before = patch
    return n + 1


@njit(cache=True)
def _scatter(events, tiles, row, bits, keys):
    """The keys of all patches of a row, silent and unobserved ones too, into keys[:n_columns]."""
    m, s = _divider(tiles.p_t)
    p_t = np.uint64(tiles.p_t)
    stop = tiles.n_columns * tiles.p_t
    keys[:] = 0
    first_unit = row * tiles.p_n
    for u in range(first_unit, min(first_unit + tiles.p_n, len(events.offsets) - 1)):
        first_cell = np.uint64((u - first_unit) * tiles.p_t)
        for i in range(events.offsets[u], events.offsets[u + 1]):
            if events.bins[i] >= stop:  # an edge
                break
            b = np.uint64(events.bins[i])
            patch = (b * m) >> s
            at = (first_cell + b - patch * p_t) * np.uint64(bits)
            keys[patch, at >> np.uint64(6)] += np.uint64(1) << (at & np.uint64(63))


@njit(cache=True)
def _observed_and_fired(keys, tiles, row):
    """Move the keys of observed patches that fired to the front of `keys`, in order; how many."""
    n = 0
    for r in range(tiles.run_offsets[row], tiles.run_offsets[row + 1]):
        for column in range(tiles.runs[r, 0], tiles.runs[r, 1]):
            fired = np.uint64(0)
            for w in range(keys.shape[1]):
                word = keys[column, w]
                keys[n, w] = word
                fired |= word
            n += np.int64(fired != 0)
    return n


@njit(cache=True)
def _shift(slots):
    """How far to shift a hash right so that it numbers one of the slots."""
    shift = 64
    while (1 << (64 - shift)) < len(slots):
        shift -= 1
    return np.uint64(shift)


@njit(cache=True)
def _count_narrow(keys, start, stop, tables):
    """Count keys[start:stop]; the first that found no free slot, or `stop`.

    Slots are found by multiplication with 2**64 / golden ratio (Knuth, The Art of Computer Programming 3, section 6.4),
    then one after the other. A key and its count share a cache line.
    """
    slots, used = tables.narrow, tables.used
    shift = _shift(slots)
    last = np.uint64(len(slots) - 1)
    for i in range(start, stop):
        key = keys[i]
        slot = (key * np.uint64(0x9E3779B97F4A7C15)) >> shift
        while slots[slot, 0] != key:
            if slots[slot, 1] == 0:
                if used[0] >= len(slots) // 2:
                    return i
                used[0] += 1
                slots[slot, 0] = key
                break
            slot = (slot + np.uint64(1)) & last
        slots[slot, 1] += np.uint64(1)
    return stop


@njit(cache=True)
def _slot_of(slots, key, shift):
    """The slot of a wide key: the one that holds it, or the free one it would take."""
    words = len(key)
    hashed = np.uint64(0)
    for w in range(words):
        hashed = (hashed ^ key[w]) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(32)
    slot = (hashed * np.uint64(0x9E3779B97F4A7C15)) >> shift
    last = np.uint64(len(slots) - 1)
    while slots[slot, words] != 0:
        same = True
        for w in range(words):
            same &= slots[slot, w] == key[w]
        if same:
            break
        slot = (slot + np.uint64(1)) & last
    return slot


@njit(cache=True)
def _count_wide(keys, start, stop, tables):
    """As `_count_narrow`, for keys of several words."""
    slots, used = tables.wide, tables.used
    words = keys.shape[1]
    shift = _shift(slots)
    for i in range(start, stop):
        slot = _slot_of(slots, keys[i], shift)
        if slots[slot, words] == 0:
            if used[1] >= len(slots) // 2:
                return i
            used[1] += 1
            slots[slot, :words] = keys[i]
        slots[slot, words] += np.uint64(1)
    return stop


@njit(cache=True)
def grown(slots, n_slots):
    """The table with its keys and counts in so many slots, a power of two and no fewer than it has."""
    out = np.zeros((n_slots, slots.shape[1]), np.uint64)
    words = slots.shape[1] - 1
    shift = _shift(out)
    for i in range(len(slots)):
        if slots[i, words] != 0:
            slot = np.int64(slots[i, 0] * np.uint64(0x9E3779B97F4A7C15) >> shift) if words == 1 else np.int64(_slot_of(out, slots[i, :words], shift))
            while out[slot, words] != 0:
                slot = (slot + 1) & (n_slots - 1)
            out[slot] = slots[i]
    return out


@njit(cache=True)
def as_bytes(slots, bits, cells):
    """What a table holds: (motif, cell) uint8 and (motif,) int64 counts, in no order.

    bits : of a cell in its keys
    """
    words = slots.shape[1] - 1
    n = np.sum(slots[:, words] != 0)
    patches = np.empty((n, cells), np.uint8)
    counts = np.empty(n, np.int64)
    n = 0
    for i in range(len(slots)):
        if slots[i, words] != 0:
            for cell in range(cells):
                at = cell * bits
                patches[n, cell] = (slots[i, at >> 6] >> np.uint64(at & 63)) & np.uint64((1 << bits) - 1)
            counts[n] = slots[i, words]
            n += 1
    return patches, counts
