"""How many files a server gives an hour, a day, a month: counted on disk, by all of a user's processes together."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from neuropile.archives.patience import MAX_WAIT_S, come_back
from neuropile.errors import ArchiveError
from neuropile.paths import locked, replacing, safe_name

#: (so many, in so many seconds)
Limits = Sequence[tuple[int, float]]
_log = logging.getLogger(__name__)


def free_at(spent: Sequence[float], limits: Limits, now: float) -> float:
    """When one more may be asked for, by the times of those before it, in order; `now` if at once.

    >>> free_at([0.0, 10.0, 20.0], [(3, 60.0), (10, 600.0)], now=30.0)
    60.0
    """
    at = now
    for most, seconds in limits:
        within = [t for t in spent if t > now - seconds]
        if len(within) >= most:
            at = max(at, within[-most] + seconds)
    return at


def spend(server: str, limits: Limits, folder: Path | None = None) -> None:
    """Count one more file of a server; waits where that is a matter of minutes.

    folder : where the counts are kept, by default in the user's cache: a server counts addresses, whatever store is built

    Raises
    ------
    ArchiveError : the server would refuse, and go on refusing for long; says when to come back
    """
    path = (folder or _cache()) / "budgets" / safe_name(server)
    while True:
        now = time.time()
        with locked(path.with_name(f"{path.name}.lock")):
            spent = [t for t in _read(path, now) if t > now - max(s for _, s in limits)]
            at = free_at(spent, limits, now)
            if at <= now:
                with replacing(path) as new:
                    new.write_text("".join(f"{t:.3f}\n" for t in [*spent, now]))
                return
        if at - now > MAX_WAIT_S:
            told = ", ".join(f"{most} file{'s' * (most != 1)} in {_span(s)}" for most, s in limits)
            raise ArchiveError(f"{server} gives one address {told}, and that is used up; {come_back(at - now)}")
        _log.info("%s gives no more files for %.0f s; waiting", server, at - now)
        time.sleep(at - now + 0.01)


def _read(path: Path, now: float) -> list[float]:
    """The times in a file; those to come (the clock was set back) count as now, what is no time is left out."""
    found: list[float] = []
    with suppress(FileNotFoundError):
        for line in path.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                found.append(min(float(line), now))
    return sorted(found)


def _span(seconds: float) -> str:
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            n = seconds / length
            return f"{n:g} {name}" if n != 1 else f"a{'n' if name == 'hours' else ''} {name[:-1]}"
    return f"{seconds:g} s"


def _cache() -> Path:
    own = os.environ.get("NEUROPILE_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neuropile"
