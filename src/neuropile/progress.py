"""Progress of long work on standard error, drawn only when it is handed in and someone watches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Anything that can show how far along a list of items the work is."""

    def track(self, items: Iterable[T], total: int, label: str) -> Iterator[T]:
        """Yield each item, showing how many are done."""
        ...


class Quiet:
    """Shows nothing; the default everywhere in the library."""

    def track(self, items: Iterable[T], total: int, label: str) -> Iterator[T]:
        """Yield the items."""
        return iter(items)


class Bar:
    """A bar on standard error while it is a terminal, nothing elsewhere."""

    def track(self, items: Iterable[T], total: int, label: str) -> Iterator[T]:
        """Yield each item, showing how many are done and how long the rest may take."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with RichProgress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            yield from bar.track(items, total=total, description=label)


QUIET = Quiet()
