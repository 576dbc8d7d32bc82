"""Motif tables: exact, in one order, the same from every engine, kill and damage survived, memory bounded."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from motif_oracle import held, mask, plain

from neuropile import Pile, Store, make_pile, motifs, open_pile, parquet, testing
from neuropile.errors import PileError, RunError, UnreadableFile
from neuropile.motifs import counting as motif_counting
from neuropile.motifs.counting import Tiling
from neuropile.run import Engine


@pytest.fixture
def pile(tiny_store: Store, monkeypatch: pytest.MonkeyPatch) -> Pile:
    """Three sessions, units observed at different times in one and a gap in another, in some ten shards."""
    _small_shards(monkeypatch)
    return make_pile(tiny_store, max_tokens=7000, quality="all", test=0.4)


def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pile, "shards", lambda self, cut=Pile.shards: cut(self, 15_000))


def dense(pile: Pile) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(s.counts().values, mask(s, (s.n_units, s.n_bins))) for s in pile]


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("shape", [(1, 5), (1, 10), (1, 15), (5, 5), (64, 1), (8, 8)])
def test_a_table_equals_a_plain_count_by_rank(pile: Pile, tmp_path: Path, shape: tuple[int, int], pad: bool) -> None:
    if shape == (64, 1) and not pad:
        counts = np.random.default_rng(0).poisson(0.02, (130, 500))
        pile, arrays = held([counts]), [(counts, np.ones(counts.shape, bool))]
    else:
        arrays = dense(pile)
    table = motifs.count(pile, Tiling(shape, pad=pad), out=tmp_path / "m.parquet")
    expected, unobserved = plain(arrays, shape, pad)
    ranked = sorted(expected.items(), key=lambda item: (-item[1], item[0]))
    found = pq.read_table(tmp_path / "m.parquet")
    assert found.schema.names == ["patch", "count", "probability"]
    assert list(zip(found["patch"].to_pylist(), found["count"].to_pylist(), strict=True)) == ranked
    n = expected.total()
    assert found["probability"].to_pylist() == [count / n for _, count in ranked]
    silent = expected[bytes(shape[0] * shape[1])]
    assert table.meta == table.meta | {"n_patches": n, "n_unique": len(ranked), "n_silent": silent, "n_unobserved": unobserved, "pad": pad}
    covered = np.cumsum([count for _, count in ranked])
    assert table.coverage() == {k: covered[k - 1] / n for k in [*(m * 10**e for e in range(6) for m in (1, 2, 5)), len(ranked)] if k <= len(ranked)}


def test_a_table_tells_of_what_it_was_counted(pile: Pile, tmp_path: Path) -> None:
    table = motifs.count(pile.train, (1, 10), out=tmp_path / "m.parquet")
    meta = json.loads(pq.read_metadata(tmp_path / "m.parquet").metadata[b"neuropile"])
    assert meta == table.meta
    wanted = {"format": "neuropile motifs", "version": 1, "shape": [1, 10], "pad": False, "clip": False, "splits": ["train"], "datasets": ["test"]}
    assert meta == meta | wanted | {"bin_width": "1/50", "pile": pile.train.digest, "n_segments": len(pile.train), "n_tokens": pile.train.n_tokens}
    assert 10 * (table.n_patches + meta["n_unobserved"]) + meta["n_edge_cells"] == pile.train.n_tokens
    assert "1 x 10" in repr(table)
    assert table.silent_share == meta["n_silent"] / table.n_patches
    assert not list(tmp_path.glob(".*"))


def test_motifs_come_out_as_pictures_and_rows_of_the_same_rank(pile: Pile, tmp_path: Path) -> None:
    table = motifs.count(pile, (5, 5), out=tmp_path / "m.parquet")
    top = table.top(7)
    assert len(top) == 7
    assert [p.tobytes() for p in table.patches(7)] == top["patch"].tolist()
    assert table.patches(7).shape == (7, 5, 5)
    assert table.to_pandas()["count"].sum() == table.n_patches
    assert len(table.patches()) == len(table.to_pandas()) == table.n_unique
    assert table.top(0).columns.tolist() == ["patch", "count", "probability"]


@pytest.mark.parametrize("engine", [Engine("processes", 2), pytest.param(Engine("dask", 2), marks=pytest.mark.soak)])
def test_every_engine_and_cut_into_shards_gives_the_same_file(pile: Pile, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    motifs.count(pile, (1, 10), out=tmp_path / "a.parquet")
    motifs.count(pile, (1, 10), out=tmp_path / "b.parquet", engine=engine)
    monkeypatch.setattr(Pile, "shards", lambda self: [_whole(self)])
    motifs.count(pile, (1, 10), out=tmp_path / "c.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


def _whole(pile: Pile) -> Any:
    from neuropile.pile import Shard

    return Shard(0, 0, len(pile), pile)


def test_a_published_pile_has_the_same_motifs(pile: Pile, tmp_path: Path) -> None:
    pile.publish(tmp_path / "published")
    for i, each in enumerate((pile, open_pile(tmp_path / "published"))):
        motifs.count(each, (5, 5), out=tmp_path / f"{i}.parquet")
    a, b = (pq.read_table(tmp_path / f"{i}.parquet").to_pylist() for i in (0, 1))
    assert a == b


def test_full_tables_are_written_out_and_merged(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = motifs.count(pile, (5, 5), out=tmp_path / "a.parquet").to_pandas()
    monkeypatch.setattr(motif_counting, "_FEW_SLOTS", 16)
    monkeypatch.setattr(motif_counting, "MAX_TABLE_BYTES", 256 * 16)
    monkeypatch.setattr(motifs, "ROWS_PER_GROUP", 100)
    spilt = motifs.count(pile, (5, 5), out=tmp_path / "b.parquet")
    assert whole.equals(spilt.to_pandas())
    file = pq.ParquetFile(tmp_path / "b.parquet")
    assert [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups - 1)] == [100] * ((len(whole) - 1) // 100)
    assert whole[:250].equals(spilt.top(250))


def test_a_damaged_session_is_named_and_mending_it_does_only_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = testing.store(tmp_path / "store", [testing.recording(i) for i in range(3)])
    _small_shards(monkeypatch)
    pile = make_pile(store, max_tokens=7000)
    motifs.count(pile, (1, 10), out=tmp_path / "sound.parquet")
    spikes = tmp_path / "store" / "test" / "session-1" / "spikes.parquet"
    sound = spikes.read_bytes()
    spikes.write_bytes(sound[:5000] + bytes(b ^ 255 for b in sound[5000:6000]) + sound[6000:])
    made = _made(monkeypatch)
    with pytest.raises(RunError, match=r"counting motifs: \d parts failed .*session-1.*run again: what is done is kept"):
        motifs.count(make_pile(store, max_tokens=7000), (1, 10), out=tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()
    n_failed = len(made) - len(list(tmp_path.glob(".m.parquet.*.work/*.json")))
    assert 0 < n_failed < len(made)
    spikes.write_bytes(sound)
    made.clear()
    motifs.count(make_pile(store, max_tokens=7000), (1, 10), out=tmp_path / "m.parquet")
    assert len(made) == n_failed
    assert (tmp_path / "m.parquet").read_bytes() == (tmp_path / "sound.parquet").read_bytes()


def _made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The shards that are counted from now on, not taken from before."""
    made: list[int] = []
    count = motif_counting._count_shard
    monkeypatch.setattr(motif_counting, "_count_shard", lambda shard, *rest: (made.append(shard.index), count(shard, *rest)))
    return made


