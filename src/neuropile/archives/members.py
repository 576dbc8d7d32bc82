"""The files in a zip or tar archive: which there are, and those that are wanted, unpacked here; nothing else, and never more than announced."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from neuropile.archives import Archive, check_path
from neuropile.archives.fetching import check_room, fetch
from neuropile.archives.partial import full, home
from neuropile.archives.pulling import Progress, Pulling, ignore, local_file
from neuropile.archives.view import Reading
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError
from neuropile.paths import replacing
from neuropile.types import Asset

#: No archive of recordings is known to hold more files, or to unpack to more bytes.
MOST, MOST_BYTES = 500_000, 1 << 42
#: What unpacks to more than LARGE bytes and so many times what is packed is a trap: neither spikes nor voltages pack like that.
LARGE, MOST_RATIO = 1 << 26, 500
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_CHUNK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError, NotImplementedError, KeyError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Member:
    """A file in an archive: `packed` is how many bytes it takes there from `at` on (of a tar, its own length), `digest` what is said of it."""

    path: str
    bytes: int
    packed: int
    at: int
    digest: str | None = None


def listed(archive: Archive, asset: Asset, web: Web, cache: Path, progress: Progress = ignore) -> tuple[Asset, ...]:
    """The files in an asset that is a zip or tar archive, by their paths in it. Of a zip, only its directory is fetched.

    Raises
    ------
    ArchiveError : it is neither, is damaged, names files outside, or would unpack to far more than it is long
    """
    with _opened(archive, asset, web, cache, progress) as packed:
        return tuple(Asset(m.path, m.bytes, None, asset.url, asset.version, m.digest) for m in packed.members)


def unpacked(archive: Archive, asset: Asset, wanted: Collection[str], web: Web, cache: Path, progress: Progress = ignore) -> Path:
    """The folder that holds the wanted files of a zip or tar archive, under their paths in it; each is whole or not there.

    Raises
    ------
    ArchiveError : see `listed`; or one of the wanted files is not in it, is a link, is encrypted, or is damaged
    """
    folder = home(cache, archive, asset, asset.bytes) / "members"
    if wanted and all((folder / check_path(w, asset.path)).is_file() for w in wanted):
        return folder
    with _opened(archive, asset, web, cache, progress) as packed:
        by_path = {m.path: m for m in packed.members}
        if unknown := sorted(set(wanted) - set(by_path)):
            raise ArchiveError(f"{asset.path}: no file {unknown[0]!r} in it{' (links and devices are not taken)' if packed.others else ''}")
        folded = {w.casefold() for w in wanted}
        if len(folded) < len(set(wanted)):
            raise ArchiveError(f"{asset.path}: it holds files whose names differ only in capitals; take one of them")
        left = [by_path[w] for w in wanted if not (folder / w).is_file()]
        folder.mkdir(parents=True, exist_ok=True)
        check_room(folder, sum(m.bytes for m in left), asset.path)
        packed.prepare(left)
        for member in sorted(left, key=lambda m: m.at):
            _unpack(packed, member, folder / member.path)
    return folder


def _unpack(packed: _Packed, member: Member, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    with replacing(final) as path, packed.open(member) as source, open(path, "wb") as out:
        n = 0
        while data := source.read(_CHUNK):
            n += len(data)
            if n > member.bytes:
                break
            try:
                out.write(data)
            except OSError as e:
                raise full(final.parent, member.path, e) from None
        if n != member.bytes:
            raise ArchiveError(f"{packed.name}: its file {member.path} is damaged ({n} bytes, {member.bytes} were announced); fetch the archive again")


class _Packed:
    """An open archive: its files, and how many others (links, devices) it names."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self.members, self.others = name, size, list[Member](), 0

    def add(self, member: Member) -> None:
        """Take a file into the list, if it is to be believed."""
        check_path(member.path, self.name)
        large = member.bytes > LARGE and member.bytes > MOST_RATIO * max(member.packed, 1)
        if large or member.bytes > MOST_BYTES:
            raise ArchiveError(f"{self.name}: {member.path} would unpack from {member.packed} to {member.bytes} bytes; nothing of it is unpacked")
        self.members.append(member)
        if len(self.members) > MOST:
            raise ArchiveError(f"{self.name}: more than {MOST} files in it; nothing of it is unpacked")

    def check(self) -> None:
        """Look at all that was added together."""
        total = sum(m.bytes for m in self.members)
        if total > MOST_BYTES or (total > LARGE and total > MOST_RATIO * self.size):
            raise ArchiveError(f"{self.name}: its files would unpack from {self.size} to {total} bytes; nothing of it is unpacked")
        paths = {m.path for m in self.members}
        if len(paths) < len(self.members):
            raise ArchiveError(f"{self.name}: names a file twice; nothing of it is unpacked")
        self.members.sort(key=lambda m: m.path)

    def prepare(self, members: list[Member]) -> None:
        """Fetch what is going to be read."""

    def open(self, member: Member) -> IO[bytes]:
        """A file's bytes."""
        raise NotImplementedError


