"""Multi-unit envelopes around stimuli in a MATLAB 7.3 file, electrodes x trials x samples: kept as envelopes, read a few trials at a time, trials apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import folder_files, source_name
from neuropile.readers.layouts import trial_signals
from neuropile.types import Reader, Recording, Subject

#: The columns of the table of trials, in its order; files of six columns lack the last.
COLUMNS = ("trial_idx", "train_idx", "test_idx", "rep", "count", "correct", "day")
_MAPPING = "1024chns_mapping"
#: So much of the trials is held at a time.
HELD_BYTES = 1 << 26


@dataclass(frozen=True)
class Areas:
    """The areas of an animal's electrodes: each begins at an electrode, counted from 1 as the arrays are, not as they were recorded."""

    animal: str
    firsts: tuple[tuple[int, str], ...]

    def of(self, electrode: int) -> str:
        """The area of an electrode, from 1."""
        return [area for first, area in self.firsts if first <= electrode][-1]


@dataclass(frozen=True)
class TrialEnvelopes(Reader):
    """The reader of a folder with one animal's file of trials and, beside it, the order in which its channels were recorded.

    areas : of each animal, by a name that occurs in the path
    data, table, time : the variables: envelopes, what each trial showed, and the samples' times in ms from the stimulus on
    """

    areas: tuple[Areas, ...] = ()
    data: str = "ALLMUA"
    table: str = "ALLMAT"
    time: str = "tb"

    def session_name(self, path: Any) -> str:
        """The animal's name where the path tells, else the folder's."""
        animal = self._animal(path)
        return animal.animal if animal else str(path.name)

    def _animal(self, path: Any) -> Areas | None:
        names = {part for file in folder_files.below(path) for part in source_name.plain(file).parts}
        return next((a for a in self.areas if a.animal in names), None)

    def __call__(self, path: Any) -> Recording:
        """Open the file; electrodes come in the order of the arrays, each with its area.

        Raises
        ------
        UnreadableFile : no such file or variables, or a table of another number of trials
        """
        from neuropile.readers import h5

        files = folder_files.below(path)
        trials_file = trial_signals.one_of([f for f in files if f.name.endswith("MUA_trials.mat")], path, "file of trials")
        with h5.opened(trials_file) as file:
            data = numbers(file, self.data, 3)
            n_samples, n_trials, n_units = data.shape
            time_ms = h5.values(numbers(file, self.time)).astype(np.float64)
            facts = numbers(file, self.table, 2)
            table = h5.values(facts).reshape(facts.shape)
            if len(time_ms) != n_samples or table.shape[1] != n_trials:
                raise UnreadableFile(
                    f"{trials_file}: {self.data} has {n_samples} samples and {n_trials} trials, {self.time} {len(time_ms)}, {self.table} {table.shape[1]}"
                )
            step_ms = np.diff(time_ms)
            if not len(step_ms) or not np.allclose(step_ms, step_ms[0]) or step_ms[0] <= 0:
                raise UnreadableFile(f"{trials_file}: {self.time} does not run in equal steps")
            order, notes = _order(files, n_units)
            over = trial_signals.Trials(
                n_samples=np.full(n_trials, n_samples),
                rate_hz=1000.0 / float(step_ms[0]),
                start_s=np.full(n_trials, time_ms[0] / 1000),
                columns={f"src_{c}": pa.array(values) for c, values in zip(COLUMNS, table, strict=False)},
                times={"stim_on_s": np.zeros(n_trials)},
            )
            animal = self._animal(path)
            return trial_signals.recording(
                trial_signals.Source(
                    session_id=safe_name(self.session_name(path)),
                    quantity="envelope",
                    units=_units(n_units, order, animal),
                    signals={"envelope": (trial_signals.Rows(over.ends, n_units, data.dtype, _reader(data, order), at_once(data)), "uV")},
                    subject=Subject(animal.animal if animal else None),
                    notes=notes,
                    holds=f"{n_trials} trials, {n_units} electrodes, {n_samples} samples",
                    close=file.close,
                ),
                over,
            )


def numbers(file: Any, name: str, n_axes: int | None = None) -> Any:
    """A variable of numbers of a MATLAB 7.3 file, unread; its axes stand in HDF5 in the other order."""
    import h5py

    from neuropile.readers import h5

    found = h5.member(file, name)
    if not isinstance(found, h5py.Dataset):
        raise UnreadableFile(f"{file.filename}: no variable {name!r}; the file has {', '.join(n for n, _ in h5.members(file)) or 'none'}")
    if found.dtype.kind not in "iuf" or (n_axes is not None and found.ndim != n_axes):
        raise UnreadableFile(f"{file.filename}: {name} holds {found.dtype} of shape {found.shape}: sought numbers on {n_axes or 'any'} axes")
    h5.check_size(found)
    return found


def _order(files: list[Any], n_units: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The recorded channel, from 0, of each electrode of the arrays; None where no file beside says it."""
    from neuropile.readers.layouts.blocks import Variables

    found = [f for f in files if _MAPPING in f.name]
    if not found:
        return None, ("no file beside the trials says which channel is which electrode: they stand as recorded, without areas",)
    file = trial_signals.one_of(found, "the session", "mapping of channels")
    order = Variables(file).vector("mapping").astype(np.int64) - 1
    if not np.array_equal(np.sort(order), np.arange(n_units)):
        raise UnreadableFile(f"{file}: sought each of {n_units} channels once, found {len(order)} from {order.min() + 1} to {order.max() + 1}")
    return order, ()


def at_once(data: Any) -> int:
    """How many trials of an array (sample, trial, channel) to read at once: whole chunks, as many as may be held."""
    n_samples, n_trials, n_units = data.shape
    most = max(HELD_BYTES // max(n_samples * n_units * data.dtype.itemsize, 1), 1)
    chunk = data.chunks[1] if data.chunks else 1
    return int(min(max(most // chunk * chunk, min(most, chunk)), n_trials))


def _reader(data: Any, order: np.ndarray | None) -> Any:
    """What reads trials [a, b) as (sample, electrode): of an array (sample, trial, channel)."""
    from neuropile.readers import h5

    def read(a: int, b: int) -> np.ndarray:
        with h5.clear_errors(data.file.filename):
            part = np.asarray(data[:, a:b, :])
        rows = part.transpose(1, 0, 2).reshape(-1, part.shape[2])
        return rows if order is None else rows[:, order]

    return read


def _units(n_units: int, order: np.ndarray | None, animal: Areas | None) -> pa.Table:
    electrodes = np.arange(1, n_units + 1)
    recorded = electrodes if order is None else order + 1
    columns: dict[str, Any] = {"unit_id": [str(e) for e in electrodes], "src_recorded_channel": pa.array(recorded, pa.int64())}
    if order is not None and animal is not None:
        columns["region"] = [animal.of(e) for e in electrodes.tolist()]
    return pa.table(columns)


def envelopes(*areas: Areas) -> TrialEnvelopes:
    """The reader of envelopes around stimuli; see TrialEnvelopes."""
    return TrialEnvelopes(areas)
