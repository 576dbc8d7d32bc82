"""Rasters of counts in short bins, a time series of an NWB file (time, unit): read once in slices, each count kept as ticks of the raster's own clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import source_name
from neuropile.types import Reader, Recording, Spans, Trains

#: So much of a raster is held at a time.
SLICE_BYTES = 1 << 25
#: No bin of milliseconds holds more events, and no recording begins later: what says so is damaged, or a trap.
MAX_PER_BIN, MAX_START_S = 10_000, 1e9
_ECEPHYS = "processing/ecephys"


@dataclass(frozen=True)
class RasterCounts(Reader):
    """The reader of a raster in an NWB file.

    series : the series' path, its data (time, unit)
    names : the path of the table that names its units
    """

    series: str = f"{_ECEPHYS}/rasters"
    names: str = f"{_ECEPHYS}/unit_names"

    def session_name(self, path: Any) -> str:
        """The file's name without its suffix."""
        return source_name.plain(path).stem

    def __call__(self, path: Any) -> Recording:
        """Open a file; the raster is read when the first unit is asked for.

        Raises
        ------
        NoEvents : the file has no such raster
        UnreadableFile : it is damaged, its values are no whole counts, or its rate is no whole number of bins a second
        """
        from neuropile.readers.nwb import file as nwb_file
        from neuropile.readers.nwb import intervals as nwb_intervals
        from neuropile.readers.nwb import tree

        with tree.opened(path) as file:
            raster = Raster(file, self.series)
            units, notes = _units(file, self.names, raster.n_units)
            intervals, _ = nwb_intervals.find(file)
            start = raster.first_tick / raster.ticks_per_s
            return Recording(
                session_id=safe_name(self.session_name(path)),
                units=units,
                trains=Trains(raster.n_units, lambda unit: raster.trains[unit], kind="ticks"),
                subject=nwb_file.subject_of(file),
                quantity="counts",
                ticks_per_s=raster.ticks_per_s,
                intervals=intervals,
                observed=Spans.of(start, start + raster.n_bins / raster.ticks_per_s),
                span_source="the raster's own span",
                notes=notes,
                holds=f"a raster of {raster.n_bins} bins and {raster.n_units} units",
                close=file.close,
            )


