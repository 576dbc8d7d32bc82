from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neuropile.binning import COUNT_TYPES, MAX_TICK, as_ticks_per_bin, as_width, bin_ticks, overflow, sample_ticks, scatter, smallest_type, tick_of, to_ticks
from neuropile.errors import BadTimes, BinWidthError, CountOverflow
from neuropile.kernels import divider

SAMPLE_RATES = ["30000", "25000", "32000", "24414.0625", "30000.554039"]


# Widths


def test_a_width_is_its_shortest_decimal_or_the_fraction_that_is_written():
    assert as_width(0.02) == as_width("0.02") == as_width(" 0.02 ") == as_width(Fraction(1, 50)) == as_width(np.float64(0.02)) == Fraction(1, 50)
    assert as_width("1/60") == Fraction(1, 60)
    assert as_width(1e-05) == Fraction(1, 100_000)
    assert as_width(1) == 1


@given(st.integers(1, 10**9), st.integers(0, 9))
def test_a_decimal_width_is_read_exactly(digits, places):
    exact = Fraction(digits, 10**places)
    assert as_width(float(exact)) == exact
    assert as_width(str(exact)) == exact


@pytest.mark.parametrize("nonsense", ["", "fast", "1/0", "0.02 s", "1/60/2", None, float("nan"), float("inf"), "nan", [0.02]])
def test_a_width_that_is_no_number_is_refused(nonsense):
    with pytest.raises(BinWidthError, match=r"is not a number of seconds such as 0\.02 or 1/32"):
        as_width(nonsense)


@pytest.mark.parametrize("width", [0, -0.02, "-1/60", "0/5", Fraction(0)])
def test_a_width_must_be_positive(width):
    with pytest.raises(BinWidthError, match="is not positive"):
        as_width(width)


@given(st.integers(1, 10**7), st.integers(1, 10**6))
def test_a_width_of_whole_ticks_is_that_many_ticks(n, ticks_per_s):
    assert as_ticks_per_bin(Fraction(n, ticks_per_s), ticks_per_s) == n


def test_a_sixtieth_fits_a_clock_of_sixtieths_only():
    assert as_ticks_per_bin("1/60", 60) == 1
    with pytest.raises(BinWidthError, match=r"a bin of 1/60 s is 1666\.67 ticks of 1/100000 s, not a whole number; .* 0\.01666 s .* and 0\.01667 s"):
        as_ticks_per_bin("1/60", 100_000)


def test_below_one_tick_the_nearest_width_is_one_tick():
    with pytest.raises(BinWidthError, match=r"the nearest widths are 1e-05 s \(1/100000\)$"):
        as_ticks_per_bin(1e-6, 100_000)


@given(st.fractions(min_value=Fraction(1, 10**7), max_value=10, max_denominator=10**7))
def test_the_widths_an_error_names_are_whole_and_on_both_sides(width):
    try:
        as_ticks_per_bin(width, 100_000)
    except BinWidthError as e:
        named = [Fraction(part.split(")")[0]) for part in str(e).split("(")[1:]]
        assert named
        assert all((n * 100_000).denominator == 1 for n in named)
        assert all(abs(n - width) < Fraction(1, 100_000) for n in named)
        assert max(named) > width
    else:
        assert (width * 100_000).denominator == 1


# Times to ticks


def test_times_on_a_bin_edge_lie_in_the_bin_that_begins_there():
    k = np.arange(1_000_001)
    for times in (k * 0.02, k / 50, np.array([float(f"{n / 50:.2f}") for n in k[::101]])):
        bins = tick_of(times, 100_000) // 2000
        assert np.array_equal(bins, k if len(bins) == len(k) else k[::101])


