"""A session far away, read by us and, from the same values as NWB, by pynwb over fsspec: requests, megabytes, milliseconds.

The server is on loopback, in a process of its own, and adds a delay to every answer; bandwidth is that of loopback.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
from fsspec.implementations.cached import CachingFileSystem
from pynwb import NWBHDF5IO

from benchmarks.common import REPEATS, stores
from benchmarks.serving import serving_apart
from neuropile.session import Session

Row = dict[str, object]
DELAYS_MS = (0, 20, 80)
N_UNITS, DURATION_S = 1500, 3600.0
WINDOW_S = (1800.0, 1810.0)
UNIT = 700


class Ours:
    """A stored session by its URL."""

    def __init__(self, url: str) -> None:
        self.session = Session(url)

    def units(self) -> int:
        """How many units there are, from their table."""
        return len(self.session.units)

    def one(self) -> int:
        """How many spikes one unit has, from its spike times."""
        return len(self.session.spikes(units=[UNIT]).times)

    def window(self) -> int:
        """How many spikes all units have in ten seconds."""
        return len(self.session.spikes(start=WINDOW_S[0], stop=WINDOW_S[1]).times)


class Peer:
    """The same session as an NWB file, by pynwb over fsspec with its own read-ahead cache."""

    def __init__(self, url: str, **cache: Any) -> None:
        self.file = h5py.File(fsspec.filesystem("http").open(url, **cache), "r")
        self.units_table = NWBHDF5IO(file=self.file, mode="r").read().units

    def units(self) -> int:
        """See Ours."""
        return len(self.units_table.to_dataframe(exclude={"spike_times", "obs_intervals"}))

    def one(self) -> int:
        """See Ours."""
        return len(self.units_table.get_unit_spike_times(UNIT))

    def window(self) -> int:
        """See Ours."""
        return sum(len(self.units_table.get_unit_spike_times(u, in_interval=WINDOW_S)) for u in range(N_UNITS))


def _measure(open_one: Callable[[], Any], ask: Callable[[float], list[tuple[str, str, int]]], delay_s: float, repeats: int) -> dict[str, list[float]]:
    """Medians of requests, bytes and seconds of each step in turn, the session opened anew each time."""
    steps: dict[str, list[tuple[int, int, float]]] = {"units": [], "one": [], "window": []}
    for _ in range(repeats):
        CachingFileSystem.clear_instance_cache()
        ask(delay_s)
        start = time.perf_counter()
        opened = open_one()
        for name, found in steps.items():
            getattr(opened, name)()
            seconds = time.perf_counter() - start
            requests = ask(delay_s)
            found.append((len(requests), sum(n for *_, n in requests), seconds))
            start = time.perf_counter()
    return {name: [statistics.median(f[i] for f in found) for i in range(3)] for name, found in steps.items()}


def tables(folder: Path) -> dict[str, list[Row]]:
    """A row a reader and step; the milliseconds with each delay."""
    store = stores(folder, N_UNITS, DURATION_S, real=False)["synthetic"]
    session = store[next(iter(store))]
    session.to_nwb(folder / "session.nwb")
    rows: list[Row] = []
    with serving_apart(folder) as (url, ask):
        path = session.root.relative_to(folder).as_posix()
        blocks = {"cache_type": "blockcache", "block_size": 1 << 18}
        readers: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
            "neuropile": (lambda: Ours(f"{url}/{path}"), DELAYS_MS),
            "pynwb, fsspec's default cache": (lambda: Peer(f"{url}/session.nwb"), DELAYS_MS),
            "pynwb, fsspec's block cache": (lambda: Peer(f"{url}/session.nwb", **blocks), DELAYS_MS),
        }
        said = {"units": "open and list the units", "one": "then one unit's spikes", "window": "then 10 s of all units"}
        for who, (open_one, delays) in readers.items():
            by_delay = {d: _measure(open_one, ask, d / 1e3, REPEATS if who == "neuropile" else 1) for d in delays}
            for step, text in said.items():
                requests, size, _ = by_delay[0][step]
                times = {f"ms at {d} ms": 1e3 * by_delay[d][step][2] for d in delays}
                rows.append({"what": text, "reader": who, "requests": int(requests), "MB": size / 1e6, **times})
        assert Ours(f"{url}/{path}").one() == Peer(f"{url}/session.nwb").one() == np.asarray(session.units["n_spikes"])[UNIT]
    return {"a remote session of 1500 units and an hour": rows}
