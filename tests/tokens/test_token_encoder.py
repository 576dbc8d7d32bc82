"""The encoder's memory: whatever it remembers, forgets or was kept from learning, ids stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from test_tokens import made_up, plain

from neuropile.tokens import Vocabulary
from neuropile.tokens.encoder import Encoder


@pytest.mark.parametrize("shape", [(1, 10), (5, 5), (8, 8)])
def test_what_is_remembered_and_forgotten_changes_no_id(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    motifs = np.unique(rng.poisson(0.2, (200, shape[0] * shape[1])).astype(np.uint8), axis=0)
    motifs[0] = 0
    arrays = [made_up(rng, 24, 300, 80) for _ in range(4)]

    def events(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        unit, k = np.nonzero(counts)
        return np.r_[0, np.cumsum(np.bincount(unit, counts[unit, k], len(counts)))].astype(np.int64), np.repeat(k, counts[unit, k]).astype(np.int32)

    fresh = [Encoder(motifs, shape, "count", False).encode(*events(a), 300) for a in arrays]
    for limit in (1 << 21, 40):
        monkeypatch.setattr("neuropile.tokens.encoder.MAX_NOTED", limit)
        encoder = Encoder(motifs, shape, "count", False)
        for _ in range(2):
            for a, once in zip(arrays, fresh, strict=True):
                again = encoder.encode(*events(a), 300)
                np.testing.assert_array_equal(again.ids, once.ids)
                assert (again.n_exact, again.events, again.events_decoded, again.difference) == (
                    once.n_exact,
                    once.events,
                    once.events_decoded,
                    once.difference,
                )


@pytest.mark.parametrize("shape", [(1, 10), (8, 8)])
def test_a_search_that_was_interrupted_leaves_nothing_half_known(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    motifs = np.zeros((2, shape[0] * shape[1]), np.uint8)
    motifs[1, 0] = 1
    vocabulary = Vocabulary(motifs, np.ones(2, int), {"shape": shape, "pad": False, "distance": "count", "bin_width": "1/50"})
    counts = made_up(np.random.default_rng(0), 16, 80, 9)

    def interrupted(self: object, patches: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("neuropile.tokens.nearest.Nearest.find", interrupted)
        with pytest.raises(KeyboardInterrupt):
            vocabulary.encode(counts)
    np.testing.assert_array_equal(vocabulary.encode(counts), plain(vocabulary, counts)[0])
