"""Files into Recordings: one module a format, and `find`, which tells from a file's first bytes whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuropile.errors import UnreadableFile

if TYPE_CHECKING:
    from neuropile.types import Reader

SUFFIXES = (".nwb", ".mat", ".h5", ".hdf5")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_KNOWN = "NWB 2.x (HDF5) and MATLAB 7.3"


def find(path: Path) -> Reader:
    """The reader that takes a file, by what the file is and not by its name.

    Raises
    ------
    UnreadableFile : missing, empty, or of no known format; the message names what it looks like
    """
    from neuropile.readers import h5, mat, nwb

    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    with open(path, "rb") as f:
        head = f.read(1024)
    if not head:
        raise UnreadableFile(f"{path}: the file is empty (0 bytes); fetch it again")
    if head.startswith(b"MATLAB 7.3 MAT-file"):
        return mat.cells()
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        raise UnreadableFile(f"{path}: a MATLAB 5 file; this version reads {_KNOWN}: save it in MATLAB with -v7.3")
    if head.startswith(_HDF5):
        with h5.opened(path) as file, file:
            if "nwb_version" in file.attrs or h5.kind(file) == "NWBFile":
                return nwb.units()
            names = ", ".join(list(file)[:10]) or "nothing"
        raise UnreadableFile(f"{path}: an HDF5 file that is neither NWB nor MATLAB 7.3 (it holds {names}); this version reads {_KNOWN}")
    raise UnreadableFile(f"{path}: begins with {head[:16]!r}, which is no format known here; this version reads {_KNOWN}")


def find_sources(path: Path) -> list[Path]:
    """A file itself, or the files in a folder whose name says a reader may take them, in sorted order.

    Raises
    ------
    UnreadableFile : there is no such path, or the folder holds none
    """
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise UnreadableFile(f"{path}: a folder without a file ending in {', '.join(SUFFIXES)}")
        return found
    if not path.exists():
        raise UnreadableFile(f"{path}: no such file or folder")
    return [path]
