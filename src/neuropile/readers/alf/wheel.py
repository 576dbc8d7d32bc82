"""An IBL session's wheel: its position as a signal in float64, and which way it counts in this session."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.ibl import wheel_sign
from neuropile.readers import npy
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf.files import Attributes
from neuropile.types import Signal

DESCRIPTION = "position of the wheel, unwrapped"
_WAYS = {1: "it counts up for choices of +1", -1: "it counts down for choices of +1", 0: "which way it counts is not known"}


def position(attributes: Attributes, notes: list[str], absent: dict[str, str]) -> Signal | None:
    """The wheel's position over time, which the source samples unevenly; None where its times do not fit it."""
    angle = alf_columns.real_vector(attributes, "position", notes)
    if angle is None:
        return None
    times = _timestamps(attributes, len(angle), notes)
    if times is None:
        absent["wheel"] = "no wheel.timestamps that can be read"
        return None
    if len(times) != len(angle):
        absent["wheel"] = f"wheel.position has {len(angle)} samples and its time stamps {len(times)}"
        notes.append(f"{absent['wheel']}: left out")
        return None
    return Signal(angle, ("time",), unit="rad", time_s=times, description=DESCRIPTION)


def told(wheel: Signal, trials: pa.Table | None) -> tuple[Signal, dict[str, Any]]:
    """The wheel's signal saying which way it counts, and the facts behind that; see ibl.wheel_sign.

    Sessions differ in it: 62 of them were corrected, and their authors' pages contradict each other.
    """
    found = None
    if trials is not None and {"stim_on_s", "response_s", "choice"} <= set(trials.column_names):
        stim_on, response, choice = (np.asarray(trials.column(n).to_pandas(), np.float64) for n in ("stim_on_s", "response_s", "choice"))
        found = wheel_sign(_times(wheel), np.asarray(wheel.data[:], np.float64), stim_on, response, choice)
    signal = replace(wheel, description=f"{DESCRIPTION}; {_WAYS[found.sign if found else 0]}")
    if found is None:
        return signal, {}
    return signal, {"wheel_sign": found.sign, "wheel_sign_r": round(found.r, 6), "wheel_sign_trials": found.n_trials}


def _times(signal: Signal) -> np.ndarray:
    if signal.time_s is not None:
        return np.asarray(signal.time_s[:], np.float64)
    return (signal.start_s or 0.0) + np.arange(signal.data.shape[0]) / (signal.rate_hz or 1.0)


def _timestamps(attributes: Attributes, n_samples: int, notes: list[str]) -> np.ndarray | None:
    """The time of each sample; points of (sample, time) are joined by straight lines."""
    name = "timestamps" if "timestamps" in attributes else "times"
    files = attributes.get(name, [])
    if not files or files[0].path.suffix.lower() != ".npy":
        return None
    try:
        shape = npy.header(files[0].path).shape
        if len(shape) != 2 or shape[1] != 2:
            return alf_columns.real_vector(attributes, name, notes)
        points = np.asarray(alf_columns.array(files), np.float64)
    except (UnreadableFile, ValueError) as e:
        notes.append(f"left out: {alf_columns.relative(e, files)}")
        return None
    if len(points) < 2 or not np.isfinite(points).all() or np.any(np.diff(points, axis=0) <= 0):
        notes.append(f"wheel.{name} holds no two or more rising points of (sample, time): the wheel is left out")
        return None
    at = np.arange(n_samples)
    row = np.clip(np.searchsorted(points[:, 0], at, "right") - 1, 0, len(points) - 2)  # beyond the ends the last line goes on
    (first, began), (last, ended) = points[row].T, points[row + 1].T
    return began + (at - first) * ((ended - began) / (last - first))
