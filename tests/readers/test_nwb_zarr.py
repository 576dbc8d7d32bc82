"""NWB in Zarr gives the recording that the same file in HDF5 gives, decodes nothing dangerous and believes no damage."""

from __future__ import annotations

import json
import os
import random
import shutil

import numpy as np
import pytest
from nwbfile import TRAINS, add_electrodes, add_units
from pynwb import NWBHDF5IO, TimeSeries
from pynwb.file import Subject
from zarrfile import BOMB, as_zarr, edit, pickled

import neuropile
from neuropile.errors import NeuropileError, NoEvents, UnreadableFile
from neuropile.readers import h5, nwb
from neuropile.readers.nwb import tree as nwb_tree

FORMATS = pytest.mark.parametrize("number", [2, 3])


def filled(nwb):
    """A file with something of everything a reader takes."""
    add_electrodes(nwb, ["VISp", "CA1", "brain_region: Thalamus; layer: 4"], ids=[7, 8, 9], rel_y=[10.0, 20.0, 30.0])
    columns = {
        "quality": ["good", "mua", "größe", "good"],
        "snr": [1.5, np.nan, 3.0, 0.0],
        "amplitudes": [[1.0], [], [2.0, 3.0], []],
        "electrodes": [[0], [1], [2, 0], [1]],
        "obs_intervals": [[[-2.0, 5.0], [6.0, 9.0]], [[0.0, 1.0]], [[-2.0, 9.0]], [[7.0, 8.0]]],
    }
    add_units(nwb, [[0.5, 0.1, 2.25], [], [-1.5, 0.0, 3.0], [7.125]], **columns)
    nwb.add_trial_column("contrast", "of the grating")
    nwb.add_trial_column("kind", "of trial")
    for i in range(6):
        nwb.add_trial(start_time=float(i), stop_time=i + 0.5, contrast=i / 4, kind="go" if i % 2 else "stop")
    nwb.add_epoch(0.0, 2.0, ["first", "test"])
    nwb.add_invalid_time_interval(2.0, 2.5, "eye")
    nwb.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D")
    module = nwb.create_processing_module("behavior", "beside the spikes")
    module.add(TimeSeries(name="running", data=np.arange(20, dtype=np.int16), unit="cm/s", rate=10.0, starting_time=1.0, conversion=0.5))
    module.add(TimeSeries(name="pupil", data=np.arange(30.0).reshape(15, 2), unit="px", timestamps=np.linspace(0, 3, 15)))
    nwb.experimenter = ["Doe, Jane", "Roe, Richard"]
    return nwb


@pytest.fixture
def source(nwb, write):
    return write(filled(nwb))


@pytest.fixture
def folder(source, tmp_path):
    return lambda number=2, **how: as_zarr(source, tmp_path / f"v{number}" / "session.nwb.zarr", number, **how)


def content(recording):
    """All that a recording holds, to compare."""
    signals = {n: (np.asarray(s.data[0 : s.data.shape[0]]).tolist(), s.dims, s.unit, s.start_s, s.rate_hz) for n, s in recording.signals.items()}
    stamps = {n: np.asarray(s.time_s[0 : s.data.shape[0]]).tolist() for n, s in recording.signals.items() if s.time_s is not None}
    spans = None if recording.observed is None else [a.tolist() for a in vars(recording.observed).values()]
    return {
        "units": {c: recording.units.column(c) for c in recording.units.column_names if c != "src_electrode_group"},
        "trains": [recording.trains.read(u).tobytes() for u in range(recording.trains.n_units)],
        "intervals": dict(recording.intervals),
        "signals": (signals, stamps),
        "rest": (recording.session_id, recording.subject, dict(recording.source), spans, recording.span_source, recording.holds),
    }


def same(a, b):
    def tables(c):
        return repr({n: v.to_pylist() for n, v in c["units"].items()}), repr({n: t.to_pydict() for n, t in c["intervals"].items()})

    return tables(a) == tables(b) and all(a[k] == b[k] for k in ("trains", "signals", "rest"))


def read(path):
    with nwb.units()(path) as recording:
        return content(recording), recording.notes


