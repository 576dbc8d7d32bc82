"""Commands on datasets: build, catalog, lock, cite, recipe."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuropile.cli import engines
from neuropile.cli.output import Json, emit, place, say, table

if TYPE_CHECKING:
    from neuropile.builds import Options
    from neuropile.planning import DatasetPlan, Wish
    from neuropile.recipes import Recipe

_WHAT = "Keys of the catalogue; dandi:ID, zenodo:ID, dryad:ID, figshare:ID, osf:ID, gin:OWNER/REPO, hf:OWNER/NAME, one:TAG; URLs; recipe pages."
What = Annotated[list[str], typer.Argument(help=_WHAT)]
Assets = Annotated[list[str] | None, typer.Option("--assets", help="Only files whose path fits this pattern (`*` goes over `/`); may be given several times.")]
From = Annotated[Path | None, typer.Option("--from", help="Read the archive's files from this folder instead, under the archive's paths.")]
Cache = Annotated[Path | None, typer.Option(help="Where what is fetched lies until its session is stored; by default neuropile's folder in your cache.")]
_COMPAT = "upstream: what the published neural-pile scripts take, read as they do, as dataset KEY@upstream."


def build(
    what: What,
    store: Annotated[Any, typer.Option("--store", parser=place, help="The store, made if it is not there: a folder, or a URL such as s3://bucket/store.")],
    source: From = None,
    assets: Assets = None,
    limit: Annotated[int | None, typer.Option(help="At most so many sessions a dataset.", min=1)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done: files, bytes, sessions, licence, disk.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only read the smallest session, and tell where it is not as the recipe says.")] = False,
    compat: Annotated[str | None, typer.Option(help=_COMPAT)] = None,
    replace: Annotated[bool, typer.Option(help="Build again sessions that are stored from other bytes or by another recipe.")] = False,
    update: Annotated[bool, typer.Option(help="Take the archive as it is now, whatever was locked.")] = False,
    lock: Annotated[Path | None, typer.Option(help="A lock as `neuropile lock` writes it; by default the store's own.")] = None,
    cache: Cache = None,
    keep_cache: Annotated[bool, typer.Option("--keep-cache", help="Leave in the cache what was fetched.")] = False,
    engine: engines.Kind = "serial",
    workers: engines.Workers = None,
    scheduler: engines.Scheduler = None,
    as_json: Json = False,
) -> None:
    """Fetch datasets from where they live and store their sessions.

    Of NWB files only the units, intervals, electrodes and behaviour are read, never the raw voltage beside them. The first
    build locks which files it took; later ones take the same, or stop where the archive has changed. Sessions that are
    stored cost nothing; what failed or was killed goes on where it was. One that fails is told, the others go on, and the
    exit code is 1.

    Example: neuropile build steinmetz dandi:000231 --store store --workers 4 --engine processes
    """
    from neuropile import builds, catalog, planning
    from neuropile.errors import NeuropileError
    from neuropile.store import create_store

    if compat not in (None, "upstream"):
        raise NeuropileError(f"--compat is {compat!r}; there is one other way of reading: --compat upstream")
    if check and dry_run:
        raise NeuropileError("--check reads a session, --dry-run reads none; give one of them")
    found = catalog.find_all(what)
    if source is not None and len(found) > 1:
        raise NeuropileError(f"--from gives the files of one dataset, not of {len(found)}; build them one by one")
    if lock is not None and len(found) > 1:
        raise NeuropileError(f"--lock is of one dataset, and these are {len(found)}; build them one by one")
    wish = planning.Wish(assets=tuple(assets or ()), limit=limit, upstream=compat is not None, source=source, update=update, lock=lock)
    options = builds.Options(builds.cache_folder(cache), keep_cache, replace, limit)
    plans, checks, refused = _planned(found, wish, store, options, check)
    if dry_run or check or not plans:
        _tell_plans(plans, store, refused, as_json) if not check else _tell_checks(checks, refused, as_json)
        return
    opened = create_store(store)
    with _Board({p.dataset: None if p.sessions is None else len(p.sessions) for p in plans}) as board:
        reports = builds.build(plans, opened, options, engine=engines.engine_of(engine, workers, scheduler), progress=board, seen=board.saw)
    for plan in plans:
        if plan.added:
            say(f"{plan.dataset}: {plan.added} files were added to the archive since it was locked, and are not taken; --update takes them")
    _tell_reports(reports, store, refused, as_json)


def _planned(
    found: list[Recipe], wish: Wish, store: Any, options: Options, check: bool
) -> tuple[list[DatasetPlan], list[dict[str, Any]], list[dict[str, str]]]:
    """The plans, what their checks found, and which datasets cannot be planned or looked at, and why; the only one raises."""
    from neuropile import builds, planning
    from neuropile.archives.web import Web
    from neuropile.errors import NeuropileError

    plans, checks, refused = [], [], []
    with Web() as web:
        for recipe in found:
            try:
                plan = planning.make_plan(recipe, wish, web, builds.lock_path(store, recipe.key))
                checks += [builds.check(plan, options, web, options.cache / "listed")] if check else []
                plans.append(plan)
            except NeuropileError as e:
                if len(found) == 1:
                    raise
                refused.append({"dataset": recipe.key, "error": str(e)})
    return plans, checks, refused


def _tell_refused(refused: list[dict[str, str]]) -> None:
    for row in refused:
        say(f"error: {row['dataset']}: {row['error']}")


class _Board:
    """A table on standard error that shows how far each dataset is, where someone watches."""

    def __init__(self, totals: dict[str, int | None]) -> None:
        self.totals = totals
        self.done: dict[str, list[int]] = {dataset: [0, 0, 0, 0] for dataset in totals}
        self.began = time.monotonic()

    def __enter__(self) -> _Board:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self.live = Live(console=console, transient=True, get_renderable=self._drawn, refresh_per_second=2) if console.is_terminal else None
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def track(self, items: Any, total: int, label: str) -> Any:
        """As of Progress: the table shows it."""
        return iter(items)

    def saw(self, outcomes: Any) -> None:
        """Count what came of some sessions."""
        for outcome in outcomes:
            counted = self.done[outcome.session.partition("/")[0]]
            counted[0] += 1
            counted[1] += outcome.status == "failed"
            counted[2] += outcome.n_spikes
            counted[3] += outcome.n_moved
            if outcome.status == "failed" and self.live:
                self.live.console.print(f"error: {outcome.error}", markup=False, highlight=False)

    def _drawn(self) -> Any:
        from rich.box import SIMPLE
        from rich.table import Table

        out = Table("dataset", "sessions", "failed", "spikes", "MB moved", "time left", box=SIMPLE)
        for dataset, (n, failed, spikes, moved) in self.done.items():
            total = self.totals[dataset]
            left = (time.monotonic() - self.began) / n * (total - n) if n and total else None
            shown = "" if left is None else str(timedelta(seconds=round(left)))
            out.add_row(dataset, f"{n} of {'?' if total is None else total}", str(failed or ""), f"{spikes:,}", f"{moved / 1e6:,.1f}", shown)
        return out


def _tell_plans(plans: list[DatasetPlan], store: Any, refused: list[dict[str, str]], as_json: bool) -> None:
    from neuropile import builds

    rows = [builds.foreseen(p) for p in plans]
    free = builds.disk_free(store)
    _tell_refused(refused)
    if not as_json:
        shown = [{**r, "sessions": "in them" if r["sessions"] is None else r["sessions"], "GB": (r["bytes"] or 0) / 1e9, "read": r["moved"]} for r in rows]
        table(shown, ["dataset", "sessions", "files", "GB", "read", "license"])
        for r in rows:
            if r["tokens"]:
                print(f"{r['dataset']}: the whole dataset is expected to have {r['tokens']:,} tokens and to take some {r['store_bytes'] / 1e9:.1f} GB here")
        if free is not None:
            print(f"{free / 1e9:,.1f} GB are free at {store}")
    emit({"store": str(store), "datasets": rows, "refused": refused, "disk_free": free}, as_json)
    if refused:
        raise typer.Exit(1)


def _tell_checks(checks: list[dict[str, Any]], refused: list[dict[str, str]], as_json: bool) -> None:
    _tell_refused(refused)
    if not as_json:
        for found in checks:
            print(f"{found['dataset']}, its smallest session: {found['asset']}: {found['units']} units, {found['spikes']:,} spikes, {found['quantity']}")
            for difference in found["differs"]:
                print(f"  differs: {difference}")
            if not found["differs"]:
                print("  this session is as the recipe says")
    emit({"checks": checks, "refused": refused}, as_json)
    if refused or any(c["differs"] for c in checks):
        raise typer.Exit(1)


def _tell_reports(reports: list[Any], store: Any, refused: list[dict[str, str]], as_json: bool) -> None:
    from neuropile.types import EVENT_QUANTITIES

    rows = [r.row() for r in reports]
    failed = [o for r in reports for o in r.outcomes if o.status == "failed"]
    skipped = [o for r in reports for o in r.outcomes if o.status == "skipped"]
    for kind, outcomes in (("skipped", skipped), ("error", failed)):
        for outcome in outcomes:
            say(f"{kind}: {outcome.session}: {outcome.error}")
    _tell_refused(refused)
    if not as_json:
        table(rows, ["dataset", *(n for n in ("stored", "present", "skipped", "failed") if any(r[n] for r in rows)), "units", "spikes", "tokens"])
        print("\n".join(f"{r['dataset']}: {remark}" for r in rows for remark in r["remarks"]))
        say(f"{sum(r['bytes_moved'] for r in rows) / 1e6:,.1f} MB were moved")
        if not failed and any(r.plan.recipe.quantity in EVENT_QUANTITIES for r in reports):
            say(f"next: neuropile pile {store} --out pile.parquet")
    told = {name: [{"session": o.session, "asset": str(o.path), "error": o.error} for o in own] for name, own in (("skipped", skipped), ("failed", failed))}
    emit({"store": str(store), "datasets": rows, **told, "n_failed": len(failed), "refused": refused}, as_json)
    if failed or refused:
        raise typer.Exit(1)


def catalog(
    key: Annotated[str | None, typer.Argument(help="A dataset; without it, all.")] = None,
    species: Annotated[str | None, typer.Option(help="Only those whose species contains this text.")] = None,
    archive: Annotated[str | None, typer.Option(help="Only those of this archive, such as dandi.")] = None,
    license: Annotated[str | None, typer.Option(help="Only those under this licence, such as CC-BY-4.0.")] = None,
    region: Annotated[str | None, typer.Option(help="Only those whose areas, as the recipe words them, contain this text.")] = None,
    as_json: Json = False,
) -> None:
    """List the datasets that have a recipe, or tell all of one.

    Example: neuropile catalog --species Macaca --region "motor cortex"
    """
    from neuropile import catalog as known
    from neuropile import recipes

    rows = [known.row(recipes.load(key))] if key else known.rows(species, archive, license, region)
    if not as_json and key:
        for name, value in rows[0].items():
            for i, line in enumerate(value if isinstance(value, list) else [value]):
                print(f"{name if i == 0 else '':>16}  {line:,}" if isinstance(line, int) else f"{name if i == 0 else '':>16}  {line or '-'}")
    elif not as_json:
        table(
            [{**r, "license": r["license"] or ("terms" if r["terms_url"] else "")} for r in rows],
            ["key", "species", "quantity", "sessions", "tokens", "license"],
        )
        print(f"{len(rows)} datasets, {sum(r['tokens'] or 0 for r in rows):,} tokens of 20 ms as published")
        if not rows:
            every = known.rows()
            print(f"species are {', '.join(sorted({r['species'] for r in every}))}")
            print(f"archives are {', '.join(sorted({r['archive'].partition(':')[0] for r in every}))}")
    emit({"datasets": rows}, as_json)


def lock(
    what: What,
    out: Annotated[Path | None, typer.Option(help="The new file; by default KEY.lock here.")] = None,
    as_json: Json = False,
) -> None:
    """Write which files an archive has now, with sizes and digests, so that later builds take the same.

    Example: neuropile lock steinmetz --out steinmetz.lock
    """
    from neuropile import catalog as known
    from neuropile import locks
    from neuropile.archives.web import Web
    from neuropile.errors import NeuropileError

    found = known.find_all(what)
    if out is not None and len(found) > 1:
        raise NeuropileError(f"--out names one file, and these are {len(found)} datasets; leave it out, or lock them one by one")
    rows = []
    with Web() as web:
        for recipe in found:
            listing = recipe.archive.list(web)
            path = out or Path(f"{recipe.key}.lock")
            locks.write(listing, path)
            size = sum(a.bytes or 0 for a in listing.assets)
            rows.append(
                {"dataset": recipe.key, "lock": str(path), "version": listing.version, "pinned": listing.pinned, "files": len(listing.assets), "bytes": size}
            )
    if not as_json:
        table(rows, list(rows[0]))
    emit({"locks": rows}, as_json)


def cite(
    path: Annotated[str, typer.Argument(help="A store, a pile or a published folder; or a key of the catalogue.")],
    as_json: Json = False,
) -> None:
    """Tell what to cite, and under which licences, for all that is in a store or pile.

    Example: neuropile cite pile.parquet
    """
    from neuropile import catalog as known
    from neuropile import recipes
    from neuropile.cli.describe import sessions_of

    if path in recipes.every_key():
        row = known.row(recipes.load(path))
        rows = [{"dataset": path, "license": row["license"], "terms_url": row["terms_url"], "citation": row["citation"]}]
    else:
        rows = known.cite(sessions_of(path))
    if not as_json:
        for r in rows:
            terms = r["license"] or "no licence is known"
            print(f"{r['dataset']}: {terms}{' (' + r['terms_url'] + ')' if r['terms_url'] else ''}\n    {r['citation'] or 'no citation is known'}")
    emit({"path": path, "datasets": rows}, as_json)


recipe = typer.Typer(no_args_is_help=True, help="Begin a recipe for a dataset, or see one.")


@recipe.command("new", no_args_is_help=True)
def new(
    what: Annotated[str, typer.Argument(help="dandi:ID, zenodo:ID, ... or a URL.")],
    out: Annotated[Path | None, typer.Option(help="The new file; by default named after the dataset, here.")] = None,
    as_json: Json = False,
) -> None:
    """Write a page to start a recipe from, with what the archive says of the dataset.

    Build from it with: neuropile build PAGE.py --store store

    Example: neuropile recipe new dandi:000231
    """
    from neuropile import catalog as known
    from neuropile import recipe_page
    from neuropile.archives.web import Web

    found = known.find(what)
    path = out or Path(f"{found.key.replace('-', '_')}.py")
    with Web() as web:
        text = recipe_page.text(found, found.archive.list(web), found.archive.facts(web))
    recipe_page.write(text, path)
    if not as_json:
        print(f"{path} is a recipe of {what}; fill in what is empty, then: neuropile build {path} --store store --check")
    emit({"recipe": str(path)}, as_json)


@recipe.command("show", no_args_is_help=True)
def show(key: Annotated[str, typer.Argument(help="A key of the catalogue.")], as_json: Json = False) -> None:
    """Print the page of a recipe.

    Example: neuropile recipe show steinmetz
    """
    import inspect
    from importlib import import_module

    from neuropile import recipes

    recipes.load(key)
    text = inspect.getsource(import_module(f"neuropile.recipes.{key.replace('-', '_')}"))
    if not as_json:
        print(text, end="")
    emit({"key": key, "page": text}, as_json)
