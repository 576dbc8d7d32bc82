"""HTTP to archives: polite, patient, and suspicious of every answer."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from neuropile.archives import patience
from neuropile.archives.patience import PASSING, Passing, asked_wait, persist
from neuropile.archives.places import Place
from neuropile.archives.wire import begin, broken_is_passing, client, drain, shown, unpacked, words
from neuropile.errors import ArchiveError

#: So many requests are under way at one server at a time; some ask for fewer.
AT_ONCE = 6
AT_ONCE_OF = {"zenodo.org": 2, "gin.g-node.org": 2, "api.figshare.com": 1, "datadryad.org": 2, "api.osf.io": 2, "files.osf.io": 2}
CONNECT_S, READ_S = 20.0, 120.0
#: GIN has been seen to take seven minutes for an answer.
READ_S_OF = {"gin.g-node.org": 600.0}
MAX_REDIRECTS = 10
#: What is read whole is no longer than this unpacked, and has no more values; the longest pages that are known have some MB.
MAX_PAGE, MAX_VALUES = 1 << 26, 3_000_000
_REDIRECTS = (301, 302, 303, 307, 308)
_PAGES = (".html", ".htm", ".xhtml")


class Refused(ArchiveError):
    """The server refuses access (`status` 401 or 403), or has no such thing (404, 410), or does not take the request."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Whole(ArchiveError):
    """A server ignores byte ranges: it is about to send the whole file."""


@dataclass(frozen=True)
class About:
    """What a server says of a file before it is fetched; None where it does not. `ranges`: whether it answered a byte range."""

    size: int | None
    etag: str | None
    modified: str | None
    ranges: bool


class Answer:
    """A file's bytes about to come.

    start, stop : which bytes; `stop` is None where the server does not say how many
    size : of the whole file, where the server says; etag, modified : its version, where the server says (see `_stamps`)
    host : who sends; elsewhere : it is not who was asked, but to whom that one sent us
    whole : bytes were asked for and the whole file comes
    """

    def __init__(self, response: httpx.Response, asked: tuple[int, int | None], elsewhere: bool = False) -> None:
        self._response, headers = response, response.headers
        length = int(headers["content-length"]) if headers.get("content-length", "").isdigit() else None
        self.start, self.stop, self.size, self.whole = 0, length, length, False
        self.host, self.elsewhere = response.url.netloc.decode(), elsewhere
        self.etag, self.modified = _stamps(headers)
        if response.status_code == 206:
            self._place(headers.get("content-range", ""), asked, length)
        else:
            self.whole = asked != (0, None)

    def _place(self, said: str, asked: tuple[int, int | None], length: int | None) -> None:
        match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", said.strip())
        if match is None:
            raise ArchiveError(f"{shown(self._response.url)}: a part was sent that does not say which (Content-Range: {said!r})")
        self.start, self.stop = int(match[1]), int(match[2]) + 1
        self.size = None if match[3] == "*" else int(match[3])
        end = self.stop if self.size is None else self.size
        if self.start != asked[0] or self.stop != (end if asked[1] is None else min(asked[1], end)) or length not in (None, self.stop - self.start):
            raise ArchiveError(f"{shown(self._response.url)}: asked for bytes {asked[0]}-{asked[1] or ''}, got {said!r}")

    def chunks(self) -> Iterator[bytes]:
        """The bytes as they come, exactly as many as announced.

        Raises
        ------
        Passing : the connection broke, or hardly anything comes
        """
        where, came = shown(self._response.url), 0
        with broken_is_passing(where):
            for data in self._response.iter_raw():
                came += len(data)
                yield data
        if self.stop is not None and came != self.stop - self.start:
            raise Passing(f"{where}: {came} bytes came of {self.stop - self.start}")


