"""A whole session of the International Brain Laboratory as ALF: what it holds is there, what it lacks has a reason."""

from __future__ import annotations

import json

import ibl_sessions
import numpy as np
import pandas as pd
import pytest
from alffolder import put
from hypothesis import given, settings
from hypothesis import strategies as st

import neuropile
from neuropile import ibl
from neuropile.errors import NotThere
from neuropile.readers import alf
from neuropile.readers.alf import missing as alf_missing
from neuropile.readers.alf import parquet_columns

CAMERA = ("camera", "camera_pose", "camera_motion_energy")


@pytest.fixture
def session() -> ibl_sessions.Made:
    return ibl_sessions.made(n_probes=1, n_trials=8)


@pytest.fixture
def folder(session, tmp_path):
    return ibl_sessions.as_alf(session, tmp_path)


@pytest.fixture
def bare(tmp_path):
    """A session with one spike and nothing else."""
    return put(tmp_path / "KS099" / "2021-03-22" / "001" / "alf" / "probe00", spikes__times=[1.0], spikes__clusters=[0]).parents[1]


class TestWhole:
    def test_it_lacks_what_no_session_folder_was_given_and_nothing_else(self, folder):
        recording = alf.session()(folder)
        lacking = {"passive_rfm", "waveform_templates", "voltage", *(f"{s}_camera_video" for s in ("left", "right", "body"))}
        assert set(recording.absent) == lacking
        assert set(alf_missing.MODALITIES) == lacking | ({*recording.signals, *recording.intervals, "channels"} & set(alf_missing.MODALITIES))
        assert recording.notes == ()

    def test_stored_it_comes_back_whole(self, folder, session, store):
        (outcome,) = neuropile.ingest([folder], store)
        assert outcome.status == "stored", outcome.error
        ses = store[outcome.session]
        pose = ses.signals["left_camera_pose"]
        assert ibl.keypoints(pose.attrs["description"]) == ibl_sessions.POINTS
        np.testing.assert_array_equal(pose.values.reshape(len(pose), -1), session.cameras["left"]["pose"])
        np.testing.assert_array_equal(pose["time"], session.cameras["left"]["times"])
        np.testing.assert_array_equal(ses.signals["waveform_mean"], session.probes[0].waveforms)
        assert len(ses.channels) == 12
        assert ses.record["source"]["wheel_sign"] == 1
        with pytest.raises(NotThere, match=r"no _iblrig_leftCamera.raw.mp4 in the folder"):
            ses.signals["left_camera_video"]

    def test_with_every_optional_file_absent_it_loads_and_says_what_is_not_there(self, bare, store):
        recording = alf.session()(bare)
        assert set(recording.absent) == set(alf_missing.MODALITIES)
        assert recording.absent["licks"] == "no licks.times in the folder"
        assert (recording.signals, recording.intervals, recording.linked, recording.channels) == ({}, {}, {}, None)
        (outcome,) = neuropile.ingest([bare], store)
        ses = store[outcome.session]
        with pytest.raises(NotThere, match=r"no wheel.position in the folder"):
            ses.signals["wheel"]
        with pytest.raises(NotThere, match=r"no licks.times in the folder"):
            ses.intervals["licks"]

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_wheel_says_which_way_it_counts(self, tmp_path, sign):
        made = ibl_sessions.made(n_probes=1, wheel_sign=sign)
        recording = alf.session()(ibl_sessions.as_alf(made, tmp_path))
        assert recording.source["wheel_sign"] == sign
        assert recording.signals["wheel"].description == f"position of the wheel, unwrapped; it counts {'up' if sign > 0 else 'down'} for choices of +1"

    def test_of_one_trial_the_sign_is_not_known(self, tmp_path):
        recording = alf.session()(ibl_sessions.as_alf(ibl_sessions.made(n_probes=1, n_trials=1), tmp_path))
        assert recording.intervals["trials"].num_rows == 1
        assert "wheel_sign" not in recording.source
        assert recording.signals["wheel"].description.endswith("which way it counts is not known")

    def test_choices_that_contradict_their_side_are_noted(self, folder, session):
        trials = session.trials.drop(columns="goCueTrigger_times").assign(choice=-session.trials["choice"])
        trials.to_parquet(folder / "alf" / "_ibl_trials.table.pqt")
        n = int((session.trials["feedbackType"] > 0).sum())
        assert f"{n} of {n} rewarded choices do not fit the side of their stimulus (+1 reports the left)" in alf.session()(folder).notes

    def test_descriptions_of_the_session_are_carried(self, bare, store):
        (bare / "_ibl_experiment.description.yaml").write_text("projects: [ibl_neuropixel_brainwide_01]\ntasks:\n- ephysChoiceWorld: {sync: nidq}\n")
        (bare / "alf" / "probes.description.json").write_text(json.dumps([{"label": "probe00", "model": "3B2"}]))
        (outcome,) = neuropile.ingest([bare], store)
        told = store[outcome.session].record["source"]
        assert told["src_experiment"]["projects"] == ["ibl_neuropixel_brainwide_01"]
        assert told["src_probes"] == [{"label": "probe00", "model": "3B2"}]

    def test_yaml_that_grows_is_refused(self, bare):
        (bare / "_ibl_experiment.description.yaml").write_text("a: &a [1, 2]\nb: [*a, *a]\n")
        assert alf.session()(bare).notes == ("left out: _ibl_experiment.description.yaml: holds YAML aliases, which are not read; write the values out",)


