"""The values of one Zarr array from its stored chunks: numbers by zarr, texts by numcodecs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from neuropile.readers.zarr.array import Layout

Chunk = Callable[[str], bytes | None]


def numbers(layout: Layout, chunk: Chunk) -> zarr.Array:
    """The array as zarr reads it, asked for one chunk at a time."""
    return zarr.open_array(store=_OneArray(layout, chunk), mode="r", zarr_format=3 if layout.format == 3 else 2)


class Objects:
    """Texts of any length, decoded whole: of their codecs zarr knows some in some versions, and none looks at how many a chunk says it holds."""

    def __init__(self, layout: Layout, chunk: Chunk) -> None:
        self._layout, self._chunk = layout, chunk

    def __getitem__(self, key: Any) -> np.ndarray:
        layout = self._layout
        out = np.full(layout.shape, "", object)
        for index in np.ndindex(*layout.grid):
            place = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, layout.chunks, layout.shape, strict=True))
            data = self._chunk(layout.key(index))
            if data is not None:
                out[place] = self._decoded(data)[tuple(slice(0, p.stop - p.start) for p in place)]
        return out[key]

    def _decoded(self, data: Any) -> np.ndarray:
        from numcodecs import get_codec  # type: ignore[import-untyped]

        n_values = int(np.prod(self._layout.chunks, dtype=object))
        for codec in self._layout.decoders:
            if codec["id"] == "json2":
                data = _filled(json.loads(bytes(data))[:-2])
                continue
            if codec["id"].startswith("vlen-") and (n_said := int.from_bytes(bytes(data[:4]), "little")) != n_values:
                raise ValueError(f"a chunk of {n_values} texts holds {n_said}")
            data = get_codec(codec).decode(data)
        return np.asarray(data, object).reshape(self._layout.chunks, order=self._layout.metadata.get("order", "C"))


def _filled(items: list[Any]) -> np.ndarray:
    """A row of objects, lists among them left whole."""
    out = np.empty(len(items), object)
    out[:] = items
    return out


class _OneArray(Store):
    """One array as a store of its own: its checked metadata, and its chunks as the tree gives them."""

    supports_writes = supports_deletes = supports_listing = supports_partial_writes = False

    def __init__(self, layout: Layout, chunk: Chunk) -> None:
        super().__init__(read_only=True)
        self._layout, self._chunk = layout, chunk

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def _bytes(self, key: str) -> bytes | None:
        if key in (".zarray", "zarr.json"):
            own = ".zarray" if self._layout.format == 2 else "zarr.json"
            return json.dumps({k: v for k, v in self._layout.metadata.items() if k != "attributes"}).encode() if key == own else None
        return None if key.startswith(".z") else self._chunk(key)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        data = self._bytes(key)
        return None if data is None else prototype.buffer.from_bytes(_part(data, byte_range))

    async def get_partial_values(self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._bytes(key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
        yield prefix

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
        yield prefix


def _part(data: bytes, asked: ByteRequest | None) -> bytes:
    if isinstance(asked, RangeByteRequest):
        return data[asked.start : asked.end]
    if isinstance(asked, OffsetByteRequest):
        return data[asked.offset :]
    if isinstance(asked, SuffixByteRequest):
        return data[-asked.suffix :]
    return data
