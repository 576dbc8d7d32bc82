"""ONE's query model, line by line, against ONE on the same tables."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path
from typing import Any

import alf_trees
import numpy as np
import pandas as pd
import pytest
from alf_trees import WHEEL, eid
from hypothesis import given, settings
from hypothesis import strategies as st
from one.api import One

from neuropile.errors import NeuropileError
from neuropile.one import ALFObjectNotFound, open_cache
from neuropile.one.local import Cache

SPIKES, TRIALS = "spikes.times.npy", "_ibl_trials.table.pqt"


@pytest.fixture(scope="module")
def cache(listed: Path) -> Cache:
    return open_cache(listed)


@pytest.fixture(scope="module")
def one(listed: Path) -> One:
    return One(cache_dir=listed)


#: What is asked, and which sessions of alf_trees.SESSIONS match, in words of the definition.
TRUTH: list[tuple[str, dict[str, Any], set[int]]] = [
    ("nothing asked is everything", {}, {0, 1, 2, 3, 4, 5}),
    ("a text is found anywhere", {"subject": "ZM"}, {0, 1}),
    ("case counts", {"subject": "zm"}, {5}),
    ("a text is a regular expression", {"subject": "^ZM_1743$"}, {0}),
    ("a point is any sign", {"subject": "zm.lower.case"}, {5}),
    ("a list is or", {"subject": ["ZM_1743", "MFD"]}, {0, 4}),
    ("lab is short for laboratory", {"lab": "mainenlab"}, {0, 1}),
    ("a part of a lab's name finds those that go on", {"laboratory": "churchlandlab"}, {2, 3, 4}),
    ("an end can be asked for", {"laboratory": "churchlandlab$"}, {2, 3}),
    ("a list of labs is or", {"lab": ["mainenlab", "_ucla"]}, {0, 1, 4}),
    ("a part of a protocol", {"task_protocol": "ephys"}, {0, 2, 5}),
    ("task is short for task_protocol", {"task": "training"}, {1}),
    ("a number is whole, not a part", {"number": 1}, {0, 1, 4, 5}),
    ("numbers are a list, and texts will do", {"number": ["2", 11]}, {2, 3}),
    ("projects are looked for in the joined text", {"projects": "mainenlab,ibl"}, {1}),
    ("proj is short for projects", {"proj": "practice"}, {3}),
    ("a day", {"date_range": "2020-02-25"}, {2, 3}),
    ("a day as a date", {"date_range": datetime.date(2020, 2, 25)}, {2, 3}),
    ("both ends are meant", {"date_range": ["2019-06-14", "2020-01-22"]}, {0, 1}),
    ("an open end", {"date_range": ["2020-02-25", None]}, {2, 3, 4, 5}),
    ("an open beginning", {"date_range": [None, "2020-01-22"]}, {0, 1}),
    ("one day in a list is a beginning", {"date_range": ["2021-07-28"]}, {5}),
    ("date is short for date_range", {"date": "2021-07-27"}, {4}),
    ("a dataset must exist and be no worse than FAIL", {"datasets": SPIKES}, {0, 2}),
    ("datasets are and", {"datasets": [TRIALS, SPIKES]}, {0, 2}),
    ("a dataset's name must match in full", {"datasets": "trials.table.pqt"}, {5}),
    ("a dataset's name is a regular expression", {"datasets": ".*trials.table.*"}, {0, 1, 2, 5}),
    ("folders are no part of a dataset's name", {"datasets": "alf/probe00/pykilosort/spikes.times.npy"}, set()),
    ("the part of a name finds none", {"datasets": "spikes.times"}, set()),
    ("a stricter quality", {"datasets": TRIALS, "dataset_qc_lte": "WARNING"}, {0, 1}),
    ("not set is better than all", {"datasets": "_ibl_wheel.position.npy", "dataset_qc_lte": "NOT_SET"}, {0}),
    ("the worst quality lets everything through that exists", {"datasets": TRIALS, "dataset_qc_lte": "CRITICAL"}, {0, 1, 2, 3}),
    ("quality as a number", {"datasets": TRIALS, "dataset_qc_lte": 10}, {0}),
    ("different keywords are and", {"lab": "churchlandlab", "date_range": ["2020-01-01", "2020-12-31"], "number": 2}, {2}),
    ("what contradicts itself is nothing", {"subject": "ZM", "lab": "churchlandlab"}, set()),
]


@pytest.mark.parametrize(("claim", "asked", "expected"), TRUTH, ids=[c for c, _, _ in TRUTH])
def test_a_query_means_what_one_means(claim: str, asked: dict[str, Any], expected: set[int], cache: Cache, one: One) -> None:
    found = cache.search(**asked)
    assert set(found) == {eid(i) for i in expected}
    assert found == [str(e) for e in one.search(**asked)] or sorted(found) == sorted(str(e) for e in one.search(**asked))


@settings(max_examples=20, deadline=None)
@given(
    subject=st.sampled_from([None, "ZM", "CSHL", "lower", ["MFD", "ZM_2"]]),
    lab=st.sampled_from([None, "lab", "mainen", "^churchlandlab$"]),
    number=st.sampled_from([None, 1, [2, 11]]),
    date_range=st.sampled_from([None, "2020-02-25", ["2020-01-01", None], [None, "2020-12-31"]]),
    datasets=st.sampled_from([None, SPIKES, [TRIALS], [".*wheel.*", TRIALS]]),
    limit=st.sampled_from([None, "PASS", "FAIL", "CRITICAL"]),
)
def test_any_combination_finds_what_one_finds(listed: Path, subject: Any, lab: Any, number: Any, date_range: Any, datasets: Any, limit: Any) -> None:
    asked = {"subject": subject, "lab": lab, "number": number, "date_range": date_range, "datasets": datasets}
    asked |= {"dataset_qc_lte": limit if datasets is not None else None}
    given_ = {k: v for k, v in asked.items() if v is not None}
    assert set(_cache_of(listed).search(**asked)) == {str(e) for e in _one_of(listed).search(**given_)}


_OPEN: dict[str, Any] = {}


def _cache_of(root: Path) -> Cache:
    return _OPEN.setdefault(f"cache {root}", open_cache(root))


def _one_of(root: Path) -> One:
    return _OPEN.setdefault(f"one {root}", One(cache_dir=root))


def test_sessions_come_newest_first(cache: Cache) -> None:
    assert cache.search() == [eid(i) for i in (5, 4, 3, 2, 1, 0)]


def test_a_quality_alone_takes_sessions_with_any_file_that_good(cache: Cache) -> None:
    """So ONE's own help says it; the ONE at hand finds none."""
    assert set(cache.search(dataset_qc_lte="PASS")) == {eid(0), eid(5)}


