"""Which sessions of a store match: keywords, and free text."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NeuropileError
from neuropile.searching.keywords import any_found, completed, each, in_span, listed, pattern, whole_numbers

if TYPE_CHECKING:
    import pandas as pd

#: What a store's sessions are searched by, and the column of `store.sessions` each looks at.
STORE_COLUMNS = {
    "dataset": "dataset",
    "subject": "subject_id",
    "laboratory": "lab",
    "species": "species",
    "session_id": "session_id",
    "recording_id": "recording_id",
    "quantity": "quantity",
    "license": "license",
    "citation": "citation",
    "span_source": "span_source",
}
STORE_NUMBERS = {"number": "number", "n_units": "n_units", "n_spikes": "n_spikes", "duration_s": "duration_s"}
STORE_KEYWORDS = (*STORE_COLUMNS, *STORE_NUMBERS, "date_range", "datasets", "region")
#: Where a word without a key is looked for.
_WORD_COLUMNS = ("dataset", "session_id", "recording_id", "subject_id", "lab", "species", "quantity", "license", "citation")
_ALIASES = {"subject_id": "subject", "regions": "region", "date": "date_range"}
#: Species by what they are called at the bench, the mouse apart (`regions.is_mouse`); the taxon numbers are NCBI's.
COMMON_NAMES = {
    "rat": r"rattus|\brats?\b|ncbitaxon_10116\b",
    "monkey": r"macaca|macaque|monkey|callithrix|marmoset|saimiri|ncbitaxon_(9544|9541|9483)\b",
    "macaque": r"macaca|macaque|rhesus|ncbitaxon_(9544|9541)\b",
    "marmoset": r"callithrix|marmoset|ncbitaxon_9483\b",
    "human": r"homo sapiens|\bhumans?\b|ncbitaxon_9606\b",
}
_PLURALS = {"mice": "mouse", "rats": "rat", "monkeys": "monkey", "macaques": "macaque", "marmosets": "marmoset", "humans": "human"}
_TERM = re.compile(r'(?:(?P<key>[A-Za-z_]+):)?(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))')
_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})-?(\d{2})-?(\d{2})(?!\d)")
_NUMBER = re.compile(r"_\d{4}-\d{2}-\d{2}_(\d{1,3})$")
_LAB = re.compile(r"(?:^|/)(\w+)/Subjects/")
_NO_NUMBER = -1
#: What is told by names alone: the column it is put in, and which names tell it.
_BY_NAMES = {
    "laboratory": ("lab", "paths of its files, lab/Subjects/..."),
    "date_range": ("date", "its name, such as subject_2020-01-31_001"),
    "number": ("number", "its name, such as subject_2020-01-31_001"),
}


def in_store(sessions: pd.DataFrame, units: Callable[[], pd.DataFrame], text: str = "", asked: Mapping[str, Any] | None = None) -> np.ndarray:
    """Which of a store's sessions match a text and all queries: (session,) bool.

    Parameters
    ----------
    sessions : `store.sessions`
    units : gives `store.units`; called only where a region is asked for
    text : words, all of which must match. A word is looked for in names, species and terms, whatever the case; it may be
        a species by its common name (mouse, rat, monkey, human) or a region at any level of the atlas. `key:value` looks
        at one thing alone (STORE_KEYWORDS, shortened or not): `region:VISp`, `subject:KS0`, `n_units:>100`,
        `date:2019-12`, `date:2019-12-01..2020-02-01`, `license:"CC BY"`
    asked : ONE's keywords that a store can answer, with the meaning that `matching` gives them, and more of
        STORE_KEYWORDS. `subject` looks at subject_id; `dataset` at the store's own name of the dataset; `datasets` at
        the files a session was read from; `region` at the regions of its units

    Raises
    ------
    NeuropileError : an unknown or ambiguous keyword, a value that does not serve as one, or a region nobody knows
    """
    table = sessions.assign(**_told_by_names(sessions))
    keep = np.ones(len(table), bool)
    for key, value in completed(asked or {}, STORE_KEYWORDS, _ALIASES).items():
        _check_told(table, key)
        keep &= _by_keyword(table, units, key, value)
    for term in _TERM.finditer(text):
        value = term["quoted"] if term["quoted"] is not None else term["plain"]
        if term["key"]:
            (key,) = completed({term["key"]: value}, STORE_KEYWORDS, _ALIASES)
            _check_told(table, key)
            keep &= _by_term(table, units, key, value)
        else:
            keep &= _by_word(table, units, value)
    return keep


def _told_by_names(sessions: pd.DataFrame) -> dict[str, list[Any]]:
    """What the names of sessions and of the files they were read from tell: lab, day and number, where they do."""
    labs, dates, numbers = [], [], []
    for name, sources in zip(sessions["session_id"], sessions["sources"], strict=True):
        day, number = _DATE.search(str(name)), _NUMBER.search(str(name))
        dates.append("-".join(day.groups()) if day and _is_day(day.groups()) else None)
        numbers.append(int(number[1]) if number else _NO_NUMBER)
        labs.append(next((m[1] for p in _paths(sources) if (m := _LAB.search(p))), None))
    return {"lab": labs, "date": dates, "number": numbers}


def _check_told(table: pd.DataFrame, key: str) -> None:
    """Raise NeuropileError where a store is asked for what none of its sessions tells: nothing found would be taken for an answer."""
    column, where = _BY_NAMES.get(key, ("", ""))
    if column and len(table) and all(v in (None, _NO_NUMBER) for v in table[column].astype(object).where(table[column].notna(), None)):
        raise NeuropileError(f"no session of this store tells its {column}, which is read from {where}; leave {key} out")


def _is_day(parts: Sequence[str]) -> bool:
    try:
        datetime.date(*map(int, parts))
    except ValueError:
        return False
    return True


def _paths(sources: Any) -> list[str]:
    return [] if sources is None else [str(s["path"]) for s in sources]


def _by_keyword(table: pd.DataFrame, units: Callable[[], pd.DataFrame], key: str, value: Any) -> np.ndarray:
    if key == "region":
        return _any_of([_in_region(table, units, str(v)) for v in listed(value, key)])
    if key == "datasets":
        return _with_sources(table, [pattern(v, key) for v in listed(value, key)])
    if key == "date_range":
        return in_span(table["date"], value)
    if key == "number":
        return np.isin(table["number"].to_numpy(), whole_numbers(value))
    if key in STORE_NUMBERS:
        return _any_of([_compared(table[STORE_NUMBERS[key]], str(v), key) for v in listed(value, key)])
    found = any_found(table[STORE_COLUMNS[key]], value, key)
    if key == "species":
        found |= _any_of([_of_species(table, str(v)) for v in listed(value, key)])
    return found


def _by_term(table: pd.DataFrame, units: Callable[[], pd.DataFrame], key: str, value: str) -> np.ndarray:
    """As a keyword, but texts are looked for as they are, whatever the case."""
    if key == "date_range":
        first, two, last = value.partition("..")
        return each(table["date"], lambda t: bool(t) and (first <= t < f"{last}~" if two and last else first <= t if two else t.startswith(first)))
    if key == "datasets":
        return _with_sources(table, [re.compile(f".*{re.escape(value)}.*", re.IGNORECASE)])
    if key in STORE_NUMBERS:
        return _compared(table[STORE_NUMBERS[key]], value, key)
    if key not in STORE_COLUMNS:
        return _by_keyword(table, units, key, value)
    found = _holds(table[STORE_COLUMNS[key]], value)
    return found | _of_species(table, value) if key == "species" else found


def _by_word(table: pd.DataFrame, units: Callable[[], pd.DataFrame], word: str) -> np.ndarray:
    if _common(word):  # else "rat" would be found in "laboratory"
        return _of_species(table, word)
    found = _any_of([_holds(table[c], word) for c in _WORD_COLUMNS])
    try:
        return found | _in_region(table, units, word)
    except NeuropileError:  # no region: any word may be asked
        return found


def _any_of(masks: Sequence[np.ndarray]) -> np.ndarray:
    return np.logical_or.reduce(masks)


def _holds(column: pd.Series, text: str) -> np.ndarray:
    sought = text.casefold()
    return each(column, lambda t: sought in t.casefold())


def _common(word: str) -> Callable[[str], bool] | None:
    """What tells a species that is asked for by its common name; None for any other word."""
    name = word.casefold()
    name = _PLURALS.get(name, name)
    if name == "mouse":
        from neuropile import regions

        return regions.is_mouse
    known = COMMON_NAMES.get(name)
    return None if known is None else lambda species: re.search(known, species, re.IGNORECASE) is not None


def _of_species(table: pd.DataFrame, name: str) -> np.ndarray:
    known = _common(name)
    return np.zeros(len(table), bool) if known is None else each(table["species"], known)


def _with_sources(table: pd.DataFrame, names: Sequence[re.Pattern[str]]) -> np.ndarray:
    """Sessions read from files of all these names."""
    files = [[PurePosixPath(p).name for p in _paths(sources)] for sources in table["sources"]]
    return np.array([all(any(n.fullmatch(f) for f in own) for n in names) for own in files], bool)


def _compared(column: pd.Series, text: str, key: str) -> np.ndarray:
    """Numbers against `5`, `>5`, `>=5`, `<5`, `<=5` or `5..9`; missing ones match nothing."""
    values = column.to_numpy(np.float64, na_value=np.nan)
    found = re.fullmatch(r"(?P<sign>[<>]=?|=)?\s*(?P<low>-?[\d.]+?)?(?P<two>\.\.(?P<high>-?[\d.]+)?)?", text.replace(",", ""))
    try:
        if found is None or not (found["low"] or found["high"]) or (found["sign"] and found["two"]):
            raise ValueError(text)
        low, high = float(found["low"] or "-inf"), float(found["high"] or "inf")
    except ValueError:
        raise NeuropileError(f"{key}:{text} is no number to compare with; write {key}:100, {key}:>100, {key}:<=100 or {key}:100..200") from None
    if found["two"]:
        return (values >= low) & (values <= high)
    compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}.get(found["sign"] or "=", np.equal)
    return compare(values, low)


def _in_region(table: pd.DataFrame, units: Callable[[], pd.DataFrame], name: str) -> np.ndarray:
    from neuropile import regions

    frame = units()
    inside = frame[np.asarray(regions.in_region(frame, name), bool)]
    return table.index.isin(set(inside["dataset"] + "/" + inside["session_id"]))
