"""Figures of counts and spikes in which no spike and no unobserved time is lost to the size of the page."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Sequence
from colorsys import hsv_to_rgb
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm, hex2color
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from neuropile.errors import NeuropileError

SUFFIXES = (".pdf", ".png", ".svg")

_DPI = 200
_CELLS_PER_INCH = 100  # of time: a cell is two pixels wide, so that one spike alone is seen
_INK, _MUTED, _UNOBSERVED, _BLUE = "#1b2530", "#66717d", "#ddd8d1", "#2c6aa8"
# The lightest blue, one spike, still stands out from white; zero has no colour at all.
_RATES = LinearSegmentedColormap.from_list("rates", ["#78a9d8", "#4f8ac6", "#2f6db2", "#174684", "#0a1c40"])
_LABEL, _TIME = 7.5, "Time on the session's clock (s)"
_AXES = {"edgecolor": _MUTED, "labelcolor": _INK, "labelsize": 8, "linewidth": 0.6, "spines.right": False, "spines.top": False}
_STYLE = {"font.size": 8, "text.color": _INK, **{f"axes.{name}": value for name, value in _AXES.items()}}
_TICKS: dict[str, Any] = {"color": _MUTED, "labelcolor": _INK, "labelsize": _LABEL, "length": 3, "width": 0.6}


@dataclass(frozen=True)
class SegmentPanel:
    """One segment of a pile as `segments` draws it.

    counts : (unit, bin) unsigned integers; start_s : seconds at which the first bin starts, on the session's clock
    observed : (bin,) or (unit, bin) bool, False where silence is not data
    """

    counts: np.ndarray
    start_s: float
    bin_width_s: float
    title: str
    observed: np.ndarray

    def __post_init__(self) -> None:
        shape = self.counts.shape
        if len(shape) != 2 or self.observed.shape not in (shape, shape[1:]):
            raise NeuropileError(f"{self.title}: counts are (unit, bin) and observed is (bin,) or (unit, bin); found {shape} and {self.observed.shape}")


@dataclass(frozen=True)
class SessionOverview:
    """One session as `session_overview` draws it.

    spike_unit : (event,) int, the unit's row; spike_s : (event,) float seconds
    depth_um : (unit,) float, above the probe's tip, NaN where unknown; region : (unit,) names, None where unknown
    rate_hz : (unit,) float, 0 or NaN of a silent unit; spans_s : (span, 2) float seconds, ascending, when silence is data
    """

    title: str
    subtitle: str
    spike_unit: np.ndarray
    spike_s: np.ndarray
    depth_um: np.ndarray
    region: Sequence[str | None]
    rate_hz: np.ndarray
    spans_s: np.ndarray

    def __post_init__(self) -> None:
        n_spikes, n_units = (len(self.spike_s), len(self.spike_unit)), (len(self.region), len(self.depth_um), len(self.rate_hz))
        if len({*n_spikes}) + len({*n_units}) > 2:
            raise NeuropileError(f"{self.title}: spike_s and spike_unit differ in length {n_spikes}, or region, depth_um and rate_hz do {n_units}")
        if len(self.spike_unit) and not 0 <= self.spike_unit.min() <= self.spike_unit.max() < n_units[0]:
            raise NeuropileError(f"{self.title}: spike_unit runs from 0 to {n_units[0] - 1}, found {self.spike_unit.min()} to {self.spike_unit.max()}")
        if self.spans_s.shape[1:] != (2,) or (np.diff(self.spans_s.ravel()) < 0).any():
            raise NeuropileError(f"{self.title}: spans_s is (span, 2) seconds, merged and ascending; found shape {self.spans_s.shape}")


def fold(array: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Sum neighbours into cells, `sizes` elements along each axis; the last cells take what remains.

    >>> fold(np.array([[1, 0, 2], [0, 0, 1]], np.uint8), (2, 2))
    array([[1, 3]])
    """
    for axis, size in enumerate(sizes):
        if size > 1:
            array = np.add.reduceat(array, np.arange(0, array.shape[axis], size), axis=axis, dtype=np.int64)
    return array.astype(np.int64, copy=False)


