"""Fixtures that every test may use, how hard hypothesis tries, and which tests run when."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from neuropile import testing

_UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("quick", derandomize=True, database=None, max_examples=100, **_UNHURRIED)
settings.register_profile("soak", max_examples=1_000, **_UNHURRIED)
settings.load_profile(os.environ.get("NEUROPILE_HYPOTHESIS", "quick"))

#: Processes that tests start are forked from one that has these loaded, and nothing else.
multiprocessing.set_forkserver_preload(["neuropile.building", "neuropile.testing", "zarr", "pandas", "neuropile.session"])

REAL_DATA = os.environ.get("NEUROPILE_REAL_DATA")
#: These cannot even be collected without the folder; the one skip below speaks for them too.
collect_ignore = [] if REAL_DATA else ["test_real_recordings.py", "readers/test_real_alf_kilosort.py"]


def pytest_collection_modifyitems(config, items):
    """Leave soak tests out unless `-m` asks for them; let one test speak for all that lack the real recordings."""
    asked = config.getoption("markexpr")
    keep = [i for i in items if "soak" in asked or "soak" not in i.keywords]
    if not REAL_DATA:
        without = [i for i in keep if "real" in i.keywords]
        for item in without[:1]:
            item.add_marker(pytest.mark.skip(reason=f"{len(without)} tests read real recordings: set NEUROPILE_REAL_DATA to their folder"))
        keep = [i for i in keep if i not in without[1:]]
    left_out = [i for i in items if i not in set(keep)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = keep


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory):
    """A store to read, not to change: `test/session-0` plain, `-1` with units observed at different times, `-2` with a gap."""
    recordings = [
        testing.recording(0),
        testing.recording(1, n_units=12, observed="each", invalid=True, start_s=-20.0, float32=True),
        testing.recording(2, n_units=7, duration_s=30.0, observed="gaps", start_s=1000.0),
    ]
    return testing.store(tmp_path_factory.mktemp("tiny") / "store", recordings)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; a test that uses it is marked `real`."""
    if not REAL_DATA:
        pytest.skip("NEUROPILE_REAL_DATA is not set")
    return Path(REAL_DATA)


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    """An S3 server on loopback with the bucket `neuropile`: what `UPath("s3://neuropile/...", **s3)` needs."""
    from servers import s3_serving

    with s3_serving("neuropile") as options:
        yield options
