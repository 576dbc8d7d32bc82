"""Stores built on object stores: the same as on disk, in few requests, whatever the server does meanwhile."""

import json
import re
import uuid
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import FAILURES, s3_watched
from stores import row_of, unit_rows
from upath import UPath

from neuropile import create_store, layout, object_files, open_store, remote, testing
from neuropile.building import add_recording
from neuropile.errors import SessionExists, StoreError
from neuropile.verifying import verify
from neuropile.writing import Provenance

KEY = "test/session-0"
SMALL = {"n_units": 3, "duration_s": 10.0}


@pytest.fixture(scope="module")
def watched():
    with s3_watched("bucket", tries=1) as served:
        yield served


@pytest.fixture
def s3(watched, monkeypatch):
    """A server that does its work and is asked nothing yet."""
    monkeypatch.setattr(remote, "PAUSE_S", 0.001)
    watched.failing = lambda method, path: None
    watched.requests.clear()
    return watched


@pytest.fixture(params=["memory", "s3"])
def far(request, s3):
    name = uuid.uuid4().hex
    return UPath(f"memory://{name}/store") if request.param == "memory" else s3.path(f"{name}/store")


def files_of(root) -> dict[str, bytes]:
    """Every file of a store by its name in it."""
    if remote.is_remote(root):
        base = root.path.rstrip("/")
        return {p.removeprefix(base).lstrip("/"): root.fs.cat_file(p) for p in root.fs.find(base)}
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != ".lock"}


def asked(served) -> list[tuple[str, str]]:
    """What was asked since the last time: the method and the name of the file, or LIST."""
    found = [("LIST" if "list-type" in q else m, p.rpartition("/")[2]) for m, p, q in served.requests]
    served.requests.clear()
    return found


# The same as on disk

KINDS = st.fixed_dictionaries(
    {
        "n_units": st.integers(1, 5),
        "duration_s": st.sampled_from([5.0, 400.0]),
        "observed": st.sampled_from(["whole", "gaps", "each", None]),
        "invalid": st.booleans(),
    }
)


@settings(max_examples=4)
@given(st.lists(KINDS, min_size=1, max_size=2), st.sampled_from(["lab", "lab@upstream", "a+b=c"]), st.sampled_from(["memory", "s3"]))
def test_what_is_built_far_away_is_what_is_built_on_disk(tmp_path_factory, watched, kinds, dataset, protocol):
    name = uuid.uuid4().hex
    far = UPath(f"memory://{name}/store") if protocol == "memory" else watched.path(f"{name}/store")
    recordings = [testing.recording(i, **kind) for i, kind in enumerate(kinds)]
    stores = [testing.store(root, recordings, dataset=dataset) for root in (tmp_path_factory.mktemp("here") / "store", far)]
    for store in stores:
        store.add_failure("lab", "broken", "why")
        assert not store.rebuild_index()
    here, there = stores
    assert files_of(far) == files_of(here.root)
    assert there.index.sessions.equals(here.index.sessions)
    assert there.unit_table.equals(here.unit_table)
    assert there.failed.equals(here.failed)
    query = "select session_id, count(*) as n, sum(rate_hz) as hz from units group by session_id order by session_id"
    assert there.sql(query).equals(here.sql(query))
    for key in here:
        assert there[key].counts(0.02).identical(here[key].counts(0.02))
        assert there[key].record == here[key].record
    assert verify(far) == verify(here.root) == []


def test_parts_are_taken_into_the_compacted_files(far):
    store = testing.store(far, [testing.recording(s, **SMALL) for s in range(3)])
    store.add_failure("test", "broken", "why")
    sessions, units = store.index.sessions, store.unit_table
    assert len([n for n in files_of(far) if n.startswith("index/parts/")]) == 8
    store.index.take_in()
    assert {n for n in files_of(far) if n.startswith("index/")} == {"index/sessions.parquet", "index/units.parquet"}
    anew = open_store(far)
    assert anew.index.sessions.equals(sessions)
    assert anew.unit_table.equals(units)


def test_a_damaged_session_is_left_out_of_the_index_and_told(far):
    store = testing.store(far, [testing.recording(s, **SMALL) for s in range(3)])
    (store.root / "test" / "session-1" / "session.json").write_bytes(b"{")
    (store.root / "test" / "session-2" / "session.json").unlink()
    (problem,) = store.rebuild_index()
    assert "session-1" in problem
    assert list(open_store(far)) == ["test/session-0"]


