"""The loops of ordering against every order a tree allows, and against plain sums."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from neuropile.ordering import kernels as order_kernels
from neuropile.ordering import pair_kernels as order_pair_kernels

Node = int | tuple["Node", "Node"]


def allowed(node: Node) -> Iterator[list[int]]:
    """Every order of a tree's leaves that turning its nodes around gives."""
    if isinstance(node, int):
        yield [node]
        return
    for a in allowed(node[0]):
        for b in allowed(node[1]):
            yield a + b
            yield b + a


def nested(children: np.ndarray, n: int) -> Node:
    nodes: list[Node] = list(range(n))
    for a, b in children.tolist():
        nodes.append((nodes[a], nodes[b]))
    return nodes[-1]


def symmetric(rng: np.random.Generator, n: int) -> np.ndarray:
    square = rng.uniform(0, 1, (n, n))
    return np.triu(square) + np.triu(square, 1).T


def matrices(n: int, *, tied: bool = False) -> st.SearchStrategy[np.ndarray]:
    """Symmetric matrices of anything, or of only a few values."""
    made = st.integers(0, 2**32).map(lambda seed: symmetric(np.random.default_rng(seed), n))
    return made.map(lambda m: np.floor(4 * m)) if tied else made


@st.composite
def trees(draw: st.DrawFn, n: int) -> np.ndarray:
    """Any binary tree: two of the nodes at hand are joined until one is left."""
    free, children = list(range(n)), []
    for v in range(n - 1):
        a = free.pop(draw(st.integers(0, len(free) - 1)))
        b = free.pop(draw(st.integers(0, len(free) - 1)))
        children.append((a, b))
        free.append(n + v)
    return np.array(children, np.int64).reshape(-1, 2)


def total(similarity: np.ndarray, order: np.ndarray | list[int]) -> float:
    return float(sum(similarity[a, b] for a, b in pairwise(order)))


@given(st.data(), st.integers(1, 9), st.booleans())
def test_no_order_that_the_tree_allows_beats_the_leaf_order(data: st.DataObject, n: int, tied: bool) -> None:
    similarity, children = data.draw(matrices(n, tied=tied)), data.draw(trees(n))
    every = list(allowed(nested(children, n)))
    assert len(every) == 2 ** (n - 1)
    found = order_kernels.best_leaves(similarity, children)
    assert found.tolist() in every
    np.testing.assert_allclose(total(similarity, found), max(total(similarity, order) for order in every), rtol=1e-12)


def test_the_leaf_order_is_optimal_for_wards_trees_of_nine_where_scipys_is_not_always() -> None:
    worse = 0
    for seed in range(60):
        similarity = symmetric(np.random.default_rng(seed), 9)
        distance = squareform(1 - similarity, checks=False)  # takes no notice of the diagonal
        tree = linkage(distance, "ward")
        children = tree[:, :2].astype(np.int64)
        best = max(total(similarity, order) for order in allowed(nested(children, 9)))
        assert abs(total(similarity, order_kernels.best_leaves(similarity, children)) - best) < 1e-12
        worse += total(similarity, leaves_list(optimal_leaf_ordering(tree, distance))) < best - 1e-9
    assert worse  # should this fail, SciPy has mended its issue 11227


