"""Datasets into a store: each planned session fetched, read and stored by itself, on any engine, and what came of all told."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from neuropile import layout, locks, remote, session_files
from neuropile.archives.view import telling
from neuropile.archives.web import Web
from neuropile.building import Known, Outcome, Terms, store_source
from neuropile.errors import ArchiveError, NeuropileError, StoreError
from neuropile.paths import safe_name
from neuropile.planning import DatasetPlan, recipe_hash
from neuropile.progress import QUIET, Progress
from neuropile.recipes import Recipe
from neuropile.run import SERIAL, Engine, map_combine
from neuropile.session_files import Source
from neuropile.store import Store, create_store
from neuropile.types import EVENT_QUANTITIES, Reader, Recording

#: What a token of 20 ms takes in a store with every spike time kept, in bits: from 0.8 (rats) to 1.5 (dense recordings).
_STORED_BITS = 1.5
#: Of so many units `check` reads the spikes.
_CHECKED_UNITS = 20


@dataclass(frozen=True)
class Options:
    """How a build is done.

    cache : the folder for what is fetched, until the session it is for is stored
    keep : leave it there afterwards
    replace : build sessions again that are stored from other bytes, or by another recipe
    limit : at most so many sessions a dataset
    """

    cache: Path
    keep: bool = False
    replace: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Job:
    """One session to build: all that a worker needs to know."""

    recipe: Recipe
    dataset: str
    source: Source
    store: Any
    options: Options
    terms: Terms

    def __str__(self) -> str:
        return f"{self.dataset}/{safe_name(self.source.plan.session_id)}"


@dataclass(frozen=True)
class Report:
    """What came of one dataset: its sessions, and what a whole build of it was expected to give."""

    plan: DatasetPlan
    outcomes: tuple[Outcome, ...]
    limited: bool

    def row(self) -> dict[str, Any]:
        """The report as one row: counts by status, totals, and what is not as expected."""
        recipe, done = self.plan.recipe, [o for o in self.outcomes if o.status in ("stored", "present")]
        found = {
            "dataset": self.plan.dataset,
            "stored": sum(o.status == "stored" for o in done),
            "present": sum(o.status == "present" for o in done),
            "skipped": sum(o.status == "skipped" for o in self.outcomes),
            "failed": sum(o.status == "failed" for o in self.outcomes),
            "subjects": len({o.subject_id for o in done}),
            "units": sum(o.n_units for o in done),
            "spikes": sum(o.n_spikes for o in done),
            "bytes_moved": sum(o.n_moved for o in self.outcomes),
            "tokens": sum(o.n_tokens for o in done),
            "tokens_expected": recipe.tokens if self.plan.upstream else recipe.tokens_expected or recipe.tokens,
        }
        return found | {"remarks": self._remarks(found)}

    def _remarks(self, found: dict[str, Any]) -> list[str]:
        if self.limited or found["failed"]:
            return ["not the whole dataset: totals are not compared"]
        recipe, remarks = self.plan.recipe, []
        for name, n in (("sessions", found["stored"] + found["present"]), ("subjects", found["subjects"])):
            expected = getattr(recipe, name)
            if expected is not None and expected != n and not (self.plan.upstream and name == "subjects"):
                remarks.append(f"{n} {name[:-1] if n == 1 else name}, the recipe expects {expected}")
        expected = found["tokens_expected"]
        if expected and expected != found["tokens"]:
            why = f" ({recipe.tokens_reason})" if recipe.tokens_reason and not self.plan.upstream else ""
            remarks.append(f"{found['tokens']:,} tokens, {found['tokens'] / expected:.1%} of {expected:,}{why}")
        return remarks


def lock_path(store: Any, key: str) -> Any:
    """Where a store keeps the lock of a dataset."""
    return remote.as_path(store) / layout.INDEX_FOLDER / "assets" / f"{key}.jsonl"


def cache_folder(asked: Path | None = None) -> Path:
    """Where what is fetched lies: as asked, else NEUROPILE_CACHE, else `neuropile` in the user's cache folder."""
    if asked is not None:
        return asked
    own = os.environ.get("NEUROPILE_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neuropile"


def disk_free(store: Any) -> int | None:
    """The bytes free where a store is or will be; None for one far away."""
    root = remote.as_path(store)
    if remote.is_remote(root):
        return None
    there = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


def foreseen(plan: DatasetPlan) -> dict[str, Any]:
    """What a build of a dataset will take, as one row."""
    recipe = plan.recipe
    tokens = recipe.tokens_expected or recipe.tokens
    return {
        "dataset": plan.dataset,
        "sessions": None if plan.sessions is None else len(plan.sessions),
        "files": len(plan.listing.assets),
        "bytes": plan.n_bytes,
        "moved": "whole files" if recipe.whole or recipe.members else "parts",
        "tokens": tokens,
        "store_bytes": None if tokens is None else int(tokens * _STORED_BITS / 8),
        "version": plan.listing.version,
        "license": recipe.license or recipe.terms_url or plan.listing.license,
    }


def build(
    wanted: Sequence[DatasetPlan],
    store: Store,
    options: Options,
    *,
    engine: Engine = SERIAL,
    progress: Progress = QUIET,
    seen: Callable[[Sequence[Outcome]], None] = lambda outcomes: None,
) -> list[Report]:
    """Build every planned session; one that fails is told and recorded, and the others go on.

    Sessions that are stored already cost no request. What is fetched stays in the cache until its session is stored, so
    that a build which was killed, or met an error, fetches nothing twice.

    seen : called with what came of some sessions, as it comes

    Raises
    ------
    StoreError : the store cannot be written
    ArchiveError : the cache cannot be written; or nothing is found in the archives of the only dataset
    RunError : the cluster cannot be reached, or is lost
    """
    jobs: list[Job] = []
    lost: list[Outcome] = []
    _check_cache(options.cache)
    for plan in wanted:
        if plan.unlocked is not None:
            locks.write(plan.unlocked, lock_path(store.root, plan.recipe.key))
        try:
            found, broken = session_files.sources(plan, options.cache, _web(), lock_path(store.root, plan.recipe.key).parent)
        except StoreError:
            raise
        except NeuropileError as e:
            if len(wanted) == 1:
                raise
            lost.append(Outcome(Path(plan.archive.id), f"{plan.dataset}/*", "failed", error=str(e)))
            continue
        lost += [Outcome(Path(path), f"{plan.dataset}/{path}", "failed", error=error) for path, error in broken.items()]
        jobs += [Job(plan.recipe, plan.dataset, source, store.root, options, _terms(plan)) for source in found]
    session_files.unpack_together([j.source for j in jobs if options.replace or str(j) not in store], options.cache, _web())
    done = map_combine(jobs, build_session, _chained, engine=engine, progress=progress, label="building", seen=seen)
    outcomes = [*lost, *(done.value or ()), *(Outcome(Path(f.item), f.item, "failed", error=f.error) for f in done.failures)]
    by_dataset: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_dataset.setdefault(outcome.session.partition("/")[0], []).append(outcome)
    store.index.take_in()
    if not options.keep and not any(o.status == "failed" for o in outcomes):
        session_files.forget_archives([j.source for j in jobs], options.cache)
    return [Report(p, tuple(by_dataset.get(p.dataset, [])), options.limit is not None) for p in wanted]


def _check_cache(folder: Path) -> None:
    """Tell once, and not with each session, where nothing can be put into a cache."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise ArchiveError(f"{folder}: what is fetched cannot be put there ({e.strerror or e}); name another folder with --cache") from None


def _terms(plan: DatasetPlan) -> Terms:
    """Licence and citation as the recipe has them, else as the archive does."""
    recipe, listing = plan.recipe, plan.listing
    own = f"terms at {recipe.terms_url}" if recipe.terms_url else None
    return Terms(recipe.license or own or listing.license, recipe.citation or listing.citation)


def _chained(parts: Iterable[tuple[Outcome, ...]]) -> tuple[Outcome, ...]:
    return tuple(chain.from_iterable(parts))


def check(plan: DatasetPlan, options: Options, web: Web, kept: Any) -> dict[str, Any]:
    """Read the session with the fewest bytes, and tell where it is not as the recipe says; nothing is stored.

    kept : see `session_files.sources`

    Raises
    ------
    NeuropileError : it cannot be fetched or read at all
    """
    recipe = plan.recipe
    _check_cache(options.cache)
    found, lost = session_files.sources(plan, options.cache, web, kept)
    if not found:
        raise ArchiveError(f"{plan.dataset}: no session can be looked at ({'; '.join(lost.values()) or 'the archives hold none'})")
    source = min(found, key=lambda s: sum(a.bytes or 0 for a in s.plan.assets))
    with session_files.opened(source, web, options.cache) as path, telling(path), recipe.reader(path) as recording:
        n_spikes = sum(recording.trains.read(unit).size for unit in range(min(recording.trains.n_units, _CHECKED_UNITS)))
        differs = [] if plan.upstream else [f"no {name}" for name in recipe.holds if not _has(recording, name)]
        if recording.quantity != recipe.quantity and not plan.upstream:
            differs.append(f"its quantity is {recording.quantity}, not {recipe.quantity}")
        if not n_spikes and recording.quantity in EVENT_QUANTITIES:
            differs.append(f"its first {_CHECKED_UNITS} units have no spikes")
        told = {"units": recording.trains.n_units, "quantity": recording.quantity, "intervals": sorted(recording.intervals), "notes": list(recording.notes)}
        return {"dataset": plan.dataset, "asset": source.plan.assets[0].path, "spikes": n_spikes, **told, "differs": differs}


def _has(recording: Recording, name: str) -> bool:
    """Whether a recording has what `Recipe.holds` names."""
    kind, slash, own = name.partition("/")
    if slash:
        return own in {"intervals": recording.intervals, "signals": recording.signals}[kind]
    if name == "observed":
        return recording.observed is not None
    return name in recording.units.column_names and recording.units.column(name).null_count < recording.units.num_rows


def build_session(job: Job) -> tuple[Outcome, ...]:
    """Fetch, read and store one session."""
    recipe, plan, cache = job.recipe, job.source.plan, job.options.cache
    known = Known(
        session_id=plan.session_id,
        subject_id=plan.subject_id,
        recording_id=plan.recording_id,
        species=recipe.species or None,
        set_aside=plan.set_aside,
        assets=plan.assets,
        recipe_hash=recipe_hash(recipe),
        terms=job.terms,
    )
    path, reader = PurePosixPath(plan.assets[0].path), _Fetching(recipe.reader, job)
    with session_files.alone(job.source, job.dataset, cache):
        outcome = store_source(path, _store(job.store), lambda: reader, job.dataset, known, replace=job.options.replace)
        if outcome.status != "failed" and not job.options.keep:
            session_files.forget(job.source, cache)
    # what was read of a file without events stays in the cache, so that the next build need not fetch it to know
    return (replace(outcome, status="skipped" if outcome.no_events else outcome.status, n_moved=sum(reader.moved)),)


@cache
def _web() -> Web:
    """This process' client."""
    return Web()


_stores: dict[str, Store] = {}


def _store(root: Any) -> Store:
    """The store at a place, opened once a process."""
    if str(root) not in _stores:
        _stores[str(root)] = create_store(root)
    return _stores[str(root)]


@dataclass(frozen=True, repr=False)
class _Fetching(Reader):
    """A recipe's reader, which is given the files only when it is to open them: of a session that is stored, nothing is fetched."""

    reader: Reader
    job: Job
    moved: list[int] = field(default_factory=list)
    _opened: list[Any] = field(default_factory=list)

    def __call__(self, path: Any) -> Recording:
        with ExitStack() as files:
            opened = session_files.opened(self.job.source, _web(), self.job.options.cache, self.moved.append)
            self._opened.append(files.enter_context(opened))
            recording = self.reader(self._opened[-1])
            files.callback(recording.close)
            return replace(recording, close=files.pop_all().close)

    def failure(self) -> Exception | None:
        """What went wrong with fetching, which a reader may have taken for damage."""
        return next((p.fs.failure for p in self._opened if getattr(getattr(p, "fs", None), "failure", None)), None)

    def __repr__(self) -> str:
        return repr(self.reader)
