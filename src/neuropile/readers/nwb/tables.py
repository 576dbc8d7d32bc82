"""NWB's DynamicTables as Arrow tables: scalar columns, narrow ones, and ragged ones by their checked index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers.nwb import tree

#: Arrays of at most this many values a row become list columns; wider ones are not table columns.
MAX_ROW_VALUES = 64


def read(group: tree.Group, skip: frozenset[str] = frozenset()) -> tuple[pa.Table, list[str]]:
    """The columns of a DynamicTable that fit an Arrow table, and the names of those that do not.

    Numbers, truth values, text and object references (as the name of what they point to) become scalars, narrow
    arrays fixed-size lists, ragged columns lists where they hold at most MAX_ROW_VALUES values a row on average.
    Region references, compounds, wide arrays and lists of lists are left out, as are values stored in a way that is never decoded.

    Raises
    ------
    UnreadableFile : a column is not as long as the table, or its index contradicts it
    """
    columns: dict[str, pa.Array] = {}
    left_out: list[str] = []
    n_rows: int | None = length(group)
    for name in column_names(group):
        if name in skip:
            continue
        dataset = tree.member(group, name)
        if dataset is None:
            left_out.append(f"{name} (named, but not there)")
            continue
        if not tree.is_array(dataset) or not dataset.shape:
            continue
        if tree.unread(dataset):
            left_out.append(f"{name} (it {tree.unread(dataset)})")
            continue
        values = None
        if n_rows is None:
            tree.check_rows(dataset)
        if tree.member(group, f"{name}_index_index") is not None:
            pass  # a list of lists
        elif tree.member(group, f"{name}_index") is not None:
            values = _ragged(group, name, dataset, n_rows)
        elif n_rows is not None and dataset.shape[0] != n_rows:
            raise UnreadableFile(f"{group.file.filename}: {group.name}/{name} has {dataset.shape[0]} rows, the table {n_rows}")
        else:
            values = column(dataset)
        if values is None:
            left_out.append(name)
        else:
            columns[name] = values
            n_rows = len(values) if n_rows is None else n_rows
    return pa.table(columns), left_out


def length(group: tree.Group) -> int | None:
    """How many rows a DynamicTable has by its `id`, once that is believed; None without one."""
    ids = tree.member(group, "id")
    if not tree.is_array(ids) or not ids.shape:
        return None
    tree.check_rows(ids)
    return int(ids.shape[0])


def column_names(group: tree.Group) -> list[str]:
    """A DynamicTable's columns in its own order; its members where it does not list them."""
    if "colnames" in group.attrs:
        return [tree.text(c) for c in np.atleast_1d(group.attrs["colnames"])]
    return [n for n, _ in tree.members(group) if n != "id" and not n.endswith("_index")]


def _ragged(group: tree.Group, name: str, dataset: tree.Array, n_rows: int | None) -> pa.Array | None:
    if dataset.shape[0] > MAX_ROW_VALUES * max(n_rows or 0, 1):
        return None
    stops = ends(group, name, n_rows, dataset.shape[0])
    values = column(dataset)
    return None if values is None else pa.ListArray.from_arrays(pa.array(np.r_[0, stops], pa.int32()), values)


def ends(group: tree.Group, name: str, n_rows: int | None, n_values: int) -> np.ndarray:
    """The end offset of each row of the ragged column `name`: (row,) int64, checked.

    Raises
    ------
    UnreadableFile : there is no index, or it holds no integers, has another length than the table, runs backwards or past the values
    """
    where = f"{group.file.filename}: {group.name}/{name}_index"
    dataset = tree.member(group, f"{name}_index")
    if not tree.is_array(dataset) or dataset.shape is None:
        raise UnreadableFile(f"{where} is missing: nothing says which values of {name} are whose")
    if dataset.size and dataset.dtype.kind not in "iu":
        raise UnreadableFile(f"{where} holds {dataset.dtype}: its offsets must be integers")
    tree.check_rows(dataset)
    index = tree.values(dataset).astype(np.int64)
    if n_rows is not None and len(index) != n_rows:
        raise UnreadableFile(f"{where} has {len(index)} entries for {n_rows} rows")
    if len(index) and (index[0] < 0 or np.any(np.diff(index) < 0)):
        raise UnreadableFile(f"{where} runs backwards: its offsets must not decrease")
    if len(index) and index[-1] > n_values:
        raise UnreadableFile(f"{where} points to value {index[-1]}, but {name} holds {n_values}")
    return index


def column(dataset: tree.Array) -> pa.Array | None:
    """A dataset as an Arrow column, a row its first axis; None where it is no table column."""
    if not dataset.shape:
        return None
    width = int(np.prod(dataset.shape[1:], dtype=np.int64))
    if width > MAX_ROW_VALUES or (dataset.ndim > 1 and not width):
        return None
    flat = _flat(dataset)
    if flat is None:
        return None
    return flat if dataset.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, width)


def _flat(dataset: tree.Array) -> pa.Array | None:
    dtype = dataset.dtype
    if tree.is_reference(dataset):
        return pa.array([_name(tree.target(dataset.file, r)) for r in tree.values(dataset)], pa.string())
    if tree.is_text(dataset):
        return pa.array([tree.text(v) for v in tree.values(dataset)], pa.string())
    if dtype.kind in "iufb" and dtype.itemsize <= 8:
        values = tree.values(dataset)
        return pa.array(values.astype(np.float32 if dtype == np.float16 else dtype.newbyteorder("="), copy=False))
    return None


def _name(obj: Any) -> str | None:
    return obj.name.rsplit("/", 1)[-1] if obj is not None and obj.name else None


def is_text(table: pa.Table, name: str) -> bool:
    """Whether a table has a text column of that name."""
    return name in table.column_names and pa.types.is_string(table.schema.field(name).type)


def is_number(table: pa.Table, name: str) -> bool:
    """Whether a table has a column of that name that holds one number a row."""
    if name not in table.column_names:
        return False
    kind = table.schema.field(name).type
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def join(parts: list[pa.Table]) -> pa.Table:
    """Tables laid end to end; a column whose types cannot meet becomes text."""
    for name in dict.fromkeys(n for t in parts for n in t.column_names):
        kinds = [t.schema.field(name).type for t in parts if name in t.column_names]
        try:
            pa.unify_schemas([pa.schema([(name, k)]) for k in kinds], promote_options="permissive")
        except pa.ArrowException:
            parts = [_with_text(t, name) for t in parts]
    return pa.concat_tables(parts, promote_options="permissive")


def _with_text(table: pa.Table, name: str) -> pa.Table:
    if name not in table.column_names or pa.types.is_string(table.schema.field(name).type):
        return table
    values = [None if v is None else str(v) for v in table.column(name).to_pylist()]
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))
