"""Where a probe's channels are: their columns, those that histology made of the electrodes' sites in place, and our names for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from neuropile.readers.alf import columns as alf_columns
from neuropile.readers.alf import tables
from neuropile.readers.alf.files import Attributes
from neuropile.readers.nwb import terms as nwb_terms

#: Columns of text that name an area, best first; numbers under these names are someone's codes.
REGION_COLUMNS = ("acronym", "acronyms", "brainLocationAcronyms_ccf_2017", "brainLocationAcronyms", "brainAcronyms", "region")
ALLEN_ID = "brainLocationIds_ccf_2017"
#: Where each canonical place is in `mlapdv`, um from bregma: anterior-posterior, dorsal-ventral, left-right.
_AXES = {"x_um": 1, "y_um": 2, "z_um": 0}

Columns = Mapping[str, pa.Array]


def of_channels(objects: Mapping[str, Attributes], notes: list[str]) -> dict[str, pa.Array]:
    """Every column of channels.*, those of electrodeSites.*, which histology made, in place of the channels'; empty without channels."""
    channels = _table(objects.get("channels", {}), "channels", notes)
    if not channels:
        return {}
    n_channels = len(next(iter(channels.values())))
    sites = _table(objects.get("electrodeSites", {}), "electrodeSites", notes)
    site_of = _site_of_channel(channels, sites, n_channels)
    if sites and site_of is None:
        notes.append("electrodeSites.* do not match channels.* and are left out")
    elif site_of is not None:
        channels |= {n: c.take(site_of) for n, c in sites.items() if n != "localCoordinates"}
    return channels


def _table(attributes: Attributes, what: str, notes: list[str]) -> dict[str, pa.Array]:
    columns = alf_columns.read(attributes, notes)
    n_rows = alf_columns.common_length(columns, ("localCoordinates",))
    return {} if n_rows is None else alf_columns.flat(columns, n_rows, what, notes)


def _site_of_channel(channels: Columns, sites: Columns, n_channels: int) -> pa.Array | None:
    """The row of each channel's site: where both say where they lie on the probe by that, else by row; None if neither fits."""
    if not sites:
        return None
    here, there = (alf_columns.matrix(t.get("localCoordinates")) for t in (channels, sites))
    if here is None or there is None:
        return pa.array(np.arange(n_channels)) if len(next(iter(sites.values()))) == n_channels else None
    row_of = {tuple(p): row for row, p in enumerate(there.tolist())}
    rows = [row_of.get(tuple(p)) for p in here.tolist()]
    return pa.array(rows, pa.int64()) if any(r is not None for r in rows) else None


def canonical(columns: Columns) -> dict[str, pa.Array]:
    """Our names for where channels are, or units by their channel: those that the columns fill."""
    found: dict[str, pa.Array] = {}
    local = _matrix(columns, "localCoordinates", 2)
    if local is not None:
        found |= {"depth_um": alf_columns.nullable(local[:, 1]), "lateral_um": alf_columns.nullable(local[:, 0])}
    mlapdv = _matrix(columns, "mlapdv", 3)
    if mlapdv is not None:
        found |= {name: alf_columns.nullable(mlapdv[:, axis]) for name, axis in _AXES.items()}
    allen = alf_columns.number(dict(columns), ALLEN_ID)
    if allen is not None:
        found["allen_id"] = allen_ids(allen)
    region = regions(columns)
    if region is None and allen is not None:
        region = acronyms(found["allen_id"])
    return found if region is None else {**found, "region": region}


def acronyms(allen_ids: pa.Array) -> pa.Array:
    """The areas of ids by the acronyms of the Allen atlas, null for ids that it does not have."""
    from neuropile.regions.atlas import UNKNOWN, tree

    rows = tree().rows(allen_ids.fill_null(UNKNOWN).to_numpy())
    return pa.array(tree().acronyms, pa.string()).take(pa.array(rows, mask=rows == UNKNOWN))


def allen_ids(values: np.ndarray) -> pa.Array:
    """Numbers as ids of the Allen atlas. The left hemisphere's are negative in some files: the area is the same."""
    fine = np.isfinite(values)
    return pa.array(np.abs(np.where(fine, values, 0)).astype(np.int64), mask=~fine)


def regions(columns: Columns) -> pa.Array | None:
    """The areas that a column of text names."""
    texts = next((t for n in REGION_COLUMNS if n in columns and (t := tables.texts(columns[n])) is not None), None)
    return None if texts is None else pa.array([nwb_terms.region_of(t) for t in texts], pa.string())


def _matrix(columns: Columns, name: str, width: int) -> np.ndarray | None:
    """Coordinates, (row, axis), NaN where they are missing."""
    column = columns.get(name)
    if column is None or not pa.types.is_fixed_size_list(column.type) or column.type.list_size != width:
        return None
    missing = [np.nan] * width
    return np.array([missing if v is None else [np.nan if x is None else x for x in v] for v in column.to_pylist()], np.float64).reshape(-1, width)


def table(probe: str | None, columns: Columns, *, qualified: bool) -> pa.Table:
    """A probe's channels, a row each: its number (behind the probe's name where `qualified`), where it is, the source's own columns."""
    n_channels = len(next(iter(columns.values())))
    ids = [f"{probe}/{i}" if qualified else str(i) for i in range(n_channels)]
    probes = {} if probe is None else {"probe": pa.array([probe] * n_channels, pa.string())}
    return pa.table({"channel_id": pa.array(ids, pa.string()), **probes, **canonical(columns), **{f"src_{n}": c for n, c in columns.items()}})
