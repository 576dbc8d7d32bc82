"""Stimuli, responses and Allen's tables of made recordings, whatever lab they are of, against their definitions in plain Python."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropile import allen, regions, shown, testing
from neuropile.errors import BinWidthError, NotThere, StoreError

ON, EVERY = 0.25, 0.5


def table(n: int = 100) -> pa.Table:
    """Gratings of three directions with blanks among them, then a movie."""
    start = 2.0 + EVERY * np.arange(n)
    direction = [None if i % 4 == 3 else 45.0 * (i % 4) for i in range(n)]
    is_movie = np.arange(n) >= n - 20
    return pa.table(
        {
            "start_s": start,
            "stop_s": start + ON,
            "stimulus": ["movie" if m else "gratings" for m in is_movie],
            "block": pa.array([1 if m else 0 for m in is_movie], pa.int64()),
            "is_blank": pa.array([None if m else d is None for m, d in zip(is_movie, direction, strict=True)], pa.bool_()),
            "orientation_deg": pa.array([None if m else d for m, d in zip(is_movie, direction, strict=True)], pa.float64()),
            "frame": pa.array([i % 5 if m else None for i, m in enumerate(is_movie)], pa.int64()),
        }
    )


@pytest.fixture(scope="module", params=["whole", "each"])
def session(request, tmp_path_factory):
    made = testing.recording(3, n_units=6, observed=request.param)
    made = dataclasses.replace(made, intervals={**made.intervals, "presentations": table()})
    return testing.store(tmp_path_factory.mktemp("shown") / "store", [made])["test/session-3"]


def test_a_condition_is_what_presentations_have_in_common(session):
    rows = shown.presentations(session)
    key = [tuple(str(v) for v in row) for row in rows[["stimulus", "orientation_deg", "is_blank", "frame"]].itertuples(index=False)]
    numbers = {k: i for i, k in enumerate(dict.fromkeys(key))}
    assert shown.condition_ids(rows).tolist() == [numbers[k] for k in key]
    found = shown.conditions(session)
    assert found["n_presentations"].tolist() == [key.count(k) for k in numbers]
    assert len(found) == 4 + 5
    blank = shown.conditions(session, "gratings").query("is_blank == True")
    assert blank["orientation_deg"].isna().all()
    assert blank["n_presentations"].tolist() == [20]


def test_conditions_can_be_made_by_other_columns(session):
    assert shown.conditions(session, by=["stimulus"])["n_presentations"].tolist() == [80, 20]


def test_a_column_that_is_not_there_makes_no_condition(session):
    rows = shown.presentations(session)
    asks = (
        lambda by: shown.conditions(session, "gratings", by=by),
        lambda by: shown.condition_ids(rows, by),
        lambda by: shown.condition_statistics(session, "gratings", how=shown.How(by=by)),
    )
    for ask in asks:
        for by in (["orientation"], "orientation", ["stimulus", "orientation"]):
            with pytest.raises(NotThere, match="no column 'orientation' in the presentations; did you mean orientation_deg"):
                ask(by)
    with pytest.raises(NotThere, match="no column 'zzz' in the presentations; there are start_s, stop_s"):
        shown.condition_ids(rows, ["zzz"])
    with pytest.raises(StoreError, match=r"such as shown\.presentations\(ses\), not of Session"):
        shown.condition_ids(session)


def test_a_parameter_that_a_stimulus_lacks_is_null_and_no_error(session):
    found = shown.conditions(session, "movie", by=["orientation_deg", "contrast"])
    assert found["n_presentations"].tolist() == [20]
    assert found[["orientation_deg", "contrast"]].isna().all(axis=None)
    assert shown.condition_ids(shown.stimulus_table(session, "movie"), "orientation_deg").tolist() == [0] * 20
    assert shown.conditions(session, "gratings", by="orientation_deg")["n_presentations"].tolist() == [20] * 4


def test_changes_are_apart_only_where_it_is_asked():
    rows = pd.DataFrame({"stimulus": "images", "image_name": ["a", "a", "b", "b", "b"], "is_change": [False, False, True, False, False]})
    assert shown.condition_ids(rows).tolist() == [0, 0, 1, 1, 1]
    assert shown.condition_ids(rows, ["stimulus", *(c for c in shown.PARAMETERS if c in rows), "is_change"]).tolist() == [0, 0, 1, 2, 2]
    assert shown.condition_ids(rows, ["stimulus", *shown.PARAMETERS, "is_change"]).tolist() == [0, 0, 1, 2, 2]


def test_presentations_are_named_by_ids_stimuli_or_parts_of_the_table(session):
    whole = shown.presentations(session)
    edges = [0.0, 0.1]
    for asked, ids in (("movie", range(80, 100)), ([5, 3], [5, 3]), (7, [7]), (whole[whole["frame"] == 2], whole.index[whole["frame"] == 2])):
        assert shown.presentation_counts(session, edges, asked)["presentation"].values.tolist() == list(ids)
    with pytest.raises(NotThere, match="no presentation 100; their ids run from 0 to 99"):
        shown.presentation_counts(session, edges, [100])


def test_no_spike_is_in_two_presentations_that_follow_each_other(tmp_path):
    made = testing.recording(4, n_units=4)
    start = np.arange(0.0, 60.0, ON)
    joined = pa.table({"start_s": start, "stop_s": start + ON, "stimulus": ["x"] * len(start)})
    made = dataclasses.replace(made, intervals={"presentations": joined})
    session = testing.store(tmp_path / "store", [made])["test/session-4"]
    found = shown.presentation_spikes(session)
    assert len(found) == session.n_spikes
    counts = shown.condition_statistics(session)
    assert counts["spike_count"].sum() == session.n_spikes


@given(st.lists(st.integers(-30, 60), min_size=2, max_size=8, unique=True))
@settings(max_examples=25, deadline=None)
def test_counts_in_any_bins_are_those_of_their_union(shared, hundredths):
    """Whether bins are even or not, what is counted in them is what one bin over all of them counts."""
    edges = np.array(sorted(hundredths)) / 100
    parts = shown.presentation_counts(shared, edges, "gratings")
    whole = shown.presentation_counts(shared, edges[[0, -1]], "gratings")
    np.testing.assert_array_equal(parts.sum("time"), whole.sum("time"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = testing.recording(5, n_units=5)
    made = dataclasses.replace(made, intervals={"presentations": table()})
    return testing.store(tmp_path_factory.mktemp("shared") / "store", [made])["test/session-5"]


def test_even_bins_are_those_of_align(session):
    rows = shown.stimulus_table(session, "gratings")
    ours = shown.presentation_counts(session, np.arange(-0.1, 0.3001, 0.02), rows)
    theirs = session.align(rows["start_s"], (-0.1, 0.3), bin_width=0.02)
    np.testing.assert_array_equal(ours.transpose("presentation", "unit", "time"), theirs)
    mask = "unit_observed" if "unit_observed" in theirs.coords else "observed"
    np.testing.assert_array_equal(ours[mask].values, theirs[mask].transpose("trial", "time", *(["unit"] if mask == "unit_observed" else [])).values)


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ([0.0], "two or more"),
        ([0.1, 0.1], "each later"),
        ([0.0, np.nan], "finite"),
        ([0.0, 0.1234567], "no whole tick of 1/100000 s; the nearest is 0.12346 s"),
    ],
)
def test_edges_that_make_no_bins_are_told(session, edges, words):
    with pytest.raises(BinWidthError, match=words):
        shown.presentation_counts(session, edges)


def test_a_condition_shown_once_has_no_spread(session):
    found = shown.condition_statistics(session, [0, 1, 4], how=shown.How(observed=False)).loc[session.units["unit_id"].iloc[0]]
    assert found["n_presentations"].tolist() == [2, 1]
    assert found[["sd", "sem"]].isna().all(axis=1).tolist() == [False, True]


def test_a_session_without_stimuli_says_so(tmp_path):
    session = testing.store(tmp_path / "store", [testing.recording(1, n_units=2)])["test/session-1"]
    with pytest.raises(NotThere, match="no intervals 'presentations'"):
        shown.stimulus_names(session)


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Two sessions: one with channels, whose source tells nothing of probes, and one whose units are of no probe."""
    channels = pa.table({"channel_id": list("abcd"), "probe": ["probe00", "probe00", "probe02", None], "region": ["CA1", "VISp5", "VISp", None]})
    with_channels = dataclasses.replace(testing.recording(6, n_units=12), channels=channels)
    bare = testing.recording(7, n_units=3)
    bare = dataclasses.replace(bare, units=bare.units.drop_columns(["probe", "region"]))
    return testing.store(tmp_path_factory.mktemp("probed") / "store", [with_channels, bare])


