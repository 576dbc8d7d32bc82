"""NWB's tables of units: where they lie, each unit's times, and its area, probe, depth and quality by our names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers.nwb import tables, terms, tree
from neuropile.types import Signal, Spans

_NOT_COLUMNS = frozenset({"spike_times", "obs_intervals", "waveforms", "waveform_mean", "waveform_sd"})
_ELECTRODES = "general/extracellular_ephys/electrodes"


def find(file: tree.Group) -> tuple[list[tree.Group], list[str]]:
    """The tables of units with spike times, /units if it has them, else all under processing; the others, in words."""
    found: list[tree.Group] = []
    without: list[str] = []
    for group in chain([tree.member(file, "units")], processing_groups(file)):
        if not tree.is_group(group) or not (tree.kind(group) == "Units" or group.name.rsplit("/", 1)[-1] == "units"):
            continue
        if tree.is_array(tree.member(group, "spike_times")):
            found.append(group)
            if group.name == "/units":
                break
        else:
            without.append(f"{group.name} ({tables.length(group) or 0} rows, no spike_times)")
    return found, without


def processing_groups(file: tree.Group) -> Iterator[tree.Group]:
    """The groups directly inside a processing module, by name, each once."""
    processing = tree.member(file, "processing")
    modules, groups = tree.Met(), tree.Met()
    for _, module in tree.members(processing) if tree.is_group(processing) else ():
        if tree.is_group(module) and modules.is_new(module):
            yield from (group for _, group in tree.members(module) if tree.is_group(group) and groups.is_new(group))


class Units:
    """One units table: its columns now, a unit's spike times when asked."""

    def __init__(self, file: tree.Group, group: tree.Group, region: str | None, quality: str | None) -> None:
        self.group = group
        self.notes: list[str] = []
        self.spike_times = tree.member(group, "spike_times")
        self.n_units = self._count()
        self.spike_ends = self._ends()
        source, left_out = tables.read(group, skip=_NOT_COLUMNS)
        if left_out:
            self.notes.append(f"left out of the units, not scalars: {', '.join(left_out)}")
        electrodes = _Electrodes(file, group, source, self.n_units)
        if electrodes.unread:
            self.notes.append(f"left out of the electrodes: {', '.join(electrodes.unread)}")
        self.table = self._canonical(source, electrodes, region, quality)

    def _count(self) -> int:
        index = tree.member(self.group, "spike_times_index")
        n_rows = tables.length(self.group)
        if n_rows is None and index is not None:
            tree.check_rows(index)
        return n_rows if n_rows is not None else 1 if index is None else int(index.shape[0])

    def _ends(self) -> np.ndarray:
        where = f"{self.group.file.filename}: {self.group.name}"
        times = self.spike_times
        n_times = 0 if times.shape is None else int(np.prod(times.shape, dtype=np.int64))
        if n_times and (times.ndim != 1 or times.dtype.kind not in "iuf"):
            raise UnreadableFile(f"{where}/spike_times holds {times.dtype} of shape {times.shape}: sought one row of numbers")
        tree.check_size(times)
        if tree.member(self.group, "spike_times_index") is not None:
            ends = tables.ends(self.group, "spike_times", self.n_units, n_times)
        elif self.n_units > 1:
            raise UnreadableFile(f"{where} has {self.n_units} units but no spike_times_index to part their times")
        else:
            ends = np.array([n_times] * self.n_units, np.int64)
        n_owned = int(ends[-1]) if len(ends) else 0
        if n_owned < n_times:
            self.notes.append(f"{n_times - n_owned} of {n_times} values of {self.group.name}/spike_times belong to no unit and were left out")
        return ends

    def times(self, unit: int) -> np.ndarray:
        """One unit's spike times in seconds, as stored."""
        start = int(self.spike_ends[unit - 1]) if unit else 0
        stop = int(self.spike_ends[unit])
        return tree.Later(self.spike_times)[start:stop] if stop > start else np.empty(0)

    def observed(self) -> Spans | None:
        """The units' own observation intervals, where the table has them."""
        dataset = tree.member(self.group, "obs_intervals")
        if not tree.is_array(dataset) or not dataset.shape or not dataset.shape[0]:
            return None
        if dataset.ndim != 2 or dataset.shape[1] != 2:
            raise UnreadableFile(f"{self.group.file.filename}: {dataset.name} has shape {dataset.shape}: sought a start and a stop a row")
        values = tree.values(dataset).astype(np.float64).reshape(-1, 2)
        ends = tables.ends(self.group, "obs_intervals", self.n_units, len(values))
        unit = np.repeat(np.arange(self.n_units, dtype=np.int32), np.diff(ends, prepend=0))
        values = values[: len(unit)]
        keep = ~(np.isnan(values[:, 0]) | np.isnan(values[:, 1]))
        if not keep.all():
            self.notes.append(f"{np.count_nonzero(~keep)} of {len(keep)} observation intervals have no start or no stop and were left out")
        return Spans(unit[keep], values[keep, 0], values[keep, 1]) if keep.any() else None

    def waveforms(self) -> dict[str, Signal]:
        """The waveforms' means and deviations, where they form one array over the units whose size is believed."""
        found = {}
        for name in ("waveform_mean", "waveform_sd"):
            data = tree.member(self.group, name)
            whole = tree.is_array(data) and tree.member(self.group, f"{name}_index") is None and data.ndim in (2, 3)
            if not whole or data.shape[0] != self.n_units or data.dtype.kind != "f":
                continue
            try:
                tree.check_size(data)
            except UnreadableFile as e:  # the spikes stand without them
                self.notes.append(f"left out of the signals: {e}")
            else:
                found[name] = Signal(tree.Later(data), ("unit", "sample", "channel")[: data.ndim], unit=tree.text(data.attrs.get("unit", "")))
        return found

    def _canonical(self, source: pa.Table, electrodes: _Electrodes, region: str | None, quality: str | None) -> pa.Table:
        for asked in (region, quality):
            if asked is not None and asked not in source.column_names:
                raise UnreadableFile(f"{self.group.file.filename}: no unit column {asked!r}; there are {', '.join(source.column_names) or 'none'}")
        ids = tree.member(self.group, "id")
        columns: dict[str, Any] = {
            "unit_id": pa.array([str(i) for i in (range(self.n_units) if ids is None else tree.values(ids).tolist())], pa.string()),
            "region": _regions(source, electrodes, region),
            "probe": next((source.column(c) for c in terms.PROBE_COLUMNS if tables.is_text(source, c)), None) or electrodes.texts("group_name"),
            "depth_um": _depths(source) or electrodes.numbers(terms.DEPTH_COLUMNS),
            **_quality(source, quality),
            **{f"src_{c}": source.column(c) for c in source.column_names},
        }
        for name, values in electrodes.columns().items():
            columns.setdefault(f"src_electrode_{name}", values)
        return pa.table({k: v for k, v in columns.items() if v is not None})


