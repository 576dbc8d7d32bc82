"""Why a cache does not hold what was asked, and what near it there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuropile import layout
from neuropile.one import choosing, walking
from neuropile.one.choosing import Wanted
from neuropile.one.errors import ALFError, ALFObjectNotFound, shown
from neuropile.searching.keywords import listed, pattern

if TYPE_CHECKING:
    import pandas as pd


_MAX_NEAR = 3


def why(own: pd.DataFrame, filename: Any, collection: Wanted, limit: str | None, by: str) -> str:
    """Which part of a question a session's datasets do not fit.

    own : the session's datasets
    filename, collection : as `choosing.where` has them
    limit, by : the newest revision that was let through, and who said so
    """
    subject = filename.get("object") or "all that fits" if isinstance(filename, Mapping) else filename
    fitting = choosing.where(own, filename, collection)
    if len(fitting):
        told = shown({choosing.split(p).revision for p in fitting["rel_path"]})
        return f"revisions of {subject} are {told}, none up to {limit!r}{by}"
    if collection is not None and len(elsewhere := choosing.where(own, filename)):
        return f"{subject} lies in {shown(choosing.collections(elsewhere))}"
    if len(bad := choosing.where(own, filename, collection, qc="CRITICAL")):
        return f"{shown(bad['rel_path'])} is there, but its quality is CRITICAL: such files are not loaded"
    if isinstance(filename, Mapping):
        same = choosing.where(own, {"object": filename.get("object")}, collection)
        return f"its attributes there are {shown(attributes(same))}" if len(same) else f"it has {shown(choosing.objects(own['rel_path']))}"
    near = _near(str(filename).removesuffix(".*"), {choosing.split(p).name for p in own["rel_path"]})
    return f"near it there is {shown(near)}" if near else f"list_datasets() lists {len(own)}"


def attributes(datasets: pd.DataFrame) -> list[str]:
    """The attributes of some datasets, sorted."""
    return sorted({d.attribute for d in map(choosing.parsed, datasets["rel_path"]) if d is not None})


def check_attributes(found: pd.DataFrame, wanted: Wanted, there: Sequence[str]) -> None:
    """Raise ALFObjectNotFound where one of several attributes asked for is none of those found."""
    for attribute in [] if wanted is None else listed(wanted, "attribute"):
        if not any(choosing.fits(a, attribute) for a in attributes(found)):
            raise ALFObjectNotFound(f"no attribute {attribute!r} of {shown(choosing.objects(found['rel_path']))}; there are {shown(there)}")


def unlisted(home: Path, own: pd.DataFrame, filename: Any, collection: Wanted) -> list[str]:
    """Files of a session's folder that fit, and that its tables do not list."""
    known = set(own["rel_path"])
    paths = [p for p in walking.datasets_of(home) if p not in known] if home.is_dir() else []
    return [p for p in paths if choosing.is_meant(p, filename, collection, None)]


def of_datasets(cache: Any, wanted: Any) -> list[str]:
    """A sentence for each pattern of `search`'s datasets that no file of a cache has: what near it there is."""
    names = {choosing.split(p).name for p in cache.datasets["rel_path"]}
    told = []
    for text in map(str, listed(wanted, "datasets")):
        if not any(pattern(text, "datasets").fullmatch(n) for n in names):
            near = _near(text.rpartition("/")[2], names)
            more = f"; near it there is {shown(near)}" if near else ""
            told.append(f"no file is called {text!r}: a name is given whole, without its folders{more}")
    return told


def _near(text: str, names: Iterable[str]) -> list[str]:
    inside = sorted((n for n in names if text and text in n), key=len)
    return inside[:_MAX_NEAR] or difflib.get_close_matches(text, sorted(names), _MAX_NEAR)


def check_not_empty(cache: Any) -> None:
    """Raise ALFError where a cache has no session at all: the folder is probably another than was meant."""
    if len(cache.sessions):
        return
    if (cache.root / layout.STORE_FILE).is_file():
        raise ALFError(f"{cache.root} is a neuropile store, no folder of ALF sessions; search it with: neuropile search {cache.root}")
    if cache.indexed:
        raise ALFError(f"the tables of {cache.root} list no session; let neuropile one index {cache.root} renew them, or name another folder")
    raise ALFError(f"no sessions lab/Subjects/subject/date/number below {cache.root}; name the folder that holds them")
