"""Building stores on S3: from files as on disk, killed at any moment, and side by side."""

import json
import multiprocessing
import random
import signal
import time
import uuid
from dataclasses import replace

import pytest
from builds import PROVENANCE, make_files, reader_of, start, statuses, tree
from servers import s3_watched
from upath import UPath

from neuropile import object_locks, remote, testing
from neuropile.building import add_recording, ingest
from neuropile.store import create_store, open_store
from neuropile.verifying import verify


@pytest.fixture(scope="module")
def s3():
    with s3_watched("bucket", tries=1) as served:
        yield served


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Two files, and the store on disk that comes of them."""
    folder = tmp_path_factory.mktemp("reference")
    paths = make_files(folder / "files", 2)
    store = create_store(folder / "store")
    ingest(paths, store, reader_of)
    return paths, store


@pytest.fixture
def far(s3):
    return s3.path(f"{uuid.uuid4().hex}/store")


def far_files(root) -> dict[str, bytes]:
    """Every file of a store by its name in it."""
    return {p.removeprefix(f"{root.path}/"): remote.read_bytes(UPath(f"s3://{p}", **root.storage_options)) for p in root.fs.find(root.path)}


def far_tree(root) -> dict[str, bytes]:
    """Every file of every session folder."""
    return {name: data for name, data in far_files(root).items() if not name.startswith("index/") and "/" in name}


# From files


def test_files_are_stored_and_skipped_and_replaced_as_on_disk(far, reference, tmp_path):
    paths = make_files(tmp_path / "files", 2)
    store = create_store(far)
    assert statuses(ingest(paths, store, reader_of)) == ["stored"] * 2
    assert far_tree(far) == tree(reference[1].root)
    assert statuses(ingest(paths, open_store(far), reader_of)) == ["present"] * 2
    paths[0].write_text(json.dumps({"seed": 9, "n_units": 3}))
    paths[1].write_text("{")
    again = ingest(paths, open_store(far), reader_of)
    assert statuses(again) == ["failed", "failed"]
    assert "session local/s0 is stored already from other bytes or by another reader or recipe; --replace builds it again" in again[0].error
    assert statuses(ingest(paths, open_store(far), reader_of, replace=True)) == ["stored", "failed"]
    assert open_store(far).sessions.n_units["local/s0"] == 3
    assert len(open_store(far).failed) == 0  # s1 is still there as it was
    assert verify(far) == []


def test_no_scratch_lies_on_the_object_store(far, files):
    ingest(files[:1], create_store(far), reader_of)
    assert {n.split("/")[0] for n in far_files(far)} == {"index", "local", "neuropile.json"}
    assert not [n for n in far_files(far) if "lock" in n or "tmp" in n or "building" in n]


# Killed at any moment


def _build(paths, root, options, began):
    store = create_store(UPath(root, **options))
    began.set()
    ingest(paths, store, reader_of)
    store.index.take_in()


def _builder(paths, root, s3):
    began = multiprocessing.get_context("forkserver").Event()
    process = start(_build, paths, str(root), s3.options, began)
    began.wait(60)
    return process


def check_nothing_looks_finished_that_is_not(root, expected):
    found, whole = far_tree(root), tree(expected.root)
    for marker in [n for n in found if n.endswith("/session.json")]:
        own = marker.removesuffix("session.json")
        assert {n: d for n, d in found.items() if n.startswith(own)} == {n: d for n, d in whole.items() if n.startswith(own)}
    store = open_store(root)
    for key in store:
        assert f"{key}/session.json" in found
        assert (store.units.session_id == key.split("/")[1]).sum() == store[key].n_units
    assert len(store.failed) == 0
    assert not [f for f in verify(root) if f.where in store]


def check_a_rerun_completes(paths, root, expected):
    outcomes = ingest(paths, create_store(root), reader_of)
    assert set(statuses(outcomes)) <= {"stored", "present"}
    store = open_store(root)
    store.index.take_in()
    assert far_tree(root) == tree(expected.root)
    for index in (store.index, open_store(root).index):
        assert index.sessions.equals(expected.index.sessions)
        assert index.units.equals(expected.index.units)
    assert verify(root) == []
    left = {n for n in far_files(root) if n.startswith("index/")} - {"index/sessions.parquet", "index/units.parquet"}
    assert not [n for n in left if not n.endswith((".lock", ".units.parquet"))]  # what nobody reads
    assert not store.rebuild_index()


def check_kills(paths, expected, s3, n, seed):
    """Kill builds of the same store at random moments, again and again, starting over whenever it is done."""
    seconds = []
    for _ in range(2):
        process, began = _builder(paths, s3.path(f"{uuid.uuid4().hex}/store"), s3), time.monotonic()
        process.join()
        seconds.append(time.monotonic() - began)
    rng = random.Random(seed)
    root, n_killed = s3.path(f"{uuid.uuid4().hex}/store"), 0
    while n_killed < n:
        process = _builder(paths, root, s3)
        process.join(rng.uniform(0, 0.7 * min(seconds)))
        process.kill()
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
        check_nothing_looks_finished_that_is_not(root, expected)
        if process.exitcode == 0:
            check_a_rerun_completes(paths, root, expected)
            root = s3.path(f"{uuid.uuid4().hex}/store")
    check_a_rerun_completes(paths, root, expected)


def test_builds_killed_at_random_moments_leave_nothing_half_done_and_a_rerun_completes(reference, s3):
    check_kills(*reference, s3, n=5, seed=0)


@pytest.mark.soak
def test_fifty_kills_at_random_moments_come_to_the_same_end(reference, s3):
    check_kills(*reference, s3, n=50, seed=1)


def test_a_build_killed_before_the_marker_leaves_no_session(reference, s3, far):
    paths, expected = reference
    builders = []
    for name in ("spikes.parquet", "session.json"):
        killed = []

        def at(method, path, name=name, killed=killed):
            if method == "PUT" and path.endswith(f"/s0/{name}") and not killed:
                killed.append(path)
                builders[-1].kill()
                return "cut"
            return None

        began = multiprocessing.get_context("forkserver").Event()
        s3.failing = at
        builders.append(start(_build, paths[:1], str(far), s3.options, began))
        builders[-1].join()
        s3.failing = lambda method, path: None
        assert builders[-1].exitcode == -signal.SIGKILL
        assert killed
        assert far_tree(far)
        assert len(open_store(far)) == 0
        assert {f.level for f in verify(far)} == {"warning"}
    check_a_rerun_completes(paths, far, expected)


# Side by side


def _add(barrier, root, options, seeds, again, report):
    remote.PAUSE_S = object_locks.LOOK_S = 0.02
    store = open_store(UPath(root, **options))
    barrier.wait()
    for seed in seeds:
        recording = replace(testing.recording(seed, n_units=3, duration_s=5.0), session_id="s")
        try:
            add_recording(store, recording, PROVENANCE, replace=again)
            report.put("stored")
        except Exception as e:
            report.put(f"{type(e).__name__}: {e}")


def together(root, s3, seeds, again):
    """What two processes say that store other recordings under one name at once."""
    context = multiprocessing.get_context("forkserver")
    barrier, report = context.Barrier(2), context.Queue()
    create_store(root)
    workers = [start(_add, barrier, str(root), s3.options, own, again, report) for own in seeds]
    said = [report.get(timeout=60) for own in seeds for _ in own]
    for w in workers:
        w.join()
    return said


def test_of_two_builders_of_one_session_one_wins_and_the_other_is_told(s3, far):
    said = together(far, s3, [[0], [1]], again=False)
    assert sorted(s.partition(":")[0] for s in said) == ["SessionExists", "stored"]
    assert verify(far) == []
    assert list(open_store(far)) == ["d/s"]


def test_two_builders_of_the_same_recording_both_have_it_stored(s3, far):
    assert together(far, s3, [[0], [0]], again=False) == ["stored"] * 2
    assert verify(far) == []


def test_replacing_a_session_from_two_sides_leaves_one_whole_one(s3, far):
    assert together(far, s3, [[0, 1], [3, 4]], again=True) == ["stored"] * 4
    assert not open_store(far).rebuild_index()
    assert verify(far) == []


def _take_in_again_and_again(root, options, done, report):
    n = 0
    while not done.is_set():
        open_store(UPath(root, **options)).index.take_in()
        n += 1
    report.put(n)


@pytest.mark.soak
def test_readers_and_compactors_do_not_disturb_a_builder(reference, s3, far):
    paths, expected = reference
    create_store(far)
    context = multiprocessing.get_context("forkserver")
    done, report = context.Event(), context.Queue()
    compactors = [start(_take_in_again_and_again, str(far), s3.options, done, report) for _ in range(2)]
    builder = _builder(paths, far, s3)
    while builder.is_alive():
        store = open_store(far)
        assert set(store.units.session_id) == {key.split("/")[1] for key in store}
    done.set()
    assert all(report.get(timeout=60) for _ in compactors)
    for process in (builder, *compactors):
        process.join()
        assert process.exitcode == 0
    check_a_rerun_completes(paths, far, expected)
