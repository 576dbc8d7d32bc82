"""What a freeze of the Brain Wide Map lists: its insertions, sessions, mice and labs, counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuropile.errors import NeuropileError
from neuropile.one.inclusion import needing

if TYPE_CHECKING:
    import pandas as pd


def freeze_counts(freeze: str | Path | pd.DataFrame) -> dict[str, int]:
    """What a freeze of the release lists: insertions, sessions, subjects, labs, and how many sessions have how many probes.

    freeze : the table of a release, or its CSV file, with columns pid, eid, probe_name, subject, lab; a row an insertion

    Raises
    ------
    NeuropileError : it lacks a column, or lists an insertion twice
    """
    import pandas as pd

    try:
        table = freeze if isinstance(freeze, pd.DataFrame) else pd.read_csv(freeze)
    except (OSError, ValueError) as e:
        raise NeuropileError(f"{freeze} is no readable CSV file ({e})") from None
    for column in ("pid", "eid", "subject", "lab"):
        needing(table, "freeze", column)
    if table["pid"].duplicated().any():
        raise NeuropileError(f"the freeze lists insertion {table.loc[table['pid'].duplicated(), 'pid'].iloc[0]} twice")
    probes = table.groupby("eid").size()
    names = {"insertions": "pid", "sessions": "eid", "subjects": "subject", "labs": "lab"}
    found = {name: int(table[column].nunique()) for name, column in names.items()}
    return found | {"with_one_probe": int((probes == 1).sum()), "with_two_probes": int((probes == 2).sum()), "with_more": int((probes > 2).sum())}
