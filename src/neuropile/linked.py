"""Files that belong to a session and are not copied into it: where they lie, and how long they are."""

from __future__ import annotations

from typing import Any

from neuropile import remote
from neuropile.errors import NeuropileError, NotThere, UnreadableFile
from neuropile.types import Linked


def find(session: Any, name: str, kinds: tuple[str, ...]) -> Linked:
    """A linked file of a session by its name.

    Raises
    ------
    NotThere : the session tells of no such file; the message says why, where it knows
    NeuropileError : it is of another kind
    """
    linked = session.linked
    if name not in linked:
        why = getattr(session, "absent", {}).get(name)
        there = ", ".join(n for n, f in linked.items() if f.kind in kinds) or "none"
        raise NotThere(f"{session.key}: no {' or '.join(kinds)} {name!r} ({why or f'there are {there}'})")
    if linked[name].kind not in kinds:
        raise NeuropileError(f"{session.key}: {name!r} is {linked[name].kind}, not {' or '.join(kinds)}")
    return linked[name]


def place(linked: Linked, root: Any = None) -> Any:
    """The path of a linked file: below `root`, or at its URL without one.

    Parameters
    ----------
    root : the folder, or the file, the session was read from; a path or a URL

    Raises
    ------
    NeuropileError : it is not there, or nobody says where it is
    """
    if root is None:
        if linked.url is None:
            raise NeuropileError(f"{linked.path}: no address of it is known; pass root=, the folder the session was read from")
        return remote.as_path(linked.url)
    folder = remote.as_path(root)
    if not remote.is_remote(folder) and folder.is_file():
        folder = folder.parent
    found = folder / linked.path
    if not remote.is_remote(folder):
        if not found.resolve().is_relative_to(folder.resolve()):
            raise NeuropileError(f"{found} leads out of {folder}: a linked file lies below it")
        if not found.exists():
            raise NeuropileError(f"{found}: no such file; pass root=, the folder the session was read from, with its raw data in it")
    return found


def size(path: Any) -> int:
    """The bytes of a file, here or far away.

    Raises
    ------
    UnreadableFile : there is no such file, it is empty, or nobody says how long it is
    """
    if not remote.is_remote(path) and not path.is_file():
        raise UnreadableFile(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        found = remote.persist(lambda: path.stat().st_size, path)
    except FileNotFoundError:
        raise UnreadableFile(f"{path}: no such file") from None
    except Exception as e:  # each kind of server has errors of its own
        raise UnreadableFile(f"{path}: cannot be reached ({type(e).__name__}: {e})") from None
    if not found:
        raise UnreadableFile(f"{path}: the file is empty (0 bytes), or its server does not say how long it is; fetch it again")
    return int(found)
