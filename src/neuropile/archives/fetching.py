"""One whole file of an archive, here: resumed where it broke off, verified over all its bytes, then given its name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from neuropile.archives import Archive, check_path, digests
from neuropile.archives.partial import full, home
from neuropile.archives.patience import Passing, Patience
from neuropile.archives.places import Place
from neuropile.archives.pulling import AT_ONCE, ROTS, Asking, Progress, Pulling, ignore, local_file
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.paths import replacing
from neuropile.types import Asset

#: So much stays free on a disk.
SPARE = 64 << 20


def fetch(archive: Archive, asset: Asset, web: Web, cache: Path, progress: Progress = ignore) -> Path:
    """A file (or, of an asset that is a folder, the folder) of an archive, on this disk and verified.

    What is in the cache already is not fetched again. What lies on this machine anyway stays there.

    Parameters
    ----------
    cache : a folder that several processes may share
    progress : called with the number of bytes whenever some came, by any thread

    Raises
    ------
    SourceChanged : the archive has another file now
    ArchiveError : it cannot be had, is not what the archive announces, or the disk is full
    """
    found = here(archive, asset, cache)
    if found is not None:
        return found
    local = local_file(archive, asset, web)
    if local is not None:
        verify(local, asset)
        return local
    members = archive.members(asset, web)
    if members is not None:
        return _fetch_folder(archive, asset, members, web, cache, progress)
    pulling = Pulling(archive, asset, web, cache, progress)
    return pulling.partial.path if pulling.partial.whole else _fetch_file(pulling)


def here(archive: Archive, asset: Asset, cache: Path) -> Path | None:
    """The file if it was fetched and verified before; nobody is asked, and no credential is needed."""
    path = home(cache, archive, asset, asset.bytes) / "whole" / asset.path.rpartition("/")[2]
    return path if asset.bytes is not None and path.is_file() and path.stat().st_size == asset.bytes else None


def _fetch_file(pulling: Pulling) -> Path:
    partial, discarded = pulling.partial, False
    for _ in range(ROTS):
        check_room(partial.folder, sum(b - a for a, b in partial.missing()), pulling.asset.path)
        pulling.fill([(0, pulling.size)], at_once=1)
        known = bool(digests.claims(pulling.asset))
        if not known and not partial.check():  # nothing else would tell what rotted on this disk
            continue
        try:
            digests.check(pulling.asset, partial.chunks(), partial.size)
            return partial.finish()
        except digests.WrongBytes as e:
            if not partial.check():
                continue
            if discarded:
                raise ArchiveError(f"{e}, twice: the archive's copy or its listing is wrong; tell its keepers, or use --from DIR") from None
            discarded = True
            partial.discard()
    raise ArchiveError(f"{pulling.asset.path}: what was written to {partial.folder} does not stay what it was; name a cache folder on another disk")


def check_room(folder: Path, n: int, what: str) -> None:
    """Raise ArchiveError where n bytes more do not fit on a disk."""
    free = shutil.disk_usage(folder).free
    if n and n + SPARE > free:
        raise full(folder, f"{what} ({n / 1e9:.2f} GB to fetch, {free / 1e9:.2f} GB free)")


def verify(path: Path, asset: Asset) -> str:
    """Compare a file, or a Zarr folder, with what is known of an asset's bytes, and return what told: a digest's name, or "size".

    Raises
    ------
    ArchiveError : it is another
    """
    if path.is_dir():
        return _verify_folder(path, asset)
    return digests.check(asset, digests.chunks_of(path), path.stat().st_size)


def _verify_folder(folder: Path, asset: Asset) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    size = sum(p.stat().st_size for p in files)
    if asset.bytes is not None and size != asset.bytes:
        raise digests.WrongBytes(f"{asset.path}: {size} bytes, {asset.bytes} were announced")
    algorithm, _, value = (asset.digest or "").partition(":")
    if algorithm != "dandi-zarr-checksum":
        return "size"
    found = digests.zarr_checksum([(p.relative_to(folder).as_posix(), digests.md5_file(p), p.stat().st_size) for p in files])
    if found != value:
        raise digests.WrongBytes(f"{asset.path}: its {algorithm} is {found}, {value} was announced")
    return algorithm


def folder_of(archive: Archive, asset: Asset, cache: Path) -> Path:
    """Where an asset that is a folder lies in a cache, as far as it is here."""
    return home(cache, archive, asset, asset.bytes) / "whole" / asset.path.rpartition("/")[2]


def _fetch_folder(archive: Archive, asset: Asset, members: Sequence[Asset], web: Web, cache: Path, progress: Progress) -> Path:
    folder = folder_of(archive, asset, cache)
    left = [m for m in members if not (folder / check_path(m.path, asset.path)).is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, sum(m.bytes or 0 for m in left), asset.path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda m: fetch_member(archive, m, web, folder, progress), left))
    return folder


def fetch_member(archive: Archive, member: Asset, web: Web, folder: Path, progress: Progress = ignore) -> Path:
    """A file of an asset that is a folder, under its path in `folder`: verified and whole, or not there."""
    final = folder / check_path(member.path, str(folder))
    if final.is_file():
        return final
    patience = Patience()
    with replacing(final) as path:

        def from_place(place: Place) -> None:
            while True:
                try:
                    return _copy(web, place, path, progress)
                except Passing as e:
                    patience.wait(e)

        asking = Asking(archive, member, web)
        asking.each_place(from_place)
        try:
            verify(path, member)
        except digests.WrongBytes:
            asking.each_place(from_place)
            try:
                verify(path, member)
            except digests.WrongBytes as e:
                raise SourceChanged(f"{archive.name}:{archive.id}: {e}, twice; list it again to take what is there now") from None
    return final


def _copy(web: Web, place: Place, path: Path, progress: Progress) -> None:
    """A whole file, in one go; a disk that is full is told as such."""
    try:
        with open(path, "wb") as f:
            for data in web.stream(place):
                f.write(data)
                progress(len(data))
    except OSError as e:
        raise full(path.parent, path.name, e) from None
