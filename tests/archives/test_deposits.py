"""One folder, deposited in four archives: each lists the same files and gives the same bytes, read whole or in part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archives.servers_deposits import Dryad, Figshare, Osf, Zenodo, deposit, fetched, made

from neuropile.archives import Archive, dryad, figshare, osf, view, zenodo
from neuropile.archives.web import Web

NAMES = ("big.nwb", "dä/a b#1+2.nwb", "dä/e/x%20.csv", "empty.csv")
SERVED: dict[str, tuple[Any, str, str, Archive]] = {
    "zenodo": (Zenodo, "13952210", "/api", zenodo.record("13952210")),
    "dryad": (Dryad, "10.5061/dryad.c2fqz61kb", "/api/v2", dryad.dataset("c2fqz61kb")),
    "osf": (Osf, "82jfr", "/v2", osf.node("82jfr")),
    "figshare": (Figshare, "7739750", "/v2", figshare.article("7739750")),
}


@pytest.mark.parametrize("name", list(SERVED))
def test_a_folder_deposited_anywhere_comes_back(name: str, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, id, base, archive = SERVED[name]
    for variable, value in (("ID", "me"), ("SECRET", "hush")):
        monkeypatch.setenv(f"NEUROPILE_DRYAD_{variable}", value)
    monkeypatch.setenv("NEUROPILE_CACHE", str(tmp_path / "counts"))
    files = {**made(NAMES), "big.nwb": bytes(range(256)) * 8192}
    for path, data in files.items():
        (tmp_path / "here" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / path).write_bytes(data)
    with deposit(handler, tmp_path / "here", id=id) as served:
        monkeypatch.setenv(f"NEUROPILE_{name.upper()}_URL", served.url + base)
        listing = archive.list(web)
        expected = {p.replace("/", " ") if name == "figshare" else p: data for p, data in files.items()}  # figshare has no folders
        assert {a.path: a.bytes for a in listing.assets} == {p: len(d) for p, d in expected.items()}
        assert (listing.archive, listing.id, listing.pinned) == (name, id, name != "osf")
        assert listing.title
        assert listing.license
        assert listing.citation
        assert listing == archive.list(web)
        big = next(a for a in listing.assets if a.path == "big.nwb")
        before = served.n_bytes + served.store.n_bytes
        part = view.path(archive, [big], web, tmp_path / "view")
        with part.open("rb") as f:
            f.seek(1_000_000)
            assert f.read(1000) == expected["big.nwb"][1_000_000:1_001_000]
        assert served.n_bytes + served.store.n_bytes - before < len(expected["big.nwb"]) // 2
        assert {a.path: fetched(archive, a, web, tmp_path / "cache") for a in listing.assets} == expected


def test_describing_a_deposit_asks_nobody() -> None:
    for _, id, _, archive in SERVED.values():
        assert archive.id == id
        assert archive == replace(archive)  # type: ignore[type-var]
        assert hash(archive)
        assert id in repr(archive)
