"""Memory and time of each stage as a pile grows to billions of tokens: each a process of its own, through the command line."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.common import synthetic
from neuropile import building, create_store
from neuropile.writing import Provenance

#: A session of an hour and this many units holds 0.27 billion tokens.
N_UNITS, DURATION_S = 1500, 3600.0
SESSIONS = (2, 8, 20)


#: Runs a command and then says its peak of resident memory; what wait4 says would begin at the peak of this process.
_RUN = """
import sys
from neuropile.cli import main
sys.argv[0] = "neuropile"
try:
    main()
except SystemExit as e:
    if e.code:
        raise
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def measured(command: Sequence[object]) -> tuple[float, float]:
    """Seconds a neuropile command took, and its peak of resident memory in MB."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _RUN, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"neuropile {' '.join(map(str, command))} failed: {done.stderr}")
    return time.perf_counter() - start, int(done.stdout.split()[-1]) / 1e3


def stages(folder: Path) -> dict[str, list[object]]:
    """What is done with a pile, in order."""
    pile, ids = folder / "pile.parquet", folder / "ids.parquet"
    return {
        "pile": ["pile", folder.parent / "store", "--out", pile, "--test", 0],
        "publish": ["publish", pile, "--to", folder / "published"],
        "stats": ["stats", folder / "published", "--out", folder / "stats.parquet"],
        "motifs 1x10": ["motifs", folder / "published", "--shape", 1, 10, "--out", folder / "motifs.parquet"],
        "motifs 5x5": ["motifs", folder / "published", "--shape", 5, 5, "--out", folder / "motifs55.parquet"],
        "tokens fit": ["tokens", "fit", folder / "motifs.parquet", "--size", 4000, "--out", folder / "vocabulary.parquet"],
        "tokens encode": ["tokens", "encode", folder / "published", "--vocab", folder / "vocabulary.parquet", "--out", ids],
        "tokens report": ["tokens", "report", folder / "published", "--vocab", folder / "vocabulary.parquet"],
        "order": ["order", folder / "published", "--out", folder / "ordered.parquet"],
    }


def rows(folder: Path, sessions: Sequence[int] = SESSIONS, n_units: int = N_UNITS, duration_s: float = DURATION_S) -> list[dict[str, object]]:
    """A row a stage and size: tokens, seconds, seconds a billion tokens, peak memory."""
    store = create_store(folder / "store")
    found: list[dict[str, object]] = []
    for n in sessions:
        for i in range(len(store), n):
            recording = replace(synthetic(n_units, duration_s, seed=i), session_id=f"synthetic_{i:03d}")
            building.add_recording(store, recording, Provenance("synthetic", (), "benchmarks"))
        own = folder / f"{n}-sessions"
        own.mkdir()
        tokens = n * n_units * duration_s / 0.02
        for stage, command in stages(own).items():
            seconds, peak = measured(command)
            per_billion = seconds / (tokens / 1e9)
            found.append({"stage": stage, "tokens, G": tokens / 1e9, "s": seconds, "s a Gtoken": per_billion, "peak memory, MB": peak, "aim": "< 2000 MB"})
    return found


def tables(folder: Path) -> dict[str, list[dict[str, object]]]:
    """Each stage at growing sizes."""
    return {"memory and time as a pile grows": rows(folder)}
