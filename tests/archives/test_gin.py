"""GIN, against a real git repository served as GIN serves it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from archives.loopback import Mischief
from archives.servers_gin import TOKEN, Gin, gin_serving, serve_folder
from hypothesis import given
from hypothesis import strategies as st

from neuropile.archives import annex, gin, git_tree
from neuropile.archives.fetching import fetch
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError

FILES = {
    "LICENSE": b"# Attribution 4.0 International\n\nBy exercising the Licensed Rights ...\n",
    "README.md": b"pointers begin with /annex/object",
    "empty.txt": b"",
    "monkeyF/THINGS_MUA_trials.mat": bytes(range(256)) * 300,
    "monkeyN/THINGS_MUA_trials.mat": bytes(reversed(range(256))) * 400,
    "a folder/100% #1 + Zürich.mat": b"odd name",
    "code/plain #2 é.m": b"disp(1)",
    "code/large but plain.bin": b"\0\1" * 40_000,
}


def annexed(path: str) -> str | None:
    return {"monkeyF": "locked", "monkeyN": "unlocked", "a folder": "locked"}.get(path.partition("/")[0])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A repository with one commit, and what its annex has."""
    root = tmp_path_factory.mktemp("gin")
    with gin_serving(root) as served:
        served.commit(FILES, annexed, {"latest.mat": "monkeyF/THINGS_MUA_trials.mat"})
    return root, served.contents


