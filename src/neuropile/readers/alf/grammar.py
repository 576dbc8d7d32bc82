"""The grammar of ALF names, both ways: sessions, collections, revisions and files from their text, and their text from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from neuropile.errors import NeuropileError
from neuropile.readers.alf import tables

_DATE = r"\d{4}-\d{2}-\d{2}"
_SESSION = re.compile(rf"(?<![^/])(?:(?P<lab>\w+)/Subjects/)?(?P<subject>[\w.-]+)/(?P<date>{_DATE})/(?P<number>\d{{1,3}})(?=/|$)")
_FILE = re.compile(
    r"(?:_(?P<namespace>[a-zA-Z0-9]+)_)?(?P<object>[a-zA-Z0-9]+)"
    r"\.(?P<attribute>(?:_[a-z]+_)?[a-zA-Z0-9]+(?:_times(?=[_.])|_intervals(?=[_.]))?)"
    r"(?:_(?P<timescale>\w+))?(?P<extra>(?:\.[^.]+)*)\.(?P<extension>\w+)"
)
_REVISION = re.compile(r"#(?P<revision>[\w.-]+)#")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]+)")
#: What stands last among the extra parts of a file that names the columns of another.
METADATA = "metadata"
#: The first namespace that has an attribute gives it; files of other namespaces are someone else's.
NAMESPACES = ("ibl", "", "iblrig")


@dataclass(frozen=True)
class SessionPath:
    """What a path says of its session."""

    lab: str | None
    subject: str
    date: str
    number: int

    @property
    def name(self) -> str:
        """The session's name: subject_date_number."""
        return f"{self.subject}_{self.date}_{self.number:03d}"


def session_of(parts: Sequence[str]) -> SessionPath | None:
    """The session that a path's names speak of, the innermost where there are several; None where they speak of none.

    >>> session_of(["mainenlab", "Subjects", "ZM_1743", "2019-06-14", "1", "alf"]).name
    'ZM_1743_2019-06-14_001'
    """
    found = [m for m in _SESSION.finditer("/".join(parts)) if _is_day(m["date"])]
    return SessionPath(found[-1]["lab"], found[-1]["subject"], found[-1]["date"], int(found[-1]["number"])) if found else None


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_session_root(parts: Sequence[str]) -> bool:
    """Whether a path ends in a session's number below its date."""
    return len(parts) > 1 and re.fullmatch(_DATE, parts[-2]) is not None and re.fullmatch(r"\d{1,3}", parts[-1]) is not None


def is_date(name: str) -> bool:
    """Whether a folder is one of sessions of a day."""
    return re.fullmatch(_DATE, name) is not None


@dataclass(frozen=True)
class Dataset:
    """One ALF file: where it lies and what its name says; `uuid` is one behind the other parts, which says nothing."""

    path: Any
    collection: tuple[str, ...]
    revision: str
    namespace: str
    object: str
    attribute: str
    timescale: str
    extra: str
    extension: str
    uuid: str = ""

    @property
    def key(self) -> str:
        """The attribute, with what follows it in the name: the atlas of a place, the clock of a time."""
        return f"{self.attribute}_{self.timescale}" if self.timescale else self.attribute

    @property
    def is_plain(self) -> bool:
        """Whether it is on the session's clock, of a namespace that is read, and of a format that is."""
        other_clock = self.timescale and self.attribute.endswith(("times", "intervals", "timestamps"))
        return not other_clock and self.namespace in NAMESPACES and f".{self.extension.lower()}" in tables.SUFFIXES

    @property
    def is_metadata(self) -> bool:
        """Whether it tells of another file of its object and attribute: the names of a bare matrix's columns."""
        return self.extra.rpartition(".")[2] == METADATA

    @property
    def name(self) -> str:
        """Its file's name, made from its parts."""
        extra = ".".join(e for e in (self.extra, self.uuid) if e)
        return filename(self.object, self.attribute, self.extension, namespace=self.namespace, timescale=self.timescale, extra=extra)


def parse(inside: tuple[str, ...], path: Any) -> Dataset | None:
    """What the names of a file and of its folders (below the session) say; None for a file that is not ALF's.

    A revision's folder may stand anywhere among the others. `_times` and `_intervals` belong to the attribute; a UUID
    behind the extra parts, as archives and mounts put it, says nothing.
    """
    named = _FILE.fullmatch(path.name)
    if named is None:
        return None
    revisions = [r["revision"] for r in map(_REVISION.fullmatch, inside) if r]
    extra, uuid = named["extra"].strip("."), ""
    if _UUID.fullmatch(extra.rpartition(".")[2]):
        extra, _, uuid = extra.rpartition(".")
    return Dataset(
        path,
        tuple(p for p in inside if not _REVISION.fullmatch(p)),
        revisions[-1] if revisions else "",
        named["namespace"] or "",
        named["object"],
        named["attribute"],
        named["timescale"] or "",
        extra,
        named["extension"],
        uuid,
    )


