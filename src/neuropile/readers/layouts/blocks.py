"""Binned threshold crossings in MATLAB 5 files that glue blocks together: cut where the block changes and laid out with unobserved time between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import source_name
from neuropile.readers.clock import trials
from neuropile.types import Reader, Recording, Spans, Subject, Trains

#: (first column, array, area) of the 256 columns: two arrays of 64 electrodes in area 6v, two in area 44, each in two banks of 32.
ARRAYS = (
    (0, "6v inferior", "6v"),
    (32, "6v superior", "6v"),
    (96, "6v inferior", "6v"),
    (128, "44 inferior", "44"),
    (160, "44 superior", "44"),
    (224, "44 inferior", "44"),
)

#: No bin of 20 ms holds more crossings: what says so is damaged, or a trap.
MAX_PER_BIN = 10_000


@dataclass(frozen=True)
class BlockCounts(Reader):
    """The reader of such a file.

    counts : the variable of counts, (bin, channel); tx1 is the threshold of -3.5 RMS, tx2 to tx4 are -4.5, -5.5 and -6.5
    block : the variable that numbers each bin's block
    bins_per_s : how many bins a second has
    subject : who was recorded
    """

    counts: str = "tx1"
    block: str = "blockNum"
    bins_per_s: int = 50
    subject: str = "T12"

    def session_name(self, path: Any) -> str:
        """The file's name without `.mat`; it has dots of its own."""
        return source_name.plain(path).name.removesuffix(".mat")

    def __call__(self, path: Any) -> Recording:
        """Read a file's counts, blocks and trials; of its other variables (raw audio among them) nothing is kept.

        Raises
        ------
        UnreadableFile : no such variables, counts that are not whole, or blocks that do not fit them
        """
        file = Variables(path)
        counts = file.whole_counts(self.counts)
        block = file.vector(self.block)
        if len(block) != len(counts):
            raise UnreadableFile(f"{path}: {self.counts} has {len(counts)} bins, {self.block} {len(block)}: nothing says which bin is of which block")
        firsts = np.flatnonzero(np.r_[True, block[1:] != block[:-1]])
        bins = np.diff(np.r_[firsts, len(block)])
        seconds = bins / self.bins_per_s
        offset = trials.lay_out(np.zeros(len(bins)), seconds)
        first_ticks = np.round(offset * self.bins_per_s).astype(np.int64)
        tick = np.repeat(first_ticks - firsts, bins) + np.arange(len(block))
        columns = {"src_block": pa.array(block[firsts].astype(np.int64))}
        intervals = {"blocks": trials.table(np.zeros(len(bins)), seconds, offset, columns)}
        found, notes = _trials(file, block, tick, self.bins_per_s)
        if found is not None:
            intervals["trials"] = found
        return Recording(
            session_id=safe_name(self.session_name(path)),
            units=_units(counts.shape[1]),
            trains=Trains(counts.shape[1], lambda unit: np.repeat(tick, counts[:, unit]), kind="ticks"),
            subject=Subject(self.subject),
            quantity="threshold_crossings",
            ticks_per_s=self.bins_per_s,
            clock="trials",
            intervals=intervals,
            observed=Spans.of(offset, offset + seconds),
            span_source="blocks",
            notes=notes,
            holds=f"{counts.shape[1]} channels in {len(bins)} blocks",
        )


class Variables:
    """The variables of a MATLAB 5 file, each read when it is asked for, once its size is believed."""

    def __init__(self, path: Any) -> None:
        from neuropile.readers.mat import mat5

        self.path = path
        if not path.is_file():
            raise UnreadableFile(f"{path}: no such file")
        self.nodes = mat5.walk(path)

    def load(self, name: str) -> Any:
        """A variable as scipy reads it, or UnreadableFile naming those there are."""
        from neuropile.readers.mat import mat5

        if name not in self.nodes:
            raise UnreadableFile(f"{self.path}: no variable {name!r}; the file has {', '.join(self.nodes) or 'none'}")
        return mat5.load(self.path, name)

    def vector(self, name: str) -> np.ndarray:
        """A variable of one row or column of numbers: (n,)."""
        values = self.load(name)
        if values.dtype.kind not in "biuf" or sum(n != 1 for n in values.shape) > 1:
            raise UnreadableFile(f"{self.path}: {name} holds {values.dtype} of shape {values.shape}, not one row of numbers")
        return values.reshape(-1)

    def matrix(self, name: str) -> np.ndarray:
        """A variable of two axes of numbers."""
        values = self.load(name)
        if values.dtype.kind not in "biuf" or values.ndim != 2:
            raise UnreadableFile(f"{self.path}: {name} holds {values.dtype} of shape {values.shape}, not a table of numbers")
        return values

    def whole_counts(self, name: str) -> np.ndarray:
        """A variable of counts, (bin, channel), as integers."""
        values = self.matrix(name)
        if values.dtype.kind == "f" and not np.all(np.isfinite(values) & (values == np.floor(values))):
            raise UnreadableFile(f"{self.path}: {name} holds values that are not whole: they are no counts")
        if values.size and not 0 <= values.min() <= values.max() <= MAX_PER_BIN:
            raise UnreadableFile(f"{self.path}: {name} holds values from {values.min()} to {values.max()}: they are no counts")
        return values if values.dtype.kind in "bu" else values.astype(np.int64)

    def texts(self, name: str) -> list[str]:
        """A cell of texts, or an array of characters with a text a row, as plain texts; [] where there is none."""
        return [text_of(v) for v in np.asarray(self.load(name)).reshape(-1)] if name in self.nodes else []


