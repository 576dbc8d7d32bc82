"""What IBL's numbers mean, each rule against its own words in plain numpy."""

from __future__ import annotations

import ibl_sessions
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from neuropile import ibl
from neuropile.errors import NeuropileError

VALUES = st.one_of(st.just(float("nan")), st.floats(0, 100))


class TestLabels:
    @pytest.mark.parametrize("seed", range(5))
    def test_the_label_from_the_metrics_is_the_stored_one(self, seed):
        for p in ibl_sessions.made(seed, n_units=40, n_trials=2).probes:
            label, failed = ibl.unit_labels(p.metrics)
            np.testing.assert_array_equal(label, p.metrics["label"])
            np.testing.assert_array_equal(failed, p.metrics["bitwise_fail"])
            older, _ = ibl.unit_labels(p.metrics.drop(columns="max_confidence"))
            np.testing.assert_array_equal(older, p.metrics["label"])

    @given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=8))
    def test_each_test_passes_as_it_is_written_and_nan_fails(self, units):
        confidence, noise, amplitude = (np.array(v) for v in zip(*units, strict=True))
        label, failed = ibl.unit_labels({"max_confidence": confidence, "noise_cutoff": noise, "amp_median": amplitude * 1e-6})
        for i, (c, n, a) in enumerate(units):
            fails = [not c >= 90, not n < 5, not a * 1e-6 > 50e-6]
            assert label[i] == (3 - sum(fails)) / 3
            assert failed[i] == sum(bit for bit, bad in zip((1, 2, 4), fails, strict=True) if bad)

    @pytest.mark.parametrize("missing", ["noise_cutoff", "amp_median", "max_confidence"])
    def test_a_metric_that_is_missing_is_named(self, missing):
        wanted = "max_confidence or slidingRP_viol" if missing == "max_confidence" else missing
        metrics = {n: [1.0] for n in ("max_confidence", "noise_cutoff", "amp_median") if n != missing}
        with pytest.raises(NeuropileError, match=f"a label needs {wanted}; the metrics are"):
            ibl.unit_labels(metrics)


class TestWheel:
    def test_a_slow_swing_has_the_speed_of_its_derivative(self):
        times = np.sort(np.random.default_rng(0).uniform(0, 20, 20_000))
        found = ibl.wheel_kinematics(times, np.sin(2 * np.pi * times))
        inside = slice(500, -500)
        np.testing.assert_allclose(found.velocity[inside], 2 * np.pi * np.cos(2 * np.pi * (found.time_s[inside] - 0.0005)), atol=0.02)
        np.testing.assert_allclose(found.acceleration[inside], -((2 * np.pi) ** 2) * np.sin(2 * np.pi * found.time_s[inside]), atol=1.0)
        np.testing.assert_array_equal(found.position, np.interp(found.time_s, times, np.sin(2 * np.pi * times)))

    def test_it_is_a_butterworth_of_order_8_at_20_hz_forwards_and_backwards(self):
        rng = np.random.default_rng(1)
        times, position = np.arange(5000) / 1000, np.cumsum(rng.normal(size=5000))
        sections = signal.butter(8, 20, fs=1000, output="sos")
        found = ibl.wheel_kinematics(times, position)
        smooth = signal.sosfiltfilt(sections, found.position)
        np.testing.assert_allclose(found.velocity[1:], np.diff(smooth) * 1000, rtol=1e-9, atol=1e-9)
        assert (found.velocity[0], found.acceleration[0]) == (0.0, 0.0)

    def test_its_times_are_a_millisecond_apart_even_after_hours(self):
        times = 10_000 + np.arange(0, 2, 0.01)
        found = ibl.wheel_kinematics(times, np.zeros(len(times)))
        np.testing.assert_allclose(np.diff(found.time_s), 1e-3, atol=1e-9)
        assert found.time_s.dtype == np.float64

    @pytest.mark.parametrize(
        ("times", "words"),
        [([0.0], "two finite samples"), ([0.0, np.nan], "two finite samples"), ([1.0, 0.0], "times fall"), ([0.0, 0.01], "needs more than")],
    )
    def test_what_has_no_speed_is_told(self, times, words):
        with pytest.raises(NeuropileError, match=words):
            ibl.wheel_kinematics(np.array(times), np.zeros(len(times)))

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_sign_is_which_way_choices_turn_it(self, sign):
        made = ibl_sessions.made(seed=2, wheel_sign=sign)
        t = made.trials
        found = ibl.wheel_sign(*made.wheel, t["stimOn_times"], t["response_times"], t["choice"])
        told = t["stimOn_times"].notna() & (t["choice"] != 0)
        moved = np.interp(t["response_times"], *made.wheel) - np.interp(t["stimOn_times"], *made.wheel)
        assert (found.sign, found.n_trials) == (sign, told.sum())
        assert found.r == pytest.approx(np.corrcoef(moved[told], t["choice"][told])[0, 1])
        assert sign * found.r > 0.9

    @pytest.mark.parametrize("choice", [[1, 1, 1], [1, 0, 0], [np.nan] * 3])
    def test_it_is_not_told_where_it_cannot_be(self, choice):
        on = np.array([1.0, 2.0, 3.0])
        assert ibl.wheel_sign(np.arange(10.0), np.arange(10.0) ** 2, on, on + 0.5, np.array(choice, float)) is None
        assert ibl.wheel_sign(np.empty(0), np.empty(0), on, on + 0.5, np.array([1.0, -1.0, 1.0])) is None


