"""The errors neuropile raises on purpose: each message says what was sought, what was found and the way out."""

from __future__ import annotations

import re

#: What may be secret in a URL: user and password, and whatever stands in its query.
_SECRETS = ((re.compile(r"(\w+://)[^/@\s]+@"), r"\1"), (re.compile(r"(\w+://[^\s?#'\")]+)\?[^\s'\")]*?(:?)(?=[\s'\")]|$)"), r"\1\2"))
_NOT_OF_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class NeuropileError(Exception):
    """Any error a user can act on; the command line prints its one line and exits 1.

    One line whatever libraries and damaged files put into it: line breaks and control characters become spaces. It is
    printed, logged and kept in stores: what may be secret in a URL is left out.
    """

    def __init__(self, message: str = "") -> None:
        text = _NOT_OF_A_LINE.sub(" ", str(message)).strip().encode("utf-8", "replace").decode()
        for secret, rest in _SECRETS:
            text = secret.sub(rest, text)
        super().__init__(text)


class UnreadableFile(NeuropileError):
    """A file is damaged, is not of the format it was taken for, or contradicts itself."""


class NoEvents(NeuropileError):
    """A readable file holds no spikes to store."""


class BadTimes(NeuropileError):
    """Too many event times are not finite, or they do not fit a clock of 64-bit ticks."""


class BinWidthError(NeuropileError):
    """A bin width is not a positive whole number of ticks."""


class CountOverflow(NeuropileError):
    """A count does not fit the asked integer type."""


class StoreError(NeuropileError):
    """A folder is not a store this version can read, or a session in it is missing or damaged."""


class NotThere(StoreError, KeyError):
    """A store, session or table has nothing of that name; a KeyError too, so that `in` and `get` work as in any mapping."""

    __str__ = Exception.__str__


class SessionExists(StoreError):
    """A session of that name is stored already, from other inputs."""


class PileError(NeuropileError):
    """A pile cannot be made, opened or published as asked."""


class MissingExtra(NeuropileError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs {extra}: pip install 'neuropile[{extra}]'")


class RunError(NeuropileError):
    """A job over many items could not be done, or not wholly."""


class ArchiveError(NeuropileError):
    """An archive cannot be reached, refuses, has nothing of that name, or does not give what it announces."""


class SourceChanged(ArchiveError):
    """An archive holds something else than what was locked."""