def test_regions_are_asked_of_units_and_channels(probed):
    units = probed["test/session-6"].units
    inside = regions.in_region(units, "VISp")
    assert 0 < inside.sum() < len(units)
    for source in (probed, probed["test/session-6"]):
        assert allen.unit_table(source, "in_region('VISp') and depth_um > 0")["unit_id"].tolist() == units["unit_id"][inside].tolist()
        assert allen.channel_table(source, "in_region('VISp')")["channel_id"].tolist() == ["b", "c"]
    assert allen.structure_counts(probed, "in_region('VISp')").sum() == inside.sum()
    assert allen.unit_table(probed["test/session-7"], "in_region('VISp')").empty
    for table, row in ((allen.session_table, "session"), (allen.probe_table, "probe")):
        for name in ("VISp", "nowhere"):
            with pytest.raises(StoreError, match=f"a row here is a {row}; the {row}s that have units there are allen.unit_table"):
                table(probed, f"in_region('{name}')")


def test_probes_are_counted_by_units_and_channels_where_the_source_tells_of_none(probed):
    sessions = allen.session_table(probed).set_index("session")
    assert sessions["n_probes"].fillna(-1).to_dict() == {"test/session-6": 3, "test/session-7": -1}
    assert sessions["n_channels"].fillna(-1).to_dict() == {"test/session-6": 4, "test/session-7": -1}
    assert allen.session_table(probed, "n_probes >= 1")["session"].tolist() == ["test/session-6"]
    probes = allen.probe_table(probed)
    assert probes[["probe", "n_channels", "n_units"]].to_numpy().tolist() == [["probe00", 2, 6], ["probe01", 0, 6], ["probe02", 1, 0]]
    assert probes[["probe_id", "sampling_rate_hz", "has_lfp"]].isna().all(axis=None)


