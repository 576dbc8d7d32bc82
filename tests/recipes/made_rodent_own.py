"""Datasets of a layout of their own: a file a probe, rates in place of spikes, eight probes in one MATLAB file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import scipy.io
from hdmf.common import DynamicTable, VectorData
from made_rodent_parts import PUBLISHED_BIN, add_electrodes, add_units, made, module, new, seconds, series, ticks_of, voltage, write
from making import Made, MadeSession, making
from pynwb import TimeSeries


@making("lemerre")
def lemerre(folder: Path) -> Made:
    """A session of two probes, the second of which ends early and has a silent unit, and one of one probe."""
    trains = {
        ("PL081-20230620", 0): ticks_of(1260, 3, 0.5, 40.0),
        ("PL081-20230620", 1): ticks_of(1261, 2, 2.0, 25.0, silent=(1,)),
        ("PL081-20230622", 0): ticks_of(1262, 2, 1.0, 20.0),
    }
    areas = {0: ["PL", "ILA"], 1: ["ORBl", "CP"]}
    for (session, probe), own in trains.items():
        nwb = new("PL081")
        add_electrodes(nwb, ["imec"], areas[probe], DV=[2.0, 2.5])
        nwb.add_acquisition(voltage(nwb, "ElectricalSeriesLFP", 800 if probe == 0 else 500, 20.0))
        module(nwb, "behavior", series("pupil", 300, "px"))
        nwb.add_stimulus(series("passive_10kHz", 300, "V"))
        add_units(nwb, own, {"electrodes": [[i % 2] for i in range(len(own))]})
        write(nwb, folder, f"sub-PL081/sub-PL081_ses-{session}-probe{probe}_behavior+ecephys.nwb")
    two = [*trains["PL081-20230620", 0], *trains["PL081-20230620", 1]]
    one = trains["PL081-20230622", 0]
    ids = ["probe0:0", "probe0:1", "probe0:2", "probe1:0", "probe1:1"]
    sessions = {
        "sub-PL081_ses-PL081-20230620": made(two, ids, subject_id="PL081", regions=["PL", "ILA", "PL", "ORBl", "CP"]),
        "sub-PL081_ses-PL081-20230622": made(one, ids[:2], subject_id="PL081", regions=["PL", "ILA"], observed=np.array([[0.0, 40.0]])),
    }
    rows = {("sub-PL081", "ses-PL081-20230620"): _shared_edges(two), ("sub-PL081", "ses-PL081-20230622"): _shared_edges(one)}
    return Made(sessions, rows)


def _shared_edges(trains: list[np.ndarray]) -> np.ndarray:
    """The published scripts' counts: one set of float edges for all probes of a session, up to the latest spike of any."""
    times = [seconds(t) for t in trains]
    edges = np.arange(0, np.concatenate(times).max() + PUBLISHED_BIN, PUBLISHED_BIN)
    return np.array([np.histogram(t, edges)[0] for t in times]).astype(np.uint8)


@making("gonzalez")
def gonzalez(folder: Path) -> Made:
    """Two sessions of rates: one of the tree maze with tables of trials and events, one of the open field without."""
    sessions: dict[str, MadeSession] = {}
    rows: dict[tuple[str, str], np.ndarray] = {}
    for i, (day, task) in enumerate((("20180702", "T3g"), ("20180705", "OF"))):
        rng = np.random.default_rng(405 + i)
        rates = rng.choice([0.0, 0.4, 18.75, 24.9, 25.0, 25.1, 50.0, 75.0, 125.0, 612.5], (700, 3))
        uuids = [f"{i}{u}f6" for u in range(3)]
        nwb = new("Li", "Rattus norvegicus", description=task, start=datetime(18, 7, 2, tzinfo=UTC))
        nwb.add_acquisition(TimeSeries(name="firing_rates", data=rates, unit="uv", starting_time=0.0, rate=50.0))
        nwb.add_acquisition(TimeSeries(name="track_data", data=np.zeros((700, 3)), unit="m", starting_time=0.0, rate=0.02))
        nwb.add_acquisition(_table("unit_table", uuid=uuids, cl_name=["Li-1", "Li-2", "Li-3"], unit_type=["cell", "mua", "cell"]))
        if task != "OF":
            nwb.add_acquisition(_table("trial_table", cue=["L", "R"], dec=["L", "L"], goal=[1, 4], correct=[1, 0], t0=[10, 300], tE=[250, 650]))
            nwb.add_acquisition(_table("event_table", event=["cue", "reward"], t=[12, 240]))
        stem = f"sub-Li_ses-Li-{task}-{day}"
        write(nwb, folder, f"sub-Li/{stem}.nwb")
        sessions[stem] = MadeSession(uuids, quantity="rates", signal=rates, observed=np.array([[0.0, 14.0]]), subject_id="Li")
        rows["sub-Li", stem] = np.round(rates.T / 50).astype(np.uint8)
    return Made(sessions, rows)


