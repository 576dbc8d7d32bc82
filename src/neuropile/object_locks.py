"""A lock on an object store: a small file that its holder keeps changing, and that others take over once it stays the same.

An object store knows no locks, and no two machines agree on the time: so a holder is alive as long as its file changes, by
the clock of whoever waits. Where conditional writes exist (S3) no two processes can take the same lock.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from neuropile import object_files, remote
from neuropile.errors import StoreError
from neuropile.paths import own_folder

#: A holder changes its lock so often,
RENEW_S = 10.0
#: and who sees it unchanged for so long takes it for left over by a process that was killed. The holder itself stops at half of it.
STALE_S = 60.0
#: So often who waits looks again.
LOOK_S = 0.5
#: So long it is known here that a process which held a lock was killed.
_MARK_S = 7 * 86400.0
_log = logging.getLogger(__name__)


@contextmanager
def held(path: Any, doing: str) -> Iterator[Lock]:
    """Hold the lock at a URL while the block runs; other processes, wherever they run, wait for it.

    doing : what for, told to those who wait
    """
    lock = Lock(path, doing)
    with _alive(lock.token):
        lock.take()
        try:
            yield lock
        finally:
            lock.release()


class Lock:
    """One try at a lock; see `held`."""

    def __init__(self, path: Any, doing: str) -> None:
        self.path = path
        self.token = uuid.uuid4().hex
        self._facts = {"doing": doing, "host": socket.gethostname(), "pid": os.getpid(), "token": self.token}
        self._beat = 0
        self._renewed = 0.0
        self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, daemon=True)

    def check(self) -> None:
        """Raise StoreError where another process may have taken the lock over."""
        if self._lost or time.monotonic() - self._renewed > STALE_S / 2:
            raise StoreError(f"{self.path} was taken over while this process stood still or was cut off; run again")

    def take(self) -> None:
        """Wait until the lock is this one's.

        Raises
        ------
        StoreError : the object store cannot be written or read
        """
        seen, since = b"", time.monotonic()
        while not self._try(object_files.create, self._text()):
            with suppress(FileNotFoundError):  # given back just now
                version, data = self._look()
                if not seen:
                    _log.warning("waiting for %s; if a killed process left it, it is taken over after %.0f s", _told(self.path, data), STALE_S)
                if data != seen:
                    seen, since = data, time.monotonic()
                if (_is_dead(data) or time.monotonic() - since >= STALE_S) and self._try(_take_over, self._text(), version):
                    break
            time.sleep(LOOK_S)
        self._thread.start()

    def _try(self, way: Callable[..., bool], *arguments: Any) -> bool:
        began = time.monotonic()  # before, not after: others may count from there
        self._renewed = began if (done := way(self.path, *arguments)) else self._renewed
        return done

    def _look(self) -> tuple[str | None, bytes]:
        try:
            version = object_files.version_of(self.path)  # before it is read: a change in between then makes `change` fail
            return version, remote.read_bytes(self.path)
        except FileNotFoundError:
            raise
        except OSError as e:
            raise StoreError(f"{self.path} cannot be read ({e}); run again: what is stored stays") from None

    def _text(self) -> bytes:
        return json.dumps({**self._facts, "beat": self._beat}).encode()

    def _keep_renewing(self) -> None:
        while not self._ended.wait(RENEW_S):
            with suppress(OSError, StoreError):  # the network is away: `check` tells when that was too long
                self._renew()

    def _renew(self) -> None:
        try:
            version, data = self._look()
        except FileNotFoundError:
            version, data = None, b""
        own = self.token.encode() in data
        self._beat += 1
        self._lost |= not (own and self._try(object_files.change, self._text(), version))

    def release(self) -> None:
        """Give the lock back, unless it is another's by now."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        with suppress(OSError, StoreError):  # what stays is taken over
            self.check()
            object_files.remove([self.path])


def _take_over(path: Any, data: bytes, version: str | None) -> bool:
    """Put one's own lock in the place of one that was left."""
    if version is not None:
        return object_files.change(path, data, version)
    object_files.remove([path])  # a file system without conditional changes: the best that can be done
    return object_files.create(path, data)


def _told(path: Any, data: bytes) -> str:
    """A lock and its holder, for people."""
    with suppress(ValueError, TypeError, KeyError):
        facts = json.loads(data)
        return f"{path}, held by process {facts['pid']} on {facts['host']} ({facts['doing']})"
    return str(path)


def _marks() -> Path:
    folder = own_folder() / "locks"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _alive(token: str) -> Iterator[None]:
    """Show other processes of this machine that the holder lives: a local file that it keeps locked, and a kill unlocks."""
    for left in _marks().iterdir():
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _MARK_S and _is_free(left):
                left.unlink()
    path = _marks() / token
    with open(path, "wb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_free(mark: Path) -> bool:
    with open(mark, "rb") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _is_dead(data: bytes) -> bool:
    """Whether the holder ran on this machine and is known to have been killed; elsewhere nobody can tell but by waiting."""
    with suppress(ValueError, TypeError, KeyError, OSError):
        token = json.loads(data)["token"]
        return bool(re.fullmatch("[0-9a-f]{32}", token)) and _is_free(_marks() / token)
    return False
