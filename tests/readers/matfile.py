"""MATLAB 7.3 files as MATLAB lays them out, written with h5py."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Sun Mar 15 13:21:11 2020 HDF5 schema 1.00 ."
OBJECT = 0xDD000000
MISSING = 2**64 - 1


def packed(texts: list[str | None], dims: tuple[int, ...] | None = None) -> np.ndarray:
    """A MATLAB string array as MATLAB saves it: sizes, lengths, then UTF-16 four units a word."""
    units = b"".join(t.encode("utf-16-le") for t in texts if t is not None)
    lengths = [MISSING if t is None else len(t.encode("utf-16-le")) // 2 for t in texts]
    dims = (len(texts), 1) if dims is None else dims
    head = np.array([1, len(dims), *dims, *lengths], np.uint64)
    return np.concatenate([head, np.frombuffer(units + bytes(-len(units) % 8), np.uint64)])


class MatFile:
    """Writes variables as MATLAB does: axes reversed, a class on each, cells as references into `#refs#`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = h5py.File(path, "w", userblock_size=512)
        self.strings: list[tuple[str, np.ndarray]] = []

    def put(self, name: str, values, kind: str = "double", **attributes) -> h5py.Dataset:
        """A numeric matrix; a plain list is an n x 1 column, which HDF5 holds as (1, n)."""
        values = np.asarray(values)
        dataset = self.file.create_dataset(name, data=values.T if values.ndim > 1 else values.reshape(1, -1))
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        dataset.attrs.update(attributes)
        return dataset

    def empty(self, name: str, kind: str = "double") -> h5py.Dataset:
        return self.raw(name, np.zeros(2, np.uint64), kind, MATLAB_empty=np.uint8(1))

    def raw(self, name: str, data, kind: str, **attributes) -> h5py.Dataset:
        dataset = self.file.create_dataset(name, data=data)
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        dataset.attrs.update(attributes)
        return dataset

    def char(self, name: str, rows: list[str]) -> h5py.Dataset:
        """A char matrix of rows of one length, as uint16 code units."""
        codes = np.array([np.frombuffer(r.encode("utf-16-le"), np.uint16) for r in rows])
        return self.raw(name, codes.T, "char", MATLAB_int_decode=np.int32(2))

    def logical(self, name: str, values: list[bool]) -> h5py.Dataset:
        return self.put(name, np.array(values, np.uint8), "logical", MATLAB_int_decode=np.int32(1))

    def struct(self, name: str) -> None:
        self.file.create_group(name).attrs["MATLAB_class"] = np.bytes_("struct")

    def cell(self, name: str, items: list) -> h5py.Dataset:
        """A cell array: numbers as n x 1 columns, texts as chars, None as an empty matrix."""
        made = []
        for i, item in enumerate(items):
            inner = f"#refs#/{name.replace('/', '_')}_{i}"
            made.append(self.empty(inner) if item is None or len(item) == 0 else self.char(inner, [item]) if isinstance(item, str) else self.put(inner, item))
        refs = np.array([m.ref for m in made], dtype=h5py.ref_dtype).reshape(1, -1)
        return self.raw(name, refs, "cell")

    def string(self, name: str, texts: list[str | None]) -> None:
        """A string array; its text goes to the object store when the file is closed."""
        self.strings.append((name, packed(texts)))
        head = np.array([[OBJECT, 2, 1, 1, len(self.strings) + 1, 2]], np.uint32)
        self.raw(name, head, "string", MATLAB_object_decode=np.int32(3))

    def close(self) -> Path:
        if self.strings:
            self._object_store()
        self.file.close()
        with open(self.path, "r+b") as f:
            f.write(HEADER.ljust(124) + b"\x00\x02IM")
        return self.path

    def _object_store(self) -> None:
        n = len(self.strings)
        names = b"any\0string\0datetime\0".ljust(24, b"\0")
        classes = np.array([0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0], "<i4").tobytes()
        saved = np.array([0, 0] + [v for i in range(n) for v in (1, 1, 1, i)], "<i4").tobytes()
        date = [1, 0, 0, 0, 1, 1]  # an object of another class, saved elsewhere, stands before the strings
        objects = np.array([[0] * 6, date, *([2, 0, 0, i + 1, 0, i + 2] for i in range(n))], "<i4").tobytes()
        ends = np.cumsum([40 + len(names), len(classes), len(saved), len(objects), 8, 8])
        head = np.array([3, 3, *ends, 0, 0], "<i4").tobytes()
        tables = np.frombuffer(head + names + classes + saved + objects + bytes(16), np.uint8)
        cells = [self.raw("#refs#/tables", tables[None], "uint8"), self.empty("#refs#/none", "canonical empty")]
        cells += [self.raw(f"#refs#/text{i}", text.reshape(-1, 1), "uint64") for i, (_, text) in enumerate(self.strings)]
        refs = np.array([c.ref for c in cells], dtype=h5py.ref_dtype).reshape(1, -1)
        self.raw("#subsystem#/MCOS", refs, "FileWrapper__", MATLAB_object_decode=np.int32(3))
