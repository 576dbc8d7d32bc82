"""Files here or far away: a path or a URL, read whole or by ranges in few requests, tried again when a connection drops."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from neuropile.errors import NeuropileError

#: Ranges of one file closer together than this are fetched as one: a request costs more than the bytes between.
MAX_HOLE = 128 << 10
#: A range longer than this is fetched as several at once.
MAX_PART = 20 << 20
#: How often one request is tried, and the first of the pauses between, which double.
TRIES = 6
PAUSE_S = 0.1
#: The libraries below try again too, some for ten seconds: after so long, and three tries of ours, it is enough.
PATIENCE_S = 20.0
#: So many requests are under way at a time where a job is many of them.
AT_ONCE = 8
#: What no repetition mends.
_FINAL = (NeuropileError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, NotImplementedError, ValueError, ImportError)
#: The same, of libraries that are not imported for their names alone.
_FINAL_NAMES = (
    *("NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "ProfileNotFound"),
    *("InvalidURL", "InvalidUrlClientError", "RepositoryNotFoundError", "GatedRepoError"),
)
#: The same, as s3fs tells what S3 answered: a bad request, one that is not allowed or not known there, a bucket that lies elsewhere.
_FINAL_NUMBERS = (errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG)
_T = TypeVar("_T")
_I = TypeVar("_I")


def as_path(place: Any) -> Any:
    """A path as Path, a URL (`http(s)://`, `s3://`, `hf://`, `memory://`, ...) as UPath, which has the same methods."""
    if isinstance(place, str) and "://" in place:
        from upath import UPath

        try:
            urlsplit(place)
            return UPath(place)
        except Exception as e:  # each file system raises its own kinds
            raise NeuropileError(f"{place}: not a place that can be read ({e})") from None
    return Path(place) if isinstance(place, str) else place


def public(url: Any) -> str:
    """A URL without what may be secret in it: user, password, query."""
    parts = urlsplit(str(url))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_remote(path: Any) -> bool:
    """Whether a path is a URL."""
    return not isinstance(path, Path)


def is_s3(path: Any) -> bool:
    """Whether a place is S3 by its protocol, whoever serves it: s3fs knows more than other file systems."""
    return is_remote(path) and path.protocol in ("s3", "s3a")


def can_list(path: Any) -> bool:
    """Whether a folder's files can be listed; plain web servers cannot be asked."""
    return isinstance(path, Path) or path.protocol not in ("http", "https")


def persist(job: Callable[[], _T], what: object) -> _T:
    """Do a job of the network, again and again where it fails for reasons that may pass; with a file here, once.

    Raises
    ------
    FileExistsError : the job was to write a new file, or to change one that is as it was, and it is not so
    OSError : what no repetition mends, as it came; or the last failure, in words
    """
    if isinstance(what, Path):
        return job()
    began = time.monotonic()
    for attempt in range(TRIES):
        try:
            return job()
        except _FINAL:
            raise
        except Exception as e:  # each file system raises its own kinds
            status = getattr(e, "status", None)
            if isinstance(e, PermissionError) or status in (401, 403):
                said = f"HTTP {status}" if status else e
                raise PermissionError(f"{public(what)}: the server refuses access ({said}); give credentials, or ask for access") from None
            if _code(e) in ("PreconditionFailed", "412"):
                raise FileExistsError(f"{public(what)} is there already, or was changed just now") from None
            enough = attempt == TRIES - 1 or (attempt > 1 and time.monotonic() - began > PATIENCE_S)
            if enough or type(e).__name__ in _FINAL_NAMES or status in (400, 405, 410) or getattr(e, "errno", None) in _FINAL_NUMBERS:
                raise OSError(f"{public(what)}: attempt {attempt + 1} failed with {type(e).__name__}: {e}") from e
            time.sleep(PAUSE_S * 2**attempt)
    raise AssertionError


def _code(error: BaseException) -> str | None:
    """What S3 calls an error that s3fs has made an OSError of."""
    answer = getattr(error.__cause__, "response", None)
    return answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None


def together(job: Callable[[_I], _T], items: Iterable[_I]) -> Iterator[_T]:
    """The results of a job of the network for each item, in order, some of them done at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(job, items)


def exists(path: Any) -> bool:
    """Whether there is a file; OSError where nobody can say."""
    if not is_remote(path):
        return bool(path.is_file())
    try:
        persist(lambda: path.fs.cat_file(path.path, start=0, end=1), path)
    except (FileNotFoundError, IsADirectoryError):
        return False
    return True


def read_bytes(path: Any) -> bytes:
    """A whole file, in one request; FileNotFoundError where there is none."""
    if isinstance(path, Path):
        return path.read_bytes()
    alone = {"max_concurrency": 1} if is_s3(path) else {}  # or s3fs asks for the size first
    return persist(lambda: path.fs.cat_file(path.path, **alone), path)


def read_ranges(path: Any, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Parts of a file, [start, stop) each, in few requests at once.

    Raises
    ------
    OSError : the file is shorter than asked, or cannot be reached
    """
    parts = _parts(ranges)
    got = dict(zip(parts, _fetch(path, parts), strict=True))
    for (start, stop), data in got.items():
        if len(data) != stop - start:
            why = "the server ignores byte ranges: use one that knows them, or copy the files here" if len(data) > stop - start else "it is cut short"
            raise OSError(f"{path}: {stop - start} bytes asked for, {len(data)} came; {why}")
    out = []
    for start, stop in ranges:
        own = [(max(a, start), min(b, stop), a, got[a, b]) for a, b in parts if a < stop and b > start]
        out.append(b"".join(data[lo - a : hi - a] for lo, hi, a, data in own))
    return out


def _parts(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What to ask for: the ranges in order, near ones joined, long ones split."""
    joined: list[list[int]] = []
    for start, stop in sorted(r for r in ranges if r[1] > r[0]):
        if joined and start <= joined[-1][1] + MAX_HOLE:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    return [(a, min(a + MAX_PART, stop)) for start, stop in joined for a in range(start, stop, MAX_PART)]


def _fetch(path: Any, parts: Sequence[tuple[int, int]]) -> list[bytes]:
    if isinstance(path, Path):
        with open(path, "rb") as f:
            return [_at(f, start, stop) for start, stop in parts]
    got: dict[tuple[int, int], bytes] = {}

    def rest() -> None:
        missing = [p for p in parts if p not in got]
        starts, stops = [a for a, _ in missing], [b for _, b in missing]
        answers = path.fs.cat_ranges([path.path] * len(missing), starts, stops, on_error="return") if missing else []
        got.update({p: a for p, a in zip(missing, answers, strict=True) if isinstance(a, bytes)})
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    persist(rest, path)
    return [got[p] for p in parts]


def _at(file: Any, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(stop - start)
