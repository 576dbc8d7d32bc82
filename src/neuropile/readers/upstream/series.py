"""The published scripts' own way with series of counts in NWB files: samples as bins, whatever time they are of.

What they do, restated: read the series whole, cast it to uint8, take channels as rows and samples as bins of 20 ms; time
stamps are never read, so that gaps are glued. Where `rebin` is given, each run of so many samples is summed after the cast,
in a wider type, and what is left over at the end is dropped; this they do where the folder has one exact name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import nwb, upstream
from neuropile.types import Reader, Recording, Trains


@dataclass(frozen=True)
class UpstreamSeries(Reader):
    """A series of counts as the published scripts take it.

    series : where it may lie, the best first
    rebin : a folder's name, and how many samples they sum for files in it
    """

    series: tuple[str, ...]
    rebin: tuple[str, int] | None = None

    def session_name(self, path: Any) -> str:
        """The file's name, as of other NWB files."""
        return nwb.session_name(path)

    def __call__(self, path: Any) -> Recording:
        """The counts of one file; quantity `counts`, 50 ticks a second.

        Raises
        ------
        NoEvents : there is no such series, or no count in it
        UnreadableFile : it holds NaN or infinities, whose cast nobody can tell
        """
        import pyarrow as pa

        from neuropile.readers.nwb import counts_file as nwb_counts_file
        from neuropile.readers.nwb import file as nwb_file
        from neuropile.readers.nwb import tree

        with tree.opened(path) as file:
            data = tree.member(nwb_counts_file.find(file, self.series), "data")
            values = np.asarray(data[()])
            subject = nwb_file.subject_of(file)
            file.close()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UnreadableFile(f"{path}: counts that are NaN or infinite, whose cast to uint8 nobody can tell; build it without --compat")
        folder = upstream.folder_name(path)
        counts = self._summed(values.astype(np.int64).astype(np.uint8), folder)
        if not counts.any():
            raise NoEvents(f"{path}: no count that the published scripts keep")
        bare = Recording(
            session_id=safe_name(self.session_name(path)),
            units=pa.table({"unit_id": [str(i) for i in range(counts.shape[1])]}),
            trains=Trains(counts.shape[1], lambda unit: np.empty(0)),
            subject=subject,
        )
        counted = [_counted(counts[:, u]) for u in range(counts.shape[1])]
        return upstream.as_counts(bare, bare.session_id, folder, counted, len(counts))

    def _summed(self, counts: np.ndarray, folder: str) -> np.ndarray:
        if self.rebin is None or folder != self.rebin[0]:
            return counts
        n = len(counts) // self.rebin[1]
        return counts[: n * self.rebin[1]].reshape(n, self.rebin[1], -1).sum(axis=1)


def _counted(counts: np.ndarray) -> upstream.Counted:
    """Counts as they are, in whatever type they have become."""
    bins = np.flatnonzero(counts).astype(np.int32)
    return upstream.Counted(bins, counts[bins].astype(np.int64))


def samples(*series: str, rebin: tuple[str, int] | None = None) -> UpstreamSeries:
    """A series of counts as the published scripts take it; see UpstreamSeries."""
    return UpstreamSeries(series, rebin)