KILLED = """
import os, signal, sys
from neuropile import Pile, motifs, open_pile
from neuropile.motifs import counting as motif_counting
cut, count = Pile.shards, motif_counting._count_shard
Pile.shards = lambda self: cut(self, 15_000)
def until(shard, *rest):
    if shard.index == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    count(shard, *rest)
motif_counting._count_shard = until
motifs.count(open_pile(sys.argv[1]), (1, 10), out=sys.argv[2])
"""


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pile.save(tmp_path / "p.parquet")
    opened = open_pile(tmp_path / "p.parquet")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "p.parquet"), str(tmp_path / "m.parquet")], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "m.parquet").exists()
    made = _made(monkeypatch)
    motifs.count(opened, (1, 10), out=tmp_path / "m.parquet")
    assert made == list(range(3, len(pile.shards())))
    motifs.count(opened, (1, 10), out=tmp_path / "unkilled.parquet")
    assert (tmp_path / "m.parquet").read_bytes() == (tmp_path / "unkilled.parquet").read_bytes()


def test_leftovers_of_other_shapes_are_not_taken(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(motifs, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            motifs.count(pile, (1, 5), out=tmp_path / "m.parquet")
    made = _made(monkeypatch)
    motifs.count(pile, (1, 10), out=tmp_path / "m.parquet")
    assert len(made) == len(pile.shards())


def test_a_damaged_working_file_is_told_with_the_way_out(pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = motifs._write

    def damaged(path: Path, folder: Path, *rest: Any) -> None:
        run = next(folder.glob("*-0.parquet"))
        run.write_bytes(run.read_bytes()[:-30])
        write(path, folder, *rest)

    monkeypatch.setattr(motifs, "_write", damaged)
    with pytest.raises(RunError, match=r"cannot be merged .* remove that folder, and run again"):
        motifs.count(pile, (1, 10), out=tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()


@pytest.mark.parametrize("shape", [(0, 10), (1, 65), (9, 8), (-1, -1), (1,), (1, 2, 3), (1.5, 2)])
def test_shapes_that_are_none_are_refused(pile: Pile, tmp_path: Path, shape: Any) -> None:
    with pytest.raises(PileError, match=r"at most 64 cells together; got"):
        motifs.count(pile, shape, out=tmp_path / "m.parquet")


def test_what_cannot_be_counted_says_why_before_it_begins(pile: Pile, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    with pytest.raises(PileError, match=r"no segments.*another split"):
        motifs.count(pile.val, out=out)
    with pytest.raises(PileError, match=r"no segment holds a patch of 21 units x 3 bins: they have up to 20 units"):
        motifs.count(pile, (21, 3), out=out)
    with pytest.raises(PileError, match=r"all 4 patches of 1 units x 5 bins touch unobserved time"):
        motifs.count(held([np.ones((2, 10), int)], [np.array([[-1, 1, 9]])]), (1, 5), out=out)
    mixed = pile.with_column("bin_den", [50] * (len(pile) - 1) + [60])
    with pytest.raises(PileError, match=r"mixes bin widths \(1/50, 1/60 s\)"):
        motifs.count(mixed, out=out)
    assert list(tmp_path.iterdir()) == []
    out.write_text("precious")
    with pytest.raises(PileError, match=r"m.parquet exists; give another name, or --replace"):
        motifs.count(pile, out=out)
    assert out.read_text() == "precious"
    motifs.count(pile, out=out, replace=True)
    assert motifs.open_table(out).n_patches > 0


def test_short_segments_are_edges_and_told(tmp_path: Path) -> None:
    counts = [np.ones((2, 30), int), np.ones((1, 7), int)]
    table = motifs.count(held(counts), (1, 10), out=tmp_path / "m.parquet")
    assert table.meta == table.meta | {"n_segments": 2, "n_short": 1, "n_edge_cells": 7, "n_patches": 6, "n_padded_cells": 0}
    padded = motifs.count(held(counts), Tiling((1, 10), pad=True), out=tmp_path / "padded.parquet")
    assert padded.meta == padded.meta | {"n_short": 0, "n_edge_cells": 0, "n_patches": 7, "n_padded_cells": 3}
    assert Counter(dict(zip(padded.top(9)["patch"], padded.top(9)["count"], strict=True))) == {b"\1" * 10: 6, b"\1" * 7 + b"\0" * 3: 1}


def test_what_is_no_table_of_motifs_says_so(pile: Pile, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such table of motifs; make one with: neuropile motifs"):
        motifs.open_table(tmp_path / "none.parquet")
    good = tmp_path / "m.parquet"
    motifs.count(pile, out=good)
    other = tmp_path / "other.parquet"
    for make in (
        lambda: other.write_text("text"),
        lambda: pq.write_table(pa.table({"a": [1]}), other),
        lambda: parquet.write(pa.table({"patch": [b"1"]}), other, metadata={"neuropile": json.dumps({"format": "neuropile pile"})}),
        lambda: other.write_bytes(good.read_bytes()[:-9]),
        lambda: other.write_bytes(good.read_bytes().replace(b'"n_unique"', b'"n_uniqve"')),
        lambda: parquet.write(pq.read_table(good).slice(1), other, metadata={"neuropile": pq.read_metadata(good).metadata[b"neuropile"].decode()}),
    ):
        make()
        with pytest.raises(UnreadableFile, match=r"other.parquet is not a table of motifs, or is damaged"):
            motifs.open_table(other)
    newer = json.dumps({**motifs.open_table(good).meta, "version": 9})
    parquet.write(pq.read_table(good), other, metadata={"neuropile": newer})
    with pytest.raises(UnreadableFile, match="format 9; this neuropile reads format 1: upgrade"):
        motifs.open_table(other)
    shutil.copy(good, other)
    data = bytearray(good.read_bytes())
    data[60] ^= 1
    other.write_bytes(data)
    with pytest.raises(UnreadableFile, match="damaged"):
        motifs.open_table(other).to_pandas()


def _resealed(good: Path, bad: Path, **changes: Any) -> Path:
    """A copy of a table with other values in its metadata or, where a function is given, another column, its checksums right."""
    meta, table = json.loads(pq.read_metadata(good).metadata[b"neuropile"]), pq.read_table(good)
    for name, value in changes.items():
        if callable(value):
            values = value(table.column(name).to_pylist())
            table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, table.schema.field(name).type))
        else:
            meta[name] = value
    parquet.write(table, bad, metadata={"neuropile": json.dumps(meta)})
    return bad


@pytest.mark.parametrize(
    "changes",
    [
        *({"covered": c} for c in (5, None, [], [[1]], [1, 2], [["a", "b"]], [[1, 5], [1, 5]], [[1, 2]], {"1": 2})),
        *({"n_silent": n} for n in (None, "5", -1, 2**70, 1.5, True)),
        *({"n_patches": n} for n in (None, "9", 0, 3, 10**400)),
        *({"shape": s} for s in (None, 5, [], [1], ["1", "5"], [0, 5], [100, 100], {"1": 1, "5": 5}, "15")),
    ],
)
def test_resealed_metadata_that_cannot_be_is_refused_at_opening(pile: Pile, tmp_path: Path, changes: dict[str, Any]) -> None:
    motifs.count(pile, (1, 5), out=tmp_path / "m.parquet")
    with pytest.raises(UnreadableFile, match=r"bad.parquet is not a table of motifs, or is damaged \(.*\); make one with: neuropile motifs"):
        motifs.open_table(_resealed(tmp_path / "m.parquet", tmp_path / "bad.parquet", **changes))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"count": lambda c: [None, *c[1:]]}, "without a count"),
        ({"probability": lambda p: [None, *p[1:]]}, "without a count or probability"),
        ({"count": lambda c: [*c[:-1], -1]}, "to -1, out of order or not from 1"),
        ({"count": lambda c: [*c[:-1], 0]}, "to 0, out of order or not from 1"),
        ({"count": lambda c: [2**62, *c[1:]]}, "not from 1 to its"),
        ({"count": lambda c: c[::-1]}, "out of order"),
        ({"n_patches": 10, "n_silent": 3, "covered": [[1, 3]]}, "not from 1 to its 10 patches"),
        ({"n_patches": 2**60, "n_silent": 3, "covered": [[1, 3]]}, "probabilities are not its counts"),
        ({"shape": [5, 5]}, "patches that are not of 5 x 5 cells"),
        ({"patch": lambda p: [None, *p[1:]]}, "patches that are not of 1 x 5 cells"),
    ],
)
def test_resealed_motifs_that_cannot_be_are_refused_when_read(pile: Pile, tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    made = motifs.count(pile, (1, 5), out=tmp_path / "m.parquet")
    if "covered" in changes:
        changes = {**changes, "covered": [*changes["covered"], [made.n_unique, changes["n_patches"]]]}
    table = motifs.open_table(_resealed(tmp_path / "m.parquet", tmp_path / "bad.parquet", **changes))
    for read in (table.to_pandas, table.patches, lambda: table.top(1)):
        with pytest.raises(UnreadableFile, match=rf"bad.parquet is not a table of motifs, or is damaged \(.*{why}.*\); make one with: neuropile motifs"):
            read()


class Sparse:
    """Segments of random spikes, made when they are asked for: a pile as long as one likes."""

    def place(self, row: int) -> tuple[Any, int]:
        return self, row

    def observed(self, segment: Any) -> np.ndarray:
        return np.array([[-1, 0, segment.n_bins]])

    def events(self, segment: Any) -> tuple[np.ndarray, np.ndarray]:
        """Units whose rates differ a hundredfold, 0.03 spikes a bin on average."""
        rng = np.random.default_rng(segment.row)
        per_unit = rng.poisson(0.01 * segment.n_bins * rng.lognormal(0, 1.5, segment.n_units))
        at = np.sort(np.repeat(np.arange(segment.n_units) * segment.n_bins, per_unit) + rng.integers(0, segment.n_bins, per_unit.sum()))
        return np.concatenate([[0], np.cumsum(per_unit)]).astype(np.int64), (at % segment.n_bins).astype(np.int32)


PEAK = """
import pathlib, resource, sys
from motif_oracle import listed
from test_motifs import Sparse
from neuropile import Pile, motifs
cut, write = Pile.shards, motifs._write
def peak():  # getrusage of a child begins at what its parent had; Linux tells its own
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def told(*a):
    print(peak())
    write(*a)
motifs._write = told
n, bins, p_n, p_t = map(int, sys.argv[2:])
Pile.shards = lambda self: cut(self, 20 * 500 * bins)
table = motifs.count(listed(Sparse(), [(500, bins)] * n), (p_n, p_t), out=sys.argv[1])
print(peak())
print(table.n_unique)
"""


def _peaks(folder: Path, n: int, bins: int, shape: tuple[int, int]) -> tuple[int, int, int]:
    """Peak memory after counting and after merging, bytes, and how many motifs there are."""
    path = os.pathsep.join([*(str(p) for p in Path(__file__).parents[:2]), os.environ.get("PYTHONPATH", "")])
    args = [sys.executable, "-c", PEAK, str(folder / f"{n}-{bins}.parquet"), str(n), str(bins), *map(str, shape)]
    done = subprocess.run(args, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counting, merging, n_unique = map(int, done.stdout.split())
    return counting, merging, n_unique


def test_memory_does_not_grow_with_the_pile(tmp_path: Path) -> None:
    short, long = (_peaks(tmp_path, n, 1000, (1, 10)) for n in (4, 80))
    assert max(long[:2]) < max(short[:2]) + 60e6


@pytest.mark.soak
@pytest.mark.parametrize("shape", [(1, 10), (5, 5), (8, 8)])
def test_five_billion_tokens_take_less_than_two_gigabytes(tmp_path: Path, shape: tuple[int, int]) -> None:
    short, long = (_peaks(tmp_path, n, 20_000, shape) for n in (100, 500))
    print(shape, "peak bytes after counting, after merging, motifs:", short, long)
    assert max(long[:2]) < 2e9
    assert long[0] < short[0] + 300e6
