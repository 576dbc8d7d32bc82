"""The JSON answers of archives, taken with suspicion: fields may be missing, links lead elsewhere, pages never end."""

from __future__ import annotations

import hashlib
import html
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from neuropile.archives import check_path
from neuropile.errors import ArchiveError
from neuropile.types import Asset

T = TypeVar("T")

#: No deposit is known to list more files than this, or on more pages; a listing that goes on is taken for endless.
MOST_FILES, MOST_PAGES = 1_000_000, 20_000
_HEX_LENGTH = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}


def address(name: str, default: str) -> str:
    """Where an archive's API is, without a slash at the end: NEUROPILE_<NAME>_URL if it is set, else `default`."""
    return (os.environ.get(f"NEUROPILE_{name}_URL") or default).rstrip("/")


def token(variable: str, scheme: str = "Bearer") -> dict[str, str]:
    """The header that shows the token of an environment variable; {} where it is not set."""
    value = secret(variable)
    return {"Authorization": f"{scheme} {value}"} if value else {}


def secret(variable: str) -> str:
    """What an environment variable holds, without spaces around it; "" where it is not set.

    Raises
    ------
    ArchiveError : it is nothing that archives give out; what it is, is not told
    """
    value = os.environ.get(variable, "").strip()
    if not re.fullmatch("[ -~]*", value):
        raise ArchiveError(f"{variable} holds a line break or a letter that is no ASCII, as no token does: copy it again from its archive, or unset it")
    return value


def same_server(url: str, base: str) -> bool:
    """Whether two URLs are of one server, so that what is secret to one may be shown to the other."""
    try:
        ours, theirs = urlsplit(base), urlsplit(url)
    except (ValueError, TypeError, AttributeError):  # no address at all
        return False
    return (theirs.scheme, theirs.netloc.lower()) == (ours.scheme, ours.netloc.lower())


def joined(base: str, href: str) -> str:
    """A link of an answer, as a URL of the server that gave it.

    Raises
    ------
    ArchiveError : the link leads elsewhere
    """
    try:
        url = urljoin(base, href)
    except (ValueError, TypeError):
        raise ArchiveError(f"{base} links to {str(href)[:100]!r}, which is no address") from None
    if not same_server(url, base):
        raise ArchiveError(f"{base} links to {url}, another server; that is not followed")
    return url


def quoted(path: str) -> str:
    """A path as part of a URL: each of its parts percent-encoded, `/` kept."""
    return quote(path, safe="/")


def asking(url: str, **query: Any) -> str:
    """A URL with these in its query, beside what is there; what is there already stays as it is.

    >>> asking("http://host/files?page=2", page=1, per_page=100)
    'http://host/files?page=2&per_page=100'
    """
    parts = urlsplit(url)
    there = dict(parse_qsl(parts.query, keep_blank_values=True))
    return parts._replace(query=urlencode(there | {k: v for k, v in query.items() if k not in there})).geturl()


def need(answer: Any, key: str, kind: type[T], where: str) -> T:
    """A field that cannot be done without.

    Raises
    ------
    ArchiveError : it is not there, or not of that kind
    """
    value = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ArchiveError(f"{where} answered without a usable {key!r}: fetch the files by hand and build with --from DIR")
    return value


def get(answer: Any, *keys: str | int) -> Any:
    """A field within fields, or None where one of them is missing."""
    for key in keys:
        if isinstance(key, int):
            answer = answer[key] if isinstance(answer, list) and len(answer) > key else None
        else:
            answer = answer.get(key) if isinstance(answer, Mapping) else None
    return answer


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in what should be a list of them."""
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def words(value: Any) -> str | None:
    """Text without its markup, in one line; None where there is none."""
    if not isinstance(value, str):
        return None
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", value)).split()) or None


def told(**facts: Any) -> dict[str, Any]:
    """Those of the facts that say something."""
    return {k: v for k, v in facts.items() if v not in (None, "", [], {}, ())}


def status_of(error: Exception) -> int | None:
    """The HTTP status with which a server refused, or None where that is not what went wrong."""
    return getattr(error, "status", None)


def unknown(where: str) -> ArchiveError:
    """The error for an answer of another shape than any that is known."""
    return ArchiveError(f"{where} answered in a way that is not known here: fetch the files by hand and build with --from DIR")


def size(value: Any) -> int | None:
    """A number of bytes, or None where none is told."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def digest(algorithm: Any, value: Any) -> tuple[str, str] | None:
    """A digest as (algorithm, lower-case hex); None where it is missing, cut, or of an algorithm that is not known here.

    >>> digest("sha-1", "2AAE6C35C94FCFB415DBE95F408B9CE91EE846ED"), digest("md5", "")
    (('sha1', '2aae6c35c94fcfb415dbe95f408b9ce91ee846ed'), None)
    """
    name, text = str(algorithm).lower().replace("-", ""), str(value).strip().lower()
    return (name, text) if len(text) == _HEX_LENGTH.get(name) and re.fullmatch("[0-9a-f]+", text) else None


def asset(path: str, n_bytes: Any, digests: Iterable[tuple[str, str] | None], url: str, version: str) -> Asset:
    """A file, with the strongest of its digests."""
    known = dict(d for d in digests if d)
    other = next((f"{a}:{known[a]}" for a in ("sha512", "sha384", "sha1", "md5") if a in known), None)
    return Asset(path, size(n_bytes), known.get("sha256"), url=url, version=version, digest=None if "sha256" in known else other)


def is_safe(path: str) -> bool:
    """Whether a path stays inside the folder it is put into."""
    try:
        check_path(path, "")
    except ArchiveError:
        return False
    return True


def name_of(assets: Iterable[Asset]) -> str:
    """A short name for just this set of files, for archives that give theirs no version."""
    lines = sorted(f"{a.path}\0{a.version}\0{a.bytes}\0{a.sha256 or a.digest}\n" for a in assets)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def pages(first: T, ask: Callable[[T], tuple[Sequence[Any], T | None]], where: str) -> Iterator[Any]:
    """The rows of all pages of a list; `ask` gives the rows of a page, and the page after it or None.

    Raises
    ------
    ArchiveError : a page follows itself, or there are more rows than any deposit has
    """
    seen: set[T] = set()
    page: T | None = first
    n = 0
    while page is not None:
        seen.add(page)
        rows, page = ask(page)
        n += len(rows)
        if page in seen or n > MOST_FILES or len(seen) > MOST_PAGES:
            raise ArchiveError(f"{where}: its list of files does not end ({n} rows so far); fetch them by hand and build with --from DIR")
        yield from rows
