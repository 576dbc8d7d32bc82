"""Recipes: one page of facts a dataset, saying where it is, what of it is taken, how it is read and on what terms it may be used."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files

from neuropile.archives import Archive
from neuropile.errors import NeuropileError
from neuropile.paths import safe_name
from neuropile.recipes import _pages as _pages  # so that a worker that is handed a recipe of a page finds the page
from neuropile.recipes._checking import check_recipe, check_upstream
from neuropile.types import Asset, Reader


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """How the published neural-pile scripts take the same dataset, for `--compat upstream`.

    reader : gives their counts, ids and all
    select, leave_out, members, session : as of Recipe, where theirs are others; None where they are the same
    names : (session as found by the pattern, as they call it)
    """

    reader: Reader
    select: tuple[str, ...] | None = None
    leave_out: tuple[str, ...] | None = None
    members: tuple[str, ...] | None = None
    session: str | None = None
    names: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_upstream(self)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A dataset, as a value that checks itself.

    key : its name in stores and on the command line
    archive : where it is, at the version that was looked at
    species, areas, task : as a physiologist would say it
    license : the SPDX name, or None where only `terms_url` says what is allowed, or nobody does
    subjects, sessions : what a build should find; None where nobody knows
    tokens : the published total of unit x 20 ms cells
    tokens_expected, tokens_reason : ours, where it is known to differ, and why
    select, leave_out : patterns (`*` goes over `/`) of the paths that are taken, and of those that then are not
    members : where the selected files are zip or tar archives: patterns of the files in them that are taken
    shared : patterns of files that every session is given beside its own
    session : a regular expression searched in each path; files whose group `session` is the same are one session of that
        name. None: each file is a session, called by its stem. A group `subject` names the subject.
    names : (session as found by the pattern, as it is to be called)
    subject : the subject of all sessions, where neither file nor path says it
    recording : the recording_id, with `{group}` for groups of `session`, `{subject}`, `{session}` and `{recording}`, the archive's
        own id of it; None, and where the archive has none: dataset/session
    set_aside : (pattern, reason): sessions stored but left out of piles unless asked for
    holds : what each session has, for `build --check`: unit columns (`region`, `quality`, `src_depth`), `intervals/trials`,
        `signals/running`, `observed`
    whole : fetch files whole before they are read, because their format or reader needs all of them
    differs : what the published scripts do here and what is done instead, a sentence each
    tested_on : a real file, or a generated one whose layout is from a listing, a converter, or inferred
    """

    key: str
    title: str
    archive: Archive
    reader: Reader
    species: str
    areas: str
    task: str
    citation: str
    tested_on: str
    license: str | None = None
    terms_url: str | None = None
    subjects: int | None = None
    sessions: int | None = None
    tokens: int | None = None
    tokens_expected: int | None = None
    tokens_reason: str | None = None
    quantity: str = "spikes"
    select: tuple[str, ...] = ("*.nwb",)
    leave_out: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    session: str | None = None
    names: tuple[tuple[str, str], ...] = ()
    subject: str | None = None
    recording: str | None = None
    set_aside: tuple[tuple[str, str], ...] = ()
    holds: tuple[str, ...] = ()
    whole: bool = False
    upstream: Upstream | None = None
    differs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_recipe(self)
        if self.upstream is not None and not isinstance(self.upstream, Upstream):
            raise NeuropileError(f"{self.key}: upstream is an Upstream(...), not {self.upstream!r}")


@dataclass(frozen=True)
class Plan:
    """One session to be built: its name, its files, and what their paths say of it."""

    session_id: str
    assets: tuple[Asset, ...]
    subject_id: str | None = None
    recording_id: str | None = None
    set_aside: str | None = None


def selected(assets: Iterable[Asset], select: Sequence[str], leave_out: Sequence[str] = ()) -> list[Asset]:
    """The assets whose path fits one of `select` and none of `leave_out`, in order."""
    return [a for a in assets if _fits(a.path, select) and not _fits(a.path, leave_out)]


def _fits(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, p) for p in patterns)


def plans(assets: Iterable[Asset], recipe: Recipe) -> list[Plan]:
    """The sessions that selected assets make, by name.

    Raises
    ------
    NeuropileError : a path in which the recipe's pattern finds no session; two files that would be one session by their stem,
        or two sessions that would be one by their name as stores write it
    """
    found: dict[str, tuple[list[Asset], Mapping[str, str], str]] = {}
    every = list(assets)
    shared = selected(every, recipe.shared)
    for asset in (a for a in every if a not in shared):
        own = _found_groups(asset.path, recipe)["session"]
        groups = _groups(asset.path, recipe)
        name = safe_name(groups["session"])
        if name in found and (recipe.session is None or found[name][2] != own):
            way = "give the recipe a `session` pattern" if recipe.session is None else "mend the recipe's `session` pattern or `names`"
            raise NeuropileError(
                f"{recipe.key}: {found[name][0][0].path} and {asset.path} would both be session {name}; {way} that keeps them apart, or pick one with --assets"
            )
        found.setdefault(name, ([], groups, own))[0].append(asset)
    return [_plan(groups["session"], (*own, *shared), groups, recipe) for _, (own, groups, _) in sorted(found.items())]


def _plan(session: str, assets: tuple[Asset, ...], groups: Mapping[str, str], recipe: Recipe) -> Plan:
    subject = groups.get("subject") or recipe.subject
    missing = dict.fromkeys(re.compile(recipe.session or "").groupindex, "")
    own = next((found for a in assets if (found := recipe.archive.recording(a))), None)
    recording = None
    if recipe.recording is not None and (own or "{recording}" not in recipe.recording):
        recording = recipe.recording.format(**{**missing, "subject": subject or "", "recording": own or "", **groups})
    aside = next((why for pattern, why in recipe.set_aside if any(fnmatch.fnmatchcase(a.path, pattern) for a in assets)), None)
    return Plan(session, assets, subject, recording, aside)


def recording_of(path: str, recipe: Recipe) -> str | None:
    """The recording_id of the session a file belongs to, where the recipe has a rule for it and the path fits."""
    if recipe.recording is None or (recipe.session is not None and not re.search(recipe.session, path)):
        return None
    return _plan("", (), _groups(path, recipe), recipe).recording_id


def _groups(path: str, recipe: Recipe) -> dict[str, str]:
    groups = _found_groups(path, recipe)
    return groups | {"session": dict(recipe.names).get(groups["session"], groups["session"])}


def _found_groups(path: str, recipe: Recipe) -> dict[str, str]:
    if recipe.session is None:
        name = path.rsplit("/", 1)[-1]
        return {"session": name.rpartition(".")[0] or name}
    match = re.search(recipe.session, path)
    if match is None:
        raise NeuropileError(f"{recipe.key}: no session is found in {path!r} by {recipe.session!r}; the archive's names have changed: narrow `select`")
    return {k: v for k, v in match.groupdict().items() if v is not None}


def every_key() -> list[str]:
    """The keys of all recipes, sorted."""
    names = (p.name for p in files(__name__).iterdir())
    return sorted(n[:-3].replace("_", "-") for n in names if n.endswith(".py") and not n.startswith("_"))


def load(key: str) -> Recipe:
    """The recipe of a key.

    Raises
    ------
    NeuropileError : there is none; the message names those like it
    """
    known = every_key()
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        said = f"; did you mean {near[0]!r}?" if near else "; see them with: neuropile catalog"
        raise NeuropileError(f"no dataset {key!r} among {len(known)}{said}")
    return import_module(f"{__name__}.{key.replace('-', '_')}").recipe
