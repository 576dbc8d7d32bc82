"""What libhdf5 reads its bytes from: a local or a remote file that refuses the one kind of damage libhdf5 never returns from.

Variable-length values and texts lie in global heap collections: the word GCOL, a size, then objects one behind the other. libhdf5 walks
a collection by the objects' own sizes, and one of number 0 and size 0 is a step of no length: it walks on the spot for ever. So each
collection is walked here first, when its beginning is read, and only those that are read.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuropile.errors import UnreadableFile

_MAGIC = b"GCOL\x01\x00\x00\x00"
_HEADER = 16
#: The least size of a collection. libhdf5 reads so much of it first, so that its beginning never lies in a long read.
_LEAST = 4096
_SHORT_READ = 1 << 16
#: Of a long collection so much is held at a time, and it has no more objects than 16-bit numbers for them.
_WINDOW = 1 << 20
_MOST = 1 << 16
#: A remote file is fetched in blocks of so many bytes, of which so many are kept. Of 64 to 1024 kB, this opens a file of
#: 105 MB in 20 requests for 5 MB and reads a unit in 16: half the block saves 2 MB and doubles those.
REMOTE_BLOCK = 1 << 18
REMOTE_BLOCKS = 128


class Source:
    """A file as h5py wants one: bytes at a place, and its size. It is named by its path."""

    def __init__(self, path: Any, size: int) -> None:
        self._name, self._size, self._at = str(path), size, 0
        self._walked: set[int] = set()

    def __repr__(self) -> str:
        return self._name

    def read_at(self, at: int, n: int) -> bytes:
        """The n bytes from a place on, all of them inside the file."""
        raise NotImplementedError

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; h5py learns the size by going to the end."""
        self._at = offset + (self._size if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def read(self, n: int) -> bytes:
        """Bytes from the place on; by this method h5py knows a file."""
        buffer = bytearray(n)
        self.readinto(buffer)
        return bytes(buffer)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the place on, beyond the end of the file with zeros as libhdf5 itself does.

        Raises
        ------
        UnreadableFile : a global heap collection begins in these bytes, and libhdf5 would walk it for ever
        """
        view = memoryview(buffer).cast("B")
        n = max(min(len(view), self._size - self._at), 0)  # a damaged address lies anywhere
        if n > _SHORT_READ or not n:
            data = self.read_at(self._at, n) if n else b""
        else:
            before = min(len(_MAGIC) - 1, self._at)  # its first bytes may have come with an earlier read
            data = self.read_at(self._at - before, before + n)
            found = data.find(_MAGIC)
            while found >= 0:
                self._walk(self._at - before + found)
                found = data.find(_MAGIC, found + 1)
            data = data[before:]
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))
        return len(view)

    def _walk(self, start: int) -> None:
        """Check a collection as libhdf5 will walk it; what only looks like one, by its size, is none."""
        if start in self._walked:
            return
        size = int.from_bytes(self.read_at(start + 8, 8), "little") if start + _HEADER <= self._size else 0
        if size < _LEAST or start + size > self._size:
            return
        at, n_met, held, first = _HEADER, 0, b"", 0
        while at + _HEADER <= size:
            if at + _HEADER > first + len(held):
                held, first = self.read_at(start + at, min(_WINDOW, size - at)), at
            header = held[at - first : at - first + _HEADER]
            number, n = int.from_bytes(header[:2], "little"), int.from_bytes(header[8:], "little")
            step = _HEADER + (n + 7) // 8 * 8 if number else n
            n_met += 1
            if not step or at + step > size or n_met > _MOST:
                raise UnreadableFile(
                    f"{self._name}: the texts and lists at byte {start} are damaged (an object of {n} bytes at byte {start + at}); fetch it again"
                )
            at += step
        self._walked.add(start)


class Local(Source):
    """A file of this machine, closed with the last object that uses it."""

    def __init__(self, path: Path) -> None:
        self._file = -1
        self._file = os.open(path, os.O_RDONLY)
        super().__init__(path, os.fstat(self._file).st_size)

    def read_at(self, at: int, n: int) -> bytes:
        """See Source."""
        parts = [os.pread(self._file, n, at)]  # the system gives at most 2 GB at a time
        while (got := sum(map(len, parts))) < n and parts[-1]:
            parts.append(os.pread(self._file, n - got, at + got))
        return b"".join(parts)

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


class Remote(Source):
    """A file far away, read by ranges, in blocks of which the last ones read are kept.

    size : 0 where its server does not say
    """

    def __init__(self, path: Any) -> None:
        self._file = path.open("rb", block_size=REMOTE_BLOCK, cache_type="blockcache", cache_options={"maxblocks": REMOTE_BLOCKS})
        self.size = int(getattr(self._file, "size", None) or 0)
        super().__init__(path, self.size)

    def read_at(self, at: int, n: int) -> bytes:
        """See Source."""
        with _no_collection():
            self._file.seek(at)
            return self._file.read(n)


_paused = 0
_resume = False
_pausing = threading.Lock()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from collecting garbage, in any thread, while bytes are waited for.

    h5py holds its one lock meanwhile. Were an object of its own among the garbage, the thread that collects it would wait for
    that lock, and where it is the one that brings the bytes (fsspec's, one that fetches blocks), both would wait for ever.
    """
    global _paused, _resume
    with _pausing:
        _resume = gc.isenabled() if not _paused else _resume
        _paused += 1
        gc.disable()
    try:
        yield
    finally:
        with _pausing:
            _paused -= 1
            if not _paused and _resume:
                gc.enable()
