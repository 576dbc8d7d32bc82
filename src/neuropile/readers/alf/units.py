"""One probe of an ALF session: its clusters as units, where they lie, how good they are, and their spikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf import flat, tables
from neuropile.readers.alf.files import Attributes, Probe
from neuropile.readers.nwb import terms as nwb_terms

#: Columns of text that name an area, best first; numbers under these names are someone's codes.
REGION_COLUMNS = ("acronym", "acronyms", "brainLocationAcronyms_ccf_2017", "brainLocationAcronyms", "brainAcronyms", "region")
ALLEN_ID = "brainLocationIds_ccf_2017"
#: Attributes that every complete set of clusters has: they say how many there are.
_TELLING = ("channels", "depths", "uuids")
#: Where each canonical place is in `mlapdv`: anterior-posterior, dorsal-ventral, left-right.
_AXES = {"x_um": 1, "y_um": 2, "z_um": 0}
_PASSED_ALL = 1 - 1e-6


@dataclass(frozen=True)
class Units:
    """A probe's units (`table`, ids not yet told apart from other probes'), and the spikes they come from."""

    probe: str | None
    table: pa.Table
    times: np.ndarray
    clusters: np.ndarray
    rows: Callable[[], np.ndarray]
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
    spikes = probe.objects["spikes"]
    if "clusters" not in spikes:
        raise NoEvents(f"{where}: sought spikes.times and spikes.clusters, found spikes.times alone: nothing says which spike is whose")
    times = alf_columns.vector(spikes["times"])
    if times.dtype.kind != "f":
        times = times.astype(np.float64)
    clusters = flat.whole(alf_columns.vector(spikes["clusters"]), "spikes.clusters", where)
    flat.check_lengths(times, clusters, ("spikes.times", "spikes.clusters"), where)
    columns = alf_columns.read(probe.objects.get("clusters", {}), notes)
    ids = _ids(columns, clusters, where)
    own = _own(columns, ids, notes)
    places = _places(probe.objects, own, notes)
    table = pa.table({"unit_id": pa.array([str(i) for i in ids.tolist()], pa.string()), **_canonical(probe.name, own, places, len(ids))})
    for name, column in ({f"channel_{n}": c for n, c in places.items()} | own).items():
        table = table.append_column(f"src_{name}", column)
    return Units(probe.name, table, times, clusters, _Rows(clusters, ids), tuple(notes))


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


def _ids(columns: dict[str, dict[str, pa.Array]], clusters: np.ndarray, where: str) -> np.ndarray:
    """The clusters that are units: every row of clusters.*, else those a table names, else those that occur.

    Raises
    ------
    UnreadableFile : a spike belongs to a row that clusters.* does not have
    """
    named = {a: ids for a, c in columns.items() if (ids := _cluster_ids(c)) is not None}
    n_rows = alf_columns.common_length({a: c for a, c in columns.items() if a not in named}, _TELLING)
    if n_rows is None:
        return np.unique(np.concatenate([flat.occurring(clusters), *named.values()]))
    low, high = (int(clusters.min()), int(clusters.max())) if len(clusters) else (0, -1)
    if low < 0 or high >= n_rows:
        raise UnreadableFile(f"{where}: spikes.clusters names cluster {low if low < 0 else high}, but clusters.* has {n_rows} rows; fetch both again")
    return np.arange(n_rows)


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


def _places(objects: Any, own: dict[str, pa.Array], notes: list[str]) -> dict[str, pa.Array]:
    """The columns of each unit's channel; those of the electrodes' sites, which histology made, in place of the channels'."""
    channel = alf_columns.number(own, "channels")
    if channel is None or "channels" not in objects:
        return {}
    channels = _table(objects["channels"], "channels", notes)
    if not channels:
        return {}
    n_channels = len(next(iter(channels.values())))
    sites = _table(objects.get("electrodeSites", {}), "electrodeSites", notes)
    site_of = _site_of_channel(channels, sites, n_channels)
    if sites and site_of is None:
        notes.append("electrodeSites.* do not match channels.* and are left out")
    elif sites and site_of is not None:
        channels |= {n: c.take(site_of) for n, c in sites.items() if n != "localCoordinates"}
    fine = np.isfinite(channel) & (channel >= 0) & (channel < n_channels)
    if not fine.all():
        notes.append(f"{np.count_nonzero(~fine)} clusters name a channel that channels.* does not have: their place is unknown")
    take = pa.array(np.where(fine, channel, 0).astype(np.int64), mask=~fine)
    return {n: c.take(take) for n, c in channels.items()}


