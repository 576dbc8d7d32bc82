"""Segments of a pile side by side, in colours they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuropile.errors import NeuropileError
from neuropile.plotting.cells import fold, mostly_unobserved
from neuropile.plotting.pages import MUTED, STYLE, TIME, Page, cell_size, cell_text, colourbar, fit, key, number_axis, paint, rate_norm


@dataclass(frozen=True)
class SegmentPanel:
    """One segment of a pile as `segments` draws it.

    counts : (unit, bin) unsigned integers; start_s : seconds at which the first bin starts, on the session's clock
    observed : (bin,) or (unit, bin) bool, False where silence is not data
    """

    counts: np.ndarray
    start_s: float
    bin_width_s: float
    dataset: str
    session_id: str
    segment_id: str
    observed: np.ndarray

    def __post_init__(self) -> None:
        shape = self.counts.shape
        if len(shape) != 2 or self.observed.shape not in (shape, shape[1:]):
            raise NeuropileError(f"{self.name}: counts are (unit, bin) and observed is (bin,) or (unit, bin); found {shape} and {self.observed.shape}")

    @property
    def name(self) -> str:
        """All of where it comes from, in one line."""
        return f"{self.dataset}/{self.session_id} · {self.segment_id}"


def segments(panels: Sequence[SegmentPanel], title: str | None = None) -> Figure:
    """Segments side by side: units down, seconds of the session's clock across, the rate in colours all panels share.

    A panel with more bins or units than pixels is summed to them, never sampled; there must be a panel.
    """
    if not panels:
        raise NeuropileError("there is no segment to plot; ask for one example or more, of a pile that has segments")
    across = {3: 3}.get(len(panels), min(math.ceil(math.sqrt(len(panels))), 4))
    width, height = {1: (7.2, 4.0), 2: (4.4, 2.7), 3: (3.5, 2.3), 4: (2.9, 2.0)}[across]
    left, top, gap, drop = 0.65, 0.97 if title else 0.55, 0.62, 0.77
    page = Page(left + across * (width + gap) - gap + 0.3, top + math.ceil(len(panels) / across) * (height + drop) - drop + 1.3)
    sizes = [cell_size(panel.counts.shape, width, height) for panel in panels]
    rates = [fold(p.counts, size) / (size[0] * size[1] * p.bin_width_s) for p, size in zip(panels, sizes, strict=True)]
    norm = rate_norm(rates)
    with style.context(["default", STYLE]):
        page.text(left, 0.34, title or "", size=11, weight="bold")
        for i, (panel, size, rate) in enumerate(zip(panels, sizes, rates, strict=True)):
            ax = page.axes(left + i % across * (width + gap), top + i // across * (height + drop), width, height)
            stop_s = panel.start_s + max(rate.shape[1] * size[1], 1) * panel.bin_width_s
            paint(ax, rate, norm, (panel.start_s, stop_s), rate.shape[0] * size[0], mostly_unobserved(panel.observed, size))
            _head(ax, panel, width)
            number_axis(ax.yaxis, 5, integer=True)
            ax.set(ylabel="" if i % across else "Unit", xlabel=TIME if i + across >= len(panels) else "")
        cell = cell_text([size[0] for size in sizes], [size[1] * p.bin_width_s for p, size in zip(panels, sizes, strict=True)])
        colourbar(page, max(page.width - 3.8, 2.9), page.height - 0.44, 3.5, norm, f"Mean rate of a unit (Hz), in cells of {cell}")
        key(page, left, page.height - 0.6)
    return page.figure


def _head(ax: Axes, panel: SegmentPanel, width: float) -> None:
    """The session's name has a line of its own; the rest of where the segment comes from stands above it, smaller and grey."""
    origin = f"{panel.dataset} · {panel.segment_id}"
    fit(ax.annotate(origin, (0, 1), (0, 15), "axes fraction", "offset points", size=6.5, color=MUTED, parse_math=False), width)
    fit(ax.set_title(panel.session_id, size=8, loc="left", pad=4, parse_math=False), width, least=6)