def mostly_unobserved(observed: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Which cells of `fold` lie for more than half outside `observed`, (bin,) or (unit, bin) bool: (row or 1, column) bool."""
    mask = np.atleast_2d(observed)
    return fold(~mask, sizes) > fold(mask, sizes)


def bin_spikes(spike_row: np.ndarray, spike_s: np.ndarray, shape: tuple[int, int], start_s: float, stop_s: float) -> np.ndarray:
    """Count spikes in equal cells of time from start_s to stop_s, the last moment included: `shape` (row, column) int64."""
    column = np.floor((spike_s - start_s) * (shape[1] / (stop_s - start_s))).astype(np.int64)
    cell = spike_row.astype(np.int64) * shape[1] + np.minimum(column, shape[1] - 1)
    return np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)


def population_rate(spike_s: np.ndarray, spans_s: np.ndarray, n_units: int, edges_s: np.ndarray) -> np.ndarray:
    """Mean rate of a unit in the observed part of bins between ascending edges: (bin,) Hz, NaN where less than half was observed."""
    spans_s = spans_s if len(spans_s) else np.zeros((1, 2))
    starts, stops = spans_s.T
    span = np.searchsorted(starts, spike_s, side="right") - 1
    inside = (span >= 0) & (spike_s < stops[span])
    known = np.r_[0.0, np.cumsum(stops - starts)]
    seconds = np.diff(np.interp(edges_s, spans_s.ravel(), np.stack([known[:-1], known[1:]], axis=1).ravel()))
    n = np.histogram(spike_s[inside], edges_s)[0]
    enough = (seconds > 0) & (seconds >= 0.5 * np.diff(edges_s))
    return np.divide(n, seconds * max(n_units, 1), out=np.full(len(n), np.nan), where=enough)


def gaps(spans_s: np.ndarray, start_s: float, stop_s: float) -> np.ndarray:
    """What merged spans leave out of [start_s, stop_s): (gap, 2) seconds."""
    between = np.r_[start_s, np.clip(spans_s, start_s, stop_s).ravel(), stop_s].reshape(-1, 2)
    return between[between[:, 1] > between[:, 0]]


def depth_order(depth_um: np.ndarray, region: Sequence[str | None]) -> np.ndarray:
    """Rows from the highest above the tip to the lowest, then those of unknown depth by region, nameless last: (unit,) int64."""
    depth = np.asarray(depth_um, np.float64)
    names = np.array([name or "\U0010ffff" for name in region], dtype=str)
    return np.lexsort((np.arange(len(depth)), names, np.where(np.isnan(depth), np.inf, -depth)))


def spread(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Ascending places moved up and down alike until neighbours are `gap` apart, within [low, high] if that holds them."""
    steps = gap * np.arange(len(wanted))
    down, up = np.maximum.accumulate(wanted - steps), np.minimum.accumulate((wanted - steps)[::-1])[::-1]
    return np.clip((down + up) / 2, low, max(high - gap * (len(wanted) - 1), low)) + steps


def region_colour(name: str | None) -> tuple[float, float, float]:
    """A muted red-green-blue that belongs to a region's name in every figure; grey where it has none."""
    if not name:
        return hex2color("#c4c8cc")
    key = crc32(name.encode())
    return hsv_to_rgb(key % 360 / 360, (0.30, 0.42, 0.50)[key // 360 % 3], (0.80, 0.68, 0.55)[key // 1080 % 3])


def segments(panels: Sequence[SegmentPanel], title: str | None = None) -> Figure:
    """Segments side by side: units down, seconds of the session's clock across, the rate in colours all panels share.

    A panel with more bins or units than pixels is summed to them, never sampled; there must be a panel.
    """
    if not panels:
        raise NeuropileError("there is no segment to plot; ask for one example or more, of a pile that has segments")
    across = {3: 3}.get(len(panels), min(math.ceil(math.sqrt(len(panels))), 4))
    width, height = {1: (7.2, 4.0), 2: (4.4, 2.7), 3: (3.5, 2.3), 4: (2.9, 2.0)}[across]
    left, top, gap = 0.65, 0.82 if title else 0.4, 0.62
    page = _Page(left + across * (width + gap) - gap + 0.3, top + math.ceil(len(panels) / across) * (height + gap) - gap + 1.3)
    sizes = [_cell_size(panel.counts.shape, width, height) for panel in panels]
    rates = [fold(p.counts, size) / (size[0] * size[1] * p.bin_width_s) for p, size in zip(panels, sizes, strict=True)]
    norm = _rate_norm(rates)
    with style.context(["default", _STYLE]):
        page.text(left, 0.34, title or "", size=11, weight="bold")
        for i, (panel, size, rate) in enumerate(zip(panels, sizes, rates, strict=True)):
            ax = page.axes(left + i % across * (width + gap), top + i // across * (height + gap), width, height)
            stop_s = panel.start_s + max(rate.shape[1] * size[1], 1) * panel.bin_width_s
            _paint(ax, rate, norm, (panel.start_s, stop_s), rate.shape[0] * size[0], mostly_unobserved(panel.observed, size))
            _fit(ax.set_title(panel.title, size=8, loc="left", pad=4, parse_math=False), width)
            _number_axis(ax.yaxis, 5, integer=True)
            ax.set(ylabel="" if i % across else "Unit", xlabel=_TIME if i + across >= len(panels) else "")
        cell = _cell([size[0] for size in sizes], [size[1] * p.bin_width_s for p, size in zip(panels, sizes, strict=True)])
        _colourbar(page, max(page.width - 3.8, 2.9), page.height - 0.44, 3.5, norm, f"Mean rate of a unit (Hz), in cells of {cell}")
        _key(page, left, page.height - 0.6)
    return page.figure


def session_overview(overview: SessionOverview) -> Figure:
    """A session on a page: its raster from the top of the probe down, regions, population rate and the rates of its units.

    The raster counts spikes in cells of a pixel or more; the population rate has bins of 1 s, wider in a session of more than 20 minutes.
    """
    n_units, named = len(overview.region), any(overview.region)
    left, top, low, space = 0.85, 0.95, 1.05, 0.16
    width, height = 6.9 if named else 8.0, float(np.clip(0.3 * n_units, 2.1, 4.0))
    page = _Page(11.8, top + height + space + low + 0.55)
    ends = np.r_[overview.spans_s.ravel(), overview.spike_s]
    start_s, stop_s = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 0.0)
    stop_s = stop_s if stop_s > start_s else start_s + 1
    order = depth_order(overview.depth_um, overview.region)
    size = _cell_size((n_units, 1), width, height)[0]
    shape = (-(-n_units // size), int(width * _CELLS_PER_INCH))
    cell_s = (stop_s - start_s) / shape[1]
    rate = bin_spikes(np.argsort(order)[overview.spike_unit] // size, overview.spike_s, shape, start_s, stop_s) / (size * cell_s)
    norm = _rate_norm([rate])
    with style.context(["default", _STYLE]):
        page.text(left, 0.36, overview.title, size=12, weight="bold")
        page.text(left, 0.60, overview.subtitle, size=8.5, color=_MUTED)
        raster = page.axes(left, top, width, height)
        _paint(raster, rate, norm, (start_s, stop_s), shape[0] * size, np.zeros((1, 1), bool))
        _depth_axis(raster, np.asarray(overview.depth_um, np.float64)[order], named)
        raster.tick_params(labelbottom=False)
        if named:
            _region_band(page.axes(left + width + 0.06, top, 1.2, height), [overview.region[i] or None for i in order], shape[0] * size)
        below = page.axes(left, top + height + space, width, low, sharex=raster)
        _population(below, overview, n_units, start_s, stop_s)
        for ax in (raster, below):
            unobserved = [(start, stop - start) for start, stop in gaps(overview.spans_s, start_s, stop_s).tolist()]
            ax.broken_barh(unobserved, (0, 1), transform=ax.get_xaxis_transform(), facecolor=_UNOBSERVED, linewidth=0, zorder=-1)
        side = left + 8.0 + 0.62
        _rate_histogram(page.axes(side, top, 2.1, height - 0.38), np.asarray(overview.rate_hz, np.float64))
        _colourbar(page, side, top + height + space + 0.42, 2.1, norm, f"Raster: mean rate of a unit (Hz),\nin cells of {_cell([size], [cell_s])}")
        _key(page, side, top + height + space + low - 0.12)
    return page.figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as its suffix says, whole or not at all; the same figure makes the same bytes.

    Raises
    ------
    NeuropileError : the suffix is not one of SUFFIXES, or the folder cannot be written
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise NeuropileError(f"{path.name!r} does not say what to draw; end the name in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    undated = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context({"svg.hashsalt": "neuropile", "pdf.fonttype": 42, "savefig.bbox": None}):
            figure.savefig(temporary, format=suffix[1:], dpi=figure.dpi, metadata=undated)
        os.replace(temporary, path)
    except OSError as e:
        raise NeuropileError(f"{path} cannot be written ({e.strerror or e}); give a file in a folder you may write to") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


class _Page:
    """A figure whose axes are placed in inches from its top left corner, so that their pixels are known beforehand."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float, sharex: mpl.axes.Axes | None = None) -> mpl.axes.Axes:
        ax = self.figure.add_axes((left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height), sharex=sharex)
        ax.spines[["left", "bottom"]].set_position(("outward", 2))  # or they would hide the outermost row and column
        ax.tick_params(**_TICKS)
        return ax

    def text(self, left: float, top: float, words: str, **look: Any) -> None:
        _fit(self.figure.text(left / self.width, 1 - top / self.height, words, parse_math=False, **look), self.width - left - 0.25)


def _cell_size(shape: tuple[int, ...], width: float, height: float) -> tuple[int, int]:
    """Units and bins to a cell, so that no cell is smaller than a pixel of axes of so many inches."""
    return max(math.ceil(shape[0] / int(height * _DPI)), 1), max(math.ceil(shape[1] / int(width * _CELLS_PER_INCH)), 1)


def _rate_norm(rates: Sequence[np.ndarray]) -> LogNorm:
    positive = np.concatenate([r[r > 0] for r in rates])
    low = float(positive.min()) if positive.size else 1.0
    return LogNorm(low, max(4 * low, float(positive.max(initial=0))))


def _paint(ax: mpl.axes.Axes, rate: np.ndarray, norm: LogNorm, clock: tuple[float, float], n_rows: int, unobserved: np.ndarray) -> None:
    """Cells as pixels, row 0 on top: nothing where the rate is zero, grey there where it was not observed."""
    look: dict[str, Any] = {"extent": (*clock, max(n_rows, 1) - 0.5, -0.5), "aspect": "auto", "interpolation": "nearest"}
    if rate.size:
        ax.imshow(np.ma.masked_equal(np.broadcast_to(unobserved, rate.shape), False), cmap=ListedColormap([_UNOBSERVED]), vmin=0, vmax=1, **look)
        ax.imshow(np.ma.masked_equal(rate, 0), cmap=_RATES, norm=norm, **look)
    if 1 < len(rate) <= 60:  # rows this tall take a hairline between them
        ax.hlines(np.arange(1, len(rate)) * (n_rows / len(rate)) - 0.5, *clock, color="white", linewidth=0.5)
    ax.set(xlim=clock, ylim=look["extent"][2:])
    finest = max(-math.floor(math.log10((clock[1] - clock[0]) / 5)), 0)
    digits = len(f"{clock[1]:,.{finest}f}")
    n_ticks = int(np.clip(ax.bbox.width / _DPI / (0.18 + 0.065 * digits), 2, 7))
    _number_axis(ax.xaxis, n_ticks, prune="both" if digits > 8 else None)  # long numbers would meet the next panel's


def _number_axis(axis: mpl.axis.Axis, n_ticks: int, integer: bool = False, prune: Literal["both"] | None = None) -> None:
    axis.set_major_locator(MaxNLocator(n_ticks, integer=integer, min_n_ticks=1, prune=prune, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))


def _depth_axis(ax: mpl.axes.Axes, depth_um: np.ndarray, named: bool) -> None:
    """Ticks at units, labelled with their depth; depth_um is in the order of the rows."""
    if not np.isfinite(depth_um).any():
        _number_axis(ax.yaxis, 5, integer=True)
        ax.set_ylabel("Units, by region" if named else "Unit")
        return
    rows = np.unique(np.linspace(0, len(depth_um) - 1, 7).round().astype(int)).tolist()
    ax.set_yticks(rows, [f"{depth_um[r]:,.0f}" if np.isfinite(depth_um[r]) else "unknown" for r in rows])
    ax.set_ylabel("Units, by height above the tip (µm)")


def _region_band(ax: mpl.axes.Axes, region: Sequence[str | None], n_rows: int) -> None:
    """Runs of one region as blocks of its colour; beside the longest of each its name, as many as there is room for."""
    inches = ax.bbox.width / _DPI, ax.bbox.height / _DPI
    ax.set(xlim=(0, inches[0]), ylim=(n_rows - 0.5, -0.5))
    ax.set_axis_off()
    starts = [i for i in range(len(region)) if i == 0 or region[i] != region[i - 1]]
    runs = sorted(zip(starts, [*starts[1:], len(region)], strict=True), key=lambda run: (run[0] - run[1], crc32(f"{region[run[0]]}".encode())))
    look: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.5 if len(runs) < 60 else 0}
    for start, stop in runs:
        ax.broken_barh([(0, 0.13)], (start - 0.5, stop - start), facecolor=region_colour(region[start]), **look)
    line = 0.125 * n_rows / inches[1]  # the height of a line of text, in rows
    room = max(int(n_rows / line), 1)
    longest = {region[run[0]]: run for run in reversed(runs)}.values()
    shown = sorted([run for run in runs if run in longest][:room])
    middle = np.array([(start + stop - 1) / 2 for start, stop in shown])
    at = spread(middle, line, (line - 1) / 2, n_rows - (line + 1) / 2)
    ax.add_collection(LineCollection([[(0.15, m), (0.20, m), (0.29, y), (0.33, y)] for m, y in zip(middle, at, strict=True)], colors=_MUTED, linewidths=0.5))
    for (start, _), y in zip(shown, at, strict=True):
        _fit(ax.text(0.36, y, region[start] or "unknown", size=7, va="center", color=_INK if region[start] else _MUTED, parse_math=False), inches[0] - 0.36)
    if len(longest) > len(shown):
        ax.text(0.36, -0.01, f"{len(longest) - len(shown)} more not named", transform=ax.transAxes, size=6.5, va="top", color=_MUTED)


def _population(ax: mpl.axes.Axes, overview: SessionOverview, n_units: int, start_s: float, stop_s: float) -> None:
    width = next((w for w in (1, 2, 5, 10, 20, 30, 60, 300) if stop_s - start_s <= 1200 * w), 3600)  # no bin below a pixel
    edges = np.arange(math.floor(start_s / width), math.ceil(stop_s / width) + 1) * float(width)
    rate = population_rate(overview.spike_s, overview.spans_s, n_units, edges)
    ax.stairs(rate, edges, fill=True, color=_BLUE, linewidth=0)
    _number_axis(ax.yaxis, 3)
    ax.set(xlabel=_TIME, ylabel=f"Hz per unit,\n{width:,} s bins", ylim=(0, 1.08 * float(np.nanmax(rate)) if np.nansum(rate) > 0 else 1))


def _rate_histogram(ax: mpl.axes.Axes, rate_hz: np.ndarray) -> None:
    """Units by rate, four classes a decade; silent ones stand apart on the left."""
    fires = rate_hz[np.nan_to_num(rate_hz) > 0]
    low, high = (math.floor(np.log10(fires.min())), math.floor(np.log10(fires.max())) + 1) if len(fires) else (-1, 1)
    n, edges = np.histogram(np.log10(fires), np.linspace(low, high, 4 * (high - low) + 1))
    ax.stairs(n, edges, fill=True, color=_BLUE, linewidth=0)
    ticks = {float(d): _number(10.0**d, 2) for d in range(low, high + 1, 1 + (high - low) // 6)}
    silent = len(rate_hz) - len(fires)
    if silent:
        at = low - 0.24 * (high - low)
        ax.bar(at, silent, 0.04 * (high - low), color=_MUTED)
        ticks[at] = "silent"
    if len(fires):
        ax.axvline(float(np.log10(np.median(fires))), color=_INK, linewidth=0.8, linestyle=(0, (3, 2)))
        ax.set_title(f"median {_number(float(np.median(fires)), 2)} Hz{', silent units aside' if silent else ''}", size=_LABEL, loc="left", pad=4)
    ax.set_xticks(list(ticks), list(ticks.values()))
    _number_axis(ax.yaxis, 5, integer=True)
    ax.set(ylabel="Units", xlabel="Rate of a unit (Hz)", ylim=(0, 1.05 * max(int(n.max()), silent, 1)))


def _colourbar(page: _Page, left: float, top: float, width: float, norm: LogNorm, label: str) -> None:
    ax = page.axes(left, top, width, 0.10)
    ax.spines.bottom.set_position(("outward", 0))
    subs = (1, 2, 5) if float(norm.vmax or 1) < 300 * float(norm.vmin or 1) else (1,)
    bar = page.figure.colorbar(ScalarMappable(norm, _RATES), cax=ax, orientation="horizontal", ticks=LogLocator(subs=subs, numticks=20))
    bar.minorticks_off()
    bar.outline.set_visible(False)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: _number(rate, 2)))
    ax.set_title(label, size=_LABEL, loc="left", pad=4)


def _key(page: _Page, left: float, top: float) -> None:
    handles = [Patch(facecolor="white", edgecolor=_MUTED, linewidth=0.6, label="observed, silent"), Patch(facecolor=_UNOBSERVED, label="not observed")]
    look: dict[str, Any] = {"ncols": 2, "frameon": False, "borderpad": 0, "borderaxespad": 0, "fontsize": _LABEL, "handlelength": 1.2, "columnspacing": 1.2}
    page.figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(left / page.width, 1 - top / page.height), **look)


def _fit(text: mpl.text.Text, inches: float) -> None:
    """Shorten a text in its middle until it is no wider than so many inches."""
    whole = " ".join(text.get_text().split())
    for keep in range(len(whole), 4, -1):
        text.set_text(whole if keep == len(whole) else f"{whole[: (keep + 1) // 2]}…{whole[len(whole) - keep // 2 :]}")
        if text.get_window_extent().width <= inches * _DPI:
            return


def _cell(units: Sequence[int], seconds: Sequence[float]) -> str:
    """How much one cell holds, over all panels, such as "1 unit by 0.04 to 0.86 s"."""
    n, s = (list(dict.fromkeys(_number(float(f(v)), 2) for f in (min, max))) for v in (units, seconds))
    return f"{' to '.join(n)} {'unit' if n == ['1'] else 'units'} by {' to '.join(s)} s"


def _number(value: float, digits: int | None = None) -> str:
    """Plain decimals with thousands separators: so many significant digits, or six after the point."""
    places = 6 if digits is None or not value else max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:z,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
