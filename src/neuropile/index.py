"""A store's index: a row a session and a row a unit, in two compacted files and the parts builders appended since."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, object_files, object_locks, parquet, remote
from neuropile.errors import StoreError
from neuropile.paths import locked

_TABLES = {"sessions": layout.SESSION_SCHEMA, "units": layout.UNIT_SCHEMA}
_BY_SESSION = [("dataset", "ascending"), ("session_id", "ascending")]
#: How often the index is read again when parts of it vanish in mid-reading, taken in by another process.
_TRIES = 20
_Key = tuple[str, str]
_T = TypeVar("_T")
_I = TypeVar("_I")


class Index:
    """The index of the store at `root`: sessions and units are each read when first asked for, in as few requests as can be."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.folder = root / layout.INDEX_FOLDER

    def forget(self) -> None:
        """Read the index anew when it is next asked for."""
        for name in ("_chosen", "sessions", "complete", "row_of", "units"):
            self.__dict__.pop(name, None)

    @cached_property
    def sessions(self) -> pa.Table:
        """Of each session the newest complete row, else the newest; sorted."""
        return self._steadily(lambda: self._chosen[0])

    @cached_property
    def complete(self) -> pa.Table:
        """The rows of `sessions` that are finished sessions, without what failures need."""
        return self.sessions.filter(pc.equal(self.sessions.column("status"), "complete")).drop_columns(["status", "error"]).combine_chunks()

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each session in `complete`, by "dataset/session"."""
        names = zip(self.complete.column("dataset").to_pylist(), self.complete.column("session_id").to_pylist(), strict=True)
        return {f"{dataset}/{session_id}": row for row, (dataset, session_id) in enumerate(names)}

    @cached_property
    def units(self) -> pa.Table:
        """The rows of every complete session's units, in the order of `sessions`."""
        return self._steadily(self._read_units)

    def session_files(self) -> list[Any]:
        """The files that list sessions, oldest first; the compacted one may not be there."""
        folder = self.folder / "parts"
        if remote.is_remote(folder):
            names = object_files.files_below(folder) if remote.can_list(folder) else []
        else:
            names = [p.name for p in folder.glob("*.sessions.parquet")]
        return [self.folder / "sessions.parquet", *(folder / n for n in sorted(names) if n.endswith(".sessions.parquet"))]

    def _steadily(self, read: Callable[[], _T]) -> _T:
        for _ in range(_TRIES if remote.can_list(self.root) else 1):
            with suppress(FileNotFoundError):
                return read()
            self.forget()
        where = "" if remote.can_list(self.root) else " on the machine that holds the store, and serve it then"
        raise StoreError(f"{self.folder} lacks a file that it should hold; run: neuropile index {'STORE' if where else self.root}{where}")

    @cached_property
    def _chosen(self) -> tuple[pa.Table, dict[Any, list[_Key]]]:
        """The sessions' rows, and of each file the complete sessions it is the source of."""
        files = self.session_files()
        tables = dict(zip(files, _each(lambda file: self._sessions_in(file, files), files), strict=True))
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

    def _sessions_in(self, file: Any, files: list[Any]) -> pa.Table:
        try:
            return read(file, layout.SESSION_SCHEMA)
        except FileNotFoundError:
            if file is not files[0] or not remote.can_list(self.root):  # the compacted one is missing until the first compaction
                raise
            return layout.SESSION_SCHEMA.empty_table()

    def _read_units(self) -> pa.Table:
        units = _each(lambda item: _units_of(*item), self._chosen[1].items())
        return pa.concat_tables([layout.UNIT_SCHEMA.empty_table(), *units]).sort_by(_BY_SESSION)

    def add(self, sessions: pa.Table, units: pa.Table) -> None:
        """Append rows as a part of their own; the units' first, so that a listed session has its units."""
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        for kind, table in (("units", units), ("sessions", sessions)):
            with object_files.writing(self.folder / "parts" / f"{name}.{kind}.parquet") as temporary:
                parquet.write(table.cast(_TABLES[kind]), temporary)
        self.forget()

    @contextmanager
    def locked(self) -> Iterator[Callable[[], None]]:
        """Let nobody else compact the index meanwhile; gives what to call before writing: it raises where that no longer holds."""
        if remote.is_remote(self.folder):
            with object_locks.held(self.folder / "index.lock", "compacting the index") as lock:
                yield lock.check
        else:
            with locked(self.folder / ".lock"):
                yield lambda: None

    def take_in(self) -> None:
        """Write the parts into the compacted files: what a web server, which lists nothing, can serve."""
        with self.locked() as check:
            self.forget()
            parts = self.session_files()[1:]
            if parts:
                self.compact(self.sessions, self.units, parts, check)

    def compact(self, sessions: pa.Table, units: pa.Table, parts: list[Any], check: Callable[[], None]) -> None:
        """Write both compacted files, and remove the parts they take in; under `locked`, which gives `check`."""
        for name, table in (("units", units), ("sessions", sessions)):
            with object_files.writing(self.folder / f"{name}.parquet") as temporary:
                parquet.write(table.combine_chunks(), temporary)
                check()
        if remote.is_remote(self.folder):
            object_files.remove(parts)  # first: units without sessions are nothing to a reader
            object_files.remove(map(_units_beside, parts))
        else:
            for part in parts:
                part.unlink(missing_ok=True)
                _units_beside(part).unlink(missing_ok=True)
        self.forget()

    def failures(self, done: pa.Table) -> pa.Table:
        """The newest failure of each session that is not done, from every file that can be read."""
        rows: dict[_Key, dict[str, Any]] = {}
        for found in _each(_rows_if_readable, self.session_files()):
            rows |= {(r["dataset"], r["session_id"]): r for r in found}
        for key in zip(done.column("dataset").to_pylist(), done.column("session_id").to_pylist(), strict=True):
            rows.pop(key, None)
        return pa.Table.from_pylist([row for _, row in sorted(rows.items()) if row["status"] != "complete"], schema=layout.SESSION_SCHEMA)


