"""Rasters of counts in NWB files, against the arrays they were written from."""

import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.core import DynamicTable, VectorData

from neuropile.errors import NeuropileError, NoEvents, UnreadableFile
from neuropile.readers.layouts import raster
from neuropile.readers.upstream import by_layout


def write(path, data, names=("a", "b"), **clock):
    nwb = NWBFile("s", "i", datetime(2022, 1, 1, tzinfo=UTC))
    module = nwb.create_processing_module("ecephys", "m")
    if data is not None:
        module.add(TimeSeries(name="rasters", data=data, unit="n.a.", **({"rate": 1000.0, "starting_time": 0.25} | clock)))
    if names:
        columns = [VectorData(name="unit_name", description="n", data=list(names)), VectorData(name="area", description="a", data=["CIT"] * len(names))]
        module.add(DynamicTable(name="unit_names", description="names", columns=columns))
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 90), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_every_count_is_so_many_ticks_of_its_bin_however_long_the_slices_are(tmp_path_factory, n_bins, slice_bytes, seed):
    data = np.random.default_rng(seed).poisson(0.5, (n_bins, 2)).astype(np.uint8)
    path = write(tmp_path_factory.mktemp("r") / "x.nwb", data)
    with pytest.MonkeyPatch.context() as patch, raster.counts()(path) as recording:
        patch.setattr(raster, "SLICE_BYTES", slice_bytes)
        for unit in range(2):
            ticks = recording.trains.read(unit)
            np.testing.assert_array_equal(np.bincount(ticks - 250, minlength=n_bins), data[:, unit])
            assert np.all(np.diff(ticks) >= 0)


def test_a_raster_is_held_a_slice_at_a_time(tmp_path):
    data = np.zeros((400_000, 20), np.uint8)
    data[::1000] = 1
    path = write(tmp_path / "x.nwb", data, names=())
    with pytest.MonkeyPatch.context() as patch, raster.counts()(path) as recording:
        patch.setattr(raster, "SLICE_BYTES", 1 << 18)
        tracemalloc.start()
        assert len(recording.trains.read(19)) == 400
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < data.nbytes / 4


def test_names_areas_and_the_raster_s_own_span_are_kept(tmp_path):
    path = write(tmp_path / "sub-An_ses-1.nwb", np.eye(50, 2, dtype=bool), ("005A", "037A"))
    with raster.counts()(path) as recording:
        assert (recording.session_id, recording.quantity, recording.ticks_per_s) == ("sub-An_ses-1", "counts", 1000)
        assert recording.units.column("unit_id").to_pylist() == ["005A", "037A"]
        assert recording.units.column("region").to_pylist() == ["CIT", "CIT"]
        assert (recording.observed.start_s[0], recording.observed.stop_s[0]) == (0.25, 0.3)


def test_names_that_stand_twice_give_way_to_numbers(tmp_path):
    with raster.counts()(write(tmp_path / "x.nwb", np.eye(5, 2), ("a", "a"))) as recording:
        assert recording.units.column("unit_id").to_pylist() == ["0", "1"]
        assert recording.units.column("src_unit_name").to_pylist() == ["a", "a"]
        assert "stand twice" in recording.notes[0]


def test_time_stamps_serve_as_a_clock_too(tmp_path):
    path = write(tmp_path / "x.nwb", np.eye(5, 2), rate=None, starting_time=None, timestamps=3.0 + np.arange(5) / 1000)
    with raster.counts()(path) as recording:
        assert (recording.ticks_per_s, recording.trains.read(1).tolist()) == (1000, [3001])


@pytest.mark.parametrize(
    ("data", "clock", "error", "said"),
    [
        (None, {}, NoEvents, "no such raster; the file has"),
        (np.full((4, 2), 0.5), {}, UnreadableFile, "no counts"),
        (np.full((4, 2), -1), {}, UnreadableFile, "no counts"),
        (np.full((4, 2), 2**40), {}, UnreadableFile, "no counts"),
        (np.zeros((4, 2)), {"starting_time": 1e300}, UnreadableFile, "begins at 1e\\+300 s"),
        (np.zeros(4), {}, UnreadableFile, r"\(time, unit\)"),
        (np.zeros((4, 2)), {"rate": 1000.5}, UnreadableFile, "whole number of bins a second"),
    ],
)
def test_what_is_no_raster_is_told_in_one_line(tmp_path, data, clock, error, said):
    path = write(tmp_path / "x.nwb", data, **clock)
    with pytest.raises(error, match=said) as caught, raster.counts()(path) as recording:
        recording.trains.read(0)
    assert isinstance(caught.value, NeuropileError)
    assert "x.nwb" in str(caught.value)


def test_a_truncated_file_is_told_in_one_line(tmp_path):
    path = write(tmp_path / "x.nwb", np.eye(500, 2))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UnreadableFile, match="fetch it again"):
        raster.counts()(path)


@pytest.mark.parametrize(("dtype", "most"), [(bool, 1), (np.uint8, 20), (np.float32, 20)])
def test_upstream_adds_rows_in_the_raster_s_own_type(tmp_path, dtype, most):
    (tmp_path / "sub-A").mkdir()
    path = write(tmp_path / "sub-A" / "x.nwb", np.ones((47, 2), dtype))
    with by_layout.Raster()(path) as recording:
        assert recording.subject.subject_id == "sub-A"
        assert np.bincount(recording.trains.read(0)).tolist() == [most, most]
