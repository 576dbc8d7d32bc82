"""Building stores: killed at any moment, and side by side."""

import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builds import PROVENANCE, reader_of, start, statuses, tree

from neuropile import testing
from neuropile.building import add_recording, ingest
from neuropile.store import create_store, open_store

# Killed at any moment


def _build(paths, root, kill_at=None, report=None):
    """Build a store in a process that kills itself before its `kill_at`-th step on the store's files."""
    n_steps = 0

    def count(event, arguments):
        nonlocal n_steps
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "os.listdir") and any(str(root) in str(a) for a in arguments[:2]):
            n_steps += 1
            if n_steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    outcomes = ingest(paths, create_store(root), reader_of)
    if report is not None:
        report.put((n_steps, statuses(outcomes)))


def count_steps(paths, root) -> tuple[int, float]:
    """How many steps a build takes, and how many seconds."""
    report = multiprocessing.get_context("forkserver").Queue()
    process = start(_build, paths, root, report=report)
    n_steps, _ = report.get()
    process.join()
    began = time.monotonic()
    start(_build, paths, root.with_name(root.name + "-again")).join()
    return n_steps, time.monotonic() - began


def check_nothing_looks_finished_that_is_not(root: Path, expected) -> None:
    finished = {}
    for marker in root.glob("*/*/session.json"):
        finished |= {name: data for name, data in tree(root).items() if name.startswith(f"{marker.parent.relative_to(root)}/")}
    assert tree(root).keys() - {n for n in tree(root) if n.startswith(".building")} == finished.keys()
    assert finished.items() <= tree(expected.root).items()
    if (root / "neuropile.json").exists():
        store = open_store(root)
        for key in store:
            assert store[key].counts().sum() == store[key].n_spikes
            assert (store.units.session_id == key.split("/")[1]).sum() == store[key].n_units
        assert len(store.failed) == 0


def check_a_rerun_completes(paths, root: Path, expected) -> None:
    outcomes = ingest(paths, create_store(root), reader_of)
    assert set(statuses(outcomes)) <= {"stored", "present"}
    assert tree(root) == tree(expected.root)
    anew = open_store(root)
    assert anew.index.sessions.equals(expected.index.sessions)
    assert anew.unit_table.equals(expected.unit_table)
    assert set(os.listdir(root)) - {n for n in os.listdir(root) if n.endswith(".tmp")} == {"index", "local", "neuropile.json"}


def check_kill(paths, root, expected, kill_at):
    process = start(_build, paths, root, kill_at)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    check_nothing_looks_finished_that_is_not(root, expected)
    check_a_rerun_completes(paths, root, expected)


def test_a_build_killed_at_any_step_leaves_nothing_half_done_and_a_rerun_completes(reference, tmp_path):
    paths, expected = reference
    n_steps, _ = count_steps(paths, tmp_path / "count")
    assert n_steps > 200
    for kill_at in [1, 2, 3, 4, *random.Random(0).sample(range(5, n_steps + 1), 6)]:
        check_kill(paths, tmp_path / f"at-{kill_at}", expected, kill_at)


def check_random_kills(paths, root, expected, n, seed):
    """Kill builds of the same store at random moments, again and again, starting over whenever it is done."""
    _, seconds = count_steps(paths, root / "count")
    rng = random.Random(seed)
    store, n_killed = root / "0", 0
    while n_killed < n:
        process = start(_build, paths, store)
        process.join(rng.uniform(0, 0.6 * seconds))
        process.kill()
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
        check_nothing_looks_finished_that_is_not(store, expected)
        if process.exitcode == 0:
            check_a_rerun_completes(paths, store, expected)
            store = root / f"{n_killed}-{rng.random()}"
    check_a_rerun_completes(paths, store, expected)


def test_fifty_kills_at_random_moments_come_to_the_same_end(reference, tmp_path):
    check_random_kills(*reference[:1], tmp_path, reference[1], n=50, seed=0)


