"""Kilosort and phy folders: samples into exact ticks, labels, depths, against plain numpy and whole-number arithmetic."""

from __future__ import annotations

from fractions import Fraction

import alffolder
import numpy as np
import pytest
from alffolder import assert_trains, column, put
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

import neuropile
from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers import kilosort
from neuropile.readers.alf import flat as alf_flat
from neuropile.readers.kilosort import units as kilosort_units


def ticks(session, unit: int) -> list[int]:
    """The stored ticks of a unit: times are tick centres."""
    return np.rint(session.spikes()[unit] * 100_000 - 0.5).astype(int).tolist()


def ingest(store, folder, reader=None):
    (outcome,) = neuropile.ingest([folder], store, lambda _: reader or kilosort.folder())
    assert outcome.error is None
    return store[outcome.session]


class TestSamples:
    @settings(max_examples=25)
    @given(
        st.lists(st.integers(0, 2**40), min_size=1, max_size=40),
        st.sampled_from([Fraction(30000), Fraction(25000), Fraction("30000.554039"), Fraction("24414.0625"), Fraction(20000)]),
    )
    def test_each_sample_lands_in_the_tick_of_integer_arithmetic(self, tmp_path_factory, samples, rate):
        tmp = tmp_path_factory.mktemp("ks")
        samples = sorted(samples)
        alffolder.kilosort(tmp / "rec", np.array(samples, np.uint64), np.zeros(len(samples)), params=f"sample_rate = {float(rate)!r}\n")
        session = ingest(neuropile.create_store(tmp / "store"), tmp / "rec")
        assert ticks(session, 0) == [s * 100_000 // rate for s in samples]

    @pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.int32, np.float64])
    def test_any_type_of_whole_numbers_is_samples(self, tmp_path, dtype):
        alffolder.kilosort(tmp_path / "rec", np.array([3, 134276218], dtype), [0, 0])
        assert kilosort.folder()(tmp_path / "rec").trains.read(0).tolist() == [3 / 30000, 134276218 / 30000]

    def test_units_are_the_clusters_that_occur(self, tmp_path):
        samples, clusters = np.arange(9) * 100, np.array([5, 2, 5, 2, 9, 9, 9, 2, 5])
        alffolder.kilosort(tmp_path / "rec", samples, clusters)
        recording = kilosort.folder()(tmp_path / "rec")
        assert column(recording, "unit_id") == ["2", "5", "9"]
        assert_trains(recording, samples / 30000, clusters, [2, 5, 9])

    def test_templates_stand_in_for_clusters(self, tmp_path):
        put(tmp_path / "rec", spike_times=[3, 5, 7], spike_templates=[1, 0, 1])
        assert_trains(kilosort.folder(sample_rate=10.0)(tmp_path / "rec"), np.array([0.3, 0.5, 0.7]), np.array([1, 0, 1]), [0, 1])

    def test_seconds_are_taken_where_there_are_no_samples(self, tmp_path):
        put(tmp_path / "rec", spike_times_sec=[0.25, 1.5], spike_clusters=[0, 0])
        recording = kilosort.folder()(tmp_path / "rec")
        assert (recording.trains.read(0).tolist(), recording.trains.sample_rate) == ([0.25, 1.5], None)
        put(tmp_path / "rec", spike_times=[30, 60])
        assert kilosort.folder(sample_rate=30)(tmp_path / "rec").trains.read(0).tolist() == [1.0, 2.0]

    def test_a_folder_far_away_reads_the_same(self, tmp_path):
        here = alffolder.kilosort(tmp_path / "rec", [3, 5, 8], [1, 0, 1], templates=np.ones((2, 4, 3), "f4"), channel_positions=np.eye(3))
        far = UPath("memory://ks-far/rec")
        for file in here.iterdir():
            (far / file.name).write_bytes(file.read_bytes())
        near, there = kilosort.folder()(here), kilosort.folder()(far)
        assert kilosort.takes(far)
        assert (there.session_id, there.units) == (near.session_id, near.units)
        assert there.trains.read(1).tolist() == near.trains.read(1).tolist()


