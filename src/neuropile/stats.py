"""What a pile holds in numbers: how often each count occurs, unit by unit, and from that rates, entropies and totals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, parquet
from neuropile.binning import COUNT_TYPES, as_width
from neuropile.errors import NeuropileError, PileError
from neuropile.paths import replacing
from neuropile.pile import Pile, Shard
from neuropile.progress import QUIET, Progress
from neuropile.run import SERIAL, Engine, kept, map_combine, working
from neuropile.segment import Segment

if TYPE_CHECKING:
    import pandas as pd

KIND = "neuropile stats"
#: What totals can be asked by.
BY = ("dataset", "split", "region", "quality", "quantity", "session_id", "subject_id")
#: Of each unit in each split how many bins hold each count; `count` is null for bins nobody observed.
SCHEMA = pa.schema(
    [
        *(pa.field(c, pa.string()) for c in ("dataset", "session_id", "subject_id", "quantity", "split", "unit_id", "region", "quality")),
        pa.field("count", pa.int64()),
        pa.field("bins", pa.int64()),
    ]
)
_KEYS = SCHEMA.names[:-1]
#: Columns that always hold something.
_NEVER_NULL = ("dataset", "session_id", "quantity", "split", "unit_id", "bins")
#: No sum of bins or spikes may come near what 64 bits hold; no count may exceed those of a pile.
_MAX_SUM, _MAX_COUNT = 2.0**62, int(np.iinfo(COUNT_TYPES[-1]).max)
#: Units times counts that are tallied in one array of all; it takes 8 bytes each.
_MAX_CELLS = 50_000_000


@dataclass(frozen=True)
class Stats:
    """How often each count occurs, unit by unit.

    table : Arrow, SCHEMA; meta : the pile's digest and bin width
    """

    table: pa.Table
    meta: Mapping[str, Any]

    def totals(self, by: Sequence[str] = ("dataset",)) -> pd.DataFrame:
        """A row a group: units, tokens, the share observed, spikes, mean rate, the share of silent bins, entropies.

        by : some of BY; () for everything in one row

        Returns
        -------
        units : distinct units; tokens : unit x bin; observed : the share of tokens somebody observed
        spikes, rate_hz, silent, most : of observed bins: events, events a unit and second, the share without any, the largest count
        entropy_bits : Shannon's entropy of a count drawn from all observed bins together
        unit_entropy_bits : the same of each unit on its own, averaged over bins: what an ideal code that knows each unit's rates needs

        Raises
        ------
        PileError : it cannot be asked by that
        """
        if unknown := [c for c in by if c not in BY]:
            raise PileError(f"totals by {unknown[0]!r} are not kept; there are {', '.join(BY)}")
        t = self.table
        counts, bins = t.column("count").to_numpy(zero_copy_only=False), t.column("bins").to_numpy()
        seen = np.isfinite(counts)
        group, first = _numbered(t, by)
        unit, first_of_unit = _numbered(t, [*by, "dataset", "session_id", "unit_id"])
        n = len(first)
        units = np.bincount(group[first_of_unit], minlength=n)
        tokens = _sum(group, bins, n)
        observed = _sum(group[seen], bins[seen], n)
        spikes = _sum(group[seen], (bins[seen] * counts[seen].astype(np.int64)), n)
        silent = _sum(group[seen & (counts == 0)], bins[seen & (counts == 0)], n)
        unit_bits = _entropy_sums(unit[seen], counts[seen], bins[seen], len(first_of_unit))
        per_bin = np.maximum(observed, 1)
        found: dict[str, Any] = {c: t.column(c).take(pa.array(first)).to_pylist() for c in by}
        found |= {
            "units": units,
            "tokens": tokens,
            "observed": observed / np.maximum(tokens, 1),
            "spikes": spikes,
            "rate_hz": spikes / per_bin / float(Fraction(self.meta["bin_width"])),
            "silent": silent / per_bin,
            "most": _most(group[seen], counts[seen], n),
            "entropy_bits": _entropy_sums(group[seen], counts[seen], bins[seen], n) / per_bin,
            "unit_entropy_bits": np.bincount(group[first_of_unit], unit_bits, n) / per_bin,
        }
        import pandas as pd

        return pd.DataFrame(found).sort_values(list(by)).reset_index(drop=True) if by else pd.DataFrame(found)

    def histogram(self, by: Sequence[str] = ()) -> pd.DataFrame:
        """How many observed bins hold each count: columns `by`, `count`, `bins`."""
        seen = self.table.filter(pc.is_valid(self.table.column("count")))
        grouped = seen.group_by([*by, "count"]).aggregate([("bins", "sum")]).rename_columns([*by, "count", "bins"])
        return grouped.to_pandas().sort_values([*by, "count"]).reset_index(drop=True)

    def rates(self) -> pd.DataFrame:
        """A row a unit: its labels, its observed seconds and its rate in Hz over them."""
        seen = self.table.filter(pc.is_valid(self.table.column("count")))
        seen = seen.append_column("spikes", pc.multiply(seen.column("count"), seen.column("bins")))
        labels = ["dataset", "session_id", "subject_id", "quantity", "unit_id", "region", "quality"]
        frame = seen.group_by(labels).aggregate([("spikes", "sum"), ("bins", "sum")]).rename_columns([*labels, "spikes", "bins"]).to_pandas()
        frame["observed_s"] = frame.pop("bins") * float(Fraction(self.meta["bin_width"]))
        frame["rate_hz"] = frame["spikes"] / frame["observed_s"]
        return frame.sort_values([*labels[:2], "unit_id"]).reset_index(drop=True)

    def save(self, path: Path) -> None:
        """Write the table, whole or not at all."""
        with replacing(path) as temporary:
            parquet.write(self.table, temporary, metadata={"neuropile": json.dumps(self.meta)})


def open_stats(path: str | Path) -> Stats:
    """Open what `count` wrote.

    Raises
    ------
    PileError : it is something else, or damaged
    """
    try:
        table = parquet.read(Path(path))
        meta = json.loads((table.schema.metadata or {})[b"neuropile"])
        if meta["format"] != KIND or meta["version"] not in layout.VERSIONS:
            raise ValueError(f"it says it is {meta['format']!r}, version {meta['version']!r}")
        as_width(meta["bin_width"])
        table = table.cast(SCHEMA)
        _check(table)
        return Stats(table, meta)
    except (NeuropileError, TypeError, RecursionError, *parquet.ERRORS) as e:
        raise PileError(f"{path} holds no stats ({e}); make some with: neuropile stats PILE --out NAME.parquet") from None


def _check(table: pa.Table) -> None:
    """Raise ValueError where a table holds what no count gives."""
    table.validate(full=True)
    if missing := [c for c in _NEVER_NULL if table.column(c).null_count]:
        raise ValueError(f"{missing[0]} is missing in {table.column(missing[0]).null_count} rows")
    counts, bins = pc.fill_null(table.column("count"), 0).to_numpy(), table.column("bins").to_numpy()
    if len(counts) and not 0 <= counts.min() <= counts.max() <= _MAX_COUNT:
        raise ValueError(f"counts go from {counts.min()} to {counts.max()}; they lie from 0 to {_MAX_COUNT}")
    if len(bins) and (bins.min() < 1 or np.dot(bins.astype(float), np.maximum(counts, 1).astype(float)) >= _MAX_SUM):
        raise ValueError(f"its numbers of bins go from {bins.min()} to {bins.max()}; they are at least 1, and add up to less than 2**62 bins and spikes")


def count(pile: Pile, *, out: Path | None = None, replace: bool = False, engine: Engine = SERIAL, progress: Progress = QUIET) -> Stats:
    """Count how often each count occurs in each unit of a pile, in its observed bins.

    out : a Parquet file for the result; what is done is then kept beside it until all is, and a killed run goes on from there

    Raises
    ------
    PileError : the pile is empty, or the file exists and `replace` is not given, or it is a folder
    RunError : part of the pile cannot be read
    """
    if not len(pile):
        raise PileError("an empty pile has no stats")
    if out is not None and out.is_dir():
        raise PileError(f"{out} is a folder; give the name of a file, such as {out / 'stats.parquet'}")
    if out is not None and out.exists() and not replace:
        raise PileError(f"{out} exists; give another name, or --replace (replace=True) to write it anew")
    meta = {"format": KIND, "version": layout.VERSION, "pile": pile.digest, "bin_width": pile.meta["bin_width"]}
    with working(out, json.dumps(meta)) if out is not None else nullcontext() as kept_folder, TemporaryDirectory() as temporary:
        folder = kept_folder or Path(temporary)
        done = map_combine(pile.shards(), partial(_count_shard, folder), partial(_add_up, folder), engine=engine, progress=progress, label="counting")
        stats = Stats(parquet.read(done.whole("counting what the pile holds")).cast(SCHEMA).sort_by([(c, "ascending") for c in _KEYS]), meta)
        if out is not None:
            stats.save(out)
    return stats


def _count_shard(folder: Path, shard: Shard) -> Path:
    return kept(folder / f"shard-{shard.index:06d}.parquet", lambda path: parquet.write(_summed([of_segment(s) for s in shard.pile]), path))


def _add_up(folder: Path, paths: Sequence[Path]) -> Path:
    name = hashlib.sha256("\n".join(p.name for p in paths).encode()).hexdigest()[:16]
    return kept(folder / f"sum-{name}.parquet", lambda path: parquet.write(_summed([parquet.read(p).cast(SCHEMA) for p in paths]), path))


def _summed(tables: Sequence[pa.Table]) -> pa.Table:
    grouped = pa.concat_tables(tables).group_by(_KEYS).aggregate([("bins", "sum")])
    return grouped.rename_columns([*_KEYS, "bins"]).cast(SCHEMA).sort_by([(c, "ascending") for c in _KEYS])


def of_segment(segment: Segment) -> pa.Table:
    """How often each count occurs in each unit of a segment: SCHEMA.

    Raises
    ------
    PileError : what is kept of its units is not of these units, in this order
    """
    units = segment.source.tables([segment])[1]
    if (found := units.column("unit_id").to_pylist()) != (sought := segment.unit_ids):
        told = f"its {len(sought)} units {_few(sought)} are listed as {len(found)}, {_few(found)}"
        raise PileError(f"{segment!r} does not fit the table of units of its pile: {told}; make or publish the pile again")
    unit, value, n = tally(*segment.events(), segment.observed_mask())
    labels = {c: units.column(c).take(pa.array(unit)) for c in ("unit_id", "region", "quality")}
    same = {c: getattr(segment, c) for c in ("dataset", "session_id", "subject_id", "quantity", "split")}
    columns = {c: pa.array([v] * len(unit), pa.string()) for c, v in same.items()} | labels
    columns |= {"count": pa.array(value, mask=value < 0), "bins": pa.array(n)}
    return pa.table([columns[c] for c in SCHEMA.names], schema=SCHEMA)


def _few(ids: Sequence[str]) -> str:
    return ", ".join(map(str, ids[:3])) + (", ..." if len(ids) > 3 else "")


def tally(offsets: np.ndarray, bins: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many bins of each unit hold each count.

    Parameters
    ----------
    offsets, bins : as `Segment.events` gives them
    observed : (unit, bin) or (1, bin) bool

    Returns
    -------
    unit, count, n : (row,) int64; count is -1 for bins that nobody observed

    >>> tally(np.array([0, 3]), np.array([1, 1, 3]), np.array([[True, True, True, True, False]]))
    (array([0, 0, 0, 0]), array([-1,  0,  1,  2]), array([1, 2, 1, 1]))
    """
    n_units = len(offsets) - 1
    unit = np.repeat(np.arange(n_units), np.diff(offsets))
    new = np.ones(len(bins), bool)
    new[1:] = (bins[1:] != bins[:-1]) | (unit[1:] != unit[:-1])
    first = np.flatnonzero(new)
    value = np.diff(np.r_[first, len(bins)])
    unit, k = unit[first], bins[first]
    inside = observed[unit if len(observed) > 1 else 0, k]
    unit, value = unit[inside], value[inside]
    width = int(value.max(initial=0)) + 2
    cell, n = _counted(unit * width + value + 1, n_units * width)
    n_observed = np.broadcast_to(observed.sum(axis=1), n_units)
    first = np.arange(n_units) * width
    n_fired = np.bincount(cell // width, n, n_units).astype(np.int64)
    cell = np.concatenate([first, first + 1, cell])
    n = np.concatenate([observed.shape[1] - n_observed, n_observed - n_fired, n])
    order = np.argsort(cell)
    order = order[n[order] > 0]
    rows, columns = np.divmod(cell[order], width)
    return rows, columns - 1, n[order]


def _counted(cells: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of cells 0 .. n_cells-1 occur, ascending, and how often; one enormous count does not ask for room for all below it."""
    if n_cells >= _MAX_CELLS:
        return np.unique(cells, return_counts=True)
    n = np.bincount(cells, minlength=n_cells)
    held = np.flatnonzero(n)
    return held, n[held]


def _numbered(table: pa.Table, by: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The number of each row's group, and the first row of each group."""
    if not by:
        return np.zeros(table.num_rows, np.int64), np.zeros(1, np.int64)
    codes = np.zeros(table.num_rows, np.int64)
    for name in dict.fromkeys(by):
        column = table.column(name).combine_chunks().dictionary_encode(null_encoding="encode")
        codes = np.unique(codes * len(column.dictionary) + column.indices.to_numpy(), return_inverse=True)[1]
    _, first = np.unique(codes, return_index=True)
    return codes, first


def _sum(group: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Sums by group, in whole numbers: floats would not be exact beyond 2**53."""
    out = np.zeros(n, np.int64)
    np.add.at(out, group, values)
    return out


def _most(group: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    out = np.zeros(n, np.int64)
    np.maximum.at(out, group, counts.astype(np.int64))
    return out


def _entropy_sums(group: np.ndarray, counts: np.ndarray, bins: np.ndarray, n: int) -> np.ndarray:
    """Of each group its number of bins times the entropy of a count in them, in bits."""
    width = int(counts.max(initial=0)) + 1
    cell, inverse = np.unique(group * width + counts.astype(np.int64), return_inverse=True)
    held = _sum(inverse.reshape(-1), bins, len(cell)).astype(float)
    total = np.bincount(cell // width, held, n)
    bits = held * np.log2(total[cell // width] / held)
    return np.bincount(cell // width, bits, n)
