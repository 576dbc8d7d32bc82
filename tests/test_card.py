"""The data card: its header is what the Hub and `datasets` expect, its tables are true, and nothing in it breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st

from neuropile import Pile, card, make_pile, published, testing

LEFT = {"units_by_quality": 3, "units_by_where": 0, "sessions_without_units": [], "sessions_by_bin_width": ["d/x"], "sessions_unobserved": []}
MADE = {"split_by": "recording", "seed": 0, "quality": "good", "where": None, "left_out": LEFT}
PROVENANCE = {"neuropile": "0", "format": 1, "pile": "sha256:0", "source_files": 0, "source_bytes": 0, "with_digest": 0}


def contents(**changes: Any) -> card.Contents:
    files = {"layout": "sparse", "splits": {"train": ["data/train-00000-of-00001.parquet"]}, "compat": {}, "schema": published.SPARSE_SCHEMA}
    splits = [{"split": "train", "segments": 1, "sessions": 1, "recordings": 1, "subjects": 1, "tokens": 10, "share": 1.0}]
    dataset = {"dataset": "d", "species": "", "sessions": 1, "subjects": 1, "units": 1, "segments": 1, "spikes": 2, "tokens": 10, "hours": 0.1}
    terms = card.Terms("cc0-1.0", ["CC0-1.0"], [], [{"dataset": "d", "license": "CC0-1.0", "citation": None}])
    given = {"name": "p", "layout": "sparse", "bin_width": "0.02", "splits": splits, "datasets": [dataset], "files": files, "terms": terms}
    return card.Contents(**{**given, "made": MADE, "provenance": PROVENANCE, **changes})


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Pile:
    recordings = [testing.recording(i, n_units=6, duration_s=40 + i) for i in range(4)]
    return make_pile(testing.store(tmp_path_factory.mktemp("card") / "store", recordings), max_tokens=3_000, test=0.4, split_by="segment")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_text_of_a_source_breaks_header_or_tables(name: str, licence: str, citation: str) -> None:
    terms = card.Terms("other", [licence], [], [{"dataset": "d", "license": licence or None, "citation": citation}])
    text = card.render(contents(name=name, terms=terms))
    header = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert header["pretty_name"] == name or not name.isprintable()
    assert [c["config_name"] for c in header["configs"]] == ["default", "units", "sessions"]
    body = text.split("\n## Licences and citations\n")[1].split("\n## ")[0]
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert rows[2].replace("\\|", "").count("|") == 4


def test_the_hubs_own_reader_takes_the_header(pile: Pile, tmp_path: Path) -> None:
    pile.publish(tmp_path / "p", compat=True)
    data = DatasetCard.load(tmp_path / "p" / "README.md").data
    assert (data.license, data.pretty_name) == ("cc0-1.0", "p")
    for config in data.to_dict()["configs"]:
        for part in config["data_files"]:
            assert list((tmp_path / "p").glob(part["path"])), part


def test_the_totals_are_the_piles(pile: Pile, tmp_path: Path) -> None:
    pile.publish(tmp_path / "p")
    text = (tmp_path / "p" / "README.md").read_text()
    cells = next(line for line in text.splitlines() if line.startswith("| test |") and "Mus musculus" in line).strip("| ").split(" | ")
    rows = [r for f in sorted((tmp_path / "p" / "data").iterdir()) for r in pq.read_table(f).to_pylist()]
    spikes = sum(int((np.frombuffer(g, np.uint8) < 255).sum()) for r in rows for g in r["gaps"])
    units = sum({r["session_id"]: r["n_units"] for r in rows}.values())
    hours = sum(r["n_bins"] for r in rows) * 0.02 / 3600
    expected = [4, 3, units, len(rows), spikes, sum(r["n_units"] * r["n_bins"] for r in rows)]
    assert [int(c.replace(",", "")) for c in cells[2:8]] == expected
    assert float(cells[8]) == round(hours, 2)


def test_every_column_is_explained() -> None:
    for schema in (published.SPARSE_SCHEMA, published.DENSE_SCHEMA):
        assert set(schema.names) <= set(card.MEANINGS)


def test_what_was_left_out_is_named() -> None:
    text = card.render(contents())
    assert "units whose quality is not 'good': 3" in text
    assert "sessions whose clock cannot make the bin width: 1 (d/x)" in text