def test_what_a_function_cannot_take_is_told_in_one_line(probed):
    session = probed["test/session-6"]
    with pytest.raises(StoreError, match=r"takes the path or URL of the session's NWB file, not a session \(test/session-6\)"):
        allen.stimulus_template(session, "natural_scenes")
    with pytest.raises(StoreError, match="takes the path or URL of a probe's LFP file, not a session"):
        allen.csd_of(session)
    with pytest.raises(NotThere, match="no column 'cosmo' in the units; did you mean cosmos"):
        allen.structure_counts(session, by="cosmo")
    for limit in ("0.1", True, float("nan")):
        with pytest.raises(StoreError, match=f"amplitude_cutoff is {limit!r}; a limit is a number, or None for no limit"):
            allen.allen_quality(session.units, amplitude_cutoff=limit)
    with pytest.raises(StoreError, match=r"judges a table of units, such as ses\.units, not Session"):
        allen.allen_quality(session)


def test_a_mask_names_the_presentations_it_holds_for(session):
    is_movie = shown.presentations(session)["stimulus"] == "movie"
    for mask in (is_movie, is_movie.to_numpy()):
        found = shown.presentation_counts(session, [0.0, ON], mask)
        assert found["presentation"].values.tolist() == np.flatnonzero(is_movie).tolist()
    with pytest.raises(NotThere, match="a mask of 3 values does not fit 100 presentations"):
        shown.presentation_counts(session, [0.0, ON], np.ones(3, bool))


@pytest.mark.parametrize("lasts", [-1.0, 0.0, np.nan, np.inf])
def test_presentations_last_for_some_time(session, lasts):
    with pytest.raises(BinWidthError, match="more than none"):
        shown.condition_statistics(session, how=shown.How(lasts=lasts))


def test_edges_beyond_any_clock_are_told(session):
    with pytest.raises(BinWidthError, match="further than any clock"):
        shown.presentation_counts(session, [0.0, 1e30])


@pytest.mark.parametrize("tags", [[["stimulus"], None, ["all_probes"]], ["stimulus", None, "all_probes"]])
def test_invalid_times_are_found_by_tags_however_they_are_kept(tags, tmp_path):
    invalid = pa.table({"start_s": [1.0, 2.0, 3.0], "stop_s": [1.5, 2.5, 3.5], "tags": tags})
    made = dataclasses.replace(testing.recording(0, n_units=2), intervals={"invalid": invalid})
    session = testing.store(tmp_path / "store", [made])["test/session-0"]
    assert allen.invalid_times(session, "stimulus")["start_s"].tolist() == [1.0]
    assert allen.invalid_times(session, ["all_probes", "stimulus"])["start_s"].tolist() == [1.0, 3.0]
    assert len(allen.invalid_times(session)) == 3
