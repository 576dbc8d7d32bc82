"""Licences: what forbids publishing stops it, what nobody here knows is asked for, what is not stated is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from neuropile import building, create_store, make_pile, testing
from neuropile.errors import PileError
from neuropile.publishing import licences
from neuropile.writing import Provenance

WRITTEN = {
    "CC-BY-4.0": [
        "CC-BY-4.0",
        "spdx:CC-BY-4.0",
        "cc by 4.0",
        "CC_BY_4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "Creative Commons Attribution 4.0 International",
    ],
    "CC-BY-NC-SA-3.0": [
        "cc-by-nc-sa-3.0",
        "Creative Commons Attribution-NonCommercial-ShareAlike 3.0 Unported",
        "http://creativecommons.org/licenses/by-nc-sa/3.0",
    ],
    "CC0-1.0": ["CC0", "cc0-1.0", "CC-0", "https://creativecommons.org/publicdomain/zero/1.0/", "spdx:CC0-1.0"],
    "Apache-2.0": ["Apache-2.0", "Apache License 2.0", "apache 2.0"],
    "BSD-3-Clause-LBNL": ["BSD-3-Clause-LBNL"],
    "MIT": ["MIT", "MIT License"],
    "PDDL-1.0": ["pddl"],
}


@pytest.mark.parametrize(("spdx", "text"), [(k, t) for k, v in WRITTEN.items() for t in v])
def test_a_licence_is_known_however_it_is_written(spdx: str, text: str) -> None:
    found = licences.known(text)
    assert found is not None
    assert found.spdx == spdx
    assert licences.judge(text) == "known"


@pytest.mark.parametrize(
    "text", ["CC-BY-ND-4.0", "CC BY-NC-ND 4.0", "All rights reserved", "no redistribution", "You may not redistribute the data", "do not share"]
)
def test_what_forbids_passing_on_is_forbidden(text: str) -> None:
    assert licences.judge(text) == "forbidden"


@pytest.mark.parametrize("text", ["Allen Institute Terms of Use", "CC-BY-5.0", "see README", "GPL-3.0", "Non-exclusive, free for anyone"])
def test_what_is_not_known_has_to_be_read(text: str) -> None:
    assert licences.judge(text) == "custom"


@pytest.mark.parametrize("text", [None, "", " ", "unknown", "not stated"])
def test_nothing_said_is_not_a_licence(text: str | None) -> None:
    assert licences.judge(text) == "unstated"


@given(st.one_of(st.none(), st.text(max_size=80)))
def test_any_text_is_judged_and_none_is_taken_for_more_than_it_says(text: str | None) -> None:
    verdict = licences.judge(text)
    assert (licences.known(text) is None) or verdict in ("known", "forbidden")


@pytest.mark.parametrize(
    ("texts", "whole", "names"),
    [
        (["CC-BY-4.0", "cc by 4.0"], "cc-by-4.0", ["CC-BY-4.0"]),
        (["CC-BY-4.0", "CC0-1.0"], "other", ["CC-BY-4.0", "CC0-1.0"]),
        (["CC-BY-4.0", None], "other", ["CC-BY-4.0"]),
        ([None, "unknown"], "unknown", []),
        (["BSD-3-Clause-LBNL"], "other", ["BSD-3-Clause-LBNL"]),
        (["Allen terms"], "other", ["Allen terms"]),
    ],
)
def test_the_whole_is_under_the_licence_all_share_or_under_others(texts: list[str | None], whole: str, names: list[str]) -> None:
    assert licences.of_whole(texts) == (whole, names)


def pile_of(folder: Path, **licence_of_dataset: str | None) -> Any:
    made = create_store(folder / "store")
    for i, (dataset, licence) in enumerate(licence_of_dataset.items()):
        recording = testing.recording(i, n_units=3, duration_s=20)
        object.__setattr__(recording, "license", licence)
        building.add_recording(made, recording, Provenance(dataset, (), "test"))
    return make_pile(made, quality="all", test=0.0)


def header(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "README.md").read_text().split("---")[1])


def test_a_licence_that_forbids_it_stops_publishing_by_name(tmp_path: Path) -> None:
    pile = pile_of(tmp_path, good="CC0-1.0", closed="CC-BY-NC-ND-4.0")
    with pytest.raises(PileError, match=r"forbid publishing closed \(CC-BY-NC-ND-4.0: session-1\); leave those out"):
        pile.publish(tmp_path / "p", accept=("closed",))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]


def test_terms_of_its_own_are_accepted_by_name(tmp_path: Path) -> None:
    pile = pile_of(tmp_path, allen="Allen Institute Terms of Use")
    with pytest.raises(PileError, match=r"not known here: allen \(Allen Institute Terms of Use.*--accept-terms allen"):
        pile.publish(tmp_path / "p")
    with pytest.raises(PileError, match="terms of alen are accepted, but the pile is of allen"):
        pile.publish(tmp_path / "p", accept=("alen",))
    assert pile.publish(tmp_path / "p", accept=("allen",)).warnings == ()
    assert header(tmp_path / "p")["license"] == "other"
    assert header(tmp_path / "p")["license_name"] == "allen-institute-terms-of-use"


def test_none_stated_is_said_in_output_and_card_and_stops_nothing(tmp_path: Path) -> None:
    done = pile_of(tmp_path, lab=None).publish(tmp_path / "p")
    assert done.warnings == ("lab: no licence is stated for 1 sessions; ask its authors before you pass it on",)
    assert "**No licence is stated** for lab" in (tmp_path / "p" / "README.md").read_text()
    assert header(tmp_path / "p")["license"] == "unknown"


def test_mixed_licences_are_named_and_what_forbids_commerce_is_said(tmp_path: Path) -> None:
    pile_of(tmp_path, a="CC-BY-4.0", b="CC-BY-NC-4.0").publish(tmp_path / "p")
    assert header(tmp_path / "p")["license"] == "other"
    assert header(tmp_path / "p")["license_name"] == "cc-by-4.0-and-cc-by-nc-4.0"
    assert "**Not for commercial use as a whole**: part of it is under CC-BY-NC-4.0." in (tmp_path / "p" / "README.md").read_text()
