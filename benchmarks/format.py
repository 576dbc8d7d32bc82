"""The choices of format 1, each beside what else it could have been: blocks, row groups, encodings, checksums, published columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import median_s, stores
from benchmarks.speed import unit_entropy_bits
from neuropile import Store, kernels, layout, make_pile, remote

Row = dict[str, object]


@dataclass(frozen=True)
class Spikes:
    """A session's spikes, unit by unit: unit u's sorted ticks are ticks[offsets[u]:offsets[u + 1]]."""

    offsets: np.ndarray
    ticks: np.ndarray
    ticks_per_s: int


@dataclass(frozen=True)
class Choice:
    """How spikes are written: the defaults are format 1 (a block of None is its rule)."""

    block_s: int | None = None
    row_group: int = layout.SPIKES_PER_ROW_GROUP
    dtype: str = "int32"
    tick: str = "DELTA_BINARY_PACKED"
    unit: str = "dictionary"
    level: int = 3
    checksums: bool = True
    gaps: bool = False

    def write(self, spikes: Spikes) -> tuple[bytes, float]:
        """The file, and how long its blocks are in seconds."""
        sink = io.BytesIO()
        edges = self._edges(spikes)
        dtype = pa.type_for_alias(self.dtype)
        schema = pa.schema([pa.field("unit", pa.int32(), nullable=False), pa.field("tick", dtype, nullable=False)])
        encoding = {"tick": self.tick} | ({} if self.unit == "dictionary" else {"unit": self.unit})
        with pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            compression_level=self.level,
            use_dictionary=["unit"] if self.unit == "dictionary" else False,
            column_encoding=encoding,
            store_schema=False,
            write_page_checksum=self.checksums,
        ) as writer:
            for unit, tick in self._row_groups(spikes, edges):
                values = np.diff(tick, prepend=tick[:1]) if self.gaps else tick
                writer.write_table(pa.table([unit, values.astype(self.dtype)], schema=schema), row_group_size=max(len(unit), 1))
        return sink.getvalue(), (edges[1] - edges[0]) / spikes.ticks_per_s

    def _edges(self, spikes: Spikes) -> np.ndarray:
        first, last = int(spikes.ticks.min()), int(spikes.ticks.max())
        if self.block_s is None:
            return layout.block_edges(first, last, spikes.ticks_per_s)
        length = self.block_s * spikes.ticks_per_s
        return np.arange(first // length, last // length + 2) * length

    def _row_groups(self, spikes: Spikes, edges: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        n_units = len(spikes.offsets) - 1
        trains = [spikes.ticks[a:b] for a, b in pairwise(spikes.offsets)]
        cuts = np.array([np.searchsorted(t, edges) for t in trains])
        for block in range(len(edges) - 1):
            held: list[int] = []
            n = 0
            for unit in [*range(n_units), n_units]:
                more = 0 if unit == n_units else int(cuts[unit, block + 1] - cuts[unit, block])
                if held and (unit == n_units or n + more > self.row_group):
                    parts = [trains[u][cuts[u, block] : cuts[u, block + 1]] for u in held]
                    if n:
                        yield np.repeat(np.array(held, np.int32), [len(p) for p in parts]), np.concatenate(parts)
                    held, n = [], 0
                if unit < n_units:
                    held.append(unit)
                    n += more


def spikes_of(store: Store) -> Spikes:
    """The spikes of the session with most of them."""
    session = max((store[k] for k in store), key=lambda s: s.n_spikes)
    offsets, ticks = session.counter.trains(np.arange(session.n_units))
    return Spikes(offsets, ticks, session.ticks_per_s)


def _cost(data: bytes, keep: Callable[[Any], bool]) -> tuple[int, float]:
    """Requests and megabytes to read the row groups that are kept, footer included, by the reader's own rules."""
    meta = pq.read_metadata(io.BytesIO(data))
    ranges = []
    for i in range(meta.num_row_groups):
        group = meta.row_group(i)
        if keep(group):
            start = min(group.column(0).dictionary_page_offset or group.column(0).data_page_offset, group.column(0).data_page_offset)
            last = group.column(1)
            ranges.append((start, last.data_page_offset + last.total_compressed_size))
    parts = remote._parts(ranges)
    footer = int.from_bytes(data[-8:-4], "little") + 8
    return 1 + len(parts), (footer + sum(b - a for a, b in parts)) / 1e6


