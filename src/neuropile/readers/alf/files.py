"""Which files of an ALF session are read: its probes, the sorting of each, and the session's own objects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from neuropile.errors import UnreadableFile
from neuropile.readers.alf import folder
from neuropile.readers.alf.grammar import METADATA, Dataset, choose, is_date, is_session_root, parse, session_of

#: Sorters whose folder is taken when nobody asks for another, best first; then the shortest path.
SORTERS = ("iblsorter", "pykilosort")
SIDES = ("left", "right", "body")
#: What is read of the session, by object; None means every attribute that is a column.
SESSION_OBJECTS: dict[str, tuple[str, ...] | None] = {
    "trials": None,
    "wheel": ("position", "timestamps", "times"),
    "wheelMoves": None,
    "licks": ("times",),
    "passivePeriods": ("intervalsTable",),
    "passiveGabor": ("table",),
    "passiveStims": ("table",),
    "passiveRFM": ("times",),
    **{f"{side}Camera": ("times", "ROIMotionEnergy", "lightningPose", "dlc", "features") for side in SIDES},
    **{f"{side}ROIMotionEnergy": ("position",) for side in SIDES},
    "probes": ("description",),
    "experiment": ("description",),
}
PROBE_OBJECTS: dict[str, tuple[str, ...] | None] = {
    "spikes": ("times", "clusters"),
    "passingSpikes": ("table",),
    "clusters": None,
    "channels": None,
    "electrodeSites": None,
}
#: Arrays a unit that are too wide for columns, by object and attribute: signals.
WAVEFORMS = (("clusters", "waveforms"), ("clusters", "waveformsChannels"), ("waveforms", "templates"))
_PROBE = re.compile(r"(probe|imec)[\w-]*", re.IGNORECASE)
#: Folders that may be a session's own, where the path does not say that it is one.
_COLLECTION = re.compile(r"alf|(probe|imec)[\w-]*|#[\w.-]+#|pykilosort|iblsorter|(ks|kilosort)[\w.-]*", re.IGNORECASE)
#: Mean waveforms and the like: large, and no columns.
_NOT_COLUMNS = re.compile(r"waveforms?|templates", re.IGNORECASE)

Attributes = Mapping[str, list[Dataset]]


@dataclass(frozen=True)
class Probe:
    """One probe's sorting: its name where the path has one, and its files by object and attribute; those of waveforms apart."""

    name: str | None
    objects: Mapping[str, Attributes]
    waveforms: Attributes


@dataclass(frozen=True)
class Found:
    """What a session's folder holds that is read, what it holds at all, in words, and the revisions of its spikes."""

    probes: tuple[Probe, ...]
    objects: Mapping[str, Attributes]
    notes: tuple[str, ...]
    holds: str
    revisions: tuple[str, ...] = ()

    def files(self) -> list[Any]:
        """Every file that is read, in a fixed order."""
        groups = [*(p.objects for p in self.probes), *({"waveforms": p.waveforms} for p in self.probes), self.objects]
        paths = {str(d.path): d.path for objects in groups for attributes in objects.values() for found in attributes.values() for d in found}
        return [paths[p] for p in sorted(paths)]


def datasets(path: Any) -> Iterator[Dataset]:
    """Every ALF file of a session's folder. Other sessions' folders, raw voltage and raw video are not looked into."""
    names = folder.parts(path)
    within = session_of(names) is not None

    def enter(below: tuple[str, ...]) -> bool:
        is_session = is_date(below[-1]) or is_session_root([*names, *below])
        known = within or _COLLECTION.fullmatch(below[0]) is not None
        return known and not is_session and not below[-1].startswith((".", "raw_"))

    for inside, file in folder.walk(path, enter):
        found = parse(inside, file)
        if found is not None:
            yield found


def find(path: Any, revision: str | None, sorter: str | None) -> Found:
    """What to read of a session's folder; see alf.session for the choice of revision and sorter."""
    every = list(datasets(path))
    objects: dict[str, dict[tuple[str, ...], list[Dataset]]] = {}
    for d in every:
        objects.setdefault(d.object, {}).setdefault(d.collection, []).append(d)
    notes: list[str] = []
    session = {}
    for name, wanted in SESSION_OBJECTS.items():
        places = {c: f for c, ds in objects.get(name, {}).items() if (f := _wanted(choose(ds, revision), wanted))}
        if places:
            best = min(places, key=lambda c: (len(c), c))
            session[name] = places[best]
            if len(places) > 1:
                others = ", ".join("/".join(c) or "." for c in sorted(places) if c != best)
                notes.append(f"{name} lie in several folders; those of {'/'.join(best) or '.'} are read, those of {others} left out")
    probes = tuple(_probes(path, objects, revision, sorter, notes))
    if revision is not None and probes:
        groups = [*(p.objects for p in probes), *({"waveforms": p.waveforms} for p in probes), session]
        read = [d for objects in groups for attributes in objects.values() for files in attributes.values() for d in files]
        if not any(d.revision for d in read):
            there = ", ".join(sorted({d.revision for d in every if d.revision})[:20]) or "none"
            notes.append(f"no file that is read is of revision {revision} or before (there are {there}): those without a revision are read")
    revisions = sorted({d.revision for ds in objects.get("spikes", {}).values() for d in ds if d.revision})
    return Found(probes, session, tuple(notes), _holds(every), tuple(revisions))


