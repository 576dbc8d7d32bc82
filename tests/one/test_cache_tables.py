"""ONE's tables in all their forms, and the folder walked where there are none."""

from __future__ import annotations

import datetime
import json
import shutil
import struct
import uuid
from pathlib import Path
from typing import Any

import alf_trees
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iblutil.io import parquet as iblutil_parquet
from one.api import One
from readers import alffolder

from neuropile.errors import NeuropileError
from neuropile.one import ALFError, ids, open_cache


class TestIds:
    @settings(max_examples=25)
    @given(st.lists(st.uuids(), min_size=1, max_size=5))
    def test_pairs_of_numbers_are_the_uuids_that_one_makes_of_them(self, made: list[uuid.UUID]) -> None:
        pairs = np.array([struct.unpack("<qq", u.bytes) for u in made])
        assert ids.from_int64(pairs[:, 0], pairs[:, 1]) == [str(u) for u in made]
        assert ids.from_int64(pairs[:, 0], pairs[:, 1]) == list(np.atleast_1d(iblutil_parquet.np2str(pairs)))

    def test_an_id_of_a_path_never_changes(self) -> None:
        assert ids.of_path("mainenlab/Subjects/ZM_1743/2019-06-14/001") == str(
            uuid.uuid5(uuid.UUID("6f3d7c52-1c1b-5f0e-9a43-0d1e5b1f6a20"), "mainenlab/Subjects/ZM_1743/2019-06-14/001")
        )


def as_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """A table as ONE wrote it before 2023: ids as pairs of int64."""
    table = frame.reset_index()
    for name in frame.index.names:
        pairs = np.array([struct.unpack("<qq", uuid.UUID(v).bytes) for v in table.pop(name)])
        table[f"{name}_0"], table[f"{name}_1"] = pairs.T
    return table.set_index([f"{n}_{i}" for n in frame.index.names for i in (0, 1)])


class TestOlderTables:
    def test_ids_as_numbers_and_a_project_are_put_right(self, tmp_path: Path) -> None:
        tables = alf_trees.frames()
        old = {"sessions": tables["sessions"].rename(columns={"projects": "project"}), "datasets": tables["datasets"].drop(columns="qc")}
        told = {"date_created": "2022-01-01 00:00", "origin": "alyx"}
        alf_trees.write(tmp_path / "old", {n: as_pairs(t) for n, t in old.items()}, told)
        cache, one = open_cache(tmp_path / "old"), One(cache_dir=tmp_path / "old")
        assert cache.metadata["sessions"] == told
        assert sorted(cache.search(projects="practice")) == [str(e) for e in one.search(projects="practice")] == [alf_trees.eid(3)]
        assert cache.list_datasets(alf_trees.eid(0)) == one.list_datasets(alf_trees.eid(0))
        assert set(cache.datasets["qc"]) == {"NOT_SET"}

    def test_columns_that_are_missing_are_filled(self, tmp_path: Path) -> None:
        tables = alf_trees.frames()
        short = {"sessions": tables["sessions"][["subject", "date", "number"]], "datasets": tables["datasets"][["rel_path"]]}
        cache = open_cache(alf_trees.write(tmp_path, short))
        assert set(cache.search(lab="^$")) == set(tables["sessions"].index)
        assert cache.datasets["exists"].all()
        assert cache.insertions.empty

    def test_an_index_that_was_a_column_or_has_no_order_is_the_same(self, tmp_path: Path) -> None:
        tables = alf_trees.frames()
        alf_trees.write(tmp_path / "a", tables)
        alf_trees.write(tmp_path / "b", {n: t.iloc[::-1].reset_index() for n, t in tables.items()})
        a, b = open_cache(tmp_path / "a"), open_cache(tmp_path / "b")
        for name in ("sessions", "datasets", "insertions"):
            pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))

    @pytest.mark.parametrize("kind", [str, pd.Timestamp, datetime.date.fromisoformat])
    def test_a_date_is_a_date_however_it_was_kept(self, tmp_path: Path, kind: Any) -> None:
        tables = alf_trees.frames()
        tables["sessions"]["date"] = [kind(str(d)) for d in tables["sessions"]["date"]]
        assert open_cache(alf_trees.write(tmp_path, tables)).search(date="2019-06-14") == [alf_trees.eid(0)]

    def test_quality_is_an_ordered_category(self, listed: Path) -> None:
        quality = open_cache(listed).datasets["qc"].cat
        assert quality.ordered
        assert quality.categories.tolist() == ["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"]

    def test_missing_sizes_stay_missing(self, tmp_path: Path) -> None:
        tables = alf_trees.frames()
        tables["datasets"]["file_size"] = pd.array([None, *range(1, len(tables["datasets"]))], dtype="UInt64")
        assert open_cache(alf_trees.write(tmp_path, tables)).datasets["file_size"].isna().sum() == 1