class Raster:
    """A raster and its clock: what is asked of the array is asked in slices of time."""

    def __init__(self, file: Any, path: str) -> None:
        from neuropile.readers.nwb import tree

        self._where = f"{file.filename}: {path}"
        series = tree.member(file, path)
        self.data: Any = tree.member(series, "data") if tree.is_group(series) else None
        if not tree.is_array(self.data):
            raise NoEvents(f"{self._where}: no such raster; the file has {', '.join(n for n, _ in tree.members(file['/']))}")
        if self.data.ndim != 2 or self.data.dtype.kind not in "biuf":
            raise UnreadableFile(f"{self._where} holds {self.data.dtype} of shape {self.data.shape}: sought counts, (time, unit)")
        tree.check_size(self.data)
        self.n_bins, self.n_units = (int(n) for n in self.data.shape)
        self.ticks_per_s, self.first_tick = self._clock(tree, series)

    def _clock(self, tree: Any, series: Any) -> tuple[int, int]:
        start, stamps = tree.member(series, "starting_time"), tree.member(series, "timestamps")
        if tree.is_array(start) and start.size == 1:
            began, rate = float(np.asarray(start[()]).reshape(-1)[0]), float(start.attrs.get("rate", 0))
        elif tree.is_array(stamps) and stamps.ndim == 1 and stamps.shape[0] == self.n_bins > 1:
            began, ended = float(stamps[0]), float(stamps[-1])
            rate = round((self.n_bins - 1) / (ended - began), 3) if ended > began else 0.0
        else:
            raise UnreadableFile(f"{self._where} has neither a start nor a time stamp a bin: nothing says when its bins are")
        if not (abs(began) < MAX_START_S and MAX_START_S > rate >= 1 and rate == int(rate)):
            raise UnreadableFile(f"{self._where} begins at {began} s with {rate} bins a second: sought a whole number of bins a second")
        return int(rate), round(began * rate)

    def slices(self, multiple: int = 1) -> Any:
        """Stretches of bins that cover the raster, (first, stop), each but the last a multiple of so many bins."""
        chunks = getattr(self.data, "chunks", None)
        row_bytes = max(self.n_units * self.data.dtype.itemsize, 1)
        aligned = math.lcm(multiple, chunks[0] if chunks else 1)
        unit = aligned if aligned * row_bytes <= SLICE_BYTES else multiple  # chunks of a whole recording are read again for each slice
        step = max(SLICE_BYTES // row_bytes // unit, 1) * unit
        return ((a, min(a + step, self.n_bins)) for a in range(0, self.n_bins, step))

    def read(self, first: int, stop: int) -> np.ndarray:
        """The counts of some bins: (bin, unit), as stored."""
        from neuropile.readers import h5

        with h5.clear_errors(self._where):
            return np.asarray(self.data[first:stop])

    @cached_property
    def trains(self) -> list[np.ndarray]:
        """Every unit's ticks, one a count, in order."""
        parts: list[list[np.ndarray]] = [[] for _ in range(self.n_units)]
        for first, stop in self.slices():
            counts = self.read(first, stop)
            if not _are_counts(counts):
                raise UnreadableFile(f"{self._where} holds values that are no counts between bins {first} and {stop}")
            unit, row, n = events(counts)
            ends = np.cumsum(np.bincount(unit, weights=n, minlength=self.n_units).astype(np.int64))
            for u, part in enumerate(np.split(np.repeat(row + (first + self.first_tick), n), ends[:-1])):
                parts[u].append(part)
        return [np.concatenate(p) if p else np.empty(0, np.int64) for p in parts]


def _are_counts(values: np.ndarray) -> bool:
    whole = values.dtype.kind != "f" or bool(np.all(values == np.floor(values)))
    return not values.size or (whole and values.min() >= 0 and values.max() <= MAX_PER_BIN)


def events(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where (bin, unit) counts are not 0: unit, bin and count, by unit and then by bin. Nearly all of a raster is 0."""
    row, unit = np.divmod(np.flatnonzero(counts != 0), counts.shape[1])
    order = np.argsort(unit, kind="stable")
    row, unit = row[order], unit[order]
    return unit, row, counts[row, unit].astype(np.int64)


def _units(file: Any, path: str, n_units: int) -> tuple[pa.Table, tuple[str, ...]]:
    """The units' names and whatever else their table says of them; numbered where there is no such table."""
    from neuropile.readers.nwb import tables, tree
    from neuropile.readers.nwb import terms as nwb_terms

    group = tree.member(file, path)
    table, _ = tables.read(group) if tree.is_group(group) else (pa.table({}), [])
    if not table.num_columns or table.num_rows != n_units:
        note = f"{path} names {table.num_rows if table.num_columns else 0} units where the raster has {n_units}: they are numbered"
        return pa.table({"unit_id": [str(u) for u in range(n_units)]}), (note,)
    names = [str(n) for n in table.column("unit_name").to_pylist()] if "unit_name" in table.column_names else []
    unique = len(set(names)) == n_units
    ids = names if unique else [str(u) for u in range(n_units)]
    columns = {"unit_id": pa.array(ids, pa.string()), **{f"src_{c}": table.column(c) for c in table.column_names}}
    region = next((c for c in nwb_terms.REGION_COLUMNS if tables.is_text(table, c)), None)
    regions = [nwb_terms.region_of(v) for v in table.column(region).to_pylist()] if region else _shared_area(file, n_units)
    if any(regions):
        columns["region"] = pa.array(regions, pa.string())
    return pa.table(columns), () if unique else ("the units' names are missing or stand twice: they are numbered",)


def _shared_area(file: Any, n_units: int) -> list[str | None]:
    """The area of all electrodes, where they lie in one: nothing says which electrode a unit of a raster was recorded with."""
    from neuropile.readers.nwb import tables, tree
    from neuropile.readers.nwb import terms as nwb_terms

    group = tree.member(file, "general/extracellular_ephys/electrodes")
    electrodes, _ = tables.read(group) if tree.is_group(group) else (pa.table({}), [])
    areas = {nwb_terms.region_of(a) for a in electrodes.column("location").to_pylist()} if tables.is_text(electrodes, "location") else set()
    return [areas.pop()] * n_units if len(areas) == 1 else []


def counts(series: str = RasterCounts.series, names: str = RasterCounts.names) -> RasterCounts:
    """The reader of rasters; see RasterCounts."""
    return RasterCounts(series, names)
