import contextlib
import shutil
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuropile import layout, testing
from neuropile.errors import BinWidthError, CountOverflow, NeuropileError, StoreError
from neuropile.events import SpikeFile
from neuropile.session import Session
from neuropile.types import Recording, Spans, Trains
from neuropile.writing import Provenance, write_session

N = 9
#: Each example reads a stored session: fewer do.
few = settings(max_examples=settings().max_examples // 4)
KINDS = {
    "plain": {},
    "negative": {"start_s": -30.0},
    "late": {"start_s": 30_000.0},
    "gaps": {"observed": "gaps", "invalid": True},
    "each": {"observed": "each", "invalid": True, "start_s": -7.5},
    "unknown": {"observed": None, "float32": True},
}


def open_written(recording: Recording, folder) -> Session:
    folder.mkdir(parents=True)
    write_session(recording, folder, Provenance("test", (), "testing"))
    return Session(folder)


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


def plain_counts(ticks, per_bin, first_bin, n_bins) -> np.ndarray:
    rows = [np.asarray(t) // per_bin - first_bin for t in ticks]
    return np.array([np.bincount(k[(k >= 0) & (k < n_bins)], minlength=n_bins) for k in rows]).reshape(len(ticks), n_bins)


def plain_mask(spans, starts, length) -> np.ndarray:
    return np.array([any(a <= s and s + length <= b for a, b in spans) for s in np.ravel(starts).tolist()], bool).reshape(np.shape(starts))


# Spikes


def test_spikes_are_the_centres_of_their_ticks(made):
    spikes = made.ses.spikes()
    assert spikes.unit_ids == tuple(made.recording.units.column("unit_id").to_pylist())
    assert len(spikes) == N
    for unit in range(N):
        assert np.array_equal(spikes[unit], (made.ticks[unit] + 0.5) / 100_000)
        assert np.array_equal(spikes[spikes.unit_ids[unit]], spikes[unit])


@few
@given(st.lists(st.integers(0, N - 1), unique=True), st.floats(-1, 41), st.floats(-1, 41), st.booleans(), st.booleans())
def test_spikes_of_some_units_in_a_window_are_those_that_lie_in_it(made, units, start, stop, open_start, open_stop):
    start, stop = made.start_s + start, made.start_s + stop
    low, high = floor(start * 100_000 + 1e-3), floor(stop * 100_000 + 1e-3)
    spikes = made.ses.spikes(units, None if open_start else start, None if open_stop else stop)
    assert len(spikes) == len(units)
    assert spikes.offsets[-1] == len(spikes.times)
    for i, unit in enumerate(units):
        own = made.ticks[unit]
        own = own[(own >= low) | open_start]
        assert np.array_equal(spikes[i], (own[(own < high) | open_stop] + 0.5) / 100_000)


def test_windows_side_by_side_hold_every_spike_once(made):
    edges = [None, *(made.start_s + np.array([3.0, 3.0, 10.01, 25.0])).tolist(), None]
    n = [len(made.ses.spikes(start=a, stop=b).times) for a, b in pairwise(edges)]
    assert sum(n) == made.ses.n_spikes
    assert n[1] == 0


def test_units_are_asked_for_by_id_row_or_mask_in_any_order(made):
    ids = list(made.ses.units.unit_id)
    mask = np.zeros(N, bool)
    mask[[2, 5]] = True
    for asked, expected in [([5, 2], [5, 2]), ([ids[5], ids[2]], [5, 2]), (mask, [2, 5]), (pd.Series(mask), [2, 5]), (ids[3], [3]), (4, [4]), ([], [])]:
        assert made.ses.rows_of(asked).tolist() == expected
    assert made.ses.rows_of(None).tolist() == list(range(N))
    assert np.array_equal(made.ses.counts(units=[5, 2]).values, made.ses.counts(units=[2, 5]).values[::-1])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([0, 0], "a unit is asked for twice"),
        (["probe00-1", "probe00-1"], "a unit is asked for twice"),
        ([9], "unit rows run from 0 to 8, asked for 9 to 9"),
        ([-1], "unit rows run from 0 to 8, asked for -1 to -1"),
        (["nobody"], "no unit 'nobody' among 9; unit ids look like 'probe00-0'"),
        (np.ones(3, bool), "mask"),
    ],
)
def test_units_that_are_not_there_are_named(made, asked, message):
    with pytest.raises(StoreError, match=message):
        made.ses.rows_of(asked)


