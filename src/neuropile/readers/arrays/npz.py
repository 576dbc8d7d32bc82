"""NumPy's .npy and .npz, whose headers are checked against the bytes that are there; nothing is unpickled or extracted."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers import source_name
from neuropile.readers.arrays.held import Held, Leaf, Source

_MAX_HEADER = 1 << 16
#: A member of more bytes than this must be stored in at least a so-manieth of them: arrays of spikes reach some hundreds.
_LARGE = 1 << 28
_MAX_RATIO = 512
_MAX_MEMBERS = 100_000


def header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether the first axis runs fastest, dtype and bytes of the header of an array; the file then stands at its values."""
    magic = file.read(8)
    if len(magic) < 8 or magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise ValueError("not NumPy's array format")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_HEADER:
        raise ValueError(f"a header of {length} bytes")
    text = file.read(length)
    whole = io.BytesIO(length.to_bytes(width, "little") + text)
    read = np.lib.format.read_array_header_1_0 if magic[6] == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(whole)
    if min(shape, default=0) < 0:
        raise ValueError(f"a shape of {shape}")
    return shape, fortran, dtype, 8 + width + length


@contextmanager
def _clear(path: Any, what: str) -> Iterator[None]:
    try:
        yield
    except UnreadableFile:
        raise
    except Exception as e:  # what zipfile, zlib, tokenize, ast and numpy make of damaged bytes, whatever it is
        said = str(e).splitlines()[0] if str(e) else "no reason given"
        raise UnreadableFile(f"{path}: {what} is damaged ({type(e).__name__}: {said[:200]}); fetch it again") from None


def _check(path: Any, what: str, shape: tuple[int, ...], dtype: np.dtype, n_there: int) -> None:
    """Refuse objects, and an array that announces other bytes than are there."""
    if dtype.hasobject:
        raise UnreadableFile(f"{path}: {what} holds Python objects, which are programs and never opened; save it as plain numbers or text")
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes != n_there:
        raise UnreadableFile(f"{path}: {what} announces {n_bytes} bytes (shape {shape}, {dtype}) where {n_there} are: it is damaged; fetch it again")


class Npy(Source):
    """One .npy file, whose only array is called `array`."""

    NAME = "array"

    def __init__(self, path: Any) -> None:
        self.path = path
        with _clear(path, "the array"), path.open("rb") as file:
            self._shape, self._fortran, self._dtype, self._at = header(file)

    def contents(self) -> list[Held]:
        """See Source."""
        return [Held(self.NAME, self._shape, str(self._dtype) if not self._dtype.hasobject else "object")]

    def leaves(self, names: list[str]) -> list[Leaf]:
        """See Source."""
        if not names or names[0] not in (self.NAME, source_name.plain(self.path).stem):
            return []
        _check(self.path, "the array", self._shape, self._dtype, self.path.stat().st_size - self._at)
        with _clear(self.path, "the array"):
            return self.fields(self._values(), names[1:])

    def _values(self) -> np.ndarray:
        if isinstance(self.path, Path) and 0 not in self._shape and self._dtype.itemsize:
            return np.memmap(self.path, self._dtype, "r", self._at, self._shape, "F" if self._fortran else "C")
        return _shaped(self.path.read_bytes()[self._at :], self._shape, self._fortran, self._dtype)


def _shaped(raw: bytes, shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> np.ndarray:
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


class Npz(Source):
    """An .npz file: a zip of arrays, each read in memory when it is asked for."""

    def __init__(self, path: Any) -> None:
        self.path = path
        with _clear(path, "the zip"):
            self._file = path.open("rb")
            try:
                self._zip = zipfile.ZipFile(self._file)
            except BaseException:
                self._file.close()
                raise
        members = [m for m in self._zip.infolist() if m.filename.endswith(".npy")]
        self._members = {m.filename.removesuffix(".npy"): m for m in members[:_MAX_MEMBERS]}

    def close(self) -> None:
        """See Source."""
        self._zip.close()
        self._file.close()

    def contents(self) -> list[Held]:
        """See Source."""
        found = []
        for name, member in self._members.items():
            try:
                with self._open(name, member) as file:
                    shape, _, dtype, _ = header(file)
            except UnreadableFile:
                found.append(Held(name, (), "damaged"))
            else:
                found.append(Held(name, shape, "object" if dtype.hasobject else str(dtype)))
        return found

    def leaves(self, names: list[str]) -> list[Leaf]:
        """See Source."""
        # a member's name may hold slashes itself
        for n in range(len(names), 0, -1):
            name = "/".join(names[:n])
            if name in self._members:
                return self.fields(self._read(name, self._members[name]), names[n:])
        return []

    @contextmanager
    def _open(self, name: str, member: zipfile.ZipInfo) -> Iterator[Any]:
        with _clear(self.path, name):
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("compressed in a way NumPy does not")
            with self._zip.open(member) as file:
                yield file

    def _read(self, name: str, member: zipfile.ZipInfo) -> np.ndarray:
        if member.file_size > max(_LARGE, _MAX_RATIO * member.compress_size):
            said = f"announces {member.file_size} bytes from {member.compress_size}"
            raise UnreadableFile(f"{self.path}: {name} {said}: no recording compresses so; save it uncompressed")
        with self._open(name, member) as file:
            shape, fortran, dtype, at = header(file)
            _check(self.path, name, shape, dtype, member.file_size - at)
            return _shaped(file.read(), shape, fortran, dtype)
