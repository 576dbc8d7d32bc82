"""Zarr folders as trees of groups and arrays, with the names, attributes, links and references an HDF5 file would have.

Read as hdmf-zarr writes them (Zarr 2 by versions before 0.14, Zarr 3 since). Each node's metadata is read by itself, so that an
array stored in a way nobody should decode (pickle) or knows does no harm to the others.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from neuropile.errors import UnreadableFile
from neuropile.readers.zarr.array import Layout, fill_is_damage, is_text, reference_of

_MAX_LINKS = 100
_MAX_METADATA = 1 << 26
_LARGE = 1 << 26
_MAX_RATIO = 4096
_MANY_ROWS = 100_000
_MANY_ENTRIES = 1_000
#: Names in a Zarr folder that are not nodes: metadata and chunks.
_PART = re.compile(r"\.z(array|attrs|group)|c|\d+(\.\d+)*")
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def looks_like(path: Any) -> bool:
    """Whether a folder is the root of a Zarr group."""
    return _format_of(path) is not None


def root_attributes(path: Any) -> dict[str, Any]:
    """The attributes of a folder's root group; empty where it is no Zarr group, or a damaged one."""
    try:
        return File(path).attrs if looks_like(path) else {}
    except UnreadableFile:
        return {}


def _format_of(path: Any) -> int | None:
    """2 or 3, by the file that marks a group."""
    return next((number for name, number in ((".zgroup", 2), ("zarr.json", 3)) if _fetch(path / name) is not None), None)


def _fetch(path: Any) -> bytes | None:
    """The bytes of a file, in one request where it is remote; None where there is none."""
    try:
        return path.read_bytes() if isinstance(path, Path) else path.fs.cat_file(path.path)
    except _ABSENT:
        return None


class Node:
    """A group or an array of a folder: `file`, `name` from the root, and `attrs`."""

    def __init__(self, file: File, path: str, attributes: dict[str, Any]) -> None:
        self.file, self.path, self.name = file, path, f"/{path}"
        self.attrs = {k: _plain(v) for k, v in attributes.items()}


class Group(Node):
    """A folder of groups and arrays."""

    @property
    def links(self) -> dict[str, dict[str, Any]]:
        """The links kept in its attributes, by name: each a source (`.` is this folder) and a path in it."""
        found = self.attrs.get("zarr_link", self.attrs.get("_LINKS", []))
        return {str(e["name"]): e for e in found if isinstance(e, dict) and "name" in e} if isinstance(found, list) else {}