def blocks(name: str, spikes: Spikes) -> list[Row]:
    """Block length and row groups: size, and what one unit, ten seconds of all and the whole cost to read."""
    n_units, n = len(spikes.offsets) - 1, len(spikes.ticks)
    unit = int(np.argsort(np.diff(spikes.offsets))[n_units // 2])
    start = (int(spikes.ticks.min()) + int(spikes.ticks.max())) // 2
    stop = start + 10 * spikes.ticks_per_s
    choices = [Choice(block_s=b) for b in (100, 300, 600, 1800)] + [Choice(row_group=r) for r in (1 << 14, 1 << 15, 1 << 17)] + [Choice()]
    rows: list[Row] = []
    for choice in choices:
        data, block_s = choice.write(spikes)
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        one = _cost(data, lambda g: g.column(0).statistics.min <= unit <= g.column(0).statistics.max)
        ten = _cost(data, lambda g: g.column(1).statistics.max >= start and g.column(1).statistics.min < stop)
        rows.append(
            {
                "data": name,
                "block, s": block_s,
                "row group": choice.row_group,
                "bytes a spike": len(data) / n,
                "footer, kB": (int.from_bytes(data[-8:-4], "little") + 8) / 1e3,
                "one unit: requests": one[0],
                "MB": one[1],
                "10 s of all: requests": ten[0],
                "MB ": ten[1],
                "whole, ms": 1e3 * median_s(lambda f=file: f.read(use_threads=False), repeats=3),  # type: ignore[misc]
                "": "format 1" if choice == Choice() else "",
            }
        )
    return rows


def encodings(name: str, spikes: Spikes) -> list[Row]:
    """How the two columns are stored: bytes a spike, and how fast one thread decodes them."""
    base = Choice()
    choices = {
        "format 1": base,
        "without page checksums": replace(base, checksums=False),
        "tick int64": replace(base, dtype="int64"),
        "tick plain": replace(base, tick="PLAIN"),
        "tick by byte (BYTE_STREAM_SPLIT)": replace(base, tick="BYTE_STREAM_SPLIT"),
        "gaps by byte, not ticks": replace(base, tick="BYTE_STREAM_SPLIT", gaps=True),
        "unit DELTA_BINARY_PACKED": replace(base, unit="DELTA_BINARY_PACKED"),
        "zstd 1": replace(base, level=1),
        "zstd 9": replace(base, level=9),
    }
    rows: list[Row] = []
    for what, choice in choices.items():
        data, _ = choice.write(spikes)
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=choice.checksums)
        seconds = median_s(lambda f=file: f.read(use_threads=False), repeats=3)  # type: ignore[misc]
        rows.append({"data": name, "stored as": what, "bytes a spike": len(data) / len(spikes.ticks), "Mspike/s": len(spikes.ticks) / seconds / 1e6})
    smallest = float(rows[0]["bytes a spike"])  # type: ignore[arg-type]
    return [{**r, "of format 1": float(r["bytes a spike"]) / smallest} for r in rows]  # type: ignore[arg-type]


def published_columns(name: str, store: Store) -> list[Row]:
    """Ways to publish 20 ms counts: bits a token over the per-unit entropy of the same data; no other columns."""
    segments = [s.counts().to_numpy() for s in make_pile(store, quality="all", test=0)]
    n_tokens = sum(c.size for c in segments)
    entropy = sum(unit_entropy_bits(c) for c in segments) / n_tokens
    ways: dict[str, tuple[Callable[[np.ndarray], dict[str, pa.Array]], dict[str, Any]]] = {
        "gaps: list<binary>, units by rate (format 1)": (_gap_bytes, {"compression_level": 1, "use_dictionary": False}),
        "the same, zstd 9": (_gap_bytes, {"compression_level": 9, "use_dictionary": False}),
        "the same, units in their own order": (lambda c: _gap_bytes(c, by_rate=False), {"compression_level": 1, "use_dictionary": False}),
        "CSR positions, DELTA_BINARY_PACKED": (_csr, {"compression_level": 3, "use_dictionary": False, "column_encoding": _CSR_ENCODING}),
        "nested lists of uint8": (_nested, {"compression_level": 3}),
        "Arrow IPC, uint8": (_nested, {}),
    }
    rows: list[Row] = []
    for what, (columns, options) in ways.items():
        size = _arrow_bytes(segments, columns) if what.startswith("Arrow") else _parquet_bytes(segments, columns, options)
        bits = 8 * size / n_tokens
        rows.append({"data": name, "published as": what, "bits a token": bits, "over the entropy": bits / entropy})
    return rows


_CSR_ENCODING = {"bins.list.element": "DELTA_BINARY_PACKED", "ends.list.element": "DELTA_BINARY_PACKED"}


def _gap_bytes(counts: np.ndarray, by_rate: bool = True) -> dict[str, pa.Array]:
    order = np.argsort(-counts.sum(axis=1, dtype=np.int64), kind="stable") if by_rate else np.arange(len(counts))
    unit, k = np.nonzero(counts[order])
    n = counts[order][unit, k]
    bins = np.repeat(k, n).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(unit, weights=n, minlength=len(counts)))]).astype(np.int64)
    data = np.empty(kernels.gaps_length(bins, offsets), np.uint8)
    ends = np.empty(len(offsets), np.int32)
    kernels.write_gaps(bins, offsets, data, ends)
    return {"gaps": pa.array([[data[a:b].tobytes() for a, b in pairwise(ends)]], pa.list_(pa.binary()))}


