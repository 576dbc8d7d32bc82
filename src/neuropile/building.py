"""Source files into a store: skipped where they are stored already, recorded where they fail, whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from dataclasses import replace as replace_fields
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuropile import layout, object_files, object_locks, remote
from neuropile.errors import NeuropileError, NoEvents, NotThere, SessionExists, StoreError, UnreadableFile
from neuropile.paths import own_folder, remove_abandoned, safe_name, scratch_folder, sha256_file, sha256_tree
from neuropile.progress import QUIET, Progress
from neuropile.readers import find
from neuropile.types import Asset, Reader, Recording
from neuropile.writing import Provenance, index_rows, write_session

if TYPE_CHECKING:
    from neuropile.store import Store

#: Where in a store sessions are written before they are moved to where they belong.
_SCRATCH = ".building"
_ASSET_FIELDS = {f.name for f in fields(Asset)}
#: Tokens are told for 20 ms, the width in which corpora are published.
_BINS_PER_S = 50
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """On what terms recordings may be used: an SPDX licence name, and what to cite."""

    license: str | None = None
    citation: str | None = None


@dataclass(frozen=True)
class Known:
    """What is known of a session beside its source, from a recipe and an archive's listing.

    session_id, subject_id, recording_id : stand in place of what the source says; None leaves it
    species : for sources that do not say
    set_aside : why the session is left out of piles by default
    assets : what it is made of, as the archive lists it; None: found at the source itself
    recipe_hash : of all in the recipe that decides what is stored
    """

    session_id: str | None = None
    subject_id: str | None = None
    recording_id: str | None = None
    species: str | None = None
    set_aside: str | None = None
    assets: tuple[Asset, ...] | None = None
    recipe_hash: str | None = None
    terms: Terms = Terms()


@dataclass(frozen=True)
class Outcome:
    """What became of one source: status "stored", "present" (stored before) or "failed", with the error.

    no_events : it failed for there is nothing in it that could be stored
    n_moved : bytes that were fetched for it
    n_tokens : units x 20 ms bins that were observed, in whole or in part
    """

    path: Path
    session: str
    status: str
    n_units: int = 0
    n_spikes: int = 0
    n_tokens: int = 0
    subject_id: str | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
    no_events: bool = False
    n_moved: int = 0


def ingest(
    paths: Iterable[Path | str],
    store: Store,
    reader_of: Callable[[Any], Reader] = find,
    *,
    dataset: str = "local",
    replace: bool = False,
    terms: Terms = Terms(),
    progress: Progress = QUIET,
) -> list[Outcome]:
    """Store one session a source (a file, or a folder that is one session); one that fails is recorded and the rest go on.

    Parameters
    ----------
    paths : files and session folders, local or remote; `readers.find_sources` finds those in a folder
    reader_of : gives the reader of a path, or raises UnreadableFile; by default by what it is
    dataset : the folder of the store the sessions go to
    replace : build again a session that is stored already from other bytes
    terms : licence and citation of each session that does not bring its own
    """
    _check_dataset(dataset)
    files = [remote.as_path(p) for p in paths]
    remove_abandoned(_scratch(store))
    done: dict[str, Path] = {}
    outcomes = []
    for path in progress.track(files, len(files), "ingesting"):
        outcomes.append(_ingest_source(path, store, reader_of, dataset, replace, terms, done))
    return outcomes


def add_recording(store: Store, recording: Recording, provenance: Provenance, *, replace: bool = False) -> dict[str, Any]:
    """Store a recording that is at hand in memory, whole or not at all, and return its marker.

    A session that is stored already with the same content is left as it is.

    Raises
    ------
    SessionExists : a session of that name is stored with other content, and `replace` is not given
    NoEvents, BadTimes : see `write_session`
    """
    _check_dataset(provenance.dataset)
    if safe_name(recording.session_id) != recording.session_id:
        raise StoreError(f"session name {recording.session_id!r} is not safe for a folder; try {safe_name(recording.session_id)!r}")
    final = store.root / provenance.dataset / recording.session_id
    with scratch_folder(_scratch(store)) as folder:
        built = folder / "session"
        built.mkdir()
        write_session(recording, built, provenance)
        if remote.is_remote(final):
            return _upload_into_place(built, final, store, replace)
        _move_into_place(built, final, folder / "old", replace)
    marker = layout.read_session_marker(final)  # another builder's, if it was faster
    store.add(*index_rows(marker, final))
    return marker


def _scratch(store: Store) -> Path:
    """Where sessions are written first: on the store's disk, or, for one far away, among this machine's temporary files."""
    return own_folder() / "building" if remote.is_remote(store.root) else store.root / _SCRATCH


def _check_dataset(dataset: str) -> None:
    if safe_name(dataset) != dataset:
        raise StoreError(f"dataset name {dataset!r} is not safe for a folder; try {safe_name(dataset)!r}")
    if dataset.lower() in (layout.INDEX_FOLDER, layout.STORE_FILE, _SCRATCH):
        raise StoreError(f"a dataset cannot be called {dataset!r}: the store keeps a file or folder of its own there")


def _ingest_source(path: Path, store: Store, reader_of: Callable[[Path], Reader], dataset: str, replace: bool, terms: Terms, done: dict[str, Path]) -> Outcome:
    """One source; `done` holds those of the same call by session, and takes this one in if all goes well."""
    found: list[Reader] = []

    def reader() -> Reader:
        found.append(reader_of(path))
        key = f"{dataset}/{safe_name(found[0].session_name(path))}"
        if key in done:
            raise SessionExists(f"{path}: would be session {key}, as {done[key]} is in the same call; rename one or give it another --dataset")
        return found[0]

    outcome = store_source(path, store, reader, dataset, Known(terms=terms), replace=replace)
    if outcome.status != "failed":
        done[outcome.session] = path
    return outcome


def store_source(path: Any, store: Store, reader_of: Callable[[], Reader], dataset: str, known: Known = Known(), *, replace: bool = False) -> Outcome:
    """Store the session of one source; what goes wrong with the source is its outcome, and put on record.

    path : a file or a session folder, here or far away
    reader_of : gives its reader

    Raises
    ------
    StoreError : the store cannot be written, which no other source would mend
    """
    key = f"{dataset}/{safe_name(known.session_id or _plain_name(path).rpartition('.')[0] or _plain_name(path))}"
    reader, no_events = Reader(), False
    try:
        reader = reader_of()
        key = f"{dataset}/{safe_name(known.session_id or reader.session_name(path))}"
        return _store_source(path, key, store, reader, replace, known)
    except SessionExists as e:
        return Outcome(path, key, "failed", error=str(e))
    except NeuropileError as e:
        cause = reader.failure() or e
        no_events = isinstance(cause, NoEvents)
        error = str(cause) if _plain_name(path) in str(cause) else str(NeuropileError(f"{path}: {cause}"))
    except Exception as e:  # whatever a broken file makes its reader raise: the files after it go on
        if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise StoreError(f"{store.root} cannot be written ({e.strerror}); mend that and run again: what is stored stays") from None
        _log.debug("reading %s", path, exc_info=True)
        said = str(e).splitlines()[0] if str(e) else "no reason given"
        stopped = f"reading stopped with {type(e).__name__}: {said}; the file may be damaged"
        error = str(NeuropileError(f"{path}: {reader.failure() or stopped}"))
    store.add_failure(dataset, key.partition("/")[2], error)
    return Outcome(path, key, "failed", error=error, no_events=no_events)


def _assets(path: Path, reader: Reader) -> tuple[Asset, ...]:
    """The files of a source with their digests: one for a file, one a file for a folder whose reader names them, else one for all."""
    own = reader.assets(path)
    if own is not None:
        return tuple(own)
    if remote.is_remote(path):
        return (_remote_asset(path),)
    if path.is_file():
        return (Asset(_readable(path.name), path.stat().st_size, sha256_file(path)),)
    files = reader.files(path)
    if files is None:
        return (Asset(_readable(path.name), *sha256_tree(path)),)
    return tuple(Asset(_readable(f.relative_to(path).as_posix()), f.stat().st_size, sha256_file(f)) for f in files)


def _plain_name(path: Any) -> str:
    """A source's own name, without the query of a URL."""
    return _readable(path.name.partition("?")[0] if remote.is_remote(path) else path.name)


