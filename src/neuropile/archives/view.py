"""A session's files of an archive as a folder to read from: what is read is fetched, and kept; the rest stays where it is.

The folder is an fsspec file system, so that readers take its paths (UPath) as they take any other far away.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache as cached
from pathlib import Path
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

from neuropile.archives import Archive, check_path, digests
from neuropile.archives.fetching import fetch_member, folder_of, here, verify
from neuropile.archives.partial import BLOCK, Run
from neuropile.archives.pulling import Progress, Pulling, ignore, local_file
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError, NeuropileError
from neuropile.paths import safe_name
from neuropile.types import Asset

#: A file read from one end to the other is fetched ahead of its reader, more each time, at most so much.
MAX_AHEAD = 1 << 20
_LINE = 1 << 13


def path(archive: Archive, assets: Sequence[Asset], web: Web, cache: Path, progress: Progress = ignore) -> Any:
    """The path of a session's one file, or of the folder that holds its several files under their archive paths.

    A UPath; or, of one file that lies on this machine or was fetched whole, a Path.

    Parameters
    ----------
    cache, progress : see `fetching.fetch`

    Raises
    ------
    ArchiveError : a local file is not what was announced; what goes wrong far away is told when it is read (see `telling`)
    """
    if len(assets) == 1:
        found = here(archive, assets[0], cache)
        if found is not None:
            return found
        local = local_file(archive, assets[0], web)
        if local is not None:
            verify(local, assets[0])
            return local
    files = Files(archive, assets, web, cache, progress)
    whole = _path_class()(f"archive://{files.top}")
    whole._fs_cached = files  # so that every path below it has this file system
    return whole / assets[0].path if len(assets) == 1 else whole


@cached
def _path_class() -> Any:
    """UPath for this file system, which it must be told of or it warns."""
    from upath import UPath
    from upath.registry import register_implementation

    class ArchivePath(UPath):
        """A path in a view of an archive."""

        __slots__ = ()

    register_implementation("archive", ArchivePath, clobber=True)
    return ArchivePath


@contextmanager
def telling(place: Any) -> Iterator[None]:
    """Whatever a reader makes of a failed fetch, the error that leaves this block is the archive's own."""
    try:
        yield
    except Exception:
        failure = getattr(getattr(place, "fs", None), "failure", None)
        if failure is not None:
            raise _told(failure) from None
        raise


def _told(error: NeuropileError) -> NeuropileError:
    """The same error of nowhere.

    A traceback holds all that was at work when it happened, and so HDF5's objects beyond the end of HDF5: the interpreter dies
    of them at its exit.
    """
    new = type(error).__new__(type(error), *error.args)
    new.__dict__.update(error.__dict__)
    return new


class _Far(Pulling):
    """A file read by ranges, ahead of whoever reads it from one end to the other."""

    _reached, _ahead, _checked = -1, 0, False

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop)."""
        missing = self.partial.missing(start, min(stop, self.size))
        if missing:
            self._ahead = min(max(2 * self._ahead, BLOCK), MAX_AHEAD) if missing[0][0] == self._reached else 0
            self._reached = min(missing[-1][1] + self._ahead, self.size)
            self.fill([(start, stop), (missing[-1][1], self._reached)])
        return super().read(start, stop)

    def read_many(self, ranges: Sequence[Run]) -> list[bytes]:
        """Several parts. Once all of the file is here, it is compared with what the archive says of it.

        Raises
        ------
        ArchiveError : it is another; what was read of it is forgotten
        """
        found = super().read_many(ranges)
        if not self._checked and not self.partial.whole and not self.partial.missing():
            self._checked = True
            try:
                digests.check(self.asset, self.partial.chunks(), self.size)
            except digests.WrongBytes:
                self.partial.discard()
                raise
        return found


class _Near:
    """A file on this disk."""

    def __init__(self, file: Path) -> None:
        self._path, self.size = file, file.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop)."""
        with open(self._path, "rb") as f:
            f.seek(start)
            return f.read(stop - start)

    def read_many(self, ranges: Sequence[Run]) -> list[bytes]:
        """Several parts."""
        return [self.read(start, stop) for start, stop in ranges]


