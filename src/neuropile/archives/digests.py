"""What archives say of a file's bytes, computed anew: SHA-2, MD5, BLAKE2b, git blob ids, DANDI's and S3's ETags of parts.

A digest is text, "algorithm:hex". One that nobody can compute from the bytes alone (a Xet hash) is no digest here.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from neuropile.errors import ArchiveError
from neuropile.types import Asset

CHUNK = 1 << 20
#: Plain hashes, the strongest first.
PLAIN = ("sha512", "sha384", "sha256", "blake2b", "sha1", "md5")
#: DANDI uploads parts of 64 MiB, of more only where 10 000 parts would not do.
DANDI_PART, DANDI_PARTS = 64 << 20, 10_000
#: The part sizes of the tools that upload to S3, in MiB; nothing says which of them an ETag is of.
S3_PARTS = (8, 5, 16, 32, 64, 100, 128, 256, 512, 1024)


class _Hash(Protocol):
    def update(self, data: bytes) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc32:
    """The checksum of zip archives, in the shape of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class _Parts:
    """The MD5 of the MD5s of equal parts, with their number behind it."""

    def __init__(self, part: int) -> None:
        self._part, self._left = part, part
        self._now, self._done = hashlib.md5(usedforsecurity=False), bytearray()

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view):
            self._now.update(view[: self._left])
            took = min(len(view), self._left)
            self._left -= took
            view = view[took:]
            if not self._left:
                self._close()

    def _close(self) -> None:
        self._done += self._now.digest()
        self._now, self._left = hashlib.md5(usedforsecurity=False), self._part

    def hexdigest(self) -> str:
        if self._left < self._part or not self._done:
            self._close()
        return f"{hashlib.md5(self._done, usedforsecurity=False).hexdigest()}-{len(self._done) // 16}"


def dandi_part(size: int) -> int:
    """The size of the parts in which DANDI holds a file of a size."""
    return DANDI_PART if -(-size // DANDI_PART) < DANDI_PARTS else -(-size // DANDI_PARTS)


def normal(digest: str) -> tuple[str, str]:
    """A digest as algorithm and lower-case hex, without the quotes and marks of ETags and hyphens of names (sha-256).

    Raises
    ------
    ArchiveError : it names no algorithm
    """
    algorithm, colon, value = digest.strip().partition(":")
    if not colon:
        raise ArchiveError(f"a digest is algorithm:hex, not {digest!r}")
    return re.sub(r"^sha2?-(?=\d)", "sha", algorithm.strip().lower()), value.strip().removeprefix("W/").strip('"').lower()


def claims(asset: Asset) -> list[tuple[str, str]]:
    """What is known of an asset's bytes and can be computed, the strongest first."""
    found = [("sha256", asset.sha256.lower())] if asset.sha256 else []
    if asset.digest:
        found.append(normal(asset.digest))
    known = [(a, v) for a, v in found if v and (a in PLAIN or a in ("git-sha1", "dandi-etag", "crc32", "s3-etag"))]
    return sorted(known, key=lambda claim: PLAIN.index(claim[0]) if claim[0] in PLAIN else len(PLAIN))


def check(asset: Asset, chunks: Iterable[bytes], size: int) -> str:
    """Read a file's bytes once and compare them with the strongest that is known; returns what was compared, in a word.

    size : of the file, which digests of parts depend on

    Raises
    ------
    WrongBytes : they are others
    """
    if asset.bytes is not None and asset.bytes != size:
        raise WrongBytes(f"{asset.path}: {size} bytes, {asset.bytes} were announced")
    known = claims(asset)
    if not known:
        return "size"
    algorithm, value = known[0]
    if algorithm == "s3-etag":
        return _check_s3(asset, value, chunks, size)
    hashed = _hash_of(algorithm, size)
    for data in chunks:
        hashed.update(data)
    if hashed.hexdigest() != value:
        raise WrongBytes(f"{asset.path}: its {algorithm} is {hashed.hexdigest()}, {value} was announced")
    return algorithm


def _check_s3(asset: Asset, etag: str, chunks: Iterable[bytes], size: int) -> str:
    """An ETag of one part is an MD5. Of several, each likely part size is tried, and that none fits proves nothing."""
    n_parts = int(match[1]) if (match := re.fullmatch(r"[0-9a-f]{32}-(\d{1,5})", etag)) else 0
    if not n_parts:
        hashed: list[_Hash] = [hashlib.md5(usedforsecurity=False)] if re.fullmatch("[0-9a-f]{32}", etag) else []
    else:
        even = -(-size // n_parts)
        sizes = {p << 20 for p in S3_PARTS} | {even, -(-even >> 20) << 20}
        hashed = [_Parts(p) for p in sorted(sizes) if p and -(-size // p) == n_parts]
    for data in chunks if hashed else ():
        for one in hashed:
            one.update(data)
    if any(one.hexdigest() == etag for one in hashed):
        return "s3-etag"
    if hashed and not n_parts:
        raise WrongBytes(f"{asset.path}: its md5 is {hashed[0].hexdigest()}, {etag} was announced")
    return "size"


def _hash_of(algorithm: str, size: int) -> _Hash:
    if algorithm == "dandi-etag":
        return _Parts(dandi_part(size))
    if algorithm == "crc32":
        return _Crc32()
    if algorithm == "git-sha1":
        return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    return hashlib.new(algorithm, usedforsecurity=False)


def chunks_of(path: Path) -> Iterable[bytes]:
    """A file's bytes, a megabyte at a time."""
    with open(path, "rb") as f:
        while data := f.read(CHUNK):
            yield data


def md5_file(path: Path) -> str:
    """The MD5 of a file, in hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class WrongBytes(ArchiveError):
    """A file's bytes are not those the archive announced."""


def zarr_checksum(files: Sequence[tuple[str, str, int]]) -> str:
    """DANDI's checksum of a Zarr folder, from (path, MD5, bytes) of its files.

    Of each folder, from the innermost out: the MD5 of a JSON that lists its folders and files by name, then `-` how many files
    it holds and `--` how many bytes.

    >>> zarr_checksum([])
    '481a2f77ab786a0f45aafd5db0971caa-0--0'
    """
    root: dict[str, Any] = {}
    for path, md5, size in files:
        *folders, name = path.split("/")
        place = root
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise ArchiveError(f"{path} lies in a folder that is a file as well")
        if isinstance(place.get(name), dict):
            raise ArchiveError(f"{path} is a file and a folder as well")
        place[name] = (md5, size)
    return _folder_checksum(root)[0]


def _folder_checksum(folder: dict[str, Any]) -> tuple[str, int]:
    import json

    entries: dict[str, list[dict[str, Any]]] = {"directories": [], "files": []}
    n_files = n_bytes = 0
    for name, held in sorted(folder.items()):
        if isinstance(held, dict):
            digest, size = _folder_checksum(held)
            n_files += int(digest.partition("--")[0].rpartition("-")[2])
            entries["directories"].append({"digest": digest, "name": name, "size": size})
        else:
            digest, size = held
            n_files += 1
            entries["files"].append({"digest": digest, "name": name, "size": size})
        n_bytes += size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False)
    return f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}-{n_files}--{n_bytes}", n_bytes
