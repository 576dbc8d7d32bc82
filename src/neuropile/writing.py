"""A Recording into a session folder: ticks, tables, spikes, signals, and the marker last."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile import layout, markers, parquet, regions
from neuropile.binning import MAX_SHARE_NOT_FINITE, MAX_TICK, tick_of, to_ticks
from neuropile.digest import ContentDigest
from neuropile.errors import BadTimes, NoEvents, UnreadableFile
from neuropile.progress import QUIET, Progress
from neuropile.spans import Observed, subtract
from neuropile.types import ALL_UNITS, SIGNAL_QUANTITIES, Asset, Recording, Signal, Spans

#: Above this share of spikes outside the observed spans, the spans are probably wrong.
MAX_SHARE_OUTSIDE = 0.01
SIGNAL_CHUNK_BYTES = 1 << 20
SIGNAL_SHARD_CHUNKS = 64
#: HDF5 and numpy know wider floats than Zarr and other machines do: they are rounded to these.
_WIDEST = {"f": 8, "c": 16}


@dataclass(frozen=True)
class Provenance:
    """What a session is made of, beside the recording itself: kept in its marker."""

    dataset: str
    assets: Sequence[Asset]
    reader: str
    license: str | None = None
    citation: str | None = None
    recipe_hash: str | None = None


def write_session(recording: Recording, folder: Path, provenance: Provenance, progress: Progress = QUIET) -> dict[str, Any]:
    """Write a recording into an empty folder and return its marker, which is written last.

    Raises
    ------
    NoEvents : no unit has a single spike, or a recording of a signal not one sample
    BadTimes : more than 1 % of the times are NaN or infinite, or times do not fit the clock
    """
    trains, notes = _read_trains(recording, progress)
    n_spikes = sum(len(t) for t in trains)
    first, last = _reach(recording, trains)
    whole, observed, span_source = _observed(recording, first, last)
    spans = observed.of_any()
    if recording.quantity in SIGNAL_QUANTITIES and len(spans):
        first, last = int(spans[0, 0]), int(spans[-1, 1]) - 1
    inside = _inside(trains, observed)
    n_outside = n_spikes - int(inside.sum())
    n_misplaced = n_spikes - int(_inside(trains, whole).sum())  # those in invalid times are outside as they should be
    if n_misplaced > MAX_SHARE_OUTSIDE * n_spikes:
        notes.append(f"{n_misplaced} of {n_spikes} spikes lie outside the observed spans ({span_source}): the spans are probably wrong")

    units, filled = _units_table(recording, provenance.dataset, trains, inside, observed)
    intervals = {name: layout.conform_intervals(name, table) for name, table in sorted(recording.intervals.items())}
    intervals["observed"] = _observed_table(observed, recording.ticks_per_s)
    digest = ContentDigest()
    channels, filled["channels"] = (None, []) if recording.channels is None else _placed(recording.channels, recording, layout.CHANNEL_SCHEMA)
    said = None if channels is None else layout.emptied(channels, filled["channels"])
    digest.session((recording.quantity, recording.clock, recording.ticks_per_s), layout.emptied(units, filled["units"]), intervals, said)
    digest.spikes(trains, n_spikes)

    parquet.write(units, folder / layout.UNITS_FILE)
    if channels is not None:
        parquet.write(channels, folder / layout.CHANNELS_FILE)
    (folder / layout.INTERVALS_FOLDER).mkdir()
    for name, table in intervals.items():
        parquet.write(table, folder / layout.INTERVALS_FOLDER / f"{name}.parquet")
    edges = layout.block_edges(first, last, recording.ticks_per_s)
    _write_spikes(trains, edges, folder / layout.SPIKES_FILE)
    _write_signals(recording.signals, folder / layout.SIGNALS_FOLDER, digest)

    marker = {
        "format": layout.SESSION_KIND,
        "version": layout.VERSION,
        "dataset": provenance.dataset,
        "session_id": recording.session_id,
        "recording_id": recording.recording_id or f"{provenance.dataset}/{recording.session_id}",
        **asdict(recording.subject),
        "quantity": recording.quantity,
        "clock": recording.clock,
        "ticks_per_s": recording.ticks_per_s,
        "n_units": len(trains),
        "n_spikes": n_spikes,
        "n_spikes_outside_observed": n_outside,
        "first_tick": first,
        "last_tick": last,
        "duration_s": int(spans[-1, 1] - spans[0, 0]) / recording.ticks_per_s if len(spans) else 0.0,
        "observed_s": int((spans[:, 1] - spans[:, 0]).sum()) / recording.ticks_per_s,
        "span_source": span_source,
        "regions": sorted({r or a for r, a in zip(*(units.column(c).to_pylist() for c in ("region", "allen")), strict=True) if r or a}),
        "license": recording.license or provenance.license,
        "citation": recording.citation or provenance.citation,
        "sources": [asdict(a) for a in provenance.assets],
        "reader": provenance.reader,
        "recipe_hash": provenance.recipe_hash,
        "set_aside": recording.set_aside,
        "linked": {name: asdict(linked) for name, linked in sorted(recording.linked.items())},
        "absent": dict(sorted(recording.absent.items())),
        "filled": filled,
        "versions": {name: version(name) for name in ("neuropile", "pyarrow", "numpy", "zarr", "h5py")},
        "block_edges": edges.tolist(),
        "files": layout.file_facts(folder),
        "signals": sorted(recording.signals),
        "source": _plain(recording.source),
        "notes": notes,
        "content_digest": digest.hex(),
    }
    if wrong := markers.problem(markers.SessionMarker, marker):  # what would be refused when it is read is not written
        raise UnreadableFile(f"{recording.session_id}: no session that can be stored ({wrong}); check what the source holds")
    return layout.write_marker(marker, folder / layout.SESSION_FILE)


def index_rows(marker: Mapping[str, Any], folder: Path) -> tuple[pa.Table, pa.Table]:
    """The rows a finished session adds to the store's two indexes."""
    units = parquet.read(folder / layout.UNITS_FILE, layout.UNIT_SCHEMA.names)
    return layout.session_row(marker), units.cast(layout.UNIT_SCHEMA)


