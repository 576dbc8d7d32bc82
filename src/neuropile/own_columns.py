"""The columns that units have from their sources, `src_...`, gathered over sessions when a question names them: the index holds none."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping

import pyarrow as pa

from neuropile import layout, parquet, remote
from neuropile.errors import NotThere, StoreError
from neuropile.session import Session

#: A name of such a column, plain or in double quotes; or what may hold one and is none: texts and comments.
_TOKEN = re.compile(
    r"""\be'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | --[^\n]* | /\*.*?\*/
      | "(?P<quoted>src_(?:[^"]|"")*)" | "(?:[^"]|"")*" | (?<!\w)(?P<plain>src_\w+)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def named(sql: str) -> list[str]:
    """The `src_` columns that a question names, sorted, each once: SQL tells no upper from lower case.

    >>> named("src_snr > 2 and region = 'src_x' -- src_y")
    ['src_snr']
    """
    found = (token["plain"] or (token["quoted"] or "").replace('""', '"') for token in _TOKEN.finditer(sql))
    return sorted({name.lower(): name for name in found if name}.values())


def appended(units: pa.Table, names: Iterable[str], sessions: Mapping[str, Session]) -> pa.Table:
    """A table of units with some columns of their sources behind it; null where a session has none of that name.

    units : with `dataset` and `session_id`, each session's units together and in their own order
    sessions : those to look into, by "dataset/session"; units of others get nulls

    Raises
    ------
    NotThere : no session has such a column; the message names those like it
    StoreError : a session's table is damaged
    """
    wanted = list(names)
    tables = dict(zip(sessions, _together(sessions.values()), strict=True))
    for name in wanted:
        if not any(_spelt(table, name) for table in tables.values()):
            raise _unknown(name, tables.values())
    runs = _runs(units)
    for name in wanted:
        chunks = [_column(tables.get(key), name, n, key) for key, n in runs]
        units = units.append_column(name, _joined(chunks, name))
    return units


def _together(sessions: Iterable[Session]) -> list[pa.Table]:
    """The units tables of some sessions; of remote ones several are on their way at once."""
    every = list(sessions)
    far = any(remote.is_remote(s.root) for s in every)
    return list(remote.together(_table, every) if far else map(_table, every))


def _table(session: Session) -> pa.Table:
    return session.table(layout.UNITS_FILE)


def _runs(units: pa.Table) -> list[tuple[str, int]]:
    """Each session of a table of units, and how many rows it has there."""
    keys = zip(units.column("dataset").to_pylist(), units.column("session_id").to_pylist(), strict=True)
    return [(f"{dataset}/{name}", sum(1 for _ in run)) for (dataset, name), run in itertools.groupby(keys)]


def _column(table: pa.Table | None, name: str, n: int, key: str) -> pa.ChunkedArray:
    own = None if table is None else _spelt(table, name)
    if table is None or own is None:
        return pa.chunked_array([pa.nulls(n)])
    if table.num_rows != n:
        raise StoreError(f"{key}: units.parquet has {table.num_rows} rows, the index {n}; run: neuropile index STORE")
    return table.column(own)


def _spelt(table: pa.Table, name: str) -> str | None:
    """A column as a table spells it: just so, else in other cases."""
    return name if name in table.column_names else next((c for c in table.column_names if c.lower() == name.lower()), None)


def _joined(chunks: list[pa.ChunkedArray], name: str) -> pa.ChunkedArray:
    """Columns of several sessions as one: numbers of different kinds as float64, anything else of different kinds as text."""
    kinds = {c.type for c in chunks if not pa.types.is_null(c.type)}
    if len(kinds) == 1:
        (kind,) = kinds
    elif all(pa.types.is_integer(k) or pa.types.is_floating(k) or pa.types.is_boolean(k) for k in kinds):
        kind = pa.float64()
    else:
        kind = pa.string()
    return pa.chunked_array([a for c in chunks for a in _as(c, kind).chunks], kind)


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(kind, safe=False)
    except parquet.ERRORS:  # lists, where others have a number
        return pa.chunked_array([pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())])


def _unknown(name: str, tables: Iterable[pa.Table]) -> NotThere:
    known = sorted({c for t in tables for c in t.column_names if c.startswith("src_")})
    lower = {c.lower(): c for c in known}
    near = [lower[n] for n in difflib.get_close_matches(name.lower(), list(lower), 3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:20]) or 'none'}"
    return NotThere(f"no units have a column {name!r} from their source; {hint}")