def test_details_come_with_the_ids(cache: Cache) -> None:
    found, rows = cache.search(subject="ZM", details=True)
    assert [r["subject"] for r in rows] == ["ZM_2240", "ZM_1743"]
    assert found == [eid(1), eid(0)]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"dataset": SPIKES}, r"no search keyword 'dataset': it may be datasets or dataset_qc_lte"),
        ({"p": "x", "d": "x"}, r"no search keyword 'd': it may be datasets or dataset_qc_lte or date_range"),
        ({"colour": "x"}, r"no search keyword 'colour': there are datasets, dataset_qc_lte"),
        ({"subject": "ZM", "subj": "ZM"}, r"subject is asked for twice"),
        ({"subject": "("}, r"subject='\(' is no regular expression"),
        ({"subject": []}, r"subject is an empty list"),
        ({"number": "two"}, r"number='two' is no whole number"),
        ({"date_range": "June"}, r"'June' is no day; write it as 2020-01-31"),
        ({"date_range": ["2020-01-02", "2020-01-01"]}, r"the first day comes first"),
        ({"date_range": ["2020-01-02"] * 3}, r"the first and the last, not 3"),
        ({"datasets": SPIKES, "dataset_qc_lte": "GOOD"}, r"a dataset's quality is NOT_SET \(0\), PASS \(10\).*not 'GOOD'"),
    ],
)
def test_what_cannot_be_asked_is_told(cache: Cache, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuropileError, match=message):
        cache.search(**asked)


