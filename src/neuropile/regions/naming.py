"""Structures by id, acronym, name and level; an unknown one is an error that names one like it."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NotThere
from neuropile.regions.atlas import LEVELS, ROOT, UNKNOWN, tree

if TYPE_CHECKING:
    import pandas as pd

_LEFT = "-lr"


def ids(structures: Any) -> Any:
    """The Allen id of each structure, one or an array of acronyms: int64 of the same shape."""
    return _shaped(tree().ids[_rows(structures)])


def acronyms(structures: Any) -> Any:
    """The acronym of each structure, one or an array of ids; the sign of an id (its hemisphere) does not count."""
    return _texts(tree().acronyms, structures)


def names(structures: Any) -> Any:
    """The full name of each structure, one or an array of ids or acronyms."""
    return _texts(tree().names, structures)


def colours(structures: Any) -> Any:
    """The atlas' colour of each structure, one or an array of ids or acronyms, as #rrggbb."""
    return _texts(tree().colours, structures)


def to(level: str, structures: Any) -> Any:
    """The structure of a level that each structure belongs to: the first on its way up the tree that the level lists.

    Parameters
    ----------
    level : "allen", "beryl", "cosmos" or "swanson"; with "-lr" after it the sign of an id is kept, which says the hemisphere
    structures : one or an array of ids (negative: left hemisphere) or of acronyms

    Returns
    -------
    ids where ids were given, acronyms where acronyms were, of the same shape. What is in no structure of the list is in
    root (997), void (0) stays void. Root has a side only where the level lists it: "allen-lr" and "swanson-lr".

    Raises
    ------
    NotThere : an unknown level, id or acronym

    Examples
    --------
    >>> to("beryl", "VISp5"), to("cosmos", [778, -778]).tolist(), to("cosmos-lr", [778, -778]).tolist()
    ('VISp', [315, 315], [315, -315])
    """
    known = tree()
    plain = level.lower().removesuffix(_LEFT)
    if plain not in LEVELS:
        raise NotThere(f"no level {level!r}; the levels are {', '.join(LEVELS)}, each also with {_LEFT}")
    given = _array(structures)
    rows = known.level_rows[plain][_rows(given)]
    if given.dtype.kind not in "iu":
        return _texts_of(known.acronyms, rows)
    found = known.ids[rows]
    if plain != level.lower():
        sided = plain == "allen" or known.listed[plain][known.ids == ROOT].any()
        found = np.where((given < 0) & (sided | (found != ROOT)), -found, found)
    return _shaped(found)


def ancestors(structure: str | int) -> list[str]:
    """The acronyms from a structure, given by acronym or id, up to root; itself first."""
    known = tree()
    return [known.acronyms[row] for row in known.up(int(_rows(structure)))]


def descendants(*structures: str | int) -> list[str]:
    """The acronyms of some structures, given by acronym or id, and of all below them, in the atlas' order."""
    known = tree()
    return [known.acronyms[row] for row in np.flatnonzero(known.down(int(_rows(s)) for s in structures))]


def structures() -> pd.DataFrame:
    """All structures in the atlas' order: acronym, name, colour, parent, and the structure each belongs to at every level; by id."""
    import pandas as pd

    known = tree()
    table = pd.DataFrame({"acronym": known.acronyms, "name": known.names, "colour": known.colours}, index=pd.Index(known.ids, name="id"))
    table["parent"] = [known.acronyms[p] if p >= 0 else None for p in known.parents]
    for level in LEVELS[1:]:
        table[level] = _texts_of(known.acronyms, known.level_rows[level])
    return table


def unknown(name: object, labels: Collection[str] = ()) -> NotThere:
    """The error for a region of which nobody has heard, with those of the tree and of some labels that are like it."""
    text = str(name)
    close = _near(text, [*tree().acronyms, *sorted(set(labels) - tree().row_of.keys())])
    way_out = f"did you mean {' or '.join(repr(c) for c in close)}?" if close else "neuropile.regions.structures() lists the tree"
    where = "in the Allen tree or among the labels of the units" if labels else "in the Allen tree"
    return NotThere(f"no region {name!r} {where}; {way_out}")


def _near(text: str, known: list[str]) -> list[str]:
    """Up to three that differ in case, have the text for a name or in it, or are spelt alike; the best first."""
    folded = text.casefold().strip()
    if same := [k for k in known if k.casefold() == folded]:
        return same
    named = sorted((len(name), acronym) for acronym, name in zip(tree().acronyms, tree().names, strict=True) if folded in name.casefold())
    if named and named[0][0] == len(folded):
        return [named[0][1]]
    folds = {k.casefold(): k for k in reversed(known)}
    alike = [folds[k] for k in get_close_matches(folded, folds, n=3, cutoff=0.6)]
    return list(dict.fromkeys([*([acronym for _, acronym in named] if len(folded) > 3 else []), *alike]))[:3]


def _array(structures: Any) -> np.ndarray:
    """Structures as an array of ids or of acronyms."""
    given = np.asarray(structures)
    if given.dtype.kind == "f" and np.all(given == np.rint(given)):
        given = given.astype(np.int64)
    if given.dtype.kind in "OUT":
        return given.astype(object)
    if given.dtype.kind in "iu" or not given.size:
        return given.astype(np.int64)
    raise NotThere(f"structures are given by whole numbers (ids) or texts (acronyms), not by {given.dtype} such as {given.flat[0]}")


def _rows(structures: Any) -> np.ndarray:
    """The row of each structure, of the same shape; NotThere names the first that there is not."""
    given, known = _array(structures), tree()
    if given.dtype.kind == "O":
        rows = np.array([known.row_of.get(acronym, UNKNOWN) for acronym in given.flat], np.int64).reshape(given.shape)
    else:
        rows = known.rows(given)
    if np.any(rows == UNKNOWN):
        raise unknown(given[rows == UNKNOWN].flat[0] if given.dtype.kind == "O" else int(given[rows == UNKNOWN].flat[0]))
    return rows


def _texts(column: tuple[str, ...], structures: Any) -> Any:
    return _texts_of(column, _rows(structures))


def _texts_of(column: tuple[str, ...], rows: np.ndarray) -> Any:
    return _shaped(np.array(column, object)[rows])


def _shaped(values: Any) -> Any:
    """An array as it is, one value as Python's own."""
    return values.item() if isinstance(values, np.ndarray | np.generic) and values.ndim == 0 else values
