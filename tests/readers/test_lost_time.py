"""Time in which the signal was lost, and pauses between segments of voltage."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nwbfile import add_electrodes, add_units
from pynwb.ecephys import LFP, ElectricalSeries
from pynwb.epoch import TimeIntervals

from neuropile.readers import nwb as nwb_reader
from neuropile.readers.told import lost_time

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), min_size=1, max_size=8)


@given(SPANS)
def test_pauses_are_the_whole_seconds_between_first_and_last_that_no_span_covers(spans):
    """By counting: a second is paused if no span covers it."""
    spans = np.array([(a, a + n) for a, n in spans], float)
    covered = {s for a, b in spans.tolist() for s in range(int(a), int(b))}
    start, stop = lost_time.pauses(spans)
    paused = [s for a, b in zip(start.tolist(), stop.tolist(), strict=True) for s in range(int(a), int(b))]
    assert paused == sorted(set(range(min(covered), max(covered) + 1)) - covered)


def dropout(nwb, rows):
    table = TimeIntervals(name="neural_dropout", description="lost")
    for start, stop in rows:
        table.add_row(start_time=start, stop_time=stop)
    nwb.add_time_intervals(table)


def test_intervals_of_lost_signal_are_invalid_for_every_unit(nwb, write):
    dropout(nwb, [(0.5, 0.75), (float("nan"), 2.0), (3.0, 4.0)])
    reader = lost_time.intervals(nwb_reader.units(), "neural_dropout")
    with reader(write(add_units(nwb))) as recording:
        assert recording.invalid.start_s.tolist() == [0.5, 3.0]
        assert recording.invalid.stop_s.tolist() == [0.75, 4.0]
        assert set(recording.invalid.unit.tolist()) == {-1}


def test_they_join_the_invalid_times_the_file_has_itself(nwb, write):
    dropout(nwb, [(0.5, 0.75)])
    nwb.add_invalid_time_interval(start_time=8.0, stop_time=9.0)
    with lost_time.intervals(nwb_reader.units(), "neural_dropout")(write(add_units(nwb))) as recording:
        assert sorted(recording.invalid.start_s.tolist()) == [0.5, 8.0]


def test_a_file_without_the_table_is_read_as_it_is_and_that_is_told(nwb, write):
    with lost_time.intervals(nwb_reader.units(), "neural_dropout")(write(add_units(nwb))) as recording:
        assert recording.invalid is None
        assert "neural_dropout" in recording.notes[-1]


def test_time_between_segments_is_lost_wherever_they_lie_and_however_they_tell_time(nwb, write):
    add_electrodes(nwb, ["M1", "M1"])
    region = nwb.create_electrode_table_region([0, 1], "both")
    lfp = LFP()
    nwb.create_processing_module("ecephys", "lfp").add(lfp)
    lfp.add_electrical_series(ElectricalSeries(name="a", data=np.zeros((200, 2)), electrodes=region, rate=100.0, starting_time=0.0))
    nwb.add_acquisition(ElectricalSeries(name="b", data=np.zeros((100, 2)), electrodes=region, timestamps=5.0 + np.arange(100) / 100))
    with lost_time.between_segments(nwb_reader.units())(write(add_units(nwb))) as recording:
        np.testing.assert_allclose([recording.invalid.start_s[0], recording.invalid.stop_s[0]], [2.0, 5.0])
        assert len(recording.invalid.unit) == 1


def test_a_file_without_voltage_was_never_paused(nwb, write):
    with lost_time.between_segments(nwb_reader.units())(write(add_units(nwb))) as recording:
        assert recording.invalid is None
