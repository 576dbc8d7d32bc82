"""Sessions that the tests of this folder share."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sessions import KINDS, N, open_written

from neuropile import testing
from neuropile.types import Recording, Trains


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A session, its recording, and what a plain reading of the recording gives: ticks and observed tick spans of each unit."""
    recording = testing.recording(4, n_units=N, duration_s=40.0, **KINDS[request.param])
    ses = open_written(recording, tmp_path_factory.mktemp("session") / "s")
    ticks = [np.floor(recording.trains.read(u).astype(float) * 100_000 + 1e-3).astype(np.int64) for u in range(N)]
    observed = pd.read_parquet(ses.root / "intervals" / "observed.parquet")
    spans = [observed[observed.unit.isin([-1, u])][["start_tick", "stop_tick"]].to_numpy().tolist() for u in range(N)]
    start_s = recording.signals["running"].start_s
    return SimpleNamespace(ses=ses, recording=recording, ticks=ticks, spans=spans, start_s=start_s)


@pytest.fixture
def bursts(tmp_path):
    """Unit u1 fires 300 times in bin 9 of 0.5 s, on a clock of 1000 ticks a second."""
    trains = [np.array([0, 10, 9999]), np.full(300, 4700), np.array([], np.int64)]
    return open_written(Recording("s", pa.table({"unit_id": ["u0", "u1", "u2"]}), Trains(3, trains.__getitem__, "ticks"), ticks_per_s=1000), tmp_path / "s")
