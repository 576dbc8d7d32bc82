"""A session's files where a reader opens them: far away, whole, in zip and tar archives; each once, and forgotten once stored."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives.loopback import Mischief
from archives.servers_deposits import Deposit, Zenodo, deposit

from neuropile import builds, planning, session_files
from neuropile.archives import patience, zenodo
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError
from neuropile.readers import arrays
from neuropile.recipes import Plan, Recipe
from neuropile.store import create_store
from neuropile.types import Reader

READER = arrays.mapped({"times": "t", "units": "u"})


def npz(seed: int) -> bytes:
    rng, held = np.random.default_rng(seed), io.BytesIO()
    np.savez(held, t=np.sort(rng.uniform(0, 30, 200)), u=np.arange(200) % 3)
    return held.getvalue()


def zipped(**files: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as out:
        for name, data in files.items():
            out.writestr(f"data/{name}.npz", data)
    return held.getvalue()


def tarred(**files: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(f"data/{name}.npz")
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return held.getvalue()


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deposit]:
    monkeypatch.setattr(patience, "PAUSE_S", 0.005)
    files = {"a.zip": zipped(s1=npz(1), s2=npz(2)), "b.tar.gz": tarred(s3=npz(3), s4=npz(4)), "alone.npz": npz(5)}
    with deposit(Zenodo, files, id="77") as state:
        monkeypatch.setenv("NEUROPILE_ZENODO_URL", f"{state.url}/api")
        yield state


def recipe(**changed: Any) -> Recipe:
    known = {"key": "packed", "title": "t", "species": "s", "areas": "a", "task": "t", "citation": "c", "tested_on": "nothing", "reader": READER}
    return Recipe(**{**known, "archive": zenodo.record("77"), **changed})


PACKED = recipe(select=("*.zip", "*.tar.gz"), members=("*.npz",), session=r"(?P<session>s\d)\.npz$", whole=True)


def build(made: Recipe, folder: Path, **wish: Any) -> builds.Report:
    store = create_store(folder / "store")
    with Web() as web:
        plan = planning.make_plan(made, planning.Wish(**wish), web, builds.lock_path(store.root, made.key))
        (report,) = builds.build([plan], store, builds.Options(folder / "cache", limit=wish.get("limit")))
    return report


def test_sessions_in_zip_and_tar_archives_are_built_and_nothing_is_left(record: Deposit, tmp_path: Path) -> None:
    report = build(PACKED, tmp_path)
    assert sorted(o.session for o in report.outcomes) == [f"packed/s{i}" for i in (1, 2, 3, 4)]
    store = create_store(tmp_path / "store")
    for i in (1, 2, 3, 4):
        with np.load(io.BytesIO(npz(i))) as held:
            for unit in range(3):
                assert np.allclose(store[f"packed/s{i}"].spikes()[unit], held["t"][held["u"] == unit], atol=1e-5)
    assert [s["path"] for s in store["packed/s3"].record["sources"]] == ["b.tar.gz!/data/s3.npz"]
    left = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == []


def test_what_the_archives_hold_is_not_fetched_again_only_to_be_listed(record: Deposit, tmp_path: Path) -> None:
    build(PACKED, tmp_path)
    record.forget()
    record.store.forget()
    assert {o.status for o in build(PACKED, tmp_path).outcomes} == {"present"}
    assert record.n_bytes + record.store.n_bytes == 0


def test_one_damaged_archive_is_told_and_the_other_is_built(record: Deposit, tmp_path: Path) -> None:
    record.files["a.zip"] = b"PK\x03\x04" + bytes(3000)
    report = build(PACKED, tmp_path)
    assert {o.session: o.status for o in report.outcomes} == {"packed/a.zip": "failed", "packed/s3": "stored", "packed/s4": "stored"}
    (failed,) = [o for o in report.outcomes if o.status == "failed"]
    assert "a.zip" in str(failed.error)


def test_a_folder_may_hold_what_was_unpacked_by_hand(record: Deposit, tmp_path: Path) -> None:
    for i in (1, 4):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"s{i}.npz").write_bytes(npz(i))
    assert {o.session for o in build(PACKED, tmp_path, source=tmp_path / "mine").outcomes} == {"packed/s1", "packed/s4"}
    assert record.asked == []


def test_a_limit_holds_inside_archives(record: Deposit, tmp_path: Path) -> None:
    report = build(PACKED, tmp_path, limit=3)
    assert len(report.outcomes) == 3
    assert report.row()["remarks"] == ["not the whole dataset: totals are not compared"]


def test_a_file_fetched_whole_lies_under_its_archive_path(record: Deposit, tmp_path: Path) -> None:
    alone = recipe(select=("*.npz",), whole=True)
    assert [o.status for o in build(alone, tmp_path).outcomes] == ["stored"]
    assert not [p for p in (tmp_path / "cache").rglob("*.npz") if p.is_file()]


def test_wrong_bytes_fail_the_session_and_are_fetched_anew_by_the_next_build(record: Deposit, tmp_path: Path) -> None:
    alone = recipe(select=("*.npz",), whole=True)
    record.store.mischief = record.mischief = lambda asked: Mischief(flip=True) if "alone" in asked.path else None
    report = build(alone, tmp_path)
    assert [o.status for o in report.outcomes] == ["failed"]
    assert "md5" in str(report.outcomes[0].error)
    record.store.mischief = record.mischief = lambda asked: None
    assert [o.status for o in build(alone, tmp_path).outcomes] == ["stored"]


def test_a_file_without_events_is_skipped_and_not_fetched_again(record: Deposit, tmp_path: Path) -> None:
    held = io.BytesIO()
    np.savez(held, t=np.empty(0), u=np.empty(0, np.int64))
    record.files["alone.npz"] = held.getvalue()
    silent = recipe(select=("alone.npz",), whole=True)
    report = build(silent, tmp_path)
    assert [(o.status, "spikes" in str(o.error)) for o in report.outcomes] == [("skipped", True)]
    record.forget()
    record.store.forget()
    assert [o.status for o in build(silent, tmp_path).outcomes] == ["skipped"]
    assert record.n_bytes + record.store.n_bytes == 0


def test_another_recipe_of_the_same_name_does_not_pass_for_what_is_stored(record: Deposit, tmp_path: Path) -> None:
    build(PACKED, tmp_path)
    report = build(replace(PACKED, species="another"), tmp_path)
    assert {o.status for o in report.outcomes} == {"failed"}
    assert all("--replace" in str(o.error) for o in report.outcomes)


def test_a_file_that_sessions_share_is_fetched_once_and_forgotten_at_the_end(record: Deposit, tmp_path: Path) -> None:
    record.files |= {"s1.npz": npz(1), "s2.npz": npz(2), "common.txt": b"common" * 50_000}
    made = recipe(select=("s?.npz",), shared=("*.txt",), session=r"(?P<session>s\d)\.npz$", whole=True, reader=First())
    assert [o.status for o in build(made, tmp_path).outcomes] == ["stored", "stored"]
    sent = sum(a.sent for state in (record, record.store) for a in state.asked if "common" in a.path)
    assert 300_000 <= sent < 310_000
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"] == []


@dataclass(frozen=True)
class First(Reader):
    """Reads the one .npz of a session's folder."""

    def __call__(self, path: Any) -> Any:
        (own,) = path.glob("*.npz")
        return READER(own)


