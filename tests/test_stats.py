"""What a pile holds in numbers, beside a plain count over its dense arrays and scipy's entropy."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy

from neuropile import Pile, corpus, make_pile, open_pile, parquet, stats, testing
from neuropile.errors import PileError
from neuropile.pile import order_key
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


@pytest.mark.parametrize("most_cells", [0, stats._MAX_CELLS])
@given(
    counts=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)), seed=st.integers(0, 99), each=st.booleans()
)
def test_tally_is_a_count_of_values(most_cells: int, counts: np.ndarray, seed: int, each: bool) -> None:
    observed = np.random.default_rng(seed).random((len(counts) if each else 1, counts.shape[1])) < 0.7
    unit, k = np.nonzero(counts)
    bins = np.repeat(k, counts[unit, k]).astype(np.int32)
    offsets = np.r_[0, np.cumsum(counts.sum(axis=1, dtype=np.int64))]
    plain: dict[tuple[int, int], int] = {}
    for u, row in enumerate(counts):
        for value, seen in zip(row.tolist(), observed[u if each else 0], strict=True):
            key = (u, value if seen else -1)
            plain[key] = plain.get(key, 0) + 1
    with mock.patch.object(stats, "_MAX_CELLS", most_cells):
        unit, value, n = (x.tolist() for x in stats.tally(offsets, bins, observed))
    assert dict(zip(zip(unit, value, strict=True), n, strict=True)) == plain
    assert list(zip(unit, value, strict=True)) == sorted(plain)


def test_one_enormous_count_takes_no_room_for_all_below_it() -> None:
    n_units, most = 1500, 1_000_000
    offsets = np.r_[np.arange(n_units), n_units - 1 + most]
    bins = np.full(n_units - 1 + most, 7, np.int32)
    tracemalloc.start()
    unit, value, n = stats.tally(offsets, bins, np.ones((1, 10), bool))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert unit.tolist() == np.repeat(np.arange(n_units), 2).tolist()
    assert value.tolist() == [0, 1] * (n_units - 1) + [0, most]
    assert n.tolist() == [9, 1] * n_units


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


def _two_kinds(pile: Pile, kind: str) -> Pile:
    """Each session in two orders of its units, or with two selections of them: its even segments one, its odd ones the other."""
    even, odd = (pile.take(np.arange(start, len(pile), 2)) for start in (0, 1))
    if kind == "orders":
        return corpus.merge([even, odd.with_orders({order_key(s): np.random.default_rng(3).permutation(s.n_units) for s in odd})])
    return corpus.merge([even.where("depth_um > 1500"), odd.where("depth_um < 2500")])


@pytest.mark.parametrize("layout", ["sparse", "dense"])
@pytest.mark.parametrize("kind", ["orders", "selections"])
def test_a_published_pile_with_two_orders_or_selections_of_a_session_has_the_same_stats(pile: Pile, kind: str, layout: str, tmp_path: Path) -> None:
    mixed = _two_kinds(pile, kind)
    assert {s.key for s in mixed[: len(mixed) // 2]} & {s.key for s in mixed[len(mixed) // 2 :]}
    mixed.publish(tmp_path / "published", layout=layout)
    made, published = (stats.count(p) for p in (mixed, open_pile(tmp_path / "published")))
    assert published.table.equals(made.table)
    expected = long_form(mixed).query("seen").groupby(["session_id", "unit_id"])["count"].mean() / 0.1
    found = published.rates().set_index(["session_id", "unit_id"])["rate_hz"]
    pd.testing.assert_series_equal(found.sort_index(), expected.sort_index(), check_names=False)


@pytest.mark.parametrize("wrong", [lambda units: units.slice(1), lambda units: units.take(np.arange(units.num_rows)[::-1])])
def test_labels_of_other_units_than_a_segments_are_refused(pile: Pile, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = pile[0]
    sessions, units = segment.source.tables([segment])
    monkeypatch.setattr(type(segment.source), "tables", lambda *_: (sessions, wrong(units)))
    with pytest.raises(PileError, match=r"session-0.*does not fit the table of units of its pile: its 5 units probe00-0, .* are listed as .*publish the pile"):
        stats.of_segment(segment)


def _set(column: str, value: Any) -> Any:
    def change(table: pa.Table, meta: dict[str, Any]) -> tuple[pa.Table, dict[str, Any]]:
        values = [value, *table.column(column).to_pylist()[1:]]
        return table.set_column(table.schema.get_field_index(column), column, pa.array(values, table.schema.field(column).type)), meta

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        *((lambda t, m, w=w: (t, {**m, "bin_width": w}), "bin width") for w in ("1/0", None, "-1/50", "0", [], {}, True, float("nan"), "x")),
        (lambda t, m: (t, [m]), ""),
        (_set("count", -1), "counts go from -1 to"),
        (_set("count", 2**62), f"to {2**62}; they lie from 0 to {2**32 - 1}"),
        (_set("bins", -5), "numbers of bins go from -5"),
        (_set("bins", 0), "numbers of bins go from 0"),
        (_set("bins", 2**62), "add up to less"),
        (_set("bins", None), "bins is missing in 1 rows"),
        *((_set(c, None), f"{c} is missing in 1 rows") for c in ("dataset", "session_id", "quantity", "split", "unit_id")),
        (lambda t, m: (t.drop_columns(["bins"]), m), "bins"),
        (lambda t, m: (t.set_column(0, "dataset", pa.array([b"\xff"] * len(t)).cast(pa.binary()).view(pa.string())), m), "UTF8"),
    ],
)
def test_resealed_stats_are_refused_when_they_are_opened(pile: Pile, tmp_path: Path, change: Any, why: str) -> None:
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    stats.count(pile, out=good)
    table, meta = change(pq.read_table(good), json.loads(pq.read_metadata(good).metadata[b"neuropile"]))
    parquet.write(table, bad, metadata={"neuropile": json.dumps(meta)})
    with pytest.raises(PileError, match=rf"bad.parquet holds no stats \(.*{why}.*\); make some with: neuropile stats PILE"):
        stats.open_stats(bad)


def test_a_folder_is_refused_before_anything_is_counted(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "of_segment", None)
    for replace in (False, True):
        with pytest.raises(PileError, match=r"is a folder; give the name of a file, such as .*stats.parquet"):
            stats.count(pile, out=tmp_path, replace=replace)
    assert list(tmp_path.iterdir()) == []
