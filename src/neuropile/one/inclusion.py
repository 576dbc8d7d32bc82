"""Which sessions, trials and units of the Brain Wide Map are taken, and what each rule removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NeuropileError
from neuropile.one.rules import PAPER, TASK_CHECKS, Rules
from neuropile.searching.keywords import qc_value

if TYPE_CHECKING:
    import pandas as pd

#: What neuropile's own trials call the same columns.
_CANONICAL = {
    "stimOn_times": "stim_on_s",
    "goCue_times": "go_cue_s",
    "firstMovement_times": "first_move_s",
    "feedback_times": "feedback_s",
    "probabilityLeft": "p_left",
    "contrastLeft": "contrast_left",
    "contrastRight": "contrast_right",
    "choice": "choice",
}
#: Values are floats, and a label of 1 may be stored a little below it.
_NEARLY = 1e-6
_NOWHERE = ("void", "root")


@dataclass(frozen=True)
class Included:
    """What is taken, as rows of the tables given, and a row a rule on what it removed.

    report : columns rule, applied, why (where it was not applied), removed_ and left_ of sessions, insertions, trials, units
        and, once the units have them, regions; null where the table was not given
    """

    sessions: pd.DataFrame
    trials: pd.DataFrame | None
    units: pd.DataFrame | None
    report: pd.DataFrame


def include(sessions: pd.DataFrame, trials: pd.DataFrame | None = None, units: pd.DataFrame | None = None, rules: Rules = PAPER) -> Included:
    """Apply all rules in the paper's order: sessions and insertions, trials, sessions again, units, regions.

    Parameters
    ----------
    sessions : a row an insertion, with `eid` and `pid` (a freeze), or a row a session. Rules on them look at the columns
        `projects`, `is_mock`, `session_qc`, `behavior`, `insertion_qc`, `tracing_exists`, `alignment_resolved`, `task_...`
        (TASK_CHECKS) and `experimenter_task`; one whose columns are not there is not applied, and the report says so: a
        freeze lists what has passed
    trials : a row a trial, in their order, with `eid` and the columns of ALF or of neuropile
    units : a row a unit, with `eid`, `label`, and `atlas_id` or a column called as the level; `pid` where it is known

    Raises
    ------
    NeuropileError : a table lacks a column that nothing goes without
    """
    tables: dict[str, Any] = {"sessions": needing(sessions, "sessions", "eid"), "trials": trials, "units": units}
    if trials is not None:
        needing(trials, "trials", "eid")
    if units is not None:
        tables["units"] = _with_region(needing(units, "units", "eid"), rules.level)
    _follow(tables)
    report = [_counts("all that was given", None, None, tables)]
    for table, name, keep in _all(rules):
        before = dict(tables)
        why = f"no table of {table}" if tables[table] is None else None
        if why is None:
            try:
                tables[table] = tables[table][keep(tables[table], tables)]
            except KeyError as e:
                why = f"the {table} have no column {e.args[0]}"
            except _NotApplied as e:
                why = str(e)
        _follow(tables)
        report.append(_counts(name, why, before, tables))
    import pandas as pd

    return Included(tables["sessions"], tables["trials"], _named_region(tables["units"], rules.level), pd.DataFrame(report))


class _NotApplied(Exception):
    """Why a rule cannot be applied."""


_Rule = tuple[str, str, Callable[[Any, dict[str, Any]], np.ndarray]]


def _all(rules: Rules) -> Iterator[_Rule]:
    """The rules that are asked for, in order: of which table, called what, and which rows they keep."""
    yield from _session_rules(rules)
    flag = rules.trial_flag
    if flag is not None:
        yield "trials", f"{flag} is true", lambda t, _: _truth(t, flag)
    else:
        if rules.min_easy_correct is not None:
            name = f"more than {rules.min_easy_correct:g} of easy trials correct, in more than {rules.min_trials} trials"
            yield "trials", name, lambda t, all_: _within(t, all_, rules)
        for name, keep in _trial_rules(rules):
            yield "trials", name, lambda t, _, keep=keep: keep(t)  # type: ignore[misc]
    for column in rules.saturation:
        yield "trials", f"not {column}", lambda t, _, column=column: ~_truth(t, column)  # type: ignore[misc]
    if rules.min_errors is not None:
        yield "sessions", f"at least {rules.min_errors} errors", lambda t, all_: _with_errors(t, all_, rules)
    yield from _unit_rules(rules)


def _session_rules(rules: Rules) -> Iterator[_Rule]:
    project, session_qc, insertion_qc, checks = rules.project, rules.max_session_qc, rules.max_insertion_qc, rules.min_task_checks
    if project is not None:
        yield "sessions", f"project {project}", lambda t, _: np.array([project in str(p) for p in _col(t, "projects")], bool)
    if not rules.mock:
        yield "sessions", "not mock", lambda t, _: ~_truth(t, "is_mock")
    if session_qc is not None:
        yield "sessions", f"session better than {session_qc}", lambda t, _: _better(t, "session_qc", session_qc)
    if rules.behavior:
        yield "sessions", "behaviour criterion", lambda t, _: _truth(t, "behavior")
    if insertion_qc is not None:
        yield "sessions", f"insertion better than {insertion_qc}", lambda t, _: _better(t, "insertion_qc", insertion_qc)
    if rules.traced:
        yield "sessions", "probe traced", lambda t, _: _truth(t, "tracing_exists")
    if rules.resolved:
        yield "sessions", "alignment resolved", lambda t, _: _truth(t, "alignment_resolved")
    if checks is not None:
        yield "sessions", f"task checks at least {checks:g}, or marked PASS", lambda t, _: _checked(t, checks)


def _trial_rules(rules: Rules) -> Iterator[tuple[str, Callable[[Any], np.ndarray]]]:
    """The rules on single trials that are asked for: what they are called, and which they keep."""
    low, high, short, long = rules.min_rt_s, rules.max_rt_s, rules.min_trial_s, rules.max_trial_s
    if low is not None:
        yield f"reaction time not below {low:g} s", lambda t: ~(_span(t, "stimOn_times", "firstMovement_times") < low)
    if high is not None:
        yield f"reaction time not above {high:g} s", lambda t: ~(_span(t, "stimOn_times", "firstMovement_times") > high)
    if short is not None:
        yield f"trial not shorter than {short:g} s", lambda t: ~(_span(t, "goCue_times", "feedback_times") < short)
    if long is not None:
        yield f"trial not longer than {long:g} s", lambda t: ~(_span(t, "goCue_times", "feedback_times") > long)
    for column in rules.not_missing:
        yield f"{column} not missing", lambda t, column=column: ~np.isnan(_trial(t, column))  # type: ignore[misc]
    if rules.leave_out_unbiased:
        yield "not of the 0.5 block", lambda t: _trial(t, "probabilityLeft") != 0.5
    if rules.leave_out_no_choice:
        yield "a choice was made", lambda t: _trial(t, "choice") != 0


def _unit_rules(rules: Rules) -> Iterator[_Rule]:
    label, n_units, n_sessions, n_all = rules.min_label, rules.min_units, rules.min_sessions, rules.min_units_of_region
    if label is not None:
        yield "units", f"label at least {label:g}", lambda t, _: _col(t, "label").to_numpy(np.float64) >= label - _NEARLY
    yield "units", f"in a region of {rules.level}", lambda t, _: ~_col(t, "_region").isin(_NOWHERE).to_numpy()
    if n_units is not None:
        yield "units", f"at least {n_units} units of the region in the session", lambda t, _: _group_size(t, ["_region", "eid"]) >= n_units
    if n_sessions is not None:
        yield "units", f"at least {n_sessions} such sessions of the region", lambda t, _: _sessions_of_region(t) >= n_sessions
    if n_all is not None:
        yield "units", f"at least {n_all} units of the region", lambda t, _: _group_size(t, ["_region"]) >= n_all


def trial_mask(trials: pd.DataFrame, rules: Rules = PAPER) -> np.ndarray:
    """Which trials pass the rules on single trials, and on saturation: (trial,) bool. See `Rules`; sessions are not cut here.

    trials : a row a trial, with the columns of ALF (stimOn_times, ...) or of neuropile (stim_on_s, ...)
    """
    keep = np.ones(len(trials), bool)
    try:
        if rules.trial_flag is not None:
            keep &= _truth(trials, rules.trial_flag)
        else:
            for _, passes in _trial_rules(rules):
                keep &= passes(trials)
        for column in rules.saturation:
            keep &= ~_truth(trials, column)
    except KeyError as e:
        raise NeuropileError(f"the trials have no column {e.args[0]}; they have {', '.join(map(str, trials.columns))}") from None
    return keep


def passing_length(trials: pd.DataFrame, rules: Rules = PAPER) -> int:
    """How many trials of one session are taken from its beginning so that enough of the easy ones are correct; 0: none.

    The most, above `min_trials`, with more than `min_easy_correct` of those of at least `easy_contrast` correct.
    """
    contrast = np.nan_to_num(_trial(trials, "contrastRight")) - np.nan_to_num(_trial(trials, "contrastLeft"))
    easy = np.abs(contrast) >= rules.easy_contrast
    n_easy = np.cumsum(easy)
    share = np.cumsum(easy & (_trial(trials, "feedbackType") == 1)) / np.maximum(n_easy, 1)
    length = np.arange(1, len(trials) + 1)
    if rules.min_easy_correct is None:
        return len(trials)
    passing = length[(length > rules.min_trials) & (share > rules.min_easy_correct)]
    return int(passing[-1]) if len(passing) else 0


def needing(table: pd.DataFrame, name: str, column: str) -> pd.DataFrame:
    """A table that has a column.

    Raises
    ------
    NeuropileError : it has not
    """
    if column not in table:
        raise NeuropileError(f"the table of {name} has no column {column}; it has {', '.join(map(str, table.columns[:12]))}")
    return table


def _with_region(units: pd.DataFrame, level: str) -> pd.DataFrame:
    """Units with the region of a level that each is in, `void` where nobody knows."""
    from neuropile import regions

    own = next((c for c in units.columns if str(c).lower() == level.lower()), None)
    if own is not None:
        return units.assign(_region=units[own].astype(object).where(units[own].notna(), "void"))
    ids = next((c for c in ("atlas_id", "allen_id") if c in units), None)
    if ids is None:
        raise NeuropileError(f"the units have neither {level} nor atlas_id, so that nobody knows where they are")
    known = units[ids].fillna(0).to_numpy(np.float64).astype(np.int64)
    return units.assign(_region=regions.acronyms(np.abs(np.asarray(regions.to(level, known)))))


def _named_region(units: pd.DataFrame | None, level: str) -> pd.DataFrame | None:
    """Units with their region under the level's name, where they had none of it."""
    if units is None:
        return None
    has_own = any(str(c).lower() == level.lower() for c in units.columns)
    return units.drop(columns="_region") if has_own else units.rename(columns={"_region": level})


