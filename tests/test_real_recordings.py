"""Real recordings, ingested and compared with pynwb, plain h5py, exact integers and the folder's own manifest.

The folder is the one NEUROPILE_REAL_DATA names; its MANIFEST.yaml says what a correct reading yields.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from pynwb import NWBHDF5IO

import neuropile
from neuropile import readers
from neuropile.errors import UnreadableFile

if TYPE_CHECKING:
    from neuropile.building import Outcome

if not os.environ.get("NEUROPILE_REAL_DATA"):
    pytest.skip("NEUROPILE_REAL_DATA names no folder of real recordings", allow_module_level=True)

pytestmark = pytest.mark.real

FOLDER = Path(os.environ["NEUROPILE_REAL_DATA"])
TICKS_PER_S = 100_000


@dataclass(frozen=True)
class Real:
    """One recording of the folder and what the manifest expects of it."""

    path: Path
    expected: dict[str, Any]

    @property
    def is_nwb(self) -> bool:
        return self.path.suffix == ".nwb"

    @property
    def key(self) -> str:
        return f"local/{self.path.stem}"


def listed() -> list[Real]:
    """The NWB (HDF5) and MATLAB 7.3 recordings of the manifest."""
    found = []
    for dataset in yaml.safe_load((FOLDER / "MANIFEST.yaml").read_text(encoding="utf-8"))["datasets"]:
        if dataset["kind"].startswith("MATLAB v7.3") or (dataset["kind"].startswith("NWB") and "(HDF5)" in dataset["kind"]):
            for file in dataset["files"]:
                name = file["path"].rsplit("/", 1)[-1]
                found.append(Real(FOLDER / file["path"], dataset["expected"].get("files", {}).get(name, dataset["expected"])))
    return found


RECORDINGS = listed()
SPIKING = [r for r in RECORDINGS if r.expected["units"]]
SILENT = [r for r in RECORDINGS if not r.expected["units"]]
MATLAB = [r for r in SPIKING if not r.is_nwb]
NWB = [r for r in SPIKING if r.is_nwb]


def each(recordings: list[Real]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("real", recordings, ids=[r.path.stem for r in recordings])


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[neuropile.Store, dict[Path, Outcome]]:
    """A store of every recording, and what became of each."""
    store = neuropile.create_store(tmp_path_factory.mktemp("real") / "store")
    return store, {o.path: o for o in neuropile.ingest([r.path for r in RECORDINGS], store, readers.find)}


@pytest.fixture(scope="session")
def store(outcomes: tuple[neuropile.Store, dict[Path, Outcome]]) -> neuropile.Store:
    return outcomes[0]


@cache
def source(path: Path) -> tuple[list[np.ndarray], Fraction | None]:
    """Each unit's times and the sample rate, read without neuropile: NWB by pynwb, MATLAB by plain h5py."""
    if path.suffix == ".nwb":
        with NWBHDF5IO(str(path), "r") as io:
            units = io.read().units
            return [np.asarray(units["spike_times"][i]) for i in range(len(units))], None
    with h5py.File(path) as f:
        trains = [f[cell][()].ravel() for cell in f["raw_spike_time_s"][()].ravel()]
        return trains, Fraction(str(float(f["meta/ap_meta/imSampRate"][0, 0])))


