"""The whole way on recordings that come with the package: read, store, pile, publish, plot."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from neuropile.cli.output import Json, emit, here, progress, table

#: A share and seed that put one of the eight sessions into the test split.
_TEST_SHARE = 0.15


def bundled() -> list[tuple[dict[str, Any], list[Path]]]:
    """Each bundled dataset: what its `source.json` says, and its files."""
    root = Path(__file__).parents[1] / "data" / "demo"
    found = [(json.loads(page.read_text(encoding="utf-8")), page.parent) for page in sorted(root.glob("*/source.json"))]
    return [(source, sorted(p for p in folder.iterdir() if p.suffix in (".mat", ".nwb"))) for source, folder in found]


def demo(
    out: Annotated[Path, typer.Option(parser=here, help="Where the store, the pile, the published folder and the figures go.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Take eight real recordings all the way: read, store, pile, publish, plot.

    Example: neuropile demo --out demo
    """
    from neuropile import building, hub, plotting, readers
    from neuropile.cli import figures
    from neuropile.errors import NeuropileError
    from neuropile.pile import open_pile
    from neuropile.piling import make_pile
    from neuropile.store import create_store

    started = time.perf_counter()
    store = create_store(out / "store")
    source_bytes = 0
    for source, files in bundled():
        if not as_json:
            print(f"{source['title']} ({source['license']})\n  {source['citation']}")
        outcomes = building.ingest(
            files, store, readers.find, dataset=source["dataset"], terms=building.Terms(source["license"], source["citation"]), progress=progress()
        )
        failed = [o.error for o in outcomes if o.error]
        if failed:
            raise NeuropileError(failed[0])
        source_bytes += sum(f.stat().st_size for f in files)
    store.rebuild_index()
    stored = time.perf_counter()

    make_pile(store, test=_TEST_SHARE).save(out / "pile.parquet", replace=True)
    pile = open_pile(out / "pile.parquet")
    done = hub.publish(pile, out / "published", replace=True, progress=progress())
    published = time.perf_counter()

    drawn = [
        plotting.save(plotting.segments([figures.panel(s) for s in figures.pick(pile, 9, seed=0)]), out / "figures" / "segments.png"),
        plotting.save(plotting.session_overview(figures.overview(store[figures.first_store_session(store)])), out / "figures" / "session.png"),
    ]
    plotted = time.perf_counter()

    sessions = store.sessions
    size = sum(f.stat().st_size for f in (out / "store").rglob("*") if f.is_file())
    same = {"sessions": len(sessions), "units": int(sessions["n_units"].sum()), "spikes": int(sessions["n_spikes"].sum()), "tokens": pile.n_tokens}
    rows: list[dict[str, Any]] = [
        {"what": "source files", **same, "bytes": source_bytes, "seconds": None},
        {"what": "store: every spike time, unit and trial", **same, "bytes": size, "seconds": stored - started},
        {"what": "published pile: counts in 20 ms bins", **same, "spikes": done.n_spikes, "bytes": done.bytes, "seconds": published - stored},
        {"what": "figures", **dict.fromkeys(same), "bytes": sum(f.stat().st_size for f in drawn), "seconds": plotted - published},
    ]
    for row in rows:
        row["bits a token"] = 8 * row["bytes"] / row["tokens"] if row["tokens"] else None
    if not as_json:
        table(rows, ["what", "sessions", "units", "spikes", "tokens", "bytes", "bits a token", "seconds"])
        print("Look at:")
        for file in drawn:
            print(f"  {file}")
        print("Try next:")
        for line in _next_commands(out):
            print(f"  {line}")
    emit({"out": str(out), "rows": rows, "figures": [str(f) for f in drawn], "next": _next_commands(out)}, as_json)


def _next_commands(out: Path) -> list[str]:
    return [
        f"neuropile info {out / 'store'}",
        f"neuropile units {out / 'store'} --where \"region = 'M2' and rate_hz > 1\"",
        f"neuropile pile {out / 'store'} --out m2.parquet --bin 0.005 --where \"region = 'M2'\"",
        f"neuropile plot {out / 'store'} --session mouse-thalamus/sub_anm00239123_ses_20170627T093549_ecephys_and_ogen --out session.png",
        "neuropile ingest YOUR_FILES --store mystore",
    ]
