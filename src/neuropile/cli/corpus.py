"""Commands on piles as lists: merge, shuffle, split, subset; no spike is read or moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuropile.cli.output import Json, emit, place, say, table
from neuropile.errors import PileError

if TYPE_CHECKING:
    from neuropile.pile import Pile

Out = Annotated[Any, typer.Option(parser=place, help="The new pile's file, such as all.parquet, or a URL.")]
Replace = Annotated[bool, typer.Option(help="Write a pile file anew.")]
Source = Annotated[str, typer.Argument(help="A pile file or a published folder; a URL will do.")]
Weights = Annotated[list[str] | None, typer.Option(help="DATASET=NUMBER: how often its segments are drawn in training; may be given again.")]
Seed = Annotated[int, typer.Option(help="Another seed, another result.")]


def merge(
    piles: Annotated[list[str], typer.Argument(help="Pile files and published folders; URLs will do.")],
    out: Out,
    val: Annotated[float | None, typer.Option(help="Draw the splits anew: share of ids in the validation split.")] = None,
    test: Annotated[float | None, typer.Option(help="Draw the splits anew: share of ids in the test split.")] = None,
    split_by: Annotated[str, typer.Option(help="With --val or --test: recording, subject, dataset or segment.")] = "recording",
    seed: Seed = 0,
    weight: Weights = None,
    shuffled: Annotated[bool, typer.Option("--shuffle", help="Put the segments in a random order, by --seed.")] = False,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Put several piles together as one.

    Example: neuropile merge mice.parquet rats.parquet --out all.parquet --test 0.01 --shuffle
    """
    from neuropile import corpus
    from neuropile.pile import open_pile

    resplit = None if val is None and test is None else {"val": val or 0.0, "test": test or 0.0, "by": split_by, "seed": seed}
    made = corpus.weigh(corpus.merge([open_pile(p) for p in piles], resplit=resplit), weights(weight))
    if shuffled:
        made = corpus.shuffle(made, seed)
    save(made, out, replace, as_json)


def shuffle(pile: Source, out: Out, seed: Seed = 0, replace: Replace = False, as_json: Json = False) -> None:
    """Put the segments of a pile in a random order, the same for the same seed.

    Example: neuropile shuffle all.parquet --out shuffled.parquet --seed 1
    """
    from neuropile import corpus
    from neuropile.pile import open_pile

    save(corpus.shuffle(open_pile(pile), seed), out, replace, as_json)


def split(
    pile: Source,
    out: Out,
    val: Annotated[float, typer.Option(help="Share of ids in the validation split.")] = 0.0,
    test: Annotated[float, typer.Option(help="Share of ids in the test split.")] = 0.01,
    split_by: Annotated[str, typer.Option(help="What is kept on one side: recording, subject, dataset or segment.")] = "recording",
    seed: Seed = 0,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Draw the splits of a pile anew.

    Example: neuropile split all.parquet --out by_subject.parquet --val 0.1 --test 0.1 --split-by subject
    """
    from neuropile import corpus
    from neuropile.pile import open_pile

    save(corpus.split(open_pile(pile), val=val, test=test, by=split_by, seed=seed), out, replace, as_json)


def subset(
    pile: Source,
    out: Out,
    where: Annotated[str | None, typer.Option(help="An SQL condition on the columns of the pile's table: dataset, session_id, split, n_units, ...")] = None,
    share: Annotated[float, typer.Option(help="A random share of these segments; a larger share holds a smaller one.")] = 1.0,
    seed: Seed = 0,
    replace: Replace = False,
    as_json: Json = False,
) -> None:
    """Take some of the segments of a pile.

    Example: neuropile subset all.parquet --out small.parquet --where "split = 'train'" --share 0.1
    """
    from neuropile import corpus
    from neuropile.pile import open_pile

    save(corpus.subset(open_pile(pile), where, share=share, seed=seed), out, replace, as_json)


def weights(given: list[str] | None) -> dict[str, float]:
    """DATASET=NUMBER texts as numbers by dataset."""
    found = {}
    for text in given or ():
        dataset, equals, number = text.rpartition("=")
        try:
            found[dataset] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise PileError(f"--weight {text}: not DATASET=NUMBER, such as ibl=2.0")
    return found


def save(pile: Pile, out: Any, replace: bool, as_json: bool) -> None:
    """Save a pile and tell what it holds."""
    pile.save(out, replace=replace)
    for warning in pile.meta["warnings"]:
        say(f"warning: {warning}")
    rows = pile.summary()
    if not as_json:
        columns = ["split", "segments", "sessions", "recordings", "subjects", "tokens", "share"]
        table([{**r, "share": f"{r['share']:.1%}"} for r in rows], columns)
    emit({"pile": str(out), "segments": len(pile), "tokens": pile.n_tokens, "splits": rows}, as_json)
