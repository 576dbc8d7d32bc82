"""Allen's files with something wrong or missing in them: the spikes stand, and what is odd is told."""

from __future__ import annotations

import shutil

import allen_sessions
import h5py
import numpy as np
import pytest


@pytest.fixture
def spoilt(tmp_path):
    """A copy of a made session after something was done to it."""

    def _spoilt(name, change):
        path = tmp_path / "spoilt.nwb"
        shutil.copy(allen_sessions.made(name), path)
        with h5py.File(path, "r+") as f:
            change(f)
        return path

    return _spoilt


def put(f, name, values):
    """Other values in place of a dataset, its attributes kept."""
    attributes = dict(f[name].attrs)
    del f[name]
    f[name] = values
    f[name].attrs.update(attributes)


PUPIL = "processing/eye_tracking/pupil_ellipse_fits"
SPOILT = {
    "an ellipse of fewer rows": (
        "watched",
        lambda f: put(f, f"{PUPIL}/width", np.ones(5)),
        "pupil_ellipse_fits (its columns have 5 and 900 rows)",
        "pupil_diameter",
    ),
    "an ellipse without a column": ("watched", lambda f: f.__delitem__(f"{PUPIL}/phi"), "pupil_ellipse_fits (no numbers 'phi')", "pupil_diameter"),
    "an ellipse of words": (
        "behaved",
        lambda f: put(f, "acquisition/EyeTracking/pupil_tracking/width", [b"x"] * 900),
        "pupil_tracking (no numbers 'width')",
        "pupil_area",
    ),
    "waveforms whose index runs backwards": (
        "watched",
        lambda f: put(f, "units/waveform_mean_index", [9, 8, 7, 6, 5, 4, 3]),
        "waveform_mean_index runs backwards",
        "waveform_mean",
    ),
    "ends of running that do not fit": (
        "watched",
        lambda f: (
            put(f, "processing/running/running_speed_end_times/timestamps", np.ones(3)),
            put(f, "processing/running/running_speed_end_times/data", np.ones(3)),
        ),
        "running_speed_end_times was left out",
        "running_speed_end_times",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_cannot_be_read_is_noted_and_the_spikes_stand(spoilt, read, what):
    session, change, words, signal = SPOILT[what]
    whole, recording = read(allen_sessions.made(session)), read(spoilt(session, change))
    assert signal in whole.signals
    assert signal not in recording.signals
    assert any(words in note for note in recording.notes), recording.notes
    for unit in range(recording.trains.n_units):
        np.testing.assert_array_equal(recording.trains.read(unit), whole.trains.read(unit))


def test_ellipses_without_times_take_those_of_the_gaze(spoilt, read):
    recording = read(spoilt("watched", lambda f: f.__delitem__(f"{PUPIL}/timestamps")))
    np.testing.assert_array_equal(recording.signals["pupil_diameter"].time_s[:], recording.signals["eye_ellipse"].time_s[:])


def test_licks_that_are_no_row_of_times_are_told(spoilt, read):
    recording = read(spoilt("behaved", lambda f: put(f, "processing/licking/licks/data", np.ones(7))))
    assert "licks" not in recording.intervals
    assert "processing/licking/licks is not as others are" in recording.absent["licks"]


def test_a_peak_channel_that_is_not_there_leaves_its_unit_without_a_place(spoilt, read):
    def change(f):
        f["units/peak_channel_id"][0] = 7

    units = read(spoilt("watched", change)).units
    for name in ("region", "probe", "depth_um", "x_um"):
        column = units.column(name).to_pylist()
        assert column[0] is None
        assert column[1] is not None


def test_peak_channels_stored_as_floats_are_found_and_missing_ones_are_nobodys(spoilt, read):
    def change(f):
        ids = f["units/peak_channel_id"][:].astype(float)
        put(f, "units/peak_channel_id", np.r_[ids[:-1], np.nan])

    whole, recording = read(allen_sessions.made("watched")), read(spoilt("watched", change))
    for name in ("region", "x_um"):
        assert recording.units.column(name).to_pylist() == [*whole.units.column(name).to_pylist()[:-1], None]
    np.testing.assert_array_equal(recording.signals["waveform_mean"].data[:6], whole.signals["waveform_mean"].data[:6])


def test_a_table_of_channels_that_contradicts_itself_is_told_and_left_out(spoilt, read):
    recording = read(spoilt("watched", lambda f: put(f, "general/extracellular_ephys/electrodes/imp", np.ones(5))))
    assert recording.channels is None
    assert any("no table of channels" in note and "imp has 5 rows" in note for note in recording.notes)


def test_channels_with_one_id_twice_are_told_apart_by_row(spoilt, read):
    def change(f):
        ids = f["general/extracellular_ephys/electrodes/id"]
        ids[1] = ids[0]

    ids = read(spoilt("watched", change)).channels.column("channel_id").to_pylist()
    assert len(set(ids)) == len(ids) == 24


def test_a_start_that_is_not_known_comes_last(spoilt, read):
    def change(f):
        f["intervals/gabors_presentations/start_time"][0] = np.nan

    table = read(spoilt("watched", change)).intervals["presentations"]
    start = table.column("start_s").to_numpy()
    assert np.isnan(start[-1])
    assert (np.diff(start[:-1]) >= 0).all()


def test_a_session_without_stimuli_or_running_says_so(spoilt, read):
    def change(f):
        for name in [n for n in f["intervals"] if n.endswith("_presentations")]:
            del f["intervals"][name]
        del f["processing/running"]

    absent = read(spoilt("watched", change)).absent
    assert absent["presentations"] == "no stimuli in the file: no intervals/*_presentations"
    assert absent["running_speed"] == "no running in the file: no processing/running/running_speed and no processing/running/speed"
