import contextlib
import shutil
from dataclasses import replace
from itertools import pairwise
from math import floor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tampering
from hypothesis import example, given
from hypothesis import strategies as st
from sessions import N, few, open_written

from neuropile import layout, testing
from neuropile.errors import NeuropileError, StoreError
from neuropile.events import SpikeFile
from neuropile.session import Session

# Spikes


def test_spikes_are_the_centres_of_their_ticks(made):
    spikes = made.ses.spikes()
    assert spikes.unit_ids == tuple(made.recording.units.column("unit_id").to_pylist())
    assert len(spikes) == N
    for unit in range(N):
        assert np.array_equal(spikes[unit], (made.ticks[unit] + 0.5) / 100_000)
        assert np.array_equal(spikes[spikes.unit_ids[unit]], spikes[unit])


@few
@given(st.lists(st.integers(0, N - 1), unique=True), st.floats(-1, 41), st.floats(-1, 41), st.booleans(), st.booleans())
def test_spikes_of_some_units_in_a_window_are_those_that_lie_in_it(made, units, start, stop, open_start, open_stop):
    start, stop = made.start_s + start, made.start_s + stop
    low, high = floor(start * 100_000 + 1e-3), floor(stop * 100_000 + 1e-3)
    spikes = made.ses.spikes(units, None if open_start else start, None if open_stop else stop)
    assert len(spikes) == len(units)
    assert spikes.offsets[-1] == len(spikes.times)
    for i, unit in enumerate(units):
        own = made.ticks[unit]
        own = own[(own >= low) | open_start]
        assert np.array_equal(spikes[i], (own[(own < high) | open_stop] + 0.5) / 100_000)


def test_windows_side_by_side_hold_every_spike_once(made):
    edges = [None, *(made.start_s + np.array([3.0, 3.0, 10.01, 25.0])).tolist(), None]
    n = [len(made.ses.spikes(start=a, stop=b).times) for a, b in pairwise(edges)]
    assert sum(n) == made.ses.n_spikes
    assert n[1] == 0


def test_units_are_asked_for_by_id_row_or_mask_in_any_order(made):
    ids = list(made.ses.units.unit_id)
    mask = np.zeros(N, bool)
    mask[[2, 5]] = True
    for asked, expected in [([5, 2], [5, 2]), ([ids[5], ids[2]], [5, 2]), (mask, [2, 5]), (pd.Series(mask), [2, 5]), (ids[3], [3]), (4, [4]), ([], [])]:
        assert made.ses.rows_of(asked).tolist() == expected
    assert made.ses.rows_of(None).tolist() == list(range(N))
    assert np.array_equal(made.ses.counts(units=[5, 2]).values, made.ses.counts(units=[2, 5]).values[::-1])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([0, 0], "a unit is asked for twice"),
        (["probe00-1", "probe00-1"], "a unit is asked for twice"),
        ([9], "unit rows run from 0 to 8, asked for 9 to 9"),
        ([-1], "unit rows run from 0 to 8, asked for -1 to -1"),
        (["nobody"], "no unit 'nobody' among 9; unit ids look like 'probe00-0'"),
        (np.ones(3, bool), "mask"),
    ],
)
def test_units_that_are_not_there_are_named(made, asked, message):
    with pytest.raises(StoreError, match=message):
        made.ses.rows_of(asked)


