"""A stored session as an NWB file, for everything that reads NWB."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import MissingExtra, NeuropileError
from neuropile.paths import replacing

if TYPE_CHECKING:
    import pandas as pd

    from neuropile.session import Session

#: What stands for the start of a session whose source does not tell it; NWB demands one.
UNKNOWN_START = datetime(1970, 1, 1, tzinfo=UTC)
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O", "u": "U", "unknown": "U"}
_AGE = re.compile(r"P(?=.)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?(T(?=.)(\d+(\.\d+)?H)?(\d+(\.\d+)?M)?(\d+(\.\d+)?S)?)?")
_VOLTS = {"v": 1.0, "volt": 1.0, "volts": 1.0, "mv": 1e-3, "uv": 1e-6, "\u00b5v": 1e-6, "\u03bcv": 1e-6, "microvolts": 1e-6}
#: Said elsewhere in the file, and so no columns of its units.
_ELSEWHERE = frozenset({"dataset", "session_id", "subject_id", "unit_id", "quantity"})
_UNIT_COLUMNS = {
    "probe": "the probe that recorded the unit",
    "depth_um": "place along the probe, above its tip, in um",
    "x_um": "place on the atlas' anterior-posterior axis, in um",
    "y_um": "place on the atlas' dorsal-ventral axis, in um",
    "z_um": "place on the atlas' left-right axis, in um",
    "region": "brain area, as the source names it; empty where it does not",
    "quality": "good, mua or noise; empty where the source does not say",
    "quality_rule": "what the quality was told by",
    "n_spikes": "how many spikes the unit has",
    "rate_hz": "spikes in observed time over observed time, in Hz",
}
_INTERVALS = {"trials": "trials", "epochs": "epochs", "invalid": "invalid_times"}


def to_nwb(session: Session, path: str | Path, *, replace: bool = False) -> Path:
    """Write a session as one NWB file (HDF5) and return its path; the file appears whole or not at all.

    Spike times are the centres of their ticks, `obs_intervals` each unit's observed time. Tables of intervals keep their
    columns, the source's own under their own names where those are free; signals over time lie in the processing module
    "behavior". Missing text is written empty, missing numbers as NaN. Electrodes are left out: a store does not hold them.

    Raises
    ------
    MissingExtra : pynwb is not installed
    NeuropileError : there is such a file, and `replace` is not given
    """
    try:
        from pynwb import NWBHDF5IO
    except ImportError:
        raise MissingExtra("Session.to_nwb", "nwb") from None
    path = Path(path)
    if path.exists() and not replace:
        raise NeuropileError(f"{path} exists already; pass replace=True to write over it, or another name")
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pynwb on the temporary name, and on columns it cannot offer as attributes
        with NWBHDF5IO(str(temporary), "w") as io:
            io.write(_file(session))
    return path


def _file(session: Session) -> Any:
    from pynwb import NWBFile

    source, record = session.record["source"], session.record
    start, about_start = _start(source.get("src_session_start_time"))
    about_clock = "Its trials are laid end to end on one clock, with unobserved time between." if record["clock"] == "trials" else ""
    homeless = [name for name in session.signals if session.signals[name].dims[0] not in ("time", "unit")]
    about_signals = f"Left out, neither over time nor a row a unit: {', '.join(homeless)}." if homeless else ""
    citation = [c for c in (record["citation"], source.get("src_related_publications")) if c]
    license_ = record["license"]
    file = NWBFile(
        session_description=_sentences(source.get("src_session_description") or f"Session {session.key}.", about_start, about_clock),
        identifier=record["content_digest"],
        session_start_time=start,
        session_id=session.session_id,
        experimenter=_some(source.get("src_experimenter")),
        experiment_description=source.get("src_experiment_description"),
        institution=source.get("src_institution"),
        lab=source.get("src_lab"),
        keywords=_some(source.get("src_keywords")),
        related_publications=tuple(dict.fromkeys(citation)) or None,
        data_collection=f"Licence: {license_}" if license_ else None,
        notes=_sentences(f"Written by neuropile from its store: {session.key}, a recording of {session.quantity}.", *record["notes"], about_signals),
        subject=_subject(record),
    )
    _add_signals(session, file)
    file.units = _units(session)
    for name in session.intervals:
        if name != "observed" and len(session.intervals[name]):
            _add_intervals(file, _INTERVALS.get(name, name), session.intervals[name])
    return file


def _sentences(*parts: str) -> str:
    return " ".join(p if p.endswith(".") else f"{p}." for p in (q.strip() for q in parts) if p)


def _some(text: str | None) -> tuple[str, ...] | None:
    return (text,) if text else None


def _start(text: str | None) -> tuple[datetime, str]:
    """When the session began, and what is to be said of that."""
    try:
        start = datetime.fromisoformat(text or "")
    except ValueError:
        return UNKNOWN_START, "The source does not say when the session began: 1970-01-01 stands for that."
    return (start, "") if start.tzinfo else (start.replace(tzinfo=UTC), "The source gives its start without a time zone: read as UTC.")


def _subject(record: dict[str, Any]) -> Any:
    from pynwb.file import Subject

    known = {n: record[n] for n in ("subject_id", "species", "sex", "age", "genotype") if record[n]}
    if not known:
        return None
    odd = []
    if "sex" in known:
        sex = known["sex"]
        known["sex"] = _SEXES.get(sex.lower(), "U")
        if sex.lower() not in _SEXES:
            odd.append(f"sex: {sex}")
    if "age" in known and not _AGE.fullmatch(known["age"]):
        odd.append(f"age: {known.pop('age')}")
    return Subject(**known, description=f"As the source has it: {'; '.join(odd)}" if odd else None)


def _units(session: Session) -> Any:
    from pynwb.misc import Units

    table = session.units
    whole = all(u.isdecimal() and str(int(u)) == u and int(u) < 2**31 for u in table["unit_id"])
    ids = [int(u) for u in table["unit_id"]] if whole else list(range(session.n_units))
    units = Units(
        name="units", id=ids, resolution=1 / session.ticks_per_s, description=f"{session.quantity} of {session.n_units} units; times are tick centres"
    )
    if not whole:
        units.add_column(name="unit_name", description="the unit's id in the store and at its source", data=_texts(table["unit_id"]))
    spikes = session.spikes()
    units.add_column(name="spike_times", description="the spike times for each unit", data=spikes.times, index=spikes.offsets[1:].tolist())
    spans = [session.observed.of(unit) / session.ticks_per_s for unit in range(session.n_units)]
    ends = np.cumsum([len(s) for s in spans]).tolist()
    units.add_column(name="obs_intervals", description=f"observed time, from {session.record['span_source']}", data=np.concatenate(spans), index=ends)
    _add_columns(units, table.drop(columns=[c for c in table if c in _ELSEWHERE]), _UNIT_COLUMNS)
    for name in session.signals:
        signal = session.signals[name]
        if signal.dims[0] == "unit":
            own, data = _waveform(name, signal, units.colnames)
            units.add_column(name=own, description=signal.attrs.get("description") or f"{name}, in {signal.attrs.get('unit') or 'unknown units'}", data=data)
    return units


def _waveform(name: str, signal: Any, taken: Iterable[str]) -> tuple[str, np.ndarray]:
    """A row a unit: in volts under NWB's name where it is one of its waveforms, else as it is."""
    scale = _VOLTS.get(str(signal.attrs.get("unit", "")).lower())
    own = next((n for n in ("waveform_mean", "waveform_sd") if name.startswith(n)), None)
    if own is None or scale is None or own in taken or signal.ndim not in (2, 3):
        own = _free(name if own is None else f"{name}_as_is", taken)
        return own, signal.values
    return own, signal.values if scale == 1.0 else (signal.values * scale).astype(signal.dtype, copy=False)


