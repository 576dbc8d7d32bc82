"""Sessions, probes, channels and units as tables, over one session or a whole store, filtered by SQL conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import regions
from neuropile.errors import NotThere, StoreError
from neuropile.session import Session
from neuropile.shown.stimuli import no_column
from neuropile.store import Store, query_tables

if TYPE_CHECKING:
    import pandas as pd

#: Columns of units that say which they are, and no measure of them.
_NO_METRICS = ("src_peak_channel_id", "src_cluster_id", "src_local_index")


def session_table(source: Session | Store, where: str | None = None) -> pd.DataFrame:
    """A row a session: animal, `session_type`, counts of probes, channels and units, `regions` (AllenSDK: `get_session_table`).

    where : an SQL condition on its columns, such as "session_type = 'brain_observatory_1.1' and sex = 'F'"; for sessions with
        units in a region ask `unit_table(source, "in_region('VISp')")["session"].unique()`

    n_probes and n_channels are null where neither the source nor its units and channels say anything of them.

    Raises
    ------
    StoreError : the condition is not understood, its own words say why; or it asks in_region of sessions
    """
    rows = []
    for session in _sessions(source):
        facts = session.record["source"]
        channels = _channels(session)
        counts = {"n_probes": len(_probes(session, channels)) or None, "n_channels": None if channels is None else len(channels), "n_units": session.n_units}
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
    return _filtered(_frame(rows, "session"), where, row="session")


def probe_table(source: Session | Store, where: str | None = None) -> pd.DataFrame:
    """A row a probe: its id, its own sampling rates, whether there is LFP, how many channels and units (AllenSDK: `get_probes`).

    Where the source tells nothing of probes, they are those that its units and channels name, and the rest is null.
    """
    rows = []
    for session in _sessions(source):
        channels, units = _channels(session), session.units
        for probe in _probes(session, channels):
            own = channels[channels["probe"] == probe["name"]] if channels is not None else None
            rows.append(
                {
                    "session": session.key,
                    "probe": probe["name"],
                    "probe_id": probe.get("probe_id"),
                    "sampling_rate_hz": probe.get("sampling_rate"),
                    "lfp_sampling_rate_hz": probe.get("lfp_sampling_rate"),
                    "has_lfp": probe.get("has_lfp_data"),
                    "location": probe.get("location"),
                    "n_channels": None if own is None else len(own),
                    "n_units": int((units["probe"] == probe["name"]).sum()),
                    "regions": "" if own is None else ", ".join(sorted(own["region"].dropna().unique())),
                }
            )
    return _filtered(_frame(rows, "probe"), where, row="probe")


def channel_table(source: Session | Store, where: str | None = None, *, valid: bool = True) -> pd.DataFrame:
    """A row a channel, by its session and id: where it is, how many units peak on it (AllenSDK: `get_channels`).

    where : an SQL condition on its columns, `in_region('VISp')` among them; see `regions.in_region`
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

    where : an SQL condition on its columns, `in_region('VISp')` among them; the owner's default filter is `allen.allen_quality`
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

    Raises
    ------
    NotThere : units have no such column; it names those like it
    """
    units = unit_table(source, where)
    if by not in units:
        raise no_column("the units", by, units.columns)
    return units[by].value_counts()


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


def _probes(session: Session, channels: pd.DataFrame | None) -> list[dict[str, Any]]:
    """What the source tells of each probe; else the names of those that its units and channels are of."""
    told = session.record["source"].get("src_probes")
    if told:
        return list(told)
    named = [*session.units["probe"].dropna(), *(() if channels is None else channels["probe"].dropna())]
    return [{"name": name} for name in sorted(set(named))]


def _frame(rows: list[dict[str, Any]], what: str) -> pd.DataFrame:
    import pandas as pd

    if not rows:
        raise NotThere(f"there is no {what} to tell of: no session says anything of one")
    frame = pd.DataFrame(rows)
    return frame.astype({n: "Int64" for n in ("n_probes", "n_channels") if n in frame})  # null where it is not known


def _filtered(frame: pd.DataFrame, where: str | None, *, row: str = "unit") -> pd.DataFrame:
    """The rows of a table that meet an SQL condition. row : what a row is; only units and channels lie in regions."""
    if where is None:
        return frame
    import pyarrow as pa

    wanted = _spelt_out(frame, where, row)
    numbered = frame.assign(row_of_all=np.arange(len(frame)))
    for name in [c for c in numbered if numbered[c].dtype == object]:  # sessions may differ in the type of a column
        kinds = set(numbered[name].dropna().map(type))
        if len(kinds) > 1:
            numbered[name] = numbered[name].map(str, na_action="ignore")
    query = f"select row_of_all from rows where ({wanted}\n) order by row_of_all"  # noqa: S608  (DuckDB reaches nothing else)
    kept = query_tables(query, rows=pa.Table.from_pandas(numbered, preserve_index=False)).column(0).to_numpy()
    return frame.iloc[kept].reset_index(drop=True)


def _spelt_out(frame: pd.DataFrame, where: str, row: str) -> str:
    """A condition with its calls of in_region as DuckDB can ask them, of rows that lie in a region."""
    if "region" in frame:
        return regions.spelt_out(where, lambda: set(frame["region"].dropna()))
    ask = f"""allen.unit_table(source, "in_region('VISp')")[{row!r}].unique()"""
    refusal = StoreError(f"in_region asks where a unit or channel lies, and a row here is a {row}; the {row}s that have units there are {ask}")

    def refuse() -> frozenset[str]:
        raise refusal

    if regions.spelt_out(where, refuse) != where:
        raise refusal
    return where
