"""The wire to archives: whom to believe, how slowly bytes may come, and to how much they may unpack."""

from __future__ import annotations

import os
import re
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from neuropile.archives.patience import Passing
from neuropile.errors import ArchiveError

#: An answer that brings less than this in so many seconds is given up as if the connection were lost.
SLOW_BYTES, SLOW_S = 64 << 10, 120.0
CHUNK = 1 << 16
#: What is unpacked at a time.
_PIECE = 1 << 20
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class _Stream(httpcore.NetworkStream):
    """A connection that is lost once hardly anything comes: timeouts are of one byte, so that a byte now and then would do for ever.

    Only the time that is waited here counts, and not that before the first bytes: how long a server thinks has its own limit.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream, self._asked, self._waited_s, self._came = stream, True, 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come."""
        began = time.monotonic()
        data = self._stream.read(max_bytes, timeout)
        if self._asked:
            self._asked = False
            return data
        self._waited_s += time.monotonic() - began
        self._came += len(data)
        if self._waited_s > max(SLOW_S, timeout or 0.0):
            if self._came < SLOW_BYTES:
                raise httpcore.ReadTimeout(f"{self._came} bytes came in {self._waited_s:.1f} s")
            self._waited_s, self._came = 0.0, 0
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Ask for something: all counts anew."""
        self._asked, self._waited_s, self._came = True, 0.0, 0
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        """The same, encrypted."""
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What the library asks of it."""
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Makes such connections."""

    def __init__(self, own: httpcore.NetworkBackend) -> None:
        self._own = own

    def connect_tcp(self, *args: Any, **how: Any) -> httpcore.NetworkStream:
        """To a server or a proxy."""
        return _Stream(self._own.connect_tcp(*args, **how))

    def connect_unix_socket(self, *args: Any, **how: Any) -> httpcore.NetworkStream:
        """To a proxy on this machine."""
        return _Stream(self._own.connect_unix_socket(*args, **how))

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._own.sleep(seconds)


def client(headers: Mapping[str, str], timeout: httpx.Timeout, limits: httpx.Limits) -> httpx.Client:
    """A client that no server holds for ever.

    Raises
    ------
    ArchiveError : what the environment says of proxies or certificates cannot be used
    """
    trusted = _certificates()
    try:
        made = httpx.Client(headers=dict(headers), timeout=timeout, limits=limits, verify=trusted)
    except (ValueError, TypeError, ImportError, httpx.InvalidURL):  # its text has the address, which may hold a password
        raise ArchiveError(f"the proxy of {_named(_PROXIES)} cannot be used: give its address as http://, https:// or socks5:// (with socksio)") from None
    for transport in (made._transport, *made._mounts.values()):
        pool = getattr(transport, "_pool", None)
        if pool is not None:  # httpx hands no backend on
            pool._network_backend = _Backend(pool._network_backend)
    return made


def _named(variables: Iterable[str]) -> str:
    """Those of the variables that are set, in either spelling; their values are nobody's business."""
    return ", ".join(n for v in variables for n in (v, v.lower()) if os.environ.get(n)) or "this machine's settings"


@cache
def _certificates() -> ssl.SSLContext:
    """Whom to believe; reading them takes as long as a request."""
    try:
        return httpx.create_ssl_context()
    except (OSError, ValueError) as e:
        said = e.strerror if isinstance(e, OSError) and not isinstance(e, ssl.SSLError) else type(e).__name__
        raise ArchiveError(f"the certificates of {_named(_CERTIFICATES)} cannot be read ({said}): name a file, or a folder, of certificates in PEM") from None


@contextmanager
def broken_is_passing(where: str) -> Iterator[None]:
    """What the library raises, as errors of archives."""
    try:
        yield
    except httpx.TimeoutException as e:
        raise Passing(f"{where}: no answer in time ({str(e) or type(e).__name__})") from e
    except httpx.LocalProtocolError:  # its text has the header, which may be a token
        raise ArchiveError(f"{where}: a header of the request holds what may not stand in one; look at the tokens that are set") from None
    except httpx.TransportError as e:
        if isinstance(e, httpx.UnsupportedProtocol):
            raise ArchiveError(f"{where}: not an address of the web") from None
        if isinstance(e, httpx.RemoteProtocolError) and "location header" in str(e):
            raise ArchiveError(f"{where}: redirects to no address") from None
        raise Passing(f"{where}: the connection failed ({type(e).__name__}: {e})") from e
    except (httpx.InvalidURL, httpx.DecodingError) as e:
        raise ArchiveError(f"{where}: {e}") from None


def unpacked(response: httpx.Response) -> Iterator[bytes]:
    """A body without the packing that pages are asked for in, piece by piece: a small one may unpack to more than any memory.

    Raises
    ------
    ArchiveError : it is packed otherwise, or damaged
    """
    packing = response.headers.get("content-encoding", "").strip().lower()
    if packing in ("", "identity"):
        yield from response.iter_raw()
        return
    if packing not in ("gzip", "x-gzip"):
        raise ArchiveError(f"{shown(response.url)}: asked for gzip or nothing, got a body packed by {packing[:40]!r}")
    inside = zlib.decompressobj(31)
    try:
        for data in response.iter_raw():
            left = data
            while left and not inside.eof:
                yield inside.decompress(left, _PIECE)
                left = inside.unconsumed_tail
        while not inside.eof and (more := inside.decompress(b"", _PIECE)):
            yield more
    except zlib.error:
        raise ArchiveError(f"{shown(response.url)}: its answer is no gzip, as it says") from None
    if not inside.eof:
        raise Passing(f"{shown(response.url)}: its answer ends in the middle")


def drain(response: httpx.Response) -> None:
    """Read a short body that nobody wants, so that its connection can be used again."""
    with suppress(httpx.HTTPError):
        length = response.headers.get("content-length", "")
        if re.fullmatch("[0-9]{1,9}", length) and int(length) <= CHUNK:
            for _ in response.iter_raw():
                pass


def begin(response: httpx.Response) -> str:
    """The first words of an answer."""
    data = b""
    with suppress(httpx.HTTPError, ArchiveError):
        for part in unpacked(response):
            data += part
            if len(data) >= 4096:
                break
    return words(data)


def words(data: bytes) -> str:
    """The first words of a page."""
    text = data[:4096].decode("utf-8", "replace")
    title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    plain = re.sub(r"<[^>]*>", " ", title[1] if title else text)
    return " ".join(plain.split())[:160]


def shown(url: Any) -> str:
    """A URL without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(str(url))
    except ValueError:  # no address
        return str(url).rpartition("@")[2].partition("?")[0]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else str(url).partition("?")[0]
