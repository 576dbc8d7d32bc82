"""FALCON files as DANDI has them, a split where the subject should be: spike times beside a 20 ms grid that does not start at 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from making import Made, MadeSession, making
from primate_files import blank, counted, electrodes, published_histogram, write
from pynwb import TimeSeries
from pynwb.behavior import BehavioralTimeSeries

SPLITS = ("held-in-calib", "held-in-minival", "held-out-calib")


def spikes(rng, stretches: list[tuple[int, int]], n_units: int) -> list[np.ndarray]:
    """Whole ticks of 10 us within stretches of bins, (first tick, bins); some on the very edges of bins, one unit silent."""
    out = []
    for _ in range(n_units - 1):
        parts = [np.r_[rng.choice(np.arange(a, a + n * 2000), 60, False), a + 2000 * rng.choice(n, 10, False)] for a, n in stretches]
        out.append(np.unique(np.concatenate(parts)))
    return [*out, np.empty(0, np.int64)]


def made(folder: Path, key: str, animal: str, runs: tuple[str, ...], tail: str, put: Callable, species="Macaca mulatta", recording="") -> Made:
    """A calibration file, its minival and a held-out file; `put` adds what differs and gives the stretches (first tick, bins, first bin)."""
    rng = np.random.default_rng(sum(map(ord, key)))
    sessions, rows = {}, {}
    for split, run in zip(SPLITS, (runs[0], runs[0], runs[1]), strict=True):
        nwb = blank(f"{animal}-{split}", species)
        stretches, obs = put(nwb, rng)
        ticks = spikes(rng, [(a, n) for a, n, _ in stretches], 5)
        early = [np.array([700 + 10 * u]) for u in range(4)] + [np.empty(0, np.int64)]  # in time that is none of the task's bins
        early_bin = (700 - stretches[0][0] + 2000 * stretches[0][2]) // 2000
        trains = [np.r_[e, t] for e, t in zip(early, ticks, strict=True)]
        region = {} if nwb.electrodes is None else {"electrodes": [0]}
        for own in trains:
            nwb.add_unit(spike_times=own / 1e5, **region, **({} if obs is None else {"obs_intervals": np.array([obs])}))
        name = f"sub-{animal}-{split}_ses-{run}{tail}"
        write(nwb, folder / f"sub-{animal}-{split}/{name}.nwb")
        bins = [
            np.concatenate([np.full(len(e), early_bin), *[(t[(t >= a) & (t < a + 2000 * n)] - a) // 2000 + at for a, n, at in stretches]])
            for e, t in zip(early, ticks, strict=True)
        ]
        last = stretches[-1][2] + stretches[-1][1]
        sessions[name] = MadeSession(
            [str(i) for i in range(5)], counted(bins, early_bin, last - early_bin), early_bin, subject_id=animal,
            observed=np.array([[at, at + n] for _, n, at in stretches]) * 0.02, set_aside="minival" in split,
            recording_id=recording or f"{key}/{animal}_{run}", regions=None if nwb.electrodes is None else ["M1"] * 5,
        )  # fmt: skip
        if recording and run == runs[1]:
            sessions[name] = MadeSession(**{**vars(sessions[name]), "recording_id": f"monkey-n/{run[:10].replace('-', '')}"})
        rows[f"sub-{animal}-{split}", name] = published_histogram([t / 1e5 for t in trains])
    return Made(sessions, rows)


def reach_and_grasp(nwb, rng):
    """Time stamps of muscles end the bins; 30 bins from 31.2 ms, then a gap, then 25 from 3.0021 s."""
    starts = np.r_[0.0312 + 0.02 * np.arange(30), 3.0021 + 0.02 * np.arange(25)]
    ends = (starts + 0.02).round(6)
    electrodes(nwb, 5, "M1")
    muscles = [TimeSeries(name=m, data=rng.random(55), timestamps=ends, unit="AU") for m in ("APL", "BCPs", "DLTa")]
    nwb.add_acquisition(BehavioralTimeSeries(name="preprocessed_emg", time_series=muscles))
    nwb.add_acquisition(TimeSeries(name="eval_mask", data=np.arange(55) % 20 < 15, timestamps=ends, unit="bool"))
    for name in ("gocue_time", "move_onset_time", "result"):
        nwb.add_trial_column(name, name)
    nwb.add_trial(start_time=0.05, stop_time=0.5, gocue_time=0.1, move_onset_time=0.2, result="R")
    return [(3120, 30, 2), (300_210, 25, 150)], (0.0, 10.0)


@making("m1-a")
def m1_a(folder: Path) -> Made:
    """Monkey L."""
    return made(folder, "m1-a", "MonkeyL", ("20120924", "20121004"), "_behavior+ecephys", reach_and_grasp)


@making("m1-b")
def m1_b(folder: Path) -> Made:
    """Monkey X."""
    return made(folder, "m1-b", "MonkeyX", ("20130304", "20130310"), "_behavior+ecephys", reach_and_grasp)


@making("h1")
def h1(folder: Path) -> Made:
    """Kinematics whose `rate` is a period and whose `offset` is when the first bin ends; no electrodes, no observation intervals."""

    def put(nwb, rng):
        for name, data in (("OpenLoopKinematics", rng.random((80, 7))), ("OpenLoopKinematicsVelocity", rng.random((80, 7)))):
            nwb.add_acquisition(
                TimeSeries(name=name, data=data, rate=0.02, starting_time=0.0, offset=0.033, unit="arbitrary", description="tx,ty,tz,rx,g1,g2,g3")
            )
        nwb.add_acquisition(TimeSeries(name="eval_mask", data=np.arange(80) < 70, rate=0.02, starting_time=0.0, offset=0.033, unit="bool"))
        nwb.add_epoch(0.013, 1.0, tags=["Reach"])
        return [(1300, 80, 1)], None

    return made(folder, "h1", "HumanPitt", ("19250101T111740", "19250126T113454"), "", put, "Homo sapiens")


@making("m2")
def m2(folder: Path) -> Made:
    """Velocities whose time stamps start the bins, the first at 19 ms."""

    def put(nwb, rng):
        starts = 0.019 + 0.02 * np.arange(90)
        electrodes(nwb, 5, "M1")
        for group in ("finger_vel", "finger_pos"):
            series = [TimeSeries(name=f"{n}_{group[-3:]}", data=rng.random(90), timestamps=starts, unit="AU") for n in ("index", "mrs")]
            nwb.add_acquisition(BehavioralTimeSeries(name=group, time_series=series))
        nwb.add_acquisition(TimeSeries(name="eval_mask", data=np.arange(90) >= 5, timestamps=starts, unit="bool"))
        nwb.add_trial(start_time=0.019, stop_time=1.0)
        return [(1900, 90, 1)], (0.0, 2.0)

    runs = ("2020-10-19-Run1", "2020-11-06-Run2")
    return made(folder, "m2", "MonkeyN", runs, "_behavior+ecephys", put, recording="monkey-n/20201019")
