"""MATLAB 5 files: every size in them is checked against the bytes that are there before scipy reads any of them."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from neuropile.errors import UnreadableFile

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_INT8, _INT32, _UINT32, _UTF8 = 1, 5, 6, 16
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
#: The bytes of a stored value by its type, and what values of each class are once read.
_SIZE = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_DTYPE = {6: "float64", 7: "float32", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64"}
_TEXT_TYPES = (1, 2, 4, 16, 17, 18)
NOT_READ = {_OBJECT: "object", _FUNCTION: "function", _OPAQUE: "opaque"}
#: Some writers leave out the bytes of a text of blanks.
_MAX_BLANKS = 1000
_MAX_DEPTH = 24
_MAX_NODES = 1_000_000
_MAX_FIELDS = 10_000
#: A variable of more bytes than this must come from a compressed one of at least a so-manieth: rasters of spikes reach some hundreds.
_LARGE = 1 << 28
_MAX_RATIO = 512


@dataclass(slots=True)
class Node:
    """What the headers say of one array.

    dtype : numpy's name, or "cell", "struct", "char", "sparse", "object", "function", "opaque" (the last three are not read)
    children : a cell's arrays, MATLAB's order; fields : a struct's, for each field one array an element
    """

    dtype: str
    shape: tuple[int, ...]
    children: list[Node] = field(default_factory=list)
    fields: dict[str, list[Node]] = field(default_factory=dict)


class _Bytes:
    """The bytes of one variable in order, inflated as they are asked for and never beyond."""

    def __init__(self, file: BinaryIO, n_stored: int, compressed: bool) -> None:
        self._file, self._left = file, n_stored
        self._inflate = zlib.decompressobj() if compressed else None
        self._pending = b""
        self.at = 0

    def take(self, n: int) -> bytes:
        """The next n bytes, or UnreadableFile."""
        out = b""
        while len(out) < n:
            part = self._some(n - len(out))
            if not part:
                raise UnreadableFile("a variable ends early")
            out += part
        self.at += n
        return out

    def skip(self, n: int) -> None:
        """Pass over n bytes, unread where they are not compressed."""
        if self._inflate is None and n <= self._left:
            self._file.seek(n, 1)
            self._left -= n
            self.at += n
            return
        for at in range(0, n, 1 << 20):
            self.take(min(n - at, 1 << 20))

    def _some(self, n: int) -> bytes:
        if self._inflate is None:
            return self._stored(n)
        while not self._inflate.eof:
            stored = self._pending or self._stored(1 << 16)
            out = self._inflate.decompress(stored, n)
            self._pending = self._inflate.unconsumed_tail
            if out or not stored:
                return out
        return b""

    def _stored(self, n: int) -> bytes:
        part = self._file.read(min(n, self._left))
        self._left -= len(part)
        return part


class _Walk:
    """One pass over a variable that believes no size: `matrix` gives what it holds, or raises UnreadableFile."""

    def __init__(self, data: _Bytes, order: str) -> None:
        self.data, self.order, self.n_nodes = data, order, 0

    def tag(self, room: int) -> tuple[int, int, bytes | None]:
        """Type and bytes of the next element, and its value where it lies in the tag itself; `room` is what is left for it."""
        if room < 8:
            raise UnreadableFile("an element does not fit the array it is in")
        first, second = self.data.take(4), self.data.take(4)
        (kind,) = struct.unpack(f"{self.order}I", first)
        if kind >> 16:
            if kind >> 16 > 4:
                raise UnreadableFile(f"a small element announces {kind >> 16} bytes")
            return kind & 0xFFFF, kind >> 16, second[: kind >> 16]
        (n,) = struct.unpack(f"{self.order}I", second)
        if n > room - 8:
            raise UnreadableFile(f"an element announces {n} bytes where {room - 8} are left")
        return kind, n, None

    def element(self, stop: int, kinds: tuple[int, ...], most: int) -> bytes:
        """The value of a short element of one of some types."""
        kind, n, value = self.tag(stop - self.data.at)
        if kind not in kinds or n > most:
            raise UnreadableFile(f"an element of type {kind} and {n} bytes stands where another is due")
        return self._padded(n, stop) if value is None else value

    def _padded(self, n: int, stop: int) -> bytes:
        value = self.data.take(n)
        self.data.skip(min(-n % 8, stop - self.data.at))
        return value

    def values(self, stop: int, kinds: Any) -> tuple[int, int]:
        """Pass over the values of an array: their type and bytes."""
        kind, n, value = self.tag(stop - self.data.at)
        if kind not in kinds:
            raise UnreadableFile(f"values of unknown type {kind}")
        if value is None:
            self.data.skip(min(n + -n % 8, stop - self.data.at))
        return kind, n

    def matrix(self, stop: int, depth: int = 0) -> tuple[str, Node]:
        """The next array, nested ones included: its name and what it holds. It must end by `stop`."""
        self.n_nodes += 1
        if depth > _MAX_DEPTH or self.n_nodes > _MAX_NODES:
            raise UnreadableFile(f"arrays nested more than {_MAX_DEPTH} deep, or more than {_MAX_NODES} of them")
        kind, n, _ = self.tag(stop - self.data.at)
        if kind != _MATRIX:
            raise UnreadableFile(f"an element of type {kind} stands where an array is due")
        if not n:
            return "", Node("float64", (1, 0))
        end = self.data.at + n
        found = self._inside(end, depth)
        if self.data.at != end:
            raise UnreadableFile(f"an array's parts end {abs(end - self.data.at)} bytes from where it does")
        return found

    def _inside(self, end: int, depth: int) -> tuple[str, Node]:
        flags = self.element(end, (_UINT32,), 8)
        if len(flags) != 8:
            raise UnreadableFile("an array without flags")
        (word,) = struct.unpack(f"{self.order}I", flags[:4])
        klass, is_complex, is_logical = word & 0xFF, bool(word & 0x800), bool(word & 0x200)
        if klass == _OPAQUE:
            name = self._text(end)
            self._text(end), self._text(end)
            self.matrix(end, depth + 1)
            return name, Node("opaque", ())
        raw = self.element(end, (_INT32, _UINT32), 128)
        shape = struct.unpack(f"{self.order}{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
        if not shape or min(shape) < 0:
            raise UnreadableFile(f"an array of shape {shape}")
        name = self._text(end)
        if klass in (_CELL, _STRUCT, _OBJECT):
            return name, self._nested(klass, shape, end, depth)
        if klass == _FUNCTION:
            self.matrix(end, depth + 1)
            return name, Node("function", shape)
        return name, self._leaf(klass, shape, end, is_complex, is_logical)

    def _text(self, end: int) -> str:
        return self.element(end, (_INT8, _UTF8), 4096).decode("utf-8", "replace")

    def _nested(self, klass: int, shape: tuple[int, ...], end: int, depth: int) -> Node:
        names: list[str] = []
        if klass == _OBJECT:
            self._text(end)
        if klass != _CELL:
            (width,) = struct.unpack(f"{self.order}i", self.element(end, (_INT32,), 4).ljust(4, b"\0"))
            raw = self.element(end, (_INT8,), _MAX_FIELDS * 64)
            if not 1 <= width <= 4096 or len(raw) % width:
                raise UnreadableFile(f"{len(raw)} bytes of field names, {width} each")
            names = [raw[i : i + width].split(b"\0", 1)[0].decode("latin-1") for i in range(0, len(raw), width)]
        each = 1 if klass == _CELL else len(names)
        if len(names) > _MAX_FIELDS or math.prod(shape) * max(each, 1) * 8 > max(end - self.data.at, 8):
            raise UnreadableFile(f"an array of shape {shape} with {each} parts an element in {end - self.data.at} bytes")
        node = Node({_CELL: "cell", _STRUCT: "struct", _OBJECT: "object"}[klass], shape, fields={n: [] for n in names})
        for _ in range(math.prod(shape)):
            if klass == _CELL:
                node.children.append(self.matrix(end, depth + 1)[1])
            for name in names:
                node.fields[name].append(self.matrix(end, depth + 1)[1])
        return node

    def _leaf(self, klass: int, shape: tuple[int, ...], end: int, is_complex: bool, is_logical: bool) -> Node:
        size = math.prod(shape)
        if klass == _CHAR:
            _, n = self.values(end, _TEXT_TYPES)
            if size > max(n, _MAX_BLANKS):
                raise UnreadableFile(f"{size} characters in {n} bytes")
            return Node("char", shape)
        if klass == _SPARSE:
            rows, columns = self.values(end, (_INT32, _UINT32))[1] // 4, self.values(end, (_INT32, _UINT32))[1] // 4
            if len(shape) != 2 or columns != shape[1] + 1:
                raise UnreadableFile(f"a sparse array of shape {shape} with {rows} rows and {columns} column ends")
        elif klass not in _DTYPE:
            raise UnreadableFile(f"an array of unknown class {klass}")
        for _ in range(1 + is_complex):
            kind, n = self.values(end, _SIZE)
            if klass != _SPARSE and n != size * _SIZE[kind]:
                raise UnreadableFile(f"an array of shape {shape} with {n} bytes of values")
        if is_complex:
            return Node("complex128", shape)
        return Node("sparse" if klass == _SPARSE else "bool" if is_logical else _DTYPE[klass], shape)


def walk(path: Any) -> dict[str, Node]:
    """Every variable of a file by its name, from its headers; no value is kept.

    Raises
    ------
    UnreadableFile : not a MATLAB 5 file, damaged, or compressed beyond what data can be
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if order is None:
            raise UnreadableFile(f"{path}: not a MATLAB 5 file, or its header is damaged; fetch it again")
        size = path.stat().st_size
        found: dict[str, Node] = {}
        at = _HEADER_BYTES
        while at < size:
            try:
                file.seek(at)
                n, variable = _variable(file, size - at, order)
            except (UnreadableFile, zlib.error, struct.error) as e:
                raise UnreadableFile(f"{path}: damaged in the variable at byte {at} ({e}); fetch it again") from None
            found.update([variable] if variable[0] else [])  # without a name: what MATLAB keeps for its functions
            at += n
    return found


