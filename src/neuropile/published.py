"""Published rows as values: a segment to and from its Parquet row, sparse (gap bytes) or dense (lists of counts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile import kernels
from neuropile.errors import CountOverflow

LAYOUTS = ("sparse", "dense")
MARKER = "pile.json"
MARKER_KIND = "neuropile published pile"
DATA_FOLDER = "data"
SEGMENTS_FILE = "segments.parquet"
SPARSE_ROWS_PER_GROUP = 32
#: A dense row group holds at most this many counts (bytes before compression), or one row.
DENSE_BYTES_PER_GROUP = 64_000_000

_RUN = pa.struct([pa.field("unit", pa.int32()), pa.field("start_bin", pa.int64()), pa.field("stop_bin", pa.int64())])
FACTS = pa.schema(
    [
        pa.field("source_dataset", pa.string()),
        pa.field("species", pa.string()),
        pa.field("quantity", pa.string()),
        pa.field("subject_id", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("recording_id", pa.string()),
        pa.field("segment_id", pa.string()),
        pa.field("start_s", pa.float64()),
        pa.field("bin_width_s", pa.float64()),
        pa.field("n_units", pa.int32()),
        pa.field("n_bins", pa.int64()),
    ]
)
_LISTS = [pa.field("unit_ids", pa.list_(pa.string())), pa.field("regions", pa.list_(pa.string())), pa.field("observed", pa.list_(_RUN))]
_ORDER = pa.field("order", pa.list_(pa.int32()))
SPARSE_SCHEMA = pa.schema([*FACTS, *_LISTS, pa.field("gaps", pa.list_(pa.binary())), _ORDER])
DENSE_SCHEMA = pa.schema(
    [
        pa.field("spike_counts", pa.list_(pa.list_(pa.uint8()))),
        *(pa.field(n, pa.string()) for n in ("subject_id", "session_id", "segment_id", "source_dataset")),
    ]
)
_WHERE = [pa.field("split", pa.string()), pa.field("file", pa.string()), pa.field("row_group", pa.int32())]
#: What every folder keeps beside its rows, so that it opens by two files however many it has: what each row is, and where.
ROWS_SCHEMA = pa.schema([*FACTS, *_WHERE])
#: What a dense folder keeps there: everything of the sparse rows but the events.
SEGMENTS_SCHEMA = pa.schema([*FACTS, *_LISTS, *_WHERE])


@dataclass(frozen=True)
class Row:
    """One segment, ready to be published; its units in the pile's own order.

    facts : the scalar columns by name
    unit_ids, regions : (unit,); observed : (run, 3) int64, unit (-1 all), first bin, bin after the last
    offsets, bins : unit u's events lie in bins[offsets[u]:offsets[u + 1]], ascending, from 0
    stored_order : (unit,) the order its units are stored in; rows of equal rate beside each other compress best
    """

    facts: Mapping[str, Any]
    unit_ids: Sequence[str]
    regions: Sequence[str | None]
    observed: np.ndarray
    offsets: np.ndarray
    bins: np.ndarray
    stored_order: np.ndarray

    @property
    def n_tokens(self) -> int:
        """Unit x bin."""
        return int(self.facts["n_units"]) * int(self.facts["n_bins"])


def sparse_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as gap bytes: see `kernels.write_gaps` for what a byte means."""
    columns: dict[str, Any] = {f.name: pa.array([r.facts[f.name] for r in rows], f.type) for f in FACTS}
    columns["unit_ids"] = pa.array([[r.unit_ids[u] for u in r.stored_order] for r in rows], pa.list_(pa.string()))
    columns["regions"] = pa.array([[r.regions[u] for u in r.stored_order] for r in rows], pa.list_(pa.string()))
    columns["observed"] = _observed_column([_renumbered(r) for r in rows])
    columns["gaps"] = pa.concat_arrays([_gaps(r) for r in rows]) if rows else pa.array([], pa.list_(pa.binary()))
    columns["order"] = pa.array([np.argsort(r.stored_order).astype(np.int32) for r in rows], pa.list_(pa.int32()))
    return pa.table([columns[f.name] for f in SPARSE_SCHEMA], schema=SPARSE_SCHEMA)


