"""What a build will do: the sessions of a dataset as its archive lists them, and how many bytes there are to move."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neuropile import locks
from neuropile.archives import Archive, Listing
from neuropile.archives.folder import folder, mirror
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError, NeuropileError
from neuropile.recipes import Plan, Recipe, plans, recording_of, selected
from neuropile.types import Asset


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person asks of a build.

    assets : patterns of paths, instead of the recipe's
    limit : at most so many sessions
    upstream : as the published neural-pile scripts do
    source : a folder that holds the archive's files, to be read instead
    update : take the archive as it is now, whatever was locked
    lock : a file with a lock to build by, instead of the store's own
    """

    assets: tuple[str, ...] = ()
    limit: int | None = None
    upstream: bool = False
    source: Path | None = None
    update: bool = False
    lock: Path | None = None

    def __post_init__(self) -> None:
        if self.update and self.lock is not None:
            raise NeuropileError(f"--update takes the archive as it is now, --lock as {self.lock} says; give one of them")


@dataclass(frozen=True)
class DatasetPlan:
    """The sessions of one dataset that are to be built.

    recipe : as it is applied: for `upstream` with what the published scripts take instead; written : as it is written
    archive : where the files are read: the recipe's, or a folder here
    listing : the files that are taken, no others
    sessions : None where the files are zip or tar archives, whose own list is in them
    unlocked : the whole listing, where the build is to write the store's lock: none was read, or another than its own
    limit : at most so many sessions
    added : how many files were not there when the dataset was locked, and are not taken
    """

    recipe: Recipe
    archive: Archive
    listing: Listing
    sessions: tuple[Plan, ...] | None
    upstream: bool = False
    unlocked: Listing | None = None
    added: int = 0
    limit: int | None = None
    written: Recipe | None = None

    @property
    def dataset(self) -> str:
        """What the dataset is called in a store."""
        return f"{self.recipe.key}@upstream" if self.upstream else self.recipe.key

    @property
    def n_bytes(self) -> int:
        """The bytes of all files together, of which those read by ranges are moved in part only."""
        return sum(a.bytes or 0 for a in self.listing.assets)


def make_plan(recipe: Recipe, wish: Wish, web: Web, lock: Any = None) -> DatasetPlan:
    """List, select, compare with the lock and group into sessions.

    lock : where the store keeps the dataset's lock, or will; None for no lock

    Raises
    ------
    SourceChanged : the archive, or the folder that stands for it, does not hold what was locked
    ArchiveError : it cannot be listed, or nothing in it is selected; there is no lock where one was named
    """
    applied = _applied(recipe, wish)
    archive = recipe.archive if wish.source is None else folder(wish.source)
    locked = _lock(recipe, wish, lock)
    added = 0
    if locked is not None and (locked.pinned if wish.source is None else wish.lock is not None):
        listing = locked
    else:
        listing = archive.list(web)
        if locked is not None and wish.source is None:
            added = len(locks.compare(_only(locked, applied), _only(listing, applied)))
            listing = locked
    chosen = _only(listing, applied)
    if not chosen.assets and applied.members and wish.source is not None and wish.lock is None:  # unpacked by hand
        applied = replace(applied, select=applied.members, members=())
        chosen = _only(listing, applied)
    if not chosen.assets:
        kinds = sorted({a.path.rpartition(".")[2] for a in listing.assets})
        raise ArchiveError(
            f"{archive.name}:{archive.id} has {len(listing.assets)} files ({', '.join(kinds[:8]) or 'none'}), none of which fits "
            f"{' or '.join(applied.select)}; say which with --assets"
        )
    sessions = None if applied.members else tuple(grouped(chosen.assets, applied, recipe)[: wish.limit])
    if wish.source is not None and wish.lock is not None:
        wanted = chosen.assets if sessions is None else tuple({a.path: a for p in sessions for a in p.assets}.values())
        archive = mirror(wish.source, replace(chosen, assets=wanted))
        archive.list(web)
    unlocked = listing if wish.lock is not None or (locked is None and wish.source is None) else None
    return DatasetPlan(applied, archive, chosen, sessions, wish.upstream, unlocked, added, wish.limit, recipe)


def _lock(recipe: Recipe, wish: Wish, own: Any) -> Listing | None:
    """The lock that holds for a dataset: the one that is named, else the store's own, if it has one."""
    if wish.update:
        return None
    if wish.lock is not None:
        path, locked = wish.lock, locks.read(wish.lock)
        if locked is None:
            raise ArchiveError(f"{path}: no such lock; make it with: neuropile lock {recipe.key} --out {path}")
    else:
        path = own
        locked = None if own is None else locks.read(own, "--update takes the archive as it is now and writes it anew")
    if locked is not None and (locked.archive, locked.id) != (recipe.archive.name, recipe.archive.id):
        ours = f"{recipe.archive.name}:{recipe.archive.id}"
        raise ArchiveError(f"{path} is a lock of {locked.archive}:{locked.id}, and {recipe.key} is {ours}; give that dataset's lock")
    return locked


def _applied(recipe: Recipe, wish: Wish) -> Recipe:
    """A recipe with the wish's patterns, or with what the published scripts take and how they read it."""
    changed: dict[str, Any] = {}
    if wish.upstream:
        own = recipe.upstream
        if own is None:
            raise ArchiveError(f"{recipe.key}: the published scripts do not have it; build it without --compat")
        changed = {name: getattr(own, name) for name in ("select", "leave_out", "members", "session") if getattr(own, name) is not None}
        changed |= {"reader": own.reader, "names": own.names, "subject": None, "recording": None, "shared": ()}
    if wish.assets:
        changed |= {"members": wish.assets} if recipe.members else {"select": wish.assets, "leave_out": ()}
    return replace(recipe, **changed)


def grouped(assets: Iterable[Asset], applied: Recipe, recipe: Recipe) -> list[Plan]:
    """The sessions that files make. The published scripts know no recordings: theirs are those of the recipe.

    applied : the recipe as it is applied; recipe : as it is written
    """
    found = plans(assets, applied)
    if applied is recipe or recipe.recording is None or applied.recording is not None:
        return found
    return [replace(p, recording_id=recording_of(p.assets[0].path, recipe)) for p in found]


def _only(listing: Listing, recipe: Recipe) -> Listing:
    return replace(listing, assets=tuple(selected(listing.assets, (*recipe.select, *recipe.shared), recipe.leave_out)))


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 over all in a recipe that decides what is stored of a session."""
    terms = (recipe.license, recipe.citation)
    names = (recipe.session, recipe.names, recipe.subject, recipe.recording, recipe.set_aside)
    decides = (recipe.reader, recipe.quantity, recipe.species, *terms, *names)
    return hashlib.sha256(json.dumps([repr(d) for d in decides]).encode()).hexdigest()
