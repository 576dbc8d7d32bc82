"""Counter-based permutations: bijective, uniform, keyed, and the same for ever."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neuropile.permuting import MOST, hashed, permutation, permuted

PINNED_10 = [1, 0, 8, 7, 5, 3, 2, 6, 4, 9]
PINNED_LARGE = [1104080206918, 887108979401, 366812195641]
PINNED_HASH = [12403000284399229050, 18074882946671919669]
KEYS = st.lists(st.integers(-(2**70), 2**70), max_size=3)
_64 = 2**64 - 1


def splitmix64(x: int) -> int:
    """One output of the published generator, whose state before the step is x, in Python's own integers."""
    z = (x + 0x9E3779B97F4A7C15) & _64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _64
    return z ^ (z >> 31)


def feistel(i: int, n: int, *key: int) -> int:
    """The definition, one place at a time."""
    state = 0
    for part in key:
        state = splitmix64((state + part) & _64)
    golden = 0x9E3779B97F4A7C15
    keys = [splitmix64((state + (r - 1) * golden) & _64) for r in range(8)]
    bits = 3
    while 4**bits < n:
        bits += 1
    while True:
        a, b = divmod(i, 2**bits)
        for k in keys:
            a, b = b, a ^ (splitmix64((b + k - golden) & _64) >> (64 - bits))
        i = a * 2**bits + b
        if i < n:
            return i


def test_every_small_n_is_permuted_whole() -> None:
    for n in range(301):
        assert sorted(permutation(n, n, 3).tolist()) == list(range(n))


@pytest.mark.parametrize("n", [2**16, 2**16 + 1, 10**6 + 3, 2**20])
def test_large_ones_are_too(n: int) -> None:
    assert np.array_equal(np.sort(permutation(n, 7)), np.arange(n))


@given(st.integers(1, MOST), KEYS, st.data())
def test_a_place_goes_where_the_definition_says_whoever_is_asked_beside_it(n: int, key: list[int], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8, unique=True))
    found = permuted(np.array(places).reshape(1, -1), n, *key)
    assert found.shape == (1, len(places))
    assert found.dtype == np.int64
    assert found[0].tolist() == [feistel(i, n, *key) for i in places]
    assert int(permuted(places[0], n, *key)) == found[0, 0]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_of_few_places_every_permutation_is_as_likely(n: int) -> None:
    tries = 20 * factorial(n)
    seen = Counter(tuple(permutation(n, 1, k).tolist()) for k in range(tries))
    assert stats.chisquare([seen[p] for p in permutations(range(n))]).pvalue > 1e-4


@pytest.mark.parametrize("n", [16, 37, 100])
def test_a_place_goes_anywhere_as_likely(n: int) -> None:
    where = np.array([permuted(np.array([0, n // 2, n - 1]), n, k, 5) for k in range(10 * n)])
    for column in where.T:
        assert stats.chisquare(np.bincount(column, minlength=n)).pvalue > 1e-4


def test_neighbours_are_parted() -> None:
    n = 100_000
    steps = np.diff(permutation(n, 9))
    assert abs(np.corrcoef(permutation(n, 9), np.arange(n))[0, 1]) < 0.02
    assert np.abs(steps).mean() == pytest.approx(n / 3, rel=0.02)  # of two independent uniform places


@given(KEYS, KEYS)
def test_other_keys_give_other_permutations(a: list[int], b: list[int]) -> None:
    same = [x % 2**64 for x in a] == [x % 2**64 for x in b]
    assert np.array_equal(permutation(64, *a), permutation(64, *b)) == same


def test_numbers_of_a_key_look_uniform_bit_by_bit() -> None:
    bits = np.unpackbits(hashed(np.arange(20_000), 1, 2).view(np.uint8).reshape(-1, 8), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(20_000)


@pytest.mark.parametrize("bad", [-1, 10, np.array([0, 10]), np.array([3, -2])])
def test_places_outside_are_refused(bad: int | np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"not all in 0 \.\. 9"):
        permuted(bad, 10)
    with pytest.raises(ValueError, match="not all in"):
        permuted(0, MOST + 1)


def test_it_never_changes() -> None:
    """Kept states of training, and shuffled piles, depend on these numbers."""
    assert permutation(10, 0).tolist() == PINNED_10
    assert permuted(np.array([0, 1, 10**12]), 2**41 + 1, 3, 14).tolist() == PINNED_LARGE
    assert [int(hashed(0, 5)), int(hashed(1, 5))] == hashed(np.array([0, 1]), 5).tolist() == PINNED_HASH
