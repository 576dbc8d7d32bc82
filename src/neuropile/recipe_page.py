"""The page a new recipe starts from: what an archive says of a dataset, and what a person has to fill in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuropile.archives import Archive, Listing
from neuropile.errors import NeuropileError
from neuropile.paths import replacing
from neuropile.recipes import Recipe

_PAGE = '''"""{doc}"""

from neuropile.archives import {module}
from neuropile.readers import nwb
from neuropile.recipes import Recipe

# The archive lists {n_files} files: {kinds}. The first of them:
{examples}
recipe = Recipe(
    key={key!r},
    title={title!r},
    archive={archive},
    reader=nwb.units(),
    species={species!r},
    areas={areas!r},
    task="",
    license={license!r},
    citation={citation!r},
    select=({select!r},),
    tested_on="",
)
'''


def text(recipe: Recipe, listing: Listing, facts: Mapping[str, Any]) -> str:
    """A page that can be read as it is: every NWB file a session.

    facts : more of what the archive says: species, areas, where it has them
    """
    kinds = Counter(a.path.rpartition("/")[2].partition(".")[2] or "without suffix" for a in listing.assets)
    return _PAGE.format(
        doc=_plain(listing.title or recipe.title),
        module=recipe.archive.name,
        n_files=len(listing.assets),
        kinds=", ".join(f"{n} {kind}" for kind, n in kinds.most_common(6)),
        examples="".join(f"#   {_plain(a.path)}\n" for a in listing.assets[:5]),
        key=recipe.key,
        title=_plain(listing.title or recipe.title),
        archive=_constructed(recipe.archive, listing),
        species=_plain(str(facts.get("species") or "")),
        areas=_plain(str(facts.get("areas") or "")),
        license=listing.license,
        citation=_plain(listing.citation or ""),
        select="*.nwb",
    )


def _constructed(source: Archive, listing: Listing) -> str:
    """An archive as it is written in a recipe, at the version that was listed where that stays."""
    version = f", {listing.version!r}" if listing.pinned else ""
    own = {
        "dandi": f"dandiset({source.id!r}{version})",
        "dryad": f"dataset({source.id!r}{version})",
        "figshare": f"article({source.id!r}{version})",
        "gin": f"repository({source.id!r}{version})",
        "hf": f"dataset({source.id!r}{version})",
        "one": f"release({source.id!r})",
        "osf": f"node({source.id!r})",
        "zenodo": f"record({listing.version!r})",
    }
    if source.name in own:
        return f"{source.name}.{own[source.name]}"
    bucket, _, prefix = source.id.partition("/")
    return f"s3.bucket({bucket!r}, {prefix!r})" if source.name == "s3" else f"http.files({', '.join(repr(a.url) for a in listing.assets)})"


def _plain(said: str) -> str:
    """An archive's words on one line, with nothing that could end the text they stand in."""
    return " ".join(said.replace("\\", "/").replace('"""', "'''").split())


def write(page: str, path: Path) -> None:
    """Write a page where none is.

    Raises
    ------
    NeuropileError : there is a file of that name
    """
    if path.exists():
        raise NeuropileError(f"{path} exists; give another name with --out")
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
