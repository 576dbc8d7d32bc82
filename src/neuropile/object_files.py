"""Files written whole or not at all, here or on an object store, and those of a store listed and removed in few requests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from neuropile import remote
from neuropile.errors import StoreError
from neuropile.paths import replacing

#: Of a large file, parts of this size go up at once, and so many of them: what bounds the memory of several uploads.
_PART_BYTES = 16 << 20
_PARTS_AT_ONCE = 4
_T = TypeVar("_T")


def check_writable(path: Any) -> None:
    """Refuse what is known never to be written to: plain web servers."""
    if not remote.can_list(path):
        raise StoreError(f"{remote.public(path)}: a web server is not written to; give a folder, or a bucket as s3://bucket/store")


def written(job: Callable[[], _T], path: Any) -> _T:
    """Do a job that writes, patiently (see `remote.persist`).

    Raises
    ------
    FileExistsError : as `remote.persist`
    StoreError : it cannot be done; the message says why
    """
    try:
        return remote.persist(job, path)
    except FileExistsError:
        raise
    except FileNotFoundError as e:
        raise StoreError(f"{remote.public(path)} cannot be written (no such bucket or place: {e}); make it, or give another") from None
    except (OSError, NotImplementedError, ValueError, ImportError) as e:
        said = str(e).removeprefix(f"{remote.public(path)}: ")
        raise StoreError(f"{remote.public(path)} cannot be written ({said or type(e).__name__}); mend that and run again: what is stored stays") from None


def put(local: Path, path: Any) -> None:
    """A local file onto an object store, where it appears whole or not at all and replaces what is there."""
    options = {"chunksize": _PART_BYTES, "max_concurrency": _PARTS_AT_ONCE} if remote.is_s3(path) else {}
    written(lambda: path.fs.put_file(str(local), path.path, **options), path)


def create(path: Any, data: bytes) -> bool:
    """Write a small file where there is none; False where there is another.

    On S3 and whatever knows its conditional writes no two processes get True for different bytes.
    """
    try:
        written(lambda: path.fs.pipe_file(path.path, data, mode="create"), path)
    except FileExistsError:
        return _holds(path, data)  # its own, where the answer to an earlier try was lost on the way
    return True


def version_of(path: Any) -> str | None:
    """What S3 calls the file's present bytes, for `change`; None where there is no such name, FileNotFoundError where no file is."""
    return str(remote.persist(lambda: path.fs.info(path.path, refresh=True), path)["ETag"]) if remote.is_s3(path) else None


def change(path: Any, data: bytes, version: str | None) -> bool:
    """Write a small file if what is there is still of the given version; False where it is not. None: whatever is there."""

    def job() -> None:
        try:
            path.fs.pipe_file(path.path, data, **({} if version is None else {"IfMatch": version}))
        except FileNotFoundError:
            if version is None:
                raise
            raise FileExistsError(f"{path} is gone") from None  # as S3 says of a change to what is not there

    try:
        written(job, path)
    except FileExistsError:
        return _holds(path, data)
    return True


def _holds(path: Any, data: bytes) -> bool:
    try:
        return remote.read_bytes(path) == data
    except FileNotFoundError:
        return False


@contextmanager
def writing(path: Any) -> Iterator[Path]:
    """A local file to write, which takes its place at `path` when the block ends well; a folder above it is made where it can be."""
    if not remote.is_remote(path):
        with replacing(path) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="neuropile-") as folder:
        local = Path(folder) / path.name
        yield local
        put(local, path)


def files_below(folder: Any) -> list[str]:
    """The names of all files below a folder on an object store, relative to it and sorted, as they are now."""
    base = folder.path.rstrip("/")
    parent, _, name = base.rpartition("/")

    def found() -> list[str]:
        if remote.is_s3(folder) and parent:  # by prefix: where there is none, s3fs then does not go on asking
            return list(folder.fs.find(parent, prefix=f"{name}/"))
        folder.fs.invalidate_cache(base)
        return list(folder.fs.find(base))

    names = [n.removeprefix("/").removeprefix(f"{base.lstrip('/')}/") for n in _listed(found, folder)]
    return sorted(n for n in names if n)


def folders_in(folder: Any) -> list[str]:
    """The names of the folders directly in a folder on an object store, sorted, as they are now."""
    found = _listed(lambda: folder.fs.ls(folder.path, detail=True, refresh=True), folder)
    return sorted(f["name"].rstrip("/").rpartition("/")[2] for f in found if f["type"] == "directory")


def is_empty(folder: Any) -> bool:
    """Whether nothing lies in a folder on an object store."""
    return not _listed(lambda: folder.fs.ls(folder.path, detail=False, refresh=True), folder)


def _listed(job: Callable[[], list[_T]], folder: Any) -> list[_T]:
    """What a listing finds: nothing where there is no such folder, StoreError where it cannot be had."""
    try:
        return remote.persist(job, folder)
    except FileNotFoundError:
        return []
    except (OSError, NotImplementedError, ValueError, ImportError) as e:
        raise StoreError(f"{remote.public(folder)} cannot be listed ({e}); run again: what is stored stays") from None
    finally:
        folder.fs.invalidate_cache(folder.path)  # s3fs would take what it listed for true from then on


def remove(paths: Iterable[Any]) -> None:
    """Remove files from an object store; one that is gone already is no error."""
    list(remote.together(_remove_one, list(paths)))


def _remove_one(path: Any) -> None:
    def gone() -> None:
        with suppress(FileNotFoundError):
            path.fs.rm_file(path.path)

    written(gone, path)