def _read_trains(recording: Recording, progress: Progress) -> tuple[list[np.ndarray], list[str]]:
    """Every unit's ticks, sorted, in the smallest integer type that holds them all; what was odd, in sentences."""
    notes = list(recording.notes)
    trains: list[np.ndarray] = []
    n_dropped = n_unsorted = n_seen = 0
    coarsest = 0.0
    source = recording.trains
    for unit in progress.track(range(source.n_units), source.n_units, f"reading {recording.session_id}"):
        times = source.read(unit)
        n_seen += times.size
        finite = times[np.isfinite(times)]
        n_unsorted += bool(np.any(finite[1:] < finite[:-1]))
        if source.kind == "ticks":
            ticks, dropped = np.sort(times.astype(np.int64)), 0
        else:
            if finite.dtype == np.float32 and finite.size:
                coarsest = max(coarsest, float(np.spacing(np.abs(finite).max())))
            ticks, dropped = to_ticks(times, recording.ticks_per_s, source.sample_rate)
        n_dropped += dropped
        trains.append(ticks.astype(np.int32) if _fits_int32(ticks) else ticks)
    if n_dropped > MAX_SHARE_NOT_FINITE * n_seen:
        raise BadTimes(f"{recording.session_id}: {n_dropped} of {n_seen} spike times are NaN or infinite, more than 1 %: not a usable recording")
    if n_dropped:
        notes.append(f"{n_dropped} of {n_seen} spike times were NaN or infinite and were dropped")
    if n_unsorted:
        notes.append(f"{n_unsorted} spike trains were not in time order and were sorted")
    if coarsest:
        notes.append(f"spike times are 32-bit floats at the source, {coarsest:.2g} s apart at the end of the recording")
    return trains, notes


def _reach(recording: Recording, trains: list[np.ndarray]) -> tuple[int, int]:
    """The ticks of the first and the last event; of a signal those of its first and last sample."""
    if recording.quantity in SIGNAL_QUANTITIES:
        return _reach_of_signal(recording)
    if not any(map(len, trains)):
        raise NoEvents(
            f"{recording.session_id}: sought spikes, found {len(trains)} units without a single one; the file holds {recording.holds or 'nothing else'}"
        )
    return min(int(t[0]) for t in trains if len(t)), max(int(t[-1]) for t in trains if len(t))


def _reach_of_signal(recording: Recording) -> tuple[int, int]:
    signal = recording.signals[recording.quantity]
    n = int(signal.data.shape[0])
    if not n:
        raise NoEvents(f"{recording.session_id}: sought {recording.quantity}, found a signal without a single sample")
    if signal.time_s is not None:
        times = np.asarray(signal.time_s[:], np.float64)
        ends = np.array([times.min(), times.max()])
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.float64(signal.start_s) + np.array([0, n - 1]) / np.float64(signal.rate_hz)
    first, last = tick_of(ends, recording.ticks_per_s).tolist()
    return first, last