def _follow(tables: dict[str, Any]) -> None:
    """Trials and units of what is no longer among the sessions go too."""
    sessions = tables["sessions"]
    for name in ("trials", "units"):
        if tables[name] is not None:
            keep = tables[name]["eid"].isin(sessions["eid"])
            if name == "units" and "pid" in sessions and "pid" in tables[name]:
                keep &= tables[name]["pid"].isin(sessions["pid"])
            tables[name] = tables[name][keep]


def _sizes(tables: dict[str, Any]) -> dict[str, int | None]:
    sessions, trials, units = tables["sessions"], tables["trials"], tables["units"]
    return {
        "sessions": sessions["eid"].nunique(),
        "insertions": sessions["pid"].nunique() if "pid" in sessions else None,
        "trials": None if trials is None else len(trials),
        "units": None if units is None else len(units),
        "regions": None if units is None else units["_region"].nunique(),
    }


def _counts(rule: str, why: str | None, before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    left, had = _sizes(after), _sizes(before or after)
    removed = {f"removed_{k}": None if v is None else int(had[k] or 0) - int(v) for k, v in left.items()}
    return {"rule": rule, "applied": why is None, "why": why or "", **removed, **{f"left_{k}": v for k, v in left.items()}}


def _col(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name]


def _truth(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column of yes and no as that; what is missing is no."""
    return np.array([v == 1 or str(v).lower() == "true" for v in table[name]], bool)


def _better(table: pd.DataFrame, name: str, limit: str) -> np.ndarray:
    """Whose quality is better than a limit; one that was never set is."""
    return np.array([(0 if v is None or v != v else qc_value(int(v) if isinstance(v, float) else v)) < qc_value(limit) for v in table[name]], bool)


def _checked(table: pd.DataFrame, least: float) -> np.ndarray:
    """Whose task checks are none below a value; one that was not made is not below."""
    columns = [f"task_{c}" for c in TASK_CHECKS]
    for column in columns:
        _col(table, column)
    marked = np.array([str(v) == "PASS" for v in table["experimenter_task"]], bool) if "experimenter_task" in table else np.zeros(len(table), bool)
    return marked | ~(table[columns].to_numpy(np.float64) < least).any(axis=1)


def _trial(trials: pd.DataFrame, name: str) -> np.ndarray:
    """A column of trials, by ALF's name or neuropile's, as float64 with NaN where it is missing."""
    if name == "feedbackType" and name not in trials and "src_feedbackType" not in trials and "correct" in trials:
        return trials["correct"].map({True: 1.0, False: -1.0}).to_numpy(np.float64)
    own = next((n for n in (name, f"src_{name}", _CANONICAL.get(name, name)) if n in trials), name)
    return trials[own].to_numpy(np.float64, na_value=np.nan)


def _span(trials: pd.DataFrame, first: str, last: str) -> np.ndarray:
    return _trial(trials, last) - _trial(trials, first)


def _within(trials: pd.DataFrame, tables: dict[str, Any], rules: Rules) -> np.ndarray:
    """Which trials lie in the passing length of their session; sessions that have none go here, so that the report tells them here."""
    keep = np.zeros(len(trials), bool)
    never = []
    for eid, rows in trials.groupby("eid", sort=False).indices.items():
        own = np.sort(rows)
        length = passing_length(trials.iloc[own], rules)
        keep[own[:length]] = True
        if not length:
            never.append(eid)
    tables["sessions"] = tables["sessions"][~tables["sessions"]["eid"].isin(never)]
    return keep


def _with_errors(sessions: pd.DataFrame, tables: dict[str, Any], rules: Rules) -> np.ndarray:
    trials = tables["trials"]
    if trials is None:
        raise _NotApplied("no table of trials")
    errors = trials["eid"][_trial(trials, "feedbackType") == -1].value_counts()
    return sessions["eid"].map(errors).fillna(0).to_numpy() >= (rules.min_errors or 0)


def _group_size(units: pd.DataFrame, by: list[str]) -> np.ndarray:
    return units.groupby(by)["eid"].transform("size").to_numpy()


def _sessions_of_region(units: pd.DataFrame) -> np.ndarray:
    return units.groupby("_region")["eid"].transform("nunique").to_numpy()
