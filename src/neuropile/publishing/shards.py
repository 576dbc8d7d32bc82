"""The files of a published pile: which segments go into which, and how one is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import parquet, published
from neuropile.pile import Pile
from neuropile.published import Row
from neuropile.segment import Segment
from neuropile.splits import SPLITS

#: No file is meant to be larger; of a split with more data all are then larger than half of it. Sizes are estimated before
#: anything is written, so this leaves room below the gigabyte up to which the Hub serves files best.
SHARD_BYTES = 750_000_000
#: Measured on the real and synthetic sessions of benchmarks/format.py: compressed bytes an event, and a unit of a row for its labels.
BYTES_PER_EVENT = {"sparse": 0.5, "dense": 1.2}
BYTES_PER_LABEL = {"sparse": 4.0, "dense": 0.1}


@dataclass(frozen=True)
class Shard:
    """One file to be: consecutive segments of one split, in one layout.

    name : below the published folder, such as data/train-00000-of-00002.parquet
    """

    name: str
    split: str
    layout: str
    segments: Pile

    def __str__(self) -> str:
        return self.name


def plan(pile: Pile, units: pa.Table, layout: str, folder: str = published.DATA_FOLDER) -> list[Shard]:
    """The files of a pile, those of a split of about equal size; the same for the same pile.

    units : a row a unit of the pile's sessions, with dataset, session_id, rate_hz
    """
    rates = _rates(units)
    table = pile.table.select(["dataset", "session_id", "split", "n_units", "n_bins"]).to_pydict()
    keys = [f"{d}/{s}" for d, s in zip(table["dataset"], table["session_id"], strict=True)]
    split, n_units, n_bins = np.array(table["split"], object), np.array(table["n_units"]), np.array(table["n_bins"])
    width_s = pc.divide(pile.table.column("bin_num").cast(pa.float64()), pile.table.column("bin_den").cast(pa.float64())).to_numpy()
    events = np.array([rates.get(k, 0.0) for k in keys]) * n_units * n_bins * width_s
    weights = BYTES_PER_EVENT[layout] * events + BYTES_PER_LABEL[layout] * n_units
    shards = []
    for name in SPLITS:
        rows = np.flatnonzero(split == name)
        n_groups = _row_groups(n_units[rows] * n_bins[rows], layout)
        pieces = cut(weights[rows], n_groups, SHARD_BYTES)
        for i, (a, b) in enumerate(pieces):
            file = f"{folder}/{name}-{i:05d}-of-{len(pieces):05d}.parquet"
            shards.append(Shard(file, name, layout, pile.take(rows[a:b])))
    return shards


def _rates(units: pa.Table) -> dict[str, float]:
    """The mean rate of a session's units, in Hz."""
    keys = pc.binary_join_element_wise(units.column("dataset"), units.column("session_id"), "/")
    found = pa.table({"key": keys, "hz": units.column("rate_hz").fill_null(0.0)}).group_by("key").aggregate([("hz", "mean")])
    return dict(zip(found.column("key").to_pylist(), found.column("hz_mean").to_pylist(), strict=True))


def _row_groups(tokens: np.ndarray, layout: str) -> np.ndarray:
    """(segment,) the number of the row group each would be in, were all in one file."""
    if layout == "sparse":
        return np.arange(len(tokens)) // published.SPARSE_ROWS_PER_GROUP
    groups, held, group = np.zeros(len(tokens), np.int64), 0, 0
    for i, n in enumerate(tokens.tolist()):
        if held and held + n > published.DENSE_BYTES_PER_GROUP:
            group, held = group + 1, 0
        held += n
        groups[i] = group
    return groups


def cut(weights: np.ndarray, groups: np.ndarray, largest: float) -> list[tuple[int, int]]:
    """Consecutive pieces [start, stop) of about equal weight, as few as keep each below `largest`, cut where a group begins.

    weights, groups : (item,); a group's items are consecutive

    >>> cut(np.array([4.0, 4.0, 4.0, 4.0]), np.array([0, 0, 1, 2]), 8.0)
    [(0, 2), (2, 4)]
    """
    if not len(weights):
        return []
    starts = np.flatnonzero(np.r_[True, np.diff(groups) > 0])
    before = np.concatenate([[0.0], np.cumsum(weights)])[starts]
    n = min(max(ceil(weights.sum() / largest), 1), len(starts))
    ideal = weights.sum() * np.arange(n) / n
    chosen = np.searchsorted(before, ideal - 1e-9 * weights.sum())  # of several groups the first that begins there or later
    chosen = np.unique(np.minimum(chosen, len(starts) - 1))
    edges = [*starts[chosen].tolist(), len(weights)]
    return list(pairwise(edges))


