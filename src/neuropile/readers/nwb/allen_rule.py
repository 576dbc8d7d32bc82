"""Which units the Allen Institute's own software would show: its rule, with every limit an argument, and in words."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from neuropile.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

#: The metrics it has limits for, and the columns of a stored session it looks at.
METRICS = ("amplitude_cutoff", "presence_ratio", "isi_violations")
COLUMNS = (*(f"src_{name}" for name in METRICS), "src_quality", "src_electrode_valid_data")


def allen_quality(
    units: pd.DataFrame,
    *,
    amplitude_cutoff: float | None = 0.1,
    presence_ratio: float | None = 0.95,
    isi_violations: float | None = 0.5,
    good: bool = True,
    valid: bool = True,
    in_brain: bool = True,
) -> tuple[np.ndarray, str]:
    """Which units to keep by the rule of Visual Coding Neuropixels, (unit,) bool, and the rule as text.

    Parameters
    ----------
    units : `ses.units`, a part of it, or the owner's own units.csv
    amplitude_cutoff, isi_violations : keep units at or below. isi_violations is a ratio of rates, which may exceed 1, and
        no share of the spikes; amplitude_cutoff is 0.5 where it could not be estimated
    presence_ratio : keep units at or above. Two numbers are published: 0.95 in the owner's software, above 0.9 in its
        tutorials. The published 40 010 of 99 180 units of Visual Coding tell which was used; state the rule you take
    good : only units whose `quality` is good; valid : only on channels with valid data; in_brain : only in a named area

    None or infinity is no limit, and keeps units without a number; any other limit is a comparison, which drops them
    (the owner's software takes 0 for no limit too; here 0 is 0). A column that is not there is not asked, and the rule says so.

    Raises
    ------
    StoreError : a limit is no number, or `units` is no table

    Examples
    --------
    >>> mask, rule = allen_quality(ses.units)  # doctest: +SKIP
    >>> rule  # doctest: +SKIP
    'amplitude_cutoff <= 0.1 and presence_ratio >= 0.95 and isi_violations <= 0.5 and quality is good and its peak channel is valid and in a named area'
    """
    if not hasattr(units, "columns"):
        raise StoreError(f"allen_quality judges a table of units, such as ses.units, not {type(units).__name__}")
    mask, said = np.ones(len(units), bool), []
    for name, limit, sign in zip(METRICS, (amplitude_cutoff, presence_ratio, isi_violations), ("<=", ">=", "<="), strict=True):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, Real) or math.isnan(limit)):
            raise StoreError(f"{name} is {limit!r}; a limit is a number, or None for no limit")
        if limit is None or math.isinf(limit):
            continue
        column = _column(units, name)
        said.append(f"{name} {sign} {limit:g}" if column is not None else f"({name}: no such column)")
        if column is not None:
            values = column.to_numpy(np.float64, na_value=np.nan)
            mask &= values <= limit if sign == "<=" else values >= limit
    for wanted, names, words in (
        (good, ("src_quality", "quality"), "quality is good"),
        (valid, ("src_electrode_valid_data", "valid_data"), "its peak channel is valid"),
        (in_brain, ("region", "ecephys_structure_acronym"), "in a named area"),
    ):
        if not wanted:
            continue
        column = next((units[n] for n in names if n in units), None)
        said.append(words if column is not None else f"({names[-1]}: no such column)")
        if column is None:
            continue
        if words == "in a named area":
            mask &= (column.notna() & ~column.astype(str).isin(("", "None"))).to_numpy(bool)
        else:
            mask &= ((column == "good") if words == "quality is good" else column.fillna(False).astype(bool)).to_numpy(bool)
    return mask, " and ".join(said) or "every unit"


def _column(units: pd.DataFrame, name: str) -> pd.Series | None:
    return next((units[n] for n in (f"src_{name}", name) if n in units), None)
