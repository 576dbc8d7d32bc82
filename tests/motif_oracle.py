"""Piles of counts held in memory, and their motifs counted the plain way: a dictionary over the dense array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile import Pile
from neuropile.motifs.counting import Counter as Ours
from neuropile.motifs.counting import Tiling
from neuropile.parquet import read
from neuropile.pilefile import SEGMENT_SCHEMA


class Held:
    """A source of segments whose counts and observed runs are at hand."""

    def __init__(self, counts: Sequence[np.ndarray], observed: Sequence[np.ndarray]) -> None:
        self.counts, self.runs = list(counts), list(observed)

    def place(self, row: int) -> tuple[Any, int]:
        return self, row

    def observed(self, segment: Any) -> np.ndarray:
        return self.runs[segment.row]

    def unit_values(self, segment: Any, column: str) -> list[str]:
        return [f"unit-{i}" for i in range(segment.n_units)]

    def events(self, segment: Any) -> tuple[np.ndarray, np.ndarray]:
        counts = self.counts[segment.row]
        unit, k = np.nonzero(counts)
        n = counts[unit, k]
        return np.concatenate([[0], np.cumsum(counts.sum(axis=1))]).astype(np.int64), np.repeat(k, n).astype(np.int32)


def held(counts: Sequence[np.ndarray], observed: Sequence[np.ndarray] | None = None) -> Pile:
    """A pile of (unit, bin) counts; by default all observed."""
    runs = [np.array([[-1, 0, c.shape[1]]]) for c in counts] if observed is None else observed
    return listed(Held(counts, runs), [c.shape for c in counts])


def listed(source: Any, shapes: Sequence[tuple[int, ...]]) -> Pile:
    """A pile whose segments, of so many units and bins, a source gives."""
    n = len(shapes)
    columns: dict[str, Any] = {f.name: ["made"] * n if pa.types.is_string(f.type) else [0] * n for f in SEGMENT_SCHEMA}
    columns |= {
        "session_id": [f"s{i}" for i in range(n)],
        "segment_id": ["segment_0"] * n,
        "split": ["train"] * n,
        "selection_id": [-1] * n,
        "order_id": [-1] * n,
    }
    columns |= {"n_units": [s[0] for s in shapes], "n_bins": [s[1] for s in shapes], "bin_num": [1] * n, "bin_den": [50] * n}
    return Pile(pa.table({f.name: pa.array(columns[f.name], f.type) for f in SEGMENT_SCHEMA}), source, {"bin_width": "0.02"})


def mask(segment: Any, shape: tuple[int, ...]) -> np.ndarray:
    """(unit, bin) bool: what is observed."""
    found = np.zeros(shape, bool)
    for unit, start, stop in segment.observed.tolist():
        found[slice(None) if unit < 0 else unit, start:stop] = True
    return found


def plain(segments: Iterable[tuple[np.ndarray, np.ndarray]], shape: tuple[int, int], pad: bool) -> tuple[Counter[bytes], int]:
    """Each patch's count, and how many patches touch unobserved time, of (unit, bin) counts and masks."""
    (p_n, p_t), found, unobserved = shape, Counter[bytes](), 0
    for counts, observed in segments:
        short = ((0, -counts.shape[0] % p_n), (0, -counts.shape[1] % p_t))
        if pad:
            counts, observed = np.pad(counts, short), np.pad(observed, short, constant_values=True)
        for i in range(0, counts.shape[0] - p_n + 1, p_n):
            for j in range(0, counts.shape[1] - p_t + 1, p_t):
                if observed[i : i + p_n, j : j + p_t].all():
                    found[np.minimum(counts[i : i + p_n, j : j + p_t], 255).astype(np.uint8).tobytes()] += 1
                else:
                    unobserved += 1
    return found, unobserved


def ours(pile: Pile, tiling: Tiling, folder: Path) -> tuple[Counter[bytes], Any]:
    """What our counter writes to its files, summed, the silent motif among them; and its totals."""
    counter = Ours(tiling, folder, "run")
    totals = [counter.add(segment) for segment in pile]
    counter.spill()
    found = Counter[bytes]()
    for run in counter.runs:
        for row in read(folder / run).to_pylist():
            found[row["patch"]] += row["count"]
    assert bytes(tiling.cells) not in found
    silent = sum(t.n_silent for t in totals)
    return found + Counter({bytes(tiling.cells): silent}), totals