def test_times_on_a_bin_edge_below_zero_do_too():
    k = -np.arange(1_000_001)
    assert np.array_equal(tick_of(k * 0.02, 100_000) // 2000, k)


@given(st.integers(-(10**12), 10**12))
def test_the_decimal_of_a_tick_is_that_tick(tick):
    assert tick_of(tick / 100_000, 100_000) == tick
    assert tick_of(float(f"{tick / 100_000:.5f}"), 100_000) == tick


@given(st.floats(-1e6, 1e6))
def test_a_time_is_less_than_a_tick_after_its_tick(time):
    late = Fraction(time) * 100_000 - int(tick_of(time, 100_000))
    assert -Fraction(1, 900) < late < 1


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_samples_become_ticks_by_whole_number_arithmetic(rate):
    rate = Fraction(rate)
    rng = np.random.default_rng(0)
    near = np.arange(-50_000, 50_000)
    samples = np.r_[near, rng.integers(-(2**33), 2**33, 5000), rng.integers(-(2**52), 2**52, 5000), 2**52, -(2**52)]
    expected = [floor(s * 100_000 / rate) for s in samples.tolist()]
    assert sample_ticks(samples, rate, 100_000).tolist() == expected


@given(st.integers(-(2**54), 2**54), st.fractions(min_value=1, max_value=100_000, max_denominator=10**6), st.integers(1, 100_000))
def test_any_sample_of_any_clock_becomes_its_tick(sample, rate, ticks_per_s):
    expected = floor(sample * ticks_per_s / rate)
    if abs(expected) < MAX_TICK:
        assert sample_ticks(np.array([sample]), rate, ticks_per_s).tolist() == [expected]


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_seconds_that_are_samples_become_the_ticks_of_the_samples(rate):
    rate = Fraction(rate)
    samples = np.r_[np.arange(20_000), np.random.default_rng(1).integers(0, 30_000 * 14_400, 5000)]
    seconds = samples / float(rate)
    ticks, n_dropped = to_ticks(seconds, 100_000, sample_rate=rate)
    assert ticks.tolist() == sorted(floor(s * 100_000 / rate) for s in samples.tolist())
    assert n_dropped == 0


def test_seconds_that_are_not_samples_are_taken_as_they_are():
    seconds = np.array([0.5 / 30_000, 1.0])
    assert to_ticks(seconds, 100_000, sample_rate=Fraction(30_000))[0].tolist() == [1, 100_000]


@given(st.lists(st.floats(-1e4, 1e4) | st.sampled_from([float("nan"), float("inf"), float("-inf")])))
def test_ticks_are_sorted_and_what_is_not_finite_is_dropped_and_counted(times):
    ticks, n_dropped = to_ticks(np.array(times), 100_000)
    finite = [t for t in times if np.isfinite(t)]
    assert n_dropped == len(times) - len(finite)
    assert ticks.tolist() == sorted(tick_of(np.array(finite), 100_000).tolist())
    assert ticks.dtype == np.int64


def test_times_that_do_not_fit_the_clock_are_refused():
    with pytest.raises(BadTimes, match=r"a time of 1e\+16 s does not fit a clock of 100000 ticks a second; are these seconds\?"):
        to_ticks(np.array([1.0, 1e16]), 100_000)


@pytest.mark.parametrize("time", [1e16, -1e300, float("inf"), float("nan")])
@pytest.mark.filterwarnings("error")
def test_no_time_becomes_a_tick_it_does_not_have(time):
    with pytest.raises(BadTimes, match="does not fit a clock of 100000 ticks a second"):
        tick_of(np.array([1.0, time]), 100_000)
    with pytest.raises(BadTimes, match="does not fit a clock of 100000 ticks a second"):
        tick_of(time, 100_000)


# Ticks to bins


def by_bincount(ticks, offsets, per_bin, first_bin, n_bins) -> np.ndarray:
    """Counts of each unit, the plain way: floor-divide, keep those inside, bincount."""
    rows = []
    for start, stop in pairwise(offsets):
        k = np.array([t // per_bin for t in ticks[start:stop].tolist()], np.int64) - first_bin
        rows.append(np.bincount(k[(k >= 0) & (k < n_bins)], minlength=n_bins))
    return np.array(rows).reshape(len(offsets) - 1, n_bins)


def counted(ticks, offsets, per_bin, first_bin, n_bins, dtype=np.uint16) -> np.ndarray:
    out = np.zeros((len(offsets) - 1, n_bins), dtype)
    units = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    assert scatter(units, ticks, np.arange(len(offsets) - 1), first_bin * per_bin, per_bin, out) is None
    return out


@st.composite
def trains(draw, low=-3000, high=3000, dtype=np.int64):
    each = draw(st.lists(st.lists(st.integers(low, high), max_size=30).map(sorted), min_size=1, max_size=4))
    offsets = np.cumsum([0] + [len(t) for t in each])
    return np.array([t for one in each for t in one], dtype), offsets


@given(trains(), st.integers(1, 700), st.integers(-20, 20), st.integers(0, 40))
def test_counts_are_those_of_floor_divided_ticks(trains, per_bin, first_bin, n_bins):
    ticks, offsets = trains
    expected = by_bincount(ticks, offsets, per_bin, first_bin, n_bins)
    assert np.array_equal(counted(ticks, offsets, per_bin, first_bin, n_bins), expected)
    assert np.array_equal(counted(ticks.astype(np.int32), offsets, per_bin, first_bin, n_bins), expected)


@given(trains(low=-(2**61), high=2**61), st.integers(2**31, 2**58), st.integers(-4, 2), st.integers(0, 8))
@example((np.array([0, 2**40]), np.array([0, 2])), 2**31, 0, 5)
def test_counts_are_right_beyond_31_bits_in_wide_bins(trains, per_bin, first_bin, n_bins):
    ticks, offsets = trains
    assert np.array_equal(counted(ticks, offsets, per_bin, first_bin, n_bins), by_bincount(ticks, offsets, per_bin, first_bin, n_bins))


@given(trains(low=2**31 - 500, high=2**31 + 500), st.integers(-5000, 5000), st.integers(1, 700), st.integers(1, 40))
def test_counts_are_right_across_the_31st_bit(trains, before, per_bin, n_bins):
    ticks, offsets = trains
    first_bin = (2**31 + before) // per_bin
    assert np.array_equal(counted(ticks, offsets, per_bin, first_bin, n_bins), by_bincount(ticks, offsets, per_bin, first_bin, n_bins))


@given(trains(low=-(2**45), high=2**45), st.integers(1, 700), st.integers(-(2**40), 2**40), st.integers(1, 40))
def test_a_near_window_is_right_however_far_other_spikes_lie(trains, per_bin, first_bin, n_bins):
    ticks, offsets = trains
    inside = np.sort(first_bin * per_bin + np.arange(0, n_bins * per_bin, 7))
    ticks, offsets = np.r_[inside, ticks], np.r_[0, offsets + len(inside)]
    assert np.array_equal(counted(ticks, offsets, per_bin, first_bin, n_bins, np.uint32), by_bincount(ticks, offsets, per_bin, first_bin, n_bins))


@given(trains(), st.integers(1, 700))
def test_every_spike_in_the_span_lands_in_exactly_one_bin(trains, per_bin):
    ticks, offsets = trains
    first_bin, stop_bin = -3000 // per_bin, 3000 // per_bin + 1
    counts = counted(ticks, offsets, per_bin, first_bin, stop_bin - first_bin)
    assert counts.sum(axis=1).tolist() == np.diff(offsets).tolist()


@given(trains(), st.integers(1, 200), st.integers(1, 7), st.integers(-9, 9), st.integers(0, 9))
def test_narrow_bins_add_up_to_wide_ones(trains, per_bin, factor, first_wide, n_wide):
    ticks, offsets = trains
    narrow = counted(ticks, offsets, per_bin, first_wide * factor, n_wide * factor)
    wide = counted(ticks, offsets, per_bin * factor, first_wide, n_wide)
    assert np.array_equal(narrow.reshape(len(wide), n_wide, factor).sum(axis=2), wide)


@given(trains(), st.integers(1, 700), st.integers(0, 20), st.integers(0, 19))
def test_a_window_of_counts_is_a_slice_of_all_counts(trains, per_bin, n_bins, skip):
    ticks, offsets = trains
    whole = counted(ticks, offsets, per_bin, -20, 40)
    assert np.array_equal(counted(ticks, offsets, per_bin, skip - 20, n_bins), whole[:, skip : skip + n_bins])


@given(trains(), st.data())
def test_only_the_units_with_a_row_are_counted(trains, data):
    ticks, offsets = trains
    n_units = len(offsets) - 1
    rows = np.array(data.draw(st.permutations(range(n_units))), np.int64)[: data.draw(st.integers(0, n_units))]
    row_of_unit = np.full(n_units, -1)
    row_of_unit[rows] = np.arange(len(rows))
    out = np.zeros((len(rows), 60), np.uint16)
    units = np.repeat(np.arange(n_units, dtype=np.int32), np.diff(offsets))
    assert scatter(units, ticks, row_of_unit, -3000, 101, out) is None
    whole = np.zeros((n_units, 60), np.uint16)
    scatter(units, ticks, np.arange(n_units), -3000, 101, whole)
    assert np.array_equal(out, whole[rows])


@given(trains(low=0), st.integers(1, 700), st.integers(1, 40))
def test_bin_ticks_counts_from_tick_zero(trains, per_bin, n_bins):
    ticks, offsets = trains
    counts = bin_ticks(ticks, offsets, ticks_per_bin=per_bin, n_bins=n_bins)
    assert counts.dtype == np.uint8
    assert np.array_equal(counts, by_bincount(ticks, offsets, per_bin, 0, n_bins))


@pytest.mark.parametrize(("dtype", "n"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_a_bin_holds_what_its_type_can_and_not_one_more(dtype, n):
    offsets = np.array([0, 2, n + 2])
    ticks = np.r_[3, 4, np.full(n, 47)]
    assert bin_ticks(ticks, offsets, ticks_per_bin=10, n_bins=6, dtype=dtype)[1].tolist() == [0, 0, 0, 0, n, 0]
    fits = {np.uint8: "uint16", np.uint16: "uint32"}[dtype]
    name = np.dtype(dtype).name
    with pytest.raises(CountOverflow, match=rf"^unit 1 fires {n + 1} times in bin 4, more than {name} holds; pass dtype=np\.{fits}, clip=True or a narrower"):
        bin_ticks(np.r_[ticks, 47], offsets + np.array([0, 0, 1]), ticks_per_bin=10, n_bins=6, dtype=dtype)


@pytest.mark.parametrize("per_bin", [10, 2**40])
def test_the_first_cell_that_overflows_is_named(per_bin):
    units = np.repeat(np.array([0, 2, 1], np.int32), [255, 256, 300])
    out = np.zeros((3, 4), np.uint8)
    assert scatter(units, np.full(len(units), 3 * per_bin), np.arange(3), 0, per_bin, out) == (2, 3)


def test_an_overflow_says_when_it_happened_and_what_would_hold_it():
    message = str(overflow("allen-42: unit 17", 300, 250, 5.0, np.uint8))
    assert message == "allen-42: unit 17 fires 300 times in bin 250 (5 s), more than uint8 holds; pass dtype=np.uint16, clip=True or a narrower bin_width"


@given(st.integers(0, 2**32 - 1))
def test_the_smallest_type_holds_the_count_and_the_one_below_does_not(count):
    i = COUNT_TYPES.index(smallest_type(count))
    assert count <= np.iinfo(COUNT_TYPES[i]).max
    assert i == 0 or count > np.iinfo(COUNT_TYPES[i - 1]).max


# Division by a constant

EXTREMES = [0, 1, 2, 3, 2**30, 2**31 - 2, 2**31 - 1]


def _check_division(divisor, dividends):
    multiplier, shift = divider(divisor)
    assert multiplier < 2**32 + 1
    assert (2**31 - 1) * multiplier < 2**64
    x = np.asarray(dividends, np.uint64)
    assert np.array_equal((x * np.uint64(multiplier)) >> np.uint64(shift), x // np.uint64(divisor))


@given(st.integers(1, 2**31 - 1), st.lists(st.integers(0, 2**31 - 1)))
@example(1, EXTREMES)
@example(2**31 - 1, EXTREMES)
@example(2000, EXTREMES)
def test_multiplying_and_shifting_divides_exactly(divisor, dividends):
    around = [m * divisor + d for m in (0, 1, 2, (2**31 - 1) // divisor) for d in (-1, 0, 1) if 0 <= m * divisor + d < 2**31]
    _check_division(divisor, dividends + around + EXTREMES)


@given(st.integers(0, 30), st.integers(-2, 2), st.lists(st.integers(0, 2**31 - 1)))
def test_it_does_next_to_powers_of_two(power, off, dividends):
    divisor = min(max(2**power + off, 1), 2**31 - 1)
    _check_division(divisor, dividends + EXTREMES)


@pytest.mark.soak
def test_it_divides_every_dividend_of_many_divisors():
    for divisor in [1, 3, 2000, 2**31 - 1]:
        for start in range(0, 2**31, 2**26):
            _check_division(divisor, np.arange(start, start + 2**26, dtype=np.uint64))


def test_an_array_used_again_holds_the_counts_and_nothing_of_before():
    out = np.full((2, 3), 7, np.uint16)
    counts = bin_ticks(np.array([0, 5, 19, 7, 40]), np.array([0, 3, 5]), ticks_per_bin=10, n_bins=3, out=out)
    assert counts is out
    assert counts.tolist() == [[2, 1, 0], [1, 0, 0]]
    with pytest.raises(BinWidthError, match=r"counts of 2 units and 4 bins do not fit an array of shape \(2, 3\)"):
        bin_ticks(np.array([0]), np.array([0, 1, 1]), ticks_per_bin=10, n_bins=4, out=out)
