"""A session's voltage: found where the session was read from, on its clock, with what it knows of the channels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from movies import movie, shown
from readers import alffolder
from recorded import lfp_file, raw_values, write_raw
from servers import serving

from neuropile import building, create_store, readers, video, voltage
from neuropile.errors import NeuropileError, NotThere
from neuropile.types import Linked


class Session(SimpleNamespace):
    """As much of a session as tells of voltage."""

    key = "ibl/x"
    absent: dict[str, str] = {"probe01_ap": "no raw voltage of probe01"}  # noqa: RUF012

    @property
    def channels(self) -> pd.DataFrame:
        if self.known is None:
            raise NotThere("no channels")
        return self.known


def session(linked: dict[str, Linked], known: pd.DataFrame | None = None, signals: Any = None, intervals: Any = None) -> Session:
    return Session(linked=linked, known=known, signals=signals or {}, intervals=intervals or {})


CHANNELS = pd.DataFrame(
    {
        "channel_id": ["probe00/0", "probe00/1", "probe01/0", "probe01/1"],
        "probe": ["probe00", "probe00", "probe01", "probe01"],
        "depth_um": [20.0, 40.0, 60.0, 80.0],
        "region": ["VISp5", "CA1", "MOs1", "root"],
        "beryl": ["VISp", "CA1", "MOs", "root"],
        "src_rawInd": [0, 2, 1, 0],
    }
)


@pytest.mark.parametrize(("band", "ratio"), [("ap", 1), ("lf", 12)])
def test_channels_of_a_probe_are_joined_by_their_number_in_the_raw_file(band: str, ratio: int, tmp_path: Path) -> None:
    path = write_raw(tmp_path / "raw_ephys_data" / "probe01", raw_values(600, 4), band, rate=30000.0 / ratio)
    clock = xr.DataArray([0.0, 6000.0], dims="time", coords={"time": [100.0, 100.2]})
    linked = {"raw": Linked(str(path.relative_to(tmp_path)), "voltage" if band == "ap" else "lfp", clock="probe01_clock")}
    found = voltage.of(session(linked, CHANNELS, {"probe01_clock": clock}), "raw", tmp_path)
    assert found.channels["region"].tolist()[:2] == ["root", "MOs1"]
    assert found.channels["region"].isna().tolist() == [False, False, True]
    assert found.channels["beryl"].tolist()[:2] == ["root", "MOs"]
    assert found.channels["channel_id"].tolist() == [f"{band.upper()}{i}" for i in range(3)]
    window = found.read(100.01, 100.012)
    assert window.region.values.tolist()[:2] == ["root", "MOs1"]
    assert window.time.values[0] == pytest.approx(100.01)
    assert len(window) == 60 // ratio
    assert found.notes == ()


def test_channels_of_nwb_are_joined_by_id_and_invalid_times_come_from_the_session(tmp_path: Path) -> None:
    times = 10 + np.arange(1000) / 1250
    lfp_file(tmp_path / "probe.nwb", np.zeros((1000, 4)), times)
    ids = [str(850000000 + 4 * i) for i in range(6)]
    known = pd.DataFrame({"channel_id": ids[::-1], "probe": "probeA", "region": [f"area{i}" for i in range(6)][::-1], "allen_id": 385})
    rows = pd.DataFrame(
        {"start_s": [10.1, 10.3, 10.5], "stop_s": [10.2, 10.4, 10.6], "src_tags": [["probeA"], ["probeB"], ["EcephysSession", "739448407", "stimulus"]]}
    )
    linked = {"lfp_probeA": Linked("probe.nwb", "lfp")}
    with voltage.of(session(linked, known, intervals={"invalid": rows}), "lfp_probeA", tmp_path) as found:
        assert found.channels["region"].tolist() == [f"area{i}" for i in range(4)]
        assert found.channels["allen_id"].tolist() == [385] * 4
        valid = found.read(10, 11).valid.values
    np.testing.assert_array_equal(~valid, (times >= 10.1) & (times < 10.2))


def test_without_a_table_of_channels_the_files_own_stand(tmp_path: Path) -> None:
    write_raw(tmp_path, raw_values(60, 4))
    linked = {"raw": Linked("_spikeglx_ephysData_g0_t0.imec0.ap.bin", "voltage")}
    found = voltage.of(session(linked), "raw", tmp_path)
    assert found.channels["channel_id"].tolist() == ["AP0", "AP1", "AP2"]
    assert found.start_s == 0
    assert found.notes[-1] == "its channels are without what the session may know of them, such as regions: the session has no table of channels"
    other = voltage.of(session(linked, CHANNELS), "raw", tmp_path)
    assert other.channels["region"].isna().all()
    assert other.notes[-1].endswith("_spikeglx_ephysData_g0_t0.imec0.ap.bin names none of the session's probes (probe00, probe01)")


def test_channels_that_do_not_fit_are_noted_and_their_regions_null(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "raw_ephys_data" / "probe00", raw_values(60, 5))
    linked = {"raw": Linked(str(path.relative_to(tmp_path)), "voltage")}
    found = voltage.of(session(linked, CHANNELS.drop(columns="src_rawInd")), "raw", tmp_path)
    assert found.notes[-1].endswith("such as regions: the session has 2 channels of probe00, the file 4")
    columns = ["region", "allen_id", "allen", "beryl", "cosmos", "swanson"]
    assert found.channels[columns].isna().all(axis=None)
    assert found.read_samples(0, 5, found.channels["beryl"] == "VISp").shape == (5, 0)
    assert [c.startswith("src_") for c in found.channels] == sorted(c.startswith("src_") for c in found.channels)


def test_the_source_itself_tells_where_its_files_lie_and_a_url_where_there_is_no_folder(tmp_path: Path) -> None:
    times = np.arange(100) / 1250
    lfp_file(tmp_path / "probe.nwb", np.ones((100, 3)), times)
    (tmp_path / "session.nwb").write_bytes(b"x")
    with voltage.of(session({"lfp": Linked("probe.nwb", "lfp")}), "lfp", tmp_path / "session.nwb") as found:
        assert found.n_channels == 3
    with serving(tmp_path) as served, voltage.of(session({"lfp": Linked("probe.nwb", "lfp", url=f"{served.url}/probe.nwb")}), "lfp") as found:
        assert found.read_samples(0, 5).values.tolist() == [[1, 1, 1]] * 5


def test_what_is_not_there_is_told_with_its_reason(tmp_path: Path) -> None:
    own = session({"raw": Linked("a/b.ap.cbin", "voltage"), "video": Linked("v.mp4", "video")})
    with pytest.raises(NotThere, match=r"'probe01_ap' \(no raw voltage of probe01\)"):
        voltage.of(own, "probe01_ap", tmp_path)
    with pytest.raises(NotThere, match=r"'other' \(there are raw\)"):
        voltage.of(own, "other", tmp_path)
    with pytest.raises(NeuropileError, match="'video' is video, not voltage or lfp"):
        voltage.of(own, "video", tmp_path)
    with pytest.raises(NeuropileError, match=r"b\.ap\.cbin: no such file; pass root="):
        voltage.of(own, "raw", tmp_path)
    with pytest.raises(NeuropileError, match="no address of it is known; pass root="):
        voltage.of(own, "raw")


def test_an_alf_session_in_a_store_leads_to_its_voltage_and_video(tmp_path: Path) -> None:
    folder = alffolder.session(tmp_path / "root", ("probe00", "probe01"))
    values = raw_values(900, 11)
    for probe in ("probe00", "probe01"):
        for band, ratio in (("ap", 1), ("lf", 12)):
            write_raw(folder / "raw_ephys_data" / probe, values, band, rate=30000.0 / ratio)
        np.save(folder / "raw_ephys_data" / probe / "_spikeglx_ephysData_g0_t0.imec0.timestamps.npy", [[0, 50.0], [30_000_000, 1050.2]])
    n = 40
    alffolder.put(folder / "alf", leftCamera__ROIMotionEnergy=np.zeros(n + 2), I_leftCamera__times=7 + np.arange(n + 2) / 60)
    (folder / "raw_video_data").mkdir()
    movie(folder / "raw_video_data" / "_iblrig_leftCamera.raw.mp4", n)
    store = create_store(tmp_path / "store")
    building.ingest([folder], store, readers.find, dataset="ibl")
    ses = next(iter(store.values()))
    for band, ratio in (("ap", 1), ("lf", 12)):
        found = voltage.of(ses, f"probe01_{band}", folder)
        own = ses.channels[ses.channels["probe"] == "probe01"]
        assert found.channels["allen_id"].tolist() == own["allen_id"].tolist()
        assert found.channels["depth_um"].tolist() == own["depth_um"].tolist()
        window = found.read(50.005, 50.01, ["AP3" if band == "ap" else "LF3"])
        times = 50 + np.arange(900) * ratio * 1000.2 / 30_000_000
        inside = (times >= 50.005) & (times < 50.01)
        np.testing.assert_allclose(window.time.values, times[inside], rtol=0, atol=1e-9)
        np.testing.assert_array_equal(window.values[:, 0], (values[inside, 3] * (0.6 / 512 / (500 if band == "ap" else 250))).astype(np.float32))
    with video.of(ses, "left_camera_video", folder) as opened:
        assert [shown(opened.frame(7 + (k + 2.5) / 60)) for k in (0, 20, n - 1)] == [0, 20, n - 1]
