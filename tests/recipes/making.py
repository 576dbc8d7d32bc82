"""Small datasets as their archives would hold them, with what a correct reading and what the published scripts make of each.

A module `made_<group>.py` beside this one registers a function a dataset with `@making("key")`. It writes the dataset's
files below a folder, under the paths the archive lists (and some that must not be taken), and returns a Made whose
numbers come from the definitions in plain numpy, never from the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class MadeSession:
    """What a stored session must hold.

    unit_ids : in stored order
    counts : (unit, bin) of `bin_width` from bin `first_bin` of the session's clock on, covering all spikes; None for signals
    signal : (time, unit), what `session.signals[quantity]` holds, for quantities that are no events
    observed : (span, 2) seconds, where all units share it; None where it is not checked
    """

    unit_ids: list[str]
    counts: np.ndarray | None = None
    first_bin: int = 0
    bin_width: str = "0.02"
    quantity: str = "spikes"
    signal: np.ndarray | None = None
    observed: np.ndarray | None = None
    subject_id: str | None = None
    recording_id: str | None = None
    set_aside: bool = False
    regions: list[str | None] | None = None


@dataclass(frozen=True)
class Made:
    """A dataset's sessions by name, and upstream's rows by (subject_id, session_id): (unit, bin) uint8, before they are cut."""

    sessions: Mapping[str, MadeSession]
    upstream: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)


MAKERS: dict[str, Callable[[Path], Made]] = {}


def making(key: str) -> Callable[[Callable[[Path], Made]], Callable[[Path], Made]]:
    """Register the maker of a dataset."""

    def register(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        MAKERS[key] = make
        return make

    return register
