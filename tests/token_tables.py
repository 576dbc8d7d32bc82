"""Motif tables for tests of tokens, counted and written by a few lines of plain Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile import Pile, parquet

SCHEMA = pa.schema([pa.field("patch", pa.binary()), pa.field("count", pa.int64()), pa.field("probability", pa.float64())])


def patches(counts: np.ndarray, shape: tuple[int, int], *, pad: bool = False) -> dict[tuple[int, int], np.ndarray]:
    """Every patch by its row and column, cut out one at a time."""
    p_n, p_t = shape
    if pad:
        counts = np.pad(counts, ((0, -counts.shape[0] % p_n), (0, -counts.shape[1] % p_t)))
    rows, columns = counts.shape[0] // p_n, counts.shape[1] // p_t
    return {(r, c): counts[r * p_n : (r + 1) * p_n, c * p_t : (c + 1) * p_t] for r in range(rows) for c in range(columns)}


def write_table(path: Path, counted: Counter[bytes], shape: tuple[int, int], /, **facts: Any) -> Path:
    """A motif table with these counts."""
    rows = sorted(counted.items(), key=lambda kv: (-kv[1], kv[0]))
    n = sum(counted.values())
    meta = {"format": "neuropile motifs", "version": 1, "shape": list(shape), "pad": False, "clip": False, "pile": "made", "splits": ["train"]}
    meta |= {"bin_width": "1/50", "n_patches": n, "n_unique": len(rows), "n_silent": counted.get(bytes(shape[0] * shape[1]), 0), **facts}
    table = pa.table({"patch": [p for p, _ in rows], "count": [c for _, c in rows], "probability": [c / n for _, c in rows]}, schema=SCHEMA)
    parquet.write(table, path, metadata={"neuropile": json.dumps(meta)})
    return path


def count_table(path: Path, arrays: Iterable[np.ndarray], shape: tuple[int, int], **facts: Any) -> Path:
    """The motif table of some counts."""
    counted: Counter[bytes] = Counter()
    for counts in arrays:
        for patch in patches(counts, shape, pad=facts.get("pad", False)).values():
            counted[np.minimum(patch, 255).astype(np.uint8).tobytes()] += 1
    return write_table(path, counted, shape, **facts)


def table_of_pile(path: Path, pile: Pile, shape: tuple[int, int] = (1, 10), **facts: Any) -> Path:
    """The motif table of a pile."""
    return count_table(path, (s.counts().to_numpy() for s in pile), shape, **facts)
