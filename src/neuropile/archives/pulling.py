"""The blocks of one file, asked for at its places and stored in its partial file: what is here is never asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from neuropile.archives import Archive, digests
from neuropile.archives.partial import BLOCK, Partial, Rotten, Run, home, opened
from neuropile.archives.patience import Passing, Patience
from neuropile.archives.places import Place
from neuropile.archives.web import Answer, Refused, Web
from neuropile.errors import ArchiveError, SourceChanged
from neuropile.types import Asset

#: So many ranges of one file are asked for at a time, none longer than this.
AT_ONCE = 4
MAX_PART = 8 << 20
#: Blocks that others are fetching are waited for as long as something comes, then fetched all the same.
OTHERS_S = 60.0
#: How often a file that keeps rotting on this disk is fetched again.
ROTS = 3

_log = logging.getLogger(__name__)
Progress = Callable[[int], None]
T = TypeVar("T")


def ignore(n: int) -> None:
    """Take no notice of bytes that came."""


def local_file(archive: Archive, asset: Asset, web: Web) -> Path | None:
    """Where an asset of a folder lies on this machine; None for other archives, whatever they say."""
    if archive.name != "folder":
        return None
    places = archive.places(asset, web)
    path = Path(unquote(urlsplit(places[0].url.replace("?", "%3F").replace("#", "%23")).path))
    if not path.exists():
        raise ArchiveError(f"{asset.path}: {path} is not there; put it there, or fetch it from its archive")
    return path


class Asking:
    """A file of an archive, asked for at its places: the best first, the next where one fails for good."""

    def __init__(self, archive: Archive, asset: Asset, web: Web) -> None:
        self.archive, self.asset, self.web = archive, asset, web
        self._places: list[Place] = []
        self._at = 0
        self._asked = threading.Lock()
        self._renewed = False

    def each_place(self, job: Callable[[Place], T]) -> T:
        """Do a job at the first place that does it; one that refuses a credential is asked once more with a new one."""
        with self._asked:
            if not self._places:
                self._places = list(self.archive.places(self.asset, self.web))
        if not self._places:
            raise ArchiveError(f"{self.archive.name}:{self.archive.id}: nothing says where {self.asset.path} is; list it again")
        first: ArchiveError | None = None
        while True:
            at = self._at
            try:
                return job(self._places[at])
            except ArchiveError as e:
                if isinstance(e, Refused) and e.status == 401 and self._renew():
                    continue
                first = first or e  # the best place knows best what is wrong
                with self._asked:
                    if self._at == at and at + 1 < len(self._places):
                        self._at = at + 1
                    elif self._at == at:
                        raise self._told(first) from e

    def _renew(self) -> bool:
        """Let the archive make its credential anew, once; False where it cannot."""
        with self._asked:
            renew = getattr(self.archive, "renew", None)
            if renew is None or self._renewed:
                return False
            self._renewed = True
            renew(self.web)
            self._places, self._at = list(self.archive.places(self.asset, self.web)), 0
            return True

    def _told(self, error: ArchiveError) -> ArchiveError:
        """The error with the way out that this archive knows."""
        hint = getattr(self.archive, "hint", "")
        if isinstance(error, Refused) and error.status in (401, 403) and hint:
            return Refused(f"{error}; {hint}", error.status)
        return error


class Pulling(Asking):
    """A file of an archive and what of it is here.

    size : as the listing says, else as the server does
    """

    def __init__(self, archive: Archive, asset: Asset, web: Web, cache: Path, progress: Progress = ignore) -> None:
        super().__init__(archive, asset, web)
        self._progress, self._first, self._warned = progress, True, False
        self.size = asset.bytes if asset.bytes is not None else self._size()
        self.partial: Partial = opened(home(cache, archive, asset, self.size), asset.path.rpartition("/")[2], self.size)
        self._stamps = self.partial.stamps() if not self.partial.whole else {}

    def _size(self) -> int:
        size = self.each_place(lambda place: self.web.about(place)).size
        if size is None:
            raise ArchiveError(f"{self.asset.path}: neither {self.archive.name} nor the server says how long it is; fetch it by hand and use --from DIR")
        return size

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop), fetched where they are not here."""
        return self.read_many([(start, stop)])[0]

    def read_many(self, ranges: Sequence[Run]) -> list[bytes]:
        """Parts of the file, what is missing of all of them fetched at once."""
        for _ in range(ROTS):
            self.fill(ranges)
            try:
                return [self.partial.read(start, stop) for start, stop in ranges]
            except Rotten:
                continue
        raise ArchiveError(f"{self.asset.path}: what was written to {self.partial.folder} does not stay what it was; name a cache folder on another disk")

    def fill(self, ranges: Sequence[Run], at_once: int = AT_ONCE) -> None:
        """Fetch what is missing of the ranges, `at_once` requests at a time; what others are fetching is waited for.

        Raises
        ------
        SourceChanged : the archive's file is another by now
        ArchiveError : it cannot be had
        """
        left, since = -1, time.monotonic()
        while n := sum(b - a for start, stop in ranges for a, b in self.partial.missing(start, stop)):
            if n != left:
                left, since = n, time.monotonic()
            whole, sparing = not self._ranges_work(), getattr(self.archive, "sparing", False)
            with self.partial.claim([(0, self.size)] if whole else ranges, alone=time.monotonic() - since < OTHERS_S) as runs:
                if whole or at_once == 1 or sparing:
                    self._pull_each(runs[:1] if whole else runs)
                else:
                    self._pull_together([(a, min(a + MAX_PART, stop)) for start, stop in runs for a in range(start, stop, MAX_PART)], at_once)
            if not runs:
                self.partial.wait()

    def _ranges_work(self) -> bool:
        return not self._places or self._places[self._at].ranges

    def _pull_each(self, runs: Sequence[Run]) -> None:
        for start, stop in runs:
            self._pull(start, stop)

    def _pull_together(self, runs: Sequence[Run], at_once: int) -> None:
        if runs and self._first:  # whether its server knows ranges is learned from one request
            self._pull(*runs[0])
            runs = runs[1:]
        if len(runs) < 2:
            return self._pull_each(runs)
        with ThreadPoolExecutor(min(at_once, len(runs))) as pool:
            for done in [pool.submit(self._pull, start, stop) for start, stop in runs]:
                done.result()
        return None

    def _pull(self, start: int, stop: int) -> None:
        """Fetch what is missing of a claimed run, wherever it breaks off from there on, from the next place where one fails."""
        patience = Patience()

        def from_place(place: Place) -> None:
            while runs := self.partial.missing(start, stop):
                came = 0
                try:
                    for n in self._blocks(place, *runs[0]):
                        came += n
                        self._progress(n)
                except Passing as e:
                    if came:
                        patience.renew()
                    patience.wait(e)

        self.each_place(from_place)
        self._first = False

    def _blocks(self, place: Place, start: int, stop: int) -> Iterator[int]:
        """Ask once and store whole blocks as they come, yielding how many bytes of them were missing."""
        with self._answer(place, start, stop) as answer:
            self._check(answer)
            if answer.whole and stop - start < self.size:  # the server ignores ranges: take all of it, now that it comes
                self._places[self._at] = Place(place.url, place.headers, ranges=False)
            at, end = (answer.start, stop) if place.ranges and not answer.whole else (0, self.size)
            held = bytearray()
            for data in answer.chunks():
                held += data
                while len(held) >= BLOCK or (held and at + len(held) >= end):
                    n = min(BLOCK, end - at)
                    if len(held) > n and at + n >= end:
                        raise SourceChanged(self._changed(f"more than {end} bytes"))
                    if self.partial.missing(at, at + n):
                        self.partial.write(at // BLOCK, bytes(held[:n]))
                        yield n
                    at += n
                    del held[:n]
            if at < end:
                raise Passing(f"{self.asset.path}: {at} bytes came of {end}")

    @contextmanager
    def _answer(self, place: Place, start: int, stop: int) -> Iterator[Answer]:
        try:
            with self.web.ask(place, start, stop) if place.ranges else self.web.ask(place) as answer:
                yield answer
        except Refused as e:
            if e.status == 416:
                raise SourceChanged(self._changed(f"no bytes {start}-{stop}")) from None
            raise

    def _check(self, answer: Answer) -> None:
        if answer.size is not None and answer.size != self.size:
            raise SourceChanged(self._changed(f"{answer.size} bytes"))
        stamp = f"ETag {answer.etag}" if answer.etag else f"Last-Modified {answer.modified}" if answer.modified else None
        if stamp is None:
            self._warn()
            return
        # where the server that was listed answers itself, the listing counts; of others, what they said first
        listed = None if answer.elsewhere else self.archive.stamp(self.asset)
        for known in (listed, self._stamps.get(answer.host)):
            if known is not None and known != stamp and known.partition(" ")[0] == stamp.partition(" ")[0]:
                self._stamps = {}
                self.partial.discard()
                raise SourceChanged(self._changed(stamp, known))
        if answer.host not in self._stamps:
            self._stamps[answer.host] = stamp
            self.partial.keep_stamps(self._stamps)

    def _warn(self) -> None:
        """Once, of a file that could change without anybody knowing."""
        if not self._warned and not digests.claims(self.asset):
            self._warned = True
            _log.warning("%s: its server says nothing of its version: a change while it is read would go unnoticed", self.asset.path)

    def _changed(self, now: str, then: str = "") -> str:
        where = f"{self.archive.name}:{self.archive.id}"
        return f"{where}: {self.asset.path} is another file now ({now}; {then or f'{self.size} bytes'} before); list it again to take the new one"
