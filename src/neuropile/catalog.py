"""The datasets that have a recipe, those that have none, and what to cite and keep to when their data are used."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from neuropile import recipes
from neuropile.archives import Archive
from neuropile.errors import NeuropileError
from neuropile.recipes import Recipe, _pages
from neuropile.remote import public
from neuropile.types import Reader

if TYPE_CHECKING:
    import pyarrow as pa

#: What stands before the colon for a dataset without a recipe, and its module and constructor in `archives`.
ARCHIVES = {
    "dandi": ("dandi", "dandiset"),
    "zenodo": ("zenodo", "record"),
    "dryad": ("dryad", "dataset"),
    "figshare": ("figshare", "article"),
    "osf": ("osf", "node"),
    "gin": ("gin", "repository"),
    "hf": ("hf", "dataset"),
    "one": ("one", "release"),
}
#: Formats that say themselves what is in them, so that no recipe is needed.
_SELF_DESCRIBING = ("*.nwb",)
#: Longer keys are cut.
_LONG = 60


def find(what: str) -> Recipe:
    """The recipe of a key, of a page of one's own (a `.py` file), or one of sensible defaults for dandi:ID, zenodo:ID, ... or a URL.

    Raises
    ------
    NeuropileError : there is no such recipe, archive or page
    """
    if what.endswith(".py"):
        return _page(Path(what))
    if "://" in what:
        return plain(_of_url(what), _key_of_url(what))
    name, colon, id = what.partition(":")
    if not colon:
        return recipes.load(what)
    found = archive(name, id)
    return plain(found, safe_key("-".join([name, found.id, *id.partition("@")[2:]])))


def find_all(wanted: Iterable[str]) -> list[Recipe]:
    """The recipes of several, each once, however often it is named.

    Raises
    ------
    NeuropileError : see `find`; or two of them have one key, and one would be taken for the other
    """
    found: dict[str, tuple[str, Recipe]] = {}
    for what in dict.fromkeys(wanted):
        recipe = find(what)
        first, known = found.setdefault(recipe.key, (what, recipe))
        if known != recipe:
            raise NeuropileError(
                f"{public(first)} and {public(what)} are two datasets of one key, {recipe.key}; give one of them another key, on a page of its own"
            )
    return [recipe for _, recipe in found.values()]


def archive(name: str, id: str) -> Archive:
    """An id in one of the known archives; `ID@VERSION` names a version."""
    from importlib import import_module

    if name not in ARCHIVES or not id:
        raise NeuropileError(f"{name}:{id} is no dataset; it can be {', '.join(f'{a}:ID' for a in ARCHIVES)}, a URL, or a key of: neuropile catalog")
    module, constructor = ARCHIVES[name]
    make = getattr(import_module(f"neuropile.archives.{module}"), constructor)
    own, at, version = id.partition("@")
    return make(own, version) if at else make(own)


def _of_url(url: str) -> Archive:
    from neuropile.archives import http, s3

    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (a wrong one raises)
    except ValueError as e:
        raise NeuropileError(f"{url}: no address ({e}); it is https://HOST/PATH or s3://BUCKET/PREFIX") from None
    if parts.scheme == "s3":
        return s3.bucket(parts.netloc, parts.path.lstrip("/"))
    if parts.scheme in ("http", "https"):
        return http.files(url)
    raise NeuropileError(f"{url}: an address begins with https://, http:// or s3://")


def _key_of_url(url: str) -> str:
    """A key no other address has: its host, its last part, and a digest of the whole but for who asks."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    digest = hashlib.sha256(parts._replace(netloc=host).geturl().encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{safe_key(f'{host}-{PurePosixPath(parts.path).stem}')[:_LONG].strip('-')}-{digest}"


def plain(source: Archive, key: str) -> Recipe:
    """A recipe of defaults: every NWB file a session, or of IBL's database every ALF folder, read as it describes itself."""
    from neuropile.readers import nwb
    from neuropile.readers.alf import below

    reader: Reader = nwb.units()
    taken: dict[str, Any] = {"select": _SELF_DESCRIBING}
    if source.name == "one":
        reader = below.session()
        taken = {"select": ("*",), "session": r"/Subjects/(?P<session>(?P<subject>[^/]+)/\d{4}-\d\d-\d\d/\d+)/", "recording": "ibl/{recording}"}
    return Recipe(
        key=key,
        title=f"{source.name}:{source.id}",
        archive=source,
        reader=reader,
        species="",
        areas="",
        task="",
        citation="",
        tested_on="nothing: a dataset without a recipe, read as its files describe themselves",
        **taken,
    )


def safe_key(text: str) -> str:
    """Text as a recipe's key: small letters, digits and hyphens.

    >>> safe_key("dandi-000231@0.22")
    'dandi-000231-0-22'
    """
    key = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "dataset"
    return key if len(key) <= _LONG else f"{key[:_LONG].strip('-')}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _page(path: Path) -> Recipe:
    """The recipe in a file of one's own, which is run as any module that is imported."""
    module = _pages.run(path)
    found = getattr(module, "recipe", None)
    if not isinstance(found, Recipe):
        raise NeuropileError(f"{path} has no `recipe = Recipe(...)`; begin one with: neuropile recipe new dandi:ID")
    return found


def everything() -> Iterator[Recipe]:
    """Every recipe, by key."""
    return map(recipes.load, recipes.every_key())


def rows(species: str | None = None, archive: str | None = None, license: str | None = None, region: str | None = None) -> list[dict[str, Any]]:
    """A row a dataset, largest first; each argument is a text that must be found in what it names, whatever the case."""
    wanted = {"species": species, "archive": archive, "license": license, "areas": region}
    found = [row(r) for r in everything()]
    kept = [r for r in found if all(text is None or text.lower() in str(r[name] or "").lower() for name, text in wanted.items())]
    return sorted(kept, key=lambda r: (-(r["tokens"] or 0), r["key"]))


_COLUMNS = ("key", "title", "species", "areas", "task", "quantity", "subjects", "sessions", "tokens", "tokens_expected", "tokens_reason")
_TERMS = ("license", "terms_url", "citation", "tested_on")


def row(recipe: Recipe) -> dict[str, Any]:
    """What the catalogue tells of a dataset."""
    told = {name: getattr(recipe, name) for name in (*_COLUMNS, *_TERMS)}
    return {**told, "archive": f"{recipe.archive.name}:{recipe.archive.id}", "differs": list(recipe.differs)}


def cite(sessions: pa.Table) -> list[dict[str, Any]]:
    """What to cite and keep to, a row a dataset and its terms.

    sessions : a row a session, with dataset, license, citation and n_units: a store's `session_table`, or a pile's
    """
    counted: dict[tuple[str, str | None, str | None], list[int]] = {}
    for r in sessions.select(["dataset", "license", "citation", "n_units"]).to_pylist():
        entry = counted.setdefault((r["dataset"], r["license"], r["citation"]), [0, 0])
        entry[0] += 1
        entry[1] += r["n_units"]
    known = set(recipes.every_key())
    out = []
    for (dataset, licence, citation), (n_sessions, n_units) in sorted(counted.items(), key=lambda item: str(item[0])):
        key = dataset.partition("@")[0]
        terms = recipes.load(key).terms_url if key in known else None
        out.append({"dataset": dataset, "license": licence, "terms_url": terms, "citation": citation, "sessions": n_sessions, "units": n_units})
    return out
