"""The units of a Kilosort or phy folder: its tables by cluster, their labels, and where each lies on the probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers import npy
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf import flat as alf_flat
from neuropile.readers.alf import tables as alf_tables
from neuropile.readers.nwb import terms as nwb_terms

#: What phy calls a cluster's number.
_ID_COLUMNS = ("cluster_id", "id")
#: Templates are looked at so many values at a time: an array of all may not fit memory.
_TEMPLATE_VALUES = 1 << 23


def tables(files: dict[str, Any], notes: list[str]) -> dict[int, dict[str, Any]]:
    """What the cluster_*.tsv and .csv files say of each cluster; a file of its own goes before cluster_info, which repeats them.

    Raises nothing: a table that is damaged is noted and left out.
    """
    said: dict[int, dict[str, Any]] = {}
    for name in sorted(files, key=lambda n: (n.startswith("cluster_info"), n.endswith(".csv"), n)):
        if not (name.startswith("cluster_") and name.endswith((".tsv", ".csv"))):
            continue
        try:
            columns = alf_tables.read(files[name])
        except UnreadableFile as e:
            notes.append(f"left out: {str(e).replace(str(files[name]), name)}")
            continue
        key = next((c for c in _ID_COLUMNS if c in columns and pa.types.is_integer(columns[c].type)), None)
        if key is None:
            notes.append(f"left out: {name} names no clusters (it has {', '.join(columns) or 'nothing'})")
            continue
        names = [c for c in columns if c != key and c]
        values = [columns[c].to_pylist() for c in names]
        for row, cluster in enumerate(columns[key].to_pylist()):
            if cluster is not None:
                own = said.setdefault(cluster, {})
                for column, each in zip(names, values, strict=True):
                    own.setdefault(column, each[row])
    return said


def table(ids: np.ndarray, said: dict[int, dict[str, Any]], peaks: Peaks | None) -> pa.Table:
    """The units: their ids, labels and places, then every column of the folder's own."""
    n = len(ids)
    rows = [said.get(i, {}) for i in ids.tolist()]
    columns: dict[str, pa.Array] = {"unit_id": pa.array([str(i) for i in ids.tolist()], pa.string())}
    own = {c: _column([r.get(c) for r in rows]) for c in dict.fromkeys(c for r in said.values() for c in r)}
    depth = alf_columns.number(own, "depth")
    depth = np.full(n, np.nan) if depth is None else depth
    if peaks is not None:
        depth = np.where(np.isnan(depth), peaks.depth_um, depth)
        columns["src_peak_channel"] = peaks.channel
    if not np.isnan(depth).all():
        columns["depth_um"] = alf_columns.nullable(depth)
    return pa.table(columns | _quality(rows) | {f"src_{c}": v for c, v in own.items()})


