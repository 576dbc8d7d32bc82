"""One job over many items: the engines agree, a failed item loses nothing else, and a dead worker is survived."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from neuropile import run
from neuropile.errors import RunError
from neuropile.run import Engine, map_combine

ENGINES = [Engine(), Engine("processes", 2), Engine("dask", 2)]


def words(i: int) -> list[str]:
    return [f"w{i}"]


def joined(parts: Sequence[list[str]]) -> list[str]:
    """Associative, but not commutative: an order that is lost shows."""
    return [w for part in parts for w in part]


def odd_only(i: int) -> list[str]:
    if i % 2 == 0:
        raise ValueError(f"{i} is even")
    return [f"w{i}"]


def deadly(folder: Path, i: int) -> list[str]:
    (folder / f"{i}-{os.getpid()}").touch()
    if i == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return [f"w{i}"]


def deadly_once(folder: Path, i: int) -> list[str]:
    if i == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return [f"w{i}"]


def sleeping(item: int) -> list[str]:
    time.sleep(60)
    return [str(item)]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.kind)
@pytest.mark.parametrize("n", [1, 9, 70])
def test_all_engines_combine_in_order(engine: Engine, n: int) -> None:
    assert map_combine(range(n), words, joined, engine=engine).whole("a test") == [f"w{i}" for i in range(n)]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.kind)
def test_failed_items_are_told_and_the_rest_stands(engine: Engine) -> None:
    done = map_combine(range(9), odd_only, joined, engine=engine)
    assert done.value == ["w1", "w3", "w5", "w7"]
    assert [(f.item, f.error) for f in done.failures] == [(str(i), f"stopped with ValueError: {i} is even") for i in (0, 2, 4, 6, 8)]
    with pytest.raises(RunError, match=r"counting: 5 parts failed \(0: stopped with ValueError: 0 is even; .*and 2 more\); mend that and run again"):
        done.whole("counting")


@pytest.mark.parametrize("engine", ENGINES[1:], ids=lambda e: e.kind)
def test_an_item_that_kills_its_worker_fails_alone(engine: Engine, tmp_path: Path) -> None:
    done = map_combine(range(6), partial(deadly, tmp_path), joined, engine=engine)
    assert done.value == ["w0", "w1", "w2", "w4", "w5"]
    assert [f.item for f in done.failures] == ["3"]
    assert "its worker died" in done.failures[0].error


@pytest.mark.parametrize("engine", ENGINES[1:], ids=lambda e: e.kind)
def test_a_worker_that_dies_once_costs_nothing(engine: Engine, tmp_path: Path) -> None:
    assert map_combine(range(6), partial(deadly_once, tmp_path), joined, engine=engine).whole("a test") == [f"w{i}" for i in range(6)]
    assert (tmp_path / "died").exists()


def test_nothing_to_do_is_told() -> None:
    done = map_combine([], words, joined)
    assert done == run.Done(None)
    with pytest.raises(RunError, match="there is nothing to do"):
        done.whole("a test")


def test_a_running_scheduler_is_used(tmp_path: Path) -> None:
    import distributed

    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        found = map_combine(range(4), words, joined, engine=Engine("dask", scheduler=cluster.scheduler_address))
    assert found.value == ["w0", "w1", "w2", "w3"]


def test_a_cluster_that_loses_all_its_workers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dask itself would wait for workers for ever."""
    import distributed

    monkeypatch.setattr(run, "NO_WORKERS_S", 2.0)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        threading.Timer(2.0, lambda: cluster.scale(0)).start()
        done = map_combine(range(2), sleeping, joined, engine=Engine("dask", scheduler=cluster.scheduler_address))
    assert done.value is None
    assert ["has no workers" in f.error for f in done.failures] == [True, True]


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SCHEDULER_TIMEOUT_S", 0.5)
    with pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*dask scheduler"):
        map_combine([1], words, joined, engine=Engine("dask", scheduler="tcp://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"kind": "spark"}, "must be one of serial, processes, dask"), ({"workers": 0}, "at least 1"), ({"scheduler": "tcp://a:1"}, "belongs to engine 'dask'")],
)
def test_an_engine_that_cannot_be_is_refused(options: dict, said: str) -> None:
    with pytest.raises(RunError, match=said):
        Engine(**options)


def test_a_working_folder_outlives_errors_and_goes_when_all_is_well(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    made = []
    for fails in (True, False):
        try:
            with run.working(out, "job") as folder:
                run.kept(folder / "part", lambda p: (made.append(1), p.write_text("x")))
                if fails:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            assert (folder / "part").read_text() == "x"
    assert made == [1]
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_another_job_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    try:
        with run.working(tmp_path / "out", "shape 1 10") as folder:
            run.kept(folder / "part", lambda p: p.write_text("old"))
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    with run.working(tmp_path / "out", "shape 1 15") as folder:
        assert run.kept(folder / "part", lambda p: p.write_text("new")).read_text() == "new"
    assert list(tmp_path.iterdir()) == []


def test_what_is_half_made_is_not_kept(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        run.kept(tmp_path / "part", half)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.parquet", "m[1]", "*", "m"])
def test_finishing_one_output_leaves_the_work_for_others_alone(tmp_path: Path, name: str) -> None:
    others = [n for n in ("m.parquet", "m", "m.v2", "m[1]", "*", "xy") if n != name]
    with ExitStack() as stack:
        folders = [stack.enter_context(run.working(tmp_path / other, "job")) for other in others]
        with run.working(tmp_path / name, "job") as own:
            pass
        assert not own.exists()
        assert all(f.is_dir() for f in folders)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_meanwhile_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, whose it was removes it and a third process makes and locks another."""
    path, flock, third = tmp_path / ".out.lock", fcntl.flock, ExitStack()

    def late(file: int, how: int) -> None:
        monkeypatch.setattr(run.fcntl, "flock", flock)
        path.unlink()
        third.enter_context(run.working(tmp_path / "out", "job"))
        flock(file, how)

    monkeypatch.setattr(run.fcntl, "flock", late)
    with third, pytest.raises(RunError, match="another process is writing"), run.working(tmp_path / "out", "job"):
        pass


def test_two_processes_do_not_write_one_output(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from neuropile import run\nwith run.working(Path({str(tmp_path / 'out')!r}), 'job'): print('in'); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(RunError, match="another process is writing"), run.working(tmp_path / "out", "job"):
            pass
        other.communicate("\n")
    with run.working(tmp_path / "out", "job"):
        pass
