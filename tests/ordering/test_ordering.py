"""Orders of units: exact similarities, silent units last, the same from any engine, and put back by argsort."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from neuropile import Pile, Store, make_pile, open_pile, open_store, ordering, testing
from neuropile.errors import PileError, RunError
from neuropile.ordering import cooccurrence
from neuropile.run import Engine
from neuropile.types import Recording, Spans, Trains


@st.composite
def events(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts (unit, bin), and the same as offsets and bins."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 60))
    counts = rng.poisson(draw(st.sampled_from([0.05, 0.5, 30])), shape) * (rng.uniform(size=(shape[0], 1)) < 0.8)
    return counts, np.cumsum(np.r_[0, counts.sum(axis=1)]), np.concatenate([np.repeat(np.arange(shape[1]), c) for c in counts]).astype(np.int32)


@given(events(), st.sampled_from([0.0, cooccurrence.DENSE_SHARE, 2.0**40]), st.data())
def test_units_fire_together_as_often_as_the_product_of_their_masked_counts(
    made: tuple[np.ndarray, np.ndarray, np.ndarray], dense_share: float, data: st.DataObject
) -> None:
    counts, offsets, bins = made
    n_units, n_bins = counts.shape
    run = st.tuples(st.integers(-1, n_units - 1), st.integers(0, n_bins), st.integers(0, n_bins))
    observed = data.draw(st.none() | st.lists(run, max_size=5).map(lambda r: np.array(r, np.int64).reshape(-1, 3)))
    mask = np.full(counts.shape, observed is None)
    for unit, start, stop in [] if observed is None else observed.tolist():
        mask[slice(None) if unit < 0 else unit, start:stop] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooccurrence, "DENSE_SHARE", dense_share)  # 0: always dense products; huge: always pairs of events
        found = ordering.together(offsets, bins, n_bins, observed)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, (counts * mask) @ (counts * mask).T)


def test_sums_beyond_what_float32_and_float64_blocks_hold_stay_exact() -> None:
    counts = np.array([[70_001, 3, 70_003], [1, 69_997, 70_001]])
    bins = np.concatenate([np.repeat(np.arange(3), c) for c in counts])
    found = ordering.together(np.cumsum(np.r_[0, counts.sum(axis=1)]), bins, 3)
    assert found.tolist() == (counts @ counts.T).tolist()
    wide = np.repeat(np.arange(40_000), 101)  # 101 a bin: a float32 sum over all of these bins would be rounded
    assert ordering.together(np.array([0, len(wide), 2 * len(wide)]), np.r_[wide, wide], 40_000).tolist() == [[40_000 * 101**2] * 2] * 2


@given(events())
def test_the_cosine_is_scipys_and_zero_for_silent_units(made: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    counts, offsets, bins = made
    found = ordering.similarity(offsets, bins, counts.shape[1])
    fires = counts.any(axis=1)
    np.testing.assert_allclose(found[np.ix_(fires, fires)], 1 - cdist(counts[fires], counts[fires], "cosine"), atol=1e-12)
    assert not found[~fires].any()
    np.testing.assert_array_equal(found, found.T)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("offsets", "bins", "words"),
    [
        ([0, 2], [0, 9], "events lie in bins 0 to 9"),
        ([0, 2], [-1, 0], "events lie in bins -1 to 0"),
        ([0, 2], [3, 1], "ascending"),
        ([0, 3], [1, 1], "offsets must rise from 0 to the 2 events"),
        ([0, 2, 1, 2], [1, 1], "offsets must rise"),
    ],
)
def test_events_that_would_lead_outside_of_arrays_are_refused(offsets: list[int], bins: list[int], words: str) -> None:
    with pytest.raises(PileError, match=words):
        ordering.together(np.array(offsets), np.array(bins), 5)


@given(events())
def test_an_arrangement_takes_each_unit_once_silent_ones_last_as_given_and_each_step_betters_it(made: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    counts, offsets, bins = made
    alike = ordering.similarity(offsets, bins, counts.shape[1])
    found = ordering.arrange(alike)
    silent = np.flatnonzero(~counts.any(axis=1))
    assert sorted(found.permutation.tolist()) == list(range(len(counts)))
    assert found.n_silent == len(silent)
    np.testing.assert_array_equal(found.permutation[len(counts) - len(silent) :], silent)
    if len(counts) - len(silent) > 1:
        fires = found.permutation[: len(counts) - len(silent)]
        assert found.after == pytest.approx(np.mean([alike[a, b] for a, b in pairwise(fires)]))
        assert found.ward <= found.leaf + 1e-12
        assert found.leaf <= found.after + 1e-12
        assert fires[0] < fires[-1]
    else:
        assert all(np.isnan([found.before, found.ward, found.leaf, found.after]))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_units_and_silent_ones_alone_keep_their_order(n: int) -> None:
    assert ordering.arrange(np.zeros((n, n))).permutation.tolist() == list(range(n))
    assert ordering.arrange(np.eye(n)).n_silent == 0
    assert sorted(ordering.leaf_order(np.eye(n)).tolist()) == list(range(n))


def test_three_units_are_put_in_the_one_best_order() -> None:
    alike = np.array([[1, 0.1, 0.9], [0.1, 1, 0.8], [0.9, 0.8, 1]])
    assert ordering.arrange(alike).permutation.tolist() == [0, 2, 1]


def test_a_chain_of_likenesses_is_found_again_whatever_the_order_it_comes_in() -> None:
    chain = np.exp(-0.05 * np.abs(np.subtract.outer(np.arange(60), np.arange(60))))
    shuffled = np.random.default_rng(0).permutation(60)
    found = shuffled[ordering.arrange(chain[np.ix_(shuffled, shuffled)]).permutation].tolist()
    assert found in (list(range(60)), list(range(59, -1, -1)))


def test_matrices_and_trees_that_are_none_are_refused() -> None:
    for bad in (np.zeros((2, 3)), np.array([[1, 0.2], [0.3, 1]]), np.full((2, 2), np.nan)):
        with pytest.raises(PileError, match="symmetric and finite"):
            ordering.arrange(bad)
    for tree in ([[0, 1]], [[0, 1], [0, 2]], [[0, 4], [1, 2]], [[0, 3], [1, 2]], [[-1, 1], [2, 3]]):
        with pytest.raises(PileError, match="does not join 3 units"):
            ordering.leaf_order(np.eye(3), np.array(tree))


def paired(seed: int = 0, n_units: int = 12) -> Recording:
    """Units 0 and 6, 1 and 7, ... fire together but for jitter; unit 3 fires never."""

    def read(unit: int) -> np.ndarray:
        rng = np.random.default_rng((seed, unit % 6))
        times = np.sort(rng.uniform(0, 200, 900))
        return np.empty(0) if unit == 3 else times + np.random.default_rng(unit).uniform(0, 0.004, len(times))

    whole = testing.recording(seed, n_units=n_units)
    return Recording(f"paired-{seed}", whole.units, Trains(n_units, read), observed=Spans.of(0.0, 201.0), span_source="observation intervals")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two sessions of pairs, and one whose units differ in when they were observed."""
    recordings = [paired(), paired(1), testing.recording(2, n_units=9, observed="each", invalid=True)]
    return testing.store(tmp_path_factory.mktemp("ordering") / "store", recordings)


