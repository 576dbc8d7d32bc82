"""IBL's public database, against a stand-in; names and revisions against ONE, IBL's own client."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from archives.loopback import HTML, Mischief
from archives.servers_one import LOGIN, Alyx, one_serving, serve_folder
from hypothesis import given
from hypothesis import strategies as st
from one.alf.path import add_uuid_string, remove_uuid_string
from one.util import filter_revision_last_before
from one.webclient import dataset_record_to_url
from readers import alffolder

from neuropile.archives import one, view
from neuropile.archives.one_datasets import Dataset, chosen, with_uuid, without_uuid
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError
from neuropile.readers.alf import below as alf_below
from neuropile.readers.alf import files as alf_files

TAG = "2022_Q4_IBL_et_al_BWM"
KS, ZM = "testlab/Subjects/KS023/2019-12-10/001", "other_lab/Subjects/ZM_1743/2019-06-14/002"


def files() -> dict[str, bytes]:
    """Two sessions, one with two revisions of its spikes; and what is not asked for."""
    names = [f"{KS}/alf/probe00/pykilosort/{r}spikes.{a}.npy" for a in ("times", "clusters") for r in ("", "#2024-05-06#/", "#2025-01-01#/")]
    names += [f"{s}/alf/_ibl_trials.table.pqt" for s in (KS, ZM)] + [f"{ZM}/alf/probe01/spikes.times.npy"]
    names += [f"{KS}/alf/probe00/pykilosort/{n}" for n in ("clusters.metrics.pqt", "clusters.waveforms.npy", "channels.mlapdv.npy")]
    names += [f"{KS}/raw_ephys_data/probe00/x.ap.cbin", f"{KS}/alf/_ibl_leftCamera.times.npy", f"{KS}/alf/_ibl_leftCamera.dlc.pqt"]
    return {n: n.encode() * 20 for n in names}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Alyx]:
    with one_serving() as served:
        for name in ("NEUROPILE_ONE_USER", "NEUROPILE_ONE_PASSWORD"):
            monkeypatch.delenv(name, raising=False)
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def full(server: Alyx) -> Alyx:
    for path, data in files().items():
        server.add(path, data)
    return server


def paths(listing: one.Listing) -> set[str]:
    return {a.path for a in listing.assets}


class TestListing:
    def test_what_a_session_is_read_from_is_listed_as_it_lies_on_disk(self, full, web):
        listing = one.release(TAG).list(web)
        newest = f"{KS}/alf/probe00/pykilosort"
        assert paths(listing) == {
            *(f"{newest}/#2025-01-01#/spikes.{a}.npy" for a in ("times", "clusters")),
            *(f"{newest}/{n}" for n in ("clusters.metrics.pqt", "channels.mlapdv.npy")),
            *(f"{KS}/alf/{n}" for n in ("_ibl_trials.table.pqt", "_ibl_leftCamera.times.npy", "_ibl_leftCamera.dlc.pqt")),
            *(f"{ZM}/alf/{n}" for n in ("_ibl_trials.table.pqt", "probe01/spikes.times.npy")),
        }

    def test_sizes_and_digests_are_of_the_contents(self, full, web):
        for asset in one.release(TAG).list(web).assets:
            data = files()[asset.path]
            assert (asset.bytes, asset.digest) == (len(data), f"md5:{hashlib.md5(data).hexdigest()}")

    def test_a_revision_takes_the_newest_up_to_it_and_falls_back_on_none(self, full, web):
        listing = one.release(TAG, "2024-12-31").list(web)
        sorting = f"{KS}/alf/probe00/pykilosort"
        assert {p for p in paths(listing) if "spikes." in p and p.startswith(KS)} == {f"{sorting}/#2024-05-06#/spikes.{a}.npy" for a in ("times", "clusters")}
        assert f"{sorting}/clusters.metrics.pqt" in paths(listing)
        assert (listing.version, listing.pinned) == (f"{TAG}@2024-12-31", True)

    def test_other_datasets_are_had_by_asking(self, full, web):
        assert paths(one.release(TAG, datasets=("*.dlc.pqt", "raw_ephys_data/*")).list(web)) == {
            f"{KS}/alf/_ibl_leftCamera.dlc.pqt",
            f"{KS}/raw_ephys_data/probe00/x.ap.cbin",
        }

    def test_requests_grow_with_pages_not_with_datasets_or_sessions(self, server, web):
        server.most = 1000
        for i in range(100):
            for a in ("times", "clusters"):
                for p in range(12):
                    server.add(f"lab/Subjects/S{i}/2020-01-01/001/alf/probe{p:02d}/spikes.{a}.npy", b"x")
        assert len(one.release(TAG).list(web).assets) == 2400
        assert [a.path for a in server.asked].count("/auth-token") == 1
        assert len(server.asked) == 1 + 1 + 3

    def test_a_server_that_gives_fewer_rows_than_asked_for_is_asked_more_often(self, full, web):
        full.most = 2
        assert len(one.release(TAG).list(web).assets) == 9

    def test_rows_that_join_meanwhile_are_not_lost(self, full, web):
        full.most = 3
        rows = [full.add(f"{ZM}/alf/probe0{i}/spikes.clusters.npy", b"x") for i in range(5)]
        full.datasets = [d for d in full.datasets if d not in rows]
        full.joins = rows[:4]
        listing = one.release(TAG).list(web)
        assert {f"{ZM}/alf/probe0{i}/spikes.clusters.npy" for i in range(4)} <= paths(listing)

    def test_a_list_that_never_stands_still_is_an_error(self, full, web):
        full.most = 3
        rows = [full.add(f"{ZM}/alf/probe{i:02d}/spikes.clusters.npy", b"x") for i in range(60)]
        full.datasets = [d for d in full.datasets if d not in rows]
        full.joins = rows
        with pytest.raises(ArchiveError, match="changes while it is read"):
            one.release(TAG).list(web)

    def test_what_has_no_digest_or_size_is_listed_without(self, server, web):
        server.add(f"{KS}/alf/p/spikes.times.npy", b"x", hash="", file_size=None)
        server.add(f"{KS}/alf/p/spikes.clusters.npy", b"hello", hash="AAF4C61DDCC5E8A2DABEDE0F3B482CD9AEA9434D")
        clusters, times = one.release(TAG).list(web).assets
        assert (times.bytes, times.digest) == (None, None)
        assert clusters.digest == "sha1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"

    def test_what_is_not_public_of_another_release_or_nowhere_is_left_out(self, full, web):
        before = paths(one.release(TAG).list(web))
        full.add(f"{KS}/alf/p1/spikes.times.npy", b"x", public=False)
        full.add(f"{KS}/alf/p2/spikes.times.npy", b"x", tags=[TAG + "_2"])
        full.add(f"{KS}/alf/p3/spikes.times.npy", b"x", file_records=[])
        gone = full.add(f"{KS}/alf/p4/spikes.times.npy", b"x")
        gone["file_records"] = [r | {"exists": r["data_repository"] == "testlab_local"} for r in gone["file_records"]]
        assert paths(one.release(TAG).list(web)) == before

    def test_a_tag_without_sessions_says_where_tags_are_shown(self, full, web):
        with pytest.raises(ArchiveError, match=r"one:2099: no session has the tag '2099'; all tags are shown on https://openalyx.*/tags"):
            one.release("2099").list(web)

    def test_a_path_out_of_the_folder_is_refused(self, server, web):
        row = server.add(f"{KS}/alf/p1/spikes.times.npy", b"x")
        for record in row["file_records"]:
            record["relative_path"] = "../../../spikes.times.npy"
        with pytest.raises(ArchiveError, match="would leave its folder"):
            one.release(TAG).list(web)

    def test_a_file_of_this_machine_is_never_taken_for_one_of_the_database(self, server, web):
        row = server.add(f"{KS}/alf/p1/spikes.times.npy", b"x")
        row["file_records"] = [r | {"data_url": "file:///etc/passwd"} for r in row["file_records"] if not r["data_repository"].startswith("aws")]
        assert one.release(TAG).list(web).assets == ()

    def test_facts_count_the_sessions(self, full, web):
        assert one.release(TAG).facts(web) == {
            "title": f"International Brain Laboratory: {TAG}",
            "sessions": 2,
            "subjects": 2,
            "labs": ["other_lab", "testlab"],
        }


class TestSessions:
    def test_a_session_is_listed_by_its_id_with_whatever_tags(self, full, web):
        full.add(f"{KS}/alf/probe01/spikes.times.npy", b"x", tags=["another"])
        eid = full.sessions[0]["id"]
        listing = one.release(eid.upper()).list(web)
        assert all(p.startswith(KS) for p in paths(listing))
        assert f"{KS}/alf/probe01/spikes.times.npy" in paths(listing)
        assert one.release(eid).facts(web)["subjects"] == 1

    def test_every_file_tells_the_session_it_belongs_to(self, full, web):
        by_path = {s["subject"]: s["id"] for s in full.sessions}
        release = one.release(TAG)
        assert all(release.recording(a) == by_path[a.path.split("/")[2]] for a in release.list(web).assets)

    def test_a_file_of_an_older_lock_is_still_found(self, full, web):
        release = one.release(TAG)
        asset = release.list(web).assets[0]
        older = dataclasses.replace(asset, version=(asset.version or "").rpartition("/")[2])
        assert release.places(older, web) == release.places(asset, web)
        assert release.recording(older) is None

    def test_an_unknown_session_says_how_to_find_one(self, full, web):
        with pytest.raises(ArchiveError, match=r"the database has no such session; find one with: neuropile one search"):
            one.release("00000000-0000-4000-8000-000000000000").list(web)


class TestLogin:
    def test_the_published_login_is_used_once(self, full, web):
        one.release(TAG).list(web)
        one.release(TAG, "2024-05-06").list(web)
        assert full.logins == 1
        assert next(a.form for a in full.asked if a.path == "/auth-token") == LOGIN

    def test_a_token_that_is_no_longer_taken_is_renewed(self, full, web):
        first = one.release(TAG).list(web)
        full.tokens.clear()
        assert one.release(TAG).list(web) == first
        assert full.logins == 2

    def test_another_login_comes_from_the_environment(self, full, web, monkeypatch):
        full.login = {"username": "me", "password": "mine"}
        with pytest.raises(ArchiveError, match=r"does not know the login 'intbrainlab'.*NEUROPILE_ONE_USER and NEUROPILE_ONE_PASSWORD"):
            one.release(TAG).list(web)
        monkeypatch.setenv("NEUROPILE_ONE_USER", "me")
        monkeypatch.setenv("NEUROPILE_ONE_PASSWORD", "mine")
        assert len(one.release(TAG).list(web).assets) == 9

    def test_a_lasting_refusal_ends(self, full, web):
        full.mischief = lambda asked: Mischief(403, {}, b'{"detail":"You do not have permission."}')
        with pytest.raises(ArchiveError, match="do not have permission"):
            one.release(TAG).list(web)
        assert full.logins == 2

    @pytest.mark.parametrize("trouble", [Mischief(503, {}, b"maintenance"), Mischief(429, {"Retry-After": "0"}), Mischief(500), Mischief(502)])
    def test_maintenance_and_limits_are_waited_out(self, full, web, trouble):
        full.next = [trouble, trouble]
        assert len(one.release(TAG).list(web).assets) == 9

    def test_a_page_of_html_is_no_list(self, full, web):
        full.next = [HTML]
        with pytest.raises(ArchiveError, match="sought JSON"):
            one.release(TAG).list(web)


class TestFiles:
    def test_each_comes_from_the_server_and_from_the_bucket(self, full, web):
        release = one.release(TAG)
        for asset in release.list(web).assets:
            own, kept = release.places(asset, web)
            assert own.url.startswith(f"{full.url}/public/")
            assert kept.url.startswith(f"{full.bucket.url}/ibl-brain-wide-map-public/data/")
            for place in (own, kept):
                assert b"".join(web.stream(place)) == files()[asset.path]
                assert b"".join(web.stream(place, 3, 9)) == files()[asset.path][3:9]

    def test_its_address_is_the_one_that_one_would_ask(self, full, web):
        release = one.release(TAG)
        theirs = {u for row in full.datasets for u in dataset_record_to_url(row)}
        ours = {unquote(release.places(a, web)[0].url) for a in release.list(web).assets}
        assert len(ours) == 9
        assert ours <= theirs

    def test_what_only_the_bucket_has_is_had_from_there(self, server, web):
        row = server.add(f"{KS}/alf/p1/#2024-05-06#/spikes.times.npy", b"abc")
        row["file_records"] = [r for r in row["file_records"] if r["data_repository"].startswith("aws")]
        release = one.release(TAG)
        (asset,) = release.list(web).assets
        (place,) = release.places(asset, web)
        assert b"".join(web.stream(place)) == b"abc"

    def test_addresses_kept_in_a_lock_are_ibls_own(self, full, web):
        for asset in one.release(TAG).list(web).assets:
            assert (asset.url or "").startswith("https://ibl.flatironinstitute.org/public/")
            assert "#" not in (asset.url or "")

    @pytest.mark.parametrize("broken", [Mischief(403), Mischief(404), Mischief(cut=0.4), Mischief(flip=True)])
    def test_the_bucket_gives_what_the_server_does_not(self, full, web, tmp_path, broken):
        from neuropile.archives.fetching import fetch

        release = one.release(TAG)
        asset = release.list(web).assets[0]
        full.next = [broken]
        assert fetch(release, asset, web, tmp_path).read_bytes() == files()[asset.path]


class TestReading:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        session = alffolder.session(tmp_path / "tree", ("probe00", "probe01"), sorter="pykilosort/#2024-05-06#")
        alffolder.put(session / "alf", I_wheel__position=np.arange(9.0), I_wheel__timestamps=np.arange(9.0), licks__times=np.arange(3.0))
        alffolder.put(session / "alf", I_leftCamera__times=np.arange(5.0), leftCamera__ROIMotionEnergy=np.arange(5.0))
        alffolder.put(session / "alf", I_wheelMoves__intervals=np.array([[0.0, 1.0]]), I_wheelMoves__peakAmplitude=np.ones(1))
        pose = pd.DataFrame({"nose_tip_x": np.zeros(5), "nose_tip_y": np.zeros(5), "nose_tip_likelihood": np.ones(5)})
        alffolder.put(session / "alf", I_leftCamera__dlc=pose, I_leftCamera__features=pd.DataFrame({"pupilDiameter_raw": np.zeros(5)}))
        alffolder.put(session / "alf", I_passiveStims__table=pd.DataFrame({"valveOn": [1.0]}), I_passiveRFM__times=np.arange(3.0))
        (session / "alf" / "_ibl_passivePeriods.intervalsTable.csv").write_text(",passiveProtocol,RFM\nstart,1.0,2.0\nstop,5.0,3.0\n")
        (session / "alf" / "_ibl_passiveGabor.table.csv").write_text("start,stop,position,contrast,phase\n1.0,1.3,35.0,1.0,0.5\n")
        return tmp_path / "tree"

    def test_what_the_reader_reads_is_what_is_asked_for(self, server, web, tree):
        """Neither more nor less, but for mean waveforms, which are fetched only when asked for."""
        serve_folder(server, tree)
        session = tree / KS
        read = {f.relative_to(tree).as_posix() for f in alf_files.find(session, None, None).files() if "waveforms" not in f.name}
        listed = paths(one.release(TAG).list(web))
        assert listed == read
        assert not [p for p in listed if "waveforms" in p]

    def test_a_session_is_read_from_afar_as_one_on_disk(self, server, web, tree, tmp_path):
        serve_folder(server, tree)
        release = one.release(TAG)
        folder = view.path(release, release.list(web).assets, web, tmp_path / "cache")
        reader = alf_below.session()
        assert reader.session_name(folder) == "KS023_2019-12-10_001"
        recording = reader(folder)
        trains = [alffolder.trains(seed, 6) for seed in (0, 1)]
        expected = [times[clusters == unit] for times, clusters in trains for unit in range(6)]
        assert recording.trains.n_units == len(expected)
        for row, times in enumerate(expected):
            np.testing.assert_array_equal(recording.trains.read(row), times)
        assert recording.intervals["trials"].num_rows == len(alffolder.trial_table())


REVISIONS = ["", "2022-01-01", "2024-05-06", "2024-05-06a", "2025-05-06"]


class TestRevisions:
    @given(
        revisions=st.lists(st.sampled_from(REVISIONS), min_size=1, unique=True),
        asked=st.sampled_from([None, "2021", "2022-01-01", "2024-05-06", "2024-12-31", "2026"]),
        default=st.integers(0, 9),
    )
    def test_the_choice_is_the_one_that_one_makes(self, revisions, asked, default):
        own = [Dataset("e", f"{i}", "alf/probe00", "spikes.times.npy", r, i == default, None) for i, r in enumerate(revisions)]
        rel = [f"alf/probe00/{f'#{r}#/' if r else ''}spikes.times.npy" for r in revisions]
        table = pd.DataFrame({"rel_path": rel, "default_revision": [d.is_default for d in own], "revision": revisions})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = filter_revision_last_before(table, asked, assert_unique=True)
        assert [d.revision for d in chosen(own, asked)] == theirs["revision"].tolist()

    def test_each_dataset_of_each_session_is_chosen_on_its_own(self):
        own = [Dataset(e, f"{e}{n}{r}", "alf", n, r, False, None) for e in "ab" for n in ("x.y.npy", "x.z.npy") for r in ("", e + "1")]
        assert [(d.eid, d.name, d.revision) for d in chosen(own, "a9")] == [
            *[("a", n, "a1") for n in ("x.y.npy", "x.z.npy")],
            *[("b", n, "") for n in ("x.y.npy", "x.z.npy")],
        ]


class TestNames:
    @given(
        folder=st.sampled_from(["", "lab/Subjects/a.b/2020-01-01/001/alf/", "x/#2024-05-06#/"]),
        name=st.sampled_from(["spikes.times.npy", "_ibl_trials.table.pqt", "clusters.uuids.csv", "spikes.times.part1.npy", "a.b.tar.gz"]),
        did=st.uuids(version=4).map(str),
    )
    def test_uuids_go_into_names_and_out_again_as_one_does_it(self, folder, name, did):
        path = folder + name
        assert with_uuid(path, did) == add_uuid_string(path, uuid.UUID(did)).as_posix()
        assert without_uuid(with_uuid(path, did)) == path
        assert without_uuid(with_uuid(path, did)) == remove_uuid_string(with_uuid(path, did)).as_posix()
        assert with_uuid(with_uuid(path, did), did) == with_uuid(path, did)


def test_nothing_is_asked_before_it_is_listed(server: Alyx) -> None:
    with Web():
        assert repr(one.release(TAG, "2024-05-06")).startswith(f"Release(id='{TAG}', revision='2024-05-06'")
    assert server.asked == []
