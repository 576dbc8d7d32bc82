"""Neural features in HDF5 files with a group a trial, standardised at the source so that counts are gone: kept as rates in units of deviation, trials apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import folder_files, source_name
from neuropile.readers.layouts import trial_signals
from neuropile.types import Reader, Recording, Subject

SUFFIXES = (".hdf5", ".h5")
#: The areas of 256 electrodes, 64 of each in turn.
AREAS = ("ventral 6v", "area 4", "area 55b", "dorsal 6v")
_FEATURES = "input_features"
_POWER = "spike_band_power"


@dataclass(frozen=True)
class TrialFeatures(Reader):
    """The reader of such files: one, or a folder with the files of one day.

    n_units : so many columns of the features are units' threshold crossings; as many more are their spike-band power
    rate_hz : samples a second
    subject : who was recorded
    """

    n_units: int = 256
    rate_hz: float = 50.0
    subject: str = "T15"

    def session_name(self, path: Any) -> str:
        """The name of the day's folder, whole: it has dots of its own; of a file that of the folder it is in, and its own."""
        name = source_name.plain(path)
        return f"{name.parent.name}_{name.stem}" if name.suffix in SUFFIXES else name.name

    def __call__(self, path: Any) -> Recording:
        """Open the files of a day and return its trials in the order they were recorded, their features unread.

        Raises
        ------
        UnreadableFile : no file with groups of trials, or features of another width than all the others
        """
        day = Day(path)
        try:
            return self._read(path, day)
        except BaseException:
            day.close()
            raise

    def _read(self, path: Any, day: Day) -> Recording:
        width = day.width
        if width not in (self.n_units, 2 * self.n_units):
            raise UnreadableFile(f"{path}: trials of {width} features: sought {self.n_units} threshold crossings, and as many powers or none")
        over = trial_signals.Trials(
            n_samples=np.array([t.n_samples for t in day.trials]),
            rate_hz=self.rate_hz,
            start_s=np.zeros(len(day.trials)),
            columns={name: pa.array([t.facts.get(name) for t in day.trials], kind) for name, kind in _COLUMNS.items()},
            times={},
        )
        halves = {"rates": slice(0, self.n_units)} | ({_POWER: slice(self.n_units, width)} if width > self.n_units else {})
        signals: dict[str, tuple[Any, str]] = {
            name: (trial_signals.Rows(over.ends, self.n_units, np.float32, _reader(day, columns)), "standard deviations") for name, columns in halves.items()
        }
        ids = [str(u) for u in range(self.n_units)]
        regions = [AREAS[u * len(AREAS) // self.n_units] for u in range(self.n_units)]
        return trial_signals.recording(
            trial_signals.Source(
                session_id=safe_name(self.session_name(path)),
                quantity="rates",
                units=pa.table({"unit_id": ids, "region": regions}),
                signals=signals,
                subject=Subject(self.subject),
                notes=("rates are standardised at the source over the 20 trials before each: no counts, and no Hz, can be had from them",),
                holds=f"{len(day.trials)} trials of {width} features",
                close=day.close,
            ),
            over,
        )


_COLUMNS = {
    "src_split": pa.string(),
    "src_group": pa.string(),
    "src_block_num": pa.int64(),
    "src_trial_num": pa.int64(),
    "src_sentence": pa.string(),
}


@dataclass(frozen=True)
class Trial:
    """One trial: where its features are, (sample, feature), how many samples of them count, and what is known of it."""

    data: Any
    n_samples: int
    facts: dict[str, Any]

    @property
    def order(self) -> tuple[Any, ...]:
        """By block and trial as numbered; those without a number in the order of their names."""
        block, number = self.facts.get("src_block_num"), self.facts.get("src_trial_num")
        return (block is None, block or 0, number is None, number or 0, self.facts["src_split"], self.facts["src_group"])


class Day:
    """The trials of one day's files, which stay open until `close`."""

    def __init__(self, path: Any) -> None:
        self._files: list[Any] = []
        try:
            files = [f for f in folder_files.below(path) if f.name.endswith(SUFFIXES)]
            found = [trial for file in files for trial in self._trials(file)]
        except BaseException:
            self.close()
            raise
        if not found:
            self.close()
            raise UnreadableFile(f"{path}: sought HDF5 files with a group of {_FEATURES} a trial, found {', '.join(f.name for f in files) or 'no such file'}")
        self.trials = sorted(found, key=lambda t: t.order)
        widths = sorted({int(t.data.shape[1]) for t in found})
        if len(widths) > 1:
            self.close()
            raise UnreadableFile(f"{path}: trials with {' and '.join(map(str, widths))} features: sought the same in all")
        self.width = widths[0]

    def _trials(self, path: Any) -> Iterator[Trial]:
        import h5py

        from neuropile.readers import h5

        with h5.opened(path) as file:
            self._files.append(file)
            split = source_name.plain(path).stem
            for group_name, group in h5.members(file):
                data = h5.member(group, _FEATURES) if isinstance(group, h5py.Group) else None
                if data is None:
                    continue
                if not isinstance(data, h5py.Dataset) or data.ndim != 2 or data.dtype.kind != "f":
                    raise UnreadableFile(f"{path}: {group_name}/{_FEATURES} is no table of floats, (sample, feature)")
                h5.check_size(data)
                yield Trial(data, *_facts(group, data, split, group_name))

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()


def _facts(group: Any, data: Any, split: str, name: str) -> tuple[int, dict[str, Any]]:
    """How many samples of a trial count, and what its attributes say of it."""
    from neuropile.readers import h5

    attrs = group.attrs
    facts: dict[str, Any] = {"src_split": split, "src_group": name}
    for key in ("block_num", "trial_num"):
        facts[f"src_{key}"] = int(np.asarray(attrs[key]).reshape(-1)[0]) if key in attrs else None
    facts["src_sentence"] = h5.text(attrs["sentence_label"]) if "sentence_label" in attrs else None
    announced = int(np.asarray(attrs["n_time_steps"]).reshape(-1)[0]) if "n_time_steps" in attrs else data.shape[0]
    return (announced if 0 < announced <= data.shape[0] else int(data.shape[0])), facts


def _reader(day: Day, columns: slice) -> Any:
    """What reads some columns of trials [a, b): (sample, unit)."""
    from neuropile.readers import h5

    def read(a: int, b: int) -> np.ndarray:
        parts = []
        for trial in day.trials[a:b]:
            with h5.clear_errors(trial.data.file.filename):
                parts.append(np.asarray(trial.data[: trial.n_samples, columns], np.float32))
        return np.concatenate(parts)

    return read


def features(n_units: int = TrialFeatures.n_units, *, rate_hz: float = TrialFeatures.rate_hz, subject: str = TrialFeatures.subject) -> TrialFeatures:
    """The reader of standardised features, a group a trial; see TrialFeatures."""
    return TrialFeatures(n_units, rate_hz, subject)
