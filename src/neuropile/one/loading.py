"""What lies in ALF files: one file's content, and the files of one object put together."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.one.errors import ALFMultipleObjectsFound, shown
from neuropile.readers import npy
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf.grammar import Dataset, natural

if TYPE_CHECKING:
    import pandas as pd

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".htsv": "\t", ".ssv": " "}
_PARQUET = (".pqt", ".parquet")
_LOADED = (".npy", ".json", *_PARQUET, *_DELIMITERS)
#: Text and Parquet files are read whole; larger ones, and tables that announce far more than their bytes hold, are not.
_MAX_TEXT_BYTES = 1 << 28
_MANY_CELLS = 10_000_000
#: What lies between trials is there once less than they are: nothing to warn of.
_ONE_SHORT = "itiDuration"
_log = logging.getLogger(__name__)


def content(path: Path) -> Any:
    """What is in a file: an array (.npy, mapped into memory, read-only; a single column as one row of numbers), a data frame
    or series (.pqt, .csv, .tsv, .ssv), a value (.json); of any other file its path.

    Raises
    ------
    UnreadableFile : it is damaged, of an absurd size, or holds Python objects
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        found = npy.load(path)
        return found.reshape(-1) if found.ndim == 2 and found.shape[1] == 1 else found
    if suffix in _PARQUET:
        return _parquet(path)
    if suffix in _DELIMITERS:
        return _delimited(path, _DELIMITERS[suffix])
    return _json(path) if suffix == ".json" else path


def _parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq

    size = path.stat().st_size
    try:
        with pq.ParquetFile(path) as file:
            rows, n_columns = file.metadata.num_rows, max(file.metadata.num_columns, 1)
            if rows * n_columns > max(_MANY_CELLS, size):
                raise UnreadableFile(f"{path}: announces {rows} rows of {n_columns} columns in {size} bytes: it is damaged; fetch it again")
            return file.read().to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as e:
        raise UnreadableFile(f"{path}: not a readable Parquet file ({(str(e).splitlines() or ['no reason given'])[0]}); fetch it again") from None


def _delimited(path: Path, delimiter: str) -> pd.DataFrame | pd.Series:
    import pandas as pd

    _check_size(path)
    try:
        return pd.read_csv(path, delimiter=delimiter).squeeze("columns")
    except (ValueError, pd.errors.ParserError) as e:
        raise UnreadableFile(f"{path}: not a readable table ({e}); fetch it again") from None


