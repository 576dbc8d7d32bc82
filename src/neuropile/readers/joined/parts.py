"""Recordings of one session, a probe each, laid side by side: their units, spans, intervals and signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers.nwb import tables
from neuropile.types import ALL_UNITS, Recording, Signal, Spans, Subject, Trains


@dataclass(frozen=True)
class Part:
    """One probe's recording."""

    probe: str
    recording: Recording


def join(parts: Sequence[Part], session_id: str, notes: Sequence[str], close: Callable[[], None]) -> Recording:
    """One recording of all parts; its units in the order of the parts, called `probe:unit`.

    Raises
    ------
    UnreadableFile : the parts are of different subjects, quantities or clocks
    """
    first = parts[0].recording
    _check_alike(parts)
    ends = np.cumsum([p.recording.trains.n_units for p in parts])
    told = [*notes, *(f"{p.probe}: {n}" for p in parts for n in p.recording.notes)]
    intervals: dict[str, pa.Table] = {}
    signals: dict[str, Signal] = {}
    for part in parts:
        _merge(intervals, part.recording.intervals, part.probe, _same_table)
        _merge(signals, {n: s for n, s in part.recording.signals.items() if "unit" not in s.dims}, part.probe, _same_signal)
    observed, source = _observed(parts, ends)
    return replace(
        first,
        session_id=safe_name(session_id),
        units=tables.join([_units(p) for p in parts]),
        trains=Trains(int(ends[-1]), _Side(parts, ends), first.trains.kind, first.trains.sample_rate),
        intervals=intervals,
        signals=signals,
        observed=observed,
        invalid=_shifted([p.recording.invalid for p in parts], ends),
        span_source=source,
        notes=tuple(told),
        holds="; ".join(f"{p.probe}: {p.recording.holds}" for p in parts),
        close=close,
    )


def _check_alike(parts: Sequence[Part]) -> None:
    for name in ("quantity", "ticks_per_s", "clock"):
        found = {getattr(p.recording, name) for p in parts}
        if len(found) > 1:
            raise UnreadableFile(f"the probes of one session differ in {name}: {', '.join(sorted(map(str, found)))}")
    if len({p.recording.trains.kind for p in parts}) > 1 or len({p.recording.trains.sample_rate for p in parts}) > 1:
        raise UnreadableFile("the probes of one session count time differently (seconds and samples)")
    subjects = {p.recording.subject.subject_id for p in parts} - {Subject().subject_id}
    if len(subjects) > 1:
        raise UnreadableFile(f"the files of one session are of {len(subjects)} subjects: {', '.join(sorted(map(str, subjects)))}")


class _Side:
    """Spike times by row over the parts."""

    def __init__(self, parts: Sequence[Part], ends: np.ndarray) -> None:
        self._parts, self._ends = parts, ends

    def __call__(self, unit: int) -> np.ndarray:
        part = int(np.searchsorted(self._ends, unit, side="right"))
        trains = self._parts[part].recording.trains
        return trains.read(unit - int(self._ends[part]) + trains.n_units)


def _units(part: Part) -> pa.Table:
    """A part's units with its probe, and ids that no other part has."""
    units = part.recording.units
    ids = pa.array([f"{part.probe}:{i}" for i in units.column("unit_id").to_pylist()], pa.string())
    units = units.set_column(units.schema.get_field_index("unit_id"), "unit_id", ids)
    probe = pa.array([part.probe] * units.num_rows, pa.string())
    if "probe" not in units.column_names:
        return units.append_column("probe", probe)
    at = units.schema.get_field_index("probe")
    own = units.column("probe")
    return units.set_column(at, "probe", probe).append_column("src_probe_in_file", own)


def _observed(parts: Sequence[Part], ends: np.ndarray) -> tuple[Spans | None, str]:
    """Each part's own spans; where a file tells none, from its probe's first spike to its last."""
    own = [p.recording.observed if p.recording.observed is not None else _spiking(p.recording) for p in parts]
    told = sorted({p.recording.span_source if p.recording.observed is not None else "first to last spike of each probe" for p in parts})
    return _shifted(own, ends), ", ".join(told)


def _spiking(recording: Recording) -> Spans | None:
    trains = recording.trains
    each = [t[np.isfinite(t)] for t in (np.asarray(trains.read(u), np.float64) for u in range(trains.n_units))]
    each = [t for t in each if t.size]
    if not each:
        return None
    unit = 1.0 / recording.ticks_per_s if trains.kind == "ticks" else 1.0
    first, last = min(float(t.min()) for t in each) * unit, max(float(t.max()) for t in each) * unit
    return Spans.of(first, last + 1.0 / recording.ticks_per_s)


def _shifted(spans: Sequence[Spans | None], ends: np.ndarray) -> Spans | None:
    """Spans of the parts as spans of the whole; those that all parts share stay spans of all units."""
    present = [s for s in spans if s is not None]
    if not present:
        return None
    same = all(np.array_equal(getattr(s, n), getattr(present[0], n)) for s in present for n in ("unit", "start_s", "stop_s"))
    if len(present) == len(spans) and same and np.all(present[0].unit == ALL_UNITS):
        return present[0]
    found: list[Spans] = []
    for span, start, stop in zip(spans, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        if span is not None:
            whole = span.unit == ALL_UNITS
            rows = [np.arange(start, stop) if w else np.array([start + u]) for u, w in zip(span.unit.tolist(), whole.tolist(), strict=True)]
            times = [np.repeat([[a, b]], len(r), axis=0) for a, b, r in zip(span.start_s, span.stop_s, rows, strict=True)]
            if rows:
                a = np.concatenate(times)
                found.append(Spans(np.concatenate(rows).astype(np.int32), a[:, 0], a[:, 1]))
    if not found:
        return None
    return Spans(*(np.concatenate([getattr(s, n) for s in found]) for n in ("unit", "start_s", "stop_s")))


def _merge(into: dict[str, Any], new: Any, probe: str, same: Callable[[Any, Any], bool]) -> None:
    """What the files of a session repeat is kept once; what differs under one name is kept under the probe's too."""
    for name, value in new.items():
        if name not in into:
            into[name] = value
        elif not same(into[name], value):
            into[f"{name}_{probe}"] = value


def _same_table(a: pa.Table, b: pa.Table) -> bool:
    return a.num_rows == b.num_rows and a.column_names == b.column_names and a.column("start_s").equals(b.column("start_s"))


def _same_signal(a: Signal, b: Signal) -> bool:
    """Whether two signals are the same behaviour, told by all but their values, which may be long."""
    return (a.data.shape, a.dims, a.unit, a.start_s, a.rate_hz) == (b.data.shape, b.dims, b.unit, b.start_s, b.rate_hz)
