"""The search for the nearest of many points of whole numbers, exact to the last tie."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Points a leaf: four vectors of 32 short whole numbers. Smaller leaves are skipped more often, but take no less time.
LEAF = 128
#: Features are taken four at a time, so that sums go through memory once for four; arrays are padded to such a number.
STEP = 4
#: What rounding in 32 bits may do to a bound, a place (by its distance from 0) or a score is far below these; whatever they let through is
#: compared exactly.
_BOUND_SLACK = 1e-4
_PLACE_SLACK = 1e-6
_SCORE_SLACK = 4e-6
#: What is measured is never NaN; bounds may be added in any order.
_NEVER_NAN = {"nnan", "nsz", "contract", "reassoc"}


@njit(cache=True)
def _compared(a, norm_a, b, norm_b):
    """1, 0 or -1 as a / sqrt(norm_a) is above, equal to or below b / sqrt(norm_b); whole numbers >= 0 unless the norms are equal."""
    if norm_a == norm_b:
        return (a > b) - (a < b)
    if a < 32768 and b < 32768 and norm_a < 1 << 31 and norm_b < 1 << 31:
        left, right = a * a * norm_b, b * b * norm_a
        return (left > right) - (left < right)
    whole_a, whole_b = a * a // norm_a, b * b // norm_b  # the squares crosswise would not fit 64 bits
    if whole_a != whole_b:
        return 1 if whole_a > whole_b else -1
    left, right = (a * a - whole_a * norm_a) * norm_b, (b * b - whole_b * norm_b) * norm_a
    return (left > right) - (left < right)


@njit(cache=True, inline="always")
def _outside(x, low, high):
    return max(max(low - x, x - high), np.float32(0))


@njit(cache=True, fastmath=_NEVER_NAN)
def _bound(point, low, high, bounds):
    """The squared distance from a point to each box: low, high (feature, box), bounds (box,) float32."""
    for j in range(len(bounds)):
        bounds[j] = 0
    for f in range(0, len(point), STEP):
        w, x, y, z = point[f], point[f + 1], point[f + 2], point[f + 3]
        for j in range(len(bounds)):
            a, b = _outside(w, low[f, j], high[f, j]), _outside(x, low[f + 1, j], high[f + 1, j])
            c, d = _outside(y, low[f + 2, j], high[f + 2, j]), _outside(z, low[f + 3, j], high[f + 3, j])
            bounds[j] += (a * a + b * b) + (c * c + d * d)


@njit(cache=True)
def _score(cells, leaf, weights, query, used, n_used, scores):
    """Add weight * value over the `n_used` weights of a query that are used, a multiple of STEP, for each point of a leaf: scores (LEAF,)."""
    kind = scores.dtype.type  # of every step, so that vectors hold as many as there can be
    for k in range(0, n_used, STEP):
        a, b, c, d = used[k], used[k + 1], used[k + 2], used[k + 3]
        wa, wb, wc, wd = weights[query, a], weights[query, b], weights[query, c], weights[query, d]
        for i in range(LEAF):
            first = kind(kind(wa * kind(cells[leaf, a, i])) + kind(wb * kind(cells[leaf, b, i])))
            last = kind(kind(wc * kind(cells[leaf, c, i])) + kind(wd * kind(cells[leaf, d, i])))
            scores[i] = kind(scores[i] + kind(first + last))


@njit(cache=True)
def _n_reaching(scores, scales, leaf, at_least):
    """How many scores of a leaf, scaled, are so high."""
    n = np.int32(0)
    for i in range(LEAF):
        n += np.int32(scores[i] * scales[leaf, i] >= at_least)
    return n


@njit(cache=True)
def _highest(scores, scales, leaf, scaled):
    """The highest score of a leaf, scaled. `scaled` is written over: the higher of either half, again and again, as whole vectors."""
    for i in range(LEAF):
        scaled[i] = scores[i] * scales[leaf, i]
    n = LEAF
    while n > 1:
        n //= 2
        for i in range(n):
            scaled[i] = scaled[i] if scaled[i] > scaled[i + n] else scaled[i + n]
    return scaled[0]


@njit(cache=True)
def _lowest(values):
    """Where the lowest of some whole numbers is first."""
    low = values[0]
    for i in range(len(values)):
        low = min(low, values[i])
    i = 0
    while values[i] != low:
        i += 1
    return i


@njit(cache=True)
def _no_farther(bounds, limit, first, near, some):
    """List the leaves within a limit behind `first`: those within half of it before the others; how many there are with it."""
    half = np.float32(0.5) * limit
    n_some = 0
    for j in range(len(bounds)):  # without branches: they could not be foretold
        some[n_some] = j
        n_some += bounds[j] <= limit
    n = 1
    for j in some[:n_some]:
        near[n] = j
        n += (bounds[j] <= half) & (j != first)
    for j in some[:n_some]:
        near[n] = j
        n += (bounds[j] > half) & (j != first)
    return n


@njit(cache=True)
def _best(points, reached, scored, tops, at_least):
    """The number of the point of the highest score, compared exactly, and of equal ones the lowest.

    points : (scales, norms, numbers); reached, scored, tops : leaves, their scores and the highest of them; none below at_least counts
    """
    scales, norms, numbers = points
    top, top_norm, top_number = np.int64(0), np.int64(0), np.int64(-1)
    for k in range(len(tops)):
        leaf = reached[k]
        for i in range(LEAF if tops[k] >= at_least else 0):
            if scored[k, i] * scales[leaf, i] >= at_least:
                score, norm, number = np.int64(scored[k, i]), norms[leaf, i], numbers[leaf, i]
                better = 1 if top_number < 0 else _compared(score, norm, top, top_norm)
                if better > 0 or (better == 0 and number < top_number):
                    top, top_norm, top_number = score, norm, number
    return top_number


@njit(cache=True)
def _limit(top, square, cosine):
    """Boxes that are farther than this hold no point whose score is as high; rounding is allowed for. See `find_nearest` for `square`."""
    distance = max(2 - 2 * top / np.sqrt(square) if cosine else square - top, 0.0)
    reach = np.sqrt(distance) + _PLACE_SLACK * (1 if cosine else np.sqrt(square))  # places are rounded by their size
    return np.float32(reach * reach * (1 + _BOUND_SLACK) + _BOUND_SLACK)


@njit(cache=True)
def find_nearest(weights, total_weights, points, squares, leaves, cosine):
    """Of each query the point of the highest score; of equal ones the lowest number.

    A score is the sum of weight * cell, of total weight * total and of the point's own term, over the root of the point's norm.
    Leaves whose box is farther from the query than the best point so far are skipped; scores are whole numbers and compared as such.

    Parameters
    ----------
    weights, total_weights : (query, cell + 1) and (query,) whole numbers of the type of the terms; of the last cell 0
    points : (query, feature) float32, where a query lies among the boxes; a multiple of STEP features
    squares : (query,) float64; the squared distance to a point is 2 - 2 score / sqrt(squares * norm) if cosine, else squares - score
    leaves : (low, high, cells, totals, terms, scales, norms, numbers): (feature, leaf) float32 boxes; (leaf, cell + 1, LEAF) uint8, small so
        that all of them stay in the cache; each (leaf, LEAF): totals and terms, whole numbers of a type in which every score is exact
        (sums on the way there may overflow short ones, and come back), 1 / sqrt(norm) as floats, norms int64, numbers int64
    cosine : totals and terms are 0, no score is negative; otherwise norms are 1

    Returns
    -------
    (query,) int64, the numbers of the nearest points
    """
    low, high, cells, totals, terms, scales = leaves[:6]
    n_leaves, n_cells = cells.shape[0], cells.shape[1]
    kind = terms.dtype.type
    best = np.empty(len(weights), np.int64)
    used = np.empty(n_cells + STEP, np.int64)
    bounds = np.empty(n_leaves, np.float32)
    ordered = bounds.view(np.int32)  # floats that are not negative are in the order of their bits
    near, some = np.empty(n_leaves + 2, np.int64), np.empty(n_leaves + 1, np.int64)
    scores, scaled = np.empty(LEAF, terms.dtype), np.empty(LEAF, scales.dtype)
    # leaves with a point that was the best so far, or came near it
    reached, tops, scored = np.empty(n_leaves, np.int64), np.empty(n_leaves, scales.dtype), np.empty((n_leaves, LEAF), terms.dtype)
    for q in range(len(weights)):
        n = 0
        for f in range(n_cells):
            used[n] = f
            n += weights[q, f] != 0
        while n % STEP:
            used[n] = n_cells - 1
            n += 1
        _bound(points[q], low, high, bounds)
        near[0], n_near = _lowest(ordered), 1
        at_least, limit = scales.dtype.type(-np.inf), np.float32(np.inf)
        j, k = 0, 0
        while j < n_near:
            leaf = near[j]
            j += 1
            if bounds[leaf] > limit:
                continue
            for i in range(LEAF):
                scores[i] = kind(0) if cosine else kind(terms[leaf, i] + kind(total_weights[q] * totals[leaf, i]))
            _score(cells, leaf, weights, q, used, n, scores)
            if _n_reaching(scores, scales, leaf, at_least):
                top = _highest(scores, scales, leaf, scaled)
                reached[k], tops[k], scored[k] = leaf, top, scores
                k += 1
                if cosine:
                    top -= top * scales.dtype.type(_SCORE_SLACK)
                if top > at_least:
                    at_least = top
                    limit = _limit(top, squares[q], cosine)
            if j == 1:  # what seemed nearest is known: only leaves no farther than that can hold anything nearer
                n_near = _no_farther(bounds, limit, leaf, near, some)
        best[q] = _best(leaves[5:], reached, scored, tops[:k], at_least)
    return best
