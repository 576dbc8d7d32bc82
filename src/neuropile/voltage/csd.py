"""Current source density: as Allen stores it beside the LFP, or computed from the voltage along a probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import remote
from neuropile.errors import NeuropileError, UnreadableFile

if TYPE_CHECKING:
    import xarray as xr

#: Of grey matter, in siemens a metre (Goto et al. 2010, J Neurophysiol 104:3388).
GREY_MATTER_S_PER_M = 0.3
_MODULE = "processing/current_source_density"
_PLACES = ("ecephys_csd/current_source_density", "ecephys_csd", "current_source_density")


def stored(path: Any) -> xr.DataArray:
    """The current source density that an LFP file of Allen holds: the mean response to a flash.

    Returns
    -------
    csd : (time, channel) as stored, with the coordinates time (s from the flash's onset) and, where they are told, lateral_um and
        depth_um of each virtual channel; `attrs["units"]` is the file's own (V/cm^2: the second difference, without a conductivity)

    Raises
    ------
    UnreadableFile : the file holds none, or it is damaged
    """
    import xarray as xr

    from neuropile.readers.nwb import tree

    place = remote.as_path(path)
    with tree.opened(place) as file:
        module = tree.member(file, _MODULE)
        series = next((s for p in _PLACES if tree.is_group(module) and tree.is_group(s := tree.member(module, p)) and tree.member(s, "data") is not None), None)
        if series is None:
            held = ", ".join(n for n, _ in tree.members(g)) if tree.is_group(g := tree.member(file, "processing")) else ""
            raise UnreadableFile(f"{place}: sought {_MODULE}, which Allen's LFP files hold; found {held or 'nothing'} under processing")
        data, stamps = tree.member(series, "data"), tree.member(series, "timestamps")
        if data.ndim != 2 or data.dtype.kind not in "iuf" or not tree.is_array(stamps) or stamps.shape != data.shape[:1]:
            raise UnreadableFile(f"{place}: {series.name}/data has shape {data.shape}; sought time x virtual channel, with a time stamp each")
        for array in (data, stamps):
            tree.check_size(array)
        coords: dict[str, Any] = {"time": ("time", np.asarray(stamps[:], np.float64))}
        for name, values in _positions(module, series).items():
            if values.shape == data.shape[1:]:
                coords[name] = ("channel", values)
        units = tree.text(data.attrs.get("unit", ""))
        found = xr.DataArray(np.asarray(data[:]), dims=("time", "channel"), coords=coords, name="csd", attrs={"units": units})
        file.close()
    return found


def _positions(module: Any, series: Any) -> dict[str, np.ndarray]:
    """Where the virtual channels lie: two columns beside the series, or, in older files, pairs in its `control`."""
    from neuropile.readers.nwb import tree

    names = {"lateral_um": "virtual_electrode_x_positions", "depth_um": "virtual_electrode_y_positions"}
    holders = [module, tree.member(module, "ecephys_csd"), series]
    arrays = {ours: next((a for h in holders if tree.is_group(h) and tree.is_array(a := tree.member(h, theirs))), None) for ours, theirs in names.items()}
    if all(a is not None for a in arrays.values()):
        return {ours: np.asarray(tree.values(a), np.float64) for ours, a in arrays.items()}
    pairs = tree.member(series, "control")
    if not tree.is_array(pairs) or pairs.ndim != 2 or pairs.shape[1] != 2:
        return {}
    both = np.asarray(tree.values(pairs), np.float64).reshape(-1, 2)
    return {"lateral_um": both[:, 0], "depth_um": both[:, 1]}


def current_source_density(voltage: xr.DataArray, conductivity_s_per_m: float = GREY_MATTER_S_PER_M) -> xr.DataArray:
    """The current that leaves the tissue's cells at each depth, from the second difference of the voltage along the probe.

    csd = -conductivity * d2V/dz2, in A/m3: sinks, where current flows into cells, are negative (Nicholson & Freeman 1975,
    J Neurophysiol 38:356). Channels at one depth are averaged first. At uneven distances h below and k above,
    d2V/dz2 = 2 * ((V_up - V) / k - (V - V_down) / h) / (h + k).

    Parameters
    ----------
    voltage : (time, channel) in volts with the coordinate depth_um (channel), such as `Voltage.read` gives

    Returns
    -------
    csd : (time, depth) with the coordinates time and depth_um, from the second depth to the last but one

    Raises
    ------
    NeuropileError : depths are not known, or fewer than three differ
    """
    import xarray as xr

    if "depth_um" not in voltage.coords:
        raise NeuropileError("the voltage's channels have no depth_um, along which to differentiate: assign it, as voltage.assign_coords(depth_um=...)")
    depth = np.asarray(voltage["depth_um"].values, np.float64)
    known = np.isfinite(depth)
    levels, level = np.unique(depth[known], return_inverse=True)
    if len(levels) < 3:
        raise NeuropileError(f"a second difference takes three depths, found {len(levels)}")
    values = np.asarray(voltage.transpose("time", "channel").values, np.float64)[:, known]
    mean = np.stack([values[:, level == i].mean(axis=1) for i in range(len(levels))], axis=1)
    steps = np.diff(levels) * 1e-6
    slopes = np.diff(mean, axis=1) / steps
    curvature = 2 * np.diff(slopes, axis=1) / (steps[1:] + steps[:-1])
    coords = {**{n: voltage.coords[n] for n in ("time", "valid") if n in voltage.coords}, "depth_um": ("depth", levels[1:-1])}
    return xr.DataArray(-conductivity_s_per_m * curvature, dims=("time", "depth"), coords=coords, name="csd", attrs={"units": "A/m^3"})
