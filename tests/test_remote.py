import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import serving

from neuropile import remote

DATA = np.random.default_rng(0).bytes(1_000_000)


@pytest.fixture
def quick(monkeypatch):
    """No long pauses between attempts."""
    monkeypatch.setattr(remote, "PAUSE_S", 0.001)


@pytest.fixture
def served(tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    with serving(tmp_path) as server:
        yield server


spans = st.lists(st.tuples(st.integers(0, len(DATA)), st.integers(0, 200_000)).map(lambda r: (r[0], min(sum(r), len(DATA)))), max_size=5)


@given(spans, st.sampled_from([0, 1000, 1 << 17]), st.sampled_from([777, 100_000, 20 << 20]))
def test_ranges_are_the_bytes_asked_for_however_they_are_fetched(tmp_path_factory, ranges, hole, part):
    path = tmp_path_factory.mktemp("ranges") / "file"
    path.write_bytes(DATA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "MAX_HOLE", hole)
        patch.setattr(remote, "MAX_PART", part)
        assert remote.read_ranges(path, ranges) == [DATA[a:b] for a, b in ranges]


def test_near_ranges_are_one_request_and_far_ones_go_together(served):
    path = remote.as_path(f"{served.url}/file")
    got = remote.read_ranges(path, [(0, 10), (50_000, 50_010), (900_000, 900_100)])
    assert got == [DATA[:10], DATA[50_000:50_010], DATA[900_000:900_100]]
    assert sorted(n for *_, n in served.requests) == [100, 50_010]
    assert {r[0] for r in served.requests} == {"GET"}


def test_a_whole_file_is_one_request(served):
    assert remote.read_bytes(remote.as_path(f"{served.url}/file")) == DATA
    assert [r[0] for r in served.requests] == ["GET"]


def test_what_a_dropped_connection_lost_is_asked_for_again_and_nothing_else(served, quick):
    served.drops = 2
    path = remote.as_path(f"{served.url}/file")
    ranges = [(0, 1000), (400_000, 401_000), (800_000, 801_000)]
    assert remote.read_ranges(path, ranges) == [DATA[a:b] for a, b in ranges]
    assert len(served.requests) == 5


def test_a_server_that_keeps_dropping_is_told(served, quick):
    served.drops = 1000
    with pytest.raises(OSError, match=r"/file: attempt 6 failed with "):
        remote.read_bytes(remote.as_path(f"{served.url}/file"))


def test_a_server_that_ignores_ranges_is_told(served, quick):
    served.ignores_ranges = True
    with pytest.raises(OSError, match="10 bytes asked for, 1000000 came; the server ignores byte ranges"):
        remote.read_ranges(remote.as_path(f"{served.url}/file"), [(10, 20)])


def test_what_is_not_there_is_told_at_once(served):
    with pytest.raises(FileNotFoundError):
        remote.read_bytes(remote.as_path(f"{served.url}/nothing"))
    assert len(served.requests) == 1


def test_a_file_shorter_than_asked_is_told(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    with pytest.raises(OSError, match="8 bytes asked for, 2 came; it is cut short"):
        remote.read_ranges(tmp_path / "f", [(1, 9)])


def test_a_path_stays_a_path_and_a_url_has_a_paths_methods(tmp_path):
    assert remote.as_path(str(tmp_path)) == tmp_path
    assert not remote.is_remote(remote.as_path(tmp_path))
    far = remote.as_path("memory://here/there")
    assert remote.is_remote(far)
    assert (far / "x.parquet").suffix == ".parquet"
    assert remote.as_path(far) is far