@pytest.fixture
def server(tmp_path: Path, made: tuple[Path, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Gin]:
    for name in ("GIN_TOKEN", "NEUROPILE_GIN_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(git_tree, "PAUSE_S", 0.0)
    shutil.copytree(made[0], tmp_path / "gin", symlinks=True)
    with gin_serving(tmp_path / "gin") as served:
        served.contents.update(made[1])
        yield served


@pytest.fixture
def repository(server: Gin) -> gin.Repository:
    return gin.Repository("owner/name", base=server.url)


def body(web: Web, place: gin.Place) -> bytes:
    return b"".join(web.stream(place))


class TestListing:
    def test_every_file_is_listed_with_size_and_digest_of_its_content_whoever_keeps_it(self, server, repository, web):
        listing = repository.list(web)
        assert {a.path: a.bytes for a in listing.assets} == {p: len(d) for p, d in FILES.items()}
        for asset in listing.assets:
            data = FILES[asset.path]
            md5 = f"md5:{hashlib.md5(data).hexdigest()}"
            git = f"git-sha1:{server.git('hash-object', '--stdin', stdin=data).decode().strip()}"
            assert asset.digest == (md5 if annexed(asset.path) else git)

    def test_it_is_of_one_commit_and_pinned(self, server, repository, web):
        listing = repository.list(web)
        assert listing.version == server.git("rev-parse", "main").decode().strip()
        assert listing.pinned
        assert all(f"/raw/{listing.version}/" in (a.url or "") for a in listing.assets)

    def test_the_licence_is_that_of_its_text(self, repository, web):
        assert repository.list(web).license == "CC-BY-4.0"

    def test_without_git_the_api_lists_the_same(self, server, repository, web, monkeypatch):
        by_git = repository.list(web)
        monkeypatch.setattr(git_tree, "available", lambda: False)
        monkeypatch.setenv("GIN_TOKEN", TOKEN)
        assert repository.list(web) == by_git
        assert gin.Repository("owner/name", by_git.version, server.url).list(web) == by_git

    def test_without_git_and_token_both_are_named(self, repository, web, monkeypatch):
        monkeypatch.setattr(git_tree, "available", lambda: False)
        with pytest.raises(ArchiveError, match="needs git, or a token: install git, or set GIN_TOKEN"):
            repository.list(web)

    def test_a_passing_failure_is_tried_again(self, server, repository, web):
        server.busy = 2
        assert len(repository.list(web).assets) == len(FILES)

    def test_a_lasting_failure_ends(self, server, repository, web):
        server.busy = 100
        with pytest.raises(ArchiveError, match=r"git fetch failed.*503"):
            repository.list(web)

    def test_its_title_is_told_without_a_token(self, repository, web):
        assert repository.facts(web)["title"] == "Spiking"

    def test_a_file_called_as_no_text_is_told(self, server, repository, web):
        oid = server.git("hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
        tree = server.git("mktree", "-z", stdin=f"100644 blob {oid}\t".encode() + b"\xff.mat\0").decode().strip()
        server.git("update-ref", "refs/heads/main", server.git("commit-tree", tree, "-m", "x").decode().strip())
        with pytest.raises(ArchiveError, match="not UTF-8"):
            repository.list(web)

    def test_a_path_out_of_the_folder_is_refused(self, server, repository, web):
        oid = server.git("hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
        entry = b"100644 ..\\up.mat\0" + bytes.fromhex(oid)
        tree = server.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=entry).decode().strip()
        server.git("update-ref", "refs/heads/main", server.git("commit-tree", tree, "-m", "x").decode().strip())
        with pytest.raises(ArchiveError, match="would leave its folder"):
            repository.list(web)


class TestCommit:
    def test_an_older_commit_stays_what_it_was(self, server, repository, web):
        first = repository.list(web)
        server.commit({"monkeyF/THINGS_MUA_trials.mat": b"other"}, annexed)
        assert repository.list(web).version != first.version
        assert gin.Repository("owner/name", first.version, server.url).list(web) == first

    def test_a_branch_and_a_tag_are_found(self, server, repository, web):
        first = repository.list(web)
        server.git("tag", "-a", "v1", "-m", "one", first.version)
        server.git("branch", "other/branch", first.version)
        server.commit({"x.mat": b"other"}, annexed)
        for name in ("v1", "other/branch"):
            assert gin.Repository("owner/name", name, server.url).list(web) == first

    @pytest.mark.parametrize("commit", ["nothing", "f" * 40])
    def test_one_that_is_not_there_is_named(self, server, web, commit):
        with pytest.raises(ArchiveError, match=f"has no .*commit .*{commit}"):
            gin.Repository("owner/name", commit, server.url).list(web)

    @pytest.mark.parametrize("commit", ["--upload-pack=touch x", "a:b", ""])
    def test_what_is_no_name_is_refused(self, commit):
        with pytest.raises(ArchiveError, match="is no commit"):
            gin.repository("owner/name", commit)


class TestAccess:
    def test_a_repository_that_is_not_there_says_how_a_private_one_is_had(self, server, web):
        with pytest.raises(ArchiveError, match=r"gin:owner/other: no such public repository.*set GIN_TOKEN"):
            gin.Repository("owner/other", base=server.url).list(web)

    def test_a_private_one_needs_the_token_and_is_had_with_it(self, server, repository, web, monkeypatch):
        server.private = True
        with pytest.raises(ArchiveError, match="set GIN_TOKEN"):
            repository.list(web)
        monkeypatch.setenv("GIN_TOKEN", TOKEN)
        listing = repository.list(web)
        for asset in listing.assets:
            assert body(web, repository.places(asset, web)[0]) == FILES[asset.path]

    @pytest.mark.parametrize("name", ["owner", "owner/name/more", "../name", "owner/na me", "https://gin.g-node.org/a/b"])
    def test_a_name_has_two_parts(self, name):
        with pytest.raises(ArchiveError, match="owner/name"):
            gin.repository(name)


class TestFiles:
    def test_each_content_comes_from_its_first_place(self, repository, web):
        for asset in repository.list(web).assets:
            place = repository.places(asset, web)[0]
            assert not place.ranges
            assert body(web, place) == FILES[asset.path]

    def test_what_a_page_cannot_give_the_annex_can(self, server, repository, web):
        asset = next(a for a in repository.list(web).assets if a.path.startswith("monkeyF"))
        server.lost = set(server.contents)
        raw, kept, _ = repository.places(asset, web)
        with pytest.raises(ArchiveError, match="HTTP 500"):
            body(web, raw)
        assert body(web, kept) == FILES[asset.path]

    def test_a_body_cut_short_is_no_file(self, server, repository, web):
        asset = next(a for a in repository.list(web).assets if a.path.startswith("monkeyN"))
        server.next = [Mischief(cut=0.5)]
        with pytest.raises(ArchiveError, match=r"bytes came of|connection failed"):
            body(web, repository.places(asset, web)[0])

    @pytest.mark.parametrize("broken", [Mischief(503), Mischief(cut=0.5), Mischief(cut=0.3, reset=True), Mischief(flip=True), Mischief(404)])
    def test_a_file_arrives_verified_whatever_happens_on_the_way(self, server, repository, web, tmp_path, broken):
        for asset in repository.list(web).assets:
            if len(FILES[asset.path]) > 100 and annexed(asset.path):
                server.next = [broken]
                assert fetch(repository, asset, web, tmp_path / "cache").read_bytes() == FILES[asset.path]

    def test_a_pointer_in_place_of_a_file_is_not_taken_for_it(self, server, repository, web, tmp_path):
        """What a mirror without git-annex sends; the annex has the file under an address of its own."""
        asset = next(a for a in repository.list(web).assets if a.path.startswith("monkeyF"))
        server.mischief = lambda asked: Mischief(200, {}, f"/annex/objects/{asset.version}\n".encode())
        assert fetch(repository, asset, web, tmp_path / "cache").read_bytes() == FILES[asset.path]

    def test_addresses_kept_in_a_lock_are_gins_own_and_asked_where_the_variable_says(self, server, web, monkeypatch):
        monkeypatch.setenv("NEUROPILE_GIN_URL", server.url + "/")
        archive = gin.repository("owner/name")
        for asset in archive.list(web).assets:
            assert (asset.url or "").startswith("https://gin.g-node.org/owner/name/raw/")
            assert all(p.url.startswith(f"{server.url}/owner/name/") for p in archive.places(asset, web))
            assert body(web, archive.places(asset, web)[0]) == FILES[asset.path]

    def test_a_folder_of_files_is_served(self, server, repository, web, tmp_path):
        (tmp_path / "made" / "sub").mkdir(parents=True)
        (tmp_path / "made" / "sub" / "a.mat").write_bytes(b"1234")
        (tmp_path / "made" / "b.txt").write_bytes(b"12")
        commit = serve_folder(server, tmp_path / "made")
        listing = repository.list(web)
        assert [(a.path, a.bytes, (a.digest or "").partition(":")[0]) for a in listing.assets] == [("b.txt", 2, "git-sha1"), ("sub/a.mat", 4, "md5")]
        assert listing.version == commit


EMPTY = hashlib.sha256(b"").hexdigest()


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "folder"),
        [
            (f"SHA256E-s0--{EMPTY}", "f87/4d5"),
            (f"SHA256E-s0--{EMPTY}", "pX/ZJ"),
            ("MD5E-s2120211--06d1efcb05bb2c55cd039dab3fb28455.pdf", "jf/3M"),
            ("MD5-s5--5d41402abc4b2a76b9719d911017c592", "6ba/32d"),
        ],
    )
    def test_contents_lie_where_git_annex_puts_them(self, key, folder):
        assert f"{folder}/{key}/{key}" in annex.places(key)

    @given(
        data=st.binary(max_size=64),
        backend=st.sampled_from([("MD5", "md5"), ("SHA1", "sha1"), ("SHA256", "sha256"), ("SHA512", "sha512"), ("BLAKE2B512", "blake2b")]),
        extension=st.sampled_from(["", ".mat", ".tar.gz"]),
        mtime=st.sampled_from(["", "-m1600000000"]),
        locked=st.booleans(),
    )
    def test_a_pointer_tells_size_and_digest(self, data, backend, extension, mtime, locked):
        name, algorithm = backend
        text = f"{name}{'E' if extension else ''}-s{len(data)}{mtime}--{hashlib.new(algorithm, data).hexdigest()}{extension}"
        pointer = f"../../.git/annex/objects/aB/cD/{text}/{text}" if locked else f"/annex/objects/{text}\n"
        assert annex.pointed(pointer.encode()) == annex.Key(text, len(data), algorithm, hashlib.new(algorithm, data).hexdigest())

    @pytest.mark.parametrize("text", ["WORM-s5-m1600000000--data.mat", "URL-s5--http&c%%example.org%a", "SHA256E-s5--abc.mat"])
    def test_a_key_without_a_digest_has_its_size_only(self, text):
        assert annex.parsed(text) == annex.Key(text, 5, None, None)

    @pytest.mark.parametrize("content", [b"", b"hello", b"see /annex/objects/ for more", b"\xff\xfe\0", b"../other/file.mat", b"x" * 40_000])
    def test_other_contents_are_no_pointers(self, content):
        assert annex.pointed(content) is None


def test_git_is_asked_nothing_of_the_person_at_the_keyboard(server: Gin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a password nor anything in their own settings that would send it elsewhere."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    server.private = True
    with pytest.raises(git_tree.Missing), git_tree.fetched(f"{server.url}/owner/name", "HEAD"):
        pass
    with pytest.raises(ArchiveError, match="not allowed"), git_tree.fetched("ssh://localhost/x", "HEAD"):
        pass


def test_the_server_is_real_git(server: Gin, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", f"{server.url}/owner/name", str(tmp_path / "clone")], check=True)
    assert (tmp_path / "clone" / "code" / "plain #2 é.m").read_bytes() == FILES["code/plain #2 é.m"]
