"""Spikes as sorters keep them, a time and a cluster each in one long row: grouped by unit, and their clock watched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from neuropile.errors import UnreadableFile

#: How many events are looked at in one go, so that memory stays near that of the arrays.
CHUNK = 1 << 22
#: A clock that restarts falls in at most so many places, by more than so much, after many events each time.
MAX_RESTARTS = 100
MIN_FALL_S = 1.0
MIN_EVENTS_A_BREAK = 20
#: Cluster numbers from 0 to this are looked up in a table.
_TABLE = 1 << 24
#: The end of a stretch is this much after its last event: a tick of the finest usual clock.
_TICK_S = 1e-5


def chunks(n: int) -> Iterator[slice]:
    """The slices that cut n events into handy pieces."""
    return (slice(a, min(a + CHUNK, n)) for a in range(0, n, CHUNK))


def check_lengths(times: np.ndarray, clusters: np.ndarray, names: tuple[str, str], where: object) -> None:
    """Refuse times and clusters that do not pair up."""
    if len(times) != len(clusters):
        raise UnreadableFile(f"{where}: {names[0]} has {len(times)} entries and {names[1]} {len(clusters)}: nothing says which spike is whose")


def whole(values: np.ndarray, name: str, where: object) -> np.ndarray:
    """Cluster numbers as they are where they are integers; floats only where every one is whole.

    Raises
    ------
    UnreadableFile : a value is no whole number
    """
    if values.dtype.kind == "u" and values.dtype.itemsize == 8 and len(values) and int(values.max()) >= 2**63:
        raise UnreadableFile(f"{where}: {name} holds {values.max()}, which is no cluster's number: the file is damaged; fetch it again")
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind != "f" or not all(np.all(np.abs(v) < 2**53) and np.all(np.rint(v) == v) for v in (values[s] for s in chunks(len(values)))):
        raise UnreadableFile(f"{where}: {name} holds {values.dtype} that are not all whole numbers: they cannot be clusters")
    return values.astype(np.int64)


def occurring(clusters: np.ndarray) -> np.ndarray:
    """The cluster numbers that occur, in order: (unit,) int64."""
    if not len(clusters):
        return np.empty(0, np.int64)
    low, high = int(clusters.min()), int(clusters.max())
    if low >= 0 and high < _TABLE:
        seen = np.zeros(high + 1, bool)
        for s in chunks(len(clusters)):
            seen[clusters[s]] = True
        return np.flatnonzero(seen)
    found = [np.unique(clusters[s]) for s in chunks(len(clusters))]
    return np.unique(np.concatenate(found)).astype(np.int64)


def rows_of(clusters: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The row of each event's unit: (event,) in the smallest type; `ids` are sorted and hold every number that occurs."""
    out = np.empty(len(clusters), np.uint16 if len(ids) <= 2**16 else np.uint32)
    for s in chunks(len(clusters)):
        out[s] = np.searchsorted(ids, clusters[s].astype(np.int64, copy=False))
    return out


class ByUnit:
    """Event times read by unit; grouped, all at once, when the first is asked for.

    times : (event,) numbers of any type
    rows : gives the row of each event's unit
    to_seconds : makes a unit's times seconds
    """

    def __init__(self, times: np.ndarray, rows: Callable[[], np.ndarray], n_units: int, to_seconds: Callable[[np.ndarray], np.ndarray] = np.asarray) -> None:
        self._times, self._rows, self._n_units, self._to_seconds = times, rows, n_units, to_seconds
        self._grouped: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, unit: int) -> np.ndarray:
        """A unit's times in seconds, in the order of the source."""
        if self._grouped is None:
            self._grouped = group(self._times, self._rows(), self._n_units)
        times, offsets = self._grouped
        return self._to_seconds(times[offsets[unit] : offsets[unit + 1]])


def group(times: np.ndarray, rows: np.ndarray, n_units: int) -> tuple[np.ndarray, np.ndarray]:
    """Times with each unit's together, in their own order, and where each unit's begin: (event,), (unit + 1,) int64.

    One stable sort of small integers, which numpy does by counting digits.
    """
    order = np.argsort(rows, kind="stable")
    counts = np.zeros(n_units, np.int64)
    for s in chunks(len(rows)):
        counts += np.bincount(rows[s], minlength=n_units)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    out = np.empty(len(times), times.dtype.newbyteorder("="))
    for s in chunks(len(times)):
        out[s] = times[order[s]]
    return out, offsets


