"""Sessions of the International Brain Laboratory as ALF that are imperfect, or written in one of its other forms."""

from __future__ import annotations

import ibl_sessions
import numpy as np
import pandas as pd
import pytest
from alffolder import put
from one.alf.io import load_object

from neuropile.errors import NeuropileError, NoEvents, UnreadableFile
from neuropile.readers import alf
from neuropile.readers.alf import grammar
from neuropile.readers.alf import tables as alf_tables


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


class TestPassingSpikes:
    @pytest.fixture
    def passing(self, folder, session):
        p = session.probes[0]
        sorting = folder / "alf" / "probe00" / "pykilosort"
        good = np.isin(p.clusters, np.flatnonzero(p.metrics["label"] >= 1 - 1e-6))
        table = pd.DataFrame({"times": p.times, "clusters": p.clusters, "amps": p.amps, "depths": p.depths})[good]
        table.to_parquet(sorting / "passingSpikes.table.pqt")
        for file in sorting.glob("spikes.*"):
            file.unlink()
        return folder

    def test_where_spikes_are_not_there_the_good_units_alone_are_read(self, passing, session):
        assert alf.takes(passing)
        p = session.probes[0]
        good = np.flatnonzero((p.metrics["label"] >= 1 - 1e-6) & (p.metrics["spike_count"] > 0))
        recording = alf.session()(passing)
        assert recording.units.column("unit_id").to_pylist() == [str(g) for g in good]
        assert set(recording.units.column("quality").to_pylist()) == {"good"}
        for row, cluster in enumerate(good):
            np.testing.assert_array_equal(recording.trains.read(row), p.times[p.clusters == cluster])
        assert f"which has the {len(good)} units that passed all tests; {6 - len(good)} others of clusters.* are left out" in " ".join(recording.notes)
        assert recording.units.column("src_uuids").to_pylist() == [p.uuids[g] for g in good]

    def test_spikes_go_before_them(self, folder, session):
        table = pd.DataFrame({"times": [1.0], "clusters": [0], "amps": [1.0], "depths": [1.0]})
        table.to_parquet(folder / "alf" / "probe00" / "pykilosort" / "passingSpikes.table.pqt")
        assert sum(len(alf.session()(folder).trains.read(u)) for u in range(6)) == len(session.probes[0].times)

    def test_a_foreign_table_under_their_name_is_told(self, passing):
        pd.DataFrame({"subject": ["a"], "date": ["b"]}).to_parquet(passing / "alf" / "probe00" / "pykilosort" / "passingSpikes.table.pqt")
        with pytest.raises(NoEvents, match=r"sought the columns times and clusters in passingSpikes.table, found subject, date"):
            alf.session()(passing)


