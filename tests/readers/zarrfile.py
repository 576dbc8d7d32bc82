"""NWB in Zarr for tests: an HDF5 file laid out anew as hdmf-zarr does, before 0.14 (Zarr 2) and since (Zarr 3)."""

from __future__ import annotations

import json
import warnings

import h5py
import numpy as np
import zarr

#: What a decoder of pickles would run: it makes the file `unpickled` where the test looks for it.
BOMB = b"cos\nsystem\n(S'touch %s'\ntR."


def as_zarr(source, folder, zarr_format, bomb=BOMB % b"unpickled", consolidated=True):
    """Lay out an HDF5 file's groups, arrays, attributes and references as a Zarr folder."""
    root = zarr.create_group(store=str(folder), zarr_format=zarr_format)
    with h5py.File(source) as file, warnings.catch_warnings(), zarr.config.set({"array.write_empty_chunks": zarr_format == 2}):
        warnings.simplefilter("ignore")
        root.attrs.update(_attributes(file))
        for name, child in list(file.items()):  # h5py holds a lock while it goes through them
            if name != "specifications":
                _copy(child, root, name, zarr_format, folder, bomb)
        if consolidated and zarr_format == 3:
            zarr.consolidate_metadata(str(folder), zarr_format=3)
    if consolidated and zarr_format == 2:  # by hand: zarr opens no array of pickles
        found = {p.relative_to(folder).as_posix(): json.loads(p.read_text()) for p in folder.rglob(".z*")}
        (folder / ".zmetadata").write_text(json.dumps({"metadata": found, "zarr_consolidated_format": 1}))
    return folder


def _copy(obj, parent, name, zarr_format, folder, bomb):
    if isinstance(obj, h5py.Group):
        group = parent.create_group(name)
        group.attrs.update(_attributes(obj))
        for below, child in list(obj.items()):
            _copy(child, group, below, zarr_format, folder, bomb)
        return
    kind = "object" if h5py.check_ref_dtype(obj.dtype) else "str" if h5py.check_string_dtype(obj.dtype) else str(obj.dtype)
    if kind == "object" and zarr_format == 2:
        pickled(folder / parent.path / name, obj.shape, bomb)
    values = obj[()]
    if kind == "object":
        values = np.array([obj.file[r].name for r in np.ravel(values)], object).reshape(obj.shape)
    elif kind == "str":
        values = obj.asstr()[()]
    values = np.asarray(values)
    shape = (1,) if zarr_format == 2 and not values.shape else values.shape
    if not (kind == "object" and zarr_format == 2):
        dtype = "str" if kind in ("object", "str") else values.dtype
        chunks = tuple(max(-(-n // 2), 1) for n in shape)
        array = parent.create_array(name, shape=shape, dtype=dtype, chunks=chunks if shape else "auto")
        if values.size:
            array[...] = values.reshape(shape)
    tag = {"zarr_dtype": "scalar" if not values.shape else kind} if zarr_format == 2 else {"_DTYPE": "object_reference" if kind == "object" else kind}
    path = folder / parent.path / name
    if zarr_format == 2:
        (path / ".zattrs").write_text(json.dumps({**_attributes(obj), **tag}))
    else:
        array.attrs.update({**_attributes(obj), **tag})


def pickled(path, shape, bomb=BOMB % b"unpickled"):
    """An array of objects whose chunk is a pickle."""
    path.mkdir(parents=True, exist_ok=True)
    meta = {"chunks": list(shape), "compressor": None, "dtype": "|O", "fill_value": 0, "filters": [{"id": "pickle", "protocol": 5}]}
    (path / ".zarray").write_text(json.dumps({**meta, "order": "C", "shape": list(shape), "zarr_format": 2}))
    (path / ".zattrs").write_text(json.dumps({"zarr_dtype": "object"}))
    (path / ".".join("0" for _ in shape)).write_bytes(bomb)


def _attributes(obj):
    return {k: _plain(obj, v) for k, v in obj.attrs.items()}


def _plain(obj, value):
    if isinstance(value, h5py.Reference):
        return {"zarr_dtype": "object", "value": {"source": ".", "path": obj.file[value].name}}
    if isinstance(value, np.ndarray):
        return [_plain(obj, v) for v in value.tolist()]
    return value.decode() if isinstance(value, bytes) else value.item() if isinstance(value, np.generic) else value


def edit(folder, name, **changes):
    """Change an array's metadata."""
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
