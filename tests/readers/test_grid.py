"""Bins by their time stamps: laid on a clock whose own bins they are, with everything else that has times."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.errors import UnreadableFile
from neuropile.readers.clock import grid

WIDTHS = [Fraction(1, 200), Fraction(1, 60), Fraction(1, 50), Fraction(4, 125), Fraction(1, 20)]


@st.composite
def stamped(draw):
    """Time stamps of a few stretches of bins, and the width that made them."""
    width = draw(st.sampled_from(WIDTHS))
    at = draw(st.floats(-5, 1000, allow_nan=False))
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(2, 40))
        parts.append(at + np.arange(n) * float(width))
        at = parts[-1][-1] + float(width) * draw(st.floats(1.6, 200))
    return width, np.concatenate(parts), [len(p) for p in parts]


@given(stamped())
def test_the_stamps_alone_tell_the_width(made) -> None:
    width, stamps, lengths = made
    if sum(lengths) > 2 * len(lengths):  # most steps are within stretches
        assert grid.lay(stamps).width == width


@given(stamped())
def test_every_stretch_keeps_its_length_and_leaves_a_bin_out_before_the_next(made) -> None:
    width, stamps, lengths = made
    runs = grid.lay(stamps, width).runs()
    assert (runs[:, 1] - runs[:, 0]).tolist() == lengths
    assert np.all(runs[1:, 0] > runs[:-1, 1])


@given(stamped())
def test_no_stretch_moves_by_more_than_half_a_bin_unless_the_one_before_is_in_its_way(made) -> None:
    width, stamps, lengths = made
    laid = grid.lay(stamps, width)
    first = np.r_[0, np.cumsum(lengths)[:-1]]
    away = np.abs(laid.bins[first] * float(width) - stamps[first]) / float(width)
    blocked = np.r_[False, laid.bins[first][1:] == laid.bins[first[1:] - 1] + 2]
    assert np.all(away[~blocked] <= 0.5 + 1e-6)


@given(stamped(), st.data())
def test_a_moment_in_a_native_bin_moves_into_that_bin_of_the_clock(made, data) -> None:
    width, stamps, _ = made
    laid = grid.lay(stamps, width)
    i = data.draw(st.integers(0, len(stamps) - 1))
    within = data.draw(st.floats(0.001, 0.999))
    moved = laid.move(stamps[i : i + 1] + within * float(width))
    assert np.floor(moved[0] / float(width) + 1e-9) == laid.bins[i]
    assert abs(laid.move(stamps[i : i + 1])[0] - laid.bins[i] * float(width)) < 1e-9


@given(stamped())
def test_moving_never_changes_the_order_of_moments(made) -> None:
    width, stamps, _ = made
    moments = np.sort(np.random.default_rng(0).uniform(stamps[0] - 3, stamps[-1] + 3, 200))
    assert np.all(np.diff(grid.lay(stamps, width).move(moments)) >= 0)


def test_a_step_of_the_gap_asked_for_begins_a_stretch() -> None:
    stamps = np.r_[np.arange(5) * 0.02, 0.08 + 0.022 + np.arange(5) * 0.02]
    assert len(grid.lay(stamps).runs()) == 1
    assert grid.lay(stamps, gap=1.05).runs().tolist() == [[0, 5], [6, 11]]


def test_spans_of_some_bins_are_their_runs() -> None:
    laid = grid.lay(1.0 + np.arange(6) * 0.5)
    held = np.array([True, True, False, True, True, True])
    assert laid.spans(held).start_s.tolist() == [1.0, 2.5]
    assert laid.spans(held).stop_s.tolist() == [2.0, 4.0]
    assert len(laid.spans(np.zeros(6, bool)).unit) == 0


@pytest.mark.parametrize(
    ("stamps", "said"),
    [
        ([0.0, 0.02, 0.02, 0.04], "do not ascend: 0.02 s comes after 0.02 s"),
        ([0.0, np.nan, 0.04], "some are missing"),
        ([], "none is there"),
        ([0.1], "tell no bin width"),
        ([0.0, 100.0], "are these seconds"),
        ([0.0, 0.0203, 0.0406], "neither a whole part of a second nor whole milliseconds"),
    ],
)
def test_stamps_that_are_no_bins_are_told(stamps, said) -> None:
    with pytest.raises(UnreadableFile, match=said):
        grid.lay(np.array(stamps))
