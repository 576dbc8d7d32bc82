"""Published rows of counts, as others' corpora have them, put together into sessions again: dense rows in 20 ms bins, by session and segment."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuropile import kernels, parquet, remote
from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name, sha256_file
from neuropile.readers import published_marker
from neuropile.types import Asset, Reader, Recording, Spans, Subject, Trains

#: What rows are called by; `source_dataset` is there in corpora of several datasets only.
KEYS = ("subject_id", "session_id", "segment_id")
COUNTS = "spike_counts"
#: A file is data/train-00000-of-00003.parquet or lies beside the card; its name's first word is its split.
_FILE = re.compile(r"(?:(?P<folder>[\w.-]+)/)?(?P<split>[A-Za-z_]+)-\d{5}-of-\d{5}\.parquet")
_SEGMENT = re.compile(r"segment_(\d+)")
#: Rows decoded at once: each may hold some ten million counts.
_ROWS_AT_ONCE = 4


@dataclass(frozen=True)
class Part:
    """One row of the corpus: which segment of its session it is, its split, and where it lies."""

    number: int
    segment_id: str
    split: str
    file: int
    row: int


class Corpus:
    """A folder or repository of rows, planned at first from its small columns alone.

    Counts are read once, all of a file in order, and kept by session as gap bytes in a temporary folder: rows of a session
    are scattered over all files, so that reading each session where it lies would decode the corpus once a session.
    """

    def __init__(self, place: Any) -> None:
        self.place = place
        self.files = _files(place)
        self.bins_per_s = published_marker.bins_per_s(place)
        self.license = published_marker.licence(place)
        self._kept: dict[tuple[int, int], Kept] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @cached_property
    def sessions(self) -> dict[tuple[str, str, str], list[Part]]:
        """The rows of each (source_dataset, subject_id, session_id), in the order of their segments."""
        found: dict[tuple[str, str, str], list[Part]] = {}
        own = safe_name(str(self.place.name).partition("@")[0])
        for i, (name, split) in enumerate(self.files):
            table = self._columns(i)
            for row, line in enumerate(table.to_pylist()):
                number = _SEGMENT.fullmatch(str(line["segment_id"]))
                if number is None or line["session_id"] is None:
                    raise UnreadableFile(f"{self.place}/{name}: row {row} is called {line['segment_id']!r} of session {line['session_id']!r}, not segment_<k>")
                key = (safe_name(line.get("source_dataset") or own), line["subject_id"] or "", line["session_id"])
                found.setdefault(key, []).append(Part(int(number[1]), line["segment_id"], split, i, row))
        return {key: sorted(parts, key=lambda p: p.number) for key, parts in sorted(found.items())}

    def _columns(self, file: int) -> pa.Table:
        name = self.files[file][0]
        with self._open(file) as opened:
            missing = [c for c in (COUNTS, *KEYS) if c not in opened.schema_arrow.names]
            if missing:
                hint = "; a sparse pile is opened as it is, with open_pile" if "gaps" in opened.schema_arrow.names else ""
                raise UnreadableFile(f"{self.place}/{name}: rows without {', '.join(missing)}; it holds {', '.join(opened.schema_arrow.names)}{hint}")
            return opened.read([c for c in (*KEYS, "source_dataset") if c in opened.schema_arrow.names])

    def _open(self, file: int) -> pq.ParquetFile:
        path = self.place / self.files[file][0]
        try:
            source = path.fs.open(path.path) if remote.is_remote(path) else str(path)
            return remote.persist(lambda: pq.ParquetFile(source, pre_buffer=True), path)
        except parquet.ERRORS as e:
            raise UnreadableFile(f"{path} cannot be read ({e}); fetch it again") from None

    def kept(self, part: Part) -> Kept:
        """The counts of a row as gap bytes."""
        if self._folder is None:
            self._read_all()
        return self._kept[part.file, part.row]

    def _read_all(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="neuropile-rows-")
        session_of = {(p.file, p.row): i for i, parts in enumerate(self.sessions.values()) for p in parts}
        for file in range(len(self.files)):
            for row, counts in enumerate(self._rows(file)):
                self._kept[file, row] = _keep(counts, Path(folder.name) / f"{session_of[file, row]}.gaps")
        self._folder = folder

    def _rows(self, file: int) -> Iterator[np.ndarray]:
        """The (unit, bin) counts of each row of a file."""
        where = f"{self.place}/{self.files[file][0]}"
        try:
            with self._open(file) as opened:
                for batch in opened.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[COUNTS], use_threads=False):
                    for row in batch.column(0):
                        yield _matrix(row, where)
        except parquet.ERRORS as e:
            raise UnreadableFile(f"{where} is damaged ({e}); fetch it again") from None

    @cached_property
    def assets(self) -> tuple[Asset, ...]:
        """The files with what is known of them: digests of local ones, those that the Hub lists of its."""
        found = []
        for name, _ in self.files:
            path = self.place / name
            if not remote.is_remote(path):
                found.append(Asset(name, path.stat().st_size, sha256_file(path)))
                continue
            facts = remote.persist(partial(path.fs.info, path.path), path)
            lfs = facts.get("lfs") or {}
            version = next((str(facts[k]) for k in ("blob_id", "ETag", "VersionId", "LastModified") if facts.get(k)), None)
            found.append(Asset(name, facts.get("size"), lfs.get("sha256"), remote.public(path), version))
        return tuple(found)


@dataclass(frozen=True)
class Kept:
    """Where a row's gap bytes lie: (unit + 1,) int64 ends, then the bytes, from `start` in a file."""

    path: Path
    start: int
    n_units: int
    n_bins: int

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """(unit + 1,) starts, (byte,) uint8."""
        with open(self.path, "rb") as f:
            f.seek(self.start)
            ends = np.fromfile(f, np.int64, self.n_units + 1)
            return ends, np.fromfile(f, np.uint8, int(ends[-1]))