@FORMATS
@pytest.mark.parametrize("consolidated", [True, False])
def test_a_file_in_zarr_is_the_recording_it_is_in_hdf5(number, consolidated, source, folder):
    ours, theirs = read(folder(number, consolidated=consolidated))[0], read(source)[0]
    assert {n: c.type for n, c in ours["units"].items()} == {n: c.type for n, c in theirs["units"].items()}
    assert ours["rest"] == theirs["rest"]
    assert ours["signals"] == theirs["signals"]
    assert same(ours, theirs)


@FORMATS
def test_spike_times_and_columns_are_those_pynwb_reads_from_the_hdf5_file(number, source, folder):
    with NWBHDF5IO(str(source), "r") as io, nwb.units()(folder(number)) as recording:
        table, trials = io.read().units.to_dataframe(), io.read().trials.to_dataframe()
        for unit, times in enumerate(table["spike_times"]):
            np.testing.assert_array_equal(recording.trains.read(unit), times)
        assert recording.units.column("src_quality").to_pylist() == table["quality"].tolist()
        np.testing.assert_array_equal(recording.units.column("src_snr").to_numpy(), table["snr"])
        assert recording.intervals["trials"].column("src_kind").to_pylist() == trials["kind"].tolist()


def test_references_are_names_in_zarr_3(folder):
    with nwb.units()(folder(3)) as recording:
        assert recording.units.column("src_electrode_group").to_pylist()[0] == ["probeA"]


@FORMATS
def test_a_session_is_named_without_its_suffixes_and_stored(number, folder, store):
    path = folder(number)
    assert nwb.takes(path)
    assert nwb.units().session_name(path) == "session"
    (outcome,) = neuropile.ingest([path], store, lambda _: nwb.units())
    assert (outcome.status, outcome.session, outcome.n_units, outcome.n_spikes) == ("stored", "local/session", 4, 7), outcome.error


def test_folders_that_are_no_nwb_are_not_taken(tmp_path, folder):
    path = folder(2)
    (path / ".zattrs").write_text("{}")
    (path / ".zmetadata").unlink()
    assert not nwb.takes(path)
    assert not nwb.takes(tmp_path)
    assert not nwb.takes(tmp_path / "absent")
    with pytest.raises(UnreadableFile, match="a Zarr group, but not NWB"):
        nwb.units()(path)
    with pytest.raises(UnreadableFile, match="no Zarr group"):
        nwb.units()(tmp_path)


def test_pickles_are_told_and_never_decoded(folder, tmp_path):
    mark = tmp_path / "unpickled"
    bomb = BOMB % str(mark).encode()
    path = folder(2, bomb=bomb, consolidated=False)
    assert os.system((bomb.split(b"'")[1]).decode()) == 0
    mark.unlink()  # it works, if run
    for name in ("quality", "snr"):
        shutil.rmtree(path / "units" / name)
        pickled(path / "units" / name, (4,), bomb)
    content, notes = read(path)
    assert not mark.exists()
    assert "src_quality" not in content["units"]
    assert any("quality (it is stored as Python pickles, which are never decoded)" in n and "snr" in n for n in notes)
    assert any("left out of the electrodes: group" in n for n in notes)
    for name in ("spike_times", "id"):
        shutil.rmtree(path / "units" / name)
        pickled(path / "units" / name, (4,), bomb)
        with pytest.raises(UnreadableFile):
            nwb.units()(path)
    assert not mark.exists()


@pytest.mark.parametrize("change", [{"compressor": {"id": "unheard-of"}}, {"filters": [{"id": "os.system"}]}, {"dtype": [["a", "<i4"]]}])
def test_columns_stored_in_unknown_ways_are_left_out_and_told(change, folder):
    path = folder(2, consolidated=False)
    edit(path, "units/snr/.zarray", **change)
    content, notes = read(path)
    assert "src_snr" not in content["units"]
    assert any("snr (it " in n for n in notes)


