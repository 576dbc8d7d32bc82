"""What a segment gives besides dense counts: its events, its units in another order, itself to another process, its bytes from far away."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile import Pile, make_pile, open_pile, testing
from neuropile.errors import PileError
from neuropile.pile import order_key

KINDS = ["stored", "sparse", "dense", "sparse far away", "dense far away"]


@pytest.fixture(scope="module")
def piles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pile]:
    """The same segments from wherever a pile may keep them; counts up to some twenty a bin."""
    from upath import UPath

    folder = tmp_path_factory.mktemp("events")
    recordings = [testing.recording(i, n_units=5 + i, observed=o) for i, o in enumerate(["whole", "each", "gaps"])]
    stored = make_pile(testing.store(folder / "store", recordings), bin_width=0.5, max_tokens=300, quality="all", test=0.4)
    found = {"stored": stored}
    for layout in ("sparse", "dense"):
        stored.publish(folder / layout, layout=layout)
        found[layout] = open_pile(folder / layout)
        far = UPath(f"memory://{folder.name}/{layout}")
        for file in (p for p in (folder / layout).rglob("*") if p.is_file()):
            far.fs.put_file(str(file), (far / file.relative_to(folder / layout).as_posix()).path)
        found[f"{layout} far away"] = open_pile(far)
    return found


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a.counts().values, b.counts().values)
    assert a.unit_ids == b.unit_ids
    assert a.regions == b.regions
    np.testing.assert_array_equal(mask(a), mask(b))


def mask(segment: Any) -> np.ndarray:
    """(unit, bin) bool: what is observed."""
    found = np.zeros((segment.n_units, segment.n_bins), bool)
    for unit, start, stop in segment.observed.tolist():
        found[slice(None) if unit < 0 else unit, start:stop] = True
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_the_counts_written_out(piles: dict[str, Pile], kind: str) -> None:
    for segment in piles[kind]:
        counts = segment.counts().values
        offsets, bins = segment.events()
        unit, k = np.nonzero(counts)
        assert bins.dtype == np.int32
        np.testing.assert_array_equal(bins, np.repeat(k, counts[unit, k]))
        np.testing.assert_array_equal(np.diff(offsets), counts.sum(axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_the_same_wherever_they_are_kept(piles: dict[str, Pile], kind: str) -> None:
    assert len(piles[kind]) == len(piles["stored"]) > 3
    by_id = {(s.key, s.segment_id): s for s in piles["stored"]}
    for segment in piles[kind]:
        same(segment, by_id[segment.key, segment.segment_id])


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 100))
def test_an_order_permutes_everything_about_the_units_and_its_inverse_restores_it(piles: dict[str, Pile], kind: str, seed: int) -> None:
    pile = piles[kind]
    rng = np.random.default_rng(seed)
    orders = {order_key(s): rng.permutation(s.n_units) for s in {s.key: s for s in pile}.values()}
    ordered = pile.with_orders(orders)
    for a, b in zip(pile, ordered, strict=True):
        perm = orders[order_key(a)]
        np.testing.assert_array_equal(b.counts().values, a.counts().values[perm])
        assert b.unit_ids == [a.unit_ids[i] for i in perm]
        assert b.regions == [a.regions[i] for i in perm]
        np.testing.assert_array_equal(mask(b), mask(a)[perm])
        bins = b.events()[1]
        whole, all_bins = a.events()
        np.testing.assert_array_equal(bins, np.concatenate([all_bins[whole[i] : whole[i + 1]] for i in perm]))
        np.testing.assert_array_equal(b.counts().values[np.argsort(perm)], a.counts().values)
    for a, b in zip(pile, ordered.in_stored_order(), strict=True):
        same(a, b)


def test_an_order_is_kept_in_the_pile_file_and_in_published_rows(piles: dict[str, Pile], tmp_path: Path) -> None:
    stored = piles["stored"]
    ordered = stored.with_orders({order_key(s): np.arange(s.n_units)[::-1] for s in stored})
    ordered.save(tmp_path / "ordered.parquet")
    ordered.publish(tmp_path / "published")
    for again in (open_pile(tmp_path / "ordered.parquet"), open_pile(tmp_path / "published")):
        by_id = {(s.key, s.segment_id): s for s in ordered}
        for segment in again:
            same(segment, by_id[segment.key, segment.segment_id])
    for a, b in zip(stored, open_pile(tmp_path / "ordered.parquet").in_stored_order(), strict=True):
        same(a, b)


def test_an_order_that_is_no_permutation_is_refused(piles: dict[str, Pile]) -> None:
    stored = piles["stored"]
    with pytest.raises(PileError, match="is no permutation of its 5 units"):
        stored.with_orders({order_key(stored[0]): np.zeros(5, np.int64)})


@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_pile_and_its_shards_can_be_sent_to_another_process(piles: dict[str, Pile], kind: str) -> None:
    pile = piles[kind]
    next(iter(pile)).counts()  # files are open
    for a, b in zip(pile, pickle.loads(pickle.dumps(pile)), strict=True):
        same(a, b)
    shards = pickle.loads(pickle.dumps(pile.shards(700)))
    assert len(shards) > 2
    assert [(s.key, s.segment_id) for shard in shards for s in shard.pile] == [(s.key, s.segment_id) for s in pile]
    assert all(shard.pile.n_tokens <= 700 or len(shard.pile) == 1 for shard in shards)
    same(shards[1].pile[0], pile[shards[1].start])


def test_the_digest_tells_segments_units_and_orders_apart_but_not_places(piles: dict[str, Pile], tmp_path: Path) -> None:
    stored = piles["stored"]
    stored.save(tmp_path / "p.parquet")
    others = [
        stored[1:],
        stored.with_orders({order_key(stored[0]): np.arange(5)[::-1]}),
        stored.where("unit > 0"),
        stored.with_column("split", ["val"] * len(stored)),
    ]
    assert open_pile(tmp_path / "p.parquet").digest == stored.digest
    assert len({p.digest for p in [stored, *others]}) == 5


@pytest.mark.parametrize("place", ["here", "far away"])
def test_a_pile_file_is_saved_and_opened_anywhere(piles: dict[str, Pile], tmp_path: Path, place: str) -> None:
    path = tmp_path / "p.parquet" if place == "here" else f"memory://{tmp_path.name}/p.parquet"
    piles["stored"].save(path)
    for a, b in zip(piles["stored"], open_pile(path), strict=True):
        same(a, b)
    with pytest.raises(PileError, match="exists; give another name, or --replace"):
        piles["stored"].save(path)
    piles["stored"][:2].save(path, replace=True)
    assert len(open_pile(path)) == 2


def test_a_published_pile_is_saved_as_a_file_that_points_to_its_folder(piles: dict[str, Pile], tmp_path: Path) -> None:
    part = piles["sparse"][1:4]
    part.save(tmp_path / "part.parquet")
    for a, b in zip(part, open_pile(tmp_path / "part.parquet"), strict=True):
        same(a, b)


def test_a_folder_that_was_published_anew_otherwise_is_noticed(piles: dict[str, Pile], tmp_path: Path) -> None:
    piles["stored"].publish(tmp_path / "folder")
    open_pile(tmp_path / "folder").save(tmp_path / "p.parquet")
    piles["stored"][:1].publish(tmp_path / "folder", replace=True)
    with pytest.raises(PileError, match="no longer holds test/session-"):
        open_pile(tmp_path / "p.parquet")


def test_a_folder_that_was_published_anew_with_other_counts_is_noticed(piles: dict[str, Pile], tmp_path: Path) -> None:
    """Same names and sizes, other spikes."""

    def made(name: str, seed: int) -> Pile:
        recording = replace(testing.recording(seed, n_units=5), session_id="x", recording_id="x")
        return make_pile(testing.store(tmp_path / name, [recording]), bin_width=0.5, max_tokens=300, quality="all", test=0)

    made("first", 0).publish(tmp_path / "folder")
    opened = open_pile(tmp_path / "folder")
    opened.save(tmp_path / "p.parquet")
    assert len(open_pile(tmp_path / "p.parquet")) == len(opened)
    made("other", 9).publish(tmp_path / "folder", replace=True)
    assert open_pile(tmp_path / "folder").table.drop_columns("session_digest").equals(opened.table.drop_columns("session_digest"))
    assert open_pile(tmp_path / "folder").digest != opened.digest
    with pytest.raises(PileError, match="is not what the pile was made of: it was published anew"):
        open_pile(tmp_path / "p.parquet")


def test_a_folder_opened_by_a_relative_path_is_found_from_elsewhere(piles: dict[str, Pile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piles["stored"].publish(tmp_path / "here" / "folder")
    monkeypatch.chdir(tmp_path / "here")
    opened = open_pile("folder")
    monkeypatch.chdir(tmp_path)
    opened.save("p.parquet")
    for a, b in zip(opened, open_pile("p.parquet"), strict=True):
        same(a, b)
