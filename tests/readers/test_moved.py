"""A recording on another clock: whatever has times moves by one rule, and what are durations stay."""

import numpy as np
import pyarrow as pa
import pytest

from neuropile.readers.clock.moved import moved
from neuropile.types import Recording, Signal, Spans, Trains

TRAINS = [np.array([0.5, 4.0]), np.empty(0)]


def recorded(**more) -> Recording:
    units = pa.table({"unit_id": ["0", "1"]})
    return Recording("s", units, Trains(2, lambda u: TRAINS[u]), **more)


def double(times: np.ndarray) -> np.ndarray:
    assert np.isfinite(times).all()
    return times * 2


def test_spikes_and_signals_move_and_values_do_not() -> None:
    signals = {
        "irregular": Signal(np.arange(3.0), ("time",), time_s=np.array([0.0, 1.0, 5.0])),
        "regular": Signal(np.arange(4.0), ("time",), start_s=1.0, rate_hz=2.0),
        "timeless": Signal(np.ones((2, 5)), ("unit", "sample")),
    }
    done = moved(recorded(signals=signals), double, whole=False)
    assert [done.trains.read(u).tolist() for u in range(2)] == [[1.0, 8.0], []]
    assert done.signals["irregular"].time_s[:].tolist() == [0.0, 2.0, 10.0]
    assert done.signals["regular"].time_s[1:3].tolist() == [3.0, 4.0]
    assert done.signals["regular"].data.tolist() == [0, 1, 2, 3]
    assert done.signals["timeless"].time_s is None


@pytest.mark.parametrize(("whole", "stop", "go"), [(False, 6.0, 3.0), (True, 4.0, 2.5)])
def test_rows_move_each_time_by_itself_or_as_their_start_does(whole, stop, go) -> None:
    row = {
        "start_s": [1.0, None],
        "stop_s": [3.0, 7.0],
        "src_go_time": [1.5, None],
        "src_wait_time": [-5.0, -4.0],
        "src_side": ["left", "right"],
        "correct": [True, None],
    }
    table = pa.table(row | {"start_s": pa.array(row["start_s"], pa.float64())})
    done = moved(recorded(intervals={"trials": table, "blocks": table.select(["start_s", "stop_s"])}), double, whole=whole)
    trials = done.intervals["trials"].to_pydict()
    assert trials["start_s"] == [2.0, None]
    assert trials["stop_s"][0] == stop
    assert trials["src_go_time"] == [go, None]
    assert trials["src_wait_time"] == [-5.0, -4.0]  # no moments of these rows
    assert trials["src_side"] == ["left", "right"]
    assert trials["offset_s"] == [1.0, None]
    assert done.intervals["blocks"].column_names == ["start_s", "stop_s"]


@pytest.mark.parametrize(("whole", "stops"), [(False, [4.0, np.inf]), (True, [3.0, np.inf])])
def test_observed_and_invalid_spans_move_and_stay_endless(whole, stops) -> None:
    spans = Spans.of([1.0, 3.0], [2.0, np.inf])
    done = moved(recorded(observed=spans, invalid=Spans.of(-np.inf, 1.0)), double, whole=whole)
    assert done.observed.start_s.tolist() == [2.0, 6.0]
    assert done.observed.stop_s.tolist() == stops
    assert done.invalid.start_s.tolist() == [-np.inf]
