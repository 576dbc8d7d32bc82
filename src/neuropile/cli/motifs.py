"""The command on motifs of piles: motifs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuropile.cli.output import Json, emit, here, progress, say, table

#: How many motifs the figure shows, and about how many lines the printed table has.
_FIGURE, _LINES = 16, 24


def motifs(
    pile: Annotated[str, typer.Argument(help="A pile file or a published folder; a URL will do.")],
    out: Annotated[Path, typer.Option(parser=here, help="The table's file, such as motifs.parquet.")],
    shape: Annotated[tuple[int, int], typer.Option(help="Units and bins of a patch, at most 64 cells together.", metavar="UNITS BINS")] = (1, 10),
    split: Annotated[str | None, typer.Option(help="Only this split: train, val or test.")] = None,
    pad: Annotated[bool, typer.Option("--pad", help="Fill what reaches over an edge of a segment with zeros; else it is left out.")] = False,
    clip: Annotated[bool, typer.Option("--clip", help="Count a cell of more than 255 spikes as 255; else it is an error.")] = False,
    figure: Annotated[Path | None, typer.Option(parser=here, help="Draw the top 16 with their counts: .png, .svg or .pdf.")] = None,
    engine: Annotated[str, typer.Option(help="serial, processes or dask.")] = "serial",
    workers: Annotated[int | None, typer.Option(help="How many processes; by default as many as there are cores.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Of a running Dask cluster, such as tcp://host:8786.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write a table anew.")] = False,
    as_json: Json = False,
) -> None:
    """Count every unique patch of a pile's counts, exactly, into a table by rank.

    Example: neuropile motifs pile.parquet --shape 1 10 --out motifs.parquet --split train --figure motifs.png
    """
    from neuropile import motifs as counting
    from neuropile import plotting
    from neuropile.errors import PileError
    from neuropile.pile import open_pile
    from neuropile.run import Engine
    from neuropile.splits import SPLITS

    if split is not None and split not in SPLITS:
        raise PileError(f"no split {split!r}; choose one of {', '.join(SPLITS)}, or leave --split out for all")
    if figure is not None and figure.suffix.lower() not in plotting.SUFFIXES:
        raise PileError(f"{figure.name!r} does not say what to draw; end the name in {', '.join(plotting.SUFFIXES)}")
    where = Engine(engine, workers, scheduler)
    opened = open_pile(pile)
    opened = opened if split is None else getattr(opened, split)
    found = counting.count(opened, counting.Tiling(shape, pad, clip), out=out, replace=replace, engine=where, progress=progress())
    if figure is not None:
        from neuropile.plotting.motifs import top_motifs

        top = found.top(_FIGURE)
        title = f"{found.n_unique:,} motifs of {shape[0]} x {shape[1]} in {found.n_patches:,} patches, {found.silent_share:.1%} silent"
        plotting.save(top_motifs(found.patches(_FIGURE), top["count"].to_numpy(), found.n_patches, found.coverage(), title), figure)
    if not as_json:
        _tell(found)
        say(f"next: neuropile tokens fit {out} --out vocab.parquet{'' if found.meta['splits'] == ['train'] else ' --any-split'}")
    facts = {"silent_share": found.silent_share, "coverage": {str(k): share for k, share in found.coverage().items()}}
    emit({"table": str(out), "figure": str(figure) if figure else None, **found.meta, **facts}, as_json)


def _tell(found: Any) -> None:
    """The table's first rows, and what was counted and left out."""
    meta = found.meta
    n_shown = max(min(10, _LINES // found.shape[0]), 2)
    rows = [
        {"rank": i + 1, "patch": _drawn(patch), "count": int(n), "share": f"{n / found.n_patches:.3%}"}
        for i, (patch, n) in enumerate(zip(found.patches(n_shown), found.top(n_shown)["count"], strict=True))
    ]
    table(rows, ["rank", "patch", "count", "share"])
    print(f"{found.n_patches:,} patches, {found.silent_share:.1%} silent; {found.n_unique:,} motifs; splits: {', '.join(meta['splits'])}")
    tens = [(k, share) for k, share in found.coverage().items() if str(k).strip("0") == "1"]
    print("covered by the first " + ", ".join(f"{k:,}: {share:.2%}" for k, share in tens))
    print(f"left out: {meta['n_unobserved']:,} patches that touch unobserved time, {meta['n_edge_cells']:,} cells beyond the last whole patch")
    for name, what in (
        ("n_short", "segments hold no patch"),
        ("n_padded_cells", "zeros added at edges"),
        ("n_clipped", "cells of more than 255 spikes counted as 255"),
    ):
        if meta[name]:
            print(f"{meta[name]:,} {what}")


def _drawn(patch: Any) -> str:
    """A patch as text, a unit a line: a point for nothing, digits, a plus for ten and more."""
    return "\n".join("".join("." if n == 0 else str(n) if n < 10 else "+" for n in row) for row in patch.tolist())
