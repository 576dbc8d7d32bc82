"""A session on a page: raster, regions, population rate and the rates of its units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuropile.errors import NeuropileError
from neuropile.plotting import pages
from neuropile.plotting.cells import bin_spikes, gaps, merged, observed_seconds, population_rate
from neuropile.plotting.regions import depth_order, region_band


@dataclass(frozen=True)
class SessionOverview:
    """One session as `session_overview` draws it.

    spike_unit : (event,) int, the unit's row; spike_s : (event,) float seconds
    depth_um : (unit,) float, above the probe's tip, NaN where unknown; region : (unit,) names, None where unknown
    rate_hz : (unit,) float, 0 or NaN of a silent unit
    spans_s : (span, 2) float seconds, when silence is data, merged and ascending within a unit
    span_unit : (span,) int, ascending, whose span it is; -1 throughout where spans hold for every unit
    """

    title: str
    subtitle: str
    spike_unit: np.ndarray
    spike_s: np.ndarray
    depth_um: np.ndarray
    region: Sequence[str | None]
    rate_hz: np.ndarray
    spans_s: np.ndarray
    span_unit: np.ndarray

    def __post_init__(self) -> None:
        n_spikes, n_units = (len(self.spike_s), len(self.spike_unit)), (len(self.region), len(self.depth_um), len(self.rate_hz))
        if len({*n_spikes}) + len({*n_units}) > 2:
            raise NeuropileError(f"{self.title}: spike_s and spike_unit differ in length {n_spikes}, or region, depth_um and rate_hz do {n_units}")
        if len(self.spike_unit) and not 0 <= self.spike_unit.min() <= self.spike_unit.max() < n_units[0]:
            raise NeuropileError(f"{self.title}: spike_unit runs from 0 to {n_units[0] - 1}, found {self.spike_unit.min()} to {self.spike_unit.max()}")
        if self.spans_s.shape != (len(self.span_unit), 2):
            raise NeuropileError(f"{self.title}: spans_s is (span, 2) and span_unit (span,); found {self.spans_s.shape} and {self.span_unit.shape}")
        if len(self.span_unit) and self.span_unit.max() >= 0 and not 0 <= self.span_unit.min() <= self.span_unit.max() < n_units[0]:
            raise NeuropileError(
                f"{self.title}: span_unit is -1 throughout or runs from 0 to {n_units[0] - 1}; found {self.span_unit.min()} to {self.span_unit.max()}"
            )
        step = np.diff(self.span_unit)
        if (np.diff(self.spans_s) < 0).any() or ((step < 0) | (step == 0) & (self.spans_s[1:, 0] < self.spans_s[:-1, 1])).any():
            raise NeuropileError(f"{self.title}: spans_s are not merged and ascending within each unit of span_unit; sort and join them")


def session_overview(overview: SessionOverview) -> Figure:
    """A session on a page: its raster from the top of the probe down, regions, population rate and the rates of its units.

    The raster counts spikes in cells of a pixel or more, which are grey where silent and, summed over their units, more
    than half unobserved. The population rate has bins of 1 s, wider in a session of more than 20 minutes.
    """
    n_units, named = len(overview.region), any(overview.region)
    left, top, low, space = 0.85, 0.95, 1.05, 0.16
    width, height = 6.9 if named else 8.0, float(np.clip(0.3 * n_units, 2.1, 4.0))
    page = pages.Page(11.8, top + height + space + low + 0.55)
    ends = np.r_[overview.spans_s.ravel(), overview.spike_s]
    start_s, stop_s = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 0.0)
    stop_s = stop_s if stop_s > start_s else start_s + 1
    order = depth_order(overview.depth_um, overview.region)
    size = pages.cell_size((n_units, 1), width, height)[0]
    shape = (-(-n_units // size), int(width * pages.CELLS_PER_INCH))
    cell_s = (stop_s - start_s) / shape[1]
    row = np.argsort(order) // size
    rate = bin_spikes(row[overview.spike_unit], overview.spike_s, shape, start_s, stop_s) / (size * cell_s)
    norm = pages.rate_norm([rate])
    with style.context(["default", pages.STYLE]):
        page.text(left, 0.36, overview.title, size=12, weight="bold")
        page.text(left, 0.60, overview.subtitle, size=8.5, color=pages.MUTED)
        raster = page.axes(left, top, width, height)
        pages.paint(raster, rate, norm, (start_s, stop_s), shape[0] * size, unobserved_cells(overview, row, shape, (start_s, stop_s)))
        _depth_axis(raster, np.asarray(overview.depth_um, np.float64)[order], named)
        raster.tick_params(labelbottom=False)
        if named:
            region_band(page.axes(left + width + 0.06, top, 1.2, height), [overview.region[i] or None for i in order], shape[0] * size)
        below = page.axes(left, top + height + space, width, low, sharex=raster)
        _population(below, overview, n_units, start_s, stop_s)
        for ax in (raster, below):
            nothing = [(start, stop - start) for start, stop in gaps(merged(overview.spans_s), start_s, stop_s).tolist()]
            ax.broken_barh(nothing, (0, 1), transform=ax.get_xaxis_transform(), facecolor=pages.UNOBSERVED, linewidth=0, zorder=-1)
        side = left + 8.0 + 0.62
        _rate_histogram(page.axes(side, top, 2.1, height - 0.38), np.asarray(overview.rate_hz, np.float64))
        pages.colourbar(
            page, side, top + height + space + 0.42, 2.1, norm, f"Raster: mean rate of a unit (Hz),\nin cells of {pages.cell_text([size], [cell_s])}"
        )
        pages.key(page, side, top + height + space + low - 0.12)
    return page.figure


def unobserved_cells(overview: SessionOverview, row: np.ndarray, shape: tuple[int, int], clock: tuple[float, float]) -> np.ndarray:
    """Which cells of the raster lie for more than half outside the spans of their row's units: (row or 1, column) bool.

    row : (unit,) int, where each unit is drawn; clock : seconds at which the first cell starts and the last one stops
    """
    edges = np.linspace(*clock, shape[1] + 1)
    if (overview.span_unit >= 0).any():
        seconds = observed_seconds(row[overview.span_unit], overview.spans_s, shape[0], edges)
        whole = np.bincount(row, minlength=shape[0])[:, None] * np.diff(edges)
    else:
        seconds, whole = observed_seconds(np.zeros(len(overview.spans_s), np.int64), overview.spans_s, 1, edges), np.diff(edges)
    return seconds < (0.5 - 1e-9) * whole


def _depth_axis(ax: Axes, depth_um: np.ndarray, named: bool) -> None:
    """Ticks at units, labelled with their depth; depth_um is in the order of the rows."""
    if not np.isfinite(depth_um).any():
        pages.number_axis(ax.yaxis, 5, integer=True)
        ax.set_ylabel("Units, by region" if named else "Unit")
        return
    rows = np.unique(np.linspace(0, len(depth_um) - 1, 7).round().astype(int)).tolist()
    ax.set_yticks(rows, [f"{depth_um[r]:,.0f}" if np.isfinite(depth_um[r]) else "unknown" for r in rows])
    ax.set_ylabel("Units, by height above the tip (µm)")


def _population(ax: Axes, overview: SessionOverview, n_units: int, start_s: float, stop_s: float) -> None:
    width = next((w for w in (1, 2, 5, 10, 20, 30, 60, 300) if stop_s - start_s <= 1200 * w), 3600)  # no bin below a pixel
    edges = np.arange(math.floor(start_s / width), math.ceil(stop_s / width) + 1) * float(width)
    known = {"spans_s": overview.spans_s, "span_unit": overview.span_unit}
    rate = population_rate(overview.spike_s, overview.spike_unit, **known, n_units=n_units, edges_s=edges)
    ax.stairs(rate, edges, fill=True, color=pages.BLUE, linewidth=0)
    pages.number_axis(ax.yaxis, 3)
    ax.set(xlabel=pages.TIME, ylabel=f"Hz per unit,\n{width:,} s bins", ylim=(0, 1.08 * float(np.nanmax(rate)) if np.nansum(rate) > 0 else 1))


def _rate_histogram(ax: Axes, rate_hz: np.ndarray) -> None:
    """Units by rate, four classes a decade; silent ones stand apart on the left."""
    fires = rate_hz[np.nan_to_num(rate_hz) > 0]
    low, high = (math.floor(np.log10(fires.min())), math.floor(np.log10(fires.max())) + 1) if len(fires) else (-1, 1)
    n, edges = np.histogram(np.log10(fires), np.linspace(low, high, 4 * (high - low) + 1))
    ax.stairs(n, edges, fill=True, color=pages.BLUE, linewidth=0)
    ticks = {float(d): pages.number_text(10.0**d, 2) for d in range(low, high + 1, 1 + (high - low) // 6)}
    silent = len(rate_hz) - len(fires)
    if silent:
        at = low - 0.24 * (high - low)
        ax.bar(at, silent, 0.04 * (high - low), color=pages.MUTED)
        ticks[at] = "silent"
    if len(fires):
        ax.axvline(float(np.log10(np.median(fires))), color=pages.INK, linewidth=0.8, linestyle=(0, (3, 2)))
        ax.set_title(
            f"median {pages.number_text(float(np.median(fires)), 2)} Hz{', silent units aside' if silent else ''}", size=pages.LABEL, loc="left", pad=4
        )
    ax.set_xticks(list(ticks), list(ticks.values()))
    pages.number_axis(ax.yaxis, 5, integer=True)
    ax.set(ylabel="Units", xlabel="Rate of a unit (Hz)", ylim=(0, 1.05 * max(int(n.max()), silent, 1)))
