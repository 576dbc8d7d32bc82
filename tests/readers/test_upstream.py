"""The published scripts' way, against numpy's histogram and their chunk rule written out here."""

import os
import re
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nwbfile import add_units
from pynwb import NWBHDF5IO, NWBFile

import neuropile
from neuropile.errors import BadTimes, NoEvents
from neuropile.readers import nwb, upstream
from neuropile.readers import nwb as nwb_module
from neuropile.types import Reader, Recording, Trains

B = 0.02
READER = upstream.counts(nwb.units())


def published_way(trains):
    """Their counts of one file: (unit, bin) uint8."""
    latest = max(max(t) for t in trains if len(t))
    edges = np.arange(0, latest + B, B)
    return np.stack([np.histogram(t, bins=edges)[0] for t in trains]).astype(np.uint8)


def published_chunks(counts, limit):
    """Their chunks: k of equal width where units x bins is over the limit; an empty last one, where they stop, left out."""
    n_units, n_bins = counts.shape
    if n_units * n_bins <= limit:
        return [counts]
    k = int(np.ceil(n_units * n_bins / limit))
    width = int(np.ceil(n_bins / k))
    return [c for c in (counts[:, i * width : min((i + 1) * width, n_bins)] for i in range(k)) if c.shape[1]]


def rows_of(folder):
    return [r for f in sorted(folder.glob("data/*.parquet")) for r in pq.read_table(f).to_pylist()]


def through_the_store(path, tmp_path, limit):
    store = neuropile.create_store(tmp_path / "store")
    (outcome,) = neuropile.ingest([path], store, lambda _: READER, dataset="local@upstream")
    assert outcome.status == "stored", outcome.error
    neuropile.make_pile(store, bin_width=0.02, max_tokens=limit, test=0).publish(tmp_path / "published", layout="dense")
    return outcome, rows_of(tmp_path / "published")


def same_rows(rows, expected, path):
    assert [r["segment_id"] for r in rows] == [f"segment_{i}" for i in range(len(expected))]
    for row, counts in zip(rows, expected, strict=True):
        assert (row["session_id"], row["subject_id"], row["source_dataset"]) == (path.stem, path.parent.name, "local@upstream")
        np.testing.assert_array_equal(np.array(row["spike_counts"], np.uint8), counts)


@pytest.mark.parametrize("limit", [10_000_000, 1000, 333])
def test_every_published_row_is_what_the_scripts_make_of_the_file(write, nwb, tmp_path, limit):
    rng = np.random.default_rng(0)
    trains = [rng.uniform(-0.5, 9.0, 400), rng.uniform(2, 3, 700), [], [0.0, 0.02, 0.04, 0.06, 9.5627801]]
    (tmp_path / "sub-01").mkdir()
    path = write(add_units(nwb, trains), "sub-01/sub-01_ses-2_behavior+ecephys.nwb")
    outcome, rows = through_the_store(path, tmp_path, limit)
    same_rows(rows, published_chunks(published_way(trains), limit), path)
    assert any("1 units without spikes were kept as zeros" in n for n in outcome.notes)
    assert any("spikes before 0 s were dropped" in n for n in outcome.notes)


def test_counts_above_255_wrap_around_and_it_is_told(write, nwb, tmp_path):
    path = write(add_units(nwb, [np.full(300, 1.005), [0.001, 2.0]]))
    outcome, rows = through_the_store(path, tmp_path, 10_000_000)
    assert rows[0]["spike_counts"][0][50] == 44
    same_rows(rows, [published_way([np.full(300, 1.005), [0.001, 2.0]])], path)
    assert "1 counts above 255 wrapped around to uint8, as in the published scripts" in outcome.notes


def test_the_subject_is_the_folder_unless_it_is_given(write, nwb, tmp_path):
    (tmp_path / "1043752325").mkdir()
    path = write(add_units(nwb), "1043752325/ecephys_session_1043752325.nwb")
    with h5py.File(path, "r+") as f:
        f["units/spike_times"][...] = np.nan_to_num(f["units/spike_times"][...])
    for reader, subject in ((READER, "1043752325"), (upstream.counts(nwb_module.units(), subject="data"), "data")):
        with reader(path) as recording:
            assert recording.subject.subject_id == subject


def test_rounding_adds_the_empty_bin_the_scripts_have(write, nwb):
    path = write(add_units(nwb, [[1.0, 9562.78]]))
    with READER(path) as recording:
        assert recording.observed.stop_s[0] * 50 == pytest.approx(478140)


