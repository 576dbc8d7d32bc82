"""Recordings to write, and what was written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from neuropile.types import Asset, Recording, Trains
from neuropile.writing import Provenance, write_session

PROVENANCE = Provenance("test", (Asset("file.nwb", 3, "00ff"),), "reader()", license="CC-BY-4.0", citation="doi:1")


def written(folder: Path, recording: Recording, provenance: Provenance = PROVENANCE) -> dict:
    folder.mkdir(parents=True)
    return write_session(recording, folder, provenance)


def of_trains(trains, *, kind="seconds", sample_rate=None, **fields) -> Recording:
    """A bare recording of literal trains."""
    arrays = [np.asarray(t) for t in trains]
    units = pa.table({"unit_id": [f"u{i}" for i in range(len(arrays))]})
    return Recording("s", units, Trains(len(arrays), arrays.__getitem__, kind, sample_rate), **fields)


def stored_trains(folder: Path, n_units: int) -> list[list[int]]:
    table = pd.read_parquet(folder / "spikes.parquet")
    return [sorted(table.tick[table.unit == u].tolist()) for u in range(n_units)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
