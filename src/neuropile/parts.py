"""The interval tables and the signals of a stored session: names now, values when one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NotThere

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def _why(name: str, absent: Mapping[str, str]) -> str:
    return f" ({absent[name]})" if name in absent else ""


class Intervals(Mapping[str, Any]):
    """Interval tables by name, as pandas; each is read once.

    key : the session's, for messages; read : gives a table by its name; absent : why some are not there
    """

    def __init__(self, key: str, names: Sequence[str], read: Callable[[str], pd.DataFrame], absent: Mapping[str, str] | None = None) -> None:
        self._key, self._names, self._read, self._absent = key, tuple(names), read, absent or {}
        self._known: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._names:
            raise NotThere(f"{self._key}: no intervals {name!r}{_why(name, self._absent)}; there are {', '.join(self._names)}")
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<Intervals of {self._key}: {', '.join(self)}>"


class Signals(Mapping[str, Any]):
    """Signals by name, as lazy xarray.DataArrays with their times.

    key : the session's, for messages; path : the Zarr group that holds one group a signal
    files : of each file below it the size, and of metadata the digest; absent : why some signals are not there
    """

    def __init__(self, key: str, names: Sequence[str], path: Any, files: Mapping[str, Mapping[str, Any]], absent: Mapping[str, str] | None = None) -> None:
        self._key, self._names, self._path, self._files, self._absent = key, tuple(names), path, files, absent or {}

    def _store(self, name: str) -> Any:
        from neuropile import listed

        if name not in self._names:
            raise NotThere(f"{self._key}: no signal {name!r}{_why(name, self._absent)}; there are {', '.join(self) or 'none'}")
        return listed.opened(self._path, self._files)

    def group(self, name: str) -> Any:
        """A signal as its Zarr group: the array `data` and, where samples are not evenly spaced, their `time`."""
        import zarr

        return zarr.open_group(self._store(name), path=name, mode="r", zarr_format=3, use_consolidated=False)

    def __getitem__(self, name: str) -> xr.DataArray:
        import xarray as xr

        from neuropile import listed

        store = self._store(name)
        with listed.clear_errors(self._path / name):
            data = xr.open_zarr(store, group=name, consolidated=False, zarr_format=3, chunks=None)
            array = listed.telling(data["data"], self.group(name)["data"], self._path / name).assign_attrs(data.attrs).rename(name)
        if "time" in data.variables:
            return array.assign_coords(time=data["time"])
        if "start_s" in data.attrs:
            return array.assign_coords(time=data.attrs["start_s"] + np.arange(array.sizes["time"]) / data.attrs["rate_hz"])
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<Signals of {self._key}: {', '.join(self) or 'none'}>"
