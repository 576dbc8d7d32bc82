"""The published neural-pile scripts' own ways with six primate datasets that are no tables of spike times, so that their numbers can be had and compared.

They call all of it counts in 20 ms bins: sums of a raster, threshold crossings as they are, standardised features divided by
a step that is guessed, rates rounded up, peaks of an envelope, averages times fifty. Whatever the source keeps apart
(blocks, trials, conditions) is put end to end, and whatever is above 255 wraps around.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import folder_files, source_name, upstream
from neuropile.readers.layouts import trial_signals
from neuropile.types import Reader, Recording, Trains

#: Samples of 1 ms in their bins of 20 ms.
PER_BIN = 20
#: Trials that are held at a time.
_TRIALS_AT_ONCE = 64


def _recording(name: str, subject: str, counts: np.ndarray) -> Recording:
    """What they would publish: (unit, bin) counts under their ids, the units only numbered."""
    bare = Recording(
        session_id=safe_name(name),
        units=pa.table({"unit_id": [str(u) for u in range(len(counts))]}),
        trains=Trains(len(counts), lambda unit: np.empty(0, np.int64), kind="ticks"),
        quantity="counts",
        ticks_per_s=upstream.BINS_PER_S,
        holds=f"{counts.shape[0]} units in {counts.shape[1]} bins",
    )
    return upstream.as_counts(bare, bare.session_id, subject, [upstream.wrapped(c.astype(np.int64)) for c in counts], counts.shape[1])


@dataclass(frozen=True)
class Raster(Reader):
    """Twenty rows of the 1 ms raster are added in the raster's own type, whatever fits it; the rest at the end is dropped."""

    series: str = "processing/ecephys/rasters"

    def session_name(self, path: Any) -> str:
        """The file's name without its suffix."""
        return source_name.plain(path).stem

    def __call__(self, path: Any) -> Recording:
        """The counts of one file."""
        from neuropile.readers.layouts import raster
        from neuropile.readers.nwb import tree

        with tree.opened(path) as file:
            source = raster.Raster(file, self.series)
            whole = source.n_bins - source.n_bins % PER_BIN
            counts = np.zeros((source.n_units, whole // PER_BIN), np.uint8)
            for first, stop in source.slices(PER_BIN):
                part = source.read(first, min(stop, whole))
                if len(part):
                    summed = np.add.reduce(part.reshape(-1, PER_BIN, source.n_units), axis=1, dtype=part.dtype)
                    counts[:, first // PER_BIN : first // PER_BIN + len(summed)] = summed.astype(np.uint8).T
            file.close()
        return _recording(self.session_name(path), upstream.folder_name(path), counts)


@dataclass(frozen=True)
class Blocks(Reader):
    """All rows of the threshold crossings, blocks glued together; the subject is called as the folder."""

    counts: str = "tx1"

    def session_name(self, path: Any) -> str:
        """The file's name without `.mat`."""
        return source_name.plain(path).name.removesuffix(".mat")

    def __call__(self, path: Any) -> Recording:
        """The counts of one file."""
        from neuropile.readers.layouts import blocks

        return _recording(self.session_name(path), upstream.folder_name(path), blocks.Variables(path).whole_counts(self.counts).T)


@dataclass(frozen=True)
class Features(Reader):
    """Of each trial and channel a step is guessed, the least gap between its values, and the lowest value taken for no spike.

    A channel that does not change in a trial becomes zeros; counts above `most` become that.
    """

    n_units: int = 256
    most: int = 20
    subject: str = "T15"

    def session_name(self, path: Any) -> str:
        """The folder's name and the file's, which has no dots of its own."""
        name = source_name.plain(folder_files.below(path)[0])
        return f"{name.parent.name}_{name.stem}"

    def __call__(self, path: Any) -> Recording:
        """The counts of one file, its trials in the order of their groups' names."""
        import h5py

        from neuropile.readers import h5

        (file_path,) = folder_files.below(path)
        parts: list[np.ndarray] = []
        with h5.opened(file_path) as file:
            for name, group in h5.members(file):
                data = h5.member(group, "input_features") if isinstance(group, h5py.Group) else None
                if not isinstance(data, h5py.Dataset) or data.ndim != 2 or data.shape[1] < self.n_units:
                    raise UnreadableFile(f"{file_path}: {name} has no input_features of {self.n_units} channels or more")
                h5.check_size(data)
                values = np.asarray(data[:, : self.n_units])
                parts.append(np.stack([_guessed(channel, self.most) for channel in values.T]))
            file.close()
        if not parts:
            raise UnreadableFile(f"{file_path}: holds no group of a trial")
        return _recording(self.session_name(path), self.subject, np.concatenate(parts, axis=1))


def _guessed(values: np.ndarray, most: int) -> np.ndarray:
    """The counts guessed for one channel of one trial: (sample,) uint8."""
    gaps = np.diff(np.unique(values))
    gaps = gaps[gaps > 1e-6]
    if not gaps.size:
        return np.zeros(len(values), np.uint8)
    steps = np.round(values / gaps.min())
    return np.clip(steps - steps.min(), 0, most).astype(np.uint8)


@dataclass(frozen=True)
class Rates(Reader):
    """The mean rate of 20 ms, times 0.02 s, rounded up: any rate above zero becomes a spike. Trials are put end to end."""

    def session_name(self, path: Any) -> str:
        """The name of the file of rates, without its suffix."""
        return source_name.plain(self._file(path)).stem

    def _file(self, path: Any) -> Any:
        from neuropile.readers import npy

        arrays = [f for f in folder_files.below(path) if f.name.endswith(".npy")]
        return trial_signals.one_of([f for f in arrays if "meta" not in f.name and len(npy.header(f).shape) == 3], path, "array of three axes")

    def __call__(self, path: Any) -> Recording:
        """The counts of one session."""
        from neuropile.readers import npy

        file = self._file(path)
        data = npy.load(file)
        n_trials, n_units, n_samples = data.shape
        n_bins = n_samples // PER_BIN
        counts = np.empty((n_units, n_trials, n_bins), np.uint8)
        for a, b in _some(n_trials, _TRIALS_AT_ONCE):
            means = np.asarray(data[a:b, :, : n_bins * PER_BIN]).reshape(b - a, n_units, n_bins, PER_BIN).mean(axis=-1)
            counts[:, a:b] = np.ceil(means * 0.02).astype(np.int64).astype(np.uint8).transpose(1, 0, 2)
        return _recording(self.session_name(path), upstream.folder_name(file), counts.reshape(n_units, -1))


def _some(n_trials: int, at_once: int) -> Iterator[tuple[int, int]]:
    return ((a, min(a + at_once, n_trials)) for a in range(0, n_trials, at_once))


@dataclass(frozen=True)
class Peaks(Reader):
    """Events are made of an envelope: of each trial and channel, where it falls to mean + 3.5 deviations or below from above.

    They are counted in 20 ms, and a row holds the first bin of every trial, then the second of every trial, and so on: in
    no order of time. Channels stay as they were recorded. Session and subject get names of their own.
    """

    deviations: float = 3.5

    def session_name(self, path: Any) -> str:
        """F_0 or N_0."""
        return f"{self._monkey(path)}_0"

    def _monkey(self, path: Any) -> str:
        """The last letter of the animal's folder, or of a file that is renamed after it."""
        file = source_name.plain(self._file(path))
        folders = [p for p in file.parts if p.startswith("monkey")]
        return folders[-1][-1] if folders else file.stem[-1]

    def _file(self, path: Any) -> Any:
        return trial_signals.one_of([f for f in folder_files.below(path) if "MUA_trials" in f.name], path, "file of trials")

    def __call__(self, path: Any) -> Recording:
        """The counts of one animal."""
        from neuropile.readers import h5
        from neuropile.readers.layouts import trial_envelopes

        with h5.opened(self._file(path)) as file:
            data = trial_envelopes.numbers(file, "ALLMUA", 3)
            n_samples, n_trials, n_units = data.shape
            n_bins = n_samples // PER_BIN
            counts = np.empty((n_units, n_bins, n_trials), np.uint8)
            for a, b in _some(n_trials, trial_envelopes.at_once(data)):
                values = np.asarray(data[:, a:b, :], np.float64)
                above = values > values.mean(axis=0) + self.deviations * values.std(axis=0)
                falls = np.zeros(values.shape, np.uint8)
                falls[:-1] = above[:-1] & ~above[1:]
                binned = falls[: n_bins * PER_BIN].reshape(n_bins, PER_BIN, b - a, n_units).sum(axis=1, dtype=np.uint8)
                counts[:, :, a:b] = binned.transpose(2, 0, 1)
            file.close()
        return _recording(self.session_name(path), f"monkey_{self._monkey(path)}", counts.reshape(n_units, -1))


@dataclass(frozen=True)
class Averages(Reader):
    """The first field of the struct, missing values as 0, times 50, rounded: called 20 ms counts, of bins of 50 ms."""

    variable: str = "neural_responses_reliable"
    times: float = 50.0

    def session_name(self, path: Any) -> str:
        """The first letter of the file's name, M or P, and a nought."""
        return f"{source_name.plain(path).name[0].upper()}_0"

    def __call__(self, path: Any) -> Recording:
        """The counts of one animal."""
        from neuropile.readers.layouts import condition_averages

        values = next(iter(condition_averages.averages(path, self.variable).values()))
        counts = np.round(self.times * np.nan_to_num(values)).astype(np.int64).astype(np.uint8)
        name = source_name.plain(path).name.split("_")[0].capitalize()
        return _recording(self.session_name(path), name, counts.reshape(len(counts), -1))
