"""Current source density: what Allen's files hold, and what follows from voltage of a known curvature."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from pynwb import NWBHDF5IO
from recorded import lfp_file

from neuropile.errors import NeuropileError, UnreadableFile
from neuropile.voltage import csd, open_voltage


@pytest.fixture(scope="module")
def lfp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    times = np.arange(500) / 1250
    return lfp_file(tmp_path_factory.mktemp("csd") / "lfp.nwb", rng.normal(size=(500, 6)), times, csd=rng.normal(size=(440, 30)))


def test_what_the_file_holds_is_what_pynwb_reads(lfp: Path) -> None:
    with NWBHDF5IO(lfp, "r") as io:
        series = io.read().processing["current_source_density"]["current_source_density"]
        data, stamps, places = series.data[:], series.timestamps[:], series.control[:]
    found = csd.stored(lfp)
    np.testing.assert_array_equal(found.values, data)
    np.testing.assert_array_equal(found.time.values, stamps)
    np.testing.assert_array_equal(found.depth_um.values, places[:, 1])
    np.testing.assert_array_equal(found.lateral_um.values, places[:, 0])
    assert (found.dims, found.attrs["units"]) == (("time", "channel"), "V/cm^2")


def test_the_newer_layout_with_positions_beside_reads_the_same(lfp: Path, tmp_path: Path) -> None:
    """AllenSDK wraps the series in a group `ecephys_csd` of an extension of its own."""
    path = tmp_path / "x.nwb"
    path.write_bytes(lfp.read_bytes())
    with h5py.File(path, "r+") as f:
        module = f["processing/current_source_density"]
        places = module["current_source_density/control"][:]
        holder = module.create_group("ecephys_csd")
        holder["virtual_electrode_x_positions"], holder["virtual_electrode_y_positions"] = places.T
        module.move("current_source_density", "ecephys_csd/current_source_density")
        del holder["current_source_density/control"]
    assert csd.stored(path).identical(csd.stored(lfp))


def test_a_file_without_one_or_with_a_damaged_one_is_told(lfp: Path, tmp_path: Path) -> None:
    plain = lfp_file(tmp_path / "plain.nwb", np.zeros((5, 3)), np.arange(5.0))
    with pytest.raises(UnreadableFile, match=r"plain\.nwb: sought processing/current_source_density.*found nothing"):
        csd.stored(plain)
    bad = tmp_path / "bad.nwb"
    bad.write_bytes(lfp.read_bytes())
    with h5py.File(bad, "r+") as f:
        del f["processing/current_source_density/current_source_density/timestamps"]
    with pytest.raises(UnreadableFile, match=r"bad\.nwb.*sought time x virtual channel"):
        csd.stored(bad)


def voltage(values: np.ndarray, depth_um: np.ndarray) -> xr.DataArray:
    return xr.DataArray(np.atleast_2d(values), dims=("time", "channel"), coords={"depth_um": ("channel", depth_um), "time": [0.0]})


def test_a_parabola_has_its_own_curvature_everywhere_at_even_and_uneven_depths() -> None:
    """V = a z^2 / 2 has d2V/dz2 = a: exactly so for three points, wherever they lie."""
    a = 2000.0  # V/m2
    for depth in (20.0 * np.arange(12), np.cumsum([3, 20, 5, 40, 40, 7.0])):
        found = csd.current_source_density(voltage(a * (depth * 1e-6) ** 2 / 2, depth))
        np.testing.assert_allclose(found.values, -0.3 * a, rtol=1e-9)
        np.testing.assert_array_equal(found.depth_um.values, depth[1:-1])
        assert found.attrs["units"] == "A/m^3"


def test_a_linear_voltage_has_no_sources_and_conductivity_scales_the_rest() -> None:
    depth = 20.0 * np.arange(10)
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(csd.current_source_density(voltage(3e-4 * depth, depth)).values, 0, atol=1e-3)
    noise = voltage(rng.normal(size=10), depth)
    double = csd.current_source_density(noise, 0.6)
    np.testing.assert_allclose(double.values, 2 * csd.current_source_density(noise).values)
    by_hand = -0.3 * (noise.values[0, 2:] - 2 * noise.values[0, 1:-1] + noise.values[0, :-2]) / (20e-6) ** 2
    np.testing.assert_allclose(csd.current_source_density(noise).values[0], by_hand)


def test_channels_are_ordered_by_depth_and_those_at_one_depth_averaged() -> None:
    depth = np.array([0.0, 0, 20, 20, 40, 40])
    values = np.array([1.0, 3, 2, 2, 0, 4])
    order = np.random.default_rng(0).permutation(6)
    found = csd.current_source_density(voltage(values[order], depth[order]))
    assert found.values.item() == pytest.approx(-0.3 * (2 - 2 * 2 + 2) / (20e-6) ** 2)


def test_without_depths_there_is_none(lfp: Path) -> None:
    with open_voltage(lfp) as v:
        found = csd.current_source_density(v.read(0, 0.1))
        assert found.sizes == {"time": 125, "depth": 4}
        assert "valid" in found.coords
    with pytest.raises(NeuropileError, match="no depth_um"):
        csd.current_source_density(voltage(np.zeros(3), np.arange(3.0)).drop_vars("depth_um"))
    with pytest.raises(NeuropileError, match="takes three depths, found 2"):
        csd.current_source_density(voltage(np.zeros(4), np.array([0.0, 0, 20, np.nan])))
