"""Tokens beside the usual ways: a dict look-up a patch, and a dense product with every reference for rare motifs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.common import median_s, stores
from benchmarks.speed import Row, row
from neuropile import make_pile, open_pile
from neuropile.pile import Pile
from neuropile.tokens.encoder import SILENT, Encoder
from neuropile.tokens.nearest import Nearest

SHAPES = ((1, 10), (1, 15), (5, 5))
KEPT = 32_000
RARE = 20_000
#: Counts that the peers look at, so that a run stays short; ours takes all segments it is given.
PEER_TOKENS = 4_000_000
#: Rows of the product at a time: a few of the sizes that fit caches; the best of them counts.
BATCHES = (16, 128)


def patches(counts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(patch, cell) uint8, unit-major."""
    p_n, p_t = shape
    rows, columns = counts.shape[0] // p_n, counts.shape[1] // p_t
    return np.ascontiguousarray(counts[: rows * p_n, : columns * p_t].reshape(rows, p_n, columns, p_t).swapaxes(1, 2).reshape(-1, p_n * p_t))


def ranked(pile: Pile, shape: tuple[int, int]) -> np.ndarray:
    """The motifs of a pile by frequency, (motif, cell) uint8, silence first."""
    cells = shape[0] * shape[1]
    counted: Counter[bytes] = Counter()
    for segment in pile:
        found, n = np.unique(patches(segment.counts().to_numpy().astype(np.uint8), shape).view(f"V{cells}").ravel(), return_counts=True)
        counted.update(dict(zip((f.tobytes() for f in found), n.tolist(), strict=True)))
    counted.pop(bytes(cells), None)
    ordered = [bytes(cells), *(p for p, _ in sorted(counted.items(), key=lambda kv: (-kv[1], kv[0])))]
    return np.frombuffer(b"".join(ordered), np.uint8).reshape(len(ordered), cells)


