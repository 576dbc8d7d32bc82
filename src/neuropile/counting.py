"""Counts of a session's spikes: in a grid of bins on its clock, or around moments, in a type that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import binning, kernels
from neuropile.errors import BinWidthError
from neuropile.events import SpikeFile

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Grid:
    """Equal bins on a session's clock: bin k of it is [(first_bin + k) * ticks_per_bin, ... + ticks_per_bin)."""

    ticks_per_bin: int
    first_bin: int
    n_bins: int

    @property
    def ticks(self) -> tuple[int, int]:
        """The half-open range of ticks it covers."""
        return self.first_bin * self.ticks_per_bin, (self.first_bin + self.n_bins) * self.ticks_per_bin


@dataclass(frozen=True)
class Counter:
    """Counts the spikes of one session.

    name_of : gives a unit's row a name for error messages
    """

    spikes: SpikeFile
    n_units: int
    ticks_per_s: int
    name_of: Callable[[int], str]

    def count(self, rows: np.ndarray, grid: Grid, dtype: Any = None, clip: bool = False) -> tuple[np.ndarray, int]:
        """Counts (unit, bin) of the units `rows`, and how many were clipped; see `Session.counts`."""
        if dtype is not None and np.dtype(dtype).type not in binning.COUNT_TYPES:
            return self._as_type(self.count(rows, grid)[0], rows, grid, np.dtype(dtype), clip)
        if dtype is None:
            for kind in binning.COUNT_TYPES[:-1]:
                counts = np.zeros((len(rows), grid.n_bins), kind)
                if self.fill(counts, rows, grid) is None:
                    return counts, 0
        last = binning.COUNT_TYPES[-1] if dtype is None else _count_type(dtype)
        counts = np.zeros((len(rows), grid.n_bins), last)
        if self.fill(counts, rows, grid) is None:
            return counts, 0
        if not clip:
            raise self._overflow(rows, grid, last)
        wide, _ = self.count(rows, grid)
        largest = np.iinfo(last).max
        return np.minimum(wide, largest).astype(last), int((wide > largest).sum())

    def _as_type(self, counts: np.ndarray, rows: np.ndarray, grid: Grid, dtype: np.dtype[Any], clip: bool) -> tuple[np.ndarray, int]:
        """Counts in a signed or float type, for arithmetic that would wrap around in an unsigned one."""
        if dtype.kind not in "if":
            raise BinWidthError(f"counts are whole numbers; dtype must be an integer or float type, not {dtype.name}")
        largest = np.iinfo(dtype).max if dtype.kind == "i" else 2 ** (np.finfo(dtype).nmant + 1)
        n_clipped = int((counts > largest).sum())
        if n_clipped and not clip:
            raise self._overflow(rows, grid, dtype.type)
        return (np.minimum(counts, largest) if n_clipped else counts).astype(dtype), n_clipped

    def count_into(self, out: np.ndarray, rows: np.ndarray, grid: Grid) -> None:
        """As `count`, into a contiguous (unit, bin) array of an unsigned type; raises CountOverflow where it does not fit."""
        _count_type(out.dtype)
        out[...] = 0
        if self.fill(out, rows, grid) is not None:
            raise self._overflow(rows, grid, out.dtype.type)

    def fill(self, counts: np.ndarray, rows: np.ndarray, grid: Grid) -> tuple[int, int] | None:
        """Add the spikes to `counts`; the first cell that overflowed, or None."""
        if counts.shape != (len(rows), grid.n_bins):  # the kernels trust it
            raise BinWidthError(f"counts of {len(rows)} units and {grid.n_bins} bins do not fit an array of shape {counts.shape}")
        row_of_unit = np.full(self.n_units, -1, np.int64)
        row_of_unit[rows] = np.arange(len(rows))
        full = None
        for unit, tick in self.spikes.batches(rows, grid.ticks):
            full = binning.scatter(unit, tick, row_of_unit, grid.ticks[0], grid.ticks_per_bin, counts) or full
        return full

    def events(self, rows: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Where the spikes of the units `rows` lie in the grid: (row + 1,) offsets, (event,) int32 bins, ascending within a row."""
        row_of_unit = np.full(self.n_units, -1, np.int64)
        row_of_unit[rows] = np.arange(len(rows))
        unit, tick = self.spikes.read(rows, grid.ticks)
        return kernels.bins_by_row(unit, tick, row_of_unit, len(rows), grid.ticks[0], grid.ticks_per_bin, grid.n_bins)

    def _overflow(self, rows: np.ndarray, grid: Grid, kind: Any) -> Exception:
        wide, _ = self.count(rows, grid)
        row, column = np.unravel_index(wide.argmax(), wide.shape)
        k = grid.first_bin + int(column)
        return binning.overflow(self.name_of(int(rows[row])), int(wide.max()), k, k * grid.ticks_per_bin / self.ticks_per_s, kind)

    def trains(self, rows: np.ndarray, ticks: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(unit + 1,) offsets over all units and the (event,) sorted ticks of those in `rows`."""
        unit, tick = self.spikes.read(rows, ticks)
        return kernels.group_by_unit(unit, tick, self.n_units)

    def count_around(self, rows: np.ndarray, moments: np.ndarray, grid: Grid) -> np.ndarray:
        """Counts (moment, unit, bin) in a grid laid from each moment's tick; bins before it have negative numbers."""
        offsets, ticks = self.trains(rows)
        for kind in binning.COUNT_TYPES:
            counts = np.zeros((len(moments), len(rows), grid.n_bins), kind)
            if kernels.scatter_aligned(ticks, offsets, rows, moments, -grid.ticks[0], grid.ticks_per_bin, counts) < 0:
                break
        return counts


def mask_of(counts: xr.DataArray) -> xr.DataArray:
    """Where counts are data: `unit_observed` where units differ in it, else `observed`; `counts.where(mask_of(counts))`.

    counts : from `Session.counts`, `Session.align` or `Segment.counts`
    """
    return counts["unit_observed" if "unit_observed" in counts.coords else "observed"]


def _count_type(dtype: Any) -> Any:
    kind = np.dtype(dtype).type
    if kind not in binning.COUNT_TYPES:
        raise BinWidthError(f"counts are uint8, uint16 or uint32, not {np.dtype(dtype).name}")
    return kind


def covered(spans: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Whether [start, start + length) lies in one of the merged spans, for each start: same shape, bool."""
    if not len(spans):
        return np.zeros(starts.shape, bool)
    i = np.searchsorted(spans[:, 0], starts, side="right") - 1
    return (i >= 0) & (starts + length <= spans[np.maximum(i, 0), 1])
