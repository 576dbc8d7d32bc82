"""ONE's cache tables on disk: read with their older forms put right, and written so that ONE reads them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuropile.one import ids
from neuropile.one.errors import ALFError
from neuropile.paths import replacing
from neuropile.searching import QC

if TYPE_CHECKING:
    import pandas as pd

#: What each table is indexed by, what it must have, and what is filled where it is missing.
INDEX = {"sessions": ["id"], "datasets": ["eid", "id"], "insertions": ["eid", "id"]}
_NEEDED = {"sessions": ("subject", "date", "number"), "datasets": ("rel_path",), "insertions": ("name",)}
_FILLED: dict[str, dict[str, Any]] = {
    "sessions": {"lab": "", "task_protocol": "", "projects": ""},
    "datasets": {"file_size": None, "hash": "", "exists": True, "qc": "NOT_SET"},
    "insertions": {},
}
_ORDER = {
    "sessions": ("lab", "subject", "date", "number", "task_protocol", "projects"),
    "datasets": ("rel_path", "file_size", "hash", "exists", "qc"),
    "insertions": ("name",),
}
_METADATA = b"one_metadata"
#: A table of more rows than this must have a byte for every few of them.
_MANY_ROWS = 1_000_000
_MAX_ROWS_PER_BYTE = 16


@dataclass(frozen=True)
class Tables:
    """The tables of a cache.

    sessions : a row a session, indexed by id: lab, subject, date, number, task_protocol, projects
    datasets : a row a file, indexed by (eid, id): rel_path from the session's folder, file_size, hash, exists, qc
    insertions : a row a probe, indexed by (eid, id): name
    metadata : what each file says of itself (date_created, origin, min_api_version), by table
    notes : imperfections, one sentence each
    """

    sessions: pd.DataFrame
    datasets: pd.DataFrame
    insertions: pd.DataFrame
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(root: Path) -> Tables | None:
    """The tables in a folder; None where there are none.

    Raises
    ------
    ALFError : one is damaged or not of its kind, one lies there without the other, or another Parquet file among them
    """
    paths = {name: root / f"{name}.pqt" for name in INDEX}
    present = [name for name, path in paths.items() if path.is_file()]
    _refuse_foreign(root, present)
    if not present:
        return None
    missing = [name for name in ("sessions", "datasets") if name not in present]
    if missing:
        raise ALFError(f"{root} holds {present[0]}.pqt without {missing[0]}.pqt; put it there, or move the tables away and the folder is walked")
    notes: list[str] = []
    frames, metadata = {}, {}
    for name, path in paths.items():
        if name in present:
            frames[name], metadata[name] = _read(name, path, notes)
        else:
            frames[name] = frame(name, {c: [] for c in (*INDEX[name], *_ORDER[name])})
    return Tables(frames["sessions"], frames["datasets"], frames["insertions"], metadata, tuple(notes))


def _refuse_foreign(root: Path, present: list[str]) -> None:
    """ONE stops at a Parquet file among its tables that is none, and does not say at which."""
    for path in sorted(root.glob("*.pqt")):
        if path.stem in present or not path.is_file():
            continue
        with _opened(path) as file:
            if "date_created" not in _metadata(file):
                raise ALFError(f"{path} lies among the tables and is none (ONE has sessions, datasets, insertions): move it elsewhere")


def _opened(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as e:
        raise ALFError(f"{path} is not a readable Parquet file ({(str(e).splitlines() or ['no reason'])[0]}); fetch it again, or move it elsewhere") from None
    if file.metadata.num_rows > _MANY_ROWS + _MAX_ROWS_PER_BYTE * path.stat().st_size:
        raise ALFError(f"{path} announces {file.metadata.num_rows} rows in {path.stat().st_size} bytes: it is damaged; fetch it again")
    return file


def _metadata(file: pq.ParquetFile) -> dict[str, Any]:
    try:
        found = json.loads((file.schema_arrow.metadata or {}).get(_METADATA, b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _read(name: str, path: Path, notes: list[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    with _opened(path) as file:
        metadata = _metadata(file)
        try:
            table = file.read()
        except (pa.ArrowException, OSError, ValueError) as e:
            raise ALFError(f"{path} is damaged ({(str(e).splitlines() or ['no reason'])[0]}); fetch it again") from None
    columns = {n: table.column(n) for n in dict.fromkeys(table.column_names)}
    columns = _with_ids(columns, path)
    if name == "sessions" and "projects" not in columns and "project" in columns:
        columns["projects"] = columns.pop("project")
    lacking = [c for c in (*INDEX[name], *_NEEDED[name]) if c not in columns]
    if lacking:
        raise ALFError(f"{path} is no table of {name}: it lacks {', '.join(lacking)} (it has {', '.join(table.column_names)}); move it elsewhere")
    if "date_created" not in metadata:
        notes.append(f"{path.name} does not say when it was made: ONE would ignore it")
    try:
        found = frame(name, {n: _values(c) for n, c in columns.items()})
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as e:
        raise ALFError(f"{path} does not hold what a table of {name} holds ({(str(e).splitlines() or ['no reason'])[0]})") from None
    if name == "sessions" and found.index.has_duplicates:
        raise ALFError(f"{path} lists session {found.index[found.index.duplicated()][0]} twice")
    return found, metadata


def _with_ids(columns: dict[str, Any], path: Path) -> dict[str, Any]:
    """Columns with ids as text: pairs `id_0`, `id_1` of int64 put together, an index that has no name taken for the id."""
    for name in ("id", "eid"):
        pair = [columns.pop(f"{name}_{i}", None) for i in (0, 1)]
        if pair[0] is not None and pair[1] is not None and name not in columns:
            if not all(pa.types.is_integer(p.type) and not p.null_count for p in pair):
                raise ALFError(f"{path}: {name}_0 and {name}_1 are not the whole numbers that an id is made of")
            columns[name] = pa.chunked_array([ids.from_int64(pair[0].to_numpy(), pair[1].to_numpy())])
    unnamed = [c for c in columns if c.startswith("__index_level_")]
    if "id" not in columns and len(unnamed) == 1:
        columns["id"] = columns.pop(unnamed[0])
    return {n: c for n, c in columns.items() if not n.startswith("__index_level_")}


def _values(column: pa.ChunkedArray) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type) and column.null_count:
        return column.to_pandas(types_mapper={pa.uint64(): _nullable()}.get) if pa.types.is_uint64(column.type) else column.to_pylist()
    return column.to_pandas()


def _nullable() -> Any:
    import pandas as pd

    return pd.UInt64Dtype()


def frame(name: str, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A table with its columns typed, those that it may lack filled, and its index sorted."""
    import pandas as pd

    found = pd.DataFrame(dict(columns))
    for column, value in _FILLED[name].items():
        if column not in found:
            found[column] = value
    for column in INDEX[name]:
        found[column] = [str(v).lower() for v in found[column].astype(object)]
    for column in ("lab", "subject", "task_protocol", "projects", "rel_path", "hash", "name", "session_path"):
        if column in found:
            found[column] = found[column].astype(object).where(found[column].notna(), "").map(str).astype(object)
    if name == "sessions":
        days = {v: pd.Timestamp(v).date() for v in set(found["date"])}
        found["date"] = pd.Series([days[v] for v in found["date"]], dtype=object, index=found.index)
        if not found["number"].between(0, np.iinfo(np.uint16).max).all():
            raise ValueError("a number of a session below 0, or far above what a day has")
        found["number"] = found["number"].astype(np.uint16)
    if name == "datasets":
        found["file_size"] = found["file_size"].astype("UInt64")
        found["exists"] = found["exists"].fillna(False).astype(bool)
        known = {v: v if v in QC else "NOT_SET" for v in found["qc"].unique()}
        found["qc"] = pd.Categorical([known.get(v, "NOT_SET") for v in found["qc"].astype(object)], categories=list(QC), ordered=True)
    if "default_revision" in found:
        found["default_revision"] = [str(v) == "True" for v in found["default_revision"]]  # in some tables it is text
    others = [c for c in found.columns if c not in (*_ORDER[name], *INDEX[name])]
    return found.set_index(INDEX[name])[[*_ORDER[name], *others]].sort_index()


def write(tables: Tables, folder: Path, origin: str, created: datetime.datetime) -> list[Path]:
    """The tables as ONE reads them; returns their paths.

    Raises
    ------
    ALFError : the folder cannot be written
    """
    metadata = {"date_created": created.isoformat(sep=" ", timespec="minutes"), "origin": origin, "min_api_version": "2.7.0"}
    written = []
    for name in INDEX:
        table = pa.Table.from_pandas(_as_one_has_it(getattr(tables, name)), preserve_index=True)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _METADATA: json.dumps(metadata).encode()})
        try:
            with replacing(folder / f"{name}.pqt") as temporary:
                pq.write_table(table, temporary)
        except OSError as e:
            raise ALFError(f"{folder} cannot be written ({e.strerror or e}); name another folder for the tables") from None
        written.append(folder / f"{name}.pqt")
    return written


def _as_one_has_it(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[c for c in ("session_path",) if c in table])