def write(shard: Shard, path: Path, track: Callable[[Iterable[Segment]], Iterable[Segment]] = iter) -> tuple[dict[str, dict[str, int]], pa.Table]:
    """Write a shard's file.

    Returns
    -------
    totals : of each source dataset how many segments, tokens, spikes and bins
    listed : what the folder keeps beside its rows (published.ROWS_SCHEMA, or SEGMENTS_SCHEMA of dense ones)

    Raises
    ------
    CountOverflow : a bin holds more than 255 events and the layout is dense
    """
    totals: dict[str, dict[str, int]] = {}
    listed: list[pa.Table] = []
    make, schema = (published.sparse_table, published.SPARSE_SCHEMA) if shard.layout == "sparse" else (published.dense_table, published.DENSE_SCHEMA)
    groups = _row_groups(shard.segments.tokens, shard.layout)
    held: list[pa.Table] = []
    with parquet.writing(path, schema, **_options(schema, shard.layout)) as writer:
        for i, row in enumerate(_rows(track(shard.segments))):
            if i and groups[i] != groups[i - 1]:
                _flush(held, writer)
            held.append(make([row]))  # bytes at once: a group's events together would take several times as much
            _add(totals, row)
            listed.append(published.segments_table(row, shard.layout, (shard.split, shard.name, int(groups[i] - groups[0]))))
        _flush(held, writer)
    return totals, pa.concat_tables(listed)


def _flush(held: list[pa.Table], writer: Any) -> None:
    if held:
        table = pa.concat_tables(held)
        writer.write_table(table, row_group_size=table.num_rows)
        held.clear()


def _options(schema: pa.Schema, layout: str) -> dict[str, Any]:
    texts = [f.name for f in schema if pa.types.is_string(f.type)]
    texts += [f"{n}.list.element" for n in ("unit_ids", "regions") if n in schema.names]
    # zstd 1: the higher levels make the gap bytes larger, not smaller
    level = 1 if layout == "sparse" else 3
    return {"compression": "zstd", "compression_level": level, "use_dictionary": texts, "write_page_index": True}


def _add(totals: dict[str, dict[str, int]], row: Row) -> None:
    own = totals.setdefault(row.facts["source_dataset"], dict.fromkeys(("segments", "tokens", "spikes", "bins"), 0))
    for name, n in (("segments", 1), ("tokens", row.n_tokens), ("spikes", len(row.bins)), ("bins", row.facts["n_bins"])):
        own[name] += int(n)


def _rows(segments: Iterable[Segment]) -> Iterator[Row]:
    for segment in segments:
        offsets, bins = segment.events()
        yield Row(
            facts={
                "source_dataset": segment.dataset,
                "species": segment.species,
                "quantity": segment.quantity,
                "subject_id": segment.subject_id,
                "session_id": segment.session_id,
                "recording_id": segment.recording_id,
                "segment_id": segment.segment_id,
                "start_s": segment.start_s,
                "bin_width_s": float(segment.bin_width),
                "n_units": segment.n_units,
                "n_bins": segment.n_bins,
            },
            unit_ids=segment.unit_ids,
            regions=segment.regions,
            observed=segment.observed,
            offsets=offsets,
            bins=bins,
            stored_order=np.argsort(-np.diff(offsets), kind="stable"),  # units of like rate beside each other compress best
        )


def totals_of(parts: Sequence[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """The totals of several shards as one."""
    out: dict[str, dict[str, int]] = {}
    for part in parts:
        for dataset, counts in part.items():
            own = out.setdefault(dataset, dict.fromkeys(counts, 0))
            for name, n in counts.items():
                own[name] += n
    return out
