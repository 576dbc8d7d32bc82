"""The command on what a pile holds in numbers: stats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuropile.cli.engines import Kind, Scheduler, Workers, engine_of
from neuropile.cli.output import Json, emit, here, progress, say, table


def stats(
    pile: Annotated[str, typer.Argument(help="A pile file or a published folder; a URL will do.")],
    by: Annotated[
        list[str] | None,
        typer.Option(help="A row for each dataset, split, region, quality, quantity, session_id or subject_id; may be given again.  [default: dataset, split]"),
    ] = None,
    out: Annotated[Path | None, typer.Option(parser=here, help="Keep how often each count occurs, unit by unit: a Parquet file.")] = None,
    figure: Annotated[Path | None, typer.Option(parser=here, help="Draw it: .png, .svg or .pdf.")] = None,
    engine: Kind = "serial",
    workers: Workers = None,
    scheduler: Scheduler = None,
    replace: Annotated[bool, typer.Option(help="Write the Parquet file anew.")] = False,
    as_json: Json = False,
) -> None:
    """Tell what a pile holds: units, tokens, spikes, rates, how often each count occurs, and its entropy.

    Example: neuropile stats pile.parquet --by dataset --by split --figure stats.png
    """
    from neuropile import stats as counted
    from neuropile.pile import open_pile

    by = by or ["dataset", "split"]
    opened = open_pile(pile)
    found = counted.count(opened, out=out, replace=replace, engine=engine_of(engine, workers, scheduler), progress=progress())
    whole, rows = found.totals(()).to_dict("records")[0], found.totals(by).to_dict("records")
    histogram = found.histogram()
    if figure is not None:
        from neuropile import plotting
        from neuropile.plotting.stats import draw_stats

        plotting.save(draw_stats(found.histogram(["dataset"]), found.rates(), found.totals(["region"])), figure)
    if not as_json:
        columns = ["units", "tokens", "observed", "spikes", "rate_hz", "silent", "most", "entropy_bits", "unit_entropy_bits"]
        table([*rows, {by[0]: "all", **whole}], [*by, *columns])
        table([{"count": c, "bins": n, "share": f"{n / histogram['bins'].sum():.3%}"} for c, n in histogram.values[:8].tolist()], ["count", "bins", "share"])
        if figure is not None:
            say(f"drawn: {figure}")
    emit({"pile": pile, "all": whole, "by": by, "groups": rows, "histogram": histogram.to_dict("list"), "out": out, "figure": figure}, as_json)
