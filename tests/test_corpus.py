"""Piles put together, shuffled, split anew, thinned out and weighted: nothing is lost, doubled or leaked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile import Pile, corpus, make_pile, open_pile, testing
from neuropile.errors import PileError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def mice(folder: Path) -> Pile:
    store = testing.store(folder / "mice", [testing.recording(i, n_units=5 + i) for i in range(4)], dataset="mice")
    return make_pile(store, max_tokens=4000, quality="good", test=0.3, val=0.2)


@pytest.fixture(scope="module")
def rats(folder: Path) -> Pile:
    store = testing.store(folder / "rats", [testing.recording(i, n_units=4) for i in range(10, 13)], dataset="rats")
    return make_pile(store, max_tokens=4000, quality="not-noise", test=0.3)


@pytest.fixture(scope="module")
def fish(folder: Path) -> Pile:
    store = testing.store(folder / "fish", [testing.recording(i, n_units=6) for i in range(20, 22)], dataset="fish")
    make_pile(store, max_tokens=5000, quality="all", test=0).publish(folder / "fish-published")
    return open_pile(folder / "fish-published")


def content(pile: Pile) -> Counter:
    """What a pile holds, as values: each segment's name, split, units and counts."""
    return Counter((s.key, s.segment_id, s.split, s.weight, tuple(s.unit_ids), s.counts(dtype=np.uint32).values.tobytes()) for s in pile)


def test_merging_keeps_every_segment_once_with_its_own_counts(mice: Pile, rats: Pile, fish: Pile) -> None:
    merged = corpus.merge([mice, rats, fish])
    assert content(merged) == content(mice) + content(rats) + content(fish)
    assert [s.key for s in merged] == [s.key for p in (mice, rats, fish) for s in p]


def test_a_merged_pile_of_stores_and_published_rows_opens_from_its_file(mice: Pile, fish: Pile, folder: Path, tmp_path: Path) -> None:
    merged = corpus.shuffle(corpus.merge([mice, fish]), 3)
    merged.save(folder / "merged.parquet")
    opened = open_pile(folder / "merged.parquet")
    assert [repr(s) for s in opened] == [repr(s) for s in merged]
    assert content(opened) == content(merged)
    assert opened.digest == merged.digest


def test_merging_keeps_the_order_of_units(mice: Pile, fish: Pile) -> None:
    turned = [p.with_orders({k: np.arange(n)[::-1] for k, n in _sessions(p).items()}) for p in (mice, fish)]
    merged = corpus.merge(turned)
    assert content(merged) == content(turned[0]) + content(turned[1])
    assert content(merged.in_stored_order()) == content(mice) + content(fish)


def _sessions(pile: Pile) -> dict:
    from neuropile.pile import order_key

    return {order_key(s): s.n_units for s in pile}


def test_the_same_segment_in_two_piles_is_refused(mice: Pile) -> None:
    with pytest.raises(PileError, match=r"segments are in more than one of the piles \(mice/session-"):
        corpus.merge([mice, mice])


def test_piles_of_other_bins_do_not_merge(mice: Pile, rats: Pile, folder: Path) -> None:
    with pytest.raises(PileError, match=r"different bin widths \(1/25, 1/50 s\)"):
        corpus.merge([mice, make_pile(folder / "rats", bin_width=0.04)])


def test_a_recording_in_two_splits_is_refused_unless_they_are_drawn_anew(mice: Pile) -> None:
    half = len(mice) // 2
    first, second = mice[:half], mice[half:]
    torn = [first.with_column("split", ["train"] * len(first)), second.with_column("split", ["test"] * len(second))]
    assert {s.key for s in first} & {s.key for s in second}
    with pytest.raises(PileError, match=r"recording mice/session-\d is in different splits.*--test 0.01"):
        corpus.merge(torn)
    mended = corpus.merge(torn, resplit={"test": 0.3, "seed": 4})
    assert [s.split for s in mended] == [s.split for s in corpus.split(mice, test=0.3, seed=4)]


def test_nothing_to_merge_is_told() -> None:
    with pytest.raises(PileError, match="give two piles or more"):
        corpus.merge([])


@given(seed=st.integers(0, 2**40))
def test_shuffling_keeps_every_segment_and_depends_on_the_seed_alone(mice: Pile, seed: int) -> None:
    shuffled = corpus.shuffle(mice, seed)
    assert sorted(s.row for s in shuffled) == sorted(s.row for s in mice)
    assert [s.row for s in shuffled] == [s.row for s in corpus.shuffle(mice, seed)]


def test_another_seed_shuffles_otherwise(mice: Pile) -> None:
    assert len({tuple(s.row for s in corpus.shuffle(mice, seed)) for seed in range(20)}) == 20


@given(seed=st.integers(0, 1000), by=st.sampled_from(["recording", "subject", "dataset", "segment"]), val=st.floats(0, 0.5), test=st.floats(0, 0.5))
def test_splitting_anew_is_what_making_the_pile_so_gives(folder: Path, mice: Pile, seed: int, by: str, val: float, test: float) -> None:
    anew = corpus.split(mice, val=val, test=test, by=by, seed=seed)
    made = make_pile(folder / "mice", max_tokens=4000, quality="good", val=val, test=test, split_by=by, seed=seed)
    assert anew.table.column("split").to_pylist() == made.table.column("split").to_pylist()
    assert anew.meta["warnings"] == made.meta["warnings"]


