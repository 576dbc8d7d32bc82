"""The rodent datasets, made small: the recipe's reader and the published scripts' way, straight from a folder of the archive's files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import made_rodent_allen
import made_rodent_long
import made_rodent_own
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

MODULES = (made_rodent_allen, made_rodent_long, made_rodent_own, made_rodent_task)
KEYS = sorted(key for key, make in MAKERS.items() if make.__module__ in {m.__name__ for m in MODULES})


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


def has(recording, name):
    """Whether a recording has what a recipe says its sessions hold."""
    kind, _, own = name.partition("/")
    if own:
        return own in getattr(recording, kind)
    return recording.observed is not None if name == "observed" else any(v is not None for v in recording.units.column(name).to_pylist())


def stored(reader, plan, folder, tmp_path, store, holds=()):
    with reader(source(plan, folder, tmp_path)) as recording:
        assert not [name for name in holds if not has(recording, name)]
        subject = recording.subject if plan.subject_id is None else replace(recording.subject, subject_id=plan.subject_id)
        named = replace(recording, session_id=plan.session_id, subject=subject, recording_id=plan.recording_id or recording.recording_id)
        add_recording(store, named, Provenance("made", (), repr(reader)))
    return store[f"made/{plan.session_id}"]


def counts_of(session, n_bins, first_bin):
    width = 0.02
    return session.counts(bin_width=width, start=first_bin * width, stop=(first_bin + n_bins) * width, dtype=np.uint16).values


def test_all_25_datasets_are_made():
    assert len(KEYS) == 25


@pytest.mark.parametrize("key", KEYS)
def test_the_recipes_reader_gives_what_was_made(key, made, tmp_path):
    folder, known = made(key)
    recipe = recipes.load(key)
    found = {p.session_id: p for p in planned(recipe, folder)}
    assert set(found) == set(known.sessions)
    store = neuropile.create_store(tmp_path / "store")
    for name, expected in known.sessions.items():
        session = stored(recipe.reader, found[name], folder, tmp_path, store, recipe.holds)
        assert session.unit_table.column("unit_id").to_pylist() == expected.unit_ids
        assert session.record["quantity"] == expected.quantity == recipe.quantity
        assert session.record["subject_id"] == expected.subject_id
        if expected.recording_id is not None:
            assert session.record["recording_id"] == expected.recording_id
        if expected.regions is not None:
            assert [r or None for r in session.unit_table.column("region").to_pylist()] == expected.regions
        if expected.counts is not None:
            np.testing.assert_array_equal(counts_of(session, expected.counts.shape[1], expected.first_bin), expected.counts)
            assert session.n_spikes == expected.counts.sum()
        if expected.signal is not None:
            np.testing.assert_array_equal(np.asarray(session.signals[expected.quantity].data[:]), expected.signal)
        if expected.observed is not None:
            np.testing.assert_allclose(session.observed.of(0) / 100_000, expected.observed, atol=1e-9)
        assert not any("probably wrong" in n for n in session.notes)


@pytest.mark.parametrize("key", KEYS)
def test_upstreams_way_gives_the_rows_of_the_published_scripts(key, made, tmp_path):
    folder, known = made(key)
    recipe = recipes.load(key)
    own = recipe.upstream
    changed = {n: getattr(own, n) for n in ("select", "leave_out", "session") if getattr(own, n) is not None}
    applied = replace(recipe, **changed, subject=None, recording=None)
    store = neuropile.create_store(tmp_path / "store")
    rows = {}
    for plan in planned(applied, folder):
        session = stored(own.reader, plan, folder, tmp_path, store)
        n_bins = int(session.observed.of(0)[-1, 1])
        assert session.record["quantity"] == "counts"
        rows[session.record["subject_id"], session.record["session_id"]] = counts_of(session, n_bins, 0)
    assert set(rows) == set(known.upstream)
    for name, expected in known.upstream.items():
        np.testing.assert_array_equal(rows[name], expected)


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
        ("vcn", "715093703", ["good", "good", "noise", "good", "good", "noise", "good"]),
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
