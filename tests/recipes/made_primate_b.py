"""NWB files of monkeys and people, as DANDI has them: threshold crossings that restart, series of counts, the Neural Latents Benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from making import Made, MadeSession, making
from primate_files import blank, counted, electrodes, published_histogram, random_ticks, write
from pynwb import TimeSeries
from pynwb.behavior import Position, SpatialSeries
from pynwb.ecephys import LFP, ElectricalSeries


def add_trials(nwb, spans, **columns) -> None:
    for name in columns:
        nwb.add_trial_column(name, name)
    for i, (start, stop) in enumerate(spans):
        nwb.add_trial(start_time=start, stop_time=stop, **{name: values[i] for name, values in columns.items()})


def hand(nwb, times, name="Hand", interface="Position") -> None:
    series = SpatialSeries(name=name, data=np.stack([times, -times], 1), timestamps=times, reference_frame="screen", unit="m")
    module = nwb.processing["behavior"] if "behavior" in nwb.processing else nwb.create_processing_module("behavior", "hand and eye")
    module.add(Position(spatial_series=series, name=interface))


@making("churchland")
def churchland(folder: Path) -> Made:
    """One session whose clock restarts behind its third trial, and one whose clock never does."""
    rng = np.random.default_rng(70)
    blocks = [[(10.0, 12.0), (13.0, 15.0), (14.5, 17.0)], [(0.5, 2.5), (3.0, 11.0)]]  # the third trial merely overlaps the second
    first = [
        [1_050_000, 1_120_000, 1_450_000, 1_650_000],
        [],
        [1_050_000, 1_600_000],
        [1_020_000],
        [],
        np.sort(rng.choice(np.arange(1_300_000, 1_500_000), 300, False)),
    ]
    second = [[60_000, 240_000, 1_080_000], [100_000, 1_070_000], [], [70_000, 1_090_000], [], np.sort(rng.choice(np.arange(300_000, 1_100_000), 700, False))]
    trains = [np.r_[a, b].astype(np.int64) / 1e5 for a, b in zip(first, second, strict=True)]
    spans = blocks[0] + blocks[1]
    nwb = blank("Nitschke")
    electrodes(nwb, 6, "M1")
    go = [start + 0.4 for start, _ in spans]
    add_trials(nwb, spans, go_cue_time=go, reaction_time=[0.25] * 5, maze_id=[1, 2, 3, 4, 5])
    for i, train in enumerate(trains):
        nwb.add_unit(spike_times=train, electrodes=[i], obs_intervals=np.array(spans))
    hand(nwb, np.concatenate([np.arange(a, b, 0.05) for a, b in [(10.0, 17.0), (0.5, 11.0)]]))
    region = nwb.create_electrode_table_region([0], "one")
    lfp = ElectricalSeries(name="lfp", data=np.zeros((50, 1)), electrodes=region, rate=1000.0)
    filtered = LFP()
    nwb.create_processing_module("ecephys", "filtered").add(filtered)
    filtered.add_electrical_series(lfp)
    write(nwb, folder / "sub-Nitschke/sub-Nitschke_ses-20090910_behavior+ecephys.nwb")

    plain = random_ticks(rng, 4, 200_000, 900_000, 200)
    nwb = blank("Jenkins")
    electrodes(nwb, 4, "PMd")
    add_trials(nwb, [(2.0, 5.0), (5.5, 9.0)], go_cue_time=[2.5, 6.0])
    for i, ticks in enumerate(plain):
        nwb.add_unit(spike_times=ticks / 1e5, electrodes=[i], obs_intervals=np.array([(2.0, 5.0), (5.5, 9.0)]))
    write(nwb, folder / "sub-Jenkins/sub-Jenkins_ses-20090912_behavior+ecephys.nwb")
    (folder / "dandiset.yaml").write_text("identifier: DANDI:000070\n")

    # the first block begins at 0 s instead of 10 s; it takes 7 s and a pause of 1 s; the second begins at 8 s instead of 0.5 s
    moved = [np.r_[np.array(a, np.int64) - 1_000_000, np.array(b, np.int64) + 750_000] // 2000 for a, b in zip(first, second, strict=True)]
    cut = MadeSession(
        [str(i) for i in range(6)], counted(moved, 0, 925), 0, quantity="threshold_crossings", subject_id="Nitschke", regions=["M1"] * 6,
        observed=np.array([[0, 2], [3, 7], [8, 10], [10.5, 18.5]]),
    )  # fmt: skip
    whole = MadeSession(
        [str(i) for i in range(4)], counted([t // 2000 for t in plain], 100, 350), 100, quantity="threshold_crossings", subject_id="Jenkins",
        regions=["PMd"] * 4, observed=np.array([[2.0, 5.0], [5.5, 9.0]]),
    )  # fmt: skip
    names = ("sub-Nitschke_ses-20090910_behavior+ecephys", "sub-Jenkins_ses-20090912_behavior+ecephys")
    rows = published_histogram(trains), published_histogram([t / 1e5 for t in plain])
    return Made(dict(zip(names, (cut, whole), strict=True)), {("sub-Nitschke", names[0]): rows[0], ("sub-Jenkins", names[1]): rows[1]})


@making("h2")
def h2(folder: Path) -> Made:
    """Sentences of samples 20 ms apart, glued in the file: one begins 22 ms after the one before ended."""
    rng = np.random.default_rng(950)
    begins, lengths, bins = (3.127, 5.513, 6.315), (50, 40, 30), (156, 276, 317)
    stamps = np.concatenate([t + 0.02 * np.arange(n) for t, n in zip(begins, lengths, strict=True)])
    sessions, rows = {}, {}
    for split, run in (("held-in-calib", "20220518"), ("held-in-minival", "20220518"), ("held-out-calib", "20220706")):
        data = rng.poisson(0.7, (120, 192))
        data[7, 3] = 300  # uint8 makes 44 of it
        nwb = blank(f"T5_{split.replace('-', '_')}", "Homo sapiens")
        ends = [t + 0.02 * (n - 1) for t, n in zip(begins, lengths, strict=True)]
        add_trials(nwb, zip(begins, ends, strict=True), cue=["hello", "world", "again"], block_num=[4, 4, 5])
        nwb.add_acquisition(TimeSeries(name="binned_spikes", data=data, timestamps=stamps, unit="int"))
        nwb.add_acquisition(TimeSeries(name="eval_mask", data=np.arange(120) >= 10, timestamps=stamps, unit="bool"))
        name = f"sub-T5-{split}_ses-{run}"
        write(nwb, folder / f"sub-T5-{split}/{name}.nwb")
        counts = np.zeros((192, 347 - 156), np.int64)
        for first, n, at in zip((0, 50, 90), lengths, bins, strict=True):
            counts[:, at - 156 : at - 156 + n] = data[first : first + n].T
        spans = np.array([[b, b + n] for b, n in zip(bins, lengths, strict=True)]) * 0.02
        sessions[name] = MadeSession(
            [str(i) for i in range(192)], counts, 156, quantity="threshold_crossings", observed=spans, subject_id="T5",
            recording_id=f"h2/T5_{run}", set_aside="minival" in split,
        )  # fmt: skip
        rows[f"sub-T5-{split}", name] = data.T.astype(np.uint8)
    return Made(sessions, rows)


@making("temmar")
def temmar(folder: Path) -> Made:
    """The layout of today at 20 ms, with a gap where trials were removed; and that of the first files, at 32 ms."""
    rng = np.random.default_rng(1201)
    today = np.r_[4.0037 + 0.02 * np.arange(60), 7.9921 + 0.02 * np.arange(40)]
    early = 1.0 + 0.032 * np.arange(80)
    data = [rng.poisson(0.5, (len(t), 96)) for t in (today, early)]
    for name, stamps, counts in (("20201023", today, data[0]), ("20200127", early, data[1])):
        nwb = blank("Monkey-N")
        region = electrodes(nwb, 96, "M1", row=list(range(96)), col=[i % 8 for i in range(96)])
        series = ElectricalSeries(name="ThresholdCrossings", data=counts, electrodes=region, timestamps=stamps)
        power = ElectricalSeries(name="SpikingBandPower", data=rng.random(counts.shape), electrodes=region, timestamps=stamps)
        finger = TimeSeries(name="index_position", data=rng.random(len(stamps)), timestamps=stamps, unit="AU")
        add_trials(nwb, [(float(stamps[2]), float(stamps[30]))], target_style=["CO"], run_id=[2])
        module = None if name == "20201023" else nwb.create_processing_module("ecephys", "first layout")
        for each in (series, power, finger):
            nwb.add_analysis(each) if module is None else module.add(each)
        write(nwb, folder / f"sub-Monkey-N/sub-Monkey-N_ses-{name}_ecephys.nwb")
    ids = [str(i) for i in range(96)]
    counts = np.zeros((96, 240), np.int64)
    counts[:, :60], counts[:, 200:] = data[0][:60].T, data[0][60:].T
    sessions = {
        "sub-Monkey-N_ses-20201023_ecephys": MadeSession(
            ids, counts, 200, quantity="threshold_crossings", observed=np.array([[4.0, 5.2], [8.0, 8.8]]), subject_id="Monkey-N",
            recording_id="monkey-n/20201023", regions=["M1"] * 96,
        ),
        "sub-Monkey-N_ses-20200127_ecephys": MadeSession(
            ids, data[1].T, 31, "0.032", "threshold_crossings", observed=np.array([[0.992, 0.992 + 80 * 0.032]]), subject_id="Monkey-N",
            recording_id="monkey-n/20200127", regions=["M1"] * 96,
        ),
    }  # fmt: skip
    return Made(sessions, {("sub-Monkey-N", n): d.T.astype(np.uint8) for n, d in zip(sessions, data, strict=True)})


@making("athalye")
def athalye(folder: Path) -> Made:
    """J's counts at 200 a second by a rate; G's at 60 a second by time stamps, with a gap. No table of units."""
    rng = np.random.default_rng(404)
    j, g = rng.poisson(0.1, (403, 20)).astype(np.uint8), rng.poisson(0.4, (120, 30)).astype(np.uint8)
    stamps = np.r_[2.0 + np.arange(90) / 60, 5.01 + np.arange(30) / 60]
    for monkey, data, clock in (("j", j, {"rate": 200.0, "starting_time": 0.0}), ("g", g, {"timestamps": stamps})):
        nwb = blank(f"monk-{monkey}")
        module = nwb.create_processing_module("behavior", "what the decoder had")
        module.add(TimeSeries(name="spike_counts", data=data, unit="counts", **clock))
        module.add(TimeSeries(name="cursor", data=rng.random((len(data), 2)), unit="cm", **clock))
        write(nwb, folder / f"sub-monk-{monkey}/sub-monk-{monkey}_ses-1_behavior.nwb")
    counts = np.zeros((30, 331 - 120), np.int64)
    counts[:, :90], counts[:, 301 - 120 :] = g[:90].T, g[90:].T
    gaps = np.array([[120, 210], [301, 331]]) / 60
    sessions = {
        "sub-monk-j_ses-1_behavior": MadeSession(
            [str(i) for i in range(20)], j.T.astype(np.int64), 0, "0.005", "counts", observed=np.array([[0, 403 / 200]]), subject_id="monk-j"
        ),
        "sub-monk-g_ses-1_behavior": MadeSession([str(i) for i in range(30)], counts, 120, "1/60", "counts", observed=gaps, subject_id="monk-g"),
    }
    fours = np.stack([j[i : i + 4].sum(axis=0) for i in range(0, 400, 4)], axis=1)
    rows = {("sub-monk-j", "sub-monk-j_ses-1_behavior"): fours.astype(np.uint8), ("sub-monk-g", "sub-monk-g_ses-1_behavior"): g.T}
    return Made(sessions, rows)


def benchmark(folder: Path, key: str, animal: str, day: str, tails: tuple[str, str]) -> Made:
    """A train file with some units held out, in two blocks; a test file of the held-in ones, in short windows."""
    rng = np.random.default_rng(len(key))
    held_out = [False, True, False, False, True]
    blocks, windows = [(0.5, 6.0), (8.0, 12.0)], [(14.0, 14.6), (17.0, 17.6), (20.0, 20.6)]
    sessions, rows = {}, {}
    for part, tail, observed in (("train", tails[0], blocks), ("test", tails[1], windows)):
        units = [i for i in range(5) if part == "train" or not held_out[i]]
        ticks = [np.sort(np.concatenate([rng.choice(np.arange(int(a * 1e5), int(b * 1e5)), 40, False) for a, b in observed])) for _ in units]
        nwb = blank(animal)
        electrodes(nwb, 5, "area")
        nwb.add_unit_column("heldout", "kept from the models of the benchmark")
        for i, own in zip(units, ticks, strict=True):
            nwb.add_unit(id=i, spike_times=own / 1e5, obs_intervals=np.array(observed), heldout=held_out[i], electrodes=[i])
        add_trials(nwb, observed, split=[part] * len(observed))
        if key == "area2-bump":
            for series in ("hand_pos", "force", "joint_ang"):
                hand(nwb, np.arange(0, 20, 0.1), series, f"of {series}")
        name = f"sub-{animal}_desc-{part}_{tail}"
        write(nwb, folder / f"sub-{animal}/{name}.nwb")
        first = int(observed[0][0] * 50)
        sessions[name] = MadeSession(
            [str(i) for i in units], counted([t // 2000 for t in ticks], first, int(observed[-1][1] * 50) - first), first, subject_id=animal,
            observed=np.array(observed), recording_id=f"{key}/{animal}_{day}", set_aside=part == "test", regions=["area"] * len(units),
        )  # fmt: skip
        rows[f"sub-{animal}", name] = published_histogram([t / 1e5 for t in ticks])
    return Made(sessions, rows)


@making("dmfc-rsg")
def dmfc_rsg(folder: Path) -> Made:
    """One session in two files."""
    return benchmark(folder, "dmfc-rsg", "Haydn", "2016-12-11", ("ecephys", "ecephys"))


@making("area2-bump")
def area2_bump(folder: Path) -> Made:
    """One session in two files, with behaviour that is wanted and behaviour that is not."""
    return benchmark(folder, "area2-bump", "Han", "2017-12-07", ("behavior+ecephys", "ecephys"))
