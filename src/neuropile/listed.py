"""A Zarr folder whose files are known: nothing needs listing, and what is missing or changed is told.

Zarr itself takes a missing file for one full of zeros, and plain web servers list nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from neuropile import remote
from neuropile.errors import NeuropileError, StoreError


class Listed(WrapperStore[Store]):
    """A store to read from.

    files : every file below its root, with its size and the SHA-256 of those that are read whole
    far : its root where that is remote: files of known size are then read as all others of ours are, and tried again
    """

    def __init__(self, store: Store, files: Mapping[str, Mapping[str, Any]] = {}, far: Any = None) -> None:
        super().__init__(store)
        self._files, self._far = files, far

    def _with_store(self, store: Store) -> Listed:
        return Listed(store, self._files, self._far)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """The bytes of a file, or None where there never was one; OSError where there was, and where it has changed."""
        known = self._files.get(key)
        if self._far is not None and known is not None and "bytes" in known:
            try:
                found = prototype.buffer.from_bytes(await asyncio.to_thread(self._fetch, key, byte_range, known["bytes"]))
            except FileNotFoundError:
                found = None
        else:
            found = await super().get(key, prototype, byte_range)
        if found is None and known is not None:
            raise OSError(f"{key} is missing")
        digest = (known or {}).get("sha256")
        if digest and found is not None and byte_range is None and hashlib.sha256(found.to_bytes()).hexdigest() != digest:
            raise OSError(f"{key} is not as it was written")
        if found is not None and known is not None and "bytes" in known and len(found) != _length(byte_range, known["bytes"]):
            raise OSError(f"{key} does not have its {known['bytes']} bytes")  # Zarr takes an empty file for one full of zeros too
        return found

    def _fetch(self, key: str, byte_range: ByteRequest | None, n_bytes: int) -> bytes:
        if byte_range is None:
            return remote.read_bytes(self._far / key)
        length = _length(byte_range, n_bytes)
        start = n_bytes - length if isinstance(byte_range, SuffixByteRequest) else getattr(byte_range, "start", getattr(byte_range, "offset", 0))
        return remote.read_ranges(self._far / key, [(start, start + length)])[0]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below a prefix."""
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in sorted({f.removeprefix(below).split("/")[0] for f in self._files if f.startswith(below)}):
            yield name


def _length(byte_range: ByteRequest | None, n_bytes: int) -> int:
    """How many bytes a request for a part of a file of `n_bytes` gives."""
    if isinstance(byte_range, RangeByteRequest):
        return max(min(byte_range.end, n_bytes) - byte_range.start, 0)
    if isinstance(byte_range, OffsetByteRequest):
        return max(n_bytes - byte_range.offset, 0)
    return min(byte_range.suffix, n_bytes) if isinstance(byte_range, SuffixByteRequest) else n_bytes


def opened(path: Any, files: Mapping[str, Mapping[str, Any]]) -> Listed:
    """The store at a local or remote path."""
    if not remote.is_remote(path):
        return Listed(LocalStore(path, read_only=True), files)
    return Listed(FsspecStore.from_url(str(path), storage_options=dict(path.storage_options), read_only=True), files, path)


@contextmanager
def clear_errors(where: Any) -> Iterator[None]:
    """Whatever Zarr and its codecs raise on damaged bytes becomes StoreError; an index out of range stays what it is."""
    try:
        yield
    except (NeuropileError, IndexError):
        raise
    except Exception as e:
        raise StoreError(f"{where} cannot be read ({e}); restore it from a copy or build the session again") from None


def telling(data: xr.DataArray, array: Any, where: Any) -> xr.DataArray:
    """The same lazy data, read from a Zarr array in such a way that damage is told by a StoreError."""
    lazy: Any = indexing.LazilyIndexedArray(_Telling(array, where))
    return data.copy(data=indexing.MemoryCachedArray(indexing.CopyOnWriteArray(lazy)))


class _Telling(BackendArray):
    def __init__(self, array: Any, where: Any) -> None:
        self._array, self._where = array, where
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        with clear_errors(self._where):
            return self._array.oindex[key]
