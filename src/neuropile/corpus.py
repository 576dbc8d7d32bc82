"""Piles as a whole: put together, shuffled, split anew, thinned out and weighted; no spike moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import splits
from neuropile.errors import PileError, StoreError
from neuropile.permuting import permutation
from neuropile.pile import Pile
from neuropile.piling import SPLIT_BY
from neuropile.segment import Source
from neuropile.sources import Joined, StoreSource, leaves
from neuropile.store import query_tables


def merge(piles: Sequence[Pile], *, resplit: Mapping[str, Any] | None = None) -> Pile:
    """Several piles as one, in their order.

    resplit : what `split` takes, to draw the splits anew; by default every segment keeps its own

    Raises
    ------
    PileError : none is given, their bins differ, a segment is in two of them, or a recording is in two splits
    """
    if not piles:
        raise PileError("nothing to merge: give two piles or more")
    widths = {p.meta["bin_width"] for p in piles}
    if len(widths) > 1:
        raise PileError(f"piles of different bin widths ({', '.join(sorted(widths))} s) do not merge; make them anew with one --bin")
    selections: dict[int, np.ndarray] = {}
    orders: dict[int, np.ndarray] = {}
    tables = []
    for pile in piles:
        own = {i: u for leaf in leaves(pile.source) if isinstance(leaf, StoreSource) for i, u in leaf.selections.items()}
        table = pile.table
        for name, held, all_held in (("selection_id", own, selections), ("order_id", pile.orders, orders)):
            table = _renumbered(table, name, held, all_held)
        tables.append(table)
    table = pa.concat_tables(tables).combine_chunks()
    _check_disjoint(table)
    meta = _merged_meta([p.meta for p in piles])
    merged = Pile(table, _joined(piles, selections), meta, orders=orders)
    if resplit is not None:
        return split(merged, **resplit)
    _check_splits(piles, merged)
    return merged


def _renumbered(table: pa.Table, name: str, held: Mapping[int, np.ndarray], all_held: dict[int, np.ndarray]) -> pa.Table:
    """A column of ids with numbers that are free in `all_held`, which takes them in."""
    new = {-1: -1}
    for i, units in held.items():
        new[i] = len(all_held)
        all_held[new[i]] = units
    ids = pa.array([new[i] for i in table.column(name).to_pylist()], pa.int32())
    return table.set_column(table.schema.get_field_index(name), name, ids)


def _joined(piles: Sequence[Pile], selections: dict[int, np.ndarray]) -> Source | Joined:
    """One source for all: the stores as one, and every published folder."""
    roots: dict[str, Any] = {}
    sources: list[Source] = []
    number: dict[int, int] = {}
    of_row, row_in = [], []
    for pile in piles:
        for row in pile.rows.tolist():
            leaf, inner = pile.source.place(row)
            if isinstance(leaf, StoreSource):
                roots |= leaf.roots
                of_row.append(0)
            else:
                if id(leaf) not in number:
                    sources.append(leaf)
                    number[id(leaf)] = len(sources)
                of_row.append(number[id(leaf)])
            row_in.append(inner)
    stores = StoreSource(selections, roots)
    return Joined([stores, *sources], np.array(of_row, np.int64), np.array(row_in, np.int64)) if sources else stores


def _check_disjoint(table: pa.Table) -> None:
    """Raise PileError where two segments have one name, or bins of one session in common."""
    sessions = pc.binary_join_element_wise(table.column("dataset"), table.column("session_id"), "/")
    names = pc.binary_join_element_wise(sessions, table.column("segment_id"), "/").combine_chunks()
    counts = pc.value_counts(names)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1)).to_pylist()
    session = sessions.combine_chunks().dictionary_encode().indices.to_numpy()
    first = table.column("first_bin").to_numpy()
    order = np.lexsort((first, session))
    stop = (first + table.column("n_bins").to_numpy())[order]
    overlap = np.flatnonzero((session[order][1:] == session[order][:-1]) & (first[order][1:] < stop[:-1]))
    twice += [names[int(i)].as_py() for i in order[overlap + 1]]
    if twice:
        told = f"{len(set(twice))} segments are in more than one of the piles ({', '.join(sorted(set(twice))[:3])}, ...)"
        raise PileError(f"{told}: by name, or by bins of one session; leave one pile out, or choose all its units in one pile")


def _ids(table: pa.Table, by: str) -> list[str]:
    """Of each segment what a rule keeps on one side of the splits."""
    recordings, subjects = (table.column(c).to_pylist() for c in ("recording_id", "subject_id"))
    if by == "segment":
        return [f"{r}/{s}" for r, s in zip(recordings, table.column("segment_id").to_pylist(), strict=True)]
    if by == "subject":
        return [s or r for s, r in zip(subjects, recordings, strict=True)]
    return table.column("dataset").to_pylist() if by == "dataset" else recordings


def _check_splits(piles: Sequence[Pile], merged: Pile) -> None:
    """Raise PileError where what one of the piles keeps on one side of its splits is on two in all."""
    for by in sorted({p.meta["split_by"] for p in piles} - {"segment"}):
        kept = {i for p in piles if p.meta["split_by"] == by for i in _ids(p.table, by)}
        sides: dict[str, set[str]] = {}
        for i, side in zip(_ids(merged.table, by), merged.table.column("split").to_pylist(), strict=True):
            sides.setdefault(i, set()).add(side)
        leaking = sorted(i for i in kept if len(sides[i]) > 1)
        if leaking:
            found = f"{by} {leaking[0]} is in different splits of the piles, which would leak"
            raise PileError(found + "; draw them anew: resplit={'test': 0.01}, or --test 0.01")


def _merged_meta(metas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is true of all, and what each left out."""
    first = dict(metas[0])
    for name in ("where", "quality", "gaps", "set_aside", "seed", "val", "test", "split_by", "max_tokens"):
        values = {repr(m.get(name)): m.get(name) for m in metas}
        if len(values) > 1:
            if name == "max_tokens":
                first[name] = max(m["max_tokens"] for m in metas)
            if name == "split_by":  # what all of them keep
                first[name] = "segment" if "segment" in values.values() else "recording"
            first.setdefault("differing", {})[name] = list(values.values())
    left: dict[str, Any] = {}
    for meta in metas:
        for name, value in meta["left_out"].items():
            left[name] = left[name] + value if name in left else value
    return {**first, "left_out": left, "warnings": [w for m in metas for w in m["warnings"]]}


