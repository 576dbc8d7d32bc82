"""Figshare: pages without a total, versions, links among the files, three forms of a download."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archives.loopback import CHALLENGE, HTML, Mischief
from archives.servers_deposits import Figshare, deposit, fetched, made

from neuropile.archives import figshare
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError

LINK = {"id": 9, "name": "https://elsewhere.org/data", "size": 0, "is_link_only": True, "download_url": "https://elsewhere.org/data", "computed_md5": ""}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("FIGSHARE_TOKEN", raising=False)
    monkeypatch.setattr(figshare, "PAGE_SIZE", 2)
    with deposit(Figshare, made(), id="7739750", version="4") as state:
        monkeypatch.setenv("NEUROPILE_FIGSHARE_URL", f"{state.url}/v2")
        monkeypatch.setenv("NEUROPILE_FIGSHARE_FILES_URL", state.url)
        yield state


def named(path: str) -> str:
    return path.replace("/", " ")


@pytest.mark.parametrize("article", [{}, {"size": None}], ids=["size", "no size"])
@pytest.mark.parametrize("version_files", [True, False])
def test_all_pages_are_listed_whether_the_server_pages_versions_or_not(served: Any, web: Web, version_files: bool, article: dict[str, Any]) -> None:
    served.more |= {"version_files": version_files, "article": article}
    listing = figshare.article("7739750").list(web)
    assert {a.path: (a.bytes, a.digest) for a in listing.assets} == {named(n): (len(b), f"md5:{hashlib.md5(b).hexdigest()}") for n, b in made().items()}
    assert len([a for a in served.asked if "page" in a.query and a.status == 200]) >= 4
    assert (listing.version, listing.pinned, listing.license, listing.title) == ("4", True, "CC-BY-4.0", "Eight-probe recordings")
    assert listing.citation == "Carsen Stringer; Marius Pachitariu (2019). Eight-probe recordings. figshare. doi:10.6084/m9.figshare.7739750.v4"


def test_a_server_that_gives_shorter_pages_than_asked_for_hides_no_file(served: Any, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figshare, "PAGE_SIZE", 1000)
    served.more["page_size"] = 2
    assert len(figshare.article("7739750").list(web).assets) == len(made())


def test_an_older_version_of_which_only_some_files_are_told_is_an_error(served: Any, web: Web) -> None:
    served.more["version_files"] = False
    with pytest.raises(ArchiveError, match=r"version 2 only 2 files.*newest"):
        figshare.article("7739750", "2").list(web)


def test_an_older_version_whose_files_are_all_told_is_listed(served: Any, web: Web) -> None:
    served.more |= {"version_files": False, "old": {"size": sum(len(made()[p]) for p in served.paths[:2])}}
    listing = figshare.article("10.6084/m9.figshare.7739750.v2").list(web)
    assert listing.version == "2"
    assert {a.path for a in listing.assets} == {named(p) for p in served.paths[:2]}


def test_a_version_that_is_not_there_is_told_with_the_newest(served: Any, web: Web) -> None:
    with pytest.raises(ArchiveError, match="no version 7; its newest is 4"):
        figshare.article("7739750", "7").list(web)


def test_the_newest_version_is_looked_up_where_the_article_does_not_tell(served: Any, web: Web) -> None:
    served.more["article"] = {"version": None}
    assert figshare.article("7739750").list(web).version == "4"


def test_files_of_any_name_are_fetched_by_their_numbers_from_the_api(served: Any, web: Web, tmp_path: Path) -> None:
    archive = figshare.article("7739750")
    assert {a.path: fetched(archive, a, web, tmp_path) for a in archive.list(web).assets} == {named(p): b for p, b in made().items()}
    assert not served.apis("/ndownloader/")


def test_the_token_never_goes_to_the_server_that_signed_addresses_lead_to(served: Any, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGSHARE_TOKEN", "hush")
    archive = figshare.article("7739750")
    asset = archive.list(web).assets[0]
    assert fetched(archive, asset, web, tmp_path)
    assert {a.headers["authorization"] for a in served.asked} == {"token hush"}
    assert served.store.asked
    assert not [a for a in served.store.asked if "authorization" in a.headers]


@pytest.mark.parametrize("wrong", [CHALLENGE, HTML, Mischief(403, {}, b"<html>403 Forbidden</html>")], ids=["challenge", "html", "403"])
def test_where_the_api_gives_no_data_the_server_of_files_does(served: Any, web: Web, tmp_path: Path, wrong: Mischief) -> None:
    archive = figshare.article("7739750")
    asset = archive.list(web).assets[0]
    served.wrong = lambda asked: wrong if asked.path.startswith("/v2/file/download/") else None
    assert fetched(archive, asset, web, tmp_path) == made()[next(p for p in made() if named(p) == asset.path)]
    assert [a.path for a in served.apis("/files/")][-1] == f"/files/{asset.version}"


def test_an_empty_answer_everywhere_is_a_failure_and_never_a_file(served: Any, web: Web, tmp_path: Path) -> None:
    archive = figshare.article("7739750")
    asset = archive.list(web).assets[0]
    served.wrong = lambda asked: CHALLENGE
    with pytest.raises(ArchiveError, match=r"empty answer.*202"):
        fetched(archive, asset, web, tmp_path)


def test_a_signed_address_that_expires_is_asked_for_anew(served: Any, web: Web, tmp_path: Path) -> None:
    served.files["plain.nwb"] = bytes(range(256)) * 4096
    archive = figshare.article("7739750")
    asset = next(a for a in archive.list(web).assets if a.path == "plain.nwb")
    served.store.sign_s = 1.0
    served.store.next = [Mischief(cut=0.5)]
    assert fetched(archive, asset, web, tmp_path) == served.files["plain.nwb"]
    assert len(served.apis("/v2/file/download/")) == 2
    assert len({a.query["expires"] for a in served.store.asked}) == 2


def test_wrong_bytes_of_the_right_length_are_never_taken(served: Any, web: Web, tmp_path: Path) -> None:
    archive = figshare.article("7739750")
    asset = next(a for a in archive.list(web).assets if a.path == "plain.nwb")
    served.store.mischief = lambda asked: Mischief(flip=True)
    with pytest.raises(ArchiveError, match="md5"):
        fetched(archive, asset, web, tmp_path)


def test_a_link_is_listed_but_never_followed(served: Any, web: Web, tmp_path: Path) -> None:
    served.more["links"] = [LINK]
    archive = figshare.article("7739750")
    link = next(a for a in archive.list(web).assets if a.url == LINK["download_url"])
    assert (link.path, link.bytes, link.digest) == ("link-9", None, None)
    with pytest.raises(ArchiveError, match=r"it is a link to https://elsewhere.org/data"):
        fetched(archive, link, web, tmp_path)


def test_two_files_of_a_name_are_told_apart_by_their_numbers(served: Any, web: Web) -> None:
    served.more["names"] = {"a b.nwb": "twice.nwb", "plain.nwb": "twice.nwb"}
    assert {a.path for a in figshare.article("7739750").list(web).assets} >= {f"{served.number(p)}/twice.nwb" for p in ("a b.nwb", "plain.nwb")}


@pytest.mark.parametrize(("supplied", "digest"), [("5D41402ABC4B2A76B9719D911017C592", "md5:5d41402abc4b2a76b9719d911017c592"), ("", None), ("5d41", None)])
def test_where_no_digest_was_computed_the_supplied_one_counts_if_it_is_one(served: Any, web: Web, supplied: str, digest: str | None) -> None:
    served.digests["plain.nwb"] = ""
    served.more["links"] = [{"id": 8, "name": "s", "size": 5, "supplied_md5": supplied, "computed_md5": ""}]
    assets = {a.path: a for a in figshare.article("7739750").list(web).assets}
    assert (assets["plain.nwb"].digest, assets["s"].digest) == (None, digest)


@pytest.mark.parametrize(
    ("article", "told"),
    [({"is_embargoed": True, "embargo_date": "2027-01-01"}, "embargo until 2027-01-01"), ({"download_disabled": True}, "do not let it be downloaded")],
)
def test_an_article_that_is_held_back_is_told(served: Any, web: Web, article: dict[str, Any], told: str) -> None:
    served.files = {}
    served.more["article"] = article
    with pytest.raises(ArchiveError, match=told):
        figshare.article("7739750").list(web)


def test_pages_that_never_end_do_end(served: Any, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuropile.archives.answers.MOST_FILES", 20)
    served.wrong = lambda asked: Mischief(200, {"Content-Type": "application/json"}, b'[{"id": 1}, {"id": 2}]') if asked.path.endswith("/files") else None
    with pytest.raises(ArchiveError, match="does not end"):
        figshare.article("7739750").list(web)


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'"x"', b'[{"id": 1}]', b'[{"name": "a", "id": "1"}]', b"\xff"])
def test_an_answer_of_another_shape_is_an_error_of_one_line_or_lists_nothing(served: Any, web: Web, body: bytes) -> None:
    wrong = Mischief(200, {"Content-Type": "application/json"}, body)
    served.wrong = lambda asked: wrong if asked.path.endswith("/files") and asked.query["page"] == "1" else None
    if body == b"[1]":
        served.files = {}
        assert figshare.article("7739750").list(web).assets == ()
        return
    with pytest.raises(ArchiveError) as error:
        figshare.article("7739750").list(web)
    assert "\n" not in str(error.value)


def test_facts_are_those_of_the_article(served: Any, web: Web) -> None:
    assert figshare.article("7739750").facts(web) == {
        "keywords": ["Neuropixels"],
        "published": "2019-03-25T12:00:00Z",
        "doi": "10.6084/m9.figshare.7739750.v4",
        "article": "10.1126/science.aav7893",
    }


@pytest.mark.parametrize(
    ("text", "id", "version"),
    [
        ("7739750", "7739750", None),
        ("10.6084/m9.figshare.7739750", "7739750", None),
        ("https://doi.org/10.6084/m9.figshare.7739750.v4", "7739750", "4"),
        ("https://figshare.com/articles/dataset/Eight-probe_Neuropixels_2/7739750", "7739750", None),
        ("https://figshare.com/articles/dataset/Eight-probe_Neuropixels_2/7739750/3", "7739750", "3"),
    ],
)
def test_an_article_is_known_by_its_number_its_doi_and_its_address(text: str, id: str, version: str | None) -> None:
    assert (figshare.article(text).id, figshare.article(text).version) == (id, version)


@pytest.mark.parametrize("id", ["", "abc", "10.5061/dryad.x"])
def test_what_is_no_article_is_told(id: str) -> None:
    with pytest.raises(ArchiveError, match="no article of Figshare"):
        figshare.article(id)
