"""The columns of a table of units or channels that say where they are, completed from those that the source has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile.regions.atlas import LEVELS, UNKNOWN, tree

#: What `fill` completes, with the types of the store.
COLUMNS = {"allen_id": pa.int64(), **dict.fromkeys(("allen", "beryl", "cosmos", "swanson"), pa.string())}
_MOUSE = re.compile(r"(mus|m\.?) musculus\b.*|((house|lab|laboratory) )?(mouse|mice)|.*\bncbitaxon[:_/ ]10090|10090")

#: Names of areas that are no Allen acronyms and show that a mouse's regions are named after another book: the visual areas
#: of Wang and Burkhalter, or Paxinos and Franklin; and what among such names only looks like an acronym of the Allen atlas:
#: there LM is the lateral mammillary nucleus, AM one of the thalamus, RL one of the raphe, P the pons, MO the motor cortex.
_OTHER_BOOK = pa.array(["V1", "V2", "V1B", "V2L", "V2M", "AL", "PM", "M1", "M2", "S1", "S2", "PrL", "IL", "Cg1", "Cg2"])
_MISLEADING = pa.array(["LM", "AM", "RL", "P", "MO"])


def fill(table: pa.Table, species: str | None = None) -> pa.Table:
    """A table of units or channels with `allen_id`, `allen`, `beryl`, `cosmos` and `swanson` completed, one session's or all of one species.

    Where there is an `allen_id` (negative: left hemisphere) the rest follows from it; else from an acronym in `allen`; else,
    of mice only, from a `region` that is exactly, case included, an acronym of the Allen atlas or a structure's full name
    ("VISp5", "grey", "root", "Thalamus"). Nothing is guessed: what is in none of these, or of another species, stays null,
    or as it is.

    Parameters
    ----------
    table : any of those columns and `region` may be missing; other columns stay as they are
    species : as the source says it; `is_mouse` tells which texts are mice

    Returns
    -------
    the table with all five columns, those it lacked at its end
    """
    known = tree()
    rows = _rows_of_ids(table)
    unsaid = _column(table, "allen_id", pa.int64()).is_null().to_numpy()
    labelled = [_column(table, "allen", pa.string())]
    if is_mouse(species):
        labelled.append(_acronyms_of_mice(_column(table, "region", pa.string())))
    for labels in labelled:
        if labels.null_count < len(labels):
            found = pc.fill_null(pc.index_in(labels, _labels()), UNKNOWN).to_numpy()
            rows = np.where(unsaid & (rows == UNKNOWN), np.where(found >= 0, found % len(known.ids), UNKNOWN), rows)
    index = pa.array(rows, pa.int64(), mask=rows == UNKNOWN)
    derived = {"allen_id": pa.array(known.ids).take(index)}
    for level in LEVELS:
        derived[level] = _texts(level).take(index)
    for name, kind in COLUMNS.items():
        own = _column(table, name, kind)
        column = pc.coalesce(own, derived[name]) if name == "allen_id" else pc.coalesce(derived[name], own)
        place = table.schema.get_field_index(name)
        table = table.append_column(name, column) if place < 0 else table.set_column(place, name, column)
    return table


def fill_sessions(units: pa.Table, species: Mapping[tuple[str, str], str | None]) -> pa.Table:
    """The units of many sessions, each session's together, with each session's regions filled where it says none of the tree.

    So that stores written before regions were filled are asked like others.

    species : by dataset and session_id
    """
    bare = pc.and_(units.column("allen").is_null(), pc.is_in(units.column("region"), _labels())).to_numpy()
    if not bare.any():
        return units
    keys = [units.column(c).combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False) for c in ("dataset", "session_id")]
    starts = np.flatnonzero(np.r_[True, (keys[0][1:] != keys[0][:-1]) | (keys[1][1:] != keys[1][:-1])])
    bare_from = np.add.reduceat(bare, starts)
    parts = []
    for start, stop, n_bare in zip(starts.tolist(), [*starts[1:].tolist(), len(bare)], bare_from.tolist(), strict=True):
        part = units.slice(start, stop - start)
        whose = species.get((part.column("dataset")[0].as_py(), part.column("session_id")[0].as_py())) if n_bare else None
        parts.append(fill(part, whose) if is_mouse(whose) else part)
    return pa.concat_tables(parts).combine_chunks()


def is_mouse(species: str | None) -> bool:
    """Whether a species, in any of the ways archives write it, is the house mouse.

    >>> [is_mouse(s) for s in ("Mus musculus", "mouse", "http://purl.obolibrary.org/obo/NCBITaxon_10090", "Mouse lemur", "Mus spretus", None)]
    [True, True, True, False, False, False]
    """
    return species is not None and _MOUSE.fullmatch(" ".join(species.lower().replace("_", " ").split())) is not None


@cache
def _texts(level: str) -> pa.Array:
    """The acronym of each structure's structure at a level."""
    return pa.array([tree().acronyms[row] for row in tree().level_rows[level]])


@cache
def _labels() -> pa.Array:
    """Every structure's acronym, then every structure's full name."""
    return pa.array([*tree().acronyms, *tree().names])


def _acronyms_of_mice(region: pa.ChunkedArray) -> pa.ChunkedArray:
    """The regions of a mouse, without what cannot be an Allen acronym by the company it keeps."""
    if not pc.any(pc.is_in(region, _OTHER_BOOK)).as_py():
        return region
    return pc.if_else(pc.is_in(region, _MISLEADING), pa.scalar(None, pa.string()), region)


def _rows_of_ids(table: pa.Table) -> np.ndarray:
    """The row in the tree of each `allen_id`: (row,) int64, UNKNOWN where there is none or the tree does not have it."""
    column = _column(table, "allen_id", pa.int64())
    return np.where(column.is_null().to_numpy(), UNKNOWN, tree().rows(pc.fill_null(column, 0).to_numpy()))


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    """A column as the store holds it; null where it is missing, or no whole number where it must be one."""
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, kind)])
    column = table.column(name)
    if pa.types.is_floating(column.type) and pa.types.is_integer(kind):
        whole = pc.fill_null(pc.and_(pc.is_finite(column), pc.equal(column, pc.round(column))), False)
        column = pc.if_else(whole, column, pa.scalar(None, column.type))
    return column.cast(kind)
