"""A matrix of counts by unit and bin into trains: a count of n is n events in the bin's first tick; trials one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from neuropile.errors import NoEvents
from neuropile.readers.arrays.asked import Asked, is_whole
from neuropile.readers.arrays.held import Leaf
from neuropile.readers.arrays.mapping import AXES, axes_of
from neuropile.types import Trains

#: No unit fires faster for a whole bin, and no recording holds more events: larger counts are something else.
_MAX_RATE_HZ = 20_000
_MAX_EVENTS = 1 << 30
_CHUNK_VALUES = 1 << 23


@dataclass(frozen=True)
class Matrices:
    """Counts (unit, bin), one array a trial, or one in all; `names` are the trials', None where there are none."""

    arrays: list[np.ndarray]
    names: list[str] | None


def matrices(asked: Asked) -> Matrices:
    """The counts of a mapping with `matrix`, axes in order."""
    leaves = asked.leaves("matrix")
    if not any(leaf.place for leaf in leaves):
        return _of_one(asked, leaves[0].values)
    axes = axes_of(asked.mapping.get("axes", "unit,time"))
    if {"unit", "trial"} <= set(axes):
        raise asked.error("matrix", f"is {len(leaves)} arrays already, one a trial or one a unit: axes= names the two axes of each, such as unit,time")
    leaves = _with_bins(asked, leaves)
    cubes = [_ordered(asked, leaf.values, axes) for leaf in leaves]
    if "trial" in axes:
        return _units_apart(asked, leaves, cubes)
    for leaf, cube in zip(leaves, cubes, strict=True):
        if cube.shape[1] != cubes[0].shape[1]:
            raise asked.error("matrix", f"trial {'/'.join(leaf.place)} has {cube.shape[1]} units, the first {cubes[0].shape[1]}; is it axes=time,unit?")
    return Matrices([c[0] for c in cubes], ["/".join(leaf.place) for leaf in leaves])


def _with_bins(asked: Asked, leaves: list[Leaf]) -> list[Leaf]:
    found = [leaf for leaf in leaves if leaf.values.size]
    if not found:
        raise NoEvents(f"{asked.source.path}: matrix={asked.mapping['matrix']} is {len(leaves)} arrays, all empty")
    if len(found) < len(leaves):
        asked.notes.append(f"{len(leaves) - len(found)} of {len(leaves)} arrays of {asked.mapping['matrix']} are empty and were left out")
    return found


def _of_one(asked: Asked, values: np.ndarray) -> Matrices:
    axes = axes_of(asked.mapping.get("axes", "trial,unit,time" if values.ndim == 3 else "unit,time"))
    cube = _ordered(asked, values, axes)
    if not cube.size:
        raise NoEvents(f"{asked.source.path}: matrix={asked.mapping['matrix']} has shape {values.shape}: no values")
    return Matrices(list(cube), [str(i) for i in range(len(cube))] if "trial" in axes else None)


def _ordered(asked: Asked, values: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    """An array as (trial, unit, time); an axis that it does not have is of length 1."""
    if values.ndim == 2 and len(axes) == 1 and 1 in values.shape:
        values = values.reshape(-1)
    if values.ndim != len(axes):
        raise asked.error("matrix", f"an array of shape {values.shape} has not the axes {','.join(axes)}; name its own with axes=")
    if values.dtype.kind not in "biuf":
        raise asked.error("matrix", f"holds {values.dtype}, not numbers")
    have = [a for a in AXES if a in axes]
    values = values.transpose([axes.index(a) for a in have])
    return values.reshape([values.shape[have.index(a)] if a in have else 1 for a in AXES])


def _units_apart(asked: Asked, leaves: list[Leaf], cubes: list[np.ndarray]) -> Matrices:
    for leaf, cube in zip(leaves, cubes, strict=True):
        if cube.shape != cubes[0].shape:
            raise asked.error("matrix", f"unit {'/'.join(leaf.place)} has {cube.shape[0]} trials of {cube.shape[2]} bins, the first another number")
    together = np.concatenate(cubes, axis=1)
    return Matrices(list(together), [str(i) for i in range(len(together))])


def trains(asked: Asked, found: Matrices, width: Fraction, first_ticks: np.ndarray) -> Trains:
    """The counts as ticks; `first_ticks` says where each matrix begins on the recording's clock.

    Raises
    ------
    NoEvents : the values are not counts
    """
    n_units = found.arrays[0].shape[0]
    parts = []
    n_events = 0
    for counts, first in zip(found.arrays, first_ticks.tolist(), strict=True):
        step = max(_CHUNK_VALUES // max(counts.shape[1], 1), 1)
        for unit in range(0, n_units, step):
            row, bin_, count = _counted(asked, np.asarray(counts[unit : unit + step]), width)
            n_events += int(count.sum())
            if n_events > _MAX_EVENTS:
                raise _no_counts(asked, f"more than {_MAX_EVENTS} events in all")
            parts.append((row + unit, bin_ * width.numerator + first, count))
    row, tick, count = (np.concatenate([p[i] for p in parts]) for i in range(3))
    order = np.argsort(row, kind="stable")
    row, tick, count = row[order], tick[order], count[order]
    ends = np.searchsorted(row, np.arange(n_units + 1))

    def read(unit: int) -> np.ndarray:
        own = slice(ends[unit], ends[unit + 1])
        return np.repeat(tick[own], count[own])

    return Trains(n_units, read, kind="ticks")


def _counted(asked: Asked, values: np.ndarray, width: Fraction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, bin and count of what is not zero, once it is believed to be counts."""
    if values.dtype.kind == "f":
        bad = ~is_whole(values)
        if bad.any():
            raise _no_counts(asked, f"holds {values[bad][0]:g}, which is no whole number")
    row, bin_ = np.nonzero(values)
    count = values[row, bin_]
    if count.size and count.min() < 0:
        raise _no_counts(asked, f"holds {count.min():g}, which is negative")
    most = 1 if asked.mapping.get("quantity") == "spikes" else max(math.ceil(_MAX_RATE_HZ * width), 1)
    if count.size and count.max() > most:
        if most == 1:
            raise asked.error("matrix", f"holds a count of {count.max():g}: with more than 0 and 1 in it, it is of quantity=counts")
        raise _no_counts(asked, f"holds {count.max():g}, more than any unit fires in {float(width):g} s")
    return row, bin_, count.astype(np.int64)


def _no_counts(asked: Asked, said: str) -> NoEvents:
    which = f"matrix={asked.mapping['matrix']}"
    return NoEvents(f"{asked.source.path}: {which} {said}: sought whole counts of spikes, found rates, calcium or another signal, which are not events")
