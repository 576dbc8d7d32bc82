"""Voltage and video files damaged at random: an error of one line, or values, and never a hang, a crash or a full memory."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import mtscomp
import numpy as np
import pytest
from fuzzing import GOOD, Bench, Verdict, fuzz, mutate
from movies import movie
from recorded import lfp_file, raw_values, write_raw

from neuropile import video, voltage
from neuropile.errors import NeuropileError
from neuropile.voltage import csd

SEEDS = range(500)


def use_voltage(path: Path) -> None:
    with voltage.open_voltage(path) as v:
        repr(v), v.channels, v.notes
        v.read(v.start_s, v.start_s + 0.1)
        v.read_samples(0, min(v.n_samples, 100), [0])


def use_csd(path: Path) -> None:
    csd.stored(path)


def use_video(path: Path) -> None:
    with video.open_video(path) as v:
        repr(v)
        for k in (0, v.n_frames // 2, v.n_frames - 1):
            v.frame_number(k)
        v.frame(v.times_s[v.n_frames // 2])


USES = {"voltage": use_voltage, "csd": use_csd, "video": use_video}


@dataclass(frozen=True)
class Media:
    """A file to damage, and what is then opened."""

    name: str
    damaged: Path
    opened: Path
    use: str

    def bench(self, folder: Path) -> Bench:
        shutil.copytree(self.opened.parent, folder / "files")
        return _MediaBench(self, folder / "files")


class _MediaBench:
    def __init__(self, target: Media, folder: Path) -> None:
        self._target, self._file, self._opened = target, folder / target.damaged.name, folder / target.opened.name
        self._whole = self._file.read_bytes()

    def run(self, seed: int | None) -> Verdict:
        if seed is not None:
            self._file.unlink()
            self._file.write_bytes(mutate(self._whole, random.Random(f"{self._target.name}/{seed}")))
        try:
            USES[self._target.use](self._opened)
        except NeuropileError as e:
            return Verdict("error" if "\n" not in str(e) and self._opened.parent.name in str(e) else "unclear", str(e))
        except Exception as e:
            return Verdict("traceback", f"{type(e).__name__}: {e}")
        finally:
            self._file.unlink()
            self._file.write_bytes(self._whole)
        return Verdict("right")


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> list[Media]:
    folder = tmp_path_factory.mktemp("damage")
    flat = write_raw(folder / "raw", raw_values(3000, 5))
    packed = flat.with_name("x.ap.cbin")
    options = {"sample_rate": 1000, "n_channels": 5, "dtype": "int16", "n_threads": 1, "check_after_compress": False, "quiet": True}
    mtscomp.compress(flat, packed, packed.with_suffix(".ch"), **options)
    packed.with_suffix(".meta").write_text(flat.with_suffix(".meta").read_text())
    clock = flat.parent / "_spikeglx_ephysData_g0_t0.imec0.timestamps.npy"
    np.save(clock, [[0, 1.0], [3000, 1.1]])
    (folder / "nwb").mkdir()
    (folder / "video").mkdir()
    lfp = lfp_file(folder / "nwb" / "lfp.nwb", np.random.default_rng(0).normal(size=(500, 5)), np.arange(500) / 1250, csd=np.zeros((30, 4)))
    made = [Media(f"flat {p.suffix}", p, flat, "voltage") for p in (flat.with_suffix(".meta"), clock)]
    made += [Media(f"packed {p.suffix}", p, packed, "voltage") for p in (packed, packed.with_suffix(".ch"), packed.with_suffix(".meta"))]
    made += [Media("lfp", lfp, lfp, "voltage"), Media("csd", lfp, lfp, "csd")]
    for name in ("a.mp4", "a.mkv"):
        movie(folder / "video" / name, 40)
        made.append(Media(name, folder / "video" / name, folder / "video" / name, "video"))
    return made


def test_a_damaged_file_gives_an_error_of_one_line_or_values(targets: list[Media], tmp_path: Path) -> None:
    for target in targets:
        bench = target.bench(tmp_path / target.name)
        verdicts = {seed: bench.run(seed) for seed in (None, *range(12))}
        assert verdicts[None].kind == "right"
        assert not {seed: v for seed, v in verdicts.items() if v.kind not in GOOD}, target.name
        assert any(v.kind == "error" for v in verdicts.values()), target.name


@pytest.mark.soak
def test_hundreds_of_damages_of_each_file_neither_hang_nor_crash(targets: list[Media]) -> None:
    tallies = fuzz(targets, SEEDS)
    assert not [t for t in tallies if t.findings], "\n".join(map(str, tallies))
