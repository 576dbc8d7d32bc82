"""One recording whose probes lie in a file each: read as one session, each unit knowing its probe and when that was observed."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuropile.errors import NeuropileError
from neuropile.readers import folder_files, source_name
from neuropile.types import Reader, Recording

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROBE = re.compile(r"[-_](probe\w*?)(?=[-_.+]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class JoinedProbes(Reader):
    """The reader of a session of several files, one a probe, all on one clock.

    reader : of each file
    skip : leave out a file that cannot be read, and say so, as the published scripts do; else the session fails
    """

    reader: Reader
    skip: bool = False

    def session_name(self, path: Any) -> str:
        """The name of the folder; of a file, as the reader calls it, without its probe."""
        return _PROBE.sub("", self.reader.session_name(path), count=1)

    def __call__(self, path: Any) -> Recording:
        """The files below a folder, or one file, in the order of their names, as one recording.

        Raises
        ------
        NeuropileError : one of the files cannot be read (with `skip`: none can), or two are of different subjects
        """
        from neuropile.readers.joined import parts as joined_parts

        files = folder_files.below(path)
        notes: list[str] = []
        with ExitStack() as opened:
            parts = []
            for file, label in zip(files, labels(files), strict=True):
                try:
                    parts.append(joined_parts.Part(label, opened.enter_context(self.reader(file))))
                except NeuropileError as e:
                    if not self.skip:
                        raise
                    notes.append(f"left out, as in the published scripts: {e}")
            if not parts:
                raise NeuropileError(f"{path}: none of {len(files)} files could be read: {'; '.join(notes)}")
            return joined_parts.join(parts, self.session_name(path), notes, opened.pop_all().close)


def labels(files: Sequence[Any]) -> list[str]:
    """What the probe of each file is called, from its name; `probe` and a number where the names do not tell them apart."""
    found = [_PROBE.search(source_name.plain(f).stem) for f in files]
    names = [m.group(1) if m else "" for m in found]
    return names if all(names) and len(set(names)) == len(names) else [f"probe{i}" for i in range(len(names))]


def probes(reader: Reader, *, skip: bool = False) -> JoinedProbes:
    """The reader of one session from several files; see JoinedProbes."""
    return JoinedProbes(reader, skip)
