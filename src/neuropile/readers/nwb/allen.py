"""What the Allen Institute's files hold beside units and stimuli: behaviour, the eye, probes, told by our names or why they are not there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile.readers.nwb import allen_rule, electrodes, eye, parameters, tables, tree
from neuropile.types import Recording, Signal

_LICKS = "processing/licking/licks"
_VOLUME, _AUTO = "processing/rewards/volume", "processing/rewards/autorewarded"
_SPEED, _SPEED_ENDS = "processing/running/running_speed", "processing/running/running_speed_end_times"
_LIGHT, _LIGHT_SERIES = "processing/optotagging/optogenetic_stimulation", "processing/optotagging/optotagging"
_RIG = "processing/eye_tracking_rig_metadata/eye_tracking_rig_metadata"
_GAZE = ("eye_area", "pupil_area", "screen_coordinates", "screen_coordinates_spherical")
_PROBES = "general/extracellular_ephys"
_UL_PER_ML = 1000.0
#: Series that become something else here, and the names of those that would be called by what parts them from others.
NAMES = {
    **dict.fromkeys((_LICKS, _VOLUME, _AUTO, _SPEED_ENDS, *eye.SERIES.values()), ""),
    **{f"processing/{m}_gaze_mapping/{n}": f"{m}_gaze_mapping_{n}" for m in ("raw", "filtered") for n in _GAZE},
    "processing/stimulus/timestamps": "stimulus_frame_times",
    "acquisition/EyeTracking/likely_blink": "likely_blink",
}
#: What a session may have, by the name it has here: what that is, and where it would be.
_MODALITIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "pupil_diameter": ("eye tracking", ("processing/eye_tracking", "acquisition/EyeTracking")),
    "raw_gaze_mapping_screen_coordinates": ("gaze", ("processing/raw_gaze_mapping",)),
    "optogenetic_stimulation": ("pulses of light", (_LIGHT,)),
    "licks": ("licks", (_LICKS,)),
    "rewards": ("rewards", (_VOLUME,)),
    "trials": ("trials", ("intervals/trials",)),
    "presentations": ("stimuli", ("intervals/*_presentations",)),
    "running_speed": ("running", (_SPEED, "processing/running/speed")),
}
#: What only mice that do a task have.
_OF_A_TASK = ("licks", "rewards", "trials")


def knows(file: tree.Group) -> bool:
    """Whether a file has Allen's columns: units by the id of their peak channel, electrodes by their place along a probe."""
    return tree.is_array(tree.member(file, "units/peak_channel_id")) and tree.is_array(tree.member(file, f"{electrodes.PATH}/probe_vertical_position"))


def completed(file: tree.Group, recording: Recording, *, judge: bool = True) -> Recording:
    """A recording with what else such a file holds, and what it lacks.

    judge : take the owner's rule for the quality of units, where the file has what it asks
    """
    notes = list(recording.notes)
    seen, left_out = eye.signals(file)
    notes += [f"eye tracking left out: {', '.join(left_out)}"] if left_out else []
    ends = _running_ends(file)
    if not ends and tree.is_group(tree.member(file, _SPEED_ENDS)):
        notes.append(f"{_SPEED_ENDS} was left out: its times are not one for each of {_SPEED}")
    signals = {**recording.signals, **ends, **seen}
    if tree.is_group(tree.member(file, _LIGHT)):
        signals.pop("optotagging", None)  # the starts and durations of that table
    intervals = {**recording.intervals, **_licks(file), **_rewards(file)}
    probes = _probes(file)
    return replace(
        recording,
        units=_judged(_placed(recording.units, recording.channels)) if judge else _placed(recording.units, recording.channels),
        signals=signals,
        intervals=intervals,
        absent={**recording.absent, **_absent(file, {*signals, *intervals}), **_elsewhere(probes, _templates(file))},
        source={**recording.source, **_about(file), "src_probes": probes},
        notes=tuple(notes),
    )


def _placed(units: pa.Table, channels: pa.Table | None) -> pa.Table:
    """Units where their peak channels are in the atlas."""
    if channels is None or "x_um" not in channels.column_names or not tables.is_number(units, "src_peak_channel_id"):
        return units
    rows = pc.index_in(parameters.wholes(units.column("src_peak_channel_id")).cast(pa.string()), channels.column("channel_id"))
    for name in ("x_um", "y_um", "z_um"):
        units = units.append_column(name, channels.column(name).take(rows))
    return units


