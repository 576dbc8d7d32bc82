"""Sources' own columns of units in conditions: found in every session that has them, null elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from neuropile import make_pile, own_columns, testing
from neuropile.errors import NotThere
from neuropile.store import Store
from neuropile.types import Recording


def with_columns(seed: int, **columns: object) -> Recording:
    made = testing.recording(seed, n_units=6)
    units = made.units
    for name, values in columns.items():
        units = units.append_column(f"src_{name}", pa.array(values))
    return replace(made, units=units)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return testing.store(
        tmp_path / "store",
        [
            with_columns(0, snr=[1, 2, 3, 4, 5, 6], PT_ratio=[0.5] * 6, verdict=["a", "b", "a", None, "c", "a"], place=[[1, 2]] * 6),
            with_columns(1, snr=[0.5, None, 2.5, 3.5, 9.0, 1.0], verdict=[True, False] * 3),
            with_columns(2),
        ],
    )


def own(store: Store) -> pd.DataFrame:
    """All units with all their columns, by pandas alone."""
    tables = [pd.read_parquet(p) for p in sorted(Path(store.root).glob("test/*/units.parquet"))]
    return pd.concat(tables, ignore_index=True)


def test_a_condition_on_them_selects_what_pandas_selects(store: Store) -> None:
    picked = store.select("src_snr >= 2.5 and rate_hz > 1").units
    table = own(store)
    expected = table[(table["src_snr"] >= 2.5) & (table["rate_hz"] > 1)].groupby("session_id").size()
    assert {key.partition("/")[2]: len(rows) for key, rows in picked.items()} == expected.to_dict()
    for key, rows in picked.items():
        units = store[key].units.iloc[rows]
        assert (units["src_snr"] >= 2.5).all()


def test_sql_has_them_with_numbers_of_two_kinds_as_floats_and_other_mixtures_as_text(store: Store) -> None:
    found = store.sql('select session_id, src_snr, "src_PT_ratio", src_verdict from units')
    table = own(store)
    assert found["src_snr"].dtype == np.float64
    pd.testing.assert_series_equal(found["src_snr"], table["src_snr"].astype(np.float64), check_names=False)
    assert found["src_verdict"].dropna().unique().tolist() == ["a", "b", "c", "true", "false"]
    assert found["src_PT_ratio"].notna().sum() == 6


def test_a_pile_is_made_of_units_that_pass_them(store: Store) -> None:
    pile = make_pile(store, where="src_snr > 4", quality="all", test=0.0)
    assert {s.session_id: s.n_units for s in pile} == {"session-0": 2, "session-1": 1}
    assert len(pile.where("src_snr > 8")) == 1


def test_nothing_more_is_read_where_none_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_columns, "appended", None)
    assert store.select("region = 'src_snr' -- src_snr").units == {}
    assert (
        len(store.sql("select * from units /* src_snr */ where $$src_x$$ <> e'it\\'s src_y' and 'src_z' <> \"region\""))
        == 18 - store.units["region"].isna().sum()
    )


def test_upper_and_lower_case_are_one_as_in_sql(store: Store) -> None:
    assert store.select("SRC_SNR > 4").units.keys() == store.select("src_snr > 4").units.keys()
    assert store.sql("select src_pt_RATIO as r from units where R is not null")["r"].tolist() == [0.5] * 6


def test_lists_are_kept_as_they_are(store: Store) -> None:
    assert store.sql("select src_place[2] as y from units where src_place is not null")["y"].tolist() == [2] * 6


@pytest.mark.parametrize(("asked", "words"), [("src_pt_ration", "did you mean src_PT_ratio?"), ("src_zzz", "there are src_PT_ratio, src_amplitude_uv")])
def test_one_that_no_session_has_is_told(store: Store, asked: str, words: str) -> None:
    with pytest.raises(NotThere, match=f"column '{asked}' from their source; {words[:20]}") as e:
        store.select(f"{asked} > 1")
    assert words in str(e.value)
