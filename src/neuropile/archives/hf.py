"""The Hugging Face Hub: a dataset's repository at one commit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from neuropile.archives import Archive, Listing
from neuropile.archives.answers import address, digest, get, need, objects, pages, quoted, size, status_of, token, told, unknown, words
from neuropile.archives.credits import spdx
from neuropile.archives.places import Place
from neuropile.errors import ArchiveError
from neuropile.types import Asset

if TYPE_CHECKING:
    from neuropile.archives.web import Web

BASE = "https://huggingface.co"
HINT = "make a token at https://huggingface.co/settings/tokens and set HF_TOKEN"
_Question = tuple[tuple[str, str], ...]
_NEXT = re.compile(r'<(?P<url>[^>]*)>\s*;[^,]*\brel="?next"?')


@dataclass(frozen=True)
class Dataset(Archive):
    """A dataset's repository, `owner/name`; `revision` is a commit, a branch or a tag, None the main branch."""

    id: str
    revision: str | None = None
    base: str = BASE
    name: str = field(default="hf", init=False, repr=False)
    hint = HINT

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.id) or {".", ".."} & set(self.id.split("/")):
            raise ArchiveError(f"a dataset of the Hugging Face Hub is called owner/name, not {self.id!r}")

    def list(self, web: Web) -> Listing:
        """See Archive. The revision is resolved to its commit first, which all else is asked of."""
        info = self._info(web)
        commit = need(info, "sha", str, f"hf:{self.id}")
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise unknown(f"hf:{self.id}")
        assets = tuple(self._asset(row, commit) for row in self._rows(commit, web) if get(row, "type") == "file")
        card, tags = get(info, "cardData"), get(info, "tags")
        named = [t.removeprefix("license:") for t in tags if isinstance(t, str) and t.startswith("license:")] if isinstance(tags, list) else []
        license = spdx(named[0] if named else get(card, "license"))
        return Listing("hf", self.id, commit, True, assets, words(get(card, "pretty_name")), license, url=f"{self.base}/datasets/{self.id}")

    def places(self, asset: Asset, web: Web) -> Sequence[Place]:
        """See Archive. It redirects to a signed address, which lives for an hour or so and is asked for anew each time."""
        if asset.url is None or not asset.url.startswith(f"{self.base}/"):
            raise ArchiveError(f"hf:{self.id}: nothing says where {asset.path} is; list it again")
        return [Place(address("HF", self.base) + asset.url.removeprefix(self.base), token("HF_TOKEN"))]

    def facts(self, web: Web) -> Mapping[str, Any]:
        """See Archive."""
        info = self._info(web)
        return told(title=words(get(info, "cardData", "pretty_name")) or self.id, description=words(get(info, "description")), tags=get(info, "tags"))

    def _asset(self, row: Mapping[str, Any], commit: str) -> Asset:
        """A file. Git knows a large one by a pointer only: then `lfs` has the digest of the content."""
        path, oid = need(row, "path", str, f"hf:{self.id}"), need(row, "oid", str, f"hf:{self.id}")
        url = f"{self.base}/datasets/{self.id}/resolve/{commit}/{quoted(path)}"
        if (found := digest("sha256", get(row, "lfs", "oid"))) is not None:
            return Asset(path, size(get(row, "lfs", "size")), found[1], url, found[1])
        return Asset(path, size(get(row, "size")), None, url, oid, f"git-sha1:{oid}")

    def _info(self, web: Web) -> Mapping[str, Any]:
        info, _ = self._ask(web, f"revision/{quote(self.revision or 'main', safe='')}")
        if get(info, "gated") and not token("HF_TOKEN"):
            raise self._gated()
        return info

    def _rows(self, commit: str, web: Web) -> Iterator[Mapping[str, Any]]:
        """The files and folders of a commit, a thousand a page; the next page is told in a header."""

        def page(question: _Question) -> tuple[Sequence[Any], _Question | None]:
            rows, headers = self._ask(web, f"tree/{commit}", dict(question))
            following = _NEXT.search(headers.get("link", ""))
            # only the question is taken from there: the next page is asked of the same server, whatever the address says
            return objects(rows), tuple(parse_qsl(urlsplit(following["url"]).query)) if following else None

        first: _Question = (("recursive", "true"), ("expand", "false"))
        yield from pages(first, page, f"hf:{self.id}")

    def _ask(self, web: Web, what: str, params: Mapping[str, Any] = {}) -> tuple[Any, Mapping[str, str]]:
        try:
            answer = web.get(f"{address('HF', self.base)}/api/datasets/{self.id}/{what}", params, token("HF_TOKEN"), hint=HINT)
        except ArchiveError as e:
            raise self._explained(e) from e
        return web.parsed(answer), answer.headers

    def _explained(self, error: ArchiveError) -> ArchiveError:
        """What the Hub's error codes mean; to somebody without a token, what is private looks like what does not exist."""
        said = str(error)
        if "GatedRepo" in said:
            return self._gated()
        if "RevisionNotFound" in said:
            return ArchiveError(f"hf:{self.id} has no revision {self.revision!r}; its branches and tags are shown on {self.base}/datasets/{self.id}/tree/main")
        if "RepoNotFound" in said or (status_of(error) == 401 and not token("HF_TOKEN")):
            return ArchiveError(f"hf:{self.id}: there is no such dataset, or it is private: if it is, {HINT}")
        return error

    def _gated(self) -> ArchiveError:
        return ArchiveError(f"hf:{self.id} is shown only to those who agree to its terms: do so on {self.base}/datasets/{self.id}, then {HINT}")


def dataset(id: str, revision: str | None = None) -> Dataset:
    """A dataset of the Hugging Face Hub, `owner/name`, at a revision; None takes the main branch as it is when it is listed."""
    return Dataset(id, revision)