class Files(AbstractFileSystem):
    """Assets as a read-only file system; an asset that is a folder (Zarr) is one. Once a fetch failed, `failure` is why, for good.

    top : the folder they are below
    """

    protocol = "archive"
    cachable = False

    def __init__(self, archive: Archive, assets: Sequence[Asset], web: Web, cache: Path, progress: Progress = ignore) -> None:
        super().__init__()
        self.archive, self.web, self.cache, self.progress = archive, web, cache, progress
        self.top = "/".join([archive.name, *(safe_name(p) for p in archive.id.split("/") if p)])
        self.failure: NeuropileError | None = None
        self._assets = {f"{self.top}/{check_path(a.path, archive.name)}": a for a in assets}
        self._tree: dict[str, dict[str, Any]] | None = None
        self._held: dict[str, _Far | _Near] = {}
        self._guard = threading.RLock()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        if self.failure is not None:
            raise _told(self.failure)
        try:
            yield
        except ArchiveError as e:
            self.failure = self.failure or _told(e)
            raise

    def _entries(self) -> dict[str, dict[str, Any]]:
        """Everything there is, by path: what `info` says of it, with the asset it is of and, in a folder of Zarr, the member."""
        with self._guard, self._failing():
            if self._tree is None:
                tree: dict[str, dict[str, Any]] = {}
                for place, asset in self._assets.items():
                    members = self.archive.members(asset, self.web)
                    if members is None:
                        self._add(tree, place, asset, None)
                    else:
                        local = local_file(self.archive, asset, self.web)
                        if local is not None:
                            verify(local, asset)
                        tree.setdefault(place, {"name": place, "size": 0, "type": "directory"})
                    for member in members or ():
                        self._add(tree, f"{place}/{check_path(member.path, asset.path)}", asset, member)
                self._tree = tree
            return self._tree

    def _add(self, tree: dict[str, dict[str, Any]], place: str, asset: Asset, member: Asset | None) -> None:
        file = asset if member is None else member
        says = file.sha256 or file.digest or file.version
        tree[place] = {"name": place, "size": file.bytes, "type": "file", "ETag": says, "_asset": asset, "_member": member}
        while place := place.rpartition("/")[0]:
            tree.setdefault(place, {"name": place, "size": 0, "type": "directory"})

    def _entry(self, place: str) -> dict[str, Any]:
        found = self._entries().get(place.rstrip("/"))
        if found is None:
            raise FileNotFoundError(2, "no such file in what was listed", f"archive://{place}")
        return found

    def _file(self, place: str) -> _Far | _Near:
        entry = self._entry(place)
        if entry["type"] != "file":
            raise IsADirectoryError(21, "a folder", f"archive://{place}")
        with self._failing():
            found = self._held.get(entry["name"])
            return found or self._held.setdefault(entry["name"], self._hold(entry["_asset"], entry["_member"]))

    def _hold(self, asset: Asset, member: Asset | None) -> _Far | _Near:
        file = asset if member is None else member
        found = here(self.archive, asset, self.cache) if member is None else None
        if found is not None:
            return _Near(found)
        local = local_file(self.archive, file, self.web)
        if local is not None:
            verify(local, file)
            return _Near(local)
        if member is not None:
            return _Near(fetch_member(self.archive, member, self.web, folder_of(self.archive, asset, self.cache), self.progress))
        return _Far(self.archive, asset, self.web, self.cache, self.progress)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and type of a file or folder."""
        entry = {k: v for k, v in self._entry(self._strip_protocol(path)).items() if not k.startswith("_")}
        return {**entry, "size": self._file(entry["name"]).size} if entry["size"] is None else entry

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What a folder holds."""
        place = self._strip_protocol(path).rstrip("/")
        if self._entry(place)["type"] == "file":
            return [self.info(place)] if detail else [place]
        names = sorted(n for n in self._entries() if n.rpartition("/")[0] == place)
        return [self.info(n) for n in names] if detail else names

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """The bytes of a file, or a part of them."""
        file = self._file(self._strip_protocol(path))
        with self._failing():
            return file.read(*_span(start, end, file.size))

    def cat_ranges(self, paths: list[str], starts: Any, ends: Any, max_gap: Any = None, on_error: str = "return", **_: Any) -> list[Any]:
        """Parts of files; what is missing of one file is fetched at once."""
        n = len(paths)
        starts, ends = (v if isinstance(v, list | tuple) else [v] * n for v in (starts, ends))
        out: list[Any] = [b""] * n
        for place in dict.fromkeys(paths):
            own = [i for i, p in enumerate(paths) if p == place]
            try:
                file = self._file(self._strip_protocol(place))
                with self._failing():
                    parts: list[Any] = list(file.read_many([_span(starts[i], ends[i], file.size) for i in own]))
            except Exception as e:
                if on_error == "raise":
                    raise
                parts = [e] * len(own)
            for i, part in zip(own, parts, strict=True):
                out[i] = part
        return out

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Reading:
        """A file to read from; caches that a caller asks for are not needed."""
        if mode != "rb":
            raise OSError(30, "archives are only read", f"archive://{path}")
        file = self._file(path)

        def read(start: int, stop: int) -> bytes:
            with self._failing():
                return file.read(start, stop)

        return Reading(read, file.size)


def _span(start: int | None, end: int | None, size: int) -> Run:
    """A part as slices have it: ends that are left out or count from behind."""
    first, last, _ = slice(start, end).indices(size)
    return first, max(first, last)


class Reading(io.RawIOBase):
    """An open file; `read` gives all that was asked for, up to the end."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read, self.size, self._at = read, size, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The place."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = max(offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence], 0)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, or all that are left."""
        stop = self.size if size is None or size < 0 else min(self._at + size, self.size)
        data = self._read(self._at, stop) if stop > self._at else b""
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        """The next line."""
        parts: list[bytes] = []
        left = self.size if size is None or size < 0 else size
        while left > 0 and (data := self.read(min(_LINE, left))):
            end = data.find(b"\n") + 1
            parts.append(data[:end] if end else data)
            left -= len(parts[-1])
            if end:
                self._at -= len(data) - end
                break
        return b"".join(parts)


fsspec.register_implementation("archive", Files, clobber=True)