class TestRate:
    def test_none_anywhere_is_one_error_that_names_the_option(self, tmp_path):
        alffolder.kilosort(tmp_path / "rec", [3], [0], params=None)
        with pytest.raises(UnreadableFile, match=r"spike_times.npy counts samples, and no params.py says how many a second; give --sample-rate, such as 30000"):
            kilosort.folder()(tmp_path / "rec")

    def test_the_option_goes_before_the_file(self, tmp_path):
        alffolder.kilosort(tmp_path / "rec", [30], [0])
        assert kilosort.folder(sample_rate=15)(tmp_path / "rec").trains.read(0).tolist() == [2.0]

    @pytest.mark.parametrize(
        ("params", "rate"),
        [
            ("sample_rate = 30000.\n", Fraction(30000)),
            ("dat_path = 'C:\\Users\\me\\x.bin'\r\nn_channels_dat = 385\r\nsample_rate=25000  # Hz\r\n", Fraction(25000)),
            ("dat_path = [\n 'a',\n]\nsample_rate = 30000.554039\n", Fraction("30000.554039")),
            ("sample_rate = -1\n", None),
            ("sample_rate = True\n", None),
            ("sample_rate = 30000 * 2\n", None),
            ("sample_rate = float('nan')\n", None),
            ("if True:\n    sample_rate = 30000\n", None),
            ("sample_rate = " + "(" * 5000 + "1" + ")" * 5000, None),
            ("sample_rate = " + "-" * 190 + "1\n", None),
        ],
    )
    def test_params_are_read_as_plain_values(self, tmp_path, params, rate):
        alffolder.kilosort(tmp_path / "rec", [3], [0], params=params)
        if rate is None:
            with pytest.raises(UnreadableFile, match="give --sample-rate"):
                kilosort.folder()(tmp_path / "rec")
        else:
            assert kilosort.folder()(tmp_path / "rec").trains.sample_rate == rate

    def test_code_in_params_never_runs(self, tmp_path):
        mark = tmp_path / "ran"
        lines = f"open({str(mark)!r}, 'w')\nsample_rate = open({str(mark)!r}, 'w') and 30000\nimport os; os.mkdir({str(mark)!r})\nsample_rate = 30000\n"
        alffolder.kilosort(tmp_path / "rec", [3], [0], params=lines)
        assert kilosort.folder()(tmp_path / "rec").trains.sample_rate == 30000
        assert not mark.exists()

    def test_paths_of_the_machine_are_not_kept(self, tmp_path):
        alffolder.kilosort(tmp_path / "rec", [3], [0], params="dat_path = '/home/me/x.bin'\nn_channels_dat = 385\nsample_rate = 30000.\n")
        assert kilosort.folder()(tmp_path / "rec").source == {"src_n_channels_dat": 385, "src_sample_rate": 30000.0}

    @pytest.mark.parametrize("rate", [0, -30000.0, float("nan"), float("inf"), 1e12])
    def test_a_rate_that_is_none_is_refused(self, rate):
        with pytest.raises(UnreadableFile, match="give samples a second, such as --sample-rate 30000"):
            kilosort.folder(sample_rate=rate)


