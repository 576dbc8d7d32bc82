"""No server holds this machine for ever, fills its memory, or learns what is not its own; nor does what the environment says."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from archives.loopback import Asked, Handler, Mischief, State, serving

from neuropile.archives import Place, dandi, dryad, s3, wire
from neuropile.archives import web as webs
from neuropile.archives.answers import token
from neuropile.archives.patience import Passing
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError

PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


@contextmanager
def dripping(head: bytes, pause_s: float = 0.02) -> Iterator[tuple[str, list[int]]]:
    """A server that sends a beginning, then a letter now and then, for ever; its address and how often it was asked."""
    listening, asked, over = socket.create_server(("127.0.0.1", 0)), [0], threading.Event()

    def answer(connection: socket.socket) -> None:
        try:
            connection.recv(1 << 16)
            asked[0] += 1
            connection.sendall(head)
            while not over.wait(pause_s):
                connection.sendall(b" ")
        except OSError:
            connection.close()

    def listen() -> None:
        while not over.is_set():
            try:
                threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()
            except OSError:
                return

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
    finally:
        over.set()
        listening.close()


SLOW = {
    "a page": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n",
    "a packed page": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100000000\r\n\r\n" + gzip.compress(b"{}")[:12],
    "a page of unknown length": b"HTTP/1.1 200 OK\r\n\r\n",
    "headers": b"HTTP/1.1 200 OK\r\nX-Long: ",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 60000\r\n\r\n",
    "a refusal": b"HTTP/1.1 403 No\r\nContent-Length: 600000\r\n\r\n",
}


@pytest.mark.parametrize("what", SLOW)
def test_a_byte_now_and_then_is_given_up(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(wire, "SLOW_S", 0.1)
    monkeypatch.setattr(webs, "READ_S", 0.1)
    monkeypatch.setattr(webs, "MAX_REDIRECTS", 2)
    monkeypatch.setattr("neuropile.archives.patience.TRIES", 2)
    since = time.monotonic()
    with dripping(SLOW[what]) as (url, _), Web() as web, pytest.raises(ArchiveError):
        web.json(f"{url}/x")
    assert time.monotonic() - since < 5


def test_a_file_that_comes_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SLOW_S", 0.1)
    monkeypatch.setattr(webs, "READ_S", 0.1)
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n") as (url, _), Web() as web, pytest.raises(Passing, match="bytes came in 0"):
        list(web.stream(Place(f"{url}/x")))


def test_a_server_that_thinks_long_and_a_reader_that_takes_its_time_are_not_slow(web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SLOW_S", 0.05)
    monkeypatch.setattr(webs, "READ_S", 0.5)
    with serving(state=State(files={"f": bytes(3 << 20)})) as server:
        server.mischief = lambda asked: Mischief(delay_s=0.15)
        n = 0
        for data in web.stream(Place(f"{server.url}/f")):
            n += len(data)
            time.sleep(0.005)
        assert n == 3 << 20
        server.drip_s = 0.15
        server.mischief = lambda asked: Mischief(delay_s=0.25)
        monkeypatch.setattr(webs, "READ_S", 0.3)
        for _ in range(3):  # on one connection: to think and to send take longer together than either may
            assert list(web.stream(Place(f"{server.url}/f"), 0, 9)) == [bytes(9)]


class Packed(Handler):
    """What the test says, packed as it says."""

    body, packing = b"", "gzip"

    def route(self, asked: Asked) -> None:
        self.send_bytes(type(self).body, 200, {"Content-Type": "application/json", "Content-Encoding": self.packing})


def test_pages_come_packed_and_are_unpacked(web) -> None:
    rows = str(list(range(500_000))).encode()
    with serving(type("P", (Packed,), {"body": gzip.compress(rows)})) as server:
        assert web.json(server.url) == list(range(500_000))
        assert server.asked[0].headers["accept-encoding"] == "gzip"


def test_a_page_is_unpacked_piece_by_piece() -> None:
    body = gzip.compress(bytes(5 << 20))
    response = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(body), request=httpx.Request("GET", "http://x"))
    pieces = [len(p) for p in wire.unpacked(response)]
    assert sum(pieces) == 5 << 20
    assert max(pieces) <= 1 << 20


@pytest.mark.parametrize(
    ("body", "packing", "words"),
    [
        (gzip.compress(b"[]", mtime=0)[:-9], "gzip", "tried 6 times"),
        (b"no gzip", "gzip", "is no gzip, as it says"),
        (gzip.compress(gzip.compress(b"[]", mtime=0), mtime=0), "gzip, gzip", "packed by 'gzip, gzip'"),
        (b"[]", "br", "packed by 'br'"),
    ],
    ids=["cut", "none", "twice", "other"],
)
def test_a_page_that_is_packed_badly_is_told(web, body: bytes, packing: str, words: str) -> None:
    with serving(type("P", (Packed,), {"body": body, "packing": packing})) as server, pytest.raises(ArchiveError, match=words):
        web.json(server.url)


LIMITED = """
import resource, sys
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError
with Web() as web:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29),) * 2)
    try:
        print(len(web.json(sys.argv[1])))
    except ArchiveError as e:
        print(e)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the memory of a process is read from /proc")
