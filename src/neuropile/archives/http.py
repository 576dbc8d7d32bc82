"""Files by their web addresses, of any server."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from neuropile.archives import Archive, Listing
from neuropile.archives.answers import name_of
from neuropile.archives.places import Place
from neuropile.archives.web import Web
from neuropile.archives.wire import shown
from neuropile.errors import ArchiveError
from neuropile.remote import public
from neuropile.types import Asset

_QUERY = re.compile(r"(^| )query=[0-9a-f]{16}$")
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9A-Za-z :-]+ GMT")
HINT = "give an address that anyone may read, or fetch the file by hand and name its path"


@dataclass(frozen=True)
class Files(Archive):
    """Files by their addresses. Secrets in these (user, password, query) are used and never told."""

    urls: tuple[str, ...]
    name: str = field(default="http", init=False, repr=False)
    id: str = field(default="", init=False, repr=False)
    hint = HINT

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", " ".join(public(u) for u in self.urls))

    def __repr__(self) -> str:
        return f"files({', '.join(repr(public(u)) for u in self.urls)})"

    def list(self, web: Web) -> Listing:
        """The files, as long and of the version that their servers say."""
        assets = []
        for path, url in self._paths().items():
            about = web.about(Place(url))
            assets.append(Asset(path, about.size, None, public(url), _version(about.etag or about.modified, url)))
        assets.sort(key=lambda a: a.path)
        return Listing(self.name, self.id, name_of(assets), False, tuple(assets), url=public(self.urls[0]))

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """The address."""
        url = self._paths().get(asset.path)
        if url is None:
            raise ArchiveError(f"{asset.path} is none of {self.id}; list it again")
        return [Place(url)]

    def stamp(self, asset: Asset) -> str | None:
        """The version that was listed, without what stands for the query."""
        found = re.sub(_QUERY, "", asset.version or "").strip()
        return f"{'Last-Modified' if re.fullmatch(_DATE, found) else 'ETag'} {found}" if found else None

    def _paths(self) -> dict[str, str]:
        """Each address by its last part; where two end alike, by the host and all parts; where only their queries differ, by a hash of these, too."""
        last = {u: unquote(urlsplit(u).path).rpartition("/")[2] for u in self.urls}
        many = Counter(last.values())
        full = {u: f"{urlsplit(u).hostname}{unquote(urlsplit(u).path)}".rstrip("/") for u in self.urls}
        same = Counter(full.values())
        found = {u: full[u] if same[full[u]] == 1 else f"{_told_apart(u)}/{full[u]}" for u in self.urls}
        return {last[u] if last[u] and many[last[u]] == 1 else found[u]: u for u in self.urls}


def _version(said: str | None, url: str) -> str | None:
    """What a server says of a file's version, and a hash of the query, which may be all that tells it from others and is never told itself."""
    own = f"query={_told_apart(url)}" if urlsplit(url).query else None
    return " ".join(v for v in (said, own) if v) or None


def _told_apart(url: str) -> str:
    """A hash of an address; without its user and password, which are short enough to be guessed from one."""
    parts = urlsplit(url)
    return hashlib.sha256(f"{parts.scheme}://{parts.hostname}:{parts.port}{parts.path}?{parts.query}".encode()).hexdigest()[:16]


def files(*urls: str) -> Files:
    """Files by their addresses.

    Raises
    ------
    ArchiveError : one is no http(s) address
    """
    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # brackets that do not close, a port that is no number
            good = False
        if not good:
            raise ArchiveError(f"{shown(url)!r} is no address of a file on the web: it begins with https:// or http:// and the name of a server")
    if not urls:
        raise ArchiveError("no address of a file is given")
    return Files(tuple(dict.fromkeys(urls)))
