"""What ALF sessions know beside spikes, with the meanings their authors give it."""

from __future__ import annotations

import alffolder
import numpy as np
import pandas as pd
import pytest
from alffolder import put
from one.alf.io import load_object, ts2vec

from neuropile import layout
from neuropile.readers import alf


@pytest.fixture
def folder(tmp_path):
    """A session with one spike and nothing else."""
    put(tmp_path / "s" / "alf" / "probe00", spikes__times=[1.0], spikes__clusters=[0])
    return tmp_path / "s"


def singles(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """A trials table as the single files of older sessions."""
    files = {f"I_trials__{c}": table[c].to_numpy() for c in table if not c.startswith("intervals")}
    return files | {"I_trials__intervals": table[["intervals_0", "intervals_1"]].to_numpy()}


def trials(folder) -> pd.DataFrame:
    return alf.session()(folder).intervals["trials"].to_pandas()


MEANINGS = {
    "start_s": "intervals_0",
    "stop_s": "intervals_1",
    "stim_on_s": "stimOn_times",
    "go_cue_s": "goCue_times",
    "first_move_s": "firstMovement_times",
    "response_s": "response_times",
    "feedback_s": "feedback_times",
    "choice": "choice",
    "contrast_left": "contrastLeft",
    "contrast_right": "contrastRight",
    "p_left": "probabilityLeft",
    "reward_ul": "rewardVolume",
}


class TestTrials:
    @pytest.mark.parametrize("how", ["a table", "single files", "a table and single files", "no namespace"])
    def test_each_canonical_column_is_its_source_column(self, folder, how):
        table = alffolder.trial_table()
        if "table" in how:
            put(folder / "alf", I_trials__table=table)
        if how == "single files":
            put(folder / "alf", **singles(table))
        if how == "a table and single files":
            put(folder / "alf", I_trials__choice=np.zeros(20), I_trials__quiescencePeriod=np.full(20, 0.5))
        if how == "no namespace":
            put(folder, **{k.removeprefix("I_"): v for k, v in singles(table).items()})
        found = trials(folder)
        for ours, theirs in MEANINGS.items():
            np.testing.assert_array_equal(found[ours], table[theirs].astype(float))
            np.testing.assert_array_equal(found[f"src_{theirs}"], table[theirs])
        assert found["correct"].tolist() == (table["feedbackType"] > 0).tolist()
        if how == "a table and single files":
            assert found["src_quiescencePeriod"].tolist() == [0.5] * 20

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_the_table_is_what_one_loads(self, folder):
        put(folder / "alf", I_trials__table=alffolder.trial_table(), I_trials__quiescencePeriod=np.full(20, 0.5))
        theirs = load_object(folder / "alf", "trials")
        found = trials(folder)
        np.testing.assert_array_equal(found[["start_s", "stop_s"]], theirs.pop("intervals"))
        for name, values in theirs.items():
            np.testing.assert_array_equal(found[f"src_{name}"], values)

    def test_a_rewarded_choice_of_plus_one_was_of_a_stimulus_on_the_left(self, folder):
        put(folder / "alf", I_trials__table=alffolder.trial_table(200))
        rewarded = trials(folder).query("correct")
        assert ((rewarded["choice"] == 1) == rewarded["contrast_left"].notna()).all()

    def test_unknown_feedback_is_neither_right_nor_wrong(self, folder):
        put(folder / "alf", I_trials__intervals=np.zeros((3, 2)), I_trials__feedbackType=[1.0, np.nan, 0.0])
        assert alf.session()(folder).intervals["trials"].column("correct").to_pylist() == [True, None, False]

    def test_the_duration_of_the_wrong_length_is_left_out_and_noted(self, folder):
        put(folder / "alf", I_trials__table=alffolder.trial_table(), I_trials__itiDuration=np.zeros(19))
        recording = alf.session()(folder)
        assert recording.notes == ("trials.itiDuration has 19 rows for 20 trials and is left out",)
        assert recording.intervals["trials"].num_rows == 20

    def test_contrasts_above_one_are_no_fractions(self, folder):
        put(folder / "alf", I_trials__intervals=np.zeros((2, 2)), I_trials__contrastLeft=[100.0, np.nan])
        recording = alf.session()(folder)
        assert "contrast_left" not in recording.intervals["trials"].column_names
        assert recording.notes == ("trials.contrastLeft holds values above 1, so no fractions: it is kept only as src_contrastLeft",)

    def test_trials_without_intervals_have_unknown_starts(self, folder):
        put(folder / "alf", I_trials__choice=[1, -1])
        recording = alf.session()(folder)
        assert recording.intervals["trials"].column("start_s").null_count == 2
        assert "the trials have no intervals: their starts are unknown" in recording.notes

    def test_they_fit_the_store_s_columns(self, folder):
        put(folder / "alf", I_trials__table=alffolder.trial_table())
        table = layout.conform_intervals("trials", alf.session()(folder).intervals["trials"])
        assert table.schema.field("choice").type == layout.INTERVAL_COLUMNS["trials"]["choice"]

    @pytest.mark.parametrize("content", [b"PAR1 but not for long PAR1", b""])
    def test_a_damaged_table_is_noted_and_the_spikes_stand(self, folder, content):
        (folder / "alf" / "_ibl_trials.table.pqt").write_bytes(content)
        recording = alf.session()(folder)
        assert recording.trains.read(0).tolist() == [1.0]
        assert "trials" not in recording.intervals
        assert recording.notes[0].startswith("left out: _ibl_trials.table.pqt: not a readable Parquet file")

    def test_trials_of_several_tasks_are_not_mixed(self, folder):
        for i in range(2):
            put(folder / "alf" / f"task_0{i}", I_trials__table=alffolder.trial_table(5 + i))
        recording = alf.session()(folder)
        assert recording.intervals["trials"].num_rows == 5
        assert recording.notes == ("trials lie in several folders; those of alf/task_00 are read, those of alf/task_01 left out",)


class TestOthers:
    def test_the_wheel_keeps_its_times_in_full(self, folder):
        times = 5000.0 + np.cumsum(np.random.default_rng(0).uniform(0, 1e-3, 50))
        put(folder / "alf", I_wheel__position=np.arange(50.0) ** 2, I_wheel__timestamps=times)
        wheel = alf.session()(folder).signals["wheel"]
        assert (wheel.unit, wheel.dims, wheel.time_s.dtype) == ("rad", ("time",), np.float64)
        np.testing.assert_array_equal(wheel.time_s, times)
        np.testing.assert_array_equal(wheel.data, np.arange(50.0) ** 2)

    def test_beyond_the_points_their_lines_go_on(self, folder):
        put(folder / "alf", I_wheel__position=np.arange(11.0), I_wheel__timestamps=np.array([[2, 100.0], [4, 102.0], [8, 110.0]]))
        expected = [98, 99, 100, 101, 102, 104, 106, 108, 110, 112, 114]
        np.testing.assert_allclose(alf.session()(folder).signals["wheel"].time_s, expected)

    @pytest.mark.parametrize("points", [[[0, 1.0]], [[0, 1.0], [5, 0.5]], [[5, 1.0], [0, 2.0]]])
    def test_points_that_make_no_line_are_noted(self, folder, points):
        put(folder / "alf", I_wheel__position=np.arange(11.0), I_wheel__timestamps=np.array(points))
        recording = alf.session()(folder)
        assert "wheel" not in recording.signals
        assert any("rising points" in n for n in recording.notes)

    def test_points_of_sample_and_time_are_joined_by_lines_as_one_does(self, folder):
        points = np.array([[0, 100.0], [5, 110.0], [10, 130.0]])
        put(folder / "alf", I_wheel__position=np.arange(11.0), I_wheel__timestamps=points)
        np.testing.assert_array_equal(alf.session()(folder).signals["wheel"].time_s, ts2vec(points, 11))
        assert alf.session()(folder).signals["wheel"].time_s.tolist()[4:7] == [108.0, 110.0, 114.0]

    def test_a_wheel_whose_times_do_not_fit_is_noted(self, folder):
        put(folder / "alf", I_wheel__position=np.arange(9.0), I_wheel__timestamps=np.arange(8.0))
        recording = alf.session()(folder)
        assert recording.signals == {}
        assert recording.notes == ("wheel.position has 9 samples and its time stamps 8: left out",)

    def test_moves_licks_and_passive_periods_are_intervals(self, folder):
        put(folder / "alf", I_wheelMoves__intervals=[[1.0, 2.0], [3.0, 4.0]], I_wheelMoves__peakAmplitude=[0.5, -0.5], licks__times=[1.5, 2.5])
        (folder / "alf" / "_ibl_passivePeriods.intervalsTable.csv").write_text(
            ",passiveProtocol,spontaneousActivity,RFM,taskReplay\nstart,10.0,10.0,20.5,\nstop,90.0,20.0,30.0,\n"
        )
        (folder / "alf" / "_ibl_passiveGabor.table.csv").write_text("start,stop,position,contrast,phase\n31.0,31.3,-35.0,0.25,1.5\n")
        found = {n: t.to_pydict() for n, t in alf.session()(folder).intervals.items()}
        assert found == {
            "wheel_moves": {"start_s": [1.0, 3.0], "stop_s": [2.0, 4.0], "src_peakAmplitude": [0.5, -0.5]},
            "licks": {"start_s": [1.5, 2.5]},
            "passive_periods": {
                "start_s": [10.0, 10.0, 20.5, None],
                "stop_s": [90.0, 20.0, 30.0, None],
                "src_period": ["passiveProtocol", "spontaneousActivity", "RFM", "taskReplay"],
            },
            "passive_gabor": {"start_s": [31.0], "stop_s": [31.3], "src_position": [-35.0], "src_contrast": [0.25], "src_phase": [1.5]},
        }

    def test_of_too_many_frame_times_the_last_count_and_too_few_are_refused(self, folder):
        put(folder / "alf", I_leftCamera__times=np.arange(12.0), leftCamera__ROIMotionEnergy=np.arange(10.0))
        put(folder / "alf", I_bodyCamera__times=np.arange(8.0), bodyCamera__ROIMotionEnergy=np.arange(10.0))
        recording = alf.session()(folder)
        assert list(recording.signals) == ["left_camera", "left_camera_motion_energy", "body_camera"]
        assert recording.signals["left_camera_motion_energy"].time_s.tolist() == list(range(2, 12))
        reason = "bodyCamera.ROIMotionEnergy has 10 frames, bodyCamera.times 8: nothing says which frames have no time"
        assert recording.absent["body_camera_motion_energy"] == reason
        assert recording.notes == (f"left out: {reason}",)

    def test_raw_video_and_voltage_are_not_looked_at(self, folder):
        put(folder / "raw_ephys_data" / "probe01", spikes__times=[9.0], spikes__clusters=[0])
        assert alf.session()(folder).trains.n_units == 1
