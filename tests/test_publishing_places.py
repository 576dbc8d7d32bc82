"""Publishing to folders and object stores: what was stopped goes on to the same bytes, and nothing unfinished looks finished."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from servers import s3_watched
from upath import UPath

from neuropile import Pile, make_pile, open_pile, published, testing
from neuropile.errors import PileError, RunError
from neuropile.publishing import places, sending, shards
from neuropile.run import Engine


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Pile:
    made = testing.store(tmp_path_factory.mktemp("places") / "store", [testing.recording(i, n_units=6, duration_s=60) for i in range(3)])
    return make_pile(made, max_tokens=3_000, val=0.1, test=0.3, split_by="segment")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 900)
    monkeypatch.setattr(published, "SPARSE_ROWS_PER_GROUP", 2)
    monkeypatch.setattr(sending, "PAUSE_S", 0.001)


def files(folder: Any) -> dict[str, bytes]:
    return {str(p)[len(str(folder)) + 1 :]: p.read_bytes() for p in sorted(folder.rglob("*"), key=str) if p.is_file()}


class Stop(BaseException):
    """As a kill: nothing catches it."""


def stopping_at(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write, done = shards.write, []

    def stopped(*args: Any) -> Any:
        if len(done) == n:
            raise Stop
        done.append(args[0].name)
        return write(*args)

    monkeypatch.setattr(shards, "write", stopped)


@pytest.mark.parametrize(("options", "n"), [({}, 0), ({}, 3), ({"layout": "dense"}, 2), ({"compat": True}, 4)])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(pile: Pile, tmp_path: Path, options: dict[str, Any], n: int) -> None:
    with pytest.MonkeyPatch.context() as m:
        m.setattr(published, "DENSE_BYTES_PER_GROUP", 6_000)
        pile.publish(tmp_path / "whole" / "p", **options)
        stopping_at(n, m)
        with pytest.raises(Stop):
            pile.publish(tmp_path / "p", **options)
        assert not (tmp_path / "p").exists()
        m.undo()
        m.setattr(shards, "SHARD_BYTES", 900)
        m.setattr(published, "SPARSE_ROWS_PER_GROUP", 2)
        m.setattr(published, "DENSE_BYTES_PER_GROUP", 6_000)
        again: list[str] = []
        write = shards.write
        m.setattr(shards, "write", lambda *a: (again.append(a[0].name), write(*a))[1])
        pile.publish(tmp_path / "p", **options)
    assert len(again) == len(set(again)) == len(list((tmp_path / "p").glob("*/*.parquet"))) - n
    assert files(tmp_path / "p") == files(tmp_path / "whole" / "p")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p", "whole"]


KILLED = """
import sys, time
from neuropile import open_pile
from neuropile.publishing import shards
write = shards.write
def slow(*a):
    done = write(*a); print("made", flush=True); time.sleep(0.2 if a[0].split == "train" else 30); return done
