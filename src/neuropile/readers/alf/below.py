"""The one ALF session that lies somewhere below a folder, as archives keep them: lab/Subjects/subject/date/number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from neuropile.errors import UnreadableFile
from neuropile.readers.alf import AlfSession
from neuropile.types import Reader, Recording

#: Below a folder: lab, Subjects, subject, date and number, and as many more.
MAX_DEPTH = 10


@dataclass(frozen=True)
class AlfBelow(Reader):
    """The reader of a folder with one ALF session below it; `session` reads that."""

    session: AlfSession

    def __call__(self, path: Any) -> Recording:
        """Open the session; raises as its reader does, and UnreadableFile where there is none, or are several."""
        return self.session(_root(path))

    def session_name(self, path: Any) -> str:
        """subject_date_number."""
        return self.session.session_name(_root(path))

    def files(self, path: Any) -> Sequence[Any]:
        """The files that are read, by name."""
        return self.session.files(_root(path))


def session(*, revision: str | None = None, sorter: str | None = None) -> AlfBelow:
    """The reader of a folder with one ALF session below it; revision and sorter as of `alf.session`."""
    return AlfBelow(AlfSession(revision, sorter))


def _root(path: Any) -> Any:
    found = list(_roots(path, 0))
    if len(found) != 1:
        names = ", ".join("/".join(_parts(f)[-3:]) for f in found[:3])
        raise UnreadableFile(f"{path}: sought one session, a folder subject/date/number, found {names or 'none'}")
    return found[0]


def _roots(path: Any, depth: int) -> Iterator[Any]:
    from neuropile.readers.alf.grammar import is_session_root

    if is_session_root(_parts(path)):
        yield path
    elif depth < MAX_DEPTH:
        for below in sorted((p for p in path.iterdir() if p.is_dir()), key=lambda p: p.name):
            yield from _roots(below, depth + 1)


def _parts(path: Any) -> list[str]:
    from neuropile.readers.alf.folder import parts

    return parts(path)
