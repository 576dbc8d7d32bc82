"""Whether a session, a store, a pile or a published folder is what it was when it was written, and splits do not leak."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuropile import layout, object_files, parquet, remote
from neuropile.binning import tick_of
from neuropile.digest import ContentDigest
from neuropile.errors import NeuropileError, StoreError
from neuropile.index import Index
from neuropile.parts import Signals
from neuropile.pile import Pile, open_pile
from neuropile.progress import QUIET, Progress
from neuropile.published import MARKER, MARKER_KIND
from neuropile.session import Session
from neuropile.sources import PublishedSource, StoreSource
from neuropile.store import open_store
from neuropile.types import SIGNAL_QUANTITIES

#: So many spikes of a session are in memory at a time.
_SPIKES_AT_ONCE = 8_000_000
#: Of a signal so many bytes.
_SIGNAL_BYTES = 64 << 20


@dataclass(frozen=True)
class Finding:
    """What is wrong, and where: an "error" is damage or a leak, a "warning" something to know."""

    level: str
    where: str
    problem: str


def verify(path: Any, progress: Progress = QUIET) -> list[Finding]:
    """Read everything below a path again and compare it with what was written; no finding means all is well.

    path : a session folder, a store, a pile file or a published folder

    Raises
    ------
    NeuropileError : there is nothing of the kind at `path`
    """
    root = remote.as_path(path)
    if not remote.is_remote(root):
        if not root.exists():
            raise NeuropileError(f"{path}: no such file or folder")
        if root.is_file():
            return list(_pile(root, progress))
    if root.suffix == ".parquet" or remote.exists(root / MARKER):
        return list(_pile(root, progress))
    if remote.exists(root / layout.STORE_FILE):
        return list(_store(root, progress))
    if remote.exists(root / layout.SESSION_FILE):
        return [Finding("error", str(root), problem) for problem in session_problems(root)]
    raise NeuropileError(f"{path} is neither a store, a session, a pile nor a published folder (no {layout.STORE_FILE}, {layout.SESSION_FILE} or {MARKER})")


def session_problems(root: Any) -> list[str]:
    """What is wrong with a session folder: files missing, cut, changed or unknown; values that no longer make its digest."""
    try:
        session = Session(root)
    except StoreError as e:
        return [str(e)]
    # far away what a file holds is asked for when it is read
    known = session.record["files"]
    problems = _names_far_away(root, known) if remote.is_remote(root) else layout.file_problems(root, known, layout.SESSION_FILE)
    try:
        if not problems and _content_digest(session) != session.record["content_digest"]:
            problems.append("its values do not make the content digest in its marker: restore it from a copy or build it again")
        problems += _blocks(session) + ([] if problems else _lies(session))
    except (StoreError, *parquet.ERRORS, RuntimeError) as e:
        problems.append(str(e))
    return problems


def _names_far_away(root: Any, known: Mapping[str, Any]) -> list[str]:
    """What is missing or unknown among the files of a session far away, where they can be listed."""
    present = set(object_files.files_below(root)) if remote.can_list(root) else {*known, layout.SESSION_FILE}
    missing = [f"{name} is missing" for name in sorted(set(known) - present)]
    return missing + [f"{name} is not one of its files" for name in sorted(present - set(known) - {layout.SESSION_FILE})]


def _content_digest(session: Session) -> str:
    digest = ContentDigest()
    record = session.record
    intervals = {name: session.table(f"{layout.INTERVALS_FOLDER}/{name}.parquet") for name in session.intervals}
    units, channels = (
        layout.emptied(session.table(file), record["filled"].get(name, ())) if file in record["files"] else None
        for name, file in (("units", layout.UNITS_FILE), ("channels", layout.CHANNELS_FILE))
    )
    digest.session((record["quantity"], record["clock"], record["ticks_per_s"]), units, intervals, channels)
    digest.spikes(_trains(session), record["n_spikes"])
    for name in session.signals:
        _take_in_signal(digest, name, session.signals)
    return digest.hex()


def _trains(session: Session) -> Iterator[np.ndarray]:
    """Every unit's ticks in turn, read for some units at a time; nothing of a session that holds a signal."""
    if session.quantity in SIGNAL_QUANTITIES:
        return
    n = session.table(layout.UNITS_FILE).column("n_spikes").to_numpy()
    batch = np.cumsum(n) // _SPIKES_AT_ONCE
    for b in np.unique(batch):
        rows = np.flatnonzero(batch == b)
        offsets, ticks = session.counter.trains(rows)
        for row in rows.tolist():
            yield ticks[offsets[row] : offsets[row + 1]]


