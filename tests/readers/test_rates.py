"""Firing rates in NWB files: kept as they are, or made into the published scripts' counts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from hdmf.common import DynamicTable, VectorData
from hypothesis import given
from hypothesis import strategies as st
from pynwb import NWBHDF5IO, NWBFile, TimeSeries

import neuropile
from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers.layouts import rates, rates_file
from neuropile.types import Recording, Signal, Trains

READER = rates.nwb_series("acquisition/firing_rates", units="acquisition/unit_table", unit_id="uuid", quality="unit_type")
DATA = np.array([[0.0, 25.0], [24.9, 75.0], [25.1, 125.0], [612.5, 50.0]])


@pytest.fixture
def rated(tmp_path):
    """Write a file of rates; keywords change what is in it."""

    def _rated(data=DATA, uuids=("f6", "9a"), kinds=("cell", "mua"), rate=50.0, start=0.0, folder="sub-Li"):
        nwb = NWBFile("T3g", "x", datetime(18, 7, 2, tzinfo=UTC))
        nwb.add_acquisition(TimeSeries(name="firing_rates", data=data, unit="uv", starting_time=start, rate=rate))
        nwb.add_acquisition(TimeSeries(name="track_data", data=np.zeros((4, 3)), unit="m", starting_time=0.0, rate=0.02))
        columns = [VectorData(name=n, description=n, data=list(v)) for n, v in (("uuid", uuids), ("unit_type", kinds))]
        nwb.add_acquisition(DynamicTable(name="unit_table", description="units", columns=columns))
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "sub-Li_ses-1.nwb"
        with NWBHDF5IO(str(path), "w") as io:
            io.write(nwb, cache_spec=False)
        return path

    return _rated


def test_rates_stay_rates_with_their_units_and_their_clock(rated):
    with READER(rated(start=1.5)) as recording:
        signal = recording.signals["rates"]
        np.testing.assert_array_equal(signal.data[:], DATA)
        assert (recording.quantity, signal.unit, signal.start_s, signal.rate_hz) == ("rates", "Hz", 1.5, 50.0)
        assert (recording.observed.start_s.tolist(), recording.observed.stop_s.tolist()) == ([1.5], [1.58])
        assert recording.units.column("unit_id").to_pylist() == ["f6", "9a"]
        assert recording.units.column("quality").to_pylist() == [None, "mua"]
        assert set(recording.signals) == {"rates", "track_data"}


def test_a_sampling_rate_that_is_a_step_is_read_as_what_it_means(rated):
    with READER(rated()) as recording:
        assert recording.signals["track_data"].rate_hz == pytest.approx(50.0)
        assert any("track_data says 0.02 samples a second" in n for n in recording.notes)


def test_a_session_of_rates_is_stored_and_never_counted(rated, tmp_path):
    store = neuropile.create_store(tmp_path / "store")
    (outcome,) = neuropile.ingest([rated()], store, lambda _: READER)
    session = store[outcome.session]
    assert session.record["quantity"] == "rates"
    np.testing.assert_array_equal(np.asarray(session.signals["rates"].data[:]), DATA)


def test_ids_that_stand_twice_are_replaced_by_rows(rated):
    with READER(rated(uuids=("f6", "f6"))) as recording:
        assert recording.units.column("unit_id").to_pylist() == ["0", "1"]


def test_the_published_counts_are_rates_over_50_with_halves_to_even(rated):
    with rates.rounded(READER)(rated()) as recording:
        counts = [np.bincount(recording.trains.read(u), minlength=4).tolist() for u in range(2)]
        assert (recording.quantity, recording.subject.subject_id) == ("counts", "sub-Li")
        assert recording.observed.stop_s.tolist() == [4 / 50]
    assert counts == [[0, 0, 1, 12], [0, 2, 2, 1]]


def held(values):
    """A reader of one unit's rates that are at hand."""
    signal = Signal(np.array(values)[:, None], ("time", "unit"), start_s=0.0, rate_hz=50.0)
    return lambda _: Recording("x", pa.table({"unit_id": ["0"]}), Trains(1, lambda _: np.empty(0)), quantity="rates", signals={"rates": signal})


@given(st.lists(st.one_of(st.floats(0, 20_000), st.integers(0, 1000).map(lambda k: 25.0 * k)), min_size=1, max_size=30))
def test_any_rate_becomes_the_count_that_pythons_round_gives_modulo_256(values):
    expected = [round(v / 50) % 256 for v in values]
    if not any(expected):
        with pytest.raises(NoEvents, match="no rate rounds to a count"):
            rates_file.read_upstream(Path("d/x.nwb"), "x", held(values))
        return
    recording = rates_file.read_upstream(Path("d/x.nwb"), "x", held(values))
    assert np.bincount(recording.trains.read(0), minlength=len(values)).tolist() == expected


def test_rates_that_are_no_numbers_are_told_in_the_published_counts(rated):
    with rates.rounded(READER)(rated(np.array([[np.nan, 50.0], [-50.0, 50.0]]))) as recording:
        assert any(n.startswith("2 rates that are negative or no numbers") for n in recording.notes)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda f: f.move("acquisition/firing_rates", "acquisition/rates"), NoEvents, "sought rates in /acquisition/firing_rates, found none"),
        (lambda f: f.__delitem__("acquisition/firing_rates/starting_time"), UnreadableFile, "does not say when it starts"),
        (lambda f: f["acquisition/firing_rates/starting_time"].attrs.modify("rate", 0.02), UnreadableFile, "sought a number of at least 1"),
        (lambda f: f["acquisition/firing_rates/starting_time"].attrs.modify("rate", np.nan), UnreadableFile, "sought a number of at least 1"),
        (lambda f: replaced(f, np.zeros(4)), UnreadableFile, "sought a number a bin and unit"),
        (lambda f: replaced(f, np.zeros((4, 3))), UnreadableFile, "2 rows for 3 units"),
        (lambda f: replaced(f, np.zeros((0, 2))), UnreadableFile, "sought a number a bin and unit"),
    ],
)
def test_files_that_are_not_so_are_refused_in_a_line(rated, change, error, words):
    path = rated()
    with h5py.File(path, "r+") as f:
        change(f)
    with pytest.raises(error, match=words) as caught:
        READER(path)
    assert str(path) in str(caught.value)


def replaced(file, data):
    del file["acquisition/firing_rates/data"]
    file["acquisition/firing_rates/data"] = data


def test_a_file_cut_short_is_refused(rated):
    path = rated()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UnreadableFile, match="fetch it again"):
        READER(path)
