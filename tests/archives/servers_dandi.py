"""A loopback DANDI: its API on one port, its bucket on another that takes no credentials, over any local folder."""

from __future__ import annotations

import fnmatch
import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from archives.loopback import Asked, Handler, State, serving

PART = 64 << 20


def dandi_etag(data: bytes) -> str:
    """DANDI's ETag of a file of fewer than 10 000 parts."""
    parts = [data[i : i + PART] for i in range(0, len(data), PART)] or [b""]
    return f"{hashlib.md5(b''.join(hashlib.md5(p).digest() for p in parts)).hexdigest()}-{len(parts)}"


def zarr_checksum(folder: Path) -> tuple[str, int, int]:
    """DANDI's checksum of a Zarr folder, with its number of files and bytes: the rule written down once more, over folders."""
    directories, files, n_files, n_bytes = [], [], 0, 0
    for entry in sorted(folder.iterdir(), key=lambda p: p.name):
        if entry.is_dir():
            digest, count, size = zarr_checksum(entry)
            directories.append((digest, entry.name, size))
            n_files, n_bytes = n_files + count, n_bytes + size
        else:
            data = entry.read_bytes()
            files.append((hashlib.md5(data).hexdigest(), entry.name, len(data)))
            n_files, n_bytes = n_files + 1, n_bytes + len(data)

    def rows(entries: list[tuple[str, str, int]]) -> str:
        return ",".join(f'{{"digest":"{d}","name":"{n}","size":{s}}}' for d, n, s in entries)

    text = f'{{"directories":[{rows(directories)}],"files":[{rows(files)}]}}'
    return f"{hashlib.md5(text.encode()).hexdigest()}-{n_files}--{n_bytes}", n_files, n_bytes


@dataclass
class DandiState(State):
    """What the API serves.

    bucket : the server of the bytes; public : assets tell their address there, as those of open dandisets do
    versions : rows of assets by (dandiset, version); meta : the metadata of a version; key : needed where it is set
    page : the most rows of a page; digests : which of dandi-etag, sha2-256, dandi-zarr-checksum are told
    """

    bucket: State = field(default_factory=lambda: State(foreign=True))
    public: bool = True
    versions: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    meta: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    zarrs: dict[str, Path] = field(default_factory=dict)
    key: str | None = None
    page: int = 1000
    digests: tuple[str, ...] = ("dandi-etag", "sha2-256", "dandi-zarr-checksum")

    @property
    def api(self) -> str:
        """The address of the API."""
        return f"{self.url}/api"

    def add_dandiset(self, folder: Path, dandiset: str, version: str = "draft", **meta: Any) -> None:
        """Every file and Zarr folder below a folder as an asset under its path there."""
        rows = []
        zarrs = [p for p in folder.rglob("*.zarr") if p.is_dir()]
        for path in sorted([*zarrs, *(p for p in folder.rglob("*") if p.is_file() and not any(z in p.parents for z in zarrs))]):
            rows.append(self._row(path, path.relative_to(folder).as_posix(), f"{dandiset}/{version}"))
        self.versions[dandiset, version] = rows
        self.meta[dandiset, version] = {
            "name": f"Dandiset {dandiset}",
            "license": ["spdx:CC-BY-4.0"],
            "citation": f"Doe, J. (2024) Dandiset {dandiset} (Version {version}) [Data set]. DANDI Archive.",
            **meta,
        }

    def _row(self, path: Path, name: str, where: str) -> dict[str, Any]:
        asset = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{where}/{name}"))
        row = {"asset_id": asset, "blob": None, "zarr": None, "path": name, "created": "2024-05-01T10:00:00Z", "modified": "2024-05-01T10:00:00Z"}
        if path.is_dir():
            row["zarr"] = zarr = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{asset}/zarr"))
            self.zarrs[zarr] = path
            self.bucket.add_folder(path, f"zarr/{zarr}/")
            checksum, _, size = zarr_checksum(path)
            told, place = {"dandi-zarr-checksum": checksum}, f"zarr/{zarr}/"
        else:
            data = path.read_bytes()
            row["blob"] = blob = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{asset}/blob"))
            place = f"blobs/{blob[:3]}/{blob[3:6]}/{blob}"
            self.bucket.files[place] = path
            told, size = {"dandi-etag": dandi_etag(data), "sha2-256": hashlib.sha256(data).hexdigest()}, len(data)
        urls = [f"{{api}}/assets/{asset}/download/", f"{{bucket}}/{place}"]
        digest = {f"dandi:{k}": v for k, v in told.items()}
        return {**row, "size": size, "_place": place, "_meta": {"path": name, "contentSize": size, "digest": digest, "contentUrl": urls}}


