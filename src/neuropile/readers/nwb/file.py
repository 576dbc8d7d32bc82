"""One NWB file, in HDF5 or Zarr, into a Recording: units, intervals, signals and what the file says of itself, put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers.nwb import allen, electrodes, ibl, tables, tree, unit_tables, waveforms
from neuropile.readers.nwb import intervals as nwb_intervals
from neuropile.readers.nwb import signals as nwb_signals
from neuropile.types import Recording, Signal, Spans, Subject, Trains

_ROOT_TEXTS = ("identifier", "session_description", "session_start_time", "timestamps_reference_time")
_GENERAL_TEXTS = ("session_id", "lab", "institution", "experimenter", "experiment_description", "related_publications", "keywords")


def read(path: Any, session_id: str, region: str | None = None, quality: str | None = None) -> Recording:
    """See NwbUnits.__call__."""
    with tree.opened(path) as file:
        if "nwb_version" not in file.attrs and tree.kind(file) != "NWBFile":
            raise UnreadableFile(f"{path}: {tree.FORMAT_OF[type(file)]}, but not NWB (no nwb_version attribute)")
        return _read(file, session_id, region, quality)


def _read(file: tree.Group, session_id: str, region: str | None, quality: str | None) -> Recording:
    intervals, not_columns = nwb_intervals.find(file)
    is_allen = allen.knows(file)
    signals, not_signals = nwb_signals.find(file, allen.NAMES if is_allen else None)
    found, without = unit_tables.find(file)
    holds = _holdings(intervals, signals, [*without, *not_signals, *_elsewhere(file)])
    if not found:
        raise NoEvents(f"{file.filename}: sought spike_times in /units and processing/*/units, found none; the file holds {holds}")
    notes = [f"left out, not table columns: {', '.join(not_columns)}"] if not_columns else []
    if not_signals:
        notes.append(f"series left out: {', '.join(not_signals)}")
    parts = [unit_tables.Units(file, group, region, quality) for group in found]
    units = _unique_ids(tables.join([p.table for p in parts]), notes)
    observed, span_source = _observed(file, parts)
    channels = _channels(file, notes)
    if len(parts) == 1:
        shapes = parts[0].waveforms() | _near_peak(parts[0], units, channels)
        signals |= {n if n not in signals else f"units_{n}": s for n, s in shapes.items()}
    subject, source = subject_of(file), metadata_of(file)
    if tree.filled(file):
        notes.append(f"nothing is stored of {', '.join(tree.filled(file))}: read as the fill value, which is how Zarr 3 keeps zeros")
    recording = Recording(
        session_id=session_id,
        units=units,
        trains=Trains(units.num_rows, _Chained(parts)),
        channels=channels,
        subject=subject,
        intervals=intervals,
        signals=signals,
        observed=observed,
        invalid=nwb_intervals.invalid(file, intervals.get("invalid"), _probes(units)),
        span_source=span_source,
        source=source,
        notes=(*notes, *(n for p in parts for n in p.notes)),
        holds=holds,
        close=file.close,
    )
    return allen.completed(file, recording, judge=quality is None) if is_allen else ibl.completed(file, recording)


def _channels(file: tree.Group, notes: list[str]) -> pa.Table | None:
    try:
        return electrodes.channels(file)[0]  # what is left out of them is told of the units' own electrodes
    except UnreadableFile as e:  # the spikes stand without them
        notes.append(f"no table of channels: {e}")
        return None


def _near_peak(part: unit_tables.Units, units: pa.Table, channels: pa.Table | None) -> dict[str, Signal]:
    try:
        return waveforms.near_peak(part.group, units, channels)
    except UnreadableFile as e:  # the spikes stand without them
        part.notes.append(f"left out of the signals: {e}")
        return {}


class _Chained:
    """Spike times by row over several units tables laid end to end."""

    def __init__(self, parts: list[unit_tables.Units]) -> None:
        self._where = [(p, i) for p in parts for i in range(p.n_units)]

    def __call__(self, unit: int) -> np.ndarray:
        part, i = self._where[unit]
        return part.times(i)


def _probes(units: pa.Table) -> list[str | None]:
    return units.column("probe").to_pylist() if "probe" in units.column_names else [None] * units.num_rows


def _unique_ids(units: pa.Table, notes: list[str]) -> pa.Table:
    """Unit ids made unique: qualified by probe, and where that does not part them by row."""
    ids = units.column("unit_id").to_pylist()
    if len(set(ids)) == len(ids):
        return units
    qualified = [f"{p}:{i}" if p is not None else i for p, i in zip(_probes(units), ids, strict=True)]
    how = "probe"
    if len(set(qualified)) < len(ids):
        qualified = [f"{i}:{row}" for row, i in enumerate(ids)]
        how = "row"
    notes.append(f"{len(ids) - len(set(ids))} unit ids stood twice; all ids are qualified by {how}")
    return units.set_column(units.schema.get_field_index("unit_id"), "unit_id", pa.array(qualified, pa.string()))


def _observed(file: tree.Group, parts: list[unit_tables.Units]) -> tuple[Spans | None, str]:
    own = [p.observed() for p in parts]
    if all(s is not None for s in own):
        shifts = np.cumsum([0] + [p.n_units for p in parts[:-1]])
        found = [(s.unit + shift, s.start_s, s.stop_s) for s, shift in zip(own, shifts, strict=True) if s is not None]
        unit, start, stop = (np.concatenate(a) for a in zip(*found, strict=True))
        return Spans(unit.astype(np.int32), start, stop), "obs_intervals"
    spans = nwb_signals.voltage_spans(file)
    return (spans, "acquisition times") if spans is not None else (None, "spikes")


def subject_of(file: tree.Group) -> Subject:
    """Who was recorded, as the file says."""
    group = tree.member(file, "general/subject")
    if not tree.is_group(group):
        return Subject()
    return Subject(**{name: _text_or_none(group, name) for name in ("subject_id", "species", "sex", "age", "genotype")})


def _text_or_none(group: tree.Group, name: str) -> str | None:
    dataset = tree.member(group, name)
    if not tree.is_array(dataset) or dataset.shape is None or tree.unread(dataset):
        return None
    return ", ".join(tree.text(v).strip() for v in tree.values(dataset)) or None


def metadata_of(file: tree.Group) -> dict[str, Any]:
    """What the file says of itself."""
    found = {f"src_{n}": _text_or_none(file, n) for n in _ROOT_TEXTS}
    general = tree.member(file, "general")
    if tree.is_group(general):
        found |= {f"src_{n}": _text_or_none(general, n) for n in _GENERAL_TEXTS}
    found["src_nwb_version"] = tree.text(file.attrs.get("nwb_version", ""))
    return {k: v for k, v in found.items() if v}


def _elsewhere(file: tree.Group) -> list[str]:
    """What lies in other files: told, never followed."""
    groups = [file["/"], tree.member(file, "units"), tree.member(file, "processing")]
    groups += [m for _, m in tree.members(groups[2])] if tree.is_group(groups[2]) else []
    met = tree.Met()
    return [f"{name} (in another file, not followed)" for g in groups if tree.is_group(g) and met.is_new(g) for name in tree.links_out(g)]


def _holdings(intervals: dict[str, pa.Table], signals: dict[str, Signal], others: list[str]) -> str:
    parts = [f"{name} ({t.num_rows} rows)" for name, t in intervals.items()]
    parts += [f"signal {name} {tuple(s.data.shape)}" for name, s in signals.items()]
    return ", ".join(parts + others) or "no intervals and no signals"
