"""Whatever an archive's API answers, its client lists safe files or says in one line what is wrong: never a crash, never a file of this machine."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from archives.servers_dandi import dandi_serving
from archives.servers_deposits import Dryad, Figshare, Osf, Zenodo, deposit, made
from archives.servers_gin import TOKEN, gin_serving
from archives.servers_hf import hf_serving
from archives.servers_one import one_serving

from neuropile.archives import Archive, check_path, dandi, dryad, figshare, gin, git_tree, hf, one, osf, zenodo
from neuropile.archives.web import Refused, Web
from neuropile.errors import NeuropileError

N = 150
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 7, 10**30, 1.5, float("nan"), float("inf"), "", " ", ".", "..", "/", "//", "a/", "a//b", "None", "0"),
    *("../../up.nwb", "/etc/passwd", "C:\\x", "a\\b", "nul\0", "line\nbreak", "\ud800", "ü" * 300, "a" * 5000, "md5:", "sha256:xyz", "%2e%2e/x"),
    *("file:///etc/passwd", "ftp://localhost/x", "http://[::1", "http://127.0.0.1:1/x", "https://", "//elsewhere/x", "javascript:x", "http://a b/"),
    *([], {}, [[]], [{}], [None], [1, 2], {"a": {}}, [["x"]], {"oid": 3}, {"href": None}, [{"name": None}]),
)


class Replayed(Web):
    """Answers as they were recorded from a server; once `random` is given, one of them with something else in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: dict[str, httpx.Response] = {}
        self.random: random.Random | None = None
        self.at = self.asked = 0

    def _whole(self, request: httpx.Request, hint: str) -> httpx.Response:
        key = f"{request.method} {request.url}"
        if self.random is None:
            self.recorded[key] = super()._whole(request, hint)
        if self.asked > 500:
            raise AssertionError("it never stops asking")
        found = self.recorded.get(key)
        if found is None:
            raise Refused(f"{request.url.path}: HTTP 404: no such thing there", 404)
        self.asked += 1
        if self.random is None or self.asked - 1 != self.at:
            return found
        changed = tampered(found.json(), self.random)
        content = json.dumps(changed).encode()
        return httpx.Response(200, headers=found.headers, content=content, request=request)

    def tamper(self, seed: int, n_answers: int) -> None:
        """From now on, and for this seed: another random place of another random answer."""
        self.random = random.Random(seed)
        self.at, self.asked = self.random.randrange(n_answers), 0
        self.kept.clear()


def tampered(answer: Any, rng: random.Random) -> Any:
    """The same with one value junk, missing, or there twice."""
    answer = copy.deepcopy(answer)
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            places.append((value, key))
            walk(inside)

    walk(answer)
    if not places or rng.random() < 0.02:
        return rng.choice(JUNK)
    holder, key = rng.choice(places)
    how = rng.random()
    if how < 0.15:
        del holder[key]
    elif how < 0.25 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[key] = rng.choice(JUNK)
    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in ("sub-1/a.nwb", "sub-1/b #1.nwb", "sub-2/c.nwb", "z.zarr/.zgroup", "z.zarr/a/0", "README.md"):
        (tmp_path / "made" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / path).write_text(path)
    return tmp_path / "made"


