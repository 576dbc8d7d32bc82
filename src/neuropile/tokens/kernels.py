"""The loops of encoding: events to patch keys, and keys to token ids."""

from __future__ import annotations

import numpy as np
from numba import njit

#: 2**64 over the golden ratio, made odd: multiplying by it spreads keys over the high bits (Knuth, TAOCP 6.4).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_EMPTY = np.uint64(0)


@njit(cache=True, inline="always")
def _place(keys, key):
    """Where a key is in an open-addressing table, or the empty place where it would go. The table is never full."""
    last = np.uint64(len(keys) - 1)
    i = ((key * _GOLDEN) >> _HALF) & last
    while keys[i] != key and keys[i] != _EMPTY:
        i = (i + _ONE) & last
    return i


@njit(cache=True)
def insert(keys, entries, new_keys, first_entry):
    """Put keys, none of them 0, into a table: the i-th gets entry first_entry + i; one that is there keeps what it has.

    keys : (place,) uint64, a power of two of them and fewer than half taken, 0 = empty; entries : (place,) int32
    """
    for n in range(len(new_keys)):
        i = _place(keys, new_keys[n])
        if keys[i] == _EMPTY:
            keys[i] = new_keys[n]
            entries[i] = first_entry + n


@njit(cache=True)
def absent(keys, asked):
    """Which of some keys a table lacks: (key,) bool."""
    out = np.empty(len(asked), np.bool_)
    for n in range(len(asked)):
        out[n] = keys[_place(keys, asked[n])] == _EMPTY
    return out


@njit(cache=True)
def encode_rows(offsets, bins, shape, observed, table, ids, totals):
    """The ids of all patches whose key the table knows; the others are told.

    A patch's key has `bits` bits a cell, unit-major from the lowest; a cell with more events than they hold makes it wide.

    Parameters
    ----------
    offsets, bins : unit u's events lie in bins[offsets[u]:offsets[u + 1]], ascending; those outside of all patches are left out
    shape : (units a patch, bins a patch, bits a cell)
    observed : (row, column) uint8, 0 where a patch is not looked at; no element where all are observed
    table : (keys, entries, notes). An entry below notes[0, 0] is an id that is exact; any other stands for a motif that is not
        kept, and its notes are row entry - notes[0, 0] + 1: its id, events, events once decoded, and sum of differences
    ids : (row, column) unsigned, filled where observed with what is known
    totals : (4,) int64, added to: patches that are not kept, and the sum of their notes but the id

    Returns
    -------
    missed, missed_keys : (patch,) int64 flat indices into ids, and uint64 keys, of patches the table does not know
    wide : (patch,) int64 flat indices of wide patches, ascending
    """
    p_n, p_t, bits = shape
    keys, entries, notes = table
    n_rows, n_columns = ids.shape
    n_units = len(offsets) - 1
    n_kept = notes[0, 0]
    silent = notes[0, 1]
    most = (1 << bits) - 1
    per_bin = 1.0 / p_t
    codes = np.empty(n_columns, np.uint64)
    too_wide = np.zeros(n_columns, np.uint8)
    at = np.empty(n_columns + 1, np.int64)
    missed = np.empty(n_rows * n_columns, np.int64)
    missed_keys = np.empty(n_rows * n_columns, np.uint64)
    wide = np.empty(n_rows * n_columns, np.int64)
    n_missed, n_wide = 0, 0
    for row in range(n_rows):
        codes[:] = 0
        some_wide = False
        for u in range(row * p_n, min((row + 1) * p_n, n_units)):
            first = (u - row * p_n) * p_t
            last_bin, times = np.int64(-1), 0
            for i in range(offsets[u], offsets[u + 1]):
                b = np.int64(bins[i])
                column = np.int64((b + 0.5) * per_bin)  # half a bin from any edge: no rounding of 1 / p_t reaches it below 2**31
                times = times * (b == last_bin) + 1
                last_bin = b
                if np.uint64(column) >= np.uint64(n_columns):
                    continue
                if times <= most:
                    codes[column] += _ONE << np.uint64((first + b - column * p_t) * bits)
                else:
                    too_wide[column] = 1
                    some_wide = True
        n = 0
        if observed.size:
            for column in range(n_columns):
                at[n] = column
                n += (codes[column] != _EMPTY) & (observed[row, column] != 0)
        else:
            for column in range(n_columns):  # without a branch: whether a patch is silent cannot be foretold
                at[n] = column
                n += codes[column] != _EMPTY
        ids[row, :] = silent
        for k in range(n):
            column = at[k]
            if some_wide and too_wide[column]:
                wide[n_wide] = row * n_columns + column
                n_wide += 1
                continue
            i = _place(keys, codes[column])
            if keys[i] == _EMPTY:
                missed[n_missed] = row * n_columns + column
                missed_keys[n_missed] = codes[column]
                n_missed += 1
            elif entries[i] < n_kept:
                ids[row, column] = entries[i]
            else:
                ids[row, column] = _note(notes, entries[i], totals)
        if some_wide:
            too_wide[:] = 0
    return missed[:n_missed], missed_keys[:n_missed], wide[:n_wide]


@njit(cache=True, inline="always")
def _note(notes, entry, totals):
    """The id of a motif that is not kept, once it is added to the totals."""
    row = entry - notes[0, 0] + 1
    totals[0] += 1
    totals[1] += notes[row, 1]
    totals[2] += notes[row, 2]
    totals[3] += notes[row, 3]
    return notes[row, 0]


