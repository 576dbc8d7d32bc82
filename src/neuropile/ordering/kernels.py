"""The inner loops of ordering units: the best order of a tree's leaves, and moves that better a sequence."""

from __future__ import annotations

import numpy as np
from numba import njit

#: The longest piece of the sequence that an or-opt move takes elsewhere: Or (1976) took up to three, as is still usual.
LONGEST_PIECE = 3
#: What a move must gain: far above the rounding of sums of a few cosines, so that no two moves undo each other forever.
_LEAST_GAIN = 1e-12
#: Rows of 2000 float64 that fit a second-level cache of half a megabyte.
_TILE = 32


@njit(cache=True)
def best_leaves(similarity, children):
    """Of all orders that a binary tree allows, one whose neighbours' similarities have the largest sum.

    The optimum of Bar-Joseph, Gifford and Jaakkola (2001), "Fast optimal leaf ordering for hierarchical clustering", in
    the O(n^3) form of Bar-Joseph, Biedl et al. (2001), "Optimal arrangement of leaves in the tree representing
    hierarchical clustering of gene expression data": of a node with subtrees w and x, best[i, j] is the largest sum of an
    order of its leaves from i in w to j in x. It is found in two steps,
    through[i, k] = max over h of best[i, h] + similarity[h, k], then best[i, j] = max over k of through[i, k] + best[k, j],
    where h ends w if i begins it, and k begins x if j ends it. Leaves are numbered from left to right in the tree, so that
    a subtree is a range of them, and every pair (i, j) belongs to one node only, so that one array holds all nodes.
    Rows that can raise nothing are not looked for: of 2000 units there were too few (3 % in the longer step) to pay.

    Parameters
    ----------
    similarity : (leaf, leaf) float64, symmetric
    children : (leaf - 1, 2) int64; node leaf + v joins two nodes that come before it

    Returns
    -------
    order : (leaf,) int64
    """
    n = len(similarity)
    spans = _spans(children, n)
    leaf = np.empty(n, np.int64)
    for i in range(n):
        leaf[spans[i, 0]] = i
    s = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            s[i, j] = similarity[leaf[i], leaf[j]]
    best = np.zeros((n, n))
    for v in range(n, 2 * n - 1):
        w, x = children[v - n]
        _join(spans[w], spans[x], s, best)
    return leaf[_trace(best, s, children, spans)]


@njit(cache=True)
def _spans(children, n):
    """Of each node its leaves, numbered from left to right: (node, 3), [first, middle) under its left child, [middle, after) under the right.

    A leaf has its own number as first and middle.
    """
    size = np.ones(2 * n - 1, np.int64)
    for v in range(n, 2 * n - 1):
        size[v] = size[children[v - n, 0]] + size[children[v - n, 1]]
    spans = np.zeros((2 * n - 1, 3), np.int64)
    spans[2 * n - 2, 2] = n
    for v in range(2 * n - 2, n - 1, -1):
        w, x = children[v - n]
        first, after = spans[v, 0], spans[v, 2]
        middle = first + size[w]
        spans[v, 1] = middle
        spans[w] = first, first, middle
        spans[x] = middle, middle, after
    return spans


@njit(cache=True)
def _other_end(i, span):
    """The range of leaves that may end a subtree's order where leaf i begins it."""
    first, middle, after = span
    if i < middle:
        return middle, after
    return first, max(middle, first + (after - first == 1))


@njit(cache=True)
def _join(w, x, s, best):
    """Fill best[i, j] and best[j, i] for the leaves i of the left subtree and j of the right one, each a range with its middle.

    Rows of s and of best are taken a few at a time, for all i, so that they stay in the cache.
    """
    first, _, after = x
    through = np.full((w[2] - w[0], after - first), -np.inf)
    best[w[0] : w[2], first:after] = -np.inf
    for tile in range(w[0], w[2], _TILE):
        for i in range(w[0], w[2]):
            low, high = _other_end(i, w)
            for h in range(max(low, tile), min(high, tile + _TILE)):
                _raise_to(through[i - w[0]], best[i, h], s[h, first:after])
    for tile in range(first, after, _TILE):
        for i in range(w[0], w[2]):
            for k in range(tile, min(after, tile + _TILE)):
                low, high = _other_end(k, x)
                _raise_to(best[i, low:high], through[i - w[0], k - first], best[k, low:high])
    for j in range(first, after):
        for i in range(w[0], w[2]):
            best[j, i] = best[i, j]


@njit(cache=True)
def _raise_to(row, head, tail):
    """Raise each element of row to head + tail where that is more: the loop in which all the time goes."""
    for j in range(len(row)):
        t = head + tail[j]
        row[j] = t if t > row[j] else row[j]


@njit(cache=True)
def _trace(best, s, children, spans):
    """The order of leaves that `best` promises; of equal ones, that of the leaves furthest left."""
    n = len(best)
    order = np.empty(n, np.int64)
    order[0] = 0
    if n == 1:
        return order
    root = 2 * n - 2
    left, right = 0, spans[root, 1]
    for i in range(spans[root, 1]):
        for j in range(spans[root, 1], n):
            if best[i, j] > best[left, right]:
                left, right = i, j
    todo = np.empty((n, 4), np.int64)  # node, the leaf that begins its order, the one that ends it, where it begins
    todo[0] = root, left, right, 0
    n_todo = 1
    while n_todo:
        n_todo -= 1
        v, start, stop, at = todo[n_todo]
        if v < n:
            order[at] = start
            continue
        w, x = children[v - n]
        i, j = min(start, stop), max(start, stop)
        h, k = _joint(i, j, _other_end(i, spans[w]), _other_end(j, spans[x]), s, best)
        if start == i:
            todo[n_todo] = w, i, h, at
            todo[n_todo + 1] = x, k, j, at + spans[w, 2] - spans[w, 0]
        else:
            todo[n_todo] = x, j, k, at
            todo[n_todo + 1] = w, h, i, at + spans[x, 2] - spans[x, 0]
        n_todo += 2
    return order


