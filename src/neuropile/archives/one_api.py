"""IBL's database asked over HTTP: its login, a token that is renewed, and lists read page by page."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from neuropile.archives.answers import MOST_FILES, address, get, need, objects, status_of
from neuropile.archives.one_datasets import UUID
from neuropile.errors import ArchiveError
from neuropile.remote import together

if TYPE_CHECKING:
    from neuropile.archives.web import Web

BASE = "https://openalyx.internationalbrainlab.org"
#: The login that IBL publishes for its open database, in the documentation of ONE.
LOGIN = ("intbrainlab", "international")
HINT = "for a database that is not open, set NEUROPILE_ONE_USER and NEUROPILE_ONE_PASSWORD"
#: Rows a page; the server gives no more.
PAGE = 1000
#: A list that changes while its pages are read is read so often.
TRIES = 3
_T = TypeVar("_T")


@dataclass(frozen=True)
class Database:
    """A database of IBL's kind at an address; `where` is how messages call what is asked for."""

    base: str
    where: str

    def all(self, web: Web, what: str, params: Mapping[str, Any], made: Callable[[Mapping[str, Any]], _T]) -> Sequence[_T]:
        """What is made of every row of a list, whose pages are asked for several at a time.

        Raises
        ------
        ArchiveError : it changes again and again while it is read, so that rows are lost between pages
        """

        def page(start: int) -> tuple[int, dict[str, _T]]:
            answer = self.ask(web, what, {**params, "limit": PAGE, "offset": start})
            return need(answer, "count", int, self.where), {self.id_of(row): made(row) for row in objects(get(answer, "results"))}

        for _ in range(TRIES):
            count, found = page(0)
            if count > MOST_FILES:
                raise ArchiveError(f"{self.where}: the database lists {count} {what}, more than any release has")
            for _, more in together(page, range(len(found), count, len(found)) if found else ()):
                found |= more
            if len(found) == count:
                return list(found.values())
        raise ArchiveError(f"{self.where}: the database's list of {what} changes while it is read ({len(found)} of {count} rows came); run again later")

    def ask(self, web: Web, what: str, params: Mapping[str, Any] = {}) -> Any:
        """An answer of the database; a token that is no longer taken is renewed once."""
        url = f"{address('ONE', self.base)}/{what}"
        shown = self._token(web)
        try:
            return web.json(url, params, {"Authorization": f"Token {shown}"}, hint=HINT)
        except ArchiveError as e:
            if status_of(e) not in (401, 403):
                raise
        return web.json(url, params, {"Authorization": f"Token {self._token(web, stale=shown)}"}, hint=HINT)

    def id_of(self, row: Mapping[str, Any]) -> str:
        """The id of a row, which some lists tell only as the end of its address."""
        found = str(get(row, "id") or get(row, "url") or "")[-36:]
        if not re.fullmatch(UUID, found, re.IGNORECASE):
            raise ArchiveError(f"{self.where}: the database lists something without an id; its API is not as it was known")
        return found.lower()

    def _token(self, web: Web, stale: str | None = None) -> str:
        where = f"{address('ONE', self.base)}/auth-token"
        if web.kept.get(where) in (None, stale):
            user = os.environ.get("NEUROPILE_ONE_USER", LOGIN[0])
            form = {"username": user, "password": os.environ.get("NEUROPILE_ONE_PASSWORD", LOGIN[1])}
            try:
                found = need(web.post(where, form, hint=HINT), "token", str, self.where)
            except ArchiveError as e:
                if status_of(e) != 400:
                    raise
                raise ArchiveError(f"{self.where}: the database does not know the login {user!r}; {HINT}") from e
            if not re.fullmatch(r"[!-~]+", found):
                raise ArchiveError(f"{self.where}: the database answered a login with something that is no token")
            web.kept[where] = found
        return web.kept[where]