class TestBadTables:
    def test_a_foreign_parquet_file_is_named(self, listed: Path, tmp_path: Path) -> None:
        shutil.copytree(listed, tmp_path / "c")
        pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "c" / "clusters.pqt")
        with pytest.raises(ALFError, match=r"clusters.pqt lies among the tables and is none .* move it elsewhere"):
            open_cache(tmp_path / "c")

    def test_a_foreign_parquet_file_without_tables_is_named_too(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made, tmp_path / "c")
        pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "c" / "mine.pqt")
        with pytest.raises(ALFError, match=r"mine\.pqt"):
            open_cache(tmp_path / "c")

    def test_a_table_of_ones_own_under_another_name_is_left_alone(self, listed: Path, tmp_path: Path) -> None:
        shutil.copytree(listed, tmp_path / "c")
        alf_trees.write(tmp_path / "c", {"aggregates": pd.DataFrame({"a": [1]})})
        assert len(open_cache(tmp_path / "c").sessions) == 6

    @pytest.mark.parametrize("name", ["sessions", "datasets", "insertions"])
    def test_a_foreign_file_under_a_tables_name_is_named(self, tmp_path: Path, name: str) -> None:
        alf_trees.write(tmp_path, alf_trees.frames())
        pd.DataFrame({"colour": ["red"], "id": ["x"]}).to_parquet(tmp_path / f"{name}.pqt")
        with pytest.raises(ALFError, match=rf"{name}.pqt is no table of {name}: it lacks .* \(it has colour, id\)"):
            open_cache(tmp_path)

    @pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all", "cut"])
    def test_a_damaged_table_is_named(self, tmp_path: Path, data: Any) -> None:
        alf_trees.write(tmp_path, alf_trees.frames())
        path = tmp_path / "sessions.pqt"
        path.write_bytes(path.read_bytes()[:-50] if data == "cut" else data)
        with pytest.raises(ALFError, match=r"sessions.pqt is not a readable Parquet file"):
            open_cache(tmp_path)

    def test_one_table_without_the_other_is_named(self, tmp_path: Path) -> None:
        alf_trees.write(tmp_path, {"datasets": alf_trees.frames()["datasets"]})
        with pytest.raises(ALFError, match=r"holds datasets.pqt without sessions.pqt"):
            open_cache(tmp_path)

    def test_a_session_twice_is_named(self, tmp_path: Path) -> None:
        tables = alf_trees.frames()
        tables["sessions"] = pd.concat([tables["sessions"], tables["sessions"].iloc[:1]])
        with pytest.raises(ALFError, match=r"lists session .* twice"):
            open_cache(alf_trees.write(tmp_path, tables))

    @pytest.mark.parametrize("values", [{"date": "someday"}, {"number": -1}, {"number": "x"}])
    def test_a_column_that_holds_something_else_is_told(self, tmp_path: Path, values: dict[str, Any]) -> None:
        tables = alf_trees.frames()
        tables["sessions"] = tables["sessions"].assign(**values)
        with pytest.raises(ALFError, match=r"sessions.pqt does not hold what a table of sessions holds"):
            open_cache(alf_trees.write(tmp_path, tables))

    def test_a_table_that_one_would_ignore_says_so(self, tmp_path: Path) -> None:
        cache = open_cache(alf_trees.write(tmp_path, alf_trees.frames(), {}))
        assert cache.notes == tuple(f"{n}.pqt does not say when it was made: ONE would ignore it" for n in ("sessions", "datasets", "insertions"))

    def test_a_table_of_absurd_length_is_refused(self, tmp_path: Path) -> None:
        alf_trees.write(tmp_path, alf_trees.frames())
        n = 4_000_000
        table = pa.table({"id": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array(["x"]))})
        pq.write_table(table, tmp_path / "sessions.pqt", compression="zstd")
        with pytest.raises(ALFError, match="announces 4000000 rows in"):
            open_cache(tmp_path)

    def test_a_session_cannot_lie_outside_the_folder(self, tmp_path: Path) -> None:
        tables = alf_trees.frames()
        tables["sessions"] = tables["sessions"].assign(session_path="../../elsewhere")
        with pytest.raises(ALFError, match="would leave"):
            open_cache(alf_trees.write(tmp_path, tables)).eid2path(alf_trees.eid(0))

    @settings(max_examples=40)
    @given(
        name=st.sampled_from(["sessions", "datasets", "insertions"]), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=5)
    )
    def test_flipped_bytes_are_an_error_of_ours_or_other_values(self, listed: Path, tmp_path_factory: Any, name: str, flips: list[tuple[float, int]]) -> None:
        root = tmp_path_factory.mktemp("flipped") / "c"
        shutil.copytree(listed, root)
        data = bytearray((root / f"{name}.pqt").read_bytes())
        for where, value in flips:
            data[int(where * (len(data) - 1))] = value
        (root / f"{name}.pqt").write_bytes(bytes(data))
        try:
            cache = open_cache(root)
            cache.search(subject="ZM", datasets=".*times.*")
            cache.list_datasets()
        except NeuropileError:
            pass

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ALFError, match="no such folder"):
            open_cache(tmp_path / "nothing")