def _variable(file: BinaryIO, room: int, order: str) -> tuple[int, tuple[str, Node]]:
    """A variable's bytes in the file, its name and what it holds."""
    stored = _Bytes(file, room, False)
    kind, n, value = _Walk(stored, order).tag(room)
    if kind not in (_MATRIX, _COMPRESSED) or value is not None:
        raise UnreadableFile(f"an element of type {kind} stands where a variable is due")
    if kind == _MATRIX:
        file.seek(-8, 1)
        return n + 8, _Walk(_Bytes(file, n + 8, False), order).matrix(n + 8)
    limit = max(_LARGE, _MAX_RATIO * n)
    return n + 8, _Walk(_Bytes(file, n, True), order).matrix(limit)


def load(path: Any, name: str) -> np.ndarray:
    """A variable that `walk` found, as scipy reads it: cells as arrays of objects, structs as records of them.

    Raises
    ------
    UnreadableFile : scipy cannot read it
    """
    import scipy.io

    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = scipy.io.loadmat(file, variable_names=[name], chars_as_strings=True)[name]
    except Exception as e:  # whatever scipy makes of bytes that are well-formed and yet wrong
        raise UnreadableFile(f"{path}: {name} is damaged ({type(e).__name__}: {str(e).splitlines()[0] if str(e) else 'no reason given'})") from None
    if isinstance(found, str):
        raise UnreadableFile(f"{path}: {name} is damaged ({found.splitlines()[0]})")
    return found


def dense(path: Any, value: Any) -> np.ndarray:
    """A leaf as a plain array: sparse ones filled, once their indices and size are believed."""
    import scipy.sparse

    if not scipy.sparse.issparse(value):
        return np.asarray(value)
    if math.prod(value.shape) * value.dtype.itemsize > _LARGE:
        raise UnreadableFile(f"{path}: a sparse array of shape {value.shape} is too large to fill; save its times, or blocks of it")
    try:
        filled = value.tocsc()
        filled.check_format(full_check=True)
    except (ValueError, IndexError, TypeError) as e:
        raise UnreadableFile(f"{path}: a sparse array is damaged ({e})") from None
    return filled.toarray()


def is_not_read(value: Any) -> bool:
    """Whether a value is a function, an object or opaque: kept by MATLAB as code or in ways of its own, never opened here."""
    from scipy.io import matlab

    return isinstance(value, matlab.MatlabFunction | matlab.MatlabObject | matlab.MatlabOpaque)