def _column(values: list[Any]) -> pa.Array:
    """Values as they were typed in their files; where files disagree about the type, as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())


def _quality(rows: list[dict[str, Any]]) -> dict[str, pa.Array]:
    """phy's group, which a person gave, before Kilosort's own label; a group of `unsorted` says nothing."""
    words: list[str | None] = []
    rules: list[str | None] = []
    for row in rows:
        source = next((c for c in ("group", "KSLabel") if row.get(c) is not None), None)
        words.append(None if source is None else nwb_terms.quality_of(row[source]))
        rules.append({"group": "phy's group", "KSLabel": "Kilosort's KSLabel", None: None}[source])
    return {"quality": pa.array(words, pa.string()), "quality_rule": pa.array(rules, pa.string())} if any(rules) else {}


class Peaks:
    """Where each unit is largest: `channel` (unit,) of the raw file, `depth_um` (unit,), NaN where unknown."""

    def __init__(self, channel: np.ndarray, depth_um: np.ndarray) -> None:
        self.depth_um = depth_um
        self.channel = pa.array(np.maximum(channel, 0), mask=channel < 0)


def peaks(files: dict[str, Any], template_of: Callable[[int], np.ndarray], notes: list[str]) -> Peaks | None:
    """Each unit's place, from the channel its template is largest on; None where the folder does not say.

    template_of : told how many templates there are, gives each unit's, -1 where it has none
    """
    if "templates.npy" not in files or "channel_positions.npy" not in files:
        return None
    try:
        templates, positions = npy.load(files["templates.npy"]), npy.load(files["channel_positions.npy"])
        if templates.ndim != 3 or templates.dtype.kind not in "iuf" or positions.ndim != 2 or positions.shape[1] < 2 or positions.dtype.kind not in "iuf":
            raise UnreadableFile(f"templates.npy has shape {templates.shape} and channel_positions.npy {positions.shape}")
        channel_map = npy.vector(files["channel_map.npy"]) if "channel_map.npy" in files else np.arange(len(positions))
        local = _largest(templates, _unwhitening(files, templates.shape[2]))
        if "templates_ind.npy" in files and templates.shape[2] < len(channel_map):  # stored on the channels near each
            near = npy.load(files["templates_ind.npy"])
            local = np.where(local >= 0, near[np.arange(len(local)), np.maximum(local, 0)], -1)
    except (UnreadableFile, IndexError, ValueError) as e:
        notes.append(f"depths unknown: {_without_folder(e, files)}")
        return None
    template = template_of(len(templates))
    peak = np.where(template >= 0, local[np.maximum(template, 0)], -1).astype(np.int64) if len(local) else np.full(len(template), -1)
    peak[peak >= len(channel_map)] = -1
    raw = np.where(peak >= 0, channel_map[np.maximum(peak, 0)], -1).astype(np.int64) if len(channel_map) else peak
    place = peak if len(positions) == len(channel_map) else raw  # positions of the sorted channels, or of all in the raw file
    fine = (place >= 0) & (place < len(positions))
    depth = np.where(fine, positions[np.where(fine, place, 0), 1].astype(np.float64), np.nan) if len(positions) else np.full(len(place), np.nan)
    return Peaks(raw, depth)


def _without_folder(error: Exception, files: dict[str, Any]) -> str:
    text = str(error)
    for name, path in files.items():
        text = text.replace(str(path), name)
    return text


def _unwhitening(files: dict[str, Any], n_channels: int) -> np.ndarray | None:
    """The matrix that undoes the sorter's whitening, which phy applies before it looks for the peak; None without one that fits."""
    if "whitening_mat_inv.npy" not in files:
        return None
    matrix = npy.load(files["whitening_mat_inv.npy"])
    return np.asarray(matrix, np.float64) if matrix.shape == (n_channels, n_channels) and matrix.dtype.kind == "f" and np.isfinite(matrix).all() else None


def _largest(templates: np.ndarray, unwhiten: np.ndarray | None) -> np.ndarray:
    """The channel on which each template spans the most, -1 for one that is flat: (template,) int64."""
    n, n_samples, n_channels = templates.shape
    out = np.full(n, -1, np.int64)
    if not n_samples or not n_channels:
        return out
    step = max(_TEMPLATE_VALUES // (n_samples * n_channels), 1)
    for a in range(0, n, step):
        block = np.nan_to_num(np.asarray(templates[a : a + step], np.float64))
        if unwhiten is not None:
            block = block @ unwhiten
        span = block.max(axis=1) - block.min(axis=1)
        out[a : a + step] = np.where(span.max(axis=1) > 0, span.argmax(axis=1), -1)
    return out


def main_templates(rows: np.ndarray, templates: np.ndarray, ids: np.ndarray, n_templates: int) -> np.ndarray:
    """The template most of each unit's spikes have, the first on a tie; a silent unit's own number: (unit,) int64, -1 for none."""
    pairs, counts = [], []
    for s in alf_flat.chunks(len(rows)):
        own = np.asarray(templates[s]).astype(np.int64)
        fine = (own >= 0) & (own < n_templates)
        pair, n = np.unique(rows[s][fine].astype(np.int64) * n_templates + own[fine], return_counts=True)
        pairs.append(pair)
        counts.append(n)
    out = np.where((ids >= 0) & (ids < n_templates), ids, -1)
    if pairs:
        pair, which = np.unique(np.concatenate(pairs), return_inverse=True)
        total = np.bincount(which, np.concatenate(counts), minlength=len(pair))
        unit = pair // max(n_templates, 1)
        order = np.lexsort((-pair, total, unit))  # each unit's last is its most frequent
        last = np.append(unit[order][1:] != unit[order][:-1], True) if len(order) else np.empty(0, bool)
        out[unit[order][last]] = (pair % max(n_templates, 1))[order][last]
    return out
