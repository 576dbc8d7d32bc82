"""What every recipe must keep: its facts are there, it takes the right files, and a build gives the numbers its made files hold."""

from __future__ import annotations

import importlib
import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import MAKERS, Made, MadeSession
from served_archives import served

from neuropile import builds, make_pile, planning, recipes
from neuropile.archives.web import Web
from neuropile.errors import NeuropileError
from neuropile.recipes import Recipe
from neuropile.session import Session
from neuropile.store import Store, create_store

for _path in sorted(Path(__file__).parent.glob("made_*.py")):
    importlib.import_module(_path.stem)

KEYS = recipes.every_key()


def test_there_are_fifty_and_each_has_made_files() -> None:
    assert len(KEYS) == 50
    assert set(MAKERS) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_its_facts_are_there(key: str) -> None:
    recipe = recipes.load(key)
    assert recipe.key == key
    assert all((recipe.title, recipe.species, recipe.areas, recipe.task, recipe.citation, recipe.tested_on))
    assert recipe.license or recipe.terms_url or any("licence" in d for d in recipe.differs)
    assert recipe.tokens
    assert recipe.tokens > 0
    assert recipe.differs, "what the published scripts do here and what is done instead"
    assert all(sentence.endswith((".", ")")) for sentence in recipe.differs)
    assert recipe.upstream is not None
    assert hash(recipe) == hash(recipes.load(key))
    assert recipes.__doc__ != importlib.import_module(f"neuropile.recipes.{key.replace('-', '_')}").__doc__


@pytest.fixture(scope="module", params=KEYS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Made, Store, list[Any], list[Any]]:
    """A recipe, its made dataset, and a store built of it from its loopback archive: ours and the published scripts' way."""
    recipe = recipes.load(request.param)
    folder = tmp_path_factory.mktemp(recipe.key)
    (folder / "files").mkdir()
    made = MAKERS[recipe.key](folder / "files")
    store = create_store(folder / "store")
    with served(recipe, folder / "files", folder / "scratch") as states, Web() as web:
        reports = []
        for upstream in (False, True):
            plan = planning.make_plan(recipe, planning.Wish(upstream=upstream), web, builds.lock_path(store.root, recipe.key))
            reports += builds.build([plan], store, builds.Options(folder / "cache"))
        return recipe, made, store, reports, states


Built = tuple[Recipe, Made, Store, list[Any], list[Any]]


def test_a_build_stores_just_the_made_sessions(built: Built) -> None:
    recipe, made, store, reports, _ = built
    assert [o.error for r in reports for o in r.outcomes if o.status == "failed"] == []
    own = {s.record["session_id"] for s in map(store.__getitem__, store) if s.record["dataset"] == recipe.key}
    assert own == set(made.sessions)


def test_every_number_is_the_one_the_files_were_made_with(built: Built) -> None:
    recipe, made, store, _, _ = built
    for name, expected in made.sessions.items():
        check_session(store[f"{recipe.key}/{name}"], expected, recipe)


def check_session(session: Session, expected: MadeSession, recipe: Recipe) -> None:
    record = session.record
    assert list(session.units["unit_id"]) == expected.unit_ids
    assert record["quantity"] == expected.quantity == recipe.quantity
    assert bool(record["set_aside"]) == expected.set_aside
    assert record["species"]
    terms = recipe.license or (recipe.terms_url and f"terms at {recipe.terms_url}") or "CC-BY-4.0"  # which the loopback archives name
    assert (record["license"], record["citation"]) == (terms, recipe.citation)
    if expected.subject_id is not None:
        assert record["subject_id"] == expected.subject_id
    if expected.recording_id is not None:
        assert record["recording_id"] == expected.recording_id
    if expected.regions is not None:
        assert [r if isinstance(r, str) else None for r in session.units["region"]] == expected.regions
    if expected.counts is not None:
        width, n = float(Fraction(expected.bin_width)), expected.counts.shape[1]
        middle = (expected.first_bin + np.array([0.5, n - 0.5])) * width  # every bin that the window touches is in it
        assert np.array_equal(session.counts(expected.bin_width, start=middle[0], stop=middle[1]).values, expected.counts)
        assert record["n_spikes"] == expected.counts.sum()
    if expected.signal is not None:
        signal = session.signals[expected.quantity]
        assert np.array_equal(signal.values, expected.signal, equal_nan=True)
        assert expected.observed is not None
        check_times(np.asarray(signal["time"]), expected.observed)
    if expected.observed is not None:
        spans = session.intervals["observed"][["start_s", "stop_s"]].drop_duplicates()
        assert np.allclose(spans.to_numpy(), expected.observed, atol=1.01 / record["ticks_per_s"])
    held = {f"intervals/{n}" for n in session.intervals} | {f"signals/{n}" for n in session.signals} | {"observed"}
    held |= {c for c in session.units.columns if session.units[c].notna().any()}
    assert set(recipe.holds) <= held


