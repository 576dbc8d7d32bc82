"""What was shown, joined over its tables, against pandas' own concatenation of what pynwb reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nwbfile import add_units
from pynwb.epoch import TimeIntervals

from neuropile.readers.nwb import presentations as nwb_presentations


@pytest.fixture
def shown(nwb, write):
    """Write a file with these tables: for each a list of starts and columns of as many values."""

    def _shown(tables, invalid=()):
        add_units(nwb, [[1.0, 50.0]])
        for name, (starts, columns) in tables.items():
            table = TimeIntervals(name=name, description=name)
            for column in columns:
                table.add_column(column, column)
            for i, start in enumerate(starts):
                table.add_interval(start_time=start, stop_time=start + 0.25, **{c: v[i] for c, v in columns.items()})
            nwb.add_time_intervals(table)
        for start, stop, tags in invalid:
            nwb.add_invalid_time_interval(start_time=start, stop_time=stop, tags=tags)
        return write(nwb)

    return _shown


GRATINGS = ([8.0, 2.0, 5.0], {"stimulus_name": ["drifting_gratings"] * 3, "stimulus_block": [2.0, 1.0, np.nan], "orientation": [45.0, np.nan, 90.0]})
SCENES = ([3.0, 1.0], {"stimulus_name": ["natural_scenes"] * 2, "stimulus_block": [4.0, 4.0], "frame": [117.0, -1.0]})
IMAGES = (
    [20.0, 20.75, 21.5],
    {"stimulus_block": [0, 0, 0], "image_name": ["im000", "omitted", "im054"], "omitted": [False, True, False], "is_change": [False, False, True]},
)
TABLES = {"drifting_gratings_presentations": GRATINGS, "natural_scenes_presentations": SCENES, "Natural_Images_G_presentations": IMAGES}


def plain(values):
    return [None if pd.isna(v) else v for v in values]


def test_every_row_of_every_table_is_there_once_in_the_order_of_time(shown, read, oracle):
    path = shown(TABLES)
    ours, theirs = read(path).intervals, oracle(path).intervals
    assert list(ours) == ["presentations"]
    frames = [theirs[name].to_dataframe() for name in TABLES]
    expected = pd.concat(frames).sort_values("start_time", kind="stable")
    table = ours["presentations"].to_pandas()
    for column in ("orientation", "image_name", "frame"):
        assert plain(table[f"src_{column}"]) == plain(expected[column])
    np.testing.assert_array_equal(table["start_s"], expected["start_time"])
    np.testing.assert_array_equal(table["stop_s"], expected["stop_time"])


def test_stimulus_block_and_frame_are_told_by_our_names(shown, read):
    table = read(shown(TABLES)).intervals["presentations"]
    assert table.column("stimulus").to_pylist() == [
        "natural_scenes",
        "drifting_gratings",
        "natural_scenes",
        "drifting_gratings",
        "drifting_gratings",
        *["Natural_Images_G"] * 3,
    ]
    assert table.column("block").to_pylist() == [4, 1, 4, None, 2, 0, 0, 0]
    assert table.column("frame").to_pylist() == [-1, None, 117, *[None] * 5]


def test_blanks_omissions_and_changes_are_rows_with_a_name(shown, read):
    table = read(shown(TABLES)).intervals["presentations"]
    assert table.column("is_blank").to_pylist() == [True, True, False, False, False, None, None, None]
    assert table.column("is_omitted").to_pylist() == [None] * 5 + [False, True, False]
    assert table.column("is_change").to_pylist() == [None] * 5 + [False, False, True]


def test_numbers_stored_as_words_are_numbers_of_one_table_and_words_where_tables_meet(shown, read):
    tables = {
        "a_presentations": ([1.0, 2.0, 3.0], {"orientation": ["45.0", "null", "90.0"], "stimulus_block": ["1.0", "2.0", "N/A"]}),
        "b_presentations": ([4.0], {"orientation": [135.0], "stimulus_block": [3.0]}),
    }
    table = read(shown(tables)).intervals["presentations"]
    assert table.column("is_blank").to_pylist() == [False, True, False, False]
    assert table.column("block").to_pylist() == [1, 2, None, 3]
    assert table.column("src_orientation").to_pylist() == ["45.0", "null", "90.0", "135.0"]


def test_it_is_stored_as_it_was_read(shown, read, ingest, store):
    path = shown(TABLES, [(2.0, 2.1, ["stimulus"])])
    stored = store[ingest(path).session].intervals["presentations"]
    assert list(stored.columns)[:8] == ["start_s", "stop_s", "stimulus", "block", "is_blank", "is_omitted", "is_change", "frame"]
    assert stored["src_in_invalid_time"].tolist() == [False, True, *[False] * 6]


def test_invalid_time_of_the_stimulus_marks_what_it_shares_time_with(shown, read):
    path = shown({"x_presentations": ([1.0, 2.0, 3.0], {})}, [(1.1, 1.2, ["stimulus"]), (2.25, 3.0, ["stimulus"]), (2.0, 2.1, ["all_probes"])])
    assert read(path).intervals["presentations"].column("src_in_invalid_time").to_pylist() == [True, False, False]


spans = st.tuples(st.integers(0, 50), st.integers(1, 9)).map(lambda s: (s[0] / 2, (s[0] + s[1]) / 2))


@given(st.lists(spans, min_size=1, max_size=9), st.lists(spans, min_size=1, max_size=6))
def test_rows_are_marked_where_any_span_overlaps_them(rows, bad):
    found = {"x_presentations": pa.table({"start_s": [a for a, _ in rows], "stop_s": [b for _, b in rows], "src_row": range(len(rows))})}
    invalid = pa.table({"start_s": [a for a, _ in bad], "stop_s": [b for _, b in bad], "src_tags": [["stimulus"]] * len(bad)})
    table = nwb_presentations.joined(found, invalid)["presentations"].to_pylist()
    assert all(r["src_in_invalid_time"] == any(r["start_s"] < b and r["stop_s"] > a for a, b in bad) for r in table)
    assert sorted(r["src_row"] for r in table) == list(range(len(rows)))


def test_files_without_presentations_are_as_they_were(shown, read):
    assert set(read(shown({"drifting gratings": ([1.0], {})})).intervals) == {"drifting_gratings"}


def test_a_file_that_has_such_a_table_already_keeps_all_its_tables(shown, read):
    assert set(read(shown({"presentations": ([1.0], {}), "a_presentations": ([2.0], {})})).intervals) == {"presentations", "a_presentations"}


def test_an_omission_that_its_column_leaves_open_is_told_by_its_image(shown, read):
    rows = ([0.0, 1.0, 2.0], {"image_name": ["im000", "omitted", "im054"], "omitted": [np.nan] * 3})
    table = read(shown({"Natural_Images_G_presentations": rows})).intervals["presentations"]
    assert table.column("is_omitted").to_pylist() == [False, True, False]
