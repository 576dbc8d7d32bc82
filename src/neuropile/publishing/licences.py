"""What the licences of recordings allow: known ones by their SPDX name, those that forbid passing data on, and all others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from neuropile.errors import PileError

Verdict = Literal["known", "forbidden", "custom", "unstated"]


@dataclass(frozen=True)
class Licence:
    """What is known of a licence.

    spdx : its name at https://spdx.org/licenses; hub : at https://huggingface.co/docs/hub/repositories-licenses, if it has one there
    noncommercial : it forbids commercial use
    share_alike : what is made of the data must go under the same licence
    derivatives : it allows passing on what was made of the data, which counts are
    """

    spdx: str
    hub: str | None = None
    noncommercial: bool = False
    share_alike: bool = False
    derivatives: bool = True


def _creative_commons() -> list[Licence]:
    """The six licences in their versions: https://creativecommons.org/share-your-work/cclicenses/."""
    found = [Licence("CC0-1.0", "cc0-1.0"), Licence("CC-PDDC", None)]
    for kind in ("BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-ND", "BY-NC-ND"):
        for version in ("1.0", "2.0", "2.5", "3.0", "4.0"):
            name = f"CC-{kind}-{version}"
            # of the versions before 4.0 the Hub lists only some
            listed = version == "4.0" or name in _OLD_ON_HUB
            found.append(Licence(name, name.lower() if listed else None, "NC" in kind, "SA" in kind, "ND" not in kind))
    return found


_OLD_ON_HUB = ("CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-SA-3.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0")
_OTHERS = [
    Licence("ODbL-1.0", "odbl", share_alike=True),  # https://opendatacommons.org/licenses/odbl/1-0/
    Licence("ODC-By-1.0", "odc-by"),  # https://opendatacommons.org/licenses/by/1-0/
    Licence("PDDL-1.0", "pddl"),  # https://opendatacommons.org/licenses/pddl/1-0/
    Licence("MIT", "mit"),  # https://opensource.org/license/mit
    Licence("BSD-2-Clause", "bsd-2-clause"),  # https://opensource.org/license/bsd-2-clause
    Licence("BSD-3-Clause", "bsd-3-clause"),  # https://opensource.org/license/bsd-3-clause
    Licence("BSD-3-Clause-LBNL"),  # https://spdx.org/licenses/BSD-3-Clause-LBNL.html: BSD with a grant of improvements
    Licence("Apache-2.0", "apache-2.0"),  # https://www.apache.org/licenses/LICENSE-2.0
]
KNOWN: Mapping[str, Licence] = {x.spdx.upper(): x for x in (*_creative_commons(), *_OTHERS)}

#: How else archives and authors write them.
_ALIASES = {
    "CC0": "CC0-1.0",
    "CC-0": "CC0-1.0",
    "CC0-1.0-UNIVERSAL": "CC0-1.0",
    "CC-ZERO": "CC0-1.0",
    "PUBLIC-DOMAIN": "CC-PDDC",
    "ODBL": "ODbL-1.0",
    "ODC-BY": "ODC-By-1.0",
    "PDDL": "PDDL-1.0",
    "APACHE": "Apache-2.0",
    "APACHE-LICENSE-2.0": "Apache-2.0",
    "APACHE2": "Apache-2.0",
    "MIT-LICENSE": "MIT",
    "BSD-3": "BSD-3-Clause",
    "BSD-2": "BSD-2-Clause",
}
_CC_URL = re.compile(r"https?://creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero))/(\d\.\d)(?:/\S*)?", re.IGNORECASE)
_WORDS = (
    ("CREATIVE-COMMONS", "CC"),
    ("ATTRIBUTION", "BY"),
    ("NON-COMMERCIAL", "NC"),
    ("NONCOMMERCIAL", "NC"),
    ("SHARE-ALIKE", "SA"),
    ("SHAREALIKE", "SA"),
    ("NO-DERIVATIVES", "ND"),
    ("NODERIVATIVES", "ND"),
    ("NO-DERIVS", "ND"),
    ("NODERIVS", "ND"),
)
_FORBIDDING = re.compile(
    r"all[ -]rights[ -]reserved|no[ -]redistribution|no[ -]?deriv(ative|s)|\bND\b|proprietary|confidential"
    r"|\bnot?\b[^.;]{0,40}\b((re-?)?distribut|shar(e|ed|ing)\b)",
    re.IGNORECASE,
)
_NOTHING = ("", "NONE", "UNKNOWN", "NOT-STATED", "N/A", "OTHER", "NOASSERTION")


def known(text: str | None) -> Licence | None:
    """The licence a text names, however it is written; None where it names none that is known here.

    >>> known("spdx:CC-BY-4.0").spdx, known("Creative Commons Attribution-NonCommercial 4.0 International").spdx
    ('CC-BY-4.0', 'CC-BY-NC-4.0')
    """
    plain = (text or "").strip()
    if url := _CC_URL.fullmatch(plain):
        plain = f"CC0-{url[3]}" if url[2] else f"CC-{url[1]}-{url[3]}"
    name = re.sub(r"[\s_,()/]+", "-", plain.upper().removeprefix("SPDX:")).strip("-")
    for words, short in _WORDS:
        name = name.replace(words, short)
    name = re.sub(r"-(INTERNATIONAL|UNPORTED|GENERIC|LICENSE|LICENCE|PUBLIC-LICENSE)(?=-|$)", "", name)
    name = re.sub(r"^CC-?(?=BY)", "CC-", name)
    return KNOWN.get(_ALIASES.get(name, name).upper())


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
