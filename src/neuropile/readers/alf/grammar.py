"""The grammar of ALF names: sessions, collections, revisions and files, told from text alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from neuropile.readers.alf import tables

_DATE = r"\d{4}-\d{2}-\d{2}"
_SESSION = re.compile(rf"(?:(?P<lab>\w+)/Subjects/)?(?P<subject>[\w.-]+)/(?P<date>{_DATE})/(?P<number>\d{{1,3}})(?=/|$)")
_FILE = re.compile(
    r"(?:_(?P<namespace>[a-zA-Z0-9]+)_)?(?P<object>[a-zA-Z0-9]+)"
    r"\.(?P<attribute>(?:_[a-z]+_)?[a-zA-Z0-9]+(?:_times(?=[_.])|_intervals(?=[_.]))?)"
    r"(?:_(?P<timescale>\w+))?(?P<extra>(?:\.[^.]+)*)\.(?P<extension>\w+)"
)
_REVISION = re.compile(r"#(?P<revision>[\w.-]+)#")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]+)")
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
    found = list(_SESSION.finditer("/".join(parts)))
    return SessionPath(found[-1]["lab"], found[-1]["subject"], found[-1]["date"], int(found[-1]["number"])) if found else None


def is_session_root(parts: Sequence[str]) -> bool:
    """Whether a path ends in a session's number below its date."""
    return len(parts) > 1 and re.fullmatch(_DATE, parts[-2]) is not None and re.fullmatch(r"\d{1,3}", parts[-1]) is not None


def is_date(name: str) -> bool:
    """Whether a folder is one of sessions of a day."""
    return re.fullmatch(_DATE, name) is not None


@dataclass(frozen=True)
class Dataset:
    """One ALF file: where it lies and what its name says."""

    path: Any
    collection: tuple[str, ...]
    revision: str
    namespace: str
    object: str
    attribute: str
    timescale: str
    extra: str
    extension: str

    @property
    def key(self) -> str:
        """The attribute, with what follows it in the name: the atlas of a place, the clock of a time."""
        return f"{self.attribute}_{self.timescale}" if self.timescale else self.attribute

    @property
    def is_plain(self) -> bool:
        """Whether it is on the session's clock, of a namespace that is read, and of a format that is."""
        other_clock = self.timescale and self.attribute.endswith(("times", "intervals", "timestamps"))
        return not other_clock and self.namespace in NAMESPACES and f".{self.extension.lower()}" in tables.SUFFIXES


def parse(inside: tuple[str, ...], path: Any) -> Dataset | None:
    """What the names of a file and of its folders (below the session) say; None for a file that is not ALF's.

    A revision's folder may stand anywhere among the others. `_times` and `_intervals` belong to the attribute; a lone
    UUID among the extra parts tells copies apart and says nothing.
    """
    named = _FILE.fullmatch(path.name)
    if named is None:
        return None
    revisions = [r["revision"] for r in map(_REVISION.fullmatch, inside) if r]
    extra = named["extra"].strip(".")
    return Dataset(
        path,
        tuple(p for p in inside if not _REVISION.fullmatch(p)),
        revisions[-1] if revisions else "",
        named["namespace"] or "",
        named["object"],
        named["attribute"],
        named["timescale"] or "",
        "" if _UUID.fullmatch(extra) else extra,
        named["extension"],
    )


def choose(datasets: Iterable[Dataset], revision: str | None) -> dict[str, list[Dataset]]:
    """Of the files of one object in one collection, those to read: each attribute's files, several where it lies in parts.

    The newest revision not after the one asked for, none asked for meaning the newest; a file without revision is
    older than all. Then the first namespace and the first format that has it; parts in the order of their names,
    part2 before part10.
    """
    by_attribute: dict[str, list[Dataset]] = {}
    for d in datasets:
        if d.is_plain and (revision is None or d.revision <= revision):
            by_attribute.setdefault(d.key, []).append(d)
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
