"""What crosses the wire to read the units, trials and electrodes of an NWB file with raw voltage beside them: by us, whole, by pynwb.

The file is laid out as neuroconv lays one out: raw voltage in compressed chunks of about 10 MB, tables each in a chunk of their own.
The server is on loopback, in a process of its own, and adds a delay to every answer; bandwidth is that of loopback.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
from fsspec.implementations.cached import CachingFileSystem
from hdmf.backends.hdf5.h5_utils import H5DataIO
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ecephys import ElectricalSeries

from benchmarks.common import REPEATS
from benchmarks.serving import serving_apart
from neuropile.archives import fetching, http, view
from neuropile.archives.web import Web
from neuropile.readers import nwb

Row = dict[str, object]
DELAY_S = 0.02
N_CHANNELS, N_UNITS, N_TRIALS = 384, 300, 400
RAW_MB, SPIKES = 200, 500_000


def write(path: Path, raw_mb: float = RAW_MB, n_spikes: int = SPIKES, seed: int = 0) -> None:
    """An NWB file of raw voltage and sorted units; of its 210 MB the units are 2 %."""
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    file = NWBFile("made", f"made-{seed}", start)
    probe = file.create_device("probe")
    shank = file.create_electrode_group("shank0", "a shank", "VISp", probe)
    for name, text in (("channel_name", "its name"), ("rel_y", "depth"), ("gain_to_uV", "gain")):
        file.add_electrode_column(name, text)
    for i in range(N_CHANNELS):
        file.add_electrode(group=shank, location=f"VISp{i // 96}", channel_name=f"AP{i}", rel_y=20.0 * i, gain_to_uV=2.34)
    _add_units(file, n_spikes, rng)
    for i in range(N_TRIALS):
        file.add_trial(start_time=7.0 * i, stop_time=7.0 * i + 4)
    rows = int(raw_mb * 1e6 / 1.0 / N_CHANNELS)  # a value packs to about a byte
    raw = rng.normal(0, 18, (min(rows, 100_000), N_CHANNELS)).astype(np.int16)
    data = np.concatenate([raw] * -(-rows // len(raw)))[:rows]
    region = file.create_electrode_table_region(list(range(N_CHANNELS)), "all")
    packed = H5DataIO(data, compression="gzip", compression_opts=1, chunks=(min(78_125, rows), 64))
    file.add_acquisition(ElectricalSeries(name="ElectricalSeriesAP", data=packed, electrodes=region, rate=30_000.0, starting_time=0.0))
    with NWBHDF5IO(path, "w") as io:
        io.write(file)


def _add_units(file: NWBFile, n_spikes: int, rng: np.random.Generator) -> None:
    for name in ("quality", "firing_rate", "snr", "isi_violation"):
        file.add_unit_column(name, name)
    counts = rng.multinomial(n_spikes, rng.dirichlet(np.ones(N_UNITS)))
    for n in counts.tolist():
        times = np.sort(rng.uniform(0, 3600, n))
        more = {"quality": "good", "firing_rate": n / 3600, "snr": 3.0, "isi_violation": 0.1}
        file.add_unit(spike_times=times, electrodes=[int(rng.integers(N_CHANNELS))], waveform_mean=rng.normal(size=(82, 1)), **more)


def ours(url: str, cache: Path) -> int:
    """All spikes, trials and electrodes, by ranges through the block cache."""
    with Web() as web:
        archive = http.files(url)
        path = view.path(archive, archive.list(web).assets, web, cache)
        with nwb.units()(path) as recording:
            n = sum(len(recording.trains.read(u)) for u in range(recording.trains.n_units))
            assert recording.intervals["trials"].num_rows == N_TRIALS
            assert "region" in recording.units.column_names
    return n


def whole(url: str, cache: Path) -> int:
    """The same after a download of the whole file."""
    with Web() as web:
        archive = http.files(url)
        with nwb.units()(fetching.fetch(archive, archive.list(web).assets[0], web, cache)) as recording:
            return sum(len(recording.trains.read(u)) for u in range(recording.trains.n_units))


def peer(url: str, **cache: Any) -> int:
    """The same by pynwb over fsspec's http."""
    CachingFileSystem.clear_instance_cache()
    with fsspec.filesystem("http").open(url, **cache) as remote, h5py.File(remote, "r") as h5, NWBHDF5IO(file=h5, mode="r") as io:
        file = io.read()
        n = sum(len(file.units.get_unit_spike_times(u)) for u in range(len(file.units)))
        assert len(file.trials.to_dataframe()) == N_TRIALS
        assert len(file.electrodes.to_dataframe(exclude={"group"})) == N_CHANNELS
        assert len(file.units.to_dataframe(exclude={"spike_times", "electrodes"})) == N_UNITS
    return n


def tables(folder: Path) -> dict[str, list[Row]]:
    """A row a way: requests, bytes, share of the file, seconds."""
    write(folder / "session.nwb")
    size = (folder / "session.nwb").stat().st_size
    cache = folder / "cache"

    def fresh(read: Callable[[str, Path], int]) -> Callable[[str], int]:
        def job(url: str) -> int:
            shutil.rmtree(cache, ignore_errors=True)
            return read(url, cache)

        return job

    blocks = {"cache_type": "blockcache", "block_size": 1 << 18}
    ways: dict[str, tuple[Callable[[str], int], int]] = {
        "neuropile, by ranges": (fresh(ours), REPEATS),
        "neuropile, by ranges, again": (lambda url: ours(url, cache), REPEATS),
        "the whole file": (fresh(whole), 1),
        "pynwb, fsspec's default cache": (peer, 1),
        "pynwb, fsspec's block cache": (lambda url: peer(url, **blocks), 1),
    }
    rows: list[Row] = []
    with serving_apart(folder) as (url, ask):
        for who, (read, repeats) in ways.items():
            found = []
            for _ in range(repeats):
                ask(DELAY_S)
                began = time.perf_counter()
                assert read(f"{url}/session.nwb") == SPIKES
                seconds = time.perf_counter() - began
                requests = ask(DELAY_S)
                found.append((len(requests), sum(n for *_, n in requests), seconds))
            n, n_bytes, seconds = (statistics.median(f[i] for f in found) for i in range(3))
            rows.append(
                {"reader": who, "requests": int(n), "MB": n_bytes / 1e6, "% of the file": 100 * n_bytes / size, f"s at {1e3 * DELAY_S:.0f} ms": seconds}
            )
    return {f"units, trials and electrodes of an NWB file of {size / 1e6:.0f} MB, of which the units are {100 * SPIKES * 8 / size:.1f} %": rows}