def _readable(name: str) -> str:
    """A file's name as text that can be written, whatever bytes it is made of."""
    return name.encode("utf-8", "replace").decode()


def _remote_asset(path: Any) -> Asset:
    """A source far away, of which only parts are read: what its server says of it instead of a digest."""
    try:
        facts = remote.persist(lambda: path.fs.info(path.path), path)
    except OSError as e:
        raise UnreadableFile(f"{path}: cannot be reached ({e})") from None
    version = next((str(facts[k]) for k in ("ETag", "etag", "VersionId", "LastModified", "mtime", "created") if facts.get(k)), None)
    return Asset(_plain_name(path), facts.get("size"), None, remote.public(path), version)


def _store_source(path: Path, key: str, store: Store, reader: Reader, replace: bool, known: Known) -> Outcome:
    dataset, _, session_id = key.partition("/")
    assets = known.assets if known.assets is not None else _assets(path, reader)
    provenance = Provenance(dataset, assets, repr(reader), known.terms.license, known.terms.citation, known.recipe_hash)
    final = store.root / dataset / session_id
    marker = None if replace else _finished(final)
    if marker is not None:
        if not _made_as(marker, provenance):
            raise SessionExists(
                f"{path}: session {key} is stored already from other bytes or by another reader or recipe; --replace builds it again, --dataset keeps both"
            )
        if not store.lists(marker):  # a build was killed between the marker and the index
            store.add(*index_rows(marker, final))
        return _outcome(path, key, "present", marker)
    with reader(path) as recording:
        if known.session_id is None and recording.session_id != session_id:
            raise UnreadableFile(f"{path}: its reader calls the session {recording.session_id!r}, its name says {session_id!r}")
        marker = add_recording(store, _with(recording, session_id, known), provenance, replace=replace)
    return _outcome(path, key, "stored", marker)


