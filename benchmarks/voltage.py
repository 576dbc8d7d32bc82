"""What a second of ten channels costs of an LFP file of 2 GB and of compressed raw voltage, and one frame of a video: by us and by the field's own readers.

The LFP file is sparse: it announces 2 GB, laid out and compressed as Allen's files are, and stores its time stamps and the chunks of the window.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import mtscomp
import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ecephys import LFP, ElectricalSeries

from benchmarks.common import median_s
from neuropile.readers.h5 import source
from neuropile.video import open_video
from neuropile.voltage import open_voltage

Row = dict[str, object]
RATE, N_SAMPLES, N_CHANNELS = 1249.9986, 5_600_000, 95
CHOSEN = slice(20, 30)
N_FRAMES, WIDTH, HEIGHT = 3000, 640, 512


def write_lfp(path: Path, n_samples: int = N_SAMPLES) -> float:
    """Write the sparse file; the time at which its one second with values starts."""
    file = NWBFile("made", "made", datetime(2024, 1, 1, tzinfo=UTC))
    group = file.create_electrode_group(name="probeA", description="a probe", location="brain", device=file.create_device(name="probeA"))
    for _ in range(N_CHANNELS):
        file.add_electrode(group=group, location="VISp5")
    holder = LFP(name="probe_1_lfp")
    file.add_acquisition(holder)
    region = file.create_electrode_table_region(region=list(range(N_CHANNELS)), description="all")
    few = np.zeros((2, N_CHANNELS), np.float32)
    holder.add_electrical_series(ElectricalSeries(name="probe_1_lfp_data", data=few, timestamps=[0.0, 1.0], electrodes=region))
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    with h5py.File(path, "r+") as f:
        series = f["acquisition/probe_1_lfp/probe_1_lfp_data"]
        attributes = {name: dict(series[name].attrs) for name in ("data", "timestamps")}
        del series["data"], series["timestamps"]
        packed = {"compression": "gzip", "compression_opts": 9}
        data = series.create_dataset("data", (n_samples, N_CHANNELS), "f4", **packed)
        series.create_dataset("timestamps", data=10 + np.arange(n_samples) / RATE, **packed)
        for name, own in attributes.items():
            series[name].attrs.update(own)
        first = n_samples // 2 // data.chunks[0] * data.chunks[0]
        noise = np.random.default_rng(0).normal(0, 1e-4, (data.chunks[0], N_CHANNELS))
        data[first : first + len(noise)] = (noise / 1.95e-7).round() * 1.95e-7  # steps of a bit, as those of a probe
    return 10 + (first + 100) / RATE


class _Counted(io.FileIO):
    """A file that counts what is read of it."""

    n_bytes = 0

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        n = super().readinto(buffer) or 0
        self.n_bytes += n
        return n


def lfp_by_us(path: Path, start: float) -> np.ndarray:
    """A second of ten channels."""
    with open_voltage(path) as v:
        return v.read(start, start + 1, CHOSEN).values


def lfp_by_pynwb(file: Any, start: float) -> np.ndarray:
    """The same as a user of pynwb finds it: by the time stamps."""
    with h5py.File(file, "r") as h5, NWBHDF5IO(file=h5, mode="r") as io:
        series = io.read().acquisition["probe_1_lfp"].electrical_series["probe_1_lfp_data"]
        stamps = series.timestamps[:]
        first, last = np.searchsorted(stamps, [start, start + 1])
        return series.data[first:last, CHOSEN]


def lfp_rows(folder: Path) -> list[Row]:
    """MB touched and seconds, ours and pynwb's."""
    path = folder / "probe_1_lfp.nwb"
    start = write_lfp(path)
    n_bytes = [0]
    real = source.Local.read_at

    def counting(self: source.Local, at: int, n: int) -> bytes:
        n_bytes[0] += n
        return real(self, at, n)

    source.Local.read_at = counting  # type: ignore[method-assign]
    try:
        mine = lfp_by_us(path, start)
    finally:
        source.Local.read_at = real  # type: ignore[method-assign]
    with _Counted(path) as file:
        theirs = lfp_by_pynwb(file, start)
        n_theirs = file.n_bytes
    assert np.array_equal(mine, theirs)
    return [
        {"reader": "neuropile", "MB touched": n_bytes[0] / 1e6, "s": median_s(lambda: lfp_by_us(path, start))},
        {"reader": "pynwb, rows found by its time stamps", "MB touched": n_theirs / 1e6, "s": median_s(lambda: lfp_by_pynwb(path, start))},
    ]


