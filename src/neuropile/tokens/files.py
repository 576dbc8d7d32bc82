"""Files of token ids, a row a segment, and of the counts they stand for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuropile import kernels, parquet
from neuropile.errors import PileError, StoreError
from neuropile.paths import replacing
from neuropile.progress import QUIET, Progress
from neuropile.segment import Segment
from neuropile.tokens.vocabulary import Vocabulary, refuse_existing

KIND = "neuropile tokens"
DECODED_KIND = "neuropile decoded tokens"
VERSION = 1
#: A row group of ids closes once it holds so many.
IDS_PER_GROUP = 8_000_000
#: Split by byte, ids are written at twice the speed of dictionary codes and take a fifth less (measured on ids of a Zipf-like pile).
WRITING: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["source_dataset", "session_id", "split"],
    "column_encoding": {"ids.list.element": "BYTE_STREAM_SPLIT"},
}
_FACTS = [
    pa.field("source_dataset", pa.string()),
    pa.field("session_id", pa.string()),
    pa.field("segment_id", pa.string()),
    pa.field("split", pa.string()),
    pa.field("n_units", pa.int32()),
    pa.field("n_bins", pa.int64()),
    pa.field("start_s", pa.float64()),
    pa.field("bin_width_s", pa.float64()),
]
_RUN = pa.struct([pa.field("unit", pa.int32()), pa.field("start_bin", pa.int64()), pa.field("stop_bin", pa.int64())])
DECODED_SCHEMA = pa.schema([*_FACTS, pa.field("observed", pa.list_(_RUN)), pa.field("gaps", pa.list_(pa.binary()))])


def ids_schema(vocabulary: Vocabulary) -> pa.Schema:
    """The columns of encoded piles."""
    ids = pa.list_(pa.from_numpy_dtype(vocabulary.dtype))
    return pa.schema([*_FACTS, pa.field("rows", pa.int32()), pa.field("columns", pa.int64()), pa.field("ids", ids)])


def _facts(segment: Segment) -> dict[str, Any]:
    return {
        "source_dataset": [segment.dataset],
        "session_id": [segment.session_id],
        "segment_id": [segment.segment_id],
        "split": [segment.split],
        "n_units": [segment.n_units],
        "n_bins": [segment.n_bins],
        "start_s": [segment.start_s],
        "bin_width_s": [float(segment.bin_width)],
    }


def ids_row(segment: Segment, ids: np.ndarray, schema: pa.Schema) -> pa.Table:
    """A segment's ids (row, column) as a table of one row."""
    lists = pa.ListArray.from_arrays(pa.array([0, ids.size], pa.int32()), pa.array(ids.reshape(-1)))
    return pa.table({**_facts(segment), "rows": [ids.shape[0]], "columns": [ids.shape[1]], "ids": lists}, schema=schema)


def read_ids(path: str | Path, vocabulary: Vocabulary) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The rows of an encoded pile: the facts of each segment, and its ids (row, column).

    Raises
    ------
    PileError : the file is not there, damaged, or was encoded with another vocabulary
    """
    path = Path(path)
    if not path.is_file():
        raise PileError(f"{path}: no such tokens; make them with: neuropile tokens encode PILE --vocab VOCAB --out {path}")
    try:
        file = parquet.opened(path)
        meta = json.loads((file.metadata.metadata or {})[b"neuropile"])
        if meta["format"] != KIND or meta["version"] != VERSION:
            raise ValueError(f"it says it is {meta['format']!r} of version {meta['version']!r}")
        if meta["vocabulary"] != vocabulary.digest:
            raise PileError(f"{path} was encoded with another vocabulary ({meta['vocabulary']}, not {vocabulary.digest}); give that one")
        schema = ids_schema(vocabulary)
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group).select(schema.names).cast(schema)
            lists = table.column("ids").combine_chunks()
            for i, facts in enumerate(table.drop_columns(["ids"]).to_pylist()):
                yield facts, np.asarray(lists[i].values).reshape(facts.pop("rows"), facts.pop("columns"))
    except (StoreError, TypeError, *parquet.ERRORS) as e:
        raise PileError(f"{path} is not a file of tokens, or damaged ({e}); encode the pile again") from None


def _n_rows(path: Path) -> int:
    """How many rows a file seems to have; what is wrong with it is told when it is read."""
    try:
        return pq.read_metadata(path).num_rows
    except parquet.ERRORS:
        return 0


def decode(path: str | Path, vocabulary: Vocabulary, out: str | Path, *, replace: bool = False, progress: Progress = QUIET) -> int:
    """Write the counts that an encoded pile stands for, a row a segment, as published rows hold them; how many rows.

    `gaps` holds a byte string a unit, in the pile's order: each byte the bins since the unit's previous spike, 255 to go on;
    `observed` the bins that were not pad; `n_units` and `n_bins` what the ids cover, from the segment's first unit and bin.

    Raises
    ------
    PileError : as of `read_ids`, or `out` exists and `replace` is not given
    """
    out = Path(out)
    refuse_existing(out, replace)
    path = Path(path)
    n = _n_rows(path)
    n_done, waiting, held = 0, [], 0
    meta = {"format": DECODED_KIND, "version": VERSION, "vocabulary": vocabulary.digest}
    options: dict[str, Any] = {"metadata": {"neuropile": json.dumps(meta)}, "compression": "zstd"}
    with replacing(out) as temporary, parquet.writing(temporary, DECODED_SCHEMA, **options) as writer:
        for facts, ids in progress.track(read_ids(path, vocabulary), n, "decoding"):
            waiting.append(_decoded(vocabulary, facts, ids))
            held += ids.size
            n_done += 1
            if held >= IDS_PER_GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting, held = [], 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
    return n_done


def _decoded(vocabulary: Vocabulary, facts: dict[str, Any], ids: np.ndarray) -> pa.Table:
    counts = vocabulary.decode(ids, facts["n_units"], facts["n_bins"])
    unit, k = np.nonzero(counts)
    times = counts[unit, k]
    offsets = np.r_[0, np.cumsum(np.bincount(unit, times, len(counts)))].astype(np.int64)
    bins = np.repeat(k, times)
    data = np.empty(kernels.gaps_length(bins, offsets), np.uint8)
    ends = np.empty(len(offsets), np.int32)
    kernels.write_gaps(bins, offsets, data, ends)
    items = pa.Array.from_buffers(pa.binary(), len(counts), [None, pa.py_buffer(ends), pa.py_buffer(data)])
    columns = {name: [value] for name, value in facts.items()}
    columns |= {"n_units": [counts.shape[0]], "n_bins": [counts.shape[1]], "observed": [_runs(vocabulary, ids, counts.shape)]}
    return pa.table({**columns, "gaps": pa.ListArray.from_arrays(pa.array([0, len(counts)], pa.int32()), items)}, schema=DECODED_SCHEMA)


def _runs(vocabulary: Vocabulary, ids: np.ndarray, shape: tuple[int, ...]) -> list[dict[str, int]]:
    """The runs of bins that are not pad: for all units where they do not differ, else a unit at a time."""
    p_n, p_t = vocabulary.shape
    mask = ids != vocabulary.pad_token_id
    alike = len(mask) > 0 and bool((mask == mask[0]).all())
    out = []
    for row, columns in enumerate(mask[:1] if alike else mask):
        edges = np.flatnonzero(np.diff(np.r_[False, columns, False])).reshape(-1, 2) * p_t
        for unit in [-1] if alike else range(row * p_n, min((row + 1) * p_n, shape[0])):
            out += [{"unit": unit, "start_bin": a, "stop_bin": min(b, shape[1])} for a, b in edges.tolist()]
    return out
