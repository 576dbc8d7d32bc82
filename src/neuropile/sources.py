"""Where a pile's counts come from: sessions of stores, published rows, or several of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, remote
from neuropile.binning import MAX_TICK
from neuropile.counting import Grid
from neuropile.errors import PileError, StoreError
from neuropile.published_folder import PublishedRows
from neuropile.segment import Segment, Source
from neuropile.session import Session
from neuropile.spans import runs_of

#: So many sessions are open at a time; of one far away what was fetched is kept in memory.
OPEN_HERE, OPEN_FAR = 16, 4


class StoreSource:
    """Counts straight from the sessions of stores.

    selections : of each selection_id the rows of the units it takes; -1 takes all
    roots : stores that are open already, by their place: a URL alone may not say how to reach one
    """

    def __init__(self, selections: Mapping[int, np.ndarray], roots: Mapping[str, Any] = {}) -> None:
        self.selections, self.roots = dict(selections), dict(roots)
        self._near, self._far = lru_cache(maxsize=OPEN_HERE)(self._open), lru_cache(maxsize=OPEN_FAR)(self._open)

    def session(self, store: str, key: str, digest: str | None) -> Session:
        """A session of a store, opened once while it is in use."""
        return (self._far if "://" in store else self._near)(store, key, digest)

    def _open(self, store: str, key: str, digest: str | None) -> Session:
        try:
            session = Session(self.root(store) / key)
        except StoreError as e:
            root = self.root(store)
            if not remote.is_remote(root) and not root.exists():
                raise PileError(f"the pile's store {store} is not there; put it back where it was, or make the pile again") from None
            raise PileError(f"the pile's session {key} is not in {store} ({e}); put the store back where it was, or make the pile again") from None
        if session.key != key:
            raise PileError(f"{store}/{key} is a copy of session {session.key}; put the store back as it was, or make the pile again")
        if digest and session.record["content_digest"] != digest:
            raise PileError(f"session {key} in {store} is not the one the pile was made of (its content changed); make the pile again")
        return session

    def __reduce__(self) -> Any:
        return StoreSource, (self.selections, self.roots)  # open sessions stay behind

    def place(self, row: int) -> tuple[Source, int]:
        """See Source."""
        return self, row

    def root(self, store: str) -> Any:
        """Where a store is, as a path or an opened URL."""
        return self.roots.get(store) or remote.as_path(store)

    def of(self, segment: Segment) -> tuple[Session, np.ndarray, Grid]:
        """A segment's session, its unit rows there and its grid of bins."""
        session = self.session(segment.store, segment.key, segment.session_digest)
        rows = self.selections[segment.selection_id] if segment.selection_id >= 0 else np.arange(session.n_units)
        if segment.order is not None and len(segment.order) == len(rows):
            rows = rows[segment.order]
        ticks = segment.bin_width * session.ticks_per_s
        grid = Grid(int(ticks), segment.first_bin, segment.n_bins)
        fits = len(rows) == segment.n_units and (not len(rows) or 0 <= rows.min() <= rows.max() < session.n_units)
        if not fits or ticks.denominator != 1 or max(map(abs, grid.ticks)) >= MAX_TICK:
            raise PileError(f"{segment!r} does not fit its session ({session.n_units} units, {session.ticks_per_s} ticks a second); make the pile again")
        return session, rows, grid

    def unit_values(self, segment: Segment, column: str) -> list[Any]:
        """See Source."""
        session, rows, _ = self.of(segment)
        values = session.units[{"unit_ids": "unit_id", "regions": "region"}[column]].iloc[rows]
        return values.astype(object).where(values.notna(), None).tolist()

    def species(self, segment: Segment) -> str | None:
        """See Source."""
        return self.of(segment)[0].species

    def observed(self, segment: Segment) -> np.ndarray:
        """See Source."""
        session, rows, grid = self.of(segment)
        place = (grid.ticks_per_bin, grid.first_bin, grid.n_bins)
        if not session.observed.differs:
            return np.array([(-1, a, b) for a, b in runs_of(session.observed.mask(rows, *place))], np.int64).reshape(-1, 3)
        masks = (session.observed.mask(rows[i : i + 1], *place) for i in range(len(rows)))
        return np.array([(i, a, b) for i, mask in enumerate(masks) for a, b in runs_of(mask)], np.int64).reshape(-1, 3)

    def counts_into(self, segment: Segment, out: np.ndarray) -> None:
        """See Source."""
        session, rows, grid = self.of(segment)
        session.counter.count_into(out, rows, grid)

    def events(self, segment: Segment) -> tuple[np.ndarray, np.ndarray]:
        """See Source."""
        session, rows, grid = self.of(segment)
        return session.counter.events(rows, grid)

    def tables(self, segments: Iterable[Segment]) -> tuple[pa.Table, pa.Table]:
        """See Source."""
        rows_of: dict[str, tuple[Session, dict[int, None]]] = {}
        seen = set()
        for segment in segments:
            place = (segment.store, segment.key, segment.selection_id, id(segment.order))
            if place not in seen:  # segments of a session may take other units of it, or in another order
                seen.add(place)
                session, rows, _ = self.of(segment)
                rows_of.setdefault(segment.key, (session, {}))[1].update(dict.fromkeys(rows.tolist()))
        sessions = [layout.session_row(session.record) for session, _ in rows_of.values()]
        units = [session.unit_table.take(pa.array(list(rows), pa.int64())) for session, rows in rows_of.values()]
        return pa.concat_tables(sessions).drop_columns(["status", "error"]), pa.concat_tables(units)


