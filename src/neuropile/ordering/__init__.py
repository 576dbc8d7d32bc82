"""An order of each session's units in which those that fire alike lie beside each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from neuropile.errors import PileError
from neuropile.ordering import kernels
from neuropile.ordering.cooccurrence import cosine, similarity, together
from neuropile.pile import OrderKey, Pile, order_key
from neuropile.progress import QUIET, Progress
from neuropile.run import SERIAL, Done, Engine, map_combine

__all__ = ["Arrangement", "SessionOrder", "arrange", "cosine", "fit", "leaf_order", "orders", "reorder", "score", "similarity", "together", "with_fitted"]

METHOD = "cosine similarity of counts, Ward linkage, optimal leaf order, 2-opt and or-opt"
#: How many of the most similar others a move may put beside a unit; 50 gains less than 0.1 % more.
N_NEAREST = 12
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrangement:
    """An order of units and how alike its neighbours are.

    permutation : (unit,) int64: row i of what is reordered is row permutation[i] of what was given; silent units come last
    n_silent : units that never fired while observed
    before, ward, leaf, after : the mean cosine similarity of neighbours, silent units left out: as given, in the order
        of Ward's tree as it comes, in its optimal leaf order, and after the local improvement; NaN for fewer than two units
    """

    permutation: np.ndarray
    n_silent: int
    before: float
    ward: float
    leaf: float
    after: float


def ward_tree(alike: np.ndarray) -> np.ndarray:
    """Ward's tree of units: (unit - 1, 2) int64, row v the two nodes that node unit + v joins; units are nodes 0 .. unit - 1.

    Ward's formula is meant for Euclidean distances. Here it is given 1 - similarity, as the published scripts do: a
    common heuristic, no more, and the leaf order that follows is optimal for whatever tree comes out.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    if len(alike) < 2:
        return np.empty((0, 2), np.int64)
    distance = 1.0 - alike
    np.fill_diagonal(distance, 0.0)
    return linkage(squareform(distance, checks=False), method="ward")[:, :2].astype(np.int64)


def leaf_order(alike: np.ndarray, tree: np.ndarray | None = None) -> np.ndarray:
    """Of all orders that a tree allows, one whose neighbours are most alike in sum: (unit,) int64.

    alike : (unit, unit) float64, symmetric, as `similarity` gives it; tree : as `ward_tree` gives it, which is the default

    Raises
    ------
    PileError : the matrix is not square, symmetric and finite, or the tree is not one of its units
    """
    alike = _checked(alike)
    tree = ward_tree(alike) if tree is None else np.asarray(tree, np.int64)
    if len(alike) < 2:
        return np.arange(len(alike))
    joined = tree.shape == (len(alike) - 1, 2) and np.array_equal(np.sort(tree, axis=None), np.arange(2 * len(alike) - 2))
    if not joined or (tree >= len(alike) + np.arange(len(tree))[:, None]).any():
        raise PileError(f"the tree does not join {len(alike)} units, each node once and before it is joined itself")
    return kernels.best_leaves(alike, tree)


def score(alike: np.ndarray, order: np.ndarray) -> float:
    """The mean similarity of neighbours in an order, units that never fired left out; NaN for fewer than two units."""
    order = np.asarray(order)[np.diag(alike)[order] > 0]
    return float(alike[order[:-1], order[1:]].mean()) if len(order) > 1 else float("nan")


def arrange(alike: np.ndarray) -> Arrangement:
    """Order units so that those alike lie beside each other: Ward's tree, its optimal leaf order, then a local improvement.

    The same matrix gives the same order: ties go to the lower index, and the end with the lower index comes first.

    Parameters
    ----------
    alike : (unit, unit) float64, symmetric; 0 on the diagonal marks a unit that never fired

    Raises
    ------
    PileError : the matrix is not square, symmetric and finite
    """
    alike = _checked(alike)
    fires = np.diag(alike) > 0
    units = np.flatnonzero(fires)
    silent = np.flatnonzero(~fires)
    own = np.ascontiguousarray(alike[np.ix_(units, units)])
    tree = ward_tree(own)
    ward, leaf = _leaves(tree, len(own)), leaf_order(own, tree)
    best = leaf.copy()
    if len(own) > 2:
        kernels.improve(own, best, kernels.nearest(own, min(N_NEAREST, len(own) - 1)))
    scores = [score(own, order) for order in (np.arange(len(own)), ward, leaf, best)]
    if len(best) and best[0] > best[-1]:
        best = best[::-1]
    return Arrangement(np.concatenate([units[best], silent]), len(silent), *scores)


def _leaves(tree: np.ndarray, n: int) -> np.ndarray:
    """The leaves of a tree as they come, left children first."""
    order, todo = [], [2 * n - 2] if n else []
    while todo:
        node = todo.pop()
        if node < n:
            order.append(node)
        else:
            todo += tree[node - n][::-1].tolist()
    return np.array(order, np.int64)


def _checked(alike: np.ndarray) -> np.ndarray:
    alike = np.ascontiguousarray(alike, np.float64)
    if alike.ndim != 2 or alike.shape[0] != alike.shape[1] or not np.isfinite(alike).all() or not np.array_equal(alike, alike.T):
        raise PileError(f"a similarity is (unit, unit), symmetric and finite; this one, of shape {alike.shape}, is not")
    return alike