@pytest.mark.parametrize(
    ("unit", "n", "words"), [(b" " * 1000, 300_000, "longer than 64 MB"), (b"[],", 5_000_000, "more than 3000000 values")], ids=["spaces", "values"]
)
def test_a_page_that_unpacks_to_more_than_the_memory_is_refused(unit: bytes, n: int, words: str) -> None:
    import zlib

    packer = zlib.compressobj(1, wbits=31)
    each = n // 100
    body = packer.compress(b"[") + b"".join(packer.compress(unit * each) for _ in range(100)) + packer.compress(b"1]") + packer.flush()
    with serving(type("P", (Packed,), {"body": body})) as server:
        done = subprocess.run([sys.executable, "-c", LIMITED, server.url], capture_output=True, text=True, env=PATHS, timeout=60)
    assert words in done.stdout, done.stderr[-300:]


def test_a_listing_of_tags_is_refused() -> None:
    with pytest.raises(ArchiveError, match="more than 500000 tags"):
        s3.parsed(b"<a>" * 600_000, "s3:b")


def test_pages_without_rows_end(web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuropile.archives.dandi.MOST_PAGES", 5)

    class Endless(Handler):
        def route(self, asked: Asked) -> None:
            page = int(asked.query.get("page", 0)) + 1
            self.send_json({"results": [], "next": f"/?page={page}", "most_recent_published_version": None})

    with serving(Endless) as server:
        monkeypatch.setenv("NEUROPILE_DANDI_URL", server.url)
        with pytest.raises(ArchiveError, match="does not end"):
            dandi.dandiset("000017", "draft").list(web)


@pytest.mark.parametrize("value", ["SECR\u00c9T", "SEC\nRET", "SEC\rRET", "SEC\x7fRET", "\u201cSECRET\u201d"])
def test_a_token_that_is_none_is_told_by_its_name_only(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DANDI_API_KEY", value)
    monkeypatch.setenv("NEUROPILE_DRYAD_ID", "me")
    monkeypatch.setenv("NEUROPILE_DRYAD_SECRET", value)
    with pytest.raises(ArchiveError, match="DANDI_API_KEY holds") as told:
        token("DANDI_API_KEY")
    with Web() as web, pytest.raises(ArchiveError, match="NEUROPILE_DRYAD_SECRET holds") as told2:
        dryad.dataset("10.5061/dryad.x69p8czpq").list(web)
    assert "RET" not in f"{told.value} {told2.value}".replace("NEUROPILE_DRYAD_SECRET", "")
    monkeypatch.setenv("DANDI_API_KEY", " abc~!\n")
    assert token("DANDI_API_KEY") == {"Authorization": "Bearer abc~!"}


@pytest.mark.parametrize("value", ["SEC\nRET", "SECR\u00c9T", "SEC\x00RET"])
def test_a_header_that_cannot_be_sent_is_tried_once_and_never_told(web, value: str) -> None:
    with serving() as server:
        server.files["x"] = b"{}"
        for ask in (lambda: web.json(f"{server.url}/x", headers={"Authorization": value}), lambda: list(web.stream(Place(f"{server.url}/x", {"K": value})))):
            with pytest.raises(ArchiveError) as told:
                ask()
            assert not isinstance(told.value, Passing)
            assert "SEC" not in str(told.value)
            assert "tried" not in str(told.value)
        assert not server.asked


@pytest.mark.parametrize("proxy", ["foo://SECRET@x", "http://u:SECRET@h:port"])
def test_a_proxy_that_is_none_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ArchiveError, match="the proxy of HTTP_PROXY cannot be used") as told:
        Web()
    assert "SECRET" not in str(told.value)


def test_certificates_that_are_not_there_are_told_by_their_variable(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    for value in ("/nonexistent.pem", str(tmp_path / "no.pem")):
        monkeypatch.setenv("SSL_CERT_FILE", value)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        wire._certificates.cache_clear()
        with pytest.raises(ArchiveError, match=r"the certificates of SSL_CERT_FILE cannot be read"):
            Web()
    wire._certificates.cache_clear()


@pytest.mark.parametrize("url", ["http://\u00e9x y/", "http://[", "http://h:99999/x", "nonsense", "ftp://x/api", "http://", "http://u:SECRET@[x/?sig=SECRET"])
def test_an_address_that_is_none_is_told_in_one_line(web, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("NEUROPILE_DANDI_URL", url)
    for ask in (lambda: dandi.dandiset("000017").list(web), lambda: list(web.stream(Place(url))), lambda: web.about(Place(url))):
        with pytest.raises(ArchiveError) as told:
            ask()
        assert "SECRET" not in str(told.value)


def test_what_is_no_address_is_shown_without_its_secrets() -> None:
    assert wire.shown("http://u:SECRET@[x/?sig=SECRET") == "[x/"
    assert wire.shown("http://u:SECRET@x:port/y?sig=SECRET") == "http://x:port/y"


def test_a_redirect_to_no_address_is_told(web) -> None:
    class Redirecting(Handler):
        def route(self, asked: Asked) -> None:
            self.send_redirect("http://u:SECRET@h:port/?sig=SECRET")

    with serving(Redirecting) as server, pytest.raises(ArchiveError, match="redirects to no address") as told:
        web.json(server.url)
    assert "SECRET" not in str(told.value)
