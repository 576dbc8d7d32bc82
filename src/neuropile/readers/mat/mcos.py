"""MATLAB string arrays in 7.3 files: their text lies in the file's object store, not in the dataset itself.

A string variable is a row of six numbers that ends in an object number. `#subsystem#/MCOS` holds a block of
int32 tables (class names, objects, saved properties) and the property values as cells. Only the `string`
class is followed here. The layout was worked out from files; nothing in it is documented by its maker.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers import h5

_OBJECT_MARK = 0xDD000000
#: The first two cells of the object store are the tables themselves and an empty one; values count from there.
_FIRST_VALUE_CELL = 2
_MISSING = 2**64 - 1


def read_strings(dataset: Any) -> list[str | None]:
    """The texts of a MATLAB string array in MATLAB's (column-major) order; None for <missing>.

    Raises
    ------
    UnreadableFile : the dataset is no string object, or the object store contradicts itself
    """
    try:
        return _decode(_value_cell(dataset))
    except (KeyError, IndexError, ValueError, OverflowError) as e:
        raise UnreadableFile(f"{dataset.file.filename}: {dataset.name} is a MATLAB string whose text cannot be found ({e})") from None


def _value_cell(dataset: Any) -> np.ndarray:
    """The uint64 cell that holds the text of a string object."""
    head = h5.values(dataset)
    if head.size != 6 or int(head[0]) != _OBJECT_MARK:
        raise ValueError("not one object")
    object_number = int(head[4])
    store = h5.member(dataset.file, "#subsystem#/MCOS")
    if store is None:
        raise ValueError("no object store in the file")
    cells = h5.values(store)
    tables = _cell(dataset.file, cells[0]).tobytes()
    ends = np.frombuffer(tables[8:40], "<i4")
    objects = np.frombuffer(tables[ends[2] : ends[3]], "<i4").reshape(-1, 6)
    saved = int(objects[object_number, 3])  # which block of saved properties is this object's
    n_properties, *properties = _block(np.frombuffer(tables[ends[1] : ends[2]], "<i4"), saved)
    if n_properties != 1:
        raise ValueError(f"{n_properties} properties instead of one")
    return _cell(dataset.file, cells[properties[2] + _FIRST_VALUE_CELL])


def _cell(file: Any, reference: Any) -> np.ndarray:
    found = h5.target(file, reference)
    if found is None:
        raise ValueError("a cell of the object store is missing")
    return h5.values(found)


def _block(table: np.ndarray, number: int) -> list[int]:
    """Block `number` of a table of blocks: a count n, n triples (name, kind, value), padded to an even length."""
    at = 0
    for _ in range(number):
        if table[at] < 0:
            raise ValueError("a block of negative length")
        length = 1 + 3 * int(table[at])
        at += length + length % 2
    return table[at : at + 1 + 3 * int(table[at])].tolist()


def _decode(cell: np.ndarray) -> list[str | None]:
    """[1, ndim, dims..., lengths..., UTF-16 text packed four characters a word] into a list of texts."""
    if cell.dtype != np.uint64 or int(cell[0]) != 1:
        raise ValueError("not a packed string")
    n_dims = int(cell[1])
    if n_dims > 32:
        raise ValueError(f"{n_dims} dimensions")
    n = int(np.prod([int(d) for d in cell[2 : 2 + n_dims]], dtype=object))
    lengths = [int(v) for v in cell[2 + n_dims : 2 + n_dims + n]]
    if len(lengths) != n:
        raise ValueError(f"{n} strings announced, {len(lengths)} there")
    text = cell[2 + n_dims + n :].tobytes()
    out: list[str | None] = []
    at = 0
    for length in lengths:
        if length == _MISSING:
            out.append(None)
            continue
        if at + 2 * length > len(text):
            raise ValueError("text ends early")
        out.append(text[at : at + 2 * length].decode("utf-16-le"))
        at += 2 * length
    return out
