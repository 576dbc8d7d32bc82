"""A published folder, here or far away: its rows, read a row group at a time, each checked to be the one that is listed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import kernels, layout, parquet, remote
from neuropile.errors import CountOverflow, PileError, StoreError
from neuropile.groups import LocalGroups, RemoteGroups, open_groups
from neuropile.pilefile import are_folders, size_problem
from neuropile.published import DATA_FOLDER, DENSE_SCHEMA, FACTS, LAYOUTS, MARKER, ROWS_SCHEMA, SEGMENTS_FILE, SEGMENTS_SCHEMA, SPARSE_SCHEMA
from neuropile.splits import SPLITS

_DATA_FILE = re.compile(rf"{DATA_FOLDER}/[A-Za-z0-9_-]+\.parquet")
#: So many files are open at a time; of one far away what was fetched is kept in memory.
OPEN_HERE, OPEN_FAR = 32, 3
#: Columns that tell whether a row is the one that was sought.
_NAMES = ("session_id", "segment_id")
#: Columns that are read together: what labels a row's counts.
_LABELS = ("unit_ids", "regions", "observed", "order")
#: Facts that a row may lack.
_OPTIONAL = ("species", "subject_id")
#: A segment that begins further than this from its clock's zero, thirty thousand years, begins nowhere.
MAX_START_S = 1e12


def _checked_splits(root: Path, marker: Mapping[str, Any], listed: Mapping[str, Any]) -> dict[str, list[str]]:
    """The files of each split, all of them plain names inside the data folder, or PileError."""
    splits = marker.get("splits")
    if isinstance(splits, dict) and all(isinstance(names, list) for names in splits.values()):
        every = [n for names in splits.values() for n in names]
        plain = all(isinstance(n, str) and _DATA_FILE.fullmatch(n) for n in every)
        if plain and set(splits) <= set(SPLITS) and len(set(every)) == len(every) and set(every) <= set(listed):
            return splits
    raise PileError(
        f"{root / MARKER} does not list its files by split, inside {DATA_FOLDER}/, each once and with its digest; publish the pile again or fetch the file"
    )


def _listed(root: Path, marker: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The files of a published folder by name, with size and digest, or PileError."""
    files = marker.get("files")
    if isinstance(files, dict) and all(isinstance(f, dict) and isinstance(f.get("bytes"), int) and isinstance(f.get("sha256"), str) for f in files.values()):
        return files
    raise PileError(f"{root / MARKER} does not list its files with their digests; publish the pile again or fetch the file")


def _problem(facts: pa.Table) -> str | None:
    """What some rows say of themselves that cannot be, or None."""
    try:
        facts.validate(full=True)  # text that is none
    except pa.ArrowInvalid as e:
        return str(e)
    for name in facts.column_names:
        if name not in _OPTIONAL and facts.column(name).null_count:
            return f"its column {name} has empty places"
    if wrong := size_problem(facts):
        return wrong
    start, width = (facts.column(c).to_numpy() for c in ("start_s", "bin_width_s"))
    with np.errstate(all="ignore"):
        if not np.all((np.abs(start) <= MAX_START_S) & (np.abs(start / width) < 2.0**62)):  # NaN is neither
            return "its column start_s holds times at which nothing starts"
    if not all(are_folders(pc.unique(facts.column(c)).to_pylist()) for c in ("source_dataset", "session_id")):
        return "its sessions are not names of folders"
    return None


