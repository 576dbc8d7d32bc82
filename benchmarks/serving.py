"""A web server on loopback that serves a folder by byte ranges, counts what is asked, and can be slow or drop connections."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


@dataclass
class Served:
    """A folder at `url`, and what was asked of it.

    delay_s : added to every answer
    drops : how many of the next requests break off in mid-answer
    """

    folder: Path
    url: str = ""
    delay_s: float = 0.0
    drops: int = 0
    ignores_ranges: bool = False
    requests: list[tuple[str, str, int]] = field(default_factory=list)

    def forget(self) -> None:
        """Count from nothing."""
        self.requests.clear()

    @property
    def n_bytes(self) -> int:
        """The bytes of all answers."""
        return sum(n for *_, n in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        time.sleep(self.served.delay_s)
        path = self.served.folder / unquote(self.path.partition("?")[0]).lstrip("/")
        if not path.is_file():
            self.served.requests.append((self.command, self.path, 0))
            self.send_error(404)
            return
        size = path.stat().st_size
        start, stop, status = 0, size, 200
        asked = self.headers.get("Range")
        if asked and not self.served.ignores_ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = (int(first), int(last) + 1 if last else size) if first else (size - int(last), size)
            start, stop, status = max(start, 0), min(stop, size), 206
        with open(path, "rb") as f:
            f.seek(start)
            body = f.read(stop - start) if with_body else b""
        self.send_response(status)
        self.send_header("Accept-Ranges", "none" if self.served.ignores_ranges else "bytes")
        self.send_header("Content-Length", str(stop - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        if self.served.drops:
            self.served.drops -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.served.requests.append((self.command, self.path, len(body)))
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve a folder while the block runs."""
    served = Served(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"served": served}))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def _serve_alone(folder: Path, pipe: Any) -> None:
    """In a process of its own: tell the address, then set the delay asked for and hand over what was asked since."""
    with serving(folder) as served:
        pipe.send(served.url)
        while (delay_s := pipe.recv()) is not None:
            pipe.send(list(served.requests))
            served.requests.clear()
            served.delay_s = delay_s


@contextmanager
def serving_apart(folder: Path) -> Iterator[tuple[str, Any]]:
    """As `serving`, in a process of its own so that it takes no time from its clients.

    Gives the URL and a function: called with a delay in seconds it sets that, and returns the requests since the last call.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve_alone, args=(folder, there), daemon=True)
    process.start()

    def ask(delay_s: float) -> list[tuple[str, str, int]]:
        here.send(delay_s)
        return here.recv()

    try:
        yield here.recv(), ask
    finally:
        here.send(None)
        process.join(5)
