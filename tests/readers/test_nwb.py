"""Units of NWB files, compared with what pynwb reads from the same files."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nwbfile import add_units, column
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject
from pynwb.misc import Units

from neuropile import readers, types
from neuropile.errors import NoEvents
from neuropile.readers import nwb as nwb_reader

pytestmark = pytest.mark.filterwarnings("ignore:Shape of data does not match shape in spec")  # pynwb of empty lists


class TestTrains:
    def test_every_unit_has_the_times_pynwb_reads_back_as_stored(self, nwb, write, read, oracle):
        path = write(add_units(nwb))
        recording, units = read(path), oracle(path).units
        assert recording.trains.n_units == len(units)
        for row in range(len(units)):
            np.testing.assert_array_equal(recording.trains.read(row), units["spike_times"][row])

    @given(trains=st.lists(st.lists(st.floats(width=64), max_size=8), min_size=1, max_size=6))
    def test_any_ragged_list_of_trains_comes_back_unit_by_unit(self, tmp_path_factory, trains):
        path = tmp_path_factory.mktemp("ragged") / "s.nwb"
        with NWBHDF5IO(str(path), "w") as io:
            io.write(add_units(NWBFile("d", "i", datetime(2020, 1, 1, tzinfo=UTC)), trains))
        with nwb_reader.units()(path) as recording:
            assert recording.trains.n_units == len(trains)
            for row, train in enumerate(trains):
                np.testing.assert_array_equal(recording.trains.read(row), np.array(train, np.float64))

    def test_times_stored_as_32_bit_floats_stay_so_and_are_noted(self, nwb, write, read, ingest):
        path = write(add_units(nwb, [[0.1, 1000.7], [0.3]]))
        with h5py.File(path, "r+") as f:
            stored = f["units/spike_times"]
            attributes, values = dict(stored.attrs), stored[()].astype(np.float32)
            index_target = f["units/spike_times_index"].attrs
            del f["units/spike_times"]
            f["units"].create_dataset("spike_times", data=values).attrs.update(attributes)
            index_target["target"] = f["units/spike_times"].ref
        assert read(path).trains.read(0).dtype == np.float32
        assert any("32-bit floats" in note for note in ingest(path).notes)

    def test_a_stored_session_has_every_finite_spike_in_its_tick(self, nwb, write, ingest, store):
        trains = [sorted(np.round(np.random.default_rng(0).uniform(-2, 20, 300), 5)), [], [4.0, 3.0, *np.arange(200) / 10, np.nan]]
        outcome = ingest(write(add_units(nwb, trains)))
        assert (outcome.status, outcome.n_units, outcome.n_spikes) == ("stored", 3, 502)
        spikes = store[outcome.session].spikes()
        for row, train in enumerate(trains):
            expected = np.sort([t for t in train if np.isfinite(t)])
            ticks = np.rint(spikes[row] * 100_000 - 0.5)
            np.testing.assert_array_equal(ticks, np.rint(expected * 100_000))
        assert any("1 of 503 spike times were NaN" in n for n in outcome.notes)
        assert any("1 spike trains were not in time order" in n for n in outcome.notes)

    def test_trailing_times_that_belong_to_no_unit_are_noted(self, nwb, write, read):
        path = write(add_units(nwb, [[1.0, 2.0], [3.0, 4.0, 5.0]]))
        with h5py.File(path, "r+") as f:
            f["units/spike_times_index"][...] = [2, 3]
        recording = read(path)
        assert recording.trains.read(1).tolist() == [3.0]
        assert "2 of 5 values of /units/spike_times belong to no unit and were left out" in recording.notes

    def test_one_unit_needs_no_index(self, nwb, write, read):
        path = write(add_units(nwb, [[1.0, 2.0]]))
        with h5py.File(path, "r+") as f:
            del f["units/spike_times_index"]
        assert read(path).trains.read(0).tolist() == [1.0, 2.0]


class TestWhereUnitsLive:
    def test_units_in_a_processing_module_are_found(self, nwb, write, read, oracle):
        table = Units(name="units", description="curated")
        for times in ([1.0, 2.0], [], [3.0]):
            table.add_unit(spike_times=times)
        nwb.create_processing_module("ecephys", "sorted").add(table)
        path = write(nwb)
        recording, theirs = read(path), oracle(path).processing["ecephys"]["units"]
        assert [recording.trains.read(u).tolist() for u in range(3)] == [np.asarray(theirs["spike_times"][u]).tolist() for u in range(3)]

    def test_two_tables_are_one_and_clashing_ids_and_types_part(self, nwb, write, read):
        for module, probe, depth in (("left", "A", 1), ("right", "B", "deep")):
            table = Units(name="units", description=module)
            table.add_column("probe", "probe")
            table.add_column("layer", "an integer here, a text there")
            for i in range(2):
                table.add_unit(spike_times=[i + 1.0, i + (10.0 if probe == "B" else 5.0)], probe=probe, layer=depth)
            nwb.create_processing_module(module, module).add(table)
        recording = read(write(nwb))
        assert column(recording, "unit_id") == ["A:0", "A:1", "B:0", "B:1"]
        assert column(recording, "src_layer") == ["1", "1", "deep", "deep"]
        assert [recording.trains.read(u).tolist() for u in range(4)] == [[1.0, 5.0], [2.0, 6.0], [1.0, 10.0], [2.0, 11.0]]

    def test_observation_intervals_of_two_tables_stay_with_their_units(self, nwb, write, read):
        for module, stop in (("left", 5.0), ("right", 7.0)):
            table = Units(name="units", description=module)
            for _ in range(2):
                table.add_unit(spike_times=[1.0], obs_intervals=[[0.0, stop]])
            nwb.create_processing_module(module, module).add(table)
        spans = read(write(nwb)).observed
        assert list(zip(spans.unit.tolist(), spans.stop_s.tolist(), strict=True)) == [(0, 5.0), (1, 5.0), (2, 7.0), (3, 7.0)]

    def test_observation_intervals_of_one_table_of_two_are_no_evidence_for_all(self, nwb, write, read):
        for module in ("left", "right"):
            table = Units(name="units", description=module)
            table.add_unit(spike_times=[1.0], **({"obs_intervals": [[0.0, 3.0]]} if module == "left" else {}))
            nwb.create_processing_module(module, module).add(table)
        assert read(write(nwb)).observed is None

    def test_the_files_own_table_goes_before_those_of_processing(self, nwb, write, read):
        table = Units(name="units", description="raw")
        table.add_unit(spike_times=[9.0])
        nwb.create_processing_module("ecephys", "sorted").add(table)
        assert read(write(add_units(nwb, [[1.0], [2.0]]))).trains.n_units == 2

    def test_waveforms_of_one_shape_are_signals_over_the_units(self, nwb, write, read, oracle):
        for i in range(3):
            nwb.add_unit(spike_times=[1.0], waveform_mean=np.arange(5.0) + i, waveform_sd=np.ones(5) * i)
        path = write(nwb)
        signals, units = read(path).signals, oracle(path).units
        for name in ("waveform_mean", "waveform_sd"):
            np.testing.assert_array_equal(signals[name].data[:], np.array(units[name][:]))
            assert signals[name].dims == ("unit", "sample")

    def test_waveforms_of_another_number_of_units_are_no_signal(self, nwb, write, read):
        for _ in range(3):
            nwb.add_unit(spike_times=[1.0], waveform_mean=np.ones(5))
        path = write(nwb)
        with h5py.File(path, "r+") as f:
            del f["units/waveform_mean"]
            f["units/waveform_mean"] = np.ones((2, 5))
        assert read(path).signals == {}


class TestNoSpikes:
    def test_no_units_table_names_what_the_file_holds(self, nwb, write):
        nwb.add_trial(start_time=0.0, stop_time=1.0)
        with pytest.raises(NoEvents, match=r"sought spike_times in /units and processing/\*/units, found none; the file holds trials \(1 rows\)"):
            nwb_reader.units()(write(nwb))

    def test_an_empty_file_says_so(self, nwb, write):
        with pytest.raises(NoEvents, match="the file holds no intervals and no signals"):
            nwb_reader.units()(write(nwb))

    def test_units_without_spike_times_are_named_as_such(self, nwb, write):
        nwb.add_unit_column("snr", "snr")
        for _ in range(3):
            nwb.add_unit(snr=1.0)
        with pytest.raises(NoEvents, match=r"found none; the file holds /units \(3 rows, no spike_times\)"):
            nwb_reader.units()(write(nwb))

    def test_units_that_are_all_silent_fail_with_what_was_sought_and_found(self, nwb, write, ingest, store):
        nwb.add_trial(start_time=0.0, stop_time=1.0)
        outcome = ingest(write(add_units(nwb, [[], [], []])))
        assert outcome.status == "failed"
        assert "sought spikes, found 3 units without a single one; the file holds trials (1 rows)" in outcome.error
        assert store.failed.loc["local/session", "error"] == outcome.error


class TestWhatTheFileSaysOfItself:
    def test_the_subject_is_the_files(self, nwb, write, read):
        nwb.subject = Subject(subject_id="M 12", species="Mus musculus", sex="F", age="P90D", genotype="Pvalb-IRES-Cre/wt")
        assert read(write(add_units(nwb))).subject == types.Subject("M 12", "Mus musculus", "F", "P90D", "Pvalb-IRES-Cre/wt")

    def test_without_a_subject_nothing_is_invented(self, nwb, write, read):
        assert read(write(add_units(nwb))).subject == types.Subject()

    def test_its_own_texts_are_kept_but_the_session_is_named_by_the_file(self, nwb, write, read):
        nwb.lab, nwb.experimenter = "a lab", ["Ann", "Bo"]
        recording = read(write(add_units(nwb), "sub 1 ses:2.nwb"))
        assert recording.session_id == "sub_1_ses_2"
        found = {k: recording.source[k] for k in ("src_identifier", "src_lab", "src_experimenter", "src_session_description")}
        assert found == {"src_identifier": "session-7", "src_lab": "a lab", "src_experimenter": "Ann, Bo", "src_session_description": "a test"}


def test_a_reader_prints_compares_and_hashes_as_a_value():
    assert nwb_reader.units() == nwb_reader.units()
    assert len({nwb_reader.units(), nwb_reader.units(), nwb_reader.units(region="ccf")}) == 2
    assert "region='ccf'" in repr(nwb_reader.units(region="ccf"))


def test_find_takes_a_file_by_what_it_is_whatever_its_name(nwb, write):
    path = write(add_units(nwb))
    assert readers.find(path.rename(path.with_suffix(".dat"))) == nwb_reader.units()
