"""Sessions, probes, channels and units as tables, over one session or a whole store, filtered by SQL conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NotThere
from neuropile.session import Session
from neuropile.store import Store, query_tables

if TYPE_CHECKING:
    import pandas as pd

#: Columns of units that say which they are, and no measure of them.
_NO_METRICS = ("src_peak_channel_id", "src_cluster_id", "src_local_index")


def session_table(source: Session | Store, where: str | None = None) -> pd.DataFrame:
    """A row a session: animal, `session_type`, counts of probes, channels, units and presentations, `regions` (AllenSDK: `get_session_table`).

    where : an SQL condition on its columns, such as "session_type = 'brain_observatory_1.1' and sex = 'F'"

    Raises
    ------
    StoreError : the condition is not understood; its own words say why
    """
    rows = []
    for session in _sessions(source):
        facts = session.record["source"]
        counts = {"n_probes": len(facts.get("src_probes", ())), "n_channels": _n_channels(session), "n_units": session.n_units}
        rows.append(
            {
                "session": session.key,
                "recording_id": session.recording_id,
                "session_type": facts.get("src_stimulus_notes"),
                **{n: session.record.get(n) for n in ("subject_id", "species", "sex", "age", "genotype")},
                **{n: facts.get(f"src_{n}") for n in ("specimen_name", "age_in_days", "strain", "session_start_time")},
                **counts,
                "regions": ", ".join(session.record["regions"]),
                "absent": ", ".join(session.absent),
            }
        )
    return _filtered(_frame(rows, "session"), where)


def probe_table(source: Session | Store, where: str | None = None) -> pd.DataFrame:
    """A row a probe: its id, its own sampling rates, whether there is LFP, how many channels and units (AllenSDK: `get_probes`)."""
    rows = []
    for session in _sessions(source):
        channels, units = _channels(session), session.units
        for probe in session.record["source"].get("src_probes", ()):
            own = channels[channels["probe"] == probe["name"]] if channels is not None else None
            rows.append(
                {
                    "session": session.key,
                    "probe": probe["name"],
                    "probe_id": probe["probe_id"],
                    "sampling_rate_hz": probe["sampling_rate"],
                    "lfp_sampling_rate_hz": probe["lfp_sampling_rate"],
                    "has_lfp": probe["has_lfp_data"],
                    "location": probe["location"],
                    "n_channels": 0 if own is None else len(own),
                    "n_units": int((units["probe"] == probe["name"]).sum()),
                    "regions": "" if own is None else ", ".join(sorted(own["region"].dropna().unique())),
                }
            )
    return _filtered(_frame(rows, "probe"), where)


def channel_table(source: Session | Store, where: str | None = None, *, valid: bool = True) -> pd.DataFrame:
    """A row a channel, by its session and id: where it is, how many units peak on it (AllenSDK: `get_channels`).

    valid : only channels whose data are valid, which is what the owner's software gives
    """
    import pandas as pd

    parts = []
    for session in _sessions(source):
        channels = _channels(session)
        if channels is None:
            continue
        channels = channels.assign(session=session.key)
        if "src_peak_channel_id" in session.units:
            peaks = session.units["src_peak_channel_id"].astype("Int64").astype(str).value_counts()
            channels["n_units"] = channels["channel_id"].map(peaks).fillna(0).astype(np.int64)
        if valid and "src_valid_data" in channels:
            channels = channels[channels["src_valid_data"].astype(bool)]
        parts.append(channels)
    if not parts:
        raise NotThere(f"{source!r}: no session has a table of channels")
    whole = pd.concat(parts, ignore_index=True)
    return _filtered(whole[["session", *(c for c in whole if c != "session")]], where)


def unit_table(source: Session | Store, where: str | None = None) -> pd.DataFrame:
    """A row a unit, by its session and id: place, quality, every metric of the source's as `src_*` (AllenSDK: `get_units`, all of them).

    where : an SQL condition on its columns; the owner's default filter is `allen.allen_quality`
    """
    import pandas as pd

    parts = [session.units.assign(session=session.key) for session in _sessions(source)]
    if not parts:
        raise NotThere(f"{source!r} holds no session")
    whole = pd.concat(parts, ignore_index=True)
    return _filtered(whole[["session", *(c for c in whole if c != "session")]], where)


def structure_counts(source: Session | Store, where: str | None = None, *, by: str = "region") -> pd.Series:
    """How many units each area has, most first (AllenSDK: `structurewise_unit_counts`).

    by : "region" as the source names it, or a level of the atlas: "allen", "beryl", "cosmos", "swanson"
    """
    return unit_table(source, where)[by].value_counts()


def unit_metrics(source: Session | Store) -> pd.DataFrame:
    """The source's precomputed numbers of each unit, indexed by session and unit_id (AllenSDK: `get_unit_analysis_metrics_for_session`)."""
    units = unit_table(source).set_index(["session", "unit_id"])
    kept = [c for c in units if c.startswith("src_") and not c.startswith("src_electrode_") and c not in _NO_METRICS and units[c].dtype.kind in "iuf"]
    return units[kept].rename(columns=lambda c: c.removeprefix("src_"))