def test_what_is_not_a_store_is_left_alone(far):
    (far.parent / "store" / "thesis.txt").write_bytes(b"words")
    with pytest.raises(StoreError, match="holds something and is not a neuropile store"):
        create_store(far)
    assert files_of(far) == {"thesis.txt": b"words"}


def test_a_web_server_and_a_bucket_that_is_not_there_are_told(s3):
    with pytest.raises(StoreError, match="a web server is not written to; give a folder, or a bucket as s3://bucket/store"):
        create_store("https://host/store")
    with pytest.raises(StoreError, match=r"s3://nowhere/store/neuropile.json cannot be written \(no such bucket or place"):
        create_store(UPath("s3://nowhere/store", **s3.options))


# One name, two recordings


def other(seed=1):
    return replace(testing.recording(seed, **SMALL), session_id="session-0")


PROVENANCE = Provenance("test", (), "testing")


def alone(folder) -> dict[str, bytes]:
    """The files of session 0, built on disk."""
    store = create_store(folder / "alone")
    add_recording(store, testing.recording(0, **SMALL), PROVENANCE)
    return files_of(store.root / KEY)


def test_a_session_that_is_stored_is_left_as_it_is_unless_it_is_replaced(far):
    store = testing.store(far, [testing.recording(0, **SMALL)])
    before = files_of(far / KEY)
    add_recording(store, testing.recording(0, **SMALL), PROVENANCE)
    with pytest.raises(SessionExists, match="session test/session-0 is stored already with other content; --replace builds it again"):
        add_recording(store, other(), PROVENANCE)
    assert files_of(far / KEY) == before
    add_recording(store, other(), PROVENANCE, replace=True)
    assert verify(far) == []
    assert store[KEY].record["content_digest"] != json.loads(before["session.json"])["content_digest"]


def test_what_an_earlier_try_left_is_overwritten_or_removed(far, tmp_path):
    store = create_store(far)
    for name in ("units.parquet", "intervals/observed.parquet", "signals.zarr/old/c/0"):
        (far / KEY / name).fs.pipe_file((far / KEY / name).path, b"left over")
    add_recording(store, testing.recording(0, **SMALL), PROVENANCE)
    assert files_of(far / KEY) == alone(tmp_path)


@pytest.mark.parametrize("again", [False, True])
def test_the_marker_is_written_last_and_removed_first(s3, again):
    store = testing.store(s3.path(f"order-{again}"), [testing.recording(0, **SMALL)])
    if not again:
        (store.root / KEY / "session.json").unlink()
    s3.requests.clear()
    add_recording(store, other(), PROVENANCE, replace=again)
    steps = [(m, p.rpartition("/session-0/")[2]) for m, p, _ in s3.requests if "/test/session-0/" in p and m in ("PUT", "DELETE")]
    assert steps[-1] == ("PUT", "session.json")
    assert again is (steps[0] == ("DELETE", "session.json"))
    assert [m for m, p in steps if p == "session.json"] == ["DELETE", "PUT"][not again :]


# Few requests


def test_a_store_opens_in_as_many_requests_however_many_sessions_it_has(s3):
    said = []
    for n in (2, 2000):
        root = s3.path(f"many-{n}")
        names = [f"s{i}" for i in range(n)]
        store = create_store(root)
        store.add(pa.concat_tables(map(row_of, names)), pa.concat_tables(unit_rows(name, "u") for name in names))
        store.index.take_in()
        asked(s3)
        assert len(open_store(root).sessions) == n
        opened = asked(s3)
        assert len(open_store(root).units) == n
        said.append((opened, Counter(asked(s3))))
    assert said[0] == said[1]
    assert said[0][0] == [("GET", "neuropile.json"), ("LIST", "bucket"), ("GET", "sessions.parquet")]
    assert said[0][1] == Counter([*said[0][0], ("GET", "units.parquet")])


def test_a_session_is_read_in_the_requests_that_the_design_allows(s3, monkeypatch):
    monkeypatch.setattr(layout, "SPIKES_PER_ROW_GROUP", 200)
    root = s3.path("design")
    store = testing.store(root, [testing.recording(0, n_units=40, duration_s=1500)])
    asked(s3)
    ses = store[KEY]
    assert len(ses.units) == 40
    assert asked(s3) == [("GET", "session.json"), ("GET", "units.parquet")]
    ses.spikes(units=[7])
    assert len(asked(s3)) <= 8
    monkeypatch.setattr(remote, "MAX_HOLE", 0)
    assert len(store[KEY].spikes(start=310, stop=320).times)
    assert [a for a in asked(s3) if a[1] == "spikes.parquet"] == [("GET", "spikes.parquet")] * 2


