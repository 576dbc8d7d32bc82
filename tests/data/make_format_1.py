"""How tests/data/format-1 was made, once: its files are never made again, only read by every later version."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import neuropile
from neuropile import building, testing
from neuropile.types import Asset, Recording, Spans, Subject, Trains
from neuropile.writing import Provenance

FOLDER = Path(__file__).parent / "format-1"


def recordings() -> list[Recording]:
    """A session with everything, one whose units differ in when they were observed, and counts of trials laid end to end."""
    whole = testing.recording(0, n_units=5, duration_s=12.0, observed="gaps")
    each = testing.recording(1, n_units=4, duration_s=8.0, observed="each", invalid=True, start_s=-2.0)
    trials = pa.table({"start_s": [0.0, 2.0], "stop_s": [0.5, 2.5], "offset_s": [0.0, 2.0], "odour": ["pinene", None]})
    ticks = [np.array([0, 0, 3, 24, 100, 100, 100]), np.array([101, 124]), np.array([], np.int64)]
    counts = Recording(
        session_id="trials",
        units=pa.table({"unit_id": ["a", "b", "ü"], "region": ["MOB", None, "MOB"], "quality": ["good", "noise", None]}),
        trains=Trains(3, lambda u: ticks[u], kind="ticks"),
        subject=Subject("m1", "Mus musculus"),
        quantity="counts",
        ticks_per_s=50,
        clock="trials",
        intervals={"trials": trials},
        observed=Spans.of([0.0, 2.0], [0.5, 2.5]),
        span_source="trials",
        notes=("made up",),
    )
    return [replace(whole, session_id="whole"), replace(each, session_id="each"), counts]


def write(store: neuropile.Store) -> None:
    """The recordings into a store, as they were first written."""
    for recording in recordings():
        asset = Asset(f"{recording.session_id}.nwb", 3, f"00ff-{recording.session_id}")
        building.add_recording(store, recording, Provenance("made", (asset,), "testing", "CC0-1.0", "nobody"))


def facts_of(store: neuropile.Store) -> dict[str, Any]:
    """What reading each session must give, as plain values."""
    found: dict[str, Any] = {}
    for key in store:
        ses = store[key]
        spikes = ses.spikes()
        found[key] = {
            "content_digest": ses.record["content_digest"],
            "unit_ids": ses.units["unit_id"].tolist(),
            "regions": [r if isinstance(r, str) else None for r in ses.units["region"]],
            "ticks": [np.rint(spikes[u] * ses.ticks_per_s - 0.5).astype(int).tolist() for u in range(len(spikes))],
            "observed": np.c_[ses.observed.unit, ses.observed.start, ses.observed.stop].tolist(),
            "counts_100ms": ses.counts(0.1).to_numpy().tolist(),
            "trials": {c: [None if v != v else v for v in ses.trials[c].tolist()] for c in ("start_s", "stop_s")},
            "signals": {name: float(np.asarray(ses.signals[name], np.float64).sum()) for name in ses.signals},
        }
    return found


def main() -> None:
    """Write everything into a folder that must not be there."""
    FOLDER.mkdir()
    store = neuropile.create_store(FOLDER / "store")
    write(store)
    store.add_failure("made", "lost", "made.nwb: made up")
    store.rebuild_index()
    made = neuropile.make_pile(store, bin_width=0.1, max_tokens=200, test=0.4, seed=3)
    made.save(FOLDER / "pile.parquet")
    for name in ("sparse", "dense"):
        made.publish(FOLDER / name, layout=name)
    segments = [{"key": s.key, "segment_id": s.segment_id, "split": s.split, "start_s": s.start_s, "counts": s.counts().to_numpy().tolist()} for s in made]
    expected = {"sessions": facts_of(store), "failed": store.failed["error"].to_dict(), "segments": segments}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    shutil.rmtree(store.root / "index" / "parts", ignore_errors=True)
    for lock in FOLDER.rglob(".lock"):
        lock.unlink()


if __name__ == "__main__":
    main()
