"""A column of a dataset's own as the quality of its units, where its words or numbers are not the usual ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.readers import told
from neuropile.types import Reader, Recording


@dataclass(frozen=True)
class Judged(told.Around):
    """A reader whose units are good, multi-unit or noise by a column of the source.

    column : its name at the source
    words : what of it stands for which quality; anything else for none
    """

    reader: Reader
    column: str
    words: tuple[tuple[str, str], ...]

    def __call__(self, path: Any) -> Recording:
        """What the reader reads, its units judged.

        Raises
        ------
        UnreadableFile : the units have no such column
        """
        recording = self.reader(path)
        name = f"src_{self.column}"
        if name not in recording.units.column_names:
            recording.close()
            has = ", ".join(c.removeprefix("src_") for c in recording.units.column_names if c.startswith("src_"))
            raise UnreadableFile(f"{path}: no unit column {self.column!r} to judge by; there are {has or 'none'}")
        quality_of = dict(self.words)
        verdicts = [quality_of.get(_word(v)) for v in recording.units.column(name).to_pylist()]
        units = recording.units.drop_columns([c for c in ("quality", "quality_rule") if c in recording.units.column_names])
        rule = f"the file's column {self.column!r}: " + ", ".join(f"{word} is {quality}" for word, quality in self.words)
        units = units.append_column("quality", pa.array(verdicts, pa.string())).append_column("quality_rule", pa.array([rule] * len(verdicts), pa.string()))
        return replace(recording, units=units)


def _word(value: Any) -> str:
    """A value as it is written in a recipe: numbers without a fraction as whole ones, truth values as 1 and 0."""
    if isinstance(value, bool | float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value).strip()


def units(reader: Reader, column: str, words: Mapping[str, str]) -> Judged:
    """The reader of units with a quality; see Judged."""
    return Judged(reader, column, tuple(words.items()))