def _gaps(row: Row) -> pa.Array:
    """One list of byte strings, a unit each, in stored order."""
    lengths = np.diff(row.offsets)[row.stored_order]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    parts = [row.bins[row.offsets[u] : row.offsets[u + 1]] for u in row.stored_order]
    bins = np.concatenate(parts) if parts else np.empty(0, np.int64)
    data = np.empty(kernels.gaps_length(bins, offsets), np.uint8)
    ends = np.empty(len(offsets), np.int32)
    kernels.write_gaps(bins, offsets, data, ends)
    items = pa.Array.from_buffers(pa.binary(), len(parts), [None, pa.py_buffer(ends), pa.py_buffer(data)])
    return pa.ListArray.from_arrays(pa.array([0, len(parts)], pa.int32()), items)


def _renumbered(row: Row) -> np.ndarray:
    """The observed runs with units numbered as stored."""
    place = np.argsort(row.stored_order)
    unit = row.observed[:, 0]
    return np.column_stack([np.where(unit < 0, -1, place[np.maximum(unit, 0)] if len(place) else -1), row.observed[:, 1:]])


def _observed_column(runs: Sequence[np.ndarray]) -> pa.Array:
    flat = np.concatenate(runs) if runs else np.empty((0, 3), np.int64)
    structs = pa.StructArray.from_arrays([pa.array(flat[:, 0], pa.int32()), pa.array(flat[:, 1]), pa.array(flat[:, 2])], fields=list(_RUN))
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0] + [len(r) for r in runs]), pa.int32()), structs)


def dense_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as nested lists of uint8, for code that expects the five columns of existing corpora.

    Raises
    ------
    CountOverflow : a bin holds more than 255 events; the message names session, unit and bin
    """
    columns: dict[str, Any] = {n: pa.array([r.facts[n] for r in rows], pa.string()) for n in DENSE_SCHEMA.names[1:]}
    columns["spike_counts"] = pa.concat_arrays([_dense(r) for r in rows]) if rows else pa.array([], DENSE_SCHEMA.field(0).type)
    return pa.table([columns[f.name] for f in DENSE_SCHEMA], schema=DENSE_SCHEMA)


def _dense(row: Row) -> pa.Array:
    n_units, n_bins = int(row.facts["n_units"]), int(row.facts["n_bins"])
    unit = np.repeat(np.arange(n_units), np.diff(row.offsets))
    counts = np.bincount(unit * n_bins + row.bins, minlength=n_units * n_bins)
    if counts.size and counts.max() > 255:
        u, k = divmod(int(counts.argmax()), n_bins)
        raise CountOverflow(
            f"{row.facts['session_id']}: unit {row.unit_ids[u]} fires {counts.max()} times in bin {k} of {row.facts['segment_id']}, "
            "more than uint8 holds; publish the sparse layout or a narrower bin_width"
        )
    inner = pa.ListArray.from_arrays(pa.array(np.arange(n_units + 1) * n_bins, pa.int32()), pa.array(counts.astype(np.uint8)))
    return pa.ListArray.from_arrays(pa.array([0, n_units], pa.int32()), inner)


def segments_table(row: Row, layout: str, where: tuple[str, str, int]) -> pa.Table:
    """What a folder keeps of a row beside its counts: ROWS_SCHEMA, or SEGMENTS_SCHEMA of the dense layout.

    where : its split, file and row group
    """
    columns: dict[str, Any] = {f.name: pa.array([row.facts[f.name]], f.type) for f in FACTS}
    columns |= {f.name: pa.array([v], f.type) for f, v in zip(_WHERE, where, strict=True)}
    schema = ROWS_SCHEMA if layout == "sparse" else SEGMENTS_SCHEMA
    if layout == "dense":
        columns["unit_ids"] = pa.array([list(row.unit_ids)], pa.list_(pa.string()))
        columns["regions"] = pa.array([list(row.regions)], pa.list_(pa.string()))
        columns["observed"] = _observed_column([row.observed])
    return pa.table([columns[f.name] for f in schema], schema=schema)
