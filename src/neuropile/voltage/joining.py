"""What a session knows of its voltage put beside it: where the channels lie, and which times are invalid."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

#: The columns a session tells of a channel; of SpikeGLX files the samples' own tell less.
_TOLD = ("probe", "depth_um", "lateral_um", "x_um", "y_um", "z_um", "region", "allen_id", "allen", "beryl", "cosmos", "swanson")
#: Those that a session's voltage has even where nothing is known of them, null.
_REGIONS = ("region", "allen_id", "allen", "beryl", "cosmos", "swanson")
#: A session's column that holds the number of a channel in the raw file (ALF's channels.rawInd).
_NUMBER = "src_rawInd"


def with_session(channels: pd.DataFrame, known: pd.DataFrame, path: str) -> pd.DataFrame:
    """A file's channels with what a session knows of each: by the same id, else by the number in the raw file of that probe.

    The columns of regions are there in any case, null where nothing is known; see `misfit` for why.

    Parameters
    ----------
    channels : of the voltage; known : the session's; path : of the file, one of whose folders names the probe in ALF
    """
    rows = _matched(channels, known, path)
    if isinstance(rows, pd.DataFrame):
        told = rows[[c for c in _TOLD if c in rows and rows[c].notna().any()]]
        channels = pd.concat([channels[["channel_id"]], told, channels.drop(columns=["channel_id", *told.columns], errors="ignore")], axis=1)
    return with_regions(channels)


def with_regions(channels: pd.DataFrame) -> pd.DataFrame:
    """Channels with all columns of regions, those they lack null; the source's own columns last."""
    lacking = [c for c in _REGIONS if c not in channels]
    nulls = {c: pd.Series(np.nan if c == "allen_id" else None, channels.index, float if c == "allen_id" else object) for c in lacking}
    own = [c for c in channels if str(c).startswith("src_")]
    return pd.concat([channels.drop(columns=own), pd.DataFrame(nulls, channels.index), channels[own]], axis=1)


def misfit(channels: pd.DataFrame, known: pd.DataFrame, path: str) -> str | None:
    """Why nothing of a session's channels was put to those of a file; None where something was. See with_session."""
    rows = _matched(channels, known, path)
    return rows if isinstance(rows, str) else None


def _matched(channels: pd.DataFrame, known: pd.DataFrame, path: str) -> pd.DataFrame | str:
    """The session's row of each channel, or why there are none."""
    if known["channel_id"].is_unique and channels["channel_id"].isin(known["channel_id"]).all():
        return known.set_index("channel_id").reindex(channels["channel_id"]).reset_index(drop=True)
    probe = probe_of(known, path)
    own = known[known["probe"] == probe] if "probe" in known else known
    numbers = channels["channel_id"].str.extract(r"(\d+)$")[0].astype(float)
    listed = own[_NUMBER] if _NUMBER in own else pd.Series(np.arange(len(own)), own.index)
    if own.empty:
        probes = ", ".join(str(p) for p in known["probe"].dropna().unique()[:20]) if "probe" in known else ""
        return f"{path} names none of the session's probes ({probes or 'none has a name'})"
    if not listed.is_unique:
        return f"several of the session's channels have one number in the raw file ({_NUMBER})"
    if _NUMBER not in own and len(own) != len(channels):
        return f"the session has {len(own)} channels{f' of {probe}' if probe is not None else ''}, the file {len(channels)}"
    return own.set_index(listed.astype(float)).reindex(numbers).reset_index(drop=True)


def probe_of(known: pd.DataFrame, path: str) -> Any:
    """Which of a session's probes a file is of: the one a folder, or else its name, names; the only one there is."""
    probes = known["probe"].dropna().unique().tolist() if "probe" in known else []
    parts = path.split("/")
    named = [p for p in probes if str(p) in parts] or [p for p in probes if re.search(rf"(?<![^\W_]){re.escape(str(p))}(?![^\W_])", parts[-1])]
    return named[0] if len(named) == 1 else probes[0] if len(probes) == 1 else None
