"""Moments and stretches beside the spikes, on the same clock: stimuli, rewards, trials, each a table of intervals."""

from __future__ import annotations

import pyarrow as pa

from neuropile.readers.arrays.asked import Asked
from neuropile.readers.arrays.mapping import EVENTS


def tables(asked: Asked, per_s: float) -> dict[str, pa.Table]:
    """A table for each `events.NAME`: its times as `start_s`, of pairs the second as `stop_s`.

    per_s : how many of the file's units of time make a second
    """
    found: dict[str, pa.Table] = {}
    for key in asked.mapping:
        name = EVENTS.fullmatch(key)
        if name is None:
            continue
        leaves = asked.leaves(key)
        values = leaves[0].values
        if len(leaves) > 1 or values.dtype.kind not in "iuf":
            raise asked.error(key, f"is {len(leaves)} arrays of {values.dtype}: one array of numbers is sought")
        if values.ndim == 2 and 2 in values.shape and 1 not in values.shape:
            pairs = values if values.shape[1] == 2 else values.T
            found[name[1]] = pa.table({"start_s": pairs[:, 0] / per_s, "stop_s": pairs[:, 1] / per_s})
        else:
            found[name[1]] = pa.table({"start_s": asked.numbers(key).astype("f8") / per_s})
    return found
