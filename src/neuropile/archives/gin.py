"""G-Node GIN: a repository of git at one commit, its large files held by git-annex."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neuropile.archives import Archive, Listing, annex, gin_api, git_tree
from neuropile.archives.answers import address, get, quoted, secret, token, told, words
from neuropile.archives.credits import spdx
from neuropile.archives.places import Place
from neuropile.errors import ArchiveError
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

BASE = "https://gin.g-node.org"
HINT = "if the repository is private, make a token at https://gin.g-node.org/user/settings/applications and set GIN_TOKEN"
_LICENCE = re.compile(r"licen[cs]e(\.\w+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Repository(Archive):
    """A repository, `owner/name`; `commit` pins it, and may be a branch or a tag."""

    id: str
    commit: str | None = None
    base: str = BASE
    name: str = field(default="gin", init=False, repr=False)
    hint = HINT

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.id) or {".", ".."} & set(self.id.split("/")):
            raise ArchiveError(f"a GIN repository is called owner/name, not {self.id!r}")
        if self.commit is not None and not re.fullmatch(r"[\w][\w./-]*", self.commit):
            raise ArchiveError(f"gin:{self.id}: {self.commit!r} is no commit, branch or tag")

    def list(self, web: Web) -> Listing:
        """See Archive. A link is a file only where it leads to git-annex."""
        assets, licence = [], None
        with self._tree(web) as tree:
            for entry, content in tree.files(annex.MAX_POINTER):
                key = annex.pointed(content)
                if key is not None or not entry.is_link:
                    assets.append(self._asset(entry, key, tree.commit))
                if _LICENCE.fullmatch(entry.path) and not entry.is_link:
                    licence = _licence(content.decode("utf-8", "replace"))
        return Listing("gin", self.id, tree.commit, True, tuple(assets), license=licence, url=f"{self.base}/{self.id}")

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """See Archive. GIN sends files whole; what git-annex holds has an address of its own, too."""
        here, raw = address("GIN", self.base), asset.url or ""
        if not raw.startswith(f"{self.base}/"):
            raise ArchiveError(f"gin:{self.id}: nothing says where {asset.path} is; list it again")
        raw = here + raw.removeprefix(self.base)
        kept = annex.places(asset.version) if asset.version and annex.parsed(asset.version) else []
        found = [Place(raw, ranges=False), *(Place(f"{here}/{self.id}/annex/objects/{quoted(p)}", ranges=False) for p in kept)]
        if shown := token("GIN_TOKEN", "token"):
            found.insert(0, Place(raw.replace(f"{here}/{self.id}/", f"{here}/api/v1/repos/{self.id}/", 1), shown, ranges=False))
        return found

    def facts(self, web: Web) -> Mapping[str, Any]:
        """See Archive."""
        said = web.json(self._api(), headers=token("GIN_TOKEN", "token"), hint=HINT)
        return told(title=words(get(said, "description")) or self.id, url=f"{self.base}/{self.id}", website=get(said, "website"))

    def _asset(self, entry: git_tree.Entry, key: annex.Key | None, commit: str) -> Asset:
        """A file; what git-annex holds has the size and digest that its key tells, any other the ones git has."""
        url = f"{self.base}/{self.id}/raw/{commit}/{quoted(entry.path)}"
        if key is None:
            return Asset(entry.path, entry.bytes, None, url, entry.oid, f"git-sha1:{entry.oid}")
        sha256 = key.hex if key.algorithm == "sha256" else None
        other = f"{key.algorithm}:{key.hex}" if key.hex and not sha256 else None
        return Asset(entry.path, key.bytes, sha256, url, key.text, other)

    @contextmanager
    def _tree(self, web: Web) -> Iterator[git_tree.Tree | gin_api.Tree]:
        """The commit. By git, which needs no account; where there is no git, by the API of GIN, which needs a token."""
        shown, word = token("GIN_TOKEN", "token"), secret("GIN_TOKEN")
        if not git_tree.available():
            if not word:
                raise ArchiveError(f"gin:{self.id}: listing its files needs git, or a token: install git, or set GIN_TOKEN to a token of {self.base}")
            yield gin_api.tree(self._api(), self.commit, web, shown, HINT)
            return
        # GIN takes a token for the name of a user without password
        login = {"Authorization": f"Basic {base64.b64encode(f'{word}:'.encode()).decode()}"} if word else {}
        try:
            with git_tree.fetched(f"{address('GIN', self.base)}/{self.id}", self.commit or "HEAD", login) as tree:
                yield tree
        except git_tree.Missing as e:
            raise ArchiveError(f"gin:{self.id}: no such public repository, or GIN refuses this computer ({e}); {HINT}") from None

    def _api(self) -> str:
        return f"{address('GIN', self.base)}/api/v1/repos/{self.id}"


def _licence(text: str) -> str | None:
    """The licence whose text begins so: its SPDX name, or its first line."""
    first = next((line.strip(" #=*\t") for line in text.splitlines() if line.strip(" #=*-\t")), None)
    return spdx(first)


def repository(id: str, commit: str | None = None) -> Repository:
    """A repository of G-Node GIN, `owner/name`, at a commit; None takes the newest there is when it is listed."""
    return Repository(id, commit)
