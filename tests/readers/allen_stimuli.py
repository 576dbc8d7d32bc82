"""What is shown in made sessions of the Allen Institute's datasets: every stimulus, with its columns, holes and odd spellings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hdmf.common import VectorData, VectorIndex
from pynwb import NWBFile
from pynwb.epoch import TimeIntervals


def movie(name: str, first_frame: int, n_frames: int, passes: int, start: float, block: float) -> pd.DataFrame:
    """Rows of a movie, one a frame of 1/30 s."""
    frame = np.concatenate([np.arange(first_frame, n_frames), *[np.arange(n_frames)] * passes]).astype(float)
    at = start + np.arange(len(frame)) / 30
    return pd.DataFrame({"start_time": at, "stop_time": at + 1 / 30, "stimulus_name": name, "stimulus_block": block, "frame": frame})


def _rows(name: str, start: float, every: float, lasts: float, block: float, **columns: Any) -> pd.DataFrame:
    n = max(len(v) for v in columns.values() if isinstance(v, list | np.ndarray))
    at = start + every * np.arange(n)
    return pd.DataFrame({"start_time": at, "stop_time": at + lasts, "stimulus_name": name, "stimulus_block": block, **columns})


def watched(stimuli: str, rng: np.random.Generator) -> pd.DataFrame:
    """The stimuli of mice that watch, in one table with holes: numbers as texts here and there, as they come."""
    spontaneous = [_rows("spontaneous", at, 1, lasts, np.nan, stimulus_index=[np.nan]) for at, lasts in ((0.5, 1.5), (70.0, 5.0))]
    if stimuli == "functional_connectivity":
        parts = [
            _rows("drifting_gratings_75_repeats", 2.0, 3, 2, 0.0, orientation=rng.permutation(np.repeat([0.0, 45, 90, 135], 3)), temporal_frequency=2.0),
            _rows("drifting_gratings_contrast", 40.0, 1, 0.5, 1.0, orientation=[0.0, 45, 90, 135] * 2, contrast=[0.01, 0.08, 0.35, 1.0] * 2),
            movie("natural_movie_one_more_repeats", 0, 20, 4, 50.0, 2.0),
            _shuffled(rng),
            _rows("dot_motion", 60.0, 1, 1, 4.0, Dir=[0.0, 45, 90, 135], Speed=[0.001, 0.005, 0.01, 0.02], nDots=200.0),
            _rows("gabors", 80.0, 0.25, 0.25, 5.0, **_gabors(rng)),
            _rows("flashes", 90.0, 2, 0.25, 6.0, color=["-1.0", "1.0", "-1.0", "1.0"], size="[300.0, 300.0]", units="deg"),
        ]
    else:
        orientation = rng.permutation(["0.0", "45.0", "90.0", "null"] * 3)
        blank = orientation == "null"
        words = {"size": "[250.0, 250.0]", "units": "deg", "color": "[1.0, 1.0, 1.0]", "phase": "[5308.98333333, 5308.98333333]"}
        parts = [
            _rows("gabors", 4.0, 0.25, 0.25, 0.0, **_gabors(rng)),
            _rows("flashes", 12.0, 2, 0.25, 1.0, color=["-1.0", "1.0", "-1.0", "1.0"], size="[300.0, 300.0]", units="deg", contrast=0.8),
            _rows("drifting_gratings", 22.0, 3, 2, 2.0, orientation=orientation, temporal_frequency=np.where(blank, np.nan, 4.0), contrast=0.8, **words),
            movie("natural_movie_three", 0, 40, 2, 60.0, 3.0),
            movie("natural_movie_one", 5, 30, 3, 80.0, 4.0),
            movie("natural_movie_one", 0, 30, 2, 120.0, 8.0),
            _rows("natural_scenes", 90.0, 0.25, 0.25, 5.0, frame=rng.permutation(np.tile(np.arange(-1.0, 8), 4))),
            _rows("static_gratings", 100.0, 0.25, 0.25, 6.0, **_static(rng)),
        ]
    shown = pd.concat([*spontaneous, *parts], ignore_index=True)
    return shown.assign(stimulus_index=shown["stimulus_block"])


def _gabors(rng: np.random.Generator) -> dict[str, Any]:
    x, y = np.meshgrid([-10.0, 0, 10], [-10.0, 0, 10])
    order = rng.permutation(18)
    places = {"x_position": np.tile(x.ravel(), 2)[order], "y_position": np.tile(y.ravel(), 2)[order]}
    return {**places, "orientation": np.repeat([0.0, 45], 9)[order], "contrast": 0.8, "size": "[20.0, 20.0]", "units": "deg", "mask": "circle"}


def _static(rng: np.random.Generator) -> dict[str, Any]:
    orientation = rng.permutation([0.0, 30, 60, np.nan] * 4)
    shows = np.isfinite(orientation)
    return {
        "orientation": orientation,
        "spatial_frequency": np.where(shows, rng.choice([0.02, 0.04], 16), np.nan),
        "phase": np.where(shows, rng.choice([0.0, 0.25], 16), np.nan),
    }


def _shuffled(rng: np.random.Generator) -> pd.DataFrame:
    rows = movie("natural_movie_one_shuffled", 0, 20, 3, 55.0, 3.0)
    order = rng.permutation(20)
    return rows.assign(frame=np.tile(order, 4).astype(float))


def behaved(rng: np.random.Generator) -> pd.DataFrame:
    """Images that change and are left out now and then, a replay of them, flashes and gabors; truths are stored as 1.0 and 0.0."""
    names = np.array(["im104_r"] * 14 + ["im024_r"] * 14)
    omitted = np.zeros(28)
    omitted[[5, 20]] = 1.0
    changed = np.r_[False, names[1:] != names[:-1]].astype(float)
    names[omitted == 1] = "omitted"
    own = "Natural_Images_Lum_Matched_set_ophys_G_2019"
    parts = []
    for block, start, active in ((0, 5.0, 1.0), (5, 90.0, 0.0)):
        stop = start + 0.75 * np.arange(28) + np.where(omitted == 1, np.nan, 0.25)
        rows = _rows(own, start, 0.75, 0.25, block, image_name=names, omitted=omitted, is_change=changed, active=active, image_set=own)
        parts.append(
            rows.assign(stop_time=stop, is_sham_change=0.0, rewarded=changed * active, flashes_since_change=np.arange(28) % 14, trials_id=np.arange(28) // 7)
        )
    parts += [
        _rows("spontaneous", 30.0, 1, 10.0, 1, duration=[10.0], active=0.0),
        _rows("gabor_20_deg_250ms", 45.0, 0.25, 0.25, 2, orientation=[0, 45, 90] * 3, position_x=[0, 10, -10] * 3, position_y=10, active=0.0),
        _rows("flash_250ms", 55.0, 2, 0.25, 4, color=[-1.0, 1.0, -1.0], active=0.0),
    ]
    return pd.concat(parts, ignore_index=True)


def long_session(n_rows: int) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
    """Columns of a session with as many presentations as real ones have, most of them frames of a movie."""
    frames = np.arange(n_rows - 1000) % 3600
    return {
        "natural_movie_three_presentations": (len(frames), {"frame": frames.astype(float), "stimulus_block": (np.arange(len(frames)) // 18_000).astype(float)}),
        "natural_scenes_presentations": (1000, {"frame": np.arange(1000.0) * 7 % 119 - 1, "stimulus_block": np.full(1000, 99.0)}),
    }


def add_long_session(nwb: NWBFile, n_rows: int) -> None:
    """Add such tables, a column at a time: row by row would take minutes."""
    at = 0.0
    for name, (n, columns) in long_session(n_rows).items():
        start = at + np.arange(n) / 30
        at = float(start[-1]) + 1
        tags = VectorData(name="tags", description="tags", data=["stimulus_time_interval"] * n)
        made = [VectorData(name=c, description=c, data=v) for c, v in {"start_time": start, "stop_time": start + 1 / 30, **columns}.items()]
        made += [VectorData(name="stimulus_name", description="name", data=[name.removesuffix("_presentations")] * n)]
        made += [tags, VectorIndex(name="tags_index", data=np.arange(1, n + 1), target=tags)]
        nwb.add_time_intervals(TimeIntervals(name=name, description="shown", columns=made))