def _add_intervals(file: Any, name: str, table: pd.DataFrame) -> None:
    from hdmf.common import VectorData
    from pynwb.epoch import TimeIntervals

    start = table["start_s"].to_numpy(np.float64)
    stop = table["stop_s"].to_numpy(np.float64, na_value=np.nan) if "stop_s" in table else np.full(len(table), np.nan)
    times = [
        VectorData(name="start_time", description="start, in seconds", data=start),
        VectorData(name="stop_time", description="stop, in seconds; NaN where unknown", data=stop),
    ]
    about = f"{name}, in seconds on the session's clock"
    intervals = TimeIntervals(name=name, description=about, id=list(range(len(table))), columns=times, colnames=[c.name for c in times])
    _add_columns(intervals, table.drop(columns=["start_s", "stop_s"], errors="ignore"), {})
    if name in ("trials", "epochs", "invalid_times"):
        setattr(file, name, intervals)
    else:
        file.add_time_intervals(intervals)


def _add_signals(session: Session, file: Any) -> None:
    """Every signal over time as a TimeSeries."""
    from pynwb import TimeSeries

    series = []
    for name in session.signals:
        signal = session.signals[name]
        if signal.dims[0] == "time":
            facts = signal.attrs
            clock: dict[str, Any] = {"starting_time": float(facts["start_s"]), "rate": float(facts["rate_hz"])} if "start_s" in facts else {}
            clock = clock or {"timestamps": signal["time"].values.astype(np.float64, copy=False)}
            about = facts.get("description") or "no description at the source"
            series.append(TimeSeries(name=name, data=signal.values, unit=facts.get("unit") or "unknown", description=about, **clock))
    if series:
        module = file.create_processing_module(name="behavior", description="what was recorded beside the spikes")
        for each in series:
            module.add(each)


