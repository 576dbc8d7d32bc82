"""Making piles: the cutting rule, selections, splits and what is left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from neuropile import Store, make_pile, open_pile, testing
from neuropile.cli import app
from neuropile.errors import PileError, StoreError
from neuropile.piling import cut
from neuropile.types import Trains


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six sessions of three subjects: one with a gap, one whose units differ, one negative start."""
    kinds = [{}, {"observed": "gaps"}, {"observed": "each"}, {"start_s": -20.0}, {"observed": None}, {"invalid": True}]
    return testing.store(tmp_path_factory.mktemp("piling") / "store", [testing.recording(i, **k) for i, k in enumerate(kinds)])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 2000)), min_size=1, max_size=4), st.integers(1, 50), st.integers(50, 5000))
def test_pieces_follow_the_chunk_rule_and_cover_each_stretch(gaps: list[tuple[int, int]], n_units: int, max_tokens: int) -> None:
    runs, at = [], 0
    for gap, length in gaps:
        runs.append((at + gap, at + gap + length))
        at = runs[-1][1] + 1
    pieces = cut(np.array(runs), n_units, max_tokens)
    left = list(pieces)
    for first, stop in runs:
        n = stop - first
        k = -(-n * n_units // max_tokens)
        width = -(-n // k)
        own = [p for p in left if first <= p[0] < stop]
        assert [b - a for a, b in own[:-1]] == [width] * (len(own) - 1)
        assert own[0][0] == first
        assert own[-1][1] == stop
        assert all(a[1] == b[0] for a, b in pairwise(own))
        assert len(own) <= k
        assert all(0 < (b - a) * n_units <= max_tokens + n_units - 1 for a, b in own)
        left = [p for p in left if p not in own]
    assert not left


def test_segments_cover_the_observed_time_once_and_never_cross_a_long_gap(store: Store) -> None:
    pile = make_pile(store, bin_width=0.02, max_tokens=5000, quality="all")
    for key in store:
        own = [s for s in pile if s.key == key]
        assert [s.segment_id for s in own] == [f"segment_{i}" for i in range(len(own))]
        assert all(a.first_bin + a.n_bins <= b.first_bin for a, b in pairwise(own))
        spans = store[key].observed.of_any() / store[key].ticks_per_s
        for start, stop in spans:
            inside = sum(max(min(s.stop_s, stop) - max(s.start_s, start), 0) for s in own)
            assert inside == pytest.approx(stop - start)
        for (_, a), (b, _) in pairwise(spans):
            if b - a >= 1:
                assert not any(s.start_s < (a + b) / 2 < s.stop_s for s in own)


def test_keeping_gaps_makes_one_stretch_and_masks_them(store: Store) -> None:
    pile = [s for s in make_pile(store, gaps="keep", quality="all") if s.session_id == "session-1"]
    assert len(pile) == 1
    counts = pile[0].counts()
    assert not counts.observed.all()
    assert counts.observed.any()


@given(st.integers(0, 50), st.sampled_from(["recording", "subject", "dataset", "segment"]))
def test_splits_are_disjoint_and_stay_when_sessions_are_added(store: Store, seed: int, split_by: str) -> None:
    whole = make_pile(store, seed=seed, split_by=split_by, val=0.2, test=0.3, max_tokens=20_000)
    fewer = make_pile(store, seed=seed, split_by=split_by, val=0.2, test=0.3, max_tokens=20_000, where="session_id in ('session-0', 'session-1', 'session-5')")
    column = {"recording": "recording_id", "subject": "subject_id", "dataset": "dataset", "segment": "segment_id"}[split_by]
    sides: dict[object, set[str]] = {}
    for s in whole:
        key = (s.recording_id, s.segment_id) if split_by == "segment" else getattr(s, column)
        sides.setdefault(key, set()).add(s.split)
    assert all(len(v) == 1 for v in sides.values())
    before = {(s.key, s.segment_id): s.split for s in whole}
    assert all(before[s.key, s.segment_id] == s.split for s in fewer)
    assert len(whole.train) + len(whole.val) + len(whole.test) == len(whole)


def test_where_and_quality_choose_units_and_are_counted(store: Store) -> None:
    units = store.units
    good = make_pile(store, quality="good")
    assert {s.key: s.n_units for s in good} == dict(Counter((units.dataset + "/" + units.session_id)[units.quality == "good"]))
    assert good.meta["left_out"]["units_by_quality"] == int((units.quality != "good").sum())
    not_noise = make_pile(store)
    assert sum({s.key: s.n_units for s in not_noise}.values()) == int((units.quality != "noise").sum())
    region = make_pile(store, quality="all", where="region = 'CA1' and rate_hz > 1")
    wanted = (units.region == "CA1") & (units.rate_hz > 1)
    assert region.meta["left_out"]["units_by_where"] == int((~wanted).sum())
    assert all(set(s.regions) == {"CA1"} for s in region)
    subject = make_pile(store, where="subject_id = 'mouse-0'")
    assert {s.subject_id for s in subject} == {"mouse-0"}
    assert len(subject.meta["left_out"]["sessions_without_units"]) == 4


def test_where_on_a_pile_keeps_its_segments_and_drops_units(store: Store) -> None:
    whole = make_pile(store, quality="all", max_tokens=9000)
    part = whole.where("region = 'CA1'")
    before = {(s.key, s.segment_id): s for s in whole}
    assert [(s.key, s.segment_id) for s in part] == list(before)
    for s in part:
        other = before[s.key, s.segment_id].counts()
        np.testing.assert_array_equal(s.counts().values, other.values[other.region == "CA1"])
    assert {u for s in part for u in s.unit_ids} == {u for s in make_pile(store, quality="all", where="region = 'CA1'") for u in s.unit_ids}
    assert len(whole.where("region = 'nowhere'")) == 0


def test_segment_counts_equal_the_sessions_own(store: Store) -> None:
    for s in make_pile(store, max_tokens=9000, quality="good"):
        ses = store[s.key]
        rows = np.flatnonzero(ses.units.quality == "good")
        whole = ses.counts(0.02, start=s.start_s, stop=s.stop_s, units=rows)
        mine = s.counts()
        np.testing.assert_array_equal(mine.values, whole.values)
        np.testing.assert_array_equal(mine.observed, whole.observed)
        np.testing.assert_array_equal(mine.bin, whole.bin)
        assert ("unit_observed" in mine.coords) == ("unit_observed" in whole.coords)
        if "unit_observed" in mine.coords:
            np.testing.assert_array_equal(mine.unit_observed, whole.unit_observed)
        assert list(mine.unit_id.values) == list(whole.unit_id.values)


def test_every_spike_in_the_observed_span_is_in_one_segment(store: Store) -> None:
    for key in store:
        own = [s for s in make_pile(store, max_tokens=5000, quality="all") if s.key == key]
        assert sum(int(s.counts().sum()) for s in own) == store[key].n_spikes - store[key].record["n_spikes_outside_observed"]


def test_sessions_whose_clock_cannot_make_the_width_are_listed_or_strictly_refused(tmp_path: Path) -> None:
    fast = testing.recording(0)
    at_60 = replace(testing.recording(1), ticks_per_s=60, trains=Trains(20, lambda u: np.arange(u, 3000, 20), kind="ticks"))
    store = testing.store(tmp_path / "store", [fast, at_60])
    pile = make_pile(store, bin_width=0.02)
    assert pile.meta["left_out"]["sessions_by_bin_width"] == ["test/session-1"]
    assert {s.session_id for s in pile} == {"session-0"}
    with pytest.raises(PileError, match=r"session-1.*1\.2 ticks.*1/60"):
        make_pile(store, bin_width=0.02, strict=True)
    assert {s.session_id for s in make_pile(store, bin_width="1/60")} == {"session-1"}
    assert make_pile(store, bin_width=Fraction(1, 5))[0].bin_width == Fraction(1, 5)


def test_an_empty_split_is_a_warning_that_names_a_way_out(store: Store) -> None:
    warnings = make_pile(store, test=0.0001).meta["warnings"]
    assert len(warnings) == 1
    assert "the test split is empty" in warnings[0]
    assert "test=" in warnings[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quality": "best"}, "quality is 'best'.*not-noise"),
        ({"split_by": "day"}, "split_by is 'day'.*recording"),
        ({"gaps": "fill"}, "gaps is 'fill'"),
        ({"max_tokens": 3}, "20 units are more than max_tokens=3"),
        ({"max_tokens": 0}, "must be a positive whole number"),
        ({"where": "region = 'nowhere'"}, "nothing to pile"),
        ({"test": 2.0}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_piled_says_why(store: Store, options: dict, words: str) -> None:
    with pytest.raises(PileError, match=words):
        make_pile(store, **{"quality": "all", **options})


def test_a_condition_on_an_unknown_column_names_the_nearest(store: Store) -> None:
    with pytest.raises(StoreError, match="no_such_column"):
        make_pile(store, where="no_such_column = 1")


def test_the_same_session_from_two_stores_is_refused(store: Store) -> None:
    with pytest.raises(PileError, match="more than one of the stores"):
        make_pile([store, store])


@pytest.fixture(scope="module")
def aside(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three sessions, the second of them set aside."""
    recordings = [testing.recording(i, n_units=4, duration_s=10) for i in range(3)]
    recordings[1] = replace(recordings[1], set_aside="a copy, cut short, of session-0")
    return testing.store(tmp_path_factory.mktemp("aside") / "store", recordings)


def test_a_session_set_aside_is_left_out_with_its_reason_until_it_is_asked_for(aside: Store) -> None:
    assert aside.sessions["set_aside"].dropna().to_dict() == {"test/session-1": "a copy, cut short, of session-0"}
    default, whole = make_pile(aside, quality="all"), make_pile(aside, quality="all", set_aside=True)
    assert {s.key for s in default} == {"test/session-0", "test/session-2"}
    assert {s.key for s in whole} == set(aside)
    reason = {"session": "test/session-1", "reason": "a copy, cut short, of session-0"}
    assert (default.meta["left_out"]["sessions_set_aside"], whole.meta["left_out"]["sessions_set_aside"]) == ([reason], [])
    assert (default.meta["set_aside"], whole.meta["set_aside"]) == (False, True)


def test_units_of_what_is_set_aside_count_nowhere(aside: Store) -> None:
    taken = aside.units[aside.units.session_id != "session-1"]
    left = make_pile(aside, quality="good", where="depth_um > 1000").meta["left_out"]
    assert left["units_by_quality"] == int((taken.quality != "good").sum())
    assert left["units_by_where"] == int(((taken.quality == "good") & (taken.depth_um <= 1000)).sum())


def test_the_reason_is_the_sessions_and_outlives_the_index(aside: Store) -> None:
    assert aside["test/session-1"].record["set_aside"] == "a copy, cut short, of session-0"
    assert "a copy, cut short" in aside["test/session-1"]._repr_html_()
    assert not aside.rebuild_index()
    assert aside.sql("select session_id from sessions where set_aside is not null").session_id.tolist() == ["session-1"]


def test_the_command_tells_what_is_set_aside_and_takes_it_when_told(aside: Store, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["pile", str(aside.root), "--out", str(tmp_path / "a.parquet")]).output
    assert "set aside: test/session-1 (a copy, cut short, of session-0)" in told
    told = CliRunner().invoke(app, ["pile", str(aside.root), "--out", str(tmp_path / "b.parquet"), "--set-aside"]).output
    assert "set aside" not in told
    assert {s.key for s in open_pile(tmp_path / "b.parquet")} == set(aside)


def test_a_store_of_which_all_is_set_aside_says_how_to_take_it(tmp_path: Path) -> None:
    only = testing.store(tmp_path / "store", [replace(testing.recording(0, n_units=2), set_aside="a test set")])
    with pytest.raises(PileError, match=r"1 are set aside \(a test set\); set_aside=True, or --set-aside, takes them"):
        make_pile(only)
