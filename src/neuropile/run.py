"""One job over many items and what comes out combined: in this process, in several, or on a Dask cluster, with one result."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import multiprocessing
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from neuropile.errors import NeuropileError, RunError
from neuropile.paths import replacing
from neuropile.progress import QUIET, Progress

ENGINES = ("serial", "processes", "dask")
#: How many partial results one combination takes in.
FAN_IN = 8
#: How often a pool whose worker died is started again before each item that is left gets a process of its own.
POOLS = 3
SCHEDULER_TIMEOUT_S = 10
#: A cluster that had no worker for so long is given up, or what waits for one would wait for ever.
NO_WORKERS_S = 120.0
_DIED = "its worker died, perhaps for lack of memory; run again with fewer workers: what is done is kept"
_log = logging.getLogger(__name__)
T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True)
class Engine:
    """Where a job runs.

    kind : "serial", "processes" or "dask"
    workers : how many processes; by default as many as there are cores
    scheduler : of a running Dask cluster, such as "tcp://host:8786"; by default a cluster is started on this machine
    """

    kind: str = "serial"
    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ENGINES:
            raise RunError(f"engine is {self.kind!r}; it must be one of {', '.join(ENGINES)}")
        if self.workers is not None and self.workers < 1:
            raise RunError(f"workers is {self.workers}; it must be at least 1")
        if self.scheduler and self.kind != "dask":
            raise RunError(f"a scheduler ({self.scheduler}) belongs to engine 'dask', not {self.kind!r}")


SERIAL = Engine()


@dataclass(frozen=True)
class Failure:
    """An item that could not be done, and why."""

    item: str
    error: str


@dataclass(frozen=True)
class Done(Generic[P]):
    """What all items that went well combine to (None where none did), and those that did not, in order."""

    value: P | None
    failures: tuple[Failure, ...] = ()

    def whole(self, what: str) -> P:
        """The result, or RunError where an item is missing from it.

        what : the job, for the message
        """
        if self.failures:
            told = "; ".join(f"{f.item}: {f.error}" for f in self.failures[:3])
            more = f"; and {len(self.failures) - 3} more" if len(self.failures) > 3 else ""
            raise RunError(f"{what}: {len(self.failures)} parts failed ({told}{more}); mend that and run again: what is done is kept")
        if self.value is None:
            raise RunError(f"{what}: there is nothing to do")
        return self.value


def map_combine(
    items: Sequence[T],
    per_item: Callable[[T], P],
    combine: Callable[[Sequence[P]], P],
    *,
    engine: Engine = SERIAL,
    progress: Progress = QUIET,
    label: str = "",
    seen: Callable[[P], None] = lambda part: None,
) -> Done[P]:
    """Do `per_item` for each item, and combine the results in their order, eight at a time, until one is left.

    An item that raises is reported, and the others go on. Combining must be associative, so that engines agree:
    sums of integers, or sorted files merged. For other engines than serial, items, results and both functions must be
    what `pickle` takes: functions of modules, or `functools.partial` of them.

    Parameters
    ----------
    items : any values; their `str` names them in reports
    per_item : item -> partial result, small: what is large goes to a file (see `kept`)
    combine : partial results, in order -> partial result
    seen : called here with each item's result as it comes, in any order

    Raises
    ------
    RunError : the cluster cannot be reached, or is lost
    """
    jobs = {"serial": _serial, "processes": _processes, "dask": _dask}[engine.kind]

    def track(done: Iterable[tuple[int, Any]], n: int) -> Iterator[tuple[int, Any]]:
        for i, part in progress.track(done, n, label):
            if not isinstance(part, _Failed):
                seen(part)
            yield i, part

    return jobs(list(items), per_item, combine, engine, track)


#: Passes on the results of items as they come, each with its item's number, and tells of them.
_Track = Callable[[Iterable[tuple[int, Any]], int], Iterator[tuple[int, Any]]]


def _serial(items: list[T], per_item: Callable[[T], P], combine: Callable[[Sequence[P]], P], engine: Engine, track: _Track) -> Done[P]:
    parts = [part for _, part in track(((i, _attempt(per_item, item)) for i, item in enumerate(items)), len(items))]
    return _finish(items, parts, lambda groups: [_attempt(combine, g) for g in groups])


def _processes(items: list[T], per_item: Callable[[T], P], combine: Callable[[Sequence[P]], P], engine: Engine, track: _Track) -> Done[P]:
    # not forked: threads of libraries that are loaded here (Arrow's, BLAS') would hang in a forked child
    context = multiprocessing.get_context("spawn")
    workers = min(engine.workers or os.cpu_count() or 1, max(len(items), 1))

    def each(task: Callable[[Any], Any], values: list[Any]) -> Iterator[tuple[int, Any]]:
        left = set(range(len(values)))
        for attempt in range(POOLS):
            if left and (attempt == 0 or len(left) > 1):
                with ProcessPoolExecutor(workers, mp_context=context) as pool:
                    for i, found in _in_pool(pool, task, {i: values[i] for i in sorted(left)}):
                        left.discard(i)
                        yield i, found
        for i in sorted(left):  # one of them kills its worker: each alone
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                yield from dict(_in_pool(pool, task, {i: values[i]})).items() or [(i, _Failed(_DIED))]

    def all_of(task: Callable[[Any], Any], values: list[Any], track: _Track = lambda done, n: iter(done)) -> list[Any]:
        found = dict(track(each(task, values), len(values)))
        return [found[i] for i in range(len(values))]

    return _finish(items, all_of(per_item, items, track), lambda groups: all_of(combine, groups))


def _in_pool(pool: ProcessPoolExecutor, task: Callable[[Any], Any], values: dict[int, Any]) -> Iterator[tuple[int, Any]]:
    """What comes out, as it comes; those that a dying worker took with it do not."""
    try:
        futures = {pool.submit(_attempt, task, value): i for i, value in values.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        return


def _dask(items: list[T], per_item: Callable[[T], P], combine: Callable[[Sequence[P]], P], engine: Engine, track: _Track) -> Done[P]:
    import distributed

    waiting: list[Any] = []
    with _client(engine, len(items)) as client, _watched(client, waiting):

        def all_of(task: Callable[[Any], Any], values: list[Any], track: _Track = lambda done, n: iter(done)) -> list[Any]:
            futures = client.map(partial(_attempt, task), values, pure=False) if values else []
            waiting[:] = futures
            # fetched as it comes: a worker that dies later takes what it made with it
            number = {f.key: i for i, f in enumerate(futures)}
            found = dict(track(((number[f.key], _outcome(f)) for f in distributed.as_completed(futures)), len(futures)))
            parts = [found[i] for i in range(len(futures))]
            for i, part in enumerate(parts):
                if part == _Failed(_DIED):  # perhaps for another that was on its worker: once more, alone
                    waiting[:] = [client.submit(partial(_attempt, task), values[i], pure=False)]
                    parts[i] = _outcome(waiting[0])
            return parts

        return _finish(items, all_of(per_item, items, track), lambda groups: all_of(combine, groups))


def _outcome(future: Any) -> Any:
    """What came of one item, or why nothing did."""
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return _Failed(_DIED)
    except (CancelledError, OSError) as e:
        return _Failed(f"the cluster was lost, or has no workers ({type(e).__name__}); run again: what is done is kept")


@contextmanager
def _watched(client: Any, waiting: list[Any]) -> Iterator[None]:
    """Cancel what is waited for once the cluster has had no worker for too long; Dask itself waits for ever."""
    over = threading.Event()

    def watch() -> None:
        since = time.monotonic()
        while not over.wait(1.0):
            with suppress(Exception):  # a scheduler that does not answer has no workers either
                since = time.monotonic() if client.scheduler_info()["workers"] else since
            if time.monotonic() - since > NO_WORKERS_S:
                with suppress(Exception):
                    client.cancel(list(waiting))
                since = time.monotonic()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _client(engine: Engine, n_items: int) -> Iterator[Any]:
    import distributed

    if engine.scheduler:
        try:
            client = distributed.Client(engine.scheduler, timeout=SCHEDULER_TIMEOUT_S)
        except (OSError, ValueError, TimeoutError) as e:
            raise RunError(f"no Dask scheduler answers at {engine.scheduler} ({type(e).__name__}: {e}); start one with: dask scheduler") from None
        with client:
            if not client.scheduler_info()["workers"]:
                raise RunError(f"the Dask scheduler at {engine.scheduler} has no workers; start some with: dask worker {engine.scheduler}")
            yield client
        return
    workers = min(engine.workers or os.cpu_count() or 1, max(n_items, 1))
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@dataclass(frozen=True)
class _Failed:
    """What stands in the place of a partial result that is missing."""

    error: str


def _attempt(task: Callable[[T], P], item: T) -> P | _Failed:
    try:
        return task(item)
    except NeuropileError as e:
        return _Failed(str(e))
    except Exception as e:  # the items after it go on, whatever it was
        _log.debug("%s", item, exc_info=True)
        return _Failed(f"stopped with {type(e).__name__}: {e}")


def _finish(items: list[T], parts: list[Any], combined: Callable[[list[list[Any]]], list[Any]]) -> Done[Any]:
    """The tree of combinations over what went well."""
    failures = tuple(Failure(str(item), part.error) for item, part in zip(items, parts, strict=True) if isinstance(part, _Failed))
    left = [p for p in parts if not isinstance(p, _Failed)]
    while len(left) > 1:
        left = combined([left[i : i + FAN_IN] for i in range(0, len(left), FAN_IN)])
        for part in left:
            if isinstance(part, _Failed):
                raise RunError(f"partial results cannot be combined: {part.error}")
    return Done(left[0] if left else None, failures)


@contextmanager
def working(out: Path, job: str) -> Iterator[Path]:
    """A folder beside `out` for what is done so far: it outlives errors and kills, and goes once the block ends well.

    job : everything the result depends on, as text; leftovers of another job are not taken for this one's

    Raises
    ------
    RunError : another process works on `out`
    """
    name = hashlib.sha256(job.encode()).hexdigest()[:12]
    folder = out.parent / f".{out.name}.{name}.work"
    with _alone(out):
        folder.mkdir(exist_ok=True)
        try:
            yield folder
        except BaseException:
            with suppress(OSError):  # only where nothing was done yet
                folder.rmdir()
            raise
        for left in out.parent.iterdir():  # of earlier tries with other parameters, too
            if re.fullmatch(rf"\.{re.escape(out.name)}\.[0-9a-f]{{12}}\.work", left.name):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the lock of an output while the block runs; RunError where another process has it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.parent / f".{out.name}.lock"
    while True:
        with open(path, "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"another process is writing {out}; wait for it, or give another name") from None
            try:
                held = os.path.samestat(os.fstat(lock.fileno()), os.stat(path))
            except FileNotFoundError:
                held = False
            if not held:  # who had it removed the file between our opening and locking it
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def kept(path: Path, make: Callable[[Path], object]) -> Path:
    """A file of a working folder: made whole or not at all, and not made again where it is there."""
    if not path.exists():
        with replacing(path) as temporary:
            make(temporary)
    return path
