"""Search over a store: ONE's keywords where a store can answer them, and free text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropile import testing
from neuropile.building import add_recording
from neuropile.errors import NeuropileError
from neuropile.searching.keywords import complete, date_span
from neuropile.searching.stored import STORE_KEYWORDS, in_store
from neuropile.store import Store, create_store
from neuropile.types import Asset, Subject
from neuropile.writing import Provenance

#: dataset, session, subject, species, units, files, region of all units.
MADE: list[tuple[str, str, str, str | None, int, tuple[str, ...], str]] = [
    ("ibl", "KS023_2019-12-10_001", "KS023", "Mus musculus", 3, ("cortexlab/Subjects/KS023/2019-12-10/001/alf/probe00/spikes.times.npy",), "VISp5"),
    ("ibl", "CSHL045_2020-02-25_002", "CSHL045", "mouse", 5, ("churchlandlab/Subjects/CSHL045/2020-02-25/002/alf/_ibl_trials.table.pqt",), "CA1"),
    ("perich", "sub-M_ses-20150923T000000", "Mihi", "Macaca mulatta", 4, ("sub-M/sub-M_ses-20150923.nwb",), "M1"),
    ("huszar", "Rat08-20130708", "Rat08", "Rattus norvegicus", 2, ("Rat08.nwb", "extra.csv"), "CA1"),
    ("people", "one", "P1", None, 2, (), "hippocampus"),
]
ALL = {f"{d}/{s}" for d, s, *_ in MADE}


def keys(*rows: int) -> set[str]:
    return {f"{MADE[i][0]}/{MADE[i][1]}" for i in rows}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = create_store(tmp_path_factory.mktemp("searching") / "store")
    for i, (dataset, session, subject, species, n_units, files, region) in enumerate(MADE):
        recording = testing.recording(i, n_units=n_units, duration_s=5.0 + i)
        units = recording.units.set_column(recording.units.schema.get_field_index("region"), "region", [[region] * n_units])
        mine = dataclasses.replace(recording, session_id=session, subject=Subject(subject, species), units=units, citation="a laboratory's rates")
        assets = tuple(Asset(f, 1, "0" * 64) for f in files)
        add_recording(made, mine, Provenance(dataset, assets, "made"))
    return made


def found(store: Store, text: str = "", **asked: Any) -> set[str]:
    return set(store.search(text, **asked).index)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (0, 1, 2, 3, 4)),
        ({"subject": "KS"}, (0,)),
        ({"subject": "ks"}, ()),
        ({"subject_id": "^Rat"}, (3,)),
        ({"subj": ["KS", "Mihi"]}, (0, 2)),
        ({"lab": "churchland"}, (1,)),
        ({"lab": ["churchland", "cortex"]}, (0, 1)),
        ({"date_range": "2019-12-10"}, (0,)),
        ({"date_range": ["2015-01-01", "2019-12-10"]}, (0, 2)),
        ({"date_range": (None, "2015-09-23")}, (2, 3)),
        ({"date_range": ("2020-01-01", None)}, (1,)),
        ({"number": 2}, (1,)),
        ({"dataset": "ibl"}, (0, 1)),
        ({"datasets": "spikes.times.npy"}, (0,)),
        ({"datasets": "spikes.times"}, ()),
        ({"datasets": ["Rat08.nwb", r".*\.csv"]}, (3,)),
        ({"datasets": ["Rat08.nwb", "spikes.times.npy"]}, ()),
        ({"species": "mouse"}, (0, 1)),
        ({"species": "Mus"}, (0,)),
        ({"species": ["rat", "monkey"]}, (2, 3)),
        ({"region": "VISp5"}, (0,)),
        ({"region": "VISp"}, (0,)),
        ({"region": "Isocortex"}, (0,)),
        ({"region": ["VISp", "M1"]}, (0, 2)),
        ({"n_units": ">3"}, (1, 2)),
        ({"n_units": 2}, (3, 4)),
        ({"quantity": "spikes", "dataset": "^p"}, (2, 4)),
        ({"subject": None, "lab": None}, (0, 1, 2, 3, 4)),
        ({"lab": "lab$", "date": ["2020-01-01"], "region": "HPF"}, (1,)),
    ],
)
def test_a_keyword_means_what_it_means_in_one(store: Store, asked: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert found(store, **asked) == keys(*expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 1, 2, 3, 4)),
        ("mouse", (0, 1)),
        ("mice", (0, 1)),
        ("rat", (3,)),
        ("monkey", (2,)),
        ("macaque", (2,)),
        ("human", ()),
        ("ks023", (0,)),
        ("ibl mouse", (0, 1)),
        ("ibl rat", ()),
        ("region:VISp mouse", (0,)),
        ("VISp", (0,)),
        ("region:hippocampus", (4,)),
        ("species:mouse region:CA1", (1,)),
        ("CA1", (1, 3)),
        ("dataset:IBL subject:cshl", (1,)),
        ('species:"macaca mul"', (2,)),
        ('"laboratory\'s rates"', (0, 1, 2, 3, 4)),
        ("lab:church", (1,)),
        ("n_units:>2", (0, 1, 2)),
        ("n_units:<=2", (3, 4)),
        ("n_units:2..3", (0, 3, 4)),
        ("n_units:4", (2,)),
        ("duration:>7.5", (3, 4)),
        ("date:2019", (0,)),
        ("date:2019..2020", (0, 1)),
        ("date:2020-02-25..", (1,)),
        ("date:..2015-09", (2, 3)),
        ("datasets:trials", (1,)),
        ("nothing of the kind", ()),
    ],
)
def test_words_are_all_looked_for_and_keys_look_at_one_thing(store: Store, text: str, expected: tuple[int, ...]) -> None:
    assert found(store, text) == keys(*expected)


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        ("colour:red", {}, "no search keyword 'colour': there are dataset, subject"),
        ("", {"task_protocol": "ephys"}, "no search keyword 'task_protocol'"),
        ("", {"data": "x"}, "it may be dataset or datasets"),
        ("", {"n": 1}, "it may be number or n_units or n_spikes"),
        ("region:VISpp", {}, "no region 'VISpp'"),
        ("", {"region": "nowhere"}, "no region 'nowhere'"),
        ("n_units:many", {}, "n_units:many is no number to compare with"),
        ("n_units:>2..3", {}, "is no number to compare with"),
        ("", {"subject": "("}, "is no regular expression"),
        ("date:22/03/2021", {}, "'22/03/2021' is no day; write it as 2020-01-31"),
        ("date:2021-02-31", {}, "'2021-02-31' is no day"),
        ("date:2021-13", {}, "'2021-13' is no day"),
        ("date:..", {}, "'..' is no day"),
        ("date:2022..2020", {}, "date_range runs from 2022 to 2020: the first day comes first"),
        ("n_units:5..1", {}, "n_units:5..1 runs from 5 to 1: the lower number comes first"),
        ("region:", {}, "region: asks for nothing"),
        ("subject: KS", {}, "subject: asks for nothing"),
        ('subject:""', {}, "asks for nothing"),
        ("subject:([", {}, r"subject='\(\[' is no regular expression"),
        ("datasets:*wheel*", {}, r"datasets='\*wheel\*' is no regular expression"),
        ("datasets:.*spikes.*", {}, "is looked for as it stands, and no session has it"),
        ("", {"subject": "a", "subject_id": "b"}, "subject is asked for twice, the second time as 'subject_id'"),
    ],
)
def test_what_cannot_be_asked_is_told(store: Store, text: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuropileError, match=message):
        store.search(text, **asked)


@settings(max_examples=25, deadline=None)
@given(words=st.lists(st.sampled_from(["mouse", "ibl", "CA1", "n_units:>2", "date:2019..", "lab:lab", "rat"]), max_size=4))
def test_more_words_never_find_more(store: Store, words: list[str]) -> None:
    each = [found(store, w) for w in words]
    assert found(store, " ".join(words)) == set.intersection(ALL, *each)


def test_rows_are_those_of_sessions(store: Store) -> None:
    row = store.search("ks023")
    assert row.equals(store.sessions.loc[row.index])


@pytest.mark.parametrize(("text", "asked"), [("date:2020", {}), ("", {"lab": "x"}), ("", {"number": 1}), ("lab:x", {}), ("", {"date_range": "2020-01-01"})])
def test_what_no_session_tells_is_not_taken_for_an_answer(tmp_path: Path, text: str, asked: dict[str, Any]) -> None:
    made = testing.store(tmp_path / "store", [testing.recording(0, n_units=2, duration_s=5.0)])
    with pytest.raises(NeuropileError, match=r"no session of this store tells its (date|lab|number), which is read from"):
        made.search(text, **asked)


def test_lab_day_and_number_are_read_from_sources_where_names_do_not_tell_them(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from neuropile.cli import app

    told = {"src_lab": "mylab", "src_date": "2021-03-22", "src_number": 1}
    made = testing.store(
        tmp_path / "store",
        [dataclasses.replace(testing.recording(i, n_units=2, duration_s=5.0), session_id=s, source=told if i else {}) for i, s in enumerate("ab")],
    )
    rows = made.sessions

    def keep(text: str, **asked: Any) -> list[str]:
        return rows[in_store(rows, lambda: made.units, text, asked, lambda key: made[key].record["source"])]["session_id"].tolist()

    assert keep("lab:mylab") == keep("date:2021-03") == keep("number:1") == keep("", lab="my") == keep("", date_range="2021-03-22", number=1) == ["b"]
    assert keep("lab:other") == []
    assert "1 sessions" in CliRunner().invoke(app, ["search", str(made.root), "lab:mylab"]).stdout


def test_an_empty_store_has_nothing_to_find(tmp_path: Path) -> None:
    assert store_of(tmp_path).search("mouse region:VISp").empty


def store_of(path: Path) -> Store:
    return create_store(path / "empty")


@given(st.sampled_from(STORE_KEYWORDS), st.integers(1, 12))
def test_a_shortened_keyword_is_the_one_that_alone_begins_so(keyword: str, length: int) -> None:
    short = keyword[:length]
    fits = [k for k in STORE_KEYWORDS if k.startswith(short)]
    if short in fits or len(fits) == 1:
        assert complete(short, STORE_KEYWORDS) == (short if short in fits else fits[0])
    else:
        with pytest.raises(NeuropileError, match=" or ".join(fits)):
            complete(short, STORE_KEYWORDS)


@given(st.dates(), st.dates())
def test_a_span_of_days_takes_any_form_of_a_day(a: Any, b: Any) -> None:
    first, last = min(a, b), max(a, b)
    assert date_span((first, last)) == date_span((first.isoformat(), last.isoformat())) == (first, last)
    assert date_span(first) == (first, first)
    assert date_span([first]) == (first, None)


def test_searching_never_imports_what_reads_sources() -> None:
    import subprocess
    import sys

    code = "import sys, neuropile.searching.stored, neuropile.searching.keywords; print([m for m in sys.modules if m.startswith('neuropile.readers')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_command_finds_what_the_store_finds(store: Store) -> None:
    import json

    from typer.testing import CliRunner

    from neuropile.cli import app

    done = CliRunner().invoke(app, ["search", str(store.root), "region:VISp mouse", "--json"])
    assert [s["session"] for s in json.loads(done.stdout)["sessions"]] == sorted(keys(0))
    shown = CliRunner().invoke(app, ["search", str(store.root), "rat"])
    assert "huszar/Rat08-20130708" in shown.stdout
    assert "1 sessions" in shown.stdout
