import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers import serving
from tampering import edit, replace

from neuropile import make_pile, open_store, parquet, testing
from neuropile.errors import NeuropileError, StoreError
from neuropile.verifying import verify

KEY = "test/session-0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    recordings = [testing.recording(i, n_units=6, duration_s=20, observed=o) for i, o in enumerate(["gaps", "each", None])]
    store = testing.store(tmp_path_factory.mktemp("verify") / "store", recordings)
    store.rebuild_index()
    return store


@pytest.fixture
def store(whole, tmp_path):
    """A store to break."""
    shutil.copytree(whole.root, tmp_path / "store")
    return open_store(tmp_path / "store")


def told(path):
    return [(f.level, f.where, f.problem) for f in verify(path)]


def test_what_was_just_written_is_well(store, tmp_path):
    assert not verify(store.root)
    assert not verify(store.root / KEY)
    pile = make_pile(store, max_tokens=500, test=0.3)
    pile.save(tmp_path / "p.parquet")
    assert not verify(tmp_path / "p.parquet")
    for name in ("sparse", "dense"):
        pile.publish(tmp_path / name, layout=name)
        assert not verify(tmp_path / name)


def test_a_store_far_away_is_verified_as_one_here(store):
    with serving(store.root) as served:
        assert not verify(served.url)
        (store.root / KEY / "intervals" / "trials.parquet").unlink()
        assert [f.where for f in verify(served.url)] == [KEY]


def test_every_file_of_a_session_is_missed_when_it_is_gone_and_told_when_it_is_cut_or_changed(store):
    files = [p for p in (store.root / KEY).rglob("*") if p.is_file()]
    assert len(files) > 10
    for file in files:
        data = file.read_bytes()
        for damaged in (None, data[:-1], data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]):
            file.unlink(missing_ok=True) if damaged is None else file.write_bytes(damaged)
            found = told(store.root)
            assert found, file
            assert {level for level, *_ in found} <= {"error", "warning"}
        file.write_bytes(data)
    assert not verify(store.root)


def test_values_that_were_changed_with_every_seal_kept_are_told(store):
    path = store.root / KEY / "units.parquet"
    table = parquet.read(path)
    depth = pa.array(table.column("depth_um").to_numpy() + 1)
    replace(path.parent / "session.json", "units.parquet", table.set_column(table.schema.get_field_index("depth_um"), "depth_um", depth))
    assert ("error", KEY, "its values do not make the content digest in its marker: restore it from a copy or build it again") in told(store.root)


def test_an_index_that_is_not_the_sessions_is_told_and_mended(store):
    marker = store.root / KEY / "session.json"
    edit(marker, species="Rattus norvegicus")
    shutil.rmtree(store.root / "test" / "session-2")
    found = told(store.root)
    assert ("error", KEY, f"the index has another species; run: neuropile index {store.root}") in found
    assert [w for level, w, _ in found if level == "error"] == [KEY, "test/session-2"]
    open_store(store.root).rebuild_index()
    assert not verify(store.root)


def test_a_session_that_is_not_listed_is_told(whole, tmp_path):
    shutil.copytree(whole.root, tmp_path / "s")
    shutil.rmtree(tmp_path / "s" / "index")
    found = told(tmp_path / "s")
    assert len(found) == 3
    assert all("is not in the index; run: neuropile index" in problem for *_, problem in found)


def test_what_is_no_session_is_a_warning(store):
    (store.root / "test" / "half").mkdir()
    assert [(level, where.rpartition("/")[2]) for level, where, _ in told(store.root)] == [("warning", "half")]


def test_a_file_that_does_not_belong_is_told(store):
    (store.root / KEY / "notes.txt").write_text("mine")
    assert told(store.root) == [("error", KEY, "notes.txt is not one of its files")]


@pytest.mark.parametrize("lie", [{"first_tick": 300_000}, {"last_tick": 310_000}, {"observed_s": 1.0}, {"duration_s": 7.0}, {"regions": ["LIE"]}])
def test_a_marker_that_lies_under_a_fitting_seal_is_told(store, lie):
    edit(store.root / KEY / "session.json", **lie)
    (name,) = lie
    assert any(where == KEY and name in problem for _, where, problem in told(store.root))


def test_a_file_swapped_with_anothers_is_told_when_it_is_read(store):
    for name in ("spikes.parquet", "units.parquet", "intervals/trials.parquet"):
        shutil.copy(store.root / "test" / "session-1" / name, store.root / KEY / name)
        ses = store[KEY]
        with pytest.raises(StoreError, match="is not the file its marker speaks of"):
            {"spikes": ses.spikes, "units": lambda s=ses: s.units, "intervals/trials": lambda s=ses: s.trials}[name.removesuffix(".parquet")]()


def test_a_copied_session_does_not_hide_what_else_is_wrong(store):
    shutil.copytree(store.root / KEY, store.root / "test" / "copy")
    (store.root / "test" / "session-1" / "units.parquet").unlink()
    assert [w for level, w, _ in told(store.root) if level == "error"] == ["test/session-1", "test/copy"]