def _json(path: Path) -> Any:
    _check_size(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise UnreadableFile(f"{path}: not readable as JSON ({e}); fetch it again") from None


def _check_size(path: Path) -> None:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise UnreadableFile(f"{path}: {path.stat().st_size} bytes of text are too many to be read whole")


def whole(datasets: Sequence[Dataset]) -> dict[str, Any]:
    """One ALF object: the content of each of its files, by attribute (with its timescale).

    The attribute `table` becomes one entry a column and wins over files of the same name; columns `x_0` and `x_1` become
    one `x` (n, 2). Parts of an attribute are laid end to end in the order of their names. `x.metadata.json` names the
    columns of x, which then are entries. `timestamps` that are points of (sample, time) become a time a sample. Files that
    are not loaded are paths.

    datasets : the files, with absolute paths; all of one object, one revision of each

    Raises
    ------
    UnreadableFile : a file is damaged, or parts do not fit together
    ALFMultipleObjectsFound : an attribute lies there in several namespaces or formats
    """
    notes = {d.key: d for d in datasets if _is_metadata(d)}
    found: dict[str, Any] = {}
    for key, files in sorted(_by_key([d for d in datasets if not _is_metadata(d)]).items()):
        value = _value(files)
        named = _json(notes[key].path) if key in notes else {}
        names = named.get("columns") if isinstance(named, dict) else None
        if names is not None and isinstance(value, np.ndarray) and value.ndim > 1 and len(names) == value.shape[-1]:
            found |= {str(n): value[..., i] for i, n in enumerate(names)}
            named = {k: v for k, v in named.items() if k != "columns"}
        else:
            found[key] = value
        if named:
            found[f"{key}metadata"] = named
    for key in [k for k in found if k == "table" or k.startswith("table_")]:
        found |= _columns(found.pop(key), key.removeprefix("table"))
    return _with_times(found)


def _is_metadata(d: Dataset) -> bool:
    return d.extension == "json" and d.extra.split(".")[-1] == "metadata"


def _by_key(datasets: Sequence[Dataset]) -> dict[str, list[Dataset]]:
    """Files by what they are called in the object: those that are loaded together under one name, of the rest each its own."""
    groups: dict[str, list[Dataset]] = {}
    for d in datasets:
        groups.setdefault(d.key, []).append(d)
    found = {}
    for key, files in groups.items():
        loaded = [d for d in files if d.path.suffix.lower() in _LOADED]
        kinds = {(d.namespace, d.extension) for d in loaded}
        if len(kinds) > 1:
            told = shown(d.path.name for d in loaded)
            raise ALFMultipleObjectsFound(f"{key} of {files[0].object} is {told}; say which with namespace= or extension=")
        if loaded:
            found[key] = sorted(loaded, key=lambda d: natural(d.path.name))
        for d in sorted((d for d in files if d not in loaded), key=lambda d: str(d.path.name)):
            own = ".".join(filter(None, (key, d.extra)))
            found[own if own not in found else f"{own}.{d.extension}"] = [d]
    return found


def _value(files: Sequence[Dataset]) -> Any:
    if len(files) == 1:
        return content(files[0].path)
    if files[0].path.suffix.lower() == ".npy":
        joined = alf_columns.array(files)
        return joined.reshape(-1) if joined.ndim == 2 and joined.shape[1] == 1 else joined
    if files[0].path.suffix.lower() == ".json":
        return [content(d.path) for d in files]
    import pandas as pd

    return pd.concat([content(d.path) for d in files], ignore_index=True)


def _columns(table: Any, clock: str) -> dict[str, Any]:
    """A table's columns as arrays; `clock`, such as `_bpod`, is added to each name."""
    if not hasattr(table, "to_frame") and not hasattr(table, "columns"):
        return {f"table{clock}": table}
    frame = table.to_frame() if hasattr(table, "to_frame") and not hasattr(table, "columns") else table
    names = [str(n) for n in frame.columns]
    found: dict[str, Any] = {}
    for i, name in enumerate(names):
        stem, end = name[:-2], name[-2:]
        if end in ("_0", "_1") and stem and f"{stem}_0" in names and f"{stem}_1" in names:
            if end == "_0":
                found[f"{stem}{clock}"] = np.column_stack([frame.iloc[:, i], frame.iloc[:, names.index(f"{stem}_1")]])
        else:
            found[f"{name}{clock}"] = frame.iloc[:, i].to_numpy()
    return found


def _with_times(found: dict[str, Any]) -> dict[str, Any]:
    """An object whose time stamps are a time a sample; what does not fit the rest is logged and kept."""
    lengths = {k: len(v) for k, v in found.items() if hasattr(v, "shape") and not k.startswith("timestamps") and len(v.shape)}
    for key in [k for k in found if k.startswith("timestamps") and isinstance(found[k], np.ndarray) and found[k].ndim == 2 and found[k].shape[1] == 2]:
        if lengths:
            points = np.asarray(found[key], np.float64)
            found[key] = np.interp(np.arange(next(iter(lengths.values()))), points[:, 0], points[:, 1])
    lengths = {k: len(v) for k, v in found.items() if hasattr(v, "shape") and len(v.shape)}
    told = ", ".join(f"{k} {n}" for k, n in lengths.items())
    if _ONE_SHORT in lengths and lengths[_ONE_SHORT] + 1 in lengths.values():
        del lengths[_ONE_SHORT]
    if len(set(lengths.values()) - {1}) > 1:
        _log.warning("lengths differ: %s", told)
    return found


def relocated(dataset: Dataset, path: Path) -> Dataset:
    """A dataset at another path: the name it has on disk may carry a UUID."""
    return Dataset(**{**vars(dataset), "path": path})


def as_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row an entry of an object, for people: name, type, shape, first values."""
    rows = []
    for name, value in found.items():
        shape = list(getattr(value, "shape", ()))
        first = str(value) if isinstance(value, Path) else np.asarray(value).reshape(-1)[:3].tolist() if shape else value
        rows.append({"name": name, "type": str(getattr(value, "dtype", type(value).__name__)), "shape": shape, "first": first})
    return rows
