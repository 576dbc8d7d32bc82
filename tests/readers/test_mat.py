"""MATLAB 7.3 files, written with h5py in the layout MATLAB gives them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile import readers, types
from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers import mat, mcos

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Sun Mar 15 13:21:11 2020 HDF5 schema 1.00 ."
OBJECT = 0xDD000000
MISSING = 2**64 - 1


def packed(texts: list[str | None], dims: tuple[int, ...] | None = None) -> np.ndarray:
    """A MATLAB string array as MATLAB saves it: sizes, lengths, then UTF-16 four units a word."""
    units = b"".join(t.encode("utf-16-le") for t in texts if t is not None)
    lengths = [MISSING if t is None else len(t.encode("utf-16-le")) // 2 for t in texts]
    dims = (len(texts), 1) if dims is None else dims
    head = np.array([1, len(dims), *dims, *lengths], np.uint64)
    return np.concatenate([head, np.frombuffer(units + bytes(-len(units) % 8), np.uint64)])


class MatFile:
    """Writes variables as MATLAB does: axes reversed, a class on each, cells as references into `#refs#`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = h5py.File(path, "w", userblock_size=512)
        self.strings: list[tuple[str, np.ndarray]] = []

    def put(self, name: str, values, kind: str = "double", **attributes) -> h5py.Dataset:
        """A numeric matrix; a plain list is an n x 1 column, which HDF5 holds as (1, n)."""
        values = np.asarray(values)
        dataset = self.file.create_dataset(name, data=values.T if values.ndim > 1 else values.reshape(1, -1))
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        dataset.attrs.update(attributes)
        return dataset

    def empty(self, name: str, kind: str = "double") -> h5py.Dataset:
        return self.raw(name, np.zeros(2, np.uint64), kind, MATLAB_empty=np.uint8(1))

    def raw(self, name: str, data, kind: str, **attributes) -> h5py.Dataset:
        dataset = self.file.create_dataset(name, data=data)
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        dataset.attrs.update(attributes)
        return dataset

    def char(self, name: str, rows: list[str]) -> h5py.Dataset:
        """A char matrix of rows of one length, as uint16 code units."""
        codes = np.array([np.frombuffer(r.encode("utf-16-le"), np.uint16) for r in rows])
        return self.raw(name, codes.T, "char", MATLAB_int_decode=np.int32(2))

    def logical(self, name: str, values: list[bool]) -> h5py.Dataset:
        return self.put(name, np.array(values, np.uint8), "logical", MATLAB_int_decode=np.int32(1))

    def struct(self, name: str) -> None:
        self.file.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")

    def cell(self, name: str, items: list) -> h5py.Dataset:
        """A cell array: numbers as n x 1 columns, texts as chars, None as an empty matrix."""
        made = []
        for i, item in enumerate(items):
            inner = f"#refs#/{name.replace('/', '_')}_{i}"
            made.append(self.empty(inner) if item is None or len(item) == 0 else self.char(inner, [item]) if isinstance(item, str) else self.put(inner, item))
        refs = np.array([m.ref for m in made], dtype=h5py.ref_dtype).reshape(1, -1)
        return self.raw(name, refs, "cell")

    def string(self, name: str, texts: list[str | None]) -> None:
        """A string array; its text goes to the object store when the file is closed."""
        self.strings.append((name, packed(texts)))
        head = np.array([[OBJECT, 2, 1, 1, len(self.strings) + 1, 2]], np.uint32)
        self.raw(name, head, "string", MATLAB_object_decode=np.int32(3))

    def close(self) -> Path:
        if self.strings:
            self._object_store()
        self.file.close()
        with open(self.path, "r+b") as f:
            f.write(HEADER.ljust(124) + b"\x00\x02IM")
        return self.path

    def _object_store(self) -> None:
        n = len(self.strings)
        names = b"any\0string\0datetime\0".ljust(24, b"\0")
        classes = np.array([0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0], "<i4").tobytes()
        saved = np.array([0, 0] + [v for i in range(n) for v in (1, 1, 1, i)], "<i4").tobytes()
        date = [1, 0, 0, 0, 1, 1]  # an object of another class, saved elsewhere, stands before the strings
        objects = np.array([[0] * 6, date, *([2, 0, 0, i + 1, 0, i + 2] for i in range(n))], "<i4").tobytes()
        ends = np.cumsum([40 + len(names), len(classes), len(saved), len(objects), 8, 8])
        head = np.array([3, 3, *ends, 0, 0], "<i4").tobytes()
        tables = np.frombuffer(head + names + classes + saved + objects + bytes(16), np.uint8)
        cells = [self.raw("#refs#/tables", tables[None], "uint8"), self.empty("#refs#/none", "canonical empty")]
        cells += [self.raw(f"#refs#/text{i}", text.reshape(-1, 1), "uint64") for i, (_, text) in enumerate(self.strings)]
        refs = np.array([c.ref for c in cells], dtype=h5py.ref_dtype).reshape(1, -1)
        self.raw("#subsystem#/MCOS", refs, "FileWrapper__", MATLAB_object_decode=np.int32(3))


