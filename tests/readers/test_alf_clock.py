"""Clocks that restart within a folder's spikes, in ALF's seconds and in Kilosort's samples; and what only looks like one."""

from __future__ import annotations

from itertools import pairwise

import alffolder
import numpy as np
import pytest
from alffolder import put
from hypothesis import given
from hypothesis import strategies as st

import neuropile
from neuropile.errors import UnreadableFile
from neuropile.readers import alf, kilosort
from neuropile.readers.alf import flat as alf_flat

RATE = 30000


def pieces_of(rng: np.random.Generator, lengths: list[int], longest_s: float = 50.0) -> list[np.ndarray]:
    return [np.sort(rng.integers(0, int(longest_s * RATE), n)) for n in lengths]


@pytest.fixture
def samples() -> list[np.ndarray]:
    """Three pieces, each from near 0."""
    return pieces_of(np.random.default_rng(1), [500, 300, 400])


@pytest.fixture
def clusters() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 3, 1200)


def expected(samples: list[np.ndarray]) -> tuple[list[int], np.ndarray]:
    """The offset of each piece, in whole seconds, and every sample on the common clock."""
    offsets, at = [], 0
    for piece in samples:
        first, last = int(piece[0]) // RATE, int(piece[-1]) // RATE
        offsets.append(at - first)
        at += last + 1 - first + 1  # a second at least lies between
    return offsets, np.concatenate([p + o * RATE for p, o in zip(samples, offsets, strict=True)])


def write(how: str, folder, samples, clusters):
    """The folder of one kind or the other, and its reader."""
    if how == "kilosort":
        return alffolder.kilosort(folder, np.concatenate(samples), clusters), kilosort.folder()
    return put(folder, spikes__times=np.concatenate(samples) / RATE, spikes__clusters=clusters), alf.session()


both = pytest.mark.parametrize("how", ["alf", "kilosort"])


class TestRestarts:
    @both
    def test_pieces_are_laid_end_to_end_to_the_exact_tick(self, how, tmp_path, store, samples, clusters):
        folder, reader = write(how, tmp_path / "rec", samples, clusters)
        (outcome,) = neuropile.ingest([folder], store, lambda _: reader)
        assert outcome.notes == ("the clock restarts 2 times: its 3 pieces are laid end to end, each with its offset in trials",)
        session = store[outcome.session]
        offsets, common = expected(samples)
        for unit in range(3):
            ticks = np.rint(session.spikes()[unit] * 100_000 - 0.5).astype(int)
            assert ticks.tolist() == (common[clusters == unit] * 100_000 // RATE).tolist()
        assert session.trials["offset_s"].tolist() == offsets
        assert len(session.observed.of_any()) == 3

    @both
    def test_no_spike_lies_outside_what_was_observed(self, how, tmp_path, store, samples, clusters):
        folder, reader = write(how, tmp_path / "rec", samples, clusters)
        with reader(folder) as recording:
            assert recording.clock == "trials"
            spans = list(zip(recording.observed.start_s, recording.observed.stop_s, strict=True))
            times = np.concatenate([recording.trains.read(u) for u in range(3)])
        assert all(any(a <= t < b for a, b in spans) for t in times)
        assert all(b + 1 <= a for (_, b), (a, _) in pairwise(spans))

    @both
    def test_found_in_small_chunks_they_are_the_same(self, how, tmp_path, samples, clusters, monkeypatch):
        folder, reader = write(how, tmp_path / "rec", samples, clusters)
        at_once = [reader(folder).trains.read(u) for u in range(3)]
        monkeypatch.setattr(alf_flat, "CHUNK", 7)
        for u in range(3):
            np.testing.assert_array_equal(reader(folder).trains.read(u), at_once[u])

    def test_behaviour_whose_piece_nobody_knows_is_left_out(self, tmp_path, samples, clusters):
        folder, reader = write("alf", tmp_path / "rec", samples, clusters)
        put(folder, I_trials__table=alffolder.trial_table(), licks__times=[1.0])
        recording = reader(folder)
        assert recording.notes[1] == "left out, as their times may lie in any of the pieces: licks, trials"
        assert list(recording.intervals) == ["trials"]
        assert recording.intervals["trials"].num_rows == 3

    def test_of_two_probes_it_is_an_error(self, tmp_path, samples, clusters):
        for name in ("probe00", "probe01"):
            write("alf", tmp_path / "s" / name, samples, clusters)
        with pytest.raises(UnreadableFile, match="the clock restarts within a probe's spikes"):
            alf.session()(tmp_path / "s")

    def test_a_misplaced_spike_hides_no_restart(self, clusters):
        times = np.r_[0:300.0, 3, 301:600.0, 0:600.0]
        assert alf_flat.pieces(times, clusters).begins.tolist() == [0, 600]

    def test_nan_hides_no_restart(self, clusters):
        times = np.concatenate([np.arange(600) / 10, [np.nan], np.arange(599) / 10])
        assert alf_flat.pieces(times, clusters).begins.tolist() == [0, 601]


class TestOnlyUnsorted:
    @pytest.mark.parametrize(
        "times",
        [
            np.arange(1200.0),
            np.random.default_rng(0).uniform(0, 50, 1200),
            np.concatenate([np.arange(600), np.arange(600) + 599.5]),
            np.concatenate([np.arange(k, 1200, 110) for k in range(110)]),
            np.array([0.5, 0.1, 2.25]),
            np.empty(0),
            np.full(1200, np.nan),
            np.r_[100, np.arange(1, 100), 0, np.arange(101, 1200.0)],
            np.r_[0:600.0, 3, 601:1200.0],
            np.r_[0:1199.0, 3],
            np.r_[0:600.0, 1e6, 601:1200.0],
        ],
        ids=[
            "sorted",
            "any order",
            "a small fall",
            "too many falls",
            "few spikes",
            "none",
            "not a number",
            "two swapped",
            "one early",
            "the last early",
            "one late",
        ],
    )
    def test_such_times_are_no_restart(self, times, clusters):
        assert alf_flat.pieces(times, clusters[: len(times)]) is None

    @both
    def test_spikes_laid_unit_by_unit_are_no_restart(self, how, tmp_path, samples):
        clusters = np.repeat([0, 1, 2], [len(p) for p in samples])
        folder, reader = write(how, tmp_path / "rec", samples, clusters)
        recording = reader(folder)
        assert recording.clock == "session"
        for unit in range(3):
            np.testing.assert_array_equal(recording.trains.read(unit), samples[unit] / RATE)

    @given(st.lists(st.integers(40, 80), min_size=2, max_size=6), st.integers(0, 2**31))
    def test_every_piece_is_found_where_it_begins(self, lengths, seed):
        rng = np.random.default_rng(seed)
        pieces = [np.sort(rng.integers(0, 10, n)) + np.r_[np.zeros(n - 1), 20] for n in lengths]
        found = alf_flat.pieces(np.concatenate(pieces), rng.integers(0, 2, sum(lengths)))
        assert found is not None
        assert found.begins.tolist() == np.cumsum([0, *lengths[:-1]]).tolist()


@given(st.integers(1, 400), st.integers(1, 30), st.integers(0, 2**31))
def test_grouping_is_a_mask_a_unit(n_events, n_units, seed):
    rng = np.random.default_rng(seed)
    times, rows = rng.normal(size=n_events), rng.integers(0, n_units, n_events)
    grouped, offsets = alf_flat.group(times, rows.astype(np.uint16), n_units)
    for unit in range(n_units):
        np.testing.assert_array_equal(grouped[offsets[unit] : offsets[unit + 1]], times[rows == unit])