class TestLabels:
    @pytest.fixture
    def folder(self, tmp_path):
        return alffolder.kilosort(tmp_path / "rec", [1, 2, 3, 4], [0, 1, 2, 3])

    def test_phy_s_group_goes_before_kilosort_s_label(self, folder):
        (folder / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n0\tgood\n1\tmua\n2\tgood\n3\tgood\n")
        (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tnoise\n1\tgood\n2\tunsorted\n")
        recording = kilosort.folder()(folder)
        assert column(recording, "quality") == ["noise", "good", None, "good"]
        assert column(recording, "quality_rule") == ["phy's group"] * 3 + ["Kilosort's KSLabel"]
        assert column(recording, "src_KSLabel") == ["good", "mua", "good", "good"]

    def test_a_group_file_that_repeats_kilosort_s_label_is_kilosort_s(self, folder):
        (folder / "cluster_group.tsv").write_text("cluster_id\tKSLabel\n0\tgood\n1\tmua\n")
        recording = kilosort.folder()(folder)
        assert column(recording, "quality") == ["good", "mua", None, None]
        assert column(recording, "quality_rule") == ["Kilosort's KSLabel"] * 2 + [None] * 2

    def test_clusters_that_are_only_listed_are_silent_units(self, folder):
        (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n7\tgood\n1\tmua\n")
        recording = kilosort.folder()(folder)
        assert column(recording, "unit_id") == ["0", "1", "2", "3", "7"]
        assert column(recording, "quality")[4] == "good"
        assert recording.trains.read(4).size == 0

    def test_the_table_of_all_is_read_and_each_file_of_its_own_goes_before_it(self, folder):
        (folder / "cluster_info.tsv").write_text("cluster_id\tAmplitude\tch\tdepth\tgroup\tn_spikes\n0\t10.5\t3\t60.0\tmua\t1\n1\t11\t4\t80.0\t\t1\n")
        (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n")
        recording = kilosort.folder()(folder)
        assert column(recording, "quality") == ["good", None, None, None]
        assert column(recording, "depth_um") == [60.0, 80.0, None, None]
        assert column(recording, "src_Amplitude") == [10.5, 11.0, None, None]
        assert column(recording, "src_ch") == [3, 4, None, None]

    @pytest.mark.parametrize("text", ["id,group\n0,good\n", "cluster_id\tgroup\n0\tgood\n", "cluster_id,group\r\n0,good\r\n"])
    def test_old_names_and_commas_are_read_too(self, folder, text):
        (folder / "cluster_group.csv").write_text(text)
        assert column(kilosort.folder()(folder), "quality") == ["good", None, None, None]

    @pytest.mark.parametrize(
        ("text", "note"),
        [
            ("cluster_id\tgroup\n0\n", "left out: cluster_group.tsv: row 1 has 1 fields, its header 2"),
            ("a\tb\n0\t1\n", "left out: cluster_group.tsv names no clusters (it has a, b)"),
            ("", "left out: cluster_group.tsv names no clusters (it has nothing)"),
        ],
    )
    def test_a_damaged_table_is_noted_and_the_spikes_stand(self, folder, text, note):
        (folder / "cluster_group.tsv").write_text(text)
        recording = kilosort.folder()(folder)
        assert recording.notes == (note,)
        assert recording.trains.n_units == 4


class TestDepths:
    def folder(self, tmp_path, clusters, templates, **files):
        n_channels = templates.shape[2]
        files = {"channel_positions": np.c_[np.zeros(n_channels), np.arange(n_channels) * 20.0], "templates": templates} | files
        return alffolder.kilosort(tmp_path / "rec", np.arange(len(clusters)), clusters, **files)

    def templates(self, peaks, n_channels=6):
        out = np.random.default_rng(0).normal(0, 0.01, (len(peaks), 11, n_channels)).astype(np.float32)
        for i, p in enumerate(peaks):
            out[i, 5, p] = -1.0
        return out

    def test_a_unit_lies_where_its_template_is_largest(self, tmp_path):
        templates = self.templates([4, 1, 3])
        recording = kilosort.folder()(self.folder(tmp_path, [0, 1, 2, 0], templates, channel_map=[[10], [11], [12], [13], [14], [15]]))
        assert column(recording, "depth_um") == [80.0, 20.0, 60.0]
        assert column(recording, "src_peak_channel") == [14, 11, 13]

    def test_looked_at_in_pieces_it_is_the_same(self, tmp_path, monkeypatch):
        monkeypatch.setattr(kilosort_units, "_TEMPLATE_VALUES", 1)
        monkeypatch.setattr(alf_flat, "CHUNK", 2)
        templates = np.asfortranarray(self.templates([4, 1, 3]))
        recording = kilosort.folder()(self.folder(tmp_path, [8, 9, 8, 9, 9, 8], templates, spike_templates=[0, 1, 2, 1, 2, 2]))
        assert column(recording, "depth_um") == [60.0, 20.0]

    def test_a_merged_cluster_lies_where_most_of_its_spikes_do(self, tmp_path):
        clusters, own = [0, 7, 7, 7, 1, 1], [0, 1, 2, 2, 1, 1]
        recording = kilosort.folder()(self.folder(tmp_path, clusters, self.templates([4, 1, 3]), spike_templates=own))
        assert dict(zip(column(recording, "unit_id"), column(recording, "depth_um"), strict=True)) == {"0": 80.0, "1": 20.0, "7": 60.0}

    def test_templates_kept_on_few_channels_say_which(self, tmp_path):
        templates = self.templates([0, 1], n_channels=2)
        files = {"channel_positions": np.c_[np.zeros(6), np.arange(6) * 20.0], "channel_map": np.arange(6), "templates_ind": [[5, 4], [2, 3]]}
        assert column(kilosort.folder()(self.folder(tmp_path, [0, 1], templates, **files)), "depth_um") == [100.0, 60.0]

    def test_positions_of_the_whole_raw_file_are_found_through_the_channel_map(self, tmp_path):
        files = {"channel_positions": np.c_[np.zeros(20), np.arange(20) * 10.0], "channel_map": [3, 5, 7, 9, 11, 13]}
        assert column(kilosort.folder()(self.folder(tmp_path, [0, 1], self.templates([4, 1]), **files)), "depth_um") == [110.0, 50.0]

    def test_whitening_is_undone_before_the_peak_is_sought(self, tmp_path):
        swap = np.eye(6)[[1, 0, 2, 3, 4, 5]]
        assert column(kilosort.folder()(self.folder(tmp_path, [0], self.templates([0]), whitening_mat_inv=swap)), "depth_um") == [20.0]

    def test_a_flat_template_and_a_cluster_without_one_lie_nowhere(self, tmp_path):
        templates = np.concatenate([np.zeros((1, 11, 6), np.float32), self.templates([2])])
        assert column(kilosort.folder()(self.folder(tmp_path, [0, 1, 9], templates)), "depth_um") == [None, 40.0, None]

    @pytest.mark.parametrize("broken", [np.zeros((3, 4)), np.zeros((0, 0, 0)), np.array([{}, {}])])
    def test_broken_templates_leave_depths_unknown_and_spikes_as_they_are(self, tmp_path, broken):
        folder = self.folder(tmp_path, [0, 1], self.templates([4, 1]))
        np.save(folder / "templates.npy", broken, allow_pickle=True)
        recording = kilosort.folder()(folder)
        assert "depth_um" not in recording.units.column_names
        assert recording.trains.read(1).tolist() == [1 / 30000]


class TestBadFolders:
    def error(self, folder, **options):
        with pytest.raises((UnreadableFile, NoEvents)) as caught:
            kilosort.folder(**options)(folder)
        return str(caught.value)

    def test_times_and_clusters_of_unequal_length(self, tmp_path):
        folder = alffolder.kilosort(tmp_path / "rec", [1, 2, 3], [0, 0])
        assert self.error(folder) == f"{folder}: spike_times.npy has 3 entries and spike_clusters.npy 2: nothing says which spike is whose"

    def test_no_clusters_at_all(self, tmp_path):
        put(tmp_path / "rec", spike_times=[1])
        assert "sought spike_times.npy or spike_times_sec.npy, with spike_clusters.npy or spike_templates.npy" in self.error(tmp_path / "rec")
        assert "no such folder" in self.error(tmp_path / "missing")

    @pytest.mark.parametrize(
        ("name", "values", "words"),
        [
            ("spike_times", [0.5, 1.5], "holds fractions, so no samples; if these are seconds, name the file spike_times_sec.npy"),
            ("spike_clusters", [0.5, 1.0], "spike_clusters.npy holds float64 that are not all whole numbers"),
            ("spike_clusters", np.array([2**64 - 1, 0], np.uint64), "which is no cluster's number"),
            ("spike_times", [[1, 2], [3, 4]], "not one row of numbers"),
        ],
    )
    def test_values_that_are_no_samples_or_no_clusters(self, tmp_path, name, values, words):
        folder = put(alffolder.kilosort(tmp_path / "rec", [1, 2], [0, 0]), **{name: values})
        assert words in self.error(folder)

    def test_objects_are_refused(self, tmp_path):
        folder = alffolder.kilosort(tmp_path / "rec", [1, 2], [0, 0])
        np.save(folder / "spike_clusters.npy", np.array([1, "a"], object), allow_pickle=True)
        assert "holds Python objects, which are never unpickled" in self.error(folder)

    def test_a_link_that_leaves_the_folder_is_not_followed(self, tmp_path):
        folder = alffolder.kilosort(tmp_path / "rec", [1, 2], [0, 0])
        (folder / "spike_clusters.npy").rename(tmp_path / "elsewhere.npy")
        (folder / "spike_clusters.npy").symlink_to(tmp_path / "elsewhere.npy")
        assert "links out of the folder are not followed" in self.error(folder)
        (tmp_path / "elsewhere.npy").rename(folder / "inside.npy")
        (folder / "spike_clusters.npy").unlink()
        (folder / "spike_clusters.npy").symlink_to("inside.npy")
        assert kilosort.folder()(folder).trains.n_units == 1


class TestWhatAFolderIs:
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("mouse1", "mouse1"),
            ("mouse1/kilosort4", "mouse1_kilosort4"),
            ("mouse1/ks25", "mouse1_ks25"),
            ("mouse1/kilosort2.5_output/sorter_output", "mouse1_kilosort2.5_output_sorter_output"),
            ("run1_g0/run1_g0_imec0/imec0_ks2", "run1_g0_imec0_imec0_ks2"),
            ("mouse1/phy", "mouse1_phy"),
            ("mouse1/output", "mouse1_output"),
            ("phylogeny", "phylogeny"),
            ("kilosort-15-templates", "kilosort-15-templates"),
        ],
    )
    def test_a_name_that_every_sorter_gives_goes_behind_its_parents(self, tmp_path, path, name):
        assert kilosort.folder().session_name(tmp_path / "data" / path) == name

    def test_only_what_is_read_counts_as_the_source(self, tmp_path):
        folder = alffolder.kilosort(tmp_path / "rec", [1], [0], amplitudes=[1.0], pc_features=[1.0], templates=np.ones((1, 2, 3)))
        (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n")
        names = ["cluster_group.tsv", "params.py", "spike_clusters.npy", "spike_times.npy", "templates.npy"]
        assert [p.name for p in kilosort.folder().files(folder)] == names

    def test_folders_are_told_by_what_lies_in_them(self, tmp_path):
        folder = alffolder.kilosort(tmp_path / "rec", [1], [0])
        assert kilosort.takes(folder)
        assert not kilosort.takes(tmp_path)
        assert not kilosort.takes(folder / "spike_times.npy")
        assert not kilosort.takes(alffolder.session(tmp_path / "alf"))

    def test_the_reader_is_a_value(self):
        assert kilosort.folder(sample_rate=30000.0) == kilosort.folder(sample_rate=Fraction(30000))
        assert repr(kilosort.folder()) == "KilosortFolder(sample_rate=None)"
