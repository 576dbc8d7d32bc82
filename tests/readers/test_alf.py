"""ALF session folders: probes, units, places and quality, against plain numpy and ONE on the same files."""

from __future__ import annotations

import shutil

import alffolder
import numpy as np
import pandas as pd
import pytest
from alffolder import assert_trains, column, put
from one.alf.io import load_object
from upath import UPath

import neuropile
from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers import alf
from neuropile.readers.alf import flat as alf_flat


@pytest.fixture
def folder(tmp_path):
    return alffolder.session(tmp_path)


@pytest.fixture
def sorting(folder):
    return folder / "alf" / "probe00" / "pykilosort"


class TestSpikes:
    def test_every_row_of_clusters_is_a_unit_the_silent_included(self, folder, sorting):
        spikes, clusters = load_object(sorting, "spikes"), load_object(sorting, "clusters")
        recording = alf.session()(folder)
        assert_trains(recording, spikes["times"], spikes["clusters"], list(range(len(clusters["depths"]))))
        assert column(recording, "unit_id") == [str(i) for i in range(6)]
        assert recording.trains.read(4).size == 0

    def test_without_clusters_the_ids_that_occur_are_the_units(self, tmp_path):
        times, clusters = np.array([0.1, 0.2, 0.3, 0.4]), np.array([275, 167, 275, 274])
        put(tmp_path / "s", spikes__times=times, spikes__clusters=clusters)
        recording = alf.session()(tmp_path / "s")
        assert column(recording, "unit_id") == ["167", "274", "275"]
        assert_trains(recording, times, clusters, [167, 274, 275])

    def test_numbers_too_large_for_a_table_are_ids_like_any(self, tmp_path):
        clusters = np.array([2**40, -1, 2**40, 7])
        put(tmp_path / "s", spikes__times=np.arange(4.0), spikes__clusters=clusters)
        assert_trains(alf.session()(tmp_path / "s"), np.arange(4.0), clusters, [-1, 7, 2**40])

    def test_a_column_and_floats_that_are_whole_are_as_good(self, tmp_path):
        put(tmp_path / "s", spikes__times=np.arange(4.0).reshape(-1, 1), spikes__clusters=np.array([[1.0], [0.0], [1.0], [1.0]]))
        assert_trains(alf.session()(tmp_path / "s"), np.arange(4.0), np.array([1, 0, 1, 1]), [0, 1])

    def test_parts_are_laid_end_to_end_in_the_order_of_their_names(self, sorting, folder):
        times, clusters = (np.load(sorting / f"spikes.{a}.npy") for a in ("times", "clusters"))
        for name, values in (("times", times), ("clusters", clusters)):
            (sorting / f"spikes.{name}.npy").unlink()
            for part, chunk in zip("abc", np.array_split(values, 3), strict=True):
                np.save(sorting / f"spikes.{name}.part_{part}.npy", chunk)
        assert_trains(alf.session()(folder), times, clusters, list(range(6)))

    def test_a_lone_uuid_in_the_name_says_nothing(self, sorting, folder):
        times, clusters = (np.load(sorting / f"spikes.{a}.npy") for a in ("times", "clusters"))
        for file in list(sorting.glob("*.*.*")):
            file.rename(file.with_name(f"{file.stem}.{alffolder.UUIDS[0]}{file.suffix}"))
        recording = alf.session()(folder)
        assert_trains(recording, times, clusters, list(range(6)))
        assert "src_firing_rate" in recording.units.column_names

    def test_grouping_in_many_chunks_is_grouping_at_once(self, sorting, folder, monkeypatch):
        monkeypatch.setattr(alf_flat, "CHUNK", 7)
        times, clusters = (np.load(sorting / f"spikes.{a}.npy") for a in ("times", "clusters"))
        assert_trains(alf.session()(folder), times, clusters, list(range(6)))

    def test_unsorted_spikes_are_sorted_when_written(self, tmp_path, store):
        rng = np.random.default_rng(0)
        times, clusters = rng.uniform(0, 50, 3000), rng.integers(0, 3, 3000)
        put(tmp_path / "s", spikes__times=times, spikes__clusters=clusters)
        (outcome,) = neuropile.ingest([tmp_path / "s"], store, lambda _: alf.session())
        assert "3 spike trains were not in time order and were sorted" in outcome.notes
        np.testing.assert_allclose(store[outcome.session].spikes()[1], np.sort(times[clusters == 1]), atol=1e-5)

    def test_a_folder_far_away_reads_the_same(self, folder):
        far = UPath("memory://alf-far/testlab/Subjects/KS023/2019-12-10/001")
        for file in (p for p in folder.rglob("*") if p.is_file()):
            (far / file.relative_to(folder).as_posix()).write_bytes(file.read_bytes())
        here, there = alf.session()(folder), alf.session()(far)
        assert alf.takes(far)
        assert (there.session_id, there.units, there.intervals) == (here.session_id, here.units, here.intervals)
        for unit in range(6):
            np.testing.assert_array_equal(here.trains.read(unit), there.trains.read(unit))


