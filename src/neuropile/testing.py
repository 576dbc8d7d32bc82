"""Made-up recordings that look like real ones, and stores of them: the same for the same seed, whatever else changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from neuropile.building import add_recording
from neuropile.store import create_store
from neuropile.types import ALL_UNITS, Recording, Signal, Spans, Subject, Trains
from neuropile.writing import Provenance

if TYPE_CHECKING:
    from neuropile.store import Store

REGIONS = ("VISp2/3", "VISp5", "CA1", "LGd", "MOs5", None)
QUALITIES = ("good", "good", "mua", "noise", None)
#: Half of the units, those in even rows, fire more in this stretch after each stimulus (s) and by this factor.
RESPONSE_S = (0.05, 0.25)
RESPONSE_GAIN = 4.0


def recording(
    seed: int = 0,
    *,
    n_units: int = 20,
    duration_s: float = 60.0,
    start_s: float = 0.0,
    observed: Literal["whole", "gaps", "each"] | None = "whole",
    invalid: bool = False,
    float32: bool = False,
) -> Recording:
    """A session with log-normal rates, responses to stimuli, regions, depths, qualities, trials and behaviour.

    Parameters
    ----------
    start_s, duration_s : where the session lies on its clock; a start below zero is as good as any
    observed : "whole", one span for all; "gaps", two spans with a twentieth of the session unobserved between
        them; "each", units that differ in when they were observed; None, no evidence of it at the source.
        Units fire only while observed
    invalid : take the stretch from 70 to 75 % of the session out of what was observed
    float32 : spike times as 32-bit floats

    Spike trains are made one at a time when they are read, so a large recording costs no memory before that.

    Examples
    --------
    >>> recording(seed=1, n_units=3).trains.read(0)[:3].round(3)
    array([0.349, 0.426, 0.663])
    """
    rng = np.random.default_rng(seed)
    stop_s = start_s + duration_s
    trials = _trials(rng, start_s, stop_s)
    stim_on_s = trials.column("stim_on_s").drop_null().to_numpy()
    spans = _spans(n_units, start_s, duration_s, observed)
    holes = Spans.of(start_s + 0.70 * duration_s, start_s + 0.75 * duration_s) if invalid else None
    rates = rng.lognormal(np.log(3.0), 1.0, n_units)

    def read(unit: int) -> np.ndarray:
        own = np.random.default_rng((seed, unit))
        times = own.uniform(start_s, stop_s, own.poisson(rates[unit] * duration_s))
        if unit % 2 == 0:
            evoked = own.poisson(rates[unit] * (RESPONSE_GAIN - 1) * (RESPONSE_S[1] - RESPONSE_S[0]), len(stim_on_s))
            times = np.concatenate([times, np.repeat(stim_on_s, evoked) + own.uniform(*RESPONSE_S, evoked.sum())])
        times = np.sort(times)
        times = times[_lie_in(times, spans, unit)]
        times = times if holes is None else times[~_lie_in(times, holes, unit)]
        return times.astype(np.float32) if float32 else times

    return Recording(
        session_id=f"session-{seed}",
        units=_units(rng, n_units),
        trains=Trains(n_units, read),
        subject=Subject(f"mouse-{seed % 3}", "Mus musculus", "F", "P90D", "wt/wt"),
        intervals={"trials": trials},
        signals=_signals(rng, start_s, duration_s),
        observed=None if observed is None else spans,
        invalid=holes,
        span_source="spikes" if observed is None else "observation intervals",
        license="CC0-1.0",
        citation="made by neuropile.testing",
        holds=f"{n_units} made-up units",
    )


def store(path: str | Path, recordings: Iterable[Recording] | None = None, *, dataset: str = "test") -> Store:
    """A store of recordings, by default of `recording(0)` and `recording(1)`, written as any other store is."""
    made = create_store(path)
    for each in (recording(0), recording(1)) if recordings is None else recordings:
        add_recording(made, each, Provenance(dataset, (), "neuropile.testing"))
    return made


def _lie_in(times: np.ndarray, spans: Spans, unit: int) -> np.ndarray:
    inside = np.zeros(len(times), bool)
    for i in np.flatnonzero((spans.unit == ALL_UNITS) | (spans.unit == unit)):
        inside |= (times >= spans.start_s[i]) & (times < spans.stop_s[i])
    return inside


def _spans(n_units: int, start_s: float, duration_s: float, observed: str | None) -> Spans:
    if observed == "gaps":
        return Spans.of(start_s + duration_s * np.array([0.0, 0.5]), start_s + duration_s * np.array([0.45, 1.0]))
    if observed == "each":
        unit = np.arange(n_units)
        return Spans.of(start_s + duration_s * 0.1 * (unit % 3), start_s + duration_s * (1 - 0.05 * (unit % 2)), unit)
    return Spans.of(start_s, start_s + duration_s)


def _units(rng: np.random.Generator, n_units: int) -> pa.Table:
    probe = np.where(np.arange(n_units) < (n_units + 1) // 2, "probe00", "probe01")
    return pa.table(
        {
            "unit_id": [f"{p}-{i}" for i, p in enumerate(probe)],
            "probe": probe.tolist(),
            "depth_um": rng.uniform(20, 3840, n_units).round(),
            "region": [REGIONS[i] for i in rng.integers(len(REGIONS), size=n_units)],
            "quality": [QUALITIES[i] for i in rng.integers(len(QUALITIES), size=n_units)],
            "quality_rule": ["drawn at random"] * n_units,
            "src_amplitude_uv": rng.lognormal(np.log(80), 0.4, n_units),
            "src_peak_channel": rng.integers(384, size=n_units),
        }
    )


def _trials(rng: np.random.Generator, start_s: float, stop_s: float) -> pa.Table:
    """A trial every three seconds; the stimulus of every tenth was not recorded."""
    start = np.arange(start_s, stop_s - 2.5, 3.0)
    stim_on = start + rng.uniform(0.3, 0.7, len(start))
    response = stim_on + rng.uniform(0.2, 1.2, len(start))
    contrast = rng.choice([0.0, 0.0625, 0.125, 0.25, 1.0], len(start))
    is_left = rng.random(len(start)) < 0.5
    correct = rng.random(len(start)) < 0.5 + 0.5 * contrast**0.3
    return pa.table(
        {
            "start_s": start,
            "stop_s": start + 2.5,
            "stim_on_s": pa.array(stim_on, mask=np.arange(len(start)) % 10 == 9),
            "response_s": response,
            "feedback_s": response,
            "choice": np.where(is_left == correct, -1.0, 1.0),
            "contrast_left": pa.array(contrast, mask=~is_left),
            "contrast_right": pa.array(contrast, mask=is_left),
            "correct": correct,
            "reward_ul": np.where(correct, 3.0, 0.0),
            "src_block": (np.arange(len(start)) // 5).astype(np.int64),
        }
    )


def _signals(rng: np.random.Generator, start_s: float, duration_s: float) -> dict[str, Signal]:
    """Running speed on a regular clock, and the pupil's place on an irregular one."""
    n_running, n_pupil = max(int(duration_s * 50), 1), max(int(duration_s * 30), 1)
    speed = np.abs(np.cumsum(rng.normal(0, 0.5, n_running))).astype(np.float32)
    place = np.cumsum(rng.normal(0, 0.1, (n_pupil, 2)), axis=0).astype(np.float32)
    seen_s = start_s + (np.arange(n_pupil) + rng.uniform(0, 0.5, n_pupil)) / 30
    return {
        "running": Signal(speed, ("time",), unit="cm/s", start_s=start_s, rate_hz=50.0, description="speed on the wheel"),
        "pupil": Signal(place, ("time", "axis"), unit="px", time_s=seen_s, description="centre of the pupil"),
    }
