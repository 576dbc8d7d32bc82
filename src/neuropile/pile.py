"""A pile: an ordered, split list of segments over stored or published sessions; no spike moves until it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, markers, pilefile, remote, splits
from neuropile.binning import as_width
from neuropile.errors import BinWidthError, PileError, StoreError
from neuropile.pilefile import SEGMENT_SCHEMA, Listed
from neuropile.published import MARKER, MARKER_KIND
from neuropile.published_folder import PublishedRows
from neuropile.segment import Segment, Source
from neuropile.sources import Joined, PublishedSource, StoreSource, leaves
from neuropile.store import all_labels, open_store

#: A shard closes before it would hold more tokens than this: seconds of work, and little to do again after a kill.
SHARD_TOKENS = 200_000_000


class OrderKey(NamedTuple):
    """Whose units an order is of: a session's, or those a selection takes of it."""

    store: str
    session: str
    selection_id: int


class Pile:
    """Segments in order. Indexing gives a Segment, slicing and the splits give piles, iterating gives segments.

    table : Arrow, a row a segment (SEGMENT_SCHEMA); meta : how the pile was made and what it left out
    rows : (segment,) each segment's row in the source, which knows all of them
    orders : of each order_id the order of a segment's units: (unit,), which of them, as stored, each row of its counts is
    """

    def __init__(
        self,
        table: pa.Table,
        source: Source | Joined,
        meta: Mapping[str, Any],
        rows: np.ndarray | None = None,
        orders: Mapping[int, np.ndarray] = {},
    ) -> None:
        self.table = table.cast(SEGMENT_SCHEMA)
        self.source = source
        self.meta = dict(meta)
        self.rows = np.arange(table.num_rows) if rows is None else rows
        self.orders = dict(orders)

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return self.take(np.arange(len(self))[i])
        if not -len(self) <= i < len(self):
            raise IndexError(f"segment {i} of a pile of {len(self)}")
        i = range(len(self))[i]
        return self._segment(i, {name: self.table.column(name)[i].as_py() for name in SEGMENT_SCHEMA.names})

    def _segment(self, i: int, facts: dict[str, Any]) -> Segment:
        width = Fraction(facts.pop("bin_num"), facts.pop("bin_den"))
        order = self.orders.get(facts.pop("order_id"))
        source, row = self.source.place(int(self.rows[i]))
        return Segment(source=source, row=row, bin_width=width, order=order, **facts)

    def __iter__(self) -> Iterator[Segment]:
        return (self._segment(i, facts) for i, facts in enumerate(self.table.to_pylist()))

    def take(self, positions: np.ndarray) -> Pile:
        """The segments at some positions, in that order, as a pile."""
        return self._with(self.table.take(pa.array(positions, pa.int64())), self.rows[positions])

    def _with(self, table: pa.Table, rows: np.ndarray | None = None, **meta: Any) -> Pile:
        return Pile(table, self.source, {**self.meta, **meta}, self.rows if rows is None else rows, self.orders)

    def with_column(self, name: str, values: Any, **meta: Any) -> Pile:
        """The pile with other values in one column of its table, and more in its `meta`."""
        i = SEGMENT_SCHEMA.get_field_index(name)
        return self._with(self.table.set_column(i, name, pa.array(values, SEGMENT_SCHEMA.field(i).type)), **meta)

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
        PileError : some of it is published, so that its rows hold the units they hold
        """
        if not isinstance(self.source, StoreSource):
            raise PileError("a published pile keeps the units of its rows; use where() on the pile it was published from")
        stores = {store: open_store(self.source.root(store)) for store in set(self.table.column("store").to_pylist())}
        labels = all_labels(stores.values(), condition)
        chosen = {name: store.select(condition, labels=labels).units for name, store in stores.items()}
        selections: dict[int, np.ndarray] = {}
        number: dict[OrderKey, int] = {}
        keep, n_units, ids = [], [], []
        for i, segment in enumerate(self.in_stored_order()):
            place = order_key(segment)
            if place not in number:
                rows = np.intersect1d(self.source.of(segment)[1], chosen[segment.store].get(segment.key, np.empty(0, np.int64)))
                number[place] = len(selections)
                selections[number[place]] = rows
            if len(selections[number[place]]):
                keep.append(i)
                ids.append(number[place])
                n_units.append(len(selections[number[place]]))
        table = self.table.take(pa.array(keep, pa.int64()))
        for name, values in (("n_units", n_units), ("selection_id", ids), ("order_id", [-1] * len(ids))):
            table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.int32()))
        both = f"({self.meta['where']}) and ({condition})" if self.meta.get("where") else condition
        return Pile(table, StoreSource(selections, self.source.roots), {**self.meta, "where": both})

    def reordered(self, **options: Any) -> Pile:
        """The pile with each session's units beside those that fire alike; see `ordering.reorder`."""
        from neuropile import ordering

        return ordering.reorder(self, **options)

    def with_orders(self, orders: Mapping[OrderKey, np.ndarray]) -> Pile:
        """The pile with some sessions' units in another order.

        orders : of a session (and its selection of units), by `order_key`, which unit, as stored, each row of its counts is to be
        """
        numbers: dict[OrderKey, int] = {}
        ids, kept = [], {}
        for segment in self.in_stored_order():
            key = order_key(segment)
            if key not in orders:
                ids.append(-1)
                continue
            order = np.asarray(orders[key], np.int64)
            if not np.array_equal(np.sort(order), np.arange(segment.n_units)):
                raise PileError(f"the order of {segment.key} is no permutation of its {segment.n_units} units")
            ids.append(numbers.setdefault(key, len(numbers)))
            kept[ids[-1]] = order
        pile = self.with_column("order_id", ids)
        pile.orders = kept
        return pile

    def in_stored_order(self) -> Pile:
        """The pile with every session's units as they are stored."""
        return self.with_column("order_id", np.full(len(self), -1, np.int32)) if self.orders else self

    @cached_property
    def n_tokens(self) -> int:
        """Unit x bin, over all segments."""
        return int(self.tokens.sum())

    @property
    def tokens(self) -> np.ndarray:
        """(segment,) int64: unit x bin of each segment."""
        return self.table.column("n_units").to_numpy().astype(np.int64) * self.table.column("n_bins").to_numpy()

    @cached_property
    def digest(self) -> str:
        """A digest of which segments these are, of what content, in which order of segments and units; wherever the stores lie."""
        hashed = hashlib.sha256()
        for name in SEGMENT_SCHEMA.names:
            if name not in ("store", "selection_id", "order_id"):
                hashed.update(repr((name, self.table.column(name).to_pylist())).encode())
        for name, held in (("selection_id", _selections(self.source)), ("order_id", self.orders)):
            content = {i: hashlib.sha256(np.ascontiguousarray(units, "<i8").tobytes()).hexdigest() for i, units in held.items()}
            hashed.update(repr([content.get(i) for i in self.table.column(name).to_pylist()]).encode())
        return "sha256:" + hashed.hexdigest()

    def shards(self, max_tokens: int = SHARD_TOKENS) -> list[Shard]:
        """The pile in consecutive pieces of at most so many tokens, or of one segment."""
        cuts, held = [0], 0
        for i, n in enumerate(self.tokens.tolist()):
            if held and held + n > max_tokens:
                cuts.append(i)
                held = 0
            held += n
        cuts = [*cuts, len(self)] if len(self) else []
        return [Shard(k, a, b, self._compact(a, b)) for k, (a, b) in enumerate(pairwise(cuts))]

    def _compact(self, start: int, stop: int) -> Pile:
        """Some segments with only what they need of the selections and orders: small to send to another process."""
        part = self.take(np.arange(start, stop))
        part.orders = {i: self.orders[i] for i in set(part.table.column("order_id").to_pylist()) if i >= 0}
        if isinstance(self.source, StoreSource):
            ids = set(part.table.column("selection_id").to_pylist()) - {-1}
            part.source = StoreSource({i: self.source.selections[i] for i in ids}, self.source.roots)
        return part

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

    def publish(self, to: str | Path, **options: Any) -> Any:
        """Write the pile as a dataset with its card; see `hub.publish`."""
        from neuropile import hub

        return hub.publish(self, to, **options)

    def torch(self, crop: tuple[int, int] = (256, 512), **options: Any) -> Any:
        """Crops of the pile for training with PyTorch; see `training.loader.dataset`."""
        from neuropile.training import loader

        return loader.dataset(self, crop, **options)

    def save(self, path: str | Path, *, replace: bool = False) -> None:
        """Write the pile's own file, and its unit selections and orders beside it; stores are kept relative to it.

        path : NAME.parquet, or a URL

        Raises
        ------
        PileError : the name is not one of a pile, or the file exists and `replace` is not given
        """
        published = sorted({s.store for s in self if isinstance(s.source, PublishedSource)}) if not isinstance(self.source, StoreSource) else []
        listed = Listed(self.table, _selections(self.source), self.orders, self.meta, tuple(published))
        pilefile.write(listed, remote.as_path(path), replace=replace)

    def __repr__(self) -> str:
        shares = ", ".join(f"{r['split']} {r['share']:.1%}" for r in self.summary())
        return f"<Pile: {len(self)} segments, {self.n_tokens:,} tokens ({shares})>"

    def _repr_html_(self) -> str:
        import pandas as pd

        return pd.DataFrame(self.summary()).to_html(index=False)