def raw_rows(folder: Path) -> list[Row]:
    """Ten channels of half a second in the middle of ten, of 385 compressed channels at 30 kHz."""
    rng = np.random.default_rng(0)
    n, channels = 300_000, 385
    path = folder / "x.imec0.ap.bin"
    one = (rng.normal(0, 10, (30_000, channels)) + rng.normal(0, 3, (30_000, 1)).cumsum(axis=0)).astype("<i2")
    np.concatenate([one] * (n // len(one))).tofile(path)
    gains = "".join(f"({i} 0 0 500 250 1)" for i in range(384))
    said = f"typeThis=imec\nnSavedChans=385\nfileSizeBytes={2 * n * channels}\nimSampRate=30000\nsnsApLfSy=384,0,1\nimAiRangeMax=0.6\n~imroTbl=(0,384){gains}\n"
    path.with_suffix(".meta").write_text(said)
    packed = path.with_suffix(".cbin")
    options = {"sample_rate": 30000, "n_channels": channels, "dtype": "int16", "n_threads": 2, "check_after_compress": False, "quiet": True}
    mtscomp.compress(path, packed, path.with_suffix(".ch"), **options)

    def ours() -> np.ndarray:
        with open_voltage(packed) as v:
            return v.read(5.2, 5.7, CHOSEN).values

    def theirs() -> np.ndarray:
        reader = mtscomp.decompress(packed, packed.with_suffix(".ch"), write_output=False, quiet=True)
        return reader[156_000:171_000, CHOSEN] * (0.6 / 512 / 500)

    assert np.allclose(ours(), theirs())
    return [{"reader": "neuropile", "s": median_s(ours)}, {"reader": "mtscomp", "s": median_s(theirs)}]


def video_rows(folder: Path) -> list[Row]:
    """The last frame of a video of key frames 250 apart, as cameras' are."""
    path = folder / "camera.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=60)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "29", "preset": "veryfast"}
        stream.codec_context.time_base = Fraction(1, 60)
        still = rng.integers(0, 255, (HEIGHT, WIDTH, 1), np.uint8)
        for k in range(N_FRAMES):
            frame = av.VideoFrame.from_ndarray(np.repeat(np.roll(still, k, axis=1), 3, axis=2), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 60)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())

    def ours() -> np.ndarray:
        with open_video(path) as opened:
            return opened.frame_number(N_FRAMES - 1)

    def theirs() -> np.ndarray:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                last = frame
            return last.to_ndarray(format="rgb24")

    assert np.array_equal(ours(), theirs())
    began = time.perf_counter()
    theirs()
    return [{"reader": "neuropile", "s": median_s(ours)}, {"reader": "PyAV, decoding up to it", "s": time.perf_counter() - began}]


def tables(folder: Path) -> dict[str, list[Row]]:
    """A table a question."""
    jobs: dict[str, Callable[[Path], list[Row]]] = {
        f"1 s of 10 channels of an LFP file of {N_SAMPLES * N_CHANNELS * 4 / 1e9:.1f} GB, at any time": lfp_rows,
        "0.5 s of 10 channels of a compressed recording of 385 at 30 kHz": raw_rows,
        f"the last of {N_FRAMES:,} frames of a video": video_rows,
    }
    return {title: job(folder) for title, job in jobs.items()}
