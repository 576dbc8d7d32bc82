"""What makes a recipe one: each of its fields of the kind it is meant to be, and its patterns such that they can work."""

from __future__ import annotations

import re
import string
from typing import Any

from neuropile.archives import Archive
from neuropile.errors import NeuropileError
from neuropile.types import EVENT_QUANTITIES, SIGNAL_QUANTITIES, Reader

_TEXTS = ("key", "title", "species", "areas", "task", "citation", "tested_on", "quantity")
_TEXTS_OR_NONE = ("license", "terms_url", "session", "subject", "recording", "tokens_reason")
_COUNTS_OR_NONE = ("subjects", "sessions", "tokens", "tokens_expected")
_TUPLES = ("select", "leave_out", "members", "shared", "holds", "differs")
_PAIRS = ("names", "set_aside")
_HELD = ("intervals", "signals")
#: A key is a folder of every store, and a part of the names of locks.
_LONGEST_KEY = 80


def check_recipe(recipe: Any) -> None:
    """Look at every field of a recipe.

    Raises
    ------
    NeuropileError : one is not what it is meant to be; the message names it, what it is and what it should be
    """
    key = recipe.key
    if not isinstance(key, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key) or len(key) > _LONGEST_KEY:
        raise NeuropileError(f"a recipe's key is of small letters, digits and hyphens, at most {_LONGEST_KEY}, not {key!r}")
    _check_kinds(recipe, key)
    if (recipe.tokens_expected is None) != (recipe.tokens_reason is None):
        raise NeuropileError(f"{key}: tokens_expected needs tokens_reason, and the other way round")
    if recipe.quantity not in (*EVENT_QUANTITIES, *SIGNAL_QUANTITIES):
        raise NeuropileError(f"{key}: quantity is one of {', '.join((*EVENT_QUANTITIES, *SIGNAL_QUANTITIES))}, not {recipe.quantity!r}")
    for name in recipe.holds:
        kind, slash, own = name.partition("/")
        if not kind or (slash and (kind not in _HELD or not own)):
            raise NeuropileError(f"{key}: holds names a column of units, intervals/NAME, signals/NAME or observed, not {name!r}")
    groups = _groups(key, recipe.session)
    if recipe.recording is not None:
        _check_format(key, recipe.recording, groups)


def _check_kinds(recipe: Any, key: str) -> None:
    for name in _TEXTS:
        _must(key, recipe, name, isinstance(getattr(recipe, name), str), "a text")
    for name in _TEXTS_OR_NONE:
        _must(key, recipe, name, _is_text_or_none(getattr(recipe, name)), "a text or None")
    for name in _COUNTS_OR_NONE:
        value = getattr(recipe, name)
        _must(key, recipe, name, value is None or (type(value) is int and value >= 0), "a whole number from 0 or None")
    for name in _TUPLES:
        _must(key, recipe, name, _is_texts(getattr(recipe, name)), "a tuple of texts, such as ('*.nwb',)")
    for name in _PAIRS:
        _must(key, recipe, name, _is_pairs(getattr(recipe, name)), "a tuple of pairs of texts, such as (('a', 'b'),)")
    _must(key, recipe, "whole", isinstance(recipe.whole, bool), "True or False")
    _must(key, recipe, "archive", isinstance(recipe.archive, Archive), "an archive, such as dandi.dandiset('000017')")
    _must(key, recipe, "reader", _is_reader(recipe.reader), _READER)


_READER = "a reader, such as nwb.units(): a frozen dataclass that is a neuropile.types.Reader"


def check_upstream(upstream: Any) -> None:
    """Look at every field of what the published scripts do.

    Raises
    ------
    NeuropileError : see `check_recipe`
    """
    for name in ("select", "leave_out", "members"):
        value = getattr(upstream, name)
        _must("upstream", upstream, name, value is None or _is_texts(value), "a tuple of texts, such as ('*.nwb',), or None")
    _must("upstream", upstream, "session", _is_text_or_none(upstream.session), "a text or None")
    _must("upstream", upstream, "names", _is_pairs(upstream.names), "a tuple of pairs of texts, such as (('a', 'b'),)")
    _must("upstream", upstream, "reader", _is_reader(upstream.reader), _READER)
    _groups("upstream", upstream.session)


def _must(key: str, owner: Any, name: str, holds: bool, meant: str) -> None:
    if not holds:
        raise NeuropileError(f"{key}: {name} is {meant}, not {getattr(owner, name)!r}"[:500])


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(v, str) for v in value)


def _is_pairs(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_texts(v) and len(v) == 2 for v in value)


def _is_reader(value: Any) -> bool:
    # its text is kept in the sessions it made: the default one, with an address in it, would be another one each time
    return isinstance(value, Reader) and type(value).__repr__ is not object.__repr__


def _groups(key: str, pattern: str | None) -> set[str]:
    """The names that `recording` may use."""
    if pattern is None:
        return {"session", "subject", "recording"}
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, RecursionError, OverflowError) as e:
        raise NeuropileError(f"{key}: the pattern of sessions {pattern!r} is no regular expression ({e})") from None
    if "session" not in groups:
        raise NeuropileError(f"{key}: the pattern of sessions has no group (?P<session>...)")
    return {*groups, "subject", "recording"}


def _check_format(key: str, recording: str, groups: set[str]) -> None:
    try:
        fields = {(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(recording) if name is not None}
    except ValueError as e:
        raise NeuropileError(f"{key}: recording {recording!r} cannot be filled in ({e}); write {{group}} for a group of `session`") from None
    for name, spec, conversion in sorted(fields, key=str):
        if name not in groups or spec or conversion:
            raise NeuropileError(f"{key}: recording {recording!r} names {{{name}}}; it can be {', '.join(f'{{{g}}}' for g in sorted(groups))}")
