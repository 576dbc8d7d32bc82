"""Damaged files, a few on every change and a thousand of each real one in `make soak`: an error of one line or the right result, and nothing else.

Half of the damage goes to headers, so that it is not all spent on values. Of the large rat files one damage in twenty goes the
whole way into a store; of the others the trains are read, which is where their bytes matter.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from fuzzed import Source, Stored, digest
from fuzzing import Bench, Target, Verdict, fuzz, mutate

import neuropile
from neuropile import motifs, readers, recipes, stats, testing, tokens
from neuropile.building import ingest
from neuropile.errors import StoreError
from neuropile.pile import Pile
from neuropile.store import create_store
from neuropile.types import Asset

RECIPES = Path(__file__).parent / "recipes"
sys.path.insert(0, str(RECIPES))  # where making.py and what imports it lie
for _path in sorted(RECIPES.glob("made_*.py")):
    importlib.import_module(_path.stem)
MAKERS: dict[str, Callable[[Path], Any]] = importlib.import_module("making").MAKERS

SEEDS = 1_000
#: A Zarr folder has hundreds of files, most of a few bytes: so many damages for all of them.
ZARR_SEEDS = 2_000
QUICK_SEEDS = 12


def check(targets: list[Target], seeds: int) -> None:
    """Every damage must come to something good; the seeds of those that did not are told."""
    tallies = fuzz(targets, range(seeds), tell=print)
    assert not any(t.findings for t in tallies), "\n".join(str(t) for t in tallies if t.findings)


# Sources made here


def _nwb(folder: Path) -> Path:
    rng, texts = np.random.default_rng(0), h5py.string_dtype()
    with h5py.File(folder / "made.nwb", "w") as file:
        file.attrs.update({"nwb_version": "2.6.0", "neurodata_type": "NWBFile"})
        file["session_description"] = "made up"
        units = file.create_group("units")
        units.attrs.update({"neurodata_type": "Units", "colnames": np.array(["spike_times", "region"], texts)})
        units["id"] = np.arange(5)
        units.create_dataset("spike_times", data=np.sort(rng.uniform(0, 30, (5, 80))).reshape(-1), chunks=(100,), compression="gzip")
        units["spike_times_index"] = np.arange(80, 401, 80)
        units.create_dataset("region", data=["CA1", "CA1", "VISp", "LGd", "a region with a longer name"], dtype=texts)
        trials = file.create_group("intervals/trials")
        trials.attrs.update({"neurodata_type": "TimeIntervals", "colnames": np.array(["start_time", "stop_time", "outcome"], texts)})
        trials["id"], trials["start_time"], trials["stop_time"] = np.arange(8), np.arange(8) * 3.0, np.arange(8) * 3.0 + 2
        trials.create_dataset("outcome", data=["hit", "miss"] * 4, dtype=texts)
        series = file.create_group("acquisition/running")
        series.attrs["neurodata_type"] = "TimeSeries"
        series.create_dataset("data", data=rng.normal(size=300), chunks=(100,), compression="gzip").attrs.update({"unit": "cm/s", "conversion": 1.0})
        series["starting_time"] = 0.0
        series["starting_time"].attrs["rate"] = 10.0
    return folder / "made.nwb"


def _cells(folder: Path) -> Path:
    from readers.matfile import MatFile

    rng, made = np.random.default_rng(1), MatFile(folder / "made_Cells.mat")
    made.cell("spiketimes_s", [np.sort(rng.uniform(0, 30, 40)) for _ in range(6)])
    made.put("depth_um", np.arange(6) * 20.0)
    made.string("region", ["M2", "M2", "PrL", "PrL", "MO", "MO"])
    made.char("rat", ["K265"])
    return made.close()


def _kilosort(folder: Path) -> Path:
    rng, folder = np.random.default_rng(2), folder / "kilosort4"
    folder.mkdir()
    np.save(folder / "spike_times.npy", np.sort(rng.integers(0, 900_000, 400)).astype(np.uint64))
    np.save(folder / "spike_clusters.npy", rng.integers(0, 6, 400).astype(np.int32))
    (folder / "params.py").write_text("sample_rate = 30000.\n")
    (folder / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n" + "".join(f"{i}\t{'good' if i % 2 else 'mua'}\n" for i in range(6)))
    return folder


def _alf(folder: Path) -> Path:
    rng, folder = np.random.default_rng(3), folder / "KS023" / "2019-12-10" / "001"
    (folder / "alf" / "probe00").mkdir(parents=True)
    np.save(folder / "alf" / "probe00" / "spikes.times.npy", np.sort(rng.uniform(0, 30, 400)))
    np.save(folder / "alf" / "probe00" / "spikes.clusters.npy", rng.integers(0, 6, 400))
    table = pd.DataFrame({"intervals_0": np.arange(8) * 3.0, "intervals_1": np.arange(8) * 3.0 + 2, "choice": [1.0, -1.0] * 4})
    table.to_parquet(folder / "alf" / "_ibl_trials.table.pqt")
    return folder


def _zarr(folder: Path) -> Path:
    from readers.zarrfile import as_zarr

    return as_zarr(_nwb(folder), folder / "made.nwb.zarr", 2)


def _rows(folder: Path) -> Path:
    """Rows as the published corpora have them, of three sessions in two files."""
    from readers.test_published_rows import rows_of, some_sessions, write_rows

    write_rows(rows_of(some_sessions(np.random.default_rng(5), 3), 60), folder, {"train": 1, "test": 1})
    return folder


def made_sources(folder: Path) -> list[Target]:
    times, units = np.sort(np.random.default_rng(4).uniform(0, 30, 400)), np.arange(400) % 7
    scipy.io.savemat(folder / "made5.mat", {"spks": np.c_[units, times]}, do_compression=True)
    np.savez(folder / "made.npz", t=times, u=units)
    made = {kind: folder / kind for kind in ("alf", "zarr", "rows")}
    for path in made.values():
        path.mkdir()
    return [
        Source("nwb", _nwb(folder)),
        Source("MATLAB 7.3", _cells(folder)),
        Source("MATLAB 5", folder / "made5.mat", (("times", "spks[:,1]"), ("units", "spks[:,0]"))),
        Source("npz", folder / "made.npz", (("times", "t"), ("units", "u"))),
        Source("Kilosort", _kilosort(folder)),
        Source("ALF", _alf(made["alf"])),
        Source("Zarr", _zarr(made["zarr"])),
        Source("rows", _rows(made["rows"]), rows=True),
    ]


# Stores made here


def made_stores(folder: Path) -> list[Stored]:
    """A small store, a pile of it and that pile published in both layouts, each file a target of its own."""
    (folder / "a").mkdir()
    plain, other = testing.recording(0, n_units=6, duration_s=20), testing.recording(1, n_units=4, duration_s=20, observed="each", invalid=True)
    recordings = [plain, replace(other, signals={})]
    pile = neuropile.make_pile(testing.store(folder / "a" / "store", recordings), test=0.3)
    pile.save(folder / "a" / "pile.parquet")
    pile.publish(folder / "sparse")
    pile.publish(folder / "dense", layout="dense")
    neuropile.open_store(folder / "a" / "store").rebuild_index()
    made = made_of_a_pile(neuropile.open_pile(folder / "a" / "pile.parquet"), folder / "made")
    piles = [Stored(f"a {n}", folder / "a", "pile.parquet", (n,)) for n in ("pile.parquet", "pile.units.parquet")]
    return _each_file(folder / "a" / "store") + piles + _each_file(folder / "sparse") + _each_file(folder / "dense") + made


def made_of_a_pile(pile: Pile, folder: Path) -> list[Stored]:
    """Motifs, a vocabulary, ids and stats of a pile, each file a target of its own."""
    folder.mkdir()
    vocabulary = tokens.fit(motifs.count(pile, (1, 5), out=folder / "motifs.parquet").path, any_split=True)
    vocabulary.save(folder / "vocabulary.parquet")
    tokens.encode(pile, vocabulary, out=folder / "ids.parquet")
    stats.count(pile, out=folder / "stats.parquet")
    return [Stored(f"made {name}", folder, name, (name,)) for name in sorted(p.name for p in folder.iterdir())]


def _each_file(path: Path) -> list[Stored]:
    """A target a file that holds something and is read."""
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file() and p.stat().st_size)
    return [Stored(f"{path.name} {n}", path, files=(n,)) for n in names if n != "README.md"]


def made_of_recipes(folder: Path, keys: Sequence[str]) -> list[Source]:
    """A session of a made dataset of each recipe, each file of it damaged in turn."""
    found = []
    for key in keys:
        recipe, place = recipes.load(key), folder / key
        (place / "files").mkdir(parents=True)
        MAKERS[key](place / "files")
        paths = sorted(p.relative_to(place / "files").as_posix() for p in (place / "files").rglob("*") if p.is_file())
        plan = recipes.plans(recipes.selected([Asset(p, None, None) for p in paths], (*recipe.select, *recipe.shared), recipe.leave_out), recipe)[0]
        if len(plan.assets) > 1:
            for asset in plan.assets:
                (place / "session" / asset.path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place / "files" / asset.path, place / "session" / asset.path)
        source = place / "session" if len(plan.assets) > 1 else place / "files" / plan.assets[0].path
        found.append(Source(key, source, recipe=key))
    return found


#: Those whose files are no zip or tar archives, and whose layout is their own or an NWB file's with something of its own.
OWN_LAYOUTS = ("xiao", "papale", "makin", "lanzarini", "h2", "temmar", "athalye", "h1", "m1-a", "m2", "dmfc-rsg", "churchland", "moore", "kim", "even-chen")
OWN_LAYOUTS += ("neupane-ppc", "lemerre", "steinmetz-2", "gonzalez", "vbn", "ibl", "finkelstein", "prince")


# The quick ones


def test_a_damaged_source_gives_an_error_of_one_line_or_a_session_of_use(tmp_path: Path) -> None:
    check(made_sources(tmp_path), QUICK_SEEDS)


def test_a_damaged_store_pile_or_published_folder_gives_an_error_of_one_line_or_the_right_values(tmp_path: Path) -> None:
    made_stores(tmp_path)
    whole = [Stored("store", tmp_path / "a" / "store"), Stored("pile", tmp_path / "a", "pile.parquet")]
    made = [Stored(name, tmp_path / "made", f"{name}.parquet") for name in ("motifs", "ids", "stats")]
    check([*whole, *made, Stored("sparse", tmp_path / "sparse"), Stored("dense", tmp_path / "dense")], 2 * QUICK_SEEDS)


@dataclass(frozen=True)
class Rigged:
    """What does all that must never happen, by seed."""

    name: str = "rigged"

    def bench(self, folder: Path) -> Bench:
        return _RiggedBench()


class _RiggedBench:
    def run(self, seed: int | None) -> Verdict:
        doings: dict[int | None, Callable[[], Any]] = {
            1: lambda: time.sleep(60),
            2: lambda: os.kill(os.getpid(), signal.SIGSEGV),
            3: lambda: np.ones(1 << 30),
            4: lambda: __import__("pickle").loads(b"cposix\ngetpid\n."),
        }
        try:
            doings.get(seed, int)()
        except MemoryError:
            return Verdict("memory")
        return Verdict("right")


def test_the_fuzzer_tells_hangs_crashes_memory_and_pickles_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzzing.TIME_LIMIT_S", 1.0)
    (tally,) = fuzz([Rigged()], range(7), n_workers=1)
    found = {seed: v.kind for seed, v in tally.findings}
    assert found == {1: "hang", 2: "crash", 4: "unpickled"} | ({3: "memory"} if sys.platform == "linux" else {})
    assert tally.kinds["right"] == 7 - len(found)


def test_the_same_seed_does_the_same_damage_and_always_some() -> None:
    import random

    data = bytes(range(256)) * 8
    done = [mutate(data, random.Random(i), [(0, 64)]) for i in range(300)]
    assert done == [mutate(data, random.Random(i), [(0, 64)]) for i in range(300)]
    assert data not in done


def test_every_value_of_a_store_is_in_its_digest(tmp_path: Path) -> None:
    recordings = [testing.recording(s, n_units=3, duration_s=9) for s in (0, 0, 1)]
    a, b, c = (digest(testing.store(tmp_path / str(i), [r]).root) for i, r in enumerate(recordings))
    assert (a == b, a == c) == (True, False)


def test_a_damaged_signal_is_told_when_it_is_read(tmp_path: Path) -> None:
    session = testing.store(tmp_path / "s", [testing.recording(0, n_units=2, duration_s=20)])["test/session-0"]
    (chunk,) = (session.root / "signals.zarr" / "running" / "data").rglob("c/0")
    data = bytearray(chunk.read_bytes())
    data[50] ^= 1
    chunk.write_bytes(data)
    running = session.signals["running"]
    with pytest.raises(StoreError, match=r"running cannot be read .*restore it from a copy"):
        running.mean()
    with pytest.raises(IndexError):
        running[10_000].load()


@pytest.mark.parametrize("n", [0, 1, 100])
def test_a_truncated_signal_is_never_one_of_zeros(tmp_path: Path, n: int) -> None:
    session = testing.store(tmp_path / "s", [testing.recording(0, n_units=2, duration_s=20)])["test/session-0"]
    (chunk,) = (session.root / "signals.zarr" / "running" / "data").rglob("c/0")
    chunk.write_bytes(chunk.read_bytes()[:n])
    with pytest.raises(StoreError, match="running cannot be read"):
        session.signals["running"].load()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_empty_chunk_of_a_source_is_an_error(tmp_path: Path, zarr_format: int) -> None:
    from readers.zarrfile import as_zarr

    folder = as_zarr(_nwb(tmp_path), tmp_path / "made.nwb.zarr", zarr_format)
    chunk = min(p for p in (folder / "units" / "spike_times").rglob("*") if p.name.isdigit())
    chunk.write_bytes(b"")
    (outcome,) = ingest([folder], create_store(tmp_path / "store"), readers.find)
    assert "/units/spike_times: chunk" in str(outcome.error)
    assert "is empty (0 bytes)" in str(outcome.error)


def test_an_error_is_one_line_whatever_is_put_into_it() -> None:
    assert str(StoreError("thrift:\n  no more\x07data\r\n")) == "thrift:   no more data"


# The long ones


def _uncompressed(path: Path, folder: Path) -> Path:
    """A MATLAB 5 or npz file without its compression, whose checksums else tell most damage before our readers see it."""
    out = folder / path.name
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            np.savez(out, **arrays)
        return out
    data, at = path.read_bytes(), 128
    parts = [data[:at]]
    while at < len(data):
        kind, n = np.frombuffer(data[at : at + 8], "<u4").tolist()
        parts.append(zlib.decompress(data[at + 8 : at + 8 + n]) if kind == 15 else data[at : at + 8 + n])
        at += 8 + n
    out.write_bytes(b"".join(parts))
    return out


def _pairs(*mapping: str) -> tuple[tuple[str, str], ...]:
    return tuple((k, v) for k, _, v in (m.partition("=") for m in mapping))


SPIKES_IN_COLUMNS = _pairs("times=spks[:,1]", "units=spks[:,0]")
MAPPINGS = {
    "mat5-rat-lineartrack": _pairs("times=spikes/time"),
    "mat5-aplysia": SPIKES_IN_COLUMNS,
    "mat5-monkey-trials": _pairs("matrix=dat/spikes", "bin=0.001"),
    "npz-mouse-olfactory-trials": _pairs("times=spiketimes", "units=neuron_ids", "trials=trials", "trial_start=tmin", "trial_stop=tmax", "unit=ms"),
    "h5-retina-mea": _pairs("times=spikes", "counts=sCount"),
    "suite2p-calcium": _pairs("matrix=array", "bin=0.1"),
    "mat73-rat-neuropixels": (),
    "nwb-mouse-thalamus": (),
    "nwb-macaque-freeviewing-nounits": (),
}


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.parametrize("name", MAPPINGS)
def test_a_thousand_damages_of_each_real_file(real_data: Path, tmp_path: Path, name: str) -> None:
    files = sorted(p for p in (real_data / name).iterdir() if p.is_file())
    whole_every = 20 if name == "mat73-rat-neuropixels" else 1
    targets: list[Target] = [Source(p.name, p, MAPPINGS[name], whole_every=whole_every) for p in files]
    plain = [p for p in files if p.suffix == ".npz" or name.startswith("mat5")]
    targets += [Source(f"{p.name} uncompressed", _uncompressed(p, tmp_path), MAPPINGS[name]) for p in plain]
    check(targets, SEEDS)


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.parametrize("name", ["alf-mouse-three-clusters", "alf-trials-table", "kilosort-15-templates"])
def test_a_thousand_damages_of_each_file_of_a_real_folder(real_data: Path, name: str) -> None:
    rate = 30_000.0 if name.startswith("kilosort") else None
    names = sorted(p.name for p in (real_data / name).iterdir() if p.is_file())
    check([Source(f"{name} {n}", real_data / name, (), rate, (n,)) for n in names], SEEDS)


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.parametrize("consolidated", [True, False])
def test_thousands_of_damages_of_a_real_zarr_folder(real_data: Path, tmp_path: Path, consolidated: bool) -> None:
    """Without its second copy of the metadata, damage to the first gets further."""
    import shutil

    (path,) = (real_data / "nwb-mouse-thalamus-zarr").glob("*.zarr")
    copy = shutil.copytree(path, tmp_path / path.name)
    if not consolidated:
        (copy / ".zmetadata").unlink()
    names = sorted(p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file())
    check([Source("Zarr", copy, files=tuple(n for n in names if not n.startswith("specifications/")))], ZARR_SEEDS)


@pytest.mark.soak
def test_a_thousand_damages_of_each_file_of_a_store_a_pile_and_what_is_made_of_it(tmp_path: Path) -> None:
    check(list(made_stores(tmp_path)), SEEDS)


def test_a_damaged_file_of_a_dataset_gives_an_error_of_one_line_or_a_session_of_use(tmp_path: Path) -> None:
    check(list(made_of_recipes(tmp_path, ("xiao", "h2", "lanzarini", "gonzalez"))), QUICK_SEEDS)


@pytest.mark.soak
@pytest.mark.parametrize("key", OWN_LAYOUTS)
def test_hundreds_of_damages_of_files_of_each_dataset_with_a_layout_of_its_own(tmp_path: Path, key: str) -> None:
    check(list(made_of_recipes(tmp_path, (key,))), SEEDS // 2)


@pytest.mark.soak
def test_a_thousand_damages_of_rows_as_published(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    check([Source("rows", _rows(tmp_path / "rows"), rows=True)], 2 * SEEDS)


@pytest.mark.soak
@pytest.mark.real
def test_a_thousand_damages_of_each_file_of_the_store_of_a_real_session(real_data: Path, tmp_path: Path) -> None:
    store = create_store(tmp_path / "store")
    ingest(sorted((real_data / "nwb-mouse-thalamus").glob("*.nwb")), store, readers.find)
    store.rebuild_index()
    check(list(_each_file(store.root)), SEEDS)
