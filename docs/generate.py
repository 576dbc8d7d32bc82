"""Write docs/commands.md from the commands' own help, and docs/datasets.md from the recipes. Run by `make docs`; a test compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.core
from typer.main import get_command

from neuropile import catalog
from neuropile.cli import app


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its full name, those of groups too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def render() -> str:
    """The reference of every command, as Markdown."""
    group = get_command(app)
    lines = ["# Commands", "", "Generated from `neuropile COMMAND --help` by `make docs`.", ""]
    for name, command in commands(group):
        lines += [f"## neuropile {name}", "", (command.help or "").strip(), "", "| option | meaning | default |", "|---|---|---|"]
        for p in command.params:
            if p.name == "help":
                continue
            is_option = isinstance(p, typer.core.TyperOption)
            label = ", ".join(p.opts) if is_option else (p.name or "").upper()
            shown = "" if p.default is None or p.required or callable(p.default) else "off" if p.default is False else str(p.default)
            lines.append(f"| `{label}` | {p.help} | {'required' if p.required else shown} |")
        lines.append("")
    return "\n".join(lines)


_DATASETS = """# Datasets

Generated from the recipes by `make docs`. `neuropile catalog KEY` tells the same, `neuropile build KEY --store store` builds one.

*Upstream* are the published scripts of neural-pile-rodent and neural-pile-primate, whose corpora hold these datasets as 20 ms counts.
Tokens are unit x 20 ms cells as published by the neural-pile projects. No archive could be reached where these recipes were
written: each was tried on what its last line names, and on no more than that. `neuropile build KEY --check` fetches one
smallest session and tells where it is not as the recipe says.
"""


def render_datasets() -> str:
    """A section a dataset: where it is, its terms, what differs and on what it was tested."""
    rows = [catalog.row(r) for r in catalog.everything()]
    lines = [_DATASETS, "| key | species | sessions | tokens | quantity | licence | archive |", "|---|---|---|---|---|---|---|"]
    for r in sorted(rows, key=lambda r: -(r["tokens"] or 0)):
        terms = r["license"] or (f"[terms]({r['terms_url']})" if r["terms_url"] else "not stated")
        numbers = [f"{r[name]:,}" if r[name] else "" for name in ("sessions", "tokens")]
        lines.append(f"| [{r['key']}](#{r['key']}) | {r['species']} | {numbers[0]} | {numbers[1]} | {r['quantity']} | {terms} | {r['archive']} |")
    for r in rows:
        lines += ["", f"## {r['key']}", "", f"{r['title']}.", "", f"- {r['species']}; {r['areas']}; {r['task']}"]
        lines += [f"- `{r['archive']}`, {terms_of(r)}", f"- cite: {r['citation']}"]
        if r["tokens_expected"]:
            lines.append(f"- expected here: {r['tokens_expected']:,} tokens, {r['tokens_reason']}")
        lines += [f"- {told}" for told in r["differs"]]
        lines.append(f"- tested on {r['tested_on']}")
    return "\n".join(lines) + "\n"


def terms_of(r: dict[str, Any]) -> str:
    """The licence or terms of a dataset, in words."""
    return r["license"] or (f"under [its owner's terms]({r['terms_url']})" if r["terms_url"] else "no licence stated")


if __name__ == "__main__":
    (Path(__file__).parent / "datasets.md").write_text(render_datasets(), encoding="utf-8")
    (Path(__file__).parent / "commands.md").write_text(render(), encoding="utf-8")
