"""Names and files on disk: safe names, digests, and writes that appear whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9._+=@-]+")
#: File systems take 255 bytes; a dataset's name, a suffix and a temporary name's own stand beside it.
_LONGEST = 150


def safe_name(name: str) -> str:
    """`name` as a file name any system takes: runs of other characters become one underscore, and what is too long ends in its digest.

    >>> safe_name("sub 1/ses:2")
    'sub_1_ses_2'
    """
    safe = _UNSAFE.sub("_", name).strip("._")
    if 0 < len(safe) <= _LONGEST:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{safe[: _LONGEST - 9] or 'unnamed'}-{digest}"


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in lower-case hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sha256_tree(folder: Path) -> tuple[int, str]:
    """The bytes of all files below a folder, and one SHA-256 over their sorted names and digests."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0{sha256_file(folder / name)}\n".encode())
    return sum((folder / n).stat().st_size for n in names), digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made where there is none, while the block runs; other processes wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder under `parent`, held by a lock while in use and removed afterwards, whatever happened.

    What killed processes left there is removed too: their locks went with them.
    """
    lock_path, lock = _take_new_lock(parent)
    try:
        for left in parent.iterdir():
            if left.stem != lock_path.stem:
                _remove_if_abandoned(left.with_suffix(".lock"))
        folder = lock_path.with_suffix("")
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
        lock_path.unlink(missing_ok=True)
        os.close(lock)
        with suppress(OSError):  # not empty: another builder is at work there
            parent.rmdir()


def own_folder() -> Path:
    """This user's folder among the machine's temporary files: what goes elsewhere is made here first.

    Raises
    ------
    PermissionError : someone else has a folder of that name there
    """
    folder = Path(tempfile.gettempdir()) / f"neuropile-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to someone else; set TMPDIR to a folder of your own")
    return folder


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch folders under `parent` whose processes were killed, and `parent` if none is left."""
    if parent.is_dir():
        with scratch_folder(parent):
            pass


def _take_new_lock(parent: Path) -> tuple[Path, int]:
    while True:
        path = parent / f"{uuid.uuid4().hex[:12]}.lock"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_CREAT | os.O_RDWR)
        except (FileNotFoundError, FileExistsError):  # another builder finished and removed the empty parent just now
            if parent.is_file():
                raise
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), os.stat(path)):  # else another builder took it for abandoned before it was locked
                return path, lock
        os.close(lock)


def _remove_if_abandoned(lock_path: Path) -> None:
    try:
        lock = os.open(lock_path, os.O_CREAT | os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # its builder lives
    else:
        shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
        lock_path.unlink(missing_ok=True)
    finally:
        os.close(lock)
