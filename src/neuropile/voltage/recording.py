"""Voltage of one probe or file, opened: read by time and channel, as volts with their times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neuropile.errors import NeuropileError
from neuropile.voltage.clocks import Clock, after_gap

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

#: Columns of `channels` that stand as coordinates beside what is read.
_COORDINATES = ("probe", "depth_um", "lateral_um", "region")


class Samples(Protocol):
    """What holds the stored numbers."""

    @property
    def n_samples(self) -> int:
        """Samples of a channel."""

    @property
    def dtype(self) -> np.dtype:
        """Of a stored number."""

    def blocks(self, first: int, last: int, columns: np.ndarray) -> Iterator[np.ndarray]:
        """The samples [first, last) of some columns, some samples at a time: (sample, column) each."""


class Voltage:
    """Sampled voltage, (time, channel), of which nothing is read but what is asked for.

    clock : when each sample was taken; `start_s`, `stop_s` and `rate_hz` are its own, measured, never a nominal rate
    channels : pandas, a row a channel: `channel_id` (text), and where they are known `probe`, `depth_um`, `lateral_um`,
        `x_um`, `y_um`, `z_um`, `region`, then the source's own as `src_*`
    invalid : (span, 2) seconds in which the source says the voltage is not to be used
    """

    def __init__(self, name: str, samples: Samples, clock: Clock, scaling: tuple[np.ndarray, np.ndarray, float], tell: Told) -> None:
        """scaling : the columns that are voltage, volts a stored number of each, and volts of a stored 0."""
        self.name, self.clock = name, clock
        self._samples, self._tell = samples, tell
        self._columns, self._scale, self._offset = scaling
        self.invalid, self._is_open = tell.invalid, True

    @property
    def n_samples(self) -> int:
        """Samples of each channel."""
        return self._samples.n_samples

    @property
    def n_channels(self) -> int:
        """Channels that are voltage."""
        return len(self._columns)

    @property
    def rate_hz(self) -> float:
        """Samples a second, on the clock of `clock`."""
        return self.clock.rate_hz

    @property
    def start_s(self) -> float:
        """When the first sample was taken."""
        return self.clock.start_s

    @property
    def stop_s(self) -> float:
        """One sample interval after the last."""
        return self.clock.stop_s

    @cached_property
    def channels(self) -> pd.DataFrame:
        """See Voltage."""
        return self._tell.channels().reset_index(drop=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd, a sentence each: gaps, samples without a time, a clock that is not the session's."""
        spans = [f"{len(self.invalid)} stretches are told to be invalid: `valid` is false there"] if len(self.invalid) else []
        return (*self._tell.notes, *self.clock.notes, *spans)

    def note(self, said: str) -> None:
        """Add to `notes` what shows only beside something else: that a session's channels are not the file's."""
        self._tell.notes = (*self._tell.notes, said)

    @property
    def sync(self) -> np.ndarray:
        """(n, 2) of sample and time in seconds, between which the clock runs straight; a row a sample where each has its own stamp."""
        return self.clock.points()

    def __repr__(self) -> str:
        if not self._is_open:
            return f"<Voltage {self.name}: {self.n_channels} channels, closed>"
        return f"<Voltage {self.name}: {self.n_channels} channels, {self.start_s:.3f} to {self.stop_s:.3f} s at {self.rate_hz:.7g} Hz>"

    def __enter__(self) -> Voltage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._is_open = False
        self._tell.close()

    def columns_of(self, channels: Any) -> np.ndarray:
        """Places in `channels`, (channel,) int64, of what a caller may name channels by.

        channels : None for all, positions (a number, numbers, a slice or range), a mask over the channels, ids as text,
            or a part of `channels` itself (any table with a `channel_id` column)
        """
        n = self.n_channels
        if channels is None:
            return np.arange(n)
        if isinstance(channels, slice):
            return np.arange(n)[channels]
        asked = np.atleast_1d(np.asarray(getattr(channels, "channel_id", channels)))
        if asked.ndim != 1:
            raise NeuropileError(f"{self.name}: channels are one row of positions, ids or truth values, got an array of shape {asked.shape}")
        if asked.dtype == bool:
            if len(asked) != n:
                raise NeuropileError(f"{self.name}: a mask of {len(asked)} values does not fit {n} channels")
            return np.flatnonzero(asked)
        if asked.dtype.kind in "iu":
            if asked.size and not (asked.min() >= 0 and asked.max() < n):
                raise NeuropileError(f"{self.name}: channels run from 0 to {n - 1}, asked for {_span(asked)}{self._as_text(asked)}")
            return asked.astype(np.int64)
        place = {c: i for i, c in enumerate(self.channels["channel_id"])}
        missing = [str(c) for c in asked.tolist() if c not in place]
        if missing:
            raise NeuropileError(f"{self.name}: no channel {missing[0]!r} among {n}; channel ids look like {next(iter(place), None)!r}")
        return np.array([place[c] for c in asked.tolist()], np.int64)

    def _as_text(self, asked: np.ndarray) -> str:
        """The way out for whoever meant ids by numbers."""
        ids = set(self.channels["channel_id"])
        named = next((str(c) for c in asked.tolist() if str(c) in ids), None)
        return "" if named is None else f"; a number is a place, a channel id a text: ask for {named!r}"

    def read(self, start_s: float, stop_s: float, channels: Any = None) -> xr.DataArray:
        """The voltage of [start_s, stop_s): see read_samples.

        Raises
        ------
        NeuropileError : the window ends before it starts, or none of it was recorded
        """
        self._check_open()
        if not start_s <= stop_s:
            raise NeuropileError(f"{self.name}: a window from {start_s} s to {stop_s} s: it must end after its start")
        if stop_s <= self.start_s or start_s >= self.stop_s:
            told = f"recorded from {self.start_s:.6g} s to {self.stop_s:.6g} s"
            raise NeuropileError(f"{self.name}: nothing from {start_s} s to {stop_s} s; {told}")
        first = self.clock.first_at(start_s)
        return self.read_samples(first, max(self.clock.first_at(stop_s), first), channels)

    def read_samples(self, first: int, last: int, channels: Any = None) -> xr.DataArray:
        """The voltage of the samples [first, last).

        Returns
        -------
        voltage : (time, channel) in volts, float32 (float64 where so stored), with the coordinates time (s), valid (time),
            channel (`channel_id`) and, where known, probe, depth_um, lateral_um, region. `valid` is false for samples
            without a time, in invalid stretches, and for the first sample after a gap (more than 1.5 sample intervals):
            a stretch of valid samples has no hole. `attrs["n_gaps"]` counts those

        Raises
        ------
        NeuropileError : no such samples or channels
        UnreadableFile : the file is damaged where it is read
        """
        import xarray as xr

        self._check_open()
        if not 0 <= first <= last <= self.n_samples:
            raise NeuropileError(f"{self.name}: samples run from 0 to {self.n_samples}, asked for {first} to {last}")
        places = self.columns_of(channels)
        values = self._values(first, last, places)
        times = self.clock.times(first, last)
        before = float(self.clock.times(first - 1, first)[0]) if first else math.nan
        gaps = after_gap(times, before, self.rate_hz)
        coords: dict[str, Any] = {"time": ("time", times), "valid": ("time", self._valid(times) & ~gaps)}
        own = self.channels.iloc[places]
        coords["channel"] = ("channel", own["channel_id"].to_numpy(object))
        coords |= {c: ("channel", own[c].to_numpy()) for c in _COORDINATES if c in own}
        attributes = {"units": "V", "rate_hz": self.rate_hz, "first_sample": first, "n_gaps": int(gaps.sum())}
        return xr.DataArray(values, dims=("time", "channel"), coords=coords, name="voltage", attrs=attributes)

    def _check_open(self) -> None:
        if not self._is_open:
            raise NeuropileError(f"{self.name} is closed; open it again")

    def _values(self, first: int, last: int, places: np.ndarray) -> np.ndarray:
        columns, scale = self._columns[places], self._scale[places]
        kind = np.float64 if self._samples.dtype.kind == "f" and self._samples.dtype.itemsize > 4 else np.float32
        as_stored = kind == self._samples.dtype and (scale == 1).all() and not self._offset
        try:
            out = np.empty((last - first, len(places)), kind)
        except (MemoryError, ValueError):
            told = f"{last - first} samples of {len(places)} channels"
            raise NeuropileError(f"{self.name}: {told} do not fit into memory; read a shorter window, or fewer channels") from None
        at = 0
        for block in self._samples.blocks(first, last, columns) if out.size else ():
            out[at : at + len(block)] = block if as_stored else block * scale + self._offset
            at += len(block)
        return out

    def _valid(self, times: np.ndarray) -> np.ndarray:
        known = np.isfinite(times)
        for start, stop in self.invalid[(self.invalid[:, 1] >= np.nanmin(times)) & (self.invalid[:, 0] <= np.nanmax(times))] if known.any() else ():
            known &= ~((times >= start) & (times < stop))
        return known


def _span(asked: np.ndarray) -> str:
    low, high = asked.min(), asked.max()
    return str(low) if low == high else f"{low} to {high}"


class Told:
    """What a file says beside its samples: its channels, when they are wanted, its invalid times, and what was odd."""

    def __init__(self, channels: Callable[[], pd.DataFrame], notes: Sequence[str] = (), invalid: Any = None, close: Callable[[], None] = lambda: None) -> None:
        self.channels, self.notes, self.close = channels, tuple(notes), close
        self.invalid = np.asarray([] if invalid is None else invalid, np.float64).reshape(-1, 2)
