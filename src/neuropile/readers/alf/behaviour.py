"""What an ALF session knows of its trials, of licks and of the wheel's moves, as tables of intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from neuropile.ibl import misfit
from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf.files import Attributes

#: Which of our columns each trial column is. `choice` keeps its sign: +1 reports the left, -1 the right, 0 neither.
TRIAL_COLUMNS = {
    "start_s": "intervals_0",
    "stop_s": "intervals_1",
    "stim_on_s": "stimOn_times",
    "stim_off_s": "stimOff_times",
    "go_cue_s": "goCue_times",
    "first_move_s": "firstMovement_times",
    "response_s": "response_times",
    "feedback_s": "feedback_times",
    "choice": "choice",
    "contrast_left": "contrastLeft",
    "contrast_right": "contrastRight",
    "p_left": "probabilityLeft",
    "reward_ul": "rewardVolume",
}
_FRACTIONS = ("contrast_left", "contrast_right", "p_left")


def intervals(objects: Mapping[str, Attributes], notes: list[str], absent: dict[str, str] | None = None) -> dict[str, pa.Table]:
    """The tables of what happened when; one that is damaged is noted, left out, and `absent` for that reason."""
    absent = {} if absent is None else absent
    makers: dict[str, tuple[str, Callable[[Attributes, list[str]], pa.Table | None]]] = {
        "trials": ("trials", _trials),
        "wheel_moves": ("wheelMoves", _wheel_moves),
        "licks": ("licks", _licks),
    }
    found = {}
    for name, (obj, make) in makers.items():
        table = make(objects[obj], notes) if objects.get(obj) else None
        if table is not None:
            found[name] = table
        elif objects.get(obj):
            absent[name] = f"{obj} has not the columns it should have, or is damaged"
    return found


def _columns(attributes: Attributes, what: str, notes: list[str]) -> dict[str, pa.Array]:
    """An object's columns, (n, 2) arrays of intervals as two of them."""
    columns = alf_columns.read(attributes, notes)
    n_rows = alf_columns.common_length(columns, ("table", "intervals"))
    if n_rows is None:
        return {}
    split: dict[str, dict[str, pa.Array]] = {}
    for attribute, found in columns.items():
        pairs = alf_columns.matrix(found.get(attribute))
        is_pair = attribute.endswith("intervals") and pairs is not None and pairs.shape[1] == 2
        split[attribute] = {f"{attribute}_{i}": pa.array(pairs[:, i]) for i in (0, 1)} if is_pair and pairs is not None else found
    table = split.get("table", {})
    rest = {a: {n: c for n, c in found.items() if n not in table} for a, found in split.items() if a != "table"}
    return alf_columns.flat({"table": table, **rest}, n_rows, what, notes)


def _trials(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    source = _columns(attributes, "trials", notes)
    if not source:
        return None
    n_rows = len(next(iter(source.values())))
    columns: dict[str, pa.Array] = {}
    for ours, theirs in TRIAL_COLUMNS.items():
        values = alf_columns.number(source, theirs)
        if values is None:
            continue
        if ours in _FRACTIONS and np.any(values > 1):
            notes.append(f"trials.{theirs} holds values above 1, so no fractions: it is kept only as src_{theirs}")
            continue
        columns[ours] = alf_columns.nullable(values)
    if "start_s" not in columns:
        notes.append("the trials have no intervals: their starts are unknown")
        columns = {"start_s": pa.nulls(n_rows, pa.float64()), **columns}
    feedback = alf_columns.number(source, "feedbackType")
    if feedback is not None:
        columns["correct"] = pa.array(feedback > 0, mask=np.isnan(feedback))
    notes += _contradictions(columns)
    return pa.table(columns | {f"src_{n}": c for n, c in source.items()})


def _contradictions(columns: Mapping[str, pa.Array]) -> list[str]:
    """A note where rewarded choices do not fit the side of their stimulus: then `choice` means something else in this session."""
    names = ("choice", "correct", "contrast_left", "contrast_right")
    if not all(n in columns for n in names):
        return []
    choice, left, right = (columns[n].to_numpy(zero_copy_only=False) for n in names if n != "correct")
    correct = columns["correct"].fill_null(False).to_numpy(zero_copy_only=False)
    n_wrong, n_told = misfit(choice, correct, left, right)
    return [f"{n_wrong} of {n_told} rewarded choices do not fit the side of their stimulus (+1 reports the left)"] if n_wrong else []


def _wheel_moves(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    return _spans(_columns(attributes, "wheelMoves", notes), "intervals_0", "intervals_1")


def _spans(source: dict[str, pa.Array], start: str, stop: str) -> pa.Table | None:
    """Columns as a table of spans, the two that say when first."""
    if start not in source or stop not in source:
        return None
    begin, end = alf_columns.number(source, start), alf_columns.number(source, stop)
    if begin is None or end is None:
        return None
    kept = {f"src_{n}": c for n, c in source.items() if n not in (start, stop)}
    return pa.table({"start_s": alf_columns.nullable(begin), "stop_s": alf_columns.nullable(end), **kept})


def _licks(attributes: Attributes, notes: list[str]) -> pa.Table | None:
    times = alf_columns.real_vector(attributes, "times", notes)
    return None if times is None else pa.table({"start_s": alf_columns.nullable(times)})
