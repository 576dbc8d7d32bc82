"""A planned session's files where a reader can open them: far away, fetched whole, or out of a zip or tar archive."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from neuropile import locks
from neuropile.archives import Archive, fetching, members, view
from neuropile.archives.partial import home
from neuropile.archives.pulling import Progress, ignore, local_file
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError
from neuropile.paths import safe_name, scratch_folder
from neuropile.planning import DatasetPlan, grouped
from neuropile.recipes import Plan, selected
from neuropile.types import Asset

#: Between the path of a zip or tar archive and the path of a file in it.
INSIDE = "!/"
#: Who builds a session gives a sign of life so often; others tell of it after a while, and go on where none comes for so long.
SIGN_S, TELL_S, SILENT_S = 10.0, 5.0, 60.0
_LOOK_S = 0.2
_log = logging.getLogger(__name__)
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Source:
    """The files of one session.

    plan : its name and files; those in an archive have paths `archive.zip!/file`
    packed : (file, its zip or tar archive, its path there), for those that are in one
    whole : whether they are fetched whole before they are read
    shared : the paths of those that other sessions are given too
    """

    archive: Archive
    plan: Plan
    packed: tuple[tuple[str, Asset, str], ...] = ()
    whole: bool = False
    shared: frozenset[str] = frozenset()


def sources(plan: DatasetPlan, cache: Path, web: Web, kept: Any) -> tuple[list[Source], dict[str, str]]:
    """The sessions of a dataset; for one in zip or tar archives, what they hold is listed first.

    Returns also which of those archives could not be had, and why.

    kept : the folder where what archives hold is kept, so that they are not fetched again only to be listed

    Raises
    ------
    ArchiveError : nothing in the archives is selected
    """
    recipe = plan.recipe
    if plan.sessions is not None:
        shared = frozenset(a.path for a in selected(plan.listing.assets, recipe.shared))
        return [Source(plan.archive, p, (), recipe.whole, shared) for p in plan.sessions], {}
    found: dict[str, tuple[Asset, str]] = {}
    inside: list[Asset] = []
    lost: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    for asset in plan.listing.assets:
        try:
            held = _members(plan, asset, cache, web, kept)
        except ArchiveError as e:
            lost[asset.path] = str(e)
            continue
        kinds.update(m.path.rpartition(".")[2] for m in held)
        for member in selected(held, recipe.members):
            path = f"{asset.path}{INSIDE}{member.path}"
            found[path] = (asset, member.path)
            inside.append(replace(member, path=path))
    if not inside and not lost:
        raise ArchiveError(
            f"{plan.archive.name}:{plan.archive.id}: its {len(plan.listing.assets)} zip or tar archives hold {kinds.total()} files "
            f"({', '.join(sorted(kinds)[:8]) or 'none'}), none of which fits {' or '.join(recipe.members)}; say which with --assets"
        )
    shared = frozenset(a.path for a in selected(inside, recipe.shared))
    plans = grouped(inside, recipe, plan.written or recipe)[: plan.limit]
    return [Source(plan.archive, p, tuple((a.path, *found[a.path]) for a in p.assets), True, shared) for p in plans], lost


def _members(plan: DatasetPlan, asset: Asset, cache: Path, web: Web, kept: Any) -> Sequence[Asset]:
    identity = hashlib.sha256(repr((asset.path, asset.bytes, asset.sha256, asset.digest, asset.version)).encode()).hexdigest()[:16]
    path = kept / f"{plan.recipe.key}.{identity}.jsonl"
    try:
        known = locks.read(path)
    except ArchiveError:  # damaged: listed anew
        known = None
    if known is None:
        local = local_file(plan.archive, asset, web)
        if local is not None:
            fetching.verify(local, asset)
        inside = members.listed(plan.archive, asset, web, cache)
        known = replace(plan.listing, assets=inside)
        locks.write(known, path)
    return known.assets


def unpack_together(wanted: Sequence[Source], cache: Path, web: Web) -> None:
    """Unpack what several sessions want of one tar archive, which must be read from its beginning, in one go.

    What goes wrong is told when each session is opened.
    """
    by_archive: dict[str, tuple[Archive, Asset, list[str]]] = {}
    for source in wanted:
        for _, asset, member in source.packed:
            if asset.path.lower().endswith(_TAR):
                by_archive.setdefault(asset.path, (source.archive, asset, []))[2].append(member)
    for archive, asset, names in by_archive.values():
        with suppress(ArchiveError):
            members.unpacked(archive, asset, names, web, cache)


@contextmanager
def alone(source: Source, dataset: str, cache: Path) -> Iterator[None]:
    """Let no other builder that shares the cache work on the same session meanwhile; it finds it stored, or goes on where this one broke off.

    One that holds the session and gives no sign of life for long (it was stopped, or its machine is gone) is told of, and
    not waited for: a session that two build is stored once.
    """
    path = cache / "locks" / f"{dataset}.{safe_name(source.plan.session_id)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as f:
        if not _taken(f, f"{dataset}/{source.plan.session_id}"):
            yield
            return
        f.truncate(0)
        f.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        f.flush()
        done = threading.Event()
        signs = threading.Thread(target=_give_signs, args=(path, done), daemon=True)
        signs.start()
        try:
            yield
        finally:
            done.set()
            signs.join()


def _taken(file: IO[bytes], what: str) -> bool:
    """Wait for a lock; False where whoever holds it gives no sign of life."""
    began = since = time.monotonic()
    last, told = -1, False
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        now, sign = time.monotonic(), os.fstat(file.fileno()).st_mtime_ns
        if sign != last:
            last, since = sign, now
        file.seek(0)
        holder = file.read(200).decode("utf-8", "replace") or "another process"
        if now - since > SILENT_S:
            _log.warning("%s: %s holds it and gave no sign of life for %.0f s; going on without it", what, holder, now - since)
            return False
        if now - began > TELL_S and not told:
            _log.warning("%s: waiting for %s, which builds it", what, holder)
            told = True
        time.sleep(_LOOK_S)


def _give_signs(path: Path, done: threading.Event) -> None:
    """Show that this process lives, as long as it does."""
    while not done.wait(SIGN_S):
        with suppress(OSError):
            os.utime(path)


@contextmanager
def opened(source: Source, web: Web, cache: Path, progress: Progress = ignore) -> Iterator[Any]:
    """The path a reader opens: of the one file, or of a folder that holds the several under their archive paths.

    progress : called with the number of bytes whenever some came, by any thread

    Raises
    ------
    ArchiveError : files that are fetched whole cannot be had; of others that is told when they are read
    """
    assets = source.plan.assets
    if not source.whole:
        yield view.path(source.archive, assets, web, cache, progress)
        return
    with scratch_folder(cache / "sessions") as folder:
        paths = []
        for path, file in _fetched(source, web, cache, progress):
            paths.append(folder / path)
            _put(file, paths[-1])
        yield paths[0] if len(assets) == 1 else folder


def _fetched(source: Source, web: Web, cache: Path, progress: Progress) -> Iterator[tuple[str, Path]]:
    """Each file's path in the session's folder, and where it lies now."""
    if not source.packed:
        for asset in source.plan.assets:
            yield asset.path, fetching.fetch(source.archive, asset, web, cache, progress)
        return
    by_archive: dict[str, tuple[Asset, list[tuple[str, str]]]] = {}
    for path, asset, member in source.packed:
        by_archive.setdefault(asset.path, (asset, []))[1].append((path.replace(INSIDE, "/"), member))
    for asset, names in by_archive.values():
        folder = members.unpacked(source.archive, asset, [m for _, m in names], web, cache, progress)
        yield from ((path, folder / member) for path, member in names)


def _put(file: Path, place: Path) -> None:
    """The same file in another place, without a copy of its bytes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.hardlink_to(file)
    except OSError:  # on another disk, or a folder
        place.symlink_to(file.resolve())


def forget(source: Source, cache: Path) -> None:
    """Remove what is in the cache for a session's own files; what other sessions need stays: shared files, and the zip or tar archive itself."""
    if source.packed:
        for path, asset, member in source.packed:
            if path in source.shared:
                continue
            (home(cache, source.archive, asset, asset.bytes) / "members" / member).unlink(missing_ok=True)
        return
    for asset in source.plan.assets:
        if asset.path not in source.shared:
            shutil.rmtree(home(cache, source.archive, asset, asset.bytes), ignore_errors=True)


def forget_archives(done: Sequence[Source], cache: Path) -> None:
    """Remove what several sessions came from: zip and tar archives, and the files they share."""
    shared = {home(cache, s.archive, a, a.bytes) for s in done if not s.packed for a in s.plan.assets if a.path in s.shared}
    for place in shared | {home(cache, s.archive, asset, asset.bytes) for s in done for _, asset, _ in s.packed}:
        shutil.rmtree(place, ignore_errors=True)
