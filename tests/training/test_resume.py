"""Training that was killed goes on as if it had not been."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropile.errors import PileError
from neuropile.pile import Pile

OPTIONS: dict[str, Any] = {"crop": (8, 50), "batch_size": 4, "seed": 3}
#: Prints a hash and the state after each batch, until it is killed.
ENDLESS = """
import hashlib, json, sys
from neuropile import open_pile

crops = open_pile(sys.argv[1]).torch(**json.loads(sys.argv[2]))
loader = crops.loader(num_workers=2, multiprocessing_context="fork")
while True:
    for batch in loader:
        told = hashlib.sha256(batch["counts"].numpy().tobytes() + batch["mask"].numpy().tobytes()).hexdigest()
        print(json.dumps([told, crops.state_dict()]), flush=True)
"""


def digest(batch: dict[str, Any]) -> str:
    return hashlib.sha256(batch["counts"].numpy().tobytes() + batch["mask"].numpy().tobytes()).hexdigest()


def taken(pile: Pile, n: int, state: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """The digests of the next n batches, over as many epochs as it takes."""
    crops = pile.torch(**{**OPTIONS, **options})
    if state:
        crops.load_state_dict(state)
    found: list[str] = []
    while True:
        for batch in crops:
            found.append(digest(batch))
            if len(found) == n:
                return found


def test_a_killed_run_goes_on_with_the_batches_it_would_have_seen(pile: Pile, tmp_path: Path) -> None:
    pile.save(tmp_path / "pile.parquet")
    seen: list[tuple[str, dict[str, Any]]] = []
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path / "pile.parquet"), json.dumps(OPTIONS)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            seen.append(json.loads(line))
            if len(seen) == len(pile.torch(**OPTIONS)) + 7:  # in its second epoch
                os.killpg(run.pid, signal.SIGKILL)
                break
    expected = taken(pile, len(seen) + 20)
    assert [told for told, _ in seen] == expected[: len(seen)]
    assert seen[-1][1]["epoch"] == 1
    assert taken(pile, 20, seen[-1][1]) == expected[len(seen) :]


@settings(max_examples=25)
@given(st.data(), st.booleans())
def test_from_any_step_the_rest_is_what_it_would_have_been(pile: Pile, data: st.DataObject, shuffle: bool) -> None:
    crops = pile.torch(**OPTIONS, shuffle=shuffle)
    n = data.draw(st.integers(0, 2 * len(crops)))
    whole: list[str] = []
    states = [crops.state_dict()]
    while len(whole) < n + 3:
        for batch in crops:
            whole.append(digest(batch))
            states.append(crops.state_dict())
    assert taken(pile, 3, json.loads(json.dumps(states[n])), shuffle=shuffle) == whole[n : n + 3]


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 6))
def test_another_number_of_ranks_goes_on_where_the_first_was(pile: Pile, before: int, after: int, n: int) -> None:
    stream = taken(pile, len(pile.torch(**OPTIONS)))
    crops = [pile.torch(**OPTIONS, rank=r, world=before) for r in range(before)]
    iterators = [iter(c) for c in crops]
    for _ in range(n):
        for i in iterators:
            next(i)
    states = [c.state_dict() for c in crops]
    assert states == states[:1] * before
    others = [pile.torch(**OPTIONS, rank=r, world=after) for r in range(after)]
    found: dict[int, str] = {}
    for other in others:
        other.load_state_dict(states[0])
        found |= {b["step"]: digest(b) for b in other}
    start = n * before
    assert [found[k] for k in sorted(found)] == stream[start : start + (len(stream) - start) // after * after]


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.booleans(), st.data())
def test_any_ranks_state_loses_and_doubles_no_batch(pile: Pile, before: int, after: int, size: int, shuffle: bool, data: st.DataObject) -> None:
    options = {"crop": (40, 400), "batch_size": size, "shuffle": shuffle, "mask": False}
    n = pile.torch(**options).plan.n_batches
    if shuffle and n < max(before, after):
        return
    rounds = data.draw(st.sampled_from([1, n // before, -(-n // before)]))  # an epoch's end is where ranks' turns are not alike
    crops = [pile.torch(**options, rank=r, world=before) for r in range(before)]
    seen = [b["step"] for i in map(iter, crops) for b in itertools.islice(i, rounds)]
    states = [c.state_dict() for c in crops]
    assert states == states[:1] * before
    for state in states:
        rest = []
        for r in range(after):
            other = pile.torch(**options, rank=r, world=after)
            other.load_state_dict(json.loads(json.dumps(state)))
            rest += [b["step"] for b in other] if other.epoch == 0 else []
        left = n - len(seen)
        assert len(rest) == (0 if state["epoch"] else left // after * after if shuffle else left)
        assert sorted(seen + rest) == list(range(len(seen) + len(rest)))
        assert shuffle or len(seen) + len(rest) == n


def test_a_state_is_small_and_as_small_after_any_time(pile: Pile) -> None:
    crops = pile.torch(**OPTIONS)
    assert set(crops.state_dict()) == {"seed", "epoch", "step", "order"}
    sizes = set()
    for _ in range(2):
        for _ in crops:
            sizes.add(len(json.dumps({**crops.state_dict(), "epoch": 0, "step": 0})))
    assert len(sizes) == 1
    assert sizes.pop() < 100


def test_a_state_after_the_last_batch_begins_the_next_epoch(pile: Pile) -> None:
    crops = pile.torch(**OPTIONS)
    for batch in crops:
        if batch["step"] == len(crops) - 1:
            assert (crops.epoch, crops.step) == (1, 0)
    assert (crops.epoch, crops.step) == (1, 0)
    crops.set_epoch(7)
    assert next(iter(crops))["epoch"] == 7


@pytest.mark.parametrize("other", [{"seed": 4}, {"crop": (8, 51)}, {"batch_size": 5}, {"shuffle": False}, {"weights": {"a": 2.0}}])
def test_a_state_of_other_options_is_refused(pile: Pile, other: dict[str, Any]) -> None:
    state = pile.torch(**OPTIONS).state_dict()
    with pytest.raises(PileError, match="of another pile, or of other options"):
        pile.torch(**{**OPTIONS, **other}).load_state_dict(state)
    pile.torch(**OPTIONS, mask=False, cache_bytes=5).load_state_dict(state)


def test_a_state_of_another_pile_is_refused(pile: Pile) -> None:
    state = pile.torch(**OPTIONS).state_dict()
    with pytest.raises(PileError, match="of another pile"):
        pile[1:].torch(**OPTIONS).load_state_dict(state)


@pytest.mark.parametrize("bad", [{}, {"epoch": 0, "step": 10**9}, {"epoch": -1, "step": 0}, {"epoch": "0", "step": 0}])
def test_what_is_no_state_is_refused(pile: Pile, bad: dict[str, Any]) -> None:
    crops = pile.torch(**OPTIONS)
    with pytest.raises(PileError, match="no state of crops"):
        crops.load_state_dict({**bad, "order": crops.state_dict()["order"]})
