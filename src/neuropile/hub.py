"""Publishing a pile as a dataset, to a folder, an object store or the Hugging Face Hub: shards of rows, tables, a card, and the marker last."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from neuropile import card, layout, parquet, published, remote
from neuropile.errors import CountOverflow, PileError
from neuropile.paths import replacing, safe_name
from neuropile.pile import Pile
from neuropile.progress import QUIET, Progress
from neuropile.publishing import huggingface, licences, shards, tables
from neuropile.publishing.places import Bucket, Folder, Place
from neuropile.publishing.shards import Shard
from neuropile.run import SERIAL, Engine, map_combine, working

COMPAT_FOLDER = "compat"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Publishing:
    """How a pile is published.

    layout : "sparse" (small, exact) or "dense" (nested lists of uint8)
    compat : beside sparse rows, the same as dense ones, as config `compat`, for code that expects them
    accept : datasets whose own terms, unknown here, a person has read and found to allow it
    replace : write anew what is published there
    private : make a new repository of the Hub a private one
    work : the folder in which files are made; by default beside a local folder, else the current one
    engine : where files are made, several at once
    """

    layout: str = "sparse"
    compat: bool = False
    accept: tuple[str, ...] = ()
    replace: bool = False
    private: bool = False
    work: Path | None = None
    engine: Engine = SERIAL

    def __post_init__(self) -> None:
        if self.layout not in published.LAYOUTS:
            raise PileError(f"layout is {self.layout!r}; it must be one of {', '.join(published.LAYOUTS)}")
        if self.compat and self.layout == "dense":
            raise PileError("the dense layout is what --compat adds; it goes with the sparse one")


@dataclass(frozen=True)
class Published:
    """What was written: bytes of the default config's files, tokens and spikes in them, and what to know of its licences."""

    path: Any
    layout: str
    n_segments: int
    n_tokens: int
    n_spikes: int
    bytes: int
    n_files: int
    warnings: tuple[str, ...] = ()

    @property
    def bits_per_token(self) -> float:
        """Bits of the data files a token (unit x bin) takes."""
        return 8 * self.bytes / self.n_tokens


def publish(pile: Pile, to: Any, *, progress: Progress = QUIET, **options: Any) -> Published:
    """Write a pile as a dataset that `datasets`, DuckDB, pandas, Polars and `open_pile` read.

    A run that was stopped goes on where it stopped when it is called again, and ends with the same bytes.

    Parameters
    ----------
    to : a new folder, a URL that fsspec can write to (s3://bucket/prefix), or hf://datasets/owner/name[@branch]
    options : see Publishing, such as layout="dense", compat=True, accept=("dataset",), replace=True

    Raises
    ------
    PileError : the pile is empty, something else is there, a licence forbids it, or the place cannot be written to
    CountOverflow : a bin holds more than 255 events and the layout is dense, or compat is asked for
    RunError : another process publishes there, or with several workers some files could not be made
    """
    how = Publishing(**options)
    if not len(pile):
        raise PileError("an empty pile cannot be published")
    place = _place(to, how)
    sessions, units = pile.source.tables(pile)
    warnings = licences.check(sessions.select(["dataset", "session_id", "license"]).to_pylist(), how.accept)
    job = json.dumps([pile.digest, how.layout, how.compat, layout.VERSION, pa.__version__, shards.SHARD_BYTES, published.SPARSE_ROWS_PER_GROUP])
    sent = place.begin(job, how.replace)
    overflow = None
    try:
        with working(_work_name(place, how), job) as work:
            try:
                beside = {"sessions": sessions, "units": units, "sources": tables.sources(sessions)}
                done = _Made(pile, beside, how, place, work).publish(sent, progress)
            except CountOverflow as e:  # no other run mends it: nothing is kept
                overflow = e
    except OSError as e:
        if e.errno not in _FULL:
            raise
        raise PileError(f"{e.filename or 'the working folder'} cannot be written ({e.strerror}); mend that and run again: what is done is kept") from None
    if overflow is not None:
        raise overflow
    return Published(place.root if isinstance(place, Folder) else to, how.layout, *done, tuple(warnings))


def _place(to: Any, how: Publishing) -> Place:
    if str(to).startswith("hf://"):
        return huggingface.repository(str(to), private=how.private)
    path = remote.as_path(to)
    if how.work is not None and not remote.is_remote(path):
        raise PileError(f"{to} is a local folder, which is made beside itself; leave out --work")
    if how.private:
        raise PileError(f"{to}: --private is of repositories of the Hugging Face Hub")
    if remote.is_remote(path):
        if path.protocol in ("http", "https"):
            raise PileError(f"{to}: a web server takes no files; give a folder, s3://bucket/prefix or hf://datasets/owner/name")
        return Bucket(path)
    return Folder(path.resolve())


def _work_name(place: Place, how: Publishing) -> Path:
    """The local name beside which files are made."""
    if isinstance(place, Folder):
        return place.root
    return (how.work or Path.cwd()) / safe_name(str(remote.public(place.root) if isinstance(place, Bucket) else place))


