"""A session as NWB: valid by pynwb, equal when pynwb reads it, and the same ticks when we read it again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pynwb
import pytest

import neuropile
from neuropile import testing
from neuropile.errors import MissingExtra, NeuropileError
from neuropile.exporting import to_nwb
from neuropile.readers import nwb
from neuropile.types import Signal, Spans, Subject, Trains

VARIANTS = {
    "plain": {},
    "gaps": {"observed": "gaps", "n_units": 7},
    "each unit observed by itself": {"observed": "each", "start_s": -20.0, "float32": True},
    "no evidence of what was observed": {"observed": None},
    "invalid times": {"invalid": True},
}


def recording(**changes):
    return replace(testing.recording(1, n_units=6, duration_s=30.0), **changes)


@pytest.fixture
def session(tmp_path):
    """Store a recording and open it."""

    def _session(made):
        store = testing.store(tmp_path / "store", [made])
        return store[f"test/{made.session_id}"]

    return _session


def read(path):
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        file = io.read()
        return file, {n: t.to_dataframe() for n, t in file.intervals.items()}, file.units.to_dataframe()


def odd():
    """A recording with much that NWB has no place for."""
    made = recording()
    units = made.units.drop_columns(["region"])
    more = {
        "region": ["größe/β", None, "", "CA1", "VISp2/3", None],
        "src_region": ["a", "b", "c", "d", "e", "f"],
        "src_name": ["x"] * 6,
        "src_id": [9, 8, 7, 6, 5, 4],
        "src_a/b:c": [1.5, None, float("nan"), 2.5, 0.0, -1.0],
        "src_flag": [True, None, False, True, False, True],
        "src_list": [["p", None], [], None, ["q"], ["ß"], []],
        "src_pair": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(12.0)), 2),
        "src_region_index": [1, 2, 3, 4, 5, 6],
        "src_nothing": pa.nulls(6, pa.string()),
    }
    for name, values in more.items():
        units = units.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    intervals = {
        **made.intervals,
        "invalid": pa.table({"start_s": [1.0], "stop_s": [1.5], "src_tags": [["eye", "pupil"]]}),
        "licks": pa.table({"start_s": [1.0, 2.0], "src_name": ["left", None], "src_timeseries": [1, 2]}),
        "epochs": pa.table({"start_s": [0.0], "stop_s": [9.0], "src_tags": ["one"]}),
        "none": pa.table({"start_s": pa.array([], pa.float64())}),
    }
    signals = {
        **made.signals,
        "waveform_mean_uV": Signal(np.ones((6, 5), np.float32), ("unit", "sample"), unit="uV"),
        "tuning": Signal(np.ones((6, 3)), ("unit", "angle")),
        "map": Signal(np.ones((2, 3)), ("x", "y")),
    }
    subject = Subject("m-β", None, "male", "about a year", None)
    return replace(made, units=units, intervals=intervals, signals=signals, subject=subject, source={"src_session_start_time": "2020-02-03T04:05:06"})


MADE = [pytest.param(lambda k=k: testing.recording(3, duration_s=30.0, **VARIANTS[k]), id=k) for k in VARIANTS] + [pytest.param(odd, id="odd")]


@pytest.mark.parametrize("make", MADE)
def test_a_file_is_valid_and_pynwb_reads_the_stored_spikes_and_spans(make, session, tmp_path):
    ses = session(make())
    path = to_nwb(ses, tmp_path / "out" / "x.nwb")
    assert pynwb.validate(path=str(path)) == []
    file, intervals, units = read(path)
    spikes = ses.spikes()
    for unit in range(ses.n_units):
        np.testing.assert_array_equal(units["spike_times"].iloc[unit], spikes[unit])
        np.testing.assert_array_equal(units["obs_intervals"].iloc[unit], ses.observed.of(unit) / ses.ticks_per_s)
    assert units["unit_name"].tolist() == ses.units["unit_id"].tolist()
    assert units["region"].tolist() == ["" if r is None or r != r else r for r in ses.units["region"]]
    assert (file.identifier, file.session_id) == (ses.record["content_digest"], ses.session_id)
    trials = intervals["trials"]
    np.testing.assert_array_equal(trials["start_time"], ses.trials["start_s"])
    np.testing.assert_array_equal(trials["stim_on_s"], ses.trials["stim_on_s"])
    np.testing.assert_array_equal(trials["block"], ses.trials["src_block"])


@pytest.mark.parametrize("make", MADE)
def test_a_file_read_again_gives_the_same_ticks_spans_and_signals(make, session, tmp_path):
    ses = session(make())
    path = to_nwb(ses, tmp_path / "x.nwb")
    (outcome,) = neuropile.ingest([path], neuropile.create_store(tmp_path / "again"), lambda _: nwb.units())
    assert outcome.status == "stored", outcome.error
    again = neuropile.open_store(tmp_path / "again")["local/x"]
    np.testing.assert_array_equal(again.spikes().times, ses.spikes().times)
    np.testing.assert_array_equal(again.spikes().offsets, ses.spikes().offsets)
    for unit in range(ses.n_units):
        np.testing.assert_array_equal(again.observed.of(unit), ses.observed.of(unit))
    assert [r or None for r in again.units["region"].fillna("")] == [r or None for r in ses.units["region"].fillna("")]
    assert again.units["quality"].fillna("").tolist() == ses.units["quality"].fillna("").tolist()
    for name in ("running", "pupil"):
        np.testing.assert_array_equal(again.signals[name].values, ses.signals[name].values)
        np.testing.assert_array_equal(again.signals[name]["time"].values, ses.signals[name]["time"].values)
        assert again.signals[name].attrs["unit"] == ses.signals[name].attrs["unit"]


def test_silent_units_have_no_spikes_and_keep_their_row(session, tmp_path):
    trains = [np.array([]), np.array([1.0, 2.0]), np.array([])]
    made = recording(units=pa.table({"unit_id": ["7", "5", "6"]}), trains=Trains(3, lambda u: trains[u]), observed=Spans.of(0, 30))
    _, _, units = read(to_nwb(session(made), tmp_path / "x.nwb"))
    assert [len(t) for t in units["spike_times"]] == [0, 2, 0]
    assert units.index.tolist() == [7, 5, 6]  # whole numbers are NWB's own ids
    assert "unit_name" not in units


def test_what_nwb_has_no_place_for_is_kept_under_a_name_that_is_free_or_told(session, tmp_path):
    file, intervals, units = read(to_nwb(session(odd()), tmp_path / "x.nwb"))
    assert units["src_region"].tolist() == list("abcdef")
    assert units["src_region_index_2"].tolist() == [1, 2, 3, 4, 5, 6]
    assert units["src_name"].tolist() == ["x"] * 6
    assert units["src_id"].tolist() == [9, 8, 7, 6, 5, 4]
    np.testing.assert_array_equal(units["a_b_c"], [1.5, np.nan, np.nan, 2.5, 0.0, -1.0])
    np.testing.assert_array_equal(units["flag"], [1.0, np.nan, 0.0, 1.0, 0.0, 1.0])
    assert [list(v) for v in units["list"]] == [["p", ""], [], [], ["q"], ["ß"], []]
    assert [list(v) for v in units["pair"]] == np.arange(12.0).reshape(6, 2).tolist()
    assert "nothing" not in units
    np.testing.assert_allclose(np.stack(units["waveform_mean"]), 1e-6)  # volts
    np.testing.assert_array_equal(np.stack(units["tuning"]), 1.0)
    assert "map" in file.notes
    assert list(intervals["invalid_times"]["tags"][0]) == ["eye", "pupil"]
    assert intervals["epochs"]["src_tags"].tolist() == ["one"]
    assert intervals["licks"]["src_name"].tolist() == ["left", ""]
    assert np.isnan(intervals["licks"]["stop_time"]).all()
    assert (file.subject.subject_id, file.subject.sex, file.subject.age) == ("m-β", "M", None)
    assert "about a year" in file.subject.description
    assert file.session_start_time == datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert "without a time zone" in file.session_description


def test_what_the_source_does_not_say_is_said_to_be_unknown(session, tmp_path):
    file, _, _ = read(to_nwb(session(recording()), tmp_path / "x.nwb"))
    assert file.session_start_time == datetime(1970, 1, 1, tzinfo=UTC)
    assert "1970-01-01 stands for that" in file.session_description
    assert file.related_publications == ("made by neuropile.testing",)
    assert file.data_collection == "Licence: CC0-1.0"


def test_a_file_is_replaced_only_when_asked_and_appears_whole_or_not_at_all(session, tmp_path, monkeypatch):
    ses, path = session(recording()), tmp_path / "x.nwb"
    path.write_text("mine")
    with pytest.raises(NeuropileError, match="exists already; pass replace=True"):
        to_nwb(ses, path)
    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        to_nwb(ses, path, replace=True)
    assert path.read_text() == "mine"
    assert not list(tmp_path.glob(".*.tmp"))
    monkeypatch.undo()
    to_nwb(ses, str(path), replace=True)
    assert pynwb.validate(path=str(path)) == []


def test_without_pynwb_the_message_is_what_to_install(session, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynwb", None)
    with pytest.raises(MissingExtra, match=r"Session\.to_nwb needs nwb: pip install 'neuropile\[nwb\]'"):
        to_nwb(session(recording()), tmp_path / "x.nwb")
