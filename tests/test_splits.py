"""Splits come from a hash: stable when sessions are added, disjoint, of about the asked share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.errors import PileError
from neuropile.splits import SPLITS, check_shares, empty_split_hints, position, split_of

ids = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=60, unique=True)
shares = st.tuples(st.floats(0, 0.5), st.floats(0, 0.5))


@given(ids, st.integers(0, 10**6), shares)
def test_each_id_has_one_split_whatever_stands_beside_it(keys: list[str], seed: int, share: tuple[float, float]) -> None:
    alone = {k: split_of(k, seed, *share) for k in keys}
    assert set(alone.values()) <= set(SPLITS)
    assert alone == {k: split_of(k, seed, *share) for k in reversed([*keys, "one more"]) if k in alone}


@given(st.text(), st.integers(0, 1000), st.floats(0, 0.4), st.floats(0, 0.1))
def test_a_larger_test_share_takes_no_id_out_of_test(key: str, seed: int, test: float, more: float) -> None:
    if split_of(key, seed, 0.0, test) == "test":
        assert split_of(key, seed, 0.0, test + more) == "test"


def test_shares_come_out_as_asked_over_many_ids() -> None:
    found = [split_of(f"lab/session{i}", 3, val=0.1, test=0.2) for i in range(20_000)]
    assert abs(found.count("test") / len(found) - 0.2) < 0.01
    assert abs(found.count("val") / len(found) - 0.1) < 0.01


def test_positions_depend_on_the_seed() -> None:
    assert position("a", 0) != position("a", 1)


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0), (0, 1.1), (0.6, 0.6), (float("nan"), 0)])
def test_impossible_shares_are_refused(val: float, test: float) -> None:
    with pytest.raises(PileError, match="between 0 and 1"):
        check_shares(val, test)


@given(ids, st.integers(0, 100), st.sampled_from([0.0, 0.01, 0.2]), st.sampled_from([0.0, 0.01, 0.2]))
def test_the_hint_for_an_empty_split_fills_it(keys: list[str], seed: int, val: float, test: float) -> None:
    for hint in empty_split_hints(keys, seed, val, test):
        name = "val" if hint.startswith("the val") else "test"
        assert all(split_of(k, seed, val, test) != name for k in keys)
        ways = dict(w.split("=") for w in hint.split("; ")[1].removesuffix(" would fill it").split(" or ") if "=" in w)
        assert ways
        if "seed" in ways:
            assert any(split_of(k, int(ways["seed"]), val, test) == name for k in keys)
        if name in ways:
            larger = {"val": val, "test": test} | {name: float(ways[name])}
            assert any(split_of(k, seed, **larger) == name for k in keys)