class TestBadInput:
    def test_unknown_depths_and_amplitudes_of_spikes_change_no_spike(self, folder, session):
        assert np.isnan(session.probes[0].depths).any()
        assert np.isnan(session.probes[0].amps).any()
        assert sum(len(alf.session()(folder).trains.read(u)) for u in range(6)) == len(session.probes[0].times)

    def test_a_cluster_without_spikes_is_a_silent_unit(self, folder, session):
        recording = alf.session()(folder)
        assert session.probes[0].metrics["spike_count"][4] == 0
        assert len(recording.trains.read(4)) == 0
        assert recording.units.num_rows == 6

    def test_gaps_in_the_times_of_frames_and_wheel_stay_gaps(self, folder, session):
        times = session.cameras["left"]["times"].copy()
        times[600:] += 500.0
        np.save(folder / "alf" / "_ibl_leftCamera.times.npy", times)
        np.testing.assert_array_equal(alf.session()(folder).signals["left_camera_pose"].time_s, times)

    def test_waveforms_of_other_units_are_noted(self, folder):
        np.save(folder / "alf" / "probe00" / "pykilosort" / "clusters.waveforms.npy", np.zeros((5, 82, 4), np.float32))
        recording = alf.session()(folder)
        assert recording.notes == ("probe00: clusters.waveforms.npy has shape (5, 82, 4) for 6 units and is left out",)
        assert "waveform_mean" not in recording.signals

    def test_a_revision_that_is_not_there_is_an_error_that_names_what_is(self, session, tmp_path):
        folder = ibl_sessions.as_alf(session, tmp_path, revision="2024-05-06")
        with pytest.raises(NoEvents, match=r"spikes.clusters of revision 2023-01-01 or before, found those of 2024-05-06 \("):
            alf.session(revision="2023-01-01")(folder)

    def test_a_table_of_trials_goes_before_single_files_of_other_lengths(self, folder, session):
        for name in ("quiescencePeriod", "goCueTrigger_times", "itiDuration"):
            np.save(folder / "alf" / f"_ibl_trials.{name}.npy", np.zeros(9))
        recording = alf.session()(folder)
        assert recording.intervals["trials"].column("start_s").null_count == 0
        assert recording.intervals["trials"].num_rows == 8
        assert any("quiescencePeriod has 9 rows for 8" in n for n in recording.notes)

    def test_a_table_that_would_take_gigabytes_is_noted(self, folder):
        pd.DataFrame({"cluster_id": range(1500), "label": ["x" * 1_000_000] * 1500}).to_parquet(folder / "alf" / "probe00" / "clusters.metrics.pqt")
        found = list(folder.rglob("clusters.metrics.pqt"))
        with pytest.raises(UnreadableFile, match="a trap"):
            alf_tables.read(next(f for f in found if f.stat().st_size < 100_000))

    def test_where_a_revision_leaves_only_files_without_one_a_note_says_so(self, folder):
        revised = folder / "alf" / "probe00" / "pykilosort" / "#2024-05-06#"
        put(revised, clusters__depths=np.arange(6) * 10.0)
        note = "no file that is read is of revision 2023-01-01 or before (there are 2024-05-06): those without a revision are read"
        assert alf.session(revision="2023-01-01")(folder).notes == (note,)
        assert alf.session(revision="2024-05-06")(folder).notes == alf.session()(folder).notes == ()

    @pytest.mark.parametrize("number", ["a", "1", 1.5, None])
    def test_a_number_of_a_session_that_is_none_is_told(self, number):
        with pytest.raises(NeuropileError, match="is no session's path; they read"):
            grammar.session_path("KS099", "2021-03-22", number)

    def test_a_foreign_table_of_trials_is_noted(self, folder):
        pd.DataFrame({"eid": ["a", "b"], "rel_path": ["x", "y"]}).to_parquet(folder / "alf" / "_ibl_trials.table.pqt")
        recording = alf.session()(folder)
        assert recording.trains.n_units == 6
        assert [n for n in recording.notes if "trials" in n]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestForms:
    def test_names_of_a_matrix_s_columns_are_those_of_its_metadata(self, bare):
        values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        put(bare / "alf", I_trials__intervals=np.zeros((3, 2)), I_trials__values=values)
        (bare / "alf" / "_ibl_trials.values.metadata.json").write_text('{"columns": ["first", "second"]}')
        table = alf.session()(bare).intervals["trials"]
        theirs = load_object(bare / "alf", "trials")
        for name in ("first", "second"):
            np.testing.assert_array_equal(table.column(f"src_{name}"), theirs[name])

    def test_names_that_do_not_fit_are_not_used(self, bare):
        put(bare / "alf", I_trials__intervals=np.zeros((3, 2)), I_trials__values=np.zeros((3, 2)))
        (bare / "alf" / "_ibl_trials.values.metadata.json").write_text('{"columns": ["first"]}')
        assert "src_values" in alf.session()(bare).intervals["trials"].column_names

    @pytest.mark.parametrize(("suffix", "between"), [("csv", ","), ("tsv", "\t"), ("htsv", "\t"), ("ssv", " ")])
    def test_text_is_read_as_one_reads_it(self, bare, suffix, between):
        text = "\n".join(between.join(r) for r in (("a", "b"), ("1", "2.5"), ("3", "4.5")))
        (bare / "alf" / f"things.table.{suffix}").write_text(text + "\n")
        theirs = load_object(bare / "alf", "things")
        ours = alf_tables.read(bare / "alf" / f"things.table.{suffix}")
        assert {n: c.to_pylist() for n, c in ours.items()} == {n: list(v) for n, v in theirs.items()}

    @pytest.mark.parametrize(
        ("text", "columns"),
        [
            ("[1, 2, 3]", {"": [1, 2, 3]}),
            ('{"a": [1, 2], "b": ["x", "y"], "c": 5}', {"a": [1, 2], "b": ["x", "y"]}),
            ('[{"a": 1}, {"a": 2, "b": "x"}]', {"a": [1, 2], "b": [None, "x"]}),
            ('{"a": 1}', {}),
            ('[[1], {"a": 2}]', {}),
        ],
    )
    def test_json_that_is_a_table_has_columns(self, tmp_path, text, columns):
        (tmp_path / "x.json").write_text(text)
        assert {n: c.to_pylist() for n, c in alf_tables.read(tmp_path / "x.json").items()} == columns

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("x.json", "{"),
            ("x.json", "[" * 100_000),
            ("x.json", "[" * 990 + "]" * 990),
            ("x.json", '"\\ud800"'),
            ("x.yaml", "a: ["),
            ("x.yaml", "a: !!python/object:os.x {}"),
        ],
    )
    def test_what_is_no_json_or_yaml_is_one_error(self, tmp_path, name, text):
        (tmp_path / name).write_text(text)
        with pytest.raises(UnreadableFile, match=r"not readable (JSON|YAML)"):
            alf_tables.document(tmp_path / name)
