"""Ellipses fitted to the eye in Allen's files as signals: their own numbers, and the full axes, of which the files hold halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers.nwb import tree
from neuropile.types import Signal

#: Older files: a table a part, each with columns center_x, center_y, width, height, phi.
_TABLES = {
    "pupil": "processing/eye_tracking/pupil_ellipse_fits",
    "eye": "processing/eye_tracking/eye_ellipse_fits",
    "corneal_reflection": "processing/eye_tracking/cr_ellipse_fits",
}
#: Newer files: a series a part, its data the centre, with arrays of the same length beside it.
SERIES = {
    "pupil": "acquisition/EyeTracking/pupil_tracking",
    "eye": "acquisition/EyeTracking/eye_tracking",
    "corneal_reflection": "acquisition/EyeTracking/corneal_reflection_tracking",
}
#: Where the times are of tables that have none themselves.
_TIMES = "processing/raw_gaze_mapping/eye_area/timestamps"
_RAW = "ellipse fitted to each frame of the video, as stored: center_x, center_y, half width, half height (pixels), phi (radians)"
_AXES = "full width and full height of the fitted ellipse: twice what is stored, which is half of each"
_DIAMETER = "the larger full axis of the fitted ellipse: a pupil seen from the side, or partly hidden, looks narrower than it is"


def signals(file: tree.Group) -> tuple[dict[str, Signal], list[str]]:
    """`<part>_ellipse` (time, parameter) and `<part>_axes` (time, axis) of pupil, eye and corneal reflection; `pupil_diameter` (time); areas, if any.

    What could not be read is returned in words. All are in pixels of the camera, blinks included.
    """
    found: dict[str, Signal] = {}
    left_out: list[str] = []
    for part in _TABLES:
        group = next((g for p in (_TABLES[part], SERIES[part]) if tree.is_group(g := tree.member(file, p))), None)
        if group is None:
            continue
        try:
            found |= _part(file, part, group)
        except UnreadableFile as e:  # the spikes stand without it
            left_out.append(f"{group.name.strip('/')} ({e})")
    return found, left_out


def _part(file: tree.Group, part: str, group: tree.Group) -> dict[str, Signal]:
    centre = tree.member(group, "data")
    if tree.is_array(centre) and centre.ndim == 2 and centre.shape[1] == 2:
        columns = [_Column(centre, 0), _Column(centre, 1), *(_Column(_numbers(group, n)) for n in ("width", "height", "angle"))]
    else:
        columns = [_Column(_numbers(group, n)) for n in ("center_x", "center_y", "width", "height", "phi")]
    lengths = sorted({len(c) for c in columns})
    if len(lengths) > 1:
        raise UnreadableFile(f"its columns have {' and '.join(map(str, lengths))} rows")
    times = next((t for t in (tree.member(group, "timestamps"), tree.member(file, _TIMES)) if tree.is_array(t) and t.shape == (len(columns[0]),)), None)
    if times is None or times.dtype.kind not in "iuf":
        raise UnreadableFile("no times of its frames")
    tree.check_size(times)
    when = tree.Later(times)
    half = _Stacked(columns[2:4], 2.0)
    found = {
        f"{part}_ellipse": Signal(_Stacked(columns), ("time", "parameter"), "px", when, description=_RAW),
        f"{part}_axes": Signal(half, ("time", "axis"), "px", when, description=_AXES),
    }
    if part == "pupil":
        found["pupil_diameter"] = Signal(_Largest(half), ("time",), "px", when, description=_DIAMETER)
    for name, about in (("area", "area of the ellipse, NaN in likely blinks"), ("area_raw", "area of the ellipse, blinks included")):
        area = tree.member(group, name)
        if tree.is_array(area) and area.shape == times.shape and area.dtype.kind in "iuf":
            found[f"{part}_{name}"] = Signal(tree.Later(area), ("time",), "px^2", when, description=about)
    return found


def _numbers(group: tree.Group, name: str) -> tree.Array:
    column = tree.member(group, name)
    if not tree.is_array(column) or column.ndim != 1 or column.dtype.kind not in "iuf":
        raise UnreadableFile(f"no numbers {name!r}")
    tree.check_size(column)
    return column


class _Column:
    """One column of an array, or an array of one axis."""

    def __init__(self, data: tree.Array, at: int | None = None) -> None:
        self._data, self._at, self._length = tree.Later(data), at, int(data.shape[0])

    def __len__(self) -> int:
        return self._length

    def read(self, key: Any) -> np.ndarray:
        values = self._data[key]
        return np.asarray(values if self._at is None else values[..., self._at], np.float64)


class _Stacked:
    """Columns side by side, (row, column) float64, each times a factor."""

    def __init__(self, columns: Sequence[_Column], factor: float = 1.0) -> None:
        self._columns, self._factor = columns, factor
        self.shape, self.dtype = (len(columns[0]), len(columns)), np.dtype(np.float64)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.stack([c.read(key) for c in self._columns], axis=-1) * self._factor


class _Largest:
    """The larger of each row's values; NaN where one is."""

    def __init__(self, data: _Stacked) -> None:
        self._data = data
        self.shape, self.dtype = data.shape[:1], data.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self._data[key].max(axis=-1))
