"""Pseudo-random permutations and numbers that are pure functions of a place and a key: nothing is kept, any place is asked alone.

The numbers are splitmix64's (Steele, Lea, Flood 2014). A permutation is a balanced Feistel network over the smallest
square power of two that holds n, walked until it comes back below n (Black, Rogaway 2002): integer arithmetic alone, so the
same on every machine and under every version.
"""

from __future__ import annotations

import numpy as np

#: The largest n: two halves of 31 bits.
MOST = 2**62
_GOLDEN = 0x9E3779B97F4A7C15
_64 = 2**64 - 1
#: A Feistel network is a good permutation from 4 rounds on (Luby, Rackoff 1988); tiny domains want more.
_ROUNDS = 8
#: No half is smaller, as networks over 4 or 16 places reach few permutations.
_FEWEST_BITS = 3


def hashed(i: int | np.ndarray, *key: int) -> np.ndarray:
    """A 64-bit pseudo-random number for each place `i` (any whole numbers) under a key: uint64, in the shape of `i`."""
    state = 0
    for part in key:
        state = _mixed_int((state + _GOLDEN + (part & _64)) & _64)
    places = np.asarray(i, np.int64)
    flat = places.astype(np.uint64).reshape(-1)  # numpy warns of single numbers that overflow, which these are meant to
    return _mixed(flat * np.uint64(_GOLDEN) + np.uint64(state)).reshape(places.shape)


def permuted(i: int | np.ndarray, n: int, *key: int) -> np.ndarray:
    """Where the places `i` of 0 .. n-1 go under the pseudo-random permutation of a key.

    Parameters
    ----------
    i : whole numbers in 0 .. n-1, any shape
    n : how many places there are, at most 2**62
    key : any whole numbers, such as a seed and an epoch

    Returns
    -------
    int64, in the shape of `i`; `int()` takes a single one

    Raises
    ------
    ValueError : a place is not in 0 .. n-1, or there are too many

    Examples
    --------
    >>> sorted(permuted(np.arange(5), 5, 42).tolist())
    [0, 1, 2, 3, 4]
    """
    places = np.asarray(i, np.int64)
    if n > MOST or (places.size and not 0 <= int(places.min()) <= int(places.max()) < n):
        raise ValueError(f"places from {places.min() if places.size else 0} to {places.max() if places.size else 0} are not all in 0 .. {n - 1}")
    bits = max((max(n - 1, 1).bit_length() + 1) // 2, _FEWEST_BITS)
    keys = hashed(np.arange(_ROUNDS), *key)
    out = places.astype(np.uint64).reshape(-1)
    left = np.arange(out.size if n > 1 else 0)
    while left.size:  # those that fell outside go round again: their walk ends below n, as it began there
        out[left] = _network(out[left], bits, keys)
        left = left[out[left] >= np.uint64(n)]
    return out.astype(np.int64).reshape(places.shape)


def permutation(n: int, *key: int) -> np.ndarray:
    """All of `permuted`: (n,) int64, each of 0 .. n-1 once."""
    return permuted(np.arange(n), n, *key)


def _network(x: np.ndarray, bits: int, keys: np.ndarray) -> np.ndarray:
    half, low = np.uint64(bits), np.uint64((1 << bits) - 1)
    a, b = x >> half, x & low
    for key in keys:
        a, b = b, a ^ (_mixed(b + key) >> np.uint64(64 - bits))
    return (a << half) | b


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64, on uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mixed_int(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _64
    return x ^ x >> 31