class TestCameras:
    def test_a_pose_without_times_or_with_too_few_is_absent_for_that_reason(self, folder, session):
        n = len(session.cameras["left"]["times"])
        np.save(folder / "alf" / "_ibl_leftCamera.times.npy", session.cameras["left"]["times"][:-3])
        (folder / "alf" / "_ibl_bodyCamera.times.npy").unlink()
        absent = alf.session()(folder).absent
        assert absent["left_camera_pose"] == f"leftCamera.lightningPose has {n} frames, leftCamera.times {n - 3}: nothing says which frames have no time"
        assert absent["body_camera_pose"] == "leftCamera.lightningPose has".replace("left", "body") + " 600 frames, but no bodyCamera.times says when"
        assert absent["body_camera"] == "no bodyCamera.times in the folder"
        assert "right_camera_pose" not in absent

    def test_of_too_many_times_the_last_count(self, folder, session):
        times = session.cameras["right"]["times"]
        np.save(folder / "alf" / "_ibl_rightCamera.times.npy", np.concatenate([[0.0, 0.1], times]))
        signals = alf.session()(folder).signals
        assert [len(signals[f"right_{c}"].time_s) - len(times) for c in CAMERA] == [2, 0, 0]
        np.testing.assert_array_equal(signals["right_camera_pose"].time_s, times)

    def test_the_older_tracker_is_read_where_the_newer_is_not(self, folder):
        path = folder / "alf" / "_ibl_leftCamera.lightningPose.pqt"
        path.rename(folder / "alf" / "_ibl_leftCamera.dlc.pqt")
        recording = alf.session()(folder)
        assert recording.signals["left_camera_pose"].description.startswith("pose by dlc, in pixels of the left camera; keypoints: nose_tip, paw_l")

    def test_only_the_left_camera_is_said_to_have_twice_the_resolution(self, folder):
        signals = alf.session()(folder).signals
        assert "twice the resolution" in signals["left_camera_pose"].description
        assert "twice the resolution" not in signals["right_camera_pose"].description

    def test_values_below_the_likelihood_are_kept_and_masked_on_demand(self, folder, session):
        data = alf.session()(folder).signals["left_camera_pose"].data[:]
        theirs = session.cameras["left"]["pose"]
        found = ibl.likely_positions(data)
        for i, point in enumerate(ibl_sessions.POINTS):
            expected = theirs[f"{point}_x"].where(theirs[f"{point}_likelihood"] >= 0.9)
            np.testing.assert_array_equal(found[:, i, 0], expected)
            np.testing.assert_array_equal(data[:, i, 0], theirs[f"{point}_x"])

    def test_a_pupil_that_varies_little_is_kept_and_the_owners_rule_noted(self, folder, session):
        pupil = session.cameras["left"]["pupil"]
        noise = np.random.default_rng(0).normal(0, 100, len(pupil))
        pupil.assign(pupilDiameter_raw=noise).to_parquet(folder / "alf" / "_ibl_leftCamera.features.pqt")
        recording = alf.session()(folder)
        assert "left_camera_pupil_diameter" in recording.signals
        assert [n for n in recording.notes if n.startswith("the left camera's pupil is") and n.endswith("IBL drops pupils below 5")]

    def test_tables_of_something_else_are_absent_for_that_reason(self, folder):
        for name in ("_ibl_leftCamera.lightningPose", "_ibl_leftCamera.features"):
            pd.DataFrame({"unit": ["a", "b"], "value_x": [1, 2]}).to_parquet(folder / "alf" / f"{name}.pqt")
        absent = alf.session()(folder).absent
        assert absent["left_camera_pose"] == "leftCamera.lightningPose has no columns of the form point_x, point_y, point_likelihood"
        assert absent["left_camera_pupil_diameter"] == "leftCamera.features has no column pupilDiameter_raw"

    def test_a_damaged_pose_is_noted_and_the_rest_stands(self, folder):
        (folder / "alf" / "_ibl_leftCamera.lightningPose.pqt").write_bytes(b"PAR1")
        recording = alf.session()(folder)
        assert recording.notes[0].startswith("left out: _ibl_leftCamera.lightningPose.pqt: not a readable Parquet file")
        assert {"left_camera", "left_camera_motion_energy", "wheel"} <= set(recording.signals)
        assert recording.absent["left_camera_pose"] == "leftCamera.lightningPose cannot be read: the notes say why"

    @settings(max_examples=10)
    @given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(1, 15), st.data())
    def test_columns_are_read_by_rows_as_numpy_would(self, tmp_path_factory, lengths, group, data):
        root = tmp_path_factory.mktemp("columns")
        frames = [pd.DataFrame(np.random.default_rng(i).normal(size=(n, 6)), columns=list("abcdef")) for i, n in enumerate(lengths)]
        for i, frame in enumerate(frames):
            frame.to_parquet(root / f"{i}.pqt", row_group_size=group)
        whole = pd.concat(frames)[["b", "a", "d", "c", "f", "e"]].to_numpy().reshape(-1, 2, 3)
        found = parquet_columns.Columns([root / f"{i}.pqt" for i in range(len(lengths))], ["b", "a", "d", "c", "f", "e"], (2, 3))
        assert found.shape == whole.shape
        rows = st.integers(-50, 50) | st.none()
        for _ in range(5):
            key = slice(data.draw(rows), data.draw(rows), data.draw(st.sampled_from([None, 1, 2, -1])))
            np.testing.assert_array_equal(found[key], whole[key])
            np.testing.assert_array_equal(found[key, 1], whole[key, 1])
        np.testing.assert_array_equal(found[-1], whole[-1])
        np.testing.assert_array_equal(found[np.array([0, -1])], whole[[0, -1]])


