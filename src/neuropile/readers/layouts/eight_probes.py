"""MATLAB files of eight Neuropixels probes recorded at once: a record a probe, with spike times and the cluster of each spike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuropile.paths import safe_name
from neuropile.readers import folder_files, source_name
from neuropile.types import Reader, Recording

_MOUSE = re.compile(r"spks(?P<mouse>[A-Za-z]+)")


@dataclass(frozen=True)
class EightProbes(Reader):
    """The reader of `spks*.mat`; of a folder with `probeLocations.mat` beside it, with the area of each unit."""

    def session_name(self, path: Any) -> str:
        """The name of the file with the spikes, without its suffix."""
        return source_name.plain(spikes_file(path)).stem

    def __call__(self, path: Any) -> Recording:
        """Read the clusters that occur, each with its probe and its height on it.

        Raises
        ------
        UnreadableFile : damaged, or without records of spike times and clusters
        NoEvents : there is no spike
        """
        from neuropile.readers.layouts import eight_probes_file

        path = Path(path) if isinstance(path, str) else path
        return eight_probes_file.read(spikes_file(path), locations_file(path), safe_name(self.session_name(path)), mouse(path))


@dataclass(frozen=True)
class UpstreamEightProbes(Reader):
    """The published scripts' way with these files.

    Bins of 20 ms begin at the earliest spike of any probe; a row for each cluster number from 1 to a probe's highest, those
    that do not occur included; uint8 that wraps around.
    """

    def session_name(self, path: Any) -> str:
        """The file's name without its suffix."""
        return source_name.plain(spikes_file(path)).stem

    def __call__(self, path: Any) -> Recording:
        """The counts of one file.

        Raises
        ------
        BadTimes : the latest spike lies on the border of a bin, or a time is no number, where the scripts stop
        """
        from neuropile.readers.layouts import eight_probes_file

        path = Path(path) if isinstance(path, str) else path
        return eight_probes_file.read_upstream(spikes_file(path), safe_name(self.session_name(path)), mouse(path))


def spikes_file(path: Any) -> Any:
    """The file with the spikes: itself, or the first of a folder called `spks...mat`."""
    files = folder_files.below(path)
    return next((f for f in files if f.name.startswith("spks") and f.name.endswith(".mat")), files[0])


def locations_file(path: Any) -> Any | None:
    """The file that says where each probe's sites are, where there is one."""
    return next((f for f in folder_files.below(path) if f.name == "probeLocations.mat"), None)


def mouse(path: Any) -> str | None:
    """The mouse a file is called by: `Krebs` of spksKrebs_Feb18.mat."""
    found = _MOUSE.match(source_name.plain(spikes_file(path)).stem)
    return found["mouse"] if found else None


def spikes() -> EightProbes:
    """The reader of eight probes; see EightProbes."""
    return EightProbes()


def rows() -> UpstreamEightProbes:
    """The published scripts' way with them; see UpstreamEightProbes."""
    return UpstreamEightProbes()
