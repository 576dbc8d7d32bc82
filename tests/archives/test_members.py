"""Files in zip and tar archives: those that are wanted, and nothing that an archive can do to a disk."""

from __future__ import annotations

import io
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from archives.loopback import Mischief, State, serving
from archives.test_fetching import Fake

from neuropile.archives import folder, members
from neuropile.archives.partial import BLOCK
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError
from neuropile.types import Asset

order = random.Random(5)
FILES = {
    "readme.txt": b"hello\n" * 1000,
    "data/a b#.mat": order.randbytes(10 * BLOCK),
    "data/deep/c+ü.csv": b"1,2\n" * 5000,
    "big.bin": order.randbytes(15 * BLOCK),
    "empty": b"",
}


def zipped(files: dict[str, bytes] = FILES, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as z:
        z.mkdir("data")
        for name, data in files.items():
            z.writestr(name, data)
    return out.getvalue()


def tarred(mode: str, files: dict[str, bytes] = FILES, links: bool = False) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as t:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}" if name == "empty" else name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
        for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.CHRTYPE, "device"), (tarfile.FIFOTYPE, "pipe")) if links else ():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            t.addfile(info)
    return out.getvalue()


class World(NamedTuple):
    server: State
    web: Web
    cache: Path

    def asset(self, data: bytes) -> Asset:
        self.server.files["x.archive"] = data
        return Asset("x.archive", len(data), None, f"{self.server.url}/x.archive")

    def listed(self, data: bytes) -> tuple[Asset, ...]:
        return members.listed(Fake(), self.asset(data), self.web, self.cache)

    def unpacked(self, data: bytes, *wanted: str) -> Path:
        return members.unpacked(Fake(), self.asset(data), wanted, self.web, self.cache)


@pytest.fixture
def world(web, tmp_path) -> Iterator[World]:
    with serving() as server:
        yield World(server, web, tmp_path / "cache")


