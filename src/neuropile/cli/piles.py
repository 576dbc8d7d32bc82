"""Commands on piles: pile, plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuropile.cli.corpus import Weights, weights
from neuropile.cli.output import Json, emit, here, place, progress, say, table

PilePath = Annotated[Path, typer.Argument(parser=here, help="A pile file or a published folder.")]

_WHY_LEFT_OUT = {
    "sessions_by_bin_width": "their clock cannot make the bin width",
    "sessions_unobserved": "nothing was observed",
    "sessions_of_signals": "they hold signals, not events",
}


def pile(
    stores: Annotated[list[str], typer.Argument(help="One store or more: folders or URLs.")],
    out: Annotated[Any, typer.Option(parser=place, help="The pile's file, such as pile.parquet, or a URL; its unit selections go beside it.")],
    bin: Annotated[str, typer.Option(help="Bin width in seconds, such as 0.02 or 1/32.")] = "0.02",
    max_tokens: Annotated[int, typer.Option(help="The most tokens (unit x bin) of a segment.")] = 10_000_000,
    val: Annotated[float, typer.Option(help="Share of ids in the validation split.")] = 0.0,
    test: Annotated[float, typer.Option(help="Share of ids in the test split.")] = 0.01,
    split_by: Annotated[str, typer.Option(help="What is kept on one side: recording, subject, dataset or segment.")] = "recording",
    seed: Annotated[int, typer.Option(help="Another seed, other splits.")] = 0,
    where: Annotated[str | None, typer.Option(help="An SQL condition on columns of units and sessions; `in_region('VISp')` takes any level.")] = None,
    quality: Annotated[str, typer.Option(help="good, not-noise (unknown counts as not noise) or all.")] = "not-noise",
    gaps: Annotated[str, typer.Option(help="cut: an unobserved second ends a segment; keep: it does not.")] = "cut",
    weight: Weights = None,
    strict: Annotated[bool, typer.Option(help="Stop at a session whose clock cannot make the bin width.")] = False,
    set_aside: Annotated[bool, typer.Option("--set-aside", help="Take the sessions too that are left out by default; each keeps the reason.")] = False,
    replace: Annotated[bool, typer.Option(help="Write a pile file anew.")] = False,
    as_json: Json = False,
) -> None:
    """List the segments of the sessions of some stores, cut and split; no spike is read or moved.

    Example: neuropile pile store --out pile.parquet --bin 0.02 --test 0.1 --where "region = 'M2'"
    """
    from neuropile import corpus
    from neuropile.piling import make_pile
    from neuropile.store import open_store

    options: dict[str, Any] = {"bin_width": bin, "max_tokens": max_tokens, "val": val, "test": test, "split_by": split_by, "seed": seed}
    options |= {"where": where, "quality": quality, "gaps": gaps, "strict": strict, "set_aside": set_aside}
    listed = make_pile([open_store(s) for s in stores], **options)
    made = corpus.weigh(listed, weights(weight))
    made.save(out, replace=replace)
    if made[0].bin_width >= 1:
        say(f"warning: bins of {bin} s: the width is in seconds")
    left = made.meta["left_out"]
    for warning in made.meta["warnings"]:
        say(f"warning: {warning}")
    if not as_json:
        rows = [{**r, "share": f"{r['share']:.1%}"} for r in made.summary()]
        table(rows, ["split", "segments", "sessions", "recordings", "subjects", "tokens", "share"])
        where_text = f", {left['units_by_where']:,} by where" if where else ""
        print(f"left out: {left['units_by_quality']:,} units by quality {quality!r}{where_text}; {len(left['sessions_without_units'])} sessions had none left")
        for name, why in _WHY_LEFT_OUT.items():
            if left[name]:
                print(f"left out because {why}: {', '.join(left[name])}")
        for each in left["sessions_set_aside"]:
            print(f"set aside: {each['session']} ({each['reason']})")
        say(f"next: neuropile publish {out} --to published")
    emit({"pile": str(out), "segments": len(made), "tokens": made.n_tokens, "splits": made.summary(), **made.meta}, as_json)


def plot(
    path: Annotated[str, typer.Argument(help="A pile file, a published folder, a store or a session's folder; a store may be a URL.")],
    out: Annotated[Path, typer.Option(parser=here, help="The figure's file: .png, .svg or .pdf; of several figures each adds its name.")] = Path("plot.png"),
    examples: Annotated[int, typer.Option(help="How many random segments of a pile, or sessions of a store.")] = 9,
    every: Annotated[bool, typer.Option("--all", help="One figure for every dataset of a pile, or every session of a store.")] = False,
    session: Annotated[str | None, typer.Option(help="Of a store: this session, as dataset/session.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other examples.")] = 0,
    as_json: Json = False,
) -> None:
    """Draw random segments of a pile, or overviews of a store's sessions.

    Example: neuropile plot pile.parquet --examples 9 --out segments.png
    """
    from neuropile import remote
    from neuropile.cli import figures

    written = figures.draw(remote.as_path(path), out, examples=examples, every=every, session=session, seed=seed, progress=progress())
    if not as_json:
        for file in written:
            print(file)
    emit({"figures": [str(f) for f in written]}, as_json)
