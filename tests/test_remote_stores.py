"""Stores behind a URL: the same as on disk, in few requests."""

import shutil

import numpy as np
import pytest
from servers import hub_serving, serving
from upath import UPath

from neuropile import layout, make_pile, open_pile, open_store, parquet, remote, testing
from neuropile.errors import NotThere, StoreError
from neuropile.session import Session

KEY = "test/session-0"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two sessions; the first long enough for several blocks of several row groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SPIKES_PER_ROW_GROUP", 200)
        made = testing.store(
            tmp_path_factory.mktemp("remote") / "store", [testing.recording(0, n_units=40, duration_s=1500, observed="gaps"), testing.recording(1, n_units=3)]
        )
    made.rebuild_index()
    return made


@pytest.fixture
def served(store):
    with serving(store.root) as server:
        yield server


@pytest.fixture(params=["http", "memory", "s3", "hf"])
def far(request, store, s3):
    """The URL of the same store elsewhere."""
    if request.param == "http":
        with serving(store.root) as server:
            yield UPath(server.url)
        return
    if request.param == "hf":
        with hub_serving(store.root, "me/store") as endpoint:
            yield UPath("hf://datasets/me/store", endpoint=endpoint)
        return
    root = UPath("memory://stores/store") if request.param == "memory" else UPath("s3://neuropile/store", **s3)
    for file in (p for p in store.root.rglob("*") if p.is_file()):
        target = root / file.relative_to(store.root).as_posix()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    yield root
    root.fs.rm(root.path, recursive=True)


def test_a_store_far_away_is_the_store(store, far):
    other = open_store(far)
    assert other.sessions.equals(store.sessions)
    assert other.units.equals(store.units)
    assert list(other) == list(store)
    for key in store:
        here, there = store[key], other[key]
        assert there.units.equals(here.units)
        assert there.trials.equals(here.trials)
        np.testing.assert_array_equal(there.spikes().times, here.spikes().times)
        assert there.counts(0.02).identical(here.counts(0.02))
        assert there.counts(0.1, start=700.5, stop=710, units=[2, 0, 1]).identical(here.counts(0.1, start=700.5, stop=710, units=[2, 0, 1]))
        assert there.align("trials.stim_on_s", (-0.5, 1.0)).identical(here.align("trials.stim_on_s", (-0.5, 1.0)))
        for name in here.signals:
            assert there.signals[name].load().identical(here.signals[name].load())


def test_a_pile_of_a_store_far_away_gives_the_same_counts(store, far, tmp_path):
    here, there = make_pile(store, max_tokens=100_000), make_pile(open_store(far), max_tokens=100_000)
    for a, b in zip(here, there, strict=True):
        assert b.counts().identical(a.counts())
    if not str(far).startswith(("http", "memory")):
        return
    there.save(tmp_path / "p.parquet")
    again = open_pile(tmp_path / "p.parquet")
    assert again[0].counts().identical(here[0].counts())


def test_what_is_not_there_is_named(far):
    with pytest.raises(NotThere, match=r"no session 'test/session-7' in .*; 2 sessions are listed"):
        open_store(far)["test/session-7"]
    with pytest.raises(StoreError, match=r"is not a neuropile store \(no neuropile.json in it\)"):
        open_store(far / "test")


def test_listing_units_takes_two_requests(served):
    ses = Session(f"{served.url}/{KEY}")
    assert len(ses.units) == 40
    assert [(m, p.rpartition("/")[2]) for m, p, _ in served.requests] == [("GET", "session.json"), ("GET", "units.parquet")]


def test_one_units_spikes_take_the_footer_and_a_range_a_block(served):
    ses = Session(f"{served.url}/{KEY}")
    n_blocks = len(ses.record["block_edges"]) - 1
    served.forget()
    ses.spikes(units=[7])
    assert n_blocks > 2
    assert len(served.requests) <= 1 + n_blocks
    assert {m for m, *_ in served.requests} == {"GET"}


