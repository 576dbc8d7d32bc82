"""The Allen tree of mouse brain structures as arrays, a row a structure."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import numpy as np

#: The tree itself, and the lists that its structures are gathered into.
LEVELS = ("allen", "beryl", "cosmos", "swanson")
VOID, ROOT = 0, 997
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Tree:
    """The structures in the atlas' order, every parent before its children: void first, then root.

    ids : (structure,) int64; parents : (structure,) int64 row of the parent, UNKNOWN for root and void
    acronyms, names, colours : a text a structure; colours as #rrggbb
    listed : of each coarser level which structures its list names, (structure,) bool
    """

    ids: np.ndarray
    parents: np.ndarray
    acronyms: tuple[str, ...]
    names: tuple[str, ...]
    colours: tuple[str, ...]
    listed: Mapping[str, np.ndarray]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each acronym."""
        return {acronym: row for row, acronym in enumerate(self.acronyms)}

    @cached_property
    def _by_id(self) -> np.ndarray:
        return np.argsort(self.ids)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """The row of each id, whichever hemisphere its sign says; UNKNOWN where the tree has none: int64 of the same shape."""
        wanted = np.abs(ids)
        place = np.searchsorted(self.ids, wanted, sorter=self._by_id).clip(max=len(self.ids) - 1)
        row = self._by_id[place]
        return np.where(self.ids[row] == wanted, row, UNKNOWN)

    @cached_property
    def level_rows(self) -> dict[str, np.ndarray]:
        """Of each level the structure that each structure belongs to: (structure,) rows.

        It is the first on the way up that the level's list names, root where there is none; void stays void.
        """
        own = np.arange(len(self.ids))
        root = int(np.flatnonzero(self.ids == ROOT)[0])
        found = {"allen": own}
        for level, listed in self.listed.items():
            rows = np.where(listed, own, root)
            for row in np.flatnonzero(~listed & (self.parents >= 0)):  # downwards: the parent's is known
                rows[row] = rows[self.parents[row]]
            found[level] = np.where(self.ids == VOID, own, rows)
        return found

    def up(self, row: int) -> list[int]:
        """The rows from a structure up to root, itself first."""
        way = [row]
        while (row := int(self.parents[row])) >= 0:
            way.append(row)
        return way

    def down(self, rows: Iterable[int]) -> np.ndarray:
        """Which structures are, or lie below, one of some: (structure,) bool."""
        inside = np.zeros(len(self.ids), bool)
        inside[list(rows)] = True
        for row in range(len(self.ids)):
            inside[row] |= self.parents[row] >= 0 and inside[self.parents[row]]
        return inside


@lru_cache(maxsize=1)
def tree() -> Tree:
    """The tree, read once from the package's own file."""
    text = (files("neuropile") / "data" / "regions" / "structures.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    ids = np.array([int(r["id"]) for r in rows], np.int64)
    row_of = {int(i): row for row, i in enumerate(ids)}
    return Tree(
        ids=ids,
        parents=np.array([row_of[int(r["parent"])] if r["parent"] else UNKNOWN for r in rows], np.int64),
        acronyms=tuple(r["acronym"] for r in rows),
        names=tuple(r["name"] for r in rows),
        colours=tuple(r["colour"] for r in rows),
        listed={level: np.array([r[level] == "1" for r in rows]) for level in LEVELS[1:]},
    )
