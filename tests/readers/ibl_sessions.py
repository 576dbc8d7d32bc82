"""One made-up session of the International Brain Laboratory, written as an ALF tree and as one of its new NWB files."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

EID = "d3372b15-f696-4279-9be5-98f15783b5bb"
PLACE = ("testlab", "Subjects", "KS099", "2021-03-22", "001")
#: Acronyms of the Allen atlas and their ids; void is outside the brain.
AREAS = {"void": 0, "VISp2/3": 821, "VISp5": 778, "CA1": 382, "LGd": 170, "root": 997}
POINTS = ("nose_tip", "paw_l", "paw_r", "tongue_end_l", "tongue_end_r", "pupil_top_r", "tube_top")
#: The same points as the NWB files call them.
NWB_POINTS = ("NoseTip", "LeftPaw", "RightPaw", "LeftTongueEnd", "RightTongueEnd", "RightPupilTop", "TubeTop")
RATES = {"left": 60.0, "right": 150.0, "body": 30.0}


@dataclass
class Probe:
    """One probe's sorting and its channels."""

    name: str
    times: np.ndarray
    clusters: np.ndarray
    amps: np.ndarray
    depths: np.ndarray
    metrics: pd.DataFrame
    uuids: list[str]
    peak: np.ndarray
    waveforms: np.ndarray
    channels: dict[str, np.ndarray]
    areas: list[str]


@dataclass
class Made:
    """What was recorded in the session."""

    probes: list[Probe]
    trials: pd.DataFrame
    quiescence: np.ndarray
    wheel: tuple[np.ndarray, np.ndarray]
    moves: np.ndarray
    licks: np.ndarray
    periods: dict[str, tuple[float, float]]
    gabor: pd.DataFrame
    stims: pd.DataFrame
    cameras: dict[str, dict[str, Any]] = field(default_factory=dict)


def made(seed: int = 0, n_probes: int = 2, n_units: int = 6, wheel_sign: int = 1, n_trials: int = 30) -> Made:
    """The same session for the same seed; its trials last 60 s, its passive part 20 s."""
    rng = np.random.default_rng(seed)
    trials = trial_table(rng, n_trials)
    times, position = turned(rng, trials, wheel_sign)
    starts = np.sort(rng.uniform(62, 75, 5))
    stims = pd.DataFrame({"valveOn": [76.0, 77.0, np.nan], "valveOff": [76.1, 77.1, np.nan], "toneOn": [76.5, np.nan, np.nan]})
    stims = stims.assign(toneOff=stims.toneOn + 0.1, noiseOn=[76.2, 76.8, 77.5], noiseOff=[76.7, 77.3, 78.0])
    gabor = pd.DataFrame({"start": starts, "stop": starts + 0.3, "position": rng.choice([-35.0, 35.0], 5), "contrast": rng.choice([0.25, 1.0], 5)})
    return Made(
        probes=[probe(rng, f"probe{i:02d}", n_units) for i in range(n_probes)],
        trials=trials,
        quiescence=rng.uniform(0.4, 0.7, n_trials),
        wheel=(times, position),
        moves=np.sort(rng.uniform(0, 60, (8, 2)), axis=None).reshape(8, 2),
        licks=np.sort(rng.uniform(0, 60, 40)),
        periods={"passiveProtocol": (60.0, 80.0), "spontaneousActivity": (60.0, 62.0), "RFM": (62.0, 70.0), "taskReplay": (70.0, 80.0)},
        gabor=gabor.assign(phase=rng.uniform(0, 6, 5)),
        stims=stims,
        cameras={side: camera(rng, side, rate) for side, rate in RATES.items()},
    )


