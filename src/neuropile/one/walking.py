"""A folder of ALF sessions without tables: walked, and indexed as ONE's tables would be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neuropile.archives.one_datasets import without_uuid
from neuropile.one import choosing, ids
from neuropile.one.tables import INDEX, Tables, frame
from neuropile.readers.alf import folder, grammar

_PROBE = re.compile(r"alf/(probe[\w-]*)(?:/|$)")


def walk(root: Path) -> Tables:
    """The tables of all sessions below a folder, or of the one that it is; every file with an ALF name is a dataset.

    Ids are made from paths (`ids.of_path`), so that they are the same whenever and wherever the folder is walked: a session's
    from lab, subject, date and number, with `1` and `001` one number; a dataset's from that and its own path, without the
    UUID that some servers' files carry in their names. Links that leave the folder are not followed.
    """
    sessions: dict[str, dict[str, Any]] = {}
    datasets: dict[tuple[str, str], dict[str, Any]] = {}
    insertions: dict[str, dict[str, str]] = {}
    for path in _session_folders(root):
        found = grammar.session_of(folder.parts(path))
        if found is None:
            continue
        named = canonical(found.lab, found.subject, found.date, found.number)
        eid = ids.of_path(named)
        own = path.relative_to(root).as_posix()
        row = {"id": eid, "lab": found.lab or "", "subject": found.subject, "date": found.date, "number": found.number, "session_path": own}
        if sessions.setdefault(eid, row)["session_path"] != own:
            continue  # the same session under another spelling of its number
        for relative, size in _files(path, root):
            told = without_uuid(relative)
            entry = {"eid": eid, "id": ids.of_path(f"{named}/{told}"), "rel_path": told, "file_size": size}
            datasets.setdefault((eid, told), entry)
            if probe := _PROBE.match(told):
                pid = ids.of_path(f"{named}/{probe[1]}")
                insertions[pid] = {"eid": eid, "id": pid, "name": probe[1]}
    made = {
        "sessions": (list(sessions.values()), ("id", "lab", "subject", "date", "number", "session_path")),
        "datasets": (list(datasets.values()), ("eid", "id", "rel_path", "file_size")),
        "insertions": (list(insertions.values()), ("eid", "id", "name")),
    }
    return Tables(**{name: frame(name, {c: [r[c] for r in rows] for c in columns}) for name, (rows, columns) in made.items()})


def renewed(root: Path, known: Tables, folder_of: Callable[[str], Path]) -> Tables:
    """The tables of a folder walked anew, with the ids, hashes and qualities that older tables gave.

    What the older tables list and is gone: where a walk had given its id, its row goes; where a database had, it stays and no
    longer `exists`, or stays as it is where nothing of its session is on this disk.

    folder_of : where a session of the older tables lies
    """
    import pandas as pd

    found, listed = walk(root), {folder_of(str(e)): str(e) for e in known.sessions.index}
    same = {eid: listed.get(root / place, eid) for eid, place in found.sessions["session_path"].items()}
    here = set(same.values())
    names = {e: canonical(r["lab"] or None, r["subject"], str(r["date"]), int(r["number"])) for e, r in known.sessions.iterrows()}
    kept = {e for e in known.sessions.index if e in here or e != ids.of_path(names[e])}
    sizes = {(same[e], path): size for (e, _), path, size in found.datasets[["rel_path", "file_size"]].itertuples()}
    old = known.datasets.reset_index()
    rows = []
    for row in old[old["eid"].isin(here)].to_dict("records"):
        size = sizes.get((row["eid"], row["rel_path"]))
        if size is not None:
            rows.append(row | {"file_size": size, "exists": True, "hash": row["hash"] if not pd.isna(row["file_size"]) and row["file_size"] == size else ""})
        elif row["id"] != ids.of_path(f"{names[row['eid']]}/{row['rel_path']}"):
            rows.append(row | {"exists": False})
    parts = {"sessions": [known.sessions[known.sessions.index.isin(list(kept))].reset_index()]}
    parts["datasets"] = [old[old["eid"].isin(list(kept - here))], pd.DataFrame(rows)]
    parts["insertions"] = [known.insertions[known.insertions.index.get_level_values("eid").isin(list(kept))].reset_index()]
    for name, key in (("sessions", ["id"]), ("datasets", ["eid", "rel_path"]), ("insertions", ["eid", "name"])):
        new = getattr(found, name).reset_index()
        new[INDEX[name][0]] = [same[e] for e in new[INDEX[name][0]]]
        there = {tuple(r) for part in parts[name] if len(part) for r in part[key].itertuples(index=False)}
        parts[name].append(new[np.array([tuple(r) not in there for r in new[key].itertuples(index=False)], bool)])
    both = {name: pd.concat([p for p in own if len(p)] or own[-1:], ignore_index=True) for name, own in parts.items()}
    return Tables(**{name: frame(name, {c: table[c] for c in table.columns}) for name, table in both.items()})


def canonical(lab: str | None, subject: str, date: str, number: int) -> str:
    """A session's path as ONE writes it.

    >>> canonical("mainenlab", "ZM_1743", "2019-06-14", 1)
    'mainenlab/Subjects/ZM_1743/2019-06-14/001'
    """
    return f"{f'{lab}/Subjects/' if lab else ''}{subject}/{date}/{number:03d}"


def datasets_of(session: Path) -> list[str]:
    """The datasets in a session's folder, by their paths in it."""
    return [without_uuid(relative) for relative, _ in _files(session, session)]


def _session_folders(root: Path) -> Iterator[Path]:
    """The folders subject/date/number, in order of their names."""
    for here, names, _ in os.walk(root):
        if grammar.is_session_root(folder.parts(Path(here))):
            names.clear()
            yield Path(here)
        names[:] = sorted(n for n in names if not n.startswith("."))


def _files(session: Path, root: Path) -> Iterator[tuple[str, int]]:
    """Each file with an ALF name, by its path in the session, and its size; a name without UUID comes before one with it."""
    for here, names, files in os.walk(session):
        names[:] = sorted(n for n in names if not n.startswith("."))
        inside = tuple(Path(here).relative_to(session).parts)
        for name in sorted(files, key=lambda n: (without_uuid(n), len(n))):
            path = Path(here) / name
            if choosing.parsed("/".join((*inside, name))) is not None and path.is_file() and folder.stays(path, root):
                yield "/".join((*inside, name)), path.stat().st_size
