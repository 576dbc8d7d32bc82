"""The poses of IBL's NWB files, a series a point, as one signal a camera: time, point, and x, y, likelihood, as in ALF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers.alf.files import SIDES
from neuropile.readers.nwb import tree
from neuropile.types import Signal

SERIES = "PoseEstimationSeries"
#: The files' words for sides stand before the part, ALF's letters behind it; the pupil's points are of the right eye.
_SIDES = {"Left": "l", "Right": "r"}
_WORDS = re.compile(r"[A-Z][a-z0-9]*")


def keypoint(series: str) -> str:
    """ALF's name of a point.

    >>> [keypoint(f"PoseEstimationSeries{n}") for n in ("NoseTip", "LeftPaw", "RightTongueEnd", "RightPupilTop", "TubeTop")]
    ['nose_tip', 'paw_l', 'tongue_end_r', 'pupil_top_r', 'tube_top']
    """
    name = series.removeprefix(SERIES)
    words = _WORDS.findall(name)
    if not words or "".join(words) != name:
        return name
    if words[0] in _SIDES and len(words) > 1:
        words = [*words[1:], _SIDES[words[0]]]
    return "_".join(w.lower() for w in words)


def find(file: tree.Group, notes: list[str], absent: dict[str, str]) -> dict[str, Signal]:
    """The pose of each camera whose points share their frames; others are noted, and absent for that reason."""
    found = {}
    for side in SIDES:
        paths = (
            f"processing/{m}/{n}"
            for m in ("pose_estimation", "behavior", "camera")
            for n in (f"{side.capitalize()}Camera", f"PoseEstimation{side.capitalize()}Camera")
        )
        group = next((g for p in paths if tree.is_group(g := tree.member(file, p))), None)
        if group is None:
            continue
        try:
            signal = _pose(group, side)
        except UnreadableFile as e:
            notes.append(f"pose of the {side} camera left out: {e}")
            absent[f"{side}_camera_pose"] = str(e)
            continue
        if signal is not None:
            found[f"{side}_camera_pose"] = signal
    return found


def _pose(group: tree.Group, side: str) -> Signal | None:
    series = {keypoint(n): s for n, s in tree.members(group) if tree.is_group(s) and tree.is_array(tree.member(s, "data"))}
    if not series:
        return None
    points = sorted(series)
    parts = [(tree.member(series[p], "data"), tree.member(series[p], "confidence")) for p in points]
    times = next((t for p in points if tree.is_array(t := tree.member(series[p], "timestamps"))), None)
    if any(d.ndim != 2 or d.shape[1] != 2 or d.dtype.kind not in "iuf" for d, _ in parts):
        raise UnreadableFile("its points are not pairs of numbers")
    n_frames = {int(d.shape[0]) for d, _ in parts}
    if times is None or len(n_frames) > 1 or times.shape != (next(iter(n_frames)),):
        raise UnreadableFile("its points have different frames, or no time stamps")
    for array in (times, *(a for part in parts for a in part if tree.is_array(a))):
        tree.check_size(array)
    software = tree.member(group, "source_software")
    tracker = tree.text(tree.values(software)[0]) if tree.is_array(software) and tree.values(software).size else "an unnamed tracker"
    told = f"pose by {tracker}, in pixels of the {side} camera; keypoints: {', '.join(points)}; each x, y, likelihood"
    return Signal(_Points(parts), ("time", "keypoint", "coordinate"), unit="px", time_s=tree.Later(times), description=told)


class _Points:
    """Several points' places and likelihoods as one array, (time, keypoint, 3) float64, read by slices of time."""

    def __init__(self, parts: Sequence[tuple[tree.Array, tree.Array | None]]) -> None:
        self._parts = [(tree.Later(d), tree.Later(c) if tree.is_array(c) and c.shape == d.shape[:1] and c.dtype.kind in "iuf" else None) for d, c in parts]
        self.shape, self.dtype, self.ndim = (int(parts[0][0].shape[0]), len(parts), 3), np.dtype(np.float64), 3

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = key[0] if isinstance(key, tuple) else key
        places = [np.asarray(d[rows], np.float64) for d, _ in self._parts]
        sure = [np.asarray(c[rows], np.float64) if c is not None else np.full(p.shape[:-1], np.nan) for p, (_, c) in zip(places, self._parts, strict=True)]
        whole = np.stack([np.concatenate([p, s[..., None]], axis=-1) for p, s in zip(places, sure, strict=True)], axis=-2)
        return whole[(slice(None), *key[1:])] if isinstance(key, tuple) and isinstance(rows, slice) else whole