shards.write = slow
open_pile(sys.argv[1]).publish(sys.argv[2])
"""


def test_a_killed_process_leaves_no_folder_and_its_rerun_the_same_bytes(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the other process has the usual sizes
    pile.save(tmp_path / "pile.parquet")
    running = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "pile.parquet", tmp_path / "p"], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == running.stdout.readline() == "made\n"  # train is there, test is made and not kept yet
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "p").exists()
    open_pile(tmp_path / "pile.parquet").publish(tmp_path / "p")
    open_pile(tmp_path / "pile.parquet").publish(tmp_path / "whole" / "p")
    assert files(tmp_path / "p") == files(tmp_path / "whole" / "p")
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_leftovers_of_another_pile_are_not_taken_for_this_ones(pile: Pile, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as m:
        stopping_at(2, m)
        with pytest.raises(Stop):
            pile[:9].publish(tmp_path / "p")
    pile.publish(tmp_path / "p")
    pile.publish(tmp_path / "whole" / "p")
    assert files(tmp_path / "p") == files(tmp_path / "whole" / "p")


def test_a_full_disk_is_told_and_what_was_done_is_kept(pile: Pile, tmp_path: Path) -> None:
    write = shards.write
    with pytest.MonkeyPatch.context() as m:
        seen: list[str] = []

        def full(*args: Any) -> Any:
            seen.append(args[0].name)
            if len(seen) == 3:
                raise OSError(errno.ENOSPC, "No space left on device", str(args[1]))
            return write(*args)

        m.setattr(shards, "write", full)
        with pytest.raises(PileError, match=r"cannot be written \(No space left on device\); mend that and run again: what is done is kept"):
            pile.publish(tmp_path / "p")
        assert not (tmp_path / "p").exists()
        assert len(seen) == 3
        seen.extend(["x"] * 3)
        pile.publish(tmp_path / "p")
        assert not set(seen[:2]) & set(seen[6:])


def test_every_engine_gives_the_same_files(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pile.publish(tmp_path / "serial" / "p", compat=True)
    pile.publish(tmp_path / "processes" / "p", compat=True, engine=Engine("processes", 2))
    assert files(tmp_path / "serial" / "p") == files(tmp_path / "processes" / "p")


@pytest.mark.soak
def test_dask_gives_the_same_files(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pile.publish(tmp_path / "serial" / "p", compat=True)
    pile.publish(tmp_path / "dask" / "p", compat=True, engine=Engine("dask", 2))
    assert files(tmp_path / "serial" / "p") == files(tmp_path / "dask" / "p")


def test_two_at_once_do_not_mix(pile: Pile, tmp_path: Path) -> None:
    from neuropile.run import working

    with working(tmp_path / "p", "another"), pytest.raises(RunError, match="another process is writing"):
        pile.publish(tmp_path / "p")


@pytest.mark.parametrize(
    ("to", "options", "words"),
    [
        ("p", {"layout": "csr"}, "layout is 'csr'; it must be one of sparse, dense"),
        ("p", {"layout": "dense", "compat": True}, "goes with the sparse one"),
        ("p", {"private": True}, "--private is of repositories"),
        ("p", {"work": Path("w")}, "leave out --work"),
        ("https://host/p", {}, "a web server takes no files"),
        ("foo://bar/p", {}, "not a place"),
    ],
)
def test_what_cannot_be_meant_is_refused(pile: Pile, tmp_path: Path, to: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words):
        pile.publish(to if "://" in to else tmp_path / to, **options)
    assert not list(tmp_path.iterdir())


def test_an_empty_pile_is_refused(pile: Pile, tmp_path: Path) -> None:
    with pytest.raises(PileError, match="an empty pile"):
        pile.take(np.empty(0, np.int64)).publish(tmp_path / "p")


# Object stores


@pytest.fixture
def bucket(s3: dict[str, Any], tmp_path: Path) -> UPath:
    return UPath(f"s3://neuropile/{tmp_path.name}/p", **s3)


@pytest.mark.parametrize("options", [{}, {"layout": "dense"}, {"compat": True}])
def test_s3_gets_the_very_files_a_folder_gets(pile: Pile, bucket: UPath, tmp_path: Path, options: dict[str, Any]) -> None:
    pile.publish(bucket, work=tmp_path / "work", **options)
    pile.publish(tmp_path / "p", **options)
    assert files(bucket) == files(tmp_path / "p")
    assert not list((tmp_path / "work").iterdir())
    opened = open_pile(bucket)
    assert [(s.segment_id, s.split) for s in opened] == [(s.segment_id, s.split) for s in open_pile(tmp_path / "p")]
    np.testing.assert_array_equal(opened[3].counts(), open_pile(tmp_path / "p")[3].counts())


def test_pyarrow_reads_the_rows_where_they_lie(pile: Pile, bucket: UPath, tmp_path: Path) -> None:
    pile.publish(bucket, work=tmp_path)
    where = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(bucket.fs))
    assert pq.read_table(f"{bucket.path}/data", filesystem=where).num_rows == len(pile)


def test_a_run_to_s3_that_was_stopped_sends_each_file_once(pile: Pile, bucket: UPath, tmp_path: Path) -> None:
    sent: list[str] = []
    send = places.Bucket.send
    with pytest.MonkeyPatch.context() as m:
        m.setattr(places.Bucket, "send", lambda self, path, name: (sent.append(name), send(self, path, name))[1])
        with m.context() as stopped:
            stopping_at(2, stopped)
            with pytest.raises(Stop):
                pile.publish(bucket, work=tmp_path / "work")
        bucket.fs.invalidate_cache()
        assert not (bucket / "pile.json").exists()
        with pytest.raises(PileError):
            open_pile(bucket)
        pile.publish(bucket, work=tmp_path / "work")
    assert len(sent) == len(set(sent))
    pile.publish(tmp_path / "p")
    assert files(bucket) == files(tmp_path / "p")


def test_what_lies_in_a_bucket_is_left_alone_unless_it_is_a_pile_to_be_replaced(pile: Pile, bucket: UPath, tmp_path: Path) -> None:
    pile.publish(bucket, work=tmp_path)
    with pytest.raises(PileError, match="exists; give another name, or --replace"):
        pile.publish(bucket, work=tmp_path)
    pile[:5].publish(bucket, work=tmp_path, replace=True)
    pile[:5].publish(tmp_path / "p")
    assert files(bucket) == files(tmp_path / "p")
    other = bucket.parent / "mine"
    (other / "thesis.txt").write_text("words")
    with pytest.raises(PileError, match=r"holds files \(thesis.txt\) but is not a published pile"):
        pile.publish(other, work=tmp_path, replace=True)


def test_a_bucket_that_is_not_there_or_refuses_is_told(pile: Pile, s3: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PileError, match="there is no such bucket"):
        pile.publish(UPath("s3://nowhere/p", **s3), work=tmp_path)
    refused = UPath("s3://neuropile/refused", **s3)
    monkeypatch.setattr(refused.fs, "put_file", lambda *_, **__: (_ for _ in ()).throw(PermissionError("Access Denied")))
    with pytest.raises(PileError, match=r"refuses to be written to \(Access Denied\); give credentials"):
        pile.publish(refused, work=tmp_path)


@pytest.mark.parametrize("n", [2, 99])
def test_dropped_connections_are_tried_again_and_then_told(pile: Pile, bucket: UPath, tmp_path: Path, n: int, caplog: pytest.LogCaptureFixture) -> None:
    put, failed = bucket.fs.put_file, []

    def dropping(*args: Any, **kwargs: Any) -> Any:
        if len(failed) < n:
            failed.append(args)
            raise ConnectionResetError("the connection dropped")
        return put(*args, **kwargs)

    with pytest.MonkeyPatch.context() as m:
        m.setattr(bucket.fs, "put_file", dropping)
        if n > sending.TRIES:
            with pytest.raises(PileError, match=r"failed \(6 times\).*the connection dropped; run it again"):
                pile.publish(bucket, work=tmp_path)
            return
        pile.publish(bucket, work=tmp_path)
    assert len([r for r in caplog.records if "the connection dropped" in r.message]) == n
    assert json.loads((bucket / "pile.json").read_text())["n_segments"] == len(pile)


def test_any_file_system_will_do(pile: Pile, tmp_path: Path) -> None:
    to = UPath(f"memory://{tmp_path.name}/p")
    pile.publish(to, work=tmp_path)
    pile.publish(tmp_path / "p")
    assert files(to) == files(tmp_path / "p")


@pytest.mark.parametrize("failure", ["503", "cut", "late"])
def test_a_server_that_stumbles_gets_the_same_files(pile: Pile, tmp_path: Path, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    left = {"PUT": 3, "GET": 1, "POST": 1}

    def failing(method: str, path: str) -> str | None:
        if left.get(method) and (method != "PUT" or "/data/" in path):
            left[method] -= 1
            return failure
        return None

    with s3_watched(f"bucket-{uuid.uuid4().hex}") as served:
        served.failing = failing
        pile.publish(served.path("p"), work=tmp_path)
        assert left == {"PUT": 0, "GET": 0, "POST": 0}
        served.failing = lambda method, path: None
        pile.publish(tmp_path / "p")
        assert files(served.path("p")) == files(tmp_path / "p")


def test_a_server_that_refuses_is_told_at_once_and_later_goes_on(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with s3_watched(f"bucket-{uuid.uuid4().hex}") as served:
        served.failing = lambda method, path: "403" if method == "PUT" and "test-00000" in path else None
        with pytest.raises(PileError, match=r"sending data/test-00000-of-\d+.parquet failed: the server refuses to be written to"):
            pile.publish(served.path("p"), work=tmp_path)
        assert not any(path.endswith("pile.json") for method, path, _ in served.requests if method == "PUT")
        served.failing = lambda method, path: None
        before = len(served.requests)
        pile.publish(served.path("p"), work=tmp_path)
        assert not any("train-00000" in path for method, path, _ in served.requests[before:] if method == "PUT")
        pile.publish(tmp_path / "p")
        assert files(served.path("p")) == files(tmp_path / "p")
