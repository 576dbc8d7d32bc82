"""A store's index: a row a session and a row a unit, in two compacted files and the parts builders appended since."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, parquet, remote
from neuropile.errors import StoreError
from neuropile.paths import locked, replacing

_TABLES = {"sessions": layout.SESSION_SCHEMA, "units": layout.UNIT_SCHEMA}
_BY_SESSION = [("dataset", "ascending"), ("session_id", "ascending")]
#: How often the index is read again when parts of it vanish in mid-reading, taken in by another process.
_TRIES = 20
_Key = tuple[str, str]
_T = TypeVar("_T")


class Index:
    """The index of the store at `root`: sessions and units are each read when first asked for, in as few requests as can be."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.folder = root / layout.INDEX_FOLDER

    def forget(self) -> None:
        """Read the index anew when it is next asked for."""
        for name in ("_chosen", "sessions", "units"):
            self.__dict__.pop(name, None)

    @cached_property
    def sessions(self) -> pa.Table:
        """Of each session the newest complete row, else the newest; sorted."""
        return self._steadily(lambda: self._chosen[0])

    @cached_property
    def units(self) -> pa.Table:
        """The rows of every complete session's units, in the order of `sessions`."""
        return self._steadily(self._read_units)

    def session_files(self) -> list[Any]:
        """The files that list sessions, oldest first; the compacted one may not be there."""
        parts = []
        if remote.can_list(self.root):
            folder = self.folder / "parts"
            if remote.is_remote(folder):
                folder.fs.invalidate_cache(folder.path)
            parts = sorted(folder.glob("*.sessions.parquet"), key=lambda p: p.name)
        return [self.folder / "sessions.parquet", *parts]

    def _steadily(self, read: Callable[[], _T]) -> _T:
        for _ in range(1 if remote.is_remote(self.root) else _TRIES):
            with suppress(FileNotFoundError):
                return read()
            self.forget()
        where = " on the machine that holds the store, and serve it then" if remote.is_remote(self.root) else ""
        raise StoreError(f"{self.folder} lacks a file that it should hold; run: neuropile index {'STORE' if where else self.root}{where}")

    @cached_property
    def _chosen(self) -> tuple[pa.Table, dict[Any, list[_Key]]]:
        """The sessions' rows, and of each file the complete sessions it is the source of."""
        tables: dict[Any, pa.Table] = {}
        for i, file in enumerate(self.session_files()):
            try:
                tables[file] = read(file, layout.SESSION_SCHEMA)
            except FileNotFoundError:
                if i or not remote.can_list(self.root):  # the compacted one is missing until the first compaction
                    raise
        rows: dict[_Key, tuple[Any, int]] = {}
        complete: set[_Key] = set()
        for file, table in tables.items():  # oldest first
            for i, (dataset, session, status) in enumerate(zip(*(table.column(c).to_pylist() for c in ("dataset", "session_id", "status")), strict=True)):
                key = (dataset, session)
                if status == "complete" or key not in complete:
                    rows[key] = (file, i)
                complete |= {key} if status == "complete" else set()
        chosen = sorted(rows.items())
        of_file: dict[Any, list[_Key]] = {}
        for key, (file, _) in chosen:
            if key in complete:
                of_file.setdefault(file, []).append(key)
        sessions = [tables[f].take(pa.array([i for _, (g, i) in chosen if g is f], pa.int64())) for f in tables]
        return pa.concat_tables([layout.SESSION_SCHEMA.empty_table(), *sessions]).combine_chunks().sort_by(_BY_SESSION), of_file

    def _read_units(self) -> pa.Table:
        units = [_units_of(file, keys) for file, keys in self._chosen[1].items()]
        return pa.concat_tables([layout.UNIT_SCHEMA.empty_table(), *units]).sort_by(_BY_SESSION)

    def add(self, sessions: pa.Table, units: pa.Table) -> None:
        """Append rows as a part of their own; the units' first, so that a listed session has its units."""
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        for kind, table in (("units", units), ("sessions", sessions)):
            with replacing(self.folder / "parts" / f"{name}.{kind}.parquet") as temporary:
                parquet.write(table.cast(_TABLES[kind]), temporary)
        self.forget()

    def take_in(self) -> None:
        """Write the parts into the compacted files: what a web server, which lists nothing, can serve."""
        with locked(self.folder / ".lock"):
            self.forget()
            parts = self.session_files()[1:]
            if parts:
                self.compact(self.sessions, self.units, parts)

    def compact(self, sessions: pa.Table, units: pa.Table, parts: list[Path]) -> None:
        """Write both compacted files, and remove the parts they take in."""
        for name, table in (("units", units), ("sessions", sessions)):
            with replacing(self.folder / f"{name}.parquet") as temporary:
                parquet.write(table.combine_chunks(), temporary)
        for part in parts:
            part.unlink(missing_ok=True)
            _units_beside(part).unlink(missing_ok=True)
        self.forget()

    def failures(self, done: pa.Table) -> pa.Table:
        """The newest failure of each session that is not done, from every file that can be read."""
        rows: dict[_Key, dict[str, Any]] = {}
        for file in self.session_files():
            with suppress(StoreError, FileNotFoundError):
                rows |= {(r["dataset"], r["session_id"]): r for r in read(file, layout.SESSION_SCHEMA).to_pylist()}
        for key in zip(done.column("dataset").to_pylist(), done.column("session_id").to_pylist(), strict=True):
            rows.pop(key, None)
        return pa.Table.from_pylist([row for _, row in sorted(rows.items()) if row["status"] != "complete"], schema=layout.SESSION_SCHEMA)


def read(path: Any, schema: pa.Schema) -> pa.Table:
    """One file of the index.

    Raises
    ------
    FileNotFoundError : there is none
    StoreError : it is damaged
    """
    try:
        return parquet.read(path).cast(schema)
    except FileNotFoundError:
        raise
    except (StoreError, *parquet.ERRORS) as e:
        root = path.parent.parent.parent if path.parent.name == "parts" else path.parent.parent
        raise StoreError(f"{path} cannot be read ({e}); run: neuropile index {'STORE, where it lies' if remote.is_remote(root) else root}") from None


def _units_beside(sessions_file: Any) -> Any:
    return sessions_file.parent / sessions_file.name.replace("sessions.parquet", "units.parquet")


def _units_of(sessions_file: Any, keys: list[_Key]) -> pa.Table:
    """The unit rows that stand beside a file of sessions, of the sessions it is still the source of."""
    table = read(_units_beside(sessions_file), layout.UNIT_SCHEMA)
    wanted = pa.array([f"{d}/{s}" for d, s in keys])
    own = pc.binary_join_element_wise(table.column("dataset"), table.column("session_id"), "/")
    return table.filter(pc.is_in(own, value_set=wanted))
