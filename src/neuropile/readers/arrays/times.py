"""Spike times in arrays into trains: flat with counts or units beside them, or one array a unit; with or without trials."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from neuropile.readers.arrays.asked import Asked, texts
from neuropile.readers.arrays.held import Leaf
from neuropile.readers.arrays.mapping import UNITS_OF_TIME
from neuropile.readers.clock import trials
from neuropile.types import Trains

#: A trial's spikes may lie this far outside of it, at most: half of what lies between two trials on the common clock.
_NEAR_S = trials.PAUSE_S / 2
_MAX_SHARE_OUTSIDE = 0.01


@dataclass(frozen=True)
class Events:
    """All events of a file: `times` as stored, the row of the unit and the code of the trial of each, the units' names."""

    times: np.ndarray
    row: np.ndarray
    names: list[str]
    trial: np.ndarray | None


@dataclass(frozen=True)
class Trials:
    """Trials with their own clocks: names, spans in seconds on those, and what puts each on the common one."""

    names: list[str]
    start_s: np.ndarray
    stop_s: np.ndarray
    offset_s: np.ndarray


def events(asked: Asked, n_described: int | None) -> Events:
    """The events of a mapping with `times`; `n_described` is how many units other arrays speak of."""
    leaves = asked.leaves("times")
    if any(leaf.place for leaf in leaves):
        return _of_many(asked, _kept(asked, leaves))
    times = asked.numbers("times", leaves[0])
    trial = _beside(asked, "trials", times) if "trials" in asked else None
    if "counts" in asked:
        counts = _counts(asked, times)
        row = np.repeat(np.arange(len(counts)), counts)
        return Events(times, row, [str(i) for i in range(len(counts))], trial)
    if "units" not in asked:
        return Events(times, np.zeros(len(times), np.int64), ["0"], trial)
    codes = _beside(asked, "units", times)
    by_name = _by_listed_ids(asked, codes)
    names, row = by_name or asked.placed("units", codes, n_described)
    return Events(times, row, names, trial)


def _beside(asked: Asked, key: str, times: np.ndarray) -> np.ndarray:
    codes = asked.codes(key)
    if len(codes) != len(times):
        raise asked.error(key, f"{len(codes)} values for {len(times)} times: there must be one each")
    return codes


def _counts(asked: Asked, times: np.ndarray) -> np.ndarray:
    counts = asked.codes("counts")
    if counts.dtype.kind not in "iu" or (len(counts) and int(counts.min()) < 0):
        raise asked.error("counts", "must hold whole numbers, 0 or more")
    total = sum(counts.tolist())
    if total != len(times):
        raise asked.error("counts", f"the counts sum to {total}, times={asked.mapping['times']} holds {len(times)}")
    return counts.astype(np.int64)


def _by_listed_ids(asked: Asked, codes: np.ndarray) -> tuple[list[str], np.ndarray] | None:
    """Where `ids` lists the units by the codes of their times: those in its order, silent ones too. None where it names them otherwise."""
    if "ids" not in asked:
        return None
    ids = asked.codes("ids")
    if (ids.dtype.kind == "U") != (codes.dtype.kind == "U") or len(np.unique(ids)) < len(ids) or not np.isin(codes, ids).all():
        return None
    order = np.argsort(ids)
    return [str(i) for i in ids.tolist()], order[np.searchsorted(ids[order], codes)]


def _kept(asked: Asked, leaves: list[Leaf]) -> list[Leaf]:
    """The arrays that are units: all of one row of them, silent ones too; of nested ones (clusters in tetrodes) those that hold times."""
    if max(len(leaf.place) for leaf in leaves) > 1:
        kept = [leaf for leaf in leaves if leaf.values.size]
        if kept and len(kept) < len(leaves):
            asked.notes.append(f"{len(leaves) - len(kept)} of {len(leaves)} nested arrays of {asked.mapping['times']} are empty and were left out")
    else:
        kept = leaves
    asked.keep([leaf.place for leaf in leaves], [leaf.place for leaf in kept])
    return kept


