"""Budgets: never more than is given in any stretch of time, by however many processes, and no longer a wait than needed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.archives import budgets
from neuropile.errors import ArchiveError

LIMITS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40)), min_size=1, max_size=3)


def fits(times: list[int], limits: list[tuple[int, int]]) -> bool:
    """By the definition: no stretch of that length, wherever it begins, holds more than that many."""
    return all(sum(t <= other < t + seconds for other in times) <= most for most, seconds in limits for t in times)


@given(LIMITS, st.lists(st.integers(0, 8), max_size=25))
def test_whoever_waits_until_free_never_exceeds_a_limit(limits: list[tuple[int, int]], gaps: list[int]) -> None:
    spent: list[int] = []
    now = 0
    for gap in gaps:
        now += gap
        while (at := budgets.free_at(spent, limits, now)) > now:  # who waits looks again when the time has come
            now = int(at)
        spent.append(now)
        assert fits(spent, limits)


@given(LIMITS, st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_the_wait_ends_at_the_first_moment_that_fits_even_if_more_were_spent_before(limits: list[tuple[int, int]], times: list[int]) -> None:
    spent = sorted(times)
    first = next(t for t in range(spent[-1], spent[-1] + 200) if all(sum(t - seconds < old <= t for old in spent) < most for most, seconds in limits))
    at = spent[-1]
    while (following := budgets.free_at(spent, limits, at)) > at:
        at = int(following)
    assert at == first
    if len(limits) == 1:
        assert budgets.free_at(spent, limits, spent[-1]) == first


def test_processes_that_ask_at_once_share_what_is_left(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from neuropile.archives.budgets import spend; from neuropile.errors import ArchiveError\n"
        "folder, n = Path(sys.argv[1]), 0\n"
        "(folder / sys.argv[2]).touch()\n"
        "while len(list(folder.glob('ready-*'))) < 4: time.sleep(0.001)\n"
        "for _ in range(40):\n"
        "    try: spend('host', [(50, 3600.0)], folder); n += 1\n"
        "    except ArchiveError: pass\n"
        "print(n)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"ready-{i}"], stdout=subprocess.PIPE, text=True) for i in range(4)]
    assert sum(int(p.communicate()[0]) for p in started) == 50


def test_a_clock_set_back_makes_nobody_wait_longer_than_the_limit_lasts(tmp_path: Path) -> None:
    path = tmp_path / "budgets" / "host"
    path.parent.mkdir()
    path.write_text(f"{time.time() + 1e9}\n")
    with pytest.raises(ArchiveError, match="another 60 min"):
        budgets.spend("host", [(1, 3600.0)], tmp_path)


def test_counts_of_one_server_are_not_those_of_another(tmp_path: Path) -> None:
    budgets.spend("a:1", [(1, 3600.0)], tmp_path)
    budgets.spend("b:1", [(1, 3600.0)], tmp_path)
    with pytest.raises(ArchiveError, match="a:1 gives one address 1 file in an hour"):
        budgets.spend("a:1", [(1, 3600.0)], tmp_path)


@pytest.mark.parametrize("text", ["", "garbage\n\xff\n", "1e400\nnan\n-5\n"])
def test_a_torn_count_stops_nobody_for_long(tmp_path: Path, text: str) -> None:
    path = tmp_path / "budgets" / "host"
    path.parent.mkdir()
    path.write_text(text)
    budgets.spend("host", [(3, 3600.0)], tmp_path)
    for _ in range(3 - len(path.read_text().split())):
        budgets.spend("host", [(3, 3600.0)], tmp_path)
    with pytest.raises(ArchiveError, match="another 60 min"):
        budgets.spend("host", [(3, 3600.0)], tmp_path)


def test_old_counts_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "budgets" / "host"
    path.parent.mkdir()
    path.write_text("".join(f"{time.time() - 7200 - i}\n" for i in range(1000)))
    budgets.spend("host", [(1, 3600.0)], tmp_path)
    assert len(path.read_text().split()) == 1
