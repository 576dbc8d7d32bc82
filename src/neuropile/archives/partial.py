"""One file of an archive, partly here: its blocks in a sparse file, and a log of those that are whole.

A block's bytes are written first, its number and CRC-32 are appended to the log after; so a killed process loses what was
under way and no more. A block whose bytes are not what the log says (torn by a power cut, rotten) is not here.

Several threads and processes may share one: each fetches blocks that nobody else is fetching (`claim`). If they do meet at a
block, both write it, and the checksum tells whether what stands there is one of them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import struct
import threading
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from neuropile.archives import Archive
from neuropile.errors import ArchiveError
from neuropile.paths import locked, replacing, safe_name
from neuropile.types import Asset

#: Of 16 to 256 kB: in benchmarks/partial.py (units of 1.9 % of the file) 16 kB fetch 2.0 % in 18 requests, this 2.1 % in 9, 256 kB 2.5 % in 8.
BLOCK = 1 << 16
#: No file is longer (S3, where most of them lie, takes 5 TiB), so that a lie about it is no reason to fill the memory with its blocks.
MOST = 1 << 43
#: So many blocks that were read last are kept in memory.
KEPT = 64
_BODY, _CHECK = struct.Struct("<QI"), struct.Struct("<I")
_RECORD = _BODY.size + _CHECK.size
#: Records that are read from a log at a time.
_MANY = 1 << 16
Run = tuple[int, int]


class Rotten(Exception):
    """Blocks are not what was written; they are to be fetched again."""


def home(cache: Path, archive: Archive, asset: Asset, size: int | None) -> Path:
    """The folder of a file in a cache, named by all that tells it from others: an asset that changed has another."""
    key = json.dumps([archive.name, archive.id, asset.path, asset.version, asset.sha256, asset.digest, size])
    return cache / safe_name(archive.name) / safe_name(archive.id) / hashlib.sha256(key.encode()).hexdigest()[:24]


def full(place: Path, what: str, error: OSError | None = None) -> ArchiveError:
    """The error of a disk that has no room."""
    return ArchiveError(
        f"{what} does not fit on the disk of {place}{f' ({error.strerror})' if error else ''}; make room, or name another cache folder, and run again"
    )


_open: weakref.WeakValueDictionary[tuple[int, str], Partial] = weakref.WeakValueDictionary()
_opening = threading.Lock()


def opened(folder: Path, name: str, size: int) -> Partial:
    """The file of a folder (see `home`); one object a process, so that its threads know of each other."""
    with _opening:
        key = (os.getpid(), str(folder))
        found = _open.get(key)
        if found is None or found.size != size or not (folder / "lock").exists():  # somebody emptied the cache
            found = _open[key] = Partial(folder, name, size)
        return found


class Partial:
    """See the module. `path` is the whole file, once `finish` has moved it there; `whole` says that it is."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.folder, self.size, self.path = folder, size, folder / "whole" / name
        if not 0 <= size <= MOST:
            raise ArchiveError(f"{name}: {size} bytes were announced, which no file has (0 to {MOST}); tell the archive's keepers")
        self.n_blocks = -(-size // BLOCK)
        try:  # zeros take no memory before they are written to
            self._here = np.zeros(self.n_blocks, bool)
            self._crc = np.zeros(self.n_blocks, np.uint32)
            self._busy = np.zeros(self.n_blocks, bool)
        except MemoryError:
            raise ArchiveError(f"{name}: there is no memory to note which of its {size} bytes are here; use a machine with more") from None
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._lock, self._changed = threading.RLock(), threading.Condition()
        self._seen = 0
        self._fds: list[int] = []
        try:
            self._open()
        except OSError as e:
            raise ArchiveError(f"{folder}: the cache cannot be used ({e.strerror}); name another folder") from e

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock"):
            self.whole = self.path.is_file() and self.path.stat().st_size == self.size
            if self.whole:
                self._data = os.open(self.path, os.O_RDONLY)
                self._fds = [self._data]
                return
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._data = os.open(self.folder / "blocks.data", flags, 0o666)
            self._log = os.open(self.folder / "blocks.log", flags | os.O_APPEND, 0o666)
            self._claims = os.open(self.folder / "claims", flags, 0o666)
            self._fds = [self._data, self._log, self._claims]
            if os.fstat(self._data).st_size != self.size:
                os.ftruncate(self._data, self.size)
        self.refresh()

    def __del__(self) -> None:
        for fd in getattr(self, "_fds", ()):
            with suppress(OSError):
                os.close(fd)

    def refresh(self) -> None:
        """Learn of the blocks that others wrote since. A record that is torn or damaged is none."""
        with self._lock:
            while not self.whole:
                data = os.pread(self._log, _RECORD * _MANY, self._seen)
                for at in range(0, len(data) - _RECORD + 1, _RECORD):
                    body = data[at : at + _BODY.size]
                    block, crc = _BODY.unpack(body)
                    if zlib.crc32(body) == _CHECK.unpack_from(data, at + _BODY.size)[0] and block < self.n_blocks:
                        self._here[block], self._crc[block] = True, crc
                self._seen += len(data) // _RECORD * _RECORD
                if len(data) < _RECORD * _MANY:
                    return

    def missing(self, start: int = 0, stop: int | None = None) -> list[Run]:
        """The runs of bytes, in whole blocks, that are needed for [start, stop) and not here."""
        first, last = self._blocks(start, self.size if stop is None else stop)
        with self._lock:
            return [] if self.whole else self._runs(~self._here[first:last], first)

    def _blocks(self, start: int, stop: int) -> Run:
        return max(start, 0) // BLOCK, -(-min(stop, self.size) // BLOCK)

    def _runs(self, wanted: np.ndarray, first: int) -> list[Run]:
        edges = np.flatnonzero(np.diff(wanted, prepend=False, append=False)).reshape(-1, 2) + first if wanted.size else ()
        return [(int(a) * BLOCK, min(int(b) * BLOCK, self.size)) for a, b in edges]

    def write(self, block: int, data: bytes) -> None:
        """A whole block: its bytes, then its record.

        Raises
        ------
        ArchiveError : the disk is full
        """
        start, stop = block * BLOCK, min((block + 1) * BLOCK, self.size)
        if len(data) != stop - start:
            raise ValueError(f"block {block} has {stop - start} bytes, not {len(data)}")
        crc = zlib.crc32(data)
        body = _BODY.pack(block, crc)
        try:
            self._write_at(start, data)
            self._append(body + _CHECK.pack(zlib.crc32(body)))
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise full(self.folder, self.path.name, e) from None
            raise ArchiveError(f"{self.folder}: the cache cannot be written ({e.strerror})") from e
        with self._lock:
            self._here[block], self._crc[block] = True, crc
            self._recent.pop(block, None)

    def _write_at(self, at: int, data: bytes) -> None:
        view = memoryview(data)
        while len(view):
            n = os.pwrite(self._data, view, at)
            at, view = at + n, view[n:]

    def _append(self, record: bytes) -> None:
        """Behind the last whole record: one that a full disk tore would put all behind it out of step."""
        with self._lock:
            fcntl.flock(self._log, fcntl.LOCK_EX)
            try:
                end = os.fstat(self._log).st_size
                if end % _RECORD:
                    os.ftruncate(self._log, end - end % _RECORD)
                if os.write(self._log, record) != len(record):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                fcntl.flock(self._log, fcntl.LOCK_UN)

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop), cut at the file's end, all of them here and as they were written.

        Raises
        ------
        Rotten : some are not; they count as missing now
        """
        stop = min(stop, self.size)
        if stop <= start:
            return b""
        if self.whole:
            return self._pread(start, stop)
        first, last = self._blocks(start, stop)
        if last - first == 1:
            return self._one(first)[start - first * BLOCK : stop - first * BLOCK]
        data = self._pread(first * BLOCK, min(last * BLOCK, self.size))
        bad = [b for b in range(first, last) if not self._is_right(b, memoryview(data)[(b - first) * BLOCK : (b - first + 1) * BLOCK])]
        self._forget(bad)
        return data[start - first * BLOCK : stop - first * BLOCK]

    def _one(self, block: int) -> bytes:
        with self._lock:
            found = self._recent.get(block)
            if found is not None and self._here[block]:
                self._recent.move_to_end(block)
                return found
        data = self._pread(block * BLOCK, min((block + 1) * BLOCK, self.size))
        self._forget([] if self._is_right(block, data) else [block])
        with self._lock:
            self._recent[block] = data
            while len(self._recent) > KEPT:
                self._recent.popitem(last=False)
        return data

    def _pread(self, start: int, stop: int) -> bytes:
        parts = []
        while start < stop:
            data = os.pread(self._data, min(stop - start, 1 << 30), start)
            if not data:
                raise ArchiveError(f"{self.folder}: a file of the cache was cut short; remove that folder and run again")
            parts.append(data)
            start += len(data)
        return b"".join(parts)

    def _is_right(self, block: int, data: bytes | memoryview) -> bool:
        return bool(self._here[block]) and zlib.crc32(data) == int(self._crc[block])

    def _forget(self, blocks: Sequence[int]) -> None:
        if len(blocks):
            with self._lock:
                self._here[list(blocks)] = False
            raise Rotten

    def check(self) -> bool:
        """Read all blocks that are here; False where some are rotten, which count as missing then."""
        right = True
        for block in range(self.n_blocks) if not self.whole else ():
            with suppress(Rotten):
                if self._here[block] and not self._is_right(block, self._pread(block * BLOCK, min((block + 1) * BLOCK, self.size))):
                    right = False
                    self._forget([block])
        return right

    def chunks(self) -> Iterator[bytes]:
        """All bytes as they lie on the disk, a megabyte at a time."""
        for at in range(0, self.size, 1 << 20):
            yield self._pread(at, min(at + (1 << 20), self.size))

    @contextmanager
    def claim(self, wanted: Sequence[Run], *, alone: bool = True) -> Iterator[list[Run]]:
        """The runs of missing blocks, of those wanted, that nobody else is fetching: the caller's to fetch while this lasts.

        alone : False takes what is missing whoever else is fetching it
        """
        own: list[Run] = []
        with self._lock:
            self.refresh()
            spans = [(a, b) for a, b in (self._blocks(*run) for run in wanted) if a < b and not self.whole]
            low, high = min((a for a, _ in spans), default=0), max((b for _, b in spans), default=0)
            need = np.zeros(max(high - low, 0), bool)
            for first, last in spans:
                need[first - low : last - low] = True
            free = need & ~self._here[low:high] & ~(self._busy[low:high] if alone else False)
            for first, last in [(a // BLOCK, -(-b // BLOCK)) for a, b in self._runs(free, low)]:
                own += self._taken(first, last) if alone else [(first, last)]
            self.refresh()  # what another process finished just before its claim ended
            for first, last in own:
                self._busy[first:last] = True
        try:
            with self._lock:
                mine = np.zeros(need.size, bool)
                for first, last in own:
                    mine[first - low : last - low] = ~self._here[first:last]
            yield self._runs(mine, low)
        finally:
            with self._lock:
                for first, last in own:
                    self._busy[first:last] = False
                    with suppress(OSError):
                        fcntl.lockf(self._claims, fcntl.LOCK_UN, last - first, first)
            with self._changed:
                self._changed.notify_all()

    def _taken(self, first: int, last: int) -> list[Run]:
        """The blocks of [first, last) that no other process holds, now held by this one."""
        try:
            fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, last - first, first)
        except (BlockingIOError, PermissionError):
            if last - first == 1:
                return []
            half = (first + last) // 2
            return self._taken(first, half) + self._taken(half, last)
        except OSError:  # a file system without locks: two may fetch the same block, which does no harm
            pass
        return [(first, last)]

    def wait(self, seconds: float = 0.05) -> None:
        """Let others, who fetch what is wanted, go on a little."""
        with self._changed:
            self._changed.wait(seconds)
        self.refresh()

    def finish(self) -> Path:
        """All is here and was verified: the whole file, under its own name."""
        with locked(self.folder / "lock"):
            if not (self.path.is_file() and self.path.stat().st_size == self.size):
                self.path.parent.mkdir(exist_ok=True)
                os.fsync(self._data)
                try:
                    os.rename(self.folder / "blocks.data", self.path)
                except FileNotFoundError:
                    raise ArchiveError(f"{self.folder} was removed while {self.path.name} was fetched into it; run again") from None
            for left in ("blocks.log", "stamps.json"):
                (self.folder / left).unlink(missing_ok=True)
        with self._lock:
            self.whole = True
        return self.path

    def discard(self) -> None:
        """Forget all blocks, here and on the disk."""
        with self._lock, locked(self.folder / "lock"):
            if self.path.is_file():  # another process found it right meanwhile
                return
            os.ftruncate(self._log, 0)
            os.ftruncate(self._data, 0)
            os.ftruncate(self._data, self.size)
            self._here[:] = False
            self._recent.clear()
            self._seen = 0
        (self.folder / "stamps.json").unlink(missing_ok=True)

    def stamps(self) -> dict[str, str]:
        """The ETags, or dates of change, under which the blocks came, by server."""
        try:
            found = json.loads((self.folder / "stamps.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}

    def keep_stamps(self, stamps: Mapping[str, str]) -> None:
        """Keep them."""
        with replacing(self.folder / "stamps.json") as path:
            path.write_text(json.dumps(dict(stamps)))