@dataclass(frozen=True)
class Pieces:
    """The stretches between restarts of a clock, on each one's own time: (piece,) seconds; `begins` are event numbers."""

    begins: np.ndarray
    first_s: np.ndarray
    last_s: np.ndarray

    @property
    def stop_s(self) -> np.ndarray:
        """The end of each piece, its last event included."""
        return self.last_s + _TICK_S

    @property
    def whole_s(self) -> tuple[np.ndarray, np.ndarray]:
        """Whole seconds around each piece: offsets between them keep samples whole."""
        return np.floor(self.first_s), np.floor(self.last_s) + 1.0


def pieces(times: np.ndarray, clusters: np.ndarray, per_s: float = 1.0) -> Pieces | None:
    """The pieces of a clock that restarts, or None where it does not.

    A clock restarts where otherwise sorted times fall by more than a second in a few places. Times in no order at
    all, times laid end to end unit by unit, and single events in the wrong place only need sorting.
    """
    falls = _falls(times)
    if falls is None or len(falls) * MIN_EVENTS_A_BREAK > len(times):
        return None
    begins = [0, *(i for i, depth in falls if depth > MIN_FALL_S * per_s and not _is_misplaced(times, i))]
    if len(begins) == 1 or _is_unit_by_unit(clusters):
        return None
    bounds = [_bounds(times[a:b]) for a, b in pairwise([*begins, len(times)])]
    first, last = (np.array(v, np.float64) / per_s for v in zip(*bounds, strict=True))
    return Pieces(np.array(begins), first, last)


def _finite(values: np.ndarray) -> np.ndarray | None:
    """Which values are finite; None where all are."""
    if values.dtype.kind != "f":
        return None
    fine = np.isfinite(values)
    return None if fine.all() else fine


def _falls(times: np.ndarray) -> list[tuple[int, float]] | None:
    """Where times fall, and by how much; None where they do in too many places to be restarts."""
    found: list[tuple[int, float]] = []
    before: np.ndarray = times[:0]
    for s in chunks(len(times)):
        block, index = np.asarray(times[s]), np.arange(s.start, s.stop)
        fine = _finite(block)
        if fine is not None:
            block, index = block[fine], index[fine]
        joined = np.concatenate([before, block])
        at = np.flatnonzero(joined[1:] < joined[:-1])
        found += [(int(index[i + 1 - len(before)]), float(joined[i]) - float(joined[i + 1])) for i in at[: MAX_RESTARTS + 1].tolist()]
        if len(found) > MAX_RESTARTS:
            return None
        before = joined[-1:]
    return found


def _is_misplaced(times: np.ndarray, at: int) -> bool:
    """Whether where times fall, at an event, one event alone stands in the wrong place, before or at it: its neighbours are in order."""
    low = at + 1 == len(times) or times[at + 1] >= times[at - 1]
    return bool(low or at == 1 or times[at] >= times[at - 2])


def _is_unit_by_unit(clusters: np.ndarray) -> bool:
    """Whether the events of each of several clusters lie together: such rows were never sorted by time."""
    last = len(clusters) - 1
    changes = (clusters[s.start + 1 : s.stop + 1] != clusters[s.start : min(s.stop, last)] for s in chunks(len(clusters)))
    runs = 1 + sum(int(np.count_nonzero(c)) for c in changes)
    return 1 < runs == len(occurring(clusters))


def _bounds(times: np.ndarray) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for s in chunks(len(times)):
        block = np.asarray(times[s])
        fine = _finite(block)
        block = block if fine is None else block[fine]
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    return low, high


def shifted(seconds: np.ndarray, found: Pieces, offset_s: np.ndarray) -> np.ndarray:
    """Times of a restarting clock on the common one: each piece's offset added."""
    out = np.array(seconds, np.float64)
    for a, b, offset in zip(found.begins, [*found.begins[1:], len(out)], offset_s, strict=True):
        out[a:b] += offset
    return out


def told(found: Pieces) -> str:
    """The note of a clock that restarts."""
    n = len(found.begins)
    return f"the clock restarts {n - 1} times: its {n} pieces are laid end to end, each with its offset in trials"
