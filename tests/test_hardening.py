"""What a hostile or unlucky person does to stores, piles and published folders: told in one line, never trusted."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tampering
from servers import serving
from tampering import edit

from neuropile import Store, ingest, make_pile, open_pile, open_store, parquet, readers, testing
from neuropile.binning import as_width, to_ticks
from neuropile.errors import BinWidthError, NeuropileError, PileError, StoreError
from neuropile.session import Session
from neuropile.types import Reader, Recording, Trains
from neuropile.verifying import verify


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return testing.store(tmp_path / "store", [testing.recording(0, n_units=8, duration_s=20), testing.recording(1, n_units=5, duration_s=20)])


def rewrite(path: Path, column: str, value: object) -> None:
    """A Parquet file with every value of one column replaced, its own metadata kept."""
    table, meta = pq.read_table(path), pq.read_metadata(path).metadata or {}
    i = table.schema.get_field_index(column)
    table = table.set_column(i, column, pa.array([value] * table.num_rows, table.schema.field(column).type))
    parquet.write(table, path, metadata={"neuropile": meta[b"neuropile"].decode()} if b"neuropile" in meta else {})


def test_a_copied_session_folder_is_named_and_not_indexed(store: Store) -> None:
    shutil.copytree(store.root / "test" / "session-0", store.root / "test" / "copy")
    (problem,) = store.rebuild_index()
    assert "is a copy of session test/session-0; remove it" in problem
    assert "test/copy" not in store
    with pytest.raises(StoreError, match="is a copy of session"):
        store["test/copy"]


def test_a_stale_index_is_noticed_before_a_pile_is_made(store: Store, tmp_path: Path) -> None:
    other = testing.store(tmp_path / "other", [replace(testing.recording(5, n_units=3), session_id="session-0")])
    shutil.rmtree(store.root / "test" / "session-0")
    shutil.copytree(other.root / "test" / "session-0", store.root / "test" / "session-0")
    with pytest.raises(PileError, match=r"test/session-0 has changed since\); run: neuropile index"):
        make_pile(open_store(store.root))
    open_store(store.root).rebuild_index()
    assert {s.n_units for s in make_pile(open_store(store.root), quality="all")} == {3, 5}


@pytest.mark.parametrize(
    "values",
    [
        *({"n_units": 40}, {"n_units": "8"}, {"ticks_per_s": 0}, {"ticks_per_s": 50_000}, {"regions": 5}),
        *({"signals": ["../../x"]}, {"files": None}, {"session_id": "../x"}),
    ],
)
def test_an_edited_session_marker_is_told(store: Store, values: dict[str, object]) -> None:
    edit(store.root / "test" / "session-0" / "session.json", **values)
    with pytest.raises(NeuropileError, match=r"build|index|restore|copy"):
        make_pile(open_store(store.root))[0].counts()


def test_a_marker_of_nested_brackets_is_told(store: Store) -> None:
    (store.root / "test" / "session-0" / "session.json").write_text("[" * 100_000)
    with pytest.raises(StoreError, match="is not a neuropile session marker"):
        Session(store.root / "test" / "session-0")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("order", [0]), ("order", [0] * 8), ("n_units", 1), ("n_units", 500), ("gaps", None), ("gaps", [b"\x00"])),
        *(("n_bins", 2), ("n_bins", -1), ("bin_width_s", 0.5)),
    ],
)
def test_tampered_rows_are_refused_before_they_are_decoded(store: Store, tmp_path: Path, column: str, value: object) -> None:
    make_pile(store, test=0).publish(tmp_path / "p")
    rewrite(next((tmp_path / "p" / "data").iterdir()), column, value)
    with pytest.raises(PileError, match="publish the pile again"):
        open_pile(tmp_path / "p")[0].counts()


@pytest.mark.parametrize("names", [["../outside.parquet"], ["/etc/passwd"], ["data/../../x.parquet"], [5], "data/x.parquet"])
def test_a_published_marker_names_no_file_outside_its_folder(store: Store, tmp_path: Path, names: object) -> None:
    make_pile(store, test=0).publish(tmp_path / "p")
    edit(tmp_path / "p" / "pile.json", splits={"train": names})
    with pytest.raises(PileError, match="does not list its files by split, inside data/"):
        open_pile(tmp_path / "p")


@pytest.mark.parametrize("values", [{"bin_width": "1/10"}, {"bin_width": "abc"}, {"bin_width": "1e100000000"}, {"made": None}, {"splits": 5}])
def test_an_edited_published_marker_is_told(store: Store, tmp_path: Path, values: dict[str, object]) -> None:
    make_pile(store, test=0).publish(tmp_path / "p")
    edit(tmp_path / "p" / "pile.json", **values)
    with pytest.raises(PileError, match="publish the pile again"):
        open_pile(tmp_path / "p")


@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_rows_in_another_order_than_their_table_are_told(store: Store, tmp_path: Path, layout: str) -> None:
    make_pile(store, test=0).publish(tmp_path / "p", layout=layout)
    table = pq.read_table(tmp_path / "p" / "segments.parquet")
    tampering.replace(tmp_path / "p" / "pile.json", "segments.parquet", table.take(pa.array(range(table.num_rows - 1, -1, -1))))
    with pytest.raises(PileError, match="does not list the rows in their order"):
        open_pile(tmp_path / "p")[0].counts()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("bin_den", 0), ("bin_den", 33333), ("n_units", 1), ("n_units", 500), ("n_bins", -5), ("first_bin", 2**62)),
        *(("selection_id", 7), ("split", "foo"), ("session_id", "../..")),
    ],
)
def test_a_tampered_pile_file_is_refused(store: Store, tmp_path: Path, column: str, value: object) -> None:
    make_pile(store, quality="all").save(tmp_path / "p.parquet")
    rewrite(tmp_path / "p.parquet", column, value)
    with pytest.raises(PileError, match=r"is not a pile|does not fit its session"):
        open_pile(tmp_path / "p.parquet")[0].counts()


def test_a_pile_never_takes_the_name_of_anothers_selections(store: Store, tmp_path: Path) -> None:
    for name in ("p.units.parquet", "p.csv", "p"):
        with pytest.raises(PileError, match=r"a pile's file is called NAME\.parquet"):
            make_pile(store).save(tmp_path / name)


@pytest.mark.parametrize("rate", ["3e-6", "30", "1e18", "1e200"])
def test_a_wrong_sample_rate_moves_no_spike(rate: str) -> None:
    times = np.array([1.0, 2.0, 33.33336])
    ticks, _ = to_ticks(times, 100_000, Fraction(rate))
    assert np.abs(ticks - times * 100_000).max() <= 1


@pytest.mark.parametrize("width", ["1e100000000", "1e999", "9" * 100, "1/" + "9" * 100])
def test_a_width_of_absurd_length_is_refused_at_once(width: str) -> None:
    with pytest.raises(BinWidthError, match="not a number of seconds"):
        as_width(width)


def test_a_window_that_ends_inside_a_tick_keeps_the_bin_it_touches(tmp_path: Path) -> None:
    recording = replace(testing.recording(0, n_units=2), ticks_per_s=50, trains=Trains(2, lambda _: np.arange(100), kind="ticks"))
    session = testing.store(tmp_path / "s", [recording])["test/session-0"]
    assert session.counts(0.02, start=0, stop=0.03).sizes["time"] == 2
    assert session.counts(0.02, start=0, stop=0.04).sizes["time"] == 2


def test_two_files_of_one_stem_in_one_call_do_not_replace_each_other(tmp_path: Path) -> None:
    files = [tmp_path / d / "x.seed" for d in "ab"]
    for seed, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(str(seed))

    class Seed(Reader):
        def __call__(self, path: Path) -> Recording:
            return replace(testing.recording(int(path.read_text()), n_units=2), session_id="x")

    outcomes = ingest(files, testing.store(tmp_path / "store", []), lambda _: Seed(), replace=True)
    assert [o.status for o in outcomes] == ["stored", "failed"]
    assert "would be session local/x, as" in str(outcomes[1].error)


def test_a_folders_name_is_not_html(tmp_path: Path) -> None:
    store = testing.store(tmp_path / "<img src=x>", [testing.recording(0, n_units=2)])
    assert "<img" not in store._repr_html_()


@pytest.mark.parametrize(
    "values",
    [
        *({"n_units": 10**9}, {"n_spikes": -1}, {"ticks_per_s": 10**400}, {"duration_s": 10**400}, {"observed_s": "x"}, {"notes": [1]}, {"regions": [1]}),
        *({"files": {"spikes.parquet": 7}}, {"files": {"x": {}}}, {"files": {"x": {"bytes": -1}}}, {"block_edges": [None]}, {"first_tick": 2**63}),
        *({"sources": [{"path": "a", "bytes": "x", "sha256": None}]}, {"sources": [3]}, {"dataset": None}),
    ],
)
def test_no_marker_of_a_hostile_store_ends_in_anything_but_one_line(store: Store, values: dict[str, object]) -> None:
    edit(store.root / "test" / "session-0" / "session.json", **values)
    for use in (lambda: store["test/session-0"], lambda: make_pile(open_store(store.root))):
        with pytest.raises(StoreError, match=r"session.json does not describe a session \("):
            use()
    (finding,) = [f for f in verify(store.root) if f.where == "test/session-0"]
    assert "does not describe a session" in finding.problem


@pytest.mark.parametrize("made", [{}, {"split_by": "nonsense"}, {"left_out": 3}, {"warnings": None}, {"max_tokens": 10**400}])
def test_no_marker_of_a_hostile_published_folder_ends_in_anything_but_one_line(store: Store, tmp_path: Path, made: dict[str, object]) -> None:
    make_pile(store, test=0).publish(tmp_path / "p")
    real = json.loads((tmp_path / "p" / "pile.json").read_text())["made"]
    edit(tmp_path / "p" / "pile.json", made=real | made if made else {})
    for use in (open_pile, verify):
        with pytest.raises(PileError, match=r"does not fit its rows \(made\."):
            use(tmp_path / "p")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("http://alice:HUNTER2@host/a.nwb: no such file", "http://host/a.nwb: no such file"),
        ("'https://host/a.nwb?X-Amz-Signature=SECRET&b=1' is damaged (at https://host/b?c)", "'https://host/a.nwb' is damaged (at https://host/b)"),
        ("http://host/y.nwb?sig=S: no such file", "http://host/y.nwb: no such file"),
        ("s3://bucket/a b?c: what is it?", "s3://bucket/a b?c: what is it?"),
        ("did you mean local/a?", "did you mean local/a?"),
    ],
)
def test_no_error_tells_a_secret(said: str, kept: str) -> None:
    assert str(NeuropileError(said)) == kept


def test_no_pile_keeps_a_secret(store: Store, tmp_path: Path) -> None:
    store.rebuild_index()
    with serving(store.root) as served:
        url = served.url.replace("://", "://alice:HUNTER2@")
        make_pile(open_store(url)).save(tmp_path / "p.parquet")
    assert b"HUNTER2" not in (tmp_path / "p.parquet").read_bytes()
    assert pq.read_table(tmp_path / "p.parquet").column("store")[0].as_py().rstrip("/") == served.url


def test_a_file_whose_name_is_no_text_is_stored_or_told_and_the_rest_go_on(tmp_path: Path) -> None:
    files = [tmp_path / os.fsdecode(b"bad\xff.npz"), tmp_path / "good.npz"]
    for file in files:
        with open(file, "wb") as f:
            np.savez(f, t=np.linspace(0, 1, 20), u=np.arange(20) % 3)
    outcomes = ingest(files, testing.store(tmp_path / "s", []), partial(readers.find, mapping={"times": "t", "units": "u"}))
    assert [o.status for o in outcomes] == ["stored", "stored"]


def test_a_dataset_is_not_called_as_what_the_store_keeps_for_itself(store: Store) -> None:
    for name in ("index", "INDEX", "neuropile.json"):
        with pytest.raises(StoreError, match="a dataset cannot be called"):
            ingest([], store, dataset=name)
