"""A pile: an ordered, split list of segments over stored or published sessions; no spike moves until it is asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, markers, parquet, remote, splits
from neuropile.binning import MAX_TICK, as_width
from neuropile.counting import Grid
from neuropile.errors import BinWidthError, PileError, StoreError
from neuropile.paths import replacing, sha256_file
from neuropile.published import MARKER, MARKER_KIND, PublishedRows
from neuropile.segment import Segment, Source
from neuropile.session import Session
from neuropile.spans import runs_of
from neuropile.store import open_store

PILE_KIND = "neuropile pile"
SEGMENT_SCHEMA = pa.schema(
    [
        pa.field("segment_id", pa.string()),
        pa.field("store", pa.string()),
        pa.field("dataset", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("recording_id", pa.string()),
        pa.field("subject_id", pa.string()),
        pa.field("quantity", pa.string()),
        pa.field("first_bin", pa.int64()),
        pa.field("n_bins", pa.int64()),
        pa.field("bin_num", pa.int64()),
        pa.field("bin_den", pa.int64()),
        pa.field("n_units", pa.int32()),
        pa.field("selection_id", pa.int32()),
        pa.field("order_id", pa.int32()),
        pa.field("split", pa.string()),
        pa.field("weight", pa.float64()),
        pa.field("session_digest", pa.string()),
    ]
)
SELECTION_SCHEMA = pa.schema([pa.field("selection_id", pa.int32()), pa.field("units", pa.list_(pa.int32()))])


class Pile:
    """Segments in order. Indexing gives a Segment, slicing and the splits give piles, iterating gives segments.

    table : Arrow, a row a segment (SEGMENT_SCHEMA); meta : how the pile was made and what it left out
    """

    def __init__(self, table: pa.Table, source: Source, meta: Mapping[str, Any], rows: np.ndarray | None = None) -> None:
        self.table = table.cast(SEGMENT_SCHEMA)
        self.source = source
        self.meta = dict(meta)
        #: Of each segment its row in the source, which knows all of them.
        self.rows = np.arange(table.num_rows) if rows is None else rows

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return self.take(np.arange(len(self))[i])
        i = range(len(self))[i]
        facts = {name: self.table.column(name)[i].as_py() for name in SEGMENT_SCHEMA.names}
        width = Fraction(facts.pop("bin_num"), facts.pop("bin_den"))
        facts.pop("order_id")
        return Segment(source=self.source, row=int(self.rows[i]), bin_width=width, **facts)

    def __iter__(self) -> Iterator[Segment]:
        return (self[i] for i in range(len(self)))

    def take(self, positions: np.ndarray) -> Pile:
        """The segments at some positions, in that order, as a pile."""
        return Pile(self.table.take(pa.array(positions)), self.source, self.meta, self.rows[positions])

    def _split(self, name: str) -> Pile:
        return self.take(np.flatnonzero(pc.equal(self.table.column("split"), name).to_numpy()))

    @property
    def train(self) -> Pile:
        """The training split, as a pile."""
        return self._split("train")

    @property
    def val(self) -> Pile:
        """The validation split, as a pile."""
        return self._split("val")

    @property
    def test(self) -> Pile:
        """The test split, as a pile."""
        return self._split("test")

    def where(self, condition: str) -> Pile:
        """The pile with only the units for which an SQL condition holds, as in `make_pile`; segments left without any go.

        Raises
        ------
        PileError : the pile is published, so that its rows hold the units they hold
        """
        if not isinstance(self.source, StoreSource):
            raise PileError("a published pile keeps the units of its rows; use where() on the pile it was published from")
        chosen = {store: open_store(self.source.root(store)).select(condition).units for store in set(self.table.column("store").to_pylist())}
        selections: dict[int, np.ndarray] = {}
        number: dict[tuple[str, str], int] = {}
        keep, n_units, ids = [], [], []
        for i, segment in enumerate(self):
            place = (segment.store, segment.key)
            if place not in number:
                rows = np.intersect1d(self.source.of(segment)[1], chosen[segment.store].get(segment.key, np.empty(0, np.int64)))
                number[place] = len(selections)
                selections[number[place]] = rows
            if len(selections[number[place]]):
                keep.append(i)
                ids.append(number[place])
                n_units.append(len(selections[number[place]]))
        table = self.table.take(pa.array(keep, pa.int64()))
        for name, values in (("n_units", n_units), ("selection_id", ids)):
            table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.int32()))
        both = f"({self.meta['where']}) and ({condition})" if self.meta.get("where") else condition
        return Pile(table, StoreSource(selections, self.source.roots), {**self.meta, "where": both})

    @cached_property
    def n_tokens(self) -> int:
        """Unit x bin, over all segments."""
        return int(pc.sum(pc.multiply(self.table.column("n_units").cast(pa.int64()), self.table.column("n_bins"))).as_py() or 0)

    def summary(self) -> list[dict[str, Any]]:
        """A row a split that has segments: how many segments, sessions, recordings, subjects and tokens, and the share of tokens."""
        rows = []
        for name in splits.SPLITS:
            part = self._split(name)
            counts = {f"{c}s": pc.count_distinct(part.table.column(f"{c}_id")).as_py() for c in ("recording", "subject")}
            sessions = set(zip(part.table.column("dataset").to_pylist(), part.table.column("session_id").to_pylist(), strict=True))
            if len(part):
                share = part.n_tokens / self.n_tokens if self.n_tokens else 0.0
                rows.append({"split": name, "segments": len(part), "sessions": len(sessions), **counts, "tokens": part.n_tokens, "share": share})
        return rows

    def publish(self, to: str | Path, *, layout: str = "sparse", replace: bool = False) -> Any:
        """Write the pile as a dataset with its card; see `hub.publish`."""
        from neuropile import hub

        return hub.publish(self, to, layout=layout, replace=replace)

    def save(self, path: str | Path, *, replace: bool = False) -> None:
        """Write the pile's own file, and its unit selections beside it; stores are kept relative to it.

        Raises
        ------
        PileError : the file exists and `replace` is not given, or the pile is published
        """
        path = Path(path)
        if path.suffix != ".parquet" or path.name.endswith(".units.parquet") or path.is_dir():
            raise PileError(f"{path}: a pile's file is called NAME.parquet (NAME.units.parquet beside it holds its unit selections)")
        if path.exists() and not replace:
            raise PileError(f"{path} exists; give another name, or --replace (replace=True) to write it anew")
        if not isinstance(self.source, StoreSource):
            raise PileError("a published pile is saved already: copy its folder")
        selections = path.with_name(f"{path.stem}.units.parquet")
        with replacing(selections) as temporary:
            rows = [{"selection_id": i, "units": u.tolist()} for i, u in sorted(self.source.selections.items())]
            parquet.write(pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA), temporary)
        folder = path.resolve().parent
        stores = pa.array([remote.public(s) if "://" in s else os.path.relpath(s, folder) for s in self.table.column("store").to_pylist()], pa.string())
        meta = {"format": PILE_KIND, "version": layout.VERSION, **self.meta, "units_sha256": sha256_file(selections)}
        table = self.table.set_column(1, "store", stores)
        with replacing(path) as temporary:
            parquet.write(table, temporary, metadata={"neuropile": json.dumps(meta)})

    def __repr__(self) -> str:
        shares = ", ".join(f"{r['split']} {r['share']:.1%}" for r in self.summary())
        return f"<Pile: {len(self)} segments, {self.n_tokens:,} tokens ({shares})>"

    def _repr_html_(self) -> str:
        import pandas as pd

        return pd.DataFrame(self.summary()).to_html(index=False)


class StoreSource:
    """Counts straight from the sessions of stores.

    selections : of each selection_id the rows of the units it takes; -1 takes all
    roots : stores that are open already, by their place: a URL alone may not say how to reach one
    """

    def __init__(self, selections: Mapping[int, np.ndarray], roots: Mapping[str, Any] = {}) -> None:
        self.selections, self.roots = dict(selections), dict(roots)
        self.session = lru_cache(maxsize=16)(self._open)

    def _open(self, store: str, key: str, digest: str | None) -> Session:
        try:
            session = Session(self.root(store) / key)
        except StoreError as e:
            raise PileError(f"the pile's session {key} is not in {store} ({e}); put the store back where it was, or make the pile again") from None
        if session.key != key:
            raise PileError(f"{store}/{key} is a copy of session {session.key}; put the store back as it was, or make the pile again")
        if digest and session.record["content_digest"] != digest:
            raise PileError(f"session {key} in {store} is not the one the pile was made of (its content changed); make the pile again")
        return session

    def root(self, store: str) -> Any:
        """Where a store is, as a path or an opened URL."""
        return self.roots.get(store) or remote.as_path(store)

    def of(self, segment: Segment) -> tuple[Session, np.ndarray, Grid]:
        """A segment's session, its unit rows there and its grid of bins."""
        session = self.session(segment.store, segment.key, segment.session_digest)
        rows = self.selections[segment.selection_id] if segment.selection_id >= 0 else np.arange(session.n_units)
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

    def tables(self, segments: Iterable[Segment]) -> tuple[pa.Table, pa.Table]:
        """See Source."""
        first = {s.key: s for s in segments}
        found = [self.of(s)[:2] for s in first.values()]
        sessions = [layout.session_row(session.record) for session, _ in found]
        units = [session.unit_table.take(pa.array(rows)) for session, rows in found]
        return pa.concat_tables(sessions).drop_columns(["status", "error"]), pa.concat_tables(units)


