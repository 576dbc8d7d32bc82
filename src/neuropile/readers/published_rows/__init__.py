"""Published rows of counts, as others' corpora have them, put together into sessions again: dense rows in 20 ms bins, by session and segment."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from neuropile import kernels, parquet, remote
from neuropile.errors import StoreError, UnreadableFile
from neuropile.paths import safe_name, sha256_file
from neuropile.readers.published_rows import marker as published_marker
from neuropile.types import Asset, Reader, Recording, Spans, Subject, Trains

#: What rows are called by; `source_dataset` is there in corpora of several datasets only.
KEYS = ("subject_id", "session_id", "segment_id")
COUNTS = "spike_counts"
_SEGMENT = re.compile(r"segment_([0-9]{1,18})")
#: Rows decoded at once: each may hold some ten million counts.
_ROWS_AT_ONCE = 4
#: No neuron or multi-unit fires 65 535 times in 20 ms.
_MAX_COUNT = 2**16 - 1
#: Of one row: a list of Parquet holds 2**31 counts at most, and units do not fire in every second bin of 20 ms.
_MAX_EVENTS = 2**30
#: So many missing segments for each that is there make its number no place in a session, but a date or a key.
_MAX_MISSING = 1000
#: Seven hundred years of 20 ms.
_MAX_BINS = 2**40
#: What rows that name no session are called.
_NAMELESS = "rows-without-session_id"
Key = tuple[str, str, str | None]


@dataclass(frozen=True)
class Part:
    """One row of the corpus: which segment of its session it is (-1: its name is none), its split, and where it lies."""

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
        marker = published_marker.read(place)
        found = published_marker.files(place)
        published_marker.check_complete(place, found, marker.files)
        self.files = [(m.string, str(m["split"])) for m in found]
        self.listed = marker.files
        self.bins_per_s = marker.bins_per_s
        self.license = published_marker.licence(place)
        self._kept: dict[tuple[int, int], Kept | UnreadableFile] = {}
        self._damaged: dict[int, UnreadableFile] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def sessions(self) -> dict[Key, list[Part]]:
        """The rows of each (source_dataset, subject_id, session_id), in the order of their segments."""
        return self._plan[0]

    @property
    def faults(self) -> dict[Key, str]:
        """Of sessions with a row that is called by no name, which one that is."""
        return self._plan[1]

    @cached_property
    def _plan(self) -> tuple[dict[Key, list[Part]], dict[Key, str]]:
        found: dict[Key, list[Part]] = {}
        faults: dict[Key, str] = {}
        own = str(self.place.name).partition("@")[0]
        for i, (name, split) in enumerate(self.files):
            for row, line in enumerate(self._lines(i)):
                number = _SEGMENT.fullmatch(str(line["segment_id"]))
                key = (_text(line.get("source_dataset")) or own, _text(line["subject_id"]) or "", _text(line["session_id"]))
                if number is None or key[2] is None:
                    called = f"{str(line['segment_id'])[:80]!r} of session {key[2]!r}"
                    faults.setdefault(key, f"{self.place}/{name}: row {row} is called {called}, not segment_<k> of a session; mend its name")
                found.setdefault(key, []).append(Part(int(number[1]) if number else -1, str(line["segment_id"]), split, i, row))
        ordered = sorted(found, key=lambda k: (k[0], k[1], k[2] is None, k[2] or ""))
        return {key: sorted(found[key], key=lambda p: p.number) for key in ordered}, faults

    def _lines(self, file: int) -> list[dict[str, Any]]:
        """What each row of a file is called by."""
        name = self.files[file][0]
        try:
            with self._open(file) as opened:
                schema = opened.schema_arrow
                missing = [c for c in (COUNTS, *KEYS) if c not in schema.names]
                if missing:
                    hint = "; a sparse pile is opened as it is, with open_pile" if "gaps" in schema.names else ""
                    raise UnreadableFile(f"{self.place}/{name}: rows without {', '.join(missing)}; it holds {', '.join(schema.names)}{hint}")
                kind = schema.types[schema.names.index(COUNTS)]
                if not (_is_list(kind) and _is_list(kind.value_type)):
                    raise UnreadableFile(f"{self.place}/{name}: {COUNTS} is {kind}, sought for each unit a list of counts; make it one")
                return opened.read([c for c in (*KEYS, "source_dataset") if c in schema.names]).to_pylist()
        except parquet.ERRORS as e:
            raise UnreadableFile(f"{self.place}/{name} is damaged ({e}); fetch it again") from None

    def _open(self, file: int) -> pq.ParquetFile:
        name = self.files[file][0]
        try:
            return published_marker.opened(self.place / name, None if self.listed is None else self.listed[name])
        except (StoreError, *parquet.ERRORS) as e:
            raise UnreadableFile(f"{self.place / name} cannot be read ({e}); fetch it again") from None

    def kept(self, part: Part) -> Kept:
        """The counts of a row as gap bytes, or UnreadableFile where it is bad."""
        if self._folder is None:
            self._read_all()
        found = self._kept.get((part.file, part.row), self._damaged.get(part.file))
        if isinstance(found, Kept):
            return found
        raise UnreadableFile(str(found or f"{self.place}/{self.files[part.file][0]} has lost its row {part.row} while it was read; run again"))

    def _read_all(self) -> None:
        """One pass over all files: a bad row fails its own session, a damaged file those with rows in it from there on."""
        folder = tempfile.TemporaryDirectory(prefix="neuropile-rows-")
        session_of = {(p.file, p.row): i for i, (key, parts) in enumerate(self.sessions.items()) if key not in self.faults for p in parts}
        for file, (name, _) in enumerate(self.files):
            try:
                for row, counts in enumerate(self._rows(file)):
                    if (file, row) in session_of:
                        path = Path(folder.name) / f"{session_of[file, row]}.gaps"
                        self._kept[file, row] = _kept_or_error(counts, path, f"{self.place}/{name}: row {row}")
            except UnreadableFile as e:
                self._damaged[file] = e
        self._folder = folder

    def _rows(self, file: int) -> Iterator[pa.Scalar]:
        """The nested lists of each row of a file."""
        try:
            with self._open(file) as opened:
                for batch in opened.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[COUNTS], use_threads=False):
                    yield from batch.column(0)
        except (MemoryError, *parquet.ERRORS) as e:
            raise UnreadableFile(f"{self.place}/{self.files[file][0]} is damaged ({e}); fetch it again") from None

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


def _text(name: Any) -> str | None:
    return None if name is None else str(name)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _kept_or_error(row: pa.Scalar, path: Path, where: str) -> Kept | UnreadableFile:
    try:
        return _keep(_matrix(row, where), path)
    except UnreadableFile as e:
        return e
    except (MemoryError, pa.ArrowException) as e:
        return UnreadableFile(f"{where} cannot be taken in ({e}); fetch it again")


def _matrix(row: pa.Scalar, where: str) -> np.ndarray:
    """A row's nested lists as (unit, bin), every count checked to be one."""
    units = row.values
    if units is None or not len(units) or units.null_count:
        raise UnreadableFile(f"{where}: a row without units, or with one that is missing; fetch it again")
    lengths = pc.list_value_length(units).to_numpy(zero_copy_only=False)
    values = units.flatten()
    if values.null_count or np.any(lengths != lengths[0]):
        raise UnreadableFile(f"{where}: a row whose units have {lengths.min()} to {lengths.max()} counts, or missing ones; fetch it again")
    if not pa.types.is_integer(values.type):
        raise UnreadableFile(f"{where}: counts of type {values.type}, sought whole numbers from 0; make them whole")
    counts = values.to_numpy().reshape(len(units), int(lengths[0]))
    if not counts.size:
        return counts
    for at in (int(counts.argmin()), int(counts.argmax())):
        unit, k = divmod(at, counts.shape[1])
        if not 0 <= (n := int(counts[unit, k])) <= _MAX_COUNT:
            why = f"no neuron or multi-unit fires more than {_MAX_COUNT} times in 20 ms" if n > 0 else "counts are whole numbers from 0"
            raise UnreadableFile(f"{where}: unit {unit} has the count {n} in bin {k}; {why}: fetch it again")
    if (total := int(counts.sum(dtype=np.int64))) > _MAX_EVENTS:
        raise UnreadableFile(f"{where}: {total} events in {counts.size} counts, more than {_MAX_EVENTS}, which no recording has; fetch it again")
    return counts


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


