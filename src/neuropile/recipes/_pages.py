"""Recipes on pages of one's own: a `.py` file run as a module, which other processes of this machine find again by its path."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from neuropile.errors import NeuropileError

#: Before the path, in hex, in the name of a page's module: what is defined there is told to a worker by that name.
_PREFIX = "neuropile_page_"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the module of a page by the path in its name."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """See MetaPathFinder."""
        if not fullname.startswith(_PREFIX):
            return None
        file = bytes.fromhex(fullname.removeprefix(_PREFIX)).decode()
        return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, file))


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a page as it stands: no compiled copy is read, which may be of a page that was changed since, or left beside it."""

    def get_code(self, fullname: str) -> CodeType:
        """See SourceFileLoader."""
        return self.source_to_code(self.get_data(self.path), self.path)


if not any(type(f).__qualname__ == _Finder.__qualname__ and type(f).__module__ == __name__ for f in sys.meta_path):
    sys.meta_path.append(_Finder())


def run(path: Path) -> ModuleType:
    """The module of a page, run anew.

    Raises
    ------
    NeuropileError : there is no such file, or it does not run, whatever is wrong with it
    """
    try:
        there, name = path.is_file(), f"{_PREFIX}{str(path.resolve()).encode().hex()}"
    except (ValueError, OSError):  # no name of a file
        there, name = False, ""
    if not there:
        raise NeuropileError(f"{path}: no such recipe; begin one with: neuropile recipe new dandi:ID")
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except NeuropileError as e:
        raise NeuropileError(f"{path}: {e}") from None
    except (Exception, SystemExit, KeyboardInterrupt) as e:  # whatever somebody's page does: sys.exit() in it is no end of ours
        said = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
        raise NeuropileError(f"{path}: not a recipe ({said}); see one with: neuropile recipe show steinmetz") from None
