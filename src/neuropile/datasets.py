"""Datasets from Python: built in one call, and the catalogue as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuropile import builds, catalog, planning
from neuropile.archives.web import Web
from neuropile.builds import Options, Report
from neuropile.planning import Wish
from neuropile.progress import QUIET, Progress
from neuropile.recipes import Recipe
from neuropile.run import SERIAL, Engine
from neuropile.store import Store, create_store

if TYPE_CHECKING:
    import pandas as pd


def build(
    what: str | Recipe | Sequence[str | Recipe],
    store: Store | str | Path | Any,
    *,
    wish: Wish | None = None,
    options: Options | None = None,
    engine: Engine = SERIAL,
    progress: Progress = QUIET,
) -> list[Report]:
    """Fetch datasets from where they live and store their sessions, as `neuropile build` does.

    Parameters
    ----------
    what : keys of the catalogue, `dandi:ID` and the like, URLs, recipes
    store : an open store, or where it is, made if it is not there
    wish : which files and sessions, from where, and whether as the published neural-pile scripts do
    options : the cache, whether it is kept, whether sessions are replaced

    Returns
    -------
    A report a dataset: its `row()`, and `outcomes`, one a session; sessions that failed are among them, and raise nothing

    Raises
    ------
    NeuropileError : there is no such dataset, its archive cannot be listed, or the store cannot be written
    """
    wish = wish or Wish()
    wanted = [what] if isinstance(what, str | Recipe) else list(what)
    found = [catalog.find(w) if isinstance(w, str) else w for w in wanted]
    place = store.root if isinstance(store, Store) else store
    with Web() as web:
        plans = [planning.make_plan(recipe, wish, web, builds.lock_path(place, recipe.key)) for recipe in found]
    opened = store if isinstance(store, Store) else create_store(store)
    asked = options or Options(builds.cache_folder(), limit=wish.limit)
    return builds.build(plans, opened, asked, engine=engine, progress=progress)


def catalogue() -> pd.DataFrame:
    """The datasets that have a recipe, a row each, indexed by their keys."""
    import pandas as pd

    return pd.DataFrame(catalog.rows()).set_index("key")
