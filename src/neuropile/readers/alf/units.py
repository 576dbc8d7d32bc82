"""One probe of an ALF session: its clusters as units, where they lie, how good they are, and their spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.ibl import PASSED_ALL
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf import flat, places, tables
from neuropile.readers.alf.files import Attributes, Probe
from neuropile.readers.nwb import terms as nwb_terms

#: Attributes that every complete set of clusters has: they say how many there are.
_TELLING = ("channels", "depths", "uuids")
_PASSING = "spikes.times is not there: read is passingSpikes.table, which has the {n} units that passed all tests; {left} others of clusters.* are left out"


@dataclass(frozen=True)
class Units:
    """A probe's units (`table`, ids not yet told apart from other probes'), and the spikes they come from.

    channels : the columns of its channels, which have no rows where it has none
    n_rows : how many rows of clusters the units are, one each in order; None where they are not
    """

    probe: str | None
    table: pa.Table
    times: np.ndarray
    clusters: np.ndarray
    rows: Callable[[], np.ndarray]
    channels: dict[str, pa.Array]
    n_rows: int | None
    notes: tuple[str, ...]


def read(path: Any, probe: Probe) -> Units:
    """A probe's units and its spikes, still ungrouped.

    Raises
    ------
    NoEvents : its spikes have no clusters
    UnreadableFile : times and clusters do not pair up, or a spike's cluster does not exist
    """
    where = f"{path}{f' ({probe.name})' if probe.name else ''}"
    notes: list[str] = []
    times, clusters, passing = _spikes(probe.objects, where)
    columns = alf_columns.read(probe.objects.get("clusters", {}), notes)
    ids, are_rows = _ids(columns, clusters, where)
    own = _own(columns, ids, notes)
    channels = places.of_channels(probe.objects, notes)
    table = pa.table({"unit_id": pa.array([str(i) for i in ids.tolist()], pa.string()), **_canonical(probe.name, own, channels, len(ids), notes)})
    if passing:
        occur = flat.occurring(clusters)
        notes.append(_PASSING.format(n=len(occur), left=len(ids) - len(occur)))
        table, ids, are_rows = table.take(pa.array(np.searchsorted(ids, occur))), occur, False
    return Units(probe.name, table, times, clusters, _Rows(clusters, ids), channels, len(ids) if are_rows else None, tuple(notes))


def _spikes(objects: Mapping[str, Attributes], where: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """The time and the cluster of each spike; whether they are only those of the units that passed all tests."""
    spikes, passing = objects.get("spikes", {}), objects.get("passingSpikes", {}).get("table")
    if "times" in spikes:
        if "clusters" not in spikes:
            raise NoEvents(f"{where}: sought spikes.times and spikes.clusters, found spikes.times alone: nothing says which spike is whose")
        times, numbers = alf_columns.vector(spikes["times"]), alf_columns.vector(spikes["clusters"])
    else:
        names = ("times", "clusters")
        columns = alf_columns.read({"table": passing or []}, []).get("table", {})
        found = [c.to_numpy(zero_copy_only=False) for n in names if (c := columns.get(n)) is not None and not pa.types.is_string(c.type)]
        if len(found) < len(names):
            raise NoEvents(f"{where}: sought the columns times and clusters in passingSpikes.table, found {', '.join(columns) or 'none that can be read'}")
        times, numbers = found
    clusters = flat.whole(numbers, "spikes.clusters", where)
    flat.check_lengths(times, clusters, ("spikes.times", "spikes.clusters"), where)
    return times if times.dtype.kind == "f" else times.astype(np.float64), clusters, "times" not in spikes


class _Rows:
    """The row of each spike's unit, made when it is asked for."""

    def __init__(self, clusters: np.ndarray, ids: np.ndarray) -> None:
        self._clusters, self._ids = clusters, ids

    def __call__(self) -> np.ndarray:
        return flat.rows_of(self._clusters, self._ids)


def _cluster_ids(columns: dict[str, pa.Array]) -> np.ndarray | None:
    """The clusters that a table's rows are about, where it says so and each has one row."""
    ids = alf_columns.number(columns, "cluster_id")
    if ids is None or not np.all(np.isfinite(ids) & (np.rint(ids) == ids)) or len(np.unique(ids)) < len(ids):
        return None
    return ids.astype(np.int64)


