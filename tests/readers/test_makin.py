"""Grids of spike cells in MATLAB 7.3 files: a unit a cell, read against what h5py finds in the file itself."""

import h5py
import numpy as np
import pytest

from neuropile.errors import BadTimes, NoEvents, UnreadableFile
from neuropile.readers.layouts import makin
from neuropile.readers.upstream import channels as upstream_channels

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"


def put(file, inner, data, kind="double", empty=False):
    made = file.create_dataset(f"#refs#/{inner}", data=data)
    made.attrs["MATLAB_class"] = np.bytes_(kind)
    if empty:
        made.attrs["MATLAB_empty"] = np.uint8(1)
    return made.ref


def grid(path, trains, names=None, *, t=True, **variables):
    """A file whose spikes[sort][channel] are `trains`; an empty one is MATLAB's empty cell."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = np.empty((len(trains), len(trains[0])), h5py.ref_dtype)
        for s, row in enumerate(trains):
            for c, times in enumerate(row):
                data = np.array([[*times]]) if len(times) else np.zeros(2, np.uint64)
                refs[s, c] = put(file, f"s{s}_{c}", data, empty=not len(times))
        file.create_dataset("spikes", data=refs).attrs["MATLAB_class"] = np.bytes_("cell")
        if names is not None:
            cells = [put(file, f"n{i}", np.frombuffer(n.encode("utf-16-le"), np.uint16).reshape(-1, 1), "char") for i, n in enumerate(names)]
            file.create_dataset("chan_names", data=np.array([cells], h5py.ref_dtype))
        if t:
            file["t"] = (100 + 0.004 * np.arange(500)).reshape(1, -1)
        for name, data in variables.items():
            file[name] = data
    with open(path, "r+b") as f:
        f.write(HEADER)
    return path


TRAINS = [[[100.5, 100.7], [], [101.0]], [[], [100.9, 101.9], []], [[100.6], [], []]]
NAMES = ["M1 001", "S1 002", "S1 003"]


def test_sorted_units_and_hash_are_units_of_their_own_and_empty_cells_are_none(tmp_path, read) -> None:
    recording = read(grid(tmp_path / "indy_20160407_02.mat", TRAINS, NAMES), makin.sorts())
    units = recording.units.to_pydict()
    assert units["unit_id"] == ["M1 001:0", "M1 001:2", "S1 002:1", "S1 003:0"]
    assert units["quality"] == ["mua", "good", "good", "mua"]
    assert units["src_sort"] == [0, 2, 1, 0]
    assert units["region"] == units["probe"] == ["M1", "M1", "S1", "S1"]
    assert [recording.trains.read(u).tolist() for u in range(4)] == [[100.5, 100.7], [100.6], [100.9, 101.9], [101.0]]
    assert recording.subject.subject_id == "indy"
    assert recording.session_id == "indy_20160407_02"


def test_the_files_clock_is_kept_and_behaviour_lies_on_it(tmp_path, read) -> None:
    cursor = np.random.default_rng(0).random((2, 500))
    recording = read(grid(tmp_path / "loco_1.mat", TRAINS, NAMES, cursor_pos=cursor, finger_pos=np.zeros((6, 500)), wf=np.zeros((3, 4))), makin.sorts())
    assert set(recording.signals) == {"cursor_pos", "finger_pos"}
    signal = recording.signals["cursor_pos"]
    assert signal.data.shape == (500, 2)
    np.testing.assert_array_equal(signal.data[:], cursor.T)
    np.testing.assert_array_equal(signal.data[3:9], cursor.T[3:9])
    np.testing.assert_array_equal(signal.data[3:9, 1], cursor.T[3:9, 1])
    assert signal.time_s[:3].tolist() == pytest.approx([100.0, 100.004, 100.008])
    assert (recording.observed.start_s[0], recording.observed.stop_s[0]) == pytest.approx((100.0, 102.0))


def test_a_file_without_names_or_clock_is_read_by_channel_numbers_and_spikes(tmp_path, read) -> None:
    recording = read(grid(tmp_path / "indy_1.mat", TRAINS, None, t=False, cursor_pos=np.zeros((2, 5))), makin.sorts())
    assert recording.units.column("unit_id").to_pylist() == ["1:0", "1:2", "2:1", "3:0"]
    assert recording.units.column("region").to_pylist() == [None] * 4
    assert recording.observed is None
    assert not recording.signals


def test_names_that_stand_twice_are_not_used(tmp_path, read) -> None:
    recording = read(grid(tmp_path / "indy_1.mat", TRAINS, ["M1 001", "M1 001", "M1 002"]), makin.sorts())
    assert recording.units.column("unit_id").to_pylist()[0] == "1:0"


def test_upstream_pools_the_rows_of_a_channel_from_the_first_spike_and_keeps_silent_ones(tmp_path, read) -> None:
    trains = [[[100.5, 100.7], [], []], [[100.51], [], [100.9] * 300]]
    recording = read(grid(tmp_path / "indy_1.mat", trains, NAMES), upstream_channels.from_first(makin.sorts(pooled=True), subject="all"))
    edges = np.arange(100.5, 100.9 + 0.02, 0.02)
    expected = [np.histogram(t, edges)[0].astype(np.uint8) for t in ([100.5, 100.7, 100.51], [], [100.9] * 300)]
    counts = [np.bincount(recording.trains.read(u), minlength=len(edges) - 1) for u in range(3)]
    np.testing.assert_array_equal(counts, expected)
    assert expected[2].max() == 300 - 256
    assert recording.subject.subject_id == "all"
    assert recording.units.column("unit_id").to_pylist() == NAMES


def test_upstream_stops_at_times_that_are_not_finite(tmp_path, read) -> None:
    path = grid(tmp_path / "indy_1.mat", [[[1.0, np.nan]]])
    with pytest.raises(BadTimes, match="NaN or infinite"):
        read(path, upstream_channels.from_first(makin.sorts(pooled=True)))


def test_a_file_without_the_grid_says_what_it_holds(tmp_path, read) -> None:
    path = tmp_path / "indy_1.mat"
    with h5py.File(path, "w") as file:
        file["cursor_pos"] = np.zeros((2, 3))
    with pytest.raises(NoEvents, match=r"sought 'spikes'.*holds cursor_pos"):
        read(path, makin.sorts())


def test_a_cell_of_something_else_is_told(tmp_path, read) -> None:
    path = grid(tmp_path / "indy_1.mat", TRAINS)
    with h5py.File(path, "r+") as file:
        del file["#refs#/s0_0"]
        ref = put(file, "other", np.array([[b"no"]], "S2"))
        refs = file["spikes"][()]
        refs[0, 0] = ref
        file["spikes"][...] = refs
    with pytest.raises(UnreadableFile, match="not spike times"):
        read(path, makin.sorts()).trains.read(0)


def test_a_cell_that_announces_more_than_is_stored_is_refused(tmp_path, read) -> None:
    path = grid(tmp_path / "indy_1.mat", TRAINS)
    with h5py.File(path, "r+") as file:
        trap = file.create_dataset("#refs#/trap", shape=(1, 10**11), dtype="f8", chunks=(1, 10**6))
        refs = file["spikes"][()]
        refs[0, 0] = trap.ref
        file["spikes"][...] = refs
    with pytest.raises(UnreadableFile, match="the file is damaged"):
        read(path, makin.sorts()).trains.read(0)


@pytest.mark.parametrize("keep", [0, 100, 600, 3000])
def test_a_file_cut_short_is_told_in_one_line(tmp_path, read, keep) -> None:
    path = grid(tmp_path / "indy_1.mat", TRAINS, NAMES)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableFile) as told:
        read(path, makin.sorts())
    assert "indy_1.mat" in str(told.value)
    assert "\n" not in str(told.value)


def test_an_empty_cell_is_known_by_its_form_too(tmp_path, read) -> None:
    path = grid(tmp_path / "indy_1.mat", TRAINS, NAMES)
    with h5py.File(path, "r+") as file:
        for cell in file["#refs#"].values():
            if "MATLAB_empty" in cell.attrs:
                del cell.attrs["MATLAB_empty"]
    assert read(path, makin.sorts()).units.column("unit_id").to_pylist() == ["M1 001:0", "M1 001:2", "S1 002:1", "S1 003:0"]
