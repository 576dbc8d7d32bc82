"""Datasets as IBL's database knows them: which revision of each is taken, and how files are called here and there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from neuropile.types import Asset

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Dataset:
    """One revision of a dataset: `name` in its `collection` of a session (`eid`), and where its file lies."""

    eid: str
    uuid: str
    collection: str
    name: str
    revision: str
    is_default: bool
    asset: Asset | None


def chosen(datasets: Iterable[Dataset], revision: str | None) -> list[Dataset]:
    """Of each dataset one revision: the newest not after the one asked for; none asked for, the default, or else the newest.

    Revisions are compared as text, and a dataset without one is older than all. A dataset whose revisions are all too new has none.
    """
    groups: dict[tuple[str, str, str], list[Dataset]] = {}
    for d in datasets:
        groups.setdefault((d.eid, d.collection, d.name), []).append(d)
    found = []
    for _, own in sorted(groups.items()):
        defaults = [d for d in own if d.is_default] if revision is None else []
        fit = defaults or [d for d in own if revision is None or d.revision <= revision]
        if fit:
            found.append(max(fit, key=lambda d: (d.revision, d.uuid)))
    return found


def with_uuid(path: str, uuid: str) -> str:
    """A file's name as IBL's servers have it, with the dataset's UUID before the extension.

    >>> with_uuid("alf/spikes.times.npy", "9aca5e3a-1a6e-4a3b-bd0a-5d2a1f0c7b11")
    'alf/spikes.times.9aca5e3a-1a6e-4a3b-bd0a-5d2a1f0c7b11.npy'
    """
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    return path if f".{uuid}." in name else f"{folder}{slash}{stem}{dot}{uuid}.{extension}"


def without_uuid(path: str) -> str:
    """A file's name as it is on disk.

    >>> without_uuid("alf/spikes.times.9aca5e3a-1a6e-4a3b-bd0a-5d2a1f0c7b11.npy")
    'alf/spikes.times.npy'
    """
    return re.sub(rf"\.{UUID}(?=\.[^./]+$)", "", path, flags=re.IGNORECASE)
