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
    "laboratory": ("lab", "paths of its files, lab/Subjects/..., or its source's src_lab"),
    "date_range": ("date", "its name, such as subject_2020-01-31_001, or its source's src_date"),
    "number": ("number", "its name, such as subject_2020-01-31_001, or its source's src_number"),
}
#: A day, a month or a year, as a text asks for it.
_PERIOD = re.compile(r"(?:19|20)\d{2}(?:-\d{2}){0,2}")
#: What stands in patterns, and hardly in names.
_SIGNS = re.compile(r"[*?\[\](){}^$|\\+]")
#: What a session's source says of itself, by "dataset/session_id".
Source = Callable[[str], Mapping[str, Any]]


def in_store(
    sessions: pd.DataFrame, units: Callable[[], pd.DataFrame], text: str = "", asked: Mapping[str, Any] | None = None, source: Source | None = None
) -> np.ndarray:
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
    source : gives what a session's source says of itself, such as `lambda key: store[key].record["source"]`; called only
        where a lab, a day or a number is asked for by its key, of the sessions whose names do not tell it

    Raises
    ------
    NeuropileError : an unknown or ambiguous keyword, a value that does not serve as one, or a region nobody knows
    """
    table = sessions.assign(**_told_by_names(sessions))
    keep = np.ones(len(table), bool)
    for key, value in completed(asked or {}, STORE_KEYWORDS, _ALIASES).items():
        table = _told(table, key, source)
        keep &= _by_keyword(table, units, key, value)
    for term in _TERM.finditer(text):
        value = term["quoted"] if term["quoted"] is not None else term["plain"]
        if (term["key"] and not value) or re.fullmatch("[A-Za-z_]+:", term["plain"] or ""):
            raise NeuropileError(f"{term[0]} asks for nothing: write what is sought behind the colon, without a space, such as subject:KS023")
        if term["key"]:
            (key,) = completed({term["key"]: value}, STORE_KEYWORDS, _ALIASES)
            table = _told(table, key, source)
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


def _told(table: pd.DataFrame, key: str, source: Source | None) -> pd.DataFrame:
    """The table with what is asked for filled from what sources say, where names do not tell it.

    Raises NeuropileError where none of the sessions tells it: nothing found would be taken for an answer.
    """
    column, where = _BY_NAMES.get(key, ("", ""))
    if not column or not len(table):
        return table
    nothing: Any = _NO_NUMBER if column == "number" else None
    values = [nothing if v is None or v != v else v for v in table[column].astype(object)]
    if source is not None:
        values = [_of_source(source(name), column, nothing) if v == nothing else v for name, v in zip(table.index, values, strict=True)]
    if all(v == nothing for v in values):
        raise NeuropileError(f"no session of this store tells its {column}, which is read from {where}; leave {key} out")
    return table.assign(**{column: values})


def _of_source(said: Mapping[str, Any], column: str, nothing: Any) -> Any:
    value = said.get(f"src_{column}")
    if column != "number":
        return nothing if value is None else str(value)
    try:
        return nothing if value is None else int(value)
    except (TypeError, ValueError):  # a source may call anything its number
        return nothing


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
        _check_span(first, last, value)
        return each(table["date"], lambda t: bool(t) and (first <= t < f"{last}~" if two and last else first <= t if two else t.startswith(first)))
    if key == "datasets":
        return _or_told(_with_sources(table, [re.compile(f".*{re.escape(value)}.*", re.IGNORECASE)]), key, value)
    if key in STORE_NUMBERS:
        return _compared(table[STORE_NUMBERS[key]], value, key)
    if key not in STORE_COLUMNS:
        return _by_keyword(table, units, key, value)
    found = _holds(table[STORE_COLUMNS[key]], value)
    return _or_told(found | _of_species(table, value) if key == "species" else found, key, value)


def _check_span(first: str, last: str, value: str) -> None:
    """Raise NeuropileError unless a text asks for a day, a month, a year, or from one to another."""
    for end in filter(None, (first, last) if first or last else (value,)):
        if not _PERIOD.fullmatch(end) or not _is_day((f"{end}-01-01"[:10]).split("-")):
            raise NeuropileError(f"{end!r} is no day; write it as 2020-01-31 (or 2020-01, or 2020; from one to another: 2020-01..2020-06)")
    if first and last and first > f"{last}~":
        raise NeuropileError(f"date_range runs from {first} to {last}: the first day comes first")


def _or_told(found: np.ndarray, key: str, value: str) -> np.ndarray:
    """What was found; NeuropileError where nothing was because a pattern was asked for, and texts are looked for as they stand."""
    if len(found) and not found.any() and _SIGNS.search(value):
        pattern(value, key)
        raise NeuropileError(f"{key}:{value} is looked for as it stands, and no session has it; give a part of the name without signs of patterns")
    return found


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
        if low > high:
            raise NeuropileError(f"{key}:{text} runs from {found['low']} to {found['high']}: the lower number comes first")
        return (values >= low) & (values <= high)
    compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}.get(found["sign"] or "=", np.equal)
    return compare(values, low)


def _in_region(table: pd.DataFrame, units: Callable[[], pd.DataFrame], name: str) -> np.ndarray:
    from neuropile import regions

    frame = units()
    inside = frame[np.asarray(regions.in_region(frame, name), bool)]
    return table.index.isin(set(inside["dataset"] + "/" + inside["session_id"]))