class _Made:
    """A pile on its way: what is made of it in the working folder, and what has gone to its place."""

    def __init__(self, pile: Pile, beside: dict[str, pa.Table], how: Publishing, place: Place, work: Path) -> None:
        self.pile, self.beside, self.how, self.place, self.work = pile, beside, how, place, work
        self.out = work / "out"

    def publish(self, sent: frozenset[str], progress: Progress) -> tuple[int, int, int, int, int]:
        """Everything but what was `sent` before; returns segments, tokens, spikes, bytes and files of the default config."""
        own = shards.plan(self.pile, self.beside["units"], self.how.layout)
        extra = shards.plan(self.pile, self.beside["units"], "dense", COMPAT_FOLDER) if self.how.compat else []
        shutil.rmtree(self.work / "making", ignore_errors=True)
        facts = dict(zip([s.name for s in own + extra], self._all(own + extra, sent, progress), strict=True))
        totals = shards.totals_of([facts[s.name]["totals"] for s in own])
        n = {name: sum(t[name] for t in totals.values()) for name in ("segments", "tokens", "spikes")}
        splits, compat = _by_split(own), _by_split(extra)
        small = self._small(own, {"layout": self.how.layout, "splits": splits, "compat": compat}, totals)
        listed = {name: f["file"] for name, f in facts.items()} | {n: f for n, f in layout.file_facts(self.out).items() if n in small}
        marker = {
            "format": published.MARKER_KIND,
            "version": layout.VERSION,
            "layout": self.how.layout,
            "bin_width": self.pile.meta["bin_width"],
            "splits": splits,
            **({"compat": compat} if compat else {}),
            "files": dict(sorted(listed.items())),
            **{f"n_{name}": n[name] for name in n},
            "pile_digest": self.pile.digest,
            "made": self.pile.meta,
        }
        layout.write_marker(marker, self.out / published.MARKER)
        self.place.finish(self.out, [*small, published.MARKER], [*listed, published.MARKER])
        return n["segments"], n["tokens"], n["spikes"], sum(facts[s.name]["file"]["bytes"] for s in own), len(own)

    def _all(self, todo: Sequence[Shard], sent: frozenset[str], progress: Progress) -> list[dict[str, Any]]:
        """What is known of each shard, in order, once all are made and sent."""
        one = partial(_make, work=self.work, place=self.place, sent=sent)
        if self.how.engine.kind == "serial":  # stops at the first error: a refused token or a full disk would stop all others too
            return [one(s, track=partial(_track, progress, s)) for s in todo]
        found = map_combine([_Job(s) for s in todo], partial(_make_job, one), _joined, engine=self.how.engine, progress=progress, label="publishing")
        return found.whole("publishing")

    def _small(self, own: Sequence[Shard], files: dict[str, Any], totals: dict[str, dict[str, int]]) -> list[str]:
        """Write the tables and the card; their names."""
        self.out.mkdir(parents=True, exist_ok=True)
        names = []
        for name, table in self.beside.items():
            names.append(f"{name}.parquet")
            parquet.write(table, self.out / names[-1])
        names.append(published.SEGMENTS_FILE)
        schema = published.ROWS_SCHEMA if self.how.layout == "sparse" else published.SEGMENTS_SCHEMA
        with parquet.writing(self.out / names[-1], schema, compression="zstd", compression_level=3) as writer:
            for shard in own:
                writer.write_table(parquet.read(_kept(self.work, shard, "segments.parquet")))
        told = tables.contents(self.pile, self.place.title, files, self.beside, totals)
        (self.out / "README.md").write_text(card.render(told), encoding="utf-8")
        return [*names, "README.md"]


def _by_split(own: Sequence[Shard]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for shard in own:
        found.setdefault(shard.split, []).append(shard.name)
    return found


def _track(progress: Progress, shard: Shard, segments: Any) -> Iterable[Any]:
    return progress.track(segments, len(segments), f"publishing {shard.name}")


def _kept(work: Path, shard: Shard, name: str) -> Path:
    """Where something small that is known of a shard is kept."""
    return work / "known" / f"{shard.name.replace('/', '-')}.{name}"


def _make(shard: Shard, work: Path, place: Place, sent: frozenset[str], track: Callable[[Any], Iterable[Any]] = iter) -> dict[str, Any]:
    """Make a shard and send it, unless that was done before; its file's size and digest, and its totals."""
    known, path = _kept(work, shard, "json"), work / "out" / shard.name
    if not known.exists() or not (path.exists() or shard.name in sent):
        making = work / "making" / shard.name
        for folder in (making.parent, path.parent, known.parent):
            folder.mkdir(parents=True, exist_ok=True)
        totals, listed = shards.write(shard, making, track)
        making.replace(path)
        with replacing(_kept(work, shard, "segments.parquet")) as temporary:
            parquet.write(listed, temporary)
        facts = {"file": parquet.facts(path), "totals": totals}
        if place.takes:
            place.send(path, shard.name)
            path.unlink()
        with replacing(known) as temporary:
            temporary.write_text(json.dumps(facts), encoding="utf-8")
    return json.loads(known.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Job:
    """A shard as an item of a job that may run elsewhere."""

    shard: Shard

    def __str__(self) -> str:
        return self.shard.name


def _make_job(one: Callable[[Shard], dict[str, Any]], job: _Job) -> list[dict[str, Any]]:
    return [one(job.shard)]


def _joined(parts: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [p for part in parts for p in part]
