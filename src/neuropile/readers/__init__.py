"""Sources into Recordings: a package a format, and `find`, which tells by what a source is whose it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from neuropile import remote
from neuropile.errors import NeuropileError, UnreadableFile
from neuropile.readers import source_name

if TYPE_CHECKING:
    from neuropile.types import Reader

#: The files that are looked for in folders; .npy, of which a folder may hold thousands, only where a mapping says what is in them.
SUFFIXES = (".nwb", ".mat", ".h5", ".hdf5", ".npz")
MAPPED_SUFFIXES = (*SUFFIXES, ".npy")
_NO_LISTING = " (a plain web server lists no folders: give the address of one file, or copy the folder here)"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_NUMPY = {b"\x93NUMPY": "NumPy array", b"PK\x03\x04": "zip file, as NumPy's .npz are"}
_KNOWN = "NWB 2.x (HDF5 or Zarr), ALF session folders, Kilosort and phy folders, MATLAB 7.3 spike cells and, with a mapping, MATLAB, HDF5, .npy and .npz"


def find(path: Any, *, sample_rate: Fraction | float | None = None, mapping: Mapping[str, str] | None = None, upstream: bool = False) -> Reader:
    """The reader that takes a source, by what it is and not by its name.

    Parameters
    ----------
    path : a file, or a folder that is one session; a Path or, for what lies far away, a UPath
    sample_rate : samples a second, where the source counts in samples and does not say
    mapping : which array is what, for files of arrays; NWB files and session folders need none. See docs/explain/mapping.md
    upstream : read it as the published neural-pile scripts do

    Raises
    ------
    UnreadableFile : missing, empty, or of no known format; the message names what it looks like
    """
    from neuropile.readers import published_rows

    if isinstance(path, published_rows.Session) and not upstream:
        return published_rows.rows()
    reader = _find(path, sample_rate, mapping)
    if not upstream:
        return reader
    from neuropile.readers import nwb
    from neuropile.readers import upstream as published

    if not isinstance(reader, nwb.NwbUnits):
        raise UnreadableFile(f"{path}: the published scripts read NWB files, this is read by {reader!r}; ingest it without --compat upstream")
    return published.counts(reader)


def _find(path: Any, sample_rate: Fraction | float | None, mapping: Mapping[str, str] | None) -> Reader:
    found = None if _is_file(path) else _folder(path, sample_rate)
    if found is not None:
        return found
    if not _is_file(path):
        if not path.is_dir():
            raise UnreadableFile(f"{path}: no such file or folder")
        raise UnreadableFile(f"{path}: a folder that is no session of a known form; this version reads {_KNOWN}")
    head = _head(path)
    if mapping and _holds_arrays(path, head):
        from neuropile.readers import arrays

        return arrays.mapped(mapping, sample_rate=sample_rate)
    return _file(path, head)


def _holds_arrays(path: Any, head: bytes) -> bool:
    """Whether a file is one that a mapping may be for: MATLAB, NumPy, or HDF5 that is not NWB."""
    if head.startswith((b"MATLAB 7.3 MAT-file", b"MATLAB 5.0 MAT-file", *_NUMPY)):
        return True
    return head.startswith(_HDF5) and not _is_nwb(path)


def _is_nwb(path: Any) -> bool:
    from neuropile.readers import h5

    with h5.opened(path) as file, file:
        return "nwb_version" in file.attrs or h5.kind(file) == "NWBFile"


def _is_file(path: Any) -> bool:
    """Whether a path is a file; a URL that cannot be asked is one unless it looks like a Zarr folder."""
    if remote.can_list(path):
        return bool(path.is_file())
    return source_name.has_query(path) or source_name.plain(path).suffix != ".zarr"


def _head(path: Any) -> bytes:
    if not remote.is_remote(path):
        with open(path, "rb") as f:
            return f.read(1024)
    try:
        return remote.persist(lambda: path.fs.cat_file(path.path, start=0, end=1024), path)[:1024]
    except FileNotFoundError:
        raise UnreadableFile(f"{path}: no such file{'' if remote.can_list(path) else _NO_LISTING}") from None


def _folder(path: Any, sample_rate: Fraction | float | None) -> Reader | None:
    """The reader of a folder that is one session, or None."""
    from neuropile.readers import alf, kilosort, nwb

    if nwb.takes(path):
        return nwb.units()
    if not remote.can_list(path):
        return None
    if kilosort.takes(path):
        return kilosort.folder(sample_rate=sample_rate)
    return alf.session() if alf.takes(path) else None


def _file(path: Any, head: bytes) -> Reader:
    from neuropile.readers import mat, nwb

    if not head:
        raise UnreadableFile(f"{path}: the file is empty (0 bytes); fetch it again")
    if head.startswith(b"MATLAB 7.3 MAT-file"):
        return mat.cells()
    if head.startswith(b"MATLAB 5.0 MAT-file"):
        raise UnreadableFile(f"{path}: a MATLAB 5 file: say which array is what; {_suggestion(path)}")
    if head.startswith(_HDF5):
        if _is_nwb(path):
            return nwb.units()
        raise UnreadableFile(f"{path}: an HDF5 file that is neither NWB nor MATLAB 7.3: say which array is what; {_suggestion(path)}")
    for magic, what in _NUMPY.items():
        if head.startswith(magic):
            raise UnreadableFile(f"{path}: a {what}: say which array is what; {_suggestion(path)}")
    if head.startswith(b"PAR1"):
        raise UnreadableFile(f"{path}: a Parquet file, which alone is no session; of an ALF table give the session's folder")
    if not remote.can_list(path) and head.lstrip()[:1] == b"<":
        raise UnreadableFile(f"{path}: a web page, not a recording{_NO_LISTING}")
    raise UnreadableFile(f"{path}: begins with {head[:16]!r}, which is no format known here; this version reads {_KNOWN}")


def _suggestion(path: Any) -> str:
    from neuropile.readers import arrays

    try:
        return arrays.suggest(path)
    except NeuropileError as e:
        return str(e)


def find_sources(path: Any, *, mapped: bool = False) -> list[Any]:
    """What there is to read at a path: itself, or in a folder every session folder and every file whose name fits, sorted.

    mapped : look for the files that a mapping can read too

    Raises
    ------
    UnreadableFile : there is no such path, or the folder holds nothing to read
    """
    if not remote.can_list(path) or path.is_file():
        return [path]
    if not path.is_dir():
        raise UnreadableFile(f"{path}: no such file or folder")
    if _may_hold_rows(path):
        from neuropile.readers import published_rows

        if published_rows.takes(path):
            return list(published_rows.sessions(path))
    suffixes = MAPPED_SUFFIXES if mapped else SUFFIXES
    found = list(_sources(path, suffixes, mapped))
    if not found:
        raise UnreadableFile(f"{path}: a folder without a session folder (ALF, Kilosort, NWB in Zarr) or a file ending in {', '.join(suffixes)}")
    return found


def _may_hold_rows(folder: Any) -> bool:
    """Whether a folder looks like a data set of rows: a repository of the Hub, or Parquet files beside a card or in data/."""
    return (remote.is_remote(folder) and folder.protocol == "hf") or (folder / "data").is_dir() or (folder / "README.md").is_file()


def _sources(folder: Any, suffixes: tuple[str, ...], mapped: bool) -> Iterator[Any]:
    if _folder(folder, None) is not None:
        yield folder
        return
    for child in sorted(folder.iterdir(), key=lambda p: p.name):
        if child.is_dir():
            if not child.name.startswith(".") and not _is_link(child):
                yield from _sources(child, suffixes, mapped)
        elif child.suffix.lower() in suffixes and child.is_file():
            yield child


def _is_link(path: Any) -> bool:
    """Whether a folder is a symbolic link, which may lead in a circle or out."""
    return not remote.is_remote(path) and bool(path.is_symlink())
