"""FALCON benchmark files: spikes on the task's own 20 ms bins, which of them are evaluated, and who was recorded beside the split they are named after."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from neuropile.readers.told import Around
from neuropile.types import Reader, Recording

#: The archive has the split where others have the subject: sub-MonkeyL-held-in-calib_ses-...
_SPLIT = re.compile(r"^(?:sub-)?(?P<subject>.+?)[-_](?P<split>held[-_](?:in|out)[-_][A-Za-z]+)")


@dataclass(frozen=True)
class Falcon(Around):
    """A reader of FALCON files around one of NWB files.

    grid : the series whose time stamps are the task's bins, or the group of such series; None where the reader itself keeps to them
    stamps : whether its time stamps are the "ends" or the "starts" of bins
    """

    reader: Reader
    grid: str | None = None
    stamps: str = "ends"

    def __call__(self, path: Any) -> Recording:
        """Read with the other reader, moved so that the task's bins are bins of the session's clock.

        Raises
        ------
        UnreadableFile : the file has no such series, or its time stamps are no bins of 20 ms
        """
        from neuropile.readers.told import falcon_file

        recording = self.reader(path)
        try:
            recording = falcon_file.evaluated(recording) if self.grid is None else falcon_file.on_grid(recording, path, self.grid, self.stamps)
        except BaseException:
            recording.close()
            raise
        return _named(recording, self.session_name(path))


def _named(recording: Recording, name: str) -> Recording:
    """The recording with its subject's own name, and the split kept beside what the file says."""
    found = _SPLIT.match(name) or _SPLIT.match(recording.subject.subject_id or "")
    if found is None:
        return recording
    subject = replace(recording.subject, subject_id=found["subject"])
    return replace(recording, subject=subject, source={**recording.source, "src_split": found["split"].replace("_", "-")})


def task(reader: Reader, *, grid: str | None = None, stamps: str = "ends") -> Falcon:
    """A reader of FALCON files; see Falcon."""
    return Falcon(reader, grid, stamps)