class TestPassive:
    def rfm(self, folder, n_frames: int, n_times: int) -> np.ndarray:
        frames = np.random.default_rng(0).integers(0, 256, (n_frames, 15, 15)).astype(np.uint8)
        (folder / "raw_passive_data").mkdir()
        frames.tofile(folder / "raw_passive_data" / "_iblrig_RFMapStim.raw.bin")
        np.save(folder / "alf" / "_ibl_passiveRFM.times.npy", np.arange(float(n_times)))
        return frames

    def test_frames_of_the_receptive_field_stimulus_have_their_times(self, folder):
        frames = self.rfm(folder, 7, 7)
        recording = alf.session()(folder)
        np.testing.assert_array_equal(recording.signals["passive_rfm"].data, frames)
        assert recording.intervals["passive_rfm"].column("start_s").to_pylist() == list(range(7))
        assert folder / "raw_passive_data" / "_iblrig_RFMapStim.raw.bin" in alf.session().files(folder)

    def test_frames_without_as_many_times_are_noted(self, folder):
        self.rfm(folder, 7, 8)
        recording = alf.session()(folder)
        assert "passive_rfm" not in recording.signals
        assert "left out: _iblrig_RFMapStim.raw.bin has 1575 bytes, which are not 8 frames of 15 by 15" in recording.notes

    @pytest.mark.parametrize("name", ["passivePeriods.intervalsTable", "passiveGabor.table", "passiveStims.table"])
    def test_a_table_of_something_else_is_absent_for_that_reason(self, folder, name):
        (folder / "alf" / f"_ibl_{name}.csv").write_text("a,b\n1,2\n")
        key = {"passivePeriods": "passive_periods", "passiveGabor": "passive_gabor", "passiveStims": "passive_stims"}[name.partition(".")[0]]
        recording = alf.session()(folder)
        assert recording.absent[key] == f"{name.partition('.')[0]} has not the columns it should have, or is damaged"
        assert key not in recording.intervals

    def test_played_stimuli_come_in_the_order_of_time_without_what_fills_the_columns(self, folder, session):
        found = alf.session()(folder).intervals["passive_stims"].to_pydict()
        s = session.stims
        expected = sorted((on, off, kind) for kind in ("valve", "tone", "noise") for on, off in zip(s[f"{kind}On"], s[f"{kind}Off"], strict=True) if on == on)
        assert list(zip(found["start_s"], found["stop_s"], found["src_stim_type"], strict=True)) == expected


