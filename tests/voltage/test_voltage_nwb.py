"""Voltage of NWB files: values and times as pynwb reads them, at the cost of the window that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ecephys import LFP, ElectricalSeries
from readers.zarrfile import as_zarr
from recorded import START, lfp_file, sparse_lfp_file
from servers import serving

from neuropile.errors import NeuropileError, UnreadableFile
from neuropile.readers.h5 import source
from neuropile.voltage import open_voltage

RATE = 1249.9986
N, CHANNELS = 4000, 7


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1e-4, (N, CHANNELS)).astype(np.float32)


@pytest.fixture(scope="module")
def times() -> np.ndarray:
    return 12.5 + np.arange(N) / RATE


@pytest.fixture(scope="module")
def lfp(values: np.ndarray, times: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lfp_file(tmp_path_factory.mktemp("lfp") / "probe_810755797_lfp.nwb", values, times)


def test_a_window_of_lfp_is_what_pynwb_reads(lfp: Path) -> None:
    with NWBHDF5IO(lfp, "r") as io:
        series = io.read().acquisition["probe_810755797_lfp"].electrical_series["probe_810755797_lfp_data"]
        stamps = series.timestamps[:]
        rows = np.flatnonzero((stamps >= 13.0) & (stamps < 14.0))
        expected = series.data[rows[0] : rows[-1] + 1] * series.conversion
        table = series.electrodes.to_dataframe()
    with open_voltage(lfp) as v:
        found = v.read(13.0, 14.0)
        assert v.rate_hz == pytest.approx(RATE, rel=1e-9)
        channels = v.channels
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(found.time.values, stamps[rows])
    assert found.channel.values.tolist() == [str(i) for i in table.index]
    assert channels["depth_um"].tolist() == table["probe_vertical_position"].tolist()
    assert channels["probe"].tolist() == ["probeA"] * CHANNELS


def test_what_is_out_of_the_brain_has_no_region_and_no_place(lfp: Path) -> None:
    with open_voltage(lfp) as v:
        assert [r if isinstance(r, str) else None for r in v.channels["region"]] == ["VISp5"] * (CHANNELS - 2) + [None] * 2
        assert v.channels["x_um"].isna().tolist() == [False] * (CHANNELS - 2) + [True] * 2


def test_once_closed_nothing_more_is_read(lfp: Path) -> None:
    with open_voltage(lfp) as v:
        pass
    assert f"{CHANNELS} channels" in repr(v)
    for read in (v.read, v.read_samples):
        with pytest.raises(NeuropileError, match="is closed; open it again"):
            read(13, 14)


def test_channels_come_in_the_order_they_are_asked_for(lfp: Path, values: np.ndarray) -> None:
    with open_voltage(lfp) as v:
        for asked in ([6, 0, 3], [2], [1, 3, 5], [0, 1, 4], [4, 4]):
            np.testing.assert_array_equal(v.read_samples(17, 1017, asked).values, values[17:1017, asked])


@pytest.mark.parametrize("layout", [{}, {"chunks": (100, 3)}, {"chunks": (100, 7), "compression": "gzip"}, {"chunks": (4000, 1), "compression": "gzip"}])
def test_however_it_is_stored_the_values_are_the_same(layout: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuropile.voltage.nwb._BLOCK_VALUES", 700)
    expected = sparse_lfp_file(tmp_path / "x.nwb", N, CHANNELS, RATE, 0.0, slice(0, N), **layout)
    with open_voltage(tmp_path / "x.nwb") as v:
        for asked in ([6, 0, 3], [2], range(7)):
            np.testing.assert_array_equal(v.read_samples(50, 3333, asked).values, expected[50:3333, asked])


def test_stored_numbers_become_volts_by_conversion_offset_and_the_channels_own(times: np.ndarray, tmp_path: Path) -> None:
    stored = np.random.default_rng(1).integers(-500, 500, (N, CHANNELS)).astype(np.int16)
    own = np.linspace(1, 2, CHANNELS)
    path = lfp_file(tmp_path / "x.nwb", stored, times, conversion=2.34e-6, offset=0.001, channel_conversion=own)
    with open_voltage(path) as v:
        found = v.read_samples(0, 100, [0, 6])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.values, stored[:100, [0, 6]] * 2.34e-6 * own[[0, 6]] + 0.001, rtol=1e-6)


def test_doubles_stay_doubles(times: np.ndarray, tmp_path: Path) -> None:
    stored = np.random.default_rng(1).normal(size=(N, CHANNELS))
    with open_voltage(lfp_file(tmp_path / "x.nwb", stored, times)) as v:
        np.testing.assert_array_equal(v.read_samples(5, 50).values, stored[5:50])


def test_a_gap_and_missing_times_are_marked_where_they_are(values: np.ndarray, times: np.ndarray, tmp_path: Path) -> None:
    times = times.copy()
    times[2000:] += 5
    times[100:103] = np.nan
    with open_voltage(lfp_file(tmp_path / "x.nwb", values, times)) as v:
        found = v.read_samples(0, N)
        assert np.flatnonzero(~found.valid.values).tolist() == [100, 101, 102, 103, 2000]
        assert found.attrs["n_gaps"] == 2
        after = v.read(times[2000], times[2000] + 0.1)
        assert not after.valid.values[0]
        assert after.valid.values[1:].all()
        assert "5 s more than their samples fill" in v.notes[0]
        np.testing.assert_array_equal(v.read(times[1999], times[2001]).time.values, times[1999:2001])


def test_invalid_times_count_for_the_probes_their_tags_name(values: np.ndarray, times: np.ndarray, lfp: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.nwb"
    path.write_bytes(lfp.read_bytes())
    with NWBHDF5IO(path, "a") as io:
        file = io.read()
        for k, tags in enumerate((["all_probes"], ["probeA"], ["probeB"], ["stimulus"], ["EcephysSession", "probeA"], ["unheard of"])):
            file.add_invalid_time_interval(start_time=12.6 + 0.1 * k, stop_time=12.65 + 0.1 * k, tags=tags)
        io.write(file)
    with open_voltage(path) as v:
        bad = ~v.read_samples(0, N).valid.values
    expected = np.zeros(N, bool)
    for k in (0, 1, 4, 5):
        expected |= (times >= 12.6 + 0.1 * k) & (times < 12.65 + 0.1 * k)
    np.testing.assert_array_equal(bad, expected)


def several(path: Path) -> Path:
    """A file with raw voltage of two bands in acquisition, and LFP under processing."""
    file = NWBFile("made", "made", START)
    group = file.create_electrode_group("shank", "a shank", "CA1", file.create_device("probe"))
    for _ in range(3):
        file.add_electrode(group=group, location="CA1")
    region = file.create_electrode_table_region([2, 0], "two")
    for i, name in enumerate(("ElectricalSeriesAp", "ElectricalSeriesLf")):
        file.add_acquisition(ElectricalSeries(name=name, data=np.full((50, 2), i, np.int16), rate=30000.0 / (1 + 11 * i), starting_time=3.0, electrodes=region))
    module = file.create_processing_module("ecephys", "filtered")
    module.add(LFP(ElectricalSeries(name="ElectricalSeriesLf", data=np.full((50, 2), 7.0), rate=1000.0, electrodes=region), name="LFP"))
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def test_of_several_series_one_is_named(tmp_path: Path) -> None:
    path = several(tmp_path / "x.nwb")
    with pytest.raises(UnreadableFile, match="holds 3 voltage series; name one, as series='ElectricalSeriesAp': ElectricalSeriesAp, acquisition/El"):
        open_voltage(path)
    for name, value, rate in (("ElectricalSeriesAp", 0, 30000), ("acquisition/ElectricalSeriesLf", 1, 2500), ("LFP/ElectricalSeriesLf", 7, 1000)):
        with open_voltage(path, name) as v:
            assert (v.rate_hz, v.n_channels) == (rate, 2)
            assert set(v.read_samples(0, 50).values.ravel()) == {value}
            assert v.channels["channel_id"].tolist() == ["2", "0"]
    with pytest.raises(UnreadableFile, match="more than one voltage series 'ElectricalSeriesLf'"):
        open_voltage(path, "ElectricalSeriesLf")
    with pytest.raises(UnreadableFile, match="no voltage series 'nothing'; there are ElectricalSeriesAp"):
        open_voltage(path, "nothing")


def test_a_file_without_voltage_tells_what_it_holds(tmp_path: Path) -> None:
    with NWBHDF5IO(tmp_path / "x.nwb", "w") as io:
        io.write(NWBFile("made", "made", START))
    with pytest.raises(UnreadableFile, match="sought an ElectricalSeries"):
        open_voltage(tmp_path / "x.nwb")


def damage(path: Path, change: Any) -> None:
    with h5py.File(path, "r+") as f:
        change(f["acquisition/probe_810755797_lfp/probe_810755797_lfp_data"])


def replaced(name: str, values: Any) -> Any:
    def change(series: h5py.Group) -> None:
        del series[name]
        series[name] = values

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (replaced("timestamps", np.arange(10.0)), "has 4000 samples and 10 time stamps"),
        (replaced("timestamps", np.full(N, np.nan)), "none of 4000 time stamps is a number"),
        (replaced("timestamps", np.zeros((N, 2))), "sought one row of seconds"),
        (replaced("data", np.zeros((0, 7))), "sought numbers, time x channel"),
        (replaced("data", np.array([b"x"] * N)), "sought numbers, time x channel"),
        (replaced("data", np.zeros((N, 2, 2))), "sought numbers, time x channel"),
        (replaced("electrodes", np.arange(7) + 3), "points to rows 3 to 9 of 7 electrodes"),
        (lambda s: s.__delitem__("timestamps"), "neither timestamps nor a starting_time"),
        (lambda s: s["data"].attrs.modify("conversion", np.nan), "its conversion is no number"),
    ],
)
def test_a_series_that_contradicts_itself_is_told(change: Any, told: str, lfp: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.nwb"
    path.write_bytes(lfp.read_bytes())
    damage(path, change)
    with pytest.raises(UnreadableFile, match=told) as e:
        open_voltage(path)
    assert "bad.nwb" in str(e.value)


def test_a_file_cut_off_or_flipped_is_told_when_it_is_read(lfp: Path, tmp_path: Path) -> None:
    whole = lfp.read_bytes()
    (tmp_path / "cut.nwb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFile, match=r"cut\.nwb"):
        open_voltage(tmp_path / "cut.nwb").read_samples(0, N)
    with pytest.raises(NeuropileError, match="has times of its own"):
        open_voltage(lfp, sync=[[0, 0], [1, 1]])


def test_more_than_memory_holds_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    sparse_lfp_file(tmp_path / "x.nwb", 10_000, 3, RATE, 0.0, slice(0, 1), chunks=(100, 3))
    with h5py.File(tmp_path / "x.nwb", "r+") as f:
        series = f["acquisition/probe_1_lfp/probe_1_lfp_data"]
        del series["data"], series["timestamps"]
        series.create_dataset("data", (10**15, 3), "f4", chunks=(100, 3))
        series["starting_time"] = 0.0
        series["starting_time"].attrs["rate"] = RATE
    with open_voltage(tmp_path / "x.nwb") as v:
        assert v.read(1000, 1001).shape == (1250, 3)
        with pytest.raises(NeuropileError, match="1000000000000000 samples of 3 channels do not fit into memory; read a shorter window"):
            v.read_samples(0, v.n_samples)
    with h5py.File(tmp_path / "x.nwb", "r+") as f:
        series = f["acquisition/probe_1_lfp/probe_1_lfp_data"]
        del series["data"]
        series.create_dataset("data", (10**15, 3), "f4", chunks=(10**8, 3), compression="gzip")
    with pytest.raises(UnreadableFile, match=r"stored in chunks of \(100000000, 3\), which none are"):
        open_voltage(tmp_path / "x.nwb")


def test_values_in_other_files_are_never_followed(lfp: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.nwb"
    with h5py.File(path, "w") as f:
        f.attrs["nwb_version"] = "2.2.2"
        f.create_group("acquisition")["probe_1_lfp"] = h5py.ExternalLink(str(lfp), "/acquisition/probe_810755797_lfp")
    with pytest.raises(UnreadableFile, match=r"probe_1_lfp \(in another file, not followed\)"):
        open_voltage(path)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each read of a local HDF5 file was."""
    reads: list[int] = []
    real = source.Local.read_at
    monkeypatch.setattr(source.Local, "read_at", lambda self, at, n: reads.append(n) or real(self, at, n))
    return reads


