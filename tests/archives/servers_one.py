"""A stand-in of IBL's public database and of the servers that have its files: any ALF tree as a release."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archives.loopback import Asked, Handler, State, quoted, serving

BUCKET = "ibl-brain-wide-map-public"
LOGIN = {"username": "intbrainlab", "password": "international"}
_NAMES = uuid.UUID("d3372b15-f696-4279-9be5-98f15783b5bb")
_SESSION = re.compile(r"(?P<lab>\w+)/Subjects/(?P<session>(?P<subject>[\w.-]+)/(?P<date>[\d-]+)/(?P<number>\d+))/(?P<inside>.+)")
_REVISION = re.compile(r"(?:^|/)#([\w.-]+)#/")


@dataclass
class Alyx(State):
    """Sessions and datasets; the files are served below `/public`, and by `bucket`, another server.

    most : rows of a page, however many are asked for
    tokens : those that are taken; each login makes one more
    joins : rows of datasets that come into being while the list is read, one after each page
    """

    tag: str = "2022_Q4_IBL_et_al_BWM"
    sessions: list[dict[str, Any]] = field(default_factory=list)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    most: int = 7
    tokens: set[str] = field(default_factory=set)
    logins: int = 0
    login: dict[str, str] = field(default_factory=lambda: dict(LOGIN))
    joins: list[dict[str, Any]] = field(default_factory=list)
    bucket: State = field(default_factory=State)

    @property
    def insertions(self) -> list[dict[str, Any]]:
        """A row a probe of which there is a dataset."""
        found = {}
        for d in self.datasets:
            if probe := re.match(r"alf/(probe\w+)", d["collection"]):
                eid = d["session"][-36:]
                did = str(uuid.uuid5(_NAMES, f"{eid}/{probe[1]}"))
                found[did] = {"id": did, "session": eid, "name": probe[1]}
        return list(found.values())

    def fits(self, session: dict[str, Any], query: dict[str, str]) -> bool:
        """Whether a session is what a query asks for: parts of texts, whatever the case; days from one to another."""
        for key in ("subject", "lab", "task_protocol"):
            if query.get(key, "").lower() not in session[key].lower():
                return False
        if query.get("projects", "").lower() not in ",".join(session["projects"]).lower() or int(query.get("number", session["number"])) != session["number"]:
            return False
        first, _, last = query.get("date_range", "0,9").partition(",")
        names = {d["name"] for d in self.datasets if d["session"].endswith(session["id"])}
        return first <= session["start_time"][:10] <= last and all(n in names for n in query.get("datasets", "").split(",") if n)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which it is asked instead of IBL's servers."""
        return {"NEUROPILE_ONE_URL": self.url, "NEUROPILE_ONE_FILES_URL": f"{self.url}/public", "NEUROPILE_S3_URL": self.bucket.url}

    def add(self, path: str, data: bytes | Path, **other: Any) -> dict[str, Any]:
        """A file of a session, `lab/Subjects/subject/date/number/...`; `other` are fields of its row that are not the usual ones."""
        match = _SESSION.fullmatch(path)
        assert match, path
        eid = self._session(match)
        did = str(uuid.uuid5(_NAMES, path))
        body = data.read_bytes() if isinstance(data, Path) else data
        revision = found[1] if (found := _REVISION.search(match["inside"])) else None
        collection, _, name = _REVISION.sub("/", match["inside"]).strip("/").rpartition("/")
        stem, _, extension = path.rpartition(".")
        named = f"{stem}.{did}.{extension}"
        self.files[f"public/{named}"] = self.bucket.files[f"{BUCKET}/data/{named}"] = data
        relative = f"{match['session']}/{match['inside']}"
        served = {"data_repository": f"flatiron_{match['lab']}", "data_repository_path": f"/{match['lab']}/Subjects/", "relative_path": relative}
        kept = {"data_repository": f"aws_{match['lab']}", "data_repository_path": f"data/{match['lab']}/Subjects/", "relative_path": relative}
        local = {"data_repository": f"{match['lab']}_local", "data_repository_path": "/mnt/", "relative_path": relative, "data_url": None, "exists": False}
        records = [local, served | {"data_url": f"{self.url}/public/{named}", "exists": True}, kept | {"data_url": None, "exists": True}]
        row = {"url": f"{self.url}/datasets/{did}", "name": name, "collection": collection, "revision": revision, "default_dataset": True}
        row |= {"session": f"{self.url}/sessions/{eid}", "file_size": len(body), "hash": hashlib.md5(body).hexdigest(), "version": "2.0", "qc": "PASS"}
        row |= {"dataset_type": ".".join(name.split(".")[:2]), "tags": [self.tag], "public": True, "file_records": records, **other}
        same = [r for r in self.datasets if (r["session"], r["collection"], r["name"]) == (row["session"], collection, name)]
        if "default_dataset" not in other and same:
            newest = max([row, *same], key=lambda r: r["revision"] or "")
            for r in (row, *same):
                r["default_dataset"] = r is newest
        self.datasets.append(row)
        return row

    def _session(self, match: re.Match[str]) -> str:
        eid = str(uuid.uuid5(_NAMES, f"{match['lab']}/{match['session']}"))
        if all(s["id"] != eid for s in self.sessions):
            row = {"id": eid, "subject": match["subject"], "start_time": f"{match['date']}T09:26:09", "number": int(match["number"]), "lab": match["lab"]}
            self.sessions.append(row | {"projects": ["ibl_neuropixel_brainwide_01"], "url": f"{self.url}/sessions/{eid}", "task_protocol": "ephys"})
        return eid


