"""Series of counts in NWB files: every count an event of its bin, on the clock the time stamps tell, as pynwb reads them."""

import h5py
import numpy as np
import pytest
from nwbfile import add_electrodes
from pynwb import TimeSeries
from pynwb.ecephys import ElectricalSeries

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers.nwb import counts as nwb_counts
from neuropile.readers.upstream import series as upstream_series

READER = nwb_counts.series("acquisition/counts")


def with_counts(nwb, data, name="counts", **clock):
    nwb.add_acquisition(TimeSeries(name=name, data=data, unit="counts", **(clock or {"rate": 50.0})))
    return nwb


def dense(recording, n_bins, ticks_per_bin=1):
    return np.stack([np.bincount(recording.trains.read(u) // ticks_per_bin, minlength=n_bins) for u in range(recording.trains.n_units)])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, bool])
def test_every_count_pynwb_reads_is_that_many_events_of_its_bin(nwb, write, read, oracle, dtype) -> None:
    counts = np.random.default_rng(0).integers(0, 2 if dtype is bool else 9, (200, 7)).astype(dtype)
    path = write(with_counts(nwb, counts, rate=100.0, starting_time=3.0))
    recording = read(path, READER)
    series = oracle(path).acquisition["counts"]
    assert (recording.ticks_per_s, recording.quantity) == (100, "counts")
    np.testing.assert_array_equal(dense(recording, 500)[:, 300:], np.asarray(series.data).T.astype(int))
    assert (recording.observed.start_s, recording.observed.stop_s) == (3.0, 5.0)


def test_counts_are_read_in_parts_as_they_are_whole(nwb, write, read, monkeypatch) -> None:
    from neuropile.readers.nwb import counts_file as nwb_counts_file

    counts = np.random.default_rng(1).poisson(1.0, (333, 5))
    path = write(with_counts(nwb, counts))
    monkeypatch.setattr(nwb_counts_file, "_VALUES_AT_ONCE", 17)
    np.testing.assert_array_equal(dense(read(path, READER), 333), counts.T)


def test_channels_bring_what_the_electrodes_table_says_of_those_the_series_names(nwb, write, read) -> None:
    add_electrodes(nwb, ["M1", "PMd", "S1"], row=[7, 8, 9])
    region = nwb.create_electrode_table_region([2, 0], "two of them, the last first")
    nwb.add_analysis(ElectricalSeries(name="counts", data=np.ones((4, 2), int), electrodes=region, rate=50.0))
    recording = read(write(nwb), nwb_counts.series("nowhere/counts", "analysis/counts"))
    assert recording.units.column("region").to_pylist() == ["S1", "M1"]
    assert recording.units.column("src_electrode_row").to_pylist() == [9, 7]
    assert recording.units.column("unit_id").to_pylist() == ["0", "1"]


def test_trials_and_behaviour_move_with_the_bins(nwb, write, read) -> None:
    times = np.r_[1.013 + 0.02 * np.arange(10), 9.0 + 0.02 * np.arange(10)]
    with_counts(nwb, np.ones((20, 3), int), timestamps=times)
    nwb.add_acquisition(TimeSeries(name="cursor", data=np.arange(20.0), timestamps=times, unit="cm"))
    nwb.add_trial_column("go_time", "when to go")
    nwb.add_trial(start_time=1.013, stop_time=1.213, go_time=1.113)
    recording = read(write(nwb), READER)
    assert recording.observed.start_s.tolist() == [1.02, 9.0]  # 1.013 s is 50.65 bins: the nearest begins at 1.02 s
    assert recording.signals["cursor"].time_s[:].tolist() == pytest.approx([*(1.02 + 0.02 * np.arange(10)), *(9 + 0.02 * np.arange(10))])
    trial = recording.intervals["trials"].to_pylist()[0]
    assert (trial["start_s"], trial["stop_s"], trial["src_go_time"], trial["offset_s"]) == pytest.approx((1.02, 1.22, 1.12, 0.007))
    assert "counts" not in recording.signals
    assert any("2 stretches" in n for n in recording.notes)


def test_the_analysis_group_gives_signals_too_voltage_or_not(nwb, write, read) -> None:
    with_counts(nwb, np.ones((4, 2), int))
    add_electrodes(nwb, ["M1", "M1"])
    region = nwb.create_electrode_table_region([0, 1], "both")
    nwb.add_analysis(ElectricalSeries(name="power", data=np.ones((4, 2)), electrodes=region, rate=50.0))
    assert set(read(write(nwb), READER).signals) == {"power"}


def test_a_series_of_analysis_without_times_is_left_out_and_named(nwb, write, read) -> None:
    with_counts(nwb, np.ones((4, 2), int))
    nwb.add_analysis(TimeSeries(name="timeless", data=np.ones(4), rate=50.0, unit="AU"))
    path = write(nwb)
    with h5py.File(path, "r+") as file:
        del file["analysis/timeless/starting_time"]
    recording = read(path, READER)
    assert not recording.signals
    assert any("analysis/timeless" in n and "neither time stamps nor a start" in n for n in recording.notes)


def test_bins_with_missing_counts_are_not_observed(nwb, write, read) -> None:
    counts = np.ones((10, 2))
    counts[3:5, 1] = np.nan
    recording = read(write(with_counts(nwb, counts)), READER)
    assert recording.observed.start_s.tolist() == pytest.approx([0.0, 0.1])
    assert recording.observed.stop_s.tolist() == pytest.approx([0.06, 0.2])
    assert any("2 of 10 bins" in n for n in recording.notes)


@pytest.mark.parametrize(("value", "found"), [(0.5, "0.5"), (-1.0, "-1.0"), (70_000.0, "70000"), (np.inf, "inf")])
def test_values_that_are_no_counts_are_told(nwb, write, read, value, found) -> None:
    counts = np.zeros((10, 2))
    counts[4, 1] = value
    path = write(with_counts(nwb, counts))
    with pytest.raises(UnreadableFile, match=f"holds {found}.*may be rates"):
        read(path, READER)


def test_a_file_without_the_series_names_where_it_was_sought(nwb, write, read) -> None:
    path = write(with_counts(nwb, np.zeros((4, 2)), name="others"))
    with pytest.raises(NoEvents, match=r"sought a series of counts.*acquisition/counts"):
        read(path, READER)


def test_time_stamps_of_another_number_are_told(nwb, write, read) -> None:
    path = write(with_counts(nwb, np.zeros((4, 2)), timestamps=np.arange(4) * 0.02))
    with h5py.File(path, "r+") as file:
        del file["acquisition/counts/timestamps"]
        file["acquisition/counts/timestamps"] = np.arange(3) * 0.02
    with pytest.raises(UnreadableFile, match="4 samples and 3 time stamps"):
        read(path, READER)


def test_an_announced_size_that_is_not_there_is_refused(nwb, write, read) -> None:
    path = write(with_counts(nwb, np.zeros((4, 2))))
    with h5py.File(path, "r+") as file:
        del file["acquisition/counts/data"]
        file["acquisition/counts"].create_dataset("data", shape=(10**9, 192), dtype="f8", chunks=(1000, 192))
    with pytest.raises(UnreadableFile, match="the file is damaged"):
        read(path, READER)
    with pytest.raises(UnreadableFile, match="the file is damaged"):
        read(path, upstream_series.samples("acquisition/counts"))


def test_upstream_stops_where_a_cast_would_be_undefined(nwb, write, read) -> None:
    counts = np.ones((4, 2))
    counts[1, 1] = np.nan
    path = write(with_counts(nwb, counts))
    with pytest.raises(UnreadableFile, match="nobody can tell"):
        read(path, upstream_series.samples("acquisition/counts"))
