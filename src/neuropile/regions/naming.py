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
    """The Allen id of each structure, one or an array of acronyms: int64 of the same shape; with nulls float64, NaN where they are."""
    return _shaped(_ids_of(_rows(structures)))


def acronyms(structures: Any) -> Any:
    """The acronym of each structure, one or an array of ids; the sign of an id (its hemisphere) does not count. A null gives None."""
    return _texts(tree().acronyms, structures)


def names(structures: Any) -> Any:
    """The full name of each structure, one or an array of ids or acronyms; None of a null."""
    return _texts(tree().names, structures)


def colours(structures: Any) -> Any:
    """The atlas' colour of each structure, one or an array of ids or acronyms, as #rrggbb; None of a null."""
    return _texts(tree().colours, structures)


def to(level: str, structures: Any) -> Any:
    """The structure of a level that each structure belongs to: the first on its way up the tree that the level lists.

    Parameters
    ----------
    level : "allen", "beryl", "cosmos" or "swanson"; with "-lr" after it the sign of an id is kept, which says the hemisphere
    structures : one or an array of ids (negative: left hemisphere) or of acronyms; ids may be whole floats, and any may be
        null (None, NaN, NA), as in the columns of a table of units

    Returns
    -------
    ids where ids were given, acronyms where acronyms were, of the same shape, a numpy array. Null stays null: None among
    acronyms, NaN among ids, which are float64 then and int64 without. What is in no structure of the list is in root (997),
    void (0) stays void. Root has a side only where the level lists it: "allen-lr" and "swanson-lr".

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
    given, null = _array(structures)
    own = _found(given, null)
    rows = np.where(null, UNKNOWN, known.level_rows[plain][own])
    if given.dtype.kind == "O":
        return _texts_of(known.acronyms, rows)
    found = _ids_of(rows)
    if plain != level.lower():
        sided = plain == "allen" or known.listed[plain][known.ids == ROOT].any()
        found = np.where((given < 0) & (sided | (found != ROOT)), -found, found)
    return _shaped(found)


def ancestors(structure: str | int) -> list[str]:
    """The acronyms from a structure, given by acronym or id, up to root; itself first."""
    known = tree()
    return [known.acronyms[row] for row in known.up(_row(structure))]


def descendants(*structures: str | int) -> list[str]:
    """The acronyms of some structures, given by acronym or id, and of all below them, in the atlas' order."""
    known = tree()
    return [known.acronyms[row] for row in np.flatnonzero(known.down(_row(s) for s in structures))]


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


def _array(structures: Any) -> tuple[np.ndarray, np.ndarray]:
    """Structures as an array of ids (int64, 0 for a null) or of acronyms (object), and which are null."""
    given = np.asarray(structures)
    if given.dtype.kind == "U" and isinstance(structures, list | tuple):
        given = np.asarray(structures, object)  # or a NaN among texts is the text "nan"
    if given.dtype.kind in "UT":
        given = given.astype(object)
    if given.dtype.kind == "O":
        null = _null(given)
        if null.all() or not all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in given[~null]):
            return given, null
        given = np.where(null, np.nan, given).astype(np.float64)
    if given.dtype.kind == "f":
        null = np.isnan(given)
        broken = ~null & ~((given == np.rint(given)) & (np.abs(given) < 2.0**62))
        if not broken.any():
            return np.where(null, 0, given).astype(np.int64), null
        given = given[broken]
    elif given.dtype.kind in "iu" or not given.size:
        return given.astype(np.int64), np.zeros(given.shape, bool)
    raise NotThere(f"structures are given by whole numbers (ids) or texts (acronyms), not by {given.dtype} such as {given.flat[0]}")


def _null(given: np.ndarray) -> np.ndarray:
    """Which of some objects are None, NaN or NA."""
    if all(isinstance(v, str) for v in given.flat):
        return np.zeros(given.shape, bool)
    import pandas as pd

    return np.asarray([v is None or pd.isna(v) is True for v in given.flat], bool).reshape(given.shape)


def _found(given: np.ndarray, null: np.ndarray) -> np.ndarray:
    """The row of each structure, of the same shape, UNKNOWN of a null; NotThere names the first that there is not."""
    known = tree()
    if given.dtype.kind == "O":
        rows = np.array([known.row_of.get(a, UNKNOWN) if isinstance(a, str) else UNKNOWN for a in given.flat], np.int64).reshape(given.shape)
    else:
        rows = np.where(null, UNKNOWN, known.rows(given))
    missing = (rows == UNKNOWN) & ~null
    if np.any(missing):
        raise unknown(given[missing].flat[0] if given.dtype.kind == "O" else int(given[missing].flat[0]))
    return rows


def _rows(structures: Any) -> np.ndarray:
    return _found(*_array(structures))


def _row(structure: str | int) -> int:
    """The row of one structure."""
    row = int(_rows(structure))
    if row == UNKNOWN:
        raise unknown(structure)
    return row


def _texts(column: tuple[str, ...], structures: Any) -> Any:
    return _texts_of(column, _rows(structures))


def _texts_of(column: tuple[str, ...], rows: np.ndarray) -> Any:
    return _shaped(np.array([*column, None], object)[rows])  # UNKNOWN is the last


def _ids_of(rows: np.ndarray) -> np.ndarray:
    known = rows != UNKNOWN
    found = tree().ids[rows]
    return found if np.all(known) else np.where(known, found, np.nan)


def _shaped(values: Any) -> Any:
    """An array as it is, one value as Python's own."""
    return values.item() if isinstance(values, np.ndarray | np.generic) and values.ndim == 0 else values
