"""The motifs of a pile: how often every unique patch of its counts occurs, exactly, as a table of patches by rank."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import parquet
from neuropile.errors import PileError, RunError, StoreError, UnreadableFile
from neuropile.motifs.counting import RUN_SCHEMA, Tiling, Totals, count_shard, run_table, together
from neuropile.motifs.kernels import MAX_CELLS
from neuropile.paths import replacing
from neuropile.progress import QUIET, Progress
from neuropile.run import SERIAL, Engine, map_combine, working

if TYPE_CHECKING:
    import pandas as pd

    from neuropile.pile import Pile

__all__ = ["MotifTable", "Tiling", "count", "open_table"]

KIND = "neuropile motifs"
VERSION = 1
SCHEMA = pa.schema([*RUN_SCHEMA, pa.field("probability", pa.float64())])
ROWS_PER_GROUP = 100_000
#: What DuckDB may take for the merge; what does not fit lies in the working folder meanwhile.
MERGE_MEMORY = "600MB"
#: Ranks of which the table tells how many patches they and those before them cover: 1, 2, 5, 10, 20, ...
_RANKS = np.array([m * 10**k for k in range(12) for m in (1, 2, 5)])


@dataclass(frozen=True)
class MotifTable:
    """A file of motifs by rank, read when it is asked.

    meta : of what pile, and how, they were counted; see `docs/explain/motifs.md`
    """

    path: Path
    meta: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Units and bins of a patch."""
        return self.meta["shape"][0], self.meta["shape"][1]

    @property
    def n_unique(self) -> int:
        """How many different motifs there are."""
        return self.meta["n_unique"]

    @property
    def n_patches(self) -> int:
        """How many patches were counted."""
        return self.meta["n_patches"]

    @property
    def silent_share(self) -> float:
        """The share of patches in which nothing fires."""
        return self.meta["n_silent"] / self.n_patches

    def coverage(self) -> dict[int, float]:
        """The share of patches that the first so many motifs cover, by how many: 1, 2, 5, 10, ... and all."""
        return {rank: n / self.n_patches for rank, n in self.meta["covered"]}

    def top(self, k: int) -> pd.DataFrame:
        """The k most frequent motifs, a row each by rank from 0: patch (bytes, unit-major, one a cell), count, probability."""
        return self._read(k).to_pandas()

    def to_pandas(self) -> pd.DataFrame:
        """All motifs; see `top`."""
        return self.top(self.n_unique)

    def patches(self, k: int | None = None) -> np.ndarray:
        """The k most frequent motifs, by default all, as counts: (motif, unit, bin) uint8."""
        data = b"".join(self._read(self.n_unique if k is None else k).column("patch").to_pylist())
        return np.frombuffer(data, np.uint8).reshape(-1, *self.shape)

    def _read(self, k: int) -> pa.Table:
        tables, held = [], 0
        try:
            file = parquet.opened(self.path)
            for group in range(file.metadata.num_row_groups):
                if held < k:
                    tables.append(file.read_row_group(group).select(SCHEMA.names).cast(SCHEMA))
                    _check_motifs(tables[-1], self.shape, self.n_patches)
                    held += tables[-1].num_rows
        except (StoreError, *parquet.ERRORS) as e:
            raise _unreadable(self.path, e) from None
        return pa.concat_tables([SCHEMA.empty_table(), *tables]).slice(0, max(k, 0))

    def __repr__(self) -> str:
        return (
            f"<MotifTable {self.path}: {self.n_unique} motifs of {self.shape[0]} x {self.shape[1]} in {self.n_patches} patches, {self.silent_share:.1%} silent>"
        )


def count(
    pile: Pile,
    shape: tuple[int, int] | Tiling = (1, 10),
    *,
    out: str | Path,
    replace: bool = False,
    engine: Engine = SERIAL,
    progress: Progress = QUIET,
) -> MotifTable:
    """Count every unique patch of a pile's counts, and write them by rank.

    Patches do not overlap; they are tiled over each segment from its first unit and bin. Those that touch unobserved time
    are left out, and what reaches over an edge too; both are told in the table's `meta`. The result is the same
    whatever the engine, and a run that was killed or met a damaged session goes on from what it had done.

    Parameters
    ----------
    shape : (p_n, p_t), units and bins of a patch, at most 64 cells; a Tiling to pad edges or clip counts above 255
    out : the new file, Parquet; a working folder lies beside it meanwhile

    Raises
    ------
    PileError : the pile is empty or mixes bin widths, no patch fits or is observed, the shape is none, or `out` exists
    RunError : some sessions could not be counted; the message names them
    """
    tiling = shape if isinstance(shape, Tiling) else Tiling(shape)
    out = Path(out)
    _check(pile, tiling)
    if out.is_dir() or (out.exists() and not replace):
        raise PileError(f"{out} exists; give another name, or --replace (replace=True) to write it anew")
    made_of = {"pile": pile.digest, "shape": list(tiling.shape), "pad": tiling.pad, "clip": tiling.clip}
    with working(out, json.dumps([KIND, VERSION, made_of])) as folder:
        job = partial(count_shard, tiling=tiling, folder=folder.resolve())
        totals = map_combine(pile.shards(), job, together, engine=engine, progress=progress, label="counting motifs").whole("counting motifs")
        if totals.n_patches:
            with replacing(out) as temporary:
                _write(temporary, folder, totals, {**made_of, **_facts(pile)})
    if not totals.n_patches:
        raise PileError(f"all {totals.n_unobserved} patches of {_name(tiling)} touch unobserved time; take a smaller shape")
    return open_table(out)