def _table(attributes: Attributes, what: str, notes: list[str]) -> dict[str, pa.Array]:
    columns = alf_columns.read(attributes, notes)
    n_rows = alf_columns.common_length(columns, ("localCoordinates",))
    return {} if n_rows is None else alf_columns.flat(columns, n_rows, what, notes)


def _site_of_channel(channels: dict[str, pa.Array], sites: dict[str, pa.Array], n_channels: int) -> pa.Array | None:
    """The row of each channel's site: where both say where they lie on the probe by that, else by row; None if neither fits."""
    if not sites:
        return None
    here, there = (alf_columns.matrix(t.get("localCoordinates")) for t in (channels, sites))
    if here is None or there is None:
        return pa.array(np.arange(n_channels)) if len(next(iter(sites.values()))) == n_channels else None
    row_of = {tuple(p): row for row, p in enumerate(there.tolist())}
    rows = [row_of.get(tuple(p)) for p in here.tolist()]
    return pa.array(rows, pa.int64()) if any(r is not None for r in rows) else None


def _canonical(probe: str | None, own: dict[str, pa.Array], places: dict[str, pa.Array], n_units: int) -> dict[str, pa.Array]:
    """Our columns, those of them that the source can fill."""
    found: dict[str, pa.Array] = {}
    if probe is not None:
        found["probe"] = pa.array([probe] * n_units, pa.string())
    depth = alf_columns.number(own, "depths")
    local = _matrix(places, "localCoordinates", 2)
    if local is not None:
        depth = local[:, 1] if depth is None else np.where(np.isnan(depth), local[:, 1], depth)
    if depth is not None:
        found["depth_um"] = alf_columns.nullable(depth)
    mlapdv = _matrix(places, "mlapdv", 3)
    if mlapdv is not None:
        found |= {name: alf_columns.nullable(mlapdv[:, axis]) for name, axis in _AXES.items()}
    allen = alf_columns.number(places, ALLEN_ID)
    allen = allen if allen is not None else alf_columns.number(own, "atlas_id")
    if allen is not None:  # the left hemisphere's are negative in some files: the area is the same
        fine = np.isfinite(allen)
        found["allen_id"] = pa.array(np.abs(np.where(fine, allen, 0)).astype(np.int64), mask=~fine)
    region = next((t for c in (own, places) for n in REGION_COLUMNS if n in c and (t := tables.texts(c[n])) is not None), None)
    if region is not None:
        found["region"] = pa.array([nwb_terms.region_of(r) for r in region], pa.string())
    return found | _quality(own, n_units)


def _matrix(places: dict[str, pa.Array], name: str, width: int) -> np.ndarray | None:
    """A place's coordinates, (unit, axis), NaN for units whose channel is unknown."""
    column = places.get(name)
    if column is None or not pa.types.is_fixed_size_list(column.type) or column.type.list_size != width:
        return None
    missing = [np.nan] * width
    return np.array([missing if v is None else [np.nan if x is None else x for x in v] for v in column.to_pylist()], np.float64).reshape(-1, width)


def _quality(own: dict[str, pa.Array], n_units: int) -> dict[str, pa.Array]:
    """A unit is good where it passed all tests; one that failed some is not thereby multi-unit, unless its sorter said so."""
    sorter = tables.texts(own["ks2_label"]) if "ks2_label" in own else None
    words: list[str | None] = [nwb_terms.quality_of(w) for w in sorter] if sorter is not None else [None] * n_units
    label = alf_columns.number(own, "label")
    if label is not None and np.any(np.isfinite(label)):
        quality = ["good" if x >= _PASSED_ALL else w if w != "good" else None for x, w in zip(label.tolist(), words, strict=True)]
        rule = "good where label is 1 (all tests passed)" + ("; else mua or noise where ks2_label says so" if sorter is not None else "")
    elif "label" in own and (told := tables.texts(own["label"])) is not None:
        quality, rule = [nwb_terms.quality_of(w) for w in told], "the word in label"
    elif any(words):
        quality, rule = words, "Kilosort's ks2_label"
    else:
        return {}
    return {"quality": pa.array(quality, pa.string()), "quality_rule": pa.array([rule] * n_units, pa.string())}
