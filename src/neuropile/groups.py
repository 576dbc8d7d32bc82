"""Row groups of one Parquet file, here or far away: only those asked for are read, and what was fetched is kept."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuropile import parquet, remote

#: Of a remote file this much is kept in memory once it is fetched, so that it is not fetched again.
KEPT_BYTES = 256 << 20


def open_groups(path: Any, facts: Mapping[str, Any]) -> LocalGroups | RemoteGroups:
    """A Parquet file of ours, opened by its footer.

    path : local or remote
    facts : its `bytes` and `footer_bytes`, which a remote file needs, and the digest `sha256` of its footer

    Raises
    ------
    StoreError, or one of `parquet.ERRORS` : it is damaged, or cannot be reached
    """
    return RemoteGroups(path, facts) if remote.is_remote(path) else LocalGroups(path, facts)


class LocalGroups:
    """Row groups of a local file."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self._file = parquet.opened(path, facts.get("sha256"))
        self.metadata = self._file.metadata

    def read(self, groups: list[int], columns: Sequence[str] | None = None) -> pa.Table:
        """Some row groups, in the order given."""
        return self._file.read_row_groups(groups, columns=None if columns is None else list(columns), use_threads=False)


class RemoteGroups:
    """Row groups of a remote file: fetched by ranges when they are first asked for, then kept."""

    def __init__(self, path: Any, facts: Mapping[str, Any]) -> None:
        self._path, self._size = path, facts["bytes"]
        (tail,) = remote.read_ranges(path, [(self._size - facts["footer_bytes"], self._size)])
        parquet.tail_length(tail, self._size)
        self.metadata = parquet.footer(tail, path, facts.get("sha256"))
        names = [self.metadata.schema.column(i).path.split(".")[0] for i in range(self.metadata.num_columns)]
        #: Of each column of the table its leaves in the file: a list has one, a list of structs several.
        self._leaves = {name: [i for i, n in enumerate(names) if n == name] for name in names}
        self._forget()

    def _forget(self) -> None:
        # pages of an anonymous map that are not written to take no memory
        self._bytes = mmap.mmap(-1, self._size)
        self._kept: set[tuple[int, int]] = set()
        self._n_kept = 0

    def read(self, groups: list[int], columns: Sequence[str] | None = None) -> pa.Table:
        """Some row groups, in the order given."""
        leaves = [i for name in (columns or self._leaves) for i in self._leaves.get(name, ())]
        missing = [(g, i) for g in groups for i in leaves if (g, i) not in self._kept]
        if missing:
            ranges = [self._range(g, i) for g, i in missing]
            if self._n_kept and self._n_kept + sum(b - a for a, b in ranges) > KEPT_BYTES:
                self._forget()
                return self.read(groups, columns)
            for (start, stop), data in zip(ranges, remote.read_ranges(self._path, ranges), strict=True):
                self._bytes[start:stop] = data
                self._n_kept += stop - start
            self._kept.update(missing)
        file = pq.ParquetFile(pa.BufferReader(self._bytes), metadata=self.metadata, pre_buffer=False, page_checksum_verification=True)
        return file.read_row_groups(groups, columns=None if columns is None else list(columns), use_threads=False)

    def _range(self, group: int, leaf: int) -> tuple[int, int]:
        """The first byte of a column of a row group and the one after its last, checked."""
        column = self.metadata.row_group(group).column(leaf)
        start = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
        stop = start + column.total_compressed_size
        if not 0 <= start < stop <= self._size:
            raise OSError(f"row group {group} lies outside the file")
        return start, stop
