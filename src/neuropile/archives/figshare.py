"""Figshare: articles with numbered versions, and files that are known by a number of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from neuropile.archives import Archive, Listing, Place
from neuropile.archives.answers import address, asset, digest, get, is_safe, need, objects, pages, size, status_of, token, told, unknown, words
from neuropile.archives.credits import bare_doi, citation, spdx
from neuropile.errors import ArchiveError
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

PAGE_SIZE = 1000  # the most that is given at once
HINT = "set FIGSHARE_TOKEN to a token of your account (https://figshare.com/account/applications)"
_LINK = "link:"


@dataclass(frozen=True)
class Article(Archive):
    """An article; without a version, the newest. `files` is the server that has the files."""

    id: str
    version: str | None = None
    base: str = "https://api.figshare.com/v2"
    files: str = "https://ndownloader.figshare.com"
    name: str = field(default="figshare", init=False, repr=False)
    hint: ClassVar[str] = HINT

    def list(self, web: Web) -> Listing:
        """The files of a version. Files that are only links are listed, with the link; they are not fetched from here."""
        found, version = self._article(web)
        rows = self._rows(found, version, web)
        if found.get("download_disabled"):
            raise ArchiveError(f"{self._told}: its owners do not let it be downloaded; ask them")
        if not rows and found.get("is_embargoed"):
            raise ArchiveError(f"{self._told}: its files are under embargo until {words(found.get('embargo_date')) or 'a day that is not told'}")
        title, people = words(found.get("title")), [words(r.get("full_name")) for r in objects(found.get("authors"))]
        return Listing(
            archive=self.name,
            id=self.id,
            version=version,
            pinned=True,
            assets=tuple(self._assets(rows)),
            title=title,
            license=_licence(found),
            citation=words(found.get("citation")) or citation(people, found.get("published_date"), title, "figshare", found.get("doi")),
            url=words(found.get("url_public_html") or found.get("figshare_url")),
        )

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """The API, then the server of files. The addresses on the site itself ask for a browser."""
        version = asset.version or ""
        if version.startswith(_LINK):
            raise ArchiveError(f"{self._told}: {asset.path} is not kept there, it is a link to {asset.url}; fetch it by hand and build with --from DIR")
        if not version.isdigit():
            raise ArchiveError(f"{self._told}: nothing says which file {asset.path} is; list it again")
        files = address("FIGSHARE_FILES", self.files)
        return [Place(f"{self._at}/file/download/{version}", self._key), Place(f"{files}/files/{version}", self._key)]

    def facts(self, web: Web) -> Mapping[str, Any]:
        """What the article says beyond its files."""
        found, _ = self._article(web)
        return told(
            description=words(found.get("description")),
            keywords=found.get("tags") or found.get("keywords"),
            published=found.get("published_date"),
            doi=bare_doi(found.get("doi")),
            article=bare_doi(found.get("resource_doi")),
            related=found.get("references"),
        )

    @property
    def _at(self) -> str:
        return address("FIGSHARE", self.base)

    @property
    def _key(self) -> dict[str, str]:
        return token("FIGSHARE_TOKEN", "token")

    @property
    def _told(self) -> str:
        return f"figshare:{self.id}"

    def _ask(self, path: str, web: Web, params: Mapping[str, Any] = {}) -> Any:
        return web.json(f"{self._at}/articles/{self.id}{path}", params, self._key, hint=HINT)

    def _article(self, web: Web) -> tuple[Mapping[str, Any], str]:
        """The article as it is in one version, and which that is."""
        newest = self._ask("", web)
        if not isinstance(newest, Mapping):
            raise unknown(self._told)
        last = newest.get("version")
        if not isinstance(last, int):
            last = max((v for r in objects(self._ask("/versions", web)) if isinstance(v := r.get("version"), int)), default=1)
        if self.version in (None, str(last)):
            return newest, str(last)
        try:
            return self._ask(f"/versions/{self.version}", web), str(self.version)
        except ArchiveError as e:
            if status_of(e) != 404:
                raise
            raise ArchiveError(f"{self._told} has no version {self.version}; its newest is {last}") from None

    def _rows(self, found: Mapping[str, Any], version: str, web: Web) -> Sequence[Mapping[str, Any]]:
        """A row a file. Servers that page the files of the newest version only give but the first ones of an older one, with the article."""
        there = size(found.get("size")) or 0
        try:
            return self._paged(f"/versions/{version}/files", there, web)
        except ArchiveError as e:
            if status_of(e) != 404:
                raise
        if str(get(self._ask("", web), "version")) == version:
            return self._paged("/files", there, web)
        rows = objects(found.get("files"))
        if _bytes(rows) < there:
            raise ArchiveError(f"{self._told}: of version {version} only {len(rows)} files are listed, {_bytes(rows)} of {there} bytes; take its newest one")
        return rows

    def _paged(self, path: str, there: int, web: Web) -> Sequence[Mapping[str, Any]]:
        """The rows of all pages. How many there are is not told: the last page is short, and with it the bytes of the article are there."""
        came = 0

        def ask(page: int) -> tuple[Sequence[Any], int | None]:
            nonlocal came
            rows = self._ask(path, web, {"page": page, "page_size": PAGE_SIZE})
            if not isinstance(rows, list):
                raise unknown(self._told)
            came += _bytes(rows)
            return rows, page + 1 if rows and (len(rows) >= PAGE_SIZE or came < there) else None

        return objects([*pages(1, ask, self._told)])

    def _assets(self, rows: Sequence[Mapping[str, Any]]) -> Iterable[Asset]:
        often = Counter(need(r, "name", str, self._told) for r in rows)
        for row in rows:
            name, number = row["name"], str(need(row, "id", int, self._told))
            if row.get("is_link_only"):
                path = name if is_safe(name) and often[name] == 1 else f"link-{number}"  # many are called by their address
                yield Asset(path, None, None, url=words(row.get("download_url")), version=f"{_LINK}{number}")
                continue
            path = name if often[name] == 1 else f"{number}/{name}"  # an article may have two files of a name
            digests = [digest("md5", row.get("computed_md5")) or digest("md5", row.get("supplied_md5"))]
            yield asset(path, row.get("size"), digests, f"{self._at}/file/download/{number}", number)


def article(id: str, version: str | None = None) -> Article:
    """An article by its number, its DOI or its address.

    >>> article("10.6084/m9.figshare.7739750.v4").version
    '4'
    """
    match = re.search(r"figshare\.(\d+)(?:\.v(\d+))?$", id.strip()) or re.fullmatch(r"(?:https?://\S*?/)?(\d+)(?:/(\d+))?/?", id.strip())
    if match is None:
        raise ArchiveError(f"{id!r} is no article of Figshare: give its number, as in figshare:7739750")
    return Article(match[1], version or match[2])


def _bytes(rows: Sequence[Any]) -> int:
    return sum(size(get(r, "size")) or 0 for r in rows)


def _licence(found: Mapping[str, Any]) -> str | None:
    """The name of a Creative Commons licence often lacks its version, which its address has."""
    name, url = get(found, "license", "name"), get(found, "license", "url")
    return spdx(url if "creativecommons.org" in str(url) else name or url)