def _stamps(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """What tells a file from the one that stood there before: its ETag (of a weak one what it says), and when it was last changed.

    Some servers say of each answer that it was changed just now; that tells nothing.
    """
    etag = headers.get("etag", "").strip().removeprefix("W/").strip('"') or None
    modified = headers.get("last-modified", "").strip() or None
    return etag, None if modified == headers.get("date", "").strip() else modified


class _Host:
    """How one server is treated: a few requests at a time, none while it asks to wait."""

    def __init__(self, name: str) -> None:
        self.free = threading.BoundedSemaphore(AT_ONCE_OF.get(name, AT_ONCE))
        self.quiet_until = 0.0


class Web:
    """One client for all archives: retries with pauses, Retry-After in all its shapes, a few requests a server at a time.

    A context manager; safe to be used by several threads. `kept` is for what archives learn meanwhile (tokens, a repository's commit).
    """

    def __init__(self) -> None:
        from neuropile import __version__

        agent = f"neuropile/{__version__} (https://pypi.org/project/neuropile)"
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S, pool=None)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
        self._client = client({"User-Agent": agent, "Accept": "*/*", "Accept-Encoding": "gzip"}, timeout, limits)
        self._hosts: dict[bytes, _Host] = {}
        self._lock = threading.Lock()
        self.kept: dict[str, Any] = {}

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def json(self, url: str, params: Mapping[str, Any] = {}, headers: Mapping[str, str] = {}, *, hint: str = "") -> Any:
        """What a server answers, as JSON; `hint` says how to give a credential where it refuses.

        Raises
        ------
        Refused : 401 or 403 (how to give a credential), 404 or 410, and what else no repetition mends
        ArchiveError : a limit that lasts, something that is no JSON
        """
        return self.parsed(self.get(url, params, {"Accept": "application/json", **headers}, hint=hint))

    def get(self, url: str, params: Mapping[str, Any] = {}, headers: Mapping[str, str] = {}, *, hint: str = "") -> httpx.Response:
        """The same as a response of status 200, read whole: for XML, text, and the headers of pages."""
        request = self._request("GET", url, params={k: v for k, v in params.items() if v is not None} or None, headers=dict(headers))
        return persist(lambda: self._whole(request, hint))

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] = {}, *, hint: str = "") -> Any:
        """The JSON that a server answers to a form."""
        request = self._request("POST", url, data=dict(form), headers={"Accept": "application/json", **headers})
        return self.parsed(persist(lambda: self._whole(request, hint)))

    def stream(self, place: Place, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes [start, stop) of a file as they come; one attempt, all of them or an error.

        Raises
        ------
        Whole : the server ignores ranges: it is about to send the whole file (only where start > 0 or stop is given)
        Passing : it may go better next time
        ArchiveError : as above; or a page of HTML, an empty answer, a file shorter than announced
        """
        with self.ask(place, start, stop) as answer:
            if answer.whole:
                raise Whole(f"{shown(place.url)}: the server ignores byte ranges")
            yield from answer.chunks()

    @contextmanager
    def ask(self, place: Place, start: int = 0, stop: int | None = None) -> Iterator[Answer]:
        """Ask for the bytes [start, stop) of a file, once; raises as `stream` does, except that `Answer.whole` tells of ignored ranges."""
        headers = {"Accept-Encoding": "identity", **place.headers}
        if (start, stop) != (0, None):
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with self._sent(self._request("GET", _safe(place.url), headers=headers)) as response:
            if response.status_code == 416:
                raise Refused(f"{shown(place.url)}: the server has no bytes {start}-{stop or ''} ({response.headers.get('content-range', 'no size')})", 416)
            elsewhere = response.request.url.netloc != httpx.URL(_safe(place.url)).netloc
            _check_status(response, "", elsewhere)
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind == "text/html" and not urlsplit(place.url).path.lower().endswith(_PAGES):
                raise ArchiveError(f"{shown(response.url)}: a web page came instead of data ({begin(response)}); the archive may be asking for a browser")
            yield Answer(response, (start, stop), elsewhere)

    def about(self, place: Place) -> About:
        """What a server says of a file, from its first byte: a signed address may refuse HEAD, and HEAD may lie."""

        def once() -> About:
            try:
                with self.ask(place, 0, 1) as answer:
                    drain(answer._response)
                    return About(answer.size, answer.etag, answer.modified, not answer.whole)
            except Refused as e:
                if e.status == 416 and "bytes */0" in str(e):
                    return About(0, None, None, True)
                raise

        return persist(once)

    def _whole(self, request: httpx.Request, hint: str) -> httpx.Response:
        with self._sent(request) as response:
            _check_status(response, hint)
            parts, n = [], 0
            with broken_is_passing(shown(request.url)):
                for data in unpacked(response):
                    parts.append(data)
                    n += len(data)
                    if n > MAX_PAGE:
                        raise ArchiveError(f"{shown(request.url)}: its answer is longer than {MAX_PAGE >> 20} MB, which no page of a list is")
            headers = [(k, v) for k, v in response.headers.multi_items() if k not in ("content-encoding", "content-length", "transfer-encoding")]
            return httpx.Response(200, headers=headers, content=b"".join(parts), request=response.request)

    def parsed(self, response: httpx.Response) -> Any:
        """The JSON of an answer; ArchiveError where it is none, or of so many values that they would fill the memory."""
        if sum(map(response.content.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise ArchiveError(f"{shown(response.url)}: its answer has more than {MAX_VALUES} values, which no page of a list has")
        try:
            return _characters(json.loads(response.content))
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no type")
            raise ArchiveError(f"{shown(response.url)}: sought JSON, got {kind}: {words(response.content)}") from None

    @contextmanager
    def _sent(self, request: httpx.Request) -> Iterator[httpx.Response]:
        """The answer to a request after its redirects, unread; credentials go to the first server only, the range to each."""
        for _ in range(MAX_REDIRECTS):
            host = self._host(request.url.host, request.url.netloc)
            quiet_s = host.quiet_until - time.monotonic()
            if quiet_s > patience.MAX_WAIT_S:  # it said so when it was asked last
                raise Passing(f"{shown(request.url)}: not asked (too many requests before)", quiet_s)
            time.sleep(max(quiet_s, 0.0))
            with host.free:
                with broken_is_passing(shown(request.url)):
                    response = self._client.send(request, stream=True, follow_redirects=False)
                try:
                    if response.status_code not in _REDIRECTS or "location" not in response.headers:
                        if response.status_code in PASSING:
                            raise _passing(response, host)
                        yield response
                        return
                    drain(response)
                finally:
                    response.close()
            request = self._redirected(request, response.headers["location"])
        raise ArchiveError(f"{shown(request.url)}: more than {MAX_REDIRECTS} redirects")

    def _redirected(self, request: httpx.Request, location: str) -> httpx.Request:
        try:
            url = request.url.join(location)
        except (httpx.InvalidURL, ValueError):
            raise ArchiveError(f"{shown(request.url)}: redirects to no address: {shown(location)}") from None
        if url.scheme not in ("http", "https") or (request.url.scheme == "https" and url.scheme == "http" and url.host != request.url.host):
            raise ArchiveError(f"{shown(request.url)}: redirects to {shown(url)}, which is not followed")
        headers = dict(request.headers)
        if (url.scheme, url.host, url.port) != (request.url.scheme, request.url.host, request.url.port):
            keep = ("user-agent", "accept", "accept-encoding", "range", "connection")
            headers = {k: v for k, v in headers.items() if k in keep}
        headers.pop("host", None)
        headers = {k: v for k, v in headers.items() if k not in ("content-length", "content-type", "cookie")}
        return self._request("GET", url, headers=headers)

    def _request(self, method: str, url: Any, **what: Any) -> httpx.Request:
        try:
            host = httpx.URL(url).host
            timeout = httpx.Timeout(READ_S_OF.get(host, READ_S), connect=CONNECT_S, pool=None)
            return self._client.build_request(method, url, timeout=timeout, **what)
        except httpx.InvalidURL as e:
            raise ArchiveError(f"{shown(str(url)[:200])}: no address that can be asked ({e})") from None
        except (ValueError, TypeError):  # whose text may have a header's value
            raise ArchiveError(f"{shown(str(url)[:200])}: no address that can be asked, or a token that is no ASCII") from None

    def _host(self, name: str, netloc: bytes) -> _Host:
        with self._lock:
            return self._hosts.setdefault(netloc, _Host(name))


def _passing(response: httpx.Response, host: _Host) -> Passing:
    status, wait_s = response.status_code, None
    if status in (429, 503):
        wait_s = asked_wait(response.headers)
    if wait_s and status == 429:  # nobody else should ask it meanwhile
        host.quiet_until = max(host.quiet_until, time.monotonic() + wait_s)
    return Passing(f"{shown(response.url)}: HTTP {status}{' (too many requests)' if status == 429 else ''}", wait_s)


def _check_status(response: httpx.Response, hint: str, elsewhere: bool = False) -> None:
    """Raise where an answer is none; `elsewhere`: it is from a server that another sent us to."""
    status, where = response.status_code, shown(response.url)
    if status in (200, 206):
        return
    if status in (201, 202, 204, 205):
        asked = response.headers.get("x-amzn-waf-action", "")
        raise ArchiveError(f"{where}: an empty answer came instead of data (HTTP {status}{f', a {asked} for browsers' if asked else ''})")
    said = begin(response)
    code = response.headers.get("x-error-code")
    text = f"{where}: HTTP {status}{f' {code}' if code else ''}{f' ({said})' if said else ''}"
    if status == 403 and (elsewhere or "expired" in said.lower()):  # a signed address to which we were sent: the stable one gives a new one
        raise Passing(text)
    if status in (401, 403):
        raise Refused(f"{text}: access refused; {hint or 'give a credential, or ask its keepers for access'}", status)
    if status in (404, 410):
        raise Refused(f"{text}: {'withdrawn' if status == 410 else 'no such thing there'}", status)
    raise Refused(text, status)


def _characters(value: Any) -> Any:
    """An answer without the halves of characters that JSON allows and nothing can write."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_characters(v) for v in value]
    return {_characters(k): _characters(v) for k, v in value.items()} if isinstance(value, dict) else value


def _safe(url: str) -> str:
    """An address whose spaces and other characters that may not stand in one are encoded; what is encoded stays."""
    return re.sub(r"[^!-~]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), url)
