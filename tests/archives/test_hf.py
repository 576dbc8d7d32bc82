"""The Hugging Face Hub, against a stand-in that the Hub's own library takes for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from archives.loopback import HTML, Mischief, State, serving
from archives.servers_hf import TOKEN, Hub, hf_serving, serve_folder
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.hf_api import RepoFile

from neuropile.archives import hf
from neuropile.archives.fetching import fetch
from neuropile.errors import ArchiveError

FILES = {
    "README.md": b"---\nlicense: cc-by-4.0\n---\n",
    ".gitattributes": b"*.nwb filter=lfs\n",
    "data/sub-1/a.nwb": bytes(range(256)) * 500,
    "data/sub-1/b #1 50% + é.nwb": b"odd name",
    "data/sub-2/c.nwb": b"\0" * 1000,
    "data/notes/plain #2 é.txt": b"plain",
    "empty.txt": b"",
    "z.parquet": b"PAR1",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "NEUROPILE_HF_URL"):
        monkeypatch.delenv(name, raising=False)
    with hf_serving() as served:
        served.files.update(FILES)
        yield served


@pytest.fixture
def dataset(server: Hub) -> hf.Dataset:
    return hf.Dataset("owner/name", base=server.url)


class TestListing:
    def test_it_is_what_the_hubs_own_library_lists(self, server, dataset, web):
        theirs = [
            f for f in HfApi(endpoint=server.url, token=False).list_repo_tree("owner/name", repo_type="dataset", recursive=True) if isinstance(f, RepoFile)
        ]
        ours = dataset.list(web).assets
        assert {a.path: a.bytes for a in ours} == {f.path: f.size for f in theirs}
        assert {a.path: a.sha256 for a in ours} == {f.path: f.lfs.sha256 if f.lfs else None for f in theirs}
        assert {a.digest for a in ours if a.digest} == {f"git-sha1:{f.blob_id}" for f in theirs if not f.lfs}

    def test_its_digests_are_of_the_contents(self, dataset, web):
        for asset in dataset.list(web).assets:
            data = FILES[asset.path]
            if asset.sha256:
                assert asset.sha256 == hashlib.sha256(data).hexdigest()
            else:
                assert asset.digest == "git-sha1:" + hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def test_every_page_is_of_the_commit_the_branch_meant_first(self, server, dataset, web):
        listing = dataset.list(web)
        first, *rest = [a.path for a in server.asked]
        assert first == "/api/datasets/owner/name/revision/main"
        assert len(rest) >= 4
        assert set(rest) == {f"/api/datasets/owner/name/tree/{server.commit}"}
        assert (listing.version, listing.pinned) == (server.commit, True)

    def test_title_and_licence_are_the_cards(self, dataset, web):
        listing = dataset.list(web)
        assert (listing.title, listing.license) == ("Spikes & more", "CC-BY-4.0")

    def test_an_empty_dataset_has_no_files(self, server, dataset, web):
        server.files.clear()
        assert dataset.list(web).assets == ()

    def test_the_next_page_is_asked_of_the_same_server_whatever_it_says(self, server, dataset, web, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        with serving() as elsewhere:
            server.next_at = elsewhere.url
            assert len(dataset.list(web).assets) == len(FILES)
            assert elsewhere.asked == []

    def test_pages_that_never_end_are_an_error(self, server, dataset, web):
        server.endless = True
        with pytest.raises(ArchiveError, match="does not end"):
            dataset.list(web)

    def test_a_path_out_of_the_folder_is_refused(self, server, dataset, web):
        server.files["../up.nwb"] = b"x"
        with pytest.raises(ArchiveError, match="would leave its folder"):
            dataset.list(web)

    def test_a_revision_with_a_slash_is_one_name(self, server, web):
        server.branches["refs/convert/parquet"] = server.commit
        listing = hf.Dataset("owner/name", "refs/convert/parquet", server.url).list(web)
        assert len(listing.assets) == len(FILES)

    def test_facts_are_of_the_card(self, dataset, web):
        assert dataset.facts(web)["title"] == "Spikes & more"


class TestRefusals:
    def test_what_is_not_there_may_be_private(self, server, web):
        with pytest.raises(ArchiveError, match=r"hf:owner/other: there is no such dataset, or it is private.*set HF_TOKEN"):
            hf.Dataset("owner/other", base=server.url).list(web)

    def test_a_revision_that_is_not_there_is_named(self, server, web):
        with pytest.raises(ArchiveError, match="hf:owner/name has no revision 'v9'"):
            hf.Dataset("owner/name", "v9", server.url).list(web)

    def test_a_private_dataset_is_had_with_the_token(self, server, dataset, web, monkeypatch):
        server.private = True
        with pytest.raises(ArchiveError, match="set HF_TOKEN"):
            dataset.list(web)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert len(dataset.list(web).assets) == len(FILES)

    def test_a_gated_one_says_where_to_agree(self, server, dataset, web, monkeypatch):
        server.gated = True
        with pytest.raises(ArchiveError, match=r"agree to its terms: do so on .*/datasets/owner/name, then .*HF_TOKEN"):
            dataset.list(web)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert len(dataset.list(web).assets) == len(FILES)

    @pytest.mark.parametrize("name", ["name", "owner/name/more", "../name", "owner/na me"])
    def test_a_name_has_two_parts(self, name):
        with pytest.raises(ArchiveError, match="owner/name"):
            hf.dataset(name)

    def test_a_page_of_html_is_no_listing(self, web):
        with serving(state=State(next=[HTML])) as other, pytest.raises(ArchiveError, match="sought JSON, got text/html"):
            hf.Dataset("owner/name", base=other.url).list(web)


class TestFiles:
    def test_each_comes_whole_and_in_part_through_its_redirects(self, server, dataset, web, monkeypatch):
        """Small files by a relative redirect, large ones from a server that refuses any credential."""
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for asset in dataset.list(web).assets:
            (place,) = dataset.places(asset, web)
            data = FILES[asset.path]
            assert b"".join(web.stream(place)) == data
            if len(data) > 4:
                assert b"".join(web.stream(place, 2, 4)) == data[2:4]
        assert server.cdn.asked
        assert all(a.status in (200, 206) for a in server.cdn.asked)

    def test_an_address_that_has_expired_is_asked_for_anew(self, server, dataset, web):
        asset = next(a for a in dataset.list(web).assets if a.path.endswith("a.nwb"))
        (place,) = dataset.places(asset, web)
        server.cdn.sign_s = -1.0
        with pytest.raises(ArchiveError, match="HTTP 403"):
            b"".join(web.stream(place))
        server.cdn.sign_s = 30.0
        assert b"".join(web.stream(place, 10)) == FILES[asset.path][10:]

    def test_a_limit_of_its_own_shape_is_waited_out(self, server, dataset, web):
        server.mischief = lambda asked: None
        listing = dataset.list(web)
        server.next = [Mischief(429, {"RateLimit": '"resolvers";r=0;t=0', "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300'})]
        place = dataset.places(next(a for a in listing.assets if a.path == "README.md"), web)[0]
        assert web.get(place.url).content == FILES["README.md"]

    def test_the_hubs_own_library_gets_the_same_bytes(self, server, dataset, web, tmp_path):
        for path in ("data/sub-1/a.nwb", "data/notes/plain #2 é.txt"):
            server.cdn.foreign = False  # it asks for the head of a signed address
            theirs = hf_hub_download("owner/name", path, repo_type="dataset", endpoint=server.url, cache_dir=tmp_path, token=False)
            assert Path(theirs).read_bytes() == FILES[path]

    @pytest.mark.parametrize("broken", [Mischief(503), Mischief(cut=0.5), Mischief(cut=0.3, reset=True), Mischief(ignore_range=True), Mischief(flip=True)])
    def test_a_file_arrives_verified_whatever_happens_on_the_way(self, server, dataset, web, tmp_path, broken):
        for asset in dataset.list(web).assets:
            server.next, server.cdn.next = [broken], [broken]
            assert fetch(dataset, asset, web, tmp_path).read_bytes() == FILES[asset.path]

    def test_a_pointer_in_place_of_a_file_is_not_taken_for_it(self, server, dataset, web, tmp_path):
        """What `raw` sends, and what a mirror without LFS would."""
        asset = next(a for a in dataset.list(web).assets if a.path.endswith("c.nwb"))
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{asset.sha256}\nsize 1000\n".encode()
        server.cdn.mischief = lambda asked: Mischief(200, {}, pointer)
        with pytest.raises(ArchiveError, match=r"sub-2/c.nwb|xet-bridge"):
            fetch(dataset, asset, web, tmp_path)

    def test_addresses_kept_in_a_lock_are_the_hubs_own_and_asked_where_the_variable_says(self, server, web, monkeypatch):
        monkeypatch.setenv("NEUROPILE_HF_URL", server.url)
        archive = hf.dataset("owner/name")
        for asset in archive.list(web).assets:
            assert (asset.url or "").startswith(f"https://huggingface.co/datasets/owner/name/resolve/{server.commit}/")
            assert b"".join(web.stream(archive.places(asset, web)[0])) == FILES[asset.path]

    def test_a_folder_of_files_is_served(self, server, dataset, web, tmp_path):
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a.h5").write_bytes(b"1234")
        serve_folder(server, tmp_path)
        assert "sub/a.h5" in [a.path for a in dataset.list(web).assets]
