"""What NWB files of tests are made of."""

from __future__ import annotations

import numpy as np

TRAINS = [[0.5, 0.1, 2.25], [], [-1.5, 0.0, 3.0, np.nan], [7.125]]


def add_units(nwb, trains=TRAINS, **columns):
    """A unit a train; each keyword is a column, a value a unit."""
    for name, values in columns.items():
        if name not in ("obs_intervals", "electrodes", "electrode_group", "id"):
            nwb.add_unit_column(name, name, index=isinstance(values[0], list))
    for i, times in enumerate(trains):
        nwb.add_unit(spike_times=times, **{name: values[i] for name, values in columns.items()})
    return nwb


def add_electrodes(nwb, locations, groups=("probeA",), ids=None, **columns):
    """An electrode a location, dealt over the groups in turn."""
    device = nwb.create_device("device")
    made = [nwb.create_electrode_group(g, "a probe", "somewhere", device) for g in groups]
    for name in columns:
        nwb.add_electrode_column(name, name)
    for i, location in enumerate(locations):
        own = {name: values[i] for name, values in columns.items()}
        nwb.add_electrode(id=None if ids is None else ids[i], location=location, group=made[i % len(made)], **own)
    return made


def column(recording, name):
    return recording.units.column(name).to_pylist()