@pytest.fixture(scope="module")
def pile(store: Store) -> Pile:
    return make_pile(store, quality="all", max_tokens=20_000, test=0.3, split_by="segment")


def masked(pile: Pile, session: str) -> np.ndarray:
    """All counts of a session's segments in one array, zero where not observed."""
    parts = []
    for segment in pile:
        if segment.session_id == session:
            counts = segment.counts()
            seen = counts["unit_observed" if "unit_observed" in counts.coords else "observed"].to_numpy()
            parts.append(np.where(seen, counts.to_numpy(), 0).astype(np.int64))
    return np.concatenate(parts, axis=1)


def neighbours(units: list[int]) -> set[frozenset[int]]:
    return {frozenset(p) for p in pairwise(units)}


def test_units_that_fire_together_lie_beside_each_other_and_silent_ones_last(pile: Pile) -> None:
    for key, permutation in ordering.orders(pile).items():
        if "paired" in key.session:
            assert {frozenset((u, u + 6)) for u in (0, 1, 2, 4, 5)} <= neighbours(permutation.tolist())
            assert permutation[-1] == 3


def test_an_order_is_that_of_the_observed_training_counts_of_its_own_session(pile: Pile, store: Store) -> None:
    done = ordering.fit(pile).whole("fit")
    assert len(done) == 3
    for found in done:
        counts = masked(pile.train, found.key.session.split("/")[1])
        pairs = counts @ counts.T
        np.testing.assert_array_equal(found.arrangement.permutation, ordering.arrange(ordering.cosine(pairs)).permutation)
        assert (found.fitted_on, found.n_bins) == ("train", counts.shape[1])
        alone = make_pile(store, quality="all", max_tokens=20_000, test=0.3, split_by="segment", where=f"session_id = '{found.key.session.split('/')[1]}'")
        np.testing.assert_array_equal(next(iter(ordering.orders(alone).values())), found.arrangement.permutation)


