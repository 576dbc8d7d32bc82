"""The options that say where a long job runs, for every command that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from neuropile.run import Engine

Kind = Annotated[str, typer.Option("--engine", help="serial, processes (on this machine) or dask.")]
Workers = Annotated[int | None, typer.Option(help="How many processes; by default one a core.")]
Scheduler = Annotated[str | None, typer.Option(help="A running Dask scheduler, such as tcp://host:8786; by default a cluster is started here.")]


def engine_of(kind: str, workers: int | None, scheduler: str | None) -> Engine:
    """The engine these options ask for; a scheduler alone means dask."""
    from neuropile.run import Engine

    return Engine("dask" if scheduler and kind == "serial" else kind, workers, scheduler)
