"""The files of a session that may be one file or a folder of several."""

from __future__ import annotations

from typing import Any

from neuropile import remote
from neuropile.errors import UnreadableFile
from neuropile.readers import source_name

#: A session of one file a probe or two is meant; what holds more is a folder given by mistake.
_MAX_FILES = 10_000


def below(path: Any) -> list[Any]:
    """Every file below a folder, by its path in it; a file alone is itself.

    Raises
    ------
    UnreadableFile : no such file or folder, an empty one, or one of more files than any session has
    """
    if not remote.can_list(path) or path.is_file():
        return [path]
    if not path.is_dir():
        raise UnreadableFile(f"{path}: no such file or folder")
    found: list[Any] = []
    todo = [path]
    while todo:
        for child in todo.pop().iterdir():
            if child.is_dir():
                todo += [] if not remote.is_remote(child) and child.is_symlink() else [child]
            else:
                found.append(child)
        if len(found) + len(todo) > _MAX_FILES:
            raise UnreadableFile(f"{path}: more than {_MAX_FILES} files: this is no session; give the folder of one")
    if not found:
        raise UnreadableFile(f"{path}: an empty folder")
    return sorted(found, key=lambda p: source_name.plain(p).parts)
