"""One ALF session into a Recording: probes side by side, behaviour beside them, a restarting clock laid out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers.alf import behaviour, files, flat, folder
from neuropile.readers.alf import units as alf_units
from neuropile.readers.alf.grammar import session_of
from neuropile.readers.clock import trials
from neuropile.readers.nwb import tables
from neuropile.readers.source_name import as_text
from neuropile.types import Recording, Subject, Trains


def read(path: Any, session_id: str, revision: str | None, sorter: str | None) -> Recording:
    """See AlfSession.__call__."""
    if not path.is_dir():
        raise UnreadableFile(f"{path}: no such folder")
    found = files.find(path, revision, sorter)
    if not found.probes:
        before = f" of revision {revision} or before" if revision else ""
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
    return Recording(
        session_id=session_id,
        units=units,
        trains=Trains(units.num_rows, _Chained(probes)),
        subject=_subject(path),
        intervals=behaviour.intervals(found.objects, notes),
        signals=behaviour.signals(found.objects, notes),
        source=_source(path),
        notes=tuple(map(as_text, notes)),
        holds=as_text(found.holds),
    )


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
    notes = (*notes, flat.told(pieces))
    if found.objects:
        notes = (*notes, f"left out, as their times may lie in any of the pieces: {', '.join(sorted(found.objects))}")
    return Recording(
        session_id=session_id,
        units=units,
        trains=Trains(units.num_rows, flat.ByUnit(times, probe.rows, units.num_rows)),
        subject=_subject(path),
        clock="trials",
        intervals={"trials": trials.table(pieces.first_s, pieces.stop_s, offset)},
        observed=trials.observed(pieces.first_s, pieces.stop_s, offset),
        span_source="the pieces between restarts of the clock",
        source=_source(path),
        notes=tuple(map(as_text, notes)),
        holds=as_text(found.holds),
    )


def _subject(path: Any) -> Subject:
    session = session_of(folder.parts(path))
    return Subject(session.subject) if session else Subject()


def _source(path: Any) -> dict[str, Any]:
    """What the path says of the session."""
    session = session_of(folder.parts(path))
    if session is None:
        return {}
    return {f"src_{n}": v for n, v in vars(session).items() if v is not None}
