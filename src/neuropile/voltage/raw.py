"""Interleaved samples of a raw file, flat or in compressed chunks, read only where they are asked for."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuropile import linked, remote
from neuropile.errors import UnreadableFile

#: Of a flat file so many bytes are held at a time.
_BLOCK_BYTES = 16 << 20
#: A chunk of one second of 384 channels at 30 kHz has 23 MB; more than this is a damaged header.
_MAX_CHUNK_BYTES = 1 << 28
_MAX_HEADER_BYTES = 64 << 20
_MAX_CHANNELS = 100_000
#: zlib makes at most 1032 bytes of one.
_MAX_RATIO = 1040


@dataclass(frozen=True)
class Flat:
    """A file of nothing but samples: all channels of one, then of the next.

    dtype : of a value; n_channels : all that are interleaved
    """

    path: Any
    n_samples: int
    n_channels: int
    dtype: np.dtype

    def blocks(self, first: int, last: int, columns: np.ndarray) -> Iterator[np.ndarray]:
        """The samples [first, last) of some channels, some samples at a time: (sample, channel) each."""
        row = self.n_channels * self.dtype.itemsize
        step = max(_BLOCK_BYTES // row, 1)
        for a in range(first, last, step):
            b = min(a + step, last)
            data = _part(self.path, a * row, b * row)
            yield np.frombuffer(data, self.dtype).reshape(b - a, self.n_channels)[:, columns]


@dataclass(frozen=True)
class Chunked:
    """A `.cbin` file of mtscomp: chunks of samples compressed by zlib one by one, listed in the `.ch` file beside it.

    Inside a chunk values are differences: to the sample before, where `time_diff` says so, then to the channel before
    where `space_diff` does (https://github.com/int-brain-lab/mtscomp).

    bounds : (chunk + 1,) the first sample of each chunk, then how many there are
    offsets : (chunk + 1,) the first byte of each chunk, then the file's size
    order : "F" where a channel's values lie together in a chunk, "C" where a sample's do
    """

    path: Any
    dtype: np.dtype
    n_channels: int
    rate_hz: float
    bounds: np.ndarray
    offsets: np.ndarray
    order: str = "F"
    time_diff: bool = True
    space_diff: bool = False

    @property
    def n_samples(self) -> int:
        """Samples of all chunks."""
        return int(self.bounds[-1])

    def blocks(self, first: int, last: int, columns: np.ndarray) -> Iterator[np.ndarray]:
        """The samples [first, last) of some channels, those of one chunk at a time: (sample, channel) each."""
        if last <= first:
            return
        at = int(np.searchsorted(self.bounds, first, "right")) - 1
        while self.bounds[at] < last:
            start = int(self.bounds[at])
            yield self._chunk(at, columns, min(last, int(self.bounds[at + 1])) - start)[max(first - start, 0) :]
            at += 1

    def _chunk(self, at: int, columns: np.ndarray, n: int) -> np.ndarray:
        """The first n samples of a chunk."""
        n_all = int(self.bounds[at + 1] - self.bounds[at])
        begins, ends = int(self.offsets[at]), int(self.offsets[at + 1])
        n_bytes = n_all * self.n_channels * self.dtype.itemsize
        where = f"{self.path}: chunk {at} of {len(self.bounds) - 1} (samples {self.bounds[at]} to {self.bounds[at + 1]})"
        if n_bytes > min(_MAX_CHUNK_BYTES, _MAX_RATIO * (ends - begins)):
            raise UnreadableFile(f"{where} announces {n_bytes} bytes in {ends - begins} compressed ones: the .ch file is damaged; fetch it again")
        packed = _part(self.path, begins, ends)
        unpack = zlib.decompressobj()
        try:
            data = unpack.decompress(packed, n_bytes + 1)
        except zlib.error as e:
            raise UnreadableFile(f"{where} is damaged ({e}); fetch the file again") from None
        if len(data) != n_bytes or not unpack.eof:
            raise UnreadableFile(f"{where} is damaged: it holds {len(data)} bytes of {n_bytes}; fetch the file again")
        values = np.frombuffer(data, self.dtype).reshape((n_all, self.n_channels), order="F" if self.order == "F" else "C")[:n]
        if self.space_diff:
            values = np.cumsum(values[:, : int(columns.max(initial=-1)) + 1], axis=1, dtype=self.dtype)
        values = values[:, columns]
        return np.cumsum(values, axis=0, dtype=self.dtype) if self.time_diff else values


def _part(path: Any, start: int, stop: int) -> bytes:
    try:
        return remote.read_ranges(path, [(start, stop)])[0]
    except OSError as e:
        raise UnreadableFile(f"{path}: bytes {start} to {stop} cannot be read ({e}); was the file changed? open it again") from None


def header(path: Any) -> dict[str, Any]:
    """What a `.ch` file says.

    Raises
    ------
    UnreadableFile : it is no such file
    """
    try:
        if path.stat().st_size > _MAX_HEADER_BYTES:
            raise UnreadableFile(f"{path}: {path.stat().st_size} bytes are no .ch file of mtscomp")
        found = json.loads(remote.read_bytes(path))
    except (ValueError, RecursionError) as e:
        raise UnreadableFile(f"{path}: not the .ch file of mtscomp ({e}); fetch it again") from None
    lists = ("chunk_bounds", "chunk_offsets")
    if not isinstance(found, dict) or not {*lists, "n_channels", "dtype", "sample_rate"} <= set(found):
        raise UnreadableFile(f"{path}: not the .ch file of mtscomp (sought chunk_bounds, chunk_offsets, n_channels, dtype, sample_rate)")
    if not all(isinstance(found[k], list) and found[k] for k in lists) or not isinstance(found["dtype"], str):
        raise UnreadableFile(f"{path}: its chunks or its dtype are not told as mtscomp tells them: it is damaged; fetch it again")
    return found


def chunked(path: Any, said: dict[str, Any]) -> Chunked:
    """A `.cbin` file, by what its `.ch` file says, checked.

    Raises
    ------
    UnreadableFile : the header contradicts itself, or the file is cut off
    """
    try:
        bounds, offsets = (np.array(said[k], np.int64) for k in ("chunk_bounds", "chunk_offsets"))
        n_channels, rate, dtype = int(said["n_channels"]), float(said["sample_rate"]), np.dtype(said["dtype"])
    except (TypeError, ValueError, OverflowError, SyntaxError) as e:
        raise UnreadableFile(f"{path}: its .ch file is damaged ({e}); fetch it again") from None
    rising = all(len(v) >= 2 and v[0] == 0 and (np.diff(v) > 0).all() for v in (bounds, offsets) if v.ndim == 1)
    wrong = {
        "chunk_bounds and chunk_offsets must rise from 0, one entry more than there are chunks": not (
            bounds.ndim == offsets.ndim == 1 and rising and len(bounds) == len(offsets)
        ),
        f"{n_channels} channels": not 0 < n_channels <= _MAX_CHANNELS,
        f"{rate} samples a second": not (np.isfinite(rate) and rate > 0),
        f"values of type {dtype}": dtype.kind not in "iuf",
        f"algorithm {said.get('algorithm')!r}, where only zlib is known": said.get("algorithm", "zlib") != "zlib",
        f"chunk_order {said.get('chunk_order')!r}": said.get("chunk_order", "F") not in ("C", "F"),
    }
    said_wrong = next((what for what, is_wrong in wrong.items() if is_wrong), None)
    if said_wrong is not None:
        raise UnreadableFile(f"{path}: its .ch file is damaged or of another version ({said_wrong}); fetch it again")
    size = linked.size(path)
    if size != offsets[-1]:
        held = int(np.searchsorted(offsets, size, "right")) - 1
        raise UnreadableFile(
            f"{path}: {size} bytes, but its .ch file tells of {offsets[-1]}: of {len(bounds) - 1} chunks {held} are whole; fetch the file again"
        )
    differs = {"time_diff": bool(said.get("do_time_diff", True)), "space_diff": bool(said.get("do_spatial_diff", False))}
    return Chunked(path, dtype, n_channels, rate, bounds, offsets, said.get("chunk_order", "F"), **differs)
