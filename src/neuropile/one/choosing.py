"""Which of a session's datasets are meant: by name, collection, revision and quality."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.one.errors import ALFError, ALFMultipleRevisionsFound, shown
from neuropile.readers.alf import grammar
from neuropile.searching.keywords import QC_LIMIT, qc_value, qc_values

if TYPE_CHECKING:
    import pandas as pd

#: One pattern (`*`, `?`, `[ab]`), several of which one must fit, or None, which anything fits; "" is nothing at all.
Wanted = str | Sequence[str] | None
PARTS = ("namespace", "object", "attribute", "timescale", "extra", "extension")
_UNDERSCORED = re.compile(r"(?P<space>_[a-zA-Z0-9]+_)?(?P<object>[a-zA-Z0-9]+(?:_[a-zA-Z0-9]+)+)(?P<rest>\..+)")
_REVISION = re.compile(r"#([\w.-]+)#")


@dataclass(frozen=True)
class Path:
    """What a dataset's path in its session says: `collection/#revision#/name`."""

    collection: str
    revision: str
    name: str


@lru_cache(maxsize=1 << 16)
def split(rel_path: str) -> Path:
    """A dataset's path taken apart; a revision's folder may stand anywhere.

    >>> split("alf/probe00/#2024-05-06#/spikes.times.npy")
    Path(collection='alf/probe00', revision='2024-05-06', name='spikes.times.npy')
    """
    *folders, name = rel_path.split("/")
    revisions = [m[1] for f in folders if (m := _REVISION.fullmatch(f))]
    return Path("/".join(f for f in folders if not _REVISION.fullmatch(f)), revisions[-1] if revisions else "", name)


@lru_cache(maxsize=1 << 16)
def parsed(rel_path: str) -> grammar.Dataset | None:
    """What a dataset's name says; None where it is not ALF's.

    Objects of raw files carry underscores (`_spikeglx_ephysData_g0_t0.imec0.ap.cbin`), which ALF's own grammar does not know.
    """
    path = PurePosixPath(rel_path)
    found = grammar.parse(path.parts[:-1], path)
    named = _UNDERSCORED.fullmatch(path.name) if found is None else None
    if named is None:
        return found
    plain = grammar.parse(path.parts[:-1], path.with_name(f"{named['space'] or ''}{named['object'].replace('_', '')}{named['rest']}"))
    return None if plain is None else replace(plain, object=named["object"], path=path)


def fits(value: str, wanted: Wanted) -> bool:
    """Whether a text is what is wanted; see Wanted.

    >>> fits("alf/probe00", "alf*"), fits("alf", ""), fits("", "")
    (True, False, True)
    """
    if wanted is None:
        return True
    return any(fnmatch.fnmatchcase(value, w) for w in ([wanted] if isinstance(wanted, str) else wanted))


def where(
    datasets: pd.DataFrame,
    filename: Wanted | Mapping[str, Wanted] = None,
    collection: Wanted = None,
    revision: Wanted = None,
    qc: Any = QC_LIMIT,
    ignore_qc_not_set: bool = False,
) -> pd.DataFrame:
    """The rows of a table of datasets that fit.

    filename : a file's name, or parts of it (PARTS), each as Wanted
    collection, revision : each as Wanted
    qc : the worst quality that is let through
    ignore_qc_not_set : leave out those whose quality nobody has judged
    """
    keep = np.array([is_meant(p, filename, collection, revision) for p in datasets["rel_path"]], bool)
    quality = qc_values(datasets["qc"])
    keep &= quality <= qc_value(qc)
    return datasets[keep & (quality > 0) if ignore_qc_not_set else keep]


def is_meant(rel_path: str, filename: Wanted | Mapping[str, Wanted], collection: Wanted, revision: Wanted) -> bool:
    """Whether a dataset is what is wanted, by its path; see `where`."""
    path = split(rel_path)
    if not (fits(path.collection, collection) and fits(path.revision, revision)):
        return False
    if not isinstance(filename, Mapping):
        return fits(path.name, filename)
    unknown = [k for k in filename if k not in PARTS]
    if unknown:
        raise ALFError(f"a file's name has no part {unknown[0]!r}; it has {', '.join(PARTS)}")
    found = parsed(rel_path)
    return found is not None and all(fits(getattr(found, part), wanted) for part, wanted in filename.items())


def last_before(datasets: pd.DataFrame, revision: str | None) -> pd.DataFrame:
    """Of each dataset one revision: the newest that is not after the one asked for, as texts compare.

    None asked for means the one that the table calls the default, or else the newest. A file without a revision is older
    than all; a dataset whose revisions are all too new is left out.

    Raises
    ------
    ALFMultipleRevisionsFound : a table calls several revisions of a dataset the default
    """
    groups: dict[tuple[str, str], list[int]] = {}
    paths = [split(p) for p in datasets["rel_path"]]
    for row, path in enumerate(paths):
        groups.setdefault((path.collection, path.name), []).append(row)
    defaults = datasets["default_revision"].to_numpy(bool) if "default_revision" in datasets else np.zeros(len(datasets), bool)
    chosen = []
    for rows in groups.values():
        own = [r for r in rows if defaults[r]] if revision is None else []
        if len(own) > 1:
            told = shown(paths[r].revision for r in own)
            raise ALFMultipleRevisionsFound(f"{paths[rows[0]].name} has several default revisions, {told}; name one as revision=")
        own = own or [r for r in rows if revision is None or paths[r].revision <= revision]
        if own:
            chosen.append(max(own, key=lambda r: paths[r].revision))
    return datasets.iloc[sorted(chosen)]


def collections(datasets: pd.DataFrame) -> list[str]:
    """The collections that some datasets lie in, sorted."""
    return sorted({split(p).collection for p in datasets["rel_path"]})


def objects(rel_paths: Iterable[str]) -> list[str]:
    """The objects that some datasets are of, sorted."""
    return sorted({d.object for d in map(parsed, rel_paths) if d is not None})
