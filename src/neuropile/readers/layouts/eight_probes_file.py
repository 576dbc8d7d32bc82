"""One file of eight probes into a Recording, or into the counts that the published scripts make of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import BadTimes, NoEvents, UnreadableFile
from neuropile.readers import upstream
from neuropile.readers.mat import mat5
from neuropile.types import DEFAULT_TICKS_PER_S, Recording, Spans, Subject, Trains

#: From here on, in seconds of each file's clock, nothing was shown to the mouse (the authors' own script says so).
SPONTANEOUS_FROM_S = {"Krebs": 3811.0, "Waksman": 3633.0, "Robbins": 3323.0}
#: The order of the mice in probeLocations.mat, which does not name them in a way that can be read without MATLAB.
MICE = ("Krebs", "Waksman", "Robbins")
_SPECIES = "Mus musculus"
#: No sorter finds so many clusters on one probe.
MAX_CLUSTER = 100_000


@dataclass(frozen=True)
class Probe:
    """One probe's spikes: (spike,) float64 seconds, (spike,) int64 clusters from 1 on; heights (cluster,) um, by cluster number."""

    name: str
    times: np.ndarray
    clusters: np.ndarray
    heights: np.ndarray


def probes(path: Any) -> list[Probe]:
    """The records of a file.

    Raises
    ------
    UnreadableFile : damaged, or `spks` is not there or holds no times and clusters
    """
    found = mat5.walk(path).get("spks")
    if found is None or found.dtype != "struct" or not {"st", "clu"} <= set(found.fields):
        held = "nothing of that name" if found is None else ", ".join(found.fields) or found.dtype
        raise UnreadableFile(f"{path}: sought `spks`, a record a probe with st and clu; found {held}")
    records = mat5.load(path, "spks").reshape(-1)
    return [_probe(path, f"probe{i + 1}", r, "Wheights" in found.fields) for i, r in enumerate(records)]


def _probe(path: Any, name: str, record: Any, has_heights: bool) -> Probe:
    times, clusters = (np.asarray(record[f]).reshape(-1) for f in ("st", "clu"))
    heights = np.asarray(record["Wheights"]).reshape(-1) if has_heights else np.empty(0)
    if any(a.dtype.kind not in "iuf" for a in (times, clusters, heights)) or len(times) != len(clusters):
        raise UnreadableFile(f"{path}: {name} has {len(times)} times and {len(clusters)} clusters: sought a number of each a spike")
    whole = np.isfinite(clusters).all() and np.all(clusters == np.floor(clusters))
    if clusters.size and not (whole and clusters.min() >= 0 and clusters.max() < MAX_CLUSTER):
        raise UnreadableFile(f"{path}: {name} has clusters that are no whole numbers from 0 to {MAX_CLUSTER}; fetch the file again")
    return Probe(name, times.astype(np.float64), clusters.astype(np.int64), heights.astype(np.float64))


def read(path: Any, locations: Any | None, session_id: str, mouse: str | None) -> Recording:
    """See EightProbes.__call__."""
    found = probes(path)
    if not any(p.times.size for p in found):
        raise NoEvents(f"{path}: {len(found)} probes without a spike")
    sites = None if locations is None or mouse not in MICE else _sites(locations, MICE.index(mouse), len(found))
    trains: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    spans: list[tuple[int, float, float]] = []
    for i, probe in enumerate(found):
        order = np.argsort(probe.clusters, kind="stable")
        ids, starts = np.unique(probe.clusters[order], return_index=True)
        trains += np.split(probe.times[order], starts[1:]) if len(ids) else []
        heights = [float(probe.heights[c - 1]) if 0 < c <= len(probe.heights) else np.nan for c in ids.tolist()]
        span = _span(probe.times)
        spans += [(len(rows) + u, *span) for u in range(len(ids))] if span else []
        areas = [None] * len(ids) if sites is None else [_nearest(sites[i], h) for h in heights]
        named = zip(ids.tolist(), heights, areas, strict=True)
        rows += [{"unit_id": f"{probe.name}:{c}", "probe": probe.name, "depth_um": h, "region": a, "src_clu": c} for c, h, a in named]
    types = {"unit_id": pa.string(), "probe": pa.string(), "depth_um": pa.float64(), "region": pa.string(), "src_clu": pa.int64()}
    unit, first, last = zip(*spans, strict=True)
    return Recording(
        session_id=session_id,
        units=pa.table({n: pa.array([r[n] for r in rows], t, from_pandas=True) for n, t in types.items()}),
        trains=Trains(len(trains), trains.__getitem__),
        subject=Subject(mouse, _SPECIES),
        intervals=_epochs(mouse, max(last)),
        observed=Spans.of(first, last, unit),
        span_source="first to last spike of each probe",
        notes=() if locations is not None else ("no probeLocations.mat beside the spikes: units have no area",),
        holds=f"{len(found)} probes",
    )