ranges = st.lists(st.integers(-1, 10), min_size=2, max_size=2).map(sorted).map(tuple) | st.none()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=60), st.integers(1, 9), ranges, ranges)
@example([(0, 3), (1, 2)], 1, None, (3, 4))
@example([(0, 3), (1, 2)], 1, (0, 1), (2, 4))
def test_only_what_is_asked_is_read_and_all_of_it(tmp_path_factory, spikes, group, units, ticks):
    """Windows that start and stop on the first and last ticks of row groups too."""
    spikes = sorted(spikes, key=lambda s: (s[1] // 5, *s))
    path = tmp_path_factory.mktemp("events") / "spikes.parquet"
    with layout.spikes_writer(path, pa.int32()) as writer:
        for i in range(0, len(spikes), group):
            rows = np.array(spikes[i : i + group], np.int32)
            writer.write_table(pa.table([rows[:, 0], rows[:, 1]], schema=writer.schema))
    unit, tick = SpikeFile(path).read(units, ticks)
    expected = [(u, t) for u, t in spikes if (units is None or units[0] <= u < units[1]) and (ticks is None or ticks[0] <= t < ticks[1])]
    assert list(zip(unit.tolist(), tick.tolist(), strict=True)) == expected


# Counts


@pytest.mark.parametrize("width", [0.02, 0.1, "0.005", Fraction(1, 4), 1.0, 3600])
def test_counts_cover_the_observed_time_edge_bins_included(made, width):
    per_bin = int(Fraction(str(width)) * 100_000)
    low, high = min(s[0][0] for s in made.spans), max(s[-1][1] for s in made.spans)
    first, stop = low // per_bin, ceil(Fraction(high, per_bin))
    counts = made.ses.counts(width)
    assert counts.dims == ("unit", "time")
    assert counts.bin.values.tolist() == list(range(first, stop))
    assert np.array_equal(counts.values, plain_counts(made.ticks, per_bin, first, stop - first))
    assert np.allclose(counts.time.values, (counts.bin.values + 0.5) * per_bin / 100_000, rtol=1e-15, atol=0)


def test_every_spike_in_the_observed_span_lands_in_exactly_one_bin(made):
    for unit in range(N):
        low, high = made.spans[unit][0][0], made.spans[unit][-1][1]
        inside = ((made.ticks[unit] >= low) & (made.ticks[unit] < high)).sum()
        assert made.ses.counts(units=[unit]).sum() >= inside
    assert int(made.ses.counts().sum()) == made.ses.n_spikes - made.ses.record["n_spikes_outside_observed"]


@pytest.mark.parametrize("factor", [5, 7, 50])
def test_narrow_bins_add_up_to_wide_ones_on_the_same_clock(made, factor):
    narrow, wide = made.ses.counts(0.02), made.ses.counts(Fraction(factor, 50))
    summed = pd.DataFrame(narrow.values.T.astype(int)).groupby(narrow.bin.values // factor).sum()
    assert summed.index.tolist() == wide.bin.values.tolist()
    assert np.array_equal(summed.to_numpy().T, wide.values)


def test_the_mask_says_which_bins_are_wholly_observed(made):
    counts = made.ses.counts(0.02)
    starts = counts.bin.values * 2000
    each = np.array([plain_mask(spans, starts, 2000) for spans in made.spans])
    assert np.array_equal(counts.observed.values, each.any(axis=0))
    differs = len({str(s) for s in made.spans}) > 1
    assert ("unit_observed" in counts.coords) == differs
    if differs:
        assert counts.unit_observed.dims == ("unit", "time")
        assert np.array_equal(counts.unit_observed.values, each)
        one = made.ses.counts(0.02, units=[4, 2])
        assert np.array_equal(one.unit_observed.sel(time=one.time).values, plain_masks(made, [4, 2], one.bin.values * 2000))
        assert np.array_equal(one.observed.values, one.unit_observed.values.any(axis=0))


def plain_masks(made, units, starts) -> np.ndarray:
    return np.array([plain_mask(made.spans[u], starts, 2000) for u in units])


@few
@given(st.floats(-2, 42), st.floats(-2, 42), st.sampled_from([0.02, 0.1, 0.5]), st.lists(st.integers(0, N - 1), unique=True))
def test_counts_of_a_window_are_the_bins_it_touches(made, start, stop, width, units):
    start, stop = made.start_s + start, made.start_s + stop
    per_bin = round(width * 100_000)
    first, end = floor(start * 100_000 + 1e-3) // per_bin, -(-floor(stop * 100_000 + 1e-3) // per_bin)
    if floor(stop * 100_000 + 1e-3) < floor(start * 100_000 + 1e-3):
        with pytest.raises(BinWidthError, match="is after stop"):
            made.ses.counts(width, start, stop, units=units)
        return
    counts = made.ses.counts(width, start, stop, units=units)
    n_bins = max(end - first, 0)
    assert counts.shape == (len(units), n_bins)
    assert counts.bin.values.tolist() == list(range(first, first + n_bins))
    assert np.array_equal(counts.values, plain_counts([made.ticks[u] for u in units], per_bin, first, n_bins).reshape(len(units), n_bins))


def test_counts_carry_who_and_where(made):
    counts = made.ses.counts()
    assert counts.unit_id.values.tolist() == list(made.ses.units.unit_id)
    assert [r if isinstance(r, str) else None for r in counts.region.values] == made.recording.units.column("region").to_pylist()
    assert counts.attrs == {"bin_width_s": 0.02, "session": "test/session-4", "quantity": "spikes"}
    assert counts.dtype == np.uint8


def test_the_smallest_type_that_fits_is_used(bursts):
    assert bursts.counts(0.5).dtype == np.uint16
    assert bursts.counts(0.5, units=["u0"]).dtype == np.uint8
    assert bursts.counts(0.5).values[1].tolist() == [0] * 9 + [300] + [0] * 10
    assert bursts.counts(0.5, dtype=np.uint32).dtype == np.uint32


def test_a_type_that_is_too_small_is_an_error_that_names_unit_bin_and_type(bursts):
    message = r"^test/s: unit u1 fires 300 times in bin 9 \(4\.5 s\), more than uint8 holds; pass dtype=np\.uint16, clip=True or a narrower bin_width$"
    with pytest.raises(CountOverflow, match=message):
        bursts.counts(0.5, dtype=np.uint8)
    with pytest.raises(CountOverflow, match=message):
        bursts.counts(0.5, dtype="uint8", start=2.0, stop=8.0, units=["u2", "u1"])


def test_clipped_counts_are_cut_and_counted(bursts):
    counts = bursts.counts(0.5, dtype=np.uint8, clip=True)
    assert counts.values[1, 9] == 255
    assert counts.values.dtype == np.uint8
    assert counts.attrs["n_clipped"] == 1
    assert counts.values[0].tolist() == bursts.counts(0.5).values[0].tolist()
    assert "n_clipped" not in bursts.counts(0.5, dtype=np.uint16, clip=True).attrs


@pytest.mark.parametrize("dtype", [np.int16, "int32", np.int64, np.float16, "float32", float])
def test_signed_and_float_types_hold_the_same_counts(bursts, dtype):
    for units in (None, ["u0"]):
        counts = bursts.counts(0.5, units=units, dtype=dtype)
        assert counts.dtype == dtype
        assert counts.values.tolist() == bursts.counts(0.5, units=units).values.tolist()
    assert (bursts.counts(0.5, dtype=dtype)[0] - bursts.counts(0.5, dtype=dtype)[1]).min() == -300


def test_a_signed_type_that_is_too_small_is_an_error_or_clipped(bursts):
    with pytest.raises(CountOverflow, match=r"^test/s: unit u1 fires 300 times in bin 9 \(4\.5 s\), more than int8 holds"):
        bursts.counts(0.5, dtype=np.int8)
    counts = bursts.counts(0.5, dtype=np.int8, clip=True)
    assert (counts.values[1, 9], counts.attrs["n_clipped"]) == (127, 1)


@pytest.mark.parametrize("dtype", [bool, complex, "U3", "M8[s]", object])
def test_counts_are_numbers(bursts, dtype):
    with pytest.raises(BinWidthError, match="counts are whole numbers; dtype must be an integer or float type, not "):
        bursts.counts(0.5, dtype=dtype)


def test_a_width_that_is_no_whole_number_of_ticks_names_those_that_are(bursts):
    with pytest.raises(BinWidthError, match=r"a bin of 0\.0015 s is 1\.5 ticks of 1/1000 s, not a whole number; .* 0\.001 s .* and 0\.002 s"):
        bursts.counts(0.0015)


def test_partly_covered_edge_bins_are_counted_and_masked(tmp_path):
    recording = Recording("s", pa.table({"unit_id": ["a"]}), Trains(1, [np.array([0.11, 0.15, 0.49])].__getitem__), observed=Spans.of(0.11, 0.5))
    counts = open_written(recording, tmp_path / "s").counts(0.1)
    assert counts.bin.values.tolist() == [1, 2, 3, 4]
    assert counts.values.tolist() == [[2, 0, 0, 1]]
    assert counts.observed.values.tolist() == [False, True, True, True]


def test_a_session_never_observed_has_no_bins_but_its_spikes(tmp_path):
    recording = Recording("s", pa.table({"unit_id": ["a"]}), Trains(1, [np.array([1.0])].__getitem__), invalid=Spans.of(0.0, 9.0))
    ses = open_written(recording, tmp_path / "s")
    assert ses.counts().shape == (1, 0)
    assert len(ses.spikes().times) == 1
    assert ses.counts(start=0.9, stop=1.1).sum() == 1
    assert not ses.counts(start=0.9, stop=1.1).observed.any()


def test_counts_are_never_zeroed_outside_the_observed_time(tmp_path):
    recording = Recording("s", pa.table({"unit_id": ["a"]}), Trains(1, [np.array([0.5, 3.5, 5.5])].__getitem__), observed=Spans.of([0.0, 5.0], [2.0, 6.0]))
    counts = open_written(recording, tmp_path / "s").counts(1.0)
    assert counts.values.tolist() == [[1, 0, 0, 1, 0, 1]]
    assert counts.observed.values.tolist() == [True, True, False, False, False, True]


# Aligned counts


events = st.lists(st.floats(-3, 43) | st.sampled_from([float("nan"), 0.0, 10.0, 40.0]), max_size=6)


@few
@given(events, st.integers(-8, 8), st.integers(1, 12), st.sampled_from([0.02, 0.1, 0.5]), st.lists(st.integers(0, N - 1), unique=True, min_size=1))
def test_aligned_counts_are_those_around_each_event_and_so_is_their_mask(made, events, first, n_bins, width, units):
    times = made.start_s + np.array(events, float)
    window = (float(Fraction(str(width)) * first), float(Fraction(str(width)) * (first + n_bins)))
    aligned = made.ses.align(times, window, width, units=units)
    kept = np.flatnonzero(~np.isnan(times))
    per_bin = round(width * 100_000)
    starts = np.floor(times[kept] * 100_000 + 1e-3).astype(np.int64)[:, None] + (first + np.arange(n_bins)) * per_bin
    expected = np.zeros((len(kept), len(units), n_bins), int)
    masks = np.zeros((len(kept), len(units), n_bins), bool)
    for i, unit in enumerate(units):
        own = made.ticks[unit]
        expected[:, i] = ((own >= starts[..., None]) & (own < starts[..., None] + per_bin)).sum(axis=-1)
        masks[:, i] = plain_mask(made.spans[unit], starts, per_bin)
    assert aligned.dims == ("trial", "unit", "time")
    assert np.array_equal(aligned.values, expected)
    assert aligned.trial.values.tolist() == kept.tolist()
    assert np.array_equal(aligned.event_s.values, times[kept])
    assert np.allclose(aligned.time.values, (first + np.arange(n_bins) + 0.5) * width)
    assert np.array_equal(aligned.observed.values, masks.any(axis=1))
    if "unit_observed" in aligned.coords:
        assert np.array_equal(aligned.unit_observed.values, masks)
    else:
        assert np.array_equal(np.repeat(aligned.observed.values[:, None], len(units), axis=1), masks)


def test_trials_without_the_event_are_left_out_by_their_number(made):
    aligned = made.ses.align("trials.stim_on_s", (-0.5, 1.0))
    stim = made.recording.intervals["trials"].column("stim_on_s").to_pylist()
    assert None in stim
    assert aligned.trial.values.tolist() == [i for i, s in enumerate(stim) if s is not None]
    assert aligned.event_s.values.tolist() == [s for s in stim if s is not None]
    assert aligned.shape == (len(stim) - stim.count(None), N, 75)


def test_aligned_counts_agree_with_counts_where_the_event_begins_a_bin(made):
    event = floor(made.start_s) + 12.0
    aligned = made.ses.align(np.array([event]), (-0.4, 0.6), 0.02)
    window = made.ses.counts(0.02, event - 0.4, event + 0.6)
    assert np.array_equal(aligned.values[0], window.values)
    assert np.array_equal(aligned.observed.values[0], window.observed.values)


def test_responses_stand_out_after_the_stimulus(made):
    aligned = made.ses.align("trials.stim_on_s", (-0.25, 0.25), 0.05)
    responsive = aligned.values[:, ::2].mean(axis=(0, 1))
    assert responsive[6:].mean() > 2 * responsive[:5].mean()


def test_the_moments_of_some_trials_keep_their_numbers(made):
    some = made.ses.trials[made.ses.trials.correct]
    aligned = made.ses.align(some.stim_on_s, (0.0, 0.1))
    assert aligned.trial.values.tolist() == some.index[some.stim_on_s.notna()].tolist()
    assert aligned.attrs == {"bin_width_s": 0.02, "session": "test/session-4", "events": "stim_on_s"}
    assert np.array_equal(aligned.values, made.ses.align(some.stim_on_s.to_numpy(), (0.0, 0.1)).values)


def test_units_are_asked_for_by_rows_of_their_table_too(made):
    some = made.ses.units[made.ses.units.n_spikes > 100]
    assert made.ses.rows_of(some).tolist() == some.index.tolist()


def test_a_row_that_is_another_units_id_is_refused(tmp_path):
    trains = [np.array([1.0]), np.array([2.0]), np.array([3.0])]
    ses = open_written(Recording("s", pa.table({"unit_id": ["0", "2", "a"]}), Trains(3, trains.__getitem__)), tmp_path / "s")
    assert ses.rows_of([0, 1]).tolist() == [0, 1]
    assert ses.rows_of(["2"]).tolist() == [1]
    with pytest.raises(StoreError, match="test/s: 2 is a row and the id of another unit too; pass '2' for the id, or a mask for rows"):
        ses.rows_of([2])


def test_the_sources_own_columns_are_found_without_their_prefix(made):
    assert np.array_equal(made.ses.align("trials.block", (0.0, 0.1)).event_s.values, made.ses.trials.src_block.to_numpy(float))


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ("trials.lick_s", "no column 'lick_s' in trials; there are start_s, stop_s"),
        ("trials.correct", r"trials\.correct holds bool, not times in seconds"),
        ("licks.start_s", "no intervals 'licks'; there are trials, observed"),
    ],
)
def test_events_that_are_not_there_are_named(made, events, message):
    with pytest.raises(StoreError, match=message):
        made.ses.align(events, (-0.5, 1.0))


@pytest.mark.parametrize("window", [(0.0, 0.0), (1.0, -0.5), (-0.51, 1.0), (0.0, 0.03), ("x", 1.0), (0.0, float("nan"))])
def test_a_window_must_be_whole_bins(made, window):
    with pytest.raises(BinWidthError, match=r"window .* must run from a start to a later stop, both whole numbers of 0\.02 s bins"):
        made.ses.align("trials.stim_on_s", window)


def test_more_spikes_around_an_event_than_a_byte_holds_are_counted(bursts):
    aligned = bursts.align(np.array([4.7, 1.0]), (-0.1, 0.1), 0.1)
    assert aligned.values[:, 1].tolist() == [[0, 300], [0, 0]]


def test_counts_around_no_event_or_no_unit_are_empty(made):
    assert made.ses.align(np.array([]), (0.0, 0.1)).shape == (0, N, 5)
    assert made.ses.align(np.array([made.start_s + 1.0]), (0.0, 0.1), units=[]).shape == (1, 0, 5)


# Tables and signals


def test_intervals_are_a_mapping_of_tables(made):
    assert set(made.ses.intervals) == {"trials", "observed"}
    assert "trials" in made.ses.intervals
    assert "licks" not in made.ses.intervals
    assert made.ses.intervals.get("licks") is None
    assert made.ses.trials.start_s.tolist() == made.recording.intervals["trials"].column("start_s").to_pylist()
    with pytest.raises(StoreError, match=r"^test/session-4: no intervals 'licks'; there are "):
        made.ses.intervals["licks"]


def test_signals_are_a_mapping_of_labelled_arrays(made):
    assert set(made.ses.signals) == {"running", "pupil"}
    assert "licks" not in made.ses.signals
    assert made.ses.signals.get("licks") is None
    running, pupil = made.ses.signals["running"], made.ses.signals["pupil"]
    assert np.array_equal(running.values, made.recording.signals["running"].data)
    assert np.allclose(running.time.values, made.start_s + np.arange(2000) / 50)
    assert np.array_equal(pupil.time.values, made.recording.signals["pupil"].time_s)
    assert (pupil.dims, pupil.attrs["unit"], pupil.attrs["description"]) == (("time", "axis"), "px", "centre of the pupil")
    with pytest.raises(StoreError, match=r"^test/session-4: no signal 'licks'; there are pupil, running$"):
        made.ses.signals["licks"]


def test_facts_are_at_hand_and_shown(made):
    ses = made.ses
    assert (ses.key, ses.n_units, ses.subject_id, ses.species) == ("test/session-4", N, "mouse-1", "Mus musculus")
    assert f"{N} units, {ses.n_spikes} spikes" in repr(ses)
    assert "CC0-1.0" in ses._repr_html_()


def test_what_a_file_says_is_shown_as_text(tmp_path):
    recording = replace(testing.recording(0, n_units=2, duration_s=5.0), license="<script>alert(1)</script>")
    assert "<script>" not in open_written(recording, tmp_path / "s")._repr_html_()


# pynapple


def test_pynapple_gets_the_same_spikes_spans_and_units(made):
    pytest.importorskip("pynapple")
    group = made.ses.to_pynapple()
    spikes = made.ses.spikes()
    spans = made.ses.observed.of_any()
    assert list(group.keys()) == list(range(N))
    for unit in range(N):
        own = spikes[unit]
        inside = np.any([(own >= a / 1e5) & (own < b / 1e5) for a, b in spans], axis=0)
        assert np.array_equal(group[unit].times(), own[inside])
    assert np.allclose(group.time_support.values, spans / 100_000, rtol=0, atol=1e-9)
    assert list(group["unit_id"]) == list(made.ses.units.unit_id)


def test_pynapple_gets_the_units_asked_for_and_silent_ones(bursts):
    pytest.importorskip("pynapple")
    group = bursts.to_pynapple(["u2", "u0"])
    assert [len(group[i]) for i in group] == [0, 3]
    assert list(group["unit_id"]) == ["u2", "u0"]


# Damage


def test_a_folder_without_a_marker_is_no_session(made, tmp_path):
    shutil.copytree(made.ses.root, tmp_path / "s")
    (tmp_path / "s" / "session.json").unlink()
    with pytest.raises(StoreError, match=r"holds no finished session \(no session\.json\); build it again"):
        Session(tmp_path / "s")


def test_a_newer_session_is_refused(made, tmp_path):
    shutil.copytree(made.ses.root, tmp_path / "s")
    layout.write_json({**made.ses.record, "version": 2}, tmp_path / "s" / "session.json")
    with pytest.raises(StoreError, match="was written in format 2; this neuropile reads format 1: upgrade neuropile"):
        Session(tmp_path / "s")


@pytest.mark.parametrize("file", ["units.parquet", "spikes.parquet", "intervals/trials.parquet", "intervals/observed.parquet"])
@pytest.mark.parametrize("how", ["missing", "empty", "cut", "overwritten"])
def test_a_damaged_file_is_one_clear_error(made, tmp_path, file, how):
    shutil.copytree(made.ses.root, tmp_path / "s")
    path = tmp_path / "s" / file
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "overwritten": b"x" * len(data)}[how])
    with pytest.raises(StoreError, match=r"cannot be read .*; restore it from a copy or build the session again"):
        _use_everything(Session(tmp_path / "s"))