def trial_table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Trials with IBL's meanings: a choice of +1 is right where the stimulus was on the left, 0 is none, nothing is detected every time."""
    start = np.arange(n) * (58.0 / n)
    is_left = rng.random(n) < 0.5
    contrast = rng.choice([0, 0.0625, 0.125, 0.25, 1], n)
    rewarded = rng.random(n) < 0.7
    choice = np.where(is_left == rewarded, 1, -1)
    choice[~rewarded & (rng.random(n) < 0.2)] = 0
    on = start + 0.5
    return pd.DataFrame(
        {
            "intervals_0": start,
            "intervals_1": start + 1.8,
            "goCue_times": on + 0.001,
            "goCueTrigger_times": on,
            "response_times": on + rng.uniform(0.2, 0.8, n),
            "choice": choice.astype(float),
            "stimOn_times": np.where(rng.random(n) < 0.1, np.nan, on),
            "stimOff_times": on + 1.0,
            "contrastLeft": np.where(is_left, contrast, np.nan),
            "contrastRight": np.where(is_left, np.nan, contrast),
            "feedback_times": on + 0.9,
            "feedbackType": np.where(rewarded, 1.0, -1.0),
            "rewardVolume": np.where(rewarded, 1.5, 0.0),
            "probabilityLeft": np.where(np.arange(n) < n // 3, 0.5, 0.8),
            "firstMovement_times": np.where(rng.random(n) < 0.1, np.nan, on + 0.15),
        }
    )


def turned(rng: np.random.Generator, trials: pd.DataFrame, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """A wheel that is turned by a choice's sign between stimulus and response, sampled at the edges of its encoder."""
    grid = np.sort(rng.uniform(0, 60, 4000))
    position = 0.002 * rng.standard_normal(4000)
    for on, stop, choice in zip(trials.goCueTrigger_times, trials.response_times, trials.choice, strict=True):
        position += sign * choice * 0.6 * np.clip((grid - on) / (stop - on), 0, 1)
    return grid, np.round(position * 4096 / (2 * np.pi)) / 4096 * 2 * np.pi


def probe(rng: np.random.Generator, name: str, n_units: int, n_channels: int = 12) -> Probe:
    """A probe whose last cluster but one never fires; some depths and amplitudes of spikes are not known."""
    n_spikes = 400 * n_units
    clusters = rng.integers(0, n_units, n_spikes)
    clusters[clusters == n_units - 2] = 0
    depths = rng.uniform(0, 3840, n_spikes)
    depths[::97] = np.nan
    confidence, noise, amplitude = rng.uniform(50, 100, n_units), rng.uniform(0, 10, n_units), rng.uniform(20e-6, 90e-6, n_units)
    confidence[0], noise[0], amplitude[0] = 99.0, 1.0, 80e-6
    noise[-1] = np.nan
    passed = np.stack([confidence >= 90, noise < 5, amplitude > 50e-6])
    areas = [list(AREAS)[i] for i in rng.integers(0, len(AREAS), n_channels)]
    hemisphere = rng.choice([-1, 1])
    metrics = pd.DataFrame(
        {
            "cluster_id": np.arange(n_units),
            "amp_median": amplitude,
            "amp_max": amplitude * 2,
            "amp_min": amplitude / 2,
            "noise_cutoff": noise,
            "max_confidence": confidence,
            "slidingRP_viol": (confidence >= 90).astype(float),
            "firing_rate": np.bincount(clusters, minlength=n_units) / 80.0,
            "spike_count": np.bincount(clusters, minlength=n_units),
            "label": passed.sum(axis=0) / 3,
            "bitwise_fail": (~passed[0]) + 2 * (~passed[1]) + 4 * (~passed[2]),
            "ks2_label": rng.choice(["good", "mua", "noise"], n_units),
        }
    )
    return Probe(
        name=name,
        times=np.sort(rng.uniform(0, 80, n_spikes)),
        clusters=clusters,
        amps=np.where(np.arange(n_spikes) % 53, rng.uniform(2e-5, 1e-4, n_spikes), np.nan),
        depths=depths,
        metrics=metrics,
        uuids=[str(uuid.UUID(int=int(rng.integers(2**60)))) for _ in range(n_units)],
        peak=rng.integers(0, n_channels, n_units),
        waveforms=rng.normal(0, 1e-5, (n_units, 82, 4)).astype(np.float32),
        channels={
            "localCoordinates": np.c_[np.tile([43.0, 11.0, 59.0, 27.0], n_channels // 4), np.repeat(np.arange(n_channels // 2) * 20.0, 2)],
            "mlapdv": np.c_[rng.integers(-3000, 3000, n_channels), rng.integers(-5000, 2000, n_channels), rng.integers(-4000, 0, n_channels)],
            "brainLocationIds_ccf_2017": np.array([hemisphere * AREAS[a] for a in areas]),
            "rawInd": np.arange(n_channels),
        },
        areas=areas,
    )


def camera(rng: np.random.Generator, side: str, rate: float) -> dict[str, Any]:
    """What one camera saw for 20 s: its frame times, poses, motion energy and, from the side, the pupil."""
    n = int(rate * 20)
    points = POINTS if side != "body" else ("tail_start",)
    pose = {}
    for p in points:
        pose |= {f"{p}_x": rng.uniform(0, 640, n), f"{p}_y": rng.uniform(0, 512, n), f"{p}_likelihood": rng.uniform(0.5, 1, n)}
    slow = 20 + np.cumsum(rng.normal(0, 0.2, n))
    pupil = None if side == "body" else pd.DataFrame({"pupilDiameter_raw": slow + rng.normal(0, 0.1, n), "pupilDiameter_smooth": slow})
    times = 10.0 + np.arange(n) / rate + rng.normal(0, 1e-4, n)
    return {"times": times, "pose": pd.DataFrame(pose), "energy": rng.uniform(0, 50, n), "pupil": pupil}


def as_alf(session: Made, root: Path, sorter: str = "pykilosort", revision: str = "") -> Path:
    """The session as a folder of an archive: lab/Subjects/subject/date/number."""
    folder = root.joinpath(*PLACE)
    alf = folder / "alf"
    alf.mkdir(parents=True)
    session.trials.drop(columns="goCueTrigger_times").to_parquet(alf / "_ibl_trials.table.pqt")
    np.save(alf / "_ibl_trials.quiescencePeriod.npy", session.quiescence)
    np.save(alf / "_ibl_trials.goCueTrigger_times.npy", session.trials["goCueTrigger_times"].to_numpy())
    np.save(alf / "_ibl_wheel.timestamps.npy", session.wheel[0])
    np.save(alf / "_ibl_wheel.position.npy", session.wheel[1])
    np.save(alf / "_ibl_wheelMoves.intervals.npy", session.moves)
    np.save(alf / "_ibl_wheelMoves.peakAmplitude.npy", session.moves[:, 0] / 100)
    np.save(alf / "licks.times.npy", session.licks)
    pd.DataFrame(session.periods, index=["start", "stop"]).to_csv(alf / "_ibl_passivePeriods.intervalsTable.csv")
    session.gabor.to_csv(alf / "_ibl_passiveGabor.table.csv", index=False)
    session.stims.to_csv(alf / "_ibl_passiveStims.table.csv", index=False)
    for side, seen in session.cameras.items():
        np.save(alf / f"_ibl_{side}Camera.times.npy", seen["times"])
        np.save(alf / f"{side}Camera.ROIMotionEnergy.npy", seen["energy"])
        np.save(alf / f"{side}ROIMotionEnergy.position.npy", np.array([10, 20, 100, 50]))
        seen["pose"].to_parquet(alf / f"_ibl_{side}Camera.lightningPose.pqt", row_group_size=500)
        if seen["pupil"] is not None:
            seen["pupil"].to_parquet(alf / f"_ibl_{side}Camera.features.pqt")
    for p in session.probes:
        _sorting(p, alf / p.name / sorter / (f"#{revision}#" if revision else ""))
    return folder


def _sorting(p: Probe, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("times", "clusters", "amps", "depths"):
        np.save(folder / f"spikes.{name}.npy", getattr(p, name))
    np.save(folder / "clusters.channels.npy", p.peak)
    np.save(folder / "clusters.depths.npy", p.channels["localCoordinates"][p.peak, 1] + 1.25)
    np.save(folder / "clusters.waveforms.npy", p.waveforms)
    p.metrics.to_parquet(folder / "clusters.metrics.pqt")
    pd.DataFrame({"uuids": p.uuids}).to_csv(folder / "clusters.uuids.csv", index=False)
    for name, values in p.channels.items():
        np.save(folder / f"channels.{name}.npy", values)


def as_nwb(session: Made, path: Path) -> Path:
    """The session as a new file of DANDI 000409: pynwb writes what its core knows, h5py what extensions add."""
    from ibl_nwb import write_core

    write_core(session, path)
    with h5py.File(path, "a") as file:
        _events(file, session.licks)
        _poses(file, session.cameras)
        _localized(file, session.probes)
    return path


def _typed(group: h5py.Group, kind: str, namespace: str) -> h5py.Group:
    group.attrs.update({"neurodata_type": kind, "namespace": namespace, "object_id": str(uuid.uuid5(uuid.NAMESPACE_OID, group.name))})
    return group


def _module(file: h5py.File, name: str) -> h5py.Group:
    module = _typed(file.require_group(f"processing/{name}"), "ProcessingModule", "core")
    module.attrs["description"] = name
    return module


def _events(file: h5py.File, times: np.ndarray) -> None:
    group = _typed(_module(file, "lick_times").create_group("EventsLickTimes"), "Events", "ndx-events")
    group.attrs["description"] = "licks"
    group.create_dataset("timestamps", data=times)


def _poses(file: h5py.File, cameras: dict[str, dict[str, Any]]) -> None:
    """A series a point; all but the first link to its time stamps, as the converter writes them."""
    module = _module(file, "pose_estimation")
    for side, seen in cameras.items():
        group = _typed(module.create_group(f"{side.capitalize()}Camera"), "PoseEstimation", "ndx-pose")
        group.create_dataset("source_software", data="Lightning Pose")
        names = dict(zip(POINTS, NWB_POINTS, strict=True)) | {"tail_start": "TailStart"}
        first: h5py.Group | None = None
        for point in (c.removesuffix("_x") for c in seen["pose"] if c.endswith("_x")):
            series = _typed(group.create_group(f"PoseEstimationSeries{names[point]}"), "PoseEstimationSeries", "ndx-pose")
            series.create_dataset("data", data=seen["pose"][[f"{point}_x", f"{point}_y"]].to_numpy())
            series["data"].attrs["unit"] = "px"
            series.create_dataset("confidence", data=seen["pose"][f"{point}_likelihood"].to_numpy())
            if first is None:
                series.create_dataset("timestamps", data=seen["times"])
                first = series
            else:
                series["timestamps"] = h5py.SoftLink(f"{first.name}/timestamps")


def _localized(file: h5py.File, probes: list[Probe]) -> None:
    """Places from bregma to the right, forwards and up, with the signed ids of the atlas."""
    top = _typed(file.create_group("general/localization"), "Localization", "ndx-anatomical-localization")
    table = _typed(top.create_group("ElectrodesIBLBregma"), "AnatomicalCoordinatesTable", "ndx-anatomical-localization")
    places = np.concatenate([p.channels["mlapdv"] for p in probes]).astype(float)
    n = len(places)
    text = h5py.string_dtype()
    columns: dict[str, Any] = {
        "id": np.arange(n),
        "localized_entity": np.arange(n),
        **{axis: places[:, i] for i, axis in enumerate("xyz")},
        "brain_region": np.array([a for p in probes for a in p.areas], object),
        "atlas_id": np.concatenate([p.channels["brainLocationIds_ccf_2017"] for p in probes]),
    }
    for name, values in columns.items():
        data = table.create_dataset(name, data=values, dtype=text if values.dtype == object else None)
        kind = "ElementIdentifiers" if name == "id" else "VectorData"
        data.attrs.update({"neurodata_type": kind, "namespace": "hdmf-common"})
    table.attrs["colnames"] = np.array([c for c in columns if c != "id"], object)
