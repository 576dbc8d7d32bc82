"""The command line: one JSON object, tables for people, one-line errors and honest exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest

import neuropile
from neuropile import testing
from neuropile.cli import app
from neuropile.cli.demo import bundled

NWB = next(f for _, files in bundled() for f in files if f.suffix == ".nwb")
MAT = min((f for _, files in bundled() for f in files if f.suffix == ".mat"), key=lambda f: f.stat().st_size)


def run(*args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "neuropile", *map(str, args)], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def answer(*args: object, code: int = 0) -> Any:
    return json.loads(run(*args, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "store"
    run("ingest", NWB, MAT, "--store", path, "--dataset", "lab", "--license", "CC-BY-4.0")
    return path


def test_every_command_teaches_with_an_example() -> None:
    groups = [("", app), *((f"{g.name} ", g.typer_instance) for g in app.registered_groups)]
    for name, command in [(before + (c.name or c.callback.__name__), c) for before, group in groups for c in group.registered_commands]:
        assert command.callback is not None
        shown = run(*name.split(), "--help").stdout
        assert f"Example: neuropile {name}" in " ".join(shown.split()), name
        assert "--json" in shown


def test_ingest_skips_what_is_stored_and_says_so(store: Path) -> None:
    again = answer("ingest", NWB, "--store", store, "--dataset", "lab")
    assert [s["status"] for s in again["sessions"]] == ["present"]
    assert again["n_failed"] == 0


def test_one_bad_file_among_good_ones_fails_alone(tmp_path: Path) -> None:
    bad = tmp_path / "cut.nwb"
    bad.write_bytes(NWB.read_bytes()[:100_000])
    shutil.copy(MAT, tmp_path)
    done = run("ingest", tmp_path, "--store", tmp_path / "store", "--json", code=1)
    result = json.loads(done.stdout)
    assert {s["status"] for s in result["sessions"]} == {"stored", "failed"}
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "cut.nwb" in lines[0]
    opened = neuropile.open_store(tmp_path / "store")
    assert list(opened) == [f"local/{MAT.stem}"]
    assert list(opened.failed.index) == ["local/cut"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.nwb", b"", "the file is empty"),
        ("text.nwb", b"not a recording at all", "no format known here"),
        ("old.mat", b"MATLAB 5.0 MAT-file, Platform" + b" " * 200, "MATLAB 5"),
        ("none.nwb", None, "no such file or folder"),
    ],
)
def test_a_file_that_is_no_recording_is_one_line_and_exit_1(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("ingest", tmp_path / name, "--store", tmp_path / "store", code=1)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert content is None or neuropile.open_store(tmp_path / "store").sessions.empty
    assert content is not None or not (tmp_path / "store").exists()


def test_hdf5_without_units_says_what_was_sought_and_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "lfp.h5", "w") as f:
        f["lfp"] = [1.0, 2.0]
    done = run("ingest", tmp_path / "lfp.h5", "--store", tmp_path / "store", code=1)
    assert "neither NWB nor MATLAB 7.3: say which array is what; it holds lfp" in done.stderr


def test_a_folder_that_is_no_store_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    done = run("ingest", NWB, "--store", tmp_path, code=1)
    assert "is not a neuropile store" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_store_of_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    made = testing.store(tmp_path / "store", [testing.recording(0, n_units=3)])
    (made.root / "neuropile.json").write_text('{"format": "neuropile", "version": 2}')
    assert "format 2; this neuropile reads format 1: upgrade neuropile" in run("info", made.root, code=1).stderr


def test_pile_publish_and_plot_go_on_from_a_store(store: Path, tmp_path: Path) -> None:
    pile = answer("pile", store, "--out", tmp_path / "p.parquet", "--bin", "0.1", "--test", "0.5", "--quality", "all", "--max-tokens", "200000")
    opened = neuropile.open_pile(tmp_path / "p.parquet")
    assert pile["tokens"] == opened.n_tokens
    assert pile["segments"] == len(opened)
    for layout in ("sparse", "dense"):
        done = answer("publish", tmp_path / "p.parquet", "--to", tmp_path / layout, "--layout", layout)
        assert done["n_tokens"] == pile["tokens"]
        assert answer("info", tmp_path / layout)["kind"] == "published pile"
    figures = answer("plot", tmp_path / "p.parquet", "--examples", "2", "--out", tmp_path / "s.png")["figures"]
    figures += answer("plot", tmp_path / "sparse", "--all", "--out", tmp_path / "all.png")["figures"]
    figures += answer("plot", store, "--session", f"lab/{NWB.stem}", "--out", tmp_path / "o.svg")["figures"]
    assert all(Path(f).stat().st_size > 5000 for f in figures)
    assert len(figures) == 3


def test_an_error_is_one_json_object_too(store: Path, tmp_path: Path) -> None:
    result = answer("pile", store, "--out", tmp_path / "p.parquet", "--bin", "0.000015", code=1)
    assert "nothing to pile" in result["error"]
    assert not list(tmp_path.iterdir())
    assert "whole number" in answer("pile", store, "--out", tmp_path / "p.parquet", "--bin", "0.000015", "--strict", code=1)["error"]


def test_usage_errors_exit_2(tmp_path: Path) -> None:
    run("pile", code=2)
    run("pile", "store", "--out", "p.parquet", "--test", "many", code=2)
    run("nonsense", code=2)


def test_units_counts_by_region(store: Path) -> None:
    opened = neuropile.open_store(store)
    result = answer("units", store, "--where", "n_spikes > 100", "--quality", "good")
    expected = opened.units[(opened.units.n_spikes > 100) & (opened.units.quality == "good")]
    assert result["n_units"] == len(expected)
    assert {(r["region"], r["units"]) for r in result["by_region"]} == set(expected.groupby("region").size().items())


def test_info_tells_what_each_path_is(store: Path) -> None:
    recording = answer("info", NWB)
    assert (recording["kind"], recording["units"], recording["species"]) == ("recording", 4, "Mus musculus")
    assert recording["intervals"][0]["rows"] == 412
    assert answer("info", store)["sessions"] == 2
    session = answer("info", store / "lab" / NWB.stem)
    assert (session["n_units"], session["n_spikes"], session["license"]) == (4, 34057, "CC-BY-4.0")
    assert "no such file" in answer("info", store / "nowhere", code=1)["error"]


def test_index_compacts_the_parts_and_changes_nothing_asked(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "s")
    before = neuropile.open_store(tmp_path / "s")
    sessions, units = before.sessions, before.units
    result = answer("index", tmp_path / "s")
    after = neuropile.open_store(tmp_path / "s")
    assert result["n_sessions"] == len(sessions)
    assert after.sessions.drop(columns="sources").equals(sessions.drop(columns="sources"))
    assert after.units.equals(units)
    assert not list((tmp_path / "s" / "index" / "parts").iterdir())


def test_a_pipe_gets_no_progress_bar_and_no_colours(store: Path) -> None:
    done = run("ingest", NWB, "--store", store, "--dataset", "lab")
    assert "\x1b" not in done.stdout + done.stderr
    assert "ingesting" not in done.stderr


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout.strip() == neuropile.__version__


@pytest.mark.parametrize("args", [["demo", "--out", "s3://b/d"], ["plot", "p.parquet", "--out", "s3://b/figure.png"]])
def test_a_url_is_not_taken_for_a_folder_to_write_to(args: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "this is written to local folders only" in " ".join(run(*args, code=2).stderr.replace("│", "").split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "args",
    [
        *(["info", "foo://bar/x"], ["info", "http://127.0.0.1:1/x.nwb"], ["units", "http://127.0.0.1:1/x"], ["plot", "http://127.0.0.1:1/x"]),
        *(["verify", "http://127.0.0.1:1/x"], ["index", "http://127.0.0.1:1/x"], ["info", "http://[::1"], ["info", "s3://"]),
    ],
)
def test_a_place_that_cannot_be_reached_is_one_line_and_one_json_object(args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "error" in answer(*args, code=1)


def test_what_the_file_system_refuses_is_json_too(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "error" in answer("pile", store, "--out", tmp_path / "file" / "p.parquet", code=1)


def test_a_store_without_a_licence_is_told_in_strict_json(tmp_path: Path) -> None:
    run("ingest", NWB, "--store", tmp_path / "s")
    text = run("info", tmp_path / "s", "--json").stdout
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))["datasets"][0]["license"] is None


def test_ctrl_c_is_one_line_and_its_own_exit_code(tmp_path: Path) -> None:
    code = "import os, signal, sys, neuropile.store as s; s.open_store = lambda p: os.kill(os.getpid(), signal.SIGINT); from neuropile.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "units", str(tmp_path), "--where", "true"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "stopped; the same command again goes on from what is done, or begins anew\n")
