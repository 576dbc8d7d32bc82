"""Servers on loopback."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import s3fs
from moto.server import ThreadedMotoServer

from benchmarks.serving import Served, serving

__all__ = ["Served", "hub_serving", "s3_serving", "serving"]


@contextmanager
def s3_serving(bucket: str) -> Iterator[dict[str, Any]]:
    """An S3 server with one bucket: the options s3fs needs to reach it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
    try:
        s3fs.S3FileSystem(**options).mkdir(bucket)
        yield options
    finally:
        server.stop()


class _Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face Hub's HTTP API as its own library asks for to read the files of one dataset."""

    protocol_version = "HTTP/1.1"
    folder: Path
    repo: str
    sha = "0" * 40

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        api, resolve = f"/api/datasets/{self.repo}", f"/datasets/{self.repo}/resolve/"
        if path.startswith(resolve):
            self._file(path.removeprefix(resolve).partition("/")[2])
        elif path.startswith(f"{api}/tree/"):
            self._tree(path.removeprefix(f"{api}/tree/").partition("/")[2])
        elif path == api or path.startswith(f"{api}/revision/"):
            self._json({"id": self.repo, "sha": self.sha, "private": False, "siblings": []})
        else:
            self._json({"error": f"not found: {path}"}, 404)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        names = json.loads(asked)["paths"] if asked.startswith(b"{") else parse_qs(asked.decode()).get("paths", [])
        self._json([self._entry(self.folder / n) for n in names if (self.folder / n).exists()])

    def _tree(self, below: str) -> None:
        if not (self.folder / below).is_dir():
            self._json({"error": "Entry not found"}, 404, **{"X-Error-Code": "EntryNotFound"})
            return
        self._json([self._entry(p) for p in sorted((self.folder / below).iterdir())])

    def _entry(self, path: Path) -> dict[str, Any]:
        kind = "directory" if path.is_dir() else "file"
        return {"type": kind, "path": path.relative_to(self.folder).as_posix(), "size": path.stat().st_size * path.is_file(), "oid": self.sha}

    def _file(self, name: str) -> None:
        path = self.folder / name
        if not path.is_file():
            self._json({"error": "Entry not found"}, 404, **{"X-Error-Code": "EntryNotFound"})
            return
        data, status = path.read_bytes(), 200
        headers = {"X-Repo-Commit": self.sha, "ETag": f'"{self.sha}"'}
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[int(first) : int(last) + 1 if last else None], 206
        self._send(data, status, headers)

    def _json(self, value: Any, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **headers})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def hub_serving(folder: Path, repo: str) -> Iterator[str]:
    """A stand-in of the Hugging Face Hub with one dataset, a folder: its endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Hub", (_Hub,), {"folder": folder, "repo": repo}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
