"""Short pauses for every test of archives, and a client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neuropile import remote
from neuropile.archives import patience
from neuropile.archives.web import Web


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0.005)
    monkeypatch.setattr(patience, "MAX_PAUSE_S", 0.02)
    monkeypatch.setattr(remote, "PAUSE_S", 0.005)


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as opened:
        yield opened