def _table(name: str, **columns: list) -> DynamicTable:
    data = [VectorData(name=c, description=c, data=v) for c, v in columns.items()]
    return DynamicTable(name=name, description=name, columns=data)


#: Cluster numbers that occur on each probe: probes differ, numbers are left out, one probe has none.
CLUSTERS = ([1, 2, 5], [3], [], [2, 4], [1], [1, 3], [6], [2])
SITES = ("VISp2/3", "VISp5", "CA1", "LP")


@making("steinmetz-2")
def steinmetz_2(folder: Path) -> Made:
    """The three mice, the start of whose files lies late on the clock; and the files beside them that are not theirs."""
    sessions: dict[str, MadeSession] = {}
    rows: dict[tuple[str, str], np.ndarray] = {}
    for i, mouse in enumerate(("Krebs", "Waksman", "Robbins")):
        probes = [_probe(i, p, clusters) for p, clusters in enumerate(CLUSTERS)]
        _write_spks(folder / f"spks{mouse}_Feb18.mat", probes)
        ids = [f"probe{p + 1}:{c}" for p, clusters in enumerate(CLUSTERS) for c in clusters]
        trains = [t for own in probes for t in own.values()]
        # cluster c lies at 100 c um, the sites at 50, 200, 350 and 500 um: its area is that of the site next to it
        areas = [SITES[min(max(round((100 * c - 50) / 150 - 0.01), 0), 3)] for clusters in CLUSTERS for c in clusters]
        sessions[f"spks{mouse}_Feb18"] = made(trains, ids, subject_id=mouse, regions=list(areas))
        rows[mouse, f"spks{mouse}_Feb18"] = _in_place(probes)
        scipy.io.savemat(folder / f"{mouse}_face_proc.mat", {"motionSVD": np.zeros((10, 2)), "times": np.arange(10.0)})
    _write_locations(folder / "probeLocations.mat")
    return Made(sessions, rows)


def _probe(mouse: int, probe: int, clusters: list[int]) -> dict[int, np.ndarray]:
    """A probe's ticks by cluster; each probe starts later than the one before."""
    start = 3800.01 + 0.37 * mouse + 2.5 * probe
    if not clusters:
        return {}
    trains = ticks_of(7739750 + 10 * mouse + probe, len(clusters), start, start + 30.007 - probe)
    return dict(zip(clusters, trains, strict=True))


def _write_spks(file: Path, probes: list[dict[int, np.ndarray]]) -> None:
    """Spikes of a probe's clusters mixed in time order, and the height of each cluster number, occurring or not."""
    records = np.zeros((1, len(probes)), [("st", object), ("clu", object), ("Wheights", object)])
    for p, own in enumerate(probes):
        times = np.concatenate([seconds(t) for t in own.values()] or [np.empty(0)])
        clusters = np.concatenate([np.full(len(t), c) for c, t in own.items()] or [np.empty(0)])
        order = np.argsort(times, kind="stable")
        heights = 100.0 * np.arange(1, max(own, default=0) + 1)
        records[0, p] = (times[order, None], clusters[order, None].astype(np.float64), heights[:, None])
    file.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(file, {"spks": records})


def _write_locations(file: Path) -> None:
    """Where the sites of each mouse's probes lie: heights from 50 um on, every 150 um, and their areas."""
    mice = np.zeros((1, 3), [("probe", object)])
    for m in range(3):
        probes = np.zeros((1, 8), [("siteCoords", object), ("ccfOntology", object)])
        for p in range(8):
            coordinates = np.column_stack([np.zeros(4), 50.0 + 150.0 * np.arange(4)])
            probes[0, p] = (coordinates, np.array(SITES, object)[:, None])
        mice[0, m] = (probes,)
    scipy.io.savemat(file, {"probeLocations": mice})


def _in_place(probes: list[dict[int, np.ndarray]]) -> np.ndarray:
    """The published scripts' counts: one added a spike, from the earliest of all, a row for every number up to each probe's highest."""
    every = [(p, c, s) for p, own in enumerate(probes) for c, t in own.items() for s in seconds(t).tolist()]
    first, last = min(s for _, _, s in every), max(s for _, _, s in every)
    n_bins = int(np.ceil((last - first) / PUBLISHED_BIN))
    highest = [max(own, default=0) for own in probes]
    above = np.cumsum([0, *highest])
    counts = np.zeros((sum(highest), n_bins), np.uint8)
    for probe, cluster, second in every:
        counts[above[probe] + cluster - 1, int((second - first) / PUBLISHED_BIN)] += 1
    return counts