class File(Group):
    """The root group, through which all that is read of the folder passes; `root` is a Path, or a UPath where it is remote."""

    def __init__(self, root: Any) -> None:
        self.root, self.filename = root, str(root)
        self._inside = f"{os.path.realpath(root)}{os.sep}" if isinstance(root, Path) else None
        self._seen: dict[str, dict[str, Any] | None] = {}
        self._known: dict[str, Any] = {}
        #: Arrays of which a chunk that is not stored was read, as fill values.
        self.filled: set[str] = set()
        found = _format_of(root)
        if found is None:
            raise UnreadableFile(f"{root}: no Zarr group (neither .zgroup nor zarr.json in it)")
        self.format = found
        self._known = self._consolidated()
        node = self._metadata("")
        if node is None:
            raise UnreadableFile(f"{root}: its root is no Zarr group")
        super().__init__(self, "", node[1])

    def __getitem__(self, path: str) -> Any:
        return member(self, path)

    def close(self) -> None:
        """Nothing stays open between reads."""

    @property
    def lists(self) -> bool:
        """Whether the folder says what is in it; a plain web server does not."""
        return not self.filename.startswith(("http:", "https:"))

    def read(self, key: str) -> bytes | None:
        """The bytes of a file of the folder; None where there is none, or where what is there lies outside or is no file."""
        path = self.root / key
        if self._inside is not None and not (os.path.realpath(path).startswith(self._inside) and path.is_file()):
            return None
        return _fetch(path)

    def stored_bytes(self, path: str) -> int:
        """How many bytes an array's chunks take."""
        return sum(p.stat().st_size for p in (self.root / path).rglob("*") if p.is_file() and p.name not in (".zarray", ".zattrs", "zarr.json"))

    def n_files(self, path: str) -> float:
        """How many chunks of an array are stored; without end where counting them would take requests."""
        return inf if self._inside is None else sum(p.name != "zarr.json" and p.is_file() for p in (self.root / path).rglob("*"))

    def chunk_bytes(self, key: str) -> int:
        """How many bytes one file takes, where nothing lists them."""
        try:
            return int((self.root / key).stat().st_size)
        except _ABSENT:
            return 0

    def open(self, path: str) -> Group | Array | None:
        """The group or array at a path below the root; None where there is none."""
        found = self._metadata(path)
        if found is None:
            if self._is_torn(path):
                raise UnreadableFile(f"{self.filename}: /{path} lacks its metadata: the folder is incomplete; fetch it again")
            return None
        metadata, attributes = found
        is_array = "shape" in metadata if self.format == 2 else metadata.get("node_type") == "array"
        if is_array and self.format == 2 and self._json(f"{path}/.zattrs") is None:  # hdmf-zarr writes some for every array
            raise UnreadableFile(f"{self.filename}: /{path} lacks its .zattrs: the folder is incomplete; fetch it again")
        return Array(self, path, metadata, attributes) if is_array else Group(self, path, attributes)

    def names(self, path: str) -> list[str]:
        """What may lie below a group: the folder's own entries, or what the consolidated metadata lists where that serves."""
        if self._inside is None and self._known:
            prefix = f"{path}/" if path else ""
            return sorted({rest.split("/")[0] for k in self._known if k.startswith(prefix) and "/" in (rest := k[len(prefix) :])})
        if not self.lists:
            raise UnreadableFile(f"{self.filename}: nothing says what it holds (no consolidated metadata); copy the folder and read the copy")
        return sorted(p.name for p in (self.root / path).iterdir() if not p.name.startswith(".") and p.is_dir())

    def leaves(self, path: str) -> bool:
        """Whether a name of the folder is a symbolic link to something outside it."""
        return self._inside is not None and not f"{os.path.realpath(self.root / path)}{os.sep}".startswith(self._inside)

    def _is_torn(self, path: str) -> bool:
        """Whether a folder on this machine that has no metadata holds a part of the tree all the same: chunks, attributes, nodes."""
        folder = self.root / path
        if self._inside is None or self.leaves(path) or not folder.is_dir():
            return False
        entries = list(islice(folder.iterdir(), _MANY_ENTRIES))
        if any(_PART.fullmatch(e.name) for e in entries):
            return True
        return any((e / mark).is_file() for e in entries if e.is_dir() for mark in (".zgroup", ".zarray", "zarr.json"))

    def _metadata(self, path: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        prefix = f"{path}/" if path else ""
        if self.format == 3:
            node = self._json(f"{prefix}zarr.json")
            return None if node is None else (node, _mapping(node.get("attributes")))
        node = self._json(f"{prefix}.zarray") or self._json(f"{prefix}.zgroup")
        return None if node is None else (node, self._json(f"{prefix}.zattrs") or {})

    def _json(self, key: str) -> dict[str, Any] | None:
        """One metadata file. A folder on this machine has each twice, and both must agree; a remote one is read from the second copy."""
        if key not in self._seen:
            second = self._known.get(key)
            if self._inside is None and self._known:
                self._seen[key] = second
            else:
                first = self._parsed(key)
                if second is not None and _canonical(first) != _canonical(second):
                    how = "is missing" if first is None else "differs from the consolidated metadata"
                    raise UnreadableFile(f"{self.filename}: {key} {how}: the folder is damaged or was changed without care; fetch it again")
                self._seen[key] = first
        return self._seen[key]

    def _parsed(self, key: str) -> dict[str, Any] | None:
        data = self.read(key)
        if data is None:
            return None
        try:
            if len(data) > _MAX_METADATA:
                raise ValueError(f"{len(data)} bytes")
            found = json.loads(data)
        except (ValueError, RecursionError) as e:
            raise UnreadableFile(f"{self.filename}: {key} is damaged ({e}); fetch it again") from None
        if not isinstance(found, dict):
            raise UnreadableFile(f"{self.filename}: {key} is damaged (it holds no object); fetch it again")
        return found

    def _consolidated(self) -> dict[str, Any]:
        """Every node's metadata as the root repeats it, by the name of the file it stands for; empty where the root does not."""
        if self.format == 2:
            found = _mapping((self._parsed(".zmetadata") or {}).get("metadata"))
            return {k: v for k, v in found.items() if isinstance(v, dict)}
        root = self._parsed("zarr.json") or {}
        found = _mapping(_mapping(root.get("consolidated_metadata")).get("metadata"))
        return {"zarr.json": root, **{f"{k}/zarr.json": v for k, v in found.items() if isinstance(v, dict)}} if found else {}


class Array(Node):
    """An array of a folder: shape, dtype and slices as h5py's datasets have them. One that cannot be read says why in `unread`."""

    def __init__(self, file: File, path: str, metadata: dict[str, Any], attributes: dict[str, Any]) -> None:
        super().__init__(file, path, attributes)
        try:
            self.layout = Layout.of(metadata, file.format)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as e:
            raise UnreadableFile(f"{file.filename}: {self.name} has damaged metadata ({e}); fetch it again") from None
        self.unread, self.dtype = self.layout.unread, self.layout.dtype
        written = self.attrs.get("zarr_dtype", self.attrs.get("_DTYPE"))
        #: hdmf-zarr keeps a scalar in Zarr 2 as an array of one.
        self.shape = () if written == "scalar" and self.layout.shape == (1,) else self.layout.shape
        self.is_reference = not self.unread and written in ("object", "object_reference") and is_text(self.layout)
        self.is_text = not self.unread and not self.is_reference and is_text(self.layout)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=object))

    def __getitem__(self, key: Any) -> Any:
        if self.unread:
            raise UnreadableFile(f"{self.file.filename}: {self.name} {self.unread}")
        try:
            if self.layout.is_object or not self.ndim:
                return np.asarray(self._data[...]).reshape(self.shape)[key]
            return self._data[... if isinstance(key, tuple) and not key else key]
        except UnreadableFile:
            raise
        except Exception as e:  # codecs raise whatever they like on damaged bytes
            reason = (str(e).splitlines() or ["no reason given"])[0]
            raise UnreadableFile(f"{self.file.filename}: {self.name} is damaged ({type(e).__name__}: {reason}); fetch it again") from None

    @cached_property
    def _data(self) -> Any:
        from neuropile.readers.zarr import chunks

        return chunks.Objects(self.layout, self.chunk) if self.layout.is_object else chunks.numbers(self.layout, self.chunk)

    def chunk(self, key: str) -> bytes | None:
        """The stored bytes of a chunk; None where it is not stored because every value in it is the fill value.

        Raises
        ------
        UnreadableFile : it is not there and should be, or is not what its own header says
        """
        data = self.file.read(f"{self.path}/{key}")
        where = f"{self.file.filename}: {self.name}"
        if data is None and (self.file.format == 2 or fill_is_damage(self.name, self.size)):
            raise UnreadableFile(f"{where} lacks its chunk {key}: the folder is incomplete; fetch it again")
        if data is None:
            self.file.filled.add(self.path)
        elif not data:  # an empty shard would be read as fill values
            raise UnreadableFile(f"{where}: chunk {key} is empty (0 bytes): it is damaged; fetch it again")
        elif self.layout.has_blosc:
            n_stored, n_whole = int.from_bytes(data[12:16], "little"), int.from_bytes(data[4:8], "little")
            if len(data) < 16 or n_stored != len(data) or (n_whole > _LARGE and n_whole > _MAX_RATIO * len(data)):  # else blosc reads past the end
                raise UnreadableFile(f"{where}: chunk {key} has {len(data)} bytes, its header says {n_stored}: it is damaged; fetch it again")
        return data

    def check_size(self) -> None:
        """See h5.check_size. What is not all stored is noted now: signals are read only later."""
        if self.file.format == 3 and self.size and self.file.n_files(self.path) < self.layout.n_chunks:
            self.file.filled.add(self.path)
        n_values = max(self.size, int(np.prod(self.layout.chunks, dtype=object))) if self.size else 0
        self._check(n_values * max(self.dtype.itemsize, 1), _LARGE, "bytes")

    def check_rows(self) -> None:
        """See h5.check_rows."""
        self._check(max(self.shape or (0,)), _MANY_ROWS, "rows")

    def _check(self, n: int, plenty: int, what: str) -> None:
        if n > plenty and n > _MAX_RATIO * self._stored:
            raise UnreadableFile(f"{self.file.filename}: {self.name} announces {n} {what} but stores {self._stored} bytes: it is damaged; fetch it again")

    @cached_property
    def _stored(self) -> int:
        if self.file.lists:
            return self.file.stored_bytes(self.path)
        return self.file.chunk_bytes(f"{self.path}/{self.layout.key((0,) * len(self.layout.shape))}") * self.layout.n_chunks


