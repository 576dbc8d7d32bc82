"""The values that pass between readers and writers; each checks itself once, when made, and never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuropile.errors import UnreadableFile

if TYPE_CHECKING:
    import pyarrow as pa

#: Quantities whose values are events on a clock.
EVENT_QUANTITIES = ("spikes", "threshold_crossings", "counts")
#: Quantities that are a value a unit and sample: they stand in the signal of that name, and nobody counts them.
SIGNAL_QUANTITIES = ("rates", "envelope", "calcium", "lfp")

DEFAULT_TICKS_PER_S = 100_000
ALL_UNITS = -1


@dataclass(frozen=True)
class Asset:
    """One file a session was read from.

    path : its name inside the source, never an absolute path
    bytes, sha256 : None where only parts of a remote file were read, so that nobody knows
    url, version : where it came from, and which version of it (an archive's asset id, a server's ETag), where known
    digest : what an archive says of its bytes where that is no SHA-256, as "algorithm:hex" (md5, sha1, blake2b, dandi-etag, git-sha1, ...)
    """

    path: str
    bytes: int | None
    sha256: str | None
    url: str | None = None
    version: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Subject:
    """Who was recorded; None where the source does not say."""

    subject_id: str | None = None
    species: str | None = None
    sex: str | None = None
    age: str | None = None
    genotype: str | None = None


@dataclass(frozen=True)
class Trains:
    """The spike trains of a recording, one unit read at a time.

    read : called with a unit's row, returns its times (event,) in any order: float seconds, or whole ticks
    kind : "seconds" or "ticks"
    sample_rate : samples a second where the source's times are whole samples; those become ticks by
        integer arithmetic. None where it is unknown.
    """

    n_units: int
    read: Callable[[int], np.ndarray]
    kind: Literal["seconds", "ticks"] = "seconds"
    sample_rate: Fraction | None = None


@dataclass(frozen=True)
class Spans:
    """Stretches of time, each for one unit's row or (ALL_UNITS) for every unit.

    unit : (span,) int32; start_s, stop_s : (span,) float64, seconds, start <= stop
    """

    unit: np.ndarray
    start_s: np.ndarray
    stop_s: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.unit) == len(self.start_s) == len(self.stop_s):
            raise UnreadableFile("spans need as many starts as stops and units")
        bad = np.flatnonzero(~(self.stop_s >= self.start_s))
        if bad.size:
            i = int(bad[0])
            raise UnreadableFile(f"span {i} runs from {self.start_s[i]} s to {self.stop_s[i]} s: it must end after its start")

    @classmethod
    def of(cls, start_s: Any, stop_s: Any, unit: Any = ALL_UNITS) -> Spans:
        """Spans from anything numpy reads; one `unit` serves for all."""
        start = np.atleast_1d(np.asarray(start_s, np.float64))
        stop = np.atleast_1d(np.asarray(stop_s, np.float64))
        return cls(np.broadcast_to(np.asarray(unit, np.int32), start.shape), start, stop)


@dataclass(frozen=True)
class Signal:
    """A sampled quantity beside the spikes, read lazily: `data[a:b]` gives its rows.

    data : array-like with shape, dtype and slicing on the first axis
    dims : a name for each axis; "time" comes first unless the array has no time (a mean waveform)
    time_s : (time,) seconds, or None where `start_s` and `rate_hz` give the time of each sample
    """

    data: Any
    dims: tuple[str, ...]
    unit: str = ""
    time_s: Any = None
    start_s: float | None = None
    rate_hz: float | None = None
    description: str = ""

    def __post_init__(self) -> None:
        shape = tuple(self.data.shape)
        if len(shape) != len(self.dims):
            raise UnreadableFile(f"a signal of shape {shape} needs {len(shape)} axis names, got {self.dims}")
        if self.time_s is not None and self.time_s.shape[0] != shape[0]:
            raise UnreadableFile(f"a signal has {shape[0]} samples and {self.time_s.shape[0]} time stamps")
        timed = self.time_s is not None or (self.start_s is not None and self.rate_hz is not None)
        if ("time" in self.dims) != timed:
            raise UnreadableFile("a signal over time needs time stamps, or a start and a rate; another must have neither")


@dataclass(frozen=True)
class Linked:
    """A file that belongs to a session and is not copied into it: a video, raw voltage, LFP.

    path : relative to what the session was read from, or to where its archive keeps it
    kind : "video", "voltage" or "lfp"
    clock : the signal whose times are those of its frames or samples, where there is one
    url : where it is, where known
    note : what to know of it, in a sentence
    """

    path: str
    kind: Literal["video", "voltage", "lfp"]
    clock: str | None = None
    url: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.path or self.path.startswith("/") or ".." in self.path.split("/"):
            raise UnreadableFile(f"{self.path!r} leaves the session's folder: a linked file lies in it")


@dataclass(frozen=True)
class Recording:
    """What a reader returns for one session: tables now, spike trains and signals when they are asked for.

    session_id : safe for a file name, unique in its dataset
    units : Arrow table, a row a unit; a unique text `unit_id`, canonical columns, the source's own as `src_*`
    trains : the events, in the order of `units`; without a single one where the quantity is a signal
    channels : a row a recorded channel: a unique text `channel_id`, where it is, the source's own as `src_*`; None where the source has no table
    quantity : one of EVENT_QUANTITIES, or of SIGNAL_QUANTITIES: then `signals` has one of that name, (time, unit)
    intervals : Arrow tables with `start_s`, `stop_s`; names such as "trials"
    observed : spans in which silence is data, or None where the source holds no evidence of them
    invalid : spans to take out of `observed`
    span_source : where `observed` comes from, in a few words
    set_aside : why the session is left out of piles by default, in a few words; None where it is not
    linked : files that belong to it and are not copied, by name
    absent : what such a recording may have and this one lacks: the name of the signal or intervals, and why, in a few words
    source : what the file says of itself, kept but not used
    notes : imperfections met while reading, one sentence each
    holds : what the file holds, in a few words, for messages
    """

    session_id: str
    units: pa.Table
    trains: Trains
    subject: Subject = Subject()
    quantity: str = "spikes"
    ticks_per_s: int = DEFAULT_TICKS_PER_S
    clock: Literal["session", "trials"] = "session"
    intervals: Mapping[str, pa.Table] = field(default_factory=dict)
    signals: Mapping[str, Signal] = field(default_factory=dict)
    observed: Spans | None = None
    invalid: Spans | None = None
    span_source: str = "spikes"
    recording_id: str | None = None
    license: str | None = None
    citation: str | None = None
    set_aside: str | None = None
    channels: pa.Table | None = None
    linked: Mapping[str, Linked] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    holds: str = ""
    close: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        if self.quantity not in EVENT_QUANTITIES + SIGNAL_QUANTITIES:
            raise UnreadableFile(f"quantity {self.quantity!r} is none of {', '.join(EVENT_QUANTITIES)} (events), {', '.join(SIGNAL_QUANTITIES)} (signals)")
        if self.set_aside is not None and not self.set_aside.strip():
            raise UnreadableFile("set_aside must say why the session is left out of piles, or be None")
        if self.ticks_per_s < 1:
            raise UnreadableFile(f"ticks_per_s must be a positive whole number, got {self.ticks_per_s}")
        if self.units.num_rows != self.trains.n_units:
            raise UnreadableFile(f"{self.units.num_rows} rows of units but {self.trains.n_units} spike trains")
        ids = self.units.column("unit_id").to_pylist()
        if len(set(ids)) != len(ids) or None in ids:
            raise UnreadableFile("unit_id must be unique and never missing")
        if self.channels is not None:
            ids = self.channels.column("channel_id").to_pylist()
            if len(set(ids)) != len(ids) or None in ids:
                raise UnreadableFile("channel_id must be unique and never missing")
        for name, table in self.intervals.items():
            if "start_s" not in table.column_names:
                raise UnreadableFile(f"intervals {name!r} have no start_s")
        if self.quantity in SIGNAL_QUANTITIES:
            self._check_signal()

    def _check_signal(self) -> None:
        """Raise UnreadableFile unless the quantity is a signal with a number a unit and sample, and no event stands beside it."""
        signal, n_units = self.signals.get(self.quantity), self.trains.n_units
        if signal is None:
            raise UnreadableFile(f"a recording of {self.quantity} needs a signal of that name, found {', '.join(self.signals) or 'none'}")
        if signal.dims != ("time", "unit") or signal.data.shape[1] != n_units:
            found = f"{', '.join(signal.dims)} of shape {tuple(signal.data.shape)}"
            raise UnreadableFile(f"the signal {self.quantity!r} must have the axes time, unit and a column for each of {n_units} units, found {found}")
        if np.dtype(signal.data.dtype).kind not in "iuf":
            raise UnreadableFile(f"the signal {self.quantity!r} must hold real numbers, found {signal.data.dtype}")
        unit = next((u for u in range(n_units) if len(self.trains.read(u))), None)
        if unit is not None:
            raise UnreadableFile(f"a recording of {self.quantity} holds no events, found some of unit {unit}; events are a recording of their own")

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Reader:
    """What turns a source, a file or a folder that is one session, into a Recording.

    Each is a frozen dataclass: it prints, compares and hashes, and its text is kept in the session it made.
    """

    def __call__(self, path: Any) -> Recording:
        """Open a source and return its recording, spike trains and signals still unread."""
        raise NotImplementedError

    def session_name(self, path: Any) -> str:
        """What the session of a source is called, before it is made safe for a file name: its own name without suffix."""
        return str(path.stem)

    def assets(self, path: Any) -> Sequence[Asset] | None:
        """What a source is made of, where it is neither a file nor a folder; None where it is."""
        return None

    def files(self, path: Any) -> Sequence[Any] | None:
        """The files of a folder that are read, in a fixed order; None means every one."""
        return None

    def failure(self) -> Exception | None:
        """What made a reading fail, where the reader knows better than the error that came of it: a fetch that broke off."""
        return None
