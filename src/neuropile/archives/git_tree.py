"""The files of one commit of a git repository, learnt with the git program and without its history."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from neuropile.errors import ArchiveError

#: A server that answers slowly may need minutes for one request; git gives up on one that sends nothing for so long.
SILENCE_S = 600
#: One command is given up after so long.
LIMIT_S = 1800.0
#: How often a command of the network is tried, and the first of the pauses between, which double.
TRIES = 4
PAUSE_S = 2.0
#: So many contents are held in memory together.
AT_ONCE = 1000
_LINK, _FILES = "120000", ("100644", "100755", "100664", "120000")
_MISSING = re.compile(r"repository .* not found|404|does not appear to be a git repository", re.IGNORECASE)
_CLOSED = re.compile(r"could not read (Username|Password)|Authentication failed|\b40[13]\b|terminal prompts disabled", re.IGNORECASE)
_NO_REF = re.compile(r"couldn't find remote ref|unadvertised object|not our ref|no such remote ref|bad object|unknown revision", re.IGNORECASE)


class Missing(ArchiveError):
    """There is no such repository, or none that may be read."""


@dataclass(frozen=True)
class Entry:
    """A file, or with `is_link` a symbolic link, of a commit: where it is, the name of its content, and the content's size."""

    path: str
    oid: str
    bytes: int
    is_link: bool = False


def available() -> bool:
    """Whether there is a git program."""
    return shutil.which("git") is not None


class Tree:
    """A commit of a repository, its files here for as long as the block of `fetched` runs."""

    def __init__(self, folder: str, commit: str) -> None:
        self.commit = commit
        self._folder = folder

    def files(self, limit: int) -> Iterator[tuple[Entry, bytes]]:
        """Every file and link, with its content if that is no longer than `limit`, else with none; not those of repositories within.

        Raises
        ------
        ArchiveError : a name that is not UTF-8
        """
        entries = list(self._entries())
        for group in (entries[i : i + AT_ONCE] for i in range(0, len(entries), AT_ONCE)):
            contents = self._contents([e.oid for e in group if e.bytes <= limit])
            for entry in group:
                yield entry, next(contents) if entry.bytes <= limit else b""

    def _entries(self) -> Iterator[Entry]:
        for line in _git(["ls-tree", "-r", "-l", "-z", self.commit], self._folder).split(b"\0"):
            head, _, name = line.partition(b"\t")
            mode, _, oid, size = head.decode().split() if head else ("", "", "", "")
            if mode in _FILES:
                yield Entry(_text(name), oid, int(size), mode == _LINK)

    def _contents(self, oids: Sequence[str]) -> Iterator[bytes]:
        """The contents of those names, in order."""
        out = _git(["cat-file", "--batch"], self._folder, stdin="".join(f"{oid}\n" for oid in oids).encode())
        at = 0
        for _ in oids:
            end = out.index(b"\n", at)
            size = int(out[at:end].split()[2])
            yield out[end + 1 : end + 1 + size]
            at = end + size + 2


@contextmanager
def fetched(url: str, want: str, headers: Mapping[str, str] = {}) -> Iterator[Tree]:
    """One commit of a repository: `want` is its name of 40 digits, a branch or tag, or HEAD.

    Of a commit that is no tip of a branch, servers may give nothing but the whole history, which then is fetched.

    Raises
    ------
    Missing : no such repository, or access refused
    ArchiveError : no such commit, or the server cannot be reached
    """
    with tempfile.TemporaryDirectory(prefix="neuropile-git-") as folder:
        _git(["init", "--quiet", "--bare", "--template="], folder)
        fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", url, f"{want}:refs/wanted"]
        try:
            _fetch(fetch, folder, headers)
        except _NoRef:
            if not re.fullmatch(r"[0-9a-f]{40}", want):
                raise ArchiveError(f"{url} has no branch, tag or commit {want!r}") from None
            _fetch(["fetch", "--quiet", "--tags", url, "+refs/heads/*:refs/heads/*"], folder, headers)
            try:
                _git(["update-ref", "refs/wanted", f"{want}^{{commit}}"], folder)
            except ArchiveError:
                raise ArchiveError(f"{url} has no commit {want}") from None
        yield Tree(folder, _git(["rev-parse", "--verify", "refs/wanted^{commit}"], folder).decode().strip())


class _NoRef(ArchiveError):
    """A server gives nothing of that name."""


def _fetch(command: Sequence[str], folder: str, headers: Mapping[str, str]) -> None:
    for attempt in range(TRIES):
        try:
            _git(command, folder, headers=headers)
            return
        except (Missing, _NoRef):
            raise
        except ArchiveError:
            if attempt == TRIES - 1:
                raise
            time.sleep(PAUSE_S * 2**attempt)


def _git(command: Sequence[str], folder: str, *, headers: Mapping[str, str] = {}, stdin: bytes = b"") -> bytes:
    limits = ["-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={SILENCE_S}", "-c", "protocol.allow=never", "-c", "protocol.http.allow=always"]
    whole = ["git", *limits, "-c", "protocol.https.allow=always", "-c", "credential.helper=", "-c", "gc.auto=0", *command]
    try:
        options: Any = {"cwd": folder, "env": _environment(headers), "input": stdin, "capture_output": True, "timeout": LIMIT_S, "check": False}
        done = subprocess.run(whole, **options)  # noqa: S603 (no shell, and no argument of a stranger's begins a word with a hyphen)
    except subprocess.TimeoutExpired:
        raise ArchiveError(f"git {command[0]} was given up after {LIMIT_S:.0f} s; run again later") from None
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode("utf-8", "replace").strip()
    last = next((line for line in reversed(said.splitlines()) if "fatal" in line or "error" in line), said[-300:])
    for pattern, kind in ((_NO_REF, _NoRef), (_MISSING, Missing), (_CLOSED, Missing)):
        if pattern.search(said):
            raise kind(last)
    raise ArchiveError(f"git {command[0]} failed: {last}")


def _environment(headers: Mapping[str, str]) -> dict[str, str]:
    """Nobody is asked for a password; headers go by the environment, as other users see the arguments of a command."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith(("GIT_SSL_", "GIT_EXEC_PATH"))}
    own |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "GIT_CONFIG_COUNT": str(len(headers))}
    for i, (name, value) in enumerate(headers.items()):
        own |= {f"GIT_CONFIG_KEY_{i}": "http.extraHeader", f"GIT_CONFIG_VALUE_{i}": f"{name}: {value}"}
    return own


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ArchiveError(f"a file is called {name!r}, which is not UTF-8: it cannot be fetched") from None
