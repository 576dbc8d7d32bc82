"""What a path holds, whatever it is: a recording, a session, a store, a pile or a published folder."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile import layout, parquet, readers, remote
from neuropile.errors import NeuropileError, UnreadableFile
from neuropile.pilefile import PILE_KIND
from neuropile.published import MARKER
from neuropile.types import Reader, Recording


def describe(path: Any, sample_rate: float | None = None, mapping: dict[str, str] | None = None) -> dict[str, Any]:
    """Facts by name, the kind first; `sample_rate` and `mapping` as in `readers.find`.

    Raises
    ------
    NeuropileError : there is nothing at `path`, or nothing that is known here
    """
    if not remote.is_remote(path) and not path.exists():
        raise NeuropileError(f"{path}: no such file or folder")
    for name, tell in ((layout.STORE_FILE, _store), (layout.SESSION_FILE, _session), (MARKER, _pile)):
        if "?" not in str(path) and remote.exists(path / name):
            return tell(path)
    if path.suffix == ".parquet" or (not remote.is_remote(path) and path.is_file() and _begins(path) == b"PAR1"):
        return _parquet(path)
    try:
        reader = readers.find(path, sample_rate=sample_rate, mapping=mapping)
    except UnreadableFile as e:
        with suppress(NeuropileError):
            return _folder(path) if remote.can_list(path) and path.is_dir() else _arrays(path)
        raise e from None
    return _recording(path, reader)


def sessions_of(path: str) -> pa.Table:
    """The rows of sessions of a store, a pile or a published folder."""
    from neuropile.pile import open_pile
    from neuropile.store import open_store

    place = remote.as_path(path)
    if (remote.is_remote(place) or place.is_dir()) and remote.exists(place / layout.STORE_FILE):
        return open_store(place).session_table
    pile = open_pile(path)
    return pile.source.tables(pile)[0]


def _begins(path: Path) -> bytes:
    with open(path, "rb") as f:
        return f.read(4)


def _parquet(path: Any) -> dict[str, Any]:
    """A pile, or another table of ours: a motif table, a vocabulary, ids, stats."""
    try:
        table = parquet.read(path, [])
        meta = json.loads((table.schema.metadata or {}).get(b"neuropile", b"{}"))
    except (NeuropileError, *parquet.ERRORS):
        return _pile(path)  # which says what is wrong with it
    if not str(meta.get("format", "")).startswith("neuropile") or meta["format"] == PILE_KIND:
        return _pile(path)
    facts = {k: v for k, v in meta.items() if k not in ("format", "version") and isinstance(v, str | int | float | bool | list)}
    return {"kind": meta["format"].removeprefix("neuropile "), "rows": table.num_rows, **facts}


def _store(path: Any) -> dict[str, Any]:
    from neuropile.store import open_store

    store = open_store(path)
    rows = store.sql(
        "select dataset, count(*) as sessions, count(distinct subject_id) as subjects, sum(n_units)::bigint as units, sum(n_spikes)::bigint as spikes, "
        "sum(duration_s) / 3600 as hours, any_value(license) as license from sessions group by dataset order by dataset"
    )
    failed = [{"session": key, "error": row["error"]} for key, row in store.failed.iterrows()]
    return {"kind": "store", "sessions": len(store), "datasets": rows.to_dict("records"), "failed": failed}


def _session(path: Any) -> dict[str, Any]:
    from neuropile.session import Session

    session = Session(path)
    record = session.record
    shown = ["dataset", "session_id", "subject_id", "species", "quantity", "n_units", "n_spikes"]
    shown += ["duration_s", "observed_s", "span_source", "regions", "license", "citation"]
    return {"kind": "session", **{k: record[k] for k in shown}, "intervals": list(session.intervals), "signals": record["signals"], "notes": record["notes"]}


def _pile(path: Any) -> dict[str, Any]:
    from neuropile.pile import open_pile

    pile = open_pile(path)
    made = {k: pile.meta[k] for k in ("bin_width", "max_tokens", "split_by", "seed", "quality", "where")}
    return {"kind": "pile" if path.suffix == ".parquet" else "published pile", "segments": len(pile), "tokens": pile.n_tokens, **made, "splits": pile.summary()}


def _folder(path: Any) -> dict[str, Any]:
    """A folder of recordings: each, and the reader that takes it."""
    found = []
    for source in readers.find_sources(path):
        try:
            told = repr(readers.find(source))
        except UnreadableFile as e:
            told = f"none: {str(e).removeprefix(f'{source}: ')}"
        name = source.name if hasattr(source, "corpus") else source.relative_to(path).as_posix()
        found.append({"recording": name, "reader": told})
    return {"kind": "folder of recordings", "recordings": found}


def _arrays(path: Any) -> dict[str, Any]:
    """What a file without a format of spikes holds, and the mapping that may read it."""
    from neuropile.readers import arrays

    held = [{"name": name, "shape": str(shape), "dtype": dtype} for name, shape, dtype in arrays.contents(path)]
    told = arrays.suggest(path)
    return {"kind": "arrays", "reader": None, "arrays": held, "hint": told[max(told.find("likely read by"), 0) :]}


def _activity(path: Any, recording: Recording) -> dict[str, Any]:
    """How many spikes, from when to when, and how fast a unit fires: what tells a wrong sample rate or unit of time. Not fetched from far away."""
    if remote.is_remote(path):
        return {}
    trains = [np.asarray(recording.trains.read(u)) for u in range(recording.trains.n_units)]
    per_s = recording.ticks_per_s if recording.trains.kind == "ticks" else 1
    ends = [(float(np.nanmin(t)) / per_s, float(np.nanmax(t)) / per_s) for t in trains if np.isfinite(t).any()]
    if not ends:
        return {"spikes": 0}
    first, last = min(a for a, _ in ends), max(b for _, b in ends)
    rates = [len(t) / (last - first) for t in trains] if last > first else []
    hours = {"median_rate_hz": round(float(np.median(rates)), 4)} if rates else {}
    return {"spikes": sum(map(len, trains)), "first_spike_s": first, "last_spike_s": last, **hours}


def _recording(path: Any, reader: Reader) -> dict[str, Any]:
    with reader(path) as recording:
        return {
            "kind": "recording",
            "reader": repr(reader),
            "session_id": recording.session_id,
            "subject_id": recording.subject.subject_id,
            "species": recording.subject.species,
            "quantity": recording.quantity,
            "units": recording.units.num_rows,
            **_activity(path, recording),
            "regions": sorted({r for r in recording.units.column("region").to_pylist() if r}) if "region" in recording.units.column_names else [],
            "unit_columns": recording.units.column_names,
            "intervals": [{"name": n, "rows": t.num_rows, "columns": ", ".join(t.column_names)} for n, t in recording.intervals.items()],
            "signals": [{"name": n, "shape": str(tuple(s.data.shape)), "axes": ", ".join(s.dims), "unit": s.unit} for n, s in recording.signals.items()],
            "notes": list(recording.notes),
        }
