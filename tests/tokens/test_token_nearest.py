"""The nearest kept motif: always the one that every motif, asked one by one in exact arithmetic, leaves as the best."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.errors import PileError
from neuropile.tokens.nearest import Nearest

SHAPES = [(1, 10), (1, 15), (5, 5), (8, 8), (1, 1), (2, 3)]


def count_distance(a: np.ndarray, b: np.ndarray) -> int:
    """As docs/explain/tokens.md defines it, in Python's whole numbers; a, b (unit, bin)."""
    d = a.astype(object) - b.astype(object)
    cells = sum(x * x for x in d.ravel())
    pairs = sum((x + y) ** 2 for row in d for x, y in zip([0, *row], [*row, 0], strict=True))
    return cells + pairs + 2 * d.sum() ** 2


def cosine_squared(a: np.ndarray, b: np.ndarray) -> Fraction:
    """The square of the cosine, exactly; of silence 0."""
    x, y = a.ravel().tolist(), b.ravel().tolist()
    norms = sum(i * i for i in x) * sum(i * i for i in y)
    return Fraction(sum(i * j for i, j in zip(x, y, strict=True)) ** 2, norms) if norms else Fraction(0)


def drawn(rng: np.random.Generator, n: int, cells: int, rate: float, high: int) -> np.ndarray:
    out = rng.poisson(rate, (n, cells))
    out[rng.random((n, cells)) < 0.02] *= high
    return np.minimum(out, 255).astype(np.uint8)


def with_silence(patches: np.ndarray) -> np.ndarray:
    """All different, in the order they come, the silent one first."""
    seen = dict.fromkeys([bytes(patches.shape[1]), *map(bytes, patches)])
    return np.frombuffer(b"".join(seen), np.uint8).reshape(len(seen), -1)


@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES), rate=st.sampled_from([0.1, 0.5, 2.0]), high=st.sampled_from([1, 20, 255]))
def test_the_nearest_is_what_asking_every_motif_finds(seed: int, shape: tuple[int, int], rate: float, high: int) -> None:
    rng = np.random.default_rng(seed)
    cells = shape[0] * shape[1]
    motifs = with_silence(drawn(rng, int(rng.integers(1, 150)), cells, rate, high))
    asked = drawn(rng, 6, cells, 1.5 * rate, high)
    asked = asked[asked.any(axis=1)]
    if len(motifs) < 2:
        return
    by_count, by_cosine = (Nearest(motifs, shape, d).find(asked) for d in ("count", "cosine"))
    for a, i, j in zip(asked, by_count, by_cosine, strict=True):
        distances = [count_distance(a.reshape(shape), m.reshape(shape)) for m in motifs]
        assert i == distances.index(min(distances))
        cosines = [cosine_squared(a, m) for m in motifs]
        assert j == cosines.index(max(cosines))


def test_among_many_motifs_a_dense_product_finds_none_that_is_nearer() -> None:
    rng = np.random.default_rng(0)
    motifs = with_silence(drawn(rng, 30_000, 10, 0.4, 3))[:5000]
    asked = drawn(rng, 500, 10, 0.8, 3)
    asked = asked[asked.any(axis=1)]
    whole = motifs.astype(np.int64)
    products = asked.astype(np.int64) @ whole.T
    squares = np.maximum((whole**2).sum(axis=1), 1)
    found = Nearest(motifs, (1, 10), "cosine").find(asked)
    best = np.argmax(products**2 / squares, axis=1)  # in 64-bit floats: right but for ties
    at_best = products[np.arange(len(asked)), best] ** 2 * squares[found]
    at_found = products[np.arange(len(asked)), found] ** 2 * squares[best]
    np.testing.assert_array_equal(at_found, at_best)
    higher = (products**2 * squares[found][:, None] == products[np.arange(len(asked)), found][:, None] ** 2 * squares).argmax(axis=1)
    np.testing.assert_array_equal(found, higher)


@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES), level=st.sampled_from([1, 12, 40, 250]))
def test_motifs_that_are_nearly_alike_are_told_apart_whatever_their_size(seed: int, shape: tuple[int, int], level: int) -> None:
    rng = np.random.default_rng(seed)
    cells = shape[0] * shape[1]
    centre = rng.integers(0, level + 1, cells)
    motifs = with_silence(np.clip(centre + rng.integers(-1, 2, (400, cells)), 0, 255).astype(np.uint8))  # several leaves, box beside box
    asked = np.clip(centre + rng.integers(-1, 2, (6, cells)), 0, 255)
    asked = asked[asked.any(axis=1)]
    whole = motifs.astype(object)
    by_count, by_cosine = (Nearest(motifs, shape, d).find(asked) if len(motifs) > 1 else [0] * len(asked) for d in ("count", "cosine"))
    for a, i, j in zip(asked.astype(object), by_count, by_cosine, strict=True):
        d = np.pad((whole - a).reshape(-1, *shape), ((0, 0), (0, 0), (1, 1)))
        distances = (d**2).sum(axis=(1, 2)) + ((d[:, :, 1:] + d[:, :, :-1]) ** 2).sum(axis=(1, 2)) + 2 * d.sum(axis=(1, 2)) ** 2
        assert distances.tolist().index(min(distances)) == i
        cosines = [Fraction(p * p, n) if n else Fraction(0) for p, n in zip(whole @ a, (whole * whole).sum(axis=1), strict=True)]
        assert cosines.index(max(cosines)) == j


def test_a_spike_is_rather_moved_one_bin_than_lost_and_rather_lost_than_moved_far() -> None:
    def patch(*bins: int) -> np.ndarray:
        return np.bincount(bins, minlength=10).astype(np.uint8)

    asked = patch(2, 6)[None]
    near, lost, far = patch(2, 7), patch(2), patch(2, 9)
    silent = patch()
    for kept in ([silent, far, lost, near], [silent, far, lost], [silent, far]):
        assert Nearest(np.stack(kept), (1, 10), "count").find(asked).tolist() == [len(kept) - 1]


def test_a_patch_at_a_right_angle_to_all_motifs_is_coded_as_silence_by_cosine() -> None:
    motifs = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]], np.uint8)
    assert Nearest(motifs, (1, 3), "cosine").find(np.array([[0, 0, 2]])).tolist() == [0]


def test_a_cell_beyond_what_a_motif_can_have_is_as_good_as_255() -> None:
    motifs = np.array([[0, 0], [1, 0], [255, 0], [0, 255]], np.uint8)
    for distance in ("count", "cosine"):
        assert Nearest(motifs, (1, 2), distance).find(np.array([[70_000, 1], [3, 2**30]])).tolist() == [1 if distance == "cosine" else 2, 3]


def test_an_unknown_distance_is_refused_by_name() -> None:
    with pytest.raises(PileError, match="distance is 'l1'; it must be one of count, cosine"):
        Nearest(np.zeros((2, 3), np.uint8), (1, 3), "l1")
