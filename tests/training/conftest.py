"""A pile of two datasets whose segments differ in units, bins and in what was observed of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuropile import make_pile, testing
from neuropile.pile import Pile

pytest.importorskip("torch")


@pytest.fixture(scope="session")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Pile:
    folder = tmp_path_factory.mktemp("training")
    a = [testing.recording(0), testing.recording(1, n_units=12, observed="each", invalid=True, start_s=-20.0)]
    b = [replace(testing.recording(2, n_units=7, duration_s=30.0, observed="gaps"), session_id="gaps"), testing.recording(3, n_units=31, duration_s=15.0)]
    stores = [testing.store(folder / "a", a, dataset="a"), testing.store(folder / "b", b, dataset="b")]
    return make_pile(stores, quality="all", max_tokens=9_000, val=0.2, test=0.2, split_by="segment", gaps="keep", seed=1)
