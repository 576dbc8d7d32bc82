"""Video: the frame that is shown at a time, whatever order and rate the file keeps its frames in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import xarray as xr
from movies import HEIGHT, WIDTH, movie, shown
from servers import serving

from neuropile import video
from neuropile.errors import MissingExtra, NeuropileError, NotThere, UnreadableFile
from neuropile.types import Linked

N = 100
UNEVEN: dict[str, Any] = {"step": lambda k: 100 + 10 * (k % 7), "start": 900}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "frames out of order": ("a.mp4", {}),
    "frames in order": ("a.mp4", {"bf": "0"}),
    "uneven, from 0.3 s on": ("a.mp4", UNEVEN),
    "uneven, of a camera's QuickTime": ("a.mov", UNEVEN),
    "groups that lean on each other": ("a.mp4", {"x264__params": "open-gop=1:keyint=20:bframes=5:b-adapt=0"}),
    "an older codec": ("a.mp4", {"codec": "mpeg4", "bf": "2"}),
    "AVI": ("a.avi", {"codec": "mpeg4", "bf": "0"}),
    "Matroska": ("a.mkv", UNEVEN),
    "Matroska with groups that lean on each other": ("a.mkv", {"x264__params": "open-gop=1:keyint=20:bframes=5:b-adapt=0"}),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "_iblrig_leftCamera.raw.mp4"
    movie(path, N)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_the_frame_shown_at_a_time_is_that_frame(kind: str, tmp_path: Path) -> None:
    name, options = KINDS[kind]
    times = movie(tmp_path / name, N, **options)
    with video.open_video(tmp_path / name) as found:
        assert (found.n_frames, found.size) == (N, (WIDTH, HEIGHT))
        np.testing.assert_allclose(found.times_s, times, atol=6e-4)  # Matroska keeps whole milliseconds
        for k in (0, 1, 19, 20, 21, 50, 77, N - 2, N - 1):
            assert shown(found.frame(found.times_s[k])) == k
            assert shown(found.frame(found.times_s[k] + 0.01)) == k
            assert shown(found.frame_number(k)) == k


def test_every_frame_decodes_in_any_order_as_from_the_first_on(plain: Path) -> None:
    with av.open(str(plain)) as container:
        every = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    with video.open_video(plain) as found:
        for k in np.random.default_rng(0).permutation(N):
            np.testing.assert_array_equal(found.frame_number(int(k)), every[k])


@pytest.mark.parametrize("kind", ["frames out of order", "uneven, from 0.3 s on"])
def test_without_the_files_index_its_packets_tell_the_same(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a PyAV that gives no index, and of files in pieces."""
    name, options = KINDS[kind]
    movie(tmp_path / name, N, **options)
    with video.open_video(tmp_path / name) as indexed:
        monkeypatch.setattr(video.Video, "_indexed", video.Video._scanned)
        with video.open_video(tmp_path / name) as scanned:
            np.testing.assert_array_equal(scanned.times_s, indexed.times_s)
            for k in (0, 50, N - 1):
                np.testing.assert_array_equal(scanned.frame_number(k), indexed.frame_number(k))


def test_one_frame_costs_the_decoding_of_its_group_and_no_more(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = []
    decode = video.Video._shown
    monkeypatch.setattr(video.Video, "_shown", lambda self, packets, *more: fed.append(len(packets)) or decode(self, packets, *more))
    with video.open_video(plain) as found:
        assert shown(found.frame_number(85)) == 85
        assert shown(found.frame_number(2)) == 2
    assert len(fed) == 2
    assert fed[0] <= 20
    assert fed[1] <= 3 + video._REORDER


@pytest.mark.parametrize("n_cut", [10, 20, 33])
def test_frames_that_were_trimmed_away_and_stay_in_the_file_are_not_counted(n_cut: int, plain: Path, tmp_path: Path) -> None:
    """As `ffmpeg -ss -c copy` cuts: frames that others are made from stay, and the file says from when on it is shown."""
    data = bytearray(plain.read_bytes())
    at = data.find(b"elst") + 16
    delay = int.from_bytes(data[at : at + 4], "big")
    data[at : at + 4] = (delay + 400 * n_cut).to_bytes(4, "big")
    (tmp_path / "cut.mp4").write_bytes(data)
    with av.open(str(tmp_path / "cut.mp4")) as container:
        expected = [shown(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    with video.open_video(tmp_path / "cut.mp4") as found:
        assert found.n_frames == len(expected) == N - n_cut
        for k in (0, 1, 50, N - n_cut - 1):
            assert shown(found.frame_number(k)) == expected[k] == k + n_cut


def test_a_grey_video_gives_height_by_width(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "grey.avi"), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 40, 30, "gray"
        for k in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((30, 40), 10 * k, np.uint8), format="gray")))
        container.mux(stream.encode())
    with video.open_video(tmp_path / "grey.avi") as found:
        frame = found.frame_number(3)
    assert (frame.shape, frame.dtype, set(frame.ravel().tolist())) == ((30, 40), np.uint8, {30})


