"""IBL's public database: the datasets of a release, or of one session, as ALF files."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from neuropile.archives import Archive, Listing
from neuropile.archives.answers import address, digest, get, need, objects, size, status_of, told
from neuropile.archives.one_api import BASE, HINT, Database
from neuropile.archives.one_datasets import UUID, Dataset, chosen, with_uuid, without_uuid
from neuropile.archives.places import Place
from neuropile.errors import ArchiveError
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

FILES = "https://ibl.flatironinstitute.org/public"
#: Where the same files lie below `data/`, and in which region.
BUCKET = ("ibl-brain-wide-map-public", "us-east-1")
#: What an ALF session is read from, by collection and name; mean waveforms, videos and voltage, which are large, only when asked for.
DATASETS = (
    *("*/spikes.times.npy", "*/spikes.clusters.npy", "*/clusters.[!tw]*", "*/channels.*", "*/electrodeSites.*"),
    *("*/_ibl_trials.*", "*/_ibl_wheel.*", "*/_ibl_wheelMoves.*", "*/licks.times.npy"),
    *("*/_ibl_passivePeriods.intervalsTable.*", "*/_ibl_passiveGabor.table.*", "*/_ibl_passiveStims.table.*", "*/_ibl_passiveRFM.times.npy"),
    *("*/_ibl_*Camera.times.npy", "*/_ibl_*Camera.dlc.*", "*/_ibl_*Camera.lightningPose.*", "*/_ibl_*Camera.features.*"),
    *("*/*Camera.ROIMotionEnergy.npy", "*/*ROIMotionEnergy.position.npy", "*probes.description.*", "*experiment.description.*"),
)


@dataclass(frozen=True)
class Release(Archive):
    """The datasets that have a release's tag, or those of one session.

    id : a release's tag, or a session's id (eid)
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
        labs = self._labs(web)
        rows = self.database.all(web, "datasets", {"session" if self._is_session else "tag": self.id, "exists": "true"}, lambda row: self._dataset(row, labs))
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
        return [*own, *self._in_bucket(asset.path, asset.version.rpartition("/")[2], web)]

    def recording(self, asset: Asset) -> str | None:
        """The session's id (eid) that a file belongs to; None of files that were listed by neuropile 0.4, which did not keep it."""
        return (asset.version or "").rpartition("/")[0] or None

    def facts(self, web: Web) -> Mapping[str, Any]:
        """See Archive."""
        rows = [self.database.ask(web, f"sessions/{self.id}")] if self._is_session else self.database.all(web, "sessions", {"tag": self.id}, dict)
        subjects, labs = {str(get(r, "subject")) for r in rows}, sorted({str(get(r, "lab")) for r in rows})
        return told(title=f"International Brain Laboratory: {self.id}", sessions=len(rows), subjects=len(subjects), labs=labs)

    @property
    def database(self) -> Database:
        """Where it is asked for."""
        return Database(self.base, self._where)

    @property
    def _where(self) -> str:
        return f"one:{self.id}"

    @property
    def _is_session(self) -> bool:
        return re.fullmatch(UUID, self.id) is not None

    def _labs(self, web: Web) -> dict[str, str]:
        """The lab of each session that is meant, by its id."""
        if self._is_session:
            try:
                row = self.database.ask(web, f"sessions/{self.id}")
            except ArchiveError as e:
                if status_of(e) != 404:
                    raise
                raise ArchiveError(f"{self._where}: the database has no such session; find one with: neuropile one search --subject NAME") from e
            return {self.id: need(row, "lab", str, self._where)}
        found = dict(self.database.all(web, "sessions", {"tag": self.id}, lambda row: (need(row, "id", str, self._where), need(row, "lab", str, self._where))))
        if not found:
            raise ArchiveError(f"{self._where}: no session has the tag {self.id!r}; all tags are shown on {self.base}/tags")
        return found

    def _dataset(self, row: Mapping[str, Any], labs: Mapping[str, str]) -> Dataset | None:
        """A row of the database; None where it is of no session of the release, or not to be had by everybody."""
        eid, tags = str(get(row, "session") or "")[-36:], get(row, "tags")
        if eid not in labs or get(row, "public") is False or (isinstance(tags, list) and self.id not in tags and not self._is_session):
            return None
        uuid = self.database.id_of(row)
        is_default = str(get(row, "default_dataset") or get(row, "default_revision")) == "True"  # in one list it is text
        collection, name, revision = str(get(row, "collection") or ""), need(row, "name", str, self._where), str(get(row, "revision") or "")
        return Dataset(eid, uuid, collection, without_uuid(name), revision, is_default, self._asset(row, uuid, eid, labs[eid]))

    def _asset(self, row: Mapping[str, Any], uuid: str, eid: str, lab: str) -> Asset | None:
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
        return Asset(path, size(get(row, "file_size")), None, url, f"{eid}/{uuid}", ":".join(found) if found else None)

    def _in_bucket(self, path: str, uuid: str, web: Web) -> Sequence[Place]:
        from neuropile.archives import s3

        return s3.bucket(BUCKET[0], region=BUCKET[1]).places(Asset(f"data/{with_uuid(path, uuid)}", None, None), web)


def _encoded(url: str) -> str:
    """A URL of the database, which leaves the `#` of revisions in its path as it is."""
    return quote(url, safe=":/%?&=+,;@~!$'()*")


def _moved(url: str, base: str, other: str) -> str:
    return other + url.removeprefix(base) if url.startswith(f"{base}/") else url


def release(id: str, revision: str | None = None, datasets: tuple[str, ...] = DATASETS) -> Release:
    """A release of IBL's public database by its tag, or a session by its id; see Release for the choice of revision and datasets."""
    return Release(id.lower() if re.fullmatch(UUID, id, re.IGNORECASE) else id, revision, datasets)
