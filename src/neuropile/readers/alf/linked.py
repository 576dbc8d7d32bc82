"""The large files of an IBL session that are not copied: its videos and its raw voltage, and the clocks of their samples."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers import npy
from neuropile.readers.alf import folder
from neuropile.readers.alf.files import SIDES
from neuropile.types import Linked, Signal

_VIDEO = re.compile(rf"(?:_\w+?_)?(?P<side>{'|'.join(SIDES)})Camera\.raw(?:\.[\w-]+)*\.(mp4|avi|mov|mkv)", re.IGNORECASE)
#: SpikeGLX's names as IBL keeps them; .cbin is .bin compressed, with its .ch beside it.
_VOLTAGE = re.compile(r"(?P<stem>.+)\.(?P<band>ap|lf|nidq)(?:\.[\w-]+)*\.(?P<form>cbin|bin)", re.IGNORECASE)
_CLOCK = re.compile(r"(?P<stem>.+)\.timestamps(?:\.[\w-]+)*\.npy", re.IGNORECASE)
_KINDS: dict[str, Any] = {"ap": "voltage", "lf": "lfp", "nidq": "voltage"}
_FOLDERS = ("raw_video_data", "raw_ephys_data")
_LF_CLOCK = "its clock counts samples of the ap band, 12 for each of lf"
_OWN_CLOCK = "its samples are on the clock of the rig: no timestamps.npy lies beside it"


def find(path: Any, clocks: set[str], notes: list[str]) -> tuple[dict[str, Linked], dict[str, Signal]]:
    """The videos and voltage files of a session's folder, by name, and signals that hold the times of voltage samples.

    `left_camera_video` and the like; `probe00_ap`, `probe00_lf`, `nidq`. Nothing of these files is read; of a probe's clock,
    the points of (sample, time) that lie beside it.

    clocks : the signals there are that hold frame times
    """
    linked: dict[str, Linked] = {}
    found: dict[str, Signal] = {}
    voltage: dict[str, list[tuple[Any, tuple[str, ...], re.Match[str]]]] = {}
    synced: dict[tuple[tuple[str, ...], str], Any] = {}
    for inside, file in folder.walk(path, lambda below: below[0] in _FOLDERS and len(below) <= 3):
        if not inside or inside[0] not in _FOLDERS:
            continue
        if (m := _VIDEO.fullmatch(file.name)) and inside[0] == "raw_video_data":
            camera = f"{m['side'].lower()}_camera"
            linked.setdefault(f"{camera}_video", Linked("/".join((*inside, file.name)), "video", clock=camera if camera in clocks else None))
        elif m := _VOLTAGE.fullmatch(file.name):
            voltage.setdefault("_".join((*inside[1:2], m["band"].lower())), []).append((file, inside, m))
        elif m := _CLOCK.fullmatch(file.name):
            synced[(inside, m["stem"])] = file
    for name, files in sorted(voltage.items()):
        file, inside, m = max(files, key=lambda f: (f[2]["form"].lower() == "cbin", f[0].name))
        clock = _points(synced.get((inside, m["stem"])), notes) if m["band"].lower() != "nidq" else None
        signal = f"{inside[1]}_clock" if clock is not None and len(inside) > 1 else None
        if signal is not None and clock is not None:
            found[signal] = clock
        band = m["band"].lower()
        note = _OWN_CLOCK if signal is None else _LF_CLOCK if band == "lf" else ""
        linked[name] = Linked("/".join((*inside, file.name)), _KINDS[band], clock=signal, note=note)
    return linked, found


def clock_files(path: Any) -> list[Any]:
    """The files that say when samples of voltage were taken, in a fixed order: those of the large files' surroundings that are read."""
    walked = folder.walk(path, lambda below: below[0] in _FOLDERS and len(below) <= 3)
    every = [(inside, file) for inside, file in walked if inside and inside[0] in _FOLDERS]
    stems = {(inside, m["stem"]) for inside, file in every if (m := _VOLTAGE.fullmatch(file.name))}
    return [file for inside, file in every if (m := _CLOCK.fullmatch(file.name)) and (inside, m["stem"]) in stems]


def _points(file: Any, notes: list[str]) -> Signal | None:
    """A probe's clock: at which time on the session's clock some of its samples were taken; between them the line."""
    if file is None:
        return None
    try:
        points = np.asarray(npy.load(file), np.float64)
    except UnreadableFile as e:
        notes.append(f"left out: {str(e).replace(str(file), file.name)}")
        return None
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        notes.append(f"left out: {file.name} holds no points of (sample, time)")
        return None
    told = "samples of the probe's voltage and when they were taken: points to interpolate between"
    return Signal(points[:, 0], ("time",), unit="sample", time_s=points[:, 1], description=told)
