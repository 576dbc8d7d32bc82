"""Whose data a deposit's are and on what terms: citations and licences made of what archives say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from neuropile.archives.answers import words
from neuropile.licence_names import known


def spdx(text: Any) -> str | None:
    """A licence by its SPDX name where an archive's name or URL tells which it is; else the archive's own words.

    Words that leave out the version stay as they are: which one is meant cannot be told.

    >>> spdx("https://spdx.org/licenses/CC0-1.0.html"), spdx("CC-By Attribution 4.0 International"), spdx("CC BY")
    ('CC0-1.0', 'CC-BY-4.0', 'CC BY')
    """
    own = words(text)
    if own is None:
        return None
    found = known(own)
    return own if found is None else found.spdx


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
