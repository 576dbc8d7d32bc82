"""Datasets from the command line: what is told before, of what went wrong, and after; against archives on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from archives.loopback import HTML, Mischief
from archives.servers_dandi import DandiState, dandi_serving
from archives.servers_one import one_serving, serve_folder
from readers import alffolder
from typer.testing import CliRunner

from neuropile import catalog, open_store, testing
from neuropile.archives import patience
from neuropile.cli import app
from neuropile.errors import ArchiveError, NeuropileError, SourceChanged

SESSIONS = ("sub-a/sub-a_ses-1.nwb", "sub-a/sub-a_ses-2.nwb", "sub-b/sub-b_ses-3.nwb")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0.005)
    monkeypatch.setattr(patience, "MAX_PAUSE_S", 0.02)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dandiset's files: three sessions, and what is none."""
    folder = tmp_path_factory.mktemp("dandiset")
    store = testing.store(folder / "store", [testing.recording(i, n_units=3 + i, duration_s=20.0) for i in range(len(SESSIONS))])
    for name, key in zip(SESSIONS, store, strict=True):
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        store[key].to_nwb(folder / "files" / name)
    (folder / "files" / "dandiset.yaml").write_text("name: made\n")
    return folder / "files"


@pytest.fixture
def dandi(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DandiState]:
    """A DANDI that has them as dandiset 000231, as a version and as a draft."""
    own = shutil.copytree(files, tmp_path / "served")
    with dandi_serving() as state:
        for version in ("0.220904.1554", "draft"):
            state.add_dandiset(own, "000231", version, name="A made dandiset")
        monkeypatch.setenv("NEUROPILE_DANDI_URL", state.api)
        monkeypatch.setenv("NEUROPILE_CACHE", str(tmp_path / "cache"))
        yield state


