"""Files by their web addresses, of any server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from neuropile.archives import Archive, Listing
from neuropile.archives.answers import name_of
from neuropile.archives.places import Place
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError
from neuropile.remote import public
from neuropile.types import Asset

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
            version = about.etag or about.modified
            assets.append(Asset(path, about.size, None, public(url), version))
        assets.sort(key=lambda a: a.path)
        return Listing(self.name, self.id, name_of(assets), False, tuple(assets), url=public(self.urls[0]))

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """The address."""
        url = self._paths().get(asset.path)
        if url is None:
            raise ArchiveError(f"{asset.path} is none of {self.id}; list it again")
        return [Place(url)]

    def _paths(self) -> dict[str, str]:
        """Each address by its last part; where two end alike, by the host and all parts."""
        last = {u: unquote(urlsplit(u).path).rpartition("/")[2] for u in self.urls}
        many = Counter(last.values())
        full = {u: f"{urlsplit(u).hostname}{unquote(urlsplit(u).path)}".rstrip("/") for u in self.urls}
        return {last[u] if last[u] and many[last[u]] == 1 else full[u]: u for u in self.urls}


def files(*urls: str) -> Files:
    """Files by their addresses.

    Raises
    ------
    ArchiveError : one is no http(s) address
    """
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ArchiveError(f"{public(url)!r} is no address of a file on the web")
    if not urls:
        raise ArchiveError("no address of a file is given")
    return Files(tuple(dict.fromkeys(urls)))