def test_ten_seconds_of_all_units_take_the_footer_and_one_block(served, monkeypatch):
    monkeypatch.setattr(remote, "MAX_HOLE", 0)
    ses = Session(f"{served.url}/{KEY}")
    n_blocks = len(ses.record["block_edges"]) - 1
    size = ses.record["files"]["spikes.parquet"]
    served.forget()
    first = ses.spikes(start=310, stop=320)
    assert len(served.requests) <= 3
    assert served.n_bytes < size["footer_bytes"] + 1.5 * size["bytes"] / n_blocks
    served.forget()
    np.testing.assert_array_equal(ses.spikes(start=310, stop=320).times, first.times)
    assert not served.requests


def test_what_was_fetched_is_let_go_when_it_grows_too_large(served, store, monkeypatch):
    monkeypatch.setattr("neuropile.groups.KEPT_BYTES", 20_000)
    ses = Session(f"{served.url}/{KEY}")
    for start in (0, 400, 800, 0):
        np.testing.assert_array_equal(ses.spikes(start=start, stop=start + 50).times, store[KEY].spikes(start=start, stop=start + 50).times)


def test_a_connection_that_drops_is_taken_up_again(served, store, monkeypatch):
    monkeypatch.setattr(remote, "PAUSE_S", 0.001)
    served.drops = 4
    assert Session(f"{served.url}/{KEY}").counts().identical(store[KEY].counts())


def test_sql_and_selection_need_only_the_index(served, store):
    far = open_store(served.url)
    assert far.select("region is not null").units.keys() == store.select("region is not null").units.keys()
    assert sorted(p for _, p, _ in served.requests) == ["/index/sessions.parquet", "/index/units.parquet", "/neuropile.json"]


def test_sessions_alone_do_not_fetch_the_units(served):
    assert len(open_store(served.url).sessions) == 2
    assert [p for _, p, _ in served.requests] == ["/neuropile.json", "/index/sessions.parquet"]


def test_a_web_server_without_an_index_is_told_what_is_missing(store, tmp_path):
    (tmp_path / "neuropile.json").write_bytes((store.root / "neuropile.json").read_bytes())
    with serving(tmp_path) as served, pytest.raises(StoreError, match="lacks a file that it should hold; run: neuropile index"):
        len(open_store(served.url))


def test_a_truncated_file_far_away_is_told(store, tmp_path):
    shutil.copytree(store.root, tmp_path / "s")
    spikes = tmp_path / "s" / KEY / "spikes.parquet"
    spikes.write_bytes(spikes.read_bytes()[:-1000])
    with serving(tmp_path / "s") as served, pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "PAUSE_S", 0.001)
        with pytest.raises(StoreError, match=r"spikes.parquet cannot be read"):
            Session(f"{served.url}/{KEY}").counts()


def test_a_flipped_byte_far_away_is_told(store, tmp_path):
    shutil.copytree(store.root, tmp_path / "s")
    spikes = tmp_path / "s" / KEY / "spikes.parquet"
    data = bytearray(spikes.read_bytes())
    data[len(data) // 3] ^= 4
    spikes.write_bytes(data)
    assert parquet.facts(spikes)["bytes"] == len(data)
    with serving(tmp_path / "s") as served, pytest.raises(StoreError, match=r"spikes.parquet cannot be read \(.*CRC"):
        Session(f"{served.url}/{KEY}").counts()


@pytest.mark.parametrize("change", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: _flip(p)])
@pytest.mark.parametrize("name", ["running/data/zarr.json", "running/data/c/0", "pupil/time/c/0", "pupil/zarr.json"])
def test_a_signal_that_is_missing_or_changed_is_told_not_read_as_zeros(store, tmp_path, name, change):
    shutil.copytree(store.root, tmp_path / "s")
    change(tmp_path / "s" / KEY / "signals.zarr" / name)
    ses = open_store(tmp_path / "s")[KEY]
    with pytest.raises((StoreError, OSError, ValueError, RuntimeError)):
        ses.signals[name.split("/")[0]].load()


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