@pytest.fixture
def matfile(tmp_path) -> MatFile:
    return MatFile(tmp_path / "K265_Cells.mat")


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

    def test_a_matlab_5_file_is_refused_with_the_way_out(self, tmp_path):
        scipy_io = pytest.importorskip("scipy.io")
        path = tmp_path / "old.mat"
        scipy_io.savemat(path, {"spikes": np.arange(3.0)})
        with pytest.raises(UnreadableFile, match=r"old\.mat: a MATLAB 5 file; .*: save it in MATLAB with -v7\.3"):
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


class TestStrings:
    """The text of MATLAB string arrays, packed by MATLAB into 64-bit words."""

    def test_a_literal_array_gives_its_text(self):
        area = np.array([1, 2, 2, 1, 2, 3, 0x0074_0053_006E_0045, 0x72], np.uint64)  # ["En"; "Str"] in UTF-16: 'E n S t', 'r'
        assert mcos._decode(area) == ["En", "Str"]

    def test_missing_and_empty_strings_are_told_apart(self):
        cell = np.array([1, 2, 4, 1, 1, MISSING, 0, 1, 0x0042_0041], np.uint64)
        assert mcos._decode(cell) == ["A", None, "", "B"]

    def test_no_strings_are_an_empty_list(self):
        assert mcos._decode(np.array([1, 2, 0, 1], np.uint64)) == []

    def test_non_ascii_text_is_read_as_utf_16(self):
        assert mcos._decode(packed(["µm", "大脑皮层", "🐀", "naïve"])) == ["µm", "大脑皮层", "🐀", "naïve"]

    @given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=12))
    def test_whatever_is_packed_comes_back(self, texts):
        assert mcos._decode(packed(texts)) == texts

    def test_a_matrix_of_strings_comes_in_matlabs_column_order(self):
        assert mcos._decode(packed(["a", "b", "c", "d", "e", "f"], dims=(3, 2))) == ["a", "b", "c", "d", "e", "f"]

    @pytest.mark.parametrize(
        ("cell", "why"),
        [
            (np.array([2, 2, 1, 1, 1, 65], np.uint64), "not a packed string"),
            (np.array([1.0, 2, 1, 1, 1, 65]), "not a packed string"),
            (np.array([1, 2, 3, 1, 1], np.uint64), "3 strings announced, 1 there"),
            (np.array([1, 2, 2**40, 2**40, 1], np.uint64), "strings announced, 1 there"),
            (np.array([1, 2, 1, 1, 9, 65], np.uint64), "text ends early"),
            (np.array([1, 2, 1, 1, 2**63, 65], np.uint64), "text ends early"),
            (np.array([1, 2**60, 1], np.uint64), "dimensions"),
        ],
    )
    def test_a_packing_that_contradicts_itself_is_refused(self, cell, why):
        with pytest.raises(ValueError, match=why):
            mcos._decode(cell)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda m: m.file["cell_area"].write_direct(np.array([[OBJECT, 2, 1, 1, 40, 1]], np.uint32)),
            lambda m: m.file["cell_area"].write_direct(np.array([[1, 2, 1, 1, 1, 1]], np.uint32)),
            lambda m: m.file["#refs#/text0"].write_direct(np.zeros(m.file["#refs#/text0"].shape, np.uint64)),
            lambda m: m.file["#refs#/tables"].write_direct(np.full(m.file["#refs#/tables"].shape, 255, np.uint8)),
            lambda m: m.file["#refs#/tables"].write_direct(np.zeros(m.file["#refs#/tables"].shape, np.uint8)),
            lambda m: m.file.__delitem__("#refs#/text0"),
        ],
        ids=["no such object", "no object", "no packing", "tables of ones", "tables of zeros", "no text"],
    )
    def test_a_damaged_object_store_is_one_clear_error(self, matfile, damage):
        matfile.string("cell_area", ["M1", "S1"])
        matfile._object_store()
        matfile.strings = []
        damage(matfile)
        path = matfile.close()
        with h5py.File(path) as f, pytest.raises(UnreadableFile, match="/cell_area is a MATLAB string whose text cannot be found"):
            mcos.read_strings(f["cell_area"])

    def test_a_block_of_negative_length_is_refused_not_walked_in_circles(self):
        with pytest.raises(ValueError, match="a block of negative length"):
            mcos._block(np.array([1, 0, 0, 0, -2, 0], np.int32), 10_000)

    def test_each_of_many_strings_finds_its_own_text(self, matfile):
        texts = {f"s{i}": [f"{i}", "x" * i] for i in range(7)}
        for name, values in texts.items():
            matfile.string(name, values)
        path = matfile.close()
        with h5py.File(path) as f:
            assert {name: mcos.read_strings(f[name]) for name in texts} == texts


def test_a_reader_prints_compares_and_hashes_as_a_value():
    assert mat.cells() == mat.cells()
    assert len({mat.cells(), mat.cells(), mat.cells(spikes="x")}) == 2
    assert "spikes='x'" in repr(mat.cells(spikes="x"))
