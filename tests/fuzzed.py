"""What is fuzzed: sources on their way into a store, and the files of stores, piles and published folders."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing import Bench, Verdict, mutate

from neuropile.types import SIGNAL_QUANTITIES

#: Counting is tried on at most so many bins at once: one damaged time may lie a century after the others.
_MAX_TOKENS = 50_000_000
Span = tuple[int, int]
#: What an error's text says where memory ran out: the limit caught what a size check should have.
_OUT_OF_MEMORY = ("MemoryError", "Unable to allocate", "malloc of size", "bad_alloc", "annot allocate memory")


@dataclass(frozen=True)
class Source:
    """A recording to damage and to read.

    path : a file, or a folder of which one file is damaged at a time; files : which of them, all by default
    mapping, sample_rate : what a person adds, see readers.find
    recipe : whose reader reads it, instead of the one that is found
    whole_every : of so many seeds one goes the whole way into a store and is opened, counted and verified; of the others all trains are read
    rows : a folder of rows of many sessions, as published corpora are, each of which stands or fails by itself
    """

    name: str
    path: Path
    mapping: tuple[tuple[str, str], ...] = ()
    sample_rate: float | None = None
    files: tuple[str, ...] = ()
    whole_every: int = 1
    rows: bool = False
    recipe: str | None = None

    def bench(self, folder: Path) -> Bench:
        return _SourceBench(self, folder)


class _Copy:
    """A copy of a file or folder in which one file at a time is damaged and mended again."""

    def __init__(self, path: Path, folder: Path, name: str, files: Sequence[str] = ()) -> None:
        self.path, self._name = folder / path.name, name
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, self.path)
        found = sorted(p for p in self.path.rglob("*") if p.is_file()) if path.is_dir() else [self.path]
        self.files = [p for p in found if not files or p.relative_to(self.path).as_posix() in files]
        self._known: dict[Path, tuple[bytes, list[Span]]] = {}

    def damage(self, seed: int) -> tuple[Path, bytes]:
        rng = random.Random(f"{self._name}/{seed}")
        file = rng.choice(self.files)
        if file not in self._known:
            self._known[file] = file.read_bytes(), hot_spans(file)
        data, hot = self._known[file]
        file.chmod(0o644)
        file.unlink()  # memory-mapped arrays of an earlier reading keep the old one
        file.write_bytes(mutate(data, rng, hot))
        return file, data


class _SourceBench:
    def __init__(self, target: Source, folder: Path) -> None:
        self._target, self._store = target, folder / "store"
        self._copy = _Copy(target.path, folder, target.name, target.files)

    def run(self, seed: int | None) -> Verdict:
        file, data = self._copy.damage(seed) if seed is not None else (None, b"")
        try:
            return self._whole() if seed is None or seed % self._target.whole_every == 0 else _verdict(self._read)
        finally:
            shutil.rmtree(self._store, ignore_errors=True)
            if file is not None:
                file.unlink()
                file.write_bytes(data)

    def _reader(self, path: Any) -> Any:
        from neuropile import readers, recipes

        if self._target.recipe is not None:
            return recipes.load(self._target.recipe).reader
        return readers.find(path, sample_rate=self._target.sample_rate, mapping=dict(self._target.mapping) or None)

    def _read(self) -> None:
        reader = self._reader(self._copy.path)
        with reader(self._copy.path) as recording:
            for unit in range(recording.trains.n_units):
                recording.trains.read(unit)

    def _whole(self) -> Verdict:
        from neuropile.building import ingest
        from neuropile.errors import NeuropileError
        from neuropile.readers import find_sources
        from neuropile.store import create_store

        try:
            sources = find_sources(self._copy.path) if self._target.rows else [self._copy.path]
            outcomes = ingest(sources, create_store(self._store), self._reader)
        except NeuropileError as e:
            return _of_error(str(e)) if self._target.rows else Verdict("traceback", _told(e))
        except Exception as e:
            return Verdict("traceback", _told(e))
        verdicts = [self._of_outcome(o) for o in outcomes]
        if len([o for o in outcomes if o.status != "failed"]) < len(left := self._left()):
            return Verdict("partial", str(left))
        return next((v for kind in ("error", "right") for v in verdicts if v.kind != kind), verdicts[0])

    def _left(self) -> list[str]:
        """What stands in the store, whole or not."""
        return [str(p) for p in self._store.glob("*/*") if p.parent.name not in ("index", "units")]

    def _of_outcome(self, outcome: Any) -> Verdict:
        if outcome.status == "failed":
            return _of_error(str(outcome.error))
        verdict = _verdict(lambda: self._use(outcome.session))
        return verdict if verdict.kind == "right" else Verdict("unusable", verdict.said)

    def _use(self, key: str) -> None:
        """A stored session must be of use, whatever its source was."""
        from neuropile.store import open_store
        from neuropile.verifying import verify

        session = open_store(self._store)[key]
        if session.record["quantity"] in SIGNAL_QUANTITIES:
            session.signals[session.record["quantity"]].load()
        else:
            self._count(session)
        findings = verify(self._store)
        if findings:
            raise AssertionError(f"verify: {findings[0]}")

    def _count(self, session: Any) -> None:
        spikes = session.spikes()
        grid = session.grid("0.02") if session.ticks_per_s % 50 == 0 else session.grid(f"1/{session.ticks_per_s}")
        if session.n_units * grid.n_bins <= _MAX_TOKENS:
            counts = session.counts(f"{grid.ticks_per_bin}/{session.ticks_per_s}")
            inside = session.n_spikes - session.record["n_spikes_outside_observed"]
            if not inside <= int(counts.sum()) <= len(spikes.times) == session.n_spikes:
                raise AssertionError(f"{int(counts.sum())} spikes counted of {session.n_spikes}, {inside} of them observed")


@dataclass(frozen=True)
class Stored:
    """A store, a pile file with its store, a published folder, or a file made of a pile, of which one file at a time is damaged.

    path : a folder that holds all of it; opens : what in it is opened; files : the files that are damaged, all by default
    """

    name: str
    path: Path
    opens: str = "."
    files: tuple[str, ...] = ()

    def bench(self, folder: Path) -> Bench:
        return _StoredBench(self, folder)


class _StoredBench:
    def __init__(self, target: Stored, folder: Path) -> None:
        self._copy = _Copy(target.path, folder, target.name, target.files)
        self._opens = self._copy.path / target.opens
        self._right = digest(self._opens)

    def run(self, seed: int | None) -> Verdict:
        if seed is None:
            return Verdict("right")
        file, data = self._copy.damage(seed)
        try:
            found: list[str] = []
            verdict = _verdict(lambda: found.append(digest(self._opens)))
            other = verdict.kind == "right" and found != [self._right]
            return Verdict("wrong", f"{file.relative_to(self._copy.path)} read as other values") if other else verdict
        finally:
            file.unlink()
            file.write_bytes(data)


def digest(path: Path) -> str:
    """One SHA-256 over every value that can be read of a store, a pile, a published folder or a file made of a pile."""
    whole = hashlib.sha256()
    for value in _values(path):
        whole.update(value if isinstance(value, bytes) else repr(value).encode())
    return whole.hexdigest()


def _values(path: Path) -> Iterator[Any]:
    import neuropile

    if path.stem in _MADE_OF_PILES:
        yield from _MADE_OF_PILES[path.stem](path)
        return
    if (path / "neuropile.json").exists():
        store = neuropile.open_store(path)
        yield from (store.session_table.to_pylist(), store.unit_table.to_pylist(), sorted(store))
        for key in store:
            yield from _session_values(store[key])
        return
    pile = neuropile.open_pile(path)
    for segment in pile:
        counts = segment.counts()
        yield from (vars(segment) | {"source": None, "store": None}, counts.values.tobytes(), {k: c.values.tolist() for k, c in counts.coords.items()})
    for table in pile.source.tables(pile):
        yield table.to_pylist()


def _motif_values(path: Path) -> Iterator[Any]:
    from neuropile import motifs

    table = motifs.open_table(path)
    yield from (repr(sorted(table.meta.items())), table.to_pandas().to_dict("list"))


def _vocabulary_values(path: Path) -> Iterator[Any]:
    from neuropile import tokens

    vocabulary = tokens.open_vocabulary(path)
    every = np.arange(vocabulary.vocab_size)[:, None]
    yield from (vocabulary.digest, sorted(vocabulary.facts.items()), vocabulary.counts.tobytes(), vocabulary.decode(every).tobytes())


def _id_values(path: Path) -> Iterator[Any]:
    from neuropile import tokens
    from neuropile.tokens.files import read_ids

    for facts, ids in read_ids(path, tokens.open_vocabulary(path.with_name("vocabulary.parquet"))):
        yield from (sorted(facts.items()), ids.tobytes())


def _stats_values(path: Path) -> Iterator[Any]:
    from neuropile import stats

    found = stats.open_stats(path)
    yield from (found.table.to_pylist(), sorted(found.meta.items()), found.totals(["dataset"]).to_json(), found.rates().to_json())


#: Files made of a pile, by their names.
_MADE_OF_PILES = {"motifs": _motif_values, "vocabulary": _vocabulary_values, "ids": _id_values, "stats": _stats_values}


def _session_values(session: Any) -> Iterator[Any]:
    spikes = session.spikes()
    yield from (session.record, spikes.times.tobytes(), spikes.offsets.tobytes(), spikes.unit_ids, session.counts(0.02).values.tobytes())
    yield from (session.units.to_json(), session.observed.start.tobytes(), session.observed.stop.tobytes(), session.observed.unit.tobytes())
    for name in session.intervals:
        yield from (name, session.intervals[name].to_json(double_precision=15))
    for name in session.signals:
        signal = session.signals[name]
        yield from (name, signal.dims, sorted(signal.attrs.items()), signal.values.tobytes())
        yield from (c.values.tobytes() for c in signal.coords.values())


def _verdict(attempt: Callable[[], Any]) -> Verdict:
    from neuropile.errors import NeuropileError

    try:
        attempt()
    except NeuropileError as e:
        return _of_error(str(e))
    except Exception as e:
        return Verdict("escape", _told(e))
    return Verdict("right")


def _of_error(text: str) -> Verdict:
    kind = "lines" if "\n" in text else "escape" if "reading stopped with" in text else "memory" if any(m in text for m in _OUT_OF_MEMORY) else "error"
    return Verdict(kind, text)


def _told(error: BaseException) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {str(error)[:300]} <- " + " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:8])


def hot_spans(path: Path) -> list[Span]:
    """Where a file's headers lie: of HDF5 all that are not values, of other formats their first and last bytes."""
    size = path.stat().st_size
    data = path.read_bytes()
    if data.startswith((b"\x89HDF", b"MATLAB 7.3")):
        return _between(_hdf5_values(path), size)
    if data.startswith(b"PAR1"):
        return [(size - int.from_bytes(data[-8:-4], "little") - 8, size)]
    if data.startswith(b"PK"):
        return [(0, 128), (max(data.rfind(b"PK\x05\x06") - 512, 0), size)]
    return [(0, min(size, 128)), (max(size - 64, 0), size)] if size else []


def _hdf5_values(path: Path) -> list[Span]:
    import h5py

    found: list[Span] = []

    def take(_: str, obj: Any) -> None:
        if not isinstance(obj, h5py.Dataset):
            return
        if obj.chunks:
            stored = [obj.id.get_chunk_info(i) for i in range(obj.id.get_num_chunks())]
            found.extend((s.byte_offset, s.byte_offset + s.size) for s in stored)
        elif obj.id.get_offset() is not None:
            found.append((obj.id.get_offset(), obj.id.get_offset() + obj.id.get_storage_size()))

    with h5py.File(path) as file:
        file.visititems(take)
    return found


def _between(spans: Iterable[Span], size: int) -> list[Span]:
    out, at = [], 0
    for start, stop in [*sorted(spans), (size, size)]:
        if start > at:
            out.append((at, min(start, size)))
        at = max(at, stop)
    return out