def _regions(source: pa.Table, electrodes: _Electrodes, asked: str | None) -> pa.Array | None:
    """The area of each unit: from the column asked for, else the first that names one, else from its electrodes."""
    for name in (asked,) if asked else terms.REGION_COLUMNS:
        if not asked and not (tables.is_text(source, name) or (name in source.column_names and source.schema.field(name).type == pa.list_(pa.string()))):
            continue
        regions = [terms.region_of_many(v if isinstance(v, list) else [v]) for v in source.column(name).to_pylist()]
        if any(regions):
            return pa.array(regions, pa.string())
    regions = [] if asked else electrodes.regions()
    return pa.array(regions, pa.string()) if any(regions) else None


def _quality(source: pa.Table, asked: str | None) -> dict[str, pa.Array]:
    if not asked and tables.is_number(source, terms.IBL_SCORE):
        return _ibl_quality(source)
    for name in (asked,) if asked else terms.QUALITY_COLUMNS:
        words = [terms.quality_of(v, name) for v in source.column(name).to_pylist()] if name in source.column_names else []
        if any(words):
            return {"quality": pa.array(words, pa.string()), "quality_rule": pa.array([f"the file's column {name!r}"] * len(words), pa.string())}
    return {}


def _ibl_quality(source: pa.Table) -> dict[str, pa.Array]:
    """Good where all of IBL's tests were passed; who failed some is not thereby multi-unit, unless the sorter said so."""
    scores = source.column(terms.IBL_SCORE).to_pylist()
    labels = source.column("kilosort2_label").to_pylist() if "kilosort2_label" in source.column_names else [None] * len(scores)
    sorter = [w if (w := terms.quality_of(label)) != "good" else None for label in labels]
    words = ["good" if score is not None and score >= terms.IBL_PASSED_ALL else w for score, w in zip(scores, sorter, strict=True)]
    rule = f"good where {terms.IBL_SCORE} is 1 (all tests passed); else mua or noise where kilosort2_label says so"
    return {"quality": pa.array(words, pa.string()), "quality_rule": pa.array([rule] * len(words), pa.string())}


def _depths(source: pa.Table) -> pa.Array | None:
    name = next((c for c in terms.DEPTH_COLUMNS if tables.is_number(source, c)), None)
    return None if name is None else pa.array(source.column(name).to_numpy(), pa.float64(), from_pandas=True)