KINDS: dict[str, Callable[[], bytes]] = {
    "zip": zipped,
    "zip, stored": lambda: zipped(compression=zipfile.ZIP_STORED),
    "tar": lambda: tarred("w"),
    "tar.gz": lambda: tarred("w:gz"),
    "tar.bz2": lambda: tarred("w:bz2"),
    "tar.xz": lambda: tarred("w:xz"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_its_files_are_listed_and_unpacked(world, kind: str) -> None:
    data = KINDS[kind]()
    assert {(a.path, a.bytes) for a in world.listed(data)} == {(n, len(d)) for n, d in FILES.items()}
    made = world.unpacked(data, *FILES)
    assert {p.relative_to(made).as_posix(): p.read_bytes() for p in made.rglob("*") if p.is_file()} == FILES


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_wanted_is_unpacked_and_once(world, kind: str) -> None:
    data = KINDS[kind]()
    made = world.unpacked(data, "readme.txt")
    assert [p.name for p in made.rglob("*") if p.is_file()] == ["readme.txt"]
    n = len(world.server.asked)
    assert world.unpacked(data, "readme.txt") == made
    assert len(world.server.asked) == n
    world.unpacked(data, "data/a b#.mat")
    assert {p.name for p in made.rglob("*") if p.is_file()} == {"readme.txt", "a b#.mat"}
    assert world.server.n_bytes <= len(data)


def test_of_a_zip_only_its_directory_and_what_is_wanted_cross_the_wire(world) -> None:
    data = zipped()
    world.listed(data)
    assert world.server.n_bytes <= 3 * BLOCK
    world.server.forget()
    world.unpacked(data, "data/a b#.mat")
    assert world.server.n_bytes <= 13 * BLOCK
    assert len(world.server.asked) <= 3


def test_a_local_archive_is_read_where_it_lies(tmp_path, web) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.zip").write_bytes(zipped())
    archive = folder.folder(tmp_path / "in")
    asset = archive.list(web).assets[0]
    assert {a.path for a in members.listed(archive, asset, web, tmp_path / "cache")} == set(FILES)
    assert (members.unpacked(archive, asset, ["readme.txt"], web, tmp_path / "cache") / "readme.txt").read_bytes() == FILES["readme.txt"]


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """A zip whose file has a name that Python would not write."""
    assert len(old) == len(new)
    return data.replace(old, new)


HOSTILE = {
    "up": (lambda: renamed(zipped({"aaa/x": b"1"}), b"aaa/x", b"../zx"), "would leave its folder"),
    "deep up": (lambda: renamed(zipped({"aaa/bb/x": b"1"}), b"aaa/bb/x", b"a/../../"[:7] + b"x"), "would leave its folder"),
    "absolute": (lambda: renamed(zipped({"aaa/x": b"1"}), b"aaa/x", b"/tmp/"[:4] + b"x"), "would leave its folder"),
    "drive": (lambda: renamed(zipped({"aaa/x": b"1"}), b"aaa/x", b"C:a/x"), "would leave its folder"),
    "backslash": (lambda: renamed(zipped({"aaa/x": b"1"}), b"aaa/x", b"..\\ax"), "would leave its folder"),
    "tar up": (lambda: tarred("w", {"../x": b"1"}), "would leave its folder"),
    "tar.gz absolute": (lambda: tarred("w:gz", {"/tmp/x": b"1"}), "would leave its folder"),
    "twice": (lambda: renamed(zipped({"aaa": b"1", "aab": b"2"}), b"aab", b"aaa"), "names a file twice"),
    "a bomb": (lambda: zipped({"x": bytes(100 << 20)}), r"x would unpack from \d+ to 104857600 bytes; nothing of it is unpacked"),
    "many small bombs": (lambda: zipped({f"x{i}": bytes(10 << 20) for i in range(10)}), r"its files would unpack from \d+ to 104857600 bytes"),
    "a tar bomb": (lambda: tarred("w:gz", {"x": bytes(100 << 20)}), "its files would unpack from"),
    "no archive": (lambda: b"\x93NUMPY" + bytes(5000), "neither a zip nor a tar archive by its first bytes"),
    "cut zip": (lambda: zipped()[:-30], "a damaged archive"),
    "cut tar": (lambda: tarred("w")[: 12 * BLOCK], "damaged"),
    "cut tar.gz": (lambda: tarred("w:gz")[: 12 * BLOCK], "damaged"),
    "empty": (lambda: b"", "neither a zip nor a tar"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_would_harm_is_refused_in_one_line(world, kind: str) -> None:
    make, words = HOSTILE[kind]
    data = make()
    with pytest.raises(ArchiveError, match=words) as caught:
        world.unpacked(data, *[a.path for a in world.listed(data)])
    assert "\n" not in str(caught.value)
    assert not [p for p in world.cache.rglob("*") if p.is_file() and "members" in p.parts and p.stat().st_size > 1 << 20]


def test_a_file_that_unpacks_to_more_than_announced_stops_there(world) -> None:
    data = bytearray(zipped({"x": bytes(1 << 20)}))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        where = data.rindex(mark) + at
        assert struct.unpack_from("<I", data, where)[0] == 1 << 20
        struct.pack_into("<I", data, where, 1000)
    with pytest.raises(ArchiveError, match="damaged"):
        world.unpacked(bytes(data), "x")
    assert not [p for p in world.cache.rglob("*") if p.name == "x"]


def test_files_that_share_their_bytes_are_refused(world) -> None:
    data = bytearray(zipped({"a": order.randbytes(5000), "b": order.randbytes(5000)}))
    second = data.rindex(b"PK\x01\x02") + 42
    struct.pack_into("<I", data, second, 10)
    with pytest.raises(ArchiveError, match="shares its bytes with another file"):
        world.listed(bytes(data))


def test_links_and_devices_are_not_taken(world) -> None:
    data = tarred("w", links=True)
    assert {a.path for a in world.listed(data)} == set(FILES)
    with pytest.raises(ArchiveError, match=r"no file 'link' in it \(links and devices are not taken\)"):
        world.unpacked(data, "link")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        z.writestr(info, "/etc/passwd")
        z.writestr("file", "1")
    assert [a.path for a in world.listed(out.getvalue())] == ["file"]


def test_an_encrypted_file_is_told(world) -> None:
    data = bytearray(zipped({"x": b"123"}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(mark) + at] |= 1
    with pytest.raises(ArchiveError, match="x is encrypted"):
        world.unpacked(bytes(data), "x")


def test_a_flipped_bit_is_noticed(world) -> None:
    data = bytearray(zipped(compression=zipfile.ZIP_STORED))
    data[data.index(FILES["big.bin"]) + 12345] ^= 1
    with pytest.raises(ArchiveError, match="a damaged archive"):
        world.unpacked(bytes(data), "big.bin")
    assert not [p for p in world.cache.rglob("*") if p.name == "big.bin"]


def test_names_that_differ_only_in_capitals_are_not_taken_together(world) -> None:
    data = zipped({"A": b"1", "a": b"2"})
    assert (world.unpacked(data, "a") / "a").read_bytes() == b"2"
    with pytest.raises(ArchiveError, match="differ only in capitals"):
        world.unpacked(data, "a", "A")


def test_a_lost_connection_does_not_harm(world) -> None:
    calls = [0]

    def sometimes(asked: object) -> Mischief | None:
        calls[0] += 1
        return Mischief(cut=0.4) if calls[0] % 2 else None

    world.server.mischief = sometimes
    made = world.unpacked(zipped(), *FILES)
    assert {p.relative_to(made).as_posix(): p.read_bytes() for p in made.rglob("*") if p.is_file()} == FILES
