"""A file that changes between its listing and its last byte is noticed, by whatever its server tells of its version."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from archives.loopback import Asked, Handler, Mischief, State, serving
from archives.test_fetching import PATHS, Fake

from neuropile.archives import fetching, http, partial, s3, view
from neuropile.archives.partial import BLOCK
from neuropile.archives.pulling import Pulling, local_file
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

DATA = random.Random(3).randbytes(9 * BLOCK)
DAYS = ("Wed, 01 Jan 2025 00:00:00 GMT", "Thu, 02 Jan 2025 00:00:00 GMT")
TELL = {
    "etag": ({"ETag": '"old"'}, {"ETag": '"new"'}),
    "weak": ({"ETag": 'W/"old"'}, {"ETag": 'W/"new"'}),
    "date": ({"Last-Modified": DAYS[0]}, {"Last-Modified": DAYS[1]}),
    "etag and date": ({"ETag": '"old"', "Last-Modified": DAYS[0]}, {"ETag": '"new"', "Last-Modified": DAYS[0]}),
}


class Changing(Handler):
    """Another file of the same length from the request after the first `after` on."""

    after, tell = 0, ({}, {})

    def route(self, asked: Asked) -> None:
        is_new = len(self.state.asked) > self.after
        self.state.files["a"] = DATA[::-1] if is_new else DATA
        self.send_file("a", self.tell[is_new])


def changing(after: int, tell: str):
    return serving(type("C", (Changing,), {"after": after, "tell": TELL[tell]}))


@pytest.mark.parametrize("tell", TELL)
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_file_that_changes_after_it_was_listed_is_noticed(web, tmp_path, tell: str, after: int) -> None:
    with changing(after, tell) as server:
        archive = http.files(f"{server.url}/a?sig=SECRET")
        asset = archive.list(web).assets[0]
        far = view.path(archive, [asset], web, tmp_path)
        with pytest.raises(SourceChanged, match=r"a is another file now \((ETag new; ETag old|Last-Modified Thu.*; Last-Modified Wed.*) before\)"):
            [far.fs.cat_file(far.path, start, start + 9) for start in (0, 4 * BLOCK, 8 * BLOCK)]
        listed = archive.list(web).assets[0]
        assert fetching.fetch(archive, listed, web, tmp_path).read_bytes() == DATA[::-1]  # listed again, it is the new one


@pytest.mark.parametrize("tell", TELL)
def test_a_file_that_stays_is_read_whatever_its_server_tells(web, tmp_path, tell: str) -> None:
    with changing(99, tell) as server:
        archive = http.files(f"{server.url}/a")
        assert fetching.fetch(archive, archive.list(web).assets[0], web, tmp_path).read_bytes() == DATA


def test_a_bucket_whose_object_changed_since_it_was_listed_is_noticed(web, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(state=State(files={"b/a": DATA}, etags={"b/a": "new"})) as server:
        monkeypatch.setenv("NEUROPILE_S3_URL", server.url)
        asset = Asset("a", len(DATA), None, f"{server.url}/b/a", "etag:old", "s3-etag:old")
        with pytest.raises(SourceChanged, match="ETag new; ETag old before"):
            Pulling(s3.bucket("b"), asset, web, tmp_path).read(0, 9)
        assert Pulling(s3.bucket("b"), replace(asset, version="etag:new"), web, tmp_path).read(0, 9) == DATA[:9]


def test_servers_of_one_file_may_call_its_version_by_other_names(web, tmp_path) -> None:
    class Redirecting(Handler):
        def route(self, asked: Asked) -> None:
            self.send_redirect(f"{mirrors[len(self.state.asked) % 2].url}/a")

    files = {"a": DATA}
    with (
        serving(state=State(files=files, etags={"a": "x"})) as one,
        serving(state=State(files=files, etags={"a": "y"})) as other,
        serving(Redirecting) as front,
    ):
        mirrors = (one, other)
        archive = http.files(f"{front.url}/a")
        far = Pulling(archive, archive.list(web).assets[0], web, tmp_path)
        assert far.read_many([(0, 9), (4 * BLOCK, 4 * BLOCK + 9), (8 * BLOCK, 8 * BLOCK + 9)]) == [DATA[:9], DATA[4 * BLOCK :][:9], DATA[8 * BLOCK :][:9]]
        assert one.asked
        assert other.asked


def test_a_server_that_says_now_of_each_answer_says_nothing(web, tmp_path) -> None:
    class Now(Handler):
        def route(self, asked: Asked) -> None:
            self.send_file("a", {"Last-Modified": self.date_time_string()})

    with serving(Now, State(files={"a": DATA})) as server:
        archive = http.files(f"{server.url}/a")
        assert archive.list(web).assets[0].version is None


def test_a_server_that_tells_no_version_is_remarked_once(web, tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(state=State(files={"a": DATA})) as server, caplog.at_level(logging.WARNING):
        far = Pulling(Fake(), Asset("a", len(DATA), None, f"{server.url}/a"), web, tmp_path)
        far.read(0, 9)
        far.read(8 * BLOCK, 8 * BLOCK + 9)
        known = Pulling(Fake(), Asset("a", len(DATA), None, f"{server.url}/a", None, "md5:" + "0" * 32), web, tmp_path)
        known.read(0, 9)
    assert [r.getMessage() for r in caplog.records] == ["a: its server says nothing of its version: a change while it is read would go unnoticed"]


def test_addresses_that_differ_in_their_query_only_are_two_files(web, tmp_path) -> None:
    class Asking(Handler):
        def route(self, asked: Asked) -> None:
            self.state.files["a.nwb"] = DATA if asked.query["id"] == "1" else DATA[::-1]
            self.send_file("a.nwb")

    with serving(Asking) as server:
        for id, data in (("1", DATA), ("2", DATA[::-1])):
            archive = http.files(f"{server.url}/a.nwb?id={id}&sig=SECRET")
            listing = archive.list(web)
            assert view.path(archive, listing.assets, web, tmp_path).read_bytes() == data
            assert archive.list(web) == listing  # which is what a lock says of it
            assert "SECRET" not in repr((archive, listing))
        both = http.files(f"{server.url}/a.nwb?id=1", f"{server.url}/a.nwb?id=2")
        assert sorted(fetching.fetch(both, a, web, tmp_path).read_bytes() for a in both.list(web).assets) == sorted([DATA, DATA[::-1]])
        held = [p for p in tmp_path.rglob("*") if p.is_file()]
        assert held
        assert not [p for p in held if b"SECRET" in p.read_bytes() or "SECRET" in str(p)]


def test_an_address_with_a_password_is_called_as_without(web) -> None:
    with serving(state=State(files={"a": DATA}, etags={"a": "x"})) as server:
        own = server.url.replace("http://", "http://user:SECRET@")
        assert http.files(f"{own}/a?q=1").list(web) == http.files(f"{server.url}/a?q=1").list(web)


@pytest.mark.parametrize("size", [-1, (1 << 43) + 1, 1 << 50, 1 << 70])
def test_a_length_that_no_file_has_takes_no_memory(web, tmp_path, size: int) -> None:
    with pytest.raises(ArchiveError, match=f"a: {size} bytes were announced, which no file has"):
        Pulling(Fake(), Asset("a", size, None, "http://127.0.0.1:9/a"), web, tmp_path)


def test_the_longest_file_is_noted_in_little_memory(tmp_path) -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        held = partial.Partial(tmp_path, "a", 1 << 41)  # of which most disks can hold the outline
        before = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with held.claim([(1 << 40, (1 << 40) + 9)]) as runs:
            assert runs == [(1 << 40, (1 << 40) + BLOCK)]
        assert tracemalloc.get_traced_memory()[1] < before + (1 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("url", ["file://{}", "file://localhost{}", "{}", "http://127.0.0.1:9/../..{}"])
def test_only_a_folder_of_this_machine_gives_files_of_it(web, tmp_path, url: str) -> None:
    """A lock is a text that anyone may have written."""
    own = tmp_path / "own.nwb"
    own.write_bytes(DATA)
    asset = Asset("own.nwb", len(DATA), None, url.format(own))
    for archive in (Fake(), http.files("http://127.0.0.1:9/own.nwb"), s3.bucket("b")):
        assert local_file(archive, asset, web) is None
    with pytest.raises(ArchiveError):
        fetching.fetch(Fake(), asset, web, tmp_path / "cache")
    far = view.path(Fake(), [asset], web, tmp_path / "cache")
    with pytest.raises(ArchiveError):
        far.read_bytes()
    assert DATA[:64] not in b"".join(p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_a_build_whose_server_refuses_on_the_way_ends_with_its_error(tmp_path: Path) -> None:
    """HDF5 outlives none of its objects that a traceback holds: the interpreter died of them at its exit."""
    from neuropile import testing

    [recording] = testing.store(tmp_path / "made", [testing.recording(1, n_units=4, duration_s=20.0)]).values()
    recording.to_nwb(tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb", "r+") as f:  # so that one request does not bring all of it
        f["padding"] = random.Random(0).randbytes(1 << 19).hex()
    with serving(state=State(files={"a.nwb": tmp_path / "a.nwb"})) as server:
        server.mischief = lambda asked: Mischief(403, body=b"no") if len(server.asked) > 2 else None
        command = [sys.executable, "-m", "neuropile", "build", f"{server.url}/a.nwb", "--store", str(tmp_path / "store"), "--cache", str(tmp_path / "cache")]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, env={**PATHS, "HOME": str(tmp_path)}, timeout=120)
        assert len(server.asked) > 2
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "HTTP 403" in done.stderr
    assert json.loads(done.stdout)["datasets"][0]["failed"] == 1
    assert os.listdir(tmp_path / "store")


def test_an_error_that_a_view_keeps_holds_nothing_and_says_the_same(web, tmp_path) -> None:
    with serving(state=State(files={"x": DATA})) as server:
        server.mischief = lambda asked: Mischief(403)
        far = view.path(Fake(), [Asset("x", len(DATA), None, f"{server.url}/x")], web, tmp_path)
        told = []
        for _ in range(3):
            with pytest.raises(ArchiveError, match="HTTP 403") as caught, view.telling(far):
                far.fs.cat_file(far.path, 0, 9)
            told.append(caught.value)
        kept = far.fs.failure
        assert (kept.__traceback__, kept.__context__, kept.__cause__, kept.status) == (None, None, None, 403)
        assert len({id(e) for e in (*told, kept)}) == 4
        assert {(type(e), str(e), e.status) for e in told} == {(type(kept), str(kept), 403)}
