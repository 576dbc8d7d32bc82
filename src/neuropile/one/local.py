"""A cache of ALF sessions on this disk, asked as ONE is asked in its local mode."""

from __future__ import annotations

import datetime
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import searching
from neuropile.one import choosing, hints, ids, loading, places, tables, walking
from neuropile.one.choosing import Wanted
from neuropile.one.errors import ALFError, ALFMultipleCollectionsFound, ALFMultipleObjectsFound, ALFObjectNotFound, shown
from neuropile.readers.alf import folder, grammar
from neuropile.searching.keywords import QC_LIMIT, complete

if TYPE_CHECKING:
    import pandas as pd

#: The variable of the environment that limits all revisions.
_LIMIT = "ONE_REVISION_LAST_BEFORE"
_REFERENCE = re.compile(r"(?P<date>\d{4}-\d{2}-\d{2})_(?P<number>\d{1,3})_(?P<subject>[\w.-]+)")


class Cache:
    """Sessions below a folder; see `open_cache`.

    `sessions`, `datasets` and `insertions` are its tables, as pandas; `metadata` what their files say of themselves, `notes`
    their imperfections. A session is named by its id (text or UUID), its path, its URL, `date_number_subject`, or a mapping of
    subject, date and number. Patterns of datasets, collections and objects are those of a shell (`*probe0?`).
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ALFError(f"{root}: no such folder")
        self.root = root.absolute()
        found = tables.read(self.root)
        self.indexed = found is not None
        self._tables = found if found is not None else walking.walk(self.root)
        self.sessions, self.datasets, self.insertions = self._tables.sessions, self._tables.datasets, self._tables.insertions
        self.metadata, self.notes = self._tables.metadata, self._tables.notes

    def __repr__(self) -> str:
        how = "by its tables" if self.indexed else "walked"
        return f"<Cache {self.root}: {len(self.sessions)} sessions, {len(self.datasets)} datasets, {how}>"

    def save(self, folder: str | Path | None = None, created: datetime.datetime | None = None) -> list[Path]:
        """Write the tables, by default into the cache, so that ONE and the next `open_cache` read them; returns their paths."""
        made = created or datetime.datetime.now()
        return tables.write(self._tables, Path(folder or self.root), str(self.root), made)

    def renew(self) -> None:
        """Look at the folder anew, with the tables' ids kept; `save` then writes what was found. See `walking.renewed`."""
        if self.indexed:
            self._tables = walking.renewed(self.root, self._tables, self.eid2path)
            self.sessions, self.datasets, self.insertions = self._tables.sessions, self._tables.datasets, self._tables.insertions

    # sessions

    def search_terms(self) -> tuple[str, ...]:
        """The keywords of `search`."""
        return searching.KEYWORDS

    def search(self, *, details: bool = False, **asked: Any) -> Any:
        """The ids of the sessions that match all keywords, newest first; with `details` also a dictionary a session.

        Keywords (`searching.matching` tells them in full): datasets, dataset_qc_lte, date_range, laboratory or lab, number,
        subject, task_protocol, projects.

        Raises
        ------
        NeuropileError : an unknown or ambiguous keyword, or a value that does not serve as one
        """
        found = self.sessions[searching.matching(self.sessions, asked, self.datasets)]
        found = found.sort_values(["date", "subject", "number"], ascending=False)
        return (found.index.tolist(), found.to_dict("records")) if details else found.index.tolist()

    def list_subjects(self) -> list[str]:
        """The subjects, sorted."""
        return sorted(set(self.sessions["subject"]))

    def get_details(self, eid: Any, full: bool = False) -> pd.Series | pd.DataFrame:
        """A session's row; with `full`, the rows of its datasets with the session's columns beside them."""
        found = self.to_eid(eid)
        row = self.sessions.loc[found]
        return self._of(found).assign(**row.to_dict()) if full else row

    def to_eid(self, session: Any) -> Any:
        """The id of a session, however it is named; of a list, a list.

        Raises
        ------
        ALFObjectNotFound : the cache has none such
        ALFMultipleObjectsFound : it has several
        """
        if isinstance(session, list | tuple):
            return [self.to_eid(s) for s in session]
        text = str(session)
        if isinstance(session, Mapping):
            wanted = dict(session)
        elif isinstance(session, uuid.UUID) or (ids.is_uuid(text[-36:]) and grammar.session_of(re.split(r"[/\\]+", text)) is None):
            wanted = {"id": text[-36:].lower()}
        elif reference := _REFERENCE.fullmatch(text):
            wanted = reference.groupdict()
        elif named := grammar.session_of(folder.parts(session) if isinstance(session, Path) else re.split(r"[/\\]+", text)):
            wanted = {k: v for k, v in vars(named).items() if v is not None}
        else:
            raise ALFObjectNotFound(f"{text!r} names no session; give its id, subject/date/number, its path, or date_number_subject")
        found = self._sessions_that_are(wanted)
        if not found:
            raise ALFObjectNotFound(f"{self.root} has no session {text!r} among {len(self.sessions)}; search() lists them")
        if len(found) > 1:
            raise ALFMultipleObjectsFound(f"{text!r} may be any of {shown(self.eid2path(e) for e in found)}; name it by its id or its lab")
        return found[0]

    def _sessions_that_are(self, wanted: Mapping[str, Any]) -> list[str]:
        if "id" in wanted:
            return [str(wanted["id"])] if str(wanted["id"]) in self.sessions.index else []
        lacking = [k for k in ("subject", "number") if k not in wanted] + ([] if {"date", "start_time"} & set(wanted) else ["date"])
        if lacking:
            raise ALFObjectNotFound(f"a session is named by subject, date and number; {', '.join(lacking)} is missing")
        date = str(wanted.get("date") or wanted["start_time"])[:10]
        (number,) = searching.keywords.whole_numbers(wanted["number"])
        found = self.sessions[(self.sessions["subject"] == str(wanted["subject"])) & (self.sessions["number"] == number)]
        found = found[np.array([str(d) == date for d in found["date"]], bool)]
        in_lab = found[found["lab"] == wanted["lab"]] if wanted.get("lab") else found
        return (in_lab if len(in_lab) else found[found["lab"] == ""] if wanted.get("lab") else found).index.tolist()

    def eid2path(self, eid: Any) -> Any:
        """The folder of a session by its id, whether it is on this disk or not; None for an unknown one; of a list, a list."""
        if isinstance(eid, list | tuple):
            return [self.eid2path(e) for e in eid]
        if str(eid).lower() not in self.sessions.index:
            return None
        row = self.sessions.loc[str(eid).lower()]
        usual = places.folders(row)
        for place in usual:
            if self._inside(place).is_dir():
                return self._inside(place)
        return self._inside(usual[0])

    def path2eid(self, path: Any) -> Any:
        """The id of the session that a path lies in; None where the cache has none; of a list, a list."""
        if isinstance(path, list | tuple):
            return [self.path2eid(p) for p in path]
        try:
            return self.to_eid(Path(path) if not isinstance(path, str) else path)
        except ALFObjectNotFound:
            return None

    def _inside(self, relative: str) -> Path:
        path = self.root / relative
        if ".." in Path(relative).parts or Path(relative).is_absolute():
            raise ALFError(f"a table names {relative!r}, which would leave {self.root}: the table is not to be trusted")
        return path

    # probes

    def pid2eid(self, pid: Any) -> tuple[str, str]:
        """The session of a probe's insertion, and the probe's name."""
        found = self.insertions[self.insertions.index.get_level_values("id") == str(pid).lower()]
        if found.empty:
            raise ALFObjectNotFound(f"{self.root} has no insertion {str(pid)!r} among {len(self.insertions)}; search_insertions() lists them")
        return str(found.index[0][0]), str(found["name"].iloc[0])

    def eid2pid(self, eid: Any) -> tuple[list[str], list[str]]:
        """The insertions of a session, and the names of their probes."""
        own = self.insertions[self.insertions.index.get_level_values("eid") == self.to_eid(eid)].sort_values("name")
        return own.index.get_level_values("id").tolist(), own["name"].tolist()

    def search_insertions(self, *, details: bool = False, **asked: Any) -> Any:
        """The ids of insertions of sessions that match; `name` and `session` beside the keywords of `search`."""
        known = (*searching.KEYWORDS, "name", "session")
        queries = {complete(k, known): v for k, v in asked.items() if v is not None}
        names, session = queries.pop("name", None), queries.pop("session", None)
        order = {eid: i for i, eid in enumerate(self.search(**queries))}
        eids = self.insertions.index.get_level_values("eid")
        keep = [e in order and (session is None or e == self.to_eid(session)) for e in eids]
        found = self.insertions[np.array(keep, bool)]
        if names is not None:
            found = found[searching.keywords.any_found(found["name"], names, "name")]
        found = found.assign(place=[order[e] for e in found.index.get_level_values("eid")]).sort_values(["place", "name"], ascending=[True, False])
        pids = found.index.get_level_values("id").tolist()
        return (pids, found.drop(columns="place").reset_index().to_dict("records")) if details else pids

    # datasets

    def list_datasets(
        self,
        eid: Any = None,
        filename: Wanted | Mapping[str, Wanted] = None,
        collection: Wanted = None,
        revision: Wanted = None,
        *,
        qc: Any = QC_LIMIT,
        ignore_qc_not_set: bool = False,
        details: bool = False,
    ) -> Any:
        """The paths of the datasets that fit, in a session or in all, sorted; with `details` their rows. See `choosing.where`."""
        own = self.datasets if eid is None else self._of(self.to_eid(eid))
        found = choosing.where(own, filename, collection, revision, qc, ignore_qc_not_set)
        return found if details else sorted(set(found["rel_path"]))

    def list_collections(
        self, eid: Any = None, filename: Wanted | Mapping[str, Wanted] = None, collection: Wanted = None, revision: Wanted = None
    ) -> list[str]:
        """The collections that hold datasets that fit, sorted; "" is a session's own folder."""
        return choosing.collections(self.list_datasets(eid, filename, collection, revision, details=True))

    def list_revisions(self, eid: Any = None, filename: Wanted | Mapping[str, Wanted] = None, collection: Wanted = None, revision: Wanted = None) -> list[str]:
        """The revisions that datasets that fit have, sorted; "" is that of files without one."""
        found = self.list_datasets(eid, filename, collection, revision, details=True)
        return sorted({choosing.split(p).revision for p in found["rel_path"]})

    def _of(self, eid: str) -> pd.DataFrame:
        try:
            rows = self.datasets.index.get_loc(eid)
        except KeyError:
            return self.datasets.iloc[:0]
        return self.datasets.iloc[rows] if isinstance(rows, slice) else self.datasets[rows]

    # loading

    def load_object(
        self,
        eid: Any,
        obj: str,
        collection: Wanted = None,
        revision: str | None = None,
        *,
        download_only: bool = False,
        check_hash: bool = True,
        **parts: Any,
    ) -> Any:
        """All attributes of an ALF object, by name: arrays, data frames, paths of what is not loaded; see `loading.whole`.

        revision : of each dataset the newest up to it is taken; None (and no ONE_REVISION_LAST_BEFORE) takes the default
        download_only : give the paths of the files instead
        check_hash : compare MD5 or SHA-1 with the table, where it has one; sizes always are
        parts : attribute, namespace, timescale, extension: patterns

        Raises
        ------
        ALFObjectNotFound, ALFMultipleObjectsFound, ALFMultipleCollectionsFound : none fits, or several objects, or collections
        UnreadableFile : a file is damaged, or not the one that the table tells of
        """
        session = self.to_eid(eid)
        named = {"object": obj, **parts}
        found = choosing.last_before(choosing.where(self._of(session), named, collection), _asked(revision))
        if found.empty:
            raise ALFObjectNotFound(f"no object {obj!r} {_in(collection, parts)} of session {session}; {self._why(session, named, collection, revision)}")
        objects, where = choosing.objects(found["rel_path"]), choosing.collections(found)
        if len(objects) > 1:
            raise ALFMultipleObjectsFound(f"{obj!r} may be {shown(objects)}; name one")
        if len(where) > 1:
            raise ALFMultipleCollectionsFound(f"{objects[0]} lies in {shown(where)}; name one as collection=")
        hints.check_attributes(found, parts.get("attribute"), hints.attributes(choosing.where(self._of(session), {"object": obj}, collection)))
        return self._whole(session, found, check_hash, download_only)

    def _whole(self, session: str, found: pd.DataFrame, check_hash: bool, download_only: bool) -> Any:
        """The files of one object, put together; none of them may be missing."""
        files = self._present(session, found, check_hash)
        if not files:
            name = choosing.objects(found["rel_path"])[0]
            raise ALFObjectNotFound(f"{name} of session {session} is in the tables, but none of its files is in {self.root}")
        gone = [str(r["rel_path"]) for _, r in found.iterrows() if r["rel_path"] not in files and r["exists"]]
        if gone:
            way = "fetch it, let neuropile one index renew the tables, or ask for the others as attribute="
            raise ALFObjectNotFound(f"{shown(gone)} of session {session} is in the tables, but not in {self.root}; {way}")
        if download_only:
            return list(files.values())
        return loading.whole([loading.relocated(d, path) for rel, path in files.items() if (d := choosing.parsed(rel)) is not None])

    def _why(self, session: str, filename: Any, collection: Wanted, revision: str | None) -> str:
        """Why nothing fits, for messages."""
        own = self._of(session)
        unlisted = hints.unlisted(self.eid2path(session), own, filename, collection) if self.indexed else []
        if unlisted:
            return f"{shown(unlisted)} lies there, but not in the tables, which are older: neuropile one index {self.root} renews them"
        limit = _asked(revision)
        return hints.why(own, filename, collection, limit, "" if revision or not limit else f" (by {_LIMIT})")

    def load_collection(
        self, eid: Any, collection: Wanted, object: Wanted = None, revision: str | None = None, *, download_only: bool = False, **parts: Any
    ) -> Any:
        """All objects of a collection, or those that fit, by name, each as `load_object` gives it."""
        session = self.to_eid(eid)
        found = choosing.last_before(choosing.where(self._of(session), {"object": object, **parts}, collection), _asked(revision))
        where = choosing.collections(found)
        if not where:
            fitting = choosing.where(self._of(session), {"object": object, **parts}, collection)
            why = f"it has {shown(choosing.collections(self._of(session)))}"
            why = why if fitting.empty else self._why(session, {"object": object, **parts}, collection, revision)
            raise ALFObjectNotFound(f"nothing {_in(collection, parts)} of session {session}; {why}")
        if len(where) > 1:
            raise ALFMultipleCollectionsFound(f"{collection!r} may be {shown(where)}; name one")
        hints.check_attributes(found, parts.get("attribute"), hints.attributes(self._of(session)))
        if download_only:
            return list(self._present(session, found, True).values())
        by_object = {name: choosing.where(found, {"object": name}, qc="CRITICAL") for name in choosing.objects(found["rel_path"])}
        return {name: self._whole(session, rows, True, False) for name, rows in by_object.items()}

    def load_dataset(
        self,
        eid: Any,
        dataset: str | Mapping[str, Wanted],
        collection: Wanted = None,
        revision: str | None = None,
        *,
        download_only: bool = False,
        check_hash: bool = True,
    ) -> Any:
        """One dataset's content, see `loading.content`; named by its file, `object.attribute`, parts of its name, or its path.

        Raises
        ------
        as `load_object`; ALFMultipleObjectsFound where several files fit
        """
        session = self.to_eid(eid)
        row = self._one(session, dataset, collection, revision)
        files = self._present(session, row, check_hash)
        if not files:
            raise ALFObjectNotFound(f"{row['rel_path'].iloc[0]} of session {session} is in the tables, but not in {self.root}")
        (path,) = files.values()
        return path if download_only else loading.content(path)

    def load_datasets(
        self, eid: Any, datasets: Sequence[str | Mapping[str, Wanted]], collections: Any = None, revisions: Any = None, *, download_only: bool = False
    ) -> list[Any]:
        """Several datasets; collections and revisions are one for all, or one for each."""
        if isinstance(datasets, str):
            raise ALFError("load_datasets takes a list of datasets; load_dataset takes one")
        each = [[c] * len(datasets) if c is None or isinstance(c, str) else list(c) for c in (collections, revisions)]
        if any(len(c) != len(datasets) for c in each):
            raise ALFError(f"{len(datasets)} datasets need as many collections and revisions, or one for all")
        return [self.load_dataset(eid, d, c, r, download_only=download_only) for d, c, r in zip(datasets, *each, strict=True)]

    def _one(self, session: str, dataset: str | Mapping[str, Wanted], collection: Wanted, revision: str | None) -> pd.DataFrame:
        own = self._of(session)
        if isinstance(dataset, str) and "/" in dataset:
            if collection is not None or revision is not None:
                raise ALFError(f"{dataset!r} is a path, which names collection and revision itself; leave the arguments out")
            path = choosing.split(dataset)
            name: Any = path.name
            found, told = choosing.where(own[own["rel_path"] == dataset]), f"no dataset {dataset!r}"
            if found.empty and not path.revision:  # the path without its revision
                ends = [(p.collection, p.name) == (path.collection, path.name) for p in map(choosing.split, own["rel_path"])]
                same = own[np.array(ends, bool)]
                found, collection = choosing.last_before(choosing.where(same), _asked(None)), path.collection
        else:
            name = f"{dataset}.*" if isinstance(dataset, str) and dataset.count(".") == 1 else dataset
            found, told = choosing.where(own, name, collection), f"no dataset {dataset!r} {_in(collection, {})}"
            where = choosing.collections(found)
            if len(where) > 1:
                raise ALFMultipleCollectionsFound(f"{dataset!r} lies in {shown(where)}; name one as collection=")
            found = choosing.last_before(found, _asked(revision))
        if found.empty:
            raise ALFObjectNotFound(f"{told} of session {session}; {self._why(session, name, collection, revision)}")
        if len(found) > 1:
            raise ALFMultipleObjectsFound(f"{dataset!r} may be {shown(found['rel_path'])}; name one")
        return found

    def _present(self, session: str, rows: pd.DataFrame, check_hash: bool) -> dict[str, Path]:
        """The files of some datasets that are on this disk, by the dataset's path in its session."""
        home = self.eid2path(session)
        found = {}
        for (_, own), row in rows.iterrows():
            path = places.on_disk(home, str(row["rel_path"]), str(own), self.root)
            if path is not None:
                places.check(path, row, check_hash)
                found[str(row["rel_path"])] = path
        return found


def _asked(revision: str | None) -> str | None:
    return revision or os.environ.get(_LIMIT) or None


def _in(collection: Wanted, parts: Mapping[str, Any]) -> str:
    """What was asked beside a name, for messages."""
    told = [f"in {collection!r}" if collection is not None else "in any collection", *(f"with {k} {v!r}" for k, v in parts.items() if v is not None)]
    return " ".join(told)
