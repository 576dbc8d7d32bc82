"""Zenodo: records, one a version, whose files never change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from neuropile.archives import Archive, Listing, Place
from neuropile.archives.answers import address, asset, digest, get, need, objects, quoted, status_of, token, told, unknown, words
from neuropile.archives.credits import bare_doi, citation, spdx
from neuropile.errors import ArchiveError
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

HINT = "set ZENODO_TOKEN to a token of your account (https://zenodo.org/account/settings/applications)"


@dataclass(frozen=True)
class Record(Archive):
    """A record; `id` may be that of all versions, which then means the newest."""

    id: str
    base: str = "https://zenodo.org/api"
    name: str = field(default="zenodo", init=False, repr=False)
    hint: ClassVar[str] = HINT

    def list(self, web: Web) -> Listing:
        """The files of the version that the id means now; the version is the id of its own record."""
        record = self._record(web)
        version = _id(record, self._at)
        title, page = words(get(record, "metadata", "title") or record.get("title")), f"{_site(self._at)}/records/{version}"
        return Listing(
            archive=self.name,
            id=self.id,
            version=version,
            pinned=record.get("status", "published") == "published",
            assets=tuple(self._asset(row, version) for row in self._rows(record, version, web)),
            title=title,
            license=spdx(_licence(record)),
            citation=citation(_people(record), get(record, "metadata", "publication_date"), title, "Zenodo", _doi(record)),
            url=page,
        )

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """The record's page of the file, which answers byte ranges; then the API, which does not."""
        version, key = asset.version or self.id, quoted(asset.path)
        return [
            Place(f"{_site(self._at)}/records/{version}/files/{key}?download=1", token("ZENODO_TOKEN")),
            Place(f"{self._at}/records/{version}/files/{key}/content", token("ZENODO_TOKEN"), ranges=False),
        ]

    def facts(self, web: Web) -> Mapping[str, Any]:
        """What the record says beyond its files."""
        record = self._record(web)
        meta = get(record, "metadata")
        return told(
            description=words(get(meta, "description")),
            keywords=get(meta, "keywords"),
            published=get(meta, "publication_date"),
            doi=_doi(record),
            related=[i for r in objects(get(meta, "related_identifiers")) if isinstance(i := r.get("identifier"), str)],
        )

    @property
    def _at(self) -> str:
        return address("ZENODO", self.base)

    def _record(self, web: Web) -> Mapping[str, Any]:
        """The record; where the id of all versions is not redirected to the newest one (it was not in 2023), that is searched for."""
        try:
            found = web.json(f"{self._at}/records/{self.id}", headers=token("ZENODO_TOKEN"), hint=HINT)
        except ArchiveError as e:
            if status_of(e) != 404:
                raise
            answer = web.json(f"{self._at}/records", {"q": f"conceptrecid:{self.id}", "size": 1}, token("ZENODO_TOKEN"), hint=HINT)
            found = get(answer, "hits", "hits", 0)
            if str(get(found, "conceptrecid") or get(found, "parent", "id")) != self.id:
                raise
        if not isinstance(found, Mapping):
            raise unknown(f"{self._at}/records/{self.id}")
        return found

    def _rows(self, record: Mapping[str, Any], version: str, web: Web) -> Sequence[Mapping[str, Any]]:
        """A row a file, in whichever of its shapes the record comes."""
        rows = _listed(record.get("files"))
        if rows is None:
            where = f"{self._at}/records/{version}/files"
            rows = _listed(web.json(where, headers=token("ZENODO_TOKEN"), hint=HINT))
            if rows is None:
                raise unknown(where)
        access = get(record, "metadata", "access_right") or get(record, "access", "files")
        if not rows and access in ("restricted", "closed", "embargoed"):
            raise ArchiveError(f"zenodo:{version}: its files are {access}; ask for access on {_site(self._at)}/records/{version}, then {HINT}")
        return rows

    def _asset(self, row: Mapping[str, Any], version: str) -> Asset:
        # "filename", "filesize" and a digest without its algorithm: so it was for some weeks of October 2023
        key = need(row, "key" if "key" in row else "filename", str, f"zenodo:{version}")
        algorithm, colon, value = str(row.get("checksum") or "").partition(":")
        found = digest(algorithm, value) if colon else digest("md5", algorithm)
        n_bytes = row["size"] if "size" in row else row.get("filesize")
        return asset(key, n_bytes, [found], f"{_site(self._at)}/records/{version}/files/{quoted(key)}?download=1", version)


def record(id: str) -> Record:
    """A record by its number, its DOI or its address.

    >>> record("10.5281/zenodo.3854034").id, record("https://zenodo.org/records/3854034").id
    ('3854034', '3854034')
    """
    match = re.fullmatch(r"(?:.*(?:zenodo\.|/records?/))?(\d+)/?", id.strip())
    if match is None:
        raise ArchiveError(f"{id!r} is no record of Zenodo: give its number, as in zenodo:3854034")
    return Record(match[1])


def _site(at: str) -> str:
    return at.removesuffix("/api")


def _id(record: Mapping[str, Any], where: str) -> str:
    found = str(record.get("id"))
    if not found.isdigit():
        raise unknown(where)
    return found


def _listed(files: Any) -> list[Mapping[str, Any]] | None:
    """The rows of a list, of `entries` in a list, or of `entries` under their names; None where there is nothing of the kind."""
    if isinstance(files, Mapping):
        if files.get("enabled") is False:
            return []  # a record of metadata only
        files = files.get("entries")
    if isinstance(files, Mapping):
        files = [{"key": k, **v} for k, v in files.items() if isinstance(v, Mapping)]
    return objects(files) if isinstance(files, list) else None


def _people(record: Mapping[str, Any]) -> list[str | None]:
    rows = objects(get(record, "metadata", "creators"))
    return [words(r.get("name")) or words(get(r, "person_or_org", "name")) for r in rows]


def _doi(record: Mapping[str, Any]) -> str | None:
    return bare_doi(record.get("doi") or get(record, "pids", "doi", "identifier") or get(record, "metadata", "doi"))


def _licence(record: Mapping[str, Any]) -> str | None:
    meta = get(record, "metadata")
    told_once = get(meta, "license", "id") or get(meta, "license")
    if isinstance(told_once, str):
        return told_once
    rights = [r.get("id") or get(r, "title", "en") or r.get("link") for r in objects(get(meta, "rights"))]
    return "; ".join(str(r) for r in rights if r) or None
