"""A folder of loose files: those below it, links that leave it not followed, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: How deep files are looked for, and how many entries are looked at, below one session's folder.
MAX_DEPTH = 8
MAX_ENTRIES = 100_000


def walk(folder: Any, enter: Callable[[tuple[str, ...]], bool]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every file below a folder in sorted order, with the names of the folders it lies in.

    enter : told the names of a folder below, says whether to look into it. Links to folders are not followed, links
        to files only where they stay inside.
    """
    yield from _walk(folder, (), enter, iter(range(MAX_ENTRIES)), folder)


def _walk(
    folder: Any, inside: tuple[str, ...], enter: Callable[[tuple[str, ...]], bool], left: Iterator[int], top: Any
) -> Iterator[tuple[tuple[str, ...], Any]]:
    folders = []
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if next(left, None) is None:
            return
        if path.is_dir():
            if not _is_link(path):
                folders.append(path)
        elif path.is_file() and stays(path, top):
            yield inside, path
    for path in folders if len(inside) < MAX_DEPTH else ():
        if enter((*inside, path.name)):
            yield from _walk(path, (*inside, path.name), enter, left, top)


def _is_link(path: Any) -> bool:
    return isinstance(path, Path) and path.is_symlink()


def stays(path: Any, folder: Any) -> bool:
    """Whether a file lies in a folder even after its links, and those of the folders between, are followed; remote files always do."""
    return not isinstance(path, Path) or path.resolve().is_relative_to(folder.resolve())


def parts(path: Any) -> list[str]:
    """The names along a path, from the root down."""
    text = str(path.absolute()) if isinstance(path, Path) else str(path)
    return [p for p in re.split(r"[/\\]+", text) if p]


def name(path: Any, generic: re.Pattern[str]) -> str:
    """A folder's name; a generic one is put behind its parent's, and so on upwards."""
    names = parts(path)
    found = [names.pop()] if names else ["session"]
    while names and generic.fullmatch(found[0]):
        found.insert(0, names.pop())
    return "_".join(found)
