"""Commands on files and stores: ingest, info, index, units."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neuropile.cli.output import Json, emit, place, progress, say, table

StoreOption = Annotated[Any, typer.Option("--store", parser=place, help="The store, made if it is not there: a folder, or a URL such as s3://bucket/store.")]
StorePath = Annotated[str, typer.Argument(help="A store: a folder or a URL.")]
SampleRate = Annotated[float | None, typer.Option(help="Samples a second, where the source counts in samples and does not say.")]
Mapping = Annotated[list[str] | None, typer.Option("--map", help="Which array is what, as key=array, once a key; see docs/explain/mapping.md.")]


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, session folders, folders to search for them, or URLs.")],
    store: StoreOption,
    dataset: Annotated[str | None, typer.Option(help="The dataset the sessions belong to; by default what the source says, else local.")] = None,
    replace: Annotated[bool, typer.Option(help="Build again sessions that are stored already from other bytes.")] = False,
    license: Annotated[str | None, typer.Option(help="The licence of the data, as its SPDX name, such as CC-BY-4.0.")] = None,
    citation: Annotated[str | None, typer.Option(help="What to cite when the data are used.")] = None,
    sample_rate: SampleRate = None,
    mapping: Mapping = None,
    compat: Annotated[str | None, typer.Option(help="upstream: as the published neural-pile scripts do, as dataset NAME@upstream.")] = None,
    as_json: Json = False,
) -> None:
    """Read recordings into a store, one session a file or session folder.

    Takes NWB (HDF5, Zarr), ALF, Kilosort, MATLAB and NumPy files, and corpora of dense rows as others publish them
    (hf://datasets/owner/name, or such a folder).

    Sessions that are stored already are skipped; one that fails is recorded, the others go on, and the exit code is 1.
    Files that follow no format are read by a mapping of which array is what: --map times=spikes --map counts=sCount.

    Example: neuropile ingest recordings/ --store store --dataset mylab
    """
    from functools import partial

    from neuropile import building, readers, remote
    from neuropile.errors import NeuropileError, UnreadableFile
    from neuropile.readers import arrays
    from neuropile.store import create_store

    if compat not in (None, "upstream"):
        raise NeuropileError(f"--compat is {compat!r}; there is one other way of reading: --compat upstream")
    known = arrays.parse(mapping) if mapping else None
    find = partial(readers.find, sample_rate=sample_rate, mapping=known, upstream=compat == "upstream")
    files: list[Any] = []
    missing: list[dict[str, object]] = []
    for path in paths:
        try:
            files += readers.find_sources(remote.as_path(path), mapped=bool(known))
        except UnreadableFile as e:
            missing.append({"path": path, "session": None, "status": "failed", "error": str(e)})
    files = list(dict.fromkeys(files))
    outcomes: list[building.Outcome] = []
    if files:
        terms = building.Terms(license, citation)
        opened = create_store(store)
        by_dataset: dict[str, list[Any]] = {}
        for file in files:
            name = str(dataset or getattr(file, "dataset", "local"))
            by_dataset.setdefault(f"{name}@upstream" if compat else name, []).append(file)
        for name, own in by_dataset.items():
            outcomes += building.ingest(own, opened, find, dataset=name, replace=replace, terms=terms, progress=progress())
        opened.index.take_in()
    rows = missing + [{**vars(o), "path": str(o.path), "notes": list(o.notes)} for o in outcomes]
    failed = [r for r in rows if r["status"] == "failed"]
    for row in failed:
        say(f"error: {' '.join(str(row['error']).split())}")
    if not as_json:
        stored = [r for r in rows if r["status"] != "failed"]
        if stored:
            table([{**r, "notes": "; ".join(r["notes"])} for r in stored], ["session", "status", "n_units", "n_spikes", "notes"])
        say(f"{len(stored)} of {len(rows)} recordings are sessions of {store}" + ("" if failed else f"; next: neuropile pile {store} --out pile.parquet"))
    emit({"store": str(store), "sessions": rows, "n_failed": len(failed)}, as_json)
    if failed:
        raise typer.Exit(1)


def info(
    path: Annotated[str, typer.Argument(help="A recording (file, folder, URL), a session, a store, a pile file or a published folder.")],
    sample_rate: SampleRate = None,
    mapping: Mapping = None,
    as_json: Json = False,
) -> None:
    """Tell what is in a file, session, store or pile, and which reader takes it.

    Example: neuropile info recording.nwb
    """
    from neuropile import remote
    from neuropile.cli.describe import describe
    from neuropile.readers import arrays

    facts = describe(remote.as_path(path), sample_rate, arrays.parse(mapping) if mapping else None)
    if not as_json:
        for name, value in facts.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                table(value, list(value[0]), title=name)
            elif value not in (None, [], {}):
                shown = (
                    ("; " if name == "notes" else ", ").join(map(str, value)) if isinstance(value, list) else f"{value:,}" if isinstance(value, int) else value
                )
                print(f"{name:>16}  {shown}")
    emit(facts, as_json)


def index(
    store: StorePath,
    forget_failed: Annotated[bool, typer.Option("--forget-failed", help="Drop what is on record of recordings that could not be stored.")] = False,
    as_json: Json = False,
) -> None:
    """Make the store's two index files anew from its sessions, taking in the parts that builders left.

    Sessions that are damaged are left out and told, and the exit code is 1.

    Example: neuropile index store
    """
    from neuropile.store import open_store

    opened = open_store(store)
    damaged = opened.rebuild_index(progress(), failures=not forget_failed)
    for problem in damaged:
        say(f"error: {problem}")
    result = {"store": str(store), "n_sessions": len(opened), "n_units": len(opened.units), "n_failed": len(opened.failed), "damaged": damaged}
    if not as_json:
        print(f"{result['n_sessions']:,} sessions and {result['n_units']:,} units indexed")
    emit(result, as_json)
    if damaged:
        raise typer.Exit(1)


def units(
    store: StorePath,
    where: Annotated[str | None, typer.Option(help="An SQL condition on columns of units and sessions; `in_region('VISp')` takes any level.")] = None,
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


def verify(
    path: Annotated[str, typer.Argument(help="A store (folder or URL), a session, a pile file or a published folder.")],
    as_json: Json = False,
) -> None:
    """Read everything again and compare it with what was written: digests, the index against the sessions, splits that leak.

    Warnings are printed; an error makes the exit code 1.

    Example: neuropile verify store
    """
    from neuropile.verifying import verify as find_problems

    found = [vars(f) for f in find_problems(path, progress())]
    errors = sum(f["level"] == "error" for f in found)
    if not as_json:
        if found:
            table(found, ["level", "where", "problem"])
        print(f"{path}: {errors} errors, {len(found) - errors} warnings" if found else f"{path}: every value is as it was written")
    emit({"path": path, "ok": not errors, "findings": found}, as_json)
    if errors:
        raise typer.Exit(1)
