"""Recordings that know only time within trials: trials laid end to end on one clock, with unobserved time between."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.types import Spans

#: At least this much unobserved time lies between two trials, so that no segment joins them.
PAUSE_S = 1.0


def lay_out(start_s: np.ndarray, stop_s: np.ndarray) -> np.ndarray:
    """What to add to each trial's own times: trials end to end, each beginning at a whole second, PAUSE_S or more between.

    start_s, stop_s : (trial,) seconds on each trial's own clock
    """
    length = np.asarray(stop_s, np.float64) - np.asarray(start_s, np.float64)
    if not np.all(np.isfinite(length) & (length > 0)):
        i = int(np.flatnonzero(~(np.isfinite(length) & (length > 0)))[0])
        raise UnreadableFile(f"trial {i} runs from {start_s[i]} s to {stop_s[i]} s: it must end after its start")
    taken = np.ceil(length + PAUSE_S)
    return np.concatenate([[0.0], np.cumsum(taken)[:-1]]) - start_s


def table(start_s: np.ndarray, stop_s: np.ndarray, offset_s: np.ndarray, columns: Mapping[str, pa.Array] = {}) -> pa.Table:
    """The `trials` of such a recording: a row each, on the common clock, with the offset that was added to its own times."""
    return pa.table({"start_s": start_s + offset_s, "stop_s": stop_s + offset_s, "offset_s": offset_s, **columns})


def observed(start_s: np.ndarray, stop_s: np.ndarray, offset_s: np.ndarray) -> Spans:
    """The time that was observed: the trials."""
    return Spans.of(start_s + offset_s, stop_s + offset_s)