class PublishedRows:
    """The rows of a published folder, read a row group at a time."""

    def __init__(self, root: Any, marker: Mapping[str, Any]) -> None:
        self.root, self._marker = root, marker
        self.layout = str(marker.get("layout"))
        if self.layout not in LAYOUTS:
            raise PileError(f"{root} is published in the layout {self.layout!r}, which this version does not know; upgrade neuropile")
        self.listed = _listed(root, marker)
        self._files = [(split, root / name) for split, names in _checked_splits(root, marker, self.listed).items() for name in names]
        self._names = {str(root / name): name for name in (*self.listed, "units.parquet", "sessions.parquet", SEGMENTS_FILE)}
        self._open = lru_cache(maxsize=OPEN_FAR if remote.is_remote(root) else OPEN_HERE)(self._open_file)
        self._group = lru_cache(maxsize=8)(self._read_group)

    def __reduce__(self) -> Any:
        return PublishedRows, (self.root, self._marker)  # what is open stays behind

    def _open_file(self, file: int) -> LocalGroups | RemoteGroups:
        path = self._files[file][1]
        try:
            return open_groups(path, self.listed[self._names[str(path)]])
        except (StoreError, *parquet.ERRORS) as e:
            raise PileError(f"{path} cannot be read ({e}); publish the pile again or fetch the file") from None

    @cached_property
    def _places(self) -> list[list[int]]:
        """Of each row: its file, its row group there and its place in the group."""
        if self._listing is None:
            groups = [
                (i, g, self._open(i).metadata.row_group(g).num_rows) for i in range(len(self._files)) for g in range(self._open(i).metadata.num_row_groups)
            ]
            return [[i, g, place] for i, g, n in groups for place in range(n)]
        groups_null = self._listing.column("row_group").null_count
        if groups_null or (self._listing.num_rows and pc.min(self._listing.column("row_group")).as_py() < 0):
            raise PileError(f"{self.root / SEGMENTS_FILE} does not say in which row group each row is; publish the pile again or fetch the files")
        names = self._listing.column("file").combine_chunks().dictionary_encode("encode")
        number = {self._names[str(path)]: i for i, (_, path) in enumerate(self._files)}
        if unknown := [n for n in names.dictionary.to_pylist() if n not in number]:
            raise PileError(f"{self.root / SEGMENTS_FILE} lists rows of {unknown[0]}, which is no file of the pile; publish the pile again or fetch the files")
        file = np.array([number[n] for n in names.dictionary.to_pylist()], np.int64)[names.indices.to_numpy()]
        group = self._listing.column("row_group").to_numpy().astype(np.int64)
        starts = np.flatnonzero(np.r_[True, (np.diff(file) != 0) | (np.diff(group) != 0)][: len(file)])
        if len(np.unique(file[starts] << 32 | group[starts])) != len(starts):
            raise self._out_of_order()
        place = np.arange(len(file)) - np.repeat(starts, np.diff(np.r_[starts, len(file)]))
        return np.column_stack([file, group, place]).tolist()

    def _out_of_order(self) -> PileError:
        return PileError(f"{self.root / SEGMENTS_FILE} does not list the rows in their order; publish the pile again or fetch the files")

    def _wrong(self, row: int, what: str) -> PileError:
        return PileError(f"row {row} of {self.root} {what}; publish the pile again or fetch the files")

    @cached_property
    def _listing(self) -> pa.Table | None:
        """What is kept beside the rows of where each is; None in a folder of before that was kept."""
        if SEGMENTS_FILE not in self.listed:
            return None
        table = self._read_segments()
        return table if "file" in table.column_names else None

    def _read_segments(self) -> pa.Table:
        schema = ROWS_SCHEMA if self.layout == "sparse" else SEGMENTS_SCHEMA
        try:
            table = parquet.read(self.root / SEGMENTS_FILE, digest=self._digest(self.root / SEGMENTS_FILE))
            kept = pa.schema([f for f in schema if "file" in table.column_names or f.name not in ("file", "row_group")])
            return table.select(kept.names).cast(kept)
        except (StoreError, *parquet.ERRORS) as e:
            raise PileError(f"{self.root / SEGMENTS_FILE} cannot be read ({e}); publish the pile again or fetch the file") from None

    def _all_groups(self, file: int, columns: Sequence[str]) -> pa.Table:
        opened = self._open(file)
        return opened.read(list(range(opened.metadata.num_row_groups)), columns)

    @cached_property
    def facts(self) -> pa.Table:
        """The scalar columns and the split of every row, checked."""
        facts = self._stored_facts()
        wrong = _problem(facts)
        if wrong is None and SEGMENTS_FILE in self.listed:
            splits = np.array([split for split, _ in self._files], object)[[p[0] for p in self._places]]
            if not np.array_equal(splits, facts.column("split").to_numpy()):
                wrong = "its column split names others than the marker does of their files"
        if wrong:
            raise PileError(f"the rows of {self.root} are not those of a pile ({wrong}); publish the pile again or fetch the files")
        return facts

    def _stored_facts(self) -> pa.Table:
        if self._listing is not None:
            return self._listing.select([*FACTS.names, "split"])
        if self.layout == "dense":
            return self._segments.select([*FACTS.names, "split"])
        try:
            tables = [self._all_groups(i, FACTS.names).select(FACTS.names).cast(FACTS) for i in range(len(self._files))]
        except (StoreError, *parquet.ERRORS) as e:
            raise PileError(f"the rows of {self.root} lack the columns of a sparse pile ({e}); publish the pile again or fetch the files") from None
        splits = [split for (split, _), t in zip(self._files, tables, strict=True) for _ in range(t.num_rows)]
        return pa.concat_tables([FACTS.empty_table(), *tables]).append_column("split", pa.array(splits, pa.string()))

    @cached_property
    def _segments(self) -> pa.Table:
        """What is kept beside dense rows, one row each, in their order."""
        table = self._listing if self._listing is not None else self._read_segments()
        if self._listing is None:
            self._check_names(table)
        return table

    def _check_names(self, table: pa.Table) -> None:
        """Raise PileError unless a table lists the rows in their order."""
        names = list(_NAMES)
        try:
            rows = pa.concat_tables([self._all_groups(i, names).select(names) for i in range(len(self._files))])
        except (StoreError, *parquet.ERRORS) as e:
            raise PileError(f"the rows of {self.root} cannot be read ({e}); publish the pile again or fetch the files") from None
        if rows.to_pylist() != table.select(names).to_pylist():
            raise self._out_of_order()

    def table(self, name: str) -> pa.Table:
        """The table of `units` or `sessions` that was published beside the rows."""
        try:
            return parquet.read(self.root / f"{name}.parquet", digest=self._digest(self.root / f"{name}.parquet"))
        except (StoreError, *parquet.ERRORS) as e:
            raise PileError(f"{self.root / name}.parquet cannot be read ({e}); publish the pile again or fetch the file") from None

    def _digest(self, path: Any) -> str | None:
        return self.listed.get(self._names[str(path)], {}).get("sha256")

    def problems(self) -> list[str]:
        """What is damaged or does not belong, once every column of every row is read."""
        found = [] if remote.is_remote(self.root) else layout.file_problems(self.root, self.listed, MARKER)
        for i, (_, path) in enumerate(self._files):
            file = self._open(i)
            for group in range(file.metadata.num_row_groups):
                try:
                    file.read([group])
                except parquet.ERRORS as e:
                    found.append(f"{path} is damaged ({e}); publish the pile again or fetch the file")
        if not found and self._listing is not None:
            try:
                self._check_names(self._listing)
            except PileError as e:
                found.append(str(e))
        return found

    def _read_group(self, file: int, group: int, columns: tuple[str, ...]) -> pa.Table:
        opened = self._open(file)
        if group >= opened.metadata.num_row_groups:
            raise self._out_of_order()
        try:
            table = opened.read([group], columns)
            wanted = pa.schema([(SPARSE_SCHEMA if self.layout == "sparse" else DENSE_SCHEMA).field(c) for c in columns])
            return table.select(list(columns)).cast(wanted).combine_chunks()
        except (StoreError, *parquet.ERRORS) as e:
            raise PileError(f"{self._files[file][1]} is damaged ({e}); publish the pile again or fetch the file") from None

    def _read(self, row: int, columns: tuple[str, ...]) -> tuple[pa.Table, int]:
        """Some columns of the group a row is in, and its place there; PileError unless the row is the one that is listed."""
        file, group, place = self._places[row]
        table = self._group(file, group, (*_NAMES, *columns))
        if place >= table.num_rows or any(table.column(c)[place].as_py() != self.facts.column(c)[row].as_py() for c in _NAMES):
            raise self._out_of_order()
        return table, place

    def _row(self, row: int, column: str) -> pa.Scalar:
        table, place = self._read(row, _LABELS if column in _LABELS else (column,))
        return table.column(column)[place]

    def _order(self, row: int, order: np.ndarray | None = None) -> np.ndarray:
        """Where each of the pile's units is stored: a permutation, checked; `order` as in `Segment`."""
        scalar = self._row(row, "order")
        stored = np.asarray(scalar.values if scalar.is_valid and not scalar.values.null_count else [], np.int64)
        if len(stored) != self._n_units(row) or not np.array_equal(np.sort(stored), np.arange(len(stored))):
            raise PileError(f"{self._files[self._places[row][0]][1]}: the order of row {row} is no permutation of its units; publish the pile again")
        return stored if order is None else stored[order]

    def unit_values(self, row: int, column: str, order: np.ndarray | None = None) -> list[Any]:
        """`unit_ids` or `regions` of a row, in the pile's own order; `order` as in `Segment`."""
        try:
            stored = (self._segments.column(column)[row] if self.layout == "dense" else self._row(row, column)).as_py()
        except UnicodeDecodeError:
            stored = None
        if stored is None or len(stored) != self._n_units(row) or (column == "unit_ids" and None in stored):
            raise self._wrong(row, f"does not give the {column} of its {self._n_units(row)} units")
        mine = self._order(row, order) if self.layout == "sparse" else order
        return stored if mine is None else [stored[i] for i in mine]

    def _n_units(self, row: int) -> int:
        return self.facts.column("n_units")[row].as_py()

    def observed(self, row: int, order: np.ndarray | None = None) -> np.ndarray:
        """The observed runs of a row, (run, 3): unit in the pile's own order or -1, first bin, bin after the last."""
        scalar = self._segments.column("observed")[row] if self.layout == "dense" else self._row(row, "observed")
        runs = self._runs(row, scalar)
        mine = self._order(row, order) if self.layout == "sparse" else order
        if len(runs) and mine is not None:
            own = np.argsort(mine)
            runs[:, 0] = np.where(runs[:, 0] < 0, -1, own[np.maximum(runs[:, 0], 0)])
            runs = runs[np.lexsort((runs[:, 1], runs[:, 0]))]
        return runs

    def _runs(self, row: int, scalar: pa.Scalar) -> np.ndarray:
        """Stored runs as (run, 3) int64, or PileError unless all are of the row's units and bins."""
        items = scalar.values if scalar.is_valid else None
        columns = [] if items is None else items.flatten()  # a run that is empty leaves all of its places empty
        if columns and not any(c.null_count for c in columns):
            runs = np.column_stack([c.to_numpy().astype(np.int64) for c in columns])
            unit, start, stop = runs.T
            if np.all((unit >= -1) & (unit < self._n_units(row)) & (start >= 0) & (start < stop) & (stop <= self.facts.column("n_bins")[row].as_py())):
                return runs
        raise self._wrong(row, "was observed in runs that are not of its units and bins")

    def counts_into(self, row: int, out: np.ndarray, order: np.ndarray | None = None) -> None:
        """Fill (unit, bin) counts in the pile's own order; raises CountOverflow where a count does not fit."""
        if self.layout == "dense":
            out[...] = self._dense(row, out.shape) if order is None else self._dense(row, out.shape)[order]
            return
        data, offsets = self._gap_bytes(row, len(out))
        out[...] = 0
        bad = kernels.read_gaps(data, offsets, np.argsort(self._order(row, order)), out.shape[1], out)
        if bad >= 0:
            raise self._past_end(row, bad, out.shape[1])
        if bad < -1:
            raise CountOverflow(f"row {row}, unit {-2 - bad}: more than {np.iinfo(out.dtype).max} events in one bin; ask for a wider dtype")

    def events(self, row: int, shape: tuple[int, int], order: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Where a row's events lie, units in the pile's own order: (unit + 1,) offsets, (event,) int32 bins."""
        n_units, n_bins = shape
        if self.layout == "dense":
            counts = self._dense(row, shape) if order is None else self._dense(row, shape)[order]
            unit, k = np.nonzero(counts)
            n = counts[unit, k]
            return np.r_[0, np.cumsum(np.bincount(unit, n, n_units))].astype(np.int64), np.repeat(k, n).astype(np.int32)
        data, starts = self._gap_bytes(row, n_units)
        offsets, bins, bad = kernels.bins_of_gaps(data, starts, self._order(row, order), n_bins)
        if bad >= 0:
            raise self._past_end(row, bad, n_bins)
        return offsets, bins

    def _dense(self, row: int, shape: tuple[int, ...]) -> np.ndarray:
        lists = self._row(row, "spike_counts").values
        if lists is None or len(lists) != shape[0] or lists.null_count or np.any(np.diff(lists.offsets.to_numpy()) != shape[1]) or lists.flatten().null_count:
            raise PileError(f"row {row} of {self.root} is not {shape[0]} units of {shape[1]} counts; publish the pile again")
        return lists.flatten().to_numpy().reshape(shape)

    def _gap_bytes(self, row: int, n_units: int) -> tuple[np.ndarray, np.ndarray]:
        """The gap bytes of a row's units in stored order, and where each unit's begin."""
        table, place = self._read(row, ("gaps",))
        lists = table.column("gaps").chunk(0)
        first, stop = lists.offsets[place].as_py(), lists.offsets[place + 1].as_py()
        items = lists.values
        if stop - first != n_units or lists.null_count or items.null_count:  # the kernels trust these
            raise PileError(
                f"{self._files[self._places[row][0]][1]}: row {row} holds the gaps of {stop - first} units, not of {n_units}; publish the pile again"
            )
        offsets = np.frombuffer(items.buffers()[1], np.int32)[items.offset :][first : stop + 1]
        return np.frombuffer(items.buffers()[2], np.uint8) if items.buffers()[2] else np.empty(0, np.uint8), offsets

    def _past_end(self, row: int, unit: int, n_bins: int) -> PileError:
        return PileError(f"{self._files[self._places[row][0]][1]}: the gaps of row {row}, unit {unit} run past its {n_bins} bins; publish the pile again")
