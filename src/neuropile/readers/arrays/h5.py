"""HDF5 and MATLAB 7.3 files as arrays by name: groups, references and ragged rows walked through, axes as MATLAB has them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers import h5
from neuropile.readers.arrays.held import Held, Leaf, Source, grouped
from neuropile.readers.mat import mcos

_MAX_DEPTH = 16
_MAX_OBJECTS = 300_000
#: The arrays of a cell of more than this are not looked at one by one when a file is listed.
_MAX_CELLS_LISTED = 20_000
#: All that one name gives must come from a file of at least a so-manieth of its bytes: references may lead to one array many times.
_LARGE = 1 << 28
_MAX_RATIO = 1024


class Hdf5(Source):
    """An HDF5 file; `matlab` says whether MATLAB wrote it, so that its axes come reversed and its text as numbers."""

    def __init__(self, path: Any, matlab: bool) -> None:
        self.path, self._matlab = path, matlab
        with h5.opened(path) as self._file:
            pass
        self._n_met = self._n_bytes = 0
        self._above: set[int] = set()

    def close(self) -> None:
        """See Source."""
        self._file.close()

    def contents(self) -> list[Held]:
        """See Source."""
        found: list[tuple[str, bool, tuple[int, ...], str]] = []
        self._n_met = 0
        self._guarded(lambda: self._list("", self._file["/"], True, 0, found))
        return grouped(found)

    def leaves(self, names: list[str]) -> list[Leaf]:
        """See Source."""
        out: list[Leaf] = []
        self._n_met = self._n_bytes = 0
        self._guarded(lambda: self._walk(self._file["/"], names, (), out) if names else None)
        return out

    def _guarded(self, action: Callable[[], None]) -> None:
        """Run with the errors of a damaged file made clear, and the file kept open."""
        try:
            action()
        except UnreadableFile:
            raise
        except h5.READ_ERRORS as e:
            said = (str(e).splitlines() or ["no reason given"])[0]
            raise UnreadableFile(f"{self.path}: damaged ({type(e).__name__}: {said[:200]}); fetch it again") from None

    def _meet(self, place: tuple[str, ...]) -> None:
        self._n_met += 1
        if self._n_met > _MAX_OBJECTS or len(place) > _MAX_DEPTH:
            raise UnreadableFile(f"{self.path}: more than {_MAX_OBJECTS} arrays, or nested more than {_MAX_DEPTH} deep; name one of them")

    @contextmanager
    def _below(self, group: h5py.Group) -> Iterator[list[tuple[str, Any]]]:
        """The members of a group, but none of a group that is met again within itself."""
        address = h5py.h5o.get_info(group.id).addr
        if address in self._above:
            yield []
            return
        self._above.add(address)
        try:
            yield self._members(group)
        finally:
            self._above.discard(address)

    def _members(self, group: h5py.Group) -> list[tuple[str, Any]]:
        """By name, numbers in names as numbers: unit2 before unit10."""
        found = [(n, o) for n, o in h5.members(group) if not (self._matlab and n.startswith("#"))]
        return sorted(found, key=lambda pair: [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"([0-9]+)", pair[0])])

    def _targets(self, dataset: h5py.Dataset) -> Iterator[Any]:
        h5.check_rows(dataset)
        return (h5.target(self._file, r) for r in h5.values(dataset))

    def _walk(self, obj: Any, names: list[str], place: tuple[str, ...], out: list[Leaf]) -> None:
        self._meet(place)
        if isinstance(obj, h5py.Group):
            named = h5.member(obj, names[0]) if names else None
            if named is not None:
                self._walk(named, names[1:], place, out)
            elif obj.name != "/":
                with self._below(obj) as children:
                    for name, child in children:
                        if not names or isinstance(child, h5py.Group):
                            self._walk(child, names, (*place, name), out)
        elif isinstance(obj, h5py.Dataset) and obj.shape is not None:
            if h5py.check_ref_dtype(obj.dtype) is h5py.Reference:
                for i, target in enumerate(self._targets(obj)):
                    if target is not None:
                        self._walk(target, names, (*place, str(i + 1)) if obj.size > 1 or self._is_cell(obj) else place, out)
            else:
                self._leaf(obj, names, place, out)

    def _leaf(self, dataset: h5py.Dataset, names: list[str], place: tuple[str, ...], out: list[Leaf]) -> None:
        ragged = h5py.check_vlen_dtype(dataset.dtype)
        if ragged is not None and np.dtype(ragged).kind in "biuf":
            if not names:
                h5.check_rows(dataset)
                rows = h5.values(dataset)
                self._count(sum(np.asarray(r).nbytes for r in rows))
                out.extend(Leaf((*place, str(i)), np.asarray(r)) for i, r in enumerate(rows))
            return
        if not names or dataset.dtype.names:
            self._count(math.prod(dataset.shape) * dataset.dtype.itemsize)
            out.extend(self.fields(self._values(dataset), names, place))

    def _count(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes
        if self._n_bytes > max(_LARGE, _MAX_RATIO * self._file.id.get_filesize()):
            raise UnreadableFile(f"{self.path}: more than {self._n_bytes} bytes of values in a file of {self._file.id.get_filesize()}: it is damaged")

    def _values(self, dataset: h5py.Dataset) -> np.ndarray:
        if self._matlab and "MATLAB_empty" in dataset.attrs and dataset.attrs["MATLAB_empty"]:
            return np.empty((0, 0))
        values = h5.values(dataset).reshape(dataset.shape)
        if h5py.check_string_dtype(dataset.dtype) is not None:
            return np.array([h5.text(v) for v in values.reshape(-1)], np.str_).reshape(dataset.shape)
        if not self._matlab:
            return values
        if _matlab_class(dataset) == "string":
            return np.array([text or "" for text in mcos.read_strings(dataset)], np.str_)
        if "MATLAB_object_decode" in dataset.attrs:
            raise UnreadableFile(f"{self.path}: {dataset.name} is an object of MATLAB, which is never opened; save it as plain numbers")
        if _matlab_class(dataset) == "char":
            codes = np.atleast_2d(values.T).astype("<u2")
            return np.array([row.tobytes().decode("utf-16-le", "replace") for row in codes], np.str_)
        return values.T

    def _is_cell(self, obj: h5py.Dataset) -> bool:
        return _matlab_class(obj) == "cell"

    def _list(self, name: str, obj: Any, alone: bool, depth: int, found: list[tuple[str, bool, tuple[int, ...], str]]) -> None:
        """See contents."""
        self._meet(())
        if depth > _MAX_DEPTH:
            return
        if isinstance(obj, h5py.Group):
            with self._below(obj) as children:
                for key, child in children:
                    self._list(f"{name}/{key}".lstrip("/"), child, alone, depth + 1, found)
        elif isinstance(obj, h5py.Dataset) and obj.shape is not None:
            if h5py.check_ref_dtype(obj.dtype) is h5py.Reference and obj.size <= _MAX_CELLS_LISTED:
                for target in self._targets(obj):
                    self._list(name, target, alone and obj.size == 1 and not self._is_cell(obj), depth + 1, found)
            else:
                found.append((name, alone, *self._facts(obj)))

    def _facts(self, dataset: h5py.Dataset) -> tuple[tuple[int, ...], str]:
        if h5py.check_ref_dtype(dataset.dtype) is not None:
            return dataset.shape, "references"
        if h5py.check_string_dtype(dataset.dtype) is not None:
            return dataset.shape, "text"
        if h5py.check_vlen_dtype(dataset.dtype) is not None:
            return dataset.shape, f"rows of {np.dtype(h5py.check_vlen_dtype(dataset.dtype))}"
        if not self._matlab:
            return dataset.shape, str(dataset.dtype)
        if dataset.attrs.get("MATLAB_empty"):
            return (0, 0), "float64"
        if "MATLAB_object_decode" in dataset.attrs and _matlab_class(dataset) != "string":
            return (), "opaque"
        known = {"char": "char", "logical": "bool", "string": "text"}.get(_matlab_class(dataset), str(dataset.dtype))
        return dataset.shape[::-1], known


def _matlab_class(dataset: h5py.Dataset) -> str:
    return h5.text(dataset.attrs.get("MATLAB_class", ""))
