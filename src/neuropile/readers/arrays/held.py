"""What any file of arrays is to the reader of a mapping: names, and the leaf arrays under each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Held:
    """An array a file holds, from headers only.

    shape : its own; of many arrays under one name (cells, struct arrays), how many there are
    leaves : the shapes of those many
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    leaves: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        if self.leaves:
            return f"{self.name} ({len(self.leaves)} arrays, {self.dtype})"
        return f"{self.name} {self.shape} {self.dtype}"


@dataclass(frozen=True)
class Leaf:
    """One array, and its place in the cells, struct arrays or groups it lies in; an array by itself has no place."""

    place: tuple[str, ...]
    values: np.ndarray


class Source:
    """An opened file of arrays."""

    path: Any

    def contents(self) -> list[Held]:
        """What it holds."""
        raise NotImplementedError

    def leaves(self, names: list[str]) -> list[Leaf]:
        """Every array under a name and, below it, names of fields; none where there is none."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the file."""

    def fields(self, values: np.ndarray, names: list[str], place: tuple[str, ...] = ()) -> list[Leaf]:
        """An array, or the field of its records that is named."""
        while names and values.dtype.names and names[0] in values.dtype.names:
            values, names = values[names[0]], names[1:]
        return [] if names else [Leaf(place, values)]


def grouped(found: list[tuple[str, bool, tuple[int, ...], str]]) -> list[Held]:
    """Leaves as (name, whether it stands alone, shape, dtype) by name: one entry each, many arrays of a name as one."""
    by_name: dict[str, list[tuple[bool, tuple[int, ...], str]]] = {}
    for name, alone, shape, dtype in found:
        by_name.setdefault(name, []).append((alone, shape, dtype))
    out = []
    for name, leaves in by_name.items():
        if len(leaves) == 1 and leaves[0][0]:
            out.append(Held(name, *leaves[0][1:]))
        else:
            kinds = {d for _, s, d in leaves if 0 not in s} or {leaves[0][2]}
            out.append(Held(name, (len(leaves),), " or ".join(sorted(kinds)), tuple(s for _, s, _ in leaves)))
    return out
