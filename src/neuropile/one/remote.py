"""IBL's public database asked for sessions, and a session's files brought into a cache on this disk."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuropile.archives import fetching, one
from neuropile.archives.answers import get, need
from neuropile.archives.digests import WrongBytes
from neuropile.archives.one_api import BASE, Database
from neuropile.one import ids, tables, walking
from neuropile.one.errors import ALFObjectNotFound
from neuropile.searching.keywords import KEYWORDS, QC, completed, date_span, listed, qc_value

if TYPE_CHECKING:
    import pandas as pd

    from neuropile.archives.web import Web
    from neuropile.types import Asset

#: What the database is asked beside ONE's keywords: a release's tag, regions by acronym, kinds of datasets, its own filters.
MORE = ("tag", "atlas_acronym", "dataset_types", "django")
_PARAMETERS = {"laboratory": "lab"}
_EARLIEST, _LATEST = datetime.date(1900, 1, 1), datetime.date(2999, 12, 31)


def search(web: Web, *, base: str = BASE, **asked: Any) -> pd.DataFrame:
    """The sessions of the database that match all keywords, newest first: lab, subject, date, number, task_protocol, projects.

    The database decides: texts are parts of a value whatever the case, and no regular expressions; only `datasets` asks for
    files that exist.

    asked : ONE's keywords (`searching.KEYWORDS`) and MORE, shortened or not; of a list, by the database's own rule

    Raises
    ------
    NeuropileError : an unknown or ambiguous keyword, or a value that does not serve as one
    ArchiveError : the database cannot be asked
    """
    queries = completed(asked, (*KEYWORDS, *MORE))
    database = Database(base, "one")
    rows = database.all(web, "sessions", {_PARAMETERS.get(k, k): _parameter(k, v) for k, v in queries.items()}, lambda row: _session(row, database))
    columns = ("id", "lab", "subject", "date", "number", "task_protocol", "projects")
    found = tables.frame("sessions", {c: [r[c] for r in rows] for c in columns})
    return found.sort_values(["date", "subject", "number"], ascending=False)


def _parameter(key: str, value: Any) -> str:
    if key == "date_range":
        first, last = date_span(value)
        return f"{first or _EARLIEST},{last or _LATEST}"
    if key == "dataset_qc_lte":
        return next(name for name, number in QC.items() if number == qc_value(value))
    return ",".join(map(str, listed(value, key)))


def _session(row: Mapping[str, Any], database: Database) -> dict[str, Any]:
    projects = get(row, "projects")
    return {
        "id": database.id_of(row),
        "lab": str(get(row, "lab") or ""),
        "subject": need(row, "subject", str, database.where),
        "date": need(row, "start_time", str, database.where)[:10],
        "number": need(row, "number", int, database.where),
        "task_protocol": str(get(row, "task_protocol") or ""),
        "projects": ",".join(map(str, projects)) if isinstance(projects, list) else str(projects or ""),
    }


def download(
    web: Web, eid: str, root: Path, datasets: Sequence[str] = one.DATASETS, revision: str | None = None, progress: Callable[[int], None] = lambda n: None
) -> list[Path]:
    """A session's files in a cache, each verified by its hash, and the cache's tables with their rows; returns the files.

    A file that is there already stays if it is the one the database tells of; else it is fetched again.

    eid : the session's id
    root : the cache's folder; its tables are made where it has none
    datasets, revision : which files; see `archives.one.Release`
    progress : called with the number of bytes whenever some came

    Raises
    ------
    ALFObjectNotFound : the session has no such files, or is not named by its id
    ArchiveError : a file cannot be had, or is not what the database announces
    """
    if not ids.is_uuid(eid):
        raise ALFObjectNotFound(
            f"the database gives a session by its id, such as 4ecb5d24-f5cc-402c-be28-9d0f7cb14b3a, not {eid!r}; neuropile one search finds it"
        )
    release = one.release(eid, revision, tuple(datasets))
    listing = release.list(web)
    if not listing.assets:
        raise ALFObjectNotFound(f"session {eid} has no file that fits {', '.join(datasets)}")
    found = []
    for asset in listing.assets:
        path = root / asset.path
        if path.is_file() and not _is(path, asset):
            path.unlink()
        found.append(fetching.fetch_member(release, asset, web, root, progress))
    _enter(web, release, listing.assets, root)
    return found


def _is(path: Path, asset: Asset) -> bool:
    try:
        fetching.verify(path, asset)
    except WrongBytes:
        return False
    return True


def _enter(web: Web, release: one.Release, assets: Sequence[Asset], root: Path) -> None:
    """Put a session, its datasets and its probes into the tables of a cache."""
    eid, database = release.id.lower(), release.database
    session = _session(database.ask(web, f"sessions/{eid}"), database)
    named = walking.canonical(session["lab"], session["subject"], session["date"], session["number"])
    probes = database.all(web, "insertions", {"session": eid}, lambda row: {"eid": eid, "id": database.id_of(row), "name": need(row, "name", str, "one")})
    datasets = [
        {
            "eid": eid,
            "id": (a.version or "").rpartition("/")[2],
            "rel_path": a.path.removeprefix(f"{named}/"),
            "file_size": (root / a.path).stat().st_size,
            "hash": (a.digest or "").rpartition(":")[2],
        }
        for a in assets
    ]
    new = {"sessions": [session], "datasets": datasets, "insertions": list(probes)}
    known = tables.read(root) or walking.walk(root)
    same = known.sessions[(known.sessions["subject"] == session["subject"]) & (known.sessions["number"] == session["number"])]
    walked = [i for i, row in same.iterrows() if str(row["date"]) == session["date"] and i != eid]
    merged = {name: _merged(name, getattr(known, name), rows, walked) for name, rows in new.items()}
    tables.write(tables.Tables(**merged), root, release.base, datetime.datetime.now())


def _merged(name: str, known: pd.DataFrame, rows: Sequence[Mapping[str, Any]], gone: Sequence[Any]) -> pd.DataFrame:
    """A table with rows put in, those of the same id and of sessions that are gone left out."""
    import pandas as pd

    kept = known[~known.index.get_level_values(0).isin(list(gone))]
    if not rows:
        return kept
    added = tables.frame(name, {c: [r[c] for r in rows] for c in rows[0]})
    kept = kept[~kept.index.isin(added.index)].drop(columns="session_path", errors="ignore")
    both = pd.concat([kept, added]).reset_index() if len(kept) else added.reset_index()
    return tables.frame(name, {c: both[c] for c in both.columns})
