"""Corpora of dense rows, as others publish them, come in as they are: every count in its bin, sessions whole again."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
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

from neuropile import Store, create_store, layout, make_pile, open_store, parquet, testing
from neuropile.building import Outcome, add_recording, ingest
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
        ([row("segment_0"), row("segment_20230101")], "only 2 are there and 20230100 would be missing: such numbers are no places"),
        ([row("segment_0"), row("segment_999999999999999999")], "only 2 are there and 999999999999999998 would be missing"),
        ([row("segment_0"), row(f"segment_{10**30}")], "not segment_<k>"),
    ],
)
def test_rows_that_make_no_session_are_told(tmp_path: Path, rows: list[dict[str, Any]], words: str) -> None:
    write_rows(rows, tmp_path / "corpus", {"train": 1})
    with pytest.raises(UnreadableFile, match=words):
        stored(tmp_path / "corpus", tmp_path / "store")


def write_file(rows: list[dict[str, Any]], folder: Path, kind: pa.DataType, **options: Any) -> Path:
    """Rows as they are, in order, as the one file of a corpus."""
    (folder / "data").mkdir(parents=True)
    columns = {c: pa.array([r[c] for r in rows], pa.list_(pa.list_(kind)) if c == "spike_counts" else None) for c in rows[0]}
    path = folder / "data" / "train-00000-of-00001.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def taken_in(place: Path, store: Path) -> dict[str, Outcome]:
    """What became of each session of a corpus, by its key."""
    made = create_store(store)
    return {o.session: o for s in published_rows.sessions(place) for o in ingest([s], made, dataset=s.dataset)}


@pytest.mark.parametrize(
    ("bad", "kind", "words"),
    [
        ({"spike_counts": None}, pa.int64(), "row 1: a row without units"),
        ({"spike_counts": [[1, 2], [1]]}, pa.int64(), "row 1: a row whose units have 1 to 2 counts"),
        ({"spike_counts": [[1, 2], [1, -3]]}, pa.int64(), "row 1: unit 1 has the count -3 in bin 1; counts are whole numbers from 0"),
        (
            {"spike_counts": [[1, 2, 0], [1, 3_000_000_000, 0]]},
            pa.int64(),
            "unit 1 has the count 3000000000 in bin 1; no neuron or multi-unit fires more than 65535",
        ),
        ({"spike_counts": [[2**63 + 5, 2]]}, pa.uint64(), "unit 0 has the count 9223372036854775813 in bin 0"),
        ({"segment_id": "seg0"}, pa.int64(), "row 1 is called 'seg0' of session 'bad', not segment_<k>"),
        ({"segment_id": None}, pa.int64(), "row 1 is called 'None' of session 'bad', not segment_<k>"),
    ],
)
def test_a_bad_row_fails_its_own_session_only(tmp_path: Path, bad: dict[str, Any], kind: pa.DataType, words: str) -> None:
    rows = [row("segment_0", session="a"), row("segment_0", session="bad") | bad, row("segment_1", session="bad"), row("segment_0", session="z")]
    write_file(rows, tmp_path / "corpus", kind)
    told = taken_in(tmp_path / "corpus", tmp_path / "store")
    assert {k: o.status for k, o in told.items()} == {"corpus/a": "stored", "corpus/bad": "failed", "corpus/z": "stored"}
    assert words in str(told["corpus/bad"].error)
    assert list(open_store(tmp_path / "store")) == ["corpus/a", "corpus/z"]


def test_the_largest_count_comes_in(tmp_path: Path) -> None:
    counts = [[65535, 0, 1], [0, 0, 2]]
    write_file([row("segment_0") | {"spike_counts": counts}], tmp_path / "corpus", pa.int64())
    np.testing.assert_array_equal(stored(tmp_path / "corpus", tmp_path / "store")["corpus/s"].counts("0.02", dtype=np.uint16).values, counts)


def test_counts_that_are_not_whole_are_told(tmp_path: Path) -> None:
    write_file([row("segment_0") | {"spike_counts": [[0.5, 1.0]]}], tmp_path / "corpus", pa.float64())
    with pytest.raises(UnreadableFile, match="row 0: counts of type double, sought whole numbers from 0"):
        stored(tmp_path / "corpus", tmp_path / "store")


def test_rows_that_name_no_session_are_one_failed_source(tmp_path: Path) -> None:
    rows = [row("segment_0", session="a"), row("segment_0") | {"session_id": None}, row("segment_1") | {"session_id": None}]
    write_file(rows, tmp_path / "corpus", pa.uint8())
    told = taken_in(tmp_path / "corpus", tmp_path / "store")
    assert {k: o.status for k, o in told.items()} == {"corpus/a": "stored", "corpus/rows-without-session_id": "failed"}
    assert "row 1 is called 'segment_0' of session None" in str(told["corpus/rows-without-session_id"].error)


def test_files_are_read_once_however_many_rows_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file([row("segment_0", session=f"s{i}") | {"spike_counts": None} for i in range(6)], tmp_path / "corpus", pa.uint8())
    read: list[int] = []
    rows_of_file = published_rows.Corpus._rows

    def counted(self: published_rows.Corpus, file: int) -> Iterator[pa.Scalar]:
        read.append(file)
        return rows_of_file(self, file)

    monkeypatch.setattr(published_rows.Corpus, "_rows", counted)
    told = taken_in(tmp_path / "corpus", tmp_path / "store")
    assert [o.status for o in told.values()] == ["failed"] * 6
    assert read == [0]


def flip_in_counts(path: Path) -> None:
    """Flip one bit in the last page of a file's counts."""
    meta = pq.read_metadata(path)
    group = meta.row_group(meta.num_row_groups - 1)
    chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema.startswith("spike_counts"))
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size - 3] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_fails_the_sessions_it_may_be_in(tmp_path: Path) -> None:
    rows = [row("segment_0", n_bins=200, session=s) for s in ("a", "b", "c", "d", "e")]
    options = {"row_group_size": 4, "write_page_checksum": True, "compression": "none", "use_dictionary": False}
    flip_in_counts(write_file(rows, tmp_path / "corpus", pa.uint8(), **options))
    told = taken_in(tmp_path / "corpus", tmp_path / "store")
    assert [o.status for o in told.values()] == ["stored"] * 4 + ["failed"]
    assert "train-00000-of-00001.parquet is damaged" in str(told["corpus/e"].error)