class PublishedSource:
    """Counts from published rows."""

    def __init__(self, rows: PublishedRows) -> None:
        self.rows = rows

    def unit_values(self, segment: Segment, column: str) -> list[Any]:
        """See Source."""
        return self.rows.unit_values(segment.row, column)

    def species(self, segment: Segment) -> str | None:
        """See Source."""
        return self.rows.facts.column("species")[segment.row].as_py()

    def observed(self, segment: Segment) -> np.ndarray:
        """See Source."""
        return self.rows.observed(segment.row)

    def counts_into(self, segment: Segment, out: np.ndarray) -> None:
        """See Source."""
        self.rows.counts_into(segment.row, out)

    def tables(self, segments: Iterable[Segment]) -> tuple[pa.Table, pa.Table]:
        """See Source."""
        keys = pa.array(sorted({s.key for s in segments}))
        tables = (self.rows.table("sessions"), self.rows.table("units"))
        return tuple(t.filter(pc.is_in(pc.binary_join_element_wise(t.column("dataset"), t.column("session_id"), "/"), value_set=keys)) for t in tables)


def open_pile(path: str | Path) -> Pile:
    """Open a pile file or a published folder.

    Raises
    ------
    PileError : neither is there, it is damaged, or a newer neuropile wrote it
    """
    if remote.is_remote(remote.as_path(path)):
        raise PileError(f"{path}: this version opens piles and published folders from local folders only; copy it here")
    root = Path(path)
    if root.is_dir():
        return _open_published(root)
    if not root.is_file():
        raise PileError(f"{path}: no such pile; make one with: neuropile pile STORE --out {path}")
    try:
        table = parquet.read(root)
        meta = json.loads((table.schema.metadata or {})[b"neuropile"])
        table = table.select(SEGMENT_SCHEMA.names).cast(SEGMENT_SCHEMA)
        if meta["format"] != PILE_KIND:
            raise ValueError(f"it says it is {meta['format']!r}")
        if meta["version"] not in layout.VERSIONS:
            raise PileError(f"{path} was written in format {meta['version']!r}; this neuropile reads format {layout.VERSION}: upgrade neuropile")
        if wrong := markers.problem(markers.PileMeta, meta):
            raise ValueError(f"its {wrong}")
        selections = _selections(root, meta)
        _check_rows(table, selections)
    except (StoreError, TypeError, *parquet.ERRORS) as e:
        raise PileError(f"{path} is not a pile ({e}); make one with: neuropile pile STORE --out NAME.parquet") from None
    stores = pa.array([_store_place(s, root) for s in table.column("store").to_pylist()], pa.string())
    return Pile(table.set_column(1, "store", stores), StoreSource(selections), meta)


