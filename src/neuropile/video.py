"""Video, a frame at a time: opened by its index, and decoded from the nearest key frame on."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from neuropile import linked, remote
from neuropile.errors import MissingExtra, NeuropileError, UnreadableFile

#: What a file begins with, and what FFmpeg calls its format. Others (playlists) make it open further files, and are refused.
_FORMATS = (
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (4, b"free", "mov"),
    (0, b"RIFF", "avi"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
)
#: No codec shows a frame more than so many frames after it was stored (16 in H.264 and H.265).
_REORDER = 32
_MAX_PIXELS = 1 << 28
_REMOTE_BLOCK = 1 << 20


@dataclass(frozen=True)
class _Index:
    """The frames of a file in the order in which they are stored, which is not the order in which they are shown.

    stamp : (frame,) a number by which a packet is known, its `pts` where `by_pts`, else its `dts`
    key : (frame,) whether it can be decoded without another
    kept : (frame,) whether it is shown: what was trimmed away stays in a file where others are made from it
    """

    stamp: np.ndarray
    key: np.ndarray
    kept: np.ndarray
    by_pts: bool

    @cached_property
    def ranks(self) -> np.ndarray:
        """(shown frame,) which of all frames each is, in the order of their times; an index without these trims nothing."""
        return np.flatnonzero(self.kept[np.argsort(self.stamp)] if self.by_pts else self.kept)

    @cached_property
    def place(self) -> dict[int, int]:
        """Where in the file a packet stands, by its stamp."""
        return {int(s): i for i, s in enumerate(self.stamp)}

    def key_before(self, frame: int) -> int:
        """The last key frame that stands at or before a place."""
        return int(np.flatnonzero(self.key[: frame + 1])[-1])


class Video:
    """A video whose frames are decoded when they are asked for.

    n_frames : how many; size : (width, height) in pixels
    times_s : (frame,) seconds, of the camera where they were given, else of the file itself
    """

    def __init__(self, place: Any, times_s: Any = None) -> None:
        """See open_video."""
        self.name = str(place)
        self._container, self._size_bytes = _opened(place)
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.options = {"err_detect": "explode"}  # or what is damaged is painted over
        codec = self._stream.codec_context
        # kept beside the stream, which is not to be asked once its file is closed
        self._second, self._average = (_number(r) for r in (self._stream.time_base, self._stream.average_rate))
        self._has_b_frames = bool(codec.has_b_frames)
        self._is_open = True
        self.size = (int(codec.width), int(codec.height))
        try:
            if not 0 < codec.width * codec.height <= _MAX_PIXELS:
                raise UnreadableFile(f"{self.name}: its frames have {codec.width} x {codec.height} pixels: the file is damaged; fetch it again")
            self._index = self._indexed()
            self._given = None if times_s is None else _fitting(times_s, self.n_frames, self.name)
        except BaseException:
            self.close()
            raise

    @property
    def n_frames(self) -> int:
        """Frames of the file."""
        return len(self._index.ranks)

    @cached_property
    def times_s(self) -> np.ndarray:
        """See Video; the file's own cost reading it once, undecoded, where its frames are stored out of order."""
        if self._given is not None:
            return self._given
        index, shift = self._index, 0
        if not index.by_pts and (self._has_b_frames or len({pts - dts for pts, dts in self._beginning}) > 1):
            index = self._scanned()
        elif not index.by_pts:
            shift = self._delay
        return (np.sort(index.stamp[index.kept]) + shift) * self._second

    @property
    def fps(self) -> float:
        """Frames a second: of the camera where its times were given (their median), else on average of the file."""
        steps = np.diff(self._given) if self._given is not None else np.empty(0)
        steps = steps[np.isfinite(steps) & (steps > 0)]
        if steps.size:
            return float(1 / np.median(steps))
        if self._index.by_pts and self.n_frames > 1:
            return float((self.n_frames - 1) / (self.times_s[-1] - self.times_s[0]))
        return self._average

    def __len__(self) -> int:
        return self.n_frames

    def __repr__(self) -> str:
        return f"<Video {self.name}: {self.n_frames} frames of {self.size[0]} x {self.size[1]} at {self.fps:.6g} a second>"

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._is_open = False
        self._container.close()

    def number_at(self, at_s: float) -> int:
        """The frame shown at a time: the last whose time is not after it.

        Raises
        ------
        NeuropileError : no frame is shown then, or it is not one time
        """
        if isinstance(at_s, str) or np.ndim(at_s) or not hasattr(at_s, "__float__"):
            raise NeuropileError(f"{self.name}: a frame is asked for by one time in seconds, not by {at_s!r:.60}; ask for each")
        at_s, times = float(at_s), self.times_s
        shown = np.flatnonzero(times <= at_s)
        known = times[np.isfinite(times)]
        if not shown.size or at_s > known.max() + 1.5 / (self.fps or np.inf):
            told = f"from {known.min():.6f} s to {known.max():.6f} s" if known.size else "at no known time"
            raise NeuropileError(f"{self.name}: no frame is shown at {at_s} s; there are {self.n_frames}, {told}")
        return int(shown[-1])

    def frame(self, at_s: float) -> np.ndarray:
        """The frame shown at a time, the last whose time is not after it: (height, width) uint8 of a grey video, else (height, width, 3) RGB.

        Raises
        ------
        NeuropileError : no frame is shown then
        UnreadableFile : the file is damaged there
        """
        return self.frame_number(self.number_at(at_s))

    def frame_number(self, number: int) -> np.ndarray:
        """A frame by its number from 0 on, in the order in which they are shown: see frame. Only its group of frames is decoded."""
        try:
            number = operator.index(number)
        except TypeError:
            raise NeuropileError(f"{self.name}: a frame is asked for by one whole number, not by {number!r:.60}; ask for each") from None
        if not 0 <= number < self.n_frames:
            raise NeuropileError(f"{self.name}: frames run from 0 to {self.n_frames - 1}, asked for {number}")
        with self._clear_errors(number):
            found = self._decoded(int(self._index.ranks[number]))
        if found is None:
            raise UnreadableFile(f"{self.name}: frame {number} of {self.n_frames} is damaged; fetch the file again")
        return found

    def _decoded(self, rank: int) -> np.ndarray | None:
        """The frame that is the so many-th of all by time; None where it is damaged."""
        start = rank
        while True:
            at, packets = self._from_key(start, rank)
            stamps = np.array([p.pts for p in packets])
            leading = int((stamps < stamps[0]).sum())  # stored after the key frame, shown before it, made from the group before
            if rank >= at + leading:
                break
            start = at - 1
            if start < 0:
                return None
        own = np.sort(stamps[stamps >= stamps[0]])[rank - at - leading :]
        if not own.size:
            return None
        found = self._shown(packets, int(own[0]))
        if found is None and at > 0:  # groups that lean on the one before (open GOP) look damaged where decoding begins with them
            before, more = self._from_key(at - 1, rank)
            found = self._shown(more, int(own[0]), at - before)
        return found

    def _shown(self, packets: list[Any], wanted: int, n_before: int = 0) -> np.ndarray | None:
        """The frame of a time, decoded from these packets; None where those it is made of, all but the first few, are damaged."""
        import av

        its_own = next((i for i, p in enumerate(packets) if p.pts == wanted), -1)
        self._stream.codec_context.flush_buffers()
        for i, packet in enumerate([*packets, None]):
            try:
                frames = self._stream.decode(packet)
            except av.error.FFmpegError:
                if n_before <= i <= its_own:
                    return None
                continue
            for frame in frames:
                if frame.pts == wanted:
                    return None if frame.is_corrupt else frame.to_ndarray(format="gray" if frame.format.name.startswith("gray") else "rgb24")
        return None

    def _from_key(self, start: int, rank: int) -> tuple[int, list[Any]]:
        """The packets from the last key frame at or before the place `start` on, until all that are shown up to a frame are there; and its place."""
        index, stream = self._index, self._stream
        key = index.key_before(start)
        for seek in (int(index.stamp[key]) + (0 if index.by_pts else self._delay), int(index.stamp[key]), int(index.stamp[0])):
            self._container.seek(seek, stream=stream, backward=True)
            packets: list[Any] = []
            at = -1
            for packet in self._container.demux(stream):
                if not packet.size:
                    break
                if not packets:
                    at = index.place.get(packet.pts if index.by_pts else packet.dts, -1)
                    if not 0 <= at <= start:
                        break
                packets.append(packet)
                if at + len(packets) > rank + _REORDER:
                    break
            if packets and all(p.pts is not None for p in packets):
                return at, packets
        raise UnreadableFile(f"{self.name}: its frames cannot be sought; {self._anew}")

    @property
    def _anew(self) -> str:
        return f"write the video anew, as with: ffmpeg -i {Path(self.name).name} new.mp4"

    @cached_property
    def _beginning(self) -> list[tuple[int, int]]:
        """When the first packets are shown and decoded."""
        with self._clear_errors():
            self._container.seek(int(self._index.stamp[0]), stream=self._stream, backward=True)
            packets = islice(self._container.demux(self._stream), _REORDER)
            return [(p.pts, p.dts) for p in packets if p.pts is not None and p.dts is not None]

    @property
    def _delay(self) -> int:
        """How much later than it is decoded the first frame is shown: containers that store frames out of order seek by this."""
        return min((pts for pts, _ in self._beginning), default=0) - int(self._index.stamp[0])

    def _indexed(self) -> _Index:
        """The index the file keeps, where it keeps one that is whole; else of its packets, read once."""
        stream = self._stream
        kept = list(getattr(stream, "index_entries", ()))  # which PyAV has since 17
        if not kept or self._container.format.name != "mov" or len(kept) != stream.frames or any(e.is_discard for e in kept):
            return self._scanned()
        ends = np.array([e.pos + e.size for e in kept])
        if (ends > self._size_bytes).any():
            raise UnreadableFile(f"{self.name}: cut off: {int((ends <= self._size_bytes).sum())} whole frames of {len(kept)} were found; fetch the file again")
        stamps = np.array([e.timestamp for e in kept], np.int64)
        return self._checked(_Index(stamps, np.array([e.is_keyframe for e in kept]), np.ones(len(kept), bool), by_pts=False))

    def _scanned(self) -> _Index:
        with self._clear_errors():
            self._container.seek(0)
            found = [(p.pts, p.is_keyframe, not p.is_discard, not p.is_corrupt) for p in self._container.demux(self._stream) if p.size]
        stamps, key, kept, whole = ([f[i] for f in found] for i in range(4))
        if not all(whole):
            raise UnreadableFile(f"{self.name}: cut off or damaged: {sum(whole)} whole frames were found; fetch the file again")
        unordered = self._container.format.name == "avi" and self._has_b_frames  # AVI keeps no times but this order's
        if None in stamps or unordered:
            raise UnreadableFile(f"{self.name}: its {len(stamps)} frames are stored without the times they are shown; {self._anew}")
        return self._checked(_Index(np.array(stamps, np.int64), np.array(key, bool), np.array(kept, bool), by_pts=True))

    def _checked(self, index: _Index) -> _Index:
        if not index.kept.any() or not index.key[0] or len(index.place) != len(index.stamp):
            told = f"{len(index.stamp)} frames were found, {'the first of which needs others' if len(index.stamp) else 'nothing to begin with'}"
            raise UnreadableFile(f"{self.name}: damaged: {told}, or two have one time; fetch the file again")
        return index

    @contextmanager
    def _clear_errors(self, number: int | None = None) -> Iterator[None]:
        import av

        if not self._is_open:
            raise NeuropileError(f"{self.name} is closed; open it again")
        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as e:
            told = f"frame {number} of {self.n_frames}" if number is not None else "it"
            raise UnreadableFile(f"{self.name}: {told} does not decode ({e}); fetch the file again") from None


