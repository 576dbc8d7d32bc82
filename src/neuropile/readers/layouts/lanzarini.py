"""MATLAB 5 files with a variable of spike times a unit, named after its channel and a letter: Spk_017b_sh."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import source_name
from neuropile.types import Reader, Recording, Spans, Trains

if TYPE_CHECKING:
    from neuropile.readers.mat.mat5 import Node

_UNIT = re.compile(r"^Spk_(?P<channel>\d{3})(?P<letter>[a-z])_sh$")
#: A silence of the whole array is a loss of signal where it is this long and the array's mean rate would have filled it with so many spikes.
MIN_LOSS_S, MIN_LOST = 1.0, 50
#: A loss begins so long after a spike and ends so long before the next, which are not in it.
_BESIDE_S = 1e-4


@dataclass(frozen=True)
class LetteredUnits(Reader):
    """The reader of such files.

    letter : only units of this letter; None takes all there are
    channels : how many channels from 000 on are there whatever the file holds, silent where it has nothing; None invents none
    """

    letter: str | None = None
    channels: int | None = None

    def session_name(self, path: Any) -> str:
        """The file's name without its suffix."""
        return source_name.plain(path).stem

    def __call__(self, path: Any) -> Recording:
        """Read all units of a file.

        Raises
        ------
        NoEvents : it has no variable of such a name
        UnreadableFile : it is damaged, or a variable holds something else than times
        """
        import pyarrow as pa

        from neuropile.readers.mat import mat5

        nodes = mat5.walk(path)
        there = {m["channel"] + m["letter"]: name for name in sorted(nodes) if (m := _UNIT.match(name))}
        if not there:
            raise NoEvents(f"{path}: sought variables such as Spk_017a_sh, found none; the file holds {', '.join(nodes) or 'nothing'}")
        ids = [i for i in there if self.letter in (None, i[3:])]
        if self.channels is not None:
            ids = [f"{c:03d}{self.letter or 'a'}" for c in range(self.channels)]
        times = [_times(path, there[i], nodes[there[i]]) if i in there else np.empty(0) for i in ids]
        lost = losses(times)
        others = [n for n in nodes if n not in there.values()]
        notes = [f"variables left out: {', '.join(others)}"] if others else []
        if len(lost.unit):
            notes.append(f"{len(lost.unit)} stretches of {MIN_LOSS_S:g} s or more without a spike on any channel are invalid: the signal was lost")
        return Recording(
            session_id=safe_name(self.session_name(path)),
            units=pa.table({"unit_id": ids, "src_channel": pa.array([int(i[:3]) for i in ids], pa.int64()), "src_letter": [i[3:] for i in ids]}),
            trains=Trains(len(ids), lambda unit: times[unit]),
            invalid=lost if len(lost.unit) else None,
            notes=tuple(notes),
            holds=", ".join(nodes),
        )


def _times(path: Any, name: str, node: Node) -> np.ndarray:
    """The times of one variable: the first row of its array, or its one column."""
    from neuropile.readers.mat import mat5

    numbers = node.dtype.startswith(("float", "int", "uint"))
    if not numbers or len(node.shape) != 2:
        raise UnreadableFile(f"{path}: {name} holds {node.dtype} of shape {node.shape}, not spike times")
    values = mat5.load(path, name)
    if not values.size:
        return np.empty(0)
    return np.asarray(values[:, 0] if values.shape[1] == 1 else values[0], np.float64)


def losses(times: list[np.ndarray]) -> Spans:
    """The silences of all units together that no chance explains: from the last spike before to the first behind."""
    every = np.sort(np.concatenate(times)) if times else np.empty(0)
    every = every[np.isfinite(every)]
    length = every[-1] - every[0] if every.size > 1 else 0.0
    if not length:
        return Spans.of([], [])
    least = max(MIN_LOSS_S, MIN_LOST * length / every.size)
    at = np.flatnonzero(np.diff(every) >= least)
    return Spans.of(every[at] + _BESIDE_S, every[at + 1] - _BESIDE_S)


def channels(*, letter: str | None = None, channels: int | None = None) -> LetteredUnits:
    """The reader of such files; see LetteredUnits."""
    return LetteredUnits(letter, channels)
