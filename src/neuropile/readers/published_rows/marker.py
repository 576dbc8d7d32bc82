"""What published rows say of themselves beside their counts: bin width, licence, and which files they are, checked when one is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuropile import layout, parquet, remote
from neuropile.errors import StoreError, UnreadableFile

#: Of every corpus published so far: counts in bins of 20 ms.
BINS_PER_S = 50
MARKER = "pile.json"
KIND = "neuropile published pile"
CARD = "README.md"
#: As piles write widths. Longer numbers are no widths, and a long exponent would keep the machine busy.
_WIDTH = re.compile(r"[0-9]{1,9}([./][0-9]{1,9})?")
#: A file is data/train-00000-of-00003.parquet or lies beside the card; its name's first word is its split.
_FILE = re.compile(r"(?:(?P<folder>[\w.-]+)/)?(?P<split>[A-Za-z_]+)-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})\.parquet")
#: So many rows a byte no file has that holds counts: one that announces more is a trap.
_MAX_ROWS_PER_BYTE = 4
_MANY_ROWS = 1_000_000


@dataclass(frozen=True)
class Marker:
    """What the marker of a published pile says.

    files : of each file its `bytes` and the digest `sha256` of its footer; None where there is no marker
    """

    bins_per_s: int = BINS_PER_S
    files: Mapping[str, Mapping[str, Any]] | None = None


def read(place: Any) -> Marker:
    """The marker at a place; rows without one have bins of 20 ms.

    Raises
    ------
    UnreadableFile : it is damaged, lists no files, or names a width of which no whole number makes a second
    """
    try:
        marker = layout.read_marker(place / MARKER, KIND)
    except FileNotFoundError:
        return Marker()
    except StoreError as e:
        raise UnreadableFile(f"{e}; fetch {MARKER} again, or take it away if it is not of these rows") from None
    width = str(marker.get("bin_width"))
    try:
        rate = 1 / Fraction(width if _WIDTH.fullmatch(width) else "")
    except (ValueError, ZeroDivisionError):
        raise UnreadableFile(f"{place / MARKER} names no bin width (it says {width[:40]!r}); fetch it again") from None
    if rate.denominator != 1 or rate < 1:
        raise UnreadableFile(f"{place}: bins of {width} s, of which no whole number makes a second, make no clock; ingest what it was made of")
    listed = marker.get("files")
    if not isinstance(listed, dict) or not all(
        isinstance(f, dict) and isinstance(f.get("bytes"), int) and isinstance(f.get("sha256"), str) for f in listed.values()
    ):
        raise UnreadableFile(f"{place / MARKER} does not list its files with their digests; fetch it again")
    return Marker(int(rate), listed)


def opened(path: Any, facts: Mapping[str, Any] | None) -> pq.ParquetFile:
    """A file of rows, whose pages are checked when they are read where they have checksums.

    path : local or remote
    facts : what the marker says of it: its `bytes`, and the digest `sha256` of its footer

    Raises
    ------
    StoreError, or one of `parquet.ERRORS` : it is damaged, not the one its marker speaks of, or cannot be reached
    """
    source = remote.persist(partial(path.fs.open, path.path), path) if remote.is_remote(path) else pa.OSFile(str(path))
    size = source.seek(0, 2)
    metadata = None if facts is None else _footer(path, size, facts)
    options = {"pre_buffer": True, "page_checksum_verification": True}
    file = remote.persist(lambda: pq.ParquetFile(source, metadata=metadata, **options), path)
    if file.metadata.num_rows > _MANY_ROWS + _MAX_ROWS_PER_BYTE * size:
        raise StoreError(f"it announces {file.metadata.num_rows} rows in {size} bytes: it is damaged, or a trap")
    return file


def _footer(path: Any, size: int, facts: Mapping[str, Any]) -> pq.FileMetaData:
    if size != facts["bytes"]:
        raise StoreError(f"it has {size} bytes, {MARKER} says {facts['bytes']}")
    (end,) = remote.read_ranges(path, [(max(size - 8, 0), size)])
    (data,) = remote.read_ranges(path, [(size - parquet.tail_length(end, size), size)])
    return parquet.footer(data, path, facts["sha256"])


def licence(place: Any) -> str | None:
    """The one licence that the header of a place's card names, or None."""
    from huggingface_hub import RepoCard

    try:
        named = RepoCard(remote.read_bytes(place / CARD).decode("utf-8")).data.get("license")
    except (OSError, ValueError):  # no card, or one that is no text or has no header
        return None
    return named if isinstance(named, str) and named not in ("other", "unknown") else None


def files(place: Any) -> list[re.Match[str]]:
    """The names of the rows' files below a place, sorted, as folder, split, number and total of its files."""
    if remote.is_remote(place):
        base = str(place.path).rstrip("/")
        names = [str(n).removeprefix(base).lstrip("/") for n in remote.persist(lambda: place.fs.find(base, maxdepth=2), place)]
    else:
        names = [p.relative_to(place).as_posix() for pattern in ("*.parquet", "*/*.parquet") for p in place.glob(pattern)]
    matched = [m for n in sorted(names) if (m := _FILE.fullmatch(n))]
    folders = {m["folder"] for m in matched}
    chosen = next((f for f in ("compat", "data", None) if f in folders), min(folders, key=str, default=None))
    found = [m for m in matched if m["folder"] == chosen]
    if not found:
        raise UnreadableFile(f"{place}: no files of rows, such as data/train-00000-of-00001.parquet, in it")
    return found


def check_complete(place: Any, found: Sequence[re.Match[str]], listed: Mapping[str, Any] | None) -> None:
    """Raise UnreadableFile unless every file of each split is there, and just those that the marker lists, if there is one."""
    names = {m.string for m in found}
    for split in dict.fromkeys(m["split"] for m in found):
        own = [m for m in found if m["split"] == split]
        totals = sorted({m["total"] for m in own})
        if len(totals) > 1:
            raise UnreadableFile(f"{place}: files of {split} are of a set of {int(totals[0])} and of one of {int(totals[1])}; keep those of one set")
        base = own[0].string.rpartition("/")[0]
        wanted = (f"{base}/{split}-{i:05d}-of-{totals[0]}.parquet".lstrip("/") for i in range(int(totals[0])))
        if lost := next((n for n in wanted if n not in names), None):
            raise UnreadableFile(f"{place}: {lost} is missing ({len(own)} of the {int(totals[0])} files of {split} are there); fetch all of them")
    if listed is None:
        return
    if unknown := sorted(names - set(listed)):
        raise UnreadableFile(f"{place}: {unknown[0]} is not one of the files that {MARKER} lists; take it away, or fetch the pile again")
    of_set = [n for n in listed if (m := _FILE.fullmatch(n)) and m["folder"] == found[0]["folder"]]
    if lost := next((n for n in sorted(of_set) if n not in names), None):
        raise UnreadableFile(f"{place}: {lost} is missing, which {MARKER} lists; fetch all files")