@pytest.mark.parametrize("keyword", ["datasets", "date_range", "laboratory", "number", "projects", "subject", "task_protocol", "dataset_qc_lte"])
def test_the_shortest_form_of_each_keyword_is_ones(keyword: str, cache: Cache, one: One) -> None:
    from one.util import autocomplete

    from neuropile.searching.keywords import KEYWORDS, complete

    for n in range(1, len(keyword) + 1):
        try:
            expected = autocomplete(keyword[:n], one.search_terms())
        except ValueError:
            with pytest.raises(NeuropileError):
                complete(keyword[:n], KEYWORDS)
        else:
            assert complete(keyword[:n], KEYWORDS) == expected


class TestNaming:
    """The many names of a session."""

    ROW = alf_trees.SESSIONS[0]

    @pytest.mark.parametrize(
        "name",
        [
            eid(0).upper(),
            f"https://alyx.example.org/sessions/{eid(0)}",
            "ZM_1743/2019-06-14/1",
            "ZM_1743/2019-06-14/001",
            "mainenlab/Subjects/ZM_1743/2019-06-14/001/alf/probe00",
            "2019-06-14_1_ZM_1743",
            "2019-06-14_001_ZM_1743",
            Path("/elsewhere/mainenlab/Subjects/ZM_1743/2019-06-14/001/alf"),
            {"subject": "ZM_1743", "date": "2019-06-14", "number": 1, "lab": "mainenlab"},
            {"subject": "ZM_1743", "start_time": "2019-06-14T10:00:00", "number": 1},
        ],
    )
    def test_each_name_is_the_session(self, cache: Cache, name: Any) -> None:
        assert cache.to_eid(name) == eid(0)

    def test_a_list_of_names_is_a_list_of_ids(self, cache: Cache) -> None:
        assert cache.to_eid([eid(0), "2020-01-22_1_ZM_2240"]) == [eid(0), eid(1)]

    def test_paths_are_those_of_one(self, cache: Cache, one: One) -> None:
        for i in range(len(alf_trees.SESSIONS)):
            assert cache.eid2path(eid(i)) == Path(one.eid2path(eid(i)))
            assert cache.path2eid(cache.eid2path(eid(i))) == eid(i)

    def test_unknown_paths_and_ids_have_no_other(self, cache: Cache) -> None:
        assert cache.path2eid("nobody/2020-01-01/001") is None
        assert cache.path2eid("no/session") is None
        assert cache.eid2path(eid(99)) is None

    @pytest.mark.parametrize(
        "name", [eid(99), "nobody/2020-01-01/001", "otherlab/Subjects/ZM_1743/2019-06-14/001", "lab/Subjects/no/2019-06-14/1", "word", {"subject": "ZM_1743"}]
    )
    def test_a_session_that_is_not_there_is_an_error(self, cache: Cache, name: Any) -> None:
        with pytest.raises(ALFObjectNotFound):
            cache.to_eid(name)

    def test_details_are_the_row(self, cache: Cache, one: One) -> None:
        ours, theirs = cache.get_details(eid(0)), one.get_details(eid(0))
        assert ours[list(theirs.index)].tolist() == theirs.tolist()
        full = cache.get_details(eid(0), full=True)
        assert len(full) == 3
        assert set(full["subject"]) == {"ZM_1743"}

    def test_subjects_are_listed_once(self, cache: Cache, one: One) -> None:
        assert cache.list_subjects() == one.list_subjects()


