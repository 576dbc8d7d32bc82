"""Eight probes in one MATLAB file: the clusters that occur, and the published scripts' rows for all numbers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from neuropile.errors import BadTimes, NoEvents, UnreadableFile
from neuropile.readers.layouts import eight_probes, eight_probes_file

READER, ROWS = eight_probes.spikes(), eight_probes.rows()
#: (seconds, cluster) a probe: one probe is empty, numbers are left out.
PROBES = [[(10.5, 3), (10.1, 1), (11.0, 3)], [], [(12.0, 2), (13.257, 2)]]


def spks(path, probes=PROBES, **heights):
    """Write a file of records; `heights` gives those of probes by name, where not 100 um a cluster number."""
    records = np.zeros((1, len(probes)), [("st", object), ("clu", object), ("Wheights", object)])
    for p, spikes in enumerate(probes):
        times, clusters = np.array([t for t, _ in spikes]), np.array([float(c) for _, c in spikes])
        name = f"probe{p + 1}"
        own = heights[name] if name in heights else 100.0 * np.arange(1, max((c for _, c in spikes), default=0) + 1)
        records[0, p] = (times[:, None], clusters[:, None], np.asarray(own)[:, None])
    scipy.io.savemat(path, {"spks": records})
    return path


def locations(path, n_probes=3):
    mice = np.zeros((1, 3), [("probe", object)])
    for m in range(3):
        probes = np.zeros((1, n_probes), [("siteCoords", object), ("ccfOntology", object)])
        for p in range(n_probes):
            probes[0, p] = (np.array([[0.0, 20.0], [0.0, 190.0], [0.0, 330.0]]), np.array([f"deep{m}", "VISp5", "VISp2/3"], object)[:, None])
        mice[0, m] = (probes,)
    scipy.io.savemat(path, {"probeLocations": mice})
    return path


def test_units_are_the_clusters_that_occur_with_probe_and_height(tmp_path):
    with READER(spks(tmp_path / "spksKrebs_Feb18.mat")) as recording:
        units = recording.units.to_pylist()
        assert [u["unit_id"] for u in units] == ["probe1:1", "probe1:3", "probe3:2"]
        assert [(u["probe"], u["depth_um"], u["src_clu"], u["region"]) for u in units] == [
            ("probe1", 100, 1, None),
            ("probe1", 300, 3, None),
            ("probe3", 200, 2, None),
        ]
        assert [sorted(recording.trains.read(u).tolist()) for u in range(3)] == [[10.1], [10.5, 11.0], [12.0, 13.257]]
        assert recording.subject.subject_id == "Krebs"
        assert recording.session_id == "spksKrebs_Feb18"


def test_each_probe_is_observed_from_its_first_spike_to_its_last(tmp_path):
    with READER(spks(tmp_path / "spksKrebs_Feb18.mat")) as recording:
        spans = recording.observed
        each = list(zip(spans.unit.tolist(), spans.start_s.tolist(), spans.stop_s.tolist(), strict=True))
    assert each == [(u, a, pytest.approx(b, abs=2e-5)) for u, a, b in [(0, 10.1, 11.0), (1, 10.1, 11.0), (2, 12.0, 13.257)]]


def test_areas_come_from_the_nearest_site_of_the_mouses_own_probe(tmp_path):
    spks(tmp_path / "spksWaksman_Feb18.mat", probe3=[10.0, np.nan])
    locations(tmp_path / "probeLocations.mat")
    with READER(tmp_path) as recording:
        assert recording.units.column("region").to_pylist() == ["deep1", "VISp2/3", None]


def test_the_spontaneous_period_is_an_interval_where_the_file_reaches_it(tmp_path):
    late = [[(3700.0, 1), (3900.0, 1)]]
    with READER(spks(tmp_path / "spksKrebs_Feb18.mat", late)) as recording:
        assert recording.intervals["epochs"].to_pylist()[0]["start_s"] == 3811.0
    with READER(spks(tmp_path / "spksKrebs_Feb18.mat")) as recording:
        assert not recording.intervals


def test_a_file_far_away_reads_the_same(tmp_path):
    there = UPath("memory://eight/spksKrebs_Feb18.mat")
    there.write_bytes(spks(tmp_path / "spksKrebs_Feb18.mat").read_bytes())
    with READER(there) as far:
        assert far.units.column("unit_id").to_pylist() == ["probe1:1", "probe1:3", "probe3:2"]


def in_place(probes):
    """The published scripts' counts, a spike at a time; None where they stop."""
    every = [(p, t, c) for p, spikes in enumerate(probes) for t, c in spikes]
    first, last = min(t for _, t, _ in every), max(t for _, t, _ in every)
    highest = [max((c for _, c in spikes), default=0) for spikes in probes]
    counts = np.zeros((sum(highest), int(np.ceil((last - first) / 0.02))), np.uint8)
    try:
        for p, t, c in every:
            counts[sum(highest[:p]) + c - 1, int((t - first) / 0.02)] += 1
    except IndexError:
        return None
    return counts


