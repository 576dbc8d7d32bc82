"""Sessions whose quantity is a signal: stored, listed, verified and read as all others are, and never counted."""

import json
import shutil
from dataclasses import replace as changed

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import serving
from tampering import edit, replace
from typer.testing import CliRunner
from writings import PROVENANCE, files_of, written

from neuropile import make_pile, open_store, testing
from neuropile.building import add_recording, ingest
from neuropile.cli import app
from neuropile.errors import BadTimes, NoEvents, PileError, StoreError, UnreadableFile
from neuropile.readers import find
from neuropile.session import Session
from neuropile.types import SIGNAL_QUANTITIES, Recording, Signal, Spans, Trains
from neuropile.verifying import verify

VALUES = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
KEY = "test/signals"


def silent(n_units: int) -> Trains:
    return Trains(n_units, lambda u: np.empty(0))


def of_signal(values: np.ndarray = VALUES, quantity: str = "rates", *, observed: Spans | None = None, time_s=None, start_s=2.0, **fields) -> Recording:
    """A recording of a signal at 50 Hz from `start_s` on, or at the times given."""
    clock = {"start_s": start_s, "rate_hz": 50.0} if time_s is None else {"time_s": np.asarray(time_s)}
    signal = Signal(values, ("time", "unit"), unit="Hz", **clock)
    units = pa.table({"unit_id": [f"u{i}" for i in range(values.shape[1])], "region": ["CA1"] * values.shape[1]})
    fields = {"trains": silent(values.shape[1]), "signals": {quantity: signal}} | fields
    return Recording("signals", units, quantity=quantity, observed=observed, **fields)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store of a session of spikes and one of rates."""
    store = testing.store(tmp_path_factory.mktemp("signals") / "store", [testing.recording(0, n_units=5, duration_s=10)])
    add_recording(store, of_signal(observed=Spans.of([2.0, 4.0], [3.0, 6.0])), PROVENANCE)
    return store


@pytest.fixture
def store(whole, tmp_path):
    """The same, to break."""
    shutil.copytree(whole.root, tmp_path / "store")
    return open_store(tmp_path / "store")


# What is stored


@pytest.mark.parametrize("quantity", SIGNAL_QUANTITIES)
def test_every_value_comes_back_under_the_name_of_its_quantity(tmp_path, quantity):
    marker = written(tmp_path / "s", of_signal(quantity=quantity))
    stored = zarr.open_group(str(tmp_path / "s" / "signals.zarr"), mode="r")[quantity]["data"][:]
    assert np.array_equal(stored, VALUES)
    assert stored.dtype == np.float32
    read = Session(tmp_path / "s").signals[quantity]
    assert read.dims == ("time", "unit")
    assert np.array_equal(read.to_numpy(), VALUES)
    assert np.allclose(read["time"], 2 + np.arange(200) / 50)
    assert (marker["quantity"], marker["n_spikes"], marker["signals"]) == (quantity, 0, [quantity])
    assert not verify(tmp_path / "s")


def test_no_spikes_are_stored_and_no_rate_is_claimed(tmp_path):
    written(tmp_path / "s", of_signal())
    spikes = pq.read_table(tmp_path / "s" / "spikes.parquet")
    assert (spikes.num_rows, spikes.column_names) == (0, ["unit", "tick"])
    assert duckdb.sql(f"select count(*) from '{tmp_path}/s/spikes.parquet'").fetchall() == [(0,)]
    units = pd.read_parquet(tmp_path / "s" / "units.parquet")
    assert units.rate_hz.isna().all()
    assert units.n_spikes.tolist() == [0] * 4
    assert set(units.quantity) == {"rates"}


ends = st.lists(st.integers(-3000, 3000), min_size=2, max_size=6, unique=True).map(sorted).filter(lambda e: len(e) % 2 == 0)


@settings(max_examples=15)
@given(st.integers(1, 60), st.integers(1, 3), st.integers(-500, 500), ends | st.none())
def test_a_session_reaches_from_what_was_observed_or_else_from_the_first_sample_to_the_last(tmp_path_factory, n, n_units, start, edges):
    """`start` and `edges` in hundredths of a second, whole ticks of 10 us."""
    spans = None if edges is None else Spans.of(np.array(edges[::2]) / 100, np.array(edges[1::2]) / 100)
    recording = of_signal(np.ones((n, n_units)), observed=spans, start_s=start / 100, span_source="a grid")
    marker = written(tmp_path_factory.mktemp("reach") / "s", recording)
    first, stop = (start * 1000, start * 1000 + (n - 1) * 2000 + 1) if edges is None else (edges[0] * 1000, edges[-1] * 1000)
    assert (marker["first_tick"], marker["last_tick"]) == (first, stop - 1)
    assert marker["duration_s"] == pytest.approx((stop - first) / 100_000)
    inside = stop - first if edges is None else 1000 * sum(b - a for a, b in zip(edges[::2], edges[1::2], strict=True))
    assert marker["observed_s"] == pytest.approx(inside / 100_000)
    assert marker["span_source"] == ("rates" if edges is None else "a grid")


def test_samples_at_times_of_their_own_keep_them_and_invalid_times_are_taken_out(tmp_path):
    times = np.array([3.0, 3.5, 3.6, 9.25])
    marker = written(tmp_path / "s", of_signal(VALUES[:4], time_s=times, invalid=Spans.of(3.0, 3.2)))
    ses = Session(tmp_path / "s")
    assert ses.signals["rates"]["time"].to_numpy().tolist() == times.tolist()
    assert (marker["first_tick"], marker["last_tick"]) == (320_000, 925_000)
    assert not verify(tmp_path / "s")


def test_a_session_of_which_nothing_was_observed_still_reaches_over_its_samples(tmp_path):
    marker = written(tmp_path / "s", of_signal(invalid=Spans.of(-np.inf, np.inf)))
    assert (marker["first_tick"], marker["last_tick"], marker["observed_s"]) == (200_000, 200_000 + 199 * 2000, 0.0)
    assert not verify(tmp_path / "s")


def test_the_content_digest_is_over_the_values_and_the_quantity(tmp_path):
    other = VALUES.copy()
    other[17, 2] += 1e-3
    recordings = [of_signal(), of_signal(other), of_signal(quantity="calcium"), of_signal(start_s=2.5), of_signal(VALUES[:-1])]
    digests = [written(tmp_path / str(i), r)["content_digest"] for i, r in enumerate(recordings)]
    assert len(set(digests)) == len(digests)
    again = written(tmp_path / "again", of_signal())
    assert again["content_digest"] == digests[0]
    assert files_of(tmp_path / "again") == files_of(tmp_path / "0")


# What is refused


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: of_signal(signals={}), "a recording of rates needs a signal of that name, found none"),
        (lambda: of_signal(trains=silent(4), quantity="lfp", signals={"rates": Signal(VALUES, ("time", "unit"), start_s=0.0, rate_hz=50.0)}), "found rates"),
        (lambda: of_signal(signals={"rates": Signal(VALUES.T, ("unit", "time"), start_s=0.0, rate_hz=50.0)}), "found unit, time of shape"),
        (lambda: of_signal(signals={"rates": Signal(VALUES[:, :3], ("time", "unit"), start_s=0.0, rate_hz=50.0)}), r"each of 4 units, found .* \(200, 3\)"),
        (lambda: of_signal(VALUES.astype(complex)), "must hold real numbers, found complex128"),
        (lambda: of_signal(trains=Trains(4, lambda u: np.ones(int(u == 2)))), "holds no events, found some of unit 2"),
        (lambda: of_signal(quantity="volts"), "'volts' is none of spikes, threshold_crossings, counts .*rates, envelope, calcium, lfp"),
        (lambda: of_signal(set_aside=" "), "set_aside must say why"),
    ],
)
def test_a_recording_that_contradicts_itself_is_never_made(make, told):
    with pytest.raises(UnreadableFile, match=told):
        make()


def test_a_signal_without_a_sample_or_with_times_that_are_none_is_not_stored(tmp_path):
    with pytest.raises(NoEvents, match="signals: sought rates, found a signal without a single sample"):
        written(tmp_path / "a", of_signal(VALUES[:0]))
    with pytest.raises(BadTimes, match="nan"):
        written(tmp_path / "b", of_signal(VALUES[:2], time_s=[0.0, np.nan]))
    rate = {"rates": Signal(VALUES, ("time", "unit"), start_s=0.0, rate_hz=0.0)}
    with pytest.raises(BadTimes, match="does not fit"):
        written(tmp_path / "c", of_signal(signals=rate))


def test_units_without_spikes_never_become_a_session_of_a_signal_by_themselves(tmp_path):
    recording = changed(testing.recording(0, n_units=4), trains=silent(4), signals=of_signal().signals)
    with pytest.raises(NoEvents, match="sought spikes"):
        written(tmp_path / "s", recording)
    np.savez(tmp_path / "r.npz", r=VALUES)
    made = testing.store(tmp_path / "store", [])
    (outcome,) = ingest([tmp_path / "r.npz"], made, lambda p: find(p, mapping={"counts": "r", "quantity": "rates"}))
    assert outcome.status == "failed"
    assert len(made) == 0


# What reads it


def test_it_is_a_row_of_the_index_like_any_other(store):
    for _ in range(2):
        row = store.sessions.loc[KEY]
        assert (row.quantity, row.n_units, row.n_spikes, row.duration_s) == ("rates", 4, 0, 4.0)
        assert store.units[store.units.session_id == "signals"].unit_id.tolist() == ["u0", "u1", "u2", "u3"]
        assert not store.rebuild_index()
    assert store.sql("select quantity, sum(n_spikes) > 0 as some from sessions group by all order by quantity").to_dict("list") == {
        "quantity": ["rates", "spikes"],
        "some": [False, True],
    }


def test_what_needs_events_says_where_the_values_are(store, tmp_path):
    pytest.importorskip("pynwb")
    pytest.importorskip("pynapple")
    ses = store[KEY]
    asked = [
        ses.spikes,
        ses.counts,
        lambda: ses.counts(1 / 7),
        lambda: ses.align([2.5], (-0.1, 0.1)),
        ses.to_pynapple,
        lambda: ses.to_nwb(tmp_path / "s.nwb"),
        lambda: ses.counter,
    ]
    for ask in asked:
        with pytest.raises(NoEvents, match=r"^test/signals holds rates, no spikes to read or count; its values, \(time, unit\), are ses.signals\['rates'\]$"):
            ask()
    assert not list(tmp_path.glob("*.nwb"))
    assert repr(ses).startswith("<Session test/signals: 4 units, rates, 4.0 s")
    assert "a session of rates" in ses._repr_html_()


def test_it_is_read_and_verified_far_away(store):
    store.rebuild_index()
    with serving(store.root) as served:
        far = open_store(served.url)
        assert np.array_equal(far[KEY].signals["rates"].to_numpy(), VALUES)
        assert not verify(served.url)


def test_damage_to_it_is_told(store):
    assert not verify(store.root)
    shard = next(p for p in (store.root / KEY / "signals.zarr" / "rates" / "data" / "c").rglob("*") if p.is_file())
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 4
    shard.write_bytes(data)
    assert [f.where for f in verify(store.root)] == [KEY]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"last_tick": 5}, "last_tick is 5, its tables say 599999"),
        ({"first_tick": 0}, "first_tick is 0, its tables say 200000"),
        ({"n_spikes": 3}, "n_spikes is 3 in a session of rates"),
        ({"quantity": "spikes"}, "n_spikes is 0 in a session of spikes"),
        ({"quantity": "lfp"}, "no signal 'lfp' in a session of lfp"),
        ({"signals": []}, "no signal 'rates' in a session of rates"),
    ],
)
def test_a_marker_that_lies_about_it_is_told(store, values, told):
    edit(store.root / KEY / "session.json", **values)
    assert told in " ".join(f.problem for f in verify(store.root / KEY))


def test_spikes_that_were_put_beside_it_are_told(store):
    smuggled = pa.table({"unit": pa.array([1], pa.int32()), "tick": pa.array([250_000], pa.int32())})
    replace(store.root / KEY / "session.json", "spikes.parquet", smuggled)
    assert "n_spikes is 0, its tables say 1" in " ".join(f.problem for f in verify(store.root / KEY))
    units = pq.read_table(store.root / KEY / "units.parquet")
    at = units.schema.get_field_index("n_spikes")
    replace(store.root / KEY / "session.json", "units.parquet", units.set_column(at, "n_spikes", pa.array([0, 1, 0, 0])))
    assert "content digest" in " ".join(f.problem for f in verify(store.root / KEY))


def test_a_column_for_fewer_units_than_there_are_is_told_though_every_digest_fits(tmp_path):
    recording = of_signal()
    recording.signals["rates"] = Signal(VALUES[:, :3], ("time", "unit"), start_s=2.0, rate_hz=50.0)  # what no Recording is made with
    written(tmp_path / "s", recording)
    assert "its rates have the shape (200, 3), not a column for each of 4 units" in " ".join(f.problem for f in verify(tmp_path / "s"))


def test_a_damaged_marker_is_refused_when_the_session_is_opened(store):
    edit(store.root / KEY / "session.json", signals=[])
    with pytest.raises(StoreError, match=r"does not describe a session .*no signal 'rates'"):
        store[KEY]


# Piles


def test_a_pile_leaves_it_out_and_says_so(store, tmp_path):
    pile = make_pile(store, quality="all")
    assert {s.key for s in pile} == {"test/session-0"}
    assert pile.meta["left_out"]["sessions_of_signals"] == [KEY]
    assert pile.meta["left_out"]["sessions_without_units"] == []
    assert make_pile(store, quality="good").meta["left_out"]["units_by_quality"] == int((store["test/session-0"].units.quality != "good").sum())
    out = CliRunner().invoke(app, ["pile", str(store.root), "--out", str(tmp_path / "p.parquet")])
    assert out.exit_code == 0
    assert "left out because they hold signals, not events: test/signals" in out.output


def test_a_store_of_nothing_else_makes_no_pile(tmp_path):
    only = testing.store(tmp_path / "store", [of_signal()])
    with pytest.raises(PileError, match="nothing to pile: of 1 sessions 1 hold signals, not events, and 0 are set aside"):
        make_pile(only)


def test_info_tells_of_it(store):
    told = json.loads(CliRunner().invoke(app, ["info", str(store.root / KEY), "--json"]).stdout)
    assert (told["quantity"], told["n_spikes"], told["signals"]) == ("rates", 0, ["rates"])
    assert CliRunner().invoke(app, ["info", str(store.root), "--json"]).exit_code == 0