class TestProbes:
    def test_two_probes_are_one_session_whose_ids_name_the_probe(self, tmp_path):
        folder = alffolder.session(tmp_path, probes=("probe00", "probe01"))
        recording = alf.session()(folder)
        assert column(recording, "unit_id") == [f"probe0{p}/{i}" for p in range(2) for i in range(6)]
        assert column(recording, "probe") == ["probe00"] * 6 + ["probe01"] * 6
        for i, name in enumerate(("probe00", "probe01")):
            spikes = load_object(folder / "alf" / name / "pykilosort", "spikes")
            for unit in range(6):
                np.testing.assert_array_equal(recording.trains.read(6 * i + unit), spikes["times"][spikes["clusters"] == unit])

    @pytest.mark.parametrize(
        ("sortings", "asked", "read"),
        [
            (("", "pykilosort", "iblsorter", "x"), None, "iblsorter"),
            (("", "pykilosort", "x"), None, "pykilosort"),
            (("", "x"), None, ""),
            (("xx", "y"), None, "y"),
            (("", "pykilosort", "iblsorter"), "", ""),
            (("", "pykilosort", "iblsorter"), "pykilosort", "pykilosort"),
        ],
    )
    def test_of_several_sortings_the_one_asked_for_or_the_best_is_read(self, tmp_path, sortings, asked, read):
        for i, name in enumerate(sortings):
            put(tmp_path / "s" / "alf" / "probe00" / name, spikes__times=[float(i)], spikes__clusters=[0])
        assert alf.session(sorter=asked)(tmp_path / "s").trains.read(0).tolist() == [float(sortings.index(read))]

    def test_a_sorter_nobody_used_is_an_error_that_names_those_there_are(self, folder):
        with pytest.raises(UnreadableFile, match="sought a sorting by 'ks9', found those by 'pykilosort'"):
            alf.session(sorter="ks9")(folder)

    def test_a_probe_without_the_sorter_asked_for_is_read_from_another_and_noted(self, folder):
        put(folder / "alf" / "probe01" / "iblsorter", spikes__times=[1.0], spikes__clusters=[0])
        recording = alf.session(sorter="iblsorter")(folder)
        assert recording.notes[0] == "probe00 has no sorting by 'iblsorter': that by 'pykilosort' is read"
        assert recording.notes[1:] == ("waveforms of probe00 alone are left out: the other probes have none",)

    @pytest.mark.parametrize("inside", ["", "alf", "alf/probe00", "probe00", "iblsorter", "alf/probe00/#2024-05-06#", "alf/#2024-05-06#/probe00"])
    def test_spikes_are_found_wherever_a_session_keeps_them(self, tmp_path, inside):
        put(tmp_path / "s" / inside, spikes__times=[1.0], spikes__clusters=[3])
        assert alf.takes(tmp_path / "s")
        assert column(alf.session()(tmp_path / "s"), "unit_id") == ["3"]

    def test_revisions_are_chosen_file_by_file(self, sorting, folder):
        old, clusters = (np.load(sorting / f"spikes.{a}.npy") for a in ("times", "clusters"))
        new = np.append(old, 101.0)
        put(sorting / "#2024-05-06#", spikes__times=new, spikes__clusters=np.append(clusters, 0))
        put(sorting / "#2025-05-06#", clusters__depths=np.arange(6) * 100.0)
        assert alf.session()(folder).trains.read(0)[-1] == 101.0
        assert column(alf.session()(folder), "depth_um")[5] == 500.0
        assert column(alf.session(revision="2024-12-01")(folder), "depth_um")[5] == 77.5
        assert_trains(alf.session(revision="2024-01-01")(folder), old, clusters, list(range(6)))


