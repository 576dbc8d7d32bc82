"""Folders of this machine as archives: any folder, or one that holds what another archive lists."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_from_bytes

from neuropile.archives import Archive, Listing, check_path
from neuropile.archives.answers import name_of
from neuropile.archives.places import Place
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

#: Before the path of the Zarr folder that a file is a part of.
_MEMBER = "member:"


@dataclass(frozen=True)
class Folder(Archive):
    """A folder: every file below it by its path there; a Zarr folder is one file.

    listing : what another archive lists, where the folder stands for that (`mirror`)
    """

    path: Path
    listing: Listing | None = field(default=None, repr=False)
    name: str = field(default="folder", init=False, repr=False)
    id: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        own = self.path.resolve().name if self.listing is None else f"{self.listing.archive}:{self.listing.id}"
        object.__setattr__(self, "id", own)

    def list(self, web: Web) -> Listing:
        """The files.

        Raises
        ------
        ArchiveError : there is no such folder, or a file that should be in it is missing
        SourceChanged : one has another size than listed
        """
        if not self.path.is_dir():
            raise ArchiveError(f"{self.path}: no such folder")
        if self.listing is not None:
            for asset in self.listing.assets:
                self._check(asset)
            return self.listing
        assets = tuple(Asset(p.relative_to(self.path).as_posix(), _size(p), None) for p in _below(self.path, self.path.resolve()))
        return Listing(self.name, self.id, name_of(assets), False, assets)

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """The file; whether its bytes are those listed is checked when it is opened or fetched."""
        return [Place(f"file://{_encoded(self._check(asset).resolve())}")]

    def members(self, asset: Asset, web: Web) -> Sequence[Asset] | None:
        """The files of a Zarr folder."""
        place = self._check(asset)
        if not place.is_dir():
            return None
        return [Asset(p.relative_to(place).as_posix(), p.stat().st_size, None, f"{_MEMBER}{asset.path}") for p in sorted(place.rglob("*")) if p.is_file()]

    def _check(self, asset: Asset) -> Path:
        place = self.path
        if asset.url is not None and asset.url.startswith(_MEMBER):
            place = place / check_path(asset.url.removeprefix(_MEMBER), str(self.path))
        place = place / check_path(asset.path, str(self.path))
        if not place.exists():
            raise ArchiveError(f"{self.path} has no {asset.path}; put it there under that path, or build from the archive itself")
        if asset.bytes is not None and (n := _size(place)) != asset.bytes:
            raise SourceChanged(f"{place} has {n} bytes, {asset.bytes} were listed; fetch it again")
        return place


def _below(folder: Path, top: Path) -> Iterator[Path]:
    """The files and Zarr folders below a folder, sorted; hidden ones are not taken, links out of it not followed."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or not entry.resolve().is_relative_to(top):
            continue
        if entry.is_dir() and not _is_zarr(entry):
            if not entry.is_symlink():
                yield from _below(entry, top)
        elif entry.exists():
            yield entry


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (".zgroup", "zarr.json", ".zarray"))


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def _encoded(path: Path) -> str:
    return quote_from_bytes(os.fsencode(path), safe="/")


def folder(path: Path | str) -> Folder:
    """A folder of this machine as an archive."""
    return Folder(Path(path))


def mirror(path: Path | str, listing: Listing) -> Folder:
    """A folder that holds files of an archive under the paths they are listed by; sizes and digests are checked against the listing.

    A listing may be cut down to the assets that are wanted before: only these must be there.
    """
    return Folder(Path(path), listing)
