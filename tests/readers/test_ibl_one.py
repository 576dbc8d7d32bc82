"""ONE, offline, loads the same objects from the same trees: a made session of the brain-wide map, and real ones."""

from __future__ import annotations

import os
from pathlib import Path

import ibl_sessions
import numpy as np
import pandas as pd
import pytest
from one.alf import cache
from one.alf.io import load_object
from one.api import One

from neuropile import ibl
from neuropile.readers import alf

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning", "ignore:No default revision")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return both(ibl_sessions.made(seed=7), tmp_path_factory.mktemp("one"))


def both(session: ibl_sessions.Made, root: Path, revision: str = ""):
    """What ONE loads by the eid of the session's folder, and our recording of it."""
    folder = ibl_sessions.as_alf(session, root, revision=revision)
    cache.make_parquet_db(root, hash_files=False)
    one = One(cache_dir=root)
    eid = one.path2eid(folder)

    def load(obj: str, collection: str = "alf"):
        return one.load_object(eid, obj, collection=collection)

    return load, alf.session()(folder)


def column(table, name: str) -> np.ndarray:
    return np.asarray(table.column(name).to_pandas(), np.float64)


class TestMade:
    def test_trials(self, loaded):
        theirs, ours = loaded[0]("trials"), loaded[1].intervals["trials"]
        np.testing.assert_array_equal(np.c_[column(ours, "start_s"), column(ours, "stop_s")], theirs.pop("intervals"))
        assert {"quiescencePeriod", "goCueTrigger_times", "choice", "contrastLeft"} <= set(theirs)
        for name, values in theirs.items():
            np.testing.assert_array_equal(column(ours, f"src_{name}"), values)

    def test_the_wheel_and_its_moves(self, loaded):
        theirs, ours = loaded[0]("wheel"), loaded[1].signals["wheel"]
        np.testing.assert_array_equal(ours.time_s, theirs["timestamps"])
        np.testing.assert_array_equal(ours.data, theirs["position"])
        theirs, ours = loaded[0]("wheelMoves"), loaded[1].intervals["wheel_moves"]
        np.testing.assert_array_equal(np.c_[column(ours, "start_s"), column(ours, "stop_s")], theirs["intervals"])
        np.testing.assert_array_equal(column(ours, "src_peakAmplitude"), theirs["peakAmplitude"])

    def test_licks(self, loaded):
        np.testing.assert_array_equal(column(loaded[1].intervals["licks"], "start_s"), loaded[0]("licks")["times"])

    @pytest.mark.parametrize("side", ["left", "right", "body"])
    def test_cameras(self, loaded, side):
        theirs, ours = loaded[0](f"{side}Camera"), loaded[1].signals
        pose, description = ours[f"{side}_camera_pose"], ours[f"{side}_camera_pose"].description
        for signal in (ours[f"{side}_camera"], pose, ours[f"{side}_camera_motion_energy"]):
            np.testing.assert_array_equal(signal.time_s, theirs["times"])
        np.testing.assert_array_equal(ours[f"{side}_camera_motion_energy"].data, theirs["ROIMotionEnergy"])
        for i, point in enumerate(ibl.keypoints(description)):
            for j, coordinate in enumerate(("x", "y", "likelihood")):
                np.testing.assert_array_equal(pose.data[:, i, j], theirs["lightningPose"][f"{point}_{coordinate}"])
        assert 3 * len(ibl.keypoints(description)) == theirs["lightningPose"].shape[1]
        if side != "body":
            for name, source in (("diameter", "raw"), ("diameter_smooth", "smooth")):
                np.testing.assert_array_equal(ours[f"{side}_camera_pupil_{name}"].data, theirs["features"][f"pupilDiameter_{source}"])

    def test_the_passive_part(self, loaded):
        theirs, ours = loaded[0]("passiveGabor"), loaded[1].intervals["passive_gabor"]
        for name, source in (("start_s", "start"), ("stop_s", "stop"), ("src_position", "position"), ("src_contrast", "contrast"), ("src_phase", "phase")):
            np.testing.assert_array_equal(column(ours, name), theirs[source])
        periods = loaded[0]("passivePeriods")["intervalsTable"].set_index("Unnamed: 0")
        for row in loaded[1].intervals["passive_periods"].to_pylist():
            assert [row["start_s"], row["stop_s"]] == periods[row["src_period"]].tolist()
        played, stims = loaded[0]("passiveStims"), loaded[1].intervals["passive_stims"].to_pandas()
        for kind in ("valve", "tone", "noise"):
            on = np.asarray(played[f"{kind}On"])
            assert stims.query("src_stim_type == @kind")["start_s"].tolist() == on[~np.isnan(on)].tolist()

    @pytest.mark.parametrize("probe", [1])
    def test_spikes_clusters_and_channels(self, loaded, probe):
        load, recording = loaded
        spikes, clusters, channels = (load(o, f"alf/probe0{probe}/pykilosort") for o in ("spikes", "clusters", "channels"))
        units = recording.units.to_pandas().query(f"probe == 'probe0{probe}'")
        for row, cluster in enumerate(range(6)):
            np.testing.assert_array_equal(recording.trains.read(6 * probe + row), spikes["times"][spikes["clusters"] == cluster])
        for name in ("channels", "depths"):
            np.testing.assert_array_equal(units[f"src_{name}"], clusters[name])
        assert units["src_uuids"].tolist() == clusters["uuids"].tolist()
        for name in clusters["metrics"]:
            pd.testing.assert_series_equal(units[f"src_{name}"], clusters["metrics"][name], check_names=False, check_index=False, check_dtype=False)
        np.testing.assert_array_equal(recording.signals["waveform_mean"].data[6 * probe : 6 * probe + 6], clusters["waveforms"])
        ours = recording.channels.to_pandas().query(f"probe == 'probe0{probe}'")
        np.testing.assert_array_equal(ours[["lateral_um", "depth_um"]], channels["localCoordinates"])
        np.testing.assert_array_equal(ours[["z_um", "x_um", "y_um"]], channels["mlapdv"])
        np.testing.assert_array_equal(ours["allen_id"], np.abs(channels["brainLocationIds_ccf_2017"]))