def open_table(path: str | Path) -> MotifTable:
    """Open a file that `count` wrote; its motifs are read when they are asked for.

    Raises
    ------
    UnreadableFile : there is none, it is damaged, or a newer neuropile wrote it
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableFile(f"{path}: no such table of motifs; make one with: neuropile motifs PILE --out {path}")
    try:
        file = parquet.opened(path)
        meta = json.loads((file.metadata.metadata or {})[b"neuropile"])
        if meta["format"] != KIND:
            raise ValueError(f"it says it is {meta['format']!r}")
        if meta["version"] != VERSION:
            raise UnreadableFile(f"{path} was written in format {meta['version']!r}; this neuropile reads format {VERSION}: upgrade neuropile")
        _check_meta(meta)
        if file.metadata.num_rows != meta["n_unique"]:
            raise ValueError(f"it holds {file.metadata.num_rows} motifs and speaks of {meta['n_unique']}")
    except (StoreError, TypeError, RecursionError, *parquet.ERRORS) as e:
        raise _unreadable(path, e) from None
    return MotifTable(path, meta)


def _check_meta(meta: dict[str, Any]) -> None:
    """Raise ValueError where what a table tells of itself cannot be, or TypeError."""
    p_n, p_t = meta["shape"]
    n_patches, n_unique, n_silent, covered = (meta[name] for name in ("n_patches", "n_unique", "n_silent", "covered"))
    if not all(type(n) is int and 0 < n < 2**63 for n in (p_n, p_t, n_patches, n_unique)) or p_n * p_t > MAX_CELLS:
        raise ValueError("it holds no patches")
    if type(n_silent) is not int or not 0 <= n_silent <= n_patches:
        raise ValueError(f"of {n_patches} patches it calls {n_silent!r} silent")
    whole = isinstance(covered, list) and all(isinstance(c, list) and len(c) == 2 and all(type(n) is int and n > 0 for n in c) for c in covered)
    if not whole or any(a >= b for pair in pairwise(covered) for a, b in zip(*pair, strict=True)):
        raise ValueError("it does not tell how many patches the first motifs cover")
    if covered[-1:] != [[n_unique, n_patches]]:
        raise ValueError(f"it does not tell that its {n_unique} motifs cover its {n_patches} patches")


def _check_motifs(table: pa.Table, shape: tuple[int, int], n_patches: int) -> None:
    """Raise ValueError where rows of a table are not motifs of such a shape with the counts they can have."""
    cells, patches = shape[0] * shape[1], table.column("patch")
    if patches.null_count or (len(patches) and pc.min_max(pc.binary_length(patches)).as_py() != {"min": cells, "max": cells}):
        raise ValueError(f"it holds patches that are not of {shape[0]} x {shape[1]} cells, a byte each")
    if table.column("count").null_count or table.column("probability").null_count:
        raise ValueError("it holds motifs without a count or probability")
    counts = table.column("count").to_numpy()
    if len(counts) and (not 1 <= counts.min() <= counts.max() <= n_patches or np.any(np.diff(counts) > 0)):
        raise ValueError(f"counts go from {counts.max()} to {counts.min()}, out of order or not from 1 to its {n_patches} patches")
    if not np.array_equal(table.column("probability").to_numpy(), counts / n_patches):
        raise ValueError(f"its probabilities are not its counts in {n_patches} patches")


def _unreadable(path: Path, why: Exception) -> UnreadableFile:
    return UnreadableFile(f"{path} is not a table of motifs, or is damaged ({why}); make one with: neuropile motifs PILE --out NAME.parquet")


def _name(tiling: Tiling) -> str:
    return f"{tiling.shape[0]} units x {tiling.shape[1]} bins"


def _check(pile: Pile, tiling: Tiling) -> None:
    """Raise PileError where there is nothing to count, before anything is read."""
    if not len(pile):
        raise PileError("the pile has no segments, so no motifs; choose another split, or make the pile with more sessions")
    units, bins = (pile.table.column(c).to_numpy() for c in ("n_units", "n_bins"))
    p_n, p_t = tiling.shape
    if not tiling.pad and not np.any((units >= p_n) & (bins >= p_t)):
        raise PileError(f"no segment holds a patch of {_name(tiling)}: they have up to {units.max()} units and up to {bins.max()} bins; take a smaller shape")
    widths = sorted(set(zip(*(pile.table.column(c).to_pylist() for c in ("bin_num", "bin_den")), strict=True)))
    if len(widths) > 1:
        told = ", ".join(f"{a}/{b}" for a, b in widths[:3])
        raise PileError(f"the pile mixes bin widths ({told} s): their motifs are not the same thing; count a pile of each")


def _facts(pile: Pile) -> dict[str, Any]:
    """What the table tells about its pile."""
    return {
        "splits": sorted(set(pile.table.column("split").to_pylist())),
        "datasets": sorted(set(pile.table.column("dataset").to_pylist())),
        "quantities": sorted(set(pile.table.column("quantity").to_pylist())),
        "bin_width": str(pile[0].bin_width),
        "n_tokens": pile.n_tokens,
    }


def _write(path: Path, folder: Path, totals: Totals, facts: dict[str, Any]) -> None:
    """Merge what the shards counted into the table."""
    told = {name: n for name, n in vars(totals).items() if name != "runs"}
    metadata: dict[str, str] = {}
    encodings = {"patch": "PLAIN", "count": "DELTA_BINARY_PACKED", "probability": "BYTE_STREAM_SPLIT"}
    options = {"compression": "zstd", "compression_level": 3, "use_dictionary": False, "column_encoding": encodings}
    n_unique = n_patches = 0
    covered: list[list[int]] = []
    with parquet.writing(path, SCHEMA, metadata=metadata, **options) as writer:
        for table in regrouped(_merged(folder, totals, facts["shape"]), ROWS_PER_GROUP):
            counts = table.column("count").to_numpy()
            so_far = n_patches + np.cumsum(counts)
            ranks = _RANKS[np.searchsorted(_RANKS, n_unique, "right") : np.searchsorted(_RANKS, n_unique + len(counts), "right")]
            covered += [[int(rank), int(so_far[rank - n_unique - 1])] for rank in ranks]
            writer.write_table(table.append_column("probability", pa.array(counts / totals.n_patches)))
            n_unique, n_patches = n_unique + len(counts), int(so_far[-1])
        if n_patches != totals.n_patches:  # never seen; it would be a fault in the code or the merge
            raise RunError(f"the merged motifs occur {n_patches} times, not {totals.n_patches}; remove {folder} and run again")
        if not covered or covered[-1][0] != n_unique:
            covered.append([n_unique, n_patches])
        metadata["neuropile"] = json.dumps({"format": KIND, "version": VERSION, **facts, "n_unique": n_unique, **told, "covered": covered})


def _merged(folder: Path, totals: Totals, shape: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Each motif once with its count, the most frequent first, equally frequent ones by their bytes.

    DuckDB does it, which spills to disk what exceeds its memory.
    """
    import duckdb

    memory: dict[str, Any] = {"memory_limit": MERGE_MEMORY, "temp_directory": str(folder / "merge"), "threads": 1, "preserve_insertion_order": False}
    query = "select patch, sum(count)::bigint as count from runs group by patch order by count desc, patch"
    try:
        with duckdb.connect(config=memory) as connection:
            connection.execute("set enable_progress_bar = false")  # it would stand on standard output, among what a program reads
            connection.register("runs", pa.RecordBatchReader.from_batches(RUN_SCHEMA, _runs(folder, totals, shape)))
            yield from pa.RecordBatchReader.from_stream(connection.sql(query))
    except (duckdb.Error, pa.ArrowException) as e:
        raise RunError(
            f"the motifs that were counted in {folder} cannot be merged ({e}); make room on the disk, or remove that folder, and run again"
        ) from None


def _runs(folder: Path, totals: Totals, shape: Sequence[int]) -> Iterator[pa.RecordBatch]:
    if totals.n_silent:
        yield from run_table(np.zeros((1, shape[0] * shape[1]), np.uint8), np.array([totals.n_silent])).to_batches()
    for name in totals.runs:
        yield from parquet.opened(folder / name).iter_batches(batch_size=100_000)


def regrouped(batches: Iterable[pa.RecordBatch], n_rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of so many, so that a file does not depend on how they came."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        while sum(b.num_rows for b in held) >= n_rows:
            table = pa.Table.from_batches(held)
            yield table.slice(0, n_rows).combine_chunks()
            held = table.slice(n_rows).to_batches()
    if any(b.num_rows for b in held):
        yield pa.Table.from_batches(held).combine_chunks()
