"""What a session says of its channels, of files that were not copied, and of what it lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from neuropile import open_store, testing, verifying
from neuropile.errors import NotThere, UnreadableFile
from neuropile.types import Linked, Recording

CHANNELS = pa.table({"channel_id": ["850", "851"], "depth_um": [20.0, 40.0], "region": ["VISp5", None], "imp": [1.5, 2.5]})
VIDEO = Linked("raw_video_data/_iblrig_leftCamera.raw.mp4", "video", clock="left_camera", note="60 frames a second")


def whole(**changed: object) -> Recording:
    made = replace(testing.recording(0), channels=CHANNELS, linked={"left_camera": VIDEO}, absent={"licks": "no licks.times in the folder"})
    return replace(made, **changed)  # type: ignore[arg-type]


def test_they_come_back_as_they_were_given(tmp_path: Path) -> None:
    testing.store(tmp_path / "store", [whole()])
    session = open_store(tmp_path / "store")["test/session-0"]
    assert session.channels[["channel_id", "depth_um", "src_imp"]].to_numpy().tolist() == [["850", 20.0, 1.5], ["851", 40.0, 2.5]]
    assert session.channels["region"].isna().tolist() == [False, True]
    assert session.linked == {"left_camera": VIDEO}
    assert session.absent == {"licks": "no licks.times in the folder"}
    assert verifying.verify(tmp_path / "store") == []


def test_what_is_absent_is_told_with_its_reason(tmp_path: Path) -> None:
    session = testing.store(tmp_path / "store", [whole(absent={"licks": "no licks.times", "pupil_left": "no features"})])["test/session-0"]
    with pytest.raises(NotThere, match=r"no intervals 'licks' \(no licks.times\)"):
        session.intervals["licks"]
    with pytest.raises(NotThere, match=r"no signal 'pupil_left' \(no features\)"):
        session.signals["pupil_left"]


def test_a_session_without_channels_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="no table of channels"):
        testing.store(tmp_path / "store")["test/session-0"].channels  # noqa: B018


def test_channels_are_part_of_what_a_session_holds(tmp_path: Path) -> None:
    other = CHANNELS.set_column(1, "depth_um", pa.array([20.0, 60.0]))
    digests = {
        testing.store(tmp_path / str(i), [made])["test/session-0"].record["content_digest"]
        for i, made in enumerate((whole(), whole(channels=other), whole(channels=None)))
    }
    assert len(digests) == 3


@pytest.mark.parametrize("ids", [["a", "a"], ["a", None]])
def test_channels_have_names_of_their_own(ids: list[str | None]) -> None:
    with pytest.raises(UnreadableFile, match="channel_id"):
        whole(channels=pa.table({"channel_id": ids}))


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x.mp4", "a/../../x.mp4"])
def test_a_linked_file_lies_in_its_session(path: str) -> None:
    with pytest.raises(UnreadableFile, match="leaves the session's folder"):
        Linked(path, "video")
