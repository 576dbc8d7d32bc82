"""FALCON files: the benchmark's own bins are bins of the clock, as its definition of them gives their counts."""

import numpy as np
import pytest
from pynwb import TimeSeries
from pynwb.behavior import BehavioralTimeSeries
from pynwb.file import Subject

from neuropile.errors import UnreadableFile
from neuropile.readers import nwb
from neuropile.readers.told import falcon, quality

UNITS = nwb.units()


def filled(nwbfile, times, *, name="grid", trains=None, mask=None, obs=None, **clock):
    nwbfile.subject = Subject(subject_id="MonkeyL-held-in-calib", species="Macaca mulatta", age="P5Y")
    rng = np.random.default_rng(3)
    for train in trains if trains is not None else [np.sort(rng.uniform(0, times[-1] + 1, 300)) for _ in range(3)]:
        nwbfile.add_unit(spike_times=train, **({} if obs is None else {"obs_intervals": np.array(obs)}))
    clock = clock or {"timestamps": times}
    nwbfile.add_acquisition(TimeSeries(name=name, data=np.arange(float(len(times))), unit="AU", **clock))
    mask = np.ones(len(times), bool) if mask is None else mask
    nwbfile.add_acquisition(TimeSeries(name="eval_mask", data=mask, unit="bool", **clock))
    return nwbfile


def benchmark_counts(train, ends):
    """The benchmark's rule: spikes in the 20 ms before each time stamp, the start included."""
    return np.array([np.count_nonzero((train >= e - 0.02) & (train < e)) for e in ends])


def counts_of(recording, unit, first, n):
    bins = np.floor(recording.trains.read(unit) * 50 + 5e-7).astype(int) - first
    return np.bincount(bins[(bins >= 0) & (bins < n)], minlength=n)


@pytest.mark.parametrize("start", [0.0, 0.02, 0.0137, 123.4567])
def test_counts_of_the_clocks_bins_are_those_of_the_benchmark(nwb, write, read, start) -> None:
    ends = start + 0.02 * np.arange(1, 101)
    path = write(filled(nwb, ends), "sub-MonkeyL-held-in-calib_ses-1.nwb")
    recording = read(path, falcon.task(UNITS, grid="acquisition/grid"))
    first = round(recording.observed.start_s[0] * 50)
    for unit in range(3):
        np.testing.assert_array_equal(counts_of(recording, unit, first, 100), benchmark_counts(read(path, UNITS).trains.read(unit), ends))
    assert abs(recording.source["src_clock_shift_s"]) <= 0.01 + 1e-9


def test_each_stretch_of_the_grid_is_observed_and_the_gap_is_not(nwb, write, read) -> None:
    ends = np.r_[0.5 + 0.02 * np.arange(1, 11), 2.0077 + 0.02 * np.arange(1, 21)]
    path = write(filled(nwb, ends, obs=[[0.0, 2.2077]]))
    recording = read(path, falcon.task(UNITS, grid="acquisition/grid"))
    spans = [(a, b) for u, a, b in zip(recording.observed.unit, recording.observed.start_s, recording.observed.stop_s, strict=True) if u == 0]
    assert spans == [pytest.approx((0.5, 0.7)), pytest.approx((2.0, 2.2))]
    for first, stretch in ((25, ends[:10]), (100, ends[10:20])):
        np.testing.assert_array_equal(counts_of(recording, 1, first, 10), benchmark_counts(read(path, UNITS).trains.read(1), stretch))


def test_evaluated_bins_are_intervals_and_the_mask_stays(nwb, write, read) -> None:
    ends = 0.02 * np.arange(1, 11)
    mask = np.array([0, 1, 1, 0, 0, 1, 1, 1, 1, 1], bool)
    recording = read(write(filled(nwb, ends, mask=mask)), falcon.task(UNITS, grid="acquisition/grid"))
    assert recording.intervals["evaluated"].to_pydict() == {"start_s": pytest.approx([0.02, 0.1]), "stop_s": pytest.approx([0.06, 0.2])}
    assert recording.signals["eval_mask"].data[:].tolist() == mask.tolist()


