"""Motifs, token ids and orders of real recordings, those that come with the package, beside plain counts over their dense arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from motif_oracle import mask, plain

from neuropile import Pile, building, create_store, make_pile, motifs, tokens
from neuropile.cli.demo import bundled
from neuropile.pile import order_key

SHAPES = [(1, 5), (1, 10), (1, 15), (5, 5)]


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Pile:
    """The smallest bundled recording of each dataset."""
    store = create_store(tmp_path_factory.mktemp("real") / "store")
    for source, files in bundled():
        building.ingest(sorted(files, key=lambda p: p.stat().st_size)[:1], store, dataset=source["dataset"])
    return make_pile(store, max_tokens=2_000_000, test=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_tables_of_real_recordings_are_a_plain_count(pile: Pile, shape: tuple[int, int], tmp_path: Path) -> None:
    table = motifs.count(pile, shape, out=tmp_path / "m.parquet")
    expected, unobserved = plain([(s.counts().values, mask(s, (s.n_units, s.n_bins))) for s in pile], shape, pad=False)
    assert table.meta["n_unobserved"] == unobserved
    assert dict(zip(*(table.to_pandas()[c] for c in ("patch", "count")), strict=True)) == dict(expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_real_counts_come_back_wherever_the_report_says_exact(pile: Pile, shape: tuple[int, int], tmp_path: Path) -> None:
    motifs.count(pile, shape, out=tmp_path / "m.parquet")
    vocabulary = tokens.fit(tmp_path / "m.parquet", 50)
    whole = tokens.fit(tmp_path / "m.parquet", motifs.open_table(tmp_path / "m.parquet").n_unique)
    exact = patches = 0
    for s in pile:
        counts = s.counts().values
        n_units, n_bins = (n // p * p for n, p in zip(counts.shape, shape, strict=True))
        seen = _blocks(mask(s, counts.shape)[:n_units, :n_bins], shape).all(axis=(1, 3))
        for vocab in (vocabulary, whole):
            back = vocab.decode(vocab.encode(s), *counts.shape)
            same = (_blocks(back[:n_units, :n_bins], shape) == _blocks(counts[:n_units, :n_bins], shape)).all(axis=(1, 3))
            if vocab is whole:
                assert same[seen].all()
            else:
                exact += int(same[seen].sum())
                patches += int(seen.sum())
    told = tokens.report(pile, vocabulary)[""]
    assert told.patches - told.unobserved == patches
    assert told.exact == exact < patches


def _blocks(cells: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cells.reshape(cells.shape[0] // shape[0], shape[0], cells.shape[1] // shape[1], shape[1])


def test_an_order_of_real_units_is_undone_by_its_inverse(pile: Pile) -> None:
    ordered = pile.reordered()
    for a, b in zip(pile, ordered, strict=True):
        assert b.order is not None
        np.testing.assert_array_equal(b.counts().values[np.argsort(b.order)], a.counts().values)
        assert order_key(a) == order_key(b)
