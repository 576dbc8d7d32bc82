"""ALF folders that are damaged, contradict themselves or reach outside: one clear error, or a note where spikes can stand."""

from __future__ import annotations

import contextlib

import alffolder
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from alffolder import put

import neuropile
from neuropile.errors import NeuropileError, NoEvents, UnreadableFile
from neuropile.readers import alf, kilosort
from neuropile.readers.alf import tables as alf_tables


@pytest.fixture
def folder(tmp_path):
    return put(tmp_path / "s", spikes__times=[1.0, 2.0, 3.0], spikes__clusters=[0, 1, 1], clusters__depths=[10.0, 20.0])


def error(folder) -> str:
    with pytest.raises((UnreadableFile, NoEvents)) as caught:
        alf.session()(folder)
    return str(caught.value)


def test_times_and_clusters_of_unequal_length(folder):
    put(folder, spikes__clusters=[0, 1])
    assert error(folder) == f"{folder}: spikes.times has 3 entries and spikes.clusters 2: nothing says which spike is whose"


def test_times_without_clusters(folder):
    (folder / "spikes.clusters.npy").unlink()
    assert error(folder) == f"{folder}: sought spikes.times and spikes.clusters, found spikes.times alone: nothing says which spike is whose"


@pytest.mark.parametrize(("clusters", "named"), [([0, 1, 2], 2), ([0, -1, 1], -1)])
def test_a_spike_of_a_cluster_that_does_not_exist(folder, clusters, named):
    put(folder, spikes__clusters=clusters)
    assert error(folder) == f"{folder}: spikes.clusters names cluster {named}, but clusters.* has 2 rows; fetch both again"


def test_a_truncated_file_is_named(folder):
    content = (folder / "spikes.times.npy").read_bytes()
    (folder / "spikes.times.npy").write_bytes(content[:-8])
    assert error(folder).startswith(f"{folder / 'spikes.times.npy'}: announces an array of shape (3,)")


@pytest.mark.parametrize("name", ["spikes.times", "spikes.clusters"])
def test_objects_are_refused_where_spikes_need_them(folder, name):
    np.save(folder / f"{name}.npy", np.array([1, 2, {}], object), allow_pickle=True)
    assert "holds Python objects, which are never unpickled" in error(folder)


def test_objects_beside_the_spikes_are_noted(folder):
    np.save(folder / "clusters.uuids.npy", np.array(["a", {}], object), allow_pickle=True)
    recording = alf.session()(folder)
    assert recording.notes == ("left out: clusters.uuids.npy: holds Python objects, which are never unpickled; save it as an array of numbers",)
    assert recording.trains.read(1).tolist() == [2.0, 3.0]


def test_notes_never_hold_the_machine_s_paths(folder):
    (folder / "clusters.metrics.pqt").write_bytes(b"no")
    (folder / "clusters.uuids.csv").write_text("uuids\na,b\n")
    assert not [n for n in alf.session()(folder).notes if str(folder) in n]
    assert len(alf.session()(folder).notes) == 2


def test_some_times_that_are_nan_are_dropped_and_many_are_an_error(tmp_path, store):
    for name, n_bad in (("few", 5), ("many", 50)):
        times = np.arange(1000.0)
        times[:n_bad] = np.nan
        put(tmp_path / name, spikes__times=times, spikes__clusters=np.zeros(1000, int))
    few, many = neuropile.ingest([tmp_path / "few", tmp_path / "many"], store, lambda _: alf.session())
    assert "5 of 1000 spike times were NaN or infinite and were dropped" in few.notes
    assert "more than 1 %" in many.error


def test_depths_that_are_nan_are_unknown(folder):
    put(folder, clusters__depths=[np.nan, 20.0])
    assert alffolder.column(alf.session()(folder), "depth_um") == [None, 20.0]


