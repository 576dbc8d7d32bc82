"""Many sessions in one folder, with an index over sessions and units that SQL can ask."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, object_files, own_columns, parquet, regions, remote
from neuropile.errors import NotThere, StoreError
from neuropile.index import Index
from neuropile.paths import replacing
from neuropile.progress import QUIET, Progress
from neuropile.session import Session
from neuropile.writing import index_rows

if TYPE_CHECKING:
    import pandas as pd

_MARKER = {"format": layout.FORMAT, "version": layout.VERSION}
#: What a unit's canonical `quality` must be, as SQL.
QUALITY_RULES = {"all": "true", "not-noise": "quality is distinct from 'noise'", "good": "quality = 'good'"}


def open_store(path: str | Path | Any) -> Store:
    """Open a store to read: a folder, or a URL (`s3://`, `hf://`, `http(s)://`, `memory://`) or UPath.

    Raises
    ------
    StoreError : there is no store at `path`, or a newer neuropile wrote it
    """
    root = remote.as_path(path)
    if remote.is_remote(root):
        root.fs.invalidate_cache()  # what fsspec listed before may have changed since
    elif not root.is_dir():
        raise StoreError(f"{path}: no such folder; make a store with: neuropile ingest FILES --store {path}")
    try:
        layout.read_marker(root / layout.STORE_FILE, layout.FORMAT, sealed=False)
    except FileNotFoundError:
        raise NotThere(f"{path} is not a neuropile store (no {layout.STORE_FILE} in it); make one with: neuropile ingest FILES --store {path}") from None
    return Store(root)


def create_store(path: str | Path | Any) -> Store:
    """Open a store to write, making it where there is none: a folder, or a URL that can be written to (`s3://`, `memory://`, ...).

    A folder that holds something else is left alone.

    Raises
    ------
    StoreError : something else is at `path`, or it cannot be written
    """
    root = remote.as_path(path)
    return _create_far(root) if remote.is_remote(root) else _create_here(root)


def _create_far(root: Any) -> Store:
    object_files.check_writable(root)
    try:
        return open_store(root)
    except NotThere:
        pass
    if not object_files.is_empty(root):
        try:
            return open_store(root)  # another process may have made it just now
        except NotThere:
            raise StoreError(f"{root} holds something and is not a neuropile store; give a place where nothing is") from None
    with TemporaryDirectory(prefix="neuropile-") as folder:
        marker = Path(folder) / layout.STORE_FILE
        layout.write_json(_MARKER, marker)
        object_files.create(root / layout.STORE_FILE, marker.read_bytes())
    return open_store(root)


def _create_here(root: Path) -> Store:
    foreign = root.exists() and (not root.is_dir() or any(not _is_beginning(p) for p in root.iterdir()))
    if (root / layout.STORE_FILE).is_file():  # looked for last: another process may have made it just now
        return open_store(root)
    if foreign:
        raise StoreError(f"{root} exists and is not a neuropile store; give an empty or a new folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with replacing(root / layout.STORE_FILE) as temporary:
            layout.write_json(_MARKER, temporary)
    except OSError as e:
        raise StoreError(f"{root} cannot be written ({e.strerror}); give a folder you may write to") from None
    return Store(root)


def _is_beginning(path: Path) -> bool:
    """Whether a file is the temporary marker of a store that another process makes, or was killed making."""
    return path.name.startswith(f".{layout.STORE_FILE}.") and path.suffix == ".tmp"


@dataclass(frozen=True)
class Selection:
    """Rows of units by "dataset/session"; how many units the quality rule, and then the condition, left out."""

    units: dict[str, np.ndarray]
    n_left_by_quality: int
    n_left_by_where: int


class Store(Mapping[str, Session]):
    """A folder of sessions, a mapping from "dataset/session" to Session; see `open_store`."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.index = Index(root)

    @property
    def session_table(self) -> pa.Table:
        """A row a finished session, as Arrow."""
        return self.index.complete

    @property
    def sessions(self) -> pd.DataFrame:
        """A row a finished session, indexed by "dataset/session"."""
        frame = self.session_table.to_pandas()
        return frame.set_index(frame["dataset"] + "/" + frame["session_id"])

    @property
    def failed(self) -> pd.DataFrame:
        """The sessions that could not be built, and why."""
        table = self.index.sessions
        frame = table.filter(pc.not_equal(table.column("status"), "complete")).select(["dataset", "session_id", "status", "error"]).to_pandas()
        return frame.set_index(frame["dataset"] + "/" + frame["session_id"])

    @cached_property
    def unit_table(self) -> pa.Table:
        """A row a unit of every finished session; `unit` is its row in the session."""
        species = self.session_table.select(["dataset", "session_id", "species"]).to_pylist()
        table = regions.fill_sessions(self.index.units, {(s["dataset"], s["session_id"]): s["species"] for s in species})
        keys = pc.binary_join_element_wise(table.column("dataset"), table.column("session_id"), "/").to_numpy()
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.int64)
        unit = np.arange(len(keys)) - np.repeat(starts, np.diff(np.r_[starts, len(keys)]))
        return table.append_column("unit", pa.array(unit, pa.int32()))

    @property
    def units(self) -> pd.DataFrame:
        """A row a unit of every finished session, columns as in every units table."""
        return self.unit_table.drop_columns(["unit"]).to_pandas()

    @cached_property
    def region_labels(self) -> frozenset[str]:
        """The regions of the units as their sources call them."""
        return frozenset(pc.unique(self.index.units.column("region")).to_pylist()) - {None}

    def __getitem__(self, key: str) -> Session:
        dataset, _, session_id = str(key).partition("/")
        if "/" in session_id or {dataset, session_id} & {"", ".", ".."}:
            raise self._no_session(key)
        try:
            return self._session(dataset, session_id)
        except NotThere:
            raise self._no_session(key) from None

    def _session(self, dataset: str, session_id: str) -> Session:
        session = Session(self.root / dataset / session_id)
        if session.key != f"{dataset}/{session_id}":
            raise StoreError(f"{session.root} is a copy of session {session.key}; remove it, or build the recording again as {dataset}/{session_id}")
        return session

    def _no_session(self, key: object) -> NotThere:
        if key in self:
            return NotThere(f"session {key} is in the index of {self.root}, but its folder holds none; build it again, or run: neuropile index {self.root}")
        close = [k for k in self if str(key).lower() in k.lower()][:3]
        hint = f"did you mean {' or '.join(close)}?" if close else f"{len(self)} sessions are listed in store.sessions, as dataset/session"
        return NotThere(f"no session {key!r} in {self.root}; {hint}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.index.row_of)

    def __len__(self) -> int:
        return self.session_table.num_rows

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __contains__(self, key: object) -> bool:
        return key in self.index.row_of

    def lists(self, marker: Mapping[str, Any]) -> bool:
        """Whether the index holds a session as its marker describes it."""
        row = self.index.row_of.get(f"{marker['dataset']}/{marker['session_id']}")
        own = layout.session_row(marker).drop_columns(["status", "error"])
        return row is not None and bool(self.session_table.slice(row, 1).equals(own))

    def sql(self, query: str) -> pd.DataFrame:
        """Ask the tables `sessions` and `units` in DuckDB's SQL; files and the network are out of its reach.

        `in_region('VISp', ...)` holds for units in one of some regions or in a part of one; see `regions.in_region`. A source's
        own columns of units, `src_...`, are read from every session when the query names one.

        >>> store.sql("select region, count(*) as n from units where in_region('Isocortex') group by region")  # doctest: +SKIP
        """
        query = regions.spelt_out(query, lambda: self.region_labels)
        return query_tables(query, sessions=self.session_table, units=self._units_with(own_columns.named(query), self)).to_pandas()

    def _units_with(self, names: Collection[str], among: Iterable[str]) -> pa.Table:
        """The table of units with some of their sources' own columns, of these sessions."""
        return own_columns.appended(self.unit_table, names, {key: self[key] for key in among}) if names else self.unit_table

    def search(self, text: str = "", **keywords: Any) -> pd.DataFrame:
        """The rows of `sessions` that match a text, and keywords as ONE has them.

        text : words that must all match, and `key:value`: "region:VISp mouse", "date:2019-12 n_units:>100"
        keywords : `subject`, `lab`, `date_range`, `number`, `datasets` (files), `dataset`, `region`, `species` and more; of a
            list one must match, of `datasets` all. `neuropile.searching.in_store` tells them in full

        Raises
        ------
        NeuropileError : an unknown keyword or region, or a value that does not serve
        """
        from neuropile import searching

        found = self.sessions
        return found[searching.in_store(found, lambda: self.units, text, keywords, lambda key: self[key].record["source"])]

    def select(self, where: str | None = None, quality: str = "all", among: Collection[str] | None = None, labels: Collection[str] = frozenset()) -> Selection:
        """The units of finished sessions that pass a quality rule and an SQL condition.

        where : on the columns of units, their sources' own included, and of sessions; where both have one, the session's is
            `session_n_spikes`; `in_region('VISp', ...)` as in `sql`
        quality : "good", "not-noise" (unknown counts as not noise) or "all"
        among : only units of these sessions, by "dataset/session", are selected and counted; None: of all
        labels : regions that are known though no unit here has them: those of other stores that are asked the same
        """
        if quality not in QUALITY_RULES:
            raise StoreError(f"quality is {quality!r}; it must be one of {', '.join(QUALITY_RULES)}")
        units = self._units_with(own_columns.named(where or ""), self if among is None else among)
        sessions = self.session_table if among is None else self.session_table.take(pa.array(sorted(self.index.row_of[key] for key in among), pa.int64()))
        own = ", ".join(f"sessions.{c}" for c in sessions.column_names if c not in units.column_names)
        joined = f"select units.*, {own}, sessions.n_spikes as session_n_spikes from units join sessions using (dataset, session_id)"  # noqa: S608
        # the line break: `where` may end in a comment
        wanted = regions.spelt_out(where or "true", lambda: self.region_labels | frozenset(labels))
        rules = f"coalesce({QUALITY_RULES[quality]}, false) as well, coalesce(({wanted}\n)::boolean, false) as wanted"
        passing = f"select dataset || '/' || session_id as key, unit, {rules} from ({joined}) order by key, unit"  # noqa: S608  (DuckDB reaches nothing else)
        try:
            table = query_tables(passing, units=units, sessions=sessions)
        except StoreError as e:
            raise StoreError(
                f"condition {where!r}: {str(e).split(' LINE ')[0]}; its columns: {', '.join(_columns(joined, units, sessions))}, and the sources' own, src_..."
            ) from None
        well, wanted = (table.column(c).to_numpy() for c in ("well", "wanted"))
        keys, units = (table.column(c).filter(pa.array(well & wanted)).to_pylist() for c in ("key", "unit"))
        found: dict[str, list[int]] = {}
        for key, unit in zip(keys, units, strict=True):
            found.setdefault(key, []).append(unit)
        return Selection({k: np.array(u, np.int64) for k, u in found.items()}, int((~well).sum()), int((well & ~wanted).sum()))

    def add(self, sessions: pa.Table, units: pa.Table) -> None:
        """Append rows to the index."""
        self.index.add(sessions, units)
        self._forget()

    def add_failure(self, dataset: str, session_id: str, error: str) -> None:
        """Put on record that a session could not be built."""
        row = {"dataset": dataset, "session_id": session_id, "status": "failed", "error": error}
        self.add(pa.Table.from_pylist([row], schema=layout.SESSION_SCHEMA), layout.UNIT_SCHEMA.empty_table())

    def rebuild_index(self, progress: Progress = QUIET, *, failures: bool = True) -> list[str]:
        """Make both indexes anew from the sessions themselves, and drop the parts they take in.

        failures : keep what is on record of sessions that could not be built

        Returns what is wrong with the sessions that were left out because they are damaged.
        """
        object_files.check_writable(self.root)
        with self.index.locked() as check:
            parts = self.index.session_files()[1:]  # before the sessions are read: each of these is then among them
            keys = self._folders()
            read = remote.together(self._index_rows, keys) if remote.is_remote(self.root) else map(self._index_rows, keys)
            found = list(progress.track(read, len(keys), "indexing"))
            rows = [f for f in found if isinstance(f, tuple)]
            sessions = pa.concat_tables([layout.SESSION_SCHEMA.empty_table(), *(s for s, _ in rows)])
            units = pa.concat_tables([layout.UNIT_SCHEMA.empty_table(), *(u for _, u in rows)])
            failed = self.index.failures(done=sessions) if failures else layout.SESSION_SCHEMA.empty_table()
            self.index.compact(pa.concat_tables([sessions, failed]), units, parts, check)
        self._forget()
        return [f for f in found if isinstance(f, str)]

    def _folders(self) -> list[tuple[str, str]]:
        """The dataset and name of all that may be sessions, by their folders, sorted."""
        if not remote.is_remote(self.root):
            return [(m.parent.parent.name, m.parent.name) for m in sorted(self.root.glob(f"*/*/{layout.SESSION_FILE}"))]
        datasets = [d for d in object_files.folders_in(self.root) if d != layout.INDEX_FOLDER]
        return [(d, s) for d in datasets for s in object_files.folders_in(self.root / d)]

    def folders(self) -> tuple[list[str], list[str]]:
        """All folders that may be sessions, as dataset/session, sorted: those with a finished one in them, and those without."""
        if remote.is_remote(self.root):
            keys = [f"{d}/{s}" for d, s in self._folders()]
            finished = list(remote.together(lambda key: remote.exists(self.root / key / layout.SESSION_FILE), keys))
        else:
            own = (layout.INDEX_FOLDER, ".building")
            keys = sorted(f"{p.parent.name}/{p.name}" for p in self.root.glob("*/*") if p.is_dir() and p.parent.name not in own)
            finished = [(self.root / key / layout.SESSION_FILE).exists() for key in keys]
        done = [key for key, there in zip(keys, finished, strict=True) if there]
        return done, sorted(set(keys) - set(done))

    def _index_rows(self, key: tuple[str, str]) -> tuple[pa.Table, pa.Table] | str | None:
        """A session's rows of the index, or what is wrong with it; None of a folder without a finished session."""
        folder = self.root / key[0] / key[1]
        try:
            return index_rows(self._session(*key).record, folder)
        except NotThere:
            return None
        except (StoreError, *parquet.ERRORS) as e:
            return str(e) if str(folder) in str(e) else f"{folder}: {e}"

    def _forget(self) -> None:
        """Read the index anew when it is next asked for."""
        self.index.forget()
        for name in ("unit_table", "region_labels"):
            self.__dict__.pop(name, None)

    def __repr__(self) -> str:
        return f"<Store {self.root}: {len(self)} sessions, {self.index.units.num_rows} units>"

    def _repr_html_(self) -> str:
        columns = ["subject_id", "species", "duration_s", "n_units", "n_spikes", "quantity"]
        return f"<p>{escape(str(self.root))}: {len(self)} sessions, {self.index.units.num_rows} units</p>{self.sessions[columns].to_html()}"


def all_labels(stores: Iterable[Store], where: str | None) -> frozenset[str]:
    """The regions, as their sources call them, of the units of some stores, where a condition asks for regions."""
    return frozenset().union(*(store.region_labels for store in stores)) if "in_region" in (where or "").lower() else frozenset()


def query_tables(query: str, **tables: pa.Table) -> pa.Table:
    """Run one SELECT over Arrow tables in a DuckDB that can reach nothing else.

    Raises
    ------
    StoreError : DuckDB refuses the query; its own first line says why
    """
    import duckdb

    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("set temp_directory=''")
        connection.execute("set enable_progress_bar=false")  # it would be drawn on standard output
        connection.execute("set enable_external_access=false")
        connection.execute("set lock_configuration=true")
        try:
            statements = connection.extract_statements(query)
            if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
                raise StoreError(f"SQL must be one SELECT (tables: {', '.join(tables)})")
            return connection.sql(statements[0].query).to_arrow_table()
        except (duckdb.Error, pa.ArrowException) as e:
            raise StoreError(f"SQL not understood: {' '.join(str(e).split())[:300]} (tables: {', '.join(tables)})") from None


def _columns(query: str, units: pa.Table, sessions: pa.Table) -> list[str]:
    return query_tables(f"select * from ({query}) limit 0", units=units, sessions=sessions).column_names  # noqa: S608