class _Alyx(Handler):
    state: Alyx
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

    def route(self, asked: Asked) -> None:
        state, path = self.state, asked.path
        if path.startswith("/public/"):
            return self.send_file(path.lstrip("/"))
        if path == "/auth-token":
            return self._log_in()
        if asked.headers.get("authorization") not in {f"Token {t}" for t in state.tokens}:
            return self.send_json({"detail": "Invalid token.", "status_code": 403}, 403)
        if state.next or state.mischief(asked):
            return self.send_file(path.lstrip("/"))
        if path.startswith("/sessions/"):
            return self._one(path.rpartition("/")[2])
        if path not in ("/sessions", "/datasets", "/insertions"):
            return self.send_json({"detail": "Not found.", "status_code": 404}, 404)
        if asked.query.get("tag", state.tag) != state.tag:
            return self._page([])
        if path == "/sessions":
            return self._page([s for s in state.sessions if state.fits(s, asked.query)])
        of = asked.query.get("session")
        if path == "/insertions":
            return self._page([i for i in state.insertions if of in (None, i["session"])])
        own = [d for d in state.datasets if of is None or d["session"].endswith(of)]
        here = [d for d in own if asked.query.get("exists") != "true" or any(r["exists"] for r in d["file_records"])]
        self._page(here)
        if state.joins:
            state.datasets.insert(0, state.joins.pop())
        return None

    def _one(self, eid: str) -> None:
        found = next((s for s in self.state.sessions if s["id"] == eid), None)
        return self.send_json({"detail": "No Session matches the given query."}, 404) if found is None else self.send_json(found)

    def _log_in(self) -> None:
        if self.asked.form != self.state.login:
            return self.send_json({"non_field_errors": ["Unable to log in with provided credentials."]}, 400)
        self.state.logins += 1
        token = f"token-{self.state.logins}"
        self.state.tokens.add(token)
        return self.send_json({"token": token})

    def _page(self, rows: list[dict[str, Any]]) -> None:
        query, state = self.asked.query, self.state
        limit, offset = min(int(query.get("limit", 250)), state.most), int(query.get("offset", 0))
        more = f"{state.url}{quoted(self.asked.path)}?limit={limit}&offset={offset + limit}" if offset + limit < len(rows) else None
        self.send_json({"count": len(rows), "next": more, "previous": None, "results": rows[offset : offset + limit]})


@contextmanager
def one_serving() -> Iterator[Alyx]:
    """IBL's database without sessions, and the bucket that has its files a second time."""
    with serving() as bucket, serving(_Alyx, Alyx(bucket=bucket)) as served:
        yield served


def serve_folder(state: Alyx, folder: Path) -> None:
    """Serve every file of a tree lab/Subjects/subject/date/number/... as a dataset; of revisions the newest is the default."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        state.add(path.relative_to(folder).as_posix(), path)
