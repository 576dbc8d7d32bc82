"""What an IBL session's passive part tells: its periods, and the stimuli that were shown and played, as intervals and frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf import folder
from neuropile.readers.alf.files import Attributes
from neuropile.types import Signal

#: What was played back, and the columns that say when each began and ended.
_PLAYED = {"valve": ("valveOn", "valveOff"), "tone": ("toneOn", "toneOff"), "noise": ("noiseOn", "noiseOff")}
#: The receptive fields' stimulus: frames of so many rows and columns of bytes, one after the other.
RFM_FILE = ("raw_passive_data", "_iblrig_RFMapStim.raw.bin")
_RFM_SIDE = 15
_MAX_RFM_BYTES = 1 << 28


def intervals(objects: Mapping[str, Attributes], notes: list[str], absent: dict[str, str]) -> dict[str, pa.Table]:
    """Periods, gabors, valve, tones and noises, and the frames of the receptive-field stimulus, those that are there."""
    made = {
        "passive_periods": _periods(objects.get("passivePeriods", {}), notes),
        "passive_gabor": _gabor(objects.get("passiveGabor", {}), notes),
        "passive_stims": _stims(objects.get("passiveStims", {}), notes),
        "passive_rfm": _frames(objects.get("passiveRFM", {}), notes),
    }
    sources = {"passive_periods": "passivePeriods", "passive_gabor": "passiveGabor", "passive_stims": "passiveStims"}
    for name, obj in sources.items():
        if made[name] is None and objects.get(obj):
            absent[name] = f"{obj} has not the columns it should have, or is damaged"
    return {name: table for name, table in made.items() if table is not None}


def _periods(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    """A column a period, a row `start` and a row `stop`: turned into a row a period."""
    columns = alf_columns.read(attributes, notes).get("intervalsTable", {})
    index = next((c.to_pylist() for c in columns.values() if c.to_pylist() == ["start", "stop"]), None)
    periods = {n: v for n, c in columns.items() if (v := alf_columns.number({n: c}, n)) is not None and len(v) == 2}
    if index is None or not periods:
        return None
    start, stop = (alf_columns.nullable(np.array([v[i] for v in periods.values()])) for i in (0, 1))
    return pa.table({"start_s": start, "stop_s": stop, "src_period": pa.array(list(periods), pa.string())})


def _gabor(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    columns = alf_columns.read(attributes, notes).get("table", {})
    start, stop = alf_columns.number(columns, "start"), alf_columns.number(columns, "stop")
    if start is None or stop is None:
        return None
    kept = {f"src_{n}": c for n, c in columns.items() if n and n not in ("start", "stop")}
    return pa.table({"start_s": alf_columns.nullable(start), "stop_s": alf_columns.nullable(stop), **kept})


def _stims(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    """A row a sound or a click in the order of time; the rows that fill up the shorter columns of the source are none."""
    columns = alf_columns.read(attributes, notes).get("table", {})
    start, stop, kind = [np.empty(0)], [np.empty(0)], []
    for name, (on, off) in _PLAYED.items():
        begins, ends = alf_columns.number(columns, on), alf_columns.number(columns, off)
        if begins is not None and ends is not None:
            there = np.isfinite(begins)
            start.append(begins[there])
            stop.append(ends[there])
            kind += [name] * int(there.sum())
    if not any(n in columns for n, _ in _PLAYED.values()):
        return None
    begins = np.concatenate(start)
    order = np.argsort(begins, kind="stable")
    stims = pa.array(kind, pa.string()).take(pa.array(order))
    return pa.table({"start_s": begins[order], "stop_s": alf_columns.nullable(np.concatenate(stop)[order]), "src_stim_type": stims})


def _frames(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    times = alf_columns.real_vector(attributes, "times", notes)
    return None if times is None else pa.table({"start_s": alf_columns.nullable(times)})


def rfm(path: Any, objects: Mapping[str, Attributes], notes: list[str]) -> dict[str, Signal]:
    """The frames of the receptive-field stimulus, (time, x, y) uint8, where the session has them and each has a time.

    The owners leave it out of their own NWB files, as its times are not good in every session.
    """
    times = alf_columns.real_vector(objects.get("passiveRFM", {}), "times", notes)
    file = rfm_file(path)
    if times is None or not len(times) or file is None:
        return {}
    size = int(file.stat().st_size)
    n_frames, over = divmod(size, _RFM_SIDE**2)
    if over or n_frames != len(times) or size > _MAX_RFM_BYTES:
        notes.append(f"left out: {RFM_FILE[1]} has {size} bytes, which are not {len(times)} frames of {_RFM_SIDE} by {_RFM_SIDE}")
        return {}
    frames = np.frombuffer(file.read_bytes(), np.uint8).reshape(-1, _RFM_SIDE, _RFM_SIDE)
    told = "frames of the sparse noise that maps receptive fields; IBL leaves it out of its NWB files for the quality of its times"
    return {"passive_rfm": Signal(frames, ("time", "x", "y"), time_s=times, description=told)}


def rfm_file(path: Any) -> Any | None:
    """The file of the receptive-field stimulus in a session's folder, links out of it not followed; None without it."""
    file = path.joinpath(*RFM_FILE)
    return file if file.is_file() and folder.stays(file, path) else None
