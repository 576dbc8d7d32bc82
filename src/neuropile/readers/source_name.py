"""What a source is called: a file's own name, without the query of a web address (which may be a signature) and fit to be stored as text."""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from neuropile import remote


def plain(path: Any) -> PurePath:
    """A path of which only the names matter; of a web address, in which alone a question mark begins a query, without that.

    >>> plain(remote.as_path("https://host/x.nwb?signature=a/b.c")).name
    'x.nwb'
    """
    if remote.can_list(path):
        return path if isinstance(path, PurePath) else PurePosixPath(path.path)
    return PurePosixPath(urlsplit(str(path)).path)


def has_query(path: Any) -> bool:
    """Whether a path is a web address with a query: one file then, below which nothing lies."""
    return not remote.can_list(path) and "?" in str(path)


def as_text(name: str) -> str:
    """A name as text that can be stored: what of it is no UTF-8 becomes question marks."""
    return name.encode("utf-8", "replace").decode()