def test_a_codec_of_zarr_3_that_is_unknown_costs_its_column_only(folder):
    path = folder(3, consolidated=False)
    edit(path, "units/snr/zarr.json", codecs=[{"name": "bytes"}, {"name": "unheard-of", "configuration": {}}])
    content, notes = read(path)
    assert "src_snr" not in content["units"]
    assert any("snr (it is stored with unheard-of, which is not decoded here)" in n for n in notes)


def test_text_of_every_codec_is_read(folder):
    path = folder(2, consolidated=False)
    (path / "units/quality/.zarray").unlink()
    words = ["good", "größe", "", "mua"]
    meta = {"chunks": [4], "compressor": {"id": "zlib", "level": 1}, "dtype": "|O", "fill_value": 0, "order": "C", "shape": [4], "zarr_format": 2}
    from numcodecs import JSON, VLenBytes, Zlib

    for codec, values in ((JSON(), words), (VLenBytes(), [w.encode() for w in words])):
        (path / "units/quality/.zarray").write_text(json.dumps({**meta, "filters": [codec.get_config()]}))
        (path / "units/quality/0").write_bytes(Zlib(1).encode(codec.encode(np.array(values, object))))
        assert read(path)[0]["units"]["src_quality"].to_pylist() == words


@FORMATS
def test_a_lost_chunk_of_spike_times_is_an_error_and_no_zeros(number, folder):
    path = folder(number)
    chunk = next(p for p in (path / "units/spike_times").rglob("*") if p.name == "1")
    chunk.unlink()
    with pytest.raises(UnreadableFile, match=r"/units/spike_times lacks its chunk (c/)?1: the folder is incomplete"):
        read(path)


def test_zarr_3_keeps_no_zeros_and_what_is_read_as_such_is_told(folder):
    path = folder(3)
    before = read(path)
    assert before[0]["intervals"]["trials"].column("src_contrast").to_pylist() == [i / 4 for i in range(6)]
    shutil.rmtree(path / "intervals/trials/contrast/c")
    content, notes = read(path)
    assert content["intervals"]["trials"].column("src_contrast").to_pylist() == [0.0] * 6
    assert any("nothing is stored of" in n and "intervals/trials/contrast" in n for n in notes)


@FORMATS
@pytest.mark.parametrize("name", ["units/spike_times", "units/snr", "units/quality", "units/id", "intervals/trials/start_time"])
def test_an_array_that_announces_terabytes_is_refused_before_anything_is_made(number, name, folder):
    path = folder(number, consolidated=False)
    huge = 10**13
    if number == 2:
        edit(path, f"{name}/.zarray", shape=[huge], chunks=[huge])
    else:
        edit(path, f"{name}/zarr.json", shape=[huge], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [huge]}})
    with pytest.raises(UnreadableFile, match=r"announces|rows"):
        read(path)


def test_links_are_followed_within_the_folder_only(folder, tmp_path):
    path = folder(2, consolidated=False)
    other = shutil.copytree(path, tmp_path / "other.nwb.zarr")
    (path / "units").rename(path / "general/moved")
    attributes = json.loads((path / ".zattrs").read_text())

    def linked(source, where):
        (path / ".zattrs").write_text(json.dumps({**attributes, "zarr_link": [{"name": "units", "source": source, "path": where}]}))

    linked(".", "/general/moved")
    assert len(read(path)[0]["trains"]) == 4
    linked(str(other), "/units")
    with pytest.raises(NoEvents, match=r"/units \(in another file, not followed\)"):
        nwb.units()(path)
    for where in ("/units", "/../other.nwb.zarr/units", "../../other.nwb.zarr/units"):
        linked(".", where)
        with pytest.raises(NoEvents):
            nwb.units()(path)


def test_symbolic_links_out_of_the_folder_are_told_and_not_followed(folder, tmp_path):
    path = folder(2, consolidated=False)
    other = shutil.copytree(path, tmp_path / "other.nwb.zarr")
    shutil.rmtree(path / "units/snr")
    (path / "units/snr").symlink_to(other / "units/snr")
    content, notes = read(path)
    assert "src_snr" not in content["units"]
    assert any("snr (named, but not there)" in n for n in notes)
    shutil.rmtree(path / "units")
    (path / "units").symlink_to(other / "units")
    with pytest.raises(NoEvents, match=r"/units \(in another file, not followed\)"):
        nwb.units()(path)


