"""What was shown in a session: its stimuli by name, their parameters and conditions, the blocks they came in and the pauses between."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import layout
from neuropile.errors import NotThere, StoreError

if TYPE_CHECKING:
    import pandas as pd

    from neuropile.session import Session

TABLE = "presentations"
#: What a stimulus is described by, its name aside: two presentations alike in all of these are of one condition.
#: Blanks and omissions are conditions of their own. A movie's frames are, its passes (`repeat`) are not, nor are changes
#: (`is_change`): a change is the same image after another one.
PARAMETERS = (
    "orientation_deg",
    "direction_deg",
    "temporal_frequency_hz",
    "spatial_frequency_cpd",
    "phase",
    "contrast",
    "speed",
    "x_position_deg",
    "y_position_deg",
    "size_deg",
    "colour",
    "frame",
    "image_name",
    "image_set",
    "is_blank",
    "is_omitted",
)
_INVALID = "src_in_invalid_time"


def presentations(session: Session, *, valid: bool = False) -> pd.DataFrame:
    """A row a presentation, by its id, in the order of time: when, `stimulus`, `block`, parameters, the source's own (AllenSDK: `stimulus_presentations`).

    valid : leave out what was shown in invalid time of the stimulus, in which frames were late

    Raises
    ------
    NotThere : the session has no such table; why, where its source says
    """
    table = session.intervals[TABLE].rename_axis("presentation")
    if valid and _INVALID in table:
        table = table[~table[_INVALID].fillna(False).astype(bool)]
    return table


def stimulus_names(session: Session) -> list[str]:
    """Each stimulus once, in the order in which they began (AllenSDK: `stimulus_names`)."""
    return [str(n) for n in presentations(session)["stimulus"].unique()]


def stimulus_table(session: Session, names: str | Sequence[str] | None = None, *, valid: bool = True) -> pd.DataFrame:
    """The presentations of some stimuli, with only the columns that say something of them, and their `duration_s` (AllenSDK: `get_stimulus_table`).

    names : one stimulus or several; None is every one
    valid : leave out what was shown in invalid time of the stimulus

    Raises
    ------
    NotThere : nothing of that name was shown; it tells what was
    """
    table = _chosen(session, names, valid=valid)
    kept = [c for c in table if c in ("start_s", "stop_s", "duration_s", "stimulus") or table[c].notna().any()]
    return table[kept]


def _chosen(session: Session, names: str | Sequence[str] | None, *, valid: bool = True) -> pd.DataFrame:
    """The rows of `stimulus_table` with every column, those without a value too."""
    table = presentations(session, valid=valid)
    if names is not None:
        table = table[_named(table, session, names)]
    return table.assign(duration_s=table["stop_s"] - table["start_s"])


def _named(table: pd.DataFrame, session: Session, names: str | Sequence[str]) -> pd.Series:
    asked = [names] if isinstance(names, str) else list(names)
    known = stimulus_names(session)
    missing = next((n for n in asked if n not in known), None)
    if missing is not None:
        raise NotThere(f"{session.key}: no stimulus {missing!r}; there are {', '.join(known)}")
    return table["stimulus"].isin(asked)


def parameter_values(session: Session, names: str | Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The values that each parameter of some stimuli took, sorted, nothing left out (AllenSDK: `get_stimulus_parameter_values`)."""
    table = stimulus_table(session, names)
    return {n: np.sort(table[n].dropna().unique()) for n in PARAMETERS if n in table}


def condition_ids(table: pd.DataFrame, by: str | Sequence[str] | None = None) -> np.ndarray:
    """Of each presentation of a table its condition: (row,) int64, from 0 in the order in which they first come.

    by : the columns whose values make a condition; by default `stimulus` and PARAMETERS. Rows alike in what they lack are
        alike. `by=["stimulus", *shown.PARAMETERS, "is_change"]` sets changes apart

    Raises
    ------
    NotThere : there is no such column; it names those like it
    """
    if not hasattr(table, "columns"):
        raise StoreError(f"conditions are told of a table of presentations, such as shown.presentations(ses), not of {type(table).__name__}")
    columns = [c for c in _condition_columns(table, by) if c in table]
    if not columns or table.empty:
        return np.zeros(len(table), np.int64)
    return np.asarray(table.groupby(columns, sort=False, dropna=False).ngroup(), np.int64)