def open_video(path: Any, times_s: Any = None) -> Video:
    """Open a video; of MP4 files only the index is read, of others every packet once, and no frame is decoded.

    Parameters
    ----------
    path : a path or a URL, of an MP4 or MOV, AVI or Matroska file
    times_s : (frame,) seconds of each frame, an array or an .npy file: a camera's. Of more times than frames the last are
        taken, for cameras send pulses before the first frame is kept. They never fall; NaN is a frame whose time is not
        known, and is never shown

    Raises
    ------
    MissingExtra : PyAV is not installed
    UnreadableFile : no such file, no video, cut off or damaged
    NeuropileError : there are fewer times than frames, they fall, none is known, or they are no row of numbers
    """
    place = remote.as_path(path)
    if isinstance(times_s, str | Path):
        from neuropile.readers import npy

        times_s = npy.vector(remote.as_path(times_s))
    return Video(place, times_s)


def of(session: Any, name: str, root: Any = None) -> Video:
    """The video a session tells of, with the times of its camera.

    Parameters
    ----------
    session : a stored session; name : one of `session.linked`, of kind "video"
    root : the folder the session was read from; without it the file's URL, where it has one

    Raises
    ------
    NeuropileError : the session tells of no such file, or it is not below `root`; or see open_video
    """
    told = linked.find(session, name, ("video",))
    times = None if told.clock is None else session.signals[told.clock]["time"].values
    return open_video(linked.place(told, root), times)


