"""Files damaged at random and read by processes that are watched from outside: what hangs, dies or fills the memory is told, with its seed.

A target is what is damaged and how it is tried; `fuzz` tries it with many seeds and returns what came of each. The same
target and seed give the same damage, so that a finding is had again with `again(target, seed)`.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

TIME_LIMIT_S = 20.0
START_LIMIT_S = 120.0
#: What a worker may take beyond what it had when its target was ready.
MEMORY_LIMIT = 2 << 30
#: Counting is tried on at most so many bins at once: one damaged time may lie a century after the others.
_MAX_TOKENS = 50_000_000
_RAM = Path("/dev/shm")
#: What an error's text says where memory ran out: the limit caught what a size check should have.
_OUT_OF_MEMORY = ("MemoryError", "Unable to allocate", "malloc of size", "bad_alloc", "annot allocate memory")

#: Verdicts that are as they should be.
GOOD = ("right", "error")

Span = tuple[int, int]


# Damage


def mutate(data: bytes, rng: random.Random, hot: Sequence[Span] = ()) -> bytes:
    """Some damage to a file's bytes: one to three of eight kinds, half of them where `hot` says that its headers lie."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _damage(out, rng, hot)
    return bytes(out) if out != data else mutate(data, rng, hot)


def _damage(out: bytearray, rng: random.Random, hot: Sequence[Span]) -> None:
    at = _place(len(out), rng, hot)
    n = min(rng.choice((1, 2, 4, 8, 16, 64, 512, 4096)), max(len(out) - at, 1))
    kind = rng.choices(("flip", "bytes", "number", "overwrite", "zero", "swap", "truncate", "duplicate", "insert", "delete"), (6, 4, 4, 2, 2, 1, 1, 1, 1, 1))[0]
    if not out or kind == "insert":
        out[at:at] = rng.randbytes(n)
    elif kind == "flip":
        out[at] ^= 1 << rng.randrange(8)
    elif kind == "bytes":
        out[at : at + min(n, 8)] = rng.randbytes(min(n, 8))
    elif kind == "number":  # sizes and addresses at the edge of their types
        width = rng.choice((1, 2, 4, 8))
        value = rng.choice((0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), len(out) % 2 ** (8 * width)))
        out[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))[: len(out) - at]
    elif kind == "overwrite":
        out[at : at + n] = rng.randbytes(n)
    elif kind == "zero":
        out[at : at + n] = bytes(n)
    elif kind == "swap":
        other = _place(len(out), rng, hot)
        n = min(n, len(out) - other)
        out[at : at + n], out[other : other + n] = out[other : other + n], out[at : at + n]
    elif kind == "truncate":
        del out[at:]
    elif kind == "duplicate":
        out[at:at] = out[at : at + n]
    else:
        del out[at : at + n]


def _place(size: int, rng: random.Random, hot: Sequence[Span]) -> int:
    if hot and rng.random() < 0.5:
        start, stop = rng.choices(hot, [b - a for a, b in hot])[0]
        return min(rng.randrange(start, stop), max(size - 1, 0))
    return rng.randrange(size) if size else 0


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


# What is tried


@dataclass(frozen=True)
class Verdict:
    """What came of one damage: "right" or "error" (our own, of one line) are good, anything else is a finding."""

    kind: str
    said: str = ""


class Bench(Protocol):
    """A target made ready in one process."""

    def run(self, seed: int | None) -> Verdict:
        """Try it once, damaged by a seed, or (None) whole."""


class Target(Protocol):
    """Something to damage; a frozen dataclass, so that it can be sent to a process."""

    name: str

    def bench(self, folder: Path) -> Bench:
        """Make it ready below an empty folder."""


@dataclass(frozen=True)
class Source:
    """A recording to damage and to read.

    path : a file, or a folder of which one file is damaged at a time
    mapping, sample_rate : what a person adds, see readers.find
    whole_every : of so many seeds one goes the whole way into a store and is opened, counted and verified; of the others the trains are read
    """

    name: str
    path: Path
    mapping: tuple[tuple[str, str], ...] = ()
    sample_rate: float | None = None
    whole_every: int = 1

    def bench(self, folder: Path) -> Bench:
        return _SourceBench(self, folder)


