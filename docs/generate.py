"""Writes the generated pages of the documentation: `python docs/generate.py`."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from types import FunctionType

import howfar
from howfar import errors, measures, training
from howfar.files import ADVICE
from howfar.measures import registry
from howfar.measures.pairs import lists
from howfar.text import segmentation

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


def measures_page() -> str:
    """Each measure's question, signature and docstring, after the arguments that they share."""
    parts = [
        f"{NOTICE}# Measures in Python\n\n"
        "The measure `NAME` is the function `howfar.measures.NAME.NAME`. On the command line `howfar measure NAME`\n"
        "runs it. [How to measure](../how-to/measure.md) is the guide.\n\n"
        f"{(inspect.getdoc(measures) or '').partition(chr(10) * 2)[2]}\n"
    ]
    for name, measure in registry.MEASURES.items():
        module = importlib.import_module(f"{measures.__name__}.{name}")
        about = (inspect.getdoc(module) or "").partition("\n\n")[2]
        parts.append(f"## `{name}`\n\n{measure.question}\n\n{about}\n\n{_described(getattr(module, name))}")
    parts.append("## Reading files\n")
    for thing in (segmentation.read_spaced, segmentation.read_conllu, lists.read_pairs):
        parts.append(f"### `{thing.__module__}.{thing.__name__}`\n\n{_described(thing)}")
    return re.sub("\n{3,}", "\n\n", "\n".join(parts))


def _members(kind: type) -> list[tuple[str, object]]:
    """Its own public methods and properties, in the order of the source."""
    kinds = (FunctionType, classmethod, property, cached_property)
    members = [(name, value) for name, value in vars(kind).items() if name[0] != "_" and isinstance(value, kinds)]
    where = [getattr(getattr(value, "func", value), "__module__", "howfar") for _, value in members]
    return [member for member, module in zip(members, where, strict=True) if module.startswith("howfar")]


def _described(thing: object) -> str:
    if isinstance(thing, classmethod):
        thing = thing.__func__
    signature = f"{_signature(thing)}\n\n" if isinstance(thing, FunctionType) else ""
    return f"```text\n{signature}{inspect.getdoc(thing)}\n```\n"


def _signature(function: FunctionType) -> str:
    """As it stands in the source, with the values of constants."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(definition, ast.FunctionDef)
    for defaults in (definition.args.defaults, definition.args.kw_defaults):
        values = [function.__globals__.get(node.id) if isinstance(node, ast.Name) else None for node in defaults]
        defaults[:] = [
            ast.Constant(value) if isinstance(value, int | float | tuple) else node
            for node, value in zip(defaults, values, strict=True)
        ]
    result = f" -> {ast.unparse(definition.returns)}" if definition.returns else ""
    line = f"{definition.name}({ast.unparse(definition.args)}){result}"
    return textwrap.fill(line, width=100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def errors_page() -> str:
    """Every message that the source can raise, by class, with the cause and what to do; `…` stands for what varies."""
    messages: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = _texts(tree)
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                    got, do = _in_two(_pattern(node.exc.args[0], known))
                    if do == "…":
                        do = _in_two(_pattern(node.exc.args[0], known | _local_texts(function, known)))[1]
                    if re.search(r"\w", got):  # else another error's message is passed on
                        messages[ast.unparse(node.exc.func)].add((got, do))
    for name in ("CorpusError", "TextError"):  # what a function raises as the class that it is given
        messages[name] |= messages["error"]
    messages["OutputError"] |= {(f"… cannot be written ({os.strerror(number)})", do) for number, do in ADVICE.items()}
    parts = [
        f"{NOTICE}# Errors\n\n"
        "The command line prints one line, `error: …`, and exits with code 2; `howfar --debug …` shows where it came\n"
        "from. In Python each is an exception from `howfar.errors`. Here `…` stands for what varies.\n"
    ]
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and messages[name]:
            rows = [f"| {_cell(got)} | {_cell(do)} |" for got, do in sorted(messages[name])]
            cause = (inspect.getdoc(kind) or "").partition("\n\nArgs:")[0]
            heading = f"## {name}\n\n**Cause.** {cause}\n\n| Symptom: it says | Fix |\n|---|---|\n"
            parts.append(heading + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _texts(tree: ast.Module) -> dict[str, str]:
    """Texts that a module's messages share: constants, and what functions without branches give."""
    known: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            known[node.targets[0].id] = _pattern(node.value, known)
        elif isinstance(node, ast.FunctionDef):
            given = [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value]
            if len(given) == 1:
                known[f"{node.name}()"] = _pattern(given[0], known)
    return known


def _local_texts(function: ast.FunctionDef, known: dict[str, str]) -> dict[str, str]:
    """Texts that a function fills into its messages, all that there may be of each."""
    found: dict[str, list[str]] = defaultdict(list)
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            names, values = (
                part.elts if isinstance(part, ast.Tuple) else [part] for part in (node.targets[0], node.value)
            )
            for name, value in zip(names, values, strict=False):
                texts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
                found[ast.unparse(name)] += [text for text in (_pattern(part, known) for part in texts) if text != "…"]
    return {name: ", or: ".join(dict.fromkeys(texts)) for name, texts in found.items() if texts}


def _pattern(node: ast.expr, known: dict[str, str]) -> str:
    """The text of a message, with `…` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(value, known) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return known.get(ast.unparse(node.value), "…")
    if isinstance(node, ast.BinOp):
        return _pattern(node.left, known) + _pattern(node.right, known)
    if isinstance(node, ast.BoolOp):
        return _pattern(node.values[-1], known)
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get") and len(node.args) == 2:
        return _pattern(node.args[1], known)
    return known.get(ast.unparse(node), "…")


def _in_two(message: str) -> tuple[str, str]:
    """What was got, and what to do: a message's last clause."""
    got, semicolon, do = message.rpartition("; ")
    return (got, do) if semicolon else (message, "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PAGES = {
    "reference/commands.md": commands_page,
    "reference/python.md": python_page,
    "reference/measures.md": measures_page,
    "errors.md": errors_page,
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (DOCS / page).write_text(write().rstrip() + "\n", encoding="utf-8")
