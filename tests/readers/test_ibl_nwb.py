"""One session of the International Brain Laboratory written as ALF and as its new NWB: read, they are the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import ibl_sessions
import numpy as np
import pytest
from pynwb.behavior import SpatialSeries
from pynwb.image import ImageSeries

import neuropile
from neuropile import ibl, layout, regions
from neuropile.readers import alf, nwb
from neuropile.readers.nwb import ibl as nwb_ibl
from neuropile.readers.nwb import ibl_places, tree
from neuropile.types import Linked, Recording


def read_nwb(path: Path) -> Recording:
    with tree.opened(path) as file:
        return nwb_ibl.completed(file, nwb.units()(path))


@pytest.fixture(scope="module")
def session() -> ibl_sessions.Made:
    return ibl_sessions.made(seed=3)


@pytest.fixture(scope="module")
def nwb_path(session, tmp_path_factory) -> Path:
    return ibl_sessions.as_nwb(session, tmp_path_factory.mktemp("nwb") / "session.nwb")


@pytest.fixture(scope="module")
def both(session, nwb_path, tmp_path_factory) -> tuple[Recording, Recording]:
    return alf.session()(ibl_sessions.as_alf(session, tmp_path_factory.mktemp("alf"))), read_nwb(nwb_path)


def canonical(table, schema, skip=()):
    known = layout.conform(regions.fill(table, "Mus musculus"), schema).to_pandas()
    return known[[c for c in schema.names if c not in skip]]


#: Each form names the rule by its own column.
OWN_WORDS = ("quality_rule",)


class TestBothForms:
    def test_units_have_equal_canonical_columns(self, both):
        ours, theirs = (canonical(r.units, layout.UNIT_SCHEMA, OWN_WORDS) for r in both)
        assert ours["unit_id"].tolist() == [f"probe0{p}/{i}" for p in range(2) for i in range(6)]
        assert ours[["allen_id", "depth_um", "x_um", "probe"]].notna().all().all()
        assert ours["quality"].eq("good").any()
        assert ours.compare(theirs).empty

    def test_areas_are_the_acronyms_of_the_sites_of_the_peak_channels(self, both, session):
        areas = [p.areas[c] for p in session.probes for c in p.peak]
        assert both[0].units.column("region").to_pylist() == both[1].units.column("region").to_pylist() == areas
        assert canonical(both[0].units, layout.UNIT_SCHEMA)["allen"].tolist() == areas

    def test_every_spike_is_the_same(self, both):
        for unit in range(12):
            np.testing.assert_array_equal(both[0].trains.read(unit), both[1].trains.read(unit))
        assert sum(len(both[0].trains.read(u)) for u in range(12)) == 4800

    def test_channels_have_equal_canonical_columns(self, both):
        ours, theirs = (canonical(r.channels, layout.CHANNEL_SCHEMA, OWN_WORDS) for r in both)
        assert len(ours) == 24
        assert ours.compare(theirs).empty

    def test_trials_have_equal_canonical_columns(self, both, session):
        ours, theirs = (layout.conform_intervals("trials", r.intervals["trials"]).to_pandas() for r in both)
        names = [c for c in layout.INTERVAL_COLUMNS["trials"] if c in ours]
        assert len(names) == 14
        assert ours[names].compare(theirs[names]).empty
        np.testing.assert_array_equal(ours["src_quiescencePeriod"], theirs["src_quiescence_period"])
        np.testing.assert_array_equal(ibl.block_numbers(ours["p_left"]), theirs["src_block_index"])

    @pytest.mark.parametrize("name", ["wheel_moves", "licks", "passive_gabor", "passive_stims"])
    def test_other_intervals_are_the_same(self, both, name):
        ours, theirs = (layout.conform_intervals(name, r.intervals[name]).to_pandas() for r in both)
        assert ours[["start_s", "stop_s"]].compare(theirs[["start_s", "stop_s"]]).empty
        assert len(ours) > 0
        if name == "passive_stims":
            assert ours["src_stim_type"].tolist() == theirs["src_stim_type"].tolist() == ["valve", "noise", "tone", "noise", "valve", "noise"]

    def test_passive_periods_are_those_that_the_file_has(self, both):
        ours, theirs = ({r["src_period"]: (r["start_s"], r["stop_s"]) for r in b.intervals["passive_periods"].to_pylist()} for b in both)
        assert theirs == {n: ours[n] for n in ("spontaneousActivity", "taskReplay")}

    def test_signals_are_the_same_sample_by_sample(self, both):
        ours, theirs = (r.signals for r in both)
        assert set(ours) - set(theirs) == set()
        for name, signal in ours.items():
            other = theirs[name]
            assert (signal.dims, signal.unit or "a.u.", tuple(signal.data.shape)) == (other.dims, other.unit or "a.u.", tuple(other.data.shape)), name
            if "time" in signal.dims:
                np.testing.assert_array_equal(signal.time_s[:], other.time_s[:], err_msg=name)
            if name.endswith("pose"):
                order = [ibl.keypoints(other.description).index(p) for p in ibl.keypoints(signal.description)]
                np.testing.assert_array_equal(signal.data[:], other.data[:][:, order])
            elif name == "waveform_mean":
                np.testing.assert_allclose(signal.data[:], other.data[:], rtol=1e-6)
            else:
                np.testing.assert_array_equal(signal.data[:], other.data[:], err_msg=name)

    def test_the_wheel_counts_the_same_way(self, both):
        assert both[0].source["wheel_sign"] == both[1].source["wheel_sign"] == 1
        assert both[0].source["wheel_sign_r"] == both[1].source["wheel_sign_r"]

    def test_both_are_of_the_same_mouse(self, both):
        assert {(r.subject.subject_id, r.subject.species) for r in both} == {("KS099", "Mus musculus")}
        assert both[1].source["src_session_id"] == ibl_sessions.EID


class TestNew:
    def test_of_one_probe_ids_are_its_clusters(self, tmp_path):
        session = ibl_sessions.made(seed=1, n_probes=1)
        ours, theirs = alf.session()(ibl_sessions.as_alf(session, tmp_path)), read_nwb(ibl_sessions.as_nwb(session, tmp_path / "s.nwb"))
        assert ours.units.column("unit_id").to_pylist() == theirs.units.column("unit_id").to_pylist() == [str(i) for i in range(6)]
        assert ours.channels.column("channel_id").to_pylist() == theirs.channels.column("channel_id").to_pylist()

    def test_places_from_the_corner_of_the_atlas_are_moved_to_bregma(self, both, nwb_path, tmp_path):
        path = shutil.copy(nwb_path, tmp_path / "s.nwb")
        with h5py.File(path, "a") as file:
            del file["general/localization"]
        found = read_nwb(path)
        assert "places are from bregma, as in ALF: the file's, from the corner of the atlas, were moved by its bregma" in found.notes
        ours, theirs = (canonical(r.units, layout.UNIT_SCHEMA, OWN_WORDS) for r in (both[0], found))
        assert ours.compare(theirs).empty

    def test_bregma_is_where_iblatlas_has_it(self):
        from iblatlas import atlas

        ml, ap, dv = atlas.ALLEN_CCF_LANDMARKS_MLAPDV_UM["bregma"]
        assert ibl_places.BREGMA_UM.tolist() == [ap, dv, ml]
        coordinates = atlas.BrainCoordinates((456, 528, 320), xyz0=np.array([-ml, ap, dv]) * 1e-6, dxyz=np.array([25e-6, -25e-6, -25e-6]))
        places = np.array([[1000, -2000, -3000], [-1500, 500, -100]])  # right, forwards, up
        right, back, down = coordinates.xyz2i(places * 1e-6, round=False).T * 25
        np.testing.assert_allclose(ibl_places.from_bregma(np.c_[back, down, right]), places[:, [1, 2, 0]], atol=1e-6)

    def test_completing_twice_is_completing_once(self, both, nwb_path):
        with tree.opened(nwb_path) as file:
            assert nwb_ibl.completed(file, both[1]) is both[1]

    def test_a_damaged_table_of_places_is_noted_and_the_electrodes_own_are_used(self, both, nwb_path, tmp_path):
        path = shutil.copy(nwb_path, tmp_path / "s.nwb")
        with h5py.File(path, "a") as file:
            del file["general/localization/ElectrodesIBLBregma/x"]
            file["general/localization/ElectrodesIBLBregma/x"] = np.zeros(3)
        found = read_nwb(path)
        assert "places from bregma left out: /general/localization/ElectrodesIBLBregma/x has 3 rows, the table 24" in found.notes
        assert found.units.column("x_um").to_pylist() == both[0].units.column("x_um").to_pylist()

    @pytest.mark.parametrize("damage", ["a number", "other frames", "texts"])
    def test_a_damaged_pose_is_left_out_and_the_others_stand(self, nwb_path, tmp_path, damage):
        path = shutil.copy(nwb_path, tmp_path / "s.nwb")
        where = "processing/pose_estimation/LeftCamera/PoseEstimationSeriesLeftPaw/data"
        with h5py.File(path, "a") as file:
            n = len(file[where])
            del file[where]
            file[where] = {"a number": 3.0, "other frames": np.zeros((5, 2)), "texts": np.full((n, 2), b"x")}[damage]
        found = read_nwb(path)
        assert [m for m in found.notes if m.startswith("pose of the left camera left out: its points")]
        assert "left_camera_pose" not in found.signals
        assert found.absent["left_camera_pose"].startswith("its points")
        assert "right_camera_pose" in found.signals

    def test_a_wheel_on_an_even_clock_is_as_good(self, nwb, write):
        nwb.add_unit(spike_times=[1.0])
        for name in ("gabor_stimulus_onset_time", "choice_registration_time", "gabor_stimulus_side", "mouse_wheel_choice"):
            nwb.add_trial_column(name, name)
        for i, way in enumerate(["clockwise", "counter_clockwise", "clockwise"]):
            times = {"gabor_stimulus_onset_time": i + 0.2, "choice_registration_time": i + 0.7}
            nwb.add_trial(start_time=float(i), stop_time=i + 0.9, gabor_stimulus_side="left", mouse_wheel_choice=way, **times)
        ramp = np.concatenate([np.linspace(0, -1, 10), np.linspace(-1, 0, 10), np.linspace(0, -1, 10)])
        module = nwb.create_processing_module("wheel", "wheel")
        module.add(SpatialSeries(name="WheelPosition", data=ramp, reference_frame="start", unit="rad", starting_time=0.0, rate=10.0))
        found = read_nwb(write(nwb))
        assert (found.source["wheel_sign"], found.source["wheel_sign_trials"]) == (-1, 3)
        assert (found.signals["wheel"].start_s, found.signals["wheel"].rate_hz) == (0.0, 10.0)

    def test_what_the_file_lacks_is_told_by_where_it_would_be(self, both):
        assert both[1].absent["left_camera_video"] == "no video of the left camera in the file"
        assert both[1].absent["passive_rfm"].startswith("no receptive-field stimulus: IBL leaves it out")
        assert not {"wheel", "licks", "trials", "left_camera_pose", "body_camera"} & set(both[1].absent)

    def test_it_is_stored_and_its_columns_come_back(self, session, nwb_path, store):
        (outcome,) = neuropile.ingest([nwb_path], store, lambda _: _Completed())
        assert outcome.status == "stored", outcome.error
        ses = store[outcome.session]
        assert ses.trials["choice"].tolist() == session.trials["choice"].tolist()
        assert ses.signals["left_camera_pose"].dims == ("time", "keypoint", "coordinate")
        assert len(ses.channels) == 24


class _Completed(nwb.NwbUnits):
    def __call__(self, path):
        return read_nwb(path)


class TestVideos:
    def recording(self, nwb, write, where):
        nwb.add_unit_column("ibl_quality_score", "q")
        nwb.add_unit_column("cluster_uuid", "u")
        nwb.add_unit(spike_times=[1.0], ibl_quality_score=1.0, cluster_uuid="a")
        nwb.add_acquisition(ImageSeries(name="VideoLeftCamera", external_file=[where], format="external", timestamps=[0.5, 0.7], unit="n.a."))
        return read_nwb(write(nwb))

    def test_a_video_beside_the_file_is_linked_with_its_frame_times(self, nwb, write):
        found = self.recording(nwb, write, "./sub-a_image/left.mp4")
        assert found.linked == {"left_camera_video": Linked("sub-a_image/left.mp4", "video", clock="left_camera")}
        assert found.signals["left_camera"].time_s[:].tolist() == [0.5, 0.7]
        assert "left_camera_video" not in found.absent

    @pytest.mark.parametrize("where", ["../../left.mp4", "/data/left.mp4"])
    def test_one_elsewhere_is_noted_and_not_linked(self, nwb, write, where):
        found = self.recording(nwb, write, where)
        assert found.linked == {}
        assert [n for n in found.notes if n.startswith("video of the left camera not linked:")]


class TestOld:
    @pytest.fixture
    def old(self, nwb, write):
        nwb.add_electrode_column("ibl_x", "x")
        nwb.add_electrode_column("ibl_y", "y")
        nwb.add_electrode_column("ibl_z", "z")
        for p in ("00", "01"):
            group = nwb.create_electrode_group(f"NeuropixelsProbe{p}", "p", "p", nwb.create_device(f"d{p}"))
            for i in range(3):
                nwb.add_electrode(location="unknown", group=group, ibl_x=1.0 + i, ibl_y=2.0 + i, ibl_z=-3.0 - i)
        units = {
            "probe_name": ["probe00", "probe00", "probe01"],
            "cluster_id": [0, 4, 0],
            "maximum_amplitude_channel": [2, 0, 1],
            "mean_relative_depth": [10.5, 20.0, 30.0],
            "allen_location": ["VISp5", "CA1", "root"],
            "beryl_location": ["VISp", "CA1", "root"],
            "cosmos_location": ["Isocortex", "HPF", "root"],
            "label": [1.0, 2 / 3, 1.0],
            "sliding_refractory_period_violation": [1.0, 0.0, 1.0],
        }
        trials = {
            "choice": [1.0, -1.0, 0.0],
            "feedback_type": [1.0, 1.0, -1.0],
            "contrast_left": [0.25, np.nan, 0.0],
            "contrast_right": [np.nan, 1.0, np.nan],
            "probability_left": [0.5, 0.5, 0.2],
            "first_movement_time": [0.2, 1.2, np.nan],
            "response_time": [0.4, 1.4, 2.4],
            "feedback_time": [0.5, 1.5, 2.5],
            "stim_on_time": [0.1, 1.1, 2.1],
            "go_cue_time": [0.1, 1.1, 2.1],
            "reward_volume": [1.5, 1.5, 0.0],
        }
        for name in units:
            nwb.add_unit_column(name, name)
        for i in range(3):
            nwb.add_unit(spike_times=np.arange(3.0) + i, **{n: v[i] for n, v in units.items()})
        for name in trials:
            nwb.add_trial_column(name, name)
        for i in range(3):
            nwb.add_trial(start_time=float(i), stop_time=i + 0.9, **{n: v[i] for n, v in trials.items()})
        return write(nwb), units, trials

    def test_every_unit_spike_and_column_is_there_and_a_note_says_what_it_is(self, old):
        path, units, trials = old
        found = read_nwb(path)
        assert [found.trains.read(u).tolist() for u in range(3)] == [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
        assert all(found.units.column(f"src_{n}").to_pylist() == v for n, v in units.items())
        assert {f"src_{n}" for n in trials} <= set(found.intervals["trials"].column_names)
        assert found.source["ibl_layout"] == "old"
        assert [n for n in found.notes if "IBL's old layout, which is known from their converter alone and not yet from a real file" in n]

    def test_units_and_trials_have_our_columns(self, old):
        found = read_nwb(old[0])
        units, trials = found.units.to_pydict(), found.intervals["trials"].to_pydict()
        assert units["unit_id"] == ["probe00/0", "probe00/4", "probe01/0"]
        assert units["region"] == ["VISp5", "CA1", "root"]
        assert units["quality"] == ["good", None, "good"]
        assert units["depth_um"] == [10.5, 20.0, 30.0]
        assert list(zip(units["x_um"], units["y_um"], units["z_um"], strict=True)) == [(4.0, -5.0, 3.0), (2.0, -3.0, 1.0), (3.0, -4.0, 2.0)]
        assert trials["choice"] == [1.0, -1.0, 0.0]
        assert trials["contrast_left"] == [0.25, None, 0.0]
        assert trials["correct"] == [True, True, False]
        assert trials["first_move_s"] == [0.2, 1.2, None]
        assert trials["response_s"] == [0.4, 1.4, 2.4]


def test_another_lab_s_file_stays_as_it_is(nwb, write):
    nwb.add_unit(spike_times=[1.0])
    nwb.add_trial_column("choice", "in words")
    nwb.add_trial(start_time=0.0, stop_time=1.0, choice="left")
    found = read_nwb(write(nwb))
    assert "ibl_layout" not in found.source
    assert "left_camera" not in found.absent
