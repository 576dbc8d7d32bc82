"""One Kilosort or phy folder into a Recording: samples into seconds, clusters into units, a restarting clock laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers import npy
from neuropile.readers.alf import flat as alf_flat
from neuropile.readers.alf import folder as alf_folder
from neuropile.readers.clock import trials
from neuropile.readers.kilosort import params
from neuropile.readers.kilosort import units as kilosort_units
from neuropile.readers.source_name import as_text
from neuropile.types import Recording, Trains

#: Where times and clusters lie, best first.
TIMES = ("spike_times.npy", "spike_times_sec.npy")
CLUSTERS = ("spike_clusters.npy", "spike_templates.npy")
_OTHERS = ("spike_templates.npy", "templates.npy", "templates_ind.npy", "whitening_mat_inv.npy", "channel_positions.npy", "channel_map.npy", "params.py")


def files(path: Any) -> list[Any]:
    """The files of a folder that are read, by name."""
    found = _files(path)
    return [found[n] for n in sorted(found)]


def _files(path: Any) -> dict[str, Any]:
    if not path.is_dir():
        raise UnreadableFile(f"{path}: no such folder")
    there = {p.name: p for _, p in alf_folder.walk(path, lambda _: False)}
    wanted = [next((n for n in names if n in there), None) for names in (TIMES, CLUSTERS)] + [n for n in _OTHERS if n in there]
    wanted += [n for n in there if n.startswith("cluster_") and n.endswith((".tsv", ".csv"))]
    return {n: there[n] for n in wanted if n is not None}


@dataclass(frozen=True)
class _Spikes:
    """A time and a cluster each; times are samples where `rate` turns them into seconds."""

    times: np.ndarray
    clusters: np.ndarray
    rate: Fraction | None
    are_samples: bool

    @property
    def per_s(self) -> float:
        return float(self.rate) if self.are_samples and self.rate is not None else 1.0

    def seconds(self, times: np.ndarray) -> np.ndarray:
        return times / self.per_s if self.are_samples else np.asarray(times, np.float64)


def read(path: Any, session_id: str, sample_rate: Fraction | None) -> Recording:
    """See KilosortFolder.__call__."""
    found = _files(path)
    notes: list[str] = []
    said = params.read(found["params.py"]) if "params.py" in found else {}
    spikes = _spikes(path, found, sample_rate or params.sample_rate(said))
    labels = kilosort_units.tables(found, notes)
    ids = np.unique(np.concatenate([alf_flat.occurring(spikes.clusters), np.array(sorted(labels), np.int64)]))
    units = kilosort_units.table(ids, labels, kilosort_units.peaks(found, _template_of(path, found, spikes, ids, notes), notes))
    pieces = alf_flat.pieces(spikes.times, spikes.clusters, spikes.per_s)
    times: np.ndarray = spikes.times
    to_seconds: Callable[[np.ndarray], np.ndarray] = spikes.seconds
    laid_out: dict[str, Any] = {}
    if pieces is not None:
        offset = trials.lay_out(*pieces.whole_s)
        times, to_seconds = alf_flat.shifted(spikes.seconds(spikes.times), pieces, offset), np.asarray
        laid_out = {
            "clock": "trials",
            "intervals": {"trials": trials.table(pieces.first_s, pieces.stop_s, offset)},
            "observed": trials.observed(pieces.first_s, pieces.stop_s, offset),
            "span_source": "the pieces between restarts of the clock",
        }
        notes.append(alf_flat.told(pieces))
    return Recording(
        session_id=session_id,
        units=units,
        trains=Trains(len(ids), alf_flat.ByUnit(times, lambda: alf_flat.rows_of(spikes.clusters, ids), len(ids), to_seconds), sample_rate=spikes.rate),
        source={f"src_{n}": v for n, v in said.items()},
        notes=tuple(map(as_text, notes)),
        holds=as_text(", ".join(sorted(found))),
        **laid_out,
    )


def _spikes(path: Any, found: dict[str, Any], rate: Fraction | None) -> _Spikes:
    """The spikes, checked.

    Raises
    ------
    NoEvents, UnreadableFile : see KilosortFolder.__call__
    """
    name, other = (next((n for n in names if n in found), None) for names in (TIMES, CLUSTERS))
    if name is None or other is None:
        sought = f"{' or '.join(TIMES)}, with {' or '.join(CLUSTERS)}"
        raise NoEvents(f"{path}: sought {sought} (links out of the folder are not followed); found {', '.join(sorted(found)) or 'none of them'}")
    times = npy.vector(found[name])
    clusters = alf_flat.whole(npy.vector(found[other]), other, path)
    alf_flat.check_lengths(times, clusters, (name, other), path)
    are_samples = name == TIMES[0]
    if are_samples:
        if rate is None:
            raise UnreadableFile(f"{path}: spike_times.npy counts samples, and no params.py says how many a second; give --sample-rate, such as 30000")
        _check_whole(times, found[name])
    return _Spikes(times, clusters, rate, are_samples)


def _check_whole(times: np.ndarray, path: Any) -> None:
    """Samples are whole numbers, whatever type they are kept in; NaN is for the writer to count."""
    for s in alf_flat.chunks(len(times)) if times.dtype.kind == "f" else ():
        block = np.asarray(times[s])
        if np.any((np.rint(block) != block) & np.isfinite(block)):
            raise UnreadableFile(f"{path}: holds fractions, so no samples; if these are seconds, name the file {TIMES[1]}")


def _template_of(path: Any, found: dict[str, Any], spikes: _Spikes, ids: np.ndarray, notes: list[str]) -> Callable[[int], np.ndarray]:
    """Each unit's template, once it is known how many there are; before any curation a cluster's number is its template's."""

    def template_of(n_templates: int) -> np.ndarray:
        own = np.where((ids >= 0) & (ids < n_templates), ids, -1)
        if "spike_templates.npy" not in found:
            return own
        try:
            templates = alf_flat.whole(npy.vector(found["spike_templates.npy"]), "spike_templates.npy", path.name)
            alf_flat.check_lengths(spikes.times, templates, ("spike_times.npy", "spike_templates.npy"), path.name)
        except UnreadableFile as e:
            notes.append(f"templates of spikes left out: {str(e).replace(str(found['spike_templates.npy']), 'spike_templates.npy')}")
            return own
        if all(np.array_equal(spikes.clusters[s], templates[s]) for s in alf_flat.chunks(len(templates))):
            return own
        return kilosort_units.main_templates(alf_flat.rows_of(spikes.clusters, ids), templates, ids, n_templates)

    return template_of
