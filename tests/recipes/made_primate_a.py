"""Primate datasets that are NWB files, as their dandisets would hold them, small: written by pynwb, counted in plain numpy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from making import Made, MadeSession, making
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.core import DynamicTable, VectorData
from pynwb.ecephys import LFP, ElectricalSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.misc import Units

MONKEY = "Macaca mulatta"


def new_file(subject: str, species: str = MONKEY) -> NWBFile:
    nwb = NWBFile("a session", f"{subject}-1", datetime(2021, 3, 4, tzinfo=UTC))
    nwb.subject = Subject(subject_id=subject, species=species, sex="U", age="P9Y")
    return nwb


def write(nwb: NWBFile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)


def trains(seed: int, n_spikes: list[int], start: float, stop: float) -> list[np.ndarray]:
    """Spike times at half milliseconds, far from every edge of 20 ms."""
    rng = np.random.default_rng(seed)
    return [np.sort(rng.choice(np.arange(round(start * 1000), round(stop * 1000)), n, replace=False) + 0.5) / 1000 for n in n_spikes]


def counted(times: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """Counts in bins of 20 ms from the first bin with a spike to the last, and that first bin."""
    bins = [np.floor(t * 50).astype(int) for t in times]
    first, last = min(b.min() for b in bins if len(b)), max(b.max() for b in bins if len(b))
    return np.stack([np.bincount(b - first, minlength=last - first + 1) for b in bins]), int(first)


def published(times: list[np.ndarray]) -> np.ndarray:
    """The published scripts' rule for a table of units: float edges from 0 to the last spike of any."""
    latest = max(t.max() for t in times if len(t))
    edges = np.arange(0, latest + 0.02, 0.02)
    return np.stack([np.histogram(t, bins=edges)[0] for t in times]).astype(np.uint8)


def session(times: list[np.ndarray], subject: str, **known) -> MadeSession:
    counts, first = counted(times)
    return MadeSession([str(i) for i in range(len(times))], counts, first, subject_id=subject, **known)


def from_spikes(times: list[np.ndarray], less: tuple[tuple[float, float], ...] = ()) -> np.ndarray:
    """What is observed where only spikes tell: from the tick of the first to the end of the last one's, less some spans inside."""
    first, last = min(t.min() for t in times if len(t)), max(t.max() for t in times if len(t))
    edges = [np.floor(first * 1e5 + 1e-3) / 1e5, *(e for span in less for e in span), (np.floor(last * 1e5 + 1e-3) + 1) / 1e5]
    return np.array(edges).reshape(-1, 2)


def electrodes(nwb: NWBFile, areas: list[str]) -> None:
    """An electrode an area, a group for each different one."""
    device = nwb.create_device("array")
    groups = {a: nwb.create_electrode_group(f"array_{a}", "an array", a, device) for a in dict.fromkeys(areas)}
    for area in areas:
        nwb.add_electrode(location=area, group=groups[area])


