"""Building stores: in order, over again, and what becomes of failures."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from builds import PROVENANCE, SECRET, Seeds, reader_of, statuses, tree

from neuropile import building, layout, parquet, testing
from neuropile.building import Terms, add_recording, ingest
from neuropile.errors import NoEvents, SessionExists, StoreError
from neuropile.store import create_store, open_store
from neuropile.types import Trains
from neuropile.verifying import verify

# In order


def test_each_file_becomes_a_session(files, store):
    outcomes = ingest(files, store, reader_of)
    assert statuses(outcomes) == ["stored"] * 4
    assert [o.session for o in outcomes] == [f"local/s{i}" for i in range(4)] == list(store)
    assert [o.n_units for o in outcomes] == [4, 5, 6, 7]
    assert [o.n_spikes for o in outcomes] == [store[o.session].n_spikes for o in outcomes]
    assert sorted(os.listdir(store.root)) == ["index", "local", "neuropile.json"]


def test_a_session_says_which_file_it_came_from_and_on_what_terms(files, store):
    ingest(files[:1], store, reader_of, dataset="d", terms=Terms("CC-BY-4.0", "doi:1"))
    record = store["d/s0"].record
    assert record["sources"][0]["path"] == "s0.seed"
    assert record["sources"][0]["bytes"] == files[0].stat().st_size
    assert record["reader"] == "Seeds()"
    assert record["license"] == "CC0-1.0"  # the recording's own comes first
    bare = replace(testing.recording(5, n_units=2), license=None, citation=None)
    assert add_recording(store, bare, replace(PROVENANCE, license="CC-BY-4.0", citation="doi:1"))["license"] == "CC-BY-4.0"


def test_two_builds_of_the_same_files_are_the_same_bytes(reference, tmp_path):
    paths, expected = reference
    store = create_store(tmp_path / "elsewhere")
    ingest(reversed(paths), store, reader_of)
    assert tree(store.root) == tree(expected.root)
    assert len(tree(store.root)) > 40


def test_building_again_does_nothing(files, store, monkeypatch):
    ingest(files, store, reader_of)
    before, n_parts = tree(store.root), len(os.listdir(store.root / "index" / "parts"))
    monkeypatch.setattr(building, "write_session", None)
    monkeypatch.setattr(Seeds, "__call__", None)
    outcomes = ingest(files, store, reader_of)
    assert statuses(outcomes) == ["present"] * 4
    assert [o.n_units for o in outcomes] == [4, 5, 6, 7]
    assert tree(store.root) == before
    assert len(os.listdir(store.root / "index" / "parts")) == n_parts


def test_a_session_that_is_stored_but_not_listed_is_listed(files, store):
    ingest(files, store, reader_of)
    for part in (store.root / "index" / "parts").iterdir():
        part.unlink()
    anew = open_store(store.root)
    assert len(anew) == 0
    assert statuses(ingest(files, anew, reader_of)) == ["present"] * 4
    assert list(open_store(store.root)) == [f"local/s{i}" for i in range(4)]


def test_a_replacement_that_is_stored_but_not_listed_is_listed(files, store, monkeypatch):
    ingest(files[:1], store, reader_of)
    files[0].write_text(json.dumps({"seed": 9, "n_units": 3}))
    with monkeypatch.context() as m:
        m.setattr(type(store), "add", lambda *_: None)  # killed before the index
        ingest(files[:1], store, reader_of, replace=True)
    assert open_store(store.root).sessions.n_units.tolist() == [4]
    assert statuses(ingest(files[:1], open_store(store.root), reader_of)) == ["present"]
    assert open_store(store.root).sessions.n_units.tolist() == [3]
    assert len(open_store(store.root).units) == 3


def test_building_again_clears_what_a_killed_build_left(files, store):
    ingest(files, store, reader_of)
    (store.root / ".building" / "0123456789ab" / "session").mkdir(parents=True)
    (store.root / ".building" / "0123456789ab.lock").touch()
    assert statuses(ingest(files, store, reader_of)) == ["present"] * 4
    assert sorted(os.listdir(store.root)) == ["index", "local", "neuropile.json"]


# Failures


def test_a_session_among_many_fails_on_the_record_and_the_others_are_stored(files, store):
    files[1].write_text("{ damaged")
    files.insert(0, files[0].with_suffix(".txt"))
    files.append(files[0].with_name("gone.seed"))
    files.append(files[0].with_name("odd.seed"))
    files[-1].write_text('{"raises": true}')
    outcomes = ingest(files, store, reader_of)
    assert statuses(outcomes) == ["failed", "stored", "failed", "stored", "stored", "failed", "failed"]
    failed = store.failed.error
    assert failed["local/s1"] == outcomes[2].error
    assert "s1.seed: reading stopped with JSONDecodeError: Expecting property name" in outcomes[2].error
    assert "gone.seed: reading stopped with FileNotFoundError" in failed["local/gone"]
    assert f"odd.seed: reading stopped with ArithmeticError: {SECRET}; the file may be damaged" in failed["local/odd"]
    assert outcomes[0].error.endswith("s0.txt: not a seed")
    assert list(store) == ["local/s0", "local/s2", "local/s3"]
    assert not (store.root / "local" / "s1").exists()
    assert sorted(os.listdir(store.root)) == ["index", "local", "neuropile.json"]


def test_a_failure_is_off_the_record_once_the_session_is_stored(files, store):
    good = files[0].read_text()
    files[0].write_text("{")
    assert statuses(ingest(files[:1], store, reader_of)) == ["failed"]
    files[0].write_text(good)
    assert statuses(ingest(files[:1], store, reader_of)) == ["stored"]
    assert len(store.failed) == 0
    assert list(store) == ["local/s0"]


def test_a_file_without_spikes_fails_and_says_what_it_holds(files, store, monkeypatch):
    silent = replace(testing.recording(0, n_units=2), session_id="s0", trains=Trains(2, lambda _: np.array([])), holds="two cells")
    monkeypatch.setattr(Seeds, "__call__", lambda *_: silent)
    (outcome,) = ingest(files[:1], store, reader_of)
    assert outcome.error == f"{files[0]}: s0: sought spikes, found 2 units without a single one; the file holds two cells"
    with pytest.raises(NoEvents):
        add_recording(store, silent, PROVENANCE)
    assert sorted(os.listdir(store.root)) == ["index", "neuropile.json"]


def test_a_reader_that_calls_the_session_otherwise_is_refused(files, store, monkeypatch):
    monkeypatch.setattr(Seeds, "__call__", lambda *_: testing.recording(0, n_units=2))
    (outcome,) = ingest(files[:1], store, reader_of)
    assert outcome.error.endswith("its reader calls the session 'session-0', its name says 's0'")


def test_a_recording_is_closed_whatever_happens(files, store, monkeypatch):
    closed = []
    good = replace(testing.recording(0, n_units=2), session_id="s0", close=lambda: closed.append("good"))
    bad = replace(good, session_id="s1", trains=Trains(2, None), close=lambda: closed.append("bad"))
    monkeypatch.setattr(Seeds, "__call__", lambda _, path: good if path.stem == "s0" else bad)
    assert statuses(ingest(files[:2], store, reader_of)) == ["stored", "failed"]
    assert closed == ["good", "bad"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [("a/b", "try 'a_b'"), ("..", "try 'unnamed-"), ("", "try 'unnamed-"), ("index", "keeps a file or folder of its own"), ("neuropile.json", "of its own")],
)
def test_a_dataset_needs_a_safe_name(store, dataset, message):
    with pytest.raises(StoreError, match=message):
        ingest([], store, reader_of, dataset=dataset)
    with pytest.raises(StoreError, match=message):
        add_recording(store, testing.recording(0, n_units=2), replace(PROVENANCE, dataset=dataset))


def test_a_session_needs_a_safe_name(store):
    with pytest.raises(StoreError, match=r"session name '\.\./x' is not safe for a folder; try 'x'"):
        add_recording(store, replace(testing.recording(0, n_units=2), session_id="../x"), PROVENANCE)


# The same name


def test_other_bytes_under_the_same_name_are_refused_unless_replaced(files, store):
    ingest(files, store, reader_of)
    before = tree(store.root)
    files[0].write_text(json.dumps({"seed": 9, "n_units": 3}))
    (outcome,) = ingest(files[:1], store, reader_of)
    assert outcome.status == "failed"
    assert outcome.error.endswith(
        "session local/s0 is stored already from other bytes or by another reader or recipe; --replace builds it again, --dataset keeps both"
    )
    assert tree(store.root) == before
    assert len(store.failed) == 0
    assert statuses(ingest(files[:1], store, reader_of, dataset="other")) == ["stored"]
    (outcome,) = ingest(files[:1], store, reader_of, replace=True)
    assert (outcome.status, outcome.n_units) == ("stored", 3)
    anew = open_store(store.root)
    assert anew["local/s0"].n_units == anew.sessions.n_units["local/s0"] == 3
    assert (anew.units.session_id + anew.units.dataset == "s0local").sum() == 3
    assert len(anew) == 5


def test_a_replacement_that_fails_leaves_the_old_session(files, store):
    ingest(files[:1], store, reader_of)
    before = tree(store.root)
    files[0].write_text("{")
    assert statuses(ingest(files[:1], store, reader_of, replace=True)) == ["failed"]
    assert tree(store.root) == before
    assert list(open_store(store.root)) == ["local/s0"]


def test_a_recording_in_memory_is_stored_once(store):
    recording = testing.recording(0, n_units=3)
    marker = add_recording(store, recording, PROVENANCE)
    assert marker == store["d/session-0"].record
    before = tree(store.root)
    assert add_recording(store, recording, PROVENANCE) == marker
    assert tree(store.root) == before
    other = replace(testing.recording(1, n_units=2), session_id="session-0")
    with pytest.raises(SessionExists, match="session d/session-0 is stored already with other content; --replace builds it again"):
        add_recording(store, other, PROVENANCE)
    assert tree(store.root) == before
    assert add_recording(store, other, PROVENANCE, replace=True)["n_units"] == 2
    assert open_store(store.root).sessions.n_units.to_dict() == {"d/session-0": 2}
    assert sorted(os.listdir(store.root)) == ["d", "index", "neuropile.json"]


def test_something_unfinished_in_the_way_is_replaced(store):
    (store.root / "d" / "session-0" / "intervals").mkdir(parents=True)
    (store.root / "d" / "session-0" / "units.parquet").write_text("half")
    add_recording(store, testing.recording(0, n_units=3), PROVENANCE)
    assert store["d/session-0"].n_units == 3
    assert (store["d/session-0"].units.n_spikes > 0).any()


# At full size

_LARGE = """
import re, sys, time
from neuropile import testing
def peak_kb():  # of this program alone: ru_maxrss counts the process it was forked from too
    return re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
