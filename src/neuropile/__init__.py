"""neuropile: the world's public neural recordings as one corpus to query, look at, train on and benchmark against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuropile.building import ingest
    from neuropile.counting import mask_of
    from neuropile.datasets import build
    from neuropile.errors import NeuropileError
    from neuropile.pile import Pile, open_pile
    from neuropile.piling import make_pile
    from neuropile.segment import Segment
    from neuropile.session import Session
    from neuropile.store import Store, create_store, open_store
    from neuropile.video import open_video
    from neuropile.voltage import open_voltage

_HOME = {
    "NeuropileError": "errors",
    "Pile": "pile",
    "Segment": "segment",
    "Session": "session",
    "Store": "store",
    "build": "datasets",
    "create_store": "store",
    "ingest": "building",
    "make_pile": "piling",
    "mask_of": "counting",
    "open_pile": "pile",
    "open_store": "store",
    "open_video": "video",
    "open_voltage": "voltage",
}

__all__ = [
    "NeuropileError",
    "Pile",
    "Segment",
    "Session",
    "Store",
    "__version__",
    "build",
    "create_store",
    "ingest",
    "make_pile",
    "mask_of",
    "open_pile",
    "open_store",
    "open_video",
    "open_voltage",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first used: importing the package loads nothing else."""
    if name == "__version__":
        from importlib.metadata import version

        return version("neuropile")
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"neuropile.{_HOME[name]}"), name)
    raise AttributeError(f"module 'neuropile' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