def test_a_session_without_training_data_is_ordered_by_what_it_has(pile: Pile) -> None:
    done = ordering.fit(pile.test).whole("fit")
    assert {o.fitted_on for o in done} == {"all"}
    for found in done:
        counts = masked(pile.test, found.key.session.split("/")[1])
        np.testing.assert_array_equal(found.arrangement.permutation, ordering.arrange(ordering.cosine(counts @ counts.T)).permutation)


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_engines_give_the_same_orders(pile: Pile, kind: str) -> None:
    serial, other = ordering.orders(pile), ordering.orders(pile, engine=Engine(kind, workers=1))
    assert list(serial) == list(other)
    for key in serial:
        np.testing.assert_array_equal(serial[key], other[key])


def test_a_saved_order_is_read_back_and_argsort_puts_the_units_as_stored(pile: Pile, tmp_path: Path) -> None:
    pile.reordered().save(tmp_path / "ordered.parquet")
    opened = open_pile(tmp_path / "ordered.parquet")
    orders = ordering.orders(pile)
    assert opened.meta["order"]["fitted_on_train"] == 3
    moved = 0
    for was, now in zip(pile, opened, strict=True):
        permutation = orders[next(k for k in orders if k.session == was.key)]
        back = np.argsort(permutation)
        np.testing.assert_array_equal(now.counts().to_numpy(), was.counts().to_numpy()[permutation])
        np.testing.assert_array_equal(now.counts().to_numpy()[back], was.counts().to_numpy())
        assert [now.unit_ids[i] for i in back] == was.unit_ids
        moved += not np.array_equal(permutation, np.arange(len(permutation)))
    assert moved


def test_a_pile_with_an_order_is_ordered_anew_as_one_without(pile: Pile) -> None:
    once = pile.reordered()
    twice = once.reordered()
    for a, b in zip(once, twice, strict=True):
        assert a.unit_ids == b.unit_ids


def test_a_session_lost_from_the_store_is_reported_and_the_others_are_ordered(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(store.root, tmp_path / "store")
    made = make_pile(open_store(tmp_path / "store"), quality="all", test=0)
    whole = ordering.orders(made)
    shutil.rmtree(tmp_path / "store" / "test" / "paired-1")
    made.save(tmp_path / "pile.parquet")
    lost = open_pile(tmp_path / "pile.parquet")
    done = ordering.fit(lost)
    assert [f.item for f in done.failures] == ["test/paired-1"]
    assert "put the store back" in done.failures[0].error
    ordered = lost.reordered()
    assert "test/paired-1 keeps its units as stored" in caplog.text
    assert [f["session"] for f in ordered.meta["order"]["failed"]] == ["test/paired-1"]
    kept = {k.session: p for k, p in whole.items()}
    for segment in ordered:
        assert (segment.order is None) == (segment.session_id == "paired-1")
        if segment.order is not None:
            np.testing.assert_array_equal(segment.order, kept[segment.key])
    with pytest.raises(RunError, match="test/paired-1"):
        ordering.orders(lost)
    shutil.rmtree(tmp_path / "store" / "test")
    with pytest.raises(RunError, match="3 parts failed"):
        open_pile(tmp_path / "pile.parquet").reordered()


def test_an_empty_pile_says_that_there_is_nothing_to_order(pile: Pile) -> None:
    with pytest.raises(PileError, match="no segments"):
        pile[:0].reordered()
