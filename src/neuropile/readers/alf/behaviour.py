"""What an ALF session knows beside its spikes: trials, the wheel, licks, passive periods, motion in its videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers import npy
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf.files import Attributes
from neuropile.types import Signal

#: Which of our columns each trial column is. `choice` keeps its sign: +1 reports the left, -1 the right, 0 neither.
TRIAL_COLUMNS = {
    "start_s": "intervals_0",
    "stop_s": "intervals_1",
    "stim_on_s": "stimOn_times",
    "stim_off_s": "stimOff_times",
    "go_cue_s": "goCue_times",
    "first_move_s": "firstMovement_times",
    "response_s": "response_times",
    "feedback_s": "feedback_times",
    "choice": "choice",
    "contrast_left": "contrastLeft",
    "contrast_right": "contrastRight",
    "p_left": "probabilityLeft",
    "reward_ul": "rewardVolume",
}
_FRACTIONS = ("contrast_left", "contrast_right", "p_left")
_CAMERAS = ("leftCamera", "rightCamera", "bodyCamera")


def intervals(objects: Mapping[str, Attributes], notes: list[str]) -> dict[str, pa.Table]:
    """The tables of what happened when; one that is damaged is noted and left out."""
    makers: dict[str, tuple[str, Callable[[Attributes, list[str]], pa.Table | None]]] = {
        "trials": ("trials", _trials),
        "wheel_moves": ("wheelMoves", _wheel_moves),
        "licks": ("licks", _licks),
        "passive_periods": ("passivePeriods", _passive_periods),
        "passive_gabor": ("passiveGabor", _passive_gabor),
    }
    found = {}
    for name, (obj, make) in makers.items():
        table = make(objects[obj], notes) if obj in objects else None
        if table is not None:
            found[name] = table
    return found


def _columns(attributes: Attributes, what: str, notes: list[str]) -> dict[str, pa.Array]:
    """An object's columns, (n, 2) arrays of intervals as two of them."""
    columns = alf_columns.read(attributes, notes)
    n_rows = alf_columns.common_length(columns, ("table", "intervals"))
    if n_rows is None:
        return {}
    split: dict[str, dict[str, pa.Array]] = {}
    for attribute, found in columns.items():
        pairs = alf_columns.matrix(found.get(attribute))
        is_pair = attribute.endswith("intervals") and pairs is not None and pairs.shape[1] == 2
        split[attribute] = {f"{attribute}_{i}": pa.array(pairs[:, i]) for i in (0, 1)} if is_pair and pairs is not None else found
    table = split.get("table", {})
    rest = {a: {n: c for n, c in found.items() if n not in table} for a, found in split.items() if a != "table"}
    return alf_columns.flat({"table": table, **rest}, n_rows, what, notes)


