"""The real recordings without a format of spikes, by a mapping: against plain scipy, h5py and numpy, and their manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import yaml

from neuropile.errors import NeuropileError, NoEvents
from neuropile.readers import arrays
from neuropile.types import Recording

pytestmark = pytest.mark.real

APLYSIA = {"times": "spks[:,1]", "units": "spks[:,0]"}
RETINA = {"times": "spikes", "counts": "sCount", "x": "epos[0,:]", "y": "epos[1,:]"}
RAT = {"times": "spikes/time"}
MONKEY = {"matrix": "dat/spikes", "bin": "0.001"}
SMELLS = {"times": "spiketimes", "units": "neuron_ids", "trials": "trials", "trial_start": "tmin", "trial_stop": "tmax", "unit": "ms"}


@pytest.fixture(scope="session")
def expected(real_data: Path) -> dict[str, Any]:
    return {d["name"]: d["expected"] for d in yaml.safe_load((real_data / "MANIFEST.yaml").read_text())["datasets"]}


def trains_of(recording: Recording) -> list[np.ndarray]:
    return [np.array(recording.trains.read(i)) for i in range(recording.trains.n_units)]


def check(recording: Recording, facts: dict[str, Any]) -> list[np.ndarray]:
    """Units, spikes, and the first and last of them, as the manifest says."""
    trains = trains_of(recording)
    times = np.concatenate(trains)
    assert (len(trains), len(times)) == (facts["units"], facts["spikes"])
    assert (times.min(), times.max()) == (facts["first_spike_s"], facts["last_spike_s"])
    return trains


def test_the_rats_nested_clusters_are_units_by_their_place(real_data, expected):
    path = real_data / "mat5-rat-lineartrack" / "spikes.mat"
    with arrays.mapped(RAT)(path) as recording:
        trains = check(recording, expected["mat5-rat-lineartrack"])
        ids = recording.units.column("unit_id").to_pylist()
        rates = recording.units.column("src_spikes_meanrate").to_pylist()
    nest = scipy.io.loadmat(path)["spikes"]
    for unit_id, train, rate in zip(ids, trains, rates, strict=True):
        day, epoch, tetrode, cluster = (int(i) - 1 for i in unit_id.split("/"))
        found = nest[0, day][0, epoch][0, tetrode][0, cluster]
        assert train.tolist() == found["time"][0, 0].ravel().tolist()
        assert rate == found["meanrate"][0, 0].item()


@pytest.mark.parametrize("name", ["Feb1312da06spks.mat", "Jan1312da04spks.mat"])
def test_aplysias_pairs_of_unit_and_time(real_data, expected, name):
    path = real_data / "mat5-aplysia" / name
    with arrays.mapped(APLYSIA)(path) as recording:
        trains = check(recording, expected["mat5-aplysia"][name])
        ids = recording.units.column("unit_id").to_pylist()
    pairs = scipy.io.loadmat(path)["spks"]
    assert ids == [str(i + 1) for i in range(len(ids))]
    for unit_id, train in zip(ids, trains, strict=True):
        assert train.tolist() == pairs[pairs[:, 0] == int(unit_id), 1].tolist()


def test_the_retinas_flat_spikes_with_their_counts(real_data, expected):
    facts = expected["h5-retina-mea"]
    for path in sorted((real_data / "h5-retina-mea").glob("*.h5")):
        with arrays.mapped(RETINA)(path) as recording, h5py.File(path) as file:
            trains = check(recording, facts[path.name])
            starts = np.cumsum([0, *file["sCount"][:]])
            for i, train in enumerate(trains):
                assert train.tolist() == file["spikes"][starts[i] : starts[i + 1]].tolist()
            assert recording.units.column("y_um").to_pylist() == file["epos"][1].tolist()
            assert recording.units.column("src_summary_frate").to_pylist() == file["summary/frate"][:].tolist()
            assert recording.source["src_meta_species"] == facts[path.name]["species"]


@pytest.mark.parametrize("quantity", ["counts", "spikes"])
def test_the_monkeys_rasters_are_trials_of_equal_ticks(real_data, expected, quantity):
    facts = expected["mat5-monkey-trials"]
    path = real_data / "mat5-monkey-trials" / "sample_dat.mat"
    with arrays.mapped(MONKEY | ({} if quantity == "counts" else {"quantity": quantity}))(path) as recording:
        trains = trains_of(recording)
        table = recording.intervals["trials"]
        assert (recording.clock, recording.quantity, recording.ticks_per_s) == ("trials", quantity, 1000)
    assert (table.num_rows, len(trains), sum(map(len, trains))) == (facts["trials"], facts["units"], facts["spikes"])
    start, stop = (np.array(table.column(c)) for c in ("start_s", "stop_s"))
    np.testing.assert_allclose(stop - start, facts["ms_per_trial"] / 1000)
    data = scipy.io.loadmat(path)["dat"].ravel()
    assert table.column("src_dat_trialId").to_pylist() == [d["trialId"].item() for d in data]
    for unit, train in enumerate(trains):
        want = [int(s) * 1000 + t for s, d in zip(start, data, strict=True) for t in np.flatnonzero(d["spikes"][unit])]
        assert train.tolist() == want


def test_the_mouses_smells_are_trials_of_half_a_second(real_data, expected):
    facts = expected["npz-mouse-olfactory-trials"]
    path = real_data / "npz-mouse-olfactory-trials" / "pinene_data.npz"
    with arrays.mapped(SMELLS)(path) as recording:
        trains = trains_of(recording)
        table = recording.intervals["trials"]
    assert (table.num_rows, len(trains), sum(map(len, trains))) == (facts["trials"], facts["units"], facts["spikes"])
    assert table.column("src_trial").to_pylist()[-1] == str(facts["trial_index_max"])
    start, stop = (np.array(table.column(c)) for c in ("start_s", "stop_s"))
    np.testing.assert_allclose(stop - start, facts["trial_length_ms"] / 1000)
    times = np.concatenate(trains)
    within = times - start[np.searchsorted(start, times, "right") - 1]
    assert within.max() == pytest.approx(facts["last_spike_in_trial_ms"] / 1000, abs=1e-9)
    with np.load(path) as data:
        for unit, train in enumerate(trains):
            own = data["neuron_ids"] == unit
            np.testing.assert_allclose(sorted(train), sorted(data["spiketimes"][own] / 1000 + start[data["trials"][own]]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["F.npy", "spks.npy"])
def test_calcium_is_a_signal_and_no_events(real_data, name):
    path = real_data / "suite2p-calcium" / name
    with pytest.raises(NoEvents, match="sought whole counts of spikes, found rates, calcium or another signal"):
        arrays.mapped({"matrix": "array", "bin": "1/30"})(path)
    assert arrays.contents(path) == [("array", (219, 2000), "float32")]
    assert "no spikes and no counts of them, but a signal" in arrays.suggest(path)


def test_what_is_suggested_for_real_files_is_right_or_absent(real_data):
    right = {
        "mat5-rat-lineartrack/spikes.mat": RAT,
        "mat5-aplysia/Feb1312da06spks.mat": APLYSIA,
        "mat5-aplysia/Jan1312da04spks.mat": APLYSIA,
        "mat5-monkey-trials/sample_dat.mat": MONKEY | {"bin": "SECONDS"},
        "npz-mouse-olfactory-trials/pinene_data.npz": SMELLS,
    }
    for path in sorted(real_data.rglob("*")):
        name = path.relative_to(real_data).as_posix()
        if path.suffix not in (".mat", ".h5", ".npz", ".npy") or ".zarr" in name:
            continue
        kind = name.split("/")[0]
        if kind == "mat73-rat-neuropixels" and not path.name.startswith("T170"):
            continue  # all of one make, and large
        want = {"h5-retina-mea": {"times": "spikes", "counts": "sCount"}, "mat73-rat-neuropixels": {"times": "raw_spike_time_s"}}.get(kind, right.get(name, {}))
        said = arrays.suggest(path)
        assert dict(part.split(" ")[0].split("=") for part in said.split(" --map ")[1:] if "PATH" not in said) == want, said


def test_cells_of_matlab_7_3_are_the_same_by_a_mapping(real_data, expected):
    name = "T170_2018_09_11_Cells.mat"
    with arrays.mapped({"times": "raw_spike_time_s", "depth": "dist_from_tip_um"})(real_data / "mat73-rat-neuropixels" / name) as recording:
        check(recording, expected["mat73-rat-neuropixels"]["files"][name])


def test_tables_of_sensorium_hold_no_spikes(real_data):
    for path in sorted((real_data / "sensorium2023-npy-meta").rglob("*.npy")):
        with pytest.raises(NeuropileError):
            arrays.mapped({"matrix": "array", "bin": "1/30"})(path)
        assert "likely read by" not in arrays.suggest(path)
    for path in (real_data / "sensorium2023-metadata").iterdir():
        with pytest.raises(NeuropileError, match="a mapping reads MATLAB, HDF5"):
            arrays.suggest(path)