@cache
def ticks_of(path: Path) -> list[np.ndarray]:
    """Each unit's ticks by exact integer arithmetic on its samples (MATLAB files only: the clock is known there)."""
    trains, rate = source(path)
    assert rate is not None
    out = []
    for times in trains:
        position = times * float(rate)
        samples = np.rint(position)
        np.testing.assert_allclose(position, samples, rtol=0, atol=1e-3)  # else these are no samples and nothing below holds
        whole = samples.astype(np.int64).astype(object)  # Python integers: no width to overflow
        out.append(np.sort((whole * (TICKS_PER_S * rate.denominator) // rate.numerator).astype(np.int64)))
    return out


def stored_ticks(session: neuropile.Session) -> tuple[np.ndarray, np.ndarray]:
    """(unit, tick) of every stored spike as the file has them, in order of unit and tick."""
    table = pq.read_table(session.root / "spikes.parquet")
    unit, tick = table.column("unit").to_numpy().astype(np.int64), table.column("tick").to_numpy().astype(np.int64)
    order = np.lexsort((tick, unit))
    return unit[order], tick[order]


def test_the_manifest_lists_every_recording_a_reader_takes():
    def taken(path: Path) -> bool:
        try:
            readers.find(path)
        except UnreadableFile:
            return False
        return True

    assert {p for p in FOLDER.rglob("*") if p.is_file() and taken(p)} == {r.path for r in RECORDINGS}
    assert MATLAB
    assert NWB
    assert SILENT


@each(SPIKING)
def test_units_spikes_and_first_and_last_spike_are_the_manifests(real, outcomes):
    _, by_path = outcomes
    outcome = by_path[real.path]
    assert (outcome.status, outcome.n_units, outcome.n_spikes) == ("stored", real.expected["units"], real.expected["spikes"]), outcome.error
    with readers.find(real.path)(real.path) as recording:
        times = np.concatenate([recording.trains.read(u) for u in range(recording.trains.n_units)])
    assert (times.min(), times.max()) == (real.expected["first_spike_s"], real.expected["last_spike_s"])


@each(SPIKING)
def test_every_unit_has_the_times_read_without_neuropile(real):
    trains, _ = source(real.path)
    with readers.find(real.path)(real.path) as recording:
        assert recording.trains.n_units == len(trains)
        for unit, times in enumerate(trains):
            np.testing.assert_array_equal(recording.trains.read(unit), times)


@each(MATLAB)
def test_every_stored_tick_is_the_exact_tick_of_its_sample(real, store):
    unit, tick = stored_ticks(store[real.key])
    expected = ticks_of(real.path)
    np.testing.assert_array_equal(unit, np.repeat(np.arange(len(expected)), [len(t) for t in expected]))
    np.testing.assert_array_equal(tick, np.concatenate(expected))


@each(NWB)
def test_every_stored_tick_holds_its_time(real, store):
    trains, _ = source(real.path)
    unit, tick = stored_ticks(store[real.key])
    np.testing.assert_array_equal(unit, np.repeat(np.arange(len(trains)), [len(t) for t in trains]))
    exact = np.concatenate([np.sort(t) for t in trains]) * TICKS_PER_S
    assert np.all(tick <= exact + 1e-3)
    assert np.all(exact < tick + 1)


@each(SPIKING)
@pytest.mark.parametrize("width", ["0.005", "0.02", "0.1"])
def test_counts_equal_an_exact_binning_over_the_bins_they_cover(real, store, width):
    session = store[real.key]
    per_bin = int(Fraction(width) * TICKS_PER_S)
    unit, tick = stored_ticks(session)
    counts = session.counts(bin_width=float(width))
    k = counts["bin"].values
    np.testing.assert_array_equal(k, np.arange(k[0], k[0] + len(k)))
    expected = np.zeros(counts.shape, np.uint16)
    inside = (tick // per_bin >= k[0]) & (tick // per_bin <= k[-1])
    np.add.at(expected, (unit[inside], tick[inside] // per_bin - k[0]), 1)
    assert expected.max() == counts.values.max()
    np.testing.assert_array_equal(counts.values, expected)

    spans = session.observed.of_any()
    observed = np.any([(tick >= a) & (tick < b) for a, b in spans.tolist()], axis=0)
    assert not np.any(observed & ~inside), "a spike inside the observed span is in no bin"
    covered = np.any([(k * per_bin >= a) & ((k + 1) * per_bin <= b) for a, b in spans.tolist()], axis=0)
    np.testing.assert_array_equal(counts["observed"].values, covered)


@each(SPIKING)
def test_without_other_evidence_the_span_runs_from_the_first_spike_to_the_last(real, store):
    session = store[real.key]
    _, tick = stored_ticks(session)
    assert session.record["span_source"] == "spikes"
    assert session.observed.of_any().tolist() == [[tick.min(), tick.max() + 1]]
    assert session.counts(bin_width=0.02).values.sum() == real.expected["spikes"]


@each(MATLAB)
def test_areas_and_hemispheres_are_the_texts_in_the_files_object_store(real, store):
    texts = []
    with h5py.File(real.path) as f:
        for cell in f["#subsystem#/MCOS"][()].ravel():
            words = f[cell][()].ravel()
            if words.dtype == np.uint64 and words.size > 2:
                n_dims = int(words[1])
                n = int(np.prod(words[2 : 2 + n_dims]))
                ends = np.cumsum(words[2 + n_dims : 2 + n_dims + n]).astype(int).tolist()
                text = words[2 + n_dims + n :].tobytes().decode("utf-16-le")
                texts.append([text[a:b] for a, b in zip([0, *ends], ends, strict=False)])
    areas, hemispheres = texts
    units = store[real.key].units
    assert units["region"].tolist() == areas
    assert units["src_cell_hemi"].tolist() == hemispheres
    assert all(a.isprintable() and a for a in areas)
    assert set(hemispheres) <= {"L", "R"}


@each(MATLAB)
def test_animal_quality_depth_and_place_are_the_files(real, store):
    session = store[real.key]
    assert (session.subject_id, session.species) == (real.expected["rat"], "Rattus norvegicus")
    assert (session.units["quality"] == "good").sum() == real.expected["single_units"]
    with h5py.File(real.path) as f:
        single = f["is_single"][()].ravel().astype(bool)
        np.testing.assert_array_equal(session.units["quality"], np.where(single, "good", "mua"))
        np.testing.assert_array_equal(session.units["depth_um"], f["dist_from_tip_um"][()].ravel())
        for ours, theirs in (("x_um", "AP"), ("y_um", "DV"), ("z_um", "ML")):
            np.testing.assert_array_equal(session.units[ours], f[f"anatom_loc_mm/{theirs}"][()].ravel() * 1000)
        np.testing.assert_array_equal(session.signals["waveform_mean_uV"].values, f["waveform/mean_uV"][()].T)


@each(NWB)
def test_trials_equal_pynwbs_table(real, store):
    trials = store[real.key].trials
    expected = real.expected["intervals"]["trials"]
    with NWBHDF5IO(str(real.path), "r") as io:
        table = io.read().trials.to_dataframe()
    assert len(trials) == len(table) == expected["rows"]
    assert sorted(table.columns) == sorted(expected["columns"])
    ours = {"start_time": "start_s", "stop_time": "stop_s"}
    assert {ours.get(c, f"src_{c}") for c in table.columns} <= set(trials.columns)
    for name in table.columns:
        np.testing.assert_array_equal(trials[ours.get(name, f"src_{name}")].to_numpy(), table[name].to_numpy(), err_msg=name)


@each(NWB)
def test_units_equal_pynwbs_table_and_lie_where_their_electrodes_do(real, store):
    session = store[real.key]
    with NWBHDF5IO(str(real.path), "r") as io:
        file = io.read()
        table = file.units.to_dataframe()
        for name in ("waveform_mean", "waveform_sd"):
            np.testing.assert_array_equal(session.signals[name].values, np.stack(table[name]))
        groups = [rows["group_name"].iloc[0] for rows in table["electrodes"]]
        locations = [rows["location"].iloc[0] for rows in table["electrodes"]]
        assert (session.subject_id, session.species) == (file.subject.subject_id, file.subject.species)
    assert session.units["unit_id"].tolist() == [str(i) for i in table.index]
    assert session.units["probe"].tolist() == groups
    assert session.units["src_electrode_location"].tolist() == locations
    assert session.units["region"].tolist() == [next(p.split(": ")[1] for p in text.split("; ") if p.startswith("brain_region")) for text in locations]
    for name in set(table.columns) - {"spike_times", "electrodes", "waveform_mean", "waveform_sd"}:
        np.testing.assert_array_equal(session.units[f"src_{name}"].to_numpy(), table[name].to_numpy(), err_msg=name)


@each(SILENT)
def test_a_recording_without_units_fails_naming_what_was_sought_and_found(real, outcomes):
    store, by_path = outcomes
    outcome = by_path[real.path]
    assert (outcome.status, outcome.n_units) == ("failed", 0)
    assert outcome.error.startswith(f"{real.path}: sought spike_times in /units and processing/*/units, found none; the file holds ")
    for name, table in real.expected["intervals"].items():
        assert f"{name} ({table['rows']} rows)" in outcome.error
    for name in ("fixations", "saccades"):
        assert f"{name} ({real.expected[name]} rows)" in outcome.error
    assert real.key not in store
    assert store.failed.loc[real.key, "error"] == outcome.error


def test_the_store_lists_every_recording_with_spikes_and_no_other(store):
    assert set(store) == {r.key for r in SPIKING}
    assert set(store.failed.index) == {r.key for r in SILENT}
    assert store.sessions["n_spikes"].sum() == sum(r.expected["spikes"] for r in SPIKING)
    assert len(store.units) == sum(r.expected["units"] for r in SPIKING)


@pytest.mark.parametrize("share", [0.0005, 0.03, 0.4, 0.97])
@pytest.mark.parametrize("real", [NWB[0], min(MATLAB, key=lambda r: r.path.stat().st_size)], ids=["NWB", "MATLAB"])
def test_a_real_recording_cut_short_is_one_clear_error(real, share, tmp_path):
    cut = tmp_path / real.path.name
    content = real.path.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    (outcome,) = neuropile.ingest([cut], neuropile.create_store(tmp_path / "store"), readers.find)
    assert outcome.status == "failed"
    assert f"{cut}: not a readable HDF5 file" in outcome.error
