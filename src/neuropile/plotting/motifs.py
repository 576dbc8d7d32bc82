"""The most frequent motifs as pictures with their counts, beside how many patches the first so many cover."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from neuropile.errors import NeuropileError
from neuropile.plotting.pages import BLUE, INK, LABEL, MUTED, STYLE, Page, number_text

_ACROSS = 4
#: The largest picture of a motif, and the least height of one, in inches.
_WIDE, _HIGH, _LOW = 1.45, 1.1, 0.16
_SPIKES = LinearSegmentedColormap.from_list("spikes", ["#78a9d8", "#4f8ac6", "#2f6db2", "#174684", "#0a1c40"])


def top_motifs(patches: np.ndarray, counts: np.ndarray, n_patches: int, coverage: Mapping[int, float], title: str = "") -> Figure:
    """Motifs by rank, each with its count and its share of all patches, and the coverage curve.

    Parameters
    ----------
    patches : (motif, unit, bin) uint8, the most frequent first; counts : (motif,) how often each occurs
    n_patches : of how many patches
    coverage : share of patches that the first so many motifs cover, by how many
    """
    if patches.ndim != 3 or len(patches) != len(counts) or not len(patches):
        raise NeuropileError(f"motifs to draw are (motif, unit, bin) with a count each; found shapes {patches.shape} and {counts.shape}")
    side = min(_WIDE / patches.shape[2], _HIGH / patches.shape[1])
    width, height = side * patches.shape[2], max(side * patches.shape[1], _LOW)
    left, top, drop, step = 0.45, 1.05, height + 0.52, _WIDE + 0.35
    n_down = math.ceil(len(patches) / _ACROSS)
    curve = left + _ACROSS * step + 0.45
    page = Page(curve + 3.3, top + max(n_down * drop, 2.6) + 0.35)
    most = int(patches.max(initial=1))
    with style.context(["default", STYLE]):
        page.text(left, 0.36, title, size=11, weight="bold")
        page.text(left, 0.62, f"A row a unit, a column a bin; {_spikes(most)}", size=LABEL, color=MUTED)
        for i, (patch, n) in enumerate(zip(patches, counts.tolist(), strict=True)):
            at = left + i % _ACROSS * step, top + i // _ACROSS * drop
            _picture(page.axes(*at, width, height), patch, most)
            page.text(at[0], at[1] + height + 0.15, f"{i + 1}.  {n:,}", size=LABEL)
            page.text(at[0], at[1] + height + 0.29, f"{n / n_patches:.3%} of patches", size=6.5, color=MUTED)
        _coverage(page.axes(curve, top, 2.8, min(max(n_down * drop, 2.6), 3.6) - 0.35), coverage)
    return page.figure


def _spikes(most: int) -> str:
    return "a filled cell is one spike" if most == 1 else f"a filled cell is one spike, a darker one more, up to {most}"


def _picture(ax: Axes, patch: np.ndarray, most: int) -> None:
    """One patch, unit 0 on top; silent cells are white."""
    ax.imshow(np.ma.masked_equal(patch, 0), cmap=_SPIKES, norm=LogNorm(1, max(most, 4)), aspect="auto", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[["left", "bottom", "right", "top"]].set(visible=True, position=("outward", 0), color=MUTED, linewidth=0.6)
    for axis, n, lines in ((0, patch.shape[1], ax.vlines), (1, patch.shape[0], ax.hlines)):
        if 1 < n <= 20:  # cells this large are told apart by hairlines
            lines(np.arange(1, n) - 0.5, -0.5, patch.shape[axis] - 0.5, color=MUTED, linewidth=0.25)


def _coverage(ax: Axes, coverage: Mapping[int, float]) -> None:
    """The share of patches that the first so many motifs cover."""
    ranks, shares = list(coverage), list(coverage.values())
    ax.plot(ranks, shares, color=BLUE, linewidth=1.4, marker="o", markersize=2.5)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: number_text(rank)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(ylim=(0, 1.04), xlabel="Number of most frequent motifs", ylabel="Share of patches they cover")
    ax.annotate(f"{shares[-1]:.0%}: {ranks[-1]:,}", (ranks[-1], shares[-1]), (0, 5), textcoords="offset points", ha="right", size=6.5, color=INK)
