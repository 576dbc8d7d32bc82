"""What goes wrong with ALF sessions, by the names that users of ONE know."""

from __future__ import annotations

from collections.abc import Iterable

from neuropile.errors import NeuropileError


class ALFError(NeuropileError):
    """A cache cannot be opened, or does not hold what was asked."""


class ALFObjectNotFound(ALFError):
    """No session, object or dataset fits."""


class ALFMultipleObjectsFound(ALFError):
    """Several sessions, objects or datasets fit where one is meant."""


class ALFMultipleCollectionsFound(ALFError):
    """What fits lies in several collections."""


class ALFMultipleRevisionsFound(ALFError):
    """What fits has several revisions, and nothing says which is meant."""


def shown(names: Iterable[object], most: int = 6) -> str:
    """Names for a message, sorted, the first few.

    >>> shown({"b", ""})
    "'', 'b'"
    """
    found = sorted(map(str, names))
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(map(repr, found[:most])) + more
