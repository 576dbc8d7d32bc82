"""Counts of a session in bins."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sessions import N, few, open_written, plain_counts, plain_mask

from neuropile.errors import BinWidthError, CountOverflow
from neuropile.types import Recording, Spans, Trains

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
    low, high = floor(start * 100_000 + 1e-3), -floor(-stop * 100_000 + 1e-3)  # outwards: a tick that stop lies in is touched
    first, end = low // per_bin, -(-high // per_bin)
    if stop < start:
        with pytest.raises(BinWidthError, match="is after stop"):
            made.ses.counts(width, start, stop, units=units)
        return
    counts = made.ses.counts(width, start, stop, units=units)
    n_bins = end - first if high > low and stop > start else 0
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
