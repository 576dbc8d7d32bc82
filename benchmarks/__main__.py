"""Run benchmarks and print their tables: `python -m benchmarks [speed] [format] ... [--json]`; by default all but the slow ones."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import format, loader, long, motifs, order, partial, publishing, remote, speed, tokens, voltage
from neuropile.cli.output import table

SUITES = {m.__name__.rpartition(".")[2]: m.tables for m in (speed, format, remote, partial, publishing, motifs, tokens, order, loader, voltage)}
#: Takes many minutes, and is run only where it is named.
SLOW_SUITES = {"long": long.tables}


def main() -> None:
    """Run the suites that are named, or all."""
    asked = [a for a in sys.argv[1:] if a != "--json"] or list(SUITES)
    found = {}
    for name in asked:
        with tempfile.TemporaryDirectory() as folder:
            for title, rows in (SUITES | SLOW_SUITES)[name](Path(folder)).items():
                found[title] = rows
                if "--json" not in sys.argv:
                    table(rows, list(rows[0]), title=title)
    if "--json" in sys.argv:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