class TestPose:
    def test_points_below_the_likelihood_are_unseen(self):
        pose = np.random.default_rng(0).uniform(0, 1, (50, 4, 3))
        pose[3, 1, 2] = np.nan
        found = ibl.likely_positions(pose, threshold=0.6, scale=0.5)
        for frame, point in np.ndindex(50, 4):
            x, y, sure = pose[frame, point]
            np.testing.assert_array_equal(found[frame, point], [x / 2, y / 2] if sure >= 0.6 else [np.nan, np.nan])

    @pytest.mark.parametrize("threshold", [2, -0.1, float("nan")])
    def test_a_threshold_that_is_no_likelihood_is_told(self, threshold):
        with pytest.raises(NeuropileError, match="likelihoods run from 0 to 1"):
            ibl.likely_positions(np.zeros((1, 1, 3)), threshold=threshold)

    def test_another_shape_is_told(self):
        with pytest.raises(NeuropileError, match=r"time, keypoint and \(x, y, likelihood\), found an array of shape \(3, 2\)"):
            ibl.likely_positions(np.zeros((3, 2)))

    def test_the_pupil_s_ratio_leaves_out_what_is_not_known(self):
        smooth = np.array([1.0, 5.0, 9.0, np.nan, 3.0])
        raw = np.array([1.5, 4.5, 9.5, 2.0, np.nan])
        assert ibl.pupil_ratio(raw, smooth) == pytest.approx(np.var([1, 5, 9, 3]) / np.var([0.5, -0.5, 0.5]))
        assert np.isnan(ibl.pupil_ratio(smooth, smooth))


class TestTrials:
    def test_trials_of_no_contrast_have_a_side_and_no_sign(self):
        left, right = [0.25, np.nan, 0.0, np.nan, np.nan], [np.nan, 1.0, np.nan, 0.0, np.nan]
        np.testing.assert_array_equal(ibl.signed_contrasts(left, right), [-25, 100, 0, 0, np.nan])

    def test_a_trial_with_a_stimulus_on_both_sides_has_no_sign(self):
        np.testing.assert_array_equal(ibl.signed_contrasts([0.5, 0.5, 0.0], [0.5, 0.0, 0.5]), [np.nan, -50, 50])

    @given(st.lists(st.sampled_from([0.2, 0.5, 0.8])))
    def test_a_block_ends_where_the_probability_changes(self, p_left):
        found = ibl.block_numbers(p_left)
        runs = pd.Series(p_left, dtype=float).ne(pd.Series(p_left, dtype=float).shift()).cumsum() - 1
        assert found.tolist() == runs.tolist()

    def test_rewarded_choices_that_do_not_fit_are_counted(self):
        t = ibl_sessions.made(seed=5, n_trials=200).trials
        correct = t["feedbackType"] > 0
        assert ibl.misfit(t["choice"], correct, t["contrastLeft"], t["contrastRight"]) == (0, correct.sum())
        assert ibl.misfit(-t["choice"], correct, t["contrastLeft"], t["contrastRight"]) == (correct.sum(), correct.sum())