@njit(cache=True)
def _joint(i, j, left, right, s, best):
    """Which h and k meet where an order from i to j passes from the left subtree to the right one."""
    h, k = left[0], right[0]
    most = -np.inf
    for a in range(left[0], left[1]):
        for b in range(right[0], right[1]):
            t = best[i, a] + s[a, b] + best[j, b]
            if t > most:
                most, h, k = t, a, b
    return h, k


@njit(cache=True)
def nearest(similarity, n_nearest):
    """Of each unit the others most similar to it, most similar first, of equal ones the lower index: (unit, n_nearest) int64."""
    n = len(similarity)
    out = np.empty((n, n_nearest), np.int64)
    for u in range(n):
        row = similarity[u]
        found = 0
        for v in range(n):
            if v == u or (found == n_nearest and row[v] <= row[out[u, found - 1]]):
                continue
            at = found if found < n_nearest else found - 1
            while at > 0 and row[v] > row[out[u, at - 1]]:
                if at < n_nearest:
                    out[u, at] = out[u, at - 1]
                at -= 1
            out[u, at] = v
            found = min(found + 1, n_nearest)
    return out


@njit(cache=True)
def improve(similarity, order, near):
    """Better a sequence, in place, until no move does: reversals of a stretch (2-opt) and short pieces put elsewhere (or-opt).

    Each move raises the sum of neighbours' similarities, and joins a unit to one of those nearest to it. Units are
    tried by index, moves in a fixed order, so that the same input gives the same sequence.

    similarity : (unit, unit) float64, symmetric; order : (unit,) int64; near : what `nearest` gives
    Returns how many moves were made.
    """
    n = len(order)
    place = np.empty(n, np.int64)
    for p in range(n):
        place[order[p]] = p
    moves = 0
    before = -1
    while moves != before:
        before = moves
        for u in range(n):
            while _reverse_at(similarity, order, place, near, u) or _move_piece(similarity, order, place, near, u):
                moves += 1
    return moves


@njit(cache=True)
def _link(similarity, order, p, q):
    """The similarity of the units at two places; beyond the ends there is nothing, and it adds nothing."""
    if p < 0 or q < 0 or p >= len(order) or q >= len(order):
        return 0.0
    return similarity[order[p], order[q]]


@njit(cache=True)
def _reverse(order, place, first, last):
    """Turn the stretch of places first to last around."""
    while first < last:
        order[first], order[last] = order[last], order[first]
        place[order[first]] = first
        place[order[last]] = last
        first += 1
        last -= 1


@njit(cache=True)
def _reverse_at(similarity, order, place, near, u):
    """Make the first reversal that puts unit u beside a near one and gains; whether there was one."""
    a = place[u]
    for step in (1, -1):
        old = _link(similarity, order, a, a + step)
        for v in near[u]:
            new = similarity[u, v]
            if new <= old:
                break
            b = place[v]
            gain = new + _link(similarity, order, a + step, b + step) - old - _link(similarity, order, b, b + step)
            if gain > _LEAST_GAIN:
                low, high = min(a, b), max(a, b)
                if step > 0:
                    _reverse(order, place, low + 1, high)
                else:
                    _reverse(order, place, low, high - 1)
                return True
    return False


@njit(cache=True)
def _move_piece(similarity, order, place, near, u):
    """Make the first move of a short piece that ends in unit u to beside a near one that gains; whether there was one."""
    n = len(order)
    a = place[u]
    for length in range(1, LONGEST_PIECE + 1):
        for side in (1, -1):  # the piece goes on from u to the right, or to the left
            e = a + side * (length - 1)
            first, last = min(a, e), max(a, e)
            if first < 0 or last >= n or (length == 1 and side < 0):
                continue
            freed = _link(similarity, order, first - 1, first) + _link(similarity, order, last, last + 1)
            freed -= _link(similarity, order, first - 1, last + 1)
            for v in near[u]:
                b = place[v]
                if first <= b <= last:
                    continue
                for step in (1, -1):  # into the gap to the right of v, or to the left
                    if first <= b + step <= last:
                        continue
                    new = similarity[u, v] + _link(similarity, order, e, b + step) - _link(similarity, order, b, b + step)
                    if new - freed > _LEAST_GAIN:
                        turned = length > 1 and (side > 0) != (step > 0)
                        _transfer(order, place, first, last, min(b, b + step), turned)
                        return True
    return False


@njit(cache=True)
def _transfer(order, place, first, last, gap, turned):
    """Put the piece at places first to last between the units at `gap` and `gap + 1`, turned around or not."""
    length = last - first + 1
    if gap > last:
        _reverse(order, place, first, gap)
        _reverse(order, place, first, gap - length)
        if not turned:
            _reverse(order, place, gap - length + 1, gap)
    else:
        _reverse(order, place, gap + 1, last)
        _reverse(order, place, gap + 1 + length, last)
        if not turned:
            _reverse(order, place, gap + 1, gap + length)
