"""How alike units fire: the cosine similarity of their counts, from exact sums of products."""

from __future__ import annotations

import numpy as np

from neuropile.errors import PileError
from neuropile.ordering import pair_kernels as kernels

#: Above this share of all (unit, unit, bin) that are pairs of events, a dense matrix product is the faster way: a pair
#: takes a nanosecond and a half, a product of a dense one a thirtieth of that on one core.
DENSE_SHARE = 1 / 32
#: Whole numbers up to here are exact in float32, sums of them included.
_EXACT_32 = 2**24


def together(offsets: np.ndarray, bins: np.ndarray, n_bins: int, observed: np.ndarray | None = None) -> np.ndarray:
    """How often units fire together: the sum over bins of the product of two units' counts, exactly.

    Parameters
    ----------
    offsets : (unit + 1,) int64; unit u owns bins[offsets[u]:offsets[u + 1]]
    bins : (event,) whole numbers in 0 .. n_bins - 1, ascending within a unit; a bin that holds n events comes n times
    observed : (run, 3) int64: unit (-1 all units), first bin, bin after the last; events elsewhere do not count. None: all is observed

    Returns
    -------
    (unit, unit) int64, symmetric

    Raises
    ------
    PileError : offsets or bins are not what they must be
    """
    offsets, bins = np.asarray(offsets, np.int64), np.asarray(bins)
    _check_events(offsets, bins, n_bins)
    bins = bins.astype(np.int32, copy=False)
    if observed is not None and not np.array_equal(observed, [(-1, 0, n_bins)]):
        runs = np.asarray(observed, np.int64).reshape(-1, 3)
        offsets, bins = kernels.keep_observed(offsets, bins, runs[np.argsort(runs[:, 0], kind="stable")], n_bins)
    n_units = len(offsets) - 1
    out = np.zeros((n_units, n_units), np.int64)
    if len(bins):
        starts, units = kernels.events_by_bin(offsets, bins, n_bins)
        if float((np.diff(starts).astype(np.float64) ** 2).sum()) > DENSE_SHARE * n_units**2 * n_bins:
            _add_dense(offsets, bins, n_bins, out)
        else:
            kernels.add_pairs(offsets, bins, starts, units, out)
            out += np.triu(out, 1).T
    return out


def _check_events(offsets: np.ndarray, bins: np.ndarray, n_bins: int) -> None:
    n_units = len(offsets) - 1
    if n_units < 0 or offsets[0] != 0 or offsets[-1] != len(bins) or (np.diff(offsets) < 0).any():
        raise PileError(f"offsets must rise from 0 to the {len(bins)} events; they are not those of these bins")
    if len(bins) and (bins.min() < 0 or bins.max() >= n_bins):
        raise PileError(f"events lie in bins {bins.min()} to {bins.max()}; they must lie in 0 to {n_bins - 1}")
    falls = np.flatnonzero(np.diff(bins.astype(np.int64)) < 0) + 1
    if not np.isin(falls, offsets).all():
        raise PileError("a unit's bins must be in ascending order; sort them within each unit")


def _add_dense(offsets: np.ndarray, bins: np.ndarray, n_bins: int, out: np.ndarray) -> None:
    """Add the same as `add_pairs`, both halves, by products of dense blocks of bins whose sums are exact in floats."""
    n_units = len(offsets) - 1
    largest = _largest_count(offsets, bins)
    kind, exact = (np.float32, _EXACT_32) if largest**2 <= _EXACT_32 // 64 else (np.float64, 2**53)
    width = int(np.clip(exact // largest**2, 1, max(2**24 // n_units, 64)))
    place = offsets[:-1].copy()
    for first in range(0, n_bins, width):
        block = np.zeros((n_units, min(width, n_bins - first)), kind)
        kernels.dense_counts(offsets, bins, place, first, block)
        out += (block @ block.T).astype(np.int64)


def _largest_count(offsets: np.ndarray, bins: np.ndarray) -> int:
    """The most events of one unit in one bin."""
    new = np.ones(len(bins) + 1, bool)
    new[1:-1] = np.diff(bins) != 0
    new[offsets] = True
    return int(np.diff(np.flatnonzero(new)).max())


def cosine(pairs: np.ndarray) -> np.ndarray:
    """The cosine similarity of units' counts from what `together` gives: (unit, unit) float64.

    A unit that never fired has 0 with every unit, itself included.
    """
    norm = np.sqrt(np.diag(pairs).astype(np.float64))
    both = norm[:, None] * norm
    out = np.divide(pairs, both, out=np.zeros(both.shape), where=both > 0)
    np.minimum(out, 1.0, out=out)
    np.fill_diagonal(out, norm > 0)
    return out


def similarity(offsets: np.ndarray, bins: np.ndarray, n_bins: int, observed: np.ndarray | None = None) -> np.ndarray:
    """The cosine similarity of units' counts, of observed bins only: (unit, unit) float64; see `together` for the parameters."""
    return cosine(together(offsets, bins, n_bins, observed))