class _Zip(_Packed):
    def __init__(self, name: str, file: Any, size: int, fill: Callable[[list[tuple[int, int]]], None]) -> None:
        super().__init__(name, size)
        self._zip, self._fill = zipfile.ZipFile(file), fill
        end = 0
        for info in sorted(self._zip.infolist(), key=lambda i: i.header_offset):
            mode = info.external_attr >> 16
            if info.is_dir() or (mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
                self.others += not info.is_dir()
                continue
            if info.header_offset < end:
                raise ArchiveError(f"{name}: {info.filename!r} shares its bytes with another file; nothing of it is unpacked")
            end = info.header_offset + info.compress_size
            self.add(Member(info.filename, info.file_size, info.compress_size, info.header_offset, f"crc32:{info.CRC:08x}"))
        self.check()

    def prepare(self, members: list[Member]) -> None:
        """Each in one piece; what stands before its bytes (names twice, extra fields) is short."""
        self._fill([(m.at, min(m.at + m.packed + 30 + 2 * len(m.path.encode()) + 1024, self.size)) for m in members])

    def open(self, member: Member) -> IO[bytes]:
        """See _Packed; its checksum is compared at its end."""
        info = self._zip.getinfo(member.path)
        if info.flag_bits & 1:
            raise ArchiveError(f"{self.name}: {member.path} is encrypted; unpack it by hand and use --from DIR")
        return self._zip.open(info)


class _Tar(_Packed):
    def __init__(self, name: str, file: Any, size: int) -> None:
        super().__init__(name, size)
        self._tar = tarfile.open(fileobj=file, mode="r:*")  # noqa: SIM115 (open as long as this is)
        total = 0
        for info in self._tar:
            total += info.size
            if total > LARGE and total > MOST_RATIO * size:
                raise ArchiveError(f"{name}: its files would unpack from {size} to more than {total} bytes; nothing of it is unpacked")
            if info.isreg():
                self.add(Member(info.name.removeprefix("./"), info.size, info.size, info.offset))
            else:
                self.others += not info.isdir()
        self.check()
        self._infos = {i.name.removeprefix("./"): i for i in self._tar.getmembers() if i.isreg()}

    def open(self, member: Member) -> IO[bytes]:
        """See _Packed."""
        return cast("IO[bytes]", self._tar.extractfile(self._infos[member.path]))


@contextmanager
def _opened(archive: Archive, asset: Asset, web: Web, cache: Path, progress: Progress) -> Iterator[_Packed]:
    local = local_file(archive, asset, web)
    pulling = None if local is not None else Pulling(archive, asset, web, cache, progress)
    head = _read_head(local) if local is not None else cast(Pulling, pulling).read(0, 512)
    if head.startswith(_COMPRESSED) and local is None:  # nothing in it can be reached but from its beginning
        local, pulling = fetch(archive, asset, web, cache, progress), None
    size = local.stat().st_size if local is not None else cast(Pulling, pulling).size
    with open(local, "rb") if local is not None else Reading(cast(Pulling, pulling).read, size) as file:
        if not head.startswith((*_ZIP, *_COMPRESSED)) and head[257:262] != b"ustar":
            raise ArchiveError(f"{asset.path}: neither a zip nor a tar archive by its first bytes ({head[:4]!r})")
        with _clear(asset):
            if head.startswith(_ZIP):
                yield _Zip(asset.path, file, size, (lambda runs: None) if pulling is None else lambda runs: pulling.fill(runs, at_once=1))
            else:
                yield _Tar(asset.path, file, size)


def _read_head(path: Path) -> bytes:
    with open(path, "rb") as f:
        return f.read(512)


@contextmanager
def _clear(asset: Asset) -> Iterator[None]:
    """What a damaged archive makes its library raise, in words."""
    try:
        yield
    except _DAMAGE as e:
        raise ArchiveError(f"{asset.path}: a damaged archive ({type(e).__name__}: {e}); fetch it again, or tell its keepers") from None
