"""Files by their web addresses."""

from __future__ import annotations

import random
import re

import pytest
from archives.loopback import Mischief, quoted, serving

from neuropile.archives import fetching, http
from neuropile.errors import ArchiveError

order = random.Random(13)
KEYS = {f"p/{n}": order.randbytes(300 + i) for i, n in enumerate(["a.nwb", "b c#+ü.nwb", "d/e.nwb", "f.csv", "g.csv", "h.csv", "i"])}


@pytest.fixture
def server():
    with serving() as state:
        state.files.update(KEYS)
        yield state


def test_addresses_are_files_of_the_length_and_version_their_server_says(web, server, tmp_path) -> None:
    server.etags["p/a.nwb"] = "abc"
    archive = http.files(f"{server.url}/p/a.nwb", f"{server.url}/{quoted('p/b c#+ü.nwb')}?download=1")
    listing = archive.list(web)
    assert [(a.path, a.bytes) for a in listing.assets] == [("a.nwb", 300), ("b c#+ü.nwb", 301)]
    assert listing.assets[0].version == "abc"
    assert re.fullmatch("query=[0-9a-f]{16}", listing.assets[1].version)
    for asset in listing.assets:
        assert fetching.fetch(archive, asset, web, tmp_path).read_bytes() == KEYS[f"p/{asset.path}"]
    assert not listing.pinned


def test_files_of_one_name_on_two_places_are_told_apart(web, server) -> None:
    server.files["q/a.nwb"] = b"1"
    paths = [a.path for a in http.files(f"{server.url}/p/a.nwb", f"{server.url}/q/a.nwb").list(web).assets]
    assert paths == ["127.0.0.1/p/a.nwb", "127.0.0.1/q/a.nwb"]


def test_secrets_of_an_address_are_used_and_never_kept(web, server, tmp_path) -> None:
    archive = http.files(f"{server.url}/p/a.nwb?signature=SECRET")
    listing = archive.list(web)
    assert server.asked[-1].query == {"signature": "SECRET"}
    assert "SECRET" not in f"{archive!r} {archive.id} {listing!r}"
    assert fetching.fetch(archive, listing.assets[0], web, tmp_path).read_bytes() == KEYS["p/a.nwb"]


def test_a_server_whose_head_lies_is_asked_for_a_byte(web, server, tmp_path) -> None:
    server.mischief = lambda asked: Mischief(403) if asked.method == "HEAD" else None
    assert http.files(f"{server.url}/p/a.nwb").list(web).assets[0].bytes == 300


@pytest.mark.parametrize("url", ["ftp://host/x", "x.nwb", "http://", "s3://bucket/x"])
def test_what_is_no_web_address_is_told(url: str) -> None:
    with pytest.raises(ArchiveError, match="no address of a file on the web"):
        http.files(url)