@pytest.mark.parametrize("lost", ["train-00000-of-00002", "train-00001-of-00002", "test-00001-of-00003"])
def test_a_missing_file_of_a_set_is_told(tmp_path: Path, lost: str) -> None:
    write_rows([row(f"segment_{i}") for i in range(6)], tmp_path / "corpus", {"train": 2, "test": 3})
    (tmp_path / "corpus" / "data" / f"{lost}.parquet").unlink()
    assert published_rows.takes(tmp_path / "corpus")
    with pytest.raises(UnreadableFile, match=rf"data/{lost}.parquet is missing \(. of the . files of t.* are there\); fetch all of them"):
        published_rows.sessions(tmp_path / "corpus")


def test_files_of_two_sets_are_told(tmp_path: Path) -> None:
    write_rows([row("segment_0")], tmp_path / "corpus", {"train": 1})
    file = tmp_path / "corpus" / "data" / "train-00000-of-00001.parquet"
    file.with_name("train-00000-of-00002.parquet").write_bytes(file.read_bytes())
    with pytest.raises(UnreadableFile, match="files of train are of a set of 1 and of one of 2"):
        published_rows.sessions(tmp_path / "corpus")


def pile_of_counts(folder: Path, seed: int = 5) -> Path:
    """A dense pile of ours with two splits."""
    write_rows(rows_of(some_sessions(np.random.default_rng(seed)), 10_000, "lab"), folder / f"corpus{seed}", {"train": 1})
    made = stored(folder / f"corpus{seed}", folder / f"store{seed}")
    make_pile(made, max_tokens=40, test=0.4, split_by="segment").publish(folder / f"p{seed}", layout="dense")
    return folder / f"p{seed}"