def _store_place(store: str, pile: Path) -> str:
    """Where a pile's store is: a URL as it is, a path from where the pile lies."""
    return store if "://" in store else str((pile.resolve().parent / store).resolve())


def _check_rows(table: pa.Table, selections: Mapping[int, np.ndarray]) -> None:
    """Raise ValueError unless every row describes a segment that can be."""
    optional = {"subject_id", "session_digest"}
    for name in SEGMENT_SCHEMA.names:
        if name not in optional and table.column(name).null_count:
            raise ValueError(f"its column {name} has empty places")
    for name in ("n_bins", "n_units", "bin_num", "bin_den"):
        if table.num_rows and pc.min(table.column(name)).as_py() < 1:
            raise ValueError(f"its column {name} holds {pc.min(table.column(name)).as_py()}")
    if not set(pc.unique(table.column("split")).to_pylist()) <= set(splits.SPLITS):
        raise ValueError("its column split holds something else than train, val, test")
    if not set(pc.unique(table.column("selection_id")).to_pylist()) <= {-1, *selections}:
        raise ValueError("its column selection_id names selections that are not there")
    if any(n in ("", ".", "..") or "/" in n for c in ("dataset", "session_id") for n in pc.unique(table.column(c)).to_pylist()):
        raise ValueError("its sessions are not names of folders")


