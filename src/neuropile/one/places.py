"""Where a session's folder and its files are on this disk, and whether they are those that the tables tell of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from neuropile.archives.one_datasets import with_uuid, without_uuid
from neuropile.errors import UnreadableFile
from neuropile.one.errors import ALFError
from neuropile.readers.alf import folder

if TYPE_CHECKING:
    import pandas as pd

_LENGTHS = {32: "md5", 40: "sha1"}


def folders(row: pd.Series) -> list[str]:
    """Where a session's folder may be, below the root, the usual place first."""
    if row.get("session_path"):
        return [str(row["session_path"])]
    tops = [f"{row['lab']}/Subjects/", "", "Subjects/"] if row["lab"] else ["", "Subjects/"]
    number = int(row["number"])
    numbers = dict.fromkeys((f"{number:03d}", str(number), f"{number:02d}"))
    return [f"{top}{row['subject']}/{row['date']}/{n}" for top in tops for n in numbers]


def on_disk(home: Path, rel_path: str, own: str, root: Path) -> Path | None:
    """A dataset's file, whose name may carry the dataset's UUID, or another; None where there is none."""
    if ".." in Path(rel_path).parts or Path(rel_path).is_absolute():
        raise ALFError(f"a table names {rel_path!r}, which would leave its session: the table is not to be trusted")
    path = home / rel_path
    for candidate in (path, home / with_uuid(rel_path, own)):
        if candidate.is_file() and folder.stays(candidate, root):
            return candidate
    if not path.parent.is_dir():
        return None
    named = sorted(p for p in path.parent.iterdir() if p.name != path.name and without_uuid(p.name) == path.name and p.is_file())
    return next((p for p in named if folder.stays(p, root)), None)


def check(path: Path, row: pd.Series, check_hash: bool) -> None:
    """Raise UnreadableFile unless a file is the one that the table tells of."""
    import pandas as pd

    size = path.stat().st_size
    if not pd.isna(row["file_size"]) and int(row["file_size"]) not in (0, size):
        raise UnreadableFile(f"{path} has {size} bytes, the table says {row['file_size']}: it was cut or replaced; fetch it again, or mend the table")
    kind = _LENGTHS.get(len(row["hash"]))
    if check_hash and kind:
        with path.open("rb") as f:
            if hashlib.file_digest(f, kind).hexdigest() != row["hash"].lower():
                raise UnreadableFile(f"{path} does not have the {kind.upper()} that the table says; fetch it again, or pass check_hash=False")
