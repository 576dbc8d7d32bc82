"""The Brain Wide Map's inclusion: hand-computed cases, and the counts of a freeze."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropile.errors import NeuropileError
from neuropile.one.freeze import freeze_counts
from neuropile.one.inclusion import include, passing_length, trial_mask
from neuropile.one.rules import PAPER, TASK_CHECKS, Rules

#: Allen ids: VISp5 and VISp6a are of Beryl's VISp, CA1, the fibre tracts are in no region of Beryl, and void.
VISP5, VISP6A, CA1, FIBRES, VOID = 778, 33, 382, 1009, 0
FREE = Rules(project=None, mock=True, max_session_qc=None, behavior=False, max_insertion_qc=None, traced=False, resolved=False, min_task_checks=None)


def trials(n: int = 10, eid: str = "a", **columns: Any) -> pd.DataFrame:
    """Trials that pass every rule, all rewarded but every second, some columns set."""
    start = np.arange(n) * 5.0
    made = {"eid": [eid] * n, "stimOn_times": start, "firstMovement_times": start + 0.5, "feedback_times": start + 1, "goCue_times": start}
    made |= {"choice": np.ones(n), "probabilityLeft": np.full(n, 0.5), "feedbackType": np.where(np.arange(n) % 2, -1.0, 1.0)}
    made |= {"contrastLeft": np.full(n, np.nan), "contrastRight": np.full(n, 1.0)}
    return pd.DataFrame(made | columns)


class TestTrialMask:
    @pytest.mark.parametrize(
        ("column", "value", "taken"),
        [
            ("firstMovement_times", 0.079, False),
            ("firstMovement_times", 0.08, True),
            ("firstMovement_times", 2.0, True),
            ("firstMovement_times", 2.001, False),
            ("firstMovement_times", -0.3, False),
            *((c, np.nan, False) for c in PAPER.not_missing),
            ("goCue_times", np.nan, True),
            ("choice", 0.0, True),
            ("feedbackType", -1.0, True),
        ],
    )
    def test_one_trial_is_taken_or_not_by_each_rule(self, column: str, value: float, taken: bool) -> None:
        table = trials(3)
        table.loc[0, column] = value
        assert trial_mask(table).tolist() == [taken, True, True]

    @pytest.mark.parametrize(
        ("rules", "changed", "taken"),
        [
            (Rules(leave_out_unbiased=True), {"probabilityLeft": [0.5, 0.8, 0.2]}, [False, True, True]),
            (Rules(leave_out_no_choice=True), {"choice": [0.0, 1.0, -1.0]}, [False, True, True]),
            (Rules(saturation=("saturation_stim_plus04",)), {"saturation_stim_plus04": [True, False, False]}, [False, True, True]),
            (Rules(min_trial_s=1.5), {"feedback_times": [2.0, 6.0, 12.0]}, [True, False, True]),
            (Rules(max_trial_s=1.5), {"feedback_times": [2.0, 6.0, 12.0]}, [False, True, False]),
            (Rules(min_rt_s=None), {"firstMovement_times": [0.0, 5.5, 10.5]}, [True, True, True]),
            (Rules(trial_flag="bwm_include"), {"bwm_include": [False, True, True], "stimOn_times": [np.nan] * 3}, [False, True, True]),
        ],
    )
    def test_other_rules_are_had_by_asking(self, rules: Rules, changed: dict[str, Any], taken: list[bool]) -> None:
        assert trial_mask(trials(3, **changed), rules).tolist() == taken

    def test_neuropiles_own_columns_serve_as_well(self) -> None:
        table = trials(3)
        table.loc[1, "firstMovement_times"] = np.nan
        names = {"stimOn_times": "stim_on_s", "firstMovement_times": "first_move_s", "feedback_times": "feedback_s", "probabilityLeft": "p_left"}
        own = table.rename(columns=names).assign(correct=table["feedbackType"] > 0).drop(columns="feedbackType")
        assert trial_mask(own).tolist() == trial_mask(table).tolist() == [True, False, True]

    def test_a_column_that_is_missing_is_named(self) -> None:
        with pytest.raises(NeuropileError, match="no column stimOn_times; they have eid"):
            trial_mask(trials(3).drop(columns="stimOn_times"))

    def test_the_mask_is_the_definition_in_plain_numpy(self) -> None:
        rng = np.random.default_rng(0)
        table = trials(500)
        table["firstMovement_times"] = table["stimOn_times"] + rng.uniform(-0.1, 2.5, 500)
        for column in PAPER.not_missing:
            table.loc[rng.random(500) < 0.1, column] = np.nan
        rt = (table["firstMovement_times"] - table["stimOn_times"]).to_numpy()
        expected = (rt >= 0.08) & (rt <= 2.0) & ~np.isnan(table[list(PAPER.not_missing)].to_numpy()).any(axis=1)
        np.testing.assert_array_equal(trial_mask(table), expected)


class TestPassingLength:
    """A session is cut from its end until it passes, above 400 trials."""

    def test_a_session_that_passes_stays_whole(self) -> None:
        assert passing_length(trials(500, feedbackType=np.ones(500))) == 500

    def test_one_with_too_few_trials_or_none_that_are_easy_passes_never(self) -> None:
        assert passing_length(trials(400, feedbackType=np.ones(400))) == 0
        assert passing_length(trials(401, feedbackType=np.ones(401))) == 401
        assert passing_length(trials(500, feedbackType=np.ones(500), contrastRight=0.25)) == 0

    def test_it_is_cut_where_the_share_is_last_above_the_limit(self) -> None:
        """450 correct, then errors: 450 of n are more than nine tenths while n < 500."""
        outcome = np.r_[np.ones(450), -np.ones(150)]
        assert passing_length(trials(600, feedbackType=outcome)) == 499

    def test_difficult_trials_do_not_count(self) -> None:
        outcome = np.r_[np.ones(450), -np.ones(150)]
        contrast = np.where(outcome > 0, 0.5, 0.0625)
        assert passing_length(trials(600, feedbackType=outcome, contrastRight=contrast)) == 600
        assert passing_length(trials(600, feedbackType=outcome, contrastRight=np.nan, contrastLeft=contrast)) == 600

    @given(st.integers(0, 2**32 - 1), st.floats(0.85, 0.95))
    def test_it_is_what_cutting_one_trial_at_a_time_gives(self, seed: int, share: float) -> None:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(395, 430))
        table = trials(n, feedbackType=np.where(rng.random(n) < share, 1.0, -1.0), contrastRight=rng.choice([0.25, 0.5, 1.0], n))
        easy, correct = table["contrastRight"].to_numpy() >= 0.5, table["feedbackType"].to_numpy() == 1
        left = n
        while left and not (left > 400 and correct[:left][easy[:left]].mean() > 0.9):
            left -= 1
        assert passing_length(table) == left


def units(*of: tuple[str, int, float, int]) -> pd.DataFrame:
    """Units: session, Allen id, label, how many of them; of the session's only probe."""
    rows = [(eid, f"pid-{eid}", atlas_id, label) for eid, atlas_id, label, n in of for _ in range(n)]
    return pd.DataFrame(rows, columns=["eid", "pid", "atlas_id", "label"])