class _Damaged:
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
        self._copy = _Damaged(target.path, folder, target.name)

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
        from neuropile import readers

        return readers.find(path, sample_rate=self._target.sample_rate, mapping=dict(self._target.mapping) or None)

    def _read(self) -> None:
        reader = self._reader(self._copy.path)
        with reader(self._copy.path) as recording:
            for unit in range(recording.trains.n_units):
                recording.trains.read(unit)

    def _whole(self) -> Verdict:
        from neuropile.building import ingest
        from neuropile.store import create_store

        def build() -> Any:
            return ingest([self._copy.path], create_store(self._store), self._reader)[0]

        try:
            outcome = build()
        except Exception as e:
            return Verdict("traceback", _told(e))
        left = [p.name for p in self._store.glob("local/*")] + [p.name for p in self._store.glob(".building/*")]
        if outcome.status == "failed":
            return Verdict("partial", str(left)) if left else _of_error(str(outcome.error))
        verdict = _verdict(lambda: self._use(outcome.session))
        return verdict if verdict.kind == "right" else Verdict("unusable", verdict.said)

    def _use(self, key: str) -> None:
        """A stored session must be of use, whatever its source was."""
        from neuropile.store import open_store
        from neuropile.verifying import verify

        session = open_store(self._store)[key]
        spikes = session.spikes()
        grid = session.grid("0.02") if session.ticks_per_s % 50 == 0 else session.grid(f"1/{session.ticks_per_s}")
        if session.n_units * grid.n_bins <= _MAX_TOKENS:
            counts = session.counts(f"{grid.ticks_per_bin}/{session.ticks_per_s}")
            inside = session.n_spikes - session.record["n_spikes_outside_observed"]
            if not inside <= int(counts.sum()) <= len(spikes.times) == session.n_spikes:
                raise AssertionError(f"{int(counts.sum())} spikes counted of {session.n_spikes}")
        findings = verify(self._store)
        if findings:
            raise AssertionError(f"verify: {findings[0]}")


