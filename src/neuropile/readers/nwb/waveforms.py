"""Mean waveforms of units whose every channel was kept: those near each unit's peak, as one lazy array over the units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers.nwb import parameters, tables, tree
from neuropile.types import Signal

#: Of 384 channels a unit is seen on a few tens; all of them would make a session several times as large.
NEAR = 32
#: What an electrode's place among its probe's channels is called, in the older and the newer files.
PLACES = ("local_index", "probe_channel_number")
#: The channel of a row without one.
NO_CHANNEL = -1


def near_peak(group: tree.Group, units: pa.Table, channels: pa.Table | None) -> dict[str, Signal]:
    """`waveform_mean` (unit, channel, sample) and `waveform_channel_id` (unit, channel), on the channels around each peak.

    In such a table a unit's rows of `waveform_mean` are the channels of its probe in the order of their places, and
    `peak_channel_id` is an electrode's own id. Nothing where the table is not so.

    Raises
    ------
    UnreadableFile : its index contradicts it, or its size is not believed
    """
    data = tree.member(group, "waveform_mean")
    if not tree.is_array(data) or data.ndim != 2 or data.dtype.kind != "f" or tree.member(group, "waveform_mean_index") is None or channels is None:
        return {}
    place = next((f"src_{n}" for n in PLACES if tables.is_number(channels, f"src_{n}")), None)
    if place is None or "probe" not in channels.column_names or not tables.is_number(units, "src_peak_channel_id"):
        return {}
    tree.check_size(data)
    ends = tables.ends(group, "waveform_mean", units.num_rows, data.shape[0])
    starts = np.r_[0, ends[:-1]]
    rows = ends - starts
    if not len(rows) or not rows.max():
        return {}
    n_near = int(min(NEAR, rows.max()))
    on = _ids_by_place(channels, place)
    peaks = {i: (probe, at) for probe, known in on.items() for at, i in known.items()}
    whose = [peaks.get(i, (None, 0)) for i in units.column("src_peak_channel_id").to_pylist()]
    first = np.clip(np.array([at - n_near // 2 for _, at in whose]), 0, np.maximum(rows - n_near, 0))
    channel = np.full((len(rows), n_near), NO_CHANNEL, np.int64)
    for unit, (probe, _) in enumerate(whose):
        known = on.get(probe, {}) if probe is not None else {}
        channel[unit] = [known.get(int(first[unit]) + i, NO_CHANNEL) if first[unit] + i < rows[unit] else NO_CHANNEL for i in range(n_near)]
    about = f"mean over spikes, on the {n_near} channels around the unit's peak (of {int(rows.max())} in the file); which they are: waveform_channel_id"
    return {
        "waveform_mean": Signal(_Near(data, starts + first, np.minimum(rows - first, n_near), n_near), ("unit", "channel", "sample"), "uV", description=about),
        "waveform_channel_id": Signal(channel, ("unit", "channel"), description="channel_id of each channel of waveform_mean; -1 where there is none"),
    }


def _ids_by_place(channels: pa.Table, place: str) -> dict[str, dict[int, int]]:
    """Of each probe the channel id at each place."""
    ids = [int(i) if i.isdigit() else NO_CHANNEL for i in channels.column("channel_id").to_pylist()]
    found: dict[str, dict[int, int]] = {}
    for probe, where, i in zip(channels.column("probe").to_pylist(), parameters.wholes(channels.column(place)).to_pylist(), ids, strict=True):
        if where is not None and probe is not None:
            found.setdefault(probe, {})[where] = i
    return found


class _Near:
    """A few rows of each unit, read as they are asked for; NaN where a unit has fewer."""

    def __init__(self, data: tree.Array, first: np.ndarray, rows: np.ndarray, n_near: int) -> None:
        self._data, self._first, self._rows = tree.Later(data), first, np.maximum(rows, 0)
        self.shape, self.dtype = (len(first), n_near, data.shape[1]), np.dtype(data.dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        if not isinstance(key, slice):
            raise UnreadableFile("mean waveforms are read by slices of units")
        units = range(*key.indices(self.shape[0]))
        out = np.full((len(units), *self.shape[1:]), np.nan, self.dtype)
        for i, unit in enumerate(units):
            n = int(self._rows[unit])
            if n:
                start = int(self._first[unit])
                out[i, :n] = self._data[start : start + n]
        return out
