"""IBL's public database: the datasets of a release, session by session, as ALF files."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from neuropile.archives import Archive, Listing
from neuropile.archives.answers import MOST_FILES, address, digest, get, need, objects, size, status_of, told
from neuropile.archives.one_datasets import UUID, Dataset, chosen, with_uuid, without_uuid
from neuropile.archives.places import Place
from neuropile.errors import ArchiveError
from neuropile.remote import together
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

BASE = "https://openalyx.internationalbrainlab.org"
FILES = "https://ibl.flatironinstitute.org/public"
#: Where the same files lie below `data/`, and in which region.
BUCKET = ("ibl-brain-wide-map-public", "us-east-1")
#: The login that IBL publishes for its open database, in the documentation of ONE.
LOGIN = ("intbrainlab", "international")
HINT = "for a database that is not open, set NEUROPILE_ONE_USER and NEUROPILE_ONE_PASSWORD"
#: Rows a page; the server gives no more.
PAGE = 1000
#: A list that changes while its pages are read is read so often.
TRIES = 3
#: What an ALF session is read from, by collection and name; of the mean waveforms, which are large, nothing is read.
DATASETS = (
    *("*/spikes.times.npy", "*/spikes.clusters.npy", "*/clusters.[!tw]*", "*/channels.*", "*/electrodeSites.*"),
    *("*/_ibl_trials.*", "*/_ibl_wheel.*", "*/_ibl_wheelMoves.*", "*/licks.times.npy"),
    *("*/_ibl_passivePeriods.intervalsTable.*", "*/_ibl_passiveGabor.table.*", "*/_ibl_*Camera.times.npy", "*/*Camera.ROIMotionEnergy.npy"),
)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Release(Archive):
    """The datasets that have a release's tag.

    revision : of each dataset the newest revision up to this one is taken; None takes the database's own choice
    datasets : patterns of `collection/name` (`*` goes over `/`) that are taken
    """

    id: str
    revision: str | None = None
    datasets: tuple[str, ...] = DATASETS
    base: str = BASE
    files: str = FILES
    name: str = field(default="one", init=False, repr=False)
    hint = HINT

    def list(self, web: Web) -> Listing:
        """See Archive. A page of the database tells a thousand datasets, so that a release takes some dozens of requests."""
        found = self._all(web, "sessions", {"tag": self.id}, lambda row: (need(row, "id", str, self._where), need(row, "lab", str, self._where)))
        labs = dict(found)
        if not labs:
            raise ArchiveError(f"{self._where}: no session has the tag {self.id!r}; all tags are shown on {self.base}/tags")
        rows = self._all(web, "datasets", {"tag": self.id, "exists": "true"}, lambda row: self._dataset(row, labs))
        wanted = [r for r in rows if r is not None and any(fnmatch.fnmatchcase(f"{r.collection}/{r.name}", p) for p in self.datasets)]
        assets = tuple(d.asset for d in chosen(wanted, self.revision) if d.asset is not None)
        version = self.id if self.revision is None else f"{self.id}@{self.revision}"
        # datasets of a release are not written over, but which revision is the database's choice may change
        return Listing("one", self.id, version, self.revision is not None, assets, f"International Brain Laboratory: {self.id}", url=self.base)

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """See Archive. IBL's own server, then the public bucket, whose files lie under the same names."""
        if asset.url is None or asset.version is None:
            raise ArchiveError(f"{self._where}: nothing says where {asset.path} is; list it again")
        own = [] if asset.url.startswith("s3://") else [Place(_moved(asset.url, self.files, address("ONE_FILES", self.files)))]
        return [*own, *self._in_bucket(asset.path, asset.version, web)]

    def facts(self, web: Web) -> Mapping[str, Any]:
        """See Archive."""
        rows = self._all(web, "sessions", {"tag": self.id}, lambda row: (str(get(row, "subject")), str(get(row, "lab"))))
        subjects, labs = {s for s, _ in rows}, sorted({lab for _, lab in rows})
        return told(title=f"International Brain Laboratory: {self.id}", sessions=len(rows), subjects=len(subjects), labs=labs)

    @property
    def _where(self) -> str:
        return f"one:{self.id}"

    def _dataset(self, row: Mapping[str, Any], labs: Mapping[str, str]) -> Dataset | None:
        """A row of the database; None where it is of no session of the release, or not to be had by everybody."""
        eid, tags = str(get(row, "session") or "")[-36:], get(row, "tags")
        if eid not in labs or get(row, "public") is False or (isinstance(tags, list) and self.id not in tags):
            return None
        uuid = _uuid_of(row, self._where)
        is_default = str(get(row, "default_dataset") or get(row, "default_revision")) == "True"  # in one list it is text
        collection, name, revision = str(get(row, "collection") or ""), need(row, "name", str, self._where), str(get(row, "revision") or "")
        return Dataset(eid, uuid, collection, without_uuid(name), revision, is_default, self._asset(row, uuid, labs[eid]))

    def _asset(self, row: Mapping[str, Any], uuid: str, lab: str) -> Asset | None:
        """The file of a dataset, called as on disk: lab/Subjects/subject/date/number/..., without the UUID; None where nobody has it."""
        here = [r for r in objects(get(row, "file_records")) if get(r, "exists") is True]
        in_bucket = [r for r in here if str(get(r, "data_repository")).startswith("aws")]
        served = [r for r in here if str(get(r, "data_url")).startswith(("https://", "http://")) and r not in in_bucket]
        if not served and not in_bucket:
            return None
        path = f"{lab}/Subjects/{without_uuid(need((served or in_bucket)[0], 'relative_path', str, self._where).strip('/'))}"
        url = f"s3://{BUCKET[0]}/data/{with_uuid(path, uuid)}"
        if served:
            url = _moved(with_uuid(_encoded(served[0]["data_url"]), uuid), address("ONE_FILES", self.files), self.files)
        text = str(get(row, "hash") or "")
        found = digest({32: "md5", 40: "sha1"}.get(len(text), ""), text)
        return Asset(path, size(get(row, "file_size")), None, url, uuid, ":".join(found) if found else None)

    def _in_bucket(self, path: str, uuid: str, web: Web) -> Sequence[Place]:
        from neuropile.archives import s3

        return s3.bucket(BUCKET[0], region=BUCKET[1]).places(Asset(f"data/{with_uuid(path, uuid)}", None, None), web)

    def _all(self, web: Web, what: str, params: Mapping[str, Any], made: Callable[[Mapping[str, Any]], _T]) -> Sequence[_T]:
        """What is made of every row of a list, whose pages are asked for several at a time.

        Raises
        ------
        ArchiveError : it changes again and again while it is read, so that rows are lost between pages
        """

        def page(start: int) -> tuple[int, dict[str, _T]]:
            answer = self._ask(web, what, {**params, "limit": PAGE, "offset": start})
            return need(answer, "count", int, self._where), {_uuid_of(row, self._where): made(row) for row in objects(get(answer, "results"))}

        for _ in range(TRIES):
            count, found = page(0)
            if count > MOST_FILES:
                raise ArchiveError(f"{self._where}: the database lists {count} {what}, more than any release has")
            for _, more in together(page, range(len(found), count, len(found)) if found else ()):
                found |= more
            if len(found) == count:
                return list(found.values())
        raise ArchiveError(f"{self._where}: the database's list of {what} changes while it is read ({len(found)} of {count} rows came); run again later")

    def _ask(self, web: Web, what: str, params: Mapping[str, Any]) -> Any:
        """An answer of the database; a token that is no longer taken is renewed once."""
        url = f"{address('ONE', self.base)}/{what}"
        shown = self._token(web)
        try:
            return web.json(url, params, {"Authorization": f"Token {shown}"}, hint=HINT)
        except ArchiveError as e:
            if status_of(e) not in (401, 403):
                raise
        return web.json(url, params, {"Authorization": f"Token {self._token(web, stale=shown)}"}, hint=HINT)

    def _token(self, web: Web, stale: str | None = None) -> str:
        where = f"{address('ONE', self.base)}/auth-token"
        if web.kept.get(where) in (None, stale):
            user = os.environ.get("NEUROPILE_ONE_USER", LOGIN[0])
            form = {"username": user, "password": os.environ.get("NEUROPILE_ONE_PASSWORD", LOGIN[1])}
            try:
                found = need(web.post(where, form, hint=HINT), "token", str, self._where)
            except ArchiveError as e:
                if status_of(e) != 400:
                    raise
                raise ArchiveError(f"{self._where}: the database does not know the login {user!r}; {HINT}") from e
            if not re.fullmatch(r"[!-~]+", found):
                raise ArchiveError(f"{self._where}: the database answered a login with something that is no token")
            web.kept[where] = found
        return web.kept[where]


def _uuid_of(row: Mapping[str, Any], where: str) -> str:
    """The id of a row, which some lists tell only as the end of its address."""
    found = str(get(row, "id") or get(row, "url") or "")[-36:]
    if not re.fullmatch(UUID, found, re.IGNORECASE):
        raise ArchiveError(f"{where}: the database lists something without an id; its API is not as it was known")
    return found.lower()


def _encoded(url: str) -> str:
    """A URL of the database, which leaves the `#` of revisions in its path as it is."""
    return quote(url, safe=":/%?&=+,;@~!$'()*")


def _moved(url: str, base: str, other: str) -> str:
    return other + url.removeprefix(base) if url.startswith(f"{base}/") else url


def release(tag: str, revision: str | None = None, datasets: tuple[str, ...] = DATASETS) -> Release:
    """A release of IBL's public database by its tag; see Release for the choice of revision and datasets."""
    return Release(tag, revision, datasets)
