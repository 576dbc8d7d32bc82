"""Public buckets, against a loopback one that lists three keys a page and keeps versions."""

from __future__ import annotations

import hashlib
import json
import random
import re
from contextlib import suppress
from dataclasses import replace

import pytest
from archives.loopback import Mischief, quoted, serving
from archives.servers_s3 import S3, Bucket
from hypothesis import given
from hypothesis import strategies as st

from neuropile.archives import fetching, s3
from neuropile.errors import ArchiveError

order = random.Random(13)
KEYS = {f"p/{n}": order.randbytes(300 + i) for i, n in enumerate(["a.nwb", "b c#+ü.nwb", "d/e.nwb", "f.csv", "g.csv", "h.csv", "i"])}


@pytest.fixture
def bucket(monkeypatch):
    with serving(Bucket, S3(files={**KEYS, "p/folder/": b"", "q/other": b"1"})) as state:
        monkeypatch.setenv("NEUROPILE_S3_URL", state.url)
        yield state


def test_a_bucket_is_listed_over_all_its_pages(web, bucket) -> None:
    listing = s3.bucket("b", "p/", "us-west-2").list(web)
    assert {a.path: a.bytes for a in listing.assets} == {k: len(v) for k, v in KEYS.items()}
    assert all(a.digest == f"s3-etag:{hashlib.md5(KEYS[a.path]).hexdigest()}" for a in listing.assets)
    assert not listing.pinned
    assert (listing.archive, listing.id) == ("s3", "b/p")
    assert len(bucket.asked) == 3
    again = s3.bucket("b", "p/").list(web)
    assert again.version == listing.version
    bucket.files["p/a.nwb"] = b"changed"
    assert s3.bucket("b", "p/").list(web).version != listing.version


def test_objects_are_fetched_and_compared_with_their_etags(web, bucket, tmp_path) -> None:
    archive = s3.bucket("b", "p/")
    for asset in archive.list(web).assets:
        assert fetching.fetch(archive, asset, web, tmp_path).read_bytes() == KEYS[asset.path]
    bucket.mischief = lambda asked: Mischief(flip=True)
    with pytest.raises(ArchiveError, match="its md5 is"):
        fetching.fetch(archive, archive.list(web).assets[0], web, tmp_path / "another")


def test_an_empty_prefix_has_no_files(web, bucket) -> None:
    assert s3.bucket("b", "nothing/").list(web).assets == ()


def test_a_manifest_pins_what_it_names(web, bucket, tmp_path) -> None:
    old = {k: b"old " + v for k, v in KEYS.items() if k != "p/i"}
    bucket.files.update({f"{k}?v1": v for k, v in old.items()})
    for k in ("p/a.nwb", "p/f.csv"):
        bucket.files[k] = old[k]  # is as it was; the others have changed since

    def row(key: str) -> dict[str, str]:
        url = f"https://b.s3.us-west-2.amazonaws.com/{quoted(key)}"
        return {"url": url, "version_id": "v1", "file_hash": hashlib.blake2b(old[key]).hexdigest()}

    says = {"metadata_files": {"units": row("p/f.csv")}, "data_files": {"1": row("p/a.nwb"), "2": row("p/b c#+ü.nwb")}}
    bucket.files["p/m/manifest_v0.5.0.json"] = json.dumps(says).encode()
    archive = s3.bucket("b", "p/", "us-west-2", "p/m/manifest_v0.5.0.json")
    listing = archive.list(web)
    assert (listing.version, listing.pinned) == ("manifest_v0.5.0.json", True)
    assert [a.path for a in listing.assets] == ["p/a.nwb", "p/b c#+ü.nwb", "p/f.csv"]
    for asset in (listing.assets[0], replace(listing.assets[1], bytes=None)):
        assert fetching.fetch(archive, asset, web, tmp_path).read_bytes() == old[asset.path]
    assert bucket.asked[-1].query == {"versionId": "v1"}


def test_the_address_of_a_bucket_fits_its_certificate() -> None:
    assert s3.bucket("b", "", "us-west-2")._at == "https://b.s3.us-west-2.amazonaws.com"
    assert s3.bucket("b.org", "", "us-west-2")._at == "https://s3.us-west-2.amazonaws.com/b.org"


@pytest.mark.parametrize(
    ("mischief", "words"),
    [
        (Mischief(301, {"x-amz-bucket-region": "eu-west-1"}, b"<Error><Code>PermanentRedirect</Code></Error>"), "not in us-east-1: give its own region"),
        (Mischief(403, {}, b"<Error><Code>AccessDenied</Code></Error>"), "AccessDenied.*read without credentials"),
        (Mischief(200, {}, b"<Error><Code>SlowDown</Code></Error>"), "sought a listing, got Error: SlowDown"),
        (Mischief(200, {}, b"<html"), "sought a listing in XML"),
        (Mischief(200, {}, b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult/>'), "declares entities"),
    ],
)
def test_what_is_no_listing_is_told(web, bucket, mischief: Mischief, words: str) -> None:
    bucket.next = [mischief]
    with pytest.raises(ArchiveError, match=words):
        s3.bucket("b", "p/").list(web)


def test_a_key_that_leaves_its_folder_is_refused(web, bucket) -> None:
    bucket.files["p/../../x"] = b"1"
    with pytest.raises(ArchiveError, match="would leave its folder"):
        s3.bucket("b", "p/").list(web)


@given(data=st.data())
def test_no_damaged_listing_does_more_than_fail_clearly(web, bucket, data) -> None:
    text = bytearray(web.get(f"{bucket.url}/b/", {"prefix": "p/"}).content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=8) | st.sampled_from([b"9" * 40, b"-1", b"x", b"../", b"\xff"]))
    bucket.next = [Mischief(200, {}, bytes(text))]
    with suppress(ArchiveError):  # and nothing else
        for asset in s3.bucket("b", "p/").list(web).assets:
            assert asset.bytes is None or asset.bytes >= 0
    bucket.next = []


WRONG = [None, 1, [], {}, "", "http://[", "x", "https://h/../x", "0" * 128]


@given(row=st.dictionaries(st.sampled_from(["url", "version_id", "file_hash"]), st.sampled_from(WRONG)))
def test_no_damaged_manifest_does_more_than_fail_clearly(web, bucket, row) -> None:
    for says in ({"data_files": {"1": row}}, {"data_files": [row]}, {"data_files": {"1": 5}}, [], None):
        bucket.files["p/m.json"] = json.dumps(says).encode()
        try:
            listing = s3.bucket("b", "p/", manifest="p/m.json").list(web)
        except ArchiveError as e:
            assert re.search(r"is no manifest|without a usable|would leave", str(e))  # noqa: PT017 (it need not fail)
        else:  # nothing is wrong with such a row; it names no file below the prefix
            assert (row["url"] in ("x", "0" * 128), row["file_hash"]) == (True, "0" * 128)
            assert listing.assets == ()
