"""One NWB file with a series of counts into a Recording: events, channels, trials and behaviour on the clock of its bins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers.clock import grid, moved
from neuropile.readers.nwb import file as nwb_file
from neuropile.readers.nwb import intervals as nwb_intervals
from neuropile.readers.nwb import signals as nwb_signals
from neuropile.readers.nwb import tables, terms, tree
from neuropile.types import Recording, Signal, Trains

#: So many values of a series are read at a time.
_VALUES_AT_ONCE = 1 << 22
#: No count of a bin of some milliseconds is larger; what is, is no count.
MAX_COUNT = 65_535
_ELECTRODES = "general/extracellular_ephys/electrodes"


def read(path: Any, session_id: str, places: tuple[str, ...], quantity: str, gap: float) -> Recording:
    """See NwbCounts.__call__."""
    with tree.opened(path) as file:
        if "nwb_version" not in file.attrs and tree.kind(file) != "NWBFile":
            raise UnreadableFile(f"{path}: {tree.FORMAT_OF[type(file)]}, but not NWB (no nwb_version attribute)")
        return _read(file, session_id, find(file, places), quantity, gap)


def find(file: tree.Group, paths: tuple[str, ...]) -> tree.Group:
    """The series at the first of these places that holds one, time x channels."""
    for where in paths:
        series = tree.member(file, where)
        data = tree.member(series, "data") if tree.is_group(series) else None
        if tree.is_array(data) and data.shape is not None and data.ndim == 2 and data.dtype.kind in "iufb":
            tree.check_size(data)
            return series
    raise NoEvents(f"{file.filename}: sought a series of counts, time x channels, at {' or '.join(paths)}, found none; has the dataset's layout moved?")


def stamps(series: tree.Group) -> np.ndarray:
    """The time of each sample of a series: (time,) float64 seconds."""
    n, times, start = tree.member(series, "data").shape[0], tree.member(series, "timestamps"), tree.member(series, "starting_time")
    if tree.is_array(times):
        values = tree.values(times).astype(np.float64)
        if len(values) != n:
            raise UnreadableFile(f"{series.file.filename}: {series.name} has {n} samples and {len(values)} time stamps")
        return values
    if not tree.is_array(start) or start.size != 1 or not float(start.attrs.get("rate", 0)) > 0:
        raise UnreadableFile(f"{series.file.filename}: {series.name} has neither time stamps nor a start and a rate")
    return float(np.asarray(start[()]).reshape(-1)[0]) + np.arange(n) / float(start.attrs["rate"])


def _read(file: tree.Group, session_id: str, series: tree.Group, quantity: str, gap: float) -> Recording:
    data, notes = tree.member(series, "data"), list[str]()
    laid = grid.lay(stamps(series), gap=gap)
    events = _Events(data, laid)
    held = _held(events, data, notes)
    beside = moved.moved(_beside(file, session_id, series, notes), laid.move, whole=False)
    n_stretches = len(laid.runs())
    if n_stretches > 1:
        notes.append(f"the counts lie in {n_stretches} stretches; the time between them was not observed")
    return replace(
        beside,
        trains=Trains(data.shape[1], events, kind="ticks"),
        quantity=quantity,
        ticks_per_s=laid.ticks_per_s,
        observed=laid.spans(held),
        span_source="time stamps of the counts",
        notes=tuple(notes),
    )


def _held(events: _Events, data: tree.Array, notes: list[str]) -> np.ndarray:
    """Which bins have all their counts: (bin,) bool. Only floats can be missing, so whole numbers need not be read for it."""
    held = np.ones(data.shape[0], bool)
    if data.dtype.kind == "f":
        held[events.missing()] = False
    if not held.all():
        notes.append(f"{np.count_nonzero(~held)} of {len(held)} bins have counts that are missing (NaN), and were not observed")
    return held


def _beside(file: tree.Group, session_id: str, series: tree.Group, notes: list[str]) -> Recording:
    """All of a file but its counts, on its own clock: channels, intervals, behaviour, what it says of itself."""
    intervals, not_columns = nwb_intervals.find(file)
    signals, left_out = nwb_signals.find(file)
    parts = series.name.strip("/").split("/")
    itself = {"_".join(parts[i:]) for i in range(len(parts))}
    signals = {n: s for n, s in (signals | _analysis(file, left_out)).items() if n not in itself}
    left_out = [text for text in left_out if not text.startswith(series.name.strip("/"))]
    notes += [f"left out, not table columns: {', '.join(not_columns)}"] if not_columns else []
    notes += [f"series left out: {', '.join(left_out)}"] if left_out else []
    n_units = tree.member(series, "data").shape[1]
    return Recording(
        session_id=session_id,
        units=_units(file, series, n_units),
        trains=Trains(n_units, lambda unit: np.empty(0)),
        subject=nwb_file.subject_of(file),
        intervals=intervals,
        signals=signals,
        source=nwb_file.metadata_of(file),
        holds=", ".join([f"{n} ({t.num_rows} rows)" for n, t in intervals.items()] + [f"signal {n}" for n in signals]),
        close=file.close,
    )


class _Events:
    """A series of counts as ticks a channel; all are read once, in order, and only those that are not 0 are kept."""

    def __init__(self, data: tree.Array, laid: grid.Grid) -> None:
        self._data, self._grid = data, laid
        self._held: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._missing = np.zeros(data.shape[0], bool)

    def __call__(self, unit: int) -> np.ndarray:
        offsets, rows, counts = self._read()
        own = slice(offsets[unit], offsets[unit + 1])
        return np.repeat(self._grid.ticks[rows[own]], counts[own])

    def missing(self) -> np.ndarray:
        """The rows in which some count is NaN."""
        self._read()
        return np.flatnonzero(self._missing)

    def _read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._held is None:
            self._held = self._all()
        return self._held

    def _all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Offsets of the channels, and of each count that is not 0 its row and its size."""
        data, width = tree.Later(self._data), self._data.shape[1]
        rows: list[np.ndarray] = []
        units: list[np.ndarray] = []
        sizes: list[np.ndarray] = []
        step = max(_VALUES_AT_ONCE // max(width, 1), 1)
        for first in range(0, self._data.shape[0], step):
            part = data[first : first + step]
            if part.dtype.kind == "f":
                self._missing[first : first + step] = np.isnan(part).any(axis=1)
                part = np.where(np.isnan(part), 0, part)
            part = whole(part, self._data)
            row, unit = np.nonzero(part)
            rows.append((row + first).astype(np.int32))
            units.append(unit.astype(np.int32))
            sizes.append(part[row, unit])
        unit = np.concatenate(units) if units else np.empty(0, np.int32)
        order = np.argsort(unit, kind="stable")
        offsets = np.searchsorted(unit[order], np.arange(width + 1))
        return offsets, np.concatenate(rows)[order], np.concatenate(sizes)[order]


def whole(part: np.ndarray, where: tree.Array) -> np.ndarray:
    """Counts as uint16, or UnreadableFile where they are none."""
    odd = ~((part >= 0) & (part <= MAX_COUNT) & (part == np.floor(part))) if part.dtype.kind == "f" else (part < 0) | (part > MAX_COUNT)
    if part.dtype.kind != "b" and odd.any():
        found = part[odd][0]
        raise UnreadableFile(f"{where.file.filename}: {where.name} holds {found}: counts are whole numbers from 0 to {MAX_COUNT}; these may be rates")
    return part.astype(np.uint16)


def _units(file: tree.Group, series: tree.Group, n_units: int) -> pa.Table:
    """A row a channel, with what the electrodes' table says of it."""
    table = tree.member(file, _ELECTRODES)
    columns: dict[str, Any] = {"unit_id": pa.array([str(i) for i in range(n_units)], pa.string())}
    electrodes = tables.read(table)[0] if tree.is_group(table) else None
    rows = _rows(series, n_units)
    if electrodes is None or rows is None or not len(rows) or not 0 <= rows.min() <= rows.max() < electrodes.num_rows:
        return pa.table(columns)
    own = electrodes.take(pa.array(rows))
    if tables.is_text(own, "location"):
        columns["region"] = pa.array([terms.region_of(v) for v in own.column("location").to_pylist()], pa.string())
    if tables.is_text(own, "group_name"):
        columns["probe"] = own.column("group_name")
    return pa.table(columns | {f"src_electrode_{n}": own.column(n) for n in own.column_names})


def _rows(series: tree.Group, n_units: int) -> np.ndarray | None:
    """The rows of the electrodes' table that a series names for its channels."""
    named = tree.member(series, "electrodes")
    if not tree.is_array(named) or named.shape != (n_units,) or named.dtype.kind not in "iu":
        return None
    return tree.values(named).astype(np.int64)


def _analysis(file: tree.Group, left_out: list[str]) -> dict[str, Signal]:
    """The series of the file's analysis group, where some labs keep everything, whatever type they are stored as."""
    group = tree.member(file, "analysis")
    found: dict[str, Signal] = {}
    for name, series in tree.members(group) if tree.is_group(group) else ():
        data = tree.member(series, "data") if tree.is_group(series) else None
        if not tree.is_array(data) or not data.shape or data.ndim > 2 or data.dtype.kind not in "iufb":
            continue
        try:
            tree.check_size(data)
            time = stamps(series)
        except UnreadableFile as e:  # the counts stand without it
            left_out.append(f"analysis/{name} ({e})")
            continue
        about, unit = tree.text(series.attrs.get("description", "")), tree.text(data.attrs.get("unit", ""))
        found[name] = Signal(tree.Later(data), ("time", "channel")[: data.ndim], unit, time_s=time, description=about)
    return found
