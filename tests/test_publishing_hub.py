"""Publishing to the Hugging Face Hub, against a stand-in on loopback: the same bytes as in a folder, whatever happens on the way."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Fault, HubState, hub_writable

from neuropile import Pile, make_pile, open_pile, published, testing
from neuropile.errors import PileError
from neuropile.publishing import huggingface, sending, shards

REPO = "lab/corpus"
URL = f"hf://datasets/{REPO}"


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Pile:
    made = testing.store(tmp_path_factory.mktemp("hub") / "store", [testing.recording(i, n_units=6, duration_s=60) for i in range(3)])
    return make_pile(made, max_tokens=3_000, val=0.1, test=0.3, split_by="segment")


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 900)
    monkeypatch.setattr(published, "SPARSE_ROWS_PER_GROUP", 2)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None) -> Iterator[HubState]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(sending, "PAUSE_S", 0.001)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    (tmp_path / "work").mkdir()
    with hub_writable(tmp_path / "served", REPO) as state:
        monkeypatch.setenv("HF_ENDPOINT", state.endpoint)
        yield state


def local_files(pile: Pile, folder: Path, **options: object) -> dict[str, bytes]:
    """What a folder of the repository's name gets."""
    pile.publish(folder / "corpus", **options)
    return {p.relative_to(folder / "corpus").as_posix(): p.read_bytes() for p in sorted((folder / "corpus").rglob("*")) if p.is_file()}


def own_files(hub: HubState, branch: str = "main") -> dict[str, bytes]:
    return {name: data for name, data in hub.files(branch).items() if name != ".gitattributes"}


@pytest.mark.parametrize("options", [{}, {"layout": "dense"}, {"compat": True}])
def test_the_hub_gets_the_very_files_a_folder_gets(hub: HubState, pile: Pile, tmp_path: Path, options: dict[str, object]) -> None:
    done = pile.publish(URL, work=tmp_path / "work", **options)
    assert own_files(hub) == local_files(pile, tmp_path, **options)
    assert done.n_files == sum(n.startswith("data/") for n in own_files(hub)) > 1
    assert not list((tmp_path / "work").iterdir())


def test_shards_come_first_and_card_and_marker_in_the_last_commit(hub: HubState, pile: Pile, tmp_path: Path) -> None:
    pile.publish(URL, work=tmp_path / "work")
    first, *middle, last = hub.commits
    assert first[1] == ["unfinished.json"]
    assert all(len(added) == 1 and added[0].startswith("data/") for _, added, _ in middle)
    assert set(last[1]) == {"units.parquet", "sessions.parquet", "sources.parquet", "segments.parquet", "README.md", "pile.json"}
    assert last[2] == ["unfinished.json"]


