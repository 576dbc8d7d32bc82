"""Smoothed firing rates, trials x neurons x samples in a NumPy file, with the trials' and neurons' facts in files beside it: kept as rates, trials apart."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import folder_files, npy
from neuropile.readers.layouts import trial_signals
from neuropile.types import Reader, Recording, Subject

#: Files beside the rates are small tables.
_MAX_TABLE_BYTES = 1 << 24


@dataclass(frozen=True)
class TrialRates(Reader):
    """The reader of a folder that holds one session's files.

    rate_hz : samples a second
    """

    rate_hz: float = 1000.0

    def session_name(self, path: Any) -> str:
        """The folder's name."""
        return str(path.name)

    def __call__(self, path: Any) -> Recording:
        """Find the rates by their three axes, and beside them the trials' metadata and the neurons' sites.

        Raises
        ------
        UnreadableFile : no array of three axes, or several
        """
        files = folder_files.below(path)
        cubes = [f for f in files if f.name.endswith(".npy") and _axes(f) == 3]
        file = trial_signals.one_of(cubes, path, "array of rates, trials x neurons x samples,")
        data = npy.load(file)
        n_trials, n_units, n_samples = data.shape
        if data.dtype.kind not in "iuf" or not n_units:
            raise UnreadableFile(f"{file}: an array of {data.dtype} of shape {data.shape}: sought rates, trials x neurons x samples")
        notes: list[str] = []
        over = trial_signals.Trials(
            n_samples=np.full(n_trials, n_samples),
            rate_hz=self.rate_hz,
            start_s=np.zeros(n_trials),
            columns=_meta(files, n_trials, notes),
            times={},
        )

        def read(a: int, b: int) -> np.ndarray:
            return np.asarray(data[a:b]).transpose(0, 2, 1).reshape(-1, n_units)

        return trial_signals.recording(
            trial_signals.Source(
                session_id=safe_name(self.session_name(path)),
                quantity="rates",
                units=_units(files, n_units, notes),
                signals={"rates": (trial_signals.Rows(over.ends, n_units, data.dtype, read), "spikes/s")},
                subject=Subject(),
                notes=("rates are smoothed at the source: its release has no spikes and no counts", *notes),
                holds=f"{n_trials} trials, {n_units} neurons, {n_samples} samples",
            ),
            over,
        )


def _axes(path: Any) -> int:
    """How many axes a NumPy file's array has; 0 where it is not to be opened."""
    try:
        return len(npy.header(path).shape)
    except UnreadableFile as e:
        if "Python objects" in str(e):
            return 0
        raise


def _meta(files: list[Any], n_trials: int, notes: list[str]) -> dict[str, pa.Array]:
    """The columns of the trials' metadata: numbers, a row a trial, without names unless the array has some."""
    found: dict[str, pa.Array] = {}
    for file in files:
        name = file.name
        if "meta" not in name.lower() or not name.endswith(".npy"):
            continue
        if not _axes(file):
            notes.append(f"{name} holds Python objects, which are never unpickled: what it says of the trials was left out")
            continue
        values = npy.load(file)
        if not values.ndim or values.shape[0] != n_trials or values.ndim > 2:
            notes.append(f"{name} has shape {values.shape} for {n_trials} trials and was left out")
            continue
        if values.dtype.names:
            found |= {f"src_{c}": pa.array(np.ascontiguousarray(values[c])) for c in values.dtype.names if values[c].ndim == 1}
        else:
            table = values.reshape(n_trials, -1)
            found |= {f"src_meta_{i}": pa.array(np.ascontiguousarray(table[:, i])) for i in range(table.shape[1])}
    return found


def _units(files: list[Any], n_units: int, notes: list[str]) -> pa.Table:
    """The neurons, numbered, with the site each was recorded at: an area where that is a word, the release's own code where it is a number."""
    columns: dict[str, Any] = {"unit_id": [str(u) for u in range(n_units)]}
    for file in files:
        name = file.name
        if "cell_loc" not in name.lower():
            continue
        sites = _sites(file)
        if len(sites) != n_units:
            notes.append(f"{name} has {len(sites)} sites for {n_units} neurons and was left out")
            continue
        columns["src_cell_loc"] = pa.array(sites, pa.string())
        if not any(s.replace(".", "").isdigit() for s in sites if s):
            columns["region"] = pa.array([s or None for s in sites], pa.string())
    return pa.table(columns)


def _sites(file: Any) -> list[str]:
    if file.name.endswith(".npy"):
        if not _axes(file):
            return []
        values = npy.load(file).reshape(-1)
        return [f"{v:g}" if values.dtype.kind == "f" else str(v) for v in values.tolist()]
    if file.stat().st_size > _MAX_TABLE_BYTES:
        raise UnreadableFile(f"{file}: {file.stat().st_size} bytes, too many for a table of recording sites; fetch it again")
    with file.open("rb") as f:
        rows = list(csv.DictReader(io.StringIO(f.read(_MAX_TABLE_BYTES).decode("utf-8", "replace"))))
    return [(row.get("Area") or "").strip() for row in rows]


def rates(rate_hz: float = TrialRates.rate_hz) -> TrialRates:
    """The reader of rates over trials; see TrialRates."""
    return TrialRates(rate_hz)
