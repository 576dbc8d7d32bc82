"""Whose data a deposit's are and on what terms: citations and licences made of what archives say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from neuropile.archives.answers import words

_CC_URL = re.compile(r"https?://creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero))/(\d\.\d)(?:/.*)?", re.IGNORECASE)
_SPDX_URL = re.compile(r"https?://(?:www\.)?spdx\.org/licenses/([A-Za-z0-9.+-]+?)(?:\.html|\.json)?", re.IGNORECASE)
_CC = re.compile(r"(?:cc-)?(by(?:-nc)?(?:-sa|-nd)?)-(\d\.\d)")
#: Those with a version have it in their SPDX name; of CC0 there is one version only.
_NAMES = {n.lower(): n for n in ("CC0-1.0", "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ODbL-1.0", "ODC-By-1.0", "PDDL-1.0")}
_ALIASES = {
    "cc0": "CC0-1.0",
    "cc-zero": "CC0-1.0",
    "cc0-1.0-universal": "CC0-1.0",
    "cc-zero-1.0": "CC0-1.0",
    "mit-license": "MIT",
    "apache-license-2.0": "Apache-2.0",
}
_WORDS = (
    ("creative commons", "cc"),
    ("attribution", "by"),
    ("non-commercial", "nc"),
    ("noncommercial", "nc"),
    ("share-alike", "sa"),
    ("sharealike", "sa"),
    ("no-derivatives", "nd"),
    ("noderivatives", "nd"),
)
_IDLE = re.compile(r"\b(international|unported|generic|public license|license)\b|[(),_]")


def spdx(text: Any) -> str | None:
    """A licence by its SPDX name where an archive's name or URL tells which it is; else the archive's own words.

    Words that leave out the version stay as they are: which one is meant cannot be told.

    >>> spdx("https://spdx.org/licenses/CC0-1.0.html"), spdx("CC-By Attribution 4.0 International"), spdx("CC BY")
    ('CC0-1.0', 'CC-BY-4.0', 'CC BY')
    """
    own = words(text)
    if own is None:
        return None
    if url := _SPDX_URL.fullmatch(own):
        own = url[1]
    if url := _CC_URL.fullmatch(own):
        return f"CC0-{url[3]}" if url[2] else f"CC-{url[1].upper()}-{url[3]}"
    plain = own.lower()
    for long, short in _WORDS:
        plain = plain.replace(long, short)
    hyphened = re.sub(r"[\s-]+", "-", _IDLE.sub(" ", plain)).strip("-")
    hyphened = hyphened.replace("by-by", "by")  # OSF writes "CC-By Attribution"
    if cc := _CC.fullmatch(hyphened):
        return f"CC-{cc[1].upper()}-{cc[2]}"
    return _NAMES.get(hyphened) or _ALIASES.get(hyphened) or own


def bare_doi(text: Any) -> str | None:
    """A DOI without what stands before it; None where a text is none.

    >>> bare_doi("https://doi.org/10.5061/dryad.x69p8czpq"), bare_doi("x69p8czpq")
    ('10.5061/dryad.x69p8czpq', None)
    """
    match = re.fullmatch(r"(?:(?:https?://)?(?:dx\.)?doi\.org/|doi:\s*)?(10\.\d{4,9}/\S+)", str(text).strip(), re.IGNORECASE)
    return match[1] if match else None


def citation(people: Sequence[str | None], date: Any, title: str | None, publisher: str, doi: Any) -> str | None:
    """A citation made of what an archive says; None where it says too little.

    >>> citation(["Makin, Joseph", "Sabes, Philip"], "2020-05-26", "Reaching", "Zenodo", "10.5281/zenodo.3854034")
    'Makin, Joseph; Sabes, Philip (2020). Reaching. Zenodo. doi:10.5281/zenodo.3854034'
    """
    names = [p for p in people if p]
    if not names or not title:
        return None
    year = f" ({str(date)[:4]})" if re.match(r"\d{4}", str(date)) else ""
    end = f" doi:{bare}" if (bare := bare_doi(doi)) else ""
    return f"{'; '.join(names)}{year}. {title.rstrip('.')}. {publisher}.{end}"
