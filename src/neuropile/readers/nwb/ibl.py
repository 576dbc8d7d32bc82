"""IBL's NWB files (DANDI 000409) as the same sessions read from ALF: their names, units and places for everything both hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile.readers.alf import missing, wheel
from neuropile.readers.alf.files import SIDES
from neuropile.readers.nwb import ibl_places, ibl_pose, ibl_videos, tables, terms, tree
from neuropile.types import Recording, Signal

#: Columns that together tell a generation of these files, whatever they are called.
_NEW = ({"src_ibl_quality_score", "src_cluster_uuid"}, {"src_gabor_stimulus_side", "src_mouse_wheel_choice"})
_OLD = ({"src_mean_relative_depth", "src_label"}, {"src_allen_location", "src_cosmos_location"}, {"src_feedback_type", "src_first_movement_time"})
_OLD_NOTE = "a file of IBL's old layout, which is known from their converter alone and not yet from a real file: check what it gives"
_UNIT_NAME = re.compile(r"(?P<probe>.+)_(?P<cluster>\d+)")
_CCF_NOTE = "places are from bregma, as in ALF: the file's, from the corner of the atlas, were moved by its bregma"
_SIDE = f"(?P<side>{'|'.join(s.capitalize() for s in SIDES)})"
#: The series and tables of both generations, and of what lay between, under ALF's names here.
_SIGNALS = {
    r"(SpatialSeries)?WheelPosition": "wheel",
    rf"(TimeSeries)?{_SIDE}(Raw)?PupilDiameter(Raw)?": "{side}_camera_pupil_diameter",
    rf"(TimeSeries)?{_SIDE}(Smoothed)?PupilDiameter(Smoothed)?": "{side}_camera_pupil_diameter_smooth",
    rf"(TimeSeries)?{_SIDE}CameraMotionEnergy": "{side}_camera_motion_energy",
}
_INTERVALS = {
    r"(TimeIntervals)?WheelMovement(Intervals)?": "wheel_moves",
    r"passive_intervals": "passive_periods",
    r"gabor_table": "passive_gabor",
    r"passive_task_replay": "passive_stims",
}
_LICKS = ("lick_times/EventsLickTimes", "lick_times", "behavior/EventsLickTimes")
_FILES = {
    "trials": "intervals/trials",
    "wheel": "processing/wheel/WheelPosition",
    "wheel_moves": "processing/wheel/WheelMovementIntervals",
    "licks": "processing/lick_times/EventsLickTimes",
    "passive_periods": "processing/passive_protocol/passive_intervals",
    "passive_gabor": "processing/passive_protocol/gabor_table",
    "passive_stims": "processing/passive_protocol/passive_task_replay",
    "passive_rfm": "receptive-field stimulus: IBL leaves it out for the quality of its times, and none",
    **{f"{s}_camera": f"pose or motion energy of the {s} camera, which hold its frame times," for s in SIDES},
    **{f"{s}_camera_pose": f"processing/pose_estimation/{s.capitalize()}Camera" for s in SIDES},
    **{f"{s}_camera_motion_energy": f"processing/motion_energy/{s.capitalize()}CameraMotionEnergy" for s in SIDES},
    **{f"{s}_camera_pupil_diameter": f"processing/pupil/{s.capitalize()}PupilDiameter" for s in SIDES[:2]},
    **{f"{s}_camera_pupil_diameter_smooth": f"processing/pupil/{s.capitalize()}PupilDiameterSmoothed" for s in SIDES[:2]},
    **{f"{s}_camera_video": f"video of the {s} camera" for s in SIDES},
    "waveform_mean": "units/waveform_mean",
    "waveform_templates": "waveforms by depth",
    "channels": "table of electrodes",
    "voltage": "raw voltage",
}


def generation(recording: Recording) -> str | None:
    """Which of IBL's layouts a recording was read from, told by its columns: "new", "old", or None for another's file."""
    names = set(recording.units.column_names) | {n for t in recording.intervals.values() for n in t.column_names}
    if any(told <= names for told in _NEW):
        return "new"
    return "old" if any(told <= names for told in _OLD) else None


def completed(file: tree.Group, recording: Recording) -> Recording:
    """A recording of an IBL file as ALF gives the same session; another's as it is, as is one that was completed before.

    Probes are called probe00, as in ALF; units of several probes `probe00/0`. Places are um from bregma. What only such a
    file holds (smoothed wheel, epochs) keeps its name, every source column its own under `src_`.
    """
    kind = generation(recording)
    if kind is None or "ibl_layout" in recording.source:
        return recording
    notes = [*recording.notes, *([_OLD_NOTE] if kind == "old" else [])]
    places = ibl_places.find(file, notes)
    if places is not None and places.moved:
        notes.append(_CCF_NOTE)
    intervals = _renamed(recording.intervals, _INTERVALS) | _licks(file)
    for name, source in (("passive_periods", "src_protocol_name"), ("passive_stims", "src_stim_type")):
        if name == "passive_periods" and name in intervals and source in intervals[name].column_names:
            intervals[name] = intervals[name].append_column("src_period", intervals[name].column(source))
    absent: dict[str, str] = {}
    signals = {n: s for n, s in _renamed(recording.signals, _SIGNALS).items() if not n.startswith(ibl_pose.SERIES) and f"_{ibl_pose.SERIES}" not in n}
    signals |= ibl_pose.find(file, notes, absent) | _waveforms(recording.signals, kind)
    videos, frames = ibl_videos.find(file, notes)
    signals |= _frames(signals) | frames
    facts: dict[str, Any] = {}
    if "wheel" in signals:
        signals["wheel"], facts = wheel.told(replace(signals["wheel"], unit="rad"), intervals.get("trials"))
    channels = recording.channels if places is None else places.channels()
    linked = {**recording.linked, **videos}
    present = {*intervals, *signals, *linked, *(["channels"] if channels is not None else [])}
    return replace(
        recording,
        units=_units(recording.units, places, kind),
        intervals=intervals,
        signals=signals,
        channels=channels,
        linked=linked,
        absent={**recording.absent, **missing.reasons(present, absent, where="the file", files=_FILES)},
        source={**recording.source, **facts, "ibl_layout": kind},
        notes=tuple(notes),
    )


def _renamed(found: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Things by ALF's names, each name given once: to the first that has it."""
    out: dict[str, Any] = {}
    for name, thing in found.items():
        told = next(((m, ours) for pattern, ours in names.items() if (m := re.fullmatch(pattern, name))), None)
        ours = told[1].format(**{k: v.lower() for k, v in told[0].groupdict().items()}) if told else name
        out[ours if ours not in out else name] = thing
    return out