@dataclass(frozen=True)
class Shard:
    """Consecutive segments of a pile: its `index`th piece, segments `start` to `stop`, as a pile that other processes can be sent."""

    index: int
    start: int
    stop: int
    pile: Pile

    def __str__(self) -> str:
        first, last = self.pile[0], self.pile[len(self.pile) - 1]
        return f"segments {self.start} to {self.stop - 1} ({first.key} {first.segment_id} to {last.key} {last.segment_id})"


def _selections(source: Source | Joined) -> dict[int, np.ndarray]:
    """The unit selections of a pile's stores."""
    return {i: units for leaf in leaves(source) if isinstance(leaf, StoreSource) for i, units in leaf.selections.items()}


def order_key(segment: Segment) -> OrderKey:
    """Whose units an order of a segment's units is of."""
    return OrderKey(segment.store, segment.key, segment.selection_id)


def open_pile(path: str | Path) -> Pile:
    """Open a pile file or a published folder, here or by URL (`s3://`, `hf://datasets/owner/name`, `http(s)://`, ...).

    Raises
    ------
    PileError : neither is there, it is damaged, or a newer neuropile wrote it
    """
    root = remote.as_path(path)
    if root.suffix == ".parquet" and not (isinstance(root, Path) and root.is_dir()):
        try:
            listed = pilefile.read(root)
        except FileNotFoundError:
            raise PileError(f"{path}: no such pile; make one with: neuropile pile STORE --out {path}") from None
        return Pile(listed.table, _source_of(listed), listed.meta, orders=listed.orders)
    if isinstance(root, Path) and not root.exists():
        raise PileError(f"{path}: no such pile; make one with: neuropile pile STORE --out {path}")
    if isinstance(root, Path) and root.is_file():
        raise PileError(f"{path} is not a pile: a pile's file is called NAME.parquet")
    return _open_published(root.resolve() if isinstance(root, Path) else root)


