"""MATLAB 5 files as arrays by name: structs and cells walked through, function handles and objects left alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers.arrays.held import Held, Leaf, Source, grouped
from neuropile.readers.mat import mat5


class Mat5(Source):
    """A MATLAB 5 file."""

    def __init__(self, path: Any) -> None:
        self.path = path
        self._nodes = mat5.walk(path)
        self._loaded: dict[str, np.ndarray] = {}

    def contents(self) -> list[Held]:
        """See Source."""
        found: list[tuple[str, bool, tuple[int, ...], str]] = []
        for name, node in self._nodes.items():
            _list(name, node, True, found)
        return grouped(found)

    def leaves(self, names: list[str]) -> list[Leaf]:
        """See Source."""
        if not names or names[0] not in self._nodes:
            return []
        name = names[0]
        if self._nodes[name].dtype in mat5.NOT_READ.values():
            raise UnreadableFile(f"{self.path}: {name} is a {self._nodes[name].dtype} value of MATLAB, which is never opened; save it as plain numbers")
        if name not in self._loaded:
            self._loaded[name] = mat5.load(self.path, name)
        out: list[Leaf] = []
        self._walk(self._loaded[name], names[1:], (), out)
        return out

    def _walk(self, value: Any, names: list[str], place: tuple[str, ...], out: list[Leaf]) -> None:
        if mat5.is_not_read(value):
            return
        dtype = getattr(value, "dtype", None)
        if dtype is not None and dtype.names:
            if not names or names[0] not in dtype.names:
                return
            for i, item in enumerate(value.reshape(-1, order="F")):
                self._walk(item[names[0]], names[1:], (*place, str(i + 1)) if value.size > 1 else place, out)
        elif dtype is not None and dtype.hasobject:
            for i, item in enumerate(value.reshape(-1, order="F")):
                self._walk(item, names, (*place, str(i + 1)), out)
        elif not names:
            out.append(Leaf(place, mat5.dense(self.path, value)))


def _list(name: str, node: mat5.Node, alone: bool, found: list[tuple[str, bool, tuple[int, ...], str]]) -> None:
    for child in node.children:
        _list(name, child, False, found)
    for key, children in node.fields.items():
        if node.dtype == "struct":
            for child in children:
                _list(f"{name}/{key}", child, alone and len(children) == 1, found)
    if node.dtype not in ("cell", "struct"):
        found.append((name, alone, node.shape, node.dtype))
