"""Doing one thing over a network until it is done: what may pass is told and tried again, what will not is an error at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from neuropile.errors import NeuropileError, PileError

#: How often one thing is tried, and the first of the pauses between, which double; a server that names another pause is obeyed.
TRIES = 6
PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
#: Answers after which asking again helps: timeouts, conflicts of two writers, too many requests, and what servers do to themselves.
_PASSING = (408, 409, 412, 423, 425, 429, 500, 502, 503, 504)
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError, TypeError, ImportError, NeuropileError)
_FINAL_NAMES = ("NoCredentialsError", "PartialCredentialsError", "LocalTokenNotFoundError", "OfflineModeIsEnabled")
_log = logging.getLogger(__name__)
T = TypeVar("T")


def until_done(job: Callable[[], T], what: str, explain: Callable[[int | None, BaseException], str | None]) -> T:
    """Do a job of the network, again and again where it fails for reasons that may pass; each failure is logged as a warning.

    what : named in messages
    explain : (HTTP status, error) -> what is wrong and the way out, where that is known

    Raises
    ------
    PileError : what no repetition mends, or the last failure
    """
    for attempt in range(TRIES):
        try:
            return job()
        except Exception as e:  # each library raises its own kinds
            status = status_of(e)
            passing = status in _PASSING if status is not None else not (isinstance(e, _FINAL) or type(e).__name__ in _FINAL_NAMES)
            if not passing or attempt == TRIES - 1:
                said = explain(status, e) or f"{type(e).__name__}: {_first_line(e)}"
                again = f" ({attempt + 1} times)" if attempt else ""
                raise PileError(f"{what} failed{again}: {said}; run it again: what is done is kept") from e
            pause = _pause(e, attempt)
            _log.warning("%s failed (%s); trying again in %g s", what, NeuropileError(_first_line(e)), pause)
            time.sleep(pause)
    raise AssertionError


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error, its own or that of what caused it."""
    seen: BaseException | None = error
    while seen is not None:
        for holder in (getattr(seen, "response", None), seen):
            if isinstance(holder, dict):  # botocore's
                holder = type("Answer", (), {"status": holder.get("ResponseMetadata", {}).get("HTTPStatusCode")})
            status = getattr(holder, "status_code", None) or getattr(holder, "status", None)
            if isinstance(status, int):
                return status
        seen = seen.__cause__
    return None


def _pause(error: BaseException, attempt: int) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    asked = headers.get("Retry-After", "") if hasattr(headers, "get") else ""
    return min(float(asked), LONGEST_PAUSE_S) if str(asked).isdigit() else PAUSE_S * 2**attempt


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