def _ids(columns: dict[str, dict[str, pa.Array]], clusters: np.ndarray, where: str) -> tuple[np.ndarray, bool]:
    """The clusters that are units, and whether they are the rows of clusters.*; else those a table names and those that occur.

    Raises
    ------
    UnreadableFile : a spike belongs to a row that clusters.* does not have
    """
    named = {a: ids for a, c in columns.items() if (ids := _cluster_ids(c)) is not None}
    n_rows = alf_columns.common_length({a: c for a, c in columns.items() if a not in named}, _TELLING)
    if n_rows is None:
        return np.unique(np.concatenate([flat.occurring(clusters), *named.values()])), False
    low, high = (int(clusters.min()), int(clusters.max())) if len(clusters) else (0, -1)
    if low < 0 or high >= n_rows:
        raise UnreadableFile(f"{where}: spikes.clusters names cluster {low if low < 0 else high}, but clusters.* has {n_rows} rows; fetch both again")
    return np.arange(n_rows), True


def _own(columns: dict[str, dict[str, pa.Array]], ids: np.ndarray, notes: list[str]) -> dict[str, pa.Array]:
    """Every column of clusters.*, a value a unit: tables that name their clusters by them, the others by row."""
    placed = {}
    for attribute, found in columns.items():
        named = _cluster_ids(found)
        if named is not None:
            row_of = {i: row for row, i in enumerate(named.tolist())}
            take = pa.array([row_of.get(i) for i in ids.tolist()], pa.int64())
            found = {n: c.take(take) for n, c in found.items()}
        placed[attribute] = found
    return alf_columns.flat(placed, len(ids), "clusters", notes)


def _canonical(probe: str | None, own: dict[str, pa.Array], channels: dict[str, pa.Array], n_units: int, notes: list[str]) -> dict[str, pa.Array]:
    """Our columns, those of them that the source can fill, then the source's own and those of each unit's channel."""
    theirs = _of_peak_channel(own, channels, notes)
    found: dict[str, pa.Array] = {} if probe is None else {"probe": pa.array([probe] * n_units, pa.string())}
    found |= {n: c for n, c in places.canonical(theirs).items() if n != "lateral_um"}
    depth = alf_columns.number(own, "depths")
    if depth is not None:
        peak = found["depth_um"].to_numpy(zero_copy_only=False).astype(np.float64) if "depth_um" in found else np.nan
        found["depth_um"] = alf_columns.nullable(np.where(np.isnan(depth), peak, depth))
    allen = alf_columns.number(own, "atlas_id")
    if allen is not None and "allen_id" not in found:
        found["allen_id"] = places.allen_ids(allen)
    region = places.regions(own)
    if region is not None:
        found["region"] = region
    elif "allen_id" in found and "region" not in found:
        found["region"] = places.acronyms(found["allen_id"])
    source = {f"channel_{n}": c for n, c in theirs.items()} | own
    return found | _quality(own, n_units) | {f"src_{n}": c for n, c in source.items()}


def _of_peak_channel(own: dict[str, pa.Array], channels: dict[str, pa.Array], notes: list[str]) -> dict[str, pa.Array]:
    """The columns of each unit's channel."""
    channel = alf_columns.number(own, "channels")
    if channel is None or not channels:
        return {}
    n_channels = len(next(iter(channels.values())))
    fine = np.isfinite(channel) & (channel >= 0) & (channel < n_channels)
    if not fine.all():
        notes.append(f"{np.count_nonzero(~fine)} clusters name a channel that channels.* does not have: their place is unknown")
    take = pa.array(np.where(fine, channel, 0).astype(np.int64), mask=~fine)
    return {n: c.take(take) for n, c in channels.items()}


def _quality(own: dict[str, pa.Array], n_units: int) -> dict[str, pa.Array]:
    """A unit is good where it passed all tests; one that failed some is not thereby multi-unit, unless its sorter said so."""
    sorter = tables.texts(own["ks2_label"]) if "ks2_label" in own else None
    words: list[str | None] = [nwb_terms.quality_of(w) for w in sorter] if sorter is not None else [None] * n_units
    label = alf_columns.number(own, "label")
    if label is not None and np.any(np.isfinite(label)):
        quality = ["good" if x >= PASSED_ALL else w if w != "good" else None for x, w in zip(label.tolist(), words, strict=True)]
        rule = "good where label is 1 (all tests passed)" + ("; else mua or noise where ks2_label says so" if sorter is not None else "")
    elif "label" in own and (told := tables.texts(own["label"])) is not None:
        quality, rule = [nwb_terms.quality_of(w) for w in told], "the word in label"
    elif any(words):
        quality, rule = words, "Kilosort's ks2_label"
    else:
        return {}
    return {"quality": pa.array(quality, pa.string()), "quality_rule": pa.array([rule] * n_units, pa.string())}
