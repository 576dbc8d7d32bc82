"""Units in the order of the probe, and the regions beside them."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import Any
from zlib import crc32

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import hex2color

from neuropile.plotting.pages import DPI, INK, MUTED, fit


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


def region_band(ax: Axes, region: Sequence[str | None], n_rows: int) -> None:
    """Runs of one region as blocks of its colour; beside the longest of each its name, as many as there is room for."""
    inches = ax.bbox.width / DPI, ax.bbox.height / DPI
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
    ax.add_collection(LineCollection([[(0.15, m), (0.20, m), (0.29, y), (0.33, y)] for m, y in zip(middle, at, strict=True)], colors=MUTED, linewidths=0.5))
    for (start, _), y in zip(shown, at, strict=True):
        fit(ax.text(0.36, y, region[start] or "unknown", size=7, va="center", color=INK if region[start] else MUTED, parse_math=False), inches[0] - 0.36)
    if len(longest) > len(shown):
        ax.text(0.36, -0.01, f"{len(longest) - len(shown)} more not named", transform=ax.transAxes, size=6.5, va="top", color=MUTED)