class TestInsertions:
    def test_probes_and_sessions_find_each_other(self, cache: Cache) -> None:
        pids, names = cache.eid2pid(eid(0))
        assert dict(zip(names, pids, strict=True)) == {"probe00": alf_trees.pid(0, "probe00"), "probe01": alf_trees.pid(0, "probe01")}
        assert [cache.pid2eid(p) for p in pids] == [(eid(0), n) for n in names]

    def test_a_session_without_probes_has_none(self, cache: Cache) -> None:
        assert cache.eid2pid(eid(1)) == ([], [])

    def test_an_unknown_probe_is_an_error(self, cache: Cache) -> None:
        with pytest.raises(ALFObjectNotFound, match="has no insertion 'x' among 5"):
            cache.pid2eid("x")

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({}, [(4, "probe00"), (2, "probe01"), (2, "probe00"), (0, "probe01"), (0, "probe00")]),
            ({"name": "00"}, [(4, "probe00"), (2, "probe00"), (0, "probe00")]),
            ({"name": ["probe01", "nothing"]}, [(2, "probe01"), (0, "probe01")]),
            ({"lab": "mainenlab", "name": "probe01"}, [(0, "probe01")]),
            ({"session": eid(2)}, [(2, "probe01"), (2, "probe00")]),
            ({"subject": "CSHL", "datasets": SPIKES}, [(2, "probe01"), (2, "probe00")]),
        ],
    )
    def test_they_are_searched_with_their_sessions(self, cache: Cache, asked: dict[str, Any], expected: list[tuple[int, str]]) -> None:
        assert cache.search_insertions(**asked) == [alf_trees.pid(i, name) for i, name in expected]

    def test_details_name_session_and_probe(self, cache: Cache) -> None:
        _, rows = cache.search_insertions(session=eid(4), details=True)
        assert rows == [{"eid": eid(4), "id": alf_trees.pid(4, "probe00"), "name": "probe00"}]


class TestListing:
    """Against ONE, on every pattern."""

    @pytest.mark.parametrize("filename", [None, "spikes*", "*.pqt", "sp*[rs].?imes.npy", {"object": ["wheel", "trial?"]}, {"extension": "npy"}])
    @pytest.mark.parametrize("collection", [None, "alf/*", "*probe0?*", ["alf", "raw*"]])
    def test_datasets_are_those_of_one(self, cache: Cache, one: One, filename: Any, collection: Any) -> None:
        for i in range(len(alf_trees.SESSIONS)):
            theirs = one.list_datasets(eid(i), filename=filename, collection=collection)
            assert cache.list_datasets(eid(i), filename, collection) == sorted(theirs if isinstance(theirs, list) else [])

    def test_a_pattern_of_names_goes_over_no_folder_and_each_of_a_list_counts(self, cache: Cache) -> None:
        """So ONE's help says; the one at hand takes "alf" and "*spikes*" for alf/probe00/..., and the second of a list for none."""
        assert cache.list_datasets(eid(0), "*spikes*", "alf") == []
        assert cache.list_datasets(eid(0), ["*wheel*", "*spikes*"]) == [WHEEL, alf_trees.SPIKES]

    def test_all_sessions_together(self, cache: Cache, one: One) -> None:
        assert cache.list_datasets() == sorted(one.list_datasets())
        assert cache.list_collections() == sorted(one.list_collections())

    @pytest.mark.parametrize(("qc", "ignore"), list(itertools.product(["PASS", "FAIL", "CRITICAL"], [True, False])))
    def test_quality_is_a_limit(self, cache: Cache, one: One, qc: str, ignore: bool) -> None:
        theirs = one.list_datasets(eid(0), qc=qc, ignore_qc_not_set=ignore)
        assert cache.list_datasets(eid(0), qc=qc, ignore_qc_not_set=ignore) == theirs

    def test_details_are_rows(self, cache: Cache) -> None:
        found = cache.list_datasets(eid(0), "*times*", details=True)
        assert isinstance(found, pd.DataFrame)
        assert found["rel_path"].tolist() == [alf_trees.SPIKES]
        np.testing.assert_array_equal(found["exists"], [True])

    def test_a_part_that_names_do_not_have_is_an_error(self, cache: Cache) -> None:
        with pytest.raises(NeuropileError, match="no part 'colour'; it has namespace, object"):
            cache.list_datasets(eid(0), {"colour": "red"})
