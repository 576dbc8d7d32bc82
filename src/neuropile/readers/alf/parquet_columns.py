"""Columns of Parquet files as one array that is read by rows when it is asked for: tables of poses are too large to hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuropile.errors import UnreadableFile

#: A table of more values than this must lie in a file of at least a byte a hundred of them.
_MANY_VALUES = 10_000_000
_LEAST_BYTES = 100


@contextmanager
def _opened(path: Any) -> Iterator[pq.ParquetFile]:
    try:
        with path.open("rb") as f, pq.ParquetFile(f) as file:
            yield file
    except (pa.ArrowException, OSError, MemoryError, ValueError, KeyError, TypeError) as e:
        reason = (str(e).splitlines() or ["no reason given"])[0]
        raise UnreadableFile(f"{path}: not a readable Parquet file ({reason}); fetch it again") from None


def names(path: Any) -> list[str]:
    """The names of a file's columns that hold numbers; of the file only its end is read.

    Raises
    ------
    UnreadableFile : damaged
    """
    with _opened(path) as file:
        return [f.name for f in file.schema_arrow if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)]


class Columns:
    """Columns of one or several files laid end to end: (row, *shape), read by row groups, the last one kept.

    Of float32 where all of them are, else of float64.

    names : the columns, in the order of the last axes flattened; shape : those axes

    Raises
    ------
    UnreadableFile : damaged, or of an absurd size
    """

    def __init__(self, paths: Sequence[Any], names: Sequence[str], shape: tuple[int, ...]) -> None:
        self._names, self._kept = list(names), (-1, np.empty((0, *shape)))
        self._groups: list[tuple[Any, int, int, int]] = []  # file, its row group, first row, stop
        n_rows, single = 0, True
        for path in paths:
            with _opened(path) as file:
                rows, size = file.metadata.num_rows, int(path.stat().st_size)
                single &= all(file.schema_arrow.field(n).type == pa.float32() for n in names)
                if rows * len(names) > max(_MANY_VALUES, size * _LEAST_BYTES):
                    raise UnreadableFile(f"{path}: announces {rows} rows of {len(names)} columns in {size} bytes: it is damaged; fetch it again")
                for group in range(file.metadata.num_row_groups):
                    stop = n_rows + file.metadata.row_group(group).num_rows
                    self._groups.append((path, group, n_rows, stop))
                    n_rows = stop
        self.shape, self.dtype, self.ndim = (n_rows, *shape), np.dtype(np.float32 if single else np.float64), 1 + len(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if not isinstance(rows, slice):
            rows = np.arange(self.shape[0])[rows]  # as numpy would; whole numbers and lists of them
            first, stop = (int(np.min(rows)), int(np.max(rows)) + 1) if np.size(rows) else (0, 0)
            return self._read(first, stop)[(rows - first, *rest)]
        start, stop, step = rows.indices(self.shape[0])
        wanted = range(start, stop, step)
        first, last = (min(wanted), max(wanted) + 1) if len(wanted) else (0, 0)
        return self._read(first, last)[(np.arange(start, stop, step) - first, *rest)] if step != 1 or rest else self._read(first, last)

    def _read(self, first: int, stop: int) -> np.ndarray:
        parts = [np.empty((0, *self.shape[1:]), self.dtype)]
        for i, (_, _, a, b) in enumerate(self._groups):
            if a < stop and first < b:
                parts.append(self._group(i)[max(first - a, 0) : stop - a])
        return np.concatenate(parts)

    def _group(self, i: int) -> np.ndarray:
        if self._kept[0] != i:
            path, group, first, stop = self._groups[i]
            with _opened(path) as file:
                table = file.read_row_group(group, columns=self._names)
            values = np.empty((stop - first, len(self._names)), self.dtype)
            for at, name in enumerate(self._names):
                values[:, at] = table.column(name).cast(pa.float64(), safe=False).to_numpy()
            self._kept = (i, values.reshape(stop - first, *self.shape[1:]))
        return self._kept[1]