def member(group: Any, path: str) -> Any:
    """See h5.member: links within the folder are followed, others never."""
    return _walk(group, path, iter(range(_MAX_LINKS)))


def _walk(group: Any, path: str, links: Iterator[int]) -> Any:
    found: Any = group.file if path.startswith("/") else group
    for part in [p for p in path.split("/") if p not in ("", ".")]:
        if not isinstance(found, Group) or part == "..":
            return None
        below = found.file.open(f"{found.path}/{part}".lstrip("/"))
        link = found.links.get(part)
        if below is None and link is not None and _is_here(link) and next(links, None) is not None:
            below = _walk(found.file, f"/{link.get('path', '')}", links)
        found = below
    return found


def members(group: Group) -> Iterator[tuple[str, Any]]:
    """The members of a group that lie in its own folder, by name."""
    for name in sorted({*group.file.names(group.path), *group.links}):
        found = member(group, name)
        if found is not None:
            yield name, found


def links_out(group: Group) -> list[str]:
    """The members of a group that lie elsewhere, for messages."""
    out = {name for name, link in group.links.items() if not _is_here(link)}
    if group.file.lists:
        out |= {name for name in group.file.names(group.path) if group.file.leaves(f"{group.path}/{name}".lstrip("/"))}
    return [f"{group.name.rstrip('/')}/{name}" for name in sorted(out)]


def target(file: File, reference: Any) -> Any:
    """What an object reference points to; None where that is nothing or elsewhere."""
    found = reference_of(reference)
    return member(file, f"/{found.get('path', '')}") if found is not None and _is_here(found) else None


def _is_here(link: dict[str, Any]) -> bool:
    return link.get("source") == "."


def _plain(value: Any) -> Any:
    """An attribute's value: hdmf-zarr wraps some to say their type."""
    return value["value"] if isinstance(value, dict) and "value" in value and ("zarr_dtype" in value or "_DTYPE" in value) else value


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _canonical(metadata: dict[str, Any] | None) -> str:
    """Metadata as a text to compare: NaN equals itself there."""
    return json.dumps({k: v for k, v in (metadata or {}).items() if k != "consolidated_metadata"}, sort_keys=True) if metadata is not None else ""