def _fits_int32(ticks: np.ndarray) -> bool:
    return not ticks.size or (ticks[0] >= -(2**31) and ticks[-1] < 2**31)


def _observed(recording: Recording, first: int, last: int) -> tuple[Observed, Observed, str]:
    """The observed spans in ticks before and after invalid times are taken out, and where they come from.

    Rounded outwards, so that a spike in a span has its tick in it.
    """
    n_units = recording.trains.n_units
    spans, source = recording.observed, recording.span_source
    if spans is None or not len(spans.unit):
        each = [np.array([[first, last + 1]], np.int64)] * n_units
        source = recording.quantity if recording.quantity in SIGNAL_QUANTITIES else "spikes"
    else:
        each = _ticks_each(spans, n_units, recording.ticks_per_s, endless=(first, last + 1))
    whole = Observed.of_each(each)
    if recording.invalid is not None and len(recording.invalid.unit):
        holes = _ticks_each(recording.invalid, n_units, recording.ticks_per_s, endless=(-MAX_TICK, MAX_TICK))
        each = [subtract(s, h) for s, h in zip(each, holes, strict=True)]
        source += ", less invalid times"
    return whole, Observed.of_each(each), source


def _ticks_each(spans: Spans, n_units: int, ticks_per_s: int, endless: tuple[int, int]) -> list[np.ndarray]:
    """Each unit's spans in ticks; `endless` says where those that start or stop at infinity do."""
    start = _edge_ticks(spans.start_s, ticks_per_s, endless)
    stop = -_edge_ticks(-spans.stop_s, ticks_per_s, (-endless[1], -endless[0]))
    pairs = np.stack([start, stop], axis=1)
    shared = pairs[spans.unit == ALL_UNITS]
    if np.all(spans.unit == ALL_UNITS):
        return [shared] * n_units
    return [np.concatenate([shared, pairs[spans.unit == unit]]) for unit in range(n_units)]


def _edge_ticks(edges_s: np.ndarray, ticks_per_s: int, endless: tuple[int, int]) -> np.ndarray:
    finite = np.isfinite(edges_s)
    known = np.where(finite, edges_s, 0.0)
    return np.where(finite, tick_of(known, ticks_per_s), np.where(edges_s > 0, endless[1], endless[0]))


def _inside(trains: list[np.ndarray], observed: Observed) -> np.ndarray:
    """How many of each unit's spikes lie in its observed spans: (unit,) int64."""
    inside = np.zeros(len(trains), np.int64)
    for unit, ticks in enumerate(trains):
        bounds = np.searchsorted(ticks, observed.of(unit))
        inside[unit] = (bounds[:, 1] - bounds[:, 0]).sum()
    return inside


def _units_table(recording: Recording, dataset: str, trains: list[np.ndarray], inside: np.ndarray, observed: Observed) -> tuple[pa.Table, dict[str, list[str]]]:
    seconds = np.array([(observed.of(u)[:, 1] - observed.of(u)[:, 0]).sum() / recording.ticks_per_s for u in range(len(trains))])
    known = (seconds > 0) & (recording.quantity not in SIGNAL_QUANTITIES)  # what was not counted has no rate
    rate = np.divide(inside, seconds, out=np.full(len(trains), np.nan), where=known)
    table, columns = _placed(recording.units, recording, layout.UNIT_SCHEMA)
    filled: dict[str, Any] = {
        "dataset": pa.array([dataset] * len(trains)),
        "session_id": pa.array([recording.session_id] * len(trains)),
        "subject_id": pa.array([recording.subject.subject_id] * len(trains), pa.string()),
        "quantity": pa.array([recording.quantity] * len(trains)),
        "n_spikes": pa.array([len(t) for t in trains], pa.int64()),
        "rate_hz": pa.array(rate, mask=~known),
    }
    for name, column in filled.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table, {"units": columns}


def _placed(table: pa.Table, recording: Recording, schema: pa.Schema) -> tuple[pa.Table, list[str]]:
    """A table of units or channels with the columns of its schema, and those of them that the atlas filled and the source did not.

    What only follows from an atlas is no part of the digest: a newer atlas does not make another session.
    """
    own = layout.conform(table, schema)
    whole = layout.conform(regions.fill(table, recording.subject.species), schema)
    empty = [name for name in regions.COLUMNS if own.column(name).null_count == own.num_rows]
    return whole, [name for name in empty if whole.column(name).null_count < whole.num_rows]


