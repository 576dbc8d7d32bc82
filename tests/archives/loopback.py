"""Loopback servers of archives: any bytes by ranges, with every misbehaviour archives are known for; DANDI and S3 on top of it.

Another archive's stand-in subclasses `Handler`, overrides `route`, and is served by `serving(Handler subclass, state)`.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Asked:
    """One request. `path` is decoded, `query` parsed, `start`/`stop` the asked range (None: none); `sent` counts the body's bytes."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str] = field(default_factory=dict)
    start: int | None = None
    stop: int | None = None
    status: int = 0
    sent: int = 0


@dataclass(frozen=True)
class Mischief:
    """What goes wrong with one answer.

    status, headers, body : sent instead of the answer
    cut : the connection ends after so much of the body (a fraction); reset : by a TCP reset
    ignore_range : the whole file with 200; flip : a byte in the middle is another; html : 200 with a page; delay_s : before the answer
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: float | None = None
    reset: bool = False
    ignore_range: bool = False
    flip: bool = False
    delay_s: float = 0.0


HTML = Mischief(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html><head><title>Making sure you are not a bot</title></head><body>wait</body></html>")
CHALLENGE = Mischief(202, {"x-amzn-waf-action": "challenge"})


@dataclass
class State:
    """What a server serves and was asked.

    files : body of each path (bytes, or a Path to a file), without leading slash
    next : what goes wrong with the next requests for files, one each; `mischief` decides where none is left
    etags, types : of files, by path; an ETag is sent only where one is given
    foreign : refuses every Authorization and every HEAD, as signed S3 addresses do
    sign_s : files need `?expires=` of the future (see `signed`); None: they do not
    drip_s : a pause before each 64 kB of a body
    """

    files: dict[str, bytes | Path] = field(default_factory=dict)
    url: str = ""
    next: list[Mischief] = field(default_factory=list)
    mischief: Callable[[Asked], Mischief | None] = lambda asked: None
    etags: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    foreign: bool = False
    sign_s: float | None = None
    drip_s: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forget(self) -> None:
        """Count from nothing."""
        self.asked.clear()

    @property
    def n_bytes(self) -> int:
        """The bytes of all answers' bodies."""
        return sum(a.sent for a in self.asked)

    def ranges(self, path: str) -> list[tuple[int, int]]:
        """The byte ranges of a path that were asked for (0, -1 where none was given)."""
        return [(a.start or 0, -1 if a.stop is None else a.stop) for a in self.asked if a.path.lstrip("/") == path]

    def signed(self, path: str) -> str:
        """The address of a file, valid for `sign_s` from now where that is set."""
        query = "" if self.sign_s is None else f"?expires={time.time() + self.sign_s:.3f}"
        return f"{self.url}/{quoted(path)}{query}"

    def add_folder(self, folder: Path, prefix: str = "") -> None:
        """Serve every file below a folder under its path there."""
        self.files.update({prefix + p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()})

    def body(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        found = self.files.get(path)
        return found.read_bytes() if isinstance(found, Path) else found


def quoted(path: str) -> str:
    """A path as it stands in an address."""
    from urllib.parse import quote

    return quote(path, safe="/")


class Handler(BaseHTTPRequestHandler):
    """Answers requests; `route` is for what is no file, and falls back on `send_file`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 20
    state: Any
    asked: Asked

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        n = int(self.headers.get("Content-Length") or 0)
        form = dict(parse_qsl(self.rfile.read(n).decode())) if n else {}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.asked = Asked(self.command, unquote(parts.path), query, {k.lower(): v for k, v in self.headers.items()}, form)
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            self.asked.start, self.asked.stop = int(match[1]), int(match[2]) + 1 if match[2] else None
        with self.state.lock:
            self.state.asked.append(self.asked)
        self.route(self.asked)

    def route(self, asked: Asked) -> None:
        """What is asked for is a file by its path."""
        self.send_file(asked.path.lstrip("/"))

    def send_file(self, path: str, headers: Mapping[str, str] = {}) -> None:
        """A file of the state by ranges, with the mischief that is due."""
        state, asked = self.state, self.asked
        if state.foreign and ("authorization" in asked.headers or asked.method == "HEAD"):
            return self.send_bytes(
                b"<Error><Code>InvalidArgument</Code><Message>Unsupported Authorization Type</Message></Error>", 400 if asked.method == "GET" else 403
            )
        if state.sign_s is not None and float(asked.query.get("expires", 0)) < time.time():
            return self.send_bytes(b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", 403)
        with state.lock:
            mischief = state.next.pop(0) if state.next else state.mischief(asked)
        body = state.body(path)
        if mischief is not None:
            time.sleep(mischief.delay_s)
            if mischief.status is not None:
                return self.send_bytes(mischief.body, mischief.status, mischief.headers)
        if body is None:
            return self.send_bytes(b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>", 404)
        if mischief is not None and mischief.flip:
            body = body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 1]) + body[len(body) // 2 + 1 :]
        more = {"Accept-Ranges": "bytes", "Content-Type": state.types.get(path, "application/octet-stream"), **headers}
        if path in state.etags:
            more["ETag"] = f'"{state.etags[path]}"'
        status = 200
        if asked.start is not None and not (mischief and mischief.ignore_range):
            if asked.start >= len(body):
                return self.send_bytes(b"<Error><Code>InvalidRange</Code></Error>", 416, {"Content-Range": f"bytes */{len(body)}"})
            stop = min(len(body) if asked.stop is None else asked.stop, len(body))
            more["Content-Range"] = f"bytes {asked.start}-{stop - 1}/{len(body)}"
            body, status = body[asked.start : stop], 206
        return self.send_bytes(body, status, more, mischief)

    def send_bytes(self, body: bytes, status: int = 200, headers: Mapping[str, str] = {}, mischief: Mischief | None = None) -> None:
        """An answer; its body may end early."""
        self.asked.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        end = len(body) if mischief is None or mischief.cut is None else int(len(body) * mischief.cut)
        try:
            for at in range(0, end, 1 << 16):
                time.sleep(self.state.drip_s)
                part = body[at : min(at + (1 << 16), end)]
                self.asked.sent += len(part)  # before: who reads it may look here at once
                self.wfile.write(part)
        except OSError:  # the client has gone
            self.close_connection = True
            return
        if end < len(body):
            self.close_connection = True
            if mischief is not None and mischief.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def send_json(self, value: Any, status: int = 200, headers: Mapping[str, str] = {}) -> None:
        """An answer in JSON."""
        self.send_bytes(json.dumps(value).encode(), status, {"Content-Type": "application/json", **headers})

    def send_redirect(self, location: str, status: int = 302, headers: Mapping[str, str] = {}) -> None:
        """A redirect, with a page of HTML as bodies of redirects have."""
        self.send_bytes(b"<html>moved</html>", status, {"Location": location, "Content-Type": "text/html", **headers})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error here."""


@contextmanager
def serving(handler: type[Handler] = Handler, state: Any = None) -> Iterator[Any]:
    """Serve while the block runs; gives the state, whose `url` says where."""
    state = State() if state is None else state
    server = _Server(("127.0.0.1", 0), type("Bound", (handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