@njit(cache=True)
def fill_known(where, where_keys, table, flat_ids, totals):
    """The ids of patches that were missed, once their keys are in the table; arguments as in `encode_rows`."""
    keys, entries, notes = table
    for k in range(len(where)):
        entry = entries[_place(keys, where_keys[k])]
        flat_ids[where[k]] = entry if entry < notes[0, 0] else _note(notes, entry, totals)


@njit(cache=True)
def gather_keys(offsets, bins, shape, n_columns, where):
    """The keys of wide patches: (patch, word) uint64, a byte a cell, and which patches have a cell of more than 255: (patch,) bool.

    where : (patch,) int64 flat indices into (row, column), ascending; other arguments as in `encode_rows`
    """
    p_n, p_t = shape[0], shape[1]
    per_bin = 1.0 / p_t
    n_units = len(offsets) - 1
    out = np.zeros((len(where), (p_n * p_t + 7) // 8), np.uint64)
    beyond = np.zeros(len(where), np.bool_)
    patch_of = np.full(n_columns, -1, np.int64)
    start = 0
    while start < len(where):
        row = where[start] // n_columns
        stop = start
        while stop < len(where) and where[stop] // n_columns == row:
            patch_of[where[stop] - row * n_columns] = stop
            stop += 1
        for u in range(row * p_n, min((row + 1) * p_n, n_units)):
            first = (u - row * p_n) * p_t
            last_bin, times = np.int64(-1), 0
            for i in range(offsets[u], offsets[u + 1]):
                b = np.int64(bins[i])
                column = np.int64((b + 0.5) * per_bin)  # as in `encode_rows`
                times = times * (b == last_bin) + 1
                last_bin = b
                if b < 0 or column >= n_columns or patch_of[column] < 0:
                    continue
                if times <= 255:
                    cell = first + b - column * p_t
                    out[patch_of[column], cell >> 3] += _ONE << np.uint64(8 * (cell & 7))
                else:
                    beyond[patch_of[column]] = True
        patch_of[:] = -1
        start = stop
    return out, beyond


@njit(cache=True, inline="always")
def _slot(slots, keys, k):
    """Where the k-th key of several words is in an open-addressing table, or the empty slot where it would go."""
    words = keys.shape[1]
    mixed = np.uint64(0)
    for w in range(words):
        mixed = (mixed ^ keys[k, w]) * _GOLDEN
        mixed ^= mixed >> _HALF
    last = np.uint64(len(slots) - 1)
    i = ((mixed * _GOLDEN) >> _HALF) & last
    while slots[i, words] != _EMPTY:
        same = True
        for w in range(words):
            same &= slots[i, w] == keys[k, w]
        if same:
            break
        i = (i + _ONE) & last
    return i


@njit(cache=True)
def insert_wide(slots, new_keys, entries):
    """Put keys of several words into a table: the first that it lacks gets entries[0], the next entries[1]; which these are, (key,) int64.

    slots : (slot, word + 1) uint64, a power of two of them and fewer than half taken; in the last column entry + 1, 0 = empty
    """
    words = new_keys.shape[1]
    new = np.empty(len(new_keys), np.int64)
    n = 0
    for k in range(len(new_keys)):
        i = _slot(slots, new_keys, k)
        if slots[i, words] == _EMPTY:
            slots[i, :words] = new_keys[k]
            slots[i, words] = np.uint64(entries[n]) + _ONE
            new[n] = k
            n += 1
    return new[:n]


@njit(cache=True)
def fill_wide(where, where_keys, slots, notes, flat_ids, totals):
    """The ids of wide patches whose keys are in the table; which are not, (patch,) int64. Arguments as in `encode_rows`, `insert_wide`."""
    words = where_keys.shape[1]
    missed = np.empty(len(where), np.int64)
    n = 0
    for k in range(len(where)):
        i = _slot(slots, where_keys, k)
        if slots[i, words] == _EMPTY:
            missed[n] = k
            n += 1
            continue
        entry = np.int64(slots[i, words]) - 1
        flat_ids[where[k]] = entry if entry < notes[0, 0] else _note(notes, entry, totals)
    return missed[:n]


@njit(cache=True)
def gather(offsets, bins, shape, n_columns, where):
    """The counts of some patches: (patch, cell) int32, unit-major.

    where : (patch,) int64 flat indices into (row, column), ascending; other arguments as in `encode_rows`
    """
    p_n, p_t = shape[0], shape[1]
    n_units = len(offsets) - 1
    out = np.zeros((len(where), p_n * p_t), np.int32)
    patch_of = np.full(n_columns, -1, np.int64)
    start = 0
    while start < len(where):
        row = where[start] // n_columns
        stop = start
        while stop < len(where) and where[stop] // n_columns == row:
            patch_of[where[stop] - row * n_columns] = stop
            stop += 1
        for u in range(row * p_n, min((row + 1) * p_n, n_units)):
            for i in range(offsets[u], offsets[u + 1]):
                column = np.int64(bins[i]) // p_t
                if 0 <= column < n_columns and patch_of[column] >= 0:
                    out[patch_of[column], (u - row * p_n) * p_t + bins[i] - column * p_t] += 1
        patch_of[:] = -1
        start = stop
    return out