def shuffle(pile: Pile, seed: int = 0) -> Pile:
    """The segments in an order that depends on their number and the seed alone."""
    shuffled = pile.take(permutation(len(pile), seed))
    shuffled.meta["shuffled"] = seed
    return shuffled


def split(pile: Pile, *, val: float = 0.0, test: float = 0.01, by: str = "recording", seed: int = 0) -> Pile:
    """The pile with its splits drawn anew, as `make_pile` draws them.

    Raises
    ------
    PileError : the shares leave no room for each other, or `by` is not known
    """
    splits.check_shares(val, test)
    if by not in SPLIT_BY:
        raise PileError(f"split_by is {by!r}; it must be one of {', '.join(SPLIT_BY)}")
    keys = _ids(pile.table, by)
    side = {key: splits.split_of(key, seed, val, test) for key in set(keys)}
    kept = [w for w in pile.meta["warnings"] if "split is empty" not in w]
    meta = {"val": val, "test": test, "split_by": by, "seed": seed, "warnings": [*kept, *splits.empty_split_hints(keys, seed, val, test)]}
    return pile.with_column("split", [side[k] for k in keys], **meta)


def subset(pile: Pile, where: str | None = None, *, share: float = 1.0, seed: int = 0) -> Pile:
    """Some of the segments: those for which an SQL condition holds, and of these a random share.

    where : on the columns of the pile's table, such as "dataset = 'ibl' and split = 'train' and n_units > 100"; to choose
        units, use `Pile.where`
    share : of the segments, those whose own number, drawn from id and seed, lies below it: a larger share holds a smaller one

    Raises
    ------
    PileError : the condition is not understood, the share is no share, or nothing is left
    """
    if not 0 < share <= 1:
        raise PileError(f"share is {share}; it must lie above 0 and be at most 1")
    table = pile.table.append_column("position", pa.array(np.arange(len(pile))))
    try:
        found = query_tables(f"select position from segments where ({where or 'true'}\n) order by position", segments=table)  # noqa: S608  (DuckDB reaches nothing else)
    except StoreError as e:
        raise PileError(f"condition {where!r}: {str(e).split(' (tables: ')[0]}; its columns: {', '.join(pile.table.column_names)}") from None
    positions = found.column("position").to_numpy()
    if share < 1:
        ids = pc.binary_join_element_wise(*(table.column(c) for c in ("dataset", "session_id", "segment_id")), "/").to_pylist()
        positions = np.array([i for i in positions.tolist() if splits.position(ids[i], seed) < share], np.int64)
    if not len(positions):
        raise PileError(f"no segment of {len(pile)} is left{f' for which {where}' if where else ''}; its columns: {', '.join(pile.table.column_names)}")
    part = pile.take(positions)
    part.meta["subset"] = [*pile.meta.get("subset", []), {"where": where, "share": share, "seed": seed}]
    return part


def weigh(pile: Pile, weights: Mapping[str, float]) -> Pile:
    """The pile with how often each dataset's segments are drawn in training: once, times its weight.

    Raises
    ------
    PileError : a dataset is not in the pile, or a weight is negative or not finite
    """
    datasets = pile.table.column("dataset").to_pylist()
    if unknown := sorted(set(weights) - set(datasets)):
        raise PileError(f"no dataset {unknown[0]!r} in the pile; it holds {', '.join(sorted(set(datasets)))}")
    if wrong := {d: w for d, w in weights.items() if not (np.isfinite(w) and w >= 0)}:
        raise PileError(f"weights must be numbers from 0 on, not {wrong}")
    old = pile.table.column("weight").to_pylist()
    return pile.with_column("weight", [float(weights.get(d, w)) for d, w in zip(datasets, old, strict=True)])
