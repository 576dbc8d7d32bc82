"""Loopback stand-ins of Zenodo, Dryad, OSF and Figshare, each serving a folder as the archive's API would."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from archives.loopback import Asked, Handler, Mischief, State, serving

from neuropile.archives import Archive
from neuropile.archives.fetching import fetch
from neuropile.archives.web import Web
from neuropile.types import Asset

#: Names that break clients which do not encode paths.
AWKWARD = ("a b.nwb", "c#1+2.nwb", "dé/ä ö?.mat", "e%20f.h5", "g&h=i.npy", "plain.nwb", "z/empty.csv")


@dataclass
class Deposit(State):
    """A deposit. What its API gives comes from `files`; what is redirected to comes from `store`, another server.

    id, version : of the deposit, as its archive counts
    page : most rows of a page
    wrong : what goes wrong with a request for anything but a file
    sizes, digests : lies about files, by path; a digest of None is left out
    more : fields that are added to the deposit's own answer
    """

    id: str = "1"
    version: str = "1"
    page: int = 3
    store: State = field(default_factory=lambda: State(foreign=True))
    wrong: Callable[[Asked], Mischief | None] = lambda asked: None
    sizes: dict[str, int | None] = field(default_factory=dict)
    digests: dict[str, str | None] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """The files' paths, in an order of their own."""
        return sorted(self.files, key=lambda p: hashlib.md5(p.encode()).digest())

    def size(self, path: str) -> int | None:
        """What is said of a file's length."""
        return self.sizes.get(path, len(self.body(path) or b""))

    def digest(self, path: str, algorithm: str = "md5") -> str | None:
        """What is said of a file's bytes."""
        return self.digests.get(path, hashlib.new(algorithm, self.body(path) or b"").hexdigest())

    def number(self, path: str) -> int:
        """A number for a file."""
        return 1000 + sorted(self.files).index(path)

    def path(self, number: str) -> str:
        """The file of a number."""
        found = sorted(self.files)
        return found[int(number) - 1000] if number.isdigit() and 0 <= int(number) - 1000 < len(found) else "?"

    def apis(self, *paths: str) -> list[Asked]:
        """The requests whose path has one of these in it."""
        return [a for a in self.asked if any(p in a.path for p in paths)]


class Api(Handler):
    """An archive's API: `wrong` first, then `api`."""

    state: Deposit
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

    def route(self, asked: Asked) -> None:
        wrong = self.state.wrong(asked)
        if wrong is not None:
            time.sleep(wrong.delay_s)
            return self.send_bytes(wrong.body, wrong.status or 200, wrong.headers)
        return self.api(asked, asked.path)

    def api(self, asked: Asked, path: str) -> None:
        raise NotImplementedError

    def to_store(self, path: str) -> None:
        """Redirect to the server that has the files, by a signed address."""
        if path not in self.state.files:
            return self.missing()
        return self.send_redirect(self.state.store.signed(path))

    def missing(self, **said: Any) -> None:
        self.send_json(said or {"error": "not-found"}, 404)


