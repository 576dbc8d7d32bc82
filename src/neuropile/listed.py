"""A Zarr folder whose files are known: nothing needs listing, and what is missing or changed is told.

Zarr itself takes a missing file for one full of zeros, and plain web servers list nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from neuropile import remote


class Listed(WrapperStore[Store]):
    """A store to read from.

    files : every file below its root, with the SHA-256 of those that are read whole
    """

    def __init__(self, store: Store, files: Mapping[str, Mapping[str, Any]] = {}) -> None:
        super().__init__(store)
        self._files = files

    def _with_store(self, store: Store) -> Listed:
        return Listed(store, self._files)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """The bytes of a file, or None where there never was one; OSError where there was, and where it has changed."""
        found = await super().get(key, prototype, byte_range)
        known = self._files.get(key)
        if found is None and known is not None:
            raise OSError(f"{key} is missing")
        digest = (known or {}).get("sha256")
        if digest and found is not None and byte_range is None and hashlib.sha256(found.to_bytes()).hexdigest() != digest:
            raise OSError(f"{key} is not as it was written")
        return found

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below a prefix."""
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in sorted({f.removeprefix(below).split("/")[0] for f in self._files if f.startswith(below)}):
            yield name


def opened(path: Any, files: Mapping[str, Mapping[str, Any]]) -> Listed:
    """The store at a local or remote path."""
    if not remote.is_remote(path):
        return Listed(LocalStore(path, read_only=True), files)
    return Listed(FsspecStore.from_url(str(path), storage_options=dict(path.storage_options), read_only=True), files)