def _each(job: Callable[[_I], _T], items: Iterable[_I]) -> list[_T]:
    """The results of a job for each of some files; those of an object store are asked for together."""
    return list(remote.together(job, items))


def _rows_if_readable(file: Any) -> list[dict[str, Any]]:
    with suppress(StoreError, FileNotFoundError):
        return read(file, layout.SESSION_SCHEMA).to_pylist()
    return []


def read(path: Any, schema: pa.Schema) -> pa.Table:
    """One file of the index.

    Raises
    ------
    FileNotFoundError : there is none
    StoreError : it is damaged
    """
    try:
        table = parquet.read(path)
        return layout.conform_sessions(table) if schema is layout.SESSION_SCHEMA else table.cast(schema)
    except FileNotFoundError:
        raise
    except (StoreError, *parquet.ERRORS) as e:
        root = path.parent.parent.parent if path.parent.name == "parts" else path.parent.parent
        raise StoreError(f"{path} cannot be read ({e}); run: neuropile index {root if remote.can_list(root) else 'STORE, where it lies'}") from None


def _units_beside(sessions_file: Any) -> Any:
    return sessions_file.parent / sessions_file.name.replace("sessions.parquet", "units.parquet")


def _units_of(sessions_file: Any, keys: list[_Key]) -> pa.Table:
    """The unit rows that stand beside a file of sessions, of the sessions it is still the source of."""
    table = read(_units_beside(sessions_file), layout.UNIT_SCHEMA)
    wanted = pa.array([f"{d}/{s}" for d, s in keys])
    own = pc.binary_join_element_wise(table.column("dataset"), table.column("session_id"), "/")
    return table.filter(pc.is_in(own, value_set=wanted))
