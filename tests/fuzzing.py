"""Files damaged at random and read by processes that are watched from outside: what hangs, dies or fills the memory is told, with its seed.

A target is what is damaged and how it is tried (fuzzed.py); `fuzz` tries it with many seeds and returns what came of each. The
same target and seed give the same damage, so that a finding is had again with `again(target, seed)`.
"""

from __future__ import annotations

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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

TIME_LIMIT_S = 20.0
#: For what comes before a target's first damage: imports, a copy, one reading undamaged.
START_LIMIT_S = 120.0
#: What a worker may take beyond what it had when its target was ready.
MEMORY_LIMIT = 2 << 30
_RAM = Path("/dev/shm")
#: Verdicts that are as they should be.
GOOD = ("right", "error")

Span = tuple[int, int]
#: Kinds of damage, and how often each is done. Those that move bytes end most files at once.
_WEIGHTS = {"flip": 6, "bytes": 4, "number": 4, "overwrite": 2, "zero": 2, "swap": 1, "truncate": 1, "duplicate": 1, "insert": 1, "delete": 1}


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


def mutate(data: bytes, rng: random.Random, hot: Sequence[Span] = ()) -> bytes:
    """Some damage to a file's bytes: one to three kinds of it, half of them where `hot` says that its headers lie."""
    while True:
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _damage(out, rng, hot)
        if out != data:
            return bytes(out)


def _damage(out: bytearray, rng: random.Random, hot: Sequence[Span]) -> None:
    at = _place(len(out), rng, hot)
    n = min(rng.choice((1, 2, 4, 8, 16, 64, 512, 4096)), max(len(out) - at, 1))
    kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
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


@dataclass
class Tally:
    """What came of a target: how often each verdict, how long it took, and the findings with their seeds."""

    name: str
    kinds: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, Verdict]] = field(default_factory=list)
    seconds: float = 0.0

    def take(self, seed: int, verdict: Verdict, seconds: float = 0.0) -> None:
        """Count one verdict."""
        self.kinds[verdict.kind] += 1
        self.seconds += seconds
        if verdict.kind not in GOOD:
            self.findings.append((seed, verdict))

    def __str__(self) -> str:
        told = [f"{self.name}: {', '.join(f'{n} {k}' for k, n in sorted(self.kinds.items()))} ({self.seconds:.0f} s)"]
        return "\n".join(told + [f"  seed {seed}: {v.kind}: {v.said}" for seed, v in self.findings[:20]])


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
                    if seed is None and verdict.kind not in GOOD:
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
    sys.addaudithook(lambda event, args: unpickled.append(f"{args[0]}.{args[1]}") if event == "pickle.find_class" and not _of_numba() else None)
    benches: dict[int, Bench] = {}
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            i, seed = json.loads(connection.recv_bytes())
            if i not in benches:
                _limit_memory(None)
                benches.clear()
                shutil.rmtree(folder)
                (folder / str(i)).mkdir(parents=True)
                benches[i] = targets[i].bench(folder / str(i))
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


def _of_numba() -> bool:
    """Whether numba is at work: what it compiled before it keeps in pickles of its own."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if f"{os.sep}numba{os.sep}" in frame.f_code.co_filename:
            return True
    return False