def _matrix(row: pa.Scalar, where: str) -> np.ndarray:
    """A row's nested lists as (unit, bin)."""
    units = row.values
    if units is None or not len(units) or units.null_count:
        raise UnreadableFile(f"{where}: a row without units, or with one that is missing; fetch it again")
    lengths = units.value_lengths().to_numpy(zero_copy_only=False)
    values = units.flatten()
    if values.null_count or np.any(lengths != lengths[0]):
        raise UnreadableFile(f"{where}: a row whose units have {lengths.min()} to {lengths.max()} counts, or missing ones; fetch it again")
    flat = values.to_numpy()
    if flat.dtype.kind not in "iu" or (flat.size and flat.min() < 0):
        raise UnreadableFile(f"{where}: counts of {flat.dtype}, some of them perhaps negative: sought whole numbers from 0")
    return flat.reshape(len(units), int(lengths[0]))


def _keep(counts: np.ndarray, path: Path) -> Kept:
    """Append a row's counts to a file as gap bytes."""
    unit, k = np.nonzero(counts)
    n = counts[unit, k].astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(unit, n, len(counts)).astype(np.int64))])
    bins = np.repeat(k, n)
    data, ends = np.empty(kernels.gaps_length(bins, offsets), np.uint8), np.empty(len(offsets), np.int64)
    kernels.write_gaps(bins, offsets, data, ends)
    with open(path, "ab") as f:
        start = f.tell()
        ends.tofile(f)
        data.tofile(f)
    return Kept(path, start, *counts.shape)


def _files(place: Any) -> list[tuple[str, str]]:
    """The rows' files below a place, sorted, with the split of each."""
    if remote.is_remote(place):
        base = str(place.path).rstrip("/")
        names = [str(n).removeprefix(base).lstrip("/") for n in remote.persist(lambda: place.fs.find(base, maxdepth=2), place)]
    else:
        names = [p.relative_to(place).as_posix() for pattern in ("*.parquet", "*/*.parquet") for p in place.glob(pattern)]
    matched = [(n, m) for n in sorted(names) if (m := _FILE.fullmatch(n))]
    folders = {m["folder"] for _, m in matched}
    chosen = next((f for f in ("compat", "data", None) if f in folders), min(folders, key=str, default=None))
    found = [(n, str(m["split"])) for n, m in matched if m["folder"] == chosen]
    if not found:
        raise UnreadableFile(f"{place}: no files of rows, such as data/train-00000-of-00001.parquet, in it")
    return found


@dataclass(frozen=True)
class Session:
    """A source of `building.ingest`: the rows of one session of a corpus."""

    corpus: Corpus = field(repr=False, compare=False)
    key: tuple[str, str, str]
    name: str

    @property
    def dataset(self) -> str:
        """The dataset the rows say they are of, else the name of their folder or repository."""
        return self.key[0]

    def __str__(self) -> str:
        return f"{self.corpus.place}: session {self.name}"