def structure_intervals(session: Session, probe: str | None = None, channels: Any = None) -> pd.DataFrame:
    """Bands of one area along each probe, from the tip upwards (AllenSDK: `channel_structure_intervals`).

    probe : one of them, by its name; channels : only these, by id

    Returns
    -------
    bands : a row a band: `probe`, `region` (null out of the brain), `first` and `stop` (places among the channels asked
        for, by depth, half-open), `from_um`, `to_um` (depths of its lowest and highest channel), `n_channels`
    """
    import pandas as pd

    table = session.channels
    if probe is not None:
        table = table[table["probe"] == probe]
    if channels is not None:
        table = table[table["channel_id"].isin([str(c) for c in channels])]
    if table.empty:
        raise NotThere(f"{session.key}: no such channels; its probes are {', '.join(map(str, session.channels['probe'].unique()))}")
    found = []
    for name, own in table.groupby("probe", dropna=False):
        own = own.sort_values(["depth_um", "lateral_um"], kind="stable")
        region = own["region"].astype(object).where(own["region"].notna(), None).to_numpy(object)
        edges = np.flatnonzero(np.r_[True, region[1:] != region[:-1], True])
        depth = own["depth_um"].to_numpy(np.float64)
        for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            place = {"first": first, "stop": stop, "from_um": depth[first], "to_um": depth[stop - 1], "n_channels": stop - first}
            found.append({"probe": name, "region": region[first], **place})
    return pd.DataFrame(found)


def _sessions(source: Session | Store) -> list[Session]:
    return [source] if isinstance(source, Session) else [source[key] for key in source]


def _channels(session: Session) -> pd.DataFrame | None:
    try:
        return session.channels
    except NotThere:
        return None


def _n_channels(session: Session) -> int:
    channels = _channels(session)
    return 0 if channels is None else len(channels)


def _frame(rows: list[dict[str, Any]], what: str) -> pd.DataFrame:
    import pandas as pd

    if not rows:
        raise NotThere(f"there is no {what} to tell of: no session says anything of one")
    return pd.DataFrame(rows)


def _filtered(frame: pd.DataFrame, where: str | None) -> pd.DataFrame:
    """The rows of a table that meet an SQL condition."""
    if where is None:
        return frame
    import pyarrow as pa

    numbered = frame.assign(row_of_all=np.arange(len(frame)))
    for name in [c for c in numbered if numbered[c].dtype == object]:  # sessions may differ in the type of a column
        kinds = set(numbered[name].dropna().map(type))
        if len(kinds) > 1:
            numbered[name] = numbered[name].map(str, na_action="ignore")
    query = f"select row_of_all from rows where ({where}\n) order by row_of_all"  # noqa: S608  (DuckDB reaches nothing else)
    kept = query_tables(query, rows=pa.Table.from_pandas(numbered, preserve_index=False)).column(0).to_numpy()
    return frame.iloc[kept].reset_index(drop=True)
