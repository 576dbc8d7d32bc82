"""Ids of sessions, datasets and probes: made from their paths so that they stay, and read from the forms that tables had."""

from __future__ import annotations

import re
import uuid

import numpy as np

#: The namespace of every id made here. It never changes: the same path gives the same id on any machine, at any time.
NAMESPACE = uuid.UUID("6f3d7c52-1c1b-5f0e-9a43-0d1e5b1f6a20")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def of_path(path: str) -> str:
    """The id of a session (`lab/Subjects/subject/date/001`, or from the subject on), or of what lies in it.

    >>> of_path("KS023/2019-12-10/001")
    '384681c0-3675-5ef2-89cf-7375f6556224'
    """
    return str(uuid.uuid5(NAMESPACE, path))


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID."""
    return _UUID.fullmatch(text) is not None


def from_int64(first: np.ndarray, second: np.ndarray) -> list[str]:
    """UUIDs that older tables hold as two columns of int64: their 16 bytes as two little-endian numbers.

    >>> from_int64(np.array([8737712210713458643]), np.array([-4920882604093676133]))
    ['d3372b15-f696-4279-9be5-98f15783b5bb']
    """
    data = np.stack([np.asarray(first, "<i8"), np.asarray(second, "<i8")], axis=1).tobytes()
    return [str(uuid.UUID(bytes=data[i : i + 16])) for i in range(0, len(data), 16)]
