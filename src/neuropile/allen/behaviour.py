"""What the animal did and what was done to it, as tables: running, pupil and gaze, pulses of light, invalid times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NotThere

if TYPE_CHECKING:
    import pandas as pd

    from neuropile.session import Session

_PARTS = ("corneal_reflection", "pupil", "eye")
_INVALID = ["start_s", "stop_s", "tags"]


def running_speed(session: Session) -> pd.DataFrame:
    """A row a measurement: `start_s`, `stop_s`, `speed_cm_s`, and `rotation_rad` or `dx_cm` where there is one (AllenSDK: `running_speed`).

    stop_s is the source's own where it has one (Visual Coding), else null: then the speed is that at start_s.
    """
    import pandas as pd

    name = next((n for n in ("running_speed", "speed", "running") if n in session.signals), "running_speed")
    speed = session.signals[name]
    found = pd.DataFrame({"start_s": speed["time"].to_numpy(), "stop_s": np.nan, "speed_cm_s": speed.to_numpy()})
    for column, signal in (("stop_s", "running_speed_end_times"), ("rotation_rad", "running_wheel_rotation"), ("dx_cm", "dx")):
        if signal in session.signals and session.signals[signal].sizes["time"] == len(found):
            found[column] = session.signals[signal].to_numpy()
    return found


def pupil(session: Session) -> pd.DataFrame:
    """A row a frame of the camera, by its time: centre, full `width` and `height` in pixels and angle of each ellipse (AllenSDK: `get_pupil_data`).

    Columns are `pupil_center_x`, `pupil_center_y`, `pupil_width`, `pupil_height`, `pupil_phi`, the same of `eye` and
    `corneal_reflection`, areas where the source has them (NaN in likely blinks) and `likely_blink`. Files hold half
    axes; these are whole ones.
    """
    import pandas as pd

    if "pupil_ellipse" not in session.signals:
        raise NotThere(f"{session.key}: {session.absent.get('pupil_diameter', 'no eye tracking')}")
    columns: dict[str, np.ndarray] = {}
    for part in _PARTS:
        if f"{part}_ellipse" in session.signals:
            ellipse, axes = session.signals[f"{part}_ellipse"].to_numpy(), session.signals[f"{part}_axes"].to_numpy()
            columns |= {f"{part}_center_x": ellipse[:, 0], f"{part}_center_y": ellipse[:, 1]}
            columns |= {f"{part}_width": axes[:, 0], f"{part}_height": axes[:, 1], f"{part}_phi": ellipse[:, 4]}
    n = len(next(iter(columns.values())))
    for name in (*(f"{part}_{area}" for part in _PARTS for area in ("area", "area_raw")), "likely_blink"):
        if name in session.signals and session.signals[name].dims == ("time",) and session.signals[name].sizes["time"] == n:
            columns[name] = session.signals[name].to_numpy()
    return pd.DataFrame(columns, index=pd.Index(session.signals["pupil_ellipse"]["time"].to_numpy(), name="time_s"))


def gaze(session: Session, *, filtered: bool = False) -> pd.DataFrame:
    """A row a frame, by its time: where on the screen the eye looks, and the areas of eye and pupil (AllenSDK: `get_screen_gaze_data`).

    filtered : the version in which values that cannot be right are NaN

    Columns: `x_cm`, `y_cm`, `x_deg`, `y_deg` (files hold y before x), `eye_area_px2`, `pupil_area_px2`.
    """
    import pandas as pd

    prefix = f"{'filtered' if filtered else 'raw'}_gaze_mapping"
    if f"{prefix}_screen_coordinates" not in session.signals:
        raise NotThere(f"{session.key}: {session.absent.get('raw_gaze_mapping_screen_coordinates', 'no gaze mapping')}")
    screen, angle = (session.signals[f"{prefix}_{n}"] for n in ("screen_coordinates", "screen_coordinates_spherical"))
    cm, deg = screen.to_numpy(), angle.to_numpy()
    columns = {"x_cm": cm[:, 1], "y_cm": cm[:, 0], "x_deg": deg[:, 1], "y_deg": deg[:, 0]}
    columns |= {f"{n}_px2": session.signals[f"{prefix}_{n}"].to_numpy() for n in ("eye_area", "pupil_area") if f"{prefix}_{n}" in session.signals}
    return pd.DataFrame(columns, index=pd.Index(screen["time"].to_numpy(), name="time_s"))


def optotagging_epochs(session: Session) -> pd.DataFrame:
    """A row a pulse of light: `start_s`, `stop_s`, `duration_s`, `condition`, `stimulus`, `level_v` (AllenSDK: `optogenetic_stimulation_epochs`).

    level_v is the command to the light source, in volts, and no power of light.
    """
    table = session.intervals["optogenetic_stimulation"]
    names = {"src_condition": "condition", "src_stimulus_name": "stimulus", "src_level": "level_v", "src_duration": "duration_s"}
    kept = table[["start_s", "stop_s", *(n for n in names if n in table)]].rename(columns=names)
    return kept if "duration_s" in kept else kept.assign(duration_s=kept["stop_s"] - kept["start_s"])


def invalid_times(session: Session, tags: str | Sequence[str] | None = None) -> pd.DataFrame:
    """A row a stretch in which something failed: `start_s`, `stop_s`, `tags` (AllenSDK: `get_invalid_times`); none is an empty table.

    tags : only rows with one of these, such as "stimulus", "all_probes", "probeB"
    """
    import pandas as pd

    if "invalid" not in session.intervals:
        return pd.DataFrame({n: pd.Series(dtype=np.float64 if n != "tags" else object) for n in _INVALID})
    table = session.intervals["invalid"].rename(columns={"src_tags": "tags"})
    if "tags" not in table:
        table = table.assign(tags=[[]] * len(table))
    if tags is None:
        return table
    asked = {tags} if isinstance(tags, str) else set(tags)
    return table[[bool(asked & _named(own)) for own in table["tags"]]]


def _named(tags: Any) -> set[str]:
    """The tags of a row, which may be a list, one text, or nothing."""
    return {tags} if isinstance(tags, str) else set() if tags is None or isinstance(tags, float) else set(tags)
