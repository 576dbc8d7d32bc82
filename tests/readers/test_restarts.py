"""Clocks that restart: every time goes to the block it was written in, and the blocks lie end to end."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.readers.told import restarts
from neuropile.types import Reader, Recording, Signal, Spans, Trains


class Fixed(Reader):
    """Gives one recording, whatever the path."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    def __call__(self, path):
        return self.recording


def recorded(spans, trains, **more) -> Recording:
    start, stop = np.array(spans).T
    table = pa.table({"start_s": start, "stop_s": stop, "src_go_time": start + 0.2, "src_reaction_time": np.full(len(start), 0.3)})
    units = pa.table({"unit_id": [str(i) for i in range(len(trains))]})
    return Recording("s", units, Trains(len(trains), lambda u: np.asarray(trains[u], float)), intervals={"trials": table}, **more)


def cut(recording: Recording) -> Recording:
    return restarts.cut(Fixed(recording))(None)


@st.composite
def sessions(draw):
    """Blocks of trials, each begun before the last trial of the one before, and spikes within the trials, block by block as files have them."""
    blocks, spikes, at = [], [], draw(st.integers(5, 50))
    for _ in range(draw(st.integers(2, 4))):
        own = []
        for _ in range(draw(st.integers(1, 4))):
            length = draw(st.integers(2, 20))
            own.append((float(at), float(at + length)))
            at += length + draw(st.integers(1, 9))
        blocks.append(own)
        spikes.append(sorted(draw(st.lists(st.sampled_from([a + (b - a) * k / 64 for a, b in own for k in range(64)]), max_size=8))))
        at = draw(st.integers(0, max(int(own[-1][0]) - 1, 0)))
        if at >= own[-1][0]:
            break
    return blocks, spikes


@given(sessions())
def test_spikes_that_can_be_of_one_block_only_go_there(made) -> None:
    blocks, spikes = made
    train, of = np.concatenate([np.array(s) for s in spikes]), np.repeat(range(len(blocks)), [len(s) for s in spikes])
    laid = restarts.blocks_of(*np.array([t for own in blocks for t in own]).T)
    assert len(laid.first) == len(blocks)
    number, unsure = laid.of(train)
    assert np.all(np.diff(number) >= 0)
    assert all(np.all(np.diff(train[number == b]) >= 0) for b in range(len(blocks)))
    assert all(any(a <= t <= b for a, b in blocks[n]) for t, n in zip(train, number, strict=True))
    if ways(blocks, train) == 1:
        assert number.tolist() == of.tolist()
        assert unsure == 0


def ways(blocks, train) -> int:
    """How many ways there are to give ascending runs of the train to the blocks in order, each spike inside a trial of its block: counted one by one."""
    inside = [[any(a <= t <= b for a, b in own) for t in train] for own in blocks]
    found = {(0, -np.inf): 1}
    for i, t in enumerate(train):
        after: dict = {}
        for (block, last), n in found.items():
            for b in range(block, len(blocks)):
                if inside[b][i] and (b > block or t >= last):
                    after[b, t] = after.get((b, t), 0) + n
        found = after
    return sum(found.values())


def test_blocks_lie_end_to_end_with_a_pause_and_everything_moves_with_them() -> None:
    spans = [(10.0, 12.0), (13.0, 15.5), (1.0, 4.0)]
    times = np.array([10.0, 14.0, 1.0, 3.5])
    behaviour = Signal(times * 2, ("time",), time_s=times)
    done = cut(
        recorded(
            spans, [[10.5, 15.0, 1.5], [2.0], []], signals={"hand": behaviour}, observed=Spans.of([10, 13, 1] * 2, [12, 15.5, 4] * 2, np.repeat([0, 1], 3))
        )
    )
    # the first block begins at 0 s and takes 5.5 s; with the pause of 1 s the second begins at 7 s
    assert done.clock == "trials"
    trials = done.intervals["trials"].to_pydict()
    assert trials["start_s"] == [0.0, 3.0, 7.0]
    assert trials["stop_s"] == [2.0, 5.5, 10.0]
    assert trials["offset_s"] == [-10.0, -10.0, 6.0]
    assert trials["src_go_time"] == pytest.approx([0.2, 3.2, 7.2])
    assert trials["src_reaction_time"] == [0.3, 0.3, 0.3]
    assert [done.trains.read(u).tolist() for u in range(3)] == [[0.5, 5.0, 7.5], [8.0], []]
    assert done.signals["hand"].time_s[:].tolist() == [0.0, 4.0, 7.0, 9.5]
    assert done.signals["hand"].data.tolist() == (times * 2).tolist()
    assert done.observed.start_s.tolist() == [0.0, 3.0, 7.0] * 2
    assert done.observed.stop_s.tolist() == [2.0, 5.5, 10.0] * 2
    assert "restarts 1 times" in done.notes[-1]


def test_trials_that_merely_overlap_are_no_restart() -> None:
    recording = recorded([(1.0, 4.0), (3.5, 6.0), (6.5, 8.0)], [[1.5, 7.0]])
    assert cut(recording) is recording


def test_spikes_of_which_nobody_can_tell_are_noted_and_kept() -> None:
    spans = [(1.0, 3.0), (4.0, 6.0), (1.0, 3.0)]
    done = cut(recorded(spans, [[2.0], [5.0, 2.0]]))
    assert any("1 spikes could be of one block or the next" in n for n in done.notes)
    assert [len(done.trains.read(u)) for u in range(2)] == [1, 2]
    assert done.trains.read(1).tolist() == [4.0, 7.0]  # the first block takes 5 s, the second begins at 6 s


def test_trials_without_times_do_not_hide_a_restart() -> None:
    done = cut(recorded([(5.0, 6.0), (np.nan, np.nan), (1.0, 2.0)], [[5.5, 1.5]]))
    assert done.trains.read(0).tolist() == [0.5, 2.5]
