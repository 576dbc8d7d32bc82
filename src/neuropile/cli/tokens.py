"""Commands on tokens: fit a vocabulary, encode a pile with it, decode it again, report how exact that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuropile.cli.engines import Kind, Scheduler, Workers, engine_of
from neuropile.cli.output import Json, emit, here, progress, say, table

if TYPE_CHECKING:
    from neuropile.tokens import Accuracy

app = typer.Typer(name="tokens", no_args_is_help=True, rich_markup_mode="rich", help="A pile as token ids: fit a vocabulary of motifs, encode, decode, report.")

PilePath = Annotated[str, typer.Argument(help="A pile file or a published folder; a URL will do.")]
Vocab = Annotated[Path, typer.Option(parser=here, help="The vocabulary's file.")]
Replace = Annotated[bool, typer.Option("--replace", help="Write the file anew.")]
_COLUMNS = ["dataset", "patches", "unobserved", "silent_share", "exact_share", "spikes", "spikes_exact_share", "spikes_kept", "count_error"]


@app.command(no_args_is_help=True)
def fit(
    motifs: Annotated[Path, typer.Argument(parser=here, help="A motif table, from neuropile motifs.")],
    out: Annotated[Path, typer.Option(parser=here, help="The vocabulary's file, such as vocab.parquet.")],
    size: Annotated[int | None, typer.Option(help="How many motifs are kept, the silent one among them; by default 32 000, or all there are.")] = None,
    distance: Annotated[str, typer.Option(help="How others find their nearest: count (spikes and their place) or cosine.")] = "count",
    any_split: Annotated[bool, typer.Option("--any-split", help="Take motifs that were counted on more than the training split.")] = False,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Make a vocabulary of the most frequent motifs; five ids are reserved for pad, bos, eos, sep and mask.

    Example: neuropile tokens fit motifs.parquet --size 32000 --out vocab.parquet
    """
    from neuropile import tokens

    made = tokens.fit(motifs, size, distance=distance, any_split=any_split)
    made.save(out, replace=replace)
    if not as_json:
        print(f"{made.vocab_size:,} ids: {len(made):,} motifs, which are {made.facts['coverage']:.2%} of the patches counted, and 5 reserved")
        say(f"next: neuropile tokens encode PILE --vocab {out} --out tokens.parquet")
    emit({"vocabulary": str(out), "vocab_size": made.vocab_size, "digest": made.digest, **made.facts}, as_json)


@app.command(no_args_is_help=True)
def encode(
    pile: PilePath,
    vocab: Vocab,
    out: Annotated[Path, typer.Option(parser=here, help="The file of ids, such as tokens.parquet: a row a segment.")],
    replace: Replace = False,
    engine: Kind = "serial",
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Write a pile's token ids, a row a segment; a run that was stopped goes on where it was.

    Example: neuropile tokens encode pile.parquet --vocab vocab.parquet --out tokens.parquet
    """
    from neuropile import tokens
    from neuropile.pile import open_pile

    place = engine_of(engine, workers, scheduler)
    found = tokens.encode(open_pile(pile), tokens.open_vocabulary(vocab), out, replace=replace, engine=place, progress=progress())
    _tell(found, as_json, {"tokens": str(out), "bytes": out.stat().st_size})


@app.command(no_args_is_help=True)
def decode(
    tokens: Annotated[Path, typer.Argument(parser=here, help="A file of ids, from neuropile tokens encode.")],
    vocab: Vocab,
    out: Annotated[Path, typer.Option(parser=here, help="The file of counts, such as decoded.parquet: a row a segment, gap bytes a unit.")],
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Write the counts that token ids stand for, in the form of published rows.

    Example: neuropile tokens decode tokens.parquet --vocab vocab.parquet --out decoded.parquet
    """
    from neuropile import tokens as module

    n = module.decode(tokens, module.open_vocabulary(vocab), out, replace=replace, progress=progress())
    if not as_json:
        print(f"{n:,} segments in {out.stat().st_size:,} bytes")
    emit({"decoded": str(out), "segments": n, "bytes": out.stat().st_size}, as_json)


@app.command(no_args_is_help=True)
def report(
    pile: PilePath,
    vocab: Vocab,
    engine: Kind = "serial",
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Tell how much of a pile a vocabulary codes exactly: of patches, of spikes, and the error of the rest.

    Example: neuropile tokens report pile.parquet --vocab vocab.parquet
    """
    from neuropile import tokens
    from neuropile.pile import open_pile

    found = tokens.report(open_pile(pile), tokens.open_vocabulary(vocab), engine=engine_of(engine, workers, scheduler), progress=progress())
    _tell(found, as_json, {})


def _tell(found: dict[str, Accuracy], as_json: bool, more: dict[str, Any]) -> None:
    """Print how exact the tokens are, a row a dataset and one for all."""
    total = found[""]
    rows = [{"dataset": name or "all", **accuracy.row()} for name, accuracy in found.items() if name or len(found) != 2]
    if not as_json:
        table([{**r, **{c: f"{r[c]:.3%}" for c in _COLUMNS if "share" in c and r[c] is not None}} for r in rows], _COLUMNS)
        if total.without_ids:
            say(f"{total.without_ids:,} of {total.segments:,} segments are smaller than a patch and have no ids")
        if total.edge:
            say(f"{total.edge:,} of {total.tokens:,} bins at the edges fill no patch and have no ids")
    emit({**more, "all": total.row(), "datasets": {name: a.row() for name, a in found.items() if name}}, as_json)
