"""NWB's tables of time intervals: trials, epochs and the like, and the invalid times among them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.paths import safe_name
from neuropile.readers.nwb import change_trials, presentations, tables, terms, tree, trials, unit_tables
from neuropile.types import ALL_UNITS, Spans

_RENAMED = {"invalid_times": "invalid", "observed": "src_observed"}
#: What Allen's tags say a row is of, before they say what failed.
_SCOPES = ("EcephysSession", "EcephysProbe")
#: How Allen's rigs call their probes; a probe that failed is named by tags and is not in the file.
_LETTERED = re.compile(r"probe[A-Z]")


def find(file: tree.Group) -> tuple[dict[str, pa.Table], list[str]]:
    """Every table of time intervals under its own name, those of presentations as one; and what did not fit one."""
    top = tree.member(file, "intervals")
    groups = list(tree.members(top)) if tree.is_group(top) else []
    groups += [(name, tree.member(file, name)) for name in ("trials", "epochs")]
    groups += [(g.name.rsplit("/", 1)[-1], g) for g in unit_tables.processing_groups(file) if tree.kind(g) == "TimeIntervals"]
    found: dict[str, pa.Table] = {}
    left_out: list[str] = []
    for name, group in groups:
        if not tree.is_group(group) or not tree.is_array(tree.member(group, "start_time")):
            continue
        table, columns = tables.read(group)
        left_out += [f"{group.name}/{c}" for c in columns]
        if tables.is_number(table, "start_time"):
            key = _free(_RENAMED.get(name, safe_name(name)), group, found)
            found[key] = _canonical(table, terms.TRIAL_COLUMNS if key == "trials" else {})
        else:
            left_out.append(f"{group.name} (its start_time is not one number a row)")
    return presentations.joined(found, found.get("invalid")), left_out


def _free(key: str, group: tree.Group, taken: dict[str, pa.Table]) -> str:
    """A name no other table has: the plain one, else the path, else the path with a number."""
    path = safe_name(group.name.strip("/").replace("/", "_"))
    names = [key, path, *(f"{path}_{i}" for i in range(2, len(taken) + 3))]
    return next(n for n in names if n not in taken)


def _canonical(table: pa.Table, sources: dict[str, tuple[str, ...]]) -> pa.Table:
    """Our columns first: those whose source holds what they mean; every source column is kept beside them."""
    columns = {"start_s": table.column("start_time")}
    if tables.is_number(table, "stop_time"):
        columns["stop_s"] = table.column("stop_time")
    for canonical, names in sources.items():
        fits = _is_truth if canonical == "correct" else tables.is_number
        source = next((n for n in names if fits(table, n)), None)
        if source is not None:
            columns[canonical] = table.column(source)
    columns |= trials.computed(table) | change_trials.computed(table) if sources else {}
    kept = [c for c in table.column_names if c not in ("start_time", "stop_time") or (c == "stop_time" and "stop_s" not in columns)]
    return pa.table(columns | {f"src_{c}": table.column(c) for c in kept})


def _is_truth(table: pa.Table, name: str) -> bool:
    if name not in table.column_names:
        return False
    kind = table.schema.field(name).type
    return pa.types.is_boolean(kind) or pa.types.is_integer(kind)


def invalid(file: tree.Group, table: pa.Table | None, probe_of_unit: list[str | None]) -> Spans | None:
    """Invalid times that touch the spikes: all units', or those of the probes their tags name."""
    probes = _probes(file) | {p for p in probe_of_unit if p is not None}
    found: list[tuple[int, float, float]] = []
    for row in table.to_pylist() if table is not None else ():
        start, stop = row["start_s"], row.get("stop_s")
        tags = tags_of(row.get("src_tags"))
        elsewhere = bool(tags) and all(any(word in t.lower() for word in terms.NOT_NEURAL) for t in tags)  # what failed is no probe
        if elsewhere or start is None or stop is None or not start <= stop:
            continue
        found += [(u, start, stop) for u in _touched(tags, probes, probe_of_unit)]
    if not found:
        return None
    unit, start_s, stop_s = zip(*found, strict=True)
    return Spans(np.array(unit, np.int32), np.array(start_s, np.float64), np.array(stop_s, np.float64))


def _touched(tags: list[str], probes: set[str], probe_of_unit: list[str | None]) -> list[int]:
    """The units whose probes the tags name; all where they name none; nobody's where they name one that is not in the file."""
    named = {p for p in probes if any(mentions(t, p) for t in tags)}
    if named:
        return [u for u, p in enumerate(probe_of_unit) if p in named]
    elsewhere = any(_LETTERED.fullmatch(p) for p in probes) and any(_LETTERED.fullmatch(t) for t in tags)
    return [] if elsewhere else [ALL_UNITS]


def tags_of(value: Any) -> list[str]:
    """What a row's tags name. Allen's are three: whose it is (session or probe), its id, and what failed; only the last tells that."""
    tags = [str(t) for t in (value if isinstance(value, list) else [value]) if t not in (None, "")]
    return [t for t in tags if t not in _SCOPES and not t.isdigit()] or tags


def mentions(tag: str, probe: str) -> bool:
    """Whether a tag names a probe: as a word of its own, so that probe "A" is not in "all_probes"."""
    return re.search(rf"(?<![^\W_]){re.escape(probe)}(?![^\W_])", tag, re.IGNORECASE) is not None


def _probes(file: tree.Group) -> set[str]:
    group = tree.member(file, "general/extracellular_ephys")
    return {n for n, child in tree.members(group) if tree.kind(child).endswith("ElectrodeGroup")} if tree.is_group(group) else set()
