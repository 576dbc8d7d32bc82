"""Publishing beside the usual way: nested lists through `datasets`, and a dense matrix on the way to sparse rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from benchmarks.common import median_s, stores
from neuropile import Pile, make_pile
from neuropile.readers import published_rows

Row = dict[str, object]


def tables(folder: Path) -> dict[str, list[Row]]:
    """A row a store, and for each what one core does."""
    rows = []
    for name, store in stores(folder, n_units=200, duration_s=600.0).items():
        pile = make_pile(store, quality="all", test=0.0)
        pile = pile[:2] if name == "real" else pile
        rows.append(_compare(name, pile, folder / name))
    return {"Publishing, Mtoken/s on one core, and what comes out": rows}


def _compare(name: str, pile: Pile, folder: Path) -> Row:
    mtokens = pile.n_tokens / 1e6

    def ours(layout: str) -> float:
        return mtokens / median_s(lambda: pile.publish(folder / layout, layout=layout, replace=True))

    def back() -> None:
        corpus = published_rows.sessions(folder / "dense")
        for session in corpus:
            with published_rows.rows()(session) as recording:
                for unit in range(recording.trains.n_units):
                    recording.trains.read(unit)

    sparse, dense = ours("sparse"), ours("dense")
    usual = mtokens / median_s(lambda: _usual(pile, folder / "usual"))
    return {
        "data": name,
        "Mtokens": round(mtokens, 1),
        "sparse": sparse,
        "dense": dense,
        "datasets, nested lists": usual,
        "sparse / usual": sparse / usual,
        "events": mtokens / median_s(lambda: [s.events() for s in pile]),
        "dense matrix and nonzero": mtokens / median_s(lambda: [_by_matrix(s) for s in pile]),
        "dense rows back in": mtokens / median_s(back),
        "sparse bytes": _size(folder / "sparse"),
        "dense bytes": _size(folder / "dense"),
        "datasets' bytes": (folder / "usual" / "train.parquet").stat().st_size,
    }


def _by_matrix(segment: object) -> None:
    counts = segment.counts(out=np.empty((segment.n_units, segment.n_bins), np.uint8))  # type: ignore[attr-defined]
    unit, k = np.nonzero(counts)
    np.repeat(k, counts[unit, k])


def _usual(pile: Pile, folder: Path) -> None:
    """As the published scripts do: lists of lists, through a generator, into Parquet."""
    import datasets

    shutil.rmtree(folder, ignore_errors=True)
    features = datasets.Features({"spike_counts": datasets.List(datasets.List(datasets.Value("uint8"))), "segment_id": datasets.Value("string")})
    rows = [{"spike_counts": s.counts().values.tolist(), "segment_id": s.segment_id} for s in pile]
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / "train.parquet")


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in (folder / "data").iterdir())
