"""What git keeps in place of a file that git-annex holds: a key, which says how large the content is and what its digest is."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

#: No pointer is longer; git-annex itself looks no further into a file.
MAX_POINTER = 32 << 10
#: A locked file is a symbolic link into the repository, an unlocked one a text whose first line is such a path.
_POINTER = re.compile(r"(?:[^\0\n]*/)?annex/objects/(?:[^\0\n]+/)?(?P<key>[^\0\n/]+)")
_KEY = re.compile(r"(?P<backend>[A-Z][A-Z0-9_]*)(?P<fields>(?:-[A-Za-z]\d+)*)--(?P<name>[^/]+)")
#: The backends that name a content by its digest, and the hexadecimal digits of each. With a final E, the file's extension follows.
_DIGESTS = {"MD5": ("md5", 32), "SHA1": ("sha1", 40), "SHA256": ("sha256", 64), "SHA512": ("sha512", 128), "BLAKE2B512": ("blake2b", 128)}
_MIXED = "0123456789zqjxkmvwgpfZQJXKMVWGPF"


@dataclass(frozen=True)
class Key:
    """A content by git-annex's name for it.

    bytes : its size; algorithm, hex : its digest; None where the name does not say (WORM, URL and others carry no digest)
    """

    text: str
    bytes: int | None
    algorithm: str | None
    hex: str | None


def pointed(content: bytes) -> Key | None:
    """The key that a pointer file or a link's target names; None for any other content."""
    if len(content) > MAX_POINTER:
        return None
    first = content.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
    match = _POINTER.fullmatch(first)
    return parsed(match["key"]) if match else None


def parsed(text: str) -> Key | None:
    """A key from its text; None where it is none.

    >>> parsed("MD5E-s5--5d41402abc4b2a76b9719d911017c592.tar.gz")
    Key(text='MD5E-s5--5d41402abc4b2a76b9719d911017c592.tar.gz', bytes=5, algorithm='md5', hex='5d41402abc4b2a76b9719d911017c592')
    """
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    size = re.search(r"-s(\d+)", match["fields"])
    backend, name = match["backend"], match["name"].lower()
    if backend not in _DIGESTS and backend.endswith("E"):
        backend, name = backend[:-1], name.partition(".")[0]
    algorithm, digits = _DIGESTS.get(backend, (None, 0))
    known = algorithm is not None and re.fullmatch(rf"[0-9a-f]{{{digits}}}", name) is not None
    return Key(text, int(size[1]) if size else None, algorithm if known else None, name if known else None)


def places(key: str) -> list[str]:
    """Where below `annex/objects` a repository without a working tree keeps a content, the usual place first.

    >>> places("MD5-s5--5d41402abc4b2a76b9719d911017c592")[0]
    '6ba/32d/MD5-s5--5d41402abc4b2a76b9719d911017c592/MD5-s5--5d41402abc4b2a76b9719d911017c592'
    """
    digest = hashlib.md5(key.encode(), usedforsecurity=False)
    word = int.from_bytes(digest.digest()[:4], "little")
    c = [_MIXED[(word >> (6 * i)) & 31] for i in range(4)]
    folders = (f"{digest.hexdigest()[:3]}/{digest.hexdigest()[3:6]}", f"{c[1]}{c[0]}/{c[3]}{c[2]}")
    return [f"{folder}/{key}/{key}" for folder in folders]
