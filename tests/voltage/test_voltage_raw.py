"""SpikeGLX and mtscomp files: the volts of exactly the samples and channels asked for, from no more chunks than hold them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import mtscomp
import numpy as np
import pytest
from recorded import meta_text, raw_values, write_raw
from servers import serving

from neuropile import remote
from neuropile.errors import NeuropileError, UnreadableFile
from neuropile.voltage import open_voltage

RATE = 30000.390639
VOLTS = 0.6 / 512 / 500  # https://billkarsh.github.io/SpikeGLX/help/metadata: Vmax / Imax / gain


def compress(path: Path, rate: float = 1000.0, **options: Any) -> Path:
    """A flat file as IBL compresses it, in chunks of a second, in a folder of its own with its `.meta`."""
    folder = path.parent / "packed"
    folder.mkdir(exist_ok=True)
    out = folder / path.name.replace(".bin", ".cbin")
    n_channels = int(path.with_suffix(".meta").read_text().partition("nSavedChans=")[2].split()[0])
    more = {"sample_rate": rate, "n_channels": n_channels, "dtype": "int16", "n_threads": 1, "check_after_compress": False, "quiet": True}
    mtscomp.compress(path, out, out.with_suffix(".ch"), **{**more, **options})
    out.with_suffix(".meta").write_text(path.with_suffix(".meta").read_text())
    return out


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return raw_values(5300, 7)


@pytest.fixture(scope="module")
def flat(values: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("raw") / "probe00", values)


def test_flat_samples_are_volts_by_range_bits_and_gain(flat: Path, values: np.ndarray) -> None:
    with open_voltage(flat) as v:
        assert (v.n_samples, v.n_channels, v.rate_hz) == (5300, 6, RATE)
        found = v.read_samples(100, 220)
    assert (found.dims, found.dtype) == (("time", "channel"), np.float32)
    np.testing.assert_array_equal(found.values, (values[100:220, :6] * VOLTS).astype(np.float32))
    np.testing.assert_allclose(found.time.values, np.arange(100, 220) / RATE)
    assert found.valid.values.all()
    assert found.channel.values.tolist() == [f"AP{i}" for i in range(6)]
    assert found.lateral_um.values.tolist() == [27, 59, 27, 59, 27, 59]


def test_each_channel_has_its_own_gain_in_its_band(values: np.ndarray, tmp_path: Path) -> None:
    gains = [(50 * (i + 1), 25 * (i + 1)) for i in range(6)]
    for band, column in (("ap", 0), ("lf", 1)):
        found = open_voltage(write_raw(tmp_path / band, values, band, gains=gains)).read_samples(0, 50)
        expected = values[:50, :6] * (0.6 / 512 / np.array(gains)[:, column])
        np.testing.assert_array_equal(found.values, expected.astype(np.float32))
        assert found.channel.values[3] == f"{band.upper()}3"


def test_a_window_holds_the_samples_from_its_start_up_to_its_end(flat: Path, values: np.ndarray) -> None:
    v = open_voltage(flat)
    times = np.arange(5300) / RATE
    for start, stop in ((0.01, 0.02), (-1, 0.001), (0.17, 9), (times[30], times[40]), (0.1, 0.1)):
        inside = (times >= start) & (times < stop)
        found = v.read(start, stop, [2, 0])
        np.testing.assert_array_equal(found.values, (values[inside][:, [2, 0]] * VOLTS).astype(np.float32))
        np.testing.assert_array_equal(found.time.values, times[inside])


def test_channels_are_named_by_place_id_mask_and_table(flat: Path) -> None:
    v = open_voltage(flat)
    expected = v.read_samples(0, 9).values[:, [1, 4]]
    own = v.channels[v.channels["channel_id"].isin(["AP1", "AP4"])]
    for asked in ([1, 4], ["AP1", "AP4"], slice(1, 5, 3), np.isin(np.arange(6), [1, 4]), range(1, 5, 3), own):
        np.testing.assert_array_equal(v.read_samples(0, 9, asked).values, expected)
    assert v.read_samples(0, 9, 3).shape == (9, 1)
    assert v.read_samples(0, 9, []).shape == (9, 0)


@pytest.mark.parametrize(
    ("channels", "told"),
    [
        ([6], "channels run from 0 to 5, asked for 6$"),
        (["AP9"], "no channel 'AP9' among 6; .* look like 'AP0'"),
        ([True], "a mask of 1 values"),
        ([[0, 1]], "one row"),
    ],
)
def test_channels_that_are_not_there_are_named(flat: Path, channels: Any, told: str) -> None:
    with pytest.raises(NeuropileError, match=told):
        open_voltage(flat).read_samples(0, 9, channels)


@pytest.mark.parametrize("window", [(1.0, 0.5), (5.0, 6.0), (-2.0, -1.0), (float("nan"), 1.0)])
def test_a_window_outside_the_recording_is_refused(flat: Path, window: tuple[float, float]) -> None:
    with pytest.raises(NeuropileError, match=r"must end after its start|recorded from 0 s to 0\.17"):
        open_voltage(flat).read(*window)


def test_samples_outside_are_refused(flat: Path) -> None:
    with pytest.raises(NeuropileError, match="samples run from 0 to 5300, asked for 5299 to 5301"):
        open_voltage(flat).read_samples(5299, 5301)


@pytest.mark.parametrize(
    "options", [{}, {"do_spatial_diff": True}, {"do_time_diff": False}, {"do_time_diff": False, "do_spatial_diff": True, "chunk_order": "C"}]
)
def test_compressed_samples_are_those_that_mtscomp_reads(flat: Path, values: np.ndarray, options: dict[str, Any]) -> None:
    packed = compress(flat, **options)
    oracle = mtscomp.decompress(packed, packed.with_suffix(".ch"), write_output=False, quiet=True)
    v = open_voltage(packed)
    assert (v.n_samples, v.n_channels) == (5300, 6)
    for first, last in ((0, 1), (999, 1001), (1000, 2000), (500, 3700), (5299, 5300), (0, 5300), (700, 700)):
        for columns in ([0, 1, 2, 3, 4, 5], [4], [5, 0, 3]):
            expected = (np.asarray(oracle[first:last])[:, columns] * VOLTS).astype(np.float32)
            np.testing.assert_array_equal(v.read_samples(first, last, columns).values, expected)


def test_only_the_chunks_of_the_window_are_read(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = compress(flat)
    offsets = json.loads(packed.with_suffix(".ch").read_text())["chunk_offsets"]
    asked: list[tuple[int, int]] = []
    real = remote.read_ranges
    v = open_voltage(packed)
    monkeypatch.setattr(remote, "read_ranges", lambda path, ranges: asked.extend(ranges) or real(path, ranges))
    v.read_samples(1500, 2500, [0])
    assert asked == [(offsets[1], offsets[2]), (offsets[2], offsets[3])]


def test_of_a_server_only_the_chunks_of_the_window_cross_the_wire(tmp_path: Path) -> None:
    values = raw_values(60_000, 7)
    flat = write_raw(tmp_path / "probe00", values)
    packed = compress(flat, rate=RATE / 10)
    with serving(tmp_path) as served:
        v = open_voltage(f"{served.url}/probe00/packed/{packed.name}")
        served.forget()
        found = v.read(1.0, 1.01, [0, 5])
        assert served.n_bytes < packed.stat().st_size / 8
    first = int(np.ceil(RATE))
    np.testing.assert_array_equal(found.values, (values[first : first + len(found)][:, [0, 5]] * VOLTS).astype(np.float32))
    assert len(found) == 300


def test_what_a_file_is_shows_by_its_content_and_uuids_count_for_nothing(flat: Path, tmp_path: Path) -> None:
    packed = compress(flat)
    uuid = "0b4aef29-3e9b-4e0f-8e6f-b2f4a5c5e0{}"
    for i, (file, suffix) in enumerate([(packed, "bin"), (packed.with_suffix(".ch"), "ch"), (packed.with_suffix(".meta"), "meta")]):
        (tmp_path / f"x.ap.{uuid.format(10 + i)}.{suffix}").write_bytes(file.read_bytes())
    v = open_voltage(tmp_path / f"x.ap.{uuid.format(10)}.bin")
    np.testing.assert_array_equal(v.read_samples(0, 5300).values, open_voltage(flat).read_samples(0, 5300).values)


@pytest.mark.parametrize(("band", "ratio"), [("ap", 1), ("lf", 12)])
def test_a_probes_clock_beside_the_samples_puts_them_on_the_sessions(band: str, ratio: int, tmp_path: Path) -> None:
    path = write_raw(tmp_path, raw_values(500, 3), band, rate=30000.0 / ratio)
    points = np.array([[0, 10.0], [3000, 10.1002], [6000, 10.2]])  # 30 kHz within 0.2 %
    np.save(tmp_path / "_spikeglx_ephysData_g0_t0.imec0.timestamps.npy", points)
    v = open_voltage(path)
    assert v.notes == ()
    np.testing.assert_allclose(v.read_samples(0, 500).time.values, np.interp(np.arange(500) * ratio, *points.T), rtol=0, atol=1e-12)
    np.testing.assert_allclose(v.sync, points / [ratio, 1])
    assert v.start_s == 10.0
    given = open_voltage(path, sync=[[0, 0], [30000 / ratio, 1.001]])
    assert given.read_samples(3, 4).time.item() == pytest.approx(3 * ratio * 1.001 / 30000)


def test_seconds_of_the_probe_and_of_the_session_serve_too(tmp_path: Path) -> None:
    path = write_raw(tmp_path, raw_values(500, 3), rate=30000.0)
    np.save(tmp_path / "_spikeglx_ephysData_g0_t0.imec0.sync.npy", [[0.0, 5.0], [1.0, 6.002]])
    assert open_voltage(path).read_samples(100, 101).time.item() == pytest.approx(5 + 1.002 * 100 / 30000)


def test_a_clock_that_counts_other_samples_is_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path, raw_values(500, 3), rate=30000.0)
    with pytest.raises(UnreadableFile, match=r"run at 2500 samples a second, its own rate is 30000: they are another recording's"):
        open_voltage(path, sync=[[0, 0], [2500, 1]])


def test_without_one_times_are_the_probes_own_and_that_is_said(flat: Path) -> None:
    v = open_voltage(flat)
    assert v.start_s == 0
    assert v.notes == ("no _spikeglx_ephysData_g0_t0.imec0.timestamps.npy lies beside it: times are those of its own clock, from 0 s at the first sample",)


@pytest.mark.parametrize(
    ("points", "told"),
    [([[0, 1.0]], "at least two"), ([[0, 1.0], [1, 0.5]], "rising"), ([0.0, 1.0], "of two numbers"), ([["a", "b"]], "of two numbers")],
)
def test_a_damaged_clock_is_told(points: Any, told: str, tmp_path: Path) -> None:
    path = write_raw(tmp_path, raw_values(50, 3))
    np.save(tmp_path / "_spikeglx_ephysData_g0_t0.imec0.timestamps.npy", points)
    with pytest.raises(UnreadableFile, match=told):
        open_voltage(path)


def test_invalid_times_are_marked_and_nothing_is_left_out(flat: Path) -> None:
    found = open_voltage(flat, invalid=[[0.01, 0.02]]).read(0.0, 0.03)
    times = found.time.values
    np.testing.assert_array_equal(found.valid.values, ~((times >= 0.01) & (times < 0.02)))
    with pytest.raises(NeuropileError, match="rows of a start and a later stop"):
        open_voltage(flat, invalid=[[2, 1]])


@pytest.mark.parametrize(
    ("more", "volts"),
    [
        ({"imDatPrb_type": "24", "imMaxInt": "8192", "imAiRangeMax": "0.5"}, 0.5 / 8192 / 80),  # 2.0: a fixed gain
        ({"imDatPrb_type": "2013", "imMaxInt": "2048", "imAiRangeMax": "0.62", "imChan0apGain": "100"}, 0.62 / 2048 / 100),  # 2.0, as newer versions write it
        ({"imDatPrb_type": "21", "imAiRangeMax": "0.5"}, 0.5 / 8192 / 80),
        ({"imDatPrb_type": "1110", "~imroTbl": "(1110,2,0,500,250,1)(0 0 0)(1 0 0)"}, 0.6 / 512 / 500),  # gains in the head
        ({"imDatPrb_type": "", "~imroTbl": "(641251510,3,2)(0 0 0 250 125)(1 0 0 250 125)"}, 0.6 / 512 / 250),  # phase 3A
    ],
)
def test_volts_a_bit_are_those_of_the_kind_of_probe(more: dict[str, str], volts: float, tmp_path: Path) -> None:
    values = raw_values(20, 3)
    found = open_voltage(write_raw(tmp_path, values, **more)).read_samples(0, 20)
    np.testing.assert_array_equal(found.values, (values[:, :2] * volts).astype(np.float32))


def test_the_analog_channels_of_the_rig_are_voltage_and_its_digital_words_are_not(tmp_path: Path) -> None:
    values = raw_values(20, 4)
    path = tmp_path / "x.nidq.bin"
    values.tofile(path)
    said = {
        "typeThis": "nidq",
        "nSavedChans": 4,
        "niSampRate": 30003.0,
        "fileSizeBytes": values.nbytes,
        "snsMnMaXaDw": "1,0,2,1",
        "niAiRangeMax": 5,
        "niMNGain": 200,
    }
    path.with_suffix(".meta").write_text("\n".join(f"{k}={v}" for k, v in said.items()))
    found = open_voltage(path).read_samples(0, 20)
    assert found.channel.values.tolist() == ["MN0", "XA0", "XA1"]
    np.testing.assert_array_equal(found.values, (values[:, :3] * (5 / 32768 / np.array([200, 1, 1]))).astype(np.float32))


def test_saved_channels_keep_their_own_names_and_gains(tmp_path: Path) -> None:
    values = raw_values(20, 3)
    path = tmp_path / "x.imec0.ap.bin"
    values.tofile(path)
    gains = [(100 * (i + 1), 50) for i in range(4)]
    text = meta_text(4, n_bytes=values.nbytes, gains=gains, nSavedChans="3", snsApLfSy="2,0,1", snsSaveChanSubset="1,3,8")
    path.with_suffix(".meta").write_text(text)
    found = open_voltage(path).read_samples(0, 20)
    assert found.channel.values.tolist() == ["AP1", "AP3"]
    np.testing.assert_array_equal(found.values, (values[:, :2] * (0.6 / 512 / np.array([200, 400]))).astype(np.float32))
    assert found.lateral_um.values.tolist() == [59, 59]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), "74199 bytes, but its .meta file tells of 74200"),
        (lambda p: p.write_bytes(b""), "empty"),
        (lambda p: p.with_suffix(".meta").unlink(), "no .meta file of SpikeGLX lies beside it"),
        (lambda p: p.with_suffix(".meta").write_text("nothing"), "it lacks snsApLfSy"),
        (lambda p: p.with_suffix(".meta").write_text(meta_text(6, n_bytes=74200, imSampRate="fast")), "could not convert"),
        (lambda p: p.with_suffix(".meta").write_text(meta_text(6, n_bytes=74200, nSavedChans="9")), "it lists 7 channels, nSavedChans is 9"),
        (lambda p: p.with_suffix(".meta").write_text(meta_text(6, n_bytes=74200, gains=[(0, 0)] * 6)), "division by zero"),
        (lambda p: p.with_suffix(".meta").write_text(meta_text(6, n_bytes=74200, snsSaveChanSubset="0:99999999")), "names channel"),
        (lambda p: p.with_suffix(".meta").write_text(meta_text(6, n_bytes=74200, imSampRate="0")), "its rate is 0.0 samples a second"),
        (lambda p: p.unlink(), "no such file"),
    ],
)
def test_a_flat_file_that_does_not_fit_what_is_said_of_it_is_told(change: Any, told: str, values: np.ndarray, tmp_path: Path) -> None:
    path = write_raw(tmp_path, values)
    change(path)
    with pytest.raises(UnreadableFile, match=told) as e:
        open_voltage(path)
    assert path.stem in str(e.value)


def changed(**facts: Any) -> Any:
    def change(path: Path) -> None:
        said = json.loads(path.with_suffix(".ch").read_text())
        path.with_suffix(".ch").write_text(json.dumps(said | facts))

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-5]), r"of 6 chunks 5 are whole; fetch the file again"),
        (changed(n_channels=10**9), "1000000000 channels"),
        (changed(n_channels=9), "tells of 9 channels, its .meta file of 7"),
        (changed(dtype="O"), "values of type object"),
        (changed(dtype="no type"), "damaged"),
        (changed(algorithm="pickle"), "algorithm 'pickle', where only zlib is known"),
        (changed(sample_rate=float("nan")), "nan samples a second"),
        (changed(chunk_bounds=[0, 10, 5]), "must rise from 0"),
        (changed(chunk_bounds=[[0], [1]]), "must rise from 0"),
        (changed(chunk_bounds="much"), "damaged"),
        (changed(chunk_offsets=[]), "damaged"),
        (changed(chunk_offsets=None), "damaged"),
        (changed(dtype="(,)i2"), "damaged"),
        (changed(dtype=None), "damaged"),
        (changed(chunk_order="Z"), "chunk_order 'Z'"),
        (lambda p: p.with_suffix(".ch").write_text("{"), "not the .ch file of mtscomp"),
        (lambda p: p.with_suffix(".ch").write_text("[]"), "not the .ch file of mtscomp"),
    ],
)
def test_a_compressed_file_that_does_not_fit_what_is_said_of_it_is_told(change: Any, told: str, flat: Path) -> None:
    path = compress(flat)
    change(path)
    with pytest.raises(UnreadableFile, match=told) as e:
        open_voltage(path)
    assert path.stem in str(e.value)


def test_a_damaged_chunk_is_named_and_the_others_are_read(flat: Path, values: np.ndarray) -> None:
    path = compress(flat)
    offsets = json.loads(path.with_suffix(".ch").read_text())["chunk_offsets"]
    data = bytearray(path.read_bytes())
    data[offsets[2] + 20] ^= 0xFF
    path.write_bytes(data)
    v = open_voltage(path)
    np.testing.assert_array_equal(v.read_samples(0, 2000).values, (values[:2000, :6] * VOLTS).astype(np.float32))
    with pytest.raises(UnreadableFile, match=r"chunk 2 of 6 \(samples 2000 to 3000\) is damaged"):
        v.read_samples(1990, 2001)


def test_a_chunk_that_would_unpack_to_more_than_it_announces_is_refused_before_it_does(flat: Path) -> None:
    path = compress(flat)
    bomb = zlib.compress(bytes(1 << 24))
    path.write_bytes(bomb)
    changed(chunk_offsets=[0, len(bomb)], chunk_bounds=[0, 100])(path)
    with pytest.raises(UnreadableFile, match=r"chunk 0 of 1 .* is damaged: it holds 1401 bytes of 1400"):
        open_voltage(path).read_samples(0, 10)
    changed(chunk_offsets=[0, len(bomb)], chunk_bounds=[0, 10**12])(path)
    with pytest.raises(UnreadableFile, match="announces 14000000000000 bytes in"):
        open_voltage(path).read_samples(0, 10)


def test_asked_for_what_describes_samples_the_samples_are_named(flat: Path) -> None:
    packed = compress(flat)
    for suffix in (".ch", ".meta"):
        with pytest.raises(UnreadableFile, match="describes samples, and holds none"):
            open_voltage(packed.with_suffix(suffix))


def test_a_file_that_is_not_there_is_named_here_and_far_away(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        for place in (tmp_path / "x.cbin", f"{served.url}/x.cbin"):
            with pytest.raises(UnreadableFile, match=r"x\.cbin: no such file"):
                open_voltage(place)


def test_a_file_that_shrinks_after_it_was_opened_is_told(values: np.ndarray, tmp_path: Path) -> None:
    path = write_raw(tmp_path, values)
    v = open_voltage(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UnreadableFile, match=r"ap\.bin.* cannot be read .*cut short"):
        v.read_samples(0, 5300)


def test_options_of_other_formats_are_refused(flat: Path) -> None:
    with pytest.raises(NeuropileError, match="is no NWB file, so it has no series 'x'"):
        open_voltage(flat, "x")