class Zenodo(Api):
    """GET /records/ID in the shape of `more["shape"]`, its files by API (whole) and by page (ranges)."""

    def api(self, asked: Asked, path: str) -> None:
        state, here = self.state, f"/api/records/{self.state.id}"
        if path == here:
            return self.send_json(self.record(), headers=self.limits())
        if path == f"/api/records/{state.more.get('concept')}":
            return self.send_redirect(f"{state.url}{here}") if state.more.get("redirects", True) else self.missing(status=404, message="gone")
        if path == "/api/records":
            hit = asked.query.get("q") == f"conceptrecid:{state.more.get('concept')}"
            return self.send_json({"hits": {"hits": [self.record()] if hit else [], "total": int(hit)}, "links": {}})
        if path == f"{here}/files":
            return self.send_json({"enabled": True, "order": [], "entries": [self.entry(p) for p in state.paths]})
        if match := re.fullmatch(rf"{here}/files/(.+)/content", path):
            asked.start = asked.stop = None  # no ranges here
            return self.send_file(match[1], {"ETag": f'"md5:{state.digest(match[1])}"' if match[1] in state.files else "", "Accept-Ranges": "none"})
        if match := re.fullmatch(rf"/records/{state.id}/files/(.+)", path):
            return self.send_file(match[1], self.limits())
        return self.missing(status=404, message="The persistent identifier does not exist.")

    def limits(self) -> dict[str, str]:
        # it is told on answers that are no refusals, too
        return {"X-RateLimit-Limit": "133", "X-RateLimit-Remaining": "132", "X-RateLimit-Reset": str(int(time.time()) + 60), "Retry-After": "60"}

    def entry(self, path: str) -> dict[str, Any]:
        own = f"{self.state.url}/api/records/{self.state.id}/files/{quote(path)}"
        found = {"key": path, "checksum": self.checksum(path), "size": self.state.size(path), "status": "completed", "links": {"content": f"{own}/content"}}
        return {k: v for k, v in found.items() if v is not None}

    def checksum(self, path: str) -> str | None:
        value = self.state.digest(path)
        return f"md5:{value}" if value else None

    def record(self) -> dict[str, Any]:
        state, shape = self.state, self.state.more.get("shape", "zenodo")
        people, day = [{"name": "O'Doherty, Joseph E."}, {"name": "Sabes, Philip N."}], "2020-05-26"
        concept, doi = state.more.get("concept", "0"), f"10.5281/zenodo.{state.id}"
        found: dict[str, Any] = {"id": int(state.id), "conceptrecid": concept, "doi": doi, "status": "published"}
        meta: dict[str, Any] = {"title": "Reaching &amp; <i>grasping</i>", "publication_date": day, "description": "<p>Monkeys reach.</p>", "keywords": ["M1"]}
        if shape == "rdm":
            rights = [{"id": "cc-by-4.0", "title": {"en": "Creative Commons Attribution 4.0 International"}}]
            meta |= {"creators": [{"person_or_org": p} for p in people], "rights": rights}
            found = {"id": state.id, "parent": {"id": concept}, "pids": {"doi": {"identifier": doi}}, "status": "published"}
            files: Any = {"enabled": True, "entries": {p: {k: v for k, v in self.entry(p).items() if k != "key"} for p in state.paths}}
        else:
            meta |= {"creators": people, "license": {"id": "cc-by-4.0"}, "access_right": "open", "relations": {"version": [{"index": 0, "is_last": True}]}}
            files = [{"id": f"u{state.number(p)}", **self.entry(p), "links": {"self": self.entry(p)["links"]["content"]}} for p in state.paths]
            if shape == "2023":
                files = [{"id": "u", "filename": p, "filesize": state.size(p), "checksum": state.digest(p)} for p in state.paths]
        meta |= state.more.get("metadata", {})
        found |= {"metadata": meta} | ({} if shape == "bare" else {"files": files}) | state.more.get("record", {})
        return found


