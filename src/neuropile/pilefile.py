"""A pile's own file and the one beside it, here or far away: the list of segments, and whose units in which order."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, markers, object_files, parquet, remote, splits
from neuropile.binning import MAX_TICK, as_width
from neuropile.errors import BinWidthError, PileError, StoreError
from neuropile.paths import sha256_file

PILE_KIND = "neuropile pile"
#: A segment of more is refused before anything is made for it: two thousand units for nine hours at 1 ms, 64 GiB of the smallest counts.
MAX_SEGMENT_TOKENS = 2**36
SEGMENT_SCHEMA = pa.schema(
    [
        pa.field("segment_id", pa.string()),
        pa.field("store", pa.string()),
        pa.field("dataset", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("recording_id", pa.string()),
        pa.field("subject_id", pa.string()),
        pa.field("quantity", pa.string()),
        pa.field("first_bin", pa.int64()),
        pa.field("n_bins", pa.int64()),
        pa.field("bin_num", pa.int64()),
        pa.field("bin_den", pa.int64()),
        pa.field("n_units", pa.int32()),
        pa.field("selection_id", pa.int32()),
        pa.field("order_id", pa.int32()),
        pa.field("split", pa.string()),
        pa.field("weight", pa.float64()),
        pa.field("session_digest", pa.string()),
    ]
)
#: What stands beside: which units of its session a segment takes, and in which order it gives those; a row has one of the two ids.
SELECTION_SCHEMA = pa.schema([pa.field("selection_id", pa.int32()), pa.field("units", pa.list_(pa.int32())), pa.field("order_id", pa.int32())])


@dataclass(frozen=True)
class Listed:
    """What a pile's two files hold.

    table : a row a segment (SEGMENT_SCHEMA); its stores are places, not relative
    selections, orders : of each id the rows of a session's units; the order of a segment's units, (unit,) which each row is
    meta : how the pile was made and what it left out
    published : those of its stores that are published folders
    """

    table: pa.Table
    selections: Mapping[int, np.ndarray] = field(default_factory=dict)
    orders: Mapping[int, np.ndarray] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    published: tuple[str, ...] = ()


def write(listed: Listed, path: Any, *, replace: bool = False) -> None:
    """Write a pile's two files; stores that lie beside a local pile are kept relative to it.

    path : NAME.parquet, local or remote

    Raises
    ------
    PileError : the name is not one of a pile, the file exists and `replace` is not given, or a segment is too large to be opened again
    """
    if path.suffix != ".parquet" or path.name.endswith(".units.parquet") or (isinstance(path, Path) and path.is_dir()):
        raise PileError(f"{path}: a pile's file is called NAME.parquet (NAME.units.parquet beside it holds its unit selections)")
    if not replace and remote.exists(path):
        raise PileError(f"{path} exists; give another name, or --replace (replace=True) to write it anew")
    if wrong := size_problem(listed.table):
        raise PileError(f"{path} is not written ({wrong}); make the pile with fewer tokens a segment (max_tokens, --max-tokens)")
    rows = [{"selection_id": i, "units": u.tolist(), "order_id": None} for i, u in sorted(listed.selections.items())]
    rows += [{"selection_id": None, "units": u.tolist(), "order_id": i} for i, u in sorted(listed.orders.items())]
    digest = _write_table(pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA), _beside(path))
    meta = {"format": PILE_KIND, "version": layout.VERSION, **listed.meta, "units_sha256": digest}
    if listed.published:
        meta["published"] = [_kept_place(s, path) for s in listed.published]
    _write_table(_with_stores(listed.table, lambda s: _kept_place(s, path)), path, {"neuropile": json.dumps(meta)})


def _write_table(table: pa.Table, path: Any, metadata: Mapping[str, str] = {}) -> str:
    """Write a table whole or not at all, here or far away; the SHA-256 of its bytes."""
    with object_files.writing(path) as temporary:
        parquet.write(table, temporary, metadata=metadata)
        return sha256_file(temporary)


def _with_stores(table: pa.Table, named: Callable[[str], str]) -> pa.Table:
    """A table whose stores have other names; each is asked for once."""
    stores = table.column("store").to_pylist()
    names = {s: named(s) for s in set(stores)}
    return table.set_column(SEGMENT_SCHEMA.get_field_index("store"), "store", pa.array([names[s] for s in stores], pa.string()))


def _beside(path: Any) -> Any:
    return path.parent / f"{path.stem}.units.parquet"


def _kept_place(store: str, pile: Any) -> str:
    """How a pile's file names a store: by its URL without secrets, or from where a local pile lies."""
    if "://" in store:
        return remote.public(store)
    return os.path.relpath(store, pile.resolve().parent) if isinstance(pile, Path) else str(Path(store).resolve())


