"""Locks: which files of an archive a dataset was built from, kept so that the same ones are read again, or their change is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from neuropile import object_files, remote
from neuropile.archives import Listing
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

KIND = "neuropile lock"
VERSION = 1
_TEXT, _MAYBE = (str,), (str, type(None))
_HEAD = {"archive": _TEXT, "id": _TEXT, "version": _TEXT, "pinned": (bool,), "title": _MAYBE, "license": _MAYBE, "citation": _MAYBE, "url": _MAYBE}
_FIELDS = {"path": _TEXT, "bytes": (int, type(None)), "sha256": _MAYBE, "url": _MAYBE, "version": _MAYBE, "digest": _MAYBE}
_WORDS = {str: "a text", bool: "true or false", int: "a whole number from 0"}
_MAKE = "make one with: neuropile lock KEY"


def as_text(listing: Listing) -> str:
    """A lock: a line of JSON on the whole, then a line a file, by path."""
    head = {"format": KIND, "format_version": VERSION, **{name: getattr(listing, name) for name in _HEAD}}
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in (head, *map(asdict, listing.assets)))


def from_text(text: str, where: Any, way: str = _MAKE) -> Listing:
    """What a lock holds.

    way : what to do about one that is damaged

    Raises
    ------
    ArchiveError : it is none, is damaged, or was written by a newer neuropile
    """
    try:
        head, *lines = [json.loads(line) for line in text.removesuffix("\n").split("\n")]  # names may hold what else ends a line
        if head["format"] != KIND:
            raise ValueError(f"it says it is {head['format']!r}")
        if head["format_version"] != VERSION:
            raise ArchiveError(f"{where}: a lock of format {head['format_version']!r}; this neuropile reads format {VERSION}: upgrade neuropile")
        assets = tuple(_asset(line) for line in lines)
        return Listing(assets=assets, **{name: _checked(name, head[name], _HEAD[name], "its head") for name in _HEAD})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ArchiveError(f"{where} is not a lock of a dataset's files, or damaged ({type(e).__name__}: {e}); {way}") from None


def _asset(line: Mapping[str, Any]) -> Asset:
    return Asset(**{k: _checked(k, v, _FIELDS[k], str(line.get("path"))) for k, v in line.items() if k in _FIELDS})


def _checked(name: str, value: Any, kinds: tuple[type, ...], where: str) -> Any:
    """A value of a lock, which anyone may have edited, if it is of its kind; bool is none of int's."""
    if type(value) not in kinds or (name == "bytes" and value is not None and value < 0):
        meant = " or ".join("null" if k is type(None) else _WORDS[k] for k in kinds)
        raise ValueError(f"{name} of {where} is {value!r:.50}, not {meant}")
    return value


def read(path: Any, way: str = _MAKE) -> Listing | None:
    """The lock in a file, here or far away; None where there is none.

    way : see `from_text`
    """
    try:
        return from_text(remote.read_bytes(path).decode("utf-8", "replace"), path, way)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise ArchiveError(f"{path}: the lock cannot be read ({e.strerror or e}); mend that and run again") from None


def write(listing: Listing, path: Any) -> None:
    """Write a lock, whole or not at all."""
    with object_files.writing(path) as temporary:
        temporary.write_text(as_text(listing), encoding="utf-8")


def compare(locked: Listing, found: Listing) -> list[Asset]:
    """The files an archive has now and had not when it was locked.

    Raises
    ------
    SourceChanged : a locked file is gone, or is another now
    """
    now = {a.path: a for a in found.assets}
    changed = [a.path for a in locked.assets if a.path in now and not _same(a, now[a.path])]
    gone = [a.path for a in locked.assets if a.path not in now]
    if changed or gone:
        told = [f"{len(paths)} {what} ({_few(paths)})" for what, paths in (("changed", changed), ("gone", gone)) if paths]
        raise SourceChanged(
            f"{found.archive}:{found.id} is not what it was when it was locked: of {len(locked.assets)} files {' and '.join(told)}; "
            "--update takes it as it is now (and --replace builds changed sessions again)"
        )
    had = {a.path for a in locked.assets}
    return [a for a in found.assets if a.path not in had]


def _same(a: Asset, b: Asset) -> bool:
    """Whether two listings speak of the same bytes: by their digest, else by size and version."""
    for name in ("sha256", "digest"):
        ours, theirs = getattr(a, name), getattr(b, name)
        if ours and theirs and _kind(name, ours) == _kind(name, theirs):
            return bool(ours == theirs)
    return (a.bytes, a.version) == (b.bytes, b.version)


def _kind(name: str, digest: str) -> str:
    return name if name == "sha256" else digest.partition(":")[0]


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
