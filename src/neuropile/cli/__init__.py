"""The command line: one verb, one function; each teaches itself with --help and answers in JSON with --json."""

from __future__ import annotations

import json
import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from neuropile.cli.builds import build, catalog, cite, lock
from neuropile.cli.builds import recipe as recipe_commands
from neuropile.cli.corpus import merge, shuffle, split, subset
from neuropile.cli.demo import demo
from neuropile.cli.media import frame, voltage
from neuropile.cli.motifs import motifs
from neuropile.cli.one import app as one
from neuropile.cli.order import order
from neuropile.cli.output import say
from neuropile.cli.piles import pile, plot
from neuropile.cli.publish import publish
from neuropile.cli.search import search
from neuropile.cli.stats import stats
from neuropile.cli.stores import index, info, ingest, units, verify
from neuropile.cli.tokens import app as tokens
from neuropile.errors import NeuropileError

app = typer.Typer(
    name="neuropile",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="The world's public neural recordings as one corpus: query it, look at it, train on it, benchmark against it.",
    epilog="Begin with: neuropile demo --out demo",
)


def _version(asked: bool) -> None:
    if asked:
        print(version("neuropile"))
        raise typer.Exit


@app.callback()
def _options(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False) -> None:
    """See the app's own help."""


for command in (
    demo,
    catalog,
    build,
    lock,
    cite,
    ingest,
    info,
    index,
    search,
    units,
    pile,
    merge,
    shuffle,
    split,
    subset,
    publish,
    stats,
    motifs,
    order,
    plot,
    frame,
    voltage,
    verify,
):
    app.command(no_args_is_help=command not in (demo, catalog))(command)
app.add_typer(tokens, name="tokens")
app.add_typer(one, name="one")
app.add_typer(recipe_commands, name="recipe")


class _Stopped(BaseException):
    """Ctrl-C; not KeyboardInterrupt, of which typer says nothing."""


def _stop(*_: object) -> None:
    raise _Stopped


def main() -> None:
    """Run a command; an error of ours is one line on standard error and exit code 1."""
    signal.signal(signal.SIGINT, _stop)
    try:
        app()
    except _Stopped:
        _end_stopped()
    except RuntimeError as e:
        if "Query interrupted" not in str(e):  # what DuckDB makes of Ctrl-C
            raise
        _end_stopped()
    except NeuropileError as e:
        _end(str(e))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as e:
        # What the file system refuses (a full disk, a read-only folder) is the user's to mend, not a fault in the code.
        _end(str(NeuropileError(f"{e.strerror or e}{f': {e.filename}' if e.filename else ''}")))


def _end_stopped() -> None:
    say("stopped; the same command again goes on from what is done, or begins anew")
    sys.exit(130)


def _end(error: str) -> None:
    """Say what is wrong, in one line and, where that was asked for, in one JSON object."""
    say(f"error: {' '.join(error.split())}")
    if "--json" in sys.argv:
        print(json.dumps({"error": error}))
    sys.exit(1)
