"""The spikes of one stored session: which row groups hold some units or a window, and only those read, here or far away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile import parquet, remote
from neuropile.errors import NotThere, StoreError
from neuropile.groups import LocalGroups, RemoteGroups, open_groups

#: How many spikes are decoded at a time when a whole session is counted: bounds memory, not the result.
SPIKES_PER_BATCH = 8_000_000


class SpikeFile:
    """A `spikes.parquet`, opened by its footer.

    path : local or remote
    facts : its `bytes` and `footer_bytes`, which a remote file needs, and the digest `sha256` of its footer
    """

    def __init__(self, path: Any, facts: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._facts = dict(facts or {})

    @cached_property
    def _file(self) -> LocalGroups | RemoteGroups:
        try:
            file = open_groups(self.path, self._facts)
            schema = file.metadata.schema.to_arrow_schema()
            if schema.names != ["unit", "tick"] or not all(pa.types.is_integer(t) for t in schema.types):
                raise pa.ArrowInvalid(f"its columns are {', '.join(schema.names)}, not whole numbers unit, tick")
        except parquet.ERRORS as e:
            raise StoreError(f"{self.path} cannot be read ({e}){self._way_out}") from None
        return file

    @property
    def _way_out(self) -> str:
        return "" if remote.is_remote(self.path) else "; restore it from a copy or build the session again with --replace"

    @cached_property
    def bounds(self) -> np.ndarray:
        """Of each row group: least and largest unit, least and largest tick, spikes; (row group, 5) int64."""
        meta = self._file.metadata
        rows = []
        for i in range(meta.num_row_groups):
            group = meta.row_group(i)
            unit, tick = group.column(0).statistics, group.column(1).statistics
            if unit is None or tick is None or not (unit.has_min_max and tick.has_min_max):
                raise StoreError(f"{self.path} does not say which spikes its row group {i} holds; restore it from a copy or build the session again")
            rows.append((unit.min, unit.max, tick.min, tick.max, group.num_rows))
        return np.array(rows, np.int64).reshape(-1, 5)

    def batches(self, units: np.ndarray | None = None, ticks: tuple[int, int] | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The (unit, tick) rows of the row groups that may hold what is asked, some millions at a time.

        units : rows of the units table; ticks : a half-open range. Other rows may come along
        """
        g = self.bounds
        keep = np.ones(len(g), bool)
        if units is not None:
            asked = np.sort(units)
            keep &= np.searchsorted(asked, g[:, 0]) < np.searchsorted(asked, g[:, 1], side="right")
        if ticks is not None:
            keep &= (g[:, 3] >= ticks[0]) & (g[:, 2] < ticks[1])
        wanted = np.flatnonzero(keep)
        batch = np.cumsum(g[wanted, 4]) // SPIKES_PER_BATCH
        for b in np.unique(batch):
            yield self._read(wanted[batch == b].tolist())

    def _read(self, groups: list[int]) -> tuple[np.ndarray, np.ndarray]:
        try:
            table = self._file.read(groups)
        except parquet.ERRORS as e:
            raise StoreError(f"{self.path} {'cannot be read' if remote.is_remote(self.path) else 'is damaged'} ({e}){self._way_out}") from None
        return table.column(0).to_numpy(), table.column(1).to_numpy()

    def read(self, units: np.ndarray | None = None, ticks: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As `batches`, in one piece and without the rows that were not asked for."""
        found = list(self.batches(units, ticks))
        unit = np.concatenate([u for u, _ in found]) if found else np.empty(0, np.int32)
        tick = np.concatenate([t for _, t in found]) if found else np.empty(0, np.int32)
        keep = np.ones(len(unit), bool)
        if units is not None:
            keep &= np.isin(unit, units)
        if ticks is not None:
            keep &= (tick >= ticks[0]) & (tick < ticks[1])
        return (unit, tick) if keep.all() else (unit[keep], tick[keep])


@dataclass(frozen=True)
class Spikes:
    """Ragged spike trains: unit i fired at `times[offsets[i]:offsets[i + 1]]`.

    times : (event,) float64 seconds, the centre of each tick; offsets : (unit + 1,) int64; unit_ids : (unit,)
    """

    times: np.ndarray
    offsets: np.ndarray
    unit_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.unit_ids)

    def __repr__(self) -> str:
        return f"<Spikes: {len(self.times)} of {len(self)} units>"

    def __getitem__(self, unit: int | str) -> np.ndarray:
        """One unit's times, by position or by its id."""
        if isinstance(unit, str) and unit not in self.unit_ids:
            raise NotThere(f"no unit {unit!r} among {len(self)}; unit ids look like {next(iter(self.unit_ids), None)!r}")
        i = self.unit_ids.index(unit) if isinstance(unit, str) else range(len(self))[unit]
        return self.times[self.offsets[i] : self.offsets[i + 1]]