def _trials(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    source = _columns(attributes, "trials", notes)
    if not source:
        return None
    n_rows = len(next(iter(source.values())))
    columns: dict[str, pa.Array] = {}
    for ours, theirs in TRIAL_COLUMNS.items():
        values = alf_columns.number(source, theirs)
        if values is None:
            continue
        if ours in _FRACTIONS and np.any(values > 1):
            notes.append(f"trials.{theirs} holds values above 1, so no fractions: it is kept only as src_{theirs}")
            continue
        columns[ours] = alf_columns.nullable(values)
    if "start_s" not in columns:
        notes.append("the trials have no intervals: their starts are unknown")
        columns = {"start_s": pa.nulls(n_rows, pa.float64()), **columns}
    feedback = alf_columns.number(source, "feedbackType")
    if feedback is not None:
        columns["correct"] = pa.array(feedback > 0, mask=np.isnan(feedback))
    return pa.table(columns | {f"src_{n}": c for n, c in source.items()})


def _wheel_moves(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    return _spans(_columns(attributes, "wheelMoves", notes), "intervals_0", "intervals_1")


def _passive_gabor(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    return _spans(_columns(attributes, "passiveGabor", notes), "start", "stop")


def _spans(source: dict[str, pa.Array], start: str, stop: str) -> pa.Table | None:
    """Columns as a table of spans, the two that say when first."""
    if start not in source or stop not in source:
        return None
    begin, end = alf_columns.number(source, start), alf_columns.number(source, stop)
    if begin is None or end is None:
        return None
    kept = {f"src_{n}": c for n, c in source.items() if n not in (start, stop)}
    return pa.table({"start_s": alf_columns.nullable(begin), "stop_s": alf_columns.nullable(end), **kept})


def _licks(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    times = _vector(attributes, "times", notes)
    return None if times is None else pa.table({"start_s": alf_columns.nullable(times)})


def _passive_periods(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    """A column a period, a row `start` and a row `stop`: turned into a row a period."""
    columns = alf_columns.read(attributes, notes).get("intervalsTable", {})
    index = next((c.to_pylist() for c in columns.values() if c.to_pylist() == ["start", "stop"]), None)
    periods = {n: v for n, c in columns.items() if (v := alf_columns.number({n: c}, n)) is not None and len(v) == 2}
    if index is None or not periods:
        return None
    start, stop = (alf_columns.nullable(np.array([v[i] for v in periods.values()])) for i in (0, 1))
    return pa.table({"start_s": start, "stop_s": stop, "src_period": pa.array(list(periods), pa.string())})


def _vector(attributes: Attributes, name: str, notes: list[str]) -> np.ndarray | None:
    """An attribute's one row of numbers as float64, or None; a damaged one is noted."""
    if name not in attributes or attributes[name][0].path.suffix.lower() != ".npy":
        return None
    try:
        return np.asarray(alf_columns.vector(attributes[name]), np.float64)
    except UnreadableFile as e:
        notes.append(f"left out: {alf_columns.relative(e, attributes[name])}")
        return None


def signals(objects: Mapping[str, Attributes], notes: list[str]) -> dict[str, Signal]:
    """The wheel and the motion energy of the videos, where their times fit them."""
    found = {}
    wheel = _wheel(objects["wheel"], notes) if "wheel" in objects else None
    if wheel is not None:
        found["wheel"] = wheel
    for camera in _CAMERAS:
        motion = _motion(objects[camera], camera, notes) if camera in objects else None
        if motion is not None:
            found[f"{camera}_motion_energy"] = motion
    return found


def _wheel(attributes: Attributes, notes: list[str]) -> Signal | None:
    position = _vector(attributes, "position", notes)
    if position is None:
        return None
    times = _timestamps(attributes, len(position), notes)
    if times is None:
        return None
    if len(times) != len(position):
        notes.append(f"wheel.position has {len(position)} samples and its time stamps {len(times)}: left out")
        return None
    return Signal(position, ("time",), unit="rad", time_s=times, description="position of the wheel, unwrapped; its sign is not the same in all sessions")


def _timestamps(attributes: Attributes, n_samples: int, notes: list[str]) -> np.ndarray | None:
    """The time of each sample; points of (sample, time) are joined by straight lines."""
    name = "timestamps" if "timestamps" in attributes else "times"
    files = attributes.get(name, [])
    if not files or files[0].path.suffix.lower() != ".npy":
        return None
    try:
        shape = npy.header(files[0].path).shape
        if len(shape) != 2 or shape[1] != 2:
            return _vector(attributes, name, notes)
        points = np.asarray(alf_columns.array(files), np.float64)
    except (UnreadableFile, ValueError) as e:
        notes.append(f"left out: {alf_columns.relative(e, files)}")
        return None
    if not len(points) or not np.isfinite(points).all() or np.any(np.diff(points[:, 0]) <= 0):
        notes.append(f"wheel.{name} holds no rising points of (sample, time): the wheel is left out")
        return None
    return np.interp(np.arange(n_samples), points[:, 0], points[:, 1])


def _motion(attributes: Attributes, camera: str, notes: list[str]) -> Signal | None:
    """A video's motion energy. A camera starts before its frames are kept: of too many times the last count."""
    energy, times = _vector(attributes, "ROIMotionEnergy", notes), _vector(attributes, "times", notes)
    if energy is None or times is None:
        return None
    if not len(energy) or len(times) < len(energy):
        notes.append(f"{camera}.ROIMotionEnergy has {len(energy)} frames and {len(times)} times: left out")
        return None
    return Signal(energy, ("time",), time_s=times[len(times) - len(energy) :], description=f"motion energy in a region of the {camera}'s video")
