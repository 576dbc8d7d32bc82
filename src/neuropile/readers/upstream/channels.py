"""The published scripts' own way with the two datasets of MATLAB files that name spike times by channel.

What they do, restated. Reaching (Makin): all sorts of a channel are one train; bins of 20 ms in float steps from the earliest
spike of the session to the first edge at or past the last; half-open, the last closed. Freely moving monkeys (Lanzarini):
rows for channels 000 to 127, each the unit `a` of that channel or zeros; ceil(last / 0.02) bins from 0, a spike in bin
floor(t / 0.02), one on the last edge dropped. Both are uint8 and wrap around.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuropile.errors import BadTimes, NoEvents
from neuropile.paths import safe_name
from neuropile.readers import upstream
from neuropile.readers.told import Around
from neuropile.types import Reader, Recording

WIDTH = 1 / upstream.BINS_PER_S


@dataclass(frozen=True)
class UpstreamChannels(Around):
    """Counts a channel as the published scripts make them.

    rule : "first" has bins from the earliest spike on; "floor" from 0, by division
    subject : what they call every subject, where all files lay in one folder
    """

    reader: Reader
    rule: Literal["first", "floor"]
    subject: str | None = None

    def __call__(self, path: Any) -> Recording:
        """The counts of one file; quantity `counts`, 50 ticks a second.

        Raises
        ------
        BadTimes : a spike time is NaN or infinite, or so late that the bins are too many
        NoEvents : there is no spike that they count
        """
        with self.reader(path) as recording:
            times = [np.asarray(recording.trains.read(u), np.float64) for u in range(recording.trains.n_units)]
        every = np.concatenate(times) if times else np.empty(0)
        if not np.isfinite(every).all():
            raise BadTimes(f"{path}: spike times that are NaN or infinite, where the published scripts stop; build it without --compat")
        if not every.size or (self.rule == "floor" and every.max() <= 0):
            raise NoEvents(f"{path}: no spikes that the published scripts count; the file holds {recording.holds or 'nothing else'}")
        if (every.max() - (every.min() if self.rule == "first" else 0.0)) / WIDTH > upstream.MAX_BINS:
            raise BadTimes(f"{path}: its spikes are more than {upstream.MAX_BINS} bins apart; check its times")
        counted, n_bins = _from_first(times, every) if self.rule == "first" else _by_division(times, every)
        subject = self.subject or upstream.folder_name(path)
        return upstream.as_counts(recording, safe_name(self.session_name(path)), subject, counted, n_bins)


def _from_first(times: list[np.ndarray], every: np.ndarray) -> tuple[list[upstream.Counted], int]:
    edges = np.arange(every.min(), every.max() + WIDTH, WIDTH)
    if len(edges) < 2:
        raise NoEvents("all spikes are at one time, where the published scripts have no bin")
    return [upstream.wrapped(np.histogram(t, edges)[0]) for t in times], len(edges) - 1


def _by_division(times: list[np.ndarray], every: np.ndarray) -> tuple[list[upstream.Counted], int]:
    n_bins = int(np.ceil(every.max() / WIDTH))
    bins = [np.floor(t / WIDTH).astype(np.int64) for t in times]
    return [upstream.wrapped(np.bincount(b[(b >= 0) & (b < n_bins)], minlength=n_bins)) for b in bins], n_bins


def from_first(reader: Reader, *, subject: str | None = None) -> UpstreamChannels:
    """Bins from the session's earliest spike on; see UpstreamChannels."""
    return UpstreamChannels(reader, "first", subject)


def by_division(reader: Reader) -> UpstreamChannels:
    """Bins from 0 by division; see UpstreamChannels."""
    return UpstreamChannels(reader, "floor")
