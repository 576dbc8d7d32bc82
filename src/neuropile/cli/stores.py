"""Commands on files and stores: ingest, info, index, units."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuropile.cli.output import Json, emit, progress, say, table

StoreOption = Annotated[Path, typer.Option("--store", help="The store: a folder, made if it is not there.")]
StorePath = Annotated[Path, typer.Argument(help="A store.")]


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders to search for them: NWB 2.x and MATLAB 7.3.")],
    store: StoreOption,
    dataset: Annotated[str, typer.Option(help="The dataset the sessions belong to.")] = "local",
    replace: Annotated[bool, typer.Option(help="Build again sessions that are stored already from other bytes.")] = False,
    license: Annotated[str | None, typer.Option(help="The licence of the data, as its SPDX name, such as CC-BY-4.0.")] = None,
    citation: Annotated[str | None, typer.Option(help="What to cite when the data are used.")] = None,
    as_json: Json = False,
) -> None:
    """Read recordings into a store, one session a file.

    Sessions that are stored already are skipped; a file that fails is recorded, the others go on, and the exit code is 1.

    Example: neuropile ingest recordings/ --store store --dataset mylab
    """
    from neuropile import building, readers
    from neuropile.errors import UnreadableFile
    from neuropile.store import create_store

    files: list[Path] = []
    missing: list[dict[str, object]] = []
    for path in paths:
        try:
            files += readers.find_sources(path)
        except UnreadableFile as e:
            missing.append({"path": str(path), "session": None, "status": "failed", "error": str(e)})
    outcomes = []
    if files:
        terms = building.Terms(license, citation)
        outcomes = building.ingest(files, create_store(store), readers.find, dataset=dataset, replace=replace, terms=terms, progress=progress())
    rows = missing + [{**vars(o), "path": str(o.path), "notes": list(o.notes)} for o in outcomes]
    failed = [r for r in rows if r["status"] == "failed"]
    for row in failed:
        say(f"error: {' '.join(str(row['error']).split())}")
    if not as_json:
        stored = [r for r in rows if r["status"] != "failed"]
        if stored:
            table([{**r, "notes": "; ".join(r["notes"])} for r in stored], ["session", "status", "n_units", "n_spikes", "notes"])
        say(f"{len(stored)} of {len(rows)} paths are sessions of {store}" + (f"; next: neuropile pile {store} --out pile.parquet" if stored else ""))
    emit({"store": str(store), "sessions": rows, "n_failed": len(failed)}, as_json)
    if failed:
        raise typer.Exit(1)


def info(
    path: Annotated[Path, typer.Argument(help="A recording, a session folder, a store, a pile file or a published folder.")], as_json: Json = False
) -> None:
    """Tell what is in a file, session, store or pile.

    Example: neuropile info recording.nwb
    """
    from neuropile.cli.describe import describe

    facts = describe(path)
    if not as_json:
        for name, value in facts.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                table(value, list(value[0]), title=name)
            elif value not in (None, [], {}):
                shown = ", ".join(map(str, value)) if isinstance(value, list) else f"{value:,}" if isinstance(value, int) else value
                print(f"{name:>16}  {shown}")
    emit(facts, as_json)


def index(store: StorePath, as_json: Json = False) -> None:
    """Make the store's two index files anew from its sessions, taking in the parts that builders left.

    Example: neuropile index store
    """
    from neuropile.store import open_store

    opened = open_store(store)
    opened.rebuild_index(progress())
    result = {"store": str(store), "n_sessions": len(opened), "n_units": len(opened.units), "n_failed": len(opened.failed)}
    if not as_json:
        print(f"{result['n_sessions']:,} sessions and {result['n_units']:,} units indexed")
    emit(result, as_json)


def units(
    store: StorePath,
    where: Annotated[str | None, typer.Option(help="An SQL condition on columns of units and sessions.")] = None,
    quality: Annotated[str, typer.Option(help="good, not-noise (unknown counts as not noise) or all.")] = "all",
    as_json: Json = False,
) -> None:
    """Count the units that pass a condition, by dataset and region.

    Example: neuropile units store --where "region = 'M2' and rate_hz > 0.5" --quality good
    """
    from neuropile.store import open_store, query_tables

    opened = open_store(store)
    picked = opened.select(where, quality)
    keys = [key for key, rows in picked.units.items() for _ in rows]
    rows = [int(r) for rows in picked.units.values() for r in rows]
    import pyarrow as pa

    chosen = pa.table({"key": pa.array(keys, pa.string()), "unit": pa.array(rows, pa.int32())})
    query = (
        "select dataset, region, count(distinct session_id) as sessions, count(*) as units, sum(n_spikes)::bigint as spikes, "
        "median(rate_hz) as median_rate_hz from units join chosen on units.dataset || '/' || units.session_id = chosen.key "
        "and units.unit = chosen.unit group by dataset, region order by units desc, region"
    )
    found = query_tables(query, units=opened.unit_table, chosen=chosen).to_pylist()
    result = {"store": str(store), "n_units": len(rows), "n_sessions": len(picked.units), "by_region": found}
    if not as_json:
        table(found, ["dataset", "region", "sessions", "units", "spikes", "median_rate_hz"])
        print(f"{len(rows):,} of {opened.unit_table.num_rows:,} units in {len(picked.units):,} sessions pass")
    emit(result, as_json)
