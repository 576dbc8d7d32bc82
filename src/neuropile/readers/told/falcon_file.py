"""One FALCON file's own bins: found in its behaviour, made those of the clock, and the evaluated ones told as intervals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers.clock.grid import Grid, lay
from neuropile.readers.clock.moved import moved
from neuropile.readers.nwb import counts_file as nwb_counts_file
from neuropile.readers.nwb import tree
from neuropile.types import Recording, Spans

#: All tasks are binned so.
WIDTH = Fraction(1, 50)
MASK = "eval_mask"


def on_grid(recording: Recording, path: Any, where: str, stamps: str) -> Recording:
    """The recording moved so that the task's bins are bins of its clock; only they count as observed."""
    with tree.opened(path) as file:
        times, timed = _bins(file, where)

    def close() -> None:
        recording.close()
        file.close()

    grid = lay(times - (float(WIDTH) if stamps == "ends" else 0.0), WIDTH)
    shift = float(int(grid.bins[0]) * WIDTH) - float(grid.starts[0])
    here = moved(_with_times(recording, times, timed), grid.move, whole=False)
    observed = _both(grid.spans(), here.observed, here.trains.n_units)
    out = replace(
        here,
        observed=observed,
        span_source="the task's own 20 ms bins" + (" within obs_intervals" if here.observed is not None else ""),
        source={**here.source, "src_first_bin_s": float(grid.starts[0]), "src_clock_shift_s": shift},
        close=close,
    )
    return _with_evaluated(out, grid)


def evaluated(recording: Recording) -> Recording:
    """The recording with its evaluation mask told as intervals, by the mask's own time stamps."""
    mask = recording.signals.get(MASK)
    if mask is None or mask.time_s is None:
        return recording
    return _with_evaluated(recording, lay(np.asarray(mask.time_s[:], np.float64), WIDTH))


def _bins(file: Any, where: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The time stamps of the task's bins, and the values of the series that have a period where a rate belongs."""
    series = tree.member(file, where)
    if tree.is_group(series) and tree.member(series, "data") is None:
        series = next((s for _, s in tree.members(series) if tree.is_group(s) and tree.member(s, "data") is not None), None)
    if not tree.is_group(series) or not tree.is_array(tree.member(series, "data")):
        raise UnreadableFile(f"{file.filename}: sought the task's bins in the time stamps of {where}, found no such series; has the layout moved?")
    start = tree.member(series, "starting_time")
    if tree.is_array(tree.member(series, "timestamps")) or not tree.is_array(start):
        return nwb_counts_file.stamps(series), {}
    period = float(start.attrs.get("rate", 0))
    if not 0 < period < 1:  # a rate then, as the standard has it
        return nwb_counts_file.stamps(series), {}
    n = tree.member(series, "data").shape[0]
    first = float(np.asarray(start[()]).reshape(-1)[0]) + float(tree.member(series, "data").attrs.get("offset", 0.0))
    return first + np.arange(n) * period, _periodic(file, n)


def _periodic(file: Any, n: int) -> dict[str, Any]:
    """The acquired series of n samples whose `rate` is a period, and whose `offset` is a time then and no part of the values."""
    found = {}
    acquired = tree.member(file, "acquisition")
    for name, series in tree.members(acquired) if tree.is_group(acquired) else ():
        data = tree.member(series, "data") if tree.is_group(series) else None
        start = tree.member(series, "starting_time") if tree.is_group(series) else None
        if tree.is_array(data) and tree.is_array(start) and data.shape and data.shape[0] == n and 0 < float(start.attrs.get("rate", 0)) < 1:
            tree.check_size(data)
            found[name] = tree.Later(data)
    return found


def _with_times(recording: Recording, times: np.ndarray, timed: dict[str, Any]) -> Recording:
    """Those series as they are, on the time stamps that are meant."""
    signals = dict(recording.signals)
    for name, data in timed.items():
        if name in signals:
            signals[name] = replace(signals[name], data=data, time_s=times, start_s=None, rate_hz=None)
    return replace(recording, signals=signals)


def _with_evaluated(recording: Recording, grid: Grid) -> Recording:
    """The runs of bins that the mask marks as evaluated, beside the mask itself, as intervals."""
    mask = recording.signals.get(MASK)
    if mask is None or mask.data.shape[0] != len(grid.bins):
        why = "no evaluation mask" if mask is None else f"its evaluation mask has {mask.data.shape[0]} values for {len(grid.bins)} bins"
        return replace(recording, notes=(*recording.notes, f"{why}: which bins are evaluated is not told"))
    spans = grid.spans(np.asarray(mask.data[:]).reshape(-1).astype(bool))
    table = pa.table({"start_s": spans.start_s, "stop_s": spans.stop_s})
    return replace(recording, intervals={**recording.intervals, "evaluated": table})


def _both(bins: Spans, own: Spans | None, n_units: int) -> Spans:
    """The time that lies in the task's bins and in the units' own observation intervals, where they have any."""
    if own is None or not len(own.unit):
        return bins
    units = np.arange(n_units) if (own.unit >= 0).any() else np.array([-1])
    unit: list[int] = []
    pairs: list[tuple[float, float]] = []
    for u in units.tolist():
        mine = (own.unit == u) | (own.unit < 0)
        for a, b in zip(own.start_s[mine].tolist(), own.stop_s[mine].tolist(), strict=True):
            i, j = np.searchsorted(bins.stop_s, a, side="right"), np.searchsorted(bins.start_s, b)
            pairs += [(max(a, bins.start_s[k]), min(b, bins.stop_s[k])) for k in range(i, j)]
        unit += [u] * (len(pairs) - len(unit))
    return Spans.of([a for a, _ in pairs], [b for _, b in pairs], np.array(unit, np.int32))
