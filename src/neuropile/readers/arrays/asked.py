"""The arrays a mapping asks for: found by path, as vectors of numbers, as codes of units and trials, as columns of a table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers.arrays.held import Held, Leaf, Source

_PATH = re.compile(r"^(?P<name>[^\[\]]+?)\s*(?:\[\s*(?:(?P<row>\d{1,9})\s*,\s*:|:\s*,\s*(?P<column>\d{1,9}))\s*\])?$")
_MAX_LISTED = 12


def listed(held: Sequence[Held]) -> str:
    """What a file holds, in one line."""
    more = [f"and {len(held) - _MAX_LISTED} more"] if len(held) > _MAX_LISTED else []
    return ", ".join([str(h) for h in held[:_MAX_LISTED]] + more) or "no arrays"


class Asked:
    """A file's arrays by the keys of a mapping."""

    def __init__(self, source: Source, mapping: Mapping[str, str]) -> None:
        self.source, self.mapping = source, mapping
        self.notes: list[str] = []
        self._found: list[tuple[str, ...]] = []
        self._kept: set[tuple[str, ...]] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.mapping

    def error(self, key: str, said: str) -> UnreadableFile:
        """What is wrong with the array of a key."""
        return UnreadableFile(f"{self.source.path}: {key}={self.mapping[key]}: {said}")

    def leaves(self, key: str) -> list[Leaf]:
        """The arrays of a key, or UnreadableFile saying what the file holds."""
        matched = _PATH.match(self.mapping[key])
        if matched is None:
            raise self.error(key, "not a path: names separated by /, and [:,k] or [k,:] after it for one column or row, counted from 0")
        found = self.source.leaves([p for p in matched["name"].split("/") if p])
        if not found:
            raise self.error(key, f"no such array; the file holds {listed(self.source.contents())}")
        return [Leaf(leaf.place, self._cut(key, leaf.values, matched["row"], matched["column"])) for leaf in found]

    def _cut(self, key: str, values: np.ndarray, row: str | None, column: str | None) -> np.ndarray:
        if row is None and column is None:
            return values
        if not values.size:
            return np.empty(0)
        axis, k = (0, int(row)) if row is not None else (1, int(column or 0))
        if values.ndim != 2 or k >= values.shape[axis]:
            raise self.error(key, f"an array of shape {values.shape} has no {'row' if axis == 0 else 'column'} {k}")
        return values.take(k, axis)

    def vector(self, key: str, leaf: Leaf | None = None) -> np.ndarray:
        """The one array of a key, or one of its arrays, as a row of values."""
        if leaf is None:
            leaves = self.leaves(key)
            if any(v.place for v in leaves):
                return self._joined(key, leaves)
            leaf = leaves[0]
        values = leaf.values
        if values.size and max(values.shape, default=1) != values.size:
            raise self.error(key, f"an array of shape {values.shape} where one row of values is sought; name a column, such as [:,0], or a row, [0,:]")
        return values.reshape(-1)

    def keep(self, found: list[tuple[str, ...]], kept: list[tuple[str, ...]]) -> None:
        """Of arrays at some places only those at others are units; columns at the same places follow."""
        self._found, self._kept = found, set(kept)

    def units_of(self, leaves: list[Leaf]) -> list[Leaf]:
        """Those of many arrays that are of units, where some were left out."""
        return leaves if [v.place for v in leaves] != self._found else [leaf for leaf in leaves if leaf.place in self._kept]

    def _joined(self, key: str, leaves: list[Leaf]) -> np.ndarray:
        """One value from each of many arrays; an empty one is an empty text, or NaN."""
        leaves = self.units_of(leaves)
        missing = np.array([""] if any(leaf.values.dtype.kind in "US" for leaf in leaves) else [np.nan])
        for leaf in leaves:
            if leaf.values.size > 1:
                raise self.error(key, f"the array at {'/'.join(leaf.place)} holds {leaf.values.size} values where one is sought")
        return np.concatenate([leaf.values.reshape(-1) if leaf.values.size else missing for leaf in leaves])

    def numbers(self, key: str, leaf: Leaf | None = None) -> np.ndarray:
        """A row of numbers."""
        values = self.vector(key, leaf)
        if values.dtype.kind not in "biuf":
            raise self.error(key, f"holds {values.dtype}, not numbers")
        return values

    def number_or_numbers(self, key: str) -> np.ndarray:
        """A number that is written in the mapping, or the numbers of its array."""
        try:
            return np.array([float(self.mapping[key])])
        except ValueError:
            return self.numbers(key).astype(np.float64)

    def codes(self, key: str, leaf: Leaf | None = None) -> np.ndarray:
        """A row of whole numbers or texts."""
        values = self.vector(key, leaf)
        if values.dtype.kind == "f":
            if not np.all(is_whole(values) & (np.abs(values) < 2.0**53)):
                raise self.error(key, "holds numbers that are not whole, or NaN: it must name a unit or trial for each time")
            return values.astype(np.int64)
        if values.dtype.kind == "b":
            return values.astype(np.int64)
        if values.dtype.kind not in "iuUS":
            raise self.error(key, f"holds {values.dtype}, neither whole numbers nor text")
        return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values

    def placed(self, key: str, codes: np.ndarray, n: int | None) -> tuple[list[str], np.ndarray]:
        """The names of units or trials by the codes of their times, and the place of each code among them.

        n : how many there are where that is known from elsewhere; those without a time are then found by counting from 0 or 1
        """
        distinct, row = np.unique(codes, return_inverse=True)
        if n is None or n == len(distinct):
            return [str(c) for c in distinct.tolist()], row.reshape(-1)
        if n > len(distinct) and codes.dtype.kind in "iu" and len(distinct):
            low, high = int(distinct[0]), int(distinct[-1])
            first = 0 if low == 0 and high < n else 1 if low >= 1 and high == n else None
            if first is not None:
                return [str(i) for i in range(first, first + n)], codes.astype(np.int64) - first
        raise self.error(key, f"names {len(distinct)} of them, {n} are described elsewhere; say which they are, in order, with ids=PATH")


