"""The channels of an NWB file: a row an electrode, by its own id, with where it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile.errors import UnreadableFile
from neuropile.readers.nwb import tables, terms, tree

PATH = "general/extracellular_ephys/electrodes"
#: Positions across the probe in um, under the names NWB writers give them.
_LATERAL = ("probe_horizontal_position", "rel_x")
#: Only tables with this column are known to hold x, y, z in um on the axes of the atlas.
_IN_ATLAS = "probe_vertical_position"


def channels(file: tree.Group) -> tuple[pa.Table | None, list[str]]:
    """The table of electrodes by our names (`channel_id`, `probe`, `depth_um`, ...), None where there is none; its columns that are no table columns.

    Raises
    ------
    UnreadableFile : the table contradicts itself
    """
    group = tree.member(file, PATH)
    if not tree.is_group(group) or not tables.length(group):
        return None, []
    source, left_out = tables.read(group)
    ids = tree.values(tree.member(group, "id")).tolist()
    if len(ids) != source.num_rows:
        raise UnreadableFile(f"{file.filename}: {PATH}/id holds {len(ids)} ids for {source.num_rows} rows")
    columns: dict[str, Any] = {"channel_id": pa.array(_unique([str(i) for i in ids]), pa.string())}
    if tables.is_text(source, "group_name"):
        columns["probe"] = source.column("group_name")
    for ours, names in (("depth_um", terms.DEPTH_COLUMNS), ("lateral_um", _LATERAL)):
        name = next((n for n in names if tables.is_number(source, n)), None)
        if name is not None:
            columns[ours] = _finite(source.column(name))
    columns |= places(source)
    if tables.is_text(source, "location"):
        columns["region"] = _regions(source.column("location"))
    return pa.table(columns | {f"src_{n}": source.column(n) for n in source.column_names}), left_out


def places(source: pa.Table) -> dict[str, pa.Array]:
    """Where each electrode is in the atlas, um; null where the probe was not found in it, which is stored as -1."""
    names = ("x", "y", "z")
    if _IN_ATLAS not in source.column_names or not all(tables.is_number(source, n) for n in names):
        return {}
    each = np.stack([np.asarray(source.column(n).to_numpy(), np.float64) for n in names])
    known = (np.isfinite(each) & (each != -1)).all(axis=0)
    return {f"{n}_um": pa.array(values, pa.float64(), mask=~known) for n, values in zip(names, each, strict=True)}


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    values = column.cast(pa.float64())
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def _regions(locations: pa.ChunkedArray) -> pa.Array:
    """The area each location names; there are few different ones."""
    coded = locations.combine_chunks().dictionary_encode()
    areas = pa.array([terms.region_of(v) for v in coded.dictionary.to_pylist()], pa.string())
    return areas.take(coded.indices)


def _unique(ids: list[str]) -> list[str]:
    return ids if len(set(ids)) == len(ids) else [f"{i}:{row}" for row, i in enumerate(ids)]
