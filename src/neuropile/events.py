"""The spikes of one stored session: which row groups hold a unit or a window, and only those read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuropile.errors import StoreError

#: How many spikes are decoded at a time when a whole session is counted: bounds memory, not the result.
SPIKES_PER_BATCH = 8_000_000


class SpikeFile:
    """A `spikes.parquet`, opened by its footer; nothing is held but row-group bounds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _file(self) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(self.path, memory_map=True)
            if file.schema_arrow.names != ["unit", "tick"] or not all(pa.types.is_integer(t) for t in file.schema_arrow.types):
                raise pa.ArrowInvalid(f"its columns are {', '.join(file.schema_arrow.names)}, not whole numbers unit, tick")
        except (OSError, pa.ArrowException) as e:
            raise StoreError(f"{self.path} cannot be read ({e}); restore it from a copy or build the session again") from None
        return file

    @cached_property
    def _groups(self) -> np.ndarray:
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

    def batches(self, units: tuple[int, int] | None = None, ticks: tuple[int, int] | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The (unit, tick) rows of the row groups that may hold what is asked, some millions at a time.

        units, ticks : half-open ranges; rows outside them may come along
        """
        g = self._groups
        keep = np.ones(len(g), bool)
        if units is not None:
            keep &= (g[:, 1] >= units[0]) & (g[:, 0] < units[1])
        if ticks is not None:
            keep &= (g[:, 3] >= ticks[0]) & (g[:, 2] < ticks[1])
        wanted = np.flatnonzero(keep)
        batch = np.cumsum(g[wanted, 4]) // SPIKES_PER_BATCH
        for b in np.unique(batch):
            yield self._read(wanted[batch == b].tolist())

    def _read(self, groups: list[int]) -> tuple[np.ndarray, np.ndarray]:
        try:
            table = self._file.read_row_groups(groups, use_threads=False)
        except (OSError, pa.ArrowException) as e:
            raise StoreError(f"{self.path} is damaged ({e}); restore it from a copy or build the session again") from None
        return table.column(0).to_numpy(), table.column(1).to_numpy()

    def read(self, units: tuple[int, int] | None = None, ticks: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As `batches`, in one piece and with rows outside the ranges left out."""
        found = list(self.batches(units, ticks))
        unit = np.concatenate([u for u, _ in found]) if found else np.empty(0, np.int32)
        tick = np.concatenate([t for _, t in found]) if found else np.empty(0, np.int32)
        keep = np.ones(len(unit), bool)
        if units is not None:
            keep &= (unit >= units[0]) & (unit < units[1])
        if ticks is not None:
            keep &= (tick >= ticks[0]) & (tick < ticks[1])
        return (unit, tick) if keep.all() else (unit[keep], tick[keep])
