"""Time stamps of bins onto a clock whose own bins they are: gaps stay gaps, and whatever else has times moves with them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.types import Spans

#: A median step this close to a whole number of bins a second, or of milliseconds a bin, is meant to be that.
_NEAR = 0.004
#: A step of more widths than this leaves time out.
GAP = 1.5


@dataclass(frozen=True)
class Grid:
    """Equal bins, some of which the source holds, and where each lies on the source's clock.

    width : seconds a bin
    starts : (bin,) float64, the source's time at which each held bin starts, ascending
    bins : (bin,) int64, its number on the new clock, on which bin k is [k * width, (k + 1) * width); ascending
    """

    width: Fraction
    starts: np.ndarray
    bins: np.ndarray

    @property
    def ticks_per_s(self) -> int:
        """The coarsest clock of whole ticks a second on which a bin is whole ticks."""
        return self.width.denominator

    @property
    def ticks(self) -> np.ndarray:
        """The first tick of each held bin on that clock: (bin,) int64."""
        return self.bins * self.width.numerator

    def runs(self) -> np.ndarray:
        """The stretches of held bins, half-open: (run, 2) bin numbers."""
        first, last = self._cuts()
        return np.stack([self.bins[first], self.bins[last] + 1], axis=1)

    def spans(self, held: np.ndarray | None = None) -> Spans:
        """The time of the held bins, or of those of them that `held` picks, on the new clock."""
        chosen = self if held is None else Grid(self.width, self.starts[held], self.bins[held])
        if not len(chosen.bins):
            return Spans.of([], [])
        runs = chosen.runs() * self.width.numerator / self.width.denominator
        return Spans.of(runs[:, 0], runs[:, 1])

    def move(self, times: np.ndarray) -> np.ndarray:
        """Times of the source's clock on the new one: within a bin by where they lie in it, in gaps in proportion."""
        times = np.asarray(times, np.float64)
        _, last = self._cuts()
        source = np.insert(self.starts, last + 1, self.starts[last] + float(self.width))
        ours = np.insert(self.bins, last + 1, self.bins[last] + 1) * self.width.numerator / self.width.denominator
        moved = np.interp(times, source, ours)
        moved = np.where(times < source[0], times + (ours[0] - source[0]), moved)
        return np.where(times > source[-1], times + (ours[-1] - source[-1]), moved)

    def _cuts(self) -> tuple[np.ndarray, np.ndarray]:
        """The first and the last held bin of each stretch, as positions."""
        breaks = np.flatnonzero(np.diff(self.bins) != 1)
        return np.r_[0, breaks + 1], np.r_[breaks, len(self.bins) - 1]


def width_of(starts: np.ndarray) -> Fraction:
    """The width of bins that start at these times: a whole number of them a second, or else of milliseconds each.

    >>> width_of(np.arange(5) / 60), width_of(np.arange(5) * 0.032)
    (Fraction(1, 60), Fraction(4, 125))

    Raises
    ------
    UnreadableFile : there are fewer than two, or their steps are neither
    """
    if len(starts) < 2:
        raise UnreadableFile(f"{len(starts)} time stamps tell no bin width; sought two or more")
    step = float(np.median(np.diff(starts)))
    if not np.isfinite(step) or not 1e-4 < step < 10:
        raise UnreadableFile(f"the time stamps of counts are {step:g} s apart, which is no bin width; are these seconds?")
    for whole, width in ((round(1 / step), Fraction(1, max(round(1 / step), 1))), (round(step * 1000), Fraction(round(step * 1000), 1000))):
        if whole and abs(step / float(width) - 1) < _NEAR:
            return width
    raise UnreadableFile(f"the time stamps of counts are {step:.9g} s apart, neither a whole part of a second nor whole milliseconds")


def lay(starts: np.ndarray, width: Fraction | None = None, gap: float = GAP) -> Grid:
    """The grid of bins that start at these times of the source's clock.

    Each stretch without a gap begins at the nearest bin of the new clock and counts on from there, so that no time moves by
    more than half a bin where the stamps are as regular as they say; at least one bin is left out in a gap.

    width : None takes the one the time stamps tell
    gap : a step of more than so many widths is one

    Raises
    ------
    UnreadableFile : the times do not ascend, or tell no width
    """
    starts = np.asarray(starts, np.float64).reshape(-1)
    if not len(starts) or not np.isfinite(starts).all():
        raise UnreadableFile(f"{len(starts)} time stamps of counts, of which some are missing or none is there")
    steps = np.diff(starts)
    if np.any(steps <= 0):
        i = int(np.flatnonzero(steps <= 0)[0])
        raise UnreadableFile(f"the time stamps of counts do not ascend: {starts[i + 1]} s comes after {starts[i]} s")
    width = width_of(starts) if width is None else width
    first = np.r_[0, np.flatnonzero(steps > gap * float(width)) + 1]
    lengths = np.diff(np.r_[first, len(starts)])
    begins = np.rint(starts[first] / float(width)).astype(np.int64)
    stop = None
    for i, n in enumerate(lengths.tolist()):
        begins[i] = begins[i] if stop is None else max(int(begins[i]), stop + 1)
        stop = int(begins[i]) + n
    bins = np.repeat(begins - first, lengths) + np.arange(len(starts))
    return Grid(width, starts, bins)
