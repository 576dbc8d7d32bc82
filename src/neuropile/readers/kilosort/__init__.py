"""Folders that Kilosort and phy write: spike_times.npy, spike_clusters.npy and the labels beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.types import Reader, Recording

#: Names that sorters and their scripts give folders, whatever the recording.
_GENERIC = re.compile(
    r"(kilosort|ks)[\d._v]*(_?outputs?|_?results?)?|pykilosort|iblsorter|phy(_\w+)?|sort(er|ing|ed)(_?outputs?|_?results?)?|spike_?sort(ing|ed)?"
    r"|(imec|probe)\w{0,3}(_ks[\d._]*)?|outputs?|results?|curated|\d{1,3}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class KilosortFolder(Reader):
    """The reader of folders that Kilosort and phy write.

    sample_rate : samples a second; None takes it from the folder's params.py
    """

    sample_rate: Fraction | None = None

    def __call__(self, path: Any) -> Recording:
        """Open a folder and return its recording, spike trains still ungrouped.

        Raises
        ------
        NoEvents : the folder has no spikes
        UnreadableFile : its spikes are damaged or contradict themselves, or nothing says at what rate they were sampled
        """
        from neuropile.readers.kilosort import read

        return read.read(path, safe_name(self.session_name(path)), self.sample_rate)

    def session_name(self, path: Any) -> str:
        """The folder's name, behind its parent's where it is one that every sorter gives."""
        from neuropile.readers.alf import folder as alf_folder

        return alf_folder.name(path, _GENERIC)

    def files(self, path: Any) -> Sequence[Any]:
        """The files that are read, by name."""
        from neuropile.readers.kilosort import read

        return read.files(path)


def folder(*, sample_rate: Fraction | float | None = None) -> KilosortFolder:
    """The reader of a Kilosort or phy folder; see KilosortFolder."""
    if sample_rate is None:
        return KilosortFolder()
    if not isinstance(sample_rate, Fraction):
        if not math.isfinite(sample_rate):
            raise UnreadableFile(f"a sample rate of {sample_rate} Hz is none; give samples a second, such as --sample-rate 30000")
        sample_rate = Fraction(str(sample_rate))
    if not 0 < sample_rate <= 10**8:
        raise UnreadableFile(f"a sample rate of {float(sample_rate):g} Hz is none; give samples a second, such as --sample-rate 30000")
    return KilosortFolder(sample_rate)


def takes(path: Any) -> bool:
    """Whether a folder is Kilosort's or phy's: the times of its spikes and their clusters or templates lie in it."""
    from neuropile.readers.kilosort import read

    return path.is_dir() and all(any((path / n).is_file() for n in names) for names in (read.TIMES, read.CLUSTERS))
