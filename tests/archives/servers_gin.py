"""A stand-in of G-Node GIN: a folder as a real git repository over smart HTTP, its large files as git-annex would leave them."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archives.loopback import Asked, Handler, State, serving

TOKEN = "t0ken"


@dataclass
class Gin(State):
    """One repository, `repo`; `contents` are what its annex has, by key; `lost` are keys whose content it has not.

    busy : so many of the next requests of git are answered with 503
    private : nothing is shown without the token
    """

    repo: str = "owner/name"
    root: Path = Path()
    contents: dict[str, bytes] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    busy: int = 0
    private: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which it is asked instead of the archive itself."""
        return {"NEUROPILE_GIN_URL": self.url}

    @property
    def bare(self) -> Path:
        return self.root / f"{self.repo}.git"

    @property
    def tree(self) -> Path:
        return self.root / "tree"

    def git(self, *command: str, cwd: Path | None = None, stdin: bytes = b"") -> bytes:
        names = {f"GIT_{who}_{what}": "gin@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1", **names}
        return subprocess.run(["git", *command], cwd=cwd or self.bare, env=env, input=stdin, capture_output=True, check=True).stdout

    def commit(self, files: dict[str, bytes], annexed: Callable[[str], str | None], links: dict[str, str] | None = None) -> str:
        """Commit just these files: `annexed` says of a path whether its pointer is "locked" or "unlocked", or None. Gives the commit."""
        for old in self.tree.iterdir():
            if old.name != ".git":
                subprocess.run(["rm", "-rf", str(old)], check=True)
        for path, data in files.items():
            place = self.tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            how = annexed(path)
            if how is None:
                place.write_bytes(data)
                continue
            extension = "".join(Path(path).suffixes[-1:])
            key = f"MD5E-s{len(data)}--{hashlib.md5(data).hexdigest()}{extension}"
            self.contents[key] = data
            if how == "locked":
                place.symlink_to(f"{'../' * path.count('/')}.git/annex/objects/xX/yY/{key}/{key}")
            else:
                place.write_text(f"/annex/objects/{key}\n")
        for path, target in (links or {}).items():
            (self.tree / path).symlink_to(target)
        self.git("add", "--all", cwd=self.tree)
        self.git("commit", "--quiet", "--allow-empty", "-m", "as it is", cwd=self.tree)
        self.git("push", "--quiet", "--force", str(self.bare), "HEAD:refs/heads/main", cwd=self.tree)
        return self.git("rev-parse", "HEAD", cwd=self.tree).decode().strip()


