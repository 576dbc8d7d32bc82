"""What a path holds, whatever it is: a recording, a session, a store, a pile or a published folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuropile import layout
from neuropile.errors import NeuropileError
from neuropile.published import MARKER


def describe(path: Path) -> dict[str, Any]:
    """Facts by name, the kind first.

    Raises
    ------
    NeuropileError : there is nothing at `path`, or nothing that is known here
    """
    if not path.exists():
        raise NeuropileError(f"{path}: no such file or folder")
    if path.is_dir():
        for name, tell in ((layout.STORE_FILE, _store), (layout.SESSION_FILE, _session), (MARKER, _pile)):
            if (path / name).is_file():
                return tell(path)
        raise NeuropileError(f"{path} is neither a store, a session nor a published pile (no {layout.STORE_FILE}, {layout.SESSION_FILE} or {MARKER} in it)")
    with open(path, "rb") as f:
        parquet = f.read(4) == b"PAR1"
    return _pile(path) if parquet else _recording(path)


def _store(path: Path) -> dict[str, Any]:
    from neuropile.store import open_store

    store = open_store(path)
    rows = store.sql(
        "select dataset, count(*) as sessions, count(distinct subject_id) as subjects, sum(n_units)::bigint as units, sum(n_spikes)::bigint as spikes, "
        "sum(duration_s) / 3600 as hours, any_value(license) as license from sessions group by dataset order by dataset"
    )
    failed = [{"session": key, "error": row["error"]} for key, row in store.failed.iterrows()]
    return {"kind": "store", "sessions": len(store), "datasets": rows.to_dict("records"), "failed": failed}


def _session(path: Path) -> dict[str, Any]:
    from neuropile.session import Session

    record = Session(path).record
    shown = ["dataset", "session_id", "subject_id", "species", "quantity", "n_units", "n_spikes"]
    shown += ["duration_s", "observed_s", "span_source", "regions", "license", "citation"]
    intervals = [f.split("/")[1].removesuffix(".parquet") for f in record["files"] if "/" in f]
    return {"kind": "session", **{k: record[k] for k in shown}, "intervals": intervals, "signals": record["signals"], "notes": record["notes"]}


def _pile(path: Path) -> dict[str, Any]:
    from neuropile.pile import open_pile

    pile = open_pile(path)
    made = {k: pile.meta[k] for k in ("bin_width", "max_tokens", "split_by", "seed", "quality", "where")}
    return {"kind": "published pile" if path.is_dir() else "pile", "segments": len(pile), "tokens": pile.n_tokens, **made, "splits": pile.summary()}


def _recording(path: Path) -> dict[str, Any]:
    from neuropile import readers

    reader = readers.find(path)
    with reader(path) as recording:
        return {
            "kind": "recording",
            "reader": repr(reader),
            "session_id": recording.session_id,
            "subject_id": recording.subject.subject_id,
            "species": recording.subject.species,
            "quantity": recording.quantity,
            "units": recording.units.num_rows,
            "regions": sorted({r for r in recording.units.column("region").to_pylist() if r}) if "region" in recording.units.column_names else [],
            "unit_columns": recording.units.column_names,
            "intervals": [{"name": n, "rows": t.num_rows, "columns": ", ".join(t.column_names)} for n, t in recording.intervals.items()],
            "signals": [{"name": n, "shape": str(tuple(s.data.shape)), "axes": ", ".join(s.dims), "unit": s.unit} for n, s in recording.signals.items()],
            "notes": list(recording.notes),
        }
