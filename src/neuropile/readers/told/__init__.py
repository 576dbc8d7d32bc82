"""What a recipe knows of files that they do not say themselves: which quantity their events are, which signals are wanted."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from neuropile.types import Asset, Reader, Recording

if TYPE_CHECKING:
    import pyarrow as pa


class Around(Reader):
    """A reader that changes what another reads, under the same name and of the same files."""

    reader: Reader

    def session_name(self, path: Any) -> str:
        """As the other reader calls it."""
        return self.reader.session_name(path)

    def assets(self, path: Any) -> Sequence[Asset] | None:
        """Those of the other reader."""
        return self.reader.assets(path)

    def files(self, path: Any) -> Sequence[Any] | None:
        """Those of the other reader."""
        return self.reader.files(path)


@dataclass(frozen=True)
class Told(Around):
    """A reader with what it cannot know.

    quantity : what its events are; None as it says
    quality, rule : what all its units are ("mua"), and how that is known
    signals : patterns of the names of the signals that are kept; None keeps all
    """

    reader: Reader
    quantity: str | None = None
    quality: str | None = None
    rule: str | None = None
    signals: tuple[str, ...] | None = None

    def __call__(self, path: Any) -> Recording:
        """Read with the other reader, then put right; what was left out is noted."""
        recording = self.reader(path)
        wanted = self.signals
        kept = {n: s for n, s in recording.signals.items() if wanted is None or any(fnmatch.fnmatchcase(n, p) for p in wanted)}
        left = [n for n in recording.signals if n not in kept]
        notes = (f"signals left out, not wanted here: {', '.join(left)}",) if left else ()
        quantity = self.quantity or recording.quantity
        return replace(recording, units=self._units(recording.units), quantity=quantity, signals=kept, notes=(*recording.notes, *notes))

    def _units(self, units: pa.Table) -> pa.Table:
        import pyarrow as pa

        said = {"quality": self.quality, "quality_rule": self.rule} if self.quality is not None else {}
        units = units.drop_columns([n for n in said if n in units.column_names])
        for name, text in said.items():
            units = units.append_column(name, pa.array([text] * units.num_rows, pa.string()))
        return units


def quantity(reader: Reader, events: str) -> Told:
    """A reader whose events are of a quantity it cannot know; see Told."""
    return Told(reader, quantity=events)


def quality(reader: Reader, verdict: str, rule: str) -> Told:
    """A reader all of whose units are of one quality; see Told."""
    return Told(reader, quality=verdict, rule=rule)


def signals(reader: Reader, *patterns: str) -> Told:
    """A reader of which only some signals are wanted; see Told."""
    return Told(reader, signals=patterns)
