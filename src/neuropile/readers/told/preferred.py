"""A session that an archive holds twice, in an older and a newer form: read once, from the form that is preferred."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import Any

from neuropile.errors import UnreadableFile
from neuropile.readers import folder_files
from neuropile.types import Reader, Recording


@dataclass(frozen=True)
class Preferred(Reader):
    """What `reader` reads of the file whose name fits the first pattern that one fits.

    patterns : of file names, the best form first
    """

    reader: Reader
    patterns: tuple[str, ...]

    def session_name(self, path: Any) -> str:
        """As the reader calls it."""
        return self.reader.session_name(path)

    def __call__(self, path: Any) -> Recording:
        """The recording of a file, or of a folder with the forms of one session.

        Raises
        ------
        UnreadableFile : a folder with no file of these forms, or with two of the form that is preferred
        """
        files = folder_files.below(path)
        chosen = next((fit for p in self.patterns if (fit := [f for f in files if fnmatch.fnmatchcase(f.name, p)])), files)
        if len(chosen) > 1:
            raise UnreadableFile(f"{path}: {', '.join(f.name for f in chosen[:3])}: sought one file of {' or '.join(self.patterns)}; narrow what is selected")
        recording = self.reader(chosen[0])
        others = [f.name for f in files if f is not chosen[0]]
        return replace(recording, notes=(*recording.notes, f"read from {chosen[0].name}; not from {', '.join(others)}")) if others else recording


def first(reader: Reader, *patterns: str) -> Preferred:
    """The reader of a session's best form; see Preferred."""
    return Preferred(reader, patterns)