@dataclass(frozen=True)
class SessionOrder:
    """The order of the units of one session, or of those that a selection takes of it.

    key : whose order it is, as `Pile.with_orders` takes it
    fitted_on : "train", the training split's segments of the session, or "all", where it has none there
    n_bins : how many bins these have
    """

    key: OrderKey
    arrangement: Arrangement
    fitted_on: str
    n_bins: int

    def row(self) -> dict[str, Any]:
        """What a table shows of it."""
        a = self.arrangement
        n, session = len(a.permutation), {"session": self.key.session, "selection_id": self.key.selection_id}
        return {**session, "units": n, "silent": a.n_silent, "before": a.before, "ward": a.ward, "leaf": a.leaf, "after": a.after, "fitted_on": self.fitted_on}


@dataclass(frozen=True)
class _Job:
    """One session's segments, as a pile that other processes can be sent."""

    key: OrderKey
    pile: Pile

    def __str__(self) -> str:
        return self.key.session


def fit(pile: Pile, *, engine: Engine = SERIAL, progress: Progress = QUIET) -> Done[tuple[SessionOrder, ...]]:
    """Find an order for each session (and selection of its units) of a pile, each from that session's counts alone.

    A session that cannot be read is among the failures, and the others go on.

    Raises
    ------
    PileError : the pile has no segments
    """
    jobs = _jobs(pile)
    if not jobs:
        raise PileError("the pile has no segments, so there are no units to order; make one of a store with: neuropile pile STORE --out PILE")
    return map_combine(jobs, _fit, _joined, engine=engine, progress=progress, label="ordering")


def orders(pile: Pile, *, engine: Engine = SERIAL, progress: Progress = QUIET) -> dict[OrderKey, np.ndarray]:
    """The permutation of each session's units: row i is to be what is row permutation[i] as stored.

    Raises
    ------
    PileError : the pile has no segments
    RunError : a session could not be read; `fit` gives the others
    """
    return {o.key: o.arrangement.permutation for o in fit(pile, engine=engine, progress=progress).whole("ordering units")}


def reorder(pile: Pile, *, engine: Engine = SERIAL, progress: Progress = QUIET) -> Pile:
    """The pile with the units of each session beside those that fire alike.

    A session that cannot be read keeps its units as stored; `meta["order"]["failed"]` and the log name it.

    Raises
    ------
    PileError : the pile has no segments
    RunError : none of its sessions can be read
    """
    return with_fitted(pile, fit(pile, engine=engine, progress=progress))


def with_fitted(pile: Pile, done: Done[tuple[SessionOrder, ...]]) -> Pile:
    """The pile with the orders that `fit` found for it, and in its `meta` how they were found."""
    found = done.value if done.value is not None else done.whole("ordering units")
    for failure in done.failures:
        _log.warning("%s keeps its units as stored: %s", failure.item, failure.error)
    ordered = pile.in_stored_order().with_orders({o.key: o.arrangement.permutation for o in found})
    ordered.meta["order"] = {
        "method": METHOD,
        "sessions": len(found),
        "fitted_on_train": sum(o.fitted_on == "train" for o in found),
        "fitted_on_all": sum(o.fitted_on == "all" for o in found),
        "failed": [{"session": f.item, "error": f.error} for f in done.failures],
    }
    return ordered


def _jobs(pile: Pile) -> list[_Job]:
    pile = pile.in_stored_order()
    places: dict[OrderKey, list[int]] = {}
    for i, segment in enumerate(pile):
        places.setdefault(order_key(segment), []).append(i)
    whole = 2**62  # one shard, which has left behind what other sessions need
    return [_Job(key, pile.take(np.array(at)).shards(whole)[0].pile) for key, at in places.items()]


def _fit(job: _Job) -> tuple[SessionOrder, ...]:
    """The order of one session, as a tuple that `_joined` puts beside others."""
    ids = job.pile[0].unit_ids
    for segment in job.pile:
        if segment.unit_ids != ids:
            raise PileError(
                f"{segment.key}: {segment.segment_id} holds other units than {job.pile[0].segment_id}; publish its pile again with one selection of units"
            )
    train = job.pile.train
    pairs, n_bins = session_pairs(train if len(train) else job.pile)
    return (SessionOrder(job.key, arrange(cosine(pairs)), "train" if len(train) else "all", n_bins),)


def session_pairs(pile: Pile) -> tuple[np.ndarray, int]:
    """What `together` gives, summed over segments of one session: (unit, unit) int64; and how many bins they have."""
    pairs = np.zeros((pile[0].n_units, pile[0].n_units), np.int64)
    n_bins = 0
    for segment in pile:
        pairs += together(*segment.events(), segment.n_bins, segment.observed)
        n_bins += segment.n_bins
    return pairs, n_bins


def _joined(parts: Sequence[tuple[SessionOrder, ...]]) -> tuple[SessionOrder, ...]:
    return tuple(chain.from_iterable(parts))