before = peak_kb()
began = time.monotonic()
store = testing.store(sys.argv[1], [testing.recording(0, n_units=2207, duration_s=10163.56)])
ses = store["test/session-0"]
grid = ses.grid(0.02)
print(ses.n_spikes, grid.n_bins, before, peak_kb(), time.monotonic() - began)
"""


@pytest.mark.soak
def test_the_largest_session_is_built_in_less_than_two_gigabytes(tmp_path):
    done = subprocess.run([sys.executable, "-c", _LARGE, tmp_path / "s"], capture_output=True, text=True, check=True)
    n_spikes, n_bins, before_kb, peak_kb, seconds = map(float, done.stdout.split())
    print(f"{n_spikes / 1e6:.1f} M spikes, {n_bins:.0f} bins, {seconds:.1f} s, peak {peak_kb / 1e6:.2f} GB of which {before_kb / 1e6:.2f} GB imports")
    assert n_bins == 508_178
    assert n_spikes > 80e6
    assert peak_kb * 1024 < 2e9


def test_a_marker_of_a_stored_session_is_what_the_index_lists(reference):
    _, store = reference
    for key in store:
        marker = layout.read_marker(store.root / key / "session.json", "neuropile session")
        assert store.lists(marker)
        assert not store.lists({**marker, "n_spikes": marker["n_spikes"] + 1})
        assert not store.lists({**marker, "session_id": "other"})


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("at", range(4))
def test_a_full_or_read_only_disk_ends_the_build_at_once_and_a_rerun_completes_it(files, store, monkeypatch, kind, at):
    write, n = parquet.write, iter(range(100))

    def fails_then(table, path, **options):
        if next(n) == at:
            raise OSError(kind, os.strerror(kind))
        write(table, path, **options)

    monkeypatch.setattr(parquet, "write", fails_then)
    with pytest.raises(StoreError, match=r"cannot be written .*; mend that and run again: what is stored stays"):
        ingest(files[:2], store, reader_of)
    assert not (store.root / ".building").exists()
    monkeypatch.setattr(parquet, "write", write)
    ingest(files[:2], store, reader_of)
    assert len(open_store(store.root)) == 2
    assert not verify(store.root)
