"""The published neural-pile scripts' own way with an NWB file, so that their numbers can be had and compared.

What they do, restated: over all units of the table, in its order and without any filter, numpy's histogram with the edges
`arange(0, latest + 0.02, 0.02)` in floats, where `latest` is the last spike of any unit; counts cast to uint8. So bins
begin at 0 whatever was observed, spikes before 0 are dropped, the last bin is closed on both sides, rounding sometimes
adds an empty bin at the end, and a count of 256 is stored as 0. A session is called by its file, its subject by the folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from neuropile.errors import BadTimes, NoEvents
from neuropile.paths import safe_name
from neuropile.types import Reader, Recording, Spans, Subject, Trains

BINS_PER_S = 50
_DROPPED = ("quality", "quality_rule")


@dataclass(frozen=True)
class UpstreamCounts(Reader):
    """Counts in 20 ms bins exactly as the published scripts make them of what `reader` reads."""

    reader: Reader

    def session_name(self, path: Any) -> str:
        """As the reader calls it: the file's name without its last suffix, which is what the scripts take."""
        return self.reader.session_name(path)

    def __call__(self, path: Any) -> Recording:
        """The counts of one file; quantity `counts`, 50 ticks a second, one tick a count.

        Raises
        ------
        BadTimes : a spike time is NaN or infinite: the scripts stop there
        NoEvents : no unit has a spike
        """
        import numpy as np

        with self.reader(path) as recording:
            trains = [np.asarray(recording.trains.read(u), np.float64) for u in range(recording.trains.n_units)]
        if not all(np.isfinite(t).all() for t in trains):
            raise BadTimes(f"{path}: spike times that are NaN or infinite, where the published scripts stop; ingest the file without --compat")
        latest = max((float(t.max()) for t in trains if t.size), default=None)
        if latest is None or latest < 0:
            raise NoEvents(f"{path}: sought spikes after 0 s, found none in {len(trains)} units; the file holds {recording.holds or 'nothing else'}")
        edges = np.arange(0, latest + 1 / BINS_PER_S, 1 / BINS_PER_S)
        whole = [np.histogram(t, edges)[0] for t in trains]
        counts = [n.astype(np.uint8) for n in whole]
        folder = path.resolve().parent if hasattr(path, "resolve") else path.parent
        units = recording.units.drop_columns([c for c in _DROPPED if c in recording.units.column_names])
        return replace(
            recording,
            session_id=safe_name(self.session_name(path)),
            units=units,
            trains=Trains(len(trains), lambda u: np.repeat(np.arange(len(edges) - 1), counts[u]), kind="ticks"),
            subject=Subject(folder.name, recording.subject.species),
            quantity="counts",
            ticks_per_s=BINS_PER_S,
            intervals={},
            signals={},
            observed=Spans.of(0.0, (len(edges) - 1) / BINS_PER_S),
            invalid=None,
            span_source="published scripts",
            notes=tuple(_told(trains, whole)),
            close=lambda: None,
        )


def _told(trains: list[Any], counts: list[Any]) -> list[str]:
    """What the scripts do without a word."""
    empty = sum(not t.size for t in trains)
    early = sum(int((t < 0).sum()) for t in trains)
    wrapped = sum(int((n > 255).sum()) for n in counts)
    told = [f"{empty} units without spikes were kept as zeros, where most of the published scripts stop"] if empty else []
    told += [f"{early} spikes before 0 s were dropped, as the published scripts do"] if early else []
    return told + ([f"{wrapped} counts above 255 wrapped around to uint8, as in the published scripts"] if wrapped else [])


def counts(reader: Reader) -> UpstreamCounts:
    """The published scripts' way with what a reader reads; see UpstreamCounts."""
    return UpstreamCounts(reader)
