"""Plans: which files are taken, which sessions they make, and what is locked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from neuropile import locks
from neuropile.archives import Archive, Listing
from neuropile.archives.web import Web
from neuropile.errors import ArchiveError, NeuropileError, SourceChanged
from neuropile.planning import Wish, make_plan
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream
from neuropile.types import Asset

NO_WEB = cast(Web, None)


@dataclass(frozen=True)
class Shelf(Archive):
    """An archive whose files are given, and which counts how often it is listed."""

    paths: tuple[str, ...]
    pinned: bool = False
    digest: str = "md5:0"
    name = "shelf"
    id = "1"
    asked: ClassVar[list[str]] = []

    def list(self, web: Web) -> Listing:
        self.asked.append(self.id)
        return Listing("shelf", "1", "v1", self.pinned, tuple(Asset(p, 10, None, digest=self.digest) for p in self.paths))


def recipe(*paths: str, archive: Shelf | None = None, **changed: Any) -> Recipe:
    known = {"key": "made", "title": "t", "reader": nwb.units(), "species": "s", "areas": "a", "task": "t", "citation": "c", "tested_on": "nothing"}
    return Recipe(**{**known, "archive": archive or Shelf(paths), **changed})


def sessions(recipe: Recipe, **wish: Any) -> dict[str, list[str]]:
    found = make_plan(recipe, Wish(**wish), NO_WEB).sessions
    assert found is not None
    return {p.session_id: [a.path for a in p.assets] for p in found}


FILES = ("sub-a/sub-a_ses-1.nwb", "sub-a/sub-a_ses-1_probe-0_ecephys.nwb", "sub-b/sub-b_ses-2.nwb", "dandiset.yaml")


def test_each_selected_file_is_a_session_called_by_its_stem() -> None:
    found = sessions(recipe(*FILES, leave_out=("*_ecephys.nwb",)))
    assert found == {"sub-a_ses-1": ["sub-a/sub-a_ses-1.nwb"], "sub-b_ses-2": ["sub-b/sub-b_ses-2.nwb"]}


def test_files_with_the_same_session_in_their_path_are_one() -> None:
    made = recipe("s1/p-0.nwb", "s1/p-1.nwb", "s2/p-0.nwb", session=r"(?P<session>s\d)/")
    assert sessions(made) == {"s1": ["s1/p-0.nwb", "s1/p-1.nwb"], "s2": ["s2/p-0.nwb"]}


def test_subject_recording_and_reason_to_set_aside_come_from_the_path() -> None:
    made = recipe(
        "sub-x/x_2020_test.nwb",
        "sub-x/x_2020_train.nwb",
        session=r"(?P<subject>\w)_(?P<date>\d+)_(?P<session>\w+)\.nwb",
        recording="made/{subject}/{date}",
        set_aside=(("*_test.nwb", "held for the benchmark"),),
    )
    found = make_plan(made, Wish(), NO_WEB).sessions
    assert found is not None
    assert [(p.session_id, p.subject_id, p.recording_id, p.set_aside) for p in found] == [
        ("test", "x", "made/x/2020", "held for the benchmark"),
        ("train", "x", "made/x/2020", None),
    ]


def test_two_files_of_one_stem_are_told() -> None:
    with pytest.raises(NeuropileError, match=r"a/x\.nwb and b/x\.nwb would both be session x"):
        sessions(recipe("a/x.nwb", "b/x.nwb"))


def test_a_path_without_a_session_is_told() -> None:
    with pytest.raises(NeuropileError, match=r"no session is found in 'x\.nwb'.*names have changed"):
        sessions(recipe("x.nwb", session=r"(?P<session>s\d)"))


def test_nothing_selected_tells_what_there_is() -> None:
    with pytest.raises(ArchiveError, match=r"shelf:1 has 2 files \(mat, txt\), none of which fits \*\.nwb; say which with --assets"):
        sessions(recipe("a.mat", "b.txt"))


def test_a_person_may_say_which_files_and_how_many() -> None:
    assert list(sessions(recipe(*FILES), assets=("*probe-0*",))) == ["sub-a_ses-1_probe-0_ecephys"]
    assert list(sessions(recipe(*FILES), limit=1)) == ["sub-a_ses-1"]


def test_the_published_way_takes_what_the_scripts_take_under_a_name_of_its_own() -> None:
    own = Upstream(reader=upstream.counts(nwb.units()), leave_out=(), session=r"(?P<session>[^/]+)\.nwb$")
    made = recipe(*FILES, leave_out=("*_ecephys.nwb",), session=r"ses-(?P<session>\d)", set_aside=(("*", "x"),), upstream=own)
    found = make_plan(made, Wish(upstream=True), NO_WEB)
    assert found.dataset == "made@upstream"
    assert found.sessions is not None
    assert [(p.session_id, p.set_aside) for p in found.sessions] == [(Path(f).stem, "x") for f in FILES[:3]]


def test_without_scripts_there_is_no_published_way() -> None:
    with pytest.raises(ArchiveError, match="the published scripts do not have it"):
        make_plan(recipe(*FILES), Wish(upstream=True), NO_WEB)


def test_what_is_pinned_and_locked_is_not_listed_again(tmp_path: Path) -> None:
    made = recipe(archive=Shelf(FILES, pinned=True))
    first = make_plan(made, Wish(), NO_WEB, tmp_path / "lock")
    assert first.unlocked is not None
    locks.write(first.unlocked, tmp_path / "lock")
    Shelf.asked.clear()
    again = make_plan(made, Wish(), NO_WEB, tmp_path / "lock")
    assert (Shelf.asked, again.unlocked, again.sessions) == ([], None, first.sessions)


def test_a_draft_that_changed_since_it_was_locked_stops_the_build(tmp_path: Path) -> None:
    first = make_plan(recipe(archive=Shelf(FILES)), Wish(), NO_WEB, tmp_path / "lock")
    assert first.unlocked is not None
    locks.write(first.unlocked, tmp_path / "lock")
    with pytest.raises(SourceChanged, match=r"of 3 files 3 changed"):
        make_plan(recipe(archive=Shelf(FILES, digest="md5:1")), Wish(), NO_WEB, tmp_path / "lock")
    with pytest.raises(SourceChanged, match=r"1 gone \(sub-b/sub-b_ses-2\.nwb\)"):
        make_plan(recipe(archive=Shelf(FILES[:2])), Wish(), NO_WEB, tmp_path / "lock")
    updated = make_plan(recipe(archive=Shelf(FILES[:2])), Wish(update=True), NO_WEB, tmp_path / "lock")
    assert updated.sessions is not None
    assert len(updated.sessions) == 2


def test_files_that_came_since_the_lock_are_counted_and_not_taken(tmp_path: Path) -> None:
    locks.write(Shelf(FILES[:2]).list(NO_WEB), tmp_path / "lock")
    found = make_plan(recipe(archive=Shelf(FILES)), Wish(), NO_WEB, tmp_path / "lock")
    assert found.sessions is not None
    assert (found.added, len(found.sessions)) == (1, 2)


@pytest.mark.parametrize(
    ("paths", "changed", "words"),
    [
        (("ses 1.nwb", "ses_1.nwb"), {}, r"ses 1\.nwb and ses_1\.nwb would both be session ses_1; give the recipe a `session` pattern.*--assets"),
        (("ses 1.nwb", "ses_1.nwb"), {"session": r"(?P<session>.*)\.nwb"}, "both be session ses_1; mend the recipe's `session` pattern"),
        (("a.nwb", "b.nwb"), {"session": r"(?P<session>.*)\.nwb", "names": (("a", "c"), ("b", "c"))}, "both be session c; mend"),
        (("a.nwb", "b.nwb"), {"names": (("a", "b"),)}, "both be session b"),
    ],
)
def test_sessions_whose_names_become_one_are_told(paths: tuple[str, ...], changed: dict[str, Any], words: str) -> None:
    with pytest.raises(NeuropileError, match=words):
        sessions(recipe(*paths, **changed))


def test_stems_alike_in_their_first_150_characters_are_two_sessions() -> None:
    assert len(sessions(recipe("x" * 160 + "a.nwb", "x" * 160 + "b.nwb"))) == 2


def test_a_lock_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"nothere\.lock: no such lock; make it with: neuropile lock made --out"):
        make_plan(recipe(*FILES), Wish(lock=tmp_path / "nothere.lock"), NO_WEB, tmp_path / "own")
    assert make_plan(recipe(*FILES), Wish(), NO_WEB, tmp_path / "own").unlocked is not None


@pytest.mark.parametrize("pinned", [False, True])
def test_the_store_gets_the_lock_that_was_named(tmp_path: Path, pinned: bool) -> None:
    archive = Shelf(FILES, pinned=pinned)
    locks.write(archive.list(NO_WEB), tmp_path / "named")
    plan = make_plan(recipe(archive=archive), Wish(lock=tmp_path / "named"), NO_WEB, tmp_path / "own")
    assert plan.unlocked == archive.list(NO_WEB)


def test_a_lock_and_an_update_are_not_wished_for_together() -> None:
    with pytest.raises(NeuropileError, match="--update takes the archive as it is now, --lock"):
        Wish(update=True, lock=Path("x"))


def test_a_damaged_lock_of_a_store_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("{")
    with pytest.raises(ArchiveError, match=r"damaged.*--update"):
        make_plan(recipe(*FILES), Wish(), NO_WEB, tmp_path / "own")
    assert make_plan(recipe(*FILES), Wish(update=True), NO_WEB, tmp_path / "own").unlocked is not None


def test_the_files_of_a_folder_are_those_of_the_lock(tmp_path: Path) -> None:
    locks.write(Shelf(("a.nwb", "b.nwb")).list(NO_WEB), tmp_path / "named")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.nwb").write_bytes(bytes(10))
    wish = Wish(source=tmp_path / "mine", lock=tmp_path / "named")
    with pytest.raises(ArchiveError, match=r"has no b\.nwb"):
        make_plan(recipe("a.nwb", "b.nwb"), wish, NO_WEB)
    made = make_plan(recipe("a.nwb", "b.nwb"), replace(wish, limit=1), NO_WEB)
    assert [a.digest for a in made.listing.assets if a.path == "a.nwb"] == ["md5:0"]
    (tmp_path / "mine" / "a.nwb").write_bytes(bytes(11))
    with pytest.raises(SourceChanged, match="11 bytes, 10 were listed"):
        make_plan(recipe("a.nwb", "b.nwb"), replace(wish, limit=1), NO_WEB)
