"""phy's params.py, read as text: its plain values are taken, nothing in it ever runs."""

from __future__ import annotations

import ast
import re
from fractions import Fraction
from typing import Any

_MAX_BYTES = 1 << 16
_MAX_LINE = 200
_LINE = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>[^=\s].*)")
#: What is taken: facts of the recording. Paths on the machine it was sorted on are not.
NAMES = ("sample_rate", "n_channels_dat", "dtype", "hp_filtered")


def read(path: Any) -> dict[str, Any]:
    """The plain values that the file's own lines give the known names; anything that would have to run is left out."""
    if int(path.stat().st_size) > _MAX_BYTES:
        return {}
    found = {}
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        said = _LINE.fullmatch(line) if len(line) <= _MAX_LINE else None
        if said is None or said["name"] not in NAMES:
            continue
        try:
            value = ast.literal_eval(said["value"].strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(value, str | int | float | bool):
            found[said["name"]] = value
    return found


def sample_rate(found: dict[str, Any]) -> Fraction | None:
    """The rate the values speak of, exactly; None where they do not, or where it is no rate."""
    rate = found.get("sample_rate")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 10**8:
        return None
    return Fraction(str(rate))
