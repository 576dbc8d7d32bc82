"""The monkeys' and people's datasets of made_primate_b*: what the recipes' readers make of the makers' files, and what upstream's way does."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import made_primate_b
import made_primate_b_falcon
import made_primate_b_mat
import numpy as np
import pytest
from making import MAKERS

import neuropile
from neuropile import recipes
from neuropile.building import add_recording
from neuropile.recipes import Plan, Recipe, plans, selected
from neuropile.types import Asset, Recording
from neuropile.writing import Provenance

MODULES = (made_primate_b, made_primate_b_falcon, made_primate_b_mat)
KEYS = ["area2-bump", "athalye", "churchland", "dmfc-rsg", "h1", "h2", "lanzarini", "m1-a", "m1-b", "m2", "makin", "temmar"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The maker's files of a dataset, each made once: (folder, Made)."""
    done = {}

    def _made(key: str):
        if key not in done:
            folder = tmp_path_factory.mktemp(key)
            done[key] = folder, MAKERS[key](folder)
        return done[key]

    return _made


def assets_below(folder) -> list[Asset]:
    return [Asset(p.relative_to(folder).as_posix(), p.stat().st_size, None) for p in sorted(folder.rglob("*")) if p.is_file()]


def taken(folder, recipe: Recipe) -> list[Plan]:
    return plans(selected(assets_below(folder), recipe.select, recipe.leave_out), recipe)


def as_upstream(recipe: Recipe) -> Recipe:
    """The recipe with what the published scripts take, as a build applies it."""
    theirs = recipe.upstream
    assert theirs is not None
    own = {name: getattr(theirs, name) for name in ("select", "leave_out", "session") if getattr(theirs, name) is not None}
    return replace(recipe, reader=theirs.reader, subject=None, recording=None, set_aside=(), **own)


def test_every_maker_here_has_its_recipe() -> None:
    mine = {key for key, make in MAKERS.items() if make.__module__ in {m.__name__ for m in MODULES}}
    assert mine == set(KEYS)
    assert mine <= set(recipes.every_key())


@pytest.mark.parametrize("key", KEYS)
def test_the_recipe_takes_the_files_of_the_sessions_and_no_others(made, key) -> None:
    folder, expected = made(key)
    found = {p.session_id: p for p in taken(folder, recipes.load(key))}
    assert set(found) == set(expected.sessions)
    for name, session in expected.sessions.items():
        assert (found[name].set_aside is not None) == session.set_aside
        assert found[name].recording_id == session.recording_id
        assert len(found[name].assets) == 1


@pytest.mark.parametrize("key", KEYS)
def test_the_stored_sessions_hold_the_counts_known_by_construction(made, key, tmp_path) -> None:
    folder, expected = made(key)
    recipe = recipes.load(key)
    store = neuropile.create_store(tmp_path / "store")
    for plan in taken(folder, recipe):
        session = expected.sessions[plan.session_id]
        with recipe.reader(folder / plan.assets[0].path) as recording:
            assert recording.session_id == plan.session_id
            assert recording.quantity == recipe.quantity == session.quantity
            assert (plan.subject_id or recording.subject.subject_id) == session.subject_id
            add_recording(store, recording, Provenance(key, plan.assets, repr(recipe.reader)))
        stored = store[f"{key}/{plan.session_id}"]
        assert stored.units.reset_index()["unit_id"].tolist() == session.unit_ids
        n_bins = session.counts.shape[1]
        width = float(Fraction(session.bin_width))
        counts = stored.counts(bin_width=session.bin_width, start=session.first_bin * width, stop=(session.first_bin + n_bins) * width, dtype=np.uint32)
        np.testing.assert_array_equal(counts.values, session.counts)
        assert stored.n_spikes == session.counts.sum()
        if session.regions is not None:
            assert [r or None for r in stored.units["region"].tolist()] == session.regions
        if session.observed is not None:
            for unit in range(len(session.unit_ids)):
                np.testing.assert_allclose(stored.observed.of(unit) / stored.ticks_per_s, session.observed, atol=1.1e-5)


def matrix(recording: Recording) -> np.ndarray:
    """A recording of counts as (unit, bin), over what it says was observed from 0 on."""
    assert recording.quantity == "counts"
    assert (recording.ticks_per_s, recording.trains.kind) == (50, "ticks")
    n_bins = round(float(recording.observed.stop_s[0]) * 50)
    return np.stack([np.bincount(recording.trains.read(u).astype(np.int64), minlength=n_bins) for u in range(recording.trains.n_units)])


@pytest.mark.parametrize("key", KEYS)
def test_upstreams_way_gives_upstreams_rows(made, key) -> None:
    folder, expected = made(key)
    recipe = as_upstream(recipes.load(key))
    found = {}
    for plan in taken(folder, recipe):
        with recipe.reader(folder / plan.assets[0].path) as recording:
            subject = plan.subject_id or recording.subject.subject_id
            found[subject, plan.session_id] = matrix(recording)
            assert recording.session_id == plan.session_id
    assert set(found) == set(expected.upstream)
    for row, counts in expected.upstream.items():
        np.testing.assert_array_equal(found[row], counts)


@pytest.mark.parametrize("key", KEYS)
def test_recipes_say_on_what_terms_and_in_what_way_they_differ(key) -> None:
    recipe = recipes.load(key)
    assert recipe.license or recipe.terms_url
    assert recipe.citation
    assert recipe.tokens
    assert recipe.differs
    assert all(sentence.endswith((".", ")")) for sentence in recipe.differs)
    assert repr(recipe.reader) == repr(recipes.load(key).reader)
    assert hash(recipe.reader) == hash(recipes.load(key).reader)
