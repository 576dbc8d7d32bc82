"""Answers of archives: digests, sizes and links of every shape; licences by their names; pages that end."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.archives import answers
from neuropile.archives.credits import bare_doi, citation, spdx
from neuropile.errors import ArchiveError
from neuropile.licence_names import KNOWN

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=10)


@given(st.sampled_from(["md5", "sha1", "sha256", "sha384", "sha512"]), st.binary(), st.booleans(), st.booleans())
def test_digests_are_known_in_every_spelling(name: str, data: bytes, upper: bool, hyphen: bool) -> None:
    value = hashlib.new(name, data).hexdigest()
    told = name.replace("sha", "sha-") if hyphen else name
    assert answers.digest(told.upper() if upper else told, value.upper() if upper else value) == (name, value)
    assert answers.digest(told, value[:-1]) is None
    assert answers.digest(told, "g" + value[1:]) is None


@given(JSON, st.lists(st.text() | st.integers(0, 3), max_size=4))
def test_whatever_an_archive_answers_a_field_is_found_or_none(value: object, keys: list[str | int]) -> None:
    answers.get(value, *keys)
    assert answers.size(value) is None or (isinstance(value, int) and value >= 0)
    assert answers.words(value) is None or isinstance(value, str)
    assert isinstance(answers.objects(value), list)
    spdx(value)
    bare_doi(value)
    assert answers.digest(value, value) is None


@given(st.integers(0, 40), st.integers(1, 7))
def test_all_rows_of_all_pages_come_in_order(n: int, most: int) -> None:
    rows = list(range(n))
    found = answers.pages(0, lambda at: (rows[at : at + most], at + most if at + most < n else None), "here")
    assert list(found) == rows


@given(st.integers(1, 5), st.integers(0, 4))
def test_pages_that_lead_back_end(n: int, back: int) -> None:
    with pytest.raises(ArchiveError, match="does not end"):
        list(answers.pages(0, lambda at: ([], at + 1 if at < n else min(back, n)), "here"))


@given(st.dictionaries(st.text(min_size=1), st.text()), st.dictionaries(st.text(min_size=1), st.text()))
def test_a_question_is_added_to_and_never_changed(there: dict[str, str], more: dict[str, str]) -> None:
    url = answers.asking(answers.asking("https://h/p", **there), **more)
    assert dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) == {**more, **there}


@pytest.mark.parametrize("href", ["//evil.org/x", "https://evil.org/", "http://h/x", "https://h:8443/x", "https://h@evil.org/"])
def test_links_stay_on_their_server(href: str) -> None:
    with pytest.raises(ArchiveError, match="another server"):
        answers.joined("https://h/api", href)
    assert answers.joined("https://h/api", "/v/2?page=1") == "https://h/v/2?page=1"


SPELLINGS = {
    "CC-BY-4.0": [
        "cc-by-4.0",
        "Attribution 4.0 International",
        "CC BY 4.0",
        "CC-By Attribution 4.0 International",
        "https://creativecommons.org/licenses/by/4.0/legalcode",
    ],
    "CC-BY-NC-SA-4.0": ["CC-By Attribution-NonCommercial-ShareAlike 4.0 International", "cc-by-nc-sa-4.0"],
    "CC-BY-NC-ND-3.0": ["http://creativecommons.org/licenses/by-nc-nd/3.0/", "CC BY-NC-ND 3.0"],
    "CC0-1.0": ["CC0", "CC0 1.0 Universal", "cc-zero", "https://spdx.org/licenses/CC0-1.0.html", "https://creativecommons.org/publicdomain/zero/1.0/"],
    "MIT": ["MIT", "MIT License", "https://spdx.org/licenses/MIT"],
    "Apache-2.0": ["Apache-2.0", "Apache License 2.0"],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, texts in SPELLINGS.items() for t in texts])
def test_a_licence_is_known_however_archives_write_it(name: str, text: str) -> None:
    assert spdx(text) == name


@pytest.mark.parametrize("name", sorted(x.spdx for x in KNOWN.values()))
def test_every_licence_that_publishing_knows_keeps_its_name(name: str) -> None:
    assert spdx(name) == spdx(name.lower()) == name


@pytest.mark.parametrize("text", ["CC BY", "other-open", "No license", "All rights reserved", "GPL 3.0+", "CC BY 4.0 or MIT"])
def test_words_that_name_no_one_licence_stay_as_they_are(text: str) -> None:
    assert spdx(text) == text


def test_a_citation_of_nobody_or_nothing_is_none() -> None:
    assert citation([], "2020", "t", "Zenodo", "10.5281/zenodo.1") is None
    assert citation(["A"], "2020", None, "Zenodo", None) is None
    assert citation(["A"], None, "T.", "Zenodo", None) == "A. T. Zenodo."
