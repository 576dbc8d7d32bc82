"""ONE's query keywords, decided over tables of sessions and datasets."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NeuropileError

if TYPE_CHECKING:
    import pandas as pd

#: The keywords of ONE; each may be shortened as long as one alone begins so.
KEYWORDS = ("datasets", "dataset_qc_lte", "date_range", "laboratory", "number", "projects", "subject", "task_protocol")
#: How good a dataset was judged, best known first; a limit lets through what is at or below it.
QC = {"NOT_SET": 0, "PASS": 10, "WARNING": 30, "FAIL": 40, "CRITICAL": 50}
#: A dataset that nobody may use is not counted as there, unless asked for.
QC_LIMIT = "FAIL"
_TEXT_COLUMNS = {"subject": "subject", "laboratory": "lab", "projects": "projects", "task_protocol": "task_protocol"}


def complete(word: str, known: Sequence[str]) -> str:
    """A keyword in full; it may be shortened as long as one alone begins so.

    Raises
    ------
    NeuropileError : none begins so, or several do

    Examples
    --------
    >>> complete("subj", KEYWORDS), complete("lab", KEYWORDS)
    ('subject', 'laboratory')
    """
    short = word.casefold()
    if short in known:
        return short
    fits = [k for k in known if k.startswith(short)]
    if len(fits) == 1:
        return fits[0]
    found = f"it may be {' or '.join(fits)}" if fits else f"there are {', '.join(known)}"
    raise NeuropileError(f"no search keyword {word!r}: {found}")


def completed(asked: Mapping[str, Any], known: Sequence[str], also: Mapping[str, str] = {}) -> dict[str, Any]:
    """Queries under their keywords in full, `also` naming others that serve; those that are None were not asked.

    Raises
    ------
    NeuropileError : see `complete`; or two are one keyword
    """
    found: dict[str, Any] = {}
    for word, value in asked.items():
        if value is None:
            continue
        key = complete(also.get(word, word), known)
        if key in found:
            raise NeuropileError(f"{key} is asked for twice, the second time as {word!r}; give several values as a list")
        found[key] = value
    return found


def qc_value(limit: Any) -> int:
    """A quality of datasets as ONE's number: by name, or that number.

    >>> qc_value("warning"), qc_value(30)
    (30, 30)
    """
    text = str(getattr(limit, "name", limit)).upper()
    if text in QC:
        return QC[text]
    if text.isdigit() and int(text) in QC.values():
        return int(text)
    raise NeuropileError(f"a dataset's quality is {', '.join(f'{n} ({v})' for n, v in QC.items())}, not {limit!r}")


def date_span(asked: Any) -> tuple[datetime.date | None, datetime.date | None]:
    """The first and the last day asked for, both meant; None where that end is open.

    asked : one day, or (first, last) with None for an open end, or (first,); each a date or text such as 2020-01-31

    >>> date_span("2020-01-31"), date_span(("2020-01-31", None))[1]
    ((datetime.date(2020, 1, 31), datetime.date(2020, 1, 31)), None)
    """
    if isinstance(asked, str) or not isinstance(asked, Iterable):
        day = _day(asked)
        return day, day
    ends = list(asked)
    if not 1 <= len(ends) <= 2:
        raise NeuropileError(f"date_range is one day, or the first and the last, not {len(ends)} values; None leaves an end open")
    first, last = (None if e is None or e == "" else _day(e) for e in (*ends, None)[:2])
    if first and last and last < first:
        raise NeuropileError(f"date_range runs from {first} to {last}: the first day comes first")
    return first, last


def _day(value: Any) -> datetime.date:
    if isinstance(value, datetime.date):
        return value.date() if isinstance(value, datetime.datetime) else value
    try:
        return datetime.date.fromisoformat(str(value)[:10])
    except ValueError:
        raise NeuropileError(f"{value!r} is no day; write it as 2020-01-31") from None


def matching(sessions: pd.DataFrame, asked: Mapping[str, Any], datasets: pd.DataFrame | None = None) -> np.ndarray:
    """Which sessions match all queries, as ONE's local search decides it: (session,) bool.

    Parameters
    ----------
    sessions : a row a session, indexed by its id, with columns lab, subject, date, number, task_protocol, projects
    asked : by keyword (KEYWORDS, shortened or not). Texts are regular expressions found anywhere in the value, case as
        written; of a list one must match. `datasets` must all be there: each matches a file's whole name (without its
        folders), and counts where the file exists and its quality is at most `dataset_qc_lte` (FAIL unless asked).
        `dataset_qc_lte` without `datasets` takes sessions with any such file. For `date_range` see `date_span`
    datasets : a row a dataset, with columns rel_path, exists and qc and an index level `eid`

    Raises
    ------
    NeuropileError : an unknown or ambiguous keyword, or a value that does not serve as one
    """
    queries = completed(asked, KEYWORDS)
    keep = np.ones(len(sessions), bool)
    for key, value in queries.items():
        if key in _TEXT_COLUMNS:
            keep &= any_found(sessions[_TEXT_COLUMNS[key]], value, key)
        elif key == "date_range":
            keep &= in_span(sessions["date"], value)
        elif key == "number":
            keep &= np.isin(sessions["number"].to_numpy(), whole_numbers(value))
    if datasets is not None and {"datasets", "dataset_qc_lte"} & set(queries):
        names = listed(queries["datasets"], "datasets") if "datasets" in queries else [".*"]
        limit = qc_value(queries.get("dataset_qc_lte", QC_LIMIT))
        keep &= sessions.index.isin(_with_files(datasets, names, limit))
    return keep


def listed(value: Any, key: str) -> list[Any]:
    """A value as a list of at least one."""
    found = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if not found:
        raise NeuropileError(f"{key} is an empty list, which matches nothing; leave it out")
    return found


def pattern(text: Any, key: str, flags: int = 0) -> re.Pattern[str]:
    """A text as a regular expression.

    Raises
    ------
    NeuropileError : it is none
    """
    try:
        return re.compile(str(text), flags)
    except re.error as e:
        raise NeuropileError(f"{key}={text!r} is no regular expression ({e}); put a backslash before signs that are meant as they are") from None


def each(values: Iterable[Any], decide: Callable[[str], bool]) -> np.ndarray:
    """A decision a value, made once for each that occurs; missing ones are empty texts."""
    texts = ["" if v is None or v != v else str(v) for v in values]
    known = {t: decide(t) for t in set(texts)}
    return np.array([known[t] for t in texts], bool)


def any_found(column: pd.Series, value: Any, key: str) -> np.ndarray:
    """Which values of a column one of the regular expressions is found in."""
    patterns = [pattern(v, key) for v in listed(value, key)]
    return each(column, lambda text: any(p.search(text) for p in patterns))


def in_span(column: pd.Series, value: Any) -> np.ndarray:
    """Which days of a column lie in a span; see `date_span`."""
    first, last = (None if e is None else e.isoformat() for e in date_span(value))
    return each(column, lambda text: bool(text) and (first is None or text[:10] >= first) and (last is None or text[:10] <= last))


def whole_numbers(value: Any) -> list[int]:
    """Numbers of sessions, as numbers or as texts."""
    try:
        return [int(v) for v in listed(value, "number")]
    except (TypeError, ValueError):
        raise NeuropileError(f"number={value!r} is no whole number; it counts a subject's sessions of a day") from None


def qc_values(column: pd.Series) -> np.ndarray:
    """A table's column of qualities as ONE's numbers; what is missing was not set: (dataset,) int."""
    kinds = {value: QC.get(str(value), 0) for value in column.unique()}
    return column.astype(object).map(kinds).fillna(0).to_numpy(np.int64)


def _with_files(datasets: pd.DataFrame, names: Sequence[Any], limit: int) -> set[Any]:
    """The sessions that have, for each pattern, a file of that name that exists and is good enough."""
    usable = datasets[datasets["exists"].to_numpy(bool) & (qc_values(datasets["qc"]) <= limit)]
    eids = usable.index.get_level_values("eid").to_numpy()
    files = [str(p).rsplit("/", 1)[-1] for p in usable["rel_path"]]
    return set.intersection(*(set(eids[_named(files, pattern(n, "datasets"))]) for n in names))


def _named(files: Sequence[str], name: re.Pattern[str]) -> np.ndarray:
    return each(files, lambda file: name.fullmatch(file) is not None)