def freeze(*eids: str) -> pd.DataFrame:
    return pd.DataFrame({"eid": eids, "pid": [f"pid-{e}" for e in eids]})


def removed(report: pd.DataFrame, of: str) -> dict[str, int]:
    """What each rule that removed any removed."""
    found = report.set_index("rule")[f"removed_{of}"]
    return {k: int(v) for k, v in found.items() if v}


class TestUnits:
    def test_each_rule_removes_what_is_computed_by_hand(self) -> None:
        """VISp: 5 units in a, 6 in b, 4 in c. CA1: 7 units in a alone. Thrown away before: 2 not good, 3 in no region."""
        table = units(("a", VISP5, 1.0, 3), ("a", VISP6A, 1.0, 2), ("b", VISP5, 1.0, 6), ("c", VISP5, 1.0, 4), ("a", CA1, 1.0, 7))
        table = pd.concat([table, units(("a", CA1, 2 / 3, 1), ("b", CA1, np.nan, 1), ("b", FIBRES, 1.0, 2), ("c", VOID, 1.0, 1))])
        found = include(freeze("a", "b", "c"), None, table, FREE)
        assert removed(found.report, "units") == {
            "label at least 1": 2,
            "in a region of beryl": 3,
            "at least 5 units of the region in the session": 4,
            "at least 2 such sessions of the region": 7,
        }
        assert found.units is not None
        assert found.units.groupby(["eid", "beryl"]).size().to_dict() == {("a", "VISp"): 5, ("b", "VISp"): 6}
        last = found.report.iloc[-1]
        assert (last["left_units"], last["left_regions"], last["left_sessions"]) == (11, 1, 3)

    def test_a_label_a_little_below_one_is_one(self) -> None:
        found = include(
            freeze("a"), None, units(("a", CA1, 1 - 1e-9, 1), ("a", CA1, 2 / 3, 1)), Rules(**{**vars(FREE), "min_units": None, "min_sessions": None})
        )
        assert found.units is not None
        assert found.units["label"].tolist() == [1 - 1e-9]

    def test_the_documented_ten_leave_less_than_the_codes_five(self) -> None:
        table = units(("a", CA1, 1.0, 12), ("b", CA1, 1.0, 7))
        assert len(include(freeze("a", "b"), None, table, FREE).units) == 19
        assert len(include(freeze("a", "b"), None, table, Rules(**{**vars(FREE), "min_units": 10})).units) == 0

    def test_regions_with_few_units_in_all_can_be_left_out(self) -> None:
        table = units(("a", CA1, 1.0, 12), ("b", CA1, 1.0, 7), ("a", VISP5, 1.0, 10), ("b", VISP5, 1.0, 10))
        found = include(freeze("a", "b"), None, table, Rules(**{**vars(FREE), "min_units_of_region": 20}))
        assert set(found.units["beryl"]) == {"VISp"}

    def test_another_level_has_other_regions(self) -> None:
        found = include(freeze("a", "b"), None, units(("a", VISP5, 1.0, 5), ("b", CA1, 1.0, 5)), Rules(**{**vars(FREE), "level": "cosmos", "min_sessions": 1}))
        assert found.units["cosmos"].tolist() == ["Isocortex"] * 5 + ["HPF"] * 5

    def test_regions_that_are_there_are_used(self) -> None:
        table = units(("a", CA1, 1.0, 5), ("b", CA1, 1.0, 5)).assign(Beryl="XX")
        assert set(include(freeze("a", "b"), None, table, FREE).units["Beryl"]) == {"XX"}

    def test_left_hemispheres_are_of_the_same_region(self) -> None:
        assert set(include(freeze("a", "b"), None, units(("a", -CA1, 1.0, 5), ("b", CA1, 1.0, 5)), FREE).units["beryl"]) == {"CA1"}


