"""A public bucket on loopback: its keys a page at a time, and objects, older versions of which may stay."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from archives.loopback import Asked, Handler, State


@dataclass
class S3(State):
    """One bucket by path. Of a key `k`, version `v` is the file `k?v` where there is one, else `k`. page : most keys of a page."""

    bucket: str = "b"
    page: int = 3

    def held(self, key: str, version: str | None) -> str:
        """The file that answers for a key."""
        return f"{key}?{version}" if version and f"{key}?{version}" in self.files else key


class Bucket(Handler):
    """ListObjectsV2 and objects."""

    def route(self, asked: Asked) -> Any:
        state: S3 = self.state
        name, _, key = asked.path.lstrip("/").partition("/")
        if name != state.bucket:
            return self.send_bytes(b"<Error><Code>NoSuchBucket</Code></Error>", 404)
        if key:
            return self.send_file(state.held(key, asked.query.get("versionId")))
        if state.next:
            mischief = state.next.pop(0)
            return self.send_bytes(mischief.body, mischief.status or 200, mischief.headers)
        keys = sorted((k for k in state.files if k.startswith(asked.query.get("prefix", "")) and "?" not in k), key=str.encode)
        left = [k for k in keys if k > asked.query.get("continuation-token", "").removesuffix("+/=")]
        rows = "".join(self._row(k, state.files[k]) for k in left[: state.page])
        more = "<IsTruncated>false</IsTruncated>"
        if len(left) > state.page:
            token = left[state.page - 1]
            more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}+/=</NextContinuationToken>"
        text = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>{more}{rows}</ListBucketResult>'
        return self.send_bytes(text.encode(), 200, {"Content-Type": "application/xml"})

    def _row(self, key: str, held: bytes | Path) -> str:
        data = held.read_bytes() if isinstance(held, Path) else held
        etag = hashlib.md5(data).hexdigest()
        return f"<Contents><Key>{escape(quote(key))}</Key><ETag>&quot;{etag}&quot;</ETag><Size>{len(data)}</Size></Contents>"
