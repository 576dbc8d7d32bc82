"""Where a published pile goes: a folder, which appears whole, or an object store, which takes files one by one and the marker last."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from neuropile import remote
from neuropile.errors import PileError
from neuropile.published import MARKER
from neuropile.publishing.sending import until_done

#: Says, where files are sent one by one, that they are not all there yet, and of which pile they are.
UNFINISHED = "unfinished.json"
#: The files that a published pile may hold; others are never removed.
_OWN = re.compile(r"((data|compat)/[A-Za-z0-9_-]+|segments|units|sessions|sources)\.parquet")


class Place(Protocol):
    """Where a published pile goes. Picklable: shards may be sent from several processes."""

    @property
    def title(self) -> str:
        """What the pile is called."""
        ...

    @property
    def takes(self) -> bool:
        """Whether files are sent away, so that they are not needed here any more; else the folder is moved in the end."""
        ...

    def begin(self, job: str, replace: bool) -> frozenset[str]:
        """See that nothing of another's is there; the names of the files that this very job has sent before."""
        ...

    def send(self, path: Path, name: str) -> None:
        """Take a file that is whole."""
        ...

    def finish(self, folder: Path, small: Sequence[str], listed: Collection[str]) -> None:
        """Take the last files, by name below `folder`, the marker last; `listed` names all there are."""
        ...


@dataclass(frozen=True)
class Folder:
    """A local folder: it is made elsewhere and appears whole."""

    root: Path

    @property
    def title(self) -> str:
        """What the pile is called."""
        return self.root.resolve().name

    @property
    def takes(self) -> bool:
        """See Place."""
        return False

    def begin(self, job: str, replace: bool) -> frozenset[str]:
        """See Place."""
        if not self.root.exists() or (self.root.is_dir() and not any(self.root.iterdir())):
            return frozenset()
        if not (self.root / MARKER).is_file():
            raise PileError(f"{self.root} exists and is not a published pile, so it is not replaced; give a new folder")
        if not replace:
            raise PileError(f"{self.root} exists; give a new folder, or --replace (replace=True) to write a published pile anew")
        return frozenset()

    def send(self, path: Path, name: str) -> None:
        """See Place."""

    def finish(self, folder: Path, small: Sequence[str], listed: Collection[str]) -> None:
        """See Place."""
        old = folder.with_name("old")
        shutil.rmtree(old, ignore_errors=True)
        if self.root.exists():
            os.rename(self.root, old)
        os.rename(folder, self.root)


@dataclass(frozen=True)
class Bucket:
    """A folder of an object store, or of whatever else fsspec can write to."""

    root: Any

    @property
    def title(self) -> str:
        """What the pile is called."""
        return str(self.root.name) or str(self.root)

    @property
    def takes(self) -> bool:
        """See Place."""
        return True

    def begin(self, job: str, replace: bool) -> frozenset[str]:
        """See Place."""
        present = self._do(self._files, "listing")
        held = job_in(self._do((self.root / UNFINISHED).read_bytes, "reading")) if UNFINISHED in present else None
        if not may_go_on(present, held, job, replace, str(remote.public(self.root))):
            return frozenset(present)
        self._do(lambda: (self.root / UNFINISHED).write_bytes(unfinished(job)), "writing")
        if MARKER in present:
            self._remove(MARKER)
        return frozenset()

    def send(self, path: Path, name: str) -> None:
        """See Place."""
        target = self.root / name

        def put() -> None:
            target.fs.put_file(str(path), target.path)
            target.fs.invalidate_cache()
            if (size := target.fs.info(target.path)["size"]) != path.stat().st_size:
                raise OSError(f"{size} of {path.stat().st_size} bytes have arrived")

        self._do(put, f"sending {name}")

    def finish(self, folder: Path, small: Sequence[str], listed: Collection[str]) -> None:
        """See Place."""
        *others, marker = small
        for name in others:
            self.send(folder / name, name)
        for name in stale(self._do(self._files, "listing"), listed):
            self._remove(name)
        self.send(folder / marker, marker)
        self._remove(UNFINISHED)

    def _remove(self, name: str) -> None:
        def unlink() -> None:
            with suppress(FileNotFoundError):  # a try before this one removed it, and its answer was lost
                (self.root / name).unlink()

        self._do(unlink, f"removing {name}")

    def _files(self) -> set[str]:
        """The names of all files below the root."""
        fs, base = self.root.fs, str(self.root.path).rstrip("/")
        fs.invalidate_cache()
        try:
            return {str(p).lstrip("/").removeprefix(base.lstrip("/")).lstrip("/") for p in fs.find(base)}
        except FileNotFoundError:
            return set()

    def _do(self, job: Any, doing: str) -> Any:
        return until_done(job, f"{remote.public(self.root)}: {doing}", _explain)


def _explain(status: int | None, error: BaseException) -> str | None:
    if isinstance(error, PermissionError) or status in (401, 403):
        return f"the server refuses to be written to ({error}); give credentials that may write there (of S3: AWS_PROFILE, or AWS_ACCESS_KEY_ID and the like)"
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return f"no credentials were found ({error}); of S3: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, FileNotFoundError):
        return f"there is no such bucket or folder ({error}); make it first"
    return None


def unfinished(job: str) -> bytes:
    """What stands in the file that says that a pile is not all there yet."""
    return json.dumps({"format": "neuropile unfinished pile", "job": job}, indent=1).encode()


def job_in(data: bytes) -> str:
    """The job that is unfinished, "" where that cannot be read."""
    try:
        return str(json.loads(data)["job"])
    except (ValueError, TypeError, KeyError):
        return ""


def may_go_on(present: Collection[str], held: str | None, job: str, replace: bool, where: str) -> bool:
    """Whether a place has to be prepared: it is empty or will be replaced. False where this very job began there before.

    present : the names of all files there; held : which job is unfinished there, if one is

    Raises
    ------
    PileError : there is something that must not be touched
    """
    if held == job:
        return False
    if present and MARKER not in present and held is None:
        raise PileError(f"{where} holds files ({', '.join(sorted(present)[:3])}) but is not a published pile; give another name")
    if present and not replace:
        what = "exists" if MARKER in present else "holds part of another pile"
        raise PileError(f"{where} {what}; give another name, or --replace (replace=True) to write it anew")
    return True


def stale(present: Collection[str], listed: Collection[str]) -> list[str]:
    """The files of an earlier published pile that do not belong to this one."""
    return sorted(n for n in set(present) - set(listed) if _OWN.fullmatch(n))
