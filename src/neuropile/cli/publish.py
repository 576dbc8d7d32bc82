"""The command that publishes a pile: publish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuropile.cli.output import Json, emit, here, progress, say


def publish(
    pile: Annotated[str, typer.Argument(help="A pile file or a published folder; a URL too.")],
    to: Annotated[str, typer.Option(help="A new folder, s3://bucket/prefix, or hf://datasets/owner/name[@branch].")],
    layout: Annotated[str, typer.Option(help="sparse (small, exact) or dense (nested lists of uint8, for existing code).")] = "sparse",
    compat: Annotated[bool, typer.Option("--compat", help="Beside sparse rows the dense ones too, as config `compat`.")] = False,
    accept_terms: Annotated[list[str] | None, typer.Option(help="A dataset whose own terms, unknown here, you have read and found to allow it.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository of the Hub a private one.")] = False,
    replace: Annotated[bool, typer.Option(help="Write anew what is published there.")] = False,
    work: Annotated[Path | None, typer.Option(parser=here, help="Where files are made before they are sent away; by default the current folder.")] = None,
    engine: Annotated[str, typer.Option(help="serial, processes or dask: several files at once.")] = "serial",
    workers: Annotated[int | None, typer.Option(help="How many processes; by default as many as there are cores.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Of a running Dask cluster, such as tcp://host:8786.")] = None,
    as_json: Json = False,
) -> None:
    """Write a pile as a dataset with its data card, for `datasets`, DuckDB, pandas, Polars and any Parquet reader.

    A run that was stopped goes on where it stopped when it is started again.

    Example: neuropile publish pile.parquet --to published
    """
    from neuropile import hub
    from neuropile.pile import open_pile
    from neuropile.run import Engine

    options = {"layout": layout, "compat": compat, "accept": tuple(accept_terms or ()), "replace": replace, "private": private, "work": work}
    done = hub.publish(open_pile(pile), to, progress=progress(), engine=Engine(engine, workers, scheduler), **options)
    result = {**vars(done), "path": str(done.path), "warnings": list(done.warnings), "bits_per_token": done.bits_per_token}
    for warning in done.warnings:
        say(f"warning: {warning}")
    if not as_json:
        print(f"{done.n_segments:,} segments, {done.n_tokens:,} tokens, {done.n_spikes:,} spikes: {done.bytes:,} bytes, {done.bits_per_token:.3f} bits a token")
        say(f"read it with: datasets.load_dataset({to.removeprefix('hf://datasets/')!r}), or neuropile.open_pile({to!r})")
    emit(result, as_json)