class PublishedSource:
    """Counts from published rows."""

    def __init__(self, rows: PublishedRows) -> None:
        self.rows = rows

    def place(self, row: int) -> tuple[Source, int]:
        """See Source."""
        return self, row

    def unit_values(self, segment: Segment, column: str) -> list[Any]:
        """See Source."""
        return self.rows.unit_values(segment.row, column, segment.order)

    def species(self, segment: Segment) -> str | None:
        """See Source."""
        return self.rows.facts.column("species")[segment.row].as_py()

    def observed(self, segment: Segment) -> np.ndarray:
        """See Source."""
        return self.rows.observed(segment.row, segment.order)

    def counts_into(self, segment: Segment, out: np.ndarray) -> None:
        """See Source."""
        self.rows.counts_into(segment.row, out, segment.order)

    def events(self, segment: Segment) -> tuple[np.ndarray, np.ndarray]:
        """See Source."""
        return self.rows.events(segment.row, (segment.n_units, segment.n_bins), segment.order)

    def tables(self, segments: Iterable[Segment]) -> tuple[pa.Table, pa.Table]:
        """See Source."""
        sessions, units, session_row, unit_row = self._tables
        rows: dict[str, dict[int, None]] = {}
        for segment in segments:
            try:
                rows.setdefault(segment.key, {}).update(dict.fromkeys(unit_row[segment.key][u] for u in segment.unit_ids))
            except KeyError:
                raise PileError(f"{segment!r} has units that the folder's units.parquet does not list; publish the pile again") from None
        flat = [row for own in rows.values() for row in own]
        return sessions.take(pa.array([session_row[key] for key in rows], pa.int64())), units.take(pa.array(flat, pa.int64()))

    @cached_property
    def _tables(self) -> tuple[pa.Table, pa.Table, dict[str, int], dict[str, dict[str, int]]]:
        """The sessions and units that were published, and the row of each."""
        sessions, units = (self.rows.table(name) for name in ("sessions", "units"))
        keys = [pc.binary_join_element_wise(t.column("dataset"), t.column("session_id"), "/").to_pylist() for t in (sessions, units)]
        unit_row: dict[str, dict[str, int]] = {key: {} for key in keys[0]}
        for i, (key, unit) in enumerate(zip(keys[1], units.column("unit_id").to_pylist(), strict=True)):
            unit_row.setdefault(key, {})[unit] = i
        return sessions, units, {key: i for i, key in enumerate(keys[0])}, unit_row


class Joined:
    """Several sources as one.

    sources : those that hold the rows; of_row, row_in : (row,) which of them holds a row, and its row there
    """

    def __init__(self, sources: Sequence[Source], of_row: np.ndarray, row_in: np.ndarray) -> None:
        self.sources, self.of_row, self.row_in = list(sources), of_row, row_in

    def place(self, row: int) -> tuple[Source, int]:
        """See Source."""
        return self.sources[self.of_row[row]], int(self.row_in[row])

    def tables(self, segments: Iterable[Segment]) -> tuple[pa.Table, pa.Table]:
        """See Source."""
        by_source: dict[int, list[Segment]] = {}
        for segment in segments:
            by_source.setdefault(id(segment.source), []).append(segment)
        found = [own[0].source.tables(own) for own in by_source.values()]
        return pa.concat_tables([s for s, _ in found], promote_options="default"), pa.concat_tables([u for _, u in found], promote_options="default")


def leaves(source: Source | Joined) -> list[Source]:
    """The sources that hold rows themselves."""
    return source.sources if isinstance(source, Joined) else [source]
