"""Corpora of dense rows, as others publish them, come in as they are: every count in its bin, sessions whole again."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubState, hub_writable
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from neuropile import Store, create_store, make_pile, open_store, testing
from neuropile.building import add_recording
from neuropile.errors import UnreadableFile
from neuropile.readers import published_rows
from neuropile.writing import Provenance

COUNTS = pa.list_(pa.list_(pa.uint8()))
Key = tuple[str, str]


def segments(counts: np.ndarray, limit: int) -> list[np.ndarray]:
    """A session in pieces, by the description of the published scripts: k = ceil(units x bins / limit) pieces of ceil(bins / k) bins."""
    k = math.ceil(counts.size / limit)
    width = math.ceil(counts.shape[1] / k)
    return [counts[:, i * width : min((i + 1) * width, counts.shape[1])] for i in range(k) if i * width < counts.shape[1]]


def rows_of(sessions: dict[Key, np.ndarray], limit: int, dataset: str | None = None) -> list[dict[str, Any]]:
    found = []
    for (subject, session), counts in sessions.items():
        for i, piece in enumerate(segments(counts, limit)):
            row = {"spike_counts": piece.tolist(), "subject_id": subject, "session_id": session, "segment_id": f"segment_{i}"}
            found.append(row | ({"source_dataset": dataset} if dataset else {}))
    return found


def write_rows(rows: list[dict[str, Any]], folder: Path, shards: dict[str, int], seed: int = 0) -> None:
    """Rows shuffled over the files of some splits, in row groups of three."""
    order = np.random.default_rng(seed).permutation(len(rows))
    n = sum(shards.values())
    (folder / "data").mkdir(parents=True)
    parts = iter(np.array_split(order, n))
    for split, count in shards.items():
        for i in range(count):
            own = [rows[j] for j in next(parts)]
            names = list(rows[0])
            table = pa.table({c: pa.array([r[c] for r in own], COUNTS if c == "spike_counts" else pa.string()) for c in names})
            pq.write_table(table, folder / "data" / f"{split}-{i:05d}-of-{count:05d}.parquet", row_group_size=3)


def stored(place: Any, folder: Path) -> Store:
    """A store of every session of a corpus."""
    made = create_store(folder)
    reader = published_rows.rows()
    for session in published_rows.sessions(place):
        with reader(session) as recording:
            add_recording(made, recording, Provenance(session.dataset, tuple(reader.assets(session)), repr(reader)))
    return made


def some_sessions(rng: np.random.Generator, n: int = 4) -> dict[Key, np.ndarray]:
    return {(f"mouse{i % 2}", f"ses-{i}"): rng.poisson(0.3, (rng.integers(1, 6), rng.integers(5, 90))).astype(np.uint8) for i in range(n)}


@given(st.integers(0, 2**32 - 1), st.integers(20, 200), st.integers(1, 3), st.integers(0, 2))
@settings(max_examples=8)
def test_every_count_comes_back_in_its_bin(tmp_path_factory: pytest.TempPathFactory, seed: int, limit: int, n_train: int, n_test: int) -> None:
    folder = tmp_path_factory.mktemp("rows")
    sessions = some_sessions(np.random.default_rng(seed))
    sessions[next(iter(sessions))][0, 0] = 255
    rows = rows_of(sessions, limit)
    write_rows(rows, folder / "corpus", {"train": n_train} | ({"test": n_test} if n_test else {}), seed)
    store = stored(folder / "corpus", folder / "store")
    assert len(store) == len(sessions)
    for (subject, name), counts in sessions.items():
        ses = store[f"corpus/{name}"]
        if not counts.any():
            continue
        found = ses.counts("0.02")
        np.testing.assert_array_equal(found.values, counts)
        assert bool(found.observed.all())
        assert (ses.record["quantity"], ses.record["ticks_per_s"], ses.record["subject_id"], ses.record["span_source"]) == (
            "counts",
            50,
            subject,
            "source's grid",
        )


def test_which_split_each_segment_was_in_is_kept(tmp_path: Path) -> None:
    sessions = {("m", "s"): np.random.default_rng(0).poisson(1.0, (3, 50)).astype(np.uint8)}
    rows = rows_of(sessions, 30)
    write_rows(rows, tmp_path / "corpus", {"train": 1, "test": 1})
    table = stored(tmp_path / "corpus", tmp_path / "store")["corpus/s"].intervals["segments"]
    assert list(table["src_segment_id"]) == [f"segment_{i}" for i in range(5)]
    assert list(table["start_s"]) == [0.0, 0.2, 0.4, 0.6, 0.8]
    where = {r["segment_id"]: s for s in ("train", "test") for r in pq.read_table(next((tmp_path / "corpus" / "data").glob(f"{s}-*"))).to_pylist()}
    assert dict(zip(table["src_segment_id"], table["src_split"], strict=True)) == where
    assert set(where.values()) == {"train", "test"}


def test_missing_segments_of_known_length_are_time_in_which_nobody_looked(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(1.0, (3, 47)).astype(np.uint8)
    rows = [r for r in rows_of({("m", "s"): counts}, 30) if r["segment_id"] not in ("segment_0", "segment_2")]
    write_rows(rows, tmp_path / "corpus", {"train": 1})
    ses = stored(tmp_path / "corpus", tmp_path / "store")["corpus/s"]
    found = ses.counts("0.02", 0, 47 / 50)
    seen = found.observed.values
    assert np.flatnonzero(~seen).tolist() == [*range(10), *range(20, 30)]
    np.testing.assert_array_equal(found.values[:, seen], counts[:, seen])
    assert "2 segments are missing (segment_0, segment_2)" in ses.notes[0]


def row(segment: str, n_units: int = 2, n_bins: int = 10, session: str = "s") -> dict[str, Any]:
    return {"spike_counts": np.ones((n_units, n_bins), int).tolist(), "subject_id": "m", "session_id": session, "segment_id": segment}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("segment_0"), row("segment_0")], "segment_0 comes 2 times"),
        ([row("segment_0"), row("segment_2", n_bins=11)], r"segments are missing \(segment_1\) and their length is not known; fetch all splits"),
        ([row("segment_5")], "their length is not known"),
        ([row("segment_0", n_bins=9), row("segment_1"), row("segment_3")], "their length is not known"),
        ([row("segment_0"), row("segment_1", n_units=3)], "its segments have 2 to 3 units"),
        ([row("first")], "'first' of session 's', not segment_<k>"),
        ([row("segment_0") | {"spike_counts": [[1, 2], [1]]}], "units have 1 to 2 counts"),
        ([row("segment_0") | {"spike_counts": [[1, None], [1, 2]]}], "or missing ones"),
        ([row("segment_0") | {"spike_counts": []}], "a row without units"),
    ],
)
def test_rows_that_make_no_session_are_told(tmp_path: Path, rows: list[dict[str, Any]], words: str) -> None:
    write_rows(rows, tmp_path / "corpus", {"train": 1})
    with pytest.raises(UnreadableFile, match=words):
        stored(tmp_path / "corpus", tmp_path / "store")


def test_a_damaged_file_is_told_by_name(tmp_path: Path) -> None:
    write_rows([row("segment_0")], tmp_path / "corpus", {"train": 1})
    file = tmp_path / "corpus" / "data" / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UnreadableFile, match=r"train-00000-of-00001.parquet cannot be read"):
        published_rows.sessions(tmp_path / "corpus")
    assert not published_rows.takes(tmp_path / "corpus")
    with pytest.raises(UnreadableFile, match="no files of rows"):
        published_rows.sessions(tmp_path / "store")


def test_two_subjects_may_use_one_name_and_two_datasets_too(tmp_path: Path) -> None:
    rows = rows_of({("a", "x"): np.ones((1, 4), np.uint8), ("b", "x"): np.ones((2, 4), np.uint8)}, 100, "one")
    rows += rows_of({("a", "x"): np.ones((3, 4), np.uint8)}, 100, "two")
    write_rows(rows, tmp_path / "corpus", {"train": 2})
    assert published_rows.takes(tmp_path / "corpus")
    store = stored(tmp_path / "corpus", tmp_path / "store")
    assert {k: store[k].n_units for k in store} == {"one/a_x": 1, "one/b_x": 2, "two/x": 3}


@pytest.mark.parametrize("options", [{"layout": "dense"}, {"compat": True}])
def test_a_pile_of_counts_published_dense_comes_in_with_equal_counts(tmp_path: Path, options: dict[str, Any]) -> None:
    sessions = some_sessions(np.random.default_rng(5))
    write_rows(rows_of(sessions, 10_000, "lab"), tmp_path / "corpus", {"train": 1})
    first = stored(tmp_path / "corpus", tmp_path / "first")
    pile = make_pile(first, max_tokens=40, test=0.4, split_by="segment")
    pile.publish(tmp_path / "p", **options)
    again = stored(tmp_path / "p", tmp_path / "again")
    assert {k: again[k].counts("0.02").values.tolist() for k in again} == {k: first[k].counts("0.02").values.tolist() for k in first}


def test_bins_are_as_wide_as_the_marker_says(tmp_path: Path) -> None:
    made = testing.store(tmp_path / "store", [testing.recording(0, n_units=4, duration_s=20)])
    pile = make_pile(made, bin_width="0.1", quality="all")
    pile.publish(tmp_path / "p", layout="dense")
    again = stored(tmp_path / "p", tmp_path / "again")["test/session-0"]
    np.testing.assert_array_equal(again.counts("0.1").values, pile[0].counts().values)
    make_pile(made, bin_width="0.03", quality="all").publish(tmp_path / "odd", layout="dense")
    with pytest.raises(UnreadableFile, match="no whole number makes a second"):
        published_rows.sessions(tmp_path / "odd")


def test_a_sparse_pile_is_opened_not_ingested(tmp_path: Path) -> None:
    made = testing.store(tmp_path / "store", [testing.recording(0, n_units=4, duration_s=20)])
    make_pile(made).publish(tmp_path / "p")
    with pytest.raises(UnreadableFile, match=r"rows without spike_counts.*opened as it is, with open_pile"):
        published_rows.sessions(tmp_path / "p")


@pytest.mark.parametrize(
    ("card", "licence"), [("---\nlicense: cc-by-4.0\n---\n# x", "cc-by-4.0"), ("---\nlicense: other\n---\n", None), ("# no header", None), (b"\xff", None)]
)
def test_the_licence_is_the_one_of_the_card(tmp_path: Path, card: str | bytes, licence: str | None) -> None:
    write_rows([row("segment_0")], tmp_path / "corpus", {"train": 1})
    (tmp_path / "corpus" / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    assert stored(tmp_path / "corpus", tmp_path / "store")["corpus/s"].record["license"] == licence


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubState]:
    with hub_writable(tmp_path / "served", "lab/corpus") as state:
        state.private = False
        yield state


def test_a_repository_of_the_hub_comes_in_as_its_folder_does(hub: HubState, tmp_path: Path) -> None:
    sessions = some_sessions(np.random.default_rng(1))
    write_rows(rows_of(sessions, 60), hub.root / "main", {"train": 2, "test": 1})
    place = UPath("hf://datasets/lab/corpus", endpoint=hub.endpoint, token=False)
    store = stored(place, tmp_path / "store")
    for (_, name), counts in sessions.items():
        np.testing.assert_array_equal(store[f"corpus/{name}"].counts("0.02").values, counts)
    source = store[f"corpus/{next(iter(sessions))[1]}"].record["sources"][0]
    assert source["url"].startswith("hf://datasets/lab/corpus/data/")


def test_the_command_takes_in_a_repository_by_its_address(hub: HubState, tmp_path: Path) -> None:
    sessions = some_sessions(np.random.default_rng(2))
    write_rows(rows_of(sessions, 60), hub.root / "main", {"train": 2, "test": 1})
    command = ["ingest", "hf://datasets/lab/corpus", "--store", str(tmp_path / "store"), "--json"]
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run([sys.executable, "-m", "neuropile", *command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["sessions"]
    assert {s["session"] for s in told} == {f"corpus/{name}" for _, name in sessions}
    for (_, name), counts in sessions.items():
        np.testing.assert_array_equal(open_store(tmp_path / "store")[f"corpus/{name}"].counts("0.02").values, counts)
