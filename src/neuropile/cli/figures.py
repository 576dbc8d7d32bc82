"""Piles and sessions into the values that plotting draws."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import layout, plotting, remote
from neuropile.errors import PileError
from neuropile.paths import safe_name
from neuropile.pile import Pile, open_pile
from neuropile.segment import Segment
from neuropile.session import Session
from neuropile.store import Store, open_store
from neuropile.types import EVENT_QUANTITIES

if TYPE_CHECKING:
    from neuropile.progress import Progress


def draw(path: Any, out: Path, *, examples: int, every: bool, session: str | None, seed: int, progress: Progress) -> list[Path]:
    """The figures of `neuropile plot`, written; see its help."""
    if seed < 0:
        raise PileError(f"seed is {seed}; it must be 0 or more")
    if examples < 1:
        raise PileError(f"examples is {examples}; it must be at least 1")
    if remote.exists(path / layout.STORE_FILE):
        store = open_store(path)
        keys = [session] if session else _drawable(store) if every else sample(_drawable(store), examples, seed)
        return [plotting.save(plotting.session_overview(overview(store[key])), named(out, key, keys)) for key in progress.track(keys, len(keys), "drawing")]
    if session:
        what = "one session" if (path / layout.SESSION_FILE).is_file() else "a pile"
        raise PileError(f"--session picks a session of a store; {path} is {what}")
    if (path / layout.SESSION_FILE).is_file():
        return [plotting.save(plotting.session_overview(overview(Session(path))), out)]
    pile = open_pile(path)
    if not every:
        return [plotting.save(plotting.segments([panel(s) for s in pick(pile, examples, seed)]), out)]
    datasets = sorted(set(pile.table.column("dataset").to_pylist()))
    written = []
    for name in progress.track(datasets, len(datasets), "drawing"):
        own = pile.take(np.flatnonzero(np.array(pile.table.column("dataset").to_pylist()) == name))
        figure = plotting.segments([panel(s) for s in pick(own, examples, seed)], title=name)
        written.append(plotting.save(figure, named(out, name, datasets)))
    return written


def named(out: Path, key: str, keys: Iterable[str]) -> Path:
    """`out` itself for one figure, else with the figure's own name added."""
    return out if len(list(keys)) == 1 else out.with_name(f"{out.stem}_{safe_name(key)}{out.suffix}")


def sample(items: list[str], n: int, seed: int) -> list[str]:
    """At most n of the items at random, in their own order."""
    chosen = np.random.default_rng(seed).choice(len(items), min(n, len(items)), replace=False)
    return [items[i] for i in sorted(chosen.tolist())]


def pick(pile: Pile, n: int, seed: int) -> Pile:
    """At most n segments of a pile at random, in its order."""
    return pile.take(np.sort(np.random.default_rng(seed).choice(len(pile), min(n, len(pile)), replace=False)))


def panel(segment: Segment) -> plotting.SegmentPanel:
    """A segment as plotting draws it."""
    counts = segment.counts()
    observed = counts["unit_observed" if "unit_observed" in counts.coords else "observed"].to_numpy()
    return plotting.SegmentPanel(
        counts.to_numpy(), segment.start_s, float(segment.bin_width), segment.dataset, segment.session_id, segment.segment_id, observed
    )


def _drawable(store: Store) -> list[str]:
    """The sessions of a store that have events to draw."""
    table = store.session_table
    keys = [key for key, quantity in zip(store, table.column("quantity").to_pylist(), strict=True) if quantity in EVENT_QUANTITIES]
    if not keys and len(store):
        raise PileError(f"{store.root} has sessions of signals only, which have no events to draw; see ses.signals")
    return keys


def overview(session: Session) -> plotting.SessionOverview:
    """A session as plotting draws it."""
    spikes, observed = session.spikes(), session.observed
    units = session.units
    return plotting.SessionOverview(
        title=session.key,
        subtitle=f"{session.subject_id or 'unknown subject'}, {session.species or 'unknown species'} · {session.n_units:,} units · {session.n_spikes:,} spikes",
        spike_unit=np.repeat(np.arange(session.n_units), np.diff(spikes.offsets)),
        spike_s=spikes.times,
        depth_um=units["depth_um"].to_numpy(np.float64),
        region=units["region"].astype(object).where(units["region"].notna(), None).tolist(),
        rate_hz=units["rate_hz"].to_numpy(np.float64),
        spans_s=np.stack([observed.start, observed.stop], axis=1) / session.ticks_per_s,
        span_unit=observed.unit,
    )


def first_store_session(store: Store) -> str:
    """The session with most units, the one worth a first look."""
    return str(store.sessions.loc[_drawable(store), "n_units"].idxmax())
