"""Dryad: versions, pages of relative links, tokens that are renewed, and no more files an hour than it gives."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archives.loopback import HTML, Mischief
from archives.servers_deposits import Dryad, deposit, fetched, made

from neuropile.archives import budgets, dryad, patience
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError

DOI = "10.5061/dryad.x69p8czpq"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setenv("NEUROPILE_CACHE", str(tmp_path / "counts"))
    monkeypatch.setenv("NEUROPILE_DRYAD_ID", "me")
    monkeypatch.setenv("NEUROPILE_DRYAD_SECRET", "hush")
    with deposit(Dryad, made(), id=DOI, version="32", page=2) as state:
        monkeypatch.setenv("NEUROPILE_DRYAD_URL", f"{state.url}/api/v2")
        yield state


def test_every_page_of_a_version_is_listed(served: Any, web: Web) -> None:
    listing = dryad.dataset(DOI).list(web)
    assert {a.path: (a.bytes, a.sha256, a.digest) for a in listing.assets} == {n: (len(b), hashlib.sha256(b).hexdigest(), None) for n, b in made().items()}
    assert [a.query for a in served.apis("/versions/32/files")] == [{"per_page": "100"}, *({"page": str(p), "per_page": "100"} for p in (2, 3, 4))]
    assert (listing.version, listing.pinned, listing.license, listing.title) == ("32", True, "CC0-1.0", "A speech neuroprosthesis")
    assert listing.citation == f"Francis Willett; Erin Kunz (2023). A speech neuroprosthesis. Dryad. doi:{DOI}"


def test_nobody_needs_an_account_to_list(served: Any, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROPILE_DRYAD_SECRET")
    assert len(dryad.dataset(DOI).list(web).assets) == len(made())
    assert not [a for a in served.asked if "authorization" in a.headers]


@pytest.mark.parametrize("version", ["32", "v2", None])
def test_a_version_is_asked_for_by_either_of_its_numbers(served: Any, web: Web, version: str | None) -> None:
    assert dryad.dataset("x69p8czpq", version).list(web).version == "32"


def test_a_version_that_is_not_there_is_told_with_those_that_are(served: Any, web: Web) -> None:
    with pytest.raises(ArchiveError, match="no version v3; it has v1, v2"):
        dryad.dataset(DOI, "v3").list(web)


def test_a_version_of_another_dataset_is_refused(served: Any, web: Web) -> None:
    about = {"_links": {"self": {"href": "/api/v2/versions/99"}, "stash:dataset": {"href": "/api/v2/datasets/doi%3A10.5061%2Fdryad.other"}}}
    served.wrong = lambda asked: Mischief(200, {"Content-Type": "application/json"}, json.dumps(about).encode()) if asked.path.endswith("/99") else None
    with pytest.raises(ArchiveError, match=r"no version 99: that is one of doi:10\.5061/dryad\.other"):
        dryad.dataset(DOI, "99").list(web)


def test_a_dataset_that_is_not_published_is_told(served: Any, web: Web) -> None:
    served.more["hidden"] = {"identifier": f"doi:{DOI}", "id": 234, "message": "Identifier cannot be viewed."}
    with pytest.raises(ArchiveError, match=r"cannot be viewed.*not be published"):
        dryad.dataset(DOI).list(web)


def test_a_version_in_review_is_not_pinned(served: Any, web: Web) -> None:
    served.more["status"] = "Peer review"
    assert not dryad.dataset(DOI).list(web).pinned


@pytest.mark.parametrize(("kind", "name"), [("md5", "md5"), ("sha-1", "sha1"), ("sha-384", "sha384"), ("sha-512", "sha512")])
def test_digests_of_each_type_are_kept_and_hold(served: Any, web: Web, tmp_path: Path, kind: str, name: str) -> None:
    served.more["digestType"] = kind
    archive = dryad.dataset(DOI)
    asset = next(a for a in archive.list(web).assets if a.path == "plain.nwb")
    assert (asset.digest, asset.sha256) == (f"{name}:{hashlib.new(name, made()['plain.nwb']).hexdigest()}", None)
    assert fetched(archive, asset, web, tmp_path) == made()["plain.nwb"]
    served.files["plain.nwb"] = bytes(len(made()["plain.nwb"]))
    with pytest.raises(ArchiveError, match=name):
        fetched(archive, asset, web, tmp_path / "again")


def test_a_digest_that_is_left_out_is_none(served: Any, web: Web) -> None:
    served.digests["plain.nwb"] = None
    asset = next(a for a in dryad.dataset(DOI).list(web).assets if a.path == "plain.nwb")
    assert (asset.digest, asset.sha256) == (None, None)


def test_files_of_any_name_are_fetched_with_a_token_that_the_store_never_sees(served: Any, web: Web, tmp_path: Path) -> None:
    archive = dryad.dataset(DOI)
    assert {a.path: fetched(archive, a, web, tmp_path) for a in archive.list(web).assets} == made()
    assert len(served.apis("/oauth/token")) == 1
    assert not [a for a in served.store.asked if "authorization" in a.headers]


def test_a_token_that_is_refused_is_renewed_once_and_the_file_comes(served: Any, web: Web, tmp_path: Path) -> None:
    archive = dryad.dataset(DOI)
    asset = archive.list(web).assets[0]
    served.more["tokens"].clear()
    assert fetched(archive, asset, web, tmp_path) == made()[asset.path]
    assert [a.status for a in served.apis("/download")] == [401, 302]
    assert len(served.apis("/oauth/token")) == 2


def test_a_token_that_is_refused_again_is_an_error_with_the_way_out(served: Any, web: Web, tmp_path: Path) -> None:
    archive = dryad.dataset(DOI)
    asset = archive.list(web).assets[0]
    served.wrong = lambda asked: Mischief(401, {}, b'{"error":"Unauthorized, must have current bearer token"}') if "/download" in asked.path else None
    with pytest.raises(ArchiveError, match=r"401.*NEUROPILE_DRYAD_ID"):
        fetched(archive, asset, web, tmp_path)
    assert len(served.apis("/download")) == 2


def test_a_token_refused_while_listing_is_renewed_too(served: Any, web: Web) -> None:
    refusals = [Mischief(401, {}, b"{}")]
    served.wrong = lambda asked: refusals.pop() if refusals and "/files" in asked.path else None
    assert len(dryad.dataset(DOI).list(web).assets) == len(made())
    assert len(served.apis("/oauth/token")) == 2


def test_a_token_about_to_end_is_not_shown_any_more(served: Any, web: Web, tmp_path: Path) -> None:
    served.more["lasts"] = 10
    archive = dryad.dataset(DOI)
    asset = archive.list(web).assets[0]
    fetched(archive, asset, web, tmp_path)
    shown = [a.headers["authorization"] for a in served.asked if "authorization" in a.headers]
    assert len(shown) == len(set(shown))


def test_without_an_account_the_way_to_one_is_told_before_anything_is_asked_for(served: Any, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = dryad.dataset(DOI)
    asset = archive.list(web).assets[0]
    monkeypatch.delenv("NEUROPILE_DRYAD_ID")
    served.forget()
    with pytest.raises(ArchiveError, match=r"account: .*datadryad.org/account.*NEUROPILE_DRYAD_ID.*--from DIR"):
        fetched(archive, asset, web, tmp_path)
    assert not served.asked


def test_an_account_that_dryad_does_not_know_is_told(served: Any, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROPILE_DRYAD_SECRET", "wrong")
    with pytest.raises(ArchiveError, match=r"401.*does not know this account") as error:
        dryad.dataset(DOI).list(web)
    assert "wrong" not in str(error.value)


def test_no_more_files_are_asked_for_than_are_given_an_hour(served: Any, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dryad, "FILES", ((3, 3600.0), (500, 86400.0)))
    archive = dryad.dataset(DOI)
    assets = archive.list(web).assets
    for asset in assets[:3]:
        fetched(archive, asset, web, tmp_path)
    with pytest.raises(ArchiveError, match=r"3 files in an hour.*used up; its limit lasts another 60 min: run again after .* UTC, what is here stays"):
        fetched(archive, assets[3], web, tmp_path)
    with Web() as other, pytest.raises(ArchiveError, match="used up"):  # as another process
        fetched(archive, assets[3], other, tmp_path)
    assert len(served.apis("/download")) == 3
    assert fetched(archive, assets[0], web, tmp_path) == made()[assets[0].path]


def test_a_short_wait_is_waited(served: Any, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dryad, "FILES", ((1, 0.8),))
    archive = dryad.dataset(DOI)
    first, second = archive.list(web).assets[:2]
    fetched(archive, first, web, tmp_path)
    began = time.monotonic()
    fetched(archive, second, web, tmp_path)
    assert 0.5 < time.monotonic() - began < 10


def test_a_file_asked_for_again_counts_again(served: Any, web: Web, tmp_path: Path) -> None:
    served.files["plain.nwb"] = bytes(range(256)) * 4096
    archive = dryad.dataset(DOI)
    asset = next(a for a in archive.list(web).assets if a.path == "plain.nwb")
    served.store.next = [Mischief(cut=0.5)]
    assert fetched(archive, asset, web, tmp_path) == served.files["plain.nwb"]
    counted = (tmp_path / "counts" / "budgets").glob("*[!k]")
    assert sum(len(p.read_text().split()) for p in counted) == len(served.apis("/download")) == 2


def test_the_limit_that_dryad_tells_of_is_obeyed(served: Any, web: Web) -> None:
    reset = {"RateLimit-Limit": "30", "RateLimit-Remaining": "0", "RateLimit-Reset": str(int(time.time() + patience.MAX_WAIT_S + 600))}
    served.wrong = lambda asked: Mischief(429, reset, b"Request rejected due to rate limits.") if "/files" in asked.path else None
    with pytest.raises(ArchiveError, match=r"429.*run again after"):
        dryad.dataset(DOI).list(web)
    assert len(served.apis("/files")) == 1


def test_a_page_for_browsers_is_no_answer_and_no_file(served: Any, web: Web, tmp_path: Path) -> None:
    archive = dryad.dataset(DOI)
    asset = archive.list(web).assets[0]
    served.store.mischief = lambda asked: HTML
    with pytest.raises(ArchiveError, match="web page"):
        fetched(archive, asset, web, tmp_path)
    served.wrong = lambda asked: HTML
    with pytest.raises(ArchiveError, match="sought JSON"):
        archive.list(web)


@pytest.mark.parametrize("href", ["https://evil.org/api/v2/versions/32/files?page=2", "//evil.org/x"])
def test_a_link_to_another_server_is_not_followed(served: Any, web: Web, href: str) -> None:
    page = {"_links": {"next": {"href": href}}, "_embedded": {"stash:files": []}}
    served.wrong = lambda asked: Mischief(200, {"Content-Type": "application/json"}, json.dumps(page).encode()) if "/files" in asked.path else None
    with pytest.raises(ArchiveError, match="another server"):
        dryad.dataset(DOI).list(web)


def test_an_empty_version_is_an_empty_listing(served: Any, web: Web) -> None:
    served.files = {}
    assert dryad.dataset(DOI).list(web).assets == ()


def test_facts_are_those_of_the_dataset(served: Any, web: Web) -> None:
    assert dryad.dataset(DOI).facts(web) == {
        "description": "Speech.",
        "keywords": ["BCI"],
        "published": "2023-08-24",
        "doi": DOI,
        "article": "10.1038/s41586-023-06377-x",
        "related": ["https://doi.org/10.1038/s41586-023-06377-x"],
    }


@pytest.mark.parametrize("doi", ["", "10.5061", "../x", "http://evil.org/10.5061/x"])
def test_what_is_no_dataset_is_told(doi: str) -> None:
    with pytest.raises(ArchiveError, match="no dataset of Dryad"):
        dryad.dataset(doi)


def test_a_place_shows_no_token_when_it_is_printed(served: Any, web: Web) -> None:
    archive = dryad.dataset(DOI)
    place = archive.places(archive.list(web).assets[0], web)[0]
    assert "token-" not in repr(place)
    assert dict(place.headers)["Authorization"] == "Bearer token-1"
    assert budgets.free_at([], dryad.FILES, 0.0) == 0.0