class TestWalking:
    def test_it_finds_the_datasets_that_ones_indexer_finds(self, made: Path, tabled: Path) -> None:
        walked, indexed = open_cache(made), open_cache(tabled)
        assert not walked.indexed
        assert indexed.indexed
        assert walked.list_datasets() == indexed.list_datasets()
        columns = ["lab", "subject", "date", "number", "task_protocol", "projects"]
        assert walked.sessions[columns].to_numpy().tolist() == indexed.sessions[columns].to_numpy().tolist()
        assert walked.datasets.set_index("rel_path")["file_size"].to_dict() == indexed.datasets.set_index("rel_path")["file_size"].to_dict()
        assert sorted(walked.insertions["name"]) == ["probe00", "probe01"]

    def test_ids_stay_when_it_is_walked_again_elsewhere(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made, tmp_path / "x" / "y")
        for name in ("sessions", "datasets", "insertions"):
            pd.testing.assert_frame_equal(getattr(open_cache(made), name), getattr(open_cache(tmp_path / "x" / "y"), name))

    def test_a_number_with_and_without_zeros_is_one_session(self, tmp_path: Path) -> None:
        for root, number in (("a", "1"), ("b", "001"), ("c", "01")):
            alffolder.put(tmp_path / root / "S" / "2020-01-01" / number / "alf", licks__times=np.arange(3.0))
        found = [open_cache(tmp_path / r) for r in "abc"]
        assert found[0].search() == found[1].search() == found[2].search()
        assert [c.eid2path(c.search()[0]).name for c in found] == ["1", "001", "01"]
        assert [len(c.load_dataset("S/2020-01-01/001", "licks.times")) for c in found] == [3, 3, 3]

    def test_the_folder_may_be_a_lab_a_subject_or_a_session(self, made: Path) -> None:
        whole = open_cache(made)
        for below in ("testlab/Subjects", "testlab/Subjects/KS023", "testlab/Subjects/KS023/2019-12-10/001"):
            part = open_cache(made / below)
            assert part.search() == whole.search()
            assert part.list_datasets() == whole.list_datasets()
            assert set(part.load_object(part.search()[0], "wheel")) == {"position", "timestamps"}

    def test_links_that_leave_the_folder_are_not_followed(self, tmp_path: Path) -> None:
        alf = alffolder.put(tmp_path / "root" / "S" / "2020-01-01" / "001" / "alf", licks__times=np.arange(3.0))
        np.save(tmp_path / "secret.npy", np.arange(5.0))
        (alf / "spikes.times.npy").symlink_to(tmp_path / "secret.npy")
        (alf / "licks.copies.npy").symlink_to(alf / "licks.times.npy")
        cache = open_cache(tmp_path / "root")
        assert cache.list_datasets() == ["alf/licks.copies.npy", "alf/licks.times.npy"]

    def test_an_empty_folder_is_an_empty_cache(self, tmp_path: Path) -> None:
        cache = open_cache(tmp_path)
        assert (cache.search(), cache.search(datasets="x"), cache.list_datasets(), cache.list_subjects()) == ([], [], [], [])


