"""A stand-in of the Hugging Face Hub: any folder as a dataset's repository, its large files on another server as LFS holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from archives.loopback import Asked, Handler, State, quoted, serving

TOKEN = "hf_t0ken"


@dataclass
class Hub(State):
    """One dataset, `repo`, whose `files` are as at `commit`.

    large : endings of what LFS holds; it is served by `cdn`
    page : rows of a page of the tree
    gated, private : as of the repository; both need the token
    next_at : where the header of a page says that the next one is, instead of here
    """

    repo: str = "owner/name"
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    branches: dict[str, str] = field(default_factory=dict)
    large: tuple[str, ...] = (".h5", ".nwb", ".mat", ".parquet")
    page: int = 3
    gated: bool = False
    private: bool = False
    license: str = "cc-by-4.0"
    next_at: str = ""
    endless: bool = False
    cdn: State = field(default_factory=State)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which it is asked instead of the archive itself."""
        return {"NEUROPILE_HF_URL": self.url}

    def rows(self, below: str = "", recursive: bool = True) -> list[dict[str, Any]]:
        folders = {"/".join(p.split("/")[:n]) for p in self.files for n in range(1, p.count("/") + 1)}
        found: list[dict[str, Any]] = [{"type": "directory", "oid": hashlib.sha1(f.encode()).hexdigest(), "size": 0, "path": f} for f in folders]
        found += [self.row(path) for path in self.files]
        inside = [r for r in found if not below or r["path"].startswith(f"{below}/")]
        depth = below.count("/") + 1 if below else 0
        return sorted((r for r in inside if recursive or r["path"].count("/") == depth), key=lambda r: r["path"])

    def row(self, path: str) -> dict[str, Any]:
        data = self.body(path) or b""
        if not path.endswith(self.large):
            return {"type": "file", "oid": _git(data), "size": len(data), "path": path}
        sha256 = hashlib.sha256(data).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data)}\n".encode()
        lfs = {"oid": sha256, "size": len(data), "pointerSize": len(pointer)}
        return {"type": "file", "oid": _git(pointer), "size": len(data), "lfs": lfs, "xetHash": sha256[::-1], "path": path}


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Hub(Handler):
    state: Hub
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

    def route(self, asked: Asked) -> None:
        state, path = self.state, asked.path
        api, files = f"/api/datasets/{state.repo}", f"/datasets/{state.repo}/resolve/"
        shown = asked.headers.get("authorization") == f"Bearer {TOKEN}"
        if path != api and not path.startswith((f"{api}/", files, "/api/resolve-cache/")):
            return self._error(401 if not shown else 404, "RepoNotFound", "Repository not found")
        if state.private and not shown:
            return self._error(401, "RepoNotFound", "Repository not found")
        if path.startswith("/api/resolve-cache/"):
            name = path.partition(f"{state.commit}/")[2]
            return self.send_file(name, {"X-Repo-Commit": state.commit, "ETag": f'"{state.row(name)["oid"]}"'})
        if path.startswith(f"{api}/tree/"):
            return self._tree(*path.removeprefix(f"{api}/tree/").partition("/")[::2])
        if path == api or path.startswith(f"{api}/revision/"):
            return self._info(path.removeprefix(f"{api}/revision/") if path != api else "main")
        if state.gated and not shown:
            return self._error(403, "GatedRepo", f"Access to dataset {state.repo} is restricted")
        return self._resolve(*path.removeprefix(files).partition("/")[::2])

    def _error(self, status: int, code: str, message: str) -> None:
        self.send_json({"error": message}, status, {"X-Error-Code": code, "X-Error-Message": message})

    def _at(self, revision: str) -> bool:
        return revision in ("main", self.state.commit) or self.state.branches.get(revision) == self.state.commit

    def _info(self, revision: str) -> None:
        state = self.state
        if not self._at(revision):
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        info = {"_id": "1", "id": state.repo, "sha": state.commit, "private": state.private, "gated": "auto" if state.gated else False}
        card = {"pretty_name": "Spikes &amp; more", "license": state.license}
        siblings = [{"rfilename": p} for p in sorted(state.files)]
        return self.send_json(info | {"tags": [f"license:{state.license}", "region:us"], "cardData": card, "siblings": siblings})

    def _tree(self, revision: str, below: str) -> None:
        state, query = self.state, self.asked.query
        if not self._at(revision):
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        rows = state.rows(below, query.get("recursive", "").lower() == "true")
        start = int(query.get("cursor") or 0)
        headers = {}
        if start + state.page < len(rows) or state.endless:
            at = 0 if state.endless else start + state.page
            more = f"recursive={query.get('recursive', 'false')}&expand=false&cursor={at}"
            headers["Link"] = f'<{state.next_at or state.url}{quote(self.asked.path)}?{more}>; rel="next"'
        return self.send_json(rows[start : start + state.page], headers=headers)

    def _resolve(self, revision: str, path: str) -> None:
        state = self.state
        if not self._at(revision):
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if path not in state.files:
            return self._error(404, "EntryNotFound", "Entry not found")
        row = state.row(path)
        if "lfs" not in row:
            cache = f"/api/resolve-cache/datasets/{state.repo}/{state.commit}/{quoted(path)}"
            return self.send_redirect(cache, 307, {"X-Repo-Commit": state.commit, "ETag": f'"{row["oid"]}"'})
        name = f"xet-bridge-us/{row['xetHash']}"
        state.cdn.files[name] = state.files[path]
        linked = {"X-Repo-Commit": state.commit, "X-Linked-Etag": f'"{row["lfs"]["oid"]}"', "X-Linked-Size": str(row["lfs"]["size"])}
        return self.send_redirect(state.cdn.signed(name), 302, linked)


@contextmanager
def hf_serving(repo: str = "owner/name") -> Iterator[Hub]:
    """The Hub with one dataset without files, and the server that has its large ones."""
    with serving(state=State(foreign=True, sign_s=30.0)) as cdn, serving(_Hub, Hub(repo=repo, cdn=cdn)) as served:
        yield served


def serve_folder(state: Hub, folder: Path) -> str:
    """Serve every file of a folder; gives the commit."""
    state.add_folder(folder)
    return state.commit
