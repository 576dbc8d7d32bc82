"""Datasets from Python, as from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from archives.servers_dandi import dandi_serving

import neuropile
from neuropile import datasets, recipes, testing
from neuropile.builds import Options
from neuropile.errors import NeuropileError
from neuropile.planning import Wish


def test_a_dataset_is_built_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = testing.store(tmp_path / "made", [testing.recording(i, n_units=3, duration_s=9.0) for i in range(2)])
    for i, session in enumerate(made.values()):
        (tmp_path / "files" / f"sub-{i}").mkdir(parents=True)
        session.to_nwb(tmp_path / "files" / f"sub-{i}" / f"sub-{i}.nwb")
    with dandi_serving() as state:
        state.add_dandiset(tmp_path / "files", "000231", "draft")
        monkeypatch.setenv("NEUROPILE_DANDI_URL", state.api)
        options = Options(tmp_path / "cache")
        (report,) = neuropile.build("dandi:000231", tmp_path / "store", wish=Wish(limit=1), options=options)
        assert (report.row()["stored"], [o.status for o in report.outcomes]) == (1, ["stored"])
        (report,) = neuropile.build(["dandi:000231"], neuropile.open_store(tmp_path / "store"), options=options)
        assert [o.status for o in report.outcomes] == ["present", "stored"]
    assert len(neuropile.open_store(tmp_path / "store")) == 2


def test_what_is_no_dataset_is_told_and_no_store_made(tmp_path: Path) -> None:
    with pytest.raises(NeuropileError, match="did you mean 'lemerre'"):
        neuropile.build("lemere", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_the_catalogue_is_a_table() -> None:
    table = datasets.catalogue()
    assert sorted(table.index) == recipes.every_key()
    assert table.loc["steinmetz", "tokens"] == 7_881_422_592
