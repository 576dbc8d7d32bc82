"""Times to ticks and ticks to bins, exactly: no spike lands in a bin it does not belong to."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np

from neuropile import kernels
from neuropile.errors import BadTimes, BinWidthError, CountOverflow

#: Numbers short enough to be turned into exact fractions: 1e100000000 would take all memory.
_NUMBER = re.compile(r"\s*[+-]?\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,2})?(/\d{1,18})?\s*")
COUNT_TYPES = (np.uint8, np.uint16, np.uint32)
#: The largest share of times that may be NaN or infinite; they are dropped and counted below it.
MAX_SHARE_NOT_FINITE = 0.01
#: Times whose tick would reach this are refused: sums and differences of ticks then fit 64 bits.
MAX_TICK = 2**62
#: How far a time may be from a whole sample, in samples, to be read as that sample.
SAMPLE_TOLERANCE = 1e-3
#: Sample rates above this are no sample rates.
MAX_SAMPLE_RATE = 10**8


def as_width(width: float | str | Fraction) -> Fraction:
    """A bin width in seconds as an exact fraction: floats are read as their shortest decimal, text may be "1/60".

    >>> as_width(0.02), as_width("1/60")
    (Fraction(1, 50), Fraction(1, 60))
    """
    try:
        if not isinstance(width, Fraction) and not _NUMBER.fullmatch(str(width)):
            raise ValueError(width)
        exact = width if isinstance(width, Fraction) else Fraction(str(width).strip())
    except (ValueError, ZeroDivisionError):
        raise BinWidthError(f"bin width {width!r} is not a number of seconds such as 0.02 or 1/32") from None
    if exact <= 0:
        raise BinWidthError(f"bin width {width} s is not positive")
    return exact


def as_ticks_per_bin(width: float | str | Fraction, ticks_per_s: int) -> int:
    """How many ticks a bin of `width` seconds holds, a whole number, or BinWidthError naming the widths that are."""
    exact = as_width(width) * ticks_per_s
    if exact >= MAX_TICK:
        raise BinWidthError(f"a bin of {width} s does not fit a clock of {ticks_per_s} ticks a second; are these seconds?")
    if exact.denominator == 1:
        return exact.numerator
    below, above = exact.numerator // exact.denominator, exact.numerator // exact.denominator + 1
    near = [f"{float(Fraction(n, ticks_per_s)):.10g} s ({Fraction(n, ticks_per_s)})" for n in (below, above) if n > 0]
    raise BinWidthError(f"a bin of {width} s is {float(exact):.6g} ticks of 1/{ticks_per_s} s, not a whole number; the nearest widths are {' and '.join(near)}")


def tick_of(time_s: np.ndarray | float, ticks_per_s: int) -> np.ndarray:
    """The tick each time lies in: floor(time * ticks_per_s + 1e-3), int64.

    The thousandth of a tick brings back times whose decimal or sample clock lies on a tick but whose nearest
    float lies just below it. Raises BadTimes where a time is not finite or does not fit the clock.
    """
    times = np.asarray(time_s, np.float64)
    _check_fits(times, ticks_per_s)
    return np.floor(times * ticks_per_s + 1e-3).astype(np.int64)


def _check_fits(times: np.ndarray, ticks_per_s: int) -> None:
    if times.size and not np.abs(times).max() < MAX_TICK / ticks_per_s:
        worst = times.flat[np.abs(times).argmax()]
        raise BadTimes(f"a time of {worst} s does not fit a clock of {ticks_per_s} ticks a second; are these seconds?")


def sample_ticks(samples: np.ndarray, sample_rate: Fraction, ticks_per_s: int) -> np.ndarray:
    """The tick each sample begins in: floor(sample * ticks_per_s / sample_rate), in whole-number arithmetic.

    A float quotient is at most one off; the remainder, computed modulo 2**64 and small enough to be exact
    there, puts it right even where the products themselves do not fit 64 bits.
    """
    ratio = Fraction(ticks_per_s) / sample_rate
    samples = np.asarray(samples, np.int64)
    guess = np.floor(samples.astype(np.longdouble) * ratio.numerator / ratio.denominator).astype(np.int64)
    num, den = (np.array(n % 2**64, np.uint64) for n in (ratio.numerator, ratio.denominator))
    remainder = (samples.view(np.uint64) * num - guess.view(np.uint64) * den).view(np.int64)
    return guess + remainder // ratio.denominator


def to_ticks(times: np.ndarray, ticks_per_s: int, sample_rate: Fraction | None = None) -> tuple[np.ndarray, int]:
    """A unit's times in seconds as sorted ticks, and how many were dropped for being NaN or infinite.

    times : (event,) float seconds, any order
    sample_rate : where given, and every time is a whole number of samples, ticks come from the samples
    """
    times = np.asarray(times, np.float64)
    finite = np.isfinite(times)
    n_dropped = int(times.size - finite.sum())
    times = times[finite] if n_dropped else times
    ticks = tick_of(times, ticks_per_s)
    if sample_rate is not None and times.size and 1 <= sample_rate <= MAX_SAMPLE_RATE and np.abs(times).max() * sample_rate < MAX_TICK:
        position = times * float(sample_rate)
        samples = np.rint(position)
        if np.abs(position - samples).max() <= SAMPLE_TOLERANCE:
            exact = sample_ticks(samples.astype(np.int64), sample_rate, ticks_per_s)
            if np.abs(exact - ticks).max() <= 1:  # a wrong rate would move times
                return np.sort(exact), n_dropped
    return np.sort(ticks, kind="stable") if np.any(ticks[1:] < ticks[:-1]) else ticks, n_dropped


def smallest_type(count: int) -> type:
    """The smallest unsigned type that holds a count."""
    return next(t for t in COUNT_TYPES if count <= np.iinfo(t).max)


def scatter(units: np.ndarray, ticks: np.ndarray, row_of_unit: np.ndarray, first_tick: int, ticks_per_bin: int, out: np.ndarray) -> tuple[int, int] | None:
    """Add each event to `out`, (row, bin) counts whose first bin starts at `first_tick`.

    Returns the first cell that overflowed, or None. Events of units whose row is -1, and events outside, are left out.
    """
    span = out.shape[1] * ticks_per_bin
    if max(span, ticks_per_bin) < 2**31:
        bad = kernels.scatter_near(units, ticks, row_of_unit, first_tick, span, kernels.divider(ticks_per_bin), out)
    else:
        bad = kernels.scatter_far(units, ticks, row_of_unit, first_tick, ticks_per_bin, out)
    return None if bad < 0 else (int(bad) // out.shape[1], int(bad) % out.shape[1])


def bin_ticks(ticks: np.ndarray, offsets: np.ndarray, *, ticks_per_bin: int, n_bins: int, dtype: type = np.uint8, out: np.ndarray | None = None) -> np.ndarray:
    """Count each unit's events in equal, half-open bins.

    Parameters
    ----------
    ticks : (event,) int64, relative to the first bin
    offsets : (unit + 1,) int64; unit u owns ticks[offsets[u]:offsets[u + 1]]
    ticks_per_bin : whole number of ticks, > 0
    n_bins : bins per unit; events outside are not counted
    dtype : unsigned integer type of the counts
    out : (unit, bin) array to fill and return, of whatever unsigned type; a new one costs as much as the counting

    Returns
    -------
    counts : (unit, bin) array of dtype

    Raises
    ------
    CountOverflow : a count does not fit dtype; the message names the unit, the bin and a dtype that holds it.

    Examples
    --------
    >>> bin_ticks(np.array([0, 5, 19, 7]), np.array([0, 3, 4]), ticks_per_bin=10, n_bins=2)
    array([[2, 1],
           [1, 0]], dtype=uint8)
    """
    n_units = len(offsets) - 1
    counts: np.ndarray = np.zeros((n_units, n_bins), dtype) if out is None else out
    if counts.shape != (n_units, n_bins):  # the kernels trust it
        raise BinWidthError(f"counts of {n_units} units and {n_bins} bins do not fit an array of shape {counts.shape}")
    if out is not None:
        out[...] = 0
    span = n_bins * ticks_per_bin
    if max(span, ticks_per_bin) < 2**31:
        full = int(kernels.bin_trains(ticks, offsets, span, kernels.divider(ticks_per_bin), counts))
    else:
        units = np.repeat(np.arange(n_units, dtype=np.int32), np.diff(offsets))
        bad = int(kernels.scatter_far(units, ticks, np.arange(n_units), 0, ticks_per_bin, counts))
        full = -1 if bad < 0 else bad // n_bins
    if full >= 0:
        bins, n = np.unique(ticks[offsets[full] : offsets[full + 1]] // ticks_per_bin, return_counts=True)
        n[(bins < 0) | (bins >= n_bins)] = 0
        raise overflow(f"unit {full}", int(n.max()), int(bins[n.argmax()]), None, counts.dtype.type)
    return counts


def overflow(unit: str, count: int, k: int, seconds: float | None, dtype: type) -> CountOverflow:
    """The error for a count that does not fit: it names the unit, the bin, where it starts, and a type that holds it."""
    start = "" if seconds is None else f" ({seconds:g} s)"
    found = f"{unit} fires {count} times in bin {k}{start}, more than {np.dtype(dtype).name} holds"
    return CountOverflow(f"{found}; pass dtype=np.{smallest_type(count).__name__}, clip=True or a narrower bin_width")
