"""A session's files seen through a view: the readers read what they read from a folder, and only that crosses the wire."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from archives.loopback import Mischief, State, quoted, serving
from archives.test_fetching import Fake
from hypothesis import given
from hypothesis import strategies as st

from neuropile import readers
from neuropile.archives import fetching, folder, view
from neuropile.archives.partial import BLOCK
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

DATA = random.Random(7).randbytes(30 * BLOCK + 55)


class World(NamedTuple):
    server: State
    web: Web
    cache: Path

    def asset(self, path: str, data: bytes | None = None, **more: object) -> Asset:
        if data is not None:
            self.server.files[path] = data
        held = self.server.body(path) or b""
        return Asset(path, len(held), None, f"{self.server.url}/{quoted(path)}", **more)

    def view(self, *assets: Asset):
        return view.path(Fake(), assets, self.web, self.cache)


@pytest.fixture
def world(web, tmp_path) -> Iterator[World]:
    with serving() as server:
        yield World(server, web, tmp_path / "cache")


@pytest.fixture(scope="module")
def nwb(tmp_path_factory) -> Path:
    """An NWB file whose units are 2 % of it: raw voltage in chunks beside."""
    path = tmp_path_factory.mktemp("nwb") / "sub-1_ses-2.nwb"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as f:
        f.attrs["nwb_version"] = "2.6.0"
        raw = f.create_dataset("acquisition/ElectricalSeriesAP/data", (60_000, 128), "i2", chunks=(6_000, 64), compression="gzip", compression_opts=1)
        f["acquisition/ElectricalSeriesAP"].attrs["neurodata_type"] = "ElectricalSeries"
        units = f.create_group("units")
        units.attrs["neurodata_type"], units.attrs["colnames"] = "Units", ["spike_times"]
        units["id"] = np.arange(50)
        units["spike_times_index"] = np.arange(1, 51) * 600
        units["spike_times"] = np.sort(rng.uniform(0, 100, (50, 600))).ravel()
        raw[:] = rng.integers(-3000, 3000, raw.shape)
        trials = f.create_group("intervals/trials")
        trials.attrs["neurodata_type"], trials.attrs["colnames"] = "TimeIntervals", ["start_time", "stop_time"]
        for name, values in (("id", np.arange(20)), ("start_time", np.arange(20.0)), ("stop_time", np.arange(20) + 0.5)):
            trials[name] = values
    return path


def read(path) -> tuple[list[np.ndarray], list[float]]:
    with readers.find(path)(path) as recording:
        trials = recording.intervals["trials"].column("start_s").to_pylist()
        return [recording.trains.read(u) for u in range(recording.trains.n_units)], trials


def test_a_reader_takes_a_twentieth_of_a_file_whose_units_are_a_fiftieth(world, nwb) -> None:
    world.server.files["a/sub-1_ses-2.nwb"] = nwb
    size = nwb.stat().st_size
    path = world.view(world.asset("a/sub-1_ses-2.nwb"))
    trains, trials = read(path)
    with h5py.File(nwb) as f:
        assert f["units/spike_times"].id.get_storage_size() < 0.025 * size
        np.testing.assert_array_equal(np.concatenate(trains), f["units/spike_times"][:])
        assert trials == f["intervals/trials/start_time"][:].tolist()
    assert world.server.n_bytes <= 0.05 * size
    n = len(world.server.asked)
    assert n <= 12
    again, _ = read(world.view(world.asset("a/sub-1_ses-2.nwb")))
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(trains))
    assert len(world.server.asked) == n  # nothing was asked for again


def test_what_a_view_has_read_a_fetch_does_not_fetch(world, nwb) -> None:
    world.server.files["a.nwb"] = nwb
    asset = replace(world.asset("a.nwb"), sha256=hashlib.sha256(nwb.read_bytes()).hexdigest())
    read(world.view(asset))
    path = fetching.fetch(Fake(), asset, world.web, world.cache)
    assert path.read_bytes() == nwb.read_bytes()
    assert world.server.n_bytes == nwb.stat().st_size
    n = len(world.server.asked)
    read(world.view(asset))
    assert len(world.server.asked) == n


@given(data=st.data())
def test_parts_of_a_file_are_its_slices(world, data) -> None:
    name = f"d/{len(world.server.files)}.bin"
    path = world.view(world.asset(name, DATA))
    for _ in range(3):
        start = data.draw(st.none() | st.integers(-len(DATA), len(DATA)))
        stop = data.draw(st.none() | st.integers(-len(DATA), len(DATA) + 9))
        assert path.fs.cat_file(path.path, start, stop) == DATA[start:stop]
    starts = data.draw(st.lists(st.integers(0, len(DATA)), min_size=1, max_size=6))
    stops = [a + data.draw(st.integers(0, 3 * BLOCK)) for a in starts]
    assert path.fs.cat_ranges([path.path] * len(starts), starts, stops) == [DATA[a:b] for a, b in zip(starts, stops, strict=True)]
    with path.open("rb") as f:
        f.seek(starts[0])
        assert f.read(1000) == DATA[starts[0] : starts[0] + 1000]
        assert f.seek(-5, 2) == len(DATA) - 5
        assert f.read() == DATA[-5:]
    asked = [block for a, b in world.server.ranges(name) for block in range(a // BLOCK, -(-b // BLOCK))]
    assert len(asked) == len(set(asked))


def test_several_ranges_are_asked_for_at_once_and_near_blocks_as_one(world) -> None:
    path = world.view(world.asset("x", DATA))
    path.fs.cat_ranges([path.path] * 4, [0, BLOCK, 9 * BLOCK, 20 * BLOCK], [10, BLOCK + 10, 9 * BLOCK + 5, 22 * BLOCK])
    assert sorted(world.server.ranges("x")) == [(0, 2 * BLOCK), (9 * BLOCK, 10 * BLOCK), (20 * BLOCK, 22 * BLOCK)]


def test_a_folder_holds_just_the_sessions_files(world) -> None:
    names = ["a/one.csv", "a/b c/#2+ü.csv", "z.csv"]
    path = world.view(*[world.asset(n, f"{n}\n1,2\n".encode()) for n in names])
    found = sorted(p for p in path.rglob("*") if p.is_file())
    assert [p.path.removeprefix(path.path + "/") for p in found] == sorted(names)
    assert (path / "a/one.csv").read_bytes() == b"a/one.csv\n1,2\n"
    assert (path / "a" / "b c" / "#2+ü.csv").read_text() == "a/b c/#2+ü.csv\n1,2\n"
    assert sorted(p.name for p in path.iterdir()) == ["a", "z.csv"]
    assert (path / "a").is_dir()
    assert not (path / "a").is_file()
    assert not (path / "nothing").exists()
    assert (path / "z.csv").stat().st_size == 10
    with (path / "z.csv").open("rb") as f:
        assert list(f) == [b"z.csv\n", b"1,2\n"]
    with pytest.raises(FileNotFoundError):
        (path / "nothing").read_bytes()
    with pytest.raises(OSError, match="only read"):
        (path / "new").open("wb")


def test_a_local_file_is_its_own_view(tmp_path, web) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.nwb").write_bytes(DATA)
    (tmp_path / "in/y.nwb").write_bytes(DATA[:10])
    archive = folder.folder(tmp_path / "in")
    x, y = archive.list(web).assets
    assert view.path(archive, [x], web, tmp_path / "cache") == tmp_path / "in/x.nwb"
    both = view.path(archive, [x, y], web, tmp_path / "cache")
    assert (both / "x.nwb").read_bytes() == DATA
    assert both.fs.cat_file((both / "y.nwb").path, 2, 4) == DATA[2:4]
    with pytest.raises(ArchiveError, match="its sha256 is"):
        view.path(archive, [replace(x, sha256="0" * 64)], web, tmp_path / "cache")


def test_a_server_that_ignores_ranges_is_read_whole_once(world) -> None:
    world.server.mischief = lambda asked: Mischief(ignore_range=True)
    path = world.view(world.asset("x", DATA))
    assert path.fs.cat_file(path.path, 100, 200) == DATA[100:200]
    assert path.fs.cat_file(path.path, 9 * BLOCK, 10 * BLOCK) == DATA[9 * BLOCK : 10 * BLOCK]
    assert world.server.n_bytes == len(DATA)


@pytest.mark.parametrize("change", ["size", "etag"])
def test_a_file_that_changes_while_it_is_read_is_noticed(world, change: str) -> None:
    world.server.etags["x"] = "one"
    path = world.view(world.asset("x", DATA))
    assert path.fs.cat_file(path.path, 0, 10) == DATA[:10]
    if change == "size":
        world.server.files["x"] = DATA + b"more"
    else:
        world.server.etags["x"] = "two"
    with pytest.raises(SourceChanged, match="is another file now"):
        path.fs.cat_file(path.path, 20 * BLOCK, 21 * BLOCK)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("mischief", "words"),
    [
        (Mischief(404), "no such thing there"),
        (Mischief(403), "access refused.*set FAKE_KEY"),
        (Mischief(503), "tried 6 times"),
        (Mischief(200, {"Content-Type": "text/html"}, b"<title>no</title>"), "a web page came"),
    ],
)
def test_whatever_a_reader_makes_of_a_failed_fetch_the_archives_error_is_told(world, nwb, late: bool, mischief: Mischief, words: str) -> None:
    world.server.files["x.nwb"] = nwb
    world.server.mischief = lambda asked: mischief if not late or (asked.start or 0) > BLOCK else None
    path = world.view(world.asset("x.nwb"))
    with pytest.raises(ArchiveError, match=words), view.telling(path):
        read(path)
    n = len(world.server.asked)
    with pytest.raises(ArchiveError, match=words), view.telling(path):
        read(path)
    assert len(world.server.asked) == n  # a view that failed stays failed


def test_a_reader_of_a_damaged_file_is_told_of_the_damage(world) -> None:
    path = world.view(world.asset("x.nwb", b"\x89HDF\r\n\x1a\n" + DATA))
    with pytest.raises(readers.UnreadableFile), view.telling(path):
        read(path)


def test_bytes_are_right_whatever_goes_wrong_on_the_way(world) -> None:
    order = random.Random(9)
    kinds = [None, None, Mischief(cut=0.5), Mischief(503), Mischief(cut=0.1, reset=True), Mischief(429, {"Retry-After": "0"})]
    world.server.mischief = lambda asked: order.choice(kinds)
    path = world.view(world.asset("x", DATA))
    for _ in range(20):
        start = order.randrange(len(DATA))
        assert path.fs.cat_file(path.path, start, start + 4 * BLOCK) == DATA[start : start + 4 * BLOCK]


def test_a_path_that_leaves_its_folder_is_not_shown(world) -> None:
    with pytest.raises(ArchiveError, match="would leave its folder"):
        world.view(Asset("../x", 1, None, "http://127.0.0.1:9/x"), Asset("y", 1, None, "http://127.0.0.1:9/y"))
