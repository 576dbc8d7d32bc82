"""Primate and human datasets that are MATLAB, NumPy or plain HDF5 files, as their archives would hold them, small: counted in plain numpy."""

from __future__ import annotations

import io
import tarfile
import zipfile
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from making import Made, MadeSession, making


def laid_out(seconds: list[float]) -> np.ndarray:
    """When trials of some lengths begin, end to end: each at a whole second, at least one unobserved between."""
    starts, at = [], 0
    for length in seconds:
        starts.append(at)
        at += int(np.ceil(length + 1.0 - 1e-9))
    return np.array(starts, float)


def spans(seconds: list[float]) -> np.ndarray:
    starts = laid_out(seconds)
    return np.stack([starts, starts + seconds], axis=1)


def mat(**variables) -> bytes:
    held = io.BytesIO()
    scipy.io.savemat(held, variables, do_compression=True)
    return held.getvalue()


def packed(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def cell(texts: list[str]) -> np.ndarray:
    out = np.empty((len(texts), 1), object)
    out[:, 0] = texts
    return out


def willett_file(rng: np.random.Generator, blocks: list[tuple[int, int]], cued: bool) -> tuple[bytes, np.ndarray]:
    """A file of (block number, bins) blocks, a trial in each, and its counts (bin, channel)."""
    n = sum(bins for _, bins in blocks)
    counts = rng.poisson(0.4, (n, 256)).astype(np.uint8)
    firsts = np.cumsum([0] + [bins for _, bins in blocks[:-1]])
    delay = np.stack([firsts + 1, firsts + 4], axis=1)
    words = {"cueList": cell(["ban", "choose"]).T, "trialCues": np.array([[2], [1], [1]])[: len(blocks)]} if cued else {}
    words = words or {"sentences": cell([f"sentence {i}" for i in range(len(blocks))])}
    data = mat(
        tx1=counts,
        tx2=np.zeros_like(counts),
        spikePow=np.ones((n, 256), np.float32),
        blockNum=np.repeat([b for b, _ in blocks], [bins for _, bins in blocks]).reshape(-1, 1),
        delayTrialEpochs=delay,
        goTrialEpochs=delay + 4,
        audio=np.zeros((1000, 1), np.int16),
        **words,
    )
    return data, counts


@making("willett")
def willett(folder: Path) -> Made:
    rng = np.random.default_rng(12)
    regions = ["6v"] * 128 + ["44"] * 128
    sessions, upstream = {}, {}
    plan = {
        "sentences": ("t12.2022.04.28_sentences", [(3, 30), (4, 12)], False),
        "tuningTasks": ("t12.2022.05.03_fiftyWordSet", [(1, 20), (2, 9), (7, 15)], True),
        "diagnosticBlocks": ("t12.2022.04.28", [(0, 61)], True),
    }
    for where, (stem, blocks, cued) in plan.items():
        data, counts = willett_file(rng, blocks, cued)
        packed(folder / f"{where}.tar.gz", {f"{where}/{stem}.mat": data, f"{where}/._{stem}.mat": b"\0\5\26\7", f"{where}/README.txt": b"text"})
        seconds = [bins / 50 for _, bins in blocks]
        starts = laid_out(seconds)
        bins = np.concatenate([np.arange(n) + round(s * 50) for s, (_, n) in zip(starts, blocks, strict=True)])
        first = int(bins[counts.any(axis=1)].min())
        whole = np.zeros((256, bins.max() + 1 - first), int)
        whole[:, bins[bins >= first] - first] = counts[bins >= first].T
        name = f"{where}_{stem}"
        recording = f"willett/{stem[:14]}"
        sessions[name] = MadeSession(
            [str(c) for c in range(256)],
            whole,
            first,
            quantity="threshold_crossings",
            observed=spans(seconds),
            subject_id="T12",
            recording_id=recording,
            regions=regions,
        )
        upstream[where, stem] = counts.T
    other = mat(tx1=np.zeros((5, 256), np.uint8), blockIdx=np.ones((5, 1)))
    packed(folder / "competitionData.tar.gz", {"competitionData/train/t12.2022.04.28.mat": other})
    return Made(sessions, upstream)


def guessed_counts(values: np.ndarray) -> np.ndarray:
    """The published scripts' guess at one channel of one trial."""
    distinct = sorted({float(v) for v in values})
    gaps = [b - a for a, b in pairwise(distinct) if b - a > 1e-6]
    if not gaps:
        return np.zeros(len(values), np.uint8)
    steps = np.round(values.astype(np.float64) / min(gaps))
    return np.clip(steps - steps.min(), 0, 20).astype(np.uint8)


@making("card")
def card(folder: Path) -> Made:
    rng = np.random.default_rng(15)
    members: dict[str, bytes] = {"t15_copyTask_neuralData/README.md": b"text"}
    upstream, days = {}, {}
    plan = {
        ("t15.2023.08.11", "data_train"): [(2, 0), (1, 1), (1, 0)],
        ("t15.2023.08.13", "data_train"): [(1, 0), (1, 2)],
        ("t15.2023.08.13", "data_val"): [(1, 1)],
    }
    for (day, stem), trials in plan.items():
        held = io.BytesIO()
        columns = []
        with h5py.File(held, "w") as file:
            for i, (block, number) in enumerate(trials):
                n = int(rng.integers(8, 70))
                crossings = rng.poisson(2.0, (n, 256))
                crossings[0], crossings[1], crossings[2] = 0, 1, 30  # so that the gap of one is there, and the clip at 20 is met
                values = np.c_[(crossings - 2.0) / 0.5, rng.normal(size=(n, 256))].astype(np.float32)
                values[:, 7] = 0.25  # a channel that does not change
                group = file.create_group(f"trial_{i:04d}")
                group["input_features"] = values
                group.attrs.update(n_time_steps=n, block_num=block, trial_num=number, session=day, sentence_label=f"{block}-{number}")
                columns.append(np.stack([guessed_counts(c) for c in values[:, :256].T]))
                days.setdefault(day, []).append(((block, number), values))
        members[f"t15_copyTask_neuralData/hdf5_data_final/{day}/{stem}.hdf5"] = held.getvalue()
        upstream["T15", f"{day}_{stem}"] = np.concatenate(columns, axis=1)
    members["__MACOSX/t15_copyTask_neuralData/hdf5_data_final/t15.2023.08.11/._data_train.hdf5"] = b"\0\5\26\7"
    packed(folder / "t15_copyTask_neuralData.zip", members)
    packed(folder / "t15_pretrained_rnn_baseline.zip", {"t15.2023.08.11/args.hdf5": b"not data"})
    regions = [r for r in ("ventral 6v", "area 4", "area 55b", "dorsal 6v") for _ in range(64)]
    sessions = {}
    for day, trials in days.items():
        ordered = [values for _, values in sorted(trials, key=lambda t: t[0])]
        sessions[day] = MadeSession(
            [str(c) for c in range(256)],
            quantity="rates",
            signal=np.concatenate(ordered)[:, :256],
            observed=spans([len(v) / 50 for v in ordered]),
            subject_id="T15",
            regions=regions,
        )
    return Made(sessions, upstream)


@making("wojcik")
def wojcik(folder: Path) -> Made:
    rng = np.random.default_rng(61)
    sessions, upstream = {}, {}
    for name, date, n_trials, n_units in (("m1_ses1", "Wom20200910", 3, 2), ("m2_ses12", "Wil20201105", 2, 4)):
        rates = np.maximum(rng.normal(5, 40, (n_trials, n_units, 3500)), 0)
        rates[0, 0, :100] = 0.0
        files = {"Spikes_preprocessed": rates, "meta": rng.integers(0, 2, (n_trials, 4)), "cell_loc": np.arange(n_units) + 1}
        members = {}
        for what, values in files.items():
            held = io.BytesIO()
            np.save(held, values)
            members[f"{name}/{date}_{what}.npy"] = held.getvalue()
        packed(folder / f"{name}.zip", members)
        sessions[name] = MadeSession(
            [str(u) for u in range(n_units)],
            quantity="rates",
            signal=np.concatenate([trial.T for trial in rates]),
            observed=spans([3.5] * n_trials),
            subject_id=name[:2],
        )
        binned = np.empty((n_units, n_trials * 175))
        for trial in range(n_trials):
            for b in range(175):
                binned[:, trial * 175 + b] = np.ceil(rates[trial, :, b * 20 : b * 20 + 20].mean(axis=1) * 0.02)
        upstream[name, f"{date}_Spikes_preprocessed"] = binned.astype(np.uint8)
    (folder / "README.md").write_text("text")
    return Made(sessions, upstream)


def falls(trial: np.ndarray) -> np.ndarray:
    """The published scripts' events of one trial and electrode, counted in 15 bins of 20 ms."""
    threshold = trial.mean() + 3.5 * trial.std()
    out = np.zeros(15, np.uint8)
    for i in range(299):
        if trial[i] > threshold and trial[i + 1] <= threshold:
            out[i // 20] += 1
    return out


@making("papale")
def papale(folder: Path) -> Made:
    rng = np.random.default_rng(1024)
    sessions, upstream = {}, {}
    areas = {"F": ["V1"] * 512 + ["IT"] * 320 + ["V4"] * 192, "N": ["V1"] * 512 + ["V4"] * 256 + ["IT"] * 256}
    for monkey, regions in areas.items():
        n_trials = 2
        envelope = rng.gamma(2.0, 3.0, (300, n_trials, 1024)).astype(np.float32)
        envelope[150:153, 1, ::3] += 60
        mapping = rng.permutation(1024)
        path = folder / f"monkey{monkey}" / "THINGS_MUA_trials.mat"
        (path.parent / "_logs").mkdir(parents=True)
        with h5py.File(path, "w", userblock_size=512) as file:
            file["ALLMUA"] = envelope
            file["ALLMAT"] = np.array([[1, 2], [17, 0], [0, 4], [1, 1], [1, 2], [1, 1], [1, 3]], float)
            file["tb"] = np.arange(-100, 200, dtype=float).reshape(-1, 1)
        with path.open("r+b") as f:
            f.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        (path.parent / "_logs" / "1024chns_mapping_20220105.mat").write_bytes(mat(mapping=(mapping + 1.0).reshape(-1, 1)))
        (path.parent / "THINGS_normMUA.mat").write_bytes(b"not taken")
        signal = np.concatenate([envelope[:, t, :] for t in range(n_trials)])[:, mapping]
        sessions[f"monkey{monkey}"] = MadeSession(
            [str(e + 1) for e in range(1024)],
            quantity="envelope",
            signal=signal,
            observed=spans([0.3] * n_trials),
            subject_id=f"monkey{monkey}",
            regions=regions,
        )
        events = np.array([[falls(envelope[:, t, u].astype(np.float64)) for t in range(n_trials)] for u in range(1024)])  # unit, trial, bin
        upstream[f"monkey_{monkey}", f"{monkey}_0"] = np.array([[events[u, t, b] for b in range(15) for t in range(n_trials)] for u in range(1024)], np.uint8)
    (folder / "_code").mkdir()
    (folder / "_code" / "norm_MUA.m").write_text("% code")
    return Made(sessions, upstream)


@making("rajalingham")
def rajalingham(folder: Path) -> Made:
    rng = np.random.default_rng(79)
    sessions, upstream = {}, {}
    members = {"MentalPong/README.md": b"text", "MentalPong/data/all_hand_dmfc_dataset_50ms.pkl": b"never opened"}
    ends = [100, 61, 1, 83]
    for monkey, n_units in (("mahler", 3), ("perle", 5)):
        values = rng.gamma(1.0, 0.02, (n_units, len(ends), 100))
        for condition, end in enumerate(ends):
            values[:, condition, end:] = np.nan
        values[0, 1, 3] = np.nan  # missing in one unit alone
        struct = {"occ": values, "vis": values[:, :, ::-1] * 2}
        name = f"MentalPong/data/{monkey}_hand_dmfc_dataset_50ms.mat"
        members[name] = mat(neural_responses_reliable=struct, masks={"occ": {"start_end_pad0": np.ones((4, 100))}})
        signal = np.concatenate([values[:, c, :end].T for c, end in enumerate(ends)]) * 1000.0
        sessions[monkey] = MadeSession(
            [str(u) for u in range(n_units)],
            quantity="rates",
            signal=signal,
            observed=spans([end / 20 for end in ends]),
            subject_id=monkey,
        )
        rounded = np.round(np.where(np.isnan(values), 0.0, values) * 50)
        upstream[monkey.capitalize(), f"{monkey[0].upper()}_0"] = np.array([row.ravel() for row in rounded]).astype(np.uint8)
    packed(folder / "MentalPong.zip", members)
    return Made(sessions, upstream)
