"""What the benchmarks share: medians, and sessions real and made up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from neuropile import Store, building, create_store, readers
from neuropile.cli.demo import bundled
from neuropile.types import Recording, Trains
from neuropile.writing import Provenance

REPEATS = 5


def median_s(job: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median time of a job in seconds, after one run that is not counted (compiling, caches)."""
    job()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def synthetic(n_units: int, duration_s: float, seed: int = 0) -> Recording:
    """Poisson spikes whose rates are log-normal with a median of 2.2 Hz and a mean of 0.098 a 20 ms bin."""
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(2 * np.log(0.098 / 0.02 / 2.2))
    rates = rng.lognormal(np.log(2.2), sigma, n_units)

    def read(unit: int) -> np.ndarray:
        own = np.random.default_rng((seed, unit))
        return np.sort(own.uniform(0, duration_s, own.poisson(rates[unit] * duration_s)))

    metrics = {f"metric_{i}": rng.normal(size=n_units) for i in range(30)}  # as many as a sorted session has
    units = pa.table({"unit_id": [str(i) for i in range(n_units)], **metrics})
    return Recording("synthetic", units, Trains(n_units, read))


def stores(folder: Path, n_units: int = 800, duration_s: float = 1500.0, *, real: bool = True) -> dict[str, Store]:
    """A store of the bundled real recordings, where asked for, and one of synthetic spikes."""
    found = {}
    if real:
        found["real"] = create_store(folder / "real")
        for source, files in bundled():
            building.ingest(files, found["real"], readers.find, dataset=source["dataset"])
    found["synthetic"] = create_store(folder / "synthetic")
    building.add_recording(found["synthetic"], synthetic(n_units, duration_s), Provenance("synthetic", (), "benchmarks"))
    return found