class TestSessions:
    def test_at_least_three_errors_after_masking(self) -> None:
        """a has four errors, of which one is masked; b has three, of which one is; c has no trials."""
        a, b = (trials(n, eid, feedbackType=np.r_[-np.ones(k), np.ones(n - k)]) for eid, n, k in (("a", 10, 4), ("b", 10, 3)))
        for table in (a, b):
            table.loc[0, "stimOn_times"] = np.nan
        rules = Rules(**{**vars(FREE), "min_easy_correct": None})
        found = include(freeze("a", "b", "c"), pd.concat([a, b]), units(("a", CA1, 1.0, 5), ("b", CA1, 1.0, 5)), rules)
        assert found.sessions["eid"].tolist() == ["a"]
        row = found.report.set_index("rule").loc["at least 3 errors"]
        assert (row["removed_sessions"], row["removed_trials"], row["removed_units"]) == (2, 9, 5)

    def test_rules_on_insertions_look_at_their_columns(self) -> None:
        good = {"projects": "ibl_neuropixel_brainwide_01", "is_mock": False, "session_qc": "WARNING", "behavior": 1, "insertion_qc": "NOT_SET"}
        good |= {"tracing_exists": True, "alignment_resolved": True, "experimenter_task": "", **{f"task_{c}": 0.95 for c in TASK_CHECKS}}
        changes: list[dict[str, Any]] = [
            {},
            {"projects": "other"},
            {"is_mock": True},
            {"session_qc": "CRITICAL"},
            {"behavior": 0},
            {"insertion_qc": "CRITICAL"},
            {"tracing_exists": None},
            {"alignment_resolved": False},
            {"task_reward_volumes": 0.89},
            {"task_reward_volumes": 0.89, "experimenter_task": "PASS"},
            {"task_reward_volumes": np.nan},
        ]
        table = pd.DataFrame([{"eid": str(i), "pid": f"p{i}", **good, **c} for i, c in enumerate(changes)])
        found = include(table)
        assert found.sessions["eid"].tolist() == ["0", "9", "10"]
        assert list(removed(found.report, "insertions").values()) == [1] * 8

    def test_a_rule_without_its_columns_is_not_applied_and_says_so(self) -> None:
        report = include(freeze("a"), None, units(("a", CA1, 1.0, 1))).report.set_index("rule")
        assert not report.loc["behaviour criterion", "applied"]
        assert report.loc["behaviour criterion", "why"] == "the sessions have no column behavior"
        assert report.loc["stimOn_times not missing", "why"] == report.loc["at least 3 errors", "why"] == "no table of trials"
        assert report.loc["task checks at least 0.9, or marked PASS", "why"] == "the sessions have no column task_stimOn_goCue_delays"
        assert report.loc["label at least 1", "applied"]

    def test_sessions_that_are_cut_lose_their_last_trials(self) -> None:
        outcome = np.r_[np.ones(450), -np.ones(150)]
        found = include(freeze("a", "b"), pd.concat([trials(600, "a", feedbackType=outcome), trials(300, "b")]), None, FREE)
        assert found.trials["eid"].value_counts().to_dict() == {"a": 499}
        assert found.sessions["eid"].tolist() == ["a"]
        assert removed(found.report, "sessions") == {"more than 0.9 of easy trials correct, in more than 400 trials": 1}

    def test_a_session_without_trials_goes_by_its_errors(self) -> None:
        found = include(freeze("a", "c"), trials(500, "a", feedbackType=np.where(np.arange(500) % 20, 1.0, -1.0)), None, FREE)
        assert removed(found.report, "sessions") == {"at least 3 errors": 1}

    @settings(max_examples=25)
    @given(st.data())
    def test_what_is_removed_and_what_is_left_are_what_was_there(self, data: st.DataObject) -> None:
        eids = data.draw(st.lists(st.sampled_from("abcd"), unique=True, min_size=1))
        of = st.tuples(st.sampled_from("abcd"), st.sampled_from([VISP5, CA1, FIBRES]), st.sampled_from([1.0, 0.5]), st.integers(1, 9))
        table = units(*data.draw(st.lists(of, min_size=1, max_size=8)))
        found = include(freeze(*eids), None, table, FREE)
        report = found.report
        known = int(table["eid"].isin(eids).sum())
        assert report["removed_units"].sum() + len(found.units) == known
        assert (report["left_units"].diff().dropna() <= 0).all()
        assert report["left_units"].iloc[-1] == len(found.units)

    @pytest.mark.parametrize("name", ["sessions", "trials", "units"])
    def test_a_table_without_sessions_is_an_error(self, name: str) -> None:
        tables = {"sessions": freeze("a"), "trials": trials(2), "units": units(("a", CA1, 1.0, 1))}
        tables[name] = tables[name].drop(columns="eid")
        with pytest.raises(NeuropileError, match=f"the table of {name} has no column eid"):
            include(**tables)


