"""The commands of `neuropile one`, told to people and to programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from archives.servers_one import one_serving, serve_folder
from one.api import One
from test_inclusion import CA1, VISP5, freeze, trials, units
from typer.testing import CliRunner

from neuropile.cli.one import app
from neuropile.errors import ArchiveError, NeuropileError, UnreadableFile
from neuropile.one import ALFError, ALFMultipleCollectionsFound, ALFObjectNotFound, open_cache, remote
from neuropile.store import create_store


def run(*args: object) -> Any:
    done = CliRunner().invoke(app, [str(a) for a in args])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def answer(*args: object) -> Any:
    return json.loads(run(*args, "--json").stdout)


class TestSearch:
    def test_a_cache_is_searched_by_ones_keywords(self, listed: Path) -> None:
        cache = open_cache(listed)
        for options, asked in (
            ((), {}),
            (("--subject", "ZM"), {"subject": "ZM"}),
            (("--subject", "ZM_17", "--subject", "MFD"), {"subject": ["ZM_17", "MFD"]}),
            (("--lab", "churchlandlab$", "--number", 2), {"lab": "churchlandlab$", "number": 2}),
            (("--date", "2020-02-25..2021-07-27"), {"date_range": ("2020-02-25", "2021-07-27")}),
            (("--date", "2021-07-27.."), {"date_range": ("2021-07-27", None)}),
            (("--date", "2019-06-14"), {"date_range": "2019-06-14"}),
            (("--datasets", "_ibl_trials.table.pqt", "--qc", "WARNING"), {"datasets": ["_ibl_trials.table.pqt"], "dataset_qc_lte": "WARNING"}),
            (("--projects", "practice"), {"projects": "practice"}),
            (("--task-protocol", "ephys"), {"task": "ephys"}),
        ):
            assert [s["id"] for s in answer("search", listed, *options)["sessions"]] == cache.search(**asked)

    def test_people_see_a_table(self, listed: Path) -> None:
        shown = run("search", listed, "--subject", "ZM_1743").stdout
        assert "mainenlab" in shown
        assert "1 sessions" in shown

    def test_without_a_cache_the_database_is_asked(self, made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with one_serving() as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            serve_folder(server, made)
            (found,) = answer("search", "--subject", "ks023")["sessions"]
            assert (found["lab"], found["date"]) == ("testlab", "2019-12-10")
            told = answer("fetch", found["id"], tmp_path / "c", "--datasets", "alf/*wheel*")
            assert {Path(f).name for f in told["files"]} == {"_ibl_wheel.position.npy", "_ibl_wheel.timestamps.npy"}
            assert "position" in run("load", tmp_path / "c", found["id"], "wheel").stdout

    def test_what_is_near_a_name_that_none_has_is_told(self, tabled: Path) -> None:
        for asked, near in (
            ("spikes.time", "spikes.times.npy"),
            ("alf/probe00/spikes.times.npy", "spikes.times.npy"),
            ("wheel.position.npy", "_ibl_wheel.pos"),
        ):
            done = run("search", tabled, "--datasets", asked)
            assert "0 sessions" in done.stdout
            assert f"no file is called {asked!r}" in done.stderr
            assert f"near it there is '{near}" in done.stderr

    def test_without_a_network_a_folder_is_offered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_: Any, **__: Any) -> None:
            raise ArchiveError("no answer")

        monkeypatch.setattr(remote, "search", fails)
        with pytest.raises(ArchiveError, match="no answer; a folder of sessions on this disk is searched by naming it"):
            run("search", "--subject", "KS")


@pytest.mark.parametrize("args", [("search",), ("index",), ("list",)])
def test_a_folder_without_sessions_is_an_error(args: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ALFError, match="no sessions lab/Subjects/subject/date/number below"):
        run(*args, tmp_path)
    assert not list(tmp_path.iterdir())
    create_store(tmp_path / "store")
    with pytest.raises(ALFError, match=r"is a neuropile store, .* neuropile search"):
        run(*args, tmp_path / "store")


def test_datasets_are_listed_with_size_and_quality(tabled: Path) -> None:
    told = answer("list", tabled, "--session", "KS023/2019-12-10/1", "--filename", "*wheel*", "--collection", "alf")
    assert [d["dataset"] for d in told["datasets"]] == ["alf/_ibl_wheel.position.npy", "alf/_ibl_wheel.timestamps.npy"]
    assert [(d["bytes"], d["exists"], d["qc"]) for d in told["datasets"]] == [(200, True, "NOT_SET"), (160, True, "NOT_SET")]
    assert "2 datasets" in run("list", tabled, "--filename", "*wheel*").stdout
    assert answer("list", tabled, "--revision", "2021*")["datasets"][0]["dataset"] == "alf/#2021-01-01#/licks.times.npy"


def test_an_object_is_told_and_kept(tabled: Path, tmp_path: Path) -> None:
    told = answer("load", tabled, "KS023/2019-12-10/1", "wheel", "--out", tmp_path / "w.npz")
    assert {a["name"]: (a["type"], a["shape"]) for a in told["attributes"]} == {"position": ("float64", [9]), "timestamps": ("float64", [9])}
    with np.load(tmp_path / "w.npz", allow_pickle=False) as kept:
        np.testing.assert_array_equal(kept["timestamps"], np.arange(9.0) * 2 + 10)
    assert [a["name"] for a in answer("load", tabled, "KS023/2019-12-10/1", "wheel", "--attribute", "pos*")["attributes"]] == ["position"]
    assert answer("load", tabled, "KS023/2019-12-10/1", "licks", "--revision", "2021-12-31")["attributes"][0]["first"] == [100.0, 101.0, 102.0]
    with pytest.raises(NeuropileError, match=r"kept as .npz, which .*w.csv does not end in; name it w.npz"):
        run("load", tabled, "KS023/2019-12-10/1", "wheel", "--out", tmp_path / "w.csv")
    with pytest.raises(ALFObjectNotFound, match="no attribute 'foo' of 'wheel'"):
        run("load", tabled, "KS023/2019-12-10/1", "wheel", "--attribute", "position", "--attribute", "foo")
    with pytest.raises(ALFMultipleCollectionsFound):
        run("load", tabled, "KS023/2019-12-10/1", "spikes")


def test_an_index_is_what_one_reads(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "c")
    assert answer("index", tmp_path / "c")["n_sessions"] == 1
    assert len(One(cache_dir=tmp_path / "c").search()) == 1
    next((tmp_path / "c").rglob("_ibl_wheel.position.npy")).unlink()
    told = answer("index", tmp_path / "c")["n_datasets"]
    assert told == len(open_cache(made).datasets) - 1
    before = sorted(made.rglob("*"))
    run("index", made, "--out", tmp_path)
    assert sorted(made.rglob("*")) == before


class TestInclude:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        tables = {"t.pqt": pd.concat([trials(500, e, feedbackType=np.where(np.arange(500) % 20, 1.0, -1.0)) for e in "ab"])}
        tables["u.pqt"] = units(("a", CA1, 1.0, 6), ("b", CA1, 1.0, 12), ("b", VISP5, 1.0, 12), ("a", CA1, 0.5, 1))
        for name, table in tables.items():
            table.to_parquet(tmp_path / name)
        freeze("a", "b").assign(subject="S", lab="L").to_csv(tmp_path / "f.csv")
        return tmp_path

    def test_it_tells_what_each_rule_removed(self, files: Path) -> None:
        told = answer("include", "--sessions", files / "f.csv", "--trials", files / "t.pqt", "--units", files / "u.pqt", "--out", files / "kept")
        removed = {r["rule"]: r["removed_units"] for r in told["report"] if r["removed_units"]}
        assert removed == {"label at least 1": 1, "at least 2 such sessions of the region": 12}
        assert told["given"] == {"insertions": 2, "sessions": 2, "subjects": 1, "labs": 1, "with_one_probe": 2, "with_two_probes": 0, "with_more": 0}
        assert len(pd.read_parquet(files / "kept" / "units.pqt")) == 18
        assert next(r["why"] for r in told["report"] if not r["applied"]) == "the sessions have no column projects"

    def test_rules_are_given_by_name(self, files: Path) -> None:
        options = ("--rule", "min_units=10", "--rule", "min_sessions=1", "--rule", "min_label=none")
        told = answer("include", "--sessions", files / "f.csv", "--units", files / "u.pqt", *options)
        assert told["rules"]["min_units"] == 10
        assert told["report"][-1]["left_units"] == 24
        assert told["report"][-1]["left_trials"] is None
        shown = run("include", "--sessions", files / "f.csv", "--units", files / "u.pqt", *options)
        assert "at least 10 units of the region in the session" in shown.stdout
        assert "not applied: at least 3 errors" in shown.stderr

    def test_what_does_not_serve_is_told(self, files: Path) -> None:
        with pytest.raises(NeuropileError, match="name=value"):
            run("include", "--sessions", files / "f.csv", "--rule", "min_units")
        with pytest.raises(UnreadableFile, match=r"none.csv: no such file"):
            run("include", "--sessions", files / "none.csv")
        (files / "text.txt").write_text("x")
        with pytest.raises(UnreadableFile, match=r"text.txt holds no table"):
            run("include", "--sessions", files / "text.txt")


def test_every_command_shows_an_example() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        assert "Example: neuropile one" in (command.callback.__doc__ or "")
