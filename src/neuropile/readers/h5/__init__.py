"""HDF5 for the readers: files opened with a clear error, and only what lies inside the file itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers.h5 import source as h5_source

#: What h5py, numpy and Arrow raise from the depths of a damaged file.
READ_ERRORS = (OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError, MemoryError, NotImplementedError)
#: How many soft links one look-up may follow before they are taken for a circle, and how many objects one walk may meet.
_MAX_LINKS = 100
_MAX_OBJECTS = 100_000
#: A dataset of more bytes than this must have one stored byte for every so many: no built-in compression does better.
_LARGE = 1 << 26
_MAX_RATIO = 4096
#: A table of more rows than this must lie in a file of as many bytes.
_MANY_ROWS = 100_000


def open_file(path: Any) -> h5py.File:
    """An HDF5 file opened for reading, or UnreadableFile saying what is wrong with it; of a remote one (a UPath) only what is read is fetched."""
    if not isinstance(path, Path):
        return _open_remote(path)
    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    if not path.stat().st_size:
        raise UnreadableFile(f"{path}: the file is empty (0 bytes); fetch it again")
    return _opened(path, h5_source.Local(path))


def _opened(path: Any, source: Any) -> h5py.File:
    try:
        return h5py.File(source, "r")
    except (OSError, ValueError) as e:
        raise UnreadableFile(f"{path}: not a readable HDF5 file ({_reason(e)}); fetch it again, or check its format") from None


def _open_remote(path: Any) -> h5py.File:
    try:
        file = h5_source.Remote(path)
    except FileNotFoundError:
        raise UnreadableFile(f"{path}: no such file") from None
    except Exception as e:  # each kind of server has errors of its own
        raise UnreadableFile(f"{path}: cannot be fetched ({type(e).__name__}: {e})") from None
    if not file.size:
        raise UnreadableFile(f"{path}: the file is empty (0 bytes), or its server does not say how long it is; fetch it whole and read the copy")
    return _opened(path, file)


@contextmanager
def opened(path: Any) -> Iterator[h5py.File]:
    """A file that stays open when the block ends well; when it fails the file is closed, and the error made clear."""
    file = open_file(path)
    try:
        with clear_errors(path):
            yield file
    except BaseException:
        file.close()
        raise


@contextmanager
def clear_errors(path: Any) -> Iterator[None]:
    """What a damaged file makes its libraries raise becomes UnreadableFile, with the file's name."""
    try:
        yield
    except UnreadableFile as e:
        raise e if str(path) in str(e) else UnreadableFile(f"{path}: {e}") from None
    except READ_ERRORS as e:
        raise UnreadableFile(f"{path}: damaged, or not as its format says ({type(e).__name__}: {_reason(e)}); fetch it again") from e


def _reason(error: Exception) -> str:
    """HDF5's own words: the last parenthesis of the first line."""
    said = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    text = (said.splitlines() or ["no reason given"])[0]
    return text[text.rfind("(") + 1 :].rstrip(")") if "(" in text else text


def text(value: Any) -> str:
    """Text from whatever HDF5 holds text as: bytes or str, scalar or an array of one; nothing is an empty text."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    if isinstance(value, h5py.Empty):
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def kind(obj: Any) -> str:
    """The NWB type of an object, or an empty text."""
    return text(obj.attrs["neurodata_type"]) if "neurodata_type" in obj.attrs else ""


def member(group: h5py.Group, path: str) -> Any:
    """What lies at a path below a group, or None: absent, dangling or circling, or outside the file (links out are never followed).

    Raises
    ------
    UnreadableFile : something is there, and it is damaged
    """
    return _walk(group, path, iter(range(_MAX_LINKS)))


def _walk(group: h5py.Group, path: str, links: Iterator[int]) -> Any:
    """See member; `links` is drawn from for each soft link followed, at whatever depth."""
    found: Any = group.file["/"] if path.startswith("/") else group
    for part in [p for p in path.split("/") if p not in ("", ".")]:
        link = _link(found, part)
        if link == h5py.h5l.TYPE_HARD:
            found = _open(found, part)
        elif link == h5py.h5l.TYPE_SOFT and next(links, None) is not None:
            found = _walk(found, found.id.links.get_val(part.encode()).decode("utf-8", "replace"), links)
        else:
            return None
    return found if is_inside(found) else None


def _link(group: Any, name: str) -> int | None:
    """The kind of link a name is in a group; h5py's own look-ups would open the files that links point to."""
    if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
        return None
    return int(group.id.links.get_info(name.encode()).type)


