"""Public S3 buckets over plain HTTPS: what lies below a prefix, or what a manifest names at fixed versions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree

from neuropile.archives import Archive, Listing, check_path
from neuropile.archives.answers import MOST_FILES, address, get, name_of, objects, words
from neuropile.archives.places import Place
from neuropile.archives.web import Refused, Web
from neuropile.errors import ArchiveError
from neuropile.types import Asset

HINT = "buckets are read without credentials here: ask its keepers to open it, or fetch the files by hand and use --from DIR"
#: A page of 1000 keys has some tens of thousands.
MAX_TAGS = 500_000
_SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass(frozen=True)
class Bucket(Archive):
    """A bucket that anyone may read.

    prefix : only keys that begin so are listed; paths keep it
    manifest : the key of a manifest as the Allen Institute writes them (address, version and BLAKE2b of each file); what it
        names is listed then, and stays what it is. Files are told apart by version where the bucket keeps versions
    """

    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    manifest: str | None = None
    base: str | None = None
    name: str = field(default="s3", init=False, repr=False)
    id: str = field(default="", init=False, repr=False)
    hint = HINT

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.bucket}/{self.prefix}".rstrip("/"))

    def list(self, web: Web) -> Listing:
        """The files below the prefix, or those of the manifest."""
        found = {a.path: a for a in self._below(web)}
        if self.manifest is not None:
            found = {a.path: a for a in self._named(web, found) if a.path.startswith(self.prefix)}
        assets = tuple(found[p] for p in sorted(found))
        version = name_of(assets) if self.manifest is None else self.manifest.rpartition("/")[2]
        return Listing(self.name, self.id, version, self.manifest is not None, assets, url=self._at)

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """The object, at its version where one is known."""
        version = "" if asset.version is None or asset.version.startswith("etag:") else f"?versionId={quote(asset.version, safe='')}"
        return [Place(f"{self._at}/{quote(asset.path, safe='/')}{version}")]

    def stamp(self, asset: Asset) -> str | None:
        """The ETag of the listing; what has a version is asked for at that version."""
        marked, _, etag = (asset.version or "").partition("etag:")
        return f"ETag {etag}" if etag and not marked else None

    @property
    def _at(self) -> str:
        """The bucket's address. A name with dots fits no certificate, so that it goes behind the host then."""
        own = address("S3", self.base or "")
        if own:
            return f"{own}/{self.bucket}"
        if "." in self.bucket:
            return f"https://s3.{self.region}.amazonaws.com/{self.bucket}"
        return f"https://{self.bucket}.s3.{self.region}.amazonaws.com"

    def _below(self, web: Web) -> Iterator[Asset]:
        after: str | None = None
        for _ in range(MOST_FILES):
            params = {"list-type": "2", "prefix": self.prefix, "max-keys": "1000", "encoding-type": "url", "continuation-token": after}
            page = self._page(web, params)
            for row in page.iter(f"{_SPACE}Contents"):
                key, said = _unquoted(_text(row, "Key"), page), _text(row, "Size")
                n = int(said) if re.fullmatch(r"\d{1,18}", said) else None
                if key and not (key.endswith("/") and n == 0):  # what consoles write to show a folder
                    etag = _text(row, "ETag").strip('"')
                    yield Asset(
                        check_path(key, f"s3:{self.id}"), n, None, f"{self._at}/{quote(key, safe='/')}", f"etag:{etag}", f"s3-etag:{etag}" if etag else None
                    )
            after = _text(page, "NextContinuationToken")
            if _text(page, "IsTruncated") != "true" or not after:
                return
        raise ArchiveError(f"s3:{self.id}: its listing does not end")

    def _page(self, web: Web, params: Mapping[str, Any]) -> ElementTree.Element:
        try:
            data = web.get(f"{self._at}/", params, hint=HINT).content
        except Refused as e:
            if e.status == 301:
                raise ArchiveError(f"s3:{self.id}: the bucket is not in {self.region}: give its own region ({e})") from None
            raise
        return parsed(data, f"s3:{self.id}")

    def _named(self, web: Web, listed: Mapping[str, Asset]) -> Iterator[Asset]:
        """The files of the manifest. Their sizes are those of the objects as they are now: where one is longer or shorter
        than the version that is pinned, that is told when it is fetched.
        """
        says = web.json(f"{self._at}/{quote(str(self.manifest), safe='/')}", hint=HINT)
        files = [v for k in ("metadata_files", "data_files") if isinstance(held := get(says, k), Mapping) for v in held.values()]
        if not objects(files):
            raise ArchiveError(f"s3:{self.id}: {self.manifest} is no manifest that names files")
        for row in objects(files):
            url, version, digest = words(row.get("url")) or "", words(row.get("version_id")), row.get("file_hash")
            path = unquote(_parts(url).path).lstrip("/").removeprefix(f"{self.bucket}/")
            if not path or not re.fullmatch(r"[0-9a-fA-F]{128}", str(digest)):
                raise ArchiveError(f"s3:{self.id}: {self.manifest} names {url!r} without a usable address and digest")
            version = version or next(iter(parse_qs(_parts(url).query).get("versionId", [])), None)
            n = listed[path].bytes if path in listed else None
            yield Asset(check_path(path, f"s3:{self.id}"), n, None, f"{self._at}/{quote(path, safe='/')}", version, f"blake2b:{str(digest).lower()}")


def parsed(data: bytes, where: str) -> ElementTree.Element:
    """The XML of a listing; what could make it grow beyond its bytes (entities) is refused.

    Raises
    ------
    ArchiveError : it is no XML, or an error that S3 tells in XML
    """
    if data.count(b"<") > MAX_TAGS:
        raise ArchiveError(f"{where}: its listing has more than {MAX_TAGS} tags, which no page of one has")
    if b"<!" in data.replace(b"<!--", b""):
        raise ArchiveError(f"{where}: its listing declares entities, which none does")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 (nothing is declared in it, see above)
    except ElementTree.ParseError as e:
        raise ArchiveError(f"{where}: sought a listing in XML, got {data[:60]!r} ({e})") from None
    if root.tag.rpartition("}")[2] != "ListBucketResult":
        raise ArchiveError(f"{where}: sought a listing, got {root.tag.rpartition('}')[2]}: {' '.join(root.itertext())[:120]}")
    return root


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{_SPACE}{name}") or ""


def _unquoted(key: str, page: ElementTree.Element) -> str:
    return unquote(key.replace("+", "%20")) if _text(page, "EncodingType") == "url" else key


def bucket(bucket: str, prefix: str = "", region: str = "us-east-1", manifest: str | None = None) -> Bucket:
    """What a public bucket holds below a prefix."""
    return Bucket(bucket, prefix, region, manifest)
