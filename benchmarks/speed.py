"""Speeds and sizes: what, on which data, the peer's figure, ours, the ratio and the aim."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.common import median_s, stores
from neuropile import Pile, Store, corpus, make_pile, open_pile
from neuropile.binning import bin_ticks
from neuropile.pilefile import SEGMENT_SCHEMA
from neuropile.sources import StoreSource

Row = dict[str, object]


def row(what: str, data: str, peer: str, theirs: float | None, ours: float, aim: str, *, ratio: float | None = None) -> Row:
    """One line of the table."""
    ratio = ratio if ratio is not None else ours / theirs if theirs else None
    return {"what": what, "data": data, "peer": peer, "theirs": theirs, "ours": ours, "ratio": ratio, "aim": aim}


def binning(name: str, store: Store) -> list[Row]:
    """Spike times to 20 ms counts, Mspike/s: numpy.histogram unit by unit against ours, in a new array and in one used again."""
    session = max((store[k] for k in store), key=lambda s: s.n_spikes)
    spikes = session.spikes()
    n_bins = int(session.duration_s / 0.02) + 1
    first = int(spikes.times.min() / 0.02)
    edges = (first + np.arange(n_bins + 1)) * 0.02
    ticks = (spikes.times * session.ticks_per_s).astype(np.int64) - first * 2000
    theirs = median_s(lambda: [np.histogram(spikes[i], edges)[0].astype(np.uint8) for i in range(len(spikes))])
    new = median_s(lambda: bin_ticks(ticks, spikes.offsets, ticks_per_bin=2000, n_bins=n_bins))
    buffer = np.empty((len(spikes), n_bins), np.uint8)
    again = median_s(lambda: bin_ticks(ticks, spikes.offsets, ticks_per_bin=2000, n_bins=n_bins, out=buffer))
    n = len(spikes.times) / 1e6
    peer = "numpy.histogram a unit"
    return [
        row("spike times to 20 ms counts, Mspike/s", name, peer, n / theirs, n / new, ">= 100x"),
        row("the same into an array used again, Mspike/s", name, peer, n / theirs, n / again, ">= 100x"),
    ]


def session_counts(name: str, store: Store) -> Row:
    """A stored session to dense 20 ms counts, Gtoken/s, one thread."""
    session = max((store[k] for k in store), key=lambda s: s.n_units)
    rows, grid = np.arange(session.n_units), session.grid(0.02)
    out = np.empty((session.n_units, grid.n_bins), np.uint8)
    seconds = median_s(lambda: session.counter.count_into(out, rows, grid))
    return row("dense counts out of ticks, whole session, Gtoken/s", name, "", None, out.size / seconds / 1e9, ">= 1")


def random_segments(name: str, store: Store) -> Row:
    """Random segments of a pile straight from the store to counts, Gtoken/s: each decodes its blocks anew."""
    pile = make_pile(store, quality="all", test=0, max_tokens=2_000_000)
    order = np.random.default_rng(0).permutation(len(pile))[:12].tolist()
    buffer = np.empty(max(s.n_tokens for s in pile), np.uint8)
    segments = [pile[i] for i in order]
    seconds = median_s(lambda: [s.counts(out=buffer) for s in segments])
    return row("the same, random segments, Gtoken/s", name, "", None, sum(s.n_tokens for s in segments) / seconds / 1e9, ">= 0.2")


def published(name: str, store: Store, folder: Path) -> list[Row]:
    """A published pile: bits a token over the per-unit entropy, and counts out of it beside `datasets`."""
    import datasets

    pile = make_pile(store, quality="all", test=0)
    sparse = pile.publish(folder / f"{name}-sparse", layout="sparse")
    pile.publish(folder / f"{name}-dense", layout="dense")
    opened = open_pile(folder / f"{name}-sparse")
    entropy = sum(unit_entropy_bits(s.counts().to_numpy()) for s in opened) / pile.n_tokens
    buffer = np.empty(max(s.n_tokens for s in opened), np.uint8)
    segments = list(opened)

    def ours() -> None:
        opened.source.rows._group.cache_clear()  # type: ignore[attr-defined]
        for s in segments:
            s.counts(out=buffer)

    loaded = datasets.load_dataset(str(folder / f"{name}-dense"), split="train", cache_dir=str(folder / "cache")).with_format("numpy")
    few = range(min(2, len(loaded)))
    tokens = sum(np.asarray(loaded[i]["spike_counts"]).size for i in few)
    theirs = tokens / median_s(lambda: [loaded[i]["spike_counts"] for i in few]) / 1e9
    labelled = pile.n_tokens / median_s(lambda: [s.counts() for s in segments]) / 1e9
    return [
        row("published size, bits a token, over per-unit entropy", name, "entropy", entropy, sparse.bits_per_token, "<= 1.10x"),
        row("counts out of a published pile into a buffer, Gtoken/s", name, "datasets, numpy format", theirs, pile.n_tokens / median_s(ours) / 1e9, ">= 3"),
        row("the same as labelled counts(), Gtoken/s", name, "datasets, numpy format", theirs, labelled, ">= 1.5"),
    ]


def unit_entropy_bits(counts: np.ndarray) -> float:
    """Bits of an ideal code that knows each unit's distribution of counts: the sum over units of n * H(unit)."""
    total = 0.0
    for unit in counts:
        n = np.bincount(unit)
        p = n[n > 0] / len(unit)
        total -= len(unit) * float((p * np.log2(p)).sum())
    return total


