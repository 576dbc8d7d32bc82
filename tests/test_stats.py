"""What a pile holds in numbers, beside a plain count over its dense arrays and scipy's entropy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy

from neuropile import Pile, make_pile, stats, testing
from neuropile.errors import PileError
from neuropile.run import Engine


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Pile:
    recordings = [testing.recording(i, n_units=5 + i, observed=o, invalid=i == 1) for i, o in enumerate(["whole", "each", "gaps"])]
    return make_pile(testing.store(tmp_path_factory.mktemp("stats") / "store", recordings), bin_width=0.1, max_tokens=2000, quality="all", test=0.4)


def long_form(pile: Pile) -> pd.DataFrame:
    """A row a cell of every dense array: the slow and plain way."""
    frames = []
    for s in pile:
        counts = s.counts()
        mask = counts["unit_observed"].values if "unit_observed" in counts.coords else np.broadcast_to(counts["observed"].values, counts.shape)
        cells = {"unit_id": np.repeat(s.unit_ids, s.n_bins), "region": np.repeat(s.regions, s.n_bins), "count": counts.values.ravel(), "seen": mask.ravel()}
        frames.append(pd.DataFrame(cells).assign(session_id=s.session_id, split=s.split, dataset=s.dataset))
    return pd.concat(frames)


@pytest.mark.parametrize("by", [(), ("split",), ("region",), ("session_id", "split")])
def test_totals_are_those_of_the_dense_arrays(pile: Pile, by: tuple[str, ...]) -> None:
    found = stats.count(pile).totals(by)
    cells = long_form(pile)
    groups = [((), cells)] if not by else list(cells.groupby(list(by), dropna=False))
    assert len(found) == len(groups)
    for key, own in groups:
        row = found
        for name, value in zip(by, key, strict=True):
            row = row[row[name].isna() if value is None or value != value else row[name] == value]
        row = row.iloc[0]
        seen = own[own["seen"]]
        assert row["units"] == len(own[["session_id", "unit_id"]].drop_duplicates())
        assert row["tokens"] == len(own)
        assert row["observed"] == pytest.approx(own["seen"].mean())
        assert row["spikes"] == seen["count"].sum()
        assert row["rate_hz"] == pytest.approx(seen["count"].mean() / 0.1)
        assert row["silent"] == pytest.approx((seen["count"] == 0).mean())
        assert row["most"] == seen["count"].max()
        assert row["entropy_bits"] == pytest.approx(entropy(seen["count"].value_counts(), base=2))
        each = [(len(u), entropy(u["count"].value_counts(), base=2)) for _, u in seen.groupby(["session_id", "unit_id"])]
        assert row["unit_entropy_bits"] == pytest.approx(sum(n * h for n, h in each) / len(seen))


def test_the_histogram_counts_every_observed_bin_once(pile: Pile) -> None:
    found = stats.count(pile).histogram(["split"])
    cells = long_form(pile)
    expected = cells[cells["seen"]].groupby(["split", "count"]).size()
    assert {(s, c): n for s, c, n in found.itertuples(index=False)} == expected.to_dict()


def test_rates_are_spikes_over_observed_seconds(pile: Pile) -> None:
    found = stats.count(pile).rates().set_index(["session_id", "unit_id"])
    cells = long_form(pile)
    expected = cells[cells["seen"]].groupby(["session_id", "unit_id"])["count"].mean() / 0.1
    pd.testing.assert_series_equal(found["rate_hz"].sort_index(), expected.sort_index(), check_names=False)


@given(
    counts=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)), seed=st.integers(0, 99), each=st.booleans()
)
def test_tally_is_a_count_of_values(counts: np.ndarray, seed: int, each: bool) -> None:
    observed = np.random.default_rng(seed).random((len(counts) if each else 1, counts.shape[1])) < 0.7
    unit, k = np.nonzero(counts)
    bins = np.repeat(k, counts[unit, k]).astype(np.int32)
    offsets = np.r_[0, np.cumsum(counts.sum(axis=1, dtype=np.int64))]
    plain: dict[tuple[int, int], int] = {}
    for u, row in enumerate(counts):
        for value, seen in zip(row.tolist(), observed[u if each else 0], strict=True):
            key = (u, value if seen else -1)
            plain[key] = plain.get(key, 0) + 1
    assert (
        dict(
            zip(
                zip(*(x.tolist() for x in stats.tally(offsets, bins, observed)[:2]), strict=True), stats.tally(offsets, bins, observed)[2].tolist(), strict=True
            )
        )
        == plain
    )


def test_engines_and_cuts_agree(pile: Pile, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stats.count(pile).table
    assert stats.count(pile, engine=Engine("processes", 2)).table.equals(whole)
    monkeypatch.setattr(Pile.shards, "__defaults__", (2500,))
    assert len(pile.shards()) == 6
    assert stats.count(pile).table.equals(whole)


def test_stats_are_kept_in_a_file(pile: Pile, tmp_path: Path) -> None:
    made = stats.count(pile, out=tmp_path / "stats.parquet")
    opened = stats.open_stats(tmp_path / "stats.parquet")
    assert opened.table.equals(made.table)
    assert opened.meta == made.meta
    assert [p.name for p in tmp_path.iterdir()] == ["stats.parquet"]
    with pytest.raises(PileError, match="exists; give another name, or --replace"):
        stats.count(pile, out=tmp_path / "stats.parquet")


def test_bad_input_is_told(pile: Pile, tmp_path: Path) -> None:
    with pytest.raises(PileError, match="an empty pile has no stats"):
        stats.count(pile[:0])
    with pytest.raises(PileError, match="totals by 'colour' are not kept; there are dataset, split"):
        stats.count(pile).totals(["colour"])
    pile.save(tmp_path / "p.parquet")
    with pytest.raises(PileError, match=r"holds no stats .*neuropile stats PILE"):
        stats.open_stats(tmp_path / "p.parquet")
