"""Memory of every stage as a pile grows to billions of tokens; the same as `python -m benchmarks long`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import long


@pytest.mark.soak
def test_every_stage_takes_less_than_two_gigabytes_up_to_five_billion_tokens(tmp_path: Path) -> None:
    rows = long.rows(tmp_path)
    assert max(r["tokens, G"] for r in rows) > 5
    peak = {(r["stage"], r["tokens, G"]): r["peak memory, MB"] for r in rows}
    assert {k: mb for k, mb in peak.items() if mb >= 2000} == {}
