"""Where the electrodes of IBL's NWB files are: by bregma where the file says so, else moved there from the corner of the atlas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers.nwb import tables, terms, tree

_ELECTRODES = "general/extracellular_ephys/electrodes"
_LOCALIZATION = "general/localization"
_FROM_BREGMA = re.compile(r"\w*ElectrodesIBLBregma")
_PROBE = re.compile(r"(?:neuropixels)?probe[ _-]?(?P<which>\w+)", re.IGNORECASE)
#: Bregma in the Allen atlas, um from its corner along the anterior-posterior, dorsal-ventral and left-right axes, as IBL has
#: it (iblatlas, ALLEN_CCF_LANDMARKS_MLAPDV_UM). ALF's axes point forwards, up and right, the atlas' backwards, down and right.
BREGMA_UM = np.array([5400.0, 332.0, 5739.0])
_TOWARDS = np.array([-1.0, -1.0, 1.0])


def probe_name(name: Any) -> str | None:
    """A probe's name as ALF has it.

    >>> probe_name("Probe00"), probe_name("NeuropixelsProbe01"), probe_name("probe00a"), probe_name("imec0"), probe_name(None)
    ('probe00', 'probe01', 'probe00a', 'imec0', None)
    """
    if name is None:
        return None
    found = _PROBE.fullmatch(str(name).strip())
    return f"probe{found['which'].lower()}" if found else str(name)


def acronyms(locations: Sequence[str | None]) -> pa.Array:
    """The areas that locations name; the full names of the Allen atlas, with commas or without, as its acronyms.

    >>> acronyms(["Primary visual area, layer 5", "Primary visual area layer 5", "VISp5", "unknown", None]).to_pylist()
    ['VISp5', 'VISp5', 'VISp5', None, None]
    """
    from neuropile.regions.atlas import tree

    acronym_of = dict(zip((n.replace(",", "") for n in tree().names), tree().acronyms, strict=True))
    return pa.array([acronym_of.get(str(v).replace(",", ""), terms.region_of(v)) for v in locations], pa.string())


def from_bregma(corner_um: np.ndarray) -> np.ndarray:
    """Places in the Allen atlas, (place, 3) um from its corner (back, down, right), as um from bregma (forwards, up, right)."""
    return (np.asarray(corner_um, np.float64) - BREGMA_UM) * _TOWARDS


@dataclass(frozen=True)
class Places:
    """The electrodes of a file, a row each: our columns (`columns`), the source's own, and the number of each on its probe.

    moved : whether their places were moved from the corner of the atlas to bregma
    """

    ids: np.ndarray
    probes: tuple[str | None, ...]
    numbers: np.ndarray
    columns: dict[str, pa.Array]
    source: dict[str, pa.Array]
    moved: bool

    def channels(self) -> pa.Table:
        """The table of channels: ids are their numbers on the probe, behind its name where there are several, as in ALF."""
        several = len(set(self.probes)) > 1
        ids = [f"{p}/{n}" if several else str(n) for p, n in zip(self.probes, self.numbers.tolist(), strict=True)]
        probe = {"probe": pa.array(self.probes, pa.string())} if any(self.probes) else {}
        return pa.table({"channel_id": pa.array(ids, pa.string()), **probe, **self.columns, **{f"src_{n}": c for n, c in self.source.items()}})

    def of(self, rows: np.ndarray) -> dict[str, pa.Array]:
        """Where units are by the rows of their electrodes, -1 being none; how deep they are, they say themselves."""
        take = pa.array(np.maximum(rows, 0), pa.int64(), mask=rows < 0)
        return {n: c.take(take) for n, c in self.columns.items() if n not in ("depth_um", "lateral_um")}

    def rows(self, electrodes: np.ndarray) -> np.ndarray:
        """The rows that numbers of a table of units mean, which are rows; -1 where they are none."""
        fine = np.isfinite(electrodes) & (electrodes >= 0) & (electrodes < len(self.ids))
        return np.where(fine, np.nan_to_num(electrodes), -1).astype(np.int64)

    def rows_of_channels(self, probes: Sequence[str | None], channels: np.ndarray) -> np.ndarray:
        """The rows of channels of probes, by their numbers on them; -1 where there is no such electrode."""
        row_of = {(p, n): row for row, (p, n) in enumerate(zip(self.probes, self.numbers.tolist(), strict=True))}
        alone = self.probes[0] if len(set(self.probes)) == 1 else None
        asked = [(p if p is not None else alone, int(c) if np.isfinite(c) else -1) for p, c in zip(probes, channels.tolist(), strict=True)]
        return np.array([row_of.get(a, -1) for a in asked], np.int64)


def find(file: tree.Group, notes: list[str]) -> Places | None:
    """The electrodes of a file; None where it has no table of them. A damaged table of places is noted and does without."""
    group = tree.member(file, _ELECTRODES)
    n_rows = tables.length(group) if tree.is_group(group) else None
    if not n_rows:
        return None
    source = tables.read(group)[0]
    own = {n: source.column(n).combine_chunks() for n in source.column_names}
    names = source.column("group_name").to_pylist() if tables.is_text(source, "group_name") else [None] * n_rows
    probes = tuple(probe_name(n) for n in names)
    columns: dict[str, pa.Array] = {}
    for ours, theirs in (("depth_um", "rel_y"), ("lateral_um", "rel_x")):
        if tables.is_number(source, theirs):
            columns[ours] = _nullable(_numbers(source, theirs))
    if tables.is_text(source, "location"):
        columns["region"] = acronyms(own["location"].to_pylist())
    try:
        told = _localization(file, n_rows)
    except UnreadableFile as e:
        told = {}
        notes.append(f"places from bregma left out: {str(e).rpartition(': ')[2]}")
    places, moved = (None, False) if "x_um" in told else _places(source)
    if places is not None:
        told |= {f"{axis}_um": _nullable(places[:, i]) for i, axis in enumerate("xyz")}
    ids = np.asarray(tree.values(tree.member(group, "id")), np.int64)
    return Places(ids, probes, _numbers_on_probe(probes), columns | told, own, moved)


def _numbers_on_probe(probes: Sequence[str | None]) -> np.ndarray:
    """The number of each electrode among those of its probe, in the order of the table."""
    met: dict[str | None, int] = {}
    numbers = []
    for p in probes:
        numbers.append(met.get(p, 0))
        met[p] = numbers[-1] + 1
    return np.array(numbers, np.int64)


def _localization(file: tree.Group, n_rows: int) -> dict[str, pa.Array]:
    """What the table of places from bregma says of each electrode: area, Allen id, and where; nothing without one."""
    group = tree.member(file, _LOCALIZATION)
    found = next((g for n, g in tree.members(group) if _FROM_BREGMA.fullmatch(n) and tree.is_group(g)), None) if tree.is_group(group) else None
    if found is None:
        return {}
    table = tables.read(found)[0]
    if not tables.is_number(table, "localized_entity"):
        return {}
    entity = _numbers(table, "localized_entity")
    fine = np.flatnonzero(np.isfinite(entity) & (entity >= 0) & (entity < n_rows))
    row_of = np.full(n_rows, -1, np.int64)
    row_of[entity[fine].astype(np.int64)] = fine
    take = pa.array(np.maximum(row_of, 0), mask=row_of < 0)
    told: dict[str, pa.Array] = {}
    if all(tables.is_number(table, n) for n in "xyz"):  # right, forwards, up
        told |= {ours: _nullable(_numbers(table, theirs)).take(take) for ours, theirs in (("x_um", "y"), ("y_um", "z"), ("z_um", "x"))}
    if tables.is_number(table, "atlas_id"):
        ids = _numbers(table, "atlas_id")
        known = np.isfinite(ids)
        told["allen_id"] = pa.array(np.abs(np.where(known, ids, 0)).astype(np.int64), mask=~known).take(take)
    if tables.is_text(table, "brain_region"):
        told["region"] = acronyms(table.column("brain_region").to_pylist()).take(take)
    return told


def _places(source: pa.Table) -> tuple[np.ndarray | None, bool]:
    """Places from bregma, (electrode, 3), of columns that have them so, or that have them from the corner; and whether they were moved."""
    if all(tables.is_number(source, f"ibl_{n}") for n in "xyz"):  # right, forwards, up
        return np.stack([_numbers(source, f"ibl_{n}") for n in "yzx"], axis=1), False
    if not all(tables.is_number(source, n) for n in "xyz"):
        return None, False
    corner = np.stack([_numbers(source, n) for n in "xyz"], axis=1)
    return (from_bregma(corner), True) if np.isfinite(corner).any() else (None, False)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name).to_pandas(), np.float64)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))
