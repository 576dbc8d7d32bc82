"""The motifs of one shard of a pile, counted exactly in bounded memory, as files of patches and counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from neuropile import parquet
from neuropile.errors import CountOverflow, PileError
from neuropile.motifs import kernels as motif_kernels
from neuropile.motifs.kernels import MAX_CELLS, MAX_COUNT, WIDE_BITS, Events, Tables, Tiles
from neuropile.paths import replacing
from neuropile.run import kept

if TYPE_CHECKING:
    from neuropile.pile import Shard
    from neuropile.segment import Segment

RUN_SCHEMA = pa.schema([pa.field("patch", pa.binary()), pa.field("count", pa.int64())])
#: Where a table begins: it fits the second-level cache of any processor of today.
_FEW_SLOTS = 1 << 12
#: A table that would grow beyond this is written out and emptied: two million motifs of narrow keys.
MAX_TABLE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Tiling:
    """How patches are laid over segments, from unit row 0 and bin 0.

    shape : (p_n, p_t), consecutive units by consecutive bins; at most 64 cells
    pad : fill what reaches over the edge of a segment with zeros; else it is left out
    clip : count a cell of more than 255 events as 255, and tell how many there were; else it is an error
    """

    shape: tuple[int, int] = (1, 10)
    pad: bool = False
    clip: bool = False

    def __post_init__(self) -> None:
        whole = len(self.shape) == 2 and all(isinstance(n, int | np.integer) for n in self.shape)
        if not whole or min(self.shape) < 1 or self.cells > MAX_CELLS:
            raise PileError(f"a patch's shape is (units, bins), each at least 1 and at most {MAX_CELLS} cells together; got {self.shape}")
        object.__setattr__(self, "shape", (int(self.shape[0]), int(self.shape[1])))

    @property
    def cells(self) -> int:
        """Cells of a patch."""
        return int(self.shape[0]) * int(self.shape[1])

    @property
    def bits(self) -> int:
        """Of a cell in a narrow key."""
        return min(64 // self.cells, 8)

    def grid(self, n_units: int, n_bins: int) -> tuple[int, int]:
        """How many rows and columns of patches a segment of such a size has."""
        p_n, p_t = self.shape
        return (-(-n_units // p_n), -(-n_bins // p_t)) if self.pad else (n_units // p_n, n_bins // p_t)


@dataclass(frozen=True)
class Totals:
    """What was counted, summed over segments.

    n_segments, n_short : segments, and those of them in which no patch fits
    n_patches, n_silent : patches counted, and those of them in which nothing fires
    n_unobserved : patches left out because they touch unobserved time
    n_edge_cells, n_padded_cells : cells left out beyond the last whole patch; zeros added to fill it
    n_clipped : cells of more than 255 events, counted as 255
    runs : files of patches and counts; a patch may come more than once
    """

    n_segments: int = 0
    n_short: int = 0
    n_patches: int = 0
    n_silent: int = 0
    n_unobserved: int = 0
    n_edge_cells: int = 0
    n_padded_cells: int = 0
    n_clipped: int = 0
    runs: tuple[str, ...] = ()


def together(parts: Sequence[Totals]) -> Totals:
    """Totals of several shards as one."""
    sums = {f.name: sum(getattr(p, f.name) for p in parts) for f in fields(Totals) if f.name != "runs"}
    return Totals(**sums, runs=tuple(name for p in parts for name in p.runs))


def count_shard(shard: Shard, *, tiling: Tiling, folder: Path) -> Totals:
    """Count a shard into files in a working folder, or take what is there from before."""
    done = kept(folder / f"{shard.index:06d}.json", partial(_count_shard, shard, tiling, folder))
    told = json.loads(done.read_text())
    return Totals(**{**told, "runs": tuple(told["runs"])})


def _count_shard(shard: Shard, tiling: Tiling, folder: Path, done: Path) -> None:
    counter = Counter(tiling, folder, f"{shard.index:06d}")
    parts = [counter.add(segment) for segment in shard.pile]
    counter.spill()
    done.write_text(json.dumps(asdict(together([*parts, Totals(runs=tuple(counter.runs))]))))


class Counter:
    """Counts patches of segments in hash tables that are written to `folder` as `name`-0.parquet, ... when they are full."""

    def __init__(self, tiling: Tiling, folder: Path, name: str) -> None:
        self.tiling, self.folder, self.name = tiling, folder, name
        self.runs: list[str] = []
        self.tables = self._empty()

    def _empty(self) -> Tables:
        wide_words = -(-self.tiling.cells * WIDE_BITS // 64)
        narrow, wide = (np.zeros((_FEW_SLOTS, words + 1), np.uint64) for words in (1, wide_words))
        return Tables(narrow, wide, np.zeros(2, np.int64))

    def add(self, segment: Segment) -> Totals:
        """Count the patches of a segment.

        Raises
        ------
        CountOverflow : a cell of a patch holds more than 255 events, and they are not to be clipped
        StoreError : its events are not in order, or outside of it
        """
        tiles = tiles_of(segment, self.tiling)
        n_patches = int((tiles.runs[:, 1] - tiles.runs[:, 0]).sum())
        p_n, p_t = self.tiling.shape
        n_cells, n_covered = segment.n_tokens, tiles.n_rows * p_n * tiles.n_columns * p_t
        fired = n_clipped = 0
        if n_patches:
            events, n_clipped = self._events(segment, tiles)
            fired = self._tally(events, tiles)
        return Totals(
            n_segments=1,
            n_short=int(not n_covered),
            n_patches=n_patches,
            n_silent=n_patches - fired,
            n_unobserved=tiles.n_rows * tiles.n_columns - n_patches,
            n_edge_cells=0 if self.tiling.pad else n_cells - n_covered,
            n_padded_cells=n_covered - n_cells if self.tiling.pad else 0,
            n_clipped=n_clipped,
        )

    def _events(self, segment: Segment, tiles: Tiles) -> tuple[Events, int]:
        """A segment's events, checked, with no more in a cell than a cell holds; how many cells of counted patches held more."""
        offsets, bins = segment.events()
        events = Events(np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(bins, np.int32))
        if len(events.offsets) != segment.n_units + 1:
            raise PileError(f"{segment!r} gives events of {len(events.offsets) - 1} units; make the pile again")
        motif_kernels.check_events(events, segment.n_bins)
        crowded = motif_kernels.crowded_cells(events, MAX_COUNT)
        if not len(crowded):
            return events, 0
        counted = [cell for cell in crowded.tolist() if _is_counted(tiles, *cell[:2])]
        if counted and not self.tiling.clip:
            unit, k, n = counted[0]
            raise CountOverflow(
                f"{segment.key}: unit {segment.unit_ids[unit]} fires {n} times in bin {k} of {segment.segment_id} "
                f"({float((segment.first_bin + k) * segment.bin_width):g} s), more than the {MAX_COUNT} of a cell; "
                "clip it (--clip, Tiling(shape, clip=True)) or make the pile with a narrower bin_width"
            )
        return clipped(events, MAX_COUNT), len(counted)

    def _tally(self, events: Events, tiles: Tiles) -> int:
        """Count, making room in the tables where there is none; how many patches fired."""
        place, fired = motif_kernels.START, 0
        while True:
            place = motif_kernels.tally(events, tiles, self.tiling.bits, self.tables, place)
            fired += place.n_fired
            if place.full < 0:
                return fired
            self._make_room(place.full)

    def _make_room(self, full: int) -> None:
        slots = self.tables[full]
        if 4 * slots.nbytes > MAX_TABLE_BYTES:
            self.spill()
        else:
            more = motif_kernels.grown(slots, 4 * len(slots))
            self.tables = self.tables._replace(**{Tables._fields[full]: more})

    def spill(self) -> None:
        """Write what the tables hold to a new file, and empty them."""
        if self.tables.used.any():
            run = f"{self.name}-{len(self.runs)}.parquet"
            with replacing(self.folder / run) as temporary, run_writing(temporary) as writer:
                for slots, bits in ((self.tables.narrow, self.tiling.bits), (self.tables.wide, WIDE_BITS)):
                    writer.write_table(run_table(*motif_kernels.as_bytes(slots, bits, self.tiling.cells)))
            self.runs.append(run)
        self.tables = self._empty()


