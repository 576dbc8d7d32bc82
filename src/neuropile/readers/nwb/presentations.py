"""What was shown, one table a stimulus in Allen's files, as one table in the order of time, with blanks and omissions named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile.readers.nwb import parameters, tables

SUFFIX = "_presentations"
NAME = "presentations"
#: A frame of natural scenes that shows nothing.
_BLANK_FRAME = -1
#: A table of frames shows a movie if so many of its steps go on to the next frame; scenes are shown in random order.
_MOSTLY = 0.9


def joined(found: dict[str, pa.Table], invalid: pa.Table | None) -> dict[str, pa.Table]:
    """Tables of intervals with those of presentations made one, which is called `presentations`.

    A row's number, from 0 in the order of time, is its id. It says its stimulus, its block, its parameters as numbers,
    which pass through a movie it belongs to, whether it is a blank, an omission or a change, and whether it lies in
    invalid time of the stimulus; beside these every source column is kept as it is.
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
    said = parameters.words(_source(table, "stimulus_name")) if _has(table, "stimulus_name") else pa.nulls(table.num_rows, pa.string())
    columns["stimulus"] = pc.fill_null(said, name)
    for ours in ("block", "frame"):
        source = "stimulus_block" if ours == "block" else ours
        if _has(table, source):
            columns[ours] = parameters.wholes(_source(table, source))
    for read, named in ((parameters.truths, parameters.TRUTHS), (parameters.numbers, parameters.NUMBERS), (parameters.words, parameters.WORDS)):
        for ours, names in named.items():
            found = _find(table, names)
            if found is not None:
                columns[ours] = read(table.column(found))
    columns |= _size(table) | _omitted(columns) | _blanks(columns)
    if "frame" in columns:
        columns["repeat"] = pa.array(_repeats(columns, name), from_pandas=True).cast(pa.int64())
    return pa.table(columns | {n: table.column(n) for n in table.column_names if n not in columns})


def _find(table: pa.Table, names: tuple[str, ...]) -> str | None:
    """The source's column of the first of these names, whatever their case."""
    lower = {n.lower().removeprefix("src_"): n for n in table.column_names if n.startswith("src_")}
    return next((lower[n] for n in names if n in lower), None)


def _has(table: pa.Table, name: str) -> bool:
    return f"src_{name}" in table.column_names


def _source(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table.column(f"src_{name}")


def _size(table: pa.Table) -> dict[str, Any]:
    """The size of what was shown, where it is one number of degrees."""
    if not (_has(table, "size") and _has(table, "units") and tables.is_text(table, "src_units")):
        return {}
    size = parameters.equal_pairs(_source(table, "size"))
    return {"size_deg": pc.if_else(pc.fill_null(pc.equal(_source(table, "units"), "deg"), False), size, pa.scalar(None, pa.float64()))}


def _omitted(columns: dict[str, Any]) -> dict[str, Any]:
    """Omissions by the name of their image, where no column says which they are."""
    if "image_name" not in columns:
        return {}
    named = pc.fill_null(pc.equal(columns["image_name"], parameters.OMITTED), False)
    return {"is_omitted": pc.coalesce(columns["is_omitted"], named) if "is_omitted" in columns else named}


def _blanks(columns: dict[str, Any]) -> dict[str, Any]:
    """Which rows show nothing: a frame of -1, or no direction where other rows of the table have one; nothing where none can be told."""
    if "frame" in columns:
        return {"is_blank": pc.fill_null(pc.equal(columns["frame"], _BLANK_FRAME), False)}
    direction = columns.get("orientation_deg", columns.get("direction_deg"))
    if direction is None or "image_name" in columns or direction.null_count == len(direction):
        return {}
    return {"is_blank": pc.is_null(direction)}


def _repeats(columns: dict[str, Any], name: str) -> np.ndarray:
    """Which pass through its movie each frame belongs to: (row,) float64, from 0 in each block; NaN where the table shows no movie.

    A pass begins where the frame is 0, or falls without one; rows of a block before its first frame 0 belong to none.
    A movie whose frames are shuffled in time has no such order: there a frame's nth showing belongs to pass n.
    """
    frame = _floats(columns["frame"])
    order = np.argsort(_floats(columns["start_s"]), kind="stable")
    block = _floats(columns["block"])[order] if "block" in columns else np.zeros(len(order))
    shown = frame[order]
    new_block = np.r_[True, ~((block[1:] == block[:-1]) | (np.isnan(block[1:]) & np.isnan(block[:-1])))][: len(shown)]
    before = np.r_[np.nan, shown[:-1]][: len(shown)]
    before[new_block] = np.nan
    steps = shown[~new_block] - before[~new_block]
    following = np.count_nonzero((steps == 1) | ((shown[~new_block] == 0) & (steps < 0)))
    found = np.full(len(shown), np.nan)
    if steps.size and following >= _MOSTLY * steps.size:
        begins = ((shown == 0) & (before != 0)) | (shown < before)
        found[order] = _passes(begins, new_block)
    elif "movie" in name.lower() and len(shown):
        found[order] = _nth_showing(shown, np.cumsum(new_block))
    return found


def _floats(column: Any) -> np.ndarray:
    return np.asarray(column.to_numpy(), np.float64)


def _passes(begins: np.ndarray, new_block: np.ndarray) -> np.ndarray:
    """How many passes of its block began before each row and with it, less one; NaN before the first."""
    total = np.cumsum(begins)
    at_block = np.maximum.accumulate(np.where(new_block, np.arange(len(total)), 0))
    number = total - (total - begins)[at_block] - 1
    return np.where(number >= 0, number, np.nan)


def _nth_showing(frame: np.ndarray, block: np.ndarray) -> np.ndarray:
    """How often each row's frame was shown in its block before."""
    by_frame = np.lexsort((np.arange(len(frame)), frame, block))
    first = np.r_[True, (frame[by_frame][1:] != frame[by_frame][:-1]) | (block[by_frame][1:] != block[by_frame][:-1])]
    place = np.arange(len(frame))
    found = np.empty(len(frame))
    found[by_frame] = place - np.maximum.accumulate(np.where(first, place, 0))
    return found


def _stimulus_times(invalid: pa.Table | None) -> np.ndarray:
    """The invalid times of what was shown, by start: (span, 2) seconds."""
    rows = invalid.to_pylist() if invalid is not None and "src_tags" in invalid.column_names else []
    spans = [(r["start_s"], r.get("stop_s")) for r in rows if "stimulus" in str(r["src_tags"]).lower()]
    return np.array(sorted(s for s in spans if None not in s), np.float64).reshape(-1, 2)


def _touched(table: pa.Table, spans: np.ndarray) -> np.ndarray:
    """Which rows share time with a span; (span, 2) by start. Of an omission only the start is known."""
    start, stop = (_floats(table.column(n)) for n in ("start_s", "stop_s"))
    stop = np.where(np.isnan(stop), start, stop)
    before = np.searchsorted(spans[:, 0], stop, side="left")  # spans that begin before the row ends
    latest = np.r_[-np.inf, np.maximum.accumulate(spans[:, 1])]
    return latest[before] > start
