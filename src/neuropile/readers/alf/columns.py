"""The attributes of one ALF object as columns: arrays and tables together, those that do not fit left out with a note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers import npy
from neuropile.readers.alf import tables as alf_tables
from neuropile.readers.alf.files import Attributes
from neuropile.readers.alf.grammar import METADATA, Dataset


def read(attributes: Attributes, notes: list[str]) -> dict[str, dict[str, pa.Array]]:
    """The columns of each attribute that has any, by its own name for arrays and by their own for tables.

    What is damaged is noted and left out.
    """
    found = {}
    for attribute, files in attributes.items():
        if attribute.endswith(f".{METADATA}"):
            continue
        try:
            columns = _attribute(attribute, files, attributes.get(f"{attribute}.{METADATA}", []))
        except UnreadableFile as e:
            notes.append(f"left out: {relative(e, files)}")
            continue
        if columns:
            found[attribute] = columns
    return found


def relative(error: Exception, files: Sequence[Dataset]) -> str:
    """An error's words with the names of files, not their paths: notes are kept where paths mean nothing."""
    text = str(error)
    for d in files:
        text = text.replace(str(d.path), d.path.name)
    return text


def _attribute(attribute: str, files: Sequence[Dataset], metadata: Sequence[Dataset]) -> dict[str, pa.Array]:
    if files[0].path.suffix.lower() == ".npy":
        if not all(alf_tables.is_narrow(npy.header(d.path)) for d in files):
            return {}
        values = array(files)
        names = _names(metadata, values.shape[1]) if values.ndim == 2 else None
        column = alf_tables.from_array(values) if names is None else None
        apart = {} if names is None else {n: alf_tables.from_array(values[:, i]) for i, n in enumerate(names)}
        return {n: c for n, c in ({attribute: column} | apart).items() if c is not None}
    tables = [pa.table(alf_tables.read(d.path)) for d in files]
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as e:
        raise UnreadableFile(f"{files[0].path}: its parts do not fit together ({e})") from None
    columns = {n: table.column(n).combine_chunks() for n in table.column_names}
    if list(columns) == [""] and files[0].extension.lower() in ("json", "yaml", "yml"):
        return {attribute: columns[""]}
    return {n: c for n, c in columns.items() if not n.startswith("Unnamed")}


def _names(metadata: Sequence[Dataset], n_columns: int) -> list[str] | None:
    """The names that a metadata file gives a matrix's columns, where it names as many."""
    found = alf_tables.document(metadata[0].path) if metadata else None
    names = found.get("columns") if isinstance(found, dict) else None
    fits = isinstance(names, list) and len(names) == n_columns and len({str(n) for n in names}) == n_columns
    return [str(n) for n in names] if fits and isinstance(names, list) else None


def array(files: Sequence[Dataset]) -> np.ndarray:
    """An attribute's array, its parts laid end to end.

    Raises
    ------
    UnreadableFile : a part is damaged, or they do not fit together
    """
    parts = [npy.load(d.path) for d in files]
    if len({(p.shape[1:], p.dtype.kind in "US") for p in parts}) > 1:
        raise UnreadableFile(f"{files[0].path}: its {len(parts)} parts have shapes {', '.join(str(p.shape) for p in parts)}: they do not fit together")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def vector(files: Sequence[Dataset]) -> np.ndarray:
    """An attribute's one row of numbers, its parts laid end to end; see npy.vector."""
    parts = [npy.vector(d.path) for d in files]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def common_length(columns: dict[str, dict[str, pa.Array]], first: Sequence[str]) -> int | None:
    """How many rows an object has: as many as most of its attributes, those of `first` deciding a tie; None without any."""
    lengths = {a: len(next(iter(c.values()))) for a, c in columns.items()}
    if not lengths:
        return None
    if "table" in lengths:  # what stands in a table goes before single files, which a revision of it may have left behind
        return lengths["table"]
    votes = Counter(lengths.values())
    most = max(votes.values())
    order = [*(a for a in first if a in lengths), *lengths]
    return next(lengths[a] for a in order if votes[lengths[a]] == most)


def flat(columns: dict[str, dict[str, pa.Array]], n_rows: int, what: str, notes: list[str]) -> dict[str, pa.Array]:
    """The columns of all attributes that have as many rows as the object; those that do not are noted.

    The attribute `table` wins over single files of the same name; another table's column that meets one carries its
    attribute's name before its own.
    """
    found: dict[str, pa.Array] = {}
    for attribute in sorted(columns, key=lambda a: a != "table"):
        for name, column in columns[attribute].items():
            if len(column) != n_rows:
                notes.append(f"{what}.{name} has {len(column)} rows for {n_rows} {what} and is left out")
            elif not name:  # the unnamed index that table writers leave
                continue
            elif name not in found:
                found[name] = column
            elif name != attribute and attribute != "table":
                found.setdefault(f"{attribute}_{name}", column)
    return found


def matrix(column: pa.Array | None) -> np.ndarray | None:
    """A column of short lists of numbers as an array (row, number), float64; None where it is none."""
    if column is None or not pa.types.is_fixed_size_list(column.type):
        return None
    return np.asarray(column.values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)).reshape(len(column), column.type.list_size)


def number(columns: dict[str, pa.Array], *names: str) -> np.ndarray | None:
    """The first of the named columns that holds numbers, as float64; None without one."""
    found = (alf_tables.numbers(columns[n]) for n in names if n in columns)
    return next((v for v in found if v is not None), None)


def nullable(values: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    """Numbers as a column that is null where they are NaN."""
    return pa.array(values, kind or pa.float64(), from_pandas=True)


def real_vector(attributes: Attributes, name: str, notes: list[str]) -> np.ndarray | None:
    """An attribute's one row of numbers as float64, or None without it; a damaged one is noted."""
    files = attributes.get(name, [])
    if not files or files[0].path.suffix.lower() != ".npy":
        return None
    try:
        return np.asarray(vector(files), np.float64)
    except UnreadableFile as e:
        notes.append(f"left out: {relative(e, files)}")
        return None