def clipped(events: Events, limit: int) -> Events:
    """The same events with at most `limit` of them in a cell."""
    unit = np.repeat(np.arange(len(events.offsets) - 1), np.diff(events.offsets))
    keep = np.ones(len(unit), bool)
    keep[limit:] = (events.bins[limit:] != events.bins[:-limit]) | (unit[limit:] != unit[:-limit])
    return Events(np.searchsorted(unit[keep], np.arange(len(events.offsets))), events.bins[keep])


def run_writing(path: Path) -> Any:
    """A writer of a file of patches and counts."""
    return parquet.writing(path, RUN_SCHEMA, compression="zstd", compression_level=1, use_dictionary=False)


def run_table(patches: np.ndarray, counts: np.ndarray) -> pa.Table:
    """(motif, cell) uint8 patches and (motif,) int64 counts as Arrow."""
    ends = np.arange(len(patches) + 1, dtype=np.int32) * patches.shape[1]
    held = pa.Array.from_buffers(pa.binary(), len(patches), [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(patches))])
    return pa.table([held, pa.array(counts)], schema=RUN_SCHEMA)


def tiles_of(segment: Segment, tiling: Tiling) -> Tiles:
    """How patches lie in a segment, and which of them are observed."""
    n_rows, n_columns = tiling.grid(segment.n_units, segment.n_bins)
    observed = np.ascontiguousarray(segment.observed, np.int64).reshape(-1, 3)
    p_n, p_t = tiling.shape
    if np.all(observed[:, 0] < 0):  # all units alike: so are all rows of patches
        of_one = _in_order(np.column_stack([np.zeros(len(observed), np.int64), observed[:, 1:]]))
        _, runs = motif_kernels.patch_runs(of_one, (1, n_columns), 1, segment.n_bins, (1, p_t))
        return Tiles(p_n, p_t, n_rows, n_columns, np.arange(n_rows + 1) * len(runs), np.tile(runs, (n_rows, 1)))
    shared = observed[observed[:, 0] < 0]
    everyone = np.repeat(np.arange(segment.n_units), len(shared))
    of_each = np.concatenate([observed[observed[:, 0] >= 0], np.column_stack([everyone, np.tile(shared[:, 1:], (segment.n_units, 1))])])
    return Tiles(p_n, p_t, n_rows, n_columns, *motif_kernels.patch_runs(_in_order(of_each), (n_rows, n_columns), segment.n_units, segment.n_bins, (p_n, p_t)))


def _in_order(observed: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(observed[np.lexsort((observed[:, 1], observed[:, 0]))])


def _is_counted(tiles: Tiles, unit: int, k: int) -> bool:
    """Whether the cell of a unit and a bin lies in an observed patch."""
    row, column = unit // tiles.p_n, k // tiles.p_t
    if row >= tiles.n_rows or column >= tiles.n_columns:
        return False
    runs = tiles.runs[tiles.run_offsets[row] : tiles.run_offsets[row + 1]]
    return bool(np.any((runs[:, 0] <= column) & (column < runs[:, 1])))
