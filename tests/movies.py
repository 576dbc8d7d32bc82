"""Videos of tests: frame k shows k, in eight stripes that are bright where its bits are set."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 128, 64


def movie(path: Path, n: int = 100, *, codec: str = "libx264", step: Callable[[int], int] = lambda k: 100, start: int = 0, **options: str) -> np.ndarray:
    """Write n frames and return when each is shown, in seconds; `step` and `start` are in 1/3000 s."""
    base = Fraction(1, 3000)
    times = start + np.r_[0, np.cumsum([step(k) for k in range(n - 1)])].astype(int)
    muxing = {k: v for k, v in options.items() if k == "movflags"}
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"g": "20", "bf": "3", **{k.replace("__", "-"): v for k, v in options.items() if k not in muxing}}
        stream.codec_context.time_base = base
        for k in range(n):
            stripes = np.repeat([255 * (k >> bit & 1) for bit in range(8)], WIDTH // 8).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.broadcast_to(stripes[None, :, None], (HEIGHT, WIDTH, 3)).copy(), format="rgb24")
            frame.pts, frame.time_base = int(times[k]), base
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return times / 3000


def shown(frame: np.ndarray) -> int:
    """Which frame a picture is of."""
    grey = frame if frame.ndim == 2 else frame[..., 0]
    stripes = grey[HEIGHT // 3 : 2 * HEIGHT // 3].reshape(-1, 8, WIDTH // 8)[..., 5:-5]
    return int(sum(1 << bit for bit in range(8) if stripes[:, bit].mean() > 128))
