"""What a recipe knows of files that they do not say: it is added, and the rest stays as it was."""

import numpy as np
from nwbfile import add_units
from pynwb import TimeSeries

from neuropile.readers import nwb as nwb_reader
from neuropile.readers import told

UNITS = nwb_reader.units()


def test_only_wanted_signals_are_kept_and_the_others_are_named(nwb, write, read) -> None:
    for name in ("hand_pos", "hand_vel", "joint_ang"):
        nwb.add_acquisition(TimeSeries(name=name, data=np.zeros(3), rate=10.0, unit="m"))
    recording = read(write(add_units(nwb)), told.signals(UNITS, "hand_*"))
    assert set(recording.signals) == {"hand_pos", "hand_vel"}
    assert recording.notes[-1] == "signals left out, not wanted here: joint_ang"


def test_the_quantity_is_the_one_told_and_the_rest_is_as_read(nwb, write, read) -> None:
    path = write(add_units(nwb))
    plain, ours = read(path, UNITS), read(path, told.quantity(UNITS, "threshold_crossings"))
    assert ours.quantity == "threshold_crossings"
    assert ours.units.equals(plain.units)
    assert ours.session_id == plain.session_id


def test_one_quality_of_all_units_takes_the_place_of_the_files(nwb, write, read) -> None:
    recording = read(write(add_units(nwb, quality=["good", "noise", "good", "good"])), told.quality(UNITS, "mua", "known"))
    assert recording.units.column("quality").to_pylist() == ["mua"] * 4
    assert recording.units.column("src_quality").to_pylist() == ["good", "noise", "good", "good"]


def test_readers_around_others_are_values() -> None:
    assert told.signals(UNITS, "a") == told.signals(UNITS, "a")
    assert len({told.quantity(UNITS, "counts"), told.quantity(UNITS, "counts"), told.quantity(UNITS, "spikes")}) == 2
    assert "NwbUnits" in repr(told.quantity(UNITS, "counts"))
