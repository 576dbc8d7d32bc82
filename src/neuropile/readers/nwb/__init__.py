"""NWB 2.x (HDF5 files, Zarr folders): units wherever the table lives, intervals, subject and behaviour, read as they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuropile.paths import safe_name
from neuropile.readers import source_name
from neuropile.types import Reader, Recording


@dataclass(frozen=True)
class NwbUnits(Reader):
    """The reader of spikes in NWB files.

    region, quality : the unit columns to take them from, where the usual names would find another
    """

    region: str | None = None
    quality: str | None = None

    def __call__(self, path: Any) -> Recording:
        """Open a file, a Zarr folder, or either at a URL (a UPath), and return its recording, spike trains and signals still unread.

        Raises
        ------
        NoEvents : the file has no units table with spike times
        UnreadableFile : the file is damaged or contradicts itself
        """
        from neuropile.readers.nwb import file

        path = Path(path) if isinstance(path, str) else path
        return file.read(path, safe_name(self.session_name(path)), self.region, self.quality)

    def session_name(self, path: Any) -> str:
        """The file's name without `.nwb`, and without `.zarr` behind it."""
        return session_name(path)


def session_name(path: Any) -> str:
    """What the session of an NWB file is called: `x` of `x.nwb`, `x.nwb.zarr` and `x.zarr`."""
    name = source_name.plain(path)
    return name.stem.removesuffix(".nwb") if name.suffix == ".zarr" else name.stem


def takes(path: Any) -> bool:
    """Whether a folder is an NWB file in Zarr."""
    from neuropile.readers.zarr import tree as zarr_tree

    attributes = zarr_tree.root_attributes(path)
    return "nwb_version" in attributes or attributes.get("neurodata_type") == "NWBFile"


def units(*, region: str | None = None, quality: str | None = None) -> NwbUnits:
    """The reader of sorted units; see NwbUnits."""
    return NwbUnits(region, quality)
