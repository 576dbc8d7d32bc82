"""The mapping that would most likely read a file: told only where names, shapes and values all speak for it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers import source_name
from neuropile.readers.arrays import opening
from neuropile.readers.arrays.asked import is_whole, listed
from neuropile.readers.arrays.held import Held, Source

_SPIKES = re.compile(r"spike|spk|raster", re.I)
_TIMES = re.compile(r"spike|spk|time", re.I)
_UNITS = re.compile(r"unit|neuron|cluster|clu\b|cell|spike_?id|label", re.I)
_TRIALS = re.compile(r"trial", re.I)
_COUNTS = re.compile(r"count|n_?sp|num", re.I)
_STARTS = ("tmin", "t_min", "trial_start", "tstart", "t_start")
_STOPS = ("tmax", "t_max", "trial_stop", "trial_end", "tstop", "t_stop")
#: Values are looked at in arrays of at most so many.
_MAX_LOOK = 1 << 24
#: A trial of more seconds than this is one of milliseconds.
_LONG_TRIAL = 100


def suggest(path: Any) -> str:
    """See arrays.suggest."""
    with opening.opened(path) as source:
        held = source.contents()
        try:
            likely = next((m for m in (_flat(source, held), _pairs(source, held), _many(source, held), _matrix(source, held)) if m), None)
            is_signal = likely is None and _is_signal(source, held)
        except UnreadableFile:
            likely, is_signal = None, False
    what = f"it holds {listed(held)}"
    if likely is None and is_signal:
        return f"{what}, whose values are not whole numbers: no spikes and no counts of them, but a signal such as calcium or rates, or a table"
    if likely is None:
        return f"{what}; no mapping suggests itself: name spike times (--map times=PATH) or whole counts (--map matrix=PATH --map bin=SECONDS) if any are there"
    return f"{what}; likely read by {' '.join(f'--map {part}' for part in likely)}"


def _is_signal(source: Source, held: list[Held]) -> bool:
    """Whether the file is one array of more than one axis that holds no whole numbers."""
    values = _values(source, held[0]) if len(held) == 1 and len(held[0].shape) > 1 else None
    return values is not None and not _is_whole(values)


def _values(source: Source, held: Held) -> np.ndarray | None:
    """The values of an array by itself, where they are numbers and few enough to look at."""
    if held.leaves or math.prod(held.shape) > _MAX_LOOK:
        return None
    leaves = source.leaves(held.name.split("/"))
    values = leaves[0].values if len(leaves) == 1 else None
    return values if values is not None and values.dtype.kind in "biuf" and values.size else None


def _flat_length(held: Held) -> int | None:
    """The length of one row of values, or None."""
    n = math.prod(held.shape)
    return n if n and not held.leaves and max(held.shape, default=0) == n else None


def _is_whole(values: np.ndarray) -> bool:
    return bool(is_whole(values).all())


def _name(source: Source, held: Held) -> str:
    """What an array is called: the file's name where it is the only one in it."""
    return source_name.plain(source.path).stem if held.name == "array" else held.name


def _flat(source: Source, held: list[Held]) -> list[str] | None:
    """Flat times, with how many are each unit's, or with the unit (and trial) of each."""
    rows = [(h, n) for h in held if (n := _flat_length(h)) is not None and n > 1]
    times = [(h, n) for h, n in rows if _TIMES.search(h.name) and not _COUNTS.search(h.name)]
    found = [_counted(source, t, n, rows) or _coded(source, t, n, held) for t, n in times]
    likely = [f for f in found if f]
    return likely[0] if len(likely) == 1 else None


def _counted(source: Source, times: Held, n: int, rows: list[tuple[Held, int]]) -> list[str] | None:
    fitting = []
    for other, n_units in rows:
        if other.name == times.name or n_units >= n or not (_COUNTS.search(other.name)):
            continue
        values = _values(source, other)
        if values is not None and _is_whole(values) and values.min() >= 0 and int(values.sum()) == n:
            fitting.append(other.name)
    unit = _unit_of(source, times, None)
    return [f"times={times.name}", f"counts={fitting[0]}", *unit] if len(fitting) == 1 and unit is not None else None


