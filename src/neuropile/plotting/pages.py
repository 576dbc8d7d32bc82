"""A page whose pixels are known beforehand: axes in inches, cells as pixels, the scale, the key and the file."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from neuropile.errors import NeuropileError

SUFFIXES = (".pdf", ".png", ".svg")

DPI = 200
CELLS_PER_INCH = 100  # of time: a cell is two pixels wide, so that one spike alone is seen
INK, MUTED, UNOBSERVED, BLUE = "#1b2530", "#66717d", "#ddd8d1", "#2c6aa8"
# The lightest blue, one spike, still stands out from white; zero has no colour at all.
_RATES = LinearSegmentedColormap.from_list("rates", ["#78a9d8", "#4f8ac6", "#2f6db2", "#174684", "#0a1c40"])
LABEL, TIME = 7.5, "Time on the session's clock (s)"
_AXES = {"edgecolor": MUTED, "labelcolor": INK, "labelsize": 8, "linewidth": 0.6, "spines.right": False, "spines.top": False}
STYLE = {"font.size": 8, "text.color": INK, **{f"axes.{name}": value for name, value in _AXES.items()}}
_TICKS: dict[str, Any] = {"color": MUTED, "labelcolor": INK, "labelsize": LABEL, "length": 3, "width": 0.6}


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


class Page:
    """A figure whose axes are placed in inches from its top left corner, so that their pixels are known beforehand."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float, sharex: Axes | None = None) -> Axes:
        """New axes so far from the left and the top, so wide and high."""
        ax = self.figure.add_axes((left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height), sharex=sharex)
        ax.spines[["left", "bottom"]].set_position(("outward", 2))  # or they would hide the outermost row and column
        ax.tick_params(**_TICKS)
        return ax

    def text(self, left: float, top: float, words: str, **look: Any) -> None:
        """A line of text that ends before the page does."""
        fit(self.figure.text(left / self.width, 1 - top / self.height, words, parse_math=False, **look), self.width - left - 0.25)


def cell_size(shape: tuple[int, ...], width: float, height: float) -> tuple[int, int]:
    """Units and bins to a cell, so that no cell is smaller than a pixel of axes of so many inches."""
    return max(math.ceil(shape[0] / int(height * DPI)), 1), max(math.ceil(shape[1] / int(width * CELLS_PER_INCH)), 1)


def rate_norm(rates: Sequence[np.ndarray]) -> LogNorm:
    """One logarithmic scale for all rates above zero, at least fourfold wide."""
    positive = np.concatenate([r[r > 0] for r in rates])
    low = float(positive.min()) if positive.size else 1.0
    return LogNorm(low, max(4 * low, float(positive.max(initial=0))))


def paint(ax: Axes, rate: np.ndarray, norm: LogNorm, clock: tuple[float, float], n_rows: int, unobserved: np.ndarray) -> None:
    """Cells as pixels, row 0 on top: nothing where the rate is zero, grey there where it was not observed."""
    look: dict[str, Any] = {"extent": (*clock, max(n_rows, 1) - 0.5, -0.5), "aspect": "auto", "interpolation": "nearest"}
    if rate.size:
        ax.imshow(np.ma.masked_equal(np.broadcast_to(unobserved, rate.shape), False), cmap=ListedColormap([UNOBSERVED]), vmin=0, vmax=1, **look)
        ax.imshow(np.ma.masked_equal(rate, 0), cmap=_RATES, norm=norm, **look)
    if 1 < len(rate) <= 60:  # rows this tall take a hairline between them
        ax.hlines(np.arange(1, len(rate)) * (n_rows / len(rate)) - 0.5, *clock, color="white", linewidth=0.5)
    ax.set(xlim=clock, ylim=look["extent"][2:])
    finest = max(-math.floor(math.log10((clock[1] - clock[0]) / 5)), 0)
    digits = len(f"{clock[1]:,.{finest}f}")
    n_ticks = int(np.clip(ax.bbox.width / DPI / (0.18 + 0.065 * digits), 2, 7))
    number_axis(ax.xaxis, n_ticks, prune="both" if digits > 8 else None)  # long numbers would meet the next panel's


def number_axis(axis: mpl.axis.Axis, n_ticks: int, integer: bool = False, prune: Literal["both"] | None = None) -> None:
    """About so many ticks at round numbers, written in full."""
    axis.set_major_locator(MaxNLocator(n_ticks, integer=integer, min_n_ticks=1, prune=prune, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number_text(value)))


def colourbar(page: Page, left: float, top: float, width: float, norm: LogNorm, label: str) -> None:
    """The scale of `paint` under its label."""
    ax = page.axes(left, top, width, 0.10)
    ax.spines.bottom.set_position(("outward", 0))
    subs = (1, 2, 5) if float(norm.vmax or 1) < 300 * float(norm.vmin or 1) else (1,)
    bar = page.figure.colorbar(ScalarMappable(norm, _RATES), cax=ax, orientation="horizontal", ticks=LogLocator(subs=subs, numticks=20))
    bar.minorticks_off()
    bar.outline.set_visible(False)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: number_text(rate, 2)))
    ax.set_title(label, size=LABEL, loc="left", pad=4)


def key(page: Page, left: float, top: float) -> None:
    """What white and grey mean."""
    handles = [Patch(facecolor="white", edgecolor=MUTED, linewidth=0.6, label="observed, silent"), Patch(facecolor=UNOBSERVED, label="not observed")]
    look: dict[str, Any] = {"ncols": 2, "frameon": False, "borderpad": 0, "borderaxespad": 0, "fontsize": LABEL, "handlelength": 1.2, "columnspacing": 1.2}
    page.figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(left / page.width, 1 - top / page.height), **look)


def fit(text: mpl.text.Text, inches: float, least: float | None = None) -> None:
    """Make a text no wider than so many inches: smaller, down to `least` points, then shorter in its middle."""
    whole = " ".join(text.get_text().split())
    text.set_text(whole)
    while least and text.get_window_extent().width > inches * DPI and (points := float(text.get_fontsize())) > least:
        text.set_fontsize(max(points - 0.5, least))
    for keep in range(len(whole), 4, -1):
        text.set_text(whole if keep == len(whole) else f"{whole[: (keep + 1) // 2]}…{whole[len(whole) - keep // 2 :]}")
        if text.get_window_extent().width <= inches * DPI:
            return


def cell_text(units: Sequence[int], seconds: Sequence[float]) -> str:
    """How much one cell holds, over all panels, such as "1 unit by 0.04 to 0.86 s"."""
    n, s = (list(dict.fromkeys(number_text(float(f(v)), 2) for f in (min, max))) for v in (units, seconds))
    return f"{' to '.join(n)} {'unit' if n == ['1'] else 'units'} by {' to '.join(s)} s"


def number_text(value: float, digits: int | None = None) -> str:
    """Plain decimals with thousands separators: so many significant digits, or six after the point."""
    places = 6 if digits is None or not value else max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:z,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
