"""Making a pile: which units of which sessions, cut into which segments, in which split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile import remote, splits
from neuropile.binning import as_ticks_per_bin, as_width
from neuropile.errors import BinWidthError, PileError
from neuropile.pile import Pile
from neuropile.pilefile import SEGMENT_SCHEMA
from neuropile.session import Session
from neuropile.sources import StoreSource
from neuropile.spans import stretches
from neuropile.store import QUALITY_RULES, Store, all_labels, open_store
from neuropile.types import SIGNAL_QUANTITIES

SPLIT_BY = ("recording", "subject", "dataset", "segment")
GAPS = ("cut", "keep")


def make_pile(
    stores: Store | str | Path | Sequence[Store | str | Path],
    *,
    bin_width: float | str | Fraction = 0.02,
    max_tokens: int = 10_000_000,
    val: float = 0.0,
    test: float = 0.01,
    split_by: str = "recording",
    seed: int = 0,
    where: str | None = None,
    quality: str = "not-noise",
    gaps: str = "cut",
    strict: bool = False,
    set_aside: bool = False,
) -> Pile:
    """List the segments of all sessions of some stores; no spike is read. Sessions of signals, which hold none, are left out and listed.

    Parameters
    ----------
    stores : one or several, open or by their paths
    bin_width : seconds, or text such as "1/32"; sessions whose clock cannot make it are left out and listed
    max_tokens : the most tokens (unit x bin) of a segment; the rounding may exceed it by n_units - 1
    val, test : shares of the ids that go to these splits, by a hash of the id and `seed`
    split_by : "recording", "subject" (its recording where no subject is known), "dataset" or "segment"
    where : an SQL condition on columns of units and sessions, as in `Store.sql`; a session's own n_spikes is `session_n_spikes`;
        `in_region('VISp', ...)` holds for units in one of some regions of any atlas level, or in a part of one
    quality : "good", "not-noise" (unknown counts as not noise) or "all"
    gaps : "cut" ends a segment at a session-wide unobserved second, "keep" never does
    strict : raise where a session would be left out for its clock
    set_aside : take the sessions too that are left out by default, for the reason kept with each (a copy of others, say, or
        a test set without its answers)

    Raises
    ------
    PileError : an option is not understood, nothing is left, or a session has more units than `max_tokens`
    """
    for value, known, name in ((quality, tuple(QUALITY_RULES), "quality"), (split_by, SPLIT_BY, "split_by"), (gaps, GAPS, "gaps")):
        if value not in known:
            raise PileError(f"{name} is {value!r}; it must be one of {', '.join(known)}")
    if max_tokens != int(max_tokens) or max_tokens < 1:
        raise PileError(f"max_tokens is {max_tokens}; it must be a positive whole number")
    max_tokens = int(max_tokens)
    splits.check_shares(val, test)
    width = as_width(bin_width)
    made = _Making(width, max_tokens, split_by, seed, val, test, gaps, strict, set_aside)
    opened = [s if isinstance(s, Store) else open_store(s) for s in ([stores] if isinstance(stores, Store | str | Path) else stores)]
    made.labels = all_labels(opened, where)
    for store in opened:
        made.add(store, where, quality)
    if not made.rows:
        raise PileError(f"nothing to pile: {made.why_nothing(where, quality)}")
    meta = {
        "bin_width": str(width),
        "max_tokens": max_tokens,
        "val": val,
        "test": test,
        "split_by": split_by,
        "seed": seed,
        "where": where,
        "quality": quality,
        "gaps": gaps,
        "set_aside": set_aside,
        "left_out": made.left_out,
        "warnings": [*splits.empty_split_hints(made.keys, seed, val, test), *made.copies()],
    }
    return Pile(pa.Table.from_pylist(made.rows, schema=SEGMENT_SCHEMA), StoreSource(made.selections, made.roots), meta)


@dataclass
class _Making:
    """The rows of a pile as they are gathered."""

    width: Fraction
    max_tokens: int
    split_by: str
    seed: int
    val: float
    test: float
    gaps: str
    strict: bool
    set_aside: bool
    labels: frozenset[str] = frozenset()
    rows: list[dict[str, Any]] = field(default_factory=list)
    selections: dict[int, np.ndarray] = field(default_factory=dict)
    roots: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    digests: dict[str, list[str]] = field(default_factory=dict)
    width_error: BinWidthError | None = None
    left_out: dict[str, Any] = field(
        default_factory=lambda: {
            "units_by_quality": 0,
            "units_by_where": 0,
            "sessions_without_units": [],
            "sessions_by_bin_width": [],
            "sessions_unobserved": [],
            "sessions_of_signals": [],
            "sessions_set_aside": [],
        }
    )

    def add(self, store: Store, where: str | None, quality: str) -> None:
        taken = self._taken(store)
        chosen = store.select(where, quality, taken, self.labels)
        self.left_out["units_by_quality"] += chosen.n_left_by_quality
        self.left_out["units_by_where"] += chosen.n_left_by_where
        for key in store:
            if key in self.seen:
                raise PileError(f"session {key} is in more than one of the stores; a pile takes it once: leave one out or build it as another dataset")
            self.seen.add(key)
            if key not in taken:
                continue
            units = chosen.units.get(key)
            if units is None:
                self.left_out["sessions_without_units"].append(key)
                continue
            session = store[key]
            if not store.lists(session.record):
                raise PileError(f"the index of {store.root} is not that of its sessions ({key} has changed since); run: neuropile index {store.root}")
            try:
                per_bin = as_ticks_per_bin(self.width, session.ticks_per_s)
            except BinWidthError as e:
                if self.strict:
                    raise PileError(f"{key}: {e}") from None
                self.left_out["sessions_by_bin_width"].append(key)
                self.width_error = e
                continue
            self._add_session(store, session, units, per_bin)

    def _taken(self, store: Store) -> set[str]:
        """The sessions that hold events and are not set aside; the others are put among those left out."""
        taken = set()
        for key, row in zip(store, store.session_table.select(["quantity", "set_aside"]).to_pylist(), strict=True):
            if row["quantity"] in SIGNAL_QUANTITIES:
                self.left_out["sessions_of_signals"].append(key)
            elif row["set_aside"] is not None and not self.set_aside:
                self.left_out["sessions_set_aside"].append({"session": key, "reason": row["set_aside"]})
            else:
                taken.add(key)
        return taken

    def why_nothing(self, where: str | None, quality: str) -> str:
        """What left no session, for an error."""
        left = self.left_out
        if self.width_error is not None:
            return f"{len(left['sessions_by_bin_width'])} sessions have a clock that cannot make the bin width: {self.width_error}"
        if not self.seen:
            return "the stores hold no finished session"
        n_signals, n_aside = len(left["sessions_of_signals"]), len(left["sessions_set_aside"])
        if n_signals + n_aside == len(self.seen):
            aside = f"set aside ({left['sessions_set_aside'][0]['reason']}); set_aside=True, or --set-aside, takes them" if n_aside else "set aside"
            return f"of {len(self.seen)} sessions {n_signals} hold signals, not events, and {n_aside} are {aside}"
        asked = f"quality {quality!r}" + (f" and where {where!r}" if where else "")
        n = f"{len(left['sessions_without_units'])} of {len(self.seen)} sessions have no unit with {asked}"
        return f"{n}, {len(left['sessions_unobserved'])} no observed span; store.sql('select distinct region, quality from units') shows what there is"  # noqa: S608

    def copies(self) -> list[str]:
        """A warning for every two sessions read from the same bytes: splits by recording would not keep them on one side."""
        return [
            f"{' and '.join(keys)} were read from the same bytes and count as different recordings; leave one out, or splits may leak"
            for keys in self.digests.values()
            if len(keys) > 1
        ]

    def _add_session(self, store: Store, session: Session, units: np.ndarray, per_bin: int) -> None:
        if len(units) > self.max_tokens:
            raise PileError(f"{session.key}: {len(units)} units are more than max_tokens={self.max_tokens}; raise max_tokens or select fewer units with where")
        max_gap = session.ticks_per_s if self.gaps == "cut" else None
        pieces = cut(stretches(session.observed.of_any(units), per_bin, max_gap), len(units), self.max_tokens)
        if not pieces:
            self.left_out["sessions_unobserved"].append(session.key)
            return
        for digest in {s["sha256"] for s in session.record["sources"]} - {None}:
            self.digests.setdefault(digest, []).append(session.key)
        selection = -1
        if len(units) < session.n_units:
            selection = len(self.selections)
            self.selections[selection] = units
        place = str(store.root if remote.is_remote(store.root) else store.root.resolve())
        self.roots[place] = store.root
        for k, (first, stop) in enumerate(pieces):
            segment_id = f"segment_{k}"
            key = {
                "recording": session.recording_id,
                "subject": session.subject_id or session.recording_id,
                "dataset": session.dataset,
                "segment": f"{session.recording_id}/{segment_id}",
            }[self.split_by]
            self.keys.append(key)
            self.rows.append(
                {
                    "segment_id": segment_id,
                    "store": place,
                    "dataset": session.dataset,
                    "session_id": session.session_id,
                    "recording_id": session.recording_id,
                    "subject_id": session.subject_id,
                    "quantity": session.quantity,
                    "first_bin": first,
                    "n_bins": stop - first,
                    "bin_num": self.width.numerator,
                    "bin_den": self.width.denominator,
                    "n_units": len(units),
                    "selection_id": selection,
                    "order_id": -1,
                    "split": splits.split_of(key, self.seed, self.val, self.test),
                    "weight": 1.0,
                    "session_digest": session.record["content_digest"],
                }
            )


def cut(runs: np.ndarray, n_units: int, max_tokens: int) -> list[tuple[int, int]]:
    """Cut stretches of bins into pieces of at most about `max_tokens` tokens.

    runs : (stretch, 2) half-open bins. Each stretch gives k = ceil(tokens / max_tokens) pieces of ceil(bins / k) bins;
    a last piece with nothing left is dropped.

    >>> cut(np.array([[0, 10], [20, 22]]), n_units=3, max_tokens=12)
    [(0, 4), (4, 8), (8, 10), (20, 22)]
    """
    pieces = []
    for first, stop in runs.tolist():
        n = stop - first
        k = -(-n * n_units // max_tokens)
        width = -(-n // k)
        pieces += [(first + i * width, min(first + (i + 1) * width, stop)) for i in range(k) if i * width < n]
    return pieces
