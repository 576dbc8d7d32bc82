"""What was shown, one table a stimulus in Allen's files, as one table in the order of time, with blanks and omissions named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile.readers.nwb import tables

SUFFIX = "_presentations"
NAME = "presentations"
#: Texts that stand for no number where a column of numbers was stored as text.
_NO_NUMBER = frozenset({"", "null", "nan", "n/a", "none"})
#: A frame of natural scenes that shows nothing.
_BLANK_FRAME = -1
#: What a blank sweep of gratings has none of.
_PARAMETERS = ("src_orientation", "src_Ori", "src_ori")


def joined(found: dict[str, pa.Table], invalid: pa.Table | None) -> dict[str, pa.Table]:
    """Tables of intervals with those of presentations made one, which is called `presentations`.

    A row says its stimulus, its block, its frame, whether it is a blank, an omission or a change, and whether it lies in
    invalid time of the stimulus; every parameter keeps the column it has.
    """
    names = [n for n in found if n.endswith(SUFFIX)]
    if not names or NAME in found:
        return found
    whole = tables.join([_canonical(found[n], n.removesuffix(SUFFIX)) for n in names])
    bad = _stimulus_times(invalid)
    if len(bad):
        whole = whole.append_column("src_in_invalid_time", pa.array(_touched(whole, bad), pa.bool_()))
    return {n: t for n, t in found.items() if n not in names} | {NAME: whole.take(pc.sort_indices(whole.column("start_s")))}


def _canonical(table: pa.Table, name: str) -> pa.Table:
    """One stimulus's table with our columns first."""
    columns: dict[str, Any] = {
        "start_s": table.column("start_s"),
        "stop_s": table.column("stop_s") if "stop_s" in table.column_names else pa.nulls(table.num_rows, pa.float64()),
    }
    said = _values(table, "src_stimulus_name")
    columns["stimulus"] = pa.array([str(v) if v not in (None, "") else name for v in said] if said else [name] * table.num_rows, pa.string())
    for ours, source in (("block", "src_stimulus_block"), ("frame", "src_frame")):
        if source in table.column_names:
            columns[ours] = pa.array([_whole(v) for v in _values(table, source)], pa.int64())
    for ours, source in (("is_omitted", "src_omitted"), ("is_change", "src_is_change")):
        if source in table.column_names:
            columns[ours] = pa.array([_truth(v) for v in _values(table, source)], pa.bool_())
    blank = _blanks(table, columns.get("frame"))
    if blank is not None:
        columns["is_blank"] = pa.array(blank, pa.bool_())
    return pa.table(columns | {n: table.column(n) for n in table.column_names if n not in columns})


def _blanks(table: pa.Table, frame: pa.Array | None) -> list[bool] | None:
    """Which rows show nothing: a frame of -1, or no parameter where other rows of the table have one; None where none can be told."""
    if frame is not None:
        return [v == _BLANK_FRAME for v in frame.to_pylist()]
    for name in _PARAMETERS:
        numbers = [_number(v) for v in _values(table, name)]
        if any(n is not None for n in numbers):
            return [n is None for n in numbers]
    return None


def _stimulus_times(invalid: pa.Table | None) -> np.ndarray:
    """The invalid times of what was shown, by start: (span, 2) seconds."""
    rows = invalid.to_pylist() if invalid is not None and "src_tags" in invalid.column_names else []
    spans = [(r["start_s"], r.get("stop_s")) for r in rows if "stimulus" in str(r["src_tags"]).lower()]
    return np.array(sorted(s for s in spans if None not in s), np.float64).reshape(-1, 2)


def _touched(table: pa.Table, spans: np.ndarray) -> np.ndarray:
    """Which rows share time with a span; (span, 2) by start."""
    start, stop = (table.column(n).to_numpy() for n in ("start_s", "stop_s"))
    before = np.searchsorted(spans[:, 0], stop, side="left")  # spans that begin before the row ends
    latest = np.r_[-np.inf, np.maximum.accumulate(spans[:, 1])]
    return latest[before] > start


def _values(table: pa.Table, name: str) -> list[Any]:
    return table.column(name).to_pylist() if name in table.column_names else []


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = None if value.strip().lower() in _NO_NUMBER else float(value)
        except ValueError:
            return None
    return None if not isinstance(value, int | float) or not math.isfinite(value) else float(value)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**53 else None


def _truth(value: Any) -> bool | None:
    """True and false however they are stored: as truth, as 1.0 and 0.0, or in words."""
    if isinstance(value, str):
        return {"true": True, "1.0": True, "1": True, "false": False, "0.0": False, "0": False}.get(value.strip().lower())
    number = _number(value)
    return None if number is None else bool(number)