spike = st.tuples(st.one_of(st.floats(5.0, 6.0), st.integers(250, 300).map(lambda k: k * 0.02)), st.integers(1, 4))


@given(st.lists(st.lists(spike, max_size=12), min_size=1, max_size=4).filter(lambda probes: any(probes)))
def test_the_published_rows_are_those_of_one_added_a_spike(tmp_path_factory, probes):
    path = spks(tmp_path_factory.getbasetemp() / "spksKrebs_Feb18.mat", probes)
    expected = in_place(probes)
    if expected is None:
        with pytest.raises(BadTimes, match="on the border of a bin"):
            ROWS(path)
        return
    if not expected.any():
        return
    with ROWS(path) as recording:
        n_bins = round(float(recording.observed.stop_s[0]) * 50)
        got = np.array([np.bincount(recording.trains.read(u), minlength=n_bins) for u in range(recording.trains.n_units)])
    np.testing.assert_array_equal(got, expected)


def test_counts_above_255_wrap_in_the_published_rows_and_it_is_told(tmp_path):
    with ROWS(spks(tmp_path / "spksKrebs_Feb18.mat", [[(5.001, 1)] * 300 + [(6.013, 1), (5.0, 2)]])) as recording:
        assert np.bincount(recording.trains.read(0)).tolist()[0] == 300 - 256
        assert "1 counts above 255 wrapped around to uint8, as in the published scripts" in recording.notes


def test_rows_of_numbers_that_do_not_occur_are_told(tmp_path):
    with ROWS(spks(tmp_path / "spksKrebs_Feb18.mat")) as recording:
        assert recording.trains.n_units == 3 + 0 + 2
        assert "2 rows are of cluster numbers that do not occur, as in the published scripts" in recording.notes


@pytest.mark.parametrize(
    ("probes", "reader", "error", "words"),
    [
        ([[], []], READER, NoEvents, "2 probes without a spike"),
        ([[], []], ROWS, NoEvents, "2 probes without a spike"),
        ([[(1.0, 1), (np.nan, 1)]], ROWS, BadTimes, "NaN or infinite"),
        ([[(1.0, 0), (1.5, 1), (1.511, 1)]], ROWS, UnreadableFile, "has a cluster 0"),
        ([[(1.0, -1)]], READER, UnreadableFile, "no whole numbers from 0"),
        ([[(1.0, 1.5)]], READER, UnreadableFile, "no whole numbers from 0"),
        ([[(1.0, 1 << 40)]], READER, UnreadableFile, "no whole numbers from 0"),
        ([[(0.0, 1), (1e9, 1)]], ROWS, BadTimes, "too many to count"),
    ],
)
def test_values_that_cannot_be_are_refused_in_a_line(tmp_path, probes, reader, error, words):
    path = spks(tmp_path / "spksKrebs_Feb18.mat", probes, probe1=[1.0])
    with pytest.raises(error, match=words) as caught:
        reader(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("held", [{"motionSVD": np.zeros((3, 2))}, {"spks": np.zeros(3)}, {"spks": {"st": np.zeros(3)}}])
def test_another_mat_file_is_no_eight_probes(tmp_path, held):
    scipy.io.savemat(tmp_path / "Krebs_face_proc.mat", held)
    with pytest.raises(UnreadableFile, match="sought `spks`, a record a probe"):
        READER(tmp_path / "Krebs_face_proc.mat")


def test_a_record_with_another_number_of_clusters_than_times_is_refused(tmp_path):
    records = np.zeros((1, 1), [("st", object), ("clu", object)])
    records[0, 0] = (np.zeros((3, 1)), np.ones((2, 1)))
    scipy.io.savemat(tmp_path / "spksKrebs_Feb18.mat", {"spks": records})
    with pytest.raises(UnreadableFile, match="3 times and 2 clusters"):
        READER(tmp_path / "spksKrebs_Feb18.mat")


def test_places_of_another_number_of_probes_are_refused(tmp_path):
    spks(tmp_path / "spksKrebs_Feb18.mat")
    locations(tmp_path / "probeLocations.mat", n_probes=2)
    with pytest.raises(UnreadableFile, match="the places of 2 probes for the spikes of 3"):
        READER(tmp_path)


@pytest.mark.parametrize("keep", [0, 100, 200, 400])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    path = spks(tmp_path / "spksKrebs_Feb18.mat")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableFile):
        READER(path)


def test_the_mice_are_in_the_order_of_their_places():
    assert set(eight_probes_file.SPONTANEOUS_FROM_S) == set(eight_probes_file.MICE)