def test_spikes_in_a_revision(tmp_path):
    load, recording = both(ibl_sessions.made(n_probes=1), tmp_path, revision="2024-05-06")
    spikes = load("spikes", "alf/probe00/pykilosort")
    for cluster in range(6):
        np.testing.assert_array_equal(recording.trains.read(cluster), spikes["times"][spikes["clusters"] == cluster])


class TestReal:
    @pytest.fixture
    def real(self) -> Path:
        if not os.environ.get("NEUROPILE_REAL_DATA"):
            pytest.skip("NEUROPILE_REAL_DATA names no folder of real recordings")
        return Path(os.environ["NEUROPILE_REAL_DATA"])

    @pytest.mark.real
    def test_spikes(self, real):
        theirs, ours = load_object(real / "alf-mouse-three-clusters", "spikes"), alf.session()(real / "alf-mouse-three-clusters")
        for row, unit in enumerate(ours.units.column("unit_id").to_pylist()):
            np.testing.assert_array_equal(ours.trains.read(row), theirs["times"][theirs["clusters"] == int(unit)])

    @pytest.mark.real
    def test_trials(self, real):
        from neuropile.readers.alf import behaviour, files

        theirs = load_object(real / "alf-trials-table", "trials")
        ours = behaviour.intervals(files.find(real / "alf-trials-table", None, None).objects, [])["trials"]
        np.testing.assert_array_equal(np.c_[column(ours, "start_s"), column(ours, "stop_s")], theirs.pop("intervals"))
        for name, values in theirs.items():
            np.testing.assert_array_equal(column(ours, f"src_{name}"), values)
        signed = ibl.signed_contrasts(column(ours, "contrast_left"), column(ours, "contrast_right"))
        left, right = theirs["contrastLeft"], theirs["contrastRight"]
        np.testing.assert_array_equal(signed, np.where(np.isnan(left), right, -left) * 100)
        assert ibl.misfit(column(ours, "choice"), theirs["feedbackType"] > 0, left, right) == (0, int((theirs["feedbackType"] > 0).sum()))
