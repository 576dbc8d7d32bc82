"""MATLAB files of monkeys: a grid of spike cells by sort and channel (7.3), and a variable a unit (5)."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import scipy.io
from making import Made, MadeSession, making
from primate_files import WIDTH, counted

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Sun May 17 13:21:11 2020 HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM"


def cell(file: h5py.File, name: str, items: list[list[np.ndarray | str]]) -> None:
    """A MATLAB cell, of which HDF5 holds the axes reversed: `items` is as HDF5 has it."""
    refs = np.empty((len(items), len(items[0])), h5py.ref_dtype)
    for i, row in enumerate(items):
        for k, item in enumerate(row):
            inner = f"#refs#/{name}_{i}_{k}"
            if isinstance(item, str):
                made = file.create_dataset(inner, data=np.frombuffer(item.encode("utf-16-le"), np.uint16).reshape(-1, 1))
                made.attrs["MATLAB_class"] = np.bytes_("char")
            elif len(item):
                made = file.create_dataset(inner, data=item.reshape(1, -1))
                made.attrs["MATLAB_class"] = np.bytes_("double")
            else:  # an empty cell is stored as the sizes of its axes
                made = file.create_dataset(inner, data=np.zeros(2, np.uint64))
                made.attrs["MATLAB_class"], made.attrs["MATLAB_empty"] = np.bytes_("double"), np.uint8(1)
            refs[i, k] = made.ref
    file.create_dataset(name, data=refs).attrs["MATLAB_class"] = np.bytes_("cell")


def published_from_first(trains: list[np.ndarray]) -> np.ndarray:
    """Float edges from the session's earliest spike to the first at or past the last, the last bin closed; cast to uint8."""
    every = np.concatenate(trains)
    edges = np.arange(every.min(), every.max() + WIDTH, WIDTH)
    return np.stack([np.histogram(t, edges)[0] for t in trains]).astype(np.uint8)


@making("makin")
def makin(folder: Path) -> Made:
    """A session of M1 alone, and one of M1 and S1; channels with hash only, with sorted units only, with neither."""
    rng = np.random.default_rng(3854034)
    sessions, rows = {}, {}
    for name, names, n_sorts in (
        ("indy_20160407_02", ["M1 001", "M1 002", "M1 003"], 3),
        ("loco_20170210_03", ["M1 001", "M1 002", "S1 001", "S1 002"], 5),
    ):
        ticks = [[np.sort(rng.choice(np.arange(50_000_700, 50_399_000), 80, False)) for _ in names] for _ in range(n_sorts)]
        for sort, channel in ((1, 0), (2, 0), (2, 1), (0, 2), (1, 2), (2, 2)):
            ticks[sort][channel] = np.empty(0, np.int64)
        if n_sorts == 5:
            ticks[3] = [np.empty(0, np.int64) for _ in names]
        path = folder / f"{name}.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            cell(file, "spikes", [[t / 1e5 for t in row] for row in ticks])
            cell(file, "wf", [[np.zeros(4) for _ in row] for row in ticks])
            cell(file, "chan_names", [names])
            t = 500 + 0.004 * np.arange(1000)
            file.create_dataset("t", data=t.reshape(1, -1))
            for behaviour, n in (("cursor_pos", 2), ("finger_pos", 3 if name < "j" else 6), ("target_pos", 2)):
                file.create_dataset(behaviour, data=np.stack([t * (axis + 1) for axis in range(n)]))
        with open(path, "r+b") as f:
            f.write(HEADER)
        held = [(s, c) for c in range(len(names)) for s in range(n_sorts) if len(ticks[s][c])]
        sessions[name] = MadeSession(
            [f"{names[c]}:{s}" for s, c in held], counted([ticks[s][c] // 2000 for s, c in held], 25_000, 200), 25_000,
            observed=np.array([[500.0, 504.0]]), subject_id=name[:4], regions=[names[c][:2] for _, c in held],
        )  # fmt: skip
        rows["makin", name] = published_from_first([np.concatenate([row[c] for row in ticks]) / 1e5 for c in range(len(names))])
    (folder / "indy_20160407_02.nwb").write_bytes(b"broadband, which is another record's")
    return Made(sessions, rows)


def published_by_division(times: dict[str, np.ndarray]) -> np.ndarray:
    """Rows of channels 000 to 127, unit a or nothing; a spike in bin floor(t / 0.02) of ceil(last / 0.02); increments of a uint8."""
    trains = [times.get(f"{channel:03d}a", np.empty(0)) for channel in range(128)]
    n_bins = int(np.ceil(max(t.max() for t in trains if len(t)) / WIDTH))
    counts = np.zeros((128, n_bins), np.uint8)
    for row, train in zip(counts, trains, strict=True):
        for t in train:
            at = int(np.floor(t / WIDTH))
            if at < n_bins:
                row[at] += np.uint8(1)
    return counts


@making("lanzarini")
def lanzarini(folder: Path) -> Made:
    """Units a, b and c, no channel 000, a channel 128, three seconds in which the signal was lost, a last spike on an edge."""
    rng = np.random.default_rng(82)
    sessions, rows = {}, {}
    for monkey, name in (("MonkeyA", "A_freely_01"), ("MonkeyB", "B_chair_02")):
        ids = ["001a", "001b", "002a", "017a", "017b", "017c", "127a", "128a"]
        ticks = {i: np.sort(np.r_[rng.choice(np.arange(1000, 600_000), 50, False), rng.choice(np.arange(900_000, 1_190_000), 30, False)]) for i in ids}
        ticks["017a"] = np.r_[ticks["017a"], 1_200_000]
        variables = {f"Spk_{i}_sh": (t / 1e5).reshape(1, -1) for i, t in ticks.items()}
        variables |= {"Ethogram": np.arange(6.0), "Spk_001a_wf": np.ones((1, 9)), "EVT01": np.ones((1, 3))}
        path = folder / monkey / f"{name}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(path, variables, do_compression=True)
        sessions[name] = MadeSession(ids, counted([t // 2000 for t in ticks.values()], 0, 601), 0, subject_id=monkey)
        rows[monkey, name] = published_by_division({i: t / 1e5 for i, t in ticks.items()})
    (folder / "README.txt").write_text("which monkey sat and which moved")
    return Made(sessions, rows)
