"""One stored session: its tables, spike times, counts of any bin width and responses around events."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from neuropile import binning, layout, parquet, remote
from neuropile.counting import Counter, Grid, covered
from neuropile.errors import BinWidthError, MissingExtra, NoEvents, NotThere, StoreError
from neuropile.events import SpikeFile, Spikes
from neuropile.parts import Intervals, Signals
from neuropile.spans import Observed
from neuropile.types import SIGNAL_QUANTITIES, Linked

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Width = float | str | Fraction


class Session:
    """A session folder, local or remote, opened by its marker; every table is read when first asked for."""

    def __init__(self, root: str | Path | Any) -> None:
        self.root = remote.as_path(root)
        self.record = layout.read_session_marker(self.root)
        self.dataset: str = self.record["dataset"]
        self.session_id: str = self.record["session_id"]
        self.recording_id: str = self.record["recording_id"]
        self.subject_id: str | None = self.record["subject_id"]
        self.species: str | None = self.record["species"]
        self.quantity: str = self.record["quantity"]
        self.ticks_per_s: int = self.record["ticks_per_s"]
        self.n_units: int = self.record["n_units"]
        self.n_spikes: int = self.record["n_spikes"]
        self.duration_s: float = self.record["duration_s"]
        self.spike_file = SpikeFile(self.root / layout.SPIKES_FILE, self.record["files"].get(layout.SPIKES_FILE))

    @property
    def key(self) -> str:
        """Its name in a store, "dataset/session"."""
        return f"{self.dataset}/{self.session_id}"

    @cached_property
    def counter(self) -> Counter:
        """What counts its spikes; NoEvents where it holds a signal instead."""
        self._check_events()
        return Counter(self.spike_file, self.n_units, self.ticks_per_s, self._name_of)

    def _check_events(self) -> None:
        if self.quantity in SIGNAL_QUANTITIES:
            raise NoEvents(f"{self.key} holds {self.quantity}, no spikes to read or count; its values, (time, unit), are ses.signals[{self.quantity!r}]")

    @property
    def notes(self) -> list[str]:
        """What was missing or odd in the recording, a sentence each."""
        return list(self.record["notes"])

    @cached_property
    def units(self) -> pd.DataFrame:
        """A row a unit: canonical columns first, then the source's own as `src_*`."""
        return self._units.to_pandas()

    @property
    def unit_table(self) -> pa.Table:
        """The canonical columns of `units`, as Arrow."""
        return self._units.select(layout.UNIT_SCHEMA.names).cast(layout.UNIT_SCHEMA)

    @cached_property
    def _units(self) -> pa.Table:
        table = self.table(layout.UNITS_FILE)
        if table.num_rows != self.n_units:
            raise StoreError(f"{self.root}: units.parquet has {table.num_rows} rows, session.json says {self.n_units}; build the session again")
        return table

    @cached_property
    def channels(self) -> pd.DataFrame:
        """A row a recorded channel: where it is, then the source's own columns as `src_*`."""
        if layout.CHANNELS_FILE not in self.record["files"]:
            raise NotThere(f"{self.key}: its source had no table of channels")
        return self.table(layout.CHANNELS_FILE).to_pandas()

    @property
    def linked(self) -> dict[str, Linked]:
        """Files that belong to the session and were not copied (videos, raw voltage), by name."""
        return {name: Linked(**facts) for name, facts in self.record["linked"].items()}

    @property
    def absent(self) -> dict[str, str]:
        """What such a recording may have and this one lacks, and why."""
        return dict(self.record["absent"])

    @cached_property
    def intervals(self) -> Intervals:
        """The tables of intervals by name, each read when asked for."""
        prefix = f"{layout.INTERVALS_FOLDER}/"
        names = [f.removeprefix(prefix).removesuffix(".parquet") for f in self.record["files"] if f.startswith(prefix)]
        return Intervals(self.key, names, lambda name: self.table(f"{prefix}{name}.parquet").to_pandas(), self.absent)

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial; short for `intervals["trials"]`."""
        return self.intervals["trials"]

    @cached_property
    def signals(self) -> Signals:
        """Behaviour and other sampled signals by name, as lazy xarray objects."""
        prefix = f"{layout.SIGNALS_FOLDER}/"
        files = {f.removeprefix(prefix): facts for f, facts in self.record["files"].items() if f.startswith(prefix)}
        return Signals(self.key, self.record["signals"], self.root / layout.SIGNALS_FOLDER, files, self.absent)

    @cached_property
    def observed(self) -> Observed:
        """When silence is data, in ticks."""
        table = self.table(f"{layout.INTERVALS_FOLDER}/observed.parquet")
        start, stop = (table.column(c).to_numpy() for c in ("start_tick", "stop_tick"))
        if not np.allclose(table.column("start_s").to_numpy() * self.ticks_per_s, start, rtol=1e-9, atol=0.5):
            raise StoreError(f"{self.root}: observed.parquet and session.json differ in ticks_per_s; build the session again")
        return Observed(table.column("unit").to_numpy(), start, stop)

    def rows_of(self, units: Sequence[str] | Sequence[int] | np.ndarray | None) -> np.ndarray:
        """Rows of the units table, (unit,) int64, none twice, for what a caller may name units by.

        units : ids as text, rows of the units table as integers (refused where one is another unit's id too), a mask
            over the units, or a part of `units` itself (any table with a `unit_id` column)
        """
        if units is None:
            return np.arange(self.n_units)
        asked = np.atleast_1d(np.asarray(getattr(units, "unit_id", units)))
        if asked.dtype == bool:
            if len(asked) != self.n_units:
                raise StoreError(f"{self.key}: a mask of {len(asked)} values does not fit {self.n_units} units")
            return np.flatnonzero(asked)
        if len(np.unique(asked)) < len(asked):
            raise StoreError(f"{self.key}: a unit is asked for twice")
        if asked.dtype.kind in "iu":
            if asked.size and not (asked.min() >= 0 and asked.max() < self.n_units):
                raise StoreError(f"{self.key}: unit rows run from 0 to {self.n_units - 1}, asked for {asked.min()} to {asked.max()}")
            row = {u: i for i, u in enumerate(self.units["unit_id"])}
            other = next((i for i in asked.tolist() if row.get(str(i), i) != i), None)
            if other is not None:
                raise StoreError(f"{self.key}: {other} is a row and the id of another unit too; pass {str(other)!r} for the id, or a mask for rows")
            return asked.astype(np.int64)
        row = {u: i for i, u in enumerate(self.units["unit_id"])}
        missing = [str(u) for u in asked.tolist() if u not in row]
        if missing:
            raise StoreError(f"{self.key}: no unit {missing[0]!r} among {self.n_units}; unit ids look like {next(iter(row), None)!r}")
        return np.array([row[u] for u in asked.tolist()], np.int64)

    def spikes(self, units: Any = None, start: float | None = None, stop: float | None = None) -> Spikes:
        """Spike times in seconds of some or all units, in [start, stop)."""
        self._check_events()
        rows = self.rows_of(units)
        window = None
        if start is not None or stop is not None:
            first = -binning.MAX_TICK if start is None else int(binning.tick_of(start, self.ticks_per_s))
            end = binning.MAX_TICK if stop is None else -int(binning.tick_of(-stop, self.ticks_per_s))
            window = (first, max(first, end))
        offsets, ticks = self.counter.trains(rows, window)
        parts = [ticks[offsets[r] : offsets[r + 1]] for r in rows]
        ends = np.cumsum([0] + [len(p) for p in parts])
        times = np.concatenate(parts) if parts else ticks[:0]
        return Spikes((times + 0.5) / self.ticks_per_s, ends, tuple(self.units["unit_id"].iloc[rows]))

    def grid(self, bin_width: Width, start: float | None = None, stop: float | None = None) -> Grid:
        """The bins of the observed time, partly covered edge bins included, or those that [start, stop) touches."""
        per_bin = binning.as_ticks_per_bin(bin_width, self.ticks_per_s)
        spans = self.observed.of_any()
        low, high = (int(spans[0, 0]), int(spans[-1, 1])) if len(spans) else (0, 0)
        if start is not None:
            low = int(binning.tick_of(start, self.ticks_per_s))
        if stop is not None:
            high = -int(binning.tick_of(-stop, self.ticks_per_s))  # outwards: a tick that stop lies in is touched
        if start is not None and stop is not None and stop <= start:
            if stop < start:
                raise BinWidthError(f"{self.key}: start {start} s is after stop {stop} s")
            high = low  # no time at all touches no bin
        first = low // per_bin
        return Grid(per_bin, first, max(-(-high // per_bin) - first, 0) if high > low else 0)

    def counts(
        self,
        bin_width: Width = 0.02,
        start: float | None = None,
        stop: float | None = None,
        units: Any = None,
        dtype: Any = None,
        clip: bool = False,
    ) -> xr.DataArray:
        """Spike counts in equal bins of the session's clock, with the mask that says which of them were observed.

        Parameters
        ----------
        bin_width : seconds, or text such as "1/32"; a whole number of ticks
        start, stop : seconds; by default the observed time, partly covered edge bins included
        dtype : an integer or float type; by default uint8, or the smallest unsigned one that holds every count. Unsigned
            numbers wrap around below 0: ask for int16 or float32 before subtracting
        clip : with an explicit dtype, cut counts that do not fit to its largest value and say how many in `attrs`

        Returns
        -------
        counts : (unit, time), with coordinates unit_id, region, time (bin centres, s), bin (k of [k*w, (k+1)*w)),
            observed (time), and unit_observed (unit, time) where units differ

        Raises
        ------
        BinWidthError : no whole number of ticks makes the width
        CountOverflow : a count does not fit an explicit dtype
        NoEvents : the session holds a signal, such as rates
        """
        self._check_events()
        rows = self.rows_of(units)
        grid = self.grid(bin_width, start, stop)
        values, n_clipped = self.counter.count(rows, grid, dtype, clip)
        attributes = {"bin_width_s": float(binning.as_width(bin_width)), "session": self.key, "quantity": self.quantity}
        if n_clipped:
            attributes["n_clipped"] = n_clipped
        return self.label(values, rows, grid).assign_attrs(attributes)

    def label(self, values: np.ndarray, rows: np.ndarray, grid: Grid) -> xr.DataArray:
        """Bare counts (unit, bin) with the coordinates that `counts` describes."""
        import xarray as xr

        k = grid.first_bin + np.arange(grid.n_bins)
        place = (grid.ticks_per_bin, grid.first_bin, grid.n_bins)
        coords: dict[str, Any] = {
            **self._unit_coords(rows),
            "time": ("time", (k + 0.5) * (grid.ticks_per_bin / self.ticks_per_s)),
            "bin": ("time", k),
            "observed": ("time", self.observed.mask(rows, *place)),
        }
        if self.observed.differs:
            coords["unit_observed"] = (("unit", "time"), self.observed.unit_mask(rows, *place))
        return xr.DataArray(values, dims=("unit", "time"), coords=coords, name="counts")

    def _unit_coords(self, rows: np.ndarray) -> dict[str, Any]:
        own = self.units.iloc[rows]
        region = own["region"].astype(object).where(own["region"].notna(), None)
        return {"unit_id": ("unit", own["unit_id"].to_numpy(object)), "region": ("unit", region.to_numpy(object))}

    def _name_of(self, row: int) -> str:
        return f"{self.key}: unit {self.units['unit_id'].iloc[row]}"

    def align(self, events: str | np.ndarray, window: tuple[float, float], bin_width: Width = 0.02, units: Any = None) -> xr.DataArray:
        """Counts around moments: bins that start exactly at each event's tick.

        Parameters
        ----------
        events : "table.column", such as "trials.stim_on_s" (the source's own column is found without `src_` too),
            or (event,) seconds: an array, or a column of some rows of a table. Rows without a time are left out
        window : seconds before (negative) and after each event, whole numbers of bins

        Returns
        -------
        counts : (trial, unit, time) with coordinates trial (the table's row, so that `ses.trials.loc[...]` finds it), event_s, unit_id, region, time (bin
            centres, s from the event) and the mask observed (trial, time), or unit_observed (trial, unit, time) where
            units differ
        """
        import xarray as xr

        self._check_events()
        try:
            before, after = (Fraction(str(w)) / binning.as_width(bin_width) for w in window)
            whole = before.denominator == after.denominator == 1 and before < after
        except (ValueError, TypeError):
            whole = False
        if not whole:
            raise BinWidthError(f"window {window} s must run from a start to a later stop, both whole numbers of {bin_width} s bins")
        grid = Grid(binning.as_ticks_per_bin(bin_width, self.ticks_per_s), int(before), int(after - before))
        seconds, labels = self._event_times(events)
        known = np.flatnonzero(np.isfinite(seconds))
        moments = binning.tick_of(seconds[known], self.ticks_per_s)
        rows = self.rows_of(units)
        k = grid.first_bin + np.arange(grid.n_bins)
        coords: dict[str, Any] = {
            "trial": ("trial", labels[known]),
            "event_s": ("trial", seconds[known]),
            **self._unit_coords(rows),
            "time": ("time", (k + 0.5) * (grid.ticks_per_bin / self.ticks_per_s)),
        }
        starts = moments[:, None] + k * grid.ticks_per_bin
        if self.observed.differs:
            each = np.empty((len(rows), *starts.shape), bool)
            for i, unit in enumerate(rows.tolist()):
                each[i] = covered(self.observed.of(unit), starts, grid.ticks_per_bin)
            coords["unit_observed"] = (("trial", "unit", "time"), each.swapaxes(0, 1))
            coords["observed"] = (("trial", "time"), each.any(axis=0))
        else:
            coords["observed"] = (("trial", "time"), covered(self.observed.of_any(), starts, grid.ticks_per_bin))
        name = events if isinstance(events, str) else str(getattr(events, "name", "")) or "moments"
        attributes = {"bin_width_s": float(binning.as_width(bin_width)), "session": self.key, "events": name}
        values = self.counter.count_around(rows, moments, grid)
        return xr.DataArray(values, dims=("trial", "unit", "time"), coords=coords, name="counts", attrs=attributes)

    def _event_times(self, events: Any) -> tuple[np.ndarray, np.ndarray]:
        """The moments in seconds, and a label of each: its row in the table it comes from, else its place."""
        if not isinstance(events, str):
            seconds = np.asarray(events, np.float64)
            index = getattr(events, "index", None)
            return seconds, np.arange(len(seconds)) if index is None or callable(index) else np.asarray(index)
        name, _, column = events.partition(".")
        table = self.intervals[name]
        column = {"start_time": "start_s", "stop_time": "stop_s"}.get(column, column)
        found = next((c for c in (column, f"src_{column}") if c in table.columns), None)
        if found is None:
            raise StoreError(f"{self.key}: no column {column!r} in {name}; there are {', '.join(table.columns)}")
        if table[found].dtype.kind not in "iuf":
            raise StoreError(f"{self.key}: {name}.{found} holds {table[found].dtype}, not times in seconds")
        return table[found].to_numpy(np.float64), np.asarray(table.index)

    def to_pynapple(self, units: Any = None) -> Any:
        """A pynapple TsGroup: spike times, the observed time as its support, unit columns as metadata.

        The support is one for all units: the time in which at least one was observed. Where units differ, pynapple's own
        `rate` is too low for those observed less; the metadata column `rate_hz` counts each unit's own time. pynapple
        drops spikes outside the support.
        """
        try:
            import pynapple as nap
        except ImportError:
            raise MissingExtra("Session.to_pynapple", "pynapple") from None
        rows = self.rows_of(units)
        trains = self.spikes(rows)
        spans = self.observed.of_any(rows) / self.ticks_per_s
        support = nap.IntervalSet(start=spans[:, 0], end=spans[:, 1])
        metadata = self.units.iloc[rows].reset_index(drop=True).dropna(axis=1, how="all")
        group = {i: nap.Ts(trains[i]) for i in range(len(rows))}
        return nap.TsGroup(group, time_support=support, metadata=metadata)

    def to_nwb(self, path: str | Path, *, replace: bool = False) -> Path:
        """Write the session as one valid NWB file (needs pynwb: `neuropile[nwb]`); see `exporting.to_nwb`."""
        from neuropile import exporting

        self._check_events()
        return exporting.to_nwb(self, path, replace=replace)

    def table(self, name: str) -> pa.Table:
        """One of its Parquet files, as Arrow."""
        try:
            return parquet.read(self.root / name, digest=self.record["files"].get(name, {}).get("sha256"))
        except parquet.ERRORS as e:
            raise StoreError(f"{self.root / name} cannot be read ({e}); restore it from a copy or build the session again") from None

    def __repr__(self) -> str:
        what = self.quantity if self.quantity in SIGNAL_QUANTITIES else f"{self.n_spikes} spikes"
        return f"<Session {self.key}: {self.n_units} units, {what}, {self.duration_s:.1f} s, {', '.join(self.intervals) or 'no intervals'}>"

    def _repr_html_(self) -> str:
        facts = {
            "session": self.key,
            "subject": f"{self.subject_id or 'unknown'} ({self.species or 'species unknown'})",
            "units": f"{self.n_units:,}",
            "spikes": "none: a session of " + self.quantity if self.quantity in SIGNAL_QUANTITIES else f"{self.n_spikes:,}",
            "observed": f"{self.record['observed_s']:,.1f} s of {self.duration_s:,.1f} s, from {self.record['span_source']}",
            "regions": ", ".join(self.record["regions"]) or "not given",
            "intervals": ", ".join(self.intervals),
            "signals": ", ".join(self.record["signals"]) or "none",
            "licence": self.record["license"] or "unknown",
            **({"set aside": self.record["set_aside"]} if self.record["set_aside"] else {}),
            "notes": "; ".join(self.record["notes"]) or "none",
        }
        rows = "".join(f"<tr><th style='text-align:left'>{escape(k)}</th><td style='text-align:left'>{escape(v)}</td></tr>" for k, v in facts.items())
        return f"<table>{rows}</table>"
