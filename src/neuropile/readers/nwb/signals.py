"""The time series of an NWB file: behaviour as lazy signals, and the span the voltage was recorded in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers.nwb import tree
from neuropile.types import Signal, Spans

#: Series that are no behaviour: raw or filtered voltage, images, calcium, stimulus templates.
NOT_BEHAVIOUR = frozenset(
    {
        "ElectricalSeries", "SpikeEventSeries", "FeatureExtraction", "ImageSeries", "ImageMaskSeries", "OpticalSeries", "IndexSeries",
        "OnePhotonSeries", "TwoPhotonSeries", "RoiResponseSeries", "PatchClampSeries", "CurrentClampSeries", "VoltageClampSeries",
        "CurrentClampStimulusSeries", "VoltageClampStimulusSeries", "AnnotationSeries", "DecompositionSeries",
    }
)  # fmt: skip
_MAX_DEPTH = 4


def find(file: tree.Group, names: Mapping[str, str] | None = None) -> tuple[dict[str, Signal], list[str]]:
    """Behaviour series of acquisition, processing and stimulus by their shortest distinct name; what was left out, and why.

    names : of the series at some paths, in place of the shortest; an empty one leaves that series to whoever asked
    """
    names = names or {}
    found: dict[str, Signal] = {}
    skipped: list[str] = []
    met = tree.Met()
    for top in ("acquisition", "processing", "stimulus/presentation"):
        group = tree.member(file, top)
        for series in _series(group, 0, met) if tree.is_group(group) and met.is_new(group) else ():
            path = series.name.strip("/")
            if names.get(path) == "":
                continue
            try:
                if tree.kind(series) in NOT_BEHAVIOUR:
                    raise UnreadableFile(tree.kind(series))
                found[path] = _signal(series)
            except UnreadableFile as e:
                skipped.append(f"{path} ({e})")
    named = {names[path]: found.pop(path) for path in names if path in found}
    return named | {n if n not in named else f"{n}_2": s for n, s in _short_names(found).items()}, skipped


def _series(group: tree.Group, depth: int, met: tree.Met) -> Iterator[tree.Group]:
    """Every group below that holds a series, each once, containers opened."""
    for _, child in tree.members(group):
        if not tree.is_group(child) or "colnames" in child.attrs or not met.is_new(child):
            continue
        timed = tree.member(child, "timestamps") is not None or tree.member(child, "starting_time") is not None
        if tree.member(child, "data") is not None and (timed or tree.kind(child).endswith("Series")):
            yield child
        elif depth < _MAX_DEPTH:
            yield from _series(child, depth + 1, met)


def _signal(series: tree.Group) -> Signal:
    """A series as a signal; UnreadableFile, saying why in a few words, where it is none."""
    data = tree.member(series, "data")
    if not tree.is_array(data) or not data.shape or not data.shape[0]:
        raise UnreadableFile("empty")
    if data.dtype.kind not in "iufb":
        raise UnreadableFile("not numbers")
    tree.check_size(data)
    times, start, rate = _clock(series)
    scale, offset = (_number(data.attrs.get(name, default), name) for name, default in (("conversion", 1.0), ("offset", 0.0)))
    return Signal(
        data=tree.Later(data) if scale == 1.0 and offset == 0.0 else _Scaled(data, scale, offset),
        dims=("time", "channel", "component", "part")[: data.ndim],
        unit=tree.text(data.attrs.get("unit", "")),
        time_s=None if times is None else tree.Later(times),
        start_s=start,
        rate_hz=rate,
        description=tree.text(series.attrs.get("description", "")),
    )


def _clock(series: tree.Group) -> tuple[tree.Array, float | None, float | None]:
    """The time stamps of a series, or its start and its rate."""
    times, start = tree.member(series, "timestamps"), tree.member(series, "starting_time")
    if tree.is_array(times):
        if not times.shape or times.ndim != 1 or times.dtype.kind not in "iuf":
            raise UnreadableFile("its time stamps are not one row of numbers")
        tree.check_size(times)
        return times, None, None
    if not tree.is_array(start) or start.size != 1:
        raise UnreadableFile("neither time stamps nor a start")
    rate = _number(start.attrs.get("rate"), "rate")
    if rate <= 0:
        raise UnreadableFile(f"its rate is {rate} Hz")
    return None, _number(start[()], "start"), rate


def _number(value: Any, name: str) -> float:
    try:
        number = float(np.asarray(value, np.float64).reshape(-1)[0])
    except (TypeError, ValueError, IndexError):
        raise UnreadableFile(f"its {name} is no number") from None
    if not np.isfinite(number):
        raise UnreadableFile(f"its {name} is {number}")
    return number


class _Scaled:
    """A dataset whose stored numbers are multiples of the unit: scaled as they are read."""

    def __init__(self, data: tree.Array, scale: float, offset: float) -> None:
        self._data, self._scale, self._offset = tree.Later(data), scale, offset
        self.shape, self.dtype = data.shape, np.dtype(np.float64)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self._data[key], np.float64) * self._scale + self._offset


def _short_names(found: dict[str, Signal]) -> dict[str, Signal]:
    """Each path cut to its last part, or to as many as it takes to be the only one so called."""
    out: dict[str, Signal] = {}
    for path, signal in found.items():
        parts = path.split("/")
        for n in range(1, len(parts) + 1):
            tail = "/".join(parts[-n:])
            if sum(p == tail or p.endswith("/" + tail) for p in found) == 1:
                break
        name = _group_name(tail)
        out[next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(found) + 2))) if n not in out)] = signal
    return out


def _group_name(path: str) -> str:
    """A path as the name of a Zarr group; `zarr.json` is where Zarr keeps a group's own attributes."""
    name = safe_name(path.replace("/", "_"))
    return name.replace(".", "_") if name.lower() == "zarr.json" else name


def voltage_spans(file: tree.Group) -> Spans | None:
    """The first to the last moment of each raw voltage series in acquisition, or None where there is none."""
    found: list[tuple[float, float]] = []
    acquisition = tree.member(file, "acquisition")
    for _, series in tree.members(acquisition) if tree.is_group(acquisition) else ():
        data = tree.member(series, "data") if tree.kind(series) == "ElectricalSeries" else None
        if not tree.is_array(data) or not data.shape or not data.shape[0]:
            continue
        try:
            times, start, rate = _clock(series)
        except UnreadableFile:  # tells nothing of time; the spikes stand
            continue
        if times is not None:
            first, last = float(times[0]), float(times[-1])
            found.append((first, last + (last - first) / max(times.shape[0] - 1, 1)))
        elif start is not None and rate is not None:
            found.append((start, start + data.shape[0] / rate))
    found = [(a, b) for a, b in found if np.isfinite([a, b]).all() and a <= b]
    return Spans.of(*zip(*found, strict=True)) if found else None
