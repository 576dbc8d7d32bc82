"""What libhdf5 reads from: damage it would never return from is refused, everything else comes through unchanged."""

from __future__ import annotations

import gc
import io
import multiprocessing
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from neuropile.errors import UnreadableFile
from neuropile.readers import h5
from neuropile.readers.h5 import source as h5_source

#: A read that has not come back by now never will.
LIMIT_S = 20


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file with many texts and lists, compressed and not, in groups and attributes, behind a user block."""
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        for n in (1, 10, 1000):
            file.create_dataset(f"a{n}", data=["text " * (i % 7) for i in range(n)], dtype=h5py.string_dtype())
            file.create_dataset(f"b{n}", data=[f"{i}" for i in range(n)], dtype=h5py.string_dtype(), chunks=(n,), compression="gzip")
            file[f"a{n}"].attrs["told"] = "x" * n
        rows = file.create_dataset("rows", (50,), h5py.vlen_dtype(np.float64))
        for i in range(50):
            rows[i] = np.arange(i * 20.0)
    return path


def _stop_the_walk(path: Path) -> int:
    """Make the second object of the first collection one of number 0 and size 0; gives the collection's place."""
    data = bytearray(path.read_bytes())
    start = data.index(b"GCOL")
    first = int.from_bytes(data[start + 24 : start + 32], "little")
    at = start + 32 + (first + 7) // 8 * 8
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)
    return start


def _read_all(path: Path, told: multiprocessing.SimpleQueue) -> None:
    try:
        with h5.opened(path) as file:
            for name in file:
                _ = file[name][()], dict(file[name].attrs)
    except UnreadableFile as e:
        told.put(str(e))
    else:
        told.put("read")


def test_a_collection_that_never_ends_is_an_error_at_once_and_again(texts: Path) -> None:
    start = _stop_the_walk(texts)
    context = multiprocessing.get_context("forkserver")
    told = context.SimpleQueue()
    process = context.Process(target=_read_all, args=(texts, told), daemon=True)
    process.start()
    process.join(LIMIT_S)
    hangs = process.is_alive()
    process.kill()
    assert not hangs
    assert f"the texts and lists at byte {start} are damaged" in told.get()


def test_every_value_is_what_h5py_alone_reads(texts: Path) -> None:
    with h5py.File(texts) as plain, h5.open_file(texts) as file:
        assert file.filename == str(texts)
        for name in plain:
            for mine, theirs in zip(np.ravel(file[name][()]), np.ravel(plain[name][()]), strict=True):
                np.testing.assert_array_equal(mine, theirs)
            assert dict(file[name].attrs) == dict(plain[name].attrs)


class Held(h5_source.Source):
    """Bytes at hand, and the places where a collection was looked at."""

    def __init__(self, data: bytes) -> None:
        super().__init__("held", len(data))
        self.data = data

    def read_at(self, at: int, n: int) -> bytes:
        return self.data[at : at + n]


GOOD = b"GCOL\x01\0\0\0" + (4096).to_bytes(8, "little") + b"\x01\0\0\0\0\0\0\0" + (5).to_bytes(8, "little") + b"hello\0\0\0"
FREE = bytes(8) + (4096 - 40).to_bytes(8, "little")


@pytest.mark.parametrize("cut", range(20))
def test_a_collection_is_found_wherever_a_read_begins(cut: int) -> None:
    source = Held(bytes(100) + GOOD + bytes(8292))

    def read() -> None:
        source.seek(0)
        source.read(100 + cut)
        source.read(4096)

    for _ in range(2):  # a reader that goes on all the same is told again
        with pytest.raises(UnreadableFile, match="at byte 100 are damaged"):
            read()


@pytest.mark.parametrize("data", [GOOD + FREE + bytes(5000), b"GCOL\x01\0\0\0" + bytes(5000), GOOD[:8] + b"\xff" * 8 + bytes(5000), GOOD[:30], b"GCOL"])
def test_what_is_whole_or_no_collection_is_let_through(data: bytes) -> None:
    assert Held(data).read(len(data)) == data


@pytest.mark.parametrize(("at", "read"), [(1, b"bc\0\0"), (3, bytes(4)), (2**63, bytes(4)), (2**64 - 2, bytes(4))])
def test_beyond_the_end_there_are_zeros_as_libhdf5_has_it(tmp_path: Path, at: int, read: bytes) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    for source in (Held(b"abc"), h5_source.Local(tmp_path / "abc")):
        source.seek(at)
        assert source.read(4) == read


def test_a_thread_that_brings_bytes_never_waits_for_h5py(tmp_path: Path) -> None:
    """h5py holds its lock while it reads: garbage of its own, collected by who brings the bytes, would stop both for ever."""
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["x"] = np.arange(10)
    waited = []

    class Far:
        def __init__(self) -> None:
            self.file = io.BytesIO((tmp_path / "a.h5").read_bytes())
            self.size = len(self.file.getvalue())

        def open(self, *_: object, **__: object) -> Far:
            return self

        def seek(self, at: int) -> None:
            self.file.seek(at)

        def read(self, n: int) -> bytes:
            garbage: list[object] = [h5py.h5s.create_simple((1,))]
            garbage.append(garbage)
            del garbage
            server = threading.Thread(target=lambda: [[] for _ in range(200_000)], daemon=True)  # enough to have garbage collected
            server.start()
            server.join(5)
            waited.append(server.is_alive())
            return self.file.read(n)

    with h5py.File(h5_source.Remote(Far()), "r") as f:
        assert f["x"][:].tolist() == list(range(10))
    assert waited
    assert not any(waited)
    assert gc.isenabled()
