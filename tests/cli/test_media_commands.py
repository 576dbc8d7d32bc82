"""neuropile frame and neuropile voltage: what they show, what they write, and their one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.image
import numpy as np
import pyarrow.parquet as pq
import pytest
from movies import movie, shown
from typer.testing import CliRunner
from voltage.recorded import raw_values, write_raw

from neuropile.cli import app
from neuropile.errors import NeuropileError
from neuropile.voltage import open_voltage


def run(*args: object, code: int = 0) -> Any:
    """The command, in this process; an error of ours is what it would say on standard error."""
    done = CliRunner().invoke(app, [str(a) for a in args])
    ours = isinstance(done.exception, NeuropileError)
    assert (1 if ours else done.exit_code) == code, (done.output, done.exception)
    return SimpleNamespace(stdout=done.stdout, stderr=str(done.exception) if ours else done.stderr)


def answer(*args: object, code: int = 0) -> Any:
    return json.loads(run(*args, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("raw") / "probe00", raw_values(60_000, 13))


def test_a_frame_is_written_with_its_number(tmp_path: Path) -> None:
    movie(tmp_path / "a.mp4", 60)
    np.save(tmp_path / "times.npy", 100 + np.arange(62) / 30)
    told = answer("frame", tmp_path / "a.mp4", "--at", 101.01, "--times", tmp_path / "times.npy", "--out", tmp_path / "frame.png")
    assert (told["frame"], told["n_frames"]) == (28, 60)
    picture = (255 * matplotlib.image.imread(tmp_path / "frame.png")[..., :3]).astype(np.uint8)
    assert shown(picture) == 28
    assert "frame 59 of 60, shown at 1.966667 s" in run("frame", tmp_path / "a.mp4", "--at", 1.98, "--out", tmp_path / "x.npy").stdout
    assert shown(np.load(tmp_path / "x.npy")) == 59
    failed = run("frame", tmp_path / "a.mp4", "--at", 90, "--out", tmp_path / "y.png", code=1)
    assert "no frame is shown at 90.0 s" in failed.stderr
    assert not (tmp_path / "y.png").exists()
    run("frame", tmp_path / "a.mp4", "--at", 0, "--out", tmp_path / "y.gif", code=2)


def test_without_out_a_table_of_channels_is_shown_and_nothing_read(raw: Path) -> None:
    done = run("voltage", raw)
    assert "12 channels, 0.000 to 2.000 s at 30000.39 Hz" in done.stdout
    assert "AP11" in done.stdout
    assert "note: no _spikeglx_ephysData_g0_t0.imec0.timestamps.npy lies beside it" in done.stderr
    told = answer("voltage", raw, "--channels", "0:4:2")
    assert [c["channel_id"] for c in told["channels"]] == ["AP0", "AP2"]
    assert told["rate_hz"] == 30000.390639


def test_without_out_a_window_is_summed_up(raw: Path) -> None:
    window = open_voltage(raw).read(0.5, 0.6, [2, 5]).values.astype(float) * 1e6
    told = answer("voltage", raw, "--start", 0.5, "--stop", 0.6, "--channels", "2,5")
    assert told["window"] == {"start_s": 0.5, "stop_s": 0.6, "n_samples": len(window), "n_invalid": 0}
    np.testing.assert_allclose([[c["mean_uv"], c["sd_uv"]] for c in told["channels"]], np.column_stack([window.mean(axis=0), window.std(axis=0)]))
    shown = run("voltage", raw, "--start", 0.5, "--stop", 0.6).stdout
    assert "0.5 to 0.6 s: 3,000 samples (all valid); their mean and sd in microvolts" in shown
    assert "mean_uv" not in run("voltage", raw).stdout


def test_what_is_cut_is_told_on_standard_error(raw: Path, tmp_path: Path) -> None:
    done = run("voltage", raw, "--start", 1.5, "--stop", 9, "--channels", "0:20", "--out", tmp_path / "x.npy")
    assert "note: the window from 1.5 s to 9 s is cut: recorded from 0 s to 1.99997 s" in done.stderr
    assert "note: --channels 0:20 is cut: there are 12 channels, 0 to 11" in done.stderr
    assert "is cut" not in run("voltage", raw, "--start", 0, "--stop", 2, "--channels", "0:12", "--out", tmp_path / "x.npy").stderr


@pytest.mark.parametrize(("asked", "places"), [("2:9:3", [2, 5, 8]), (":2", [0, 1]), ("3,1", [3, 1]), ("AP3,AP1", [3, 1]), ("7", [7])])
def test_a_stretch_is_written_as_the_library_reads_it(asked: str, places: list[int], raw: Path, tmp_path: Path) -> None:
    expected = open_voltage(raw).read(0.5, 0.6, places)
    told = answer("voltage", raw, "--start", 0.5, "--stop", 0.6, "--channels", asked, "--out", tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected.values)
    assert told["shape"] == list(expected.shape)


def test_parquet_holds_times_and_a_column_a_channel(raw: Path, tmp_path: Path) -> None:
    run("voltage", raw, "--start", 0.5, "--stop", 0.51, "--channels", "0:2", "--out", tmp_path / "x.parquet")
    found = pq.read_table(tmp_path / "x.parquet").to_pandas()
    expected = open_voltage(raw).read(0.5, 0.51, [0, 1])
    assert list(found) == ["time_s", "valid", "AP0", "AP1"]
    np.testing.assert_array_equal(found["AP1"], expected.values[:, 1])
    np.testing.assert_array_equal(found["time_s"], expected.time.values)


def test_a_picture_is_drawn(raw: Path, tmp_path: Path) -> None:
    assert "30,001 samples (all valid) of 12 channels" in run("voltage", raw, "--out", tmp_path / "x.png").stdout
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--channels", "40"), 1, "channels run from 0 to 11, asked for 40"),
        (("--channels", "a:b"), 2, "sought 0:10"),
        (("--channels", "nothing"), 1, "no channel 'nothing' among 12"),
        (("--out", "x.csv"), 2, "end the name in"),
        (("--out", "x.npy", "--start", "7"), 1, "nothing from 7.0 s to 8.0 s; recorded from 0 s to 1.99"),
        (("--series", "x"), 1, "is no NWB file, so it has no series"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(options: tuple[str, ...], code: int, told: str, raw: Path, tmp_path: Path) -> None:
    done = run("voltage", raw, *(tmp_path / o if o.startswith("x.") else o for o in options), code=code)
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_as_a_command_of_its_own_it_ends_with_one_line_and_code_1(raw: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "neuropile", "voltage", raw.with_suffix(".meta")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "describes samples, and holds none" in done.stderr
