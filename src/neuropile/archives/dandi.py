"""DANDI: dandisets at a published version or as the draft that changes, their files and their Zarr folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from neuropile.archives import Archive, Listing, check_path, digests
from neuropile.archives.answers import MOST_FILES, MOST_PAGES, address, digest, get, need, objects, quoted, same_server, size, token, told, words
from neuropile.archives.credits import citation, spdx
from neuropile.archives.places import Place
from neuropile.archives.web import Refused, Web
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

HINT = "embargoed dandisets need a key: set DANDI_API_KEY to the one dandiarchive.org shows under your initials"
_API = "https://api.dandiarchive.org/api"
#: Where anyone reads open dandisets: each file under an address that never means another one.
_BUCKET = "https://dandiarchive.s3.amazonaws.com"
#: Rows of a page; those of files bring the whole metadata of each.
_FILES, _CHUNKS = 200, 1000


@dataclass(frozen=True)
class Dandiset(Archive):
    """A dandiset. Without a version the newest published one is meant, or the draft where none is.

    base : the API of DANDI, or of another archive that runs its software
    """

    id: str
    version: str | None = None
    base: str = _API
    name: str = field(default="dandi", init=False, repr=False)
    hint = HINT

    def list(self, web: Web) -> Listing:
        """The files of the version; each is pinned by its own id and digest, whatever becomes of a draft."""
        version = self.version or self._newest(web)
        meta = self._ask(web, f"/dandisets/{self.id}/versions/{version}/", f"has no version {version}")
        rows = self._rows(f"{self._at}/dandisets/{self.id}/versions/{version}/assets/", {"metadata": "true", "order": "path", "page_size": _FILES}, web)
        names, title = meta.get("license"), words(meta.get("name"))
        return Listing(
            archive=self.name,
            id=self.id,
            version=version,
            pinned=version != "draft",
            assets=tuple(self._asset(row) for row in rows),
            title=title,
            license=spdx(str(names[0]).removeprefix("spdx:")) if isinstance(names, list) and len(names) == 1 else None,
            citation=words(meta.get("citation")) or citation([], None, title, "DANDI Archive", words(meta.get("doi"))),
            url=f"https://dandiarchive.org/dandiset/{self.id}/{version}",
        )

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """The public bucket, which has no limits and answers byte ranges; then the API, which knows keys."""
        asked = Place(f"{self._at}/assets/{quoted(str(asset.version))}/download/", self._key)
        if self._is_chunk(asset):
            zarr, _, path = str(asset.version).removeprefix("zarr:").partition("/")
            asked = Place(f"{self._at}/zarr/{quoted(zarr)}/files/?prefix={quote(path, safe='')}&download=true", self._key)
        if asset.url is None or same_server(asset.url, self._at) or (self._at != _API and asset.url.startswith(_BUCKET)):
            return [asked]
        return [Place(asset.url), asked]

    def members(self, asset: Asset, web: Web) -> Sequence[Asset] | None:
        """The files of a Zarr folder.

        Raises
        ------
        SourceChanged : they are not those of the asset's checksum
        """
        match = re.fullmatch(r"dandi-zarr-checksum:(.+)|zarr:([0-9a-f-]+)", asset.digest or "", re.IGNORECASE)
        if match is None or self._is_chunk(asset):
            return None
        return self._members(asset, match[1], web)

    def _members(self, asset: Asset, checksum: str | None, web: Web) -> Sequence[Asset]:
        zarr = self._zarr_of(asset, web)
        found = {}
        for row in self._rows(f"{self._at}/zarr/{zarr}/files/", {"limit": _CHUNKS}, web):
            path, n = check_path(need(row, "Key", str, "DANDI"), asset.path), size(row.get("Size"))
            md5 = (digest("md5", str(row.get("ETag")).strip('"')) or ("md5", ""))[1]
            if any("\ud800" <= c <= "\udfff" for c in path):
                raise ArchiveError(f"dandi:{self.id}: {asset.path} holds a file {path!r}, whose name is no text")
            url = f"{asset.url.rstrip('/')}/{quoted(path)}" if asset.url else None
            found[path] = Asset(path, n, None, url, f"zarr:{zarr}/{path}", f"md5:{md5}" if md5 else None)
        if checksum is not None:
            now = digests.zarr_checksum([(m.path, (m.digest or "").removeprefix("md5:"), m.bytes or 0) for m in found.values()])
            if now != checksum:
                raise SourceChanged(f"dandi:{self.id}: {asset.path} is another folder now ({now}, {checksum} before); list it again to take the new one")
        return [found[path] for path in sorted(found)]

    def _zarr_of(self, asset: Asset, web: Web) -> str:
        """The id of an asset's Zarr folder: the last part of its address in the bucket, else what the API says."""
        match = re.search(r"/zarr/([0-9a-fA-F-]{36})/?$", asset.url or "")
        return match[1] if match else _plain(need(self._ask(web, f"/assets/{asset.version}/info/", f"has no {asset.path}"), "zarr", str, "DANDI"))

    def facts(self, web: Web) -> Mapping[str, Any]:
        """What the dandiset says of its subjects, methods and keywords."""
        version = self.version or self._newest(web)
        meta = self._ask(web, f"/dandisets/{self.id}/versions/{version}/", f"has no version {version}")
        summary = meta.get("assetsSummary")
        return told(
            description=get(meta, "description"),
            keywords=get(meta, "keywords"),
            doi=get(meta, "doi"),
            species=[s.get("name") for s in objects(get(summary, "species"))],
            subjects=get(summary, "numberOfSubjects"),
            files=get(summary, "numberOfFiles"),
            measured=get(summary, "variableMeasured"),
            related=[r.get("url") or r.get("identifier") for r in objects(get(meta, "relatedResource"))],
        )

    @property
    def _at(self) -> str:
        return address("DANDI", self.base)

    @property
    def _key(self) -> dict[str, str]:
        return token("DANDI_API_KEY", "token")

    def _newest(self, web: Web) -> str:
        says = self._ask(web, f"/dandisets/{self.id}/", "is not there")
        return _plain(words(get(says, "most_recent_published_version", "version")) or "draft")

    def _ask(self, web: Web, path: str, missing: str) -> Mapping[str, Any]:
        try:
            answer = web.json(f"{self._at}{path}", headers=self._key, hint=HINT)
        except Refused as e:
            if e.status in (404, 410):
                raise Refused(f"dandi:{self.id} {missing} ({e})", e.status) from None
            raise
        if not isinstance(answer, Mapping):
            raise ArchiveError(f"dandi:{self.id}: {self._at}{path} answered in a way that is not known here")
        return answer

    def _rows(self, url: str, params: Mapping[str, Any], web: Web) -> Iterator[Mapping[str, Any]]:
        """The rows of all pages. The number of all is told on the first page only, and in Zarr folders never: `next` counts."""
        after: str | None = url
        seen: set[str] = set()
        n = 0
        while after:
            if after in seen or n > MOST_FILES or len(seen) > MOST_PAGES:
                raise ArchiveError(f"dandi:{self.id}: its list of files does not end ({n} so far); use --from DIR")
            seen.add(after)
            try:
                page = web.json(after, params if after == url else {}, self._key, hint=HINT)
            except Refused as e:
                raise Refused(f"dandi:{self.id}: its files cannot be listed ({e})", e.status) from None
            rows = objects(get(page, "results"))
            n += len(rows)
            yield from rows
            more = words(get(page, "next"))  # what follows the ? is what counts: a server behind another may not know its address
            after = f"{url}?{more.partition('?')[2]}" if more else None

    def _asset(self, row: Mapping[str, Any]) -> Asset:
        path, asset_id = need(row, "path", str, "DANDI"), _plain(need(row, "asset_id", str, "DANDI"))
        zarr = _plain(str(row["zarr"])) if row.get("zarr") else None
        said = get(row, "metadata", "digest")
        digest_of = {str(k).removeprefix("dandi:"): v for k, v in said.items() if isinstance(v, str)} if isinstance(said, Mapping) else {}
        name = "dandi-zarr-checksum" if zarr else "dandi-etag"
        fallback = f"{self._at}/zarr/{zarr}/" if zarr else f"{self._at}/assets/{asset_id}/download/"
        return Asset(
            path=path,
            bytes=size(row.get("size")),
            sha256=(digest("sha256", digest_of.get("sha2-256")) or (None, None))[1],
            url=_in_bucket(get(row, "metadata", "contentUrl")) or fallback,
            version=asset_id,
            digest=f"{name}:{digest_of[name]}" if name in digest_of else f"zarr:{zarr}" if zarr else None,
        )

    @staticmethod
    def _is_chunk(asset: Asset) -> bool:
        return str(asset.version).startswith("zarr:")


def _plain(name: str) -> str:
    """An id or a version, which becomes a part of addresses."""
    if not re.fullmatch(r"[0-9A-Za-z.-]{1,64}", name):
        raise ArchiveError(f"DANDI answered with {name!r} where an id or a version should be; fetch the files by hand and build with --from DIR")
    return name


def _in_bucket(urls: Any) -> str | None:
    """Of the addresses of a file, that of its bytes in a bucket; the other asks the API."""
    known = [u for u in urls if isinstance(u, str)] if isinstance(urls, list) else []
    return next((u for u in known if re.fullmatch(r"https?://[0-9A-Za-z.:-]+/[!-~]+", u) and "/download" not in u), None)


def dandiset(id: str, version: str | None = None) -> Dandiset:
    """A dandiset by its six digits.

    Raises
    ------
    ArchiveError : neither such a number nor such a version
    """
    if not re.fullmatch(r"\d{1,6}", id) or not re.fullmatch(r"draft|\d+\.\d{6}\.\d{4}", version or "draft"):
        raise ArchiveError(f"a dandiset is six digits, a version 'draft' or like 0.240329.1926; not {id!r}, {version!r}")
    return Dandiset(id.zfill(6), version)