def filename(object: str, attribute: str, extension: str, *, namespace: str = "", timescale: str = "", extra: str = "") -> str:
    """The name of a file that has these parts: the other way round of `parse`.

    extra : parts between dots, "part1.raw"; a UUID may be the last

    Raises
    ------
    NeuropileError : no ALF name reads so: a part is empty or holds what parts cannot

    >>> filename("trials", "goCue_times", "npy", namespace="ibl", timescale="bpod")
    '_ibl_trials.goCue_times_bpod.npy'
    """
    name = f"{f'_{namespace}_' if namespace else ''}{object}.{attribute}{f'_{timescale}' if timescale else ''}.{f'{extra}.' if extra else ''}{extension}"
    found = _FILE.fullmatch(name)
    parts = {"namespace": namespace, "object": object, "attribute": attribute, "timescale": timescale, "extension": extension}
    if found is None or found["extra"].strip(".") != extra or any((found[n] or "") != part for n, part in parts.items()):
        raise NeuropileError(f"{name!r} is no ALF name of these parts; names read [_namespace_]object.attribute[_timescale][.extra].extension")
    return name


def session_path(subject: str, date: str, number: int, *, lab: str = "") -> str:
    """The path of a session below the root of its archive: the other way round of `session_of`. Numbers have three digits.

    Raises
    ------
    NeuropileError : no session's path reads so

    >>> session_path("ZM_1743", "2019-06-14", 1, lab="mainenlab")
    'mainenlab/Subjects/ZM_1743/2019-06-14/001'
    """
    numbered = f"{number:03d}" if isinstance(number, int | np.integer) else repr(number)
    path = f"{f'{lab}/Subjects/' if lab else ''}{subject}/{date}/{numbered}"
    found = _SESSION.fullmatch(path)
    if found is None or (found["lab"] or "") != lab or subject in (".", ".."):
        raise NeuropileError(f"{path!r} is no session's path; they read [lab/Subjects/]subject/YYYY-MM-DD/number, the number whole, 0 to 999")
    return path


def relative_path(collection: str | Sequence[str], name: str, *, revision: str = "") -> str:
    """The path of a file below its session: the collection's folders, then the revision's, which always comes last, then the name.

    Raises
    ------
    NeuropileError : a folder or the name is no ALF name

    >>> relative_path("alf/probe00", "spikes.times.npy", revision="2024-05-06")
    'alf/probe00/#2024-05-06#/spikes.times.npy'
    """
    folders = [f for f in collection.split("/") if f] if isinstance(collection, str) else list(collection)
    wrong = [f for f in folders if not re.fullmatch(r"[\w.-]+", f) or f in (".", "..")]
    if wrong or (revision and not _REVISION.fullmatch(f"#{revision}#")) or _FILE.fullmatch(name) is None:
        raise NeuropileError(f"{'/'.join([*folders, name])!r} of revision {revision!r} is no ALF path: folders are of letters, digits, '_', '-' and '.'")
    return "/".join([*folders, *([f"#{revision}#"] if revision else []), name])


def choose(datasets: Iterable[Dataset], revision: str | None) -> dict[str, list[Dataset]]:
    """Of the files of one object in one collection, those to read: each attribute's files, several where it lies in parts.

    The newest revision not after the one asked for, none asked for meaning the newest; a file without revision is
    older than all. Revisions are compared as text, which puts dates (YYYY-MM-DD) in their order. Then the first namespace
    and the first format that has it; parts in the order of their names, part2 before part10. A file that names the columns
    of an attribute comes as `attribute.metadata`.
    """
    by_attribute: dict[str, list[Dataset]] = {}
    for d in datasets:
        if d.is_plain and (revision is None or d.revision <= revision):
            by_attribute.setdefault(f"{d.key}.{METADATA}" if d.is_metadata else d.key, []).append(d)
    chosen = {}
    for attribute, found in sorted(by_attribute.items()):
        space = min(NAMESPACES.index(d.namespace) for d in found)
        found = [d for d in found if d.namespace == NAMESPACES[space]]
        newest = max(d.revision for d in found)
        found = [d for d in found if d.revision == newest]
        form = min(tables.SUFFIXES.index(f".{d.extension.lower()}") for d in found)
        found = [d for d in found if f".{d.extension.lower()}" == tables.SUFFIXES[form]]
        chosen[attribute] = sorted(found, key=lambda d: natural(d.path.name))
    return chosen


def natural(name: str) -> tuple[Any, ...]:
    """What to sort names by so that the runs of digits in them count as numbers; UUIDs are compared as text.

    >>> sorted(["a.part10", "a.part9"], key=natural)
    ['a.part9', 'a.part10']
    """
    words = [[word] if _UUID.fullmatch(word) else _DIGITS.split(word) for word in name.split(".")]
    return (*(tuple(int(run) if i % 2 else run for i, run in enumerate(runs)) for runs in words), (name,))
