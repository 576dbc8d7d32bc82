"""A file that is partly here: its blocks are right or not there, whoever wrote them and however they were stopped."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.archives import partial
from neuropile.archives.partial import BLOCK, Partial, Rotten
from neuropile.errors import ArchiveError

SIZE = 5 * BLOCK + 1234
DATA = random.Random(0).randbytes(SIZE)


def block(i: int) -> bytes:
    return DATA[i * BLOCK : (i + 1) * BLOCK]


def made(folder: Path, blocks: Sequence[int] = ()) -> Partial:
    out = Partial(folder, "x.nwb", SIZE)
    for i in blocks:
        out.write(i, block(i))
    return out


@given(blocks=st.lists(st.integers(0, 5)), start=st.integers(0, SIZE), length=st.integers(0, SIZE))
def test_what_is_missing_is_what_was_not_written(tmp_path_factory, blocks, start, length) -> None:
    folder = tmp_path_factory.mktemp("partial")
    made(folder, blocks)
    again = Partial(folder, "x.nwb", SIZE)
    stop = min(start + length, SIZE)
    wanted = {i for i in range(6) if i * BLOCK < stop and (i + 1) * BLOCK > start and stop > start}
    runs = again.missing(start, stop)
    found = {i for a, b in runs for i in range(a // BLOCK, -(-b // BLOCK))}
    assert wanted - set(blocks) <= found <= {i for i in range(6) if i * BLOCK <= start < (i + 1) * BLOCK} | wanted
    assert not found & set(blocks)
    assert all(a % BLOCK == 0 and (b % BLOCK == 0 or b == SIZE) for a, b in runs)
    if wanted <= set(blocks):
        assert again.read(start, stop) == DATA[start:stop]
    elif wanted:
        with pytest.raises(Rotten):
            again.read(start, stop)


def test_the_log_is_what_the_page_says_it_is(tmp_path) -> None:
    made(tmp_path, [3, 5])
    log = (tmp_path / "blocks.log").read_bytes()
    records = [struct.unpack("<QII", log[i : i + 16]) for i in range(0, len(log), 16)]
    assert [(n, crc) for n, crc, _ in records] == [(i, zlib.crc32(block(i))) for i in (3, 5)]
    assert [check for *_, check in records] == [zlib.crc32(log[i : i + 12]) for i in (0, 16)]


@given(n=st.integers(0, 16 * 6), data=st.data())
def test_a_torn_or_damaged_log_never_gives_wrong_bytes(tmp_path_factory, n, data) -> None:
    folder = tmp_path_factory.mktemp("torn")
    made(folder, list(range(6)))
    log = folder / "blocks.log"
    held = bytearray(log.read_bytes()[:n])
    if held and data.draw(st.booleans()):
        held[data.draw(st.integers(0, len(held) - 1))] ^= data.draw(st.integers(1, 255))
    log.write_bytes(held)
    again = Partial(folder, "x.nwb", SIZE)
    for start, stop in again.missing():
        for i in range(start // BLOCK, -(-stop // BLOCK)):
            again.write(i, block(i))
    assert again.read(0, SIZE) == DATA
    assert Partial(folder, "x.nwb", SIZE).read(0, SIZE) == DATA


@given(at=st.integers(0, SIZE - 1), bit=st.integers(0, 7), whole=st.booleans())
def test_a_rotten_byte_is_never_read_and_its_block_is_missing(tmp_path_factory, at, bit, whole) -> None:
    folder = tmp_path_factory.mktemp("rotten")
    made(folder, list(range(6)))
    with open(folder / "blocks.data", "r+b") as f:
        f.seek(at)
        f.write(bytes([DATA[at] ^ (1 << bit)]))
    again = Partial(folder, "x.nwb", SIZE)
    with pytest.raises(Rotten):
        again.read(0, SIZE) if whole else again.read(at, at + 1)
    assert again.missing() == [(at // BLOCK * BLOCK, min((at // BLOCK + 1) * BLOCK, SIZE))]
    again.write(at // BLOCK, block(at // BLOCK))
    assert again.read(0, SIZE) == DATA


def test_check_finds_all_that_rotted(tmp_path) -> None:
    made(tmp_path, list(range(6)))
    held = bytearray(DATA)
    held[3] ^= 1
    held[4 * BLOCK] ^= 1
    (tmp_path / "blocks.data").write_bytes(held)
    again = Partial(tmp_path, "x.nwb", SIZE)
    assert not again.check()
    assert again.missing() == [(0, BLOCK), (4 * BLOCK, 5 * BLOCK)]


def test_a_lost_data_file_is_no_data(tmp_path) -> None:
    made(tmp_path, list(range(6)))
    (tmp_path / "blocks.data").unlink()
    again = Partial(tmp_path, "x.nwb", SIZE)
    with pytest.raises(Rotten):
        again.read(0, SIZE)
    assert again.missing() == [(0, SIZE)]


def test_what_is_claimed_is_nobody_elses(tmp_path) -> None:
    one = made(tmp_path, [2])
    with one.claim([(0, SIZE)]) as runs:
        assert runs == [(0, 2 * BLOCK), (3 * BLOCK, SIZE)]
        with one.claim([(0, SIZE)]) as others:
            assert others == []
        with one.claim([(0, SIZE)], alone=False) as others:
            assert others == runs
    with one.claim([(BLOCK, BLOCK + 1), (4 * BLOCK, 4 * BLOCK + 1)]) as runs:
        assert runs == [(BLOCK, 2 * BLOCK), (4 * BLOCK, 5 * BLOCK)]


CHILD = """
import sys
from pathlib import Path
from neuropile.archives.partial import Partial
p = Partial(Path(sys.argv[1]), "x.nwb", int(sys.argv[2]))
with p.claim([(0, int(sys.argv[2]))]) as runs:
    print(runs, flush=True)
    sys.stdin.readline()