def _add_columns(table: Any, frame: pd.DataFrame, descriptions: dict[str, str]) -> None:
    """The columns of a table that hold anything, the source's own without their prefix where that name is free."""
    canonical = [c for c in frame if not str(c).startswith("src_")]
    for column in frame:
        values = _values(frame[column])
        if values is None:
            continue
        data, ends = values
        plain = str(column).removeprefix("src_")
        is_tags = plain == "tags" and ends is not None  # NWB's own column, a list a row
        own = plain if is_tags else _free(plain, [*table.colnames, *canonical, "tags"], table) if str(column) != plain else _free(plain, table.colnames)
        about = descriptions.get(str(column)) or (f"the source's own column {plain}" if str(column) != plain else plain)
        table.add_column(name=own, description=about, data=data, **({} if ends is None else {"index": ends}))


def _free(name: str, taken: Iterable[str], table: Any = None) -> str:
    """A name a table can use for a column: its own, or that with the prefix `src_`, or with a number as well."""
    name = re.sub(r"[/:.\0]", "_", name) or "unnamed"
    used = {*taken, "id", "spike_times", "electrodes", "electrode_group", "obs_intervals", "waveforms", "waveform_mean", "waveform_sd", "timeseries"}
    used |= {f"{t}_index" for t in used} | {t.removesuffix("_index") for t in used}  # such a name says that the other column is ragged
    if table is not None and hasattr(table, name):
        used.add(name)
    return next(n for n in _candidates(name) if n not in used)


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield f"src_{name}"
    yield from (f"src_{name}_{i}" for i in range(2, 10_000))


def _values(column: pd.Series) -> tuple[Any, list[int] | None] | None:
    """A column as NWB holds it, and the end of each row's values where it is ragged; None where it holds nothing at all."""
    if column.dtype.kind in "iufb" and isinstance(column.dtype, np.dtype):
        data = column.to_numpy()
        return None if data.dtype.kind == "f" and np.isnan(data).all() else (data, None)
    rows = column.tolist()
    known = [v for v in rows if not _is_missing(v)]
    if not known:
        return None
    if any(isinstance(v, list | tuple | np.ndarray) for v in known):
        lists = [[] if _is_missing(v) else list(v) for v in rows]
        flat = _flat([v for row in lists for v in row])
        return None if flat is None else (flat, np.cumsum([len(row) for row in lists]).tolist())
    return _flat(rows), None


def _flat(values: list[Any]) -> Any:
    """Numbers where all are (NaN for those missing), else texts; None where there are none."""
    known = [v for v in values if not _is_missing(v)]
    if not known:
        return None
    if all(isinstance(v, bool | np.bool_ | int | float | np.integer | np.floating) for v in known):
        return np.array(values) if len(known) == len(values) else np.array([np.nan if _is_missing(v) else v for v in values], np.float64)
    return _texts(values)


def _texts(values: Iterable[Any]) -> list[str]:
    return ["" if _is_missing(v) else str(v) for v in values]


def _is_missing(value: Any) -> bool:
    return value is None or (not isinstance(value, list | tuple | np.ndarray) and bool(value != value))