@pytest.fixture(params=["dandi", "dryad", "figshare", "gin", "hf", "one", "osf", "zenodo"])
def archive(request: pytest.FixtureRequest, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """Each archive with a few files on several pages."""
    known: dict[str, Callable[[Path, Path, pytest.MonkeyPatch], Iterator[Archive]]] = {
        "dandi": _dandi,
        "dryad": lambda *_: _deposit(Dryad, dryad.dataset("10.5061/dryad.x69p8czpq"), "DRYAD", "/api/v2", monkeypatch),
        "figshare": lambda *_: _deposit(Figshare, figshare.article("7739750"), "FIGSHARE", "/v2", monkeypatch),
        "gin": _gin,
        "hf": _hf,
        "one": _one,
        "osf": lambda *_: _deposit(Osf, osf.node("82jfr"), "OSF", "/v2", monkeypatch),
        "zenodo": lambda *_: _deposit(Zenodo, zenodo.record("3854034"), "ZENODO", "/api", monkeypatch),
    }
    for variable in ("HF_TOKEN", "GIN_TOKEN", "OSF_TOKEN", "ZENODO_TOKEN", "FIGSHARE_TOKEN", "DANDI_API_KEY", "NEUROPILE_DRYAD_ID", "NEUROPILE_DRYAD_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NEUROPILE_CACHE", str(tmp_path / "cache"))
    yield from known[request.param](folder, tmp_path, monkeypatch)


def _deposit(handler: Any, archive: Any, name: str, base: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    number = {"DRYAD": "10.5061/dryad.x69p8czpq", "FIGSHARE": "7739750", "OSF": "82jfr", "ZENODO": "3854034"}[name]
    version = {"DRYAD": "32", "FIGSHARE": "4"}.get(name, "3")
    with deposit(handler, made(), id=number, version=version, page=2) as state:
        monkeypatch.setenv(f"NEUROPILE_{name}_URL", state.url + base)
        yield archive


def _dandi(folder: Path, _: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    with dandi_serving() as state:
        state.page = 2
        state.add_dandiset(folder, "000017")
        monkeypatch.setenv("NEUROPILE_DANDI_URL", state.api)
        yield dandi.dandiset("000017")


def _gin(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """By its API, as git answers otherwise."""
    monkeypatch.setattr(git_tree, "available", lambda: False)
    monkeypatch.setenv("GIN_TOKEN", TOKEN)
    with gin_serving(tmp_path / "gin") as state:
        state.commit({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}, lambda p: "locked" if ".nwb" in p else None)
        monkeypatch.setenv("NEUROPILE_GIN_URL", state.url)
        yield gin.repository("owner/name")


def _hf(folder: Path, _: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    with hf_serving() as state:
        state.add_folder(folder)
        monkeypatch.setenv("NEUROPILE_HF_URL", state.url)
        yield hf.dataset("owner/name")


def _one(_: Path, __: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    with one_serving() as state:
        for i in range(3):
            state.add(f"lab/Subjects/S{i}/2020-01-01/001/alf/probe00/#2024-05-06#/spikes.times.npy", b"x")
            state.add(f"lab/Subjects/S{i}/2020-01-01/001/alf/_ibl_trials.table.pqt", b"x")
        state.most = 4
        for name, value in state.environment.items():
            monkeypatch.setenv(name, value)
        yield one.release(state.tag)


def asked_all(archive: Archive, web: Web) -> None:
    """Everything a build asks of an archive short of the bytes, with what must hold of the answers."""
    listing = archive.list(web)
    str(listing), json.dumps([a.path for a in listing.assets], ensure_ascii=False).encode()
    for asset in listing.assets:
        assert check_path(asset.path, "") == asset.path
        assert asset.bytes is None or (isinstance(asset.bytes, int) and asset.bytes >= 0)
        assert all(isinstance(v, str | None) for v in (asset.sha256, asset.url, asset.version, asset.digest))
        try:
            found = archive.members(asset, web)
            places = [p for a in found or [asset] for p in archive.places(a, web)]
        except NeuropileError:
            continue
        for place in places:
            assert urlsplit(place.url).scheme in ("http", "https"), place
            place.url.encode("ascii")
    archive.facts(web)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.soak), pytest.param(2, marks=pytest.mark.soak)])
def test_no_answer_crashes_a_client_or_leads_it_astray(archive: Archive, seed: int) -> None:
    with Replayed() as web:
        asked_all(archive, web)
        n_answers = web.asked
        since = time.monotonic()
        for i in range(N * (1 if seed == 0 else 10)):
            web.tamper(1_000_000 * seed + i, n_answers)
            try:
                asked_all(archive, web)
            except NeuropileError:
                continue
            except Exception as e:
                raise AssertionError(f"{archive.name}: seed {1_000_000 * seed + i} of answer {web.at}: {type(e).__name__}: {e}") from e
        assert time.monotonic() - since < 600
