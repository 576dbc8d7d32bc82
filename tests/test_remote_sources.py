"""Recordings behind a URL: the same session as from a disk, of an NWB file only a part of its bytes."""

import numpy as np
import pytest
from servers import hub_serving, serving
from upath import UPath

import neuropile
from neuropile import readers, remote
from neuropile.cli.demo import bundled

NWB = next(f for _, files in bundled() for f in files if f.suffix == ".nwb")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A folder with a recording of each form that may lie far away."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "x.nwb").write_bytes(NWB.read_bytes())
    rng = np.random.default_rng(0)
    (folder / "mouse7").mkdir()
    np.save(folder / "mouse7" / "spike_times.npy", np.sort(rng.integers(0, 3_000_000, 4000)).astype(np.uint64))
    np.save(folder / "mouse7" / "spike_clusters.npy", rng.integers(0, 9, 4000).astype(np.int32))
    (folder / "mouse7" / "params.py").write_text("sample_rate = 30000.0\n")
    probe = folder / "KS023" / "2019-12-10" / "001" / "alf" / "probe00"
    probe.mkdir(parents=True)
    np.save(probe / "spikes.times.npy", np.sort(rng.uniform(0, 50, 3000)))
    np.save(probe / "spikes.clusters.npy", rng.integers(0, 7, 3000))
    np.savez(folder / "a.npz", t=rng.uniform(0, 9, 50), u=rng.integers(0, 3, 50))
    return folder


@pytest.fixture(params=["http", "memory", "s3", "hf"])
def far(request, sources, s3):
    if request.param == "http":
        with serving(sources) as server:
            yield UPath(server.url)
        return
    if request.param == "hf":
        with hub_serving(sources, "me/data") as endpoint:
            yield UPath("hf://datasets/me/data", endpoint=endpoint)
        return
    root = UPath("memory://data/here") if request.param == "memory" else UPath("s3://neuropile/data", **s3)
    root.fs.put(str(sources), root.path, recursive=True)
    if not (root / "x.nwb").exists():  # some put the folder itself inside
        root = root / sources.name
    yield root
    root.fs.rm(root.path, recursive=True)


def digest_of(path, tmp_path, name, **options):
    store = neuropile.create_store(tmp_path / name)
    (outcome,) = neuropile.ingest([path], store, lambda p: readers.find(p, **options))
    assert outcome.status == "stored", outcome.error
    return store[outcome.session].record


@pytest.mark.parametrize(
    ("name", "options"),
    [("x.nwb", {}), ("mouse7", {}), ("KS023/2019-12-10/001", {}), ("a.npz", {"mapping": {"times": "t", "units": "u"}})],
    ids=["NWB", "Kilosort", "ALF", "npz"],
)
def test_a_recording_far_away_gives_the_same_session(sources, far, tmp_path, name, options):
    if not remote.can_list(far) and not name.endswith((".nwb", ".npz")):
        (outcome,) = neuropile.ingest([far / name], neuropile.create_store(tmp_path / "s"), readers.find)  # a plain web server lists no folder
        assert "no such file" in outcome.error
        return
    here = digest_of(sources / name, tmp_path, "here", **options)
    there = digest_of(far / name, tmp_path, "there", **options)
    assert (there["content_digest"], there["session_id"]) == (here["content_digest"], here["session_id"])
    (source,) = there["sources"]
    assert source["url"].endswith(f"/{name}")
    assert "@" not in source["url"]


def test_of_an_nwb_file_with_raw_voltage_only_what_is_stored_crosses_the_wire(tmp_path):
    import h5py

    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "x.nwb").write_bytes(NWB.read_bytes())
    with h5py.File(tmp_path / "web" / "x.nwb", "r+") as f:
        f["raw_voltage_beside_it"] = np.random.default_rng(0).integers(0, 4000, 15_000_000).astype(np.int16)
    with serving(tmp_path / "web") as served:
        digest_of(UPath(f"{served.url}/x.nwb"), tmp_path, "s")
        assert served.n_bytes < 0.05 * (tmp_path / "web" / "x.nwb").stat().st_size
        assert len(served.requests) < 20


def test_a_recording_that_is_not_there_is_said(far, tmp_path):
    (outcome,) = neuropile.ingest([far / "nowhere.nwb"], neuropile.create_store(tmp_path / "s"), readers.find)
    assert (outcome.status, "no such file" in outcome.error) == ("failed", True)
