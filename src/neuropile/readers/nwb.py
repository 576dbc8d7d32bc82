"""NWB 2.x files (HDF5): units wherever the table lives, intervals, subject and behaviour, read as they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuropile.types import Reader, Recording


@dataclass(frozen=True)
class NwbUnits(Reader):
    """The reader of spikes in NWB files.

    region, quality : the unit columns to take them from, where the usual names would find another
    """

    region: str | None = None
    quality: str | None = None

    def __call__(self, path: Path) -> Recording:
        """Open a file and return its recording, spike trains and signals still unread.

        Raises
        ------
        NoEvents : the file has no units table with spike times
        UnreadableFile : the file is damaged or contradicts itself
        """
        from neuropile.readers import nwb_file

        return nwb_file.read(Path(path), self.region, self.quality)


def units(*, region: str | None = None, quality: str | None = None) -> NwbUnits:
    """The reader of sorted units; see NwbUnits."""
    return NwbUnits(region, quality)