@pytest.mark.soak
def test_a_build_killed_at_every_step_leaves_nothing_half_done_and_a_rerun_completes(reference, tmp_path):
    paths, _ = reference
    n_steps, _ = count_steps(paths[:2], tmp_path / "count")
    two = create_store(tmp_path / "two")
    ingest(paths[:2], two, reader_of)
    for kill_at in range(1, n_steps + 1):
        check_kill(paths[:2], tmp_path / f"at-{kill_at}", two, kill_at)


@pytest.mark.soak
def test_two_hundred_kills_at_random_moments_come_to_the_same_end(reference, tmp_path):
    check_random_kills(*reference[:1], tmp_path, reference[1], n=200, seed=1)


# Side by side


def _build_together(barrier, paths, root, report):
    barrier.wait()
    outcomes = ingest(paths, create_store(root), reader_of)
    report.put([(o.status, o.error) for o in outcomes])


def _index_again_and_again(barrier, root, done, report):
    barrier.wait()
    n = 0
    while not done.is_set():
        if (root / "neuropile.json").exists():
            store = open_store(root)
            for key in store:
                assert len(store[key].units) == (store.units.session_id == key.split("/")[1]).sum()
            store.rebuild_index()
            n += 1
    report.put(n)


def check_together(paths, root, expected, n_builders):
    context = multiprocessing.get_context("forkserver")
    barrier, report, done, indexed = context.Barrier(n_builders + 1), context.Queue(), context.Event(), context.Queue()
    builders = [start(_build_together, barrier, paths if i % 2 else paths[::-1], root, report) for i in range(n_builders)]
    indexer = start(_index_again_and_again, barrier, root, done, indexed)
    found = [o for _ in builders for o in report.get(timeout=60)]
    for builder in builders:
        builder.join()
    done.set()
    assert indexed.get(timeout=60) > 0
    indexer.join()
    assert [b.exitcode for b in (*builders, indexer)] == [0] * (n_builders + 1)
    assert {status for status, _ in found} <= {"stored", "present"}, found
    check_nothing_looks_finished_that_is_not(root, expected)
    assert sorted(open_store(root)) == sorted(expected)
    check_a_rerun_completes(paths, root, expected)


def test_builders_side_by_side_and_an_indexer_do_not_disturb_each_other(reference, tmp_path):
    for i in range(3):
        check_together(reference[0], tmp_path / str(i), reference[1], n_builders=2)


@pytest.mark.soak
def test_many_builders_side_by_side_do_not_disturb_each_other(reference, tmp_path):
    for i in range(60):
        check_together(reference[0], tmp_path / str(i), reference[1], n_builders=2 + i % 3)


def _replace_again_and_again(barrier, root, seeds, report):
    barrier.wait()
    store = open_store(root)
    for seed in seeds:
        add_recording(store, replace(testing.recording(seed, n_units=3, duration_s=5.0), session_id="s"), PROVENANCE, replace=True)
    report.put(True)


def test_replacing_a_session_from_two_sides_leaves_one_whole_one(store, tmp_path):
    context = multiprocessing.get_context("forkserver")
    barrier, report = context.Barrier(2), context.Queue()
    seeds = list(range(12))
    workers = [start(_replace_again_and_again, barrier, store.root, s, report) for s in (seeds, seeds[::-1])]
    for w in workers:
        w.join()
    assert {w.exitcode for w in workers} <= {0, 1}  # one may find that the other was faster, and says so
    ses = open_store(store.root)["d/s"]
    alone = testing.store(tmp_path / "alone", [replace(testing.recording(s, n_units=3, duration_s=5.0), session_id=f"s{s}") for s in seeds], dataset="d")
    same = [k for k in alone if np.array_equal(alone[k].spikes().times, ses.spikes().times)]
    assert len(same) == 1
    assert sorted(os.listdir(store.root)) == ["d", "index", "neuropile.json"]
