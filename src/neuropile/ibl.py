"""What the International Brain Laboratory's numbers mean: plain functions of arrays, for readers and for whoever analyses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuropile.errors import NeuropileError

#: The three tests of a unit (IBL's spike-sorting white paper, doi:10.6084/m9.figshare.19705522): the confidence (percent) that its
#: contamination is at most 10 %, how far (sd) the low end of its amplitudes is cut off by noise, and its median amplitude (V).
MIN_CONFIDENCE = 90.0
MAX_NOISE_CUTOFF = 5.0
MIN_AMPLITUDE_V = 50e-6
#: Labels are thirds of floats: good are those at least this.
PASSED_ALL = 1 - 1e-6
#: Below this likelihood a tracked point of a video is taken for unseen.
MIN_LIKELIHOOD = 0.9
#: A pupil's smooth trace must vary this many times as much as what smoothing took off, or IBL drops it.
MIN_PUPIL_RATIO = 5.0


def unit_labels(metrics: Any) -> tuple[np.ndarray, np.ndarray]:
    """The share of the three tests that each unit passed, and which it failed, recomputed from its metrics.

    Parameters
    ----------
    metrics : columns by name (a data frame or a mapping), a value a unit: `max_confidence` (percent) or, in older files,
        `slidingRP_viol` (1 is a pass, in spite of its name), `noise_cutoff` (sd) and `amp_median` (V)

    Returns
    -------
    label : (unit,) float64, 0, 1/3, 2/3 or 1
    failed : (unit,) uint8, IBL's `bitwise_fail`: 1 refractory period, 2 noise cutoff, 4 amplitude. NaN counts as failed

    Raises
    ------
    NeuropileError : a metric is missing
    """
    names = [str(n) for n in metrics]
    refractory = next((n for n in ("max_confidence", "slidingRP_viol") if n in names), None)
    missing = [n for n in ("noise_cutoff", "amp_median") if n not in names]
    if refractory is None or missing:
        wanted = ", ".join([*(["max_confidence or slidingRP_viol"] if refractory is None else []), *missing])
        raise NeuropileError(f"a label needs {wanted}; the metrics are {', '.join(names) or 'none'}: take those of clusters.metrics")
    first, noise, amplitude = (np.asarray(metrics[n], np.float64) for n in (refractory, "noise_cutoff", "amp_median"))
    with np.errstate(invalid="ignore"):
        passed = np.stack([first >= (MIN_CONFIDENCE if refractory == "max_confidence" else 1.0), noise < MAX_NOISE_CUTOFF, amplitude > MIN_AMPLITUDE_V])
    return passed.sum(axis=0) / 3, (~passed * np.array([[1], [2], [4]])).sum(axis=0).astype(np.uint8)


@dataclass(frozen=True)
class Kinematics:
    """A wheel's movement on an even grid: each (time,) float64; s, rad, rad/s, rad/s2."""

    time_s: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray


def wheel_kinematics(time_s: np.ndarray, position: np.ndarray, *, rate_hz: float = 1000.0, corner_hz: float = 20.0, order: int = 8) -> Kinematics:
    """A wheel's velocity and acceleration as IBL defines them.

    The position is interpolated linearly at `rate_hz` from the first time stamp on, low-passed by a Butterworth filter run
    forwards and backwards (no delay), and differenced; the first velocity and the first acceleration are 0. `position`
    is the interpolated one, unfiltered. Times stay float64: in float32 they are half a millisecond apart after 4096 s.

    Parameters
    ----------
    time_s : (sample,) seconds, rising, any spacing; position : (sample,) rad, unwrapped

    Raises
    ------
    NeuropileError : too few samples, times that do not rise, or NaN
    """
    from scipy import signal

    time_s, position = np.asarray(time_s, np.float64), np.asarray(position, np.float64)
    if len(time_s) != len(position) or len(time_s) < 2 or not (np.isfinite(time_s).all() and np.isfinite(position).all()):
        raise NeuropileError(f"a wheel needs two finite samples or more, each with its time; found {len(position)} positions and {len(time_s)} times")
    if np.any(np.diff(time_s) < 0):
        raise NeuropileError("the wheel's times fall: sort them, or read the stretches of its clock one by one")
    grid = np.arange(time_s[0], time_s[-1], 1 / rate_hz)
    even = np.interp(grid, time_s, position)
    sections = signal.butter(order, corner_hz / (rate_hz / 2), output="sos")
    shortest = 3 * (2 * len(sections) + 1)  # what sosfiltfilt pads each end by
    if len(even) <= shortest:
        raise NeuropileError(f"the wheel was recorded for {time_s[-1] - time_s[0]:.3g} s: its velocity needs more than {shortest / rate_hz:.3g} s")
    velocity = np.diff(signal.sosfiltfilt(sections, even), prepend=np.nan) * rate_hz
    velocity[0] = 0.0
    acceleration = np.diff(velocity, prepend=velocity[0]) * rate_hz
    return Kinematics(grid, even, velocity, acceleration)


@dataclass(frozen=True)
class WheelSign:
    """Which way a wheel counts: `sign` is +1 where choices of +1 turn it up, -1 where down; `r` over `n_trials` trials."""

    sign: int
    r: float
    n_trials: int