@few
@given(st.data())
def test_damaged_values_give_an_answer_or_our_error_and_nothing_else(tiny_store, tmp_path_factory, data):
    """Values, not footers: Arrow itself stops the process at some footers."""
    folder = tmp_path_factory.mktemp("flipped") / "s"
    shutil.copytree(tiny_store.root / "test" / "session-2", folder)
    file = data.draw(st.sampled_from(["spikes.parquet", "intervals/trials.parquet"]))
    facts = Session(folder).record["files"][file]
    damaged = bytearray((folder / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, facts["bytes"] - facts["footer_bytes"] - 1))] = data.draw(st.integers(0, 255))
    (folder / file).write_bytes(damaged)
    with contextlib.suppress(NeuropileError):
        ses = Session(folder)
        ses.spikes()
        ses.counts()
        ses.align("trials.stim_on_s", (-0.1, 0.1))


@pytest.mark.parametrize(("unit", "tick"), [([0, 7, 0, 0], [1, 2, 3, 4]), ([-1, 0, 0, 0], [1, 2, 3, 4]), ([0, 0, 0, 0], [50, 60, 70, 3])])
def test_spikes_that_cannot_be_are_one_clear_error(bursts, unit, tick):
    pq.write_table(pa.table({"unit": pa.array(unit, pa.int32()), "tick": pa.array(tick, pa.int32())}), bursts.root / "spikes.parquet")
    ses = Session(bursts.root)
    with pytest.raises(StoreError, match="the file is damaged; restore it from a copy or build the session again"):
        _count_everywhere(ses)


def test_spikes_of_other_columns_are_refused(bursts):
    pq.write_table(pa.table({"neuron": [1], "tick": [1.5]}), bursts.root / "spikes.parquet")
    with pytest.raises(StoreError, match="its columns are neuron, tick, not whole numbers unit, tick"):
        Session(bursts.root).counts(0.5)


def _count_everywhere(ses):
    ses.counts(0.5)
    ses.align(np.array([0.004]), (0.0, 0.1), 0.1)


def _use_everything(ses):
    ses.units  # noqa: B018
    ses.trials  # noqa: B018
    ses.counts()