def _wanted(chosen: Attributes, wanted: tuple[str, ...] | None) -> Attributes:
    plain = {a: a.removesuffix(f".{METADATA}") for a in chosen}
    return {a: f for a, f in chosen.items() if (plain[a] in wanted if wanted is not None else not _NOT_COLUMNS.match(a))}


def _holds(every: list[Dataset]) -> str:
    names = sorted({"/".join((*d.collection, *([f"#{d.revision}#"] if d.revision else []), d.path.name)) for d in every})
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[:20]) + more) or "no ALF files"


def split(root: list[str], collection: tuple[str, ...]) -> tuple[str | None, str]:
    """The probe and the sorter that a collection's folders name, the last of the root's own included.

    >>> split(["KS023", "2019-12-10", "001"], ("alf", "probe00", "pykilosort"))
    ('probe00', 'pykilosort')
    """
    names = [*root[-2:], *collection]
    at = next((i for i, n in enumerate(names) if _PROBE.fullmatch(n)), None)
    if at is None:
        return None, "/".join(n for n in collection if n != "alf")
    return names[at], "/".join(names[at + 1 :])


def _probes(
    path: Any, objects: Mapping[str, Mapping[tuple[str, ...], list[Dataset]]], revision: str | None, sorter: str | None, notes: list[str]
) -> Iterator[Probe]:
    root = folder.parts(path)
    sortings: dict[str | None, dict[str, tuple[str, ...]]] = {}
    for obj, attribute in (("spikes", "times"), ("passingSpikes", "table")):  # the second only where the first is not there
        for collection, found in objects.get(obj, {}).items():
            if attribute in choose(found, revision):
                probe, name = split(root, collection)
                sortings.setdefault(probe, {}).setdefault(name, collection)
    if len(sortings) > 1 and None in sortings:
        left = "/".join(next(iter(sortings.pop(None).values()))) or "."
        notes.append(f"spikes of no named probe, in {left}, are left out: the probes' own are read")
    if sorter is not None and sortings and not any(sorter in names for names in sortings.values()):
        by = ", ".join(sorted({repr(n) for names in sortings.values() for n in names}))
        raise UnreadableFile(f"{path}: sought a sorting by {sorter!r}, found those by {by}")
    for probe in sorted(sortings, key=lambda p: p or ""):
        names = sortings[probe]
        order = [n for n in ((sorter,) if sorter is not None else ()) + SORTERS if n in names] or [min(names, key=lambda n: (len(n), n))]
        if sorter is not None and order[0] != sorter:
            notes.append(f"{probe or 'the session'} has no sorting by {sorter!r}: that by {order[0]!r} is read")
        collection = names[order[0]]
        yield Probe(probe, dict(_probe_objects(objects, collection, revision)), _waveforms(objects, collection, revision))


def _waveforms(objects: Mapping[str, Mapping[tuple[str, ...], list[Dataset]]], collection: tuple[str, ...], revision: str | None) -> Attributes:
    chosen = {obj: choose(objects.get(obj, {}).get(collection, []), revision) for obj, _ in WAVEFORMS}
    found = {attribute: chosen[obj].get(attribute, []) for obj, attribute in WAVEFORMS}
    return {attribute: files for attribute, files in found.items() if files and files[0].extension == "npy"}


def _probe_objects(
    objects: Mapping[str, Mapping[tuple[str, ...], list[Dataset]]], collection: tuple[str, ...], revision: str | None
) -> Iterator[tuple[str, Attributes]]:
    """The files of a sorting's folder; the sites of its electrodes also lie above it, as they do not depend on the sorter."""
    for name, wanted in PROBE_OBJECTS.items():
        places = objects.get(name, {})
        up = range(len(collection), 0, -1) if name == "electrodeSites" else [len(collection)]
        at = next((collection[:n] for n in up if collection[:n] in places), None)
        if at is not None:
            yield name, _wanted(choose(places[at], revision), wanted)
