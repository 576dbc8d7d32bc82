"""What rodent recordings hold beside their spikes: verdicts on units, unobserved and invalid time, trials."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import made_rodent_allen
import made_rodent_long  # noqa: F401
import made_rodent_own  # noqa: F401
import made_rodent_task
import numpy as np
import pytest
from making import MAKERS

import neuropile
from neuropile import recipes
from neuropile.building import add_recording
from neuropile.recipes import plans, selected
from neuropile.types import Asset
from neuropile.writing import Provenance


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset's files and what they are known to hold, written once."""
    written = {}

    def _made(key):
        if key not in written:
            folder = tmp_path_factory.mktemp(key)
            written[key] = (folder, MAKERS[key](folder))
        return written[key]

    return _made


def planned(recipe, folder):
    paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return plans(selected([Asset(p, None, None) for p in paths], (*recipe.select, *recipe.shared), recipe.leave_out), recipe)


def source(plan, folder, tmp_path) -> Path:
    """What a reader is given: the file, or a folder of just this session's files."""
    if len(plan.assets) == 1:
        return folder / plan.assets[0].path
    for asset in plan.assets:
        (tmp_path / plan.session_id / asset.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / asset.path, tmp_path / plan.session_id / asset.path)
    return tmp_path / plan.session_id


def stored(reader, plan, folder, tmp_path, store):
    with reader(source(plan, folder, tmp_path)) as recording:
        add_recording(store, replace(recording, session_id=plan.session_id), Provenance("made", (), repr(reader)))
    return store[f"made/{plan.session_id}"]


@pytest.fixture
def session_of(made, tmp_path):
    """A stored session of a dataset, by the end of its name."""

    def _session_of(key, name):
        folder, _ = made(key)
        recipe = recipes.load(key)
        (plan,) = [p for p in planned(recipe, folder) if p.session_id.endswith(name)]
        return stored(recipe.reader, plan, folder, tmp_path, neuropile.create_store(tmp_path / "one"))

    return _session_of


@pytest.mark.parametrize(
    ("key", "name", "quality"),
    [
        ("vcn", "715093703", ["good", None, "noise", None, "good", "noise", "good"]),
        ("ibl", made_rodent_task.EIDS[1], ["good", None, "noise", "mua"]),
        ("petersen", "ecephys", ["good", "mua", "noise", "good", "noise"]),
        ("steinmetz", "Cori_ses-20161214T120000", ["good", "mua", None, "good", "noise"]),
        ("prince", "ecephys", ["good", "mua", "noise"]),
        ("finkelstein", "ogen", ["good", None, "mua", "good"]),
        ("li", "ecephys", ["good", "good", None]),
        ("iurilli", "ecephys", ["good", "mua", "noise", "good"]),
        ("gonzalez", "T3g-20180702", [None, "mua", None]),
    ],
)
def test_each_labs_verdict_becomes_one_word(session_of, key, name, quality):
    assert session_of(key, name).unit_table.column("quality").to_pylist() == quality


@pytest.mark.parametrize(("key", "name"), [("finkelstein", "ogen"), ("li", "ecephys")])
def test_units_of_trials_are_observed_in_their_own_trials_only(session_of, key, name):
    observed = session_of(key, name).observed
    for unit, spans in enumerate(made_rodent_task.OBSERVED[: 4 if key == "finkelstein" else 3]):
        np.testing.assert_allclose(observed.of(unit) / 100_000, spans)


def test_a_probes_invalid_time_is_taken_out_of_its_own_units(session_of):
    """The other rows of that file speak of what was shown."""
    session = session_of("vcn", "719161530")
    for unit, probe in enumerate(session.unit_table.column("probe").to_pylist()):
        holes = session.observed.of(unit)[:-1, 1].tolist()
        assert holes == ([2_200_000] if probe == "probeB" else [])


def test_a_probe_that_ends_early_is_not_observed_after_that(session_of):
    session = session_of("lemerre", "20230620")
    assert session.unit_table.column("probe").to_pylist() == ["probe0"] * 3 + ["probe1"] * 2
    assert [session.observed.of(u)[-1, 1] / 100_000 for u in range(5)] == [40.0] * 3 + [25.0] * 2


def test_what_upstream_keeps_as_silence_is_marked_as_not_observed(session_of):
    counts = session_of("li", "ecephys").counts(bin_width=0.02, start=0, stop=30)
    mask = counts.coords["unit_observed"].values
    for unit, spans in enumerate(made_rodent_task.OBSERVED[:3]):
        whole = np.zeros(1500, bool)
        for start, stop in spans:
            whole[round(start * 50) : round(stop * 50)] = True
        np.testing.assert_array_equal(mask[unit], whole)


def test_trials_have_their_contrasts_and_times_by_our_names(session_of):
    trials = session_of("steinmetz", "Cori_ses-20161214T120000").trials
    assert trials[["stim_on_s", "contrast_left", "contrast_right"]].to_numpy().tolist() == [[2.5, 0.5, 0.0], [8.5, 0.0, 1.0], [14.5, 1.0, 0.0]]


def test_invalid_time_of_the_stimulus_marks_presentations_and_no_spikes(session_of):
    session = session_of("vcn", "715093703")
    shown = session.intervals["presentations"]
    assert sorted(shown["stimulus"].unique()) == sorted(name.removesuffix("_presentations") for name in made_rodent_allen.CODING)
    assert shown["src_in_invalid_time"].tolist() == [(a < 31.0 and b > 30.0) for a, b in zip(shown["start_s"], shown["stop_s"], strict=True)]
    assert session.observed.of(0)[:-1, 1].tolist() == [2_050_000]