def test_a_subset_is_the_segments_its_condition_names(mice: Pile) -> None:
    part = corpus.subset(mice, "n_units > 3 and split <> 'test'")
    assert [s.row for s in part] == [s.row for s in mice if s.n_units > 3 and s.split != "test"]


def test_a_larger_share_holds_a_smaller_one(mice: Pile, rats: Pile) -> None:
    both = corpus.merge([mice, rats])
    found = []
    for share in (0.3, 0.6, 1.0):
        found.append({(s.key, s.segment_id) for s in corpus.subset(both, share=share)})
    assert found[0] < found[1] < found[2]
    assert len(found[2]) == len(both)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"where": "n_units > 1000"}, r"no segment of \d+ is left for which n_units > 1000"), ({"where": "nonsense >"}, "SQL"), ({"share": 0.0}, "share is 0.0")],
)
def test_a_subset_that_cannot_be_says_why(mice: Pile, options: dict, said: str) -> None:
    with pytest.raises((PileError, Exception), match=said):
        corpus.subset(mice, **options)


def test_weights_are_kept_in_the_file(mice: Pile, rats: Pile, folder: Path) -> None:
    weighed = corpus.weigh(corpus.merge([mice, rats]), {"rats": 2.5})
    weighed.save(folder / "weighed.parquet")
    assert {(s.dataset, s.weight) for s in open_pile(folder / "weighed.parquet")} == {("mice", 1.0), ("rats", 2.5)}


@pytest.mark.parametrize(("weights", "said"), [({"cats": 1}, "no dataset 'cats' in the pile; it holds mice"), ({"mice": -1}, "numbers from 0 on")])
def test_weights_that_mean_nothing_are_refused(mice: Pile, weights: dict, said: str) -> None:
    with pytest.raises(PileError, match=said):
        corpus.weigh(mice, weights)


def cut_otherwise(folder: Path, **options: object) -> Pile:
    return make_pile(folder / "mice", **{"quality": "good", "max_tokens": 2500, "test": 0.3, "val": 0.2, **options})


def test_the_same_bins_cut_otherwise_are_refused(mice: Pile, folder: Path) -> None:
    one, other = corpus.subset(mice, "segment_id <> 'segment_0'"), corpus.subset(cut_otherwise(folder), "segment_id = 'segment_0'")
    overlapping = corpus.subset(cut_otherwise(folder, max_tokens=100_000), "segment_id = 'segment_0'")
    assert len(corpus.merge([one, other])) == len(one) + len(other)
    with pytest.raises(PileError, match="segments are in more than one of the piles"):
        corpus.merge([one, overlapping])


@pytest.mark.parametrize("first", ["segment", "recording"])
def test_every_piles_own_rule_holds_in_what_is_merged(mice: Pile, rats: Pile, first: str) -> None:
    """The rules of the others count as well as those of the first."""
    half = len(mice) // 2
    by_segment = corpus.split(rats, test=0.5, by="segment", seed=1)
    torn = [mice[:half].with_column("split", ["train"] * half), mice[half:].with_column("split", ["test"] * (len(mice) - half))]
    piles = [by_segment, *torn] if first == "segment" else [*torn, by_segment]
    with pytest.raises(PileError, match=r"recording mice/session-. is in different splits"):
        corpus.merge(piles)
    fine = corpus.merge([by_segment, mice])
    assert fine.meta["split_by"] == "segment"


def test_a_subject_in_two_splits_is_refused_where_one_pile_was_split_by_subjects(mice: Pile) -> None:
    both = {s.subject_id for s in mice}
    assert len(both) < len({s.key for s in mice}), "two sessions of one mouse"
    twice = next(x for x in both if len({s.key for s in mice if s.subject_id == x}) > 1)
    keys = sorted({s.key for s in mice if s.subject_id == twice})
    parts = [mice.take(np.array([i for i, s in enumerate(mice) if (s.key == keys[0]) == chosen])) for chosen in (True, False)]
    sides = [p.with_column("split", [side] * len(p), split_by=by) for p, side, by in zip(parts, ("train", "test"), ("recording", "subject"), strict=True)]
    with pytest.raises(PileError, match=f"subject {twice} is in different splits"):
        corpus.merge(sides)


def test_a_session_in_two_orders_and_selections_is_published_with_all_its_units(mice: Pile, folder: Path, tmp_path: Path) -> None:
    turned = mice.with_orders({k: np.arange(n)[::-1] for k, n in _sessions(mice).items()})
    mixed = corpus.merge([corpus.subset(turned, "segment_id = 'segment_0'"), corpus.subset(mice, "segment_id <> 'segment_0'")])
    wheres = (("unit < 2", "="), ("unit in (2, 3)", "<>"))
    piles = [(cut_otherwise(folder, where=where, quality="all", max_tokens=2000), sign) for where, sign in wheres]
    chosen = [corpus.subset(pile, f"segment_id {sign} 'segment_0'") for pile, sign in piles]
    for i, pile in enumerate((mixed, corpus.merge(chosen))):
        pile.publish(tmp_path / f"{i}")
        opened = open_pile(tmp_path / f"{i}")
        assert content(opened) == content(pile)
        sessions, units = opened.source.tables(opened)
        assert sessions.num_rows == len({s.key for s in pile})
        assert {(f"{u['dataset']}/{u['session_id']}", u["unit_id"]) for u in units.to_pylist()} == {(s.key, u) for s in pile for u in s.unit_ids}
        for segment in opened:
            assert segment.source.tables([segment])[1].column("unit_id").to_pylist() == segment.unit_ids