def _number(rational: Any) -> float:
    """A fraction of PyAV as a number, 0 where it is not known: it has kinds of its own since 19."""
    return rational.numerator / rational.denominator if rational else 0.0


def _fitting(times_s: Any, n_frames: int, name: str) -> np.ndarray:
    try:
        times = np.asarray(times_s, np.float64)
    except (TypeError, ValueError):
        raise NeuropileError(f"{name}: times are one row of seconds, a number a frame; found {np.asarray(times_s, object).dtype} that are no numbers") from None
    if times.size != max(times.shape, default=0):
        raise NeuropileError(f"{name}: times are one row of seconds, a number a frame; found an array of shape {times.shape}")
    times = times.reshape(-1)
    if len(times) < n_frames:
        raise NeuropileError(f"{name}: {len(times)} times for {n_frames} frames: nothing says which frames have none; pass the camera's own times, or none")
    times = times[len(times) - n_frames :]
    at = np.flatnonzero(~np.isnan(times))
    if not at.size or np.isinf(times).any():
        told = "none is known (all are NaN)" if not at.size else "some are infinite"
        raise NeuropileError(f"{name}: of the times of its {n_frames} frames {told}; pass the camera's own times in seconds, or none")
    falls = np.flatnonzero(np.diff(times[at]) < 0)
    if falls.size:
        a, b = at[falls[0]], at[falls[0] + 1]
        raise NeuropileError(f"{name}: the times fall, from {times[a]:.6f} s at frame {a} to {times[b]:.6f} s at frame {b}; pass times that rise, or none")
    return times


def _opened(place: Any) -> tuple[Any, int]:
    """The file as PyAV opens it, by what it begins with, and its size."""
    try:
        import av
    except ImportError:
        raise MissingExtra("reading video", "video") from None
    size = linked.size(place)
    (head,) = remote.read_ranges(place, [(0, min(size, 12))])
    kind = next((name for at, magic, name in _FORMATS if head[at : at + len(magic)] == magic), None)
    if kind is None:
        raise UnreadableFile(f"{place}: {size} bytes that begin as no video does (sought MP4, AVI or Matroska); fetch it again")
    source = place.open("rb", block_size=_REMOTE_BLOCK, cache_type="blockcache") if remote.is_remote(place) else str(place.resolve())
    try:
        container = av.open(source, format=kind)
    except (av.error.FFmpegError, OSError, ValueError) as e:
        raise UnreadableFile(f"{place}: not a readable video ({e}), 0 frames found: it is cut off or damaged; fetch it again") from None
    if not container.streams.video or container.streams.video[0].codec_context is None:
        container.close()
        raise UnreadableFile(f"{place}: holds no video that can be decoded, 0 frames found")
    return container, size
