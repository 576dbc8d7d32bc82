"""Where the bytes of a file of an archive are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """Where a file's bytes are asked for.

    url : stays the same; where it redirects to (signed, soon stale) is never kept
    headers : sent to this server only, never on to where it redirects
    ranges : whether this server is known to answer byte ranges; where not, a file is had whole or not at all
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    ranges: bool = True
