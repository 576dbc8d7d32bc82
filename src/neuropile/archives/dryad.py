"""Dryad: datasets with numbered versions, whose files are given to those with an account, so many an hour."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from neuropile.archives import Archive, Listing, Place, budgets
from neuropile.archives.answers import address, asking, asset, digest, get, joined, need, objects, pages, secret, size, status_of, told, unknown, words
from neuropile.archives.credits import bare_doi, citation, spdx
from neuropile.errors import ArchiveError
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

PER_PAGE = 100  # the most that is given at once
#: What one address is given, with an account or without: 100 files an hour, 500 a day, 3000 in 30 days.
FILES: budgets.Limits = ((100, 3600.0), (500, 86400.0), (3000, 30 * 86400.0))
#: A token is good for ten hours, where Dryad does not say otherwise.
LASTS_S = 36000.0
#: A token with less time left than this is renewed before it is shown.
RENEW_S = 300.0
HINT = (
    "make an API account on your page of https://datadryad.org/account (an ORCID is enough) "
    "and set NEUROPILE_DRYAD_ID and NEUROPILE_DRYAD_SECRET to what it shows"
)
_asking = threading.Lock()


@dataclass(frozen=True)
class Dataset(Archive):
    """A dataset, by its DOI. version : of those it has, by the number in Dryad's addresses ("32"), or as readers count them ("v2"); None: the newest."""

    id: str
    version: str | None = None
    base: str = "https://datadryad.org/api/v2"
    name: str = field(default="dryad", init=False, repr=False)
    hint: ClassVar[str] = HINT
    sparing: ClassVar[bool] = True  # each request counts, so that a file is had whole in one rather than in many parts

    def list(self, web: Web) -> Listing:
        """The files of a version. An unchanged file is listed in each version under the same number."""
        dataset = self._dataset(web)
        version = self._version(dataset, web)
        if not isinstance(version, Mapping):
            raise unknown(self._told)
        both = {**dataset, **version}
        number = _number(get(version, "_links", "self", "href"), "versions")
        href = get(version, "_links", "stash:files", "href") or f"{urlsplit(self._at).path}/versions/{number}/files"
        people = [" ".join(n for n in (words(r.get("firstName")), words(r.get("lastName"))) if n) for r in objects(both.get("authors"))]
        title = words(both.get("title"))
        return Listing(
            archive=self.name,
            id=self.id,
            version=number,
            pinned=both.get("curationStatus") == "Published",
            assets=tuple(self._asset(r) for r in self._rows(joined(self._at, href), web)),
            title=title,
            license=spdx(dataset.get("license")),
            citation=citation(people, both.get("publicationDate"), title, "Dryad", self.id),
            url=f"https://doi.org/{self.id}",
        )

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """Where a file is given, to whom shows a token. Each request counts, whether for all of the file or a part of it."""
        if asset.url is None:
            raise ArchiveError(f"{self._told}: nothing says where {asset.path} is; list it again")
        _credentials(self._told)
        url, server = joined(self._at, urlsplit(asset.url).path), urlsplit(self._at).netloc

        def shown() -> str:
            found = self._token(web)
            budgets.spend(server, FILES)
            return f"Bearer {found}"

        return [Place(url, _Shown(shown))]

    def renew(self, web: Web) -> None:
        """Forget the token, which Dryad refuses, so that the next request asks for a new one."""
        web.kept.pop(self._key, None)

    def facts(self, web: Web) -> Mapping[str, Any]:
        """What Dryad says of the dataset beyond its files."""
        found = self._dataset(web)
        works = objects(found.get("relatedWorks"))
        return told(
            description=words(found.get("abstract")),
            keywords=found.get("keywords"),
            published=found.get("publicationDate"),
            doi=self.id,
            article=next((bare_doi(r.get("identifier")) for r in works if r.get("relationship") in ("primary_article", "article")), None),
            related=[r["identifier"] for r in works if isinstance(r.get("identifier"), str)],
        )

    @property
    def _at(self) -> str:
        return address("DRYAD", self.base)

    @property
    def _told(self) -> str:
        return f"dryad:{self.id}"

    @property
    def _self(self) -> str:
        return f"{self._at}/datasets/{quote(f'doi:{self.id}', safe='')}"

    def _ask(self, url: str, web: Web) -> Any:
        """An answer of the API: with a token where there is an account, because then more may be asked a minute."""
        if _account() is None:
            return web.json(url, hint=HINT)
        try:
            return web.json(url, headers={"Authorization": f"Bearer {self._token(web)}"}, hint=HINT)
        except ArchiveError as e:
            if status_of(e) != 401:
                raise
        self.renew(web)
        return web.json(url, headers={"Authorization": f"Bearer {self._token(web)}"}, hint=HINT)

    def _dataset(self, web: Web) -> Mapping[str, Any]:
        found = self._ask(self._self, web)
        if not isinstance(found, Mapping):
            raise unknown(self._told)
        if "_links" not in found:  # so is a dataset that is not public yet
            raise ArchiveError(f"{self._told}: {words(found.get('message')) or 'nothing of it may be seen'}; it may not be published yet")
        return found

    def _version(self, dataset: Mapping[str, Any], web: Web) -> Mapping[str, Any]:
        """What Dryad says of the version that is meant."""
        if self.version is None:
            href = need(get(dataset, "_links", "stash:version"), "href", str, self._told)
        elif self.version.startswith("v"):
            rows = list(self._rows(f"{self._self}/versions", web, "stash:versions"))
            numbers = [r.get("versionNumber") for r in rows]
            if int(self.version[1:]) not in numbers:
                raise ArchiveError(f"{self._told} has no version {self.version}; it has {', '.join(f'v{n}' for n in numbers)}")
            href = need(get(rows[numbers.index(int(self.version[1:]))], "_links", "self"), "href", str, self._told)
        else:
            href = f"{urlsplit(self._at).path}/versions/{self.version}"
        found = self._ask(joined(self._at, href), web)
        of = unquote(str(get(found, "_links", "stash:dataset", "href") or ""))
        if of and not of.lower().endswith(f"/doi:{self.id}".lower()):
            raise ArchiveError(f"{self._told} has no version {self.version}: that is one of {of.partition('/datasets/')[2]}")
        return found

    def _rows(self, url: str, web: Web, kind: str = "stash:files") -> Iterator[Mapping[str, Any]]:
        def ask(at: str) -> tuple[Sequence[Any], str | None]:
            answer = self._ask(asking(at, per_page=PER_PAGE), web)
            following = get(answer, "_links", "next", "href")
            if get(answer, "_embedded", kind) is None:
                raise unknown(at)
            return objects(get(answer, "_embedded", kind)), joined(self._at, following) if following else None

        return pages(url, ask, self._told)

    def _asset(self, row: Mapping[str, Any]) -> Asset:
        href = need(get(row, "_links", "stash:download"), "href", str, self._told)
        number = _number(get(row, "_links", "self", "href") or href, "files")
        return asset(need(row, "path", str, self._told), row.get("size"), [digest(row.get("digestType"), row.get("digest"))], joined(self._at, href), number)

    @property
    def _key(self) -> str:
        return f"dryad {self._at} {os.environ.get('NEUROPILE_DRYAD_ID')}"

    def _token(self, web: Web) -> str:
        """A token that is good for now, kept for as long as the client lives."""
        own, word = _credentials(self._told)
        with _asking:
            kept, until = web.kept.get(self._key, ("", 0.0))
            if until - time.time() < RENEW_S:
                form = {"client_id": own, "client_secret": word, "grant_type": "client_credentials"}
                answer = web.post(joined(self._at, "/oauth/token"), form, hint=f"Dryad does not know this account: {HINT}")
                lasts = size(get(answer, "expires_in"))
                kept, until = need(answer, "access_token", str, self._told), time.time() + (lasts or LASTS_S)
                if not re.fullmatch("[!-~]+", kept):
                    raise ArchiveError(f"{self._told}: Dryad answered with something that is no token; run again later")
                web.kept[self._key] = (kept, until)
        return kept


