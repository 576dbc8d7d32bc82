"""Trials of mice that lick when an image changes, by our names: what the file's columns say exactly, and no more."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neuropile.readers.nwb import parameters, tables

#: A table is of such trials if it has all of these.
_KINDS = ("go", "catch", "hit", "miss", "false_alarm", "correct_reject")
_UL_PER_ML = 1000.0


def computed(table: pa.Table) -> dict[str, Any]:
    """`response_s` (the first lick of a trial that was not aborted), `feedback_s` (the reward), `reward_ul`, `correct`.

    Correct are hits and correct rejections; aborted trials and those whose reward came by itself are neither right nor
    wrong, and null. The change is not a stimulus's onset, for the image is there before: it stays the source's column.
    """
    if not all(n in table.column_names for n in _KINDS):
        return {}
    found: dict[str, Any] = {}
    for ours, name in (("response_s", "response_time"), ("feedback_s", "reward_time")):
        if tables.is_number(table, name):
            found[ours] = parameters.numbers(table.column(name))
    if tables.is_number(table, "reward_volume"):
        found["reward_ul"] = pc.multiply(parameters.numbers(table.column("reward_volume")), _UL_PER_ML)
    truth = {n: pc.fill_null(parameters.truths(table.column(n)), False) for n in (*_KINDS, "aborted", "auto_rewarded") if n in table.column_names}
    right = pc.or_(truth["hit"], truth["correct_reject"])
    wrong = pc.or_(truth["miss"], truth["false_alarm"])
    told = pc.or_(right, wrong)
    for name in ("aborted", "auto_rewarded"):
        if name in truth:
            told = pc.and_(told, pc.invert(truth[name]))
    found["correct"] = pc.if_else(told, right, pa.scalar(None, pa.bool_()))
    return found
