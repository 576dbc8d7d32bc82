"""Whether recordings may be published, by their licences: known ones, those that forbid it, and all others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from neuropile.errors import PileError
from neuropile.licence_names import known

Verdict = Literal["known", "forbidden", "custom", "unstated"]


_FORBIDDING = re.compile(
    r"all[ -]rights[ -]reserved|no[ -]redistribution|no[ -]?deriv(ative|s)|\bND\b|proprietary|confidential"
    r"|\bnot?\b[^.;]{0,40}\b((re-?)?distribut|shar(e|ed|ing)\b)",
    re.IGNORECASE,
)
_NOTHING = ("", "NONE", "UNKNOWN", "NOT-STATED", "N/A", "OTHER", "NOASSERTION")


def judge(text: str | None) -> Verdict:
    """Whether what a licence covers may be published: it is known to be so, forbidden, custom (a person must read it), or not stated."""
    if (text or "").strip().upper().replace(" ", "-") in _NOTHING:
        return "unstated"
    found = known(text)
    if found is not None:
        return "known" if found.derivatives else "forbidden"
    return "forbidden" if _FORBIDDING.search(text or "") else "custom"


def check(sessions: Sequence[Mapping[str, Any]], accepted: Collection[str]) -> list[str]:
    """Raise where the licence of a session forbids publishing it, or has to be read and accepted first; else what to warn of.

    sessions : rows with dataset, session_id, license
    accepted : the datasets whose own terms were read and accepted

    Raises
    ------
    PileError : naming the datasets, sessions and terms
    """
    datasets = {s["dataset"] for s in sessions}
    if strange := sorted(set(accepted) - datasets):
        raise PileError(f"terms of {', '.join(strange)} are accepted, but the pile is of {', '.join(sorted(datasets))}; --accept-terms takes a dataset's name")
    by_verdict: dict[Verdict, dict[str, list[Mapping[str, Any]]]] = {}
    for s in sessions:
        by_verdict.setdefault(judge(s["license"]), {}).setdefault(s["dataset"], []).append(s)
    if forbidden := by_verdict.get("forbidden"):
        raise PileError(f"licences forbid publishing {_told(forbidden)}; leave those out, for example with --where \"dataset != '{min(forbidden)}'\"")
    if custom := {d: s for d, s in by_verdict.get("custom", {}).items() if d not in accepted}:
        keys = " ".join(f"--accept-terms {d}" for d in sorted(custom))
        raise PileError(f"terms that are not known here: {_told(custom)}; read them and, if they allow publishing, add {keys}")
    unstated = by_verdict.get("unstated", {})
    return [f"{d}: no licence is stated for {len(s)} sessions; ask its authors before you pass it on" for d, s in sorted(unstated.items())]


def _told(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    parts = []
    for dataset, sessions in sorted(found.items()):
        names = [s["session_id"] for s in sessions]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        parts.append(f"{dataset} ({'; '.join(sorted({_short(s['license']) for s in sessions}))}: {shown})")
    return ", ".join(parts)


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def of_whole(texts: Iterable[str | None]) -> tuple[str, list[str]]:
    """The Hub's name for the licence of the whole, and the names of all that take part.

    It is the one that all share, "unknown" where none is stated, else "other".
    """
    every = set(texts)
    names = sorted({(x.spdx if (x := known(t)) else _short(str(t))) for t in every if judge(t) != "unstated"})
    if not names:
        return "unknown", []
    shared = known(names[0]) if len(names) == 1 and all(judge(t) != "unstated" for t in every) else None
    return (shared.hub if shared and shared.hub else "other"), names


def noncommercial(texts: Iterable[str | None]) -> list[str]:
    """Those of the licences that forbid commercial use, by name."""
    return sorted({x.spdx for t in texts if (x := known(t)) and x.noncommercial})
