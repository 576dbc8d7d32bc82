"""Locks on object stores: one holder at a time, whoever is killed or stands still."""

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
import uuid

import pytest
from servers import s3_watched
from upath import UPath

from neuropile import object_locks, remote
from neuropile.errors import StoreError
from neuropile.object_locks import held


@pytest.fixture(scope="module")
def served():
    with s3_watched("bucket", tries=1) as server:
        yield server


@pytest.fixture(params=["memory", "s3"])
def place(request, served, monkeypatch):
    """Where a lock may be, with short times."""
    _hurry(monkeypatch.setattr)
    name = f"{uuid.uuid4().hex}/index.lock"
    return UPath(f"memory://{name}") if request.param == "memory" else served.path(name)


@pytest.fixture
def s3_place(served, monkeypatch):
    _hurry(monkeypatch.setattr)
    return served.path(f"{uuid.uuid4().hex}/index.lock")


def _hurry(set_value, stale_s=0.5):
    for name, value in (("RENEW_S", 0.05), ("STALE_S", stale_s), ("LOOK_S", 0.02)):
        set_value(object_locks, name, value)


def test_a_lock_is_a_file_while_it_is_held_and_gone_afterwards(place):
    with held(place, "testing") as lock:
        assert json.loads(remote.read_bytes(place))["pid"] == os.getpid()
        lock.check()
    assert not place.exists()
    with pytest.raises(ZeroDivisionError), held(place, "testing"):
        1 / 0  # noqa: B018
    assert not place.exists()


def test_who_holds_a_lock_keeps_it_however_long_and_the_other_waits(place, caplog, monkeypatch):
    _hurry(monkeypatch.setattr, stale_s=2.0)  # a busy machine does not let this process renew its lock every 50 ms
    order = []

    def second():
        with held(place, "waiting"):
            order.append("second")

    with held(place, "the first job") as lock:
        other = threading.Thread(target=second)
        other.start()
        time.sleep(4.5)  # twice as long as what counts as left over
        lock.check()
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]
    assert f"waiting for {place}, held by process {os.getpid()} on" in caplog.text
    assert "(the first job); if a killed process left it, it is taken over after" in caplog.text


def test_a_lock_that_a_killed_process_elsewhere_left_is_taken_over_when_it_has_stayed_the_same(place):
    place.fs.pipe_file(place.path, b'{"pid": 1, "host": "elsewhere", "token": "0123456789abcdef0123456789abcdef", "beat": 7}')
    began = time.monotonic()
    with held(place, "testing"):
        assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"token": "../../x"}', b"\xff"])
def test_whatever_stands_in_a_lock_is_taken_over(place, text):
    place.fs.pipe_file(place.path, text)
    with held(place, "testing"):
        assert json.loads(remote.read_bytes(place))["doing"] == "testing"


def test_a_holder_that_stood_still_is_told_that_it_lost_the_lock(place, monkeypatch):
    with held(place, "testing") as lock:
        place.fs.pipe_file(place.path, b"another's")
        time.sleep(0.3)
        with pytest.raises(StoreError, match="was taken over while this process stood still or was cut off; run again"):
            lock.check()
    assert remote.read_bytes(place) == b"another's"  # and it is left to the other


def _hold_and_die(path, options):
    with held(UPath(path, **options), "dying"):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_lock_that_was_killed_on_this_machine_is_taken_over_at_once(served, s3_place, monkeypatch, caplog):
    monkeypatch.setattr(object_locks, "STALE_S", 1000.0)
    process = multiprocessing.get_context("forkserver").Process(target=_hold_and_die, args=(str(s3_place), served.options))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert json.loads(remote.read_bytes(s3_place))["doing"] == "dying"
    with caplog.at_level(logging.CRITICAL), held(s3_place, "testing"):
        assert json.loads(remote.read_bytes(s3_place))["doing"] == "testing"


def _count_up(path, options, n):
    _hurry(setattr, stale_s=30.0)
    number = UPath(f"{path}.number", **options)
    for _ in range(n):
        with held(UPath(path, **options), "counting"):
            n_before = int(remote.read_bytes(number))
            number.fs.pipe_file(number.path, str(n_before + 1).encode())


def test_one_process_at_a_time_holds_a_lock(served, s3_place):
    number = UPath(f"{s3_place}.number", **served.options)
    number.fs.pipe_file(number.path, b"0")
    context = multiprocessing.get_context("forkserver")
    workers = [context.Process(target=_count_up, args=(str(s3_place), served.options, 4)) for _ in range(3)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert [w.exitcode for w in workers] == [0] * 3
    assert remote.read_bytes(number) == b"12"


def test_of_many_that_find_a_lock_left_over_one_takes_it(s3_place):
    s3_place.fs.pipe_file(s3_place.path, b"left over")
    inside, most, guard = 0, 0, threading.Lock()

    def enter():
        nonlocal inside, most
        with held(s3_place, "testing"):
            with guard:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert (most, inside) == (1, 0)


def test_what_killed_holders_left_on_this_machine_is_tidied_up_after_a_week(place):
    marks = object_locks._marks()
    for name, days in (("old", 8), ("young", 6)):
        (marks / name).touch()
        os.utime(marks / name, (time.time() - days * 86400,) * 2)
    with held(place, "testing"):
        assert not (marks / "old").exists()
        assert (marks / "young").exists()
    (marks / "young").unlink()


def test_a_renewal_that_failed_does_not_lose_the_lock(s3_place, served, monkeypatch):
    monkeypatch.setattr(remote, "PAUSE_S", 0.001)
    monkeypatch.setattr(remote, "TRIES", 2)
    monkeypatch.setattr(object_locks, "STALE_S", 20.0)
    with held(s3_place, "testing") as lock:
        served.failing = lambda method, path: "500" if method == "PUT" else None
        time.sleep(0.3)
        served.failing = lambda method, path: None
        time.sleep(0.3)
        lock.check()