def test_given_times_take_the_place_of_the_files_own(plain: Path) -> None:
    times = 100 + np.arange(N) / 60
    with video.open_video(plain, times) as found:
        assert [shown(found.frame(times[k])) for k in (0, 50, N - 1)] == [0, 50, N - 1]
        assert found.fps == pytest.approx(60)
        with pytest.raises(NeuropileError, match=r"no frame is shown at 99.9 s; there are 100, from 100.000000 s"):
            found.frame(99.9)
        with pytest.raises(NeuropileError, match="no frame is shown at 200"):
            found.frame(200)


def test_of_more_times_than_frames_the_last_are_taken(plain: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "times.npy", np.arange(N + 7) / 10)
    with video.open_video(plain, tmp_path / "times.npy") as found:
        np.testing.assert_array_equal(found.times_s, np.arange(7, N + 7) / 10)
        assert shown(found.frame(0.7)) == 0


def test_fewer_times_than_frames_are_refused(plain: Path) -> None:
    with pytest.raises(NeuropileError, match="99 times for 100 frames"):
        video.open_video(plain, np.arange(N - 1))


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (np.arange(N)[::-1] / 10, r"the times fall, from 9\.900000 s at frame 0 to 9\.800000 s at frame 1; pass times that rise"),
        (np.full(N, np.nan), r"of the times of its 100 frames none is known \(all are NaN\)"),
        (np.full(N, np.inf), "some are infinite"),
        (np.zeros((3 * N, 2)), r"one row of seconds, a number a frame; found an array of shape \(300, 2\)"),
        (["a"] * N, "that are no numbers"),
    ],
)
def test_times_that_are_none_are_refused(times: Any, told: str, plain: Path) -> None:
    with pytest.raises(NeuropileError, match=told):
        video.open_video(plain, times)


def test_several_frames_at_once_are_refused(plain: Path) -> None:
    with video.open_video(plain) as found:
        for asked in ([0.5, 1], np.array([0.5]), "0.5", None):
            with pytest.raises(NeuropileError, match="asked for by one time in seconds, not by"):
                found.frame(asked)
        for asked in ([1, 2], 2.5):
            with pytest.raises(NeuropileError, match="asked for by one whole number, not by"):
                found.frame_number(asked)
        assert shown(found.frame(np.float32(0.5))) == shown(found.frame(np.array(0.5))) == shown(found.frame_number(np.int64(15)))


def test_a_frame_without_a_time_is_passed_over(plain: Path) -> None:
    times = np.arange(N) / 10.0
    times[5] = np.nan
    with video.open_video(plain, times) as found:
        assert [shown(found.frame(t)) for t in (0.4, 0.5, 0.6)] == [4, 4, 6]


def test_a_closed_video_is_told_to_be_so_and_still_says_what_it_was(plain: Path) -> None:
    found = video.open_video(plain)
    found.close()
    assert "100 frames of 128 x 64 at 30 a second" in repr(found)
    with pytest.raises(NeuropileError, match="is closed; open it again"):
        found.frame_number(0)


def test_frames_that_are_not_there_are_refused(plain: Path) -> None:
    with video.open_video(plain) as found:
        for k in (-1, N):
            with pytest.raises(NeuropileError, match=f"frames run from 0 to 99, asked for {k}"):
                found.frame_number(k)


