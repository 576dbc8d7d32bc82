"""The voltage series of an NWB file, in HDF5 or Zarr: found, named, with their channels and clocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from neuropile.errors import UnreadableFile
from neuropile.readers.nwb import electrodes, intervals, tables, terms, tree
from neuropile.voltage.clocks import Clock, Even, Stamped

_MAX_DEPTH = 4
#: Of an array stored in chunks so many values are held at a time, whole chunks of rows.
_BLOCK_VALUES = 4 << 20
#: Chunks are unpacked whole; neuroconv's have 10 MB, and one of more than this is a damaged header.
_MAX_CHUNK_BYTES = 1 << 30
#: Tags of invalid times of every probe.
_TOLD_OF_ALL = ("all_probes", "all")


@dataclass(frozen=True)
class Stored:
    """The values of a series: (time, channel) numbers, which times a channel's scale plus an offset are volts."""

    data: Any
    scale: np.ndarray
    offset: float

    @property
    def n_samples(self) -> int:
        """Rows."""
        return int(self.data.shape[0])

    @property
    def dtype(self) -> np.dtype:
        """Of a stored value."""
        return np.dtype(self.data.dtype)

    def blocks(self, first: int, last: int, columns: np.ndarray) -> Iterator[np.ndarray]:
        """The samples [first, last) of some channels, some samples at a time: (sample, channel) each.

        Of an array in chunks only those that hold the channels are read. Rows of one that is not lie one behind the
        other, and are read whole.
        """
        chunks = _chunks(self.data)
        by_column = self.data.ndim == 2 and chunks is not None and columns.size
        wide = self.data.shape[1] if self.data.ndim == 2 else 1
        step = max(_BLOCK_VALUES // (len(columns) if by_column else wide), 1)
        if chunks is not None:
            step = -(-step // chunks[0]) * chunks[0]
        wanted = np.unique(columns)
        place = np.searchsorted(wanted, columns)
        values = tree.Later(self.data)
        edges = [first, *range((first // step + 1) * step, last, step), last] if last > first else []
        for a, b in pairwise(edges):
            if by_column:
                yield values[a:b, _as_slice(wanted)][:, place]
            else:
                yield values[a:b].reshape(b - a, -1)[:, columns]


def _chunks(array: tree.Array) -> tuple[int, ...] | None:
    """The shape of an array's chunks, None where it is stored in one piece.

    Raises
    ------
    UnreadableFile : a chunk announces more than any has
    """
    chunks = array.layout.chunks if hasattr(array, "layout") else array.chunks
    if chunks is not None and math.prod(chunks) * array.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise UnreadableFile(f"{array.file.filename}: {array.name} is stored in chunks of {chunks}, which none are: it is damaged; fetch the file again")
    return chunks


def _as_slice(wanted: np.ndarray) -> slice | np.ndarray:
    """Channels side by side, or evenly apart, as a slice: one request to the library instead of one each."""
    steps = np.diff(wanted)
    if steps.size and (steps != steps[0]).any():
        return wanted
    return slice(int(wanted[0]), int(wanted[-1]) + 1, int(steps[0]) if steps.size else 1)


def find(file: tree.Group, kinds: tuple[str, ...] = ("ElectricalSeries",)) -> dict[str, tree.Group]:
    """Every voltage series of acquisition and processing, containers opened, by the shortest end of its path that no other has."""
    met = tree.Met()
    found: dict[str, tree.Group] = {}
    for top in ("acquisition", "processing"):
        group = tree.member(file, top)
        if tree.is_group(group) and met.is_new(group):
            found |= {s.name.strip("/"): s for s in _below(group, 0, met, kinds)}
    return {_short(path, list(found)): series for path, series in found.items()}


def _below(group: tree.Group, depth: int, met: tree.Met, kinds: tuple[str, ...]) -> Iterator[tree.Group]:
    for _, child in tree.members(group):
        if not tree.is_group(child) or "colnames" in child.attrs or not met.is_new(child):
            continue
        if tree.kind(child) in kinds and tree.is_array(tree.member(child, "data")):
            yield child
        elif depth < _MAX_DEPTH:
            yield from _below(child, depth + 1, met, kinds)


def _short(path: str, paths: list[str]) -> str:
    parts = path.split("/")
    ends = ["/".join(parts[-n:]) for n in range(1, len(parts) + 1)]
    return next(e for e in ends if sum(p == e or p.endswith(f"/{e}") for p in paths) == 1)


def choose(found: dict[str, tree.Group], series: str | None, file: tree.Group) -> str:
    """The name of the one series, or of the one asked for by its name or its path.

    Raises
    ------
    UnreadableFile : there is none, or none so called, or several and nobody says which
    """
    where = file.filename
    if not found:
        outside = [f"{top}/{n}" for top in ("acquisition", "processing") if tree.is_group(g := tree.member(file, top)) for n in _names(g)]
        raise UnreadableFile(f"{where}: sought an ElectricalSeries (voltage), found none; it holds {', '.join(outside[:20]) or 'nothing there'}")
    if series is None:
        if len(found) > 1:
            raise UnreadableFile(f"{where}: holds {len(found)} voltage series; name one, as series={next(iter(found))!r}: {', '.join(found)}")
        return next(iter(found))
    asked = series.strip("/")
    fits = [n for n, s in found.items() if asked in (n, s.name.strip("/"), s.name.rsplit("/", 1)[-1])]
    if len(fits) != 1:
        raise UnreadableFile(f"{where}: {'no' if not fits else 'more than one'} voltage series {series!r}; there are {', '.join(found)}")
    return fits[0]


def _names(group: tree.Group) -> list[str]:
    return [n for n, _ in tree.members(group)] + [f"{n} (in another file, not followed)" for n in tree.links_out(group)]


def stored(series: tree.Group) -> Stored:
    """The values of a series and what makes volts of them.

    Raises
    ------
    UnreadableFile : they are no numbers, or of a size not to be believed, or conversions do not fit them
    """
    where = f"{series.file.filename}: {series.name}"
    data = tree.member(series, "data")
    if data.dtype.kind not in "iuf" or data.ndim not in (1, 2) or not math.prod(data.shape):
        raise UnreadableFile(f"{where}/data holds {data.dtype} of shape {data.shape}; sought numbers, time x channel")
    _chunks(data)
    n_channels = data.shape[1] if data.ndim == 2 else 1
    scale = np.full(n_channels, _attribute(data, "conversion", 1.0, where))
    own = tree.member(series, "channel_conversion")
    if tree.is_array(own):
        if own.shape != (n_channels,) or own.dtype.kind not in "iuf":
            raise UnreadableFile(f"{where}/channel_conversion has shape {own.shape} for {n_channels} channels")
        scale = scale * np.asarray(tree.values(own), np.float64)
    return Stored(data, scale, _attribute(data, "offset", 0.0, where))


def _attribute(data: Any, name: str, default: float, where: str) -> float:
    try:
        found = float(np.asarray(data.attrs.get(name, default), np.float64).reshape(-1)[0])
    except (TypeError, ValueError, IndexError):
        found = float("nan")
    if not np.isfinite(found):
        raise UnreadableFile(f"{where}/{data.name.rsplit('/', 1)[-1]}: its {name} is no number")
    return found


def clock(series: tree.Group) -> Clock:
    """When the samples of a series were taken: by its time stamps, none of them read but a few, or its start and rate."""
    where = f"{series.file.filename}: {series.name}"
    n_samples = int(tree.member(series, "data").shape[0])
    stamps, start = tree.member(series, "timestamps"), tree.member(series, "starting_time")
    if tree.is_array(stamps):
        if stamps.ndim != 1 or stamps.dtype.kind not in "iuf":
            raise UnreadableFile(f"{where}/timestamps holds {stamps.dtype} of shape {stamps.shape}; sought one row of seconds")
        if stamps.shape[0] != n_samples:
            raise UnreadableFile(f"{where} has {n_samples} samples and {stamps.shape[0]} time stamps; fetch the file again, or ask who wrote it")
        tree.check_size(stamps)
        _chunks(stamps)
        return Stamped(tree.Later(stamps), f"{where}/timestamps")
    if not tree.is_array(start) or start.size != 1:
        raise UnreadableFile(f"{where} has neither timestamps nor a starting_time: nothing says when its samples were taken")
    return Even(n_samples, _attribute(start, "rate", float("nan"), where), float(np.asarray(start[()]).reshape(-1)[0]), where)


def channels(series: tree.Group) -> pd.DataFrame:
    """A row a channel of a series: the canonical columns first, then the electrodes' own as `src_*`."""
    file = series.file
    n_channels = (*tree.member(series, "data").shape, 1)[1]
    region = tree.member(series, "electrodes")
    table, _ = electrodes.channels(file)
    if table is None or not tree.is_array(region) or region.dtype.kind not in "iu" or region.shape != (n_channels,):
        return pd.DataFrame({"channel_id": [str(i) for i in range(n_channels)]})
    rows = np.asarray(tree.values(region), np.int64)
    if rows.min() < 0 or rows.max() >= table.num_rows:
        raise UnreadableFile(f"{file.filename}: {series.name}/electrodes points to rows {rows.min()} to {rows.max()} of {table.num_rows} electrodes")
    return table.take(rows).to_pandas()


def invalid(file: tree.Group, probe: str | None) -> np.ndarray:
    """The file's invalid times that touch a probe's voltage: (span, 2) seconds. Tags name probes, or something else that failed."""
    group = tree.member(file, "intervals/invalid_times")
    if not tree.is_group(group):
        return np.empty((0, 2))
    table, _ = tables.read(group)
    if not {"start_time", "stop_time"} <= set(table.column_names):
        return np.empty((0, 2))
    return touching(table.to_pylist(), probe)


def touching(rows: list[dict[str, Any]], probe: str | None) -> np.ndarray:
    """The invalid times, of rows with start, stop and tags, that no tag says are of something else: (span, 2) seconds."""
    found = []
    for row in rows:
        start, stop = (next((row[c] for c in names if row.get(c) is not None), None) for names in (("start_time", "start_s"), ("stop_time", "stop_s")))
        tags: Any = next((row[c] for c in ("tags", "src_tags") if row.get(c) is not None), [])
        words = [t.lower() for t in intervals.tags_of(list(tags) if isinstance(tags, list | np.ndarray) else tags)]
        own = not words or any(w in _TOLD_OF_ALL or (probe is not None and intervals.mentions(w, probe)) for w in words)
        other = all(any(n in w for n in terms.NOT_NEURAL) for w in words) or any(w.startswith("probe") for w in words)
        if start is not None and stop is not None and start <= stop and (own or not other):
            found.append((float(start), float(stop)))
    return np.array(found, np.float64).reshape(-1, 2)
