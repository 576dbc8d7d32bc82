"""What commands print: one JSON object, or a table for people; messages and progress on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from neuropile.progress import Progress

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output; everything else goes to standard error.")]


def here(text: str | Path) -> Path:
    """A local path to write to, or a usage error for a URL: Path would take it for a folder called `s3:`."""
    if "://" in str(text):
        raise typer.BadParameter(f"{text} is a URL; this is written to local folders only")
    return Path(text)


def place(text: str | Path) -> Path | str:
    """A place to write to: a local path as Path, a URL left as the text it is."""
    return str(text) if "://" in str(text) else Path(text)


#: Wide enough for every table here, so that what a pipe gets is what a person sees.
_PIPE_WIDTH = 140


def emit(result: Mapping[str, Any], as_json: bool) -> None:
    """Print a command's result as one JSON object, where that was asked for."""
    if as_json:
        print(json.dumps(_plain(result), default=str, allow_nan=False))


def _plain(value: Any) -> Any:
    """A value without NaN and infinity, which JSON does not know: they become null."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def say(text: str) -> None:
    """A message for people, on standard error."""
    print("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text), file=sys.stderr)


def progress() -> Progress:
    """The bar of long work."""
    from neuropile.progress import Bar

    return Bar()


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str | None = None) -> None:
    """Print rows as a table on standard output: numbers to the right, with thousands separators."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
    out = Table(title=title, box=SIMPLE, title_justify="left", pad_edge=False)
    for c in columns:
        numeric = any(isinstance(r.get(c), int | float) for r in rows)
        out.add_column(c, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        out.add_row(*(Text(cell(row.get(c))) for c in columns))
    console.print(out)


def cell(value: Any) -> str:
    """A value as a table shows it: nothing for None and NaN, separators in whole numbers, at most four digits of fractions."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
