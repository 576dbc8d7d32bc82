"""Files written by pynwb and h5py, and what pynwb reads back from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from matfile import MatFile
from pynwb import NWBHDF5IO, NWBFile

import neuropile
from neuropile import readers

if TYPE_CHECKING:
    from neuropile.building import Outcome
    from neuropile.types import Recording


@pytest.fixture
def nwb() -> NWBFile:
    """An NWB file in memory, with nothing in it yet."""
    return NWBFile(session_description="a test", identifier="session-7", session_start_time=datetime(2020, 2, 3, 4, 5, tzinfo=UTC))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write an NWB file with pynwb and give its path."""

    def _write(nwb: NWBFile, name: str = "session.nwb") -> Path:
        with NWBHDF5IO(str(tmp_path / name), "w") as io:
            io.write(nwb)
        return tmp_path / name

    return _write


@pytest.fixture
def matfile(tmp_path: Path) -> MatFile:
    """A MATLAB file with nothing in it yet."""
    return MatFile(tmp_path / "K265_Cells.mat")


@pytest.fixture
def read() -> Iterator[Callable[..., Recording]]:
    """Read a file with the reader `find` gives, or the one passed; closed after the test."""
    with ExitStack() as stack:

        def _read(path: Path, reader: Callable[[Path], Recording] | None = None) -> Recording:
            return stack.enter_context((reader or readers.find(path))(path))

        yield _read


@pytest.fixture
def oracle() -> Iterator[Callable[[Path], NWBFile]]:
    """What pynwb reads from a file; closed after the test."""
    with ExitStack() as stack:

        def _oracle(path: Path) -> NWBFile:
            return stack.enter_context(NWBHDF5IO(str(path), "r")).read()

        yield _oracle


@pytest.fixture
def store(tmp_path: Path) -> neuropile.Store:
    return neuropile.create_store(tmp_path / "store")


@pytest.fixture
def ingest(store: neuropile.Store) -> Callable[[Path], Outcome]:
    """Ingest one file into `store` and give its outcome."""

    def _ingest(path: Path) -> Outcome:
        (outcome,) = neuropile.ingest([path], store, readers.find)
        return outcome

    return _ingest
