"""Primate datasets, read by their recipes' readers straight from files as the archives would hold them, against what they were made of."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import made_primate_a  # noqa: F401
import made_primate_a_arrays  # noqa: F401
import numpy as np
import pytest
from making import MAKERS

from neuropile.paths import safe_name
from neuropile.recipes import load, plans, selected
from neuropile.types import Asset

KEYS = [
    *("xiao", "neupane-ppc", "neupane-entorhinal", "chen", "kim", "even-chen", "perich", "moore"),
    *("willett", "card", "wojcik", "papale", "rajalingham"),
]


def unpack(folder: Path, paths: list[str], into: Path) -> None:
    for path in paths:
        if path.endswith(".zip"):
            with zipfile.ZipFile(folder / path) as archive:
                archive.extractall(into)
        else:
            with tarfile.open(folder / path) as archive:
                archive.extractall(into, filter="data")


def assets_below(folder: Path) -> list[Asset]:
    return [Asset(p.relative_to(folder).as_posix(), p.stat().st_size, None) for p in sorted(folder.rglob("*")) if p.is_file()]


def sources(recipe, folder, scratch):
    """Each session's plan and its source: the file itself, or a folder that holds just its files under their paths."""
    chosen = selected(assets_below(folder), recipe.select, recipe.leave_out)
    if recipe.members:
        unpack(folder, [a.path for a in chosen], scratch / "unpacked")
        folder = scratch / "unpacked"
        chosen = selected(assets_below(folder), recipe.members)
    for plan in plans(chosen, recipe):
        if len(plan.assets) == 1:
            yield plan, folder / plan.assets[0].path
            continue
        own = scratch / "sessions" / safe_name(plan.session_id)
        for asset in plan.assets:
            (own / asset.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / asset.path, own / asset.path)
        yield plan, own


def as_published(recipe):
    """The recipe with what the published scripts take instead; they know neither subjects nor recordings."""
    own = recipe.upstream
    theirs = {name: value for name in ("select", "leave_out", "members", "session") if (value := getattr(own, name)) is not None}
    return replace(recipe, reader=own.reader, names=own.names, subject=None, recording=None, **theirs)


@pytest.fixture(scope="module", params=KEYS)
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, MAKERS[request.param](folder)


def ticks_of(recording):
    """Each unit's ticks, by the rule of floats where they are seconds."""
    for unit in range(recording.trains.n_units):
        times = np.asarray(recording.trains.read(unit))
        whole = times if recording.trains.kind == "ticks" else np.floor(times * recording.ticks_per_s + 1e-3)
        yield whole.astype(np.int64)


def observed_s(recording, ticks):
    """What all units share of the observed time, in seconds, less what is invalid."""
    if recording.observed is None:
        every = np.concatenate(ticks)
        spans = [(every.min() / recording.ticks_per_s, (every.max() + 1) / recording.ticks_per_s)]
    else:
        spans = sorted(set(zip(recording.observed.start_s.tolist(), recording.observed.stop_s.tolist(), strict=True)))
    holes = [] if recording.invalid is None else sorted(zip(recording.invalid.start_s.tolist(), recording.invalid.stop_s.tolist(), strict=True))
    for start, stop in holes:
        spans = [part for a, b in spans for part in ((a, min(b, start)), (max(a, stop), b)) if part[1] > part[0]]
    return np.array(spans)


def test_the_recipe_s_reader_reads_what_the_files_were_made_of(made, tmp_path):
    key, folder, expected = made
    recipe = load(key)
    met = {}
    for plan, path in sources(recipe, folder, tmp_path):
        name = safe_name(plan.session_id)
        want = met[name] = expected.sessions[name]
        with recipe.reader(path) as recording:
            assert recording.quantity == want.quantity == recipe.quantity
            assert recording.units.column("unit_id").to_pylist() == want.unit_ids
            assert (plan.subject_id or recording.subject.subject_id) == want.subject_id
            assert plan.recording_id == want.recording_id
            if want.regions is not None:
                assert recording.units.column("region").to_pylist() == want.regions
            ticks = list(ticks_of(recording))
            if want.counts is not None:
                per_bin = Fraction(want.bin_width) * recording.ticks_per_s
                bins = [t // int(per_bin) - want.first_bin for t in ticks]
                got = np.stack([np.bincount(b, minlength=want.counts.shape[1]) for b in bins])
                np.testing.assert_array_equal(got, want.counts)
            if want.signal is not None:
                signal = recording.signals[want.quantity]
                np.testing.assert_array_equal(signal.data[0 : signal.data.shape[0]], want.signal)
                check_times(signal, want.observed)
            np.testing.assert_allclose(observed_s(recording, ticks), want.observed, atol=1e-9)
    assert met.keys() == expected.sessions.keys()


def check_times(signal, observed):
    """Every sample begins in observed time, the first of each span with it."""
    times = np.asarray(signal.time_s[0 : signal.time_s.shape[0]])
    span = np.searchsorted(observed[:, 0], times + 1e-9, side="right") - 1
    assert np.all(np.diff(times) > 0)
    assert np.all(times < observed[span, 1] - 1e-9)
    np.testing.assert_allclose([times[span == s].min() for s in range(len(observed))], observed[:, 0], atol=1e-9)


def test_the_upstream_reader_gives_what_the_published_rule_gives(made, tmp_path):
    key, folder, expected = made
    recipe = as_published(load(key))
    got = {}
    for plan, path in sources(recipe, folder, tmp_path):
        with recipe.reader(path) as recording:
            assert (recording.quantity, recording.ticks_per_s) == ("counts", 50)
            assert recording.session_id == safe_name(recipe.reader.session_name(path)) == safe_name(plan.session_id)
            n_bins = round(float(recording.observed.stop_s[0]) * 50)
            got[recording.subject.subject_id, recording.session_id] = np.stack([np.bincount(t, minlength=n_bins) for t in ticks_of(recording)])
    assert got.keys() == expected.upstream.keys()
    for row, counts in expected.upstream.items():
        np.testing.assert_array_equal(got[row], counts)


def test_what_the_recipe_promises_of_each_session_is_there(made, tmp_path):
    key, folder, _ = made
    recipe = load(key)
    for _, path in sources(recipe, folder, tmp_path):
        with recipe.reader(path) as recording:
            for what in recipe.holds:
                kind, _, name = what.partition("/")
                if kind == "observed":
                    assert recording.observed is not None
                elif name:
                    assert name in getattr(recording, kind)
                else:
                    assert any(v is not None for v in recording.units.column(what).to_pylist())