def _open(group: h5py.Group, name: str) -> Any:
    try:
        return group[name]
    except (KeyError, OSError, RuntimeError, ValueError) as e:
        raise UnreadableFile(f"{group.file.filename}: {group.name.rstrip('/')}/{name} is damaged ({_reason(e)}); fetch the file again") from None


def is_inside(obj: Any) -> bool:
    """Whether an object's values lie in its own file: not in raw files beside it, not borrowed from other HDF5 files."""
    if not isinstance(obj, h5py.Dataset):
        return True
    return not obj.external and not (obj.is_virtual and any(s.file_name not in (".", obj.file.filename) for s in obj.virtual_sources()))


def check_size(dataset: h5py.Dataset) -> None:
    """Refuse a dataset that announces far more values than its stored bytes can hold: a damaged header, or a trap.

    Raises
    ------
    UnreadableFile : its size is not to be believed
    """
    n_bytes = math.prod(dataset.shape or (0,)) * dataset.dtype.itemsize
    if n_bytes > _LARGE and n_bytes > _MAX_RATIO * dataset.id.get_storage_size():
        stored = dataset.id.get_storage_size()
        raise UnreadableFile(f"{dataset.file.filename}: {dataset.name} announces {n_bytes} bytes but stores {stored}: the file is damaged; fetch it again")


def check_rows(dataset: h5py.Dataset) -> None:
    """Refuse a column that announces more rows than its whole file has bytes: a damaged header, or a trap.

    Raises
    ------
    UnreadableFile : its length is not to be believed
    """
    n_rows, n_bytes = max(dataset.shape or (0,)), dataset.file.id.get_filesize()
    if n_rows > _MANY_ROWS and n_rows > n_bytes:
        raise UnreadableFile(f"{dataset.file.filename}: {dataset.name} announces {n_rows} rows in a file of {n_bytes} bytes: it is damaged; fetch it again")


def values(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a dataset, in one row, once its size is believed."""
    check_size(dataset)
    return np.asarray(dataset[()]).reshape(-1)


def members(group: h5py.Group) -> Iterator[tuple[str, Any]]:
    """The members of a group that lie in its own file, by name."""
    for name in sorted(group):
        found = member(group, name)
        if found is not None:
            yield name, found


class Met:
    """The objects a walk has met: hard links may lead to one many times, even from within itself."""

    def __init__(self, *start: h5py.Group) -> None:
        self._met: set[Any] = set()
        for obj in start:
            self.is_new(obj)

    def is_new(self, obj: Any) -> bool:
        """Whether an object is met for the first time.

        Raises
        ------
        UnreadableFile : the walk has met more objects than any session has
        """
        before = len(self._met)
        self._met.add(self._key(obj))
        if len(self._met) > _MAX_OBJECTS:
            raise UnreadableFile(f"{obj.file.filename}: more than {_MAX_OBJECTS} groups and datasets: this is no session")
        return len(self._met) > before

    def _key(self, obj: Any) -> Any:
        """What two names of one object share."""
        info = h5py.h5o.get_info(obj.id)
        return info.fileno, info.addr


def links_out(group: h5py.Group) -> list[str]:
    """The members of a group that lie in other files, for messages."""
    found = {n: _link(group, n) for n in sorted(group)}
    out = [n for n, link in found.items() if link == h5py.h5l.TYPE_EXTERNAL or (link == h5py.h5l.TYPE_HARD and member(group, n) is None)]
    return [f"{group.name.rstrip('/')}/{n}" for n in out]


def target(file: h5py.File, reference: Any) -> Any:
    """What an object reference points to, or None: null, dangling, or with values outside the file."""
    try:
        found = file[reference] if reference else None
    except (KeyError, OSError, RuntimeError, ValueError):
        return None
    return found if is_inside(found) else None
