"""Responses averaged over the trials of each condition, a struct of arrays (unit, condition, bin) in a MATLAB 5 file: kept as rates, conditions as trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers.layouts import trial_signals
from neuropile.readers.layouts.blocks import Variables
from neuropile.types import Reader, Recording, Subject


@dataclass(frozen=True)
class ConditionAverages(Reader):
    """The reader of such a file; a session is called, and its subject is, the word the file's name begins with.

    variable, condition : the struct and its field
    bins_per_s : how many bins a second has
    to_hz : what the values are multiplied with to be spikes a second
    """

    variable: str = "neural_responses_reliable"
    condition: str = "occ"
    bins_per_s: int = 20
    to_hz: float = 1000.0

    def session_name(self, path: Any) -> str:
        """The word the file's name begins with."""
        return str(path.name).split("_")[0].removesuffix(".mat")

    def __call__(self, path: Any) -> Recording:
        """Read a file's averages; a condition ends with the last bin in which any unit has a value.

        Raises
        ------
        UnreadableFile : no such struct or field, or it is no array of three axes
        """
        fields = averages(path, self.variable)
        if self.condition not in fields:
            raise UnreadableFile(f"{path}: {self.variable} has no {self.condition!r}, only {', '.join(fields)}; name one of these")
        values = fields[self.condition]
        n_units = values.shape[0]
        known = np.isfinite(values).any(axis=0)  # (condition, bin)
        n_bins = np.where(known.any(axis=1), known.shape[1] - np.argmax(known[:, ::-1], axis=1), 0)
        kept = np.flatnonzero(n_bins)
        over = trial_signals.Trials(
            n_samples=n_bins[kept],
            rate_hz=float(self.bins_per_s),
            start_s=np.zeros(len(kept)),
            columns={"src_condition": pa.array(kept), "src_set": pa.array([self.condition] * len(kept))},
            times={},
        )

        def read(a: int, b: int) -> np.ndarray:
            return np.concatenate([values[:, k, : n_bins[k]].T for k in kept[a:b].tolist()]) * self.to_hz

        name = self.session_name(path)
        return trial_signals.recording(
            trial_signals.Source(
                session_id=safe_name(name),
                quantity="rates",
                units=pa.table({"unit_id": [str(u) for u in range(n_units)]}),
                signals={"rates": (trial_signals.Rows(over.ends, n_units, np.float64, read), "spikes/s")},
                subject=Subject(name),
                span_source="conditions",
                notes=("averages over trials, of units that were recorded on different days: neither spikes nor simultaneous",),
                holds=f"{n_units} units, {values.shape[1]} conditions, {values.shape[2]} bins",
            ),
            over,
        )


def averages(path: Any, variable: str) -> dict[str, np.ndarray]:
    """The arrays of a struct by their field, in the struct's order: (unit, condition, bin) each.

    Raises
    ------
    UnreadableFile : it is no struct, or holds none
    """
    value = Variables(path).load(variable)
    names = value.dtype.names or ()
    if value.size != 1 or not names:
        raise UnreadableFile(f"{path}: {variable} is no struct of arrays; the layout is another than this reader's")
    found = {name: np.asarray(value.reshape(-1)[0][name]) for name in names}
    found = {name: array for name, array in found.items() if array.ndim == 3 and array.dtype.kind in "iuf" and array.size}
    if not found:
        raise UnreadableFile(f"{path}: {variable} has {', '.join(names)}, none of them an array of units x conditions x bins")
    return found


def rates(variable: str = ConditionAverages.variable, condition: str = ConditionAverages.condition) -> ConditionAverages:
    """The reader of averages over conditions; see ConditionAverages."""
    return ConditionAverages(variable, condition)
