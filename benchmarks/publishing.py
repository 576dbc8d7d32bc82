"""Publishing beside the usual way: nested lists through `datasets`, and a dense matrix on the way to sparse rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.common import median_s, stores
from benchmarks.speed import Row, row
from neuropile import Pile, make_pile
from neuropile.readers import published_rows


def tables(folder: Path) -> dict[str, list[Row]]:
    """Making and reading rows, each beside the usual way."""
    rows: list[Row] = []
    for name, store in stores(folder, n_units=200, duration_s=600.0).items():
        pile = make_pile(store, quality="all", test=0.0)
        rows += _compare(name, pile[:2] if name == "real" else pile, folder / name)
    return {"publishing on one core": rows}


def _compare(name: str, pile: Pile, folder: Path) -> list[Row]:
    mtokens = pile.n_tokens / 1e6

    def speed(job: Callable[[], object]) -> float:
        return mtokens / median_s(job)

    def back() -> None:
        for session in published_rows.sessions(folder / "dense"):
            with published_rows.rows()(session) as recording:
                for unit in range(recording.trains.n_units):
                    recording.trains.read(unit)

    usual = speed(lambda: _usual(pile, folder / "usual"))
    ours = {x: speed(lambda x=x: pile.publish(folder / x, layout=x, replace=True)) for x in ("sparse", "dense")}  # type: ignore[misc]
    events, matrix = speed(lambda: [s.events() for s in pile]), speed(lambda: [_by_matrix(s) for s in pile])
    peer, usual_bytes = "nested lists by `datasets`", (folder / "usual" / "train.parquet").stat().st_size
    return [
        *(row(f"a pile published, {x}, Mtoken/s", name, peer, usual, speed, "") for x, speed in ours.items()),
        *(row(f"the same, MB, {x}", name, peer, usual_bytes / 1e6, _size(folder / x) / 1e6, "") for x in ours),
        row("a segment's events, Mtoken/s", name, "dense counts, numpy.nonzero", matrix, events, ""),
        row("dense rows ingested, Mtoken/s", name, "", None, speed(back), ""),
    ]


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
