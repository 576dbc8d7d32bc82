"""What an IBL session's three cameras tell: when their frames were taken, pose, pupils and motion energy, as signals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.ibl import MIN_PUPIL_RATIO, pupil_ratio
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf import parquet_columns, tables
from neuropile.readers.alf.files import SIDES, Attributes
from neuropile.types import Signal

#: Pose by the newer tracker goes first.
TRACKERS = ("lightningPose", "dlc")
_COORDINATES = ("x", "y", "likelihood")
_POINT = re.compile(rf"(.+)_({'|'.join(_COORDINATES)})")
#: What is odd about one camera's pixels.
_RESOLUTION = {"left": "the left camera has twice the resolution of the right one: halve its coordinates before comparing them"}
_PUPILS = {"pupil_diameter": "pupilDiameter_raw", "pupil_diameter_smooth": "pupilDiameter_smooth"}


def signals(objects: Mapping[str, Attributes], notes: list[str], absent: dict[str, str]) -> dict[str, Signal]:
    """Each camera's signals, by `left_camera` and the like; what cannot be read is noted, what does not fit its times is absent for that reason."""
    found: dict[str, Signal] = {}
    for side in SIDES:
        files = objects.get(f"{side}Camera", {})
        camera = _Camera(side, files, notes, absent)
        if camera.times is not None:
            frames = np.arange(len(camera.times), dtype=np.int32)
            found[f"{side}_camera"] = Signal(frames, ("time",), time_s=camera.times, description=f"when each frame of the {side} camera was taken")
        found |= camera.pose() | camera.pupils() | camera.motion_energy(objects.get(f"{side}ROIMotionEnergy", {}))
    return found


class _Camera:
    """One camera's files, and what of them fits its frame times."""

    def __init__(self, side: str, files: Attributes, notes: list[str], absent: dict[str, str]) -> None:
        self.side, self.files, self.notes, self.absent = side, files, notes, absent
        self.times = alf_columns.real_vector(files, "times", notes)
        if self.times is not None and not len(self.times):
            self.times, absent[f"{side}_camera"] = None, f"{side}Camera.times holds nothing"

    def _clock(self, name: str, what: str, n_frames: int) -> np.ndarray | None:
        """The times of the frames: of too many the last, as cameras start before their frames are kept; None where they are too few."""
        if self.times is None:
            self.absent[name] = f"{what} has {n_frames} frames, but no {self.side}Camera.times says when"
        elif not n_frames:
            self.absent[name] = f"{what} holds no frames"
        elif len(self.times) < n_frames:
            self.absent[name] = f"{what} has {n_frames} frames, {self.side}Camera.times {len(self.times)}: nothing says which frames have no time"
        else:
            return self.times[len(self.times) - n_frames :]
        self.notes.append(f"left out: {self.absent[name]}")
        return None

    def pose(self) -> dict[str, Signal]:
        """Every tracked point: (time, keypoint, 3), read when asked for."""
        tracker = next((t for t in TRACKERS if t in self.files), None)
        if tracker is None:
            return {}
        name, what = f"{self.side}_camera_pose", f"{self.side}Camera.{tracker}"
        try:
            points, data = _points([d.path for d in self.files[tracker]])
        except UnreadableFile as e:
            self.notes.append(f"left out: {alf_columns.relative(e, self.files[tracker])}")
            return {}
        if not points:
            self.absent[name] = f"{what} has no columns of the form point_x, point_y, point_likelihood"
            return {}
        times = self._clock(name, what, data.shape[0])
        if times is None:
            return {}
        told = [f"pose by {tracker}, in pixels of the {self.side} camera", f"keypoints: {', '.join(points)}", "each x, y, likelihood"]
        told += [_RESOLUTION[self.side]] if self.side in _RESOLUTION else []
        told += ["left and right of paws are those of the image"] if any(p.startswith("paw_") for p in points) else []
        return {name: Signal(data, ("time", "keypoint", "coordinate"), unit="px", time_s=times, description="; ".join(told))}

    def pupils(self) -> dict[str, Signal]:
        """The pupil's diameter, raw and smooth; a note says where the owners' rule drops it."""
        files = self.files.get("features")
        if not files:
            return {}
        try:
            columns = tables.read(files[0].path)
        except UnreadableFile as e:
            self.notes.append(f"left out: {alf_columns.relative(e, files)}")
            return {}
        found, values = {}, {}
        for kind, column in _PUPILS.items():
            name = f"{self.side}_camera_{kind}"
            diameter = tables.numbers(columns[column]) if column in columns else None
            if diameter is None:
                self.absent[name] = f"{self.side}Camera.features has no column {column}"
                continue
            times = self._clock(name, f"{self.side}Camera.features", len(diameter))
            if times is not None:
                values[kind] = diameter
                found[name] = Signal(diameter, ("time",), unit="px", time_s=times, description=f"diameter of the pupil in pixels of the {self.side} camera")
        if len(values) == len(_PUPILS) and (ratio := pupil_ratio(*values.values())) < MIN_PUPIL_RATIO:
            told = f"the {self.side} camera's pupil is {ratio:.2g} times as variable smooth as what smoothing took off"
            self.notes.append(f"{told}: IBL drops pupils below {MIN_PUPIL_RATIO:g}")
        return found

    def motion_energy(self, region: Attributes) -> dict[str, Signal]:
        """How much a part of the picture changed between frames k and k + 2."""
        name, what = f"{self.side}_camera_motion_energy", f"{self.side}Camera.ROIMotionEnergy"
        energy = alf_columns.real_vector(self.files, "ROIMotionEnergy", self.notes)
        times = None if energy is None else self._clock(name, what, len(energy))
        if energy is None or times is None:
            return {}
        position = alf_columns.real_vector(region, "position", self.notes)
        told = f"motion energy in a region of the {self.side} camera's video, of frame k against k + 2"
        if position is not None and len(position) == 4:
            told += "; the region's x, y, width, height: " + ", ".join(f"{v:g}" for v in position)
        return {name: Signal(energy, ("time",), time_s=times, description=told)}


def _points(paths: list[Any]) -> tuple[list[str], parquet_columns.Columns]:
    """The names of the points that a table has all three columns of, in its order, and their values."""
    names = parquet_columns.names(paths[0])
    parts = [m[1] for m in map(_POINT.fullmatch, names) if m]
    whole = [p for p in dict.fromkeys(parts) if all(f"{p}_{c}" in names for c in _COORDINATES)]
    return whole, parquet_columns.Columns(paths, [f"{p}_{c}" for p in whole for c in _COORDINATES], (len(whole), len(_COORDINATES)))