def _observed_table(observed: Observed, ticks_per_s: int) -> pa.Table:
    return pa.table(
        {
            "unit": pa.array(observed.unit, pa.int32()),
            "start_tick": observed.start,
            "stop_tick": observed.stop,
            "start_s": observed.start / ticks_per_s,
            "stop_s": observed.stop / ticks_per_s,
        }
    )


def _write_spikes(trains: list[np.ndarray], edges: np.ndarray, path: Path) -> None:
    small = all(t.dtype == np.int32 for t in trains)
    tick_type, dtype = (pa.int32(), np.int32) if small else (pa.int64(), np.int64)
    cuts = np.array([np.searchsorted(t, edges) for t in trains])  # (unit, edge)
    with layout.spikes_writer(path, tick_type) as writer:
        for block in range(len(edges) - 1):
            for first, stop in _row_groups(cuts[:, block + 1] - cuts[:, block]):
                parts = [trains[u][cuts[u, block] : cuts[u, block + 1]] for u in range(first, stop)]
                unit = np.repeat(np.arange(first, stop, dtype=np.int32), [len(p) for p in parts])
                tick = np.concatenate(parts).astype(dtype, copy=False)
                writer.write_table(pa.table([unit, tick], schema=writer.schema), row_group_size=max(len(unit), 1))


def _row_groups(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Cut the units of a block into row groups of at most SPIKES_PER_ROW_GROUP spikes, or one long unit."""
    first = held = 0
    for unit, n in enumerate(counts.tolist()):
        if held and held + n > layout.SPIKES_PER_ROW_GROUP:
            yield first, unit
            first, held = unit, 0
        held += n
    if held:
        yield first, len(counts)


def _write_signals(signals: Mapping[str, Signal], folder: Path, digest: ContentDigest) -> None:
    """Each signal as a group of its own: the array under `data`, its time stamps, where irregular, under `time`."""
    if not signals:
        return
    import zarr

    root = zarr.create_group(store=str(folder), zarr_format=3)
    for name in sorted(signals):
        signal = signals[name]
        digest.text("signal", name, signal.dims, signal.unit, signal.start_s, signal.rate_hz)
        group = root.create_group(name)
        attributes = {"unit": signal.unit, "description": signal.description, "start_s": signal.start_s, "rate_hz": signal.rate_hz}
        group.attrs.update({k: v for k, v in attributes.items() if v not in (None, "")})
        _write_array(group, "data", signal.data, signal.dims, digest)
        if signal.time_s is not None:
            _write_array(group, "time", signal.time_s, ("time",), digest)


def _write_array(group: Any, name: str, data: Any, dims: tuple[str, ...], digest: ContentDigest) -> None:
    from zarr.codecs import ZstdCodec

    dtype = np.dtype(data.dtype).newbyteorder("=")
    dtype = np.dtype({"f": np.float64, "c": np.complex128}[dtype.kind]) if dtype.kind in "fc" and dtype.itemsize > _WIDEST[dtype.kind] else dtype
    row_bytes = max(dtype.itemsize * math.prod(data.shape[1:]), 1)
    rows = max(min(SIGNAL_CHUNK_BYTES // row_bytes, data.shape[0]), 1)
    chunks = (rows, *(max(n, 1) for n in data.shape[1:]))
    n_chunks = max(math.ceil(data.shape[0] / rows), 1)
    shards = (rows * min(n_chunks, SIGNAL_SHARD_CHUNKS), *chunks[1:])
    zstd = ZstdCodec(level=3, checksum=True)  # the checksum tells a flipped byte; that of a shard's index is standard
    out = group.create_array(name, shape=data.shape, dtype=dtype, chunks=chunks, shards=shards, dimension_names=dims, compressors=zstd)

    def copied() -> Iterable[np.ndarray]:
        bounds = [*range(0, data.shape[0], shards[0]), data.shape[0]]
        for start, stop in pairwise(bounds):
            part = np.asarray(data[start:stop]).astype(dtype, copy=False)
            out[start:stop] = part
            yield part

    digest.array(name, copied(), dtype.str.lstrip("<>|="), tuple(data.shape))


def _plain(value: Any) -> Any:
    """A value as JSON holds it: NaN and infinity become None, numpy's scalars Python's."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(v) for v in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
