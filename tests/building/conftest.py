"""Files to build from, and stores to build into."""

import pytest
from builds import make_files, reader_of

from neuropile.building import ingest
from neuropile.store import create_store


@pytest.fixture
def files(tmp_path):
    return make_files(tmp_path / "files")


@pytest.fixture
def store(tmp_path):
    return create_store(tmp_path / "store")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The files, and the store that comes of them when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("reference")
    paths = make_files(folder / "files")
    store = create_store(folder / "store")
    ingest(paths, store, reader_of)
    return paths, store