class TestUnits:
    def test_every_narrow_column_is_kept_under_src(self, folder, sorting):
        units = alf.session()(folder).units.to_pandas()
        theirs = load_object(sorting, "clusters")
        for name in ("depths", "amps", "channels"):
            np.testing.assert_array_equal(units[f"src_{name}"], theirs[name])
        np.testing.assert_array_equal(units["src_firing_rate"], theirs["metrics"]["firing_rate"])
        assert units["src_uuids"].tolist() == theirs["uuids"].tolist()
        assert not [c for c in units if "waveforms" in c]

    def test_places_are_those_of_the_peak_channel_axis_by_axis(self, folder, sorting):
        units = alf.session()(folder).units.to_pandas()
        channels, peak = load_object(sorting, "channels"), load_object(sorting, "clusters")["channels"]
        ml, ap, dv = channels["mlapdv"][peak].T
        np.testing.assert_array_equal(units[["x_um", "y_um", "z_um"]].to_numpy().T, [ap, dv, ml])
        np.testing.assert_array_equal(units["allen_id"], channels["brainLocationIds_ccf_2017"][peak])
        np.testing.assert_array_equal(units["src_channel_rawInd"], channels["rawInd"][peak])

    def test_without_a_text_an_area_is_the_acronym_of_its_id(self, folder, sorting):
        put(sorting, channels__brainLocationIds_ccf_2017=np.array([778, -382, 0, 997, 999_999, 778, 778, 778, 778, 778]))
        acronyms = ["VISp5", "CA1", "void", "root", None, *["VISp5"] * 5]
        assert column(alf.session()(folder), "region") == [acronyms[c] for c in np.load(sorting / "clusters.channels.npy")]

    def test_depths_of_the_clusters_go_before_those_of_their_channels(self, folder, sorting):
        assert column(alf.session()(folder), "depth_um") == [i * 15.5 for i in range(6)]
        put(sorting, clusters__depths=[1.5, np.nan, 3.5, 4.5, 5.5, 6.5])
        axial = np.load(sorting / "channels.localCoordinates.npy")[np.load(sorting / "clusters.channels.npy"), 1]
        assert column(alf.session()(folder), "depth_um") == [1.5, axial[1], 3.5, 4.5, 5.5, 6.5]
        (sorting / "clusters.depths.npy").unlink()
        assert column(alf.session()(folder), "depth_um") == axial.tolist()

    @pytest.mark.parametrize("above", [True, False], ids=["in the probe's folder", "in the sorter's"])
    def test_sites_override_channels_by_where_they_lie(self, folder, sorting, above):
        local = np.load(sorting / "channels.localCoordinates.npy")
        order = np.random.default_rng(5).permutation(10)
        put(
            sorting.parent if above else sorting,
            electrodeSites__localCoordinates=local[order],
            electrodeSites__brainLocationIds_ccf_2017=1000 + order,
            electrodeSites__mlapdv=np.c_[order, 2 * order, 3 * order],
        )
        units = alf.session()(folder).units.to_pandas()
        peak = np.load(sorting / "clusters.channels.npy")
        assert units["allen_id"].tolist() == (1000 + peak).tolist()
        assert units["x_um"].tolist() == (2.0 * peak).tolist()

    def test_the_left_hemisphere_s_negative_ids_are_the_same_areas(self, folder, sorting):
        put(sorting, channels__brainLocationIds_ccf_2017=-np.arange(10))
        assert column(alf.session()(folder), "allen_id") == np.load(sorting / "clusters.channels.npy").tolist()

    def test_a_region_is_only_what_a_text_says(self, folder, sorting):
        names = np.array([f"VISp{i}" for i in range(9)] + ["unknown"])
        put(sorting, channels__brainLocationAcronyms_ccf_2017=names)
        peak = np.load(sorting / "clusters.channels.npy")
        assert column(alf.session()(folder), "region") == [None if p == 9 else f"VISp{p}" for p in peak]
        put(sorting, clusters__acronym=np.array(["CA1"] * 6))
        assert column(alf.session()(folder), "region") == ["CA1"] * 6

    def test_good_is_a_label_of_one_and_the_sorter_tells_the_rest(self, folder):
        recording = alf.session()(folder)
        assert column(recording, "quality") == ["good", None, "mua", "good", "noise", None]
        assert set(column(recording, "quality_rule")) == {"good where label is 1 (all tests passed); else mua or noise where ks2_label says so"}

    @pytest.mark.parametrize(
        ("metrics", "quality", "rule"),
        [
            ({"label": [1.0, 0.5, np.nan]}, ["good", None, None], "good where label is 1 (all tests passed)"),
            ({"label": [np.nan] * 3, "ks2_label": ["good", "mua", ""]}, ["good", "mua", None], "Kilosort's ks2_label"),
            ({"ks2_label": ["good", "mua", "noise"]}, ["good", "mua", "noise"], "Kilosort's ks2_label"),
            ({"label": ["good", "mua", "x"]}, ["good", "mua", None], "the word in label"),
            ({"firing_rate": [1.0, 2.0, 3.0]}, None, None),
        ],
    )
    def test_quality_says_by_which_rule(self, tmp_path, metrics, quality, rule):
        put(tmp_path / "s", spikes__times=[1.0], spikes__clusters=[0], clusters__depths=np.arange(3.0), clusters__metrics=pd.DataFrame(metrics))
        units = alf.session()(tmp_path / "s").units
        assert ("quality" in units.column_names) == (quality is not None)
        if quality is not None:
            assert (units.column("quality").to_pylist(), units.column("quality_rule").to_pylist()) == (quality, [rule] * 3)

    def test_metrics_of_some_clusters_are_laid_by_their_ids(self, folder, sorting):
        put(sorting, clusters__metrics=pd.DataFrame({"cluster_id": [5, 0], "label": [1.0, 0.0]}))
        recording = alf.session()(folder)
        assert column(recording, "src_label") == [0.0, None, None, None, None, 1.0]
        assert column(recording, "quality") == [None, None, None, None, None, "good"]

    def test_metrics_alone_name_units_beside_those_that_occur(self, tmp_path):
        metrics = pd.DataFrame({"cluster_id": [167, 300], "label": [1.0, 1.0]})
        put(tmp_path / "s", spikes__times=[1.0, 2.0], spikes__clusters=[274, 167], clusters__metrics=metrics)
        recording = alf.session()(tmp_path / "s")
        assert column(recording, "unit_id") == ["167", "274", "300"]
        assert column(recording, "quality") == ["good", None, "good"]

    def test_tables_of_text_are_read_like_those_of_parquet(self, folder, sorting):
        before = alf.session()(folder).units
        metrics = pd.read_parquet(sorting / "clusters.metrics.pqt")
        (sorting / "clusters.metrics.pqt").unlink()
        metrics.to_csv(sorting / "clusters.metrics.csv")
        assert alf.session()(folder).units.select(before.column_names) == before

    def test_a_column_of_another_length_is_left_out_and_noted(self, folder, sorting):
        put(sorting, clusters__amps=np.zeros(4))
        recording = alf.session()(folder)
        assert recording.notes == ("clusters.amps has 4 rows for 6 clusters and is left out",)
        assert "src_amps" not in recording.units.column_names


