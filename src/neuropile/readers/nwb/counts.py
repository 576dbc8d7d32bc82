"""NWB files whose neural data are counts in bins, as a time series of time x channels: counts as events on the series' own bins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuropile.paths import safe_name
from neuropile.readers import nwb
from neuropile.types import Reader, Recording


@dataclass(frozen=True)
class NwbCounts(Reader):
    """The reader of a series of counts.

    series : where it may lie, the best first
    quantity : "threshold_crossings" or "counts"
    gap : a step of more than so many bin widths between two time stamps leaves unobserved time
    """

    series: tuple[str, ...]
    quantity: str = "counts"
    gap: float = 1.5

    def __call__(self, path: Any) -> Recording:
        """Open a file and return its recording, counts still unread; a count of n is n events in its bin's first tick.

        Raises
        ------
        NoEvents : there is no such series
        UnreadableFile : its time stamps tell no bins, its values are no counts, or the file is damaged
        """
        from neuropile.readers.nwb import counts_file

        path = Path(path) if isinstance(path, str) else path
        return counts_file.read(path, safe_name(self.session_name(path)), self.series, self.quantity, self.gap)

    def session_name(self, path: Any) -> str:
        """The file's name, as of other NWB files."""
        return nwb.session_name(path)


def series(*paths: str, quantity: str = "counts", gap: float = 1.5) -> NwbCounts:
    """The reader of a series of counts; see NwbCounts."""
    return NwbCounts(paths, quantity, gap)
