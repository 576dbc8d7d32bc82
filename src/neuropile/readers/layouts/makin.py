"""MATLAB 7.3 files with a grid of spike-time cells, a row a sort and a column a channel: sorted units, and apart from them what was left unsorted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import source_name
from neuropile.types import Reader, Recording, Signal, Spans, Subject, Trains

if TYPE_CHECKING:
    import h5py
    import pyarrow as pa

SPIKES, NAMES, TIME = "spikes", "chan_names", "t"
#: Behaviour, sampled at the times of `t`.
BEHAVIOUR = ("cursor_pos", "finger_pos", "target_pos")
RULE = "row of the file's grid: 1 to 4 are sorted units (good), 0 is the hash that was left unsorted (mua)"
_AREA = re.compile(r"^[A-Za-z]+[0-9]*(?=[ _-])")


@dataclass(frozen=True)
class SortGrid(Reader):
    """The reader of such files.

    pooled : one train a channel, all its rows together, silent channels too
    """

    pooled: bool = False

    def session_name(self, path: Any) -> str:
        """The file's name without its suffix."""
        return source_name.plain(path).stem

    def __call__(self, path: Any) -> Recording:
        """Open a file and return its recording, spike trains and behaviour still unread; the clock is the file's own.

        Raises
        ------
        NoEvents : it has no grid of spike cells
        UnreadableFile : it is damaged, or its parts do not fit each other
        """
        from neuropile.readers import h5

        with h5.opened(Path(path) if isinstance(path, str) else path) as file:
            refs = _references(file)
            names = _names(file, refs.shape[1])
            rows = [[(s, c) for s in range(refs.shape[0])] for c in range(refs.shape[1])]
            held = rows if self.pooled else [[cell] for own in rows for cell in own if not _is_empty(h5.target(file, refs[cell]))]
            time = _vector(file, TIME)
            name = self.session_name(path)
            return Recording(
                session_id=safe_name(name),
                units=_units(held, names, self.pooled),
                trains=Trains(len(held), _Cells(file, refs, held)),
                subject=Subject(name.partition("_")[0] or None),
                signals=_behaviour(file, time),
                observed=None if time is None else _span(time),
                span_source="spikes" if time is None else "time stamps of the behaviour",
                notes=() if time is not None else (f"no vector {TIME!r}: behaviour left out",),
                holds=", ".join(n for n, _ in h5.members(file)),
                close=file.close,
            )


def _references(file: h5py.File) -> np.ndarray:
    """The grid of references to spike cells: (sort, channel)."""
    import h5py

    from neuropile.readers import h5

    cells = h5.member(file, SPIKES)
    if not isinstance(cells, h5py.Dataset) or h5py.check_ref_dtype(cells.dtype) is not h5py.Reference or cells.ndim != 2:
        found = ", ".join(n for n, _ in h5.members(file))
        raise NoEvents(f"{file.filename}: sought {SPIKES!r}, a cell of spike times a sort and channel, found none; the file holds {found or 'nothing'}")
    h5.check_size(cells)
    return np.asarray(cells[()])


def _is_empty(cell: Any) -> bool:
    """Whether MATLAB marks a cell as empty: what is stored then is the sizes of its axes, in one row."""
    return cell is None or bool(cell.attrs.get("MATLAB_empty", 0)) or cell.ndim < 2 or 0 in cell.shape


class _Cells:
    """A unit's spike times in seconds, from its cells."""

    def __init__(self, file: h5py.File, refs: np.ndarray, held: list[list[tuple[int, int]]]) -> None:
        self._file, self._refs, self._held = file, refs, held

    def __call__(self, unit: int) -> np.ndarray:
        from neuropile.readers import h5

        with h5.clear_errors(self._file.filename):
            cells = [h5.target(self._file, self._refs[cell]) for cell in self._held[unit]]
            parts = [self._times(c) for c in cells if not _is_empty(c)]
            return np.concatenate(parts) if parts else np.empty(0)

    def _times(self, cell: Any) -> np.ndarray:
        from neuropile.readers import h5

        if cell.dtype.kind not in "iuf":
            raise UnreadableFile(f"{self._file.filename}: a cell of {SPIKES!r} holds {cell.dtype}, not spike times")
        return h5.values(cell).astype(np.float64)


def _names(file: h5py.File, n_channels: int) -> list[str]:
    """The channels' own names, or their numbers from 1 where the file has none that fit."""
    import h5py

    from neuropile.readers import h5

    cells = h5.member(file, NAMES)
    if not isinstance(cells, h5py.Dataset) or cells.size != n_channels or h5py.check_ref_dtype(cells.dtype) is not h5py.Reference:
        return [str(c + 1) for c in range(n_channels)]
    texts = [h5.target(file, r) for r in h5.values(cells)]
    names = ["" if _is_empty(t) else h5.values(t).astype("<u2").tobytes().decode("utf-16-le", "replace").strip() for t in texts]
    return names if len(set(names)) == n_channels and all(names) else [str(c + 1) for c in range(n_channels)]


def _units(held: Sequence[Sequence[tuple[int, int]]], names: list[str], pooled: bool) -> pa.Table:
    import pyarrow as pa

    channel = [own[0][1] for own in held]
    sort = [own[0][0] for own in held]
    areas = [m.group() if (m := _AREA.match(names[c])) else None for c in channel]
    columns: dict[str, Any] = {
        "unit_id": pa.array([names[c] if pooled else f"{names[c]}:{s}" for c, s in zip(channel, sort, strict=True)], pa.string()),
        "region": pa.array(areas, pa.string()),
        "probe": pa.array(areas, pa.string()),
        "src_channel": pa.array([names[c] for c in channel], pa.string()),
    }
    if not pooled:
        columns["quality"] = pa.array(["good" if s else "mua" for s in sort], pa.string())
        columns["quality_rule"] = pa.array([RULE] * len(sort), pa.string())
        columns["src_sort"] = pa.array(sort, pa.int64())
    return pa.table(columns)


def _vector(file: h5py.File, name: str) -> np.ndarray | None:
    import h5py

    from neuropile.readers import h5

    found = h5.member(file, name)
    if not isinstance(found, h5py.Dataset) or found.ndim != 2 or found.size < 2 or found.dtype.kind != "f":
        return None
    return h5.values(found).astype(np.float64)


def _span(time: np.ndarray) -> Spans:
    """From the first sample of the behaviour to the end of the last."""
    return Spans.of(time[0], time[-1] + float(np.median(np.diff(time))))


def _behaviour(file: h5py.File, time: np.ndarray | None) -> dict[str, Signal]:
    import h5py

    from neuropile.readers import h5

    found: dict[str, Signal] = {}
    for name in BEHAVIOUR if time is not None else ():
        data = h5.member(file, name)
        if isinstance(data, h5py.Dataset) and data.ndim == 2 and time is not None and data.shape[1] == len(time) and data.dtype.kind == "f":
            h5.check_size(data)
            found[name] = Signal(_Turned(data), ("time", "axis"), time_s=time)
    return found


class _Turned:
    """A dataset with its two axes changed over: MATLAB's come reversed."""

    def __init__(self, data: h5py.Dataset) -> None:
        self._data = data
        self.shape, self.dtype = data.shape[::-1], data.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        from neuropile.readers import h5

        rows, *rest = key if isinstance(key, tuple) else (key,)
        with h5.clear_errors(self._data.file.filename):
            return np.asarray(self._data[(*rest, rows) if rest else (slice(None), rows)]).T


def sorts(*, pooled: bool = False) -> SortGrid:
    """The reader of such files; see SortGrid."""
    return SortGrid(pooled)
