"""The command that puts units in order: order."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuropile.cli.engines import Kind, Scheduler, Workers, engine_of
from neuropile.cli.output import Json, emit, here, place, progress, say, table

if TYPE_CHECKING:
    from neuropile.ordering import SessionOrder
    from neuropile.pile import Pile
    from neuropile.plotting.order import OrderPanel

#: So many seconds of counts a figure shows.
_SHOWN_S = 30
_COLUMNS = ["session", "units", "silent", "before", "ward", "leaf", "after", "fitted_on"]


def order(
    path: Annotated[str, typer.Argument(help="A pile file, a published folder, or a store (of which a pile is made as `neuropile pile` does).")],
    out: Annotated[str | None, typer.Option(parser=place, help="The pile's file with its orders, such as ordered.parquet; without it nothing is kept.")] = None,
    figure: Annotated[Path | None, typer.Option(parser=here, help="Draw the session with most units before and after: .png, .svg or .pdf.")] = None,
    engine: Kind = "serial",
    workers: Workers = None,
    scheduler: Scheduler = None,
    replace: Annotated[bool, typer.Option(help="Write a pile file anew.")] = False,
    as_json: Json = False,
) -> None:
    """Put each session's units in an order in which those that fire alike lie beside each other; no spike moves.

    Example: neuropile order pile.parquet --out ordered.parquet --figure order.png
    """
    from neuropile import ordering

    where = engine_of(engine, workers, scheduler)
    pile = _pile(path, out)
    _check_free(out, replace, figure)
    done = ordering.fit(pile, engine=where, progress=progress())
    ordered = ordering.with_fitted(pile, done)
    found = done.value or ()
    if out is not None:
        ordered.save(out, replace=replace)
    if figure is not None:
        from neuropile import plotting
        from neuropile.plotting.order import before_and_after

        plotting.save(before_and_after(_panel(pile, max(found, key=lambda o: len(o.arrangement.permutation)))), figure)
    rows = [o.row() for o in found]
    failed = [{"session": f.item, "error": f.error} for f in done.failures]
    for row in failed:
        say(f"error: {row['session']} keeps its units as stored: {row['error']}")
    if not as_json:
        table(rows, _COLUMNS, title="Units, and the mean cosine similarity of neighbours")
        say("nothing is kept; to keep the orders, add: --out ordered.parquet" if out is None else f"next: neuropile plot {out} --out segments.png")
    emit({"pile": out, "figure": figure, "sessions": rows, "failed": failed}, as_json)
    if failed:
        raise typer.Exit(1)


def _pile(path: str, out: object) -> Pile:
    from neuropile import layout, remote
    from neuropile.errors import PileError
    from neuropile.pile import open_pile
    from neuropile.piling import make_pile
    from neuropile.store import open_store

    if path.endswith(".parquet") or not remote.exists(remote.as_path(path) / layout.STORE_FILE):
        return open_pile(path)
    if out is None:
        raise PileError(f"{path} is a store; name the file of the pile that is to be made of it and put in order: --out ordered.parquet")
    return make_pile(open_store(path))


def _check_free(out: Any, replace: bool, figure: Path | None) -> None:
    """Say before the work what would stop the writing after it."""
    from neuropile import plotting, remote
    from neuropile.errors import PileError

    if out is not None and not str(out).endswith(".parquet"):
        raise PileError(f"{out}: a pile's file is called NAME.parquet")
    if out is not None and not replace and remote.exists(remote.as_path(out)):
        raise PileError(f"{out} exists; give another name, or --replace to write it anew")
    if figure is not None and figure.suffix.lower() not in plotting.SUFFIXES:
        raise PileError(f"{figure.name!r} does not say what to draw; end the name in {', '.join(plotting.SUFFIXES)}")


def _panel(pile: Pile, found: SessionOrder) -> OrderPanel:
    """A session as the figure shows it: its similarities as they were fitted, and the beginning of its first segment."""
    import numpy as np

    from neuropile import ordering
    from neuropile.pile import order_key
    from neuropile.plotting.order import OrderPanel

    pile = pile.in_stored_order()
    own = pile.take(np.array([i for i, s in enumerate(pile) if order_key(s) == found.key]))
    pairs, _ = ordering.session_pairs(own.train if found.fitted_on == "train" else own)
    counts = own[0].counts()
    counts = counts[:, : math.ceil(_SHOWN_S / own[0].bin_width)]
    observed = counts["unit_observed" if "unit_observed" in counts.coords else "observed"].to_numpy()
    arrangement = found.arrangement
    scores = arrangement.before, arrangement.after
    return OrderPanel(
        found.key.session, ordering.cosine(pairs), arrangement.permutation, *scores, counts.to_numpy(), own[0].start_s, float(own[0].bin_width), observed
    )
