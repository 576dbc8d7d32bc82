"""Fixtures: made-up caches, and ONE on the same folder."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import alf_trees
import pytest
from one.alf.cache import make_parquet_db
from one.api import One

from neuropile.one import open_cache
from neuropile.one.local import Cache


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONE logs each file whose hash its own tables leave empty."""
    monkeypatch.delenv("ONE_REVISION_LAST_BEFORE", raising=False)
    logging.getLogger("one").setLevel(logging.ERROR)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one session and no tables."""
    root = tmp_path_factory.mktemp("tree")
    alf_trees.session(root)
    return root


@pytest.fixture(scope="session")
def tabled(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder with the tables that ONE makes of it."""
    root = tmp_path_factory.mktemp("tabled") / "cache"
    shutil.copytree(made, root)
    make_parquet_db(root)
    return root


@pytest.fixture(scope="session")
def theirs(tabled: Path) -> One:
    return One(cache_dir=tabled)


@pytest.fixture(scope="session")
def ours(tabled: Path) -> Cache:
    return open_cache(tabled)


@pytest.fixture(scope="session")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of several sessions, without their files."""
    return alf_trees.write(tmp_path_factory.mktemp("listed"), alf_trees.frames())