def test_files_of_a_pile_of_ours_are_those_its_marker_lists(tmp_path: Path) -> None:
    pile, name = pile_of_counts(tmp_path), "data/train-00000-of-00001.parquet"
    whole = (pile / name).read_bytes()
    (pile / name).write_bytes(whole + whole[-8:])
    with pytest.raises(UnreadableFile, match=rf"{name} cannot be read \(it has {len(whole) + 8} bytes, pile.json says {len(whole)}\)"):
        published_rows.sessions(pile)
    at = whole.rindex(b"neuropile.sha256") - 40
    (pile / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(UnreadableFile, match="its footer is not the one that was written"):
        published_rows.sessions(pile)
    parquet.seal(pile / name)
    with pytest.raises(UnreadableFile, match="is not the file its marker speaks of"):
        published_rows.sessions(pile)
    (pile / name).write_bytes(whole)
    flip_in_counts(pile / name)
    assert "failed" in {o.status for o in taken_in(pile, tmp_path / "flipped").values()}
    (pile / name).write_bytes(whole)
    (pile / "data" / "val-00000-of-00001.parquet").write_bytes(whole)
    with pytest.raises(UnreadableFile, match=r"data/val-00000-of-00001.parquet is not one of the files that pile.json lists"):
        published_rows.sessions(pile)
    (pile / "data" / "val-00000-of-00001.parquet").unlink()
    (pile / name).unlink()
    with pytest.raises(UnreadableFile, match=r"data/train-00000-of-00001.parquet is missing, which pile.json lists"):
        published_rows.sessions(pile)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"files": None}, "does not list its files with their digests"),
        ({"files": {"data/train-00000-of-00001.parquet": {"bytes": "9"}}}, "does not list its files with their digests"),
        ({"bin_width": "1e-999999999"}, "names no bin width"),
        ({"bin_width": "1/0"}, "names no bin width"),
        ({"bin_width": ["0.02"]}, "names no bin width"),
        ({"format": "x"}, "it says|says it is 'x'"),
    ],
)
def test_a_marker_changed_and_sealed_again_is_told(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    pile = pile_of_counts(tmp_path)
    marker = json.loads((pile / "pile.json").read_text())
    del marker["sha256"]
    layout.write_marker(marker | values, pile / "pile.json")
    with pytest.raises(UnreadableFile, match=words):
        published_rows.sessions(pile)


def test_an_edited_marker_is_told(tmp_path: Path) -> None:
    pile = pile_of_counts(tmp_path)
    (pile / "pile.json").write_text((pile / "pile.json").read_text().replace('"1/50"', '"1/10"'))
    with pytest.raises(UnreadableFile, match=r"pile.json is not as it was written.*fetch pile.json again"):
        published_rows.sessions(pile)


def test_segments_past_every_recording_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_rows, "_MAX_BINS", 40)
    write_rows([row("segment_0"), row("segment_3")], tmp_path / "fits", {"train": 1})
    assert len(stored(tmp_path / "fits", tmp_path / "one")) == 1
    write_rows([row("segment_0"), row("segment_4")], tmp_path / "corpus", {"train": 1})
    with pytest.raises(UnreadableFile, match="50 bins from its first segment to segment_4, more than 40"):
        stored(tmp_path / "corpus", tmp_path / "store")


def test_datasets_and_sessions_whose_names_are_alike_stay_apart(tmp_path: Path) -> None:
    rows = [row("segment_0", 1, session="s") | {"source_dataset": "d/1"}, row("segment_1", 1, session="s") | {"source_dataset": "d/1"}]
    rows += [row("segment_0", 2, session="s") | {"source_dataset": "d 1"}]
    rows += [row("segment_0", 3, session="x/1") | {"source_dataset": "e"}, row("segment_0", 4, session="x 1") | {"source_dataset": "e"}]
    write_rows(rows, tmp_path / "corpus", {"train": 1})
    store = stored(tmp_path / "corpus", tmp_path / "store")
    found = {k: (store[k].n_units, store[k].record["n_spikes"]) for k in store}
    assert sorted(found.values()) == [(1, 20), (2, 20), (3, 30), (4, 40)]
    assert all(k.startswith(("d_1-", "e/x_1-")) for k in found)


def test_rows_of_another_kind_are_told(tmp_path: Path) -> None:
    (tmp_path / "corpus" / "data").mkdir(parents=True)
    columns = {"spike_counts": pa.array([[1, 2]]), "subject_id": ["m"], "session_id": ["s"], "segment_id": ["segment_0"]}
    pq.write_table(pa.table(columns), tmp_path / "corpus" / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(UnreadableFile, match=r"spike_counts is list<.*sought for each unit a list of counts"):
        published_rows.sessions(tmp_path / "corpus")


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


def test_files_of_a_pile_of_ours_far_away_are_those_its_marker_lists(hub: HubState, tmp_path: Path) -> None:
    pile = pile_of_counts(tmp_path)
    shutil.copytree(pile, hub.root / "main")
    place = UPath("hf://datasets/lab/corpus", endpoint=hub.endpoint, token=False)
    here, there = stored(pile, tmp_path / "here"), stored(place, tmp_path / "there")
    assert {k: there[k].record["content_digest"] for k in there} == {k: here[k].record["content_digest"] for k in here}
    file = hub.root / "main" / "data" / "train-00000-of-00001.parquet"
    data = bytearray(file.read_bytes())
    data[data.rindex(b"neuropile.sha256") - 40] ^= 1
    file.write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"train-00000-of-00001.parquet cannot be read \(.*its footer is not the one that was written"):
        published_rows.sessions(UPath("hf://datasets/lab/corpus", endpoint=hub.endpoint, token=False))


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


def test_a_damaged_file_here_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies far away is asked again for seconds; a file on this disk will not mend."""
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    write_rows(rows_of(some_sessions(np.random.default_rng(0)), 60), tmp_path, {"train": 1})
    (path,) = (tmp_path / "data").iterdir()
    data = bytearray(path.read_bytes())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[footer : footer + 20] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(UnreadableFile):
        published_rows.sessions(tmp_path)
