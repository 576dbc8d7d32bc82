"""Write docs/commands.md from the commands' own help. Run by `make docs`; a test compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.core
from typer.main import get_command

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


if __name__ == "__main__":
    (Path(__file__).parent / "commands.md").write_text(render(), encoding="utf-8")
