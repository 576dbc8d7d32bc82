"""Recordings whose clock restarts between blocks of trials: cut there and laid end to end, with unobserved time between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from neuropile.readers.told import Around
from neuropile.types import Reader, Recording


@dataclass(frozen=True)
class CutAtRestarts(Around):
    """A reader that cuts what another reads where the clock of its trials runs backwards.

    What belongs to which block is told by the order of the file, in which each unit's spikes, the behaviour's time stamps
    and the intervals run through the blocks one after the other, and by the trials each lies in.
    """

    reader: Reader

    def __call__(self, path: Any) -> Recording:
        """Read with the other reader; a recording whose clock never restarts is left as it is."""
        recording = self.reader(path)
        try:
            return _cut(recording)
        except BaseException:
            recording.close()
            raise


def _cut(recording: Recording) -> Recording:
    from neuropile.readers.clock import trials
    from neuropile.readers.clock.moved import moved

    table = recording.intervals.get("trials")
    if table is None or "stop_s" not in table.column_names:
        return recording
    start, stop = (table.column(c).to_numpy(zero_copy_only=False).astype(np.float64) for c in ("start_s", "stop_s"))
    known = np.isfinite(start) & np.isfinite(stop)
    blocks = blocks_of(start[known], stop[known])
    n = len(blocks.first)
    if n < 2:
        return recording
    offset = trials.lay_out(blocks.windows[:, 0], blocks.windows[:, 1])
    done = moved(recording, lambda times: times + offset[blocks.of(times)[0]], whole=True)
    unsure = sum(blocks.of(np.asarray(recording.trains.read(u), np.float64))[1] for u in range(recording.trains.n_units))
    notes = [f"the clock restarts {n - 1} times: the file is cut into {n} blocks, laid end to end with unobserved time between"]
    notes += [f"{unsure} spikes could be of one block or the next, and were taken for the earlier"] if unsure else []
    return replace(done, clock="trials", notes=(*recording.notes, *notes))


@dataclass(frozen=True)
class Blocks:
    """The blocks that trials form, in the order of the file.

    first : (block,) the first trial of each
    start, stop : (trial,) seconds on the clock of the trial's own block
    """

    first: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    @property
    def windows(self) -> np.ndarray:
        """The first start and the last stop of each block: (block, 2)."""
        return np.stack([np.minimum.reduceat(self.start, self.first), np.maximum.reduceat(self.stop, self.first)], axis=1)

    def of(self, times: np.ndarray) -> tuple[np.ndarray, int]:
        """The block of each of some times, which stand in the order of the file; and how many inside trials might be of another.

        The cuts are those by which no block's times run backwards, if that can be, and most times lie in trials of their block.
        """
        back = np.cumsum(np.r_[False, np.diff(times) < 0]) if len(times) else np.zeros(0, np.int64)
        if len(times) and back[-1] == len(self.first) - 1:
            return back, 0
        inside = np.stack([_within(times, self.start[a:b], self.stop[a:b]) for a, b in self._ranges()])
        early, late = (_assign(inside, back, early=e) for e in (True, False))
        return early, int(np.count_nonzero((early != late) & inside.any(axis=0)))

    def _ranges(self) -> list[tuple[int, int]]:
        edges = [*self.first.tolist(), len(self.start)]
        return list(pairwise(edges))


def blocks_of(start: np.ndarray, stop: np.ndarray) -> Blocks:
    """Trials cut where one starts before the one before it did; those that merely overlap are not."""
    return Blocks(np.r_[0, np.flatnonzero(np.diff(start) < 0) + 1] if len(start) else np.zeros(0, np.int64), start, stop)


def _within(times: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Which times lie in one of some intervals whose starts ascend."""
    i = np.searchsorted(start, times, side="right") - 1
    return (i >= 0) & (times <= np.maximum.accumulate(stop)[np.maximum(i, 0)])


def _assign(inside: np.ndarray, back: np.ndarray, *, early: bool) -> np.ndarray:
    """The block of each of a row of times: blocks never go back, and the sum of what is gained is the largest there is.

    inside : (block, time) bool, a point for each time that is given to that block
    back : (time,) how often the times have run backwards so far; to do so inside a block costs more than all points together
    early : on a tie, the earlier block
    """
    n_blocks, n = inside.shape
    cost = back * (n + 1)
    best = np.r_[0, np.full(n, -((n + 1) ** 2) * (n_blocks + 1))]  # best[i]: of the blocks so far, with the times before i theirs
    begins = np.zeros((n_blocks, n + 1), np.int64)
    for block in range(n_blocks):
        points = np.r_[0, np.cumsum(inside[block])]
        opened = best[:-1] - points[:-1] + cost
        since = _best_so_far(opened, last=early)
        value = opened[since] + points[1:] - cost
        taken = value > best[1:] if early else value >= best[1:]
        begins[block] = np.r_[0, np.where(taken, since, np.arange(1, n + 1))]
        best = np.r_[best[0], np.where(taken, value, best[1:])]
    out, end = np.zeros(n, np.int64), n
    for block in range(n_blocks - 1, -1, -1):
        begin = int(begins[block, end])
        out[begin:end], end = block, begin
    return out


def _best_so_far(values: np.ndarray, *, last: bool) -> np.ndarray:
    """For each position that of the largest value up to it, the last or the first of equals."""
    best = np.maximum.accumulate(values)
    new = values == best if last else np.r_[True, values[1:] > best[:-1]][: len(values)]
    return np.maximum.accumulate(np.where(new, np.arange(len(values)), 0))


def cut(reader: Reader) -> CutAtRestarts:
    """A reader that cuts where the clock restarts; see CutAtRestarts."""
    return CutAtRestarts(reader)
