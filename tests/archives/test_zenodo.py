"""Zenodo: every shape of a record, ids of all versions, ranges, limits, tombstones."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from archives.loopback import HTML, Mischief
from archives.servers_deposits import AWKWARD, Zenodo, deposit, fetched, made

from neuropile.archives import patience, zenodo
from neuropile.archives.answers import is_safe
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("ZENODO_TOKEN", raising=False)
    with deposit(Zenodo, made(), id="3854034", more={"concept": "3854033"}) as state:
        monkeypatch.setenv("NEUROPILE_ZENODO_URL", f"{state.url}/api")
        yield state


@pytest.mark.parametrize("shape", ["zenodo", "rdm", "2023", "bare"])
def test_each_shape_of_a_record_lists_the_same_files(served: Any, web: Web, shape: str) -> None:
    served.more["shape"] = shape
    listing = zenodo.record("3854034").list(web)
    told = {a.path: (a.bytes, a.digest, a.sha256, a.version) for a in listing.assets}
    assert told == {n: (len(b), f"md5:{hashlib.md5(b).hexdigest()}", None, "3854034") for n, b in made().items()}
    assert (listing.version, listing.pinned, listing.license) == ("3854034", True, "CC-BY-4.0")
    assert listing.title == "Reaching & grasping"
    assert listing.citation == "O'Doherty, Joseph E.; Sabes, Philip N. (2020). Reaching & grasping. Zenodo. doi:10.5281/zenodo.3854034"
    assert all(is_safe(a.path) for a in listing.assets)


@pytest.mark.parametrize("redirects", [True, False])
@pytest.mark.parametrize("shape", ["zenodo", "rdm"])
def test_the_id_of_all_versions_is_resolved_and_the_versions_own_is_kept(served: Any, web: Web, redirects: bool, shape: str) -> None:
    served.more |= {"redirects": redirects, "shape": shape}
    listing = zenodo.record("3854033").list(web)
    assert listing.version == "3854034"
    assert {a.version for a in listing.assets} == {"3854034"}
    place = zenodo.record("3854033").places(listing.assets[0], web)[0]
    assert "/records/3854034/files/" in place.url


def test_an_id_that_is_neither_is_told(served: Any, web: Web) -> None:
    with pytest.raises(ArchiveError, match=r"404.*no such thing"):
        zenodo.record("77").list(web)


def test_a_search_that_gives_another_record_is_not_taken_for_the_one_meant(served: Any, web: Web) -> None:
    served.more |= {"redirects": False, "record": {"conceptrecid": "5"}}
    with pytest.raises(ArchiveError, match="404"):
        zenodo.record("3854033").list(web)


def test_a_deleted_record_is_told_with_its_tombstone(served: Any, web: Web) -> None:
    served.wrong = lambda asked: Mischief(410, {}, b'{"status": 410, "message": "The record has been deleted.", "tombstone": {"note": "spam"}}')
    with pytest.raises(ArchiveError, match=r"410.*deleted.*withdrawn"):
        zenodo.record("3854034").list(web)


def test_files_under_restriction_are_told_with_the_way_to_them(served: Any, web: Web) -> None:
    served.more |= {"record": {"files": []}, "metadata": {"access_right": "restricted"}}
    with pytest.raises(ArchiveError, match=r"restricted.*ZENODO_TOKEN"):
        zenodo.record("3854034").list(web)


def test_files_of_any_name_are_fetched_from_where_ranges_work(served: Any, web: Web, tmp_path: Path) -> None:
    archive = zenodo.record("3854034")
    began = time.monotonic()
    assert {a.path: fetched(archive, a, web, tmp_path) for a in archive.list(web).assets} == made()
    assert time.monotonic() - began < 5  # Retry-After on an answer that is no refusal is nothing to wait for
    assert not served.apis("/content")


def test_a_transfer_cut_in_the_middle_goes_on_where_it_broke_off(served: Any, web: Web, tmp_path: Path) -> None:
    big = bytes(range(256)) * 4096
    served.files["big.mat"] = big
    archive = zenodo.record("3854034")
    asset = next(a for a in archive.list(web).assets if a.path == "big.mat")
    served.next = [Mischief(cut=0.5)]
    assert fetched(archive, asset, web, tmp_path) == big
    first, second = [a for a in served.asked if a.path.startswith("/records/")]
    assert first.start in (None, 0)
    assert second.start
    assert second.start > len(big) // 4
    assert first.sent + second.sent <= len(big) + (1 << 18)


def test_where_the_page_fails_the_api_gives_the_file_whole(served: Any, web: Web, tmp_path: Path) -> None:
    archive = zenodo.record("3854034")
    asset = archive.list(web).assets[0]
    served.next = [HTML]
    assert fetched(archive, asset, web, tmp_path) == made()[asset.path]
    assert served.apis("/content")


def test_half_a_file_from_the_page_and_the_whole_from_the_api_make_one(served: Any, web: Web, tmp_path: Path) -> None:
    served.files["big.mat"] = bytes(range(256)) * 4096
    archive = zenodo.record("3854034")
    asset = next(a for a in archive.list(web).assets if a.path == "big.mat")
    served.next = [Mischief(cut=0.5), HTML]
    assert fetched(archive, asset, web, tmp_path) == served.files["big.mat"]
    assert served.apis("/content")[0].sent == len(served.files["big.mat"])


def test_wrong_bytes_of_the_right_length_are_never_taken(served: Any, web: Web, tmp_path: Path) -> None:
    archive = zenodo.record("3854034")
    asset = next(a for a in archive.list(web).assets if a.path == "plain.nwb")
    served.mischief = lambda asked: Mischief(flip=True)
    with pytest.raises(ArchiveError, match="md5"):
        fetched(archive, asset, web, tmp_path)


def test_a_file_without_a_digest_is_listed_by_its_size(served: Any, web: Web, tmp_path: Path) -> None:
    served.digests["plain.nwb"] = None
    archive = zenodo.record("3854034")
    asset = next(a for a in archive.list(web).assets if a.path == "plain.nwb")
    assert (asset.digest, asset.bytes) == (None, len(made()["plain.nwb"]))
    assert fetched(archive, asset, web, tmp_path) == made()["plain.nwb"]


def test_a_record_removed_between_listing_and_fetching_is_told(served: Any, web: Web, tmp_path: Path) -> None:
    archive = zenodo.record("3854034")
    asset = archive.list(web).assets[0]
    served.wrong = lambda asked: Mischief(410, {}, b"{}")
    with pytest.raises(ArchiveError, match="410"):
        fetched(archive, asset, web, tmp_path)


def shapes() -> dict[str, dict[str, str]]:
    """A wait of a second, in the shapes in use."""
    soon = time.time() + 1
    return {
        "Retry-After": {"Retry-After": "1"},
        "date": {"Retry-After": formatdate(soon, usegmt=True)},
        "X-RateLimit-Reset": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(soon))},
        "RateLimit-Reset": {"RateLimit-Remaining": "0", "RateLimit-Reset": str(int(soon))},
        "RateLimit": {"RateLimit": '"api";r=0;t=1'},
    }


@pytest.mark.parametrize("shape", list(shapes()))
def test_a_limit_is_waited_for_in_whatever_shape_it_is_told(served: Any, web: Web, shape: str) -> None:
    refusals = [Mischief(429, shapes()[shape], b"too many")]
    served.wrong = lambda asked: refusals.pop() if refusals else None
    began = time.monotonic()
    assert len(zenodo.record("3854034").list(web).assets) == len(AWKWARD)
    assert time.monotonic() - began < 4
    assert len(served.asked) == 2


def test_a_limit_that_lasts_stops_the_listing_and_says_when_to_come_back(served: Any, web: Web) -> None:
    served.wrong = lambda asked: Mischief(429, {"X-RateLimit-Reset": str(int(time.time() + patience.MAX_WAIT_S + 3600))}, b"")
    with pytest.raises(ArchiveError, match="run again after"):
        zenodo.record("3854034").list(web)
    assert len(served.asked) == 1


def test_the_token_is_shown_where_there_is_one(served: Any, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZENODO_TOKEN", "hush")
    zenodo.record("3854034").list(web)
    assert served.asked[-1].headers["authorization"] == "Bearer hush"


@pytest.mark.parametrize("body", [b"<html>down</html>", b"[]", b'{"id": null}', b'{"id": 1, "files": "many"}', b'{"id": 1, "files": [{"size": 3}]}', b"3"])
def test_an_answer_of_another_shape_is_an_error_of_one_line(served: Any, web: Web, body: bytes) -> None:
    served.wrong = lambda asked: Mischief(200, {"Content-Type": "application/json"}, body)
    with pytest.raises(ArchiveError) as error:
        zenodo.record("3854034").list(web)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["../up.nwb", "/etc/passwd", "a/../../b", "C:x", "a\\b"])
def test_a_name_that_would_leave_its_folder_is_refused(served: Any, web: Web, name: str) -> None:
    served.files = {name: b"x"}
    with pytest.raises(ArchiveError, match="leave its folder"):
        zenodo.record("3854034").list(web)


def test_an_empty_record_is_an_empty_listing(served: Any, web: Web) -> None:
    served.files = {}
    assert zenodo.record("3854034").list(web).assets == ()


def test_facts_are_those_of_the_record(served: Any, web: Web) -> None:
    assert zenodo.record("3854034").facts(web) == {
        "description": "Monkeys reach.",
        "keywords": ["M1"],
        "published": "2020-05-26",
        "doi": "10.5281/zenodo.3854034",
    }


@pytest.mark.parametrize("id", ["", "abc", "10.5061/dryad.x", "12.5"])
def test_what_is_no_record_is_told(id: str) -> None:
    with pytest.raises(ArchiveError, match="no record of Zenodo"):
        zenodo.record(id)