@pytest.mark.parametrize(
    ("name", "options", "told"), [("a.mp4", {}, "0 frames found"), ("a.mp4", {"movflags": "faststart"}, r"\d\d whole frames of \d+ were found")]
)
def test_a_file_that_is_cut_off_tells_how_many_frames_it_has(name: str, options: dict[str, str], told: str, tmp_path: Path) -> None:
    movie(tmp_path / name, N, **options)
    whole = (tmp_path / name).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(UnreadableFile, match=rf"cut\.mp4: .*{told}"):
        video.open_video(cut)


def test_of_a_damaged_file_a_frame_is_told_to_be_so_or_is_that_frame(tmp_path: Path) -> None:
    movie(tmp_path / "a.mp4", N)
    whole = bytearray((tmp_path / "a.mp4").read_bytes())
    first, last = whole.find(b"mdat") + 4, whole.find(b"moov") - 44
    rng = np.random.default_rng(0)
    n_told = 0
    for _ in range(20):
        bad = whole.copy()
        at = int(rng.integers(first, last))
        bad[at : at + 40] = rng.bytes(40)
        (tmp_path / "bad.mp4").write_bytes(bad)
        with video.open_video(tmp_path / "bad.mp4") as found:
            for k in (0, 15, 50, 75, 99):
                try:
                    assert shown(found.frame_number(k)) == k
                except UnreadableFile as e:
                    assert f"bad.mp4: frame {k} of 100" in str(e)  # noqa: PT017
                    n_told += 1
    assert n_told > 4


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"just some text, longer than a header", "begin as no video does"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "begin as no video does"),
        (b"\0\0\0\x20ftypisom" + bytes(1000), "not a readable video"),
    ],
)
def test_what_is_no_video_is_told_and_opens_no_other_file(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(UnreadableFile, match=told):
        video.open_video(tmp_path / "x.mp4")


def test_an_avi_that_keeps_no_times_of_its_frames_is_refused_with_the_way_out(tmp_path: Path) -> None:
    movie(tmp_path / "a.avi", N)
    with pytest.raises(UnreadableFile, match=r"ffmpeg -i a\.avi new\.mp4"):
        video.open_video(tmp_path / "a.avi")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"nowhere\.mp4: no such file"):
        video.open_video(tmp_path / "nowhere.mp4")


def test_without_pyav_the_extra_is_named(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"neuropile\[video\]"):
        video.open_video(plain)


def test_importing_the_module_loads_no_pyav() -> None:
    code = "import neuropile.video, sys; print('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_a_video_far_away_is_read_where_it_lies(plain: Path) -> None:
    with serving(plain.parent) as served, video.open_video(f"{served.url}/{plain.name}") as found:
        assert [shown(found.frame_number(k)) for k in (0, 50, N - 1)] == [0, 50, N - 1]
    with serving(plain.parent) as served, pytest.raises(UnreadableFile, match=r"nowhere\.mp4: no such file"):
        video.open_video(f"{served.url}/nowhere.mp4")


def session_with(path: str, **facts: Any) -> Any:
    """As much of a session as tells of a video."""
    times = 5 + np.arange(N + 3) / 60
    signals = {"left_camera": xr.DataArray(np.zeros(N + 3), dims="time", coords={"time": times})}
    return SimpleNamespace(
        key="ibl/x", linked={"left_camera": Linked(path, "video", clock="left_camera", **facts)}, signals=signals, absent={"body_camera": "no file"}
    )


def test_a_sessions_video_has_its_cameras_times(plain: Path) -> None:
    session = session_with(f"raw_video_data/{plain.name}")
    folder = plain.parent / "001"
    (folder / "raw_video_data").mkdir(parents=True)
    (folder / "raw_video_data" / plain.name).write_bytes(plain.read_bytes())
    with video.of(session, "left_camera", folder) as found:
        assert shown(found.frame(5 + 3 / 60)) == 0
        assert shown(found.frame(5 + 102.5 / 60)) == 99
    with pytest.raises(NotThere, match="'body_camera' \\(no file\\)"):
        video.of(session, "body_camera", folder)
    with pytest.raises(NeuropileError, match="pass root="):
        video.of(session, "left_camera", plain.parent)
    with pytest.raises(NeuropileError, match="pass root="):
        video.of(session, "left_camera")


def test_a_linked_file_never_leads_out_of_its_folder(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "link.mp4").symlink_to(plain)
    with pytest.raises(NeuropileError, match="leads out of"):
        video.of(session_with("link.mp4"), "left_camera", tmp_path / "session")