def _source_of(listed: Listed) -> Source | Joined:
    """Who gives the counts of a pile file's segments: its stores, and the published folders it names."""
    stores = StoreSource(listed.selections)
    if not listed.published:
        return stores
    opened = {place: _open_published(remote.as_path(place)) for place in listed.published}
    row_of = {place: {_row_key(facts): i for i, facts in enumerate(pile.table.to_pylist())} for place, pile in opened.items()}
    number = {place: i + 1 for i, place in enumerate(opened)}
    of_row, row_in = np.zeros(listed.table.num_rows, np.int64), np.arange(listed.table.num_rows)
    for i, facts in enumerate(listed.table.to_pylist()):
        place = facts["store"]
        if place in opened:
            of_row[i] = number[place]
            try:
                row_in[i] = row_of[place][_row_key(facts)]
            except KeyError:
                raise PileError(f"{place} no longer holds {facts['dataset']}/{facts['session_id']} {facts['segment_id']}; make the pile again") from None
            if facts["session_digest"] != opened[place].table.column("session_digest")[0].as_py():
                raise PileError(f"{place} is not what the pile was made of: it was published anew; make the pile again")
    return Joined([stores, *(leaf for pile in opened.values() for leaf in leaves(pile.source))], of_row, row_in)


def _row_key(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(facts[c] for c in ("dataset", "session_id", "segment_id", "first_bin", "n_bins", "n_units"))


def _open_published(root: Any) -> Pile:
    try:
        marker = layout.read_marker(root / MARKER, MARKER_KIND)
    except FileNotFoundError:
        if remote.exists(root / layout.STORE_FILE):
            raise PileError(f"{root} is a store; make a pile of it with: neuropile pile {root} --out pile.parquet") from None
        raise PileError(f"{root} is not a published pile (no {MARKER} in it); publish one with: neuropile publish PILE --to NEW_FOLDER") from None
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
        "session_digest": pa.array([f"marker sha256:{marker['sha256']}"] * n, pa.string()),  # which covers the digest of every file
    }
    columns = [filled[f.name] if f.name in filled else facts.column(renamed.get(f.name, f.name)) for f in SEGMENT_SCHEMA]
    return Pile(pa.table(columns, schema=SEGMENT_SCHEMA), PublishedSource(rows), made)