def test_a_branch_takes_a_pile_and_main_stays_as_it_was(hub: HubState, pile: Pile, tmp_path: Path) -> None:
    pile.publish(f"{URL}@v2", work=tmp_path / "work")
    assert own_files(hub) == {}
    assert own_files(hub, "v2") == local_files(pile, tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", "/commit/", 500, 2),
        Fault("POST", "/commit/", 429, 2, {"Retry-After": "0"}),
        Fault("POST", "/commit/", 0, 2),
        Fault("PUT", "/lfs/", 500, 2),
        Fault("POST", "/preupload/", 429, 1, {"Retry-After": "0"}),
        Fault("GET", f"/api/datasets/{REPO}", 502, 2),
    ],
    ids=lambda f: f"{f.method}-{f.path.strip('/')}-{f.status or 'dropped'}",
)
def test_what_passes_is_told_and_tried_again(hub: HubState, pile: Pile, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Fault) -> None:
    hub.faults.append(fault)
    with caplog.at_level(logging.WARNING):
        pile.publish(URL, work=tmp_path / "work")
    assert fault.times == 0
    assert any("again" in r.message.lower() or "retry" in r.message.lower() for r in caplog.records)
    assert own_files(hub) == local_files(pile, tmp_path)


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bytes(hub: HubState, pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send = huggingface.Repository.send
    sent: list[str] = []

    def stopping(self: huggingface.Repository, path: Path, name: str) -> None:
        if len(sent) == 2:
            raise KeyboardInterrupt
        sent.append(name)
        send(self, path, name)

    monkeypatch.setattr(huggingface.Repository, "send", stopping)
    with pytest.raises(KeyboardInterrupt):
        pile.publish(URL, work=tmp_path / "work")
    assert "pile.json" not in own_files(hub)
    assert "README.md" not in own_files(hub)
    assert not [p for p in (tmp_path / "work").rglob("out/data/*.parquet") if f"data/{p.name}" in sent]  # the disk holds no more than it must
    monkeypatch.setattr(huggingface.Repository, "send", send)
    pile.publish(URL, work=tmp_path / "work")
    names = [name for _, added, _ in hub.commits for name in added]
    assert len(names) == len(set(names))
    assert own_files(hub) == local_files(pile, tmp_path)


def test_files_that_were_removed_behind_our_back_are_sent_again(hub: HubState, pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface.Repository, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        pile.publish(URL, work=tmp_path / "work")
    monkeypatch.undo()
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(shards, "SHARD_BYTES", 900)
    monkeypatch.setattr(published, "SPARSE_ROWS_PER_GROUP", 2)
    next((tmp_path / "served" / "main" / "data").iterdir()).unlink()
    pile.publish(URL, work=tmp_path / "work")
    assert own_files(hub) == local_files(pile, tmp_path)


@pytest.mark.parametrize(("token", "words"), [("", "hf auth login"), ("hf_reader", "may not write to lab/corpus")])
def test_a_refused_token_says_how_to_give_one(hub: HubState, pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, words: str) -> None:
    hub.token = "hf_writer"
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr("huggingface_hub.utils._auth.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(PileError, match=words):
        pile.publish(URL, work=tmp_path / "work")
    assert hub.commits == []


@pytest.mark.parametrize(("status", "words"), [(401, "HF_TOKEN"), (403, "refuses"), (404, "knows no lab/corpus"), (500, r"failed \(6 times\)")])
def test_an_answer_in_the_middle_that_does_not_pass_leaves_nothing_finished(hub: HubState, pile: Pile, tmp_path: Path, status: int, words: str) -> None:
    hub.faults.append(Fault("POST", "/commit/", status, times=99, after=2))
    with pytest.raises(PileError, match=words):
        pile.publish(URL, work=tmp_path / "work")
    assert "pile.json" not in own_files(hub)
    hub.faults.clear()
    pile.publish(URL, work=tmp_path / "work")
    assert own_files(hub) == local_files(pile, tmp_path)


def test_what_is_there_is_left_alone_unless_it_is_a_pile_to_be_replaced(hub: HubState, pile: Pile, tmp_path: Path) -> None:
    pile.publish(URL, work=tmp_path / "work")
    with pytest.raises(PileError, match="exists; give another name, or --replace"):
        pile.publish(URL, work=tmp_path / "work")
    other = pile[:5]
    other.publish(URL, work=tmp_path / "work", replace=True)
    assert own_files(hub) == local_files(other, tmp_path)
    (hub.root / "main" / "pile.json").unlink()
    with pytest.raises(PileError, match="not a published pile; give another name"):
        pile.publish(URL, work=tmp_path / "work", replace=True)


def test_half_of_another_pile_is_told(hub: HubState, pile: Pile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as m:
        m.setattr(huggingface.Repository, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pile[:5].publish(URL, work=tmp_path / "work")
    with pytest.raises(PileError, match="holds part of another pile"):
        pile.publish(URL, work=tmp_path / "work")
    pile.publish(URL, work=tmp_path / "work", replace=True)
    assert own_files(hub) == local_files(pile, tmp_path)


def test_private_is_private_or_told(hub: HubState, pile: Pile, tmp_path: Path) -> None:
    pile.publish(URL, work=tmp_path / "work", private=True)
    assert hub.private is True
    hub.private = False
    with pytest.raises(PileError, match="exists and is public"):
        pile.publish(URL, work=tmp_path / "work", private=True, replace=True)


@pytest.mark.parametrize("url", ["hf://lab/corpus", "hf://datasets/corpus", "hf://datasets/lab/corpus/data", "hf://datasets/lab/co rpus"])
def test_other_addresses_are_refused(pile: Pile, url: str) -> None:
    with pytest.raises(PileError, match="hf://datasets/owner/name"):
        pile.publish(url)


READ = """
import sys, datasets, numpy as np
from neuropile import open_pile
repo, cache, folder = sys.argv[1:]
here = open_pile(folder)
for config in ("default", "compat", "units", "sessions"):
    whole = datasets.load_dataset(repo, config, cache_dir=cache)
    local = datasets.load_dataset(folder, config, cache_dir=cache + "-local")
    assert {k: v.num_rows for k, v in whole.items()} == {k: v.num_rows for k, v in local.items()}, config
    for split, rows in whole.items():
        assert rows.features == local[split].features
        assert rows.to_list() == local[split].to_list(), config
        streamed = datasets.load_dataset(repo, config, split=split, streaming=True)
        assert list(streamed) == rows.to_list(), config
there = open_pile("hf://datasets/" + repo)
assert [s.segment_id for s in there] == [s.segment_id for s in here]
assert all(np.array_equal(a.counts().values, b.counts().values) for a, b in zip(there, here))
print("read")
"""


def test_every_config_is_read_back_from_the_hub_streaming_and_not(hub: HubState, pile: Pile, tmp_path: Path) -> None:
    pile.publish(URL, work=tmp_path / "work", compat=True)
    pile.publish(tmp_path / "corpus", compat=True)
    home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    args = [sys.executable, "-c", READ, REPO, str(tmp_path / "cache"), str(tmp_path / "corpus")]
    done = subprocess.run(args, env={**os.environ, **home}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("read")
    assert open_pile(tmp_path / "corpus").digest
