"""A dataset repository of the Hugging Face Hub as a place that a published pile goes to: a commit a shard, card and marker in the last."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from neuropile.errors import PileError
from neuropile.published import MARKER
from neuropile.publishing.places import UNFINISHED, job_in, may_go_on, stale, unfinished
from neuropile.publishing.sending import until_done

_PLACE = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^@]+?))?/?")
#: What the Hub itself puts into a new repository.
_OF_THE_HUB = {".gitattributes", ".gitignore"}


@dataclass(frozen=True)
class Repository:
    """A dataset repository, made if there is none.

    repo : owner/name; revision : a branch, made if there is none; private : whether a new one is
    """

    repo: str
    revision: str | None = None
    private: bool = False

    @property
    def title(self) -> str:
        """What the pile is called."""
        return self.repo.partition("/")[2]

    @property
    def takes(self) -> bool:
        """See Place."""
        return True

    def begin(self, job: str, replace: bool) -> frozenset[str]:
        """See Place."""
        self._do(lambda api: api.create_repo(self.repo, repo_type="dataset", private=self.private or None, exist_ok=True), "making the repository")
        info = self._do(lambda api: api.repo_info(self.repo, repo_type="dataset"), "reading")
        if self.private and not info.private:
            raise PileError(f"{self} exists and is public; make it private there first, or leave out --private")
        if self.revision:
            self._do(lambda api: api.create_branch(self.repo, branch=self.revision, repo_type="dataset", exist_ok=True), "making the branch")
        present = self._files()
        if not may_go_on(present, self._held() if UNFINISHED in present else None, job, replace, str(self)):
            return frozenset(present)
        self._commit({UNFINISHED: unfinished(job)}, [MARKER] if MARKER in present else [], "Begin a pile")
        return frozenset()

    def send(self, path: Path, name: str) -> None:
        """See Place."""
        self._commit({name: path}, [], f"Add {name}")

    def finish(self, folder: Path, small: Sequence[str], listed: Collection[str]) -> None:
        """See Place."""
        present = self._files()
        self._commit({n: folder / n for n in small}, [*stale(present, listed), *({UNFINISHED} & present)], "Add the tables, the card and the marker")

    def _files(self) -> set[str]:
        found = self._do(lambda api: api.list_repo_files(self.repo, repo_type="dataset", revision=self.revision), "listing")
        return set(found) - _OF_THE_HUB

    def _held(self) -> str:
        def read(api: Any) -> str:
            from huggingface_hub import hf_hub_url
            from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

            url = hf_hub_url(self.repo, UNFINISHED, repo_type="dataset", revision=self.revision, endpoint=api.endpoint)
            answer = get_session().get(url, headers=build_hf_headers(), follow_redirects=True)
            hf_raise_for_status(answer)
            return job_in(answer.content)

        return str(self._do(read, "reading"))

    def _commit(self, added: dict[str, Path | bytes], removed: Sequence[str], message: str) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        def commit(api: Any) -> None:
            # made anew for each try: one that was sent once is not sent again
            operations = [CommitOperationAdd(n, str(p) if isinstance(p, Path) else p) for n, p in added.items()]
            deletions = [CommitOperationDelete(n) for n in removed]
            api.create_commit(self.repo, [*operations, *deletions], commit_message=message, repo_type="dataset", revision=self.revision)

        names = list(added)
        self._do(commit, f"sending {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else ""))

    def _do(self, job: Any, doing: str) -> Any:
        from huggingface_hub import HfApi

        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
        with _without_bars():
            return until_done(partial(job, api), f"{self}: {doing}", self._explain)

    def _explain(self, status: int | None, error: BaseException) -> str | None:
        if status == 401 or type(error).__name__ == "LocalTokenNotFoundError":
            return "the Hub does not know who asks: give a token that may write, with `hf auth login` or in HF_TOKEN (https://huggingface.co/settings/tokens)"
        if status == 403:
            return f"the Hub refuses: the token may not write to {self.repo}; give one that may, with `hf auth login` or in HF_TOKEN, or another name"
        if status == 404:
            return f"the Hub knows no {self.repo} that this token may see; check the name, the branch and the token (`hf auth whoami`)"
        return None

    def __str__(self) -> str:
        return f"hf://datasets/{self.repo}" + (f"@{self.revision}" if self.revision else "")


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the library's own progress bars: ours tells of files."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def repository(url: str, *, private: bool = False) -> Repository:
    """The repository of hf://datasets/owner/name[@revision].

    Raises
    ------
    PileError : it is written otherwise
    """
    found = _PLACE.fullmatch(url)
    if found is None:
        raise PileError(f"{url}: a dataset of the Hub is written hf://datasets/owner/name or hf://datasets/owner/name@branch")
    return Repository(found["repo"], found["revision"], private)