def _of_many(asked: Asked, leaves: list[Leaf]) -> Events:
    for key in ("counts", "units"):
        if key in asked:
            raise asked.error("times", f"is {len(leaves)} arrays, one a unit: leave out {key}=")
    parts = [asked.numbers("times", leaf) for leaf in leaves]
    trial = None
    if "trials" in asked:
        beside = {leaf.place: leaf for leaf in asked.leaves("trials")}
        codes = [asked.codes("trials", beside[v.place]) if v.place in beside else np.empty(0, np.int64) for v in leaves]
        for leaf, times, own in zip(leaves, parts, codes, strict=True):
            if len(times) != len(own):
                raise asked.error("trials", f"{len(own)} values for the {len(times)} times at {'/'.join(leaf.place)}: there must be one each")
        trial = np.concatenate([c for c in codes if len(c)] or [np.empty(0, np.int64)])
    row = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
    times = np.concatenate([p for p in parts if len(p)] or [np.empty(0)])
    return Events(times, row, ["/".join(leaf.place) for leaf in leaves], trial)


def laid_out(asked: Asked, found: Events, sample_rate: Fraction | None) -> Trials | None:
    """The trials of events that have them, or None."""
    if found.trial is None:
        return None
    per_s = per_second(asked, sample_rate)
    spans = {key: asked.number_or_numbers(key) for key in ("trial_start", "trial_stop") if key in asked}
    lengths = {key: len(v) for key, v in spans.items() if len(v) != 1}
    if not len(found.times):
        raise asked.error("times", "holds no times")
    if len(set(lengths.values())) > 1:
        raise asked.error("trial_start", f"{lengths['trial_start']} trials here, {lengths['trial_stop']} by trial_stop")
    names, _ = asked.placed("trials", found.trial, next(iter(lengths.values()), None))
    start, stop = (np.broadcast_to(spans.get(key, np.zeros(1)) / per_s, len(names)).astype(np.float64) for key in ("trial_start", "trial_stop"))
    return Trials(names, start, stop, trials.lay_out(start, stop))


def trains(asked: Asked, found: Events, sample_rate: Fraction | None, laid: Trials | None) -> Trains:
    """The events as trains, each unit's times in seconds on the recording's clock."""
    times, row = found.times, found.row
    if times.dtype.kind != "f" or "unit" in asked or laid is not None:
        if times.dtype == np.float32:
            asked.notes.append("spike times are 32-bit floats at the source")
        per_s = per_second(asked, sample_rate)
        times = times.astype(np.float64) / per_s if per_s != 1 else times.astype(np.float64)
    if laid is not None and found.trial is not None:
        _, trial = asked.placed("trials", found.trial, len(laid.names))
        keep = _near(asked, times, laid, trial)
        times, row = (times + laid.offset_s[trial])[keep], row[keep]
        if sample_rate is not None and (sample_rate.denominator > 1 or laid.start_s.any()):
            sample_rate = None  # the trials' offsets are no whole samples
    if np.any(row[1:] < row[:-1]):
        order = np.argsort(row, kind="stable")
        times, row = times[order], row[order]
    ends = np.searchsorted(row, np.arange(len(found.names) + 1))
    return Trains(len(found.names), lambda unit: times[ends[unit] : ends[unit + 1]], sample_rate=sample_rate)


def per_second(asked: Asked, sample_rate: Fraction | None) -> float:
    """How many of the file's units of time make a second."""
    unit = asked.mapping.get("unit", "s")
    return float(UNITS_OF_TIME[unit] or sample_rate or 1)  # a mapping in samples has a rate


def _near(asked: Asked, times: np.ndarray, laid: Trials, trial: np.ndarray) -> np.ndarray:
    """Which events lie in their trials, or so near that no other trial is meant; more than a few that do not are an error."""
    before, after = laid.start_s[trial] - times, times - laid.stop_s[trial]
    outside = np.maximum(before, after)
    n_outside = int(np.count_nonzero(outside > 0))
    if n_outside > _MAX_SHARE_OUTSIDE * len(times):
        i = int(np.argmax(outside > 0))
        span = f"{laid.start_s[trial[i]]:g} to {laid.stop_s[trial[i]]:g} s"
        said = f"{n_outside} of {len(times)} times lie outside their trials, such as {times[i]:g} s in a trial from {span}"
        raise asked.error("times", f"{said}; check unit=, trial_start= and trial_stop=, and that times count from each trial's own zero")
    far = outside > _NEAR_S
    if far.any():
        asked.notes.append(f"{int(far.sum())} of {len(times)} times lie more than {_NEAR_S:g} s outside their trials and were left out")
    return ~far


def unit_names(asked: Asked, found: Events) -> list[str]:
    """The units' names: their `ids` where given, else what their times, cells or order call them."""
    if "ids" not in asked or ("units" in asked and _by_listed_ids(asked, asked.codes("units")) is not None):
        return found.names
    return texts(asked, "ids")