class Dryad(Api):
    """Dataset, versions, files in pages of links relative to the host, a token for downloads, redirects to a store."""

    def api(self, asked: Asked, path: str) -> None:
        state = self.state
        accept = asked.headers.get("accept", "*/*")
        if not re.search(r"\*/\*|json", accept):
            return self.send_json({"error": "not-acceptable"}, 406)
        if path == "/oauth/token":
            return self.oauth(asked)
        if re.match(r"/api/v2/datasets/doi:", path) and "doi%3A" + quote(state.id, safe="") not in self.path:
            return self.missing()  # a DOI whose slash was not encoded
        own, version = f"/api/v2/datasets/doi:{state.id}", f"/api/v2/versions/{state.version}"
        if path == own:
            return self.send_json(state.more.get("hidden") or self.dataset())
        if path == f"{own}/versions":
            return self.rows("stash:versions", [self.about("31", 1), self.about(state.version, 2)])
        if path == version:
            return self.send_json(self.about(state.version, 2))
        if path == f"{version}/files":
            return self.rows("stash:files", [self.file(p) for p in state.paths])
        if match := re.fullmatch(r"/api/v2/files/(\d+)/download", path):
            if asked.headers.get("authorization") not in {f"Bearer {t}" for t in state.more.get("tokens", [])}:
                return self.send_json({"error": "Unauthorized, must have current bearer token"}, 401)
            return self.to_store(state.path(match[1]))
        return self.missing()

    def oauth(self, asked: Asked) -> None:
        if asked.method != "POST" or asked.form != {"client_id": "me", "client_secret": "hush", "grant_type": "client_credentials"}:
            return self.send_json({"error": "invalid_client"}, 401)
        tokens = self.state.more.setdefault("tokens", [])
        tokens.append(f"token-{len(self.state.apis('/oauth/token'))}")
        return self.send_json({"access_token": tokens[-1], "token_type": "Bearer", "expires_in": self.state.more.get("lasts", 36000), "created_at": 1})

    def links(self) -> dict[str, Any]:
        escaped = quote(f"doi:{self.state.id}", safe="")
        return {
            "self": {"href": f"/api/v2/datasets/{escaped}"},
            "stash:versions": {"href": f"/api/v2/datasets/{escaped}/versions"},
            "stash:version": {"href": f"/api/v2/versions/{self.state.version}"},
        }

    def dataset(self) -> dict[str, Any]:
        people = [{"firstName": "Francis", "lastName": "Willett"}, {"firstName": "Erin", "lastName": "Kunz"}]
        works = [{"relationship": "primary_article", "identifierType": "DOI", "identifier": "https://doi.org/10.1038/s41586-023-06377-x"}]
        found = {
            "_links": self.links(),
            "identifier": f"doi:{self.state.id}",
            "id": 234,
            "storageSize": 157841,
            "abstract": "<p>Speech.</p>",
            "keywords": ["BCI"],
        }
        found |= {"license": "https://spdx.org/licenses/CC0-1.0.html", "authors": people, "relatedWorks": works, "publicationDate": "2023-08-24"}
        return found | self.about(self.state.version, 2) | {"_links": self.links()}

    def about(self, number: str, count: int) -> dict[str, Any]:
        links = {"self": f"/api/v2/versions/{number}", "stash:dataset": self.links()["self"]["href"], "stash:files": f"/api/v2/versions/{number}/files"}
        status = self.state.more.get("status", "Published")
        return {"_links": {k: {"href": v} for k, v in links.items()}, "title": "A speech neuroprosthesis", "versionNumber": count, "curationStatus": status}

    def file(self, path: str) -> dict[str, Any]:
        number, kind = self.state.number(path), self.state.more.get("digestType", "sha-256")
        links = {
            "self": f"/api/v2/files/{number}",
            "stash:version": f"/api/v2/versions/{self.state.version}",
            "stash:download": f"/api/v2/files/{number}/download",
        }
        found = {"_links": {k: {"href": v} for k, v in links.items()}, "path": path, "size": self.state.size(path), "mimeType": "text/csv", "status": "copied"}
        value = self.state.digest(path, kind.replace("-", ""))
        return found | ({"digest": value, "digestType": kind} if value else {})

    def rows(self, kind: str, rows: list[Any]) -> None:
        page, most = int(self.asked.query.get("page", 1)), min(int(self.asked.query.get("per_page", 20)), self.state.page)
        last = max(-(-len(rows) // most), 1)
        links = {n: {"href": f"{quote(self.asked.path)}?page={p}"} for n, p in {"self": page, "first": 1, "last": last}.items()}
        if page < last:
            links["next"] = {"href": f"{quote(self.asked.path)}?page={page + 1}"}
        shown = rows[(page - 1) * most : page * most]
        self.send_json({"_links": links, "count": len(shown), "total": len(rows), "_embedded": {kind: shown}})


class Osf(Api):
    """Folders that list themselves in pages; downloads that redirect twice. `more`: children {id: {path: bytes}}, kind."""

    def api(self, asked: Asked, path: str) -> None:
        state, kind = self.state, self.state.more.get("kind", "nodes")
        if match := re.fullmatch(r"/v2/(nodes|registrations)/(\w+)/(.*)", path):
            if match[1] != kind or match[2] not in (state.id, *state.more.get("children", {})):
                return self.send_json({"errors": [{"detail": "Not found."}]}, 404)
            return self.node(match[2], match[3])
        if path.startswith("/download/"):
            if not path.endswith("/"):
                return self.send_redirect(f"{path}/?{urlencode(asked.query)}", 301)
            return self.send_redirect(f"{state.url}/v1/resources/{state.id}/providers/osfstorage/{path.split('/')[2]}?{urlencode(asked.query)}")
        if match := re.fullmatch(r"/v1/resources/\w+/providers/osfstorage/(\w+)", path):
            return self.to_store(state.path(match[1].removeprefix("f"))) if asked.query.get("version") == state.version else self.missing()
        return self.missing()

    def node(self, node: str, rest: str) -> None:
        kind = self.state.more.get("kind", "nodes")
        if rest == "":
            licence = {"embeds": {"license": {"data": {"id": "x", "attributes": {"name": "CC-By Attribution 4.0 International"}}}}}
            what = {"title": "Neuroethology", "description": "Monkeys move.", "tags": ["macaque"], "date_created": "2024-03-01T10:00:00", "public": True}
            asked = self.asked.query.get("embed") == "license"
            return self.send_json(
                {"data": {"id": node, "type": kind, "attributes": what | self.state.more.get("attributes", {}), **(licence if asked else {})}}
            )
        if rest == "citation/":
            people = [{"family": "Lanzarini", "given": "Francesca"}, {"family": "Maranesi", "given": "Monica"}]
            said = {"title": "Neuroethology", "author": people, "doi": "10.17605/OSF.IO/82JFR"}
            return self.send_json({"data": {"id": node, "type": "node-citation", "attributes": said}})
        if rest == "children/":
            return self.rows([{"id": c, "type": kind, "attributes": {}} for c in self.state.more.get("children", {}) if node == self.state.id])
        if match := re.fullmatch(r"files/osfstorage/(?:d(\w+)/)?", rest):
            return self.rows(self.folder(node, bytes.fromhex(match[1]).decode() if match[1] else ""))
        return self.missing()

    def folder(self, node: str, below: str) -> list[dict[str, Any]]:
        paths = self.state.paths if node == self.state.id else self.state.more["children"][node]
        inside = sorted({p.removeprefix(below).partition("/")[::2] for p in paths if p.startswith(below)}, key=lambda x: (x[0].lower(), x[1]))
        folders = sorted({first for first, rest in inside if rest})
        found = [self.entry(node, f"{below}{name}/") for name in folders]
        return found + [self.entry(node, f"{below}{first}") for first, rest in inside if not rest]

    def entry(self, node: str, path: str) -> dict[str, Any]:
        kind = self.state.more.get("kind", "nodes")
        what: dict[str, Any] = {"name": path.rstrip("/").rpartition("/")[2], "provider": "osfstorage", "materialized_path": f"/{path}"}
        if path.endswith("/"):
            href = f"{self.state.url}/v2/{kind}/{node}/files/osfstorage/d{path.encode().hex()}/"
            related = {"files": {"links": {"related": {"href": href}}}}
            return {"id": "d", "type": "files", "attributes": what | {"kind": "folder"}, "relationships": related, "links": {}}
        file = f"f{self.state.number(path)}" if path in self.state.files else "f0"
        hashes = {a: self.state.digest(path, a) for a in ("md5", "sha256")}
        what |= {"kind": "file", "size": self.state.size(path), "path": f"/{file}", "current_version": int(self.state.version), "extra": {"hashes": hashes}}
        return {"id": file, "type": "files", "attributes": what, "links": {"download": f"{self.state.url}/download/{file}/"}}

    def rows(self, rows: list[Any]) -> None:
        page, most = int(self.asked.query.get("page", 1)), min(int(self.asked.query.get("page[size]", 10)), self.state.page)
        more = page * most < len(rows)
        link = f"{self.state.url}{quote(self.asked.path)}?{urlencode({'page': page + 1, 'page[size]': most})}" if more else None
        self.send_json({"data": rows[(page - 1) * most : page * most], "links": {"next": link, "prev": None, "meta": {"total": len(rows), "per_page": most}}})


class Figshare(Api):
    """Articles, their versions, files in bare pages; three forms of a download. `more`: version_files, links, article, page_size."""

    def api(self, asked: Asked, path: str) -> None:
        state, own = self.state, f"/v2/articles/{self.state.id}"
        rows = [self.file(p) for p in state.paths] + state.more.get("links", [])
        if path == own:
            return self.send_json(self.article(rows))
        if path == f"{own}/versions":
            return self.send_json([{"version": v, "url": f"{state.url}{own}/versions/{v}"} for v in range(1, int(state.version) + 1)])
        if match := re.fullmatch(rf"{own}/versions/(\d+)", path):
            if int(match[1]) > int(state.version):
                return self.send_json({"message": "Entity not found: article", "code": "EntityNotFound"}, 404)
            return self.send_json(self.article(rows) | {"version": int(match[1])} | state.more.get("old", {}))
        if path == f"{own}/files" or (path == f"{own}/versions/{state.version}/files" and state.more.get("version_files", True)):
            return self.page(rows)
        if match := re.fullmatch(r"/v2/file/download/(\d+)|/files/(\d+)", path):
            return self.to_store(state.path(match[1] or match[2]))
        if path.startswith("/ndownloader/"):
            return self.send_bytes(b"", 202, {"x-amzn-waf-action": "challenge"})
        return self.send_json({"message": "Entity not found", "code": "EntityNotFound"}, 404)

    def article(self, rows: list[Any]) -> dict[str, Any]:
        licence = {"value": 1, "name": "CC BY", "url": "https://creativecommons.org/licenses/by/4.0/"}
        found = {"id": int(self.state.id), "title": "Eight-probe recordings", "version": int(self.state.version), "license": licence, "files": rows[:2]}
        found |= {"doi": f"10.6084/m9.figshare.{self.state.id}.v{self.state.version}", "published_date": "2019-03-25T12:00:00Z", "tags": ["Neuropixels"]}
        found |= {"authors": [{"full_name": "Carsen Stringer"}, {"full_name": "Marius Pachitariu"}], "resource_doi": "10.1126/science.aav7893"}
        found |= {"size": sum(r["size"] for r in rows), "url_public_html": f"https://figshare.com/articles/dataset/x/{self.state.id}"}
        return found | self.state.more.get("article", {})

    def file(self, path: str) -> dict[str, Any]:
        number = self.state.number(path)
        found = {"id": number, "name": self.state.more.get("names", {}).get(path, path.replace("/", " ")), "size": self.state.size(path), "is_link_only": False}
        return found | {"download_url": f"https://figshare.com/ndownloader/files/{number}", "supplied_md5": "", "computed_md5": self.state.digest(path) or ""}

    def page(self, rows: list[Any]) -> None:
        query = self.asked.query
        if "page" in query and "offset" in query:
            return self.send_json({"message": "both", "code": "BadRequest"}, 422)
        page, most = int(query.get("page", 1)), min(int(query.get("page_size", 10)), self.state.more.get("page_size", 1000))
        return self.send_json(rows[(page - 1) * most : page * most])


def fetched(archive: Archive, asset: Asset, web: Web, cache: Path) -> bytes:
    """The bytes of a file, fetched and verified as a build would."""
    return fetch(archive, asset, web, cache).read_bytes()


class Store(Handler):
    """The server that signed addresses lead to."""

    disable_nagle_algorithm = True


@contextmanager
def deposit(handler: type[Api], files: Mapping[str, bytes] | Path, **about: Any) -> Iterator[Any]:
    """Serve files, or a folder, as an archive would; gives the state of its API, whose `store` is that of the server behind it."""
    state = Deposit(**about)
    if isinstance(files, Path):
        state.add_folder(files)
    else:
        state.files = dict(files)
    state.store.files = state.files
    with serving(Store, state.store), serving(handler, state):
        yield state


def made(names: tuple[str, ...] = AWKWARD) -> dict[str, bytes]:
    """Bytes under names; the last is empty."""
    return {n: b"" if n == names[-1] else json.dumps([n] * (50 * i + 7)).encode() for i, n in enumerate(names)}
