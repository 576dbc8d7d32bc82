"""Public archives: what they hold under an id, at a version that stays, and where the bytes of each file are had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuropile.archives.places import Place
from neuropile.errors import ArchiveError
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

__all__ = ["Archive", "Listing", "Place", "check_path"]


@dataclass(frozen=True)
class Listing:
    """What an archive holds under an id.

    version : the one that was listed, never "latest"
    pinned : whether what it names can never change (a published version, a commit); drafts and project pages can
    assets : sorted by path, each path once, none absolute or with `..`
    title, license, citation, url : what the archive says; license as an SPDX name, or the archive's own words
    """

    archive: str
    id: str
    version: str
    pinned: bool
    assets: tuple[Asset, ...]
    title: str | None = None
    license: str | None = None
    citation: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        paths = [a.path for a in self.assets]
        if paths != sorted(set(paths)):
            object.__setattr__(self, "assets", tuple(sorted(self.assets, key=lambda a: a.path)))
            if len(set(paths)) < len(paths):
                twice = next(p for p in sorted(paths) if paths.count(p) > 1)
                raise ArchiveError(f"{self.archive}:{self.id} lists {twice!r} twice; tell its keepers, or pick files with --assets")
        for path in paths:
            check_path(path, f"{self.archive}:{self.id}")


class Archive:
    """An id in an archive. Each is a frozen dataclass: it prints, compares and hashes, and describing it costs nothing.

    `name` is what stands before the colon on the command line (dandi:000017); `id` what stands behind it.
    """

    name: str
    id: str

    def list(self, web: Web) -> Listing:
        """What there is.

        Raises
        ------
        ArchiveError : no such id or version, access refused, or the archive cannot be reached; with the way out
        """
        raise NotImplementedError

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """Where to ask for a file, the best first."""
        if asset.url is None:
            raise ArchiveError(f"{self.name}:{self.id}: nothing says where {asset.path} is; list it again")
        return [Place(asset.url)]

    def members(self, asset: Asset, web: Web) -> Sequence[Asset] | None:
        """The files of an asset that is a folder (a Zarr store), with paths relative to it; None for one that is a file."""
        return None

    def stamp(self, asset: Asset) -> str | None:
        """What the file's own server said of its version when it was listed, as "ETag ..." or "Last-Modified ..."; None where nobody asked it."""
        return None

    def recording(self, asset: Asset) -> str | None:
        """The archive's own id of the recording that a file belongs to; None where it has none."""
        return None

    def facts(self, web: Web) -> Mapping[str, Any]:
        """More of what the archive says of the whole, for the page of a new recipe; {} where it says nothing."""
        return {}


def check_path(path: str, where: str) -> str:
    """A path of an archive, which is not to be trusted, if it stays inside the folder it is put into.

    Raises
    ------
    ArchiveError : absolute, with `.`, `..` or nothing between slashes, a drive letter, a backslash, or what is no character
    """
    parts = path.split("/")
    bad = any(p in ("", ".", "..") for p in parts) or "\\" in path or ":" in parts[0]
    bad = bad or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in path)
    if bad:
        raise ArchiveError(f"{where} names a file {path!r}, which would leave its folder; it is not fetched")
    return path
