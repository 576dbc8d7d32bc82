"""The text of MATLAB string arrays, from literal words and from whole files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matfile import MISSING, OBJECT, packed

from neuropile.errors import UnreadableFile
from neuropile.readers.mat import mcos


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
