"""Made sessions in Allen's two layouts, against what pynwb and the owner's own types read from the same files."""

from __future__ import annotations

import math
import time

import allen_sessions
import allen_stimuli
import numpy as np
import pandas as pd
import pytest
from nwbfile import add_units

from neuropile.errors import NotThere
from neuropile.readers.nwb import parameters

SESSIONS = ("watched", "compared", "behaved")
NUMBERS = {
    "orientation_deg": ("orientation",),
    "direction_deg": ("Dir",),
    "temporal_frequency_hz": ("temporal_frequency",),
    "spatial_frequency_cpd": ("spatial_frequency",),
    "phase": ("phase",),
    "contrast": ("contrast",),
    "speed": ("Speed",),
    "x_position_deg": ("x_position", "position_x"),
    "y_position_deg": ("y_position", "position_y"),
    "colour": ("color",),
    "frame": ("frame",),
    "block": ("stimulus_block",),
}


def a_number(value):
    """What one cell says, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def plain(values):
    return [None if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in values]


@pytest.fixture(params=SESSIONS)
def both(request, read, oracle):
    """Our recording and pynwb's file of one session."""
    path = allen_sessions.made(request.param)
    return read(path), oracle(path)


@pytest.fixture
def ours(read):
    return lambda name: read(allen_sessions.made(name))


@pytest.fixture
def theirs(oracle):
    return lambda name: oracle(allen_sessions.made(name))


def their_presentations(nwb):
    """Every row of every table of presentations, by time, as pynwb gives it."""
    frames = [t.to_dataframe() for n, t in nwb.intervals.items() if n.endswith("_presentations")]
    return pd.concat(frames, ignore_index=True).sort_values("start_time", kind="stable").reset_index(drop=True)


class TestPresentations:
    def test_each_parameter_is_the_number_that_each_cell_stands_for(self, both):
        recording, nwb = both
        table, expected = recording.intervals["presentations"], their_presentations(nwb)
        assert table.num_rows == len(expected)
        np.testing.assert_array_equal(table.column("start_s"), expected["start_time"])
        for ours, names in NUMBERS.items():
            cells = next((expected[n] for n in names if n in expected), None)
            assert (ours in table.column_names) == (cells is not None), ours
            if cells is not None:
                assert plain(table.column(ours).to_pylist()) == [a_number(v) for v in cells], ours

    def test_sizes_are_one_number_where_both_sides_are_alike(self, ours):
        table = ours("watched").intervals["presentations"].to_pandas()
        assert table.groupby("stimulus")["size_deg"].unique().loc[["gabors", "flashes", "drifting_gratings"]].map(list).tolist() == [[20.0], [300.0], [250.0]]

    def test_stimuli_are_called_as_the_file_calls_them(self, both):
        recording, nwb = both
        assert recording.intervals["presentations"].column("stimulus").to_pylist() == their_presentations(nwb)["stimulus_name"].tolist()

    @pytest.mark.parametrize("session", ["watched", "compared"])
    def test_a_pass_of_a_movie_begins_with_its_first_frame_in_each_block(self, ours, session):
        table = ours(session).intervals["presentations"].to_pandas()
        for (name, _), rows in table[table["stimulus"].str.contains("movie") & ~table["stimulus"].str.contains("shuffled")].groupby(["stimulus", "block"]):
            number = None
            for frame, repeat in zip(rows["frame"], rows["repeat"], strict=True):
                number = (0 if number is None else number + 1) if frame == 0 else number
                assert (None if np.isnan(repeat) else repeat) == number, name
        assert (table["repeat"].isna() | table["stimulus"].str.contains("movie")).all()

    def test_the_frames_of_a_shuffled_movie_are_each_in_a_pass_once(self, ours):
        table = ours("compared").intervals["presentations"].to_pandas()
        rows = table[table["stimulus"] == "natural_movie_one_shuffled"]
        assert sorted(map(tuple, rows[["repeat", "frame"]].to_numpy(int).tolist())) == [(r, f) for r in range(4) for f in range(20)]
        assert rows["repeat"].is_monotonic_increasing

    def test_blanks_and_omissions_are_told_from_what_was_shown(self, ours):
        watched = ours("watched").intervals["presentations"].to_pandas()
        for stimulus, blank in (("drifting_gratings", "src_orientation"), ("natural_scenes", "src_frame")):
            rows = watched[watched["stimulus"] == stimulus]
            assert rows["is_blank"].astype(bool).tolist() == [v in ("null", -1.0, "-1.0") for v in rows[blank]]
            assert 0 < rows["is_blank"].sum() < len(rows)
        behaved = ours("behaved").intervals["presentations"].to_pandas()
        rows = behaved[behaved["image_name"].notna()]
        assert rows["is_omitted"].astype(bool).tolist() == (rows["image_name"] == "omitted").tolist()
        assert rows["is_omitted"].sum() == 4
        assert rows["is_blank"].isna().all()

    def test_truths_stored_as_numbers_are_truths(self, both):
        recording, nwb = both
        table, expected = recording.intervals["presentations"], their_presentations(nwb)
        for ours, name in (("is_change", "is_change"), ("is_active", "active"), ("is_sham_change", "is_sham_change"), ("is_omitted", "omitted")):
            if name in expected:
                assert table.column(ours).to_pylist() == [None if np.isnan(v) else bool(v) for v in expected[name]]

    def test_as_many_rows_as_real_sessions_have_take_no_time(self, nwb, write, read):
        n = 70_931
        add_units(nwb, [[1.0, 50.0]])
        allen_stimuli.add_long_session(nwb, n)
        path = write(nwb)
        began = time.process_time()
        table = read(path).intervals["presentations"]
        assert time.process_time() - began < 10  # seconds of the processor: a tenth of that where nothing else runs
        frame = np.arange(n - 1000)
        expected = np.r_[frame % 18_000 // 3600, np.full(1000, np.nan)]
        np.testing.assert_array_equal(table.column("repeat").to_numpy(), expected)
        assert table.num_rows == n


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["null", "N/A", "", "nan", "None"], [None] * 5),
        ([" 8.0", "+1", "-.5", "1e-3", "7."], [8.0, 1.0, -0.5, 0.001, 7.0]),
        (["[8.0,8.0]", "1.0 2.0", "inf", "0x10"], [None] * 4),
        ([1, 2, None], [1.0, 2.0, None]),
        ([True, False], [1.0, 0.0]),
        ([np.inf, np.nan, 2.5], [None, None, 2.5]),
    ],
)
def test_a_cell_is_a_number_only_if_all_of_it_is(cells, numbers):
    import pyarrow as pa

    assert parameters.numbers(pa.chunked_array([pa.array(cells)])).to_pylist() == numbers


