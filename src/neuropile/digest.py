"""What a session holds as one SHA-256 over values, never over file bytes: the same whatever wrote the files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa


def type_name(kind: pa.DataType) -> str:
    """A type by the name it has whatever file it went through: fixed-size lists are lists, and items have no name."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"list<{type_name(kind.value_type)}>"
    return str(kind)


class ContentDigest:
    """SHA-256 over names, types, shapes and little-endian values: the same whatever wrote the files."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def text(self, *parts: object) -> None:
        """Take in some values as text, each with its length so that no two sequences look alike."""
        for part in parts:
            data = str(part).encode()
            self._hash.update(len(data).to_bytes(8, "little") + data)

    def array(self, name: str, chunks: Iterable[np.ndarray], dtype: str, shape: tuple[int, ...]) -> None:
        """Take in an array, given a piece at a time along its first axis."""
        self.text(name, dtype, tuple(int(n) for n in shape))
        for chunk in chunks:
            self._hash.update(np.ascontiguousarray(chunk).astype(np.dtype(dtype).newbyteorder("<"), copy=False).data)

    def table(self, name: str, table: pa.Table) -> None:
        """Take in a table, column by column, nulls apart from values."""
        self.text(name, table.num_rows)
        for field in table.schema:
            self.text(field.name, type_name(field.type))
            self._column(table.column(field.name).combine_chunks())

    def _column(self, column: pa.Array) -> None:
        self._hash.update(np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool).tobytes())
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
            values = column.fill_null(False if pa.types.is_boolean(column.type) else 0).to_numpy(zero_copy_only=False)
            self._hash.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        else:
            self.text(*column.to_pylist())

    def session(self, facts: tuple[str, str, int], units: pa.Table, intervals: Mapping[str, pa.Table], channels: pa.Table | None) -> None:
        """Take in a session's tables.

        facts : its quantity, its clock and its ticks a second
        """
        self.text(*facts)
        self.table("units", units)
        for name in sorted(intervals):
            self.table(f"intervals/{name}", intervals[name])
        if channels is not None:
            self.table("channels", channels)

    def spikes(self, trains: Iterable[np.ndarray], n_spikes: int) -> None:
        """Take in every unit's sorted ticks, unit by unit."""
        self.array("spikes", (t.astype(np.int64, copy=False) for t in trains), "int64", (n_spikes,))

    def hex(self) -> str:
        """The digest of all that was taken in, as `sha256:` and hex."""
        return "sha256:" + self._hash.hexdigest()
