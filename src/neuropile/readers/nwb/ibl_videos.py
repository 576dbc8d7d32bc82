"""The videos of IBL's NWB files, which lie beside them as mp4: where, and when their frames were taken."""

from __future__ import annotations

import posixpath
import re

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers.alf.files import SIDES
from neuropile.readers.nwb import tree
from neuropile.types import Linked, Signal

_SIDE = re.compile(rf"\w*?(?P<side>{'|'.join(SIDES)})\w*", re.IGNORECASE)


def find(file: tree.Group, notes: list[str]) -> tuple[dict[str, Linked], dict[str, Signal]]:
    """The videos that series of images in `acquisition` point to, by camera, and the times of their frames as `left_camera`.

    What lies outside the file's own folder is noted and not linked.
    """
    linked: dict[str, Linked] = {}
    frames: dict[str, Signal] = {}
    acquisition = tree.member(file, "acquisition")
    for name, series in tree.members(acquisition) if tree.is_group(acquisition) else ():
        external = tree.member(series, "external_file") if tree.is_group(series) and tree.kind(series) == "ImageSeries" else None
        told = _SIDE.fullmatch(name)
        if told is None or not tree.is_array(external) or not external.shape or external.size < 1 or not tree.is_text(external):
            continue
        camera = f"{told['side'].lower()}_camera"
        path = posixpath.normpath(tree.text(tree.values(external)[0]).replace("\\", "/"))
        times = tree.member(series, "timestamps")
        if tree.is_array(times) and times.ndim == 1 and times.shape[0] and times.dtype.kind in "iuf":
            tree.check_size(times)
            told_of = f"when each frame of the {told['side'].lower()} camera was taken"
            frames[camera] = Signal(np.arange(times.shape[0], dtype=np.int32), ("time",), time_s=tree.Later(times), description=told_of)
        try:
            linked[f"{camera}_video"] = Linked(path, "video", clock=camera if camera in frames else None)
        except UnreadableFile as e:
            notes.append(f"video of the {told['side'].lower()} camera not linked: {e}")
    return linked, frames
