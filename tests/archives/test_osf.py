"""OSF: folders in folders, pages, components, registrations, versions of files, a token that is shown to OSF only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archives.loopback import Mischief
from archives.servers_deposits import Osf, deposit, fetched, made

from neuropile.archives import osf, patience
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError

FILES = made(("a b.mat", "c#1+2.mat", "d1.mat", "d2.mat", "deep/er/still/x.mat", "deep/er/ü?.mat", "deep/y%20.mat", "e&f=g.mat", "h.mat", "wide/z.mat"))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("OSF_TOKEN", raising=False)
    with deposit(Osf, FILES, id="82jfr", version="3") as state:
        monkeypatch.setenv("NEUROPILE_OSF_URL", f"{state.url}/v2/")
        monkeypatch.setenv("NEUROPILE_OSF_FILES_URL", f"{state.url}/v1")
        yield state


def test_every_file_of_every_folder_and_page_is_listed(served: Any, web: Web) -> None:
    listing = osf.node("82jfr").list(web)
    assert {a.path: (a.bytes, a.sha256) for a in listing.assets} == {n: (len(b), hashlib.sha256(b).hexdigest()) for n, b in FILES.items()}
    roots = [a for a in served.asked if a.path == "/v2/nodes/82jfr/files/osfstorage/"]
    assert len(roots) >= 3
    assert {a.headers["accept"] for a in served.asked} == {"application/vnd.api+json"}
    assert (listing.title, listing.license, listing.pinned) == ("Neuroethology", "CC-BY-4.0", False)
    assert listing.citation == "Lanzarini, Francesca; Maranesi, Monica (2024). Neuroethology. OSF. doi:10.17605/OSF.IO/82JFR"


def test_a_registration_is_found_and_pinned(served: Any, web: Web) -> None:
    served.more["kind"] = "registrations"
    listing = osf.node("82jfr").list(web)
    assert listing.pinned
    assert {a.path for a in listing.assets} == set(FILES)


def test_the_version_of_a_project_tells_whether_any_of_its_files_changed(served: Any, web: Web) -> None:
    first, again = osf.node("82jfr").list(web), osf.node("82jfr").list(web)
    served.files["h.mat"] = b"other"
    assert first.version == again.version != osf.node("82jfr").list(web).version


def test_files_of_components_lie_in_folders_called_by_their_ids(served: Any, web: Web) -> None:
    served.more["children"] = {"ab12c": ["h.mat", "wide/z.mat"], "zz99z": []}
    found = {a.path: a for a in osf.node("82jfr").list(web).assets}
    assert set(found) == set(FILES) | {"ab12c/h.mat", "ab12c/wide/z.mat"}
    assert str(found["ab12c/h.mat"].version).startswith("ab12c/")
    assert str(found["h.mat"].version).startswith("82jfr/")


def test_files_of_any_name_are_fetched_in_the_version_that_was_listed(served: Any, web: Web, tmp_path: Path) -> None:
    archive = osf.node("82jfr")
    assert {a.path: fetched(archive, a, web, tmp_path) for a in archive.list(web).assets} == FILES
    assert all(a.query["version"] == "3" for a in served.apis("/download/", "/v1/"))


def test_where_the_link_is_broken_the_server_of_files_is_asked(served: Any, web: Web, tmp_path: Path) -> None:
    archive = osf.node("82jfr")
    asset = archive.list(web).assets[0]
    served.wrong = lambda asked: Mischief(404, {}, b"page not found") if asked.path.startswith("/download/") else None
    assert fetched(archive, asset, web, tmp_path) == FILES[asset.path]


def test_a_file_of_which_another_version_is_there_by_now_is_an_error(served: Any, web: Web, tmp_path: Path) -> None:
    archive = osf.node("82jfr")
    asset = archive.list(web).assets[0]
    served.version = "4"
    with pytest.raises(ArchiveError, match="404"):
        fetched(archive, asset, web, tmp_path)


def test_the_range_survives_both_redirects(served: Any, web: Web, tmp_path: Path) -> None:
    served.files["h.mat"] = bytes(range(256)) * 4096
    archive = osf.node("82jfr")
    asset = next(a for a in archive.list(web).assets if a.path == "h.mat")
    served.store.next = [Mischief(cut=0.5)]
    assert fetched(archive, asset, web, tmp_path) == served.files["h.mat"]
    assert served.store.asked[-1].start
    assert sum(a.sent for a in served.store.asked) < 1.3 * len(served.files["h.mat"])


def test_the_token_is_shown_to_osf_and_to_nobody_else(served: Any, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSF_TOKEN", "hush")
    archive = osf.node("82jfr")
    asset = archive.list(web).assets[0]
    assert fetched(archive, asset, web, tmp_path) == FILES[asset.path]
    assert {a.headers.get("authorization") for a in served.asked} == {"Bearer hush"}
    assert not [a for a in served.store.asked if "authorization" in a.headers]
    own, other = ("https://osf.io/download/x/", "https://files.osf.io/v1/x"), ("https://osf.io.evil.org/x", "http://osf.io/x", "https://evil.org/osf.io")
    for url, shown in [(u, True) for u in own] + [(u, False) for u in other]:
        place = archive.places(type(asset)("x", 1, None, url), web)[0]
        assert bool(place.headers) is shown


def test_a_next_page_on_another_server_is_not_asked_for(served: Any, web: Web) -> None:
    page = {"data": [], "links": {"next": "https://evil.org/v2/next"}}
    served.wrong = lambda asked: Mischief(200, {"Content-Type": "application/json"}, json.dumps(page).encode()) if "osfstorage" in asked.path else None
    with pytest.raises(ArchiveError, match="another server"):
        osf.node("82jfr").list(web)


def test_a_page_that_follows_itself_ends_the_listing(served: Any, web: Web) -> None:
    def wrong(asked: Any) -> Mischief | None:
        page = {"data": [], "links": {"next": f"{served.url}/v2/nodes/82jfr/files/osfstorage/?page=2"}}
        return Mischief(200, {"Content-Type": "application/json"}, json.dumps(page).encode()) if "osfstorage" in asked.path else None

    served.wrong = wrong
    with pytest.raises(ArchiveError, match="does not end"):
        osf.node("82jfr").list(web)
    assert len(served.asked) < 10


def test_folders_that_hold_themselves_end_the_listing(served: Any, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osf, "MOST_DEEP", 5)

    def wrong(asked: Any) -> Mischief | None:
        href = f"{served.url}/v2/nodes/82jfr/files/osfstorage/dself/"
        row = {"attributes": {"kind": "folder"}, "relationships": {"files": {"links": {"related": {"href": href}}}}}
        page = {"data": [row], "links": {"next": None}}
        return Mischief(200, {"Content-Type": "application/json"}, json.dumps(page).encode()) if "osfstorage" in asked.path else None

    served.wrong = wrong
    with pytest.raises(ArchiveError, match="nested more than 5 deep"):
        osf.node("82jfr").list(web)


@pytest.mark.parametrize(("status", "told"), [(401, "OSF_TOKEN"), (403, "OSF_TOKEN"), (410, "withdrawn"), (404, "no project or registration of that id")])
def test_a_refusal_says_what_to_do(served: Any, web: Web, status: int, told: str) -> None:
    served.wrong = lambda asked: Mischief(status, {"Content-Type": "application/json"}, b'{"errors": [{"detail": "no"}]}')
    with pytest.raises(ArchiveError, match=told):
        osf.node("82jfr").list(web)


def test_a_withdrawn_registration_is_told_with_its_reason(served: Any, web: Web) -> None:
    served.more |= {"kind": "registrations", "attributes": {"withdrawn": True, "withdrawal_justification": "errors in it"}}
    with pytest.raises(ArchiveError, match="withdrawn: errors in it"):
        osf.node("82jfr").list(web)


def test_a_limit_of_an_hour_stops_the_listing_and_a_token_is_proposed(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    served.wrong = lambda asked: Mischief(429, {"Retry-After": "3000"}, b"") if "osfstorage" in asked.path else None
    with Web() as web, pytest.raises(ArchiveError, match=r"50 min: run again after.* or set OSF_TOKEN"):
        osf.node("82jfr").list(web)
    assert len(served.apis("osfstorage")) == 1
    monkeypatch.setattr(patience, "MAX_WAIT_S", 0.0)
    monkeypatch.setenv("OSF_TOKEN", "hush")
    with Web() as web, pytest.raises(ArchiveError, match=r"50 min: run again after") as error:
        osf.node("82jfr").list(web)
    assert "OSF_TOKEN" not in str(error.value)


def test_two_failures_pass(served: Any, web: Web) -> None:
    failures = [Mischief(503, {}, b""), Mischief(503, {}, b"")]
    served.wrong = lambda asked: failures.pop() if failures else None
    assert len(osf.node("82jfr").list(web).assets) == len(FILES)


def test_files_without_digests_are_listed_by_their_size(served: Any, web: Web) -> None:
    served.digests["h.mat"] = None
    served.sizes["h.mat"] = None
    asset = next(a for a in osf.node("82jfr").list(web).assets if a.path == "h.mat")
    assert (asset.bytes, asset.sha256, asset.digest) == (None, None, None)


def test_an_empty_project_is_an_empty_listing(served: Any, web: Web) -> None:
    served.files = {}
    assert osf.node("82jfr").list(web).assets == ()


def test_facts_are_those_of_the_project(served: Any, web: Web) -> None:
    assert osf.node("82jfr").facts(web) == {"description": "Monkeys move.", "keywords": ["macaque"], "published": "2024-03-01T10:00:00"}


@pytest.mark.parametrize("id", ["", "82jfr/files", "https://evil.org/82jfr", "../82"])
def test_what_is_no_project_is_told(id: str) -> None:
    with pytest.raises(ArchiveError, match="no project of OSF"):
        osf.node(id)
