"""Made-up trees of ALF sessions, and ONE's tables for them, written with plain numpy and pandas."""

from __future__ import annotations

import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from readers import alffolder

QC = ["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"]
#: lab, subject, date, number, protocol, projects, and the files of each with their quality and whether they exist.
SESSIONS = [
    ("mainenlab", "ZM_1743", "2019-06-14", 1, "_iblrig_tasks_ephysChoiceWorld6.2.5", "ibl_neuropixel_brainwide_01"),
    ("mainenlab", "ZM_2240", "2020-01-22", 1, "_iblrig_tasks_trainingChoiceWorld6.2.5", "ibl_mainenlab,ibl_neuropixel_brainwide_01"),
    ("churchlandlab", "CSHL045", "2020-02-25", 2, "_iblrig_tasks_ephysChoiceWorld6.4.0", "ibl_neuropixel_brainwide_01"),
    ("churchlandlab", "CSHL045", "2020-02-25", 11, "_iblrig_tasks_habituationChoiceWorld6.4.0", "practice"),
    ("churchlandlab_ucla", "MFD_04", "2021-07-27", 1, "", ""),
    ("", "zm.lower-case", "2021-07-28", 1, "ephys", "other"),
]
TRIALS, SPIKES, WHEEL = "alf/_ibl_trials.table.pqt", "alf/probe00/pykilosort/spikes.times.npy", "alf/_ibl_wheel.position.npy"
FILES: list[list[tuple[str, str, bool]]] = [
    [(TRIALS, "PASS", True), (SPIKES, "PASS", True), (WHEEL, "NOT_SET", True)],
    [(TRIALS, "WARNING", True), (WHEEL, "FAIL", True)],
    [(TRIALS, "FAIL", True), (SPIKES, "CRITICAL", True), ("alf/probe01/spikes.times.npy", "FAIL", True)],
    [(TRIALS, "CRITICAL", True), (SPIKES, "PASS", False)],
    [],
    [("alf/trials.table.pqt", "NOT_SET", True), ("raw_video_data/_iblrig_leftCamera.raw.mp4", "NOT_SET", True)],
]


def eid(i: int) -> str:
    """The id of a made-up session."""
    return str(uuid.uuid3(uuid.NAMESPACE_DNS, f"session {i}"))


def did(i: int, path: str) -> str:
    """The id of a made-up dataset."""
    return str(uuid.uuid3(uuid.NAMESPACE_DNS, f"{i} {path}"))


def pid(i: int, probe: str) -> str:
    """The id of a made-up insertion."""
    return did(i, f"probe {probe}")


def frames() -> dict[str, pd.DataFrame]:
    """The tables of SESSIONS and FILES, as ONE has them."""
    names = ["lab", "subject", "date", "number", "task_protocol", "projects"]
    sessions = pd.DataFrame(SESSIONS, columns=names, index=pd.Index([eid(i) for i in range(len(SESSIONS))], name="id"))
    sessions["date"] = [datetime.date.fromisoformat(d) for d in sessions["date"]]
    sessions["number"] = sessions["number"].astype(np.uint16)
    rows = [(eid(i), did(i, path), path, 0, "", exists, qc) for i, own in enumerate(FILES) for path, qc, exists in own]
    datasets = pd.DataFrame(rows, columns=["eid", "id", "rel_path", "file_size", "hash", "exists", "qc"]).set_index(["eid", "id"])
    datasets["file_size"] = datasets["file_size"].astype("UInt64")
    datasets["qc"] = pd.Categorical(datasets["qc"], categories=QC, ordered=True)
    probes = [(eid(i), pid(i, p), p) for i, p in ((0, "probe00"), (0, "probe01"), (2, "probe00"), (2, "probe01"), (4, "probe00"))]
    insertions = pd.DataFrame(probes, columns=["eid", "id", "name"]).set_index(["eid", "id"])
    return {"sessions": sessions.sort_index(), "datasets": datasets.sort_index(), "insertions": insertions.sort_index()}


def write(folder: Path, tables: dict[str, pd.DataFrame], metadata: dict[str, Any] | None = None) -> Path:
    """Tables in a folder, with what ONE writes beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"date_created": "2026-01-01 00:00", "origin": "made", "min_api_version": "2.7.0"} if metadata is None else metadata
    for name, frame in tables.items():
        table = pa.Table.from_pandas(frame)
        pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), b"one_metadata": json.dumps(told).encode()}), folder / f"{name}.pqt")
    return folder


def session(root: Path) -> Path:
    """One session's folder with two probes, revisions, parts, metadata, other clocks, namespaces, tables and files of other kinds."""
    folder = alffolder.session(root, ("probe00", "probe01"))
    times = np.arange(9.0)
    alf = alffolder.put(folder / "alf", I_wheel__position=times / 3, I_wheel__timestamps=np.array([[0.0, 10.0], [8.0, 26.0]]))
    alffolder.put(alf, licks__times=times, I_leftCamera__times=times, leftCamera__ROIMotionEnergy=times.reshape(-1, 1))
    alffolder.put(alf / "#2021-01-01#", licks__times=times + 100)
    alffolder.put(alf / "#2022-06-01#", licks__times=times + 200)
    alffolder.put(alf, I_sync__channels=times, I_sync__times=times, I_sync__times_bpod=times + 0.5)
    alffolder.put(alf, body__xyz=np.arange(12.0).reshape(4, 3))
    (alf / "body.xyz.metadata.json").write_text(json.dumps({"columns": ["x", "y", "z"], "unit": "mm"}))
    (alf / "_ibl_passiveGabor.table.csv").write_text("start,stop,contrast\n1.0,1.3,1.0\n2.0,2.3,0.5\n")
    (folder / "notes.txt").write_text("no ALF name")
    video = folder / "raw_video_data"
    video.mkdir()
    (video / "_iblrig_leftCamera.raw.mp4").write_bytes(b"not loaded")
    raw = folder / "raw_ephys_data" / "probe00"
    raw.mkdir(parents=True)
    for end in ("ap.cbin", "ap.ch", "lf.meta"):
        (raw / f"_spikeglx_ephysData_g0_t0.imec0.{end}").write_bytes(b"raw")
    return folder