class TestLinked:
    def test_videos_and_voltage_are_named_and_not_read(self, folder, store):
        raw = {
            "raw_video_data/_iblrig_leftCamera.raw.mp4": b"not a video",
            "raw_video_data/_iblrig_bodyCamera.raw.9aca5e3a-1a6e-4a3b-bd0a-5d2a1f0c7b11.mp4": b"",
            "raw_video_data/_iblrig_leftCamera.timestamps.ssv": b"",
            "raw_ephys_data/probe00/_spikeglx_ephysData_g0_t0.imec0.ap.cbin": b"x",
            "raw_ephys_data/probe00/_spikeglx_ephysData_g0_t0.imec0.ap.ch": b"{}",
            "raw_ephys_data/probe00/_spikeglx_ephysData_g0_t0.imec0.lf.cbin": b"x",
            "raw_ephys_data/probe01/_spikeglx_ephysData_g1_t0.imec1.ap.bin": b"x",
            "raw_ephys_data/_spikeglx_ephysData_g0_t0.nidq.cbin": b"x",
        }
        for name, content in raw.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        points = np.array([[0.0, 1.5], [30_000.0, 2.5]])
        np.save(folder / "raw_ephys_data" / "probe00" / "_spikeglx_ephysData_g0_t0.imec0.timestamps.npy", points)
        (outcome,) = neuropile.ingest([folder], store)
        ses = store[outcome.session]
        found = {n: (f.path.rpartition("/")[2], f.kind, f.clock) for n, f in ses.linked.items()}
        assert found == {
            "left_camera_video": ("_iblrig_leftCamera.raw.mp4", "video", "left_camera"),
            "body_camera_video": ("_iblrig_bodyCamera.raw.9aca5e3a-1a6e-4a3b-bd0a-5d2a1f0c7b11.mp4", "video", "body_camera"),
            "probe00_ap": ("_spikeglx_ephysData_g0_t0.imec0.ap.cbin", "voltage", "probe00_clock"),
            "probe00_lf": ("_spikeglx_ephysData_g0_t0.imec0.lf.cbin", "lfp", "probe00_clock"),
            "probe01_ap": ("_spikeglx_ephysData_g1_t0.imec1.ap.bin", "voltage", None),
            "nidq": ("_spikeglx_ephysData_g0_t0.nidq.cbin", "voltage", None),
        }
        assert all((folder / f.path).is_file() for f in ses.linked.values())
        assert (ses.signals["probe00_clock"].values.tolist(), ses.signals["probe00_clock"]["time"].values.tolist()) == ([0.0, 30_000.0], [1.5, 2.5])
        sources = {s["path"] for s in ses.record["sources"]}
        assert any(s.endswith("imec0.timestamps.npy") for s in sources)
        assert not [s for s in sources if s.endswith((".mp4", "bin", ".ch"))]
        assert "right_camera_video" in ses.absent
        assert "voltage" not in ses.absent

    def test_a_link_out_of_the_folder_is_not_followed(self, folder, tmp_path):
        (tmp_path / "elsewhere.mp4").write_bytes(b"")
        (folder / "raw_video_data").mkdir()
        (folder / "raw_video_data" / "_iblrig_leftCamera.raw.mp4").symlink_to(tmp_path / "elsewhere.mp4")
        assert alf.session()(folder).linked == {}


class TestChannels:
    def test_sites_that_histology_placed_go_before_the_channels_own(self, folder, session):
        channels = session.probes[0].channels
        put(folder / "alf" / "probe00", electrodeSites__localCoordinates=channels["localCoordinates"][::-1], electrodeSites__mlapdv=-channels["mlapdv"][::-1])
        put(folder / "alf" / "probe00", electrodeSites__brainLocationIds_ccf_2017=np.full(12, 778))
        recording = alf.session()(folder)
        np.testing.assert_array_equal(recording.channels.to_pandas()[["z_um", "x_um", "y_um"]], -channels["mlapdv"])
        assert set(recording.channels.column("region").to_pylist()) == set(recording.units.column("region").to_pylist()) == {"VISp5"}

    def test_electrodes_out_of_the_brain_are_in_void_and_keep_their_place(self, folder):
        np.save(folder / "alf" / "probe00" / "pykilosort" / "channels.brainLocationIds_ccf_2017.npy", np.zeros(12, int))
        recording = alf.session()(folder)
        assert set(recording.units.column("region").to_pylist()) == {"void"}
        assert set(recording.channels.column("allen_id").to_pylist()) == {0}
        assert recording.channels.column("x_um").null_count == 0

    def test_without_their_own_table_there_are_none(self, bare):
        assert alf.session()(bare).absent["channels"] == "no channels in the folder"
