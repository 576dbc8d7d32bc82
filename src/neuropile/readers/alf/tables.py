"""The small tables that lie beside spike arrays: Parquet, delimited text and JSON into columns, their size believed first."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile.errors import UnreadableFile
from neuropile.readers import npy

SUFFIXES = (".npy", ".pqt", ".parquet", ".csv", ".tsv", ".htsv", ".ssv", ".json", ".yaml", ".yml")
#: Arrays of at most this many values a row become columns; wider ones are no table columns.
MAX_ROW_VALUES = 64
#: A Parquet table of more cells than this must lie in a file of as many bytes.
_MANY_CELLS = 10_000_000
_MAX_TEXT_BYTES = 1 << 28
#: Real tables are some ten times as long unpacked.
_MOST_PACKED = 1000
_MAX_DOCUMENT_BYTES = 1 << 24
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".htsv": "\t", ".ssv": " "}


def read(path: Any) -> dict[str, pa.Array]:
    """The columns of a table file that hold one number, truth value or text a row; a list without a name is called "".

    Raises
    ------
    UnreadableFile : damaged, of an absurd size, or of unequal rows
    """
    suffix = str(path.suffix).lower()
    if suffix in (".json", ".yaml", ".yml"):
        return _listed(document(path))
    return _parquet(path) if suffix in (".pqt", ".parquet") else _delimited(path, _DELIMITERS.get(suffix, ","))


def document(path: Any) -> Any:
    """What a JSON or YAML file holds, as plain lists, mappings, numbers and texts.

    Raises
    ------
    UnreadableFile : damaged, or of an absurd size
    """
    size = int(path.stat().st_size)
    if size > _MAX_DOCUMENT_BYTES:
        raise UnreadableFile(f"{path}: {size} bytes of {path.suffix}: too many for a description")
    text = path.read_bytes().decode("utf-8-sig", "replace")
    try:
        found = json.loads(text) if str(path.suffix).lower() == ".json" else _yaml(text, path)
        json.dumps(found, ensure_ascii=False, default=str).encode()  # nested without end, or half a character: it could not be kept
    except (ValueError, TypeError, RecursionError) as e:
        raise UnreadableFile(f"{path}: not readable {'JSON' if str(path.suffix).lower() == '.json' else 'YAML'} ({e}); fetch it again") from None
    return found


def _yaml(text: str, path: Any) -> Any:
    import yaml  # type: ignore[import-untyped]  # comes with dask

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):  # a few lines of them make gigabytes
            raise UnreadableFile(f"{path}: holds YAML aliases, which are not read; write the values out")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise UnreadableFile(f"{path}: not readable YAML ({(str(e).splitlines() or ['no reason given'])[0]}); fetch it again") from None


def _listed(found: Any) -> dict[str, pa.Array]:
    """The columns of a list of values, of a list of records or of a mapping of lists; none of anything else."""
    if isinstance(found, list) and found and all(isinstance(r, dict) for r in found):
        found = {n: [r.get(n) for r in found] for n in dict.fromkeys(n for r in found for n in r)}
    elif isinstance(found, list):
        found = {"": found}
    columns = {}
    for name, values in found.items() if isinstance(found, dict) else ():
        try:
            column = _plain(pa.array(values)) if isinstance(values, list) and values else None
        except (pa.ArrowException, OverflowError):  # a list of several kinds of things
            column = None
        if column is not None:
            columns[str(name)] = column
    return columns


def _parquet(path: Any) -> dict[str, pa.Array]:
    import pyarrow.parquet as pq

    size = int(path.stat().st_size)
    try:
        with path.open("rb") as f, pq.ParquetFile(f) as file:
            meta = file.metadata
            if meta.num_rows * max(meta.num_columns, 1) > max(_MANY_CELLS, size):
                raise UnreadableFile(f"{path}: announces {meta.num_rows} rows of {meta.num_columns} columns in {size} bytes: it is damaged; fetch it again")
            groups = (meta.row_group(i) for i in range(meta.num_row_groups))
            unpacked = sum(group.column(i).total_uncompressed_size for group in groups for i in range(group.num_columns))
            if unpacked > max(_MAX_TEXT_BYTES, _MOST_PACKED * size):
                raise UnreadableFile(f"{path}: {size} bytes hold {unpacked}: it is damaged, or a trap; fetch it again")
            texts = [f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        with path.open("rb") as f, pq.ParquetFile(f, read_dictionary=texts) as file:
            table = file.read()
            _check_texts(table, path)
    except (pa.ArrowException, OSError, MemoryError, ValueError, KeyError, TypeError) as e:
        reason = (str(e).splitlines() or ["no reason given"])[0]
        raise UnreadableFile(f"{path}: not a readable Parquet file ({reason}); fetch it again") from None
    found = {n: _plain(table.column(n).combine_chunks()) for n in dict.fromkeys(table.column_names) if table.column_names.count(n) == 1}
    return {n: c for n, c in found.items() if c is not None and not n.startswith("__index_level_")}


def _check_texts(table: pa.Table, path: Any) -> None:
    """Refuse texts that stand for few bytes in a file, being the same in each row, and would take very many here."""
    for column in table.columns:
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            n = pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
            if n > _MAX_TEXT_BYTES:
                raise UnreadableFile(f"{path}: a column of texts takes {n} bytes: it is damaged, or a trap; fetch it again")


def _plain(column: pa.Array) -> pa.Array | None:
    """A column of numbers, truth values or text; None where it is of anything else."""
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_float16(kind):
        return column.cast(pa.float32())
    return column if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind) else None


def _delimited(path: Any, delimiter: str) -> dict[str, pa.Array]:
    """A text table; a tab in its first line says it is one of tabs, whatever its name."""
    if int(path.stat().st_size) > _MAX_TEXT_BYTES:
        raise UnreadableFile(f"{path}: {path.stat().st_size} bytes of text: too many for a table of units or trials")
    text = path.read_bytes().decode("utf-8-sig", "replace")
    first = text.partition("\n")[0]
    delimiter = next((d for d in ("\t", delimiter, ",", ";") if d in first), delimiter)
    try:
        rows = [r for r in csv.reader(io.StringIO(text), delimiter=delimiter) if r]
    except csv.Error as e:
        raise UnreadableFile(f"{path}: not a readable table ({e})") from None
    if not rows:
        return {}
    names, body = [n.strip() for n in rows[0]], rows[1:]
    bad = next((i for i, r in enumerate(body) if len(r) != len(names)), None)
    if bad is not None:
        raise UnreadableFile(f"{path}: row {bad + 1} has {len(body[bad])} fields, its header {len(names)}")
    return {n: typed([r[i] for r in body]) for i, n in enumerate(names)}


def typed(texts: list[str]) -> pa.Array:
    """Texts as whole numbers where all are, else as numbers, else as they are; empty ones are missing.

    >>> typed(["1", "", "3"]).type, typed(["1", "nan"]).type, typed(["good", ""]).to_pylist()
    (DataType(int64), DataType(double), ['good', None])
    """
    values = [t.strip() or None for t in texts]
    kinds: tuple[tuple[Callable[[str], float], pa.DataType], ...] = ((_whole, pa.int64()), (_number, pa.float64()))
    for convert, kind in kinds:
        try:
            return pa.array([None if v is None else convert(v) for v in values], kind)
        except (ValueError, OverflowError, pa.ArrowInvalid):
            continue
    return pa.array(values, pa.string())


def _whole(text: str) -> int:
    if len(text) > 20 or "_" in text:
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    if "_" in text:
        raise ValueError(text)
    return float(text)


def from_array(values: np.ndarray) -> pa.Array | None:
    """An array as a column, a row its first axis: numbers, truth values, text, or short lists of numbers; None where it is none."""
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    if not values.ndim or width > MAX_ROW_VALUES or not width:
        return None
    if values.dtype.kind in "US" and width == 1:
        return pa.array([v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values.reshape(-1).tolist()], pa.string())
    if values.dtype.kind not in "iufb" or values.dtype.itemsize > 8:
        return None
    wide = np.float32 if values.dtype == np.float16 else values.dtype.newbyteorder("=")
    flat = pa.array(np.ascontiguousarray(values, wide).reshape(-1))
    return flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)


def is_narrow(head: npy.Header) -> bool:
    """Whether an array, by its header, could be a column: nothing of its values is read to tell."""
    return bool(head.shape) and 0 < int(np.prod(head.shape[1:], dtype=np.float64)) <= MAX_ROW_VALUES and head.dtype.kind in "iufbUS"


def numbers(column: pa.Array) -> np.ndarray | None:
    """A column of numbers as float64, NaN where one is missing; None where it holds anything else."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        return None
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def texts(column: pa.Array) -> list[str | None] | None:
    """A column of text as a list; None where it holds anything else."""
    return column.to_pylist() if pa.types.is_string(column.type) else None
