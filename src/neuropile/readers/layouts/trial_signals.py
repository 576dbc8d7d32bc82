"""Signals that exist only within trials, laid end to end on one clock: read a few trials at a time, each row with its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers.clock import trials
from neuropile.types import Recording, Signal, Subject, Trains


class Rows:
    """The samples of all trials, one behind the other, as an array of (row, unit) of which slices are read.

    ends : (trial,) how many rows there are up to the end of each trial
    read : called with trials [a, b), gives their samples: (row, unit)
    at_once : trials are read in groups of so many, of which the last stays in memory, where they are stored together
    """

    def __init__(self, ends: np.ndarray, n_units: int, dtype: Any, read: Callable[[int, int], np.ndarray], at_once: int = 1) -> None:
        self._ends, self._read = ends, read
        self._bounds = np.r_[0 : len(ends) : at_once, len(ends)]  # the trials at which a group begins, and the end of the last
        self._rows = np.r_[0, ends][self._bounds]
        self._held: tuple[int, np.ndarray] | None = None
        self.shape, self.dtype = (int(ends[-1]), n_units), np.dtype(dtype)

    def __getitem__(self, key: slice) -> np.ndarray:
        start, stop, step = key.indices(self.shape[0])
        if stop <= start:
            return np.empty((0, self.shape[1]), self.dtype)
        groups = range(int(np.searchsorted(self._rows, start, "right")) - 1, int(np.searchsorted(self._rows, stop, "left")))
        first = int(self._rows[groups[0]])
        parts = [self._group(g) for g in groups]
        return (np.concatenate(parts) if len(parts) > 1 else parts[0])[start - first : stop - first : step]

    def _group(self, group: int) -> np.ndarray:
        if self._held is None or self._held[0] != group:
            self._held = group, self._read(int(self._bounds[group]), int(self._bounds[group + 1]))
        return self._held[1]


@dataclass(frozen=True, kw_only=True)
class Trials:
    """How long the trials of a recording are, and what is known of each.

    n_samples : (trial,) samples of each
    rate_hz : samples a second
    start_s : (trial,) when each begins on its own clock; its first sample stands for the time from there on
    columns : what else is known of each, for the table of trials; seconds among them on the trial's own clock are in `times`
    times : (trial,) seconds on each trial's own clock, by the name of their column
    """

    n_samples: np.ndarray
    rate_hz: float
    start_s: np.ndarray
    columns: Mapping[str, pa.Array]
    times: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        if not len(self.n_samples) or np.min(self.n_samples) < 1:
            raise UnreadableFile(f"sought trials with samples, found {len(self.n_samples)} trials, the shortest of {min(self.n_samples, default=0)} samples")

    @property
    def stop_s(self) -> np.ndarray:
        """When each ends on its own clock: (trial,)."""
        return self.start_s + self.n_samples / self.rate_hz

    @property
    def ends(self) -> np.ndarray:
        """The rows up to the end of each, where all lie end to end: (trial,) int64."""
        return np.cumsum(self.n_samples, dtype=np.int64)

    def offsets_s(self) -> np.ndarray:
        """What to add to the times of each: (trial,)."""
        return trials.lay_out(self.start_s, self.stop_s)

    def row_times(self) -> np.ndarray:
        """When each row begins on the common clock: (row,) seconds."""
        within = np.arange(self.ends[-1], dtype=np.float64) - np.repeat(self.ends - self.n_samples, self.n_samples)
        return np.repeat(self.start_s + self.offsets_s(), self.n_samples) + within / self.rate_hz

    def table(self) -> pa.Table:
        """The `trials` of the recording."""
        offsets = self.offsets_s()
        moved = {name: pa.array(times + offsets, from_pandas=True) for name, times in self.times.items()}
        return trials.table(self.start_s, self.stop_s, offsets, {**moved, **self.columns})


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a recording of signals over trials is made of, beside the trials.

    signals : each an array of (row, unit) over the trials laid end to end, with its unit; one is called as the quantity
    """

    session_id: str
    quantity: str
    units: pa.Table
    signals: Mapping[str, tuple[Any, str]]
    subject: Subject
    span_source: str = "trials"
    notes: tuple[str, ...] = ()
    holds: str = ""
    close: Callable[[], None] = lambda: None


def recording(source: Source, over: Trials) -> Recording:
    """A recording without events: its trials end to end, each from a whole second, a second or more unobserved between."""
    times = over.row_times()
    return Recording(
        session_id=source.session_id,
        units=source.units,
        trains=Trains(source.units.num_rows, lambda unit: np.empty(0)),
        subject=source.subject,
        quantity=source.quantity,
        clock="trials",
        intervals={"trials": over.table()},
        signals={name: Signal(data, ("time", "unit"), unit=unit, time_s=times) for name, (data, unit) in source.signals.items()},
        observed=trials.observed(over.start_s, over.stop_s, over.offsets_s()),
        span_source=source.span_source,
        notes=source.notes,
        holds=source.holds,
        close=source.close,
    )


def one_of(files: Sequence[Any], where: Any, what: str) -> Any:
    """The only one of some files.

    Raises
    ------
    UnreadableFile : there is none, or there are several
    """
    if len(files) != 1:
        raise UnreadableFile(f"{where}: sought one {what}, found {', '.join(f.name for f in files) or 'none'}; a session is one recording's own files")
    return files[0]
