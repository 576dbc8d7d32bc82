"""The files of one commit as the API of GIN tells them, folder by folder: it needs a token, where git needs none."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuropile.archives.answers import get, need, objects, quoted, size, unknown
from neuropile.archives.git_tree import Entry
from neuropile.errors import ArchiveError

if TYPE_CHECKING:
    from neuropile.archives.web import Web

#: No repository is known to have more folders; each is a request.
MOST_FOLDERS = 20_000


@dataclass(frozen=True)
class Tree:
    """A commit of the repository whose API is at `at`; the same as git_tree.Tree."""

    at: str
    commit: str
    web: Web
    headers: Mapping[str, str]

    def files(self, limit: int) -> Iterator[tuple[Entry, bytes]]:
        """Every file and link, with its content if that is no longer than `limit`, else with none."""
        folders = [""]
        for n, folder in enumerate(folders):  # which grows meanwhile
            if n >= MOST_FOLDERS:
                raise ArchiveError(f"{self.at} has more than {MOST_FOLDERS} folders; install git, which lists them at once")
            for row in objects(self.web.json(f"{self.at}/contents{quoted(folder)}", {"ref": self.commit}, self.headers)):
                kind, path = get(row, "type"), f"{folder}/{need(row, 'name', str, self.at)}"
                if kind == "dir":
                    folders.append(path)
                elif kind in ("file", "symlink"):
                    n_bytes = size(get(row, "size")) or 0
                    yield Entry(path[1:], need(row, "sha", str, self.at), n_bytes, kind == "symlink"), _content(row) if n_bytes <= limit else b""


def tree(at: str, want: str | None, web: Web, headers: Mapping[str, str], hint: str) -> Tree:
    """The tree of a commit by its name of 40 digits, or of a branch; None means the main one.

    Raises
    ------
    ArchiveError : there is none of that name, or access is refused
    """
    if want is None:
        want = need(web.json(at, headers=headers, hint=hint), "default_branch", str, at)
    if not re.fullmatch(r"[0-9a-f]{40}", want):
        want = need(get(web.json(f"{at}/branches/{quoted(want)}", headers=headers, hint=hint), "commit"), "id", str, at)
    if not re.fullmatch(r"[0-9a-f]{40}", want):
        raise unknown(at)
    return Tree(at, want, web, headers)


def _content(row: Mapping[str, Any]) -> bytes:
    if get(row, "type") == "symlink":
        return str(get(row, "target") or "").encode("utf-8", "replace")
    try:
        return base64.b64decode(get(row, "content") or "")
    except (ValueError, TypeError):  # also those of base64
        return b""
