"""Servers on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import s3fs
from moto.server import ThreadedMotoServer

from benchmarks.serving import Served, serving

__all__ = ["Served", "s3_serving", "serving"]


@contextmanager
def s3_serving(bucket: str) -> Iterator[dict[str, Any]]:
    """An S3 server with one bucket: the options s3fs needs to reach it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
    try:
        s3fs.S3FileSystem(**options).mkdir(bucket)
        yield options
    finally:
        server.stop()