def _csr(counts: np.ndarray) -> dict[str, pa.Array]:
    unit, k = np.nonzero(counts)
    n = counts[unit, k]
    ends = np.cumsum(np.bincount(unit, weights=n, minlength=len(counts))).astype(np.int32)
    return {"bins": pa.array([np.repeat(k, n).astype(np.int32)]), "ends": pa.array([ends])}


def _nested(counts: np.ndarray) -> dict[str, pa.Array]:
    inner = pa.ListArray.from_arrays(pa.array(np.arange(len(counts) + 1) * counts.shape[1], pa.int32()), pa.array(counts.astype(np.uint8).reshape(-1)))
    return {"spike_counts": pa.ListArray.from_arrays(pa.array([0, len(counts)], pa.int32()), inner)}


def _parquet_bytes(segments: list[np.ndarray], columns: Callable[[np.ndarray], dict[str, pa.Array]], options: dict[str, Any]) -> int:
    sink = io.BytesIO()
    table = pa.concat_tables([pa.table(columns(c)) for c in segments])
    pq.write_table(table, sink, compression="zstd", row_group_size=32, store_schema=False, write_page_checksum=True, **options)
    return sink.tell()


def _arrow_bytes(segments: list[np.ndarray], columns: Callable[[np.ndarray], dict[str, pa.Array]]) -> int:
    sink = io.BytesIO()
    table = pa.concat_tables([pa.table(columns(c)) for c in segments])
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.tell()


def tables(folder: Path) -> dict[str, list[Row]]:
    """A table a choice, on the bundled recordings and on synthetic spikes."""
    made = stores(folder)
    spikes = {name: spikes_of(store) for name, store in made.items()}
    hour = {"1500 units, 1 h": spikes_of(stores(folder / "hour", n_units=1500, duration_s=3600.0, real=False)["synthetic"])}
    return {
        "spikes.parquet: blocks and row groups": [r for name, s in {**spikes, **hour}.items() for r in blocks(name, s)],
        "spikes.parquet: encodings": [r for name, s in spikes.items() for r in encodings(name, s)],
        "published counts: columns": [r for name, s in made.items() for r in published_columns(name, s)],
    }
