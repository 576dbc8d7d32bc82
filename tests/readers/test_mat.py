"""MATLAB 7.3 files, written with h5py in the layout MATLAB gives them."""

from __future__ import annotations

from fractions import Fraction

import h5py
import numpy as np
import pytest
import scipy.io
from matfile import OBJECT, MatFile

from neuropile import readers, types
from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers import mat


def column(recording, name):
    return recording.units.column(name).to_pylist()


class TestSpikes:
    def test_each_cell_is_a_unit_and_empty_cells_are_silent_units(self, matfile, read):
        trains = [[0.5, 0.1, 2.25], None, [7.125], [-1.0, np.nan]]
        matfile.cell("raw_spike_time_s", trains)
        recording = read(matfile.close())
        assert recording.trains.n_units == 4
        assert column(recording, "unit_id") == ["0", "1", "2", "3"]
        for row, train in enumerate(trains):
            np.testing.assert_array_equal(recording.trains.read(row), train or [])

    def test_the_sample_rate_of_the_recording_goes_with_the_times_exactly(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[0.5]])
        matfile.struct("meta")
        matfile.struct("meta/ap_meta")
        matfile.put("meta/ap_meta/imSampRate", [30000.554039])
        assert read(matfile.close()).trains.sample_rate == Fraction("30000.554039")

    @pytest.mark.parametrize("rate", [np.nan, 0.0, -30000.0])
    def test_a_rate_that_is_none_is_not_used(self, matfile, read, rate):
        matfile.cell("raw_spike_time_s", [[0.5]])
        matfile.put("meta/ap_meta/imSampRate", [rate])
        assert read(matfile.close()).trains.sample_rate is None

    @pytest.mark.parametrize(("rate", "used"), [(3e-6, False), (999.0, False), (1000.0, True), (1e6, True), (1e300, False)])
    def test_a_rate_no_spikes_are_sampled_at_is_noted_and_not_used(self, matfile, read, rate, used):
        matfile.cell("raw_spike_time_s", [[0.5]])
        matfile.put("meta/ap_meta/imSampRate", [rate])
        recording = read(matfile.close())
        assert recording.trains.sample_rate == (Fraction(str(rate)) if used else None)
        noted = (f"the file's sample rate, {rate:g} Hz, is not one spikes are sampled at and was left out",)
        assert recording.notes == (() if used else noted)

    def test_whole_samples_land_in_the_tick_of_integer_arithmetic(self, matfile, ingest, store):
        rate = Fraction("30000.554039")
        samples = np.sort(np.random.default_rng(0).choice(20_000_000, 2000, replace=False))
        matfile.cell("raw_spike_time_s", [samples / float(rate)])
        matfile.put("meta/ap_meta/imSampRate", [float(rate)])
        session = store[ingest(matfile.close()).session]
        ticks = np.rint(session.spikes()[0] * 100_000 - 0.5).astype(int)
        assert ticks.tolist() == [int(s) * 100_000 // rate for s in samples]

    def test_all_cells_empty_fails_with_what_was_sought_and_found(self, matfile, ingest):
        matfile.cell("raw_spike_time_s", [None, None])
        outcome = ingest(matfile.close())
        assert outcome.status == "failed"
        assert "sought spikes, found 2 units without a single one; the file holds raw_spike_time_s" in outcome.error

    def test_a_cell_of_something_else_is_an_error_that_names_the_unit(self, matfile):
        matfile.cell("times", [[1.0], "words"])
        recording = mat.cells(spikes="times")(matfile.close())
        with recording, pytest.raises(UnreadableFile, match=r"times of unit 1 holds char, not numbers"):
            recording.trains.read(1)


class TestWhichCells:
    def test_no_cell_of_spikes_names_the_cells_and_variables_there_are(self, matfile, ingest):
        matfile.cell("notes", ["a", "b"])
        matfile.put("sessid", [1.0, 2.0])
        path = matfile.close()
        with pytest.raises(NoEvents, match=r"sought a cell array of spike times .*; cell arrays found: notes; variables: notes, sessid"):
            readers.find(path)(path)
        assert ingest(path).error.startswith(f"{path}: sought a cell array of spike times")

    def test_a_file_without_any_variable_says_so(self, matfile):
        path = matfile.close()
        with pytest.raises(NoEvents, match="cell arrays found: none; variables: none"):
            readers.find(path)(path)

    def test_an_empty_cell_array_holds_no_spikes(self, matfile):
        matfile.empty("spike_times", "cell")
        path = matfile.close()
        with pytest.raises(NoEvents, match="cell arrays found: none; variables: spike_times"):
            readers.find(path)(path)

    def test_two_candidates_are_named_and_one_can_be_chosen(self, matfile, read):
        matfile.cell("raw_spike_times", [[1.0]])
        matfile.cell("jittered_spike_times", [[2.0]])
        path = matfile.close()
        with pytest.raises(
            UnreadableFile, match=r"several cell arrays may hold spike times \(jittered_spike_times, raw_spike_times\); name one: mat.cells\(spikes="
        ):
            readers.find(path)(path)
        assert read(path, mat.cells(spikes="raw_spike_times")).trains.read(0).tolist() == [1.0]

    def test_a_cell_of_texts_is_no_candidate_whatever_its_name(self, matfile, read):
        matfile.cell("spike_labels", ["good", "mua"])
        matfile.cell("spike_times", [[1.0], [2.0]])
        assert read(matfile.close()).trains.read(1).tolist() == [2.0]

    def test_cells_inside_a_struct_are_found(self, matfile, read):
        matfile.struct("data")
        matfile.cell("data/spikes", [[1.0], [2.0]])
        assert read(matfile.close()).trains.read(1).tolist() == [2.0]

    def test_a_name_that_is_not_there_is_said_to_be_missing(self, matfile):
        matfile.cell("spike_times", [[1.0]])
        path = matfile.close()
        with pytest.raises(NoEvents, match=r"sought the cell array 'spks'; cell arrays found: spike_times"):
            mat.cells(spikes="spks")(path)


class TestUnits:
    def test_variables_with_a_value_a_unit_are_columns(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0], [3.0]])
        matfile.put("unitCount", [5.0, 6.0, np.nan])
        matfile.put("unitVppRaw", np.array([1.5, 2.5, 3.5], np.float32), "single")
        matfile.put("bank", np.array([[0, 1, 1]], np.int32), "int32")  # 1 x n
        matfile.char("sess_date", ["2019_11_11", "2019_11_12", "2019_11_13"])
        matfile.cell("notes", ["fine", None, "naïve 🐀"])
        matfile.struct("waveform")
        matfile.put("waveform/width_ms", [0.1, 0.2, 0.3])
        units = read(matfile.close())
        assert column(units, "src_unitVppRaw") == [1.5, 2.5, 3.5]
        assert column(units, "src_bank") == [0, 1, 1]
        assert column(units, "src_sess_date") == ["2019_11_11", "2019_11_12", "2019_11_13"]
        assert column(units, "src_notes") == ["fine", "", "naïve 🐀"]
        assert column(units, "src_waveform_width_ms") == [0.1, 0.2, 0.3]
        np.testing.assert_array_equal(column(units, "src_unitCount"), [5.0, 6.0, np.nan])

    def test_variables_with_more_than_a_value_a_unit_are_left_out_by_name(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0], [3.0]])
        matfile.put("waveform/raw", np.zeros((3, 61, 12)))
        recording = read(matfile.close())
        assert "left out of the units, not one value each: waveform/raw (12, 61, 3)" in recording.notes

    def test_waveforms_of_a_size_no_file_could_hold_are_left_out_and_noted(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0]])
        matfile.struct("waveform")
        matfile.file.create_dataset("waveform/mean_uV", shape=(10**9, 2), chunks=(2**20, 1), dtype="f8")
        recording = read(matfile.close())
        assert not recording.signals
        assert "/waveform/mean_uV announces 16000000000 bytes but stores 0" in " ".join(recording.notes)

    def test_mean_waveforms_are_a_signal_over_the_units(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0], [3.0]])
        shapes = np.random.default_rng(0).normal(size=(3, 7))  # units x samples in MATLAB
        matfile.put("waveform/mean_uV", shapes)
        signal = read(matfile.close()).signals["waveform_mean_uV"]
        np.testing.assert_array_equal(signal.data, shapes)
        assert (signal.dims, signal.unit) == (("unit", "sample"), "uV")

    def test_area_depth_place_and_probe_have_our_names_and_micrometres(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0], [3.0]])
        matfile.string("cell_area", ["dmFC", "", None])
        matfile.string("cell_hemi", ["L", "R", "L"])
        matfile.put("dist_from_tip_um", [100.0, 200.0, np.nan])
        matfile.struct("anatom_loc_mm")
        for name, values in (("AP", [1.9, 1.8, np.nan]), ("DV", [-2.0, -2.5, -3.0]), ("ML", [0.5, 0.5, 0.5])):
            matfile.put(f"anatom_loc_mm/{name}", values)
        matfile.put("meta/ap_meta/imDatPrb_sn", [18194819132.0])
        recording = read(matfile.close())
        assert column(recording, "region") == ["dmFC", None, None]
        assert column(recording, "src_cell_area") == ["dmFC", "", None]
        assert column(recording, "src_cell_hemi") == ["L", "R", "L"]
        assert column(recording, "depth_um") == [100.0, 200.0, None]
        assert column(recording, "x_um") == [1900.0, 1800.0, None]
        assert column(recording, "y_um") == [-2000.0, -2500.0, -3000.0]
        assert column(recording, "z_um") == [500.0] * 3
        assert column(recording, "probe") == ["18194819132"] * 3

    def test_single_units_are_good_and_the_others_mua_and_the_rule_says_so(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0]])
        matfile.logical("is_single", [True, False])
        recording = read(matfile.close())
        assert column(recording, "quality") == ["good", "mua"]
        assert set(column(recording, "quality_rule")) == {"the file's is_single: true is good, false is mua"}
        assert column(recording, "src_is_single") == [True, False]

    @pytest.mark.parametrize("write_rat", [lambda m: m.char("rat", ["K265"] * 3), lambda m: m.char("rat", ["K265"]), lambda m: m.cell("rat", ["K265"] * 3)])
    def test_the_animal_is_the_one_every_unit_names_and_the_variable_gives_its_species(self, matfile, read, write_rat):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0], [3.0]])
        write_rat(matfile)
        assert read(matfile.close()).subject == types.Subject("K265", "Rattus norvegicus")

    def test_units_of_two_animals_have_no_one_subject(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0]])
        matfile.char("rat", ["K265", "T181"])
        assert read(matfile.close()).subject == types.Subject(None, "Rattus norvegicus")

    def test_an_animal_numbered_not_named_is_its_number_as_text(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0]])
        matfile.put("monkey", np.array([7, 7], np.int32), "int32")
        assert read(matfile.close()).subject == types.Subject("7")

    def test_short_texts_are_what_the_file_says_of_itself_and_paths_stay_behind(self, matfile, read):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0]])
        matfile.char("recording_id", ["K265_2019_05_21 µ"])
        matfile.char("made_by", ["C:\\Users\\someone\\x.m"])
        matfile.char("log", ["/home/someone/log"])
        matfile.empty("userNotes", "char")
        assert read(matfile.close()).source == {"src_recording_id": "K265_2019_05_21 µ"}

    def test_a_string_that_cannot_be_found_is_noted_and_the_units_stand(self, matfile, ingest):
        matfile.cell("raw_spike_time_s", [[1.0], [2.0]])
        matfile.raw("cell_area", np.array([[OBJECT, 2, 1, 1, 3, 2]], np.uint32), "string")
        path = matfile.close()
        outcome = ingest(path)
        assert (outcome.status, outcome.n_spikes) == ("stored", 2)
        assert outcome.notes == (f"left out of the units: {path}: /cell_area is a MATLAB string whose text cannot be found (no object store in the file)",)

    def test_a_link_to_another_file_is_not_followed(self, matfile, tmp_path):
        other = MatFile(tmp_path / "other.mat")
        other.cell("spike_times", [[1.0]])
        other.close()
        matfile.file["spike_times"] = h5py.ExternalLink("other.mat", "/spike_times")
        path = matfile.close()
        with pytest.raises(NoEvents, match="cell arrays found: none"):
            readers.find(path)(path)


