"""Mean waveforms of units near their peaks, with the channels and times they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile.errors import NotThere

if TYPE_CHECKING:
    import xarray as xr

    from neuropile.session import Session

#: Nominal; a probe's own rate is taken where its source tells it.
_RATE_HZ = 30_000.0


def mean_waveforms(session: Session, units: Any = None) -> xr.DataArray:
    """Mean waveforms in uV, (unit, channel, time), on the channels around each unit's peak (AllenSDK: `mean_waveforms`).

    units : as in `Session.rows_of`

    Coordinates: unit_id, channel_id (unit, channel), an empty text where a unit has fewer channels, and time in seconds
    from the first sample, by the units' own probe, or by the mean rate of several.
    """
    import xarray as xr

    if "waveform_channel_id" not in session.signals:
        raise NotThere(f"{session.key}: no mean waveforms by channel in it")
    rows = session.rows_of(units)
    values = session.signals["waveform_mean"][rows].to_numpy()
    ids = session.signals["waveform_channel_id"][rows].to_numpy()
    rates = {p["name"]: p["sampling_rate"] for p in session.record["source"].get("src_probes", ()) if p["sampling_rate"]}
    own = [rates.get(p, _RATE_HZ) for p in session.units["probe"].iloc[rows]]
    coords = {
        "unit_id": ("unit", session.units["unit_id"].iloc[rows].to_numpy(object)),
        "channel_id": (("unit", "channel"), np.where(ids < 0, "", ids.astype(str)).astype(object)),
        "time": ("time", np.arange(values.shape[2]) / (np.mean(own) if own else _RATE_HZ)),
    }
    return xr.DataArray(values, dims=("unit", "channel", "time"), coords=coords, name="waveform_mean", attrs={"unit": "uV"})
