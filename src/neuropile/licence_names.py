"""Licences by one name, however archives and authors write them, and what each allows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


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
    "CC-ZERO-1.0": "CC0-1.0",
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
_SPDX_URL = re.compile(r"https?://(?:www\.)?spdx\.org/licenses/([A-Za-z0-9.+-]+?)(?:\.html|\.json)?", re.IGNORECASE)
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


def known(text: str | None) -> Licence | None:
    """The licence a text names, however it is written; None where it names none that is known here.

    >>> known("spdx:CC-BY-4.0").spdx, known("Creative Commons Attribution-NonCommercial 4.0 International").spdx
    ('CC-BY-4.0', 'CC-BY-NC-4.0')
    """
    plain = (text or "").strip()
    if url := _SPDX_URL.fullmatch(plain):
        plain = url[1]
    if url := _CC_URL.fullmatch(plain):
        plain = f"CC0-{url[3]}" if url[2] else f"CC-{url[1]}-{url[3]}"
    name = re.sub(r"[\s_,()/]+", "-", plain.upper().removeprefix("SPDX:")).strip("-")
    for words, short in _WORDS:
        name = name.replace(words, short)
    name = name.replace("BY-BY", "BY")  # OSF writes "CC-By Attribution"
    name = re.sub(r"-(INTERNATIONAL|UNPORTED|GENERIC|LICENSE|LICENCE|PUBLIC-LICENSE)(?=-|$)", "", name)
    name = re.sub(r"^(CC-?)?(?=BY)", "CC-", name)  # the heading of the text itself leaves "Creative Commons" out
    return KNOWN.get(_ALIASES.get(name, name).upper())
