"""HTTP to archives: polite, patient, and suspicious of every answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from neuropile.archives import Place


class Web:
    """One client for all archives: retries with pauses, Retry-After in all its shapes, a few requests a server at a time.

    A context manager; safe to be used by several threads.
    """

    def json(self, url: str, params: Mapping[str, Any] = {}, headers: Mapping[str, str] = {}) -> Any:
        """What a server answers, as JSON.

        Raises
        ------
        ArchiveError : 401 or 403 (how to give a credential), 404 or 410, a limit that lasts, something that is no JSON
        """
        raise NotImplementedError

    def get(self, url: str, params: Mapping[str, Any] = {}, headers: Mapping[str, str] = {}) -> Any:
        """The same as an httpx.Response of status 200, read whole: for XML, text, and the headers of pages."""
        raise NotImplementedError

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] = {}) -> Any:
        """The JSON that a server answers to a form."""
        raise NotImplementedError

    def stream(self, place: Place, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes [start, stop) of a file as they come; one attempt, all of them or an error.

        Raises
        ------
        Whole : the server ignores ranges: it is about to send the whole file (only where start > 0 or stop is given)
        ArchiveError : as above; or a page of HTML, an empty answer, a file shorter than announced
        """
        raise NotImplementedError