def test_truths_may_be_words_or_numbers():
    import pyarrow as pa

    for cells in (["True", "false", "1.0", "0", "N/A"], [1.0, 0.0, 1.0, 0.0, None], [True, False, True, False, None]):
        assert parameters.truths(pa.chunked_array([pa.array(cells)])).to_pylist() == [True, False, True, False, None]


class TestChannels:
    def test_they_are_the_electrodes_by_their_own_ids(self, both):
        recording, nwb = both
        table, expected = recording.channels.to_pandas(), nwb.electrodes.to_dataframe()
        assert table["channel_id"].tolist() == [str(i) for i in expected.index]
        assert table["probe"].tolist() == expected["group_name"].tolist()
        for ours, name in (("depth_um", "probe_vertical_position"), ("lateral_um", "probe_horizontal_position")):
            np.testing.assert_array_equal(table[ours], expected[name])
        assert [None if pd.isna(v) else v for v in table["region"]] == [v or None for v in expected["location"]]
        assert table["src_valid_data"].tolist() == expected["valid_data"].tolist()
        for axis in "xyz":
            known = expected["x"] != -1
            np.testing.assert_array_equal(table[f"{axis}_um"].notna(), known)
            np.testing.assert_array_equal(table[f"{axis}_um"][known.to_numpy()], expected[axis][known])

    def test_a_unit_is_where_its_peak_channel_is(self, both):
        recording, nwb = both
        units, electrodes = recording.units.to_pandas(), nwb.electrodes.to_dataframe()
        peak = electrodes.loc[nwb.units.to_dataframe()["peak_channel_id"]]
        assert [None if pd.isna(v) else v for v in units["region"]] == [v or None for v in peak["location"]]
        assert units["probe"].tolist() == peak["group_name"].tolist()
        np.testing.assert_array_equal(units["depth_um"], peak["probe_vertical_position"])
        np.testing.assert_array_equal(units["y_um"], peak["y"].where(peak["y"] != -1))


def test_mean_waveforms_are_those_of_the_channels_they_name(both):
    recording, nwb = both
    units, electrodes = nwb.units.to_dataframe(), nwb.electrodes.to_dataframe()
    place = next(c for c in ("local_index", "probe_channel_number") if c in electrodes)
    shapes, ids = (recording.signals[n].data[:] for n in ("waveform_mean", "waveform_channel_id"))
    for unit, row in enumerate(units.itertuples()):
        assert row.peak_channel_id in ids[unit]
        for shape, channel in zip(shapes[unit], ids[unit], strict=True):
            np.testing.assert_array_equal(shape, np.asarray(row.waveform_mean)[electrodes.loc[channel, place]])