class _Electrodes:
    """The electrodes table, seen from the units: which rows are whose."""

    def __init__(self, file: tree.Group, units: tree.Group, source: pa.Table, n_units: int) -> None:
        self.table: tree.Group | None = tree.member(file, _ELECTRODES)
        self.rows: list[np.ndarray] = [np.empty(0, np.int64)] * n_units
        n_rows = tables.length(self.table) if tree.is_group(self.table) else None
        self.present, self.n_rows = bool(n_rows), n_rows or 0
        if n_rows:
            ids = tree.values(tree.member(self.table, "id")).tolist()
            rows = _rows_by_id(source, ids) or _rows_by_number(units, n_units) or self.rows
            self.rows = [r[(r >= 0) & (r < n_rows)] for r in rows]

    @property
    def unread(self) -> list[str]:
        """The columns that are stored in a way that is never decoded, or not as long as the table, and why."""
        columns = {n: tree.member(self.table, n) for n in tables.column_names(self.table)} if self.present and self.table is not None else {}
        plain = {n: c for n, c in columns.items() if tree.is_array(c) and tree.member(self.table, f"{n}_index") is None}
        unread = [f"{name} (it {tree.unread(c)})" for name, c in columns.items() if tree.is_array(c) and tree.unread(c)]
        return unread + [f"{name} (it has {c.shape[0]} rows of {self.n_rows})" for name, c in plain.items() if c.shape and c.shape[0] != self.n_rows]

    def _column(self, name: str) -> list[Any] | None:
        dataset = tree.member(self.table, name) if self.present and self.table is not None else None
        column = tables.column(dataset) if tree.is_array(dataset) and dataset.shape and dataset.shape[0] == self.n_rows else None
        return None if column is None else column.to_pylist()

    def regions(self) -> list[str | None]:
        """The area most of each unit's electrodes lie in."""
        locations = self._column("location")
        return [terms.region_of_many([locations[i] for i in rows.tolist()]) if locations else None for rows in self.rows]

    def columns(self) -> dict[str, pa.Array]:
        """Every column of the table, seen from the units: lists where a unit has several electrodes (the first of very many)."""
        many = max((rows.size for rows in self.rows), default=0) > 1 and sum(r.size for r in self.rows) <= tables.MAX_ROW_VALUES * len(self.rows)
        found = {}
        for name in tables.column_names(self.table) if self.present and self.table is not None else []:
            values = self._column(name)
            if values is not None:
                found[name] = pa.array([[values[i] for i in rows.tolist()] if many else values[rows[0]] if rows.size else None for rows in self.rows])
        return found

    def texts(self, name: str) -> pa.Array | None:
        """A text column of each unit's first electrode."""
        values = self._column(name)
        return None if values is None else pa.array([str(values[rows[0]]) if rows.size else None for rows in self.rows], pa.string())

    def numbers(self, names: tuple[str, ...]) -> pa.Array | None:
        """The first of the named number columns, averaged over each unit's electrodes."""
        for name in names:
            values = self._column(name)
            if values is not None and all(isinstance(v, int | float) for v in values):
                each = np.asarray(values, np.float64)
                means = [float(np.mean(each[rows])) if rows.size else None for rows in self.rows]
                return pa.array(means, pa.float64(), from_pandas=True)
        return None


def _rows_by_id(source: pa.Table, electrode_ids: list[int]) -> list[np.ndarray] | None:
    """Each unit's electrode by `peak_channel_id`, the electrode's own id; None where no unit has one that exists."""
    if not tables.is_number(source, "peak_channel_id"):
        return None
    row_of_id = {i: row for row, i in enumerate(electrode_ids)}
    rows = [row_of_id.get(v, -1) for v in source.column("peak_channel_id").to_pylist()]
    return [np.array([r], np.int64) for r in rows] if any(r >= 0 for r in rows) else None


def _rows_by_number(units: tree.Group, n_units: int) -> list[np.ndarray] | None:
    """Each unit's electrodes by their rows, from the first of the columns that hold them."""
    for name in terms.ELECTRODE_COLUMNS:
        dataset = tree.member(units, name)
        if not tree.is_array(dataset) or dataset.ndim != 1 or dataset.dtype.kind not in "iu":
            continue
        values = tree.values(dataset).astype(np.int64)
        if tree.member(units, f"{name}_index") is not None:
            return np.split(values, tables.ends(units, name, n_units, len(values)))[:n_units]
        if len(values) == n_units:
            return list(values.reshape(-1, 1))
    return None