def is_whole(values: np.ndarray) -> np.ndarray:
    """Whether each number is finite and whole."""
    if values.dtype.kind in "biu":
        return np.ones(values.shape, bool)
    with np.errstate(invalid="ignore"):
        return np.isfinite(values) & (values == np.floor(values))


def column(values: np.ndarray) -> pa.Array | None:
    """A row of values as a column, or None for what is none."""
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "U":
        return pa.array([v.strip() for v in values.tolist()], pa.string())
    if values.dtype.kind in "biuf" and values.dtype.itemsize <= 8:
        plain = values.astype(np.float32) if values.dtype == np.float16 else values.astype(values.dtype.newbyteorder("="), copy=False)
        return pa.array(np.ascontiguousarray(plain))
    return None


def floats(asked: Asked, key: str) -> pa.Array:
    """A row of numbers as a column in which NaN is missing."""
    return pa.array(asked.numbers(key).astype(np.float64), pa.float64(), from_pandas=True)


def texts(asked: Asked, key: str) -> list[str]:
    """A row of names: text, or whole numbers as text."""
    return [str(v).strip() for v in asked.codes(key).tolist()]


def used(asked: Asked) -> set[str]:
    """The names of arrays in a mapping's paths."""
    return {m["name"].strip("/") for m in map(_PATH.match, asked.mapping.values()) if m}


def unused(asked: Asked, held: Sequence[Held], n: int, others: set[int]) -> dict[str, pa.Array]:
    """The arrays that the mapping does not name and that have one value for each of n things, where n is the length of nothing else."""
    if n < 2 or n in others:
        return {}
    named = used(asked)
    found: dict[str, Any] = {}
    for h in held:
        one_row = max(h.shape, default=0) == math.prod(h.shape) >= n and all(math.prod(s) == 1 for s in h.leaves)
        if h.name in named or not one_row or (math.prod(h.shape) > n and not h.leaves) or h.dtype in ("object", "function", "opaque", "damaged"):
            continue
        try:
            leaves = asked.units_of(asked.source.leaves(h.name.split("/")))
            values = np.concatenate([v.values.reshape(-1) for v in leaves]) if leaves else np.empty(0)
        except (UnreadableFile, ValueError, TypeError) as e:  # the spikes stand without it
            asked.notes.append(f"{h.name} left out: {e}")
            continue
        made = column(values) if len(values) == n else None
        if made is not None:
            found[f"src_{h.name.replace('/', '_')}"] = made
    return found
