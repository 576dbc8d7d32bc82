import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile import layout, parquet
from neuropile.errors import StoreError, UnreadableFile

# Blocks


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**40), st.sampled_from([50, 60, 1000, 30_000, 100_000]))
def test_blocks_hold_every_tick_and_none_is_needless(first, length, ticks_per_s):
    last = first + length
    edges = layout.block_edges(first, last, ticks_per_s)
    assert edges[0] <= first < edges[1]
    assert edges[-2] <= last < edges[-1]
    assert len(set(np.diff(edges).tolist())) == 1
    assert np.all(edges % (edges[1] - edges[0]) == 0)


@given(st.floats(1, 12_600), st.floats(-1e4, 1e4))
def test_up_to_three_and_a_half_hours_make_at_most_eight_blocks(duration_s, start_s):
    first = int(start_s * 100_000)
    assert len(layout.block_edges(first, first + int(duration_s * 100_000) - 1, 100_000)) - 1 <= 8


@given(st.integers(0, 2**61))
def test_times_however_far_apart_make_a_bounded_number_of_blocks(last):
    assert len(layout.block_edges(-last, last, 100_000)) < 1010


def test_blocks_are_as_long_as_was_measured_best():
    lengths = [int(np.diff(layout.block_edges(0, s * 100_000 - 1, 100_000))[0]) // 100_000 for s in (60, 600, 3600, 10_164, 50_000)]
    assert lengths == [300, 300, 600, 1500, 1800]


# Tables


def test_units_tables_begin_with_the_canonical_columns_and_keep_the_rest():
    source = pa.table({"snr": [1.0, 2.0], "unit_id": ["a", "b"], "region": ["CA1", None], "src_kept": [1, 2], "depth_um": [10, 20]})
    table = layout.conform(source, layout.UNIT_SCHEMA)
    assert table.column_names == [*layout.UNIT_SCHEMA.names, "src_snr", "src_kept"]
    assert table.select(layout.UNIT_SCHEMA.names).schema == layout.UNIT_SCHEMA
    assert table.column("depth_um").to_pylist() == [10.0, 20.0]
    assert table.column("probe").to_pylist() == [None, None]


def test_intervals_begin_with_the_canonical_columns_and_keep_the_rest():
    source = pa.table({"colour": ["red"], "choice": [1], "start_s": [0], "src_x": [True]})
    table = layout.conform_intervals("trials", source)
    assert table.column_names == ["start_s", "stop_s", "choice", "src_colour", "src_x"]
    assert table.schema.field("choice").type == pa.float64()
    assert table.column("stop_s").to_pylist() == [None]
    assert layout.conform_intervals("licks", source).column_names == ["start_s", "stop_s", "src_colour", "src_choice", "src_x"]


@pytest.mark.parametrize("column", [["deep"], [[1.0, 2.0]], [{"x": 1}]])
def test_a_column_of_another_kind_is_named(column):
    with pytest.raises(UnreadableFile, match="column depth_um should hold double"):
        layout.conform(pa.table({"unit_id": ["a"], "depth_um": column}), layout.UNIT_SCHEMA)


TABLE = pa.table({"f": [1.5, None], "n": [1, 2], "s": ["x", None], "b": [True, False], "l": [["p"], []], "none": pa.nulls(2)})


@pytest.mark.parametrize("table", [TABLE, TABLE.slice(0, 0), TABLE.select(["f"]), TABLE.select(["n"])])
def test_a_table_comes_back_as_it_was_written(tmp_path, table):
    parquet.write(table, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").equals(table)


def test_the_same_table_is_the_same_bytes_however_it_is_chunked(tmp_path):
    parquet.write(TABLE, tmp_path / "a.parquet")
    parquet.write(pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_footer_can_be_read_with_what_the_marker_says_of_it(tmp_path):
    parquet.write(TABLE, tmp_path / "t.parquet")
    facts = parquet.facts(tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    assert facts["bytes"] == len(data)
    footer = data[-facts["footer_bytes"] :]
    assert pq.read_metadata(io.BytesIO(b"PAR1" + footer)).num_rows == 2


# Markers


def test_a_marker_is_read_back(tmp_path):
    layout.write_marker({"format": "neuropile", "version": 1, "name": "Löwe"}, tmp_path / "m.json")
    assert layout.read_marker(tmp_path / "m.json", "neuropile")["name"] == "Löwe"


def test_a_newer_format_is_refused_with_the_way_out(tmp_path):
    layout.write_json({"format": "neuropile", "version": 2}, tmp_path / "m.json")
    with pytest.raises(StoreError, match=r"was written in format 2; this neuropile reads format 1: upgrade neuropile$"):
        layout.read_marker(tmp_path / "m.json", "neuropile")


def test_a_marker_of_something_else_is_refused(tmp_path):
    layout.write_json({"format": "neuropile session", "version": 1}, tmp_path / "m.json")
    with pytest.raises(StoreError, match="says it is 'neuropile session', not 'neuropile'"):
        layout.read_marker(tmp_path / "m.json", "neuropile")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"', "{}", '{"format": "neuropile"}', "\xff"])
def test_a_damaged_marker_is_one_clear_error(tmp_path, text):
    (tmp_path / "m.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match=r"is not a neuropile marker .*; build it again or restore it from a copy"):
        layout.read_marker(tmp_path / "m.json", "neuropile")


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        layout.write_json({"x": float("nan")}, tmp_path / "m.json")


def test_a_session_row_has_the_schema_of_the_index():
    row = layout.session_row(json.loads('{"dataset": "d", "session_id": "s", "n_units": 3, "sources": [{"path": "f", "bytes": 1, "sha256": "0"}], "more": 1}'))
    assert row.schema == layout.SESSION_SCHEMA
    assert row.to_pylist()[0]["status"] == "complete"
