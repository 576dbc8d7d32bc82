"""Objects and datasets of a cache: the same arrays that ONE loads, and ambiguity that is told."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
import warnings
from pathlib import Path
from typing import Any

import alf_trees
import numpy as np
import pandas as pd
import pytest
from one.api import One
from readers import alffolder

from neuropile.errors import UnreadableFile
from neuropile.one import (
    ALFError,
    ALFMultipleCollectionsFound,
    ALFMultipleObjectsFound,
    ALFMultipleRevisionsFound,
    ALFObjectNotFound,
    open_cache,
)
from neuropile.one.local import Cache

OBJECTS = [
    ("trials", None),
    ("wheel", None),
    ("licks", None),
    ("sync", None),
    ("body", None),
    ("leftCamera", "alf"),
    ("leftCamera", "raw_video_data"),
    ("passiveGabor", None),
    *((obj, "alf/probe01/pykilosort") for obj in ("spikes", "clusters", "channels")),
]


def same(ours: Any, theirs: Any) -> None:
    """Assert equal types of content and equal values."""
    if isinstance(theirs, pd.DataFrame | pd.Series):
        assert type(ours) is type(theirs)
        assert ours.equals(theirs)
    elif isinstance(theirs, Path):
        assert Path(ours) == Path(theirs)
    elif isinstance(theirs, np.ndarray):
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs


@pytest.mark.parametrize(("obj", "collection", "revision"), [*((*o, None) for o in OBJECTS), ("licks", None, "2021-06-01"), ("trials", "alf", "2021-06-01")])
def test_objects_are_those_that_one_loads(ours: Cache, theirs: One, obj: str, collection: str | None, revision: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs.load_object(theirs.search()[0], obj, collection, revision, check_hash=False)
    found = ours.load_object(ours.search()[0], obj, collection, revision)
    assert set(found) == set(expected)
    for name in expected:
        same(found[name], expected[name])


def test_every_dataset_is_the_one_that_one_loads(ours: Cache, theirs: One) -> None:
    eid = ours.search()[0]
    assert ours.list_datasets(eid) == theirs.list_datasets(eid)
    for path in ours.list_datasets(eid, collection=["alf", "raw*", "*probe00*"]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs.load_dataset(eid, path, check_hash=False)
        same(ours.load_dataset(eid, path), expected)


def test_collections_and_revisions_are_those_of_one(ours: Cache, theirs: One) -> None:
    eid = ours.search()[0]
    assert ours.list_collections(eid) == sorted(theirs.list_collections(eid))
    assert ours.list_revisions(eid) == sorted(theirs.list_revisions(eid)) == ["", "2021-01-01", "2022-06-01"]
    assert ours.list_revisions(eid, "licks*") == sorted(theirs.list_revisions(eid, filename="licks*"))
    assert ours.list_collections(eid, {"object": "spikes"}) == ["alf/probe00/pykilosort", "alf/probe01/pykilosort"]


@pytest.mark.real
def test_real_files_are_those_that_one_loads(real_data: Path, tmp_path: Path) -> None:
    alf = tmp_path / "lab" / "Subjects" / "S" / "2020-01-01" / "001" / "alf"
    shutil.copytree(real_data / "alf-trials-table", alf)
    shutil.copytree(real_data / "alf-mouse-three-clusters", alf / "probe00")
    open_cache(tmp_path).save(created=None)
    ours, theirs = open_cache(tmp_path), One(cache_dir=tmp_path)
    (eid,) = ours.search()
    for obj in ("trials", "spikes"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs.load_object(theirs.search()[0], obj, check_hash=False)
        found = ours.load_object(eid, obj)
        assert set(found) == set(expected)
        for name in expected:
            same(found[name], expected[name])


def test_a_collection_is_its_objects(ours: Cache) -> None:
    eid = ours.search()[0]
    found = ours.load_collection(eid, "*probe01*")
    assert set(found) == {"spikes", "clusters", "channels"}
    alone = ours.load_object(eid, "spikes", "alf/probe01/pykilosort")
    assert set(found["spikes"]) == set(alone)
    assert set(ours.load_collection(eid, "alf", object=["wheel", "licks"])) == {"wheel", "licks"}


def test_several_datasets_come_in_order(ours: Cache) -> None:
    eid = ours.search()[0]
    places = ["alf", "alf/probe01/pykilosort"]
    licks, spikes = ours.load_datasets(eid, ["licks.times", "spikes.times.npy"], places, ["2021-01-01", None])
    np.testing.assert_array_equal(licks, np.arange(9.0) + 100)
    np.testing.assert_array_equal(spikes, alffolder.trains(1, 6)[0])


class TestRevisions:
    """Of each dataset the newest up to the one asked for."""

    @pytest.mark.parametrize(
        ("asked", "first"),
        [(None, 200.0), ("2022-06-01", 200.0), ("2022-05-31", 100.0), ("2021-01-01", 100.0), ("2020", 0.0), ("9", 200.0)],
    )
    def test_it_is_chosen_as_texts_compare(self, ours: Cache, theirs: One, asked: str | None, first: float) -> None:
        eid = ours.search()[0]
        assert ours.load_object(eid, "licks", revision=asked)["times"][0] == first
        assert ours.load_dataset(eid, "licks.times.npy", revision=asked)[0] == first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert theirs.load_dataset(eid, "licks.times.npy", revision=asked)[0] == first

    def test_each_dataset_falls_back_on_its_own(self, ours: Cache) -> None:
        assert set(ours.load_object(ours.search()[0], "trials", revision="2020-01-01")) >= {"choice", "intervals"}

    def test_the_environment_names_one_for_all(self, ours: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ONE_REVISION_LAST_BEFORE", "2021-12-31")
        assert ours.load_dataset(ours.search()[0], "licks.times.npy")[0] == 100.0

    def test_the_tables_default_wins_over_the_newest(self, tabled: Path, tmp_path: Path) -> None:
        root = tmp_path / "cache"
        shutil.copytree(tabled, root)
        frame = pd.read_parquet(root / "datasets.pqt")
        frame["default_revision"] = ~frame["rel_path"].str.contains("#") & ~frame["rel_path"].str.contains("licks") | frame["rel_path"].str.contains("#2021")
        alf_trees.write(root, {"datasets": frame})
        cache, one = open_cache(root), One(cache_dir=root)
        eid = cache.search()[0]
        assert cache.load_dataset(eid, "licks.times.npy")[0] == one.load_dataset(eid, "licks.times.npy")[0] == 100.0
        frame["default_revision"] = True
        alf_trees.write(root, {"datasets": frame})
        with pytest.raises(ALFMultipleRevisionsFound, match=r"licks.times.npy has several default revisions, '', '2021-01-01', '2022-06-01'"):
            open_cache(root).load_dataset(eid, "licks.times.npy")

    def test_a_revision_that_is_not_there_leaves_nothing(self, tmp_path: Path) -> None:
        alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf" / "#2024-05-06#", licks__times=np.arange(3.0))
        cache = open_cache(tmp_path)
        eid = cache.search()[0]
        with pytest.raises(ALFObjectNotFound, match=r"no object 'licks' .*; revisions of licks are '2024-05-06', none up to '2023'$"):
            cache.load_object(eid, "licks", revision="2023")
        with pytest.raises(ALFObjectNotFound, match=r"revisions of licks.times.npy are '2024-05-06', none up to '2023'"):
            cache.load_dataset(eid, "licks.times.npy", revision="2023")

    def test_who_asked_for_it_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf" / "#2024-05-06#", licks__times=np.arange(3.0))
        cache = open_cache(tmp_path)
        monkeypatch.setenv("ONE_REVISION_LAST_BEFORE", "2023")
        for load in (lambda e: cache.load_object(e, "licks"), lambda e: cache.load_collection(e, "alf")):
            with pytest.raises(ALFObjectNotFound, match=r"are '2024-05-06', none up to '2023' \(by ONE_REVISION_LAST_BEFORE\)"):
                load(cache.search()[0])

    def test_a_path_without_the_revision_is_the_newest(self, ours: Cache, tmp_path: Path) -> None:
        for day, first in (("2023-01-01", 1.0), ("2024-05-06", 2.0)):
            alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf" / "probe00" / f"#{day}#", spikes__times=np.arange(3.0) + first)
        assert open_cache(tmp_path).load_dataset("S/2020-01-01/1", "alf/probe00/spikes.times.npy")[0] == 2.0


class TestAmbiguity:
    """What ONE raises, under its names."""

    @pytest.mark.parametrize(
        ("ask", "error", "words"),
        [
            (lambda c, e: c.load_object(e, "spikes"), ALFMultipleCollectionsFound, "spikes lies in 'alf/probe00/pykilosort', 'alf/probe01/pykilosort'"),
            (lambda c, e: c.load_object(e, "*amera*"), ALFMultipleCollectionsFound, "leftCamera lies in"),
            (lambda c, e: c.load_object(e, "[lw]*", "alf"), ALFMultipleObjectsFound, "may be 'leftCamera', 'licks', 'wheel'"),
            (lambda c, e: c.load_object(e, "spike"), ALFObjectNotFound, "no object 'spike' in any collection of session .*; it has 'body', 'channels'"),
            (lambda c, e: c.load_object(e, "spikes", "alf"), ALFObjectNotFound, "no object 'spikes' in 'alf' .*; spikes lies in 'alf/probe00/"),
            (lambda c, e: c.load_object(e, "wheel", attribute=["position", "foo"]), ALFObjectNotFound, "no attribute 'foo' of 'wheel'; there are 'position'"),
            (lambda c, e: c.load_collection(e, "alf", "wheel", attribute=["position", "foo"]), ALFObjectNotFound, "no attribute 'foo' of 'wheel'"),
            (lambda c, e: c.load_dataset(e, "spikes.times.npy", "alf"), ALFObjectNotFound, "spikes.times.npy lies in 'alf/probe00/"),
            (lambda c, e: c.load_dataset(e, "lick.time.npy"), ALFObjectNotFound, "near it there is .*'licks.times.npy'"),
            (lambda c, e: c.load_object(e, "spikes", "*00*", attribute="x"), ALFObjectNotFound, "with attribute 'x'"),
            (lambda c, e: c.load_dataset(e, "spikes.times.npy"), ALFMultipleCollectionsFound, "'spikes.times.npy' lies in"),
            (lambda c, e: c.load_dataset(e, "*wheel.*"), ALFMultipleObjectsFound, "may be 'alf/_ibl_wheel.position.npy'"),
            (lambda c, e: c.load_dataset(e, "nothing.there"), ALFObjectNotFound, "no dataset 'nothing.there'"),
            (lambda c, e: c.load_dataset(e, "alf/no.npy"), ALFObjectNotFound, "no dataset 'alf/no.npy'"),
            (lambda c, e: c.load_dataset(e, "alf/licks.times.npy", "alf"), ALFError, "a path, which names collection"),
            (lambda c, e: c.load_collection(e, "nowhere"), ALFObjectNotFound, "nothing in 'nowhere' of session .*; it has 'alf'"),
            (lambda c, e: c.load_collection(e, "alf/*"), ALFMultipleCollectionsFound, "'alf/\\*' may be"),
            (lambda c, e: c.load_datasets(e, "licks.times"), ALFError, "takes a list"),
            (lambda c, e: c.load_datasets(e, ["licks.times"], ["a", "b"]), ALFError, "1 datasets need as many"),
        ],
    )
    def test_it_is_told_by_its_name(self, ours: Cache, ask: Any, error: type[ALFError], words: str) -> None:
        with pytest.raises(error, match=words) as caught:
            ask(ours, ours.search()[0])
        assert caught.type is error

    def test_an_attribute_in_two_namespaces_is_several(self, tmp_path: Path) -> None:
        alf = alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf", I_licks__times=np.arange(3.0), licks__times=np.arange(4.0))
        assert alf.is_dir()
        cache = open_cache(tmp_path)
        with pytest.raises(ALFMultipleObjectsFound, match=r"times of licks is '_ibl_licks.times.npy', 'licks.times.npy'; say which with namespace="):
            cache.load_object("S/2020-01-01/1", "licks")
        assert len(cache.load_object("S/2020-01-01/1", "licks", namespace="ibl")["times"]) == 3
        assert len(cache.load_object("S/2020-01-01/1", "licks", namespace="")["times"]) == 4


class TestParts:
    def test_parts_are_laid_end_to_end_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        alf = alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf")
        for part in (10, 2, 1):
            np.save(alf / f"spikes.times.part{part}.npy", np.arange(3.0) + part)
        cache = open_cache(tmp_path)
        np.testing.assert_array_equal(cache.load_object("S/2020-01-01/1", "spikes")["times"], [1, 2, 3, 2, 3, 4, 10, 11, 12])

    def test_tables_on_another_clock_say_so_in_every_column(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"intervals_0": [0.0, 1.0], "intervals_1": [0.5, 1.5], "choice": [1, -1]})
        alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf", trials__table_bpod=frame)
        found = open_cache(tmp_path).load_object("S/2020-01-01/1", "trials")
        assert {k: v.shape for k, v in found.items()} == {"intervals_bpod": (2, 2), "choice_bpod": (2,)}

    def test_files_that_are_not_loaded_are_paths_each_by_its_name(self, tmp_path: Path) -> None:
        raw = alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "raw_ephys_data" / "probe00")
        for end in ("ap.cbin", "ap.ch", "lf.cbin"):
            (raw / f"_spikeglx_ephysData.imec0.{end}").write_bytes(b"x")
        found = open_cache(tmp_path).load_object("S/2020-01-01/1", "ephysData")
        assert {k: v.name.rsplit("imec0.", 1)[1] for k, v in found.items()} == {"imec0.ap": "ap.cbin", "imec0.ap.ch": "ap.ch", "imec0.lf": "lf.cbin"}

    def test_raw_files_whose_objects_have_underscores_are_datasets_too(self, ours: Cache) -> None:
        found = ours.load_object(ours.search()[0], "ephysData*", "raw_ephys_data/probe00")
        assert {k: Path(v).suffix for k, v in found.items()} == {"imec0.ap": ".cbin", "imec0.ap.ch": ".ch", "imec0.lf": ".meta"}

    def test_an_object_of_unequal_lengths_is_loaded_and_logged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf", trials__choice=np.ones(5), trials__feedback=np.ones(4))
        found = open_cache(tmp_path).load_object("S/2020-01-01/1", "trials")
        assert [len(found[k]) for k in ("choice", "feedback")] == [5, 4]
        assert "lengths differ: choice 5, feedback 4" in caplog.text

    def test_time_stamps_of_another_number_are_logged_and_intervals_between_trials_are_not(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        alf = alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf", trials__choice=np.ones(5), trials__itiDuration=np.ones(4))
        alffolder.put(alf, wheel__position=np.ones(39), wheel__timestamps=np.ones(40))
        cache = open_cache(tmp_path)
        cache.load_object("S/2020-01-01/1", "trials")
        assert not caplog.text
        assert len(cache.load_object("S/2020-01-01/1", "wheel")["timestamps"]) == 40
        assert "lengths differ: position 39, timestamps 40" in caplog.text


class TestFiles:
    def tree(self, root: Path) -> Path:
        return alffolder.put(root / "S" / "2020-01-01" / "001" / "alf", licks__times=np.arange(3.0))

    def test_paths_alone_are_had_by_asking(self, ours: Cache, theirs: One) -> None:
        eid = ours.search()[0]
        found = ours.load_object(eid, "wheel", download_only=True)
        assert sorted(found) == sorted(Path(p) for p in theirs.load_object(theirs.search()[0], "wheel", download_only=True))
        assert ours.load_dataset(eid, "*wheel.position", download_only=True).name == "_ibl_wheel.position.npy"

    def test_names_with_uuids_are_the_same_datasets(self, tmp_path: Path) -> None:
        plain, mount = self.tree(tmp_path / "plain"), self.tree(tmp_path / "mount")
        (mount / "licks.times.npy").rename(mount / f"licks.times.{uuid.uuid4()}.npy")
        ours, theirs = open_cache(tmp_path / "plain"), open_cache(tmp_path / "mount")
        pd.testing.assert_frame_equal(ours.datasets, theirs.datasets)
        np.testing.assert_array_equal(theirs.load_object("S/2020-01-01/1", "licks")["times"], np.load(plain / "licks.times.npy"))
        theirs.save(tmp_path / "plain")
        np.testing.assert_array_equal(open_cache(tmp_path / "plain").load_dataset("S/2020-01-01/1", "licks.times"), np.arange(3.0))

    def test_tables_find_files_with_the_datasets_uuid(self, tmp_path: Path) -> None:
        alf_trees.write(tmp_path, alf_trees.frames())
        name, own = alf_trees.WHEEL, alf_trees.did(0, alf_trees.WHEEL)
        path = tmp_path / "mainenlab/Subjects/ZM_1743/2019-06-14/001" / name.replace(".npy", f".{own}.npy")
        path.parent.mkdir(parents=True)
        np.save(path, np.arange(4.0))
        np.testing.assert_array_equal(open_cache(tmp_path).load_dataset(alf_trees.eid(0), "_ibl_wheel.position.npy"), np.arange(4.0))

    def test_a_table_speaks_of_files_that_are_not_here(self, listed: Path) -> None:
        cache = open_cache(listed)
        with pytest.raises(ALFObjectNotFound, match=r"trials of session .* is in the tables, but none of its files is in"):
            cache.load_object(alf_trees.eid(0), "trials")
        with pytest.raises(ALFObjectNotFound, match=r"alf/_ibl_trials.table.pqt of session .* is in the tables, but not in"):
            cache.load_dataset(alf_trees.eid(0), "_ibl_trials.table.pqt")

    def test_a_session_without_a_lab_or_with_a_short_number_is_found(self, tmp_path: Path) -> None:
        alf_trees.write(tmp_path, alf_trees.frames())
        for folder in ("ZM_1743/2019-06-14/1", "mainenlab/Subjects/ZM_2240/2020-01-22/1"):
            alffolder.put(tmp_path / folder / "alf", I_wheel__position=np.arange(4.0))
        cache = open_cache(tmp_path)
        for i in (0, 1):
            assert len(cache.load_dataset(alf_trees.eid(i), "_ibl_wheel.position.npy")) == 4

    @pytest.mark.parametrize(("change", "words"), [({"file_size": 7}, "has 152 bytes, the table says 7"), ({"hash": "0" * 32}, "does not have the MD5")])
    def test_a_file_that_is_not_the_tables_is_refused(self, tmp_path: Path, change: dict[str, Any], words: str) -> None:
        self.tree(tmp_path)
        walked = open_cache(tmp_path)
        walked.save()
        alf_trees.write(tmp_path, {"datasets": walked.datasets.assign(**change).astype({"file_size": "UInt64"})})
        cache = open_cache(tmp_path)
        with pytest.raises(UnreadableFile, match=words):
            cache.load_object("S/2020-01-01/1", "licks")
        if "hash" in change:
            assert len(cache.load_object("S/2020-01-01/1", "licks", check_hash=False)["times"]) == 3

    def test_a_file_that_is_gone_is_told_and_a_new_index_forgets_it(self, tmp_path: Path) -> None:
        alf = alffolder.put(self.tree(tmp_path), licks__counts=np.arange(3))
        open_cache(tmp_path).save()
        (alf / "licks.counts.npy").unlink()
        cache = open_cache(tmp_path)
        for load in (lambda: cache.load_object("S/2020-01-01/1", "licks"), lambda: cache.load_collection("S/2020-01-01/1", "alf")):
            with pytest.raises(ALFObjectNotFound, match=r"'alf/licks.counts.npy' of session .* is in the tables, but not in .*one index .*attribute="):
                load()
        assert set(cache.load_object("S/2020-01-01/1", "licks", attribute="times")) == {"times"}
        cache.renew()
        assert set(cache.load_object("S/2020-01-01/1", "licks")) == {"times"}

    def test_a_file_that_came_after_the_tables_is_told_and_a_new_index_has_it(self, tmp_path: Path) -> None:
        alf = self.tree(tmp_path)
        open_cache(tmp_path).save()
        alffolder.put(alf, wheel__position=np.arange(3.0))
        cache = open_cache(tmp_path)
        for load in (lambda: cache.load_object("S/2020-01-01/1", "wheel"), lambda: cache.load_dataset("S/2020-01-01/1", "wheel.position.npy")):
            with pytest.raises(ALFObjectNotFound, match=r"'alf/wheel.position.npy' lies there, but not in the tables, .* one index .* renews them"):
                load()
        cache.renew()
        assert set(cache.load_object("S/2020-01-01/1", "wheel")) == {"position"}

    def test_the_hash_of_the_file_passes(self, tmp_path: Path) -> None:
        import hashlib

        alf = self.tree(tmp_path)
        walked = open_cache(tmp_path)
        walked.save()
        for kind in ("md5", "sha1"):
            own = hashlib.new(kind, (alf / "licks.times.npy").read_bytes()).hexdigest()
            alf_trees.write(tmp_path, {"datasets": walked.datasets.assign(hash=own)})
            assert len(open_cache(tmp_path).load_object("S/2020-01-01/1", "licks")["times"]) == 3

    @pytest.mark.parametrize("path", ["../../../../secret.times.npy", "/etc/secret.times.npy", "alf/../../x.times.npy"])
    def test_a_table_cannot_lead_out_of_the_folder(self, tmp_path: Path, path: str) -> None:
        tables = alf_trees.frames()
        tables["datasets"] = tables["datasets"].loc[[alf_trees.eid(0)]].iloc[:1].assign(rel_path=path)
        cache = open_cache(alf_trees.write(tmp_path, tables))
        with pytest.raises(ALFError, match="would leave its session"):
            cache.load_dataset(alf_trees.eid(0), path)

    def test_python_objects_are_never_unpickled(self, tmp_path: Path) -> None:
        alf = self.tree(tmp_path)
        np.save(alf / "licks.times.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(UnreadableFile, match="Python objects"):
            open_cache(tmp_path).load_object("S/2020-01-01/1", "licks")

    @pytest.mark.parametrize("name", ["a.b.npy", "a.b.pqt", "a.b.csv", "a.b.json"])
    def test_a_damaged_file_is_named(self, tmp_path: Path, name: str) -> None:
        alf = self.tree(tmp_path)
        (alf / name).write_bytes(b"\x93NUMPY" if name.endswith("npy") else b'"a,b\n{')
        with pytest.raises(UnreadableFile, match=name):
            open_cache(tmp_path).load_dataset("S/2020-01-01/1", name)


def test_a_read_only_folder_will_do_and_nothing_is_written(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(made, root)
    before = sorted(root.rglob("*"))
    for folder in [root, *(p for p in before if p.is_dir())]:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        cache = open_cache(root)
        assert set(cache.load_object(cache.search()[0], "wheel")) == {"position", "timestamps"}
        assert sorted(root.rglob("*")) == before
        if os.getuid():  # the superuser may write anywhere
            with pytest.raises(ALFError, match="cannot be written"):
                cache.save()
    finally:
        for folder in [root, *(p for p in before if p.is_dir())]:
            folder.chmod(stat.S_IRWXU)
