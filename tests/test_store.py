import os
import shutil

import pandas as pd
import pyarrow as pa
import pytest
from stores import KEYS, row_of, unit_rows

from neuropile import index as index_module
from neuropile import layout, testing
from neuropile.errors import StoreError
from neuropile.store import create_store, open_store


@pytest.fixture
def store(tiny_store, tmp_path):
    """A copy of the tiny store to change."""
    shutil.copytree(tiny_store.root, tmp_path / "store")
    return open_store(tmp_path / "store")


def parts_of(store) -> list[str]:
    folder = store.root / "index" / "parts"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def tables_of(store) -> tuple[pa.Table, pa.Table]:
    """Sessions, failures and units as a store opened anew gives them."""
    anew = open_store(store.root)
    return anew.index.sessions, anew.unit_table


# Opening


def test_a_new_store_is_empty_and_asks_well(tmp_path):
    store = create_store(tmp_path / "a" / "b")
    assert len(store) == 0
    assert list(store) == []
    assert len(store.sessions) == len(store.units) == len(store.failed) == 0
    assert store.sql("select count(*) as n from units").n.tolist() == [0]
    assert store.select().units == {}


def test_making_a_store_again_opens_it(store):
    assert list(create_store(store.root)) == KEYS


def test_a_path_with_nothing_there_says_how_to_make_a_store(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere: no such folder; make a store with: neuropile ingest FILES --store .*nowhere$"):
        open_store(tmp_path / "nowhere")


def test_another_folder_is_not_a_store(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(StoreError, match=r"is not a neuropile store \(no neuropile\.json in it\); make one with: neuropile ingest"):
        open_store(tmp_path)
    with pytest.raises(StoreError, match="exists and is not a neuropile store; give an empty or a new folder"):
        create_store(tmp_path)
    with pytest.raises(StoreError, match="exists and is not a neuropile store; give an empty or a new folder"):
        create_store(tmp_path / "f")
    assert os.listdir(tmp_path) == ["f"]


def test_a_store_that_was_killed_while_it_was_made_can_be_made_again(tmp_path):
    (tmp_path / ".neuropile.json.01234567.tmp").write_text("{")
    assert len(create_store(tmp_path)) == 0


def test_a_newer_store_is_refused_with_the_way_out(tmp_path):
    layout.write_json({"format": "neuropile", "version": 2}, tmp_path / "neuropile.json")
    for opening in (open_store, create_store):
        with pytest.raises(StoreError, match="was written in format 2; this neuropile reads format 1: upgrade neuropile"):
            opening(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other", "version": 1}'])
def test_a_damaged_marker_is_one_clear_error(tmp_path, text):
    (tmp_path / "neuropile.json").write_text(text)
    with pytest.raises(StoreError, match=r"is not a neuropile marker|says it is 'other', not 'neuropile'"):
        open_store(tmp_path)


def test_listing_many_sessions_asks_the_table_once(tmp_path):
    store = create_store(tmp_path)
    names = [f"s{i}" for i in range(500)]
    store.add(pa.concat_tables(map(row_of, names)), pa.concat_tables(unit_rows(name, "u") for name in names))
    markers = [{"dataset": "d", "session_id": name} for name in names]
    assert all(map(store.lists, markers))
    assert not any(store.lists({**m, "n_units": 3}) for m in markers)
    assert not store.lists({"dataset": "d", "session_id": "s500"})
    assert store.index.row_of is store.index.row_of
    assert list(store) == sorted(f"d/{n}" for n in names)


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(StoreError, match=r"cannot be written \(Not a directory\); give a folder you may write to"):
        create_store(tmp_path / "f" / "s")


# Reading


def test_sessions_are_a_mapping_by_dataset_and_name(tiny_store):
    assert list(tiny_store) == list(tiny_store.sessions.index) == KEYS
    assert len(tiny_store) == 3
    assert "test/session-1" in tiny_store
    assert "test/session-9" not in tiny_store
    assert [tiny_store[k].n_units for k in KEYS] == tiny_store.sessions.n_units.tolist() == [20, 12, 7]
    assert "3 sessions, 39 units" in repr(tiny_store)
    assert "session-1" in tiny_store._repr_html_()


def test_the_index_says_what_the_sessions_say(tiny_store):
    for key in KEYS:
        ses, row = tiny_store[key], tiny_store.sessions.loc[key]
        for name in ("n_spikes", "duration_s", "subject_id", "content_digest", "license", "span_source"):
            assert row[name] == ses.record[name]
        assert list(row.regions) == ses.record["regions"]
    units = pd.concat([tiny_store[k].units for k in KEYS], ignore_index=True)[layout.UNIT_SCHEMA.names]
    pd.testing.assert_frame_equal(tiny_store.units, units, check_dtype=False)


def test_a_units_row_in_its_session_is_given(tiny_store):
    for key in KEYS:
        own = tiny_store.sql(f"select unit, unit_id from units where dataset || '/' || session_id = '{key}' order by unit")
        assert own.unit.tolist() == list(range(len(own)))
        assert own.unit_id.tolist() == tiny_store[key].units.unit_id.tolist()


@pytest.mark.parametrize(
    "key", ["", "/", "test", "test/", "/session-0", "test/session-9", "test/../test/session-0", "test//session-0", "./test/session-0", "../x"]
)
def test_a_session_that_is_not_there_is_named(tiny_store, key):
    with pytest.raises(StoreError, match=r"^no session '"):
        tiny_store[key]


def test_a_store_is_a_mapping(tiny_store):
    assert tiny_store.get("test/session-9") is None
    assert [ses.key for ses in tiny_store.values()] == KEYS
    with pytest.raises(KeyError):
        tiny_store["test/session-9"]


def test_an_absolute_path_is_no_key(tiny_store):
    with pytest.raises(StoreError, match="no session"):
        tiny_store[f"test/{tiny_store.root}/test/session-0"]


def test_a_part_of_a_name_is_answered_with_the_whole(tiny_store):
    with pytest.raises(StoreError, match=r"did you mean test/session-1\?$"):
        tiny_store["Session-1"]
    with pytest.raises(StoreError, match=r"3 sessions are listed in store\.sessions, as dataset/session$"):
        tiny_store["allen/x"]


# The index


def test_units_keep_their_order_across_many_sessions(tmp_path):
    store = testing.store(tmp_path / "s", [testing.recording(s, n_units=40, duration_s=5.0) for s in (3, 1, 2)])
    store = testing.store(tmp_path / "s", [testing.recording(9, n_units=40, duration_s=5.0)], dataset="a")
    assert list(store) == ["a/session-9", *(f"test/session-{s}" for s in (1, 2, 3))]
    for _ in range(2):
        units = store.units
        for key in store:
            own = units[units.dataset + "/" + units.session_id == key]
            assert own.unit_id.tolist() == store[key].units.unit_id.tolist()
        store.rebuild_index()


def test_rebuilding_the_index_changes_nothing_that_is_read(store):
    store.add_failure("test", "broken", "why")
    store.add_failure("test", "session-1", "an older failure")
    before = tables_of(store)
    assert len(parts_of(store)) == 2 * 5
    store.rebuild_index()
    assert parts_of(store) == []
    assert all(a.equals(b) for a, b in zip(before, tables_of(store), strict=True))
    store.rebuild_index()
    assert all(a.equals(b) for a, b in zip(before, tables_of(store), strict=True))


def test_the_index_joins_parts_and_compacted_files(store):
    store.rebuild_index()
    testing.store(store.root, [testing.recording(7, n_units=2, duration_s=5.0)])
    assert len(parts_of(store)) == 2
    anew = open_store(store.root)
    assert list(anew) == [*KEYS, "test/session-7"]
    assert len(anew.units) == 41


def test_the_rebuilt_index_opens_with_ordinary_tools(store):
    store.rebuild_index()
    sessions = pd.read_parquet(store.root / "index" / "sessions.parquet")
    units = pd.read_parquet(store.root / "index" / "units.parquet")
    assert sessions.session_id.tolist() == ["session-0", "session-1", "session-2"]
    assert len(units) == 39


def test_the_newest_row_of_a_session_wins_with_its_units(tmp_path):
    store = create_store(tmp_path)
    store.add(row_of("s", n_spikes=1), unit_rows("s", "old"))
    store.add(pa.concat_tables([row_of("s", n_spikes=2), row_of("t", n_spikes=3)]), pa.concat_tables([unit_rows("s", "new", "newer"), unit_rows("t", "t")]))
    store.add(row_of("t", n_spikes=4), unit_rows("t", "t2"))
    assert store.sessions.n_spikes.to_dict() == {"d/s": 2, "d/t": 4}
    assert store.units.unit_id.tolist() == ["new", "newer", "t2"]


def test_a_failure_never_hides_a_complete_session(tmp_path):
    store = create_store(tmp_path)
    store.add_failure("d", "s", "first")
    assert store.failed.error.to_dict() == {"d/s": "first"}
    store.add_failure("d", "s", "second")
    assert store.failed.error.to_dict() == {"d/s": "second"}
    assert len(store) == 0
    store.add(row_of("s", n_spikes=1), unit_rows("s", "u"))
    store.add_failure("d", "s", "later")
    assert list(store) == ["d/s"]
    assert store.units.unit_id.tolist() == ["u"]
    assert len(store.failed) == 0


def test_failures_outlive_compaction_until_the_session_is_there(store):
    store.add_failure("test", "broken", "why")
    store.rebuild_index()
    assert store.failed.error.to_dict() == {"test/broken": "why"}
    assert list(store) == KEYS


def test_failed_sessions_are_out_of_sqls_sight(store):
    store.add_failure("test", "broken", "why")
    assert store.sql("select count(*) as n from sessions").n.tolist() == [3]


def test_a_failure_another_process_put_on_record_is_not_lost(store):
    len(store)  # its index is in memory now
    open_store(store.root).add_failure("test", "broken", "why")
    store.rebuild_index()
    assert store.failed.error.to_dict() == {"test/broken": "why"}


def test_a_session_whose_folder_is_gone_leaves_the_index_when_it_is_rebuilt(store):
    shutil.rmtree(store.root / "test" / "session-1")
    store.rebuild_index()
    assert list(store) == ["test/session-0", "test/session-2"]
    assert len(store.units) == 27


def test_a_damaged_index_says_how_to_make_it_anew_and_that_does(store):
    before = tables_of(store)
    for name in parts_of(store)[:3]:
        (store.root / "index" / "parts" / name).write_bytes(b"PAR1 damaged")
    with pytest.raises(StoreError, match=rf"cannot be read .*; run: neuropile index {store.root}$"):
        len(open_store(store.root))
    open_store(store.root).rebuild_index()
    assert all(a.equals(b) for a, b in zip(before, tables_of(store), strict=True))


def test_a_missing_part_of_the_index_says_so_and_is_made_anew(store):
    before = tables_of(store)
    for name in parts_of(store):
        if "units" in name:
            (store.root / "index" / "parts" / name).unlink()
    with pytest.raises(StoreError, match=rf"lacks a file that it should hold; run: neuropile index {store.root}$"):
        len(open_store(store.root).units)
    open_store(store.root).rebuild_index()
    assert all(a.equals(b) for a, b in zip(before, tables_of(store), strict=True))


def test_rebuilding_leaves_alone_what_other_builders_are_writing(store):
    folder = store.root / "index" / "parts"
    for name in (".00-x.units.parquet.0.tmp", "00-x.units.parquet"):
        (folder / name).write_bytes(b"unfinished")
    store.rebuild_index()
    assert parts_of(store) == [".00-x.units.parquet.0.tmp", "00-x.units.parquet"]
    assert list(store) == KEYS


def test_an_index_that_is_compacted_while_it_is_read_is_read_again(store, monkeypatch):
    reader = open_store(store.root)
    read, other = index_module.read, open_store(store.root)
    seen = []

    def read_slowly(path, schema):
        if not seen:
            seen.append(path)
            other.rebuild_index()
        return read(path, schema)

    monkeypatch.setattr(index_module, "read", read_slowly)
    assert list(reader) == KEYS
    assert len(reader.units) == 39
    assert seen


def test_the_index_is_read_anew_after_each_addition(store):
    assert len(store) == 3
    store.add(row_of("s"), unit_rows("s", "u"))
    assert len(store) == 4
    assert len(store.units) == len(store.unit_table) == 40
