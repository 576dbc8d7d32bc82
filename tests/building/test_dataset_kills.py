"""A build of a dataset from its archive, killed at any moment: the same store in the end, and no byte fetched twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from archives.servers_dandi import DandiState, dandi_serving
from builds import tree

from neuropile.archives.partial import BLOCK
from neuropile.archives.pulling import AT_ONCE
from neuropile.store import open_store

SESSIONS = 4
#: The server sends so much at a time, then waits: what was on its way when a build is killed is no more than that.
PIECE = 1 << 16


def write_nwb(path: Path, seed: int) -> None:
    """A session of 40 units and 3 MB, with as much voltage again beside them."""
    rng, texts = np.random.default_rng(seed), h5py.string_dtype()
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"nwb_version": "2.6.0", "neurodata_type": "NWBFile"})
        units = file.create_group("units")
        units.attrs.update({"neurodata_type": "Units", "colnames": np.array(["spike_times"], texts)})
        units["id"] = np.arange(40)
        times = np.sort(rng.uniform(0, 900, (40, 9_000)), axis=1)
        units.create_dataset("spike_times", data=times.reshape(-1), chunks=(20_000,))
        units["spike_times_index"] = np.arange(9_000, 360_001, 9_000)
        file.create_dataset("acquisition/raw/data", data=rng.integers(-99, 99, (1_500_000, 1), dtype=np.int16), chunks=(50_000, 1))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DandiState]:
    folder = tmp_path_factory.mktemp("dandiset")
    for i in range(SESSIONS):
        write_nwb(folder / f"sub-{i % 2}" / f"sub-{i % 2}_ses-{i}.nwb", i)
    with dandi_serving() as state:
        state.add_dandiset(folder, "000231", "0.220904.1554")
        state.bucket.drip_s = 0.02
        yield state


def build(archive: DandiState, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "neuropile", "build", "dandi:000231@0.220904.1554", "--store", str(folder / "store"), "--cache", str(folder / "cache")]
    environment = {**os.environ, "NEUROPILE_DANDI_URL": archive.api}
    return subprocess.Popen([*command, *more], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


@pytest.fixture(scope="module")
def unkilled(archive: DandiState, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a store whose build was never killed."""
    folder = tmp_path_factory.mktemp("unkilled")
    process = build(archive, folder)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return tree(folder / "store")


def fetched_twice(archive: DandiState) -> int:
    """How many bytes of files the server sent that it had sent before."""
    twice = 0
    sent: dict[str, np.ndarray] = {}
    for asked in archive.bucket.asked:
        if asked.start is not None and asked.status == 206:
            size = len(archive.bucket.body(asked.path.lstrip("/")) or b"")
            counted = sent.setdefault(asked.path, np.zeros(size, np.int32))
            counted[asked.start : asked.start + asked.sent] += 1
    for counted in sent.values():
        twice += int((counted[counted > 1] - 1).sum())
    return twice


def killed_build(archive: DandiState, folder: Path, rng: random.Random) -> bool:
    """Kill a build once it got a random number of bytes more, a moment later; False where it came to its end before that."""
    until = archive.bucket.n_bytes + rng.randrange(3_000_000)
    process = build(archive, folder)
    while process.poll() is None and archive.bucket.n_bytes < until:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.2))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode != 0


def check_killed(archive: DandiState, folder: Path, expected: dict[str, bytes], n_kills: int) -> None:
    """Kill builds until there were so many kills; one that comes to its end is looked at, and another begun."""
    rng, killed, rounds = random.Random(n_kills), 0, 0
    while killed < n_kills:
        rounds += 1
        own, began = folder / str(rounds), killed
        archive.bucket.forget()
        while killed < n_kills and killed_build(archive, own, rng):
            killed += 1
        process = build(archive, own)  # of what came to its end nothing is fetched
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert tree(own / "store") == expected
        assert fetched_twice(archive) <= (killed - began) * AT_ONCE * (PIECE + BLOCK)
        assert len(open_store(own / "store").failed) == 0
    assert rounds < n_kills / 2  # most of them broke off something


def test_a_build_of_a_dataset_that_is_not_killed_fetches_no_byte_twice(archive: DandiState, unkilled: dict[str, bytes], tmp_path: Path) -> None:
    archive.bucket.forget()
    process = build(archive, tmp_path)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert fetched_twice(archive) == 0
    assert tree(tmp_path / "store") == unkilled


def test_twenty_kills_at_random_moments_end_in_the_store_of_an_unkilled_build(archive: DandiState, unkilled: dict[str, bytes], tmp_path: Path) -> None:
    check_killed(archive, tmp_path, unkilled, 20)


@pytest.mark.soak
def test_a_hundred_kills_at_random_moments_end_in_the_store_of_an_unkilled_build(archive: DandiState, unkilled: dict[str, bytes], tmp_path: Path) -> None:
    check_killed(archive, tmp_path, unkilled, 100)
