"""Made-up ALF and Kilosort folders, written with plain numpy and pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

UUIDS = ["9aca5e3a-1a6e-4a3b-bd0a-5d2a1f0c7b11", "1b3f9f0e-7f5d-4c58-9d3c-0f6f3a9f2d22"]


def put(folder: Path, **files: Any) -> Path:
    """Write each value under its keyword: `__` stands for a dot, a leading `I_` for `_ibl_`; the value says the format.

    Arrays and lists become .npy, data frames .pqt, text what its name says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for key, value in files.items():
        name = key.replace("__", ".")
        name = f"_ibl_{name[2:]}" if name.startswith("I_") else name
        if isinstance(value, pd.DataFrame):
            value.to_parquet(folder / f"{name}.pqt")
        elif isinstance(value, str):
            (folder / name).write_text(value)
        else:
            np.save(folder / f"{name}.npy", np.asarray(value))
    return folder


def trains(seed: int, n_units: int, n_spikes: int = 3000, duration_s: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    """Sorted times and the cluster of each; the last cluster but one is silent."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, n_units, n_spikes)
    clusters[clusters == n_units - 2] = 0
    return np.sort(rng.uniform(0, duration_s, n_spikes)), clusters.astype(np.uint32)


def probe(folder: Path, seed: int = 0, n_units: int = 6) -> Path:
    """A probe's sorting with everything that a final one has."""
    times, clusters = trains(seed, n_units)
    rng = np.random.default_rng(seed + 1)
    n_channels = 10
    put(folder, spikes__times=times, spikes__clusters=clusters, spikes__amps=rng.uniform(0, 1, len(times)))
    put(
        folder,
        clusters__channels=rng.permutation(n_channels)[:n_units],
        clusters__depths=np.arange(n_units) * 15.5,
        clusters__amps=rng.uniform(0, 1e-4, n_units),
        clusters__waveforms=rng.normal(size=(n_units, 82, 32)).astype(np.float32),
        clusters__metrics=pd.DataFrame(
            {
                "cluster_id": np.arange(n_units),
                "label": np.array([1.0, 2 / 3, 1 / 3, 1 - 1e-9, 0.0, np.nan])[:n_units],
                "ks2_label": ["good", "good", "mua", "good", "noise", "good"][:n_units],
                "firing_rate": rng.uniform(0, 10, n_units),
            }
        ),
        channels__localCoordinates=np.c_[rng.permutation(n_channels), np.arange(n_channels) * 20.0],
        channels__mlapdv=rng.integers(-4000, 4000, (n_channels, 3)),
        channels__brainLocationIds_ccf_2017=rng.integers(1, 1000, n_channels),
        channels__rawInd=np.arange(n_channels),
    )
    (folder / "clusters.uuids.csv").write_text("uuids\n" + "".join(f"uuid-{seed}-{i}\n" for i in range(n_units)))
    return folder


def trial_table(n: int = 20, seed: int = 0) -> pd.DataFrame:
    """A trials table with the columns and the holes that real ones have."""
    rng = np.random.default_rng(seed)
    start = np.arange(n) * 5.0
    is_left = rng.random(n) < 0.5
    contrast = rng.choice([0, 0.0625, 0.125, 0.25, 1], n)
    rewarded = rng.random(n) < 0.8
    choice = np.where(is_left == rewarded, 1, -1)
    return pd.DataFrame(
        {
            "intervals_0": start,
            "intervals_1": start + 4.0,
            "goCue_times": start + 0.51,
            "response_times": start + 1.0,
            "choice": choice,
            "stimOn_times": np.where(rng.random(n) < 0.1, np.nan, start + 0.5),
            "contrastLeft": np.where(is_left, contrast, np.nan),
            "contrastRight": np.where(is_left, np.nan, contrast),
            "feedback_times": start + 1.01,
            "feedbackType": np.where(rewarded, 1, -1),
            "rewardVolume": np.where(rewarded, 1.5, 0.0),
            "probabilityLeft": rng.choice([0.2, 0.5, 0.8], n),
            "firstMovement_times": start + 0.7,
        }
    )


def session(root: Path, probes: tuple[str, ...] = ("probe00",), sorter: str = "pykilosort") -> Path:
    """A session folder in the usual layout: lab/Subjects/subject/date/number."""
    folder = root / "testlab" / "Subjects" / "KS023" / "2019-12-10" / "001"
    for i, name in enumerate(probes):
        probe(folder / "alf" / name / sorter, seed=i)
    put(folder / "alf", I_trials__table=trial_table())
    return folder


def kilosort(folder: Path, samples: Any, clusters: Any, params: str | None = "sample_rate = 30000.\n", **files: Any) -> Path:
    """A Kilosort folder: samples as MATLAB writes them, (n, 1) uint64."""
    put(folder, spike_times=np.asarray(samples).reshape(-1, 1), spike_clusters=np.asarray(clusters, np.uint32).reshape(-1, 1), **files)
    if params is not None:
        (folder / "params.py").write_text(params)
    return folder


def column(recording: Any, name: str) -> list[Any]:
    return recording.units.column(name).to_pylist()


def assert_trains(recording: Any, times: np.ndarray, clusters: np.ndarray, ids: list[int]) -> None:
    """Every unit's times are those of its cluster, by a mask a unit."""
    assert recording.trains.n_units == len(ids)
    for row, i in enumerate(ids):
        np.testing.assert_array_equal(recording.trains.read(row), times[clusters == i])
