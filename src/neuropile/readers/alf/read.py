"""One ALF session into a Recording: probes side by side, behaviour beside them, a restarting clock laid out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers.alf import behaviour, cameras, files, flat, folder, linked, missing, passive, places, waveforms, wheel
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf import tables as alf_tables
from neuropile.readers.alf import units as alf_units
from neuropile.readers.alf.grammar import session_of
from neuropile.readers.clock import trials
from neuropile.readers.nwb import tables
from neuropile.readers.source_name import as_text
from neuropile.types import Recording, Signal, Subject, Trains

#: Longer descriptions are not carried in the session's own.
_MAX_DESCRIPTION_BYTES = 1 << 16


def read(path: Any, session_id: str, revision: str | None, sorter: str | None) -> Recording:
    """See AlfSession.__call__."""
    if not path.is_dir():
        raise UnreadableFile(f"{path}: no such folder")
    found = files.find(path, revision, sorter)
    if not found.probes:
        before = f" of revision {revision} or before" if revision else ""
        before += f", found those of {', '.join(found.revisions)}" if revision and found.revisions else ""
        raise NoEvents(f"{path}: sought spikes.times and spikes.clusters{before} (links out of the folder are not followed); the folder holds {found.holds}")
    notes = list(found.notes)
    probes = [alf_units.read(path, p) for p in found.probes]
    for p in probes:
        notes += [f"{p.probe}: {n}" if len(probes) > 1 else n for n in p.notes]
    units = _units(probes)
    restarts = [flat.pieces(p.times, p.clusters) for p in probes]
    if len(probes) > 1 and any(r is not None for r in restarts):
        raise UnreadableFile(f"{path}: the clock restarts within a probe's spikes, and nothing says where in the others'; read each probe's folder")
    if restarts[0] is not None:
        return _laid_out(path, session_id, units, (probes[0], restarts[0]), tuple(notes), found)
    beside = _Beside(path, found, probes, notes)
    return Recording(
        session_id=session_id,
        units=units,
        trains=Trains(units.num_rows, _Chained(probes)),
        subject=_subject(path, units),
        intervals=beside.intervals,
        signals=beside.signals,
        channels=beside.channels,
        linked=beside.linked,
        absent=beside.absent,
        source=_source(path, found, notes) | beside.facts,
        notes=tuple(map(as_text, notes)),
        holds=as_text(found.holds),
    )


class _Beside:
    """What a session holds beside its spikes: intervals, signals, channels, large files, and what it lacks."""

    def __init__(self, path: Any, found: files.Found, probes: list[alf_units.Units], notes: list[str]) -> None:
        absent: dict[str, str] = {}
        objects = found.objects
        self.intervals = behaviour.intervals(objects, notes, absent) | passive.intervals(objects, notes, absent)
        self.signals: dict[str, Signal] = {}
        self.facts: dict[str, Any] = {}
        turned = wheel.position(objects["wheel"], notes, absent) if "wheel" in objects else None
        if turned is not None:
            self.signals["wheel"], self.facts = wheel.told(turned, self.intervals.get("trials"))
        self.signals |= cameras.signals(objects, notes, absent) | passive.rfm(path, objects, notes)
        sorted_ = [(p.probe, f.waveforms, p.n_rows) for p, f in zip(probes, found.probes, strict=True)]
        self.signals |= waveforms.signals(sorted_, notes)
        self.channels = _channels(probes)
        self.linked, clocks = linked.find(path, set(self.signals), notes)
        self.signals |= clocks
        present = {*self.intervals, *self.signals, *self.linked, *(["channels"] if self.channels is not None else [])}
        present |= {"voltage"} if any(f.kind == "voltage" for f in self.linked.values()) else set()
        there = {f"{obj}.{attribute}" for obj, attributes in objects.items() for attribute in attributes}
        there |= {f"{obj}.{a}" for f in found.probes for a in f.waveforms for obj, b in files.WAVEFORMS if a == b}
        self.absent = {name: as_text(why) for name, why in missing.reasons(present, absent, damaged=there).items()}


def _channels(probes: list[alf_units.Units]) -> pa.Table | None:
    """All probes' channels; the ids of several probes say which one's they are, as those of units do."""
    each = [places.table(p.probe, p.channels, qualified=len(probes) > 1) for p in probes if p.channels]
    return tables.join(each) if each else None


class _Chained:
    """Spike times by row over several probes laid end to end."""

    def __init__(self, probes: list[alf_units.Units]) -> None:
        self._each = [flat.ByUnit(p.times, p.rows, p.table.num_rows) for p in probes]
        self._where = [(i, row) for i, p in enumerate(probes) for row in range(p.table.num_rows)]

    def __call__(self, unit: int) -> np.ndarray:
        probe, row = self._where[unit]
        return self._each[probe](row)


def _units(probes: list[alf_units.Units]) -> pa.Table:
    """All probes' units; the ids of several probes say which one's they are."""
    if len(probes) == 1:
        return probes[0].table
    each = []
    for p in probes:
        ids = [f"{p.probe}/{i}" for i in p.table.column("unit_id").to_pylist()]
        each.append(p.table.set_column(p.table.schema.get_field_index("unit_id"), "unit_id", pa.array(ids, pa.string())))
    return tables.join(each)


def _laid_out(
    path: Any, session_id: str, units: pa.Table, restarting: tuple[alf_units.Units, flat.Pieces], notes: tuple[str, ...], found: files.Found
) -> Recording:
    """A session whose clock restarts: its pieces end to end. Nothing says which piece its behaviour belongs to."""
    probe, pieces = restarting
    offset = trials.lay_out(*pieces.whole_s)
    times = flat.shifted(probe.times, pieces, offset)
    left_out = sorted(o for o in found.objects if o not in ("probes", "experiment"))
    notes = (*notes, flat.told(pieces), *([f"left out, as their times may lie in any of the pieces: {', '.join(left_out)}"] if left_out else []))
    channels = _channels([probe])
    present = {"trials", *(["channels"] if channels is not None else [])}
    return Recording(
        session_id=session_id,
        units=units,
        trains=Trains(units.num_rows, flat.ByUnit(times, probe.rows, units.num_rows)),
        subject=_subject(path, units),
        channels=channels,
        absent=dict.fromkeys(missing.reasons(present, {}), "the clock restarts: its times may lie in any of the pieces") if left_out else {},
        clock="trials",
        intervals={"trials": trials.table(pieces.first_s, pieces.stop_s, offset)},
        observed=trials.observed(pieces.first_s, pieces.stop_s, offset),
        span_source="the pieces between restarts of the clock",
        source=_source(path, found, []),
        notes=tuple(map(as_text, notes)),
        holds=as_text(found.holds),
    )


def _subject(path: Any, units: pa.Table) -> Subject:
    """Who the path names; units with a place in the Allen atlas (CCF 2017) are a mouse's: there is no other animal's."""
    session = session_of(folder.parts(path))
    species = "Mus musculus" if f"src_channel_{places.ALLEN_ID}" in units.column_names else None
    return Subject(session.subject if session else None, species)


def _source(path: Any, found: files.Found, notes: list[str]) -> dict[str, Any]:
    """What the path, and the descriptions that lie in the folder, say of the session."""
    session = session_of(folder.parts(path))
    told = {} if session is None else {f"src_{n}": v for n, v in vars(session).items() if v is not None}
    for obj in ("experiment", "probes"):
        described = found.objects.get(obj, {}).get("description", [])
        if described and described[0].extension in ("json", "yaml", "yml") and described[0].path.stat().st_size <= _MAX_DESCRIPTION_BYTES:
            try:
                told[f"src_{obj}"] = alf_tables.document(described[0].path)
            except UnreadableFile as e:
                notes.append(f"left out: {alf_columns.relative(e, described)}")
    return told
