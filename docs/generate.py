"""Writes the generated pages of the documentation: `python docs/generate.py`."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import textwrap
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from types import FunctionType

import howfar
from howfar import errors, training

DOCS = Path(__file__).parent
SOURCE = Path(howfar.__file__).parent
NOTICE = "<!-- Written by docs/generate.py -->\n\n"


def commands_page() -> str:
    """The command line's help, by Typer's own writer."""
    command = [sys.executable, "-m", "typer", "howfar.cli", "utils", "docs", "--name", "howfar", "--title", "Commands"]
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb"}
    return NOTICE + subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def python_page() -> str:
    """Signatures and docstrings of the public names."""
    parts = [f"{NOTICE}# Python\n"]
    for module in (howfar, training):
        parts.append(f"## {module.__name__}\n\n```text\n{inspect.getdoc(module)}\n```\n")
        for name in sorted(module.__all__, key=str.lower):
            thing = getattr(module, name)
            parts.append(f"### `{module.__name__}.{name}`\n\n{_described(thing)}")
            if inspect.isclass(thing):
                parts += [f"#### `{name}.{member}`\n\n{_described(value)}" for member, value in _members(thing)]
    return "\n".join(parts)


def _members(kind: type) -> list[tuple[str, object]]:
    """Its own public methods and properties, in the order of the source."""
    kinds = (FunctionType, classmethod, property, cached_property)
    members = [(name, value) for name, value in vars(kind).items() if name[0] != "_" and isinstance(value, kinds)]
    return [(name, value) for name, value in members if getattr(value, "__module__", "howfar").startswith("howfar")]


def _described(thing: object) -> str:
    if isinstance(thing, classmethod):
        thing = thing.__func__
    signature = f"{_signature(thing)}\n\n" if isinstance(thing, FunctionType) else ""
    return f"```text\n{signature}{inspect.getdoc(thing)}\n```\n"


def _signature(function: FunctionType) -> str:
    """As it stands in the source."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(definition, ast.FunctionDef)
    result = f" -> {ast.unparse(definition.returns)}" if definition.returns else ""
    line = f"{definition.name}({ast.unparse(definition.args)}){result}"
    return textwrap.fill(line, width=100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


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
