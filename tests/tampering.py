"""What someone may do to our files who knows how they are sealed: more than an accident would."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from neuropile import layout, parquet


def edit(path: Path, **values: object) -> None:
    """A marker with other values and a digest that fits them."""
    marker = json.loads(path.read_text()) | values
    layout.write_marker({k: v for k, v in marker.items() if k != "sha256"}, path)


def replace(marker: Path, name: str, table: pa.Table) -> None:
    """A Parquet file beside a marker with other content, and the marker speaking of it."""
    parquet.write(table, marker.parent / name)
    edit(marker, files=json.loads(marker.read_text())["files"] | {name: parquet.facts(marker.parent / name)})