def test_only_channels_near_the_peak_are_kept_of_many(monkeypatch, ours, theirs):
    monkeypatch.setattr("neuropile.readers.nwb.waveforms.NEAR", 4)
    recording, nwb = ours("watched"), theirs("watched")
    shapes, ids = recording.signals["waveform_mean"], recording.signals["waveform_channel_id"].data
    assert shapes.data.shape == (7, 4, allen_sessions.SAMPLES)
    for unit, peak in enumerate(nwb.units["peak_channel_id"][:]):
        assert peak in ids[unit]
    everything = np.asarray(nwb.units["waveform_mean"][3])
    np.testing.assert_array_equal(shapes.data[3:4][0], everything[8:12])  # its peak is at 10 of 12


class TestBehaviour:
    def test_running_is_as_pynwb_reads_it_with_the_end_of_each_measurement(self, ours, theirs):
        signals, running = ours("watched").signals, theirs("watched").processing["running"]
        np.testing.assert_array_equal(signals["running_speed"].data[:], running["running_speed"].data[:])
        np.testing.assert_array_equal(signals["running_speed"].time_s[:], running["running_speed"].timestamps[:])
        np.testing.assert_array_equal(signals["running_speed_end_times"].data[:], running["running_speed_end_times"].timestamps[:])
        np.testing.assert_array_equal(signals["running_wheel_rotation"].data[:], running["running_wheel_rotation"].data[:])
        assert signals["running_speed"].unit == "cm/s"

    @pytest.mark.parametrize(("part", "table"), [("pupil", "pupil_ellipse_fits"), ("eye", "eye_ellipse_fits"), ("corneal_reflection", "cr_ellipse_fits")])
    def test_ellipses_of_the_older_files_are_kept_and_their_axes_doubled(self, ours, theirs, part, table):
        signals, fits = ours("watched").signals, theirs("watched").processing["eye_tracking"][table].to_dataframe()
        np.testing.assert_array_equal(signals[f"{part}_ellipse"].data[:], fits[["center_x", "center_y", "width", "height", "phi"]])
        np.testing.assert_array_equal(signals[f"{part}_axes"].data[10:30], 2 * fits[["width", "height"]].iloc[10:30])
        np.testing.assert_array_equal(signals[f"{part}_axes"].time_s[:], fits["timestamps"])

    @pytest.mark.parametrize(("part", "series"), [("pupil", "pupil_tracking"), ("eye", "eye_tracking"), ("corneal_reflection", "corneal_reflection_tracking")])
    def test_ellipses_of_the_newer_files_are_the_same_signals_with_areas(self, ours, theirs, part, series):
        signals, tracking = ours("behaved").signals, getattr(theirs("behaved").acquisition["EyeTracking"], series)
        ellipse, axes = signals[f"{part}_ellipse"].data[:], signals[f"{part}_axes"].data[:]
        np.testing.assert_array_equal(ellipse[:, :2], tracking.data[:])
        np.testing.assert_array_equal(ellipse[:, 4], tracking.angle[:])
        np.testing.assert_array_equal(axes, 2 * np.stack([tracking.width[:], tracking.height[:]], axis=1))
        np.testing.assert_array_equal(signals[f"{part}_area"].data[:], tracking.area[:])
        np.testing.assert_allclose(np.pi * (axes.max(axis=1) / 2) ** 2, tracking.area_raw[:])  # the owner's area: of a circle as wide as the larger axis

    def test_likely_blinks_are_a_mask(self, ours):
        blinks = ours("behaved").signals["likely_blink"].data[:]
        assert blinks.dtype == bool
        assert np.flatnonzero(blinks).tolist() == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("kind", ["raw", "filtered"])
    def test_gaze_is_as_pynwb_reads_it(self, ours, theirs, kind):
        signals, module = ours("watched").signals, theirs("watched").processing[f"{kind}_gaze_mapping"]
        for name in ("eye_area", "pupil_area", "screen_coordinates", "screen_coordinates_spherical"):
            np.testing.assert_array_equal(signals[f"{kind}_gaze_mapping_{name}"].data[:], module[name].data[:])

    def test_licks_and_rewards_are_rows_and_volumes_are_microlitres(self, ours, theirs):
        intervals, nwb = ours("behaved").intervals, theirs("behaved")
        assert intervals["licks"].column("start_s").to_pylist() == list(nwb.processing["licking"]["licks"].timestamps[:])
        assert intervals["rewards"].column("start_s").to_pylist() == list(nwb.processing["rewards"]["volume"].timestamps[:])
        assert intervals["rewards"].column("reward_ul").to_pylist() == [5.0, 7.0]
        assert intervals["rewards"].column("is_auto").to_pylist() == [True, False]

    def test_trials_are_right_or_wrong_only_where_the_animal_could_be(self, ours):
        trials = ours("behaved").intervals["trials"]
        assert trials.column("correct").to_pylist() == [True, False, False, None, None]
        assert trials.column("response_s").to_pylist() == [11.2, 15.3, None, None, 33.3]
        assert trials.column("feedback_s").to_pylist() == [11.25, None, None, None, 33.35]
        assert trials.column("reward_ul").to_pylist() == [5.0, 0.0, 0.0, 0.0, 7.0]
        assert trials.column("src_lick_times").to_pylist() == [[11.2, 11.3], [15.3], [], [25.0], [33.3]]

    def test_pulses_of_light_are_as_pynwb_reads_them(self, ours, theirs):
        table = ours("watched").intervals["optogenetic_stimulation"].to_pandas()
        expected = theirs("watched").processing["optotagging"]["optogenetic_stimulation"].to_dataframe()
        for name in ("condition", "level", "stimulus_name", "duration"):
            assert table[f"src_{name}"].tolist() == expected[name].tolist()
        assert "optotagging" not in ours("watched").signals

    def test_frame_times_are_those_of_the_stimulus(self, both):
        recording, nwb = both
        np.testing.assert_array_equal(recording.signals["stimulus_frame_times"].data[:], nwb.processing["stimulus"]["timestamps"].data[:])


