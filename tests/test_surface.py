"""The package's own door: light to import, its names there, its help quick."""

from __future__ import annotations

import subprocess
import sys

import neuropile

HEAVY = ("numpy", "pandas", "pyarrow", "numba", "h5py", "zarr", "xarray", "duckdb", "matplotlib", "torch", "datasets")


def modules_after(code: str) -> set[str]:
    out = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sorted(sys.modules))"], capture_output=True, text=True, check=True)
    return set(out.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_not_even_numpy() -> None:
    loaded = modules_after("import neuropile")
    assert not loaded & set(HEAVY)
    assert {m for m in loaded if m.startswith("neuropile")} == {"neuropile"}


def test_help_loads_typer_rich_and_the_standard_library_only() -> None:
    loaded = modules_after("import sys\nsys.argv=['neuropile','--help']\nfrom neuropile.cli import app\ntry: app()\nexcept SystemExit: pass")
    assert not loaded & set(HEAVY)


def test_every_public_name_is_there_and_listed() -> None:
    assert set(neuropile.__all__) == set(dir(neuropile))
    assert len(neuropile.__all__) <= 15
    for name in neuropile.__all__:
        assert getattr(neuropile, name) is not None


def test_no_public_function_shares_its_modules_name() -> None:
    functions = {n for n in neuropile.__all__ if callable(getattr(neuropile, n)) and n.islower()}
    homes = {neuropile._HOME[n] for n in functions if n in neuropile._HOME}
    assert not functions & homes