def test_no_spikes_at_all_is_an_error_of_the_store(tmp_path, store):
    put(tmp_path / "s", spikes__times=np.empty(0), spikes__clusters=np.empty(0, int), clusters__depths=[1.0])
    (outcome,) = neuropile.ingest([tmp_path / "s"], store, lambda _: alf.session())
    assert "sought spikes, found 1 units without a single one; the file holds clusters.depths.npy, spikes.clusters.npy" in outcome.error


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_file_s_bytes_become_the_error_is_ours(tmp_path, seed):
    rng = np.random.default_rng(seed)
    templates = rng.normal(size=(4, 5, 6)).astype(np.float32)
    near = {"channel_positions": np.zeros((6, 2)), "channel_map": np.arange(6), "spike_templates": np.arange(50) % 3, "templates": templates}
    sources = [
        (put(alffolder.session(tmp_path) / "alf", I_wheel__position=np.arange(9.0), I_wheel__timestamps=np.arange(9.0)).parent, alf.session()),
        (alffolder.kilosort(tmp_path / "rec", np.arange(50), np.arange(50) % 4, **near), kilosort.folder()),
    ]
    for source, reader in sources:
        for file in [p for p in sorted(source.rglob("*")) if p.is_file()]:
            good = file.read_bytes()
            bad = bytearray(good[: rng.integers(1, len(good))] if rng.random() < 0.3 else good)
            for at in rng.integers(0, min(len(bad), 200), 2):
                bad[at] = rng.integers(0, 256)
            file.unlink()  # arrays mapped from it stay as they are
            file.write_bytes(bad)
            with contextlib.suppress(NeuropileError), reader(source) as recording:
                for unit in range(recording.trains.n_units):
                    recording.trains.read(unit)
            file.write_bytes(good)


class TestLinks:
    def test_a_file_elsewhere_is_not_followed(self, folder, tmp_path):
        (folder / "spikes.times.npy").rename(tmp_path / "times.npy")
        (folder / "spikes.times.npy").symlink_to(tmp_path / "times.npy")
        assert "links out of the folder are not followed" in error(folder)
        assert folder / "spikes.times.npy" not in alf.session().files(folder)

    def test_a_folder_elsewhere_or_a_circle_is_not_entered(self, folder, tmp_path):
        put(tmp_path / "other", I_trials__choice=[1])
        (folder / "alf").symlink_to(tmp_path / "other")
        (folder / "probe00").symlink_to(folder)
        recording = alf.session()(folder)
        assert (recording.intervals, recording.trains.n_units) == ({}, 2)

    def test_a_link_that_stays_inside_is_a_file_like_any(self, folder):
        (folder / "spikes.times.npy").rename(folder / "store.bin")
        (folder / "spikes.times.npy").symlink_to("store.bin")
        assert alf.session()(folder).trains.read(0).tolist() == [1.0]

    def test_a_session_reached_through_a_link_is_read(self, folder, tmp_path):
        (tmp_path / "link").symlink_to(folder)
        assert alf.session()(tmp_path / "link").trains.read(0).tolist() == [1.0]


class TestTables:
    def test_a_table_that_announces_more_cells_than_any_file_holds_is_refused(self, folder):
        pq.write_table(pa.table({"label": pa.array(np.ones(11_000_000, np.int8))}), folder / "clusters.metrics.pqt")
        (note,) = alf.session()(folder).notes
        assert note.startswith("left out: clusters.metrics.pqt: announces 11000000 rows of 1 columns in")

    def test_columns_of_lists_and_dates_are_no_columns(self, tmp_path):
        frame = pd.DataFrame({"a": [1, 2], "b": [[1], [2]], "c": pd.to_datetime(["2020-01-01"] * 2), "d": ["x", None], "e": pd.Categorical(["u", "v"])})
        frame.to_parquet(tmp_path / "t.pqt")
        found = alf_tables.read(tmp_path / "t.pqt")
        assert {n: c.to_pylist() for n, c in found.items()} == {"a": [1, 2], "d": ["x", None], "e": ["u", "v"]}

    @pytest.mark.parametrize(
        ("texts", "values"),
        [
            (["1", "", "3"], [1, None, 3]),
            (["1", "2.5"], [1.0, 2.5]),
            (["1_0", "2"], ["1_0", "2"]),
            ([str(2**70), "1"], [float(2**70), 1.0]),
            (["", ""], [None, None]),
            (["good", ""], ["good", None]),
        ],
    )
    def test_texts_are_numbers_where_all_are(self, texts, values):
        assert alf_tables.typed(texts).to_pylist() == values

    def test_what_cannot_be_a_table_is_one_error(self, tmp_path):
        (tmp_path / "t.csv").write_text("a,b\n" + '"' + "x" * 200_000 + '",1\n')
        with pytest.raises(UnreadableFile, match="not a readable table"):
            alf_tables.read(tmp_path / "t.csv")