@making("xiao")
def xiao(folder: Path) -> Made:
    rng = np.random.default_rng(628)
    stem = "sub-An_ses-20220105T173929"
    raster = (rng.random((1237, 3)) < 0.03).astype(np.uint8)
    raster[40, 0], raster[1236, 2] = 2, 1
    start = 2.5
    nwb = new_file("An")
    module = nwb.create_processing_module("ecephys", "preprocessed")
    module.add(TimeSeries(name="rasters", data=raster, unit="n.a.", rate=1000.0, starting_time=start))
    names = ["005A", "037A", "069B"]
    module.add(DynamicTable(name="unit_names", description="names", columns=[VectorData(name="unit_name", description="name", data=names)]))
    write(nwb, folder / "sub-An" / f"{stem}.nwb")
    for other in ("image", "behavior"):
        nwb = new_file("An")
        nwb.add_acquisition(TimeSeries(name=other, data=np.arange(5.0), unit="n.a.", rate=1000.0))
        write(nwb, folder / "sub-An" / f"{stem}_{other}.nwb")

    row, unit = np.nonzero(raster)
    bins = (row + 2500) // 20
    counts = np.zeros((3, bins.max() - bins.min() + 1), int)
    np.add.at(counts, (unit, bins - bins.min()), raster[row, unit])
    made = MadeSession(names, counts, int(bins.min()), quantity="counts", subject_id="An", observed=np.array([[start, start + 1.237]]))
    upstream = np.array([raster[i * 20 : (i + 1) * 20].sum(axis=0) for i in range(1237 // 20)]).T.astype(np.uint8)
    return Made({stem: made}, {("sub-An", stem): upstream})


def neupane(folder: Path, seed: int, subject: str, columns: list[dict[str, list[str]]]) -> Made:
    sessions, upstream = {}, {}
    for i, own in enumerate(columns):
        times = trains(seed + i, [40, 25, 60], 30.0, 33.0)
        nwb = new_file(subject)
        units = Units(name="units", description="clusters")
        for name in own:
            units.add_column(name, name)
        for u, t in enumerate(times):
            units.add_unit(spike_times=t, **{name: values[u] for name, values in own.items()})
        nwb.create_processing_module("ecephys", "sorted").add(units)
        nwb.add_trial_column("succ", "success")
        nwb.add_trial(start_time=30.0, stop_time=31.5, succ=1)
        nwb.add_trial(start_time=31.6, stop_time=32.9, succ=0)
        stem = f"sub-{subject}_ses-0{i + 1}_behavior+ecephys"
        write(nwb, folder / f"sub-{subject}" / f"{stem}.nwb")
        sessions[stem] = session(times, subject, observed=from_spikes(times))
        upstream[f"sub-{subject}", stem] = published(times)
    raw = new_file(subject)
    electrodes(raw, ["cortex", "cortex"])
    region = raw.create_electrode_table_region([0, 1], "all")
    raw.add_acquisition(ElectricalSeries(name="ElectricalSeriesAP", data=np.zeros((10, 2), np.int16), electrodes=region, rate=30_000.0))
    write(raw, folder / f"sub-{subject}" / f"sub-{subject}_ses-01_ecephys.nwb")
    return Made(sessions, upstream)


@making("neupane-ppc")
def neupane_ppc(folder: Path) -> Made:
    return neupane(folder, 1275, "amadeus", [{"KSLabel": ["good", "mua", "good"], "ContamPct": [1.0, 90.0, 3.0]}])


@making("neupane-entorhinal")
def neupane_entorhinal(folder: Path) -> Made:
    return neupane(folder, 897, "mahler", [{"quality": ["good", "noise", "mua"]}, {"KSLabel": ["good", "mua", "good"], "quality": ["good", "mua", "noise"]}])


@making("chen")
def chen(folder: Path) -> Made:
    times = trains(1435, [30, 45], 12.0, 14.0)
    nwb = new_file("O")
    for t in times:
        nwb.add_unit(spike_times=t)
    stem = "sub-O_ses-20230101_behavior+ecephys"
    write(nwb, folder / "sub-O" / f"{stem}.nwb")
    raw = new_file("O")
    raw.add_acquisition(TimeSeries(name="ElectricalSeriesAP", data=np.arange(5.0), unit="V", rate=30_000.0))
    write(raw, folder / "sub-O" / "sub-O_ses-20230101_ecephys.nwb")
    return Made({stem: session(times, "O", observed=from_spikes(times))}, {("sub-O", stem): published(times)})


@making("kim")
def kim(folder: Path) -> Made:
    sessions, upstream = {}, {}
    for i, (start, n) in enumerate([(5.0, [20, 0, 31]), (305.0, [15, 22])]):
        times = trains(1357 + i, n, start, start + 2)
        nwb = new_file("P")
        for name in ("is_sua", "depth", "best_ch", "unit_ID", "pen_ID", "ses_ID"):
            nwb.add_unit_column(name, name)
        for u, t in enumerate(times):
            nwb.add_unit(spike_times=t, is_sua=int(u != 1), depth=100.0 * u, best_ch=u, unit_ID=u + 1, pen_ID="p240101", ses_ID=i)
        nwb.add_trial_column("cond_ID", "condition")
        nwb.add_trial(start_time=start, stop_time=start + 1, cond_ID=3)
        stem = f"sub-P_ses-p240101-{i}"
        write(nwb, folder / "sub-P" / f"{stem}.nwb")
        sessions[stem] = session(times, "P", observed=from_spikes(times))
        upstream["sub-P", stem] = published(times)
    return Made(sessions, upstream)


@making("even-chen")
def even_chen(folder: Path) -> Made:
    areas = ["PMd", "PMd", "M1", "M1"]
    before, after = trains(121, [25, 0, 18, 40], 0.6, 3.9), trains(122, [11, 0, 30, 9], 6.1, 9.4)
    times = [np.r_[a, b] for a, b in zip(before, after, strict=True)]
    nwb = new_file("J")
    electrodes(nwb, areas)
    for u, t in enumerate(times):
        nwb.add_unit(spike_times=t, electrodes=[u], obs_intervals=[[0.5, 9.5]])
    lfp = LFP()
    nwb.create_processing_module("ecephys", "field potentials").add(lfp)
    for area, first in (("PMd", 0), ("M1", 2)):
        for i, (start, seconds) in enumerate([(0.25, 3.75), (6.0, 4.0)]):
            region = nwb.create_electrode_table_region([first, first + 1], "array")
            data = np.zeros((round(seconds * 1000), 2), np.int16)
            lfp.add_electrical_series(ElectricalSeries(name=f"{area}_{i}", data=data, electrodes=region, rate=1000.0, starting_time=start))
    nwb.add_trial_column("task_id", "design")
    nwb.add_trial(start_time=1.0, stop_time=2.0, task_id=2)
    stem = "sub-JenkinsC_ses-20160201_behavior+ecephys"
    write(nwb, folder / "sub-JenkinsC" / f"{stem}.nwb")
    made = session(times, "J", observed=np.array([[0.5, 4.0], [6.0, 9.5]]), regions=list(areas))
    return Made({stem: made}, {("sub-JenkinsC", stem): published(times)})


@making("perich")
def perich(folder: Path) -> Made:
    sessions, upstream = {}, {}
    for i, (subject, task, areas) in enumerate([("C", "CO-20131003", ["M1", "PMd", "PMd"]), ("J", "RT-20140221", ["M1", "M1"])]):
        times = trains(688 + i, [35, 20, 28][: len(areas)], 0.4, 3.0)
        nwb = new_file(subject)
        electrodes(nwb, areas)
        for u, t in enumerate(times):
            nwb.add_unit(spike_times=t, electrodes=[u], waveforms=[[np.zeros(4)] for _ in t])
        nwb.add_trial_column("result", "result")
        nwb.add_trial(start_time=0.5, stop_time=2.5, result="R")
        stem = f"sub-{subject}_ses-{task}_behavior+ecephys"
        write(nwb, folder / f"sub-{subject}" / f"{stem}.nwb")
        sessions[stem] = session(times, subject, observed=from_spikes(times), regions=list(areas))
        upstream[f"sub-{subject}", stem] = published(times)
    return Made(sessions, upstream)


@making("moore")
def moore(folder: Path) -> Made:
    lost = ((2.0, 2.4), (5.1, 5.2))
    parts = [trains(1062 + i, [22, 30, 0, 14], a, b) for i, (a, b) in enumerate([(0.5, 2.0), (2.4, 5.1), (5.2, 7.0)])]
    times = [np.concatenate(p) for p in zip(*parts, strict=True)]
    nwb = new_file("MG", "Callithrix jacchus")
    electrodes(nwb, ["motor", "sensory"])
    nwb.add_unit_column("quality", "the curator's verdict")
    for t, quality, electrode in zip(times, ["good", "mua", "noise", "good"], [0, 1, 1, 0], strict=True):
        nwb.add_unit(spike_times=t, quality=quality, electrodes=[electrode])
    dropout = TimeIntervals(name="neural_dropout", description="the signal was lost")
    for start, stop in lost:
        dropout.add_row(start_time=start, stop_time=stop)
    nwb.add_time_intervals(dropout)
    stem = "sub-MG_ses-TMP_behavior+ecephys"
    write(nwb, folder / "sub-MG" / f"{stem}.nwb")
    made = session(times, "MG", observed=from_spikes(times, lost), regions=["motor", "sensory", "sensory", "motor"])
    return Made({stem: made}, {("sub-MG", stem): published(times)})
