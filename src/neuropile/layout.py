"""The store's format: file names, columns, encodings and the content digest, in one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuropile import markers, parquet, remote
from neuropile.errors import NotThere, StoreError, UnreadableFile
from neuropile.paths import sha256_file

FORMAT = "neuropile"
VERSION = 1
#: The versions that are read; each is described in docs/explain/format.md and kept as a small store in tests/data.
VERSIONS = (1,)
_NO_DIGEST = "0" * 64

STORE_FILE = "neuropile.json"
SESSION_FILE = "session.json"
SESSION_KIND = "neuropile session"
UNITS_FILE = "units.parquet"
SPIKES_FILE = "spikes.parquet"
CHANNELS_FILE = "channels.parquet"
SIGNALS_FOLDER = "signals.zarr"
INTERVALS_FOLDER = "intervals"
INDEX_FOLDER = "index"

#: A row group closes before it would hold more spikes than this, unless one unit alone does.
SPIKES_PER_ROW_GROUP = 65_536

#: The columns every units table begins with. Those about place are null where the source does not say:
#: depth_um is along the probe above its tip; x, y, z are the atlas' anterior-posterior, dorsal-ventral and
#: left-right axes.
UNIT_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("subject_id", pa.string()),
        pa.field("unit_id", pa.string()),
        pa.field("probe", pa.string()),
        pa.field("depth_um", pa.float64()),
        pa.field("x_um", pa.float64()),
        pa.field("y_um", pa.float64()),
        pa.field("z_um", pa.float64()),
        pa.field("region", pa.string()),
        pa.field("allen_id", pa.int64()),
        pa.field("allen", pa.string()),
        pa.field("beryl", pa.string()),
        pa.field("cosmos", pa.string()),
        pa.field("swanson", pa.string()),
        pa.field("quality", pa.string()),
        pa.field("quality_rule", pa.string()),
        pa.field("quantity", pa.string()),
        pa.field("n_spikes", pa.int64()),
        pa.field("rate_hz", pa.float64()),
    ]
)

#: The columns every table of channels begins with: as those of units; lateral_um is across the probe.
CHANNEL_SCHEMA = pa.schema(
    [
        pa.field("channel_id", pa.string()),
        pa.field("probe", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("depth_um", "lateral_um", "x_um", "y_um", "z_um")),
        pa.field("region", pa.string()),
        pa.field("allen_id", pa.int64()),
        *(pa.field(name, pa.string()) for name in ("allen", "beryl", "cosmos", "swanson")),
    ]
)

_TEXTS_OF_SOURCE = ("sha256", "url", "version", "digest")
_SOURCE_FILE = pa.struct([pa.field("path", pa.string()), pa.field("bytes", pa.int64()), *(pa.field(n, pa.string()) for n in _TEXTS_OF_SOURCE)])

SESSION_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("recording_id", pa.string()),
        pa.field("subject_id", pa.string()),
        pa.field("species", pa.string()),
        pa.field("duration_s", pa.float64()),
        pa.field("n_units", pa.int64()),
        pa.field("n_spikes", pa.int64()),
        pa.field("regions", pa.list_(pa.string())),
        pa.field("quantity", pa.string()),
        pa.field("ticks_per_s", pa.int64()),
        pa.field("clock", pa.string()),
        pa.field("span_source", pa.string()),
        pa.field("license", pa.string()),
        pa.field("citation", pa.string()),
        pa.field("sources", pa.list_(_SOURCE_FILE)),
        pa.field("recipe_hash", pa.string()),
        pa.field("content_digest", pa.string()),
        pa.field("set_aside", pa.string()),
        pa.field("status", pa.string()),
        pa.field("error", pa.string()),
    ]
)

#: The columns of SESSION_SCHEMA that neuropile did not write before 0.4.
_LATER = ("set_aside",)

#: Columns with one meaning whatever the source; a table has those its source can fill.
_SECONDS = pa.float64()
INTERVAL_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "trials": {
        **dict.fromkeys(("start_s", "stop_s", "stim_on_s", "stim_off_s", "go_cue_s", "first_move_s", "response_s", "feedback_s"), _SECONDS),
        "choice": pa.float64(),
        "contrast_left": pa.float64(),
        "contrast_right": pa.float64(),
        "p_left": pa.float64(),
        "correct": pa.bool_(),
        "reward_ul": pa.float64(),
        "offset_s": _SECONDS,  # on the clock of trials laid end to end: what was added to the trial's own times
    },
    "presentations": {
        "start_s": _SECONDS,
        "stop_s": _SECONDS,
        "stimulus": pa.string(),
        "block": pa.int64(),
        **dict.fromkeys(("is_blank", "is_omitted", "is_change"), pa.bool_()),
        **dict.fromkeys(("frame", "repeat"), pa.int64()),
        **dict.fromkeys(("is_sham_change", "is_active"), pa.bool_()),
        **dict.fromkeys(("orientation_deg", "direction_deg", "temporal_frequency_hz", "spatial_frequency_cpd", "phase", "contrast"), pa.float64()),
        **dict.fromkeys(("speed", "x_position_deg", "y_position_deg", "size_deg", "colour"), pa.float64()),
        **dict.fromkeys(("image_name", "image_set"), pa.string()),
    },
    "rewards": {"start_s": _SECONDS, "stop_s": _SECONDS, "reward_ul": pa.float64(), "is_auto": pa.bool_()},
    "observed": {"unit": pa.int32(), "start_tick": pa.int64(), "stop_tick": pa.int64(), "start_s": _SECONDS, "stop_s": _SECONDS},
}
_ANY_INTERVALS = {"start_s": _SECONDS, "stop_s": _SECONDS}


def conform_intervals(name: str, table: pa.Table) -> pa.Table:
    """A table of intervals with its canonical columns first and typed, every other column under `src_`."""
    canonical = INTERVAL_COLUMNS.get(name, _ANY_INTERVALS)
    if "stop_s" not in table.column_names:
        table = table.append_column("stop_s", pa.nulls(table.num_rows, _SECONDS))
    columns = {c: _cast(table.column(c), t, f"{name}.{c}") for c, t in canonical.items() if c in table.column_names}
    for c in table.column_names:
        if c not in canonical:
            columns[c if c.startswith("src_") else f"src_{c}"] = table.column(c)
    return pa.table(columns)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table of units or channels with every column of its schema first and typed (null where missing), others under `src_`."""
    columns = {}
    for field in schema:
        present = field.name in table.column_names
        columns[field.name] = _cast(table.column(field.name), field.type, field.name) if present else pa.nulls(table.num_rows, field.type)
    for c in table.column_names:
        if c not in columns:
            columns[c if c.startswith("src_") else f"src_{c}"] = table.column(c)
    return pa.table(columns)