def _selections(root: Path, meta: Mapping[str, Any]) -> dict[int, np.ndarray]:
    path = root.with_name(f"{root.stem}.units.parquet")
    if not path.is_file():
        raise PileError(f"{root} has lost its unit selections ({path.name} must lie beside it); copy both files")
    if sha256_file(path) != meta["units_sha256"]:
        raise PileError(f"{path} does not belong to {root.name}: its content differs from what the pile was saved with; make the pile again")
    return {r["selection_id"]: np.array(r["units"], np.int64) for r in parquet.read(path).to_pylist()}


def _open_published(root: Path) -> Pile:
    if not (root / MARKER).is_file():
        if (root / layout.STORE_FILE).is_file():
            raise PileError(f"{root} is a store; make a pile of it with: neuropile pile {root} --out pile.parquet")
        raise PileError(f"{root} is not a published pile (no {MARKER} in it); publish one with: neuropile publish PILE --to NEW_FOLDER")
    try:
        marker = layout.read_marker(root / MARKER, MARKER_KIND)
    except StoreError as e:
        raise PileError(f"{e}; publish the pile again or fetch the file") from None
    rows = PublishedRows(root, marker)
    facts = rows.facts
    try:
        width = as_width(str(marker["bin_width"]))
        made = {**marker["made"]}
        if wrong := markers.problem(markers.PileMeta, made):
            raise ValueError(f"made.{wrong}")
        same = not facts.num_rows or np.array_equal(facts.column("bin_width_s").to_numpy(), np.full(facts.num_rows, float(width)))
        if not same or (facts.num_rows and min(pc.min(facts.column(c)).as_py() for c in ("n_units", "n_bins")) < 1):
            raise ValueError("its rows are of another bin width or of no size")
    except (KeyError, TypeError, ValueError, BinWidthError) as e:
        raise PileError(f"{root / MARKER} does not fit its rows ({e}); publish the pile again or fetch the file") from None
    start = facts.column("start_s").to_numpy()
    n = facts.num_rows
    renamed = {"dataset": "source_dataset"}
    filled: dict[str, Any] = {
        "store": pa.array([str(root)] * n, pa.string()),
        "first_bin": pa.array(np.rint(start / float(width)).astype(np.int64)),
        "bin_num": pa.array([width.numerator] * n, pa.int64()),
        "bin_den": pa.array([width.denominator] * n, pa.int64()),
        "selection_id": pa.array([-1] * n, pa.int32()),
        "order_id": pa.array([-1] * n, pa.int32()),
        "weight": pa.array([1.0] * n, pa.float64()),
        "session_digest": pa.nulls(n, pa.string()),
    }
    columns = [filled[f.name] if f.name in filled else facts.column(renamed.get(f.name, f.name)) for f in SEGMENT_SCHEMA]
    return Pile(pa.table(columns, schema=SEGMENT_SCHEMA), PublishedSource(rows), made)