@given(st.data(), st.integers(60, 200))
def test_turning_any_one_node_of_a_larger_tree_gains_nothing(data: st.DataObject, n: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    similarity = symmetric(rng, n)
    free, children = list(range(n)), []
    for v in range(n - 1):
        a, b = (free.pop(rng.integers(len(free)) if rng.uniform() < 0.7 else -1) for _ in range(2))
        children.append((a, b))
        free.append(n + v)
    order = order_kernels.best_leaves(similarity, np.array(children)).tolist()
    assert sorted(order) == list(range(n))
    members: list[set[int]] = [{i} for i in range(n)]
    most = total(similarity, order)
    for a, b in children:
        members.append(members[a] | members[b])
        places = sorted(order.index(i) for i in members[-1])
        assert places == list(range(places[0], places[0] + len(places)))  # a subtree stays together
        turned = order[: places[0]] + order[places[0] : places[-1] + 1][::-1] + order[places[-1] + 1 :]
        assert total(similarity, turned) <= most + 1e-9


@given(st.data(), st.integers(3, 25), st.booleans())
def test_improvement_keeps_all_units_and_never_lowers_the_sum(data: st.DataObject, n: int, tied: bool) -> None:
    similarity = data.draw(matrices(n, tied=tied))
    start = np.array(data.draw(st.permutations(range(n))), np.int64)
    order = start.copy()
    moves = order_kernels.improve(similarity, order, order_kernels.nearest(similarity, min(n - 1, 8)))
    assert sorted(order.tolist()) == list(range(n))
    assert total(similarity, order) > total(similarity, start) if moves else np.array_equal(order, start)


@given(st.data(), st.integers(3, 12))
def test_no_reversal_of_a_stretch_is_left_that_gains(data: st.DataObject, n: int) -> None:
    similarity = data.draw(matrices(n))
    order = np.arange(n)
    order_kernels.improve(similarity, order, order_kernels.nearest(similarity, n - 1))
    done = order.tolist()
    for a in range(n):
        for b in range(a + 2, n + 1):
            assert total(similarity, done[:a] + done[a:b][::-1] + done[b:]) <= total(similarity, done) + 1e-9


@given(st.data(), st.integers(3, 12))
def test_no_piece_of_up_to_three_is_left_that_would_better_lie_elsewhere(data: st.DataObject, n: int) -> None:
    similarity = data.draw(matrices(n))
    order = np.arange(n)
    order_kernels.improve(similarity, order, order_kernels.nearest(similarity, n - 1))
    done = order.tolist()
    for length in (1, 2, 3):
        for a in range(n - length + 1):
            piece, rest = done[a : a + length], done[:a] + done[a + length :]
            for b in range(len(rest) + 1):
                for turned in (piece, piece[::-1]):
                    assert total(similarity, rest[:b] + turned + rest[b:]) <= total(similarity, done) + 1e-9


def test_improvement_finds_the_best_of_all_orders_of_six_more_often_than_not() -> None:
    found = 0
    for seed in range(40):
        similarity = symmetric(np.random.default_rng(seed), 6)
        order = np.arange(6)
        order_kernels.improve(similarity, order, order_kernels.nearest(similarity, 5))
        found += total(similarity, order) > max(total(similarity, list(o)) for o in permutations(range(6))) - 1e-9
    assert found > 20


@given(st.data(), st.integers(2, 20))
def test_nearest_are_the_most_similar_others_ties_by_index(data: st.DataObject, n: int) -> None:
    similarity = data.draw(matrices(n, tied=True))
    k = data.draw(st.integers(1, n - 1))
    expected = [sorted((v for v in range(n) if v != u), key=lambda v: (-similarity[u, v], v))[:k] for u in range(n)]
    assert order_kernels.nearest(similarity, k).tolist() == expected


@given(st.lists(st.lists(st.integers(0, 19), max_size=30), min_size=1, max_size=6), st.data())
def test_kept_events_are_those_in_runs_of_their_unit_or_of_all(trains: list[list[int]], data: st.DataObject) -> None:
    run = st.tuples(st.integers(-1, len(trains) - 1), st.integers(0, 20), st.integers(0, 20))
    runs = sorted(data.draw(st.lists(run, max_size=8)), key=lambda r: r[0])
    offsets = np.cumsum([0, *map(len, trains)])
    bins = np.concatenate([np.sort(np.array(t, np.int32)) for t in trains])
    kept, found = order_pair_kernels.keep_observed(offsets, bins, np.array(runs, np.int64).reshape(-1, 3), 20)
    for u, train in enumerate(trains):
        expected = [b for b in sorted(train) if any(unit in (-1, u) and start <= b < stop for unit, start, stop in runs)]
        assert found[kept[u] : kept[u + 1]].tolist() == expected