def wheel_sign(time_s: np.ndarray, position: np.ndarray, stim_on_s: np.ndarray, response_s: np.ndarray, choice: np.ndarray) -> WheelSign | None:
    """Which way a session's wheel counts, which its authors' pages contradict each other about, and which differs by session.

    The sign of the correlation, over trials, of the wheel's displacement from the stimulus to the response with the choice
    (+1 reports the left). None where it cannot be told: fewer than two trials with both, or all alike.
    """
    if len(time_s) < 2:
        return None
    stim_on_s, response_s, choice = (np.asarray(v, np.float64) for v in (stim_on_s, response_s, choice))
    with np.errstate(invalid="ignore"):
        told = np.isfinite(stim_on_s) & np.isfinite(response_s) & (np.abs(choice) == 1) & (stim_on_s >= time_s[0]) & (response_s <= time_s[-1])
    moved = np.interp(response_s[told], time_s, position) - np.interp(stim_on_s[told], time_s, position)
    made = choice[told]
    if len(moved) < 2 or not np.isfinite(moved).all() or np.ptp(moved) == 0 or np.ptp(made) == 0:
        return None
    r = float(np.corrcoef(moved, made)[0, 1])
    return WheelSign(1 if r > 0 else -1, r, len(moved)) if r else None


def likely_positions(pose: Any, *, threshold: float = MIN_LIKELIHOOD, scale: float = 1.0) -> np.ndarray:
    """The x and y of tracked points, NaN where the tracker was not sure.

    Parameters
    ----------
    pose : (time, keypoint, 3): x, y, likelihood, as the signals `left_camera_pose` and the like hold them
    threshold : 0 to 1; points of a lower likelihood, or of none, become NaN
    scale : factor of x and y. The left camera has twice the resolution of the right one: 0.5 makes them comparable

    Returns
    -------
    (time, keypoint, 2) float64, pixels times scale
    """
    values = np.asarray(pose, np.float64)
    if values.ndim != 3 or values.shape[2] != 3:
        raise NeuropileError(f"a pose has the axes time, keypoint and (x, y, likelihood), found an array of shape {values.shape}")
    if not 0 <= threshold <= 1:
        raise NeuropileError(f"a threshold of {threshold}: likelihoods run from 0 to 1; IBL's own is {MIN_LIKELIHOOD}")
    with np.errstate(invalid="ignore"):
        sure = values[..., 2] >= threshold
    return np.where(sure[..., None], values[..., :2] * scale, np.nan)


def keypoints(description: str) -> tuple[str, ...]:
    """The names of a pose signal's points, in order, from its description.

    >>> keypoints("pose by lightningPose, in pixels; keypoints: nose_tip, paw_l; each x, y, likelihood")
    ('nose_tip', 'paw_l')
    """
    _, found, rest = description.partition("keypoints: ")
    return tuple(n.strip() for n in rest.partition(";")[0].split(",")) if found else ()


def pupil_ratio(raw: np.ndarray, smooth: np.ndarray) -> float:
    """How much the smooth diameter varies, in units of what smoothing took off: var(smooth) / var(smooth - raw), NaN left out.

    IBL drops the pupils of sessions where it is below MIN_PUPIL_RATIO. NaN where nothing varies or nothing is known.
    """
    raw, smooth = np.asarray(raw, np.float64), np.asarray(smooth, np.float64)
    off, kept = (smooth - raw)[np.isfinite(smooth - raw)], smooth[np.isfinite(smooth)]
    return float(np.var(kept) / np.var(off)) if len(off) and np.var(off) > 0 else float("nan")


def signed_contrasts(contrast_left: np.ndarray, contrast_right: np.ndarray) -> np.ndarray:
    """The contrast of each trial in percent, negative on the left: (trial,) float64; NaN where neither side has one, or both do.

    Trials of no contrast are 0 whatever their side: the side is which of the two is not NaN. A contrast of 0 beside one that
    is not 0 is the side without a stimulus; where both are above 0 there is no one sign.
    """
    left, right = np.asarray(contrast_left, np.float64), np.asarray(contrast_right, np.float64)
    signed = (np.nan_to_num(right) - np.nan_to_num(left)) * 100
    return np.where((np.isnan(left) & np.isnan(right)) | ((left > 0) & (right > 0)), np.nan, signed)


def block_numbers(p_left: Iterable[float]) -> np.ndarray:
    """The block of each trial, from 0: how often the probability of the left has changed before. (trial,) int64."""
    p = np.asarray(p_left, np.float64)
    return np.concatenate([[0], np.cumsum(p[1:] != p[:-1])]).astype(np.int64)[: len(p)]


def misfit(choice: np.ndarray, correct: np.ndarray, contrast_left: np.ndarray, contrast_right: np.ndarray) -> tuple[int, int]:
    """How many rewarded trials contradict the meaning of `choice`, of how many whose side is known.

    +1 is the right answer to a stimulus on the left: on rewarded trials the choice is +1 exactly where contrast_left is not NaN.
    """
    left, right = ~np.isnan(np.asarray(contrast_left, np.float64)), ~np.isnan(np.asarray(contrast_right, np.float64))
    choice = np.asarray(choice, np.float64)
    told = np.asarray(correct, bool) & (left != right) & np.isfinite(choice)
    return int(np.count_nonzero((choice[told] == 1) != left[told])), int(np.count_nonzero(told))
