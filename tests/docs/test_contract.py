"""What pages say of errors and of layers is what the source has."""

import inspect
import re
import tomllib
from pathlib import Path

from howfar import errors

ROOT = Path(__file__).parents[2]


def test_every_error_has_a_symptom_a_cause_and_a_fix() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")[1:]}
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and name != "HowFarError"}
    assert sections.keys() == kinds
    for name, section in sections.items():
        assert "**Cause.** " in section, name
        rows = re.findall(r"^\| (.*) \| (.*) \|$", section.partition("|---|---|")[2], re.M)
        assert rows, name
        for symptom, fix in rows:
            assert re.search(r"\w", symptom), (name, symptom)
            assert re.search(r"\w{2}", fix), f"{name}: {symptom!r} says nothing of what to do"


def layers(text: str) -> list[set[str]]:
    return [set(re.findall(r"\w+", layer)) for layer in text.split(">")]


def test_the_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    checked = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    said = re.search(r"Imports run downward: `([^`]+)`", page)
    assert said
    assert layers(said[1]) == [set(re.findall(r"howfar\.(\w+)", layer)) for layer in checked]
