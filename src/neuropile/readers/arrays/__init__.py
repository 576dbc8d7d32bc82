"""Arrays that follow no format of spikes, by a short mapping: MATLAB, HDF5, .npy and .npz; docs/explain/mapping.md shows each form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from neuropile.readers import source_name
from neuropile.readers.arrays.mapping import KEYS, checked, parse
from neuropile.types import Reader, Recording

__all__ = ["KEYS", "MappedArrays", "contents", "mapped", "parse", "suggest"]


@dataclass(frozen=True)
class MappedArrays(Reader):
    """The reader of a file by a mapping of keys (see KEYS) to arrays in it.

    mapping : pairs of key and value, sorted
    sample_rate : samples a second, where the times are whole samples
    """

    mapping: tuple[tuple[str, str], ...]
    sample_rate: Fraction | None = None

    def __call__(self, path: Any) -> Recording:
        """Open a file and return its recording.

        Raises
        ------
        NoEvents : the arrays are signals, not spikes
        UnreadableFile : the file is damaged, lacks a named array, or its arrays contradict each other
        """
        from neuropile.readers.arrays import read

        return read.read(path, dict(self.mapping), self.sample_rate)

    def session_name(self, path: Any) -> str:
        """The file's name without its suffix."""
        return source_name.plain(path).stem


def mapped(mapping: Mapping[str, str], *, sample_rate: float | Fraction | None = None) -> MappedArrays:
    """The reader of arrays by a mapping, checked as far as it can be without a file.

    >>> mapped({"times": "spikes", "counts": "sCount"})
    MappedArrays(mapping=(('counts', 'sCount'), ('times', 'spikes')), sample_rate=None)
    """
    given, rate = checked(mapping, sample_rate)
    return MappedArrays(tuple(sorted(given.items())), rate)


def contents(path: Any) -> list[tuple[str, tuple[int, ...], str]]:
    """The arrays of a file as (name, shape, dtype), from headers only; of many under one name, how many there are.

    Raises
    ------
    UnreadableFile : damaged, or no MATLAB, HDF5, .npy or .npz file
    """
    from neuropile.readers.arrays import opening

    with opening.opened(path) as source:
        return [(h.name, h.shape, h.dtype) for h in source.contents()]


def suggest(path: Any) -> str:
    """One line: the arrays a file holds, and the mapping that would most likely read them, where one is likely.

    Raises
    ------
    UnreadableFile : as for contents
    """
    from neuropile.readers.arrays import suggesting

    return suggesting.suggest(path)
