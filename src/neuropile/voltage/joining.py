"""What a session knows of its voltage put beside it: where the channels lie, and which times are invalid."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

#: The columns a session tells of a channel; of SpikeGLX files the samples' own tell less.
_TOLD = ("probe", "depth_um", "lateral_um", "x_um", "y_um", "z_um", "region", "allen_id", "allen", "beryl", "cosmos", "swanson")
#: A session's column that holds the number of a channel in the raw file (ALF's channels.rawInd).
_NUMBER = "src_rawInd"


def with_session(channels: pd.DataFrame, known: pd.DataFrame, path: str) -> pd.DataFrame:
    """A file's channels with what a session knows of each: by the same id, else by the number in the raw file of that probe.

    Parameters
    ----------
    channels : of the voltage; known : the session's; path : of the file, one of whose folders names the probe in ALF
    """
    if known["channel_id"].is_unique and channels["channel_id"].isin(known["channel_id"]).all():
        rows = known.set_index("channel_id").reindex(channels["channel_id"]).reset_index(drop=True)
    else:
        own = known[known["probe"] == probe_of(known, path)] if "probe" in known else known
        numbers = channels["channel_id"].str.extract(r"(\d+)$")[0].astype(float)
        listed = own[_NUMBER] if _NUMBER in own else pd.Series(np.arange(len(own)), own.index)
        if own.empty or not listed.is_unique or not (_NUMBER in own or len(own) == len(channels)):
            return channels
        rows = own.set_index(listed.astype(float)).reindex(numbers).reset_index(drop=True)
    told = rows[[c for c in _TOLD if c in rows and rows[c].notna().any()]]
    return pd.concat([channels[["channel_id"]], told, channels.drop(columns=["channel_id", *told.columns], errors="ignore")], axis=1)


def probe_of(known: pd.DataFrame, path: str) -> Any:
    """Which of a session's probes a file is of: the one a folder, or else its name, names; the only one there is."""
    probes = known["probe"].dropna().unique().tolist() if "probe" in known else []
    parts = path.split("/")
    named = [p for p in probes if str(p) in parts] or [p for p in probes if re.search(rf"(?<![^\W_]){re.escape(str(p))}(?![^\W_])", parts[-1])]
    return named[0] if len(named) == 1 else probes[0] if len(probes) == 1 else None