class _Gin(Handler):
    state: Gin
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

    def do_POST(self) -> None:  # noqa: N802
        self._git(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def route(self, asked: Asked) -> None:
        state, path = self.state, asked.path
        if path == f"/{state.repo}/info/refs" or path == f"/{state.repo}/git-upload-pack":
            return self._git(b"")
        if path.startswith(f"/{state.repo}/raw/"):
            return self._page(403) if state.private else self._raw(path.removeprefix(f"/{state.repo}/raw/"))
        if path.startswith(f"/{state.repo}/annex/objects/"):
            return self._annexed(path.removeprefix(f"/{state.repo}/annex/objects/"))
        if path == f"/{state.repo}/config":
            return self.send_bytes(b"[annex]\n\tuuid = 6c3b6ae5-0c6f-4b7e-9d0f-4f3a7b1d5d3b\n")
        if path.startswith(f"/api/v1/repos/{state.repo}"):
            return self._api(path.removeprefix(f"/api/v1/repos/{state.repo}"))
        return self._page(404)

    def _page(self, status: int) -> None:
        self.send_bytes(b"<html><head><title>Page Not Found - GIN</title></head></html>", status, {"Content-Type": "text/html; charset=utf-8"})

    def _git(self, body: bytes) -> None:
        """GIN does not hand the version of git's protocol on, so that the oldest is spoken, without filters."""
        state, (path, _, query) = self.state, self.path.partition("?")
        with state.lock:
            state.busy, busy = max(state.busy - 1, 0), state.busy > 0
        self.asked = Asked(self.command, path, {}, {k.lower(): v for k, v in self.headers.items()})
        state.asked.append(self.asked)
        if busy:
            return self._page(503)
        login = base64.b64encode(f"{TOKEN}:".encode()).decode()
        if state.private and self.headers.get("Authorization") != f"Basic {login}":
            return self.send_bytes(b"", 401, {"WWW-Authenticate": 'Basic realm="."'})
        if path.startswith(f"/{state.repo}/"):
            inside = path.replace(f"/{state.repo}/", f"/{state.repo}.git/", 1)
        else:
            return self._page(404)
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(state.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": inside}
        env |= {"QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", "")}
        env |= {"CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")}
        out = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=True).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_bytes(rest, int(headers.pop("Status", "200").split()[0]), headers)
        return None

    def _blob(self, ref: str, path: str) -> bytes | None:
        try:
            return self.state.git("cat-file", "blob", f"{ref}:{path}")
        except subprocess.CalledProcessError:
            return None

    def _raw(self, rest: str) -> None:
        """Files whole: a range is not understood, and there is no ETag."""
        ref, _, path = rest.partition("/")
        found = self._blob(ref, path)
        if found is None:
            return self._page(404)
        if b"/annex/objects" in found:
            key = found.decode().strip().rpartition("/")[2]
            if key in self.state.lost:
                return self._page(500)
            found = self.state.contents[key]
        self.asked.start = self.asked.stop = None
        self.state.files[rest] = found
        return self.send_file(rest, {"Accept-Ranges": "none"})

    def _annexed(self, rest: str) -> None:
        upper, lower, key, _ = rest.split("/")
        md5 = hashlib.md5(key.encode()).hexdigest()
        if (upper, lower) != (md5[:3], md5[3:6]) or key not in self.state.contents:
            return self._page(404)
        return self.send_bytes(self.state.contents[key], 200, {"Content-Type": "application/octet-stream"})

    def _api(self, rest: str) -> None:
        state, shown = self.state, self.headers.get("Authorization") == f"token {TOKEN}"
        if not shown and (rest or state.private):
            return self.send_bytes(b"", 401)
        if not rest:
            return self.send_json({"id": 1, "full_name": state.repo, "description": "Spiking", "private": state.private, "default_branch": "main"})
        if rest.startswith("/branches/"):
            name = rest.removeprefix("/branches/")
            return self.send_json({"name": name, "commit": {"id": state.git("rev-parse", f"refs/heads/{name}").decode().strip()}})
        if rest.startswith("/raw/"):
            return self._raw(rest.removeprefix("/raw/"))
        if rest == "/contents" or rest.startswith("/contents/"):
            return self._contents(rest.removeprefix("/contents").strip("/"))
        return self.send_json({"message": "Not Found"}, 404)

    def _contents(self, folder: str) -> None:
        rows: list[dict[str, Any]] = []
        listed = self.state.git("ls-tree", "-l", "-z", f"{self.asked.query['ref']}:{folder}")
        for line in filter(None, listed.split(b"\0")):
            head, _, name = line.partition(b"\t")
            mode, kind, oid, size = head.decode().split()
            path = f"{folder}/{name.decode()}".strip("/")
            row: dict[str, Any] = {"type": "dir", "size": 0, "name": name.decode(), "path": path, "sha": oid}
            if kind == "blob":
                data = self.state.git("cat-file", "blob", oid)
                link = {"type": "symlink", "target": data.decode()} if mode == "120000" else {}
                row |= {"size": int(size), **(link or {"type": "file", "encoding": "base64", "content": base64.b64encode(data).decode()})}
            rows.append(row)
        self.send_json(rows)


@contextmanager
def gin_serving(root: Path, repo: str = "owner/name") -> Iterator[Gin]:
    """GIN with one repository below `root`, without commits unless it is there already."""
    state = Gin(repo=repo, root=root)
    if not state.bare.exists():
        state.bare.mkdir(parents=True)
        state.git("init", "--quiet", "--bare", "--initial-branch=main")
        state.git("init", "--quiet", "--initial-branch=main", str(state.tree))
    with serving(_Gin, state) as served:
        yield served


def serve_folder(state: Gin, folder: Path, annexed: tuple[str, ...] = (".mat", ".h5", ".nwb", ".npy")) -> str:
    """Commit every file of a folder, those with one of these endings annexed; gives the commit."""
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return state.commit(files, lambda path: "unlocked" if path.endswith(annexed) else None)
