"""Folders in the ALF convention of the International Brain Laboratory: spikes, clusters, trials, behaviour, videos, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuropile.paths import safe_name
from neuropile.types import Reader, Recording

#: Names of folders that say nothing of the session.
_GENERIC = re.compile(r"alf|(probe|imec)[\w-]*|#[\w.-]+#|pykilosort|iblsorter", re.IGNORECASE)


@dataclass(frozen=True)
class AlfSession(Reader):
    """The reader of ALF session folders; several probes are one session.

    revision : of each file the newest version up to this one is read, compared as text, as dates (YYYY-MM-DD) are meant to
        be; None reads the newest of all. Where only files without a revision are left, a note says so
    sorter : whose sorting to read where there are several; "" is the one that lies in the probe's own folder. None,
        and a probe that lacks the one asked for, takes iblsorter, then pykilosort, then the shortest path
    """

    revision: str | None = None
    sorter: str | None = None

    def __call__(self, path: Any) -> Recording:
        """Open a folder and return its recording, spike trains still ungrouped.

        Raises
        ------
        NoEvents : the folder has no spikes
        UnreadableFile : its spikes are damaged or contradict themselves
        """
        from neuropile.readers.alf import read

        return read.read(path, safe_name(self.session_name(path)), self.revision, self.sorter)

    def session_name(self, path: Any) -> str:
        """subject_date_number where the path says so, else the folder's name."""
        from neuropile.readers.alf import folder, grammar

        session = grammar.session_of(folder.parts(path))
        return session.name if session else folder.name(path, _GENERIC)

    def files(self, path: Any) -> Sequence[Any]:
        """The files that are read, by name; not those that are linked."""
        from neuropile.readers.alf import files as alf_files
        from neuropile.readers.alf import linked, passive

        found = alf_files.find(path, self.revision, self.sorter)
        stimulus = passive.rfm_file(path) if "passiveRFM" in found.objects else None
        return [*found.files(), *linked.clock_files(path), *([stimulus] if stimulus is not None else [])]


def session(*, revision: str | None = None, sorter: str | None = None) -> AlfSession:
    """The reader of an ALF session folder; see AlfSession."""
    return AlfSession(revision, sorter)


def takes(path: Any) -> bool:
    """Whether a folder is one ALF session: spikes or trials lie in it or below, and it is not a folder of sessions."""
    from neuropile.readers.alf import files as alf_files

    if not path.is_dir():
        return False
    return any(d.is_plain and ((d.object == "spikes" and d.attribute == "times") or d.object in ("passingSpikes", "trials")) for d in alf_files.datasets(path))
