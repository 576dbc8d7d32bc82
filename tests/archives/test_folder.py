"""Folders of this machine as archives."""

from __future__ import annotations

import hashlib
import random

import pytest

from neuropile.archives import Listing, folder, view
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

order = random.Random(13)
KEYS = {f"p/{n}": order.randbytes(300 + i) for i, n in enumerate(["a.nwb", "b c#+ü.nwb", "d/e.nwb", "f.csv", "g.csv", "h.csv", "i"])}


def test_a_folder_lists_its_files_and_nothing_outside(tmp_path, web) -> None:
    root = tmp_path / "in"
    for key, data in KEYS.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    (root / ".hidden").write_bytes(b"1")
    (tmp_path / "outside").write_bytes(b"1")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    (root / "x.zarr").mkdir()
    (root / "x.zarr/.zgroup").write_bytes(b"{}")
    archive = folder.folder(root)
    listing = archive.list(web)
    assert {a.path: a.bytes for a in listing.assets} == {**{k: len(v) for k, v in KEYS.items()}, "x.zarr": 2}
    assert listing.id == "in"
    both = view.path(archive, [a for a in listing.assets if a.path in ("p/i", "x.zarr")], web, tmp_path / "cache")
    assert (both / "x.zarr/.zgroup").read_bytes() == b"{}"
    assert (both / "p/i").read_bytes() == KEYS["p/i"]
    with pytest.raises(ArchiveError, match="no such folder"):
        folder.folder(tmp_path / "nothing").list(web)


def test_a_mirror_must_hold_what_is_listed(tmp_path, web) -> None:
    assets = [Asset(k, len(v), None, "https://host/x", None, f"md5:{hashlib.md5(v).hexdigest()}") for k, v in KEYS.items()]
    listing = Listing("s3", "b/p", "1", False, tuple(assets))
    mirrored = folder.mirror(tmp_path, listing)
    with pytest.raises(ArchiveError, match=r"has no p/a\.nwb; put it there under that path"):
        mirrored.list(web)
    for key, data in KEYS.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    assert mirrored.list(web) == listing
    assert mirrored.id == "s3:b/p"
    (tmp_path / "p/a.nwb").write_bytes(b"1")
    with pytest.raises(SourceChanged, match="has 1 bytes, 300 were listed"):
        mirrored.list(web)
    (tmp_path / "p/a.nwb").write_bytes(KEYS["p/a.nwb"][::-1])
    mirrored.list(web)
    with pytest.raises(ArchiveError, match="its md5 is"):
        view.path(mirrored, [listing.assets[0]], web, tmp_path / "cache")


def test_a_mirror_asks_nobody(tmp_path, web) -> None:
    empty = Listing("dandi", "000017", "draft", False, ())
    assert folder.mirror(tmp_path, empty).list(web) == empty