def test_a_pipe_in_place_of_a_chunk_does_not_hang(folder):
    path = folder(2)
    (path / "units/spike_times/0").unlink()
    os.mkfifo(path / "units/spike_times/0")
    with pytest.raises(UnreadableFile, match="lacks its chunk 0"):
        read(path)


def test_metadata_that_contradict_their_second_copy_are_damage(folder):
    path = folder(2)
    edit(path, "units/spike_times/.zarray", dtype=">f8")
    with pytest.raises(UnreadableFile, match=r"units/spike_times/\.zarray differs from the consolidated metadata"):
        read(path)


def test_a_group_that_lost_its_metadata_is_damage(folder):
    path = folder(2, consolidated=False)
    (path / "intervals/trials/.zgroup").unlink()
    with pytest.raises(UnreadableFile, match="/intervals/trials lacks its metadata"):
        read(path)


@FORMATS
def test_a_damaged_folder_is_read_right_or_is_one_clear_error(number, folder):
    """Every file of a folder lost, cut short and with a bit turned; what is optional may be left out and told, a turned bit of a value cannot be seen."""
    path = folder(number)
    right, notes = read(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    rng = random.Random(20)
    for file in rng.sample(files, 40):
        whole = file.read_bytes()
        turned = bytearray(whole)
        turned[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        for damaged in (None, whole[: rng.randrange(len(whole))], bytes(turned)):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            try:
                found, told = read(path)
                is_values = file.name[0] != "." and file.name != "zarr.json"
                of_bits = is_values and damaged == bytes(turned)
                assert same(found, right) or of_bits or told != notes, file
            except NeuropileError as e:
                assert str(path) in str(e)  # noqa: PT017
            file.write_bytes(whole)
    assert read(path)[1] == notes


def test_a_remote_folder_is_read_without_a_listing(folder, monkeypatch):
    from upath import UPath

    path, remote = folder(2), UPath("memory://zarr-test/session.nwb.zarr")
    for file in path.rglob("*"):
        if file.is_file():
            (remote / file.relative_to(path).as_posix()).write_bytes(file.read_bytes())
    monkeypatch.setattr(type(remote), "iterdir", None)
    assert nwb.takes(remote)
    assert same(read(remote)[0], read(path)[0])


def test_a_remote_hdf5_file_is_read_in_blocks_named_by_its_address(source, monkeypatch):
    from upath import UPath

    remote = UPath("memory://zarr-test/session.nwb")
    remote.write_bytes(source.read_bytes())
    monkeypatch.setattr(type(remote), "read_bytes", None)
    assert same(read(remote)[0], read(source)[0])
    with nwb_tree.opened(remote) as file:
        assert file.filename == str(remote)
        file.close()
    remote.write_bytes(source.read_bytes()[:5000]) if hasattr(remote, "write_bytes") else None
    with pytest.raises(UnreadableFile, match=f"{remote}: "):
        nwb.units()(remote)
    with pytest.raises(UnreadableFile, match="no such file"):
        h5.open_file(UPath("memory://zarr-test/absent.nwb"))


def test_what_hdmf_zarr_writes_is_read(nwb, source, tmp_path):
    hdmf_zarr = pytest.importorskip("hdmf_zarr.nwb", reason="hdmf-zarr needs Python 3.12")
    with NWBHDF5IO(str(source), "r") as io, hdmf_zarr.NWBZarrIO(str(tmp_path / "session.nwb.zarr"), "w") as out:
        out.export(src_io=io, write_args={"link_data": False})
    from neuropile.readers import nwb as reader

    with reader.units()(tmp_path / "session.nwb.zarr") as recording, reader.units()(source) as other:
        assert recording.units.column("src_electrode_group").to_pylist() == other.units.column("src_electrode_group").to_pylist()
        assert same(content(recording), content(other))
        assert len(TRAINS) == recording.trains.n_units
