"""What stays in files of its own: each probe's LFP, joined to a session by channel, its current source density, and the images that were shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import remote
from neuropile.allen.behaviour import invalid_times
from neuropile.errors import NotThere, StoreError

if TYPE_CHECKING:
    import xarray as xr

    from neuropile.session import Session
    from neuropile.voltage import Voltage

_ALL = "all_probes"
_TEMPLATES = "stimulus/templates"


def lfp_of(session: Session, paths: Any) -> dict[str, Voltage]:
    """The LFP of a session's probes, by probe: files opened, not read, each on its own clock (AllenSDK: `get_lfp`).

    Parameters
    ----------
    paths : the LFP file of a probe, or those of several, paths or URLs; each is known by the ids of its channels, not by its name

    Returns
    -------
    lfp : `lfp["probeA"].read(start_s, stop_s, channels)` gives (time, channel) in volts with the session's regions and
        depths, and `valid` (time), false in invalid times tagged with the probe or all probes: `x.where(x.valid)`

    Raises
    ------
    NotThere : a file's channels are not the session's
    UnreadableFile : a file holds no voltage
    """
    from neuropile.voltage import joining, open_voltage

    known = session.channels
    probe_of = dict(zip(known["channel_id"], known["probe"], strict=True))
    found: dict[str, Voltage] = {}
    for path in paths if isinstance(paths, Sequence) and not isinstance(paths, str) else [paths]:
        opened = open_voltage(path)
        probes = {probe_of.get(c) for c in opened.channels["channel_id"]}
        if len(probes) != 1 or None in probes:
            for each in (opened, *found.values()):
                each.close()
            ids = opened.channels["channel_id"].tolist()
            raise NotThere(f"{path}: its channels ({', '.join(map(str, ids[:3]))}, ...) are not those of one probe of {session.key}; is it another session's?")
        (probe,) = probes
        opened.invalid = invalid_times(session, [_ALL, str(probe)])[["start_s", "stop_s"]].to_numpy(np.float64)
        opened.channels = joining.with_session(opened.channels, known, str(path))
        found[str(probe)] = opened
    return found


def csd_of(path: Any) -> xr.DataArray:
    """The current source density that an LFP file holds: the mean response to flashes, (time, channel) (AllenSDK: `get_current_source_density`).

    Coordinates: time in seconds from the flash, depth_um and lateral_um of each virtual channel. The owner did not smooth
    it along the probe.
    """
    from neuropile.voltage import csd

    _check_path(path, "csd_of", "a probe's LFP file")
    return csd.stored(path)


def stimulus_template(path: Any, name: str, image: int | str | None = None) -> np.ndarray:
    """What was shown, out of the file in which it stays (AllenSDK: `stimulus_templates`, `get_natural_scene_template`).

    Parameters
    ----------
    path : the session's NWB file; name : a template, as `ses.record["source"]["src_stimulus_templates"]` names them
    image : one image or frame, by its number or the name that presentations call it; None is all: (image, height, width)

    Raises
    ------
    NotThere : there is no such template or image; it tells what there is
    StoreError : a session is given in the file's place
    UnreadableFile : the file is damaged, or the template's size is not believed
    """
    from neuropile.readers.nwb import tree

    _check_path(path, "stimulus_template", "the session's NWB file")

    place, short = remote.as_path(path), name.rsplit("/", 1)[-1]
    with tree.opened(place) as file:
        group = tree.member(file, _TEMPLATES)
        held = dict(tree.members(group)) if tree.is_group(group) else {}
        data: Any = tree.member(held[short], "data") if tree.is_group(held.get(short)) else None
        there = tree.is_array(data) and bool(data.shape)
        n_images, known, values = 0, list[str](), np.empty(0)
        if there:
            tree.check_size(data)
            names = tree.member(held[short], "control_description")
            n_images = int(data.shape[0])
            known = [tree.text(v) for v in tree.values(names)] if tree.is_array(names) else []
            at = _place(image, known, n_images)
            values = np.asarray(data[at] if at is not None else data[: n_images if image is None else 0])
        file.close()
    if not there:
        raise NotThere(f"{place}: no stimulus template {name!r}; there are {', '.join(held) or 'none'}")
    if image is not None and _place(image, known, n_images) is None:
        said = ", ".join(known) if isinstance(image, str) and known else f"numbers from 0 to {n_images - 1}"
        raise NotThere(f"{place}: {short} has no image {image!r}; there are {said}")
    return values


def _check_path(path: Any, function: str, file: str) -> None:
    """That a path is given, and no session: what is asked for stays in a file and is not stored."""
    from neuropile.session import Session

    if isinstance(path, Session):
        raise StoreError(f"allen.{function} takes the path or URL of {file}, not a session ({path.key}): what it gives stays in that file and is not stored")


def _place(image: int | str | None, names: list[str], n_images: int) -> int | None:
    """The number of an image by its name or number; None of what is not there."""
    if isinstance(image, str):
        return names.index(image) if image in names else None
    return image if image is not None and 0 <= image < n_images else None