class Given(Reader):
    """Hands out trains as they are."""

    def __init__(self, trains):
        self.trains = trains

    def __call__(self, path):
        import pyarrow as pa

        return Recording("x", pa.table({"unit_id": [str(i) for i in range(len(self.trains))]}), Trains(len(self.trains), lambda u: np.array(self.trains[u])))


def error_of(trains):
    with pytest.raises((NoEvents, BadTimes)) as caught:
        upstream.counts(Given(trains))(Path("d/x.nwb"))
    return str(caught.value)


# times on and around the edges, where floats decide
edge_times = st.integers(0, 3000).flatmap(lambda k: st.sampled_from([k * B, np.nextafter(k * B, 0), np.nextafter(k * B, 1e9), k / 50, k * 0.02 + 1e-9]))


@given(st.lists(st.lists(edge_times, max_size=12), min_size=1, max_size=4).filter(lambda trains: any(trains)))
def test_times_at_the_edges_fall_where_numpys_histogram_puts_them(trains):
    expected = published_way(trains)
    if not expected.any():
        assert "no bin;" in error_of(trains) or "behind the last edge" in error_of(trains)
        return
    with upstream.counts(Given(trains))(Path("d/x.nwb")) as recording:
        n_bins = round(float(recording.observed.stop_s[0]) * 50)
        assert n_bins == expected.shape[1]
        got = np.stack([np.bincount(recording.trains.read(u), minlength=n_bins) for u in range(len(trains))])
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("trains", "words"),
    [
        ([[0.0, -1.0], []], "the latest spike is at 0 s, up to which the published scripts have no bin"),
        ([[-2.0], [-1.0]], "sought spikes from 0 s on, found none in 2 units"),
        ([[], []], "sought spikes from 0 s on, found none in 2 units"),
        ([[1.0] * 256, [1.5] * 512], "every count is a multiple of 256 and wraps to 0, as in the published scripts: nothing to store"),
        ([[1.0, 1_000_001.0]], r"the latest spike is at 1e\+06 s: that is more than 50000000 bins of 20 ms \(11.5 days\)"),
        ([[1e300]], r"the latest spike is at 1e\+300 s: that is more than 50000000 bins"),
    ],
)
def test_what_leaves_nothing_to_count_or_too_much_is_said_as_it_is(trains, words):
    said = error_of(trains)
    assert re.search(words, said)
    assert said.startswith("d/x.nwb: ")


def test_a_spike_behind_the_last_edge_that_floats_give_is_told():
    late = next(t for k in range(1, 3000) if not published_way([[t := np.nextafter(k * B, 1e9)]]).any())
    assert "the only spikes from 0 s on lie behind the last edge" in error_of([[late]])


def test_many_units_take_the_memory_of_their_spikes_not_of_their_bins():
    n_units, n_bins = 300, 100_000
    trains = np.random.default_rng(0).uniform(0, n_bins * B, (n_units, 50))
    tracemalloc.start()
    with upstream.counts(Given(trains))(Path("d/x.nwb")) as recording:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_array_equal(np.bincount(recording.trains.read(7), minlength=len(published_way(trains[7:8])[0])), published_way([trains[7]])[0])
    assert peak < n_units * n_bins  # a byte for every count would be as much


def test_times_that_are_no_numbers_stop_it_as_they_stop_the_scripts(write, nwb, store):
    (outcome,) = neuropile.ingest([write(add_units(nwb, [[1.0, np.nan]]))], store, lambda _: READER)
    assert "NaN or infinite, where the published scripts stop" in outcome.error


@pytest.mark.real
@pytest.mark.parametrize("limit", [10_000_000, 123_456])
def test_every_real_nwb_file_gives_the_rows_of_the_scripts(tmp_path, limit):
    seen = 0
    for path in sorted(Path(os.environ["NEUROPILE_REAL_DATA"]).rglob("*.nwb")):
        if not path.is_file():
            continue
        with h5py.File(path) as f:
            if "units" not in f:
                continue
            ends = f["units/spike_times_index"][()]
            trains = np.split(f["units/spike_times"][()], ends[:-1])
        _, rows = through_the_store(path, tmp_path / path.stem, limit)
        same_rows(rows, published_chunks(published_way(trains), limit), path)
        seen += 1
    assert seen


def test_pynwbs_data_frame_holds_the_same_trains(write, nwb: NWBFile):
    """The scripts read the whole table with pynwb; we read its columns."""
    path = write(add_units(nwb))
    with NWBHDF5IO(str(path), "r") as io:
        frame = io.read().units.to_dataframe()
    with nwb_reader(path) as recording:
        for unit, times in enumerate(frame["spike_times"]):
            np.testing.assert_array_equal(recording.trains.read(unit), times)


def nwb_reader(path):
    return nwb.units()(path)