@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_whatever_is_done_to_a_published_folder_is_told(store, tmp_path, layout):
    make_pile(store, test=0.5, seed=1).publish(tmp_path / "p", layout=layout)
    files = sorted(p for p in (tmp_path / "p").rglob("*") if p.is_file() and p.name != "pile.json")
    train, test = (next(f for f in files if f.name.startswith(s)) for s in ("train", "test"))
    a, b = train.read_bytes(), test.read_bytes()
    train.write_bytes(b)
    test.write_bytes(a)
    assert _is_told(tmp_path / "p")
    train.write_bytes(a)
    test.write_bytes(b)
    assert not verify(tmp_path / "p")
    for file in files:
        data = file.read_bytes()
        file.write_bytes(data + b"x")
        assert _is_told(tmp_path / "p"), file
        file.unlink()
        assert _is_told(tmp_path / "p"), file
        file.write_bytes(data)
    (tmp_path / "p" / "data" / "more.parquet").write_bytes(a)
    assert _is_told(tmp_path / "p")


def _is_told(path):
    try:
        return bool(verify(path))
    except NeuropileError:
        return True


def test_a_pile_over_damaged_sessions_is_told(store, tmp_path):
    make_pile(store).save(tmp_path / "p.parquet")
    spikes = store.root / KEY / "spikes.parquet"
    data = bytearray(spikes.read_bytes())
    data[100] ^= 1
    spikes.write_bytes(data)
    assert [(level, where) for level, where, _ in told(tmp_path / "p.parquet")] == [("error", KEY)]


def test_row_groups_across_blocks_are_told(tmp_path):
    store = testing.store(tmp_path / "s", [testing.recording(0, n_units=4, duration_s=700)])
    session = store[KEY]
    marker = session.record
    edges = marker["block_edges"]
    edit(session.root / "session.json", block_edges=[edges[0] - 15_000_000, *(e - 15_000_000 for e in edges[1:]), edges[-1]])
    assert any("lies in more than one time block" in problem for *_, problem in told(store.root / KEY))


def rewrite(path, **columns):
    table = parquet.read(path)
    meta = table.schema.metadata[b"neuropile"].decode()
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, table.schema.field(name).type))
    parquet.write(table, path, metadata={"neuropile": meta})


def test_a_split_that_leaks_is_an_error(store, tmp_path):
    pile = make_pile(store, max_tokens=500, test=0)
    pile.save(tmp_path / "p.parquet")
    splits = ["train"] * len(pile)
    splits[0] = "test"
    rewrite(tmp_path / "p.parquet", split=splits)
    assert ("error", "recording test/session-0", "is in test and train: the splits leak; make the pile again") in told(tmp_path / "p.parquet")


def test_a_subject_on_both_sides_is_a_warning(tmp_path):
    store = testing.store(tmp_path / "s", [testing.recording(i, n_units=3, duration_s=5) for i in range(6)])
    pile = make_pile(store, test=0.5)
    pile.save(tmp_path / "p.parquet")
    rewrite(tmp_path / "p.parquet", subject_id=["one"] * len(pile))
    found = told(tmp_path / "p.parquet")
    assert [(level, where) for level, where, _ in found] == [("warning", "subject one")]
    assert "is in test and train: the pile was split by recording; split_by='subject' keeps it on one side" in found[0][2]


def test_a_pile_whose_session_changed_is_told(store, tmp_path):
    make_pile(store).save(tmp_path / "p.parquet")
    edit(store.root / KEY / "session.json", content_digest="sha256:0")
    assert [level for level, *_ in told(tmp_path / "p.parquet")] == ["error"]


@pytest.mark.parametrize("name", ["sparse", "dense"])
def test_published_rows_that_were_changed_are_told(store, tmp_path, name):
    make_pile(store, test=0).publish(tmp_path / "p", layout=name)
    (file,) = (tmp_path / "p" / "data").glob("*.parquet")
    data = bytearray(file.read_bytes())
    whole = pq.read_table(file)
    rng = np.random.default_rng(0)
    for place in rng.integers(4, len(data) - parquet.facts(file)["footer_bytes"], 20).tolist():
        changed = bytearray(data)
        changed[place] ^= 16
        file.write_bytes(changed)
        try:
            assert verify(tmp_path / "p") or pq.read_table(file).equals(whole)
        except NeuropileError:
            continue
    file.write_bytes(data)
    edit(tmp_path / "p" / "pile.json", n_spikes=7)
    assert any("its marker says 7" in problem for *_, problem in told(tmp_path / "p"))


def test_what_is_nothing_of_ours_is_said(tmp_path):
    with pytest.raises(NeuropileError, match="no such file or folder"):
        verify(tmp_path / "x")
    with pytest.raises(NeuropileError, match="is neither a store, a session, a pile nor a published folder"):
        verify(tmp_path)
