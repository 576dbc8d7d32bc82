"""Commands on ALF sessions as ONE keeps them: one search, list, load, index, fetch, include."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuropile.cli.output import Json, emit, here, say, table

if TYPE_CHECKING:
    import pandas as pd

    from neuropile.one.local import Cache

app = typer.Typer(
    name="one",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="ALF sessions as IBL's ONE keeps them: search, list, load, and the Brain Wide Map's inclusion.",
)

Root = Annotated[Path, typer.Argument(parser=here, help="The cache: a folder lab/Subjects/subject/date/number/..., with ONE's tables or without.")]
Session = Annotated[str, typer.Argument(help="A session: its id, subject/date/number, its path, or date_number_subject.")]
Collection = Annotated[str | None, typer.Option(help="The folder in the session, such as alf/probe00; * fits anything.")]
Revision = Annotated[str | None, typer.Option(help="Of each dataset the newest revision up to this one.")]
_SHOWN = ["id", "lab", "subject", "date", "number", "task_protocol", "projects"]


@app.command()
def search(
    root: Annotated[Path | None, typer.Argument(parser=here, help="The cache to search; without one IBL's public database is asked.")] = None,
    subject: Annotated[list[str] | None, typer.Option(help="A part of the subject's name; of several one must fit.")] = None,
    lab: Annotated[list[str] | None, typer.Option(help="A part of the lab's name.")] = None,
    number: Annotated[list[int] | None, typer.Option(help="The session's number of the day.")] = None,
    date: Annotated[str | None, typer.Option(help="A day, or the first and the last: 2020-01-01..2020-06-30, either may be left out.")] = None,
    datasets: Annotated[list[str] | None, typer.Option(help="A file's whole name; of several all must be there.")] = None,
    qc: Annotated[str | None, typer.Option(help="The worst quality of those datasets that will do: NOT_SET, PASS, WARNING, FAIL or CRITICAL.")] = None,
    task_protocol: Annotated[list[str] | None, typer.Option(help="A part of the task's protocol.")] = None,
    projects: Annotated[list[str] | None, typer.Option(help="A part of the projects' names.")] = None,
    as_json: Json = False,
) -> None:
    """Find sessions in a cache, or in IBL's public database, by ONE's keywords; different ones must all fit.

    In a cache texts are regular expressions and their case counts; the database takes plain parts of texts in any case.

    Example: neuropile one search cache --subject KS023 --date 2019-12-01.. --datasets spikes.times.npy
    """
    asked = {"subject": subject, "lab": lab, "number": number, "date_range": _span(date), "datasets": datasets, "dataset_qc_lte": qc}
    asked |= {"task_protocol": task_protocol, "projects": projects}
    found = _search(root, {k: v for k, v in asked.items() if v})
    rows = [{"id": i, **{c: str(r[c]) if c == "date" else r[c] for c in _SHOWN[1:]}} for i, r in found.iterrows()]
    if not as_json:
        table(rows, _SHOWN)
        print(f"{len(rows):,} sessions")
    emit({"root": None if root is None else str(root), "sessions": rows}, as_json)


def _search(root: Path | None, asked: dict[str, Any]) -> pd.DataFrame:
    if root is not None:
        from neuropile.one import hints

        cache = _opened(root)
        found = cache.search(**asked)
        for hint in [] if found or "datasets" not in asked else hints.of_datasets(cache, asked["datasets"]):
            say(hint)
        return cache.sessions.loc[found]
    from neuropile.archives.web import Web
    from neuropile.errors import ArchiveError
    from neuropile.one import remote

    try:
        with Web() as web:
            return remote.search(web, **asked)
    except ArchiveError as e:
        raise ArchiveError(f"{e}; a folder of sessions on this disk is searched by naming it: neuropile one search FOLDER") from e


def _opened(root: Path) -> Cache:
    """A cache with sessions in it; what its tables lack is said."""
    from neuropile.one import hints, open_cache

    cache = open_cache(root)
    for note in cache.notes:
        say(note)
    hints.check_not_empty(cache)
    return cache


def _span(text: str | None) -> Any:
    if text is None or ".." not in text:
        return text
    first, _, last = text.partition("..")
    return (first or None, last or None)


@app.command("list", no_args_is_help=True)
def list_datasets(
    root: Root,
    session: Annotated[str | None, typer.Option(help="Only of this session: its id, subject/date/number, or its path.")] = None,
    filename: Annotated[str | None, typer.Option(help="The file's name; * fits anything.")] = None,
    collection: Collection = None,
    revision: Annotated[str | None, typer.Option(help="The revision; * fits anything, '' those without one.")] = None,
    qc: Annotated[str, typer.Option(help="The worst quality that is shown.")] = "FAIL",
    as_json: Json = False,
) -> None:
    """List the datasets of a cache, or of one of its sessions.

    Example: neuropile one list cache --session KS023/2019-12-10/001 --filename "*times*"
    """
    found = _opened(root).list_datasets(session, filename, collection, revision, qc=qc, details=True)
    rows = [
        {"session": eid, "dataset": r["rel_path"], "bytes": _whole(r["file_size"]), "exists": bool(r["exists"]), "qc": str(r["qc"])}
        for (eid, _), r in found.sort_values("rel_path").iterrows()
    ]
    if not as_json:
        table(rows, ["session", "dataset", "bytes", "exists", "qc"])
        print(f"{len(rows):,} datasets")
    emit({"root": str(root), "datasets": rows}, as_json)


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):  # a size that nobody knows
        return None


@app.command(no_args_is_help=True)
def load(
    root: Root,
    session: Session,
    obj: Annotated[str, typer.Argument(metavar="OBJECT", help="An ALF object, such as trials, spikes or wheel.")],
    collection: Collection = None,
    revision: Revision = None,
    attribute: Annotated[list[str] | None, typer.Option(help="Only these attributes.")] = None,
    out: Annotated[Path | None, typer.Option(parser=here, help="Keep its arrays in an .npz file.")] = None,
    as_json: Json = False,
) -> None:
    """Load an ALF object and tell what it holds: names, types, shapes, first values.

    Example: neuropile one load cache KS023/2019-12-10/001 spikes --collection "alf/probe00*" --out spikes.npz
    """
    from neuropile.errors import NeuropileError
    from neuropile.one import loading

    if out is not None and out.suffix != ".npz":
        raise NeuropileError(f"arrays are kept as .npz, which {out} does not end in; name it {out.with_suffix('.npz').name}")
    found = _opened(root).load_object(session, obj, collection, revision, attribute=attribute)
    rows = loading.as_rows(found)
    kept = None if out is None else _keep(found, out)
    if not as_json:
        table([{**r, "shape": str(tuple(r["shape"])), "first": str(r["first"])} for r in rows], ["name", "type", "shape", "first"])
        if kept is not None:
            print(f"{len(kept)} arrays are in {out}")
    emit({"root": str(root), "object": obj, "attributes": rows, "out": None if out is None else str(out), "kept": kept}, as_json)


def _keep(found: dict[str, Any], out: Path) -> list[str]:
    import numpy as np

    from neuropile.paths import replacing

    arrays = {k: np.asarray(v) for k, v in found.items() if hasattr(v, "dtype") and np.asarray(v).dtype != object}
    with replacing(out) as temporary, open(temporary, "wb") as f:
        np.savez(f, allow_pickle=False, **arrays)
    return list(arrays)


@app.command(no_args_is_help=True)
def index(
    root: Root,
    out: Annotated[Path | None, typer.Option(parser=here, help="Another folder for the tables, such as where the cache is read-only.")] = None,
    as_json: Json = False,
) -> None:
    """Write the tables of a cache, or renew those it has, so that ONE reads it, and the next search need not walk it.

    Example: neuropile one index cache
    """
    from neuropile.one import hints, open_cache

    cache = open_cache(root)
    if cache.indexed:
        say("the tables that were there are renewed: what came is entered, what is gone is no longer listed as there")
    cache.renew()
    hints.check_not_empty(cache)
    written = cache.save(out)
    if not as_json:
        print(f"{len(cache.sessions):,} sessions and {len(cache.datasets):,} datasets are in {', '.join(p.name for p in written)}")
    emit({"root": str(root), "n_sessions": len(cache.sessions), "n_datasets": len(cache.datasets), "tables": [str(p) for p in written]}, as_json)


@app.command(no_args_is_help=True)
def fetch(
    session: Annotated[str, typer.Argument(help="A session's id in IBL's public database; neuropile one search finds it.")],
    root: Root,
    datasets: Annotated[list[str] | None, typer.Option(help="Patterns of collection/name; by default what a session is read from.")] = None,
    revision: Revision = None,
    as_json: Json = False,
) -> None:
    """Bring a session's files into a cache, verified by their hashes, with their rows in its tables.

    Example: neuropile one fetch 4ecb5d24-f5cc-402c-be28-9d0f7cb14b3a cache --datasets "alf/_ibl_trials.*"
    """
    from neuropile.archives.one import DATASETS
    from neuropile.archives.web import Web
    from neuropile.one import remote

    with Web() as web:
        files = remote.download(web, session, root, tuple(datasets) if datasets else DATASETS, revision)
    if not as_json:
        print(f"{len(files):,} files, {sum(f.stat().st_size for f in files):,} bytes; next: neuropile one load {root} {session} trials")
    emit({"root": str(root), "session": session, "files": [str(f) for f in files]}, as_json)


@app.command(no_args_is_help=True)
def include(
    sessions: Annotated[Path, typer.Option(parser=here, help="The release's freeze, or sessions with their quality: .csv or .pqt, a row an insertion.")],
    trials: Annotated[Path | None, typer.Option(parser=here, help="The release's trials: .pqt.")] = None,
    units: Annotated[Path | None, typer.Option(parser=here, help="The release's clusters: .pqt.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Another value of a rule, such as min_units=10 or min_label=none; see docs/explain/one.md.")] = None,
    out: Annotated[
        Path | None, typer.Option(parser=here, help="Keep what is included in this folder: sessions.pqt, trials.pqt, units.pqt, report.pqt.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Apply the Brain Wide Map's inclusion, and tell what each rule removed.

    Example: neuropile one include --sessions 2023_12_bwm_release.csv --trials trials.pqt --units clusters.pqt
    """
    from neuropile.errors import NeuropileError
    from neuropile.one.freeze import freeze_counts
    from neuropile.one.inclusion import include as apply
    from neuropile.one.rules import Rules

    pairs = [r.partition("=") for r in rule or ()]
    if any(not equals for _, equals, _ in pairs):
        raise NeuropileError("a rule is given as name=value, such as min_units=10")
    rules = Rules.named({name: value for name, _, value in pairs})
    freeze = _table(sessions)
    found = apply(freeze, None if trials is None else _table(trials), None if units is None else _table(units), rules)
    rows = [{k: None if v is None or v != v else v for k, v in r.items()} for r in found.report.to_dict("records")]
    counts = freeze_counts(freeze) if {"pid", "eid", "subject", "lab"} <= set(freeze.columns) else {}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("sessions", "trials", "units", "report"):
            if getattr(found, name) is not None:
                getattr(found, name).to_parquet(out / f"{name}.pqt", index=False)
    if not as_json:
        left = ["left_sessions", "left_insertions", "left_trials", "left_units", "left_regions"]
        shown = [{**r, "removed": _told(r)} for r in rows if r["applied"]]
        table(shown, ["rule", "removed", *left])
        for r in rows:
            if not r["applied"]:
                say(f"not applied: {r['rule']} ({r['why']})")
    emit({"given": counts, "rules": vars(rules), "report": rows, "out": None if out is None else str(out)}, as_json)


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd

    from neuropile.errors import UnreadableFile
    from neuropile.one import loading

    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    found = loading.content(path)
    if not isinstance(found, pd.DataFrame):
        raise UnreadableFile(f"{path} holds no table of several columns; give a .csv or .pqt file")
    return found


def _told(row: dict[str, Any]) -> str:
    """What a rule removed, in words."""
    kinds = ("sessions", "insertions", "trials", "units", "regions")
    return ", ".join(f"{int(row[f'removed_{k}']):,} {k}" for k in kinds if row[f"removed_{k}"]) or "nothing"