@dataclass(frozen=True)
class Session:
    """A source of `building.ingest`: the rows of one session of a corpus."""

    corpus: Corpus = field(repr=False, compare=False)
    key: Key
    dataset: str  # as the rows say, else the name of their folder or repository
    name: str

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
        if path.key in corpus.faults:
            raise UnreadableFile(f"{path}: {corpus.faults[path.key]}")
        kept = [corpus.kept(p) for p in parts]
        n_units = kept[0].n_units
        if any(k.n_units != n_units for k in kept):
            raise UnreadableFile(f"{path}: its segments have {min(k.n_units for k in kept)} to {max(k.n_units for k in kept)} units; they are of one session")
        starts = _starts(path, [p.number for p in parts], [k.n_bins for k in kept])
        stops = starts + np.array([k.n_bins for k in kept])
        loaded = [k.read() for k in kept]
        rate = corpus.bins_per_s
        n_missing, first = _missing([p.number for p in parts])
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
            notes=(f"{n_missing} segments are missing ({first}): unobserved",) if n_missing else (),
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
    n_missing, first = _missing(numbers)
    if n_missing > _MAX_MISSING * len(numbers):
        raise UnreadableFile(
            f"{where}: its last segment is segment_{numbers[-1]}, yet only {len(numbers)} are there and {n_missing} would be missing: "
            "such numbers are no places in a session; number its segments from 0"
        )
    if not n_missing:
        begins = [0, *accumulate(n_bins[:-1])]
    else:
        lengths = set(n_bins[:-1])
        if len(lengths) != 1 or n_bins[-1] > max(lengths):
            raise UnreadableFile(f"{where}: segments are missing ({first}) and their length is not known; fetch all splits")
        begins = [k * n_bins[0] for k in numbers]
    n = begins[-1] + n_bins[-1]
    if n > _MAX_BINS:
        raise UnreadableFile(f"{where}: {n} bins from its first segment to segment_{numbers[-1]}, more than {_MAX_BINS}; number its segments from 0")
    return np.array(begins, np.int64)


