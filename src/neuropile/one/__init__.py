"""ONE without its server: a cache of ALF sessions on this disk searched, listed and loaded, and the Brain Wide Map's inclusion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuropile.one.errors import ALFError, ALFMultipleCollectionsFound, ALFMultipleObjectsFound, ALFMultipleRevisionsFound, ALFObjectNotFound

if TYPE_CHECKING:
    from neuropile.one.local import Cache

__all__ = [
    "ALFError",
    "ALFMultipleCollectionsFound",
    "ALFMultipleObjectsFound",
    "ALFMultipleRevisionsFound",
    "ALFObjectNotFound",
    "open_cache",
]


def open_cache(root: str | Path) -> Cache:
    """A folder of ALF sessions, `root/lab/Subjects/subject/date/number/...` or without the first two, as ONE keeps it.

    Its tables (`sessions.pqt`, `datasets.pqt`, `insertions.pqt`) are read where they lie in it; where there are none, the
    folder is walked. Nothing is written, so it may be read-only; `Cache.save` writes tables where it is told to.

    Raises
    ------
    ALFError : no such folder, a Parquet file among the tables that is none of them, or a table that is damaged
    """
    from neuropile.one.local import Cache

    return Cache(Path(root))
