"""Recordings with ordinary imperfections, and the spans in which their units were observed."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from writings import of_trains, stored_trains, written

from neuropile.errors import BadTimes, NoEvents, UnreadableFile
from neuropile.session import Session
from neuropile.types import Spans

# Ordinary imperfection


@pytest.mark.parametrize(("n_outside", "warned"), [(0, False), (2, False), (3, True)])
def test_spikes_outside_the_spans_are_kept_counted_and_warned_about_above_one_percent(tmp_path, n_outside, warned):
    times = np.r_[np.linspace(0.1, 9.9, 200 - n_outside), 20.0 + np.arange(n_outside)]
    marker = written(tmp_path / "s", of_trains([times], observed=Spans.of(0.0, 10.0), span_source="obs_intervals"))
    assert marker["n_spikes"] == 200
    assert marker["n_spikes_outside_observed"] == n_outside
    assert len(stored_trains(tmp_path / "s", 1)[0]) == 200
    warning = f"{n_outside} of 200 spikes lie outside the observed spans (obs_intervals): the spans are probably wrong"
    assert (warning in marker["notes"]) == warned


def test_spikes_in_invalid_times_are_outside_but_no_reason_to_doubt_the_spans(tmp_path):
    marker = written(tmp_path / "s", of_trains([np.arange(100.0)], observed=Spans.of(0.0, 100.0), invalid=Spans.of(50.0, 60.0)))
    assert marker["n_spikes_outside_observed"] == 10
    assert marker["notes"] == []


def test_a_rate_is_over_the_observed_time_and_its_spikes(tmp_path):
    written(tmp_path / "s", of_trains([[1.0, 2.0, 3.0, 50.0], []], observed=Spans.of(0.0, 10.0)))
    assert pd.read_parquet(tmp_path / "s" / "units.parquet").rate_hz.tolist() == [0.3, 0.0]


def test_a_unit_never_observed_has_no_rate(tmp_path):
    written(tmp_path / "s", of_trains([[1.0], [2.0]], observed=Spans.of(0.0, 10.0, 0)))
    assert pq.read_table(tmp_path / "s" / "units.parquet").column("rate_hz").to_pylist() == [0.1, None]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_times_that_are_not_finite_are_dropped_and_counted(tmp_path, bad):
    marker = written(tmp_path / "s", of_trains([np.r_[np.arange(99.0), bad], np.arange(10.0)]))
    assert marker["n_spikes"] == 109
    assert marker["notes"] == ["1 of 110 spike times were NaN or infinite and were dropped"]


def test_more_than_one_percent_not_finite_is_an_error(tmp_path):
    with pytest.raises(BadTimes, match=r"^s: 2 of 101 spike times are NaN or infinite, more than 1 %: not a usable recording$"):
        written(tmp_path / "s", of_trains([np.r_[np.arange(99.0), np.nan, np.nan]]))
    assert not (tmp_path / "s" / "session.json").exists()


def test_unsorted_trains_are_sorted_and_noted(tmp_path):
    marker = written(tmp_path / "s", of_trains([[3.0, 1.0, 2.0], [1.0, 2.0], [5.0, 4.0]]))
    assert stored_trains(tmp_path / "s", 3)[0] == [100_000, 200_000, 300_000]
    assert marker["notes"] == ["2 spike trains were not in time order and were sorted"]


def test_silent_units_are_rows_without_spikes(tmp_path):
    marker = written(tmp_path / "s", of_trains([[], [1.0], []]))
    units = pd.read_parquet(tmp_path / "s" / "units.parquet")
    assert marker["n_units"] == 3
    assert units.n_spikes.tolist() == [0, 1, 0]


def test_a_recording_without_a_single_spike_is_an_error_that_says_what_it_holds(tmp_path):
    with pytest.raises(NoEvents, match=r"^s: sought spikes, found 2 units without a single one; the file holds 3 images$"):
        written(tmp_path / "s", of_trains([[], []], holds="3 images"))


def test_32_bit_times_are_noted_with_their_resolution(tmp_path):
    trains = [np.array([1.0, np.nan], np.float32), np.array([1000.0], np.float32), np.linspace(0, 1, 200, dtype=np.float32)]
    marker = written(tmp_path / "s", of_trains(trains))
    assert "spike times are 32-bit floats at the source, 6.1e-05 s apart at the end of the recording" in marker["notes"]


def test_the_notes_of_the_reader_come_first(tmp_path):
    marker = written(tmp_path / "s", of_trains([[2.0, 1.0]], notes=("two unit ids were alike",)))
    assert marker["notes"] == ["two unit ids were alike", "1 spike trains were not in time order and were sorted"]


def test_times_that_are_samples_become_ticks_in_whole_numbers(tmp_path):
    samples = np.arange(0, 300_000, 7)
    written(tmp_path / "s", of_trains([samples / 30_000], sample_rate=Fraction(30_000)))
    assert stored_trains(tmp_path / "s", 1)[0] == [s * 10 // 3 for s in samples.tolist()]


def test_ticks_of_a_binned_source_are_kept(tmp_path):
    marker = written(tmp_path / "s", of_trains([np.array([3, 0, 0, 9], np.uint16)], kind="ticks", ticks_per_s=50, quantity="counts"))
    assert stored_trains(tmp_path / "s", 1)[0] == [0, 0, 3, 9]
    assert (marker["ticks_per_s"], marker["quantity"], marker["duration_s"]) == (50, "counts", 0.2)


def test_a_column_of_another_kind_fails_clearly(tmp_path):
    units = pa.table({"unit_id": ["u0"], "depth_um": ["deep"]})
    with pytest.raises(UnreadableFile, match="column depth_um should hold double"):
        written(tmp_path / "s", replace(of_trains([[1.0]]), units=units))


# Observed spans


def observed_of(folder: Path) -> list[list[float]]:
    return pd.read_parquet(folder / "intervals" / "observed.parquet")[["unit", "start_s", "stop_s"]].to_numpy().tolist()


def test_invalid_times_are_taken_out_of_what_was_observed(tmp_path):
    marker = written(tmp_path / "s", of_trains([[1.0]], observed=Spans.of([0.0, 5.0], [4.0, 9.0]), invalid=Spans.of([3.0, 8.5], [6.0, 20.0])))
    assert observed_of(tmp_path / "s") == [[-1, 0.0, 3.0], [-1, 6.0, 8.5]]
    assert (marker["duration_s"], marker["observed_s"]) == (8.5, 5.5)
    assert marker["span_source"] == "spikes, less invalid times"


def test_units_with_the_same_spans_share_them(tmp_path):
    written(tmp_path / "s", of_trains([[1.0], [2.0]], observed=Spans.of([0.0, 0.0], [4.0, 4.0], [0, 1])))
    assert observed_of(tmp_path / "s") == [[-1, 0.0, 4.0]]


def test_units_with_other_spans_keep_their_own(tmp_path):
    spans = Spans.of([0.0, 0.0, 3.0], [4.0, 2.0, 4.0], [0, 1, 1])
    written(tmp_path / "s", of_trains([[1.0], [1.5]], observed=spans, invalid=Spans.of(0.5, 1.0, 1)))
    assert observed_of(tmp_path / "s") == [[0, 0.0, 4.0], [1, 0.0, 0.5], [1, 1.0, 2.0], [1, 3.0, 4.0]]


def test_spans_are_rounded_outwards_so_that_their_spikes_lie_inside(tmp_path):
    marker = written(tmp_path / "s", of_trains([[1.000004, 1.999996]], observed=Spans.of(1.000003, 1.999997)))
    assert observed_of(tmp_path / "s") == [[-1, 1.0, 2.0]]
    assert marker["n_spikes_outside_observed"] == 0


def test_endless_spans_end_with_the_spikes_and_endless_holes_take_all(tmp_path):
    inf = np.inf
    written(tmp_path / "a", of_trains([[1.0, 9.0]], observed=Spans.of(-inf, inf)))
    assert observed_of(tmp_path / "a") == [[-1, 1.0, 9.00001]]
    written(tmp_path / "b", of_trains([[1.0, 9.0]], observed=Spans.of(0.0, 20.0), invalid=Spans.of(15.0, inf)))
    assert observed_of(tmp_path / "b") == [[-1, 0.0, 15.0]]


def test_spans_that_do_not_fit_the_clock_are_refused(tmp_path):
    with pytest.raises(BadTimes, match=r"a time of -?1e\+300 s does not fit a clock of 100000 ticks a second"):
        written(tmp_path / "s", of_trains([[1.0]], observed=Spans.of(0.0, 1e300)))


def test_a_recording_that_is_all_invalid_is_stored_and_never_observed(tmp_path):
    marker = written(tmp_path / "s", of_trains([[1.0]], invalid=Spans.of(0.0, 9.0)))
    assert observed_of(tmp_path / "s") == []
    assert (marker["n_spikes_outside_observed"], marker["duration_s"]) == (1, 0.0)


def test_one_spike_ages_from_the_others_does_not_swell_the_file(tmp_path):
    marker = written(tmp_path / "s", of_trains([np.r_[np.arange(10.0), 1.6e9]]))
    assert len(marker["block_edges"]) < 1100
    assert stored_trains(tmp_path / "s", 1)[0][-1] == 160_000_000_000_000


@pytest.mark.parametrize("latest", [1e6, 1e11, 4e13])
def test_whatever_time_fits_the_clock_is_stored_and_read(tmp_path, latest):
    recording = of_trains([np.array([0.5, latest])])
    written(tmp_path / "s", recording)
    assert Session(tmp_path / "s").spikes().times[-1] == pytest.approx(latest)


def test_what_would_be_refused_when_it_is_read_is_not_written(tmp_path):
    with pytest.raises(UnreadableFile, match=r"no session that can be stored \(ticks_per_s: Input should be less than or equal to 1000000000\)"):
        written(tmp_path / "s", of_trains([np.array([0.5])], ticks_per_s=10**10))
    assert not (tmp_path / "s" / "session.json").exists()