def run(*args: object, code: int = 0) -> Any:
    """The JSON a command prints; its errors are raised."""
    done = CliRunner().invoke(app, [*map(str, args), "--json"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout)


def spikes(store: Path) -> dict[str, int]:
    return {key: session.n_spikes for key, session in open_store(store).items()}


# What is built


def test_a_dandiset_without_a_recipe_is_built_as_its_files_describe_themselves(dandi: DandiState, files: Path, tmp_path: Path) -> None:
    told = run("build", "dandi:000231@0.220904.1554", "--store", tmp_path / "store")
    (row,) = told["datasets"]
    assert (row["stored"], row["failed"]) == (3, 0)
    assert row["bytes_moved"] == dandi.bucket.n_bytes > 0
    found = open_store(tmp_path / "store")
    assert list(found) == [f"dandi-000231-0-220904-1554/{Path(name).stem}" for name in SESSIONS]
    for i, key in enumerate(found):
        made, stored = testing.recording(i, n_units=3 + i, duration_s=20.0), found[key].spikes()
        assert found[key].n_units == 3 + i
        for unit in range(3 + i):
            times = np.sort(made.trains.read(unit))
            assert np.allclose(stored[unit], times, atol=1e-5)
        (source,) = found[key].record["sources"]
        assert source["path"] == SESSIONS[i]
        assert source["sha256"]
        assert source["version"]


def test_the_same_build_again_asks_for_nothing(dandi: DandiState, tmp_path: Path) -> None:
    run("build", "dandi:000231@0.220904.1554", "--store", tmp_path / "store")
    dandi.forget()
    dandi.bucket.forget()
    told = run("build", "dandi:000231@0.220904.1554", "--store", tmp_path / "store")
    assert told["datasets"][0]["present"] == 3
    assert (dandi.asked, dandi.bucket.asked) == ([], [])


@pytest.mark.parametrize("engine", [("--engine", "processes", "--workers", "2"), ("--engine", "dask", "--workers", "2")])
def test_every_engine_builds_the_same_store(dandi: DandiState, tmp_path: Path, engine: tuple[str, ...]) -> None:
    run("build", "dandi:000231@0.220904.1554", "--store", tmp_path / "serial")
    run("build", "dandi:000231@0.220904.1554", "--store", tmp_path / "other", *engine)
    a, b = ({p.relative_to(r).as_posix(): p.read_bytes() for p in r.glob("*/*/**/*") if p.is_file()} for r in (tmp_path / "serial", tmp_path / "other"))
    assert {k: v for k, v in a.items() if not k.startswith("index/")} == {k: v for k, v in b.items() if not k.startswith("index/")}


def test_sessions_of_ibls_database_are_built_from_their_alf_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alffolder.session(tmp_path / "tree", ("probe00", "probe01"), sorter="pykilosort/#2024-05-06#")
    monkeypatch.setenv("NEUROPILE_CACHE", str(tmp_path / "cache"))
    with one_serving() as state:
        serve_folder(state, tmp_path / "tree")
        for name, value in state.environment.items():
            monkeypatch.setenv(name, value)
        assert run("build", "one:2022_Q4_IBL_et_al_BWM", "--store", tmp_path / "store")["datasets"][0]["stored"] == 1
    (session,) = open_store(tmp_path / "store").values()
    assert session.key == "one-2022-q4-ibl-et-al-bwm/KS023_2019-12-10_001"
    assert [session.recording_id] == [f"ibl/{s['id']}" for s in state.sessions]
    trains = [alffolder.trains(seed, 6) for seed in (0, 1)]
    assert session.n_spikes == sum(len(times) for times, _ in trains)
    assert len(session.trials) == len(alffolder.trial_table())


def test_a_store_in_a_bucket_is_built_as_one_on_disk(dandi: DandiState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: dict[str, Any]) -> None:
    run("build", "dandi:000231", "--store", tmp_path / "store")
    monkeypatch.setitem(fsspec.config.conf, "s3", s3)
    assert run("build", "dandi:000231", "--store", "s3://neuropile/built")["datasets"][0]["stored"] == 3
    here, far = open_store(tmp_path / "store"), open_store("s3://neuropile/built")
    assert {k: here[k].record["content_digest"] for k in here} == {k: far[k].record["content_digest"] for k in far}
    dandi.forget()
    dandi.bucket.forget()
    assert run("build", "dandi:000231", "--store", "s3://neuropile/built")["datasets"][0]["present"] == 3
    assert (dandi.asked, dandi.bucket.asked) == ([], [])


def test_files_that_are_here_are_read_without_a_request(dandi: DandiState, files: Path, tmp_path: Path) -> None:
    told = run("build", "dandi:000231", "--from", files, "--store", tmp_path / "store")
    assert told["datasets"][0]["stored"] == 3
    assert (dandi.asked, dandi.bucket.asked) == ([], [])


def test_some_sessions_may_be_asked_for(dandi: DandiState, tmp_path: Path) -> None:
    run("build", "dandi:000231", "--store", tmp_path / "store", "--assets", "sub-a/*", "--limit", "1")
    assert [k.split("/")[1] for k in open_store(tmp_path / "store")] == ["sub-a_ses-1"]


def test_a_dry_run_tells_and_does_nothing(dandi: DandiState, tmp_path: Path) -> None:
    told = run("build", "dandi:000231", "--store", tmp_path / "store", "--dry-run")
    (row,) = told["datasets"]
    assert (row["sessions"], row["files"], row["license"]) == (3, 3, "CC-BY-4.0")
    assert row["bytes"] == sum(p.stat().st_size for p in (tmp_path / "served").rglob("*.nwb"))
    assert not (tmp_path / "store").exists()
    assert dandi.bucket.asked == []


def test_a_check_reads_one_smallest_session_and_stores_nothing(dandi: DandiState, tmp_path: Path) -> None:
    told = run("build", "dandi:000231", "--store", tmp_path / "store", "--check")
    (found,) = told["checks"]
    smallest = min((tmp_path / "served").rglob("*.nwb"), key=lambda p: p.stat().st_size)
    assert found["asset"] == smallest.relative_to(tmp_path / "served").as_posix()
    assert (found["differs"], found["spikes"] > 0) == ([], True)
    assert not (tmp_path / "store").exists()


# What goes wrong


def test_a_session_that_cannot_be_had_is_told_and_the_others_are_stored(dandi: DandiState, tmp_path: Path) -> None:
    broken = next(p for p, file in dandi.bucket.files.items() if str(file).endswith("ses-2.nwb"))
    dandi.bucket.mischief = lambda asked: Mischief(403, body=b"<Error><Code>AccessDenied</Code></Error>") if broken in asked.path else None
    told = run("build", "dandi:000231", "--store", tmp_path / "store", code=1)
    assert told["n_failed"] == 1
    (failed,) = told["failed"]
    assert failed["session"].endswith("sub-a_ses-2")
    assert "403" in failed["error"]
    assert "\n" not in failed["error"]
    assert len(open_store(tmp_path / "store")) == 2
    dandi.bucket.mischief = lambda asked: None
    assert run("build", "dandi:000231", "--store", tmp_path / "store")["datasets"][0]["stored"] == 1
    assert len(open_store(tmp_path / "store").failed) == 0


@pytest.mark.parametrize(
    "mischief",
    [HTML, Mischief(202), Mischief(410), Mischief(500)],
    ids=["a web page", "an empty 202", "withdrawn", "500 for good"],
)
def test_what_no_repetition_mends_is_one_line_a_session(dandi: DandiState, tmp_path: Path, mischief: Mischief) -> None:
    dandi.bucket.mischief = lambda asked: mischief
    told = run("build", "dandi:000231", "--store", tmp_path / "store", code=1)
    assert told["n_failed"] == 3
    assert all("\n" not in f["error"] and f["asset"] in SESSIONS for f in told["failed"])
    assert spikes(tmp_path / "store") == {}


def test_connections_that_are_reset_are_taken_up_again(dandi: DandiState, tmp_path: Path) -> None:
    dandi.bucket.next = [Mischief(cut=0.5, reset=True), Mischief(503, {"Retry-After": "0"}), Mischief(429, {"Retry-After": "0"})]
    assert run("build", "dandi:000231", "--store", tmp_path / "store")["datasets"][0]["stored"] == 3


def test_a_draft_that_changed_stops_the_build_until_it_is_taken_as_it_is(dandi: DandiState, files: Path, tmp_path: Path) -> None:
    run("build", "dandi:000231@draft", "--store", tmp_path / "store")
    shutil.copyfile(files / SESSIONS[2], tmp_path / "served" / SESSIONS[0])
    dandi.add_dandiset(tmp_path / "served", "000231", "draft")
    with pytest.raises(SourceChanged, match=r"of 4 files|of 3 files 1 changed \(sub-a/sub-a_ses-1\.nwb\)"):
        run("build", "dandi:000231@draft", "--store", tmp_path / "store")
    told = run("build", "dandi:000231@draft", "--store", tmp_path / "store", "--update", code=1)
    assert "--replace" in told["failed"][0]["error"]
    assert run("build", "dandi:000231@draft", "--store", tmp_path / "store", "--update", "--replace")["n_failed"] == 0


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("steinmetzz", "did you mean 'steinmetz'"),
        ("dandy:000017", "is no dataset; it can be dandi:ID"),
        ("ftp://host/file.nwb", "https://"),
        ("dandi:999999", "999999"),
        ("./nothing.py", "no such recipe"),
    ],
)
def test_what_is_no_dataset_is_told(dandi: DandiState, tmp_path: Path, what: str, words: str) -> None:
    with pytest.raises(NeuropileError, match=words):
        run("build", what, "--store", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_two_builds_of_one_store_at_once_are_one(dandi: DandiState, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "neuropile", "build", "dandi:000231", "--store", str(tmp_path / "store"), "--json"]
    both = [subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    told = [json.loads(p.communicate(timeout=120)[0]) for p in both]
    assert [p.returncode for p in both] == [0, 0]
    counted = [t["datasets"][0] for t in told]
    assert sum(c["stored"] for c in counted) == 3
    assert all(c["stored"] + c["present"] == 3 for c in counted)
    assert len(open_store(tmp_path / "store")) == 3


# Catalogue, locks, pages


def test_the_catalogue_is_told_whole_and_in_part() -> None:
    rows = run("catalog")["datasets"]
    assert len(rows) == 50
    assert [r["tokens"] for r in rows] == sorted((r["tokens"] for r in rows), reverse=True)
    assert {"key", "title", "species", "tokens", "license", "citation", "tested_on"} <= set(rows[0])
    mice = run("catalog", "--species", "mus musculus", "--archive", "dandi")["datasets"]
    assert 0 < len(mice) < 50
    assert all(r["species"] == "Mus musculus" and r["archive"].startswith("dandi:") for r in mice)
    assert [r["key"] for r in run("catalog", "steinmetz")["datasets"]] == ["steinmetz"]


def test_what_to_cite_is_told_of_datasets_stores_and_piles(dandi: DandiState, tmp_path: Path) -> None:
    assert "Nature 576" in run("cite", "steinmetz")["datasets"][0]["citation"]
    run("build", "dandi:000231", "--store", tmp_path / "store")
    run("pile", tmp_path / "store", "--out", tmp_path / "pile.parquet")
    for path in ("store", "pile.parquet"):
        (row,) = run("cite", tmp_path / path)["datasets"]
        assert (row["dataset"], row["sessions"], row["units"]) == ("dandi-000231", 3, 12)


def test_a_lock_is_written_and_built_by(dandi: DandiState, tmp_path: Path) -> None:
    (row,) = run("lock", "dandi:000231", "--out", tmp_path / "made.lock")["locks"]
    assert (row["files"], row["pinned"]) == (4, True)
    dandi.forget()
    assert run("build", "dandi:000231", "--store", tmp_path / "store", "--lock", tmp_path / "made.lock")["n_failed"] == 0
    assert not any("/assets/" in a.path and "download" not in a.path for a in dandi.asked)


def test_a_new_recipe_works_as_it_stands(dandi: DandiState, tmp_path: Path) -> None:
    run("recipe", "new", "dandi:000231", "--out", tmp_path / "mine.py")
    page = (tmp_path / "mine.py").read_text()
    assert "A made dandiset" in page
    assert "dandi.dandiset('000231', '0.220904.1554')" in page
    assert run("build", tmp_path / "mine.py", "--store", tmp_path / "store")["datasets"][0]["stored"] == 3
    with pytest.raises(NeuropileError, match="exists; give another name"):
        run("recipe", "new", "dandi:000231", "--out", tmp_path / "mine.py")


def test_an_archives_words_cannot_break_out_of_a_page(dandi: DandiState, tmp_path: Path) -> None:
    for version in ("0.220904.1554", "draft"):
        dandi.meta["000231", version]["name"] = 'a"""\nimport os; os.abort() #\\'
    run("recipe", "new", "dandi:000231", "--out", tmp_path / "mine.py")
    assert run("build", tmp_path / "mine.py", "--store", tmp_path / "store", "--dry-run")["datasets"][0]["sessions"] == 3


def test_a_page_that_is_no_recipe_is_told(tmp_path: Path) -> None:
    for text, words in (("x = 1\n", "has no `recipe = Recipe"), ("import nothing_of_that_name\n", "not a recipe"), ("recipe = 5\n", "has no")):
        (tmp_path / "mine.py").write_text(text)
        with pytest.raises(NeuropileError, match=words):
            run("build", tmp_path / "mine.py", "--store", tmp_path / "store")


def test_an_archive_that_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEUROPILE_DANDI_URL", "http://127.0.0.1:9/api")
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1:9"):
        run("build", "dandi:000231", "--store", tmp_path / "store")


# What is asked for in odd ways


OWN_READER = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Any
from neuropile.types import Reader

@dataclass(frozen=True)
class Mine(Reader):
    n: int = 1
    def __call__(self, path: Any) -> Any:
        return nwb.units()(path)
"""


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_a_page_may_have_a_reader_of_its_own_on_any_engine(dandi: DandiState, tmp_path: Path, engine: str) -> None:
    run("recipe", "new", "dandi:000231", "--out", tmp_path / "new.py")
    body = (tmp_path / "new.py").read_text().partition('"""\n')[2].replace("reader=nwb.units()", "reader=Mine()")
    (tmp_path / "mine.py").write_text(OWN_READER + body)
    told = run("build", tmp_path / "mine.py", "--store", tmp_path / "store", "--engine", engine, "--workers", "2")
    assert (told["datasets"][0]["stored"], told["n_failed"]) == (3, 0)
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("text", ["raise SystemExit('bye')", "import sys; sys.exit(0)", "raise KeyboardInterrupt", "def (", "import os.nothing", "x = 1\0"])
def test_a_page_that_ends_or_breaks_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.py").write_text(text + "\n")
    with pytest.raises(NeuropileError, match=r"mine\.py: not a recipe"):
        run("build", tmp_path / "mine.py", "--store", tmp_path / "store")


def test_a_dataset_named_twice_is_built_once(dandi: DandiState, tmp_path: Path) -> None:
    told = run("build", "dandi:000231", "dandi:231", "dandi:000231", "--store", tmp_path / "store")
    assert [(r["dataset"], r["stored"], r["present"]) for r in told["datasets"]] == [("dandi-000231", 3, 0)]


def test_two_datasets_of_one_key_are_refused(tmp_path: Path) -> None:
    for name, id in (("a", "000001"), ("b", "000002")):
        (tmp_path / f"{name}.py").write_text(
            "from neuropile.archives import dandi\nfrom neuropile.readers import nwb\nfrom neuropile.recipes import Recipe\n"
            f"recipe = Recipe(key='same', title='', archive=dandi.dandiset('{id}'), reader=nwb.units(), species='', areas='', task='', "
            "citation='', tested_on='')\n"
        )
    with pytest.raises(NeuropileError, match=r"a\.py and .*b\.py are two datasets of one key, same"):
        run("build", tmp_path / "a.py", tmp_path / "b.py", "--store", tmp_path / "store")


def test_the_key_of_an_address_is_no_other_datasets() -> None:
    keys = {catalog.find(f"https://{place}/steinmetz.nwb{query}").key for place in ("h", "h/x", "i") for query in ("", "?id=1", "?id=2")}
    assert len(keys) == 9
    assert "steinmetz" not in keys
    assert all(key.startswith(("h-steinmetz-", "i-steinmetz-")) for key in keys)
    assert catalog.find("https://me:SECRET@h/a.nwb").key == catalog.find("https://h/a.nwb").key
    assert len(catalog.find(f"https://h/{'x' * 300}.nwb").key) <= 80


@pytest.mark.parametrize("what", ["http://[x", "http://h:99999/x.nwb", "s3://[b"])
def test_an_address_that_is_none_is_told(what: str, tmp_path: Path) -> None:
    with pytest.raises(NeuropileError, match="no address"):
        run("build", what, "--store", tmp_path / "store")


def test_one_dataset_that_cannot_be_listed_does_not_stop_the_other(dandi: DandiState, tmp_path: Path) -> None:
    for more in (("--dry-run",), ("--check",), ()):
        told = run("build", "dandi:999999", "dandi:000231", "--store", tmp_path / "store", *more, code=1)
        ((dataset, error),) = [(r["dataset"], r["error"]) for r in told["refused"]]
        assert dataset == "dandi-999999"
        assert "999999" in error
    assert len(open_store(tmp_path / "store")) == 3


def test_a_check_and_a_dry_run_are_not_asked_for_together(tmp_path: Path) -> None:
    with pytest.raises(NeuropileError, match="--check reads a session, --dry-run reads none"):
        run("build", "steinmetz", "--store", tmp_path / "store", "--check", "--dry-run")


def test_a_folder_is_held_against_the_lock_that_is_named(dandi: DandiState, files: Path, tmp_path: Path) -> None:
    run("lock", "dandi:000231", "--out", tmp_path / "made.lock")
    asked = ("build", "dandi:000231", "--store", tmp_path / "store", "--lock", tmp_path / "made.lock", "--from", tmp_path / "mine")
    shutil.copytree(files, tmp_path / "mine")
    damaged = bytearray((files / SESSIONS[0]).read_bytes())
    damaged[-1] ^= 255
    (tmp_path / "mine" / SESSIONS[0]).write_bytes(damaged)
    (failed,) = run(*asked, code=1)["failed"]
    assert failed["asset"] == SESSIONS[0]
    shutil.copyfile(files / SESSIONS[0], tmp_path / "mine" / SESSIONS[0])
    assert run(*asked)["n_failed"] == 0
    assert run("build", "dandi:000231", "--store", tmp_path / "store")["datasets"][0]["present"] == 3