def _made_as(marker: Mapping[str, Any], provenance: Provenance) -> bool:
    """Whether a session was made of these assets, by this reader and recipe."""
    assets = [Asset(**{k: v for k, v in source.items() if k in _ASSET_FIELDS}) for source in marker["sources"]]
    return assets == list(provenance.assets) and marker["reader"] == provenance.reader and marker["recipe_hash"] == provenance.recipe_hash


def _with(recording: Recording, session_id: str, known: Known) -> Recording:
    """A recording with what is known of it beside its source."""
    subject = replace_fields(recording.subject, species=recording.subject.species or known.species)
    if known.subject_id is not None:
        subject = replace_fields(subject, subject_id=known.subject_id)
    changed: dict[str, Any] = {"session_id": session_id, "subject": subject}
    changed |= {} if known.recording_id is None else {"recording_id": known.recording_id}
    changed |= {} if known.set_aside is None else {"set_aside": known.set_aside}
    return replace_fields(recording, **changed)


def _outcome(path: Any, key: str, status: str, marker: Mapping[str, Any]) -> Outcome:
    n_tokens = marker["n_units"] * ceil(round(marker["observed_s"] * _BINS_PER_S, 6))
    return Outcome(path, key, status, marker["n_units"], marker["n_spikes"], n_tokens, marker["subject_id"], tuple(marker["notes"]))


def _finished(final: Any) -> dict[str, Any] | None:
    """The marker of the session that stands there, None where none is finished."""
    try:
        return layout.read_session_marker(final)
    except NotThere:
        return None


def _move_into_place(built: Path, final: Path, old: Path, replace: bool) -> None:
    """Move a finished session to where it belongs; what stands there goes to `old` if it is to be replaced or unfinished."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists() and (replace or not (final / layout.SESSION_FILE).is_file()):
        with suppress(FileNotFoundError):
            os.rename(final, old)
    try:
        os.rename(built, final)
    except OSError as e:
        if not (final / layout.SESSION_FILE).is_file():
            raise StoreError(f"{final} cannot be written ({e.strerror})") from None
        _check_same(layout.read_session_marker(final), built, final)


def _check_same(stands: dict[str, Any], built: Path, final: Any) -> None:
    if stands["content_digest"] != layout.read_session_marker(built)["content_digest"]:
        raise SessionExists(f"session {final.parent.name}/{final.name} is stored already with other content; --replace builds it again") from None


def _upload_into_place(built: Path, final: Any, store: Store, replace: bool) -> dict[str, Any]:
    """Put a finished session where it belongs on an object store and into the index; returns the marker of what stands there then.

    An object store moves no folders: who uploads a session holds its lock, or the files of two could be mixed, and their
    rows of the index come in another order than they did.
    """
    lock = store.index.folder / "locks" / final.parent.name / f"{final.name}.lock"
    with object_locks.held(lock, f"storing session {final.parent.name}/{final.name}") as held:
        stands = None if replace else _finished(final)
        if stands is not None:
            _check_same(stands, built, final)
            store.add(*index_rows(stands, final))
            return stands
        _upload(built, final, held.check)
        marker = layout.read_session_marker(built)
        store.add(*index_rows(marker, built))
        return marker


def _upload(built: Path, final: Any, check: Callable[[], None]) -> None:
    """The files of a session, its marker last; what is unfinished there or to be replaced goes first, its marker before the rest.

    check : raises where this process no longer holds the session's lock
    """
    marker = layout.SESSION_FILE
    left = object_files.files_below(final)
    new = [p.relative_to(built).as_posix() for p in sorted(built.rglob("*")) if p.is_file() and p.name != marker]
    object_files.remove([final / marker] if marker in left else [])
    object_files.remove(final / name for name in left if name not in (marker, *new))

    def put(name: str) -> None:
        check()
        object_files.put(built / name, final / name)

    list(remote.together(put, new))
    check()
    if not object_files.create(final / marker, (built / marker).read_bytes()):
        raise StoreError(f"{final}: another process finished this session meanwhile; run again")