def _licks(file: tree.Group) -> dict[str, pa.Table]:
    """The times of licks: events without data, which are no series."""
    for path in _LICKS:
        times = tree.member(file, f"processing/{path}/timestamps")
        if tree.is_array(times) and times.ndim == 1 and times.dtype.kind in "iuf":
            return {"licks": pa.table({"start_s": pa.array(tree.values(times).astype(np.float64), from_pandas=True)})}
    return {}


def _frames(signals: Mapping[str, Signal]) -> dict[str, Signal]:
    """When each frame of a camera was taken, as the first of its signals tells."""
    found = {}
    for side in SIDES:
        kinds = ("pose", "motion_energy", "pupil_diameter")
        first = next((s for k in kinds if (s := signals.get(f"{side}_camera_{k}")) is not None and s.time_s is not None), None)
        if first is not None:
            frames = np.arange(int(first.data.shape[0]), dtype=np.int32)
            told = f"when each frame of the {side} camera was taken"
            found[f"{side}_camera"] = Signal(frames, ("time",), time_s=first.time_s, description=told)
    return found


def _waveforms(signals: Mapping[str, Signal], kind: str) -> dict[str, Signal]:
    """Mean waveforms in volts: the new files hold microvolts, whatever the attribute that NWB fixes says."""
    mean = signals.get("waveform_mean")
    if mean is None or kind != "new":
        return {}
    told = "mean waveforms at 30 kHz; channels by their distance from the peak"
    return {"waveform_mean": replace(mean, data=_Volts(mean.data), unit="V", description=told)}