def test_a_period_where_a_rate_belongs_gives_time_stamps_and_an_offset_is_no_value(nwb, write, read) -> None:
    times = 0.033 + 0.02 * np.arange(20)
    recording = read(write(filled(nwb, times, rate=0.02, starting_time=0.0, offset=0.033)), falcon.task(UNITS, grid="acquisition/grid"))
    grid = recording.signals["grid"]
    assert grid.data[:].tolist() == list(range(20))
    assert grid.time_s[:].tolist() == pytest.approx(0.04 + 0.02 * np.arange(20))  # ends of bins that begin at 0.02 s
    assert recording.source["src_clock_shift_s"] == pytest.approx(0.007)


def test_a_series_that_starts_its_bins_may_lie_in_a_group_of_several(nwb, write, read) -> None:
    starts = 0.019 + 0.02 * np.arange(10)
    filled(nwb, starts)
    series = [TimeSeries(name=n, data=np.zeros(10), timestamps=starts, unit="AU") for n in ("index", "mrs")]
    nwb.add_acquisition(BehavioralTimeSeries(name="finger_vel", time_series=series))
    recording = read(write(nwb), falcon.task(UNITS, grid="acquisition/finger_vel", stamps="starts"))
    assert (recording.observed.start_s[0], recording.observed.stop_s[0]) == pytest.approx((0.02, 0.22))
    assert recording.signals["index"].time_s[:].tolist() == pytest.approx(0.02 + 0.02 * np.arange(10))


@pytest.mark.parametrize(
    ("name", "subject", "split"),
    [
        ("sub-MonkeyL-held-in-calib_ses-20120924_behavior+ecephys.nwb", "MonkeyL", "held-in-calib"),
        ("sub-T5-held-in-minival_ses-20220518.nwb", "T5", "held-in-minival"),
        ("sub-HumanPitt-held-out-calib_ses-19250126T113454.nwb", "HumanPitt", "held-out-calib"),
        ("renamed.nwb", "MonkeyL", "held-in-calib"),
    ],
)
def test_the_subject_is_the_animal_and_the_split_is_kept(nwb, write, read, name, subject, split) -> None:
    recording = read(write(filled(nwb, 0.02 * np.arange(1, 11)), name), falcon.task(UNITS, grid="acquisition/grid"))
    assert recording.subject.subject_id == subject
    assert recording.subject.species == "Macaca mulatta"
    assert recording.source["src_split"] == split


def test_units_are_told_to_be_multi_unit(nwb, write, read) -> None:
    recording = read(write(filled(nwb, 0.02 * np.arange(1, 11))), quality(falcon.task(UNITS, grid="acquisition/grid"), "mua", "the task says so"))
    assert recording.units.column("quality").to_pylist() == ["mua"] * 3
    assert recording.units.column("quality_rule").to_pylist() == ["the task says so"] * 3


def test_a_file_without_the_grid_says_what_was_sought(nwb, write, read) -> None:
    path = write(filled(nwb, 0.02 * np.arange(1, 11)))
    with pytest.raises(UnreadableFile, match="time stamps of acquisition/preprocessed_emg, found no such series"):
        read(path, falcon.task(UNITS, grid="acquisition/preprocessed_emg"))


def test_a_mask_of_another_length_is_noted_and_left_as_it_is(nwb, write, read) -> None:
    ends = 0.02 * np.arange(1, 11)
    filled(nwb, ends)
    nwb.add_acquisition(TimeSeries(name="emg", data=np.zeros(8), timestamps=ends[:8], unit="AU"))
    recording = read(write(nwb), falcon.task(UNITS, grid="acquisition/emg"))
    assert "evaluated" not in recording.intervals
    assert any("10 values for 8 bins" in n for n in recording.notes)


def test_observation_intervals_of_units_narrow_what_the_grid_observed(nwb, write, read) -> None:
    ends = 0.02 * np.arange(1, 51)
    path = write(filled(nwb, ends, obs=[[0.1, 0.3], [0.9, 5.0]]))
    observed = read(path, falcon.task(UNITS, grid="acquisition/grid")).observed
    for unit in range(3):
        own = observed.unit == unit
        assert observed.start_s[own].tolist() == pytest.approx([0.1, 0.9])
        assert observed.stop_s[own].tolist() == pytest.approx([0.3, 1.0])
