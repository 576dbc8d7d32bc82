"""Crops for training: batches of 256 units x 512 bins beside `datasets` and `temporaldata`, on the same spikes in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import REPEATS, median_s, stores
from neuropile import Store, make_pile, open_pile
from neuropile.pile import Pile

Row = dict[str, object]
CROP = (256, 512)
BATCH = 32
#: Crops of a peer a measurement: they are slow.
FEW = 16


def row(what: str, data: str, peer: str, theirs: float | None, ours: float, aim: str) -> Row:
    """One line of the table: crops a second."""
    return {"what": what, "data": data, "peer": peer, "theirs": theirs, "ours": ours, "ratio": ours / theirs if theirs else None, "aim": aim}


def padded(counts: np.ndarray) -> np.ndarray:
    """A crop in an array of the whole size, as a batch needs it."""
    out = np.zeros(CROP, np.uint8)
    out[: counts.shape[0], : counts.shape[1]] = counts
    return out


def of_datasets(folder: Path, cache: Path) -> Callable[[], object]:
    """Crops of random rows of the dense folder, in `datasets`' torch format, as its users take them."""
    import datasets

    rows = datasets.load_dataset(str(folder), split="train", cache_dir=str(cache)).with_format("torch")
    rng = np.random.default_rng(0)

    def batch() -> np.ndarray:
        crops = []
        for _ in range(FEW):
            counts = rows[int(rng.integers(len(rows)))]["spike_counts"]
            n_units, n_bins = counts.shape
            first = int(rng.integers(max(n_bins - CROP[1], 0) + 1))
            units = np.sort(rng.permutation(n_units)[: CROP[0]])
            crops.append(padded(counts[units, first : first + CROP[1]].numpy()))
        return np.stack(crops)

    return batch


def of_temporaldata(pile: Pile) -> Callable[[], object] | None:
    """Crops of sessions' spike times in memory, sliced and binned as `temporaldata` users do; None where it is not installed."""
    try:
        from temporaldata import IrregularTimeSeries
    except ImportError:
        return None
    rng = np.random.default_rng(0)
    held = []
    for segment in pile:
        offsets, bins = segment.events()
        width = float(segment.bin_width)
        unit = np.repeat(np.arange(segment.n_units), np.diff(offsets))
        order = np.argsort(bins, kind="stable")
        held.append((segment, IrregularTimeSeries(timestamps=(bins[order] + 0.5) * width, unit_index=unit[order], domain="auto")))

    def batch() -> np.ndarray:
        crops = []
        for _ in range(FEW):
            segment, spikes = held[int(rng.integers(len(held)))]
            width = float(segment.bin_width)
            first = int(rng.integers(max(segment.n_bins - CROP[1], 0) + 1))
            part = spikes.slice(first * width, (first + CROP[1]) * width)
            place = np.full(segment.n_units, -1)
            chosen = np.sort(rng.permutation(segment.n_units)[: CROP[0]])
            place[chosen] = np.arange(len(chosen))
            rows = place[part.unit_index]
            k = np.minimum((part.timestamps / width).astype(np.int64), CROP[1] - 1)
            counts = np.bincount(rows[rows >= 0] * CROP[1] + k[rows >= 0], minlength=CROP[0] * CROP[1])
            crops.append(counts.reshape(CROP).astype(np.uint8))
        return np.stack(crops)

    return batch


def epoch_s(crops: Any, epochs: int = 1) -> float:
    """Seconds of going through some epochs."""
    start = time.perf_counter()
    for _ in range(epochs):
        for _ in crops:
            pass
    return time.perf_counter() - start


def one(name: str, store: Store, folder: Path) -> list[Row]:
    """All of it on one store's pile, published twice."""
    pile = make_pile(store, quality="all", test=0)
    pile.publish(folder / f"{name}-sparse", layout="sparse")
    pile.publish(folder / f"{name}-dense", layout="dense")
    opened = open_pile(folder / f"{name}-sparse")
    crops = opened.torch(CROP, batch_size=BATCH)
    n = len(crops) * BATCH
    epochs = max(2000 // n, 1)
    warm = n * epochs / median_s(lambda: epoch_s(crops, epochs))
    cold = n / np.median([epoch_s(open_pile(folder / f"{name}-sparse").torch(CROP, batch_size=BATCH)) for _ in range(REPEATS)])
    bare = n * epochs / median_s(lambda: epoch_s(opened.torch(CROP, batch_size=BATCH, mask=False), epochs))
    theirs = FEW / median_s(of_datasets(folder / f"{name}-dense", folder / "cache"))
    beside = of_temporaldata(opened)
    missing = " (is not installed)" if beside is None else ""
    what = "batches with masks, segments decoded already"
    return [
        row(what, name, "datasets, torch format", theirs, warm, ">= 10 000"),
        row(what, name, f"temporaldata, in memory{missing}", FEW / median_s(beside) if beside else None, warm, ">= 10 000"),
        row("the same, the first epoch, decoding counted", name, "datasets, torch format", theirs, float(cold), ""),
        row("without masks", name, "datasets, torch format", theirs, bare, ">= 10 000"),
    ]


def tables(folder: Path) -> dict[str, list[Row]]:
    """Crops a second on one core, in this process."""
    found = stores(folder)
    return {"crops of 256 units x 512 bins to batches of 32, crops a second": [r for name, store in found.items() for r in one(name, store, folder)]}
