"""The published neural-pile scripts' own way with an NWB file, so that their numbers can be had and compared.

What they do, restated: over all units of the table, in its order and without any filter, numpy's histogram with the edges
`arange(0, latest + 0.02, 0.02)` in floats, where `latest` is the last spike of any unit; counts cast to uint8. So bins
begin at 0 whatever was observed, spikes before 0 are dropped, the last bin is closed on both sides, rounding sometimes
adds an empty bin at the end, and a count of 256 is stored as 0. A session is called by its file, its subject by the folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neuropile import remote
from neuropile.errors import BadTimes, NoEvents
from neuropile.paths import safe_name
from neuropile.readers import folder_files, source_name
from neuropile.types import Reader, Recording, Spans, Subject, Trains

BINS_PER_S = 50
#: Edges and counts of one unit take some 32 bytes a bin while they are made; no recording is 11.5 days long.
MAX_BINS = 50_000_000
_DROPPED = ("quality", "quality_rule")


@dataclass(frozen=True)
class UpstreamCounts(Reader):
    """Counts in 20 ms bins exactly as the published scripts make them of what `reader` reads.

    subject : what they call every subject, where their files did not lie in a folder a subject
    """

    reader: Reader
    subject: str | None = None

    def session_name(self, path: Any) -> str:
        """As the reader calls it: the file's name without its last suffix, which is what the scripts take."""
        return self.reader.session_name(path)

    def __call__(self, path: Any) -> Recording:
        """The counts of one session; quantity `counts`, 50 ticks a second, one tick a count.

        Raises
        ------
        BadTimes : a spike time is NaN or infinite, where the scripts stop, or so late that the bins are too many
        NoEvents : no unit has a spike that they count
        """
        with self.reader(path) as recording:
            trains = recording.trains
            edges = _edges(path, trains, recording.holds)
            counted = [_count(_times(trains, u), edges) for u in range(trains.n_units)]
        if not any(c.bins.size for c in counted):
            raise NoEvents(f"{path}: {_why_nothing(counted)}: nothing to store; ingest the file without --compat")
        session_id = safe_name(self.session_name(path))
        return as_counts(recording, session_id, self.subject or folder_name(path), counted, len(edges) - 1)


@dataclass(frozen=True)
class Counted:
    """One unit's counts that are not 0: (bin,) int32 and uint8; and of its times how many there are, are early, and of its counts are too high."""

    bins: np.ndarray
    counts: np.ndarray
    n_times: int = 1
    n_early: int = 0
    n_wrapped: int = 0


def wrapped(whole: np.ndarray) -> Counted:
    """One unit's counts, (bin,) int64, cast to uint8 as the scripts cast them."""
    counts = whole.astype(np.uint8)
    bins = np.flatnonzero(counts).astype(np.int32)
    return Counted(bins, counts[bins], n_wrapped=int((whole > 255).sum()))


def as_counts(recording: Recording, session_id: str, subject: str, counted: Sequence[Counted], n_bins: int, notes: Iterable[str] = ()) -> Recording:
    """The recording that the scripts make of another: its units with their counts in place of its spikes, nothing else.

    subject : what the scripts call it
    n_bins : from 0, all of them observed as far as the scripts can tell
    """
    units = recording.units.drop_columns([c for c in _DROPPED if c in recording.units.column_names])
    return replace(
        recording,
        session_id=session_id,
        units=units,
        trains=Trains(len(counted), lambda u: np.repeat(counted[u].bins.astype(np.int64), counted[u].counts), kind="ticks"),
        subject=Subject(source_name.as_text(subject), recording.subject.species),
        quantity="counts",
        ticks_per_s=BINS_PER_S,
        intervals={},
        signals={},
        observed=Spans.of(0.0, n_bins / BINS_PER_S),
        invalid=None,
        span_source="published scripts",
        notes=(*notes, *_told(counted)),
        close=lambda: None,
    )


def folder_name(path: Any) -> str:
    """The folder that directly holds a file, or the first file of a session of several: what the scripts call the subject."""
    first = folder_files.below(path)[0] if remote.can_list(path) and path.is_dir() else path
    return source_name.plain(first.resolve() if hasattr(first, "resolve") else first).parent.name


def _times(trains: Trains, unit: int) -> np.ndarray:
    return np.asarray(trains.read(unit), np.float64)


def _edges(path: Any, trains: Trains, holds: str) -> np.ndarray:
    """The edges of the scripts' bins, once it is known that there are some, and not too many to be held."""
    latest = -np.inf
    for unit in range(trains.n_units):
        times = _times(trains, unit)
        if not np.isfinite(times).all():
            raise BadTimes(f"{path}: spike times that are NaN or infinite, where the published scripts stop; ingest the file without --compat")
        latest = max(latest, float(times.max(initial=-np.inf)))
    if latest < 0:
        raise NoEvents(f"{path}: sought spikes from 0 s on, found none in {trains.n_units} units; the file holds {holds or 'nothing else'}")
    if latest > MAX_BINS / BINS_PER_S:
        many = f"that is more than {MAX_BINS} bins of 20 ms (11.5 days)"
        raise BadTimes(f"{path}: the latest spike is at {latest:g} s: {many}, which are too many to count; check its times, or ingest it without --compat")
    edges = np.arange(0, latest + 1 / BINS_PER_S, 1 / BINS_PER_S)
    if len(edges) < 2:
        raise NoEvents(f"{path}: the latest spike is at {latest:g} s, up to which the published scripts have no bin; ingest the file without --compat")
    return edges


def _count(times: np.ndarray, edges: np.ndarray) -> Counted:
    return replace(wrapped(np.histogram(times, edges)[0]), n_times=len(times), n_early=int((times < 0).sum()))


def _why_nothing(counted: list[Counted]) -> str:
    """Why no count is left: each wrapped to 0, or the one spike that was left lies, by rounding, behind the last edge."""
    if any(c.n_wrapped for c in counted):
        return "every count is a multiple of 256 and wraps to 0, as in the published scripts"
    return "the only spikes from 0 s on lie behind the last edge that the published scripts compute"


def _told(counted: Sequence[Counted]) -> list[str]:
    """What the scripts do without a word."""
    empty = sum(not c.n_times for c in counted)
    early = sum(c.n_early for c in counted)
    n_wrapped = sum(c.n_wrapped for c in counted)
    told = [f"{empty} units without spikes were kept as zeros, where most of the published scripts stop"] if empty else []
    told += [f"{early} spikes before 0 s were dropped, as the published scripts do"] if early else []
    return told + ([f"{n_wrapped} counts above 255 wrapped around to uint8, as in the published scripts"] if n_wrapped else [])


def counts(reader: Reader, *, subject: str | None = None) -> UpstreamCounts:
    """The published scripts' way with what a reader reads; see UpstreamCounts."""
    return UpstreamCounts(reader, subject)