def test_invalid_times_touch_what_the_last_of_their_three_tags_names(ours):
    """The first two say whose they are: a session or a probe, and its id."""
    recording = ours("watched")
    spans = sorted(zip(recording.invalid.unit.tolist(), recording.invalid.start_s, recording.invalid.stop_s, strict=True))
    on_b = [u for u, (probe, *_) in enumerate(allen_sessions.UNITS) if probe == "probeB"]
    assert spans == [(-1, 30.0, 31.5), *((u, 60.0, 62.0) for u in on_b)]
    table = recording.intervals["presentations"].to_pandas()
    touched = (table["start_s"] < 12.3) & (table["stop_s"] > 12.1)
    assert touched.any()
    assert table["src_in_invalid_time"].tolist() == touched.tolist()


def test_what_is_not_there_has_a_reason(store, ingest):
    session = store[ingest(allen_sessions.made("compared")).session]
    with pytest.raises(NotThere, match="no processing/eye_tracking and no acquisition/EyeTracking"):
        session.signals["pupil_diameter"]
    with pytest.raises(NotThere, match="no processing/optotagging"):
        session.intervals["optogenetic_stimulation"]
    assert "probeA (810755797)" in session.absent["lfp"]
    assert not set(session.absent) & {*session.signals, *session.intervals}


def test_the_animal_its_probes_and_its_templates_are_told(ours):
    source = ours("behaved").source
    assert (source["src_specimen_name"], source["src_age_in_days"], source["src_stimulus_notes"]) == (
        "Sst-IRES-Cre;Ai32-387858",
        118.0,
        "EPHYS_1_images_G_5uL_reward",
    )
    assert [(p["name"], p["probe_id"], p["has_lfp_data"], p["lfp_sampling_rate"]) for p in source["src_probes"]] == [
        ("probeA", 810755797, True, 1249.998617),
        ("probeB", 810755799, False, 1250.001213),
    ]
    assert source["src_stimulus_templates"] == {"stimulus/templates/Natural_Images_Lum_Matched_set_ophys_G_2019": [2, 12, 19]}


def test_the_place_of_the_eyes_camera_is_told(ours):
    rig = ours("watched").source["src_eye_tracking_rig"]
    assert rig["camera_rotation_deg"] == pytest.approx([0.0, 0.0, 2.8])
    assert rig["monitor_position_mm"] == pytest.approx([118.6, 86.2, 31.6])
    assert "src_eye_tracking_rig" not in ours("behaved").source


def test_files_of_others_are_read_as_they_were(nwb, write, read):
    add_units(nwb, [[1.0, 2.0]])
    recording = read(write(nwb))
    assert not recording.absent
    assert recording.channels is None
