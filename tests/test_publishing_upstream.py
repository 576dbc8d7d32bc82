"""Code that was written for the published corpora of dense rows runs on ours as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuropile import Pile, make_pile, testing

COLUMNS = ["spike_counts", "subject_id", "session_id", "segment_id", "source_dataset"]


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Pile:
    made = testing.store(tmp_path_factory.mktemp("up") / "store", [testing.recording(i, n_units=5, duration_s=40) for i in range(3)])
    return make_pile(made, max_tokens=3_000, test=0.3, split_by="segment")


@pytest.mark.parametrize(("options", "config"), [({"layout": "dense"}, []), ({"compat": True}, ["compat"])])
def test_code_for_dense_rows_runs_unchanged(pile: Pile, tmp_path: Path, options: dict[str, Any], config: list[str]) -> None:
    from datasets import Features, List, Value, load_dataset

    pile.publish(tmp_path / "p", **options)
    ds = load_dataset(str(tmp_path / "p"), *config, split="train", cache_dir=str(tmp_path / "cache"))
    assert ds.column_names == COLUMNS
    assert ds.features == Features({"spike_counts": List(List(Value("uint8"))), **{c: Value("string") for c in COLUMNS[1:]}})
    for row, segment in zip(ds, pile.train, strict=True):
        x = np.array(row["spike_counts"], dtype=np.uint8)
        np.testing.assert_array_equal(x, segment.counts().values)
        assert (row["subject_id"], row["session_id"], row["segment_id"], row["source_dataset"]) == (
            segment.subject_id,
            segment.session_id,
            segment.segment_id,
            segment.dataset,
        )
    streamed = load_dataset(str(tmp_path / "p"), *config, split="test", streaming=True)
    assert sum(np.array(r["spike_counts"], dtype=np.uint8).size for r in streamed) == pile.test.n_tokens