def dataset(doi: str, version: str | None = None) -> Dataset:
    """A dataset by its DOI, or by what stands behind `dryad.` in it.

    >>> dataset("x69p8czpq").id, dataset("https://doi.org/10.5061/dryad.x69p8czpq").id
    ('10.5061/dryad.x69p8czpq', '10.5061/dryad.x69p8czpq')
    """
    found = bare_doi(doi) or (f"10.5061/dryad.{doi}" if re.fullmatch(r"\w+", doi) else None)
    if found is None:
        raise ArchiveError(f"{doi!r} is no dataset of Dryad: give its DOI, as in dryad:10.5061/dryad.x69p8czpq")
    if version is not None and not re.fullmatch(r"v?\d+", version):
        raise ArchiveError(f'dryad:{found}: a version is a number in its addresses ("32") or as readers count them ("v2"), not {version!r}')
    return Dataset(found, version)


class _Shown(Mapping[str, str]):
    """The headers of a download, made when they are sent: each sending is counted, with the token that is good then."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make

    def __getitem__(self, name: str) -> str:
        if name != "Authorization":
            raise KeyError(name)
        return self._make()

    def __iter__(self) -> Iterator[str]:
        return iter(("Authorization",))

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "{'Authorization': ...}"


def _account() -> tuple[str, str] | None:
    own, word = secret("NEUROPILE_DRYAD_ID"), secret("NEUROPILE_DRYAD_SECRET")
    return (own, word) if own and word else None


def _credentials(where: str) -> tuple[str, str]:
    if found := _account():
        return found
    raise ArchiveError(f"{where}: Dryad gives files only to those with an account: {HINT}; or fetch them with a browser and build with --from DIR")


def _number(href: Any, kind: str) -> str:
    match = re.search(rf"/(?:{kind}|downloads)/(\d+)", str(href))
    if match is None:
        raise unknown(f"dryad ({href})")
    return match[1]
