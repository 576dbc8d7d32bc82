"""Tokens: ids are what a plain look-up gives, decoding gives back what the report calls exact, and files are whole or told."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_token_nearest import SHAPES, cosine_squared, count_distance
from token_tables import count_table, patches, table_of_pile, write_table

from neuropile import Pile, Store, make_pile, parquet, testing, tokens
from neuropile.errors import PileError, RunError
from neuropile.run import Engine
from neuropile.tokens import Accuracy, Vocabulary, open_vocabulary


def nearest_id(vocabulary: Vocabulary, patch: np.ndarray) -> int:
    """The id of a patch by the definition: itself, or the nearest motif, each asked in turn."""
    kept = [m.reshape(vocabulary.shape) for m in vocabulary.motifs]
    for i, m in enumerate(kept):
        if np.array_equal(m, patch):
            return i + 5
    capped = np.minimum(patch, 255)
    if vocabulary.distance == "cosine":
        cosines = [cosine_squared(capped, m) for m in kept]
        return cosines.index(max(cosines)) + 5
    distances = [count_distance(capped, m) for m in kept]
    return distances.index(min(distances)) + 5


def plain(vocabulary: Vocabulary, counts: np.ndarray, observed: np.ndarray | None = None) -> tuple[np.ndarray, Accuracy]:
    """The ids of an array and what a report says of it, a patch at a time."""
    mask = np.ones(counts.shape, bool) if observed is None else observed
    padding = np.ones(counts.shape, bool)
    found = patches(counts, vocabulary.shape, pad=vocabulary.pad)
    shape = tuple(-(-n // p) if vocabulary.pad else n // p for n, p in zip(counts.shape, vocabulary.shape, strict=True))
    ids, told = np.zeros(shape, np.int64), Accuracy(segments=1, without_ids=int(not found), tokens=counts.size, patches=len(found))
    unseen = patches((padding & ~mask).astype(int), vocabulary.shape, pad=vocabulary.pad)
    inside = patches(padding.astype(int), vocabulary.shape, pad=vocabulary.pad)
    told.edge = counts.size - sum(int(i.sum()) for i in inside.values())
    for place, patch in found.items():
        if unseen[place].any():
            told.unobserved += 1
            continue
        ids[place] = nearest_id(vocabulary, patch)
        decoded = vocabulary.motifs[ids[place] - 5].reshape(vocabulary.shape).astype(int)
        same = np.array_equal(decoded, patch)
        told.exact += same
        told.silent += ids[place] == 5
        told.spikes += int(patch.sum())
        told.spikes_exact += int(patch.sum()) * same
        told.spikes_decoded += int(decoded.sum())
        told.difference += int(np.abs(decoded - patch.astype(int)).sum())
    return ids, told


def made_up(rng: np.random.Generator, n_units: int, n_bins: int, high: int = 1) -> np.ndarray:
    counts = rng.poisson(rng.choice([0.05, 0.3, 1.0], (n_units, 1)), (n_units, n_bins))
    counts[rng.random(counts.shape) < 0.02] *= high
    return counts.astype(np.uint16)


@pytest.fixture
def pile(tiny_store: Store) -> Pile:
    return make_pile(tiny_store, quality="all", max_tokens=7000, test=0.2, split_by="segment")


@pytest.fixture
def vocabulary(pile: Pile, tmp_path: Path) -> Vocabulary:
    return tokens.fit(table_of_pile(tmp_path / "motifs.parquet", pile.train), 40)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    pad=st.booleans(),
    distance=st.sampled_from(["count", "cosine"]),
    high=st.sampled_from([1, 9, 300]),
)
def test_ids_are_what_looking_up_every_patch_gives(tmp_path: Path, seed: int, shape: tuple[int, int], pad: bool, distance: str, high: int) -> None:
    rng = np.random.default_rng(seed)
    counts = made_up(rng, int(rng.integers(1, 20)), int(rng.integers(1, 90)), high)
    table = count_table(tmp_path / "t.parquet", [made_up(rng, 16, 80, high), np.zeros((8, 8), int)], shape, pad=pad)
    vocabulary = tokens.fit(table, int(rng.integers(2, 1 + min(60, pq.read_metadata(table).num_rows))), distance=distance)
    observed = None if seed % 2 else rng.random((1, counts.shape[1])) < 0.95
    ids, told = plain(vocabulary, counts, None if observed is None else np.broadcast_to(observed, counts.shape))
    found = vocabulary.encode(counts, None if observed is None else observed[0])
    np.testing.assert_array_equal(found, ids)
    assert found.dtype == np.uint16
    decoded = vocabulary.decode(found, *counts.shape)
    same = [np.array_equal(a, b) for a, b in zip(patches(decoded, shape, pad=pad).values(), patches(counts, shape, pad=pad).values(), strict=True)]
    assert sum(same) >= told.exact
    if told.exact == told.patches:
        np.testing.assert_array_equal(decoded, counts[: decoded.shape[0], : decoded.shape[1]])


@pytest.mark.parametrize("shape", [(1, 10), (5, 5), (8, 8)])
@pytest.mark.parametrize("size", [2, 40])
def test_a_report_says_what_comparing_every_patch_says(pile: Pile, tmp_path: Path, shape: tuple[int, int], size: int) -> None:
    vocabulary = tokens.fit(table_of_pile(tmp_path / "m.parquet", pile.train, shape), size)
    found = tokens.report(pile, vocabulary)
    expected, exact_ids = Accuracy(), 0
    for segment in pile:
        labelled = segment.counts()
        mask = labelled.coords["unit_observed" if "unit_observed" in labelled.coords else "observed"].to_numpy()
        ids, told = plain(vocabulary, labelled.to_numpy(), np.broadcast_to(mask, labelled.shape))
        np.testing.assert_array_equal(vocabulary.encode(segment), ids)
        np.testing.assert_array_equal(vocabulary.encode(labelled), ids)
        expected += told
        exact_ids += told.exact
    assert found == {"test": expected, "": expected}
    assert 0 < expected.unobserved < expected.patches
    assert 0 < exact_ids < expected.patches


def test_a_vocabulary_keeps_the_most_frequent_motifs_after_five_reserved_ids_and_silence(tmp_path: Path) -> None:
    counted = Counter({b"\x01\x00": 9, b"\x00\x00": 7, b"\x00\x01": 5, b"\x01\x01": 5, b"\x02\x00": 1})
    made = tokens.fit(write_table(tmp_path / "t.parquet", counted, (1, 2)), 4)
    assert made.motifs.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert made.counts.tolist() == [7, 9, 5, 5]
    assert made.vocab_size == 9
    special = (made.pad_token_id, made.bos_token_id, made.eos_token_id, made.sep_token_id, made.mask_token_id, made.silent_token_id)
    assert special == (0, 1, 2, 3, 4, 5)
    assert made.facts["coverage"] == pytest.approx(26 / 27)
    assert made.encode(np.array([[0, 0, 2, 0, 1, 1]])).tolist() == [[5, 8, 8]]


def test_silence_is_kept_where_the_table_lacks_it(tmp_path: Path) -> None:
    made = tokens.fit(write_table(tmp_path / "t.parquet", Counter({b"\x01": 3, b"\x02": 2}), (1, 1)), 3)
    assert made.motifs.tolist() == [[0], [1], [2]]
    assert made.counts.tolist() == [0, 3, 2]


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        ({}, 1, "a vocabulary of 1 motifs tells nothing apart"),
        ({}, 5, r"5 motifs were asked for, and .*t\.parquet has 3 \(with the silent one\); take 3 or fewer"),
        ({"splits": ["test", "train"]}, 2, "counts the motifs of test too.*--any-split"),
        ({"format": "neuropile pile"}, 2, "is not a motif table .*'neuropile pile'"),
        ({"version": 2}, 2, "is not a motif table .*version 2"),
        ({"shape": [1, 3]}, 2, "its patches are not 3 bytes each"),
        ({"shape": [9, 9]}, 2, "its shape is 9 x 9"),
        ({"n_unique": 8}, 2, "its rows are not as many as it says"),
        ({"bin_width": None}, 2, "other types"),
        ({"n_silent": None}, 2, "is not a motif table"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_way_out(tmp_path: Path, change: dict[str, Any], size: int, message: str) -> None:
    table = write_table(tmp_path / "t.parquet", Counter({b"\x00\x00": 7, b"\x00\x01": 5, b"\x01\x01": 5}), (1, 2), **change)
    with pytest.raises(PileError, match=message):
        tokens.fit(table, size)
    if "splits" in change:
        assert len(tokens.fit(table, size, any_split=True)) == size


def test_rows_out_of_order_and_strange_files_are_no_motif_tables(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.parquet", Counter({b"\x00": 7, b"\x01": 5, b"\x02": 5}), (1, 1))
    meta = pq.read_schema(table).metadata[b"neuropile"].decode()
    parquet.write(pq.read_table(table).take([0, 2, 1]), table, metadata={"neuropile": meta})
    with pytest.raises(PileError, match="not in order of count, then patch"):
        tokens.fit(table, 3)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(PileError, match="text is not a motif table"):
        tokens.fit(tmp_path / "text", 3)
    with pytest.raises(PileError, match="no such motif table; make one with: neuropile motifs"):
        tokens.fit(tmp_path / "none.parquet", 3)


def test_a_saved_vocabulary_opens_equal_and_travels_to_workers(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path / "v.parquet")
    counts = made_up(np.random.default_rng(1), 5, 200)
    for other in (open_vocabulary(tmp_path / "v.parquet"), Vocabulary.load(str(tmp_path / "v.parquet")), pickle.loads(pickle.dumps(vocabulary))):
        assert other.digest == vocabulary.digest
        assert other.facts == vocabulary.facts
        np.testing.assert_array_equal(other.encode(counts), vocabulary.encode(counts))
    table = pq.read_table(tmp_path / "v.parquet")
    assert table.column("token").to_pylist()[:6] == ["<pad>", "<bos>", "<eos>", "<sep>", "<mask>", "0000000000"]
    with pytest.raises(PileError, match=r"v\.parquet exists; give another name, or --replace"):
        vocabulary.save(tmp_path / "v.parquet")


def test_no_flipped_byte_of_a_vocabulary_is_taken_for_another_vocabulary(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    vocabulary.save(path)
    whole = path.read_bytes()
    noticed = 0
    for at in np.random.default_rng(0).permutation(len(whole))[:150]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            opened = open_vocabulary(path)
        except PileError as e:
            assert "is not a vocabulary, or damaged" in str(e)  # noqa: PT017
            noticed += 1
        else:
            assert (opened.digest, opened.facts) == (vocabulary.digest, vocabulary.facts)
    assert noticed > 100


@pytest.mark.parametrize(
    "change", [{"digest": "sha256:0"}, {"shape": [2, 4]}, {"distance": "l1"}, {"pad": 3}, {"format": "neuropile tokens"}, {"bin_width": "soon"}]
)
def test_a_vocabulary_that_was_sealed_anew_with_other_facts_is_refused(vocabulary: Vocabulary, tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "v.parquet"
    vocabulary.save(path)
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"neuropile"]) | change
    parquet.write(table, path, metadata={"neuropile": json.dumps(meta)})
    with pytest.raises(PileError, match="is not a vocabulary"):
        open_vocabulary(path)


def test_a_vocabulary_of_a_newer_format_asks_for_an_upgrade(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    vocabulary.save(path)
    table = pq.read_table(path)
    parquet.write(table, path, metadata={"neuropile": json.dumps(json.loads(table.schema.metadata[b"neuropile"]) | {"version": 2})})
    with pytest.raises(PileError, match="format 2; this neuropile reads format 1: upgrade"):
        open_vocabulary(path)
    with pytest.raises(PileError, match="no such vocabulary; make one with: neuropile tokens fit"):
        open_vocabulary(tmp_path / "none")


def in_small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Pile.shards
    monkeypatch.setattr(Pile, "shards", lambda self: whole(self, 8000))


def test_an_encoded_pile_holds_the_ids_of_each_segment_in_order(pile: Pile, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_small_shards(monkeypatch)
    found = tokens.encode(pile, vocabulary, tmp_path / "t.parquet")
    assert found == tokens.report(pile, vocabulary)
    table = pq.read_table(tmp_path / "t.parquet")
    assert str(table.schema.field("ids").type.value_type) == "uint16"
    for segment, row in zip(pile, table.to_pylist(), strict=True):
        assert (row["source_dataset"], row["session_id"], row["segment_id"], row["split"]) == ("test", segment.session_id, segment.segment_id, segment.split)
        assert (row["n_units"], row["n_bins"], row["start_s"], row["bin_width_s"]) == (segment.n_units, segment.n_bins, segment.start_s, 0.02)
        np.testing.assert_array_equal(np.reshape(row["ids"], (row["rows"], row["columns"])), vocabulary.encode(segment))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    for (facts, ids), segment in zip(tokens.read_ids(tmp_path / "t.parquet", vocabulary), pile, strict=True):
        assert facts["segment_id"] == segment.segment_id
        np.testing.assert_array_equal(ids, vocabulary.encode(segment))


@pytest.mark.parametrize("engine", [Engine("processes", 2), pytest.param(Engine("dask", 2), marks=pytest.mark.soak)])
def test_engines_write_the_same_bytes(pile: Pile, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    in_small_shards(monkeypatch)
    one = tokens.encode(pile, vocabulary, tmp_path / "a.parquet")
    other = tokens.encode(pile, vocabulary, tmp_path / "b.parquet", engine=engine)
    assert one == other
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_run_that_failed_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = testing.store(tmp_path / "store", [testing.recording(i, n_units=4, duration_s=30) for i in range(3)])
    pile = make_pile(store, quality="all", test=0)
    vocabulary = tokens.fit(table_of_pile(tmp_path / "m.parquet", pile), 30)
    in_small_shards(monkeypatch)
    whole = tokens.encode(pile, vocabulary, tmp_path / "whole.parquet")
    shutil.move(store.root / "test" / "session-1", tmp_path / "away")
    out = tmp_path / "t.parquet"
    with pytest.raises(RunError, match=r"t\.parquet: 1 parts failed .*session-1 is not in .*what is done is kept"):
        tokens.encode(pile, vocabulary, out)
    assert not out.exists()
    shutil.move(tmp_path / "away", store.root / "test" / "session-1")
    again = []
    plain_encode = Vocabulary.encode_segment
    monkeypatch.setattr(Vocabulary, "encode_segment", lambda self, segment: again.append(segment.session_id) or plain_encode(self, segment))
    pile.source._near.cache_clear()  # type: ignore[union-attr]
    assert tokens.encode(pile, vocabulary, out) == whole
    assert again == ["session-1"]
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_decoded_pile_is_what_its_ids_stand_for(pile: Pile, vocabulary: Vocabulary, tmp_path: Path) -> None:
    tokens.encode(pile, vocabulary, tmp_path / "t.parquet")
    assert tokens.decode(tmp_path / "t.parquet", vocabulary, tmp_path / "d.parquet") == len(pile)
    for segment, row in zip(pile, pq.read_table(tmp_path / "d.parquet").to_pylist(), strict=True):
        ids = vocabulary.encode(segment)
        gaps = [np.frombuffer(g, np.uint8) for g in row["gaps"]]
        counts = np.stack([np.bincount(np.cumsum(g, dtype=np.int64)[g < 255], minlength=row["n_bins"]) for g in gaps])
        np.testing.assert_array_equal(counts, vocabulary.decode(ids))
        mask = np.zeros(counts.shape, bool)
        for run in row["observed"]:
            mask[slice(None) if run["unit"] < 0 else run["unit"], run["start_bin"] : run["stop_bin"]] = True
        np.testing.assert_array_equal(mask, np.repeat(ids != 0, 10, axis=1))


def test_padded_tokens_decode_to_the_size_they_came_from(tmp_path: Path) -> None:
    counts = made_up(np.random.default_rng(0), 7, 23)
    vocabulary = tokens.fit(count_table(tmp_path / "t.parquet", [counts], (3, 5), pad=True), 5)
    ids = vocabulary.encode(counts)
    assert ids.shape == (3, 5)
    assert vocabulary.decode(ids).shape == (9, 25)
    assert vocabulary.decode(ids, 7, 23).shape == (7, 23)


def test_more_than_65536_ids_are_uint32(tmp_path: Path) -> None:
    patches_of_two = [np.array([[a, b]]) for a in range(256) for b in range(256)]
    vocabulary = tokens.fit(count_table(tmp_path / "t.parquet", patches_of_two, (1, 2)), 65_536)
    counts = np.random.default_rng(0).integers(0, 256, (3, 40), np.uint8)
    ids = vocabulary.encode(counts)
    assert ids.dtype == np.uint32
    np.testing.assert_array_equal(vocabulary.decode(ids), counts)


@pytest.mark.parametrize("ids", [np.array([[5, 99]]), np.array([[-1]]), np.array([5, 6]), np.array([[5.0]])])
def test_ids_that_a_vocabulary_does_not_have_are_refused(vocabulary: Vocabulary, ids: np.ndarray) -> None:
    with pytest.raises(PileError, match=r"ids (run from|are a \(row, column\) array)"):
        vocabulary.decode(ids)


@pytest.mark.parametrize("counts", [np.zeros((2, 20)), np.full((2, 20), -1), np.zeros(20, int)])
def test_counts_that_are_none_are_refused(vocabulary: Vocabulary, counts: np.ndarray) -> None:
    with pytest.raises(PileError, match="counts are a \\(unit, bin\\) array of whole numbers"):
        vocabulary.encode(counts)


def test_a_segment_smaller_than_a_patch_has_no_ids(vocabulary: Vocabulary) -> None:
    assert vocabulary.encode(np.zeros((3, 9), int)).shape == (3, 0)
    assert vocabulary.decode(np.zeros((3, 0), int)).shape == (3, 0)


def test_piles_that_cannot_be_encoded_are_refused(pile: Pile, vocabulary: Vocabulary, tiny_store: Store, tmp_path: Path) -> None:
    with pytest.raises(PileError, match="the pile is empty"):
        tokens.encode(pile.take(np.arange(0)), vocabulary, tmp_path / "t.parquet")
    with pytest.raises(PileError, match="no segment of the pile holds a patch of 1 units x 10 bins"):
        tokens.report(make_pile(tiny_store, quality="all", max_tokens=60), vocabulary)
    with pytest.raises(PileError, match=r"the vocabulary is of bins of 1/50 s, .* of 1/10 s; make the pile with --bin 1/50"):
        tokens.report(make_pile(tiny_store, bin_width=0.1), vocabulary)
    (tmp_path / "t.parquet").touch()
    with pytest.raises(PileError, match=r"t\.parquet exists"):
        tokens.encode(pile, vocabulary, tmp_path / "t.parquet")


def test_ids_are_not_decoded_with_another_vocabulary_nor_from_damaged_files(pile: Pile, vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tokens.encode(pile, vocabulary, path)
    other = tokens.fit(tmp_path / "motifs.parquet", 39)
    with pytest.raises(PileError, match=r"was encoded with another vocabulary \(sha256:"):
        tokens.decode(path, other, tmp_path / "d.parquet")
    whole, noticed = path.read_bytes(), 0
    expected = list(tokens.read_ids(path, vocabulary))
    for at in range(4, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x08]) + whole[at + 1 :])
        try:
            rows = list(tokens.read_ids(path, vocabulary))
        except PileError as e:
            assert "is not a file of tokens, or damaged" in str(e)  # noqa: PT017
            noticed += 1
            with pytest.raises(PileError, match="is not a file of tokens"):
                tokens.decode(path, vocabulary, tmp_path / "d.parquet")
            assert not (tmp_path / "d.parquet").exists()
        else:  # a bit of a page's header that says nothing
            assert all(a == c and np.array_equal(b, d) for (a, b), (c, d) in zip(rows, expected, strict=True))
    assert noticed > 30
    with pytest.raises(PileError, match="no such tokens; make them with: neuropile tokens encode"):
        tokens.decode(tmp_path / "none", vocabulary, tmp_path / "d.parquet")


@pytest.mark.parametrize("times", [6, pytest.param(300, marks=pytest.mark.soak)])
def test_a_longer_pile_takes_no_more_memory(tmp_path: Path, times: int) -> None:
    script = """
import resource, sys, numpy as np
from token_tables import table_of_pile
from neuropile import make_pile, open_store, tokens
pile = make_pile(open_store(sys.argv[1]), quality="all", test=0)
vocabulary = tokens.fit(table_of_pile(sys.argv[1] + "/m.parquet", pile.take(np.arange(1))), 50)
tokens.IDS_PER_GROUP = 200_000  # what one row group takes is reached by the shorter pile
for n in (2, int(sys.argv[2])):
    tokens.encode(pile.take(np.tile(np.arange(len(pile)), 10 * n)), vocabulary, sys.argv[1] + f"/t{n}.parquet")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    store = testing.store(tmp_path / "store", [testing.recording(0, n_units=60, duration_s=100)])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    done = subprocess.run([sys.executable, "-c", script, str(store.root), str(times)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    once, more = map(int, done.stdout.split())
    assert more < once + 50_000  # kilobytes
