"""Voltage files of tests: SpikeGLX as it writes them, LFP as Allen's files hold it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ecephys import LFP, ElectricalSeries

START = datetime(2024, 1, 1, tzinfo=UTC)


def raw_values(n_samples: int, n_channels: int, seed: int = 0) -> np.ndarray:
    """What a probe may give: slow drifts and noise, (sample, channel) int16."""
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 3, (n_samples, n_channels)).cumsum(axis=0) + rng.normal(0, 10, (n_samples, n_channels))).astype("<i2")


def meta_text(n_ap: int = 6, n_lf: int = 0, *, n_bytes: int, rate: float = 30000.390639, gains: Sequence[tuple[int, int]] | None = None, **more: str) -> str:
    """A `.meta` file of a Neuropixels 1.0 probe, of one band and the sync channel, as SpikeGLX writes it."""
    n = n_ap or n_lf
    gains = gains or [(500, 250)] * n
    saved = f"0:{n - 1},{2 * n}" if n_ap else f"{n}:{2 * n}"
    said = {
        "typeThis": "imec",
        "nSavedChans": str(n + 1),
        "fileSizeBytes": str(n_bytes),
        "imSampRate": str(rate),
        "acqApLfSy": f"{n},{n},1",
        "snsApLfSy": f"{n_ap},{n_lf},1",
        "snsSaveChanSubset": saved,
        "imDatPrb_type": "0",
        "imDatPrb_sn": "18194814141",
        "imAiRangeMax": "0.6",
        "~imroTbl": f"(0,{n})" + "".join(f"({i} 0 0 {ap} {lf} 1)" for i, (ap, lf) in enumerate(gains)),
        "~snsGeomMap": "(NP1000,1,0,70)" + "".join(f"(0:{27 + 32 * (i % 2)}:{20 * (i // 2)}:1)" for i in range(n)),
    }
    return "\n".join(f"{k}={v}" for k, v in {**said, **more}.items() if v != "") + "\n"


def write_raw(folder: Path, values: np.ndarray, band: str = "ap", **meta: Any) -> Path:
    """A `.bin` and its `.meta`; the last channel is the sync channel."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"_spikeglx_ephysData_g0_t0.imec0.{band}.bin"
    values.tofile(path)
    n = values.shape[1] - 1
    counts = {"n_ap": n} if band == "ap" else {"n_ap": 0, "n_lf": n}
    path.with_suffix(".meta").write_text(meta_text(**counts, n_bytes=values.nbytes, **meta))
    return path


def lfp_file(path: Path, values: np.ndarray, times: np.ndarray, *, probe_id: int = 810755797, csd: np.ndarray | None = None, **options: Any) -> Path:
    """One probe's LFP as AllenSDK writes it: volts, time stamps of its own, every fourth channel, the last two out of the brain."""
    file = NWBFile("made", "made", START)
    device = file.create_device("probeA")
    group = file.create_electrode_group("probeA", "a probe", "brain", device)
    for name in ("probe_vertical_position", "probe_horizontal_position"):
        file.add_electrode_column(name, name)
    n = values.shape[1]
    for i in range(n):
        place = {"x": 8000.0 + i, "y": 2000.0, "z": 7000.0} if i < n - 2 else {"x": -1.0, "y": -1.0, "z": -1.0}
        area = "VISp5" if i < n - 2 else "unknown"
        file.add_electrode(id=850000000 + 4 * i, group=group, location=area, probe_vertical_position=40 * i + 20, probe_horizontal_position=43, **place)
    region = file.create_electrode_table_region(list(range(n)), "all")
    holder = LFP(name=f"probe_{probe_id}_lfp")
    file.add_acquisition(holder)
    holder.add_electrical_series(ElectricalSeries(name=f"probe_{probe_id}_lfp_data", data=values, timestamps=times, electrodes=region, **options))
    if csd is not None:
        module = file.create_processing_module(name="current_source_density", description="from interpolated channels")
        stamps = -0.1 + np.arange(len(csd)) / 1250
        module.add(TimeSeries(name="current_source_density", data=csd, timestamps=stamps, unit="V/cm^2"))
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    if csd is not None:  # pairs of positions, which pynwb no longer takes there
        with h5py.File(path, "r+") as f:
            places = np.column_stack([np.full(csd.shape[1], 24), 10 * np.arange(csd.shape[1])]).astype(np.uint64)
            f["processing/current_source_density/current_source_density/control"] = places
    return path


def sparse_lfp_file(path: Path, n_samples: int, n_channels: int, rate_hz: float, start_s: float, window: slice, **layout: Any) -> np.ndarray:
    """A file that announces much and stores the time stamps and the chunks that a window lies in, with the members of Allen's; the window's values."""
    with h5py.File(path, "w") as f:
        f.attrs.update({"nwb_version": "2.2.2", "neurodata_type": "NWBFile", "namespace": "core"})
        table = f.create_group("general/extracellular_ephys/electrodes")
        columns = {
            "location": np.array([b"VISp5"] * n_channels),
            "probe_vertical_position": 40.0 * np.arange(n_channels),
            "group_name": np.array([b"probeA"] * n_channels),
        }
        table.attrs.update({"neurodata_type": "DynamicTable", "colnames": list(columns)})
        table["id"] = 850000000 + 4 * np.arange(n_channels)
        for name, values in columns.items():
            table[name] = values
        series = f.create_group("acquisition/probe_1_lfp/probe_1_lfp_data")
        series.attrs["neurodata_type"] = "ElectricalSeries"
        series.parent.attrs["neurodata_type"] = "LFP"
        data = series.create_dataset("data", (n_samples, n_channels), "f4", **layout)
        data.attrs["unit"] = "volts"
        series["electrodes"] = np.arange(n_channels)
        series.create_dataset("timestamps", data=start_s + np.arange(n_samples) / rate_hz, compression="lzf")
        rows = data.chunks[0] if data.chunks else 1
        first, last = window.start // rows * rows, min(-(-window.stop // rows) * rows, n_samples)
        values = np.random.default_rng(0).normal(0, 1e-4, (last - first, n_channels)).astype(np.float32)
        data[first:last] = values
    return values[window.start - first : window.stop - first]