def _judged(units: pa.Table) -> pa.Table:
    """Units that are good where the owner's software shows them; who fails its limits is not thereby multi-unit or noise, unless the file says so."""
    if "quality" not in units.column_names or not all(tables.is_number(units, f"src_{name}") for name in allen_rule.METRICS):
        return units
    asked = [c for c in units.column_names if c in ("quality", "region", *allen_rule.COLUMNS)]
    good, rule = allen_rule.allen_quality(units.select(asked).to_pandas())
    words = ["good" if g else w if w != "good" else None for g, w in zip(good.tolist(), units.column("quality").to_pylist(), strict=True)]
    told = f"good where {rule} (the AllenSDK's default filter); else noise or mua where the file's column 'quality' says so"
    for name, values in (("quality", words), ("quality_rule", [told] * len(words))):
        units = units.set_column(units.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return units


def _timed(file: tree.Group, path: str) -> tuple[tree.Array, tree.Array] | None:
    """A series's values and times, both of one axis and one length; None where there are none such."""
    data, times = (tree.member(file, f"{path}/{n}") for n in ("data", "timestamps"))
    if not tree.is_array(data) or not tree.is_array(times) or data.ndim != 1 or data.shape != times.shape or times.dtype.kind not in "iuf":
        return None
    tree.check_size(times)
    tree.check_size(data)
    return data, times


def _running_ends(file: tree.Group) -> dict[str, Signal]:
    """When each measurement of running ended: in the file the time stamps of a series without values."""
    speed, ends = _timed(file, _SPEED), _timed(file, _SPEED_ENDS)
    if speed is None or ends is None or speed[0].shape != ends[1].shape:
        return {}
    about = "when the measurement of running_speed that began at this time ended"
    return {"running_speed_end_times": Signal(tree.Later(ends[1]), ("time",), "s", tree.Later(speed[1]), description=about)}


def _licks(file: tree.Group) -> dict[str, pa.Table]:
    """A row a lick, as in other sources; the number of the stimulus's frame beside it."""
    found = _timed(file, _LICKS)
    if found is None:
        return {}
    return {"licks": pa.table({"start_s": tree.values(found[1]).astype(np.float64), "src_frame": tables.column(found[0])})}


def _rewards(file: tree.Group) -> dict[str, pa.Table]:
    """A row a reward: its volume in uL, and whether it came by itself."""
    volume, auto = _timed(file, _VOLUME), _timed(file, _AUTO)
    if volume is None or volume[0].dtype.kind not in "iuf":
        return {}
    ml = tree.values(volume[0]).astype(np.float64)
    columns: dict[str, Any] = {"start_s": tree.values(volume[1]).astype(np.float64), "reward_ul": ml * _UL_PER_ML, "src_volume": ml}
    if auto is not None and auto[0].shape == volume[0].shape and auto[0].dtype.kind in "iufb":
        columns["is_auto"] = pc.not_equal(pa.array(tree.values(auto[0]).astype(np.float64)), 0.0)
    return {"rewards": pa.table(columns)}


def _probes(file: tree.Group) -> list[dict[str, Any]]:
    """What the file says of its probes: name, id, sampling rates, whether there is LFP."""
    group = tree.member(file, _PROBES)
    found = []
    for name, probe in tree.members(group) if tree.is_group(group) else ():
        if not tree.is_group(probe) or not tree.kind(probe).endswith("ElectrodeGroup"):
            continue
        facts = {n: _fact(probe, n) for n in ("probe_id", "location", "lfp_sampling_rate", "has_lfp_data")}
        device = tree.member(probe, "device")
        found.append({"name": name, **facts, "sampling_rate": _fact(device, "sampling_rate") if tree.is_group(device) else None})
    return found


def _fact(group: tree.Group, name: str) -> Any:
    """One value an object says of itself, as an attribute or a small array beside it."""
    value = group.attrs.get(name)
    if value is None:
        array = tree.member(group, name)
        if not tree.is_array(array) or array.size != 1 or tree.unread(array):
            return None
        value = tree.values(array)[0]
    value = np.asarray(value).reshape(-1)[0] if np.size(value) else None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return tree.text(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _about(file: tree.Group) -> dict[str, Any]:
    """What else the file says of the animal and the stimuli."""
    subject = tree.member(file, "general/subject")
    facts = {f"src_{n}": _fact(subject, n) for n in ("specimen_name", "age_in_days", "strain")} if tree.is_group(subject) else {}
    facts["src_stimulus_notes"] = _fact(file, "general/stimulus")
    facts["src_eye_tracking_rig"] = _rig(file) or None
    facts["src_stimulus_templates"] = _templates(file) or None
    return {n: v for n, v in facts.items() if v is not None}


def _rig(file: tree.Group) -> dict[str, Any]:
    """Where monitor, camera and light stood and how they were turned, without which no gaze can be reckoned anew."""
    rig = tree.member(file, _RIG)
    if not tree.is_group(rig):
        return {}
    found: dict[str, Any] = {}
    for name, array in tree.members(rig):
        if tree.is_array(array) and array.shape == (3,) and array.dtype.kind in "iuf":
            unit = tree.text(array.attrs.get("unit", ""))
            found[f"{name}_{unit}" if unit else name] = [float(v) for v in tree.values(array)]
    return found


def _templates(file: tree.Group) -> dict[str, list[int]]:
    """The images and movies that were shown: the shape of each, by its path in the file, where they stay."""
    group = tree.member(file, "stimulus/templates")
    found = {}
    for name, template in tree.members(group) if tree.is_group(group) else ():
        data = tree.member(template, "data") if tree.is_group(template) else None
        if tree.is_array(data) and data.shape:
            found[f"stimulus/templates/{name}"] = [int(n) for n in data.shape]
    return found


def _absent(file: tree.Group, held: set[str]) -> dict[str, str]:
    """Why each modality that is not among what a recording holds is not."""
    found = {}
    for name, (what, places) in _MODALITIES.items():
        if name in held or (name == "running_speed" and "speed" in held):
            continue
        there = [p for p in places if tree.is_group(tree.member(file, p))]
        more = "; where mice only watch there are none" if name in _OF_A_TASK and not there else ""
        found[name] = f"{what} cannot be read: {there[0]} is not as others are" if there else f"no {what} in the file: no {' and no '.join(places)}{more}"
    return found


def _elsewhere(probes: list[dict[str, Any]], templates: dict[str, list[int]]) -> dict[str, str]:
    """What stays in files, and how it is had."""
    found = {}
    with_lfp = [f"{p['name']} ({p['probe_id']})" for p in probes if p["has_lfp_data"]]
    if probes:
        found["lfp"] = f"in a file of its own for each probe: {', '.join(with_lfp)}; neuropile.allen.lfp_of joins them" if with_lfp else "no probe has LFP"
    if templates:
        found["stimulus_templates"] = f"left in the file: {', '.join(templates)}; neuropile.allen.stimulus_template reads them"
    return found