@pytest.mark.parametrize("empty", [False, True])
def test_nothing_selected_inside_archives_tells_what_there_is(record: Deposit, tmp_path: Path, empty: bool) -> None:
    if empty:
        record.files = {"a.zip": zipped()}
    with pytest.raises(ArchiveError, match=r"zip or tar archives hold (4 files \(npz\)|0 files \(none\)), none of which fits \*\.xyz; say which with --assets"):
        build(replace(PACKED, members=("*.xyz",)), tmp_path)


def test_a_damaged_list_of_what_an_archive_holds_is_made_anew(record: Deposit, tmp_path: Path) -> None:
    build(PACKED, tmp_path)
    kept = list((tmp_path / "store").rglob("packed.*.jsonl"))
    assert len(kept) == 2
    for path in kept:
        path.write_text("{")
    assert {o.status for o in build(PACKED, tmp_path).outcomes} == {"present"}


@pytest.mark.parametrize("place", ["a file", "a folder in a file"])
def test_a_cache_that_cannot_be_written_is_told_once(record: Deposit, tmp_path: Path, place: str) -> None:
    (tmp_path / "cache").write_text("mine")
    options = builds.Options(tmp_path / "cache" / ("x" if "folder" in place else ""))
    with Web() as web:
        plan = planning.make_plan(recipe(select=("*.npz",)), planning.Wish(), web)
        with pytest.raises(ArchiveError, match=r"cannot be put there.*--cache"):
            builds.build([plan], create_store(tmp_path / "store"), options)
        with pytest.raises(ArchiveError, match="--cache"):
            builds.check(plan, options, web, tmp_path / "listed")


SOURCE = session_files.Source(zenodo.record("77"), Plan("s", ()))


def test_a_builder_that_was_stopped_is_told_of_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(session_files, "TELL_S", 0.1)
    monkeypatch.setattr(session_files, "SILENT_S", 0.6)
    with session_files.alone(SOURCE, "made", tmp_path), session_files.alone(SOURCE, "made", tmp_path):  # of SIGN_S = 10 s nothing is seen here
        pass
    told = [r.getMessage() for r in caplog.records]
    assert f"made/s: waiting for process {os.getpid()} on " in told[0]
    assert "no sign of life" in told[1]


def test_a_builder_that_lives_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(session_files, "SIGN_S", 0.05)
    monkeypatch.setattr(session_files, "SILENT_S", 1.0)
    order: list[str] = []

    def second() -> None:
        with session_files.alone(SOURCE, "made", tmp_path):
            order.append("second")

    with session_files.alone(SOURCE, "made", tmp_path):
        other = threading.Thread(target=second)
        other.start()
        time.sleep(2.0)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]
    assert not any("no sign" in r.getMessage() for r in caplog.records)
