"""Locks: read back as written, and a changed archive is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile import locks
from neuropile.archives import Listing
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

NAMES = st.text(st.characters(exclude_categories=("C",), exclude_characters="/\\:"), min_size=1, max_size=12).filter(lambda t: t not in (".", ".."))
HEX = st.text("0123456789abcdef", min_size=8, max_size=8)
ASSETS = st.builds(Asset, NAMES, st.none() | st.integers(0, 2**50), st.none() | HEX, st.none() | st.just("https://x/y?z=1"), st.none() | NAMES, st.none() | HEX)


def listing(*assets: Asset, pinned: bool = False) -> Listing:
    return Listing("dandi", "000001", "draft", pinned, assets, "A title", "CC-BY-4.0", "Someone (2024)", "https://dandi/000001")


@given(st.lists(ASSETS, unique_by=lambda a: a.path, max_size=6), st.booleans())
def test_a_lock_is_read_as_it_was_written(assets: list[Asset], pinned: bool) -> None:
    found = listing(*assets, pinned=pinned)
    assert locks.from_text(locks.as_text(found), "x") == found


def test_a_name_may_hold_what_elsewhere_ends_a_line() -> None:
    found = listing(Asset("a\u2028b\u2029c.nwb", 1, None))
    assert locks.from_text(locks.as_text(found), "x") == found


def test_the_same_listing_gives_the_same_bytes(tmp_path: Path) -> None:
    a, b = Asset("a", 1, None), Asset("b", 2, None)
    locks.write(listing(a, b), tmp_path / "1")
    locks.write(listing(b, a), tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"format": "other"}', "{", "null", '{"format": "neuropile lock", "format_version": 1}'])
def test_what_is_no_lock_is_told(damage: str) -> None:
    with pytest.raises(ArchiveError, match="is not a lock"):
        locks.from_text(damage, "some.lock")


def test_a_lock_of_a_newer_neuropile_is_told() -> None:
    text = locks.as_text(listing()).replace('"format_version": 1', '"format_version": 2')
    with pytest.raises(ArchiveError, match="upgrade neuropile"):
        locks.from_text(text, "some.lock")


def test_no_lock_is_none(tmp_path: Path) -> None:
    assert locks.read(tmp_path / "none.jsonl") is None


def test_paths_in_a_lock_are_checked_as_those_of_an_archive() -> None:
    text = locks.as_text(listing(Asset("a.nwb", 1, None))).replace("a.nwb", "../a.nwb")
    with pytest.raises(ArchiveError, match="leave its folder"):
        locks.from_text(text, "some.lock")


BEFORE = Asset("a.nwb", 10, "aa", version="1", digest="md5:11")


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (BEFORE, True),
        (replace(BEFORE, version="2"), True),  # uploaded again, the same bytes
        (replace(BEFORE, url="https://elsewhere"), True),
        (replace(BEFORE, sha256="bb"), False),
        (replace(BEFORE, sha256=None), True),  # not computed yet, the other digest says the same
        (replace(BEFORE, sha256=None, digest="md5:22"), False),
        (replace(BEFORE, sha256=None, digest=None), True),
        (replace(BEFORE, sha256=None, digest=None, bytes=11), False),
        (replace(BEFORE, sha256=None, digest=None, version="2"), False),
    ],
)
def test_a_file_is_the_same_by_its_digest_else_by_size_and_version(now: Asset, same: bool) -> None:
    if same:
        assert locks.compare(listing(BEFORE), listing(now)) == []
    else:
        with pytest.raises(SourceChanged, match=r"1 changed \(a\.nwb\).*--update"):
            locks.compare(listing(BEFORE), listing(now))


def test_a_file_that_is_gone_is_told_and_one_that_came_is_given() -> None:
    other = Asset("b.nwb", 1, None)
    assert locks.compare(listing(BEFORE), listing(BEFORE, other)) == [other]
    with pytest.raises(SourceChanged, match=r"1 gone \(b\.nwb\)"):
        locks.compare(listing(BEFORE, other), listing(BEFORE))


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ('"bytes": 10', '"bytes": "10"', "bytes of a.nwb is '10', not a whole number"),
        ('"bytes": 10', '"bytes": -1', "bytes of a.nwb"),
        ('"bytes": 10', '"bytes": true', "bytes of a.nwb"),
        ('"bytes": 10', '"bytes": 1.5', "bytes of a.nwb"),
        ('"sha256": "aa"', '"sha256": ["aa"]', "sha256 of a.nwb"),
        ('"path": "a.nwb"', '"path": 5', "path of 5"),
        ('"pinned": false', '"pinned": "no"', "pinned of its head is 'no', not true or false"),
        ('"title": "A title"', '"title": {}', "title of its head"),
        ('"version": "draft"', '"version": null', "version of its head"),
    ],
)
def test_a_value_of_a_lock_that_is_of_another_kind_is_told(was: str, now: str, words: str) -> None:
    text = locks.as_text(listing(BEFORE))
    assert was in text
    with pytest.raises(ArchiveError, match=words):
        locks.from_text(text.replace(was, now), "some.lock")


def test_a_lock_nested_without_end_is_told_with_the_way_out() -> None:
    with pytest.raises(ArchiveError, match=r"is not a lock.*; go left"):
        locks.from_text("[" * 200_000, "some.lock", "go left")


def test_a_folder_in_the_place_of_a_lock_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="cannot be read"):
        locks.read(tmp_path)
