"""Writes the generated pages of the documentation: `python docs/generate.py`."""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import howfar
from howfar import errors

DOCS = Path(__file__).parent
SOURCE = Path(howfar.__file__).parent
NOTICE = "<!-- Written by docs/generate.py -->\n\n"


def commands_page() -> str:
    """The command line's help, by Typer's own writer."""
    command = [sys.executable, "-m", "typer", "howfar.cli", "utils", "docs", "--name", "howfar", "--title", "Commands"]
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb"}
    return NOTICE + subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def python_page() -> str:
    """Signatures and docstrings of `howfar`'s public names."""
    parts = [f"{NOTICE}# Python\n\n{inspect.getdoc(howfar)}\n"]
    for name in sorted(howfar.__all__, key=str.lower):
        thing = getattr(howfar, name)
        parts.append(f"## `{name}`\n\n{_described(name, thing)}")
        if inspect.isclass(thing):
            members = [
                (member, value)
                for member, value in vars(thing).items()
                if not member.startswith("_") and value.__doc__ and (callable(value) or isinstance(value, property))
            ]
            parts += [f"### `{name}.{member}`\n\n{_described(member, value)}" for member, value in members]
    return "\n".join(parts)


def _described(name: str, thing: object) -> str:
    signature = ""
    with contextlib.suppress(TypeError, ValueError):
        signature = f"```text\n{name}{inspect.signature(thing)}\n```\n\n"  # type: ignore[arg-type]
    return f"{signature}```text\n{inspect.getdoc(thing)}\n```\n"


def errors_page() -> str:
    """Every message that the source can raise, by class; `…` stands for what varies."""
    messages: dict[str, set[str]] = defaultdict(set)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                message = _pattern(node.exc.args[0])
                if message.strip("… "):
                    messages[ast.unparse(node.exc.func)].add(message)
    parts = [
        f"{NOTICE}# Errors\n\n"
        "The command line prints one line, `error: …`, and exits with code 2; `--debug` shows where it came from. In\n"
        "Python each is an exception from `howfar.errors`. Here `…` stands for what differs from case to case.\n"
    ]
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and messages[name]:
            rows = [f"| {_cell(got)} | {_cell(do)} |" for got, do in sorted(map(_in_two, messages[name]))]
            parts.append(
                f"## {name}\n\n{inspect.getdoc(kind)}\n\n| It says | What to do |\n|---|---|\n" + "\n".join(rows) + "\n"
            )
    return "\n".join(parts)


def _pattern(node: ast.expr) -> str:
    """The text of a message, with `…` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return _pattern(node.left) + _pattern(node.right)
    return "…"


def _in_two(message: str) -> tuple[str, str]:
    """What was got, and what to do: a message's last clause."""
    got, semicolon, do = message.rpartition("; ")
    return (got, do) if semicolon else (message, "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PAGES = {"reference/commands.md": commands_page, "reference/python.md": python_page, "errors.md": errors_page}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (DOCS / page).write_text(write().rstrip() + "\n", encoding="utf-8")
