"""A file of arrays opened by what its first bytes say it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from neuropile.errors import UnreadableFile
from neuropile.readers.arrays.held import Source

_HDF5 = b"\x89HDF\r\n\x1a\n"


@contextmanager
def opened(path: Any) -> Iterator[Source]:
    """A file's arrays while the block runs.

    Raises
    ------
    UnreadableFile : missing, empty, damaged, or of another kind
    """
    source = _open(path)
    try:
        yield source
    finally:
        source.close()


def _open(path: Any) -> Source:
    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(520)
    if not head:
        raise UnreadableFile(f"{path}: the file is empty (0 bytes); fetch it again")
    if head.startswith(b"\x93NUMPY"):
        from neuropile.readers.arrays.npz import Npy

        return Npy(path)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        from neuropile.readers.arrays.npz import Npz

        return Npz(path)
    if head.startswith((_HDF5, b"MATLAB 7.3 MAT-file")) or head[512:] == _HDF5:
        from neuropile.readers.arrays.h5 import Hdf5

        return Hdf5(path, matlab=head.startswith(b"MATLAB"))
    if head.startswith(b"MATLAB 5.0") or head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        from neuropile.readers.arrays.mat5 import Mat5

        return Mat5(path)
    raise UnreadableFile(f"{path}: begins with {head[:16]!r}; a mapping reads MATLAB, HDF5, .npy and .npz files")