def read(path: Any) -> Listed:
    """What a pile's two files hold, checked.

    Raises
    ------
    PileError : it is not a pile, it is damaged, its second file is lost or another's, or a newer neuropile wrote it
    """
    try:
        table = parquet.read(path)
        meta = json.loads((table.schema.metadata or {})[b"neuropile"])
        table = table.select(SEGMENT_SCHEMA.names).cast(SEGMENT_SCHEMA)
        if meta["format"] != PILE_KIND:
            raise ValueError(f"it says it is {meta['format']!r}")
        if meta["version"] not in layout.VERSIONS:
            raise PileError(f"{path} was written in format {meta['version']!r}; this neuropile reads format {layout.VERSION}: upgrade neuropile")
        if wrong := markers.problem(markers.PileMeta, meta):
            raise ValueError(f"its {wrong}")
        selections, orders = _read_units(path, meta)
        table.validate(full=True)  # text that is none
        _check_rows(table, selections, orders)
        _check_bins(table, as_width(meta["bin_width"]))
        _check_stores(table, meta)
    except FileNotFoundError:
        raise
    except (StoreError, BinWidthError, TypeError, *parquet.ERRORS) as e:
        raise PileError(f"{path} is not a pile ({e}); make one with: neuropile pile STORE --out NAME.parquet") from None
    published = tuple(_place(str(s), path) for s in meta.pop("published", ()))
    return Listed(_with_stores(table, lambda s: _place(s, path)), selections, orders, meta, published)


def _place(store: str, pile: Any) -> str:
    """Where a pile's store is: a URL as it is, a path from where the pile lies."""
    return store if "://" in store or not isinstance(pile, Path) else str((pile.resolve().parent / store).resolve())


def _read_units(path: Any, meta: Mapping[str, Any]) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    beside = _beside(path)
    try:
        data = remote.read_bytes(beside)
    except FileNotFoundError:
        raise PileError(f"{path} has lost its unit selections ({beside.name} must lie beside it); copy both files") from None
    if hashlib.sha256(data).hexdigest() != meta["units_sha256"]:
        raise PileError(f"{beside} does not belong to {path.name}: its content differs from what the pile was saved with; make the pile again")
    rows = parquet.parse(data, beside).to_pylist()
    found = [{r[i]: np.array(r["units"], np.int64) for r in rows if r.get(i) is not None} for i in ("selection_id", "order_id")]
    return found[0], found[1]


def _check_rows(table: pa.Table, selections: Mapping[int, np.ndarray], orders: Mapping[int, np.ndarray]) -> None:
    """Raise ValueError unless every row describes a segment that can be."""
    optional = {"subject_id", "session_digest"}
    for name in SEGMENT_SCHEMA.names:
        if name not in optional and table.column(name).null_count:
            raise ValueError(f"its column {name} has empty places")
    if wrong := size_problem(table):
        raise ValueError(wrong)
    if not set(pc.unique(table.column("split")).to_pylist()) <= set(splits.SPLITS):
        raise ValueError("its column split holds something else than train, val, test")
    for name, known in (("selection_id", selections), ("order_id", orders)):
        if not set(pc.unique(table.column(name)).to_pylist()) <= {-1, *known}:
            raise ValueError(f"its column {name} names some that are not there")
    if any(not np.array_equal(np.sort(order), np.arange(len(order))) for order in orders.values()):
        raise ValueError("one of its orders is no permutation")
    lengths = {-1: -1, **{i: len(order) for i, order in orders.items()}}
    ordered = np.array([lengths[i] for i in table.column("order_id").to_pylist()], np.int64)
    if np.any((ordered >= 0) & (ordered != table.column("n_units").to_numpy())):
        raise ValueError("one of its orders is of other units than its segments have")
    if not all(are_folders(pc.unique(table.column(c)).to_pylist()) for c in ("dataset", "session_id")):
        raise ValueError("its sessions are not names of folders")


def size_problem(table: pa.Table) -> str | None:
    """Which of some rows' sizes can be no segment's, or None.

    table : session_id, segment_id, n_units and n_bins, without empty places
    """
    n_units, n_bins = (table.column(c).to_numpy() for c in ("n_units", "n_bins"))
    for name, sizes in (("n_units", n_units), ("n_bins", n_bins)):
        if len(sizes) and sizes.min() < 1:
            return f"its column {name} holds {sizes.min()}"
    large = np.flatnonzero(n_units.astype(np.float64) * n_bins > MAX_SEGMENT_TOKENS)  # the product of integers may not fit 64 bits
    if not len(large):
        return None
    i = int(large[0])
    who = f"{table.column('session_id')[i].as_py()} {table.column('segment_id')[i].as_py()}"
    return f"its segment {who} is of {n_units[i]} units x {n_bins[i]} bins, more than {MAX_SEGMENT_TOKENS} tokens"


def are_folders(names: Iterable[str]) -> bool:
    """Whether each of some names can be a folder's."""
    return not any(n in ("", ".", "..") or "/" in n or "\0" in n for n in names)


def _check_bins(table: pa.Table, width: Fraction) -> None:
    """Raise ValueError unless every row's bins are of the pile's width and lie on a clock; sizes are checked before."""
    for num, den in set(zip(table.column("bin_num").to_pylist(), table.column("bin_den").to_pylist(), strict=True)):
        if min(num, den) < 1 or Fraction(num, den) != width:
            raise ValueError(f"it is of bins of {width} s, and some of its rows of {num}/{den} s")
    first, n_bins = table.column("first_bin").to_numpy(), table.column("n_bins").to_numpy()
    if np.any(first < -MAX_TICK) or np.any(first > MAX_TICK - n_bins):
        raise ValueError("its column first_bin holds bins that no clock reaches")


def _check_stores(table: pa.Table, meta: Mapping[str, Any]) -> None:
    """Raise ValueError unless its stores are places, those that are published folders too."""
    published = meta.get("published", [])
    if not isinstance(published, list) or not all(isinstance(s, str) for s in published):
        raise ValueError("its published folders are no list of places")
    if any("\0" in s for s in [*published, *pc.unique(table.column("store")).to_pylist()]):
        raise ValueError("its stores are not names of places")
