import contextlib
import fcntl
import multiprocessing
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.paths import locked, remove_abandoned, replacing, safe_name, scratch_folder, sha256_file


@given(st.text())
def test_a_safe_name_is_a_plain_file_name_and_stays_as_it_is(name):
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9._+=@-]{1,150}", safe)
    assert not safe.startswith(".")
    assert safe_name(safe) == safe


@given(st.text("._a", min_size=140, max_size=320))
def test_a_safe_name_stays_as_it_is_where_it_was_cut(name):
    assert safe_name(safe_name(name)) == safe_name(name)


def test_names_that_are_safe_are_left_alone():
    assert safe_name("sub-01_ses-2.v1+x=3@y") == "sub-01_ses-2.v1+x=3@y"


@pytest.mark.parametrize("name", ["", "..", "/", "....", "___", "../..", "\x00"])
def test_a_name_of_nothing_safe_is_unnamed(name):
    assert re.fullmatch(r"unnamed-[0-9a-f]{8}", safe_name(name))
    assert safe_name(safe_name(name)) == safe_name(name)


def test_names_of_nothing_safe_stay_apart():
    assert safe_name("日本") != safe_name("脳")


def test_no_name_climbs_out_of_its_folder():
    assert safe_name("../../etc/passwd") == "etc_passwd"
    assert safe_name("a/../b") == "a_.._b"


def test_sha256_is_the_known_one(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_replaced_file_appears_whole(tmp_path):
    target = tmp_path / "new" / "f"
    with replacing(target) as temporary:
        temporary.write_text("old")
        assert not target.exists()
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == ["f"]


def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "f"
    target.write_text("old")
    with contextlib.suppress(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_scratch_folder_goes_away_with_its_parent(tmp_path):
    with scratch_folder(tmp_path / "building") as folder:
        (folder / "x").mkdir()
        (folder / "x" / "f").write_text("work")
    assert os.listdir(tmp_path) == []


def test_a_scratch_folder_goes_away_when_the_work_fails(tmp_path):
    with contextlib.suppress(RuntimeError), scratch_folder(tmp_path / "building") as folder:
        (folder / "f").write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(tmp_path):
    parent = tmp_path / "building"
    for name in ("dead", "alive"):
        (parent / name).mkdir(parents=True)
        (parent / name / "f").write_text("work")
        (parent / f"{name}.lock").touch()
    with open(parent / "alive.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with scratch_folder(parent):
            left = set(os.listdir(parent))
    assert "alive" in left
    assert "alive.lock" in left
    assert not left & {"dead", "dead.lock"}


def test_what_was_abandoned_can_be_removed_without_a_folder_of_ones_own(tmp_path):
    remove_abandoned(tmp_path / "building")
    (tmp_path / "building" / "dead").mkdir(parents=True)
    (tmp_path / "building" / "dead.lock").touch()
    remove_abandoned(tmp_path / "building")
    assert os.listdir(tmp_path) == []


def test_a_folder_whose_lock_is_gone_is_removed(tmp_path):
    (tmp_path / "building" / "orphan").mkdir(parents=True)
    with scratch_folder(tmp_path / "building"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_whose_file_was_taken_away_and_made_anew_is_not_trusted(tmp_path, monkeypatch):
    """Two other processes may do so between the opening of the file and the lock."""
    flock, taken = fcntl.flock, []

    def flock_late(lock, how):
        if not taken:
            (path,) = (tmp_path / "building").glob("*.lock")
            taken.append(path.stem)
            path.unlink()
            path.touch()
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with scratch_folder(tmp_path / "building") as folder:
        assert folder.name not in taken


def test_a_file_in_the_way_of_a_scratch_folder_is_an_error(tmp_path):
    (tmp_path / "building").write_text("mine")
    with pytest.raises(FileExistsError), scratch_folder(tmp_path / "building"):
        pass


def _use_scratch_folders(parent, n):
    for i in range(n):
        with scratch_folder(parent) as folder:
            (folder / "f").write_text(str(i))
            assert (folder / "f").read_text() == str(i)


def _count_up(path, n):
    for _ in range(n):
        with locked(path.with_suffix(".lock")):
            path.write_text(str(int(path.read_text()) + 1))


def _run_together(target, *args, n=4):
    context = multiprocessing.get_context("forkserver")
    workers = [context.Process(target=target, args=args) for _ in range(n)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert [w.exitcode for w in workers] == [0] * n


def test_scratch_folders_of_many_processes_do_not_disturb_each_other(tmp_path):
    _run_together(_use_scratch_folders, tmp_path / "building", 200)
    assert os.listdir(tmp_path) == []


@pytest.mark.soak
def test_nor_do_those_of_more_processes_for_longer(tmp_path):
    for i in range(5):
        _run_together(_use_scratch_folders, tmp_path / str(i), 1500, n=6)
    assert os.listdir(tmp_path) == []


def test_one_process_at_a_time_holds_a_lock(tmp_path):
    (tmp_path / "n").write_text("0")
    _run_together(_count_up, tmp_path / "n", 100)
    assert (tmp_path / "n").read_text() == "400"


def test_long_names_that_begin_alike_stay_apart():
    a, b = safe_name("x" * 150 + "a"), safe_name("x" * 150 + "b")
    assert a != b
    assert len(a) == len(b) == 150
    assert safe_name("x" * 150) == "x" * 150
