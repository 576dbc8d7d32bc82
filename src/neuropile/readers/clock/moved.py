"""A recording put on another clock: its spikes, intervals, spans and signals, all by one rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.types import Recording, Signal, Spans, Trains

#: Times of the source's clock, in the order of the file, to times of the new one: same shape, float64 seconds.
Move = Callable[[np.ndarray], np.ndarray]
_OFFSET = "offset_s"


def moved(recording: Recording, move: Move, *, whole: bool) -> Recording:
    """The same recording with every time moved; `offset_s` in its trials says by how much each was.

    whole : a row of an interval table, and a span, moves as its start does, because its other times alone do not tell where
        to; otherwise each time moves by itself
    """
    trains = recording.trains
    return replace(
        recording,
        trains=Trains(trains.n_units, lambda unit: move(np.asarray(trains.read(unit), np.float64))),
        intervals={name: _table(table, move, whole, name == "trials") for name, table in recording.intervals.items()},
        signals={name: _signal(signal, move) for name, signal in recording.signals.items()},
        observed=_spans(recording.observed, move, whole),
        invalid=_spans(recording.invalid, move, whole),
    )


def _table(table: pa.Table, move: Move, whole: bool, tells: bool) -> pa.Table:
    start = _numbers(table, "start_s")
    offset = _finite(move, start) - start
    for i, column in enumerate(table.schema):
        if _is_moment(table, column.name, start):
            times = _numbers(table, column.name)
            new = times + offset if whole else _finite(move, times)
            table = table.set_column(i, column.name, pa.array(new, pa.float64(), mask=np.isnan(new)))
    return table.append_column(_OFFSET, pa.array(offset, mask=np.isnan(offset))) if tells and _OFFSET not in table.column_names else table


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    return table.column(name).to_numpy(zero_copy_only=False).astype(np.float64)


def _finite(move: Move, times: np.ndarray) -> np.ndarray:
    """Times moved where they are finite, in their order; what is missing or endless stays so."""
    out, finite = times.copy(), np.isfinite(times)
    out[finite] = move(times[finite])
    return out


def _is_moment(table: pa.Table, name: str, start: np.ndarray) -> bool:
    """Whether a column holds moments of the session: ours end in `_s`, those of NWB in `_time`, unless they lie before their rows, as durations do."""
    ours = name.endswith("_s") and not name.startswith("src_") and name != _OFFSET
    if not pa.types.is_floating(table.schema.field(name).type) or not (ours or name.endswith("_time")):
        return False
    since = _numbers(table, name) - start
    since = since[np.isfinite(since)]
    return ours or (bool(since.size) and float(np.median(since)) >= -1.0)


def _spans(spans: Spans | None, move: Move, whole: bool) -> Spans | None:
    """Each unit's spans in their own order, which for a clock that restarts is what tells them apart."""
    if spans is None:
        return None
    if not whole:
        return Spans(spans.unit, _finite(move, spans.start_s), _finite(move, spans.stop_s))
    start, done = spans.start_s.copy(), dict[bytes, np.ndarray]()
    for unit in np.unique(spans.unit).tolist():
        own = np.flatnonzero(spans.unit == unit)
        key = spans.start_s[own].tobytes()
        if key not in done:  # most often all units share theirs
            done[key] = _finite(move, spans.start_s[own])
        start[own] = done[key]
    by = np.where(np.isfinite(start), start, 0.0) - np.where(np.isfinite(start), spans.start_s, 0.0)
    return Spans(spans.unit, start, spans.stop_s + by)


def _signal(signal: Signal, move: Move) -> Signal:
    if "time" not in signal.dims:
        return signal
    return replace(signal, time_s=_Times(signal, move), start_s=None, rate_hz=None)


class _Times:
    """A signal's time stamps on the new clock, worked out when they are first wanted."""

    def __init__(self, signal: Signal, move: Move) -> None:
        self._signal, self._move = signal, move
        self._times: np.ndarray | None = None
        self.shape, self.dtype = (signal.data.shape[0],), np.dtype(np.float64)

    def __getitem__(self, key: Any) -> np.ndarray:
        if self._times is None:
            signal = self._signal
            regular = signal.rate_hz is not None and signal.time_s is None
            times = (signal.start_s or 0.0) + np.arange(self.shape[0]) / (signal.rate_hz or 1.0) if regular else np.asarray(signal.time_s[:], np.float64)
            self._times = self._move(times)
        return self._times[key]
