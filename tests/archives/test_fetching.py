"""A whole file: right, whatever goes wrong on the way; what is here is never asked for again."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import pytest
from archives.loopback import CHALLENGE, HTML, Asked, Handler, Mischief, State, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropile.archives import Archive, Place, fetching, folder, partial, patience, pulling, view
from neuropile.archives.partial import BLOCK
from neuropile.archives.web import Refused, Web
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

DATA = random.Random(1).randbytes(10 * BLOCK + 777)
SHA = hashlib.sha256(DATA).hexdigest()
PATH = "sub-1/a b#+ü.nwb"


@dataclass(frozen=True)
class Fake(Archive):
    """Files at an address; `more` are further places."""

    name: str = "fake"
    id: str = "000001"
    more: tuple[Place, ...] = field(default=(), compare=False)
    hint = "set FAKE_KEY"

    def places(self, asset: Asset, web: Web) -> list[Place]:
        """The address, then the others."""
        return [Place(asset.url or ""), *self.more]


class World(NamedTuple):
    server: State
    asset: Asset
    web: Web
    cache: Path

    def fetch(self, asset: Asset | None = None, archive: Archive = Fake()) -> Path:
        return fetching.fetch(archive, asset or self.asset, self.web, self.cache)


@pytest.fixture
def world(web, tmp_path) -> Iterator[World]:
    with serving() as server:
        server.files[PATH] = DATA
        asset = Asset(PATH, len(DATA), SHA, f"{server.url}/sub-1/a%20b%23+%C3%BC.nwb")
        yield World(server, asset, web, tmp_path / "cache")


def test_a_file_is_fetched_once_under_its_own_name(world) -> None:
    path = world.fetch()
    assert path.name == "a b#+ü.nwb"
    assert path.read_bytes() == DATA
    assert world.server.n_bytes == len(DATA)
    assert world.fetch() == path
    assert len(world.server.asked) == 1


def test_a_file_that_is_here_needs_no_credential(world) -> None:
    class Locked(Fake):
        def places(self, asset: Asset, web: Web) -> list[Place]:
            raise ArchiveError("set FAKE_KEY")

    path = world.fetch()
    assert world.fetch(archive=Locked()) == path
    assert view.path(Locked(), [world.asset], world.web, world.cache) == path


GO_WRONG = {
    "cut": Mischief(cut=0.5),
    "cut at once": Mischief(cut=0.0),
    "reset": Mischief(cut=0.3, reset=True),
    "ranges ignored": Mischief(ignore_range=True),
    "ranges ignored and cut": Mischief(ignore_range=True, cut=0.7),
    "wrong bytes": Mischief(flip=True),
    **{str(s): Mischief(s) for s in (408, 429, 500, 502, 503, 504)},
    "a wait": Mischief(429, {"Retry-After": "0"}),
}


@pytest.mark.parametrize("wrong", GO_WRONG)
def test_what_may_pass_ends_with_the_right_bytes(world, wrong: str) -> None:
    world.server.next = [GO_WRONG[wrong]]
    assert world.fetch().read_bytes() == DATA


@settings(max_examples=40)
@given(st.lists(st.sampled_from(sorted(GO_WRONG)), max_size=4).filter(lambda w: w.count("wrong bytes") < 2), st.sampled_from(["sha256", "md5", "none"]))
def test_whatever_goes_wrong_in_a_row(world, wrong, digest) -> None:
    shutil.rmtree(world.cache, ignore_errors=True)
    world.server.next = [GO_WRONG[w] for w in wrong if w != "wrong bytes" or digest != "none"]
    asset = replace(world.asset, sha256=None, digest=f"md5:{hashlib.md5(DATA).hexdigest()}") if digest == "md5" else world.asset
    assert world.fetch(replace(asset, sha256=None) if digest == "none" else asset).read_bytes() == DATA


def test_a_lost_connection_goes_on_where_it_broke(world) -> None:
    world.server.next = [Mischief(cut=0.5)]
    world.fetch()
    cut = int(len(DATA) * 0.5) // BLOCK * BLOCK
    assert world.server.ranges(PATH) == [(0, len(DATA)), (cut, len(DATA))]


def test_a_server_that_ignores_ranges_sends_all_and_once(world) -> None:
    world.server.mischief = lambda asked: Mischief(ignore_range=True)
    world.fetch()
    assert world.server.n_bytes == len(DATA)


@pytest.mark.parametrize(
    ("mischief", "words"),
    [
        (Mischief(403), "HTTP 403: access refused.*set FAKE_KEY"),
        (Mischief(404), "HTTP 404"),
        (Mischief(410), "withdrawn"),
        (HTML, "a web page came instead of data"),
        (CHALLENGE, "an empty answer came instead of data"),
        (Mischief(cut=0.0), "tried 6 times: run again later, what is here stays"),
        (Mischief(503), "tried 6 times"),
        (Mischief(429, {"Retry-After": "3600"}), "its limit lasts another 60 min: run again after"),
        (Mischief(flip=True), "was announced, twice: the archive's copy or its listing is wrong"),
    ],
)
def test_what_does_not_pass_is_told_in_one_line_and_nothing_stays_half(world, mischief: Mischief, words: str) -> None:
    world.server.mischief = lambda asked: mischief
    with pytest.raises(ArchiveError, match=words) as caught:
        world.fetch()
    assert "\n" not in str(caught.value)
    assert not list(world.cache.rglob("whole/*"))
    assert len(world.server.asked) <= patience.TRIES
    world.server.mischief = lambda asked: None
    with Web() as later:
        assert world._replace(web=later).fetch().read_bytes() == DATA


def test_a_server_that_asked_for_a_long_rest_is_not_asked_meanwhile(world) -> None:
    world.server.next = [Mischief(429, {"Retry-After": "3600"})]
    for _ in range(3):
        with pytest.raises(ArchiveError, match="another 60 min: run again after"):
            world.fetch()
    assert len(world.server.asked) == 1


def test_wrong_bytes_are_fetched_again_once(world) -> None:
    world.server.next = [Mischief(flip=True)]
    assert world.fetch().read_bytes() == DATA
    assert world.server.n_bytes == 2 * len(DATA)


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, 134])
def test_a_file_of_another_length_is_another_file(world, size: int) -> None:
    with pytest.raises(SourceChanged, match=rf"fake:000001: sub-1/a b#\+ü.nwb is another file now \({len(DATA)} bytes; {size} bytes before\); list it again"):
        world.fetch(replace(world.asset, bytes=size, sha256=None))


def test_a_file_that_changes_under_a_resumed_fetch_is_noticed(world) -> None:
    world.server.etags[PATH] = "one"

    def change(asked: Asked) -> None:
        if len(world.server.asked) > 1:
            world.server.etags[PATH], world.server.files[PATH] = "two", DATA[::-1]

    world.server.next = [Mischief(cut=0.5)]
    world.server.mischief = change
    with pytest.raises(SourceChanged, match=r"ETag two; ETag one before"):
        world.fetch(replace(world.asset, sha256=None))
    assert world.fetch(replace(world.asset, sha256=None)).read_bytes() == DATA[::-1]  # all of the new one, nothing of the old


def test_the_next_place_is_asked_where_one_fails(world) -> None:
    archive = Fake(more=(Place(world.asset.url),))
    assert world.fetch(replace(world.asset, url=f"{world.server.url}/nowhere"), archive).read_bytes() == DATA


def test_a_place_without_ranges_is_asked_for_all(world) -> None:
    archive = Fake(more=(Place(world.asset.url, ranges=False),))
    world.fetch(replace(world.asset, url=f"{world.server.url}/nowhere"), archive)
    assert world.server.asked[-1].start is None


def test_a_refused_credential_is_renewed_once(world) -> None:
    class Renewing(Fake):
        key = "old"

        def places(self, asset: Asset, web: Web) -> list[Place]:
            return [Place(asset.url or "", {"Authorization": Renewing.key})]

        def renew(self, web: Web) -> None:
            Renewing.key = "new"

    world.server.mischief = lambda asked: None if asked.headers["authorization"] == "new" else Mischief(401)
    assert world.fetch(archive=Renewing()).read_bytes() == DATA
    world.server.mischief = lambda asked: Mischief(401)
    with pytest.raises(Refused, match="401"):
        world.fetch(replace(world.asset, version="2"), Renewing())


def test_a_length_that_nobody_announced_is_asked_for(world) -> None:
    assert world.fetch(replace(world.asset, bytes=None)).read_bytes() == DATA


def test_an_empty_file_is_a_file(world) -> None:
    assert world.fetch(Asset("e", 0, hashlib.sha256(b"").hexdigest(), f"{world.server.url}/e")).read_bytes() == b""


def test_what_rotted_on_this_disk_is_fetched_again_and_no_more(world) -> None:
    world.server.mischief = lambda asked: Mischief(cut=0.0) if (asked.start or 0) > 0 else Mischief(cut=0.8)
    with pytest.raises(ArchiveError):
        world.fetch()
    held = next(world.cache.rglob("blocks.data"))
    with open(held, "r+b") as f:
        f.seek(2 * BLOCK)
        f.write(b"rot")
    world.server.mischief = lambda asked: None
    world.server.forget()
    assert world.fetch().read_bytes() == DATA
    first = int(len(DATA) * 0.8) // BLOCK * BLOCK
    assert world.server.ranges(PATH) == [(first, len(DATA)), (2 * BLOCK, 3 * BLOCK)]


def test_a_disk_without_room_is_told_before_anything_is_fetched(world, monkeypatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ArchiveError, match=r"\(0\.00 GB to fetch, 0\.00 GB free\) does not fit on the disk of .*; make room"):
        world.fetch()
    assert not world.server.asked


def test_a_local_file_stays_where_it_is_and_is_checked(world, tmp_path) -> None:
    (tmp_path / "in/sub-1").mkdir(parents=True)
    (tmp_path / "in" / PATH).write_bytes(DATA)
    archive = folder.folder(tmp_path / "in")
    assert world.fetch(replace(world.asset, url=None), archive) == tmp_path / "in" / PATH
    (tmp_path / "in" / PATH).write_bytes(DATA[::-1])
    with pytest.raises(ArchiveError, match="its sha256 is"):
        world.fetch(replace(world.asset, url=None), archive)


def test_bytes_are_told_as_they_come(world) -> None:
    came: list[int] = []
    fetching.fetch(Fake(), world.asset, world.web, world.cache, came.append)
    assert sum(came) == len(DATA)
    fetching.fetch(Fake(), world.asset, world.web, world.cache, came.append)
    assert sum(came) == len(DATA)


CHILD = """
import sys
from pathlib import Path
from neuropile.archives import fetching, patience
from neuropile.archives.web import Web
from neuropile.types import Asset
from archives.test_fetching import Fake, PATH
patience.PAUSE_S = 0.01
url, size, sha, cache = sys.argv[1:]
with Web() as web:
    print("go", flush=True)
    print(fetching.fetch(Fake(), Asset(PATH, int(size), sha, url), web, Path(cache)))
