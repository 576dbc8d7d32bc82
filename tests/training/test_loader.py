"""Crops are what they say they are, each as often as it should be, and the same for any number of workers and ranks."""

from __future__ import annotations

import json
import sys
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neuropile import make_pile, mask_of, testing
from neuropile.errors import CountOverflow, MissingExtra, PileError
from neuropile.pile import Pile
from neuropile.training import kernels as crop_kernels
from neuropile.training import sampling

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 900))


def same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    return len(a) == len(b) and all(
        x.keys() == y.keys() and all(torch.equal(x[k], y[k]) if isinstance(x[k], torch.Tensor) else x[k] == y[k] for k in x) for x, y in zip(a, b, strict=True)
    )


@pytest.fixture(scope="module")
def matrices(pile: Pile) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each segment its counts and which of them are data, dense."""
    labelled = [s.counts() for s in pile]
    return [(c.values, np.broadcast_to(mask_of(c).values, c.shape)) for c in labelled]


@settings(max_examples=40)
@given(SHAPES, st.integers(1, 9), st.booleans(), st.integers(-3, 2**40), st.data())
def test_every_crop_is_the_slice_it_says_it_is_and_nothing_else(
    pile: Pile, matrices: list[Any], shape: tuple[int, int], size: int, shuffle: bool, seed: int, data: st.DataObject
) -> None:
    crops = pile.torch(shape, batch_size=size, shuffle=shuffle, seed=seed)
    batch = crops.batch(data.draw(st.integers(0, 3)), data.draw(st.integers(0, crops.plan.n_batches - 1)))
    assert batch["counts"].dtype == torch.uint8
    assert batch["counts"].shape[1:] == batch["mask"].shape[1:] == shape
    for i, position in enumerate(batch["position"].tolist()):
        segment, (counts, observed) = pile[position], matrices[position]
        first, units = int(batch["first_bin"][i]), batch["units"][i].numpy()
        rows = units[units >= 0]
        there = (slice(len(rows)), slice(min(shape[1], segment.n_bins - first)))
        assert len(rows) == len(set(rows)) >= 1
        assert (np.diff(rows) > 0).all()
        assert (units[len(rows) :] == -1).all()
        if shuffle:
            assert len(rows) == min(shape[0], segment.n_units)
            assert first + min(shape[1], segment.n_bins) <= segment.n_bins
        for found, whole in ((batch["counts"][i].numpy(), counts), (batch["mask"][i].numpy(), observed)):
            expected = np.zeros(shape, whole.dtype)
            expected[there] = whole[rows, first : first + shape[1]]
            np.testing.assert_array_equal(found, expected)
        told = (batch["dataset"][i], batch["session_id"][i], batch["segment_id"][i], batch["split"][i])
        assert told == (segment.dataset, segment.session_id, segment.segment_id, segment.split)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_that_is_not_there_is_told(pile: Pile, shuffle: bool) -> None:
    crops = pile.torch((40, 400), batch_size=3, shuffle=shuffle)
    n = crops.plan.n_batches
    assert crops.batch(0, n - 1)["step"] == n - 1
    for epoch, step in ((0, n), (0, 10**12), (0, -1), (-1, 0), (0, 1.5), (0, None)):
        with pytest.raises(PileError, match=rf"no batch {step} of epoch {epoch}: an epoch has {n} batches, from 0 on"):
            crops.batch(epoch, step)


@settings(max_examples=20)
@given(st.tuples(st.integers(3, 40), st.integers(20, 900)), st.integers(1, 9))
def test_in_order_every_cell_of_the_pile_comes_once_and_time_goes_on(pile: Pile, shape: tuple[int, int], size: int) -> None:
    seen = [np.zeros((s.n_units, s.n_bins), int) for s in pile]
    places = []
    for batch in pile.torch(shape, batch_size=size, shuffle=False, mask=False):
        for i, position in enumerate(batch["position"].tolist()):
            first, units = int(batch["first_bin"][i]), batch["units"][i].numpy()
            seen[position][units[units >= 0], first : first + shape[1]] += 1
            places.append((position, first, units[0]))
    assert all((s == 1).all() for s in seen)
    assert places == sorted(places)


@settings(max_examples=15)
@given(st.tuples(st.integers(5, 40), st.integers(60, 900)), st.integers(1, 9), st.integers(1, 5), st.booleans())
def test_ranks_share_the_batches_of_one_stream_out_among_them(pile: Pile, shape: tuple[int, int], size: int, world: int, shuffle: bool) -> None:
    options = {"batch_size": size, "shuffle": shuffle, "mask": False}
    whole = list(pile.torch(shape, **options))
    try:
        ranks = [list(pile.torch(shape, rank=r, world=world, **options)) for r in range(world)]
    except PileError:
        assert len(whole) < world
        return
    assert [b["step"] for b in whole] == list(range(len(whole)))
    shared = sorted((b for rank in ranks for b in rank), key=lambda b: b["step"])
    assert same(shared, whole[: len(whole) // world * world] if shuffle else whole)
    assert {len(r) for r in ranks} <= ({len(whole) // world} if shuffle else {len(whole) // world, len(whole) // world + 1})
    assert [len(pile.torch(shape, rank=r, world=world, **options)) for r in range(world)] == [len(r) for r in ranks]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_change_nothing_over_epochs(pile: Pile) -> None:
    def stream(**options: Any) -> list[dict[str, Any]]:
        crops = pile.torch((8, 50), batch_size=16, seed=5)
        loader = crops.loader(**options)
        batches = [b for _ in range(2) for b in loader]
        assert crops.state_dict()["epoch"] == 2
        return batches

    alone = stream()
    assert {b["epoch"] for b in alone} == {0, 1}
    assert not torch.equal(alone[0]["counts"], alone[len(alone) // 2]["counts"])
    for n in (1, 2, 3):
        assert same(stream(num_workers=n, multiprocessing_context="fork"), alone)


@pytest.mark.soak
def test_workers_of_their_own_processes_change_nothing_either(pile: Pile) -> None:
    loader, alone = pile.torch((8, 50)).loader(num_workers=2), pile.torch((8, 50))
    for _ in range(2):
        assert same(list(loader), list(alone))


def test_a_pass_broken_off_is_gone_on_with_by_workers_that_live_on(pile: Pile) -> None:
    crops = pile.torch((8, 50), batch_size=16)
    loader = crops.loader(num_workers=2, multiprocessing_context="fork")
    found = [batch for batch, _ in zip(loader, range(3), strict=False)]
    assert crops.step == 4  # zip took one more
    found += [crops.batch(0, 3), *loader]
    assert same(found, list(pile.torch((8, 50), batch_size=16)))


@pytest.mark.parametrize("pool_tokens", [sampling.POOL_TOKENS, 20_000])
def test_datasets_come_as_often_as_their_weights_say(pile: Pile, pool_tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "POOL_TOKENS", pool_tokens)
    shape, weights = (5, 40), {"a": 3.0, "b": 0.5}
    crops = pile.torch(shape, batch_size=8, weights=weights)
    drawn = np.concatenate([crops.plan.cuts(e, i).segment for e in range(3) for i in range(crops.plan.n_batches)])
    assert len(drawn) == 3 * 8 * len(crops)
    room = np.array([s.n_tokens / min(s.n_units, 5) / min(s.n_bins, 40) * weights[s.dataset] for s in pile])
    times = np.bincount(drawn, minlength=len(pile))
    for n, p in zip(times, room / room.sum(), strict=True):
        assert stats.binomtest(int(n), len(drawn), p).pvalue > 1e-6
        assert abs(n - p * len(drawn)) <= 3 * 2  # it is closer than chance: each epoch gives a segment its share, up to one at either end


def test_what_weighs_nothing_never_comes(pile: Pile) -> None:
    for batch in pile.torch((8, 50), weights={"b": 0}, mask=False):
        assert set(batch["dataset"]) == {"a"}
    light = pile.with_column("weight", [0.0] * (len(pile) - 1) + [2.0])
    assert {p for b in light.torch((8, 50)) for p in b["position"].tolist()} == {len(pile) - 1}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weight", [1e308, 1.7e308, 5e-324, 2.0**-1000])
def test_weights_of_any_size_draw_as_equal_ones_do(pile: Pile, weight: float) -> None:
    plain, scaled = (p.torch((8, 50), batch_size=4).plan for p in (pile, pile.with_column("weight", [weight] * len(pile))))
    assert scaled.n_batches == plain.n_batches
    for i in range(plain.n_batches):
        for a, b in zip(plain.cuts(0, i), scaled.cuts(0, i), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("error")
def test_weights_that_are_too_large_together_are_told(pile: Pile) -> None:
    with pytest.raises(PileError, match=r"weights of segments go from .* to inf; they must be finite"):
        pile.with_column("weight", [1e308] * len(pile)).torch(weights={"a": 100.0})


def test_each_unit_and_each_window_of_a_segment_is_as_likely(pile: Pile) -> None:
    one = pile[:1]
    drawn = [one.torch((5, 400), batch_size=64).batch(e, 0) for e in range(60)]
    units = torch.cat([b["units"] for b in drawn]).flatten().numpy()
    first = torch.cat([b["first_bin"] for b in drawn]).numpy()
    assert stats.chisquare(np.bincount(units, minlength=one[0].n_units)).pvalue > 1e-4
    assert stats.kstest(first / (one[0].n_bins - 400), "uniform").pvalue > 1e-4


@pytest.mark.parametrize(("n_units", "n_chosen"), [(5, 2), (4, 3), (6, 1)])
def test_each_set_of_units_is_as_likely(n_units: int, n_chosen: int) -> None:
    rows, seen = np.empty(n_chosen, np.int64), {}
    for key in range(6_000):
        crop_kernels.draw_units(n_units, np.uint64(key * 0x9E3779B97F4A7C15 % 2**61), rows)
        seen[tuple(rows)] = seen.get(tuple(rows), 0) + 1
    assert len(seen) == comb(n_units, n_chosen)
    assert stats.chisquare(list(seen.values())).pvalue > 1e-4


@settings(max_examples=30)
@given(st.integers(0, 9), st.integers(1, 6), st.integers(500, 60_000))
def test_a_pool_names_the_segments_that_its_batches_are_of(pile: Pile, epoch: int, size: int, pool_tokens: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "POOL_TOKENS", pool_tokens)
        plan = pile.torch((6, 40), batch_size=size).plan
    of: dict[Any, set[int]] = {}
    for i in range(plan.n_batches):
        of.setdefault(plan.pool(epoch, i), set()).update(plan.cuts(epoch, i).segment.tolist())
    for pool, segments in of.items():
        assert segments <= set(plan.members(*pool).tolist())


def test_how_much_is_kept_in_memory_changes_nothing(pile: Pile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "POOL_TOKENS", 20_000)
    assert same(list(pile.torch((6, 200), cache_bytes=1)), list(pile.torch((6, 200))))


def test_batches_that_are_kept_are_not_written_over_and_those_that_are_not_give_their_memory(pile: Pile) -> None:
    crops = pile.torch((8, 50), batch_size=4)
    kept = list(crops)
    crops.set_epoch(0)
    part = next(iter(crops))["counts"][1:3, 2:].numpy()  # a view of a view, in numpy
    copy = part.copy()
    addresses = {b["counts"].data_ptr() for b in crops}
    np.testing.assert_array_equal(part, copy)
    crops.set_epoch(0)
    assert same(kept, [crops.batch(0, i) for i in range(len(crops))])
    assert len(addresses) <= 4 < len(kept)  # the last one and the next, each with its mask


def test_only_the_split_that_is_asked_for_comes(pile: Pile) -> None:
    assert {s for b in pile.train.torch((8, 50)) for s in b["split"]} == {"train"}
    assert {s for b in pile.torch((8, 50), shuffle=False) for s in b["split"]} == {"train", "val", "test"}


def test_units_come_in_the_order_the_pile_gives_them(pile: Pile) -> None:
    order = {i: np.arange(s.n_units)[::-1].copy() for i, s in enumerate(pile)}
    turned = pile.with_column("order_id", list(order))
    turned.orders = order
    plain, other = (next(iter(p.torch((40, 100), shuffle=False, batch_size=1)))["counts"][0, : pile[0].n_units] for p in (pile, turned))
    assert torch.equal(plain, other.flip(0))
    assert plain.any()


def test_counts_above_255_are_told_and_never_wrapped(tmp_path: Any) -> None:
    store = testing.store(tmp_path / "s", [testing.recording(0)])
    wide = make_pile(store, bin_width=60, quality="all")
    with pytest.raises(CountOverflow, match=r"session-0.*fires more than 255 times in a bin; make the pile with narrower bins"):
        list(wide.torch((20, 5)))
    out = np.empty((1, 3), np.uint8)
    for n, bad in ((255, -1), (256, 0)):
        places, starts, _ = crop_kernels.pack(np.array([0, n + 1]), np.r_[np.int32(0), np.full(n, 2, np.int32)], 3)
        assert crop_kernels.cut(places, starts, np.array([0]), 0, 3, out) == bad
        assert out[0, :2].tolist() == [1, 0]


@given(st.lists(st.lists(st.integers(0, 999), max_size=30).map(sorted), min_size=1, max_size=4), st.integers(0, 999), st.integers(1, 1000))
def test_any_window_of_packed_events_is_their_histogram(units: list[list[int]], first: int, n_bins: int) -> None:
    n_bins = min(n_bins, 1000 - first)
    offsets = np.cumsum([0, *map(len, units)])
    places, starts, bad = crop_kernels.pack(offsets, np.array([k for unit in units for k in unit], np.int32), 1000)
    assert bad == -1
    out = np.full((len(units) + 1, n_bins + 2), 7, np.uint8)
    crop_kernels.cut(places, starts, np.arange(len(units)), first, n_bins, out)
    for row, unit in zip(out, units, strict=False):
        assert row.tolist() == [*np.histogram(unit, np.arange(first, first + n_bins + 1) - 0.5)[0].tolist(), 0, 0]
    assert not out[-1].any()


@pytest.mark.parametrize("bins", [[5, 4], [-1], [10], [0, 2**31 - 1]])
def test_events_of_a_damaged_file_are_refused(bins: list[int]) -> None:
    assert crop_kernels.pack(np.array([0, 0, len(bins)]), np.array(bins, np.int32), 10)[2] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0, 5)}, r"crop is \(0, 5\); it takes whole numbers from 1 on"),
        ({"crop": (5, 2.5)}, "crop is .5, 2.5."),
        ({"crop": (5, 5, 5)}, "crop is .units, bins."),
        ({"seed": "a"}, "seed is a; it takes whole numbers"),
        ({"crop": 5}, "crop is .units, bins."),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"crop": (10**9, 10**9)}, r"crop=\(1000000000, 1000000000\) and batch_size=32 make batches of .* GiB, more than 16; take smaller crops"),
        ({"crop": (np.int64(2**40), np.int64(2**40))}, "take smaller crops, or fewer a batch"),
        ({"crop": (1000, 9000), "batch_size": 1000}, r"make batches of 16\.8 GiB"),
        ({"sise": 3}, "sise"),
        ({"weights": {"c": 1.0}}, "weights name c, but the pile's datasets are a, b"),
        ({"weights": {"a": -1.0}}, "must be finite, at least 0"),
        ({"weights": {"a": 0, "b": 0}}, "one above it"),
        ({"weights": {"a": float("nan")}}, "must be finite"),
        ({"weights": {"a": 2}, "shuffle": False}, "give one of the two"),
        ({"rank": 2, "world": 2}, "rank 2 of world 2"),
        ({"world": 100, "rank": 0}, "too few for 100 ranks"),
    ],
)
def test_options_that_cannot_be_are_told(pile: Pile, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PileError, match=message):
        pile.torch(**options)


def test_an_empty_pile_is_told(pile: Pile) -> None:
    with pytest.raises(PileError, match="the pile is empty"):
        pile[:0].torch()


def test_ranks_are_what_torch_distributed_says(pile: Pile, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("is_initialized", True), ("get_rank", 1), ("get_world_size", 3)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    assert [b["step"] for b in pile.torch((8, 50), batch_size=8)][:3] == [1, 4, 7]


def _steps_of(rank: int, world: int, pile: Pile, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world)
    steps = [b["step"] for b in pile.torch((8, 50), batch_size=8).loader(num_workers=1, multiprocessing_context="fork")]
    (folder / f"{rank}.json").write_text(json.dumps(steps))
    torch.distributed.destroy_process_group()


@pytest.mark.soak
def test_real_ranks_share_the_batches(pile: Pile, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_steps_of, (2, pile, tmp_path), nprocs=2)
    n = len(pile.torch((8, 50), batch_size=8)) // 2 * 2
    assert [json.loads((tmp_path / f"{r}.json").read_text()) for r in (0, 1)] == [list(range(r, n, 2)) for r in (0, 1)]


def test_without_torch_the_way_to_it_is_told(pile: Pile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "neuropile.training.loader")
    monkeypatch.delattr("neuropile.training.loader")
    with pytest.raises(MissingExtra, match=r"training needs torch: pip install 'neuropile\[torch\]'"):
        pile.torch()
