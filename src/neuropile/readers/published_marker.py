"""What published rows say of themselves beside their counts: how wide their bins are and under which licence they are."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from neuropile import remote
from neuropile.errors import UnreadableFile

#: Of every corpus published so far: counts in bins of 20 ms.
BINS_PER_S = 50
MARKER = "pile.json"
CARD = "README.md"


def bins_per_s(place: Any) -> int:
    """Bins a second of the rows at a place: what its marker says in a pile of ours, else those of 20 ms.

    Raises
    ------
    UnreadableFile : its marker names a width of which no whole number makes a second
    """
    try:
        marker = json.loads(remote.read_bytes(place / MARKER))
    except FileNotFoundError:
        return BINS_PER_S
    except (OSError, ValueError) as e:
        raise UnreadableFile(f"{place / MARKER} cannot be read ({e}); fetch it again") from None
    try:
        rate = 1 / Fraction(str(marker["bin_width"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise UnreadableFile(f"{place / MARKER} names no bin width; fetch it again") from None
    if rate.denominator != 1 or rate < 1:
        raise UnreadableFile(f"{place}: bins of {marker['bin_width']} s, of which no whole number makes a second, make no clock; ingest what it was made of")
    return int(rate)


def licence(place: Any) -> str | None:
    """The one licence that the header of a place's card names, or None."""
    from huggingface_hub import RepoCard

    try:
        named = RepoCard(remote.read_bytes(place / CARD).decode("utf-8")).data.get("license")
    except (OSError, ValueError):  # no card, or one that is no text or has no header
        return None
    return named if isinstance(named, str) and named not in ("other", "unknown") else None
