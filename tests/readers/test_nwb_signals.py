"""Behaviour series of NWB files as lazy signals, compared with what pynwb reads from the same files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hdmf.common import DynamicTable, VectorData
from pynwb import TimeSeries
from pynwb.behavior import BehavioralTimeSeries, Position, PupilTracking, SpatialSeries
from pynwb.ecephys import LFP, ElectricalSeries

from neuropile.readers.nwb import signals as nwb_signals

pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")


@pytest.fixture
def spiking(nwb):
    nwb.add_unit(spike_times=[1.0, 2.0])
    return nwb


def electrical(nwb, name="raw", n_samples=50, **clock):
    if nwb.electrodes is None:
        group = nwb.create_electrode_group("g", "g", "x", nwb.create_device("d"))
        nwb.add_electrode(location="x", group=group)
    region = nwb.create_electrode_table_region([0], "all")
    return ElectricalSeries(name=name, data=np.zeros((n_samples, 1)), electrodes=region, **clock)


def assert_equals_series(signal, series):
    """A signal holds the values, in the unit, and the times that pynwb gives a series."""
    values = np.asarray(series.data[:]) * series.conversion + series.offset
    np.testing.assert_array_equal(signal.data[:], values)
    assert signal.data.shape == values.shape
    assert signal.dims[0] == "time"
    assert (signal.unit, signal.description) == (series.unit, series.description)
    if series.timestamps is None:
        assert (signal.start_s, signal.rate_hz) == (series.starting_time, series.rate)
    else:
        np.testing.assert_array_equal(signal.time_s[:], series.timestamps[:])
        assert signal.start_s is signal.rate_hz is None


class TestSeries:
    @pytest.mark.parametrize(
        "clock", [{"timestamps": np.cumsum(np.linspace(0.01, 0.02, 40))}, {"starting_time": 3.25, "rate": 29.97}], ids=["timestamps", "rate"]
    )
    @pytest.mark.parametrize("scale", [{}, {"conversion": 0.01}, {"conversion": 2.0, "offset": -1.5}], ids=["plain", "scaled", "shifted"])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, bool])
    def test_a_series_has_the_values_and_times_pynwb_gives_it(self, spiking, write, read, oracle, clock, scale, dtype):
        data = (np.random.default_rng(0).normal(size=(40, 2)) * 100).astype(dtype)
        spiking.add_acquisition(TimeSeries(name="speed", description="how fast", data=data, unit="cm/s", **clock, **scale))
        path = write(spiking)
        signal = read(path).signals["speed"]
        assert_equals_series(signal, oracle(path).acquisition["speed"])
        assert signal.dims == ("time", "channel")

    def test_series_inside_containers_are_found(self, spiking, write, read, oracle):
        def series(kind, name, **more):
            return kind(name=name, data=np.arange(5.0) + len(name), timestamps=np.arange(5.0), **more)

        module = spiking.create_processing_module("behavior", "behaviour")
        module.add(Position(spatial_series=series(SpatialSeries, "head", reference_frame="box", unit="m")))
        module.add(BehavioralTimeSeries(time_series=[series(TimeSeries, "wheel", unit="rad"), series(TimeSeries, "lick rate", unit="Hz")]))
        module.add(PupilTracking(time_series=series(TimeSeries, "pupil_area", unit="mm2")))
        path = write(spiking)
        signals, theirs = read(path).signals, oracle(path).processing["behavior"]
        assert set(signals) == {"head", "wheel", "lick_rate", "pupil_area"}
        assert_equals_series(signals["head"], theirs["Position"]["head"])
        assert_equals_series(signals["wheel"], theirs["BehavioralTimeSeries"]["wheel"])
        assert_equals_series(signals["lick_rate"], theirs["BehavioralTimeSeries"]["lick rate"])
        assert_equals_series(signals["pupil_area"], theirs["PupilTracking"]["pupil_area"])

    def test_names_that_clash_grow_by_as_much_of_their_path_as_parts_them(self, spiking, write, read):
        for place in ("running", "eye"):
            module = spiking.create_processing_module(place, place)
            module.add(TimeSeries(name="speed", data=np.ones(3) * len(place), unit="a", rate=1.0))
        spiking.add_acquisition(TimeSeries(name="torque", data=np.ones(3), unit="a", rate=1.0))
        signals = read(write(spiking)).signals
        assert {name: float(s.data[0]) for name, s in signals.items()} == {"running_speed": 7.0, "eye_speed": 3.0, "torque": 1.0}

    @pytest.mark.parametrize(("name", "safe"), [("zarr.json", "zarr_json"), ("Zarr.JSON", "Zarr_JSON"), ("__x", "x"), (".hidden", "hidden")])
    def test_a_name_zarr_keeps_for_itself_is_made_safe(self, spiking, write, ingest, store, name, safe):
        path = write(spiking)
        with h5py.File(path, "r+") as f:
            for series in ("plain", name):
                group = f.create_group(f"acquisition/{series}")
                group["data"], group["timestamps"] = [1.0, 2.0], [0.0, 1.0]
        assert sorted(store[ingest(path).session].signals) == sorted(["plain", safe])

    def test_no_series_is_lost_where_two_names_are_one_once_made_safe(self, spiking, write, read):
        for value, name in enumerate(("pupil size", "pupil_size")):
            spiking.add_acquisition(TimeSeries(name=name, data=np.full(3, value), unit="a", rate=1.0))
        signals = read(write(spiking)).signals
        assert set(signals) == {"pupil_size", "pupil_size_2"}
        assert sorted(int(s.data[0]) for s in signals.values()) == [0, 1]

    def test_time_stamps_shared_by_two_series_serve_both(self, spiking, write, read):
        x = TimeSeries(name="x", data=np.arange(4.0), unit="m", timestamps=[0.1, 0.2, 0.4, 0.8])
        spiking.add_acquisition(x)
        spiking.add_acquisition(TimeSeries(name="y", data=np.arange(4.0), unit="m", timestamps=x))
        path = write(spiking)
        with h5py.File(path) as f:
            assert isinstance(f["acquisition/y"].get("timestamps", getlink=True), h5py.SoftLink)
        assert read(path).signals["y"].time_s[:].tolist() == [0.1, 0.2, 0.4, 0.8]

    def test_signals_read_only_the_rows_asked_for(self, spiking, write, read):
        spiking.add_acquisition(TimeSeries(name="speed", data=np.arange(1000), unit="a", rate=1.0, conversion=0.5))
        signal = read(write(spiking)).signals["speed"]
        assert not isinstance(signal.data, np.ndarray)
        assert signal.data[10:13].tolist() == [5.0, 5.5, 6.0]

    def test_a_stored_signal_is_what_was_read(self, spiking, write, ingest, store, oracle):
        data = np.random.default_rng(1).normal(size=(300, 3)).astype(np.float32)
        spiking.add_acquisition(TimeSeries(name="pose", description="where", data=data, unit="px", starting_time=2.0, rate=60.0))
        spiking.add_acquisition(TimeSeries(name="lick", data=np.arange(4, dtype=np.int16), unit="V", conversion=0.5, timestamps=[0.0, 0.5, 0.75, 9.0]))
        signals = store[ingest(write(spiking)).session].signals
        np.testing.assert_array_equal(signals["pose"].values, data)
        np.testing.assert_allclose(signals["pose"]["time"].values, 2.0 + np.arange(300) / 60.0, rtol=0, atol=1e-12)
        assert signals["lick"].values.tolist() == [0.0, 0.5, 1.0, 1.5]
        assert signals["lick"]["time"].values.tolist() == [0.0, 0.5, 0.75, 9.0]
        assert signals["lick"].attrs["unit"] == "V"


class TestLeftOut:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ("timestamps", "a signal has 6 samples and 5 time stamps"),
            ("flat", "its time stamps are not one row of numbers"),
            ("text", "not numbers"),
            ("empty", "empty"),
            ("untimed", "neither time stamps nor a start"),
            ("rate", "its rate is 0.0 Hz"),
            ("start", "its start is nan"),
            ("conversion", "its conversion is no number"),
        ],
    )
    def test_a_series_at_odds_with_itself_is_left_out_with_the_reason_and_the_units_stand(self, spiking, write, ingest, change, why):
        clock = {"starting_time": 0.0, "rate": 1.0} if change in ("rate", "start") else {"timestamps": np.arange(6.0)}
        spiking.add_acquisition(TimeSeries(name="odd", data=np.arange(6.0), unit="a", **clock))
        spiking.add_acquisition(TimeSeries(name="fine", data=np.arange(6.0), unit="a", rate=1.0))
        path = write(spiking)
        with h5py.File(path, "r+") as f:
            series = f["acquisition/odd"]

            def replace(name, value):
                attributes = dict(series[name].attrs)
                del series[name]
                series[name] = value
                series[name].attrs.update(attributes)

            if change == "timestamps":
                replace("timestamps", np.arange(5.0))
            elif change == "flat":
                replace("timestamps", np.zeros((6, 2)))
            elif change == "text":
                replace("data", ["a"] * 6)
            elif change == "empty":
                replace("data", np.empty(0))
            elif change == "untimed":
                del series["timestamps"]
            elif change == "rate":
                series["starting_time"].attrs["rate"] = 0.0
            elif change == "start":
                series["starting_time"][...] = np.nan
            else:
                series["data"].attrs["conversion"] = "much"
        outcome = ingest(path)
        assert outcome.status == "stored", outcome.error
        assert f"series left out: acquisition/odd ({why})" in outcome.notes

    def test_a_table_with_columns_called_data_and_timestamps_is_no_series(self, spiking, write, read):
        columns = [VectorData(name=n, description=n, data=np.arange(4.0)) for n in ("data", "timestamps")]
        spiking.create_processing_module("behavior", "a table").add(DynamicTable(name="events", description="a table", columns=columns))
        assert read(write(spiking)).signals == {}

    def test_voltage_is_no_signal_wherever_it_lies(self, spiking, write, read):
        spiking.add_acquisition(electrical(spiking, rate=10.0, starting_time=0.0))
        spiking.create_processing_module("ecephys", "lfp").add(LFP(electrical_series=electrical(spiking, "lfp", rate=5.0)))
        recording = read(write(spiking))
        assert recording.signals == {}
        assert "series left out: acquisition/raw (ElectricalSeries), processing/ecephys/LFP/lfp (ElectricalSeries)" in recording.notes


class TestObservedSpan:
    def test_raw_voltage_gives_the_span_from_its_start_and_rate(self, spiking, write, read):
        spiking.add_acquisition(electrical(spiking, n_samples=50, starting_time=0.5, rate=10.0))
        recording = read(write(spiking))
        assert (recording.observed.start_s.tolist(), recording.observed.stop_s.tolist()) == ([0.5], [5.5])
        assert recording.span_source == "acquisition times"

    def test_raw_voltage_gives_the_span_from_its_time_stamps(self, spiking, write, read):
        spiking.add_acquisition(electrical(spiking, n_samples=5, timestamps=[1.0, 1.5, 2.0, 2.5, 3.0]))
        recording = read(write(spiking))
        assert (recording.observed.start_s.tolist(), recording.observed.stop_s.tolist()) == ([1.0], [3.5])

    def test_every_raw_series_is_a_span_and_filtered_voltage_is_none(self, spiking, write, read):
        spiking.add_acquisition(electrical(spiking, "first", n_samples=10, starting_time=0.0, rate=10.0))
        spiking.add_acquisition(electrical(spiking, "second", n_samples=10, starting_time=5.0, rate=10.0))
        spiking.create_processing_module("ecephys", "lfp").add(LFP(electrical_series=electrical(spiking, "lfp", starting_time=100.0, rate=5.0)))
        spans = read(write(spiking)).observed
        assert list(zip(spans.start_s.tolist(), spans.stop_s.tolist(), strict=True)) == [(0.0, 1.0), (5.0, 6.0)]

    def test_observation_intervals_go_before_the_voltage(self, nwb, write, read):
        nwb.add_unit(spike_times=[1.0, 2.0], obs_intervals=[[0.0, 3.0]])
        nwb.add_acquisition(electrical(nwb, starting_time=0.0, rate=10.0))
        recording = read(write(nwb))
        assert recording.span_source == "obs_intervals"
        assert recording.observed.stop_s.tolist() == [3.0]

    def test_voltage_whose_times_run_backwards_tells_nothing(self, spiking, write, read):
        spiking.add_acquisition(electrical(spiking, n_samples=3, timestamps=[5.0, 3.0, 1.0]))
        recording = read(write(spiking))
        assert recording.observed is None
        assert recording.span_source == "spikes"


def test_the_list_of_what_is_no_behaviour_names_kinds_pynwb_knows():
    import pynwb

    known = {cls.__name__ for cls in pynwb.get_manager().type_map.get_container_classes("core")}
    assert not nwb_signals.NOT_BEHAVIOUR - known
