"""What an IBL session may have, and why one lacks it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from neuropile.readers.alf.files import SIDES

#: The intervals, signals and linked files of a whole session, and the files (or, without a dot, the tables) they come from.
MODALITIES: dict[str, str] = {
    "trials": "trials",
    "wheel": "wheel.position",
    "wheel_moves": "wheelMoves.intervals",
    "licks": "licks.times",
    "passive_periods": "passivePeriods.intervalsTable",
    "passive_gabor": "passiveGabor.table",
    "passive_stims": "passiveStims.table",
    "passive_rfm": "passiveRFM.times",
    **{f"{side}_camera": f"{side}Camera.times" for side in SIDES},
    **{f"{side}_camera_pose": f"{side}Camera.lightningPose or {side}Camera.dlc" for side in SIDES},
    **{f"{side}_camera_motion_energy": f"{side}Camera.ROIMotionEnergy" for side in SIDES},
    **{f"{side}_camera_pupil_diameter": f"{side}Camera.features" for side in ("left", "right")},
    **{f"{side}_camera_pupil_diameter_smooth": f"{side}Camera.features" for side in ("left", "right")},
    **{f"{side}_camera_video": f"_iblrig_{side}Camera.raw.mp4" for side in SIDES},
    "waveform_mean": "clusters.waveforms",
    "waveform_templates": "waveforms.templates",
    "channels": "channels",
    "voltage": "raw_ephys_data/probe*/*.ap.cbin",
}


def reasons(
    present: Collection[str], told: Mapping[str, str], *, damaged: Collection[str] = (), where: str = "the folder", files: Mapping[str, str] = MODALITIES
) -> dict[str, str]:
    """Why each modality that is not there is not: what was told of it, else that its file is missing.

    present : the names of intervals, signals and linked files that are there
    told : reasons met while reading, by the same names
    damaged : files, as `files` names them, that are there: where one gave nothing, it could not be read
    """
    found = {}
    for name, file in files.items():
        there = next((f for f in file.split(" or ") if f in damaged), None)
        found[name] = told.get(name, f"no {file} in {where}" if there is None else f"{there} cannot be read: the notes say why")
    return {name: why for name, why in found.items() if name not in present}
