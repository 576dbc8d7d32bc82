"""A stand-in of the Hugging Face Hub on loopback that takes commits, and misbehaves as it is told to."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from servers import _Hub


@dataclass
class Fault:
    """What is answered instead, so many times once there are `after` commits: an HTTP status, or 0 for a connection that drops."""

    method: str
    path: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 0


@dataclass
class HubState:
    """What the stand-in holds: files of a repository by branch below `root`, and what was asked of it.

    token : what writers must show; none is asked for where it is None
    commits : of each its branch, the names it added and those it removed
    """

    root: Path
    repo: str
    endpoint: str = ""
    token: str | None = None
    private: bool | None = None
    commits: list[tuple[str, list[str], list[str]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)

    def files(self, branch: str = "main") -> dict[str, bytes]:
        """The files of a branch."""
        folder = self.root / branch
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class _Writable(_Hub):
    state: HubState
    etag = ""
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

    def do_GET(self) -> None:  # noqa: N802
        if self._misbehaved():
            return
        path = unquote(self.path.partition("?")[0])
        asked = re.search(r"/(?:resolve|revision|tree)/([^/]+)", path)
        branch = asked[1] if asked else "main"
        branch = "main" if re.fullmatch(r"[0-9a-f]{40}", branch) else branch
        self.folder = self.state.root / branch
        if self.state.private is None or not self.folder.is_dir():
            self._json({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
        elif path == f"/api/datasets/{self.repo}" or "/revision/" in path:
            siblings = [{"rfilename": n} for n in self.state.files(branch)]
            self._json({"id": self.repo, "sha": self.sha, "private": self.state.private, "siblings": siblings})
        elif "/tree/" in path and "recursive=true" in self.path.lower():
            below = path.partition("/tree/")[2].partition("/")[2]
            self._json([self._entry(p) for p in sorted((self.folder / below).rglob("*"))])
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:  # noqa: N802
        if self._misbehaved():
            return
        path = unquote(self.path.partition("?")[0])
        api = f"/api/datasets/{self.repo}"
        if "/paths-info/" in path:
            self.folder = self.state.root / "main"
            super().do_POST()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path == "/api/validate-yaml":
            self._json({"warnings": [], "errors": []})
        elif self._refused():
            return
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path.startswith(f"{api}/branch/"):
            self._branch(path.rpartition("/")[2])
        elif path.startswith(f"{api}/preupload/"):
            files = json.loads(body)["files"]
            self._json(
                {"files": [{"path": f["path"], "uploadMode": "lfs" if f["path"].endswith("parquet") else "regular", "shouldIgnore": False} for f in files]}
            )
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body)["objects"])
        elif path.startswith(f"{api}/commit/"):
            self._commit(path.rpartition("/")[2], [json.loads(line) for line in body.splitlines()])
        else:
            self._json({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})

    def do_PUT(self) -> None:  # noqa: N802
        if self._misbehaved():
            return
        data = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(data).hexdigest() == oid
        self.state.objects[oid] = data
        self.state.puts.append(oid)
        self._json({})

    def _file(self, name: str) -> None:
        path = self.folder / name
        if path.is_file():  # the library keeps files by this name of their content
            self.etag = hashlib.sha256(path.read_bytes()).hexdigest()
        super()._file(name)

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        super()._send(data, status, {k: f'"{self.etag}"' if k == "ETag" else v for k, v in headers.items()})

    def _misbehaved(self) -> bool:
        for fault in self.state.faults:
            ready = fault.times and len(self.state.commits) >= fault.after
            if ready and fault.method == self.command and re.search(fault.path, self.path):
                fault.times -= 1
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if fault.status:
                    self._json({"error": "as it was told"}, fault.status, **fault.headers)
                self.close_connection = True
                return True
        return False

    def _refused(self) -> bool:
        shown = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.state.token is None or shown == self.state.token:
            return False
        self._json({"error": "Invalid username or password."} if not shown else {"error": "You don't have the rights"}, 403 if shown else 401)
        return True

    def _create(self, asked: dict[str, Any]) -> None:
        assert f"{asked['organization']}/{asked['name']}" == self.repo
        existed = self.state.private is not None
        if not existed:
            self.state.private = asked.get("visibility") == "private" or bool(asked.get("private"))
            (self.state.root / "main").mkdir(parents=True)
            (self.state.root / "main" / ".gitattributes").write_text("*.parquet filter=lfs\n")
        self._json({"url": f"{self.state.endpoint}/datasets/{self.repo}"}, 409 if existed else 200)

    def _branch(self, name: str) -> None:
        existed = (self.state.root / name).exists()
        if not existed:
            shutil.copytree(self.state.root / "main", self.state.root / name)
        self._json({"error": "Reference already exists"} if existed else {}, 409 if existed else 200)

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        answers = []
        for o in objects:
            known = o["oid"] in self.state.objects
            answers.append(o if known else {**o, "actions": {"upload": {"href": f"{self.state.endpoint}/lfs/{o['oid']}"}}})
        self._json({"transfer": "basic", "objects": answers})

    def _commit(self, branch: str, lines: list[dict[str, Any]]) -> None:
        folder = self.state.root / branch
        if not folder.is_dir():
            self._json({"error": "Revision not found"}, 404, **{"X-Error-Code": "RevisionNotFound"})
            return
        added, removed = [], []
        for line in lines[1:]:
            kind, value = line["key"], line["value"]
            path = folder / value["path"]
            if kind == "deletedFile":
                path.unlink()
                removed.append(value["path"])
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.state.objects[value["oid"]] if kind == "lfsFile" else base64.b64decode(value["content"]))
            added.append(value["path"])
        self.state.commits.append((branch, added, removed))
        self._json({"commitUrl": f"{self.state.endpoint}/datasets/{self.repo}/commit/{self.sha}", "commitOid": self.sha})


@contextmanager
def hub_writable(root: Path, repo: str) -> Iterator[HubState]:
    """A stand-in of the Hub where one dataset repository can be made, filled and read."""
    state = HubState(root, repo)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (_Writable,), {"state": state, "repo": repo, "folder": root / "main"}))
    server.daemon_threads = True
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
