"""Publishing: what `datasets`, pyarrow and open_pile read back is what was stored, in both layouts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropile import Pile, Store, make_pile, mask_of, open_pile, testing
from neuropile.errors import CountOverflow, PileError
from neuropile.publishing import shards

LAYOUTS = ("sparse", "dense")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    kinds = ["whole", "each", "gaps", None]
    return testing.store(tmp_path_factory.mktemp("hub") / "store", [testing.recording(i, observed=k, duration_s=120) for i, k in enumerate(kinds)])


@pytest.fixture(scope="module")
def pile(store: Store) -> Pile:
    return make_pile(store, max_tokens=30_000, val=0.2, test=0.3, split_by="segment")


@pytest.fixture(scope="module", params=LAYOUTS)
def folder(request: pytest.FixtureRequest, pile: Pile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("published") / request.param
    pile.publish(to, layout=request.param)
    return to


def card_code(folder: Path) -> dict[str, Any]:
    """What the card's own Python defines."""
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec("\n".join(code), names)
    return names


def test_load_dataset_and_the_cards_three_lines_give_the_sessions_counts(folder: Path, store: Store, pile: Pile, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    densify = card_code(folder)["densify"]
    assert {k: len(v) for k, v in loaded.items()} == {r["split"]: r["segments"] for r in pile.summary()}
    for split, rows in loaded.items():
        for row, segment in zip(rows, getattr(pile, split), strict=True):
            matrix = densify(row)
            order = row.get("order", np.arange(len(matrix)))
            units = store[segment.key].counts(0.02, segment.start_s, segment.stop_s, units=segment.unit_ids)
            assert row["segment_id"] == segment.segment_id
            np.testing.assert_array_equal(matrix[order], units.values)


@given(st.sampled_from(["0.005", "0.02", "0.1", "0.25", "60"]), st.integers(1_000, 40_000), st.sampled_from(["all", "good", "not-noise"]))
@settings(max_examples=8)
def test_a_row_read_with_pyarrow_and_numpy_alone_is_the_sessions_counts(
    store: Store, tmp_path_factory: pytest.TempPathFactory, width: str, max_tokens: int, quality: str
) -> None:
    to = tmp_path_factory.mktemp("row") / "p"
    make_pile(store, bin_width=width, max_tokens=max_tokens * 20, quality=quality, test=0.5, split_by="segment").publish(to)
    for file in sorted(to.glob("data/*.parquet")):
        for row in pq.read_table(file).to_pylist():
            gaps = [np.frombuffer(g, np.uint8) for g in row["gaps"]]
            matrix = np.stack([np.bincount(np.cumsum(g, dtype=np.int64)[g < 255], minlength=row["n_bins"]) for g in gaps])
            session = store[f"{row['source_dataset']}/{row['session_id']}"]
            stop = row["start_s"] + row["n_bins"] * row["bin_width_s"]
            counts = session.counts(width, row["start_s"], stop, units=row["unit_ids"])
            np.testing.assert_array_equal(matrix, counts.values)
            mask = np.zeros(matrix.shape, bool)
            for run in row["observed"]:
                mask[slice(None) if run["unit"] < 0 else run["unit"], run["start_bin"] : run["stop_bin"]] = True
            np.testing.assert_array_equal(mask, np.broadcast_to(counts.unit_observed if "unit_observed" in counts.coords else counts.observed, mask.shape))


def test_the_cards_mask_is_the_piles(pile: Pile, tmp_path: Path) -> None:
    pile.publish(tmp_path / "p")
    observed = card_code(tmp_path / "p")["observed"]
    rows = [r for f in sorted((tmp_path / "p").glob("data/train-*.parquet")) for r in pq.read_table(f).to_pylist()]
    for row, segment in zip(rows, pile.train, strict=True):
        expected = mask_of(segment.counts())
        np.testing.assert_array_equal(observed(row)[row["order"]], np.broadcast_to(expected, (segment.n_units, segment.n_bins)))


def test_streaming_gives_the_same_rows(folder: Path) -> None:
    import datasets

    streamed = datasets.load_dataset(str(folder), split="train", streaming=True)
    read = [r for f in sorted(folder.glob("data/train-*.parquet")) for r in pq.read_table(f).to_pylist()]
    assert list(streamed) == read


def test_open_pile_gives_back_every_segment_with_its_labels_and_masks(folder: Path, pile: Pile) -> None:
    opened = open_pile(folder)
    assert len(opened) == len(pile)
    by_place = {(s.key, s.segment_id): s for s in pile}
    for s in opened:
        other = by_place[s.key, s.segment_id]
        assert s.counts().identical(other.counts())
        assert (s.split, s.first_bin, s.subject_id, s.species, s.recording_id) == (
            other.split,
            other.first_bin,
            other.subject_id,
            other.species,
            other.recording_id,
        )
        np.testing.assert_array_equal(s.counts(out=np.empty((s.n_units, s.n_bins), np.uint8)), other.counts().values)


def test_a_published_pile_publishes_again_to_the_same_rows(folder: Path, tmp_path: Path) -> None:
    layout = folder.name
    open_pile(folder).publish(tmp_path / "again", layout=layout)
    for file in sorted(folder.rglob("*.parquet")):
        assert pq.read_table(file).equals(pq.read_table(tmp_path / "again" / file.relative_to(folder)))


def test_units_and_sessions_are_configs_of_their_own(folder: Path, store: Store, pile: Pile, tmp_path: Path) -> None:
    import datasets

    units = datasets.load_dataset(str(folder), "units", cache_dir=str(tmp_path))["units"].to_pandas()
    sessions = datasets.load_dataset(str(folder), "sessions", cache_dir=str(tmp_path))["sessions"].to_pandas()
    assert len(units) == sum({s.key: s.n_units for s in pile}.values())
    assert not (units["quality"] == "noise").any()
    assert set(sessions.session_id) == set(store.sessions.session_id)


def test_the_card_says_what_there_is_and_what_was_left_out(folder: Path, store: Store, pile: Pile) -> None:
    card = (folder / "README.md").read_text()
    noise = int((store.units.quality == "noise").sum())
    assert f"{pile.n_tokens:,} tokens" in card
    assert f"units whose quality is not 'not-noise': {noise}" in card
    assert "CC0-1.0" in card
    assert "made by neuropile.testing" in card
    assert card.startswith("---\nlicense: cc0-1.0\n")
    for column in pq.read_schema(next(folder.glob("data/train-*.parquet"))).names:
        assert f"| {column} |" in card


def test_the_same_pile_gives_the_same_bytes(pile: Pile, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pile.publish(tmp_path / name / "pile")
    for file in sorted((tmp_path / "a").rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_spikes_published_are_the_spikes_in_the_segments(pile: Pile, tmp_path: Path) -> None:
    done = pile.publish(tmp_path / "p")
    assert done.n_spikes == sum(int(s.counts().sum()) for s in pile)
    assert done.bytes == sum(f.stat().st_size for f in (tmp_path / "p" / "data").iterdir())


def test_shards_are_numbered_and_read_as_one(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    monkeypatch.setattr("neuropile.published.SPARSE_ROWS_PER_GROUP", 2)
    pile.publish(tmp_path / "p")
    names = sorted(f.name for f in (tmp_path / "p" / "data").glob("train-*"))
    assert len(names) > 2
    assert names[0] == f"train-00000-of-{len(names):05d}.parquet"
    assert [s.segment_id for s in open_pile(tmp_path / "p").train] == [s.segment_id for s in pile.train]


def test_a_folder_in_use_is_left_alone(pile: Pile, tmp_path: Path) -> None:
    pile.publish(tmp_path / "p")
    with pytest.raises(PileError, match="exists; give a new folder, or --replace"):
        pile.publish(tmp_path / "p")
    pile.publish(tmp_path / "p", layout="dense", replace=True)
    assert open_pile(tmp_path / "p").source.rows.layout == "dense"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(PileError, match="not a published pile, so it is not replaced"):
        pile.publish(tmp_path / "mine", replace=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "words"


def test_a_publication_that_fails_leaves_nothing(store: Store, tmp_path: Path) -> None:
    wide = make_pile(store, bin_width=60)
    with pytest.raises(CountOverflow, match="publish the sparse layout"):
        wide.publish(tmp_path / "p", layout="dense")
    assert list(tmp_path.iterdir()) == []
    wide.publish(tmp_path / "p")
    assert int(open_pile(tmp_path / "p")[0].counts().max()) > 255


@pytest.mark.parametrize("name", ["data", "pile.json"])
def test_damage_is_told_not_read(pile: Pile, tmp_path: Path, name: str) -> None:
    pile.publish(tmp_path / "p")
    file = tmp_path / "p" / name if name != "data" else next((tmp_path / "p" / "data").glob("train-*"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(PileError, match=r"cannot be read|is not a neuropile published pile marker"):
        open_pile(tmp_path / "p").train[0].counts()


def test_layouts_not_known_are_refused(pile: Pile, tmp_path: Path) -> None:
    with pytest.raises(PileError, match="layout is 'csr'; it must be one of sparse, dense"):
        pile.publish(tmp_path / "p", layout="csr")


def test_any_parquet_reader_sees_the_rows(pile: Pile, tmp_path: Path) -> None:
    import duckdb

    pile.publish(tmp_path / "p")
    frame = pd.read_parquet(tmp_path / "p" / "data")
    assert len(frame) == len(pile)
    found = duckdb.sql(f"select sum(n_units * n_bins) as tokens from '{tmp_path}/p/data/*.parquet'").to_arrow_table().to_pylist()
    assert int(found[0]["tokens"]) == pile.n_tokens
