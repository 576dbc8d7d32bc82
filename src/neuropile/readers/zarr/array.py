"""How a Zarr array is stored, from its metadata alone: shape, type, chunks and codecs, and whether they may be decoded."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Codecs that turn bytes into numbers and text and nothing else.
_CODECS = frozenset(
    {
        "blosc", "zstd", "gzip", "zlib", "bz2", "lzma", "lz4", "shuffle", "delta", "fixedscaleoffset",
        "bytes", "transpose", "crc32c", "sharding_indexed", "vlen-utf8", "vlen-bytes", "json2",
    }
)  # fmt: skip
_TEXT_CODECS = frozenset({"vlen-utf8", "vlen-bytes", "json2"})
_NUMBERS = frozenset({"bool", *(f"{k}{n}" for k in ("int", "uint") for n in (8, 16, 32, 64)), "float16", "float32", "float64"})
_TEXTS = frozenset({"string", "variable_length_bytes"})
_MAX_DIMENSIONS = 32
#: Columns in which a whole chunk of zeros is no data; of `start_time` and the like, where there is more than one.
_NEVER_ZERO = ("spike_times", "spike_times_index")
_NEVER_ZEROS = ("id", "obs_intervals", "obs_intervals_index", "timestamps", "start_time", "stop_time")


@dataclass(frozen=True)
class Layout:
    """An array's metadata, checked.

    dtype : of its numbers; object for text and for what cannot be read
    codecs : every codec's name, those inside shards too
    unread : why it is not to be decoded, in a few words; empty where it can be
    """

    metadata: dict[str, Any]
    format: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    codecs: tuple[str, ...]
    unread: str

    @classmethod
    def of(cls, metadata: dict[str, Any], number: int) -> Layout:
        """The layout that the metadata of a Zarr 2 or 3 array describes; ValueError and the like where it describes none."""
        shape = _sizes(metadata["shape"])
        if number == 2:
            chunks, codecs, dtype = _sizes(metadata["chunks"]), _names_2(metadata), _dtype_2(metadata["dtype"])
        else:
            if metadata["chunk_grid"]["name"] != "regular":
                raise ValueError(f"chunk grid {metadata['chunk_grid']['name']}")
            chunks = _sizes(metadata["chunk_grid"]["configuration"]["chunk_shape"])
            codecs, dtype = _names_3(metadata["codecs"]), _dtype_3(metadata["data_type"])
        if len(chunks) != len(shape) or 0 in chunks:
            raise ValueError(f"chunks {chunks} of shape {shape}")
        return cls(metadata, number, shape, chunks, np.dtype(object) if dtype is None else dtype, codecs, _why_not(codecs, dtype, metadata))

    @property
    def is_object(self) -> bool:
        """Whether it is text of any length."""
        return self.dtype.kind == "O"

    @property
    def decoders(self) -> list[dict[str, Any]]:
        """The codecs of text in the order in which they decode, by numcodecs' names and what those need."""
        if self.format == 3:
            return [{"id": name} for name in reversed(self.codecs)]
        return [dict(c) for c in [self.metadata.get("compressor"), *reversed(self.metadata.get("filters") or [])] if c]

    @property
    def has_blosc(self) -> bool:
        """Whether each stored chunk begins with a header of blosc."""
        return bool(self.codecs) and self.codecs[0 if self.format == 2 else -1] == "blosc"

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks lie along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def n_chunks(self) -> int:
        """How many chunks the array has, stored or not."""
        return math.prod(self.grid)

    def key(self, index: tuple[int, ...]) -> str:
        """The name of a chunk's file inside the array's folder."""
        if self.format == 2:
            return str(self.metadata.get("dimension_separator", ".")).join(map(str, index)) or "0"
        encoding = self.metadata.get("chunk_key_encoding", {})
        plain = encoding.get("name") == "v2"
        separator = (encoding.get("configuration") or {}).get("separator", "." if plain else "/")
        return separator.join([*([] if plain else ["c"]), *map(str, index)]) or "0"


def is_text(layout: Layout) -> bool:
    """Whether its values are texts, or bytes that are texts."""
    return layout.dtype.kind in "SU" or (layout.dtype.kind == "O" and not layout.unread)


def fill_is_damage(name: str, n_values: int) -> bool:
    """Whether a chunk of this array that is not stored is damage and not, as Zarr 3 has it, a chunk of fill values."""
    own = name.rsplit("/", 1)[-1]
    return own in _NEVER_ZERO or (own in _NEVER_ZEROS and n_values > 1)


def reference_of(value: Any) -> dict[str, Any] | None:
    """An object reference as a mapping of `source` and `path`: from that, from its JSON, or from a path alone, as Zarr 3 files have it."""
    if isinstance(value, str) and value.startswith("/"):
        return {"source": ".", "path": value}
    if isinstance(value, str | bytes) and len(value):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > _MAX_DIMENSIONS or not all(type(v) is int and 0 <= v < 2**63 for v in values):
        raise ValueError(f"sizes {str(values)[:80]}")
    return tuple(values)


def _names_2(metadata: dict[str, Any]) -> tuple[str, ...]:
    codecs = [metadata.get("compressor"), *(metadata.get("filters") or [])]
    return tuple(str(c["id"]) for c in codecs if c is not None)


def _names_3(codecs: list[Any]) -> tuple[str, ...]:
    found: list[str] = []
    for codec in codecs:
        name, inner = (codec, {}) if isinstance(codec, str) else (codec["name"], codec.get("configuration") or {})
        found.append(str(name).removeprefix("numcodecs."))
        if name == "sharding_indexed":
            found += [f"{n} in shards" if n == "blosc" else n for n in _names_3([*inner["codecs"], *inner.get("index_codecs", [])])]
    return tuple(found)


def _dtype_2(name: Any) -> np.dtype | None:
    """None for what is neither numbers nor text: compounds."""
    if not isinstance(name, str):
        return None
    dtype = np.dtype(name)
    return dtype if dtype.kind in "iufbSUO" and (dtype.itemsize or dtype.kind in "SU") else None


def _dtype_3(name: Any) -> np.dtype | None:
    if isinstance(name, str) and name in _NUMBERS:
        return np.dtype(name)
    return np.dtype(object) if isinstance(name, str) and name in _TEXTS else None


def _why_not(codecs: tuple[str, ...], dtype: np.dtype | None, metadata: dict[str, Any]) -> str:
    if "pickle" in codecs:
        return "is stored as Python pickles, which are never decoded"
    strange = [c for c in codecs if c not in _CODECS]
    if strange:
        return f"is stored with {strange[0]}, which is not decoded here"
    if dtype is not None and dtype.kind == "O" and {"transpose", "sharding_indexed"} & set(codecs):
        return "holds text in shards or turned around, which is not decoded here"
    if dtype is None or (dtype.kind == "O" and not _TEXT_CODECS & set(codecs)):
        return f"holds {str(metadata.get('dtype', metadata.get('data_type')))[:40]}, which is no column of numbers or text"
    return ""