def _missing(numbers: Sequence[int]) -> tuple[int, str]:
    """How many segments before the last are missing, and the names of the first of them; `numbers` ascend, none comes twice."""
    there = set(numbers)
    lost = islice((k for k in range(numbers[-1]) if k not in there), 5)  # never walks further than there are segments, and five
    return numbers[-1] + 1 - len(there), ", ".join(f"segment_{k}" for k in lost)


def _distinct(labels: Mapping[Any, str]) -> dict[Any, str]:
    """Safe names; where two labels would have one, each gets a short hash of what it is of."""
    safe = {k: safe_name(v) for k, v in labels.items()}
    often = Counter(safe.values())
    return {k: v if often[v] == 1 else f"{v[:140]}-{hashlib.sha256(repr(k).encode()).hexdigest()[:8]}" for k, v in safe.items()}


def takes(place: Any) -> bool:
    """Whether a folder or repository holds files of dense rows."""
    try:
        name = published_marker.files(place)[0].string
        with published_marker.opened(place / name, None) as opened:
            return {COUNTS, *KEYS} <= set(opened.schema_arrow.names)
    except (UnreadableFile, StoreError, *parquet.ERRORS):
        return False


def sessions(place: Any) -> list[Session]:
    """The sessions of a corpus, sorted: sources for `building.ingest` with the reader `rows()`.

    Raises
    ------
    UnreadableFile : there are no such rows, or they are damaged
    """
    corpus = Corpus(place)
    within = Counter((dataset, session) for dataset, _, session in corpus.sessions)
    called = {k: _NAMELESS if k[2] is None else k[2] for k in corpus.sessions}
    labels = {k: name if within[k[0], k[2]] == 1 else f"{k[1]}_{name}" for k, name in called.items()}
    datasets = _distinct({dataset: dataset for dataset, _, _ in corpus.sessions})
    own: dict[str, dict[Key, str]] = {}
    for k, label in labels.items():
        own.setdefault(k[0], {})[k] = label
    names = {k: name for group in own.values() for k, name in _distinct(group).items()}
    return [Session(corpus, k, datasets[k[0]], names[k]) for k in corpus.sessions]


def rows() -> PublishedRows:
    """The reader of published rows; see PublishedRows."""
    return PublishedRows()
