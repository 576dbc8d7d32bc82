"""What the makers of monkeys' and people's datasets share: NWB files by pynwb, counts from whole numbers, and the published histogram."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject

WIDTH = 0.02


def blank(subject: str, species: str = "Macaca mulatta") -> NWBFile:
    """A file with nothing in it but who was recorded."""
    nwb = NWBFile(session_description="made up", identifier=subject, session_start_time=datetime(2009, 9, 10, tzinfo=UTC))
    nwb.subject = Subject(subject_id=subject, species=species, age="P5Y", sex="M")
    return nwb


def write(nwb: NWBFile, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def electrodes(nwb: NWBFile, n: int, location: str = "M1", **columns):
    """A row an electrode of one array; each keyword is a column."""
    group = nwb.create_electrode_group("array", "96 channels", location, nwb.create_device("Utah"))
    for name in columns:
        nwb.add_electrode_column(name, name)
    for i in range(n):
        nwb.add_electrode(location=location, group=group, **{name: values[i] for name, values in columns.items()})
    return nwb.create_electrode_table_region(list(range(n)), "all of them")


def random_ticks(rng: np.random.Generator, n_units: int, start: int, stop: int, n: int) -> list[np.ndarray]:
    """Spikes as distinct whole ticks of 10 us, sorted."""
    return [np.sort(rng.choice(np.arange(start, stop), n, replace=False)) for _ in range(n_units)]


def counted(bins: list[np.ndarray], first: int, n_bins: int) -> np.ndarray:
    """(unit, bin) from the bin each event of a unit lies in."""
    return np.stack([np.bincount(np.asarray(b, np.int64) - first, minlength=n_bins) for b in bins])


def published_histogram(trains: list[np.ndarray]) -> np.ndarray:
    """Float edges from 0 to the first at or past the last spike, the last bin closed; cast to uint8."""
    latest = max(t.max() for t in trains if len(t))
    edges = np.arange(0, latest + WIDTH, WIDTH)
    return np.stack([np.histogram(t, edges)[0] for t in trains]).astype(np.uint8)
