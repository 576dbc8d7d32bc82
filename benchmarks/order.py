"""Ordering units beside SciPy: seconds from a similarity matrix to an order, how alike neighbours are, and the similarity itself.

SciPy's optimal leaf ordering of 2000 units takes minutes, so it is run there only where NEUROPILE_SLOW_PEERS is set, and then once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform

from benchmarks.common import median_s, stores
from neuropile import Store, make_pile, ordering

Row = dict[str, object]
#: Beyond so many units SciPy's ordering is slow.
FEW = 1000


def made_up(n_units: int, n_bins: int = 15_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Events of units that share twelve slow factors and have log-normal rates: (unit + 1,) offsets, (event,) bins of 20 ms."""
    rng = np.random.default_rng(seed)
    factors = np.repeat(rng.normal(size=(12, n_bins // 25 + 1)), 25, axis=1)[:, :n_bins]  # new values every half a second
    loads = rng.normal(size=(n_units, 12)) * (rng.uniform(size=(n_units, 12)) < 0.25)
    rates = rng.lognormal(np.log(0.044), 1.26, n_units)  # a mean of 0.098 a bin, as benchmarks.common has it
    trains = []
    for rate, load in zip(rates, loads, strict=True):
        drive = np.exp(load @ factors)
        counts = rng.poisson(np.minimum(rate * drive / drive.mean(), 5))
        trains.append(np.repeat(np.arange(n_bins, dtype=np.int32), counts))
    return np.cumsum([0, *map(len, trains)]), np.concatenate(trains)


def theirs(alike: np.ndarray) -> np.ndarray:
    """The order that SciPy gives."""
    distance = squareform(1 - alike, checks=False)
    return leaves_list(optimal_leaf_ordering(linkage(distance, "ward"), distance))


def ordered(name: str, alike: np.ndarray) -> list[Row]:
    """Seconds from a similarity matrix to an order, and the mean similarity of neighbours."""
    fires = np.diag(alike) > 0
    alike = np.ascontiguousarray(alike[np.ix_(fires, fires)])
    n = len(alike)
    found = ordering.arrange(alike)
    ours_s = median_s(lambda: ordering.arrange(alike))
    what = [f"order of {n} units from their similarity, s", f"mean similarity of neighbours, {n} units", f"the same, before, {n} units"]
    if n > FEW and not os.environ.get("NEUROPILE_SLOW_PEERS"):
        few = [_row(what[0], name, "", None, ours_s, None, ">= 40x"), _row(what[1], name, "Ward's tree as it comes", found.ward, found.after, None, "")]
        return [*few, _row(what[2], name, "", None, found.before, None, "")]
    start = time.perf_counter()
    order = theirs(alike)
    seconds = time.perf_counter() - start
    if n <= FEW:
        seconds = median_s(lambda: theirs(alike))
    peer = "scipy linkage + optimal_leaf_ordering" + (" (once)" if n > FEW else "")
    score = ordering.score(alike, order)
    return [
        _row(what[0], name, peer, seconds, ours_s, seconds / ours_s, ">= 40x" if n >= 2000 else ""),
        _row(what[1], name, peer, score, found.after, found.after / score, ">= 1"),
        _row("the same, optimal leaf order alone", name, peer, score, found.leaf, found.leaf / score, ">= 1"),
        _row(what[2], name, "", None, found.before, None, ""),
    ]


def paired(name: str, offsets: np.ndarray, bins: np.ndarray, n_bins: int) -> Row:
    """Seconds to count how often units fire together, beside a sparse product."""
    n = len(offsets) - 1
    counts = csr_array((np.ones(len(bins), np.int64), (np.repeat(np.arange(n), np.diff(offsets)), bins)), shape=(n, n_bins))
    assert np.array_equal((counts @ counts.T).toarray(), ordering.together(offsets, bins, n_bins))
    peer = median_s(lambda: (counts @ counts.T).toarray())
    ours = median_s(lambda: ordering.together(offsets, bins, n_bins))
    return _row(f"pairs of events in {n} units x {n_bins} bins, s", name, "scipy.sparse A @ A.T", peer, ours, peer / ours, "")


def largest(store: Store) -> tuple[np.ndarray, np.ndarray, int]:
    """The first segment of the session with most units: its events and how many bins it has."""
    pile = make_pile(store, quality="all", test=0)
    segment = max(pile, key=lambda s: s.n_units)
    return (*segment.events(), segment.n_bins)


def _row(what: str, data: str, peer: str, their: float | None, our: float, ratio: float | None, aim: str) -> Row:
    return {"what": what, "data": data, "peer": peer, "theirs": their, "ours": our, "ratio": ratio, "aim": aim}


def tables(folder: Path) -> dict[str, list[Row]]:
    """Each step beside its peer, on the largest real session at hand and on made-up ones."""
    rows: list[Row] = []
    offsets, bins, n_bins = largest(stores(folder, 10, 20.0)["real"])
    for name, events, length in [("real", (offsets, bins), n_bins), ("made up", made_up(800), 15_000), ("made up", made_up(2000), 15_000)]:
        rows += [paired(name, *events, length), *ordered(name, ordering.similarity(*events, length))]
    return {"unit order": rows}