def emptied(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """A table with some of its columns null throughout."""
    for name in names:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.nulls(table.num_rows, table.schema.field(at).type))
    return table


def _cast(column: pa.ChunkedArray, to: pa.DataType, name: str) -> pa.ChunkedArray:
    try:
        return column.cast(to)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
        raise UnreadableFile(f"column {name} should hold {to}, but: {e}") from None


def block_edges(first_tick: int, last_tick: int, ticks_per_s: int) -> np.ndarray:
    """The edges of the time blocks that spikes are stored in, whole multiples of the block length: (block + 1,) ticks.

    At most eight blocks up to 3.5 hours: a window then reads a small part of the file, one unit few pieces.
    Never more than about a thousand, however far apart a damaged file's times lie.
    """
    duration_s = (last_tick + 1 - first_tick) / ticks_per_s
    length = max(min(1800, max(300, ceil(duration_s / 700) * 100)), ceil(duration_s / 1000)) * ticks_per_s
    first, last = first_tick // length, last_tick // length
    return np.arange(first, last + 2, dtype=np.int64) * length


def spikes_writer(path: Path, tick_type: pa.DataType) -> AbstractContextManager[pq.ParquetWriter]:
    """A writer of (unit, tick) row groups: ticks as packed differences, units as a dictionary, both with min and max."""
    schema = pa.schema([pa.field("unit", pa.int32(), nullable=False), pa.field("tick", tick_type, nullable=False)])
    return parquet.writing(path, schema, compression="zstd", compression_level=3, use_dictionary=["unit"], column_encoding={"tick": "DELTA_BINARY_PACKED"})


def file_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file below a folder: size and SHA-256, of Parquet files the footer's and its length; of Zarr's shards, which check themselves, size alone."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".parquet":
            found[name] = parquet.facts(path)
        elif path.suffix in (".json", ".md"):
            found[name] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        else:
            found[name] = {"bytes": path.stat().st_size}
    return found


def file_problems(folder: Path, listed: Mapping[str, Mapping[str, Any]], marker: str) -> list[str]:
    """What is missing, cut, changed or unknown below a local folder, by what its marker lists."""
    problems = []
    present = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    for name, facts in listed.items():
        if name not in present:
            problems.append(f"{name} is missing")
            continue
        size = present[name].stat().st_size
        if size != facts["bytes"]:
            problems.append(f"{name} has {size} bytes, not {facts['bytes']}")
        elif "sha256" in facts and _digest_of(present[name]) != facts["sha256"]:
            problems.append(f"{name} is not as it was written")
    return problems + [f"{name} is not one of its files" for name in sorted(set(present) - set(listed) - {marker})]


