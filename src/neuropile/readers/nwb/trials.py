"""Trial columns of ours that a file holds in another form: contrasts by side from IBL's percent, choices from its words."""

from __future__ import annotations

import pyarrow as pa

from neuropile.readers.nwb import tables

#: What the wheel was turned to, as IBL numbers it: clockwise answers a stimulus on the left.
_CHOICES = {"clockwise": 1.0, "counter_clockwise": -1.0, "none": 0.0}


def computed(table: pa.Table) -> dict[str, pa.Array]:
    """Contrasts as fractions, each on its side and nothing on the other; choices as 1, -1 and 0. Only where the source has both parts."""
    found: dict[str, pa.Array] = {}
    if tables.is_number(table, "gabor_stimulus_contrast") and tables.is_text(table, "gabor_stimulus_side"):
        percent = table.column("gabor_stimulus_contrast").to_pylist()
        sides = table.column("gabor_stimulus_side").to_pylist()
        for side in ("left", "right"):
            found[f"contrast_{side}"] = pa.array([p / 100 if s == side and p is not None else None for p, s in zip(percent, sides, strict=True)], pa.float64())
    if tables.is_text(table, "mouse_wheel_choice"):
        words = table.column("mouse_wheel_choice").to_pylist()
        if set(words) <= set(_CHOICES):
            found["choice"] = pa.array([_CHOICES[w] for w in words], pa.float64())
    return found