"""


def test_what_another_process_claims_is_its_own_until_it_ends(tmp_path) -> None:
    one = made(tmp_path)
    with one.claim([(BLOCK, 2 * BLOCK)]) as own:
        assert own == [(BLOCK, 2 * BLOCK)]
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), str(SIZE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline().strip() == str([(0, BLOCK), (2 * BLOCK, SIZE)])
        with one.claim([(0, SIZE)]) as others:
            assert others == []
        child.kill()
        child.wait()
        with one.claim([(0, SIZE)]) as others:
            assert others == [(0, BLOCK), (2 * BLOCK, SIZE)]


def test_threads_fetch_each_block_once(tmp_path) -> None:
    one, fetched, errors = made(tmp_path), [], []

    def work(seed: int) -> None:
        try:
            order = random.Random(seed)
            while one.missing():
                start = order.randrange(SIZE)
                with one.claim([(start, start + 2 * BLOCK)]) as runs:
                    for a, b in runs:
                        for i in range(a // BLOCK, -(-b // BLOCK)):
                            fetched.append(i)
                            one.write(i, block(i))
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert sorted(fetched) == list(range(6))
    assert one.read(0, SIZE) == DATA


def test_a_finished_file_is_whole_for_all(tmp_path) -> None:
    one, other = made(tmp_path, list(range(6))), Partial(tmp_path, "x.nwb", SIZE)
    path = one.finish()
    assert path.name == "x.nwb"
    assert path.read_bytes() == DATA
    assert other.read(5, SIZE) == DATA[5:]  # opened before
    assert other.finish() == path
    other.discard()  # it would be another's file by now
    assert path.read_bytes() == DATA
    later = Partial(tmp_path, "x.nwb", SIZE)
    assert later.whole
    assert later.missing() == []
    assert later.read(7, 9) == DATA[7:9]


def test_an_asset_that_changed_has_another_home(tmp_path) -> None:
    from dataclasses import replace

    from neuropile.archives import dandi
    from neuropile.types import Asset

    asset = Asset("a/x.nwb", 10, "0" * 64, "u", "v", "md5:1")
    homes = [partial.home(tmp_path, dandi.dandiset("000017"), a, 10) for a in (asset, replace(asset, version="w"), replace(asset, digest="md5:2"))]
    homes += [partial.home(tmp_path, dandi.dandiset("000017"), asset, 11), partial.home(tmp_path, dandi.dandiset("000018"), asset, 10)]
    homes += [partial.home(tmp_path, dandi.dandiset("000017"), replace(asset, path="b/x.nwb"), 10)]
    assert len(set(homes)) == 6
    assert partial.home(tmp_path, dandi.dandiset("000017"), replace(asset, url="elsewhere"), 10) == homes[0]


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch) -> None:
    import errno

    one = made(tmp_path, [0])

    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(partial.os, "pwrite", no_room)
    with pytest.raises(ArchiveError, match=r"x\.nwb does not fit on the disk of .*; make room, or name another cache folder, and run again"):
        one.write(1, block(1))
    monkeypatch.undo()
    assert one.missing(0, BLOCK) == []
    assert one.missing(BLOCK, 2 * BLOCK) == [(BLOCK, 2 * BLOCK)]


def test_a_block_of_another_length_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="not 3"):
        made(tmp_path).write(0, b"abc")


def test_the_file_is_sparse(tmp_path) -> None:
    big = Partial(tmp_path, "x", 1 << 34)
    big.write(5, bytes(np.random.default_rng(0).bytes(BLOCK)))
    assert os.stat(tmp_path / "blocks.data").st_blocks * 512 < 1 << 20
