"""A made dataset served as the archive of its recipe would serve it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from archives.loopback import serving
from archives.servers_dandi import dandi_serving
from archives.servers_deposits import Dryad, Figshare, Osf, Zenodo, deposit
from archives.servers_gin import gin_serving
from archives.servers_gin import serve_folder as serve_gin
from archives.servers_s3 import S3, Bucket

from neuropile.recipes import Recipe

#: The stand-in of each archive of deposits, and where its API and its files are below its address.
_DEPOSITS: dict[str, Any] = {
    "dryad": (Dryad, "/api/v2", None),
    "figshare": (Figshare, "/v2", ""),
    "osf": (Osf, "/v2/", "/v1"),
    "zenodo": (Zenodo, "/api", None),
}


@contextmanager
def served(recipe: Recipe, folder: Path, scratch: Path) -> Iterator[list[Any]]:
    """The archive of a recipe on loopback, holding a folder's files; gives the states of its servers, which count what was asked."""
    archive: Any = recipe.archive
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        if archive.name == "dandi":
            state: Any = stack.enter_context(dandi_serving())
            state.add_dandiset(folder, archive.id, archive.version or "draft")
            patch.setenv("NEUROPILE_DANDI_URL", state.api)
            yield [state, state.bucket]
        elif archive.name in _DEPOSITS:
            handler, api, files = _DEPOSITS[archive.name]
            state = stack.enter_context(deposit(handler, folder, id=archive.id))
            patch.setenv(f"NEUROPILE_{archive.name.upper()}_URL", state.url + api)
            if files is not None:
                patch.setenv(f"NEUROPILE_{archive.name.upper()}_FILES_URL", state.url + files)
            if archive.name == "dryad":
                patch.setenv("NEUROPILE_DRYAD_ID", "me")
                patch.setenv("NEUROPILE_DRYAD_SECRET", "hush")
            yield [state, state.store]
        elif archive.name == "gin":
            state = stack.enter_context(gin_serving(scratch, archive.id))
            serve_gin(state, folder)
            patch.setenv("NEUROPILE_GIN_URL", state.url)
            yield [state]
        else:
            state = stack.enter_context(serving(Bucket, S3(bucket=archive.bucket)))
            state.add_folder(folder)
            patch.setenv("NEUROPILE_S3_URL", state.url)
            yield [state]