class TestSaving:
    def test_one_reads_what_is_saved(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made, tmp_path / "c")
        walked = open_cache(tmp_path / "c")
        written = walked.save(created=datetime.datetime(2026, 1, 2, 3, 4))
        assert [p.name for p in written] == ["sessions.pqt", "datasets.pqt", "insertions.pqt"]
        told = json.loads(pq.read_schema(written[0]).metadata[b"one_metadata"])
        assert told == {"date_created": "2026-01-02 03:04", "origin": str(tmp_path / "c"), "min_api_version": "2.7.0"}
        one = One(cache_dir=tmp_path / "c")
        assert [str(e) for e in one.search()] == walked.search()
        assert sorted(one.list_datasets(walked.search()[0])) == walked.list_datasets()
        np.testing.assert_array_equal(one.load_object(walked.search()[0], "wheel")["position"], np.arange(9.0) / 3)

    def test_what_is_saved_is_read_back(self, made: Path, tmp_path: Path) -> None:
        shutil.copytree(made, tmp_path / "c")
        walked = open_cache(tmp_path / "c")
        walked.save()
        again = open_cache(tmp_path / "c")
        assert again.indexed
        pd.testing.assert_frame_equal(again.sessions, walked.sessions.drop(columns="session_path"))
        for name in ("datasets", "insertions"):
            pd.testing.assert_frame_equal(getattr(again, name), getattr(walked, name))

    def test_it_goes_elsewhere_when_told(self, made: Path, tmp_path: Path) -> None:
        before = sorted(made.rglob("*"))
        open_cache(made).save(tmp_path)
        assert sorted(made.rglob("*")) == before
        assert sorted(p.name for p in tmp_path.iterdir()) == ["datasets.pqt", "insertions.pqt", "sessions.pqt"]


class TestRenewing:
    """Tables that are older than what lies there."""

    def test_ids_and_qualities_of_a_database_stay(self, tmp_path: Path) -> None:
        alf_trees.write(tmp_path, alf_trees.frames())
        home = tmp_path / "mainenlab" / "Subjects" / "ZM_1743" / "2019-06-14" / "001"
        alffolder.put(home / "alf", I_wheel__position=np.arange(4.0), licks__times=np.arange(3.0))
        alffolder.put(tmp_path / "new" / "2022-01-01" / "001" / "alf" / "probe00", spikes__times=np.arange(3.0))
        cache = open_cache(tmp_path)
        before = cache.datasets
        cache.renew()
        assert set(cache.search()) == {*(alf_trees.eid(i) for i in range(6)), cache.to_eid("new/2022-01-01/1")}
        own = cache.datasets.loc[alf_trees.eid(0)].reset_index().set_index("rel_path")
        assert own["exists"].to_dict() == {alf_trees.TRIALS: False, alf_trees.SPIKES: False, alf_trees.WHEEL: True, "alf/licks.times.npy": True}
        assert own.loc[alf_trees.WHEEL, "id"] == alf_trees.did(0, alf_trees.WHEEL)
        assert own.loc[alf_trees.WHEEL, "file_size"] == (home / alf_trees.WHEEL).stat().st_size
        pd.testing.assert_frame_equal(cache.datasets.loc[[alf_trees.eid(2)]], before.loc[[alf_trees.eid(2)]])
        assert cache.eid2pid("new/2022-01-01/1")[1] == ["probe00"]
        cache.save()
        assert open_cache(tmp_path).datasets["exists"].sum() == cache.datasets["exists"].sum()

    def test_tables_of_a_walk_become_those_of_another(self, tmp_path: Path) -> None:
        gone = alffolder.put(tmp_path / "S" / "2020-01-01" / "001" / "alf", licks__times=np.arange(3.0))
        open_cache(tmp_path).save()
        shutil.rmtree(gone.parent)
        alf_trees.session(tmp_path)
        cache = open_cache(tmp_path)
        cache.renew()
        cache.save(tmp_path / "a")
        for name in ("sessions", "datasets", "insertions"):
            (tmp_path / f"{name}.pqt").unlink()
        open_cache(tmp_path).save(tmp_path / "b")
        a, b = open_cache(tmp_path / "a"), open_cache(tmp_path / "b")
        for name in ("sessions", "datasets", "insertions"):
            pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
