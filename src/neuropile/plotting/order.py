"""Units before and after they are put in order: how alike they fire, and a stretch of their counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from neuropile.errors import NeuropileError
from neuropile.plotting.cells import fold, mostly_unobserved
from neuropile.plotting.pages import (
    DPI,
    LABEL,
    MUTED,
    STYLE,
    TIME,
    Page,
    cell_size,
    cell_text,
    colourbar,
    fit,
    key,
    number_axis,
    number_text,
    paint,
    rate_norm,
)

_ALIKE = LinearSegmentedColormap.from_list("alike", ["#ffffff", "#f3d9a4", "#dd9a4e", "#a94a2c", "#43150f"])
#: Above this quantile of all pairs the colour stays the same: a few pairs of nearly the same unit would take the whole scale.
_BRIGHTEST = 0.995
_SIDE, _WIDE = 2.7, 4.6


@dataclass(frozen=True)
class OrderPanel:
    """One session's units and their order as `before_and_after` draws them.

    alike : (unit, unit) cosine similarity, units as stored; permutation : (unit,) which of them each row is to be
    before, after : the mean similarity of neighbours
    counts : (unit, bin) unsigned integers of a stretch, units as stored; start_s : seconds at which its first bin starts
    observed : (bin,) or (unit, bin) bool, False where silence is not data
    """

    name: str
    alike: np.ndarray
    permutation: np.ndarray
    before: float
    after: float
    counts: np.ndarray
    start_s: float
    bin_width_s: float
    observed: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.permutation)
        shapes = self.alike.shape == (n, n) and self.counts.shape[:1] == (n,) and self.observed.shape in (self.counts.shape, self.counts.shape[1:])
        if not shapes or not np.array_equal(np.sort(self.permutation), np.arange(n)):
            found = f"{self.alike.shape}, {self.counts.shape} and {self.observed.shape}"
            raise NeuropileError(f"{self.name}: {n} units in order need a (unit, unit) similarity, (unit, bin) counts and their mask; found {found}")


def before_and_after(panel: OrderPanel) -> Figure:
    """A row as stored above a row in order: the similarity of every two units, then counts of a stretch of time."""
    left, top, gap, drop = 0.65, 0.95, 0.75, 0.62
    page = Page(left + _SIDE + gap + _WIDE + 0.3, top + 2 * _SIDE + drop + 1.35)
    size = cell_size(panel.counts.shape, _WIDE, _SIDE)
    sides = [("As stored", panel.before, np.arange(len(panel.permutation))), ("In order", panel.after, panel.permutation)]
    rates = [fold(panel.counts[order], size) / (size[0] * size[1] * panel.bin_width_s) for _, _, order in sides]
    norm, shades = rate_norm(rates), Normalize(0, _brightest(panel.alike))
    stop_s = panel.start_s + max(rates[0].shape[1] * size[1], 1) * panel.bin_width_s
    with style.context(["default", STYLE]):
        page.text(left, 0.34, panel.name, size=11, weight="bold")
        for i, (word, score, order) in enumerate(sides):
            ax = page.axes(left, top + i * (_SIDE + drop), _SIDE, _SIDE)
            _matrix(ax, panel.alike[np.ix_(order, order)], shades)
            told = "" if math.isnan(score) else f": neighbours' similarity {number_text(score, 3)}"
            fit(ax.set_title(f"{word}{told}", size=8, loc="left", pad=4), _SIDE + gap / 2, least=6)
            ax.set(ylabel="Unit", xlabel="Unit" if i else "")
            ax = page.axes(left + _SIDE + gap, top + i * (_SIDE + drop), _WIDE, _SIDE)
            observed = panel.observed[order] if panel.observed.ndim == 2 else panel.observed
            paint(ax, rates[i], norm, (panel.start_s, stop_s), rates[i].shape[0] * size[0], mostly_unobserved(observed, size))
            number_axis(ax.yaxis, 5, integer=True)
            ax.set(xlabel=TIME if i else "")
        at = page.height - 0.44
        _scale(page, left, at, shades)
        cell = cell_text([size[0]], [size[1] * panel.bin_width_s])
        colourbar(page, page.width - 0.3 - 2.9, at, 2.9, norm, f"Mean rate of a unit (Hz), in cells of {cell}")
        key(page, left + _SIDE - 0.45, page.height - 0.6)
    return page.figure


def _brightest(alike: np.ndarray) -> float:
    pairs = alike[np.triu_indices(len(alike), 1)]
    return max(float(np.quantile(pairs, _BRIGHTEST)), 1e-3) if pairs.size else 1.0


def _matrix(ax: Axes, alike: np.ndarray, shades: Normalize) -> None:
    """Every pair of units; more units than pixels are averaged, never sampled. A unit with itself is left white."""
    n = len(alike)
    apart = np.where(np.eye(n, dtype=bool), 0.0, alike)
    per_cell = max(math.ceil(n / int(_SIDE * DPI)), 1)
    if per_cell > 1:
        edges = np.arange(0, n, per_cell)
        n_pairs = np.outer(*[np.diff(np.r_[edges, n])] * 2)
        apart = np.add.reduceat(np.add.reduceat(apart, edges, axis=0), edges, axis=1) / n_pairs
    extent = (-0.5, max(n, 1) - 0.5, max(n, 1) - 0.5, -0.5)
    if n:
        ax.imshow(apart, cmap=_ALIKE, norm=shades, extent=extent, aspect="auto", interpolation="nearest")
    ax.set(xlim=extent[:2], ylim=extent[2:])
    for axis in (ax.xaxis, ax.yaxis):
        number_axis(axis, 5, integer=True)


def _scale(page: Page, left: float, top: float, shades: Normalize) -> None:
    ax = page.axes(left, top, _SIDE - 0.9, 0.10)
    ax.spines.bottom.set_position(("outward", 0))
    bar = page.figure.colorbar(ScalarMappable(shades, _ALIKE), cax=ax, orientation="horizontal", ticks=[0, float(shades.vmax or 1)])
    bar.outline.set(edgecolor=MUTED, linewidth=0.4)
    more = number_text(float(shades.vmax or 1), 2)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if value == 0 else f"{more} or more"))
    ax.set_title("Cosine similarity of two units", size=LABEL, loc="left", pad=4)