def _coded(source: Source, times: Held, n: int, held: list[Held]) -> list[str] | None:
    beside = [h for h in held if _flat_length(h) == n and h.name != times.name]
    units = [h.name for h in beside if _UNITS.search(h.name) and _codes(source, h, n)]
    trials = [h.name for h in beside if _TRIALS.search(h.name) and h.name not in units and _codes(source, h, n)]
    if len(units) != 1 or len(trials) > 1:
        return None
    found = [f"times={times.name}", f"units={units[0]}"]
    if not trials:
        unit = _unit_of(source, times, None)
        return None if unit is None else found + unit
    start, stop = (next((h for h in held if h.name.lower() in known), None) for known in (_STARTS, _STOPS))
    stops = None if stop is None else _values(source, stop)
    unit = None if stops is None else _unit_of(source, times, float(stops.max()))
    if stop is None or unit is None:
        return None
    return [*found, f"trials={trials[0]}", *([f"trial_start={start.name}"] if start else []), f"trial_stop={stop.name}", *unit]


def _codes(source: Source, held: Held, n: int) -> bool:
    values = _values(source, held)
    return values is not None and _is_whole(values) and len(np.unique(values)) <= max(n // 2, 1)


def _unit_of(source: Source, times: Held, trial_stop: float | None) -> list[str] | None:
    """What to say of the times' unit: nothing for seconds, None where the values do not tell."""
    values = _values(source, times)
    if values is None or not _is_whole(values):
        return []
    return ["unit=ms"] if trial_stop is not None and _LONG_TRIAL < trial_stop < 1000 * _LONG_TRIAL and values.max() <= trial_stop else None


def _pairs(source: Source, held: list[Held]) -> list[str] | None:
    """A matrix of two columns (or rows): a unit and a time."""
    fitting = [h for h in held if not h.leaves and len(h.shape) == 2 and 2 in h.shape and max(h.shape) > 10 and _TIMES.search(_name(source, h))]
    if len(fitting) != 1 or (values := _values(source, fitting[0])) is None:
        return None
    name, in_columns = fitting[0].name, values.shape[1] == 2
    sides = (values[:, 0], values[:, 1]) if in_columns else (values[0], values[1])
    whole = [_is_whole(s) and len(np.unique(s)) <= len(s) // 2 for s in sides]
    if whole[0] == whole[1] or _is_whole(sides[1 if whole[0] else 0]):
        return None
    unit, time = (0, 1) if whole[0] else (1, 0)
    cut = (lambda k: f"{name}[:,{k}]") if in_columns else (lambda k: f"{name}[{k},:]")
    return [f"times={cut(time)}", f"units={cut(unit)}"]


def _many(source: Source, held: list[Held]) -> list[str] | None:
    """Cells or a struct's field: one row of times a unit, or one matrix of counts a trial."""
    fitting = [h for h in held if len(h.leaves) > 1 and _SPIKES.search(h.name) and re.fullmatch(r"(rows of )?(float|u?int|bool)\w*", h.dtype)]
    rows = [h for h in fitting if h.dtype.endswith(("float64", "float32")) and _are_trains(h.leaves)]
    if len(rows) == 1:
        leaves = source.leaves(rows[0].name.split("/"))
        n_values = sum(v.values.size for v in leaves)
        return [f"times={rows[0].name}"] if n_values and not all(_is_whole(v.values) for v in leaves) else None
    matrices = [h for h in fitting if all(len(s) == 2 and min(s) > 1 for s in h.leaves) and len({s[0] for s in h.leaves}) == 1]
    if rows or len(matrices) != 1:
        return None
    leaves = source.leaves(matrices[0].name.split("/"))
    if not all(_is_count(v.values) for v in leaves):
        return None
    return [f"matrix={matrices[0].name}", "bin=SECONDS"]


def _are_trains(shapes: tuple[tuple[int, ...], ...]) -> bool:
    """Whether arrays are rows of values, not all of one length."""
    filled = [s for s in shapes if 0 not in s]
    return bool(filled) and all(max(s, default=1) == math.prod(s) for s in filled) and len({math.prod(s) for s in filled}) > 1


def _is_count(values: np.ndarray) -> bool:
    return values.dtype.kind in "biuf" and _is_whole(values) and bool(values.min() >= 0) and bool(values.max() < 256)


def _matrix(source: Source, held: list[Held]) -> list[str] | None:
    """A matrix of counts by unit and time."""
    fitting = [
        h for h in held if not h.leaves and len(h.shape) in (2, 3) and min(h.shape) > 1 and re.search(r"spike|spk|raster|count|binned", _name(source, h), re.I)
    ]
    if len(fitting) != 1 or (values := _values(source, fitting[0])) is None or not _is_count(values) or not values.any():
        return None
    if values.ndim == 3:
        return None  # nothing tells which axis is which
    if not 10 * min(values.shape) < max(values.shape):
        return None
    return [f"matrix={fitting[0].name}", "bin=SECONDS", *(["axes=time,unit"] if values.shape[0] > values.shape[1] else [])]
