"""The map of the package: a module imports only rows before its own, function bodies included."""

from __future__ import annotations

import ast
from pathlib import Path

import neuropile

ROOT = Path(neuropile.__file__).parent

ROWS = [
    {"errors"},
    {"types", "paths", "progress", "splits", "permuting", "card", "remote", "licence_names", "regions", "ibl"},
    {"parquet", "listed", "digest", "markers", "object_files", "linked"},
    {"groups", "object_locks"},
    {"kernels", "spans", "layout", "events", "parts"},
    {"run", "binning", "readers", "archives"},
    {"counting", "recipes", "locks", "searching", "voltage", "video"},
    {"session", "writing", "planning", "catalog", "recipe_page", "one"},
    {"index", "exporting", "session_files", "own_columns"},
    {"store"},
    {"building", "published", "segment", "pilefile"},
    {"published_folder", "builds"},
    {"sources", "datasets"},
    {"pile"},
    {"publishing"},
    {"piling", "hub"},
    {"corpus"},
    {"training", "motifs", "tokens", "ordering", "stats", "plotting", "verifying", "shown"},
    {"testing", "allen"},
    {"cli"},
    {"__main__"},
]
ROW_OF = {name: i for i, row in enumerate(ROWS) for name in row}
#: The two towers meet only at the store: what reads sources is not needed to use a store.
MAKING = {"readers", "building", "archives", "recipes", "locks", "planning", "catalog", "recipe_page", "session_files", "builds", "datasets"}
USING = {"published", "publishing", "corpus", "sources", "segment", "pile", "piling", "hub", "plotting", "training", "motifs", "tokens", "ordering", "stats"}
#: Methods that hand a pile or a session on; the only imports upwards, inside a function.
UPWARD = {("pile", "hub"), ("pile", "ordering"), ("pile", "training"), ("pile", "training.loader"), ("session", "exporting")}


def modules() -> dict[str, Path]:
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"}


def imports(path: Path) -> set[str]:
    """The neuropile modules a file imports anywhere, as dotted names without the package's own."""
    known = {m.removesuffix(".__init__") for m in modules()}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("neuropile.") for a in node.names if a.name.startswith("neuropile.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "neuropile":
            base = (node.module or "").removeprefix("neuropile").lstrip(".")
            for alias in node.names:
                dotted = f"{base}.{alias.name}".lstrip(".")
                found.add(dotted if dotted in known else base)
    return found - {""}


def row_name(module: str) -> str:
    return module.split(".")[0]


def test_every_module_has_a_row() -> None:
    assert {row_name(m) for m in modules()} == set(ROW_OF)


def test_no_module_imports_its_own_row_or_a_later_one() -> None:
    wrong = []
    for module, path in modules().items():
        for other in imports(path):
            a, b = row_name(module), row_name(other)
            if a != b and ROW_OF[b] >= ROW_OF[a] and (a, b) not in UPWARD:
                wrong.append(f"{module} imports {other}")
    assert not wrong


def test_no_two_modules_import_each_other_even_through_others() -> None:
    graph = {m.removesuffix(".__init__"): imports(p) - {m.removesuffix(".__init__")} for m, p in modules().items()}
    done: set[str] = set()

    def walk(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"cycle: {' -> '.join((*above, module))}"
        if module not in done:
            for other in sorted(graph.get(module, ())):
                if (module, other) not in UPWARD:
                    walk(other, (*above, module))
            done.add(module)

    for module in sorted(graph):
        walk(module, ())


def test_no_package_has_a_module_by_the_name_of_something_it_defines() -> None:
    """Importing such a module, anywhere, would put it in the place of the function."""
    wrong = []
    for package in (p.parent for p in ROOT.rglob("__init__.py")):
        defined = {n.name for n in ast.parse((package / "__init__.py").read_text()).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        held = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
        wrong += [f"{package.relative_to(ROOT)}: {name}" for name in sorted(defined & held)]
    assert not wrong


def test_using_a_store_never_imports_what_makes_one() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in modules().items():
        graph.setdefault(row_name(module), set()).update(row_name(m) for m in imports(path))
    reached, todo = set(), set(USING)
    while todo:
        reached |= todo
        todo = {n for m in todo for n in graph[m]} - reached
    assert not reached & MAKING


def test_no_file_is_longer_than_400_lines() -> None:
    too_long = {m: n for m, p in modules().items() if (n := len(p.read_text().splitlines())) > 400}
    assert not too_long


def test_no_function_takes_more_than_seven_parameters() -> None:
    """Command functions and make_pile, whose options are the surface, excepted."""
    wrong = []
    for module, path in modules().items():
        if row_name(module) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
                if len(names) > 7 and node.name != "make_pile":
                    wrong.append(f"{module}.{node.name} takes {len(names)}")
    assert not wrong


def test_nothing_is_ever_unpickled() -> None:
    forbidden = ("import pickle", "allow_pickle=True", "pickle.load", "marshal.load", "dill", "joblib", "torch.load")
    assert not [(m, w) for m, p in modules().items() for w in forbidden if w in p.read_text()]
