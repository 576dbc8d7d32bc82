"""NWB's tree of groups and arrays, whether an HDF5 file or a Zarr folder holds it: one set of questions, asked of either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import h5py
import numpy as np

from neuropile.readers import h5, source_name
from neuropile.readers.zarr import tree as zarr_tree

#: h5py and the Zarr tree give what they open the same attributes: name, file, attrs, shape, dtype, ndim, slices.
Group = Any
Array = Any

FORMAT_OF = {h5py.File: "an HDF5 file", zarr_tree.File: "a Zarr group"}
text, kind = h5.text, h5.kind
_HDF5_SUFFIXES = (".nwb", ".h5", ".hdf5")


@contextmanager
def opened(path: Any) -> Iterator[Any]:
    """An NWB file that stays open when the block ends well; when it fails it is closed, and the error made clear."""
    if not _is_zarr(path):
        with h5.opened(path) as file:
            yield file
        return
    with h5.clear_errors(path):
        yield zarr_tree.File(path)


def _is_zarr(path: Any) -> bool:
    """A remote file is known by its name where that tells, and asked where it does not, in as few requests as can be."""
    if isinstance(path, Path):
        return path.is_dir()
    suffix = source_name.plain(path).suffix.lower()
    if source_name.has_query(path):
        return False
    return suffix == ".zarr" or (suffix not in _HDF5_SUFFIXES and zarr_tree.looks_like(path))


def is_group(obj: Any) -> TypeGuard[Group]:
    """Whether an object holds others."""
    return isinstance(obj, h5py.Group | zarr_tree.Group)


def is_array(obj: Any) -> TypeGuard[Array]:
    """Whether an object holds values."""
    return isinstance(obj, h5py.Dataset | zarr_tree.Array)


def is_text(array: Array) -> bool:
    """Whether an array's values are texts."""
    return array.is_text if isinstance(array, zarr_tree.Array) else h5py.check_string_dtype(array.dtype) is not None


def is_reference(array: Array) -> bool:
    """Whether an array's values are references to objects."""
    return array.is_reference if isinstance(array, zarr_tree.Array) else h5py.check_ref_dtype(array.dtype) is h5py.Reference


def unread(array: Array) -> str:
    """Why an array's values are not to be decoded, in a few words; empty where they may be."""
    return array.unread if isinstance(array, zarr_tree.Array) else ""


def filled(file: Any) -> list[str]:
    """The arrays of which values were read that are not stored: Zarr 3 leaves out what equals the fill value, and so what was lost looks alike."""
    return sorted(file.filled) if isinstance(file, zarr_tree.File) else []


def _of(obj: Any) -> Any:
    return zarr_tree if isinstance(obj, zarr_tree.Node) else h5


def member(group: Group, path: str) -> Any:
    """See h5.member."""
    return _of(group).member(group, path)


def members(group: Group) -> Iterator[tuple[str, Any]]:
    """See h5.members."""
    return _of(group).members(group)


def links_out(group: Group) -> list[str]:
    """See h5.links_out."""
    return _of(group).links_out(group)


def target(file: Any, reference: Any) -> Any:
    """See h5.target."""
    return _of(file).target(file, reference)


def check_size(array: Array) -> None:
    """See h5.check_size."""
    array.check_size() if isinstance(array, zarr_tree.Array) else h5.check_size(array)


def check_rows(array: Array) -> None:
    """See h5.check_rows."""
    array.check_rows() if isinstance(array, zarr_tree.Array) else h5.check_rows(array)


def values(array: Array) -> np.ndarray:
    """See h5.values."""
    check_size(array)
    return np.asarray(array[()]).reshape(-1)


class Later:
    """The values of an array, to be read by slices when they are wanted, with the errors of a damaged file made clear then too."""

    def __init__(self, array: Array) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        with h5.clear_errors(self._array.file.filename):
            return np.asarray(self._array[key])


class Met(h5.Met):
    """See h5.Met; in a Zarr folder an object is where its path is."""

    def _key(self, obj: Any) -> Any:
        return obj.name if isinstance(obj, zarr_tree.Node) else super()._key(obj)