class _Volts:
    """Microvolts as volts, scaled as they are read."""

    def __init__(self, data: Any) -> None:
        self._data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, len(data.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        return (np.asarray(self._data[key], np.float64) * 1e-6).astype(self.dtype)


def _units(units: pa.Table, places: ibl_places.Places | None, kind: str) -> pa.Table:
    """Units by ALF's ids, probes and places, and good by the old files' label."""
    ours: dict[str, Any] = {}
    probes = next((units.column(f"src_{n}").to_pylist() for n in terms.PROBE_COLUMNS if f"src_{n}" in units.column_names), None)
    probes = probes if probes is not None else units.column("probe").to_pylist() if "probe" in units.column_names else [None] * units.num_rows
    probes = [ibl_places.probe_name(p) for p in probes]
    if any(p is not None for p in probes):
        ours["probe"] = pa.array(probes, pa.string())
    ids = _ids(units, probes)
    if ids is not None:
        ours["unit_id"] = pa.array(ids, pa.string())
    if places is not None:
        rows = _peak_electrodes(units, places)
        if rows is not None:
            ours |= {n: _or_own(c, units, n) for n, c in places.of(rows).items()}
    if "region" in units.column_names and "region" not in ours:
        ours["region"] = ibl_places.acronyms(units.column("region").to_pylist())
    if kind == "old" and tables.is_number(units, "src_label"):
        good = ["good" if v is not None and v >= terms.IBL_PASSED_ALL else None for v in units.column("src_label").to_pylist()]
        rule = pa.array(["good where label is 1 (all tests passed)"] * len(good), pa.string())
        ours |= {"quality": pa.array(good, pa.string()), "quality_rule": rule}
    for name, column in ours.items():
        at = units.schema.get_field_index(name)
        units = units.append_column(name, column) if at < 0 else units.set_column(at, name, column)
    return units


def _or_own(column: pa.Array, units: pa.Table, name: str) -> pa.Array:
    """A column of the electrodes', where it says nothing the units' own."""
    return pc.coalesce(column, units.column(name).combine_chunks().cast(column.type)) if name in units.column_names else column


def _ids(units: pa.Table, probes: list[str | None]) -> list[str] | None:
    """`0` of one probe, `probe00/0` of several, from the probe and the cluster that names or columns tell; None where none does, or not each apart."""
    if tables.is_text(units, "src_unit_name"):
        named = [_UNIT_NAME.fullmatch(n or "") for n in units.column("src_unit_name").to_pylist()]
        clusters = [m["cluster"] if m else None for m in named]
    elif tables.is_number(units, "src_cluster_id"):
        clusters = [None if v is None else str(int(v)) for v in units.column("src_cluster_id").to_pylist()]
    else:
        return None
    several = len(set(probes)) > 1
    ids = [f"{p}/{c}" if several else c for p, c in zip(probes, clusters, strict=True)]
    return [str(i) for i in ids] if None not in clusters and len(set(ids)) == len(ids) else None


def _peak_electrodes(units: pa.Table, places: ibl_places.Places) -> np.ndarray | None:
    """The row of each unit's electrode, -1 where it has none: the electrode itself, or in old files the channel of its probe."""
    if tables.is_number(units, "src_max_electrode"):
        return places.rows(np.asarray(units.column("src_max_electrode").to_pandas(), np.float64))
    if tables.is_number(units, "src_maximum_amplitude_channel"):
        channels = np.asarray(units.column("src_maximum_amplitude_channel").to_pandas(), np.float64)
        names: Iterable[str | None] = units.column("src_probe_name").to_pylist() if tables.is_text(units, "src_probe_name") else [None] * units.num_rows
        return places.rows_of_channels([ibl_places.probe_name(p) for p in names], channels)
    return None
