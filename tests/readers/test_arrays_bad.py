"""Files of arrays that are damaged, or made to do harm: nothing in them runs, nothing is extracted, no size is believed."""

from __future__ import annotations

import io
import os
import re
import zipfile

import h5py
import numpy as np
import pytest
from test_mat5 import accept_only_a_recording_or_a_clear_error

from neuropile.errors import UnreadableFile
from neuropile.readers import arrays
from neuropile.readers.arrays import h5 as arrays_h5
from neuropile.readers.arrays import npz as arrays_npz

TIMES = arrays.mapped({"times": "t"})


class Bomb:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def npy(shape: str, dtype: str = "<f8", body: bytes = b"") -> bytes:
    """An .npy file with a header as it is told."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def zipped(path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return path


def error_of(path, reader=TIMES) -> str:
    with pytest.raises(UnreadableFile) as caught:
        reader(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestObjects:
    @pytest.mark.parametrize("suffix", ["npy", "npz"])
    def test_pickled_objects_never_run(self, tmp_path, suffix):
        proof = tmp_path / "ran"
        bomb = np.array([Bomb(f"touch {proof}")], object)
        path = tmp_path / f"a.{suffix}"
        if suffix == "npz":
            np.savez(path, t=bomb, good=np.arange(3.0))
        else:
            np.save(path, bomb, allow_pickle=True)
        name = "t" if suffix == "npz" else "array"
        assert "Python objects, which are programs and never opened" in error_of(path, arrays.mapped({"times": name}))
        assert (name, (1,), "object") in arrays.contents(path)
        assert "object" in arrays.suggest(path)
        assert not proof.exists()

    def test_objects_beside_the_spikes_do_not_matter(self, tmp_path):
        np.savez(tmp_path / "a.npz", t=np.arange(3.0), n=[1, 2], names=np.array(["a", None], object))
        with arrays.mapped({"times": "t", "counts": "n"})(tmp_path / "a.npz") as recording:
            assert recording.units.column_names == ["unit_id"]


class TestSizes:
    @pytest.mark.parametrize(
        ("shape", "words"),
        [
            ("(1000000000000,)", r"announces 8000000000000 bytes \(shape \(1000000000000,\), float64\) where 16 are"),
            ("(3,)", "announces 24 bytes"),
            ("(1,)", "announces 8 bytes"),
            ("(-2,)", "damaged"),
            (f"({10**40},)", "announces"),
            ("'x'", "damaged"),
            ("(((", "damaged"),
        ],
    )
    def test_an_array_that_announces_other_bytes_than_it_has_is_one_clear_error(self, tmp_path, shape, words):
        (tmp_path / "a.npy").write_bytes(npy(shape, body=bytes(16)))
        with pytest.raises(UnreadableFile, match=words):
            arrays.mapped({"times": "array"})(tmp_path / "a.npy")
        assert re.search(words, error_of(zipped(tmp_path / "a.npz", {"t.npy": npy(shape, body=bytes(16))})))

    def test_a_header_without_end_is_not_read(self, tmp_path):
        body = b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b" " * (1 << 20)
        (tmp_path / "a.npy").write_bytes(body)
        assert "a header of 2147483648 bytes" in error_of(tmp_path / "a.npy")
        assert "a header of 2147483648 bytes" in error_of(zipped(tmp_path / "a.npz", {"t.npy": body}))

    def test_a_zip_bomb_is_refused_by_its_ratio(self, tmp_path, monkeypatch):
        monkeypatch.setattr(arrays_npz, "_LARGE", 1 << 24)
        n = 1 << 26
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open("t.npy", "w") as member:
            member.write(npy(f"({n // 8},)"))
            for _ in range(n >> 24):
                member.write(bytes(1 << 24))
        assert "no recording compresses so; save it uncompressed" in error_of(tmp_path / "a.npz")

    def test_a_directory_that_lies_about_a_member_is_an_error(self, tmp_path):
        raw = bytearray(zipped(tmp_path / "a.npz", {"t.npy": npy("(2,)", body=bytes(16))}).read_bytes())
        at = raw.rindex(b"PK\x01\x02") + 24
        for size in (10, 2**31):
            raw[at : at + 4] = size.to_bytes(4, "little")
            (tmp_path / "a.npz").write_bytes(raw)
            error_of(tmp_path / "a.npz")

    def test_an_hdf5_dataset_of_nothing_that_announces_terabytes_is_refused(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("t", (10**12,), np.float64, chunks=(1000,))
        assert "announces 8000000000000 bytes but stores 0" in error_of(tmp_path / "a.h5") or "more than" in error_of(tmp_path / "a.h5")

    def test_references_that_lead_to_one_array_many_times_are_counted(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            one = file.create_dataset("one", data=np.zeros(1 << 20), compression="gzip")
            file.create_dataset("t", data=np.array([one.ref] * 500, h5py.ref_dtype))
        assert "bytes of values in a file of" in error_of(tmp_path / "a.h5")

    def test_groups_that_circle_end(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["t/x"] = np.arange(3.0)
            file["t/again"] = file["t"]
            file["t/more"] = file["t"]
        assert arrays.contents(tmp_path / "a.h5") == [("t/x", (3,), "float64")]
        with TIMES(tmp_path / "a.h5") as recording:
            assert recording.trains.read(0).tolist() == [0.0, 1.0, 2.0]

    def test_a_bush_of_links_is_not_walked_to_its_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr(arrays_h5, "_MAX_OBJECTS", 2000)
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for i in range(14):
                below = file.create_group(f"g{i}")
                if i:
                    below["a"] = below["b"] = file[f"g{i - 1}"]
            file["t"] = file["g13"]
        assert "name one of them" in error_of(tmp_path / "a.h5")
        with pytest.raises(UnreadableFile, match="name one of them"):
            arrays.contents(tmp_path / "a.h5")


class TestZips:
    def test_names_that_leave_the_folder_are_only_names(self, tmp_path):
        inner = tmp_path / "inner"
        inner.mkdir()
        path = zipped(inner / "a.npz", {"../../escaped.npy": npy("(2,)", body=bytes(16)), "t.npy": npy("(2,)", body=bytes(16))})
        with TIMES(path) as recording:
            assert recording.trains.n_units == 1
        assert [name for name, _, _ in arrays.contents(path)] == ["../../escaped", "t"]
        assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.npz", "inner"]

    def test_other_members_and_other_ways_of_compressing_are_not_numpys(self, tmp_path):
        path = zipped(tmp_path / "a.npz", {"readme.txt": b"hello", "t.npy": npy("(2,)", body=bytes(16))}, zipfile.ZIP_BZIP2)
        assert "compressed in a way NumPy does not" in error_of(path)
        assert arrays.contents(path) == [("t", (), "damaged")]

    def test_a_changed_byte_is_found_by_the_checksum(self, tmp_path):
        body = np.arange(100.0).tobytes()
        raw = bytearray(zipped(tmp_path / "a.npz", {"t.npy": npy("(100,)", body=body)}, zipfile.ZIP_STORED).read_bytes())
        raw[raw.index(body) + 50] ^= 1
        (tmp_path / "a.npz").write_bytes(raw)
        assert "t is damaged (BadZipFile: Bad CRC-32" in error_of(tmp_path / "a.npz")

    def test_a_truncated_zip_is_damaged(self, tmp_path):
        buffer = io.BytesIO()
        np.savez(buffer, t=np.arange(9.0))
        (tmp_path / "a.npz").write_bytes(buffer.getvalue()[:-30])
        assert "the zip is damaged" in error_of(tmp_path / "a.npz")


class TestHdf5:
    def test_values_in_other_files_are_not_read(self, tmp_path):
        with h5py.File(tmp_path / "secret.h5", "w") as file:
            file["t"] = np.arange(3.0)
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["t"] = h5py.ExternalLink("secret.h5", "t")
            file.create_dataset("raw", (3,), np.float64, external=[(str(tmp_path / "secret.h5"), 0, 24)])
        assert "no such array; the file holds no arrays" in error_of(tmp_path / "a.h5")
        assert "no such array" in error_of(tmp_path / "a.h5", arrays.mapped({"times": "raw"}))

    @pytest.mark.parametrize("content", [b"", b"spikes,unit\n0.1,3\n", b"PK\x03\x04", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n", b"MATLAB 5.0 MAT-file"])
    def test_a_file_of_another_kind_or_cut_short_is_one_clear_error(self, tmp_path, content):
        (tmp_path / "a.dat").write_bytes(content)
        for act in (TIMES, arrays.contents, arrays.suggest):
            with pytest.raises(UnreadableFile, match=re.escape(str(tmp_path / "a.dat"))):
                act(tmp_path / "a.dat")
        with pytest.raises(UnreadableFile, match="no such file"):
            arrays.contents(tmp_path / "none.npz")


@pytest.mark.parametrize("suffix", ["npz", "npy", "h5"])
def test_a_mutated_file_gives_a_recording_or_a_clear_error(tmp_path, suffix):
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, rng.integers(0, 2, (4, 60)))
    elif suffix == "npz":
        np.savez_compressed(path, t=rng.random(60), u=rng.integers(0, 4, 60))
    else:
        with h5py.File(path, "w") as file:
            file["t"], file["u"] = rng.random(60), rng.integers(0, 4, 60)
    mapping = {"matrix": "array", "bin": "0.02"} if suffix == "npy" else {"times": "t", "units": "u"}
    accept_only_a_recording_or_a_clear_error(path, mapping, tmp_path, 150)