"""


#: A child imports what the tests do.
PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def logged(cache: Path, data: bytes) -> set[int]:
    """The blocks that are here by the log, read as the page says it is written, each compared with the data."""
    found = set()
    for log in cache.rglob("blocks.log"):
        held, lines = (log.parent / "blocks.data").read_bytes(), log.read_bytes()
        for at in range(0, len(lines) - 15, 16):
            block, crc, check = struct.unpack("<QII", lines[at : at + 16])
            if zlib.crc32(lines[at : at + 12]) == check:
                assert held[block * BLOCK : (block + 1) * BLOCK] == data[block * BLOCK : (block + 1) * BLOCK]
                assert zlib.crc32(held[block * BLOCK : (block + 1) * BLOCK]) == crc
                found.add(block)
    return found


def killed_fetches(world: World, kills: int, n_blocks: int) -> None:
    data = random.Random(2).randbytes(n_blocks * BLOCK + 99)
    world.server.files[PATH] = data
    world.server.drip_s = 0.002
    order = random.Random(3)
    args = [sys.executable, "-c", CHILD, world.asset.url, str(len(data)), hashlib.sha256(data).hexdigest(), str(world.cache)]
    n_killed = again = 0
    while True:
        here = logged(world.cache, data)
        world.server.forget()
        child = subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env=PATHS)
        assert child.stdout.readline() == "go\n"
        if n_killed < kills:
            time.sleep(order.uniform(0.0, 0.05))
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                n_killed += 1
        out = child.communicate()[0]
        for start, stop in world.server.ranges(PATH):
            assert not here & set(range(start // BLOCK, -(-stop // BLOCK)))
        again += sum(stop - start for start, stop in world.server.ranges(PATH)) if child.returncode == 0 else 0
        if child.returncode == 0:
            break
    assert n_killed == kills
    assert Path(out.strip()).read_bytes() == data
    assert again < len(data)


def test_a_fetch_killed_at_random_asks_for_no_block_it_had(world) -> None:
    killed_fetches(world, 4, 300)


@pytest.mark.soak
def test_a_fetch_killed_thirty_times_asks_for_no_block_it_had(world) -> None:
    killed_fetches(world, 30, 3000)


def test_two_processes_fetch_one_file_together_and_each_block_once(world) -> None:
    data = random.Random(4).randbytes(100 * BLOCK)
    world.server.files[PATH] = data
    world.server.drip_s = 0.002
    args = [sys.executable, "-c", CHILD, world.asset.url, str(len(data)), hashlib.sha256(data).hexdigest(), str(world.cache)]
    children = [subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env=PATHS) for _ in range(2)]
    outs = {c.communicate()[0].split("\n")[1] for c in children}
    assert [c.returncode for c in children] == [0, 0]
    assert Path(outs.pop()).read_bytes() == data
    assert not outs
    assert world.server.n_bytes == len(data)


def test_one_who_holds_blocks_and_brings_nothing_is_not_waited_for_for_ever(world, monkeypatch) -> None:
    monkeypatch.setattr(pulling, "OTHERS_S", 0.2)
    held = partial.opened(partial.home(world.cache, Fake(), world.asset, len(DATA)), "a b#+ü.nwb", len(DATA))
    with held.claim([(0, len(DATA))]):
        assert world.fetch().read_bytes() == DATA
    assert os.path.exists(held.path)


def test_a_redirect_to_another_server_is_followed_each_time(web, tmp_path) -> None:
    class Redirecting(Handler):
        def route(self, asked: Asked) -> None:
            self.send_redirect(bucket.signed("f"))

    with serving(state=State(files={"f": DATA}, foreign=True, sign_s=1.0)) as bucket, serving(Redirecting) as api:
        bucket.next = [Mischief(cut=0.5)]
        path = fetching.fetch(Fake(), Asset("f", len(DATA), SHA, f"{api.url}/d"), web, tmp_path)
        assert path.read_bytes() == DATA
        assert len(api.asked) == len(bucket.asked) == 2


def test_a_whole_file_sent_for_a_range_of_all_of_it_is_resumed_all_the_same(world) -> None:
    world.server.mischief = lambda asked: Mischief(ignore_range=True, cut=0.5) if asked.start == 0 else None
    world.fetch()
    assert world.server.n_bytes < len(DATA) + BLOCK
    assert len(world.server.asked) == 2


def test_a_file_that_became_shorter_than_what_is_asked_for_is_another_file(world) -> None:
    world.server.next = [Mischief(cut=0.5)]
    world.server.mischief = lambda asked: Mischief(416)
    with pytest.raises(SourceChanged, match="list it again"):
        world.fetch()


def test_a_cache_that_was_emptied_is_filled_again(world) -> None:
    held = world.fetch(), partial.opened(partial.home(world.cache, Fake(), world.asset, len(DATA)), "a b#+ü.nwb", len(DATA))
    shutil.rmtree(world.cache)
    assert world.fetch().read_bytes() == DATA
    assert held[1].read(5, 9) == DATA[5:9]  # whoever had it open reads on


def test_a_cache_that_vanishes_under_a_fetch_is_told(world) -> None:
    world.server.mischief = lambda asked: shutil.rmtree(world.cache)
    with pytest.raises(ArchiveError, match=r"was removed while .* was fetched into it; run again"):
        world.fetch()
