"""What sources are called where their addresses or names are odd: with a signature behind them, or in no UTF-8."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import alffolder
import numpy as np
import pytest
from servers import serving
from upath import UPath

from neuropile import readers
from neuropile.cli.demo import bundled
from neuropile.readers import arrays, mat, nwb, upstream

NWB, MAT = (next(f for _, files in bundled() for f in files if f.suffix == suffix) for suffix in (".nwb", ".mat"))
QUERIES = ["X-Amz-Signature=abc", "sig=1.2", "credential=me/2024.zarr/us"]
NPZ = {"times": "t", "units": "u"}


def trains_of(recording: Any) -> list[np.ndarray]:
    return [np.array(recording.trains.read(i)) for i in range(recording.trains.n_units)]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    ("name", "source", "options"),
    [("x.nwb", NWB, {}), ("x", NWB, {}), ("x.mat", MAT, {}), ("x.npz", None, {"mapping": NPZ}), ("x.nwb", NWB, {"upstream": True})],
)
def test_an_address_with_a_query_is_read_as_the_file_it_leads_to(tmp_path: Path, name: str, source: Path | None, options: dict[str, Any], query: str) -> None:
    if source is None:
        np.savez(tmp_path / name, t=np.arange(9.0), u=np.arange(9) % 2)
    else:
        shutil.copy(source, tmp_path / name)
    with serving(tmp_path) as server:
        far = UPath(f"{server.url}/{name}?{query}")
        reader = readers.find(far, **options)
        with reader(far) as there, readers.find(tmp_path / name, **options)(tmp_path / name) as here:
            assert (there.session_id, reader.session_name(far)) == ("x", "x")
            for mine, theirs in zip(trains_of(there), trains_of(here), strict=True):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("reader", [nwb.units(), mat.cells(), arrays.mapped(NPZ), upstream.counts(nwb.units())], ids=lambda r: type(r).__name__)
def test_no_session_is_called_by_a_query_and_only_web_addresses_have_one(reader: Any) -> None:
    for query in QUERIES:
        assert reader.session_name(UPath(f"https://host/a/x.nwb?{query}")) == "x"
        assert reader.session_name(UPath(f"https://host/a/x?{query}")) == "x"
    assert reader.session_name(Path("a/why?.nwb")) == "why?"
    assert reader.session_name(UPath("memory://a/why?.nwb")) == "why?"


def not_text(value: Any) -> list[str]:
    """Every text in a value that UTF-8 does not hold."""
    if isinstance(value, str):
        return [value] if value.encode("utf-8", "ignore").decode() != value else []
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [t for v in value for t in not_text(v)] if isinstance(value, list | tuple) else []


def odd(name: bytes) -> str:
    return os.fsdecode(name)


def _npz(folder: Path) -> tuple[Path, dict[str, Any]]:
    np.savez(folder / odd(b"bad\xff.npz"), t=np.arange(9.0), u=np.arange(9) % 2)
    return folder / odd(b"bad\xff.npz"), {"mapping": NPZ}


def _nwb(folder: Path) -> tuple[Path, dict[str, Any]]:
    return Path(shutil.copy(NWB, folder / odd(b"bad\xff.nwb"))), {}


def _upstream(folder: Path) -> tuple[Path, dict[str, Any]]:
    return _nwb(folder)[0], {"upstream": True}


def _mat(folder: Path) -> tuple[Path, dict[str, Any]]:
    return Path(shutil.copy(MAT, folder / odd(b"bad\xff.mat"))), {}


def _kilosort(folder: Path) -> tuple[Path, dict[str, Any]]:
    made = alffolder.kilosort(folder, np.arange(100) * 300, np.arange(100) % 3)
    (made / odd(b"cluster_\xff.tsv")).write_text("cluster_id\tx\n0\t1\n")
    (made / odd(b"cluster_\xfe.tsv")).write_bytes(b"\x00")
    return made, {}


def _alf(folder: Path) -> tuple[Path, dict[str, Any]]:
    alffolder.put(folder, spikes__times=np.arange(9.0), spikes__clusters=np.arange(9) % 2)
    (folder / odd(b"clusters.depths.\xff.npy")).write_bytes(b"junk")
    (folder / odd(b"trials.choice.\xff.npy")).write_bytes(b"junk")
    alffolder.put(folder / odd(b"probe\xff"), trials__choice=np.arange(3))
    return folder, {}


@pytest.mark.parametrize("make", [_npz, _nwb, _upstream, _mat, _kilosort, _alf])
def test_a_name_that_is_no_utf8_reaches_nothing_that_is_stored(tmp_path: Path, make: Any) -> None:
    folder = tmp_path / odd(b"rat\xff")
    folder.mkdir()
    path, options = make(folder)
    with readers.find(path, **options)(path) as recording:
        assert recording.session_id in ("bad", "rat")
        stored = [recording.session_id, recording.source, recording.notes, recording.holds, vars(recording.subject), recording.units.to_pydict()]
        stored += [[*recording.intervals], [*recording.signals], recording.span_source]
        assert not_text(stored) == []
