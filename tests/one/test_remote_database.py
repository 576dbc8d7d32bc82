"""IBL's database from afar: searched, and a session brought into a cache that ONE opens too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alf_trees
import numpy as np
import pytest
from archives.loopback import Mischief
from archives.servers_one import Alyx, one_serving, serve_folder
from one.api import One

from neuropile.archives import one as archive
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError, NeuropileError
from neuropile.one import ALFObjectNotFound, open_cache, remote

KS = "testlab/Subjects/KS023/2019-12-10/001"
ZM = "other_lab/Subjects/ZM_1743/2019-06-14/002"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Alyx]:
    with one_serving() as served:
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as opened:
        yield opened


@pytest.fixture
def full(server: Alyx, made: Path) -> Alyx:
    serve_folder(server, made)
    server.add(f"{ZM}/alf/_ibl_trials.table.pqt", b"x")
    return server


def eid_of(server: Alyx, subject: str) -> str:
    return next(s["id"] for s in server.sessions if s["subject"] == subject)


class TestSearch:
    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({}, ["KS023", "ZM_1743"]),
            ({"subject": "ks"}, ["KS023"]),
            ({"lab": "OTHER"}, ["ZM_1743"]),
            ({"laboratory": "lab"}, ["KS023", "ZM_1743"]),
            ({"number": 2}, ["ZM_1743"]),
            ({"date_range": "2019-12-10"}, ["KS023"]),
            ({"date": ["2019-12-01", None]}, ["KS023"]),
            ({"date": [None, "2019-12-01"]}, ["ZM_1743"]),
            ({"task": "EPHYS"}, ["KS023", "ZM_1743"]),
            ({"proj": "brainwide"}, ["KS023", "ZM_1743"]),
            ({"datasets": ["spikes.times.npy", "licks.times.npy"]}, ["KS023"]),
            ({"tag": "another"}, []),
            ({"subject": "ks", "lab": "other"}, []),
        ],
    )
    def test_the_database_decides_whatever_the_case(self, full: Alyx, web: Web, asked: dict[str, Any], expected: list[str]) -> None:
        assert remote.search(web, **asked)["subject"].tolist() == expected

    def test_rows_are_those_of_a_caches_table(self, full: Alyx, web: Web, made: Path) -> None:
        found = remote.search(web, subject="KS023")
        row, local = found.iloc[0], open_cache(made).sessions.iloc[0]
        assert found.index.tolist() == [eid_of(full, "KS023")]
        assert row[["lab", "subject", "date", "number"]].tolist() == local[["lab", "subject", "date", "number"]].tolist()
        assert row["projects"] == "ibl_neuropixel_brainwide_01"

    def test_a_quality_is_asked_for_by_its_name(self, full: Alyx, web: Web) -> None:
        remote.search(web, datasets="licks.times.npy", dataset_qc_lte=30)
        assert full.asked[-1].query["dataset_qc_lte"] == "WARNING"

    def test_what_cannot_be_asked_is_told_before_anybody_is(self, full: Alyx, web: Web) -> None:
        with pytest.raises(NeuropileError, match="no search keyword 'colour': there are datasets"):
            remote.search(web, colour="red")
        assert full.asked == []


class TestDownload:
    def test_a_session_is_the_one_that_was_served(self, full: Alyx, web: Web, made: Path, tmp_path: Path) -> None:
        eid = eid_of(full, "KS023")
        files = remote.download(web, eid, tmp_path, ("*",))
        assert {f.relative_to(tmp_path).as_posix() for f in files} >= {f"{KS}/alf/_ibl_trials.table.pqt", f"{KS}/alf/#2022-06-01#/licks.times.npy"}
        for file in files:
            assert file.read_bytes() == (made / file.relative_to(tmp_path)).read_bytes()

    def test_the_cache_knows_it_by_the_databases_ids_and_one_opens_it(self, full: Alyx, web: Web, tmp_path: Path) -> None:
        eid = eid_of(full, "KS023")
        remote.download(web, eid, tmp_path, ("alf/*",))
        cache, theirs = open_cache(tmp_path), One(cache_dir=tmp_path)
        assert cache.search(lab="testlab", datasets="licks.times.npy") == [eid]
        assert [str(e) for e in theirs.search()] == [eid]
        assert sorted(cache.eid2pid(eid)[1]) == ["probe00", "probe01"]
        assert set(cache.eid2pid(eid)[0]) == {i["id"] for i in full.insertions}
        found = cache.load_object(eid, "licks")
        np.testing.assert_array_equal(found["times"], np.arange(9.0) + 200)
        np.testing.assert_array_equal(theirs.load_object(theirs.search()[0], "licks")["times"], found["times"])
        assert cache.metadata["sessions"]["origin"] == archive.BASE

    def test_what_is_there_is_not_fetched_again_and_what_rotted_is(self, full: Alyx, web: Web, tmp_path: Path) -> None:
        eid = eid_of(full, "KS023")
        files = remote.download(web, eid, tmp_path, ("alf/*licks*",))
        full.asked.clear()
        remote.download(web, eid, tmp_path, ("alf/*licks*",))
        assert not [a for a in full.asked if a.path.startswith("/public")]
        good = files[0].read_bytes()
        files[0].write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        remote.download(web, eid, tmp_path, ("alf/*licks*",))
        assert files[0].read_bytes() == good

    def test_bytes_that_are_not_announced_are_never_kept(self, full: Alyx, web: Web, tmp_path: Path) -> None:
        for row in full.datasets:
            row["hash"] = hashlib.md5(b"other").hexdigest()
        with pytest.raises(ArchiveError, match="md5"):
            remote.download(web, eid_of(full, "KS023"), tmp_path, ("alf/licks*",))
        assert not [p for p in tmp_path.rglob("*") if p.is_file()]

    def test_another_session_joins_the_first(self, full: Alyx, web: Web, made: Path, tmp_path: Path) -> None:
        first, second = eid_of(full, "KS023"), eid_of(full, "ZM_1743")
        alf_trees.session(tmp_path)  # a tree that lies there, known only by its paths
        remote.download(web, second, tmp_path)
        walked = open_cache(tmp_path)
        assert second in walked.search()
        assert len(walked.search()) == 2
        remote.download(web, first, tmp_path, ("alf/*wheel*",))
        assert set(open_cache(tmp_path).search()) == {first, second}

    def test_a_session_that_is_not_there_says_how_to_find_one(self, full: Alyx, web: Web, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"the database has no such session; find one with: neuropile one search"):
            remote.download(web, "00000000-0000-4000-8000-000000000000", tmp_path)

    def test_a_session_that_is_not_named_by_its_id_is_told(self, full: Alyx, web: Web, tmp_path: Path) -> None:
        with pytest.raises(ALFObjectNotFound, match=r"by its id, such as .*, not 'KS023/2019-12-10/1'; neuropile one search finds it"):
            remote.download(web, "KS023/2019-12-10/1", tmp_path / "c")
        assert full.asked == []

    def test_files_that_it_does_not_have_are_told(self, full: Alyx, web: Web, tmp_path: Path) -> None:
        with pytest.raises(ALFObjectNotFound, match="has no file that fits nothing"):
            remote.download(web, eid_of(full, "KS023"), tmp_path, ("nothing",))

    def test_the_bucket_gives_what_the_server_refuses(self, full: Alyx, web: Web, tmp_path: Path) -> None:
        full.mischief = lambda asked: Mischief(404) if asked.path.startswith("/public") else None
        assert remote.download(web, eid_of(full, "KS023"), tmp_path, ("alf/licks*",))


def test_a_session_is_an_archive_of_its_own(full: Alyx, web: Web) -> None:
    eid = eid_of(full, "KS023")
    listing = archive.release(eid).list(web)
    assert {a.path.split("/")[2] for a in listing.assets} == {"KS023"}
    assert {archive.release(eid).recording(a) for a in listing.assets} == {eid}
    assert {archive.release(full.tag).recording(a) for a in archive.release(full.tag).list(web).assets} == {s["id"] for s in full.sessions}
