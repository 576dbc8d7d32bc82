"""Trials, epochs and invalid times of NWB files, compared with what pynwb reads from the same files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from pynwb.epoch import TimeIntervals

from neuropile.types import ALL_UNITS

TIMES = [(0.0, 1.0), (1.5, 2.0), (2.5, np.nan)]


@pytest.fixture
def spiking(nwb):
    """A file with two units on probe A and one on probe B."""
    nwb.add_unit_column("probe", "probe")
    for times, probe in (([1.0], "probeA"), ([2.0], "probeA"), ([3.0], "probeB")):
        nwb.add_unit(spike_times=times, probe=probe)
    return nwb


def add_trials(nwb, **columns):
    """A trial a pair of TIMES; each keyword is a column, a value a trial."""
    for name, values in columns.items():
        if name != "tags":
            nwb.add_trial_column(name, name, index=isinstance(values[0], list))
    for i, (start, stop) in enumerate(TIMES):
        nwb.add_trial(start_time=start, stop_time=stop, **{name: values[i] for name, values in columns.items()})
    return nwb


def invalid_of(recording):
    """Invalid spans as (unit, start, stop)."""
    spans = recording.invalid
    return [] if spans is None else list(zip(spans.unit.tolist(), spans.start_s.tolist(), spans.stop_s.tolist(), strict=True))


class TestTrials:
    def test_every_column_equals_pynwbs_and_keeps_its_name_behind_src(self, spiking, write, read, oracle):
        columns = {
            "contrast": [0.5, 1.0, np.nan],
            "n_licks": [3, 0, 7],
            "choice": ["left", "", "rïght"],
            "is_easy": [True, False, True],
            "licks": [[0.1, 0.2], [], [2.6]],
            "words": [["a"], ["b", "c"], []],
            "position": [np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0])],
            "tags": [["x"], ["y", "z"], ["x"]],
        }
        path = write(add_trials(spiking, **columns))
        ours, theirs = read(path).intervals["trials"], oracle(path).trials.to_dataframe()
        assert ours.column_names == ["start_s", "stop_s", *(f"src_{c}" for c in theirs.columns if c not in ("start_time", "stop_time"))]
        for name in columns:
            np.testing.assert_equal(ours.column(f"src_{name}").to_pylist(), [np.asarray(v).tolist() for v in theirs[name]])
        np.testing.assert_array_equal(ours.column("start_s").to_numpy(), theirs["start_time"])
        np.testing.assert_array_equal(ours.column("stop_s").to_numpy(), theirs["stop_time"])

    def test_a_column_with_a_meaning_of_ours_stands_under_both_names(self, spiking, write, read):
        path = write(add_trials(spiking, go_cue_time=[0.2, 1.6, np.nan], feedback_time=[0.5, 1.8, 2.9], is_mouse_rewarded=[True, False, True]))
        trials = read(path).intervals["trials"]
        for ours, source in (("go_cue_s", "src_go_cue_time"), ("feedback_s", "src_feedback_time"), ("correct", "src_is_mouse_rewarded")):
            np.testing.assert_array_equal(trials.column(ours).to_numpy(), trials.column(source).to_numpy())
        assert trials.column("correct").to_pylist() == [True, False, True]

    @pytest.mark.parametrize("values", [["0.2", "N/A", "?"], [[0.2], [1.6, 1.7], []]], ids=["text", "lists"])
    def test_a_column_of_our_meaning_but_not_one_number_a_trial_is_kept_as_the_sources_only(self, spiking, write, ingest, store, values):
        path = write(add_trials(spiking, go_cue_time=values))
        outcome = ingest(path)
        assert outcome.status == "stored", outcome.error
        trials = store[outcome.session].trials
        assert "go_cue_s" not in trials
        assert [np.asarray(v).tolist() for v in trials["src_go_cue_time"]] == values

    def test_a_truth_of_floats_is_not_read_as_correct(self, spiking, write, read):
        trials = read(write(add_trials(spiking, is_mouse_rewarded=[1.0, 0.0, np.nan]))).intervals["trials"]
        assert "correct" not in trials.column_names

    def test_trials_are_stored_as_they_were_read(self, spiking, write, read, ingest, store):
        path = write(add_trials(spiking, choice=["left", "right", "left"], licks=[[0.1, 0.2], [], [2.6]], go_cue_time=[0.2, 1.6, 2.7]))
        stored, read_back = store[ingest(path).session].trials, read(path).intervals["trials"]
        assert list(stored.columns) == ["start_s", "stop_s", "go_cue_s", "src_choice", "src_licks", "src_go_cue_time"]
        for name in stored.columns:
            np.testing.assert_equal([np.asarray(v).tolist() for v in stored[name]], read_back.column(name).to_pylist())

    def test_columns_that_refer_to_series_are_left_out_by_name(self, spiking, write, read):
        from pynwb import TimeSeries

        series = TimeSeries(name="speed", data=np.arange(50.0), unit="cm/s", rate=10.0, starting_time=0.0)
        spiking.add_acquisition(series)
        for start, stop in TIMES[:2]:
            spiking.add_trial(start_time=start, stop_time=stop, timeseries=[series])
        recording = read(write(spiking))
        assert recording.intervals["trials"].column("start_s").to_pylist() == [0.0, 1.5]
        assert any(n.startswith("left out, not table columns: ") and "/intervals/trials/timeseries" in n for n in recording.notes)

    def test_lists_of_lists_are_left_out_by_name(self, spiking, write, read):
        spiking.add_trial_column("bursts", "lists of lists", index=2)
        spiking.add_trial(start_time=0.0, stop_time=1.0, bursts=[[1.0], [2.0, 3.0]])
        recording = read(write(spiking))
        assert "left out, not table columns: /intervals/trials/bursts" in recording.notes


class TestOtherIntervals:
    def test_epochs_and_any_other_table_of_intervals_keep_their_names(self, spiking, write, read, oracle):
        spiking.add_epoch(start_time=0.0, stop_time=50.0, tags=["warm up"])
        spiking.add_epoch(start_time=50.0, stop_time=90.0, tags=["task", "dark"])
        sweeps = TimeIntervals(name="drifting gratings", description="sweeps")
        sweeps.add_column("orientation", "deg")
        for k in range(4):
            sweeps.add_interval(start_time=float(k), stop_time=k + 0.5, orientation=45.0 * k)
        spiking.add_time_intervals(sweeps)
        path = write(spiking)
        intervals, theirs = read(path).intervals, oracle(path)
        assert set(intervals) == {"epochs", "drifting_gratings"}
        assert intervals["epochs"].column("src_tags").to_pylist() == [["warm up"], ["task", "dark"]]
        table = theirs.intervals["drifting gratings"].to_dataframe()
        assert intervals["drifting_gratings"].column("src_orientation").to_pylist() == table["orientation"].tolist()
        assert intervals["drifting_gratings"].column("start_s").to_pylist() == table["start_time"].tolist()

    def test_tables_of_intervals_in_processing_are_found_and_clashing_names_part(self, spiking, write, read):
        for module in ("behavior", "sleep"):
            table = TimeIntervals(name="states", description=module)
            table.add_interval(start_time=0.0, stop_time=float(len(module)))
            spiking.create_processing_module(module, module).add(table)
        intervals = read(write(spiking)).intervals
        assert {name: t.column("stop_s").to_pylist() for name, t in intervals.items()} == {"states": [8.0], "processing_sleep_states": [5.0]}

    def test_a_table_called_observed_does_not_take_the_place_of_ours(self, spiking, write, ingest, store):
        table = TimeIntervals(name="observed", description="something else")
        table.add_interval(start_time=0.0, stop_time=0.25)
        spiking.add_time_intervals(table)
        session = store[ingest(write(spiking)).session]
        assert session.intervals["src_observed"]["stop_s"].tolist() == [0.25]
        assert session.observed.of(0).tolist() == [[100_000, 300_001]]

    def test_a_start_that_is_no_number_leaves_the_table_out_by_name(self, spiking, write, read):
        path = write(add_trials(spiking))
        with h5py.File(path, "r+") as f:
            del f["intervals/trials/start_time"]
            f["intervals/trials/start_time"] = ["a", "b", "c"]
        recording = read(path)
        assert "trials" not in recording.intervals
        assert any("/intervals/trials (its start_time is not one number a row)" in n for n in recording.notes)


class TestInvalidTimes:
    def test_without_tags_they_touch_every_unit(self, spiking, write, read, oracle):
        spiking.add_invalid_time_interval(start_time=1.0, stop_time=2.0)
        spiking.add_invalid_time_interval(start_time=5.0, stop_time=6.0)
        path = write(spiking)
        recording, theirs = read(path), oracle(path).invalid_times.to_dataframe()
        assert invalid_of(recording) == [(ALL_UNITS, a, b) for a, b in zip(theirs["start_time"], theirs["stop_time"], strict=True)]
        assert recording.intervals["invalid"].num_rows == 2

    @pytest.mark.parametrize("tags", [["probeB"], ["probeb_noise"], ["EcephysProbe", "probeB"], ["stimulus", "probeB"]])
    def test_tags_that_name_a_probe_touch_its_units_only(self, spiking, write, read, tags):
        spiking.add_invalid_time_interval(start_time=1.0, stop_time=2.0, tags=tags)
        assert invalid_of(read(write(spiking))) == [(2, 1.0, 2.0)]

    def test_tags_that_name_two_probes_touch_the_units_of_both(self, spiking, write, read):
        spiking.add_invalid_time_interval(start_time=1.0, stop_time=2.0, tags=["probeA", "probeB"])
        assert invalid_of(read(write(spiking))) == [(u, 1.0, 2.0) for u in range(3)]

    def test_tags_that_name_a_probe_without_units_touch_none(self, spiking, write, read):
        spiking.create_electrode_group("probeC", "a probe", "somewhere", spiking.create_device("device"))
        spiking.add_invalid_time_interval(start_time=1.0, stop_time=2.0, tags=["probeC"])
        assert invalid_of(read(write(spiking))) == []

    @pytest.mark.parametrize("tags", [["stimulus"], ["eye_tracking"], ["EyeTracking", "running"], ["optotagging"]])
    def test_tags_of_something_other_than_spikes_touch_none(self, spiking, write, read, tags):
        spiking.add_invalid_time_interval(start_time=1.0, stop_time=2.0, tags=tags)
        recording = read(write(spiking))
        assert recording.invalid is None
        assert recording.intervals["invalid"].num_rows == 1

    @pytest.mark.parametrize("tags", [["all_probes"], ["amplifier saturated"], ["probe"], ["probeAB"], ["subprobeA"]])
    def test_tags_that_name_no_probe_touch_every_unit(self, spiking, write, read, tags):
        spiking.add_invalid_time_interval(start_time=1.0, stop_time=2.0, tags=tags)
        assert invalid_of(read(write(spiking))) == [(ALL_UNITS, 1.0, 2.0)]

    def test_a_probe_of_one_letter_is_not_seen_in_every_word(self, nwb, write, read):
        nwb.add_unit_column("probe", "probe")
        nwb.add_unit(spike_times=[1.0], probe="A")
        nwb.add_unit(spike_times=[2.0], probe="B")
        nwb.add_invalid_time_interval(start_time=1.0, stop_time=2.0, tags=["all_probes"])
        nwb.add_invalid_time_interval(start_time=3.0, stop_time=4.0, tags=["probe B"])
        assert invalid_of(read(write(nwb))) == [(ALL_UNITS, 1.0, 2.0), (1, 3.0, 4.0)]

    def test_they_are_cut_out_of_what_was_observed(self, spiking, write, ingest, store):
        spiking.add_invalid_time_interval(start_time=1.5, stop_time=1.75, tags=["amplifier"])
        spiking.add_invalid_time_interval(start_time=2.25, stop_time=np.inf, tags=["probeB"])
        session = store[ingest(write(spiking)).session]
        assert session.observed.of(0).tolist() == [[100_000, 150_000], [175_000, 300_001]]
        assert session.observed.of(2).tolist() == [[100_000, 150_000], [175_000, 225_000]]
        assert session.record["span_source"] == "spikes, less invalid times"
        assert session.n_spikes == 3

    def test_rows_without_a_stop_or_running_backwards_touch_none(self, spiking, write, read):
        spiking.add_invalid_time_interval(start_time=1.0, stop_time=np.nan)
        spiking.add_invalid_time_interval(start_time=3.0, stop_time=2.0)
        recording = read(write(spiking))
        assert recording.invalid is None
        assert recording.intervals["invalid"].num_rows == 2