def _take_in_signal(digest: ContentDigest, name: str, signals: Signals) -> None:
    group = signals.group(name)
    attrs = group.attrs
    data = group["data"]
    digest.text("signal", name, tuple(data.metadata.dimension_names), attrs.get("unit", ""), attrs.get("start_s"), attrs.get("rate_hz"))
    for part in ("data", "time"):
        if part in group:
            array = group[part]
            row_bytes = max(array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64)), 1)
            step = max(_SIGNAL_BYTES // row_bytes, 1)
            chunks = (np.asarray(array[i : i + step]) for i in range(0, array.shape[0], step))
            digest.array(part, chunks, array.dtype.newbyteorder("=").str.lstrip("<>|="), array.shape)


def _blocks(session: Session) -> list[str]:
    """Row groups that do not keep within one time block: a window would be read from too many places, or too few."""
    edges = np.asarray(session.record["block_edges"])
    bounds = session.spike_file.bounds
    first, last = (np.searchsorted(edges, bounds[:, i], side="right") for i in (2, 3))
    return [f"row group {i} of {layout.SPIKES_FILE} lies in more than one time block" for i in np.flatnonzero(first != last).tolist()]


def _lies(session: Session) -> list[str]:
    """Numbers in the marker that its own tables do not give."""
    record, units, bounds = session.record, session.table(layout.UNITS_FILE), session.spike_file.bounds
    spans = session.observed.of_any()
    is_signal = session.quantity in SIGNAL_QUANTITIES
    first, last = _ticks_of_signal(session) if is_signal else (bounds[:, 2].min(), bounds[:, 3].max())
    true = {
        "n_units": units.num_rows,
        "n_spikes": int(bounds[:, 4].sum()),
        "first_tick": int(first),
        "last_tick": int(last),
        "duration_s": int(spans[-1, 1] - spans[0, 0]) / session.ticks_per_s if len(spans) else 0.0,
        "observed_s": int((spans[:, 1] - spans[:, 0]).sum()) / session.ticks_per_s,
        "regions": sorted({r for r in units.column("region").to_pylist() if r}),
    }
    told = [f"its marker says {name} is {record[name]!r}, its tables say {value!r}: build it again" for name, value in true.items() if record[name] != value]
    shape = session.signals.group(session.quantity)["data"].shape if is_signal else (0, session.n_units)
    if shape[1:] != (session.n_units,):
        told.append(f"its {session.quantity} have the shape {shape}, not a column for each of {session.n_units} units: build it again")
    return told


def _ticks_of_signal(session: Session) -> tuple[int, int]:
    """The first and the last tick of a session that holds a signal: of what was observed, where nothing was of its samples."""
    spans = session.observed.of_any()
    if len(spans):
        return int(spans[0, 0]), int(spans[-1, 1]) - 1
    times = session.signals[session.quantity]["time"].to_numpy()
    first, last = tick_of(np.array([times.min(), times.max()]), session.ticks_per_s).tolist()
    return first, last


def _store(root: Any, progress: Progress) -> Iterator[Finding]:
    store = open_store(root)
    try:
        listed = {f"{r['dataset']}/{r['session_id']}": r for r in store.session_table.to_pylist()}
    except StoreError as e:
        yield Finding("error", str(store.index.folder), str(e))
        listed = {}
    found = dict.fromkeys(listed)
    if remote.can_list(root):
        finished, others = store.folders()
        found |= dict.fromkeys(finished)
        for key in others:
            yield Finding("warning", str(root / key), "no finished session (no session.json): left by something else than a build; remove it")
    for key in progress.track(found, len(found), "verifying"):
        problems = session_problems(root / key)
        yield from (Finding("error", key, problem) for problem in problems)
        session = None if problems else Session(root / key)
        if session is not None and session.key != key:
            yield Finding("error", key, f"is a copy of session {session.key}; remove it, or build the recording again as {key}")
        elif session is not None:
            yield from _against_index(store.index, session, listed.get(key))


def _against_index(index: Index, session: Session, row: dict[str, Any] | None) -> Iterator[Finding]:
    mend = f"run: neuropile index {index.root}"
    if row is None:
        yield Finding("error", session.key, f"is not in the index; {mend}")
        return
    own = layout.session_row(session.record).drop_columns(["status", "error"]).to_pylist()[0]
    differing = [name for name, value in own.items() if row[name] != value]
    if differing:
        yield Finding("error", session.key, f"the index has another {', '.join(differing)}; {mend}")
    units = index.units
    mine = pc.and_(pc.equal(units.column("dataset"), session.dataset), pc.equal(units.column("session_id"), session.session_id))
    if not _same(units.filter(mine), session.unit_table):
        yield Finding("error", session.key, f"the index has other units; {mend}")


def _same(a: pa.Table, b: pa.Table) -> bool:
    """Whether two tables hold the same values, NaN like NaN."""
    digests = []
    for table in (a, b):
        digest = ContentDigest()
        digest.table("units", table)
        digests.append(digest.hex())
    return digests[0] == digests[1]


def _pile(root: Any, progress: Progress) -> Iterator[Finding]:
    pile = open_pile(root)
    yield from _leaks(pile)
    sessions: dict[str, dict[str, Any]] = {}
    totals = {"n_tokens": 0, "n_spikes": 0}
    broken: set[str] = set()
    for segment in progress.track(pile, len(pile), "verifying"):
        try:
            if isinstance(segment.source, StoreSource):
                session = segment.source.of(segment)[0]
                if segment.key not in sessions:
                    yield from (Finding("error", segment.key, problem) for problem in session_problems(session.root))
                sessions[segment.key] = session.record
            else:
                totals["n_tokens"] += segment.n_tokens
                totals["n_spikes"] += int(segment.counts().sum(dtype=np.int64))
        except NeuropileError as e:
            if str(e) not in broken:
                yield Finding("error", f"{segment.key} {segment.segment_id}", str(e))
            broken.add(str(e))
    if isinstance(pile.source, PublishedSource):
        yield from (Finding("error", str(root), problem) for problem in pile.source.rows.problems())
        rows = pile.source.rows.table("sessions").to_pylist()
        sessions = {f"{r['dataset']}/{r['session_id']}": r for r in rows}
        marker = layout.read_marker(root / MARKER, MARKER_KIND)
        for name, total in totals.items():
            if not broken and marker[name] != total:
                yield Finding("error", str(root), f"its rows hold {total} {name[2:]}, its marker says {marker[name]}; publish the pile again")
    yield from _copies(sessions)


def _leaks(pile: Pile) -> Iterator[Finding]:
    """Ids on more than one side of the splits: of those the pile was split by an error, of subjects a warning."""
    by = pile.meta["split_by"]
    rows = pile.table.select(["recording_id", "subject_id", "dataset", "segment_id", "split"]).to_pylist()
    key_of: dict[str, Callable[[dict[str, Any]], str]] = {
        "recording": lambda r: r["recording_id"],
        "subject": lambda r: r["subject_id"] or r["recording_id"],
        "dataset": lambda r: r["dataset"],
        "segment": lambda r: f"{r['recording_id']}/{r['segment_id']}",
    }
    for name in dict.fromkeys((by, "subject")):
        sides: dict[str, set[str]] = {}
        for row in rows:
            sides.setdefault(key_of[name](row), set()).add(row["split"])
        for key, splits in sides.items():
            if len(splits) > 1:
                told = "the splits leak; make the pile again" if name == by else f"the pile was split by {by}; split_by='subject' keeps it on one side"
                yield Finding("error" if name == by else "warning", f"{name} {key}", f"is in {' and '.join(sorted(splits))}: {told}")


def _copies(sessions: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """Sessions read from the same bytes that count as different recordings."""
    of_bytes: dict[str, dict[str, str]] = {}
    for key, row in sessions.items():
        for source in row["sources"]:
            if source["sha256"]:
                of_bytes.setdefault(source["sha256"], {})[key] = row["recording_id"]
    for keys in of_bytes.values():
        if len(set(keys.values())) > 1:
            yield Finding("warning", " and ".join(sorted(keys)), "were read from the same bytes and count as different recordings: splits may leak")