@dataclass(frozen=True)
class Stored:
    """A store, a pile file with its store, or a published folder, of which one file at a time is damaged.

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
        self._copy = _Damaged(target.path, folder, target.name, target.files)
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
    """One SHA-256 over every value that can be read of a store, a pile or a published folder."""
    whole = hashlib.sha256()
    for value in _values(path):
        whole.update(value if isinstance(value, bytes) else repr(value).encode())
    return whole.hexdigest()


def _values(path: Path) -> Iterator[Any]:
    import neuropile

    if (path / "neuropile.json").exists():
        store = neuropile.open_store(path)
        yield from (_table(store.session_table), _table(store.unit_table), sorted(store))
        for key in store:
            yield from _session_values(store[key])
        return
    pile = neuropile.open_pile(path)
    for segment in pile:
        counts = segment.counts()
        yield from (vars(segment) | {"source": None, "store": None}, counts.values.tobytes(), {k: c.values.tolist() for k, c in counts.coords.items()})
    for table in pile.source.tables(pile):
        yield _table(table)


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


def _table(table: Any) -> Any:
    return table.to_pylist()


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


# Processes


@dataclass
class Tally:
    """What came of a target: how often each verdict, how long it took, and the findings with their seeds."""

    name: str
    kinds: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, Verdict]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def take(self, seed: int, verdict: Verdict, seconds: float = 0.0) -> None:
        """Count one verdict."""
        self.kinds[verdict.kind] += 1
        self.seconds += seconds
        if verdict.kind not in GOOD:
            self.findings.append((seed, verdict))

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(f'{n} {k}' for k, n in sorted(self.kinds.items()))} ({self.seconds:.0f} s)"


def again(target: Target, seed: int | None) -> Verdict:
    """One damage tried in this very process: to look at a finding."""
    with tempfile.TemporaryDirectory() as folder:
        return target.bench(Path(folder)).run(seed)


def fuzz(targets: Sequence[Target], seeds: Iterable[int], n_workers: int = 2, tell: Callable[[Tally], None] | None = None) -> list[Tally]:
    """Try every target with every seed, in watched processes that are replaced when they hang or die.

    tell : called with each target's tally when all of its seeds are through
    """
    tallies = [Tally(t.name) for t in targets]
    todo = deque((i, s) for i in range(len(targets)) for s in (None, *seeds))
    left = Counter(i for i, _ in todo)
    with tempfile.TemporaryDirectory(dir=_RAM if os.access(_RAM, os.W_OK) else None) as folder:
        workers = [_Worker(targets, Path(folder) / str(i)) for i in range(n_workers)]
        try:
            while todo or any(w.job for w in workers):
                for worker in workers:
                    if worker.job is None and todo:
                        worker.give(todo.popleft())
                wait([w.connection for w in workers if w.job], timeout=0.2)
                for worker in workers:
                    done = worker.verdict()
                    if done is None:
                        continue
                    (i, seed), verdict, seconds = done
                    if seed is None and verdict.kind != "right":
                        raise AssertionError(f"{targets[i].name}, undamaged: {verdict}")
                    if seed is not None:
                        tallies[i].take(seed, verdict, seconds)
                    left[i] -= 1
                    if not left[i] and tell:
                        tell(tallies[i])
        finally:
            for worker in workers:
                worker.kill()
    return tallies


class _Worker:
    """A process that tries one job after the other; killed where it takes too long, and made anew."""

    def __init__(self, targets: Sequence[Target], folder: Path) -> None:
        self._targets, self._folder = targets, folder
        self.job: tuple[int, int | None] | None = None
        self._start()

    def _start(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self.connection, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("forkserver").Process(target=_work, args=(theirs, self._targets, self._folder), daemon=True)
        self._process.start()
        theirs.close()
        self._is_new = True

    def give(self, job: tuple[int, int | None]) -> None:
        self.job, self._began = job, time.monotonic()
        self._limit = START_LIMIT_S
        self.connection.send_bytes(json.dumps(job).encode())

    def verdict(self) -> tuple[tuple[int, int | None], Verdict, float] | None:
        """What came of the job, once that is known."""
        if self.job is None:
            return None
        try:
            while self.connection.poll():
                said = json.loads(self.connection.recv_bytes())
                if said is None:  # all is ready: the time that counts begins
                    self._began, self._limit = time.monotonic(), TIME_LIMIT_S
                    continue
                return self._done(Verdict(*said))
        except (EOFError, ConnectionError):
            self._process.join(10)
            code = self._process.exitcode or 0
            self.kill()
            self._start()
            return self._done(Verdict("crash", signal.Signals(-code).name if code < 0 else f"exit code {code}"))
        if time.monotonic() - self._began > self._limit:
            self.kill()
            self._start()
            return self._done(Verdict("hang", f"{self._limit:.0f} s"))
        return None

    def _done(self, verdict: Verdict) -> tuple[tuple[int, int | None], Verdict, float]:
        job, self.job = self.job, None
        assert job is not None
        return job, verdict, time.monotonic() - self._began

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _work(connection: Connection, targets: Sequence[Target], folder: Path) -> None:
    """The life of a worker."""
    unpickled: list[str] = []
    sys.addaudithook(lambda event, args: unpickled.append(f"{args[0]}.{args[1]}") if event == "pickle.find_class" else None)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    benches: dict[int, Bench] = {}
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            i, seed = json.loads(connection.recv_bytes())
            if i not in benches:
                _limit_memory(None)
                (folder / str(i)).mkdir()
                benches = {i: targets[i].bench(folder / str(i))}
                first = benches[i].run(None)
                _limit_memory(MEMORY_LIMIT)
            connection.send_bytes(b"null")
            unpickled.clear()
            verdict = first if seed is None else benches[i].run(seed)
            verdict = Verdict("unpickled", unpickled[0]) if unpickled else verdict
            connection.send_bytes(json.dumps((verdict.kind, verdict.said)).encode())


def _limit_memory(more: int | None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if more and Path("/proc/self/statm").exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (now + more if more and now else hard, hard))