# Whatever the server does


_EACH_SORT = {"bucket", "neuropile.json", "session.json", "session-0.lock", "index.lock", "spikes.parquet", "part.sessions.parquet", "sessions.parquet"}


def _failing_first(n, kind):
    """Fail the first `n` requests of each method for a file of each sort."""
    seen: Counter = Counter()

    def fail(method, path):
        name = re.sub(r"\d{20}-\w{8}", "part", path).rpartition("/")[2]
        seen[method, name] += 1
        return kind if name in _EACH_SORT and seen[method, name] <= n else None

    return fail


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.soak if k in ("500", "503") else ()) for k in ("500", "503", "429", "cut", "late")])
def test_what_fails_twice_is_tried_again_and_comes_to_the_same(s3, kind, tmp_path):
    root = s3.path(f"twice-{kind}")
    recordings = [testing.recording(0, **SMALL)]
    expected = testing.store(tmp_path / "s", recordings)
    s3.failing = _failing_first(2, kind)
    store = testing.store(root, recordings)
    store.index.take_in()
    assert store[KEY].counts().identical(expected[KEY].counts())
    assert not store.rebuild_index()
    s3.failing = lambda method, path: None
    expected.rebuild_index()
    assert verify(root) == []
    assert files_of(root) == files_of(expected.root)


@pytest.mark.parametrize("kind", ["500", *(pytest.param(k, marks=pytest.mark.soak) for k in ("403", "cut"))])
@pytest.mark.parametrize("what", ["PUT /bucket/.*spikes.parquet", "PUT .*session.json", "PUT .*lock", "PUT .*parts", "GET .*list", "GET .*session.json"])
def test_what_always_fails_is_one_clear_error_and_a_rerun_completes(s3, kind, what, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "TRIES", 3)
    root = s3.path(uuid.uuid4().hex)
    store = testing.store(root, [testing.recording(1, **SMALL)])
    s3.failing = lambda method, path: kind if re.match(what.replace(".*list", "/bucket$"), f"{method} {path}") else None
    with pytest.raises(StoreError, match=r"s3://bucket/.*(cannot be (written|read|listed)|refuses access)"):
        add_recording(store, testing.recording(0, **SMALL), PROVENANCE)
    s3.failing = lambda method, path: None
    assert verify(root / "test" / "session-1") == []
    assert len(open_store(root)) == 1
    add_recording(store, testing.recording(0, **SMALL), PROVENANCE)
    assert sorted(open_store(root)) == [KEY, "test/session-1"]
    assert files_of(root / KEY) == alone(tmp_path)


def test_every_failure_is_known_to_the_server(s3):
    assert set(FAILURES) == {"500", "503", "429", "403", "cut", "late"}
    s3.failing = lambda method, path: "403"
    with pytest.raises(PermissionError, match="the server refuses access"):
        remote.read_bytes(s3.path("x"))


def test_a_file_that_is_there_is_not_created_again(far):
    assert object_files.create(far / "x", b"one")
    assert object_files.create(far / "x", b"one")  # as after an answer that was lost
    assert not object_files.create(far / "x", b"two")
    assert (far / "x").fs.cat_file((far / "x").path) == b"one"


def test_a_change_is_made_only_to_what_was_seen(s3):
    path = s3.path(f"{uuid.uuid4().hex}/x")
    object_files.create(path, b"one")
    seen = object_files.version_of(path)
    assert object_files.change(path, b"two", seen)
    assert not object_files.change(path, b"three", seen)
    path.unlink()
    assert not object_files.change(path, b"three", seen)
    assert not path.exists()


def test_large_files_go_up_in_parts_and_come_back_the_same(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(object_files, "_PART_BYTES", 5 << 20)
    data = np.random.default_rng(0).bytes(23_000_000)
    (tmp_path / "f").write_bytes(data)
    object_files.put(tmp_path / "f", s3.path("large"))
    assert remote.read_bytes(s3.path("large")) == data
    assert sum("partNumber" in q for m, p, q in s3.requests if m == "PUT") == 5