def check_times(times: np.ndarray, observed: np.ndarray) -> None:
    """Every sample begins in observed time, the first of each span with it."""
    span = np.searchsorted(observed[:, 0], times + 1e-9, side="right") - 1
    assert np.all(np.diff(times) > 0)
    assert np.all(times < observed[span, 1] - 1e-9)
    assert np.allclose([times[span == s].min() for s in range(len(observed))], observed[:, 0], atol=1e-9)


def test_the_published_way_gives_the_rows_of_the_published_rule(built: Built) -> None:
    recipe, made, store, _, _ = built
    dataset = f"{recipe.key}@upstream"
    limit = max(500, *(len(c) for c in made.upstream.values()))
    pile = make_pile(store, bin_width="0.02", max_tokens=limit, where=f"dataset = '{dataset}'", quality="all", test=0.0, set_aside=True)
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for segment in pile:
        found.setdefault((segment.subject_id, segment.session_id), []).append(np.asarray(segment.counts()))
    assert set(found) == set(made.upstream)
    for key, counts in made.upstream.items():
        assert [p.tolist() for p in found[key]] == [p.tolist() for p in pieces(counts, limit)]


def pieces(counts: np.ndarray, limit: int) -> list[np.ndarray]:
    """The published chunk rule: k = ceil(units x bins / limit) pieces of ceil(bins / k) bins; where the last is empty, upstream stops."""
    if counts.size <= limit:
        return [counts]
    k = math.ceil(counts.size / limit)
    width = math.ceil(counts.shape[1] / k)
    return [p for p in (counts[:, i * width : (i + 1) * width] for i in range(k)) if p.size]


def test_what_is_stored_is_not_fetched_again(built: Built, tmp_path: Path) -> None:
    _, _, store, reports, states = built
    for state in states:
        state.forget()
    plans = [r.plan for r in reports]
    again = builds.build(plans, store, builds.Options(tmp_path / "cache"))
    assert {o.status for r in again for o in r.outcomes} == {"present"}
    assert sum(s.n_bytes for s in states) == 0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("select", "*.nwb", "select is a tuple of texts"),
        ("members", ["*.nwb"], "members is a tuple of texts"),
        ("holds", ("region", 5), "holds is a tuple of texts"),
        ("holds", ("interval/trials",), "intervals/NAME"),
        ("archive", "dandi:000017", "archive is an archive"),
        ("reader", len, "reader is a reader"),
        ("tokens", "many", "tokens is a whole number"),
        ("sessions", True, "sessions is a whole number"),
        ("title", None, "title is a text"),
        ("license", 5, "license is a text or None"),
        ("set_aside", ("a", "b"), "set_aside is a tuple of pairs"),
        ("names", (("a",),), "names is a tuple of pairs"),
        ("session", "(?P<session>", "no regular expression"),
        ("session", "x", "no group"),
        ("recording", "{nope}", "names {nope}; it can be {recording}, {session}, {subject}"),
        ("recording", "{", "cannot be filled in"),
        ("recording", "{session.__class__}", "it can be"),
        ("quantity", "spiks", "quantity is one of spikes"),
        ("whole", 1, "whole is True or False"),
        ("upstream", 5, "upstream is an Upstream"),
        ("key", "A B", "small letters"),
    ],
)
def test_a_field_that_is_not_what_it_is_meant_to_be_is_told(field: str, value: Any, words: str) -> None:
    with pytest.raises(NeuropileError, match=re.escape(words)):
        replace(recipes.load("steinmetz"), **{field: value})


@pytest.mark.parametrize("changed", [{"reader": None}, {"select": "*.nwb"}, {"names": ("a", "b")}, {"session": "x"}])
def test_so_is_one_of_what_the_published_scripts_do(changed: dict[str, Any]) -> None:
    own = recipes.load("steinmetz").upstream
    assert own is not None
    with pytest.raises(NeuropileError, match="upstream: "):
        replace(own, **changed)
