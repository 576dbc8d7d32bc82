"""One NWB file with a series of firing rates into a Recording, or into the counts that the published scripts make of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers import upstream
from neuropile.readers.nwb import file as nwb_file
from neuropile.readers.nwb import intervals as nwb_intervals
from neuropile.readers.nwb import signals as nwb_signals
from neuropile.readers.nwb import tables, tree
from neuropile.readers.nwb import terms as nwb_terms
from neuropile.types import Reader, Recording, Signal, Spans, Trains

#: A rate below this is a step in seconds that was written in the wrong place: nobody samples behaviour or rates so slowly.
_SLOWEST_HZ = 1.0


@dataclass(frozen=True)
class Asked:
    """See NwbRates."""

    series: str
    units: str | None
    unit_id: str | None
    quality: str | None


def read(path: Any, session_id: str, asked: Asked) -> Recording:
    """See NwbRates.__call__."""
    with tree.opened(path) as file:
        return _read(file, session_id, asked)


def _read(file: tree.Group, session_id: str, asked: Asked) -> Recording:
    group = tree.member(file, asked.series)
    data = tree.member(group, "data") if tree.is_group(group) else None
    intervals, _ = nwb_intervals.find(file)
    if not tree.is_array(data):
        raise NoEvents(f"{file.filename}: sought rates in /{asked.series}, found none; the file holds {', '.join(intervals) or 'no intervals either'}")
    if data.ndim != 2 or data.dtype.kind not in "iuf" or not data.shape[0] or not data.shape[1]:
        raise UnreadableFile(f"{file.filename}: /{asked.series} holds {data.dtype} of shape {data.shape}: sought a number a bin and unit")
    tree.check_size(data)
    signals, not_signals = nwb_signals.find(file)
    notes = [f"series left out: {', '.join(not_signals)}"] if not_signals else []
    start, rate = _clock(file, group)
    signals.pop(group.name.rsplit("/", 1)[-1], None)  # the rates themselves, once more
    kept = {n: _mended(n, s, notes) for n, s in signals.items()}
    units, left_out = _units(file, asked, data.shape[1])
    notes += [f"left out of the units, not scalars: {', '.join(left_out)}"] if left_out else []
    rates = Signal(tree.Later(data), ("time", "unit"), "Hz", start_s=start, rate_hz=rate, description=tree.text(group.attrs.get("description", "")))
    return Recording(
        session_id=session_id,
        units=units,
        trains=Trains(units.num_rows, lambda _: np.empty(0)),
        subject=nwb_file.subject_of(file),
        quantity="rates",
        intervals=intervals,
        signals=kept | {"rates": rates},
        observed=Spans.of(start, start + data.shape[0] / rate),
        invalid=nwb_intervals.invalid(file, intervals.get("invalid"), [None] * units.num_rows),
        span_source="the samples of the rates",
        source=nwb_file.metadata_of(file),
        notes=tuple(notes),
        holds=f"rates of {units.num_rows} units",
        close=file.close,
    )


def _clock(file: tree.Group, group: tree.Group) -> tuple[float, float]:
    starting = tree.member(group, "starting_time")
    if not tree.is_array(starting) or starting.size != 1:
        raise UnreadableFile(f"{file.filename}: {group.name} does not say when it starts and at what rate it was sampled")
    start, rate = float(np.asarray(starting[()]).reshape(-1)[0]), float(starting.attrs.get("rate", np.nan))
    if not (np.isfinite(start) and np.isfinite(rate) and rate >= _SLOWEST_HZ):
        raise UnreadableFile(f"{file.filename}: {group.name} starts at {start} s with {rate} samples a second: sought a number of at least {_SLOWEST_HZ:g}")
    return start, rate


def _mended(name: str, signal: Signal, notes: list[str]) -> Signal:
    """A signal whose sampling rate is its step in seconds, with the rate that is meant."""
    if signal.rate_hz is None or signal.rate_hz >= _SLOWEST_HZ:
        return signal
    notes.append(f"{name} says {signal.rate_hz:g} samples a second, which is its step in seconds: read as {1 / signal.rate_hz:g}")
    return replace(signal, rate_hz=1 / signal.rate_hz)


def _units(file: tree.Group, asked: Asked, n_units: int) -> tuple[pa.Table, list[str]]:
    table = tree.member(file, asked.units) if asked.units else None
    source, left_out = tables.read(table) if tree.is_group(table) else (pa.table({}), [])
    if source.num_columns and source.num_rows != n_units:
        raise UnreadableFile(f"{file.filename}: /{asked.units} has {source.num_rows} rows for {n_units} units in /{asked.series}")
    named = source.column(asked.unit_id).to_pylist() if asked.unit_id in source.column_names else []
    ids = [str(i) for i in named] if len(set(named)) == n_units else [str(i) for i in range(n_units)]
    columns: dict[str, pa.Array] = {"unit_id": pa.array(ids, pa.string())}
    if asked.quality in source.column_names:
        words = [nwb_terms.quality_of(v) for v in source.column(asked.quality).to_pylist()]
        if any(words):
            columns |= {"quality": pa.array(words, pa.string()), "quality_rule": pa.array([f"the file's column {asked.quality!r}"] * n_units, pa.string())}
    return pa.table(columns | {f"src_{c}": source.column(c) for c in source.column_names}), left_out


def read_upstream(path: Any, session_id: str, reader: Reader) -> Recording:
    """See UpstreamRates.__call__."""
    with reader(path) as recording:
        rates = np.asarray(recording.signals["rates"].data[:])
    with np.errstate(invalid="ignore"):
        whole = np.round(rates.T / upstream.BINS_PER_S).astype(np.int64)
    counted = [upstream.wrapped(row) for row in whole]
    if not any(c.bins.size for c in counted):
        raise NoEvents(f"{path}: no rate rounds to a count, so the published scripts keep zeros only; build it without --compat upstream")
    odd = int(np.count_nonzero(~(rates >= 0)))
    notes = [f"{odd} rates that are negative or no numbers became whatever uint8 makes of them, as in the published scripts"] if odd else []
    return upstream.as_counts(recording, session_id, upstream.folder_name(path), counted, rates.shape[0], notes)
