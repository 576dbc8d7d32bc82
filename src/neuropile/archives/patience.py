"""When to ask an archive again, and when to stop: what may pass, how long servers ask to wait, pauses that grow."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from neuropile.errors import ArchiveError

#: How often something is asked for that brings nothing new, and the first of the pauses between, which double up to the last.
TRIES = 6
PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
#: A server may ask to wait so long; beyond, a person is told when to come back (hourly and daily limits are no matter of sleeping).
MAX_WAIT_S = 180.0
#: What may pass (RFC 9110): a request that took too long, too many requests, a server that is out of order.
PASSING = frozenset({408, 429, 500, 502, 503, 504})
#: A number of seconds beyond this is a date, counted from 1970.
_EPOCH = 1e8
_T = TypeVar("_T")


class Passing(ArchiveError):
    """A failure that may pass: a lost connection, a busy server. `wait_s` is how long the server asks to wait, where it does."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def asked_wait(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """How many seconds a server that refused for being busy asks to wait; None where it does not say.

    Five shapes are in use: Retry-After as a number or a date, RateLimit with what is left and a time (Hugging Face),
    X-RateLimit-Reset (Zenodo) and RateLimit-Reset (Dryad) as seconds from 1970, or from now where the number is small.

    >>> asked_wait({"RateLimit": '"resolvers";r=0;t=55'})
    55.0
    """
    now = time.time() if now is None else now
    found = {k.lower(): v.strip() for k, v in headers.items()}
    after = found.get("retry-after")
    if after is not None:
        return _seconds(after, now)
    limit = re.search(r"r=(\d+)\s*;\s*t=(\d+)", found.get("ratelimit", ""))
    if limit and int(limit[1]) == 0:
        return float(limit[2])
    reset = found.get("x-ratelimit-reset") or found.get("ratelimit-reset")
    return _seconds(reset, now) if reset else None


def _seconds(text: str, now: float) -> float | None:
    if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text):
        value = float(text)
        return max(value - now, 0.0) if value > _EPOCH else value
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now, 0.0)


class Patience:
    """How many tries are left for one thing; whatever brings something new makes it fresh."""

    def __init__(self) -> None:
        self._failed = 0

    def renew(self) -> None:
        """Something new came."""
        self._failed = 0

    def wait(self, error: Passing) -> None:
        """Pause before the next try.

        Raises
        ------
        ArchiveError : it was the last try, or the server asks for more time than anybody should sleep
        """
        self._failed += 1
        if error.wait_s is not None and error.wait_s > MAX_WAIT_S:
            raise ArchiveError(f"{error}; {come_back(error.wait_s)}") from error
        if self._failed >= TRIES:
            raise ArchiveError(f"{error}; tried {self._failed} times: run again later, what is here stays") from error
        pause = min(PAUSE_S * 2 ** (self._failed - 1), MAX_PAUSE_S) * random.uniform(0.5, 1.5)  # noqa: S311 (no secret)
        time.sleep(pause if error.wait_s is None else error.wait_s + pause)


def come_back(wait_s: float) -> str:
    """When to run again, in words."""
    when = datetime.fromtimestamp(time.time() + wait_s, UTC)
    day = "" if wait_s < 12 * 3600 else f" on {when:%Y-%m-%d}"
    return f"its limit lasts another {wait_s / 60:.0f} min: run again after {when:%H:%M} UTC{day}, what is here stays"


def persist(job: Callable[[], _T]) -> _T:
    """Do a job, again where it fails for reasons that may pass."""
    patience = Patience()
    while True:
        try:
            return job()
        except Passing as e:
            patience.wait(e)