class TestWhatAFolderIs:
    def test_the_path_names_session_and_subject(self, folder):
        recording = alf.session()(folder)
        assert recording.session_id == alf.session().session_name(folder) == "KS023_2019-12-10_001"
        assert recording.subject.subject_id == "KS023"
        assert recording.source == {"src_lab": "testlab", "src_subject": "KS023", "src_date": "2019-12-10", "src_number": 1}

    @pytest.mark.parametrize(
        ("path", "name"), [("mine", "mine"), ("mine/alf", "mine_alf"), ("mine/alf/probe00", "mine_alf_probe00"), ("KS1/2020-01-01/2/alf", "KS1_2020-01-01_002")]
    )
    def test_a_generic_folder_is_named_after_its_parents(self, tmp_path, path, name):
        assert alf.session().session_name(tmp_path / path) == name

    def test_a_session_is_taken_and_the_folders_above_it_are_not(self, folder, tmp_path):
        assert alf.takes(folder)
        assert [p for p in folder.parents if p.is_relative_to(tmp_path) and alf.takes(p)] == []

    def test_a_folder_of_sessions_of_other_names_is_no_session(self, tmp_path):
        for name in ("mouse1", "mouse2"):
            put(tmp_path / name, spikes__times=[1.0], spikes__clusters=[0])
        assert not alf.takes(tmp_path)
        assert alf.takes(tmp_path / "mouse1")

    def test_files_and_other_folders_are_not_taken(self, tmp_path):
        put(tmp_path / "ks", spike_times=[1], spike_clusters=[1])
        assert not alf.takes(tmp_path / "ks")
        assert not alf.takes(tmp_path / "ks" / "spike_times.npy")
        assert not alf.takes(tmp_path / "missing")

    def test_only_what_is_read_counts_as_the_source(self, folder, sorting):
        names = {p.relative_to(folder).as_posix() for p in alf.session().files(folder)}
        assert {"alf/_ibl_trials.table.pqt", "alf/probe00/pykilosort/spikes.times.npy", "alf/probe00/pykilosort/channels.mlapdv.npy"} <= names
        assert "alf/probe00/pykilosort/clusters.waveforms.npy" in names
        assert not [n for n in names if n.endswith("spikes.amps.npy")]
        kept = folder.parent / "002"
        for name in names:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, kept / name)
        assert alf.session()(kept).units == alf.session()(folder).units

    def test_trials_without_spikes_say_what_there_is(self, tmp_path):
        put(tmp_path / "s" / "alf", I_trials__table=alffolder.trial_table())
        assert alf.takes(tmp_path / "s")
        with pytest.raises(NoEvents, match=r"sought spikes.times and spikes.clusters .*; the folder holds alf/_ibl_trials.table.pqt"):
            alf.session()(tmp_path / "s")

    def test_a_revision_before_all_spikes_says_so(self, tmp_path):
        put(tmp_path / "s" / "#2024#", spikes__times=[1.0], spikes__clusters=[0])
        with pytest.raises(
            NoEvents, match=r"sought spikes.times and spikes.clusters of revision 2023 or before, found those of 2024 .* #2024#/spikes.times.npy"
        ):
            alf.session(revision="2023")(tmp_path / "s")

    def test_the_reader_is_a_value(self):
        assert repr(alf.session(revision="2024-05-06")) == "AlfSession(revision='2024-05-06', sorter=None)"
        assert hash(alf.session()) == hash(alf.AlfSession())
