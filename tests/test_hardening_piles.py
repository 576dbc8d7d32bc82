"""Pile files and published folders that were sealed after tampering: refused when opened, or told in one line by the row that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tampering
from tampering import edit
from test_hardening import rewrite

from neuropile import Store, make_pile, open_pile, parquet, segment, testing
from neuropile.errors import PileError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return testing.store(tmp_path / "store", [testing.recording(0, n_units=8, duration_s=20), testing.recording(1, n_units=5, duration_s=20)])


def reseal(folder: Path, name: str, column: str, value: object) -> None:
    """A file of a published folder with another value (or, by a function of its values, others) in one column, sealed as if it had been written so."""
    table = pq.read_table(folder / name)
    i = table.schema.get_field_index(column)
    values = value(table.column(column).to_pylist()) if callable(value) else [value] * table.num_rows
    tampering.replace(folder / "pile.json", name, table.set_column(i, column, pa.array(values, table.schema.field(column).type)))


def rows_file(folder: Path) -> str:
    return next((folder / "data").iterdir()).relative_to(folder).as_posix()


def pile_file(folder: Path, store: Store) -> Path:
    make_pile(store, quality="all").save(folder / "p.parquet")
    return folder / "p.parquet"


def with_meta(path: Path, **values: object) -> None:
    table = pq.read_table(path)
    meta = json.loads(pq.read_metadata(path).metadata[b"neuropile"])
    parquet.write(table, path, metadata={"neuropile": json.dumps(meta | values)})


HUGE = [("n_bins", 2**40), ("n_bins", 2**62), ("n_units", 2**31 - 1)]


@pytest.mark.parametrize(("column", "value"), HUGE)
@pytest.mark.parametrize("layout", ["sparse", "dense", "file"])
def test_a_segment_larger_than_any_recording_is_refused_when_opened(store: Store, tmp_path: Path, layout: str, column: str, value: int) -> None:
    if layout == "file":
        rewrite(path := pile_file(tmp_path, store), column, value)
    else:
        make_pile(store, test=0).publish(path := tmp_path / "p", layout=layout)
        reseal(path, "segments.parquet", column, value)
    with pytest.raises(PileError, match=r"its segment session-0 .* is of \d+ units x \d+ bins, more than"):
        open_pile(path)


@pytest.mark.parametrize("layout", ["sparse", "dense", "file"])
def test_a_segment_larger_than_memory_is_told(store: Store, tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if layout == "file":
        rewrite(path := pile_file(tmp_path, store), "n_bins", 2**31 - 1)
    else:
        make_pile(store, test=0).publish(path := tmp_path / "p", layout=layout)
        reseal(path, "segments.parquet", "n_bins", 2**31 - 1)
    held = open_pile(path)[0]
    monkeypatch.setattr(segment, "machine_memory", lambda: 8 * 10**9)
    for use in (held.counts, lambda: held.observed):
        with pytest.raises(PileError, match=r"does not fit into this machine's memory .* fewer tokens a segment"):
            use()


def test_what_the_system_has_no_memory_for_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = make_pile(store)[0]

    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(type(held.source), "counts_into", none_left)
    with pytest.raises(PileError, match="does not fit into this machine's memory"):
        held.counts()


def test_a_segment_too_large_to_be_opened_again_is_not_saved(store: Store, tmp_path: Path) -> None:
    pile = make_pile(store)
    with pytest.raises(PileError, match=r"is not written .* make the pile with fewer tokens a segment"):
        pile.with_column("n_bins", [2**40] * len(pile)).save(tmp_path / "p.parquet")
    assert not list(tmp_path.glob("p.*"))


@pytest.mark.parametrize("layout", ["sparse", "dense"])
@pytest.mark.parametrize(
    "runs",
    [
        *(None, [None], [{"unit": None, "start_bin": 0, "stop_bin": 1}], [{"unit": 0, "start_bin": 0, "stop_bin": None}]),
        *([{"unit": 99, "start_bin": 0, "stop_bin": 1}], [{"unit": -2, "start_bin": 0, "stop_bin": 1}]),
        *([{"unit": -1, "start_bin": a, "stop_bin": b}] for a, b in ((-1, 2), (3, 3), (4, 3), (0, 2**40))),
    ],
)
def test_observed_runs_that_are_not_of_their_row_are_told(store: Store, tmp_path: Path, layout: str, runs: object) -> None:
    make_pile(store, test=0).publish(tmp_path / "p", layout=layout)
    reseal(tmp_path / "p", rows_file(tmp_path / "p") if layout == "sparse" else "segments.parquet", "observed", runs)
    held = open_pile(tmp_path / "p")[0]
    for use in (held.counts, lambda: held.observed):
        with pytest.raises(PileError, match="was observed in runs that are not of its units and bins; publish"):
            use()


@pytest.mark.parametrize("layout", ["sparse", "dense"])
@pytest.mark.parametrize(("column", "value"), [("unit_ids", None), ("unit_ids", ["u"]), ("unit_ids", [None] * 8), ("regions", None), ("regions", [])])
def test_labels_that_are_not_of_each_unit_are_told(store: Store, tmp_path: Path, layout: str, column: str, value: object) -> None:
    make_pile(store, test=0, quality="all").publish(tmp_path / "p", layout=layout)
    reseal(tmp_path / "p", rows_file(tmp_path / "p") if layout == "sparse" else "segments.parquet", column, value)
    held = open_pile(tmp_path / "p")[0]
    for use in (held.counts, lambda: getattr(held, column)):
        with pytest.raises(PileError, match=f"does not give the {column} of its 8 units"):
            use()


@pytest.mark.parametrize(("layout", "column", "value"), [("dense", "spike_counts", None), ("sparse", "order", None), ("sparse", "order", [None] * 8)])
def test_a_row_without_its_counts_is_told(store: Store, tmp_path: Path, layout: str, column: str, value: object) -> None:
    make_pile(store, test=0).publish(tmp_path / "p", layout=layout)
    reseal(tmp_path / "p", rows_file(tmp_path / "p"), column, value)
    with pytest.raises(PileError, match="publish the pile again"):
        open_pile(tmp_path / "p")[0].counts()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("row_group", None), ("row_group", -1), ("row_group", 7), ("row_group", 2**31 - 1), ("file", None), ("file", "data/other.parquet")),
        ("row_group", lambda groups: [i % 2 for i in range(len(groups))]),
        *((c, None) for c in ("split", "quantity", "recording_id", "session_id", "segment_id", "source_dataset", "start_s", "n_bins")),
        *((c, v) for c in ("session_id", "source_dataset") for v in ("", "..", "../x", "a/b", "a\0b")),
        *(("split", v) for v in ("../x", "test", "val", "")),
        *(("start_s", v) for v in (float("nan"), float("inf"), -1e13, 1e300)),
    ],
)
@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_rows_that_cannot_be_are_refused_though_sealed(store: Store, tmp_path: Path, layout: str, column: str, value: object) -> None:
    make_pile(store, test=0, max_tokens=2000).publish(tmp_path / "p", layout=layout)
    reseal(tmp_path / "p", "segments.parquet", column, value)
    with pytest.raises(PileError, match="; publish the pile again or fetch the file"):
        open_pile(tmp_path / "p")[0].counts()


def test_no_test_row_is_called_train(store: Store, tmp_path: Path) -> None:
    make_pile(store, test=0.5, split_by="segment", max_tokens=1000).publish(tmp_path / "p")
    assert {s.split for s in open_pile(tmp_path / "p")} == {"train", "test"}
    reseal(tmp_path / "p", "segments.parquet", "split", "train")
    with pytest.raises(PileError, match="its column split names others than the marker does"):
        open_pile(tmp_path / "p")


def test_a_row_beyond_its_group_is_told(store: Store, tmp_path: Path) -> None:
    make_pile(store, test=0, max_tokens=1000).publish(tmp_path / "p")
    table = pq.read_table(tmp_path / "p" / "segments.parquet")
    tampering.replace(tmp_path / "p" / "pile.json", "segments.parquet", pa.concat_tables([table, table]))
    pile = open_pile(tmp_path / "p")
    with pytest.raises(PileError, match="does not list the rows in their order"):
        pile[len(pile) - 1].counts()


@pytest.mark.parametrize("splits", ["not listed", "twice", "in two"])
def test_a_published_marker_names_each_of_its_files_once(store: Store, tmp_path: Path, splits: str) -> None:
    make_pile(store, test=0).publish(tmp_path / "p")
    name = rows_file(tmp_path / "p")
    edit(
        tmp_path / "p" / "pile.json",
        splits={"not listed": {"train": ["data/x.parquet"]}, "twice": {"train": [name] * 2}, "in two": {"train": [name], "test": [name]}}[splits],
    )
    with pytest.raises(PileError, match="does not list its files by split, inside data/, each once and with its digest"):
        open_pile(tmp_path / "p")


@pytest.mark.parametrize(
    "meta",
    [{"published": 5}, {"published": [5]}, {"published": ["a\0b"]}, {"bin_width": "x"}, {"bin_width": "1/0"}, {"bin_width": "1/10"}, {"bin_width": "1e200"}],
)
def test_a_pile_files_meta_that_does_not_fit_is_refused_when_opened(store: Store, tmp_path: Path, meta: dict[str, object]) -> None:
    with_meta(path := pile_file(tmp_path, store), **meta)
    with pytest.raises(PileError, match=r"is not a pile \(.*\); make one with"):
        open_pile(path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((c, "a\0b") for c in ("store", "session_id", "dataset")),
        *(("first_bin", v) for v in (2**62, 2**63 - 1, -(2**63))),
        *(("bin_num", 0), ("bin_den", -50), ("bin_num", 2)),
    ],
)
def test_a_pile_files_rows_that_cannot_be_are_refused_when_opened(store: Store, tmp_path: Path, column: str, value: object) -> None:
    rewrite(path := pile_file(tmp_path, store), column, value)
    with pytest.raises(PileError, match=r"is not a pile \(.*\); make one with"):
        open_pile(path)