class TestFormat:
    def test_the_reader_is_found_by_the_header(self, matfile):
        matfile.cell("raw_spike_time_s", [[1.0]])
        path = matfile.close()
        assert readers.find(path.rename(path.with_suffix(".dat"))) == mat.cells()

    def test_a_matlab_5_file_without_a_mapping_is_refused_with_the_way_out(self, tmp_path):
        path = tmp_path / "old.mat"
        scipy.io.savemat(path, {"spikes": np.arange(3.0)})
        with pytest.raises(UnreadableFile, match=r"old\.mat: a MATLAB 5 file: say which array is what; it holds spikes \(1, 3\) float64"):
            readers.find(path)

    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
    def test_a_file_cut_anywhere_is_one_clear_error(self, matfile, ingest, share):
        matfile.cell("raw_spike_time_s", [np.arange(500.0), np.arange(300.0)])
        path = matfile.close()
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        outcome = ingest(path)
        assert outcome.status == "failed"
        assert "not a readable HDF5 file (truncated file" in outcome.error


def test_a_reader_prints_compares_and_hashes_as_a_value():
    assert mat.cells() == mat.cells()
    assert len({mat.cells(), mat.cells(), mat.cells(spikes="x")}) == 2
    assert "spikes='x'" in repr(mat.cells(spikes="x"))
