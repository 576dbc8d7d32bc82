"""Arrays in .npy files: what numpy wrote comes back, what lies about itself is refused before anything is allocated."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from upath import UPath

from neuropile.errors import UnreadableFile
from neuropile.readers import npy


def saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def header(descr: str, shape: object, order: bool = False) -> bytes:
    """A header of version 1.0 that announces anything."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


ARRAYS = hnp.arrays(
    st.one_of(hnp.integer_dtypes(), hnp.floating_dtypes(sizes=(32, 64)), hnp.boolean_dtypes()), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
)


@given(ARRAYS, st.booleans())
def test_any_array_comes_back_from_disk_and_from_afar(tmp_path, array, fortran):
    array = np.asfortranarray(array) if fortran else array
    (tmp_path / "a.npy").write_bytes(saved(array))
    UPath("memory://test-npy/a.npy").write_bytes(saved(array))
    for path in (tmp_path / "a.npy", UPath("memory://test-npy/a.npy")):
        found = npy.load(path)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_both_versions_of_the_header_are_read(tmp_path, version):
    with open(tmp_path / "a.npy", "wb") as f:
        np.lib.format.write_array(f, np.arange(5), version=version)
    assert npy.load(tmp_path / "a.npy").tolist() == [0, 1, 2, 3, 4]


def test_a_local_array_is_mapped_and_cannot_be_changed(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5))
    found = npy.load(tmp_path / "a.npy")
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a readable .npy file"),
        (b"1, 2, 3", "not a readable .npy file"),
        (saved(np.arange(9))[:60], "not a readable .npy file"),
        (saved(np.arange(9))[:-8], r"announces an array of shape \(9,\) and type int64 \(72 bytes\) but stores 64: the file is truncated or damaged"),
        (header("'<f8'", "(10**13,)") + bytes(900), "not a readable .npy file"),
        (header("'<f8'", "(10000000000000,)") + bytes(900), r"\(80000000000000 bytes\) but stores 900"),
        (header("'<f8'", "(-5,)") + bytes(900), "truncated or damaged"),
        (header("'<f8'", "(0, 99999999999999999999999)"), "truncated or damaged"),
        (header("'<f8'", "(0, 99999999999)"), "which holds nothing: the file is damaged"),
        (header("'|V0'", "(99999999999,)"), "truncated or damaged"),
        (header("__import__('os').system('touch broken')", "(3,)") + bytes(24), "not a readable .npy file"),
        (header("'<f8'", "(3,) {[("), "not a readable .npy file"),
        (header("'O'", "(3,)") + bytes(24), "holds Python objects, which are never unpickled"),
        (header("[('a', 'O')]", "(3,)") + bytes(24), "holds Python objects"),
    ],
)
def test_a_file_that_is_no_array_or_lies_about_its_size_is_one_clear_error(tmp_path, content, words):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UnreadableFile, match=words) as caught:
        npy.load(tmp_path / "a.npy")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npy'}: ")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnreadableFile, match=r"a\.npy: no such file"):
        npy.load(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 3)])
def test_one_row_of_numbers_is_the_same_however_it_lies(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.array([1, 2, 3]).reshape(shape))
    assert npy.vector(tmp_path / "a.npy").tolist() == [1, 2, 3]


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.array(["a"]), np.zeros(3, complex), np.zeros(2, "M8[s]")])
def test_anything_else_is_no_row_of_numbers(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UnreadableFile, match="not one row of numbers"):
        npy.vector(tmp_path / "a.npy")


def test_a_header_written_by_python_2_is_read_without_a_word(tmp_path):
    (tmp_path / "a.npy").write_bytes(header("'<i8'", "(2L,)") + np.array([4, 5]).tobytes())
    assert npy.load(tmp_path / "a.npy").tolist() == [4, 5]
