"""Recordings written to folders, read back with pyarrow, zarr and pandas alone."""

import hashlib
import json
import re
import socket
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from writings import files_of, of_trains, stored_trains, written

from neuropile import layout, testing
from neuropile.digest import ContentDigest
from neuropile.types import Signal, Spans, Trains
from neuropile.writing import Provenance, index_rows, write_session

#: Each example writes a session: fewer do.
few = settings(max_examples=settings().max_examples // 3)


KINDS = {
    "plain": {},
    "negative": {"start_s": -30.0},
    "late": {"start_s": 30_000.0},  # ticks beyond 2**31
    "gaps": {"observed": "gaps", "invalid": True},
    "each": {"observed": "each", "invalid": True, "start_s": -7.5},
    "unknown": {"observed": None},
    "float32": {"float32": True},
}


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A recording of some kind, the folder it was written to, and its marker."""
    recording = testing.recording(3, n_units=9, duration_s=40.0, **KINDS[request.param])
    folder = tmp_path_factory.mktemp("made") / "s"
    return recording, folder, written(folder, recording)


# The round trip


def test_every_spike_comes_back_as_its_tick(made):
    recording, folder, _ = made
    for unit, ticks in enumerate(stored_trains(folder, 9)):
        times = recording.trains.read(unit).astype(np.float64)
        assert ticks == np.floor(times * 100_000 + 1e-3).astype(np.int64).tolist()


def test_spikes_are_sorted_by_block_unit_and_tick(made):
    _, folder, marker = made
    table = pd.read_parquet(folder / "spikes.parquet")
    block = np.searchsorted(marker["block_edges"], table.tick, side="right")
    order = np.lexsort([table.tick, table.unit, block])
    assert order.tolist() == list(range(len(table)))


def test_spikes_are_two_plain_columns_of_the_smallest_type(made):
    _, folder, marker = made
    schema = pq.read_schema(folder / "spikes.parquet")
    tick = pa.int64() if marker["last_tick"] >= 2**31 else pa.int32()
    assert schema == pa.schema([pa.field("unit", pa.int32(), nullable=False), pa.field("tick", tick, nullable=False)])


def test_units_come_back_with_what_was_counted(made):
    recording, folder, marker = made
    units = pd.read_parquet(folder / "units.parquet")
    source = recording.units.to_pandas()
    for column in recording.units.column_names:
        assert units[column].tolist() == source[column].tolist() or units[column].equals(source[column])
    assert set(units.dataset) == {"test"}
    assert set(units.session_id) == {"session-3"}
    assert set(units.subject_id) == {"mouse-0"}
    assert set(units.quantity) == {"spikes"}
    assert units.n_spikes.tolist() == [len(recording.trains.read(u)) for u in range(9)]
    observed = pd.read_parquet(folder / "intervals" / "observed.parquet")
    for row in units.itertuples():
        own = observed[observed.unit.isin([-1, row.Index])]
        assert row.rate_hz == pytest.approx(row.n_spikes / (own.stop_s - own.start_s).sum())
    assert marker["n_spikes"] == units.n_spikes.sum()


def test_trials_come_back(made):
    recording, folder, _ = made
    trials = pq.read_table(folder / "intervals" / "trials.parquet")
    source = recording.intervals["trials"]
    assert set(trials.column_names) == set(source.column_names)
    for column in source.column_names:
        assert trials.column(column).to_pylist() == source.column(column).to_pylist()


def test_signals_come_back(made):
    recording, folder, _ = made
    root = zarr.open_group(folder / "signals.zarr", mode="r")
    running, pupil = root["running"], root["pupil"]
    assert np.array_equal(running["data"][:], recording.signals["running"].data)
    assert running.attrs.asdict() == {"unit": "cm/s", "description": "speed on the wheel", "start_s": recording.signals["running"].start_s, "rate_hz": 50.0}
    assert np.array_equal(pupil["data"][:], recording.signals["pupil"].data)
    assert np.array_equal(pupil["time"][:], recording.signals["pupil"].time_s)
    assert pupil["data"].metadata.dimension_names == ("time", "axis")
    assert running["data"].dtype == np.float32


def test_observed_spans_come_back_in_seconds_and_ticks(made):
    recording, folder, marker = made
    table = pd.read_parquet(folder / "intervals" / "observed.parquet")
    assert np.array_equal(table.start_tick / 100_000, table.start_s)
    assert np.array_equal(table.stop_tick / 100_000, table.stop_s)
    ticks = pd.read_parquet(folder / "spikes.parquet").tick
    if recording.observed is None:
        assert table[["unit", "start_tick", "stop_tick"]].to_numpy().tolist() == [[-1, ticks.min(), ticks.max() + 1]]
        assert marker["span_source"] == "spikes"
        return
    for unit in range(9):
        spans, invalid = recording.observed, recording.invalid
        inside = np.zeros(40 * 100 + 1, bool)  # hundredths of a second from the start
        t = recording.signals["running"].start_s + np.arange(len(inside)) / 100 + 0.005
        for i in np.flatnonzero((spans.unit == -1) | (spans.unit == unit)):
            inside |= (t > spans.start_s[i]) & (t < spans.stop_s[i])
        if invalid is not None:
            inside &= ~((t > invalid.start_s[0]) & (t < invalid.stop_s[0]))
        own = table[table.unit.isin([-1, unit])]
        found = np.any([(t > a) & (t < b) for a, b in zip(own.start_s, own.stop_s, strict=True)], axis=0)
        assert np.array_equal(found, inside)


def test_the_marker_says_where_each_footer_is(made):
    _, folder, marker = made
    assert set(marker["files"]) == {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"session.json"}
    for name, facts in marker["files"].items():
        data = (folder / name).read_bytes()
        assert facts["bytes"] == len(data)
        assert facts.get("footer_bytes") == (int.from_bytes(data[-8:-4], "little") + 8 if name.endswith(".parquet") else None)
        if name.endswith(".parquet"):
            assert facts["sha256"].encode() == pq.read_metadata(folder / name).metadata[b"neuropile.sha256"]
        else:
            assert facts.get("sha256") == (hashlib.sha256(data).hexdigest() if name.endswith("zarr.json") else None)


def test_the_content_digest_can_be_made_again_from_the_files(made):
    _, folder, marker = made
    digest = ContentDigest()
    digest.text("spikes", "session", 100_000)
    units = pq.read_table(folder / "units.parquet")
    for name in marker["filled"]["units"]:  # what only follows from the atlas is no part of it
        units = units.set_column(units.schema.get_field_index(name), name, pa.nulls(len(units), units.schema.field(name).type))
    digest.table("units", units)
    for name in ("observed", "trials"):
        digest.table(f"intervals/{name}", pq.read_table(folder / "intervals" / f"{name}.parquet"))
    trains = [np.array(t, np.int64) for t in stored_trains(folder, 9)]
    digest.array("spikes", trains, "int64", (sum(map(len, trains)),))
    root = zarr.open_group(folder / "signals.zarr", mode="r")
    pupil, running = root["pupil"], root["running"]
    digest.text("signal", "pupil", ("time", "axis"), "px", None, None)
    digest.array("data", [pupil["data"][:]], "f4", pupil["data"].shape)
    digest.array("time", [pupil["time"][:]], "f8", pupil["time"].shape)
    digest.text("signal", "running", ("time",), "cm/s", running.attrs["start_s"], running.attrs["rate_hz"])
    digest.array("data", [running["data"][:]], "f4", running["data"].shape)
    assert digest.hex() == marker["content_digest"]


def test_index_rows_are_the_marker_and_the_units(made):
    _, folder, marker = made
    sessions, units = index_rows(marker, folder)
    assert sessions.schema == layout.SESSION_SCHEMA
    assert units.schema == layout.UNIT_SCHEMA
    assert units.column("n_spikes").to_pylist() == pd.read_parquet(folder / "units.parquet").n_spikes.tolist()
    row = sessions.to_pylist()[0]
    assert (row["session_id"], row["status"], row["n_spikes"], row["sources"]) == ("session-3", "complete", marker["n_spikes"], marker["sources"])


def test_the_marker_keeps_who_and_whence(made):
    recording, folder, marker = made
    assert json.loads((folder / "session.json").read_text()) == marker
    assert marker["sources"] == [{"path": "file.nwb", "bytes": 3, "sha256": "00ff", "url": None, "version": None, "digest": None}]
    assert (marker["reader"], marker["license"], marker["citation"]) == ("reader()", "CC0-1.0", "made by neuropile.testing")
    assert (marker["subject_id"], marker["species"], marker["sex"]) == ("mouse-0", "Mus musculus", "F")
    assert marker["recording_id"] == "test/session-3"
    assert marker["regions"] == sorted(set(recording.units.column("region").to_pylist()) - {None})


def test_the_marker_holds_no_path_time_or_host(made):
    _, folder, _ = made
    text = (folder / "session.json").read_text()
    assert str(folder) not in text
    assert not re.search(r'"/', text)
    assert socket.gethostname() not in text
    assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", text)


# Same inputs, same bytes


def test_the_same_recording_is_the_same_bytes(made, tmp_path):
    recording, folder, _ = made
    written(tmp_path / "elsewhere" / "again", recording)
    assert files_of(tmp_path / "elsewhere" / "again") == files_of(folder)


def test_the_content_digest_does_not_depend_on_blocks_or_row_groups(made, tmp_path, monkeypatch):
    recording, folder, marker = made
    monkeypatch.setattr(layout, "block_edges", lambda first, last, _: np.array([first, (first + last) // 2, last + 1]))
    monkeypatch.setattr(layout, "SPIKES_PER_ROW_GROUP", 500)
    other = written(tmp_path / "s", recording)
    assert (tmp_path / "s" / "spikes.parquet").read_bytes() != (folder / "spikes.parquet").read_bytes()
    assert stored_trains(tmp_path / "s", 9) == stored_trains(folder, 9)
    assert other["content_digest"] == marker["content_digest"]


def test_the_content_digest_tells_recordings_apart(tmp_path):
    base = testing.recording(0, n_units=4, duration_s=10.0)
    fewer_trials = replace(base, intervals={"trials": base.intervals["trials"].slice(1)})
    louder = replace(base, signals={**base.signals, "running": replace(base.signals["running"], data=base.signals["running"].data + 1)})
    shifted = replace(base, trains=Trains(4, lambda unit: base.trains.read(unit) + (unit == 3) * 1e-3))
    swapped = replace(base, trains=Trains(4, lambda unit: base.trains.read(3 - unit)))
    longer = replace(base, observed=Spans.of(0.0, 11.0))
    digests = {written(tmp_path / str(i), r)["content_digest"] for i, r in enumerate([base, fewer_trials, louder, shifted, swapped, longer])}
    assert len(digests) == 6


# Row groups


def row_groups(folder: Path) -> list[tuple[int, int, int, int, int]]:
    meta = pq.read_metadata(folder / "spikes.parquet")
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    stats = [(g.column(0).statistics, g.column(1).statistics) for g in groups]
    return [(u.min, u.max, t.min, t.max, g.num_rows) for g, (u, t) in zip(groups, stats, strict=True)]


def first_unit_of(folder: Path, block: int, group: tuple[int, ...], edges: np.ndarray) -> int:
    """How many spikes the first unit of a row group has in its block."""
    table = pd.read_parquet(folder / "spikes.parquet")
    return int(((table.unit == group[0]) & (table.tick >= edges[block]) & (table.tick < edges[block + 1])).sum())


def check_row_groups(folder: Path, marker: dict, limit: int) -> None:
    edges = np.array(marker["block_edges"])
    groups = row_groups(folder)
    blocks = []
    for unit_min, unit_max, tick_min, tick_max, n in groups:
        block = np.searchsorted(edges, [tick_min, tick_max], side="right") - 1
        assert block[0] == block[1]
        assert n <= limit or unit_min == unit_max
        assert n > 0
        blocks.append((block[0], unit_min, unit_max))
    assert blocks == sorted(blocks)
    for (block, _, last), (next_block, first, _) in pairwise(blocks):
        assert block < next_block or last < first  # no unit is cut within a block
    for (a, b), (one, other) in zip(pairwise(blocks), pairwise(groups), strict=True):
        assert a[0] < b[0] or one[4] + first_unit_of(folder, b[0], other, edges) > limit  # and none is closed too early
    assert sum(g[4] for g in groups) == marker["n_spikes"]


def test_row_groups_stay_in_a_block_and_hold_65536_spikes_or_one_unit(tmp_path):
    rng = np.random.default_rng(0)
    counts = [70_000, 10, 0, 40_000, 30_000, 65_536, 1, 100_000, 0]
    folder = tmp_path / "s"
    marker = written(folder, of_trains([np.sort(rng.uniform(0, 700, n)) for n in counts]))
    check_row_groups(folder, marker, 65_536)
    assert len(marker["block_edges"]) == 4
    assert layout.SPIKES_PER_ROW_GROUP == 65_536


@few
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any), st.integers(1, 40), st.integers(1, 200), st.integers(0, 99))
def test_row_groups_are_cut_alike_at_any_size(tmp_path_factory, counts, limit, block, seed):
    rng = np.random.default_rng(seed)
    trains = [np.sort(rng.integers(-300, 300, n)) for n in counts]
    folder = tmp_path_factory.mktemp("groups") / "s"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SPIKES_PER_ROW_GROUP", limit)
        patch.setattr(layout, "block_edges", lambda first, last, _: np.arange(first // block, last // block + 2) * block)
        marker = written(folder, of_trains(trains, kind="ticks"))
    check_row_groups(folder, marker, limit)
    assert stored_trains(folder, len(counts)) == [t.tolist() for t in trains]


# Signals


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((0,), "f8"), ((1,), "u1"), ((3, 0), "f4"), ((1000, 700), "i2"), ((7, 400, 300), "f4"), ((5, 3), ">f8"), ((5,), "?"), ((300_000,), "f8")],
)
def test_signals_of_any_shape_and_type_come_back(tmp_path, shape, dtype):
    data = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    dims = ("time", "y", "x")[: len(shape)]
    written(tmp_path / "s", of_trains([[1.0]], signals={"x": Signal(data, dims, start_s=0.0, rate_hz=10.0)}))
    array = zarr.open_group(tmp_path / "s" / "signals.zarr", mode="r")["x/data"]
    assert array.shape == shape
    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(array[...], data)
    assert array.metadata.dimension_names == dims


def test_a_large_signal_is_read_a_shard_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("neuropile.writing.SIGNAL_CHUNK_BYTES", 800)
    monkeypatch.setattr("neuropile.writing.SIGNAL_SHARD_CHUNKS", 4)
    asked = []

    class Source:
        shape, dtype = (1234, 5), np.dtype(np.float32)

        def __getitem__(self, rows):
            asked.append(rows.stop - rows.start)
            return np.arange(rows.start * 5, rows.stop * 5, dtype=np.float32).reshape(-1, 5)

    one = written(tmp_path / "s", of_trains([[1.0]], signals={"x": Signal(Source(), ("time", "c"), start_s=0.0, rate_hz=10.0)}))
    assert set(asked[:-1]) == {160}
    assert sum(asked) == 1234
    whole = np.arange(1234 * 5, dtype=np.float32).reshape(-1, 5)
    assert np.array_equal(zarr.open_group(tmp_path / "s" / "signals.zarr", mode="r")["x/data"][...], whole)
    monkeypatch.undo()
    other = written(tmp_path / "t", of_trains([[1.0]], signals={"x": Signal(whole, ("time", "c"), start_s=0.0, rate_hz=10.0)}))
    assert one["content_digest"] == other["content_digest"]


def test_what_the_file_says_of_itself_becomes_plain_json(tmp_path):
    source = {"a": np.float32(1.5), "b": np.array([1, 2]), "c": float("nan"), 3: {"d": (np.int64(1), b"x")}, "when": pd.Timestamp("2020-01-01")}
    marker = written(tmp_path / "s", of_trains([[1.0]], source=source))
    assert marker["source"] == {"a": 1.5, "b": [1, 2], "c": None, "3": {"d": [1, "b'x'"]}, "when": "2020-01-01 00:00:00"}


@pytest.mark.parametrize("kind", ["longdouble", "clongdouble"])
def test_floats_wider_than_64_bits_are_rounded(tmp_path, kind):
    wide = np.array([1 / np.longdouble(3), 2.5]).astype(kind)
    odd = replace(testing.recording(0), signals={"odd": Signal(wide, ("time",), start_s=0.0, rate_hz=1.0)})
    write_session(odd, tmp_path, Provenance("d", (), "r"))
    kept = zarr.open_group(tmp_path / "signals.zarr", mode="r")["odd"]["data"]
    assert kept.dtype.itemsize == {"longdouble": 8, "clongdouble": 16}[kind]
    assert kept[:].tolist() == wide.astype(kept.dtype).tolist()
