"""Which split an id belongs to: a hash of the id and a seed, so that adding sessions moves none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from math import ceil

from neuropile.errors import PileError

SPLITS = ("train", "val", "test")
#: Seeds tried for a hint when a split comes out empty.
_SEEDS_TRIED = 1000


def position(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on the id and the seed alone: SHA-256, first 53 bits.

    >>> 0 <= position("local/a", 0) < 1
    True
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def split_of(key: str, seed: int, val: float, test: float) -> str:
    """`test` for the first share of positions, `val` for the next, `train` for the rest."""
    p = position(key, seed)
    return "test" if p < test else "val" if p < test + val else "train"


def check_shares(val: float, test: float) -> None:
    """Raise PileError unless the shares leave room for each other."""
    if not (0 <= val <= 1 and 0 <= test <= 1 and val + test <= 1):
        raise PileError(f"shares val={val} and test={test} must lie between 0 and 1 and sum to at most 1")


def empty_split_hints(keys: Iterable[str], seed: int, val: float, test: float) -> list[str]:
    """For each split that was asked for and came out empty, a seed or share that would fill it."""
    ids = sorted(set(keys))
    hints = []
    for name, share, start in (("val", val, test), ("test", test, 0.0)):
        if not share or not ids or any(split_of(i, seed, val, test) == name for i in ids):
            continue
        other = next((s for s in range(_SEEDS_TRIED) if any(split_of(i, s, val, test) == name for i in ids)), None)
        nearest = min((p for p in (position(i, seed) for i in ids) if p >= start), default=None)
        ways = [f"seed={other}"] if other is not None else []
        ways += [f"{name}={ceil((nearest - start) * 100 + 0.5) / 100:g}"] if nearest is not None else []
        hints.append(f"the {name} split is empty ({len(ids)} ids, share {share:g}); {' or '.join(ways) or 'more sessions'} would fill it")
    return hints
