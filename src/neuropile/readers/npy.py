"""One .npy file opened safely: its header believed only where the file's size bears it out, objects refused."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np

from neuropile.errors import UnreadableFile

_MAX_HEADER_BYTES = 10_000


@dataclass(frozen=True)
class Header:
    """What an .npy file announces and where its values begin; made only of files that are large enough for it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    begins: int

    @property
    def n_bytes(self) -> int:
        """How many bytes the values take."""
        return math.prod(self.shape) * self.dtype.itemsize


def header(path: Any) -> Header:
    """The header of an .npy file, checked against the file's size; nothing of the values is read.

    Raises
    ------
    UnreadableFile : missing, no .npy file, truncated, of an absurd size, or of Python objects
    """
    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    size = int(path.stat().st_size)
    with path.open("rb") as f:
        return _header(f, path, size)


def _header(f: BinaryIO, path: Any, size: int) -> Header:
    try:
        version = np.lib.format.read_magic(f)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings(action="ignore"):  # headers written by Python 2, and odd escapes in damaged ones
            shape, fortran, dtype = read(f, max_header_size=_MAX_HEADER_BYTES)
    except (ValueError, TypeError, SyntaxError, TokenError, EOFError, RecursionError, MemoryError, OverflowError) as e:
        reason = (str(e).splitlines() or ["no reason given"])[0]
        raise UnreadableFile(f"{path}: not a readable .npy file ({reason}); fetch it again, or check its format") from None
    if dtype.hasobject:
        raise UnreadableFile(f"{path}: holds Python objects, which are never unpickled; save it as an array of numbers")
    found = Header(tuple(int(n) for n in shape), dtype, bool(fortran), f.tell())
    if not dtype.itemsize or any(n < 0 or n >= 2**62 for n in found.shape) or found.begins + found.n_bytes > size:
        told = f"announces an array of shape {found.shape} and type {dtype} ({found.n_bytes} bytes) but stores {max(size - found.begins, 0)}"
        raise UnreadableFile(f"{path}: {told}: the file is truncated or damaged; fetch it again")
    return found


def load(path: Any) -> np.ndarray:
    """The array of an .npy file: mapped into memory, read-only, where the file is local; read where it is remote.

    Raises
    ------
    UnreadableFile : see header
    """
    found = header(path)
    order: Any = "F" if found.fortran else "C"
    if not found.n_bytes:
        if max(found.shape, default=0) > 2**31:
            raise UnreadableFile(f"{path}: announces an array of shape {found.shape}, which holds nothing: the file is damaged; fetch it again")
        return np.empty(found.shape, found.dtype)
    if isinstance(path, Path):
        return np.memmap(path, found.dtype, mode="r", offset=found.begins, shape=found.shape, order=order)
    with path.open("rb") as f:
        f.seek(found.begins)
        return np.frombuffer(f.read(found.n_bytes), found.dtype).reshape(found.shape, order=order)


def vector(path: Any) -> np.ndarray:
    """The array of an .npy file as one row of numbers: (n,), (n, 1) and (1, n) are the same.

    Raises
    ------
    UnreadableFile : see header; or the array has several axes, or holds no numbers
    """
    values = load(path)
    if values.dtype.kind not in "iufb" or sum(n != 1 for n in values.shape) > 1:
        raise UnreadableFile(f"{path}: holds an array of shape {values.shape} and type {values.dtype}, not one row of numbers")
    return values.reshape(-1)
