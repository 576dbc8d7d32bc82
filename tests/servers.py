"""Servers on loopback."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote

import s3fs
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from upath import UPath
from werkzeug.serving import make_server

from benchmarks.serving import Served, serving

__all__ = ["Served", "hub_serving", "s3_serving", "s3_watched", "serving"]


@dataclass
class S3Served:
    """An S3 server on loopback with one bucket, and what was asked of it.

    options : what s3fs needs to reach it
    requests : (method, path, query) of each request
    failing : called with each request's method and path; a failure (see `FAILURES`) is what it gets instead of an answer
    """

    bucket: str
    options: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    failing: Callable[[str, str], str | None] = lambda method, path: None

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which s3fs reaches it from another process."""
        return {"FSSPEC_S3_KEY": "k", "FSSPEC_S3_SECRET": "s", "FSSPEC_S3_ENDPOINT_URL": self.options["endpoint_url"]}

    def path(self, name: str) -> UPath:
        """A place in the bucket."""
        return UPath(f"s3://{self.bucket}/{name}", **self.options)


FAILURES = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Slow Down", "SlowDown"),
    "429": ("429 Too Many Requests", "TooManyRequests"),
    "403": ("403 Forbidden", "AccessDenied"),
    "cut": ("", ""),  # the connection ends before the answer
    "late": ("", ""),  # the same, after the request was carried out
}


class _Watched:
    """Moto's application with a log and failures in front of it."""

    def __init__(self, served: S3Served) -> None:
        self.served = served
        self.app = DomainDispatcherApplication(create_backend_app)
        self.lock, self.writing = threading.Lock(), threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self.lock:
            self.served.requests.append((method, path, environ.get("QUERY_STRING", "")))
            failure = self.served.failing(method, path)
        if failure is None:
            return self._answer(environ, start_response)
        if failure != "late":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if failure == "late":
            self._answer(environ, lambda *_: None)
        if failure in ("late", "cut"):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        status, code = FAILURES[failure]
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()] if method != "HEAD" else []

    def _answer(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            return cast("Iterable[bytes]", self.app(environ, start_response))
        with self.writing:  # as S3 and unlike moto, a condition and the write that hangs on it are one
            return cast("Iterable[bytes]", self.app(environ, start_response))


@contextmanager
def s3_watched(bucket: str, tries: int | None = None) -> Iterator[S3Served]:
    """An S3 server on loopback that tells what it was asked, and fails when it is told to.

    tries : how often botocore itself tries each request, by default some times with seconds between
    """
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    served = S3Served(bucket)
    server = make_server("127.0.0.1", 0, _Watched(served), threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served.options = {"key": "k", "secret": "s", "endpoint_url": f"http://127.0.0.1:{server.server_port}"}
    if tries is not None:
        served.options["config_kwargs"] = {"retries": {"mode": "standard", "total_max_attempts": tries}}
    try:
        s3fs.S3FileSystem(**served.options).makedirs(bucket, exist_ok=True)  # servers of one process share their buckets
        yield served
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def s3_serving(bucket: str) -> Iterator[dict[str, Any]]:
    """An S3 server with one bucket: the options s3fs needs to reach it."""
    with s3_watched(bucket) as served:
        yield served.options


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
