import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neuropile import kernels
from neuropile.errors import StoreError

bin_lists = st.lists(
    st.lists(st.integers(0, 3000) | st.sampled_from([0, 253, 254, 255, 256, 509, 510, 511, 765]), max_size=40).map(sorted), min_size=1, max_size=4
)


def encoded(each) -> tuple[np.ndarray, np.ndarray]:
    """The gap bytes of some units' bins, and where each unit's begin."""
    bins = np.array([b for one in each for b in one], np.int64)
    offsets = np.cumsum([0] + [len(one) for one in each])
    data = np.zeros(kernels.gaps_length(bins, offsets), np.uint8)
    out_offsets = np.zeros(len(offsets), np.int64)
    kernels.write_gaps(bins, offsets, data, out_offsets)
    assert out_offsets[-1] == len(data)
    return data, out_offsets


def decoded(data, offsets, n_bins, dtype=np.uint16) -> tuple[int, np.ndarray]:
    out = np.zeros((len(offsets) - 1, n_bins), dtype)
    return kernels.read_gaps(data, offsets, np.arange(len(offsets) - 1), n_bins, out), out


def plainly(data, n_bins) -> np.ndarray:
    """The three lines of numpy that a data card gives."""
    g = np.asarray(data, np.uint8)
    return np.bincount(np.cumsum(g, dtype=np.int32)[g < 255], minlength=n_bins)


@given(bin_lists)
@example([[254], [255], [256], [510], [0, 254, 509, 764, 1274]])
@example([[]])
def test_reading_gap_bytes_undoes_writing_them(each):
    n_bins = 3001
    data, offsets = encoded(each)
    status, counts = decoded(data, offsets, n_bins)
    assert status == -1
    for row, bins in enumerate(each):
        assert np.array_equal(counts[row], np.bincount(bins, minlength=n_bins))
        assert np.array_equal(counts[row], plainly(data[offsets[row] : offsets[row + 1]], n_bins))


