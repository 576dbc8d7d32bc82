"""The command that finds sessions of a store: search."""

from __future__ import annotations

from typing import Annotated

import typer

from neuropile.cli.output import Json, emit, table
from neuropile.cli.stores import StorePath

_SHOWN = ["session", "subject_id", "species", "duration_s", "n_units", "n_spikes", "quantity"]


def search(
    store: StorePath,
    text: Annotated[str, typer.Argument(help='Words that must all match, and key:value, such as "region:VISp mouse n_units:>50 date:2019-12..".')] = "",
    as_json: Json = False,
) -> None:
    """Find sessions by words, and by what stands behind a key: region (any level of the atlas), subject, species, lab, date, n_units, datasets (files), ...

    Example: neuropile search store "region:VISp mouse"
    """
    from neuropile.store import open_store

    found = open_store(store).search(text)
    rows = [{"session": key, **{c: None if row[c] != row[c] else row[c] for c in _SHOWN[1:]}} for key, row in found.iterrows()]
    if not as_json:
        table(rows, _SHOWN)
        print(f"{len(rows):,} sessions")
    emit({"store": str(store), "text": text, "sessions": rows}, as_json)
