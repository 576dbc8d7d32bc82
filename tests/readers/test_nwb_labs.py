"""What single labs write into NWB files in their own way: verdicts on units, and what invalid times speak of."""

from __future__ import annotations

import h5py
import pytest
from nwbfile import add_electrodes, add_units, column

from neuropile.types import ALL_UNITS

TRAINS = [[1.0], [2.0], [3.0], [4.0]]


class TestQuality:
    def test_numbers_of_phys_annotations_are_words(self, nwb, write, read):
        recording = read(write(add_units(nwb, TRAINS, phy_annotations=[0, 1, 2, 3])))
        assert column(recording, "quality") == ["noise", "mua", "good", None]
        assert column(recording, "src_phy_annotations") == [0, 1, 2, 3]

    def test_the_same_numbers_elsewhere_mean_nothing(self, nwb, write, read):
        assert "quality" not in read(write(add_units(nwb, TRAINS, group_label=[0, 1, 2, 3]))).units.column_names

    def test_ibls_units_are_good_where_they_passed_all_tests(self, nwb, write, read):
        """Also where Kilosort called them multi-unit; and none is good because Kilosort said so."""
        columns = {"ibl_quality_score": [1.0, 2 / 3, 1 / 3, float("nan")], "kilosort2_label": ["mua", "good", "mua", "noise"]}
        recording = read(write(add_units(nwb, TRAINS, **columns)))
        assert column(recording, "quality") == ["good", None, "mua", "noise"]

    def test_ibls_score_alone_tells_the_good(self, nwb, write, read):
        assert column(read(write(add_units(nwb, TRAINS, ibl_quality_score=[1.0, 0.0, 1.0, 2 / 3]))), "quality") == ["good", None, "good", None]


@pytest.fixture
def rig(nwb, write):
    """A file with two of Allen's probes and the given rows of invalid times; groups are of the owner's own type."""

    def _rig(*rows):
        add_electrodes(nwb, ["VISp", "CA1", "LGd", "VISp"], groups=("probeA", "probeC"), ids=[850_001, 850_003, 850_005, 850_007])
        add_units(nwb, TRAINS, peak_channel_id=[850_003, 850_001, 850_007, 850_005])
        for start, tags in rows:
            nwb.add_invalid_time_interval(start_time=start, stop_time=start + 0.5, tags=tags)
        path = write(nwb)
        with h5py.File(path, "r+") as f:
            for probe in ("probeA", "probeC"):
                f[f"general/extracellular_ephys/{probe}"].attrs["neurodata_type"] = "EcephysElectrodeGroup"
        return path

    return _rig


def invalid_of(recording):
    spans = recording.invalid
    return [] if spans is None else list(zip(spans.unit.tolist(), spans.start_s.tolist(), strict=True))


class TestAllen:
    def test_area_and_probe_come_through_the_peak_channels_own_id(self, rig, read):
        recording = read(rig())
        assert column(recording, "region") == ["CA1", "VISp", "VISp", "LGd"]
        assert column(recording, "probe") == ["probeC", "probeA", "probeC", "probeA"]

    def test_all_probes_means_every_unit(self, rig, read):
        assert invalid_of(read(rig((1.0, ["all_probes"])))) == [(ALL_UNITS, 1.0)]

    def test_a_probe_means_its_units(self, rig, read):
        assert invalid_of(read(rig((1.0, ["EcephysProbe", "729445654", "probeC"])))) == [(0, 1.0), (2, 1.0)]

    def test_a_probe_that_failed_and_is_not_in_the_file_means_nobody(self, rig, read):
        assert invalid_of(read(rig((1.0, ["EcephysProbe", "733744653", "probeF"])))) == []

    @pytest.mark.parametrize("tags", [["stimulus"], ["stimulus", "natural_movie_one_presentations"], ["EyeTracking"]])
    def test_what_was_shown_or_seen_means_no_unit(self, rig, read, tags):
        recording = read(rig((1.0, tags)))
        assert invalid_of(recording) == []
        assert recording.intervals["invalid"].num_rows == 1

    def test_rows_are_taken_each_for_itself(self, rig, read):
        assert invalid_of(read(rig((1.0, ["stimulus"]), (2.0, ["probeA"]), (3.0, ["all_probes", "stimulus"])))) == [(1, 2.0), (3, 2.0), (ALL_UNITS, 3.0)]


IBL = {
    "gabor_stimulus_contrast": [100.0, 6.25, 0.0, 25.0],
    "gabor_stimulus_side": ["left", "right", "left", "right"],
    "mouse_wheel_choice": ["clockwise", "counter_clockwise", "none", "clockwise"],
    "is_mouse_rewarded": [True, True, False, False],
    "reward_volume_uL": [1.5, 1.5, 0.0, 0.0],
}


class TestTrials:
    def trials(self, nwb, write, read, **columns):
        add_units(nwb, TRAINS)
        for name in columns:
            nwb.add_trial_column(name, name)
        for i in range(4):
            nwb.add_trial(start_time=float(i), stop_time=i + 0.5, **{n: v[i] for n, v in columns.items()})
        return read(write(nwb)).intervals["trials"]

    def test_ibls_contrasts_are_fractions_on_the_side_they_were_shown(self, nwb, write, read):
        trials = self.trials(nwb, write, read, **IBL)
        assert trials.column("contrast_left").to_pylist() == [1.0, None, 0.0, None]
        assert trials.column("contrast_right").to_pylist() == [None, 0.0625, None, 0.25]
        assert trials.column("reward_ul").to_pylist() == [1.5, 1.5, 0.0, 0.0]

    def test_a_rewarded_choice_of_1_answers_a_stimulus_on_the_left(self, nwb, write, read):
        rows = self.trials(nwb, write, read, **IBL).to_pylist()
        assert [r["choice"] for r in rows] == [1, -1, 0, 1]
        assert all((r["choice"] == 1) == (r["contrast_left"] is not None) for r in rows if r["correct"])

    def test_words_that_are_not_known_make_no_choice(self, nwb, write, read):
        trials = self.trials(nwb, write, read, **(IBL | {"mouse_wheel_choice": ["left", "right", "no_go", "left"]}))
        assert "choice" not in trials.column_names
        assert trials.column("src_mouse_wheel_choice").to_pylist() == ["left", "right", "no_go", "left"]

    def test_a_contrast_without_a_side_stays_the_sources_own(self, nwb, write, read):
        trials = self.trials(nwb, write, read, gabor_stimulus_contrast=[100.0, 6.25, 0.0, 25.0])
        assert not {"contrast_left", "contrast_right"} & set(trials.column_names)