def _digest_of(path: Path) -> str | None:
    """The digest that `file_facts` gives a file, or None where it has lost it."""
    try:
        return str(parquet.facts(path)["sha256"]) if path.suffix == ".parquet" else sha256_file(path)
    except (OSError, UnicodeDecodeError):
        return None


def write_json(value: Any, path: Path) -> None:
    """A value as readable JSON, the same bytes for the same value."""
    path.write_text(_json(value), encoding="utf-8")


def write_marker(value: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A marker as readable JSON with, last, the digest of its own text; returns what was written."""
    text = _with_digest(_json({**value, "sha256": _NO_DIGEST}))
    path.write_text(text, encoding="utf-8")
    return json.loads(text)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _with_digest(text: str) -> str:
    """The text of a marker with the digest that belongs to it: SHA-256 of the text with zeros in its place."""
    before, key, after = text.rpartition('"sha256": "')
    blank = f"{before}{key}{_NO_DIGEST}{after[64:]}"
    return f"{before}{key}{hashlib.sha256(blank.encode()).hexdigest()}{after[64:]}"


def read_marker(path: Any, kind: str, *, sealed: bool = True) -> dict[str, Any]:
    """A JSON marker of the expected kind and of a version this reads.

    sealed : whether it must carry the digest of its own text

    Raises
    ------
    FileNotFoundError : there is none
    StoreError : it is damaged, or of another kind or version
    """
    try:
        data = remote.read_bytes(path)
    except FileNotFoundError:
        raise
    except (OSError, ImportError) as e:
        raise StoreError(f"{path} cannot be read ({e})") from None
    try:
        text = data.decode("utf-8")
        marker = json.loads(text)
        found, version = marker["format"], marker["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise StoreError(f"{path} is not a {kind} marker ({e}); build it again or restore it from a copy") from None
    if found != kind:
        raise StoreError(f"{path} says it is {found!r}, not {kind!r}")
    if version not in VERSIONS:
        raise StoreError(f"{path.parent} was written in format {version!r}; this neuropile reads format {VERSION}: upgrade neuropile")
    if sealed and _with_digest(text) != text:
        raise StoreError(f"{path} is not as it was written: it was edited, or damaged; restore it from a copy or build it again")
    return marker


def read_session_marker(folder: Any) -> dict[str, Any]:
    """The marker of a session folder with everything in it that readers rely on, or StoreError."""
    path = folder / SESSION_FILE
    try:
        marker = read_marker(path, SESSION_KIND)
    except FileNotFoundError:
        raise NotThere(f"{folder} holds no finished session (no {SESSION_FILE}); build it again") from None
    wrong = markers.problem(markers.SessionMarker, marker)
    if wrong is not None:
        raise StoreError(f"{path} does not describe a session ({wrong}); build it again or restore it from a copy")
    names = [*marker["files"], *marker["signals"]]
    if any(not isinstance(n, str) or ".." in n.split("/") or n.startswith("/") for n in names):
        raise StoreError(f"{path} names files outside its folder; build it again or restore it from a copy")
    # what neuropile did not write before 0.4
    new = {"set_aside": marker.get("set_aside"), **{name: marker.get(name, {}) for name in ("linked", "absent", "filled")}}
    return marker | new | {"sources": [{**source, "digest": source.get("digest")} for source in marker["sources"]]}


def session_row(marker: Mapping[str, Any]) -> pa.Table:
    """A finished session's row of the index, from its marker."""
    row = {name: marker.get(name) for name in SESSION_SCHEMA.names} | {"status": "complete", "error": None}
    return pa.Table.from_pylist([row], schema=SESSION_SCHEMA)


def conform_sessions(table: pa.Table) -> pa.Table:
    """An index of sessions, or a part of one, with the columns of today, null where an older neuropile did not write them.

    Raises
    ------
    ValueError, ArrowException : it has other columns than an index of sessions
    """
    for name in _LATER:
        at = SESSION_SCHEMA.get_field_index(name)
        if name not in table.column_names:
            table = table.add_column(min(at, table.num_columns), SESSION_SCHEMA.field(at), pa.nulls(table.num_rows, SESSION_SCHEMA.field(at).type))
    sources = SESSION_SCHEMA.get_field_index("sources")
    if table.column_names == SESSION_SCHEMA.names and table.schema.field(sources).type != SESSION_SCHEMA.field(sources).type:
        known = pa.array(table.column(sources).to_pylist(), SESSION_SCHEMA.field(sources).type)
        table = table.set_column(sources, SESSION_SCHEMA.field(sources), known)
    return table.cast(SESSION_SCHEMA)
