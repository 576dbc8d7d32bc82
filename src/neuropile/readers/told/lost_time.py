"""Time in which a recording lost its signal or was paused, which NWB files tell in ways of their own: taken out of what was observed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neuropile.readers import told
from neuropile.types import Reader, Recording, Spans

_MAX_DEPTH = 4


@dataclass(frozen=True)
class WithoutIntervals(told.Around):
    """A reader that takes the time in a table of intervals for lost.

    intervals : the table's name; where it is missing, nothing was lost
    """

    reader: Reader
    intervals: str

    def __call__(self, path: Any) -> Recording:
        """What the reader reads, less that time."""
        recording = self.reader(path)
        table = recording.intervals.get(self.intervals)
        if table is None or "stop_s" not in table.column_names:
            return replace(recording, notes=(*recording.notes, f"no table {self.intervals!r}: nothing says when the signal was lost"))
        start, stop = (table.column(c).to_numpy(zero_copy_only=False).astype(np.float64) for c in ("start_s", "stop_s"))
        told_of = np.isfinite(start) & np.isfinite(stop) & (stop >= start)
        return replace(recording, invalid=_joined(recording.invalid, start[told_of], stop[told_of]))


@dataclass(frozen=True)
class WithoutPauses(told.Around):
    """A reader that takes the time between the segments of the voltage beside the spikes for lost: recording was paused."""

    reader: Reader

    def __call__(self, path: Any) -> Recording:
        """What the reader reads, less the time between segments; of the voltage only when it begins and ends is read."""
        from neuropile.readers.nwb import tree

        recording = self.reader(path)
        try:
            with tree.opened(path) as file:
                start, stop = pauses(segments(file))
                file.close()
        except BaseException:
            recording.close()
            raise
        return replace(recording, invalid=_joined(recording.invalid, start, stop)) if len(start) else recording


def _joined(before: Spans | None, start: np.ndarray, stop: np.ndarray) -> Spans:
    more = Spans.of(start, stop)
    if before is None:
        return more
    return Spans(*(np.concatenate(pair) for pair in ((before.unit, more.unit), (before.start_s, more.start_s), (before.stop_s, more.stop_s))))


def segments(file: Any) -> np.ndarray:
    """When each electrical series of acquisition and processing runs: (series, 2) seconds."""
    from neuropile.readers.nwb import tree

    tops = [tree.member(file, name) for name in ("acquisition", "processing")]
    series = [s for top in tops if tree.is_group(top) for s in _series(top, tree.Met(), 0)]
    found = [span for s in series if (span := _span(s)) is not None]
    return np.array(found, np.float64).reshape(-1, 2)


def _series(group: Any, met: Any, depth: int) -> Iterator[Any]:
    from neuropile.readers.nwb import tree

    for _, child in tree.members(group):
        if not tree.is_group(child) or not met.is_new(child):
            continue
        if tree.kind(child) == "ElectricalSeries":
            yield child
        elif depth < _MAX_DEPTH:
            yield from _series(child, met, depth + 1)


def _span(series: Any) -> tuple[float, float] | None:
    """From a series' first sample to one sample after its last; None where its clock does not say."""
    from neuropile.readers.nwb import tree

    data, start, stamps = (tree.member(series, name) for name in ("data", "starting_time", "timestamps"))
    n = int(data.shape[0]) if tree.is_array(data) and data.shape else 0
    if tree.is_array(stamps) and stamps.ndim == 1 and stamps.shape[0] > 1:
        first, last = float(stamps[0]), float(stamps[-1])
        span = (first, last + (last - first) / (stamps.shape[0] - 1))
    elif n and tree.is_array(start) and start.size == 1 and float(start.attrs.get("rate", 0)) > 0:
        first = float(np.asarray(start[()]).reshape(-1)[0])
        span = (first, first + n / float(start.attrs["rate"]))
    else:
        return None
    return span if np.isfinite(span).all() and span[0] <= span[1] else None


def pauses(spans: np.ndarray, least_s: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """The holes between spans, (span, 2) seconds, that overlap as they like: starts and stops of those longer than `least_s`.

    >>> pauses(np.array([[0.0, 2.0], [5.0, 6.0], [1.0, 3.0]]))
    (array([3.]), array([5.]))
    """
    if not len(spans):
        return np.empty(0), np.empty(0)
    order = spans[np.argsort(spans[:, 0], kind="stable")]
    reached = np.maximum.accumulate(order[:, 1])[:-1]
    hole = order[1:, 0] - reached > least_s
    return reached[hole], order[1:, 0][hole]


def intervals(reader: Reader, name: str) -> WithoutIntervals:
    """A reader that takes the time in a table of intervals for lost; see WithoutIntervals."""
    return WithoutIntervals(reader, name)


def between_segments(reader: Reader) -> WithoutPauses:
    """A reader that takes the time between segments of voltage for lost; see WithoutPauses."""
    return WithoutPauses(reader)