def text_of(value: Any) -> str:
    """Text from however deep scipy wraps it."""
    while isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return str(value).strip()


def _units(n_channels: int) -> pa.Table:
    ids = [str(c) for c in range(n_channels)]
    if n_channels != 256:
        return pa.table({"unit_id": ids})
    firsts = [first for first, _, _ in ARRAYS]
    own = [ARRAYS[int(np.searchsorted(firsts, c, "right")) - 1] for c in range(n_channels)]
    return pa.table({"unit_id": ids, "probe": [a for _, a, _ in own], "region": [r for _, _, r in own]})


def _trials(file: Variables, block: np.ndarray, tick: np.ndarray, bins_per_s: int) -> tuple[pa.Table | None, tuple[str, ...]]:
    """The trials, from the first bin of the delay (of going, where there is no delay) to the last of going; and what was left out."""
    if "goTrialEpochs" not in file.nodes:
        return None, ()
    go = _epochs(file, "goTrialEpochs")
    delay = _epochs(file, "delayTrialEpochs") if "delayTrialEpochs" in file.nodes else go
    if len(delay) != len(go):
        raise UnreadableFile(f"{file.path}: {len(delay)} delays for {len(go)} trials")
    first = np.minimum(delay[:, 0], go[:, 0])
    last = go[:, 1] - 1
    fits = (first >= 0) & (last < len(tick)) & (last >= go[:, 0])
    notes = (f"{np.count_nonzero(~fits)} trials were left out: their epochs lie outside the file's bins",) if not fits.all() else ()
    kept = np.flatnonzero(fits)
    if not len(kept):
        return None, notes
    columns: dict[str, Any] = {
        "start_s": tick[first[kept]] / bins_per_s,
        "stop_s": (tick[last[kept]] + 1) / bins_per_s,
        "go_cue_s": tick[go[kept, 0]] / bins_per_s,
        "offset_s": (tick[first[kept]] - first[kept]) / bins_per_s,
        "src_block": pa.array(block[go[kept, 0]].astype(np.int64)),
    }
    for name, texts in _words(file, len(go)).items():
        columns[name] = pa.array([texts[i] for i in kept.tolist()], pa.string())
    return pa.table(columns), notes


def _epochs(file: Variables, name: str) -> np.ndarray:
    """Epochs as half-open bins from 0; in the file they are both ends inclusive, from 1."""
    epochs = file.matrix(name)
    if epochs.shape[1] != 2 or not np.all(np.isfinite(epochs)):
        raise UnreadableFile(f"{file.path}: {name} has shape {epochs.shape}: sought a first and a last bin a trial")
    return epochs.astype(np.int64) - [1, 0]


def _words(file: Variables, n_trials: int) -> Mapping[str, list[str | None]]:
    """What was asked for on each trial: a sentence, or one of a list of cues."""
    found: dict[str, list[str | None]] = {}
    for name in ("sentences", "sentenceText"):
        texts = file.texts(name)
        if len(texts) == n_trials:
            found["src_sentence"] = list(texts)
    cues, words = (file.load("trialCues"), file.texts("cueList")) if "trialCues" in file.nodes else (np.empty((0, 1)), [])
    if len(cues) == n_trials and cues.ndim == 2 and cues.shape[1] and cues.dtype.kind in "iuf" and words:
        found["src_cue"] = [words[int(c) - 1] if 1 <= c <= len(words) else None for c in cues[:, 0].tolist()]
    return found


def counts(name: str = BlockCounts.counts, *, block: str = BlockCounts.block, bins_per_s: int = 50, subject: str = BlockCounts.subject) -> BlockCounts:
    """The reader of counts in blocks; see BlockCounts."""
    return BlockCounts(name, block, bins_per_s, subject)