class Dandi(Handler):
    """Answers as DANDI's API does."""

    def route(self, asked: Asked) -> None:
        state: DandiState = self.state
        if state.key is not None and asked.headers.get("authorization") != f"token {state.key}":
            status = 403 if "authorization" in asked.headers else 401
            return self.send_json({"detail": "Authentication credentials were not provided."}, status)
        with state.lock:
            mischief = state.next.pop(0) if state.next else state.mischief(asked)
        if mischief is not None and mischief.status is not None:
            return self.send_bytes(mischief.body, mischief.status, mischief.headers)
        parts = [p for p in asked.path.removeprefix("/api/").split("/") if p]
        if parts[0] == "dandisets" and asked.path.endswith("/"):
            return self._dandiset(state, parts[1:])
        if (parts[0] == "assets" and parts[-1] in ("download", "info")) or (parts[0] == "assets" and len(parts) == 2):
            return self._asset(state, parts[1], parts[2] if len(parts) > 2 else "")
        if parts[0] == "zarr" and parts[1] in state.zarrs:
            return self._zarr(state, parts[1], asked.query)
        return self._missing()

    def _missing(self) -> None:
        self.send_json({"detail": "Not found."}, 404)

    def _dandiset(self, state: DandiState, parts: list[str]) -> None:
        own = sorted(v for d, v in state.versions if d == parts[0])
        if not own:
            return self._missing()
        if len(parts) == 1:
            newest = next(({"version": v, "status": "Published"} for v in reversed(own) if v != "draft"), None)
            return self.send_json(
                {"identifier": parts[0], "embargo_status": "OPEN", "most_recent_published_version": newest, "draft_version": {"version": "draft"}}
            )
        if parts[1] != "versions" or len(parts) < 3 or (parts[0], parts[2]) not in state.versions:
            return self._missing()
        if len(parts) == 3:
            return self.send_json(state.meta[parts[0], parts[2]])
        return self._assets(state, (parts[0], parts[2])) if parts[3] == "assets" and len(parts) == 4 else self._missing()

    def _assets(self, state: DandiState, version: tuple[str, str]) -> None:
        query = self.asked.query
        rows = [r for r in state.versions[version] if fnmatch.fnmatch(r["path"].lower(), query.get("glob", "*").lower())]
        page, n = int(query.get("page", 1)), min(int(query.get("page_size", 100)), state.page)
        shown = [{k: v for k, v in r.items() if not k.startswith("_")} for r in rows[(page - 1) * n : page * n]]
        if query.get("metadata") == "true":
            for row, held in zip(shown, rows[(page - 1) * n : page * n], strict=True):
                row["metadata"] = self._meta(state, held)
        more = "&".join(f"{k}={quote(v)}" for k, v in query.items() if k != "page")
        after = f"{state.api}/dandisets/{version[0]}/versions/{version[1]}/assets/?{more}&page={page + 1}" if page * n < len(rows) else None
        self.send_json({"count": len(rows) if page == 1 else None, "next": after, "previous": None, "results": shown})

    def _meta(self, state: DandiState, row: dict[str, Any]) -> dict[str, Any]:
        meta = row["_meta"]
        urls = [u.format(api=state.api, bucket=state.bucket.url) for u in meta["contentUrl"]]
        digest = {k: v for k, v in meta["digest"].items() if k.removeprefix("dandi:") in state.digests}
        return {**meta, "digest": digest, "contentUrl": urls if state.public else urls[:1]}

    def _asset(self, state: DandiState, asset: str, what: str) -> None:
        row = next((r for rows in state.versions.values() for r in rows if r["asset_id"] == asset), None)
        if row is None:
            return self._missing()
        if what == "download":
            if row["zarr"]:
                return self.send_bytes(b"Unable to provide download link for zarr assets.", 400)
            return self.send_redirect(state.bucket.signed(row["_place"]))
        return self.send_json({**{k: v for k, v in row.items() if not k.startswith("_")}, **self._meta(state, row)})

    def _zarr(self, state: DandiState, zarr: str, query: dict[str, str]) -> None:
        folder = state.zarrs[zarr]
        keys = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        prefix = query.get("prefix", "").rstrip("/")
        if query.get("download") == "true":
            return self.send_redirect(state.bucket.signed(f"zarr/{zarr}/{prefix}"))
        n = min(int(query.get("limit", 1000)), state.page)
        keys = [k for k in keys if k.startswith(prefix) and k > query.get("after", "")]
        rows = [
            {"Key": k, "LastModified": "2024-01-01T00:00:00Z", "ETag": hashlib.md5((folder / k).read_bytes()).hexdigest(), "Size": (folder / k).stat().st_size}
            for k in keys[:n]
        ]
        after = f"{state.api}/zarr/{zarr}/files/?limit={n}&after={quote(keys[n - 1], safe='')}" if len(keys) > n else None
        return self.send_json({"next": after, "results": rows})


@contextmanager
def dandi_serving(state: DandiState | None = None) -> Iterator[DandiState]:
    """Serve a DANDI and its bucket while the block runs; `state.api` is what NEUROPILE_DANDI_URL should say."""
    state = DandiState() if state is None else state
    with serving(Handler, state.bucket), serving(Dandi, state):
        yield state