ranges = st.lists(st.integers(-1, 10), min_size=2, max_size=2).map(sorted).map(tuple) | st.none()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=60), st.integers(1, 9), ranges, ranges)
@example([(0, 3), (1, 2)], 1, None, (3, 4))
@example([(0, 3), (1, 2)], 1, (0, 1), (2, 4))
def test_only_what_is_asked_is_read_and_all_of_it(tmp_path_factory, spikes, group, units, ticks):
    """Windows that start and stop on the first and last ticks of row groups too."""
    spikes = sorted(spikes, key=lambda s: (s[1] // 5, *s))
    path = tmp_path_factory.mktemp("events") / "spikes.parquet"
    with layout.spikes_writer(path, pa.int32()) as writer:
        for i in range(0, len(spikes), group):
            rows = np.array(spikes[i : i + group], np.int32)
            writer.write_table(pa.table([rows[:, 0], rows[:, 1]], schema=writer.schema))
    unit, tick = SpikeFile(path).read(None if units is None else np.arange(*units), ticks)
    expected = [(u, t) for u, t in spikes if (units is None or units[0] <= u < units[1]) and (ticks is None or ticks[0] <= t < ticks[1])]
    assert list(zip(unit.tolist(), tick.tolist(), strict=True)) == expected


# Tables and signals


def test_intervals_are_a_mapping_of_tables(made):
    assert set(made.ses.intervals) == {"trials", "observed"}
    assert "trials" in made.ses.intervals
    assert "licks" not in made.ses.intervals
    assert made.ses.intervals.get("licks") is None
    assert made.ses.trials.start_s.tolist() == made.recording.intervals["trials"].column("start_s").to_pylist()
    with pytest.raises(StoreError, match=r"^test/session-4: no intervals 'licks'; there are "):
        made.ses.intervals["licks"]


def test_signals_are_a_mapping_of_labelled_arrays(made):
    assert set(made.ses.signals) == {"running", "pupil"}
    assert "licks" not in made.ses.signals
    assert made.ses.signals.get("licks") is None
    running, pupil = made.ses.signals["running"], made.ses.signals["pupil"]
    assert np.array_equal(running.values, made.recording.signals["running"].data)
    assert np.allclose(running.time.values, made.start_s + np.arange(2000) / 50)
    assert np.array_equal(pupil.time.values, made.recording.signals["pupil"].time_s)
    assert (pupil.dims, pupil.attrs["unit"], pupil.attrs["description"]) == (("time", "axis"), "px", "centre of the pupil")
    with pytest.raises(StoreError, match=r"^test/session-4: no signal 'licks'; there are pupil, running$"):
        made.ses.signals["licks"]


def test_facts_are_at_hand_and_shown(made):
    ses = made.ses
    assert (ses.key, ses.n_units, ses.subject_id, ses.species) == ("test/session-4", N, "mouse-1", "Mus musculus")
    assert f"{N} units, {ses.n_spikes} spikes" in repr(ses)
    assert "CC0-1.0" in ses._repr_html_()


def test_what_a_file_says_is_shown_as_text(tmp_path):
    recording = replace(testing.recording(0, n_units=2, duration_s=5.0), license="<script>alert(1)</script>")
    assert "<script>" not in open_written(recording, tmp_path / "s")._repr_html_()


# pynapple


def test_pynapple_gets_the_same_spikes_spans_and_units(made):
    pytest.importorskip("pynapple")
    group = made.ses.to_pynapple()
    spikes = made.ses.spikes()
    spans = made.ses.observed.of_any()
    assert list(group.keys()) == list(range(N))
    for unit in range(N):
        own = spikes[unit]
        inside = np.any([(own >= a / 1e5) & (own < b / 1e5) for a, b in spans], axis=0)
        assert np.array_equal(group[unit].times(), own[inside])
    assert np.allclose(group.time_support.values, spans / 100_000, rtol=0, atol=1e-9)
    assert list(group["unit_id"]) == list(made.ses.units.unit_id)


def test_pynapple_gets_the_units_asked_for_and_silent_ones(bursts):
    pytest.importorskip("pynapple")
    group = bursts.to_pynapple(["u2", "u0"])
    assert [len(group[i]) for i in group] == [0, 3]
    assert list(group["unit_id"]) == ["u2", "u0"]


# Damage


def test_a_folder_without_a_marker_is_no_session(made, tmp_path):
    shutil.copytree(made.ses.root, tmp_path / "s")
    (tmp_path / "s" / "session.json").unlink()
    with pytest.raises(StoreError, match=r"holds no finished session \(no session\.json\); build it again"):
        Session(tmp_path / "s")


def test_a_newer_session_is_refused(made, tmp_path):
    shutil.copytree(made.ses.root, tmp_path / "s")
    layout.write_json({**made.ses.record, "version": 2}, tmp_path / "s" / "session.json")
    with pytest.raises(StoreError, match="was written in format 2; this neuropile reads format 1: upgrade neuropile"):
        Session(tmp_path / "s")


@pytest.mark.parametrize("file", ["units.parquet", "spikes.parquet", "intervals/trials.parquet", "intervals/observed.parquet"])
@pytest.mark.parametrize("how", ["missing", "empty", "cut", "overwritten"])
def test_a_damaged_file_is_one_clear_error(made, tmp_path, file, how):
    shutil.copytree(made.ses.root, tmp_path / "s")
    path = tmp_path / "s" / file
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "overwritten": b"x" * len(data)}[how])
    with pytest.raises(StoreError, match=r"cannot be read .*; restore it from a copy or build the session again"):
        _use_everything(Session(tmp_path / "s"))


@few
@given(st.data())
def test_damaged_values_give_an_answer_or_our_error_and_nothing_else(tiny_store, tmp_path_factory, data):
    """Values, not footers: Arrow itself stops the process at some footers."""
    folder = tmp_path_factory.mktemp("flipped") / "s"
    shutil.copytree(tiny_store.root / "test" / "session-2", folder)
    file = data.draw(st.sampled_from(["spikes.parquet", "intervals/trials.parquet"]))
    facts = Session(folder).record["files"][file]
    damaged = bytearray((folder / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, facts["bytes"] - facts["footer_bytes"] - 1))] = data.draw(st.integers(0, 255))
    (folder / file).write_bytes(damaged)
    with contextlib.suppress(NeuropileError):
        ses = Session(folder)
        ses.spikes()
        ses.counts()
        ses.align("trials.stim_on_s", (-0.1, 0.1))


@pytest.mark.parametrize(("unit", "tick"), [([0, 7, 0, 0], [1, 2, 3, 4]), ([-1, 0, 0, 0], [1, 2, 3, 4]), ([0, 0, 0, 0], [50, 60, 70, 3])])
def test_spikes_that_cannot_be_are_one_clear_error(bursts, unit, tick):
    table = pa.table({"unit": pa.array(unit, pa.int32()), "tick": pa.array(tick, pa.int32())})
    tampering.replace(bursts.root / "session.json", "spikes.parquet", table)
    ses = Session(bursts.root)
    with pytest.raises(StoreError, match="the file is damaged; restore it from a copy or build the session again"):
        _count_everywhere(ses)


def test_spikes_of_other_columns_are_refused(bursts):
    tampering.replace(bursts.root / "session.json", "spikes.parquet", pa.table({"neuron": [1], "tick": [1.5]}))
    with pytest.raises(StoreError, match="its columns are neuron, tick, not whole numbers unit, tick"):
        Session(bursts.root).counts(0.5)


def _count_everywhere(ses):
    ses.counts(0.5)
    ses.align(np.array([0.004]), (0.0, 0.1), 0.1)


def _use_everything(ses):
    ses.units  # noqa: B018
    ses.trials  # noqa: B018
    ses.counts()
