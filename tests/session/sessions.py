"""Sessions to read, and plain readings to compare them with."""

import numpy as np
from hypothesis import settings

from neuropile.session import Session
from neuropile.types import Recording
from neuropile.writing import Provenance, write_session

N = 9
#: Each example reads a stored session: fewer do.
few = settings(max_examples=settings().max_examples // 4)
KINDS = {
    "plain": {},
    "negative": {"start_s": -30.0},
    "late": {"start_s": 30_000.0},
    "gaps": {"observed": "gaps", "invalid": True},
    "each": {"observed": "each", "invalid": True, "start_s": -7.5},
    "unknown": {"observed": None, "float32": True},
}


def open_written(recording: Recording, folder) -> Session:
    folder.mkdir(parents=True)
    write_session(recording, folder, Provenance("test", (), "testing"))
    return Session(folder)


def plain_counts(ticks, per_bin, first_bin, n_bins) -> np.ndarray:
    rows = [np.asarray(t) // per_bin - first_bin for t in ticks]
    return np.array([np.bincount(k[(k >= 0) & (k < n_bins)], minlength=n_bins) for k in rows]).reshape(len(ticks), n_bins)


def plain_mask(spans, starts, length) -> np.ndarray:
    return np.array([any(a <= s and s + length <= b for a, b in spans) for s in np.ravel(starts).tolist()], bool).reshape(np.shape(starts))
