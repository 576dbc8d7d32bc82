"""Trial columns of ours that a file holds in another form: contrasts by side from IBL's percent, choices from its words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile.readers.nwb import tables

#: What the wheel was turned to, as IBL numbers it: clockwise answers a stimulus on the left. An older page of the converter
#: has the words left, right and no_go, and what they mean is not certain: they are kept as the source's own.
_CHOICES = {"clockwise": 1.0, "counter_clockwise": -1.0, "none": 0.0}
#: Columns that together are those of IBL's old files, under whose names other labs keep other things.
_OLD = ("choice", "feedback_type", "first_movement_time", "probability_left", "response_time")
_OLD_NAMES = {
    "first_move_s": "first_movement_time",
    "response_s": "response_time",
    "choice": "choice",
    "contrast_left": "contrast_left",
    "contrast_right": "contrast_right",
    "reward_ul": "reward_volume",
}


def computed(table: pa.Table) -> dict[str, pa.Array]:
    """Contrasts as fractions, each on its side and nothing on the other; choices as 1, -1 and 0. Only where the source has both parts."""
    return _contrasts(table) | _choices(table) | _old(table)


def _contrasts(table: pa.Table) -> dict[str, pa.Array]:
    if not (tables.is_number(table, "gabor_stimulus_contrast") and tables.is_text(table, "gabor_stimulus_side")):
        return {}
    fraction = pc.divide(_floats(table.column("gabor_stimulus_contrast")), 100.0)
    side = pc.utf8_lower(table.column("gabor_stimulus_side"))
    return {f"contrast_{s}": pc.if_else(pc.fill_null(pc.equal(side, s), False), fraction, pa.scalar(None, pa.float64())) for s in ("left", "right")}


def _choices(table: pa.Table) -> dict[str, pa.Array]:
    if not tables.is_text(table, "mouse_wheel_choice"):
        return {}
    words = table.column("mouse_wheel_choice").to_pylist()
    return {"choice": pa.array([_CHOICES.get(w) for w in words], pa.float64())} if set(words) <= {*_CHOICES, None} else {}


def _old(table: pa.Table) -> dict[str, pa.Array]:
    """The columns of IBL's old files, told by all that these have: numbers in IBL's own code."""
    if not all(tables.is_number(table, name) for name in _OLD):
        return {}
    found = {ours: _floats(table.column(name)) for ours, name in _OLD_NAMES.items() if tables.is_number(table, name)}
    return found | {"correct": _each(table.column("feedback_type"), lambda v: v > 0)}


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as float64, null where they are NaN, as on the side where nothing was shown."""
    floats = column.cast(pa.float64())
    return pc.if_else(pc.fill_null(pc.is_nan(floats), True), pa.scalar(None, pa.float64()), floats)


def _each(column: pa.ChunkedArray, test: Callable[[np.ndarray], np.ndarray]) -> pa.Array:
    values = _floats(column).to_numpy()
    with np.errstate(invalid="ignore"):
        return pa.array(test(values), pa.bool_(), mask=np.isnan(values))
