"""Real ALF and Kilosort folders, ingested and compared with plain numpy, exact integers and the folder's own manifest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import neuropile
from neuropile.errors import NoEvents
from neuropile.readers import alf, kilosort
from neuropile.readers.alf import behaviour as alf_behaviour
from neuropile.readers.alf import files as alf_files

if not os.environ.get("NEUROPILE_REAL_DATA"):
    pytest.skip("NEUROPILE_REAL_DATA names no folder of real recordings", allow_module_level=True)

pytestmark = pytest.mark.real

FOLDER = Path(os.environ["NEUROPILE_REAL_DATA"])
TICKS_PER_S = 100_000


def expected(name: str) -> dict[str, Any]:
    datasets = yaml.safe_load((FOLDER / "MANIFEST.yaml").read_text(encoding="utf-8"))["datasets"]
    return next(d["expected"] for d in datasets if d["name"] == name)


def stored(tmp_path: Path, name: str, reader: Any) -> Any:
    store = neuropile.create_store(tmp_path / "store")
    (outcome,) = neuropile.ingest([FOLDER / name], store, lambda _: reader)
    assert (outcome.status, outcome.session, outcome.notes) == ("stored", f"local/{name}", ())
    return store[outcome.session]


def ticks(session: Any, unit: int) -> list[int]:
    return np.rint(session.spikes()[unit] * TICKS_PER_S - 0.5).astype(int).tolist()


def test_three_clusters_are_three_units_with_every_spike(tmp_path):
    truth = expected("alf-mouse-three-clusters")
    times, clusters = (np.load(FOLDER / "alf-mouse-three-clusters" / f"spikes.{n}.npy") for n in ("times", "clusters"))
    session = stored(tmp_path, "alf-mouse-three-clusters", alf.session())
    assert session.units["unit_id"].tolist() == [str(i) for i in truth["cluster_ids"]]
    assert session.units["n_spikes"].sum() == truth["spikes"]
    for unit, cluster in enumerate(truth["cluster_ids"]):
        assert ticks(session, unit) == np.floor(times[clusters == cluster] * TICKS_PER_S + 1e-3).astype(int).tolist()
    counts = session.counts(bin_width=0.02)
    assert counts.sum() == truth["spikes"]
    last_bin = int(truth["last_spike_s"] / 0.02)
    assert last_bin + 1 == truth["bins_20ms"]
    assert truth["units"] * truth["bins_20ms"] == truth["tokens_20ms"]


def test_samples_of_kilosort_land_in_the_tick_of_integer_arithmetic(tmp_path):
    truth = expected("kilosort-15-templates")
    folder = FOLDER / "kilosort-15-templates"
    samples, clusters = (np.load(folder / f"spike_{n}.npy").reshape(-1).astype(np.int64) for n in ("times", "clusters"))
    session = stored(tmp_path, "kilosort-15-templates", kilosort.folder(sample_rate=truth["sample_rate_hz"]))
    assert len(session.units) == truth["units"]
    assert session.units["n_spikes"].sum() == truth["spikes"]
    for unit in range(truth["units"]):
        assert ticks(session, unit) == (samples[clusters == unit] * TICKS_PER_S // 30_000).tolist()
    assert max(max(ticks(session, u)) for u in range(truth["units"])) == truth["last_sample"] * TICKS_PER_S // 30_000


def test_depths_of_kilosort_are_those_of_the_largest_channels():
    folder = FOLDER / "kilosort-15-templates"
    templates, positions = (np.load(folder / f"{n}.npy") for n in ("templates", "channel_positions"))
    recording = kilosort.folder(sample_rate=30_000)(folder)
    assert recording.units.column("depth_um").to_pylist() == positions[np.ptp(templates, axis=1).argmax(axis=1), 1].tolist()


def test_a_folder_of_trials_alone_holds_no_spikes_and_says_what_it_holds():
    folder = FOLDER / "alf-trials-table"
    assert alf.takes(folder)
    with pytest.raises(NoEvents, match=r"sought spikes.times and spikes.clusters .*; the folder holds _ibl_trials.table.pqt"):
        alf.session()(folder)


def test_real_trials_keep_every_row_and_column_and_their_meaning():
    truth = expected("alf-trials-table")
    table = pq.read_table(FOLDER / "alf-trials-table" / "_ibl_trials.table.pqt").to_pandas()
    notes: list[str] = []
    found = alf_behaviour.intervals(alf_files.find(FOLDER / "alf-trials-table", None, None).objects, notes)["trials"].to_pandas()
    assert (len(found), notes) == (truth["rows"], [])
    for name in truth["columns"]:
        np.testing.assert_array_equal(found[f"src_{name}"], table[name])
    rewarded = found[found["correct"]]
    assert ((rewarded["choice"] == 1) == rewarded["contrast_left"].notna()).all()
    assert (found["contrast_left"].notna() != found["contrast_right"].notna()).all()
    assert (found["stop_s"] >= found["start_s"]).all()


def test_a_folder_of_many_recordings_is_none_itself():
    assert not alf.takes(FOLDER)
    assert not kilosort.takes(FOLDER)