def test_a_second_of_ten_channels_of_two_gigabytes_touches_less_than_five_megabytes(tmp_path: Path, counted: list[int]) -> None:
    n_samples, n_channels = 5_600_000, 95
    path = tmp_path / "sparse.nwb"
    window = slice(2_800_000, 2_801_250)
    layout = {"compression": "gzip"}  # chunks as h5py itself chooses them, as Allen's files have them
    expected = sparse_lfp_file(path, n_samples, n_channels, RATE, 12.5, window, **layout)
    assert n_samples * n_channels * 4 > 2e9
    counted.clear()
    start = 12.5 + window.start / RATE
    with open_voltage(path) as v:
        found = v.read(start - 1e-7, start + 1, range(20, 30))
    assert sum(counted) < 5e6
    np.testing.assert_array_equal(found.values, expected[: len(found), 20:30])
    assert len(found) == 1250


def test_of_a_server_only_the_window_crosses_the_wire(tmp_path: Path) -> None:
    expected = sparse_lfp_file(tmp_path / "x.nwb", 400_000, 95, RATE, 0.0, slice(200_000, 201_000), chunks=(1000, 95))
    with serving(tmp_path) as served, open_voltage(f"{served.url}/x.nwb") as v:
        found = v.read_samples(200_000, 201_000, [3])
        assert served.n_bytes < 4e6
    np.testing.assert_array_equal(found.values, expected[:, [3]])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_file_reads_as_the_hdf5_one_does(zarr_format: int, lfp: Path, values: np.ndarray, tmp_path: Path) -> None:
    with open_voltage(as_zarr(lfp, tmp_path / "x.nwb.zarr", zarr_format)) as v, open_voltage(lfp) as same:
        for asked in ([6, 0, 3], [2], range(7), [1, 3, 5]):
            np.testing.assert_array_equal(v.read_samples(17, 3333, asked).values, values[17:3333, asked])
        assert v.read(13, 14).identical(same.read(13, 14))


def test_a_channel_id_asked_for_as_a_number_is_told_to_be_text(lfp: Path) -> None:
    with open_voltage(lfp) as v, pytest.raises(NeuropileError, match=r"asked for 850000000; a number is a place, a channel id a text: ask for '850000000'$"):
        v.read(13, 14, [850000000])


def test_a_folder_that_is_no_zarr_file_says_what_is_sought_and_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r": a folder; sought a \.bin or \.cbin of SpikeGLX, an \.nwb file or a folder of Zarr; it holds none"):
        open_voltage(tmp_path)
    (tmp_path / "a.ap.cbin").write_bytes(b"x")
    with pytest.raises(UnreadableFile, match=r"give one of its files: a\.ap\.cbin$"):
        open_voltage(tmp_path)
