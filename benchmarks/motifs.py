"""Motif counting: patches a second beside a dictionary of bytes over the dense array, from memory and from a published file."""

from __future__ import annotations

import collections
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import median_s, stores
from neuropile import Pile, make_pile, motifs, open_pile
from neuropile.motifs.counting import Counter, Tiling
from neuropile.segment import Segment

Row = dict[str, object]
#: The peer is measured on this many tokens of the same segments, which takes it a second a run.
_PEER_TOKENS = 25_000_000


class _InMemory:
    """A segment whose events have been read."""

    def __init__(self, segment: Segment) -> None:
        self._segment, self._events, self.observed = segment, segment.events(), segment.observed

    def events(self) -> tuple[np.ndarray, np.ndarray]:
        return self._events

    def __getattr__(self, name: str) -> object:
        return getattr(self._segment, name)


def dictionary(arrays: list[np.ndarray], shape: tuple[int, int]) -> int:
    """Count the patches of (unit, bin) uint8 arrays in a dictionary of bytes; how many patches."""
    p_n, p_t = shape
    found = collections.Counter[bytes]()
    for counts in arrays:
        for i in range(0, counts.shape[0] - p_n + 1, p_n):
            # a row of patches at once, cut as bytes, and Counter's loop in C: faster than slicing an array and d[patch] += 1
            row = np.ascontiguousarray(counts[i : i + p_n, : counts.shape[1] // p_t * p_t].reshape(p_n, -1, p_t).transpose(1, 0, 2)).tobytes()
            found.update(row[j : j + p_n * p_t] for j in range(0, len(row), p_n * p_t))
    return found.total()


def _arrays(pile: Pile) -> list[np.ndarray]:
    arrays, n = [], 0
    for segment in pile:
        if n < _PEER_TOKENS:
            arrays.append(segment.counts(out=np.empty(segment.n_tokens, np.uint8)))
            n += segment.n_tokens
    return arrays


def counted(name: str, published: Pile, shape: tuple[int, int], folder: Path) -> list[Row]:
    """One shape on one pile: the peer, ours from events in memory, ours from the file to the finished table; Mpatch/s."""
    arrays = _arrays(published)
    n_peer = dictionary(arrays, shape)
    theirs = n_peer / median_s(lambda: dictionary(arrays, shape)) / 1e6
    segments = [_InMemory(s) for s in published]

    def in_memory() -> int:
        counter = Counter(Tiling(shape), folder, "run")
        return sum(counter.add(s).n_patches for s in segments)  # type: ignore[arg-type]

    n = in_memory()
    ours = n / median_s(in_memory) / 1e6

    def whole() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as new:
            motifs.count(open_pile(folder / name), shape, out=Path(new) / "motifs.parquet")

    def from_file() -> None:
        counter = Counter(Tiling(shape), folder, "run")
        for s in open_pile(folder / name):
            counter.add(s)

    read, end = n / median_s(from_file) / 1e6, n / median_s(whole) / 1e6
    peer, aim = "dict of bytes, dense array in memory", ">= 15x" if shape in ((1, 10), (1, 15)) else ""
    what = f"motifs {shape[0]} x {shape[1]}, Mpatch/s"
    return [
        {"what": f"{what}, events in memory", "data": name, "peer": peer, "theirs": theirs, "ours": ours, "ratio": ours / theirs, "aim": aim},
        {"what": f"{what}, published file", "data": name, "peer": peer, "theirs": theirs, "ours": read, "ratio": read / theirs, "aim": ""},
        {"what": f"{what}, file to table by rank", "data": name, "peer": peer, "theirs": theirs, "ours": end, "ratio": end / theirs, "aim": ""},
    ]


def tables(folder: Path) -> dict[str, list[Row]]:
    """Every shape on real and made-up data, one thread."""
    rows: list[Row] = []
    for name, store in stores(folder / "stores").items():
        make_pile(store, quality="all", test=0).publish(folder / name)
        published = open_pile(folder / name)
        for shape in ((1, 10), (1, 15), (5, 5), (8, 8)):
            rows += counted(name, published, shape, folder)
    return {"motifs": rows}
