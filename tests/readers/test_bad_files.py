"""Files that are damaged, contradict themselves or reach outside: one clear error each, whatever is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuropile
from neuropile import readers
from neuropile.errors import NeuropileError, NoEvents, StoreError, UnreadableFile
from neuropile.readers import h5
from neuropile.readers import nwb as nwb_reader


@pytest.fixture
def good(nwb, write) -> Path:
    """A readable file with three units, electrodes and trials."""
    group = nwb.create_electrode_group("probeA", "a probe", "x", nwb.create_device("d"))
    for location in ("CA1", "CA3"):
        nwb.add_electrode(location=location, group=group)
    for times in ([0.5, 1.5], [1.0], [2.0, 2.5, 3.0]):
        nwb.add_unit(spike_times=times, electrodes=[0, 1], obs_intervals=[[0.0, 4.0]])
    nwb.add_trial(start_time=0.0, stop_time=4.0)
    return write(nwb)


def put(file, name, value):
    """Put another value in the place of a dataset, its attributes kept."""
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = value
    file[name].attrs.update(attributes)


def error_of(path: Path) -> NeuropileError:
    """What reading a file to its last spike raises."""

    def read_all() -> None:
        with readers.find(path)(path) as recording:
            for unit in range(recording.trains.n_units):
                recording.trains.read(unit)

    with pytest.raises(NeuropileError) as caught:
        read_all()
    return caught.value


class TestNotTheFormat:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "the file is empty (0 bytes); fetch it again"),
            (b"spikes,unit\n0.1,3\n", "begins with b'spikes,unit\\n0.1,', which is no format known here; this version reads NWB 2.x (HDF5 or Zarr), "),
            (b"\x89HDF\r\n", "which is no format known here"),
            (b"\x89HDF\r\n\x1a\n", "not a readable HDF5 file"),
            (b"\x89HDF\r\n\x1a\n" + bytes(500), "not a readable HDF5 file"),
            (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(90), "not a readable HDF5 file"),
            (
                b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(90),
                "a MATLAB 5 file: say which array is what; ",
            ),
        ],
        ids=["empty", "text", "half a signature", "signature alone", "no superblock", "MATLAB 7.3 header alone", "MATLAB 5"],
    )
    def test_the_error_says_what_the_file_looks_like(self, tmp_path, ingest, content, words):
        path = tmp_path / "session.nwb"
        path.write_bytes(content)
        error = error_of(path)
        assert isinstance(error, UnreadableFile)
        assert str(error).startswith(f"{path}: ")
        assert words in str(error)
        assert (ingest(path).status, ingest(path).error) == ("failed", str(error))

    def test_hdf5_that_is_neither_nwb_nor_matlab_names_what_it_holds(self, tmp_path, ingest):
        path = tmp_path / "session.nwb"
        with h5py.File(path, "w") as f:
            f["sCount"], f["spikes"] = [1, 2], [0.1, 0.2, 0.3]
        error = error_of(path)
        assert isinstance(error, UnreadableFile)
        assert "an HDF5 file that is neither NWB nor MATLAB 7.3: say which array is what; it holds sCount (2,) int64, spikes (3,) float64" in str(error)
        assert ingest(path).error == str(error)

    def test_an_nwb_reader_refuses_other_hdf5(self, tmp_path):
        with h5py.File(tmp_path / "other.h5", "w") as f:
            f["x"] = 1
        with pytest.raises(UnreadableFile, match=r"an HDF5 file, but not NWB \(no nwb_version attribute\)"):
            nwb_reader.units()(tmp_path / "other.h5")

    def test_a_path_that_is_not_there_says_so(self, tmp_path):
        with pytest.raises(UnreadableFile, match=r"nowhere\.nwb: no such file"):
            readers.find(tmp_path / "nowhere.nwb")
        with pytest.raises(UnreadableFile, match=r"nowhere\.nwb: no such file"):
            nwb_reader.units()(tmp_path / "nowhere.nwb")

    def test_a_folder_gives_the_files_a_reader_may_take_in_order(self, tmp_path):
        for name in ("b.nwb", "a.MAT", "deep/c.h5", "notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        assert [p.name for p in readers.find_sources(tmp_path)] == ["a.MAT", "b.nwb", "c.h5"]
        assert readers.find_sources(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]

    def test_a_folder_without_such_files_says_so(self, tmp_path):
        with pytest.raises(
            UnreadableFile, match=r"a folder without a session folder \(ALF, Kilosort, NWB in Zarr\) or a file ending in \.nwb, \.mat, \.h5, \.hdf5"
        ):
            readers.find_sources(tmp_path)
        with pytest.raises(UnreadableFile, match="no such file or folder"):
            readers.find_sources(tmp_path / "nowhere")


class TestTruncated:
    @pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9999])
    def test_a_file_cut_anywhere_is_one_clear_error(self, good, ingest, store, share):
        content = good.read_bytes()
        good.write_bytes(content[: int(len(content) * share)])
        error = error_of(good)
        assert isinstance(error, UnreadableFile)
        assert "not a readable HDF5 file" in str(error)
        assert "truncated file" in str(error) or share < 0.01
        assert ingest(good).error == str(error)
        assert store.failed.loc["local/session", "error"] == str(error)
        assert len(store) == 0

    def test_a_file_mended_after_it_failed_is_stored(self, good, ingest, store):
        content = good.read_bytes()
        good.write_bytes(content[:-100])
        assert ingest(good).status == "failed"
        good.write_bytes(content)
        assert ingest(good).status == "stored"
        assert list(store) == ["local/session"]
        assert store.failed.empty

    def test_a_bad_file_among_good_ones_stops_none_of_them(self, good, store):
        bad, other = good.with_name("bad.nwb"), good.with_name("other.nwb")
        bad.write_bytes(good.read_bytes()[:500])
        other.write_bytes(good.read_bytes())
        outcomes = neuropile.ingest([good, bad, other], store, readers.find)
        assert [o.status for o in outcomes] == ["stored", "failed", "stored"]


INDEX = "units/spike_times_index"
CONTRADICTIONS = {
    "index past the times": (lambda f: put(f, INDEX, [2, 3, 7]), r"/units/spike_times_index points to value 7, but spike_times holds 6"),
    "index running backwards": (lambda f: put(f, INDEX, [3, 2, 6]), r"/units/spike_times_index runs backwards: its offsets must not decrease"),
    "negative index": (lambda f: put(f, INDEX, np.array([-2, 3, 6])), r"/units/spike_times_index runs backwards"),
    "index beyond 63 bits": (lambda f: put(f, INDEX, np.array([2, 3, 2**64 - 1], np.uint64)), r"/units/spike_times_index runs backwards"),
    "index too short": (lambda f: put(f, INDEX, [2, 6]), r"/units/spike_times_index has 2 entries for 3 rows"),
    "index too long": (lambda f: put(f, INDEX, [2, 3, 5, 6]), r"/units/spike_times_index has 4 entries for 3 rows"),
    "no index": (lambda f: f.__delitem__(INDEX), r"/units has 3 units but no spike_times_index to part their times"),
    "index is a group": (lambda f: (f.__delitem__(INDEX), f.create_group(INDEX)), "/units/spike_times_index is missing"),
    "times are text": (lambda f: put(f, "units/spike_times", ["a"] * 6), r"/units/spike_times holds object of shape \(6,\): sought one row of numbers"),
    "times in rows": (lambda f: put(f, "units/spike_times", np.zeros((3, 2))), r"/units/spike_times holds float64 of shape \(3, 2\): sought one row"),
    "observation index missing": (lambda f: f.__delitem__("units/obs_intervals_index"), r"/units/obs_intervals_index is missing: nothing says which values"),
    "odd observation values": (lambda f: put(f, "units/obs_intervals", np.zeros(5)), r"/units/obs_intervals has shape \(5,\): sought a start and a stop a row"),
    "observations in threes": (lambda f: put(f, "units/obs_intervals", np.zeros((2, 3))), r"/units/obs_intervals has shape \(2, 3\): sought a start"),
    "index with fractions": (lambda f: put(f, INDEX, [1.5, 2.9, 6.0]), r"/units/spike_times_index holds float64: its offsets must be integers"),
    "a list's index with fractions": (lambda f: put(f, "units/electrodes_index", [2.0, 4, 6]), r"/units/electrodes_index holds float64: its offsets must be"),
    "a column too short": (lambda f: put(f, "intervals/trials/stop_time", [1.0, 2.0]), r"/intervals/trials/stop_time has 2 rows, the table 1"),
    "a list past its values": (lambda f: put(f, "units/electrodes_index", [2, 4, 9]), r"/units/electrodes_index points to value 9, but electrodes holds 6"),
}  # fmt: skip


class TestContradictions:
    @pytest.mark.parametrize("what", CONTRADICTIONS)
    def test_a_file_at_odds_with_itself_is_one_clear_error_that_names_the_place(self, good, ingest, what):
        change, words = CONTRADICTIONS[what]
        with h5py.File(good, "r+") as f:
            change(f)
        error = error_of(good)
        assert isinstance(error, UnreadableFile)
        assert str(good) in str(error)
        assert re.search(words, str(error))
        outcome = ingest(good)
        assert (outcome.status, outcome.error) == ("failed", str(error))

    def test_electrodes_that_do_not_exist_give_no_area_and_no_error(self, good, ingest, store):
        with h5py.File(good, "r+") as f:
            put(f, "units/electrodes", [0, 1, -5, 70, 2, 1])
        session = store[ingest(good).session]
        assert session.units["region"].fillna("none").tolist() == ["CA1", "none", "CA3"]

    def test_an_announced_size_no_file_could_hold_is_not_believed(self, good, ingest):
        with h5py.File(good, "r+") as f:
            del f["units/spike_times"]
            f["units"].create_dataset("spike_times", shape=(2**40,), chunks=(2**16,), dtype="f8")
            put(f, "units/spike_times_index", [2**39, 2**39, 2**40])
        error = error_of(good)
        assert isinstance(error, UnreadableFile)
        assert "/units/spike_times announces 8796093022208 bytes but stores 0: the file is damaged; fetch it again" in str(error)
        assert ingest(good).error == str(error)

    def test_nor_are_more_units_than_the_file_has_bytes(self, good, ingest):
        with h5py.File(good, "r+") as f:
            for name in ("units/id", "units/spike_times_index"):
                del f[name]
                f.create_dataset(name, shape=(30_000_000,), chunks=(2**20,), dtype="i1")
        error = error_of(good)
        assert isinstance(error, UnreadableFile)
        assert re.search(r"/units/id announces 30000000 rows in a file of \d+ bytes: it is damaged; fetch it again", str(error))
        assert ingest(good).error == str(error)
        with h5py.File(good, "r+") as f:
            del f["units/id"]
        assert "/units/spike_times_index announces 30000000 rows" in str(error_of(good))

    @pytest.mark.parametrize("name", ["general/extracellular_ephys/electrodes/id", "intervals/trials/id", "intervals/trials/start_time"])
    def test_nor_are_rows_of_other_tables(self, good, name):
        with h5py.File(good, "r+") as f:
            del f[name]
            f.pop("intervals/trials/id", None)
            f.create_dataset(name, shape=(30_000_000,), chunks=(2**20,), dtype="i1")
        assert f"/{name} announces 30000000 rows in a file of" in str(error_of(good))

    def test_waveforms_of_a_size_no_file_could_hold_are_left_out_and_noted(self, good, ingest, store):
        with h5py.File(good, "r+") as f:
            f["units"].create_dataset("waveform_mean", shape=(3, 10**9), chunks=(1, 2**20), dtype="f8")
        session = store[ingest(good).session]
        assert not session.signals
        with readers.find(good)(good) as recording:
            assert "/units/waveform_mean announces 24000000000 bytes but stores 0" in " ".join(recording.notes)

    def test_a_damaged_group_is_named(self, good, ingest):
        with h5py.File(good, "r") as f:
            at = h5py.h5o.get_info(f["units"].id).addr
        content = bytearray(good.read_bytes())
        content[at : at + 16] = bytes(16)
        good.write_bytes(content)
        error = error_of(good)
        assert isinstance(error, UnreadableFile)
        assert re.search(r"/units is damaged \([a-z ]+\); fetch the file again$", str(error))
        assert ingest(good).error == str(error)

    def test_damaged_times_fail_when_they_are_read_and_leave_nothing_behind(self, good, ingest, store):
        times = np.random.default_rng(0).uniform(0, 4, 6)
        with h5py.File(good, "r+") as f:
            attributes = dict(f["units/spike_times"].attrs)
            del f["units/spike_times"]
            stored = f["units"].create_dataset("spike_times", data=times, chunks=(6,), compression="gzip", fletcher32=True)
            stored.attrs.update(attributes)
            at = stored.id.get_chunk_info(0).byte_offset
        content = bytearray(good.read_bytes())
        content[at : at + 8] = b"\xff" * 8
        good.write_bytes(content)
        outcome = ingest(good)
        assert outcome.status == "failed"
        assert outcome.error.startswith(f"{good}: damaged, or not as its format says")
        assert outcome.error.endswith("; fetch it again")
        assert len(store) == 0
        with pytest.raises(StoreError, match="no session 'local/session'"):
            store["local/session"]

    def test_the_file_is_closed_after_an_error(self, good):
        with h5py.File(good, "r+") as f:
            put(f, "units/spike_times_index", [3, 2, 6])
        error_of(good)
        with h5py.File(good, "r+") as f:  # refused while another handle is open for reading
            f["note"] = 1


class TestLinksOut:
    @pytest.fixture
    def other(self, good, tmp_path) -> Path:
        """Another file that holds spikes."""
        return good.rename(tmp_path / "other.nwb")

    @pytest.fixture
    def linking(self, other, tmp_path, nwb):
        """Make an NWB file of some links and give its path."""

        def make(change) -> Path:
            path = tmp_path / "session.nwb"
            with h5py.File(path, "w") as f:
                f.attrs["nwb_version"] = "2.7.0"
                change(f)
            return path

        return make

    @pytest.mark.parametrize("absolute", [False, True])
    def test_units_in_another_file_are_not_read(self, linking, other, ingest, absolute):
        target = str(other) if absolute else other.name
        path = linking(lambda f: f.__setitem__("units", h5py.ExternalLink(target, "/units")))
        error = error_of(path)
        assert isinstance(error, NoEvents)
        assert "found none; the file holds /units (in another file, not followed)" in str(error)
        assert ingest(path).error == str(error)

    def test_nor_are_those_behind_a_link_within_the_file(self, linking, other):
        def change(f):
            f["away"] = h5py.ExternalLink(other.name, "/")
            f["units"] = h5py.SoftLink("/away/units")

        assert isinstance(error_of(linking(change)), NoEvents)

    def test_nor_are_times_in_another_file(self, linking, other):
        def change(f):
            f.create_group("units").attrs["neurodata_type"] = "Units"
            f["units/spike_times"] = h5py.ExternalLink(other.name, "/units/spike_times")
            f["units/spike_times_index"] = [2, 3, 6]

        error = error_of(linking(change))
        assert isinstance(error, NoEvents)
        assert "/units/spike_times (in another file, not followed)" in str(error)

    def test_nor_are_times_borrowed_from_another_file_by_a_virtual_dataset(self, linking, other):
        def change(f):
            layout = h5py.VirtualLayout((6,), "f8")
            layout[:] = h5py.VirtualSource(other.name, "units/spike_times", (6,))
            f.create_group("units").create_virtual_dataset("spike_times", layout)
            f["units/spike_times_index"] = [2, 3, 6]

        error = error_of(linking(change))
        assert isinstance(error, NoEvents)
        assert "/units/spike_times (in another file, not followed)" in str(error)

    def test_nor_are_times_in_a_raw_file_beside_it(self, linking, tmp_path):
        (tmp_path / "secret.bin").write_bytes(np.arange(6.0).tobytes())

        def change(f):
            f.create_group("units").create_dataset("spike_times", (6,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 48)])
            f["units/spike_times_index"] = [2, 3, 6]

        assert isinstance(error_of(linking(change)), NoEvents)

    def test_columns_ids_and_intervals_in_another_file_are_left_out(self, good, tmp_path, ingest, store):
        other = tmp_path / "other.nwb"
        other.write_bytes(good.read_bytes())
        with h5py.File(other, "r+") as f:
            f["units/id"][...] = [70, 71, 72]
            f["intervals/trials/start_time"][...] = [2.0]
        with h5py.File(good, "r+") as f:
            for name in ("units/id", "general/extracellular_ephys/electrodes", "intervals/trials"):
                del f[name]
                f[name] = h5py.ExternalLink(other.name, f"/{name}")
        session = store[ingest(good).session]
        assert session.units["unit_id"].tolist() == ["0", "1", "2"]
        assert session.units["region"].isna().all()
        assert list(session.intervals) == ["observed"]

    def test_links_within_the_file_are_followed(self, good, ingest):
        with h5py.File(good, "r+") as f:
            f.move("units", "analysis/sorted")
            f["units"] = h5py.SoftLink("/analysis/sorted")
        assert ingest(good).n_spikes == 6

    def test_links_that_lead_in_a_circle_end(self, linking):
        def change(f):
            f["units"] = h5py.SoftLink("/other")
            f["other"] = h5py.SoftLink("/units")

        assert isinstance(error_of(linking(change)), NoEvents)

    def test_links_that_multiply_end(self, linking):
        """Each name of a path of sixty is itself a link to such a path."""

        def change(f):
            for level in range(1, 7):
                f[f"a{level}"] = h5py.SoftLink("/" + "/".join([f"a{level + 1}"] * 60) if level < 6 else "/")
            f["units"] = h5py.SoftLink("/a1/a1")

        assert isinstance(error_of(linking(change)), NoEvents)


class TestGroupsWithinThemselves:
    @pytest.mark.parametrize("name", ["acquisition", "processing"])
    def test_each_group_is_opened_once(self, good, ingest, store, name):
        with h5py.File(good, "r+") as f:
            group = f.require_group(name)
            for i in range(120):
                group[f"x{i}"] = group
            series = f.create_group(f"{name}/speed")
            series["data"], series["timestamps"] = [1.0, 2.0], [0.0, 1.0]
        assert list(store[ingest(good).session].signals) == ["speed"]

    def test_so_are_the_structs_of_a_matlab_file(self, tmp_path):
        path = tmp_path / "cells.mat"
        with h5py.File(path, "w", userblock_size=512) as f:
            f["a"] = f["/"]
            struct = f.create_group("s")
            for i in range(120):
                struct[f"x{i}"] = struct
            struct["spikes"] = [1.0]
        with open(path, "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file")
        error = error_of(path)
        assert isinstance(error, NoEvents)
        assert str(error).endswith("variables: s/spikes")

    def test_more_objects_than_any_session_has_are_refused(self, good, monkeypatch):
        with h5py.File(good, "r+") as f:
            for i in range(30):
                f.create_group(f"acquisition/x{i}")
        monkeypatch.setattr(h5, "_MAX_OBJECTS", 20)
        assert "more than 20 groups and datasets: this is no session" in str(error_of(good))
