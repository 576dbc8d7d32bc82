"""SQL over a store, and units chosen by it."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import KEYS, row_of

from neuropile import layout
from neuropile.errors import StoreError
from neuropile.store import create_store, query_tables

# SQL


def test_sql_answers_from_sessions_and_units(tiny_store):
    n = tiny_store.sql("select session_id, count(*) as n from units group by session_id order by 1")
    assert n.n.tolist() == [20, 12, 7]
    total = tiny_store.sql("select sum(n_spikes) as n from sessions").n[0]
    assert total == sum(tiny_store[k].n_spikes for k in KEYS)
    joined = tiny_store.sql("select count(*) as n from units join sessions using (dataset, session_id) where species = 'Mus musculus'")
    assert joined.n.tolist() == [39]


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('{secret}')",
        "select * from '{secret}'",
        "select * from read_text('{secret}')",
        "select * from read_blob('{secret}')",
        "select * from read_parquet('{parquet}')",
        "select * from '{parquet}'",
        "select * from glob('{folder}/*')",
        "select * from read_json('{secret}')",
        "select * from sniff_csv('{secret}')",
        "select * from query('select * from read_text(''{secret}'')')",
        "select * from read_csv('https://example.com/x.csv')",
        "select * from duckdb_secrets()",
        "select * from hidden",
        "select * from query",
        "attach '{folder}/x.db'",
        "attach ':memory:' as m",
        "attach '{folder}/x.db' as x; select * from sessions",
        "copy sessions to '{folder}/x.csv'",
        "copy (select 1) to '{folder}/x.parquet'",
        "select 1; copy sessions to '{folder}/x.csv'",
        "export database '{folder}/x'",
        "import database '{folder}'",
        "create table x as select * from read_text('{secret}')",
        "create macro f() as table select * from read_text('{secret}'); select * from f()",
        "create secret s (type s3)",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "reset enable_external_access",
        "pragma enable_external_access = true",
        "pragma database_list",
        "set memory_limit = '1GB'",
        "set threads = 1",
        "drop view sessions",
        "insert into sessions select * from sessions",
        "call pragma_version()",
    ],
)
def test_sql_cannot_read_files_attach_copy_or_change_settings(tiny_store, tmp_path, monkeypatch, query):
    monkeypatch.chdir(tmp_path)
    hidden = pa.table({"z": [1]})
    secret, parquet = tmp_path / "secret.csv", tmp_path / "p.parquet"
    secret.write_text("a,b\n1,2\n")
    pq.write_table(hidden, parquet)
    with pytest.raises(StoreError, match=r"^SQL (not understood: .*|must be one SELECT) \(tables: sessions, units\)$"):
        tiny_store.sql(query.format(secret=secret, parquet=parquet, folder=tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["p.parquet", "secret.csv"]


@pytest.mark.parametrize(
    "query", ["", " ", "-- nothing", "select", "selec 1", "select * from nothing", "select nothing from units", "select 1; select 2", "(", "'"]
)
def test_sql_that_is_no_query_is_one_clear_line(tiny_store, query):
    with pytest.raises(StoreError, match=r"^SQL (not understood: .*|must be one SELECT) \(tables: sessions, units\)$") as e:
        tiny_store.sql(query)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "query", ["select 1 as n;", "with x as (select 1 as n) select * from x", "from (select 1 as n)", "values (1)", "select 1 as n -- done"]
)
def test_any_form_of_one_select_is_taken(query):
    assert query_tables(query, t=pa.table({"a": [1]})).num_rows == 1


# Choosing units


@pytest.mark.parametrize(("quality", "keep"), [("all", [True] * 4), ("not-noise", [True, True, False, True]), ("good", [True, False, False, False])])
def test_a_quality_rule_takes_what_it_says(tmp_path, quality, keep):
    store = create_store(tmp_path)
    units = [{"dataset": "d", "session_id": "s", "unit_id": str(i), "quality": q} for i, q in enumerate(["good", "mua", "noise", None])]
    store.add(row_of("s"), pa.Table.from_pylist(units, schema=layout.UNIT_SCHEMA))
    chosen = store.select(quality=quality)
    assert chosen.units["d/s"].tolist() == np.flatnonzero(keep).tolist()
    assert (chosen.n_left_by_quality, chosen.n_left_by_where) == (4 - sum(keep), 0)


@pytest.mark.parametrize("where", ["region = 'CA1'", "rate_hz > 3", "n_units < 15 and session_n_spikes > 0", "region = 'CA1' -- or all", "null", "n_spikes"])
def test_a_condition_takes_what_sql_takes(tiny_store, where):
    chosen = tiny_store.select(where, "not-noise")
    joined = "select u.*, s.n_units, s.n_spikes as session_n_spikes from units u join sessions s using (dataset, session_id)"
    expected = tiny_store.sql(f"select * from ({joined}) where quality is distinct from 'noise' and ({where}\n)")
    found = {(k.split("/")[1], u) for k, rows in chosen.units.items() for u in rows.tolist()}
    assert found == set(zip(expected.session_id, expected.unit, strict=True))
    n_noise = (tiny_store.units.quality == "noise").sum()
    assert chosen.n_left_by_quality == n_noise
    assert chosen.n_left_by_where == 39 - n_noise - len(found)


@pytest.mark.parametrize("where", ["region", "colour = 'red'", "region = ", "(", "exists (select * from read_text('/etc/passwd'))"])
def test_a_condition_that_makes_no_sense_is_one_clear_line(tiny_store, where):
    with pytest.raises(
        StoreError,
        match=r"^condition .*: SQL (not understood: .*|must be one SELECT.*); its columns: dataset, session_id, .*session_n_spikes, and the sources' own, src_",
    ):
        tiny_store.select(where)


def test_an_unknown_quality_rule_names_those_there_are(tiny_store):
    with pytest.raises(StoreError, match="quality is 'best'; it must be one of all, not-noise, good"):
        tiny_store.select(quality="best")
