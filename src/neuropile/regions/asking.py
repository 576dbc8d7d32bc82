"""What lies in a region: `in_region('VISp')` in SQL, spelt out for DuckDB, and in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from neuropile.errors import NotThere, StoreError
from neuropile.regions.atlas import LEVELS, tree
from neuropile.regions.naming import descendants, unknown

if TYPE_CHECKING:
    import pandas as pd

#: A call of in_region, of a table's columns or of those at hand; or what may hold its name and is none: texts, quoted names, comments.
_TOKEN = re.compile(
    r"""(?<![\w."]) (?:(?P<table>\w+|"(?:[^"]|"")*")\s*\.\s*)? in_region \s* \(
      | \be'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
      | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
      | --[^\n]* | /\*.*?\*/""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_NAMES = re.compile(r"\s*'(?:[^']|'')*'\s*(?:,\s*'(?:[^']|'')*'\s*)*\)")
_NAME = re.compile(r"'((?:[^']|'')*)'")


def in_region(units: pd.DataFrame, *names: str) -> np.ndarray:
    """Which units, or channels, lie in one of some regions: (unit,) bool.

    One does where its structure at any level, `allen` or a coarser one where only that is known, is one of `names` or below
    it in the tree; and where its own label, `region`, is just one of `names`, whatever the species. Labels are not looked up
    in the tree: a monkey's PMd is no part of the hypothalamus.

    units : with one or more of the columns allen, beryl, cosmos, swanson, region
    names : acronyms as the Allen atlas writes them, or labels

    Raises
    ------
    NotThere : the table has none of these columns, or a name is neither in the tree nor among the labels
    """
    columns = (*LEVELS, "region")
    if not set(columns) & set(units.columns):
        more = ", ..." if len(units.columns) > 20 else ""
        has = ", ".join(map(str, units.columns[:20])) + more
        raise NotThere(f"in_region looks at the columns {', '.join(columns)}, one or more; the table has {has or 'none'}: pass one of units or channels")
    labels = units.get("region")
    below = _below(names, lambda: () if labels is None else set(labels.dropna()))
    inside = np.zeros(len(units), bool)
    for level in set(LEVELS) & set(units.columns):
        inside |= units[level].isin(below).to_numpy(bool)
    return inside if labels is None else inside | labels.isin(names).to_numpy(bool)


def spelt_out(sql: str, labels: Callable[[], Collection[str]]) -> str:
    """SQL with each `in_region('VISp', ...)` or `u.in_region('VISp', ...)` written as a condition on columns of the units; see `in_region`.

    A function of DuckDB's own cannot look at columns it is not handed, and would know no name that nobody has.

    labels : gives the labels that regions have in the units asked, when there is something to ask

    Raises
    ------
    StoreError : the call holds something else than names in single quotes
    NotThere : a name is neither in the tree nor among the labels
    """
    parts, at = [], 0
    while (token := _TOKEN.search(sql, at)) is not None:
        parts.append(sql[at : token.start()])
        at = token.end()
        if not token[0].endswith("("):
            parts.append(token[0])
            continue
        named = _NAMES.match(sql, at)
        if named is None:
            found = f"in_region({sql[at : at + 30]}"
            raise StoreError(f"in_region takes names in single quotes, as in in_region('VISp', 'CA1'); found {found}")
        at = named.end()
        names = [name.replace("''", "'") for name in _NAME.findall(named[0])]
        parts.append(_condition(names, _below(names, labels), f"{token['table']}." if token["table"] else ""))
    return "".join([*parts, sql[at:]])


def _below(names: Sequence[str], labels: Callable[[], Collection[str]]) -> list[str]:
    """The acronyms of the structures of some names and of all below them."""
    structures = [name for name in names if name in tree().row_of]
    if len(structures) < len(names):
        there = labels()
        for name in names:
            if name not in tree().row_of and name not in there:
                raise unknown(name, there)
    return descendants(*structures)


def _condition(names: Sequence[str], below: Sequence[str], prefix: str) -> str:
    wanted = {level: [a for a in below if a in _targets(level)] for level in LEVELS} | {"region": list(names)}
    either = [f"coalesce({prefix}{column} in ({_texts(values)}), false)" for column, values in wanted.items() if values]
    return f"({' or '.join(either)})"


@cache
def _targets(level: str) -> frozenset[str]:
    """The acronyms that a level knows."""
    return frozenset(tree().acronyms[row] for row in tree().level_rows[level])


def _texts(values: Sequence[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
