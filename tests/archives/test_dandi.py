"""DANDI's client against a loopback DANDI: versions, drafts, pages, keys, blobs and Zarr folders."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from archives.loopback import Mischief
from archives.servers_dandi import DandiState, dandi_serving, zarr_checksum

from neuropile.archives import dandi, fetching, folder, view
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError, SourceChanged

VERSION = "0.240329.1926"
order = random.Random(11)


@pytest.fixture
def source(tmp_path) -> Path:
    """Seven files, one of them a Zarr folder with chunks in several pages."""
    root = tmp_path / "source"
    for name in ("sub-1/sub-1_ses-1.nwb", "sub-1/sub-1 ses#2+ü.nwb", "sub-2/a.nwb", "sub-2/b.nwb", "sub-3/c.nwb", "dandiset.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(order.randbytes(200_000 if name.endswith("2/a.nwb") else 3000))
    for name, data in {".zgroup": b'{"zarr_format": 2}', "units/id/.zarray": b"{}", **{f"units/id/{i}": order.randbytes(50) for i in range(12)}}.items():
        (root / "sub-4/x.nwb.zarr" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "sub-4/x.nwb.zarr" / name).write_bytes(data)
    return root


@pytest.fixture
def server(source, monkeypatch) -> Iterator[DandiState]:
    with dandi_serving(DandiState(page=3)) as state:
        state.add_dandiset(source, "000017", VERSION)
        state.add_dandiset(source, "000017", "0.220126.1500")
        state.add_dandiset(source, "000018")
        monkeypatch.setenv("NEUROPILE_DANDI_URL", state.api)
        monkeypatch.delenv("DANDI_API_KEY", raising=False)
        yield state


def files_of(source: Path) -> dict[str, bytes]:
    return {p.relative_to(source).as_posix(): p.read_bytes() for p in source.rglob("*") if p.is_file() and ".zarr" not in p.as_posix()}


def test_a_version_is_listed_over_all_its_pages(web, server, source) -> None:
    listing = dandi.dandiset("17", VERSION).list(web)
    assert (listing.archive, listing.id, listing.version, listing.pinned) == ("dandi", "000017", VERSION, True)
    assert (listing.license, listing.title) == ("CC-BY-4.0", "Dandiset 000017")
    assert listing.citation.startswith("Doe, J. (2024)")
    files = files_of(source)
    assert {a.path for a in listing.assets} == {*files, "sub-4/x.nwb.zarr"}
    for asset in listing.assets:
        if asset.path in files:
            assert (asset.bytes, asset.sha256) == (len(files[asset.path]), hashlib.sha256(files[asset.path]).hexdigest())
            assert asset.digest.startswith("dandi-etag:")
            assert len(asset.version) == 36
    pages = [a for a in server.asked if a.path.endswith("/assets/")]
    assert len(pages) == 3


def test_without_a_version_the_newest_published_is_meant_or_the_draft(web, server) -> None:
    assert dandi.dandiset("000017").list(web).version == VERSION
    draft = dandi.dandiset("000018").list(web)
    assert (draft.version, draft.pinned) == ("draft", False)


def test_an_empty_dandiset_has_no_files(web, server, tmp_path) -> None:
    server.add_dandiset(tmp_path / "nothing", "000019")
    assert dandi.dandiset("000019").list(web).assets == ()


@pytest.mark.parametrize("public", [True, False])
def test_every_file_is_fetched_as_it_is(web, server, source, tmp_path, public: bool) -> None:
    server.public = public
    archive = dandi.dandiset("000017", VERSION)
    listing = archive.list(web)
    for asset in listing.assets:
        made = fetching.fetch(archive, asset, web, tmp_path / "cache")
        if made.is_dir():
            held = {p.relative_to(made).as_posix(): p.read_bytes() for p in made.rglob("*") if p.is_file()}
            assert held == {p.relative_to(source / asset.path).as_posix(): p.read_bytes() for p in (source / asset.path).rglob("*") if p.is_file()}
            assert fetching.verify(made, asset) == "dandi-zarr-checksum"
        else:
            assert made.read_bytes() == (source / asset.path).read_bytes()
            assert made.name == Path(asset.path).name
    assert any(a.path.endswith("/download/") for a in server.asked) != public  # open files come from the bucket
    n = len(server.bucket.asked)
    for asset in listing.assets:
        fetching.fetch(archive, asset, web, tmp_path / "cache")
    assert len(server.bucket.asked) == n


def test_where_the_bucket_refuses_the_api_is_asked(web, server, tmp_path) -> None:
    archive = dandi.dandiset("000017", VERSION)
    asset = next(a for a in archive.list(web).assets if a.path == "sub-2/a.nwb")
    fetching.fetch(archive, replace(asset, url=f"{server.bucket.url}/nowhere"), web, tmp_path / "cache")
    assert server.asked[-1].path == f"/api/assets/{asset.version}/download/"


def test_another_address_is_asked_instead_of_the_public_bucket(web, server) -> None:
    asset = replace(dandi.dandiset("000017", VERSION).list(web).assets[1], url="https://dandiarchive.s3.amazonaws.com/blobs/x")
    places = dandi.dandiset("000017", VERSION).places(asset, web)
    assert [p.url for p in places] == [f"{server.api}/assets/{asset.version}/download/"]


def test_digests_may_be_missing(web, server, tmp_path) -> None:
    server.digests = ()
    archive = dandi.dandiset("000018")
    asset = next(a for a in archive.list(web).assets if a.path == "sub-2/a.nwb")
    assert (asset.sha256, asset.digest) == (None, None)
    assert fetching.verify(fetching.fetch(archive, asset, web, tmp_path / "cache"), asset) == "size"
    zarr = next(a for a in archive.list(web).assets if a.path.endswith(".zarr"))
    assert fetching.fetch(archive, zarr, web, tmp_path / "cache").is_dir()


def test_the_etag_decides_where_it_is_all_there_is(web, server, tmp_path) -> None:
    server.digests = ("dandi-etag",)
    archive = dandi.dandiset("000018")
    asset = next(a for a in archive.list(web).assets if a.path == "sub-2/a.nwb")
    assert fetching.verify(fetching.fetch(archive, asset, web, tmp_path / "cache"), asset) == "dandi-etag"
    server.bucket.mischief = lambda asked: Mischief(flip=True)
    with pytest.raises(ArchiveError, match="its dandi-etag is"):
        fetching.fetch(archive, asset, web, tmp_path / "another")


def test_a_zarr_folder_is_read_through_a_view_by_its_chunks(web, server, source, tmp_path) -> None:
    archive = dandi.dandiset("000017", VERSION)
    zarr = next(a for a in archive.list(web).assets if a.path.endswith(".zarr"))
    path = view.path(archive, [zarr], web, tmp_path / "cache")
    assert path.name == "x.nwb.zarr"
    assert path.is_dir()
    assert sorted(p.name for p in path.iterdir()) == [".zgroup", "units"]
    assert (path / "units/id/7").read_bytes() == (source / zarr.path / "units/id/7").read_bytes()
    assert [a.path.rpartition("/")[2] for a in server.bucket.asked] == ["7"]
    assert fetching.folder_of(archive, zarr, tmp_path / "cache").is_dir()
    fetching.fetch(archive, zarr, web, tmp_path / "cache")
    assert len([a for a in server.bucket.asked if a.path.endswith("/7")]) == 1


def test_a_chunk_with_wrong_bytes_is_fetched_again_and_then_told(web, server, tmp_path) -> None:
    archive = dandi.dandiset("000017", VERSION)
    zarr = next(a for a in archive.list(web).assets if a.path.endswith(".zarr"))
    path = view.path(archive, [zarr], web, tmp_path / "cache")
    server.bucket.next = [Mischief(flip=True)]
    assert len((path / "units/id/7").read_bytes()) == 50
    server.bucket.mischief = lambda asked: Mischief(flip=True)
    with pytest.raises(SourceChanged, match=r"units/id/8: its md5 is .*, twice"), view.telling(path):
        path.fs.cat_file((path / "units/id/8").path)


def test_a_zarr_folder_that_changed_is_noticed(web, server, source, tmp_path) -> None:
    archive = dandi.dandiset("000017", VERSION)
    zarr = next(a for a in archive.list(web).assets if a.path.endswith(".zarr"))
    assert zarr.digest == f"dandi-zarr-checksum:{zarr_checksum(source / zarr.path)[0]}"
    (source / zarr.path / "units/id/7").write_bytes(b"another")
    with pytest.raises(SourceChanged, match="is another folder now"):
        fetching.fetch(archive, zarr, web, tmp_path / "cache")


def test_an_asset_that_was_replaced_is_noticed(web, server, source, tmp_path) -> None:
    archive = dandi.dandiset("000018")
    asset = next(a for a in archive.list(web).assets if a.path == "sub-2/a.nwb")
    (source / asset.path).write_bytes(b"shorter")
    with pytest.raises(SourceChanged, match="list it again"):
        fetching.fetch(archive, asset, web, tmp_path / "cache")


def test_embargoed_dandisets_need_a_key(web, server, tmp_path, monkeypatch) -> None:
    server.key, server.public = "SECRET", False
    with pytest.raises(ArchiveError, match=r"401.*set DANDI_API_KEY") as caught:
        dandi.dandiset("000017", VERSION).list(web)
    assert "SECRET" not in str(caught.value)
    monkeypatch.setenv("DANDI_API_KEY", "SECRET")
    archive = dandi.dandiset("000017", VERSION)
    asset = archive.list(web).assets[1]
    fetching.fetch(archive, asset, web, tmp_path / "cache")  # the bucket refuses any credential
    monkeypatch.setenv("DANDI_API_KEY", "wrong")
    with pytest.raises(ArchiveError, match=r"403.*set DANDI_API_KEY"):
        fetching.fetch(archive, asset, web, tmp_path / "another")


@pytest.mark.parametrize(
    ("id", "version", "words"),
    [("999999", VERSION, "has no version"), ("000017", "0.111111.1111", "has no version 0.111111.1111"), ("999999", None, "is not there")],
)
def test_what_is_not_there_is_told(web, server, id: str, version: str | None, words: str) -> None:
    with pytest.raises(ArchiveError, match=f"dandi:{id} {words}.*404"):
        dandi.dandiset(id, version).list(web)


@pytest.mark.parametrize(("id", "version"), [("abc", None), ("0000017", None), ("000017", "1.0"), ("../x", None)])
def test_what_is_no_dandiset_is_told_at_once(id: str, version: str | None) -> None:
    with pytest.raises(ArchiveError, match="six digits"):
        dandi.dandiset(id, version)


def test_a_busy_api_is_waited_for(web, server) -> None:
    server.next = [Mischief(503), Mischief(500), Mischief(429, {"Retry-After": "0"})]
    assert len(dandi.dandiset("000017", VERSION).list(web).assets) == 7


def test_pages_that_never_end_are_not_followed(web, server, monkeypatch) -> None:
    turning = {"count": None, "next": f"{server.api}/dandisets/000017/versions/{VERSION}/assets/?page=2", "results": []}
    said = Web.json
    monkeypatch.setattr(Web, "json", lambda self, url, *a, **k: turning if "/assets/" in url else said(self, url, *a, **k))
    with pytest.raises(ArchiveError, match="does not end"):
        dandi.dandiset("000017", VERSION).list(web)


def test_a_folder_stands_for_a_dandiset(web, server, source, tmp_path) -> None:
    listing = dandi.dandiset("000017", VERSION).list(web)
    n = len(server.bucket.asked)
    mirrored = folder.mirror(source, listing)
    assert mirrored.list(web) == listing
    for asset in listing.assets:
        assert fetching.fetch(mirrored, asset, web, tmp_path / "cache") == source / asset.path
    assert len(server.bucket.asked) == n
    (source / "sub-4/x.nwb.zarr/units/id/3").write_bytes(bytes(50))
    zarr = next(a for a in listing.assets if a.path.endswith(".zarr"))
    with pytest.raises(ArchiveError, match="its dandi-zarr-checksum is"):
        view.path(mirrored, [zarr], web, tmp_path / "cache")


def test_a_dandiset_is_a_value(web, server) -> None:
    assert dandi.dandiset("17") == dandi.dandiset("000017")
    assert hash(dandi.dandiset("17")) == hash(dandi.dandiset("000017"))
    assert dandi.dandiset("17", VERSION) != dandi.dandiset("17")
    assert dandi.dandiset("17", VERSION).facts(web) == {}


def test_a_version_that_is_removed_between_listing_and_fetching_is_told(web, server, tmp_path) -> None:
    archive = dandi.dandiset("000018")
    listing = archive.list(web)
    server.versions.clear()
    server.bucket.files.clear()
    with pytest.raises(ArchiveError, match=r"HTTP 404.*no such thing there"):
        fetching.fetch(archive, listing.assets[1], web, tmp_path / "cache")
