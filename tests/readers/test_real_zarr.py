"""A real recording in HDF5 and in Zarr: one and the same."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from neuropile.readers import nwb

pytestmark = pytest.mark.real


@pytest.fixture
def pair(real_data):
    """The recording read from either, and what the manifest expects."""
    (h5,) = (real_data / "nwb-mouse-thalamus").glob("*.nwb")
    (folder,) = (real_data / "nwb-mouse-thalamus-zarr").glob("*.nwb.zarr")
    datasets = yaml.safe_load((real_data / "MANIFEST.yaml").read_text(encoding="utf-8"))["datasets"]
    with nwb.units()(h5) as a, nwb.units()(folder) as b:
        yield a, b, next(d["expected"] for d in datasets if d["name"] == "nwb-mouse-thalamus-zarr")


def test_spikes_are_the_same_and_the_manifests(pair):
    ours, zarr, expected = pair
    trains = [zarr.trains.read(u) for u in range(zarr.trains.n_units)]
    assert (len(trains), sum(map(len, trains))) == (expected["units"], expected["spikes"])
    assert (min(t.min() for t in trains), max(t.max() for t in trains)) == (expected["first_spike_s"], expected["last_spike_s"])
    for unit, times in enumerate(trains):
        np.testing.assert_array_equal(times, ours.trains.read(unit))


def test_all_but_the_pickled_column_is_the_same(pair):
    ours, zarr, _ = pair
    assert zarr.units.equals(ours.units.select(zarr.units.column_names))
    assert set(ours.units.column_names) - set(zarr.units.column_names) == {"src_electrode_group"}
    assert any("left out of the electrodes: group (it is stored as Python pickles" in n for n in zarr.notes)
    assert set(zarr.intervals) == set(ours.intervals)
    assert repr(zarr.intervals["trials"].to_pydict()) == repr(ours.intervals["trials"].to_pydict())
    assert (zarr.subject, zarr.span_source, zarr.session_id) == (ours.subject, ours.span_source, "sub_anm00239123")
    assert {k: v for k, v in zarr.source.items() if k != "src_nwb_version"} == {k: v for k, v in ours.source.items() if k != "src_nwb_version"}
    for name, signal in ours.signals.items():
        np.testing.assert_array_equal(zarr.signals[name].data[0:4], signal.data[0:4])
