"""The mean waveforms that lie beside a sorting, as signals over the units, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers import npy
from neuropile.readers.alf.files import Attributes
from neuropile.readers.alf.grammar import Dataset
from neuropile.types import Signal

#: Larger arrays than this stay where they are.
MAX_BYTES = 1 << 31
#: Our name of each, its axes behind `unit`, its unit and what it is. The channels of the first are in order of their distance
#: from the peak, as `waveform_channels` says; those of the templates in order of depth.
_SIGNALS: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "waveforms": ("waveform_mean", ("sample", "channel"), "V", "mean waveforms at 30 kHz; channels by their distance from the peak, see waveform_channels"),
    "waveformsChannels": ("waveform_channels", ("channel",), "", "the channels (numbers within the probe) of waveform_mean"),
    "templates": ("waveform_templates", ("sample", "channel"), "V", "mean waveforms at 30 kHz; channels by depth"),
}


def signals(found: Sequence[tuple[str | None, Attributes, int | None]], notes: list[str]) -> dict[str, Signal]:
    """The waveforms of all units, those of several probes laid end to end.

    found : a probe's name, its files, and how many rows of clusters it has, None where its units are not these rows.
        Arrays that not every probe has, or that do not fit its units or each other, are left out with a note
    """
    made: dict[str, Signal] = {}
    for attribute, (name, axes, unit, told) in _SIGNALS.items():
        files = [(probe, waveforms[attribute], n_rows) for probe, waveforms, n_rows in found if attribute in waveforms]
        if not files:
            continue
        if len(files) < len(found):
            notes.append(f"{attribute} of {', '.join(p or 'the probe' for p, _, _ in files)} alone are left out: the other probes have none")
            continue
        arrays = [_array(probe, datasets, n_rows, len(axes), notes) for probe, datasets, n_rows in files]
        good = [a for a in arrays if a is not None]
        if len(good) < len(arrays):
            continue
        if len({a.shape[1:] for a in good}) > 1 or len({a.dtype for a in good}) > 1:
            notes.append(f"{attribute} of the probes differ in shape or type and are left out")
            continue
        made[name] = Signal(good[0] if len(good) == 1 else Stacked(good), ("unit", *axes), unit=unit, description=told)
    return made


def _array(probe: str | None, files: Sequence[Dataset], n_rows: int | None, n_axes: int, notes: list[str]) -> np.ndarray | None:
    """One probe's array, mapped where it lies; None, noted, where it is damaged or does not fit."""
    name = files[0].path.name
    where = f"{probe}: {name}" if probe else name
    try:
        head = npy.header(files[0].path)
        if len(files) > 1 or head.n_bytes > MAX_BYTES:
            notes.append(f"{where} is left out: {head.n_bytes} bytes" + (f" in {len(files)} parts" if len(files) > 1 else ""))
        elif len(head.shape) != 1 + n_axes or head.shape[0] != n_rows or head.dtype.kind not in "iuf":
            notes.append(f"{where} has shape {head.shape} for {n_rows if n_rows is not None else 'other'} units and is left out")
        else:
            return npy.load(files[0].path)
    except UnreadableFile as e:
        notes.append(f"left out: {str(e).replace(str(files[0].path), where)}")
    return None


class Stacked:
    """Arrays laid end to end along the first axis, read by slices of it."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._arrays = list(arrays)
        self._ends = np.cumsum([len(a) for a in arrays])
        self.shape, self.dtype = (int(self._ends[-1]), *arrays[0].shape[1:]), arrays[0].dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: slice) -> np.ndarray:
        first, stop, _ = key.indices(self.shape[0])
        begins = self._ends - [len(a) for a in self._arrays]
        parts = [a[max(first - b, 0) : max(stop - b, 0)] for a, b in zip(self._arrays, begins.tolist(), strict=True)]
        return np.concatenate(parts)