@dataclass(frozen=True)
class PublishedRows(Reader):
    """The reader of sessions from published rows of counts."""

    def session_name(self, path: Any) -> str:
        """The session's own name, with its subject's before it where two subjects have one of that name."""
        return str(path.name)

    def assets(self, path: Any) -> Sequence[Asset]:
        """The files in which the session's rows lie."""
        return [path.corpus.assets[i] for i in sorted({p.file for p in path.corpus.sessions[path.key]})]

    def __call__(self, path: Any) -> Recording:
        """The recording of one session; quantity `counts`, one tick a bin, segments end to end from 0.

        Raises
        ------
        UnreadableFile : segments come twice, are missing so that nobody knows how long they were, or differ in their units
        """
        corpus, parts = path.corpus, path.corpus.sessions[path.key]
        kept = [corpus.kept(p) for p in parts]
        n_units = kept[0].n_units
        if any(k.n_units != n_units for k in kept):
            raise UnreadableFile(f"{path}: its segments have {min(k.n_units for k in kept)} to {max(k.n_units for k in kept)} units; they are of one session")
        starts = _starts(path, [p.number for p in parts], [k.n_bins for k in kept])
        stops = starts + np.array([k.n_bins for k in kept])
        loaded = [k.read() for k in kept]
        rate = corpus.bins_per_s
        missing = sorted(set(range(parts[-1].number + 1)) - {p.number for p in parts})
        segments = {
            "start_s": starts / rate,
            "stop_s": stops / rate,
            "src_segment_id": [p.segment_id for p in parts],
            "src_split": [p.split for p in parts],
        }
        return Recording(
            session_id=safe_name(path.name),
            units=pa.table({"unit_id": [str(i) for i in range(n_units)]}),
            trains=Trains(n_units, lambda u: _ticks(u, loaded, starts, kept), kind="ticks"),
            subject=Subject(path.key[1] or None),
            quantity="counts",
            ticks_per_s=rate,
            intervals={"segments": pa.table(segments)},
            observed=Spans.of(starts / rate, stops / rate),
            span_source="source's grid",
            notes=(f"{len(missing)} segments are missing ({', '.join(f'segment_{k}' for k in missing[:5])}): unobserved",) if missing else (),
            license=corpus.license,
            holds=f"{len(parts)} segments of {n_units} units",
        )


def _ticks(unit: int, loaded: Sequence[tuple[np.ndarray, np.ndarray]], starts: np.ndarray, kept: Sequence[Kept]) -> np.ndarray:
    """One unit's events over all segments, as ticks."""
    parts = []
    for (ends, data), start, k in zip(loaded, starts, kept, strict=True):
        own = data[ends[unit] : ends[unit + 1]]
        _, bins, _ = kernels.bins_of_gaps(own, np.array([0, len(own)]), np.zeros(1, np.int64), k.n_bins)
        parts.append(bins + start)
    return np.concatenate(parts)


def _starts(where: object, numbers: Sequence[int], n_bins: Sequence[int]) -> np.ndarray:
    """(segment,) the bin each begins at: those before it laid end to end, missing ones as long as all but the last are."""
    twice = [k for k, n in Counter(numbers).items() if n > 1]
    if twice:
        raise UnreadableFile(f"{where}: segment_{twice[0]} comes {Counter(numbers)[twice[0]]} times; rows of several sessions bear one name")
    if list(numbers) == list(range(len(numbers))):
        return np.concatenate([[0], np.cumsum(n_bins)[:-1]]).astype(np.int64)
    lengths = set(n_bins[:-1])
    if len(lengths) != 1 or n_bins[-1] > max(lengths):
        lost = sorted(set(range(numbers[-1])) - set(numbers))
        raise UnreadableFile(f"{where}: segments are missing ({', '.join(f'segment_{k}' for k in lost[:5])}) and their length is not known; fetch all splits")
    return np.array(numbers, np.int64) * lengths.pop()


def takes(place: Any) -> bool:
    """Whether a folder or repository holds files of dense rows."""
    try:
        name = _files(place)[0][0]
        path = place / name
        source = path.fs.open(path.path) if remote.is_remote(path) else str(path)
        with pq.ParquetFile(source) as opened:
            return {COUNTS, *KEYS} <= set(opened.schema_arrow.names)
    except (UnreadableFile, *parquet.ERRORS):
        return False


def sessions(place: Any) -> list[Session]:
    """The sessions of a corpus, sorted: sources for `building.ingest` with the reader `rows()`.

    Raises
    ------
    UnreadableFile : there are no such rows, or they are damaged
    """
    corpus = Corpus(place)
    within = Counter((dataset, session) for dataset, _, session in corpus.sessions)
    return [Session(corpus, k, safe_name(k[2] if within[k[0], k[2]] == 1 else f"{k[1]}_{k[2]}")) for k in corpus.sessions]


def rows() -> PublishedRows:
    """The reader of published rows; see PublishedRows."""
    return PublishedRows()
