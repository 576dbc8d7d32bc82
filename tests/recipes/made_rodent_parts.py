"""What the made files of the rodent datasets share: spike trains of known ticks, NWB files by pynwb, and the published scripts' bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from making import MadeSession
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject

TICKS_PER_S = 100_000
TICKS_PER_BIN = 2000
PUBLISHED_BIN = 0.02
START = datetime(2020, 2, 3, tzinfo=UTC)


def ticks_of(seed: int, n_units: int, start_s: float, stop_s: float, silent: Sequence[int] = (), rate_hz: float = 6.0) -> list[np.ndarray]:
    """Each unit's ticks, some on the borders of 20 ms bins; the first unit's first spike is the first of all, its last the last."""
    rng = np.random.default_rng(seed)
    first, last = round(start_s * TICKS_PER_S), round(stop_s * TICKS_PER_S)
    out = []
    for unit in range(n_units):
        ticks = rng.integers(first + 1, last, rng.poisson(rate_hz * (stop_s - start_s)) + 1)
        ticks[::7] -= ticks[::7] % TICKS_PER_BIN
        ticks = ticks[ticks > first]
        out.append(np.sort(np.r_[first, ticks, last] if unit == 0 else ticks) if unit not in silent else np.empty(0, np.int64))
    return out


def seconds(ticks: np.ndarray) -> np.ndarray:
    """Times of ticks: those on the border of a bin exactly, others a part of a tick behind it, as a clock of 30 kHz has them."""
    return ticks / TICKS_PER_S + np.where(ticks % TICKS_PER_BIN, 4e-6, 0.0)


def made(trains: Sequence[np.ndarray], ids: Sequence[Any] | None = None, **known: Any) -> MadeSession:
    """A session of these ticks, counted in whole numbers."""
    spiking = np.concatenate(trains)
    first = int(spiking.min() // TICKS_PER_BIN)
    n_bins = int(spiking.max() // TICKS_PER_BIN) + 1 - first
    counts = np.stack([np.bincount(t // TICKS_PER_BIN - first, minlength=n_bins) for t in trains])
    return MadeSession([str(i) for i in (ids if ids is not None else range(len(trains)))], counts, first, **known)


def silence_is_data(trains: Sequence[np.ndarray], *invalid: tuple[float, float]) -> np.ndarray:
    """From the first tick to behind the last, less stretches: (span, 2) seconds."""
    spiking = np.concatenate(trains)
    edges = [spiking.min() / TICKS_PER_S, *(x for span in sorted(invalid) for x in span), (spiking.max() + 1) / TICKS_PER_S]
    return np.array(edges).reshape(-1, 2)


def published(times: Sequence[np.ndarray]) -> np.ndarray:
    """The published scripts' counts: float edges from 0, one bin wider than the latest spike, numpy's histogram, cast to uint8."""
    latest = max(t.max() for t in times if len(t))
    edges = np.arange(0, latest + PUBLISHED_BIN, PUBLISHED_BIN)
    return np.stack([np.histogram(t, bins=edges)[0] for t in times]).astype(np.uint8)


def new(subject: str, species: str = "Mus musculus", identifier: str = "made", description: str = "made", start: datetime = START) -> NWBFile:
    """An NWB file of a subject, with nothing in it yet."""
    nwb = NWBFile(session_description=description, identifier=identifier, session_start_time=start)
    nwb.subject = Subject(subject_id=subject, species=species, sex="M", age="P90D")
    return nwb


def write(nwb: NWBFile, folder: Path, path: str) -> Path:
    """Write a file under its archive path."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with NWBHDF5IO(str(file), "w") as io:
        io.write(nwb, cache_spec=False)
    return file


def add_units(nwb: NWBFile, trains: Sequence[np.ndarray], columns: Mapping[str, Sequence[Any]] = {}, ids: Sequence[int] | None = None) -> list[np.ndarray]:
    """A unit a train, with a value of each column; returns the times as they were written."""
    predefined = ("obs_intervals", "electrodes", "electrode_group", "waveform_mean")
    for name, values in columns.items():
        if name not in predefined:
            nwb.add_unit_column(name, name, index=isinstance(values[0], list))
    times = [seconds(t) for t in trains]
    for i, t in enumerate(times):
        own = {name: values[i] for name, values in columns.items()}
        nwb.add_unit(spike_times=t, id=None if ids is None else ids[i], **own)
    return times


def add_electrodes(nwb: NWBFile, groups: Sequence[str], locations: Sequence[str], ids: Sequence[int] | None = None, **columns: Sequence[Any]) -> dict[str, Any]:
    """An electrode a location, dealt over the groups in runs; returns the groups by name."""
    device = nwb.create_device("probe device")
    made_groups = {g: nwb.create_electrode_group(g, f"{g} of the made session", "brain", device) for g in groups}
    for name in columns:
        nwb.add_electrode_column(name, name)
    each = -(-len(locations) // len(groups))
    for i, location in enumerate(locations):
        own = {name: values[i] for name, values in columns.items()}
        group = groups[i // each]
        nwb.add_electrode(id=None if ids is None else ids[i], location=location, group=made_groups[group], group_name=group, **own)
    return made_groups


def intervals(name: str, start_s: Sequence[float], length_s: float, **columns: Sequence[Any]) -> TimeIntervals:
    """A table of intervals of equal length."""
    table = TimeIntervals(name=name, description=name)
    for column, values in columns.items():
        table.add_column(column, column, index=isinstance(values[0], list))
    for i, start in enumerate(start_s):
        table.add_interval(start_time=float(start), stop_time=float(start) + length_s, **{c: v[i] for c, v in columns.items()})
    return table


def add_trials(nwb: NWBFile, start_s: Sequence[float], length_s: float, **columns: Sequence[Any]) -> None:
    """The file's own table of trials."""
    for column in columns:
        nwb.add_trial_column(column, column)
    for i, start in enumerate(start_s):
        nwb.add_trial(start_time=float(start), stop_time=float(start) + length_s, **{c: v[i] for c, v in columns.items()})


def module(nwb: NWBFile, name: str, *things: Any) -> None:
    """A processing module with things in it."""
    made_module = nwb.create_processing_module(name, name)
    for thing in things:
        made_module.add(thing)


def series(name: str, n: int, unit: str = "cm/s", rate: float = 10.0, width: int = 0) -> TimeSeries:
    """Behaviour that counts up."""
    data = np.arange(n, dtype=np.float64) if not width else np.arange(n * width, dtype=np.float64).reshape(n, width)
    return TimeSeries(name=name, data=data, unit=unit, starting_time=0.0, rate=rate)


def voltage(nwb: NWBFile, name: str, n: int, rate: float, start: float = 0.0) -> ElectricalSeries:
    """Raw voltage on the first electrodes, where there are any: what nobody should read."""
    if nwb.electrodes is None:
        add_electrodes(nwb, ["shank0"], ["CA1", "CA1"])
    region = nwb.create_electrode_table_region(list(range(2)), "the first electrodes")
    return ElectricalSeries(name=name, data=np.zeros((n, 2), np.int16), electrodes=region, starting_time=start, rate=rate, conversion=1e-6)
