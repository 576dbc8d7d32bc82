"""Every form of recording from the command line: found by what it is, read with what a person adds to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml
from test_commands import NWB, answer, run

import neuropile
from neuropile import remote


@pytest.fixture
def kilosort(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "mouse1" / "kilosort4"
    folder.mkdir(parents=True)
    np.save(folder / "spike_times.npy", np.arange(0, 30_000, 300, dtype=np.uint64))
    np.save(folder / "spike_clusters.npy", np.arange(100, dtype=np.int32) % 3)
    return folder


@pytest.fixture
def alf(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "KS023" / "2019-12-10" / "001" / "alf" / "probe00"
    folder.mkdir(parents=True)
    np.save(folder / "spikes.times.npy", np.linspace(0, 10, 50))
    np.save(folder / "spikes.clusters.npy", np.arange(50) % 5)
    return folder.parent.parent


def test_a_folder_of_everything_gives_a_session_of_each(kilosort: Path, alf: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "x.nwb").write_bytes(NWB.read_bytes())
    (tmp_path / "data" / "notes.txt").write_text("mine")
    done = answer("ingest", tmp_path / "data", "--store", tmp_path / "s", "--sample-rate", 30000)
    assert sorted((s["session"], s["status"], s["n_units"]) for s in done["sessions"]) == [
        ("local/KS023_2019-12-10_001", "stored", 5),
        ("local/mouse1_kilosort4", "stored", 3),
        ("local/x", "stored", 4),
    ]
    store = neuropile.open_store(tmp_path / "s")
    assert store["local/KS023_2019-12-10_001"].subject_id == "KS023"
    assert [s["path"] for s in store["local/mouse1_kilosort4"].record["sources"]] == ["spike_clusters.npy", "spike_times.npy"]
    again = answer("ingest", tmp_path / "data", "--store", tmp_path / "s", "--sample-rate", 30000)
    assert {s["status"] for s in again["sessions"]} == {"present"}


def test_what_the_files_do_not_say_is_asked_for(kilosort: Path, tmp_path: Path) -> None:
    done = run("ingest", kilosort, "--store", tmp_path / "s", code=1)
    assert "give --sample-rate, such as 30000" in done.stderr
    assert answer("info", kilosort, "--sample-rate", 30000)["units"] == 3


def test_a_mapping_reads_what_follows_no_format(tmp_path: Path) -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 60, 500))
    scipy.io.savemat(tmp_path / "a.mat", {"spks": np.c_[np.arange(500) % 9 + 1, times]})
    refused = run("ingest", tmp_path / "a.mat", "--store", tmp_path / "s", code=1)
    assert "--map times=spks[:,1] --map units=spks[:,0]" in refused.stderr
    told = answer("info", tmp_path / "a.mat")
    assert (told["kind"], told["arrays"]) == ("arrays", [{"name": "spks", "shape": "(500, 2)", "dtype": "float64"}])
    done = answer("ingest", tmp_path / "a.mat", "--store", tmp_path / "s", "--map", "times=spks[:,1]", "--map", "units=spks[:,0]")
    assert [(s["status"], s["n_units"], s["n_spikes"]) for s in done["sessions"]] == [("stored", 9, 500)]
    assert "'time=spks' is no key=value of a mapping" in run("ingest", tmp_path / "a.mat", "--store", tmp_path / "s", "--map", "time=spks", code=1).stderr


def test_compat_upstream_goes_to_a_dataset_of_its_own(kilosort: Path, tmp_path: Path) -> None:
    done = answer("ingest", NWB, kilosort, "--store", tmp_path / "s", "--dataset", "lab", "--compat", "upstream", code=1)
    assert [(s["session"].split("/")[0], s["status"]) for s in done["sessions"]] == [("lab@upstream", "stored"), ("lab@upstream", "failed")]
    assert "ingest it without --compat upstream" in done["sessions"][1]["error"]
    session = neuropile.open_store(tmp_path / "s")[done["sessions"][0]["session"]]
    assert (session.quantity, session.ticks_per_s, session.subject_id) == ("counts", 50, NWB.parent.name)
    assert "there is one other way of reading" in run("ingest", NWB, "--store", tmp_path / "s", "--compat", "x", code=1).stderr


def test_a_recording_far_away_is_read_where_it_is(tmp_path: Path) -> None:
    from servers import serving

    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "x.nwb").write_bytes(NWB.read_bytes())
    with serving(tmp_path / "web") as served:
        url = f"{served.url}/x.nwb"
        assert answer("info", url)["units"] == 4
        done = answer("ingest", url, "--store", tmp_path / "s")
    assert [(s["session"], s["status"], s["n_spikes"]) for s in done["sessions"]] == [("local/x", "stored", 34057)]
    (source,) = neuropile.open_store(tmp_path / "s")["local/x"].record["sources"]
    assert (source["url"], source["bytes"], source["sha256"]) == (url, NWB.stat().st_size, None)


def test_what_is_secret_in_a_url_is_not_kept() -> None:
    assert remote.public("https://me:pass@host/a/b.nwb?token=x#y") == "https://host/a/b.nwb"
    assert remote.public("s3://bucket/a.nwb") == "s3://bucket/a.nwb"


def test_verify_tells_and_its_exit_code_says(tmp_path: Path) -> None:
    run("ingest", NWB, "--store", tmp_path / "s")
    assert answer("verify", tmp_path / "s") == {"path": str(tmp_path / "s"), "ok": True, "findings": []}
    (spikes,) = (tmp_path / "s").rglob("spikes.parquet")
    data = bytearray(spikes.read_bytes())
    data[1000] ^= 1
    spikes.write_bytes(data)
    told = answer("verify", tmp_path / "s", code=1)
    assert [(f["level"], f["where"].split("/")[0]) for f in told["findings"]] == [("error", "local")]


FORMS = {
    "mat5-rat-lineartrack/spikes.mat": ["--map", "times=spikes/time"],
    "mat5-aplysia/Feb1312da06spks.mat": ["--map", "times=spks[:,1]", "--map", "units=spks[:,0]"],
    "mat5-aplysia/Jan1312da04spks.mat": ["--map", "times=spks[:,1]", "--map", "units=spks[:,0]"],
    "mat5-monkey-trials/sample_dat.mat": ["--map", "matrix=dat/spikes", "--map", "bin=0.001"],
    "npz-mouse-olfactory-trials/pinene_data.npz": [
        *("--map", "times=spiketimes", "--map", "units=neuron_ids", "--map", "trials=trials"),
        *("--map", "trial_start=tmin", "--map", "trial_stop=tmax", "--map", "unit=ms"),
    ],
    "h5-retina-mea": ["--map", "times=spikes", "--map", "counts=sCount"],
    "alf-mouse-three-clusters": [],
    "kilosort-15-templates": ["--sample-rate", "30000"],
    "nwb-mouse-thalamus-zarr": [],
    "nwb-mouse-thalamus": [],
}
WITHOUT_SPIKES = {
    "alf-trials-table": "sought spikes.times and spikes.clusters",
    "nwb-macaque-freeviewing-nounits": "sought spike_times in /units",
    "suite2p-calcium/F.npy": "whose values are not whole numbers: no spikes and no counts of them",
    "suite2p-calcium/spks.npy": "whose values are not whole numbers: no spikes and no counts of them",
    "sensorium2023-metadata": "a folder without a session folder",
    "sensorium2023-npy-meta/video_ids.npy": "no mapping suggests itself",
}


@pytest.mark.real
@pytest.mark.parametrize("name", FORMS)
def test_a_real_recording_of_any_form_gives_its_manifests_numbers_and_the_same_bytes_again(
    real_data: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = yaml.safe_load((real_data / "MANIFEST.yaml").read_text())["datasets"]
    expected = next(d["expected"] for d in datasets if d["name"] == name.split("/")[0])
    done = answer("ingest", real_data / name, "--store", tmp_path / "s", *FORMS[name])
    for session in done["sessions"]:
        facts = expected.get(Path(session["path"]).name, expected)
        assert (session["status"], session["n_units"], session["n_spikes"]) == ("stored", facts["units"], facts["spikes"])
        if "first_spike_s" not in facts:
            continue
        times = neuropile.open_store(tmp_path / "s")[session["session"]].spikes().times
        assert (times.min(), times.max()) == (pytest.approx(facts["first_spike_s"], abs=1e-5), pytest.approx(facts["last_spike_s"], abs=1e-5))
    assert answer("verify", tmp_path / "s")["ok"]
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    answer("ingest", real_data / name, "--store", tmp_path / "again", *FORMS[name])
    assert bytes_of(tmp_path / "again" / "local") == bytes_of(tmp_path / "s" / "local")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.real
@pytest.mark.parametrize("name", WITHOUT_SPIKES)
def test_a_real_recording_without_spikes_says_so(real_data: Path, tmp_path: Path, name: str) -> None:
    done = answer("ingest", real_data / name, "--store", tmp_path / "s", code=1)
    assert len(done["sessions"]) == 1
    assert WITHOUT_SPIKES[name] in done["sessions"][0]["error"]