class TestRules:
    def test_they_are_the_papers(self) -> None:
        assert (PAPER.min_rt_s, PAPER.max_rt_s, PAPER.min_errors, PAPER.min_label, PAPER.level, PAPER.min_units, PAPER.min_sessions) == (
            0.08,
            2.0,
            3,
            1.0,
            "beryl",
            5,
            2,
        )

    def test_texts_are_read_by_name(self) -> None:
        texts = {
            "min_units": "10",
            "max_rt_s": "none",
            "saturation": "x,y",
            "leave_out_no_choice": "true",
            "level": "cosmos",
            "min_label": "0.6",
            "min_units_of_region": "20",
        }
        assert Rules.named(texts) == Rules(
            min_units=10, max_rt_s=None, saturation=("x", "y"), leave_out_no_choice=True, level="cosmos", min_label=0.6, min_units_of_region=20
        )

    @pytest.mark.parametrize(
        ("texts", "words"), [({"colour": "1"}, "no rule 'colour'; there are project"), ({"min_units": "ten"}, "min_units='ten' does not serve")]
    )
    def test_texts_that_do_not_serve_are_told(self, texts: dict[str, str], words: str) -> None:
        with pytest.raises(NeuropileError, match=words):
            Rules.named(texts)


def made_freeze(insertions: int, sessions: int, subjects: int, labs: int) -> pd.DataFrame:
    """A freeze with these counts: the first sessions have two probes, the rest one."""
    of = np.r_[np.arange(sessions), np.arange(insertions - sessions)]
    names = np.where(np.arange(insertions) < sessions, "probe00", "probe01")
    subject = of % subjects
    columns = {"pid": [f"p{i}" for i in range(insertions)], "eid": [f"e{i}" for i in of], "probe_name": names, "session_number": 1}
    return pd.DataFrame(columns | {"date": "2020-01-01", "subject": [f"s{i}" for i in subject], "lab": [f"l{i % labs}" for i in subject]})


class TestFreeze:
    @pytest.mark.parametrize(
        ("numbers", "one", "two"),
        [((547, 354, 115, 12), 161, 193), ((699, 459, 139, 12), 219, 240)],
    )
    def test_the_published_numbers_are_counted(self, numbers: tuple[int, int, int, int], one: int, two: int, tmp_path: Path) -> None:
        table = made_freeze(*numbers)
        table.to_csv(tmp_path / "freeze.csv")
        expected = dict(zip(("insertions", "sessions", "subjects", "labs"), numbers, strict=True))
        expected |= {"with_one_probe": one, "with_two_probes": two, "with_more": 0}
        assert freeze_counts(tmp_path / "freeze.csv") == freeze_counts(table) == expected

    def test_a_freeze_that_is_none_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(NeuropileError, match="no readable CSV"):
            freeze_counts(tmp_path / "none.csv")
        with pytest.raises(NeuropileError, match="the table of freeze has no column pid"):
            freeze_counts(pd.DataFrame({"eid": ["a"]}))
        with pytest.raises(NeuropileError, match="lists insertion p0 twice"):
            freeze_counts(pd.concat([made_freeze(2, 2, 1, 1)] * 2))
