"""OSF: projects, whose files change under their readers, and registrations, whose files do not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from neuropile.archives import Archive, Listing, Place
from neuropile.archives.answers import (
    address,
    asking,
    asset,
    digest,
    get,
    joined,
    name_of,
    need,
    objects,
    pages,
    same_server,
    status_of,
    token,
    told,
    unknown,
    words,
)
from neuropile.archives.credits import bare_doi, citation, spdx
from neuropile.archives.patience import Passing
from neuropile.errors import ArchiveError
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

PER_PAGE = 100  # the most that is given at once
#: No project is known to nest folders or components deeper.
MOST_DEEP = 64
HINT = "set OSF_TOKEN to a personal access token (https://osf.io/settings/tokens); without one, OSF answers 100 times an hour"
_ACCEPT = {"Accept": "application/vnd.api+json"}
_HOSTS = ("osf.io", "api.osf.io", "files.osf.io")


@dataclass(frozen=True)
class Node(Archive):
    """A project, a component of one, or a registration. `files` is the server that has the files."""

    id: str
    base: str = "https://api.osf.io/v2"
    files: str = "https://files.osf.io/v1"
    name: str = field(default="osf", init=False, repr=False)
    hint: ClassVar[str] = HINT

    def list(self, web: Web) -> Listing:
        """All files that OSF itself holds, of all folders; those of its components in folders called by their ids.

        OSF counts versions of files, not of projects: the version is a digest of what is listed.
        """
        kind, found = self._node(web)
        what = get(found, "attributes")
        if get(what, "withdrawn"):
            raise ArchiveError(f"{self._told} was withdrawn: {words(get(what, 'withdrawal_justification')) or 'no reason is told'}")
        assets = tuple(self._assets(f"{self._at}/{kind}/{self.id}", "", web, 0))
        return Listing(
            archive=self.name,
            id=self.id,
            version=name_of(assets),
            pinned=kind == "registrations",
            assets=assets,
            title=words(get(what, "title")),
            license=spdx(get(found, "embeds", "license", "data", "attributes", "name")),
            citation=self._citation(kind, found, web),
            url=f"https://osf.io/{self.id}/",
        )

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """The version of the file that was listed: where its link leads, then the server of files itself."""
        if asset.url is None:
            raise ArchiveError(f"{self._told}: nothing says where {asset.path} is; list it again")
        urls = [asset.url]
        if match := re.fullmatch(r"(\w+)/(\w+)@(\d+)", asset.version or "", re.ASCII):
            urls.append(f"{address('OSF_FILES', self.files)}/resources/{match[1]}/providers/osfstorage/{match[2]}?version={match[3]}")
        return [Place(u, token("OSF_TOKEN") if self._own(u) else {}) for u in urls]

    def facts(self, web: Web) -> Mapping[str, Any]:
        """What the project says of itself beyond its files."""
        _, found = self._node(web)
        what = get(found, "attributes")
        return told(
            description=words(get(what, "description")),
            keywords=get(what, "tags"),
            published=get(what, "date_registered") or get(what, "date_created"),
            changed=get(what, "date_modified"),
            article=bare_doi(get(what, "article_doi")),
        )

    @property
    def _at(self) -> str:
        return address("OSF", self.base)

    @property
    def _told(self) -> str:
        return f"osf:{self.id}"

    def _own(self, url: str) -> bool:
        """Whether a server may be shown the token."""
        parts = urlsplit(url)
        return (parts.scheme == "https" and parts.hostname in _HOSTS) or any(same_server(url, b) for b in (self._at, address("OSF_FILES", self.files)))

    def _ask(self, url: str, web: Web) -> Any:
        shown = token("OSF_TOKEN")
        try:
            return web.json(url, headers={**_ACCEPT, **shown}, hint=HINT)
        except ArchiveError as e:
            if not shown and isinstance(e.__cause__, Passing) and e.__cause__.wait_s:
                raise ArchiveError(f"{e}; or {HINT}") from e
            raise

    def _node(self, web: Web) -> tuple[str, Mapping[str, Any]]:
        """What OSF says of the node; registrations have addresses of their own, and nothing in an id tells which it is."""
        for kind in ("nodes", "registrations"):
            try:
                return kind, need(self._ask(f"{self._at}/{kind}/{self.id}/?embed=license", web), "data", dict, self._told)
            except ArchiveError as e:
                if status_of(e) != 404:
                    raise
        raise ArchiveError(f"{self._told}: OSF has no project or registration of that id")

    def _rows(self, url: str, web: Web) -> Iterator[Mapping[str, Any]]:
        def ask(at: str) -> tuple[Sequence[Any], str | None]:
            answer = self._ask(at, web)
            following = get(answer, "links", "next")
            return objects(need(answer, "data", list, at)), joined(self._at, following) if following else None

        return pages(asking(url, **{"page[size]": PER_PAGE}), ask, self._told)

    def _assets(self, node: str, below: str, web: Web, depth: int) -> Iterator[Asset]:
        """The files of a node, then those of its components."""
        yield from self._folder(f"{node}/files/osfstorage/", below, web, depth)
        for row in self._rows(f"{node}/children/", web):
            child = need(row, "id", str, self._told)
            yield from self._assets(f"{node.rpartition('/')[0]}/{child}", f"{below}{child}/", web, self._deeper(depth))

    def _folder(self, url: str, below: str, web: Web, depth: int) -> Iterator[Asset]:
        for row in self._rows(url, web):
            if get(row, "attributes", "kind") == "folder":
                href = need(get(row, "relationships", "files", "links", "related"), "href", str, self._told)
                yield from self._folder(joined(self._at, href), below, web, self._deeper(depth))
            else:
                yield self._asset(row, below)

    def _deeper(self, depth: int) -> int:
        if depth >= MOST_DEEP:
            raise ArchiveError(f"{self._told}: its folders are nested more than {MOST_DEEP} deep")
        return depth + 1

    def _asset(self, row: Mapping[str, Any], below: str) -> Asset:
        what, links = need(row, "attributes", dict, self._told), need(row, "links", dict, self._told)
        path = need(what, "materialized_path", str, self._told).removeprefix("/")
        node = below.rstrip("/").rpartition("/")[2] or self.id
        number, file = what.get("current_version"), str(what.get("path") or row.get("id")).strip("/")
        url = need(links, "download", str, self._told)
        if not re.fullmatch(r"https?://[^/\[\]]+/[!-~]*", url):
            raise unknown(f"{self._told} ({path})")
        pinned = asking(url, version=number) if isinstance(number, int) else url
        hashes = get(what, "extra", "hashes")
        return asset(below + path, what.get("size"), [digest(a, get(hashes, a)) for a in ("sha256", "md5")], pinned, f"{node}/{file}@{number}")

    def _citation(self, kind: str, found: Mapping[str, Any], web: Web) -> str | None:
        """Made of the data that OSF's own citations are made of; a project need not have them."""
        try:
            what = get(self._ask(f"{self._at}/{kind}/{self.id}/citation/", web), "data", "attributes")
        except ArchiveError as e:
            if status_of(e) is None:
                raise
            return None
        people = [", ".join(filter(None, (words(r.get("family")), words(r.get("given"))))) for r in objects(get(what, "author"))]
        date = get(found, "attributes", "date_registered") or get(found, "attributes", "date_created")
        return citation(people, date, words(get(what, "title")), "OSF", get(what, "doi") or get(what, "DOI"))


def node(id: str) -> Node:
    """A project or registration by its five letters and digits, or its address.

    >>> node("https://osf.io/82jfr/").id
    '82jfr'
    """
    match = re.fullmatch(r"(?:https?://osf\.io/)?([a-z0-9]{5,12})/?", id.strip(), re.IGNORECASE)
    if match is None:
        raise ArchiveError(f"{id!r} is no project of OSF: give the letters of its address, as in osf:82jfr")
    return Node(match[1].lower())
