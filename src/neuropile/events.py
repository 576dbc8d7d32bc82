"""The spikes of one stored session: which row groups hold some units or a window, and only those read, here or far away."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuropile import parquet, remote
from neuropile.errors import StoreError

#: How many spikes are decoded at a time when a whole session is counted: bounds memory, not the result.
SPIKES_PER_BATCH = 8_000_000
#: Of a remote file this much is kept in memory once it is fetched, so that it is not fetched again.
KEPT_BYTES = 256 << 20


class SpikeFile:
    """A `spikes.parquet`, opened by its footer.

    path : local or remote
    facts : its `bytes` and `footer_bytes`, which a remote file needs, and the digest `sha256` of its footer
    """

    def __init__(self, path: Any, facts: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._facts = dict(facts or {})

    @cached_property
    def _file(self) -> _LocalGroups | _RemoteGroups:
        try:
            file = (_RemoteGroups if remote.is_remote(self.path) else _LocalGroups)(self.path, self._facts)
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


class _LocalGroups:
    """Row groups of a local file, mapped into memory."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self._file = parquet.opened(path, facts.get("sha256"))
        self.metadata = self._file.metadata

    def read(self, groups: list[int]) -> pa.Table:
        return self._file.read_row_groups(groups, use_threads=False)


class _RemoteGroups:
    """Row groups of a remote file: fetched by ranges when they are first asked for, then kept."""

    def __init__(self, path: Any, facts: Mapping[str, Any]) -> None:
        self._path, self._size = path, facts["bytes"]
        (tail,) = remote.read_ranges(path, [(self._size - facts["footer_bytes"], self._size)])
        parquet.tail_length(tail, self._size)
        self.metadata = parquet.footer(tail, path, facts.get("sha256"))
        self._forget()

    def _forget(self) -> None:
        # pages of an anonymous map that are not written to take no memory
        self._bytes = mmap.mmap(-1, self._size)
        self._kept: set[int] = set()
        self._n_kept = 0

    def read(self, groups: list[int]) -> pa.Table:
        missing = [g for g in groups if g not in self._kept]
        if missing:
            ranges = [self._range(g) for g in missing]
            if self._n_kept and self._n_kept + sum(b - a for a, b in ranges) > KEPT_BYTES:
                self._forget()
                return self.read(groups)
            for (start, stop), data in zip(ranges, remote.read_ranges(self._path, ranges), strict=True):
                self._bytes[start:stop] = data
                self._n_kept += stop - start
            self._kept.update(missing)
        file = pq.ParquetFile(pa.BufferReader(self._bytes), metadata=self.metadata, pre_buffer=False, page_checksum_verification=True)
        return file.read_row_groups(groups, use_threads=False)

    def _range(self, group: int) -> tuple[int, int]:
        """The first byte of a row group and the one after its last, checked."""
        columns = [self.metadata.row_group(group).column(i) for i in range(2)]
        starts = [min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset) for c in columns]
        stops = [a + c.total_compressed_size for a, c in zip(starts, columns, strict=True)]
        if not 0 <= min(starts) < max(stops) <= self._size:
            raise OSError(f"row group {group} lies outside the file")
        return min(starts), max(stops)
