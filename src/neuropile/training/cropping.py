"""Crops cut out of segments' events into arrays, each segment decoded once while it is in use."""

from __future__ import annotations

import math
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from neuropile.errors import CountOverflow, PileError
from neuropile.pile import Pile
from neuropile.segment import Segment
from neuropile.training import kernels as crop_kernels
from neuropile.training.sampling import Cuts

#: How much free memory is kept, in arrays.
_SPARE = 3
#: The reference to an array that is gone.
_NOWHERE: weakref.ref[np.ndarray] = weakref.ref(np.empty(0))


class Decoded(NamedTuple):
    """A segment, its events (see `crop_kernels.pack`) and its observed runs, ascending."""

    segment: Segment
    places: np.ndarray
    starts: np.ndarray
    runs: np.ndarray


class Held:
    """Decoded segments, those used last kept up to a bound of bytes."""

    def __init__(self, pile: Pile, most_bytes: int) -> None:
        self.pile, self.most_bytes = pile, most_bytes
        self._pool: tuple[int, ...] = ()
        self._bytes = 0
        self._kept: OrderedDict[int, Decoded] = OrderedDict()

    def get(self, position: int) -> Decoded:
        """A segment of the pile, decoded."""
        if position in self._kept:
            self._kept.move_to_end(position)
            return self._kept[position]
        found = self._kept[position] = _decoded(self.pile[position])
        self._bytes += _bytes(found)
        while self._bytes > self.most_bytes and len(self._kept) > 1:
            self._bytes -= _bytes(self._kept.popitem(last=False)[1])
        return found

    def expect(self, pool: tuple[int, ...], members: Callable[..., np.ndarray]) -> None:
        """Read a new pool's segments in their order, as files give them fastest, as far as there is room."""
        if pool == self._pool:
            return
        self._pool = pool
        held = 0
        for position in members(*pool).tolist():
            held += _bytes(self.get(position))
            if held > self.most_bytes:
                break

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": (), "_bytes": 0, "_kept": OrderedDict()}


def _decoded(segment: Segment) -> Decoded:
    offsets, bins = segment.events()
    if len(bins) >= 2**31:
        raise PileError(f"{segment!r} holds {len(bins)} events, more than crops are cut of; make the pile with fewer tokens a segment")
    places, starts, bad = crop_kernels.pack(offsets, bins, segment.n_bins)
    if bad >= 0:
        raise PileError(f"{segment!r}: the events of unit {bad} are not in order of time; the file is damaged: see neuropile verify")
    runs = segment.observed
    return Decoded(segment, places, starts, runs[np.lexsort((runs[:, 1], runs[:, 0]))])


def _bytes(decoded: Decoded) -> int:
    return sum(a.nbytes for a in decoded[1:])


class Room:
    """Memory that is given out again once nothing refers to it any more: fresh memory costs more than filling it."""

    def __init__(self) -> None:
        self._given: list[tuple[np.ndarray, weakref.ref[np.ndarray]]] = []

    def take(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of any content; a tensor made of it, or any view of that tensor, keeps it."""
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        free = [own for own, given in self._given if given() is None and own.nbytes == n_bytes]
        own = free.pop() if free else np.empty(n_bytes, np.uint8)
        array = own.view(dtype).reshape(shape)
        held = [(own, given) for own, given in self._given if given() is not None]
        self._given = [*held, *((own, _NOWHERE) for own in free[:_SPARE]), (own, weakref.ref(array))]
        return array

    def __getstate__(self) -> dict[str, Any]:
        return {"_given": []}


def fill(held: Held, cuts: Cuts, counts: np.ndarray, units: np.ndarray, mask: np.ndarray | None) -> list[Segment]:
    """Cut crops into arrays; returns the segment of each.

    counts : (crop, unit, bin) uint8, filled, 0 where a crop is smaller; mask : the same shape, bool, which counts are data
    units : (crop, unit) int64, filled: the rows of the segment's counts, ascending, -1 where there is none

    Raises
    ------
    CountOverflow : a bin holds more than 255 events
    """
    segments = []
    _, n_units, n_bins = counts.shape
    units[...] = -1
    for i, (position, first_bin, first_unit, key) in enumerate(zip(*(c.tolist() for c in cuts), strict=True)):
        segment, events, starts, runs = held.get(position)
        segments.append(segment)
        rows = units[i, : min(n_units, segment.n_units - max(first_unit, 0))]
        if first_unit < 0:
            crop_kernels.draw_units(segment.n_units, np.uint64(key), rows)
        else:
            rows[:] = np.arange(first_unit, first_unit + len(rows))
        place = (rows, first_bin, min(n_bins, segment.n_bins - first_bin))
        bad = crop_kernels.cut(events, starts, *place, counts[i])
        if bad >= 0:
            raise CountOverflow(f"{segment!r}: unit {segment.unit_ids[bad]} fires more than 255 times in a bin; make the pile with narrower bins")
        if mask is not None:
            crop_kernels.mark_observed(runs, *place, mask[i])
    return segments