def made_up_pile(n: int, dataset: str, seed: int = 0) -> Pile:
    """A pile of `n` segments over 700 sessions that are nowhere."""
    rng = np.random.default_rng(seed)
    session = np.arange(n) % 700
    texts = {f.name: [f"{dataset}_{f.name}_{i}" for i in session.tolist()] for f in SEGMENT_SCHEMA if pa.types.is_string(f.type)}
    same = {"dataset": dataset, "store": f"stores/{dataset}", "split": "train"}
    texts |= {"segment_id": [f"segment_{i // 700}" for i in range(n)], **{c: [v] * n for c, v in same.items()}}
    numbers = {
        "selection_id": np.full(n, -1),
        "order_id": np.full(n, -1),
        "first_bin": np.arange(n) // 700 * 1000,
        "bin_num": np.full(n, 1),
        "bin_den": np.full(n, 50),
    }
    columns = [pa.array(texts[f.name]) if f.name in texts else pa.array(numbers.get(f.name, rng.integers(1, 1000, n))).cast(f.type) for f in SEGMENT_SCHEMA]
    meta = {"bin_width": "1/50", "split_by": "recording", "max_tokens": 10**7, "seed": 0, "quality": "all", "where": None, "left_out": {}, "warnings": []}
    return Pile(pa.table(columns, schema=SEGMENT_SCHEMA), StoreSource({}), meta)


def listing(folder: Path) -> Row:
    """Ten piles of 5000 segments merged, shuffled, split anew, weighted, saved and opened again, seconds."""
    piles = [made_up_pile(5_000, f"dataset_{i}", i) for i in range(10)]

    def everything() -> None:
        whole = corpus.split(corpus.shuffle(corpus.merge(piles), 1), test=0.01)
        corpus.weigh(whole, {"dataset_3": 2.0}).save(folder / "all.parquet", replace=True)
        opened = open_pile(folder / "all.parquet")
        assert len(opened) == 50_000
        assert opened.train.n_tokens + opened.test.n_tokens == opened.n_tokens

    return row("merge, shuffle, split, save, open 50 000 segments, s", "made up", "", None, median_s(everything), "< 3 s")


def help_time() -> Row:
    """`neuropile --help` in a process of its own, seconds."""
    seconds = median_s(lambda: subprocess.run([sys.executable, "-m", "neuropile", "--help"], capture_output=True, check=True), repeats=9)
    return row("neuropile --help, s", "", "", None, seconds, "< 0.3 s")


def tables(folder: Path) -> dict[str, list[Row]]:
    """Every speed and size beside its peer."""
    rows: list[Row] = []
    for data, store in stores(folder).items():
        rows += [*binning(data, store), session_counts(data, store), random_segments(data, store), *published(data, store, folder)]
    return {"speed and size": [*rows, listing(folder), help_time()]}
