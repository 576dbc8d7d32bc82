"""The commands on a store in a bucket: the same words and numbers as on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fsspec.config import conf
from servers import S3Served, s3_watched
from typer.testing import CliRunner

from neuropile import open_pile, published, remote
from neuropile.cli import app
from neuropile.cli.demo import bundled
from neuropile.cli.output import here, place
from neuropile.errors import StoreError
from neuropile.publishing import shards

MAT = min((f for _, files in bundled() for f in files if f.suffix == ".mat"), key=lambda f: f.stat().st_size)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Served]:
    with pytest.MonkeyPatch.context() as patch, s3_watched("commands", tries=1) as served:
        patch.setitem(conf, "s3", served.options)  # what FSSPEC_S3_* in the environment become when fsspec is imported
        patch.setattr(remote, "PAUSE_S", 0.01)
        yield served


def answer(*args: object) -> Any:
    """What a command prints as JSON."""
    done = CliRunner().invoke(app, [*map(str, args), "--json"])
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout)


def test_a_store_in_a_bucket_is_built_and_asked_as_one_on_disk(s3: S3Served, tmp_path: Path) -> None:
    far, near = "s3://commands/store", tmp_path / "store"
    for store in (far, near):
        (session,) = answer("ingest", MAT, "--store", store, "--dataset", "lab", "--license", "CC-BY-4.0")["sessions"]
        assert session["status"] == "stored"
    assert answer("ingest", MAT, "--store", far, "--dataset", "lab")["sessions"][0]["status"] == "present"
    for args in (["info"], ["index"], ["verify"], ["units", "--where", "n_spikes > 100"]):
        found = [{**answer(args[0], store, *args[1:]), "store": "", "path": ""} for store in (far, near)]
        assert found[0] == found[1], args


def test_a_server_that_always_fails_is_told_and_a_rerun_completes(s3: S3Served) -> None:
    far = "s3://commands/failing"
    s3.failing = lambda method, path: "500" if path.endswith("units.parquet") and method == "PUT" else None
    with pytest.raises(
        StoreError, match=r"^s3://commands/failing/.*cannot be written \(attempt 6 failed with .*mend that and run again: what is stored stays$"
    ):
        answer("ingest", MAT, "--store", far)
    s3.failing = lambda method, path: None
    assert answer("info", far)["sessions"] == 0
    assert answer("ingest", MAT, "--store", far)["sessions"][0]["status"] == "stored"
    assert answer("verify", far)["ok"]


def test_the_environment_says_where_the_bucket_is_and_an_error_is_one_line(s3: S3Served) -> None:
    s3.failing = lambda method, path: "403"
    environment = {**os.environ, **s3.environment}
    done = subprocess.run(
        [sys.executable, "-m", "neuropile", "ingest", MAT, "--store", "s3://commands/refused", "--json"], capture_output=True, text=True, env=environment
    )
    s3.failing = lambda method, path: None
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: s3://commands/refused/neuropile.json")
    assert "the server refuses access (Forbidden" in line or "the server refuses access (AccessDenied" in line
    assert "error" in json.loads(done.stdout)


def test_places_are_paths_or_urls_and_here_is_a_path() -> None:
    assert place("a/b") == here("a/b") == Path("a/b")
    assert place("s3://bucket/a") == "s3://bucket/a"
    with pytest.raises(typer.BadParameter, match="local folders only"):
        here("s3://bucket/a")


def test_everything_after_a_store_goes_on_in_the_bucket_as_on_disk(s3: S3Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = []
    for root in ("s3://commands/whole", str(tmp_path / "near")):
        answer("ingest", MAT, "--store", f"{root}/store", "--dataset", "lab", "--license", "CC-BY-4.0")
        answer("pile", f"{root}/store", "--out", f"{root}/a.parquet", "--max-tokens", 300_000, "--test", 0.3, "--split-by", "segment")
        answer("order", f"{root}/a.parquet", "--out", f"{root}/ordered.parquet")
        answer("subset", f"{root}/ordered.parquet", "--where", "split = 'train'", "--out", f"{root}/train.parquet")
        answer("publish", f"{root}/train.parquet", "--to", f"{root}/published")
        out = tmp_path / root.replace("/", "_").replace(":", "")
        counted = [answer("motifs", f"{root}/{name}", "--shape", 5, 5, "--out", f"{out}-{name}") for name in ("train.parquet", "published")]
        told.append([answer("stats", f"{root}/published")["all"], answer("verify", f"{root}/published"), answer("verify", f"{root}/a.parquet")])
        told[-1] += [{k: v for k, v in m.items() if k in ("n_patches", "n_unique", "n_silent")} for m in counted]
        told[-1] += [answer("info", f"{root}/{name}") for name in ("published", "train.parquet")]
        told[-1].append([s.counts().values.tobytes() for s in open_pile(f"{root}/published")])
    far, near = ([{**t, "path": ""} if isinstance(t, dict) else t for t in own] for own in told)
    assert far == near
    assert far[3] == far[4] != {}


def test_a_published_folder_in_a_bucket_opens_by_two_files_and_a_row_by_two_ranges(s3: S3Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(published, "SPARSE_ROWS_PER_GROUP", 2)
    monkeypatch.setattr(shards, "SHARD_BYTES", 10_000)
    answer("ingest", MAT, "--store", "s3://commands/asked/store", "--dataset", "lab")
    answer("pile", "s3://commands/asked/store", "--out", "s3://commands/asked/p.parquet", "--max-tokens", 100_000, "--test", 0)
    assert answer("publish", "s3://commands/asked/p.parquet", "--to", "s3://commands/asked/published")["n_files"] > 1
    s3.requests.clear()
    pile = open_pile("s3://commands/asked/published")
    assert sorted(path.rpartition("/")[2] for _, path, _ in s3.requests) == ["pile.json", "segments.parquet"]
    s3.requests.clear()
    pile[0].events()
    assert len(s3.requests) <= 4  # the file's footer, names, gaps and order