def encoding(name: str, pile: Pile, published: Pile, shape: tuple[int, int], motifs: np.ndarray) -> list[Row]:
    """Counts to ids, Mpatch/s and Gtoken/s: a dict look-up of each patch of the dense array, ours from events in memory and from a file."""
    kept = motifs[:KEPT]
    known = {m.tobytes(): SILENT + i for i, m in enumerate(kept)}
    large = max(pile, key=lambda s: s.n_tokens)
    dense = large.counts().to_numpy().astype(np.uint8)[: max(PEER_TOKENS // large.n_bins, shape[0])]
    data, cells = patches(dense, shape).tobytes(), shape[0] * shape[1]
    n_peer = len(data) // cells
    look_up = known.get
    theirs = n_peer / median_s(lambda: [look_up(data[i : i + cells], 0) for i in range(0, len(data), cells)], 3) / 1e6
    encoder = Encoder(kept, shape, "count", False)
    events = [(*s.events(), s.n_bins) for s in pile]
    n = sum(np.prod(encoder.grid(len(o) - 1, n_bins)) for o, _, n_bins in events)
    seconds = median_s(lambda: [encoder.encode(o, b, n_bins) for o, b, n_bins in events])
    segments = list(published)
    whole = median_s(lambda: [encoder.encode(*s.events(), s.n_bins) for s in segments])
    what, peer = f"{shape[0]}x{shape[1]} counts to token ids", "dict look-up a patch"
    return [
        row(f"{what}, from events, Mpatch/s", name, peer, theirs, n / seconds / 1e6, ">= 10x"),
        row(f"{what}, from events, Gtoken/s", name, "", None, pile.n_tokens / seconds / 1e9, ">= 0.8"),
        row(f"{what}, from a published file, Gtoken/s", name, "", None, pile.n_tokens / whole / 1e9, ""),
    ]


def features_of(patches: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """What the count distance compares: each cell, each two neighbouring bins of a unit together, and the whole patch, twice.

    patches : (patch, cell) counts, unit-major, of `shape` (units, bins)
    Returns (patch, feature) int64; the squared distance of two rows is the count distance of the patches.
    """
    cells = np.asarray(patches, np.int64).reshape(len(patches), *shape)
    pairs = np.zeros((len(patches), shape[0], shape[1] + 1), np.int64)  # silence stands around the patch
    pairs[:, :, :-1] += cells
    pairs[:, :, 1:] += cells
    total = cells.sum((1, 2))[:, None]
    return np.hstack([cells.reshape(len(patches), -1), pairs.reshape(len(patches), -1), total, total])


def form(shape: tuple[int, int]) -> np.ndarray:
    """The count distance but for its last term, as docs/explain/tokens.md defines it, from the features of single spikes."""
    single = features_of(np.eye(shape[0] * shape[1], dtype=np.int64), shape)[:, :-2]
    return single @ single.T


def with_total(cells: np.ndarray, total: np.ndarray | None = None) -> np.ndarray:
    """Cells, and one more for the sum."""
    return np.column_stack([cells, cells.sum(axis=1, dtype=np.int64) if total is None else total]).astype(np.int64)


def nearest(name: str, shape: tuple[int, int], motifs: np.ndarray) -> list[Row]:
    """Rare motifs to the nearest of the kept ones, thousands a second: a product in 32-bit floats and argmax, against ours; and that both agree."""
    kept = motifs[: min(KEPT, len(motifs) // 2)]
    rare = motifs[len(kept) : len(kept) + RARE]
    rows = []
    for distance in ("cosine", "count"):
        whole, asked, squares = kept.astype(np.int64), rare.astype(np.int64), (kept.astype(np.int64) ** 2).sum(axis=1)
        scaled = whole / np.sqrt(np.maximum(squares, 1))[:, None]
        if distance == "count":  # with the form on the side of the queries, the product has a column a cell and one for the sum
            whole, squares = with_total(kept), (features_of(kept, shape) ** 2).sum(axis=1)
            scaled, asked = whole, with_total(2 * rare.astype(np.int64) @ form(shape), 4 * rare.sum(axis=1, dtype=np.int64))
        right = np.ascontiguousarray(scaled.T, np.float32)
        less = None if distance == "cosine" else squares.astype(np.float32)
        left = asked.astype(np.float32)
        best = np.empty(len(rare), np.int64)

        def product(batch: int, left: np.ndarray = left, right: np.ndarray = right, less: np.ndarray | None = less, best: np.ndarray = best) -> None:
            scores = np.empty((batch, right.shape[1]), np.float32)
            for start in range(0, len(left), batch):
                part = left[start : start + batch]
                out = np.matmul(part, right, out=scores[: len(part)])
                if less is not None:
                    out -= less
                best[start : start + batch] = out.argmax(axis=1)

        theirs = min(median_s(lambda b=batch: product(b)) for batch in BATCHES)  # type: ignore[misc]
        search = Nearest(kept, shape, distance)
        ours = median_s(lambda s=search: s.find(rare))  # type: ignore[misc]
        _agree(whole, squares, asked, best, search.find(rare), distance)
        what = f"{shape[0]}x{shape[1]} rare motifs to the nearest of {len(kept):,} by {distance}, thousand/s"
        rows.append(row(what, name, "float32 product, argmax", len(rare) / theirs / 1e3, len(rare) / ours / 1e3, ">= 3x"))
    return rows


def _agree(whole: np.ndarray, squares: np.ndarray, asked: np.ndarray, theirs: np.ndarray, ours: np.ndarray, distance: str) -> None:
    """Raise unless both found motifs equally near, in whole numbers; of equally near ones, rounding decides in the product and rank in ours."""
    a, b = (asked * whole[theirs]).sum(axis=1), (asked * whole[ours]).sum(axis=1)
    if distance == "cosine":
        x = [int(p) ** 2 * int(n) for p, n in zip(a, squares[ours], strict=True)]
        y = [int(p) ** 2 * int(n) for p, n in zip(b, squares[theirs], strict=True)]
    else:
        x, y = (a - squares[theirs]).tolist(), (b - squares[ours]).tolist()
        assert np.array_equal(theirs, ours)  # whole numbers in the product too, and both take the first of equals
    assert x == y


def tables(folder: Path) -> dict[str, list[Row]]:
    """Every figure beside its peer, in a process whose linear algebra has one thread, as ours has."""
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
    done = subprocess.run([sys.executable, "-m", "benchmarks.tokens", str(folder)], env={**os.environ, **single}, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def measure(folder: Path) -> dict[str, list[Row]]:
    """The figures, in this process."""
    rows: list[Row] = []
    for data, store in stores(folder, n_units=800, duration_s=600.0).items():
        pile = make_pile(store, quality="all", test=0)
        pile.publish(folder / f"{data}-published")
        published = open_pile(folder / f"{data}-published")
        for shape in SHAPES:
            motifs = ranked(pile, shape)
            rows += [*encoding(data, pile, published, shape, motifs), *nearest(data, shape, motifs)]
    return {"tokens": rows}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