def _span(times: np.ndarray) -> tuple[float, float] | None:
    finite = times[np.isfinite(times)]
    return (float(finite.min()), float(finite.max()) + 1 / DEFAULT_TICKS_PER_S) if finite.size else None


def _epochs(mouse: str | None, stop_s: float) -> dict[str, pa.Table]:
    start = SPONTANEOUS_FROM_S.get(mouse or "", np.inf)
    if start >= stop_s:
        return {}
    return {"epochs": pa.table({"start_s": [start], "stop_s": [stop_s], "src_label": ["spontaneous"]})}


def _sites(path: Any, mouse: int, n_probes: int) -> list[tuple[np.ndarray, list[str]]]:
    """For each probe its sites' heights and areas.

    Raises
    ------
    UnreadableFile : the file is damaged or holds another number of probes
    """
    if "probeLocations" not in mat5.walk(path):
        raise UnreadableFile(f"{path}: sought `probeLocations`, found nothing of that name")
    try:
        records = mat5.load(path, "probeLocations").reshape(-1)[mouse]["probe"].reshape(-1)
        found = [(np.asarray(r["siteCoords"], np.float64)[:, 1], [_text(v) for v in np.asarray(r["ccfOntology"]).reshape(-1)]) for r in records]
    except (IndexError, ValueError, TypeError, KeyError) as e:
        raise UnreadableFile(f"{path}: not the places of {n_probes} probes ({type(e).__name__}: {e}); fetch it again") from None
    if len(found) != n_probes or any(len(h) != len(a) or not len(h) for h, a in found):
        raise UnreadableFile(f"{path}: the places of {len(found)} probes for the spikes of {n_probes}, or sites without an area")
    return found


def _text(value: Any) -> str:
    """A text as scipy reads it out of a cell."""
    return str(np.asarray(value).reshape(-1)[0]) if np.asarray(value).size else ""


def _nearest(sites: tuple[np.ndarray, list[str]], height: float) -> str | None:
    heights, areas = sites
    return None if np.isnan(height) else areas[int(np.argmin(np.abs(heights - height)))] or None


def read_upstream(path: Any, session_id: str, mouse: str | None) -> Recording:
    """See UpstreamEightProbes.__call__."""
    found = probes(path)
    times = np.concatenate([p.times for p in found])
    if not times.size:
        raise NoEvents(f"{path}: {len(found)} probes without a spike")
    if not np.isfinite(times).all():
        raise BadTimes(f"{path}: spike times that are NaN or infinite, where the published scripts stop; build it without --compat upstream")
    step = 1 / upstream.BINS_PER_S
    first = times.min()
    length = (times.max() - first) / step
    n_bins = ceil(length)
    if n_bins > upstream.MAX_BINS:
        raise BadTimes(f"{path}: {n_bins} bins of 20 ms are too many to count; check its times")
    if floor(length) == n_bins:
        raise BadTimes(f"{path}: the latest spike lies on the border of a bin, where the published scripts stop; build it without --compat upstream")
    counted: list[upstream.Counted] = []
    for probe in found:
        if probe.clusters.size and not probe.clusters.min():
            raise UnreadableFile(f"{path}: {probe.name} has a cluster 0, which the published scripts add to another; build it without --compat upstream")
        order = np.argsort(probe.clusters, kind="stable")
        bins = np.floor((probe.times[order] - first) / step).astype(np.int64)
        edges = np.searchsorted(probe.clusters[order], np.arange(1, _highest(probe) + 2))
        counted += [_row(bins[a:b]) for a, b in pairwise(edges.tolist())]
    ids = [f"{p.name}:{c}" for p in found for c in range(1, _highest(p) + 1)]
    plain = Recording(session_id, pa.table({"unit_id": ids}), Trains(len(ids), lambda _: np.empty(0)), Subject(mouse, _SPECIES))
    phantoms = sum(not c.n_times for c in counted)
    notes = [f"{phantoms} rows are of cluster numbers that do not occur, as in the published scripts", f"bin 0 begins at the earliest spike, {first:.6f} s"]
    return upstream.as_counts(plain, session_id, mouse or upstream.folder_name(path), [_known(c) for c in counted], n_bins, notes)


def _highest(probe: Probe) -> int:
    return int(probe.clusters.max(initial=0))


def _row(bins: np.ndarray) -> upstream.Counted:
    whole, n = np.unique(bins, return_counts=True)
    kept = n.astype(np.uint8)
    return upstream.Counted(whole[kept > 0].astype(np.int32), kept[kept > 0], len(bins), n_wrapped=int((n > 255).sum()))


def _known(row: upstream.Counted) -> upstream.Counted:
    """A row whose being empty has been told already."""
    return row if row.n_times else upstream.Counted(row.bins, row.counts)
