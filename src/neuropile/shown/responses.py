"""Spikes of units in the presentations of a session: counted in bins from each onset, listed, or summed up by condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import binning
from neuropile.counting import Grid, covered
from neuropile.errors import BinWidthError
from neuropile.shown import stimuli

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neuropile.session import Session

#: How far an edge may be from a whole tick, in ticks, to be read as that tick: sums of floats are off by less.
_TOLERANCE = 1e-3


def presentation_counts(session: Session, edges: Sequence[float] | np.ndarray, presentations: Any = None, units: Any = None) -> xr.DataArray:
    """Counts in bins laid from the tick in which each presentation began (AllenSDK: `presentationwise_spike_counts`).

    Parameters
    ----------
    edges : (bin + 1,) seconds from the onset, ascending, each a whole number of ticks; bins need not be equal
    presentations : ids, a stimulus's name, a part of the table of presentations, or None for all; those without a start
        are left out, and so are, of all and of a stimulus, those in invalid time of the stimulus
    units : as in `Session.rows_of`

    Returns
    -------
    counts : (presentation, time, unit) with coordinates presentation, start_s, stimulus, time (bin centres, s from the
        onset), unit_id, region, and the mask observed (presentation, time), or unit_observed (presentation, time,
        unit) where units differ. A bin holds the ticks from its first edge up to its last (AllenSDK counts a spike on an
        edge in both bins)

    Raises
    ------
    BinWidthError : an edge is no whole number of ticks, or edges do not ascend
    """
    import xarray as xr

    ticks = _edge_ticks(edges, session.ticks_per_s)
    table = stimuli.rows(session, presentations)
    table = table[np.isfinite(table["start_s"].to_numpy(np.float64))]
    units_asked = session.rows_of(units)
    moments = binning.tick_of(table["start_s"].to_numpy(np.float64), session.ticks_per_s)
    widths: Any = np.diff(ticks)
    if (widths == widths[0]).all():
        values = session.counter.count_around(units_asked, moments + ticks[0], Grid(int(widths[0]), 0, len(widths)))
    else:
        values = _between(session, units_asked, moments[:, None] + ticks).astype(np.uint32)
    own = session.units.iloc[units_asked]
    coords: dict[str, Any] = {
        "presentation": ("presentation", table.index.to_numpy()),
        "start_s": ("presentation", table["start_s"].to_numpy()),
        "stimulus": ("presentation", table["stimulus"].to_numpy(object)),
        "time": ("time", (ticks[:-1] + ticks[1:]) / 2 / session.ticks_per_s),
        "unit_id": ("unit", own["unit_id"].to_numpy(object)),
        "region": ("unit", own["region"].astype(object).where(own["region"].notna(), None).to_numpy(object)),
    }
    starts = moments[:, None] + ticks[:-1]
    if session.observed.differs:
        each = np.stack([covered(session.observed.of(u), starts, widths) for u in units_asked.tolist()], axis=-1)
        coords["unit_observed"] = (("presentation", "time", "unit"), each)
    else:
        coords["observed"] = (("presentation", "time"), covered(session.observed.of_any(), starts, widths))
    return xr.DataArray(values.swapaxes(1, 2), dims=("presentation", "time", "unit"), coords=coords, name="counts")


def presentation_spikes(session: Session, presentations: Any = None, units: Any = None, *, lasts: float | None = None) -> pd.DataFrame:
    """A row a spike that fell into a presentation: `spike_s`, `presentation`, `unit_id`, `since_onset_s`, by time (AllenSDK: `presentationwise_spike_times`).

    presentations, units : as in `presentation_counts`
    lasts : seconds that each presentation is taken to last, in place of its own; what has no stop, such as an omission, has no spikes without it

    A presentation holds the ticks from that of its start up to that of its stop, so that no spike is in two that follow
    each other. Where presentations overlap, a spike has a row for each.
    """
    import pandas as pd

    table = stimuli.rows(session, presentations)
    asked = session.rows_of(units)
    start, stop, known = _spans(session, table, lasts)
    offsets, ticks = session.counter.trains(asked)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for unit in asked.tolist():
        own = ticks[offsets[unit] : offsets[unit + 1]]
        first, end = np.searchsorted(own, start), np.searchsorted(own, stop)
        n = np.where(known, np.maximum(end - first, 0), 0)
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        parts.append((own[np.repeat(first, n) + within], np.repeat(np.arange(len(table)), n), np.full(n.sum(), unit)))
    tick, row, unit_row = (np.concatenate(p) for p in zip(*parts, strict=True)) if parts else (np.empty(0, np.int64),) * 3
    order = np.lexsort((unit_row, row, tick))
    seconds = (tick[order] + 0.5) / session.ticks_per_s
    return pd.DataFrame(
        {
            "spike_s": seconds,
            "presentation": table.index.to_numpy()[row[order]],
            "unit_id": session.units["unit_id"].to_numpy()[unit_row[order]],
            "since_onset_s": seconds - table["start_s"].to_numpy()[row[order]],
        }
    )


@dataclass(frozen=True)
class How:
    """How `condition_statistics` counts.

    by : the columns that make a condition; see `shown.condition_ids`
    lasts : seconds that each presentation is taken to last, in place of its own
    rates : spikes a second instead of spikes
    observed : leave out, unit by unit, presentations that were not wholly observed
    """

    by: str | Sequence[str] | None = None
    lasts: float | None = None
    rates: bool = False
    observed: bool = True


def condition_statistics(session: Session, presentations: Any = None, units: Any = None, how: How | None = None) -> pd.DataFrame:
    """A row a unit and condition: `n_presentations`, `spike_count`, and `mean`, `sd`, `sem` a presentation (AllenSDK: `conditionwise_spike_statistics`).

    presentations, units : as in `presentation_counts`; how : see How

    sd is of a sample (n - 1), sem is sd / sqrt(n); both are NaN below two presentations. The index is (unit_id,
    condition), conditions numbered as `shown.condition_ids` numbers those of the same presentations.
    """
    import pandas as pd

    how = how or How()
    table = stimuli.rows(session, presentations)
    asked = session.rows_of(units)
    start, stop, known = _spans(session, table, how.lasts)
    condition = stimuli.condition_ids(table, how.by)
    n_conditions = int(condition.max()) + 1 if len(condition) else 0
    seconds = (stop - start) / session.ticks_per_s
    offsets, ticks = session.counter.trains(asked)
    columns: dict[str, list[np.ndarray]] = {n: [] for n in ("n_presentations", "spike_count", "mean", "sd", "sem")}
    whole = known & covered(session.observed.of_any(), start, stop - start) if how.observed and not session.observed.differs else known
    for unit in asked.tolist():
        keep = known & covered(session.observed.of(unit), start, stop - start) if how.observed and session.observed.differs else whole
        own = ticks[offsets[unit] : offsets[unit + 1]]
        count = np.searchsorted(own, stop[keep]) - np.searchsorted(own, start[keep])
        value = count / seconds[keep] if how.rates else count.astype(np.float64)
        for name, found in _summed(value, count, condition[keep], n_conditions).items():
            columns[name].append(found)
    index = pd.MultiIndex.from_product([session.units["unit_id"].iloc[asked], range(n_conditions)], names=["unit_id", "condition"])
    return pd.DataFrame({n: np.concatenate(v) if v else np.empty(0) for n, v in columns.items()}, index=index)


def _summed(value: np.ndarray, count: np.ndarray, condition: np.ndarray, n_conditions: int) -> dict[str, np.ndarray]:
    """One unit's statistics by condition; each value's distance from its mean is squared, never the sum of squares."""
    n = np.bincount(condition, minlength=n_conditions)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(condition, value, n_conditions) / n
        squares = np.bincount(condition, (value - mean[condition]) ** 2, n_conditions)
        sd = np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)
        sem = sd / np.sqrt(n)
    total = np.bincount(condition, count, n_conditions).astype(np.int64)
    return {"n_presentations": n, "spike_count": total, "mean": mean, "sd": sd, "sem": sem}


def _edge_ticks(edges: Any, ticks_per_s: int) -> np.ndarray:
    seconds = np.atleast_1d(np.asarray(edges, np.float64))
    if len(seconds) < 2 or not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise BinWidthError(f"edges {edges!r} must be two or more finite seconds, each later than the one before")
    exact = seconds * ticks_per_s
    if np.abs(exact).max() > binning.MAX_TICK:
        raise BinWidthError(f"edges {edges!r} reach further than any clock")
    ticks = np.rint(exact)
    off = np.abs(exact - ticks) > _TOLERANCE
    if off.any():
        bad = seconds[off][0]
        raise BinWidthError(f"an edge at {bad} s is no whole tick of 1/{ticks_per_s} s; the nearest is {np.rint(bad * ticks_per_s) / ticks_per_s:.10g} s")
    return ticks.astype(np.int64)


def _spans(session: Session, table: pd.DataFrame, lasts: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first tick of each presentation and that after its last, and whether both are known; (presentation,)."""
    if lasts is not None and not 0 < lasts < np.inf:
        raise BinWidthError(f"each presentation is to last {lasts} s; it must be more than none, and end")
    begin = table["start_s"].to_numpy(np.float64)
    end = table["stop_s"].to_numpy(np.float64) if lasts is None else begin + lasts
    known = np.isfinite(begin) & np.isfinite(end)
    start = binning.tick_of(np.where(known, begin, 0.0), session.ticks_per_s)
    return start, binning.tick_of(np.where(known, end, 0.0), session.ticks_per_s), known


def _between(session: Session, units: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts between ascending edges in ticks, (presentation, edge) -> (presentation, unit, edge - 1) int64."""
    offsets, ticks = session.counter.trains(units)
    out = np.empty((edges.shape[0], len(units), edges.shape[1] - 1), np.int64)
    for i, unit in enumerate(units.tolist()):
        out[:, i] = np.diff(np.searchsorted(ticks[offsets[unit] : offsets[unit + 1]], edges), axis=1)
    return out
