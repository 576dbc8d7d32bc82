"""MATLAB 7.3 files (HDF5) with spike times in a cell array, one cell a unit, and the columns that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuropile.readers import source_name
from neuropile.types import Reader, Recording


@dataclass(frozen=True)
class MatCells(Reader):
    """The reader of spike cells in MATLAB 7.3 files.

    spikes : name of the cell array of spike times in seconds; None takes the only one whose name speaks of spikes
    """

    spikes: str | None = None

    def __call__(self, path: Any) -> Recording:
        """Open a file and return its recording, spike trains still unread.

        Raises
        ------
        NoEvents : no cell array of spike times is found
        UnreadableFile : the file is damaged, or is no MATLAB 7.3 file
        """
        from neuropile.readers.mat import file

        return file.read(Path(path) if isinstance(path, str) else path, self.spikes)

    def session_name(self, path: Any) -> str:
        """The file's name without its suffix."""
        return source_name.plain(path).stem


def cells(*, spikes: str | None = None) -> MatCells:
    """The reader of spike cells; see MatCells."""
    return MatCells(spikes)