@given(bin_lists)
def test_a_byte_is_the_bins_since_the_spike_before(each):
    data, offsets = encoded(each)
    for row, bins in enumerate(each):
        expected = [byte for gap in np.diff([0, *bins]).tolist() for byte in [255] * (gap // 255) + [gap % 255]]
        assert data[offsets[row] : offsets[row + 1]].tolist() == expected


@pytest.mark.parametrize(("gap", "data"), [(0, [0]), (254, [254]), (255, [255, 0]), (256, [255, 1]), (509, [255, 254]), (510, [255, 255, 0])])
def test_long_gaps_go_on(gap, data):
    assert encoded([[gap]])[0].tolist() == data


@pytest.mark.parametrize("n", [254, 255, 256, 300])
def test_many_spikes_in_one_bin_survive_in_a_wider_type(n):
    data, offsets = encoded([[1], [7] * n + [9], [2]])
    status, counts = decoded(data, offsets, 10, np.uint16)
    assert status == -1
    assert counts[1].tolist() == [0] * 7 + [n, 0, 1]
    assert counts[[0, 2]].sum() == 2


@pytest.mark.parametrize("n", [256, 257, 300, 1000])
def test_a_count_over_255_is_reported_where_it_does_not_fit(n):
    data, offsets = encoded([[1], [7] * n, [2]])
    assert decoded(data, offsets, 10, np.uint8)[0] == -2 - 1


def test_a_count_of_255_fits_a_byte():
    data, offsets = encoded([[7] * 255])
    assert decoded(data, offsets, 10, np.uint8)[1].tolist() == [[0] * 7 + [255, 0, 0]]


def test_many_zero_bytes_in_different_bins_are_no_overflow():
    bins = np.repeat(np.arange(100), 4).tolist()  # 300 zero bytes, but 4 spikes a bin
    data, offsets = encoded([bins])
    status, counts = decoded(data, offsets, 100, np.uint8)
    assert status == -1
    assert counts.tolist() == [[4] * 100]


def test_the_last_bin_is_inside_and_the_one_after_it_is_damage():
    data, offsets = encoded([[0, 9]])
    assert decoded(data, offsets, 10)[0] == -1
    assert decoded(data, offsets, 9)[0] == 0


@pytest.mark.parametrize("damaged", [[5, 5], [10], [255], [1, 255], [255, 255, 255], [0, 254, 255, 255]])
def test_damaged_bytes_are_found_before_anything_of_them_is_written(damaged):
    data = np.array([3, *damaged, 2], np.uint8)
    offsets = np.array([0, 1, 1 + len(damaged), 2 + len(damaged)])
    status, counts = decoded(data, offsets, 10)
    assert status == 1
    assert counts[0].sum() == 1
    assert counts[1:].sum() == 0


@given(st.binary(max_size=60), st.integers(0, 2000), st.sampled_from([np.uint8, np.uint16, np.uint32]))
@example(b"\xff", 256, np.uint8)
@example(b"", 0, np.uint8)
@example(b"\x00" * 60, 1, np.uint8)
def test_any_bytes_are_read_as_the_card_says_or_refused(data, n_bins, dtype):
    data = np.frombuffer(data, np.uint8)
    total, ends_open = int(data.sum()), len(data) and data[-1] == 255
    status, counts = decoded(data, np.array([0, len(data)]), n_bins, dtype)
    if len(data) and (total >= n_bins or ends_open):
        assert status == 0
        assert counts.sum() == 0
    else:
        assert status == -1
        assert np.array_equal(counts[0], plainly(data, n_bins))


@given(bin_lists, st.randoms())
def test_items_go_to_the_rows_they_are_told(each, random):
    data, offsets = encoded(each)
    rows = list(range(len(each)))
    random.shuffle(rows)
    out = np.zeros((len(each) + 1, 3001), np.uint8)
    assert kernels.read_gaps(data, offsets, np.array(rows), 3001, out) == -1
    assert np.array_equal(out[rows], decoded(data, offsets, 3001)[1])
    assert out[-1].sum() == 0


events = st.lists(st.tuples(st.integers(0, 4), st.integers(-300, 300)), max_size=60)


@given(events)
def test_grouping_puts_events_in_unit_order_and_keeps_their_time_order(events):
    units = np.array([u for u, _ in events], np.int32)
    ticks = np.array([t for _, t in events], np.int32)
    offsets, grouped = kernels.group_by_unit(units, ticks, 5)
    assert [grouped[offsets[u] : offsets[u + 1]].tolist() for u in range(5)] == [[t for v, t in events if v == u] for u in range(5)]


@given(events, st.lists(st.integers(-400, 400), max_size=5), st.integers(-5, 5), st.integers(1, 40), st.integers(0, 6), st.data())
def test_counts_around_moments_are_those_of_each_moment(events, moments, before, per_bin, n_bins, data):
    rows = np.array(data.draw(st.lists(st.integers(0, 4), unique=True)), np.int64)
    events = sorted(events)
    offsets, ticks = kernels.group_by_unit(np.array([u for u, _ in events], np.int32), np.array([t for _, t in events], np.int64), 5)
    out = np.zeros((len(moments), len(rows), n_bins), np.uint8)
    assert kernels.scatter_aligned(ticks, offsets, rows, np.array(moments, np.int64), before * per_bin, per_bin, out) == -1
    for e, moment in enumerate(moments):
        for r, unit in enumerate(rows.tolist()):
            k = [(t - moment) // per_bin + before for u, t in events if u == unit]
            assert out[e, r].tolist() == [k.count(b) for b in range(n_bins)]


def test_an_overflow_around_a_moment_names_the_first_cell():
    ticks = np.full(256, 12)
    out = np.zeros((2, 1, 3), np.uint8)
    assert kernels.scatter_aligned(ticks, np.array([0, 256]), np.array([0]), np.array([500, 0]), 0, 10, out) == (1 * 1 + 0) * 3 + 1


@pytest.mark.parametrize("unit", [3, -1, 2**31 - 1, -(2**31)])
def test_a_unit_that_is_not_there_is_damage_and_never_a_write_elsewhere(unit):
    units, ticks = np.array([0, unit], np.int32), np.array([1, 2], np.int32)
    rows, out = np.arange(3), np.zeros((3, 4), np.uint8)
    with pytest.raises(StoreError, match="spikes of units that are not there: the file is damaged"):
        kernels.scatter_near(units, ticks, rows, 0, 10 * out.shape[1], kernels.divider(10), out)
    with pytest.raises(StoreError, match="spikes of units that are not there: the file is damaged"):
        kernels.scatter_far(units, ticks, rows, 0, 10, out)
    with pytest.raises(StoreError, match="spikes of units that are not there: the file is damaged"):
        kernels.group_by_unit(units, ticks, 3)