def _condition_columns(table: pd.DataFrame, by: str | Sequence[str] | None) -> list[str]:
    """The names of the columns that make a condition. Canonical ones may lack: `stimulus_table` drops what says nothing of a stimulus."""
    if by is None:
        return [c for c in ("stimulus", *PARAMETERS) if c in table]
    asked = [by] if isinstance(by, str) else list(by)
    missing = next((c for c in asked if c not in table and c not in layout.INTERVAL_COLUMNS[TABLE]), None)
    if missing is not None:
        raise no_column("the presentations", missing, table.columns)
    return asked


def no_column(of_what: str, name: str, known: Iterable[Any]) -> NotThere:
    """The error for a column that a table has not, with those like it."""
    there = [str(c) for c in known]
    near = difflib.get_close_matches(str(name), there, 3) or [c for c in there if str(name).lower() in c.lower()][:3]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(there[:20])}{', ...' if len(there) > 20 else ''}"
    return NotThere(f"no column {name!r} in {of_what}; {hint}")


def conditions(session: Session, names: str | Sequence[str] | None = None, by: str | Sequence[str] | None = None) -> pd.DataFrame:
    """A row a condition that was shown, by its number among these: its parameters, and `n_presentations` (AllenSDK: `stimulus_conditions`).

    names : of some stimuli only; by : see `condition_ids`
    """
    table = stimulus_table(session, names) if by is None else _chosen(session, names)
    ids = condition_ids(table, by)
    _, first, counts = np.unique(ids, return_index=True, return_counts=True)
    found = table.iloc[first].reindex(columns=_condition_columns(table, by)).reset_index(drop=True).rename_axis("condition")
    return found.assign(n_presentations=counts)


def epochs(session: Session, at_least: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Stretches in which one stimulus of one block was shown: `start_s`, `stop_s`, `duration_s`, `stimulus`, `block`, `n_presentations`.

    at_least : seconds by stimulus; shorter epochs of it are left out, such as {"spontaneous": 90}
    (AllenSDK: `get_stimulus_epochs`, whose default leaves out `spontaneous_activity` below 90 s, a name no file has.)
    """
    table = presentations(session)
    block = table["block"].to_numpy(np.float64, na_value=np.nan) if "block" in table else np.full(len(table), np.nan)
    same = (block[1:] == block[:-1]) | (np.isnan(block[1:]) & np.isnan(block[:-1]))
    same &= table["stimulus"].to_numpy()[1:] == table["stimulus"].to_numpy()[:-1]
    number = np.r_[0, np.cumsum(~same)][: len(table)]
    groups = table.assign(block=block).groupby(number)
    found = groups.agg(start_s=("start_s", "first"), stop_s=("stop_s", "max"), stimulus=("stimulus", "first"), block=("block", "first"))
    found.insert(2, "duration_s", found["stop_s"] - found["start_s"])
    found["n_presentations"] = groups.size()
    short = np.zeros(len(found), bool)
    for name, seconds in (at_least or {}).items():
        short |= ((found["stimulus"] == name) & (found["duration_s"] < seconds)).to_numpy()
    return found[~short].reset_index(drop=True).rename_axis("epoch")


def pauses(session: Session, names: str | Sequence[str] | None = None) -> pd.Series:
    """Seconds from the end of each presentation to the start of the next, by both ids (AllenSDK: `inter_presentation_intervals`).

    names : only between two presentations of these stimuli (`get_inter_presentation_intervals_for_stimulus`)
    """
    import pandas as pd

    table = presentations(session)
    start, stop = (table[n].to_numpy(np.float64) for n in ("start_s", "stop_s"))
    pairs = pd.MultiIndex.from_arrays([table.index[:-1], table.index[1:]], names=["from", "to"])
    found = pd.Series(start[1:] - stop[:-1], index=pairs, name="pause_s")
    if names is None:
        return found
    among = _named(table, session, names).to_numpy()
    return found[among[:-1] & among[1:]]


def rows(session: Session, presentations_asked: Any) -> pd.DataFrame:
    """Presentations by what a caller may name them by: None (all), a stimulus's name, ids, a mask over all, or a part of the table."""
    import pandas as pd

    if presentations_asked is None or isinstance(presentations_asked, str):
        return _chosen(session, presentations_asked)
    table = presentations(session)
    if isinstance(presentations_asked, pd.DataFrame):
        ids = presentations_asked.index
    else:
        ids = np.atleast_1d(np.asarray(presentations_asked))
        if ids.dtype == bool:
            if len(ids) != len(table):
                raise NotThere(f"{session.key}: a mask of {len(ids)} values does not fit {len(table)} presentations")
            ids = table.index[ids]
    missing = [i for i in ids if i not in table.index]
    if missing:
        raise NotThere(f"{session.key}: no presentation {missing[0]}; their ids run from 0 to {len(table) - 1}")
    return table.loc[ids]
